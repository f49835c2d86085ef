"""Photos of one content: which of them is a new one a copy of, and which are the same file by another name."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from .hashing import Candidate, join
from .names import Listings
from .reading import signed


@dataclass(slots=True)
class Member:
    """A photo that holds some content: a row, or (`id` None) a new one settled in the same call."""

    id: int | None
    hash: bytes
    directory: bytes
    name: bytes
    is_fresh: bool = False  # recorded by this run: its walk has listed the name
    place: tuple[int, int] | None = None  # inode and device, once they were looked at
    looked: bool = False

    @classmethod
    def of(cls, item: Candidate) -> Member:
        place = item.inode, item.device
        return cls(item.photo_id, item.digest or b"", item.directory, item.name, place=place, looked=True)

    def where(self, size: int, listings: Listings) -> tuple[int, int] | None:
        """Inode and device of the file of this size that stands there; None if there is none."""
        if not self.looked:
            self.looked = True
            path = join(self.directory, self.name)
            with suppress(OSError):
                status = os.lstat(path)
                # A name that was given up for another spelling is answered to, and not listed any more.
                if (
                    stat.S_ISREG(status.st_mode)
                    and status.st_size == size
                    and (self.is_fresh or listings.has(path))
                ):
                    self.place = signed(status.st_ino), status.st_dev
        return self.place


class SameContent:
    """The photos that hold one content, by their places on disk: each is looked at once in a commit, and only as
    far as it takes, so that ten thousand copies of one photo do not take ten thousand times as long as one."""

    def __init__(self, members: list[Member | Candidate], listings: Listings) -> None:
        """`members`: rows by age, then the items settled in this call, which may become more."""
        self._members = members
        self._listings = listings
        self.rows = [one for one in members if isinstance(one, Member)]
        self._looked = 0  # of the rows
        self._taken = len(self.rows)  # of the members
        self._standing: dict[tuple[int, int] | None, list[Member]] = {}  # rows that were looked at
        self._settled: dict[tuple[int, int] | None, list[Member]] = {}  # items
        self._all_stand = True  # of those looked at

    def company(self, item: Candidate) -> tuple[Member | None, bool]:
        """Which of the others `item` is a hard link of (the oldest row), or the same file on another way (a symbolic
        link to its folder, a mount); and whether all of them still stand on disk: else it may be one of them, moved."""
        self._take_in()
        while not (found := self._others(self._standing, item)) and self._looked < len(self.rows):
            one = self.rows[self._looked]
            place = one.where(item.size, self._listings)
            self._standing.setdefault(place, []).append(one)
            self._all_stand = self._all_stand and place is not None
            self._looked += 1
        found += self._others(self._settled, item)
        return min(found, key=_age, default=None), self._all_stand or bool(found)

    def __len__(self) -> int:
        return len(self._members)

    def places(self) -> list[tuple[int, int]] | None:
        """Where they all stand on disk; None if one does not, or if not all were looked at."""
        self._take_in()
        at = [place for place in (*self._standing, *self._settled) if place is not None]
        return at if self._all_stand and self._looked == len(self.rows) else None

    def _take_in(self) -> None:
        """Have the items that were settled since."""
        for one in self._members[self._taken :]:
            if isinstance(one, Candidate):
                self._settled.setdefault((one.inode, one.device), []).append(Member.of(one))
        self._taken = len(self._members)

    @staticmethod
    def _others(at: dict[tuple[int, int] | None, list[Member]], item: Candidate) -> list[Member]:
        same = at.get((item.inode, item.device), ())
        return [one for one in same if one.id is None or one.id != item.photo_id]


def _age(member: Member) -> float:
    return member.id if member.id is not None else inf
