"""The documented spelling of `batch_processing.memory.manager`."""

from .manager import MemoryManager

__all__ = ["MemoryManager"]
