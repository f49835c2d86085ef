"""Turns the colour hints beside a page into one RGBA picture, transparent but for what was painted.

The files, and what is wrong with them, are read by the same code as for flats. Without a palette an entry with an `id`
instead of a `color` is an error that says so.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from ..flats.hints import Rgb, read

# Of a page's longer side: 16 pixels of a bucket of 800, the size of hint that the model was trained with.
MARK = 16 / 800


def read_hints(path: Path, size: tuple[int, int], palette: dict[int, Rgb]) -> Image.Image:
    """The hints of a page of `size` (width, height), in its own pixels; points and strokes `MARK` wide. `palette` gives
    the colours of ids.

    ImageProcessingError for a file that cannot be read or does not fit the page."""
    hints = read(path, *size, palette)
    if hints.painted is not None:
        return Image.fromarray(hints.painted)
    picture = Image.new("RGBA", size)
    draw = ImageDraw.Draw(picture)
    width = max(1, round(MARK * max(size)))
    for stroke in hints.strokes:
        color = (*stroke.rgb, 255)
        draw.line(stroke.points, fill=color, width=width)
        for x, y in stroke.points:
            reach = width / 2
            draw.rectangle((x - reach, y - reach, x + reach, y + reach), fill=color)
    return picture
