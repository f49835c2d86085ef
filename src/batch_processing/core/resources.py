"""What work has taken of the machine: seconds, CPU seconds, memory, memory of the GPU.

Promises: CPU seconds are those of all processors together. Does not count what processes used that were killed.
Where the system cannot forget the most memory that a process has held (macOS), that of all its work so far is told.
"""

from __future__ import annotations

import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_SELF = Path("/proc/self")
_FORGET_PEAK = b"5"  # proc(5), "clear_refs": since Linux 4.0


@dataclass(frozen=True)
class Took:
    """What something has taken. `seconds` on the clock; `peak_memory`: the most that one process has held, in bytes;
    `gpu_memory`: the most that it has kept of a GPU's, in bytes, None where it has used none."""

    seconds: float
    cpu_seconds: float
    peak_memory: int
    gpu_memory: int | None = None

    def shared(self, count: int) -> Took:
        """The part of each of `count` pieces that were done together: of the time its share, of memory all."""
        return replace(self, seconds=self.seconds / count, cpu_seconds=self.cpu_seconds / count)


def peak_memory() -> int:
    """The most memory this process has held, in bytes, since a `Meter` made it forget what was before."""
    if (known := _status(b"VmHWM:")) is not None:
        return known
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reserved_memory() -> int:
    """The most address space this process has had, in bytes, used or not; what it has held where the system does not say."""
    return _status(b"VmPeak:") or peak_memory()


def _status(name: bytes) -> int | None:
    """Bytes that Linux tells under that name of this process; proc(5)."""
    with suppress(OSError, ValueError):
        for line in (_SELF / "status").read_bytes().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None


class Meter:
    """Measures pieces of this process' work, one after the other. `anew`: their memory alone, not that of earlier ones."""

    def __init__(self, *, anew: bool = False) -> None:
        if anew:
            with suppress(OSError):
                (_SELF / "clear_refs").write_bytes(_FORGET_PEAK)
            if (cuda := _cuda()) is not None:
                cuda.reset_peak_memory_stats()
        self._clock, self._cpu = time.monotonic(), time.process_time()

    def took(self) -> Took:
        """Since the meter was made."""
        seconds, cpu_seconds = time.monotonic() - self._clock, time.process_time() - self._cpu
        return Took(seconds, cpu_seconds, peak_memory(), gpu_peak())


def gpu_peak() -> int | None:
    """The most memory of its GPU that this process has kept, in bytes; None where it uses none."""
    cuda = _cuda()
    return None if cuda is None else int(cuda.max_memory_reserved())


def _cuda() -> Any:
    """`torch.cuda`, if this process computes there."""
    loaded = sys.modules.get("torch")
    return loaded.cuda if loaded is not None and loaded.cuda.is_initialized() else None


def cpu_of(process: int, before: float) -> float:
    """CPU seconds of a process so far; `before`, what it had, where it is no more."""
    import psutil

    try:
        times = psutil.Process(process).cpu_times()
    except psutil.Error:
        return before
    return float(times.user + times.system)
