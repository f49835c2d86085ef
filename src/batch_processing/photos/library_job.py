"""What jobs over a photo library have in common: the scan (`application`) and the look at pixels (`pixels.looks_job`).

Promises: what is wanted of the job (pause, cancel, an interrupt) is asked a few times a second and done between two
photos, and how far it is stands in the ledger; while another process has the same right, the job waits, or ends with a
WorkspaceError where it is not to wait. Photos are no items: how far a job is, the library itself remembers.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ..core.application import StageApplication
from ..core.coordinator import Interrupted, JobFailed, run_job
from ..core.model import JobState
from ..exceptions import Cancelled, WorkspaceError
from ..messages import Message
from .store import Store, being_scanned, database_name, open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core.application import JobContext
    from ..core.coordinator import Interrupt, OnNews
    from ..core.model import Job
    from ..core.processes import Identity
    from ..core.workspace import Workspace

# How often it is asked what is wanted, and how often is said how far it is. The first costs a millisecond, the second a
# commit.
ASK_S = 0.2
SAY_S = 0.5


class Progressing(Protocol):
    """What a job does, once it has begun."""

    def rested(self, seconds: float) -> None:
        """So long it was paused."""


P = TypeVar("P", bound=Progressing)


class LibraryJob(StageApplication, Generic[P]):
    """One run. `store`: of the library, where the caller has it open. `on_wait` gets a sentence when another process is in
    the way; without `wait` that is a WorkspaceError."""

    def __init__(
        self, workspace: Workspace, store: Store | None, on_wait: Callable[[Message], None], *, wait: bool
    ) -> None:
        self._workspace, self._given = workspace, store
        self._on_wait, self._wait = on_wait, wait
        self.begun: P | None = None
        self._context: JobContext | None = None
        self._ending: Cancelled | Interrupted | None = None  # what ends this run
        self._asked = self._said = 0.0

    @abstractmethod
    def _tell(self, context: JobContext, begun: P) -> None:
        """Say in the ledger how far it is."""

    def cancelled(self, context: JobContext) -> None:
        """What was done is in the library; the next job over the same folders goes on with it."""

    @property
    def may_wait(self) -> bool:
        """Whether it waits for another process."""
        return self._wait

    def _is_to_end(self) -> bool:
        """Do what is wanted: wait here while the job is paused. Whether it is to end, where it can."""
        now = time.monotonic()
        if self._ending is None and self._context is not None and now - self._asked >= ASK_S:
            try:
                if self.begun is not None and now - self._said >= SAY_S:
                    self._said = now
                    self._tell(self._context, self.begun)
                now = time.monotonic()
                self._context.check()
            except (Cancelled, Interrupted) as error:
                self._ending = error
            self._asked = time.monotonic()
            if self.begun is not None:
                self._rested(self.begun, self._asked - now)
        return self._ending is not None

    def _rested(self, begun: P, seconds: float) -> None:
        begun.rested(seconds)

    def wait_for(self, holder: Identity | None) -> None:
        """Another process has the right to do this in this workspace."""
        self._behind(being_scanned(holder, self.kind))

    def _behind(self, text: Message) -> None:
        if not self._wait:
            raise WorkspaceError(
                "Not waiting, as asked: {text}. Start this command again when it has ended.", text=text
            )
        self._on_wait(Message("waiting: {text}", text=text))


@contextmanager
def library(given: Store | None, where: str) -> Iterator[Store]:
    """The store that was given, or one that is open for as long as the block lasts."""
    if given is not None:
        yield given
        return
    database = open_database(where)
    store = Store(database)
    try:
        yield store
    finally:
        store.close()
        database.close()


def database_of(job: Job) -> str:
    """Where the library of a job is. Passwords are in no ledger: `LOTE_DATABASE` has that of the database, if it names the
    same one."""
    named = os.environ.get("LOTE_DATABASE", "")
    return named if named and database_name(named) == job.output else job.output


def follow(
    workspace: Workspace,
    job_id: int,
    application: LibraryJob[P],
    *,
    on_news: OnNews | None = None,
    interrupt: Interrupt | None = None,
) -> Job:
    """Run, go on with, or follow a job until it ends."""
    quiet: OnNews = lambda events, snapshot: None  # noqa: E731
    return run_job(
        workspace,
        job_id,
        application,
        on_news=on_news or quiet,
        interrupt=interrupt,
        on_wait=application.wait_for,
    )


def run_own(
    workspace: Workspace,
    submit: Callable[[], Job],
    application: LibraryJob[P],
    *,
    on_news: OnNews | None = None,
    interrupt: Interrupt | None = None,
) -> Job:
    """Submit a job and run it to its end, behind the one that another process is at, and then once more by this one: what
    the other has passed may have changed. One that is cancelled is cancelled for everybody who waits for it."""
    while True:
        entered = submit()
        try:
            job = follow(workspace, entered.id, application, on_news=on_news, interrupt=interrupt)
        except JobFailed:
            if application.begun is not None:
                raise
            continue  # not ours
        if application.begun is not None or job.state == JobState.CANCELLED:
            return job
