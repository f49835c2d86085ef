"""Photos and videos made in tests, byte by byte where no library writes their formats."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

from PIL import Image

MAKE, MODEL, ORIENTATION, DATE = 0x010F, 0x0110, 0x0112, 0x9003
EXIF_IFD, GPS_IFD, SUB_IFDS = 0x8769, 0x8825, 0x014A
WIDTH, HEIGHT = 0x0100, 0x0101

Tags = dict[int, Any]


def _encoded(value: Any, order: str) -> tuple[int, int, bytes]:
    """Type, count and bytes of a value."""
    if isinstance(value, str):
        data = value.encode("latin-1") + b"\0"
        return 2, len(data), data
    if isinstance(value, bytes):
        return 7, len(value), value
    values = value if isinstance(value, tuple) else (value,)
    if all(isinstance(each, int) for each in values):
        return 4, len(values), struct.pack(f"{order}{len(values)}I", *values)
    data = b"".join(struct.pack(f"{order}II", round(each * 1000), 1000) for each in values)
    return 5, len(values), data


def tiff(
    main: Tags,
    *,
    exif: Tags | None = None,
    gps: Tags | None = None,
    sub: Tags | None = None,
    magic: bytes = b"II*\0",
) -> bytes:
    """A TIFF structure of one directory, with those of EXIF and GPS and one SubIFD below it."""
    order = ">" if magic[:2] == b"MM" else "<"
    tags = dict(main)
    blocks = bytearray(magic + struct.pack(f"{order}I", 0))

    def directory(entries: Tags) -> int:
        table = b""
        for tag, value in sorted(entries.items()):
            kind, count, data = _encoded(value, order)
            if len(data) > 4:
                where = struct.pack(f"{order}I", len(blocks))
                blocks.extend(data + b"\0" * (len(data) % 2))
            else:
                where = data.ljust(4, b"\0")
            table += struct.pack(f"{order}HHI", tag, kind, count) + where
        at = len(blocks)
        blocks.extend(struct.pack(f"{order}H", len(entries)) + table + b"\0\0\0\0")
        return at

    for pointer, entries in ((EXIF_IFD, exif), (GPS_IFD, gps), (SUB_IFDS, sub)):
        if entries is not None:
            tags[pointer] = directory(entries)
    first = directory(tags)
    blocks[4:8] = struct.pack(f"{order}I", first)
    return bytes(blocks)


def raw_tiff(*, magic: bytes = b"II*\0", size: tuple[int, int] = (6000, 4000), **tags: Any) -> bytes:
    """A raw photo that is a TIFF: a thumbnail in the first directory, the photo below it."""
    data = tiff(
        {MAKE: "NIKON CORPORATION", MODEL: "NIKON D70", ORIENTATION: 8, 0xFE: 1, WIDTH: 160, HEIGHT: 120},
        exif={DATE: tags.get("date", "2004:08:27 13:52:55")},
        gps={1: "S", 2: (33.0, 51.0, 30.0), 3: "E", 4: (151.0, 12.0, 0.0)},
        sub={0xFE: 0, WIDTH: size[0], HEIGHT: size[1], 0x0103: 34713, 0x0111: 1000, 0x0117: 5000},
        magic=magic,
    )
    assert len(data) <= 1000
    return data.ljust(1000, b"\0") + bytes(range(1, 251)) * 20


def exif_block(**tags: Any) -> bytes:
    """EXIF of a camera that says who it is and when."""
    return tiff(
        {MAKE: "Canon", MODEL: "Canon EOS 5D", ORIENTATION: 6},
        exif={DATE: tags.get("date", "2004:08:27 13:52:55")} | tags.get("more", {}),
        gps=tags.get("gps"),
    )


def jpeg(exif: bytes | None = None, *, size: tuple[int, int] = (120, 80), **options: Any) -> bytes:
    """A JPEG with a picture that does not compress to nothing."""
    file = io.BytesIO()
    more = {"exif": b"Exif\0\0" + exif} if exif is not None else {}
    noise(size).save(file, "JPEG", quality=80, **more, **options)
    return file.getvalue()


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 60).convert("RGB")


def saved(name: str, size: tuple[int, int] = (120, 80), **options: Any) -> bytes:
    """A picture in a format of Pillow's."""
    file = io.BytesIO()
    noise(size).save(file, name, **options)
    return file.getvalue()


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + name + content


def full_box(name: bytes, *parts: bytes) -> bytes:
    return box(name, b"\0\0\0\0", *parts)


def cr3() -> bytes:
    """A Canon CR3: boxes with the directories of EXIF."""
    main = tiff({MAKE: "Canon", MODEL: "Canon EOS R5", ORIENTATION: 1, WIDTH: 8192, HEIGHT: 5464})
    details = tiff({DATE: "2021:05:06 07:08:09", 0x9011: "+02:00"})
    place = tiff({1: "N", 2: (48.0, 8.0, 6.0), 3: "E", 4: (11.0, 34.0, 48.0)})
    uuid = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    moov = box(
        b"moov",
        box(
            b"uuid",
            uuid,
            box(b"CNCV", b"CanonCR3"),
            box(b"CMT1", main),
            box(b"CMT2", details),
            box(b"CMT4", place),
        ),
    )
    return box(b"ftyp", b"crx ", b"\0\0\0\1", b"crx isom") + moov + box(b"mdat", bytes(range(1, 251)) * 20)


def raf() -> bytes:
    """A Fujifilm RAF: a header, a JPEG, records of the sensor, and data."""
    picture = jpeg(tiff({MAKE: "FUJIFILM", MODEL: "X-T3"}, exif={DATE: "2019:01:02 03:04:05"}))
    records = (
        struct.pack(">I", 2)
        + struct.pack(">HHHH", 0x100, 4, 4038, 6144)
        + struct.pack(">HHHH", 0x111, 4, 4032, 6032)
    )
    data = bytes(range(1, 251)) * 8
    begin = 160
    parts = (
        begin,
        len(picture),
        begin + len(picture),
        len(records),
        begin + len(picture) + len(records),
        len(data),
    )
    return (
        (b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">6I", *parts)).ljust(begin, b"\0")
        + picture
        + records
        + data
    )


def crw() -> bytes:
    """A Canon CRW: a heap inside of a heap."""
    name = b"Canon\0Canon EOS 10D\0"
    size = struct.pack("<II", 3072, 2048) + bytes(20)
    inner = name + size
    table = struct.pack("<HHII", 2, 0x080A, len(name), 0) + struct.pack("<HII", 0x1810, len(size), len(name))
    inner += table + struct.pack("<I", len(name) + len(size))
    stamp = struct.pack("<HII", 0x580E, 1_080_000_000, 0)  # 2004-03-23 00:00:00, in the entry itself
    heap = (
        inner
        + struct.pack("<H", 2)
        + struct.pack("<HII", 0x300A, len(inner), 0)
        + stamp
        + struct.pack("<I", len(inner))
    )
    return b"II" + struct.pack("<I", 26) + b"HEAPCCDR" + bytes(12) + heap


def x3f() -> bytes:
    """A Sigma X3F: a header, a section of properties, a directory."""
    properties = {"CAMMANUF": "SIGMA", "CAMMODEL": "SIGMA SD10", "TIME": "1080000000"}
    text, table = "", b""
    for key, value in properties.items():
        table += struct.pack("<II", len(text), len(text) + len(key) + 1)
        text += f"{key}\0{value}\0"
    section = (
        b"SECp"
        + struct.pack("<5I", 0x20000, len(properties), 0, 0, len(text))
        + table
        + text.encode("utf-16-le")
    )
    head = (b"FOVb" + struct.pack("<I", 0x20002) + bytes(16) + struct.pack("<III", 0, 2268, 1512)).ljust(
        264, b"\0"
    )
    directory = (
        b"SECd" + struct.pack("<II", 0x20000, 1) + struct.pack("<II", len(head), len(section)) + b"PROP"
    )
    return head + section + directory + struct.pack("<I", len(head) + len(section))


def psb(width: int = 40_000, height: int = 35_000) -> bytes:
    """A Photoshop PSB with one resource, EXIF."""
    block = exif_block()
    resource = (
        b"8BIM"
        + struct.pack(">H", 1058)
        + b"\0\0"
        + struct.pack(">I", len(block))
        + block
        + b"\0" * (len(block) % 2)
    )
    head = b"8BPS" + struct.pack(">H6xHIIHH", 2, 3, height, width, 8, 3)
    rows = struct.pack(">I", 2) * (3 * height)  # what PackBits needs for each row
    return (
        head + struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource + struct.pack(">Q", 0)
        + struct.pack(">H", 1) + rows + b"\x81\1" * (3 * height)
    )  # fmt: skip


CONTENT_ID = "6C7D1D70-1B2C-4E4F-9D0A-6C4F2B7E0A11"


def apple_note(identifier: str = CONTENT_ID) -> bytes:
    """Apple's maker note with one tag; its offsets count from its own beginning."""
    value = identifier.encode() + b"\0"
    table = struct.pack(">H", 1) + struct.pack(">HHII", 0x0011, 2, len(value), 32) + b"\0\0\0\0"
    return b"Apple iOS\0\0\1MM" + table + value


def movie(
    *,
    created: int = 0,
    keys: dict[str, str] | None = None,
    user: bytes = b"",
    brand: bytes = b"qt  ",
    full: bool = False,
) -> bytes:
    """A QuickTime movie of one picture track; `created` in seconds since 1904."""
    mvhd = full_box(b"mvhd", struct.pack(">II", created, created), bytes(88))
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # turned by 90 degrees
    sound = box(b"trak", full_box(b"tkhd", bytes(36), matrix, bytes(8)))
    track = box(b"trak", full_box(b"tkhd", bytes(36), matrix, struct.pack(">II", 1920 << 16, 1080 << 16)))
    parts = [mvhd, sound, track]
    if user:
        parts.append(box(b"udta", user))
    if keys:
        names = box(
            b"keys", bytes(4), struct.pack(">I", len(keys)), *(box(b"mdta", key.encode()) for key in keys)
        )
        items = [
            box(struct.pack(">I", number), box(b"data", struct.pack(">II", 1, 0), value.encode()))
            for number, value in enumerate(keys.values(), start=1)
        ]
        handler = box(b"hdlr", bytes(8), b"mdta", bytes(12))
        parts.append((full_box if full else box)(b"meta", handler, names, box(b"ilst", *items)))
    head = box(b"ftyp", brand, bytes(4), brand)
    return head + box(b"wide") + box(b"mdat", bytes(range(1, 251)) * 20) + box(b"moov", *parts)


def jxl(width: int, height: int) -> bytes:
    """The beginning of a JPEG XL stream: its size, and nothing that matters."""
    bits, at = 0, 0

    def put(value: int, count: int) -> None:
        nonlocal bits, at
        bits, at = bits | value << at, at + count

    put(0, 1)
    put(2, 2)
    put(height - 1, 18)
    put(0, 3)
    put(2, 2)
    put(width - 1, 18)
    return b"\xff\x0a" + bits.to_bytes(8, "little") + bytes(range(1, 200))


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
