"""How fast the engine is, and whether its memory grows, as ratios against peers measured in the same run.

    python benchmarks/engine.py              2,000 items end to end, memory over 2,000 items, start-up
    python benchmarks/engine.py --long       memory over 10,000 items

The peers are what no engine that keeps the promises of docs/ledger.md can do without: writing, fsyncing
and renaming a file for each item in the same folder, and a commit of a bare SQLite database with the same
settings. A ratio tells more than a time: both sides have the same disk and the same neighbours.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from batch_processing.colorize import colorize_comic
from batch_processing.core.database import journal_mode

# Limits of the project: items a second on two quiet cores, megabytes per thousand items, and
# milliseconds beyond bare Python.
ITEMS_PER_SECOND, MB_PER_1000, IMPORT_MS, HELP_MS = 200.0, 0.1, 100.0, 300.0
PEER = 200  # files and commits of the peers


def draw(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        pixels = np.full((64, 48), 255, np.uint8)
        pixels[number % 64] = 0
        pixels[:, number // 64 % 48] = 0
        pixels[number // 3072] = 0
        Image.fromarray(pixels).save(folder / f"p{number:05}.png")


def row(name: str, value: str, ratio: float, limit: str) -> None:
    print(f"{name:<44} {value:>16}   {ratio:>7.2f} x  {limit}", flush=True)


def bare_files(folder: Path) -> float:
    """Seconds for one file: written, fsynced, renamed, its folder fsynced."""
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    began = time.perf_counter()
    for number in range(PEER):
        part = folder / f".{number}.part"
        with part.open("wb") as file:
            file.write(b"x" * 1000)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / str(number))
        os.fsync(descriptor)
    os.close(descriptor)
    return (time.perf_counter() - began) / PEER


def bare_commits(path: Path) -> float:
    """Seconds for one commit of a bare database with the ledger's settings."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={journal_mode()}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (a)")
    began = time.perf_counter()
    for number in range(PEER):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        connection.execute("COMMIT")
    connection.close()
    return (time.perf_counter() - began) / PEER


def color(root: Path, count: int) -> tuple[float, float, float]:
    """(seconds in all, seconds of the pages alone, growth in MB for 1,000 pages after the first fifth)."""
    draw(root / "in", count)
    process = psutil.Process()
    memory: list[tuple[int, float]] = []
    running: list[float] = []

    def on_news(_events: Any, snapshot: Any) -> None:
        if snapshot.job.state == "running":
            running.append(time.perf_counter())
            memory.append((snapshot.done, process.memory_info().rss / 2**20))

    began = time.perf_counter()
    result = colorize_comic(
        root / "in",
        root / "out",
        config={"backend": "noop", "max_concurrent": 2, "as_lineart": ["*"]},
        workspace=root / "workspace",
        on_news=on_news,
    )
    assert result.completed == count, result
    settled = [(done, size) for done, size in memory if done >= count / 5]
    (first, low), (last, high) = settled[0], settled[-1]
    growth = (high - low) / max(last - first, 1) * 1000
    return time.perf_counter() - began, running[-1] - running[0], growth


def start_up(arguments: list[str]) -> float:
    """Milliseconds of processor time of a Python process beyond one that does nothing; medians, in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(11):
        for command, found in zip((["-c", "pass"], arguments), times, strict=True):
            before = os.times()
            subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            found.append(used)
    return (statistics.median(times[1]) - statistics.median(times[0])) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--long", action="store_true", help="measure memory over 10,000 items")
    parser.add_argument("--items", type=int, default=2000, help="items of the timed run")
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory(prefix="lote-bench-") as folder:
        root = Path(folder)
        files, commits = bare_files(root / "files"), bare_commits(root / "bare.db")
        row("bare file: write, fsync, rename, fsync", f"{1 / files:.0f}/s", 1.0, "peer")
        row("bare commit", f"{1 / commits:.0f}/s", 1.0, "peer")
        (root / "timed").mkdir()
        seconds, pages, growth = color(root / "timed", options.items)
        rate = options.items / seconds
        row(
            f"{options.items} items end to end",
            f"{rate:.0f}/s",
            rate / ITEMS_PER_SECOND,
            "of the 200/s asked for",
        )
        rate = options.items / pages
        row("  their pages alone", f"{rate:.0f}/s", rate / ITEMS_PER_SECOND, "of the 200/s asked for")
        row("  one item", f"{1000 / rate:.1f} ms", 1 / rate / (files + commits), "bare file + bare commit")
        if options.long:
            (root / "long").mkdir()
            growth = color(root / "long", 10_000)[2]
        row("memory for 1,000 items more", f"{growth:.3f} MB", growth / MB_PER_1000, "of the 0.1 MB allowed")
    door, screen = start_up(["-c", "import batch_processing"]), start_up(["-m", "batch_processing", "--help"])
    row(
        "import batch_processing beyond bare Python",
        f"{door:.0f} ms",
        door / IMPORT_MS,
        "of the 100 ms allowed",
    )
    row("lote --help beyond bare Python", f"{screen:.0f} ms", screen / HELP_MS, "of the 300 ms allowed")


if __name__ == "__main__":
    main()
