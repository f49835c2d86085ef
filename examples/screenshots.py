"""Take the pictures of docs/ui.md: each view of the page at both widths, light and dark.

    python examples/screenshots.py [editor|library|comics]    (needs the extra [ui], playwright and /usr/bin/chromium)

With `editor` or `library`, those of the editor, or of the photo library, alone.

The pages come from examples/sample_chapter.py and the photos from examples/photo_album.py, so every picture shows what
anybody can make.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import photo_album  # type: ignore[import-not-found]
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from batch_processing.photos import tables
from batch_processing.photos.store import open_database

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent / "docs" / "images"
WIDTHS = {"wide": (1280, 860), "narrow": (390, 844)}
COLORS = 256  # of the palette: the pictures are flat, and the repository stays small


LOTE = [sys.executable, "-P", "-m", "batch_processing"]


def environment() -> dict[str, str]:
    """This one, with the modules that this script sees."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def shot(page: Page, name: str) -> None:
    """Each picture as PNG with a palette."""
    target = PICTURES / f"ui-{name}.png"
    for _ in range(200):  # until what is seen of the pictures is there
        if page.evaluate(
            "[...document.images].every((one) => one.complete || one.loading === 'lazy' && !one.width)"
        ):
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(900)  # thumbnails and transitions
    page.screenshot(path=str(target))
    with Image.open(target) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def views(page: Page, address: str, chapter: Path, photos: Path, suffix: str) -> None:
    """One person's way over the page."""
    page.goto(address)
    page.wait_for_selector("html[data-lote=ready]")
    page.wait_for_selector(".sample")
    shot(page, f"empty-{suffix}")
    page.locator("#lote-chapter [data-do=folders]").click()
    page.wait_for_selector("#lote-viewer .folders")
    shot(page, f"folders-{suffix}")
    page.keyboard.press("Escape")
    page.set_input_files("#lote-files", str(chapter))
    page.wait_for_selector(".gallery.reference .card")
    page.wait_for_selector('[data-part="inputs"] .busy', state="detached", timeout=120_000)
    shot(page, f"chapter-{suffix}")
    page.click("#settings button")
    page.locator("#settings").scroll_into_view_if_needed()
    shot(page, f"settings-{suffix}")
    page.locator(".gallery.page [data-do=preview]").first.click()
    page.wait_for_selector(".trial .pair img, #stage", timeout=240_000)
    page.wait_for_timeout(2000)
    if "/edit/" in page.url:  # the editor has opened by itself
        page.get_by_role("link", name="Back to the chapter").click()
        page.wait_for_selector(".trial .pair img")
    page.locator(".trial").scroll_into_view_if_needed()
    shot(page, f"preview-{suffix}")
    page.click("#start")
    page.wait_for_selector(".results .shot", timeout=240_000)
    shot(page, f"running-{suffix}")
    page.wait_for_selector(".job-title .state.done", timeout=500_000)
    shot(page, f"results-{suffix}")
    for number in (1, 3):
        page.locator("[data-do=choose]").nth(number).check()
    shot(page, f"several-{suffix}")
    page.locator("[data-do=choose-none]").click()
    page.locator(".results .shot").first.click()
    page.wait_for_selector("#lote-viewer img.after")
    shot(page, f"page-{suffix}")
    page.click("[data-do=draw]")
    shot(page, f"hints-{suffix}")
    page.keyboard.press("Escape")
    page.click("#tab-history-button")
    page.wait_for_selector("table.jobs")
    shot(page, f"history-{suffix}")
    page.click("#tab-photos-button")
    page.fill("#lote-folder", str(photos))
    page.press("#lote-folder", "Enter")
    page.wait_for_selector(".group", timeout=60_000)
    shot(page, f"photos-{suffix}")


# Where the sky of a page is, and a part of it that no line parts from the rest, in pixels of the page.
SKY = ((200, 330), (260, 345), (700, 330), (780, 345))


def editor_views(page: Page, address: str, suffix: str) -> None:
    """The way of somebody who puts a page right."""
    page.goto(address)
    page.goto(f"{address.partition('?')[0]}edit/1/2")
    page.wait_for_selector("html[data-lote=ready]", timeout=240_000)

    def at(x: int, y: int) -> tuple[float, float]:
        place = page.evaluate(
            "([x, y]) => { const s = loteEditor.stage, b = s.root.getBoundingClientRect();"
            " return [b.left + s.place.x + x * s.place.scale, b.top + s.place.y + y * s.place.scale]; }",
            [x, y],
        )
        return place[0], place[1]

    def drag(first: tuple[int, int], last: tuple[int, int]) -> None:
        page.mouse.move(*at(*first))
        page.mouse.down()
        page.mouse.move(*at(*last), steps=8)
        page.mouse.up()
        page.wait_for_timeout(2500)

    page.wait_for_timeout(1500)
    page.mouse.click(*at(560, 900))
    shot(page, f"editor-{suffix}")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    shot(page, f"editor-doubt-{suffix}")
    page.keyboard.press("d")
    page.keyboard.press("5")
    page.keyboard.press("b")
    drag(*SKY[:2])
    page.keyboard.press("1")
    drag(*SKY[2:])
    shot(page, f"editor-strokes-{suffix}")
    for _ in range(2):
        page.keyboard.press("Control+z")
        page.wait_for_timeout(2500)
    page.keyboard.press("v")
    page.wait_for_selector('#saving[data-state="saved"]', timeout=240_000)
    page.keyboard.press("r")
    page.wait_for_selector("#review h2", timeout=240_000)
    page.wait_for_timeout(1500)
    shot(page, f"editor-review-{suffix}")


PEOPLE = ("Ana", "Beto", "", "Carla", "", "")  # who is on the photos of the album, where somebody has said it


def with_people(folder: Path, workspace: Path) -> None:
    """Photos with drawn people, and what a search for faces would have found on them."""
    boxes = {}
    for person in range(len(PEOPLE)):
        for number in range(9 - person):
            picture = photo_album.landscape(500 + 20 * person + number)
            box = photo_album.with_face(picture, person, number)
            taken_at = f"2024:{1 + number:02d}:{10 + person:02d} 12:00:00"
            boxes[photo_album.save(picture, folder / "People" / f"P{person}{number}.jpg", taken_at)] = (
                person,
                box,
            )
    subprocess.run(
        [*LOTE, "photos", "scan", "--look", str(folder), "--workspace", str(workspace)],
        env=environment(),
        check=False,
    )
    database = open_database(workspace / "lote.db")
    now = datetime.now(UTC)
    with database.write() as connection:
        names = [
            {"id": number + 1, "label": name or None, "folded": name.lower() or None, "created_at": now}
            for number, name in enumerate(PEOPLE)
        ]
        connection.execute(tables.people.insert(), names)
        rows = [
            {
                "hash": hashlib.sha256(path.read_bytes()).digest(), "number": 0, "model": "drawn", "x": x, "y": y, "w": w, "h": h,
                "score": 0.99, "quality": 200.0, "person_id": person + 1,
            }
            for path, (person, (x, y, w, h)) in boxes.items()
        ]  # fmt: skip
        connection.execute(tables.faces.insert(), rows)
    database.close()


def library_views(page: Page, address: str, suffix: str) -> None:
    """The way of somebody who looks through an album."""
    home = address.partition("?")[0]
    page.goto(address)
    page.goto(f"{home}library")
    page.wait_for_selector("#grid .photo img")
    shot(page, f"library-{suffix}")
    page.locator("#grid .photo").nth(11).click()
    page.wait_for_selector("#viewer-facts div")
    shot(page, f"library-photo-{suffix}")
    page.goto(f"{home}library/similar?of=similar")
    page.click("#find")
    page.wait_for_selector(".group", timeout=120_000)
    shot(page, f"library-similar-{suffix}")
    page.goto(f"{home}library/people")
    page.wait_for_selector("#people img")
    shot(page, f"library-people-{suffix}")
    page.goto(f"{home}library/left-out")
    page.locator("summary").first.click()
    page.wait_for_selector(".paths li")
    shot(page, f"library-left-out-{suffix}")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    editor_alone, library_alone, comics_alone = (
        sys.argv[1:] == [name] for name in ("editor", "library", "comics")
    )
    with tempfile.TemporaryDirectory(prefix="lote-pictures-") as name:
        folder = Path(name) / "comics"
        photos = folder / "photos"
        photos.mkdir(parents=True)
        chapter = folder / "seaside.cbz"
        subprocess.run([sys.executable, str(HERE / "sample_chapter.py"), str(chapter)], check=True)
        for number, twin in enumerate(("harbour.png", "copy of harbour.png", "pier.png")):
            Image.effect_mandelbrot((640, 480), (-2, -1.2, 1 - number // 2 * 0.4, 1.2), 60).save(
                photos / twin
            )
        photo_album.album(folder / "album")
        with_people(folder / "album", folder / "ws-library")
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-background-networking"]
            )
            for width, (x, y) in WIDTHS.items():
                for scheme in ("light", "dark"):
                    options: Any = {
                        "viewport": {"width": x, "height": y},
                        "color_scheme": scheme,
                        "locale": "en-GB",
                    }
                    if not editor_alone and not comics_alone:
                        with Served(folder, "library") as address:
                            context = browser.new_context(**options)
                            library_views(context.new_page(), address, f"{width}-{scheme}")
                            context.close()
                    if library_alone:
                        continue
                    if not editor_alone:
                        with Served(folder, f"{width}-{scheme}") as address:
                            context = browser.new_context(**options)
                            views(context.new_page(), address, chapter, photos, f"{width}-{scheme}")
                            context.close()
                    with Served(folder, "editor", chapter) as address:
                        context = browser.new_context(**options)
                        editor_views(context.new_page(), address, f"{width}-{scheme}")
                        context.close()
            browser.close()


class Served:
    """`lote ui` over a workspace of its own, while the block lasts."""

    def __init__(self, folder: Path, name: str, chapter: Path | None = None) -> None:
        """With a `chapter`, that is coloured first."""
        lote = LOTE
        workspace = ["--workspace", str(folder / f"ws-{name}")]
        self._command = [*lote, "ui", "--no-browser", "--port", "0", "--root", str(folder), *workspace]
        self._first = [
            *lote,
            "colorize",
            str(chapter),
            "-o",
            str(folder / f"{name}.cbz"),
            "--backend",
            "flats",
            *workspace,
        ]
        self._chapter = chapter

    def __enter__(self) -> str:
        if self._chapter is not None:
            subprocess.run(self._first, check=True, env=environment())
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=environment())
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


if __name__ == "__main__":
    main()
