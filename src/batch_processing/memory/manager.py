"""MemoryManager: memory of the host and of the GPU, and what a page will need of it.

Promises that inside a container its limit counts, not the machine's memory (cgroup v1 and v2, the
tightest on the way up), and that nothing is measured, and torch not imported, until somebody asks.
Does not guarantee that an estimate is never exceeded: it bounds how many pages are worked on at the
same time, and each worker is limited besides.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError
from ..logging_config import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

__all__ = ["MemoryManager"]

_logger = get_logger(__name__)
_ROOT = Path("/")  # where proc and sys are mounted
_MIB = 2**20


@dataclass(frozen=True)
class _Need:
    """The peak of one page: `base` bytes for process and model, then per pixel and per reference."""

    base: int
    per_pixel: int
    per_reference: int


# Per pixel: the page decoded, the result, and the buffers of the encoder, each 3 to 4 bytes; flats keeps
# 4-byte labels and distances at native size too. The sum for a 70-megapixel page of flats stays
# within the 1.5 GB that this backend may use.
_NEEDS = {
    "noop": _Need(base=100 * _MIB, per_pixel=12, per_reference=0),
    "flats": _Need(base=220 * _MIB, per_pixel=17, per_reference=8 * _MIB),
    # The process with its libraries, 1 GB; CUDA's own, 0.5 GB; the weights in 16 bit, 4.5 GB. Pages are brought
    # to a fixed size first; a reference then costs its latents and its CLIP vectors (five patches of 20 KB
    # and 4 KB). What is at work besides is `_cobra_at_work`.
    "cobra": _Need(base=6_000_000_000, per_pixel=16, per_reference=5 * 24 * 1024),
}


def _cobra_at_work(patches: int) -> int:
    """Bytes beside the weights: the larger of the enlargement and of a step with that many reference patches.

    Counted by `benchmarks/cobra.py memory` at 800 x 800. The paper measured 9.3 GB with 12 patches, model included."""
    return max(4_420_000_000, 490_000_000 + 80_600_000 * patches)


class MemoryManager:
    """Measures one compute device ("cpu", "cuda", "cuda:1"; None chooses) and the host."""

    def __init__(self, device: str | torch.device | None = "cpu", memory_threshold: float = 0.8) -> None:
        """`memory_threshold` is the share of memory in use above which caches are cleared.

        None is the GPU in a process that has loaded torch and sees one, else the CPU: torch is never
        imported to find out. ValueError for a device or a threshold that cannot be."""
        number = isinstance(memory_threshold, int | float) and not isinstance(memory_threshold, bool)
        if not number or not 0 <= memory_threshold <= 1:  # NaN is in no range
            raise ValueError(f"memory_threshold must be between 0 and 1, got {memory_threshold!r}.")
        self.memory_threshold = float(memory_threshold)
        if device is None:
            loaded = _loaded_torch()
            device = "cuda" if loaded is not None and loaded.cuda.is_available() else "cpu"
        self.device = str(device).strip().lower()
        kind, _, index = self.device.partition(":")
        if kind not in {"cpu", "cuda"} or not (index.isdecimal() or self.device == kind):
            raise ValueError(f"Unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:<number>'.")
        self._kind, self._index = kind, int(index or 0)

    def check_memory_usage(self) -> float:
        """Share of the device's memory in use by anybody, from 0 to 1; 0.0 for the CPU device.

        Also 0.0, with a warning, where the GPU cannot be read."""
        if self._kind == "cpu":
            return 0.0
        used_total = _gpu_by_torch(self._index) or _gpu_by_nvml(self._index)
        if used_total is None:
            _logger.warning("The memory of %s cannot be read: is a GPU and its driver there?", self.device)
            return 0.0
        used, total = used_total
        return min(1.0, used / total)

    def clear_cache(self) -> None:
        """Collect garbage, and give the GPU back what torch keeps for later."""
        gc.collect()
        loaded = _loaded_torch()
        if self._kind == "cuda" and loaded is not None and loaded.cuda.is_initialized():
            loaded.cuda.empty_cache()

    def trigger_gc_if_needed(self) -> bool:
        """Clear caches if the device (for the CPU: the host) is fuller than the threshold; True if so."""
        usage = self.host_usage() if self._kind == "cpu" else self.check_memory_usage()
        if usage <= self.memory_threshold:
            return False
        _logger.info("Memory of %s is %.0f %% full: clearing caches", self.device, usage * 100)
        self.clear_cache()
        return True

    def estimate_memory_required(
        self,
        image_size: tuple[int, int],
        *,
        references: int = 4,
        backend: str | None = None,
        top_k: int = 3,
    ) -> int:
        """Bytes that colouring one page of (width, height) pixels needs at its peak, process included.

        Memory of host and GPU together. `backend` None is cobra on a GPU, else flats. Cobra looks at `top_k`
        of the five patches of each reference for each quarter of the page.
        ValueError for a size or a count that cannot be; ConfigurationError for an unknown backend."""
        width, height = image_size
        if width < 1 or height < 1 or references < 0:
            raise ValueError(f"No image has {width} x {height} pixels and {references} references.")
        name = backend or ("cobra" if self._kind == "cuda" else "flats")
        if name not in _NEEDS:
            raise ConfigurationError(f"Unknown backend {name!r}: choose one of {', '.join(_NEEDS)}.")
        need = _NEEDS[name]
        at_work = _cobra_at_work(4 * min(top_k, 5 * references)) if name == "cobra" else 0
        return need.base + at_work + need.per_pixel * width * height + need.per_reference * references

    def host_usage(self) -> float:
        """Share of the memory this process may use that is in use, from 0 to 1."""
        total, available = _host()
        return min(1.0, max(0.0, 1 - available / total))

    def available_bytes(self) -> int:
        """Bytes that this process could still take without swapping or being killed."""
        return _host()[1]

    def rss(self) -> int:
        """Bytes of host memory that this process holds now (resident set size)."""
        import psutil

        return int(psutil.Process().memory_info().rss)


def _host() -> tuple[int, int]:
    """(total, available) bytes of the tightest limit that this process lives under."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = int(memory.total), int(memory.available)
    for limit, used in _cgroups():
        if limit < memory.total:  # "no limit" is written as a number near 2**63 in v1
            total, available = min(
                (total, available), (limit, max(0, limit - used)), key=lambda both: both[1]
            )
    return total, min(available, int(memory.available))


def _cgroups() -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of every memory control group around this process, innermost first.

    Page cache that is not in use counts as free, because the kernel drops it first. Inside a container
    the groups' paths are those of the host, and the mount shows only its own: missing ones are passed."""
    for mount, group, limit_name, used_name, cache_name in _memberships():
        path = Path(group.lstrip("/"))
        for folder in (path, *path.parents) if path.parts else (path,):
            base = mount / folder
            limit, used = _number(base / limit_name), _number(base / used_name)
            if limit is not None and used is not None:
                yield limit, max(0, used - _stat(base / "memory.stat", cache_name))


def _memberships() -> Iterator[tuple[Path, str, str, str, str]]:
    """Where the memory group of this process lies, and how its files are called, for v2 and v1."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    mount = _ROOT / "sys/fs/cgroup"
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            yield mount, group, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield mount / "memory", group, *names


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, not ours to read, or "max"
        return None


def _stat(file: Path, name: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0


def _loaded_torch() -> Any:
    """The module torch, if this process has loaded it already."""
    return sys.modules.get("torch")


def _gpu_by_torch(index: int) -> tuple[int, int] | None:
    """(used, total) bytes from torch, in a process that already computes on the GPU."""
    loaded = _loaded_torch()
    if loaded is None or not loaded.cuda.is_initialized() or index >= loaded.cuda.device_count():
        return None
    free, total = loaded.cuda.mem_get_info(index)
    return total - free, total


def _gpu_by_nvml(index: int) -> tuple[int, int] | None:
    """(used, total) bytes from the driver: costs no CUDA context and no torch."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        return None
    try:
        # CUDA counts among the devices that this variable leaves visible.
        visible = [
            part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()
        ]
        if visible and index >= len(visible):
            return None
        name = visible[index] if visible else str(index)
        if name.isdecimal():
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(name))
        else:
            handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.used), int(memory.total)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
