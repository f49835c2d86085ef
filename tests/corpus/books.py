"""Books of every kind but ZIP, built for tests: honest ones by the libraries that write them, RAR byte by byte (nothing
free writes it), PDF and EPUB from their parts."""

from __future__ import annotations

import io
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from corpus.archives import Entry, build

Members = Mapping[str, bytes]


def tar(members: Members, mode: str = "w", **change: object) -> bytes:
    """A TAR; `mode` as `tarfile` has it ("w:gz"). `change` are attributes of every header."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode, format=tarfile.GNU_FORMAT, errors="surrogateescape") as file:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in change.items():
                setattr(member, key, value)
            file.addfile(member, io.BytesIO(data))
    return target.getvalue()


def seven_zip(members: Members, options: str = "") -> bytes:
    """A 7z archive, by libarchive."""
    import libarchive

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.7z"
        with libarchive.file_writer(str(path), "7zip", options=options) as archive:
            for name, data in members.items():
                archive.add_file_from_memory(name, len(data), data)
        return path.read_bytes()


def rar4(members: Mapping[str | bytes, bytes]) -> bytes:
    """A RAR archive of version 4, stored."""

    def block(kind: int, flags: int, rest: bytes) -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head

    parts = [b"Rar!\x1a\x07\x00", block(0x73, 0, bytes(6))]
    for name, data in members.items():
        raw = name if isinstance(name, bytes) else name.encode()
        fields = struct.pack(
            "<LLBLLBBHL", len(data), len(data), 3, zlib.crc32(data), 0x21 << 16, 20, 0x30, len(raw), 0o100644
        )
        parts += [block(0x74, 0x8000, fields + raw), data]
    return b"".join([*parts, block(0x7B, 0x4000, b"")])


def rar5(members: Members) -> bytes:
    """A RAR archive of version 5, stored."""

    def number(value: int) -> bytes:
        found = b""
        while value >= 0x80:
            found += bytes([value & 0x7F | 0x80])
            value >>= 7
        return found + bytes([value])

    def block(content: bytes) -> bytes:
        sized = number(len(content)) + content
        return struct.pack("<L", zlib.crc32(sized)) + sized

    parts = [b"Rar!\x1a\x07\x01\x00", block(number(1) + number(0) + number(0))]
    for name, data in members.items():
        raw = name.encode()
        head = number(2) + number(2) + number(len(data)) + number(4) + number(len(data)) + number(0o100644)
        head += struct.pack("<L", zlib.crc32(data)) + number(0) + number(1) + number(len(raw)) + raw
        parts += [block(head), data]
    return b"".join([*parts, block(number(5) + number(0) + number(0))])


def epub(
    spine: Mapping[str, bytes],
    others: Members,
    *,
    folder: str = "OEBPS/",
    linear: tuple[str, ...] | None = None,
    encryption: bytes | None = None,
) -> bytes:
    """An EPUB: `spine` are its documents in reading order (`linear` another order), `others` the rest, all in `folder`."""
    kinds = {
        "xhtml": "application/xhtml+xml",
        "svg": "image/svg+xml",
        "jpg": "image/jpeg",
        "png": "image/png",
    }
    items = "".join(
        f'<item id="i{number}" href="{name}" media-type="{kinds.get(name.rpartition(".")[2], "text/css")}"/>'
        for number, name in enumerate([*spine, *others])
    )
    order = [f"i{[*spine].index(name)}" for name in linear or spine]
    refs = "".join(f'<itemref idref="{name}"/>' for name in order)
    opf = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{refs}</spine></package>'
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        f'<rootfile full-path="{folder}content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    entries = [
        Entry("mimetype", b"application/epub+zip", method=0),
        Entry("META-INF/container.xml", container.encode()),
        Entry(f"{folder}content.opf", opf.encode()),
        *(Entry(f"{folder}{name}", data) for name, data in {**spine, **others}.items()),
    ]
    if encryption:
        entries.append(Entry("META-INF/encryption.xml", encryption))
    return build(*entries)


def showing(*pictures: str) -> bytes:
    """A document of an EPUB that shows these pictures."""
    shown = "".join(f'<p>&nbsp;<img alt="" src="{name}"/></p>' for name in pictures)
    return (
        '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11.dtd">'
        f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{shown}</body></html>'
    ).encode()


def pdf(*pages: tuple[str, Mapping[str, bytes]], box: tuple[int, int] = (144, 216), extra: str = "") -> bytes:
    """A PDF of pages, each with the stream of its content and its pictures (XObjects, whole with their dictionaries)."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    kids = []
    for content, pictures in pages:
        names = ""
        for name, data in pictures.items():
            objects.append(data)
            names += f"/{name} {len(objects)} 0 R"
        objects.append(f"<</Length {len(content)}>>stream\n{content}\nendstream".encode())
        page = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {box[0]} {box[1]}]/Contents {len(objects)} 0 R{extra}"
            f"/Resources<</XObject<<{names}>>/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>"
        )
        objects.append(page.encode())
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<</Type/Pages/Kids[{' '.join(kids)}]/Count {len(kids)}>>".encode()
    data, places = b"%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(data))
    return data + head + table + tail


def picture(image: Image.Image, *, jpeg: bool = False, more: str = "") -> bytes:
    """A picture of a PDF, as JPEG or packed by deflate."""
    if jpeg:
        target = io.BytesIO()
        image.save(target, "JPEG", quality=90)
        data, how = target.getvalue(), "DCTDecode"
    else:
        data, how = zlib.compress(image.tobytes()), "FlateDecode"
    space = {"RGB": "DeviceRGB", "CMYK": "DeviceCMYK"}.get(image.mode, "DeviceGray")
    head = (
        f"<</Type/XObject/Subtype/Image/Width {image.width}/Height {image.height}/ColorSpace/{space}"
        f"/BitsPerComponent {1 if image.mode == '1' else 8}/Filter/{how}/Length {len(data)}{more}>>stream\n"
    )
    return head.encode() + data + b"\nendstream"
