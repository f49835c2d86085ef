"""What is known of a file from its header, as plain values that cross the border of a process.

Promises: the fields of `HeaderFacts` are the columns of `tables.facts`, with their units; whatever a file says,
each value fits into its column in any database.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..messages import Message

# The largest number in a column of type INTEGER.
MOST_PIXELS = 2**31 - 1
MOST_CAMERA = 200  # characters


class Source(StrEnum):
    """What told when a photo was taken; the strongest first."""

    EXIF = "exif"  # the header of the file itself: EXIF, and the like of it in videos
    XMP = "xmp"
    TAKEOUT = "takeout"
    NAME = "name"


class ErrorKind(StrEnum):
    """Why a header could not be read."""

    FORMAT = "format"
    HEADER = "header"
    MEMORY = "memory"
    CRASH = "crash"
    TIME = "time"
    READ = "read"
    LOST = "lost"  # the machines that were to read it


# What the same readers would say of the same content again.
LASTING = frozenset(
    [ErrorKind.FORMAT, ErrorKind.HEADER, ErrorKind.MEMORY, ErrorKind.CRASH, ErrorKind.TIME],
)


@dataclass(frozen=True)
class HeaderFacts:
    """What one header says. Pixels as stored, before `orientation` (EXIF 1 to 8); degrees, north and east positive."""

    format: str | None = None
    mismatch: bool = False  # the extension says another format
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    taken_at: str | None = (
        None  # ISO 8601: a date, or date and time, with an offset only where the source has one
    )
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None  # make and model
    taken_from: str | None = None  # a `Source`
    damaged: str | None = None  # a `Damage`
    lacking: str | None = None  # the library that is not installed, without which no more can be said
    content_id: str | None = None  # Apple's identifier, the same in both files of a Live Photo

    def columns(self) -> dict[str, str | int | float | bool | None]:
        """The values by the names of their columns."""
        return dict(vars(self))  # not `asdict`, which takes a tenth of the time of a header


@dataclass(frozen=True)
class HeaderError:
    """A header that could not be read: a kind for sorting, and half a sentence that follows the path."""

    kind: str
    text: Message

    @property
    def lasts(self) -> bool:
        """Whether the same readers would say the same of the same content."""
        return self.kind in LASTING


def pixels(width: Any, height: Any) -> tuple[int | None, int | None]:
    """A size in pixels; (None, None) for what is none."""
    if not all(isinstance(side, int | float) and math.isfinite(side) for side in (width, height)):
        return None, None
    sides = int(width), int(height)
    return sides if all(1 <= side <= MOST_PIXELS for side in sides) else (None, None)


def camera(make: Any, model: Any) -> str | None:
    """Make and model as one text, which names the make once."""
    words = [plain(text) for text in (make, model) if isinstance(text, str | bytes)]
    if len(words) == 2 and words[1].lower().startswith(words[0].lower()):
        words = words[1:]  # "Canon" and "Canon EOS 5D"
    return " ".join(word for word in words if word)[:MOST_CAMERA].strip() or None


def plain(text: str | bytes) -> str:
    """Text up to its first NUL, without what no database takes."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    shown = text.strip("\0 ").partition("\0")[0].encode("utf-8", "replace").decode()
    if not shown.isprintable():
        shown = "".join(letter for letter in shown if letter.isprintable())
    return shown.strip()
