"""The coordinator: turns the wishes in the ledger into work, one process per kind at a time.

Promises: an output appears whole, once, and only under a lease that is still held; whatever dies,
the next run goes on where the ledger says, and at most one item for each slot is done again; control
is answered between two ticks. Refuses to run two jobs of one kind at once in a workspace. Does not
decide what a job is: that is the `Application`.

How an output becomes final: the worker writes and fsyncs `.<name>.<token>.part`; its hash is
committed as intent; the part is renamed; the folder is fsynced; the item is settled. A run that
begins looks at every item left in "processing" and finishes or undoes exactly this (`recover`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from ..exceptions import BatchProcessingError, Cancelled, ResourceError, incident
from ..io.outputs import fsync_dir, hash_file, part_path, publish
from ..logging_config import get_logger
from ..memory import MemoryManager
from .ledger import Event, Item, Job, Ledger, Settlement
from .status import JobNews, Snapshot
from .workers import Failure, Pool, Result, Task, disk_is_full
from .workspace import Kind, KindLock, Workspace, process_identity

log = get_logger(__name__)

# One tick of the loop: the longest time for which a wish goes unread, and a front end without news.
TICK_S = 0.1
# How long an ended item waits for others, so that they share the fsyncs of one commit: less than a
# commit costs, and nothing to a page that takes a second.
COMPANY_S = 0.003
NEWS_INTERVAL_S = 0.25
# How often somebody who waits for the lock looks again.
FOLLOW_S = 0.25
# A worker that dies twice over the same item would die a third time.
DEATHS_ALLOWED = 1

T = TypeVar("T")
# How often free disk and memory are looked at, and the bytes below which a job pauses: enough for the
# largest pages in flight to be written, and for the system to breathe.
WATCH_S = 2.0
LOW_DISK = 300_000_000
LOW_MEMORY = 200_000_000
# On disks smaller than this the low-water mark means nothing; there the write itself tells.
SMALL_DISK = 6_000_000_000

OnNews = Callable[[list[Event], Snapshot], None]


class Application(Protocol):
    """What a kind of job does. One object serves one job."""

    kind: Kind

    def pool(self, job: Job) -> Pool:
        """Where the job's tasks run."""
        ...

    def plan(self, desk: Desk) -> None:
        """Bring the ledger's items of the job up to date with its inputs and settings.

        MUST be repeatable: it runs again whenever the job is resumed. MUST raise before anything is
        written outside the workspace when the job cannot be done."""
        ...

    def task(self, job: Job, item: Item, part: Path) -> Task:
        """The task that writes the item's output to `part` (fsynced) and returns a value with its
        `sha256` and `details`. Those of items that `Ledger.arrange` has put together must have the same
        `Task.together`."""
        ...

    def finish(self, desk: Desk) -> dict[str, Any]:
        """After the last item: what belongs to the job as a whole. MUST be repeatable. The returned
        dict becomes `Job.result`; its "state" is "done" or "failed". Its "generation" is the engine's: the last
        one that came to an end, so that what was begun since is known to be under way."""
        ...

    def cancelled(self, desk: Desk) -> None:
        """After a cancel: say what was done before it. MUST be quick, and cope with a job that no run has
        planned to its end."""
        ...


class Interrupt:
    """What the person at this process asks of its run: 1 = pause and leave, 2 = let go and leave."""

    def __init__(self) -> None:
        self.level = 0

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM raise the level; the third Ctrl-C is the default again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(number: int, _frame: FrameType | None) -> None:
            self.level += 1
            if self.level >= 2:
                signal.signal(signal.SIGINT, signal.default_int_handler)

        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)


class Interrupted(BatchProcessingError):  # noqa: N818 - an outcome that was asked for, not a fault
    """The person at this process asked it to leave; the job waits to be resumed."""

    exit_code = 130


class JobFailed(BatchProcessingError):  # noqa: N818 - says what became of a job
    """The job as a whole was stopped by an error, in whichever process; a command that followed it ends
    like the one that ran it."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # of this error, not of the class

    def __reduce__(self) -> tuple[type[JobFailed], tuple[str, int]]:
        return type(self), (str(self), self.exit_code)


@dataclass(frozen=True)
class Desk:
    """What an application works with while it plans and finishes."""

    workspace: Workspace
    ledger: Ledger
    job: Job
    generation: int
    run: Callable[[Iterable[Task]], Iterator[Result]]
    """Run tasks in the pool, bounded; results come as they end. Raises Cancelled when the job is."""
    check: Callable[[], None]
    """Do what is wanted of the job: wait while it is paused, raise when it is to end. For the steps of
    long work that runs no tasks."""

    def watched(self, things: Iterable[T]) -> Iterator[T]:
        """`things`, with a `check` before each."""
        for thing in things:
            self.check()
            yield thing

    def phase(self, text: str) -> None:
        """Say what is being done before or after the items."""
        self.ledger.set_job(self.job.id, phase=text)

    def warn(self, text: str, key: str | None = None) -> None:
        self.ledger.say(self.job.id, "warning", text, key)

    def note(self, text: str, key: str | None = None) -> None:
        self.ledger.say(self.job.id, "note", text, key)


def run_job(
    workspace: Workspace,
    number: int,
    application: Application,
    *,
    on_news: OnNews = lambda events, snapshot: None,
    interrupt: Interrupt | None = None,
    budget: int = 0,
) -> Job:
    """Run a job to its end, or follow it while another process runs it; the job as it ended.

    `budget`: bytes that items in flight may need together (0: no limit). Raises `Interrupted` when
    `interrupt` asks to leave, `WorkspaceError` when the workspace cannot be locked at all, and
    whatever error stopped the job as a whole, after recording it."""
    ledger = workspace.ledger
    interrupt = interrupt or Interrupt()
    me = process_identity()
    news = JobNews(ledger, number)
    followed = False  # somebody else ran or awaited it while we looked on
    with workspace.lock(application.kind) as lock:
        while True:
            job = ledger.job(number)
            if job.ended:
                on_news(news.events(), news.snapshot())
                if job.state == "failed" and job.error:
                    raise JobFailed(job.error, job.exit_code or 1)
                return job
            if job.owner != me and _take_place(ledger, job, lock, keep_wish=followed):
                continue
            if job.owner != me:
                followed = followed or job.alive
            elif job.state == "queued" and job.wanted == "cancel":
                _Run(workspace, job, application, news, on_news, interrupt, budget).cancelled()
                continue
            elif job.wanted != "pause" and ledger.is_next(number) and lock.acquire():
                job = ledger.job(number)
                if job.owner == me and not job.ended:
                    return _Run(workspace, job, application, news, on_news, interrupt, budget).run()
                lock.release()
                continue
            try:
                on_news(news.events(), news.snapshot())
                time.sleep(FOLLOW_S)
            except BaseException:
                ledger.resign(number, me)
                raise
            if interrupt.level:
                ledger.resign(number, me)
                raise Interrupted(
                    f"Left job {number}, which goes on by itself or waits for `lote resume {number}`."
                )


def cancel_job(workspace: Workspace, number: int, application: Application) -> Job:
    """Cancel a job of `application`'s kind, and return it as it is then: still running where a living process
    has to do it.

    QueueError if there is no such job."""
    ledger = workspace.ledger
    ledger.want(number, "cancel")
    with workspace.lock(application.kind) as lock:
        if not ledger.job(number).ended and _take_place(ledger, ledger.job(number), lock, keep_wish=True):
            job, news = ledger.job(number), JobNews(ledger, number)
            _Run(workspace, job, application, news, lambda events, snapshot: None, Interrupt(), 0).cancelled()
    return ledger.job(number)


def _take_place(ledger: Ledger, job: Job, lock: KindLock, *, keep_wish: bool) -> bool:
    """Make this process the one that awaits the job, where no process runs it; False where one does, or may.

    A run holds the lock from its beginning to its end. So a job that some process began is free when the
    lock can be had, or when another process than its owner has it; that its owner looks dead is not enough."""
    me = process_identity()
    if job.state == "queued" and job.alive and job.owner != me:
        return False  # it waits for its turn
    if (not job.alive or job.owner == me) and ledger.adopt(job.id, me, keep_wish=keep_wish):
        return True
    holder = None if job.alive else lock.holder()
    if holder is not None and holder != job.owner:
        return ledger.adopt(job.id, me, keep_wish=keep_wish, certain=True)
    if not lock.acquire():
        return False
    try:
        return ledger.adopt(job.id, me, keep_wish=keep_wish or job.alive, certain=True)
    finally:
        lock.release()


def recover(ledger: Ledger, number: int) -> None:
    """Finish or undo what a dead run of the job has left in "processing"."""
    settlements = []
    for item in ledger.items(number, state="processing"):
        target, token = Path(item.output), str(item.token)
        part = part_path(target, token)
        state = "pending"
        if item.intent is not None:
            if _hash_of(part) == item.intent:
                publish(part, target)
                fsync_dir(target.parent)
            if _hash_of(target) == item.intent:
                state = "completed"
        part.unlink(missing_ok=True)
        settlements.append(
            Settlement(item.id, token, state, item.intent, item.details or {}, item.seconds or 0.0)
        )
    if settlements:
        log.info("job %d: %d items were in flight when it stopped", number, len(settlements))
        ledger.settle(settlements)


class _Run:
    """One run of one job, by the process that holds the lock."""

    def __init__(
        self,
        workspace: Workspace,
        job: Job,
        application: Application,
        news: JobNews,
        on_news: OnNews,
        interrupt: Interrupt,
        budget: int,
    ) -> None:
        self.workspace, self.ledger = workspace, workspace.ledger
        self.job, self.application = job, application
        self.news, self.on_news, self.interrupt = news, on_news, interrupt
        self.budget = budget
        self.in_flight: dict[str, Item] = {}
        self.ready: deque[list[Item]] = deque()  # leased, and too large to begin beside what is in flight
        self.published: list[Settlement] = []  # final on disk, not yet in the ledger
        self.fatal: Failure | None = None
        self._news_at = 0.0
        self._watch_at = 0.0
        self._wish_at = 0.0
        self._last_wish = "run"
        self._over = False  # cancelled: what is still run can only be left
        self._phase = ""
        self.pool: Pool = application.pool(job)

    def run(self) -> Job:
        number = self.job.id
        generation = self.job.generation + 1
        try:
            self.ledger.set_job(
                number, state="planning", phase="", started_at=time.time(), finished_at=None, error=None,
                exit_code=None, generation=generation,
            )  # fmt: skip
            desk = self._desk()
            recover(self.ledger, number)
            self.application.plan(desk)
            self.ledger.set_job(number, started_at=time.time())
            while True:
                self.ledger.set_job(number, state="running", phase="")
                self._work()
                self.ledger.set_job(number, state="finishing")
                result = self.application.finish(replace(desk, job=self.ledger.job(number)))
                if not self.ledger.counts(number)["pending"]:
                    break  # else somebody asked for a retry meanwhile
            state, result = result.get("state", "done"), {**result, "generation": generation}
            self.ledger.set_job(number, state=state, phase="", result=result, finished_at=time.time())
        except Cancelled:
            self.cancelled()
        except OSError as error:
            if isinstance(error, BrokenPipeError):  # nobody reads our news any more: not the job's fault
                self._leave()
                raise
            text = f"Job {number} cannot go on: {incident(error)}. What is finished is kept; the same command goes on."
            self._fail(ResourceError(text))
            raise ResourceError(text) from error
        except Exception as error:
            # Whatever stops a job as a whole is told to whoever follows it, and goes on to the caller.
            if isinstance(error, Interrupted):
                self._leave()
            else:
                self._fail(error)
            raise
        except BaseException:  # Ctrl-C in a library call, or the end of the interpreter
            self._leave()
            raise
        finally:
            self.pool.close()
        self._tell(force=True)
        return self.ledger.job(number)

    def cancelled(self) -> None:
        """End the job as cancelled, and have the application say what was done."""
        number = self.job.id
        self._let_go()
        recover(self.ledger, number)
        self.ledger.cancel_pending(number)
        self._over = True
        try:
            self.application.cancelled(self._desk())
        except Interrupted:
            pass
        except (BatchProcessingError, OSError) as error:
            log.warning("job %d was cancelled, and nothing says what was done: %s", number, error)
        finally:
            self.pool.close()
        ended = self.ledger.job(number)
        result = {**ended.result, "generation": ended.generation}
        self.ledger.set_job(number, state="cancelled", phase="", finished_at=time.time(), result=result)

    def _desk(self) -> Desk:
        job = self.ledger.job(self.job.id)
        return Desk(self.workspace, self.ledger, job, job.generation, self._map, self._check)

    def _leave(self) -> None:
        """End this run so that any other may go on."""
        self._let_go()
        self.ledger.set_job(self.job.id, state="paused", phase="", owner=None)

    def _fail(self, error: Exception) -> None:
        # Where the ledger or the disk itself is the trouble, the next run repairs what this one leaves.
        with contextlib.suppress(ResourceError, OSError):
            self._let_go()
        with contextlib.suppress(ResourceError):
            self.ledger.set_job(
                self.job.id, state="failed", phase="", error=str(error), finished_at=time.time(),
                exit_code=error.exit_code if isinstance(error, BatchProcessingError) else 1,
            )  # fmt: skip

    # -- control ------------------------------------------------------------------------------------

    def _wish(self) -> str:
        """What is wanted now: "run", "pause", "cancel", or "leave" (pause, and end this process)."""
        if self.interrupt.level >= (1 if self._over else 2):
            raise Interrupted(self._how_to_go_on())
        if self._over:
            return "run"
        now = time.monotonic()
        if now - self._wish_at >= TICK_S / 2:
            self._wish_at, self._last_wish = now, self.ledger.wanted(self.job.id)
        if self._last_wish != "cancel" and self.interrupt.level:
            return "leave"
        return self._last_wish

    def _check(self) -> None:
        """Do what is wanted while nothing is in flight."""
        wish = self._wish()
        if wish == "cancel":
            raise Cancelled("cancelled")
        if wish == "leave":
            raise Interrupted(self._how_to_go_on())
        if wish == "pause":
            self._wait_while_paused()
        self._tell()

    def _how_to_go_on(self) -> str:
        return f"Job {self.job.id} is paused: `lote resume {self.job.id}` or the same command goes on."

    def _wait_while_paused(self) -> None:
        """Nothing is in flight and somebody wants a pause: wait until that changes."""
        before = self.ledger.job(self.job.id)
        self.ledger.set_job(self.job.id, state="paused", phase="")
        while self._wish() == "pause":
            self._tell()
            time.sleep(TICK_S)
        self._check()
        self._phase = "" if before.state == "running" else before.phase
        self.ledger.set_job(self.job.id, state=before.state, phase=self._phase)

    def _tell(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._news_at >= NEWS_INTERVAL_S:
            self._news_at = now
            shares = (done / total for done, total in self.pool.progress().values() if total)
            self.on_news(self.news.events(), self.news.snapshot(sum(shares)))

    # -- tasks of the application -------------------------------------------------------------------

    def _map(self, tasks: Iterable[Task]) -> Iterator[Result]:
        waiting = iter(tasks)
        flying: dict[str, Task] = {}
        died: set[str] = set()
        exhausted = False
        try:
            while flying or not exhausted:
                wish = self._wish()
                if wish != "pause" or not flying:
                    self._check()
                    wish = "run"
                while wish == "run" and not exhausted and len(flying) < self.pool.slots:
                    task = next(waiting, None)
                    if task is None:
                        exhausted = True
                        break
                    flying[task.id] = task
                    self.pool.submit(task)
                for result in self.pool.completed(TICK_S) if flying else ():
                    task = flying.pop(result.id)
                    if result.died and task.id not in died:
                        died.add(task.id)
                        flying[task.id] = task
                        self.pool.submit(task)
                    elif result.failure and result.failure.fatal:
                        raise ResourceError(result.failure.text)
                    else:
                        yield result
                self._tell()
        finally:
            if flying:
                self.pool.close()

    # -- items --------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            wish = self._wish()
            if wish == "cancel":
                self._cancel()
            going = wish == "run" and self.fatal is None
            if going:
                self._watch()
            if not going and self.in_flight:
                self._say_once("finishing what is in flight")
            ended = self._ended() if self.in_flight else []
            self._step(ended, claim=going)
            if not (self.in_flight or self.ready or self.published):
                if self.fatal is not None:
                    raise ResourceError(self.fatal.text)
                if going:
                    return
                self._check()
            elif not going and not self.in_flight:
                self._give_back_ready()
            self._tell()

    def _watch(self) -> None:
        """Pause before the disk or the memory runs out, and say why."""
        now = time.monotonic()
        if now < self._watch_at:
            return
        self._watch_at = now + WATCH_S
        if short := shortage(self.workspace.root, Path(self.job.output)):
            self.ledger.want(self.job.id, "pause")
            self.ledger.say(
                self.job.id, "warning", f"paused: {short}; free some, and `lote resume {self.job.id}` goes on"
            )

    def _say_once(self, phase: str) -> None:
        if self._phase != phase:
            self._phase = phase
            self.ledger.set_job(self.job.id, phase=phase)

    def _ended(self) -> list[tuple[Item, Result]]:
        """What ended within a tick, together with what ends right behind the first."""
        results = self.pool.completed(TICK_S)
        if results and len(results) < len(self.in_flight):
            results += self.pool.completed(COMPANY_S)
        return [(self.in_flight.pop(result.id), result) for result in results]

    def _step(self, ended: list[tuple[Item, Result]], *, claim: bool) -> None:
        """Take in what has ended, and give free slots new work, in one commit.

        New work begins after that commit: what a kill can lose is one item, or batch, for each slot."""
        results = [self._settlement(item, result) for item, result in ended]
        finished = [settlement for settlement in results if settlement.state == "completed"]
        unfinished = [settlement for settlement in results if settlement.state != "completed"]
        free = self.pool.free - len(self.ready)
        holding, leased = self.ledger.advance(
            self.job.id,
            settle=self.published + unfinished,
            intend=finished,
            claim=free if claim and self.fatal is None else 0,
        )
        self.published = []
        batches: dict[Any, list[Item]] = {}
        for item in leased:
            batches.setdefault(item.batch, []).append(item)
        self.ready.extend(batches.values())
        if claim and self.fatal is None:
            self._begin()
        targets = {item.id: Path(item.output) for item, _ in ended}
        for settlement in unfinished:
            part_path(targets[settlement.item_id], settlement.token).unlink(missing_ok=True)
        self.published = self._publish(finished, targets, holding)

    def _begin(self) -> None:
        """Start what is ready, as far as slots and the byte budget allow."""
        while self.ready and self.pool.free:
            cost = sum(item.cost for item in [*self.in_flight.values(), *self.ready[0]])
            if self.budget and self.in_flight and cost > self.budget:
                break
            batch = self.ready.popleft()
            self.in_flight |= {str(item.token): item for item in batch}
            parts = [part_path(Path(item.output), str(item.token)) for item in batch]
            self.pool.submit(*map(partial(self.application.task, self.job), batch, parts))

    def _settlement(self, item: Item, result: Result) -> Settlement:
        """What becomes of an item whose task has ended."""
        token, seconds = str(item.token), result.seconds
        if result.value is not None:
            sha256, details = str(result.value["sha256"]), result.value["details"]
            return Settlement(item.id, token, "completed", sha256, details, seconds)
        failure = result.failure or Failure("RuntimeError", "gave no result")
        if failure.fatal:
            self.fatal = failure
            return Settlement(item.id, token, "pending")
        if failure.type == "Cancelled":
            return Settlement(item.id, token, "pending")
        if result.died and item.deaths < DEATHS_ALLOWED:
            log.warning("%s: %s; it will be tried once more", item.key, failure.text)
            return Settlement(item.id, token, "pending", died=True)
        text = failure.text + (", twice" if result.died else "")
        return Settlement(item.id, token, "failed", seconds=seconds, error_type=failure.type, error=text)

    def _publish(
        self, finished: list[Settlement], targets: dict[int, Path], holding: set[int]
    ) -> list[Settlement]:
        """Rename the parts of what still holds its lease; what is to be settled then."""
        folders = set()
        published = []
        for settlement in finished:
            target = targets[settlement.item_id]
            part = part_path(target, settlement.token)
            if settlement.item_id not in holding:  # the lease was lost: this result is nobody's
                part.unlink(missing_ok=True)
                continue
            try:
                publish(part, target)
            except OSError as error:
                if disk_is_full(error) or error.errno in (errno.EIO, errno.EROFS):
                    raise  # no other item can do better
                part.unlink(missing_ok=True)
                text = f"cannot write {target}: {error.strerror}"
                settlement = replace(  # noqa: PLW2901 - it failed after all
                    settlement, state="failed", output_hash=None, details={}, error_type="OSError", error=text
                )
            folders.add(target.parent)
            published.append(settlement)
        for folder in folders:
            fsync_dir(folder)
        return published

    def _cancel(self) -> None:
        """End what is in flight, keep what was finished in that moment, and stop."""
        self._say_once("cancelling")
        self.pool.stop(list(self.in_flight))
        while self.in_flight:
            self._step(self._ended(), claim=False)
            self._tell()
        raise Cancelled("cancelled")

    def _give_back_ready(self) -> None:
        items = [item for batch in self.ready for item in batch]
        self.ledger.settle([Settlement(item.id, str(item.token), "pending") for item in items])
        self.ready.clear()

    def _let_go(self) -> None:
        """Drop what is in flight; its items are pending again."""
        self.pool.close()
        self.ledger.settle(self.published)
        self.published = []
        for item in self.in_flight.values():
            part_path(Path(item.output), str(item.token)).unlink(missing_ok=True)
        self.ready.append(list(self.in_flight.values()))
        self.in_flight.clear()
        self._give_back_ready()


def shortage(*places: Path) -> str | None:
    """What is about to run out, in words: the disk under one of `places` (existing or not), or memory."""
    for place in places:
        folder = place
        while not folder.is_dir():
            folder = folder.parent
        disk = shutil.disk_usage(folder)
        if disk.free < LOW_DISK and disk.total > SMALL_DISK:
            return f"only {disk.free // 1_000_000} MB of disk are free for {folder}"
    free = MemoryManager().available_bytes()
    if free < LOW_MEMORY:
        return f"only {free // 1_000_000} MB of memory are free"
    return None


def _hash_of(path: Path) -> str | None:
    return hash_file(path) if os.path.lexists(path) and path.is_file() else None
