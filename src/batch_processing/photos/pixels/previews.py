"""Small pictures of photos, by content, in a database of their own that may be deleted at any time.

Promises: `previews.db` holds nothing that a look at the photos would not give again; whoever lacks one shows none. A
preview is on disk before its look is recorded. Readable by its owner alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ...core.database import Database, journal_mode
from ...core.workspace import Workspace
from ..tables import looks, pages

if TYPE_CHECKING:
    from ..store import Store

NAME = "previews.db"
_metadata = sa.MetaData()
_previews = sa.Table(
    "preview",
    _metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),  # SHA-256 of the content
    sa.Column("jpeg", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)


def previews_of(store: Store, workspace: Workspace | None) -> Previews:
    """Those of a library: in the workspace, else beside the SQLite file; of a database in memory nowhere."""
    if workspace is not None:
        return Previews(workspace.root / NAME)
    if store.is_sqlite:
        return Previews(store.file.parent / NAME if store.file is not None else None)
    return Previews(Workspace().root / NAME)


class Previews:
    """The previews in a file, which is made when the first is put there. None: kept nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._database: Database | None = None

    def put(self, found: Mapping[bytes, bytes]) -> None:
        """JPEGs by the SHA-256 of their photos; they replace those that are there."""
        if not found or self._path is None:
            return
        database = self._opened(self._path)
        with database.write() as connection:
            self._delete(connection, found)
            connection.execute(
                _previews.insert(), [{"hash": digest, "jpeg": content} for digest, content in found.items()]
            )

    def get(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of these photos that there are."""
        found: dict[bytes, bytes] = {}
        if self._path is None or not self._path.exists():
            return found
        with self._opened(self._path).read() as connection:
            for page in pages(digests):
                rows = connection.execute(sa.select(_previews).where(_previews.c.hash.in_(page)))
                found |= {bytes(digest): bytes(content) for digest, content in rows}
        return found

    def keep_only_known(self, store: Store) -> int:
        """Forget those of contents that were not looked at, or are forgotten; how many."""
        if self._path is None or not self._path.exists():
            return 0
        database = self._opened(self._path)
        with database.read() as connection:
            mine = [bytes(digest) for digest in connection.scalars(sa.select(_previews.c.hash))]
        gone: list[bytes] = []
        for page in pages(mine):
            known = sa.type_coerce(looks.c.hash, sa.LargeBinary)
            with store.read() as connection:
                there = {
                    bytes(digest) for digest in connection.scalars(sa.select(known).where(known.in_(page)))
                }
            gone += [digest for digest in page if digest not in there]
        if gone:
            with database.write() as connection:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
                self._delete(connection, gone)
            database.compact()
        return len(gone)

    @staticmethod
    def _delete(connection: sa.Connection, digests: Iterable[bytes]) -> None:
        for page in pages(digests):
            connection.execute(_previews.delete().where(_previews.c.hash.in_(page)))

    def _opened(self, path: Path) -> Database:
        if self._database is None:
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._database = Database(path, journal=journal_mode(steady=True))
            with self._database.write() as connection:
                _metadata.create_all(connection)
        return self._database

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
