"""A job of any length: memory, open files, threads and the work for a page do not grow with it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from faults.runs import PATIENCE_S, Comic, Length, Report, draw_pages

# What may be added between the first pages and the last: noise of the allocator and of SQLite's
# page cache (2 MB), next to the 100 bytes a page that anything kept for each of 100,000 would take.
ROOM = 8_000_000


@dataclass(frozen=True)
class Look:
    """The run at one moment: pages done, and what the coordinator and its workers hold and have used."""

    pages: int
    memory: int
    largest_worker: int
    files: int
    threads: int
    seconds: float  # of processors


def look(comic: Comic, process: psutil.Process, spent: dict[int, float]) -> Look:
    workers = process.children()
    for each in [process, *workers]:
        times = each.cpu_times()
        spent[each.pid] = times.user + times.system  # of workers that have left since, the last that was seen
    return Look(
        comic.completed(),
        process.memory_info().rss,
        max((worker.memory_info().rss for worker in workers), default=0),
        process.num_fds(),
        process.num_threads(),
        sum(spent.values()),
    )


def watch(comic: Comic, process: subprocess.Popen[bytes], interval: float) -> list[Look]:
    """Look at the run all the time while it makes pages."""
    looks: list[Look] = []
    spent: dict[int, float] = {}
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        if comic.query("SELECT 1 FROM job WHERE state = 'running'"):
            try:
                looks.append(look(comic, watched, spent))
            except psutil.NoSuchProcess:  # a worker has just been renewed, or the run is over
                continue
        time.sleep(interval)
    return looks


def test_pages_without_end(tmp_path: Path, length: Length, report: Report) -> None:
    pages = length(400, 100_000)
    draw_pages(tmp_path / "in", pages)
    comic = Comic(tmp_path / "in", tmp_path, "out")
    began = time.monotonic()
    process = comic.start()
    looks = watch(comic, process, length(1, 10) / 50)
    assert process.wait(PATIENCE_S) == 0, (tmp_path / "told").read_text()
    assert comic.completed() == pages
    share = length(3, 1) * pages // 10  # few pages are soon over
    early = [each for each in looks if pages // 10 <= each.pages < pages // 10 + share]
    late = [each for each in looks if pages - share <= each.pages < pages]
    assert len(early) > 1
    assert len(late) > 1
    # The usual of each part: what is open while a worker is renewed or a file is hashed comes and goes.
    for name, room in (("memory", ROOM), ("largest_worker", ROOM), ("files", 4), ("threads", 2)):
        first, last = (median(getattr(each, name) for each in part) for part in (early, late))
        assert last <= first + room, f"{name} grew from {first} to {last}"
    cost = [
        (part[-1].seconds - part[0].seconds) / max(1, part[-1].pages - part[0].pages)
        for part in (early, late)
    ]
    # Time of processors, so that it says the same beside other work; pages are few in the short form.
    assert cost[1] < cost[0] * length(3, 2)
    report(
        f"{pages:,} pages",
        f"{time.monotonic() - began:.0f} s; coordinator {late[-1].memory // 10**6} MB "
        f"({(late[-1].memory - early[-1].memory) / 1e6:+.1f}), largest worker {late[-1].largest_worker // 10**6} MB, "
        f"{late[-1].files} open files, {late[-1].threads} threads; {cost[0] * 1000:.2f} ms of processors a page at first, "
        f"{cost[1] * 1000:.2f} at last",
    )
