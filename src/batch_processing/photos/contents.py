"""Which photos hold a content, while a library is scanned for the first time.

An index over SHA-256 is written all over: of two hundred photos that are committed together nearly each changes another
page of it, which goes into the journal and into the file. It was half of what a first scan of small photos cost. So the first
scan into SQLite takes the index away, looks contents up here, and makes the index when it ends, sorted and at once.

Promises: nine bytes of memory for each photo. A scan that is killed leaves the library without its index, which
the next one makes first: until then lookups by hash take longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from .tables import photos

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .store import Driver

# Of a hash, the first bits say which list it is in, the bytes after them stand there, before the row's number: of a
# million others one in a thousand has the same. Whoever asks compares the whole hash.
LIST_BITS = 14
KEY = slice(2, 4)
ROW = 4  # bytes
_ENTRY = KEY.stop - KEY.start + ROW

_LAST = "SELECT max(id) FROM photos"
_SINCE = "SELECT hash, id FROM photos WHERE id > ? ORDER BY id"
_index = next(index for index in photos.indexes if list(index.columns) == [photos.c.hash])


class Contents:
    """Rows of `photos` by the beginning of their hash."""

    def __init__(self) -> None:
        self._lists = [b""] * (1 << LIST_BITS)  # to which `bytearray` would add a sixth
        self.last = 0  # row that it knows of

    def catch_up(self, driver: Driver) -> None:
        """Remember the rows that were added since `catch_up` or `add` was called last, by whomever."""
        last = driver.rows(_LAST)[0][0] or 0
        if last > self.last:
            for digest, row in driver.rows(_SINCE, (self.last,)):
                self.last = row - 1
                self.add([digest])
        self.last = last

    def add(self, digests: Sequence[bytes]) -> None:
        """Remember the rows that hold these contents, added just now in this order: SQLite numbers them one
        after the other."""
        added: dict[int, bytearray] = {}  # together, as a list is copied when it grows
        for row, digest in enumerate(digests, self.last + 1):
            entries = added.setdefault(int.from_bytes(digest[:2]) >> 16 - LIST_BITS, bytearray())
            entries += digest[KEY] + row.to_bytes(ROW)
        for at, entries in added.items():
            self._lists[at] += entries
        self.last += len(digests)

    def find(self, digests: Iterable[bytes]) -> set[int]:
        """The rows that may hold one of these contents, and all that do."""
        rows: set[int] = set()
        lists = self._lists
        for digest in digests:
            entries = lists[int.from_bytes(digest[:2]) >> 16 - LIST_BITS]
            key = digest[KEY]
            at = entries.find(key)
            while at >= 0:
                if at % _ENTRY == 0:
                    rows.add(int.from_bytes(entries[at + len(key) : at + _ENTRY]))
                at = entries.find(key, at + 1)
        return rows


def without_index(connection: sa.Connection) -> Contents | None:
    """Take the index over hashes away, if this is a library's first scan: contents are then looked up in what is
    returned. Else there is an index afterwards."""
    if connection.dialect.name == "sqlite" and connection.scalar(sa.select(photos.c.id).limit(1)) is None:
        connection.execute(sa.schema.DropIndex(_index, if_exists=True))
        return Contents()
    with_index(connection)
    return None


def with_index(connection: sa.Connection) -> None:
    """Make the index over hashes, if it was taken away."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.schema.CreateIndex(_index, if_not_exists=True))
