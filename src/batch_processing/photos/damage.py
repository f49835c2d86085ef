"""Whether a file ends before its photo does, told without decoding it.

Promises: a whole file is judged by one look at its end, and one question to the file system; more is read only of one
that looks damaged, or holds more than a photo. A file that ends as its format asks, or with something more after its
end, is never called damaged. Does not find what is wrong in the middle of a file that ends well: that takes decoding.
"""

from __future__ import annotations

import mmap
import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from ..io.containers import START_OF_SCAN, Box, Directory, Region, Tiff, box, boxes, chunks, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Damage(StrEnum):
    """What is wrong with a file as a whole. Values stand in the database."""

    CUT = "cut off"  # ends before its photo does
    ZEROS = "tail of zeros"  # its length is right, and its end was never written
    HOLES = "holes"  # a part of it was never written
    # What only decoding tells (`pixels`).
    BROKEN = "broken"  # the compressed picture makes no sense from some place on
    GRAY = "gray tail"  # was lost before, and saved again with gray in its place


# So many zeros do not end a compressed picture: a sector.
ZEROS = 512  # bytes
# What is read of the end of a file in which there is more after the picture.
TAIL = 64 * 1024  # bytes
# Zeros, or few other bytes, that may stand between a picture and what a camera adds.
PADDING = 256  # bytes
JPEG_END = b"\xff\xd9"
PNG_END = bytes.fromhex("0000000049454e44ae426082")
# What a raw file's directory may be wrong by, as a part of the picture: old cameras round up.
TOLERANCE = 64
MOST_STRIPS = 65_536  # that are looked at
MOST_ROWS = 4 * 1024 * 1024  # bytes of the table of lengths in a PSD

_LENGTHS = re.compile(rb"""(?:MicroVideoOffset|Item:Length)(?:=["']|>)(\d{1,12})""")


def damage_of(source: int, format_name: str, *, xmp: bytes = b"") -> Damage | None:
    """What is wrong with the open file `source`, whose content is of that format; None for nothing. `xmp`: its XMP,
    which tells how long the video at the end of a motion photo is."""
    region = Region.of(source)
    check = _CHECKS.get(format_name)
    found = check(region) if check is not None else _jpeg(region, xmp) if format_name in _JPEG else None
    if found is Damage.CUT and format_name in _COMPRESSED and ends_in_zeros(region):
        return Damage.ZEROS
    if found is None and format_name in _COMPRESSED and _has_hole(region, format_name):
        return Damage.HOLES
    return found


def ends_in_zeros(region: Region) -> bool:
    """Whether a sector of zeros, or more, stands at the end."""
    tail = region.read(region.size - ZEROS, ZEROS)
    return len(tail) == ZEROS and not any(tail)


def _holes(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the file system holds nothing for a file: begin and end. None where it cannot tell."""
    offset = 0
    for _ in range(1000):
        try:
            begin = os.lseek(source, offset, os.SEEK_HOLE)
            if begin >= size:
                return
            offset = os.lseek(source, begin, os.SEEK_DATA)
        except OSError:
            if offset and begin < size:
                yield begin, size  # no data after it
            return
        yield begin, offset


def _has_hole(region: Region, format_name: str) -> bool:
    """Whether a part of the compressed picture was never written. `cp --sparse=always` makes holes of the zeros with which
    cameras pad what is before and after it."""
    if not isinstance(region.source, int) or not hasattr(os, "SEEK_HOLE"):
        return False
    try:
        if os.lseek(region.source, 0, os.SEEK_HOLE) >= region.size:
            return False
    except OSError:  # a file system that cannot tell
        return False
    begin, end = _picture(region, format_name)
    return any(first < end and last > begin for first, last in _holes(region.source, region.size))


def _picture(region: Region, format_name: str) -> tuple[int, int]:
    """Where the compressed data lie."""
    if format_name in _JPEG:
        begin, end = _scan(region), region.size
        with _mapped(region) as data:
            end = data.find(JPEG_END, begin) if begin is not None else -1
        return begin or 0, end if end >= 0 else region.size
    if format_name in _ISO:
        data_boxes = [each for each in boxes(region) if each.type in _DATA_BOXES]
        return (data_boxes[0].begin, data_boxes[-1].end) if data_boxes else (0, region.size)
    if format_name == "PNG":
        parts = [each for each in chunks(region) if each.type == b"IDAT"]
        return (parts[0].begin, parts[-1].end) if parts else (0, region.size)
    return 0, region.size


def _mapped(region: Region) -> mmap.mmap:
    assert isinstance(region.source, int)  # noqa: S101 - a file, by all callers
    return mmap.mmap(region.source, region.size, access=mmap.ACCESS_READ)


# JPEG


def _scan(region: Region) -> int | None:
    """Where the compressed data of a JPEG begin; None if the file ends before."""
    return next((each.end for each in segments(region) if each.marker == START_OF_SCAN), None)


def _jpeg(region: Region, xmp: bytes) -> Damage | None:
    last = region.read(region.size - PADDING, PADDING)
    if last.rstrip(b"\0").endswith(JPEG_END) or _ends_before(region, _trailer(region, last, xmp)):
        return None
    begin = _scan(region)
    if begin is None or begin >= region.size:
        return Damage.CUT
    # Zeros and others after the picture are nothing bad. FFD9 stands nowhere in the compressed data (ITU T.81, B.1.1.5).
    if region.read(max(begin, region.size - TAIL), TAIL).find(JPEG_END) >= 0:
        return None
    with _mapped(region) as data:
        return None if data.find(JPEG_END, begin) >= 0 else Damage.CUT


def _ends_before(region: Region, offset: int | None) -> bool:
    """Whether a JPEG ends shortly before `offset`."""
    if offset is None or offset <= 0:
        return False
    begin = max(0, offset - PADDING)
    return JPEG_END in region.read(begin, offset - begin)


def _trailer(region: Region, last: bytes, xmp: bytes) -> int | None:
    """Where begins what a phone has added to a picture; None if nothing is known."""
    if last[-4:] == b"SEFT":  # Samsung: https://exiftool.org/TagNames/Samsung.html#Trailer
        length = int.from_bytes(last[-8:-4], "little")
        table = region.read(region.size - 8 - length, min(length, TAIL))
        if table[:4] != b"SEFH":
            return None
        blocks = min(int.from_bytes(table[8:12], "little"), 1000)
        back = [int.from_bytes(table[12 + 12 * n + 4 : 12 + 12 * n + 8], "little") for n in range(blocks)]
        return region.size - 8 - length - max(back, default=0)
    lengths = [int(each) for each in _LENGTHS.findall(xmp)]
    return region.size - sum(lengths) if lengths else None


def mpo_damage(source: int, images: list[tuple[int, int]]) -> Damage | None:
    """Whether one of the further images of an MPO (offset and length) goes beyond the end of its file, or was never
    written to its end. One that begins beyond it says more of the index, which some programs do not bring up to date."""
    region = Region.of(source)
    for offset, length in images:
        if offset < region.size < offset + length:
            return Damage.CUT
        image = region.part(offset, length)
        if ends_in_zeros(image) and JPEG_END not in image.read(max(0, image.size - TAIL), TAIL):
            return Damage.ZEROS
    return None


# Others by their structure


def _png(region: Region) -> Damage | None:
    if region.read(region.size - len(PNG_END), len(PNG_END)) == PNG_END:
        return None
    for chunk in chunks(region):
        if chunk.type == b"IEND":
            return None if chunk.end + 4 <= region.size else Damage.CUT
    return Damage.CUT


def _gif(region: Region) -> Damage | None:
    if region.read(region.size - PADDING, PADDING).rstrip(b"\0").endswith(b";"):
        return None
    with _mapped(region) as data:  # it may hold something after its end
        return None if _gif_end(data) else Damage.CUT


def _gif_end(data: mmap.mmap) -> bool:
    """Whether the blocks of a GIF lead to its trailer. Each step goes on by a byte at least."""
    size = len(data)

    def table(at: int) -> int:
        return 3 << ((data[at] & 7) + 1) if at < size and data[at] & 0x80 else 0

    def past_blocks(at: int) -> int:
        while at < size and data[at]:
            at += 1 + data[at]
        return at + 1

    at = 13 + table(10)
    while at < size:
        if data[at] == 0x3B:
            return True
        if data[at] == 0x21:
            at = past_blocks(at + 2)
        elif data[at] == 0x2C:
            at = past_blocks(at + 10 + table(at + 9) + 1)
        else:
            return data[at] != 0 and data.find(b";", at) >= 0  # no block: decoders look for the next
    return False


def _riff(region: Region) -> Damage | None:
    length = region.number(4, 4, "<")
    if length + 8 > region.size:
        return Damage.CUT
    return Damage.ZEROS if ends_in_zeros(region.part(0, length + 8)) else None


def _bmp(region: Region) -> Damage | None:
    """Only of what is not compressed: sizes in the header are wrong in many."""
    head = region.read(0, 54)
    if len(head) < 34:
        return Damage.CUT
    begin, kind = int.from_bytes(head[10:14], "little"), int.from_bytes(head[14:18], "little")
    if kind < 40:
        return Damage.CUT if begin >= region.size else None
    width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
    bits, packing = int.from_bytes(head[28:30], "little"), int.from_bytes(head[30:34], "little")
    length = (abs(width) * bits + 31) // 32 * 4 * abs(height) if packing in (0, 3, 6) else 1
    return Damage.CUT if begin + length > region.size else None


def _walk(region: Region) -> tuple[Box | None, set[bytes]]:
    """The last box of a file, if all are whole, and the types of all."""
    last, names = None, set()
    for last in boxes(region):
        names.add(last.type)
    return last if last is not None and last.whole else None, names


def _iso(region: Region) -> Damage | None:
    last, names = _walk(region)
    if last is None or names == {b"ftyp"}:  # it says what it is, and nothing else
        return Damage.CUT
    if b"meta" in names and b"mdat" not in names and not _has_inner_data(region):
        return Damage.ZEROS if ends_in_zeros(region) else Damage.CUT
    return Damage.ZEROS if last.type in _DATA_BOXES and ends_in_zeros(region.part(0, last.end)) else None


def _has_inner_data(region: Region) -> bool:
    """Whether the picture lies inside of the box that describes it (ISO 23008-12: `idat`), as small ones may."""
    meta = box(region, b"meta")
    return meta is not None and any(each.type == b"idat" for each in boxes(region, meta.begin + 4, meta.end))


def _movie(region: Region) -> Damage | None:
    """Videos: without their index nothing of them can be played."""
    last, names = _walk(region)
    return None if last is not None and b"moov" in names else Damage.CUT


def _j2k(region: Region) -> Damage | None:
    if region.read(4, 4) == b"jP  ":
        return _iso(region)
    return None if JPEG_END in region.read(region.size - PADDING, PADDING) else Damage.CUT


def _jxl(region: Region) -> Damage | None:
    return _iso(region) if region.read(4, 4) == b"JXL " else None


def _psd(region: Region) -> Damage | None:
    """https://www.adobe.com/devnet-apps/photoshop/fileformatashtml: three sections with their lengths, and the picture."""
    wide = 8 if region.read(4, 2) == b"\0\2" else 4
    channels, height, width, depth = (
        region.number(at, length) for at, length in ((12, 2), (14, 4), (18, 4), (22, 2))
    )
    offset = 26
    for length in (4, 4, wide):
        offset += length + region.number(offset, length)
    if offset + 2 > region.size:
        return Damage.CUT
    packing = region.number(offset, 2)
    rows = height * channels
    size = (width * depth + 7) // 8 * rows if packing == 0 else 0
    if packing == 1:
        entry = wide // 2
        table = region.read(offset + 2, min(rows * entry, MOST_ROWS))
        size = rows * entry + sum(
            int.from_bytes(table[at : at + entry], "big") for at in range(0, len(table), entry)
        )
    return Damage.CUT if offset + 2 + size > region.size else None


# TIFF and raw files

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, ROWS, PLANAR = 0x100, 0x101, 0x102, 0x103, 0x115, 0x116, 0x11C
# Offsets and lengths of the strips, of the tiles, and of a preview.
PARTS = ((0x111, 0x117), (0x144, 0x145), (0x201, 0x202))
PANASONIC_RAW = 0x118
# Compressions whose data do not end in zeros: LZW, JPEG (which a camera may pad), Deflate.
PACKED = (5, 6, 7, 8, 32946)
NOWHERE = 0xFFFFFFFF


def tiff_damage(tiff: Tiff) -> Damage | None:
    """Whether strips or tiles lie beyond the end of the file."""
    directories = tiff.all()
    if not directories:
        return Damage.CUT if tiff.first >= tiff.region.size else None
    size = tiff.region.size
    for entries in directories:
        starts = tiff.numbers(entries, PANASONIC_RAW) if PANASONIC_RAW in entries else []
        if any(size <= start < NOWHERE for start in starts):
            return Damage.CUT
        for offsets, lengths in PARTS:
            if _ends_outside(tiff, entries, offsets, lengths) and not starts:
                return Damage.CUT
            if _ends_unwritten(tiff, entries, offsets, lengths):
                return Damage.ZEROS
    return None


def _ends_unwritten(tiff: Tiff, entries: Directory, offsets: int, lengths: int) -> bool:
    """Whether the last strip or tile is compressed, and its end was never written."""
    if tiff.number(entries, COMPRESSION) not in PACKED:
        return False
    starts, counts = tiff.numbers(entries, offsets)[-1:], tiff.numbers(entries, lengths)[-1:]
    for start, count in zip(starts, counts, strict=False):
        part = tiff.region.part(start, count)
        if ends_in_zeros(part) and JPEG_END not in part.read(max(0, part.size - TAIL), TAIL):
            return True
    return False


def _ends_outside(tiff: Tiff, entries: Directory, offsets: int, lengths: int) -> bool:
    size = tiff.region.size
    starts = tiff.numbers(entries, offsets)[:MOST_STRIPS]
    if offsets in entries and not starts:
        return entries[offsets].offset >= size  # the list itself lies outside
    counts = tiff.numbers(entries, lengths)[:MOST_STRIPS]
    if len(counts) < len(starts):
        return any(size <= start < NOWHERE for start in starts)
    counts = _needed(tiff, entries, counts) if offsets == PARTS[0][0] else counts
    slack = sum(counts) // TOLERANCE
    return any(
        start < NOWHERE and count and start + count > size + slack
        for start, count in zip(starts, counts, strict=False)
    )


def _needed(tiff: Tiff, entries: Directory, counts: list[int]) -> list[int]:
    """What the last strip must hold: some programs give it the length of a whole one, though fewer rows are left."""
    width, height, rows = (tiff.number(entries, tag) or 0 for tag in (WIDTH, HEIGHT, ROWS))
    bits, samples = tiff.number(entries, BITS) or 1, tiff.number(entries, SAMPLES) or 1
    if (
        tiff.number(entries, COMPRESSION) != 1
        or tiff.number(entries, PLANAR) == 2
        or not rows
        or len(counts) < 2
    ):
        return counts
    left = height - rows * (len(counts) - 1)
    return [*counts[:-1], min(counts[-1], max(0, left) * ((width * bits * samples + 7) // 8))]


def _tiff(region: Region) -> Damage | None:
    tiff = Tiff(region)
    # Raw files may have anything there; pages of a TIFF follow each other.
    return tiff_damage(tiff) or (Damage.CUT if tiff.leads_outside else None)


def _raf(region: Region) -> Damage | None:
    """Fujifilm: offsets and lengths of the preview and of the raw data stand in the header."""
    parts = [(region.number(at, 4), region.number(at + 4, 4)) for at in (84, 92, 100)]
    return Damage.CUT if any(begin + length > region.size for begin, length in parts) else None


_JPEG = ("JPEG", "MPO")
_ISO = ("HEIF", "AVIF", "CR3", "JXL")
_DATA_BOXES = (b"mdat", b"jp2c", b"jxlc", b"jxlp")
_TIFFS = (
    "TIFF",
    "DNG",
    "CR2",
    "NEF",
    "NRW",
    "ARW",
    "SR2",
    "PEF",
    "SRW",
    "3FR",
    "IIQ",
    "RWL",
    "GPR",
    "ORF",
    "RW2",
)
# Formats in whose data no run of zeros as long as a block of a disk stands.
_COMPRESSED = frozenset([*_JPEG, *_ISO, "PNG", "WEBP", "GIF"])
_CHECKS: dict[str, Callable[[Region], Damage | None]] = {
    "PNG": _png, "GIF": _gif, "WEBP": _riff, "AVI": _riff, "BMP": _bmp, "JPEG2000": _j2k, "JXL": _jxl,
    "PSD": _psd, "PSB": _psd, "RAF": _raf, "MOV": _movie, "MP4": _movie, "3GP": _movie,
    **dict.fromkeys(_ISO[:-1], _iso), **dict.fromkeys(_TIFFS, _tiff),
}  # fmt: skip
