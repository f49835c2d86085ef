"""Faces drawn by numbers: nobody's, and any number of them. The network that finds faces finds them; the one that tells
faces apart cannot tell drawings apart.

`face(7)` is a face on nothing, another number is another face; `portrait` puts faces on a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawn_photos import Pixels

SIDE = 400  # pixels a face is drawn with
# The shorter side of the box that a detector gives it, of `SIDE`.
SHARE = 0.61
SKINS = ((236, 196, 170), (222, 178, 146), (206, 160, 126), (188, 138, 106), (172, 122, 92))
HAIRS = ((40, 30, 24), (90, 60, 36), (20, 20, 22), (120, 82, 44), (70, 66, 64))


def _shade(color: tuple[int, int, int], by: float) -> tuple[int, int, int]:
    return tuple(min(255, round(value * by)) for value in color)  # type: ignore[return-value]


@cache
def face(number: int) -> Image.Image:
    """RGBA, `SIDE` pixels a side."""
    rng = np.random.default_rng([number, 31])
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
    wide, high, middle = rng.uniform(0.30, 0.34) * SIDE, rng.uniform(0.40, 0.44) * SIDE, SIDE / 2

    def oval(x: float, y: float, across: float, down: float, color: tuple[int, int, int]) -> None:
        draw.ellipse((x - across, y - down, x + across, y + down), fill=color)

    oval(middle, middle - 0.28 * high, 1.12 * wide, 0.88 * high, hair)
    oval(middle, middle, wide, high, skin)
    draw.pieslice(
        (middle - wide, middle - 1.05 * high, middle + wide, middle + 0.1 * high), 180, 360, fill=hair
    )
    oval(middle, middle - 0.02 * high, 0.9 * wide, 0.64 * high, skin)
    eyes, apart = middle - high * rng.uniform(0.10, 0.15), wide * rng.uniform(0.41, 0.46)
    for side in (-1, 1):
        x, across, down = middle + side * apart, 0.2 * wide, 0.075 * high
        oval(x, eyes, across * 1.1, down * 1.7, _shade(skin, 0.78))
        oval(x, eyes, across, down, (245, 245, 245))
        oval(x, eyes, down, down, (50, 34, 24))
        brow = (x - across * 1.2, eyes - down * 2.7, x + across * 1.2, eyes - down * 2.9)
        draw.line(brow, fill=hair, width=round(0.05 * high))
    nose = middle + high * rng.uniform(0.22, 0.27)
    draw.polygon(
        [
            (middle - 0.05 * wide, eyes),
            (middle + 0.05 * wide, eyes),
            (middle + 0.17 * wide, nose),
            (middle - 0.17 * wide, nose),
        ],
        fill=_shade(skin, 0.93),
    )
    oval(middle, nose, 0.17 * wide, 0.045 * high, _shade(skin, 0.75))
    for side in (-1, 1):
        oval(middle + side * 0.08 * wide, nose, 0.04 * wide, 0.02 * high, (60, 36, 28))
    mouth, lips = middle + high * rng.uniform(0.52, 0.57), wide * rng.uniform(0.35, 0.42)
    oval(middle, mouth, lips, 0.065 * high, (170, 70, 70))
    draw.line((middle - lips, mouth, middle + lips, mouth), fill=(90, 30, 30), width=4)
    return image.filter(ImageFilter.GaussianBlur(2.2))


def put(picture: Image.Image, number: int, size: float, x: int, y: int) -> None:
    """Put a face of which a detector sees `size` pixels with its middle at a place."""
    side = round(size / SHARE)
    small = face(number).resize((side, side), Image.Resampling.LANCZOS)
    picture.paste(small, (x - side // 2, y - side // 2), small)


def canvas(number: int, width: int, height: int) -> Image.Image:
    """A wall in soft light: two colours, and a little grain."""
    rng = np.random.default_rng([number, 32])
    colors = rng.uniform(90, 230, (2, 1, 1, 3))
    down = np.linspace(0, 1, height)[:, None, None]
    across = np.linspace(0, 1, width)[None, :, None]
    share = np.clip(0.6 * down + 0.4 * across, 0, 1)
    grain = rng.normal(0, 2, (height, width, 1))
    return Image.fromarray(
        np.clip(colors[0] * (1 - share) + colors[1] * share + grain, 0, 255).astype(np.uint8)
    )


def portrait(
    number: int, faces: Sequence[tuple[float, int, int]], width: int = 640, height: int = 480
) -> Pixels:
    """A picture with faces on it, each by its size and place; they are numbered from `number` on."""
    picture = canvas(number, width, height)
    for each, (size, x, y) in enumerate(faces):
        put(picture, number + each, size, x, y)
    return np.asarray(picture)
