"""A page of flats while somebody edits it: what does not change is made once.

Promises the pixels of `render.draw`, to one step, from the planes and any colours; and that labels follow an edit in the
time that the region it touches takes, not the page. A page larger than asked for is made smaller first.

Works from what was stored of the page, and not from `prepared.PreparedPage`: that would find and match the regions again,
which takes seconds a page where this takes a tenth of one, and needs the references as they were; and its hints
spread to regions that nobody touched, which a person has perhaps called right already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ...io.profiles import to_srgb
from ..base import Edit, PageSettings, Region, Sheet
from . import render
from .edits import edited
from .flatted import Flatted

if TYPE_CHECKING:
    from ...io.images import Page

RGB = tuple[int, int, int]


class FlatsDesk:
    """See base.Desk."""

    def __init__(self, page: Page, state: bytes, side: int) -> None:
        cv2.setNumThreads(1)
        self._found = Flatted.of_bytes(state)
        self._height, self._width = page.rgb.shape[:2]
        self._page = _at_most(page, side)
        self._native: NDArray[np.int32] | None = None
        self._last: tuple[tuple[Edit, ...], Flatted] = ((), self._found)

    def regions(self, edits: Sequence[Edit]) -> list[Region]:
        flatted = self._with(edits)
        sx, sy = self._width / flatted.labels.shape[1], self._height / flatted.labels.shape[0]
        rows = zip(
            flatted.box.tolist(),
            flatted.ids[flatted.color].tolist(),
            flatted.confidence.tolist(),
            flatted.why,
            flatted.area.tolist(),
            strict=True,
        )
        return [
            Region(
                (
                    int(x0 * sx),
                    int(y0 * sy),
                    min(self._width, round(x1 * sx)),
                    min(self._height, round(y1 * sy)),
                ),
                number,
                round(confidence, 4),
                why,
                round(area * sx * sy),
            )
            for (x0, y0, x1, y1), number, confidence, why, area in rows
        ]

    def shown(self, edits: Sequence[Edit]) -> dict[int, RGB]:
        flatted = self._with(edits)
        rows = zip(flatted.ids.tolist(), flatted.rgb.tolist(), strict=True)
        return {number: (r, g, b) for number, (r, g, b) in rows}

    def labels(self, edits: Sequence[Edit]) -> NDArray[np.int32]:
        """Only where something was parted they differ from those of the page as it was found."""
        flatted = self._with(edits)
        if self._native is None:
            self._native = render.native_labels(self._page.rgb, self._found)
        other = flatted.labels != self._found.labels
        if not other.any():
            return self._native
        ys, xs = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
        (lh, lw), more = flatted.labels.shape, render.NEAR + 1
        height, width = self._native.shape
        sx, sy = width / lw, height / lh
        box = (
            max(0, int((xs[0] - more) * sx)),
            max(0, int((ys[0] - more) * sy)),
            min(width, int(np.ceil((xs[-1] + 1 + more) * sx))),
            min(height, int(np.ceil((ys[-1] + 1 + more) * sy))),
        )
        labels = self._native.copy()
        labels[box[1] : box[3], box[0] : box[2]] = render.native_labels(self._page.rgb, flatted, box)
        return labels

    def sheet(self, edits: Sequence[Edit], settings: PageSettings) -> Sheet:
        found = render.sheet(self._page, self._found, shadow=settings.style != "line")
        self._native = found.labels
        return replace(found, labels=self.labels(edits), own=to_srgb(found.own, self._page.icc))

    def _with(self, edits: Sequence[Edit]) -> Flatted:
        asked = tuple(edits)
        if self._last[0] != asked:
            self._last = (asked, edited(self._found, asked, self._width, self._height))
        return self._last[1]


def _at_most(page: Page, side: int) -> Page:
    """The page with no more than this many pixels a side. Its samples of 16 bit are not needed then: nothing is written."""
    height, width = page.rgb.shape[:2]
    shrink = side / max(height, width)
    if shrink >= 1:
        return page
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return replace(
        page, rgb=np.asarray(cv2.resize(page.rgb, size, interpolation=cv2.INTER_AREA), np.uint8), native=None
    )
