"""The web page in a real browser: the whole way of a chapter, and what may go wrong on it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from batch_processing.colorize import beside
from batch_processing.core.workspace import Workspace
from pages import book, colored, line_art, zipped
from web_server import Server, Visitor, chromium, until

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("web"))
    yield running
    running.stop()


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Visit]:
    """Opens the page as another person each time; at the end nobody met an error or left the machine."""
    visitors: list[Visitor] = []

    def opened(language: str = "en-GB", query: str = "", to: Server = server, **options: object) -> Visitor:
        context = browser.new_context(locale=language, viewport={"width": 1280, "height": 900}, **options)  # type: ignore[arg-type]
        visitor = Visitor(context.new_page(), to)
        visitors.append(visitor)
        return visitor.open(query)

    yield opened
    for visitor in visitors:
        assert visitor.outside == []
        assert visitor.errors == []
        visitor.page.context.close()


@pytest.fixture
def cbz(tmp_path: Path) -> Path:
    return zipped(book(tmp_path / "in", 4), tmp_path / "chapter.cbz")


def long_book(folder: Path, pages: int = 30) -> Path:
    """Pages large enough that a run can be stopped in its middle."""
    colored(folder / "0_cover.png", 1)
    for number in range(1, pages + 1):
        line_art(folder / f"{number}.png", number, (1400, 1900))
    return folder


def test_from_dropping_a_cbz_to_downloading_the_result(visit: Visit, server: Server, cbz: Path) -> None:
    visitor = visit()
    visitor.drop(cbz)
    assert visitor.names("page") == ["1.png", "2.png", "3.png", "4.png"]
    assert visitor.names("reference") == ["0_cover.png"]
    visitor.use("noop")
    number = visitor.start()
    visitor.state("done")
    page = visitor.page
    expect(page.locator(".facts")).to_contain_text("4 / 4 pages")
    assert server.job(number)["completed"] == 4
    with page.expect_download() as got:
        page.click(".controls >> text=CBZ")
    with zipfile.ZipFile(got.value.path()) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert sorted(names) == ["0_cover.png", "1.png", "2.png", "3.png", "4.png"]
        with Image.open(io.BytesIO(archive.read("3.png"))) as image:
            assert image.size == (240, 320)
    page.click(".results .shot >> nth=2")
    for side in ("before", "after"):
        image = page.locator(f"#lote-viewer img.{side}")
        until(lambda image=image: image.evaluate("image => image.naturalWidth") == 240)
    with page.expect_download() as got:
        page.click("#lote-viewer >> text=Download")
    assert got.value.suggested_filename == "3.png"
    page.keyboard.press("Escape")
    with page.expect_download() as got:
        page.click(".controls >> text=Report")
    assert Path(got.value.path()).stat().st_size > 100


def test_zoom_and_wipe(visit: Visit, server: Server, cbz: Path) -> None:
    visitor = visit()
    visitor.drop(cbz)
    visitor.use("noop")
    visitor.start()
    visitor.state("done")
    page = visitor.page
    page.click(".results .shot >> nth=0")
    compare = page.locator(".compare")
    wide = compare.bounding_box()["width"]  # type: ignore[index]
    page.click('#lote-viewer [data-by="1"][data-do=zoom]')
    assert compare.bounding_box()["width"] == pytest.approx(1.4 * wide, rel=0.01)  # type: ignore[index]
    page.focus(".wipe")
    page.keyboard.press("End")
    assert compare.evaluate("box => getComputedStyle(box).getPropertyValue('--cut')") == "100%"


def test_an_image_moves_to_the_other_side_and_the_job_follows(
    visit: Visit, server: Server, tmp_path: Path
) -> None:
    folder = book(server.folder / "moving", 3)
    colored(folder / "model.png", 9)
    visitor = visit()
    visitor.add(folder)
    page = visitor.page
    page.click('.gallery.page [data-do=move][data-key="2.png"]')
    expect(page.locator(".gallery.reference .name")).to_have_text(["0_cover.png", "2.png", "model.png"])
    page.click(".gallery.reference >> text=None")
    expect(page.locator(".gallery.reference .tools")).to_contain_text("0 used")
    page.check('[data-do=tick][data-key="0_cover.png"]')
    expect(page.locator(".gallery.reference .tools")).to_contain_text("1 used")
    visitor.use("noop")
    number = visitor.start()
    visitor.state("done")
    expect(page.locator("table.pages td.name")).to_have_text(["1.png", "3.png"])
    with page.expect_download() as got:
        page.click(".controls >> text=ZIP")
    with zipfile.ZipFile(got.value.path()) as archive:  # the references stay in their places
        assert {"0_cover.png", "1.png", "2.png", "3.png", "model.png"} <= set(archive.namelist())
    assert server.job(number)["total"] == 2


def test_best_references_and_sorting(visit: Visit, cbz: Path) -> None:
    visitor = visit()
    visitor.drop(cbz)
    page = visitor.page
    page.fill(".threshold", "100")
    page.click('[data-do="best"]')
    expect(page.locator(".gallery.reference .tools")).to_contain_text("0 used")
    page.click('[data-do="all"]')
    expect(page.locator(".gallery.reference .tools")).to_contain_text("1 used")
    page.click('[data-do="sort"]')
    expect(page.locator('[data-do="sort"]')).to_have_text("In page order")


def test_unreadable_files_are_listed_with_the_reason(visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n no picture at all")
    visitor = visit()
    visitor.drop(broken, line_art(tmp_path / "fine.png", 1))
    item = visitor.page.locator(".unreadable li")
    expect(item).to_contain_text("broken.png")
    assert len(item.inner_text()) > len("broken.png ") + 5
    assert visitor.names("page") == ["fine.png"]


def test_preview_then_other_settings_then_the_chapter(visit: Visit, server: Server, cbz: Path) -> None:
    visitor = visit()
    visitor.drop(cbz)
    visitor.use("noop")
    page = visitor.page
    page.click('[data-do=preview][data-key="2.png"]')
    pair = page.locator(".trial .pair img")
    expect(pair).to_have_count(2, timeout=40_000)
    expect(page.locator(".trial h3")).to_contain_text("2.png")
    page.click('[data-do=settings][data-key="2.png"]')
    assert page.locator("dialog.sheet [name=seed]").count() == 0  # Cobra's, which cannot run here
    page.select_option("dialog.sheet [name=style]", "line")
    page.click("dialog.sheet >> text=Keep")
    page.click(".trial >> text=Try again")
    expect(pair).to_have_count(2, timeout=40_000)
    page.click(".trial >> text=Approve and colour")
    visitor.state("done")
    with page.expect_download() as got:
        page.click(".controls >> text=CBZ")
    with zipfile.ZipFile(got.value.path()) as archive:
        told = archive.read("processing_metadata.json").decode()
    entries = [entry for entry in json.loads(told)["pages"] if "settings" in entry]
    styles = {entry["source"]: entry["settings"]["style"] for entry in entries}
    assert [name for name, style in styles.items() if style == "line"] == ["2.png"]
    page.click("#tab-history-button")
    expect(page.locator("table.jobs")).not_to_contain_text("previews")


def test_a_bad_archive_does_not_keep_a_good_one_from_being_colored(
    visit: Visit, cbz: Path, tmp_path: Path
) -> None:
    (tmp_path / "torn.cbz").write_bytes(cbz.read_bytes()[:-100])
    (tmp_path / "book.cbz").write_bytes(b"Rar!\x1a\x07\x01\x00")
    visitor = visit()
    problem = visitor.page.locator(".problem")
    visitor.page.set_input_files("#lote-files", [str(tmp_path / "torn.cbz"), str(tmp_path / "book.cbz")])
    expect(problem).to_contain_text("book.cbz is damaged")
    told = problem.inner_text()
    assert [line[:8] for line in told.splitlines()] == ["The arch", "The arch"], told
    assert "torn.cbz" in told
    assert str(visitor.server.workspace) not in told
    visitor.drop(cbz)
    expect(visitor.page.locator(".inputs li")).to_have_text(["chapter.cbz"])
    assert visitor.names("page") == ["1.png", "2.png", "3.png", "4.png"]
    expect(problem).to_contain_text("book.cbz is damaged")


def test_pause_reload_second_tab_resume_cancel_retry(visit: Visit, server: Server) -> None:
    folder = long_book(server.folder / "long", 60)
    visitor = visit()
    visitor.add(folder)
    visitor.use("noop")
    number = visitor.start()
    visitor.state("running")
    page = visitor.page
    page.click("[data-do=pause]")
    visitor.state("pausing", "paused", seconds=1.5)
    visitor.state("paused")
    done = server.job(number)["completed"]
    assert done + 1 > 0
    assert server.job(number)["state"] == "paused"
    page.reload()
    visitor.state("paused")
    second = visit(query=f"?job={number}")
    second.state("paused")
    assert second.page.evaluate("lote.draft") != page.evaluate("lote.draft")
    second.page.click("[data-do=resume]")
    visitor.state("running", "finishing", "done")
    page.click("[data-do=cancel]")
    page.click("[data-do=cancel]:has-text('Sure?')")
    second.state("cancelled")
    visitor.state("cancelled")
    told = server.job(number)
    assert told["state"] == "cancelled"
    expect(page.locator(".facts")).to_contain_text(f"{told['completed']} / 60 pages")
    spanish = visit("es-ES", f"?job={number}").page
    expect(spanish.locator(".job-title .state")).to_have_text("cancelado")
    expect(spanish.locator("[data-part=rows] td >> text=cancelada").first).to_be_visible()
    page.click(".controls [data-do=retry]")
    visitor.state("done", seconds=90)
    assert server.job(number)["completed"] == 60


def test_the_server_is_killed_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    own = Server(tmp_path)
    try:
        context = browser.new_context(locale="en-GB")
        visitor = Visitor(context.new_page(), own).open()
        visitor.add(long_book(tmp_path / "long", 12))
        visitor.use("noop")
        number = visitor.start()
        visitor.state("running")
        own.kill()
        expect(visitor.page.locator("#lote-said")).to_contain_text("does not answer")
        own.start()
        visitor.state("done", seconds=90)
        assert own.job(number)["completed"] == 12
        visitor.page.reload()  # what was being put together is there as well
        visitor.state("done")
        visitor.page.click("#tab-chapter-button")
        visitor.page.wait_for_selector(".gallery.page .card:nth-child(12)")
        assert visitor.outside == []
        context.close()
    finally:
        own.stop()


@contextmanager
def another_run(server: Server, number: int) -> Iterator[None]:
    """What is done within has job `number` run once more, to its end; its states between may be too short to be shown."""
    ledger = Workspace(server.workspace).ledger
    before = ledger.job(number).finished_at
    yield
    until(lambda: (job := ledger.job(number)).state == "done" and job.finished_at != before, 40)


def test_hints_are_drawn_with_a_color_of_a_reference_and_the_page_is_redone(
    visit: Visit, server: Server, cbz: Path
) -> None:
    visitor = visit()
    visitor.drop(cbz)
    visitor.use("noop")
    number = visitor.start()
    visitor.state("done")
    page = visitor.page
    page.click(".results .shot >> nth=1")
    page.click("[data-do=draw]")
    reference = page.locator("img.pick").first
    until(lambda: reference.evaluate("image => image.naturalWidth") == 240)
    reference.click(position={"x": 5, "y": 5})
    assert page.input_value(".colour") != "#d9480f"
    red, green, blue = bytes.fromhex(page.input_value(".colour")[1:])
    assert np.abs(np.array([red, green, blue]) - [120, 180, 230]).max() < 12  # the sky of the cover
    place = page.locator("canvas.ink").bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2 + 40, place["y"] + place["height"] / 2 + 2, steps=4)
    page.mouse.up()
    with another_run(server, number):
        page.click("[data-do=hints]")
        page.locator("[data-do=hints]").wait_for(state="hidden", timeout=60_000)
    visitor.state("done")
    with Image.open(server.workspace / "hints" / str(number) / "2.hints.png") as image:
        strokes = np.asarray(image.convert("RGBA"))
    assert strokes.shape == (320, 240, 4)
    assert tuple(strokes[160, 122]) == (red, green, blue, 255)
    assert set(np.unique(strokes[:, :, 3])) == {0, 255}
    said = server.lote("list", "--json").events
    assert next(job for job in said if job["job"] == number)["completed"] == 4


def test_a_page_is_tried_again_in_another_style_and_layers_are_there(
    visit: Visit, server: Server, cbz: Path
) -> None:
    visitor = visit()
    visitor.drop(cbz)
    visitor.use("noop")
    visitor.page.check('#set-layers label:has-text("ora") input')
    number = visitor.start()
    visitor.state("done")
    page = visitor.page
    page.click(".results .shot >> nth=3")
    page.click("#lote-viewer summary")
    assert page.locator("form.redo [name=seed]").count() == 0
    page.select_option("form.redo [name=style]", "line")
    with another_run(server, number):
        page.click("#lote-viewer [data-do=redo]")
        page.wait_for_selector("#lote-viewer:not([open])", state="attached")
    visitor.state("done")
    with page.expect_download() as got:
        page.click(".controls >> text=CBZ")
    with zipfile.ZipFile(got.value.path()) as archive:
        told = json.loads(archive.read("processing_metadata.json"))
    styles = {entry["source"]: entry["settings"]["style"] for entry in told["pages"] if "settings" in entry}
    assert [name for name, style in styles.items() if style == "line"] == ["4.png"]
    with page.expect_download() as got:
        page.click(".controls >> text=ORA")
    with zipfile.ZipFile(got.value.path()) as archive:
        assert sorted(archive.namelist()) == ["1.ora", "2.ora", "3.ora", "4.ora"]


def test_the_palette_of_the_series_and_the_pages_own_ink_can_be_asked_for(
    visit: Visit, server: Server, cbz: Path
) -> None:
    visitor = visit()
    visitor.drop(cbz)
    visitor.use("flats")
    series = server.folder / "series.json"
    series.write_text('{"colors": [{"id": 1, "rgb": "#12345"}]}')
    visitor.page.fill("#set-palette textarea, #set-palette input", str(series))
    assert visitor.page.locator("#set-keep-ink").count() == 0  # Cobra cannot run here
    visitor.page.check('#set-layers-by label:has-text("panels") input')
    visitor.page.click("#start")
    expect(visitor.page.locator("[role=alert]", has_text="'#12345' is no colour")).to_be_visible()
    series.write_text('{"colors": [{"id": 70, "rgb": "#123456", "name": "Ana hair"}]}')
    number = visitor.start()
    visitor.state("done", seconds=90)
    ledger = Workspace(server.workspace).ledger
    job = ledger.job(number)
    settings = job.config["settings"]
    assert settings["palette"] == str(series)
    assert settings["layers_by"] == ["panel"]
    palette = json.loads((beside(ledger, job) / "palette.json").read_text())["colors"]
    assert palette[-1]["id"] > 70
    assert {color.get("name") for color in palette} == {None, "Ana hair"}


def test_a_job_of_the_command_line_is_in_the_history(visit: Visit, server: Server, tmp_path: Path) -> None:
    done = server.lote("colorize", book(tmp_path / "shell", 2), "--backend", "noop")
    assert done.code == 0, done.err
    visitor = visit()
    page = visitor.page
    page.click("#tab-history-button")
    page.click("table.jobs >> text=shell")
    visitor.state("done")
    expect(page.locator("[data-part=rows] td.name")).to_have_text(["1.png", "2.png"])
    page.click(".results .shot >> nth=0")
    page.click("#lote-viewer [data-do=approve]")
    expect(page.locator("#lote-viewer [data-do=approve]")).to_contain_text("✓")


def test_a_thousand_pages_stay_fluid(visit: Visit, server: Server) -> None:
    folder = server.folder / "thousand"
    first = line_art(folder / "1.png", 1, (100, 100)).read_bytes()
    colored(folder / "0_cover.png", 1)
    for number in range(2, 1001):
        (folder / f"{number}.png").write_bytes(first)
    done = server.lote("colorize", folder, "--backend", "noop", "--detach")
    assert done.code == 0, done.err
    number = max(job["job"] for job in server.lote("list", "--json").events)
    visitor = visit(query=f"?job={number}")
    visitor.state("running")
    page = visitor.page
    page.wait_for_selector("table.pages tbody tr:nth-child(50)")
    took = page.evaluate(
        """async (number) => { const at = performance.now();
        for (let i = 0; i < 10; i++) await fetch(`/lote/job/${number}?show=all&from=500`);
        return (performance.now() - at) / 10; }""",
        number,
    )
    assert took < 500  # milliseconds, while the job takes every core
    page.click("table.pages + nav >> [data-do=window] >> nth=1")
    expect(page.locator("table.pages td.name").first).to_have_text("51.png")
    page.click("[data-do=cancel]")
    page.click("[data-do=cancel]:has-text('Sure?')")
    visitor.state("cancelled")


def test_spanish_by_the_browsers_language(visit: Visit, cbz: Path) -> None:
    visitor = visit("es-MX")
    page = visitor.page
    assert page.locator("html").get_attribute("lang") == "es"
    for text in (
        "Suelta páginas en cualquier parte de esta ventana",
        "Colorear el capítulo",
        "Historial",
        "Ajustes",
    ):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    page.fill("#lote-path", "/no/such/place")
    page.press("#lote-path", "Enter")
    expect(page.locator("#lote-said")).to_contain_text("fuera de las carpetas")
    visitor.drop(cbz)
    page.click("#start")
    expect(page.locator(".job-title h2")).to_have_text("chapter.cbz")


def test_photos_are_scanned_and_duplicates_stand_side_by_side(visit: Visit, server: Server) -> None:
    folder = server.folder / "photos"
    colored(folder / "a.png", 1)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    colored(folder / "c.png", 2)
    (folder / "link.png").symlink_to(folder / "c.png")
    (folder / "holiday.mp4").write_bytes(b"a video")
    colored(folder / "#recycle" / "d.png", 3)
    visitor = visit()
    page = visitor.page
    page.click("#tab-photos-button")
    page.fill("#lote-folder", str(folder))
    page.press("#lote-folder", "Enter")
    group = page.locator(".group")
    expect(group).to_have_count(1, timeout=30_000)
    expect(group.locator(".card")).to_have_count(2)
    expect(group).to_contain_text("copy, costs")
    expect(page.locator(".tiles")).to_contain_text("3photos")
    expect(page.locator("table.batches tbody tr")).to_have_count(1)
    left = page.locator("table.left-alone")
    expect(left.locator("tr").filter(has_text="links")).to_contain_text(
        f"1the first is {folder / 'link.png'}"
    )
    expect(left.locator("tr").filter(has_text="bins")).to_contain_text(str(folder / "#recycle"))
    expect(left.locator("tr").filter(has_text=".mp4")).to_contain_text("not recorded")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_scrolling_aside(visit: Visit, cbz: Path, scheme: str) -> None:
    visitor = visit(color_scheme=scheme)
    page = visitor.page
    page.set_viewport_size({"width": 390, "height": 844})
    visitor.drop(cbz)
    visitor.use("noop")
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        if page.is_visible("#start"):
            visitor.start()
            visitor.state("done")
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")
