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
import itertools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from ..exceptions import BatchProcessingError, Cancelled, ResourceError, incident, reason
from ..io.publish import Claim, fsync_dir, hash_file, part_path, publish, stamp_of
from ..logging_config import get_logger
from ..messages import Message
from .application import Accompanied, Application, ItemApplication, JobContext, StageApplication
from .ledger import Ledger
from .model import Event, EventKind, Item, ItemState, Job, JobState, Settlement, Wish
from .processes import Identity, process_identity
from .shortage import shortage
from .status import JobNews, Snapshot
from .workers import (
    LOSSES_ALLOWED,
    Failure,
    LocalPool,
    Pool,
    Result,
    Task,
    Written,
    disk_is_full,
    in_pool,
)
from .workspace import KindLock, Workspace

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

# How often free disk and memory are looked at.
WATCH_S = 2.0

OnNews = Callable[[list[Event], Snapshot], None]
OnWait = Callable[[Identity | None], None]
"""Told which process holds the lock, None if it does not say."""


class Interrupt:
    """What the person at this process asks of its run: 1 = pause and leave, 2 = let go and leave."""

    def __init__(self) -> None:
        self.level = 0

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM raise the level; the third Ctrl-C is the default again. Whoever was asked to leave is
        leaving from then on: a further SIGTERM does not break off what it does last."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(_signum: int, _frame: FrameType | None) -> None:
            self.level += 1
            if self.level >= 2:
                signal.signal(signal.SIGINT, signal.default_int_handler)

        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            signal.signal(signal.SIGTERM, signal.SIG_IGN if self.level else before[signal.SIGTERM])


class Interrupted(BatchProcessingError):  # noqa: N818 - an outcome that was asked for, not a fault
    """The person at this process asked it to leave; the job waits to be resumed."""

    exit_code = 130


class JobFailed(BatchProcessingError):  # noqa: N818 - says what became of a job
    """The job as a whole was stopped by an error, in whichever process; a command that followed it ends
    like the one that ran it."""

    def __init__(self, text: str | Message, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # of this error, not of the class

    def __reduce__(self) -> tuple[type[JobFailed], tuple[Message, int]]:
        return type(self), (self.sentence, self.exit_code)


def run_job(
    workspace: Workspace,
    job_id: int,
    application: Application,
    *,
    on_news: OnNews = lambda events, snapshot: None,
    interrupt: Interrupt | None = None,
    budget: int = 0,
    on_wait: OnWait = lambda holder: None,
) -> Job:
    """Run a job to its end, or follow it while another process runs it; the job as it ended.

    `budget`: bytes that items in flight may need together (0: no limit). `on_wait` is told once that the
    job has to wait for another process; what it raises ends the wait. Raises `Interrupted` when
    `interrupt` asks to leave, `WorkspaceError` when the workspace cannot be locked at all, and
    whatever error stopped the job as a whole, after recording it."""
    ledger = workspace.ledger
    interrupt = interrupt or Interrupt()
    me = process_identity()
    news = JobNews(ledger, job_id)
    told = False  # that this process waits
    followed = False  # somebody else ran or awaited it while we looked on
    with workspace.lock(application.kind) as lock:
        while True:
            job = ledger.job(job_id)
            if job.ended:
                on_news(news.events(), news.snapshot())
                if job.state == JobState.FAILED and job.error is not None:
                    raise JobFailed(job.error, job.exit_code or 1)
                return job
            if job.owner != me and _take_place(ledger, job, lock, keep_wish=followed):
                continue
            if job.owner != me:
                followed = followed or job.alive
            elif job.state == JobState.QUEUED and job.wanted == Wish.CANCEL:
                _Run(workspace, job, application, news, on_news, interrupt, budget).cancelled()
                continue
            elif job.wanted != Wish.PAUSE and ledger.is_next(job_id) and lock.acquire():
                job = ledger.job(job_id)
                if job.owner == me and not job.ended:
                    return _Run(workspace, job, application, news, on_news, interrupt, budget).run()
                lock.release()
                continue
            try:
                if not told:
                    told = True
                    on_wait(lock.holder())
                on_news(news.events(), news.snapshot())
                time.sleep(FOLLOW_S)
            except BaseException:
                ledger.resign(job_id, me)
                raise
            if interrupt.level:
                ledger.resign(job_id, me)
                raise Interrupted(
                    "Left job {job}, which goes on by itself or waits for `lote resume {job}`.",
                    job=job_id,
                )


def cancel_job(workspace: Workspace, job_id: int, application: Application) -> Job:
    """Cancel a job of `application`'s kind, and return it as it is then: still running where a living process
    has to do it.

    QueueError if there is no such job."""
    ledger = workspace.ledger
    ledger.want(job_id, Wish.CANCEL)
    with workspace.lock(application.kind) as lock:
        if not ledger.job(job_id).ended and _take_place(ledger, ledger.job(job_id), lock, keep_wish=True):
            job, news = ledger.job(job_id), JobNews(ledger, job_id)
            _Run(workspace, job, application, news, lambda events, snapshot: None, Interrupt(), 0).cancelled()
    return ledger.job(job_id)


def _take_place(ledger: Ledger, job: Job, lock: KindLock, *, keep_wish: bool) -> bool:
    """Make this process the one that awaits the job, where no process runs it; False where one does, or may.

    A run holds the lock from its beginning to its end. So a job that some process began is free when the
    lock can be had, or when another process than its owner has it; that its owner looks dead is not enough."""
    me = process_identity()
    if job.state == JobState.QUEUED and job.alive and job.owner != me:
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


def recover(ledger: Ledger, job: Job, application: Application) -> None:
    """Finish or undo what a dead run of the job has left in "processing".

    What it meant to publish is dropped where another's file stands by now: the item begins anew, and whoever plans
    it meets that file."""
    job_id = job.id
    settlements = []
    for item in ledger.items(job_id, ItemState.PROCESSING):
        target, token = Path(item.output), str(item.token)
        part = part_path(target, token)
        state, details = ItemState.PENDING, dict(item.details or {})
        if item.intent is not None:
            if _hash_of(part) == item.intent:
                # What accompanies it may be gone, too: then the item begins anew.
                with _dropped_where_another_stands(), contextlib.suppress(FileNotFoundError):
                    details |= _accompany(application, job, item)
                    publish(part, target, _claim(application, job, item))
                    fsync_dir(target.parent)
            if _hash_of(target) == item.intent:
                state = ItemState.COMPLETED
        part.unlink(missing_ok=True)
        settlements.append(Settlement(item.id, token, state, item.intent, details, item.seconds or 0.0))
    if settlements:
        log.info("job %d: %d items were in flight when it stopped", job_id, len(settlements))
        ledger.settle(settlements)


def _unpublished(settlement: Settlement, item: Item, part: Path, fault: OSError) -> Settlement:
    """What becomes of a finished item whose part cannot get its name.

    Whoever moves the output folder away takes the part with it, or that of what accompanies it: such an item is done once
    more."""
    part.unlink(missing_ok=True)
    if isinstance(fault, FileNotFoundError) and item.deaths < DEATHS_ALLOWED:
        return Settlement(item.id, settlement.token, ItemState.PENDING, died=True)
    text = Message("cannot write {target}: {error}", target=item.output, error=reason(fault))
    return replace(
        settlement,
        state=ItemState.FAILED,
        output_hash=None,
        details={},
        error_type="OSError",
        error=text,
    )


def _claim(application: Application, job: Job, item: Item) -> Claim | None:
    return None if isinstance(application, StageApplication) else application.claim(job, item)


def _accompany(application: Application, job: Job, item: Item) -> Mapping[str, object]:
    return application.accompany(job, item) if isinstance(application, Accompanied) else {}


@contextlib.contextmanager
def _dropped_where_another_stands() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ELOOP):  # of a claim: a file, or a link that leads out
            raise


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
        self._last_wish: Wish = Wish.RUN
        self._over = False  # cancelled: what is still run can only be left
        self._phase = ""
        self._before_wait: str | None = None  # the phase before it had to wait for a machine
        self.pool: Pool = LocalPool(0)  # until the run has begun

    def run(self) -> Job:
        job_id = self.job.id
        generation = self.job.generation + 1
        try:
            self.ledger.set_job(
                job_id, state=JobState.PLANNING, phase="", started_at=time.time(), finished_at=None, error=None,
                exit_code=None, generation=generation,
            )  # fmt: skip
            self.workspace.follow(job_id)
            self.pool = self.application.pool(self.job)
            if self.pool.here is not self.pool:
                self.budget = 0  # of this machine's memory
            context = self._context()
            recover(self.ledger, context.job, self.application)
            self.application.plan(context)
            begun = {"started_at": time.time()}
            while True:
                self.ledger.set_job(job_id, state=JobState.RUNNING, phase="", **begun)
                begun = {}
                if isinstance(self.application, StageApplication):
                    self.application.work(self._context())
                else:
                    self._work(self.application)
                self.ledger.set_job(job_id, state=JobState.FINISHING)
                result = self.application.finish(replace(context, job=self.ledger.job(job_id)))
                if not self.ledger.counts(job_id)[ItemState.PENDING]:
                    break  # else somebody asked for a retry meanwhile
            state, result = JobState(result.get("state", JobState.DONE)), {**result, "generation": generation}
            self.ledger.set_job(job_id, state=state, phase="", result=result, finished_at=time.time())
        except Cancelled:
            self.cancelled()
        except OSError as error:
            if isinstance(error, BrokenPipeError):  # nobody reads our news any more: not the job's fault
                self._leave()
                raise
            text = Message(
                "Job {job} cannot go on: {error}. What is finished is kept; the same command goes on.",
                job=job_id,
                error=incident(error),
            )
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
        return self.ledger.job(job_id)

    def cancelled(self) -> None:
        """End the job as cancelled, and have the application say what was done."""
        job_id = self.job.id
        self._let_go()
        recover(self.ledger, self.ledger.job(job_id), self.application)
        self.ledger.cancel_pending(job_id)
        self._over = True
        try:
            self.pool.close()
            self.pool = self.application.pool(self.job)
            self.application.cancelled(self._context())
        except Interrupted:
            pass
        except (BatchProcessingError, OSError) as error:
            log.warning("job %d was cancelled, and nothing says what was done: %s", job_id, error)
        finally:  # whatever it was: a job that nobody ends would keep all others waiting
            self.pool.close()
            ended = self.ledger.job(job_id)
            result = {**ended.result, "generation": ended.generation}
            self.ledger.set_job(
                job_id, state=JobState.CANCELLED, phase="", finished_at=time.time(), result=result
            )

    def _context(self) -> JobContext:
        job = self.ledger.job(self.job.id)
        return JobContext(self.workspace, self.ledger, job, job.generation, self._map, self.pool, self._check)

    def _leave(self) -> None:
        """End this run so that any other may go on."""
        self._let_go()
        self.ledger.set_job(self.job.id, state=JobState.PAUSED, phase="", owner=None)

    def _fail(self, error: Exception) -> None:
        # Where the ledger or the disk itself is the trouble, the next run repairs what this one leaves.
        with contextlib.suppress(BatchProcessingError, OSError):
            self._let_go()
        with contextlib.suppress(BatchProcessingError):
            self.ledger.set_job(
                self.job.id, state=JobState.FAILED, phase="", error=reason(error), finished_at=time.time(),
                exit_code=error.exit_code if isinstance(error, BatchProcessingError) else 1,
            )  # fmt: skip

    # -- control ------------------------------------------------------------------------------------

    def _wish(self) -> Wish:
        """What is wanted now; PAUSE, too, while this process `_leaving`."""
        if self.interrupt.level >= (1 if self._over else 2):
            raise Interrupted(self._how_to_go_on())
        if self._over:
            return Wish.RUN
        now = time.monotonic()
        if now - self._wish_at >= TICK_S / 2:
            self._wish_at, self._last_wish = now, self.ledger.wanted(self.job.id)
        return Wish.PAUSE if self._leaving else self._last_wish

    @property
    def _leaving(self) -> bool:
        """Whether the person at this process wants the job paused and the process ended."""
        return bool(self.interrupt.level) and not self._over and self._last_wish != Wish.CANCEL

    def _check(self) -> None:
        """Do what is wanted while nothing is in flight."""
        wish = self._wish()
        if wish == Wish.CANCEL:
            raise Cancelled("cancelled")
        if self._leaving:
            raise Interrupted(self._how_to_go_on())
        if wish == Wish.PAUSE:
            self._wait_while_paused()
        if isinstance(self.application, StageApplication):
            self._say_waiting(not self.pool.slots)
        self._tell()

    def _how_to_go_on(self) -> Message:
        return Message(
            "Job {job} is paused: `lote resume {job}` or the same command goes on.", job=self.job.id
        )

    def _wait_while_paused(self) -> None:
        """Nothing is in flight and somebody wants a pause: wait until that changes."""
        before = self.ledger.job(self.job.id)
        self.pool.withdraw()
        self.ledger.set_job(self.job.id, state=JobState.PAUSED, phase="")
        while self._wish() == Wish.PAUSE and not self._leaving:
            self._tell()
            time.sleep(TICK_S)
        self._check()
        self._before_wait = None  # whether it still has to wait is said anew
        self._phase = "" if before.state == JobState.RUNNING else before.phase
        self.ledger.set_job(self.job.id, state=before.state, phase=self._phase)

    def _tell(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._news_at >= NEWS_INTERVAL_S:
            self._news_at = now
            shares = (done / total for done, total in self.pool.progress().values() if total)
            for text in self.pool.news():
                self.ledger.say(self.job.id, EventKind.NOTE, text)
            self.on_news(self.news.events(), self.news.snapshot(sum(shares)))

    # -- tasks of the application -------------------------------------------------------------------

    def _map(self, tasks: Iterable[Task]) -> Iterator[Result]:
        for here, some in itertools.groupby(tasks, lambda task: task.here):
            pool = self.pool.here if here else self.pool
            for ended in in_pool(pool, some, may_begin=self._may_begin, tick_s=TICK_S):
                for result in ended:
                    if result.failure and result.failure.fatal:
                        raise ResourceError(result.failure.text)
                    yield result
                self._say_waiting(not ended and not pool.slots)
                self._tell()

    def _may_begin(self, idle: bool) -> bool:
        if self._wish() == Wish.PAUSE and not idle and not self._leaving:
            return False
        self._check()
        return True

    # -- items --------------------------------------------------------------------------------------

    def _work(self, application: ItemApplication) -> None:
        withdrawn = False
        while True:
            wish = self._wish()
            if wish == Wish.CANCEL:
                self._cancel()
            going = wish == Wish.RUN and self.fatal is None
            if going:
                self._watch()
            if not going and self.in_flight:
                self._say_once("finishing what is in flight")
                if not withdrawn:
                    self.pool.withdraw()
            withdrawn = not going
            ended = self._ended() if self.in_flight or (going and not self.pool.free) else []
            asked = self._step(ended, application if going else None)
            if not (self.in_flight or self.ready or self.published):
                if self.fatal is not None:
                    raise ResourceError(self.fatal.text)
                if going and (asked or self._all_ended()):
                    return
                if not going:
                    self._check()
            elif not going and not self.in_flight:
                self._give_back_ready()
            self._say_waiting(going and not (self.in_flight or self.pool.slots))
            self._tell()

    def _all_ended(self) -> bool:
        """Whether there is nothing left to do, where no slot is free to ask for it."""
        return not self.ledger.counts(self.job.id)[ItemState.PENDING]

    def _say_waiting(self, waiting: bool) -> None:
        """Say that there is no machine to work on; when there is one, say again what was said before."""
        if waiting and self._before_wait is None:
            self._before_wait = self.ledger.job(self.job.id).phase
            self._say_once("waiting for a machine of the cluster")
        elif not waiting and self._before_wait is not None:
            self._say_once(self._before_wait)
            self._before_wait = None

    def _watch(self) -> None:
        """Pause before the disk or the memory runs out, and say why."""
        now = time.monotonic()
        if now < self._watch_at:
            return
        self._watch_at = now + WATCH_S
        if short := shortage(self.workspace.root, Path(self.job.output)):
            self.ledger.want(self.job.id, Wish.PAUSE)
            self.ledger.say(
                self.job.id,
                EventKind.WARNING,
                Message(
                    "paused: {short}; free some, and `lote resume {job}` goes on",
                    short=short,
                    job=self.job.id,
                ),
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

    def _step(self, ended: list[tuple[Item, Result]], application: ItemApplication | None) -> bool:
        """Take in what has ended, and give free slots new work of `application`, in one commit; whether there was a slot
        to ask for new work.

        New work begins after that commit: what a kill can lose is one item, or batch, for each slot."""
        results = [self._settlement(item, result) for item, result in ended]
        items = {item.id: item for item, _ in ended}
        for settlement in results:
            if settlement.state != ItemState.COMPLETED:
                _drop_part(items[settlement.item_id])
        finished = [settlement for settlement in results if settlement.state == ItemState.COMPLETED]
        unfinished = [settlement for settlement in results if settlement.state != ItemState.COMPLETED]
        free = self.pool.free - len(self.ready) if application is not None and self.fatal is None else 0
        holding, leased = self.ledger.advance(
            self.job.id,
            settle=self.published + unfinished,
            intend=finished,
            claim=free,
        )
        self.published = []
        batches: dict[Any, list[Item]] = {}
        for item in leased:
            batches.setdefault(item.batch, []).append(item)
        self.ready.extend(batches.values())
        if application is not None and self.fatal is None:
            self._begin(application)
        self.published = self._publish(finished, items, holding)
        return free > 0

    def _begin(self, application: ItemApplication) -> None:
        """Start what is ready, as far as slots and the byte budget allow."""
        while self.ready and self.pool.free:
            cost = sum(item.cost for item in [*self.in_flight.values(), *self.ready[0]])
            if self.budget and self.in_flight and cost > self.budget:
                break
            batch = self.ready.popleft()
            self.in_flight |= {str(item.token): item for item in batch}
            self.pool.submit(*(self._task(application, item) for item in batch))

    def _task(self, application: ItemApplication, item: Item) -> Task:
        task = application.task(self.job, item, _part(item))
        return replace(task, alone=True) if item.deaths else task

    def _settlement(self, item: Item, result: Result) -> Settlement:
        """What becomes of an item whose task has ended."""
        settled, seconds = partial(Settlement, item.id, str(item.token)), result.seconds
        if result.value is not None:
            written: Written = result.value
            done = settled(ItemState.COMPLETED, written.sha256, written.details, seconds, took=result.took)
            return replace(done, stamp=stamp_of(_part(item)))
        failure = result.failure or Failure("RuntimeError", Message("gave no result"))
        if failure.fatal:
            self.fatal = failure
            return settled(ItemState.PENDING)
        if failure.type == "Cancelled":
            return settled(ItemState.PENDING)
        if result.lost and item.losses < LOSSES_ALLOWED:
            log.warning("%s: %s; it will be done by another", item.key, failure.text)
            return settled(ItemState.PENDING, lost=True)
        if result.died and item.deaths < DEATHS_ALLOWED:
            log.warning("%s: %s; it will be tried once more", item.key, failure.text)
            return settled(ItemState.PENDING, died=True)
        text = Message("{text}, twice", text=failure.text) if result.died else failure.text
        if result.lost:
            text = Message("{text}, {count} times", text=failure.text, count=item.losses + 1)
        return settled(
            ItemState.FAILED, seconds=seconds, error_type=failure.type, error=text, took=result.took
        )

    def _publish(
        self, finished: list[Settlement], items: dict[int, Item], holding: set[int]
    ) -> list[Settlement]:
        """Rename the parts of what still holds its lease; what is to be settled then."""
        folders = set()
        published = []
        for settlement in finished:
            item = items[settlement.item_id]
            target, part = Path(item.output), _part(item)
            if settlement.item_id not in holding:  # the lease was lost: this result is nobody's
                part.unlink(missing_ok=True)
                continue
            try:
                told = _accompany(self.application, self.job, item)
                settlement = replace(settlement, details={**settlement.details, **told})  # noqa: PLW2901
                publish(part, target, _claim(self.application, self.job, item))
            except OSError as error:
                if disk_is_full(error) or error.errno in (errno.EIO, errno.EROFS):
                    raise  # no other item can do better
                settlement = _unpublished(settlement, item, part, error)  # noqa: PLW2901 - it did not end well
            folders.add(target.parent)
            published.append(settlement)
        for folder in folders:
            # Whoever moves the folder away in this moment takes its pages with it: they are missed at the end.
            with contextlib.suppress(FileNotFoundError):
                fsync_dir(folder)
        return published

    def _cancel(self) -> None:
        """End what is in flight, keep what was finished in that moment, and stop."""
        self._say_once("cancelling")
        self.pool.stop(list(self.in_flight))
        while self.in_flight:
            self._step(self._ended(), None)
            self._tell()
        raise Cancelled("cancelled")

    def _give_back_ready(self) -> None:
        items = [item for batch in self.ready for item in batch]
        self.ledger.settle([Settlement(item.id, str(item.token), ItemState.PENDING) for item in items])
        self.ready.clear()

    def _let_go(self) -> None:
        """Drop what is in flight; its items are pending again."""
        self.pool.close()
        self.ledger.settle(self.published)
        self.published = []
        gone: list[Item] = []
        for item in self.in_flight.values():
            with contextlib.suppress(OSError):
                _drop_part(item)
                gone.append(item)
        self.ready.append(gone)
        self.in_flight.clear()
        self._give_back_ready()


def _part(item: Item) -> Path:
    """Where a leased item is written before it has its name."""
    return part_path(Path(item.output), str(item.token))


def _drop_part(item: Item) -> None:
    """Remove what a leased item has written, while the lease is held.

    On a disk that takes nothing more (OSError) the part stays, or comes back when the disk does: the lease must stay
    with it, for by that the next run finds it."""
    part = _part(item)
    part.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        fsync_dir(part.parent)


def _hash_of(path: Path) -> str | None:
    return hash_file(path) if os.path.lexists(path) and path.is_file() else None
