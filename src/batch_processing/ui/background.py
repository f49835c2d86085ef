"""Starting, pausing, cancelling and repeating jobs from outside of the process that runs them.

What the commands and the web page do alike: wishes go into the ledger, and a job that nobody runs is given to the
workspace's one background process, in a session of its own, so that whoever asked may leave or crash.

Promises: there is one such process for each workspace, however often and by however many it is asked; it runs what
it was asked for, one job after the other in the order of the ledger, and leaves when nothing is left. What it was asked
for and has not begun when it dies is done by the next one. How: each request is an empty file in `background/`,
named by its job; the process holds a lock that is handed to it open, and looks once more after letting go of it.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.coordinator import Interrupt, Interrupted, cancel_job
from ..exceptions import BatchProcessingError, QueueError
from ..logging_config import get_logger

if TYPE_CHECKING:
    from ..core.ledger import Event, Job
    from ..core.status import Snapshot
    from ..core.workspace import Workspace

TICK_S = 0.25  # how often the background process looks for requests

_logger = get_logger(__name__)


def log_of(place: Workspace, number: int) -> Path:
    """Where the process that runs a job in the background writes what it has to say."""
    return place.folder("logs") / "background.log"


def start(place: Workspace, number: int) -> subprocess.Popen[bytes] | None:
    """Have the job run in the background, once whoever owns it has left: the process if there was none yet."""
    (place.folder("background") / str(number)).touch(mode=0o600)
    lock = _lock(place)
    if lock is None:
        return None  # it is there, and sees the request
    try:
        return _spawn(
            place,
            ["batch_processing.ui.background", str(place.root), str(lock)],
            log_of(place, number),
            keep=(lock,),
        )
    finally:
        os.close(lock)  # the child's copy holds it


def run(
    place: Workspace, command: Sequence[str], log: Path, *, anew: bool = False
) -> subprocess.Popen[bytes]:
    """Run a command of `lote` in a session of its own; what it says goes to the file `log`."""
    words = ["batch_processing", *command, "--workspace", str(place.root)]
    return _spawn(place, words, log, anew=anew)


def _spawn(
    place: Workspace, module: Sequence[str], log: Path, *, anew: bool = False, keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    # What it says goes into a log, and logs are English.
    path = os.pathsep.join(folder for folder in sys.path if folder)
    environment = os.environ | {"PYTHONPATH": path, "LANGUAGE": "en"}
    with log.open("wb" if anew else "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *module],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=environment,
            pass_fds=keep,
        )


def _lock(place: Workspace) -> int | None:
    """The lock of the background process, as an open file; None when there is such a process."""
    handle = os.open(place.root / "background.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def begin(place: Workspace, number: int) -> subprocess.Popen[bytes] | None:
    """`start` for a process that stays alive itself: what it has submitted is nobody's until the background process
    has it."""
    from ..core.workspace import process_identity

    if place.ledger.job(number).owner == process_identity():
        place.ledger.set_job(number, owner=None)
    return start(place, number)


def pause(place: Workspace, number: int) -> Job:
    """Wish for a pause. QueueError when the job has ended; a job that nobody runs stays as it is."""
    row = _going(place, number, "pause")
    if row.alive:
        place.ledger.want(number, "pause")
    return row


def cancel(place: Workspace, number: int) -> Job:
    """Wish for the end, or end the job here and now when nobody runs it."""
    from ..colorize import Comics

    _going(place, number, "cancel")
    return cancel_job(place, number, Comics(place))


def resume(place: Workspace, number: int) -> subprocess.Popen[bytes] | None:
    """Go on with a job: by a wish where its process is alive (None), else in a new one."""
    row = place.ledger.job(number)
    if row.ended:
        raise QueueError(f"Job {number} is {row.state}: `lote retry {number}` does its failed pages again.")
    if row.alive:
        place.ledger.want(number, "run")
        return None
    return begin(place, number)


def retry(
    place: Workspace, number: int, keys: Sequence[str] | None = None
) -> tuple[list[str], subprocess.Popen[bytes] | None]:
    """Do failed and cancelled pages again, or those of `keys`: which ones, and the process if one was needed."""
    again = place.ledger.retry(number, keys=keys)
    row = place.ledger.job(number)
    # A job that was cancelled after its last page still has to be finished.
    if row.alive or not (again or row.state in ("cancelled", "failed")):
        return again, None
    place.ledger.set_job(number, state="queued", wanted="run", error=None, finished_at=None, owner=None)
    return again, begin(place, number)


def _going(place: Workspace, number: int, wish: str) -> Job:
    row = place.ledger.job(number)
    if row.ended:
        raise QueueError(f"Job {number} is {row.state}: there is nothing to {wish}.")
    return row


# -- the background process ---------------------------------------------------------------------------


class _Overtaken(BatchProcessingError):  # noqa: N818 - a turn in a queue
    """While this job waited, another of this process came to be the next."""


class _Runner:
    """What the background process does."""

    def __init__(self, place: Workspace) -> None:
        from ..core.workspace import process_identity

        self._place, self._me = place, process_identity()
        self._requests = place.folder("background")
        self._mine: set[int] = set()
        self._current = 0
        self.interrupt = Interrupt()

    def work(self) -> None:
        """Run what is asked for until nothing is. Raises `Interrupted` when it is told to leave."""
        while self._take() | bool(self.waiting()):
            able = [job for job in self.waiting() if job.wanted != "pause"]
            if able:
                self._run(min(able, key=lambda job: (-job.priority, job.submitted_at, job.id)).id)
            else:
                time.sleep(TICK_S)
            if self.interrupt.level:
                raise Interrupted("The background process was told to leave.")

    def waiting(self) -> list[Job]:
        """The jobs that this process has taken on and not ended."""
        jobs = [self._place.ledger.job(number) for number in sorted(self._mine)]
        self._mine = {job.id for job in jobs if job.owner == self._me and not job.ended}
        return [job for job in jobs if job.id in self._mine]

    def resign(self) -> None:
        """Leave the jobs that have not begun to whoever resumes them."""
        for job in self.waiting():
            self._place.ledger.resign(job.id, self._me)

    def _take(self) -> bool:
        """Take on what is asked for and nobody's; whether something is asked for that is still another's."""
        left = False
        for request in self._requests.iterdir():
            number = int(request.name) if request.name.isdecimal() else 0
            try:
                job = self._place.ledger.job(number)
            except QueueError:  # forgotten meanwhile
                request.unlink(missing_ok=True)
                continue
            theirs = job.alive and job.owner != self._me
            if not job.ended and not theirs and self._adopt(number):
                self._mine.add(number)
            elif not job.ended and not (theirs and job.state != "queued"):
                left = True  # whoever asks is about to leave, or the process that began it may still live
                continue
            request.unlink(missing_ok=True)
        return left

    def _adopt(self, number: int) -> bool:
        if self._place.ledger.adopt(number, self._me):
            return True
        with self._place.lock("comics") as lock:  # whoever ran it would hold this
            return lock.acquire() and self._place.ledger.adopt(number, self._me, certain=True)

    def _run(self, number: int) -> None:
        from ..colorize import run

        self._current = number
        try:
            result = run(self._place, number, on_news=self._look, interrupt=self.interrupt)
            _logger.info("job %d is %s", number, result.state)
        except _Overtaken:
            self._place.ledger.adopt(number, self._me, keep_wish=True)
        except Interrupted:
            raise
        except (BatchProcessingError, OSError) as error:
            _logger.error("job %d: %s", number, error)  # noqa: TRY400 - a sentence for a person
        finally:
            self._current = 0

    def _look(self, _events: list[Event], snapshot: Snapshot) -> None:
        """Meanwhile: take on more, end what is cancelled before its turn, give way to what goes first."""
        from ..colorize import Comics

        self._take()
        for job in self.waiting():
            if job.id == self._current or job.state != "queued":
                continue
            if job.wanted == "cancel":
                cancel_job(self._place, job.id, Comics(self._place))
            elif (
                snapshot.job.state == "queued" and job.wanted == "run" and self._place.ledger.is_next(job.id)
            ):
                raise _Overtaken(f"Job {job.id} goes first.")


def _main(root: str, lock: int) -> int:
    from ..core.workspace import Workspace
    from ..logging_config import setup_logging

    setup_logging()
    place = Workspace(root)
    held: int | None = lock
    while held is not None:
        runner = _Runner(place)
        try:
            with runner.interrupt.signals():
                runner.work()
        except Interrupted as error:
            runner.resign()
            return error.exit_code
        finally:
            os.close(held)
            for job in runner.waiting():  # something unforeseen ends this process: another does the others
                begin(place, job.id)
        # A request that came after the last look found the lock held.
        held = _lock(place) if any(place.folder("background").iterdir()) else None
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], int(sys.argv[2])))
