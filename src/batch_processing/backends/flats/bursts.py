"""Focus lines: panels in which lines run in from all around towards one place, where something happens.

Promises the regions between such lines. No place lies behind them: they are paper, unless references show otherwise. Speed lines,
which run along with what moves, are no such thing: they cross a sky as often as paper.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from . import completion
from .ink import Ink, Mask
from .regions import Labels

BESIDE = 9.0
"""How far from a panel's rim its lines are counted, in units of length (see ink.UNIT_SIDE): past the frame."""
LEAST = 12
"""Lines that run in from the rim, of a panel that has such,"""
PART = 0.1
"""and what they are of all that end in it at least. Drawn ones were .2 to .5, of others there are hardly any; in rain .01."""
SIDES, EACH = 3, 2
"""Sides of a panel that they cross, and how often each at least."""
TOWARDS = 0.9
"""Cosine of the angle between an end's direction and the way to the one place."""
ON_INK = 0.9
"""Share of the way back from an end to the rim that is drawn."""
DEEP = 2.5
"""How far a line goes on from the rim towards the one place at least, as a multiple of that."""
APART = 3.5
"""How far such lines lie apart at most, likewise."""
GAP = 120.0
"""The widest angle without lines, in degrees, as the one place sees it."""


def find(
    labels: Labels,
    drawn: Ink,
    panel: NDArray[np.int32],
    frame: NDArray[np.float32],
    tips: completion.Ends | None = None,
) -> NDArray[np.bool_]:
    """The regions 1..n, one row each, that lie between focus lines; `panel` and `frame` are those of structure.Structure, `tips` the
    ends of strokes, where somebody knows them already."""
    found = np.zeros(len(panel), np.bool_)
    beside = round(BESIDE * drawn.unit)
    inside, at = np.unique(panel, return_index=True)
    for number, row in zip(inside.tolist(), at.tolist(), strict=True):
        x0, y0, x1, y1 = (int(v) for v in frame[row])
        part = drawn.mask[y0:y1, x0:x1]
        if number < 0 or min(part.shape) < 6 * beside or not _crossed(part, beside):
            continue
        tips = completion.ends(drawn.mask) if tips is None else tips
        here = ((tips.at >= (x0, y0)) & (tips.at < (x1, y1))).all(axis=1)
        between = _between(
            part, beside, completion.Ends(tips.at[here] - (x0, y0), tips.out[here], tips.width)
        )
        region = labels[y0:y1, x0:x1][between[:, 1], between[:, 0]] - 1
        found[region[panel[region] == number]] = True
    return found


def _crossed(mask: Mask, beside: int) -> bool:
    """Whether lines enough cross a rectangle within the rim to make it worth a look."""
    sides = (mask[beside], mask[-1 - beside], mask[:, beside], mask[:, -1 - beside])
    times = np.array([np.count_nonzero(side[1:] & ~side[:-1]) for side in sides])
    return bool(times.sum() >= LEAST and (times >= EACH).sum() >= SIDES)


def _between(mask: Mask, beside: int, tips: completion.Ends) -> NDArray[np.intp]:
    """Points (n, 2) on both sides of the focus lines of one panel, x and y; none where it has no such lines."""
    nothing = np.zeros((0, 2), np.intp)
    if len(tips.at) < LEAST:
        return nothing
    place = _meeting(tips.at, tips.out)
    back = tips.at - place
    far = np.hypot(*back.T)
    back /= np.maximum(far, 1e-6)[:, None]
    high, wide = mask.shape
    rim = np.array([wide - 1 - beside, high - 1 - beside], np.float64)
    # How far it is from each end to the rectangle within the rim, straight away from the place.
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = np.where(back > 0, (rim - tips.at) / back, (beside - tips.at) / back)
    way = np.where(np.abs(back) > 1e-6, ways, np.inf).min(axis=1)
    ahead = -(tips.out * back).sum(axis=1) > TOWARDS
    rows = np.flatnonzero(ahead & (way > 2 * tips.width) & (far > 2 * tips.width))
    share = np.linspace(0, 1, 24)
    points = tips.at[rows, None] + (share[:, None] * way[rows, None, None]) * back[rows, None]
    x, y = np.rint(points).astype(np.intp).transpose(2, 0, 1)
    drawn = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    rows = rows[drawn[y, x].mean(axis=1) >= ON_INK]
    if len(rows) < max(LEAST, PART * len(tips.at)):
        return nothing
    turn = np.sort(np.arctan2(back[rows, 1], back[rows, 0]))
    if np.degrees(np.diff(np.append(turn, turn[0] + 2 * np.pi)).max()) > GAP:
        return nothing
    lines = [(tips.at[row], tips.at[row] + way[row] * back[row], tips.width) for row in rows.tolist()]
    lines += _from_the_rim(mask, drawn > 0, beside, place)
    sides = []
    for one, other, half in lines:
        along = (other - one) / max(float(np.hypot(*(other - one))), 1e-6)
        across = np.array([-along[1], along[0]]) * (half + 2)
        sides += [one + t * (other - one) + sign * across for t in (0.3, 0.6, 0.9) for sign in (1, -1)]
    at = np.rint(sides).astype(np.intp).clip(0, [wide - 1, high - 1])
    return np.asarray(at[~mask[at[:, 1], at[:, 0]]], np.intp)


Line = tuple[NDArray[np.float64], NDArray[np.float64], float]
"""From where to where, x and y, and half its width at most."""


def _from_the_rim(mask: Mask, drawn: Mask, beside: int, place: NDArray[np.float64]) -> list[Line]:
    """Lines that cross the rectangle within the rim and go on towards the place, wherever they end: behind a figure, or at letters."""
    high, wide = mask.shape
    across, down = np.arange(beside, wide - beside), np.arange(beside, high - beside)
    found: list[Line] = []
    for x, y in (
        (across, np.full_like(across, beside)),
        (across, np.full_like(across, high - 1 - beside)),
        (np.full_like(down, beside), down),
        (np.full_like(down, wide - 1 - beside), down),
    ):
        edges = np.flatnonzero(np.diff(mask[y, x].astype(np.int8), prepend=0, append=0))
        starts, ends = edges[::2], edges[1::2]
        before, after = starts - np.append(0, ends[:-1]), np.append(starts[1:], len(x)) - ends
        # Where a figure stands on the rim, lines are farther apart.
        near = np.maximum(before, after) <= APART * beside
        for first, last in zip(starts[near].tolist(), ends[near].tolist(), strict=True):
            here = np.array([x[first:last].mean(), y[first:last].mean()])
            far = float(np.hypot(*(place - here)))
            there = here + (place - here) * min(1.0, DEEP * beside / max(far, 1e-6))
            points = np.rint(here + np.linspace(0, 1, 24)[:, None] * (there - here)).astype(np.intp)
            if drawn[points[:, 1], points[:, 0]].mean() >= ON_INK:
                found.append((here, there, (last - first) / 2))
    return found


def _meeting(at: NDArray[np.float64], out: NDArray[np.float64]) -> NDArray[np.float64]:
    """The place (x, y) that most of the lines run to: least squares of distances, over and over with less heed of those that pass by."""
    spread = np.eye(2) - out[:, :, None] * out[:, None, :]
    size = float(np.ptp(at, axis=0).max()) / 10 + 1
    weight = np.ones(len(at))
    place = np.median(at, axis=0)
    for _ in range(10):
        left = (spread * weight[:, None, None]).sum(axis=0) + 1e-6 * np.eye(2)
        right = (spread @ at[:, :, None] * weight[:, None, None]).sum(axis=0)[:, 0] + 1e-6 * place
        place = np.linalg.solve(left, right)
        off = place - at
        aside = np.abs(off[:, 0] * out[:, 1] - off[:, 1] * out[:, 0])
        away = (off * out).sum(axis=1) < 0
        weight = 1 / (1 + (aside / size) ** 2) * np.where(away, 0.1, 1.0)
    return np.asarray(place)
