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
from collections.abc import Sequence
from typing import IO, Any

from ...exceptions import ConfigurationError, ResourceError
from ...logging_config import handle_record
from ...messages import NOTHING, Message
from ..processes import cores, end, start_child
from ..workers import Failure, LocalPool, Result, Task
from .bridge import ClusterOptions
from .slots import Wanted

log = logging.getLogger(__name__)

AGAIN_S = (1.0, 2.0, 5.0, 10.0)
GIVE_UP_S = 600.0
# How long the bridge may take to give its slots back.
CLOSE_S = 3.0
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


class ClusterPool:
    """A `Pool` of the slots of a Ray cluster. Tasks that need this machine run in `here`."""

    def __init__(self, address: str, wanted: Wanted, *, memory_limit: int = 0) -> None:
        """`address` as `ClusterOptions`; `memory_limit` is that of the children on this machine."""
        self._options = ClusterOptions(address, wanted)
        self.here = LocalPool(cores(), memory_limit=memory_limit)
        self.slots = 0
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
        results: list[Result] = []
        while True:
            left = 0.0 if results else max(0.0, until - time.monotonic())
            if self._bridge is None:
                time.sleep(min(left, max(0.0, self._again_at - time.monotonic())))
                if time.monotonic() >= self._again_at:
                    self._open()
            else:
                try:
                    while self._bridge is not None and self._bridge.connection.poll(left):
                        results += self._heard(*self._bridge.connection.recv())
                        left = 0.0
                except (EOFError, OSError):
                    results += self._gone()
            if results or time.monotonic() >= until:
                return results

    def progress(self) -> dict[str, tuple[int, int]]:
        return self._progress | self.here.progress()

    def stop(self, task_ids: Sequence[str]) -> None:
        if self._bridge is not None:
            self._bridge.send(("stop", list(task_ids)))

    def withdraw(self) -> None:
        if self._bridge is not None:
            self._bridge.send(("withdraw",))

    def close(self) -> None:
        self.here.close()
        if self._bridge is not None:
            self._bridge.send(("close",))
            self._bridge.end(CLOSE_S)
        self._bridge = None
        self.slots = 0
        for held in (self._flights, self._first, self._progress):
            held.clear()

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

    def _heard(self, kind: str, *rest: Any) -> list[Result]:
        if kind == "end":
            results: list[Result] = rest[0]
            for result in results:
                self._progress.pop(result.id, None)
                self._flights.pop(self._first.pop(result.id, result.id), None)
            return results
        if kind == "slots":
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
        return []

    def _gone(self) -> list[Result]:
        """The bridge has ended: so has everything that was in flight."""
        if self._bridge is not None:
            code, words = self._bridge.end(CLOSE_S)
            log.warning("the bridge to the cluster left with %d: %s", code, words)
            self._why = Message(words.splitlines()[-1]) if words and not self._why else self._why
        self._bridge, self.slots = None, 0
        now = time.monotonic()
        results = [
            Result(task.id, None, Failure("Lost", _LOST), (now - began) / len(tasks), lost=True)
            for tasks, began in self._flights.values()
            for task in tasks
        ]
        for held in (self._flights, self._first, self._progress):
            held.clear()
        self._again_at = now + AGAIN_S[min(self._tries, len(AGAIN_S) - 1)]
        self._tries += 1
        if not self._was_up and self._tries > len(AGAIN_S):
            raise ResourceError("No connection to a Ray cluster can be made: {why}", why=self._why or _LOST)
        return results
