"""Processes that read headers, and may be killed for it.

    with HeaderPool(processes) as pool:
        for answers in pool.read(tasks, stopped): ...

Promises: a file that crashes its reader, or hangs it, costs itself only; others that the reader held go to its successor.
Every task is answered once, in no order, unless `stopped` says so. Does not know of databases.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from .header_facts import ErrorKind, HeaderError, HeaderFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

K = TypeVar("K")

# A header takes a millisecond; a reader that is silent for so long hangs.
TIME_LIMIT_S = 20.0
# Paths handed to a reader before it has answered: the pipe stays full, and a death is told by the first.
AHEAD = 32
# Deaths of a reader that one photo may cause; the first may have been the machine's doing.
DEATHS = 2
# A caller hears of nothing new so often, to write what it has and look around.
TICK_S = 0.25


@dataclass
class Task(Generic[K]):
    """A file whose header is to be read, with what the caller knows it by."""

    path: bytes
    key: K
    deaths: int = 0


Answers = list[tuple[Task[K], HeaderFacts | HeaderError]]


@dataclass
class _Reader(Generic[K]):
    """One process that reads headers."""

    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    tasks: deque[Task[K]] = field(default_factory=deque)
    heard: float = field(default_factory=time.monotonic)
    partial: bytes = b""

    @classmethod
    def start(cls) -> Self:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        process = subprocess.Popen(
            [sys.executable, "-m", "batch_processing.photos.headers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the scan, which ends its readers itself
        )
        return cls(process, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))

    def give(self, tasks: Sequence[Task[K]]) -> None:
        if not self.tasks:
            self.heard = time.monotonic()
        self.tasks.extend(tasks)
        lines = "".join(json.dumps(os.fsdecode(task.path)) + "\n" for task in tasks)
        with suppress(BrokenPipeError):  # it died; its output says so, too
            self.stdin.write(lines.encode())
            self.stdin.flush()

    def answers(self) -> list[bytes] | None:
        """Lines that have come; None when the process is gone."""
        data = os.read(self.stdout.fileno(), 1 << 16)
        if not data:
            return None
        self.heard = time.monotonic()
        *lines, self.partial = (self.partial + data).split(b"\n")
        return lines

    def end(self) -> None:
        self.process.kill()
        with suppress(BrokenPipeError):  # what it never read
            self.stdin.close()
        self.stdout.close()
        self.process.wait()


class HeaderPool(Generic[K]):
    """Some processes that read headers. They start with the first task, and end with the `with` block."""

    def __init__(self, processes: int) -> None:
        self._processes = max(1, processes)
        self._readers: list[_Reader[K]] = []
        self._again: deque[Task[K]] = deque()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.end()
        self._readers.clear()
        self._selector.close()

    def read(self, tasks: Iterable[Task[K]], stopped: Callable[[], bool]) -> Iterator[Answers[K]]:
        """What has been answered since the last time, a few times a second at least; perhaps nothing. Ends when all is
        answered, or once `stopped` says True."""
        waiting = iter(tasks)
        first = next(waiting, None)
        if first is None:
            return
        self._again.append(first)
        while len(self._readers) < self._processes:
            self._start()
        exhausted = False
        while not stopped():
            exhausted = self._hand_out(waiting, exhausted=exhausted)
            if exhausted and not self._again and not any(reader.tasks for reader in self._readers):
                return
            yield [*self._listen(), *self._end_hanging()]

    def _start(self) -> None:
        reader: _Reader[K] = _Reader.start()
        self._readers.append(reader)
        self._selector.register(reader.stdout, selectors.EVENT_READ, reader)

    def _hand_out(self, waiting: Iterator[Task[K]], *, exhausted: bool) -> bool:
        """Fill the readers up. Whether `waiting` has no more."""
        for reader in self._readers:
            if len(reader.tasks) > AHEAD // 2:
                continue
            handful: list[Task[K]] = []
            while len(reader.tasks) + len(handful) < AHEAD:
                task = self._again.popleft() if self._again else None if exhausted else next(waiting, None)
                if task is None:
                    exhausted = True
                    break
                handful.append(task)
            if handful:
                reader.give(handful)
        return exhausted

    def _listen(self) -> Answers[K]:
        found: Answers[K] = []
        for key, _ in self._selector.select(timeout=TICK_S):
            reader: _Reader[K] = key.data
            lines = reader.answers()
            if lines is None:
                found += self._replace(reader, ErrorKind.CRASH, "made the reader of its header crash")
            else:
                found += [(reader.tasks.popleft(), _understood(json.loads(line))) for line in lines]
        return found

    def _end_hanging(self) -> Answers[K]:
        found: Answers[K] = []
        now = time.monotonic()
        for reader in list(self._readers):
            if reader.tasks and now - reader.heard > TIME_LIMIT_S:
                reader.tasks[0].deaths = DEATHS  # it would hang again
                text = f"took longer than {TIME_LIMIT_S:.0f} seconds to read its header"
                found += self._replace(reader, ErrorKind.TIME, text)
        return found

    def _replace(self, reader: _Reader[K], kind: ErrorKind, text: str) -> Answers[K]:
        """A reader died or hangs: the photo it was at is to blame, the others go to its successor."""
        self._selector.unregister(reader.stdout)
        reader.end()
        self._readers.remove(reader)
        found: Answers[K] = []
        if reader.tasks:
            culprit = reader.tasks.popleft()
            culprit.deaths += 1
            if culprit.deaths >= DEATHS:
                found.append((culprit, HeaderError(kind, text)))
            else:
                self._again.append(culprit)
        self._again.extend(reader.tasks)
        self._start()
        return found


def _understood(line: dict[str, Any]) -> HeaderFacts | HeaderError:
    if "error" in line:
        kind, text = line["error"]
        return HeaderError(kind, text.encode("utf-8", "replace").decode())
    return HeaderFacts(**line["facts"])


def headers_of(
    paths: Iterable[bytes], processes: int, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[bytes, HeaderFacts | HeaderError]]:
    """The headers of any files, in no order, without a database: each path with what its header says, or why it cannot be
    read. `processes`: how many read. Ends early once `stopped` says True."""
    with HeaderPool[None](processes) as pool:
        for answers in pool.read((Task(path, None) for path in paths), stopped):
            for task, found in answers:
                yield task.path, found
