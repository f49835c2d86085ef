"""Books that are taken apart as a whole: TAR, 7z, RAR and PDF, each by a library that hostile bytes can crash or lead
astray. So this part runs in a worker process with limits of memory and time (`Unpack` is its work).

Promises: what is needed is stored in the folder that was given, under ordinal names; no member is larger than the book
may be, and no link, device or sparse file is taken for a file. What is in the worker's answer is only believed as far as
it is vetted again by whoever asked (`stored.StoredBook`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ...exceptions import NoArchiveError
from ...messages import Message
from ..inflating import INSTALL
from ..kinds import HEAD, FileKind, Reason, kind_of
from .contract import GIB, NEEDED, Limits, MemberError, Progress, refused

__all__ = ["Entry", "Format", "Store", "Unpack", "needs_packages"]


class Format(StrEnum):
    """What a book is packed as, by its content."""

    ZIP = "zip"
    TAR = "tar"
    SEVEN_ZIP = "7z"
    RAR = "rar"
    PDF = "pdf"


@dataclass(frozen=True)
class Entry:
    """A member as a reader found it: its name as bytes where nothing says what they mean, what it is, the name of the file
    that was stored of it, if any, and why not all of it could be read."""

    name: bytes | str
    kind: FileKind
    size: int = 0
    stored: str | None = None
    fault: Message | None = None
    why: Reason = Reason.DAMAGED


class Store:
    """Where a reader puts what it finds; keeps count of it."""

    def __init__(self, path: Path, folder: Path, limits: Limits, progress: Progress) -> None:
        self.path, self.folder, self.limits, self._progress = path, folder, limits, progress
        self.entries: list[Entry] = []
        self._packed = max(1, path.stat().st_size)
        self._total = 0
        self.met = 0  # members of whatever kind
        folder.mkdir(parents=True, exist_ok=True)

    def count(self) -> None:
        """One more member, of whatever kind. ZIPExtractionError when there are too many."""
        self.met += 1
        if self.met > self.limits.entries:
            raise refused(
                self.path, "it has more entries than the limit of {entries}", entries=self.limits.entries
            )
        self._progress(self.met, 0)

    def grown(self, size: int) -> None:
        """So many bytes more were unpacked, stored or not. ZIPExtractionError when it is too much."""
        self._total += size
        if self._total > self.limits.total:
            raise refused(
                self.path,
                "it unpacks to more than the limit of {limit} GiB",
                limit=f"{self.limits.total / GIB:g}",
            )
        if self._total > self.limits.ratio_from and self._total > self.limits.ratio * self._packed:
            raise refused(
                self.path,
                "it unpacks to {size} GiB, more than {ratio} times its packed size",
                size=f"{self._total / GIB:.1f}",
                ratio=self.limits.ratio,
            )
        self._progress(self.met, 0)

    def take(self, name: bytes | str, content: Iterable[bytes], suffix: str = "") -> None:
        """Store a member, if it is needed. A MemberError of `content` makes it one that has a fault."""
        parts = self._counted(content)
        head, fault, why = b"", None, Reason.DAMAGED
        try:
            for part in parts:
                head += part
                if len(head) >= HEAD:
                    break
        except MemberError as error:
            fault, why = error.what, getattr(error, "why", why)
        kind = kind_of(_shown(name), head[:HEAD])
        if kind not in NEEDED:
            self.entries.append(Entry(name, kind, len(head), None, fault, why))
            return
        stored = f"{len(self.entries) + 1:06d}.member{suffix}"
        size = len(head)
        with (self.folder / stored).open("wb") as file:
            file.write(head)
            try:
                for part in parts if fault is None else ():
                    file.write(part)
                    size += len(part)
            except MemberError as error:
                fault, why = error.what, getattr(error, "why", why)
        self.entries.append(Entry(name, kind, size, stored, fault, why))

    def lost(self, name: bytes | str, fault: Message, why: Reason = Reason.DAMAGED) -> None:
        """A member of which nothing can be read."""
        self.entries.append(Entry(name, kind_of(_shown(name), b""), 0, None, fault, why))

    def _counted(self, content: Iterable[bytes]) -> Iterator[bytes]:
        for part in content:
            self.grown(len(part))
            yield part


def _shown(name: bytes | str) -> str:
    """A name, to tell by it what a member may be. In bytes that nobody has decoded a `\\` can be half of a letter."""
    return (name.replace("\\", "/") if isinstance(name, str) else name.decode("latin-1")).lstrip("/")


def needs_packages(path: Path, kind: str | Message) -> NoArchiveError:
    """The error of a book whose reader is not installed."""
    return NoArchiveError(
        "{path} is {kind}, and reading it needs more packages: {command} in Lote's folder",
        path=path,
        kind=kind,
        command=INSTALL,
    )


@dataclass(frozen=True)
class Unpack:
    """Take a book apart into a folder: the work of a worker process, which gives the book's entries.

    ZIPExtractionError for what is not safe or damaged as a whole, NoArchiveError where its reader is not installed."""

    path: str
    format: Format
    folder: str
    limits: Limits

    def run(self, progress: Progress) -> list[Entry]:
        store = Store(Path(self.path), Path(self.folder), self.limits, progress)
        _reader(self.format)(store)
        return store.entries


def _reader(kind: Format) -> Callable[[Store], None]:
    if kind == Format.TAR:
        from .tar import read_tar

        return read_tar
    if kind == Format.PDF:
        from .pdf import read_pdf

        return read_pdf
    from .libarchive import read_libarchive

    return read_libarchive


BLOCK: Final = 1 << 16
"""Bytes that are read of a member at a time."""
