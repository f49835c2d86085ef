"""Every error that Lote raises on purpose.

    BatchProcessingError
    ├── ImageProcessingError        one image cannot be read, coloured or written
    │   └── ClassificationError     its kind cannot be told
    ├── ConfigurationError          a setting is wrong (all wrong settings at once)
    ├── ResourceError               memory, disk or GPU run out; may go away by itself
    ├── QueueError                  the ledger cannot do what was asked
    │   └── WorkspaceError          the workspace cannot be opened or locked at all
    ├── ValidationError             an input is missing, empty or not what it says
    │   └── OutputExistsError       the output holds files that are not this job's
    ├── ZIPExtractionError          an archive is damaged or not safe to unpack
    └── Cancelled                   somebody asked for the work to stop

The text of an error is one sentence for a person: what is wrong, with which file, what to do.
It is English; the command line and the web page translate what they show.
`exit_code` is what `lote` returns when the error ends a run. `retryable` says whether the same
call can succeed later without anybody changing its input.
Every error survives pickling, because errors travel from workers to the coordinator.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

__all__ = [
    "BatchProcessingError",
    "Cancelled",
    "ClassificationError",
    "ConfigurationError",
    "ImageProcessingError",
    "OutputExistsError",
    "QueueError",
    "ResourceError",
    "ValidationError",
    "WorkspaceError",
    "ZIPExtractionError",
]


def reason(error: BaseException) -> str:
    """What went wrong, where the system said it in the system's words: without its number."""
    return getattr(error, "strerror", None) or str(error)


def incident(error: OSError) -> str:
    """The same, with the file that it happened to where the system names one."""
    name = error.filename
    return f"{os.fsdecode(name)}: {reason(error)}" if isinstance(name, str | bytes) else reason(error)


def why(error: str | None, image_path: str) -> str:
    """The text of an image's error without the image's name, for where that stands beside it; "" for none."""
    return (error or "").removeprefix(f"Error processing {image_path}: ")


class BatchProcessingError(Exception):
    """The run cannot go on; the text says why."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class ImageProcessingError(BatchProcessingError):
    """One image cannot be read, coloured or written; the other images go on."""

    exit_code = 3

    def __init__(self, image_path: str | Path, message: str) -> None:
        super().__init__(f"Error processing {image_path}: {message}")
        self.image_path = image_path
        self.message = message

    def __reduce__(self) -> tuple[type[ImageProcessingError], tuple[str | Path, str]]:
        return type(self), (self.image_path, self.message)


class ClassificationError(ImageProcessingError):
    """The kind of one image cannot be told, because it cannot be measured."""


class ConfigurationError(BatchProcessingError):
    """One or more settings are wrong; the text names them all."""

    exit_code = 2


class ResourceError(BatchProcessingError):
    """Memory, disk space or the GPU ran out; the same work can succeed later."""

    retryable = True


class QueueError(BatchProcessingError):
    """The queue or the ledger cannot do what was asked of it in its present state."""


class WorkspaceError(QueueError):
    """The workspace cannot be opened or locked at all (permissions, network file system)."""

    exit_code = 11


class ValidationError(BatchProcessingError):
    """An input is missing, empty, or not what its name says."""


class OutputExistsError(ValidationError):
    """The output holds files that this job did not write; they are never touched unasked."""


class ZIPExtractionError(BatchProcessingError):
    """An archive is damaged, or is not safe to unpack; nothing of it was kept."""

    exit_code = 12


class Cancelled(BatchProcessingError):  # noqa: N818 - an outcome that was asked for, not a fault
    """The work was stopped because somebody asked for it."""

    exit_code = 4
