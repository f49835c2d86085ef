"""A look at the pixels as a job of the engine: `lote photos look`, and `lote photos faces`.

Promises: `lote list`, `status`, `pause`, `resume` and `cancel` treat it like any job. It holds the right to look, not the
one to scan: a scan goes on beside it. Photos are no items; how far it is, the library itself remembers.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.model import JobState
from ...core.plain import JsonObject, from_plain, to_plain
from ...core.processes import process_identity
from ...core.tuning import tuned
from ...messages import Message
from ..library_job import LibraryJob, database_of, follow, library, run_own
from ..people.asked import ask, wanted
from ..people.models import find
from ..store import Store, database_name, scan_roots, server_lock
from .looking import cluster_pool, look_pool
from .previews import previews_of
from .stage import Looking, LookStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.application import JobContext
    from ...core.coordinator import Interrupt, OnNews
    from ...core.model import Job
    from ...core.workers import Pool
    from ...core.workspace import Kind, Workspace
    from ..people.models import FaceModel
    from .previews import Previews
    from .stage import LookBatch

KIND = "looks"


@dataclass(frozen=True)
class Cluster:
    """Machines that look: of the Ray cluster at `address` ("auto": the one that this machine belongs to, or HOST:PORT), at most
    `slots` at once (0: as many as there are). `shared`: they have the photos under the same paths as this machine; else photos
    are sent there."""

    address: str = "auto"
    slots: int = 0
    shared: bool = False


@dataclass(frozen=True)
class LookRequest:
    """What is asked of a look. `roots`: absolute folders as text (surrogateescape); `database`: an SQLAlchemy URL or the
    path of an SQLite file. `faces`: look for faces on all photos, by the networks in `face_model` (a folder; None: Lote's
    own); else on new ones alone, if they were ever asked for. `cluster`: whose machines look, None for this one."""

    roots: tuple[str, ...]
    database: str
    batch_size: int = 100
    faces: bool = False
    face_model: str | None = None
    cluster: Cluster | None = None

    @classmethod
    def of(cls, job: Job) -> LookRequest:
        """What a job was asked for."""
        return from_plain(cls, {**job.config, "roots": job.inputs, "database": database_of(job)})

    def folders(self) -> list[bytes]:
        return scan_roots([os.fsencode(root) for root in self.roots])

    def model(self) -> FaceModel | None:
        """The networks that are asked for by name. ConfigurationError where they are not there."""
        return find(None if self.face_model is None else Path(self.face_model)) if self.faces else None


@dataclass(frozen=True)
class LookFigures:
    """A look at one moment, in numbers of contents."""

    looks_done: int = 0
    looks_total: int = 0
    damaged: int = 0
    no_pixels: int = 0
    errors: int = 0
    gone: int = 0
    faces: int | None = None  # None: nobody looks for any
    batches: int = 0
    seconds: float = 0.0
    eta_seconds: float | None = None

    @classmethod
    def of(cls, job: Job) -> LookFigures:
        """What the ledger knows of a look; all zeros before it has begun."""
        return from_plain(cls, job.result.get("figures", {}))

    @classmethod
    def read(cls, looking: Looking) -> LookFigures:
        stats = looking.stats
        to_go = None
        if stats.done and looking.total:
            to_go = round(max(0, looking.total - stats.done) * stats.seconds / stats.done, 1)
        return cls(
            stats.done, max(looking.total, stats.done), stats.damaged, stats.no_pixels, stats.errors, stats.gone,
            stats.faces if looking.finds_faces else None, stats.batches, round(stats.seconds, 3), to_go,
        )  # fmt: skip


@dataclass(frozen=True)
class LookResult:
    """What became of the job."""

    job: int
    state: JobState
    stats: LookStats

    @property
    def exit_code(self) -> int:
        """0 done, 3 some photos could not be looked at, 4 cancelled."""
        if self.state == JobState.CANCELLED:
            return 4
        return 3 if self.stats.errors or self.stats.gone else 0


class Looks(LibraryJob[Looking]):
    """One run of the job. `on_batch` is called with each batch when it is on disk; a batch is taken when that returns. The
    others as `LibraryJob` has them."""

    kind: Kind = KIND

    def __init__(
        self,
        workspace: Workspace,
        store: Store | None = None,
        *,
        on_batch: Callable[[LookBatch, LookFigures], None] = lambda batch, figures: None,
        on_wait: Callable[[Message], None] = lambda sentence: None,
        wait: bool = True,
    ) -> None:
        super().__init__(workspace, store, on_wait, wait=wait)
        self._on_batch = on_batch

    def pool(self, job: Job) -> Pool:
        cluster = LookRequest.of(job).cluster
        if cluster is None:
            return look_pool(tuned(self._workspace).lookers)
        return cluster_pool(cluster.address, cluster.slots, shared=cluster.shared)

    def plan(self, context: JobContext) -> None:
        request = LookRequest.of(context.job)
        request.model()
        with library(self._given, request.database) as store:
            self._new(request, store, previews_of(store, self._workspace), None).check_roots()

    def work(self, context: JobContext) -> None:
        request = LookRequest.of(context.job)
        self._context = context
        with (
            library(self._given, request.database) as store,
            closing(previews_of(store, self._workspace)) as previews,
        ):
            model = request.model()
            if model is not None:
                ask(store, model)
            looking = self.begun = self._new(request, store, previews, model or wanted(store, context.warn))
            with server_lock(store, self._behind, self._is_to_end, KIND) as held:
                if held:
                    with closing(looking.batches(context.pool)) as batches:
                        for batch in batches:
                            self._on_batch(batch, LookFigures.read(looking))
        if self._ending is not None:
            context.figures(to_plain(LookFigures.read(looking)), stats=to_plain(looking.stats))
            raise self._ending

    def _new(
        self, request: LookRequest, store: Store, previews: Previews, model: FaceModel | None
    ) -> Looking:
        return Looking(
            store,
            request.folders(),
            previews,
            batch_size=request.batch_size,
            stopped=self._is_to_end,
            faces=model,
            all_faces=request.faces,
        )

    def finish(self, context: JobContext) -> JsonObject:
        if self.begun is None:
            return {"state": JobState.DONE}
        figures = to_plain(LookFigures.read(self.begun))
        return {"state": JobState.DONE, "figures": figures, "stats": to_plain(self.begun.stats)}

    def _tell(self, context: JobContext, begun: Looking) -> None:
        context.figures(to_plain(LookFigures.read(begun)))


application = Looks


def submit(workspace: Workspace, request: LookRequest, store: Store) -> Job:
    """Enter a look into the ledger: ValidationError for a folder of which no photo is known, ConfigurationError where the
    networks that it names are not there. The same folders of the same
    database are the same job again; one that a living process is at stays as it is."""
    request.model()
    Looking(
        store, request.folders(), previews_of(store, workspace), batch_size=request.batch_size
    ).check_roots()
    roots = [os.fsdecode(root) for root in request.folders()]
    config = to_plain(request)
    del config["roots"], config["database"]
    return workspace.ledger.submit(
        KIND, roots, database_name(request.database), config, owner=process_identity()
    )


def look(
    workspace: Workspace,
    request: LookRequest,
    looks: Looks,
    store: Store,
    *,
    on_news: OnNews | None = None,
    interrupt: Interrupt | None = None,
) -> LookResult:
    """Submit a look and run it to its end, behind the one that another process is at. Where that one was asked for the same
    folders, there is little left to do."""
    enter = partial(submit, workspace, request, store)
    return _result(run_own(workspace, enter, looks, on_news=on_news, interrupt=interrupt))


def run(
    workspace: Workspace,
    job_id: int,
    *,
    on_news: OnNews | None = None,
    interrupt: Interrupt | None = None,
    looks: Looks | None = None,
) -> LookResult:
    """Run, go on with, or follow a look until it ends."""
    looks = looks or Looks(workspace)
    return _result(follow(workspace, job_id, looks, on_news=on_news, interrupt=interrupt))


def _result(job: Job) -> LookResult:
    return LookResult(job.id, job.state, from_plain(LookStats, job.result.get("stats", {})))
