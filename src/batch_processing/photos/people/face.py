"""The noun of this room: a face on a picture.

An embedding is a unit vector of 128 numbers times 317, rounded to int8: dot products of two are exact whole numbers,
the same on every machine and in every order. `SCALE` ** 2 is a cosine of 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 128
SCALE = 317
# A face of this score and size makes people; a weaker one, down to the second pair, only joins them.
CORE_SCORE, CORE_PX = 0.8, 28.0
LEAST_SCORE, LEAST_PX = 0.6, 16.0


# Stands for the model of a face that a person vouches for, in the tables; its number there is that of its row.
BY_HAND = ""


class FaceKind(StrEnum):
    """How a face came to be known: FOUND by a model, DRAWN by a person; IGNORED is nobody whom anybody looks for."""

    FOUND = "found"
    DRAWN = "drawn"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Face:
    """A face on a picture that was looked at. Box and landmarks (five points: eyes, nose, corners of the mouth) are
    fractions of the upright picture's width and height; `score` 0 to 1; `quality` is the shorter side of the box in pixels
    of the picture that was looked at; `embedding` holds `DIMENSIONS` int8, or is None where it was too weak for one."""

    x: float
    y: float
    w: float
    h: float
    score: float
    quality: float
    landmarks: tuple[tuple[float, float], ...]
    embedding: bytes | None


class FaceFinder(Protocol):
    """What finds and describes faces. `name` goes into the tables: other networks or thresholds have another one."""

    @property
    def name(self) -> str: ...

    def faces(self, upright: NDArray[np.uint8]) -> Sequence[Face]:
        """The faces on an upright picture as it was decoded (height x width x BGR, 8 bit), by their place: from above,
        then from the left. The same for the same picture, always."""


class FaceSource(Protocol):
    """Where a worker gets its finder from: a dataclass of plain values, which is sent to it. `name` is the finder's."""

    @property
    def name(self) -> str: ...

    def __hash__(self) -> int: ...

    @property
    def side(self) -> int:
        """The longer side, in pixels, of the picture that a finder wants; one that is smaller is taken as it is."""

    def finder(self) -> FaceFinder:
        """Open the networks; in a worker, once for all of its photos."""
