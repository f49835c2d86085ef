"""The device that a backend's model runs on, and how to tell one model from another. Importing this loads no torch.

Which device and which weights are used is a fact of the machine, not a setting of a job.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..exceptions import ValidationError
from ..messages import Message

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_SAMPLE = 64 * 1024  # bytes read at start, middle and end of each file for its identity


def not_installed(packages: Sequence[str]) -> Message | None:
    """Which of these packages, all of the extra `cobra`, are not here, in a sentence."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return Message(
        "{absent} not installed: pip install '.[cobra]' in Lote's folder.", absent=", ".join(absent)
    )


def no_gpu(model: str) -> Message | None:
    """Why there is no GPU that torch can use for `model`, as far as that can be told without importing torch."""
    if platform.system() == "Darwin":
        if platform.machine() == "arm64":
            return None
        return Message("{model} needs a Mac with Apple silicon", model=model)
    if importlib.metadata.version("torch").endswith("+cpu"):
        return Message(
            "{model} needs a GPU, and the torch installed here is built without GPU support", model=model
        )
    none = Message("{model} needs a GPU, and none was found", model=model)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Message("{model} needs a GPU, and CUDA_VISIBLE_DEVICES hides all", model=model)
    if Path("/dev/kfd").exists():  # AMD
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except ImportError:
        return None if Path("/dev/nvidia0").exists() else none
    except pynvml.NVMLError:
        count = 0
    return None if count else none


def device_of(name: str | None) -> torch.device:
    """The device called `name`, or the GPU that is here. ValidationError without one."""
    import torch

    there = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if not name:
        name = next(kind for kind, count in there.items() if count)
        if name == "cpu":
            raise ValidationError(
                "torch {version} finds no GPU that it can use: look at the driver, or use --backend flats.",
                version=torch.__version__,
            )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValidationError(
            "There is no device {name}: say cpu, cuda, cuda:1 or mps.", name=repr(name)
        ) from error
    if (device.index or 0) >= there.get(device.type, 0):
        raise ValidationError(
            "torch {version} cannot use {name} here: look at the driver.",
            version=torch.__version__,
            name=name,
        )
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the host, said that it has no more memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # MPS, the CPU allocator and cuBLAS (CUBLAS_STATUS_ALLOC_FAILED) raise plain RuntimeError.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        said in text for said in ("out of memory", "not enough memory", "allocate memory", "alloc_failed")
    )


def unless_out_of_memory(work: Callable[[], T]) -> T | BaseException:
    """What `work` gives, or the error by which it ran out of memory; other errors pass.

    The error comes without the frames it rose through: they hold the very tensors that are to be freed."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = error.__context__ = None
        return error


def identity_of(files: Iterable[Path]) -> str:
    """16 hexadecimal digits that change when these files of weights do.

    Of each the size and three samples of 64 KiB are hashed: all of some gigabytes would take longer than a page."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.parent.name}/{path.name}:{size};".encode())
        with path.open("rb") as file:
            for start in (0, size // 2, max(size - _SAMPLE, 0)):
                file.seek(start)
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16]
