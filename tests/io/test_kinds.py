"""What a file of a chapter is, by its name and its first bytes."""

from __future__ import annotations

import io
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_processing.io.kinds import (
    BOOK_SUFFIXES,
    HEAD,
    PICTURE_SUFFIXES,
    SUPPORTED_IMAGE_FORMATS,
    FileKind,
    content_of,
    kind_by_name,
    kind_of,
    picture_of,
)


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 10, 30)).save(buffer, kind)
    return buffer.getvalue()[:HEAD]


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members:
            file.writestr(name, data)
    return buffer.getvalue()[:HEAD]


PICTURES = {
    "PNG": saved("PNG"),
    "JPEG": saved("JPEG"),
    "WEBP": saved("WEBP"),
    "TIFF": saved("TIFF"),
    "BMP": saved("BMP"),
    "GIF": saved("GIF"),
    "JPEG2000": saved("JPEG2000"),
    "AVIF": saved("AVIF"),
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
}
UNREAD = {
    "a JPEG XL picture": b"\xff\x0a" + bytes(40),
    "a Krita document": zipped(("mimetype", b"application/x-krita"), ("maindoc.xml", b"<x/>")),
    "an OpenRaster document": zipped(("mimetype", b"image/openraster"), ("stack.xml", b"<x/>")),
    "a GIMP document": b"gimp xcf v011\0" + bytes(40),
    "a Clip Studio Paint document": b"CSFCHUNK" + bytes(40),
    "an OpenEXR picture": b"\x76\x2f\x31\1\2\0\0\0" + bytes(40),
    "a QOI picture": b"qoif\0\0\0\x10\0\0\0\x10\3\0",
    "a Netpbm picture": saved("PPM"),
    "a vector drawing": b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="x"></svg>',
}
NO_PICTURES = {
    "empty": b"",
    "text": b"BMW and P1 and GIF are words, and so is PNG.\n",
    "html": b"<!DOCTYPE html>\n<html><body><svg></svg></body></html>",
    "xml": b'<?xml version="1.0"?><ComicInfo/>',
    "docx": zipped(("[Content_Types].xml", b"<Types/>")),
    "odt": zipped(("mimetype", b"application/vnd.oasis.opendocument.text")),
    "jar": zipped(("META-INF/MANIFEST.MF", b"")),
    "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(40),
}
BOOKS = {
    "zip": zipped(("001.png", b"x")),
    "epub": zipped(("mimetype", b"application/epub+zip"), ("a", b"")),
    "rar": b"Rar!\x1a\7\1\0" + bytes(40),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(40),
    "pdf": b"%PDF-1.7\n" + bytes(40),
    "tar": bytes(257) + b"ustar" + bytes(40),
}


@pytest.mark.parametrize("name", ["03", "0.image.jpg2578", "page.bin", "deep/er/ünï"])
class TestContentDecides:
    @pytest.mark.parametrize("kind", PICTURES)
    def test_a_picture_that_lote_reads(self, name: str, kind: str) -> None:
        assert kind_of(name, PICTURES[kind]) == FileKind.IMAGE
        found = picture_of(PICTURES[kind][:32])
        assert found is not None
        assert found.format == kind

    @pytest.mark.parametrize("what", UNREAD)
    def test_a_picture_that_lote_does_not_read(self, name: str, what: str) -> None:
        assert kind_of(name, UNREAD[what]) == FileKind.IMAGE
        found = picture_of(UNREAD[what])
        assert found is not None
        assert (found.what, found.format) == (what, "")
        assert found.advice

    @pytest.mark.parametrize("what", NO_PICTURES)
    def test_no_picture(self, name: str, what: str) -> None:
        assert kind_of(name, NO_PICTURES[what]) == FileKind.OTHER

    @pytest.mark.parametrize("what", BOOKS)
    def test_a_book(self, name: str, what: str) -> None:
        assert kind_of(name, BOOKS[what]) == FileKind.BOOK


@given(st.sampled_from(sorted(PICTURE_SUFFIXES)), st.binary(max_size=64), st.booleans())
def test_a_picture_suffix_makes_a_page_of_any_content(suffix: str, head: bytes, upper: bool) -> None:
    name = "a/p1" + (suffix.upper() if upper else suffix)
    assert kind_by_name(name) == kind_of(name, head) == FileKind.IMAGE


@given(st.sampled_from(sorted(BOOK_SUFFIXES)), st.binary(max_size=64))
def test_a_book_suffix_makes_a_book_of_what_is_no_picture(suffix: str, head: bytes) -> None:
    expected = FileKind.BOOK if picture_of(head) is None else FileKind.IMAGE
    assert kind_of(f"a/book{suffix}", head) == expected


@given(st.text(alphabet=st.characters(exclude_characters="/"), min_size=1), st.binary(max_size=HEAD))
def test_every_file_is_something(name: str, head: bytes) -> None:
    assert kind_of(name, head) in FileKind
    content_of(head)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ComicInfo.xml", FileKind.COMIC_INFO),
        ("comicinfo.XML", FileKind.COMIC_INFO),
        ("part/ComicInfo.xml", FileKind.METADATA),
        ("MetronInfo.xml", FileKind.METADATA),
        ("a/CoMet.xml", FileKind.METADATA),
        ("p1.hints.png", FileKind.HINTS),
        ("p1.hints.json", FileKind.HINTS),
        ("p1.hints.jpg", FileKind.OTHER),
        (".hidden.png", FileKind.JUNK),
        ("__MACOSX/p1.png", FileKind.JUNK),
        ("Thumbs.db", FileKind.JUNK),
        ("a/_lote/preview.png", FileKind.JUNK),
    ],
)
def test_names_that_say_it_all(name: str, kind: FileKind) -> None:
    assert kind_of(name, PICTURES["PNG"]) == kind


def test_the_suffixes_that_are_read_are_those_of_pictures() -> None:
    assert SUPPORTED_IMAGE_FORMATS < PICTURE_SUFFIXES
    assert not BOOK_SUFFIXES & PICTURE_SUFFIXES


@pytest.mark.parametrize(
    "head",
    [b" " * HEAD, b"<!---->" * (HEAD // 7), b"<?xml>" * (HEAD // 6), b"P1" + b"\n#" * 2000, b"<!--" * 1000],
)
def test_hostile_first_bytes_cost_nothing(head: bytes) -> None:
    began = time.perf_counter()
    kind_of("p", head)
    content_of(head)
    assert time.perf_counter() - began < 0.05


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (NO_PICTURES["html"], "an HTML page"),
        (BOOKS["pdf"], "a PDF document"),
        (BOOKS["zip"], "an archive"),
        (bytes(64), "a file of zeros, as a download leaves it that broke off"),
        (b"Not found\n", "a text"),
        (b"\1\2\3\4", None),
    ],
)
def test_what_is_no_picture_is_named(head: bytes, what: str | None) -> None:
    assert content_of(head) == what
