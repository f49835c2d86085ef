"""Stage two: what headers say, and what hostile headers cannot do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image

from batch_processing.photos import Photo
from batch_processing.photos import facts as stage
from batch_processing.photos.headers import EXTENSIONS, degrees, taken_at
from batch_processing.photos.ingest import Scan
from batch_processing.photos.store import Store
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
        b"def patched(path):\n    if path.endswith('30.jpg'):\n        %s\n    return read(path)\n"
        % what.encode(),
    )
    runner = (
        "import sitecustomize as s, batch_processing.photos.headers as h; h.read_header = s.patched; h.main()"
    )
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        return real([command[0], "-c", runner], **options)  # type: ignore[call-overload]

    monkeypatch.syspath_prepend(str(tmp_path / "patch"))
    monkeypatch.setattr(stage.subprocess, "Popen", start)
    monkeypatch.setattr(stage, "TIME_LIMIT_S", 3.0)
    with Library(tmp_path / "photos.db") as library:
        stats = library.scan(tree, facts=True)
        assert (stats.registered, stats.duplicates, stats.facts_errors) == (1, 59, 1)
        assert library.errors() == [(str(evil), "facts", kind)]
        with_facts = len(library.session.scalars(sa.select(Photo.id).where(Photo.width == 40)).all())
        assert with_facts == 59


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


@pytest.mark.parametrize(
    ("tags", "moment"),
    [
        ({0x9003: "2004:08:27 13:52:55"}, "2004-08-27T13:52:55"),
        ({0x9003: "0000:00:00 00:00:00", 0x0132: "2001:01:02 03:04:05"}, "2001-01-02T03:04:05"),
        ({0x9003: "2004:08:27 13:52:55", 0x9011: "-08:00"}, "2004-08-27T13:52:55-08:00"),
        ({0x9003: "2004:08:27 13:52:55", 0x9011: "   :  "}, "2004-08-27T13:52:55"),
        ({0x9003: 7}, None),
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
        ((91.0, 0.0, 0.0), "N", None),
        ((float("nan"), 0.0, 0.0), "N", None),
        ((10.0,), "N", None),
        (None, None, None),
    ],
)
def test_positions(parts: object, reference: object, value: float | None) -> None:
    assert degrees(parts, reference, 90) == value
