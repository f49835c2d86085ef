"""The engine: a durable ledger, isolated workers, exactly-once outputs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .processor import BatchProcessor
    from .queue import ImageQueue, ImageQueueItem
    from .status import ProcessingState, ProcessingStatus, StatusSummary, StatusTracker

_HOME = {
    "BatchProcessor": "processor",
    "ImageQueue": "queue",
    "ImageQueueItem": "queue",
    "ProcessingState": "status",
    "ProcessingStatus": "status",
    "StatusSummary": "status",
    "StatusTracker": "status",
}

__all__ = [
    "BatchProcessor",
    "ImageQueue",
    "ImageQueueItem",
    "ProcessingState",
    "ProcessingStatus",
    "StatusSummary",
    "StatusTracker",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
