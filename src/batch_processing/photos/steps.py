"""The journal of file changes: what was begun with a file, so that whoever comes next ends or undoes it.

Promises: a row is committed before the file system is touched, and goes when the change is whole. `recover` renames a
photo back that stands aside, and removes what is left of a copy that was never ended, and of a copy whose name has
become a link of the photo that is kept. It never replaces a file, and removes none but those the row says are ours: the
spare name, and the empty file that reserved the final one.
What lies on a drive that is not there now waits in its row. Does not guard against two programs at once: callers hold
the scan's lock (`store.scan_lock`).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..messages import NOTHING, Message
from .hashing import join
from .reading import Unreadable, explain, hash_file, new_buffer
from .tables import steps

if TYPE_CHECKING:
    from .store import Store

SPARE_PREFIX = b".lote-"
# What a file system says that has no hard links (FAT, exFAT), or not for this file (its owner is another user, it has the
# most links that it can have).
NO_LINKS = frozenset([errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV])


class Action(StrEnum):
    """What is done with a file. Values stand in `photo_steps`."""

    ASIDE = "aside"  # `path` is called `spare` for a moment, and comes back
    COPY = "copy"  # a file is being written as `spare`, and becomes `path` when it is whole
    LINK = "link"  # `path` is called `spare` until its name is a link of another file of equal bytes; then `spare` goes


class Outcome(StrEnum):
    """What `recover` found and did."""

    NOTHING = "nothing to do"  # everything is where it should be; the row is gone
    BACK = "renamed back"  # the row is gone
    UNDONE = "removed"  # what was left of the copy; the row is gone
    LINKED = "linked"  # LINK: the name is a link, what stood aside was removed; the row is gone
    COMPLETE = "complete"  # the copy is whole: its row stays until `end`, called by who records it
    BOTH = "both"  # ASIDE, LINK: another file has the name by now; both are left, and the row stays
    AWAY = "away"  # neither name is there, nor the rest of the folder: perhaps a drive; the row stays
    FAILED = "failed"  # the system refused, `problem` says why; the row stays


@dataclass(frozen=True)
class Recovered:
    """One row of the journal. `path` and `spare` are absolute; `size` in bytes; `digest` is the SHA-256; `problem` a
    clause for a person about the file ("" unless FAILED)."""

    id: int
    action: Action
    path: bytes
    spare: bytes
    size: int
    digest: bytes
    outcome: Outcome
    problem: Message = NOTHING


def spare_name(directory: bytes) -> bytes:
    """A path in `directory` that nobody else has: `.lote-` and 16 hexadecimal digits."""
    return join(directory, SPARE_PREFIX + secrets.token_hex(8).encode())


def begin(store: Store, action: Action, path: bytes, spare: bytes, size: int, digest: bytes) -> int:
    """Commit what is about to be done; returns the number of its row."""
    values = {
        "action": action.value,
        "path": os.fsdecode(path),
        "spare": os.fsdecode(spare),
        "size": size,
        "hash": digest,
        "at": datetime.now(UTC),
    }
    with store.write() as connection:
        key = connection.execute(steps.insert().values(values)).inserted_primary_key
    assert key is not None  # noqa: S101 - one row was inserted
    return int(key[0])


def know(store: Store, step_id: int, digest: bytes) -> None:
    """Commit what the copy holds, which nobody knew when it was begun. To be called before it takes its name: else it
    is not told from a stranger's file."""
    with store.write() as connection:
        connection.execute(steps.update().where(steps.c.id == step_id).values(hash=digest))


def end(connection: sa.Connection, step_id: int) -> None:
    """Strike out a row, inside a transaction of the caller's."""
    connection.execute(steps.delete().where(steps.c.id == step_id))


def finish(store: Store, step_id: int) -> None:
    """Strike out a row, in a transaction of its own."""
    with store.write() as connection:
        end(connection, step_id)


def take_name(spare: bytes, path: bytes) -> None:
    """Have the file `spare` be called `path`, in the same folder, and never replace what is called so already:
    FileExistsError. Other OSErrors as the system raises them; then the file is still `spare`.

    Where there are no hard links an empty file reserves the name first, and only that is replaced."""
    try:
        os.link(spare, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    else:
        os.unlink(spare)  # noqa: PTH108 - bytes
        return
    # Else a power cut could leave the empty file without the one whose presence says that it is ours.
    sync_folder(os.path.dirname(path))  # noqa: PTH120 - bytes
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    try:
        os.rename(spare, path)  # noqa: PTH104 - bytes
    except BaseException:
        with suppress(OSError):
            if os.lstat(path).st_size == 0:
                os.unlink(path)  # noqa: PTH108 - bytes
        raise


def sync_folder(folder: bytes) -> None:
    """Have the names in a folder on disk. A file system that cannot do so for folders alone is asked to do it for
    all it holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
            raise
        os.sync()
    finally:
        os.close(descriptor)


def recover(store: Store) -> list[Recovered]:
    """End or undo what was begun and not ended, and say of each row what became of it, oldest first. To be called with
    the scan's lock held, by whoever starts to scan or to change files."""
    path, spare = (sa.type_coerce(column, sa.LargeBinary) for column in (steps.c.path, steps.c.spare))
    digest = sa.type_coerce(steps.c.hash, sa.LargeBinary)
    query = sa.select(steps.c.id, steps.c.action, path, spare, steps.c.size, digest).order_by(steps.c.id)
    with store.read() as connection:
        rows = connection.execute(query).all()
    found = [_recover(row) for row in rows]
    over = (Outcome.NOTHING, Outcome.BACK, Outcome.UNDONE, Outcome.LINKED)
    gone = [one.id for one in found if one.outcome in over]
    if gone:
        with store.write() as connection:
            for step_id in gone:
                end(connection, step_id)
    return found


def _recover(row: Any) -> Recovered:
    step_id, action, path, spare, size, digest = row
    action, path, spare, digest = Action(action), bytes(path), bytes(spare), bytes(digest)
    problem = NOTHING
    try:
        there, aside = _status(path), _status(spare)
        if there is None and aside is None:
            outcome = _without_both(path)
        elif action is Action.COPY:
            outcome = _end_copy(path, spare, there, aside, size, digest)
        elif action is Action.LINK and _is_linked(path, spare, there, aside, size, digest):
            os.unlink(spare)  # noqa: PTH108 - bytes
            sync_folder(os.path.dirname(path))  # noqa: PTH120 - bytes
            outcome = Outcome.LINKED
        else:
            outcome = _bring_back(path, spare, there, aside)
    except OSError as error:
        outcome, problem = Outcome.FAILED, explain(error).sentence
    except Unreadable as error:
        outcome, problem = Outcome.FAILED, error.sentence
    return Recovered(step_id, action, path, spare, size, digest, outcome, problem)


def _without_both(path: bytes) -> Outcome:
    """Whether the file is gone, or the drive that it is on: then the folder is gone or empty, too."""
    try:
        with os.scandir(os.path.dirname(path)) as entries:  # noqa: PTH120 - bytes
            return Outcome.AWAY if next(entries, None) is None else Outcome.NOTHING
    except (FileNotFoundError, NotADirectoryError):
        return Outcome.AWAY


def _is_linked(
    path: bytes,
    spare: bytes,
    there: os.stat_result | None,
    aside: os.stat_result | None,
    size: int,
    digest: bytes,
) -> bool:
    """Whether what is called `path` is another file than the one that stands aside, and both hold what they held."""
    if there is None or aside is None or os.path.samestat(there, aside):
        return False
    buffer = new_buffer()
    return all(
        _is_file(status) and status.st_size == size and hash_file(name, buffer, lambda: False)[0] == digest
        for name, status in ((path, there), (spare, aside))
    )


def _bring_back(
    path: bytes, spare: bytes, there: os.stat_result | None, aside: os.stat_result | None
) -> Outcome:
    if aside is None:
        return Outcome.NOTHING
    if there is None:
        take_name(spare, path)
    elif os.path.samestat(there, aside) and aside.st_nlink > 1:
        os.unlink(spare)  # noqa: PTH108 - bytes; the second name of one file, left by a kill in `take_name`
    elif _is_file(there) and there.st_size == 0 and aside.st_size > 0 and _is_file(aside):
        # The empty file is `take_name`'s, or somebody's who made it just now: nothing is lost either way.
        os.rename(spare, path)  # noqa: PTH104 - bytes
    else:
        return Outcome.BOTH
    sync_folder(os.path.dirname(path))  # noqa: PTH120 - bytes
    return Outcome.BACK


def _end_copy(
    path: bytes,
    spare: bytes,
    there: os.stat_result | None,
    aside: os.stat_result | None,
    size: int,
    digest: bytes,
) -> Outcome:
    is_whole = (
        there is not None
        and _is_file(there)
        and there.st_size == size
        and hash_file(path, new_buffer(), lambda: False)[0] == digest
    )
    if aside is not None and _is_file(aside):
        if there is not None and _is_file(there) and there.st_size == 0 and size > 0:
            os.unlink(path)  # noqa: PTH108 - bytes; first, since only together with `spare` it is known to be ours
        os.unlink(spare)  # noqa: PTH108 - bytes
        sync_folder(os.path.dirname(path))  # noqa: PTH120 - bytes
        return Outcome.COMPLETE if is_whole else Outcome.UNDONE
    return Outcome.COMPLETE if is_whole else Outcome.NOTHING


def _status(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)
