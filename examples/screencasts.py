"""Film what Lote is like: docs/images/editor.webp, of the editor, and docs/images/scan.webp, of a scan in a terminal.

    python examples/screencasts.py [editor|scan]    (needs the extra [ui], playwright, pyte, DejaVu fonts and /usr/bin/chromium)

Nothing is staged: the editor is a browser's, and what the terminal shows was printed there. Waiting is shortened where nothing
moves. The pages come from examples/sample_chapter.py and the photos from examples/photo_album.py.
"""

from __future__ import annotations

import os
import pty
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import photo_album  # type: ignore[import-not-found]
import pyte  # type: ignore[import-not-found]
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright
from screenshots import LOTE, PICTURES, Served, environment  # type: ignore[import-not-found]

HERE = Path(__file__).resolve().parent
MOST_BYTES = 2_000_000
FONTS = Path("/usr/share/fonts/truetype/dejavu")
# A pointer, in pixels from its tip.
POINTER = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))


class Film:
    """Pictures with their times, as an animated WebP."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._frames: list[Image.Image] = []
        self._times: list[int] = []

    def add(self, picture: Image.Image, milliseconds: int) -> None:
        small = picture.convert("RGB")
        if small.width != self._width:
            size = (self._width, round(small.height * self._width / small.width))
            small = small.resize(size, Image.Resampling.LANCZOS)
        if self._frames and self._frames[-1].tobytes() == small.tobytes():
            self._times[-1] += milliseconds
            return
        self._frames.append(small)
        self._times.append(milliseconds)

    def save(self, path: Path) -> None:
        """In the best quality that is small enough."""
        for quality in (80, 70, 60, 50, 40, 30):
            self._frames[0].save(
                path, save_all=True, append_images=self._frames[1:], duration=self._times, loop=0, quality=quality, method=4,
            )  # fmt: skip
            if path.stat().st_size <= MOST_BYTES:
                break
        print(
            f"{path.name}: {len(self._frames)} pictures, {sum(self._times) / 1000:.0f} s, {path.stat().st_size:,} bytes"
        )


# The editor


class Hand:
    """Somebody at the editor, filmed."""

    def __init__(self, page: Page, film: Film) -> None:
        self._page, self._film = page, film
        self._at = (760.0, 700.0)

    def rest(self, milliseconds: int) -> None:
        """Film what is seen, for so long."""
        with Image.open(BytesIO(self._page.screenshot())) as seen:
            picture = seen.convert("RGB")
        x, y = self._at
        outline = [(x + right, y + down) for right, down in POINTER]
        ImageDraw.Draw(picture).polygon(outline, fill="#111111", outline="#ffffff")
        self._film.add(picture, milliseconds)

    def move(self, x: float, y: float) -> None:
        first, steps = self._at, 6
        for step in range(1, steps + 1):
            part = 1 - (1 - step / steps) ** 2  # fast, then slow
            self._at = (first[0] + (x - first[0]) * part, first[1] + (y - first[1]) * part)
            self._page.mouse.move(*self._at)
            self.rest(40)

    def on_page(self, x: int, y: int) -> None:
        """Go to a pixel of the page."""
        place = self._page.evaluate(
            "([x, y]) => { const s = loteEditor.stage, b = s.root.getBoundingClientRect();"
            " return [b.left + s.place.x + x * s.place.scale, b.top + s.place.y + y * s.place.scale]; }",
            [x, y],
        )
        self.move(place[0], place[1])

    def click(self, *, wait_ms: int = 500) -> None:
        self._page.mouse.click(*self._at)
        self._page.wait_for_timeout(120)
        self.rest(wait_ms)

    def swatch(self, name: str) -> None:
        """Click a colour of the palette."""
        box = self._page.locator("#palette").get_by_text(name, exact=True).first.bounding_box()
        if box is None:
            raise LookupError(name)
        self.move(box["x"] - 20, box["y"] + box["height"] / 2)
        self.click()

    def key(self, name: str, *, wait_ms: int = 600) -> None:
        self._page.keyboard.press(name)
        self._page.wait_for_timeout(1500)
        self._page.wait_for_selector("#wait", state="hidden", timeout=240_000)  # another page may be opened
        self.rest(wait_ms)


def film_editor(folder: Path) -> None:
    chapter = folder / "seaside.cbz"
    subprocess.run([sys.executable, str(HERE / "sample_chapter.py"), str(chapter)], check=True)
    film = Film(960)
    with Served(folder, "editor", chapter) as address, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light", locale="en-GB")
        page.goto(address)
        page.goto(f"{address.partition('?')[0]}edit/1/2")
        page.wait_for_selector("html[data-lote=ready]", timeout=240_000)
        page.wait_for_timeout(1500)
        play_editor(page, Hand(page, film))
        browser.close()
    film.save(PICTURES / "editor.webp")


def play_editor(page: Page, hand: Hand) -> None:
    """The way of somebody who puts a page right."""
    blue_tail, gray_tail, patch, tree = (531, 500), (953, 1510), (531, 1298), (947, 655)
    hand.rest(1200)
    hand.key("d", wait_ms=1500)  # what is in doubt
    hand.key("d", wait_ms=300)
    hand.on_page(*gray_tail)
    hand.click()
    hand.key("1")
    hand.on_page(*blue_tail)
    hand.click()
    hand.swatch("Colour 1")
    hand.on_page(*patch)
    hand.click()
    hand.swatch("Colour 8")
    hand.on_page(*tree)
    hand.click()
    hand.swatch("Colour 18")
    hand.rest(300)
    page.keyboard.press("Escape")
    hand.rest(900)
    page.wait_for_selector('#saving[data-state="saved"]', timeout=240_000)
    hand.key("r", wait_ms=2000)
    hand.key("Enter", wait_ms=1200)
    hand.key("Enter", wait_ms=1800)


# The scan

COLUMNS, ROWS = 104, 20
CELL = (9, 19)
THEME = {"default": "#d8dee9", "green": "#a3be8c", "red": "#e06c75", "brown": "#ebcb8b", "yellow": "#ebcb8b", "blue": "#81a1c1",
         "cyan": "#88c0d0", "magenta": "#b48ead", "white": "#eceff4", "black": "#4c566a"}  # fmt: skip
PAPER = "#20242c"


def drawn(screen: pyte.Screen) -> Image.Image:
    """What a terminal shows."""
    plain, bold = (
        ImageFont.truetype(str(FONTS / name), 15)
        for name in ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
    )
    margin = 14
    picture = Image.new("RGB", (COLUMNS * CELL[0] + 2 * margin, ROWS * CELL[1] + 2 * margin), PAPER)
    draw = ImageDraw.Draw(picture)
    for row in range(ROWS):
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            if cell.data.strip():
                place = (margin + column * CELL[0], margin + row * CELL[1])
                draw.text(
                    place,
                    cell.data,
                    fill=THEME.get(cell.fg, THEME["default"]),
                    font=bold if cell.bold else plain,
                )
    x, y = margin + screen.cursor.x * CELL[0], margin + screen.cursor.y * CELL[1]
    if not screen.cursor.hidden:
        draw.rectangle([x, y + 1, x + CELL[0] - 1, y + CELL[1] - 2], fill="#7b8496")
    return picture


class Terminal:
    """A shell in a terminal, filmed."""

    def __init__(self, folder: Path, film: Film) -> None:
        self._film = film
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        programs = folder / "bin"
        programs.mkdir()
        lote = programs / "lote"
        lote.write_text(f'#!/bin/sh\nexec {" ".join(LOTE)} "$@"\n')
        lote.chmod(0o755)
        surroundings = environment() | {
            "PATH": f"{programs}:{os.environ['PATH']}", "PS1": "$ ", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS),
            "HOME": str(folder), "LOTE_WORKSPACE": str(folder / "workspace"), "BASH_SILENCE_DEPRECATION_WARNING": "1",
        }  # fmt: skip
        child, self._descriptor = pty.fork()
        if child == 0:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], surroundings)  # noqa: S606 - a shell is what is filmed
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._until_prompt(0)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        self._stream.feed(os.read(self._descriptor, 65536))
        return True

    def _is_at_prompt(self) -> bool:
        return re.fullmatch(r"\$ *", self._screen.display[self._screen.cursor.y]) is not None

    def _until_prompt(self, milliseconds: int, step_s: float = 0.15) -> None:
        """Film until the next prompt, and that for so long. A picture each `step_s` in which something has changed."""
        while not self._is_at_prompt():
            until = time.monotonic() + step_s
            while (left := until - time.monotonic()) > 0:
                self._read(left)
            self._film.add(drawn(self._screen), 90)
        if milliseconds:
            self._film.add(drawn(self._screen), milliseconds)

    def run(self, line: str, *, rest_ms: int = 1500) -> None:
        chance = random.Random(line)
        for letter in line:
            os.write(self._descriptor, letter.encode())
            while self._read(0.02):
                pass
            self._film.add(drawn(self._screen), chance.randrange(25, 70))
        self._film.add(drawn(self._screen), 350)
        os.write(self._descriptor, b"\n")
        time.sleep(0.1)
        self._read(1)
        self._until_prompt(rest_ms)

    def clear(self) -> None:
        os.write(self._descriptor, b"\x0c")
        time.sleep(0.2)
        while self._read(0.1):
            pass


def film_scan(folder: Path) -> None:
    photos = folder / "Pictures"
    photo_album.album(photos, 600)
    card = folder / "card" / "DCIM"
    card.mkdir(parents=True)
    taken = sorted(photos.rglob("*.jpg"))
    for number, path in enumerate(taken[40:43]):
        shutil.copy2(path, card / f"DSC_{number:04d}.jpg")
    photo_album.save(photo_album.landscape(9001), card / "DSC_0003.jpg", "2024:08:01 10:00:00")
    film = Film(COLUMNS * CELL[0] + 28)
    terminal = Terminal(folder, film)
    terminal.run("lote photos scan Pictures")
    terminal.run("lote photos duplicates Pictures | tail -6", rest_ms=2000)
    terminal.clear()
    terminal.run("lote photos known card", rest_ms=2500)
    terminal.run("lote photos import card Pictures --yes", rest_ms=2000)
    terminal.run("lote photos known card", rest_ms=4000)
    film.save(PICTURES / "scan.webp")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ana-") as name:
        folder = Path(name)
        if sys.argv[1:] != ["scan"]:
            film_editor(folder)
        if sys.argv[1:] != ["editor"]:
            film_scan(folder)


if __name__ == "__main__":
    main()
