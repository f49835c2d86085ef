"""Completion: lines that stop short are carried on to where they were going.

Promises to part a region only along curves from the end of a line to another end, or to a line ahead, and only
if what is parted off is drawn nearly all around: the eye closes such a shape too, and tells by the same *support
ratio*. Adds no ink. The idea of joining key points of high curvature by splines and segments is that of Fourey,
Tschumperle and Revoy, "A Fast and Efficient Semi-guided Algorithm for Flat Coloring Line-arts" (VMV 2018); which
joins stay is decided here by the shapes that they close, so that they may be long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .ink import Mask
from .runs import largest

Labels = NDArray[np.int32]
Points = NDArray[np.float64]

FAR = 120.0
"""Longest join of two ends, in units of length (see ink.UNIT_SIDE)."""
AHEAD = 16.0
"""Longest join of an end with a line ahead of it, in units."""
NEIGHBORS = 8
"""Ends that each end is tried with, the nearest: hatching has thousands."""
FACING = 0.5
"""Cosine of the angle up to which two ends face each other: both within 60 degrees of the way between them."""
OPEN_SHARE = 0.3
"""Share of a shape's outline that may be joins."""
SOLID = 2.0
"""Least area of a shape, as a multiple of the square of the joins that close it."""
THIN = 8.0
"""A shape nowhere wider than twice this, in units, is the space between strokes: of hatching, or of hair."""


@dataclass(frozen=True)
class Ends:
    """Where strokes end: tips of the ink."""

    at: Points
    """(n, 2), x and y in pixels."""
    out: Points
    """(n, 2), unit vectors that go on in the direction of the stroke."""
    width: float
    """Typical width of the page's strokes in pixels."""


def ends(mask: Mask) -> Ends:
    """Find the ends of strokes: places at which the outline of the ink turns back within a stroke's width."""
    ink = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(ink, cv2.DIST_L2, cv2.DIST_MASK_5)
    ridge = depth[(depth > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))]
    none = np.zeros((0, 2))
    if not ridge.size:
        return Ends(none, none, 1.0)
    width = max(1.0, 2 * float(np.median(ridge)))
    step = round(max(6.0, 2.5 * width))
    outlines, _ = cv2.findContours(ink, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    found, directions = [], []
    for outline in outlines:
        if len(outline) < 3 * step:
            continue
        here = outline[:, 0].astype(np.float64) - 1
        n = len(here)
        closed = np.concatenate([here[-step:], here, here[:step]])
        before, after = closed[:n], closed[2 * step :]
        opening = np.hypot(*(after - before).T)
        reach = here - (before + after) / 2
        length = np.hypot(*reach.T)
        # Twice the area between the outline and the chord from before to after: negative where ink lies in it.
        edge = closed[step + 1 : step + 1 + n]
        turn = np.cumsum(np.tile(here[:, 0] * edge[:, 1] - here[:, 1] * edge[:, 0], 3))
        at = np.arange(n) + n
        area = turn[at + step - 1] - turn[at - step - 1]
        area += after[:, 0] * before[:, 1] - after[:, 1] * before[:, 0]
        tip = (opening < 1.6 * width + 1) & (length > 0.6 * step) & (area < 0)
        for run in _runs(tip):
            i = run[np.argmax(length[run])]
            found.append(here[i])
            directions.append(reach[i] / length[i])
    if not found:
        return Ends(none, none, width)
    return Ends(np.array(found), np.array(directions), width)


def _runs(on: Mask) -> list[NDArray[np.intp]]:
    """Indices of each stretch that is set, around a closed outline."""
    at = np.flatnonzero(on)
    if not at.size:
        return []
    runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
    if len(runs) > 1 and runs[0][0] == 0 and runs[-1][-1] == len(on) - 1:
        runs[0] = np.concatenate([runs.pop(), runs[0]])
    return runs


def away(tips: Ends, points: Points) -> NDArray[np.float64]:
    """How far each of (n, 2) points is from the nearest end, in pixels."""
    from scipy.spatial import cKDTree

    if not len(tips.at):
        return np.full(len(points), np.inf)
    return np.asarray(cKDTree(tips.at).query(points)[0], np.float64)


@dataclass(frozen=True)
class Joins:
    """Curves that carry lines on; curve i is p(t) = hermite of `ends` and `ways` over t in 0 to 1."""

    ends: Points
    """(n, 2, 2), first and last point."""
    ways: Points
    """(n, 2, 2), derivatives there: of both the chord where the curve is straight."""

    @property
    def gap(self) -> NDArray[np.float64]:
        """Distance between first and last point."""
        return np.asarray(np.hypot(*(self.ends[:, 1] - self.ends[:, 0]).T))

    def some(self, which: NDArray[np.intp]) -> Joins:
        return Joins(self.ends[which], self.ways[which])

    def points(self, number: NDArray[np.intp], t: NDArray[np.float64]) -> Points:
        """Points of curves `number` at `t`, (m, 2)."""
        (a, b), (p, q), t = self.ends[number].swapaxes(0, 1), self.ways[number].swapaxes(0, 1), t[:, None]
        square, cube = t**2, t**3
        return np.asarray(
            (2 * cube - 3 * square + 1) * a
            + (cube - 2 * square + t) * p
            + (3 * square - 2 * cube) * b
            + (cube - square) * q
        )

    def traced(self) -> tuple[Points, NDArray[np.intp]]:
        """Points less than a pixel apart along all curves, and where each curve begins, with the end: (n + 1,)."""
        # A curve is at most some 1.5 times as long as its chord.
        count = np.maximum(2, np.ceil(2 * self.gap).astype(np.intp) + 1)
        begin = np.concatenate([[0], np.cumsum(count)])
        number = np.repeat(np.arange(len(count)), count)
        t = (np.arange(begin[-1]) - begin[number]) / (count - 1)[number]
        return self.points(number, t), begin


def joins(tips: Ends, mask: Mask, unit: float) -> Joins:
    """Curves between ends that see each other, and from ends to lines ahead; none crosses ink or another."""
    near = 0.75 * tips.width + 1
    pairs, ahead = _pairs(tips, near, FAR * unit), _ahead(tips, mask, near, AHEAD * unit)
    tried = Joins(
        np.concatenate([pairs.ends, ahead.ends]).reshape(-1, 2, 2),
        np.concatenate([pairs.ways, ahead.ways]).reshape(-1, 2, 2),
    )
    tried = tried.some(np.argsort(tried.gap, kind="stable"))
    points, begin = tried.traced()
    number = np.repeat(np.arange(len(tried.ends)), np.diff(begin))
    far = np.hypot(*(points[:, None] - tried.ends[number]).transpose(2, 0, 1)).min(axis=1) > near
    x, y = _pixels(points, mask.shape)
    hidden = np.bincount(number, far & mask[y, x], minlength=len(tried.ends)) > 0
    taken = np.zeros(mask.shape, bool)
    kept = []
    for i in np.flatnonzero(~hidden).tolist():
        on = slice(begin[i], begin[i + 1])
        px, py = x[on][far[on]], y[on][far[on]]
        if not taken[py, px].any():
            kept.append(i)
            taken[py, px] = True
            taken[py, np.minimum(px + 1, mask.shape[1] - 1)] = True
    return tried.some(np.array(kept, np.intp))


def _pairs(tips: Ends, near: float, far: float) -> Joins:
    """From each end to those around it: a spline where they face each other, otherwise straight."""
    from scipy.spatial import cKDTree

    n = len(tips.at)
    if n < 2:
        return Joins(np.zeros((0, 2, 2)), np.zeros((0, 2, 2)))
    away, other = cKDTree(tips.at).query(tips.at, k=min(n, NEIGHBORS + 1), distance_upper_bound=far)
    here, at = np.nonzero((away > near) & np.isfinite(away))
    there = other[here, at]
    i, j = np.unique(np.stack([np.minimum(here, there), np.maximum(here, there)], 1), axis=0).T
    a, b = tips.at[i], tips.at[j]
    chord = b - a
    gap = np.hypot(*chord.T)[:, None]
    facing = np.minimum((tips.out[i] * chord).sum(axis=1), -(tips.out[j] * chord).sum(axis=1))
    smooth = (facing >= FACING * gap[:, 0])[:, None]
    ways = np.where(smooth, gap * tips.out[i], chord), np.where(smooth, -gap * tips.out[j], chord)
    return Joins(np.stack([a, b], 1), np.stack(ways, 1))


def _ahead(tips: Ends, mask: Mask, near: float, far: float) -> Joins:
    """The shortest way from each end, within 60 degrees of its direction, to another line."""
    steps = np.arange(near, max(near + 1, far))
    turns = np.radians((0, -20, 20, -40, 40, -60, 60))
    c, s = np.cos(turns), np.sin(turns)
    ways = np.stack(
        [
            c * tips.out[:, :1] - s * tips.out[:, 1:],
            s * tips.out[:, :1] + c * tips.out[:, 1:],
        ],
        axis=2,
    )
    x, y = _pixels(tips.at[:, None, None] + steps[:, None] * ways[:, :, None], mask.shape)
    hit = mask[y, x]
    first = np.where(hit.any(axis=2), hit.argmax(axis=2), len(steps))
    first[first == 0] = len(steps)  # in its own stroke
    best = first.argmin(axis=1) if len(first) else np.zeros(0, np.intp)
    rows = np.flatnonzero(first[np.arange(len(first)), best] < len(steps))
    chord = steps[first[rows, best[rows]]][:, None] * ways[rows, best[rows]]
    start = tips.at[rows]
    return Joins(np.stack([start, start + chord], 1), np.stack([chord, chord], 1))


def _pixels(points: Points, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    at = np.rint(points).astype(np.int64)
    return at[..., 0].clip(0, shape[1] - 1), at[..., 1].clip(0, shape[0] - 1)


def part(labels: Labels, curves: Joins, unit: float) -> Labels:
    """Part regions along the curves that close a shape. 0 in `labels` is what belongs to none, such as ink.

    The largest part keeps its number, others get new ones at the end; the curves between them are 0."""
    if not len(curves.ends):
        return labels
    free = labels > 0
    free[:, 1:] &= (labels[:, 1:] == labels[:, :-1]) | (labels[:, :-1] == 0)
    free[1:] &= (labels[1:] == labels[:-1]) | (labels[:-1] == 0)
    x, y = _pixels(curves.traced()[0], labels.shape)
    free[y, x] = False
    open_ = free.astype(np.uint8)
    count, found = cv2.connectedComponents(open_, connectivity=4)
    parts = np.asarray(found, np.int32)
    home = np.zeros(count, np.int32)
    home[parts[free]] = labels[free]
    gaps: dict[int, dict[tuple[int, int], float]] = {}
    one, other = _sides(curves, parts)
    meet = (one > 0) & (other > 0) & (one != other) & (home[one] == home[other])
    gap = curves.gap
    for i in np.flatnonzero(meet).tolist():
        between = gaps.setdefault(int(home[one[i]]), {})
        sides = (int(min(one[i], other[i])), int(max(one[i], other[i])))
        between[sides] = between.get(sides, 0.0) + float(gap[i])
    if not gaps:
        return labels
    shapes = _shapes(parts, open_)
    last = int(labels.max())
    parted, group = np.zeros(last + 1, np.bool_), np.zeros(count, np.int32)
    for region, between in sorted(gaps.items()):
        groups = _closed({n: shapes(n) for pair in between for n in pair}, between, unit)
        if len(groups) < 2:
            continue
        parted[region] = True
        group[groups[0]] = region
        for members in groups[1:]:
            last += 1
            group[members] = last
    return np.where(parted[labels], group[parts], labels) if parted.any() else labels


def _sides(curves: Joins, parts: Labels) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The part on each side of each curve, the commonest of five places; 0 where there is none."""
    n = len(curves.ends)
    number, t = np.repeat(np.arange(n), 5), np.tile(np.linspace(0.2, 0.8, 5), n)
    here = curves.points(number, t)
    way = curves.points(number, t + 0.01) - here
    across = np.stack([-way[:, 1], way[:, 0]], 1) / np.maximum(np.hypot(*way.T), 1e-6)[:, None]
    found = []
    for sign in (1, -1):
        x, y = _pixels(here + sign * 2.5 * across, parts.shape)
        on = parts[y, x].reshape(n, 5)
        same = np.where(on > 0, (on[:, :, None] == on[:, None, :]).sum(axis=2), 0)
        found.append(on[np.arange(n), same.argmax(axis=1)])
    return found[0], found[1]


@dataclass
class _Shape:
    """What is known of a part while parts are joined again."""

    area: float
    outline: float
    """Length of its border in pixels."""
    half: float
    """Largest distance from its border."""


def _shapes(parts: Labels, open_: NDArray[np.uint8]) -> Callable[[int], _Shape]:
    area = np.bincount(parts.ravel())
    n = len(area)
    depth = cv2.distanceTransform(open_, cv2.DIST_L2, cv2.DIST_MASK_5)
    half = largest(parts, depth, n)
    # At an angle a border of length l has l times the larger of |cos| and |sin| pixels, on average 2 sqrt 2 / pi.
    outline = np.bincount(parts[(depth > 0) & (depth <= 1)], minlength=n) / 0.9
    return lambda i: _Shape(float(area[i]), float(outline[i]), float(half[i]))


def _closed(shapes: dict[int, _Shape], between: dict[tuple[int, int], float], unit: float) -> list[list[int]]:
    """Groups of parts that stay apart, the largest first; what is no shape is joined with its neighbour again.

    `between` is the length of the joins between two parts."""
    members = {number: [number] for number in shapes}
    beside: dict[int, dict[int, float]] = {number: {} for number in shapes}
    for (one, other), gap in between.items():
        beside[one][other] = beside[other][one] = gap
    thin = [n for n in sorted(shapes) if shapes[n].half < THIN * unit]
    while True:
        pair = _thinnest(shapes, beside, thin, unit) or _worst(shapes, beside)
        if pair is None:
            break
        keep, gone = pair
        a, b = shapes[keep], shapes.pop(gone)
        gap = beside[keep].pop(gone)
        shapes[keep] = _Shape(a.area + b.area, a.outline + b.outline - 2 * gap, max(a.half, b.half))
        members[keep] += members.pop(gone)
        rest = beside.pop(gone)
        del rest[keep]
        for other, length in rest.items():
            del beside[other][gone]
            beside[other][keep] = beside[keep][other] = beside[keep].get(other, 0.0) + length
    order = sorted(shapes, key=lambda n: (-shapes[n].area, n))
    return [members[n] for n in order]


def _thinnest(
    shapes: dict[int, _Shape], beside: dict[int, dict[int, float]], thin: list[int], unit: float
) -> tuple[int, int] | None:
    """The next part that is the space between strokes, and what it opens to most; `thin` are those to look at."""
    while thin:
        n = thin[-1]
        if n in shapes and beside[n] and shapes[n].half < THIN * unit:
            return max(beside[n], key=lambda other: (beside[n][other], -other)), n
        thin.pop()
    return None


def _worst(shapes: dict[int, _Shape], beside: dict[int, dict[int, float]]) -> tuple[int, int] | None:
    """The two parts that are least of all apart, or None if all are shapes of their own."""
    opening = {n: sum(gaps.values()) for n, gaps in beside.items()}
    worst, least = None, 1.0
    for one, gaps in beside.items():
        for other, gap in gaps.items():
            if one < other:
                small = one if shapes[one].area <= shapes[other].area else other
                shape = shapes[small]
                fault = max(opening[small] / (OPEN_SHARE * shape.outline), SOLID * gap * gap / shape.area)
                if fault > least:
                    worst, least = (one, other), fault
    return worst
