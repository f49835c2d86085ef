"""How PNG files are written: the pixels as they are, in the smaller of two ways."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from batch_processing.io.images import encode


def written(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    encode(pixels, buffer, "png")
    return buffer.getvalue()


def filtered(pixels: NDArray[np.uint8]) -> int:
    """Bytes of the same picture with a filter for each row."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=5)
    return len(buffer.getvalue())


def flats() -> NDArray[np.uint8]:
    """Shapes of one colour each within soft black lines, (700, 500, 3)."""
    rng = np.random.default_rng(1)
    drawn = Image.new("RGB", (2000, 2800), "white")
    pen = ImageDraw.Draw(drawn)
    for _ in range(120):
        x, y, w, h = (int(v) for v in rng.integers((-200, -200, 100, 100), (1900, 2700, 700, 700)))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        pen.ellipse((x, y, x + w, y + h), fill=color, outline=(0, 0, 0), width=11)
    return np.asarray(drawn.resize((500, 700), Image.Resampling.BOX))


def painting(height: int = 700, width: int = 500) -> NDArray[np.uint8]:
    """Soft light with grain."""
    y, x = np.mgrid[:height, :width]
    light = 120 + 60 * np.sin(x / 90) + 50 * np.cos(y / 130)
    grain = np.random.default_rng(2).normal(0, 2, (height, width, 3))
    return np.clip(light[..., None] * (1.0, 0.9, 0.7) + grain, 0, 255).astype(np.uint8)


def test_flats_are_smaller_than_with_filters() -> None:
    assert len(written(flats())) < 0.9 * filtered(flats())


def test_paintings_are_no_larger_than_with_filters() -> None:
    assert len(written(painting())) == filtered(painting())


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (1, 1, 3), (601, 5, 3), (257, 9, 4)])
@pytest.mark.parametrize("kind", ["flat", "ramp", "noise"])
def test_pixels_come_back(shape: tuple[int, ...], kind: str) -> None:
    across = np.arange(shape[1]).reshape((1, -1) + (1,) * (len(shape) - 2))
    noise = np.random.default_rng(3).integers(0, 256, shape)
    values = {"flat": np.full(shape, 200), "ramp": np.broadcast_to(across, shape), "noise": noise}
    pixels = values[kind].astype(np.uint8)
    with Image.open(io.BytesIO(written(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)
