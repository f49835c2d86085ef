"""Which photos hold a content, while a library is scanned for the first time.

An index over SHA-256 is written all over: of two hundred photos that are committed together nearly each changes another
page of it, which goes into the journal and into the file. It was half of what a first scan of small photos cost. So the first
scan into SQLite takes the index away, looks contents up here, and makes the index when it ends, sorted and at once.

Promises: memory does not grow with the library; nothing here outlives the scan. A scan that is killed leaves
the library without its index, which the next one makes first: until then lookups by hash take longer.
"""

from __future__ import annotations

import sqlite3
from itertools import count
from typing import TYPE_CHECKING

import sqlalchemy as sa

from .tables import pages, photos

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .store import Driver

# Bytes of a hash by which it is looked up: of a million others one in a million has the same. Whoever asks
# compares the whole hash.
KEY = 5
# Bits of it for which it is noted whether any content has them: of a library of a million, fifteen contents in sixteen
# are known to be new without a look into the file.
NOTED = 24
# What of the file is kept in memory: that of 300,000 photos. With 2 MB an addition takes twice as long.
CACHE_KIB = 6000
# Lookups, and additions, in one statement.
AT_ONCE = 20

# A row that others have forgotten leaves its number to the next, perhaps of the same content.
_ADD = "INSERT OR IGNORE INTO held VALUES "
_ONE = "(?, ?)"
_FIND = f"SELECT id FROM held WHERE key IN ({', '.join('?' * AT_ONCE)})"  # noqa: S608
_LAST = "SELECT max(id) FROM photos"
_SINCE = "SELECT hash, id FROM photos WHERE id > ?"
_index = next(index for index in photos.indexes if list(index.columns) == [photos.c.hash])


class Contents:
    """Rows of `photos` by the beginning of their hash, in a file of SQLite's that has no name."""

    def __init__(self) -> None:
        # An empty name: on disk as soon as it does not fit into SQLite's cache, and gone when it is closed.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._file.execute("CREATE TABLE held (key INTEGER, id INTEGER, PRIMARY KEY (key, id)) WITHOUT ROWID")
        self._file.execute("BEGIN")  # and never commits
        self._noted = bytearray(1 << NOTED - 3)
        self._last = 0  # row that it knows of

    def catch_up(self, driver: Driver) -> None:
        """Remember the rows that were added since `catch_up` or `add` was called last, by whomever."""
        last = driver.rows(_LAST)[0][0] or 0
        if last > self._last:
            self._remember((_key(digest), row) for digest, row in driver.rows(_SINCE, (self._last,)))
        self._last = last

    def add(self, digests: Sequence[bytes]) -> None:
        """Remember the rows that hold these contents, added just now in this order: SQLite numbers them one
        after the other."""
        self._remember(zip(map(_key, digests), count(self._last + 1)))
        self._last += len(digests)

    def _remember(self, held: Iterable[tuple[int, int]]) -> None:
        values: list[int] = []
        noted = self._noted
        for key, row in held:
            noted[key >> _BYTE] |= 1 << (key >> _BIT & 7)
            values += key, row
        whole = len(values) - len(values) % (2 * AT_ONCE)
        together = [values[start : start + 2 * AT_ONCE] for start in range(0, whole, 2 * AT_ONCE)]
        self._file.executemany(_ADD + ", ".join([_ONE] * AT_ONCE), together)
        self._file.executemany(_ADD + _ONE, zip(values[whole::2], values[whole + 1 :: 2], strict=True))

    def find(self, digests: Iterable[bytes]) -> list[int]:
        """The rows that may hold one of these contents, and all that do."""
        noted = self._noted
        keys = [key for key in map(_key, digests) if noted[key >> _BYTE] >> (key >> _BIT & 7) & 1]
        return [
            row
            for page in pages(keys, AT_ONCE)
            for (row,) in self._file.execute(_FIND, page + page[-1:] * (AT_ONCE - len(page)))
        ]

    def close(self) -> None:
        self._file.close()


# Where in `_noted` a key's bit lies: its leading bits, the last three of them within a byte.
_BIT = 8 * KEY - NOTED
_BYTE = _BIT + 3


def _key(digest: bytes) -> int:
    return int.from_bytes(digest[:KEY])


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
