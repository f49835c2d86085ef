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


def scan(workspace: Path, tree: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("photos", "scan", tree, "--json", "--no-facts", "--batch-size", str(BATCH)),
        env=environment(workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> list[int]:
    """Kill the scan and all that it started; the batches that it still said it had done."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    return numbers(line for line in rest.splitlines() if line.endswith("}"))


def numbers(lines: Any) -> list[int]:
    return [json.loads(line)["number"] for line in lines if '"batch"' in line]


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
    whole = scan(root / "whole", root / "tree")
    out, err = whole.communicate(timeout=PATIENCE_S)
    assert whole.returncode == 0, err
    return Tree(root / "tree", hashes, tables(root / "whole"), set(numbers(out.splitlines())))


def test_the_whole_group(tree: Tree, tmp_path: Path, length: Length, report: Report) -> None:
    chance = random.Random(4)
    workspace, taken = tmp_path / "0", set[int]()
    wanted, kills, rounds = length(3, 200), 0, 0
    while True:
        process = scan(workspace, tree.path)
        assert process.stdout is not None
        if kills < wanted and (first := process.stdout.readline()):
            taken |= set(numbers([first]))
            time.sleep(chance.random() * length(1, 4) / 10)
            over = process.poll() is not None
            taken |= set(kill(process))
            kills += not over
            check(workspace, tree)
            if not over:
                continue
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, -signal.SIGKILL), err
        taken |= set(numbers(out.splitlines()))
        assert taken == tree.batches  # each was handed out, to one run or another
        assert tables(workspace) == tree.tables
        if kills >= wanted:
            break
        rounds += 1
        workspace, taken = tmp_path / str(rounds), set()
    report(
        "kill -9 of the group, photos",
        f"{kills} kills over {len(tree.hashes):,} files, {rounds + 1} scans ended with the tables of an undisturbed one",
    )


def test_the_whole_group_while_it_starts(tree: Tree, tmp_path: Path, length: Length, report: Report) -> None:
    chance = random.Random(5)
    kills = length(2, 20)
    for _ in range(kills):
        process = scan(tmp_path, tree.path)
        time.sleep(chance.random() * 1.2)
        kill(process)
        check(tmp_path, tree)
    process = scan(tmp_path, tree.path)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert tables(tmp_path) == tree.tables
    report("kill -9 of the group, photos at start-up", f"{kills} kills, tables equal")
