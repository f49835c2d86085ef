"""A pool whose one worker has several pieces of work at once, each in another part: while one has the device, the next
is begun and others are finished.

Promises of `workers.Pool` hold, and more: work that is not `Staged`, that needs something else loaded than what is
underway, or that took a worker down before, has the worker for itself. The device is only used in the child's main thread. A
piece's time counts while somebody works on it, not while it waits for the device. A worker that dies costs what was begun;
what only waited goes to the next worker.

Parts of one piece follow each other as in `Joint.run_together`: who works beside it shows in no byte. Where a part
fails for several tasks together, or for want of memory, the piece is done once more, by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from multiprocessing.connection import Connection, wait
from typing import Any

from ..exceptions import BatchProcessingError, Cancelled, ResourceError
from .processes import cannot_start
from .resources import Took, gpu_peak, peak_memory
from .workers import (
    MESSAGES_AT_ONCE,
    PROGRESS_INTERVAL_S,
    STOP_GRACE_S,
    STOPPED,
    TASKS_PER_CHILD,
    Child,
    Failure,
    OnThisMachine,
    Outcome,
    Result,
    Staged,
    Stages,
    Task,
    begin_life,
    disk_is_full,
    failure_of,
    is_of_memory,
    no_plain_data,
    outcomes_of,
    run_tasks,
    took_too_long,
)

log = logging.getLogger(__name__)

HANDS = 2  # threads that finish: a page of 1600 x 2400 takes 0.7 s of a core there, and 0.2 to 0.4 s of a GPU
# One that is made ready, one on the device, and as many as there are hands being finished.
IN_FLIGHT = 2 + HANDS


@dataclass(eq=False)
class _Flight:
    """What the pool knows of tasks that were begun as one piece of work. Times in seconds."""

    tasks: tuple[Task, ...]
    sent: bool = False
    begun: bool = False
    spent: float = 0.0
    since: float | None = None  # somebody has worked on it since then
    heard: float = 0.0
    stop_by: float = math.inf
    progress: tuple[int, int] | None = None

    @property
    def limit(self) -> float:
        return sum(task.timeout_s for task in self.tasks)

    @property
    def due(self) -> float:
        """When it has taken too long, if nothing is heard of it before."""
        if self.since is None:
            return self.stop_by
        quiet_s = self.tasks[0].quiet_s
        quiet = self.heard + quiet_s if quiet_s else math.inf
        return min(self.stop_by, self.since + self.limit - self.spent, quiet)

    def clock(self, runs: bool) -> None:
        now = time.monotonic()
        if self.since is not None:
            self.spent += now - self.since
        self.since, self.heard, self.begun = (now if runs else None), now, True


class OverlapPool(OnThisMachine):
    """A `Pool` with one child process on this machine, which has up to `slots` pieces of work."""

    def __init__(
        self,
        slots: int = IN_FLIGHT,
        *,
        memory_limit: int = 0,
        tasks_per_child: int = TASKS_PER_CHILD,
        name: str = "lote worker",
    ) -> None:
        """As `LocalPool`."""
        self.slots = slots
        self._memory_limit, self._tasks_per_child, self._name = memory_limit, tasks_per_child, name
        self._flights: dict[int, _Flight] = {}  # in the order of their numbers
        self._numbers = itertools.count()
        self._child: Child | None = None
        self._worn = False  # the child takes nothing more

    @property
    def free(self) -> int:
        return self.slots - len(self._flights)

    def submit(self, *tasks: Task) -> None:
        if not self.free:
            raise RuntimeError("submit() while every slot is busy")
        number = next(self._numbers)
        self._flights[number] = _Flight(tasks)
        try:
            self._feed()
        finally:
            if not (self._flights[number].sent or self._worn):  # no child to be had, or no plain data
                del self._flights[number]

    def completed(self, timeout: float) -> list[Result]:
        results: list[Result] = []
        until = time.monotonic() + timeout
        while self._flights and not results:
            child = self._feed()
            nearest = min([until, *(flight.due for flight in self._flights.values())])
            if wait([child.connection], max(0.0, nearest - time.monotonic())):
                results = self._hear(child)
            elif late := [flight for flight in self._flights.values() if flight.due < time.monotonic()]:
                results = self._overdue(child, late[0])
            if time.monotonic() >= until:
                break
        if not self._flights and not results:
            time.sleep(max(0.0, until - time.monotonic()))
        return results

    def progress(self) -> dict[str, tuple[int, int]]:
        flights = [flight for flight in self._flights.values() if flight.progress]
        return {task.id: flight.progress for flight in flights for task in flight.tasks if flight.progress}

    def stop(self, task_ids: Sequence[str]) -> None:
        for number, flight in self._flights.items():
            if flight.stop_by == math.inf and any(task.id in task_ids for task in flight.tasks):
                flight.stop_by = time.monotonic() + STOP_GRACE_S
                self._tell("stop", number)

    def withdraw(self) -> None:
        """What has not reached the device ends as Cancelled."""
        self._tell("withdraw")

    def close(self) -> None:
        if self._child is not None:
            self._child.end(kill=bool(self._flights))
        self._child, self._flights = None, {}

    def _feed(self) -> Child:
        """Send the child what it can take; a new one where there is none, or it has done enough."""
        busy = any(flight.sent for flight in self._flights.values())
        child = self._child
        if child is not None and not busy and (self._worn or child.process.poll() is not None):
            child.end()
            child = None
        if child is None:
            child = self._child = Child(self._memory_limit, self._name, __name__)
            self._worn = False
        if not self._worn:
            for number, flight in self._flights.items():
                if not flight.sent:
                    self._tell("tasks", number, flight.tasks)
                    flight.sent = True
        return child

    def _tell(self, *message: object) -> None:
        if self._child is not None:
            with contextlib.suppress(OSError):  # it died: `completed` will see and say so
                self._child.connection.send(message)

    def _hear(self, child: Child) -> list[Result]:
        """Take what the child has sent; the results of the piece that ended, if one did."""
        try:
            for _ in range(MESSAGES_AT_ONCE):
                kind, *rest = child.connection.recv()
                if kind == "log":
                    child.log(rest[0])
                elif kind == "cannot":
                    child.end()
                    text = cannot_start(rest[0])
                    return self._lost(self._flights, Failure("ResourceError", text, fatal=True), died=False)
                elif kind == "end":
                    return self._ended(child, *rest)
                elif flight := self._flights.get(rest[0]):
                    if kind == "clock":
                        flight.clock(rest[1])
                    else:
                        flight.progress, flight.heard = (rest[1], rest[2]), time.monotonic()
                if not child.connection.poll():
                    break
        except (EOFError, OSError):
            failure = child.died()
            # The first, where it died before it could say what it begins: else nobody would ever be blamed.
            begun = [number for number, flight in self._flights.items() if flight.begun]
            return self._lost(begun or list(self._flights)[:1], failure, died=True)
        return []

    def _ended(self, child: Child, number: int, outcomes: Sequence[Outcome], took: Took) -> list[Result]:
        flight = self._flights.pop(number)
        flight.clock(runs=False)
        seconds = flight.spent / len(flight.tasks)
        share = took.shared(len(flight.tasks))
        child.task_ended(len(flight.tasks))
        no_memory = any(failure and failure.type == "MemoryError" for _, failure in outcomes)
        self._worn = self._worn or no_memory or child.tasks_done >= self._tasks_per_child
        return [
            Result(task.id, value, failure, seconds, took=share)
            for task, (value, failure) in zip(flight.tasks, outcomes, strict=True)
        ]

    def _overdue(self, child: Child, late: _Flight) -> list[Result]:
        """End a child that is too slow. Of several that it works on which one hangs is not known: each may show it alone.

        What waits has no part in it."""
        begun = {number: flight for number, flight in self._flights.items() if flight.begun}
        working = [number for number, flight in begun.items() if flight.since is not None]
        waiting = [number for number, flight in begun.items() if flight.since is None]
        child.end(kill=True)
        if late.stop_by < math.inf:
            stopped = [number for number, flight in self._flights.items() if flight.stop_by < math.inf]
            return self._lost({*begun, *stopped}, STOPPED, died=False)
        hung = late.since is not None and late.due >= late.since + late.limit - late.spent
        allowed = late.limit if hung else late.tasks[0].quiet_s
        several = len(working) > 1 or len(late.tasks) > 1
        results = self._lost(working, took_too_long(allowed), died=several)
        return results + self._lost(waiting, STOPPED, died=False)

    def _lost(self, numbers: Iterable[int], failure: Failure, *, died: bool) -> list[Result]:
        """The results of pieces whose worker is gone; the others are for the next one."""
        self._child = None
        lost = [self._flights.pop(number) for number in sorted(numbers)]
        for flight in self._flights.values():
            flight.sent = False
        for flight in lost:
            flight.clock(runs=False)
        return [
            Result(task.id, None, failure, flight.spent / len(flight.tasks), died=died)
            for flight in lost
            for task in flight.tasks
        ]


# -- the child's side ---------------------------------------------------------------------------------


class _Part(Enum):
    """Where a piece stands, in the order that most go through."""

    WAITS = auto()
    BEGINS = auto()
    READY = auto()
    ON_DEVICE = auto()
    MADE = auto()
    FINISHES = auto()
    BY_ITSELF = auto()  # waits until nothing else is underway, to be done in one go


_UNDERWAY = (_Part.BEGINS, _Part.READY, _Part.ON_DEVICE, _Part.MADE, _Part.FINISHES)
_BEFORE_DEVICE = (_Part.WAITS, _Part.BEGINS, _Part.READY, _Part.BY_ITSELF)
_IDLE = (_Part.WAITS, _Part.READY, _Part.BY_ITSELF)  # nobody works on it


@dataclass(eq=False)
class _Piece:
    number: int
    tasks: tuple[Task, ...]
    part: _Part = _Part.WAITS
    stopped: bool = False
    stages: Stages | None = None
    told_at: float = 0.0
    cpu_seconds: float = 0.0  # of the threads that worked on it

    @property
    def name(self) -> str:
        return type(self.tasks[0].work).__qualname__

    @property
    def staged(self) -> Staged | None:
        """The first work, where all is done in parts; None for what is done in one go, by itself."""
        first = self.tasks[0].work
        alone = any(task.alone or type(task.work) is not type(first) for task in self.tasks)
        return first if isinstance(first, Staged) and not alone else None

    @property
    def in_one_go(self) -> bool:
        """Whether it is being done so."""
        return self.part is _Part.ON_DEVICE and self.stages is None


class _Line:
    """The pieces that a child has, and the threads that pass them on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._pieces: dict[int, _Piece] = {}  # in the order in which they came

    # -- messages -----------------------------------------------------------------------------------

    def listen(self) -> None:
        """Runs in a thread: takes messages until the parent is gone, then leaves at once."""
        while True:
            try:
                kind, *rest = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            with self._changed:
                if kind == "tasks":
                    number, tasks = rest
                    self._pieces[number] = _Piece(number, tasks)
                elif kind == "stop":
                    self._stop(piece for piece in self._pieces.values() if piece.number == rest[0])
                else:
                    self._stop(piece for piece in self._pieces.values() if piece.part in _BEFORE_DEVICE)
                self._changed.notify_all()

    def _stop(self, pieces: Iterable[_Piece]) -> None:
        for piece in list(pieces):
            piece.stopped = True
            if piece.part in _IDLE:
                self._end(piece, [(None, STOPPED)] * len(piece.tasks))

    def send(self, *message: Any) -> None:
        with self._sending:
            self._connection.send(message)

    def _progress(self, piece: _Piece) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if piece.stopped:
                raise Cancelled("stopped because somebody asked for it")
            now = time.monotonic()
            if now - piece.told_at >= PROGRESS_INTERVAL_S or done == total:
                piece.told_at = now
                self.send("progress", piece.number, done, total)

        return progress

    # -- who is next --------------------------------------------------------------------------------

    def _next(self, choose: Callable[[], _Piece | None], part: _Part) -> _Piece:
        """The next piece of a thread, which is in that `part` then."""
        with self._changed:
            while (piece := choose()) is None:
                self._changed.wait()
            piece.part = part
            self.send("clock", piece.number, True)
            self._changed.notify_all()
            return piece

    def _first(self, part: _Part) -> _Piece | None:
        return next((piece for piece in self._pieces.values() if piece.part is part), None)

    def _to_begin(self) -> _Piece | None:
        """The first that waits, where what is underway lets it."""
        piece = self._first(_Part.WAITS)
        if piece is None or piece.staged is None or self._first(_Part.BY_ITSELF):
            return None
        underway = [other for other in self._pieces.values() if other.part in _UNDERWAY]
        if any(other.part in (_Part.BEGINS, _Part.READY) or other.in_one_go for other in underway):
            return None  # one ahead is enough: each holds its pages in memory
        mine: object = piece.staged
        works = [other.tasks[0].work for other in underway]
        same = all(type(work) is type(mine) and piece.staged.goes_with(work) for work in works)
        return piece if same else None

    def _for_device(self) -> _Piece | None:
        if piece := self._first(_Part.READY):
            return piece
        if any(piece.part in _UNDERWAY for piece in self._pieces.values()):
            return None
        if piece := self._first(_Part.BY_ITSELF):
            return piece
        piece = self._first(_Part.WAITS)
        return piece if piece is not None and piece.staged is None else None

    # -- threads ------------------------------------------------------------------------------------

    def begin_all(self) -> None:
        while True:
            piece = self._next(self._to_begin, _Part.BEGINS)
            self._do(piece, self._begin, _Part.READY)

    def finish_all(self) -> None:
        while True:
            piece = self._next(lambda: self._first(_Part.MADE), _Part.FINISHES)
            self._do(piece, self._finish, _Part.FINISHES)

    def use_device(self) -> None:
        """The main thread."""
        while True:
            piece = self._next(self._for_device, _Part.ON_DEVICE)
            if piece.in_one_go:
                began = time.thread_time()
                outcomes = run_tasks(piece.tasks, self._progress(piece))
                piece.cpu_seconds += time.thread_time() - began
                self._end(piece, outcomes)
            else:
                self._do(piece, self._on_device, _Part.MADE)

    def _begin(self, piece: _Piece) -> None:
        if piece.staged is not None:
            works = [task.work for task in piece.tasks]
            piece.stages = piece.staged.begin(self._progress(piece), works)

    def _on_device(self, piece: _Piece) -> None:
        if piece.stages is not None:
            piece.stages.on_device(self._progress(piece))

    def _finish(self, piece: _Piece) -> list[Outcome] | None:
        found = None if piece.stages is None else piece.stages.finish(self._progress(piece))
        return None if found is None else outcomes_of(found)

    def _do(self, piece: _Piece, do: Callable[[_Piece], list[Outcome] | None], then: _Part) -> None:
        """One part of a piece; what becomes of it, if that fails."""
        began = time.thread_time()
        try:
            outcomes = do(piece)
        except (BatchProcessingError, OSError, MemoryError) as error:
            outcomes = self._failed(piece, error)
        except Exception as error:  # the border: whose fault it is shows when each is done by itself
            if not is_of_memory(error):
                log.exception("unexpected error in %s", piece.name)
            outcomes = self._failed(piece, error)
        piece.cpu_seconds += time.thread_time() - began
        if outcomes is not None:
            self._end(piece, outcomes)
        else:
            self._pass_on(piece, then if piece.stages is not None else _Part.BY_ITSELF)

    def _failed(self, piece: _Piece, error: Exception) -> list[Outcome] | None:
        """What is said of it; None for what is tried by itself first."""
        memory = is_of_memory(error) or (isinstance(error, ResourceError) and not disk_is_full(error))
        if isinstance(error, Cancelled) or (len(piece.tasks) == 1 and not memory):
            return [(None, failure_of(error))] * len(piece.tasks)
        log.info("%d tasks go on by themselves: %s", len(piece.tasks), error)
        piece.stages = None
        return None

    def _pass_on(self, piece: _Piece, part: _Part) -> None:
        with self._changed:
            piece.part = part
            self.send("clock", piece.number, False)
            if piece.stopped and part in _IDLE:
                self._end(piece, [(None, STOPPED)] * len(piece.tasks))
            self._changed.notify_all()

    def _end(self, piece: _Piece, outcomes: Sequence[Outcome]) -> None:
        with self._changed:
            del self._pieces[piece.number]
            # Of memory no more can be told than what the process had for all of its pieces.
            took = Took(0.0, piece.cpu_seconds, peak_memory(), gpu_peak())
            try:
                self.send("end", piece.number, outcomes, took)
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                none = (None, no_plain_data(piece.name, error))
                self.send("end", piece.number, [none] * len(piece.tasks), took)
            self._changed.notify_all()


def serve(descriptor: int, memory_limit: int) -> None:
    """The life of a child."""
    line = _Line(Connection(descriptor))
    if not begin_life(memory_limit, line.send, line.listen):
        return
    for work in (line.begin_all, *[line.finish_all] * HANDS):
        threading.Thread(target=work, daemon=True).start()
    line.use_device()
