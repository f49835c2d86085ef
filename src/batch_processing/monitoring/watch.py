"""What is being done in a workspace, and what it takes: jobs, their processes, the queue, the machine.

Promises: an observation needs nothing but what any process of the same user may read, the ledger and what the system tells
of processes, and changes nothing; so `lote top` watches a job from another terminal, and whether that job hears of it or not
costs it nothing. Photo scans and looks are jobs too. Does not see the libraries of Python programs that scan without a job.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..core.applications import kinds
from ..core.model import LOCKED_JOB_STATES, ItemState, Job, JobState, Wish
from ..core.status import JobNews
from ..core.tuning import mount_of
from ..core.usage import MachineUse, ProcessUse, UsageWatch
from ..core.workspace import Workspace
from ..io.publish import nearest_folder
from ..memory import Gpu, read_gpus
from ..messages import Message
from ..photos.pixels.looks_job import LookFigures
from ..photos.progress import Figures

# A rate is that of the last looks: of a scan that reads ever larger photos the newest says most.
RATE_LOOKS = 20


class Stage(StrEnum):
    """What is counted of a job."""

    PAGES = "pages"
    PHOTOS = "photos"  # read and hashed
    HEADERS = "headers"
    PIXELS = "pixels"  # contents whose pixels were looked at


@dataclass(frozen=True)
class JobView:
    """A job at one moment. `done` of `total` (None: not known yet) in the unit of its `stage`; `rate` in those a second,
    `bytes_rate` in bytes read a second, `eta` in seconds, times in seconds since 1970; None for what is not known.
    `pid`: the process that runs or awaits it. `pages`: of a comic, how many pages are in each state; `figures`: of a scan
    or a look, what it has found."""

    job: int
    kind: str
    state: JobState
    wanted: Wish
    phase: str
    inputs: tuple[str, ...]
    output: str
    pid: int | None
    stage: Stage
    done: int
    total: int | None
    failed: int
    rate: float | None
    bytes_rate: float | None
    eta: float | None
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    exit_code: int | None
    pages: dict[ItemState, int]
    scan: Figures | None = None
    look: LookFigures | None = None

    @property
    def is_running(self) -> bool:
        """Whether a living process is at it."""
        return self.pid is not None and self.state in LOCKED_JOB_STATES


@dataclass(frozen=True)
class Run:
    """The processes of one run: the one that runs jobs first, then its children and theirs. `kind` is that of `jobs`."""

    kind: str
    jobs: tuple[int, ...]
    processes: tuple[ProcessUse, ...]


@dataclass(frozen=True)
class DiskView:
    """A file system that the workspace or the output of a running job lies on. Sizes in bytes."""

    mount: str
    total: int
    free: int


@dataclass(frozen=True)
class Observation:
    """A workspace at one moment (`at`: seconds since 1970). `jobs`: those that run or wait, in the order of their numbers;
    `latest`: for each kind the one that runs, else the one that was submitted last; `states`: how many jobs of a kind are
    in which state."""

    at: float
    workspace: str
    jobs: tuple[JobView, ...]
    latest: tuple[JobView, ...]
    states: dict[str, dict[JobState, int]]
    runs: tuple[Run, ...]
    machine: MachineUse
    disks: tuple[DiskView, ...]
    gpus: tuple[Gpu, ...]


@dataclass
class _Counted:
    """(time, done) of the last looks at one stage of a job."""

    stage: Stage
    looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_LOOKS))


class Watch:
    """Looks at a workspace again and again: rates are those since the looks before."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._usage = UsageWatch()
        self._news: dict[int, JobNews] = {}
        self._counted: dict[int, _Counted] = {}

    def look(self) -> Observation:
        """The workspace now."""
        rows = self._workspace.reads.jobs() if self._workspace.has_ledger else []
        active = [row for row in rows if _is_active(row)]
        self._forget_others({row.id for row in active})
        jobs = tuple(self._view(row) for row in active)
        by_id = {job.job: job for job in jobs}
        states: dict[str, Counter[JobState]] = {kind: Counter() for kind in kinds()}
        for row in rows:
            states.setdefault(row.kind, Counter())[row.state] += 1
        latest = []
        for kind in states:
            of_kind = [row for row in rows if row.kind == kind]
            at_work = [row for row in of_kind if row.alive and row.state in LOCKED_JOB_STATES]
            if at_work or of_kind:
                newest = (at_work or [max(of_kind, key=lambda row: row.submitted_at)])[0]
                latest.append(by_id.get(newest.id) or self._view(newest))
        return Observation(
            time.time(),
            str(self._workspace.root),
            jobs,
            tuple(latest),
            {kind: dict(counts) for kind, counts in states.items()},
            self._runs(jobs),
            self._usage.machine(),
            tuple(_disks([self._workspace.root, *_outputs(jobs)])),
            _gpus(),
        )

    def _forget_others(self, there: set[int]) -> None:
        self._news = {number: news for number, news in self._news.items() if number in there}
        self._counted = {number: counted for number, counted in self._counted.items() if number in there}

    def _runs(self, jobs: Iterable[JobView]) -> tuple[Run, ...]:
        by_pid: dict[int, list[JobView]] = {}
        for job in jobs:
            if job.pid is not None:
                by_pid.setdefault(job.pid, []).append(job)
        trees = self._usage.trees(by_pid)
        runs = []
        for pid, processes in trees.items():
            mine = sorted(by_pid[pid], key=lambda job: not job.is_running)
            if processes and mine[0].is_running:
                runs.append(Run(mine[0].kind, tuple(job.job for job in mine), tuple(processes)))
        return tuple(runs)

    def _view(self, row: Job) -> JobView:
        counts: dict[ItemState, int] = {}
        scan, look = None, None
        rate = bytes_rate = eta = None
        failed, total = 0, None
        running = row.alive and row.state == JobState.RUNNING
        if row.kind == "photos":
            scan = Figures.of(row)
            stage, done, total = _stage_of(scan)
            failed, eta = scan.errors, scan.eta_seconds
            if stage == Stage.PHOTOS:
                rate = scan.files_seen / scan.seconds if scan.seconds else None
                bytes_rate = float(scan.bytes_per_second)
        elif row.kind == "looks":
            look = LookFigures.of(row)
            stage, done, total = Stage.PIXELS, look.looks_done, look.looks_total or None
            failed, eta = look.errors, look.eta_seconds
            rate = look.looks_done / look.seconds if look.seconds else None
        else:
            if running and row.id not in self._news:
                self._news[row.id] = JobNews(self._workspace.reads, row.id)
            news = self._news.get(row.id) or JobNews(self._workspace.reads, row.id)
            news.events()
            snapshot = news.snapshot()
            counts, rate, eta = snapshot.counts, snapshot.rate, snapshot.eta
            stage, done, total, failed = Stage.PAGES, snapshot.done, snapshot.total, counts[ItemState.FAILED]
        if row.kind != "comics" and running:
            rate = self._rate(row.id, stage, done) or rate
        return JobView(
            row.id, row.kind, row.state, row.wanted, row.phase, tuple(row.inputs), row.output,
            int(row.owner["pid"]) if row.alive and row.owner else None,
            stage, done, total, failed,
            rate if running else None, bytes_rate if running else None, eta if running else None,
            row.submitted_at, row.started_at, row.finished_at, _exit_code(row, failed), counts, scan, look,
        )  # fmt: skip

    def _rate(self, job_id: int, stage: Stage, done: int) -> float | None:
        counted = self._counted.get(job_id)
        if counted is None or counted.stage != stage:
            counted = self._counted[job_id] = _Counted(stage)
        counted.looks.append((time.monotonic(), done))
        (since, before), (until, now) = counted.looks[0], counted.looks[-1]
        return (now - before) / (until - since) if until - since >= 1.0 and now > before else None


def _is_active(row: Job) -> bool:
    return not row.ended


def _exit_code(row: Job, failed: int) -> int | None:
    """What the command that ran a job to its end ended with; None of one that has not ended."""
    if row.state == JobState.DONE:
        return 3 if failed else 0
    if row.state == JobState.CANCELLED:
        return 4
    return (row.exit_code or 1) if row.state == JobState.FAILED else None


def _stage_of(scan: Figures) -> tuple[Stage, int, int | None]:
    """What a scan is at, how much of it is done, and of how much."""
    if scan.looks_total:
        return Stage.PIXELS, scan.looks_done, scan.looks_total
    if scan.facts_read:
        return Stage.HEADERS, scan.facts_read, scan.facts_total
    return Stage.PHOTOS, scan.files_seen, scan.total_photos


def _outputs(jobs: Iterable[JobView]) -> Iterable[Path]:
    """Where running jobs write. The library of a scan may be a URL of a server."""
    return (Path(job.output) for job in jobs if job.is_running and job.output.startswith("/"))


def _disks(places: Iterable[Path]) -> Iterable[DiskView]:
    """The file systems under these paths, each once."""
    seen = set()
    for place in places:
        try:
            folder = nearest_folder(place)
            device = folder.stat().st_dev
            if device in seen:
                continue
            seen.add(device)
            usage = shutil.disk_usage(folder)
        except OSError:  # a disk that was taken away
            continue
        yield DiskView(mount_of(folder), usage.total, usage.free)


def _gpus() -> tuple[Gpu, ...]:
    found = read_gpus()
    return () if isinstance(found, Message) else found
