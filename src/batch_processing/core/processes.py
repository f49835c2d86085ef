"""Child processes: how they are started, named, told apart, watched and ended; one policy for all of them.

Promises: no child has our stdin, and none writes on our stdout; each is in a group of its own, so that Ctrl-C in a
terminal is for its parent, which ends its children itself; each says in the list of processes (`ps`) what it is for; one
that was ended is also buried. A child whose parent is gone leaves: the kernel, or the end of its connection, tells it.
Does not decide what a child does: `start_child` gives it this package and a connection, `start_lean` a few modules and two
pipes (15 ms where the package's imports take 90), `start_detached` a life of its own.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

from ..exceptions import ResourceError, reason
from ..memory.cgroups import cpu_quota
from ..messages import Message

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

# Another one after each start of the machine. random(4)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# One task, one core: there are as many children as there are cores to use.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Identity = dict[str, str | int | float]
"""What tells a process from every other: plain values, to be stored."""


def cores() -> int:
    """Cores that this process may use: as many local tasks run at once, unless somebody says otherwise. In a container
    that is given processor time for less than it sees, only so many as that lets work, rounded up."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        allowed = os.cpu_count() or 1
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


# -- telling processes apart --------------------------------------------------------------------------


def process_identity(pid: int | None = None) -> Identity:
    """What tells this process (or the one of that number) from every other, past ones with the same number
    included. It never changes while the process lives, whatever becomes of the clock or the machine's name.

    ProcessLookupError when there is no such process."""
    number = os.getpid() if pid is None else pid
    boot, started = _birth(number)
    return {"pid": number, "host": socket.gethostname(), "boot": boot, "started": started}


def process_alive(who: Identity) -> bool:
    """Whether the process of that `process_identity` still runs on this machine.

    Only a reason to look closer: a process behind the wall of a container looks dead. What decides who may
    work is the lock."""
    try:
        return (who["boot"], who["started"]) == _birth(int(who["pid"]))
    except (ProcessLookupError, KeyError, ValueError):
        return False


def process_name(pid: int | None = None) -> str:
    """The same as a part of a file's name, its number first. ProcessLookupError when there is no such process."""
    who = process_identity(pid)
    return f"{who['pid']}-{who['started']}-{str(who['boot']).replace('-', '')}"


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


# -- starting and ending ------------------------------------------------------------------------------


def start_child(
    module: str,
    arguments: str = "",
    stderr: IO[bytes] | int = subprocess.DEVNULL,
    *,
    name: str = "lote worker",
) -> tuple[subprocess.Popen[bytes], Connection]:
    """A new interpreter that calls `serve(descriptor, arguments)` of `module`, and the parent's end of the
    connection whose other end `descriptor` is. The child has to leave when that connection ends.

    ResourceError if no process can be started."""
    from multiprocessing.connection import Connection

    ours, theirs = socket.socketpair()
    # Imported, not run with -m: what is pickled must belong to this module, not to `__main__`.
    code = f"from {module} import serve; serve({', '.join(filter(None, (str(theirs.fileno()), arguments)))})"
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, name],
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": _search_path(), "PYTHONFAULTHANDLER": "1"},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            process_group=0,
        )
    except OSError as error:
        ours.close()
        raise ResourceError(cannot_start(reason(error))) from error
    finally:
        theirs.close()
    return process, Connection(ours.detach())


def start_lean(
    code: str, *arguments: str | bytes, name: str, is_asked: bool = True
) -> tuple[subprocess.Popen[bytes], int]:
    """A bare interpreter, without site-packages and this package, that runs `code` with `arguments` as `sys.argv[1:]`;
    and the descriptor of what it writes. It has to leave when its stdin ends, or, unless it `is_asked` anything there,
    when nobody reads what it writes.

    ResourceError if no process can be started."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"{code} # {name}", *arguments],
            stdin=subprocess.PIPE if is_asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            process_group=0,
        )
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise ResourceError(cannot_start(reason(error))) from error
    if process.stdout is None:  # never: it is a pipe
        raise RuntimeError("a child without its pipe")
    return process, process.stdout.fileno()


def start_detached(
    module: str, arguments: Sequence[str], log: Path, *, keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """`python -m module arguments` in a session of its own, which outlives this process. What it says is added to the file
    `log`, in English; it inherits the descriptors of `keep`."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": _search_path(), "LANGUAGE": "en"},
            pass_fds=keep,
        )


def end(process: subprocess.Popen[bytes], patience_s: float = 0.0) -> int:
    """Have a child end, and bury it; its exit code. One that was told to leave by the end of its connection has
    `patience_s` for it."""
    try:
        code = process.wait(patience_s) if patience_s else None
    except subprocess.TimeoutExpired:
        code = None
    if code is None:
        process.kill()
        code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return code


def die_with_parent() -> None:
    """Have the kernel end this process with its parent, even one that is stopped or deep in C code.

    The end of the connection tells a child too, but only one that can still listen."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _search_path() -> str:
    return os.pathsep.join(folder for folder in sys.path if folder)


def cannot_start(why: str | Message) -> Message:
    """What there is to say when no process, or none that works, can be had."""
    return Message(
        "A worker process cannot be started ({why}): end other programs, or use fewer --workers.", why=why
    )
