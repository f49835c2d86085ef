"""Stage two of a scan: header facts, read in processes that can be killed.

    read_facts(store, roots, processes=2)     into the database, for the photos that lack them
    headers_of(paths, processes=2)            of any files, without a database

Promises: a hostile file costs itself at most (an error row of stage `facts`); the stage can be stopped
anywhere and goes on with the photos that have no facts yet. What cannot heal is tried again only when the content or
the readers have changed; what may heal (a disk that could not be read) by each scan. A photo whose library is not
installed has facts that say so, and is read once the library is there. Facts of an older version are read anew.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from .hashing import join
from .header_facts import LASTING, HeaderError, HeaderFacts
from .header_pool import Wanted, header_pool, headers_in, headers_of
from .tables import BLANK, FACTS_VERSION, MISSING, below, directories, errors, facts, pages, photos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..core.workers import Pool
    from ..messages import Message
    from .store import Store

__all__ = ["FactsRead", "headers_of", "read_facts"]

COMMIT_ROWS = 500
COMMIT_EVERY_S = 1.0
PAGE = 1000  # photos or errors looked up at a time
STAGE = "facts"
MOST_READERS = 80  # characters of the column `readers`
# Kinds of errors of this stage that other rooms write, and keep in order.
FOREIGN_KINDS = ("empty", "blank")


@dataclass
class FactsRead:
    """What one run of the stage did, in numbers of photos."""

    read: int = 0
    failed: int = 0
    damaged: int = 0  # of those that were read
    lacking: dict[str, int] = field(default_factory=dict)  # of those below the roots: by format


@dataclass(frozen=True)
class _Row:
    """A photo that is to be read."""

    photo_id: int
    hash: str
    has_facts: bool  # of an older version, or without the library


def read_facts(
    store: Store,
    roots: Sequence[bytes],
    *,
    processes: int = 1,
    pool: Pool | None = None,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int, int], None] = lambda done, failed, total: None,
) -> FactsRead:
    """Read the headers of all photos below `roots` that have no facts of this version yet. `progress` is called with how
    many were read, how many could not be, and how many there are in all, a few times a second. They are read in `pool`
    (`header_pool`), else in one of so many `processes` that ends with the stage."""
    stage = _Stage(store, roots, stopped, progress)
    if pool is not None:
        return stage.run(pool)
    own = header_pool(processes)
    try:
        return stage.run(own)
    finally:
        own.close()


def readers(installed: Mapping[str, str]) -> str:
    """What tried to read a header (libraries and their versions), as an error remembers it: with another of them it is
    worth a second try."""
    parts = [f"{name.removeprefix('Pillow with ')} {version}" for name, version in installed.items()]
    return ", ".join([*parts, f"facts {FACTS_VERSION}"])[-MOST_READERS:]


_LOCATED = photos.join(directories, directories.c.id == photos.c.directory_id)
_CANDIDATES = _LOCATED.outerjoin(facts, facts.c.photo_id == photos.c.id)
_name = sa.type_coerce(photos.c.name, sa.LargeBinary)
_folder = sa.type_coerce(directories.c.path, sa.LargeBinary)
_error_path = sa.type_coerce(errors.c.path, sa.LargeBinary)


@dataclass(frozen=True)
class Unread:
    """A file that a stage could not read: the SHA-256 of its content, raw or in hex, and why."""

    path: bytes
    hash: bytes | str
    kind: str
    text: Message


def replace_errors(
    connection: sa.Connection, stage: str, tried: Sequence[bytes], found: Sequence[Unread], readers: str
) -> None:
    """Have the errors of a stage for the paths that it tried be these. `readers`: what read them, see `readers`."""
    for page in pages(tried):
        connection.execute(errors.delete().where(errors.c.stage == stage, _error_path.in_(page)))
    rows = [
        vars(one) | {"stage": stage, "at": datetime.now(UTC), "scan_id": None, "readers": readers}
        for one in found
    ]
    if rows:
        connection.execute(errors.insert(), rows)


def contents_at(connection: sa.Connection, paths: Sequence[bytes]) -> dict[bytes, str]:
    """The hashes of photos that are there, by path."""
    found: dict[bytes, str] = {}
    for page in pages([os.path.split(path) for path in paths], 200):
        query = (
            sa.select(_folder, _name, photos.c.hash)
            .select_from(_LOCATED)
            .where(
                photos.c.state.not_in((MISSING, BLANK)),
                _folder.in_({folder for folder, _ in page}),
                _name.in_({name for _, name in page}),
            )
        )
        found |= {
            join(bytes(folder), bytes(name)): digest for folder, name, digest in connection.execute(query)
        }
    return found


class _Stage:
    def __init__(
        self,
        store: Store,
        roots: Sequence[bytes],
        stopped: Callable[[], bool],
        progress: Callable[[int, int, int], None],
    ) -> None:
        self._store = store
        self._roots = roots
        self._stopped = stopped
        self._progress = progress
        self._done: list[tuple[_Row, HeaderFacts]] = []
        self._failed: list[tuple[Wanted[_Row], HeaderError]] = []
        self._found = FactsRead()
        self._total = 0
        self._committed = time.monotonic()
        self._installed: dict[str, str] = {}
        self._readers = ""

    def run(self, pool: Pool) -> FactsRead:
        if self._is_anything():
            from .headers import libraries

            self._installed = libraries()
            self._readers = readers(self._installed)
            self._total = self._candidates() - self._drop_errors()
            with closing(headers_in(pool, self._files())) as reading:
                while not self._stopped() and (answers := next(reading, None)) is not None:
                    for file, found in answers:
                        if isinstance(found, HeaderError):
                            self._failed.append((file, found))
                        else:
                            self._done.append((file.key, found))
                    full = len(self._done) + len(self._failed) >= COMMIT_ROWS
                    if full or time.monotonic() - self._committed > COMMIT_EVERY_S:
                        self._commit()
            self._commit()
            self._found.lacking = self._lacking()
        return self._found

    def _is_anything(self) -> bool:
        """Whether there is a photo to be read, or an error that may be out of date."""
        with self._store.read() as connection:
            waiting = sa.select(photos.c.id).select_from(_CANDIDATES).where(*self._wanted()).limit(1)
            failed = sa.select(errors.c.id).where(*self._own_errors()).limit(1)
            return connection.scalar(waiting) is not None or connection.scalar(failed) is not None

    def _wanted(self) -> list[sa.ColumnElement[bool]]:
        return [
            photos.c.state.not_in((MISSING, BLANK)),
            sa.or_(*(below(root) for root in self._roots)),
            sa.or_(facts.c.photo_id.is_(None), facts.c.version < FACTS_VERSION, facts.c.lacking.is_not(None)),
        ]

    def _own_errors(self) -> list[sa.ColumnElement[bool]]:
        inside = [
            sa.and_(_error_path >= root.rstrip(b"/") + b"/", _error_path < root.rstrip(b"/") + b"0")
            for root in self._roots
        ]
        return [errors.c.stage == STAGE, errors.c.kind.not_in(FOREIGN_KINDS), sa.or_(*inside)]

    def _is_still_lacking(self) -> sa.ColumnElement[bool]:
        """Facts of this version that want a library which is not there."""
        return sa.and_(
            facts.c.lacking.is_not(None),
            facts.c.lacking.not_in(list(self._installed)),
            facts.c.version >= FACTS_VERSION,
        )

    def _candidates(self) -> int:
        with self._store.read() as connection:
            query = sa.select(sa.func.count()).select_from(_CANDIDATES).where(*self._wanted())
            lacking = query.where(self._is_still_lacking())
            return (connection.scalar(query) or 0) - (connection.scalar(lacking) or 0)

    def _drop_errors(self) -> int:
        """Delete the errors of photos that are gone or were mended, and those that may heal. How many still stand."""
        last = standing = 0
        while True:
            query = sa.select(
                errors.c.id, _error_path.label("path"), errors.c.kind, errors.c.hash, errors.c.readers
            )
            query = query.where(errors.c.id > last, *self._own_errors()).order_by(errors.c.id).limit(PAGE)
            with self._store.read() as connection:
                rows = connection.execute(query).all()
                holds = contents_at(connection, [bytes(row.path) for row in rows])
            if not rows:
                return standing
            last = rows[-1].id
            stale = [
                row.id
                for row in rows
                if row.kind not in LASTING
                or row.readers != self._readers
                or holds.get(bytes(row.path)) != row.hash
            ]
            standing += len(rows) - len(stale)
            with self._store.write() as connection:
                for page in pages(stale):
                    connection.execute(errors.delete().where(errors.c.id.in_(page)))

    def _files(self) -> Iterator[Wanted[_Row]]:
        """Photos to be read, in pages, oldest first."""
        last = 0
        query = sa.select(photos.c.id, _folder, _name, photos.c.hash, facts.c.photo_id)
        query = query.select_from(_CANDIDATES).where(
            *self._wanted(), ~sa.func.coalesce(self._is_still_lacking(), sa.false())
        )
        while True:
            with self._store.read() as connection:
                rows = connection.execute(
                    query.where(photos.c.id > last).order_by(photos.c.id).limit(PAGE)
                ).all()
                files = [
                    Wanted(join(bytes(folder), bytes(name)), _Row(key, digest, known is not None))
                    for key, folder, name, digest, known in rows
                ]
                given_up = self._given_up(connection, files)
            if not rows:
                return
            last = rows[-1][0]
            yield from (file for file in files if file.path not in given_up)

    @staticmethod
    def _given_up(connection: sa.Connection, files: list[Wanted[_Row]]) -> set[bytes]:
        """Those whose error still stands: `_drop_errors` has deleted the others."""
        found: set[bytes] = set()
        for page in pages([file.path for file in files]):
            query = sa.select(_error_path).where(
                errors.c.stage == STAGE, errors.c.kind.in_(sorted(LASTING)), _error_path.in_(page)
            )
            found.update(bytes(path) for path in connection.scalars(query))
        return found

    def _commit(self) -> None:
        self._committed = time.monotonic()
        done, failed = self._done, self._failed
        self._done, self._failed = [], []
        self._found.read += len(done)
        self._found.failed += len(failed)
        self._found.damaged += sum(found.damaged is not None for _, found in done)
        self._progress(self._found.read, self._found.failed, self._total)
        if not done and not failed:
            return
        outdated = [row.photo_id for row, _ in done if row.has_facts]
        # What cannot be read is not known any more.
        outdated += [file.key.photo_id for file, error in failed if file.key.has_facts and error.lasts]
        with self._store.write() as connection:
            for page in pages(outdated):
                connection.execute(facts.delete().where(facts.c.photo_id.in_(page)))
            if done:
                versioned = {"version": FACTS_VERSION}
                connection.execute(
                    facts.insert(),
                    [{"photo_id": row.photo_id, **found.columns(), **versioned} for row, found in done],
                )
            self._write_errors(connection, failed)

    def _write_errors(
        self, connection: sa.Connection, failed: list[tuple[Wanted[_Row], HeaderError]]
    ) -> None:
        found = [Unread(file.path, file.key.hash, error.kind, error.text) for file, error in failed]
        replace_errors(connection, STAGE, [one.path for one in found], found, self._readers)

    def _lacking(self) -> dict[str, int]:
        query = (
            sa.select(facts.c.format, sa.func.count())
            .select_from(_CANDIDATES)
            .where(*self._wanted(), facts.c.lacking.is_not(None))
            .group_by(facts.c.format)
        )
        with self._store.read() as connection:
            return dict(Counter({str(name): count for name, count in connection.execute(query)}))
