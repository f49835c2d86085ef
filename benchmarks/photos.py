"""What a photo scan costs, beside `openssl speed`, `find`, and the duplicate finders that are installed.

    python benchmarks/photos.py [--folder DIR] [--million] [--only NAME ...]

Makes its own trees below DIR (default: a temporary folder), and removes them. Prints one table: each
measure as a ratio from this run, what must be reached, and what is aimed at. Rates are the best of several
rounds in which the two sides take turns, so that other work on the machine hits both. `--million` adds
the rows that need a million files (4 GB of disk, some minutes).
"""

from __future__ import annotations

import argparse
import gc
import json
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from batch_processing.photos import hashing, ingest, reading
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.walk import Walk

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ROUNDS = 6
RACY_S = 2.1  # files younger than this are read again, see docs/photos.md


@dataclass
class Row:
    """One line of the table. `better` says which way the figure should go."""

    name: str
    value: float
    must: float
    aim: float
    better: str = "more"
    unit: str = ""
    note: str = ""

    def verdict(self) -> str:
        def reached(limit: float) -> bool:
            return self.value >= limit if self.better == "more" else self.value <= limit

        return "aim" if reached(self.aim) else "must" if reached(self.must) else "MISSED"


def make(tree: Path, count: int, size: int, each: int = 200) -> Path:
    """`count` files of `size` bytes, all different, `each` in a folder."""
    noise = random.Random(1).randbytes(size)
    for number in range(count):
        folder = tree / f"{number // each:05d}"
        if number % each == 0:
            folder.mkdir(parents=True)
        descriptor = os.open(folder / f"IMG_{number % each:05d}.jpg", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, (b"%016d" % number + noise)[:size])
        os.close(descriptor)
    os.sync()  # else the disk writes them while scans wait for it to commit
    return tree


def openssl() -> float:
    """SHA-256 of all cores, bytes a second."""
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "-multi", str(CORES), "-bytes", "65536", "-evp", "sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"^sha256\s+([\d.]+)k", done.stdout, re.MULTILINE | re.IGNORECASE)
    assert match is not None, done.stdout
    return float(match[1]) * 1000


def find(tree: Path) -> float:
    """Seconds of `find`, writing size and time of every file."""
    began = time.perf_counter()
    subprocess.run(
        ["find", tree, "-size", "+0", "-printf", "%p %s %T@\n"], stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


def scan(tree: Path, database: Path) -> dict[str, Any]:
    """One scan in a process of its own: statistics, seconds, and when how many files were done."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(tree), str(database)], capture_output=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def child(tree: str, database: str, counter: str | None = None) -> None:
    """Scan, in the process that is measured. `counter`: a file that counts the photos read."""
    if counter is not None:
        _count_reads(counter)
    opened = open_database(database)
    gc.freeze()  # as the command does
    work = ingest.Scan(Store(opened), [os.fsencode(tree)])
    began = time.perf_counter()
    times = [time.perf_counter() - began for _ in work.run()]
    seconds = time.perf_counter() - began
    opened.close()
    print(json.dumps({"seconds": seconds, "times": times, **work.stats.to_dict()}))


def _count_reads(counter: str) -> None:
    real = reading.hash_file
    file = Path(counter).open("r+b")  # noqa: SIM115 - as long as the process
    shared = mmap.mmap(file.fileno(), 8)

    def counted(*arguments: Any) -> Any:
        result = real(*arguments)
        shared[:8] = (int.from_bytes(shared[:8], "little") + 1).to_bytes(8, "little")
        return result

    reading.hash_file = counted  # type: ignore[assignment]
    hashing.ALONE_S = float("inf")  # in this process, where they are counted


def read_alone(tree: Path) -> float:
    """Seconds of reading and hashing in one process for each core, with nothing else: no walk, no database."""
    paths = [os.fsencode(path) for path in sorted(tree.glob("*/*"))]
    began = time.perf_counter()
    children = []
    for core in range(CORES):
        if not (child := os.fork()):
            reading.answers(paths[core::CORES], reading.new_buffer(), lambda: False)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return time.perf_counter() - began


def fresh(folder: Path) -> Path:
    path = folder / "bench.db"
    for leftover in folder.glob("bench.db*"):
        leftover.unlink()
    return path


def hash_stage(folder: Path) -> list[Row]:
    """Over 6 GB each: starting and ending a scan takes 50 ms, which are not the hash stage's."""
    rows = []
    for label, size, count, must, aim in (
        ("2 MB", 2_000_000, 3000, 0.85, 0.95),
        ("300 KB", 300_000, 20_000, 0.70, 0.85),
        ("100 KB", 100_000, 60_000, 0.55, 0.75),
    ):
        tree = make(folder / "tree", count, size)
        speeds, bare, ours = [], [], []
        for _ in range(ROUNDS):
            speeds.append(openssl())
            bare.append(count * size / read_alone(tree))
            result = scan(tree, fresh(folder))
            ours.append(result["bytes_read"] / result["seconds"])
        note = f"{max(ours) / 1e9:.2f} of {max(speeds) / 1e9:.2f} GB/s; reading alone {max(bare) / max(speeds):.2f}"
        rows.append(
            Row(f"hash stage, files of {label}, of openssl", max(ours) / max(speeds), must, aim, note=note)
        )
        if size == 2_000_000:
            peers(tree, count * size)
        if hasattr(os, "posix_fadvise"):
            from_disk(tree, count * size, label, folder)
        shutil.rmtree(tree)
    return rows


def evict(tree: Path) -> None:
    """Take the files out of the page cache."""
    for path in tree.glob("*/*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def from_disk(tree: Path, size: int, label: str, folder: Path) -> None:
    """A scan of files that are not in the page cache, beside `cat` by many."""
    evict(tree)
    ours = scan(tree, fresh(folder))["seconds"]
    evict(tree)
    began = time.perf_counter()
    subprocess.run(
        ["sh", "-c", f"find {tree} -type f -print0 | xargs -0 -P8 -n 50 cat >/dev/null"], check=True
    )
    cat = time.perf_counter() - began
    print(
        f"from the disk, {label}: {size / ours / 1e9:.2f} GB/s; 8 processes of cat {size / cat / 1e9:.2f} GB/s"
    )


def peers(tree: Path, size: int) -> None:
    """Other programs over the same tree; they skip files of unique size, or do not."""
    for name, command in {
        "openssl dgst": f"find {tree} -type f -print0 | xargs -0 -P{CORES} -n 50 openssl dgst -sha256",
        "hashdeep": f"hashdeep -c sha256 -r -j{CORES} {tree}",
        "fdupes": f"fdupes -rq {tree}",
        "rdfind": f"rdfind -dryrun true -outputname /dev/null {tree}",
        "jdupes": f"jdupes -rq {tree}",
    }.items():
        if shutil.which(command.split()[0]) is None:
            print(f"{name}: not installed")
            continue
        began = time.perf_counter()
        subprocess.run(
            ["sh", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        seconds = time.perf_counter() - began
        print(f"{name}: {seconds:.2f} s, {size / seconds / 1e9:.2f} GB/s")


def walking(folder: Path) -> list[Row]:
    tree = make(folder / "tree", 200_000, 360)
    time.sleep(RACY_S)
    tiny = max(
        result["files_seen"] / result["seconds"]
        for result in (scan(tree, fresh(folder)) for _ in range(ROUNDS))
    )
    finds, walks, rescans, read = [], [], [], 0
    for _ in range(2 * ROUNDS):
        finds.append(find(tree))
        began = time.perf_counter()
        for _items in Walk([os.fsencode(tree)], lambda _: []):
            pass
        walks.append(time.perf_counter() - began)
        result = scan(tree, folder / "bench.db")
        rescans.append(result["seconds"])
        read += result["bytes_read"]
    shutil.rmtree(tree)
    note = f"find takes {min(finds):.2f} s for 200,000 files"
    return [
        Row("walk, of find's time", min(walks) / min(finds), 2.0, 1.5, "less", note=note),
        Row("rescan unchanged, of find's time", min(rescans) / min(finds), 2.5, 1.5, "less"),
        Row("rescan unchanged, bytes read", read, 0, 0, "less"),
        Row("tiny files with database, a second", tiny, 15_000, 30_000),
    ]


def killing(folder: Path) -> list[Row]:
    """Photos read by a scan that is killed, and not in the database afterwards."""
    tree = make(folder / "tree", 8000, 4000)
    worst = 0
    chance = random.Random(3)
    counter = folder / "counter"
    for _ in range(8):
        database = fresh(folder)
        counter.write_bytes(bytes(8))
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", str(tree), str(database), str(counter)],
            stdout=subprocess.DEVNULL,
        )
        target = chance.randint(500, 6000)
        while int.from_bytes(counter.read_bytes(), "little") < target and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        opened = open_database(database)
        with opened.read() as connection:
            committed = connection.scalar(sa.text("SELECT count(*) FROM photos"))
        opened.close()
        worst = max(worst, int.from_bytes(counter.read_bytes(), "little") - (committed or 0))
    shutil.rmtree(tree)
    return [
        Row("work redone after kill -9, batches", worst / 100, 3, 1, "less", note=f"{worst} photos at most")
    ]


def million(folder: Path) -> list[Row]:
    peaks = {}
    pace = 0.0
    for count in (10_000, 1_000_000):
        tree = make(folder / "tree", count, 40, 1000)
        result = scan(tree, fresh(folder))
        assert result["registered"] == count
        peaks[count] = result["peak_memory"]
        times = result["times"]
        tenth = len(times) // 10
        pace = (times[-1] - times[-tenth - 1]) / (times[tenth - 1])
        print(f"{count} files: {result['seconds']:.1f} s, peak {result['peak_memory'] / 2**20:.1f} MiB")
        shutil.rmtree(tree)
    growth = (peaks[1_000_000] - peaks[10_000]) / 2**20
    return [
        Row("growth of peak memory, 10,000 to 1,000,000 files", growth, 30, 10, "less", " MiB"),
        Row("time per file, last tenth of first, 1,000,000 files", pace, 1.5, 1.2, "less"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where trees are made (default: a temporary folder)")
    parser.add_argument("--million", action="store_true", help="the rows that need a million files")
    parser.add_argument("--only", nargs="*", default=[], help="hash, walk, kill, million")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    parts: dict[str, Callable[[Path], list[Row]]] = {"hash": hash_stage, "walk": walking, "kill": killing}
    if options.million or "million" in options.only:
        parts["million"] = million
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="lote-bench-") as folder:
        for name, part in parts.items():
            if not options.only or name in options.only:
                rows += part(Path(folder))
    print(f"\n{'measure':<52} {'figure':>12} {'must':>8} {'aim':>8}  reached")
    for row in rows:
        figure = f"{row.value:,.0f}" if row.value >= 1000 or row.value == 0 else f"{row.value:.2f}"
        print(
            f"{row.name:<52} {figure + row.unit:>12} {row.must:>8,g} {row.aim:>8,g}  {row.verdict():<7} {row.note}"
        )
    sys.exit(any(row.verdict() == "MISSED" for row in rows))


if __name__ == "__main__":
    main()
