"""The editor over a whole book: alike places, the palette, learning; long books, large pages, and an emptied cache."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from batch_processing.core.workspace import Workspace
from editor_window import PINK, RGB, Editor, Open, chapter, served, windows
from pages import figure
from web_server import Server, chromium, until

ROOF, SKY = (255, 240), (430, 60)
TEAL = "#14968c"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with chapter(tmp_path_factory.mktemp("editor"), pages=3, strange=True) as running:
        yield running


@pytest.fixture
def window(server: Server, browser: Browser) -> Iterator[Open]:
    with windows(browser, server) as opened:
        yield opened


def turn(editor: Editor, key: str = "ArrowRight") -> None:
    before = editor.page.inner_text("#title")
    editor.page.keyboard.press(key)
    until(lambda: editor.page.inner_text("#title") != before)
    editor.ready()


def test_what_was_fetched_ahead_is_shown_without_the_server(window: Open, server: Server) -> None:
    editor = window(2)
    editor.page.wait_for_load_state("networkidle")
    until(lambda: len(editor.page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)"
                                           ".filter((name) => name.includes('/labels/'))")) >= 3)  # fmt: skip
    editor.page.wait_for_load_state("networkidle")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        turn(editor)
        assert editor.page.inner_text("#title") == "2.png"
        assert editor.shown((265, 240)) != (0, 0, 0)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    editor.click((265, 240))  # and it can be edited
    expect(editor.page.locator("#chosen")).to_contain_text("sure")


def places(editor: Editor) -> list[tuple[int, list[int]]]:
    """The places that are taken in the review: page, and box."""
    return [(one["number"], one["box"]) for one in editor.page.evaluate("loteEditor.review.now")]


def test_places_that_look_alike_are_mended_together_over_pages_and_undone_together(window: Open) -> None:
    editor = window(2)
    editor.page.keyboard.press("r")
    editor.page.wait_for_selector("#review h2")
    seen = 0
    while not editor.page.locator("#alike").count():
        left = editor.page.inner_text("#left")
        editor.page.keyboard.press("s")
        until(lambda left=left: editor.page.inner_text("#left") != left)
        seen += 1
        assert seen < 40
    expect(editor.page.locator("#alike")).to_contain_text("like it")
    until(lambda: editor.page.locator(".like img").first.evaluate("image => image.naturalWidth") > 0)
    editor.page.keyboard.press("t")
    taken = places(editor)
    pages = {number for number, _ in taken}
    assert len(taken) > 1
    assert len(pages) > 1
    first = taken[0][0]
    other, box = next((number, box) for number, box in taken if number != first)
    left_out = editor.page.locator('.like[aria-pressed="true"]').count()
    assert left_out == len(taken) - 1
    editor.own(PINK)
    editor.page.keyboard.press("r")  # leave
    editor.go(other)
    center = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    colored = np.all(editor.drawn()[box[1] : box[3], box[0] : box[2]] == RGB, axis=2).mean()
    assert colored > 0.2, center
    editor.undo()
    drawn = editor.drawn()
    assert not np.all(drawn == RGB, axis=2).any()
    editor.go(first)
    assert not np.all(editor.drawn() == RGB, axis=2).any()


def test_a_double_click_in_the_panel_takes_all_of_a_colour_and_gives_none(window: Open) -> None:
    editor = window(2)
    editor.click(ROOF)
    before = editor.shown(ROOF)
    sky = editor.page.evaluate(
        "([x, y]) => { const f = loteEditor.stage.flats; return f.regions[f.labels[y * f.width + x] - 1].id; }",
        list(SKY),
    )
    editor.page.locator(f'[data-swatch="{sky}"]').dblclick()
    until(lambda: editor.shown(ROOF) == before)
    until(lambda: editor.page.evaluate(
        "id => [...loteEditor.stage.chosen].every((label) => loteEditor.stage.flats.regions[label - 1].id === id)", sky))  # fmt: skip
    assert editor.page.evaluate("loteEditor.stage.chosen.size") >= 1


def test_the_palette_shows_where_a_colour_is_seen_and_is_saved_and_loaded_as_a_file(
    window: Open, server: Server
) -> None:
    editor = window(2)
    crop = editor.page.locator("#palette img.seen").first
    until(lambda: crop.evaluate("image => image.naturalWidth") > 0)
    with editor.page.expect_download() as saving:
        editor.page.get_by_role("link", name="Save the palette").click()
    colors = json.loads(Path(saving.value.path()).read_text())["colors"]
    assert saving.value.suggested_filename == "palette.json"
    roof = next(one for one in colors if one["rgb"] == list(editor.shown(ROOF)))
    # Another chapter of the series calls the roof by another number, and draws it otherwise.
    series = {"colors": [{"id": 77, "name": "Ana's roof", "reference": roof["reference"], "rgb": TEAL}]}
    editor.page.evaluate(
        "(text) => { const data = new DataTransfer(); data.items.add(new File([text], 'palette.json'));"
        " document.querySelector('#stage').dispatchEvent(new DragEvent('drop', {bubbles: true, dataTransfer: data})); }",
        json.dumps(series),
    )
    until(lambda: editor.shown(ROOF) == (20, 150, 140))
    expect(editor.page.locator(f'[data-swatch="{roof["id"]}"]')).to_contain_text("Ana's roof")
    turn(editor)
    until(lambda: editor.shown((265, 240)) == (20, 150, 140))
    editor.undo()
    until(lambda: editor.shown((265, 240)) == tuple(roof["rgb"]))
    editor.page.set_input_files("#palette-file", {"name": "cat.json", "mimeType": "", "buffer": b"[1]"})
    expect(editor.page.locator("#said")).to_contain_text("cat.json is no palette")


def finished(server: Server) -> dict[str, float | None]:
    """When each page was written last."""
    place = Workspace(server.workspace)
    try:
        return {item.key: item.finished_at for item in place.ledger.items(1)}
    finally:
        place.close()


def test_learning_says_what_it_changes_and_then_changes_the_other_pages_only(
    window: Open, server: Server
) -> None:
    editor = window(2)
    editor.page.get_by_role("button", name="Learn from my corrections").click()
    expect(editor.page.locator("#dialog")).to_contain_text("Put something right first")
    expect(editor.page.locator("#dialog .primary")).to_be_disabled()
    editor.page.keyboard.press("Escape")
    editor.click(ROOF)
    editor.own(PINK)
    until(lambda: editor.page.evaluate("!sessionStorage.getItem('lote-edits-1')"))
    editor.page.get_by_role("button", name="Learn from my corrections").click()
    expect(editor.page.locator("#lesson")).to_contain_text("2 pages are coloured again")
    expect(editor.page.locator("#lesson")).to_contain_text("1 page that you have edited stays")
    editor.saved()
    before = finished(server)
    editor.page.locator("#dialog .primary").click()
    expect(editor.page.locator("#dialog")).not_to_be_visible()
    until(lambda: server.job(1)["state"] == "done" and finished(server)["3.png"] != before["3.png"], 120)
    after = finished(server)
    assert after["2.png"] != before["2.png"]
    assert after["1.png"] == before["1.png"]
    mine = editor.written("1.png")
    assert tuple(mine[ROOF[1], ROOF[0]]) == RGB
    editor.undo()


def test_a_page_is_edited_after_the_cache_was_emptied(window: Open, server: Server) -> None:
    window(2).saved()
    assert server.lote("clean").code == 0
    editor = window(3)
    editor.click(SKY)
    editor.own(PINK)
    editor.saved()
    until(lambda: tuple(editor.written("2.png")[SKY[1], SKY[0]]) == RGB)


def test_a_page_larger_than_the_editor_shows_is_edited_and_written_at_its_own_size(
    browser: Browser, tmp_path: Path
) -> None:
    figure(tmp_path / "in" / "0.png", color=True)
    page = figure(tmp_path / "in" / "1.png", color=False)
    with Image.open(page) as image:
        image.resize((3500, 4200), Image.Resampling.NEAREST).save(page)
    with served(tmp_path) as server, windows(browser, server) as window:
        editor = window(2)
        width, height = editor.page.evaluate("[loteEditor.stage.flats.width, loteEditor.stage.flats.height]")
        assert (width, height) == (3413, 4096)
        sky = (SKY[0] * width // 500, SKY[1] * height // 600)
        editor.click(sky)
        editor.own(PINK)
        assert editor.shown(sky) == RGB
        editor.saved()
        written = editor.written("1.png")
        assert written.shape[:2] == (4200, 3500)
        assert tuple(written[SKY[1] * 7, SKY[0] * 7]) == RGB


def benchmark() -> ModuleType:
    """The benchmark of the editor: it knows how to say that a book is long."""
    path = Path(__file__).parents[2] / "benchmarks" / "editor.py"
    found = importlib.util.spec_from_file_location("editor_benchmark", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_a_book_of_500_pages_is_as_quick_as_a_short_one(browser: Browser, tmp_path: Path) -> None:
    with chapter(tmp_path, pages=2, strange=True) as server, windows(browser, server) as window:
        benchmark().lengthened(server.workspace / "lote.db", 500)
        editor = window(400)
        expect(editor.page.locator("#count")).to_have_text("400 of 501")
        turn(editor)
        editor.page.click("#count")
        assert editor.page.locator(".shot").count() == 501
        # Only those that can be seen are fetched.
        asked = editor.page.evaluate(
            "performance.getEntriesByType('resource').filter((one) => one.name.includes('w=thumb')).length"
        )
        assert asked < 100
        editor.page.keyboard.press("Escape")
        expect(editor.page.locator("#palette .swatch").first).to_be_visible()
        editor.page.keyboard.press("r")
        expect(editor.page.locator("#left")).to_contain_text("places to look at")
