"""What videos say of themselves."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from batch_processing.photos.facts import headers_of
from batch_processing.photos.header_facts import HeaderFacts
from header_files import CONTENT_ID, box, movie, put

KEYS = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 11",
    "com.apple.quicktime.creationdate": "2019-07-04T12:34:56+0200",
    "com.apple.quicktime.location.ISO6709": "+48.1351+011.5820+520.000/",
    "com.apple.quicktime.content.identifier": CONTENT_ID,
}
SINCE_1904 = 2_082_844_800  # seconds to 1970


def read(path: Path) -> HeaderFacts:
    ((_, facts),) = headers_of([os.fsencode(path)], 1)
    assert isinstance(facts, HeaderFacts)
    return facts


@pytest.mark.parametrize("full", [False, True], ids=["QuickTime", "MP4"])
def test_the_video_of_a_live_photo(tmp_path: Path, full: bool) -> None:
    facts = read(put(tmp_path / "IMG_1.MOV", movie(created=SINCE_1904 + 1_000_000_000, keys=KEYS, full=full)))
    assert facts == HeaderFacts(
        format="MOV",
        width=1920,
        height=1080,
        orientation=6,
        taken_at="2019-07-04T12:34:56+02:00",
        taken_from="exif",
        latitude=48.1351,
        longitude=11.582,
        camera="Apple iPhone 11",
        content_id=CONTENT_ID,
    )


def test_older_user_data(tmp_path: Path) -> None:
    place = b"+48.1351+011.5820/"
    user = box(b"\xa9xyz", struct.pack(">HH", len(place), 0x15C7), place) + box(b"\xa9mak", b"\0\5\0\0Canon")
    facts = read(put(tmp_path / "a.mp4", movie(created=SINCE_1904 + 1_562_243_696, user=user, brand=b"mp42")))
    assert (facts.format, facts.mismatch, facts.camera) == ("MP4", False, "Canon")
    assert (facts.latitude, facts.longitude) == (48.1351, 11.582)
    assert (facts.taken_at, facts.taken_from) == ("2019-07-04T12:34:56+00:00", "exif")


@pytest.mark.parametrize("created", [0, 1, SINCE_1904, SINCE_1904 + 60, 2**32 - 1])
def test_a_clock_that_was_not_set_gives_no_date(tmp_path: Path, created: int) -> None:
    facts = read(put(tmp_path / "a.mov", movie(created=created)))
    assert (facts.taken_at, facts.taken_from) == (None, None)


@pytest.mark.parametrize("place", ["", "48.1+11.5/", "+0.0+0.0/", "+91.0+011.5/", "+48.1", "north"])
def test_no_position(tmp_path: Path, place: str) -> None:
    facts = read(put(tmp_path / "a.mov", movie(keys={"com.apple.quicktime.location.ISO6709": place})))
    assert (facts.latitude, facts.longitude) == (None, None)


def avi() -> bytes:
    header = b"avih" + struct.pack("<I", 56) + bytes(32) + struct.pack("<II", 640, 480) + bytes(16)
    body = b"AVI LIST" + struct.pack("<I", 4 + len(header)) + b"hdrl" + header + bytes(range(1, 200)) * 10
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("a.avi", avi(), ("AVI", 640, 480)),
        ("a.mkv", b"\x1aE\xdf\xa3" + bytes(range(200)), ("MKV", None, None)),
        ("a.mts", (bytes(4) + b"G" + bytes(187)) * 20, ("MTS", None, None)),
        ("a.3gp", movie(brand=b"3gp4"), ("3GP", 1920, 1080)),
        ("a.m4v", movie(brand=b"M4V "), ("MP4", 1920, 1080)),
        ("old.mov", movie()[20:], ("MOV", 1920, 1080)),  # without a box for its brand
    ],
)
def test_formats(tmp_path: Path, name: str, content: bytes, known: tuple[object, ...]) -> None:
    facts = read(put(tmp_path / name, content))
    assert (facts.format, facts.width, facts.height) == known
    assert (facts.mismatch, facts.damaged) == (False, None)


def test_a_date_in_the_name_of_a_video(tmp_path: Path) -> None:
    facts = read(put(tmp_path / "VID_20190704_123456.mp4", movie()))
    assert (facts.taken_at, facts.taken_from) == ("2019-07-04T12:34:56", "name")


def test_a_video_that_is_cut_off(tmp_path: Path) -> None:
    whole = movie(keys=KEYS)
    facts = read(put(tmp_path / "a.mov", whole[: len(whole) // 2]))
    assert (facts.format, facts.width, facts.damaged) == ("MOV", None, "cut off")


@pytest.mark.parametrize(
    "content",
    [
        box(b"ftyp", b"qt  ") + box(b"moov", b"\0\0\0\x08trak" * 5000),
        box(b"ftyp", b"qt  ") + box(b"moov", box(b"meta", b"\xff" * 500), box(b"udta", b"\xff" * 500)),
        box(b"ftyp", b"qt  ") + box(b"moov", b"\0\0\0\1mvhd" + b"\xff" * 500),
        box(b"ftyp", b"qt  ") + box(b"moov", box(b"mvhd", b"\1" + b"\xff" * 500)),
        b"\x1aE\xdf\xa3",
        b"RIFF\xff\xff\xff\xffAVI LIST",
    ],
    ids=range(6),
)
def test_hostile_videos_say_their_format_at_most(tmp_path: Path, content: bytes) -> None:
    facts = read(put(tmp_path / "a.mov", content.ljust(40, b"\0")))
    assert (facts.width, facts.taken_at, facts.camera) == (None, None, None)
