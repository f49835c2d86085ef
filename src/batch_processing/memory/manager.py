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
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError
from ..logging_config import get_logger
from .cgroups import memory_limits

if TYPE_CHECKING:
    import torch

__all__ = ["MemoryManager"]

_logger = get_logger(__name__)
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
    # The process with its libraries and CUDA's own; FLUX.2-klein-4B, the smallest model, in 16 bit by the sizes of its files
    # (8 GB, its text encoder 8 GB), and 4 GB at work, which nobody has measured.
    "diffusers": _Need(base=21_500_000_000, per_pixel=33, per_reference=8 * _MIB),
    # The sum of both: flats are made while the painting is still there.
    "cobra-flats": _Need(base=6_300_000_000, per_pixel=33, per_reference=8 * _MIB),
}


def _cobra_at_work(patches: int) -> int:
    """Bytes beside the weights: the larger of the enlargement and of a step with that many reference patches.

    Counted by `benchmarks/cobra.py memory` at 800 x 800. The paper measured 9.3 GB with 12 patches, model included."""
    return max(4_420_000_000, 490_000_000 + 80_600_000 * patches)


# The rest is for the coordinator, the system, and what other programs take meanwhile.
_BUDGET_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class Device:
    """A compute device: `type` is "cpu" or "cuda", `index` the number of the GPU, None where none was named.

    Equal to another, to the same `torch.device` and to its text, such as "cuda:1", whose hash it has."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        known = isinstance(other, str | Device) or type(other).__module__ == "torch"
        return str(self) == str(other) if known else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


class MemoryManager:
    """Measures one compute device ("cpu", "cuda", "cuda:1"; None chooses) and the host."""

    def __init__(self, device: str | torch.device | None = "cpu", memory_threshold: float = 0.8) -> None:
        """`memory_threshold` is the share of memory in use above which caches are cleared: above 0, at most 1.

        None is the GPU in a process that has loaded torch and sees one, else the CPU: torch is never
        imported to find out. ValueError for a device or a threshold that cannot be."""
        number = isinstance(memory_threshold, int | float) and not isinstance(memory_threshold, bool)
        if not number or not 0 < memory_threshold <= 1:  # NaN is in no range
            raise ValueError(f"memory_threshold must be between 0 and 1, got {memory_threshold!r}.")
        self.memory_threshold = float(memory_threshold)
        if device is None:
            loaded = _loaded_torch()
            device = "cuda" if loaded is not None and loaded.cuda.is_available() else "cpu"
        named = str(device).strip().lower()
        kind, _, index = named.partition(":")
        if kind not in {"cpu", "cuda"} or not (index.isdecimal() or named == kind):
            raise ValueError(f"Unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:<number>'.")
        self.device = Device(kind, int(index) if index else None)

    def check_memory_usage(self) -> float:
        """Share of the device's memory in use by anybody, from 0 to 1; 0.0 for the CPU device.

        Also 0.0, with a warning, where the GPU cannot be read."""
        if self.device.type == "cpu":
            return 0.0
        index = self.device.index or 0
        used_total = _gpu_by_torch(index) or _gpu_by_nvml(index)
        if used_total is None:
            _logger.warning("The memory of %s cannot be read: is a GPU and its driver there?", self.device)
            return 0.0
        used, total = used_total
        return min(1.0, used / total)

    def clear_cache(self) -> None:
        """Collect garbage, and give the GPU back what torch keeps for later."""
        gc.collect()
        loaded = _loaded_torch()
        if self.device.type == "cuda" and loaded is not None and loaded.cuda.is_initialized():
            loaded.cuda.empty_cache()

    def trigger_gc_if_needed(self) -> bool:
        """Clear caches if the device (for the CPU: the host) is fuller than the threshold; True if so."""
        usage = self.host_usage() if self.device.type == "cpu" else self.check_memory_usage()
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
        """Bytes that colouring one page of (width, height) pixels needs at its peak.

        With `backend` everything, the process, its model and `references` included, in the memory of host and GPU
        together; cobra looks at `top_k` of the five patches of each reference for each quarter of the page.
        Without, the arrays of the page alone, in cobra on a GPU, else in flats: so many bytes for each pixel.
        ValueError for a size or a count that cannot be; ConfigurationError for an unknown backend."""
        width, height = image_size
        if width < 1 or height < 1 or references < 0:
            raise ValueError(f"No image has {width} x {height} pixels and {references} references.")
        name = backend or ("cobra" if self.device.type == "cuda" else "flats")
        if name not in _NEEDS:
            raise ConfigurationError(
                "Unknown backend {name}: choose one of {known}.", name=repr(name), known=", ".join(_NEEDS)
            )
        need = _NEEDS[name]
        arrays = need.per_pixel * width * height
        if backend is None:
            return arrays
        at_work = _cobra_at_work(4 * min(top_k, 5 * references)) if name.startswith("cobra") else 0
        return need.base + at_work + arrays + need.per_reference * references

    def host_usage(self) -> float:
        """Share of the memory this process may use that is in use, from 0 to 1."""
        total, available = _host()
        return min(1.0, max(0.0, 1 - available / total))

    def total_bytes(self) -> int:
        """Bytes of memory that this process may use at most: the machine's, or what its container has of them."""
        import psutil

        return min(int(psutil.virtual_memory().total), *(limit for limit, _ in memory_limits()), sys.maxsize)

    def available_bytes(self) -> int:
        """Bytes that this process could still take without swapping or being killed."""
        return _host()[1]

    def budget(self) -> int:
        """Bytes that pages in flight may need together: most of what could be taken now."""
        return int(self.available_bytes() * _BUDGET_SHARE)

    def rss(self) -> int:
        """Bytes of host memory that this process holds now (resident set size)."""
        import psutil

        return int(psutil.Process().memory_info().rss)


def _host() -> tuple[int, int]:
    """(total, available) bytes of the tightest limit that this process lives under."""
    import psutil

    memory = psutil.virtual_memory()
    total, available = int(memory.total), int(memory.available)
    for limit, used in memory_limits():
        if limit < memory.total:  # "no limit" is written as a number near 2**63 in v1
            total, available = min(
                (total, available), (limit, max(0, limit - used)), key=lambda both: both[1]
            )
    return total, min(available, int(memory.available))


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
