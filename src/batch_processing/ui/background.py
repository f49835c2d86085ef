"""Starting, pausing, cancelling and repeating jobs from outside of the process that runs them.

What the commands and the web page do alike: wishes go into the ledger, and a job that nobody runs is given to the
workspace's background process for jobs of its kind, in a session of its own, so that whoever asked may leave or crash.

Promises: there is one such process for each workspace and kind, however often and by however many it is asked (so that
jobs of two kinds run side by side); it runs what it was asked for, one job after the other in the order of the ledger, and leaves when nothing is left. What it was asked
for and has not begun when it dies is done by the next one. How: each request is an empty file in `background/<kind>/`,
named by its job; the process holds a lock that is handed to it open, and looks once more after letting go of it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.applications import door
from ..core.coordinator import Interrupt, Interrupted, cancel_job
from ..core.model import JobState, Wish
from ..core.processes import process_identity, start_detached
from ..core.words import JOB_WORDS, WISH_WORDS
from ..exceptions import BatchProcessingError, QueueError
from ..logging_config import get_logger, rotate
from ..messages import Message

if TYPE_CHECKING:
    import subprocess

    from ..core.model import Event, Job
    from ..core.status import Snapshot
    from ..core.workspace import Workspace

TICK_S = 0.25  # how often the background process looks for requests

_logger = get_logger(__name__)


def log_of(workspace: Workspace, job_id: int) -> Path:
    """Where the process that runs a job in the background writes what it has to say."""
    return workspace.folder("logs") / "background.log"


def start(workspace: Workspace, job_id: int) -> subprocess.Popen[bytes] | None:
    """Have the job run in the background, once whoever owns it has left: the process if there was none yet."""
    kind = workspace.ledger.job(job_id).kind
    (_requests(workspace, kind) / str(job_id)).touch(mode=0o600)
    lock = _lock(workspace, kind)
    if lock is None:
        return None  # it is there, and sees the request
    log = log_of(workspace, job_id)
    try:
        rotate(log)
        return start_detached(
            "batch_processing.ui.background",
            [str(workspace.root), kind, str(lock)],
            log,
            keep=(lock,),
        )
    finally:
        os.close(lock)  # the child's copy holds it


def _requests(workspace: Workspace, kind: str) -> Path:
    return workspace.folder("background", kind)


def _lock(workspace: Workspace, kind: str) -> int | None:
    """The lock of the background process of a kind, as an open file; None when there is such a process."""
    handle = os.open(workspace.root / f"background.{kind}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def begin(workspace: Workspace, job_id: int) -> subprocess.Popen[bytes] | None:
    """`start` for a process that stays alive itself: what it has submitted is nobody's until the background process
    has it."""
    workspace.ledger.release(job_id, process_identity())
    return start(workspace, job_id)


def pause(workspace: Workspace, job_id: int) -> Job:
    """Wish for a pause. QueueError when the job has ended; a job that nobody runs stays as it is."""
    row = _going(workspace, job_id, Wish.PAUSE)
    if row.alive:
        workspace.ledger.want(job_id, Wish.PAUSE)
    return row


def cancel(workspace: Workspace, job_id: int) -> Job:
    """Wish for the end, or end the job here and now when nobody runs it."""
    job = _going(workspace, job_id, Wish.CANCEL)
    return cancel_job(workspace, job_id, door(job.kind).application(workspace))


def resume(workspace: Workspace, job_id: int) -> subprocess.Popen[bytes] | None:
    """Go on with a job: by a wish where its process is alive (None), else in a new one."""
    return None if wake(workspace, job_id).alive else begin(workspace, job_id)


def wake(workspace: Workspace, job_id: int) -> Job:
    """The job, wanted to run where its process is alive; where it is not, the caller has it run. QueueError for one
    that has ended."""
    job = workspace.ledger.job(job_id)
    if job.ended:
        state = Message(JOB_WORDS[job.state].said)
        if job.kind == "photos":
            raise QueueError(
                "Job {job} is {state}: scan its folders again with `lote photos scan`.",
                job=job_id,
                state=state,
            )
        if job.kind == "looks":
            raise QueueError(
                "Job {job} is {state}: look at its folders again with `lote photos look`.",
                job=job_id,
                state=state,
            )
        raise QueueError(
            "Job {job} is {state}: `lote retry {job}` does its failed pages again.", job=job_id, state=state
        )
    if job.alive:
        workspace.ledger.want(job_id, Wish.RUN)
    return job


def retry(
    workspace: Workspace, job_id: int, keys: Sequence[str] | None = None
) -> tuple[list[str], subprocess.Popen[bytes] | None]:
    """Do failed and cancelled pages again, or those of `keys`: which ones, and the process if one was needed."""
    again, left = undo(workspace, job_id, keys)
    if not left or not workspace.ledger.reopen(job_id):
        return again, None
    return again, begin(workspace, job_id)


def undo(
    workspace: Workspace, job_id: int, keys: Sequence[str] | None = None, *, everything: bool = False
) -> tuple[list[str], bool]:
    """Have failed and cancelled pages wait again, or those of `keys`, or with `everything` all that nobody approved:
    which ones, and whether the job has anything to do. QueueError for a key that is no finished page's."""
    again = workspace.ledger.retry(job_id, keys=keys, everything=everything)
    if keys and (missing := set(keys) - set(again)):
        raise QueueError(
            "Job {job} has no finished page {page}: `lote status {job} --pages` lists them.",
            job=job_id,
            page=min(missing),
        )
    # A job that was cancelled after its last page still has to be finished.
    state = workspace.ledger.job(job_id).state
    return again, bool(again) or state in (JobState.CANCELLED, JobState.FAILED)


def _going(workspace: Workspace, job_id: int, wish: Wish) -> Job:
    row = workspace.ledger.job(job_id)
    if row.ended:
        raise QueueError(
            "Job {job} is {state}: there is nothing to {wish}.",
            job=job_id,
            state=Message(JOB_WORDS[row.state].said),
            wish=Message(WISH_WORDS[wish]),
        )
    return row


# -- the background process ---------------------------------------------------------------------------


class _Overtaken(BatchProcessingError):  # noqa: N818 - a turn in a queue
    """While this job waited, another of this process came to be the next."""


class _Runner:
    """What the background process does."""

    def __init__(self, workspace: Workspace, kind: str) -> None:
        self._workspace, self._me = workspace, process_identity()
        self._kind, self._door = kind, door(kind)
        self._requests = _requests(workspace, kind)
        self._mine: set[int] = set()
        self._current = 0
        self.interrupt = Interrupt()

    def work(self) -> None:
        """Run what is asked for until nothing is. Raises `Interrupted` when it is told to leave."""
        while self._take() | bool(self.waiting()):
            able = [job for job in self.waiting() if job.wanted != Wish.PAUSE]
            if able:
                self._run(min(able, key=lambda job: (-job.priority, job.submitted_at, job.id)).id)
            else:
                time.sleep(TICK_S)
            if self.interrupt.level:
                raise Interrupted("The background process was told to leave.")

    def waiting(self) -> list[Job]:
        """The jobs that this process has taken on and not ended."""
        jobs = [self._workspace.ledger.job(job_id) for job_id in sorted(self._mine)]
        self._mine = {job.id for job in jobs if job.owner == self._me and not job.ended}
        return [job for job in jobs if job.id in self._mine]

    def resign(self) -> None:
        """Leave the jobs that have not begun to whoever resumes them."""
        for job in self.waiting():
            self._workspace.ledger.resign(job.id, self._me)

    def _take(self) -> bool:
        """Take on what is asked for and nobody's; whether something is asked for that is still another's."""
        left = False
        # The last one first: jobs that were asked for together come free in their order, or all at once, so that
        # none is taken here without those that go before it.
        names = sorted((path.name for path in self._requests.iterdir()), key=lambda name: (len(name), name))
        for request in (self._requests / name for name in reversed(names)):
            job_id = int(request.name) if request.name.isdecimal() else 0
            try:
                job = self._workspace.ledger.job(job_id)
            except QueueError:  # forgotten meanwhile
                request.unlink(missing_ok=True)
                continue
            theirs = job.alive and job.owner != self._me
            if not job.ended and not theirs and self._adopt(job_id):
                self._mine.add(job_id)
            elif not job.ended and not (theirs and job.state != JobState.QUEUED):
                left = True  # whoever asks is about to leave, or the process that began it may still live
                continue
            request.unlink(missing_ok=True)
        return left

    def _adopt(self, job_id: int) -> bool:
        if self._workspace.ledger.adopt(job_id, self._me):
            return True
        with self._workspace.lock(self._kind) as lock:  # whoever ran it would hold this
            return lock.acquire() and self._workspace.ledger.adopt(job_id, self._me, certain=True)

    def _run(self, job_id: int) -> None:
        self._current = job_id
        try:
            result = self._door.run(self._workspace, job_id, on_news=self._look, interrupt=self.interrupt)
            _logger.info("job %d is %s", job_id, result.state)
        except _Overtaken:
            self._workspace.ledger.adopt(job_id, self._me, keep_wish=True)
        except Interrupted:
            raise
        except (BatchProcessingError, OSError) as error:
            _logger.error("job %d: %s", job_id, error)  # noqa: TRY400 - a sentence for a person
        finally:
            self._current = 0

    def _look(self, _events: list[Event], snapshot: Snapshot) -> None:
        """Meanwhile: take on more, end what is cancelled before its turn, give way to what goes first."""
        self._take()
        for job in self.waiting():
            if job.id == self._current or job.state != JobState.QUEUED:
                continue
            if job.wanted == Wish.CANCEL:
                cancel_job(self._workspace, job.id, self._door.application(self._workspace))
            elif (
                snapshot.job.state == JobState.QUEUED
                and job.wanted == Wish.RUN
                and self._workspace.ledger.is_next(job.id)
            ):
                raise _Overtaken(f"Job {job.id} goes first.")


def _main(root: str, kind: str, lock: int) -> int:
    from ..core.workspace import Workspace
    from ..logging_config import setup_logging

    setup_logging()
    workspace = Workspace(root)
    held: int | None = lock
    while held is not None:
        runner = _Runner(workspace, kind)
        try:
            with runner.interrupt.signals():
                runner.work()
        except Interrupted as error:
            runner.resign()
            return error.exit_code
        finally:
            os.close(held)
            for job in runner.waiting():  # something unforeseen ends this process: another does the others
                begin(workspace, job.id)
        # A request that came after the last look found the lock held.
        held = _lock(workspace, kind) if any(_requests(workspace, kind).iterdir()) else None
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
