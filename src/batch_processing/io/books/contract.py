"""What a book is for whoever reads one: its members, what of it is left out, and what there is to say of it.

A member's name is safe, relative and unlike every other's; its bytes come as a stream, or as a `MemberError` where they
are damaged, encrypted, or packed in a way that nothing here reads. Which of the members are pages decides one rule
(`io.kinds`), for folders and books of all kinds alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ...exceptions import ZIPExtractionError
from ...messages import Message, as_message
from ..kinds import FileKind, LeftOut, Reason, is_hints
from .names import MemberNames, UnsafeError

__all__ = [
    "GIB",
    "NEEDED",
    "Book",
    "Limits",
    "Member",
    "MemberError",
    "Stocked",
    "Unpacked",
    "damaged",
    "refused",
    "stocked",
    "unsafe",
]

GIB = 1 << 30

NEEDED = frozenset([FileKind.IMAGE, FileKind.HINTS, FileKind.COMIC_INFO, FileKind.METADATA, FileKind.BOOK])
"""What is taken out of a book."""


@dataclass(frozen=True)
class Limits:
    """What a book may hold: members, bytes unpacked, and bytes unpacked per byte packed.

    The ratio counts only above `ratio_from` bytes: a blank page of 600 dpi is 1000:1 and harmless."""

    entries: int = 10_000
    total: int = 8 * GIB
    ratio: int = 200
    ratio_from: int = 2 * GIB


@dataclass(frozen=True)
class Member:
    """One file in a book. `name` is safe, relative and with `/`; `size` in bytes, unpacked. `fault` is why its bytes
    cannot be had, as the rest of a sentence, where that is known already; `why` the same in a word."""

    name: str
    size: int
    kind: FileKind
    fault: Message | None = None
    why: Reason = Reason.DAMAGED

    @property
    def is_image(self) -> bool:
        return self.kind == FileKind.IMAGE

    @property
    def is_junk(self) -> bool:
        return self.kind == FileKind.JUNK


M = TypeVar("M", bound=Member)


class MemberError(ZIPExtractionError):
    """One member cannot be read; the others can. `what` is wrong with it, as the rest of a sentence."""

    def __init__(self, book: Path, name: str, what: str | Message, /, **values: Any) -> None:
        self.book, self.name, self.what = book, name, as_message(what, **values)
        super().__init__(
            "Cannot extract {path}: member {name} {problem}.", path=book, name=repr(name), problem=self.what
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.book, self.name, self.what)


class Book(Protocol):
    """An open book; a context manager. `members` come in the book's order, `left_out` are those of them that are neither
    pages nor anything that Lote reads, `notes` sentences for a person."""

    path: Path
    limits: Limits
    members: list[Any]
    left_out: list[LeftOut]
    notes: list[Message]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def stream(self, member: Any, /) -> Iterator[bytes]:
        """The bytes of a member. MemberError where they cannot be had, or not whole; what came before is theirs."""
        ...


@dataclass(frozen=True)
class Unpacked:
    """A member that was stored: its name in the book, where its bytes lie, and what it is. With a `fault` (the rest of a
    sentence) it is a page of which nothing can be made, and `path` has as many of its bytes as could be had."""

    name: str
    path: Path
    kind: FileKind
    fault: Message | None = None


@dataclass(frozen=True)
class Stocked:
    """The members of a book with names of their own, what of them is left out, and what there is to say."""

    members: list[Any]
    left_out: list[LeftOut]
    notes: list[Message]


def stocked(path: Path, members: Iterable[M], names: MemberNames) -> Stocked:
    """Give the needed members names that no other has, and let the last of several ComicInfo.xml count.

    MemberError where there are pages and none of them can be read."""
    found = list(members)
    last = max((at for at, one in enumerate(found) if one.kind == FileKind.COMIC_INFO), default=-1)
    infos = sum(one.kind == FileKind.COMIC_INFO for one in found)
    kept: list[M] = []
    for at, one in enumerate(found):
        if one.kind == FileKind.COMIC_INFO and at != last:
            continue
        own = one.kind in {FileKind.IMAGE, FileKind.BOOK}
        kept.append(replace(one, name=names.own(one.name)) if own else one)
    notes = names.notes
    if infos > 1:
        notes.append(Message("ComicInfo.xml is there {count} times: the last one counts", count=infos))
    pages = [one for one in kept if one.kind == FileKind.IMAGE]
    others = any(one.kind == FileKind.BOOK and one.fault is None for one in kept)
    if pages and not others and all(one.fault for one in pages):
        raise MemberError(path, pages[0].name, pages[0].fault or "")
    return Stocked(kept, [left for one in kept if (left := _left_out(one))], notes)


def _left_out(member: Member) -> LeftOut | None:
    if member.kind == FileKind.JUNK:
        return LeftOut(member.name, Reason.JUNK)
    if member.kind == FileKind.OTHER:
        named = Reason.HINTS_FORMAT if is_hints(member.name) else Reason.NO_PICTURE
        return LeftOut(member.name, member.why if member.fault else named)
    return None


# -- what is wrong with a whole book --------------------------------------------------------------------


def damaged(path: Path, what: str | Message, /, **values: Any) -> ZIPExtractionError:
    """The error of a book that is cut off or contradicts itself; `what` is the middle of a sentence."""
    return ZIPExtractionError(
        "The archive {path} is damaged: {problem}. Get a complete copy.",
        path=path,
        problem=as_message(what, **values),
    )


def refused(path: Path, what: str | Message, /, **values: Any) -> ZIPExtractionError:
    """The error of a book that nobody should unpack."""
    return ZIPExtractionError(
        "The archive {path} is not safe to unpack: {problem}.", path=path, problem=as_message(what, **values)
    )


def unsafe(path: Path, fault: UnsafeError) -> ZIPExtractionError:
    """The error of a book with a member that no book may have."""
    return refused(path, "member {name} {problem}", name=repr(fault.name), problem=fault.what)


Progress = Callable[[int, int], None]
"""(done, total): says how far a long piece of reading is."""
