"""How a scan gets at the database: short reads, whole writes, and one scan at a time.

Promises: every write is one transaction that begins as a writer; a read holds no lock when it returns, nor
does a write once it was waited for, so that a consumer may use the database between two batches. Sessions
that were handed in are committed before each of our transactions: with SQLite it would otherwise lock us out.
Refuses a second scan inside the same process while one is suspended: it would wait for itself.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import sqlalchemy as sa

from ..core.database import Database, is_locked, is_undone_by_others, journal_mode, who_locks
from ..core.workspace import Workspace
from ..exceptions import ConfigurationError, QueueError, ResourceError, WorkspaceError
from ..messages import Message
from . import tables
from .names import as_listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from ..core.processes import Identity
    from ..core.workspace import Kind

# How often a waiting scan looks whether the lock is free. A follower should hold it within 2 s.
LOCK_POLL_S = 0.2
# Keys of PostgreSQL's advisory locks, by what is done: "lote" in ASCII, and the next. Any numbers that others do not use do.
ADVISORY_KEYS = {"photos": 0x6C6F7465, "looks": 0x6C6F7466}

_ours: WeakSet[sa.Engine] = WeakSet()  # made by `open_database`
_ensured: WeakSet[sa.Engine] = WeakSet()  # with our tables


def open_database(where: str | Path) -> Database:
    """The database behind an SQLAlchemy URL or the path of an SQLite file, with the photo tables in it.

    ConfigurationError for a URL that SQLAlchemy, or the drivers installed, cannot make anything of."""
    try:
        database = Database(_located(where), journal=journal_mode(steady=True))
    except (sa.exc.ArgumentError, ImportError, ValueError) as error:
        raise _not_understood(error) from error
    database.migrate("photos", tables.MIGRATIONS)
    _ours.add(database.engine)
    _ensured.add(database.engine)
    return database


def _not_understood(error: Exception) -> ConfigurationError:
    return ConfigurationError(
        "The database cannot be opened ({error}): name an SQLite file, or an SQLAlchemy URL whose "
        "driver is installed (for PostgreSQL: pip install '.[postgres]' in Lote's folder).",
        error=error,
    )


def ensure_tables(session: Session) -> None:
    """Make the photo tables where a session of somebody else's engine points, once for each engine,
    and have SQLite enforce the foreign keys there."""
    bind = session.get_bind()
    engine = bind.engine
    if engine in _ensured:
        return
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _enforce_foreign_keys)
    connection = session.connection()
    if engine.dialect.name == "sqlite" and connection.connection.dbapi_connection is not None:
        _enforce_foreign_keys(connection.connection.dbapi_connection, None)
    tables.bring_up_to_date(connection)
    session.commit()
    _ensured.add(engine)


def _enforce_foreign_keys(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


class Store:
    """The photo tables as a scan uses them, from one thread."""

    def __init__(self, where: Database | Session, *others: Session) -> None:
        """`others`: more sessions of the caller's on the same database, which are committed with the first."""
        self._sessions: tuple[Session, ...] = ()
        self._given: sa.Connection | None = None  # of a session that is bound to one connection
        if isinstance(where, Database):
            self.engine = where.engine
        else:
            ensure_tables(where)
            self._sessions = where, *others
            bind = where.get_bind()
            if isinstance(bind, sa.Connection):
                self._given = bind
            self.engine = bind.engine
        self._writing = self.engine.execution_options(lote_write=True)
        self._writer: sa.Connection | None = None  # of our own engine: getting one takes as long as a commit
        self._reader: sa.Connection | None = None
        self._background: _Background | None = None
        self._committing: ExitStack | None = None  # the transaction that nobody has waited for yet

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def is_private(self) -> bool:
        """Whether nobody else uses the database through this store's session while a scan goes on."""
        return not self._sessions

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for one in memory and for servers."""
        name = self.engine.url.database
        return Path(name).absolute() if self.is_sqlite and name and name != ":memory:" else None

    @contextmanager
    def write(self, *, wait: bool = True) -> Iterator[sa.Connection]:
        """One transaction: committed when the block ends, undone when it raises. Without `wait` it may be
        committed, or fail, only when `wait()` returns: half of a commit's time the processor waits for the disk."""
        self.wait()
        for session in self._sessions:
            session.commit()
        with _one_sentence(self.engine), ExitStack() as stack:
            if self._given is not None:
                stack.enter_context(
                    self._given.begin_nested() if self._given.in_transaction() else self._given.begin()
                )
                yield self._given
            elif self.engine not in _ours:
                yield stack.enter_context(self._writing.begin())
            else:
                self._writer = self._writer or self._writing.connect()
                stack.enter_context(self._writer.begin())
                yield self._writer
                # Not with somebody else's engine: it may have connections that belong to a thread.
                commit = getattr(self._writer.connection.driver_connection, "commit", None)
                if not wait and commit is not None:
                    self._background = self._background or _Background()
                    self._background.start(commit)
                    self._committing = stack.pop_all()

    @property
    def is_committing(self) -> bool:
        return self._committing is not None and self._background is not None and self._background.is_busy

    @property
    def committed(self) -> int | None:
        """A descriptor that can be read from when `is_committing` ends; None if it has not begun."""
        return self._background.ended if self._background is not None else None

    def wait(self) -> None:
        """Have what was written last on disk."""
        if self._committing is not None and self._background is not None:
            transaction, self._committing = self._committing, None
            with _one_sentence(self.engine), transaction:  # has nothing left to commit; undone if that failed
                self._background.finish()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A short transaction that only reads."""
        self.wait()
        for session in self._sessions:
            session.commit()
        with _one_sentence(self.engine):
            if self._given is not None:
                yield self._given
            else:
                with self.engine.begin() as connection:
                    yield connection

    def query(self, statement: sa.Select[Any]) -> Callable[[bytes], list[Any]]:
        """`statement`, which has one parameter, made ready to be asked many times.

        Goes round SQLAlchemy's rows, which cost as much as the rest of a rescan together."""
        compiled = statement.compile(dialect=self.engine.dialect)
        text, (name,) = str(compiled), compiled.params
        if self._given is not None:
            self._reader = self._given
        elif (
            self.is_sqlite and self.engine in _ours
        ):  # what one connection writes another has to read from the file
            self._reader = self._writer = self._writer or self._writing.connect()
        elif self._reader is None:
            self._reader = self.engine.connect()
            if not self.is_sqlite:
                self._reader.execution_options(isolation_level="AUTOCOMMIT")
        cursor = self._reader.connection.cursor()

        def ask(value: bytes) -> list[Any]:
            self.wait()  # SQLite reads nothing meanwhile, and asks again ever more seldom
            with _one_sentence(self.engine):
                cursor.execute(text, (value,) if compiled.positional else {name: value})
                return list(cursor.fetchall())

        return ask

    def close(self) -> None:
        if self._background is not None:
            self._background.close()
            self._background = self._committing = None
        for connection in (self._reader, self._writer):
            if connection is not None and connection is not self._given:
                connection.close()
        self._reader = self._writer = None


class Driver:
    """The driver's own cursor in a transaction of SQLAlchemy's, for what every commit of a scan does: there
    statements on their way through SQLAlchemy took longer than the database. A `?` in a text is a parameter."""

    def __init__(self, connection: sa.Connection) -> None:
        self._cursor = connection.connection.cursor()
        self._is_qmark = connection.dialect.paramstyle == "qmark"

    def rows(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a SELECT gives."""
        self._cursor.execute(self._own(text), values)
        return list(self._cursor.fetchall())

    def run(self, text: str, many: Sequence[Sequence[Any]]) -> None:
        """The statement once for each of `many`."""
        self._cursor.executemany(self._own(text), many)

    def _own(self, text: str) -> str:
        return text if self._is_qmark else text.replace("?", "%s")


class _Background:
    """A thread that commits, one transaction at a time, and a descriptor that says when it has."""

    def __init__(self) -> None:
        self._given: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._failures: SimpleQueue[BaseException | None] = SimpleQueue()
        self.ended, self._end = os.pipe()
        self._thread = Thread(target=self._commit, name="lote-commit", daemon=True)
        self._thread.start()

    def _commit(self) -> None:
        while (commit := self._given.get()) is not None:
            failure = None
            try:
                commit()
            except BaseException as error:  # noqa: BLE001 - raised by `finish`
                failure = error
            self._failures.put(failure)
            os.write(self._end, b".")

    def start(self, commit: Callable[[], object]) -> None:
        self._given.put(commit)

    @property
    def is_busy(self) -> bool:
        """Whether what was started last goes on."""
        return self._failures.empty()

    def finish(self) -> None:
        """Wait for what was started, and raise what it raised."""
        os.read(self.ended, 1)
        if (failure := self._failures.get()) is not None:
            raise failure

    def close(self) -> None:
        self._given.put(None)
        self._thread.join()
        os.close(self.ended)
        os.close(self._end)


@contextmanager
def _one_sentence(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except (sa.exc.IntegrityError, engine.dialect.loaded_dbapi.IntegrityError) as error:
        raise QueueError(
            "Somebody else wrote the same photos into {database} meanwhile ({error}): run the same scan again.",
            database=engine.url.render_as_string(),
            error=getattr(error, "orig", None) or error,
        ) from error
    except (sa.exc.OperationalError, engine.dialect.loaded_dbapi.OperationalError) as error:
        cause = getattr(error, "orig", None) or error
        if is_locked(error):
            raise ResourceError(
                "The database {database} is kept locked by {program}: what was committed is safe; wait until that "
                "program has ended, or close it, and give the command again.",
                database=engine.url.render_as_string(),
                program=who_locks(engine.url),
            ) from error
        if is_undone_by_others(error):
            raise ResourceError(
                "The database {database} was written by another program at the same moment ({cause}): what was "
                "committed is safe; run the same scan again.",
                database=engine.url.render_as_string(),
                cause=cause,
            ) from error
        raise ResourceError(
            "The database {database} cannot be used ({cause}): what was committed is safe; free disk space, "
            "mend its permissions or start its server, and run the same scan again.",
            database=engine.url.render_as_string(),
            cause=cause,
        ) from error
    except (sa.exc.DatabaseError, engine.dialect.loaded_dbapi.DatabaseError) as error:
        if type(getattr(error, "orig", None) or error) is not engine.dialect.loaded_dbapi.DatabaseError:
            raise  # a wrong statement: a fault of ours
        raise WorkspaceError(
            "The database {database} is damaged ({error}): put it aside, and scan again into a new one or "
            "into a copy from a backup.",
            database=engine.url.render_as_string(),
            error=getattr(error, "orig", None) or error,
        ) from error


@contextmanager
def scan_lock(
    store: Store,
    workspace: Workspace | None,
    waiting: Callable[[Message], None],
    stopped: Callable[[], bool],
    *,
    wait: bool = True,
    kind: Kind = "photos",
) -> Iterator[bool]:
    """The right to scan, or with another `kind` to do that: held by one process at a time for a workspace, and for a
    database on a server.

    Without a workspace the lock lies beside the SQLite file. Waits, calling `waiting` once with a
    sentence, until it is free; False if `stopped` said so meanwhile. Without `wait`, WorkspaceError instead.
    A database in memory needs none."""
    if workspace is None and store.is_sqlite:
        if store.file is None:
            yield True
            return
        workspace = Workspace(store.file.parent)
    lock = (workspace or Workspace()).lock(kind)

    def behind(text: Message) -> None:
        if not wait:
            raise WorkspaceError(
                "Not waiting, as asked: {text}. Start this command again when it has ended.", text=text
            )
        waiting(Message("waiting: {text}", text=text))

    def try_file() -> bool:
        if lock.acquire():
            return True
        holder = lock.holder()
        if holder is not None and holder["pid"] == os.getpid():
            if kind == "looks":
                raise QueueError(
                    "This process is looking at photos already: finish or close that before the next."
                )
            raise QueueError("A scan is already running in this process: finish or close it before the next.")
        return False

    if not _wait(try_file, lambda: behind(being_scanned(lock.holder(), kind)), stopped):
        yield False
        return
    try:
        with server_lock(store, behind, stopped, kind) as held:
            yield held
    finally:
        lock.release()


def being_scanned(holder: Identity | None, kind: Kind = "photos") -> Message:
    """Half a sentence about the scan, or the look, that is in the way, and whose it is."""
    who = Message("process {pid}", pid=holder["pid"]) if holder else Message("another process")
    if kind == "looks":
        return Message("{who} looks at photos in this workspace", who=who)
    return Message("the scan of {who} is at work in this workspace", who=who)


def database_name(where: str | Path) -> str:
    """An SQLAlchemy URL, or the absolute path of an SQLite file, as it may be shown and kept: without a password."""
    text = _located(where)
    if "://" not in text:
        return text
    url = sa.make_url(text)
    query = {name: value for name, value in url.query.items() if "password" not in name}
    shown = sa.URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return shown.render_as_string(hide_password=False)


def _located(where: str | Path) -> str:
    """The same database, also as seen from another folder: the path of an SQLite file is absolute, in a URL, too."""
    text = str(where)
    if "://" not in text:
        return text if text == ":memory:" else str(Path(text).expanduser().absolute())
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError as error:
        raise _not_understood(error) from error
    name = url.database
    # An SQLite URI ("file:...") says by itself where it is.
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return text
    absolute = url.set(database=str(Path(name).expanduser().absolute()))
    return absolute.render_as_string(hide_password=False)


@contextmanager
def server_lock(
    store: Store, behind: Callable[[Message], None], stopped: Callable[[], bool], kind: Kind = "photos"
) -> Iterator[bool]:
    """PostgreSQL's own lock: other machines scan into the same database with locks of their own. `behind` gets half a
    sentence when one is in the way; False once `stopped` says so meanwhile."""
    if store.engine.dialect.name != "postgresql":
        yield True
        return

    def take() -> bool:
        with _one_sentence(store.engine):
            return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(ADVISORY_KEYS[kind]))))

    with _one_sentence(store.engine):
        connection = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        try:
            yield _wait(
                take,
                lambda: behind(
                    Message("another process looks at photos in the same database")
                    if kind == "looks"
                    else Message("another scan is at work in the same database")
                ),
                stopped,
            )
        finally:  # the connection goes back to a pool, and the lock would stay with it
            with suppress(sa.exc.OperationalError):  # the server is gone, and the lock with it
                connection.execute(sa.select(sa.func.pg_advisory_unlock_all()))


def _wait(take: Callable[[], bool], waiting: Callable[[], None], stopped: Callable[[], bool]) -> bool:
    told = False
    while not take():
        if stopped():
            return False
        if not told:
            waiting()
            told = True
        time.sleep(LOCK_POLL_S)
    return True


def scan_roots(folders: Sequence[bytes]) -> list[bytes]:
    """Absolute roots in the order given, without those that lie in (or are) another one."""
    # Never resolved: links stay links. But spelled as they are listed, or one library would be two.
    absolute = [as_listed(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100
    kept: list[bytes] = []
    for root in absolute:
        inside = any(root.startswith(other.rstrip(b"/") + b"/") for other in absolute if other != root)
        if not inside and root not in kept:
            kept.append(root)
    return kept
