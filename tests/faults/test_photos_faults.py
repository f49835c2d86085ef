"""A photo scan against kill -9, a full disk, a second scan, changing files and missing permissions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from batch_processing.photos import hashing, scan_images_recursively
from faults.runs import Length, Report
from photos_help import Library, write

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).resolve().parents[2] / "src"
COMMAND = "from batch_processing.ui.cli import main; main()"
RACY_S = 2.1


def environment(workspace: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE), "LOTE_WORKSPACE": str(workspace)}


def start(workspace: Path, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "photos", *map(str, arguments)],
        env=environment(workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """The JSON objects on stdout, and stderr, of a command that ended with `code`."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return [json.loads(line) for line in out.splitlines()], err


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """450 photos, a third of them copies, old enough to be trusted."""
    path = tmp_path_factory.mktemp("photos") / "tree"
    for number in range(450):
        write(
            path / f"{number % 9}" / f"{number:04d}.jpg",
            b"photo %d" % (number if number % 3 else number // 2),
        )
    time.sleep(RACY_S)
    return path


def test_a_kill_redoes_three_batches_at_most(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(400):
        write(tree / f"{number:04d}.jpg", b"%06d" % number * 1000)
    time.sleep(RACY_S)
    process = start(tmp_path / "w", "scan", tree, "--json", "--batch-size", "10", "--no-facts")
    assert process.stdout is not None
    read = [json.loads(process.stdout.readline()) for _ in range(12)][-1]["bytes_read"]
    process.kill()
    process.communicate()
    lines, _ = finish(start(tmp_path / "w", "scan", tree, "--json", "--batch-size", "10", "--no-facts"))
    assert lines[-1]["bytes_read"] + read <= 400 * 6000 + 30 * 6000


KILLED_IN_A_COMMIT = """
import os, signal, sys
import sqlalchemy as sa
from batch_processing.photos import hashing, reading
from batch_processing.photos.ingest import Scan
from batch_processing.photos.store import Store, open_database
database, tree, counter, commits = sys.argv[1:]
hash_file = reading.hash_file
def counted(*arguments):
    with open(counter, "ab") as file:
        file.write(b".")
    return hash_file(*arguments)
reading.hash_file = counted
hashing.ALONE_S = float("inf")  # in this process, where they are counted
opened = open_database(database)
left = int(commits)
has_photos = False
def watch(statement):  # which SQLite begins to execute
    global has_photos, left
    has_photos = has_photos or statement.startswith("INSERT INTO photos ")
    left -= has_photos and statement == "COMMIT"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
@sa.event.listens_for(opened.engine, "checkout")
def follow(connection, *_):
    connection.set_trace_callback(watch)
for batch in Scan(Store(opened), [os.fsencode(tree)], batch_size=10).run():
    pass
"""


@pytest.mark.parametrize("commits", [1, 5])
def test_a_kill_in_a_commit_redoes_three_batches_at_most(tmp_path: Path, commits: int) -> None:
    for number in range(200):
        write(tmp_path / "tree" / f"{number // 50}" / f"{number:04d}.jpg", b"%06d" % number)
    time.sleep(RACY_S)
    arguments = map(str, (tmp_path / "photos.db", tmp_path / "tree", tmp_path / "counter", commits))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_A_COMMIT, *arguments], env=environment(tmp_path), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    read = (tmp_path / "counter").stat().st_size
    with Library(tmp_path / "photos.db") as library:
        kept = len(library.hashes())
        assert (kept == 0) == (commits == 1)
        assert 10 <= read - kept <= 30
        stats = library.scan(tmp_path / "tree", 10)
        assert (stats.registered, stats.already_processed) == (200 - kept, kept)


def test_two_scans_of_one_tree(tmp_path: Path, tree: Path) -> None:
    both = [start(tmp_path / "w", "scan", tree, "--json", "--no-facts") for _ in range(2)]
    ends = [finish(process)[0][-1] for process in both]
    contents = len({path.read_bytes() for path in tree.rglob("*.jpg")})
    assert sorted(end["registered"] for end in ends) == [0, contents]
    assert min(end["bytes_read"] for end in ends) == 0
    with Library(tmp_path / "w" / "lote.db") as library:
        assert len(library.hashes()) == 450


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_commits_and_says_how_to_go_on(tmp_path: Path, tree: Path, sent: int) -> None:
    process = start(tmp_path / "w", "scan", tree, "--json", "--batch-size", "5")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(sent)
    lines, err = finish(process, 130)
    assert "goes on" in err
    assert lines[-1]["state"] == "stopped"
    again, _ = finish(start(tmp_path / "w", "scan", tree, "--json", "--batch-size", "5"))
    numbers = [line["number"] for line in [first, *lines, *again] if line["event"] == "batch"]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    assert again[-1]["bytes_read"] + lines[-1]["bytes_read"] == sum(
        path.stat().st_size for path in tree.rglob("*.jpg")
    )


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounts need root and unshare (CI has them)"
)


@needs_root
def test_the_disk_is_full_under_the_database(tmp_path: Path, tree: Path) -> None:
    workspace = tmp_path / "small"
    workspace.mkdir()
    scan = f'{sys.executable} -c "{COMMAND}" photos scan {tree} --json --no-facts --batch-size 20'
    script = f"""
        mount -t tmpfs -o size=200k none {workspace} || exit 99
        {scan} > {tmp_path}/full.out 2> {tmp_path}/full.err; echo $? > {tmp_path}/full.rc
        mount -o remount,size=50m {workspace}
        {scan} > {tmp_path}/more.out 2> {tmp_path}/more.err; echo $? > {tmp_path}/more.rc
        cp {workspace}/lote.db {tmp_path}/after.db
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=environment(workspace), check=False)
    assert done.returncode == 0
    assert (tmp_path / "full.rc").read_text().strip() == "1"
    said = (tmp_path / "full.err").read_text()
    assert "full" in said
    assert "Traceback" not in said
    assert (tmp_path / "more.rc").read_text().strip() == "0"
    with Library(tmp_path / "after.db") as library:
        assert library.database.integrity_check() == "ok"
        assert len(library.hashes()) == 450


@needs_root
def test_a_drive_under_another_device_number_is_not_read_again(tmp_path: Path) -> None:
    image, drive, workspace = tmp_path / "disk", tmp_path / "drive", tmp_path / "w"
    drive.mkdir()
    scan = f'{sys.executable} -c "{COMMAND}" photos scan {drive}/photos --json --no-facts'
    script = f"""
        truncate -s 8M {image} && mkfs.ext4 -q {image} && mount -o loop {image} {drive} || exit 99
        mkdir {drive}/photos; for n in 1 2 3; do echo $n > {drive}/photos/$n.jpg; done; sleep {RACY_S}
        {scan} > {tmp_path}/first.out && stat -c %d {drive} || exit 1
        device=$(findmnt -n -o SOURCE {drive}) && umount {drive} && truncate -s 1M {tmp_path}/other || exit 1
        losetup $device {tmp_path}/other && ours=$device  # else somebody else has it by now
        mount -o loop {image} {drive} && stat -c %d {drive} && {scan} > {tmp_path}/second.out; code=$?
        umount {drive}; test -z "$ours" || losetup -d $ours; exit $code
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=environment(workspace),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 99:
        pytest.skip(f"loop devices cannot be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split()
    assert before != after
    first, second = (
        json.loads((tmp_path / name).read_text().splitlines()[-1]) for name in ("first.out", "second.out")
    )
    assert (first["registered"], second["already_processed"], second["bytes_read"]) == (3, 3, 0)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "photos.db") as library:
        yield library


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, library: Library) -> None:
    growing = write(tmp_path / "tree" / "grows.jpg", bytes(64 * 2**20))
    steady = write(tmp_path / "tree" / "steady.jpg", b"steady")
    over = threading.Event()

    def grow() -> None:
        with growing.open("ab", buffering=0) as file:
            while not over.is_set():
                file.write(b"more")
                time.sleep(0.0005)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        stats = library.scan(tmp_path / "tree")
    finally:
        over.set()
        thread.join()
    assert (stats.registered, stats.errors) == (1, 1)
    assert library.errors() == [(str(growing), "hash", "changed")]
    assert library.hashes().keys() == {str(steady)}
    stats = library.scan(tmp_path / "tree")  # it has come to rest
    assert (stats.registered, stats.errors) == (1, 0)
    assert library.errors() == []


def test_a_file_that_vanishes_after_the_listing(tmp_path: Path, library: Library) -> None:
    tree = tmp_path / "tree"
    paths = [write(tree / f"{number:03d}.jpg", b"photo %d" % number) for number in range(100)]
    scan = scan_images_recursively(tree, library.photos, 1)
    next(scan)
    paths[50].unlink()
    assert sum(len(batch) for batch in scan) == 98
    assert [(path, kind) for path, _, kind in library.errors()] == [(str(paths[50]), "vanished")]
    assert library.scan(tree).errors == 0
    assert library.errors() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user (CI is root)")
def test_folders_and_files_without_permission(tmp_path: Path, library: Library) -> None:
    tree = tmp_path / "tree"
    write(tree / "a.jpg", b"open")
    locked = write(tree / "b.jpg", b"locked")
    inside = write(tree / "c" / "d.jpg", b"inside")
    library.scan(tree)  # as root: everything
    locked.write_bytes(b"changed")
    locked.chmod(0)
    (tree / "c").chmod(0)
    tmp_path.chmod(0o777)
    for path in (tmp_path / "photos.db", *tmp_path.glob("photos.*")):
        path.chmod(0o666)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    library.session.close()
    child = os.fork()
    if child == 0:  # python itself may lie where the other user cannot go; what is loaded stays loaded
        code = 9
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with Library(tmp_path / "photos.db") as other:
                stats = other.scan(tree)
            code = 0 if (stats.errors, stats.missing, stats.files_seen) == (2, 0, 2) else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert library.errors() == [(str(locked), "hash", "permission"), (str(tree / "c"), "walk", "permission")]
    assert str(inside) in library.hashes()  # not judged, because not seen
    locked.chmod(0o644)
    (tree / "c").chmod(0o755)
    stats = library.scan(tree)
    assert (stats.changed, stats.errors) == (1, 0)
    assert library.errors() == []


def test_many_files_in_one_folder(tmp_path: Path, library: Library, length: Length, report: Report) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    files = length(2_000, 50_000)
    for number in range(files):
        descriptor = os.open(tree / f"IMG_{number:05d}.jpg", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"%d" % number)
        os.close(descriptor)
    time.sleep(RACY_S)
    stats = library.scan(tree)
    assert (stats.files_seen, stats.registered, stats.batches) == (files, files, files // 100)
    stats = library.scan(tree)
    assert (stats.already_processed, stats.bytes_read) == (files, 0)
    shutil.rmtree(tree)
    report("photos in one folder", f"{files:,} files, nothing read again by the second scan")


def test_readers_that_are_killed_cost_nothing_and_none_outlives_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "ALONE_S", 0.0)
    for number in range(1200):
        write(tmp_path / "tree" / f"{number // 100}" / f"{number}.jpg", b"%06d" % number * 4000)
    killed: set[int] = set()

    def readers() -> list[psutil.Process]:
        return [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]

    with Library(tmp_path / "photos.db") as library:
        scan = scan_images_recursively(tmp_path / "tree", library.photos, 100)
        for _ in range(12):
            next(scan)
            for one in readers():
                one.kill()
                killed.add(one.pid)
        with pytest.raises(StopIteration) as end:
            next(scan)
        assert len(killed) > 2
        assert end.value.value.registered == 1200
        assert end.value.value.errors == 0
        hashes = library.hashes()
    assert hashes == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "tree").rglob("*.jpg")
    }
    assert not readers()
