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

# Another one after each start of the machine. random(4)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


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
            with suppress(FileExistsError):  # SQLite gives its other files the mode of this one
                os.close(os.open(self.database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._ledger = Ledger(self.database)
        return self._ledger

    def ensure(self) -> None:
        """Make the folder, and check that it can be trusted with a ledger."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._close_to_others()
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

    def _close_to_others(self) -> None:
        """What is remembered here is its owner's: names of files, and who may open the page. Only a folder that is
        a workspace already, or empty, is closed: `--workspace` may name one that serves other purposes, too."""
        about = self.root.stat()
        if about.st_mode & 0o077 and about.st_uid == os.geteuid():
            if self.database.exists() or not any(self.root.iterdir()):
                self.root.chmod(0o700)
            if self.database.exists():
                self.database.chmod(0o600)

    def folder(self, *parts: str) -> Path:
        """The folder `root/parts`, made if it is not there."""
        path = self.root
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in parts:  # one by one: `mode` is that of the last alone
            path /= part
            path.mkdir(exist_ok=True, mode=0o700)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that nobody else uses, to be made when it is needed; it is gone when the block ends."""
        self.sweep()
        me = process_identity()
        birth = f"{me['pid']}-{me['started']}-{str(me['boot']).replace('-', '')}"
        folder = self.root / "scratch" / f"{birth}-{secrets.token_hex(4)}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the scratch folders of processes that were killed."""
        for left in self.root.glob("scratch/*-*"):
            pid = left.name.partition("-")[0]
            with suppress(ProcessLookupError, ValueError):
                boot, started = _birth(int(pid))
                if left.name.startswith(f"{pid}-{started}-{boot.replace('-', '')}-"):
                    continue
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


def process_identity(pid: int | None = None) -> dict[str, str | int | float]:
    """What tells this process (or the one of that number) from every other, past ones with the same number
    included. It never changes while the process lives, whatever becomes of the clock or the machine's name.

    ProcessLookupError when there is no such process."""
    number = os.getpid() if pid is None else pid
    boot, started = _birth(number)
    return {"pid": number, "host": socket.gethostname(), "boot": boot, "started": started}


def process_alive(who: dict[str, str | int | float]) -> bool:
    """Whether the process of that `process_identity` still runs on this machine.

    Only a reason to look closer: a process behind the wall of a container looks dead. What decides who may
    work is the lock."""
    try:
        return (who["boot"], who["started"]) == _birth(int(who["pid"]))
    except (ProcessLookupError, KeyError, ValueError):
        return False


def _birth(pid: int) -> tuple[str, int | float]:
    """(boot, start) of a process that is there and has not ended: the boot of the machine as the kernel names
    it, and the clock ticks from then to the start of the process (proc(5), "starttime").

    Not as a time of day: psutil and ps add the time of the boot, which moves with every step of the clock.
    Where there is no /proc (macOS) the kernel keeps the time of the start as it was told."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "", _told_start(pid)
    try:
        # The name of the program, in parentheses, may hold anything: fields count from behind it.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError as error:
        raise ProcessLookupError(pid) from error
    if fields[0] in (b"Z", b"X"):  # ended, and not yet asked about by its parent
        raise ProcessLookupError(pid)
    return boot, int(fields[19])


def _told_start(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise ProcessLookupError(pid)
        return float(process.create_time())
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error


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
