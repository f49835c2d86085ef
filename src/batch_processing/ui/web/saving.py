"""Writing what was edited: the job runs again, soon after the last edit, and only what changed is drawn.

Promises: what is edited while a page is written is written next; nothing is lost when this process dies, because the
ledger has the edits and whoever looks next sees that they are not written yet; a job that is at work, or was paused, is
left alone until it has ended. A save that fails is said, and tried again with the next edit. Writes nothing itself: the
run of the job does, by the protocol of docs/ledger.md.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from ...colorize import EDITED
from ...core.model import Job, JobState
from ...core.workspace import Workspace
from ...exceptions import BatchProcessingError
from ...messages import NOTHING, Message
from .. import background

SETTLED = 1.2  # seconds after the last edit; a colourist goes on clicking
LONGEST = 20.0  # seconds that are waited for a long book, of which each save takes as long
TICK = 0.3


class Saved(StrEnum):
    """How far what was edited is written. HELD: as soon as the job has ended."""

    YES = "saved"
    SOON = "saving"
    HELD = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class _Turn:
    """A job that is to be written: when, the edits that the last attempt had before it, and when that began."""

    due: float
    tried: str | None = None
    began: float = 0.0


class Saver:
    """Has jobs written whose pages were edited. Its thread is there while there is something to write."""

    def __init__(
        self,
        workspace: Workspace,
        beginning: threading.Lock,
        watch: Callable[[subprocess.Popen[bytes] | None], None],
    ) -> None:
        self._workspace, self._beginning, self._watch = workspace, beginning, watch
        self._turns: dict[int, _Turn] = {}
        self._failed: dict[
            int, tuple[str, Message]
        ] = {}  # by job: the edits that could not be written, and why
        self._pace: dict[int, float] = {}  # seconds that a job's last save took
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Take up what another server has left unwritten."""
        for job_id in self._workspace.ledger.edits.jobs():
            self.soon(job_id)

    def soon(self, job_id: int) -> None:
        """Have a job written when nobody has edited it for a moment."""
        with self._lock:
            wait = min(LONGEST, max(SETTLED, self._pace.get(job_id, 0.0)))
            self._failed.pop(job_id, None)
            turn = self._turns.get(job_id, _Turn(0.0))
            self._turns[job_id] = replace(turn, due=time.monotonic() + wait)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="saving")
                self._thread.start()

    def state(self, job: Job) -> tuple[Saved, Message]:
        """How far this job is written, and what there is to say of it."""
        edited = self._workspace.ledger.edits.mark(job.id)
        if job.ended and job.result.get(EDITED, "") == edited:
            return Saved.YES, NOTHING
        failed, why = self._failed.get(job.id, ("", NOTHING))
        if failed == edited and why != NOTHING:
            return Saved.FAILED, why
        with self._lock:
            saving = job.id in self._turns and self._turns[job.id].tried is not None
        if not job.ended and not saving:
            return Saved.HELD, NOTHING
        return Saved.SOON, NOTHING

    def _work(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                if not self._turns:
                    self._thread = None
                    return
                due = [(job_id, turn) for job_id, turn in self._turns.items() if turn.due <= time.monotonic()]
            for job_id, turn in due:
                try:
                    after = self._step(job_id, turn)
                except (BatchProcessingError, OSError) as error:
                    after = None
                    self._fail(
                        job_id,
                        error.sentence if isinstance(error, BatchProcessingError) else Message(str(error)),
                    )
                with self._lock:
                    if self._turns.get(job_id) == turn:  # else somebody edited meanwhile
                        if after is None:
                            del self._turns[job_id]
                        else:
                            self._turns[job_id] = after
                    elif after is not None:
                        self._turns[job_id] = replace(after, due=self._turns[job_id].due)

    def _step(self, job_id: int, turn: _Turn) -> _Turn | None:
        """Begin a save, or look how it goes; None where there is nothing left to do."""
        ledger = self._workspace.ledger
        job = ledger.job(job_id)
        edited = ledger.edits.mark(job_id)
        now = time.monotonic()
        if not job.ended:
            return replace(turn, due=now + TICK)
        if turn.tried is not None:
            self._pace[job_id] = now - turn.began
        if job.result.get(EDITED, "") == edited:
            return None
        if turn.tried == edited:
            self._fail(job_id, job.error if job.state == JobState.FAILED and job.error else _NOT_WRITTEN)
            return None
        with self._beginning:
            if ledger.reopen(job_id):
                self._watch(background.begin(self._workspace, job_id))
        return _Turn(now + TICK, edited, now)

    def _fail(self, job_id: int, why: Message) -> None:
        self._failed[job_id] = self._workspace.ledger.edits.mark(job_id), why


_NOT_WRITTEN = Message("the job ended before the changes were written: look at its pages")
