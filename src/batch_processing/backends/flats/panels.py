"""The panels of a page for a model that paints them one by one: where each lies, and what its regions show.

Promises the page's panels in reading order; gutters and balloons belong to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import describe, graph, ink, regions, structure
from .flatted import cuts, strips
from .ink import Mask
from .references import WORK_SIDE, shrink
from .structure import Structure


@dataclass(frozen=True)
class Panel:
    """A panel: `rows` and `columns` of its box, `mask` what of that is its own, and what its regions show, one row each:
    `place` in the learned metric (see graph.embed), `weight` the root of the area."""

    rows: slice
    columns: slice
    mask: Mask
    place: NDArray[np.float32]
    weight: NDArray[np.float64]


def find(rgb: NDArray[np.uint8]) -> tuple[list[Panel], Mask]:
    """The panels of a page (h, w, 3), and which of its pixels are neither gutter nor balloon, but lie in none."""
    found, bare = [], np.zeros(rgb.shape[:2], bool)
    for top, bottom, work in strips(rgb, cuts(rgb)):
        labels, where, place, area = _looked(ink.find(work))
        number = np.where(where.white, -2, where.panel)[labels - 1]
        size = rgb.shape[1], bottom - top
        number = np.asarray(cv2.resize(number.astype(np.int16), size, interpolation=cv2.INTER_NEAREST))
        bare[top:bottom] = number == -1
        for panel in range(int(number.max()) + 1):
            mask = number == panel
            if not mask.any():
                continue
            rows, columns = (np.flatnonzero(mask.any(axis=axis)).tolist() for axis in (1, 0))
            here, across = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            box = slice(top + here.start, top + here.stop)
            its = (where.panel == panel) & ~where.white
            found.append(Panel(box, across, mask[here, across], place[its], np.sqrt(area[its])))
    return found, bare


def shown(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The places of the regions of a coloured picture (h, w, 3) in the learned metric, one row each."""
    return _looked(ink.find_in_color(shrink(rgb, WORK_SIDE)))[2]


def _looked(
    drawn: ink.Ink,
) -> tuple[regions.Labels, Structure, NDArray[np.float32], NDArray[np.float64]]:
    labels = regions.segment(drawn)
    what = describe.shapes(labels)
    where = structure.find(labels, drawn, what)
    seen = graph.look(drawn, labels, what, where.frame, where.white)
    return labels, where, graph.embed(seen).place, what.area


def covering(panel: Panel, shown: Sequence[NDArray[np.float32]], most: int) -> list[int]:
    """Which pictures, at most so many, together show best what the panel shows; the one that tells most comes first.

    `shown` are the places of each picture's regions. A region of the panel counts by the root of its area, and for as much
    as what is most like it in any picture that was taken (the greedy way to cover, 63 % of the best at least)."""
    like = [
        (panel.place @ rows.T).max(axis=1) if len(rows) else np.full(len(panel.place), -1, np.float32)
        for rows in shown
    ]
    covered = np.full(len(panel.place), -1, np.float32)
    taken: list[int] = []
    while len(taken) < min(most, len(shown)):
        gains = [
            -1.0 if n in taken else panel.weight @ np.maximum(one - covered, 0) for n, one in enumerate(like)
        ]
        taken.append(int(np.argmax(gains)))
        covered = np.maximum(covered, like[taken[-1]])
    return taken
