"""kill -9 of a photo scan's whole process group: nothing lost, nothing twice, the same tables in the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command import command, environment
from faults.runs import PATIENCE_S, Length, Report
from photos_help import Library, write

LEDGER = ("photo_directories", "photos", "duplicates", "photo_errors", "photo_batches")
RACY_S = 2.1  # files as young as this are read again
BATCH = 20


@dataclass(frozen=True)
class Tree:
    """Photos, a third of them copies; their hashes by path; the tables and batches of a scan without a kill."""

    path: Path
    hashes: dict[bytes, bytes]
    tables: dict[str, list[tuple[Any, ...]]]
    batches: set[int]


class Scan:
    """One run of the command, in a process group of its own. What it says goes to a file: a pipe that is read
    line by line, and then to its end, loses what was read ahead."""

    def __init__(self, workspace: Path, tree: Path) -> None:
        self._out = workspace.with_name(f"{workspace.name}.out")
        with self._out.open("wb") as file:
            self.process = subprocess.Popen(
                command("photos", "scan", tree, "--json", "--no-facts", "--batch-size", str(BATCH)),
                env=environment(workspace),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def batches(self) -> set[int]:
        """The numbers of the batches that it has said it handed out."""
        lines = self._out.read_text().split("\n")[:-1]  # the last may be half a line
        return {json.loads(line)["number"] for line in lines if '"batch"' in line}

    def ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill the scan and all that it started."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def finish(self) -> None:
        assert self.process.wait(PATIENCE_S) == 0, self._out.read_text()[-2000:]


def tables(workspace: Path) -> dict[str, list[tuple[Any, ...]]]:
    with Library(workspace / "lote.db") as library:
        return library.dump(*LEDGER)


def check(workspace: Path, tree: Tree) -> None:
    """The database is whole, and every photo in it has its hash."""
    if not (workspace / "lote.db").exists():
        return
    connection = sqlite3.connect(workspace / "lote.db", timeout=60.0)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'photos'").fetchall():
            return
        rows = connection.execute(
            "SELECT d.path, p.name, p.hash FROM photos p JOIN photo_directories d ON d.id = p.directory_id"
        ).fetchall()
    finally:
        connection.close()
    for folder, name, recorded in rows:
        assert bytes(recorded) == tree.hashes[bytes(folder) + b"/" + bytes(name)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, length: Length) -> Tree:
    root = tmp_path_factory.mktemp("photos")
    hashes = {}
    for number in range(length(400, 20_000)):
        content = b"photo %d" % (number if number % 3 else number // 2)
        path = write(root / "tree" / f"{number % 9}" / f"{number:05d}.jpg", content)
        hashes[os.fsencode(path)] = hashlib.sha256(content).digest()
    time.sleep(RACY_S)
    whole = Scan(root / "whole", root / "tree")
    whole.finish()
    return Tree(root / "tree", hashes, tables(root / "whole"), whole.batches())


def test_the_whole_group(tree: Tree, tmp_path: Path, length: Length, report: Report) -> None:
    chance = random.Random(4)
    wanted, kills, scans = length(3, 200), 0, 0
    while kills < wanted:
        workspace, taken = tmp_path / str(scans), set[int]()
        over = False
        while not over:
            scan = Scan(workspace, tree.path)
            while not (scan.batches() or scan.ended()):
                time.sleep(0.01)
            time.sleep(chance.random() * length(1, 4) / 10)
            over = scan.ended() or kills == wanted
            if over:
                scan.finish()
            else:
                scan.kill()
                kills += 1
            taken |= scan.batches()
            check(workspace, tree)
        assert taken == tree.batches  # each was handed out, to one run or another
        assert tables(workspace) == tree.tables
        scans += 1
    report(
        "kill -9 of the group, photos",
        f"{kills} kills over {len(tree.hashes):,} files, {scans} scans ended with the tables of an undisturbed one",
    )


def test_the_whole_group_while_it_starts(tree: Tree, tmp_path: Path, length: Length, report: Report) -> None:
    chance = random.Random(5)
    kills = length(2, 20)
    workspace = tmp_path / "ws"
    for _ in range(kills):
        scan = Scan(workspace, tree.path)
        time.sleep(chance.random() * 1.2)
        scan.kill()
        check(workspace, tree)
    Scan(workspace, tree.path).finish()
    assert tables(workspace) == tree.tables
    report("kill -9 of the group, photos at start-up", f"{kills} kills, tables equal")
