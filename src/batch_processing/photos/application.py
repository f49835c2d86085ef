"""A photo scan as a job of the engine: its door, and what happens in one.

    plan      the folders can be walked, and no drive is away
    walk      folders in order; what is known and unchanged is passed      (walk.py)
    hash      the rest is read, by lean children, in the order of the walk   (hashing.py)
    settle    batches and their photos in one commit, then handed out        (settle.py)
    ending    what moved, what is missing, and whether that can be believed  (ending.py)
    headers   what headers say, in the engine's pool                         (facts.py)
    look      what pixels tell, where that is asked for, in a pool of its own  (pixels)

Promises: `lote list`, `status`, `pause`, `resume` and `cancel` treat a scan like any job; its row stands in the workspace's
ledger, wherever the photos are recorded. It pauses within a second, and ends between two batches. Photos are no
items: one costs 20 µs, an item a hundred times that; how far the scan is, the library itself remembers.
`scan_images_recursively` is the same scan without a job: its caller holds the reins.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.model import JobState
from ..core.plain import JsonObject, from_plain, to_plain
from ..core.processes import cores, process_identity
from ..core.tuning import readers_for, tuned
from ..messages import Message
from .header_pool import header_pool
from .ingest import Scan
from .library_job import LibraryJob, database_of, follow, library, run_own
from .progress import Figures, Meter
from .scan_stats import ScanStats
from .store import Store, database_name, scan_lock, server_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.application import JobContext
    from ..core.coordinator import Interrupt, OnNews
    from ..core.model import Job
    from ..core.workers import Pool
    from ..core.workspace import Kind, Workspace
    from .ingest import Batch

KIND = "photos"


@dataclass(frozen=True)
class ScanRequest:
    """What is asked of a scan. `roots`: absolute folders as text (surrogateescape); `database`: an SQLAlchemy URL or the
    path of an SQLite file; the others as `Scan` has them."""

    roots: tuple[str, ...]
    database: str
    batch_size: int = 100
    start_batch: int = 1
    exclude: tuple[str, ...] = ()
    readers: int | None = None
    allow_missing: bool = False
    facts: bool = True
    videos: bool = False
    paranoid: bool = False
    look: bool = False

    @classmethod
    def of(cls, job: Job) -> ScanRequest:
        """What a job was asked for."""
        return from_plain(cls, {**job.config, "roots": job.inputs, "database": database_of(job)})

    def config(self) -> JsonObject:
        """What a job stores beside its inputs and its output."""
        values = to_plain(self)
        del values["roots"], values["database"]
        return values | {"exclude": list(self.exclude)}

    def scan(self, store: Store, stopped: Callable[[], bool] = lambda: False) -> Scan:
        """ValidationError for settings that make no sense."""
        return Scan(
            store,
            [os.fsencode(root) for root in self.roots],
            batch_size=self.batch_size,
            start_batch=self.start_batch,
            exclude=self.exclude,
            readers=self.readers,
            allow_missing=self.allow_missing,
            facts=self.facts,
            videos=self.videos,
            paranoid=self.paranoid,
            stopped=stopped,
        )


@dataclass(frozen=True)
class ScanResult:
    """What became of a scan's job."""

    job: int
    state: JobState
    stats: ScanStats

    @property
    def exit_code(self) -> int:
        """0 done, 3 some files could not be read or looked at, 4 cancelled."""
        if self.state == JobState.CANCELLED:
            return 4
        return 3 if self.stats.errors or self.stats.pixel_errors else 0


class Photos(LibraryJob[Scan]):
    """One scan's run. `on_batch` is called with each batch when it is on disk; a batch is taken when that returns.
    `counted`: have photos counted ahead. The others as `LibraryJob` has them."""

    kind: Kind = KIND

    def __init__(
        self,
        workspace: Workspace,
        store: Store | None = None,
        *,
        on_batch: Callable[[Batch, Figures], None] = lambda batch, figures: None,
        on_wait: Callable[[Message], None] = lambda sentence: None,
        wait: bool = True,
        counted: bool = True,
    ) -> None:
        super().__init__(workspace, store, on_wait, wait=wait)
        self._on_batch, self._counted = on_batch, counted
        self._meter = Meter(ahead=counted)

    def pool(self, job: Job) -> Pool:
        return header_pool(cores())

    def plan(self, context: JobContext) -> None:
        """Nothing is written before the folders are known to be there."""
        request = ScanRequest.of(context.job)
        with library(self._given, request.database) as store:
            request.scan(store).check_roots()

    def work(self, context: JobContext) -> None:
        request = ScanRequest.of(context.job)
        self._context = context
        self._meter = Meter(self._counted, request.start_batch == 1, request.videos)
        with library(self._given, request.database) as store:
            if request.readers is None:
                request = replace(request, readers=readers_for(self._workspace, request.roots))
            scan = self.begun = request.scan(store, self._is_to_end)
            try:
                with server_lock(store, self._behind, self._is_to_end) as held:
                    if held:
                        self._scan(scan, context)
                if held and request.look and self._ending is None:
                    self._look(scan, store, request, context)
                if self._ending is not None:
                    context.figures(self._meter.read(scan).to_dict(), stats=scan.stats.to_dict())
            finally:
                self._meter.close()
        if self._ending is not None:
            raise self._ending

    def _scan(self, scan: Scan, context: JobContext) -> None:
        try:
            with closing(scan.stages(context.pool)) as batches:
                for batch in batches:
                    self._meter.add(batch)
                    self._on_batch(batch, self._meter.read(scan))
        finally:
            scan.count()

    def _look(self, scan: Scan, store: Store, request: ScanRequest, context: JobContext) -> None:
        """Look at the pixels of what was scanned, behind another look in this workspace; also for faces, if they were ever
        asked for."""
        from .people.asked import wanted
        from .pixels.looking import look_pool
        from .pixels.previews import previews_of
        from .pixels.stage import Looking

        def stopped() -> bool:
            scan.looks_done, scan.looks_total = looking.stats.done, looking.total
            return self._is_to_end()

        previews = previews_of(store, self._workspace)
        looking = Looking(
            store,
            scan.roots,
            previews,
            batch_size=request.batch_size,
            stopped=stopped,
            faces=wanted(store, context.warn),
        )
        pool = look_pool(tuned(self._workspace).lookers)
        try:
            with scan_lock(
                store, self._workspace, self._on_wait, self._is_to_end, wait=self._wait, kind="looks"
            ) as held:
                if held:
                    with closing(looking.batches(pool)) as batches:
                        for _ in batches:
                            pass
        finally:
            pool.close()
            previews.close()
        stats = scan.stats
        stats.looked, stats.pixel_errors = looking.stats.looked, looking.stats.errors
        scan.looks_done, scan.looks_total = looking.stats.done, max(looking.total, looking.stats.done)
        scan.count()

    def finish(self, context: JobContext) -> JsonObject:
        if self.begun is None:
            return {"state": JobState.DONE}
        figures = self._meter.read(self.begun).to_dict()
        return {"state": JobState.DONE, "figures": figures, "stats": self.begun.stats.to_dict()}

    def _tell(self, context: JobContext, begun: Scan) -> None:
        context.figures(self._meter.read(begun).to_dict())

    def _rested(self, begun: Scan, seconds: float) -> None:
        begun.rested(seconds)
        self._meter.rested(seconds)


application = Photos


def submit(workspace: Workspace, request: ScanRequest, store: Store | None = None) -> Job:
    """Enter a scan into the ledger, checked as far as that is possible without walking: ValidationError for a folder that
    never was there. The same folders into the same database are the same job again; one that a living process is at
    stays as it is."""
    with library(store, request.database) as opened:
        scan = request.scan(opened)
        scan.check_roots(guard=False)
        roots = [os.fsdecode(root) for root in scan.roots]
    return workspace.ledger.submit(
        KIND, roots, database_name(request.database), request.config(), owner=process_identity()
    )


def scan(
    workspace: Workspace,
    request: ScanRequest,
    photos: Photos,
    store: Store | None = None,
    *,
    on_news: OnNews | None = None,
    interrupt: Interrupt | None = None,
    on_submit: Callable[[Job], None] = lambda job: None,
) -> ScanResult:
    """Submit a scan and run it to its end; behind the one that another process is at, even one of the same folders: what
    that has passed may have changed. A scan that is cancelled is cancelled for everybody who waits for it."""
    if not photos.may_wait:
        with workspace.lock(KIND) as lock:
            if not lock.acquire():  # before anything is written down
                photos.wait_for(lock.holder())

    def enter() -> Job:
        job = submit(workspace, request, store)
        on_submit(job)
        return job

    return _result(run_own(workspace, enter, photos, on_news=on_news, interrupt=interrupt))


def run(
    workspace: Workspace,
    job_id: int,
    *,
    on_news: OnNews | None = None,
    interrupt: Interrupt | None = None,
    photos: Photos | None = None,
) -> ScanResult:
    """Run, go on with, or follow a scan until it ends."""
    photos = photos or Photos(workspace)
    return _result(follow(workspace, job_id, photos, on_news=on_news, interrupt=interrupt))


def _result(job: Job) -> ScanResult:
    return ScanResult(job.id, job.state, ScanStats.of(job.result.get("stats", {})))
