"""A simulated colourist: how many hints a page takes until it is right, and what each of them costs.

A *piece* is what is wrong in one connected area of one true colour, off the ink. The colourist looks for the largest
piece, says its true colour there, looks at the page again, and goes on until no piece is larger than LEAST. What is said
is a point; where the piece lies over several regions, a stroke through them; and where a region lies over a border of
colours, of which the other side is right, a stroke along the border on both sides. Each of these counts as one hint, the
number of strokes and points is counted beside. Colours are picked from the palette where it has the true one.

A truth of flat colours is exact; in a painted one, each region found has the colour of its median, and none lies over a
border.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batch_processing.backends.flats.color import distances, to_lab
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.backends.flats.hints import Hints
from batch_processing.backends.flats.prepared import PreparedPage
from batch_processing.comics.evaluation import RIGHT_FLAT, RIGHT_PAINTED, Truth, area_medians, off_the_ink

LEAST = 200
"""Pixels of the largest piece that may be left."""
PASSED = 50
"""Pixels of a piece in a region from which on a stroke goes through it."""
BESIDE = (4, 8)
"""How far from the border of two colours, in pixels, a stroke along it runs."""
TRIES = 3
"""Hints at one place after which the colourist leaves it as it is."""


@dataclass
class Effort:
    """What a page took."""

    pieces: int
    """Wrong at first."""
    hints: int = 0
    marks: int = 0
    left: int = 0
    """Pieces that no hint could mend."""
    seconds: float = 0.0
    """CPU seconds of the slowest answer."""


@dataclass(frozen=True)
class _Piece:
    at: tuple[slice, slice]
    mask: NDArray[np.bool_]
    """Of that box."""
    color: int
    """Row of the true colours."""


class Colorist:
    """Knows the true colours of one page; `truth` and `clean` are (h, w, 3)."""

    def __init__(
        self,
        page: PreparedPage,
        truth: NDArray[np.uint8],
        clean: NDArray[np.uint8],
        *,
        painted: bool,
    ) -> None:
        self._page = page
        free = off_the_ink(clean)
        if painted:
            labels = page.apply(None).labels
            self._number = labels - 1
            self._colors: NDArray[Any] = area_medians(truth, Truth.painting(truth, free, labels))
        else:
            exact = Truth.flat(truth, free)
            free, self._number, self._colors = exact.free, exact.number, exact.colors
        self._free = free
        self._tolerance = RIGHT_PAINTED if painted else RIGHT_FLAT
        self._lab = to_lab(self._colors)

    def work(self, *, spread: bool = True) -> Effort:
        """Hint until the page is right."""
        height, width = self._number.shape
        marks = np.zeros((height, width, 4), np.uint8)
        found = self._page.apply(None)
        wrong = self._wrong(found)
        effort = Effort(len(self._pieces(wrong)))
        tried = np.zeros((height, width), np.uint8)
        left = np.zeros((height, width), bool)
        while pieces := self._pieces(wrong & ~left):
            piece = pieces[0]
            part = tried[piece.at]
            if part[piece.mask].max() >= TRIES:
                left[piece.at] |= piece.mask
                effort.left += 1
                continue
            part[piece.mask] += 1
            effort.hints += 1
            effort.marks += self._mark(marks, piece, found)
            start = time.process_time()
            found = self._page.apply(Hints(width, height, (), marks), spread=spread)
            effort.seconds = max(effort.seconds, time.process_time() - start)
            wrong = self._wrong(found)
        return effort

    def _wrong(self, found: Flatted) -> NDArray[np.bool_]:
        away = distances(to_lab(found.rgb), self._lab) >= self._tolerance
        return np.asarray(away[found.color[found.labels - 1], self._number] & self._free, np.bool_)

    def _pieces(self, wrong: NDArray[np.bool_]) -> list[_Piece]:
        """Wrong pieces larger than LEAST, the largest first."""
        apart = wrong.copy()
        # Where two true colours meet without ink, a pixel parts the pieces.
        apart[:, :-1] &= ~(wrong[:, 1:] & (self._number[:, 1:] != self._number[:, :-1]))
        apart[:-1] &= ~(wrong[1:] & (self._number[1:] != self._number[:-1]))
        _, parts, stats, _ = cv2.connectedComponentsWithStats(apart.astype(np.uint8), connectivity=4)
        found = []
        area = stats[:, cv2.CC_STAT_AREA]
        for i in np.argsort(-area, kind="stable").tolist():
            if i == 0:
                continue
            if area[i] <= LEAST:
                break
            x, y, w, h = stats[i, :4].tolist()
            at = np.s_[y : y + h, x : x + w]
            mask = parts[at] == i
            found.append(_Piece(at, mask, int(self._number[at][mask][0])))
        return found

    def _mark(self, marks: NDArray[np.uint8], piece: _Piece, found: Flatted) -> int:
        """Draw one hint into `marks`; how many strokes and points it is made of."""
        labels, drawn = found.labels[piece.at], marks[piece.at]
        cells, counts = np.unique(labels[piece.mask], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        passed = cells[order][(counts[order] >= PASSED) | (np.arange(len(cells)) == 0)]
        colors = 1
        for cell in passed.tolist():
            here = piece.mask & (labels == cell)
            drawn[_deepest(here)] = self._said(piece.color, found)
            for other in self._right_beside(piece, cell, found):
                at, here_whole, there = self._sides(piece, cell, other, found)
                for mine, away, number in ((here_whole, there, piece.color), (there, here_whole, other)):
                    marks[at][_along(mine, away)] = self._said(number, found)
                colors += 1
        return colors

    def _right_beside(self, piece: _Piece, cell: int, found: Flatted) -> list[int]:
        """True colours that the region also lies over, and has right: they would be lost."""
        x0, y0, x1, y1 = found.box[cell - 1].tolist()
        at = np.s_[y0:y1, x0:x1]
        inside = (found.labels[at] == cell) & self._free[at]
        size = np.bincount(self._number[at][inside], minlength=len(self._colors))
        near = distances(to_lab(found.rgb[found.color[[cell - 1]]]), self._lab)[0] < self._tolerance
        near &= distances(self._lab[[piece.color]], self._lab)[0] >= self._tolerance
        return np.flatnonzero(near & (size > LEAST)).tolist()

    def _sides(
        self, piece: _Piece, cell: int, other: int, found: Flatted
    ) -> tuple[tuple[slice, slice], NDArray[np.bool_], NDArray[np.bool_]]:
        """The piece's and the other colour's part of a region, in the region's box."""
        x0, y0, x1, y1 = found.box[cell - 1].tolist()
        at = np.s_[y0:y1, x0:x1]
        inside = (found.labels[at] == cell) & self._free[at]
        return at, inside & (self._number[at] == piece.color), inside & (self._number[at] == other)

    def _said(self, color: int, found: Flatted) -> list[int]:
        """A true colour as the colourist says it: that of the palette, or its own."""
        away = distances(self._lab[[color]], to_lab(found.rgb))[0]
        best = int(away.argmin())
        rgb = found.rgb[best] if away[best] < self._tolerance else self._colors[color]
        return [*rgb.tolist(), 255]


def _deepest(mask: NDArray[np.bool_]) -> tuple[int, int]:
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(y), int(x)


def _along(mine: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A stroke in `mine` along `other`, or where there is no room for one, the whole of `mine`'s middle."""
    away = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    stroke = mine & (away >= BESIDE[0]) & (away <= BESIDE[1])
    if not stroke.any():
        stroke[_deepest(mine)] = True
    return stroke
