"""The report, in a real browser: opened from disk, with whatever names pages have."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_processing import colorize_comic
from batch_processing.comics.report import layout
from batch_processing.core.workspace import Workspace
from batch_processing.ui.web import jobs
from command import Run, lote
from pages import book, colored, line_art, zipped
from pages import figure as house
from shared_data import lacking, needed_module
from web_server import Server

sync_api = needed_module("playwright.sync_api")

# What names of files can hold on Linux: markup, what means something in a URL, what cannot be seen.
NAMES = [
    b"<img src=x onerror=alert(1)>.png",
    b"<script>alert(2)<!--.png",
    b"a#b?c=%41&d.png",
    b"quote\"'`.png",
    b"two\nlines\t.png",
    b"back\\slash.png",
    b"bytes\xff\xfe.png",
    "ünïcode 漫画.png".encode(),
    "right\u202egnp.png".encode(),
    b"c:d.png",
]
SHOWN = [
    "<img src=x onerror=alert(1)>.png",
    "<script>alert(2)<!--.png",
    "a#b?c=%41&d.png",
    "quote\"'`.png",
    r"two\nlines\t.png",
    r"back\slash.png",
    r"bytes\udcff\udcfe.png",
    "ünïcode 漫画.png",
    r"right\u202egnp.png",
    "c:d.png",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        lacking("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any) -> Iterator[Any]:
    """A function that opens a report; at the end nothing was asked for, complained of or run."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    trouble: list[str] = []

    def open_report(path: Path) -> Any:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.goto(path.as_uri())
        return page

    yield open_report
    context.close()
    assert trouble == []
    assert [url for url in asked[1:] if not url.startswith("data:")] == []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job of pages with all NAMES, a cover, a page nobody can read, and settings of its own."""
    root = tmp_path_factory.mktemp("hostile")
    colored(root / "in" / "0_cover.png", 1)
    for seed, name in enumerate(NAMES):
        line_art(root / "plain.png", seed).rename(root / "in" / os.fsdecode(name))
    (root / "in" / "zz_broken.png").write_bytes(b"no image at all")
    (root / "settings.json").write_text('{"images": {"c:d.png": {"seed": 77}}}')
    done = lote(
        "colorize", root / "in", "-o", root / "out", "--backend", "noop", "--config", root / "settings.json",
        "--steps", "7", "--as-lineart", "*d.png", workspace=root / "ws",
    )  # fmt: skip
    assert done.code == 3, done.err
    return root


def report(root: Path) -> Path:
    return root / "out" / "_lote" / "report.html"


class TestNames:
    def test_every_name_is_text(self, hostile: Path, opened: Any) -> None:
        page = opened(report(hostile))
        shown = page.locator(".page h3 bdi").all_text_contents()
        assert sorted(shown) == sorted(["0_cover.png", *SHOWN, "zz_broken.png"])
        assert page.locator("main script, main img[src=x], main b:not(.bad b)").count() == 0

    def test_a_click_opens_the_file_whatever_its_name(self, hostile: Path, opened: Any) -> None:
        page = opened(report(hostile))
        links = page.locator("a.compare").evaluate_all("all => all.map(link => link.href)")
        assert len(links) == len(NAMES) + 1
        other = page.context.new_page()
        for link in links:
            other.goto(link)
            assert other.evaluate("document.images[0].naturalWidth") == 240, link

    def test_a_script_that_is_not_ours_does_not_run(self, hostile: Path, chromium: Any) -> None:
        page = chromium.new_page()
        page.goto(report(hostile).as_uri())
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.hacked = true";
                document.body.append(script);
                const image = new Image();
                image.onerror = () => { window.refused = true; };
                image.src = "../0_cover.png";
                document.body.append(image);
            }"""
        )
        page.wait_for_function("window.refused")
        assert page.evaluate("window.hacked") is None
        page.close()


class TestEditor:
    def test_who_has_no_web_page_running_is_told_how_to_put_pages_right(
        self, tmp_path: Path, opened: Any
    ) -> None:
        house(tmp_path / "in" / "0.png", color=True)
        house(tmp_path / "in" / "1.png", color=False)
        done = lote(
            "colorize",
            tmp_path / "in",
            "-o",
            tmp_path / "out",
            "--backend",
            "flats",
            workspace=tmp_path / "ws",
        )
        assert done.code == 0, done.err
        page = opened(report(tmp_path))
        said = page.locator("header").inner_text()
        assert f"lote ui --workspace {tmp_path / 'ws'}" in said
        assert "open job 1" in said
        assert page.locator("a[href^=http]").count() == 0

    def test_where_a_web_page_runs_the_report_leads_to_it(self, tmp_path: Path, opened: Any) -> None:
        house(tmp_path / "in" / "0.png", color=True)
        house(tmp_path / "in" / "1.png", color=False)
        served = Server(tmp_path)
        try:
            done = served.lote("colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "flats")
            assert done.code == 0, done.err
            page = opened(report(tmp_path))
            links = page.locator("a[href^=http]").evaluate_all("all => all.map(link => link.href)")
            assert links == [f"{served.address}edit/1/1", f"{served.address}edit/1/2"]
            assert served.get("/edit/1/2")[0] == 200
        finally:
            served.terminate()
        words = [
            "colorize",
            tmp_path / "in",
            "-o",
            tmp_path / "out",
            "--backend",
            "flats",
            "--style",
            "line + shadow",
        ]
        again = lote(*words, workspace=tmp_path / "ws")
        assert again.code == 0, again.err
        html = report(tmp_path).read_text(encoding="utf-8")
        assert "lote ui" in html
        assert served.address not in html  # it has ended, and is not led to

    def test_pages_without_regions_lead_nowhere(self, hostile: Path, opened: Any) -> None:
        assert "lote ui" not in opened(report(hostile)).locator("header").inner_text()


class TestContent:
    def test_pages_say_what_is_known_of_them(self, hostile: Path, opened: Any) -> None:
        page = opened(report(hostile))
        own = page.locator(".page", has_text="c:d.png")
        assert "taken as told" in own.text_content()
        assert "coloured, 100% sure" in own.text_content()
        own.locator("summary").click()
        assert re.search(r"seed\s*77 \(this page's own\)", own.text_content())
        assert re.search(r"backend\s*noop 1", own.text_content())
        assert re.search(r"references\s*1 learned", own.text_content())
        cover = page.locator(".page", has_text="0_cover.png")
        assert "kept, a reference" in cover.text_content()
        assert re.search(r"coloured, \d+%", cover.text_content())
        broken = page.locator(".page", has_text="zz_broken.png")
        assert "the file is not an image" in broken.locator(".says.bad").text_content()
        assert broken.locator("img").count() == 0

    def test_the_head_counts(self, hostile: Path, opened: Any) -> None:
        head = opened(report(hostile)).locator("header").inner_text()
        for figure, words in ((12, "pages"), (10, "coloured"), (1, "failed"), (1, "kept as they are")):
            assert re.search(rf"\n{words}\n{figure}\n", head), head

    def test_settings_say_where_they_came_from(self, hostile: Path, opened: Any) -> None:
        page = opened(report(hostile))
        rows = {
            cells[0]: cells[1:]
            for cells in page.locator("table tr").evaluate_all(
                "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
            )
        }
        assert rows["num_inference_steps"] == ["7", "--steps"]
        assert rows["backend"] == ["noop", "--backend"]
        assert rows["seed"] == ["0", "built-in"]

    def test_references_are_shown_and_lead_to_their_page(self, hostile: Path, opened: Any) -> None:
        page = opened(report(hostile))
        reference = page.locator("#references-0 + ul li")
        assert reference.text_content() == "0_cover.png"
        assert (
            reference.locator("img").evaluate("image => image.decode().then(() => image.naturalHeight)")
            == 192
        )
        reference.locator("a").click()
        assert page.url.endswith("#p1")

    def test_pictures_fit_into_25_kb_a_page(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(1).integers(0, 255, (1500, 1000, 3), np.uint8)
        (tmp_path / "in").mkdir()
        Image.fromarray(noise).save(tmp_path / "in" / "noise.png")
        done = lote(
            "colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "noop", "--as-lineart", "*",
            workspace=tmp_path / "ws",
        )  # fmt: skip
        assert done.code == 0, done.err
        text = report(tmp_path).read_text()
        pictures = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
        assert len(pictures) == 2
        assert sum(map(len, pictures)) <= 25_000  # a hundred pages are less than 3 MB
        for data in pictures:
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                assert image.format == "WEBP"
                assert 120 <= max(image.size) <= 400
                assert image.height > image.width

    def test_the_contact_sheet_shows_the_pages_in_order(self, tmp_path: Path) -> None:
        colors = [(200, 30, 30), (30, 160, 30), (30, 30, 200), (220, 200, 20)]
        (tmp_path / "in").mkdir()
        for number, color in zip((1, 2, 10, 11), colors, strict=True):
            Image.new("RGB", (140, 196), color).save(tmp_path / "in" / f"{number}.png")
        done = lote(
            "colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "noop", "--as-lineart", "*",
            workspace=tmp_path / "ws",
        )  # fmt: skip
        assert done.code == 0, done.err
        with Image.open(tmp_path / "out" / "_lote" / "contact_sheet.webp") as sheet:
            assert sheet.format == "WEBP"
            pixels = np.asarray(sheet.convert("RGB")).astype(int)
        places = []
        for color in colors:
            ys, xs = np.nonzero(np.abs(pixels - color).max(axis=2) < 24)
            places.append((round(float(ys.mean()), -1), float(xs.mean())))
            assert len(ys) > 10_000
        assert places == sorted(places)


class TestUse:
    @pytest.fixture
    def page(self, hostile: Path, opened: Any) -> Any:
        return opened(report(hostile))

    @staticmethod
    def share(card: Any) -> float:
        """How much of the picture shows the page as it was, in percent."""
        clip = card.locator("img.before").evaluate("image => getComputedStyle(image).clipPath")
        found = re.fullmatch(
            r"inset\(0px ([\d.]+)% 0px 0px\)|inset\(0px\)|inset\(0px calc\(100% - ([\d.]+)%\) .*", clip
        )
        assert found, clip
        if found[2]:
            return float(found[2])
        return 100 - float(found[1] or 0)

    def test_the_slider_moves_by_keyboard(self, page: Any) -> None:
        card = page.locator(".page.coloured").first
        slider = card.locator("input[type=range]")
        assert self.share(card) == 50
        slider.focus()
        slider.press("ArrowRight")
        assert self.share(card) == 51
        slider.press("Home")
        assert self.share(card) == 0
        assert slider.get_attribute("aria-valuetext") == "0% before"
        assert self.share(page.locator(".page.coloured").nth(1)) == 50

    def test_dragging_over_the_picture_moves_the_line_and_opens_nothing(self, page: Any) -> None:
        card = page.locator(".page.coloured").first
        card.scroll_into_view_if_needed()
        box = card.locator(".compare").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
        page.mouse.up()
        assert self.share(card) == pytest.approx(25, abs=2)
        page.wait_for_timeout(200)
        assert len(page.context.pages) == 1

    def test_a_click_on_the_picture_opens_the_full_page(self, page: Any) -> None:
        with page.context.expect_page() as opening:
            page.locator(".page.coloured a.compare").first.click()
        full = opening.value
        full.wait_for_load_state()
        assert full.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]") == [
            240,
            320,
        ]

    def test_everything_can_be_shown_before_or_after(self, page: Any) -> None:
        cards = page.locator(".page.coloured")
        cards.first.locator("input[type=range]").press("Home")
        for words, share in (("Before", 100), ("After", 0), ("Split", 50)):
            page.get_by_label(words, exact=True).check()
            assert {self.share(cards.nth(at)) for at in range(cards.count())} == {share}
            assert cards.first.locator("input[type=range]").input_value() == str(share)

    def test_pages_are_chosen_by_state_and_by_name(self, page: Any) -> None:
        visible = page.locator(".page:visible h3 bdi")
        page.get_by_label("Failed 1").check()
        assert visible.all_text_contents() == ["zz_broken.png"]
        assert page.locator(".bar output").inner_text() == "1 of 12 pages"
        page.get_by_label("All 12").check()
        page.get_by_role("searchbox").fill("UNICODE".lower().replace("u", "ü", 1))
        assert visible.count() == 0
        page.get_by_role("searchbox").fill("漫画")
        assert visible.all_text_contents() == ["ünïcode 漫画.png"]

    def test_the_keyboard_reaches_everything(self, page: Any) -> None:
        reached = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            reached.add(
                page.evaluate(
                    "() => document.activeElement.type || document.activeElement.tagName.toLowerCase()"
                )
            )
        assert {"a", "radio", "search", "range", "summary"} <= reached

    @pytest.mark.parametrize("width", [390, 1280])
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_it_fits_and_can_be_read(self, page: Any, width: int, theme: str) -> None:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        faint = page.evaluate(
            """() => {
                const light = (text) => {
                    const parts = text.match(/[\\d.]+/g).slice(0, 3).map((value) => {
                        const part = value / 255;
                        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
                    });
                    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
                };
                const ground = (node) => {
                    for (; node; node = node.parentElement) {
                        const colour = getComputedStyle(node).backgroundColor;
                        if (!/, 0\\)$/.test(colour)) return colour;
                    }
                    return "rgb(255, 255, 255)";
                };
                const texts = document.querySelectorAll("h1, h2, h3, p, li, dt, dd, th, td, span, a, summary, output");
                return [...texts].filter((node) => node.innerText && node.checkVisibility()).filter((node) => {
                    const pair = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
                    return (pair[0] + 0.05) / (pair[1] + 0.05) < 4.5;  // WCAG 2.2, contrast (minimum)
                }).map((node) => node.outerHTML.slice(0, 80));
            }"""
        )
        assert faint == []

    def test_it_works_without_scripts(self, hostile: Path, chromium: Any) -> None:
        context = chromium.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(report(hostile).as_uri())
        page.get_by_label("Failed 1").check()
        assert page.locator(".page:visible").count() == 1
        context.close()


class TestJobs:
    def test_an_archive_has_its_report_beside_it(self, tmp_path: Path, opened: Any) -> None:
        source = zipped(book(tmp_path / "in", 2), tmp_path / "chapter.cbz")
        done = lote(
            "colorize", source, "-o", tmp_path / "book#1.cbz", "--backend", "noop", workspace=tmp_path / "ws"
        )
        assert done.code == 0, done.err
        folder = tmp_path / "book#1.lote"
        assert {path.name for path in folder.iterdir()} >= {"report.html", "contact_sheet.webp"}
        page = opened(folder / "report.html")
        assert page.locator(".page").count() == 3
        assert page.locator("a.compare").count() == 0
        links = page.locator("nav.files a").evaluate_all("all => all.map(link => link.getAttribute('href'))")
        assert "../book%231.cbz" in links
        assert page.locator(".page.coloured .both").count() == 2

    def test_a_rerun_shows_what_has_changed_and_keeps_the_rest(self, tmp_path: Path) -> None:
        book(tmp_path / "in", 3)

        def run() -> set[str]:
            done: Run = lote(
                "colorize",
                tmp_path / "in",
                "-o",
                tmp_path / "out",
                "--backend",
                "noop",
                workspace=tmp_path / "ws",
            )
            assert done.code == 0, done.err
            return set(re.findall(r'base64,([^"]+)"', report(tmp_path).read_text()))

        first = run()
        thumbs = tmp_path / "ws" / "jobs" / "1" / "thumbs"
        kept = {path.name: path.read_bytes() for path in thumbs.iterdir()}
        # A picture that is drawn again would be whole again: these are not, so they were not drawn again.
        (thumbs / f".{next(iter(kept))}.1.part").write_bytes(b"half")  # of a worker that was killed
        for path in thumbs.iterdir():
            path.write_bytes(path.read_bytes() + b"\0\0")
            os.utime(path, (0, 0))
        line_art(tmp_path / "in" / "2.png", 99)
        second = run()
        assert first != second
        names = {path.name for path in thumbs.iterdir()}
        assert len(names) == len(kept)
        assert len(names - set(kept)) == 2
        for name in names & set(kept):
            assert (thumbs / name).read_bytes() == kept[name] + b"\0\0"

    def test_a_job_without_one_good_page_still_has_a_report(self, tmp_path: Path, opened: Any) -> None:
        colored(tmp_path / "in" / "cover.png")
        (tmp_path / "in" / "page.png").write_bytes(b"broken")
        done = lote(
            "colorize",
            tmp_path / "in",
            "-o",
            tmp_path / "out",
            "--backend",
            "noop",
            workspace=tmp_path / "ws",
        )
        assert done.code == 1
        assert opened(report(tmp_path)).locator(".page.failed").count() == 1

    def test_where_no_report_can_be_written_the_book_is_still_made(self, tmp_path: Path) -> None:
        book(tmp_path / "in", 1)
        (tmp_path / "book.lote").write_text("somebody's file")
        done = lote(
            "colorize",
            tmp_path / "in",
            "-o",
            tmp_path / "book.cbz",
            "--backend",
            "noop",
            workspace=tmp_path / "ws",
        )
        assert done.code == 0, done.err
        assert "there is no new report in" in done.err
        assert (tmp_path / "book.cbz").stat().st_size > 1000
        assert (tmp_path / "book.lote").read_text() == "somebody's file"

    def test_palette_and_regions_to_review(self, tmp_path: Path, opened: Any) -> None:
        book(tmp_path / "in", 2)
        args = ("colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "noop")
        assert lote(*args, workspace=tmp_path / "ws").code == 0
        told = {
            "1.png": {
                "confidence": 0.5,
                "palette": [
                    {"id": 2, "rgb": [200, 100, 50], "name": "<i>Ana</i> hair"},
                    {"id": 10, "rgb": [0, 0, 255]},
                ],
                "review": [
                    {"box": [10, 20, 60, 90], "id": 2, "confidence": 0.31, "why": "two colours alike"}
                ],
            },
            "2.png": {
                "confidence": 0.9,
                "palette": [{"id": 2, "rgb": [200, 100, 50], "name": "<i>Ana</i> hair"}],
                "review": [{"box": [0, 0, 240, 320], "id": 10, "confidence": 0.12}],
            },
        }
        with sqlite3.connect(tmp_path / "ws" / "lote.db") as ledger:  # as a backend would have told it
            for key, details in told.items():
                ledger.execute("UPDATE item SET details = ? WHERE key = ?", (json.dumps(details), key))
        ledger.close()
        assert lote(*args, workspace=tmp_path / "ws").code == 0
        folder = tmp_path / "out" / "_lote"
        regions = json.loads((folder / "review.json").read_text())["regions"]
        assert [(region["page"], region["box"], region["confidence"]) for region in regions] == [
            ("2.png", [0, 0, 240, 320], 0.12),
            ("1.png", [10, 20, 60, 90], 0.31),
        ]
        colors = json.loads((folder / "palette.json").read_text())["colors"]
        assert [(color["id"], color["rgb"], color["pages"]) for color in colors] == [
            (2, [200, 100, 50], ["1.png", "2.png"]),
            (10, [0, 0, 255], ["1.png"]),
        ]
        page = opened(folder / "report.html")
        crops = page.locator(".crops li")
        assert crops.locator("a").all_text_contents() == ["2.png", "1.png"]
        assert "31% sure of <i>Ana</i> hair (two colours alike)" in crops.nth(1).text_content()
        assert crops.locator("img").count() == 2
        assert "<i>Ana</i> hair (2) · 2 pages" in page.locator(".palette").text_content()
        page.get_by_label("Not sure 1").check()
        assert page.locator(".page:visible h3 bdi").all_text_contents() == ["1.png"]

    def test_many_pages_cost_only_what_is_seen(self, tmp_path: Path, opened: Any) -> None:
        (tmp_path / "in").mkdir()
        for number in range(1, 201):
            Image.new("L", (40, 56), number % 250).save(tmp_path / "in" / f"{number}.png")
        done = lote(
            "colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "noop", "--as-lineart", "*",
            "--pages", "1-3", "--workers", "2", workspace=tmp_path / "ws",
        )  # fmt: skip
        assert done.code == 0, done.err
        page = opened(report(tmp_path))
        assert page.locator(".page").count() == 200
        rendered = "text => text.checkVisibility({ contentVisibilityAuto: true })"
        assert page.locator("#p1 h3").evaluate(rendered)
        assert not page.locator("#p200 h3").evaluate(rendered)
        page.locator("#p200").scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        assert page.locator("#p200 h3").evaluate(rendered)
        assert not page.locator("#p1 h3").evaluate(rendered)
        assert (
            page.locator("#p200 img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
        )


class TestLong:
    """A report in several files; at numbers that a test can draw."""

    @pytest.fixture
    def colored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
        """Runs a job of so many pages, named in order but for the last; its report."""
        monkeypatch.setattr(layout, "PAGED_FROM", 8)
        monkeypatch.setattr(layout, "PAGES_A_FILE", 3)
        monkeypatch.setattr(layout, "PAGES_A_SHEET", 5)
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "5.png").write_bytes(b"no picture")

        def run(pages: int) -> Path:
            for number in range(1, 11):
                name = f"{number}.png" if number < 10 else "x <!--<script> last.png"
                if number > pages:
                    (tmp_path / "in" / name).unlink(missing_ok=True)
                elif number != 5:
                    Image.new("L", (40, 56), 25 * number).save(tmp_path / "in" / name)
            colorize_comic(
                tmp_path / "in", tmp_path / "out", workspace=tmp_path / "ws", backend="noop", as_lineart=["*"]
            )
            return report(tmp_path)

        return run

    def test_an_index_leads_to_every_page(self, colored: Callable[[int], Path], chromium: Any) -> None:
        page, trouble = chromium.new_page(), []
        page.on("request", lambda request: request.url.startswith("http") and trouble.append(request.url))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(colored(10).as_uri())
        assert page.locator(".page").count() == 0
        rows = page.locator(".parts tbody tr")
        assert [row.locator("th").inner_text() for row in rows.all()] == ["1 – 3", "4 – 6", "7 – 9", "10"]
        assert rows.nth(1).locator("td").all_inner_texts()[:3] == ["4.png", "6.png", "1"]
        search = page.get_by_role("searchbox")
        search.fill("no such")
        assert page.locator(".bar output").inner_text() == "no such page"
        search.fill("LAST")
        assert page.locator("#found li").all_inner_texts() == ["Page 10 x <!--<script> last.png"]
        search.press("Enter")
        page.wait_for_url("**/report/pages-00010.html#p10")
        assert page.locator("#p10 h3 bdi").inner_text() == "x <!--<script> last.png"
        page.locator("header a[rel=prev]").click()
        assert page.locator(".page h3 bdi").all_inner_texts() == ["7.png", "8.png", "9.png"]
        picture = page.locator("#p8 img.before")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
        page.locator("#p8 a.compare").evaluate("link => { link.target = ''; link.click() }")
        page.wait_for_url("**/out/8.png")
        page.go_back()
        page.locator("header").get_by_text("The whole report").click()
        page.locator(".list .bad a").click()  # the page that failed
        page.wait_for_url("**/report/pages-00004.html#p5")
        page.go_back()
        rows.nth(1).locator("td.bad a").click()
        assert page.locator(".page:visible h3 bdi").all_inner_texts() == ["5.png"]
        page.close()
        assert trouble == []

    def test_it_lies_beside_the_index_and_changes_with_the_book(
        self, colored: Callable[[int], Path], tmp_path: Path
    ) -> None:
        colored(10)
        folder = colored(10).parent  # from now on the pages are kept from then

        def files() -> set[str]:
            names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            return {name for name in names if name.startswith(("report", "contact_sheet"))}

        many = {f"report/pages-{first:05}.html" for first in (1, 4, 7, 10)} | {
            "report/contact_sheet-00006.webp"
        }
        assert files() == {"report.html", "contact_sheet.webp"} | many
        assert json.loads((folder / "processing_metadata.json").read_text())["counts"]["failed"] == 1
        workspace = Workspace(tmp_path / "ws")
        path, name = jobs.report(workspace, workspace.ledger.job(1))
        assert name == "job-1-report.zip"
        with zipfile.ZipFile(path) as archive:
            assert set(archive.namelist()) == {"report.html"} | many
        before = {path: path.stat().st_mtime_ns for path in (folder / "report").glob("pages-*")}
        (folder / "report" / "pages-00007.html").write_text("a person's own")
        colored(10)
        after = {path: path.stat().st_mtime_ns for path in before}
        changed = {path.name for path in before if after[path] != before[path]}
        # A page of the first was tried again, and may have taken as long as before.
        assert {"pages-00007.html"} <= changed <= {"pages-00004.html", "pages-00007.html"}
        assert (folder / "report" / "pages-00007.html").read_text() == "a person's own"
        colored(7)  # in one file again
        assert files() == {
            "report.html",
            "contact_sheet.webp",
            "report/pages-00007.html",
            "report/contact_sheet-00006.webp",
        }
        assert 'id="p7"' in (folder / "report.html").read_text()
