"""What an image file may hold before its pixels: looked at before any library parses it.

Promises that what passes costs a parser time and memory linear in the file: so many segments, tags and comments
and no more, no tag that claims bytes which others claim too (a TIFF of 4 MB can ask for terabytes that way), and no
metadata that is larger than any camera or program writes. And that a JPEG 2000 file, whose decoder fills
what is missing with gray, has all the tiles, and the bytes in them, that its header claims.

Refuses with a ValueError that says what is out of bounds. Does not look at pixels.

Formats: Adobe Photoshop File Formats, ITU-T T.81 (JPEG), PNG third edition, TIFF 6.0 and BigTIFF, GIF89a, RFC 9649 (WebP), ITU-T T.800
(JPEG 2000), ISO/IEC 14496-12 and 23008-12 (AVIF and HEIF).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from ..messages import Message
from .containers import Box, Region, boxes

__all__ = ["check", "exif_tags"]

SEGMENTS: Final = 10_000
"""Metadata segments, chunks, tags or comments of one file: real ones have some tens, profiles some hundreds."""
METADATA: Final = 64 << 20
"""Bytes of all metadata: Photoshop leaves some tens of megabytes in files with a long history."""
EXIF: Final = 128 << 10
"""Bytes of EXIF in a JPEG: one segment, all that the standard allows, has 64 KB. Cameras that write HEIF or AVIF put
the same block there, and Pillow copies what each tag claims as it opens an AVIF."""
PADDING: Final = 64 << 10
"""Bytes between JPEG segments that belong to none."""
CHUNKS: Final = 1 << 18
"""Chunks of a PNG: a picture of 2 GB in pieces of 8 KB, as some programs write it."""
DIRECTORIES: Final = 64
"""Directories of a TIFF page: EXIF, GPS, reduced pictures."""
FAR: Final = 1 << 44
"""Bytes of the largest file on common disks (ext4): where a TIFF claims a directory behind that, libraries fail as they
look for it. One that is only behind the end is that of a file which was cut off: its first page may be whole."""
PSD_SIDE: Final = 300_000
"""Pixels of a side of a PSB, the larger kind."""
NESTING: Final = 16
"""Boxes of an AVIF or HEIF in each other: a picture needs four, an image sequence eight."""


def check(file: BinaryIO, kind: str) -> None:
    """ValueError when the headers of a file of that format are out of bounds. Leaves the file at its beginning."""
    checks: dict[str, Callable[[BinaryIO], None]] = {
        "JPEG": _jpeg,
        "PNG": _png,
        "TIFF": _tiff,
        "GIF": _gif,
        "WEBP": _webp,
        "JPEG2000": _jpeg2000,
        "AVIF": _iso,
        "HEIF": _iso,
        "PSD": _psd,
    }
    file.seek(0)
    if kind in checks:
        try:
            checks[kind](file)
        except (struct.error, IndexError) as fault:
            # The decoder of JPEG 2000 makes up what is missing, and what is behind the fault in an AVIF or HEIF has not
            # been looked at. The others say so in better words.
            if kind in {"JPEG2000", "AVIF", "HEIF", "PSD"}:
                raise ValueError(Message("image file is truncated within its headers")) from fault
        finally:
            file.seek(0)


def _jpeg(file: BinaryIO) -> None:
    file.seek(2)
    padding = segments = exif = metadata = 0
    while byte := file.read(1):
        if byte != b"\xff" or (code := file.read(1)) in {b"\xff", b"\0", b""}:
            padding += 1
            if padding > PADDING:
                raise ValueError(
                    Message("more than {most} bytes between its segments belong to none", most=PADDING)
                )
            if byte == b"\xff" and code == b"\xff":
                file.seek(-1, io.SEEK_CUR)  # fill bytes: the second may begin a marker
            continue
        if code == b"\xda":  # the first scan: pixels from here on
            return
        segments += 1
        if segments > SEGMENTS:
            raise ValueError(Message("it has more than {most} segments", most=SEGMENTS))
        if code == b"\x01" or b"\xd0" <= code <= b"\xd9":  # these stand alone
            continue
        (length,) = struct.unpack(">H", file.read(2))
        head = file.read(6) if code == b"\xe1" and length >= 8 else b""
        file.seek(max(0, length - 2 - len(head)), io.SEEK_CUR)
        exif += length if head == b"Exif\0\0" else 0
        metadata += length
        if exif > EXIF:
            raise ValueError(Message("it has more than {most} bytes of EXIF", most=EXIF))
        if metadata > METADATA:
            raise ValueError(Message("it has more than {most} bytes of metadata", most=METADATA))


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
            raise ValueError(Message("it has too many chunks"))
        if metadata > METADATA:
            raise ValueError(Message("it has more than {most} bytes of metadata", most=METADATA))
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
        if at >= FAR or not (seen or 0 < at < size):
            raise ValueError(Message("a directory of it lies outside of the file"))
        if at in seen or not 0 < at < size:
            continue
        seen.add(at)
        file.seek(at)
        head = file.read(struct.calcsize("=" + count_as))
        if len(head) < struct.calcsize("=" + count_as):  # this one is cut off; others may wait
            continue
        (count,) = struct.unpack(order + count_as, head)
        tags += count
        if tags > SEGMENTS or len(seen) > DIRECTORIES:
            raise ValueError(
                Message(
                    "it has more than {most} tags, or {directories} directories",
                    most=SEGMENTS,
                    directories=DIRECTORIES,
                )
            )
        width = struct.calcsize("=" + entry_as + value_as)
        directory = file.read(count * width)
        for start in range(0, len(directory) - width + 1, width):
            tag, kind, number, value = struct.unpack_from(order + entry_as + value_as, directory, start)
            inline = struct.calcsize("=" + value_as)
            length = number * _SIZES.get(kind, 1)
            claimed += length if length > inline else 0
            if claimed > size + METADATA // SEGMENTS:  # programs may let two short values share a place
                raise ValueError(Message("its tags claim more bytes than it has"))
            if tag in _DIRECTORY_TAGS and number == 1:
                waiting.append(value)
        if (following := _number(order + value_as, file)) >= FAR:
            waiting.append(following)


def _number(layout: str, file: BinaryIO) -> int:
    """The number at which `file` stands; 0 where it ends before."""
    read = file.read(struct.calcsize("=" + layout[1:]))
    return int(struct.unpack(layout, read)[0]) if len(read) == struct.calcsize("=" + layout[1:]) else 0


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
                raise ValueError(Message("it has more comments than any program writes"))


def _psd(file: BinaryIO) -> None:
    """Its sections lie in the file, and layers and channels are counted."""
    size = file.seek(0, os.SEEK_END)
    file.seek(4)
    version, channels, height, width, depth = struct.unpack(">H6xHLLH", file.read(20))
    if version not in {1, 2} or not 1 <= channels <= 56 or depth not in {1, 8, 16, 32}:
        raise ValueError(Message("its header is wrong"))
    if not 0 < max(height, width) <= PSD_SIDE:
        raise ValueError(Message("a side of it has more than {most} pixels", most=PSD_SIDE))
    at = 26
    for most in (METADATA, METADATA):  # colours of its mode, image resources
        file.seek(at)
        (length,) = struct.unpack(">L", file.read(4))
        if length > most:
            raise ValueError(Message("it has more than {most} bytes of metadata", most=most))
        at += 4 + length
    file.seek(at)
    wide = 8 if version == 2 else 4
    length = int.from_bytes(file.read(wide), "big")
    if at + wide + length + 2 > size:
        raise ValueError(Message("image file is truncated inside its layers"))
    _psd_layers(file, wide, at + 2 * wide + length if length >= wide + 2 else 0)
    file.seek(at + wide + length)
    (packing,) = struct.unpack(">H", file.read(2))
    rows, left = height * channels, size - file.tell()
    needed = rows * ((width * depth + 7) // 8) if packing == 0 else 0
    if packing == 1:  # each row packed, and before all of them how long each is
        table = file.read(min(rows * version * 2, left))
        needed = len(table) + sum(struct.unpack(f">{len(table) // (version * 2)}{'HL'[version - 1]}", table))
        needed = max(needed, rows * version * 2)
    if left < needed:
        raise ValueError(Message("image file is truncated: rows of its picture are missing"))


def _psd_layers(file: BinaryIO, wide: int, end: int) -> None:
    """Layers and channels are counted, up to the `end` of their section (0: there are none)."""
    if not end or int.from_bytes(file.read(wide), "big") < 2:
        return
    count = abs(struct.unpack(">h", file.read(2))[0])
    if count > SEGMENTS:
        raise ValueError(Message("it has more than {most} layers", most=SEGMENTS))
    for _ in range(count):
        (parts,) = struct.unpack(">16xH", file.read(18))
        if parts > 56:
            raise ValueError(Message("a layer of it has more than 56 channels"))
        file.seek(parts * (2 + wide) + 12, io.SEEK_CUR)
        (extra,) = struct.unpack(">L", file.read(4))
        file.seek(extra, io.SEEK_CUR)
        if file.tell() > end:
            raise ValueError(Message("image file is truncated inside its layers"))


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
                raise ValueError(Message("its header gives it no tiles"))
        elif marker == 0xFF52:  # COD: layers, and one resolution more than levels
            packets *= struct.unpack(">H", body[2:4])[0] * (body[5] + 1)
        elif marker == 0xFF60:  # PPM: the packets' headers stand elsewhere, and some packets have no byte
            packets = 0
        elif marker == 0xFF90:  # SOT: a tile's part
            tile, long, _number, promised = struct.unpack(">HLBB", body[:8])
            long = long or end - at
            if at + long > end:
                raise ValueError(Message("image file is truncated: a tile of it is cut off"))
            known = parts.setdefault(tile, [0, 0, 0])
            known[0] += 1
            known[1] = max(known[1], promised)
            known[2] += long - 14  # without SOT and SOD
            at += max(long, 14)
            continue
        at += 2 + length
    if len(parts) < tiles or any(seen < promised for seen, promised, _ in parts.values()):
        raise ValueError(Message("image file is truncated: tiles of it are missing"))
    # An empty packet still has a byte. A tile may have settings of its own; then it has a header for them.
    if any(held < packets for _, _, held in parts.values()):
        raise ValueError(Message("image file is truncated: its tiles hold less than they must"))


def _codestream(file: BinaryIO, size: int) -> tuple[int, int]:
    """First byte of the codestream, and the byte after it: in a box of a JP2, or the whole file."""
    file.seek(0)
    if file.read(2) == b"\xff\x4f":
        return 0, size
    metadata = 0
    for count, each in enumerate(boxes(Region.of(file.fileno()))):
        if each.type == b"jp2c":
            if not each.whole:
                raise ValueError(Message("image file is truncated inside its codestream"))
            return each.begin, each.end
        metadata += each.end - each.begin
        if count >= SEGMENTS or metadata > METADATA:
            raise ValueError(
                Message(
                    "it has more than {most} boxes, or {bytes} bytes of metadata",
                    most=SEGMENTS,
                    bytes=METADATA,
                )
            )
    raise ValueError(Message("it holds no codestream"))


def _webp(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    at, chunks, metadata = 12, 0, 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sL", file.read(8))
        chunks += 1
        metadata += length if kind not in _WEBP_PICTURES else 0
        if chunks > CHUNKS or metadata > METADATA:
            raise ValueError(
                Message(
                    "it has more than {most} chunks, or {bytes} bytes of metadata",
                    most=CHUNKS,
                    bytes=METADATA,
                )
            )
        at += 8 + length + length % 2


_WEBP_PICTURES = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}

# Boxes that hold boxes, and the bytes of their own before these (ISO/IEC 14496-12 and 23008-12). An item list
# has two bytes more since its version 1.
_OUTER = {b"meta": 4, b"iinf": 6, b"iref": 4, b"dinf": 0, b"dref": 8, b"grpl": 0, b"stsd": 8} | dict.fromkeys(
    [b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"tref"], 0
)
# What items are that have pixels. Any other is metadata: EXIF, XMP and whatever else somebody puts there.
_PICTURES = frozenset(
    [
        b"av01",
        b"hvc1",
        b"lhv1",
        b"avc1",
        b"vvc1",
        b"evc1",
        b"jpeg",
        b"j2k1",
        b"unci",
        b"grid",
        b"iovl",
        b"iden",
        b"tmap",
    ]
)


def _iso(file: BinaryIO) -> None:
    """Boxes and items are counted, and the bytes of all that is no picture."""
    region = Region.of(file.fileno())
    count = metadata = 0
    types: dict[int, bytes] = {}
    lists: list[Box] = []
    waiting = [(0, region.size, 0)]
    while waiting:
        begin, end, depth = waiting.pop()
        for each in boxes(region, begin, end):
            count += 1
            if count > SEGMENTS or depth >= NESTING:
                raise ValueError(
                    Message(
                        "it has more than {most} boxes, or more than {levels} in each other",
                        most=SEGMENTS,
                        levels=NESTING,
                    )
                )
            if each.type in _OUTER:
                own = _OUTER[each.type]
                if each.type == b"iinf" and region.number(each.begin, 1):
                    own = 8
                metadata += own
                waiting.append((each.begin + own, each.end, depth + 1))
            elif depth and each.type != b"idat":  # on the outermost level stand pixels, movies, padding
                metadata += each.end - each.begin
            if each.type == b"infe":
                number, kind = _item(region, each)
                # An item that is told of twice is a picture only where both say so.
                types[number] = kind if types.get(number, kind) == kind else b""
            elif each.type == b"iloc":
                lists.append(each)
            if metadata > METADATA:
                raise ValueError(Message("it has more than {most} bytes of metadata", most=METADATA))
    exif = 0
    for number, length in (item for each in lists for item in _places(region, each)):
        kind = types.get(number, b"")
        metadata += length if kind not in _PICTURES else 0
        exif += length if kind == b"Exif" else 0
        if exif > EXIF:
            raise ValueError(Message("it has more than {most} bytes of EXIF", most=EXIF))
        if metadata > METADATA:
            raise ValueError(Message("it has more than {most} bytes of metadata", most=METADATA))


def _item(region: Region, infe: Box) -> tuple[int, bytes]:
    """Number and type of an item (`infe`, since its version 2)."""
    wide = 4 if region.number(infe.begin, 1) >= 3 else 2
    return region.number(infe.begin + 4, wide), region.read(infe.begin + 6 + wide, 4)


def _places(region: Region, iloc: Box) -> Iterator[tuple[int, int]]:
    """Number of an item and length of a piece of it, for each piece that an `iloc` tells of."""
    version = region.number(iloc.begin, 1)
    sizes = region.number(iloc.begin + 4, 2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    if version not in {1, 2}:
        index = 0
    wide = 4 if version == 2 else 2
    items = region.number(iloc.begin + 6, wide)
    each = index + offset + length
    at, pieces = iloc.begin + 6 + wide, 0
    own = wide + (2 if version in {1, 2} else 0) + 2 + base  # before the number of its pieces
    for _ in range(items):
        number = region.number(at, wide)
        count = region.number(at + own, 2)
        at += own + 2
        pieces += max(count, 1)
        if pieces > SEGMENTS:
            raise ValueError(Message("its items are in more than {most} pieces", most=SEGMENTS))
        if at + count * each > iloc.end:
            raise ValueError(Message("image file is truncated: its list of items is cut off"))
        for _ in range(count):
            # A piece without a length is the whole file.
            yield number, region.number(at + index + offset, length) or region.size
            at += each


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
