"""How fluid the page's library is: scrolling through a made-up library in a real browser.

    python benchmarks/gallery.py [--photos N] [--folder DIR]

Fills the tables with N photos (100,000) of twenty years that lie nowhere, with a preview each, serves them with `lote ui`,
and scrolls in Chromium: by the wheel, by dragging the bar, and by jumps. Prints one table: times of the first paint, of
frames, of jumps until their pictures are there, and the memory of the browser's page and of the server. Figures of a
browser that draws without a graphics card.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import CDPSession, Page, sync_playwright

from batch_processing.core.workspace import Workspace
from batch_processing.photos import tables
from batch_processing.photos.pixels.previews import NAME, Previews
from batch_processing.photos.store import open_database

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import drawn_photos as drawn  # type: ignore[import-not-found]

PICTURES = 60  # different ones, of about 12 KB each
AT_ONCE = 5000  # rows of one transaction
WINDOW = {"width": 1280, "height": 860}


def previews() -> list[bytes]:
    found = []
    for number in range(PICTURES):
        file = io.BytesIO()
        picture = Image.fromarray(drawn.scene(number, 512, 341)).resize((256, 171))
        picture.save(file, "JPEG", quality=80)
        found.append(file.getvalue())
    return found


def fill(workspace: Workspace, count: int) -> None:
    """A library of `count` photos, a tenth of which have no date."""
    chance = random.Random(1)
    database = open_database(workspace.database)
    kept = Previews(workspace.root / NAME)
    pictures = previews()
    begin = datetime(2004, 1, 1, 8, tzinfo=UTC)
    now = datetime.now(UTC)
    moment = begin
    with database.write() as connection:
        connection.execute(
            tables.directories.insert(),
            [
                {"id": number, "path": f"{workspace.root.parent}/album/{number:05d}"}
                for number in range(1, count // 100 + 2)
            ],
        )
        connection.execute(
            tables.scans.insert().values(
                roots=str(workspace.root.parent / "album"),
                state=tables.ScanState.FINISHED,
                started_at=now,
                finished_at=now,
                files_seen=count,
            )
        )
    for first in range(1, count + 1, AT_ONCE):
        photos, facts, looks, small = [], [], [], {}
        for number in range(first, min(first + AT_ONCE, count + 1)):
            digest = hashlib.sha256(str(number).encode()).digest()
            name = f"IMG_{number:06d}.jpg"
            moment += timedelta(
                seconds=chance.choice((2, 20, 300, 9000, 40000)) * 20 * 365 * 86400 / count / 10000
            )
            photos.append({
                "id": number, "directory_id": number // 100 + 1, "name": name, "size": 4_000_000 + number, "mtime_ns": 0,
                "hash": digest, "filename": name, "extension": ".jpg", "processed_at": now,
            })  # fmt: skip
            dated = chance.random() > 0.1
            facts.append({
                "photo_id": number, "format": "JPEG", "width": 4000, "height": 3000, "orientation": 1, "camera": "Canon EOS 5D",
                "taken_at": moment.strftime("%Y-%m-%dT%H:%M:%S") if dated else None, "taken_from": "exif" if dated else None,
                "version": tables.FACTS_VERSION,
            })  # fmt: skip
            looks.append({
                "hash": digest, "version": tables.LOOKS_VERSION, "width": 4000, "height": 3000, "flat": False,
                "readers": "", "looked_at": now,
            })  # fmt: skip
            small[digest] = pictures[number % PICTURES]
        with database.write() as connection:
            connection.execute(tables.photos.insert(), photos)
            connection.execute(tables.facts.insert(), facts)
            connection.execute(tables.looks.insert(), looks)
        kept.put(small)
    with database.write() as connection:
        connection.execute(sa.text("ANALYZE"))
    kept.close()
    database.close()


class Served:
    """`lote ui` over that library, while the block lasts."""

    def __init__(self, folder: Path) -> None:
        lote = [sys.executable, "-P", "-m", "batch_processing"]
        self._command = [
            *lote, "ui", "--no-browser", "--port", "0", "--root", str(folder), "--workspace", str(folder / "ws"),
        ]  # fmt: skip

    def __enter__(self) -> tuple[str, psutil.Process]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip(), psutil.Process(self._process.pid)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


# Milliseconds between frames while it scrolls, by so much each frame, for so many frames.
SCROLL = """async ([step, frames]) => {
  const s = document.querySelector('#scroller'), times = [];
  let last = await new Promise(requestAnimationFrame);
  for (let at = 0; at < frames; at += 1) {
    s.scrollTop += step;
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""
# Milliseconds from a jump to a share of all until every picture of the window is there.
JUMP = """async (share) => {
  const s = document.querySelector('#scroller'), begun = performance.now();
  s.scrollTop = share * s.scrollHeight;
  for (;;) {
    await new Promise(requestAnimationFrame);
    const box = s.getBoundingClientRect();
    const seen = [...document.querySelectorAll('#grid .photo')].filter((one) => {
      const place = one.getBoundingClientRect();
      return place.bottom > box.top && place.top < box.bottom;
    });
    if (seen.length && seen.every((one) => one.querySelector('img')?.naturalWidth)) return performance.now() - begun;
    if (performance.now() - begun > 20000) return 20000;
  }
}"""
# How long the script is at work for a frame, without what the browser draws: layout and rows of one jump.
WORK = """() => {
  const { grid } = loteLibrary, s = grid.scroller, times = [];
  for (let at = 1; at <= 60; at += 1) {
    s.scrollTop = at / 61 * s.scrollHeight;
    const begun = performance.now();
    grid.draw();
    times.push(performance.now() - begun);
  }
  return times;
}"""


def share(times: list[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def memory(session: CDPSession) -> float:
    """Of the page's own heap after a collection, in MB."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["JSHeapUsedSize"]) / 1e6


def measure(page: Page, address: str, server: psutil.Process) -> None:
    def row(name: str, value: float, unit: str) -> None:
        print(f"{name:52}{value:10.1f} {unit}", flush=True)

    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(address)
    plain = address.partition("?")[0] + "library"
    for name in ("first paint, cold", "first paint, warm"):
        page.goto(plain)
        while not page.evaluate("document.querySelector('#grid .photo img')?.naturalWidth"):
            page.wait_for_timeout(20)
        row(name, page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"), "ms")
        shown = page.evaluate(
            "Math.max(...performance.getEntriesByType('resource').filter((one) => one.name.includes('/index')).map((one) => one.responseEnd))"
        )
        row(name.replace("first paint", "photos are known"), shown, "ms")
        row(
            name.replace("first paint", "first picture"),
            page.evaluate(
                "Math.min(...performance.getEntriesByType('resource').filter((one) => one.name.includes('/preview')).map((one) => one.responseEnd))"
            ),
            "ms",
        )
    row("photos", page.evaluate("loteLibrary.grid.photos.index.photos"), "")
    row("height of the grid", page.evaluate("loteLibrary.grid.plan.height"), "px")
    for name, step, frames in (
        ("wheel, 60 px a frame", 60, 240),
        ("flung, 900 px a frame", 900, 240),
        ("dragged, 20000 px a frame", 20000, 100),
    ):
        times = page.evaluate(SCROLL, [step, frames])
        row(f"frames, {name}: median", share(times, 0.5), "ms")
        row(f"frames, {name}: 95 %", share(times, 0.95), "ms")
    work = page.evaluate(WORK)
    row("script for a window that is all new: median", share(work, 0.5), "ms")
    row("script for a window that is all new: most", max(work), "ms")
    jumps = [page.evaluate(JUMP, at / 21) for at in range(1, 21)]
    row("jump until all pictures are there: median", share(jumps, 0.5), "ms")
    row("jump until all pictures are there: most", max(jumps), "ms")
    row("photos in the document", page.locator("#grid .photo").count(), "")
    row("elements in the document", page.evaluate("document.querySelectorAll('*').length"), "")
    row("memory of the page", memory(session), "MB")
    row("memory of the server", server.memory_info().rss / 1e6, "MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument(
        "--folder", type=Path, help="keep the library there, and use it if it is there already"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lote-gallery-") as name:
        folder = given.folder or Path(name)
        workspace = Workspace(folder / "ws")
        if not (folder / "ws").exists():
            workspace.ensure()
            begun = time.monotonic()
            fill(workspace, given.photos)
            print(
                json.dumps(
                    {"photos": given.photos, "seconds to fill the tables": round(time.monotonic() - begun, 1)}
                )
            )
        workspace.close()
        with Served(folder) as (address, server), sync_playwright() as play:
            browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            measure(browser.new_page(viewport=WINDOW), address, server)  # type: ignore[arg-type]
            browser.close()


if __name__ == "__main__":
    main()
