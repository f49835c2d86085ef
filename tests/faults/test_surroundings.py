"""What happens around a run: folders that go, disks that stop, other users, limits, floods and slow disks.

Each time: nothing is lost, nobody is told anything untrue, and the same command finishes the job with the same bytes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from batch_processing.backends.base import PageSettings
from batch_processing.comics.model import Reference
from batch_processing.comics.tasks import Learn
from batch_processing.core import database as database_module
from batch_processing.core.ledger import Ledger
from batch_processing.core.processes import process_identity
from batch_processing.core.workers import LocalPool, Task
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ImageProcessingError
from batch_processing.io.publish import hash_file
from batch_processing.ui import background
from command import Run, command, lote
from faults.floods import Flood
from faults.runs import PATIENCE_S, Comic, draw_pages, wait_for
from pages import colored, line_art
from shared_data import lacking

PAGES = 60
NOBODY = 65534
Lote = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    return lambda *args, **more: lote(*args, workspace=tmp_path / "ws", **more)


@pytest.fixture
def comic(tmp_path: Path) -> Iterator[Comic]:
    draw_pages(tmp_path / "in", PAGES)
    comic = Comic(tmp_path / "in", tmp_path)
    yield comic
    if comic.process is not None and comic.process.poll() is None:
        comic.kill()


@pytest.fixture
def undisturbed(tmp_path: Path, comic: Comic) -> bytes:
    """What the job's archive is when nothing happens."""
    other = tmp_path / "undisturbed"
    other.mkdir()
    book = Comic(comic.inputs, other)
    book.finish()
    return book.output.read_bytes()


def said(comic: Comic) -> str:
    """What the command said, which is one sentence."""
    text = (comic.root / "told").read_text()
    assert "Traceback" not in text
    assert "unexpected" not in text
    return text


def in_the_middle(comic: Comic) -> subprocess.Popen[bytes]:
    process = comic.start()
    assert wait_for(lambda: comic.completed() >= 2, process), said(comic)
    return process


class TestTheWorkspaceGoes:
    @pytest.mark.parametrize("what", ["database", "workspace", "moved"])
    def test_what_is_removed_in_the_middle_is_said(
        self, comic: Comic, undisturbed: bytes, run: Lote, what: str
    ) -> None:
        process = in_the_middle(comic)
        workspace = comic.database.parent
        if what == "database":
            comic.database.unlink()
        else:
            workspace.rename(comic.root / "old")
            if what == "workspace":
                shutil.rmtree(comic.root / "old", ignore_errors=True)
        code, text = process.wait(PATIENCE_S), said(comic)
        # Where folders are gone too, that may be met first.
        gone = "lote.db was removed or replaced while Lote worked with it" in text
        assert (code == 11 and gone) or (
            code == 1 and what != "database" and "Job 1 cannot go on: " in text
        ), text
        assert not comic.output.exists()
        comic.finish()
        assert comic.output.read_bytes() == undisturbed
        assert run("status", "--json").summary["completed"] == PAGES

    def test_a_moved_workspace_keeps_what_was_approved(self, comic: Comic, run: Lote, tmp_path: Path) -> None:
        comic.finish()
        assert run("approve", "1", "p000004.png").code == 0
        before = comic.output.read_bytes()
        (tmp_path / "ws").rename(tmp_path / "moved")
        words = ("colorize", comic.inputs, "-o", comic.output, "--backend", "noop", "--as-lineart", "*")
        there = tmp_path / "moved"
        approved = there / "jobs" / "1" / "pages" / "p000004.png"
        page = (approved.read_bytes(), approved.stat().st_mtime_ns)
        assert lote("clean", workspace=there).code == 0
        assert (approved.read_bytes(), approved.stat().st_mtime_ns) == page
        again = lote(*words, "--json", SOURCE_DATE_EPOCH="1600000000", workspace=there)
        assert (again.code, again.summary["reused"], again.summary["warnings"]) == (0, 1, []), again.err
        assert (approved.read_bytes(), approved.stat().st_mtime_ns) == page
        assert comic.output.read_bytes() == before
        assert not (tmp_path / "ws").exists(), "nothing is written where the workspace was"

    def test_a_copy_leaves_the_first_alone(self, comic: Comic, tmp_path: Path) -> None:
        process = in_the_middle(comic)
        comic.kill()
        assert process.returncode
        shutil.copytree(tmp_path / "ws", tmp_path / "copy")

        def state() -> dict[str, tuple[int, int]]:
            return {
                str(path.relative_to(tmp_path)): (path.stat().st_size, path.stat().st_mtime_ns)
                for path in (tmp_path / "ws").rglob("*")
                if path.is_file()
            }

        before = state()
        done = lote("resume", "1", "--quiet", workspace=tmp_path / "copy")
        assert done.code == 0, done.err
        assert state() == before
        assert len(list((tmp_path / "copy" / "jobs" / "1" / "pages").iterdir())) == PAGES


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """An ext4 of its own, which can be stopped as a failing drive stops: no process is asked."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        lacking("needs to be root, and mkfs.ext4, to mount a file system")
    image, point = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    point.mkdir()
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def mend(folder: Path) -> None:
    """What a person does with a file system that stopped."""
    subprocess.run(["umount", str(folder / "disk")], check=True)
    subprocess.run(["fsck.ext4", "-p", str(folder / "disk.img")], check=False, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", str(folder / "disk.img"), str(folder / "disk")], check=True)


class TestReadOnly:
    @pytest.mark.parametrize("whose", ["workspace", "output"])
    def test_a_disk_that_stops_in_the_middle(
        self, comic: Comic, undisturbed: bytes, run: Lote, tmp_path: Path, whose: str
    ) -> None:
        with small_disk(tmp_path) as disk:
            if whose == "workspace":
                (disk / "ws").mkdir(mode=0o700)
                (tmp_path / "ws").symlink_to(disk / "ws")
            else:
                comic.output = disk / "pages"
            process = in_the_middle(comic)
            subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)
            assert process.wait(PATIENCE_S) in (1, 11)
            text = said(comic)
            assert "Job 1 cannot go on: " in text or ("lote.db" in text and whose == "workspace"), text
            told = run("status", "--json")
            if whose == "output":
                assert told.summary["state"] == "failed"
                assert told.summary["error"] in text.replace("\n", " ")
            mend(tmp_path)
            comic.finish()
            if whose == "workspace":
                assert comic.output.read_bytes() == undisturbed
            comic.check_after_kill()
            assert comic.completed() == PAGES
            assert comic.strays() == []


def as_nobody(*words: str, limit: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who owns nothing; `limit`: as many processes and threads as `ulimit -u` lets it have.

    The interpreter may lie in a home that is closed: this process's mounts show it alone."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        lacking("needs to be root, unshare and setpriv, to be another user")
    base = sys.base_prefix
    home = Path("/", *Path(base).parts[1:2])
    show = (
        'at=$(mktemp -d); mount --bind "$1" "$at"; mount -t tmpfs -o mode=755 tmpfs "$2"; mkdir -p "$1"; '
        'mount --bind "$at" "$1"; '
        if str(home) == "/root"
        else ""
    )
    limits = f"ulimit -u {limit}; " if limit else ""
    script = f'{show}shift 2; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups bash -c \'{limits}exec "$@"\' sh "$@"'
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "bash", "-c", script, "bash", base, str(home), *words],
        env=os.environ | {"LANG": "C.UTF-8"} | env, capture_output=True, text=True, check=False, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of nobody's, which can be reached."""
    if os.geteuid() != 0:
        lacking("needs to be root, to be another user")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lote-theirs-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        draw_pages(folder / "in", 4)
        (folder / "own").mkdir()
        os.chown(folder / "own", NOBODY, NOBODY)
        yield folder


class TestOtherUsers:
    def test_a_workspace_of_somebody_else_is_one_sentence(self, theirs: Path) -> None:
        workspace = theirs / "ws"
        draw = (
            "colorize",
            theirs / "in",
            "-o",
            theirs / "own" / "out",
            "--backend",
            "noop",
            "--as-lineart",
            "*",
        )
        assert lote(*draw, workspace=workspace).code == 0
        before = sorted(path.stat().st_mtime_ns for path in workspace.rglob("*"))
        given = {
            "LOTE_WORKSPACE": str(workspace),
            "HOME": str(theirs / "own"),
            "PYTHONPATH": ":".join(filter(None, sys.path)),
        }
        theirs_too = tuple(
            theirs / "own" / "mine" if word == theirs / "own" / "out" else word for word in draw
        )
        for words in (("status",), ("list",), ("clean",), ("backup", theirs / "own" / "copy.db"), theirs_too):
            done = as_nobody(*command(*words), **given)
            assert done.returncode == 11, (words, done.stderr)
            assert f"The workspace {workspace} cannot be" in done.stderr
            assert done.stderr.count("\n") <= 2, done.stderr
        assert sorted(path.stat().st_mtime_ns for path in workspace.rglob("*")) == before

    @pytest.mark.parametrize("limit", [1, 3, 5, 6])
    def test_no_more_processes_is_one_sentence(self, theirs: Path, limit: int) -> None:
        own = theirs / "own"
        given = {
            "LOTE_WORKSPACE": str(own / "ws"),
            "HOME": str(own),
            "PYTHONPATH": ":".join(filter(None, sys.path)),
        }
        words = command(
            "colorize", theirs / "in", "-o", own / "out.cbz", "--backend", "noop", "--as-lineart", "*", "--workers",
            "4", "--quiet",
        )  # fmt: skip
        done = as_nobody(*words, limit=limit, **given)
        assert done.returncode == 1, done.stderr
        assert "A worker process cannot be started (Resource temporarily unavailable)" in done.stderr
        assert "Traceback" not in done.stderr
        assert "OpenBLAS" not in done.stderr
        told = as_nobody(*command("status", "--json"), **given)
        assert '"state": "failed"' in told.stdout, told
        again = as_nobody(*words, **given)
        assert again.returncode == 0, again.stderr
        assert (own / "out.cbz").exists()


class TestInputsAreReplaced:
    def test_a_page_that_is_replaced_never_passes_for_the_one_before(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        """It was coloured, and recorded as what became of the page that was examined."""
        last = comic.inputs / f"p{PAGES - 1:06}.png"
        first = last.read_bytes()
        process = in_the_middle(comic)
        other = tmp_path / "other.png"
        other.write_bytes((comic.inputs / "p000000.png").read_bytes())
        other.replace(last)
        assert process.wait(PATIENCE_S) in (0, 3)
        if process.returncode == 3:
            (error,) = (error for (error,) in comic.query("SELECT error FROM item WHERE state = 'failed'"))
            assert "it was replaced while the job ran: give the command again" in error
        for content in (first, other.read_bytes() if other.exists() else last.read_bytes()):
            last.write_bytes(content)
            comic.finish()
            ((output,),) = comic.query(f"SELECT output FROM item WHERE key = '{last.name}'")  # noqa: S608
            with Image.open(output) as now, Image.open(last) as page:
                assert now.convert("L").tobytes() == page.convert("L").tobytes()

    def test_what_was_learned_from_a_replaced_reference_is_not_kept(self, tmp_path: Path) -> None:
        reference = tmp_path / "reference.png"
        colored(reference)
        sha256 = hash_file(reference)
        line_art(reference)
        artefact = tmp_path / "cache" / "learned.bin"
        learn = Learn("flats", [Reference(str(reference), sha256)], PageSettings(), str(artefact))
        with pytest.raises(ImageProcessingError, match="replaced while the job ran"):
            learn.run(lambda done, total: None)
        assert list(artefact.parent.iterdir()) == []


class TestFloods:
    def test_a_worker_that_warns_for_ever_can_be_told_to_stop(self, caplog: pytest.LogCaptureFixture) -> None:
        pool = LocalPool(1)
        try:
            pool.submit(Task("flood", Flood(), timeout_s=2.0))
            began = time.monotonic()
            results = []
            while not results and time.monotonic() - began < 60:
                results = pool.completed(0.1)
            (result,) = results
            assert result.failure is not None
            assert result.failure.type == "TimeoutError"
            assert len(caplog.records) < 200
            pool.submit(Task("many", Flood(20_000)))
            while not (results := pool.completed(1.0)):
                assert time.monotonic() - began < 120
            assert results[0].value == 20_000
            assert "19900 more messages of a worker were left out" in caplog.text
            assert len(caplog.records) < 400
        finally:
            pool.close()

    def test_the_log_of_events_is_bounded_whoever_says_how_much(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "lote.db")
        job = ledger.submit("comics", ["/in"], "/out", {})
        with ledger.database.write() as connection:
            connection.exec_driver_sql(
                "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 199999) "
                "INSERT INTO event (id, job_id, at, kind, data) SELECT i, ?, 0, 'warning', '{\"text\": \"w\"}' FROM n",
                (job.id,),
            )
        ledger.say(job.id, "warning", "the last")
        with ledger.database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one() == 50_000
        assert str(ledger.warnings(job.id)[-1].data["text"]) == "the last"
        ledger.close()

    def test_warnings_are_those_since_the_last_submission_whatever_the_clock_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = Ledger(tmp_path / "lote.db")
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: 4_000_000_000.0)
            number = ledger.submit("comics", ["/in"], "/out", {}).id
            ledger.say(number, "warning", "of the first run")
        assert [str(event.data["text"]) for event in ledger.warnings(number)] == ["of the first run"]
        ledger.submit("comics", ["/in"], "/out", {})
        ledger.say(number, "warning", "of the second")
        assert [str(event.data["text"]) for event in ledger.warnings(number)] == ["of the second"]
        ledger.close()


class TestGrowth:
    def test_clean_gives_back_what_pages_that_went_have_left(self, tmp_path: Path, run: Lote) -> None:
        draw_pages(tmp_path / "in", 2)
        assert run("colorize", tmp_path / "in", "--backend", "noop", "--as-lineart", "*").code == 0
        database = tmp_path / "ws" / "lote.db"
        with closing(sqlite3.connect(database)) as ledger:
            ledger.execute("CREATE TABLE gone AS SELECT hex(randomblob(3000000)) AS x")
            ledger.execute("DROP TABLE gone")
            ledger.commit()
        large = database.stat().st_size
        assert large > database_module.WORTH_COMPACTING * 4
        assert run("clean").code == 0
        assert database.stat().st_size < large / 10
        assert run("status", "--json").summary["completed"] == 2

    def test_a_thousand_jobs_that_go_leave_no_larger_ledger(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "lote.db")
        sizes = []
        for round_ in range(3):
            for number in range(200):
                job = ledger.submit("comics", [f"/in/{round_}/{number}"], "/out", {"settings": "x" * 2000})
                ledger.forget(job.id)
            sizes.append((tmp_path / "lote.db").stat().st_size)
        assert sizes[2] == sizes[0]
        ledger.close()


# fsync takes as long as on a card that is being written to by others.
SLOW_FSYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static void wait_a_while(void) { usleep(150000); }
int fsync(int f) { wait_a_while(); return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(f); }
int fdatasync(int f) { wait_a_while(); return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(f); }
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes every fsync of a process slow."""
    if shutil.which("cc") is None or sys.platform != "linux":
        lacking("needs a C compiler, to slow fsync down")
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.c").write_text(SLOW_FSYNC)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", folder / "slow.so", folder / "slow.c", "-ldl"], check=True
    )
    return folder / "slow.so"


class TestSlowDisks:
    def test_others_are_answered_and_a_cancel_is_heard(self, comic: Comic, slow: Path, run: Lote) -> None:
        comic.settings["LD_PRELOAD"] = str(slow)
        process = in_the_middle(comic)
        began = time.monotonic()
        assert run("status", "--json").summary["state"] == "running"
        assert run("cancel").code == 0
        assert process.wait(PATIENCE_S) == 4
        assert time.monotonic() - began < 30.0
        comic.check_after_kill()
        del comic.settings["LD_PRELOAD"]
        comic.finish()
        assert comic.completed() == PAGES


class TestOwners:
    def test_a_job_that_was_begun_stays_whose_it_is(self, tmp_path: Path) -> None:
        """What the web page lets go of may be another's by then."""
        place = Workspace(tmp_path / "ws")
        me = process_identity()
        number = place.ledger.submit("comics", ["/in"], "/out", {}, owner=me).id
        place.ledger.release(number, {**me, "pid": 1})
        assert place.ledger.job(number).owner == me
        place.ledger.set_job(number, state="running")
        place.ledger.release(number, me)
        assert place.ledger.job(number).owner == me
        assert background.retry(place, number) == ([], None)
        assert not place.ledger.reopen(number)
        assert place.ledger.job(number).state == "running"
        place.ledger.set_job(number, state="failed")
        assert place.ledger.reopen(number)
        job = place.ledger.job(number)
        assert (job.state, job.owner, job.wanted, job.finished_at) == ("interrupted", None, "run", None)
        place.close()

    def test_every_folder_of_a_workspace_is_its_owners(self, comic: Comic, run: Lote, tmp_path: Path) -> None:
        (tmp_path / "ws" / "cache").mkdir(parents=True, mode=0o755)
        comic.finish()
        assert run("classify", comic.inputs / "p000000.png").code == 0
        open_ = [
            path for path in (tmp_path / "ws").rglob("*") if path.is_dir() and path.stat().st_mode & 0o077
        ]
        assert open_ == []


class TestOwnPages:
    def test_a_page_of_the_workspace_that_changed_is_made_again(
        self, comic: Comic, undisturbed: bytes
    ) -> None:
        comic.finish()
        ((output,),) = comic.query("SELECT output FROM item WHERE key = 'p000003.png'")
        whole = Path(output).read_bytes()
        Path(output).write_bytes(b"damaged")
        with suppress(FileNotFoundError):
            comic.output.unlink()
        comic.finish()
        assert Path(output).read_bytes() == whole
        assert comic.output.read_bytes() == undisturbed
        assert "left alone" not in said(comic)
