"""One page from pixels to flats that can be changed: the main job, and its result.

A `Flatted` page is small: labels, lines and shade at work size, and a colour per region. It can be stored,
and drawn again in another palette in milliseconds, without matching anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import assign, describe, ink, regions, structure
from . import hints as marks
from .arrays import packed, restored
from .palette import OWN_COLOUR, Palette
from .references import Knowledge, shrink

WORK_SIDE = 2200
"""Longest side in pixels at which regions are found and matched (some 3.4 megapixels)."""
STRIP = 2.5
"""Pages taller than this many times their width are worked strip by strip."""
WHY = ("paper", "hint", "reference", "guess")


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
    colour: NDArray[np.int32]
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

    def to_bytes(self) -> bytes:
        """A file of plain arrays; the same page gives the same bytes."""
        return packed(vars(self))

    @classmethod
    def of_bytes(cls, data: bytes) -> Flatted:
        """ValueError if `data` are not of `to_bytes`."""
        return restored(cls, data)


def flat(
    rgb: NDArray[np.uint8],
    known: Knowledge,
    palette: Palette,
    said: marks.Hints | None,
    progress: Callable[[int, int], None],
) -> Flatted:
    """Find the regions of an (h, w, 3) page and choose their colours."""
    h, w = rgb.shape[:2]
    at = cuts(rgb)
    parts: list[Flatted] = []
    for number, (top, _, work) in enumerate(strips(rgb, at)):
        progress(2 * number, 2 * len(at))
        seeds: NDArray[np.int32] | None = None
        colours: list[marks.Rgb] = []
        if said is not None:
            scale = work.shape[1] / w
            whole, colours = said.seeds(work.shape[1], max(1, round(h * scale)))
            begin = min(round(top * scale), max(0, len(whole) - 1))
            seeds = np.zeros(work.shape[:2], np.int32)
            piece = whole[begin : begin + len(seeds)]
            seeds[: len(piece)] = piece
        parts.append(_flat_strip(work, known, palette, seeds, colours))
        progress(2 * number + 1, 2 * len(at))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _flat_strip(
    work: NDArray[np.uint8],
    known: Knowledge,
    palette: Palette,
    seeds: NDArray[np.int32] | None,
    colours: list[marks.Rgb],
) -> Flatted:
    drawn = ink.find(work)
    labels = regions.segment(drawn)
    ids, rgb, rows = _with_hints(known, palette, colours)
    fixed = np.full(int(labels.max()), -1, np.int32)
    if seeds is not None and (seeds > 0).any():
        labels, told = marks.apply(labels, seeds, drawn.line)
        fixed = np.where(told > 0, rows[np.maximum(told - 1, 0)], -1).astype(np.int32)
    what = describe.shapes(labels)
    panels = structure.find(labels, drawn, what)
    chosen = assign.assign(drawn, labels, what, panels, known, fixed)
    return Flatted(
        labels,
        np.rint(drawn.line * 255).astype(np.uint8),
        np.rint(drawn.shade * 255).astype(np.uint8),
        ids,
        rgb,
        chosen.colour,
        chosen.confidence.astype(np.float32),
        np.array([WHY.index(w) for w in chosen.why], np.uint8),
        panels.panel,
        what.box,
        what.area,
    )


def _with_hints(
    known: Knowledge, palette: Palette, colours: list[marks.Rgb]
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]:
    """The palette with the hints' own colours added: ids, colours, and the row of each hint colour."""
    ids = palette.ids.tolist()
    rgb = [tuple(int(v) for v in colour) for colour in known.rgb]
    rows = []
    for colour in colours:
        number = palette.given.get(colour)
        if colour in rgb:
            rows.append(rgb.index(colour))
        elif number in ids:  # the references show this id in another shade
            rows.append(ids.index(number))
        else:
            rows.append(len(rgb))
            rgb.append(colour)
            own = OWN_COLOUR + (colour[0] << 16 | colour[1] << 8 | colour[2])
            ids.append(own if number is None else number)
    return np.array(ids, np.int32), np.array(rgb, np.uint8).reshape(-1, 3), np.array(rows, np.int32)


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


def _joined(parts: list[Flatted]) -> Flatted:
    """Strips below each other as one page; all have one width and one palette."""
    first = parts[0]
    labels, boxes, panels = [], [], []
    regions_before = rows_before = panels_before = 0
    for part in parts:
        labels.append(part.labels + regions_before)
        boxes.append(part.box + np.array([0, rows_before, 0, rows_before], np.int32))
        panels.append(np.where(part.panel >= 0, part.panel + panels_before, -1).astype(np.int32))
        regions_before += len(part.colour)
        rows_before += part.labels.shape[0]
        panels_before += int(part.panel.max(initial=-1)) + 1
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("line", "shade", "colour", "confidence", "reason", "area")
    }
    return Flatted(
        labels=np.concatenate(labels),
        box=np.concatenate(boxes),
        panel=np.concatenate(panels),
        ids=first.ids,
        rgb=first.rgb,
        **joined,
    )
