"""The coordinator: turns the wishes in the ledger into work, one process per kind at a time.

Promises: an output appears whole, once, and only under a lease that is still held; whatever dies,
the next run goes on where the ledger says; control is answered between two ticks. Refuses to run
two jobs of one kind at once in a workspace. Does not decide what a job is: that is the `Application`.

How an output becomes final: the worker writes and fsyncs `.<name>.<token>.part`; its hash is
committed as intent; the part is renamed; the folder is fsynced; the item is settled. A run that
begins looks at every item left in "processing" and finishes or undoes exactly this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from ..exceptions import BatchProcessingError, Cancelled, ResourceError
from ..io.outputs import fsync_dir, hash_file, part_path, publish
from ..logging_config import get_logger
from .ledger import Event, Item, Job, Ledger, Settlement
from .status import JobNews, Snapshot
from .workers import Failure, Pool, Result, Task
from .workspace import Kind, Workspace, process_identity

log = get_logger(__name__)

# One tick of the loop: the longest time for which a wish goes unread, and a front end without news.
TICK_S = 0.1
NEWS_INTERVAL_S = 0.25
# How often somebody who waits for the lock looks again.
FOLLOW_S = 0.25
# A worker that dies twice over the same item would die a third time.
DEATHS_ALLOWED = 1

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
        """The task that writes the item's output to `part` (fsynced) and returns a value with
        `sha256`, `details` and optionally `extras`, a list of (part, target) to publish with it."""
        ...

    def finish(self, desk: Desk) -> dict[str, Any]:
        """After the last item: what belongs to the job as a whole. MUST be repeatable. The returned
        dict becomes `Job.result`; its "state" is "done" or "failed"."""
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


@dataclass(frozen=True)
class Desk:
    """What an application works with while it plans and finishes."""

    workspace: Workspace
    ledger: Ledger
    job: Job
    generation: int
    run: Callable[[Iterable[Task]], Iterator[Result]]
    """Run tasks in the pool, bounded; results come as they end. Raises Cancelled when the job is."""

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
    with workspace.lock(application.kind) as lock:
        while True:
            job = ledger.job(number)
            if job.ended:
                on_news(news.events(), news.snapshot())
                if job.state == "failed" and job.error:
                    raise BatchProcessingError(job.error)
                return job
            mine = job.alive and job.owner == me
            if not mine and not job.alive:
                ledger.adopt(number, me)
                continue
            if mine and ledger.is_next(number) and lock.acquire():
                return _Run(workspace, job, application, news, on_news, interrupt, budget).run()
            on_news(news.events(), news.snapshot())
            if interrupt.level:
                raise Interrupted(
                    f"Left job {number}, which goes on by itself or waits for `lote resume {number}`."
                )
            time.sleep(FOLLOW_S)


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
        self.ready: deque[Item] = deque()
        self.fatal: Failure | None = None
        self._news_at = 0.0
        self.pool: Pool = application.pool(job)

    def run(self) -> Job:
        number = self.job.id
        now = time.time()
        generation = self.job.generation + 1
        self.ledger.set_job(
            number,
            state="planning",
            phase="",
            started_at=now,
            finished_at=None,
            error=None,
            generation=generation,
        )
        desk = Desk(self.workspace, self.ledger, self.ledger.job(number), generation, self._map)
        try:
            self._recover()
            self.application.plan(desk)
            self.ledger.set_job(number, state="running", phase="", started_at=time.time())
            self._work()
            self.ledger.set_job(number, state="finishing")
            result = self.application.finish(desk)
            state = result.get("state", "done")
            self.ledger.set_job(number, state=state, phase="", result=result, finished_at=time.time())
        except Cancelled:
            self.pool.close()
            self.ledger.cancel_pending(number)
            self._clean_parts()
            self.ledger.set_job(number, state="cancelled", phase="", finished_at=time.time())
        except (Interrupted, KeyboardInterrupt):
            self._let_go()
            self.ledger.set_job(number, state="paused", phase="", owner=None)
            raise
        except Exception as error:
            # Whatever stops a job as a whole is told to whoever follows it, and goes on to the caller.
            # Where the ledger itself is the trouble, the next run repairs what this one leaves.
            with contextlib.suppress(ResourceError):
                self._let_go()
                self.ledger.set_job(
                    number, state="failed", phase="", error=str(error), finished_at=time.time()
                )
            raise
        finally:
            self.pool.close()
            self._tell(force=True)
        return self.ledger.job(number)

    # -- control ------------------------------------------------------------------------------------

    def _wish(self) -> str:
        """What is wanted now: "run", "pause", "cancel", or "leave" (pause, and end this process)."""
        if self.interrupt.level >= 2:
            raise Interrupted(self._how_to_go_on())
        wish = self.ledger.wanted(self.job.id)
        if wish != "cancel" and self.interrupt.level:
            return "leave"
        return wish

    def _how_to_go_on(self) -> str:
        return f"Job {self.job.id} is paused: `lote resume {self.job.id}` or the same command goes on."

    def _wait_while_paused(self) -> None:
        """Nothing is in flight and somebody wants a pause: wait until that changes."""
        if self._wish() == "leave":
            raise Interrupted(self._how_to_go_on())
        before = self.ledger.job(self.job.id).state
        self.ledger.set_job(self.job.id, state="paused")
        while (wish := self._wish()) == "pause":
            self._tell()
            time.sleep(TICK_S)
        if wish == "leave":
            raise Interrupted(self._how_to_go_on())
        if wish == "cancel":
            raise Cancelled("cancelled")
        self.ledger.set_job(self.job.id, state=before)

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
                if wish == "cancel":
                    raise Cancelled("cancelled")
                if wish == "leave":
                    raise Interrupted(self._how_to_go_on())
                if wish == "pause" and not flying:
                    self._wait_while_paused()
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
            more = True
            if wish == "run" and self.fatal is None:
                more = self._fill()
            if self.in_flight:
                self._take(self.pool.completed(TICK_S))
            elif self.fatal is not None:
                raise ResourceError(self.fatal.text)
            elif wish != "run":
                self._give_back_ready()
                self._wait_while_paused()
            elif not more:
                return
            self._tell()

    def _fill(self) -> bool:
        """Give every free slot an item, as far as the byte budget allows. False if nothing is left."""
        free = self.pool.slots - len(self.in_flight)
        if free > len(self.ready):
            self.ready.extend(self.ledger.claim(self.job.id, free - len(self.ready)))
        while self.ready and len(self.in_flight) < self.pool.slots:
            used = sum(item.cost for item in self.in_flight.values())
            if self.budget and self.in_flight and used + self.ready[0].cost > self.budget:
                break
            item = self.ready.popleft()
            token = str(item.token)
            self.pool.submit(self.application.task(self.job, item, part_path(Path(item.output), token)))
            self.in_flight[token] = item
        return bool(self.ready or self.in_flight)

    def _take(self, results: list[Result]) -> None:
        """Publish and settle what has ended, and give the freed slots new work before that."""
        if not results:
            return
        ended = [(self.in_flight.pop(result.id), result) for result in results]
        if self._wish() == "run" and self.fatal is None:
            self._fill()
        settlements = []
        finished = []
        for item, result in ended:
            token = str(item.token)
            if result.value is not None:
                settlement = Settlement(
                    item.id,
                    token,
                    "completed",
                    str(result.value["sha256"]),
                    result.value["details"],
                    result.seconds,
                )
                finished.append((item, result.value, settlement))
                continue
            settlements.append(self._failed(item, result))
            part_path(Path(item.output), token).unlink(missing_ok=True)
        settlements += self._publish(finished)
        self.ledger.settle(settlements)

    def _failed(self, item: Item, result: Result) -> Settlement:
        failure = result.failure or Failure("RuntimeError", "gave no result")
        token = str(item.token)
        if failure.fatal:
            self.fatal = failure
            return Settlement(item.id, token, "pending")
        if failure.type == "Cancelled":
            return Settlement(item.id, token, "pending")
        if result.died and item.deaths < DEATHS_ALLOWED:
            log.warning("%s: %s; it will be tried once more", item.key, failure.text)
            return Settlement(item.id, token, "pending", died=True)
        text = failure.text + (", twice" if result.died else "")
        return Settlement(
            item.id, token, "failed", seconds=result.seconds, error_type=failure.type, error=text
        )

    def _publish(self, finished: list[tuple[Item, dict[str, Any], Settlement]]) -> list[Settlement]:
        if not finished:
            return []
        holding = self.ledger.intend(settlement for _, _, settlement in finished)
        folders = set()
        published = []
        for item, value, settlement in finished:
            target = Path(item.output)
            part = part_path(target, settlement.token)
            if item.id not in holding:  # the lease was lost: this result is nobody's
                part.unlink(missing_ok=True)
                continue
            try:
                for extra_part, extra_target in value.get("extras", ()):
                    publish(Path(extra_part), Path(extra_target))
                    folders.add(Path(extra_target).parent)
                publish(part, target)
            except OSError as error:
                published.append(
                    Settlement(
                        item.id, settlement.token, "failed", seconds=settlement.seconds, error_type="OSError",
                        error=f"cannot write {target}: {error.strerror}",
                    )
                )  # fmt: skip
                part.unlink(missing_ok=True)
                continue
            folders.add(target.parent)
            published.append(settlement)
        for folder in folders:
            fsync_dir(folder)
        return published

    def _cancel(self) -> None:
        """End what is in flight, keep what was finished in that moment, and stop."""
        self.pool.stop(list(self.in_flight))
        while self.in_flight:
            self._take(self.pool.completed(TICK_S))
        raise Cancelled("cancelled")

    def _give_back_ready(self) -> None:
        if self.ready:
            self.ledger.settle(Settlement(item.id, str(item.token), "pending") for item in self.ready)
            self.ready.clear()

    def _let_go(self) -> None:
        """Drop what is in flight; its items are pending again."""
        self.pool.close()
        for item in self.in_flight.values():
            part_path(Path(item.output), str(item.token)).unlink(missing_ok=True)
        self.ready.extend(self.in_flight.values())
        self.in_flight.clear()
        self._give_back_ready()

    def _clean_parts(self) -> None:
        for item in self.in_flight.values():
            part_path(Path(item.output), str(item.token)).unlink(missing_ok=True)
        self.in_flight.clear()

    def _recover(self) -> None:
        """Finish or undo what an earlier run left in "processing"."""
        settlements = []
        for item in list(self.ledger.items(self.job.id, state="processing")):
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
            log.info("job %d: %d items were in flight when it stopped", self.job.id, len(settlements))
            self.ledger.settle(settlements)


def _hash_of(path: Path) -> str | None:
    return hash_file(path) if os.path.lexists(path) and path.is_file() else None
