"""How fast the editor answers in a browser: first paint, next page, a click, a stroke, in a long book and on a large page.

    python benchmarks/editor.py [--pages 500] [--megapixels 30] [--turns 12] [--folder DIR]

Needs the extra [ui], playwright and Chromium. Colours the sample chapter (examples/sample_chapter.py) with flats, then says in the
ledger that the book has `--pages` pages of that kind, so that a long book takes seconds to make; nothing is written in
that book. A second job has one page of `--megapixels`. Prints JSON, milliseconds as [median, worst]. What was coloured is kept
in `--folder`, and used again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

LOTE = [sys.executable, "-m", "batch_processing"]
SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "sample_chapter.py"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Milliseconds from the beginning of the window until its page can be edited.
OPEN = """async () => {
  while (!globalThis.loteEditor?.stage.flats) await new Promise((done) => setTimeout(done, 5));
  return performance.now();
}"""
# From a press of the button until the other page is on the screen.
NEXT = """async () => {
  const stage = loteEditor.stage, before = stage.flats, began = performance.now();
  document.querySelector('[data-do=next]').click();
  while (!stage.flats || stage.flats === before) await new Promise((done) => setTimeout(done, 2));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""
# From giving the region in the middle of the page a colour until that is on the screen, and of it the drawing alone.
CLICK = """async (turn) => {
  const stage = loteEditor.stage, flats = stage.flats;
  const label = 1 + flats.regions.map((region, at) => [region.area, at]).sort((a, b) => b[0] - a[0])[turn % 8][1];
  stage.choose([label]);
  const own = document.querySelector('#own'), began = performance.now();
  own.value = '#' + (0x102030 + 0x0a0b0c * turn).toString(16).padStart(6, '0');
  own.dispatchEvent(new Event('change'));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [performance.now() - began, stage.lastDraw];
}"""
# From the end of a stroke until its labels are on the screen.
STROKE = """async ([x, y]) => {
  const stage = loteEditor.stage, flats = stage.flats, began = performance.now();
  document.querySelector('[data-tool=brush]').click();
  stage.hooks.stroke([[x * flats.width, y * flats.height], [x * flats.width + 40, y * flats.height + 10]]);
  while (stage.flats === flats) await new Promise((done) => setTimeout(done, 2));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  document.querySelector('[data-tool=select]').click();
  return performance.now() - began;
}"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--pages", type=int, default=500)
    asked.add_argument("--megapixels", type=float, default=30.0)
    asked.add_argument("--turns", type=int, default=12)
    asked.add_argument("--folder", type=Path)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="lote-editor-", ignore_cleanup_errors=True) as name:
        folder = (options.folder or Path(name)).absolute()
        if not (folder / "workspace").exists():
            folder.mkdir(exist_ok=True)
            _chapter(folder)
            _large(folder, options.megapixels)
            lengthened(folder / "workspace" / "lote.db", options.pages)
        with served(folder) as address, sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(address)
            page.wait_for_timeout(1500)
            base = address.partition("?")[0]
            book = _book(page, f"{base}edit/1", options.turns)
            large = _page(page, f"{base}edit/2/2", options.turns)
            page.wait_for_selector('#saving[data-state="saved"]', timeout=300_000)
            browser.close()
        print(json.dumps({"book": {"pages": options.pages, **book}, "page": large}, indent=1))


def run(*words: str | Path) -> None:
    subprocess.run([*LOTE, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def _chapter(folder: Path) -> None:
    """Job 1: the sample chapter, coloured from a folder."""
    subprocess.run(
        [sys.executable, str(SAMPLE), str(folder / "sample.cbz")], check=True, stdout=subprocess.DEVNULL
    )
    with zipfile.ZipFile(folder / "sample.cbz") as archive:
        archive.extractall(folder / "in")
    run(
        "colorize",
        folder / "in",
        "-o",
        folder / "out",
        "--workspace",
        folder / "workspace",
        "--backend",
        "flats",
    )


def _large(folder: Path, megapixels: float) -> None:
    """Job 2: the first page at another size."""
    pages = folder / "large"
    pages.mkdir()
    shutil.copy(folder / "in" / "cover.png", pages)
    with Image.open(folder / "in" / "page_01.png") as page:
        times = (megapixels * 1e6 / (page.width * page.height)) ** 0.5
        size = round(page.width * times), round(page.height * times)
        page.convert("L").resize(size, Image.Resampling.LANCZOS).save(pages / "page.png")
    run(
        "colorize",
        pages,
        "-o",
        folder / "large-out",
        "--workspace",
        folder / "workspace",
        "--backend",
        "flats",
    )


def lengthened(database: Path, count: int) -> None:
    """Have job 1 have this many pages: the same ones under other names, as a run would have entered them."""
    with closing(sqlite3.connect(database)) as connection:
        pages = {key for (key,) in connection.execute("select key from item where job_id = 1").fetchall()}
        connection.row_factory = sqlite3.Row
        for table in ("source", "item"):
            rows = [dict(row) for row in connection.execute(f"select * from {table} where job_id = 1")]  # noqa: S608 - a name of ours
            rows = [row for row in rows if row["key"] in pages]
            for number in range(len(rows), count):
                row = {name: value for name, value in rows[number % len(rows)].items() if name != "id"}
                row["key"] = f"more_{number:04}.png"
                if table == "source":
                    row["sort"] = f"~{number:06}"
                else:
                    row["ordinal"] = number + 10
                names = ", ".join(row)
                marks = ", ".join("?" * len(row))
                insert = f"insert into {table} ({names}) values ({marks})"  # noqa: S608 - names of ours
                connection.execute(insert, tuple(row.values()))
        connection.execute("update tally set count = ? where job_id = 1 and state = 'completed'", (count,))
        connection.commit()


def _ready(page: Page, address: str) -> tuple[float, float]:
    """Milliseconds until the page's picture, and until it can be edited."""
    page.goto(address)
    ready = page.evaluate(OPEN)
    first = page.evaluate(
        "performance.getEntriesByType('paint').find((one) => one.name === 'first-contentful-paint')?.startTime ?? 0"
    )
    return first, ready


def _book(page: Page, address: str, turns: int) -> dict[str, Any]:
    cold = _ready(page, f"{address}/2")
    page.wait_for_selector("html[data-lote=ready]", timeout=120_000)
    warm = _ready(page, f"{address}/2")
    page.wait_for_selector("html[data-lote=ready]", timeout=120_000)
    page.wait_for_timeout(2500)
    turned = []
    for _ in range(turns):
        turned.append(page.evaluate(NEXT))
        page.wait_for_timeout(1200)  # a person looks at it
    hurried = [page.evaluate(NEXT) for _ in range(turns)]
    asked = {}
    for what in ("", "/palette", "/review"):
        began = time.perf_counter()
        page.evaluate("(path) => fetch(path).then((reply) => reply.arrayBuffer())", f"{_data(address)}{what}")
        asked[what.strip("/") or "pages"] = round(1000 * (time.perf_counter() - began))
    return {
        "first_paint_ms": [round(warm[0]), round(cold[0])],
        "ready_ms": [round(warm[1]), round(cold[1])],
        "next_page_ms": _times(turned),
        "next_page_without_a_look_ms": _times(hurried),
        "answers_ms": asked,
    }


def _data(address: str) -> str:
    return address.replace("/edit/", "/lote/edit/")


def _page(page: Page, address: str, turns: int) -> dict[str, Any]:
    first, ready = _ready(page, address)
    page.wait_for_selector("html[data-lote=ready]", timeout=120_000)
    page.wait_for_timeout(1500)
    clicks = [page.evaluate(CLICK, turn) for turn in range(turns)]
    page.evaluate("document.querySelector('#own').value = '#e63ca0'")
    strokes = [page.evaluate(STROKE, [0.2 + 0.1 * turn, 0.3]) for turn in range(4)]
    planes, whole = page.evaluate(
        "() => [[loteEditor.stage.flats.width, loteEditor.stage.flats.height], loteEditor.stage.flats.page]"
    )
    return {
        "pixels": whole,
        "planes": planes,
        "first_paint_ms": round(first),
        "ready_ms": round(ready),
        "click_to_repaint_ms": _times([one[0] for one in clicks]),
        "of_it_drawing_ms": _times([one[1] for one in clicks]),
        "stroke_to_labels_ms": _times(strokes),
    }


def _times(found: list[float]) -> list[int]:
    return [round(statistics.median(found)), round(max(found))]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    words = [
        "ui",
        "--port",
        "0",
        "--root",
        str(folder),
        "--workspace",
        str(folder / "workspace"),
        "--no-browser",
    ]
    with subprocess.Popen([*LOTE, *words], stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


if __name__ == "__main__":
    main()
