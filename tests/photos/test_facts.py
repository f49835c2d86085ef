"""Stage two: what headers say, and what hostile headers cannot do."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image

from batch_processing.core.workers import Failure, LocalPool, Result, Task
from batch_processing.exceptions import ResourceError
from batch_processing.messages import Message
from batch_processing.photos import Photo, header_pool
from batch_processing.photos.exif import degrees, gps_position, taken_at
from batch_processing.photos.facts import headers_of, read_facts
from batch_processing.photos.header_facts import HeaderError, HeaderFacts
from batch_processing.photos.headers import EXTENSIONS
from batch_processing.photos.ingest import Scan
from batch_processing.photos.store import Store
from batch_processing.photos.tables import metadata
from photos_help import Library, write
from shared_data import require_shared


def photo(path: Path, **exif: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (40, 30), "red")
    tags = Image.Exif()
    tags[0x0112] = exif.get("orientation", 6)
    tags[0x010F], tags[0x0110] = "Canon", "Canon EOS 5D"
    details = tags.get_ifd(0x8769)
    details[0x9003] = exif.get("date", "2004:08:27 13:52:55")
    details[0x9011] = exif.get("offset", "+02:00")
    position = tags.get_ifd(0x8825)
    position[1], position[2] = "S", (33.0, 51.0, 30.0)
    position[3], position[4] = "E", (151.0, 12.0, 0.0)
    image.save(path, format=str(exif.get("format", "JPEG")), exif=tags)
    return path


def test_how_far_the_stage_is_counts_what_cannot_be_read_too(tmp_path: Path) -> None:
    photo(tmp_path / "tree" / "a.jpg")
    write(tmp_path / "tree" / "b.jpg", b"no image at all")
    with Library(tmp_path / "photos.db") as library:
        scan = Scan(Store(library.database), [bytes(tmp_path / "tree")], facts=True)
        assert len(list(scan.run())) == 1
    assert (scan.facts_read, scan.facts_total, scan.stats.facts_errors) == (2, 2, 1)


def test_facts_are_stored_with_each_photo(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    path = photo(tree / "a.jpg")
    wrong = photo(tree / "b.png")
    bad = write(tree / "c.jpg", b"no image at all")
    with Library(tmp_path / "photos.db") as library:
        stats = library.scan(tree, facts=True)
        assert (stats.registered, stats.duplicates, stats.facts_errors) == (2, 1, 1)
        found = library.photos.get_by_path(path)
        assert found is not None
        assert (found.width, found.height, found.format, found.orientation) == (40, 30, "JPEG", 6)
        assert (found.taken_at, found.camera) == ("2004-08-27T13:52:55+02:00", "Canon EOS 5D")
        assert found.latitude == pytest.approx(-33.858333)
        assert found.longitude == pytest.approx(151.2)
        assert found.facts is not None
        assert not found.facts.mismatch
        other = library.photos.get_by_path(wrong)
        assert other is not None
        assert other.facts is not None
        assert (other.format, other.facts.mismatch) == ("JPEG", True)
        assert library.session.scalars(sa.select(Photo).where(Photo.width == 40)).all() == [found, other]
        assert library.errors() == [(str(bad), "facts", "format")]
        # A photo that was mended loses its error, one that changed gets new facts, and the rest is left.
        bad.unlink()
        photo(bad, orientation=1)
        assert library.scan(tree, facts=True).facts_errors == 0
        assert library.errors() == []
        library.session.commit()
        mended = library.photos.get_by_path(bad)
        assert mended is not None
        assert mended.orientation == 1


def test_the_shared_files_say_what_exiftool_says(tmp_path: Path) -> None:
    source = require_shared("data", "photos", "files")
    known = json.loads(require_shared("data", "photos", "facts.json").read_text(encoding="utf-8"))
    tree = tmp_path / "tree"
    shutil.copytree(source, tree)
    with Library(tmp_path / "photos.db") as library:
        stats = library.scan(tree, facts=True)
        assert stats.errors == 0
        wrong = []
        checked = 0
        for fact in known:
            found = library.photos.get_by_path(tree / Path(fact["path"]).relative_to("files"))
            if found is None or fact.get("pil_format") not in EXTENSIONS or not fact["pil_decodes"]:
                continue
            if "/crash-" in fact["path"]:
                continue  # a damaged TIFF, whose size depends on the version of Pillow
            checked += 1
            if found.facts is None or [found.width, found.height] != fact["pil_size"]:
                wrong.append((fact["path"], found.width, found.height, fact["pil_size"]))
            elif (found.orientation or 1) != (fact.get("pil_orientation") or 1):
                wrong.append((fact["path"], found.orientation, fact.get("pil_orientation")))
        assert wrong == []
        assert checked > 90
        assert stats.facts_errors == len(library.errors())


@pytest.mark.parametrize(("how", "kind"), [("crash", "crash"), ("hang", "time")])
def test_a_photo_that_kills_its_reader_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    tree = tmp_path / "tree"
    for number in range(60):
        photo(tree / f"{number:02d}.jpg")
    evil = tree / "30.jpg"
    # A reader that dies, or hangs, on one name stands for a codec that does so on one content.
    what = "os.kill(os.getpid(), 9)" if how == "crash" else "time.sleep(60)"
    write(
        tmp_path / "patch" / "sitecustomize.py",
        b"import os, time\nimport batch_processing.photos.headers as h\nread = h.read_header\n"
        b"def patched(path, folders):\n    if path.endswith('30.jpg'):\n        %s\n    return read(path, folders)\n"
        b"h.read_header = patched\n" % what.encode(),
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "patch"))
    monkeypatch.syspath_prepend(str(tmp_path / "patch"))
    monkeypatch.setattr(header_pool, "TIME_LIMIT_S", 3.0)
    with Library(tmp_path / "photos.db") as library:
        stats = library.scan(tree, facts=True)
        assert (stats.registered, stats.duplicates, stats.facts_errors) == (1, 59, 1)
        assert library.errors() == [(str(evil), "facts", kind)]
        with_facts = len(library.session.scalars(sa.select(Photo.id).where(Photo.width == 40)).all())
        assert with_facts == 59


class Exhausted(LocalPool):
    """A machine that gives no process any more, once some headers were read."""

    def completed(self, timeout: float) -> list[Result]:
        failure = Failure("ResourceError", Message("no worker can be started"), fatal=True)
        return [Result(result.id, None, failure, 0.0) for result in super().completed(timeout)]


def test_a_machine_without_readers_is_no_fault_of_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    for number in range(5):
        photo(tree / f"{number}.jpg")
    with Library(tmp_path / "photos.db") as library:
        with monkeypatch.context() as patch:
            patch.setattr(header_pool, "LocalPool", Exhausted)
            with pytest.raises(ResourceError, match="no worker can be started"):
                library.scan(tree, facts=True)
            with pytest.raises(ResourceError, match="no worker can be started"):
                list(headers_of([bytes(tree / "0.jpg")], 1))
        assert library.errors() == []
        assert library.scan(tree, facts=True).facts_errors == 0
        assert len(library.session.scalars(sa.select(Photo.id).where(Photo.width == 40)).all()) == 5


def test_the_stage_goes_on_where_it_stopped(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(20):
        photo(tree / f"{number:02d}.jpg")
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        assert len(library.session.scalars(sa.select(Photo.id).where(Photo.width == 40)).all()) == 0
        library.session.commit()
        assert library.scan(tree, facts=True).facts_errors == 0
        assert len(library.session.scalars(sa.select(Photo.id).where(Photo.width == 40)).all()) == 20


ORIGINAL, DIGITIZED, CHANGED = 0x9003, 0x9004, 0x0132
LATER = {DIGITIZED: "2001:01:02 03:04:05", CHANGED: "2011:01:02 03:04:05"}


@pytest.mark.parametrize(
    ("tags", "moment"),
    [
        ({ORIGINAL: "2004:08:27 13:52:55"}, "2004-08-27T13:52:55"),
        ({ORIGINAL: "2004:08:27 13:52:55", 0x9011: "-08:00"}, "2004-08-27T13:52:55-08:00"),
        ({ORIGINAL: "2004:08:27 13:52:55", 0x9011: "   :  "}, "2004-08-27T13:52:55"),
        ({ORIGINAL: "2004:08:27 13:52:55+02:00"}, "2004-08-27T13:52:55+02:00"),
        ({ORIGINAL: "2004:08:27 13:52:55\0 junk"}, "2004-08-27T13:52:55"),
        ({ORIGINAL: b"2004:08:27 13:52:55\0"}, "2004-08-27T13:52:55"),
        ({ORIGINAL: "2012-12-22 10:11:12"}, "2012-12-22T10:11:12"),
        ({ORIGINAL: "2007/06/30 10:11:12"}, "2007-06-30T10:11:12"),
        ({ORIGINAL: "2012:12:22T10:11:12"}, "2012-12-22T10:11:12"),
        ({ORIGINAL: "2012:12:22 10:11"}, "2012-12-22T10:11:00"),
        ({ORIGINAL: "2012-12-22"}, "2012-12-22"),
        ({ORIGINAL: "2004: 8:27  3:52:55"}, "2004-08-27T03:52:55"),
        # a clock of twelve hours
        ({ORIGINAL: "2004:08:27 03:04:05 PM"}, "2004-08-27T15:04:05"),
        ({ORIGINAL: "2004:08:27 03:04:05 am"}, "2004-08-27T03:04:05"),
        ({ORIGINAL: "2004:08:27 12:04:05 AM"}, "2004-08-27T00:04:05"),
        ({ORIGINAL: "2004:08:27 12:04:05 PM"}, "2004-08-27T12:04:05"),
        # blanks and zeros: not there, so that another may speak
        ({ORIGINAL: "0000:00:00 00:00:00"} | LATER, "2001-01-02T03:04:05"),
        ({ORIGINAL: "    :  :     :  :  "} | LATER, "2001-01-02T03:04:05"),
        ({ORIGINAL: ""} | LATER, "2001-01-02T03:04:05"),
        ({ORIGINAL: "\0" * 20, CHANGED: "2011:01:02 03:04:05"}, "2011-01-02T03:04:05"),
        # there, and no date: nobody else may speak
        ({ORIGINAL: "1993:08:00 12:00:00"} | LATER, None),
        ({ORIGINAL: "2004:13:27 13:52:55"} | LATER, None),
        ({ORIGINAL: "2004:08:27 25:52:55"} | LATER, None),
        ({ORIGINAL: "yesterday"} | LATER, None),
        ({ORIGINAL: "27.08.2004 13:52"} | LATER, None),
        ({ORIGINAL: "2004:08:27 15:04:05 AM"} | LATER, None),
        ({ORIGINAL: "0004:08:27 13:52:55"}, None),
        ({ORIGINAL: 7}, None),
        ({}, None),
    ],
)
def test_dates(tags: dict[int, object], moment: str | None) -> None:
    assert taken_at(tags) == moment


@pytest.mark.parametrize(
    ("parts", "reference", "value"),
    [
        ((10.0, 30.0, 0.0), "N", 10.5),
        ((10.0, 30.0, 0.0), b"S\0", -10.5),
        ((10.0, 30.0, 0.0), None, None),
        ((10.0, 30.0, 0.0), "", None),
        ((10.0, 30.0, 0.0), "E", None),
        ((10.0, 75.0, 0.0), "N", None),
        ((91.0, 0.0, 0.0), "N", None),
        ((float("nan"), 0.0, 0.0), "N", None),
        ((10.0,), "N", None),
        (None, None, None),
    ],
)
def test_degrees(parts: object, reference: object, value: float | None) -> None:
    assert degrees(parts, reference, 90) == value


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ({1: "S", 2: (33.0, 51.0, 30.0), 3: "W", 4: (151.0, 12.0, 0.0)}, (-33.8583333, -151.2)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (9.0, 30.0, 0.0)}, (0.0, 9.5)),  # the equator, in Gabon
        ({2: (33.0, 51.0, 30.0), 3: "W", 4: (151.0, 12.0, 0.0)}, (None, None)),
        ({1: "S", 2: (33.0, 51.0, 30.0), 4: (151.0, 12.0, 0.0)}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_positions(tags: dict[int, object], place: tuple[float | None, float | None]) -> None:
    assert gps_position(tags) == place


def _facts(database: Library) -> dict[str, tuple[object, ...]]:
    """Format, width, lacking library and version by name."""
    database.session.commit()
    table = metadata.tables["photo_facts"]
    query = sa.select(Photo.filename, table.c.format, table.c.width, table.c.lacking, table.c.version)
    rows = database.session.execute(query.join(table, table.c.photo_id == Photo.id)).all()
    database.session.commit()
    return {name: tuple(rest) for name, *rest in rows}


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that readers are given from now on."""
    given: list[bytes] = []
    submit = LocalPool.submit

    def watch(pool: LocalPool, *tasks: Task) -> None:
        given.extend(task.work.path for task in tasks)
        submit(pool, *tasks)

    monkeypatch.setattr(LocalPool, "submit", watch)
    return given


def test_what_cannot_heal_is_tried_again_only_when_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    bad = write(tree / "bad.jpg", b"no image at all")
    other = write(tree / "other.png", b"no image either")
    given = _watched(monkeypatch)
    with Library(tmp_path / "photos.db") as library:
        assert library.scan(tree, facts=True).facts_errors == 2
        assert sorted(given) == [bytes(bad), bytes(other)]
        given.clear()
        library.scan(tree, facts=True)
        assert given == []
        assert sorted(library.errors()) == [(str(bad), "facts", "format"), (str(other), "facts", "format")]
        # other content
        write(bad, b"still no image")
        library.scan(tree, facts=True)
        assert given == [bytes(bad)]
        given.clear()
        # other readers
        errors = metadata.tables["photo_errors"]
        with library.database.write() as connection:
            connection.execute(
                errors.update().where(errors.c.path == str(other)).values(readers="Pillow 1.0")
            )
        library.scan(tree, facts=True)
        assert given == [bytes(other)]
        given.clear()
        # gone
        other.unlink()
        library.scan(tree, facts=True)
        assert (given, library.errors()) == ([], [(str(bad), "facts", "format")])


def test_what_may_heal_is_tried_by_each_scan(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    path = photo(tree / "a.jpg")
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        aside = path.rename(tmp_path / "a.jpg")
        store = Store(library.database)
        assert read_facts(store, [bytes(tree)], processes=1).failed == 1
        assert library.errors() == [(str(path), "facts", "vanished")]
        aside.rename(path)
        found = read_facts(store, [bytes(tree)], processes=1)
        assert (found.read, found.failed, library.errors()) == (1, 0, [])
        store.close()


def test_a_format_without_its_library_is_no_error_and_is_read_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pi_heif  # noqa: F401 - so that there is one to hide

    tree = tmp_path / "tree"
    source = require_shared("data", "photos", "files", "bigcat88+pillow_heif", "tests", "images", "heif")
    tree.mkdir()
    shutil.copy(source / "RGB_8__29x100.heif", tree / "a.heic")
    photo(tree / "b.jpg")
    given = _watched(monkeypatch)
    with Library(tmp_path / "photos.db") as library:
        with monkeypatch.context() as without:
            write(tmp_path / "without" / "pi_heif.py", b"raise ImportError('not installed')\n")
            without.syspath_prepend(str(tmp_path / "without"))
            without.delitem(sys.modules, "pi_heif")
            stats = library.scan(tree, facts=True)
            assert (stats.facts_errors, library.errors()) == (0, [])
            assert _facts(library) == {"a.heic": ("HEIF", None, "pi-heif", 2), "b.jpg": ("JPEG", 40, None, 2)}
            store = Store(library.database)
            given.clear()
            found = read_facts(store, [bytes(tree)], processes=1)
            assert (found.read, found.failed, found.lacking, given) == (0, 0, {"HEIF": 1}, [])
            store.close()
        library.scan(tree, facts=True)
        assert given == [bytes(tree / "a.heic")]
        assert _facts(library)["a.heic"] == ("HEIF", 29, None, 2)


def test_facts_of_an_older_version_are_read_anew(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    photo(tree / "a.jpg")
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree, facts=True)
        table = metadata.tables["photo_facts"]
        with library.database.write() as connection:
            connection.execute(table.update().values(version=0, width=1))
        library.scan(tree, facts=True)
        assert _facts(library) == {"a.jpg": ("JPEG", 40, None, 2)}


def test_headers_of_any_files_are_read_without_a_database(tmp_path: Path) -> None:
    names = [photo(tmp_path / f"{number}.jpg") for number in range(40)]
    bad = write(tmp_path / "bad.jpg", b"no image at all")
    found = dict(headers_of((bytes(path) for path in [*names, bad, tmp_path / "gone.jpg"]), 2))
    assert len(found) == 42
    facts = found[bytes(names[7])]
    assert isinstance(facts, HeaderFacts)
    assert (facts.width, facts.taken_at, facts.taken_from) == (40, "2004-08-27T13:52:55+02:00", "exif")
    errors = [found[bytes(tmp_path / name)] for name in ("bad.jpg", "gone.jpg")]
    assert [(error.kind, error.lasts) for error in errors if isinstance(error, HeaderError)] == [
        ("format", True),
        ("vanished", False),
    ]
    assert list(headers_of([], 2)) == []
    assert list(headers_of([bytes(bad)], 2, lambda: True)) == []
