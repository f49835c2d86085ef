"""Contents that many files hold, such as an icon or an empty frame: a further copy costs what a new photo does.

Who looks at all photos of a content anew in each commit takes a time that grows with the square of their number. Of
a content that MANY photos hold, `PlainCopies` keeps for the scan the original and where the copies were seen to stand. A
file at another place is one more copy then, whatever the others are.

Does not look again at the copies: one that goes away while the scan runs is missed by the next scan, as all files are
that go after they were listed. The original is looked at in each commit.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .hashing import Candidate, join
from .reading import signed
from .tables import HASH_DUPLICATE, PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .same_content import SameContent
    from .store import Driver

MANY = 100
"""Photos of one content from which on it is kept: fewer are soon looked at."""
_FEW = 20  # of them, among which one points to the original

_POINTED = "SELECT duplicate_of_id FROM duplicates WHERE reason = ? AND photo_id IN ({}) ORDER BY id"
_ORIGINAL = (
    "SELECT hash, state, hardlink_of_id, (SELECT count(*) FROM duplicates WHERE photo_id = photos.id) "
    "FROM photos WHERE id = ?"
)
_ADD = (
    "INSERT INTO duplicates (photo_id, duplicate_of_id, reason) "
    "SELECT id, ?, ? FROM photos WHERE directory_id = ? AND name = ?"
)


@dataclass
class _Held:
    """A content's original, its path and place; and the places of all, eight bytes each."""

    original: int
    path: bytes
    place: tuple[int, int]
    inodes: dict[int, array[int]] = field(default_factory=dict)  # by device, sorted

    def add(self, place: tuple[int, int]) -> None:
        inode, device = place
        insort(self.inodes.setdefault(device, array("q")), inode)

    def has(self, place: tuple[int, int]) -> bool:
        inode, device = place
        there = self.inodes.get(device)
        if there is None:
            return False
        at = bisect_left(there, inode)
        return at < len(there) and there[at] == inode


class PlainCopies:
    """The contents of one scan that many files hold."""

    def __init__(self) -> None:
        self._held: dict[bytes, _Held] = {}

    def forget(self) -> None:
        """Forget all: a transaction was undone."""
        self._held.clear()

    def among(
        self, driver: Driver, items: Iterable[Candidate], changed: Iterable[bytes]
    ) -> dict[bytes, list[Candidate]]:
        """Of the items that hold a content, those that are plain copies of known ones: new paths of other files. A content
        of which any item is something else, or that rows of these paths held before (`changed`), is forgotten."""
        if not self._held:
            return {}
        for digest in changed:
            self._held.pop(digest, None)
        found: dict[bytes, list[Candidate]] = {}
        for item in items:
            if item.digest in self._held:
                found.setdefault(item.digest, []).append(item)
        for digest, those in list(found.items()):
            held = self._held[digest]
            places = {(one.inode, one.device) for one in those}
            plain = len(places) == len(those) and not any(
                one.photo_id is not None or one.blank or held.has((one.inode, one.device)) for one in those
            )
            if not plain or not _stands(driver, held, digest, those[0].size):
                del self._held[digest], found[digest]
        return found

    def write(
        self, driver: Driver, copies: Mapping[bytes, list[Candidate]], directory_ids: Mapping[bytes, int]
    ) -> None:
        """Have the rows of these copies, which were just added, point to their originals."""
        rows = []
        for digest, those in copies.items():
            held = self._held[digest]
            for one in those:
                held.add((one.inode, one.device))
                rows.append((held.original, HASH_DUPLICATE, directory_ids[one.directory], one.name))
        if rows:
            driver.run(_ADD, rows)

    def note(self, driver: Driver, digest: bytes, same: SameContent) -> None:
        """Keep a content whose photos were all seen to stand, and point to one original by now."""
        if len(same) < MANY or (places := same.places()) is None:
            return
        rows = {one.id: one for one in same.rows}
        first = [row for row in rows if row is not None][:_FEW]
        if not first:  # all are of this call
            return
        pointed = driver.rows(_POINTED.format(", ".join("?" * len(first))), (HASH_DUPLICATE, *first))
        original = rows.get(pointed[0][0]) if pointed else None
        if original is None or original.id is None or original.place is None:
            return
        held = self._held[digest] = _Held(
            original.id, join(original.directory, original.name), original.place
        )
        for place in places:
            held.add(place)


def _stands(driver: Driver, held: _Held, digest: bytes, size: int) -> bool:
    """Whether the original is one still, in the database and on the disk."""
    found = driver.rows(_ORIGINAL, (held.original,))
    if not found:
        return False
    ((own, state, base, copy_of),) = found
    if bytes(own) != digest or state != PRESENT or base is not None or copy_of:
        return False
    try:
        status = os.lstat(held.path)
    except OSError:
        return False
    place = signed(status.st_ino), status.st_dev
    return stat.S_ISREG(status.st_mode) and status.st_size == size and place == held.place
