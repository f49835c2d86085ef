"""Every error that Lote raises on purpose.

    BatchProcessingError
    ├── ImageProcessingError        one image cannot be read, coloured or written
    │   └── ClassificationError     its kind cannot be told
    ├── ConfigurationError          a setting is wrong (all wrong settings at once)
    ├── ResourceError               memory, disk or GPU run out; may go away by itself
    ├── QueueError                  the ledger cannot do what was asked
    │   └── WorkspaceError          the workspace cannot be opened or locked at all
    ├── ValidationError             an input is missing, empty or not what it says
    │   ├── OutputExistsError       the output holds files that are not this job's
    │   └── NoArchiveError          an input that should be an archive is none
    ├── ZIPExtractionError          an archive is damaged or not safe to unpack
    └── Cancelled                   somebody asked for the work to stop

An error holds a `sentence` for a person: what is wrong, with which file, what to do. It is a template and
its values (messages.py), so that the command line, the page and the report show it in the language of
whoever looks; `str(error)` is English. Nothing ever looks for words in that text: who wants to know what
happened asks for the class, its `code`, or the values.

`code` names the kind of error in JSON. `exit_code` is what `lote` returns when the error ends a run.
`retryable` says whether the same call can succeed later without anybody changing its input.
Every error survives pickling, because errors travel from workers to the coordinator.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from .messages import N_, Message, as_message, joined

__all__ = [
    "BatchProcessingError",
    "Cancelled",
    "ClassificationError",
    "ConfigurationError",
    "ImageProcessingError",
    "NoArchiveError",
    "OutputExistsError",
    "QueueError",
    "ResourceError",
    "ValidationError",
    "WorkspaceError",
    "ZIPExtractionError",
]


IMAGE = N_("Error processing {image_path}: {message}")


def reason(error: BaseException) -> Message:
    """What went wrong, where the system said it in the system's words: without its number."""
    if isinstance(error, BatchProcessingError):
        return error.sentence
    for said in (getattr(error, "strerror", None), *error.args[:1]):
        if isinstance(said, Message):
            return said
    return Message(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def incident(error: OSError) -> Message:
    """The same, with the file that it happened to where the system names one."""
    name = error.filename
    return (
        joined((os.fsdecode(name), reason(error)), ": ") if isinstance(name, str | bytes) else reason(error)
    )


def beside(message: Message) -> Message:
    """The message of an image's error without the image's name, for where that stands beside it."""
    inner = message.values.get("message")
    return inner if message.template == IMAGE and isinstance(inner, Message) else message


class BatchProcessingError(Exception):
    """The run cannot go on; the text says why."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, template: str | Message = "", /, **values: Any) -> None:
        self.sentence = as_message(template, **values)
        super().__init__(self.sentence)

    def __str__(self) -> str:
        return str(self.sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sentence,)


class ImageProcessingError(BatchProcessingError):
    """One image cannot be read, coloured or written; the other images go on.

    `message` is what is wrong with it, in English; `why` is the same, to be translated."""

    code = "image"
    exit_code = 3

    def __init__(self, image_path: str | Path, message: str | Message, **values: Any) -> None:
        self.image_path = image_path
        self.why = as_message(message, **values)
        self.message = str(self.why)
        super().__init__(IMAGE, image_path=image_path, message=self.why)

    def __reduce__(self) -> tuple[type[ImageProcessingError], tuple[str | Path, Message]]:
        return type(self), (self.image_path, self.why)


class ClassificationError(ImageProcessingError):
    """The kind of one image cannot be told, because it cannot be measured."""

    code = "classification"


class ConfigurationError(BatchProcessingError):
    """One or more settings are wrong; the text names them all."""

    code = "configuration"
    exit_code = 2


class ResourceError(BatchProcessingError):
    """Memory, disk space or the GPU ran out; the same work can succeed later."""

    code = "resource"
    retryable = True


class QueueError(BatchProcessingError):
    """The queue or the ledger cannot do what was asked of it in its present state."""

    code = "queue"


class WorkspaceError(QueueError):
    """The workspace cannot be opened or locked at all (permissions, network file system)."""

    code = "workspace"
    exit_code = 11


class ValidationError(BatchProcessingError):
    """An input is missing, empty, or not what its name says."""

    code = "validation"


class OutputExistsError(ValidationError):
    """The output holds files that this job did not write; they are never touched unasked."""

    code = "output_exists"


class NoArchiveError(ValidationError):
    """An input that should hold pages is empty, or no archive or document that can be read."""

    code = "archive"
    exit_code = 12


class ZIPExtractionError(BatchProcessingError):
    """An archive is damaged, or is not safe to unpack; nothing of it was kept."""

    code = "archive"
    exit_code = 12


class Cancelled(BatchProcessingError):  # noqa: N818 - an outcome that was asked for, not a fault
    """The work was stopped because somebody asked for it."""

    code = "cancelled"
    exit_code = 4
