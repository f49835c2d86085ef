"""Reading one photo to its end and hashing it, safely, while others may be changing it.

Promises: nothing but a regular file is ever read, and opening one never waits (a fifo named `.jpg`);
a digest belongs to the size and times recorded with it; a file that grows for ever is let go.
Never decodes. Does not see a change that leaves size and all times as they were.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, AnyStr, NamedTuple

from ..exceptions import ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A file is read in pieces of this size. Between 256 KiB and 1 MiB the speed of one thread does not change,
# larger pieces leave the cache of a core; and fewer pieces are fewer waits for the interpreter.
PIECE = 1024 * 1024
# So many photos a thread hashes by itself before it starts a child, which costs as much as some hundred.
ALONE = 100
# Up to this size a file is read in one call into fresh memory, which costs less than anything else.
SMALL = 64 * 1024

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unreadable(Exception):  # noqa: N818 - becomes a row of photo_errors, never leaves the room
    """A file that cannot be hashed: `kind` for sorting, the text for a person."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Stopped(Exception):  # noqa: N818 - somebody asked for it
    """Hashing was given up between two pieces, because the scan is to stop."""


class Identity(NamedTuple):
    """What tells whether a path still holds the same file. Times in nanoseconds since 1970."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int  # signed, as databases have it
    device: int  # good within one run only
    links: int


def identity(status: os.stat_result) -> Identity:
    return Identity(
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        signed(status.st_ino),
        status.st_dev,
        status.st_nlink,
    )


def signed(inode: int) -> int:
    """Inode numbers are unsigned 64 bit, database integers are signed."""
    return inode if inode < 2**63 else inode - 2**64


def explain(error: OSError) -> Unreadable:
    """One sentence for what the system said."""
    known = {
        errno.ENOENT: ("vanished", "vanished while the folder was being scanned"),
        errno.ENOTDIR: ("vanished", "vanished while the folder was being scanned"),
        errno.EACCES: ("permission", "no permission to read it"),
        errno.EPERM: ("permission", "no permission to read it"),
        errno.ELOOP: ("not a file", "became a symbolic link while the folder was being scanned"),
        errno.ENAMETOOLONG: ("name", "its path is longer than the system can open"),
    }
    kind, text = known.get(error.errno or 0, ("read", f"cannot be read ({error.strerror or error})"))
    return Unreadable(kind, text)


def hash_file(path: bytes, buffer: memoryview, stopped: Callable[[], bool]) -> tuple[bytes, Identity, int]:
    """SHA-256 of the file at `path`, its identity, and when reading began (nanoseconds since 1970).

    A file that changes meanwhile is read once more; `Unreadable` if it changes again."""
    for _ in range(2):
        began = time.time_ns()
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise explain(error) from error
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise Unreadable("not a file", "is no regular file")
            digest, length = _digest(descriptor, before.st_size, buffer, stopped)
            after = os.fstat(descriptor)
        except OSError as error:
            raise explain(error) from error
        finally:
            os.close(descriptor)
        if (
            length == before.st_size == after.st_size
            and before.st_mtime_ns == after.st_mtime_ns
            and before.st_ctime_ns == after.st_ctime_ns
        ):
            return digest, identity(after), began
    raise Unreadable("changed", "changed while being read")


def _digest(descriptor: int, size: int, buffer: memoryview, stopped: Callable[[], bool]) -> tuple[bytes, int]:
    """Digest and length of what is there, up to one byte more than `size` (then it has grown)."""
    if size <= SMALL:
        data = os.read(descriptor, size + 1)
        return hashlib.sha256(data).digest(), len(data)
    sha256 = hashlib.sha256()
    buffers = [buffer]
    length = 0
    while length <= size:
        count = os.readv(descriptor, buffers)
        if not count:
            break
        sha256.update(buffer[:count])
        length += count
        if length == size and count < len(buffer):  # the end: no further call has to say so
            break
        if stopped():
            raise Stopped
    return sha256.digest(), length


@dataclass(slots=True, eq=False)
class Candidate:
    """A photo on its way from the walk to the database."""

    directory: bytes
    name: bytes
    found: Identity  # as the walk saw it, then as the reading saw it
    photo_id: int | None = None  # of the row of this path
    trusted: bool = False  # the row is right, but says that the photo is missing
    same_as: Candidate | int | None = None  # a hard link of a file (or of a row) that came before
    digest: bytes | None = None
    hashed_ns: int = 0
    read: int = 0  # bytes
    error: Unreadable | None = None

    @property
    def path(self) -> bytes:
        return join(self.directory, self.name)


def join(directory: AnyStr, name: AnyStr) -> AnyStr:
    """`os.path.join` for an absolute folder without a slash at its end, and a name."""
    slash = directory[:1]
    return directory + name if directory == slash else directory + slash + name


class Hashers:
    """Threads that hash lists of candidates: at first by themselves, then each through a child process.

    `hashlib` lets go of the interpreter while it hashes, but at each photo a thread has to wait for it some
    six times, and keeps the scan waiting as often; a child has an interpreter of its own."""

    def __init__(self, readers: int, *, inode_order: bool) -> None:
        """`readers`: number of threads. `inode_order`: read each list in the order of inodes, which on a
        rotating disk is roughly that of the platter."""
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="lote-hash")
        self._inode_order = inode_order
        self._local = threading.local()
        self._stop = threading.Event()
        self._children: list[_Child] = []

    def submit(self, items: Sequence[object]) -> Future[None]:
        """Hash those of `items` that are candidates and have to be read."""
        return self._threads.submit(
            self._hash,
            [
                item
                for item in items
                if isinstance(item, Candidate) and not item.trusted and item.same_as is None
            ],
        )

    def _hash(self, candidates: list[Candidate]) -> None:
        if not candidates:
            return
        if self._inode_order:
            candidates = sorted(candidates, key=lambda candidate: candidate.found.inode)
        paths = [candidate.path for candidate in candidates]
        for candidate, answer in zip(candidates, self._answers(paths), strict=True):
            if len(answer) == 2:
                candidate.error = Unreadable(*answer)
                continue
            digest, found, began = answer
            if not found[0]:
                candidate.error = Unreadable("changed", "was emptied while the folder was being scanned")
                continue
            candidate.digest, candidate.found, candidate.hashed_ns = digest, Identity(*found), began
            candidate.read = candidate.found.size

    def _answers(self, paths: list[bytes]) -> list[Answer]:
        """The answers of this thread's child; its own while it has none, or where that died."""
        mine = self._local
        child: _Child | None = getattr(mine, "child", None)
        if child is None and (done := getattr(mine, "done", 0)) >= ALONE:
            child = mine.child = self._child()
            if child is None:
                mine.done = done - ALONE  # no process to be had: later, perhaps
        if self._stop.is_set():
            raise Stopped
        if child is not None and child.is_up:
            if (answers := child.ask(paths)) is not None:
                return answers
            mine.child = None
            child.end()
        if not hasattr(mine, "buffer"):
            mine.buffer = memoryview(bytearray(PIECE))
        mine.done = getattr(mine, "done", 0) + len(paths)
        return [_answer(path, mine.buffer, self._stop.is_set) for path in paths]

    def _child(self) -> _Child | None:
        try:
            child = _Child()
        except ResourceError:
            return None
        self._children.append(child)
        return child

    def stop(self) -> None:
        """Give up what is being hashed: within one piece of one file, or with the child that does it."""
        self._stop.set()
        for child in self._children:
            child.process.kill()

    def close(self) -> None:
        self.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for child in self._children:
            child.end()


# What a thread knows of a file in the end: digest, identity and when reading began; or why not (kind, text).
Answer = tuple[bytes, tuple[int, ...], int] | tuple[str, str]


def _answer(path: bytes, buffer: memoryview, stopped: Callable[[], bool]) -> Answer:
    if stopped():
        raise Stopped
    try:
        digest, found, began = hash_file(path, buffer, stopped)
    except Unreadable as error:
        return error.kind, str(error)
    return digest, tuple(found), began


class _Child:
    """A process that hashes lists of paths for one thread."""

    def __init__(self) -> None:
        from ..core.workers import start_child

        self.process, self._connection = start_child(__name__)
        self._greeted = False

    @property
    def is_up(self) -> bool:
        """Whether it can be asked without waiting for it to start (or has died: asking it tells)."""
        if not self._greeted and self._connection.poll():
            self._greeted = True
            with suppress(EOFError, OSError):
                self._connection.recv()
        return self._greeted

    def ask(self, paths: list[bytes]) -> list[Answer] | None:
        """The answers for these paths; None if the child is no more."""
        try:
            self._connection.send(paths)
            answers: list[Answer] = self._connection.recv()
        except (EOFError, OSError):
            return None
        return answers

    def end(self) -> None:
        self._connection.close()
        self.process.kill()
        self.process.wait()


def serve(descriptor: int) -> None:
    """The life of a child: it ends with the connection to its parent."""
    from multiprocessing.connection import Connection

    connection = Connection(descriptor)
    buffer = memoryview(bytearray(PIECE))
    connection.send("up")
    while True:
        try:
            paths = connection.recv()
            connection.send([_answer(path, buffer, lambda: False) for path in paths])
        except (EOFError, OSError):
            return
