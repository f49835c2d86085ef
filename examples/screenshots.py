"""Take the pictures of docs/ui.md: each view of the page at both widths, light and dark.

    python examples/screenshots.py    (needs the extra [ui], playwright and /usr/bin/chromium)

The pages come from examples/sample_chapter.py, so every picture shows what anybody can make.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent / "docs" / "images"
WIDTHS = {"wide": (1280, 860), "narrow": (390, 844)}
COLOURS = 256  # of the palette: the pictures are flat, and the repository stays small


def shot(page: Page, name: str) -> None:
    """Each picture as PNG with a palette."""
    target = PICTURES / f"ui-{name}.png"
    page.wait_for_timeout(900)  # thumbnails and transitions
    page.screenshot(path=str(target))
    with Image.open(target) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def views(page: Page, address: str, chapter: Path, photos: Path, suffix: str) -> None:
    """One person's way over the page."""
    page.goto(address)
    page.wait_for_selector("html[data-lote=ready]")
    page.set_input_files("#lote-files", str(chapter))
    page.wait_for_selector(".gallery.reference .card")
    page.wait_for_selector('[data-part="inputs"] .busy', state="detached", timeout=120_000)
    shot(page, f"chapter-{suffix}")
    page.click("#settings button")
    page.locator("#settings").scroll_into_view_if_needed()
    shot(page, f"settings-{suffix}")
    page.locator(".gallery.page [data-do=preview]").first.click()
    page.wait_for_selector(".trial .pair img", timeout=240_000)
    page.locator(".trial").scroll_into_view_if_needed()
    shot(page, f"preview-{suffix}")
    page.click("#start")
    page.wait_for_selector(".results .shot", timeout=240_000)
    shot(page, f"running-{suffix}")
    page.wait_for_selector(".job-title .state.done", timeout=500_000)
    shot(page, f"results-{suffix}")
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


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
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
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-background-networking"]
            )
            for width, (x, y) in WIDTHS.items():
                for scheme in ("light", "dark"):
                    with Served(folder, f"{width}-{scheme}") as address:
                        context = browser.new_context(
                            viewport={"width": x, "height": y},
                            color_scheme=scheme,
                            locale="en-GB",
                        )
                        views(context.new_page(), address, chapter, photos, f"{width}-{scheme}")
                        context.close()
            browser.close()


class Served:
    """`lote ui` over a workspace of its own, while the block lasts."""

    def __init__(self, folder: Path, name: str) -> None:
        self._command = [
            sys.executable, "-P", "-m", "batch_processing", "ui", "--no-browser", "--port", "0",
            "--root", str(folder), "--workspace", str(folder / f"ws-{name}"),
        ]  # fmt: skip

    def __enter__(self) -> str:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=environment)
        return self._process.stdout.readline().strip() if self._process.stdout else ""

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


if __name__ == "__main__":
    main()
