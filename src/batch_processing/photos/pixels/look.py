"""What one look at a photo gives, as plain values that cross the border of a process.

Promises: the fields of `Look` are columns of `tables.looks`, but for the preview, which lies in a database of its own, for
the faces, which have a table of their own, and for what it took, which its batch adds up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core.resources import Took
from ...messages import Message
from ..header_facts import LASTING
from ..people.face import Face

PREVIEW_SIDE = 256  # pixels of the longer side of a preview


@dataclass(frozen=True)
class Look:
    """What the pixels of a content tell. `width`, `height`: of the upright picture. Without a `signature` no picture was
    seen: `lacking` names what is not installed, else there is none, or nothing is left of it."""

    width: int | None = None
    height: int | None = None
    signature: bytes | None = None
    flat: bool = False
    damaged: str | None = None  # a `Damage`
    picture: bytes | None = None  # of a JPEG: SHA-256 of all that is no metadata
    quality: int | None = None  # with which it was compressed, 1 to 100
    lacking: str | None = None
    preview: bytes | None = None  # a JPEG of at most 256 pixels a side
    faces: tuple[Face, ...] | None = None  # by their place; None: nobody has looked for any
    took: Took | None = field(default=None, compare=False)  # in the worker


@dataclass(frozen=True)
class LookError:
    """A photo that could not be looked at: an `ErrorKind` or a kind of `reading`, and half a sentence that follows the
    path."""

    kind: str
    text: Message
    took: Took | None = field(default=None, compare=False)  # in the worker; None: that was killed

    @property
    def lasts(self) -> bool:
        """Whether the same readers would say the same of the same content."""
        return self.kind in LASTING
