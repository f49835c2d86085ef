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
TONE = 0.9
"""Brightness between the lines, of the paper's, from which on there may be a screen of dots."""


def merge(page: NDArray[np.uint8], flatted: Flatted, *, shadow: bool) -> NDArray[np.uint8]:
    """The page, (h, w, 3), with its flats below its lines; with `shadow` its own gray stays on the flats."""
    h, w = page.shape[:2]
    out = np.empty_like(page)
    table = flatted.rgb[flatted.colour].astype(np.float32)
    # The thinnest line of a large page is spread over a pixel at work size; the rim of a thick one may lie beside
    # its pixels there, and one at a corner is weak. In tone, what lies beside a line is a dot.
    sure = 0.5 * min(1.0, flatted.labels.shape[1] / w)
    near = np.asarray(cv2.dilate(flatted.line, np.ones((3, 3), np.uint8)), np.uint8)
    near[flatted.shade < 255 * TONE] = 0
    near = np.maximum(near, flatted.line)
    for rows in _bands(h):
        flats = table[_labels(flatted, page, rows) - 1]
        line = _enlarged(flatted.line, rows, h, w)
        light = _enlarged(flatted.shade, rows, h, w)
        gray = cv2.cvtColor(page[rows], cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        # What a line takes away from the paper around it, and nothing where there is no line.
        factor = np.clip(gray / np.maximum(light, 0.05), 0, 1)
        factor = 1 - (1 - factor) * np.clip(3 * line, 0, 1)
        if shadow:
            factor *= light
        mixed = (flats * factor[..., None] + 0.5).astype(np.uint8)
        own = (gray < 0.5) & (_enlarged(near, rows, h, w) > sure)
        out[rows] = np.where(own[..., None], page[rows], mixed)
    return out


def layers(page: NDArray[np.uint8], flatted: Flatted, *, gray: bool, by: Sequence[str] = ()) -> list[Layer]:
    """An editable document: the flats, and above them the untouched page on multiply.

    `by` "panel" parts the flats into a group for each panel, the first uppermost, with what lies outside of panels
    below; by "color" into a layer for each colour, the largest lowest; by both into the colours of each panel."""
    h, w = page.shape[:2]
    # A gray page needs no colours in its line layer, and gets its own values back exactly.
    line = page[..., 0].copy() if gray else np.dstack([page, np.full((h, w), 255, np.uint8)])
    return [*_flats(flatted, page, by), Layer("Line", line, "multiply", own=True)]


def _flats(flatted: Flatted, page: NDArray[np.uint8], by: Sequence[str]) -> Iterator[Layer]:
    of_panel = flatted.panel if "panel" in by else np.full(len(flatted.panel), -1, np.int32)
    inside = np.unique(of_panel[of_panel >= 0]).tolist()
    groups = [-1, *reversed(inside)]
    for panel in groups:
        here = np.flatnonzero(of_panel == panel)
        if not here.size:
            continue
        group = f"Panel {panel + 1}" if panel >= 0 else "Outside of panels" if inside else ""
        if "color" not in by:
            yield _part(flatted, page, here, "Flats", group, None)
            continue
        rows = flatted.colour[here]
        area = np.bincount(rows, flatted.area[here])
        # Without panels they need a group as well: a page has some twenty colours.
        for row in sorted(set(rows.tolist()), key=lambda row: (-area[row], row)):
            number = int(flatted.ids[row])
            name = f"Colour {number}" if number else "Paper"
            yield _part(flatted, page, here[rows == row], name, group or "Flats", number)


def _part(
    flatted: Flatted,
    page: NDArray[np.uint8],
    regions: NDArray[np.intp],
    name: str,
    group: str,
    colour: int | None,
) -> Layer:
    """A layer of some regions, cut to where they are; its pixels are made when it is written."""
    (h, w), (lh, lw) = page.shape[:2], flatted.labels.shape
    box = flatted.box[regions]
    # More at each side than the boxes say at work size: borders move by so much at the page's own.
    more = NEAR + 1 if (h, w) != (lh, lw) else 0
    left = max(0, int((box[:, 0].min() - more) * w / lw))
    top = max(0, int((box[:, 1].min() - more) * h / lh))
    right = min(w, int(np.ceil((box[:, 2].max() + more) * w / lw)))
    bottom = min(h, int(np.ceil((box[:, 3].max() + more) * h / lh)))
    table = np.zeros((len(flatted.colour), 4), np.uint8)
    table[regions, :3] = flatted.rgb[flatted.colour[regions]]
    table[regions, 3] = 255

    def pixels() -> NDArray[np.uint8]:
        made = np.empty((bottom - top, right - left, 4), np.uint8)
        for rows in _bands(bottom - top):
            whole = slice(rows.start + top, rows.stop + top)
            made[rows] = table[_labels(flatted, page, whole, slice(left, right)) - 1]
        return made

    # One layer alone is at hand; of many, one at a time is made when the document is written.
    whole_page = len(regions) == len(flatted.colour)
    made = pixels() if whole_page else pixels
    return Layer(name, made, group=group, left=left, top=top, colour=colour)


def _bands(h: int) -> Iterator[slice]:
    return (slice(top, min(h, top + BAND)) for top in range(0, h, BAND))


NEAR = 2
"""Pixels at work size by which a border may lie off its line."""
INK = 0.7
"""Brightness relative to the paper below which a pixel of the page stops the colours beside it."""


def _labels(
    flatted: Flatted, page: NDArray[np.uint8], rows: slice, columns: slice = slice(None)
) -> NDArray[np.int32]:
    """Part of the labels at the page's size. Near borders they grow anew between the page's own lines, so that
    flats meet below the line also where that is narrower than a step of the labels."""
    (h, w), (lh, lw) = page.shape[:2], flatted.labels.shape
    left, right, _ = columns.indices(w)
    if (lh, lw) == (h, w):
        return flatted.labels[rows, left:right]
    step = int(np.ceil(max(h / lh, w / lw)))
    waves = 3 * NEAR * step
    # What lies further off than two rounds of waves has no say.
    top, bottom = max(0, rows.start - 2 * waves), min(h, rows.stop + 2 * waves)
    first, last = max(0, left - 2 * waves), min(w, right + 2 * waves)
    ys, xs = (np.arange(top, bottom) * lh) // h, (np.arange(first, last) * lw) // w
    y0, y1 = max(0, int(ys[0]) - NEAR), int(ys[-1]) + 1 + NEAR
    labels = flatted.labels[y0:y1]
    window = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    at = labels.astype(np.float32)  # which OpenCV can erode, and holds numbers to 16 million
    border = (cv2.dilate(at, window) != cv2.erode(at, window))[ys - y0][:, xs]
    out = labels[ys - y0][:, xs]
    light = _enlarged(flatted.shade, slice(top, bottom), h, w)[:, first:last]
    gray = cv2.cvtColor(np.ascontiguousarray(page[top:bottom, first:last]), cv2.COLOR_RGB2GRAY)
    ink = gray < 255 * INK * light
    grown = np.where(border | ink, 0, out)
    _spread(grown, border & ~ink, waves)
    grown = np.where((grown == 0) & ~border, out, grown)
    _spread(grown, border & ink, waves)
    grown = np.where(grown == 0, out, grown)
    return np.asarray(grown[rows.start - top : rows.stop - top, left - first : right - first], np.int32)


def _spread(labels: NDArray[np.int32], free: NDArray[np.bool_], waves: int) -> None:
    """Let labels grow into the pixels that are free, 0 so far, by one pixel a wave."""
    h, w = labels.shape
    flat = labels.reshape(-1)
    todo = np.flatnonzero(free)
    for _ in range(waves):
        if not todo.size:
            break
        y, x = np.divmod(todo, w)
        found = np.zeros(todo.size, np.int32)
        for inside, way in ((x > 0, -1), (x < w - 1, 1), (y > 0, -w), (y < h - 1, w)):
            found = np.where((found == 0) & inside, flat[np.clip(todo + way, 0, flat.size - 1)], found)
        flat[todo] = found
        todo = todo[found == 0]


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
