"""A photo as large as a screen, of every format that a look at it can read. Runs in a worker, like the look.

Promises: what `decoding` promises of hostile files; the picture is upright, in sRGB, and holds no metadata.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.workers import Progress
from ...exceptions import ResourceError, ValidationError
from ...io.profiles import to_srgb
from ...io.publish import SaveFile
from . import decoding
from .decoding import NotDecodedError

QUALITY = 84


@dataclass(frozen=True)
class Enlarge:
    """Work of the engine: write a WebP of the photo at `path`, which had this size and time when it was hashed, with at most
    `longest` pixels a side to `target`. `box`: only that part of the upright picture (x, y, width, height as fractions),
    and so large."""

    path: bytes
    size: int
    mtime_ns: int
    target: str
    longest: int
    box: tuple[float, float, float, float] | None = None

    def run(self, progress: Progress) -> None:
        from PIL import Image

        least = self.longest
        if self.box is not None:
            least = round(self.longest / max(0.02, min(self.box[2:])))
        try:
            found = decoding.decode(self.path, self.size, self.mtime_ns, least=least)
        except NotDecodedError as error:
            raise ValidationError(
                "The photo cannot be shown: it {reason}.", reason=error.error.text
            ) from error
        if found.bgr is None:
            raise ResourceError("Nothing that is installed here reads this photo's pixels.")
        picture = Image.fromarray(to_srgb(np.ascontiguousarray(found.bgr[:, :, ::-1]), found.profile or None))
        if self.box is not None:
            picture = picture.crop(_pixels(self.box, picture.size))
        picture.thumbnail((self.longest, self.longest), Image.Resampling.LANCZOS)
        with SaveFile(Path(self.target)) as file:
            picture.save(file, "WEBP", quality=QUALITY, method=2)


@dataclass(frozen=True)
class CutPreview:
    """Work of the engine: write the part `box` of a preview (a JPEG of ours) to `target`, for photos that are not there
    now."""

    jpeg: bytes
    target: str
    longest: int
    box: tuple[float, float, float, float]

    def run(self, progress: Progress) -> None:
        from PIL import Image

        with Image.open(io.BytesIO(self.jpeg), formats=["JPEG"]) as image:
            picture = image.convert("RGB").crop(_pixels(self.box, image.size))
        picture.thumbnail((self.longest, self.longest))
        with SaveFile(Path(self.target)) as file:
            picture.save(file, "WEBP", quality=QUALITY, method=2)


def _pixels(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A part of a picture in its pixels; never empty."""
    x, y, width, height = box
    left, top = (min(max(0, round(at * side)), side - 1) for at, side in zip((x, y), size, strict=True))
    right, bottom = (
        max(start + 1, min(side, round((at + part) * side)))
        for at, part, side, start in zip((x, y), (width, height), size, (left, top), strict=True)
    )
    return left, top, right, bottom
