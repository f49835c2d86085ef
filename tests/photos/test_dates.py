"""Dates beside a photo: sidecars of XMP and Google Takeout, and names; and how strong each is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from batch_processing.photos import Photo
from batch_processing.photos.dates import date_in_name, date_in_xmp, takeout_names
from batch_processing.photos.facts import headers_of
from batch_processing.photos.header_facts import HeaderFacts
from batch_processing.photos.tables import metadata
from header_files import exif_block, jpeg, movie, put, saved
from photos_help import Library

PLAIN = jpeg()
TAKEN = "1562243696"  # 2019-07-04 12:34:56 UTC
TOLD = "2019-07-04T12:34:56+00:00"


def xmp(attributes: str = "", elements: str = "", before: str = "") -> bytes:
    return (
        f'{before}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        f' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" {attributes}>{elements}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def takeout(latitude: float = 0.0, longitude: float = 0.0, taken: str = TAKEN) -> bytes:
    place = {"latitude": latitude, "longitude": longitude, "altitude": 0.0}
    return json.dumps({"title": "any", "photoTakenTime": {"timestamp": taken}, "geoData": place}).encode()


def read(*paths: Path) -> dict[str, HeaderFacts]:
    """The facts of files, by name; read as a scan does."""
    found = dict(headers_of([os.fsencode(path) for path in paths], 1))
    facts = {path.name: found[os.fsencode(path)] for path in paths}
    return {name: fact for name, fact in facts.items() if isinstance(fact, HeaderFacts)}


def dated(*paths: Path) -> dict[str, tuple[str | None, str | None]]:
    return {name: (facts.taken_at, facts.taken_from) for name, facts in read(*paths).items()}


def test_the_strongest_source_tells_the_date(tmp_path: Path) -> None:
    with_all = put(tmp_path / "IMG_20190101_010101.jpg", jpeg(exif_block()))
    put(tmp_path / "IMG_20190101_010101.xmp", xmp('exif:DateTimeOriginal="2003-01-01T00:00:00"'))
    put(tmp_path / "IMG_20190101_010101.jpg.json", takeout())
    without_exif = put(tmp_path / "IMG_20190102_010101.jpg", PLAIN)
    put(tmp_path / "IMG_20190102_010101.xmp", xmp('exif:DateTimeOriginal="2003-01-01T00:00:00"'))
    put(tmp_path / "IMG_20190102_010101.jpg.json", takeout())
    without_xmp = put(tmp_path / "IMG_20190103_010101.jpg", PLAIN)
    put(tmp_path / "IMG_20190103_010101.jpg.json", takeout())
    name_alone = put(tmp_path / "IMG_20190104_010101.jpg", PLAIN)
    nothing = put(tmp_path / "holiday.jpg", PLAIN)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tmp_path, facts=True)
        table = metadata.tables["photo_facts"]
        query = sa.select(Photo.filename, table.c.taken_at, table.c.taken_from)
        rows = library.session.execute(query.join(table, table.c.photo_id == Photo.id)).all()
    assert {name: (taken_at, source) for name, taken_at, source in rows} == {
        with_all.name: ("2004-08-27T13:52:55", "exif"),
        without_exif.name: ("2003-01-01T00:00:00", "xmp"),
        without_xmp.name: (TOLD, "takeout"),
        name_alone.name: ("2019-01-04T01:01:01", "name"),
        nothing.name: (None, None),
    }


def test_an_original_that_cannot_be_read_leaves_the_word_to_weaker_sources(tmp_path: Path) -> None:
    block = exif_block(date="1993:08:00 12:00:00", more={0x9004: "2001:01:02 03:04:05"})
    alone = put(tmp_path / "a.jpg", jpeg(block))
    beside = put(tmp_path / "b.jpg", jpeg(block))
    put(tmp_path / "b.jpg.xmp", xmp('exif:DateTimeOriginal="1993-08-01T12:00:00"'))
    assert dated(alone, beside) == {"a.jpg": (None, None), "b.jpg": ("1993-08-01T12:00:00", "xmp")}


@pytest.mark.parametrize("name", ["IMG_1.xmp", "IMG_1.jpg.xmp", "img_1.XMP", "IMG_1.JPG.XMP"])
def test_an_xmp_sidecar_is_found_by_either_name_in_any_case(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "IMG_1.jpg", PLAIN)
    put(tmp_path / name, xmp('photoshop:DateCreated="2012-03-04T05:06:07+02:00"'))
    assert dated(path) == {"IMG_1.jpg": ("2012-03-04T05:06:07+02:00", "xmp")}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_xmp_inside_of_the_file_counts(tmp_path: Path, name: str) -> None:
    packet = xmp('exif:DateTimeOriginal="2012-03-04T05:06:07"')
    options: dict[str, Any] = {"xmp": packet}
    if name == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    path = put(tmp_path / f"a.{name.lower()}", saved(name, **options))
    assert dated(path) == {path.name: ("2012-03-04T05:06:07", "xmp")}


BILLION = '<!DOCTYPE x [<!ENTITY a "2012-03-04"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "moment"),
    [
        (xmp('exif:DateTimeOriginal="2012-03-04T05:06:07.89Z"'), "2012-03-04T05:06:07+00:00"),
        (xmp('xmp:CreateDate="2012-03-04T05:06:07"'), "2012-03-04T05:06:07"),
        (xmp('xmp:CreateDate="2012-03-04"'), "2012-03-04"),
        (xmp(elements="<exif:DateTimeOriginal>2012-03-04T05:06:07</exif:DateTimeOriginal>"), "2012-03-04T05:06:07"),
        (xmp('xmp:CreateDate="2015-01-01"', "<exif:DateTimeOriginal>2012-03-04</exif:DateTimeOriginal>"), "2012-03-04"),
        (xmp('exif:DateTimeOriginal="soon" xmp:CreateDate="2015-01-01"'), "2015-01-01"),
        (xmp('xmp:ModifyDate="2015-01-01"'), None),
        (b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>' + xmp('xmp:CreateDate="2015-01-01"'), "2015-01-01"),
        (xmp(elements="<exif:DateTimeOriginal>&a;</exif:DateTimeOriginal>", before=BILLION), None),
        (xmp('exif:DateTimeOriginal="2012-03-04"')[:-9] + b"<", None),
        (b"no xml", None),
        (b"", None),
    ],
)  # fmt: skip
def test_dates_in_xmp(content: bytes, moment: str | None) -> None:
    assert date_in_xmp(content) == moment


LONG = "a_picture_with_a_name_that_is_longer_than_others.jpg"  # Takeout cuts it at 46 characters
PIXEL = "PXL_20230102_030405678.PORTRAIT.jpg"


@pytest.mark.parametrize(
    ("name", "sidecar"),
    [
        ("IMG.jpg", "IMG.jpg.json"),
        ("IMG.jpg", "IMG.jpg.supplemental-metadata.json"),
        ("IMG.JPG", "img.jpg.JSON"),
        ("IMG(1).jpg", "IMG.jpg(1).json"),
        ("IMG(1).jpg", "IMG.jpg.supplemental-metadata(1).json"),
        ("IMG(12).jpg", "IMG.jpg.supplemental-metadata(12).json"),
        ("IMG(1).jpg", "IMG(1).jpg.json"),
        ("IMG-edited.jpg", "IMG.jpg.json"),
        ("IMG-edited.jpg", "IMG.jpg.supplemental-metadata.json"),
        ("IMG-bearbeitet.jpg", "IMG.jpg.json"),
        ("IMG-edited(2).jpg", "IMG.jpg(2).json"),
        (LONG, LONG[:46] + ".json"),
        (LONG.replace(".jpg", "(3).jpg"), LONG[:46] + "(3).json"),
        (PIXEL, f"{PIXEL}.supplemental-metadata"[:46] + ".json"),
        (PIXEL.replace(".jpg", "(1).jpg"), f"{PIXEL}.supplemental-metadata"[:46] + "(1).json"),
        ("été.jpg", "e\u0301te\u0301.jpg.json"),  # unpacked on macOS
    ],
)
def test_the_sidecar_of_takeout_is_found(tmp_path: Path, name: str, sidecar: str) -> None:
    path = put(tmp_path / name, PLAIN)
    put(tmp_path / sidecar, takeout(48.1351, 11.582))
    facts = read(path)[name]
    assert (facts.taken_at, facts.taken_from) == (TOLD, "takeout")
    assert (facts.latitude, facts.longitude) == (48.1351, 11.582)


def test_numbered_photos_keep_their_own_sidecars(tmp_path: Path) -> None:
    first, second = put(tmp_path / "IMG.jpg", PLAIN), put(tmp_path / "IMG(1).jpg", PLAIN)
    put(tmp_path / "IMG.jpg.json", takeout(taken="1500000000"))
    put(tmp_path / "IMG.jpg(1).json", takeout(taken="1600000000"))
    assert {name: moment for name, (moment, _) in dated(first, second).items()} == {
        "IMG.jpg": "2017-07-14T02:40:00+00:00",
        "IMG(1).jpg": "2020-09-13T12:26:40+00:00",
    }


def test_the_video_of_a_live_photo_has_the_sidecar_of_its_photo(tmp_path: Path) -> None:
    path = put(tmp_path / "IMG_7.MP4", movie())
    put(tmp_path / "IMG_7.HEIC.supplemental-metadata.json", takeout())
    assert dated(path) == {"IMG_7.MP4": (TOLD, "takeout")}


def test_a_takeout_sidecar_fills_the_position_alone_where_the_date_is_known(tmp_path: Path) -> None:
    place = {1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 0.0)}
    known = put(tmp_path / "known.jpg", jpeg(exif_block(gps=place)))
    dated_only = put(tmp_path / "dated.jpg", jpeg(exif_block()))
    nowhere = put(tmp_path / "nowhere.jpg", PLAIN)
    put(tmp_path / "known.jpg.json", takeout(48.1, 11.5))
    put(tmp_path / "dated.jpg.json", takeout(48.1, 11.5))
    put(tmp_path / "nowhere.jpg.json", takeout(0.0, 0.0))
    found = read(known, dated_only, nowhere)
    assert (found["known.jpg"].latitude, found["known.jpg"].longitude) == (-33.8583333, 151.2)
    assert (found["dated.jpg"].taken_from, found["dated.jpg"].latitude) == ("exif", 48.1)
    assert (found["nowhere.jpg"].taken_at, found["nowhere.jpg"].latitude) == (TOLD, None)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"[" * 100_000, b'{"photoTakenTime": 7}', takeout(taken="soon"), takeout(taken="9" * 5000),
        takeout(taken="0"), takeout() + b" " * 1024 * 1024, b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(10),
)  # fmt: skip
def test_hostile_sidecars_say_nothing(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path / "a.jpg", PLAIN)
    put(tmp_path / "a.jpg.json", content)
    put(tmp_path / "a.xmp", content)
    assert dated(path) == {"a.jpg": (None, None)}


def test_a_sidecar_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jpg", PLAIN)
    os.mkfifo(tmp_path / "a.xmp")
    (tmp_path / "a.jpg.json").symlink_to("/dev/zero")
    (tmp_path / "a.jpg.xmp").mkdir()
    assert dated(path) == {"a.jpg": (None, None)}


def test_no_sidecar_has_two_names() -> None:
    assert len(set(takeout_names(PIXEL))) == len(list(takeout_names(PIXEL)))


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("IMG_20190704_123456.jpg", "2019-07-04T12:34:56"),
        ("IMG_20190704_123456_1.jpg", "2019-07-04T12:34:56"),
        ("IMG_20190704_123456(1).jpg", "2019-07-04T12:34:56"),
        ("IMG_20190704_123456789_HDR.jpg", "2019-07-04T12:34:56"),
        ("PXL_20190704_123456789.jpg", "2019-07-04T12:34:56"),
        ("PXL_20190704_123456789.MP.jpg", "2019-07-04T12:34:56"),
        ("VID_20190704_123456.mp4", "2019-07-04T12:34:56"),
        ("MVIMG_20190704_123456.jpg", "2019-07-04T12:34:56"),
        ("00000IMG_00000_BURST20190704123456789_COVER.jpg", "2019-07-04T12:34:56"),
        ("IMG20190704123456.jpg", "2019-07-04T12:34:56"),
        ("20190704_123456.jpg", "2019-07-04T12:34:56"),
        ("20190704123456.jpg", "2019-07-04T12:34:56"),
        ("2019-07-04 12.34.56.jpg", "2019-07-04T12:34:56"),
        ("2019_07_04_12_34_56.jpg", "2019-07-04T12:34:56"),
        ("Screenshot_2019-07-04-12-34-56.png", "2019-07-04T12:34:56"),
        ("Screenshot_2019-07-04-12-34-56-789_com.app.png", "2019-07-04T12:34:56"),
        ("Screenshot_20190704-123456_Chrome.jpg", "2019-07-04T12:34:56"),
        ("WhatsApp Image 2019-07-04 at 12.34.56.jpeg", "2019-07-04T12:34:56"),
        ("WhatsApp Image 2019-07-04 at 1.34.56 PM (2).jpeg", "2019-07-04T13:34:56"),
        ("Screen Shot 2019-07-04 at 12.34.56\u202fAM.png", "2019-07-04T00:34:56"),
        ("signal-2019-07-04-123456.jpg", "2019-07-04T12:34:56"),
        # a day
        ("IMG-20190704-WA0001.jpg", "2019-07-04"),
        ("VID-20190704-WA0001.mp4", "2019-07-04"),
        ("2019-07-04.jpg", "2019-07-04"),
        ("2019-07-04 Lake 0012.jpg", "2019-07-04"),
        ("IMG_20190704_999999.jpg", "2019-07-04"),
        ("20190704_12345678.jpg", "2019-07-04"),
        # none
        ("IMG_1234.jpg", None),
        ("IMG_20191304_123456.jpg", None),
        ("IMG_20190230_123456.jpg", None),
        ("1562243696123.jpg", None),
        ("FB_IMG_1562243696123.jpg", None),
        ("120190704.jpg", None),
        ("201907041.jpg", None),
        ("5f20190704abc.jpg", None),
        ("20190704-1234-4562-8888-123456789012.jpg", None),
        ("IMG_19890704_123456.jpg", None),
        ("IMG_20990704_123456.jpg", None),
        ("04.07.2019.jpg", None),
        ("", None),
    ],
)
def test_dates_in_names(name: str, moment: str | None) -> None:
    assert date_in_name(name) == moment


def test_a_name_that_is_no_text_is_no_obstacle(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff_20190704_123456.jpg"))
    put(path, PLAIN)
    assert dated(path) == {path.name: ("2019-07-04T12:34:56", "name")}
