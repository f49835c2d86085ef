"""How much memory there is, how much a page needs, and giving back what is not needed."""

from .manager import MemoryManager

__all__ = ["MemoryManager"]
