"""Regions: the areas between the lines, closed where the artist left them open.

Promises labels 1..n without holes in the numbering, every pixel in exactly one region, also below the ink,
so that flats meet under the line (*trapping*). Gaps of some 8 pixels at 1400 close; a wide opening does not,
unless both sides are much wider still. Does not guess at colours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from . import completion
from .ink import Ink, Mask
from .runs import largest

Labels = NDArray[np.int32]

RADII = (24, 17, 12, 8.5, 6, 4, 2.8, 2, 1.4, 0)
"""Levels of the distance cascade, in units of length (see ink.UNIT_SIDE), wide to narrow."""
LEAST_AREA = 40
"""Smallest region, in square units."""
OPEN = 12.0
"""Half the width of a passage, in units, that is never taken for a gap in a line."""
NECK = 0.65
"""A passage wider than this share of the narrower side's own width is no neck."""
NARROW = 0.2
"""The same where no line ends at the passage: two shapes come near each other, and nothing is open."""
LEAST_GAP = 1.0
"""Half the width of a passage, in units, up to which lines that do not end are taken to touch."""


def segment(drawn: Ink, tips: completion.Ends | None = None) -> Labels:
    """Label the regions of a drawing, (h, w), from 1. Gutters without frames are regions of their own. `tips` are the ends of its
    strokes, where somebody knows them already."""
    unit = drawn.unit
    white = ~(drawn.mask | drawn.gutter)
    if not white.any():
        return np.ones(white.shape, np.int32)
    depth = distance(white)
    ends = completion.ends(drawn.mask) if tips is None else tips
    labels = _cascade(white, depth, unit)
    labels = np.where(white, _merge_open(labels, white, depth, unit, ends), 0).astype(np.int32)
    labels = completion.part(labels, completion.joins(ends, drawn.mask, unit), unit)
    labels = _merge_slivers(labels, LEAST_AREA * unit * unit)
    if drawn.gutter.any():
        _, bands = cv2.connectedComponents(drawn.gutter.astype(np.uint8), connectivity=4)
        labels = np.where(drawn.gutter, bands + labels.max(), labels).astype(np.int32)
    return _renumber(_grow(labels))


def distance(white: Mask) -> NDArray[np.float32]:
    """How far each pixel is from the nearest ink, in pixels."""
    return np.asarray(cv2.distanceTransform(white.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def _cascade(white: Mask, depth: NDArray[np.float32], unit: float) -> Labels:
    """Cores at each level, grown back by the level's radius: what an opening with that disc reaches."""
    labels = np.zeros(white.shape, np.int32)
    flat, left = labels.ravel(), white.copy()
    last = 0
    for level in RADII:
        radius = level * unit
        free = left & (depth > radius)
        count, cores = cv2.connectedComponents(free.view(np.uint8), connectivity=4)
        if count <= 1:
            continue
        at = np.flatnonzero(free)
        core = cores.ravel()[at]
        fits = np.bincount(core, minlength=count) >= (LEAST_AREA * unit * unit if level else 1)
        if not fits[1:].all():
            free.ravel()[at] = kept = fits[core]
            at, core = at[kept], core[kept]
        if not at.size:
            continue
        number = (np.cumsum(fits) + last).astype(np.int32)
        last = int(number[-1])
        flat[at] = found = number[core]
        left ^= free
        if radius > 0:
            # Within the radius of a core the way is free of ink: the disc around it is all white.
            away, index = _seeded(~free)
            ring = left & (away <= radius)
            reached = np.flatnonzero(ring)
            flat[reached] = found[index.ravel()[reached]]
            left ^= ring
    return labels


def nearest_label(labels: Labels) -> tuple[NDArray[np.float32], Labels]:
    """For each pixel the distance to the nearest labelled one, and its label."""
    blank = labels == 0
    if blank.all():
        return np.full(labels.shape, np.inf, np.float32), labels
    away, index = _seeded(blank)
    return away, labels[~blank][index]


def _seeded(blank: Mask) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """For each pixel the distance to the nearest that is not blank, and which of these it is, counted from 0 in reading order."""
    away, index = cv2.distanceTransformWithLabels(
        blank.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    found = np.asarray(index, np.int32)
    found -= 1  # OpenCV counts from 1
    return np.asarray(away, np.float32), found


def borders(
    labels: Labels, value: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Pairs of touching pixels of two regions: (labels a < b, the smaller `value` of the two)."""
    a, b, low, _ = _contacts(labels, value)
    return a, b, low


def _contacts(
    labels: Labels, value: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """What `borders` gives, and the flat index of one pixel of each pair."""
    width = labels.shape[1]
    region, level = labels.ravel(), np.ascontiguousarray(value).ravel()
    sides = []
    for one, other, step in (
        (np.s_[:, :-1], np.s_[:, 1:], 1),
        (np.s_[:-1, :], np.s_[1:, :], width),
    ):
        meet = np.zeros(labels.shape, np.bool_)
        np.not_equal(labels[one], labels[other], out=meet[one])
        at = np.flatnonzero(meet)
        a, b = region[at], region[at + step]
        both = (a > 0) & (b > 0)
        at, a, b = at[both], a[both], b[both]
        sides.append((np.minimum(a, b), np.maximum(a, b), np.minimum(level[at], level[at + step]), at))
    return (
        np.concatenate([s[0] for s in sides]).astype(np.int64),
        np.concatenate([s[1] for s in sides]).astype(np.int64),
        np.concatenate([s[2] for s in sides]),
        np.concatenate([s[3] for s in sides]),
    )


def _merge_open(
    labels: Labels, white: Mask, depth: NDArray[np.float32], unit: float, ends: completion.Ends
) -> Labels:
    """Join regions whose passage is no gap: wide in itself, or about as wide as the narrower side, or not so narrow
    and between lines that do not end there."""
    count = int(labels.max()) + 1
    width = largest(labels, depth, count)
    a, b, low, at = _contacts(np.where(white, labels, 0), depth)
    if not a.size:
        return labels
    key = a * count + b
    order = np.lexsort((-low, key))
    first = order[np.flatnonzero(np.diff(key[order], prepend=-1))]
    pairs, saddle = key[first], low[first]
    away = completion.away(ends, np.stack(np.unravel_index(at[first], labels.shape)[::-1], 1))
    # The pixel of the passage lies half a stroke from the end's rim, and rarely at the same distance of both sides.
    neck = np.where(away <= 1.3 * saddle + 2 + ends.width, NECK, NARROW)
    parent = np.arange(count)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for k in np.lexsort((pairs, -saddle)):
        i, j = root(int(pairs[k] // count)), root(int(pairs[k] % count))
        if i == j:
            continue
        narrow = max(LEAST_GAP * unit, neck[k] * min(float(width[i]), float(width[j])))
        if saddle[k] >= min(OPEN * unit, narrow):
            parent[max(i, j)] = min(i, j)
            width[min(i, j)] = max(width[i], width[j])
    roots = np.array([root(i) for i in range(count)], np.int32)
    return roots[labels]


def _merge_slivers(labels: Labels, area: float) -> Labels:
    """Give regions under `area` square pixels to what lies nearest."""
    size = np.bincount(labels.ravel())
    small = size < area
    small[0] = False
    if not small.any() or small[1:].sum() == (size[1:] > 0).sum():
        return labels
    return np.where(small[labels], 0, labels)


def _grow(labels: Labels) -> Labels:
    if (labels == 0).all():
        return np.ones_like(labels)
    return nearest_label(labels)[1]


def _renumber(labels: Labels) -> Labels:
    used = np.bincount(labels.ravel()) > 0
    used[0] = False
    return np.where(used, np.cumsum(used), 0).astype(np.int32)[labels]
