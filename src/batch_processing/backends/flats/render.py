"""From a flatted page to pictures: the flats, and the page with the flats under its lines.

A drawn page is its layers put together, pixel for pixel: the flats, what they are multiplied with, and on top the
line pixels that are kept. Kept bit for bit is a pixel of a line that is darker than mid-gray and not lighter than its
flat; a lighter one would stand as a gray dot around what is dark. Elsewhere the picture is the flat multiplied by the
page divided by its paper, so that soft edges stay soft. Pages of 16 bit are drawn in 16 bit.

Works in bands, so that a page of 70 megapixels needs no second copy of itself at any other depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import Layer, Sheet
from .flatted import Flatted

if TYPE_CHECKING:
    from ...io.images import Page

BAND = 256
"""Rows worked at a time."""
TONE = 0.9
"""Brightness between the lines, of the paper's, from which on there may be a screen of dots."""


@dataclass(frozen=True)
class Drawn:
    """A page with its flats below its lines: `rgb` of 8 bit, (h, w, 3), and `native` of 16 where the page has them.

    `line`, (h, w), is what the flats were multiplied with, and `ink`, (h, w, 4), holds the pixels of lines that are
    kept as they were, transparent elsewhere: both in the depth of the page, and only where they were asked for.
    `ink` is None, too, where multiplying alone gives the page."""

    rgb: NDArray[np.uint8]
    native: NDArray[np.uint16] | None
    line: NDArray[Any] | None
    ink: NDArray[Any] | None


def draw(page: Page, flatted: Flatted, *, shadow: bool, parts: bool = False) -> Drawn:
    """The page with its flats below its lines; with `shadow` its own gray stays on the flats. With `parts` what lies
    above the flats, too."""
    h, w = page.rgb.shape[:2]
    inked = _Inked(page, flatted, shadow=shadow)
    samples, most = inked.samples, inked.most
    out = np.empty((h, w, 3), samples.dtype)
    table = flatted.rgb[flatted.color].astype(samples.dtype) * (most // 255)
    lines = np.empty((h, w), samples.dtype) if parts else None
    ink: NDArray[Any] | None = None
    for rows in _bands(h):
        flats = np.take(table, _labels(flatted, page.rgb, rows) - 1, axis=0)
        over, at, kept = inked.band(rows)
        out[rows] = _multiplied(flats, over)
        dark = _not_lighter(kept, flats[at])
        at, kept = (at[0][dark], at[1][dark]), kept[dark]
        if lines is not None:
            lines[rows] = over
            other = (out[rows][at] != kept).any(axis=1)
            if other.any():
                ink = np.zeros((h, w, 4), samples.dtype) if ink is None else ink
                opaque = np.full((int(other.sum()), 1), most, samples.dtype)
                ink[rows][at[0][other], at[1][other]] = np.concatenate([kept[other], opaque], axis=1)
        out[rows][at] = kept
    if page.native is None:
        return Drawn(out, None, lines, ink)
    return Drawn(_EIGHT_BIT[out], out, lines, ink)


_EIGHT_BIT = np.round(np.arange(65536) / 257).astype(np.uint8)


class _Inked:
    """What lies above a page's flats."""

    def __init__(self, page: Page, flatted: Flatted, *, shadow: bool) -> None:
        self.samples: NDArray[Any] = page.rgb if page.native is None else page.native
        self.most = int(np.iinfo(self.samples.dtype).max)
        self._flatted, self._shadow = flatted, shadow
        # The thinnest line of a large page is spread over a pixel at work size; the rim of a thick one may lie beside
        # its pixels there, and one at a corner is weak. In tone, what lies beside a line is a dot.
        self._sure = 0.5 * min(1.0, flatted.labels.shape[1] / page.rgb.shape[1])
        near = np.asarray(cv2.dilate(flatted.line, np.ones((3, 3), np.uint8)), np.uint8)
        near[flatted.shade < 255 * TONE] = 0
        self._near = np.maximum(near, flatted.line)

    def band(
        self, rows: slice
    ) -> tuple[NDArray[Any], tuple[NDArray[np.intp], NDArray[np.intp]], NDArray[Any]]:
        """What the flats of these rows are multiplied with; where the page's own pixel is kept unless it is lighter, and
        those pixels, (n, 3)."""
        flatted, most = self._flatted, self.most
        h, w = self.samples.shape[:2]
        line = _enlarged(flatted.line, rows, h, w)
        light = _enlarged(flatted.shade, rows, h, w)
        own = self.samples[rows]
        gray = own if own.ndim == 2 else np.asarray(cv2.cvtColor(own, cv2.COLOR_RGB2GRAY))
        share = gray.astype(np.float32) / np.float32(most)
        # What a line takes away from the paper around it, and nothing where there is no line.
        factor = np.clip(share / np.maximum(light, 0.05), 0, 1)
        factor = 1 - (1 - factor) * np.clip(3 * line, 0, 1)
        if self._shadow:
            factor *= light
        over = (factor * np.float32(most) + np.float32(0.5)).astype(self.samples.dtype)
        ys, xs = np.nonzero((share < 0.5) & (_enlarged(self._near, rows, h, w) > self._sure))
        kept = own[ys, xs] if own.ndim == 3 else np.repeat(own[ys, xs][:, None], 3, axis=1)
        return over, (ys, xs), kept


def sheet(page: Page, flatted: Flatted, *, shadow: bool) -> Sheet:
    """The page in planes of its own size, from which `draw` follows for any colours. Samples of 16 bit are rounded."""
    h, w = page.rgb.shape[:2]
    inked = _Inked(page, flatted, shadow=shadow)
    over, ink = np.empty((h, w), np.uint8), np.zeros((h, w), np.bool_)
    own = np.zeros((h, w, 3), np.uint8)
    for rows in _bands(h):
        above, at, kept = inked.band(rows)
        over[rows] = above if above.dtype == np.uint8 else _EIGHT_BIT[above]
        ink[rows][at] = True
        own[rows][at] = kept if kept.dtype == np.uint8 else _EIGHT_BIT[kept]
    return Sheet(native_labels(page.rgb, flatted), over, ink, own)


def native_labels(
    page: NDArray[np.uint8],
    flatted: Flatted,
    box: tuple[int, int, int, int] | None = None,
) -> NDArray[np.int32]:
    """The labels at the page's size: of the whole page, or of a `box` of it (left, top, right, bottom)."""
    h, w = page.shape[:2]
    left, top, right, bottom = box or (0, 0, w, h)
    made = np.empty((bottom - top, right - left), np.int32)
    for rows in _bands(bottom - top):
        whole = slice(rows.start + top, rows.stop + top)
        made[rows] = _labels(flatted, page, whole, slice(left, right))
    return made


def _not_lighter(kept: NDArray[Any], flats: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the pixels, (n, 3), are not lighter than their flats."""
    return np.asarray((kept <= flats).all(axis=1), np.bool_)


def _multiplied(flats: NDArray[Any], over: NDArray[Any]) -> NDArray[Any]:
    """Flats, (h, w, 3), multiplied by a plane, (h, w), rounded as drawing programs do."""
    if flats.dtype == np.uint8:
        return np.asarray(cv2.multiply(flats, cv2.merge([over, over, over]), scale=1 / 255))
    # No float of 32 bit holds such a product.
    product = flats.astype(np.uint32) * over[..., None]
    return np.asarray((product + 32767) // 65535, np.uint16)


def layers(page: NDArray[np.uint8], flatted: Flatted, drawn: Drawn, *, by: Sequence[str] = ()) -> list[Layer]:
    """An editable document, which put together is the drawn page: the flats, above them `Line` on multiply, and on
    top the `Ink` that is kept, where there is any.

    `by` "panel" parts the flats into a group for each panel, the first uppermost, with what lies outside of panels
    below; by "color" into a layer for each colour, the largest lowest; by both into the colours of each panel."""
    found = [*_flats(flatted, page, by)]
    if drawn.line is not None:
        found.append(Layer("Line", drawn.line, "multiply", own=True))
    if drawn.ink is not None:
        found.append(Layer("Ink", drawn.ink, own=True))
    return found


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
        rows = flatted.color[here]
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
    color: int | None,
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
    table = np.zeros((len(flatted.color), 4), np.uint8)
    table[regions, :3] = flatted.rgb[flatted.color[regions]]
    table[regions, 3] = 255

    def pixels() -> NDArray[np.uint8]:
        made = np.empty((bottom - top, right - left, 4), np.uint8)
        for rows in _bands(bottom - top):
            whole = slice(rows.start + top, rows.stop + top)
            made[rows] = table[_labels(flatted, page, whole, slice(left, right)) - 1]
        return made

    # One layer alone is at hand; of many, one at a time is made when the document is written.
    whole_page = len(regions) == len(flatted.color)
    made = pixels() if whole_page else pixels
    return Layer(name, made, group=group, left=left, top=top, color=color)


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
