"""The containers that photos and videos come in: TIFF directories, ISO boxes, segments of a JPEG, chunks of a PNG.

Promises: never raises for what a file says; nothing outside of the file or of its part is read; no number from a file is
believed: directories, entries, boxes and values each have a bound, and loops end. What is beyond a bound is as if it
were not there. Does not understand what the values mean.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# One value of a directory; the longest that is asked for is a maker's note.
MOST_VALUE = 1024 * 1024  # bytes
MOST_ENTRIES = 4096  # of one TIFF directory
MOST_DIRECTORIES = 64  # of one TIFF file; and directories below one
MOST_BOXES = 20_000  # that are passed in one run
MOST_SEGMENTS = 4096
MOST_CHUNKS = 1_000_000

# TIFF 6.0 and BigTIFF: size in bytes and format of each type.
TYPES: Mapping[int, tuple[int, str]] = {
    1: (1, "B"), 2: (1, "s"), 3: (2, "H"), 4: (4, "I"), 5: (8, "II"), 6: (1, "b"), 7: (1, "s"), 8: (2, "h"),
    9: (4, "i"), 10: (8, "ii"), 11: (4, "f"), 12: (8, "d"), 13: (4, "I"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q"),
}  # fmt: skip
ASCII, UNDEFINED, RATIONALS = 2, 7, (5, 10)
SUB_DIRECTORIES = 0x014A

Value = str | bytes | tuple[float, ...]


@dataclass(frozen=True)
class Region:
    """A part of a file (or of bytes): `size` bytes from `start`."""

    source: int | bytes  # a descriptor
    start: int
    size: int

    @classmethod
    def of(cls, source: int | bytes) -> Region:
        size = len(source) if isinstance(source, bytes) else os.fstat(source).st_size
        return cls(source, 0, size)

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer at the end of the region."""
        length = min(length, self.size - offset)
        if offset < 0 or length <= 0:
            return b""
        begin = self.start + offset
        if isinstance(self.source, bytes):
            return self.source[begin : begin + length]
        return os.pread(self.source, length, begin)

    def part(self, offset: int, size: int) -> Region:
        """A region inside of this one."""
        offset = min(max(offset, 0), self.size)
        return Region(self.source, self.start + offset, max(0, min(size, self.size - offset)))

    def number(self, offset: int, length: int, order: str = ">") -> int:
        """An unsigned number; 0 where there is none."""
        data = self.read(offset, length)
        return int.from_bytes(data, "big" if order == ">" else "little") if len(data) == length else 0


@dataclass(frozen=True)
class Entry:
    """One entry of a TIFF directory: where its value stands."""

    type: int
    count: int
    offset: int


Directory = dict[int, Entry]


class Tiff:
    """The directories of a TIFF file, of a raw file that is one under another magic, or of a block of EXIF."""

    def __init__(self, region: Region, first: int | None = None) -> None:
        """`first`: where the first directory stands, if not where the header says."""
        self.region = region
        head = region.read(0, 16)
        self.order = ">" if head[:2] == b"MM" else "<"
        self.is_big = head[2:4] in (b"+\0", b"\0+")  # BigTIFF
        self.first = (
            first if first is not None else region.number(*((8, 8) if self.is_big else (4, 4)), self.order)
        )

    def directory(self, offset: int) -> tuple[Directory, int]:
        """The entries of the directory at `offset`, and where the next one stands; 0 for none."""
        wide = 8 if self.is_big else 2
        count = min(self.region.number(offset, wide, self.order), MOST_ENTRIES)
        size, form = (20, "HHQ") if self.is_big else (12, "HHI")
        if offset <= 0 or not count:
            return {}, 0
        data = self.region.read(offset + wide, count * size)
        found: Directory = {}
        for number in range(len(data) // size):
            tag, kind, length = struct.unpack_from(self.order + form, data, number * size)
            if kind not in TYPES:
                continue
            inline = offset + wide + number * size + (12 if self.is_big else 8)
            room = 8 if self.is_big else 4
            where = inline
            if length * TYPES[kind][0] > room:
                where = self.region.number(inline, room, self.order)
            found.setdefault(tag, Entry(kind, length, where))
        return found, self.region.number(offset + wide + count * size, 8 if self.is_big else 4, self.order)

    def chain(self) -> list[Directory]:
        """All directories that follow each other from the first."""
        found: list[Directory] = []
        seen: set[int] = set()
        offset = self.first
        while offset and offset not in seen and len(found) < MOST_DIRECTORIES:
            seen.add(offset)
            entries, offset = self.directory(offset)
            if entries:
                found.append(entries)
        return found

    @property
    def leads_outside(self) -> bool:
        """Whether the directory after the last one would stand beyond the end of the file."""
        seen: set[int] = set()
        offset = self.first
        while offset and offset < self.region.size and offset not in seen and len(seen) < MOST_DIRECTORIES:
            seen.add(offset)
            _, offset = self.directory(offset)
        return offset >= self.region.size

    def all(self) -> list[Directory]:
        """The directories of the chain, and those below them (SubIFDs)."""
        found = self.chain()
        below = [offset for entries in found for offset in self.numbers(entries, SUB_DIRECTORIES)]
        return found + [
            entries for offset in below[:MOST_DIRECTORIES] if (entries := self.directory(offset)[0])
        ]

    def numbers(self, entries: Directory, tag: int) -> list[int]:
        """The whole numbers of a value; none if it holds others."""
        value = self.value(entries, tag)
        return [int(number) for number in value if number == number // 1] if isinstance(value, tuple) else []

    def number(self, entries: Directory, tag: int) -> int | None:
        """The first whole number of a value."""
        return next(iter(self.numbers(entries, tag)), None)

    def value(self, entries: Directory, tag: int) -> Value | None:
        """Text of type ASCII, bytes of type UNDEFINED, else numbers. None if it is not there or not whole."""
        entry = entries.get(tag)
        if entry is None:
            return None
        size, form = TYPES[entry.type]
        count = min(entry.count, MOST_VALUE // size)
        data = self.region.read(entry.offset, count * size)
        if entry.type == ASCII:
            return data.decode("latin-1").partition("\0")[0]
        if entry.type == UNDEFINED:
            return data
        count = len(data) // size
        numbers = struct.unpack_from(f"{self.order}{count * len(form)}{form[0]}", data)
        if entry.type in RATIONALS:
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            return tuple(above / below if below else float("nan") for above, below in pairs)
        return numbers

    def tags(self, entries: Directory) -> dict[int, Value | int]:
        """All values that are at most a maker's note long; a single number as such."""
        found: dict[int, Value | int] = {}
        for tag, entry in entries.items():
            value = self.value(entries, tag) if entry.count * TYPES[entry.type][0] <= MOST_VALUE else None
            if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], int):
                found[tag] = value[0]
            elif value is not None:
                found[tag] = value
        return found


@dataclass(frozen=True)
class Box:
    """A box of ISO 14496-12 (atom of QuickTime): its type, and where its content begins and ends."""

    type: bytes
    begin: int
    end: int
    whole: bool  # lies inside of the region


def boxes(region: Region, begin: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that follow each other in the region; ends with the first that is not whole or no box."""
    end = region.size if end is None else min(end, region.size)
    for _ in range(MOST_BOXES):
        if begin >= end:
            return
        head = region.read(begin, 16)[: end - begin]
        size, name, content = int.from_bytes(head[:4], "big"), head[4:8], begin + 8
        if not any(head[:8]):
            return  # padding
        if size == 1:
            size, content = int.from_bytes(head[8:16], "big"), begin + 16
        elif size == 0 and len(head) >= 8:
            size = end - begin  # to the end
        whole = len(head) >= content - begin and content - begin <= size <= end - begin
        yield Box(name, content, begin + size if whole else end, whole)
        if not whole:
            return
        begin += size


def box(region: Region, *path: bytes, begin: int = 0, end: int | None = None) -> Box | None:
    """The first box at `path`, each name inside of the one before."""
    found = None
    for name in path:
        found = next((each for each in boxes(region, begin, end) if each.type == name), None)
        if found is None:
            return None
        begin, end = found.begin, found.end
    return found


@dataclass(frozen=True)
class Segment:
    """A segment of a JPEG's header: its marker, and where its content begins and ends."""

    marker: int
    begin: int
    end: int


START_OF_SCAN, APP1 = 0xDA, 0xE1


def segments(region: Region) -> Iterator[Segment]:
    """The segments of a JPEG up to its first scan, which is the last that is given."""
    offset = 2
    for _ in range(MOST_SEGMENTS):
        head = region.read(offset, 4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        if head[1] == 0xFF:  # a fill byte
            offset += 1
            continue
        if head[1] == 1 or 0xD0 <= head[1] <= 0xD8:  # stands alone
            offset += 2
            continue
        length = int.from_bytes(head[2:4], "big")
        yield Segment(head[1], offset + 4, offset + 2 + max(2, length))
        if head[1] == START_OF_SCAN:
            return
        offset += 2 + max(2, length)


def jpeg_exif(region: Region) -> Region | None:
    """The block of EXIF in a JPEG."""
    for segment in segments(region):
        if segment.marker == APP1 and region.read(segment.begin, 6) == b"Exif\0\0":
            return region.part(segment.begin + 6, segment.end - segment.begin - 6)
    return None


@dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG: its type, and where its content begins and ends (before the checksum)."""

    type: bytes
    begin: int
    end: int


def chunks(region: Region) -> Iterator[Chunk]:
    """The chunks of a PNG; ends with the first that is none. The last may not be whole."""
    offset = 8
    for _ in range(MOST_CHUNKS):
        head = region.read(offset, 8)
        if len(head) < 8 or not head[4:].isalpha():
            return
        length = int.from_bytes(head[:4], "big")
        yield Chunk(head[4:], offset + 8, offset + 8 + length)
        offset += 12 + length
