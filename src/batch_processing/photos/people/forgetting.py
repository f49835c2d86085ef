"""Leave no face behind: rows, names, decisions, and every byte of what was computed from a face.

    how_many(store, [])                   what would go
    forget(store, workspace, [])          all faces; nobody asks for them any more
    forget(store, workspace, [12])        those of one person

Promises: afterwards no file that Lote keeps for this library holds a byte of a forgotten face's vector: the database, its
journal or WAL, what the last grouping left, and databases that a restoring put aside. SQLite overwrites what it deletes
(`secure_delete`), is written anew as a whole (what moved within its pages earlier has left traces there), and its journal
is overwritten before it is emptied. Killed anywhere, the next command about people, or the same again, ends it: that it
began is in the tables until all is done. Where another program keeps it from that, it says so.

Cannot reach: copies that somebody made (`lote backup`, others' backups, snapshots of a file system, the cells of a flash
drive that the drive itself has put aside), and on PostgreSQL its write-ahead log, replicas and base backups: these are the
server's. Photos and their previews are no faces, and stay.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ...core.database import BUSY_TIMEOUT_S
from ...core.plain import from_plain
from ...exceptions import reason
from ...messages import Message
from ..tables import face_decisions, faces, pages, people, people_actions
from . import deeds
from .asked import forget_asking
from .person import ActionKind, Undo
from .remembered import files_of, forget_parts

if TYPE_CHECKING:
    from ...core.workspace import Workspace
    from ..store import Store

# What stands in `people_actions` while a forgetting is not at its end.
FORGETTING = "forgetting"
BLOCK = 1 << 20


@dataclass
class Forgotten:
    """What became of a forgetting. `copies`: databases that Lote put aside, which still hold faces; `problem`: why bytes of
    them may be left, None where none are."""

    faces: int
    is_server: bool = False
    copies: list[Path] = field(default_factory=list)
    problem: Message | None = None

    @property
    def is_complete(self) -> bool:
        return self.problem is None

    def sentences(self) -> Iterator[Message]:
        """What there is to know beside the number."""
        if self.problem is not None:
            yield Message(
                "The rows are deleted, but bytes of them may be left in the database file ({problem}): give the same "
                "command again when no other program uses it.",
                problem=self.problem,
            )
        if self.is_server:
            yield Message(
                "The tables of PostgreSQL are written anew. What its write-ahead log, replicas and backups still hold is the "
                "server's: ask whoever runs it."
            )
        yield Message(
            "Not touched: copies that you made with lote backup or other programs; delete those yourself. Photos and their "
            "previews are kept."
        )
        for copy in self.copies:
            yield Message(
                "Not touched: {path}, the database as it was before a copy was restored; delete it, if you do not need it.",
                path=copy,
            )


def how_many(store: Store, persons: Sequence[int]) -> int:
    """How many faces that would be: all, or those of these people."""
    query = sa.select(sa.func.count()).select_from(faces)
    with store.read() as connection:
        return connection.scalar(query.where(faces.c.person_id.in_(persons)) if persons else query) or 0


def forget(store: Store, workspace: Workspace | None, persons: Sequence[int] = ()) -> Forgotten:
    """Forget all faces, who they are, and that they were asked for; or the faces of these people alone, and them: they are
    not looked for on photos that were looked at, but may be found, as somebody new, on others."""
    count = how_many(store, persons)
    with store.write() as connection:
        deeds.one_at_a_time(connection)
        at = datetime.now(UTC)
        undo = {"persons": list(persons)}
        connection.execute(people_actions.insert().values(kind=FORGETTING, undo=undo, at=at))
    done = go_on(store, workspace)
    done.faces = count
    return done


def go_on(store: Store, workspace: Workspace | None) -> Forgotten:
    """End what was begun and not ended, here or by a process that was killed; nothing where nothing was."""
    done = Forgotten(0, is_server=not store.is_sqlite)
    begun = sa.select(people_actions.c.id, people_actions.c.undo).where(people_actions.c.kind == FORGETTING)
    with store.read() as connection:
        rows = connection.execute(begun.order_by(people_actions.c.id)).all()
    if not rows:
        return done
    for file in files_of(store, workspace):
        _forget_file(file)
    for row in rows:
        with store.write() as connection:
            if store.is_sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            _delete(connection, row.undo["persons"])
    done.problem = _wipe(store)
    done.copies = _put_aside(store)
    if done.problem is None:
        with store.write() as connection:
            ended = people_actions.c.id.in_([row.id for row in rows])
            connection.execute(people_actions.delete().where(ended))
    return done


def _delete(connection: sa.Connection, persons: Sequence[int]) -> None:
    deeds.one_at_a_time(connection)
    kept = people_actions.c.kind == FORGETTING
    if not persons:
        for table in (face_decisions, faces, people):
            connection.execute(table.delete())
        connection.execute(people_actions.delete().where(~kept))
        forget_asking(connection)
        return
    which = list(connection.scalars(sa.select(faces.c.id).where(faces.c.person_id.in_(persons))))
    _forget_actions(connection, set(persons), set(which))
    for page in pages(which):
        connection.execute(face_decisions.delete().where(face_decisions.c.face_id.in_(page)))
        connection.execute(faces.delete().where(faces.c.id.in_(page)))
    connection.execute(face_decisions.delete().where(face_decisions.c.person_id.in_(persons)))
    connection.execute(people.delete().where(people.c.id.in_(persons)))


def _forget_actions(connection: sa.Connection, persons: set[int], which: set[int]) -> None:
    """Forget how to undo what was done to these people: their names stand there."""
    query = sa.select(people_actions.c.id, people_actions.c.undo)
    gone = []
    for row in connection.execute(query.where(people_actions.c.kind.in_(list(ActionKind)))).all():
        undo = from_plain(Undo, row.undo)
        about = {undo.person, undo.other, *(one.id for one in undo.people)}
        if about & persons or any(face.id in which for face in undo.faces):
            gone.append(row.id)
    for page in pages(gone):
        connection.execute(people_actions.delete().where(people_actions.c.id.in_(page)))


# -- bytes ---------------------------------------------------------------------------------------------


def _forget_file(path: Path) -> None:
    """Overwrite and delete what the last grouping left."""
    for file in (path, *path.parent.glob(f".{path.name}.*.part")):
        with suppress(FileNotFoundError):
            _overwrite(file)
    path.unlink(missing_ok=True)
    forget_parts(path)


def _overwrite(path: Path) -> None:
    """Zeros in place of what is in a file, on the disk when this returns."""
    with path.open("r+b") as file:
        left = file.seek(0, os.SEEK_END)
        file.seek(0)
        while left > 0:
            left -= file.write(bytes(min(BLOCK, left)))
        file.flush()
        os.fsync(file.fileno())


def _wipe(store: Store) -> Message | None:
    """Have the database hold nothing of what was deleted; why it may, where that cannot be."""
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in (faces, face_decisions, people, people_actions):
                connection.exec_driver_sql(f"VACUUM FULL {table.name}")
        return None
    if store.file is None:
        return None  # in memory
    store.close()  # what this process has open would be in the way
    try:
        with closing(sqlite3.connect(store.file, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as own:
            own.execute("PRAGMA secure_delete=ON")
            (mode,) = own.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                own.execute("PRAGMA journal_mode=PERSIST")  # one that is deleted cannot be overwritten
            own.execute("VACUUM")
            if mode == "wal":
                (busy, *_) = own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return Message("it is in use") if busy else None
            _empty_journal(own, store.file)
    except (sqlite3.OperationalError, OSError) as error:
        return reason(error)
    return None


def _empty_journal(own: sqlite3.Connection, database: Path) -> None:
    """Overwrite and empty the rollback journal, which keeps pages as they were. Nobody writes meanwhile, and it is not
    needed: what it was for has been committed."""
    own.execute("BEGIN EXCLUSIVE")
    try:
        journal = database.with_name(f"{database.name}-journal")
        with suppress(FileNotFoundError):
            _overwrite(journal)
            os.truncate(journal, 0)
    finally:
        own.execute("COMMIT")


def _put_aside(store: Store) -> list[Path]:
    """Databases that `lote restore` has put aside: a person may want them, with or without faces."""
    if store.file is None:
        return []
    return sorted(store.file.parent.glob(f"{store.file.name}.before-restore-*"))
