"""How a database is opened: the one place that decides journal mode, transactions and migrations.

Promises: a commit that returned is on disk (`synchronous=FULL`); a writer waits for its turn instead
of failing; a schema is brought up to date in whole steps. Refuses nothing but what the database
refuses. Does not make SQLite safe on a network file system: `Workspace` turns those away.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..exceptions import ResourceError, WorkspaceError
from ..messages import Message, stored
from .plain import T

# WAL can corrupt a database when it is reset while another process checkpoints; mended in 3.51.3.
# https://sqlite.org/wal.html, "the WAL-reset bug"
WAL_IS_SAFE_FROM = (3, 51, 3)
# Longest wait for another process's commit before "database is locked". Commits take milliseconds;
# a laptop that sleeps in the middle of one is the case that needs a whole minute.
BUSY_TIMEOUT_S = 58.0  # and all that is said and done after it, within the minute that is promised
# Who has waited so long in vain does not do so again for each statement with which it ends.
BUSY_AGAIN_S = 0.3
# PostgreSQL's SQLSTATE of a lock that was not to be had in time. https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_NOT_AVAILABLE = "55P03"
# Those of transactions that others' transactions have undone: serialization_failure, deadlock_detected. Same source.
UNDONE_BY_OTHERS = ("40001", "40P01")
# What a journal that stays may keep of the disk; a commit of a thousand pages needs half of it.
JOURNAL_BYTES = 8 * 1024 * 1024
# Free pages of a database that are worth writing it anew, in bytes.
WORTH_COMPACTING = 1_000_000

_migrations = sa.MetaData()
migration_table = sa.Table(
    "migration",
    _migrations,
    sa.Column("room", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(80), primary_key=True),
)

Migration = tuple[str, Callable[[sa.Connection], None]]


def journal_mode(*, steady: bool = False) -> str:
    """The journal that is safe with the SQLite library linked here: "wal" or "truncate"; or "persist", for
    connections that commit all the time (`steady`). That is as safe, and its commits change no file's length: a scan
    of small photos is a fifth faster. Rollback journals of both kinds may take turns on one database."""
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE_FROM:
        return "wal"
    return "persist" if steady else "truncate"


class MessageText(sa.TypeDecorator[Message]):
    """A message: template and values as JSON. A row of an earlier version is one without values."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Message | str | None, dialect: sa.Dialect) -> str | None:
        return stored(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Message | None:
        return None if value is None else Message.from_json(value)


class Database:
    """A database behind an SQLAlchemy URL, or a file of SQLite behind a path.

    `read()` and `write()` are its transactions. A write takes SQLite's write lock at once
    (BEGIN IMMEDIATE): a transaction that begins as a reader and turns writer fails with
    "database is locked" no matter how long it may wait.
    """

    def __init__(self, where: str | Path, *, journal: str | None = None) -> None:
        """`where`: an SQLAlchemy URL, or the path of an SQLite file (its folder must exist).
        `journal`: instead of what `journal_mode()` says."""
        text = str(where)
        self.url = (
            sa.make_url(text)
            if isinstance(where, str) and "://" in text
            else sa.URL.create("sqlite", database=text)
        )
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.name = str(self.url.database) if self.is_sqlite else self.url.render_as_string()
        self.journal = journal or journal_mode()
        if self.is_sqlite:
            self.engine = sa.create_engine(
                self.url,
                connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
                poolclass=sa.pool.QueuePool if self.url.database != ":memory:" else sa.pool.StaticPool,
            )
            sa.event.listen(self.engine, "connect", self._on_connect)
            sa.event.listen(self.engine, "begin", self._on_begin)
        else:
            self.engine = sa.create_engine(self.url, pool_pre_ping=True)
        self._writing = self.engine.execution_options(lote_write=True)
        self._file: tuple[int, int] | None = None  # which file it is, once it was opened
        self._gave_up = False  # the last wait for another program was in vain

    @property
    def patience_s(self) -> float:
        """How long the next statement waits for another program's lock, in seconds."""
        return BUSY_AGAIN_S if self._gave_up else BUSY_TIMEOUT_S

    def _on_begin(self, connection: sa.Connection) -> None:
        # pysqlite's own transactions are switched off (isolation_level None): they begin too late.
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - only SQLite's engines are listened to
        if connection.get_execution_options().get("lote_write"):
            _begin_writing(connection, driver, self.patience_s)
        else:
            driver.execute(f"PRAGMA busy_timeout={self.patience_s * 1000:.0f}")
            connection.exec_driver_sql("BEGIN")

    def _on_connect(self, connection: Any, _record: Any) -> None:
        if self._file is None:
            self._file = _file_at(self.name)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={self.patience_s * 1000:.0f}")
        cursor.execute(f"PRAGMA journal_mode={self.journal}")
        cursor.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A short transaction that only reads. Long ones stop every commit under the TRUNCATE journal."""
        with self._faults(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write: committed when the block ends, undone when it raises."""
        with self._faults(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """What the machine does to a database becomes one sentence (a full disk, a lost permission)."""
        try:
            yield
            self._gave_up = False
        except sa.exc.OperationalError as error:
            if is_locked(error):
                self._gave_up = True
                raise kept_locked(self.engine.url) from error
            if self._is_gone():
                raise WorkspaceError(
                    "The database {name} was removed or replaced while Lote worked with it: put it back, or a "
                    "copy of it with `lote restore`, and give the command again; without one it looks at what "
                    "stands in the output.",
                    name=self.name,
                ) from error
            raise ResourceError(
                "The database {name} cannot be used ({orig}): nothing that was recorded is lost; free disk "
                "space or mend its permissions, and give the command again.",
                name=self.name,
                orig=error.orig,
            ) from error
        except sa.exc.DatabaseError as error:
            if type(error) is not sa.exc.DatabaseError:
                raise  # a broken constraint, a wrong statement: a fault of ours
            raise WorkspaceError(
                "{name} is damaged or no database ({orig}): put it aside, or choose another workspace.",
                name=self.name,
                orig=error.orig,
            ) from error

    def _is_gone(self) -> bool:
        """Whether another file, or none, stands where the database was when it was opened."""
        return self._file is not None and self._file != _file_at(self.name)

    def migrate(self, room: str, steps: Sequence[Migration]) -> None:
        """Bring the tables of `room` up to date: each step not yet named in `migration` runs once, in one transaction of
        its own; those of a room that is new all in one, where a step that stands there under several names
        runs once. WorkspaceError if a newer Lote has been here."""
        known = {name for name, _ in steps}
        mine = sa.select(migration_table.c.name).where(migration_table.c.room == room)
        with self.read() as connection:  # the usual case: nothing to do, and nobody to wait for
            exists = sa.inspect(connection).has_table(migration_table.name)
            done = set(connection.scalars(mine)) if exists else set()
        if newer := done - known:
            raise WorkspaceError(
                "{name} was written by a newer Lote (it knows {newer}): install that version, or choose "
                "another workspace.",
                name=self.name,
                newer=min(newer),
            )
        lacking = [step for step in steps if step[0] not in done]
        together = [[step] for step in lacking] if done else [lacking]
        for part in together if lacking else ():
            with self.write() as connection:
                migration_table.create(connection, checkfirst=True)
                done = set(connection.scalars(mine))  # another process may have been faster
                taken = set()
                for name, step in part:
                    if name in done:
                        continue
                    if step not in taken:
                        step(connection)
                    taken.add(step)
                    connection.execute(migration_table.insert().values(room=room, name=name))

    def integrity_check(self) -> str:
        """ "ok", or what SQLite's own check finds wrong. Other databases answer "ok" when they answer."""
        with self.read() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT 1"))
                return "ok"
            return "; ".join(connection.scalars(sa.text("PRAGMA integrity_check")))

    def compact(self) -> None:
        """Give the file system back what deleted rows have left, where that is a quarter of the file and worth the
        writing. Not while others use the database, nor on a full disk: it is a saving, no promise."""
        if not self.is_sqlite:
            return
        with self.read() as connection:
            page, pages, free = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("page_size", "page_count", "freelist_count")
            )
        if free * page < WORTH_COMPACTING or free * 4 < pages:
            return
        with (
            closing(sqlite3.connect(self.name, timeout=BUSY_AGAIN_S)) as own,
            suppress(sqlite3.OperationalError),
        ):
            own.execute("VACUUM")

    def close(self) -> None:
        self.engine.dispose()


def _file_at(path: str) -> tuple[int, int] | None:
    """What tells the file at `path` from every other; None where there is none."""
    try:
        about = os.stat(path)  # noqa: PTH116 - the name of a database, a path only here
    except OSError:
        return None
    return about.st_dev, about.st_ino


def is_locked(error: BaseException) -> bool:
    """Whether another program's lock is why a statement failed (an error of SQLAlchemy's or of a driver)."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(cause, "sqlstate", None) == LOCK_NOT_AVAILABLE


def is_undone_by_others(error: BaseException) -> bool:
    """Whether a server has undone a transaction in favour of another's; given again it can succeed."""
    return getattr(getattr(error, "orig", None) or error, "sqlstate", None) in UNDONE_BY_OTHERS


def kept_locked(url: sa.URL) -> ResourceError:
    """What there is to say when another program keeps a database locked for longer than anybody waits."""
    name = url.database if url.get_backend_name() == "sqlite" else url.render_as_string()
    return ResourceError(
        "The database {name} is kept locked by {url}: nothing that was recorded is lost; wait until "
        "that program has ended, or close it, and give the command again.",
        name=name,
        url=who_locks(url),
    )


def who_locks(url: sa.URL) -> Message:
    """The process that holds a lock on an SQLite database, for a sentence: "process 4711 (sqlite3)". "another
    program" where the system does not say (only Linux does), and for a database on a server."""
    unknown = Message("another program")
    if url.get_backend_name() != "sqlite" or not url.database:
        return unknown
    inodes = set()
    for name in (url.database, f"{url.database}-shm"):  # with a WAL the locks are on its index
        with suppress(OSError):
            inodes.add(os.stat(name).st_ino)  # noqa: PTH116 - the device is spelled in another way below
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return unknown
    # 1: POSIX  ADVISORY  WRITE 4711 fd:01:393219 1073741825 1073742335 (proc_locks(5)); a waiting one has "->"
    for line in locks.splitlines():
        fields = line.split()
        if len(fields) < 6 or fields[1] != "POSIX" or not fields[4].isdigit():
            continue
        holder, inode = int(fields[4]), fields[5].rpartition(":")[2]
        if inode.isdigit() and int(inode) in inodes and holder not in (0, os.getpid()):
            with suppress(OSError):
                program = Path(f"/proc/{holder}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return Message("process {holder} ({program})", holder=holder, program=program)
    return unknown


def _begin_writing(connection: sa.Connection, driver: sqlite3.Connection, patience_s: float) -> None:
    """BEGIN IMMEDIATE, as soon as other processes let us.

    SQLite's own wait asks ever more seldom, so that whoever has waited longest comes last: with four
    processes that write all the time one was measured to wait for more than a minute."""
    began = time.monotonic()
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while (waited := time.monotonic() - began) < patience_s:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(random.uniform(0.5, 1.5) * _turn(waited))
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails once more, with an error that SQLAlchemy knows
    finally:
        driver.execute(f"PRAGMA busy_timeout={patience_s * 1000:.0f}")


def _turn(waited: float) -> float:
    """Seconds until somebody who has waited that long asks again: first about as long as a commit takes,
    then ever sooner, so that the oldest is most likely the next. Who waits for a second waits for a
    process that is stopped, and has time."""
    return max(0.0003, 0.003 - waited * 0.03) if waited < 1.0 else 0.02


def chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """`things` in lists of `size`, the last may be shorter (itertools.batched, from Python 3.12 on)."""
    chunk: list[T] = []
    for thing in things:
        chunk.append(thing)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
