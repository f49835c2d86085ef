"""Machines out of namespaces, for tests of the cluster: each has a network, processes and a /tmp of its own.

    with Machines(3, slots=2) as machines:
        machines.address                          # of the Ray cluster, whose head is this machine
        machines.kill(machines.names[0])          # as a power cut
        machines.unplug("m1"); machines.plug("m1")

They see this machine's programs, but no file below its /tmp, where tests have theirs; `folder` is one that all see. Needs root
and iproute2. No call waits longer than it says, whatever Ray does; a cluster that does not start is a `NoClusterError`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

import batch_processing

# What starting a machine, or the head, may take in all, with as many tries as fit into it.
START_S = 90.0
# One try: Ray comes up within 5 s, and within 20 on a machine that does other things.
TRY_S = 60.0
# What ends at once, on a machine that does other things.
MOMENT_S = 20.0
_NUMBERS = itertools.count()
# Where the programs of tests are found, also by machines: Lote itself travels.
SEARCH = os.pathsep.join([str(Path(__file__).parent)])

_MACHINE = """
set -e
mount --make-rprivate /
{keep}
mount -t tmpfs tmpfs /tmp
{back}
mount -t tmpfs tmpfs /dev/shm
hostname {name}
ip link set lo up
echo ready
exec sleep infinity
"""


def missing() -> str | None:
    """Why there can be no machines here."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root can make namespaces"
    if any(shutil.which(program) is None for program in ("ip", "unshare", "nsenter")):
        return "iproute2 and util-linux are not installed"
    try:
        Machines._run("unshare", "-n", "-m", "-p", "-f", "true")
    except subprocess.SubprocessError:
        return "namespaces are not allowed here"
    return None


class NoClusterError(AssertionError):
    """Ray, or a machine, did not start."""


class Machines:
    """Machines `m1`, `m2` and so on, with `slots` cores for Ray each, and the head of their cluster, which has none."""

    def __init__(self, count: int, slots: int = 2, **environment: str) -> None:
        """`environment`: of all of Ray, also on the machines."""
        self._count, self._slots = count, slots
        number = os.getpid() * 8 + next(_NUMBERS) % 8  # another network for each
        self._mark = f"{number % 1_000_000:06}"
        self._net = f"10.{64 + number // 250 % 128}.{number % 250}"
        self._processes: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self._numbers = iter(range(1, 200))
        self._temporary = tempfile.mkdtemp(prefix="lr-", dir="/tmp")
        self.folder = Path(tempfile.mkdtemp(prefix="lote-machines-", dir="/var/tmp"))
        # Ray's head listens on all addresses of this machine, on which there may be another.
        self.address = f"{self._net}.254:{20_000 + number % 10_000}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("LOTE_", "RAY_"))},
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            # What Ray itself waits for its own processes: this may be a busy machine.
            "RAY_agent_register_timeout_ms": "300000",
            "RAY_worker_register_timeout_seconds": "300",
            "RAY_raylet_start_wait_time_s": "40",
            "PYTHONPATH": SEARCH,
            **environment,
        }

    def __enter__(self) -> Self:
        try:
            self._run("ip", "link", "add", self._bridge, "type", "bridge")
            self._run("ip", "addr", "add", f"{self._net}.254/24", "dev", self._bridge)
            self._run("ip", "link", "set", self._bridge, "up")
            self.start_head()
            for _ in range(self._count):  # one after the other: at once, they lose patience
                self.add()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._processes):
            self.kill(name)
        self.stop_head()
        self._try("ip", "link", "del", self._bridge)
        shutil.rmtree(self._temporary, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def names(self) -> list[str]:
        return list(self._processes)

    def add(self, **environment: str) -> str:
        """One machine more; `environment`: of its own."""
        name = self._make()
        self._join(name, environment)
        return name

    def mend(self, count: int) -> None:
        """At least `count` machines, all of them with their cables plugged in."""
        for name in self.names:
            self.plug(name)
        while len(self._processes) < count:
            self.add()

    def kill(self, name: str) -> None:
        """All of it at once, as a power cut."""
        process, first = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)
        _bury(process)
        self._try("ip", "netns", "del", self._space(name))

    def unplug(self, name: str) -> None:
        """Cut its cable."""
        self._run("ip", "link", "set", self._cable(name), "down")

    def plug(self, name: str) -> None:
        self._run("ip", "link", "set", self._cable(name), "up")

    def processes(self, name: str, word: str) -> list[psutil.Process]:
        """Processes of a machine in whose command line the word is."""
        space = _space_of(psutil.Process(self._processes[name][1]))
        return [process for process in _processes(word) if _space_of(process) == space]

    def start_head(self) -> None:
        """Ray's head, on this machine, in a folder of its own."""
        ip, port = self.address.split(":")
        self._told(*_RAY, "--head", f"--port={port}", f"--node-ip-address={ip}", "--num-cpus=0", "--include-dashboard=false",
                  f"--temp-dir={self._temporary}", "--object-store-memory=100000000", before=self.stop_head)  # fmt: skip

    def stop_head(self) -> None:
        """End all of Ray on this machine, as if the head lost its power."""
        own = [one for one in _processes(self._temporary) if _space_of(one) == _space_of(psutil.Process())]
        own += [child for one in own for child in one.children(recursive=True)]  # some go by other names
        for process in own:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(own, timeout=MOMENT_S)

    # -- how ----------------------------------------------------------------------------------------

    @property
    def _bridge(self) -> str:
        return f"lb{self._mark}"

    def _space(self, name: str) -> str:
        return f"lote{self._mark}{name}"

    def _cable(self, name: str) -> str:
        return f"lv{self._mark}{name}"

    def _make(self) -> str:
        number = next(self._numbers)
        name = f"m{number}"
        space, cable = self._space(name), self._cable(name)
        self._run("ip", "netns", "add", space)
        self._run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._run("ip", "link", "set", cable, "master", self._bridge, "up")
        inside = ("ip", "netns", "exec", space, "ip")
        self._run(*inside, "addr", "add", f"{self._net}.{number}/24", "dev", "eth0")
        self._run(*inside, "link", "set", "eth0", "up")
        keep, back = _kept(sys.prefix, str(Path(batch_processing.__file__).parents[1]), *sys.path)
        process = subprocess.Popen(
            ["ip", "netns", "exec", space, "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
             "--mount-proc", "bash", "-c", _MACHINE.format(name=name, keep=keep, back=back)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], MOMENT_S)
        if not ready or process.stdout.readline() != b"ready\n":  # it is one short write
            process.kill()
            _bury(process)
            raise NoClusterError(f"{name} does not start")
        (first,) = psutil.Process(process.pid).children()
        self._processes[name] = process, first.pid
        return name

    def _join(self, name: str, environment: dict[str, str]) -> None:
        """Have its Ray join the cluster."""
        number = name.removeprefix("m")
        inside = ["nsenter", "-t", str(self._processes[name][1]), "-n", "-m", "-p", "-u", "-i"]
        self._told(*inside, *_RAY, f"--address={self.address}", f"--node-ip-address={self._net}.{number}",
                   f"--num-cpus={self._slots}", "--object-store-memory=100000000", **environment)  # fmt: skip

    def _told(self, *command: str, before: Callable[[], object] = lambda: None, **environment: str) -> None:
        """Start Ray; `before` another try. On a busy machine its parts lose patience with each other."""
        until = time.monotonic() + START_S
        while True:
            # Not a pipe: what Ray leaves running would hold it.
            with tempfile.TemporaryFile() as told:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    done = subprocess.run(
                        command,
                        env=self.environment | environment,
                        stdin=subprocess.DEVNULL,
                        stdout=told,
                        stderr=subprocess.STDOUT,
                        timeout=min(until - time.monotonic(), TRY_S),
                        check=False,
                    )
                    if done.returncode == 0:
                        return
                told.seek(0)
                words = told.read().decode(errors="replace")[-2000:]
            before()
            if time.monotonic() > until - 1.0:
                raise NoClusterError(f"Ray does not start within {START_S:.0f} s: {words}")

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=MOMENT_S)

    @staticmethod
    def _try(*command: str) -> None:
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            Machines._run(*command)


_RAY = [
    sys.executable,
    "-c",
    "from ray.scripts.scripts import main; main()",
    "start",
    "--disable-usage-stats",
]


def _bury(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of what was killed."""
    if process.stdout is not None:
        process.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(MOMENT_S)


def _kept(*paths: str) -> tuple[str, str]:
    """What keeps those paths that lie below /tmp, before and after another is put there."""
    below = sorted({path for path in paths if path.startswith("/tmp/") and Path(path).is_dir()})
    keep, back = [], []
    for number, path in enumerate(below):
        keep.append(f"mkdir -p /run/lote-{number}; mount --bind {path} /run/lote-{number}")
        back.append(f"mkdir -p {path}; mount --bind /run/lote-{number} {path}")
    return "\n".join(keep), "\n".join(back)


def _processes(word: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if word in " ".join(process.cmdline()):
                yield process
        except psutil.Error:
            continue


def _space_of(process: psutil.Process) -> str:
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except OSError:
        return ""
