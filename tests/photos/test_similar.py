"""Photos that show the same picture: which are found, what they are called, and what may go."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

import pytest

from batch_processing.photos.pixels.choosing import Keep, Rule, choose, trash_similar
from batch_processing.photos.pixels.looking import look_pool
from batch_processing.photos.pixels.previews import previews_of
from batch_processing.photos.pixels.similar import Group, Kind, groups
from batch_processing.photos.pixels.stage import Looking
from batch_processing.photos.removal import Protected, Refusal
from batch_processing.photos.store import Store
from batch_processing.photos.tables import metadata
from command import lote
from drawn_photos import SIZE, Pixels, album, dng, jpeg, resized, scene, shot
from photos_help import Library, write
from web_server import chromium


def pixels(number: int) -> Pixels:
    return scene(number, **SIZE)


def looked(library: Library, tree: Path) -> Store:
    """Scanned, with header facts, and looked at."""
    library.scan(tree, facts=True)
    store = Store(library.database)
    with closing(previews_of(store, None)) as previews, closing(look_pool(2)) as pool:
        list(Looking(store, [os.fsencode(tree)], previews).batches(pool))
    return store


def named(group: Group) -> tuple[Kind, list[str]]:
    return group.kind, [os.fsdecode(shot.path).rpartition("/")[2] for shot in group.shots]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return album(tmp_path_factory.mktemp("album") / "tree")


def test_groups_say_what_they_are(made: Path, tmp_path: Path) -> None:
    with Library(tmp_path / "photos.db") as library:
        store = looked(library, made)
        found = [named(group) for group in groups(store)]
        assert sorted((kind, sorted(names)) for kind, names in found) == [
            (Kind.BURST, ["IMG_90.jpg", "IMG_91.jpg", "IMG_92.jpg"]),
            (Kind.CROPPED, ["IMG_0003.jpg", "crop.jpg"]),
            (Kind.METADATA, ["IMG_0004.jpg", "stripped.jpg"]),
            (Kind.SAME, ["IMG_0001.jpg", "WA0001.jpg"]),
            (Kind.SAME, ["IMG_0002.jpg", "gray.jpg"]),
        ]
        # The best comes first, and bursts last.
        assert all(names[0].startswith("IMG_") for _, names in found)
        assert found[-1][0] is Kind.BURST
        turned = {named(group)[0]: named(group)[1] for group in groups(store, with_turned=True)}
        assert set(turned[Kind.TURNED]) == {"IMG_0005.jpg", "turned.png"}
        inside = groups(store, [os.fsencode(made / "chat")])
        assert len(inside) == 2
        assert groups(store, distance=0) != []
        store.close()


def test_a_raw_file_and_its_jpeg_are_no_group(made: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write(tree / "IMG_1.dng", dng(jpeg(pixels(7)), orientation=1))
    write(tree / "IMG_1.jpg", jpeg(pixels(7), 80))
    with Library(tmp_path / "photos.db") as library:
        store = looked(library, tree)
        assert groups(store) == []
        store.close()


def test_what_lost_its_date_does_not_bind_a_burst_together(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(2):
        shot(
            tree / f"IMG_{number}.jpg",
            60,
            taken_at=f"2020:01:01 10:00:0{number}",
            shift=0.001 * number,
            **SIZE,
        )
    write(tree / "chat.jpg", jpeg(resized(scene(60, **SIZE), 300, 200), 60))
    with Library(tmp_path / "photos.db") as library:
        store = looked(library, tree)
        found = {group.kind: sorted(named(group)[1]) for group in groups(store)}
        assert found == {Kind.SAME: ["IMG_0.jpg", "chat.jpg"], Kind.BURST: ["IMG_0.jpg", "IMG_1.jpg"]}
        store.close()


def test_thousands_of_one_fingerprint_are_one_group(tmp_path: Path) -> None:
    """Also where nobody's memory would hold all their pairs."""
    with Library(tmp_path / "photos.db") as library:
        store = looked(library, album(tmp_path / "tree") / "camera")
        tables = metadata.tables
        with store.write() as connection:
            look = dict(connection.execute(tables["photo_looks"].select().limit(1)).one()._mapping)
            row = connection.execute(
                tables["photos"].select().where(tables["photos"].c.hash == look["hash"])
            ).one()
            photo = {name: value for name, value in row._mapping.items() if name != "id"}
            many = [(number.to_bytes(32, "big").hex(), f"{number}.jpg") for number in range(1, 3001)]
            connection.execute(
                tables["photos"].insert(),
                [photo | {"hash": key, "name": name, "filename": name} for key, name in many],
            )
            connection.execute(
                tables["photo_looks"].insert(), [look | {"hash": key, "picture": None} for key, _ in many]
            )
        (group,) = groups(store)
        assert len(group.shots) == 3001
        store.close()


# What goes


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process's trash in the test's folder."""
    from send2trash import plat_other

    home = tmp_path / "trash-home"
    monkeypatch.setenv("HOME", str(tmp_path))  # whose disk is that of the photos
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setattr(plat_other, "HOMETRASH", str(home / "Trash"))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(home / "Trash"))
    monkeypatch.setattr("send2trash.send2trash", plat_other.send2trash)
    return home / "Trash"


def away(store: Store, keep: list[Keep], **options: bool) -> dict[str, Refusal | None]:
    """Trash what may go: the names tried, and why one was left alone."""
    protected = Protected([rule.folder for rule in keep if rule.folder is not None])
    deeds = {}
    for group in groups(store):
        choice = choose(store, group, keep, protected, **options)
        for deed in trash_similar(store, choice, protected) if choice is not None else ():
            deeds[os.path.basename(os.fsdecode(deed.path))] = deed.refusal  # noqa: PTH119
    return deeds


@pytest.mark.skipif(sys.platform == "darwin", reason="the trash of macOS is the system's")
def test_one_of_each_picture_stays_and_bursts_do(tmp_path: Path, trash: Path) -> None:
    tree = album(tmp_path / "tree")
    before = {path.read_bytes() for path in tree.rglob("*.*")}
    with Library(tmp_path / "photos.db") as library:
        store = looked(library, tree)
        assert away(store, [Keep(Rule.LARGEST)]) == dict.fromkeys(
            ["WA0001.jpg", "gray.jpg", "crop.jpg", "stripped.jpg"]
        )
        assert len(list((tree / "burst").iterdir())) == 3
        assert len(list((tree / "camera").iterdir())) == 12
        kept = {path.read_bytes() for path in [*tree.rglob("*.*"), *trash.glob("files/*")]}
        assert kept == before
        assert away(store, [Keep(Rule.LARGEST)]) == {}
        assert len(away(store, [Keep(Rule.LARGEST)], with_bursts=True)) == 2
        store.close()


@pytest.mark.skipif(sys.platform == "darwin", reason="the trash of macOS is the system's")
def test_what_is_protected_linked_changed_or_damaged_is_left_alone(tmp_path: Path, trash: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(1, 8):
        shot(tree / "large" / f"{number}.jpg", number, **SIZE)
        write(tree / "small" / f"{number}s.jpg", jpeg(resized(pixels(number), 300, 200), 70))
    for name, part in (
        ("large/5.jpg", 0.8),
        ("large/6.jpg", 0.9),
        ("small/6s.jpg", 0.9),
        ("small/7s.jpg", 0.9),
    ):
        whole = (tree / name).read_bytes()
        write(tree / name, whole[: int(len(whole) * part)])
    (tree / "elsewhere").mkdir()
    os.link(tree / "small" / "2s.jpg", tree / "elsewhere" / "name.jpg")
    shutil.move(tree / "small" / "3s.jpg", tree / "Photos.photoslibrary-")
    (tree / "Mine.photoslibrary" / "originals").mkdir(parents=True)
    shutil.move(tree / "Photos.photoslibrary-", tree / "Mine.photoslibrary" / "originals" / "3s.jpg")
    with Library(tmp_path / "photos.db") as library:
        store = looked(library, tree)
        small = Keep(Rule.UNDER, os.fsencode(tree / "small"))
        made = {named(group)[1][0]: group for group in groups(store)}
        assert sorted(name for group in made.values() for name in named(group)[1] if name[0] in "567") == [
            "5.jpg", "5s.jpg", "6.jpg", "6s.jpg", "7.jpg", "7s.jpg",
        ]  # fmt: skip
        choice = choose(store, made["1.jpg"], [small], Protected([os.fsencode(tree / "small")]))
        assert choice is not None
        assert [os.path.basename(shot.path) for shot in choice.going] == [b"1.jpg"]  # noqa: PTH119
        write(tree / "large" / "4.jpg", jpeg(pixels(40)))  # the one to keep is another picture now
        deeds = away(store, [Keep(Rule.LARGEST)])
        assert deeds == {
            "1s.jpg": None,
            "2s.jpg": Refusal.OTHER_NAMES,
            "name.jpg": Refusal.OTHER_NAMES,
            "4s.jpg": Refusal.KEPT_GONE,
            "7s.jpg": None,  # cut off, and smaller
        }  # 5.jpg is cut off, and still shows more than the whole one; of 6 there is none that is whole
        assert (tree / "Mine.photoslibrary" / "originals" / "3s.jpg").exists()
        assert {path.name for path in trash.glob("files/*")} == {"1s.jpg", "7s.jpg"}
        store.close()


# As a command


@pytest.fixture(scope="module")
def workspace(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("similar") / "workspace"
    assert lote("photos", "scan", made, workspace=folder).code == 0
    return folder


def test_the_list_in_all_its_forms(made: Path, workspace: Path) -> None:
    done = lote("photos", "similar", "--json", workspace=workspace)  # looks first
    assert done.code == 0, done.err
    assert (done.summary["groups"], done.summary["may_go"]) == (5, 4)
    by_kind = {event["kind"]: event for event in done.events[:-1]}
    assert [photo["role"] for photo in by_kind["burst"]["photos"]] == ["keep", "stays", "stays"]
    assert [photo["shows_first_as"] for photo in by_kind["metadata"]["photos"]] == [None, "metadata"]
    table = lote("photos", "similar", made / "web", "--trash", workspace=workspace)
    assert "nothing was done yet" in table.out
    assert "may go" in table.out
    assert "WA0001" not in table.out
    rows = list(
        csv.DictReader(io.StringIO(lote("photos", "similar", "--format", "csv", workspace=workspace).out))
    )
    assert {row["kind"] for row in rows} == {"burst", "cropped", "metadata", "same picture"}
    assert sum(row["role"] == "going" for row in rows) == 4
    assert lote("photos", "similar", "--format", "pdf", workspace=workspace).code == 2
    assert lote("photos", "similar", "--keep", "newest", workspace=workspace).code == 2
    assert lote("photos", "similar", "/nowhere", workspace=workspace).code == 1
    assert len(list(made.rglob("*.jpg"))) == 19


def test_the_page_shows_groups_side_by_side(workspace: Path, tmp_path: Path) -> None:
    page = tmp_path / "similar.html"
    page.write_text(lote("photos", "similar", "--format", "html", workspace=workspace).out, encoding="utf-8")
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.goto(page.as_uri())
        assert opened.locator("article").count() == 5
        first = opened.locator("#metadata article").first
        assert first.locator("figure").count() == 2
        assert first.locator("figure .role").all_inner_texts() == ["keep", "may go"]
        left, right = (first.locator("figure").nth(at).bounding_box() for at in (0, 1))
        assert left is not None
        assert right is not None
        assert left["y"] == right["y"]
        assert "taken" in first.locator(".differs").first.inner_text()
        assert first.locator("img").first.evaluate("image => image.complete && image.naturalWidth") == 256
        assert said == []
