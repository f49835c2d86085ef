"""The editor in a real browser: what a colourist does, and that it stands on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Route, expect

from editor_window import PINK, RGB, Editor, Open, chapter, windows
from pages import colored, figure
from web_server import Server, chromium, until

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")
ROOF, SKY, WALL = (255, 240), (430, 60), (250, 430)  # on the first page; the others are shifted


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with chapter(tmp_path_factory.mktemp("editor")) as running:
        yield running


@pytest.fixture
def window(server: Server, browser: Browser) -> Iterator[Open]:
    with windows(browser, server) as opened:
        yield opened


def test_a_click_and_a_colour_are_on_the_page_at_once_on_disk_soon_and_undone_after_a_reload(
    window: Open,
) -> None:
    editor = window(2)
    before = editor.written("1.png")
    editor.click(ROOF)
    expect(editor.page.locator("#chosen")).to_contain_text("% sure")
    editor.own(PINK)
    assert editor.shown(ROOF) == RGB
    assert editor.page.evaluate("loteEditor.stage.lastDraw") < 50  # milliseconds
    expect(editor.page.locator("#saving")).to_have_text("saving …")
    editor.saved()
    until(lambda: tuple(editor.written("1.png")[ROOF[1], ROOF[0]]) == RGB)
    assert np.abs(editor.drawn().astype(int) - editor.written("1.png")).max() <= 1
    editor.page.reload()
    editor.ready()
    assert editor.shown(ROOF) == RGB
    editor.page.keyboard.press("Control+z")
    until(lambda: editor.shown(ROOF) != RGB)
    editor.page.keyboard.press("Control+Shift+z")
    until(lambda: editor.shown(ROOF) == RGB)
    editor.page.click("[data-do=undo]")
    until(lambda: editor.shown(ROOF) != RGB)
    editor.saved()
    until(lambda: np.array_equal(editor.written("1.png"), before))


def test_a_colourist_goes_on_while_the_page_is_written(window: Open) -> None:
    editor = window(3)
    before = editor.shown(SKY)
    places = [(265, 240), (260, 430), SKY]
    for number in range(9):
        editor.click(places[number % 3])
        editor.own(f"#{0x203040 + 0x101010 * number:06x}")
        editor.page.wait_for_timeout(300)  # so fast a person is
        assert editor.page.locator("#said.bad:visible").count() == 0
    editor.saved()
    until(lambda: np.abs(editor.drawn().astype(int) - editor.written("2.png")).max() <= 1)
    assert [editor.shown(place) for place in places] == [
        (0x80, 0x90, 0xA0),
        (0x90, 0xA0, 0xB0),
        (0xA0, 0xB0, 0xC0),
    ]
    editor.undo(9)
    assert editor.shown(SKY) == before


def test_several_regions_by_shift_by_lasso_and_by_double_click_get_the_colour_of_a_key(window: Open) -> None:
    editor = window(3)
    roof, wall = (265, 240), (260, 430)
    editor.click(roof)
    editor.click(wall, shift=True)
    expect(editor.page.locator("#chosen")).to_contain_text("2 regions")
    sky = editor.shown(SKY)
    key = editor.page.evaluate("id => loteEditor.palette.here.indexOf(id) + 1", editor.page.evaluate(
        "([x, y]) => { const f = loteEditor.stage.flats; return f.regions[f.labels[y * f.width + x] - 1].id; }", list(SKY)))  # fmt: skip
    editor.page.keyboard.press(str(key))
    assert editor.shown(roof) == editor.shown(wall) == sky
    editor.page.keyboard.press("Escape")
    assert editor.shown(roof) == sky  # nothing is thrown away
    editor.click(SKY, click_count=2)
    expect(editor.page.locator("#chosen")).to_contain_text("3 regions")
    editor.page.keyboard.press("l")
    editor.drag((60, 100), (440, 100), (440, 310), (60, 310))
    assert editor.page.evaluate("loteEditor.stage.chosen.size") == 1
    editor.page.keyboard.press("v")
    editor.undo()
    assert editor.shown(roof) != sky


def test_strokes_part_a_region_in_its_place_and_the_eraser_joins_it(window: Open) -> None:
    editor = window(4)
    left, right = (60, 60), (440, 60)
    place = editor.page.evaluate("loteEditor.stage.place")
    editor.page.keyboard.press("b")
    editor.own(PINK)
    editor.drag((30, 40), (30, 90))
    # The first stroke on a page has it looked at anew, which takes long where much else is going on.
    until(lambda: editor.shown(left) == RGB and editor.shown(right) == RGB, 60)
    editor.own("#14968c")
    editor.drag((470, 40), (470, 90))
    until(lambda: editor.shown(right) == (20, 150, 140))
    assert editor.shown(left) == RGB
    assert editor.page.evaluate("loteEditor.stage.place") == place
    editor.saved()
    assert np.abs(editor.drawn().astype(int) - editor.written("3.png")).max() <= 1
    editor.page.keyboard.press("e")
    editor.drag((470, 30), (470, 100))
    until(lambda: editor.shown(right) == RGB)
    editor.undo(3)
    until(lambda: editor.shown(left) != RGB and editor.shown(right) != RGB)
    assert editor.shown(left) == editor.shown(right)


def test_an_area_that_is_several_regions_is_taken_up_to_its_lines(window: Open) -> None:
    editor = window(4)
    left, right = (60, 60), (440, 60)
    editor.page.keyboard.press("b")
    editor.own(PINK)
    editor.drag((30, 40), (30, 90))
    until(lambda: editor.shown(left) == RGB)
    editor.own("#14968c")
    editor.drag((470, 40), (470, 90))
    until(lambda: editor.shown(right) == (20, 150, 140))  # no line parts the two
    editor.page.keyboard.press("v")
    editor.click(left)
    expect(editor.page.locator("#chosen")).not_to_contain_text("regions")
    editor.page.keyboard.press("w")
    expect(editor.page.locator("#chosen")).to_contain_text("2 regions")
    editor.click((260, 240))  # the roof
    editor.page.keyboard.down("Control")
    editor.click(right)
    editor.page.keyboard.up("Control")
    expect(editor.page.locator("#chosen")).to_contain_text("2 regions")
    roof = editor.shown((260, 240))
    editor.own("#303c96")
    assert editor.shown(left) == editor.shown(right) == (0x30, 0x3C, 0x96)
    assert editor.shown((260, 240)) == roof
    editor.undo(3)


def test_two_quick_clicks_on_two_regions_are_no_double_click(window: Open) -> None:
    editor = window(4)
    roof, wall = (225, 288), (225, 312)  # above and below the eaves
    key = editor.page.evaluate("id => loteEditor.palette.here.indexOf(id) + 1", editor.page.evaluate(
        "([x, y]) => { const f = loteEditor.stage.flats; return f.regions[f.labels[y * f.width + x] - 1].id; }", list(SKY)))  # fmt: skip
    editor.click(wall)
    editor.page.keyboard.press(str(key))  # of one colour with the sky: a double click takes both
    editor.page.keyboard.press("Escape")
    for _ in range(6):
        editor.page.keyboard.press("-")
    editor.page.wait_for_timeout(500)
    editor.click(roof)
    editor.click(wall)
    assert editor.page.evaluate("loteEditor.stage.chosen.size") == 1
    editor.click(wall, click_count=2)
    assert editor.page.evaluate("loteEditor.stage.chosen.size") == 2
    editor.undo()


def test_a_server_that_is_killed_between_an_edit_and_its_save_loses_nothing(
    window: Open, server: Server
) -> None:
    editor = window(2)
    before = editor.shown(SKY)
    editor.click(WALL)
    editor.own(PINK)
    until(lambda: editor.page.evaluate("!sessionStorage.getItem('lote-edits-1')"))  # the server has it
    server.kill()
    editor.click(SKY)
    editor.own("#14968c")
    expect(editor.page.locator("#saving")).to_contain_text("does not answer", timeout=15_000)
    assert editor.shown(SKY) == (20, 150, 140)
    server.start()
    until(lambda: tuple(editor.written("1.png")[WALL[1], WALL[0]]) == RGB, 90)
    until(lambda: tuple(editor.written("1.png")[SKY[1], SKY[0]]) == (20, 150, 140), 90)
    editor.saved()
    editor.undo(2)
    assert editor.shown(SKY) == before


def test_an_edit_whose_answer_was_lost_is_sent_again_and_done_once(window: Open, server: Server) -> None:
    editor = window(2)
    before = editor.shown(ROOF)
    steps = editor.page.evaluate("loteEditor.steps()")
    lost: list[int] = []

    def losing(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)  # the server has it, and nobody hears
            route.abort()

    editor.page.route("**/lote/edit/1/do", losing)
    editor.click(ROOF)
    editor.own(PINK)
    until(lambda: editor.page.evaluate("!sessionStorage.getItem('lote-edits-1')"))
    assert lost == [200]
    until(lambda: editor.page.evaluate("loteEditor.steps()") == steps + 1)
    editor.undo()
    until(lambda: editor.shown(ROOF) == before)


def test_two_windows_on_one_page_see_the_same_and_the_later_edit_wins(window: Open) -> None:
    one, two = window(2), window(2)
    one.click(ROOF)
    one.own(PINK)
    until(lambda: two.shown(ROOF) == RGB)
    expect(two.page.locator("#said")).to_contain_text("Another tab")
    two.click(ROOF)
    two.own("#14968c")
    until(lambda: one.shown(ROOF) == (20, 150, 140))
    one.saved()
    until(lambda: tuple(one.written("1.png")[ROOF[1], ROOF[0]]) == (20, 150, 140))
    one.undo(2)


def test_a_colour_is_renamed_and_drawn_in_another_on_every_page(window: Open) -> None:
    editor = window(2)
    editor.click(ROOF)
    number = editor.page.evaluate("loteEditor.stage.flats.regions[[...loteEditor.stage.chosen][0] - 1].id")
    editor.page.locator(f'[data-swatch="{number}"] + .edit').click()
    editor.page.fill("#dialog input[type=text]", "Ana's roof")
    editor.page.locator("#dialog input[type=color]").evaluate(
        "(input, value) => { input.value = value; }", PINK
    )
    editor.page.keyboard.press("Enter")
    until(lambda: editor.shown(ROOF) == RGB)
    expect(editor.page.locator(f'[data-swatch="{number}"]')).to_contain_text("Ana's roof")
    editor.saved()
    editor.page.keyboard.press("ArrowRight")
    until(lambda: editor.page.evaluate("document.title").startswith("2.png"))
    editor.ready()
    until(lambda: editor.shown((265, 240)) == RGB)
    assert tuple(editor.written("2.png")[240, 265]) == RGB
    editor.undo()
    until(lambda: editor.shown((265, 240)) != RGB)


def test_review_leads_through_the_doubtful_places_to_its_end(window: Open, server: Server) -> None:
    editor = window(3)
    editor.page.keyboard.press("r")
    editor.page.wait_for_selector("#review h2")
    listed = [server.lote("status", "1", "--pages", "--json")]
    assert listed[0].code == 0
    seen = 0
    while editor.page.locator("#left").count():
        expect(editor.page.locator("#left")).to_contain_text("to look at")
        left = editor.page.inner_text("#left")
        editor.page.keyboard.press("Enter" if seen % 2 == 0 else "s")
        until(
            lambda left=left: (
                editor.page.locator("#left").count() == 0 or editor.page.inner_text("#left") != left
            )
        )
        seen += 1
        assert seen < 60
    expect(editor.page.locator("#review")).to_contain_text("nothing is left")
    editor.page.click("#approve-all")
    until(lambda: [leaf["approved"] for leaf in leaves(editor) if leaf["item"]] == [True] * 4, 90)
    editor.click((265, 240))  # who edits a page takes its approval back
    editor.own(PINK)
    until(lambda: [leaf["approved"] for leaf in leaves(editor) if leaf["item"]].count(False) == 1)
    editor.undo()


def leaves(editor: Editor) -> list[dict[str, Any]]:
    return editor.page.evaluate("(async () => (await (await fetch('/lote/edit/1')).json()).leaves)()")  # type: ignore[no-any-return]


def test_a_colour_is_picked_from_a_reference_and_from_a_page_that_stays(window: Open) -> None:
    editor = window(2)
    editor.click(WALL)
    editor.page.click("#tab-references")
    editor.page.wait_for_selector("#references img")
    image = editor.page.locator("#references img").first
    until(lambda: image.evaluate("image => image.naturalWidth") == 500)
    box = image.bounding_box()
    assert box is not None
    editor.page.mouse.click(box["x"] + box["width"] * 225 / 500, box["y"] + box["height"] * 240 / 600)
    until(lambda: editor.shown(WALL) == editor.shown(ROOF))
    editor.undo()
    until(lambda: editor.shown(WALL) != editor.shown(ROOF))
    editor.page.keyboard.press("ArrowLeft")
    expect(editor.page.locator("#hint")).to_contain_text("stays as it is")


@pytest.mark.parametrize("language", ["en-GB", "es-ES"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_is_accessible_on_a_desk_and_a_phone(
    window: Open, language: str, scheme: str, width: int
) -> None:
    if language == "es-ES" and scheme == "dark":
        return  # colours do not depend on words
    editor = window(2, language, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = editor.page
    page.evaluate(AXE.read_text())

    def faults() -> list[str]:
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            for node in one["nodes"]
        ]

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert faults() == []
    editor.click(ROOF)
    page.keyboard.press("b")
    page.keyboard.press("d")
    assert faults() == []
    page.click("#tab-references")
    assert faults() == []
    page.click("#tab-palette")
    page.locator(".item .edit").first.click()
    assert faults() == []
    page.keyboard.press("Escape")
    page.wait_for_selector("#dialog", state="hidden")
    page.keyboard.press("?")
    page.wait_for_selector("#dialog .keys")
    assert faults() == []
    page.keyboard.press("Escape")
    page.wait_for_selector("#dialog", state="hidden")
    page.keyboard.press("r")
    page.wait_for_selector("#review h2")
    assert faults() == []
    page.keyboard.press("Escape")


def test_the_window_runs_nothing_but_its_own_files(server: Server) -> None:
    told = server.ask("/edit/1/2")
    assert told.status == 200
    policy = told.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert b"<script>" not in told.body
    assert b" style=" not in told.body
    assert server.ask("/edit/1/2", cookie="lote=no").status == 401
    assert server.ask("/edit/1/2", Sec_Fetch_Site="cross-site").status == 403
    assert server.get("/edit/9/1")[0] == 400


@pytest.mark.parametrize(
    "wish",
    [
        {"do": "give", "pages": [{"key": "../1.png", "points": [[1, 1]]}], "color": {"id": 1, "rgb": [1, 2, 3]}},
        {"do": "give", "pages": [{"key": "1.png", "points": [[-1, 1]]}], "color": {"id": 1, "rgb": [1, 2, 3]}},
        {"do": "give", "pages": [{"key": "1.png", "points": []}], "color": {"id": 1, "rgb": [1, 2, 3]}},
        {"do": "give", "pages": [{"key": "1.png", "points": [[1, 1]]}], "color": {"id": 1 << 30, "rgb": [1, 2, 3]}},
        {"do": "give", "pages": [{"key": "1.png", "points": [[1, 1]]}], "color": {"id": 1, "rgb": [1, 2, 300]}},
        {"do": "stroke", "page": {"key": "1.png", "points": [[1, 1]]}, "color": {"id": 1, "rgb": [1, 2, 3]}, "size": 1e9},
        {"do": "stroke", "page": {"key": "1.png", "points": [[1, 1]] * 30_000}, "color": {"id": 1, "rgb": [1, 2, 3]}, "size": 9},
        {"do": "color", "id": 1, "reference": [1, 2, 3], "name": "x" * 500},
        {"do": "undo", "key": "1.png", "extra": 1},
        {"do": "nothing"},
    ],
)  # fmt: skip
def test_what_the_editor_never_sends_is_refused_and_changes_nothing(
    server: Server, wish: dict[str, Any]
) -> None:
    marks = server.get("/lote/edit/1")[1]
    status, told = server.post("/lote/edit/1/do", wish)
    assert status == 400
    assert told["error"]
    assert server.get("/lote/edit/1")[1] == marks
    assert server.get("/lote/edit/1/do", method="POST", data=b"{}")[0] == 403


def test_pages_of_a_backend_without_regions_are_shown_and_not_edited(
    window: Open, server: Server, tmp_path: Path
) -> None:
    folder = server.folder / "plain"
    colored(folder / "0.png", 1)
    figure(folder / "1.png", color=False)
    done = server.lote("colorize", folder, "-o", server.folder / "plain-out", "--backend", "noop", "--json")
    job = done.summary["job"]
    editor = window(2)
    editor.page.goto(f"{server.address}edit/{job}/2")
    expect(editor.page.locator("#hint")).to_contain_text("cannot be edited")
    with (
        closing(sqlite3.connect(server.workspace / "lote.db")) as ledger,
        ledger,
    ):  # as if Cobra had painted them
        ledger.execute(
            "update item set work = replace(work, '\"noop\"', '\"cobra\"') where job_id = ?", (job,)
        )
    editor.page.reload()
    expect(editor.page.locator("#hint")).to_contain_text("--flats")
