"""The colours of a page's flats from a painting of the page, such as a model's.

Promises: one colour for each region, the commonest of the painting there; smears, seams and colours that leak over a line
cannot show. A colour near one of the palette is that one. What a person said stays; so does paper, unless the painting is
of one mind that it is coloured. How sure a region is, is a rule of thumb and not fitted: the share of its pixels that
agree, and whether the references alone say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .assign import GUESS, HINT, PAPER, REFERENCE
from .color import distances, to_lab
from .color_ids import OWN_COLOR
from .flatted import Flatted

SNAP = 10.0
"""Delta-E (CIE 1976) within which a painted colour is the palette's, and pixels agree with their region's colour."""
ALIKE = 6.0
"""The same for two colours of one page that the palette has not."""
INK = 64
"""Strength of the line work from which on a pixel says nothing of the colour beside it."""
FEW = 12
"""Pixels of a region without ink below which those under it count, too."""
BIN = 8.0
"""Width of the histogram's bins, in Lab."""
BITS = 5
"""Bits of each channel that are told apart."""
OF_ONE_MIND, COLORED = 0.8, 15.0
"""Share of a paper region's pixels that must agree, and how far from white they must be, for it to be no paper."""


@dataclass(frozen=True)
class _Painted:
    """The colour of each of n regions, (n, 3), and the share of its pixels that agree, (n,)."""

    rgb: NDArray[np.uint8]
    agreed: NDArray[np.float64]


def repainted(found: Flatted, painting: NDArray[np.uint8]) -> Flatted:
    """`found` with the colours of `painting`: the page as a model painted it, (h, w, 3), sRGB, of any size."""
    height, width = found.labels.shape
    fitted = cv2.resize(painting, (width, height), interpolation=cv2.INTER_AREA)
    painted = _commonest(found, np.asarray(fitted, np.uint8))
    lab = to_lab(painted.rgb)
    away = distances(lab, to_lab(found.rgb))
    row = np.where(away.min(axis=1) < SNAP, away.argmin(axis=1), -1)
    ids, rgb = found.ids.tolist(), found.rgb.tolist()
    own: list[int] = []
    for region in np.argsort(-found.area, kind="stable").tolist():
        if row[region] >= 0:
            continue
        near = distances(lab[[region]], lab[own])[0] if own else np.zeros(0)
        if near.size and near.min() < ALIKE:
            row[region] = row[own[int(near.argmin())]]
            continue
        red, green, blue = painted.rgb[region].tolist()
        own.append(region)
        row[region] = len(ids)
        ids.append(OWN_COLOR + (red << 16 | green << 8 | blue))
        rgb.append([red, green, blue])
    is_white = distances(lab, to_lab(np.array([[255, 255, 255]])))[:, 0] < COLORED
    said = found.reason == HINT
    paper = (found.reason == PAPER) & (is_white | (painted.agreed < OF_ONE_MIND))
    still = said | paper
    color = np.where(still, found.color, row).astype(np.int32)
    alone = found.confidence
    sure = np.where(
        color == found.color,
        1 - (1 - painted.agreed) * (1 - alone),
        painted.agreed * (1 - alone / 2),
    )
    reason = np.where(row < len(found.ids), REFERENCE, GUESS)
    return replace(
        found,
        ids=np.array(ids, np.int32),
        rgb=np.array(rgb, np.uint8).reshape(-1, 3),
        color=color,
        confidence=np.where(still, alone, sure).astype(np.float32),
        reason=np.where(still, found.reason, reason).astype(np.uint8),
    )


def _commonest(found: Flatted, painting: NDArray[np.uint8]) -> _Painted:
    """The mode of each region's colours in Lab: the fullest bin, with a part of those around it, and the mean of what is near."""
    n = len(found.color)
    counted = found.line < INK
    bare = np.bincount(found.labels[counted], minlength=n + 1)
    counted |= (bare < FEW)[found.labels]
    region = found.labels[counted].astype(np.int64) - 1
    coarse = (painting[counted] >> (8 - BITS)).astype(np.int64)
    code = (coarse[:, 0] << 2 * BITS) | (coarse[:, 1] << BITS) | coarse[:, 2]
    sums = _sums(region << 3 * BITS | code, painting[counted])
    region, count, mean = sums.key >> 3 * BITS, sums.count, sums.mean
    lab = to_lab(mean)
    # The corners of Lab, with room for a step beyond each.
    place = np.floor((lab + np.array([0.0, 128.0, 128.0])) / BIN).astype(np.int64) + 1
    side = int(256 / BIN) + 3
    key = ((region * side + place[:, 0]) * side + place[:, 1]) * side + place[:, 2]
    bins, at = np.unique(key, return_inverse=True)
    full = np.bincount(at, count, minlength=len(bins))
    around = np.zeros(len(bins))
    for step in np.ndindex(3, 3, 3):
        offset = ((step[0] - 1) * side + step[1] - 1) * side + step[2] - 1
        index = np.minimum(np.searchsorted(bins, bins + offset), len(bins) - 1)
        near_by = np.where(bins[index] == bins + offset, full[index], 0)
        around += near_by * 0.5 ** np.count_nonzero(np.array(step) != 1)
    fullest = _first_of_each(bins // side**3, around, n)
    center = np.zeros((n, 3))
    has = fullest >= 0
    for channel in range(3):
        mean_of_bin = np.bincount(at, count * lab[:, channel], minlength=len(bins)) / full
        center[has, channel] = mean_of_bin[fullest[has]]
    total = np.bincount(region, count, minlength=n)
    for _ in range(3):
        near = np.sqrt(((lab - center[region]) ** 2).sum(axis=1)) < SNAP
        held = np.maximum(np.bincount(region[near], count[near], minlength=n), 1e-9)
        for channel in range(3):
            sum_ = np.bincount(region[near], (count * lab[:, channel])[near], minlength=n)
            center[:, channel] = np.where(held > 0.5, sum_ / held, center[:, channel])
    near = np.sqrt(((lab - center[region]) ** 2).sum(axis=1)) < SNAP
    held = np.bincount(region[near], count[near], minlength=n)
    rgb = np.full((n, 3), 255.0)
    for channel in range(3):
        sum_ = np.bincount(region[near], (count * mean[:, channel])[near], minlength=n)
        rgb[:, channel] = np.where(held > 0, sum_ / np.maximum(held, 1), 255)
    return _Painted(np.rint(rgb).astype(np.uint8), held / np.maximum(total, 1))


@dataclass(frozen=True)
class _Sums:
    """What pixels of one key have in common: how many they are, and their mean colour."""

    key: NDArray[np.int64]
    count: NDArray[np.float64]
    mean: NDArray[np.float64]


def _sums(key: NDArray[np.int64], rgb: NDArray[np.uint8]) -> _Sums:
    keys, at = np.unique(key, return_inverse=True)
    count = np.bincount(at).astype(np.float64)
    mean = np.stack([np.bincount(at, rgb[:, channel]) / count for channel in range(3)], axis=1)
    return _Sums(keys, count, mean)


def _first_of_each(group: NDArray[np.int64], value: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """The row of the largest value in each of n groups, the first of equal ones; -1 where a group has none."""
    order = np.lexsort((np.arange(len(value)), -value, group))
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    found = np.full(n, -1, np.int64)
    found[group[order][first]] = order[first]
    return found
