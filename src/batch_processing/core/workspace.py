"""The workspace: the one folder in which Lote remembers its work.

    lote.db            the ledger
    comics.lock        held by the process that runs comic jobs; photos.lock likewise
    jobs/<number>/     what a job needs between runs: unpacked pages, finished pages of an archive
    cache/             what can be made again, least recently used goes first
    scratch/           archives that a living process looks into without a job
    logs/

Creating a `Workspace` touches nothing; folders appear when they are first asked for.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import psutil

from ..exceptions import WorkspaceError, reason

if TYPE_CHECKING:
    from .ledger import Ledger

Kind = Literal["comics", "photos"]

# File systems over a network on which neither SQLite's locks nor flock can be trusted.
# https://sqlite.org/howtocorrupt.html, section 2.1
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "afpfs", "webdav"}


def default_root() -> Path:
    """`LOTE_WORKSPACE`, else this user's data folder.

    `XDG_DATA_HOME` counts only as an absolute path: set but empty, or relative, it is ignored, as the XDG Base
    Directory Specification asks (not every version of platformdirs heeds it)."""
    if named := os.environ.get("LOTE_WORKSPACE"):
        return Path(named).expanduser()
    if sys.platform == "linux" and not os.path.isabs(os.environ.get("XDG_DATA_HOME", "")):  # noqa: PTH117 - text
        return Path("~/.local/share/lote").expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("lote"))


class Workspace:
    """A folder with a ledger in it. `root` None means the default one."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(os.path.abspath(root if root is not None else default_root()))  # noqa: PTH100 - no resolving
        self._ledger: Ledger | None = None

    @property
    def database(self) -> Path:
        return self.root / "lote.db"

    @property
    def ledger(self) -> Ledger:
        """The ledger of this workspace, opened (and the folder made) on first use.

        WorkspaceError when the folder cannot be made or written, or lies on a network file system."""
        if self._ledger is None:
            from .ledger import Ledger

            self.ensure()
            self._ledger = Ledger(self.database)
        return self._ledger

    def ensure(self) -> None:
        """Make the folder, and check that it can be trusted with a ledger."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                f"The workspace {self.root} cannot be made ({error.strerror}): choose another with --workspace."
            ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise WorkspaceError(
                f"The workspace {self.root} cannot be written: choose another with --workspace or LOTE_WORKSPACE."
            )
        if (kind := file_system(self.root)) in NETWORK_FILE_SYSTEMS:
            raise WorkspaceError(
                f"The workspace {self.root} lies on a network file system ({kind}), where locks cannot be "
                "trusted: choose a local folder with --workspace or LOTE_WORKSPACE."
            )

    def folder(self, *parts: str) -> Path:
        """The folder `root/parts`, made if it is not there."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that nobody else uses, to be made when it is needed; it is gone when the block ends."""
        self.sweep()
        me = process_identity()
        folder = self.root / "scratch" / f"{me['pid']}-{me['started']}-{secrets.token_hex(4)}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the scratch folders of processes that were killed."""
        for left in self.root.glob("scratch/*-*-*"):
            pid, started, _ = left.name.split("-")
            if not process_alive({"pid": pid, "host": socket.gethostname(), "started": started}):
                shutil.rmtree(left, ignore_errors=True)

    def lock(self, kind: Kind) -> KindLock:
        return KindLock(self, kind)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None


class KindLock:
    """The right to run jobs of one kind in a workspace: one process at a time.

    The kernel frees it when its holder dies, however that happens."""

    def __init__(self, workspace: Workspace, kind: Kind) -> None:
        from filelock import FileLock

        self._workspace = workspace
        self._path = workspace.root / f"{kind}.lock"
        self._who = workspace.root / f"{kind}.holder"
        self._lock = FileLock(self._path, thread_local=False)

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
                f"The workspace cannot be locked ({self._path}: {reason(error)}): choose a local folder with --workspace."
            ) from error
        with suppress(OSError):  # only for people who ask who it is
            self._who.write_text(json.dumps(process_identity()), encoding="utf-8")
        return True

    def release(self) -> None:
        if self._lock.is_locked:
            with suppress(OSError):
                self._who.unlink()
            self._lock.release()

    def holder(self) -> dict[str, str | int | float] | None:
        """Which process holds the lock (pid, host, started), or None when it is free."""
        try:
            who: dict[str, str | int | float] = json.loads(self._who.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return who if process_alive(who) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def process_identity() -> dict[str, str | int | float]:
    """What tells this process from every other, past ones with the same number included."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": psutil.Process().create_time()}


def process_alive(who: dict[str, str | int | float]) -> bool:
    """Whether the process of that `process_identity` still runs on this machine."""
    try:
        process = psutil.Process(int(who["pid"]))
        return (
            who["host"] == socket.gethostname()
            and abs(process.create_time() - float(who["started"])) < 1.0
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, KeyError, ValueError):
        return False


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
