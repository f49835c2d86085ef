"""kill -9 of `lote watch` at random moments: each book comes out, once, and each input is in one place."""

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
from pathlib import Path

import psutil

from command import command, environment
from faults.runs import PATIENCE_S, SLOTS, Comic, Length, Report, draw_pages
from pages import zipped

BOOKS, PAGES = 3, 4


def fill(folder: Path) -> int:
    """Books as a studio puts them there: archives, a folder, and one that fails; the number of their pages."""
    for number in range(BOOKS):
        draw_pages(folder.parent / f"book {number}", PAGES + number)
    folder.mkdir()
    for number in range(BOOKS - 1):
        zipped(folder.parent / f"book {number}", folder / f"ch {number}.cbz")
    (folder.parent / f"book {BOOKS - 1}").rename(folder / "pages")
    (folder / "notes.txt").write_text("no book")
    return sum(PAGES + number for number in range(BOOKS))


def contents(folder: Path) -> dict[str, str]:
    """The hash of each file that a person put there, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name != "notes.txt.txt"
    }


def start(root: Path) -> subprocess.Popen[bytes]:
    settings = {"SOURCE_DATE_EPOCH": "1600000000"}
    arguments = (
        "watch", root / "in", "-o", root / "out", "--once", "--settle", "0.1", "--backend", "noop", "--as-lineart",
        "*", "--workers", str(SLOTS), "--quiet",
    )  # fmt: skip
    with (root / "told").open("ab") as told:
        return subprocess.Popen(
            command(*arguments),
            env=environment(root / "ws") | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        psutil.wait_procs(workers, timeout=PATIENCE_S)
    process.wait()


def outputs(root: Path) -> dict[str, str]:
    return {
        name: digest
        for name, digest in contents(root / "out").items()
        if name.endswith((".cbz", ".png")) and "lote" not in name
    }


def places(root: Path) -> int:
    """Changes with every move, and with every book that comes out."""
    return len([*(root / "in").glob("*/*"), *(root / "out").glob("*")])


def killed_somewhere(root: Path, rng: random.Random, lasts: float) -> bool:
    """Start it, and kill it: at any moment, or, mostly, where something has just been moved; False where it ended before."""
    process = start(root)
    until = time.monotonic() + rng.uniform(0.3, 1.0) * lasts
    changes = rng.choice([0, 1, 1, 2, 3])  # so many are waited for
    there = places(root)
    while process.poll() is None and (changes or time.monotonic() < until):
        time.sleep(0.005)
        if changes and places(root) != there:
            changes, there = changes - 1, places(root)
            until = time.monotonic() + (0.0 if changes else rng.random() * 0.05)
    if process.poll() is not None:
        assert process.returncode in (0, 3), (root / "told").read_text()
        return False
    kill(process)
    return True


def test_watch_killed_at_random_moments(tmp_path: Path, length: Length, report: Report) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    pages = fill(calm / "in")
    put = contents(calm / "in")
    shutil.copytree(calm / "in", tmp_path / "put")
    began = time.monotonic()
    assert start(calm).wait(PATIENCE_S) == 3
    lasts = time.monotonic() - began
    ends = "SELECT name, state, end, target IS NULL FROM dropped ORDER BY name"

    rng, wanted, kills, again, rounds = random.Random(5), length(3, 20), 0, 0, 0
    while kills < wanted:
        wild = tmp_path / f"wild {rounds}"
        shutil.copytree(tmp_path / "put", wild / "in")
        rounds, here = rounds + 1, 0
        while kills < wanted and killed_somewhere(wild, rng, lasts):
            kills, here = kills + 1, here + 1
            there = Counter(contents(wild / "in").values())
            assert there == Counter(put.values()), "an input is gone, or is there twice"
        assert start(wild).wait(PATIENCE_S) in (0, 3)
        assert contents(wild / "in") == contents(calm / "in")
        assert outputs(wild) == outputs(calm)
        ledger = Comic(wild / "in", wild)
        assert ledger.query(ends) == Comic(calm / "in", calm).query(ends)
        assert ledger.query("SELECT count(*), count(DISTINCT output) FROM job") == [(BOOKS, BOOKS)]
        ((made,),) = ledger.query("SELECT sum(attempts) FROM item")
        assert pages <= made <= pages + SLOTS * here
        again += made - pages
        assert ledger.strays() == []
    report(
        "kill -9 of lote watch",
        f"{kills} kills, {again} pages begun again, {rounds} times {BOOKS} books equal",
    )
