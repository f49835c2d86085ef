"""Starting, pausing, cancelling and repeating jobs from outside of the process that runs them.

What the commands and the web page do alike: wishes go into the ledger, and a job that nobody runs gets a
process of its own, in a session of its own, so that whoever asked may leave or crash.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.coordinator import cancel_job
from ..exceptions import QueueError

if TYPE_CHECKING:
    from ..core.ledger import Job
    from ..core.workspace import Workspace


def log_of(place: Workspace, number: int) -> Path:
    """Where the process of a job in the background writes what it has to say."""
    return place.folder("logs") / f"job-{number}.log"


def start(place: Workspace, number: int) -> subprocess.Popen[bytes]:
    """Have another process run the job. It adopts the job when it is up."""
    return run(place, ["resume", str(number)], log_of(place, number))


def run(
    place: Workspace, command: Sequence[str], log: Path, *, anew: bool = False
) -> subprocess.Popen[bytes]:
    """Run a command of `lote` in a session of its own; what it says goes to the file `log`."""
    # What it says goes into a log, and logs are English.
    path = os.pathsep.join(folder for folder in sys.path if folder)
    environment = os.environ | {"PYTHONPATH": path, "LANGUAGE": "en"}
    with log.open("wb" if anew else "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "batch_processing", *command, "--workspace", str(place.root)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=environment,
        )


def begin(place: Workspace, number: int) -> subprocess.Popen[bytes]:
    """`start` for a process that stays alive itself: the job is nobody's until the new process has it."""
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
    place.ledger.set_job(number, state="queued", wanted="run", error=None, finished_at=None)
    return again, begin(place, number)


def _going(place: Workspace, number: int, wish: str) -> Job:
    row = place.ledger.job(number)
    if row.ended:
        raise QueueError(f"Job {number} is {row.state}: there is nothing to {wish}.")
    return row
