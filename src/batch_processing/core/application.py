"""What an application must do to stand on the engine, and what it is given to work with.

Two kinds: jobs of items, each of which a task makes (`ItemApplication`), and jobs that are one long work in stages
(`StageApplication`). Locks, owner, wishes, signals, news, failing and finishing are the coordinator's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from ..io.publish import Claim
from ..messages import Message
from .ledger import Ledger
from .model import EventKind, Item, Job
from .plain import JsonObject
from .workers import Pool, Result, Task
from .workspace import Kind, Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class JobContext:
    """What an application works with while it plans and finishes."""

    workspace: Workspace
    ledger: Ledger
    job: Job
    generation: int
    run: Callable[[Iterable[Task]], Iterator[Result]]
    """Run tasks in the pool, bounded; results come as they end. Raises Cancelled when the job is."""
    pool: Pool
    """The same pool, for work that looks at `check` by itself."""
    check: Callable[[], None]
    """Do what is wanted of the job: wait while it is paused, raise when it is to end. For the steps of
    long work that runs no tasks."""

    def watched(self, things: Iterable[T]) -> Iterator[T]:
        """`things`, with a `check` before each."""
        for thing in things:
            self.check()
            yield thing

    def figures(self, figures: JsonObject, **also: JsonObject) -> None:
        """Say how far a job without items is, in plain values by name: once a second or so, each time is a commit.
        `also`: what else its result holds, should nothing come after this."""
        ended = {name: value for name, value in self.job.result.items() if name == "generation"}
        self.ledger.set_job(self.job.id, result={**ended, "figures": figures, **also})

    def phase(self, text: str) -> None:
        """Say what is being done before or after the items."""
        self.ledger.set_job(self.job.id, phase=text)

    def warn(self, template: str | Message, key: str | None = None, /, **values: Any) -> None:
        """Tell a person what is not as it should be, with the job or with the item `key`."""
        self.ledger.say(self.job.id, EventKind.WARNING, template, key, **values)

    def note(self, template: str | Message, key: str | None = None, /, **values: Any) -> None:
        """Tell a person what is good to know."""
        self.ledger.say(self.job.id, EventKind.NOTE, template, key, **values)


class AnyApplication(Protocol):
    """What every kind of job does. One object serves one job."""

    kind: Kind

    def pool(self, job: Job) -> Pool:
        """Where the job's tasks run."""
        ...

    def plan(self, context: JobContext) -> None:
        """Bring the ledger's items of the job up to date with its inputs and settings.

        MUST be repeatable: it runs again whenever the job is resumed. MUST raise before anything is
        written outside the workspace when the job cannot be done."""
        ...

    def finish(self, context: JobContext) -> JsonObject:
        """After the last item: what belongs to the job as a whole. MUST be repeatable. The returned
        dict becomes `Job.result`; its "state" is DONE or FAILED. Its "generation" is the engine's: the last
        one that came to an end, so that what was begun since is known to be under way."""
        ...

    def cancelled(self, context: JobContext) -> None:
        """After a cancel: say what was done before it. MUST be quick, and cope with a job that no run has
        planned to its end."""
        ...


class ItemApplication(AnyApplication, Protocol):
    """Its jobs are made of items: each has an output, and the ledger knows how far each is."""

    def task(self, job: Job, item: Item, part: Path) -> Task:
        """The task that writes the item's output to `part` (fsynced); its work gives a `Written`, and is `Joint` where
        `Ledger.arrange` puts items together."""
        ...

    def claim(self, job: Job, item: Item) -> Claim | None:
        """What may be replaced at the item's output when it is published; None: whatever stands there. Also asked
        for what a dead run has left, before anything is planned."""
        ...


@runtime_checkable
class Accompanied(Protocol):
    """An `ItemApplication` whose tasks write more than the item's part: files that are there when the item is."""

    def accompany(self, job: Job, item: Item) -> JsonObject:
        """Give their names to the other parts that the item's task has written; what there is to add to its details.

        Called before the item's own part gets its name. MUST be repeatable: a run that was killed in between is followed by
        one that does it again, with those parts that are left. OSError: the item fails."""
        ...


@runtime_checkable
class StageApplication(AnyApplication, Protocol):
    """Its jobs are long work that remembers by itself how far it is; the ledger has the job alone."""

    def work(self, context: JobContext) -> None:
        """Do what is left to do. MUST call `context.check` several times a second where it can stop, and let it raise;
        says with `context.figures` how far it is."""
        ...


Application = ItemApplication | StageApplication
