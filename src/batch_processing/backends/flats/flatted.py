"""A page's flats, which can be changed; and the strips of which a tall page is made.

A `Flatted` page is small: labels, lines and shade at work size, and a colour per region. It can be stored,
and drawn again in another palette in milliseconds, without matching anything again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import regions
from .arrays import packed, restored
from .assign import WHY
from .references import shrink

WORK_SIDE = 2200
"""Longest side in pixels at which regions are found and matched (some 3.4 megapixels)."""
STRIP = 2.5
"""Pages taller than this many times their width are worked strip by strip."""


@dataclass
class Flatted:
    """A page's regions and their colours; n regions, label i in row i - 1."""

    labels: regions.Labels
    """(h, w) at work size."""
    line: NDArray[np.uint8]
    """Strength of the line work, 0 to 255, at work size."""
    shade: NDArray[np.uint8]
    """Brightness between the lines, 0 to 255, at work size."""
    ids: NDArray[np.int32]
    """Palette ids in use, (k,), and their colours."""
    rgb: NDArray[np.uint8]
    color: NDArray[np.int32]
    """Row of `ids` for each region, (n,)."""
    confidence: NDArray[np.float32]
    reason: NDArray[np.uint8]
    """Index into WHY."""
    panel: NDArray[np.int32]
    box: NDArray[np.int32]
    """x0, y0, x1, y1 at work size, the ends exclusive."""
    area: NDArray[np.float64]

    @property
    def why(self) -> list[str]:
        return [WHY[i] for i in self.reason.tolist()]

    def painted(self, palette: dict[int, tuple[int, int, int]]) -> Flatted:
        """The same page with other colours for some ids."""
        rgb = self.rgb.copy()
        for row, number in enumerate(self.ids.tolist()):
            if number in palette:
                rgb[row] = palette[number]
        return Flatted(**(self.__dict__ | {"rgb": rgb}))

    def right_to_left(self) -> Flatted:
        """The same page with its panels numbered from the upper right, row by row."""
        count = int(self.panel.max(initial=-1)) + 1
        if count < 2:
            return self
        h, w = self.labels.shape
        boxes = [self.box[self.panel == number] for number in range(count)]
        # A number without a region of its own has no place: it goes last.
        tops = [int(box[:, 1].min(initial=h)) for box in boxes]
        rights = [int(box[:, 2].max(initial=0)) for box in boxes]
        order: list[int] = []
        waiting = sorted(range(count), key=tops.__getitem__)
        while waiting:
            low = tops[waiting[0]] + max(1, min(h, 2 * w) // 8)
            row = [number for number in waiting if tops[number] < low]
            order += sorted(row, key=lambda number: -rights[number])
            waiting = waiting[len(row) :]
        numbers = np.empty(count + 1, np.int32)
        numbers[order], numbers[-1] = np.arange(count), -1
        return Flatted(**(self.__dict__ | {"panel": numbers[self.panel]}))

    def to_bytes(self) -> bytes:
        """A file of plain arrays; the same page gives the same bytes."""
        return packed(vars(self))

    @classmethod
    def of_bytes(cls, data: bytes) -> Flatted:
        """ValueError if `data` are not of `to_bytes`."""
        return restored(cls, data)


def strips(rgb: NDArray[np.uint8], at: list[int]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """First and last row (exclusive) of each strip of a page, and the strip at work size; all have one width."""
    width = 0
    for top, bottom in pairwise(at):
        work = shrink(rgb[top:bottom], WORK_SIDE)
        if len(at) > 2 and work.shape[1] != min(rgb.shape[1], width or rgb.shape[1]):
            work = _to_width(rgb[top:bottom], width or work.shape[1])
        width = width or work.shape[1]
        yield top, bottom, work


def cuts(rgb: NDArray[np.uint8]) -> list[int]:
    """Rows at which a tall strip is cut: the emptiest near every second width, blank ones if there are any."""
    h, w = rgb.shape[:2]
    if h <= STRIP * w or h <= WORK_SIDE:
        return [0, h]
    step = max(2 * w, WORK_SIDE // 2)
    found = [0]
    while h - found[-1] > 1.5 * step:
        low, high = found[-1] + int(0.6 * step), min(h, found[-1] + int(1.2 * step))
        rows = rgb[low:high]
        ripple = rows.max(axis=(1, 2)).astype(np.int32) - rows.min(axis=(1, 2))
        # The middle of the widest quiet stretch, so that no line at its rim is cut.
        quiet = ripple <= max(24, int(ripple.min()))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
        starts, ends = edges[::2], edges[1::2]
        best = int((ends - starts).argmax())
        found.append(low + int(starts[best] + ends[best]) // 2)
    return [*found, h]


def _to_width(strip: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    import cv2

    h, w = strip.shape[:2]
    size = (width, max(1, round(h * width / w)))
    return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), np.uint8)


def joined(parts: list[Flatted]) -> Flatted:
    """Strips below each other as one page; all have one width and one palette."""
    first = parts[0]
    labels, boxes, panels = [], [], []
    regions_before = rows_before = panels_before = 0
    for part in parts:
        labels.append(part.labels + regions_before)
        boxes.append(part.box + np.array([0, rows_before, 0, rows_before], np.int32))
        panels.append(np.where(part.panel >= 0, part.panel + panels_before, -1).astype(np.int32))
        regions_before += len(part.color)
        rows_before += part.labels.shape[0]
        panels_before += int(part.panel.max(initial=-1)) + 1
    rows: dict[str, NDArray[Any]] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("line", "shade", "color", "confidence", "reason", "area")
    }
    return Flatted(
        labels=np.concatenate(labels),
        box=np.concatenate(boxes),
        panel=np.concatenate(panels),
        ids=first.ids,
        rgb=first.rgb,
        **rows,
    )
