"""A folder into which people put books: what stands there, whether it is whole, and how it is moved away.

Promises: nothing is taken whose bytes still come (`Watched.look`); what cannot be told from its names, sizes and times is
never guessed from who was faster; a move replaces nothing, and one that was cut short is told from one that was not
(`where_is`). Nothing is ever deleted. Refuses nothing: what is no book is somebody else's to say.
Does not guarantee: to see that a copy has stopped for longer than it waits. Then the book is damaged, and is said to be.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import threading
import time
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, cast

from ..logging_config import get_logger
from .kinds import is_junk
from .naming import folded
from .publish import fsync_dir, take_free_name

__all__ = [
    "Bell",
    "Entry",
    "Watched",
    "bell",
    "free_name",
    "is_temporary",
    "move",
    "signature_of",
    "where_is",
]

_log = get_logger(__name__)

# How programs call what they have not finished: browsers, rsync, WinSCP, FileZilla, office programs, Synology, editors.
_TEMPORARY = (
    ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", ".tmp", ".temp", ".aria2", ".!ut",
    ".swp", ".lock", "~",
)  # fmt: skip
_TEMPORARY_BEGIN = ("~$", "~")

# What looks unfinished (a ZIP without its end, a folder with a temporary file in it) has to stand still so many times longer.
UNFINISHED = 6
# How often a folder is looked at in which something is not whole yet, at most (in seconds), and otherwise: where nobody
# rings, and where somebody does.
SETTLING_S, POLL_S, HEARTBEAT_S = 1.0, 2.0, 60.0
TURN_S = 0.25

# Where the kernel tells of every change. On all others, and those that nobody knows, it is looked for: a change that
# another machine makes on a network drive is told to nobody.
LOCAL_FILE_SYSTEMS = frozenset(
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay", "apfs", "hfs"]
)


@dataclass(frozen=True)
class Entry:
    """Something in the folder: its name, its signature, and whether it is whole."""

    name: str
    signature: str
    whole: bool


def is_temporary(name: str) -> bool:
    """Whether a name is hidden, a system's own, or that of something which is still being written."""
    text = folded(name)
    return is_junk(name) or text.endswith(_TEMPORARY) or text.startswith(_TEMPORARY_BEGIN)


def signature_of(path: Path) -> tuple[str, bool] | None:
    """What tells a file or folder from what it was before: names, sizes and times of its files; and whether it
    looks unfinished. None for what is not there, or holds no file. OSError where it cannot be read."""
    status = _status(path)
    if status is None:
        return None
    if not stat.S_ISDIR(status.st_mode):
        kind = "" if stat.S_ISREG(status.st_mode) else f"{stat.S_IFMT(status.st_mode):o}:"
        return f"{kind}{status.st_size}:{status.st_mtime_ns}", _has_no_end(path, status)
    found, unfinished = [], False

    def fail(error: OSError) -> None:
        raise error

    for base, folders, names in os.walk(path, onerror=fail):
        folders[:] = [name for name in folders if not is_junk(name)]
        for name in names:
            if is_junk(name):
                unfinished = unfinished or name.startswith(".~")
                continue
            unfinished = unfinished or is_temporary(name)
            inner = Path(base, name)
            if (inside := _status(inner)) is not None:
                found.append(f"{inner.relative_to(path)}\0{inside.st_size}\0{inside.st_mtime_ns}")
    if not found:
        return None
    text = "\n".join(sorted(found)).encode(errors="surrogateescape")
    return f"{len(found)}:{hashlib.sha256(text).hexdigest()}", unfinished


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _has_no_end(path: Path, status: os.stat_result) -> bool:
    """Whether it is a ZIP by its name whose directory, the last part of it, is not there; or has no bytes yet."""
    if not stat.S_ISREG(status.st_mode):
        return False
    if path.suffix.lower() in {".zip", ".cbz", ".epub"}:
        with suppress(OSError):
            return not zipfile.is_zipfile(path)
    return status.st_size == 0


@dataclass
class _Seen:
    signature: str
    unfinished: bool
    since: float


class Watched:
    """The folder, and since when each thing in it has been as it is. `without`: folders in it that are no drops."""

    def __init__(self, folder: Path, *, settle_s: float, without: Collection[Path] = ()) -> None:
        self.folder = folder
        self._settle_s = settle_s
        self._without = {os.path.realpath(path) for path in without}
        self._seen: dict[str, _Seen] = {}

    def look(self) -> list[Entry]:
        """What stands there now. OSError where the folder cannot be read."""
        now = time.monotonic()
        seen, entries = {}, []
        with os.scandir(self.folder) as listed:
            names = [entry.name for entry in listed]
        for name in names:
            path = self.folder / name
            if is_temporary(name) or self._has_a_place_of_ours(path):
                continue
            try:
                found = signature_of(path)
            except OSError as error:  # not to be read yet, or never: whoever runs it will say
                found = f"{error.errno}", True
            if found is None:
                continue
            one = self._seen.get(name)
            if one is None or (one.signature, one.unfinished) != found:
                one = _Seen(*found, now)
            seen[name] = one
            patience = self._settle_s * (UNFINISHED if one.unfinished else 1)
            entries.append(Entry(name, one.signature, now - one.since >= patience))
        self._seen = seen
        return entries

    def _has_a_place_of_ours(self, path: Path) -> bool:
        """Whether it is one of the folders that are no drops, or one of them lies in it."""
        real = os.path.realpath(path)
        return any(f"{other}/".startswith(f"{real}/") for other in self._without)


class Bell:
    """What tells that there may be something to see: the kernel, where it does, else time."""

    def __init__(self, *, settle_s: float, rings: bool = False) -> None:
        self.rung = threading.Event()
        self._settling_s = min(SETTLING_S, settle_s / 4)
        self._idle_s = HEARTBEAT_S if rings else POLL_S

    def wait(self, leaving: Callable[[], bool], *, settling: bool) -> None:
        """Until there may be something to see, or somebody is `leaving`. Where something is `settling`, for a moment."""
        until = time.monotonic() + (self._settling_s if settling else self._idle_s)
        while not leaving() and (left := until - time.monotonic()) > 0:
            # In short turns: a signal has to be heard meanwhile.
            if settling:
                time.sleep(min(left, TURN_S))
            elif self.rung.wait(min(left, TURN_S)):
                break
        self.rung.clear()

    def hear(self, event: Any) -> None:
        """An event of the kernel's, as watchdog tells it. That somebody only looks, as we do, is none."""
        if event.event_type in {"created", "moved", "modified", "closed", "deleted"}:
            self.rung.set()

    # As watchdog calls whoever listens.
    dispatch = hear


@contextmanager
def bell(folder: Path, file_system: str, *, settle_s: float) -> Iterator[Bell]:
    """What rings for a folder on such a file system, as long as the block lasts. The kernel does on a local disk, where the
    library `watchdog` is there (extra `watch`)."""
    observer = None
    if file_system in LOCAL_FILE_SYSTEMS:
        try:
            from watchdog.observers import Observer

            logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it warns of its own end
        except ImportError:
            pass
        else:
            observer = Observer()
    one = Bell(settle_s=settle_s, rings=observer is not None)
    if observer is not None:
        try:
            observer.schedule(cast("Any", one), str(folder))
            observer.start()
        except OSError as error:  # so many folders are watched already: fs.inotify.max_user_watches
            _log.info("%s is looked at every %g s: the kernel does not watch it (%s)", folder, POLL_S, error)
            observer, one = None, Bell(settle_s=settle_s)
    try:
        yield one
    finally:
        if observer is not None:
            observer.stop()
            observer.join()


def free_name(
    wanted: Path, *, is_folder: bool, is_taken: Callable[[Path], bool] = lambda path: False
) -> Path:
    """`wanted`, or the first of `<stem>_1<suffix>`, `_2` ... under which nothing stands."""
    stem, suffix = (wanted.name, "") if is_folder else (wanted.stem, wanted.suffix)
    names = (wanted.with_name(f"{stem}_{number}{suffix}") for number in count(1))
    return next(path for path in chain([wanted], names) if not os.path.lexists(path) and not is_taken(path))


def move(source: Path, target: Path) -> bool:
    """Give a file or folder another name on the same file system, durably; False where something is called so by now.
    OSError where that cannot be done."""
    if source.is_symlink() or not source.is_dir():
        if not take_free_name(source, target):
            return False
        if os.path.lexists(source):  # a folder out of which nobody else may take anything
            target.unlink()
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(source))
    else:
        if os.path.lexists(target):
            return False
        source.rename(target)  # which never replaces a folder that holds anything
    for folder in {source.parent, target.parent}:
        with suppress(OSError):  # some network drives cannot
            fsync_dir(folder)
    return True


def where_is(source: Path, target: Path, signature: str) -> Path | None:
    """Which of its two names has what was about to be moved; None where neither has. One that was cut short between
    both is ended."""
    if _is(target, signature):
        with suppress(OSError):
            if not source.is_symlink() and source.samefile(target):
                source.unlink()
        return target
    return source if _is(source, signature) else None


def _is(path: Path, signature: str) -> bool:
    found = signature_of(path)
    return found is not None and found[0] == signature
