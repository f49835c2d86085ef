"""Around a chapter on the page: what is missing, files and pictures that are dropped, settings over a reload, one page tried."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect

from batch_processing.core.model import ItemState
from batch_processing.core.workspace import Workspace
from pages import colored, figure
from web_server import Server, Visitor, chromium, until

Visit = Callable[[], Visitor]
AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("around"))
    yield running
    running.stop()


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Visit]:
    visitors: list[Visitor] = []

    def opened() -> Visitor:
        context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 860})
        visitors.append(Visitor(context.new_page(), server).open())
        return visitors[-1]

    yield opened
    for visitor in visitors:
        assert visitor.errors == []
        visitor.page.context.close()


def dropped(visitor: Visitor, selector: str, *files: Path) -> None:
    """Files fall on some place of the window."""
    listed = [(path.name, list(path.read_bytes())) for path in files]
    visitor.page.evaluate(
        "([selector, files]) => { const data = new DataTransfer();"
        " for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));"
        " document.querySelector(selector).dispatchEvent(new DragEvent('drop', {bubbles: true, dataTransfer: data})); }",
        [selector, listed],
    )


def test_a_button_says_what_is_missing_until_nothing_is(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    expect(page.locator("#lote-missing")).to_contain_text("Drop pages first")
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("#try")).to_be_disabled()
    dropped(visitor, "body", figure(tmp_path / "1.png", color=False))  # anywhere on the window
    visitor.looked_at()
    expect(page.locator("#lote-missing")).to_contain_text("a coloured page or a model sheet")
    expect(page.locator("#start")).to_be_disabled()
    visitor.use("noop")  # which needs none
    expect(page.locator("#start")).to_be_enabled()
    page.check("#set-backend input[value=flats]")
    dropped(visitor, "#lote-tabs", figure(tmp_path / "0.png", color=True))
    expect(page.locator("#lote-missing")).to_have_text("", timeout=20_000)
    expect(page.locator("#start")).to_be_enabled()
    page.reload()
    page.wait_for_selector("html[data-lote=ready]")
    page.wait_for_selector(".gallery .card")
    expect(page.locator("#set-backend input[value=flats]")).to_be_checked()  # settings survive a reload


def test_a_palette_is_dropped_a_picture_dragged_across_and_one_enlarged(
    visit: Visit, server: Server, tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.page
    palette = tmp_path / "palette.json"
    palette.write_text(json.dumps({"colors": [{"id": 70, "rgb": "#123456", "name": "Ana hair"}]}))
    dropped(visitor, "body", figure(tmp_path / "1.png", color=False), colored(tmp_path / "2.png", 3), palette)
    visitor.looked_at()
    expect(page.locator(".inputs")).to_contain_text("palette of the series")

    def is_across() -> bool:
        # A gallery that is drawn anew in this moment takes the picture out of the hand.
        if len(visitor.names("page")) < 2:
            page.locator('.card[data-key$="2.png"]').drag_to(page.locator(".gallery.page"))
            page.wait_for_timeout(500)
        return len(visitor.names("page")) == 2

    until(is_across)
    page.locator('.card[data-key$="2.png"]').drag_to(page.locator(".gallery.reference"))
    until(lambda: len(visitor.names("page")) == 1)
    page.locator(".enlarge").first.click()
    image = page.locator("#lote-viewer.large img")
    until(lambda: image.evaluate("image => image.naturalWidth") > 320)
    image.click()
    expect(page.locator("#lote-viewer")).not_to_be_visible()
    visitor.use("flats")
    number = visitor.start()
    visitor.state("done", seconds=90)
    ledger = Workspace(server.workspace)
    try:
        assert Path(str(ledger.ledger.job(number).config["settings"]["palette"])).name == "palette.json"
    finally:
        ledger.close()
    until(lambda: page.title().startswith("✓"))


def test_try_one_page_opens_the_editor_at_once_shows_what_is_doubtful_and_leads_back(
    visit: Visit, server: Server, tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.page
    strange = figure(tmp_path / "1.png", color=False)
    with Image.open(strange) as image:
        image.load()
    for rim in (0, 15):  # a round window within another, which no reference has
        box = (130 + rim, 470 + rim, 180 - rim, 520 - rim)
        ImageDraw.Draw(image).ellipse(box, outline="black", width=4)
    image.save(strange)
    dropped(visitor, "body", strange, figure(tmp_path / "0.png", color=True))
    visitor.looked_at()
    visitor.use("flats")
    with closing(Workspace(server.workspace)) as place, place.lock("comics") as held:
        until(held.acquire, 90)  # nothing is coloured meanwhile
        page.click("#try")
        page.wait_for_url("**/edit/*/1", timeout=20_000)
        page.wait_for_selector("html[data-lote=ready]")
        expect(page.locator("#wait-text")).to_contain_text("being coloured")
    until(lambda: page.evaluate("Boolean(loteEditor.stage.flats)"), 90)
    until(lambda: page.evaluate("loteEditor.stage.chosen.size") == 1)
    doubtful = page.evaluate("loteEditor.stage.flats.regions[[...loteEditor.stage.chosen][0] - 1].confidence")
    assert doubtful < 0.75
    assert page.evaluate("loteEditor.palette.here.length") > 1
    expect(page.locator("#wait-text")).not_to_be_visible()
    page.get_by_role("link", name="Back to the chapter").click()
    page.wait_for_selector(".trial .pair img")  # the chapter and what was tried of it are still there
    expect(page.locator(".gallery.page .card")).to_have_count(1)
    assert "/edit/" not in page.url
    page.click("[data-do=preview-close]")
    expect(page.locator(".trial")).to_have_count(0)


def test_the_editor_says_why_a_job_has_no_pages(visit: Visit, server: Server, tmp_path: Path) -> None:
    cut = tmp_path / "in" / "1.png"
    figure(tmp_path / "in" / "0.png", color=True)
    figure(cut, color=False)
    cut.write_bytes(cut.read_bytes()[:300])
    done = server.lote("colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "flats", "--json")
    assert done.code != 0
    job = done.summary["job"]
    visitor = visit()
    visitor.page.goto(f"{server.address}edit/{job}/2")
    visitor.page.wait_for_selector("html[data-lote=ready]")
    expect(visitor.page.locator("#hint")).to_contain_text("the image is cut off")
    expect(visitor.page.locator("#wait-text")).not_to_be_visible()


def test_a_page_that_is_tried_without_regions_stays_on_the_page(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    dropped(visitor, "body", figure(tmp_path / "1.png", color=False))
    visitor.looked_at()
    visitor.use("noop")
    page.click("#try")
    page.wait_for_selector(".trial .pair img", timeout=60_000)
    page.wait_for_timeout(1000)
    assert "/edit/" not in page.url


def test_the_sample_chapter_is_colored_with_one_click_and_gives_way_to_pages_of_ones_own(
    visit: Visit, server: Server, tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.page
    page.get_by_role("button", name="Try the sample chapter").click()
    page.wait_for_url("**job=*", timeout=60_000)
    number = int(page.url.rpartition("=")[2])
    visitor.state("done", seconds=240)
    expect(page.locator("#lote-said")).to_have_text("the-runaway-kite.cbz is finished")
    expect(page.locator(".results .card")).to_have_count(8)
    with closing(Workspace(server.workspace)) as known:
        pages = list(known.ledger.items(number))
        assert {item.state for item in pages} == {ItemState.COMPLETED}
        book = Path(known.ledger.job(number).output)
    with zipfile.ZipFile(book) as written:
        cover, inside = (
            np.asarray(Image.open(io.BytesIO(written.read(name))).convert("HSV"))
            for name in ("cover.webp", "page_01.png")
        )
    assert (inside[..., 1] > 40).mean() > 0.2  # coloured, about as much as the cover
    assert (cover[..., 1] > 40).mean() > 0.2
    page.click("#tab-chapter-button")
    expect(page.locator(".inputs")).to_contain_text("the-runaway-kite.cbz")
    visitor.drop(figure(tmp_path / "mine.png", color=False))
    visitor.looked_at()
    assert visitor.names("page") == ["mine.png"]
    assert visitor.names("reference") == []


def test_a_folder_of_the_machine_is_chosen_below_the_roots(visit: Visit, server: Server) -> None:
    inside = server.folder / "shelf" / "chapter 2"
    inside.mkdir(parents=True)
    figure(inside / "1.png", color=False)
    figure(inside / "0.png", color=True)
    (server.folder / "shelf" / ".secret").mkdir()
    (server.folder / "shelf" / "out").symlink_to("/etc")
    visitor = visit()
    page = visitor.page
    page.locator("#lote-chapter [data-do=folders]").click()
    box = page.locator("#lote-viewer")
    expect(box.locator(".where")).to_have_text(str(server.folder.resolve()))
    assert box.locator("[data-do=folder-go]", has_text="the folder above").count() == 0  # that is outside
    box.get_by_role("button", name="shelf/").click()
    expect(box.locator(".where")).to_have_text(str((server.folder / "shelf").resolve()))
    assert [name for name in box.locator(".folders button").all_inner_texts() if "above" not in name] == [
        "chapter 2/"
    ]
    page.keyboard.press("Tab")  # the first is where one goes back: the next is the folder
    page.keyboard.press("Enter")
    expect(box.locator(".muted")).to_contain_text("2 images are in this folder.")
    box.get_by_role("button", name="Take this folder").click()
    expect(box).not_to_be_visible()
    visitor.looked_at()
    assert visitor.names("page") == ["1.png"]
    for path in ("/etc", server.folder / "shelf" / "out", server.folder / "gone"):
        assert server.get(f"/lote/folders?path={path}")[0] == 400


def test_several_pictures_are_put_on_the_other_side_together(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.drop(*(figure(tmp_path / f"{number}.png", color=False) for number in range(1, 6)))
    visitor.looked_at()

    def card(name: str) -> Locator:
        return page.locator(f'.card[data-key$="{name}.png"]')

    card("1").locator(".enlarge").click(modifiers=["Control"])
    card("3").locator(".enlarge").click(modifiers=["Shift"])
    expect(page.locator(".card.marked")).to_have_count(3)
    card("2").locator(".enlarge").click(modifiers=["Control"])
    expect(page.locator(".card.marked")).to_have_count(2)
    card("1").locator("[data-do=move]").click()
    until(lambda: visitor.names("reference") == ["1.png", "3.png"])
    assert visitor.names("page") == ["2.png", "4.png", "5.png"]


def test_several_pages_of_a_job_are_approved_done_again_and_downloaded(
    visit: Visit, server: Server, tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.page
    visitor.drop(*(figure(tmp_path / f"{number}.png", color=False) for number in range(1, 6)))
    visitor.looked_at()
    visitor.use("noop")
    number = visitor.start()
    visitor.state("done", seconds=60)
    bar = page.locator(".several")
    expect(bar).not_to_be_visible()
    page.check('[data-do=choose][data-key="2.png"]')
    expect(bar.locator(".count")).to_have_text("1 page chosen")
    page.check('[data-do=choose][data-key="4.png"]')
    expect(bar.locator(".count")).to_have_text("2 pages chosen")
    with page.expect_download() as loading:
        bar.get_by_role("link", name="CBZ").click()
    with zipfile.ZipFile(loading.value.path()) as book:
        assert [name for name in book.namelist() if name.endswith(".png")] == ["2.png", "4.png"]
    bar.get_by_role("button", name="Approve").click()
    expect(bar).not_to_be_visible()
    expect(page.locator(".results .ok")).to_have_count(2)

    def finished() -> dict[str, float]:
        with closing(Workspace(server.workspace)) as known:
            return {item.key: item.finished_at or 0.0 for item in known.ledger.items(number)}

    page.check('[data-do=choose][data-key="1.png"]')
    page.check('[data-do=choose][data-key="5.png"]')
    before = finished()
    bar.get_by_role("button", name="Do them again").click()
    until(lambda: finished()["5.png"] > before["5.png"], 60)
    visitor.state("done", seconds=60)
    after = finished()
    assert {key for key in after if after[key] > before[key]} == {"1.png", "5.png"}
    assert server.get(f"/lote/job/{number}/download/cbz?pages=999999")[0] == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_of_a_chapter_is_accessible_on_a_desk_and_a_phone(
    server: Server, browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    script = AXE.read_text(encoding="utf-8")
    for width in (1280, 390):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860})
        visitor = Visitor(context.new_page(), server).open()
        page = visitor.page
        page.wait_for_selector(".sample")

        def violations(page: Page = page) -> list[str]:
            page.evaluate(script)
            found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
            return [
                f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]
            ]

        assert violations() == []
        page.locator("#lote-chapter [data-do=folders]").click()
        page.wait_for_selector("#lote-viewer .folders")
        assert violations() == []
        page.keyboard.press("Escape")
        visitor.drop(figure(tmp_path / "1.png", color=False), figure(tmp_path / "0.png", color=True))
        assert violations() == []
        visitor.use("noop")
        page.locator("[data-do=settings]").first.click()
        page.wait_for_selector("#lote-viewer.sheet")
        assert violations() == []
        page.keyboard.press("Escape")
        with closing(Workspace(server.workspace)) as place, place.lock("comics") as held:
            until(held.acquire, 90)
            visitor.start()
            page.wait_for_selector(".job-title .state")
            assert violations() == []  # while it waits
        visitor.state("done", seconds=60)
        page.wait_for_selector(".results .card")
        page.locator("[data-do=choose]").first.check()
        page.wait_for_selector(".several:not([hidden])")
        assert violations() == []
        page.locator(".results .shot").first.click()
        page.wait_for_selector("#lote-viewer .stage")
        assert violations() == []
        page.keyboard.press("Escape")
        for tab in ("history", "photos"):
            page.click(f"#tab-{tab}-button")
            page.wait_for_selector(f"#lote-{tab}" if tab == "history" else "#lote-folder")
            assert violations() == []
        page.click("#tab-job-button")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        context.close()
