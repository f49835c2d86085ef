"""From a flatted page to pictures: the flats, and the page with the flats under its lines.

Promises lines bit for bit: a pixel of a line that is darker than mid-gray is the input's own. Elsewhere the
picture is the flat multiplied by the page divided by its paper, so that soft edges stay soft. Works in bands,
so that a page of 70 megapixels needs no second copy of itself at any other depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def layers(page: NDArray[np.uint8], flatted: Flatted, *, gray: bool, by: Sequence[str] = ()) -> list[Layer]:
    """An editable document: the flats, and above them the untouched page on multiply.

    `by` "panel" parts the flats into a group for each panel, the first uppermost, with what lies outside of panels
    below; by "color" into a layer for each colour, the largest lowest; by both into the colours of each panel."""
    h, w = page.shape[:2]
    # A gray page needs no colours in its line layer, and gets its own values back exactly.
    line = page[..., 0].copy() if gray else np.dstack([page, np.full((h, w), 255, np.uint8)])
    return [*_flats(flatted, h, w, by), Layer("Line", line, "multiply", own=True)]


def _flats(flatted: Flatted, h: int, w: int, by: Sequence[str]) -> Iterator[Layer]:
    of_panel = flatted.panel if "panel" in by else np.full(len(flatted.panel), -1, np.int32)
    inside = np.unique(of_panel[of_panel >= 0]).tolist()
    groups = [-1, *reversed(inside)]
    for panel in groups:
        here = np.flatnonzero(of_panel == panel)
        if not here.size:
            continue
        group = f"Panel {panel + 1}" if panel >= 0 else "Outside of panels" if inside else ""
        if "color" not in by:
            yield _part(flatted, here, h, w, "Flats", group, None)
            continue
        rows = flatted.colour[here]
        area = np.bincount(rows, flatted.area[here])
        # Without panels they need a group as well: a page has some twenty colours.
        for row in sorted(set(rows.tolist()), key=lambda row: (-area[row], row)):
            number = int(flatted.ids[row])
            name = f"Colour {number}" if number else "Paper"
            yield _part(flatted, here[rows == row], h, w, name, group or "Flats", number)


def _part(
    flatted: Flatted, regions: NDArray[np.intp], h: int, w: int, name: str, group: str, colour: int | None
) -> Layer:
    """A layer of some regions, cut to where they are; its pixels are made when it is written."""
    lh, lw = flatted.labels.shape
    box = flatted.box[regions]
    # A pixel more at each side than the boxes say at work size: rounding must not cut.
    left = max(0, int(box[:, 0].min() * w / lw) - 1)
    top = max(0, int(box[:, 1].min() * h / lh) - 1)
    right = min(w, int(np.ceil(box[:, 2].max() * w / lw)) + 1)
    bottom = min(h, int(np.ceil(box[:, 3].max() * h / lh)) + 1)
    table = np.zeros((len(flatted.colour), 4), np.uint8)
    table[regions, :3] = flatted.rgb[flatted.colour[regions]]
    table[regions, 3] = 255

    def pixels() -> NDArray[np.uint8]:
        made = np.empty((bottom - top, right - left, 4), np.uint8)
        for rows in _bands(bottom - top):
            whole = slice(rows.start + top, rows.stop + top)
            made[rows] = table[_labels(flatted, whole, h, w)[:, left:right] - 1]
        return made

    # One layer alone is at hand; of many, one at a time is made when the document is written.
    whole_page = len(regions) == len(flatted.colour)
    made = pixels() if whole_page else pixels
    return Layer(name, made, group=group, left=left, top=top, colour=colour)


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
