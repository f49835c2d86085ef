"""How much memory there is, how much a page needs, and giving back what is not needed."""

from .gpus import Gpu, read_gpus
from .manager import MemoryManager

__all__ = ["Gpu", "MemoryManager", "read_gpus"]
