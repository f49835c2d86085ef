"""Storing what is needed of a book, one nested level included.

Promises: files are named by ordinal (`000001.png`), so that no name from a book ever becomes a path; a member that
cannot be read costs itself only, unless the book is asked for whole; all that is not stored is in `left_out`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from ...exceptions import ResourceError, ValidationError, ZIPExtractionError, reason
from ...logging_config import get_logger
from ...messages import Message
from ..comic_info import LIMIT as COMIC_INFO_LIMIT
from ..kinds import PICTURE_SUFFIXES, FileKind, LeftOut, Reason
from ..naming import folded
from .contract import NEEDED, Book, Limits, Member, MemberError, Unpacked

__all__ = ["LARGEST_HINTS", "OpenNested", "unpack"]

LARGEST_HINTS: Final = 256 << 20
"""Bytes of a file of hints: those of a PNG as large as a page may be."""
# Bytes of what is read whole later, and so is not even stored where it is larger.
_LARGEST: Final = {
    FileKind.COMIC_INFO: COMIC_INFO_LIMIT,
    FileKind.METADATA: COMIC_INFO_LIMIT,
    FileKind.HINTS: LARGEST_HINTS,
}
_log = get_logger(__name__)

OpenNested = Callable[[Path, Limits, Path], Book]
"""What opens a book inside of another: its file, what it may hold, and a folder of its own."""


def unpack(book: Book, target_dir: Path, nested: OpenNested, *, whole: bool = False) -> Iterator[Unpacked]:
    """Store pages, hints and metadata of a book in `target_dir`, in its order, as they come.

    Members of a book inside come as `<stem>_extracted/...` at its place; a bad one is left out whole, with a warning.
    With `whole` one member that cannot be read is an error of its book, a MemberError; else a page comes with its fault,
    and what is no page is left out. ZIPExtractionError for what is not safe, ResourceError when the disk is full."""
    target_dir.mkdir(parents=True, exist_ok=True)
    yield from _Unpacking(book, target_dir, nested, whole).members()


class _Unpacking:
    def __init__(self, book: Book, target_dir: Path, nested: OpenNested, whole: bool) -> None:
        self._book, self._folder, self._nested, self._whole = book, target_dir, nested, whole
        self._taken = {folded(member.name) for member in book.members}
        self._left = replace(
            book.limits,
            entries=book.limits.entries - len(book.members),
            total=book.limits.total - sum(member.size for member in book.members),
        )
        self._ordinal = 0

    def members(self) -> Iterator[Unpacked]:
        for member in self._book.members:
            if member.kind not in NEEDED or self._too_large(member.name, member):
                continue
            stored = self._stored(self._book, member, member.name)
            if stored is None or member.kind != FileKind.BOOK:
                if stored is not None:
                    yield stored
                continue
            try:
                inside = self._inside(member, stored.path)
            except (ZIPExtractionError, ValidationError) as fault:
                self._book.left_out.append(LeftOut(member.name, Reason.BOOK_INSIDE_BOOK))
                _log.warning("The archive %s inside %s is left out: %s", member.name, self._book.path, fault)
                continue
            finally:
                stored.path.unlink(missing_ok=True)
            yield from inside

    def _inside(self, outer: Member, path: Path) -> list[Unpacked]:
        """What is needed of a book inside; nothing of it stays where it raises."""
        prefix = _free_prefix(outer.name, self._taken)
        stored: list[Unpacked] = []
        left_out: list[LeftOut] = []
        before = len(self._book.left_out)
        own = self._folder / f"{path.stem}.d"
        try:
            with self._nested(path, self._left, own) as nested:
                left_out += [LeftOut(f"{prefix}/{one.name}", one.reason) for one in nested.left_out]
                for member in nested.members:
                    name = f"{prefix}/{member.name}"
                    if member.kind == FileKind.BOOK:
                        left_out.append(LeftOut(name, Reason.BOOK_INSIDE_BOOK))
                    elif member.kind in NEEDED and not self._too_large(name, member):
                        one = self._stored(nested, member, name)
                        if one is not None:
                            is_info = one.kind == FileKind.COMIC_INFO  # of a part of the book: kept as it is
                            stored.append(replace(one, kind=FileKind.METADATA) if is_info else one)
                self._left = replace(
                    self._left,
                    entries=self._left.entries - len(nested.members),
                    total=self._left.total - sum(member.size for member in nested.members),
                )
        except (ZIPExtractionError, ValidationError):
            for unpacked in stored:
                unpacked.path.unlink(missing_ok=True)
            del self._book.left_out[before:]
            raise
        finally:
            shutil.rmtree(own, ignore_errors=True)
        self._book.left_out += left_out
        return stored

    def _too_large(self, name: str, member: Member) -> bool:
        if member.size <= _LARGEST.get(member.kind, member.size):
            return False
        self._book.left_out.append(LeftOut(name, Reason.TOO_LARGE))
        return True

    def _stored(self, book: Book, member: Member, name: str) -> Unpacked | None:
        """The member in a file of its own; None for one that cannot be read and is no page."""
        self._ordinal += 1
        path = self._folder / f"{self._ordinal:06d}{_safe_suffix(member.name)}"
        fault: Message | None = None
        try:
            with path.open("wb") as file:
                for data in book.stream(member):
                    file.write(data)
        except MemberError as error:
            if self._whole or member.kind != FileKind.IMAGE:
                path.unlink()
                if self._whole:
                    raise
                why = member.why if member.fault else Reason.DAMAGED
                self._book.left_out.append(LeftOut(name, why))
                return None
            fault = error.what
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ResourceError(
                "Cannot store {name} of {path} in {parent}: {fault} ({size} bytes needed, {free} free).",
                name=repr(member.name),
                path=book.path,
                parent=path.parent,
                fault=reason(error),
                size=member.size,
                free=shutil.disk_usage(path.parent).free,
            ) from error
        return Unpacked(name, path, member.kind, fault)


def _safe_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in PICTURE_SUFFIXES or suffix in {".json", ".xml", ".zip", ".cbz"} else ""


def _free_prefix(name: str, taken: set[str]) -> str:
    """`<path>_extracted` for a nested archive, numbered where members of that name exist."""
    base = f"{PurePosixPath(name).with_suffix('')}_extracted"
    prefix, number = base, 0
    while any(other == folded(prefix) or other.startswith(folded(prefix) + "/") for other in taken):
        number += 1
        prefix = f"{base}_{number}"
    taken.add(folded(prefix))
    return prefix
