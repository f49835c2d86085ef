"""The editor as a test drives it: places are in pixels of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page

from pages import figure
from web_server import Server, Visitor, until

Open = Callable[..., "Editor"]
PINK, RGB = "#e63ca0", (230, 60, 160)


class Editor:
    """A window of the editor on one page. Places are in pixels of the page."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.visitor = Visitor(page, server)

    def go(self, number: int) -> Editor:
        self.page.goto(f"{self.server.address}edit/1/{number}")
        return self.ready()

    def ready(self) -> Editor:
        self.page.wait_for_selector("html[data-lote=ready]")
        until(lambda: self.page.evaluate("Boolean(loteEditor.stage.flats)"))
        until(self._lies_still)
        return self

    def _lies_still(self) -> bool:
        before = self._where()
        self.page.wait_for_timeout(100)
        return before == self._where()

    def _where(self) -> list[float]:
        """Where the drawing lies in the window: what is still being laid out moves it."""
        found: list[float] = self.page.evaluate(
            "() => { const s = loteEditor.stage, b = s.root.getBoundingClientRect();"
            " return [b.left, b.top, b.width, b.height, s.place.x, s.place.y, s.place.scale]; }"
        )
        return found

    def _screen(self, at: tuple[int, int]) -> tuple[float, float]:
        place = self.page.evaluate(
            "([x, y]) => { const s = loteEditor.stage, b = s.root.getBoundingClientRect();"
            " return [b.left + s.place.x + (x + .5) * s.place.scale, b.top + s.place.y + (y + .5) * s.place.scale]; }",
            list(at),
        )
        return place[0], place[1]

    def click(self, at: tuple[int, int], **options: Any) -> None:
        if shift := options.pop("shift", False):
            self.page.keyboard.down("Shift")
        self.page.mouse.click(*self._screen(at), **options)
        if shift:
            self.page.keyboard.up("Shift")

    def drag(self, *points: tuple[int, int]) -> None:
        places = [self._screen(point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()

    def own(self, color: str) -> None:
        """Choose a colour of one's own."""
        self.page.locator("#own").evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('change')); }", color
        )

    def shown(self, at: tuple[int, int]) -> tuple[int, ...]:
        return tuple(self.drawn()[at[1], at[0]].tolist())

    def drawn(self) -> np.ndarray:
        """What the browser has drawn, (h, w, 3)."""
        width, height, samples = self.page.evaluate(
            "() => { const c = loteEditor.stage.drawn; const d = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            " let text = ''; for (let i = 0; i < d.data.length; i += 4)"
            " text += String.fromCharCode(d.data[i], d.data[i + 1], d.data[i + 2]);"
            " return [c.width, c.height, btoa(text)]; }"
        )
        return np.frombuffer(base64.b64decode(samples), np.uint8).reshape(height, width, 3)

    def written(self, name: str) -> np.ndarray:
        with Image.open(io.BytesIO((self.server.folder / "out" / name).read_bytes())) as image:
            return np.asarray(image.convert("RGB"))

    def saved(self) -> None:
        self.page.wait_for_selector('#saving[data-state="saved"]', timeout=90_000)

    def undo(self, times: int = 1) -> None:
        """Take the last edits back, and see that the server has done it."""
        for _ in range(times):
            until(lambda: self.page.evaluate("!sessionStorage.getItem('lote-edits-1')"))
            news = "async () => (await (await fetch(`/lote/edit/1/news/${loteEditor.item()}`)).json()).undo"
            left = self.page.evaluate(
                news
            )  # the server has all edits; the window hears of the last ones soon
            until(lambda left=left: self.page.evaluate("loteEditor.steps()") == left)
            self.page.keyboard.press("Control+z")
            until(lambda left=left: self.page.evaluate("loteEditor.steps()") == left - 1)


@contextmanager
def chapter(folder: Path, *, pages: int = 4, strange: bool = False) -> Iterator[Server]:
    """A page's server, as long as it is needed, with a small chapter coloured: job 1, a coloured page and so many others, each a little shifted; with
    `strange` there are windows in their walls that no reference has."""
    figure(folder / "in" / "0.png", color=True)
    for number in range(1, pages + 1):
        shift = 20 * number - 10
        page = figure(folder / "in" / f"{number}.png", color=False, shift=shift)
        if strange:
            with Image.open(page) as image:
                image.load()
            for x in (130, 270):
                for rim in (0, 15):  # a round window within another
                    box = (x + shift + rim, 470 + rim, x + shift + 50 - rim, 520 - rim)
                    ImageDraw.Draw(image).ellipse(box, outline="black", width=4)
            image.save(page)
    with served(folder) as running:
        yield running


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """The pages in the folder `in`, coloured: job 1."""
    running = Server(folder)
    try:
        done = running.lote("colorize", folder / "in", "-o", folder / "out", "--backend", "flats")
        assert done.code == 0, done.err
        yield running
    finally:
        running.stop()


@contextmanager
def windows(browser: Browser, server: Server) -> Iterator[Open]:
    """What opens windows; at the end none of them has had an error, or asked another machine."""
    opened: list[Editor] = []

    def opening(number: int, language: str = "en-GB", **options: Any) -> Editor:
        options.setdefault("viewport", {"width": 1280, "height": 860})
        editor = Editor(browser.new_context(locale=language, **options).new_page(), server)
        opened.append(editor)
        editor.page.goto(server.entrance)
        return editor.go(number)

    yield opening
    for editor in opened:
        assert editor.visitor.outside == []
        assert editor.visitor.errors == []
        editor.page.context.close()
