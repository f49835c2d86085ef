"""From a flatted page to pictures: the flats, and the page with the flats under its lines.

Promises lines bit for bit: a pixel of a line that is darker than mid-gray is the input's own. Elsewhere the
picture is the flat multiplied by the page divided by its paper, so that soft edges stay soft. Works in bands,
so that a page of 70 megapixels needs no second copy of itself at any other depth.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import Layer
from .pages import Flatted

BAND = 256
"""Rows worked at a time."""


def merge(page: NDArray[np.uint8], flatted: Flatted, *, shadow: bool) -> NDArray[np.uint8]:
    """The page, (h, w, 3), with its flats below its lines; with `shadow` its own gray stays on the flats."""
    h, w = page.shape[:2]
    out = np.empty_like(page)
    table = flatted.rgb[flatted.colour].astype(np.float32)
    for rows in _bands(h):
        flats = table[_labels(flatted, rows, h, w) - 1]
        line = _enlarged(flatted.line, rows, h, w)
        light = _enlarged(flatted.shade, rows, h, w)
        gray = cv2.cvtColor(page[rows], cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        # What a line takes away from the paper around it, and nothing where there is no line.
        factor = np.clip(gray / np.maximum(light, 0.05), 0, 1)
        factor = 1 - (1 - factor) * np.clip(3 * line, 0, 1)
        if shadow:
            factor *= light
        mixed = (flats * factor[..., None] + 0.5).astype(np.uint8)
        own = (gray < 0.5) & (line > 0.5)
        out[rows] = np.where(own[..., None], page[rows], mixed)
    return out


def layers(page: NDArray[np.uint8], flatted: Flatted, *, gray: bool) -> list[Layer]:
    """An editable document: the flats, and above them the untouched page on multiply."""
    h, w = page.shape[:2]
    flats = np.empty((h, w, 4), np.uint8)
    flats[..., 3] = 255
    table = flatted.rgb[flatted.colour]
    for rows in _bands(h):
        flats[rows, :, :3] = table[_labels(flatted, rows, h, w) - 1]
    # A gray page needs no colours in its line layer, and gets its own values back exactly.
    line = page[..., 0].copy() if gray else np.dstack([page, np.full((h, w), 255, np.uint8)])
    return [Layer("Flats", flats), Layer("Line", line, "multiply")]


def _bands(h: int) -> Iterator[slice]:
    return (slice(top, min(h, top + BAND)) for top in range(0, h, BAND))


def _labels(flatted: Flatted, rows: slice, h: int, w: int) -> NDArray[np.int32]:
    """The rows of the labels at the page's size. Borders lie below the ink, where their steps do not show."""
    lh, lw = flatted.labels.shape
    if (lh, lw) == (h, w):
        return flatted.labels[rows]
    ys = np.minimum((np.arange(rows.start, rows.stop) * lh) // h, lh - 1)
    xs = np.minimum((np.arange(w) * lw) // w, lw - 1)
    return np.asarray(flatted.labels[ys][:, xs], np.int32)


def _enlarged(plane: NDArray[np.uint8], rows: slice, h: int, w: int) -> NDArray[np.float32]:
    """The rows of a plane at the page's size, 0 to 1."""
    ph, pw = plane.shape
    if (ph, pw) == (h, w):
        return np.asarray(plane[rows], np.float32) / np.float32(255)
    ys = (np.arange(rows.start, rows.stop) + 0.5) * ph / h - 0.5
    first = int(np.clip(np.floor(ys[0]), 0, ph - 1))
    last = int(np.clip(np.ceil(ys[-1]), 0, ph - 1)) + 1
    xs = ((np.arange(w) + 0.5) * pw / w - 0.5).astype(np.float32)
    across, down = np.meshgrid(xs, (ys - first).astype(np.float32))
    part = cv2.remap(plane[first:last], across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(part, np.float32) / np.float32(255)
