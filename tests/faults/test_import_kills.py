"""An import against kill -9 at any moment, full and read-only disks, and file systems without hard links.

Whatever happens: no content is ever lost, each is in the library once in the end, and nothing else is left behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from batch_processing.photos import planning, store
from batch_processing.photos.importing import Import
from batch_processing.photos.layout import Layout
from command import Run, command, environment, lote
from faults.runs import PATIENCE_S, Length, Report
from photos_help import Library, write
from shared_data import lacking

UNRECORDED = (".xmp",)


@dataclass(frozen=True)
class Card:
    """A card with units of all kinds, and what it held in the beginning."""

    path: Path
    before: dict[str, bytes]

    @classmethod
    def filled(cls, path: Path, units: int, size: int = 20_000) -> Card:
        chance = random.Random(units)
        for number in range(units):
            folder = path / "DCIM" / f"{100 + number % 3}"
            stem = f"IMG_{number // 3:04d}"  # the same names in three folders: numbered in the library
            write(folder / f"{stem}.JPG", chance.randbytes(size + number % 4))
            if number % 2:
                write(folder / f"{stem}.MOV", chance.randbytes(size))
            if number % 5 == 0:
                write(folder / f"{stem}.xmp", b"<unit %d/>" % number)
        return cls(path, files(path))


def files(root: Path) -> dict[str, bytes]:
    return {
        os.fsdecode(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def nothing_is_lost(card: Card, home: Path) -> None:
    there = {*files(card.path).values(), *files(home).values()}
    assert there.issuperset(card.before.values())


def all_is_done(card: Card, home: Path, database: Path, *, move: bool) -> None:
    copies = files(home)
    assert Counter(copies.values()) == Counter(card.before.values())
    assert not [name for name in copies if "/.lote-" in name]
    assert files(card.path) == ({} if move else card.before)
    expected = {
        str(home / name): hashlib.sha256(content).hexdigest()
        for name, content in copies.items()
        if not name.endswith(UNRECORDED)
    }
    with Library(database) as library:
        assert library.hashes() == expected
        assert library.copies() == set()
        with library.database.read() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM photo_steps")) == 0
            assert connection.scalar(sa.text("SELECT count(*) FROM photos")) == len(expected)


class Process:
    """One run of the command, in a process group of its own."""

    def __init__(self, workspace: Path, *arguments: str | Path) -> None:
        self._out = workspace.with_name(f"{workspace.name}.out")
        with self._out.open("wb") as file:
            self.process = subprocess.Popen(
                command("photos", "import", *arguments, "--yes", "--json"),
                env=environment(workspace),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def copied(self) -> int:
        return self._out.read_bytes().count(b'"copied", "target"')

    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def finish(self, code: int = 0) -> dict[str, Any]:
        assert self.process.wait(PATIENCE_S) == code, self._out.read_text()[-2000:]
        last: dict[str, Any] = json.loads(self._out.read_text().splitlines()[-1])
        return last


@pytest.mark.parametrize("move", [False, True])
def test_the_whole_group(tmp_path: Path, length: Length, report: Report, *, move: bool) -> None:
    chance = random.Random(6 + move)
    wanted, kills, imports = length(3, 100), 0, 0
    while kills < wanted:
        place = tmp_path / str(imports)
        card = Card.filled(place / "card", length(60, 300))
        home, workspace = place / "home", place / "workspace"
        options = ("--move",) if move else ()
        over = False
        while not over:
            process = Process(workspace, card.path, home, *options)
            while not (process.copied() or process.ended()):
                time.sleep(0.01)
            time.sleep(chance.random() * 0.4)
            over = process.ended() or kills == wanted
            if over:
                process.finish()
            else:
                process.kill()
                kills += 1
            nothing_is_lost(card, home)
        all_is_done(card, home, workspace / "lote.db", move=move)
        assert lote("photos", "known", card.path, workspace=workspace).code == (3 if move else 0)
        imports += 1
    report(
        f"kill -9 of the group, import{' --move' * move}",
        f"{kills} kills, {imports} imports ended whole",
    )


# What changes a file system; a kill before and after each call is every moment that there is, but for those in a commit.
CHANGES = ("open", "mkdir", "write", "utime", "fsync", "link", "unlink", "rename")


def no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no links here")  # as FAT says it


def child(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own; its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_import(card: Card, home: Path, database: Path, *, move: bool) -> None:
    opened = store.open_database(database)
    work = Import(
        store.Store(opened), os.fsencode(card.path), os.fsencode(home), Layout("{year}", "card"), move=move
    )
    for deed in work.run(work.prepare()):
        assert not deed.problem, deed
    assert not work.problems
    assert not work.not_removed


def die_at(moment: int) -> None:
    """Have this process die right before (odd) or after (even) the so-manieth change of a file."""
    left = [moment]

    def wrapped(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            is_change = change.__name__ != "open" or arguments[1] & os.O_CREAT
            for step in (0, 1):
                left[0] -= bool(is_change)
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if step == 0:
                    result = change(*arguments, **options)
            return result

        return call

    for name in CHANGES:
        setattr(os, name, wrapped(getattr(os, name)))


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("move", [False, True])
def test_every_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    length: Length,
    report: Report,
    *,
    move: bool,
    has_links: bool,
) -> None:
    monkeypatch.setattr(planning, "headers_of", lambda *_: iter(()))
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
        no_links.__name__ = "link"
    moment = 1
    died = 0
    while True:
        place = tmp_path / str(moment)
        card = Card.filled(place / "card", 2, size=1000)
        home, database = place / "home", place / "photos.db"

        def killed(card: Card = card, home: Path = home, database: Path = database) -> None:
            die_at(moment)  # noqa: B023 - called at once
            run_import(card, home, database, move=move)

        def whole(card: Card = card, home: Path = home, database: Path = database) -> None:
            run_import(card, home, database, move=move)

        code = child(killed)
        assert code in {0, -signal.SIGKILL}
        nothing_is_lost(card, home)
        if code:
            died += 1
            if move is False:
                assert files(card.path) == card.before
            assert child(whole) == 0
        all_is_done(card, home, database, move=move)
        shutil.rmtree(place)
        if code == 0:
            break
        moment += length(3, 1)
    assert died > 10
    report(
        f"import{' --move' * move} killed at a change of a file{'' if has_links else ', no hard links'}",
        f"{died} moments, each import whole after one more run",
    )


def unshared(script: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of a shell with mounts of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        lacking("mounts need root and unshare")
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", script],
        env=environment(workspace),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def shell(*arguments: str | Path) -> str:
    return " ".join(f"'{word}'" for word in command("photos", *arguments))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def last_line(path: Path) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(path.read_text().splitlines()[-1])
    return last


def test_the_disk_is_full_under_the_library(tmp_path: Path, home: Path) -> None:
    card = Card.filled(tmp_path / "card", 6, size=400_000)  # 3.6 MB
    again = shell("import", card.path, home, "--yes", "--json")
    done = unshared(
        f"""
        mount -t tmpfs -o size=8m none {home}
        {again} > {tmp_path}/dry.out &  # while it works, somebody else fills the disk
        while ! ls {home}/*/*/.lote-* {home}/*/*/IMG* > /dev/null 2>&1 && kill -0 $!; do :; done
        head -c 8m /dev/zero > {home}/filler 2> /dev/null || true
        code=0; wait $! || code=$?; echo $code > {tmp_path}/full.rc
        {again} > {tmp_path}/room.out 2> {tmp_path}/room.err || echo $? > {tmp_path}/room.rc
        find {home} -name '.lote-*' -o -name 'IMG*' -size 0 > {tmp_path}/left
        rm {home}/filler
        {again} > {tmp_path}/more.out
        cp -r {home} {tmp_path}/copy
        """,
        tmp_path / "workspace",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "full.rc").read_text().strip() in {"0", "1"}
    assert (tmp_path / "left").read_text() == ""
    if (tmp_path / "full.rc").read_text().strip() == "1":
        assert "full" in done.stderr
        assert "Traceback" not in done.stderr
        assert "bytes are to be copied" in (tmp_path / "room.err").read_text()
    assert last_line(tmp_path / "more.out")["failed"] == 0
    assert Counter(files(tmp_path / "copy").values()) == Counter(card.before.values())


def test_a_read_only_card(tmp_path: Path, home: Path) -> None:
    card = Card.filled(tmp_path / "card", 4)
    done = unshared(
        f"""
        mount --bind {card.path} {card.path}; mount -o remount,bind,ro {card.path}
        {shell("import", card.path, home, "--yes", "--json")} > {tmp_path}/copied.out
        code=0; {shell("import", card.path, tmp_path / "other", "--yes", "--move", "--json")} \
            > {tmp_path}/moved.out || code=$?
        test $code = 0
        """,
        tmp_path / "workspace",
    )
    assert done.returncode == 0, done.stderr
    assert last_line(tmp_path / "copied.out")["copied"] == len(card.before)
    assert Counter(files(home).values()) == Counter(card.before.values())
    assert files(card.path) == card.before


def test_move_from_a_read_only_card_says_what_stays(tmp_path: Path, home: Path) -> None:
    card = Card.filled(tmp_path / "card", 4)
    done = unshared(
        f"""
        mount --bind {card.path} {card.path}; mount -o remount,bind,ro {card.path}
        code=0; {shell("import", card.path, home, "--yes", "--move", "--json")} > {tmp_path}/moved.out || code=$?
        test $code = 3
        """,
        tmp_path / "workspace",
    )
    assert done.returncode == 0, done.stderr
    assert "mounted read-only" in done.stderr
    last = last_line(tmp_path / "moved.out")
    assert (last["copied"], last["removed"], last["not_removed"]) == (len(card.before), 0, len(card.before))
    all_is_done(card, home, tmp_path / "workspace" / "lote.db", move=False)


def test_a_card_that_is_the_library_on_another_way_is_not_emptied(tmp_path: Path) -> None:
    """The card is mounted a second time, and what is on it was imported there: no photo may be removed."""
    card = Card.filled(tmp_path / "card", 4)
    way = tmp_path / "way"
    way.mkdir()
    done = unshared(
        f"""
        mount --bind {card.path} {way}
        {shell("scan", way, "--no-facts")} > /dev/null
        {shell("import", card.path, way / "in", "--yes", "--move", "--json")} > {tmp_path}/moved.out 2>&1 || true
        """,
        tmp_path / "workspace",
    )
    assert done.returncode == 0, done.stderr
    assert set(files(card.path).values()) >= set(card.before.values())


@pytest.mark.parametrize("move", [False, True])
def test_a_library_on_exfat(tmp_path: Path, home: Path, *, move: bool) -> None:
    for tool in ("mkfs.exfat", "mount.exfat-fuse"):
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            lacking(f"{tool} is not installed (exfatprogs, exfat-fuse)")
    card = Card.filled(tmp_path / "card", 8)
    options = ("--move",) if move else ()
    again = shell("import", card.path, home, "--yes", "--json", *options)
    done = unshared(
        f"""
        PATH=$PATH:/usr/sbin:/sbin
        truncate -s 64M {tmp_path}/disk; mkfs.exfat {tmp_path}/disk > /dev/null
        device=$(losetup --find --show {tmp_path}/disk); trap "umount {home}; losetup -d $device" EXIT
        mount.exfat-fuse $device {home} > /dev/null
        {again} > {tmp_path}/first.out
        {again} > {tmp_path}/second.out || true
        cp -r {home} {tmp_path}/copy
        {shell("scan", home, "--json", "--no-facts")} > {tmp_path}/scan.out
        """,
        tmp_path / "workspace",
    )
    if "losetup" in done.stderr:
        lacking(f"loop devices cannot be had here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    first = last_line(tmp_path / "first.out")
    assert (first["copied"], first["failed"]) == (len(card.before), 0)
    assert Counter(files(tmp_path / "copy").values()) == Counter(card.before.values())
    if move:
        assert files(card.path) == {}
    else:
        assert last_line(tmp_path / "second.out")["known"] == len(card.before)
    scanned = last_line(tmp_path / "scan.out")
    assert (scanned["registered"], scanned["missing"], scanned["changed"]) == (0, 0, 0)


def test_ctrl_c_ends_after_the_file_in_flight(tmp_path: Path) -> None:
    card = Card.filled(tmp_path / "card", 60)
    home, workspace = tmp_path / "home", tmp_path / "workspace"
    process = Process(workspace, card.path, home)
    while not (process.copied() or process.ended()):
        time.sleep(0.01)
    process.process.send_signal(signal.SIGINT)
    assert process.process.wait(PATIENCE_S) == 130
    copies = files(home)
    assert 0 < len(copies) < len(card.before)
    assert set(copies.values()) <= set(card.before.values())
    again: Run = lote("photos", "import", card.path, home, "--yes", "--json", workspace=workspace)
    assert again.code == 0
    assert again.summary["copied"] + len(copies) == len(card.before)
    all_is_done(card, home, workspace / "lote.db", move=False)
