"""Looking after a workspace: what state it and this machine are in, freeing space.

Promises: `doctor` changes nothing; `clean` frees only what can be made again or belongs to jobs that have
ended, and never a page that somebody approved. Does not touch any output. Copies of the ledger, and the way
back, are `core.copies`.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from . import __version__, backends
from .core.applications import kinds
from .core.model import Job
from .core.processes import cores
from .core.transitions import Standstill
from .core.tuning import Tuned, Tuning, tuning_of
from .core.words import JOB_WORDS
from .core.workspace import Workspace, file_system
from .exceptions import QueueError
from .formatting import size
from .memory import MemoryManager, read_gpus
from .messages import Message, as_message, joined

# What can be made again is kept up to this size, the least recently used goes first.
CACHE_LIMIT = 5_000_000_000
# A chapter in the web page that nobody touched for a day (in seconds) is no longer being put together.
DRAFT_REST = 86_400.0
LIBRARIES = (
    "pillow", "numpy", "scipy", "opencv-python-headless", "sqlalchemy", "psd-tools", "pi-heif", "torch", "diffusers",
    "transformers", "gradio",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One line of `lote doctor`. `ok` is None for a fact that is neither good nor bad."""

    topic: Message
    text: Message
    ok: bool | None = None


def doctor(workspace: Workspace) -> Iterator[Finding]:
    """What somebody who helps would ask first. A finding with `ok` False is something to mend."""
    yield Finding(
        Message("lote"),
        Message(
            "{version}, Python {python}, {platform}",
            version=__version__,
            python=platform.python_version(),
            platform=platform.platform(),
        ),
    )
    yield Finding(Message("libraries"), joined(_versions()))
    for name in backends.NAMES:
        if name != "noop":
            reason = backends.create(name).unavailable()
            yield Finding(
                Message("backend {name}", name=name),
                as_message(reason) if reason else Message("ready"),
                None if reason else True,
            )
    memory = MemoryManager()
    free = memory.available_bytes()
    yield Finding(
        Message("memory"),
        Message("{free} free, {used} in use", free=size(free), used=f"{memory.host_usage():.0%}"),
        free > 1_000_000_000,
    )
    gpus = read_gpus()
    yield Finding(
        Message("GPU"),
        gpus
        if isinstance(gpus, Message)
        else joined(f"{gpu.name} ({size(gpu.memory_total)})" for gpu in gpus) or Message("none"),
    )
    yield Finding(Message("cores"), Message(str(cores())))
    yield _tuning(workspace)
    yield from _workspace_findings(workspace)


def _tuning(workspace: Workspace) -> Finding:
    """Whether this machine was measured, and what came of it."""
    found = tuning_of(workspace)
    if isinstance(found, Tuning):
        return Finding(Message("tuning"), said_of(found.tuned), ok=True)
    if found is None:
        found = Message("never measured: `lote doctor --tune` does it, in a minute")
    return Finding(Message("tuning"), found)


def said_of(tuned: Tuned) -> Message:
    """The settings that fit, in a sentence."""
    readers = joined(Message("{disk} {count}", count=disk.readers, disk=disk.mount) for disk in tuned.readers)
    return Message(
        "workers: {workers}, {memory} each; looking at photos: {lookers}; a batch: {batch} (where auto is said); readers: {readers}",
        workers=tuned.workers,
        memory=size(tuned.worker_memory) if tuned.worker_memory else Message("as much as built in"),
        lookers=tuned.lookers,
        batch=tuned.batch_size,
        readers=readers or Message("by the kind of disk"),
    )


def _workspace_findings(workspace: Workspace) -> Iterator[Finding]:
    root = workspace.root
    if not root.exists():
        yield Finding(
            Message("workspace"), Message("{root} does not exist yet: the first job makes it", root=root)
        )
        return
    workspace.ensure()
    disk = shutil.disk_usage(root)
    yield Finding(
        Message("workspace"),
        Message(
            "{root} ({file_system}), {size}",
            root=root,
            file_system=file_system(root) or Message("unknown file system"),
            size=size(treesize(root)),
        ),
    )
    yield Finding(
        Message("free disk"),
        Message("{free} of {total}", free=size(disk.free), total=size(disk.total)),
        disk.free > 1_000_000_000,
    )
    if workspace.has_ledger:
        database = workspace.ledger.database
        yield Finding(
            Message("ledger"),
            Message(
                "SQLite {sqlite_version}, journal {journal}, synchronous full",
                sqlite_version=sqlite3.sqlite_version,
                journal=database.journal,
            ),
        )
        checked = database.integrity_check()
        yield Finding(Message("integrity"), Message(checked), checked == "ok")
        states = [job.state for job in workspace.ledger.jobs()]
        counts = joined(
            joined((states.count(state), Message(words.said)), " ")
            for state, words in JOB_WORDS.items()
            if state in states
        )
        yield Finding(Message("jobs"), counts or Message("none"))
    for kind in kinds():
        holder = workspace.lock(kind).holder()
        yield Finding(
            Message("lock {kind}", kind=kind),
            Message("held by process {pid}", pid=holder["pid"]) if holder else Message("free"),
        )


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} not installed"


@dataclass(frozen=True)
class Cleaned:
    """What `clean` has freed, or would free: bytes, of how many jobs, and how many old events."""

    bytes: int
    jobs: int
    events: int = 0


def clean(
    workspace: Workspace, *, job: int | None = None, older_than: float | None = None, dry_run: bool = False
) -> Cleaned:
    """Free what jobs that have ended keep in the workspace, and say what was freed; with `dry_run` what would be.

    One job, or those that ended more than `older_than` seconds ago, or all. A running job is left alone:
    QueueError when it was named. What nobody can make again, the pages and hints that were given to the web page,
    goes only with a job that was named or is older than said; results of uploads are outputs, and stay, and so
    do pages that a person has approved. With `older_than` events of ended jobs that are so old go, too.

    What goes is renamed while no job can begin, and deleted then: whoever begins one meanwhile finds a folder
    that is whole, or none."""
    if job is not None and not workspace.ledger.job(job).ended:
        raise QueueError("Job {job} has not ended: `lote cancel {job}` first.", job=job)
    if not workspace.root.exists():
        return Cleaned(0, 0)
    before = _length(workspace)
    with workspace.lock("comics") as lock:
        if not dry_run and workspace.has_ledger and lock.acquire():  # else whoever holds it has done so
            for row in workspace.ledger.jobs("comics"):
                workspace.follow(row.id)
    with workspace.scratch() as trash:
        cleaning = _Cleaning(workspace, trash, None, dry_run=dry_run)
        if workspace.has_ledger:
            with workspace.ledger.standstill() as still:
                cleaning = _Cleaning(workspace, trash, still, dry_run=dry_run)
                cleaning.clean(job, older_than)
        elif job is None:
            cleaning.clean(None, older_than)
        freed = sum(map(treesize, cleaning.found)) if dry_run else treesize(trash)
    if job is None:
        with workspace.lock("comics") as lock:
            if lock.acquire():  # else a job has looked up what it needs of the cache, and counts on it
                if older_than is None:
                    freed += treesize(workspace.root / "cache") if dry_run else trim_cache(workspace, limit=0)
                if workspace.has_ledger and not dry_run:
                    workspace.ledger.database.compact()
    return Cleaned(freed + max(0, before - _length(workspace)), cleaning.jobs, cleaning.events)


def _length(workspace: Workspace) -> int:
    """Bytes of the ledger."""
    return workspace.database.stat().st_size if workspace.has_ledger else 0


class _Cleaning:
    """Puts what may go into `trash`; with `dry_run` it is only `found`. `still`: the jobs, None where there is no ledger."""

    def __init__(
        self, workspace: Workspace, trash: Path, still: Standstill | None, *, dry_run: bool = False
    ) -> None:
        self._workspace, self._trash, self._still, self._dry_run = workspace, trash, still, dry_run
        self._jobs = still.jobs if still else []
        self.found: set[Path] = set()
        self.jobs = self.events = 0

    def clean(self, job: int | None, older_than: float | None) -> None:
        now = time.time()

        def may_go(row: Job) -> bool:
            age = now - (row.finished_at or row.submitted_at)
            return row.ended and job in (None, row.id) and (older_than is None or age > older_than)

        gone = [row for row in self._jobs if may_go(row)]
        kept = [row for row in self._jobs if not may_go(row)]
        if self._still and older_than is not None and job is None:
            self.events = self._still.events_before(now - older_than, forget=not self._dry_run)
        for row in gone:
            before = len(self.found)
            self._put_job_away(row)
            self.jobs += len(self.found) > before
            preview = Path(row.output).parent
            if preview.parent == self._workspace.root / "previews":  # another trial makes it again
                self._put_away(preview)
            if job is not None or older_than is not None:
                self._forget_hints(row)
        if job is not None or older_than is not None:
            self._put_uploads_away(gone, kept)
        if job is None:
            self._put_drafts_away(DRAFT_REST if older_than is None else older_than)

    def _put_away(self, path: Path) -> None:
        """Out of the way at once, whatever its size."""
        if not os.path.lexists(path):
            return
        self.found.add(path)
        if self._dry_run:
            return
        self._trash.mkdir(parents=True, exist_ok=True)
        try:
            path.rename(self._trash / secrets.token_hex(8))
        except FileNotFoundError:
            pass
        except OSError:  # a folder that somebody has put on another disk
            shutil.rmtree(path, ignore_errors=True)

    def _put_job_away(self, row: Job) -> None:
        """A job's folder, but for what no run would make again as it was: pages that were approved, and the
        record of the documents that Lote has written beside the output."""
        folder = self._workspace.root / "jobs" / str(row.id)
        approved = self._still.approved(row.id) if self._still else []
        kept = {Path(output) for output in approved if Path(output).is_relative_to(folder)}
        kept.add(folder / "documents")
        kept = {path for path in kept if os.path.lexists(path)}
        way = {parent for path in kept for parent in path.parents}
        if folder not in way:
            self._put_away(folder)
            return
        for base, folders, names in os.walk(folder):
            for name in [*folders, *names]:
                path = Path(base, name)
                if path not in kept and path not in way:
                    self._put_away(path)
            folders[:] = [name for name in folders if Path(base, name) in way]

    def _forget_hints(self, row: Job) -> None:
        """What was drawn on a job's pages in the web page; its next run does without."""
        folder = self._workspace.root / "hints" / str(row.id)
        if not folder.exists():
            return
        settings = row.config["settings"]
        if self._still and settings.get("hints") == str(folder) and not self._dry_run:
            self._still.reconfigure(row.id, {**row.config, "settings": {**settings, "hints": None}})
        self._put_away(folder)

    def _put_uploads_away(self, gone: list[Job], kept: list[Job]) -> None:
        """What was uploaded for these jobs, unless another job needs it; their results stay."""
        needed = {folder for row in kept for folder in self._draft_folders(row)}
        for folder in {folder for row in gone for folder in self._draft_folders(row)} - needed:
            for part in list(folder.iterdir()) if folder.is_dir() else []:
                if part.is_dir() and part.name != "results":
                    self._put_away(part)

    def _draft_folders(self, row: Job) -> set[Path]:
        """The folders of the web page's uploads that a job takes pages from."""
        root = self._workspace.root / "uploads"
        paths = [Path(path) for path in row.inputs]
        return {root / path.relative_to(root).parts[0] for path in paths if root in path.parents}

    def _put_drafts_away(self, age: float) -> None:
        """Chapters of the web page that never became a job and that nobody touched for `age` seconds."""
        root = self._workspace.root / "uploads"
        used = {folder for row in self._jobs for folder in self._draft_folders(row)}
        for folder in list(root.iterdir()) if root.is_dir() else ():
            newest = max((path.stat().st_mtime for path in _files(folder)), default=folder.stat().st_mtime)
            if folder not in used and not (folder / "results").exists() and time.time() - newest > age:
                self._put_away(folder)


def trim_cache(workspace: Workspace, limit: int = CACHE_LIMIT) -> int:
    """Delete the least recently used files of the cache until it is no larger than `limit` bytes."""
    files = []
    for path in _files(workspace.root / "cache"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue  # another process was faster
        files.append((stat.st_mtime_ns, stat.st_size, path))
    total = sum(taken for _, taken, _ in files)
    freed = 0
    for _, taken, path in sorted(files):
        if total - freed <= limit:
            break
        path.unlink(missing_ok=True)
        freed += taken
    return freed


def treesize(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where it is missing."""
    total = 0
    for path in _files(folder):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def _files(folder: Path) -> Iterator[Path]:
    for base, _folders, names in os.walk(folder):
        for name in names:
            yield Path(base, name)
