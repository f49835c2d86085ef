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
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Protocol

from ..exceptions import BatchProcessingError, Cancelled, ResourceError, reason
from ..logging_config import WorkerHandler, handle_record

log = logging.getLogger(__name__)

# A task that was told to stop and reports no step is killed after this long. Half a second is
# what a person who pressed "cancel" takes for "at once".
STOP_GRACE_S = 0.5
# Children begin anew after this many tasks: fragmentation and leaks of image libraries stay bounded.
TASKS_PER_CHILD = 500
# Progress is news for a person, not a log: ten lines a second are enough.
PROGRESS_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Task:
    """`function` ("module:name") is called as `function(progress, **args)` in a worker.

    `args` are plain values (str, int, float, bytes, bool, None, lists and dicts of them).

    `together` ("module:name") does several such tasks at once: called as `function(progress, [args, ...])` it
    gives for each, in order, what the single function would, or the error that this one alone has."""

    id: str
    function: str
    args: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 3600.0
    together: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a task gave no value. `fatal`: no other task of this run can do better (the disk is full)."""

    type: str
    text: str
    fatal: bool = False


@dataclass(frozen=True)
class Result:
    """The end of a task: `value` (a dict of plain values), or `failure`; `died` if its worker did."""

    id: str
    value: dict[str, Any] | None
    failure: Failure | None
    seconds: float
    died: bool = False


Outcome = tuple[dict[str, Any] | None, Failure | None]
"""What became of a task: its value, or why it has none."""


class Pool(Protocol):
    """Where tasks run. The only seam between the coordinator and the machines that work for it.

    MUST give exactly one `Result` for each submitted task, unless closed before. MUST NOT block in
    `submit` or `stop`. A task is never retried here: that is the coordinator's decision."""

    slots: int

    @property
    def free(self) -> int:
        """Slots that are not in use."""
        ...

    def submit(self, *tasks: Task) -> None:
        """Begin a task, or several with one `together` as one piece of work, which takes one slot and still
        gives a result for each. Only when a slot is free."""
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

    def close(self) -> None:
        """Let go of everything in flight, now."""
        ...


def cores() -> int:
    """Cores that this process may use: as many local tasks run at once, unless somebody says otherwise."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def start_child(
    module: str, arguments: str = "", stderr: IO[bytes] | int = subprocess.DEVNULL
) -> tuple[subprocess.Popen[bytes], Connection]:
    """A new interpreter that calls `serve(descriptor, arguments)` of `module`, and the parent's end of the
    connection whose other end `descriptor` is. The child has to leave when that connection ends.

    ResourceError if no process can be started."""
    ours, theirs = socket.socketpair()
    environment = os.environ | {
        # One task, one core: there are as many children as there are cores to use.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONFAULTHANDLER": "1",
    }
    # Imported, not run with -m: what is pickled must belong to this module, not to `__main__`.
    code = f"from {module} import serve; serve({', '.join(filter(None, (str(theirs.fileno()), arguments)))})"
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            env=environment,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            # Its own group: Ctrl-C in the terminal is for the parent, which ends its children itself.
            process_group=0,
        )
    except OSError as error:
        ours.close()
        raise ResourceError(
            f"A worker process cannot be started ({error.strerror}): end other programs, or use fewer --workers."
        ) from error
    finally:
        theirs.close()
    return process, Connection(ours.detach())


class _Child:
    """One worker process, and the tasks it has: one, or several that it does together."""

    def __init__(self, memory_limit: int) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        try:
            self.process, self.connection = start_child(__name__, f"{memory_limit}", self.stderr)
        except ResourceError:
            self.stderr.close()
            raise
        self.tasks: tuple[Task, ...] = ()
        self.started = 0.0
        self.deadline = 0.0
        self.tasks_done = 0
        self.progress: tuple[int, int] | None = None
        self.stopping = False

    def last_words(self) -> str:
        self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, self.stderr.tell() - 2000))
        return self.stderr.read().decode(errors="replace").strip()

    def end(self, *, kill: bool = False) -> int:
        """Close the connection, which ends an idle child; `kill` does not wait for it to notice."""
        self.connection.close()
        if kill:
            self.process.kill()
        try:
            code = self.process.wait(2.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.stderr.close()
        return code


class LocalPool:
    """A `Pool` of child processes on this machine.

    `memory_limit` in bytes bounds each child's address space (0: none, for CUDA, which reserves
    far more than it uses). Children start when they are first needed."""

    def __init__(self, slots: int, *, memory_limit: int = 0) -> None:
        self.slots = slots
        self._memory_limit = memory_limit
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []

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
            child = _Child(self._memory_limit)
        child.tasks, child.progress, child.stopping = tasks, None, False
        child.started = time.monotonic()
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
            nearest = min([until, *(child.deadline for child in self._busy)])
            ready = wait([child.connection for child in self._busy], max(0.0, nearest - now))
            for child in list(self._busy):
                if child.connection in ready and (ended := self._hear(child)):
                    results += ended
                elif child in self._busy and time.monotonic() > child.deadline:
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

    def close(self) -> None:
        for child in self._busy:
            child.end(kill=True)
        for child in self._idle:
            child.end()
        self._busy, self._idle = [], []

    def _hear(self, child: _Child) -> list[Result]:
        """Take what a child has sent; the results of its tasks if they are among it."""
        try:
            while True:
                kind, *rest = child.connection.recv()
                if kind == "log":
                    handle_record(rest[0])
                elif kind == "progress":
                    child.progress = (rest[0], rest[1])
                else:
                    return self._ended(child, *rest)
                if not child.connection.poll():
                    return []
        except (EOFError, OSError):
            return self._died(child)

    def _ended(self, child: _Child, outcomes: Sequence[Outcome]) -> list[Result]:
        # Of the time that tasks took together each is given its share.
        seconds = (time.monotonic() - child.started) / len(child.tasks)
        results = [
            Result(task.id, value, failure, seconds)
            for task, (value, failure) in zip(child.tasks, outcomes, strict=True)
        ]
        self._busy.remove(child)
        child.tasks_done += len(child.tasks)
        child.tasks = ()
        out_of_memory = any(failure and failure.type == "MemoryError" for _, failure in outcomes)
        if child.tasks_done >= TASKS_PER_CHILD or out_of_memory:
            child.end()
        else:
            self._idle.append(child)
        return results

    def _overdue(self, child: _Child) -> list[Result]:
        allowed = sum(task.timeout_s for task in child.tasks)
        if child.stopping:
            failure = Failure("Cancelled", "stopped because somebody asked for it")
        else:
            failure = Failure("TimeoutError", f"took longer than {allowed:.0f} s and was stopped")
        child.end(kill=True)
        # Which of several took so long is not known: as after a death, each may show it alone.
        return self._lost(child, failure, died=len(child.tasks) > 1 and not child.stopping)

    def _died(self, child: _Child) -> list[Result]:
        words = child.last_words()
        code = child.end()
        if words:
            log.warning("worker %d left with %d; its last words: %s", child.process.pid, code, words)
        if code < 0:
            name = signal.Signals(-code).name
            text = f"its worker process was ended by {name}"
            if name == "SIGKILL":
                text += ", probably because the machine ran out of memory"
        else:
            text = f"its worker process ended by itself with exit code {code}"
        return self._lost(child, Failure("WorkerDied", text), died=True)

    def _lost(self, child: _Child, failure: Failure, *, died: bool) -> list[Result]:
        """The results of tasks whose worker is gone."""
        seconds = (time.monotonic() - child.started) / len(child.tasks)
        self._busy.remove(child)
        return [Result(task.id, None, failure, seconds, died=died) for task in child.tasks]


# -- the child's side ---------------------------------------------------------------------------------


class _Desk:
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


_TOO_LARGE = "needs more memory than a worker may use: see --worker-memory"
_CV_NO_MEMORY = -4  # cv::Error::StsNoMem, in `cv2.error.code`


def _run(tasks: Sequence[Task], progress: Callable[[int, int], None]) -> list[Outcome]:
    """What becomes of tasks that were begun together, in their order."""
    if len(tasks) > 1:
        try:
            found = _function(tasks[0].together)(progress, [task.args for task in tasks])
            return [(None, _failure(one)) if isinstance(one, Exception) else (one, None) for one in found]
        except Cancelled as error:
            return [(None, _failure(error))] * len(tasks)
        except BatchProcessingError as error:
            log.info("%d tasks go on one by one: %s", len(tasks), error)
        except Exception:  # the border: whose fault it is shows when each is done by itself
            log.warning("%s failed for %d at once", tasks[0].together, len(tasks), exc_info=True)
    return [_alone(task, progress) for task in tasks]


def _alone(task: Task, progress: Callable[[int, int], None]) -> Outcome:
    try:
        return _function(task.function)(progress, **task.args), None
    except (BatchProcessingError, OSError, MemoryError) as error:
        return None, _failure(error)
    except Exception as error:  # the border: whatever a task does, the item fails and the run goes on
        if getattr(error, "code", None) == _CV_NO_MEMORY:
            return None, _failure(MemoryError())
        log.exception("unexpected error in %s", task.function)
        return None, Failure(type(error).__name__, f"unexpected {type(error).__name__}: {error}")


def _function(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _failure(error: Exception) -> Failure:
    if isinstance(error, MemoryError):
        return Failure("MemoryError", _TOO_LARGE)
    if isinstance(error, OSError):
        # The system's words, without its number.
        what = reason(error)
        place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "its output"
        if disk_is_full(error):
            return Failure("OSError", f"Cannot write {place}: {what}. Free some space and run again.", True)
        return Failure("OSError", f"{place}: {what}")
    return Failure(type(error).__name__, str(error), isinstance(error, ResourceError) and disk_is_full(error))


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


def _die_with_parent() -> None:
    """Have the kernel end this process with its parent, even one that is stopped or deep in C code.

    The end of the connection tells a child too, but only one that can still listen."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def serve(descriptor: int, memory_limit: int) -> None:
    """The life of a child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    if memory_limit:
        _limit_memory(memory_limit)
    desk = _Desk(Connection(descriptor))
    root = logging.getLogger()
    root.addHandler(WorkerHandler(lambda record: desk.send("log", record)))
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    threading.Thread(target=desk.listen, daemon=True).start()
    while True:
        tasks = desk.tasks.get()
        desk.current = tasks[0].id
        outcomes = _run(tasks, desk.progress)
        desk.stopped.discard(desk.current)
        try:
            desk.send("end", outcomes)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            failure = Failure("TypeError", f"{tasks[0].function} gave no plain data: {error}")
            desk.send("end", [(None, failure)] * len(tasks))
