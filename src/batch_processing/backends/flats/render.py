"""From labels and a palette to pictures: the flats, and the page with the flats under its lines.

Promises lines bit for bit: a pixel at least half as dark as the page's ink is the input's own. Elsewhere the
picture is the flat multiplied by the page divided by its paper, so that soft edges stay soft.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import Labels

BAND = 512
"""Rows worked at a time, so that a page of 70 megapixels needs no second copy of itself."""


def flats(labels: Labels, colour: NDArray[np.int32], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The flat colours of a page, (h, w, 3). `colour` holds the palette id of label 1 in row 0."""
    table = np.zeros((len(colour) + 1, 3), np.uint8)
    table[1:] = rgb[colour]
    return table[labels]


def merge(
    page: NDArray[np.uint8],
    under: NDArray[np.uint8],
    line: NDArray[np.float32],
    shade: NDArray[np.float32],
    *,
    shadow: bool,
) -> NDArray[np.uint8]:
    """Put a page's lines on its flats. `line` and `shade` may be smaller: they are enlarged band by band."""
    h, w = page.shape[:2]
    out = np.empty_like(page)
    for top in range(0, h, BAND):
        rows = slice(top, min(h, top + BAND))
        alpha = _band(line, rows, h, w)
        light = _band(shade, rows, h, w)
        own = page[rows].astype(np.float32)
        gray = cv2.cvtColor(page[rows], cv2.COLOR_RGB2GRAY).astype(np.float32)
        factor = np.clip(gray / 255 / np.maximum(light, 0.05), 0, 1)
        factor = 1 - (1 - factor) * np.clip(alpha * 3, 0, 1)
        if shadow:
            factor = factor * light
        mixed = under[rows] * factor[..., None]
        core = (gray < 128) & (alpha > 0.5)
        out[rows] = np.where(core[..., None], own, np.clip(mixed + 0.5, 0, 255)).astype(np.uint8)
    return out


def _band(plane: NDArray[np.float32], rows: slice, h: int, w: int) -> NDArray[np.float32]:
    """The rows of a plane enlarged to (h, w), without enlarging the rest."""
    ph, pw = plane.shape
    if (ph, pw) == (h, w):
        return plane[rows]
    ys = ((np.arange(rows.start, rows.stop) + 0.5) * ph / h - 0.5).astype(np.float32)
    xs = ((np.arange(w) + 0.5) * pw / w - 0.5).astype(np.float32)
    mx, my = np.meshgrid(xs, ys)
    return np.asarray(cv2.remap(plane, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
