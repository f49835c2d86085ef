"""`ClusterPool`: the slots of a Ray cluster as a `workers.Pool`, seen from the coordinator.

The bridge is started when the first slot is wanted, and again after it was lost, at growing intervals: what was in flight is
lost then, and done again. A cluster that cannot be had at first is a ConfigurationError in a sentence; one that does not come back
within `GIVE_UP_S` a ResourceError.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from typing import IO, Any

from ...exceptions import ConfigurationError, ResourceError
from ...logging_config import handle_record
from ...messages import NOTHING, Message
from ..processes import cores, end, start_child
from ..workers import STOPPED, Failure, LocalPool, Result, Task
from .bridge import ClusterOptions
from .slots import Wanted

log = logging.getLogger(__name__)

AGAIN_S = (1.0, 2.0, 5.0, 10.0)
GIVE_UP_S = 600.0
# How long the bridge may take to give its slots back.
CLOSE_S = 3.0
# How often it is asked what became of work that is done here.
BESIDE_S = 0.05
_LOST = Message("the connection to the cluster was lost")


class _Bridge:
    """A bridge's process, and the coordinator's end of the connection to it."""

    def __init__(self, options: ClusterOptions) -> None:
        self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the bridge
        module = f"{__package__}.bridge"
        self.process, self.connection = start_child(
            module, "", self.stderr, name="lote bridge to the cluster"
        )
        self.send(options)

    def send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it is gone: `completed` will see and say so
            self.connection.send(message)

    def end(self, patience_s: float = 0.0) -> tuple[int, str]:
        """Bury it; its exit code and last words."""
        code = end(self.process, patience_s)
        self.connection.close()
        self.stderr.seek(0)
        words = self.stderr.read().decode(errors="replace").strip()[-1000:]
        self.stderr.close()
        return code, words


class _Beside:
    """Pieces of work whose files cannot travel: done on this machine, one after the other."""

    def __init__(self, memory_limit: int) -> None:
        self._pool = LocalPool(1, memory_limit=memory_limit)
        self._waiting: deque[tuple[Task, ...]] = deque()
        self.ids: set[str] = set()  # of tasks

    def take(self, tasks: tuple[Task, ...]) -> None:
        self._waiting.append(tasks)
        self.ids |= {task.id for task in tasks}

    def completed(self) -> list[Result]:
        if self._waiting and self._pool.free:
            self._pool.submit(*self._waiting.popleft())
        results = self._pool.completed(0.0)
        self.ids -= {result.id for result in results}
        return results

    def progress(self) -> dict[str, tuple[int, int]]:
        return self._pool.progress()

    def stop(self, task_ids: Sequence[str]) -> list[Result]:
        """The ends of those that were not begun."""
        self._pool.stop(task_ids)
        return self._without([some for some in self._waiting if any(task.id in task_ids for task in some)])

    def withdraw(self) -> list[Result]:
        """The same, of all."""
        return self._without(list(self._waiting))

    def _without(self, ended: list[tuple[Task, ...]]) -> list[Result]:
        for tasks in ended:
            self._waiting.remove(tasks)
            self.ids -= {task.id for task in tasks}
        return _stopped(ended)

    def close(self) -> None:
        self._pool.close()
        self._waiting.clear()
        self.ids.clear()


def _stopped(pieces: Sequence[tuple[Task, ...]]) -> list[Result]:
    return [Result(task.id, None, STOPPED, 0.0) for tasks in pieces for task in tasks]


class ClusterPool:
    """A `Pool` of the slots of a Ray cluster. Tasks that need this machine run in `here`."""

    def __init__(self, address: str, wanted: Wanted, *, memory_limit: int = 0) -> None:
        """`address` as `ClusterOptions`; `memory_limit` is that of the children on this machine."""
        self._options = ClusterOptions(address, wanted)
        self.here = LocalPool(cores(), memory_limit=memory_limit)
        self.slots = 0
        self._beside = _Beside(wanted.memory_limit)
        self._ended: list[Result] = []  # taken in, and not asked for yet
        self._unwanted: set[str] = set()  # tasks that are to stop
        self._bridge: _Bridge | None = None
        self._flights: dict[str, tuple[tuple[Task, ...], float]] = {}  # by the id of the first task
        self._first: dict[str, str] = {}  # the first of its parcel, by each task
        self._progress: dict[str, tuple[int, int]] = {}
        self._news: list[Message] = []
        self._was_up = False
        self._tries = 0
        self._again_at = 0.0
        self._down_since = 0.0
        self._why = NOTHING

    @property
    def free(self) -> int:
        return max(0, self.slots - len(self._flights))

    def news(self) -> list[Message]:
        # Who asks for nothing but news is paused: what ends meanwhile must not fill the connection.
        self._take_in(0.0)
        news, self._news = self._news, []
        return news

    def submit(self, *tasks: Task) -> None:
        if not self.free or self._bridge is None:
            raise RuntimeError("submit() while every slot is busy")
        with contextlib.suppress(OSError):  # the bridge is gone: `completed` will see and say so
            self._bridge.connection.send(("tasks", tasks))
        self._flights[tasks[0].id] = tasks, time.monotonic()
        self._first |= {task.id: tasks[0].id for task in tasks}

    def completed(self, timeout: float) -> list[Result]:
        until = time.monotonic() + timeout
        if not self._flights:
            self._want()
        while True:
            left = 0.0 if self._ended else max(0.0, until - time.monotonic())
            if self._beside.ids:
                left = min(left, BESIDE_S)
            if self._bridge is None:
                time.sleep(min(left, max(0.0, self._again_at - time.monotonic())))
                if time.monotonic() >= self._again_at:
                    self._open()
            else:
                self._take_in(left)
            if self._beside.ids:
                self._end(self._beside.completed())
            if self._ended or time.monotonic() >= until:
                ended, self._ended = self._ended, []
                return ended

    def progress(self) -> dict[str, tuple[int, int]]:
        return self._progress | self._beside.progress() | self.here.progress()

    def stop(self, task_ids: Sequence[str]) -> None:
        self._unwanted |= set(task_ids) & self._first.keys()
        self._end(self._beside.stop(task_ids))
        if self._bridge is not None:
            self._bridge.send(("stop", list(task_ids)))

    def withdraw(self) -> None:
        self._end(self._beside.withdraw())
        if self._bridge is not None:
            self._bridge.send(("withdraw",))

    def close(self) -> None:
        self.here.close()
        self._beside.close()
        if self._bridge is not None:
            self._bridge.send(("close",))
            self._bridge.end(CLOSE_S)
        self._bridge = None
        self.slots = 0
        self._ended.clear()
        self._unwanted.clear()
        for held in (self._flights, self._first, self._progress):
            held.clear()

    def _take_in(self, timeout: float) -> None:
        """What the bridge has said, waiting up to `timeout` seconds for the first."""
        try:
            while self._bridge is not None and self._bridge.connection.poll(timeout):
                self._heard(*self._bridge.connection.recv())
                timeout = 0.0
        except (EOFError, OSError):
            self._gone()

    def _end(self, results: Sequence[Result]) -> None:
        for result in results:
            self._progress.pop(result.id, None)
            self._flights.pop(self._first.pop(result.id, result.id), None)
        self._unwanted -= {result.id for result in results}
        self._ended += results

    def _want(self) -> None:
        """Somebody waits for slots."""
        if self._bridge is None:
            if time.monotonic() >= self._again_at:
                self._open()
        elif not self.slots:
            self._bridge.send(("want",))

    def _open(self) -> None:
        self._down_since = self._down_since or time.monotonic()
        if self._was_up and time.monotonic() - self._down_since > GIVE_UP_S:
            raise ResourceError(
                "The Ray cluster did not come back within {minutes} minutes ({why}). What is finished is kept; the same command goes on.",
                minutes=round(GIVE_UP_S / 60),
                why=self._why or _LOST,
            )
        self._bridge = _Bridge(self._options)

    def _heard(self, kind: str, *rest: Any) -> None:
        if kind == "end":
            self._end(rest[0])
        elif kind == "here":
            for tasks in [self._flights[first][0] for first in rest[0]]:
                if self._unwanted.isdisjoint(task.id for task in tasks):
                    self._beside.take(tasks)
                else:
                    self._end(_stopped([tasks]))
        elif kind == "slots":
            self.slots = rest[0]
            self._was_up, self._tries, self._down_since = True, 0, 0.0
        elif kind == "progress":
            self._progress = rest[0]
        elif kind == "log":
            handle_record(rest[0])
        elif kind == "note":
            if rest[0] not in self._news:
                self._news.append(rest[0])
        elif kind == "cannot":
            self._why = rest[0]
            if not self._was_up:
                self.close()
                raise ConfigurationError(self._why)

    def _gone(self) -> None:
        """The bridge has ended: so has everything that was in flight."""
        if self._bridge is not None:
            code, words = self._bridge.end(CLOSE_S)
            log.warning("the bridge to the cluster left with %d: %s", code, words)
            self._why = Message(words.splitlines()[-1]) if words and not self._why else self._why
        self._bridge, self.slots = None, 0
        now = time.monotonic()
        self._end(
            [
                Result(task.id, None, Failure("Lost", _LOST), (now - began) / len(tasks), lost=True)
                for tasks, began in self._flights.values()
                for task in tasks
                if task.id not in self._beside.ids
            ]
        )
        self._again_at = now + AGAIN_S[min(self._tries, len(AGAIN_S) - 1)]
        self._tries += 1
        if not self._was_up and self._tries > len(AGAIN_S):
            raise ResourceError("No connection to a Ray cluster can be made: {why}", why=self._why or _LOST)
