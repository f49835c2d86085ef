"""How much memory there is, how much a page needs, and giving back what is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

if TYPE_CHECKING:
    from .gpus import Gpu, read_gpus
    from .manager import MemoryManager

__all__ = ["Gpu", "MemoryManager", "read_gpus"]

_HOME = {"Gpu": "gpus", "MemoryManager": "manager", "read_gpus": "gpus"}

__getattr__ = loader(__name__, _HOME)
