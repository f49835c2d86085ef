"""The door to books: what kind a file is follows from its content, and each kind has its reader.

ZIP is read by Lote itself, EPUB is a ZIP in the order of its spine. TAR, 7z, RAR and PDF are taken apart whole, in a worker
process with limits of memory and time (`Run`): their libraries are given bytes that anybody can have made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ...exceptions import NoArchiveError, ValidationError, reason
from ...reading import open_regular
from ..archives import Archive
from .contract import Book, Limits
from .epub import CONTAINER, Epub
from .isolated import Entry, Format, Unpack
from .stored import StoredBook
from .tar import is_tar, unpacked_stream, unpacking_faults
from .unpacking import OpenNested

__all__ = ["Run", "format_of", "here", "open_book", "opener"]

Run = Callable[[Unpack], Sequence[Entry]]
"""What has a book taken apart: in a worker process, for bytes that may be hostile."""

_START: Final = 1024  # bytes: where readers of PDF look for its first line
_END: Final = 22 + 65_535  # bytes of a ZIP: its end record and the longest comment
_PACKED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


def open_book(
    path: Path, limits: Limits | None = None, *, folder: Path, name_encoding: str | None = None, run: Run
) -> Book:
    """The open book at `path`. `folder`, which the caller removes, takes what must be unpacked to be read.

    `name_encoding`: that of names of which the book does not say it; None finds out. NoArchiveError for what is none;
    ZIPExtractionError for what is damaged as a whole or not safe; ValidationError for what is missing."""
    kind = format_of(path)
    if kind == Format.ZIP:
        with ExitStack() as opened:
            archive = opened.enter_context(Archive(path, limits, name_encoding))
            is_epub = any(one.name == CONTAINER for one in archive.members)
            book: Book = Epub(archive) if is_epub else archive
            opened.pop_all()  # it is closed with the book
            return book
    limits = limits or Limits()
    entries = run(Unpack(str(path), kind, str(folder), limits))
    return StoredBook(path, limits, folder, entries, name_encoding)


def opener(name_encoding: str | None, run: Run) -> OpenNested:
    """What opens books inside of a book."""

    def nested(path: Path, limits: Limits, folder: Path) -> Book:
        return open_book(path, limits, folder=folder, name_encoding=name_encoding, run=run)

    return nested


def here(work: Unpack) -> Sequence[Entry]:
    """A `Run` in this process: for a worker, and for tests."""
    return work.run(lambda done, total: None)


def format_of(path: Path) -> Format:
    """What kind of book a file is. NoArchiveError for what is empty or none, ValidationError for no file."""
    try:
        if not path.exists():
            raise ValidationError("The archive {path} does not exist.", path=path)
        if not path.is_file():
            raise ValidationError("{path} is not a file.", path=path)
        with open_regular(path) as file:
            head = file.read(_START)
            if (kind := _by_start(head)) is not None:
                return kind
            file.seek(0)
            if head.startswith(_PACKED):
                try:
                    stream = unpacked_stream(file)
                    if stream is None or is_tar(stream.read(512)):
                        return Format.TAR
                except unpacking_faults():
                    pass  # damaged: no kind can be told
            file.seek(max(0, path.stat().st_size - _END))
            if b"PK\5\6" in file.read():  # a program before it unpacks it
                return Format.ZIP
    except (OSError, ValueError) as fault:
        raise ValidationError(
            "The archive {path} cannot be read: {fault}.", path=path, fault=reason(fault)
        ) from fault
    if not head:
        raise NoArchiveError("{path} is empty, not an archive.", path=path)
    raise NoArchiveError(
        "{path} is no archive and no document that Lote reads: it reads ZIP, TAR, 7z and RAR archives, EPUB and PDF.",
        path=path,
    )


def _by_start(head: bytes) -> Format | None:
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        return Format.ZIP
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return Format.SEVEN_ZIP
    if head.startswith((b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01")):
        return Format.RAR
    if b"%PDF-" in head:
        return Format.PDF
    return Format.TAR if is_tar(head[:512]) else None
