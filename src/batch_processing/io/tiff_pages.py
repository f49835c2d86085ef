"""The pages of a TIFF that holds several, each as a file of its own, without decoding or changing a pixel.

Promises: what is copied is bounded by the file's own size; the same file gives the same pages, byte for byte. Reduced
copies and masks of a page are no pages. Refuses, with a ValueError, a file whose pages claim more than it
has. Keeps no directories below a page's (EXIF, GPS); resolution, orientation and profile stand in the page's own.
Format: TIFF 6.0, and BigTIFF as libtiff has it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ..messages import Message
from ..reading import open_regular
from .containers import TYPES, Directory, Region, Tiff

__all__ = ["MOST_PAGES", "TiffPages"]

MOST_PAGES: Final = 10_000
"""Pages of one file: as many as an archive may have members."""

_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_JPEG, _JPEG_SIZE = 513, 514  # a whole JPEG, as TIFF 6.0 had it first
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_REDUCED_OR_MASK = 1 | 4
_DATA = {_STRIPS: _STRIP_SIZES, _TILES: _TILE_SIZES, _JPEG: _JPEG_SIZE}
# Directories below the page's, and free space: what they point at stays behind.
_LEFT_BEHIND = frozenset([288, 289, 330, 34665, 34853, 40965])
_ROOM: Final = 1 << 20  # bytes that pages may share beyond the file's size, such as tables and profiles
_MOST_TAGS: Final = 400_000  # of all pages: a page has twenty
_CHUNK: Final = 1 << 20
_CLASSIC_LIMIT: Final = 1 << 32


@dataclass(frozen=True)
class TiffPages:
    """The pages of a TIFF: where their directories stand. `whole` is False where a further one is damaged."""

    path: Path
    offsets: tuple[int, ...]
    whole: bool

    @classmethod
    def of(cls, path: Path) -> TiffPages:
        """Reads directories alone. OSError when the file cannot be read."""
        with open_regular(path) as file:
            region = Region.of(file.fileno())
            if region.read(0, 4) not in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
                return cls(path, (), whole=True)
            tiff = Tiff(region)
            offsets: list[int] = []
            seen: set[int] = set()
            tags, at = 0, tiff.first
            while at and at not in seen and len(seen) < MOST_PAGES:
                seen.add(at)
                entries, following = tiff.directory(at)
                tags += len(entries)
                if not entries or tags > _MOST_TAGS:
                    break
                if not offsets or not _is_beside(tiff, entries):
                    offsets.append(at)
                at = following
            return cls(path, tuple(offsets), whole=not at)

    def size(self) -> int:
        """Bytes that all pages take together, to a few. ValueError when they claim more than the file has."""
        with open_regular(self.path) as file:
            tiff = Tiff(Region.of(file.fileno()))
            most, size = 2 * tiff.region.size + _ROOM, 0
            for offset in self.offsets:
                size += _Page(tiff, tiff.directory(offset)[0]).size
                if size > most:
                    raise ValueError(Message("its pages claim more bytes than it has"))
            return size

    def write(self, folder: Path) -> Iterator[Path]:
        """Each page as a file of its own in `folder`, as it is asked for; they are named by number.

        ValueError as `size` has it, OSError when the disk is full."""
        self.size()
        folder.mkdir(parents=True, exist_ok=True)
        with open_regular(self.path) as file:
            tiff = Tiff(Region.of(file.fileno()))
            for number, offset in enumerate(self.offsets, 1):
                target = folder / f"{number:06d}.tif"
                with target.open("wb") as out:
                    _Page(tiff, tiff.directory(offset)[0]).write(out)
                yield target


def _is_beside(tiff: Tiff, entries: Directory) -> bool:
    """Whether a directory is that of a reduced copy or of a mask of the page before."""
    kind, older = (
        tiff.number(entries, tag) if tag in entries and entries[tag].count == 1 else None
        for tag in (_NEW_SUBFILE_TYPE, _SUBFILE_TYPE)
    )
    return bool((kind or 0) & _REDUCED_OR_MASK) or older == 2


class _Page:
    """One page's directory, and what it points at."""

    def __init__(self, tiff: Tiff, entries: Directory) -> None:
        self._tiff = tiff
        self._entries = {tag: entry for tag, entry in sorted(entries.items()) if tag not in _LEFT_BEHIND}
        self._parts = {
            tag: list(zip(tiff.numbers(entries, tag), tiff.numbers(entries, sizes), strict=False))
            for tag, sizes in _DATA.items()
            if tag in entries
        }
        self._values = sum(entry.count * TYPES[entry.type][0] for entry in self._entries.values())
        data = sum(
            max(0, min(length, tiff.region.size - at)) for part in self._parts.values() for at, length in part
        )
        self.size = self._values + data

    def write(self, out: BinaryIO) -> None:
        """A TIFF of this page alone, in the byte order of the file: classic, or BigTIFF where it was one."""
        order, is_big = self._tiff.order, self._tiff.is_big or self.size > _CLASSIC_LIMIT // 2
        word = order + ("Q" if is_big else "I")
        room = 8 if is_big else 4
        mark = b"II" if order == "<" else b"MM"
        head = struct.pack(order + "HHH", 43, 8, 0) if is_big else struct.pack(order + "H", 42)
        out.write(mark + head + struct.pack(word, 0))
        places = {tag: [self._copied(out, *part) for part in parts] for tag, parts in self._parts.items()}
        directory: list[bytes] = []
        for tag, entry in self._entries.items():
            kind, count = entry.type, entry.count
            if tag in places:
                kind, count = (16 if is_big else 4), len(places[tag])
                value = struct.pack(f"{order}{count}{word[1]}", *places[tag])
            else:
                value = self._tiff.region.read(entry.offset, count * TYPES[kind][0])
                if len(value) < count * TYPES[kind][0]:
                    continue  # cut off: the page is better off without it
            if len(value) > room:
                value = struct.pack(word, _appended(out, value))
            directory.append(struct.pack(f"{order}HH{word[1]}", tag, kind, count) + value.ljust(room, b"\0"))
        number = struct.pack(order + ("Q" if is_big else "H"), len(directory))
        at = _appended(out, b"".join([number, *directory, bytes(room)]))
        out.seek(len(mark + head))
        out.write(struct.pack(word, at))

    def _copied(self, out: BinaryIO, begin: int, length: int) -> int:
        at = _appended(out, b"")
        end = min(begin + max(length, 0), self._tiff.region.size)
        while begin < end and (data := self._tiff.region.read(begin, min(_CHUNK, end - begin))):
            out.write(data)
            begin += len(data)
        return at


def _appended(out: BinaryIO, data: bytes) -> int:
    """Write at the end, at an even place as TIFF wants it; where that is."""
    at = out.seek(0, os.SEEK_END)
    if at % 2:
        out.write(b"\0")
        at += 1
    out.write(data)
    return at
