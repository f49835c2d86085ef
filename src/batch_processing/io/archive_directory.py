"""The directory of a ZIP or CBZ: found, parsed and vetted before one byte is inflated.

Promises: every `ZipMember` that `Directory.members` gives lies by itself in the file, is no link, and has a safe name.
What the directory says is believed, as other programs do; of a member's local header only its length is asked, where the
bytes begin. Refuses the rest with a `ZIPExtractionError` naming the member and the limit; with a `NoArchiveError` what
is no ZIP. Inflates nothing.

It is parsed here and not by `zipfile`, which accepts overlapping entries (Python 3.11.7 reads a 6 KB file
as 50 MB) and loads a directory of any size. Format: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from ..exceptions import NoArchiveError, ValidationError, ZIPExtractionError, reason
from ..messages import Message
from ..reading import open_regular
from .books import contract
from .books.contract import GIB, Limits, Member
from .books.names import MemberNames, UnsafeError, decoded
from .inflating import decoder_of
from .kinds import FileKind, Reason, kind_by_name

__all__ = ["Directory", "Limits", "ZipMember", "open_archive"]

_DIRECTORY_LIMIT = 16 << 20  # bytes: 10,000 entries of 1.6 KB each
_END_SEARCH = 22 + 65_535  # bytes: end record and its longest comment
_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # encrypted, strongly encrypted, encrypted directory
_AES = 99
_STORED = 0


@dataclass(frozen=True)
class ZipMember(Member):
    """One file in a ZIP. `start` is where its packed bytes begin in the file; `is_open` says that its name does not tell
    what it is: its first bytes must be asked."""

    packed: int = 0
    crc: int = 0
    method: int = _STORED
    start: int = 0
    is_open: bool = False


@dataclass(frozen=True)
class _Entry:
    """An entry of the directory as it stands there."""

    raw: bytes
    text: str | None  # what says itself that it is UTF-8
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int
    zip64: bytes
    disk: int


def open_archive(path: Path) -> BinaryIO:
    """The file, when it begins or ends like a ZIP; else a sentence that says what it is."""
    try:
        if not path.exists():
            raise ValidationError("The archive {path} does not exist.", path=path)
        if not path.is_file():
            raise ValidationError("{path} is not a file.", path=path)
        file = open_regular(path)
    except (OSError, ValueError) as fault:
        raise ValidationError(
            "The archive {path} cannot be read: {fault}.", path=path, fault=reason(fault)
        ) from fault
    head = file.read(8)
    file.seek(max(0, path.stat().st_size - _END_SEARCH))
    if head[:4] in {b"PK\3\4", b"PK\5\6", b"PK\7\x08"} or b"PK\5\6" in file.read():
        return file
    file.close()
    if not head:
        raise NoArchiveError("{path} is empty, not an archive.", path=path)
    raise NoArchiveError("{path} is not a ZIP archive.", path=path)


class Directory:
    """The central directory of one archive: found by the constructor, parsed and vetted by `members`."""

    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        self.file, self.path, self.limits = file, path, limits
        size = file.seek(0, os.SEEK_END)
        tail_start = max(0, size - _END_SEARCH)
        file.seek(tail_start)
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < 22:
            raise self._damaged("its directory is missing; the file is cut off")
        disk, start_disk, here, count, length, offset = struct.unpack("<4H2L", tail[at + 4 : at + 20])
        end = tail_start + at
        declared = (count, length, offset)
        if end >= 20:
            file.seek(end - 20)
            locator = file.read(20)
            if locator[:4] == b"PK\6\7":
                end, disk, start_disk, here, count, length, offset = self._zip64_end(locator, end - 20)
                # A 32-bit field is either full (look in the 64-bit one) or says the same.
                for old, new, full in zip(
                    declared, (count, length, offset), (0xFFFF, 2**32 - 1, 2**32 - 1), strict=True
                ):
                    if old not in {full, new}:
                        raise self._damaged("its two end records contradict each other")
        if disk or start_disk or here != count:
            raise self._damaged("it is one part of an archive split over several files")
        # Bytes before the archive (a self-extracting program) shift every offset.
        self.shift = end - length - offset
        if self.shift < 0:
            raise self._damaged("its directory is cut off")
        self.start, self.length, self.count = end - length, length, count

    def _zip64_end(self, locator: bytes, locator_at: int) -> tuple[int, int, int, int, int, int, int]:
        _, at, disks = struct.unpack("<LQL", locator[4:])
        # The record stands directly before its locator; where bytes were put before the archive, only there.
        for position in (at, locator_at - 56):
            if 0 <= position <= locator_at - 56:
                self.file.seek(position)
                record = self.file.read(56)
                if record[:4] == b"PK\6\6":
                    disk, start_disk, here, count, length, offset = struct.unpack("<2L4Q", record[16:])
                    if disks > 1:
                        raise self._damaged("it is one part of an archive split over several files")
                    return position, disk, start_disk, here, count, length, offset
        raise self._damaged("its 64-bit end record is missing")

    def members(self, name_encoding: str | None = None) -> tuple[list[ZipMember], MemberNames]:
        """The files of the archive, and what is known of their names. `name_encoding` is that of names of which the
        archive does not say it; None finds out."""
        entries = self._entries()
        texts, guessed = decoded(
            [entry.raw if entry.text is None else entry.text for entry in entries], name_encoding
        )
        names = MemberNames(guessed)
        members: list[ZipMember] = []
        extents: list[tuple[int, int, str]] = []
        inflated = packed = 0
        for entry, text in zip(entries, texts, strict=True):
            try:
                name = names.safe(text)
            except UnsafeError as fault:
                raise contract.unsafe(self.path, fault) from fault
            size, small, offset = self._zip64_sizes(name, entry)
            if entry.disk not in {0, 0xFFFF}:
                raise self._damaged("it is one part of an archive split over several files")
            if stat.S_IFMT(entry.attributes >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise self._member(name, "is a link or a device, not a file")
            start, end = self._extent(name, offset, small)
            extents.append((start, end, name))
            inflated += size
            packed += small
            if inflated > self.limits.total:
                raise self._member(
                    name,
                    "brings the inflated size over the limit of {limit} GiB",
                    limit=f"{self.limits.total / GIB:g}",
                )
            if name.endswith("/"):
                continue
            if entry.method == _STORED and small != size and not entry.flags & _ENCRYPTED:
                raise self._member(name, "contradicts itself: it is stored, with two different sizes")
            kind = kind_by_name(name)
            why, fault_of = _unreadable(entry)
            members.append(
                ZipMember(
                    name,
                    size,
                    kind or FileKind.OTHER,
                    fault_of,
                    why,
                    packed=small,
                    crc=entry.crc,
                    method=entry.method,
                    start=end - small,
                    is_open=kind is None,
                )
            )
        if inflated > self.limits.ratio_from and inflated > self.limits.ratio * packed:
            raise self._refused(
                "it inflates to {size} GiB, more than {ratio} times its packed size",
                size=f"{inflated / GIB:.1f}",
                ratio=self.limits.ratio,
            )
        self._no_overlap(extents)
        return members, names

    def _entries(self) -> list[_Entry]:
        """The directory, parsed."""
        if self.count > self.limits.entries:
            raise self._refused(
                "it has {count} entries, more than the limit of {entries}",
                count=self.count,
                entries=self.limits.entries,
            )
        if self.length > _DIRECTORY_LIMIT:
            raise self._refused(
                "its directory has {length} bytes, more than {limit}",
                length=self.length,
                limit=_DIRECTORY_LIMIT,
            )
        self.file.seek(self.start)
        data = self.file.read(self.length)
        if len(data) < self.length:
            raise self._damaged("its directory is cut off")
        entries: list[_Entry] = []
        at = 0
        while at < len(data):
            number = len(entries) + 1
            if data[at : at + 4] != b"PK\1\2" or len(data) - at < 46:
                raise self._damaged("entry {number} of its directory is unreadable", number=number)
            (flags, method, crc, small, large, name_len, extra_len, comment_len, disk, attributes, offset) = (
                struct.unpack("<8x2H4xLLLHHHH2xLL", data[at : at + 46])
            )
            raw = data[at + 46 : at + 46 + name_len]
            extra = data[at + 46 + name_len : at + 46 + name_len + extra_len]
            at += 46 + name_len + extra_len + comment_len
            if at > len(data):
                raise self._damaged("entry {number} of its directory is cut off", number=number)
            if number > self.limits.entries:
                raise self._refused(
                    "it has more entries than the limit of {entries}", entries=self.limits.entries
                )
            fields = dict(self._extra_fields(extra, number))
            entries.append(
                _Entry(
                    raw,
                    _declared(raw, flags, fields),
                    flags,
                    method,
                    crc,
                    small,
                    large,
                    attributes,
                    offset,
                    fields.get(1, b""),
                    disk,
                )
            )
        if len(entries) != self.count:
            raise self._damaged(
                "its directory holds {entries} entries and declares {count}",
                entries=len(entries),
                count=self.count,
            )
        return entries

    def _extra_fields(self, extra: bytes, entry: int) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(extra):
            kind, length = struct.unpack("<HH", extra[at : at + 4])
            if at + 4 + length > len(extra):
                raise self._damaged("entry {entry} of its directory is cut off", entry=entry)
            yield kind, extra[at + 4 : at + 4 + length]
            at += 4 + length

    def _zip64_sizes(self, name: str, entry: _Entry) -> tuple[int, int, int]:
        """Inflated size, packed size and offset, taken from the 64-bit field where the 32-bit one is full."""
        result, field = [], entry.zip64
        for small in (entry.size, entry.packed, entry.offset):
            value = small
            if value == 0xFFFFFFFF:
                if len(field) < 8:
                    raise self._member(name, "says that its size has 64 bits, and does not give it")
                value, field = int.from_bytes(field[:8], "little"), field[8:]
            result.append(value)
        return result[0], result[1], result[2]

    def _extent(self, name: str, offset: int, packed: int) -> tuple[int, int]:
        """First byte of a member's local header and the byte after its data."""
        start = self.shift + offset
        self.file.seek(start)
        header = self.file.read(30)
        if len(header) < 30 or header[:4] != b"PK\3\4":
            raise self._member(name, "is missing: nothing stands where the directory points")
        name_len, extra_len = struct.unpack("<26xHH", header)
        end = start + 30 + name_len + extra_len + packed
        if end > self.start:
            raise self._member(name, "overlaps the directory, or is cut off")
        return start, end

    def _no_overlap(self, extents: list[tuple[int, int, str]]) -> None:
        extents.sort()
        for (_, end, first), (start, _, second) in pairwise(extents):
            if start < end:
                raise self._member(second, "overlaps member {first}", first=repr(first))

    def _damaged(self, what: str, /, **values: Any) -> ZIPExtractionError:
        return contract.damaged(self.path, Message(what, **values))

    def _refused(self, what: str, /, **values: Any) -> ZIPExtractionError:
        return contract.refused(self.path, Message(what, **values))

    def _member(self, name: str, what: str, /, **values: Any) -> ZIPExtractionError:
        return self._refused("member {name} {problem}", name=repr(name), problem=Message(what, **values))


def _declared(raw: bytes, flags: int, fields: dict[int, bytes]) -> str | None:
    """The name of an entry that says itself that it is UTF-8, and is."""
    # Info-ZIP: version 1, checksum of the plain name, the name in UTF-8
    unicode_path = fields.get(0x7075, b"")
    if unicode_path[:1] == b"\1" and unicode_path[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
        raw, flags = unicode_path[5:], _UTF8
    if not flags & _UTF8:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _unreadable(entry: _Entry) -> tuple[Reason, Message | None]:
    """Why nothing here can read an entry; no message where it can."""
    if entry.flags & _ENCRYPTED or entry.method == _AES:
        return Reason.ENCRYPTED, Message("is encrypted; unpack the archive with its password first")
    try:
        decoder_of(entry.method)
    except LookupError as fault:
        (what,) = fault.args
        return Reason.COMPRESSION, what
    return Reason.DAMAGED, None
