"""A book that was taken apart into a folder by a worker: what it answered, vetted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ...messages import Message
from ..kinds import kind_by_name
from .contract import NEEDED, Limits, Member, MemberError, stocked, unsafe
from .isolated import BLOCK, Entry
from .names import MemberNames, UnsafeError, decoded

__all__ = ["StoredBook", "StoredMember"]


@dataclass(frozen=True)
class StoredMember(Member):
    """A member in a file of its own; none where nothing of it could be read."""

    file: Path | None = None


class StoredBook:
    """A `Book` of the entries that a worker found in `path` and stored in `folder`."""

    def __init__(
        self, path: Path, limits: Limits, folder: Path, entries: Sequence[Entry], name_encoding: str | None
    ) -> None:
        self.path, self.limits = path, limits
        texts, guessed = decoded([entry.name for entry in entries], name_encoding)
        names = MemberNames(guessed)
        members = []
        for entry, text in zip(entries, texts, strict=True):
            try:
                name = names.safe(text)
            except UnsafeError as fault:
                raise unsafe(path, fault) from fault
            kind = kind_by_name(name) or entry.kind
            file = folder / Path(entry.stored).name if entry.stored else None
            fault_of = entry.fault
            if file is None and fault_of is None and kind in NEEDED:
                fault_of = _NOTHING
            members.append(StoredMember(name, entry.size, kind, fault_of, entry.why, file))
        stock = stocked(path, members, names)
        self.members: list[StoredMember] = stock.members
        self.left_out, self.notes = stock.left_out, stock.notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The folder is its owner's to remove."""

    def stream(self, member: StoredMember) -> Iterator[bytes]:
        if member.file is not None:
            with member.file.open("rb") as file:
                while part := file.read(BLOCK):
                    yield part
        if member.fault:
            raise MemberError(self.path, member.name, member.fault)


_NOTHING = Message("was not stored")
