"""Raw photos and other formats that are read without a library of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_processing.photos.facts import headers_of
from batch_processing.photos.header_facts import HeaderError, HeaderFacts
from batch_processing.photos.kinds import PHOTO_EXTENSIONS
from header_files import (
    CONTENT_ID,
    apple_note,
    box,
    cr3,
    crw,
    exif_block,
    jpeg,
    jxl,
    psb,
    put,
    raf,
    raw_tiff,
    saved,
    tiff,
    x3f,
)

NIKON = ("NIKON D70", 6000, 4000, "2004-08-27T13:52:55")
TIFFS = ("dng", "cr2", "nef", "nrw", "arw", "sr2", "pef", "srw", "3fr", "iiq", "rwl", "gpr")


def read(*paths: Path) -> dict[str, HeaderFacts | HeaderError]:
    """What the headers of files say, by name; read as a scan does."""
    found = dict(headers_of([os.fsencode(path) for path in paths], 1))
    return {path.name: found[os.fsencode(path)] for path in paths}


def panasonic() -> bytes:
    """An RW2: a TIFF with another magic, whose size is told by the borders of the sensor."""
    borders = {4: 4, 5: 8, 6: 3468, 7: 4632}
    return tiff(
        {0x010F: "Panasonic", 0x0110: "DMC-GH4"} | borders,
        exif={0x9003: "2015:02:03 04:05:06"},
        magic=b"IIU\0",
    )


CAMERAS: dict[str, tuple[Callable[[], bytes], str, tuple[str | None, int | None, int | None, str | None]]] = {
    **{f"a.{ending}": (raw_tiff, ending.upper(), NIKON) for ending in TIFFS},
    "big-endian.pef": (lambda: raw_tiff(magic=b"MM\0*"), "PEF", NIKON),
    "a.orf": (lambda: raw_tiff(magic=b"IIRO"), "ORF", NIKON),
    "old.orf": (lambda: raw_tiff(magic=b"MMOR"), "ORF", NIKON),
    "a.rw2": (panasonic, "RW2", ("Panasonic DMC-GH4", 4624, 3464, "2015-02-03T04:05:06")),
    "leica.rwl": (panasonic, "RW2", ("Panasonic DMC-GH4", 4624, 3464, "2015-02-03T04:05:06")),
    "a.raf": (raf, "RAF", ("FUJIFILM X-T3", 6032, 4032, "2019-01-02T03:04:05")),
    "a.cr3": (cr3, "CR3", ("Canon EOS R5", 8192, 5464, "2021-05-06T07:08:09+02:00")),
    "a.crw": (crw, "CRW", ("Canon EOS 10D", 3072, 2048, "2004-03-23T00:00:00")),
    "a.x3f": (x3f, "X3F", ("SIGMA SD10", 2268, 1512, "2004-03-23T00:00:00")),
    "a.psb": (lambda: psb(300, 200), "PSB", ("Canon EOS 5D", 300, 200, "2004-08-27T13:52:55")),
    "a.jxl": (lambda: jxl(5000, 3000), "JXL", (None, 5000, 3000, None)),
    "a.jfif": (lambda: jpeg(exif_block()), "JPEG", ("Canon EOS 5D", 120, 80, "2004-08-27T13:52:55")),
    "a.insp": (lambda: jpeg(exif_block()), "JPEG", ("Canon EOS 5D", 120, 80, "2004-08-27T13:52:55")),
}


def test_cameras_and_dates_are_read_of_every_format(tmp_path: Path) -> None:
    paths = [put(tmp_path / name, make()) for name, (make, _, _) in CAMERAS.items()]
    told = {}
    for name, facts in read(*paths).items():
        assert isinstance(facts, HeaderFacts), (name, facts)
        assert not facts.mismatch, name
        assert facts.damaged is None, name
        make = facts.camera
        told[name] = (
            facts.format,
            (
                make.removeprefix("NIKON CORPORATION ") if make else None,
                facts.width,
                facts.height,
                facts.taken_at,
            ),
        )
    assert told == {name: (format_name, known) for name, (_, format_name, known) in CAMERAS.items()}


def test_all_extensions_of_photos_go_with_a_content() -> None:
    from batch_processing.photos.headers import EXTENSIONS, RAW_TIFF

    assert {ending for endings in EXTENSIONS.values() for ending in endings} | set(
        RAW_TIFF
    ) >= PHOTO_EXTENSIONS


def test_positions_and_orientations_of_raw_photos(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.nef", raw_tiff()), put(tmp_path / "a.cr3", cr3()))
    nikon, canon = found["a.nef"], found["a.cr3"]
    assert isinstance(nikon, HeaderFacts)
    assert isinstance(canon, HeaderFacts)
    assert (nikon.orientation, nikon.latitude, nikon.longitude) == (8, -33.8583333, 151.2)
    assert (canon.orientation, canon.latitude, canon.longitude) == (1, 48.135, 11.58)


def test_an_extension_that_lies_is_told(tmp_path: Path) -> None:
    found = read(
        put(tmp_path / "a.dng", jpeg()), put(tmp_path / "a.cr3", raf()), put(tmp_path / "b.jpg", saved("PNG"))
    )
    assert {
        name: (facts.format, facts.mismatch)
        for name, facts in found.items()
        if isinstance(facts, HeaderFacts)
    } == {
        "a.dng": ("JPEG", True),
        "a.cr3": ("RAF", True),
        "b.jpg": ("PNG", True),
    }


def test_a_jpeg_of_an_iphone_tells_its_live_photo(tmp_path: Path) -> None:
    found = read(
        put(tmp_path / "a.jpg", jpeg(exif_block(more={0x927C: apple_note()}))),
        put(tmp_path / "b.jpg", jpeg(exif_block(more={0x927C: b"Apple iOS\0\0\1MM\xff\xff"}))),
        put(tmp_path / "c.jpg", jpeg(exif_block(more={0x927C: b"Nikon\0" * 20}))),
    )
    ids = {name: facts.content_id for name, facts in found.items() if isinstance(facts, HeaderFacts)}
    assert ids == {"a.jpg": CONTENT_ID, "b.jpg": None, "c.jpg": None}


def _endless() -> bytes:
    """A TIFF whose directory follows itself, and has itself below it."""
    content = bytearray(raw_tiff())
    first = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[first : first + 2], "little")
    content[first + 2 + 12 * count : first + 6 + 12 * count] = first.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nef", _endless()),
        ("a.nef", b"II*\0" + b"\xff" * 2000),
        ("a.nef", b"II*\0\x08\0\0\0" + b"\xff" * 2000),
        ("a.nef", b"MM\0+\0\x08\0\0" + b"\xff" * 2000),
        ("a.rw2", b"IIU\0" + bytes(2000)),
        ("a.raf", b"FUJIFILMCCD-RAW " + b"\xff" * 2000),
        ("a.cr3", box(b"ftyp", b"crx ") + b"\0\0\0\1moov" + b"\xff" * 2000),
        ("a.cr3", box(b"ftyp", b"crx ") + b"\0\0\0\x08free" * 50_000),
        ("a.crw", b"II\x1a\0\0\0HEAPCCDR" + b"\xff" * 2000),
        ("a.crw", b"II\x1a\0\0\0HEAPCCDR" + b"\x05\x28\0\0" * 2000),
        ("a.x3f", b"FOVb" + b"\xff" * 2000),
        ("a.psb", b"8BPS\0\2" + b"\xff" * 2000),
        ("a.jxl", b"\xff\x0a" + b"\xff" * 40),
        ("a.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\xff" * 40),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IDAT\0\0\0\0" * 1000),
        ("a.gif", b"GIF89a" + b"\xff" * 2000),
        ("a.bmp", b"BM" + b"\xff" * 12 + b"\x28\0\0\0" + b"\xff" * 2000),
        ("a.jpg", b"\xff\xd8" + b"\xff\xe1\0\2" * 20_000),
    ],
    ids=range(18),
)
def test_hostile_files_cost_themselves_only(tmp_path: Path, name: str, content: bytes) -> None:
    bad, good = put(tmp_path / name, content), put(tmp_path / "good.jpg", jpeg())
    found = read(bad, good)
    # Facts or an error by itself: the reader neither died nor was given up.
    told = found[bad.name]
    assert not isinstance(told, HeaderError) or told.kind in ("format", "header")
    assert isinstance(found["good.jpg"], HeaderFacts)
