"""Copies of the ledger: how one is made while jobs run, and how one takes the ledger's place again.

Promises: a copy is consistent, and appears whole or not at all; whoever keeps the ledger locked is waited
for a minute and then named. A copy that is restored was checked before, never meets the journal of another
database, and takes the ledger's place in one rename; the ledger before it is kept, as a database that can
be opened. Refuses to restore while any process has the ledger open, where the system tells that. Does not
copy pages, references or whatever else is in the workspace.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import sqlalchemy as sa

from ..exceptions import QueueError, ResourceError, ValidationError, WorkspaceError, reason
from ..io.publish import fsync_dir, part_path, publish
from ..messages import Message
from . import database
from .applications import kinds
from .database import Database, is_locked, kept_locked
from .ledger import Ledger
from .workspace import Workspace

# What SQLite keeps beside a database. https://sqlite.org/tempfiles.html
BESIDE = ("-journal", "-wal", "-shm")
# How long one attempt to read a locked ledger lasts; between two of them the clock is looked at.
ATTEMPT_S = 0.25


def back_up(workspace: Workspace, target: Path) -> None:
    """A consistent copy of the ledger in the new file `target`, also while jobs run.

    QueueError without a ledger; ValidationError when `target` exists or cannot be made; ResourceError when the
    disk is full, or the ledger stays locked for a minute."""
    if not workspace.has_ledger:
        raise QueueError("There is no ledger in the workspace {root} yet.", root=workspace.root)
    if os.path.lexists(target):
        raise ValidationError("{target} exists: name a new file for the copy.", target=target)
    part = part_path(target, f"backup-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _forget_parts(target)
        try:
            _copy(workspace.database, part, target)
            publish(part, target)
            fsync_dir(target.parent)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise ValidationError(
            "The copy {target} cannot be written ({error}): name a file in a folder that takes it.",
            target=target,
            error=reason(error),
        ) from error


def restore(workspace: Workspace, copy: Path) -> Path | None:
    """Put the checked `copy` of a ledger in the place of this workspace's; where the one before is now.

    QueueError while a job or a scan runs, or a process has the ledger open; ValidationError for a file that is
    no whole copy; WorkspaceError for one of a newer Lote. Whatever is refused, nothing has changed."""
    workspace.ensure()
    workspace.close()
    with ExitStack() as stack:
        for kind in kinds():
            lock = stack.enter_context(workspace.lock(kind))
            if not lock.acquire():
                holder = lock.holder()
                who = Message("process {pid}", pid=holder["pid"]) if holder else Message("another process")
                raise QueueError(
                    "The ledger is at work: {who} runs {kind} in the workspace {root}; stop it first.",
                    who=who,
                    kind=kind,
                    root=workspace.root,
                )
        if opened := _who_opened(workspace.database):
            raise QueueError(
                "The ledger {database} is open in {who}: end it first.",
                database=workspace.database,
                who=opened,
            )
        part = part_path(workspace.database, "restore")
        try:
            _take_in(copy, part, workspace)
            before = _put_in_place(part, workspace.database)
        finally:
            _remove(part)
    return before


# -- a copy --------------------------------------------------------------------------------------------


def _copy(source: Path, part: Path, target: Path) -> None:
    """The ledger `source` as the new file `part`, on the disk when this returns; people know it as `target`."""
    until = time.monotonic() + database.BUSY_TIMEOUT_S

    def look(status: int, _remaining: int, _total: int) -> None:
        # SQLite's own loop asks a locked database again for ever.
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise kept_locked(sa.URL.create("sqlite", database=str(source)))

    try:
        with (
            closing(sqlite3.connect(source, timeout=ATTEMPT_S)) as ledger,
            closing(sqlite3.connect(part)) as copy,
        ):
            copy.execute("PRAGMA journal_mode=OFF")  # what fails is thrown away as a whole
            ledger.backup(copy, progress=look, sleep=ATTEMPT_S)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL or _is_full(part.parent):
            raise ResourceError(
                "There is no room for the copy {target} ({size} bytes): free some space there, or name a "
                "file on another disk.",
                target=target,
                size=source.stat().st_size,
            ) from error
        raise ValidationError(
            "The copy {target} cannot be written ({error}): name a file in a folder that takes it.",
            target=target,
            error=error,
        ) from error
    except sqlite3.DatabaseError as error:
        raise QueueError(
            "The ledger {source} is damaged ({error}): no copy can be made of it.", source=source, error=error
        ) from error


def _is_full(folder: Path) -> bool:
    """Whether nothing more fits on the disk; SQLite says of a full one only that it could not write."""
    disk = shutil.disk_usage(folder)
    return disk.total > 0 and disk.free < 1 << 16


def _forget_parts(target: Path) -> None:
    """Remove what killed copies to the same place have left."""
    prefix = f".{target.name}.backup-"
    with suppress(OSError):  # a folder that may be written and not read
        for left in target.parent.iterdir():
            pid = left.name.removeprefix(prefix).removesuffix(".part")
            if left.name == f"{prefix}{pid}.part" and pid.isdecimal() and not psutil.pid_exists(int(pid)):
                left.unlink(missing_ok=True)


# -- the way back --------------------------------------------------------------------------------------


def _take_in(copy: Path, part: Path, workspace: Workspace) -> None:
    """Bring `copy` to `part`, beside the ledger: checked, brought up to date, without anything beside it."""
    if not copy.is_file():
        raise ValidationError("{copy} is no file: name a copy that `lote backup` made.", copy=copy)
    if workspace.database.exists() and copy.samefile(workspace.database):
        raise ValidationError("{copy} is the ledger itself: name a copy that `lote backup` made.", copy=copy)
    for suffix in BESIDE[:2]:
        beside = copy.with_name(copy.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise ValidationError(
                "{copy} is no finished copy, {name} lies beside it: name one that `lote backup` made.",
                copy=copy,
                name=beside.name,
            )
    _remove(part)
    try:
        shutil.copyfile(copy, part)
    except OSError as error:
        raise ResourceError(
            "{copy} cannot be copied to {root}: {error}.", copy=copy, root=workspace.root, error=reason(error)
        ) from error
    with _of_the_copy(copy, part):
        checked = _checked(part)
        if str(checked) != "ok":
            raise ValidationError(
                "The copy {copy} is damaged ({checked}): name another one.", copy=copy, checked=checked
            )
        # Brought up to date here, and closed: one file, and nothing beside it.
        ledger = Ledger(part, journal="delete")
        try:
            _keep_numbers(ledger.database, workspace)
        finally:
            ledger.close()
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _checked(part: Path) -> Message:
    """ "ok", or what is wrong with the file; that it is a ledger at all included."""
    with closing(sqlite3.connect(part)) as connection:
        checked = "; ".join(row[0] for row in connection.execute("PRAGMA integrity_check"))
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return Message(checked[:200]) if {"job", "item", "migration"} <= tables else Message("it is no ledger")


@contextmanager
def _of_the_copy(copy: Path, part: Path) -> Iterator[None]:
    """What is wrong with a database becomes a sentence about the file that a person named."""
    try:
        yield
    except WorkspaceError as error:  # of a newer Lote
        names = {str(part): str(copy)}
        raise WorkspaceError(error.sentence.mapped(lambda text: names.get(text, text))) from error
    except sqlite3.DatabaseError as error:
        raise ValidationError(
            "The copy {copy} is damaged or no database ({error}): name another one.", copy=copy, error=error
        ) from error


def _keep_numbers(copy: Database, workspace: Workspace) -> None:
    """Numbers that were given after the copy was made are not given again: a person has written them down,
    and folders in the workspace have them for names."""
    last = 0
    with (
        suppress(sqlite3.Error, OSError),
        closing(sqlite3.connect(f"{workspace.database.as_uri()}?mode=ro", uri=True)) as old,
    ):
        last = old.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'job'").fetchone()[0] or 0
    for folder in (*workspace.root.glob("jobs/*"), *workspace.root.glob("hints/*")):
        last = max(last, int(folder.name) if folder.name.isdecimal() else 0)
    with copy.write() as connection:
        known = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'job'").scalar()
        if known is None:
            connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('job', ?)", (last,))
        elif known < last:
            connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = ? WHERE name = 'job'", (last,))


def _put_in_place(part: Path, ledger: Path) -> Path | None:
    """Put the ledger aside, whole, and `part` in its place; where the old one is, if there was one.

    At no moment does the new one stand beside a journal of the old: SQLite would play it in. A kill leaves the
    old one, or the new one, or (if the old one was damaged) none, and the old one aside."""
    if not ledger.exists():
        for suffix in BESIDE:  # of a ledger that somebody removed
            ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
        publish(part, ledger)
        fsync_dir(ledger.parent)
        return None
    whole = _settled(ledger)
    number = 1
    while os.path.lexists(aside := ledger.with_name(f"{ledger.name}.before-restore-{number}")):
        number += 1
    there = [suffix for suffix in ("", *BESIDE) if ledger.with_name(ledger.name + suffix).exists()]
    for suffix in there:
        _same_file(ledger.with_name(ledger.name + suffix), aside.with_name(aside.name + suffix))
    fsync_dir(ledger.parent)
    if not whole:  # nobody must find it without its journal, nor the new one with it
        for suffix in there:
            ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
    publish(part, ledger)
    fsync_dir(ledger.parent)
    return aside


def _settled(ledger: Path) -> bool:
    """Have SQLite undo what was cut short and take its journal or WAL in; whether nothing is left beside it."""
    try:
        with closing(sqlite3.connect(ledger, timeout=ATTEMPT_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        if is_locked(error):
            raise kept_locked(sa.URL.create("sqlite", database=str(ledger))) from error
        return False
    except sqlite3.DatabaseError:
        return False
    return not any(ledger.with_name(ledger.name + suffix).exists() for suffix in BESIDE)


def _same_file(old: Path, new: Path) -> None:
    """A second name for a file; a copy where the file system has no such thing."""
    try:
        new.hardlink_to(old)
    except OSError:
        shutil.copyfile(old, new)


def _remove(part: Path) -> None:
    for suffix in ("", *BESIDE):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def _who_opened(ledger: Path) -> Message | None:
    """A process that has the ledger open, for a sentence; None for none, or where the system does not say.

    It would go on with the old one: what it writes would be lost."""
    path = os.path.realpath(ledger)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        number = folder.parent.name
        with suppress(OSError):  # another user's, or just ended
            if number != str(os.getpid()) and path in {os.readlink(entry) for entry in folder.iterdir()}:  # noqa: PTH115
                name = (folder.parent / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return Message("process {number} ({name})", number=number, name=name)
    return None
