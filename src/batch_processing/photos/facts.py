"""Stage two of a scan: header facts, read in processes that can be killed.

Promises: a hostile file costs itself at most (an error row of stage `facts`); the stage can be stopped
anywhere and goes on with the photos that have no facts yet. What failed is tried again in the next scan.
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
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from .hashing import join
from .settle import write_errors
from .tables import FACTS_VERSION, MISSING, below, directories, errors, facts, photos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .store import Store

# A header takes a millisecond; a reader that is silent for so long hangs.
TIME_LIMIT_S = 20.0
# Paths handed to a reader before it has answered: the pipe stays full, and a death is told by the first.
AHEAD = 32
# Deaths of a reader that one photo may cause; the first may have been the machine's doing.
DEATHS = 2
COMMIT_ROWS = 500
COMMIT_EVERY_S = 1.0
PAGE = 1000  # photos looked up at a time


@dataclass
class _Task:
    photo_id: int
    path: bytes
    deaths: int = 0


@dataclass
class _Reader:
    """One process that reads headers."""

    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    tasks: deque[_Task] = field(default_factory=deque)
    heard: float = field(default_factory=time.monotonic)
    partial: bytes = b""

    @classmethod
    def start(cls) -> _Reader:
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

    def give(self, tasks: Sequence[_Task]) -> None:
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


_LOCATED = photos.join(directories, directories.c.id == photos.c.directory_id)


def read_facts(
    store: Store,
    roots: Sequence[bytes],
    *,
    processes: int,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int, int], None] = lambda done, failed, total: None,
) -> tuple[int, int]:
    """Read the headers of all photos below `roots` that have no facts yet. Returns how many were read,
    and how many could not be; `progress` is called with the same numbers, and how many there are in all, a few
    times a second."""
    return _Stage(store, roots, stopped, progress).run(processes)


class _Stage:
    def __init__(
        self,
        store: Store,
        roots: Sequence[bytes],
        stopped: Callable[[], bool],
        progress: Callable[[int, int, int], None],
    ) -> None:
        self._store = store
        self._roots = roots
        self._stopped = stopped
        self._progress = progress
        self._done: list[dict[str, Any]] = []
        self._failed: list[tuple[bytes, str, str, str]] = []
        self._again: deque[_Task] = deque()
        self._read = self._errors = self._total = 0
        self._committed = time.monotonic()

    def run(self, processes: int) -> tuple[int, int]:
        with self._store.write() as connection:  # rows of photos that are gone or were mended meanwhile
            for root in self._roots:
                path = sa.type_coerce(errors.c.path, sa.LargeBinary)
                inside = sa.and_(path >= root.rstrip(b"/") + b"/", path < root.rstrip(b"/") + b"0")
                connection.execute(
                    errors.delete().where(inside, errors.c.stage == "facts", errors.c.kind != "empty")
                )
        tasks = self._tasks()
        readers: list[_Reader] = []
        first = next(tasks, None)
        if first is None:
            return 0, 0
        self._again.append(first)
        with self._store.read() as connection:
            query = sa.select(sa.func.count()).select_from(_LOCATED).where(*self._without_facts())
            self._total = connection.scalar(query) or 0
        with selectors.DefaultSelector() as selector:
            try:
                for _ in range(processes):
                    readers.append(_Reader.start())
                    selector.register(readers[-1].stdout, selectors.EVENT_READ, readers[-1])
                self._pump(selector, readers, tasks)
            finally:
                for reader in readers:
                    reader.end()
        self._commit()
        return self._read, self._errors

    def _pump(self, selector: selectors.BaseSelector, readers: list[_Reader], tasks: Iterator[_Task]) -> None:
        exhausted = False
        while not self._stopped():
            for reader in readers:
                if len(reader.tasks) > AHEAD // 2:
                    continue
                handful: list[_Task] = []
                while len(reader.tasks) + len(handful) < AHEAD and not exhausted:
                    task = self._again.popleft() if self._again else next(tasks, None)
                    if task is None:
                        exhausted = True
                    else:
                        handful.append(task)
                if handful:
                    reader.give(handful)
            if exhausted and not any(reader.tasks for reader in readers):
                return
            for key, _ in selector.select(timeout=0.25):
                reader = key.data
                answers = reader.answers()
                if answers is None:
                    self._replace(selector, readers, reader, "crash", "made the reader of its header crash")
                    exhausted = exhausted and not self._again
                else:
                    for line in answers:
                        self._take(reader.tasks.popleft(), json.loads(line))
            now = time.monotonic()
            for reader in list(readers):
                if reader.tasks and now - reader.heard > TIME_LIMIT_S:
                    reader.tasks[0].deaths = DEATHS  # it would hang again
                    text = f"took longer than {TIME_LIMIT_S:.0f} seconds to read its header"
                    self._replace(selector, readers, reader, "time", text)
                    exhausted = exhausted and not self._again
            if len(self._done) + len(self._failed) >= COMMIT_ROWS or now - self._committed > COMMIT_EVERY_S:
                self._commit()

    def _replace(
        self, selector: selectors.BaseSelector, readers: list[_Reader], reader: _Reader, kind: str, text: str
    ) -> None:
        """A reader died or hangs: the photo it was at is to blame, the others go to its successor."""
        selector.unregister(reader.stdout)
        reader.end()
        readers.remove(reader)
        if reader.tasks:
            culprit = reader.tasks.popleft()
            culprit.deaths += 1
            if culprit.deaths >= DEATHS:
                self._failed.append((culprit.path, "facts", kind, text))
            else:
                self._again.append(culprit)
        self._again.extend(reader.tasks)
        readers.append(_Reader.start())
        selector.register(readers[-1].stdout, selectors.EVENT_READ, readers[-1])

    def _take(self, task: _Task, answer: dict[str, Any]) -> None:
        if "error" in answer:
            kind, text = answer["error"]
            self._failed.append((task.path, "facts", kind, text.encode("utf-8", "replace").decode()))
        else:
            empty = dict.fromkeys(column.name for column in facts.c)
            named = {"photo_id": task.photo_id, "version": FACTS_VERSION}
            self._done.append({**empty, **answer["facts"], **named})

    def _commit(self) -> None:
        self._committed = time.monotonic()
        self._read += len(self._done)
        self._errors += len(self._failed)
        self._progress(self._read, self._errors, self._total)
        if not self._done and not self._failed:
            return
        with self._store.write() as connection:
            if self._done:
                connection.execute(facts.insert(), self._done)
            write_errors(connection, self._failed, datetime.now(UTC), None)
        self._done, self._failed = [], []

    def _without_facts(self) -> list[sa.ColumnElement[bool]]:
        return [
            photos.c.state != MISSING,
            sa.or_(*(below(root) for root in self._roots)),
            ~sa.exists().where(facts.c.photo_id == photos.c.id),
        ]

    def _tasks(self) -> Iterator[_Task]:
        """Photos without facts, in pages, oldest first."""
        last = 0
        name = sa.type_coerce(photos.c.name, sa.LargeBinary)
        path = sa.type_coerce(directories.c.path, sa.LargeBinary)
        while True:
            with self._store.read() as connection:
                rows = connection.execute(
                    sa.select(photos.c.id, path, name)
                    .select_from(_LOCATED)
                    .where(photos.c.id > last, *self._without_facts())
                    .order_by(photos.c.id)
                    .limit(PAGE)
                ).all()
            if not rows:
                return
            for key, directory, file in rows:
                yield _Task(key, join(bytes(directory), bytes(file)))
            last = rows[-1][0]
