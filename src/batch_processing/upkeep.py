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
from .core.ledger import Job, Standstill
from .core.workers import cores
from .core.workspace import Workspace, file_system
from .exceptions import QueueError
from .memory import MemoryManager

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

    topic: str
    text: str
    ok: bool | None = None


def doctor(workspace: Workspace) -> Iterator[Finding]:
    """What somebody who helps would ask first. A finding with `ok` False is something to mend."""
    yield Finding("lote", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield Finding("libraries", ", ".join(_versions()))
    for name in backends.NAMES:
        if name != "noop":
            reason = backends.create(name).unavailable()
            yield Finding(f"backend {name}", reason or "ready", None if reason else True)
    memory = MemoryManager()
    free = memory.available_bytes()
    yield Finding("memory", f"{_size(free)} free, {memory.host_usage():.0%} in use", free > 1_000_000_000)
    yield Finding("GPU", _gpus())
    yield Finding("cores", str(cores()))
    yield from _workspace_findings(workspace)


def _workspace_findings(workspace: Workspace) -> Iterator[Finding]:
    root = workspace.root
    if not root.exists():
        yield Finding("workspace", f"{root} does not exist yet: the first job makes it")
        return
    workspace.ensure()
    disk = shutil.disk_usage(root)
    yield Finding(
        "workspace", f"{root} ({file_system(root) or 'unknown file system'}), {_size(tree_size(root))}"
    )
    yield Finding("free disk", f"{_size(disk.free)} of {_size(disk.total)}", disk.free > 1_000_000_000)
    if workspace.database.exists():
        database = workspace.ledger.database
        yield Finding(
            "ledger", f"SQLite {sqlite3.sqlite_version}, journal {database.journal}, synchronous full"
        )
        checked = database.integrity_check()
        yield Finding("integrity", checked, checked == "ok")
        states = [job.state for job in workspace.ledger.jobs()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        yield Finding("jobs", counts or "none")
    for kind in ("comics", "photos"):
        holder = workspace.lock(kind).holder()
        yield Finding(f"lock {kind}", f"held by process {holder['pid']}" if holder else "free")


def _gpus() -> str:
    """The NVIDIA GPUs that the driver knows, with their memory."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return "not looked for: pip install 'lote[cobra]' brings the library that asks the driver"
    except pynvml.NVMLError as error:
        return f"none: {error}"
    handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    return ", ".join(
        f"{pynvml.nvmlDeviceGetName(handle)} ({_size(pynvml.nvmlDeviceGetMemoryInfo(handle).total)})"
        for handle in handles
    )


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} not installed"


def clean(workspace: Workspace, *, job: int | None = None, older_than: float | None = None) -> int:
    """Free what jobs that have ended keep in the workspace; the bytes that were freed.

    One job, or those that ended more than `older_than` seconds ago, or all. A running job is left alone:
    QueueError when it was named. What nobody can make again, the pages and hints that were given to the web page,
    goes only with a job that was named or is older than said; results of uploads are outputs, and stay, and so
    do pages that a person has approved.

    What goes is renamed while no job can begin, and deleted then: whoever begins one meanwhile finds a folder
    that is whole, or none."""
    if job is not None and not workspace.ledger.job(job).ended:
        raise QueueError(f"Job {job} has not ended: `lote cancel {job}` first.")
    if not workspace.root.exists():
        return 0
    with workspace.scratch() as trash:
        if workspace.database.exists():
            with workspace.ledger.standstill() as still:
                _Cleaning(workspace, trash, still).clean(job, older_than)
        elif job is None:
            _Cleaning(workspace, trash, None).clean(None, older_than)
        freed = tree_size(trash)
    if job is None and older_than is None:
        with workspace.lock("comics") as lock:
            if lock.acquire():  # else a job has looked up what it needs of the cache, and counts on it
                freed += trim_cache(workspace, limit=0)
    return freed


class _Cleaning:
    """Puts what may go into `trash`. `still`: the jobs, None where there is no ledger."""

    def __init__(self, workspace: Workspace, trash: Path, still: Standstill | None) -> None:
        self._workspace, self._trash, self._still = workspace, trash, still
        self._jobs = still.jobs if still else []

    def clean(self, job: int | None, older_than: float | None) -> None:
        now = time.time()

        def may_go(row: Job) -> bool:
            age = now - (row.finished_at or row.submitted_at)
            return row.ended and job in (None, row.id) and (older_than is None or age > older_than)

        gone = [row for row in self._jobs if may_go(row)]
        kept = [row for row in self._jobs if not may_go(row)]
        for row in gone:
            self._put_job_away(row)
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
        if self._still and settings.get("hints") == str(folder):
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
    total = sum(size for _, size, _ in files)
    freed = 0
    for _, size, path in sorted(files):
        if total - freed <= limit:
            break
        path.unlink(missing_ok=True)
        freed += size
    return freed


def tree_size(folder: Path) -> int:
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


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
