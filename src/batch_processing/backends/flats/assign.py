"""Which colour each region gets, and how sure that is.

A log-linear sum of what the region itself looks like, what the points inside it look like, and how common a
colour is; then regions settle with their neighbours in a Potts field by mean field iteration (Kraehenbuehl and
Koltun 2011, on a graph of regions). Deterministic. A person's word is final: fixed regions never move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import describe, regions
from .ink import Ink
from .references import Knowledge
from .structure import Structure

NEIGHBOURS = 8
"""Reference regions that vote for a region."""
WIDTH = 0.055
"""Width of the kernel on squared region distance."""
POINT_NEIGHBOURS = 5
POINT_WIDTH = 0.12
"""Width of the kernel on squared point distance."""
WEIGHTS = (0.6, 2.4, 0.15, 0.3)
"""Weights of region votes, point votes, palette area and touching colours."""
POTTS = 2.0
"""Strength of two regions' wish to be one across a border without ink."""
FLOOR = 0.2
"""Share of each vote given to all colours alike: no vote is a certainty."""


@dataclass
class Assignment:
    """One row per region."""

    colour: NDArray[np.int32]
    """Palette id."""
    confidence: NDArray[np.float64]
    """Probability, 0 to 1, that the colour is right."""
    why: list[str]
    """paper, hint, reference or guess."""
    belief: NDArray[np.float64]


def assign(
    drawn: Ink,
    labels: regions.Labels,
    what: describe.Shapes,
    panels: Structure,
    known: Knowledge,
    fixed: NDArray[np.int32],
) -> Assignment:
    """Choose a palette id for each region; `fixed` holds those that stand already, -1 elsewhere.

    Ids beyond the palette are colours that only hints use.
    """
    n, k = what.count, len(known.rgb)
    only_hinted = fixed >= k
    wanted = fixed
    fixed = np.where(only_hinted, 0, fixed)
    fixed = np.where((fixed < 0) & panels.white, 0, fixed)
    belief = np.full((n, k), np.log(1 / k))
    if len(known.region_rows):
        region = _region_votes(drawn, labels, what, panels, known)
        point, seen = _point_votes(drawn, labels, panels, known, n)
        belief = WEIGHTS[0] * np.log(_floored(region)) + WEIGHTS[1] * seen[:, None] * np.log(_floored(point))
    belief = belief + WEIGHTS[2] * np.log(known.share[None, :] + 0.002)
    set_rows = np.flatnonzero(fixed >= 0)
    belief[set_rows] = -30.0
    belief[set_rows, fixed[set_rows]] = 0.0
    share = _settle(belief, drawn, labels, panels, known)
    colour = share.argmax(axis=1).astype(np.int32)
    colour[set_rows] = np.where(only_hinted, wanted, fixed)[set_rows]
    confidence = calibrated(share)
    why = ["reference" if len(known.region_rows) else "guess"] * n
    for row in set_rows:
        confidence[row] = 1.0
        why[row] = "hint" if wanted[row] >= 0 else "paper"
    return Assignment(colour, confidence, why, share)


def _floored(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 - FLOOR) * votes + FLOOR / votes.shape[1])


def _nearest(
    rows: NDArray[np.float32], known: NDArray[np.floating[Any]], count: int, width: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` nearest known rows of each row, and their weights, which sum to 1."""
    wanted = known.astype(np.float32)
    count = min(count, len(wanted))
    square = (wanted**2).sum(axis=1)
    index = np.zeros((len(rows), count), np.int64)
    weight = np.zeros((len(rows), count))
    for start in range(0, len(rows), 512):
        part = rows[start : start + 512]
        away = np.maximum(square - 2 * (part @ wanted.T) + (part**2).sum(axis=1)[:, None], 0)
        best = np.argpartition(away, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(away, best, axis=1).astype(np.float64)
        index[start : start + 512] = best
        weight[start : start + 512] = np.exp(-(near - near.min(axis=1, keepdims=True)) / width)
    return index, weight / weight.sum(axis=1, keepdims=True)


def _region_votes(
    drawn: Ink, labels: regions.Labels, what: describe.Shapes, panels: Structure, known: Knowledge
) -> NDArray[np.float64]:
    rows = describe.describe_regions(drawn.line, labels, what, panels.frame)
    index, weight = _nearest(rows @ known.region_turn, known.region_rows, NEIGHBOURS, WIDTH)
    return _tally(known.region_colour[index], weight, len(known.rgb))


def _point_votes(
    drawn: Ink, labels: regions.Labels, panels: Structure, known: Knowledge, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean vote of the points in each region, and how much of a vote that is (0 without points)."""
    k = len(known.rgb)
    at, rows = describe.describe_points(drawn.line, drawn.mask, drawn.unit, panels.frame, labels)
    votes = np.zeros((n, k))
    count = np.zeros(n)
    if len(rows) and len(known.point_rows):
        index, weight = _nearest(rows @ known.point_turn, known.point_rows, POINT_NEIGHBOURS, POINT_WIDTH)
        each = _tally(known.point_colour[index], weight, k)
        home = labels[at[:, 1], at[:, 0]] - 1
        np.add.at(votes, home, each)
        count = np.bincount(home, minlength=n).astype(np.float64)
    return votes / np.maximum(count, 1)[:, None], count / (count + 1)


def _tally(colour: NDArray[np.int32], weight: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Sum weights per colour: (n, k)."""
    rows = len(colour)
    key = np.arange(rows)[:, None] * k + colour
    total = np.bincount(key.ravel(), weight.ravel(), minlength=rows * k)
    return np.asarray(total.reshape(rows, k), np.float64)


def _settle(
    belief: NDArray[np.float64], drawn: Ink, labels: regions.Labels, panels: Structure, known: Knowledge
) -> NDArray[np.float64]:
    """Mean field over the borders of regions: one colour across open borders, likely pairs across lines."""
    from scipy.sparse import csr_array

    n = len(belief)
    a, b, inked = regions.borders(labels, drawn.mask.astype(np.float32))
    if not a.size:
        return _softmax(belief)
    key, inverse = np.unique(a * (n + 1) + b, return_inverse=True)
    a, b = key // (n + 1) - 1, key % (n + 1) - 1
    length = np.bincount(inverse).astype(np.float64)
    bare = np.bincount(inverse, 1.0 - inked)
    whole = np.bincount(np.concatenate([a, b]), np.concatenate([length, length]), minlength=n)
    paper = panels.gutter[a] | panels.gutter[b] | panels.balloon[a] | panels.balloon[b]
    small = np.minimum(whole[a], whole[b])
    potts = np.where(paper, 0, POTTS * bare / np.maximum(small, 1))
    # A neck is a short part of a shirt's outline and still says whose shirt it is: hence the root.
    touch = np.where(paper, 0, WEIGHTS[3] * np.sqrt((length - bare) / np.maximum(small, 1)))
    both = np.concatenate([a, b]), np.concatenate([b, a])
    open_graph = csr_array((np.concatenate([potts, potts]), both), shape=(n, n))
    line_graph = csr_array((np.concatenate([touch, touch]), both), shape=(n, n))
    lift = np.log(known.touch.astype(np.float64))
    share = _softmax(belief)
    for _ in range(10):
        share = 0.5 * share + 0.5 * _softmax(belief + open_graph @ share + (line_graph @ share) @ lift)
    return share


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    up = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(up / up.sum(axis=1, keepdims=True))


RAW = (0.0, 0.5, 0.8, 0.9, 0.97, 0.99, 0.998, 0.9995, 1.0)
RIGHT = (0.25, 0.45, 0.6, 0.7, 0.77, 0.83, 0.9, 0.97, 0.99)
"""Share of regions that were right at a belief of RAW, measured on drawn training series with
benchmarks/flats.py; unseen drawn series and painted pages follow the same curve within .05."""


def calibrated(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that each region's best colour is right: votes are correlated and therefore too sure."""
    return np.asarray(np.interp(share.max(axis=1), RAW, RIGHT))
