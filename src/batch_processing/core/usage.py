"""What the processes of running jobs use now: processor, memory, disk; and what the machine has.

Promises: any process of the same user can ask, from another terminal too, and nothing is asked of the processes
themselves. Sums over a process and its children never become less while it lives: what a child used that has ended and was
waited for counts with its parent. Does not see processes on other machines, nor in other containers; what the system does
not tell (the bytes that another user's process has read) is None.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from ..memory import MemoryManager
from .processes import cores

# Two looks that follow on each other faster tell nothing of rates: clock ticks are 10 ms.
LEAST_INTERVAL_S = 0.05


@dataclass(frozen=True)
class ProcessUse:
    """One process. Sizes in bytes, rates in bytes a second; `cpu` in cores: 1.0 is one core all the time. Rates are those
    since the look before, None at the first. The sums, `cpu_seconds`, `read_bytes` and `written_bytes`, are those of
    disks alone, without what came from the page cache, and with the children that have ended."""

    pid: int
    name: str
    memory: int
    cpu_seconds: float
    read_bytes: int | None
    written_bytes: int | None
    cpu: float | None = None
    read_rate: float | None = None
    write_rate: float | None = None


@dataclass(frozen=True)
class MachineUse:
    """What this process may use of the machine: `cpus`, and memory in bytes. `cpu`: the share of the whole machine's
    processors in use since the look before, 0 to 1; None at the first."""

    cpus: int
    cpu: float | None
    memory_total: int
    memory_available: int


class UsageWatch:
    """Looks at processes again and again: rates are those between two looks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, psutil.Process] = {}
        self._before: dict[int, _Sums] = {}
        self._machine: tuple[float, float] | None = None  # busy and all processor seconds

    def machine(self) -> MachineUse:
        """The machine now."""
        memory = MemoryManager()
        times = psutil.cpu_times()
        # Guests are counted among `user` already.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy = whole - times.idle - getattr(times, "iowait", 0.0)
        before, self._machine = self._machine, (busy, whole)
        share = None
        if before is not None and whole > before[1]:
            share = min(1.0, max(0.0, (busy - before[0]) / (whole - before[1])))
        return MachineUse(cores(), share, memory.total_bytes(), memory.available_bytes())

    def trees(self, roots: Iterable[int]) -> dict[int, list[ProcessUse]]:
        """For each of these processes: itself, then its children and theirs. One that is no more has an empty list."""
        found = {root: [use for process in self._tree(root) if (use := self._use(process))] for root in roots}
        there = {use.pid for uses in found.values() for use in uses}
        self._known = {pid: process for pid, process in self._known.items() if pid in there}
        self._before = {pid: sums for pid, sums in self._before.items() if pid in there}
        return found

    def _tree(self, root: int) -> list[psutil.Process]:
        try:
            process = self._process(root)
            children = process.children(recursive=True)
        except psutil.Error:
            return []
        return [process, *(self._known.setdefault(child.pid, child) for child in children)]

    def _process(self, pid: int) -> psutil.Process:
        known = self._known.get(pid)
        if known is None or not known.is_running():
            known = self._known[pid] = psutil.Process(pid)
        return known

    def _use(self, process: psutil.Process) -> ProcessUse | None:
        try:
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    return None
                times, memory = process.cpu_times(), int(process.memory_info().rss)
                name = said_name(process.cmdline()) or process.name()
        except (psutil.Error, OSError):
            return None
        read: int | None = None
        written: int | None = None
        try:
            io = process.io_counters()
            read, written = int(io.read_bytes), int(io.write_bytes)
        except (psutil.Error, OSError, AttributeError, NotImplementedError):  # another user's, or macOS
            pass
        own = float(times.user + times.system)
        ended = float(getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))
        now = _Sums(self._clock(), own, read, written)
        before = self._before.get(process.pid)
        if before is not None and now.at - before.at < LEAST_INTERVAL_S:
            before = None
        else:
            self._before[process.pid] = now
        cpu, read_rate, write_rate = (None, None, None) if before is None else now.rates(before)
        return ProcessUse(process.pid, name, memory, own + ended, read, written, cpu, read_rate, write_rate)


@dataclass(frozen=True)
class _Sums:
    at: float
    cpu_seconds: float
    read: int | None
    written: int | None

    def rates(self, before: _Sums) -> tuple[float, float | None, float | None]:
        seconds = self.at - before.at
        read = None if self.read is None or before.read is None else max(0, self.read - before.read)
        written = (
            None if self.written is None or before.written is None else max(0, self.written - before.written)
        )
        return (
            max(0.0, self.cpu_seconds - before.cpu_seconds) / seconds,
            None if read is None else read / seconds,
            None if written is None else written / seconds,
        )


def said_name(command: Sequence[str]) -> str:
    """What a process of Lote says that it is (`processes.start_child`, `start_lean`), or the command that it runs:
    "lote worker", "lote colorize"; "" for other programs."""
    for word in (command[-1] if "-c" in command else "", *_codes(command)):
        name = word.rpartition("# ")[2]
        if name.startswith("lote ") and len(name) < 60:
            return name
    for at, word in enumerate(command[:6]):
        if Path(word).name == "lote" or word in ("batch_processing", "batch_processing.ui.background"):
            inner = "background" if word.endswith("background") else _words(command[at + 1 :])
            return f"lote {inner}".strip()
    return ""


def _codes(command: Sequence[str]) -> Iterable[str]:
    """The programs of `python -c`."""
    return (after for word, after in pairwise(command) if word == "-c")


def _words(arguments: Sequence[str]) -> str:
    """The command among the arguments of `lote`, with that of its group: "colorize", "photos scan"."""
    first = arguments[:1]
    return " ".join(arguments[:2] if first == ["photos"] else first)
