"""Reading TAR (CBT), packed or not, by Python's `tarfile`, in one pass. Runs in a worker (`isolated`).

Refuses links, devices and sparse files, headers that are longer than any name, and a file that ends in the middle of its
entries: what stands behind the damage could not be told. Python's reader passes over a damaged header in silence, reads
headers of any length whole, and can be led back to where it was (CVE-2025-8194).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

from ...exceptions import reason
from ...messages import Message
from ...reading import open_regular
from ..inflating import zstandard
from .contract import MemberError, damaged, refused
from .isolated import BLOCK, Store, needs_packages

__all__ = ["is_tar", "read_tar", "unpacked_stream", "unpacking_faults"]

_HEADER: Final = 1 << 20  # bytes of an extended header: names, owners, attributes
_BACK: Final = 512  # bytes: the reader looks at the last byte before a header
_UNPACKING_FAULTS = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)
_FAULTS = (*_UNPACKING_FAULTS, tarfile.TarError, IndexError, RuntimeError)


def unpacking_faults() -> tuple[type[Exception], ...]:
    """What reading a packed file raises where it is damaged."""
    zstd: Any = zstandard()
    return (*_UNPACKING_FAULTS, zstd.ZstdError) if zstd else _UNPACKING_FAULTS


def unpacked_stream(file: BinaryIO) -> BinaryIO | None:
    """What a file packed by gzip, bzip2, xz or Zstandard holds; the file itself where it is not packed. None where it is
    packed by what is not installed."""
    head = file.read(6)
    file.seek(0)
    if head[:2] == b"\x1f\x8b":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if head[:3] == b"BZh":
        return cast("BinaryIO", bz2.BZ2File(file))
    if head == b"\xfd7zXZ\0":
        return cast("BinaryIO", lzma.LZMAFile(file))
    if head[:4] == b"\x28\xb5\x2f\xfd":
        zstd: Any = zstandard()
        return zstd and cast("BinaryIO", zstd.ZstdFile(file))
    return file


def is_tar(block: bytes) -> bool:
    """Whether the first 512 bytes of an unpacked file are a header of TAR: its checksum is right."""
    if len(block) < 512 or not block[0]:
        return False
    try:
        told = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return told == sum(block[:148]) + 8 * 0x20 + sum(block[156:512])


class _Forward(io.RawIOBase):
    """The unpacked file, read forwards only, with headers of a bounded length."""

    def __init__(self, file: BinaryIO, store: Store) -> None:
        self._file, self._store = file, store
        self._at = self._most = 0
        self.last = b""  # what was read last
        self.is_broken = False

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._at - _BACK:
            raise tarfile.ReadError(Message("it leads back to what was read"))
        if offset < self._at:
            self._file.seek(offset)
            self._at = offset
        while self._at < offset and self.read(min(BLOCK, offset - self._at)):
            pass
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _HEADER:
            raise tarfile.ReadError(Message("a header of it is too long"))
        try:
            data = self.last = self._file.read(size)
        except unpacking_faults() as fault:
            raise tarfile.ReadError(reason(fault)) from fault
        self._at += len(data)
        if self._at > self._most:  # what is passed over costs as much as what is taken
            self._store.grown(self._at - self._most)
            self._most = self._at
        return data


def read_tar(store: Store) -> None:
    with open_regular(store.path) as packed:
        file = unpacked_stream(packed)
        if file is None:
            raise needs_packages(store.path, Message("packed with Zstandard"))
        source = _Forward(file, store)
        try:
            # Names that are no UTF-8 stay the bytes that they are.
            with tarfile.open(
                fileobj=cast("Any", source), mode="r:", encoding="utf-8", errors="surrogateescape"
            ) as tar:
                while (member := tar.next()) is not None:
                    store.count()
                    if not _is_file(store, member):
                        continue
                    store.take(_name(member), _content(store, member, source))
                    if source.is_broken:  # that page fails, and what stood behind it is not there
                        return
                if any(source.last):  # neither a block of zeros nor the end of the file
                    raise tarfile.ReadError(_UNREADABLE)
        except _FAULTS as fault:
            raise damaged(store.path, reason(fault)) from fault


def _is_file(store: Store, member: tarfile.TarInfo) -> bool:
    if member.isdir():
        return False
    if member.size < 0:
        raise tarfile.ReadError(Message("the size of a member is negative"))
    if not member.isreg() or member.sparse is not None:
        what = Message("is a sparse file") if member.isreg() else Message("is a link or a device, not a file")
        raise refused(store.path, "member {name} {problem}", name=repr(member.name), problem=what)
    return True


def _name(member: tarfile.TarInfo) -> bytes | str:
    """As text where the header says what it means (PAX), else as its bytes."""
    raw = member.name.encode("utf-8", "surrogateescape")
    return member.name if "path" in member.pax_headers and member.name.isprintable() else raw


def _content(store: Store, member: tarfile.TarInfo, source: _Forward) -> Iterator[bytes]:
    left = member.size
    try:
        source.seek(member.offset_data)
        while left:
            if not (data := source.read(min(BLOCK, left))):
                break
            left -= len(data)
            yield data
    except _FAULTS as fault:
        source.is_broken = True
        raise MemberError(store.path, member.name, "is damaged ({fault})", fault=reason(fault)) from fault
    if left:
        source.is_broken = True
        raise MemberError(
            store.path,
            member.name,
            "is cut off: {left} of {size} bytes are missing",
            left=left,
            size=member.size,
        )


_UNREADABLE = Message("an entry of it is unreadable")
