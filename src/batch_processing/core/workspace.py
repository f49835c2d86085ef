"""The workspace: the one folder in which Lote remembers its work.

    lote.db            the ledger
    comics.lock        held by the process that runs comic jobs; photos.lock likewise
    jobs/<number>/     what a job needs between runs: unpacked pages, finished pages of an archive
    cache/             what can be made again, least recently used goes first
    scratch/           archives that a living process looks into without a job
    tuning.json        what was measured of this machine (`tuning`)
    logs/

Creating a `Workspace` touches nothing; folders appear when they are first asked for.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from ..exceptions import WorkspaceError, reason
from .processes import Identity, process_alive, process_identity, process_name

if TYPE_CHECKING:
    from .ledger import Ledger
    from .reads import Glance, Reads

Kind = str
"""What an application calls its jobs (`applications.kinds`); it names the lock, too."""

# File systems over a network on which neither SQLite's locks nor flock can be trusted.
# https://sqlite.org/howtocorrupt.html, section 2.1
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "afpfs", "webdav"}

# In the workspace: where its web page answers.
PAGE_ADDRESS = "page.address"
# What may stand in a workspace, and is nobody else's to look into.
FOLDERS = ("background", "cache", "hints", "jobs", "logs", "memory", "previews", "scratch", "uploads")


def data_folder() -> Path:
    """This user's data folder of Lote.

    `XDG_DATA_HOME` counts only as an absolute path: set but empty, or relative, it is ignored, as the XDG Base
    Directory Specification asks (not every version of platformdirs heeds it)."""
    if sys.platform == "linux" and not os.path.isabs(os.environ.get("XDG_DATA_HOME", "")):  # noqa: PTH117 - text
        return Path("~/.local/share/lote").expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("lote"))


def default_root() -> Path:
    """`LOTE_WORKSPACE`, else this user's data folder."""
    if named := os.environ.get("LOTE_WORKSPACE"):
        return Path(named).expanduser()
    return data_folder()


class Workspace:
    """A folder with a ledger in it. `root` None means the default one."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(os.path.abspath(root if root is not None else default_root()))  # noqa: PTH100 - no resolving
        self._ledger: Ledger | None = None
        self._glance: Glance | None = None

    @property
    def database(self) -> Path:
        return self.root / "lote.db"

    @property
    def has_ledger(self) -> bool:
        """Whether anything was remembered here yet. WorkspaceError where nobody may look: it is another user's."""
        try:
            return self.database.exists()
        except OSError as error:
            raise WorkspaceError(
                "The workspace {root} cannot be read ({reason}): choose another with --workspace or "
                "LOTE_WORKSPACE.",
                root=self.root,
                reason=reason(error),
            ) from error

    @property
    def ledger(self) -> Ledger:
        """The ledger of this workspace, opened (and the folder made) on first use.

        WorkspaceError when the folder cannot be made or written, or lies on a network file system."""
        if self._ledger is None:
            from .ledger import Ledger

            self.ensure()
            with suppress(FileExistsError):  # SQLite gives its other files the mode of this one
                os.close(os.open(self.database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._ledger = Ledger(self.database)
        return self._ledger

    @property
    def reads(self) -> Reads:
        """The ledger, which is there (`has_ledger`), for those who only look: opened in half of the time.

        WorkspaceError as of `ledger`."""
        if self._ledger is not None:
            return self._ledger
        if self._glance is None:
            from .reads import Glance

            self.ensure()
            self._glance = Glance(self.database)
        return self._glance

    def ensure(self) -> None:
        """Make the folder, and check that it can be trusted with a ledger."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._close_to_others()
        except OSError as error:
            raise WorkspaceError(
                "The workspace {root} cannot be made ({reason}): choose another with --workspace.",
                root=self.root,
                reason=reason(error),
            ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise WorkspaceError(
                "The workspace {root} cannot be written: choose another with --workspace or LOTE_WORKSPACE.",
                root=self.root,
            )
        if (kind := file_system(self.root)) in NETWORK_FILE_SYSTEMS:
            raise WorkspaceError(
                "The workspace {root} lies on a network file system ({kind}), where locks cannot be trusted: "
                "choose a local folder with --workspace or LOTE_WORKSPACE.",
                root=self.root,
                kind=kind,
            )

    def _close_to_others(self) -> None:
        """What is remembered here is its owner's: names of files, and who may open the page. Only a folder that is
        a workspace already, or empty, is closed: `--workspace` may name one that serves other purposes, too."""
        about = self.root.stat()
        if about.st_mode & 0o077 and about.st_uid == os.geteuid():
            if self.database.exists() or not any(self.root.iterdir()):
                self.root.chmod(0o700)
            if self.database.exists():
                self.database.chmod(0o600)
        if about.st_uid == os.geteuid() and self.database.exists():
            self._close_folders()

    @property
    def page_address(self) -> str:
        """Where the web page of this workspace answers now, such as "http://127.0.0.1:7860/"; "" where none is known to. One
        that was killed may still be named."""
        try:
            return (self.root / PAGE_ADDRESS).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    @contextmanager
    def page_at(self, address: str) -> Iterator[None]:
        """Have others know where the web page answers, as long as the block lasts."""
        (self.root / PAGE_ADDRESS).write_text(address, encoding="utf-8")
        try:
            yield
        finally:
            if self.page_address == address:  # else another page has come since
                with suppress(OSError):
                    (self.root / PAGE_ADDRESS).unlink()

    def follow(self, job_id: int) -> None:
        """Look for the finished pages of a job's archive where the workspace is now: it may have been moved, or be a
        copy, whose pages must not be those of the first. Only for who holds the lock of the job's kind."""
        self.ledger.follow(job_id, self.root / "jobs" / str(job_id) / "pages")

    def folder(self, *parts: str) -> Path:
        """The folder `root/parts`, made if it is not there."""
        path = self.root
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in parts:  # one by one: `mode` is that of the last alone
            path /= part
            path.mkdir(exist_ok=True, mode=0o700)
        return path

    def _close_folders(self) -> None:
        """Those that an earlier Lote made with other modes."""
        for name in FOLDERS:
            with suppress(OSError):
                if (path := self.root / name).stat().st_mode & 0o077:
                    path.chmod(0o700)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that nobody else uses, to be made when it is needed; it is gone when the block ends."""
        self.sweep()
        with suppress(OSError):  # whoever needs it will say
            self.folder("scratch")
        folder = self.root / "scratch" / f"{process_name()}-{secrets.token_hex(4)}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the scratch folders of processes that were killed."""
        for left in self.root.glob("scratch/*-*"):
            pid = left.name.partition("-")[0]
            with suppress(ProcessLookupError, ValueError):
                if left.name.startswith(f"{process_name(int(pid))}-"):
                    continue
            shutil.rmtree(left, ignore_errors=True)

    def lock(self, kind: Kind) -> KindLock:
        return KindLock(self, kind)

    def close(self) -> None:
        for opened in (self._ledger, self._glance):
            if opened is not None:
                opened.close()
        self._ledger = self._glance = None


class KindLock:
    """The right to run jobs of one kind in a workspace: one process at a time.

    The kernel frees it when its holder dies, however that happens."""

    def __init__(self, workspace: Workspace, kind: Kind) -> None:
        from filelock import FileLock

        self._workspace = workspace
        self._path = workspace.root / f"{kind}.lock"
        self._who = workspace.root / f"{kind}.holder"
        self._lock = FileLock(self._path, mode=0o600, thread_local=False)

    def acquire(self) -> bool:
        """Take the lock if nobody has it. WorkspaceError if it cannot be had at all."""
        from filelock import Timeout

        self._workspace.ensure()
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise WorkspaceError(
                "The workspace cannot be locked ({path}: {error}): choose a local folder with --workspace.",
                path=self._path,
                error=reason(error),
            ) from error
        with suppress(OSError):  # only for people who ask who it is
            self._who.write_text(json.dumps(process_identity()), encoding="utf-8")
        return True

    def release(self) -> None:
        if self._lock.is_locked:
            with suppress(OSError):
                self._who.unlink()
            self._lock.release()

    def holder(self) -> Identity | None:
        """Which process holds the lock (pid, host, started), or None when it is free."""
        try:
            who: Identity = json.loads(self._who.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return who if process_alive(who) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, "" if the system does not say (macOS without /proc)."""
    best, kind = "", ""
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return ""
    text = os.path.realpath(path)
    for mount in mounts:
        point = mount.mountpoint
        inside = point in ("/", text) or text.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, mount.fstype
    return kind
