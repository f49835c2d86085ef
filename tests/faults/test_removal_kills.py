"""kill -9 of the removal of copies and of a relocation, at any moment.

Whatever happens: no content is lost, nothing stands aside in the end, and one more run ends what was begun."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from batch_processing.photos import duplicates, relocation, steps, store
from batch_processing.photos.duplicates import Keep, Rule
from batch_processing.photos.removal import How, Protected
from command import command, environment, lote
from faults.runs import PATIENCE_S, Length, Report
from faults.test_import_kills import child, die_at, files
from photos.file_systems import LATER_NS, Mounts, put
from photos_help import Library

# Larger than one block: smaller files may lie inside of their inodes, and are not shared.
SIZE = 20_000


@dataclass(frozen=True)
class Tree:
    """Photos with a copy each in another folder, which holds one more; and the trash."""

    path: Path
    trash: Path
    before: dict[str, bytes]

    @classmethod
    def filled(cls, path: Path, trash: Path, number: int) -> Tree:
        chance = random.Random(number)
        for each in range(number):
            content = chance.randbytes(SIZE)
            put(path / "kept" / f"{each}.jpg", content)
            put(path / "copies" / f"copy of {each}.jpg", content, at_ns=LATER_NS)
        put(path / "copies" / "alone.jpg", chance.randbytes(SIZE))
        return cls(path, trash, files(path))

    def nothing_is_lost(self, how: How) -> None:
        there = files(self.path)
        assert {*there.values()} == {*self.before.values()}
        kept = {name for name in self.before if not name.startswith("copies/copy")}
        assert there.keys() >= kept
        aside = [name for name in there if "/.lote-" in name]
        assert len(aside) <= 1
        if how is not How.TRASH and not aside:
            assert there == self.before

    def all_is_done(self, how: How, database: Path) -> None:
        there = files(self.path)
        copies = {name: content for name, content in self.before.items() if name.startswith("copies/copy")}
        if how is How.TRASH:
            assert there == {name: self.before[name] for name in self.before if name not in copies}
            trashed = [path.read_bytes() for path in self.trash.glob("files/*")]
            assert Counter(trashed) == Counter(copies.values())
        else:
            assert there == self.before
            for name in copies:
                kept = self.path / "kept" / name.removeprefix("copies/copy of ")
                assert (self.path / name).samefile(kept) is (how is How.HARDLINK)
        with Library(database) as library, library.database.read() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM photo_steps")) == 0


class Process:
    """One run of `lote photos ARGUMENTS`, in a process group of its own."""

    def __init__(self, workspace: Path, *arguments: str | Path) -> None:
        self._out = workspace.with_name("told")
        with self._out.open("wb") as file:
            self.process = subprocess.Popen(
                command("photos", *arguments),
                env=environment(workspace)
                | {"HOME": str(workspace.parent), "XDG_DATA_HOME": str(workspace.with_name("data"))},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def finish(self) -> None:
        assert self.process.wait(PATIENCE_S) == 0, self._out.read_text()[-2000:]


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for photos: on a file system that shares bytes where the test is about sharing."""
    if request.node.callspec.params.get("how") is How.REFLINK:
        with Mounts(tmp_path) as mounts:
            yield mounts.btrfs("disk")
    else:
        yield tmp_path


@pytest.mark.parametrize("how", How)
def test_the_whole_group(tmp_path: Path, place: Path, length: Length, report: Report, how: How) -> None:
    chance = random.Random(how)
    wanted, kills, removals = length(3, 60), 0, 0
    while kills < wanted:
        here = tmp_path / str(removals)
        tree = Tree.filled(place / f"tree{removals}", here / "data" / "Trash", length(150, 400))
        os.sync()
        workspace, log = here / "workspace", here / "log"
        assert lote("photos", "scan", tree.path, "--no-facts", workspace=workspace).code == 0
        over = False
        while not over:
            deeds = log.stat().st_size if log.exists() else 0
            process = Process(workspace, "duplicates", f"--{how}", "--yes", "--log", log)
            while not ((log.exists() and log.stat().st_size > deeds) or process.ended()):
                time.sleep(0.001)
            time.sleep(chance.random() * 0.3)
            over = process.ended() or kills == wanted
            if over:
                process.finish()
            else:
                process.kill()
                kills += 1
            tree.nothing_is_lost(how)
        tree.all_is_done(how, workspace / "lote.db")
        assert lote("photos", "scan", tree.path, "--no-facts", workspace=workspace).code == 0
        assert lote("photos", "duplicates", "--json", workspace=workspace).summary["gain"] == 0
        shutil.rmtree(tree.path)
        removals += 1
    report(f"kill -9 of the group, duplicates --{how}", f"{kills} kills, {removals} removals ended whole")


def get_rid(database: Path, how: How, moment: int = 0) -> None:
    """What `lote photos duplicates --yes` does, killed at a change of a file if `moment` is its number."""
    if moment:
        die_at(moment)
    opened = store.open_database(database)
    work = store.Store(opened)
    steps.recover(work)
    for group in list(duplicates.groups(work)):
        choice = group.choose([Keep(Rule.OLDEST)], Protected([]))
        if choice is not None:
            for deed in duplicates.remove_copies(work, group, choice, how, Protected([])):
                assert deed.refusal is None, deed


@pytest.mark.parametrize("how", How)
def test_every_moment(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, length: Length, report: Report, how: How
) -> None:
    from send2trash import plat_other

    trash = tmp_path / "data" / "Trash"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("send2trash.send2trash", plat_other.send2trash)
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(trash.parent))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(trash))
    moment, died = 1, 0
    while True:
        tree = Tree.filled(place / "tree", trash, 2)
        database = tmp_path / "photos.db"
        with Library(database) as library:
            library.command_scan(tree.path)

        code = child(partial(get_rid, database, how, moment))
        assert code in {0, -signal.SIGKILL}
        tree.nothing_is_lost(how)
        if code:
            died += 1
            assert child(partial(get_rid, database, how)) == 0
        tree.all_is_done(how, database)
        shutil.rmtree(tree.path)
        shutil.rmtree(trash, ignore_errors=True)
        for left in tmp_path.glob("photos.db*"):
            left.unlink()
        if code == 0:
            break
        moment += length(2, 1)
    assert died > 6
    report(f"duplicates --{how} killed at a change of a file", f"{died} moments, whole after one more run")


# Relocation: all or nothing


def folders(database: Path) -> Counter[str]:
    """How many folders are recorded below `old`, below `new`, and elsewhere."""
    with Library(database) as library:
        return Counter(Path(path).relative_to(database.parent.parent).parts[0] for path in library.hashes())


@pytest.fixture
def moved(tmp_path: Path, length: Length) -> tuple[Path, dict[str, str]]:
    """A database that knows a library as `old`, which is called `new` now; and the photos' hashes at their new paths."""
    number = length(400, 4000)
    for each in range(number):
        put(tmp_path / "old" / f"{each % 40}" / f"{each}.jpg", b"%d" % (each // 2))
    workspace = tmp_path / "workspace"
    assert lote("photos", "scan", tmp_path / "old", "--no-facts", workspace=workspace).code == 0
    (tmp_path / "old").rename(tmp_path / "new")
    return workspace / "lote.db", {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "new").rglob("*.jpg")
    }


def test_a_relocation_that_is_killed(
    tmp_path: Path, moved: tuple[Path, dict[str, str]], length: Length, report: Report
) -> None:
    database, wanted = moved
    chance = random.Random(10)
    kills = length(4, 10)
    for _ in range(kills):
        process = Process(database.parent, "relocate", tmp_path / "old", tmp_path / "new")
        time.sleep(chance.random() * 2.0)
        process.kill()
        assert folders(database) in (Counter(old=len(wanted)), Counter(new=len(wanted)))
    if folders(database) == Counter(old=len(wanted)):
        Process(database.parent, "relocate", tmp_path / "old", tmp_path / "new").finish()
    with Library(database) as library:
        assert library.hashes() == wanted
    report("kill -9 of the group, relocate", f"{kills} kills, all rows or none")


def test_a_relocation_that_is_killed_at_any_statement(
    tmp_path: Path, moved: tuple[Path, dict[str, str]], length: Length, report: Report
) -> None:
    database, wanted = moved
    before = database.read_bytes()

    def killed(at: int) -> None:
        opened = store.open_database(database)
        left = [at]

        def count(*_: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(opened.engine, "before_cursor_execute", count)
        sa.event.listen(opened.engine, "commit", count)
        relocation.relocate(store.Store(opened), os.fsencode(tmp_path / "old"), os.fsencode(tmp_path / "new"))

    at, died = 1, 0
    while (code := child(partial(killed, at))) != 0:
        assert code == -signal.SIGKILL
        died += 1
        assert folders(database) == Counter(old=len(wanted))
        at += length(7, 1)
    assert died > 5
    with Library(database) as library:
        assert library.hashes() == wanted
    assert database.read_bytes() != before
    report("relocate killed at a statement", f"{died} moments, no row had followed")
