"""The engine: a durable ledger, isolated workers, exactly-once outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

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

__getattr__ = loader(__name__, _HOME)
