"""Lote: process large sets of images in batches, safely and fast.

Two applications stand on one engine: colouring whole comics (`colorize_comic`, `BatchProcessor`)
and scanning whole photo libraries (`batch_processing.photos`). Importing this package is light:
each public name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import loader

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .classification import ImageClassifier, ImageType
    from .colorize import colorize_comic, layers, palette, recolor, review
    from .config import BatchConfig, ConfigurationHandler
    from .core import BatchProcessor, ImageQueue, ImageQueueItem, ProcessingState, StatusTracker
    from .exceptions import (
        BatchProcessingError,
        ClassificationError,
        ConfigurationError,
        ImageProcessingError,
        QueueError,
        ResourceError,
        ValidationError,
        ZIPExtractionError,
    )
    from .library import LibraryResult, colorize_library
    from .logging_config import get_logger, setup_logging
    from .memory import MemoryManager
    from .results import JobResult, PageResult, PaletteEntry, Region

_HOME = {
    "BatchConfig": "config",
    "BatchProcessingError": "exceptions",
    "BatchProcessor": "core",
    "ClassificationError": "exceptions",
    "ConfigurationError": "exceptions",
    "ConfigurationHandler": "config",
    "ImageClassifier": "classification",
    "ImageProcessingError": "exceptions",
    "ImageQueue": "core",
    "ImageQueueItem": "core",
    "ImageType": "classification",
    "JobResult": "results",
    "LibraryResult": "library",
    "MemoryManager": "memory",
    "PageResult": "results",
    "PaletteEntry": "results",
    "ProcessingState": "core",
    "QueueError": "exceptions",
    "Region": "results",
    "ResourceError": "exceptions",
    "StatusTracker": "core",
    "ValidationError": "exceptions",
    "ZIPExtractionError": "exceptions",
    "colorize_comic": "colorize",
    "colorize_library": "library",
    "get_logger": "logging_config",
    "layers": "colorize",
    "palette": "colorize",
    "recolor": "colorize",
    "review": "colorize",
    "setup_logging": "logging_config",
}

__all__ = [
    "BatchConfig",
    "BatchProcessingError",
    "BatchProcessor",
    "ClassificationError",
    "ConfigurationError",
    "ConfigurationHandler",
    "ImageClassifier",
    "ImageProcessingError",
    "ImageQueue",
    "ImageQueueItem",
    "ImageType",
    "JobResult",
    "LibraryResult",
    "MemoryManager",
    "PageResult",
    "PaletteEntry",
    "ProcessingState",
    "QueueError",
    "Region",
    "ResourceError",
    "StatusTracker",
    "ValidationError",
    "ZIPExtractionError",
    "__version__",
    "colorize_comic",
    "colorize_library",
    "get_logger",
    "layers",
    "palette",
    "recolor",
    "review",
    "setup_logging",
]

__getattr__ = loader(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
