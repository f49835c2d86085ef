"""The windows of the photo library in a real browser, and what whoever attacks their answers gets."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from batch_processing.photos import tables
from batch_processing.photos.store import open_database
from command import Run
from drawn_photos import jpeg, resized, scene, shot
from web_server import Server, Visitor, chromium, until

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")
HOSTILE = '<img src=x onerror=alert(1)> & "x".jpg'
SMALL = {"width": 240, "height": 160}

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def photos_in(folder: Path) -> Path:
    """Twelve photos of two months with copies, other versions, and what a scan leaves alone."""
    for number in range(1, 13):
        month, day = 7 + number // 7, 1 + number // 3
        shot(folder / "camera" / f"IMG_{number:02d}.jpg", number, taken_at=f"2019:{month:02d}:{day:02d} 12:{number:02d}:00", **SMALL)  # fmt: skip
    (folder / "copies").mkdir()
    for number in (1, 2):
        shutil.copy2(folder / "camera" / f"IMG_{number:02d}.jpg", folder / "copies" / f"again {number}.jpg")
    shutil.copy2(folder / "camera" / "IMG_03.jpg", folder / "copies" / HOSTILE)
    for number in (5, 6):
        pixels = resized(scene(number, **SMALL), 180, 120)
        (folder / "copies" / f"small {number}.jpg").write_bytes(jpeg(pixels, 60))
    for name, number in (("b.jpg", 21), ("a.jpg", 20)):
        (folder / "copies" / name).write_bytes(jpeg(scene(number, **SMALL)))
    (folder / "copies" / "cut.jpg").write_bytes((folder / "camera" / "IMG_07.jpg").read_bytes()[:3000])
    (folder / "copies" / "empty.jpg").write_bytes(b"")
    (folder / "copies" / "link.jpg").symlink_to(folder / "camera" / "IMG_01.jpg")
    return folder


class Album:
    """A server over one library, whose photos and tables can be put back as they were."""

    def __init__(self, folder: Path) -> None:
        self.root, self.home = folder / "root", folder / "home"
        self.root.mkdir()
        self.home.mkdir()
        self.database = self.home / "photos.db"
        self.master = photos_in(self.home / "master")
        # The trash of its own user, on the same disk; photos in a database of their own.
        self.server = Server(
            self.root, HOME=str(self.home), XDG_DATA_HOME=str(self.home / "share"), LOTE_DATABASE=str(self.database)
        )  # fmt: skip
        self.album = self.root / "album"
        self.previews = self.server.workspace / "previews.db"
        shutil.copytree(self.master, self.album, symlinks=True)
        assert self.photos("scan", self.album).code == 0
        self.keep("scanned")
        assert self.photos("look").code == 0
        self.keep("looked")

    def photos(self, *words: str | Path) -> Run:
        """A command of photos in the same library."""
        return self.server.lote("photos", *words, "--database", self.database)

    def keep(self, name: str) -> None:
        """Remember the tables under this name."""
        for path in (self.database, self.previews):
            if path.exists():
                shutil.copy2(path, self.home / f"{name}-{path.name}")

    def back(self, name: str) -> Album:
        """Have everything as it was."""
        for folder in (self.album, self.home / "share", self.server.workspace / "logs"):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.master, self.album, symlinks=True)
        self.use(self.home / f"{name}-{self.database.name}")
        self.previews.unlink(missing_ok=True)
        if (kept := self.home / f"{name}-{self.previews.name}").exists():
            shutil.copy2(kept, self.previews)
        return self

    def use(self, database: Path) -> None:
        """Put another database in the place of the library's."""
        shutil.copy2(database, fresh := self.database.with_suffix(".new"))
        fresh.replace(self.database)

    @property
    def trash(self) -> list[str]:
        return sorted(path.name for path in self.home.glob("share/Trash/files/*"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    album = Album(tmp_path_factory.mktemp("library"))
    yield album
    album.server.stop()
    assert "Traceback" not in album.server.said.read_text()


@pytest.fixture
def scanned(one: Album) -> Album:
    return one.back("scanned")


@pytest.fixture
def album(one: Album) -> Album:
    """Scanned, and its pixels looked at."""
    return one.back("looked")


@pytest.fixture(scope="module")
def looked(one: Album) -> Server:
    """The same, for who changes nothing."""
    return one.back("looked").server


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    visitors: list[Visitor] = []

    def opened(server: Server, path: str, language: str = "en-GB", **options: Any) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 860})
        page = browser.new_context(locale=language, **options).new_page()
        visitors.append(Visitor(page, server))
        page.goto(server.entrance)
        page.goto(server.address + path)
        page.wait_for_selector("html[data-lote=ready]")
        return page

    yield opened
    for visitor in visitors:
        assert visitor.outside == []
        assert visitor.errors == []
        visitor.page.context.close()


def names(page: Page) -> list[str]:
    return page.locator("#grid .photo").evaluate_all("all => all.map((one) => one.title)")


def told(server: Server, path: str) -> Any:
    status, body = server.get(f"/lote/library/{path}")
    assert status == 200, body
    return json.loads(body)


# -- by date --------------------------------------------------------------------------------------------


def test_photos_stand_by_their_dates_and_a_button_has_them_looked_at(visit: Open, scanned: Album) -> None:
    page = visit(scanned.server, "library")
    expect(page.locator("#count")).to_have_text("17 photos · 3 copies are not shown")
    expect(page.locator(".month h2")).to_have_text(["August 2019", "July 2019", "Without a date"])
    assert names(page)[0] == "IMG_12.jpg"
    assert "cut.jpg" in names(page)[:-5]  # its header is whole, and says when
    assert names(page)[-5] == "IMG_01.jpg"  # the oldest
    assert set(names(page)[-4:]) == {"a.jpg", "b.jpg", "small 5.jpg", "small 6.jpg"}  # without a date
    expect(page.locator("#look")).to_contain_text("17 photos were not looked at yet")
    expect(page.locator("#look code")).to_have_text("lote photos look")
    page.click("#look .primary")
    expect(page.locator("#look")).to_be_hidden(timeout=60_000)
    expect(page.locator("#grid .photo img").first).to_be_visible()
    until(
        lambda: page.locator("#grid .photo img").evaluate_all(
            "all => all.every((one) => one.naturalWidth > 0)"
        )
    )
    assert page.locator("#grid .photo img").count() >= 12


def test_a_click_enlarges_and_keys_turn_and_close(visit: Open, album: Album) -> None:
    page = visit(album.server, "library")
    page.locator('#grid [title="IMG_01.jpg"]').click()
    viewer = page.locator("#viewer")
    expect(viewer.locator("#viewer-name")).to_have_text("IMG_01.jpg")
    expect(viewer.locator("#viewer-date")).to_have_text("taken 1 July 2019 at 12:01, by the camera")
    expect(viewer.locator("#viewer-facts")).to_contain_text("240 × 160")
    expect(viewer.locator("#viewer-facts")).to_contain_text("Canon EOS 5D")
    expect(viewer.locator("#viewer-copies li")).to_have_text([str(album.root / "album/copies/again 1.jpg")])
    until(lambda: page.evaluate("document.querySelector('#viewer-large').naturalWidth") == 240)
    page.keyboard.press("ArrowLeft")
    expect(viewer.locator("#viewer-name")).not_to_have_text("IMG_01.jpg")
    page.keyboard.press("ArrowRight")
    expect(viewer.locator("#viewer-name")).to_have_text("IMG_01.jpg")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    assert page.evaluate("document.activeElement.title") == "IMG_01.jpg"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.title") == names(page)[1]
    page.keyboard.press("Enter")
    expect(viewer).to_be_visible()
    page.go_back()
    expect(viewer).to_be_hidden()
    assert page.url.endswith("/library")


def test_damage_is_said(visit: Open, album: Album) -> None:
    page = visit(album.server, "library")
    page.locator('#grid [title="cut.jpg"]').click()
    expect(page.locator("#viewer-trouble")).to_contain_text("is cut off")


def many(where: Path, folder: Path, count: int) -> None:
    """A library of photos that lie nowhere, every tenth without a date."""
    database = open_database(where)
    now = datetime.now(UTC)
    with database.write() as connection:
        connection.execute(tables.directories.insert().values(id=1, path=str(folder)))
        photos = [
            {
                "id": number, "directory_id": 1, "name": f"IMG_{number:05d}.jpg", "size": 1, "mtime_ns": 0,
                "hash": hashlib.sha256(str(number).encode()).digest(), "filename": f"IMG_{number:05d}.jpg",
                "extension": ".jpg", "processed_at": now,
            }
            for number in range(1, count + 1)
        ]  # fmt: skip
        facts = [
            {
                "photo_id": number,
                "taken_at": None
                if number % 10 == 0
                else f"{2000 + number // 500}-{1 + number // 50 % 10:02d}-{1 + number % 28:02d}T10:00:00",
            }
            for number in range(1, count + 1)
        ]
        connection.execute(tables.photos.insert(), photos)
        connection.execute(tables.facts.insert(), facts)
    database.close()


def test_of_many_photos_few_are_in_the_document(visit: Open, album: Album, tmp_path: Path) -> None:
    many(tmp_path / "many.db", album.album, 6000)
    album.use(tmp_path / "many.db")
    page = visit(album.server, "library")
    expect(page.locator("#count")).to_have_text("6,000 photos")
    assert page.locator("#grid .photo").count() < 200
    for share in (0.2, 0.9, 0.5, 1.0):
        page.evaluate(
            "share => { const s = document.querySelector('#scroller'); s.scrollTop = share * s.scrollHeight; }",
            share,
        )
        page.wait_for_timeout(150)
    expect(page.locator('#grid [title="IMG_06000.jpg"]')).to_be_visible()
    assert page.locator("#grid .photo").count() < 200
    page.select_option("#jump", "2005-05")
    expect(page.locator(".month h2").filter(has_text="May 2005")).to_be_visible()
    until(lambda: page.locator("#grid .photo[title]").count() > 20)


# -- copies and similar photos --------------------------------------------------------------------------


def test_copies_go_to_the_trash_once_confirmed_and_come_back(visit: Open, album: Album) -> None:
    copies = album.root / "album" / "copies"
    before = {
        path: path.read_bytes() for path in sorted(copies.parent.rglob("*.jpg")) if not path.is_symlink()
    }
    page = visit(album.server, "library/similar")
    expect(page.locator(".group")).to_have_count(3)
    expect(page.locator(".card.keep .name").first).to_have_text(
        page.locator(".card.keep .name").first.inner_text()
    )
    ticked = [copies / "again 1.jpg", copies / "again 2.jpg", copies / HOSTILE]
    # Which of two files of one time is the oldest is not said: the original, then the shorter path.
    total = sum(len(before[path]) for path in ticked)
    page.click("[data-do=trash]")
    expect(page.locator("#dialog-title")).to_contain_text("Move 3 photos (")
    page.keyboard.press("Escape")
    assert album.trash == []
    page.click("[data-do=trash]")
    page.click("#dialog-body .primary")
    expect(page.locator("#dialog-title")).to_contain_text("Moved 3 photos (")
    assert len(album.trash) == 3
    gone = {path for path in before if not path.exists()}
    assert sum(len(before[path]) for path in gone) == total
    digests = [hashlib.sha256(data).hexdigest() for path, data in before.items() if path not in gone]
    assert {hashlib.sha256(before[path]).hexdigest() for path in gone} <= set(digests)  # one of each stays
    expect(page.locator(".group")).to_have_count(0)
    (log,) = (album.server.workspace / "logs").glob("duplicates-*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["path"] for line in lines if line["done"]} == {os.fspath(path) for path in gone}

    page.click("#dialog-body button:has-text('Take them back')")
    expect(page.locator("#dialog-title")).to_have_text("3 photos are back in their places.")
    assert {path: path.read_bytes() for path in before} == before
    assert album.trash == []
    page.click("#dialog-body .primary")
    expect(page.locator(".group")).to_have_count(3)
    expect(page.locator("#past li")).to_contain_text("all taken back")
    listed = album.photos("duplicates", "--json").summary
    assert (listed["groups"], listed["copies"]) == (3, 3)


def test_what_is_not_as_it_was_is_left_alone_and_named(visit: Open, album: Album) -> None:
    page = visit(album.server, "library/similar")
    expect(page.locator(".group")).to_have_count(3)
    going = page.locator(".card.goes").first
    changed = Path(going.locator(".path").inner_text()) / going.locator(".name").inner_text()
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    confirmed_text = page.locator("#sum").inner_text()
    page.click("[data-do=trash]")
    page.click("#dialog-body .primary")
    expect(page.locator("#dialog-title")).to_contain_text("Moved 2 photos (")
    expect(page.locator(".refused li")).to_have_count(1)
    expect(page.locator(".refused li")).to_contain_text(str(changed))
    expect(page.locator(".refused li")).to_contain_text("scan again")
    assert changed.exists()
    assert "3 photos ticked" in confirmed_text


def test_another_photo_can_stay_and_what_is_unticked_stays_too(visit: Open, album: Album) -> None:
    page = visit(album.server, "library/similar")
    expect(page.locator(".group")).to_have_count(3)
    page.click("[data-do=none]")
    expect(page.locator("[data-do=trash]")).to_be_disabled()
    group = page.locator(".group").filter(has_text="again 1.jpg")
    stays = group.locator(".card.going .name").inner_text()
    group.locator("button:has-text('Keep this one')").click()
    expect(group.locator(".card.keep .name")).to_have_text(stays)
    page.click("[data-do=trash]")
    expect(page.locator("#dialog-title")).to_contain_text("Move 1 photo (")
    page.click("#dialog-body .primary")
    expect(page.locator("#dialog-title")).to_contain_text("Moved 1 photo (")
    left = [path.name for path in (album.root / "album").rglob("*.jpg")]
    assert stays in left
    assert len(album.trash) == 1


def test_the_same_picture_is_found_and_the_smaller_one_goes(visit: Open, album: Album) -> None:
    page = visit(album.server, "library/similar?of=similar")
    page.click("#find")
    expect(page.locator(".group")).to_have_count(2, timeout=60_000)
    assert sorted(page.locator(".card.goes .name").all_inner_texts()) == ["small 5.jpg", "small 6.jpg"]
    expect(page.locator(".card.goes .differs").first).to_contain_text("180 × 120")
    page.locator(".card.goes input").first.uncheck()
    expect(page.locator("#sum")).to_contain_text("1 photo ticked")
    page.click("[data-do=trash]")
    page.click("#dialog-body .primary")
    expect(page.locator("#dialog-title")).to_contain_text("Moved 1 photo (")
    assert len(album.trash) == 1
    assert sum(path.exists() for path in (album.album / "copies").glob("small ?.jpg")) == 1


def test_nothing_goes_of_a_folder_that_stays_as_it_is(visit: Open, album: Album) -> None:
    page = visit(album.server, "library/similar")
    page.select_option("#keep-copies", "under")
    page.fill("#under", str(album.root / "album" / "copies"))
    page.press("#under", "Enter")
    page.locator("#under").blur()
    expect(page.locator(".card.keep .path").first).to_have_text(str(album.root / "album" / "copies"))
    page.click("[data-do=trash]")
    page.click("#dialog-body .primary")
    expect(page.locator("#dialog-title")).to_contain_text("Moved 3 photos (")
    assert album.trash == ["IMG_01.jpg", "IMG_02.jpg", "IMG_03.jpg"]


# -- left out -------------------------------------------------------------------------------------------


def test_what_was_left_out_is_listed_by_reason(visit: Open, album: Album) -> None:
    page = visit(album.server, "library/left-out")
    damaged = page.locator("details").filter(has_text="is cut off")
    damaged.locator("summary").click()
    expect(damaged.locator("li")).to_have_text([str(album.root / "album/copies/cut.jpg")])
    empty = page.locator("details").filter(has_text="is empty")
    empty.locator("summary").click()
    expect(empty.locator("li")).to_have_text([str(album.root / "album/copies/empty.jpg")])
    links = page.locator("details").filter(has_text="links")
    links.locator("summary").click()
    expect(links.locator("li")).to_have_text([str(album.root / "album/copies/link.jpg")])
    expect(links).to_contain_text("scan the folders that they lead to")


def test_of_what_was_left_out_all_is_shown_page_by_page(visit: Open, album: Album) -> None:
    places = [album.album / f"more/{number % 7}" for number in range(230)]
    for number, folder in enumerate(places):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03d}.jpg.xmp").write_text("beside a photo")
    assert album.photos("scan", album.album).code == 0
    page = visit(album.server, "library/left-out")
    beside = page.locator("details").filter(has=page.locator("summary", has_text=".xmp"))
    expect(beside.locator("summary b")).to_have_text("230")
    beside.locator("summary").click()
    for shown in (100, 200):
        expect(beside.locator("li")).to_have_count(shown)
        beside.locator("[data-do=more]").click()
    expect(beside.locator("li")).to_have_count(230)
    expect(beside.locator("[data-do=more]")).to_be_hidden()
    paths = beside.locator("li").all_inner_texts()
    assert len(set(paths)) == 230
    expect(beside).to_contain_text("keep them safe in another way")
    run = album.photos("left-out", "--reason", ".xmp", "--style", "null")
    assert run.out.split("\0") == [*paths, ""]
    assert ".xmp: 230. They are no photos" in run.err
    run = album.photos("left-out", "--json")
    told = [(event["reason"], event["path"]) for event in run.events if event["event"] == "left_out"]
    assert ("links", str(album.album / "copies/link.jpg")) in told
    assert [path for why, path in told if why == ".xmp"] == paths
    assert run.events[-1]["left_out"] == len(told)


# -- people ---------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(album: Album) -> Server:
    """Two people on three photos each, and one on one, as a search for faces would have left them."""
    database = open_database(album.database)
    digest = sa.type_coerce(tables.photos.c.hash, sa.LargeBinary)
    with database.write() as connection:
        found = connection.execute(
            sa.select(digest).where(tables.photos.c.filename.like("IMG_%")).order_by(tables.photos.c.id)
        ).scalars()
        digests = [bytes(one) for one in found]
        now = datetime.now(UTC)
        connection.execute(
            tables.people.insert(), [{"id": number, "created_at": now} for number in (1, 2, 3)]
        )
        rows = [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5), (3, 6)]
        connection.execute(
            tables.faces.insert(),
            [
                {
                    "hash": digests[photo], "number": 0, "model": "test", "x": 0.3, "y": 0.2, "w": 0.3, "h": 0.4, "score": 0.9,
                    "quality": 60.0 + photo, "embedding": bytes([(person * 40 + photo) % 127] * 128), "person_id": person, "kind": "found",
                }
                for person, photo in rows
            ],
        )  # fmt: skip
    database.close()
    return album.server


def people_of(server: Server) -> dict[int, tuple[str, int]]:
    return {one["id"]: (one["name"], one["faces"]) for one in told(server, "people")["people"]}


def test_people_are_named_merged_corrected_and_all_is_undone(visit: Open, crowd: Server) -> None:
    page = visit(crowd, "library/people")
    expect(page.locator("#people .face")).to_have_count(3)
    until(
        lambda: page.locator("#people .crop img").evaluate_all(
            "all => all.every((one) => one.naturalWidth > 0)"
        )
    )
    first = page.locator("[data-person='1'] input[type=text]")
    first.fill("Ana")
    first.press("Enter")
    until(lambda: people_of(crowd)[1] == ("Ana", 3))
    expect(page.locator("#undo")).to_contain_text("Ana")

    second = page.locator("[data-person='2'] input[type=text]")
    second.fill("ana")  # the same name, in another case
    second.press("Enter")
    expect(page.locator("#dialog-title")).to_have_text("Somebody is called ana already")
    page.click("#dialog-body .primary")
    until(lambda: people_of(crowd) == {1: ("Ana", 6), 3: ("", 1)})
    page.locator("[data-person='1'] .tick input").check()
    page.locator("[data-person='3'] .tick input").check()
    page.click("#merge")
    until(lambda: people_of(crowd) == {1: ("Ana", 7)})
    page.click("#undo")
    until(lambda: people_of(crowd) == {1: ("Ana", 6), 3: ("", 1)})

    page.click("[data-person='1'] a.crop")
    expect(page.locator("#title")).to_have_text("Ana")
    expect(page.locator("#faces .face")).to_have_count(6)
    page.locator("#faces .crop").first.click()
    page.click("#dialog-body button:has-text('Not this person')")
    expect(page.locator("#faces .face")).to_have_count(5)
    page.click("#as-photos")
    until(
        lambda: page.locator("#faces img").evaluate_all(
            "all => all.length === 5 && all.every((one) => one.naturalWidth > 0)"
        )
    )
    page.locator("#faces .crop").last.click()
    page.click("#dialog-body button:has-text('Somebody else')")
    until(lambda: len(people_of(crowd)) == 3)
    page.click("#hide")
    until(lambda: told(crowd, "person/1")["person"]["hidden"])
    page.click("#all")
    expect(page.locator("[data-person='1']")).to_have_count(0)
    page.check("#show-hidden")
    expect(page.locator("[data-person='1']")).to_have_count(1)
    for _ in range(5):
        page.click("#undo")
        page.wait_for_timeout(150)
    until(lambda: people_of(crowd) == {1: ("", 3), 2: ("", 3), 3: ("", 1)})
    expect(page.locator("#undo")).to_be_hidden()


def test_faces_of_strangers_are_ignored_listed_and_taken_back(visit: Open, crowd: Server) -> None:
    page = visit(crowd, "library/people")
    expect(page.locator("#people .face")).to_have_count(3)
    expect(page.locator("#ignored")).to_be_hidden()
    page.click("[data-person='3'] a.crop")
    expect(page.locator("#faces .face")).to_have_count(1)
    page.click("#ignore")
    until(lambda: people_of(crowd) == {1: ("", 3), 2: ("", 3)})
    expect(page.locator("#people .face")).to_have_count(2)
    expect(page.locator("#ignored")).to_have_text("1 ignored face")

    page.click("[data-person='1'] a.crop")
    page.locator("#faces .crop").first.click()
    page.click("#dialog-body button:has-text('Ignore this face')")
    expect(page.locator("#faces .face")).to_have_count(2)
    page.click("#ignored")
    expect(page.locator("#title")).to_have_text("Ignored faces")
    expect(page.locator("#faces .face")).to_have_count(2)
    expect(page.locator("#ignore")).to_be_hidden()
    page.reload()
    until(
        lambda: page.locator("#faces img").evaluate_all(
            "all => all.length === 2 && all.every((one) => one.naturalWidth > 0)"
        )
    )
    page.locator("#faces .crop").first.click()  # the clearest: that of person 3
    page.click("#dialog-body button:has-text('Take it back')")
    expect(page.locator("#faces .face")).to_have_count(1)
    page.click("#all")
    page.click("#undo")
    until(lambda: told(crowd, "people")["ignored"] == 2)
    page.click("#undo")
    page.wait_for_timeout(150)
    page.click("#undo")
    until(lambda: people_of(crowd) == {1: ("", 3), 2: ("", 3), 3: ("", 1)})
    expect(page.locator("#ignored")).to_be_hidden()


def test_where_faces_were_not_asked_for_the_page_says_how_and_what_it_means(
    visit: Open, album: Album
) -> None:
    page = visit(album.server, "library/people")
    expect(page.locator("#unasked")).to_contain_text("lote photos faces")
    expect(page.locator("#unasked")).to_contain_text("nothing is sent anywhere")
    expect(page.locator("#people .face")).to_have_count(0)


# -- for everybody --------------------------------------------------------------------------------------

VIEWS = {
    "library": "", "library/similar": "[data-do=trash]", "library/left-out": "summary", "library/people": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "scheme", "width"),
    [("en-GB", "light", 1280), ("es-ES", "dark", 390)],
)
def test_every_window_is_accessible_on_a_desk_and_a_phone(
    visit: Open, crowd: Server, language: str, scheme: str, width: int
) -> None:
    for path, then in VIEWS.items():
        page = visit(crowd, path, language, viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.evaluate(AXE.read_text())

        def faults(page: Page = page) -> list[str]:
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            return [
                f"{one['id']}: {node['target']} {node['failureSummary']}"
                for one in found
                for node in one["nodes"]
            ]

        assert page.evaluate("document.documentElement.scrollWidth") == width, path
        wide = "[...document.querySelectorAll('main, main *')].filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))"
        assert page.evaluate(wide) == [], path
        assert faults() == []
        if then:
            page.locator(then).first.click()
            page.wait_for_timeout(200)
            assert faults() == []
        if path == "library":
            page.locator("#grid .photo").first.click()
            page.wait_for_selector("#viewer-facts div")
            assert faults() == []
        if path == "library/people":
            page.locator("a.crop").first.click()
            page.locator("#faces .crop").first.click()
            assert faults() == []


def test_the_page_of_photos_leads_to_the_library(visit: Open, album: Album) -> None:
    page = visit(album.server, "library")
    page.goto(album.server.address)
    page.wait_for_selector("html[data-lote=ready]")
    page.click("#tab-photos-button")
    page.click("a[href='/library']")
    page.wait_for_selector("#grid .photo")
    page.click("a[href='/library/similar']")
    page.wait_for_selector(".group")


# -- attacks --------------------------------------------------------------------------------------------

ANSWERS = (
    "index", "beside", "photos", "news", "copies", "similar", "cleaning", "people", "left-out", "photo/1", "photo/1/preview",
    "photo/1/large", "face/1/crop", "person/1", "group?of=copies&kept=1",
)  # fmt: skip


@pytest.mark.parametrize(
    "path", [*(f"/lote/library/{answer}" for answer in ANSWERS), "/library", "/library/similar"]
)
def test_strangers_and_other_sites_get_nothing(looked: Server, path: str) -> None:
    assert looked.ask(path, cookie="").status == 401
    assert looked.ask(path, cookie=f"lote-{looked.port}={'0' * 64}").status == 401
    assert looked.get(path, Sec_Fetch_Site="cross-site")[0] == 403


@pytest.mark.parametrize("path", ["do", "similar/do", "people/do"])
@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"do":"rm"}', b'{"do":"look","path":"/"}', b'{"do":"name","person":-1,"name":"x"}',
        b'{"do":"trash","of":"copies","groups":[],"photos":1,"bytes":1}', b'{"do":"back","log":"../lote.db"}',
        b'{"do":"back","log":"duplicates-20200101-000000.jsonl"}', b'{"do":"merge","person":1,"others":[1]}',
        b'{"do":"split","person":1,"face":99999999999999999999}', b'{"do":"find","distance":99}',
        b'{"do":"trash","of":"copies","groups":[{"kept":1,"going":[2]}],"photos":1,"bytes":1,"under":"/etc"}',
    ],
)  # fmt: skip
def test_what_the_pages_never_send_is_refused_with_a_sentence(looked: Server, path: str, body: bytes) -> None:
    status, answer = looked.post(f"/lote/library/{path}", body)
    assert status == 400
    assert answer["error"].endswith((".", "?")) or ":" in answer["error"]
    assert (
        looked.get(f"/lote/library/{path}", method="POST", data=body)[0] == 403
    )  # without the header of its script


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "from=2019-07-04,",
        "to=~zz,1",
        f"from=~{'61' * 2000},1",
        "from=2019-07-04T00:00:00,1;drop",
        "from=%00",
    ],
)
def test_a_place_that_there_is_not_is_refused(looked: Server, query: str) -> None:
    assert looked.get(f"/lote/library/photos?{query}")[0] == 400


def test_huge_ranges_and_numbers_are_cut_or_nobodys(looked: Server) -> None:
    listed = told(looked, "photos?from=9999-12-31T23:59:59,1&to=~ff,999999999999999999")
    assert 0 < len(listed["photos"]) <= 600
    assert told(looked, "copies?after=99999999999999999999,1")["groups"]
    assert told(looked, "similar?from=99999999999")["state"] in ("none", "found")
    for path in ("photo/{}", "photo/{}/preview", "photo/{}/large", "person/{}", "face/{}/crop"):
        for number in (0, 999_999, 2**63 - 1, 10**30):
            assert looked.get(f"/lote/library/{path.format(number)}")[0] == 404


def photo_ids(server: Server) -> dict[str, int]:
    return {one["name"]: one["id"] for one in told(server, "photos")["photos"]}


def test_nothing_goes_that_was_not_confirmed_as_it_is(album: Album) -> None:
    looked = album.server
    (group, *_) = told(looked, "copies?keep=oldest")["groups"]
    kept, going = (
        next(card for card in group["cards"] if card["role"] == role) for role in ("keep", "going")
    )
    other = photo_ids(looked)["IMG_12.jpg"]

    def refused(
        groups: list[dict[str, Any]], photos: int = 1, size: int = going["size"], of: str = "copies"
    ) -> None:
        wish = {"do": "trash", "of": of, "groups": groups, "photos": photos, "bytes": size}
        status, answer = looked.post("/lote/library/similar/do", wish)
        assert status == 400, answer

    right = {"kept": kept["id"], "going": [going["id"]]}
    refused([right], photos=2)
    refused([right], size=going["size"] + 1)
    refused([{"kept": kept["id"], "going": [kept["id"]]}])
    refused([{"kept": kept["id"], "going": [other]}])
    refused([{"kept": going["id"], "going": [going["id"]]}])
    refused([{"kept": other, "going": [going["id"]]}])
    refused([right, right], photos=2, size=2 * going["size"])
    refused([{"kept": kept["id"], "going": [going["id"]], "number": 7}], of="similar")
    assert album.trash == []
    assert album.photos("duplicates", "--json").summary["copies"] == 3


def test_photos_outside_of_the_roots_are_neither_listed_nor_shown_nor_moved(
    album: Album, tmp_path: Path
) -> None:
    outside, running = tmp_path / "outside", album.server
    shutil.copytree(album.album / "camera", outside)
    shot(outside / "deep" / "secret.jpg", 40, **SMALL)
    (album.album / "way").symlink_to(outside)
    inside = told(running, "index")["photos"]
    for folder in (outside, album.album / "way" / "deep"):
        assert album.photos("scan", "--look", folder).code == 0
    running.get("/lote/library/news")
    with sqlite3.connect(album.database) as database:
        folders = dict(database.execute("SELECT id, CAST(path AS TEXT) FROM photo_directories"))
        lies = {
            photo: folders[folder]
            for photo, folder in database.execute("SELECT id, directory_id FROM photos")
        }
    database.close()
    hidden = [photo for photo, folder in lies.items() if "outside" in folder or "way" in folder]
    assert len(hidden) == 14
    until(lambda: told(running, "beside")["outside"] == 14, 40)
    assert told(running, "index")["photos"] == inside
    assert "secret" not in json.dumps(told(running, "photos"))
    assert str(outside) not in json.dumps([told(running, "copies"), told(running, "people")])
    for photo in hidden:
        for what in ("", "/preview", "/large"):
            assert running.get(f"/lote/library/photo/{photo}{what}")[0] == 404
    kept = next(photo for photo, folder in lies.items() if folder.endswith("camera") and photo not in hidden)
    for photo in hidden:
        wish = {"do": "trash", "of": "copies", "photos": 1, "bytes": 1}
        for chosen in ({"kept": kept, "going": [photo]}, {"kept": photo, "going": [kept]}):
            assert running.post("/lote/library/similar/do", wish | {"groups": [chosen]})[0] == 400
    assert album.trash == []


def test_a_log_cannot_lead_out_of_the_roots(looked: Server) -> None:
    """A log is ours, but whoever could write one gets nothing moved over it."""
    name = "duplicates-20200101-000001.jsonl"
    line = {
        "at": "x",
        "action": "trash",
        "done": True,
        "path_bytes": "/etc/passwd",
        "size": 1,
        "sha256": "00" * 32,
    }
    log = looked.workspace / "logs" / name
    log.parent.mkdir(exist_ok=True)
    log.write_text("torn {\n[]\n" + json.dumps(line) + "\n")
    status, answer = looked.post("/lote/library/similar/do", {"do": "back", "log": name})
    assert (status, answer["error"]) == (400, "Nothing of this removal is in the trash any more.")
    log.unlink()


def test_hostile_names_are_text(visit: Open, album: Album) -> None:
    page = visit(album.server, "library/similar")
    expect(page.locator(".name").filter(has_text=HOSTILE)).to_have_count(1)
    assert page.locator(".card img[src=x]").count() == 0


def test_the_windows_run_nothing_but_their_own_files(looked: Server) -> None:
    for path in VIEWS:
        answer = looked.ask(f"/{path}")
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert b"<style" not in answer.body
        assert b" style=" not in answer.body
        assert b"<script>" not in answer.body
