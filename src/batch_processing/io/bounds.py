"""What an image file may hold before its pixels: looked at before any library parses it.

Promises that what passes costs a parser time and memory linear in the file: so many segments, tags and comments
and no more, no tag that claims bytes which others claim too (a TIFF of 4 MB can ask for terabytes that way), and no
metadata that is larger than any camera or program writes. And that a JPEG 2000 file, whose decoder fills
what is missing with gray, has all the tiles, and the bytes in them, that its header claims.

Refuses with a ValueError that says what is out of bounds. Does not look at pixels, nor at AVIF and HEIF, whose
libraries read metadata in native code.

Formats: ITU-T T.81 (JPEG), PNG third edition, TIFF 6.0 and BigTIFF, GIF89a, ITU-T T.800 (JPEG 2000).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from typing import BinaryIO, Final

__all__ = ["check", "exif_tags"]

SEGMENTS: Final = 10_000
"""Metadata segments, chunks, tags or comments of one file: real ones have some tens, profiles some hundreds."""
METADATA: Final = 64 << 20
"""Bytes of all metadata: Photoshop leaves some tens of megabytes in files with a long history."""
EXIF: Final = 128 << 10
"""Bytes of EXIF in a JPEG: one segment, all that the standard allows, has 64 KB."""
PADDING: Final = 64 << 10
"""Bytes between JPEG segments that belong to none."""
CHUNKS: Final = 1 << 18
"""Chunks of a PNG: a picture of 2 GB in pieces of 8 KB, as some programs write it."""
DIRECTORIES: Final = 64
"""Directories of a TIFF page: EXIF, GPS, reduced pictures."""


def check(file: BinaryIO, kind: str) -> None:
    """ValueError when the headers of a file of that format are out of bounds. Leaves the file at its beginning."""
    checks: dict[str, Callable[[BinaryIO], None]] = {
        "JPEG": _jpeg,
        "PNG": _png,
        "TIFF": _tiff,
        "GIF": _gif,
        "JPEG2000": _jpeg2000,
    }
    file.seek(0)
    if kind in checks:
        try:
            checks[kind](file)
        except (struct.error, IndexError) as fault:
            if (
                kind == "JPEG2000"
            ):  # whose decoder makes up what is missing; the others say so in better words
                raise ValueError("image file is truncated within its headers") from fault
        finally:
            file.seek(0)


def _jpeg(file: BinaryIO) -> None:
    file.seek(2)
    padding = segments = exif = metadata = 0
    while byte := file.read(1):
        if byte != b"\xff" or (code := file.read(1)) in {b"\xff", b"\0", b""}:
            padding += 1
            if padding > PADDING:
                raise ValueError(f"more than {PADDING} bytes between its segments belong to none")
            if byte == b"\xff" and code == b"\xff":
                file.seek(-1, io.SEEK_CUR)  # fill bytes: the second may begin a marker
            continue
        if code == b"\xda":  # the first scan: pixels from here on
            return
        segments += 1
        if segments > SEGMENTS:
            raise ValueError(f"it has more than {SEGMENTS} segments")
        if code == b"\x01" or b"\xd0" <= code <= b"\xd9":  # these stand alone
            continue
        (length,) = struct.unpack(">H", file.read(2))
        head = file.read(6) if code == b"\xe1" and length >= 8 else b""
        file.seek(max(0, length - 2 - len(head)), io.SEEK_CUR)
        exif += length if head == b"Exif\0\0" else 0
        metadata += length
        if exif > EXIF:
            raise ValueError(f"it has more than {EXIF} bytes of EXIF")
        if metadata > METADATA:
            raise ValueError(f"it has more than {METADATA} bytes of metadata")


def _png(file: BinaryIO) -> None:
    file.seek(8)
    chunks = others = metadata = 0
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        chunks += 1
        if kind[0] & 0x20 and kind not in {b"fcTL", b"fdAT"}:  # ancillary, and no frame of an animation
            others += 1
            metadata += length
        if chunks > CHUNKS or others > SEGMENTS:
            raise ValueError("it has too many chunks")
        if metadata > METADATA:
            raise ValueError(f"it has more than {METADATA} bytes of metadata")
        if kind == b"IEND":
            return
        file.seek(length + 4, io.SEEK_CUR)


# Bytes of one value of each TIFF type, 1 to 18.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_DIRECTORY_TAGS = {330, 34665, 34853, 40965}  # SubIFDs, EXIF, GPS, interoperability


def _tiff(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = struct.unpack(order + "H", head[2:4])[0] == 43
    # Count of entries; tag, type, number of values; a value or where it stands.
    count_as, entry_as, value_as = ("Q", "HHQ", "Q") if is_big else ("H", "HHL", "L")
    waiting = [struct.unpack(order + value_as, head[8:16] if is_big else head[4:8])[0]]
    seen: set[int] = set()
    tags = claimed = 0
    while waiting:
        at = waiting.pop()
        if at in seen or not 0 < at < size:
            continue
        seen.add(at)
        file.seek(at)
        (count,) = struct.unpack(order + count_as, file.read(struct.calcsize("=" + count_as)))
        tags += count
        if tags > SEGMENTS or len(seen) > DIRECTORIES:
            raise ValueError(f"it has more than {SEGMENTS} tags, or {DIRECTORIES} directories")
        width = struct.calcsize("=" + entry_as + value_as)
        directory = file.read(count * width)
        for start in range(0, len(directory) - width + 1, width):
            tag, kind, number, value = struct.unpack_from(order + entry_as + value_as, directory, start)
            inline = struct.calcsize("=" + value_as)
            length = number * _SIZES.get(kind, 1)
            claimed += length if length > inline else 0
            if claimed > size + METADATA // SEGMENTS:  # programs may let two short values share a place
                raise ValueError("its tags claim more bytes than it has")
            if tag in _DIRECTORY_TAGS and number == 1:
                waiting.append(value)


def _gif(file: BinaryIO) -> None:
    flags = file.read(13)[10]
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, io.SEEK_CUR)
    blocks = comments = metadata = 0
    while file.read(1) == b"!":  # an extension; anything else is the first picture, or the end
        is_comment = file.read(1) == b"\xfe"
        comments += is_comment
        while (length := file.read(1)) not in {b"", b"\0"}:
            blocks += 1
            metadata += length[0] if is_comment else 0
            file.seek(length[0], io.SEEK_CUR)
            if blocks > 64 * SEGMENTS or comments > SEGMENTS or metadata > 1 << 20:
                raise ValueError("it has more comments than any program writes")


def _jpeg2000(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    start, end = _codestream(file, size)
    file.seek(start)
    tiles, packets = 1, 0
    parts: dict[int, list[int]] = {}  # by tile: parts seen, parts promised, bytes of packets
    at = start + 2
    while at + 2 <= end:
        file.seek(at)
        (marker,) = struct.unpack(">H", file.read(2))
        if marker == 0xFFD9:
            break
        (length,) = struct.unpack(">H", file.read(2))
        body = file.read(min(max(length - 2, 0), 64))
        if marker == 0xFF51:  # SIZ: image and tile sizes, components
            x, y, left, top, wide, high, tile_left, tile_top, components = struct.unpack(">2x8LH", body[:36])
            tiles = 0
            if wide and high:
                tiles = -(-(x - tile_left) // wide) * -(-(y - tile_top) // high)
            packets = components
            if not (0 < tiles <= 65_535 and left < x and top < y):
                raise ValueError("its header gives it no tiles")
        elif marker == 0xFF52:  # COD: layers, and one resolution more than levels
            packets *= struct.unpack(">H", body[2:4])[0] * (body[5] + 1)
        elif marker == 0xFF60:  # PPM: the packets' headers stand elsewhere, and some packets have no byte
            packets = 0
        elif marker == 0xFF90:  # SOT: a tile's part
            tile, long, _number, promised = struct.unpack(">HLBB", body[:8])
            long = long or end - at
            if at + long > end:
                raise ValueError("image file is truncated: a tile of it is cut off")
            known = parts.setdefault(tile, [0, 0, 0])
            known[0] += 1
            known[1] = max(known[1], promised)
            known[2] += long - 14  # without SOT and SOD
            at += max(long, 14)
            continue
        at += 2 + length
    if len(parts) < tiles or any(seen < promised for seen, promised, _ in parts.values()):
        raise ValueError("image file is truncated: tiles of it are missing")
    # An empty packet still has a byte. A tile may have settings of its own; then it has a header for them.
    if any(held < packets for _, _, held in parts.values()):
        raise ValueError("image file is truncated: its tiles hold less than they must")


def _codestream(file: BinaryIO, size: int) -> tuple[int, int]:
    """First byte of the codestream, and the byte after it: in a box of a JP2, or the whole file."""
    file.seek(0)
    if file.read(2) == b"\xff\x4f":
        return 0, size
    at = 0
    for _ in range(SEGMENTS):
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">L4s", head[:8])
        offset = 8
        if length == 1:
            (length,), offset = struct.unpack(">Q", head[8:16]), 16
        elif length == 0:
            length = size - at
        if kind == b"jp2c":
            if at + length > size:
                raise ValueError("image file is truncated inside its codestream")
            return at + offset, at + length
        if length < offset or length > size - at:  # also a length that no file can be sought to
            break
        at += length
    raise ValueError("it holds no codestream")


def exif_tags(exif: bytes, wanted: frozenset[int]) -> dict[int, float]:
    """Single numbers of the first EXIF directory (EXIF 2.32): those of the tags `wanted`; nothing of what is damaged.

    Not Pillow's parser, which copies the bytes of every tag, also of a hundred thousand that claim the same ones."""
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    found: dict[int, float] = {}
    if order is None or len(data) < 10:
        return found
    magic, at = struct.unpack(order + "HL", data[2:8])
    if magic != 42 or at + 2 > len(data):
        return found
    (count,) = struct.unpack_from(order + "H", data, at)
    for start in range(at + 2, min(at + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, start)
        if tag not in wanted or number != 1:
            continue
        if kind in {1, 3, 4}:  # byte, short, long
            found[tag] = struct.unpack_from(order + {1: "B", 3: "H", 4: "L"}[kind], data, start + 8)[0]
        elif kind == 5:  # a fraction, elsewhere
            (where,) = struct.unpack_from(order + "L", data, start + 8)
            if where + 8 <= len(data):
                above, below = struct.unpack_from(order + "LL", data, where)
                if below:
                    found[tag] = above / below
    return found
