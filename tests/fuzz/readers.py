"""What reads untrusted bytes, each as one function of a file: what fuzzers and the tests of damaged bytes run.

A reader gives an answer or one of its `errors`, within `PATIENCE_S`; anything else is a fault. Inputs that reach
different code are kept in `corpus/NAME/`, made by `make fuzz` from the examples here; those called `fault-...` once took
the reader down. `python tests/fuzz/run.py NAME FILE` tries one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import shutil
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import header_files
from batch_processing.backends.flats import hints
from batch_processing.comics import palette
from batch_processing.config import ConfigurationHandler
from batch_processing.core.workers import LocalPool, Task
from batch_processing.exceptions import (
    BatchProcessingError,
    ConfigurationError,
    ValidationError,
    ZIPExtractionError,
)
from batch_processing.io import bounds, images
from batch_processing.io.archives import Limits, is_zip_file
from batch_processing.io.books.isolated import Entry, Unpack
from batch_processing.io.books.opening import Run, here, open_book, opener
from batch_processing.io.books.unpacking import unpack
from batch_processing.io.comic_info import comic_info
from batch_processing.io.containers import Region
from batch_processing.photos import dates, headers, raw, videos
from batch_processing.photos.damage import damage_of
from batch_processing.photos.reading import open_file
from corpus import books
from corpus.archives import HOSTILE, LYING, build, plain
from corpus.archives import Entry as ZipEntry
from corpus.images import png, whole

CORPUS = Path(__file__).parent / "corpus"
PATIENCE_S = 5.0
"""The most that one input may take (s of processor time), hundreds of times what it does."""
SMALL = Limits(entries=100, total=4 << 20, ratio_from=1 << 20)


@dataclass(frozen=True)
class Reader:
    """`read` takes a file; `errors` are how it may refuse. `words` are what its format is made of; `longest` in bytes."""

    read: Callable[[Path], object]
    examples: list[bytes]
    errors: tuple[type[BaseException], ...] = ()
    suffix: str = ""
    words: tuple[bytes, ...] = ()
    longest: int = 4096
    is_led: bool = True  # its code is ours, so that what is reached in it leads to new inputs

    def refusal(self, path: Path) -> str | None:
        """What the reader says of a file; None for one that it takes. Any other error comes through, and an AssertionError
        when it took too long or says nothing."""
        began = time.process_time()
        said = None
        try:
            self.read(path)
        except self.errors as error:
            said = str(error)
        took = time.process_time() - began
        assert said != "", "it says nothing"
        assert took < PATIENCE_S, f"it took {took:.1f} s"
        return said


def kept(name: str) -> list[Path]:
    """The inputs that are kept for a reader."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())


def unpacked(path: Path, run: Run = here) -> None:
    """A book of any kind: what comes out of it lies in the folder that was given, and is called what may be called so."""
    target = path.with_suffix(".d")
    is_zip_file(path)
    try:
        with open_book(path, SMALL, folder=target / "whole", run=run) as book:
            for page in unpack(book, target, opener(None, run)):
                assert target in page.path.parents
                assert not page.name.startswith("/")
                assert ".." not in page.name.split("/")
    finally:
        for stored in target.iterdir() if target.exists() else ():
            shutil.rmtree(stored) if stored.is_dir() else stored.unlink()


_workers: list[LocalPool] = []


def let_go() -> None:
    """End the worker that takes books apart: nothing is left running behind a test."""
    while _workers:
        _workers.pop().close()


def apart(work: Unpack) -> list[Entry]:
    """As `comics.books` has a book taken apart, but with one worker for many of them. One that dies is started anew."""
    if not _workers:
        _workers.append(LocalPool(1, memory_limit=1 << 30))
        atexit.register(let_go)
    _workers[0].submit(Task("book", work, timeout_s=12 * PATIENCE_S))
    while not (results := _workers[0].completed(1.0)):
        pass
    if results[0].failure is not None:
        assert results[0].failure.type != "TimeoutError", "it hangs"
        raise ZIPExtractionError(results[0].failure.text)
    entries: list[Entry] = results[0].value
    return entries


def configured(path: Path) -> None:
    handler = ConfigurationHandler()
    handler.load_config_file(path)
    handler.get_image_config("a/page_001.png")


def bounded(path: Path) -> None:
    """All that is looked at before a library opens an image, whatever the first bytes say."""
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "JPEG2000", "AVIF"):
        with path.open("rb") as file, contextlib.suppress(ValueError):
            bounds.check(file, kind)


def contained(path: Path) -> None:
    """The containers of photos and videos, which promise never to raise, as each of the formats they could be."""
    source = open_file(str(path))
    try:
        region = Region.of(source)
        head = region.read(0, headers.HEAD)
        for extension in (".dng", ".mov"):
            name = headers.content_format(head, extension)
            if name in videos.FORMATS:
                videos.video_facts(region, name)
            elif name is not None:
                raw.raw_facts(region, name)
                damage_of(source, name)
        for resource in (raw.PHOTOSHOP_EXIF, raw.PHOTOSHOP_XMP):
            raw.photoshop_resource(region, resource)
    finally:
        os.close(source)


def photographed(path: Path) -> None:
    """What a worker answers: facts or an error that can be sent, and no word of memory."""
    answer = headers.answer(str(path), dates.Folders())
    assert repr(pickle.loads(pickle.dumps(answer))) == repr(answer)  # noqa: S301 - its own
    assert getattr(answer, "kind", "") != "memory"


def told(path: Path) -> None:
    content = path.read_bytes()
    dates.date_in_xmp(content)
    dates.takeout_told(content)


JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"NaN",
    b'"id"',
    b'"rgb"',
)
XML = (
    b"<",
    b">",
    b"/>",
    b"<a>",
    b"</a>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"&a;",
    b"<?x ?>",
    b"<!DOCTYPE a>",
)
ZIP = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\xff\xff\xff\xff", b"../", b"\0\0\0\0")
PAGE = png(8, 8, bytes(72))
PICTURES = whole()


def without_tiles(jpeg2000: bytes) -> bytes:
    """A JPEG 2000 whose tiles are no pixel wide: the number stands 22 bytes behind the marker SIZ."""
    at = jpeg2000.index(b"\xff\x51") + 22
    return jpeg2000[:at] + bytes(4) + jpeg2000[at + 4 :]


BOOK = plain(a__p_png=PAGE, b_png=PAGE, ComicInfo_xml=b"<ComicInfo/>", extra_zip=plain(c_png=PAGE))
EXIF = struct.pack("<2sHLHHHLLHHLLL", b"II", 42, 8, 2, 274, 3, 1, 6, 282, 5, 1, 38, 0) + struct.pack(
    "<LL", 300, 1
)


def with_an_endless_box(jpeg2000: bytes) -> bytes:
    """A JPEG 2000 with a box before its picture that is longer than any file can be."""
    return jpeg2000[:12] + struct.pack(">L4sQ", 1, b"free", 2**64 - 1) + jpeg2000[12:]


DAMAGED = [
    damaged(data)
    for data in PICTURES.values()
    if data[4:8] == b"jP  "
    for damaged in (without_tiles, with_an_endless_box)
]
BOXES = (
    *(b"ftypavif", b"ftypheic", b"meta", b"iinf", b"infe", b"iloc", b"iprp", b"ipco", b"colrprof", b"Exif", b"mdat", b"moov"),
    *(b"jp2c", b"\xff\x51", b"\xff\x90", b"\xff\xe1", b"Exif\0\0", b"II*\0", b"MM\0*", b"II+\0", b"8BPS", b"8BIM", b"IHDR", b"eXIf"),
    *(b"\0\0\0\1", b"\xff\xff\xff\xff", b"\x87\x69\0\4\0\0\0\1", b"\x69\x87\4\0\1\0\0\0"),
)  # fmt: skip
PALETTE = {"colors": [{"id": 4, "name": "hair", "rgb": "#4a302a", "locked": True, "reference": [74, 48, 42]}]}
HINTS = {
    "points": [{"x": 1, "y": 2, "color": "#c0392b"}],
    "strokes": [{"points": [[1, 2], [3, 4]], "id": 3}],
    "lock": [],
}
CONFIG = {"default": {"style": "line", "seed": 1}, "images": {"page_001.png": {"skip": True, "steps": 9}}}
TOML = b'[default]\nstyle = "line"\nseed = 1\n[images."page_001.png"]\nreferences = ["a.png"]\nskip = true\n'
INFO = b'<?xml version="1.0"?>\n<ComicInfo a="1"><Title>x</Title><BlackAndWhite>Yes</BlackAndWhite><Pages><Page/></Pages></ComicInfo>'


def psd() -> bytes:
    """A document as Lote writes it."""
    import io

    import numpy as np

    from batch_processing.io.layers import write_psd

    class Layer:
        name, blend, group, left, top = "line", "normal", "", 0, 0
        pixels = np.full((6, 8, 4), 200, np.uint8)

    target = io.BytesIO()
    write_psd(target, [Layer()], np.zeros((6, 8, 3), np.uint8))  # type: ignore[list-item]
    return target.getvalue()


def small(examples: list[bytes], longest: int) -> list[bytes]:
    return [data for data in examples if len(data) <= longest]


CAMERA: dict[str, Any] = {"date": "2004:08:27 13:52:55"}
PHOTOS = [
    header_files.raw_tiff(),
    header_files.raw_tiff(magic=b"MM\0*"),
    header_files.cr3(),
    header_files.raf(),
    header_files.crw(),
    header_files.x3f(),
    header_files.psb(),
    header_files.movie(),
    header_files.jxl(4000, 3000),
    header_files.jpeg(header_files.exif_block(), size=(16, 8)),
    psd(),
]
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:DateTimeOriginal="2004-08-27T13:52:55"/></rdf:RDF></x:xmpmeta>"""
TAKEOUT = {
    "title": "a.jpg",
    "photoTakenTime": {"timestamp": "1093614775"},
    "geoData": {"latitude": -33.8, "longitude": 151.2},
}
LONGEST = 16_384
MEMBERS = {"a/p.png": PAGE, "a/q.png": PAGE * 20, "ComicInfo.xml": b"<ComicInfo/>", "notes.txt": b"x" * 99}
SPINE = {"1.xhtml": books.showing("a/p.png"), "2.xhtml": books.showing("b.png", "c.png")}
TAR = (
    b"ustar\0",
    b"ustar  \0",
    b"0000644\0",
    b"77777777777\0",
    b"\x80" + bytes(11),
    b"././@LongLink",
    b"path=",
    b"\0" * 512,
    b"../",
)


def documents() -> list[bytes]:
    """PDFs of each kind of page."""
    from PIL import Image

    one = Image.new("L", (20, 30), 99)
    whole, text = "q 144 0 0 216 0 0 cm /I Do Q", "BT /F 40 Tf 10 100 Td (Hello) Tj ET"
    return [
        books.pdf((whole, {"I": books.picture(one, jpeg=True)}), (whole, {"I": books.picture(one)})),
        books.pdf((f"{whole} {text} 0 0 9 9 re f", {"I": books.picture(one.convert("RGB"), jpeg=True)})),
        books.pdf((whole, {"I": books.picture(one, more="/Decode[1 0]")}), (text, {})),
    ]


READERS = {
    "archives": Reader(
        unpacked,
        small(
            [BOOK, build(ZipEntry("n.zip", BOOK), ZipEntry("p.png", PAGE)), *(make() for make, _ in [*HOSTILE.values(), *LYING.values()])],
            LONGEST,
        ),
        (BatchProcessingError,),
        ".cbz",
        ZIP,
        LONGEST,
    ),
    "tars": Reader(
        unpacked, [books.tar(MEMBERS), books.tar(MEMBERS, "w:gz"), books.tar({"a" * 120 + ".png": PAGE})], (BatchProcessingError,), ".cbt", TAR, LONGEST
    ),
    "epubs": Reader(
        unpacked, [books.epub(SPINE, {"a/p.png": PAGE, "b.png": PAGE, "c.png": PAGE})], (BatchProcessingError,), ".epub", (*ZIP, *XML), LONGEST
    ),
    "sevens": Reader(
        lambda path: unpacked(path, apart),
        [books.seven_zip(MEMBERS), books.seven_zip(MEMBERS, "compression=store")],
        (BatchProcessingError,),
        ".cb7",
        is_led=False,
    ),
    "rars": Reader(
        lambda path: unpacked(path, apart), [books.rar4(dict(MEMBERS)), books.rar5(MEMBERS)], (BatchProcessingError,), ".cbr", is_led=False
    ),
    "pdfs": Reader(
        lambda path: unpacked(path, apart),
        documents(),
        (BatchProcessingError,),
        ".pdf",
        (b"/Filter", b"/DCTDecode", b"/SMask", b"/Width", b" 0 R", b"<<", b">>", b"stream\n", b"/Kids", b"/Parent"),
        is_led=False,
    ),
    "photoshop": Reader(images.decode, [psd()], (BatchProcessingError,), ".psd", (b"8BPS\0\1", b"8BPS\0\2", b"8BIM"), is_led=False),
    "comic_info": Reader(
        lambda path: comic_info(path.read_bytes()), [INFO, INFO.decode().encode("utf-16")], (ValidationError,), "", XML
    ),
    "palettes": Reader(palette.read, [json.dumps(PALETTE).encode()], (ValidationError,), ".json", JSON),
    "hints": Reader(
        lambda path: hints.read(path, 8, 8, {3: (1, 2, 3)}).seeds(8, 8), [json.dumps(HINTS).encode()], (BatchProcessingError,), ".json", JSON
    ),
    "painted_hints": Reader(
        lambda path: hints.read(path, 8, 8, {}).seeds(8, 8), [PAGE, png(8, 8, bytes(8 * 33), color=6)], (BatchProcessingError,), ".png"
    ),
    "configurations": Reader(configured, [json.dumps(CONFIG).encode()], (ConfigurationError,), ".json", JSON),
    "configurations_in_toml": Reader(
        configured, [TOML], (ConfigurationError,), ".toml", (b"[", b"]", b"=", b'"', b"'''", b"#", b".", b"{", b"}", b"\n")
    ),
    "exif": Reader(
        lambda path: bounds.exif_tags(path.read_bytes(), frozenset({274, 282, 283, 296})), [b"Exif\0\0" + EXIF, EXIF]
    ),
    "bounds": Reader(bounded, small([*PICTURES.values(), *DAMAGED], LONGEST), words=BOXES, longest=LONGEST),
    "images": Reader(images.probe, small([*PICTURES.values(), *DAMAGED], LONGEST), (BatchProcessingError,), words=BOXES, longest=LONGEST),
    "containers": Reader(contained, small([*PHOTOS, *PICTURES.values()], LONGEST), words=BOXES, longest=LONGEST),
    "photos": Reader(photographed, small([*PHOTOS, *PICTURES.values()], LONGEST), words=BOXES, longest=LONGEST),
    "sidecars": Reader(told, [XMP, json.dumps(TAKEOUT).encode()], words=(*XML, *JSON)),
}  # fmt: skip
