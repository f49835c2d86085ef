"""The NVIDIA GPUs of this machine, as their driver tells: costs no CUDA context and no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..messages import Message


@dataclass(frozen=True)
class Gpu:
    """One GPU: memory in bytes, `utilization` the share of the last moment in which it computed, 0 to 1; None where the
    driver does not say."""

    index: int
    name: str
    memory_used: int
    memory_total: int
    utilization: float | None


def read_gpus() -> tuple[Gpu, ...] | Message:
    """The GPUs as they are now, or why none can be seen."""
    try:
        import pynvml
    except ImportError:
        return Message(
            "not looked for: pip install '.[cobra]' in Lote's folder brings the library that asks the driver"
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Message("none: {error}", error=error)
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            try:
                utilization = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
            except pynvml.NVMLError:  # some tell memory alone: parts of a GPU (MIG)
                utilization = None
            name = pynvml.nvmlDeviceGetName(handle)
            found.append(Gpu(index, str(name), int(memory.used), int(memory.total), utilization))
        return tuple(found)
    except pynvml.NVMLError as error:
        return Message("none: {error}", error=error)
    finally:
        pynvml.nvmlShutdown()
