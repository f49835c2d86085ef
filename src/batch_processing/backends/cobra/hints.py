"""Reads the colour hints beside a page into one RGBA picture, transparent but for what was painted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageDraw

from ...exceptions import ImageProcessingError

# Of a page's longer side: 16 pixels of a bucket of 800, the size of hint that the model was trained with.
MARK = 16 / 800


def read_hints(path: Path, size: tuple[int, int]) -> Image.Image:
    """The hints of a page of `size` (width, height), in its own pixels.

    `.png`: coloured strokes on a transparent ground. `.json`: "points" with x, y and color, "strokes" with
    points, color and optionally width. Entries with a palette's id instead of a color are not for Cobra.
    ImageProcessingError for a file that cannot be read or does not fit the page."""
    if path.suffix.lower() == ".json":
        return _drawn(path, size)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != size:
                raise ImageProcessingError(
                    path,
                    f"the hints {path.name} have {image.width} x {image.height} pixels, "
                    f"the page {size[0]} x {size[1]}: save them at the page's size.",
                )
            return image.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageProcessingError(path, f"the hints {path.name} cannot be read: {error}") from error


def _drawn(path: Path, size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGBA", size)
    draw = ImageDraw.Draw(picture)
    mark = max(1, round(MARK * max(size)))
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        for point in read.get("points", ()):
            if "color" in point:
                x, y = float(point["x"]), float(point["y"])
                box = (x - mark / 2, y - mark / 2, x + mark / 2, y + mark / 2)
                draw.rectangle(box, fill=_colour(point["color"]))
        for stroke in read.get("strokes", ()):
            if "color" in stroke:
                corners = [(float(x), float(y)) for x, y in stroke["points"]]
                draw.line(corners, fill=_colour(stroke["color"]), width=round(stroke.get("width", mark)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ImageProcessingError(
            path, f"the hints {path.name} cannot be understood ({type(error).__name__}: {error})."
        ) from error
    return picture


def _colour(value: Any) -> tuple[int, int, int, int]:
    """A colour as "#rrggbb", or as three numbers 0..255."""
    red, green, blue = ImageColor.getrgb(value)[:3] if isinstance(value, str) else (int(v) for v in value)
    return red, green, blue, 255
