"""Looking after a workspace: what state it and this machine are in, a copy of the ledger, freeing space.

Promises: `doctor` changes nothing; `back_up` gives a consistent copy while others write; `clean` frees
only what can be made again or belongs to jobs that have ended. Does not touch any output.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from . import __version__, backends
from .core.ledger import Job
from .core.workers import cores
from .core.workspace import Workspace, file_system
from .exceptions import QueueError, ValidationError
from .io.outputs import fsync_dir, part_path, publish
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


def back_up(workspace: Workspace, target: Path) -> None:
    """A consistent copy of the ledger in the new file `target`, also while jobs run."""
    if not workspace.database.exists():
        raise QueueError(f"There is no ledger in the workspace {workspace.root} yet.")
    if os.path.lexists(target):
        raise ValidationError(f"{target} exists: name a new file for the copy.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target, str(os.getpid()))
    source, copy = sqlite3.connect(workspace.database), sqlite3.connect(part)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    publish(part, target)
    fsync_dir(target.parent)


def clean(workspace: Workspace, *, job: int | None = None, older_than: float | None = None) -> int:
    """Free what jobs that have ended keep in the workspace; the bytes that were freed.

    One job, or those that ended more than `older_than` seconds ago, or all. A running job is left alone:
    QueueError when it was named. What nobody can make again, the pages and hints that were given to the web page,
    goes only with a job that was named or is older than said; results of uploads are outputs, and stay."""
    every = workspace.ledger.jobs() if workspace.database.exists() else []
    jobs = every
    if job is not None:
        jobs = [workspace.ledger.job(job)]
        if not jobs[0].ended:
            raise QueueError(f"Job {job} has not ended: `lote cancel {job}` first.")
    freed = 0
    gone: set[int] = set()
    for row in jobs:
        age = time.time() - (row.finished_at or row.submitted_at)
        if row.ended and (older_than is None or age > older_than):
            gone.add(row.id)
            freed += _removed(workspace.root / "jobs" / str(row.id))
            if job is not None or older_than is not None:
                freed += _forget_hints(workspace, row)
    kept = [row for row in every if row.id not in gone]
    freed += _clean_previews(workspace, jobs, gone)
    if job is not None or older_than is not None:
        freed += _clean_uploads(workspace, [row for row in jobs if row.id in gone], kept)
    if job is None:
        freed += _clean_drafts(workspace, every, DRAFT_REST if older_than is None else older_than)
    if job is None and older_than is None:
        freed += trim_cache(workspace, limit=0)
    return freed


def _removed(path: Path) -> int:
    """Delete a folder; the bytes that it held."""
    size = tree_size(path)
    shutil.rmtree(path, ignore_errors=True)
    return size


def _forget_hints(workspace: Workspace, row: Job) -> int:
    """Delete what was drawn on a job's pages in the web page; its next run does without."""
    folder = workspace.root / "hints" / str(row.id)
    if not folder.exists():
        return 0
    settings = row.config["settings"]
    if settings.get("hints") == str(folder):
        workspace.ledger.reconfigure(row.id, {**row.config, "settings": {**settings, "hints": None}})
    return _removed(folder)


def _clean_previews(workspace: Workspace, jobs: list[Job], gone: set[int]) -> int:
    """Delete the trials of the web page whose job has ended: another trial makes them again."""
    root = workspace.root / "previews"
    outputs = [Path(row.output) for row in jobs if row.id in gone]
    return sum(_removed(output.parent) for output in outputs if output.parent.parent == root)


def _clean_uploads(workspace: Workspace, gone: list[Job], kept: list[Job]) -> int:
    """Delete what was uploaded for these jobs, unless another job needs it; their results stay."""
    freed = 0
    needed = {folder for row in kept for folder in _draft_folders(workspace, row)}
    for folder in {folder for row in gone for folder in _draft_folders(workspace, row)} - needed:
        for part in list(folder.iterdir()) if folder.is_dir() else []:
            if part.is_dir() and part.name != "results":
                freed += _removed(part)
    return freed


def _draft_folders(workspace: Workspace, row: Job) -> set[Path]:
    """The folders of the web page's uploads that a job takes pages from."""
    root = workspace.root / "uploads"
    paths = [Path(path) for path in row.inputs]
    return {root / path.relative_to(root).parts[0] for path in paths if root in path.parents}


def _clean_drafts(workspace: Workspace, jobs: list[Job], age: float) -> int:
    """Delete chapters of the web page that never became a job and that nobody touched for `age` seconds."""
    root = workspace.root / "uploads"
    used = {folder for row in jobs for folder in _draft_folders(workspace, row)}
    freed = 0
    for folder in root.iterdir() if root.is_dir() else ():
        newest = max((path.stat().st_mtime for path in _files(folder)), default=folder.stat().st_mtime)
        if folder not in used and not (folder / "results").exists() and time.time() - newest > age:
            freed += _removed(folder)
    return freed


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
