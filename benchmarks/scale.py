"""What a job of many pages costs beside the colouring: ledger, report, planning, resuming, memory.

    python benchmarks/scale.py                   10,000 tiny pages
    python benchmarks/scale.py --pages 1000      fewer
    python benchmarks/scale.py --flats 3         also the sample chapter, so many times over, as flats colours it: what a
                                                 real page leaves in the ledger and in the report

The tiny pages are handed through (backend noop), so that what is measured is Lote itself. Times are processor seconds of the
coordinator, the process that runs the job, without its workers; memory is the most that it held. To compare two versions, run
this file with PYTHONPATH set to the `src` of each, on the same machine, one right after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def draw(folder: Path, count: int) -> None:
    """Tiny line art, each page with other bytes, in folders of 1,000."""
    for number in range(count):
        pixels = np.full((64, 48), 255, np.uint8)
        pixels[number % 64] = 0
        pixels[:, number // 64 % 48] = 0
        pixels[number // 3072] = 0
        path = folder / f"ch{number // 1000 + 1:03}" / f"p{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def chapters(folder: Path, times: int) -> int:
    """The sample chapter, so many times over; how many pages are to be coloured."""
    subprocess.run([sys.executable, ROOT / "examples" / "sample_chapter.py", folder / "one.cbz"], check=True)
    from zipfile import ZipFile

    (folder / "in").mkdir()
    pages = 0
    with ZipFile(folder / "one.cbz") as book:
        for name in book.namelist():
            if name.startswith("references/") or "cover" in name:
                book.extract(name, folder / "in")
            elif name.endswith((".png", ".webp")):
                for number in range(times):
                    pages += 1
                    target = folder / "in" / f"{number:03}-{Path(name).name}"
                    with Image.open(book.open(name)) as page:
                        page.putpixel(
                            (number, 0), 0 if page.mode == "L" else (0, 0, 0)
                        )  # each is another page
                        page.save(target, lossless=True)
    return pages


def stage(root: Path, backend: str) -> None:
    """Run the job of `root` in this process, and print what it cost."""
    from batch_processing import colorize_comic

    seen: list[tuple[str, float, float]] = []

    def on_news(_events: Any, snapshot: Any) -> None:
        state = str(snapshot.job.state)
        if not seen or seen[-1][0] != state:
            seen.append((state, time.process_time(), time.perf_counter()))

    config: dict[str, Any] = {"backend": backend, "recursive": True}
    if backend == "noop":
        config["as_lineart"] = ["*"]
    began = time.process_time(), time.perf_counter()
    result = colorize_comic(root / "in", root / "out", workspace=root / "ws", config=config, on_news=on_news)
    ended = time.process_time(), time.perf_counter()
    spent: dict[str, float] = {}
    for (state, cpu, _), (_, after, _) in zip(seen, [*seen[1:], ("", *ended)], strict=True):
        spent[state] = spent.get(state, 0.0) + after - cpu
    figures = {
        "completed": result.completed,
        "reused": result.reused,
        "cpu": ended[0] - began[0],
        "wall": ended[1] - began[1],
        "planning": spent.get("planning", 0.0),
        "finishing": spent.get("finishing", 0.0),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(figures))


def run(root: Path, backend: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--stage", str(root), "--backend", backend],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def row(name: str, value: str) -> None:
    print(f"{name:<58} {value:>18}", flush=True)


def ledger_rows(root: Path, pages: int) -> None:
    path = root / "ws" / "lote.db"
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("VACUUM")
        (details,) = ledger.execute("SELECT avg(length(details)) FROM item").fetchone()
        (work,) = ledger.execute("SELECT avg(length(work)) FROM item").fetchone()
    row("ledger, bytes a page", f"{path.stat().st_size / pages:,.0f}")
    row("  what the backend told (details)", f"{details:,.0f}")
    row("  what it was asked for (work)", f"{work:,.0f}")
    regions = list(root.glob("ws/jobs/*/regions/*"))
    if regions:
        row("files of regions, bytes a page", f"{sum(map(size, regions)) / pages:,.0f}")


def size(path: Path) -> int:
    return path.stat().st_size


def report_rows(root: Path, pages: int) -> None:
    side = root / "out" / "_lote"
    html = [side / "report.html", *sorted(side.glob("report/*.html"))]
    sheets = [*side.glob("contact_sheet.*"), *side.glob("report/contact_sheet*")]
    row("report, files", f"{len(html):,}")
    row("  bytes, all", f"{sum(map(size, html)):,}")
    row("  bytes, the first file", f"{size(html[0]):,}")
    row("  bytes, the largest file", f"{max(map(size, html)):,}")
    row("  bytes a page", f"{sum(map(size, html)) / pages:,.0f}")
    row("contact sheets, files", f"{len(sheets):,}")
    row("  bytes, all", f"{sum(map(size, sheets)):,}")
    review = side / "review.json"
    row("review.json, bytes", f"{size(review) if review.exists() else 0:,}")


def run_rows(title: str, figures: dict[str, float], pages: int) -> None:
    row(f"{title}: wall, s", f"{figures['wall']:.1f}")
    row("  CPU of the coordinator, ms a page", f"{figures['cpu'] / pages * 1000:.3f}")
    row("    of it planning", f"{figures['planning'] / pages * 1000:.3f}")
    row("    of it finishing (with the report)", f"{figures['finishing'] / pages * 1000:.3f}")
    row("  most memory, MB", f"{figures['memory'] / 1e6:,.0f}")


def measure(root: Path, backend: str, pages: int) -> None:
    first = run(root, backend)
    assert first["completed"] == pages, first
    run_rows("first run", first, pages)
    ledger_rows(root, pages)
    report_rows(root, pages)
    again = run(root, backend)
    assert again["reused"] == pages, again
    run_rows("resuming the finished job", again, pages)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=10_000, help="tiny pages (0: none)")
    parser.add_argument("--flats", type=int, default=0, help="how many times the sample chapter is coloured")
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--backend", default="noop", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage(options.stage, options.backend)
        return
    print(f"{os.cpu_count()} cores", flush=True)
    if options.pages:
        with tempfile.TemporaryDirectory(prefix="lote-scale-") as folder:
            draw(Path(folder) / "in", options.pages)
            print(f"\n{options.pages:,} pages of 48 x 64 pixels, handed through")
            measure(Path(folder), "noop", options.pages)
    if options.flats:
        with tempfile.TemporaryDirectory(prefix="lote-scale-") as folder:
            pages = chapters(Path(folder), options.flats)
            print(f"\n{pages} pages of 2.2 megapixels, coloured by flats")
            measure(Path(folder), "flats", pages)


if __name__ == "__main__":
    main()
