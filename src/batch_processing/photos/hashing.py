"""Hashing many photos at once, in the order in which they come.

Promises: what is put in comes out in the same order; a reader that dies costs nothing but time; none is
left when the hashers are closed. A few photos are hashed by the process itself: only when that has taken
as long as starting others do they take over.
"""

from __future__ import annotations

import marshal
import os
import select
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, AnyStr, Generic, TypeVar

from ..core.processes import cores, end, start_lean
from ..core.resources import cpu_of
from ..core.workspace import NETWORK_FILE_SYSTEMS, file_system
from ..exceptions import ResourceError
from ..messages import Message
from . import reading
from .reading import Stopped, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Seconds of hashing, done here or to be expected, before other processes are started for it: about what
# starting them takes.
ALONE_S = 0.015
# What a file can be expected to take, from the page cache: seconds, and bytes a second.
FILE_S = 20e-6
SPEED = 2e9
# Photos are handed over in lists of about this size: a list costs as much as hashing ten tiny files; but one
# reader waits while all that is left lies in a list of the other's.
LIST_BYTES = 8 * 1024 * 1024
LIST_FILES = 25
# Lists that a reader has: the one it works at, and those that it does while the scan is busy with a commit.
LISTS = 6
# Readers: processes that wait for a disk in the network. Else one for each core, and two at least: while one
# waits for the disk another hashes.
NETWORK_READERS = 16
LEAST_READERS = 2
MOST_READERS = 32
# Files of `hashed` that are hashed or being hashed before the first is looked at, and how often it asks whether to stop.
WINDOW = 256
STOP_POLL_S = 0.25
_PROGRAM = f"{reading.ALONE}from lote.photos import reading; reading.serve()"


@dataclass(slots=True, eq=False)
class Candidate:
    """A photo on its way from the walk to the database."""

    directory: bytes
    name: bytes
    path: bytes  # of both
    # What tells whether a path still holds the same file: as the walk saw it, then as the reading saw it.
    size: int
    mtime_ns: int  # since 1970
    ctime_ns: int
    inode: int  # signed, as databases have it
    device: int  # good within one run only
    links: int
    photo_id: int | None = None  # of the row of this path
    trusted: bool = False  # the row is right, but says that the photo is missing
    same_as: Candidate | int | None = None  # a hard link of a file (or of a row) that came before
    digest: bytes | None = None
    hashed_ns: int = 0
    blank: bool = False  # nothing but one byte
    read: int = 0  # bytes
    error: Unreadable | None = None


def join(directory: AnyStr, name: AnyStr) -> AnyStr:
    """`os.path.join` for an absolute folder without a slash at its end, and a name."""
    slash = directory[:1]
    return directory + name if directory == slash else directory + slash + name


T = TypeVar("T")
P = TypeVar("P")


class _List(Generic[T]):
    """Items that go to a reader together."""

    __slots__ = ("answered", "items", "orphan", "wanted", "weight")

    def __init__(self, items: list[T], weight: int) -> None:
        self.items = items
        self.weight = weight  # bytes
        self.wanted: list[Candidate] = [
            item
            for item in items
            if isinstance(item, Candidate) and not item.trusted and item.same_as is None
        ]
        self.answered = not self.wanted
        self.orphan = False  # its reader died: perhaps of it

    def settle(self, answers: Sequence[reading.Answer]) -> None:
        for candidate, answer in zip(self.wanted, answers, strict=True):
            if len(answer) == 2:
                candidate.error = Unreadable(answer[0], Message.from_json(answer[1]))
                continue
            if not answer[1]:
                candidate.error = Unreadable("emptied", "was emptied while the folder was being scanned")
                continue
            (
                candidate.digest,
                candidate.size,
                candidate.mtime_ns,
                candidate.ctime_ns,
                candidate.inode,
                candidate.device,
                candidate.links,
                candidate.hashed_ns,
                candidate.blank,
            ) = answer
            candidate.read = candidate.size
        self.answered = True


class Hashers(Generic[T]):
    """Items go in and come out in the same order; those that are candidates and have to be
    read are hashed in between.

    `hashlib` lets go of the interpreter while it hashes, but a thread has to wait for it some six times at
    each photo, and keeps the scan waiting as often: other processes have interpreters of their own."""

    def __init__(
        self, readers: int, *, inode_order: bool, ahead: int, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """`readers`: number of processes. `inode_order`: read each list in the order of inodes, which on a
        rotating disk is roughly that of the platter. `ahead`: the most items that are in at once.
        `stopped` is asked while this process hashes."""
        self._readers = readers
        self._inode_order = inode_order
        self._stopped = stopped
        self._length = max(1, min(LIST_FILES, ahead // (LISTS * readers)))
        self.weight = 0  # bytes of what is in
        self._open: list[T] = []
        self._weight = 0  # of it in `_open`
        self._order: deque[_List[T]] = deque()
        self._unsent: deque[_List[T]] = deque()
        self._children: dict[int, _Child[T]] = {}  # by the descriptor of their answers
        self._poll = select.poll()
        self._cpu: dict[int, float] = {}  # seconds of each reader, as was last asked
        self._alone = self._expected = 0.0  # seconds of hashing: done here; all that came in
        self._buffer: memoryview | None = None

    def put(self, items: Iterable[T]) -> None:
        for item in items:
            self._open.append(item)
            if isinstance(item, Candidate):
                self._weight += item.size
            if len(self._open) >= self._length or self._weight >= LIST_BYTES:
                self._close_list()

    def take(self, wait: float = 0.0, wake: int | None = None) -> list[T]:
        """The items that are done, up to the first that is not. If there are none, wait that many seconds
        for some, or until the descriptor `wake` can be read from; give none if nothing is in."""
        are_up = any(one.is_up for one in self._children.values())
        if not wait or not are_up or self._is_ready:
            self._hear(0.0)
        if wait and not self._is_ready:
            self._close_list()
            if self._unsent and (self._unsent[0].orphan or not are_up):
                self._hash_here(self._unsent.popleft())
            elif self._order and not self._is_ready:
                self._hear(wait, wake)
        finished: list[T] = []
        while self._is_ready:
            taken = self._order.popleft()
            finished += taken.items
            self.weight -= taken.weight
        return finished

    @property
    def _is_ready(self) -> bool:
        """Whether the first list is done."""
        return bool(self._order) and self._order[0].answered

    def _close_list(self) -> None:
        if self._open:
            added = _List(self._open, self._weight)
            self.weight += self._weight
            self._expected += FILE_S * len(self._open) + self._weight / SPEED
            self._open, self._weight = [], 0
            if self._inode_order:
                added.wanted.sort(key=lambda candidate: candidate.inode)
            self._order.append(added)
            if not added.answered:
                self._unsent.append(added)
                self._feed()

    def _feed(self) -> None:
        """Give lists to the readers that have room; have readers, if they are worth it."""
        if not self._children and max(self._alone, self._expected) >= ALONE_S:
            self._start()
        while self._unsent and not self._unsent[0].orphan:
            free = [one for one in self._children.values() if one.is_up and len(one.lists) < LISTS]
            if not free:
                return
            child = min(free, key=lambda one: len(one.lists))
            if not child.send(self._unsent.popleft()):
                self._bury(child)

    def _hear(self, wait: float, wake: int | None = None) -> None:
        """Take in what readers have answered; wait that many seconds for the first answer."""
        if not self._children:
            return
        if wake is not None:
            self._poll.register(wake, select.POLLIN)
        try:
            ready = self._poll.poll(wait * 1000)
        finally:
            if wake is not None:
                self._poll.unregister(wake)
        for descriptor, _ in ready:
            if descriptor != wake and not (child := self._children[descriptor]).receive():
                self._bury(child)
        self._feed()

    def _bury(self, child: _Child[T]) -> None:
        """What a dead reader had is hashed here, so that no file can kill one reader after the other."""
        for orphaned in reversed(child.lists):
            orphaned.orphan = True
            self._unsent.appendleft(orphaned)
        self._poll.unregister(child.answers)
        del self._children[child.answers]
        child.end()
        if child.is_up:  # else others would not start either
            self._start()

    def _hash_here(self, chosen: _List[T]) -> None:
        if self._buffer is None:
            self._buffer = reading.new_buffer()
        began = time.monotonic()
        paths = [candidate.path for candidate in chosen.wanted]
        try:
            chosen.settle(reading.answers(paths, self._buffer, self._stopped))
        except Stopped:
            self._unsent.appendleft(chosen)  # for a caller that goes on all the same
        self._alone += time.monotonic() - began

    def _start(self) -> None:
        """Have as many readers as there should be, or as can be had: the rest later, perhaps."""
        self._alone = self._expected = 0.0
        with suppress(ResourceError):
            while len(self._children) < self._readers:
                child: _Child[T] = _Child()
                self._children[child.answers] = child
                self._poll.register(child.answers, select.POLLIN)

    def cpu_seconds(self) -> float:
        """What the readers have used so far; one that ended counts with what it had when that was asked last."""
        for child in self._children.values():
            self._cpu[child.pid] = cpu_of(child.pid, self._cpu.get(child.pid, 0.0))
        return sum(self._cpu.values())

    def close(self) -> None:
        """Give up what is being hashed."""
        for descriptor, child in self._children.items():
            self._poll.unregister(descriptor)
            child.end()
        self._children.clear()


class _Child(Generic[T]):
    """A process that hashes lists of paths. ResourceError if it cannot be started."""

    def __init__(self) -> None:
        self._process, self.answers = start_lean(_PROGRAM, *reading.FOLDERS, name="lote reader of photos")
        self.is_up = False  # it can be asked without waiting for it to start
        self.lists: deque[_List[T]] = deque()  # what it was given and has not answered
        self._heard = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, chosen: _List[T]) -> bool:
        """Give it a list; False if it is no more."""
        self.lists.append(chosen)
        message = reading.framed(b"\0".join([candidate.path for candidate in chosen.wanted]))
        try:
            while message and self._process.stdin is not None:
                message = message[self._process.stdin.write(message) :]
        except OSError:
            return False
        return True

    def receive(self) -> bool:
        """Take in what it has said; False if it is no more."""
        heard = os.read(self.answers, 1 << 16)
        self._heard += heard
        while len(self._heard) >= (start := reading.LENGTH):
            stop = start + int.from_bytes(self._heard[:start], "big")
            if len(self._heard) < stop:
                break
            message, self._heard = self._heard[start:stop], self._heard[stop:]
            if self.is_up:
                self.lists.popleft().settle(marshal.loads(message))  # noqa: S302 - from our own child
            else:
                self.is_up = True
        return bool(heard)

    def end(self) -> None:
        end(self._process)


def hashed(
    candidates: Iterable[tuple[Candidate, P]], folders: Sequence[bytes], stopped: Callable[[], bool]
) -> Iterator[tuple[Candidate, P]]:
    """Each candidate with what came along, hashed, in the same order. Ends early when `stopped`. `folders`: where they lie,
    for the number of readers."""
    readers, inode_order = choose_readers(folders, None)
    hashers: Hashers[Candidate] = Hashers(readers, inode_order=inode_order, ahead=WINDOW, stopped=stopped)
    waiting: deque[tuple[Candidate, P]] = deque()
    source = iter(candidates)
    try:
        while not stopped():
            while len(waiting) < WINDOW and (pair := next(source, None)) is not None:
                hashers.put([pair[0]])
                waiting.append(pair)
            if not waiting:
                return
            for _ in hashers.take(STOP_POLL_S):
                yield waiting.popleft()
    finally:
        hashers.close()


def choose_readers(roots: Sequence[bytes], wanted: int | None) -> tuple[int, bool]:
    """How many processes read, and whether they read in the order of inodes (a rotating disk)."""
    kinds = {file_system(Path(os.fsdecode(root))) for root in roots}
    rotating = any(_rotates(root) for root in roots)
    if wanted is not None:
        return wanted, rotating
    if kinds & NETWORK_FILE_SYSTEMS:
        return NETWORK_READERS, False
    if rotating:
        return 1, True
    return min(MOST_READERS, max(LEAST_READERS, cores())), False


def _rotates(root: bytes) -> bool:
    """Whether the folder lies on a rotating disk, as Linux says. Virtual disks (vda, xvda) say so too,
    though the host decides; they are not believed."""
    try:
        device = os.stat(root).st_dev  # noqa: PTH116 - bytes
        block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
        name = block.name
        queue = next(path for path in (block / "queue", block.parent / "queue") if path.is_dir())
        return not name.startswith(("vd", "xvd")) and (queue / "rotational").read_text().strip() == "1"
    except (OSError, StopIteration):
        return False
