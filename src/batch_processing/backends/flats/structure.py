"""Structure of a page: gutters, panels, balloons and captions.

Promises a panel for each region (the whole page where none is framed) and the regions that stay paper white.
Balloons are light, full shapes that hold small blots of ink (letters) and little else; a page without
lettering has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import bursts, completion
from .describe import Shapes
from .ink import GUTTER, Ink, Mask, Plane
from .regions import LEAST_AREA, Labels, borders, distance
from .runs import largest


@dataclass
class Structure:
    """One row per region."""

    panel: NDArray[np.int32]
    """Number of the panel a region lies in, from 0 in reading order; -1 in the gutter."""
    frame: NDArray[np.float32]
    """Its panel's box, x0, y0, x1, y1 in pixels."""
    gutter: NDArray[np.bool_]
    balloon: NDArray[np.bool_]
    burst: NDArray[np.bool_]
    """Between focus lines: white, unless the references show otherwise."""

    @property
    def white(self) -> NDArray[np.bool_]:
        return self.gutter | self.balloon

    def of(self, region: NDArray[np.int64]) -> Structure:
        """That of these regions, in this order."""
        return Structure(
            self.panel[region],
            self.frame[region],
            self.gutter[region],
            self.balloon[region],
            self.burst[region],
        )


def find(labels: Labels, drawn: Ink, what: Shapes, tips: completion.Ends | None = None) -> Structure:
    """Find the structure of a page from its regions. `tips` are the ends of its strokes, where somebody knows them already."""
    ink, line, unit, bands = drawn.mask, drawn.line, drawn.unit, drawn.gutter
    h, w = labels.shape
    gutter = _gutters(labels, what, bands)
    gutter |= _side_gutters(labels, ink, gutter, what, unit)
    panel, boxes = _panels(labels, gutter, what)
    frame = np.tile(np.array([0, 0, w, h], np.float32), (what.count, 1))
    for number, box in enumerate(boxes):
        frame[panel == number] = box
    balloon = _balloons(labels, ink, line, unit) & ~gutter
    burst = bursts.find(labels, drawn, panel, frame, tips) & ~(gutter | balloon)
    return Structure(panel, frame, gutter, balloon, burst)


def _gutters(labels: Labels, what: Shapes, bands: Mask) -> NDArray[np.bool_]:
    """Paper outside of all panels: it runs along at least two edges of the page and is no solid shape."""
    h, w = labels.shape
    n = what.count
    edge_top = np.bincount(labels[0], minlength=n + 1)[1:] / w
    edge_bottom = np.bincount(labels[-1], minlength=n + 1)[1:] / w
    edge_left = np.bincount(labels[:, 0], minlength=n + 1)[1:] / h
    edge_right = np.bincount(labels[:, -1], minlength=n + 1)[1:] / h
    edges = np.stack([edge_top, edge_bottom, edge_left, edge_right], axis=1)
    long = (edges > 0.6).sum(axis=1)
    bare = np.bincount(labels[bands], minlength=n + 1)[1:] > 0.5 * what.area
    hull = (what.box[:, 2] - what.box[:, 0]) * (what.box[:, 3] - what.box[:, 1])
    full = what.area / np.maximum(hull, 1)
    # More than this is a drawing without frames that runs into its gutter.
    around = (long >= 3) & (full < 0.4)
    return np.asarray(around | bare, np.bool_)


LANE = 60.0
"""Area of a lane between panels, as a multiple of the square of its half-width: 30 times as long as half as wide."""


def _side_gutters(
    labels: Labels, ink: Mask, gutter: NDArray[np.bool_], what: Shapes, unit: float
) -> NDArray[np.bool_]:
    """Lanes that open into the gutter: slanted ones, and those beside a panel whose frame is broken."""
    if not gutter.any():
        return gutter
    n = what.count
    half = largest(labels, np.minimum(distance(~ink), sum(labels.shape)), n + 1)
    a, b, inked = borders(labels, ink.astype(np.float32))
    mouth = np.zeros(n)
    for lane, other in ((a - 1, b - 1), (b - 1, a - 1)):
        opens = gutter[other]
        mouth += np.bincount(lane[opens], 1 - inked[opens], minlength=n)
    narrow = half[1:] < GUTTER[1] / 2 * unit
    return np.asarray(narrow & (mouth >= 2 * half[1:]) & (what.area > LANE * half[1:] ** 2), np.bool_)


def _panels(
    labels: Labels, gutter: NDArray[np.bool_], what: Shapes
) -> tuple[NDArray[np.int32], list[NDArray[np.float32]]]:
    """Islands within the gutter that are large enough to be panels."""
    h, w = labels.shape
    inside = ~np.concatenate([[False], gutter])[labels]
    # A frame and its gap belong to the island; a hair's breadth of contact between panels does not join them.
    shrunk = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8))
    _, islands, stats, _ = cv2.connectedComponentsWithStats(shrunk, connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= 0.01 * h * w
    large[0] = False
    order = sorted(np.flatnonzero(large), key=lambda i: (stats[i, 1] // max(1, h // 8), stats[i, 0]))
    panel = np.full(what.count, -1, np.int32)
    boxes: list[NDArray[np.float32]] = []
    if not order:
        return np.where(gutter, -1, 0).astype(np.int32), [np.array([0, 0, w, h], np.float32)]
    share = np.zeros((what.count, len(order)))
    for number, i in enumerate(order):
        x, y, bw, bh, _ = stats[i]
        boxes.append(np.array([x, y, x + bw, y + bh], np.float32))
        part = labels[y : y + bh, x : x + bw][islands[y : y + bh, x : x + bw] == i]
        share[:, number] = np.bincount(part, minlength=what.count + 1)[1:]
    within = share.max(axis=1) > 0
    panel[within & ~gutter] = share.argmax(axis=1)[within & ~gutter]
    return panel, boxes


def _surrounds(labels: Labels, region: int, letters: NDArray[np.int32], tall: float) -> bool:
    """Whether the region lies all around these letters and is not much more than that: a balloon with a long
    tail fills little of its own box."""
    x0, y0 = letters[:, cv2.CC_STAT_LEFT].min(), letters[:, cv2.CC_STAT_TOP].min()
    x1 = (letters[:, cv2.CC_STAT_LEFT] + letters[:, cv2.CC_STAT_WIDTH]).max()
    y1 = (letters[:, cv2.CC_STAT_TOP] + letters[:, cv2.CC_STAT_HEIGHT]).max()
    margin = round(tall * 0.4)
    box = labels[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin]
    edge = np.concatenate([box[0], box[-1], box[:, 0], box[:, -1]])
    total = int((labels == region).sum())
    return bool((edge == region).mean() > 0.8 and box.size > 0.15 * total)


def _balloons(regions: Labels, ink: Mask, line: Plane, unit: float) -> NDArray[np.bool_]:
    """Regions that hold lettering: several small blots of ink of one height, side by side.

    Judged on what ink encloses, not on the regions themselves: tall letters cut a balloon into several."""
    _, labels, spaces, _ = cv2.connectedComponentsWithStats((~ink).astype(np.uint8), connectivity=4)
    area = spaces[1:, cv2.CC_STAT_AREA].astype(np.float64)
    box = np.stack(
        [
            spaces[1:, cv2.CC_STAT_LEFT],
            spaces[1:, cv2.CC_STAT_TOP],
            spaces[1:, cv2.CC_STAT_LEFT] + spaces[1:, cv2.CC_STAT_WIDTH],
            spaces[1:, cv2.CC_STAT_TOP] + spaces[1:, cv2.CC_STAT_HEIGHT],
        ],
        axis=1,
    )
    found = _lettered(np.asarray(labels, np.int32), box, area, ink, line, unit)
    found |= _outlined(np.asarray(labels, np.int32), np.asarray(spaces[1:], np.int32), unit)
    within = np.concatenate([[False], found])[labels]
    count = int(regions.max()) + 1
    share = np.bincount(regions[within], minlength=count)[1:]
    free = np.bincount(regions[~ink], minlength=count)[1:]
    return np.asarray(share > 0.7 * np.maximum(free, 1), np.bool_)


def _reads(blots: NDArray[np.int32], stats: NDArray[np.int32], letters: NDArray[np.int64]) -> bool:
    """Whether these blots are written: side by side, and of strokes that turn.

    A flick of hatching, a curl of hair or a seam is one stroke, about as long as its box; an E has three more. A
    window has more panes than any letter has eyes. Measured on lettering in six fonts and on hair, bread, clouds
    and houses: a single stroke covers at most .95 of its box's diagonal times its width, letters 1.05 to 1.6.
    """
    rich = np.zeros(len(letters))
    eyes = np.zeros(len(letters))
    hollow = np.zeros(len(letters))
    for k, (i, (x, y, wide, high, area)) in enumerate(
        zip(letters.tolist(), stats[:, :5].tolist(), strict=True)
    ):
        own = np.pad((blots[y : y + high, x : x + wide] == i).astype(np.uint8), 1)
        stroke = 2.0 * float(cv2.distanceTransform(own, cv2.DIST_L2, cv2.DIST_MASK_3).max())
        rich[k] = area / (stroke * float(np.hypot(wide, high)))
        _, _, holes, _ = cv2.connectedComponentsWithStats(1 - own, connectivity=4)
        inside = np.sort(holes[1:, cv2.CC_STAT_AREA])[:-1]  # without what lies around the letter
        eyes[k] = int((inside > 3).sum())
        hollow[k] = inside.max(initial=0) / (wide * high)
    if (rich > 1.0).mean() < 0.3 or eyes.mean() > 1.5:
        return False
    words = _words(stats)
    broad, tall = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    size = np.bincount(words)
    same = words == size.argmax()
    # Eyes and panes of windows are all alike, letters of a word seldom.
    if size.max() >= 2 and np.ptp(broad[same]) <= 2 and np.ptp(tall[same]) <= 2 and (eyes[same] >= 1).all():
        return False
    in_words = size[words] >= 2
    if len(letters) > 3 or size.max() >= 3:
        return bool(in_words.mean() >= 0.5)
    # A word or two of two letters, or script, whose letters are joined: two eyes and a mouth are neither.
    joined = (broad >= JOINED * tall) & (hollow < HOLLOW) & (rich > 1.15)
    return bool((joined | (in_words & (rich > 0.9))).mean() > 0.5)


JOINED = 1.6
"""How many times as wide as high a word is whose letters are joined."""
HOLLOW = 0.3
"""Share of its box that the largest hole of such a word has at most: a mouth between its lips has more."""


def _words(stats: NDArray[np.int32]) -> NDArray[np.int64]:
    """The number of the word that each blot belongs to: those of like height that stand side by side on one base
    line, or hang from one line."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    high = (bottom - top).astype(np.float64)
    tall = np.minimum(high[:, None], high)
    gap = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    on_line = np.minimum(np.abs(bottom[:, None] - bottom), np.abs(top[:, None] - top)) < 0.3 * tall
    beside = on_line & (gap > -0.25 * tall) & (gap < 0.9 * tall) & (_ratio(high) < 1.6)
    return np.asarray(connected_components(csr_array(beside), directed=False)[1], np.int64)


LETTER = (18.0, 170.0)
"""Least and most length of an outlined letter, in units of length."""
LEAST_LETTERS = 3
"""Letters that turn in a sound effect: two always stand in a line."""
TURNS = 1.12
"""Area of a letter, as a multiple of its stroke times the diagonal of the least rectangle around it: a C has 1.2, an
N 1.6; a bar or a loaf has .7 to 1.1."""
STEADY = 1.45
"""How many times as wide as in its narrower parts a stroke is in its wider ones: 1.0 to 1.4 in letters of fonts without
serifs, 2.2 to 4 with them; 1.3 to 2.7 in walls around doors and windows, which turn as letters do, on 350 pages."""


@dataclass(frozen=True)
class _Strokes:
    """Spaces between the ink that are strokes of about one width, one row each."""

    row: NDArray[np.int64]
    """Index of the space."""
    width: NDArray[np.float64]
    long: NDArray[np.float64]
    """The longer side of the least rectangle around it, in pixels as all lengths here."""
    turns: NDArray[np.float64]
    """See TURNS."""
    steady: NDArray[np.float64]
    """See STEADY."""
    eyes: NDArray[np.float64]
    """How many holes it has."""
    corners: NDArray[np.float64]
    """Of that rectangle, x and y, (n, 4, 2)."""


def _strokes(labels: Labels, spaces: NDArray[np.int32], unit: float) -> _Strokes:
    """The spaces of the size of an outlined letter that are strokes; row i - 1 of `spaces` is label i."""
    side = np.maximum(spaces[:, cv2.CC_STAT_WIDTH], spaces[:, cv2.CC_STAT_HEIGHT])
    fits = (side >= LETTER[0] * unit) & (side <= LETTER[1] * unit)
    rows, measured, corners = [], [], []
    for row in np.flatnonzero(fits & (spaces[:, cv2.CC_STAT_AREA] >= LEAST_AREA * unit**2)).tolist():
        x, y, w, h, area = spaces[row, :5].tolist()
        own = np.pad((labels[y : y + h, x : x + w] == row + 1).astype(np.uint8), 1)
        depth = cv2.distanceTransform(own, cv2.DIST_L2, cv2.DIST_MASK_5)
        width = 4 * float(depth.sum()) / area  # on average half as deep as in its middle
        if 2 * depth.max() >= 1.6 * width:
            continue
        middle = depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)) - 1e-3
        middle &= depth > max(1.5, 0.15 * width)
        if middle.sum() < 5:
            continue
        narrow, wide = np.percentile(depth[middle], (25, 90))
        outlines, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = max(outlines, key=len)
        around = cv2.minAreaRect(outline)
        across, along = sorted(around[1])
        long = along + 1.0  # from the middle of the first pixel to that of the last
        if long < LETTER[0] * unit or width >= 0.45 * long:
            continue
        _, _, holes, _ = cv2.connectedComponentsWithStats(1 - own, connectivity=4)
        eyes = int((holes[1:, cv2.CC_STAT_AREA] > 3).sum()) - 1
        turns = area / (width * float(np.hypot(across + 1, long)))
        rows.append(row)
        measured.append((width, long, turns, wide / narrow, eyes))
        corners.append(cv2.boxPoints(around) + np.array([x, y]))
    columns = np.array(measured, np.float64).reshape(-1, 5)
    return _Strokes(
        np.array(rows, np.int64),
        width=columns[:, 0],
        long=columns[:, 1],
        turns=columns[:, 2],
        steady=columns[:, 3],
        eyes=columns[:, 4],
        corners=np.array(corners, np.float64).reshape(-1, 4, 2),
    )


def _outlined(labels: Labels, spaces: NDArray[np.int32], unit: float) -> NDArray[np.bool_]:
    """Which of the spaces between the ink are the letters of a sound effect; row i - 1 is label i.

    Three or more that stand in a line, however that is turned, of one size and each a stroke of one width that turns;
    and among them bars of that width, an I or an exclamation mark.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    found = np.zeros(len(spaces), bool)
    strokes = _strokes(labels, spaces, unit)
    turning = (strokes.turns > TURNS) & (strokes.eyes <= 1)
    if turning.sum() < LEAST_LETTERS:
        return found
    long = strokes.long
    start = spaces[strokes.row][:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    end = start + spaces[strokes.row][:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    gap = (np.maximum(start[:, None], start) - np.minimum(end[:, None], end)).max(axis=2)
    alike = _ratio(long) < 1.5
    alike &= (_ratio(strokes.width) < 1.4) & (gap < 0.6 * np.minimum(long[:, None], long))
    group = connected_components(csr_array(alike), directed=False)[1]
    center = (start + end) / 2
    for number in np.unique(group[turning]):
        together = group == number
        word = together & turning
        if word.sum() < LEAST_LETTERS:
            continue
        size = float(np.median(long[word]))
        middle = center[word].mean(axis=0)
        _, spread, axes = np.linalg.svd(center[word] - middle, full_matrices=False)
        if spread[1] / np.sqrt(word.sum()) > 0.3 * size:
            continue
        in_line = np.abs((center - middle) @ axes[1]) < 0.5 * size
        # An I, a T and an L stand upright among letters; a shelf lies.
        along, across = np.ptp(strokes.corners @ axes.T, axis=1).T
        together &= in_line & (turning | (along < across))
        # Each with one hole, they are rather wheels or windows.
        written = word.sum() >= 0.5 * together.sum() and strokes.eyes[word].mean() < 1
        if written and np.median(strokes.steady[word]) < STEADY:
            found[strokes.row[together]] = True
    return found


def _ratio(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many times the smaller the larger of each two is."""
    return np.asarray(np.maximum(value[:, None], value) / np.minimum(value[:, None], value))


def _lettered(
    labels: Labels, box: NDArray[np.int32], area: NDArray[np.float64], ink: Mask, line: Plane, unit: float
) -> NDArray[np.bool_]:
    """Which of the spaces between the ink hold lettering; row i - 1 of `box` and `area` is label i."""
    found = np.zeros(len(area), bool)
    count, blots, stats, centers = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    if count <= 1:
        return found
    wide, high = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    letter = (high >= 5 * unit) & (high <= 45 * unit) & (wide <= 60 * unit) & (wide >= 1.5 * unit)
    letter[0] = False
    # Letters are as black as the page's ink gets; hatching and grain are not.
    dark = np.bincount(blots.ravel(), line.ravel(), minlength=count) / np.maximum(
        stats[:, cv2.CC_STAT_AREA], 1
    )
    letter &= dark > 0.75
    ids = np.flatnonzero(letter)
    if ids.size < 2:
        return found
    # The region a letter stands in: the one that meets its box most.
    home = np.zeros(ids.size, np.int64)
    for k, i in enumerate(ids):
        x0, y0, bw, bh, _ = stats[i]
        around = labels[max(0, y0 - 2) : y0 + bh + 2, max(0, x0 - 2) : x0 + bw + 2]
        ring = np.concatenate([around[0], around[-1], around[:, 0], around[:, -1]])
        values, times = np.unique(ring, return_counts=True)
        home[k] = values[times.argmax()] if times.max() > 0.9 * ring.size else 0
    for region in np.unique(home[home > 0]):
        mine = ids[home == region]
        if mine.size < 2:
            continue
        row = region - 1
        x0, y0, x1, y1 = box[row]
        full = area[row] / max(1, (x1 - x0) * (y1 - y0))
        tall = np.median(high[mine])
        middle = centers[mine, 1]
        in_line = (np.abs(middle[:, None] - middle[None, :]) < 0.6 * tall).sum(axis=1).max()
        alike = ((high[mine] > 0.7 * tall) & (high[mine] < 1.4 * tall)).mean()
        text_area = (high[mine] * wide[mine]).sum()
        dense = text_area / area[row]
        share = area[row] / labels.size
        body = full > 0.55 or _surrounds(labels, region, stats[mine], float(tall))
        if body and in_line >= 2 and alike > 0.6 and 0.03 < dense < 0.8 and share < 0.25:
            found[row] = _reads(np.asarray(blots, np.int32), stats[mine], mine)
    # What lies inside of a balloon (the eyes of letters) is part of it.
    for row in np.flatnonzero(found):
        x0, y0, x1, y1 = box[row]
        inner = (
            (box[:, 0] >= x0)
            & (box[:, 1] >= y0)
            & (box[:, 2] <= x1)
            & (box[:, 3] <= y1)
            & (area < 0.1 * area[row])
        )
        found |= inner
    return found
