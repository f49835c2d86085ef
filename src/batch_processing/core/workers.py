"""Workers: isolated child processes that do one task at a time.

Promises: a task that crashes, hangs, or eats all memory costs itself only; nothing a task does
reaches stdout; a child whose parent is gone leaves at once. Refuses tasks that are not plain data.
Does not promise that a task runs once: whoever submits it must fence the result (the lease token).

`ProcessPoolExecutor` cannot do this: one killed child breaks every future it holds. Children are
started as new interpreters, not forked and not through multiprocessing's spawn, which would import the
caller's `__main__` again (a notebook has none that can be imported).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pickle
import queue
import signal
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from ..exceptions import BatchProcessingError, Cancelled, ResourceError, reason
from ..logging_config import WorkerHandler, handle_record
from ..messages import Message, joined
from .plain import JsonObject
from .processes import cannot_start, die_with_parent, end, start_child
from .resources import Meter, Took

log = logging.getLogger(__name__)

# A task that was told to stop and reports no step is killed after this long. Half a second is
# what a person who pressed "cancel" takes for "at once".
STOP_GRACE_S = 0.5
# Children begin anew after this many tasks: fragmentation and leaks of image libraries stay bounded.
TASKS_PER_CHILD = 500
# Progress is news for a person, not a log: ten lines a second are enough.
PROGRESS_INTERVAL_S = 0.1
# What one piece of work may log. A library that warns of each pixel would bury everything else.
RECORDS_PER_TASK = 100
# So many machines may be lost over a task; the next loss is its failure. Who pulls the plug of five machines in a row
# pulls the next one, too; and a page that brings machines down looks no different.
LOSSES_ALLOWED = 4
# Messages of one child that are taken in before anybody else is looked at, wishes included.
MESSAGES_AT_ONCE = 200


P = TypeVar("P")

Progress = Callable[[int, int], None]
"""(done, total): says how far a task is. Raises `Cancelled` when it is no longer wanted."""


class Work(Protocol):
    """What a worker is to do: a dataclass of plain values, which is sent to it and called there."""

    def run(self, progress: Progress) -> object:
        """Do it; a dataclass of plain values, or None. It must call `progress` every few seconds."""
        ...


@runtime_checkable
class Joint(Protocol):
    """Work of which several pieces can be done at once."""

    @classmethod
    def run_together(cls, progress: Progress, works: Sequence[Any]) -> Sequence[object]:
        """For each, in order, what `run` would give, or the error that this one alone has."""
        ...


class Stages(Protocol):
    """Joint work of which the first part is done: what is left of it."""

    def on_device(self, progress: Progress) -> None:
        """The part that needs what there is only one of, as a GPU."""
        ...

    def finish(self, progress: Progress) -> Sequence[object]:
        """The rest, and what `Joint.run_together` would give."""
        ...


@runtime_checkable
class Staged(Joint, Protocol):
    """Joint work in three parts: while one piece of it has the device, others can be begun and finished (`core.overlap`).

    `run_together` MUST give what the parts give one after the other. `begin` and `finish` are called in threads of
    their own, two pieces perhaps finishing at once; `on_device` always in the main thread."""

    @classmethod
    def begin(cls, progress: Progress, works: Sequence[Any]) -> Stages:
        """The part before the device is needed."""
        ...

    def goes_with(self, other: Any) -> bool:
        """Whether `other`, of the same class, may be begun while this is not finished: they need the same to be loaded."""
        ...


def one_by_one(progress: Progress, works: Sequence[Work]) -> list[Any]:
    """`run_together` of work whose pieces do not help each other: so they are asked for in one message."""
    found = []
    for number, work in enumerate(works):
        progress(number, len(works))
        found.append(work.run(progress))
    return found


@dataclass(frozen=True)
class Written:
    """What the work of an item gives: the SHA-256 of the file that it wrote, in hex, and what there is to say of
    it, as plain JSON data."""

    sha256: str
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Work under the name by which its result is known.

    `quiet_s`: its worker hangs when nothing was reported for so long (0: it may be silent for `timeout_s`). `alone`: its
    worker must do nothing else meanwhile, because it went down with this one before, and who was it is not known. `here`: it
    needs this machine, where the files are that its fields name (others say what they are: `core.files`)."""

    id: str
    work: Work
    timeout_s: float = 3600.0
    quiet_s: float = 0.0
    alone: bool = False
    here: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a task gave no value. `fatal`: no other task of this run can do better (the disk is full)."""

    type: str
    text: Message
    fatal: bool = False


@dataclass(frozen=True)
class Result:
    """The end of a task: `value` (what its work gave), or `failure`; `died` if its worker did; `lost` if the machine that it
    was on is gone, which is not the task's fault. `seconds` as its pool has seen it; `took`: what its worker says it has
    used, None of one that was lost."""

    id: str
    value: Any
    failure: Failure | None
    seconds: float
    died: bool = False
    lost: bool = False
    took: Took | None = None


Outcome = tuple[object, Failure | None]
"""What became of a task: its value, or why it has none."""


STOPPED = Failure("Cancelled", Message("stopped because somebody asked for it"))


def took_too_long(allowed_s: float) -> Failure:
    text = Message("took longer than {allowed} s and was stopped", allowed=f"{allowed_s:.0f}")
    return Failure("TimeoutError", text)


class Pool(Protocol):
    """Where tasks run. The only seam between the coordinator and the machines that work for it.

    MUST give exactly one `Result` for each submitted task, unless closed before. MUST NOT block in
    `submit` or `stop`. A task is never retried here: that is the coordinator's decision. How many slots there are may change
    at any moment, also to none: whoever has a task waits for a free one with `completed`."""

    @property
    def slots(self) -> int: ...

    @property
    def free(self) -> int:
        """Slots that are not in use."""
        ...

    @property
    def here(self) -> Pool:
        """Where tasks run that need this machine: itself, where all do. It is closed with this one."""
        ...

    def news(self) -> list[Message]:
        """What a person should know of the machines, since this was asked last."""
        ...

    def submit(self, *tasks: Task) -> None:
        """Begin a task, or several of one kind of `Joint` work as one piece of work, which takes one slot and
        still gives a result for each. Only when a slot is free."""
        ...

    def completed(self, timeout: float) -> list[Result]:
        """What ended, waiting up to `timeout` seconds for the first."""
        ...

    def progress(self) -> dict[str, tuple[int, int]]:
        """The last (done, total) reported by each task in flight; of those begun together, by all of them."""
        ...

    def stop(self, task_ids: Sequence[str]) -> None:
        """Ask tasks, and those begun together with them, to end soon; each still gives its result, mostly a
        failure of type Cancelled."""
        ...

    def withdraw(self) -> None:
        """Nothing new is wanted: what was not really begun may end as Cancelled, what was goes on."""
        ...

    def close(self) -> None:
        """Let go of everything in flight, now."""
        ...


class Child:
    """One worker process, and the tasks it has: one, or several that it does together."""

    def __init__(self, memory_limit: int, name: str, module: str = __name__) -> None:
        """A new interpreter that calls `serve` of `module`."""
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        try:
            self.process, self.connection = start_child(module, f"{memory_limit}", self.stderr, name=name)
        except ResourceError:
            self.stderr.close()
            raise
        self.tasks: tuple[Task, ...] = ()
        self.started = 0.0
        self.deadline = 0.0
        self.heard = 0.0  # when it was begun, or last reported something
        self.tasks_done = 0
        self.records = 0  # logged by what it does now
        self.progress: tuple[int, int] | None = None
        self.stopping = False

    @property
    def due(self) -> float:
        """When it has taken too long, if nothing is heard of it before."""
        quiet_s = self.tasks[0].quiet_s if self.tasks else 0.0
        return min(self.deadline, self.heard + quiet_s) if quiet_s else self.deadline

    def last_words(self) -> str:
        self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, self.stderr.tell() - 2000))
        return self.stderr.read().decode(errors="replace").strip()

    def died(self) -> Failure:
        """Bury it; why it died."""
        words = self.last_words()
        code = self.end()
        if words:
            log.warning("worker %d left with %d; its last words: %s", self.process.pid, code, words)
        if code < 0:
            name = signal.Signals(-code).name
            text = Message("its worker process was ended by {name}", name=name)
            if name == "SIGKILL":
                text = Message("{text}, probably because the machine ran out of memory", text=text)
        else:
            text = Message("its worker process ended by itself with exit code {code}", code=code)
        return Failure("WorkerDied", text)

    def log(self, record: Any) -> None:
        """Write down what it has logged, unless it says too much."""
        self.records += 1
        if self.records <= RECORDS_PER_TASK:
            handle_record(record)

    def task_ended(self, count: int) -> None:
        if self.records > RECORDS_PER_TASK:
            log.warning("%d more messages of a worker were left out", self.records - RECORDS_PER_TASK)
        self.records = 0
        self.tasks_done += count

    def end(self, *, kill: bool = False) -> int:
        """Close the connection, which ends an idle child; `kill` does not wait for it to notice."""
        self.connection.close()
        if kill:
            self.process.kill()
        code = end(self.process, 2.0)
        self.stderr.close()
        return code


class OnThisMachine:
    """What a `Pool` says whose tasks all run on this machine."""

    @property
    def here(self) -> Self:
        return self

    def news(self) -> list[Message]:
        return []


class LocalPool(OnThisMachine):
    """A `Pool` of child processes on this machine.

    `memory_limit` in bytes bounds each child's address space (0: none, for CUDA, which reserves
    far more than it uses). Children start when they are first needed."""

    def __init__(
        self,
        slots: int,
        *,
        memory_limit: int = 0,
        tasks_per_child: int = TASKS_PER_CHILD,
        name: str = "lote worker",
    ) -> None:
        """`name`: of the children, in the list of processes."""
        self.slots = slots
        self._tasks_per_child = tasks_per_child
        self._name = name
        self._memory_limit = memory_limit
        self._idle: list[Child] = []
        self._busy: list[Child] = []

    @property
    def free(self) -> int:
        return self.slots - len(self._busy)

    def submit(self, *tasks: Task) -> None:
        if not self.free:
            raise RuntimeError("submit() while every slot is busy")
        child = None
        while self._idle and child is None:
            child = self._idle.pop()
            if child.process.poll() is not None:  # killed while it had nothing to do: nobody's loss
                child.end()
                child = None
        if child is None:
            child = Child(self._memory_limit, self._name)
        child.tasks, child.progress, child.stopping, child.records = tasks, None, False, 0
        child.started = child.heard = time.monotonic()
        child.deadline = child.started + sum(task.timeout_s for task in tasks)
        self._busy.append(child)
        try:
            child.connection.send(("tasks", tasks))
        except OSError:  # it died while idle: `completed` will see and say so
            pass
        except (TypeError, AttributeError, pickle.PicklingError):
            self._busy.remove(child)
            self._idle.append(child)
            raise

    def completed(self, timeout: float) -> list[Result]:
        results: list[Result] = []
        until = time.monotonic() + timeout
        while self._busy and not results:
            now = time.monotonic()
            nearest = min([until, *(child.due for child in self._busy)])
            ready = wait([child.connection for child in self._busy], max(0.0, nearest - now))
            for child in list(self._busy):
                if child.connection in ready and (ended := self._hear(child)):
                    results += ended
                elif child in self._busy and time.monotonic() > child.due:
                    results += self._overdue(child)
            if time.monotonic() >= until:
                break
        if not self._busy and not results:
            time.sleep(max(0.0, until - time.monotonic()))
        return results

    def progress(self) -> dict[str, tuple[int, int]]:
        return {task.id: child.progress for child in self._busy if child.progress for task in child.tasks}

    def stop(self, task_ids: Sequence[str]) -> None:
        for child in self._busy:
            if not child.stopping and any(task.id in task_ids for task in child.tasks):
                child.stopping = True
                child.deadline = min(child.deadline, time.monotonic() + STOP_GRACE_S)
                with contextlib.suppress(OSError):
                    child.connection.send(("stop", child.tasks[0].id))

    def withdraw(self) -> None:
        """Nothing to do: whatever is in flight was begun."""

    def close(self) -> None:
        for child in self._busy:
            child.end(kill=True)
        for child in self._idle:
            child.end()
        self._busy, self._idle = [], []

    def _hear(self, child: Child) -> list[Result]:
        """Take what a child has sent; the results of its tasks if they are among it."""
        try:
            for _ in range(MESSAGES_AT_ONCE):
                kind, *rest = child.connection.recv()
                if kind == "log":
                    child.log(rest[0])
                elif kind == "cannot":
                    return self._useless(child, rest[0])
                elif kind == "progress":
                    child.progress, child.heard = (rest[0], rest[1]), time.monotonic()
                else:
                    return self._ended(child, *rest)
                if not child.connection.poll():
                    break
        except (EOFError, OSError):
            return self._died(child)
        return []

    def _useless(self, child: Child, why: str) -> list[Result]:
        """A worker that could not begin: it is the machine's fault, and no task can do better."""
        child.end()
        return self._lost(child, Failure("ResourceError", cannot_start(why), fatal=True), died=False)

    def _ended(self, child: Child, outcomes: Sequence[Outcome], took: Took) -> list[Result]:
        # Of the time that tasks took together each is given its share.
        seconds = (time.monotonic() - child.started) / len(child.tasks)
        share = took.shared(len(child.tasks))
        results = [
            Result(task.id, value, failure, seconds, took=share)
            for task, (value, failure) in zip(child.tasks, outcomes, strict=True)
        ]
        self._busy.remove(child)
        child.task_ended(len(child.tasks))
        child.tasks = ()
        out_of_memory = any(failure and failure.type == "MemoryError" for _, failure in outcomes)
        if child.tasks_done >= self._tasks_per_child or out_of_memory:
            child.end()
        else:
            self._idle.append(child)
        return results

    def _overdue(self, child: Child) -> list[Result]:
        allowed = child.due - (child.started if child.due == child.deadline else child.heard)
        failure = STOPPED if child.stopping else took_too_long(allowed)
        child.end(kill=True)
        # Which of several took so long is not known: as after a death, each may show it alone.
        return self._lost(child, failure, died=len(child.tasks) > 1 and not child.stopping)

    def _died(self, child: Child) -> list[Result]:
        return self._lost(child, child.died(), died=True)

    def _lost(self, child: Child, failure: Failure, *, died: bool) -> list[Result]:
        """The results of tasks whose worker is gone."""
        seconds = (time.monotonic() - child.started) / len(child.tasks)
        self._busy.remove(child)
        return [Result(task.id, None, failure, seconds, died=died) for task in child.tasks]


def in_pool(
    pool: Pool,
    tasks: Iterable[Task],
    *,
    group: int = 1,
    may_begin: Callable[[bool], bool] = lambda idle: True,
    fits: Callable[[Sequence[Task]], bool] = lambda piece: True,
    tick_s: float = 0.1,
) -> Generator[list[Result], None, None]:
    """Run tasks, as many at once as the pool has slots: what has ended, every `tick_s` seconds at least, perhaps nothing.

    `group`: so many tasks that follow on each other, and are `Joint` work of one kind, are begun as one piece of work. A task
    whose worker died is done once more, by itself; it dies again only by its own doing. One whose machine was lost is done again
    by another, `LOSSES_ALLOWED` times; one that was withdrawn, as in a pause, begins anew. `fits`: whether so many tasks may go
    together. Before each turn `may_begin(nothing is in flight)` says whether new work may begin. Whoever leaves early lets go
    of what is in flight."""
    source = iter(tasks)
    ahead: Task | None = next(source, None)
    again: deque[Task] = deque()
    flying: dict[str, Task] = {}
    died: set[str] = set()
    losses: Counter[str] = Counter()
    try:
        while flying or again or ahead is not None:
            begin = may_begin(not flying)
            while begin and pool.free and (again or ahead is not None):
                if again:
                    piece = [again.popleft()]
                else:
                    piece = []
                    while ahead is not None and len(piece) < group:
                        if piece and not (_joint(piece[0], ahead) and fits([*piece, ahead])):
                            break
                        piece.append(ahead)
                        ahead = next(source, None)
                flying |= {task.id: task for task in piece}
                pool.submit(*piece)
            ended = []
            for result in pool.completed(tick_s) if flying or not pool.free else ():
                task = flying.pop(result.id)
                losses[task.id] += result.lost
                is_withdrawn = result.failure is not None and result.failure.type == STOPPED.type
                if is_withdrawn or (result.lost and losses[task.id] <= LOSSES_ALLOWED):
                    again.append(task)
                elif result.died and task.id not in died:
                    died.add(task.id)
                    again.append(task)
                else:
                    ended.append(result)
            yield ended
    finally:
        if flying:
            pool.close()


def _joint(one: Task, other: Task) -> bool:
    return type(one.work) is type(other.work) and isinstance(other.work, Joint)


# -- the child's side ---------------------------------------------------------------------------------


class _TaskChannel:
    """What a running task sees of its parent."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tasks: queue.SimpleQueue[tuple[Task, ...]] = queue.SimpleQueue()
        self.stopped: set[str] = set()
        self.current = ""
        self._lock = threading.Lock()
        self._last = 0.0

    def listen(self) -> None:
        """Runs in a thread: takes messages until the parent is gone, then leaves at once."""
        while True:
            try:
                kind, what = self.connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if kind == "tasks":
                self.tasks.put(what)
            else:
                self.stopped.add(what)

    def send(self, *message: Any) -> None:
        with self._lock:
            self.connection.send(message)

    def progress(self, done: int, total: int) -> None:
        if self.current in self.stopped:
            raise Cancelled("stopped because somebody asked for it")
        now = time.monotonic()
        if now - self._last >= PROGRESS_INTERVAL_S or done == total:
            self._last = now
            self.send("progress", done, total)


_TOO_LARGE = Message("needs more memory than a worker may use: see --worker-memory")
_CV_NO_MEMORY = -4  # cv::Error::StsNoMem, in `cv2.error.code`


def outcomes_of(found: Sequence[object]) -> list[Outcome]:
    """What `Joint.run_together` gave."""
    return [(None, failure_of(one)) if isinstance(one, Exception) else (one, None) for one in found]


def run_tasks(tasks: Sequence[Task], progress: Callable[[int, int], None]) -> list[Outcome]:
    """What becomes of tasks that were begun together, in their order."""
    if len(tasks) > 1:
        try:
            first = tasks[0].work
            if not isinstance(first, Joint):
                raise TypeError(f"{type(first).__name__} cannot be done together")  # noqa: TRY301
            return outcomes_of(first.run_together(progress, [task.work for task in tasks]))
        except Cancelled as error:
            return [(None, failure_of(error))] * len(tasks)
        except BatchProcessingError as error:
            log.info("%d tasks go on one by one: %s", len(tasks), error)
        except Exception:  # the border: whose fault it is shows when each is done by itself
            log.warning("%s failed for %d at once", _name(tasks[0]), len(tasks), exc_info=True)
    return [_alone(task, progress) for task in tasks]


def _alone(task: Task, progress: Callable[[int, int], None]) -> Outcome:
    try:
        return task.work.run(progress), None
    except (BatchProcessingError, OSError, MemoryError) as error:
        return None, failure_of(error)
    except Exception as error:  # the border: whatever a task does, the item fails and the run goes on
        if not is_of_memory(error):
            log.exception("unexpected error in %s", _name(task))
        return None, failure_of(error)


def _name(task: Task) -> str:
    return type(task.work).__qualname__


def is_of_memory(error: Exception) -> bool:
    """Whether something found no memory: less work at a time might."""
    return isinstance(error, MemoryError) or getattr(error, "code", None) == _CV_NO_MEMORY


def failure_of(error: Exception) -> Failure:
    """What is said of an error."""
    if is_of_memory(error):
        return Failure("MemoryError", _TOO_LARGE)
    if isinstance(error, OSError):
        # The system's words, without its number.
        what = reason(error)
        place = (
            os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else Message("its output")
        )
        if disk_is_full(error):
            return Failure(
                "OSError",
                Message(
                    "Cannot write {place}: {reason}. Free some space and run again.", place=place, reason=what
                ),
                True,
            )
        return Failure("OSError", joined((place, what), ": "))
    if isinstance(error, BatchProcessingError):
        fatal = isinstance(error, ResourceError) and disk_is_full(error)
        return Failure(type(error).__name__, reason(error), fatal)
    return Failure(
        type(error).__name__,
        Message("unexpected {kind}: {error}", kind=type(error).__name__, error=error),
    )


def disk_is_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, is a full disk or quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _limit_memory(limit: int) -> None:
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def begin_life(memory_limit: int, send: Callable[..., None], listen: Callable[[], None]) -> bool:
    """What a child does first: it ends with its parent, has its logs sent, and calls `listen` in a thread. False if there
    can be no threads, which its parent was told."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    if memory_limit:
        _limit_memory(memory_limit)
    root = logging.getLogger()
    root.addHandler(WorkerHandler(lambda record: send("log", record)))
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    try:
        threading.Thread(target=listen, daemon=True).start()
    except RuntimeError:  # what Python makes of EAGAIN: no more threads for this user (`ulimit -u`)
        send("cannot", os.strerror(errno.EAGAIN))
        return False
    return True


def no_plain_data(name: str, error: Exception) -> Failure:
    """Of a task whose value cannot be sent."""
    return Failure("TypeError", Message("{function} gave no plain data: {error}", function=name, error=error))


def serve(descriptor: int, memory_limit: int) -> None:
    """The life of a child."""
    channel = _TaskChannel(Connection(descriptor))
    if not begin_life(memory_limit, channel.send, channel.listen):
        return
    while True:
        tasks = channel.tasks.get()
        channel.current = tasks[0].id
        meter = Meter(anew=True)
        outcomes = run_tasks(tasks, channel.progress)
        channel.stopped.discard(channel.current)
        took = meter.took()
        try:
            channel.send("end", outcomes, took)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            channel.send("end", [(None, no_plain_data(_name(tasks[0]), error))] * len(tasks), took)
