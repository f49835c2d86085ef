"""Which colours the references show, and where: one palette for the whole job.

Flat colours come out exactly, gradients in even steps; the shadows and highlights of cels are tints of their base. The
palette is a function of the references and their order alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import ink, regions
from .colour import distances, to_lab

MERGE = 9.0
"""Colours nearer than this Delta-E (CIE 1976) are one palette entry."""
MOST_COLOURS = 96
PLAIN, LEAST_PLAIN = 6, 60.0
"""A small colour counts where it lies within so many levels over 5 x 5 pixels, on so many pixels (at a unit of 1)."""
MOST_REGIONS = 500
"""Regions remembered of one reference, the largest."""


def nearest_tint(picture: NDArray[np.uint8], lab: NDArray[np.float64]) -> NDArray[np.int32]:
    """Row of `lab` nearest to each pixel, (h, w), after a median that removes grain and brush noise."""
    smooth = cv2.medianBlur(np.ascontiguousarray(picture), 5)
    # 5 bits a channel are enough to tell palette entries apart, and need 32768 comparisons at most.
    key = (
        (smooth[..., 0].astype(np.int32) >> 3 << 10)
        | (smooth[..., 1].astype(np.int32) >> 3 << 5)
        | (smooth[..., 2].astype(np.int32) >> 3)
    )
    _, inverse = np.unique(key, return_inverse=True)
    total = np.stack([np.bincount(inverse.ravel(), smooth[..., c].ravel()) for c in range(3)], axis=1)
    mean = total / np.bincount(inverse.ravel())[:, None]
    best = distances(to_lab(mean), lab).argmin(axis=1).astype(np.int32)
    return np.asarray(best[inverse].reshape(key.shape), np.int32)


@dataclass(frozen=True)
class Colours:
    """A job's palette of K colours, and the T tints in which the references show them."""

    rgb: NDArray[np.uint8]
    """(K, 3); row 0 is paper white."""
    tints: NDArray[np.float64]
    """(T, 3) in Lab."""
    base: NDArray[np.int32]
    """Row of `rgb` that each tint belongs to, (T,)."""


def palette(pictures: list[NDArray[np.uint8]], inks: list[ink.Ink]) -> Colours:
    """The job's colours, most common first after white; the shadows and highlights of cels are their base's."""
    rgb = _tints(pictures, inks)
    lab = to_lab(rgb)
    base = np.arange(len(rgb))
    alike = _alike(lab) & (_flat(pictures, inks, rgb) >= FLAT)
    alike &= alike.T
    if alike.any():
        base = _bases(lab, alike, *_contacts(pictures, inks, lab))
    kept, row = np.unique(base, return_inverse=True)
    return Colours(rgb[kept], lab, row.astype(np.int32))


LIGHTER = (5.0, 25.0)
"""By how much a shadow is darker than its base, or a highlight lighter, in CIE L*."""
OTHER_HUE = 8.0
"""Difference of hue (CIE 1976 delta H*ab) up to which two tints are of one hue; grays are of any."""
OTHER_CHROMA = (5.0, 0.35)
"""Difference of chroma (CIE C*ab) up to which two tints are one colour in other light: this, and this share of the
higher one."""
HIGHLIGHT = 0.4
"""Area, as a share of the darker tint's, below which the lighter one is a highlight. A shadow may be the larger part."""
OPEN_SIDE, OPEN_MOSTLY = 0.2, 0.4
"""Least share of a shadow's whole border, and of what carries no ink of it, along which its base lies. The rest of
it runs along the outline of the thing, and past other tints of it."""
FLAT, LEVEL = 0.7, 4
"""Share of a tint's pixels within so many levels of it. Drawn flats have .95, as JPEG .85, paintings below .4: there a
tint is a step of a gradient, and joining steps lost .03 of the pixels of painted pages."""


def _alike(lab: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pairs of tints that could be one colour in light and shadow, (T, T)."""
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    light = np.abs(lab[:, None, 0] - lab[None, :, 0])
    of_chroma = np.abs(chroma[:, None] - chroma[None, :])
    plane = ((lab[:, None, 1:] - lab[None, :, 1:]) ** 2).sum(axis=2)
    of_hue = np.sqrt(np.maximum(plane - of_chroma**2, 0))
    most = OTHER_CHROMA[0] + OTHER_CHROMA[1] * np.maximum(chroma[:, None], chroma[None, :])
    lit = (light >= LIGHTER[0]) & (light <= LIGHTER[1])
    return np.asarray(lit & (of_hue <= OTHER_HUE) & (of_chroma <= most), np.bool_)


def _flat(
    pictures: list[NDArray[np.uint8]], inks: list[ink.Ink], rgb: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """How much of each tint is exactly that colour, (T,), off the ink."""
    lab = to_lab(rgb)
    exact, there = np.zeros(len(rgb)), np.zeros(len(rgb))
    for picture, drawn in zip(pictures, inks, strict=True):
        free = cv2.erode((~drawn.mask).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        tint = nearest_tint(picture, lab)[free]
        smooth = cv2.medianBlur(np.ascontiguousarray(picture), 3)[free]
        off = np.abs(smooth.astype(np.int16) - rgb[tint].astype(np.int16)).max(axis=1)
        exact += np.bincount(tint[off <= LEVEL], minlength=len(rgb))
        there += np.bincount(tint, minlength=len(rgb))
    return exact / np.maximum(there, 1)


def _contacts(
    pictures: list[NDArray[np.uint8]], inks: list[ink.Ink], lab: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The area of each tint, (T,), how long it borders on each other, and how much of that without ink, (T, T)."""
    t = len(lab)
    area, length, bare = np.zeros(t), np.zeros((t, t)), np.zeros((t, t))
    for picture, drawn in zip(pictures, inks, strict=True):
        pieces, tint = pieces_of(nearest_tint(picture, lab), drawn)
        if not tint.size:
            continue
        area += np.bincount(tint, np.bincount(pieces.ravel())[1:], minlength=t) / pieces.size
        a, b, inked = regions.borders(pieces, drawn.mask.astype(np.float32))
        pair = tint[a - 1].astype(np.int64) * t + tint[b - 1]
        for border, part in ((length, np.ones(len(pair))), (bare, 1.0 - inked)):
            counts = np.bincount(pair, part, minlength=t * t).reshape(t, t) / drawn.unit
            np.add(border, counts + counts.T, out=border)
    np.fill_diagonal(length, 0)
    np.fill_diagonal(bare, 0)
    return area, length, bare


def _bases(
    lab: NDArray[np.float64],
    alike: NDArray[np.bool_],
    area: NDArray[np.float64],
    length: NDArray[np.float64],
    bare: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The tint that each tint is the shadow or a highlight of: itself for most.

    A shadow lies within its base and no line parts them, as one does two things of like colours. The clearest are
    joined first; the border of what was joined is its base's from then on.
    """
    base = np.arange(len(lab))
    darker = lab[:, None, 0] < lab[None, :, 0]
    large = area[None, :] >= HIGHLIGHT * area[:, None]
    joins = alike & np.where(darker, large, ~large.T)
    joins[0] = False  # paper is no highlight
    while True:
        side = bare / np.maximum(length.sum(axis=1), 1e-9)[:, None]
        mostly = bare / np.maximum(bare.sum(axis=1), 1e-9)[:, None]
        side = np.where(joins & (side >= OPEN_SIDE) & (mostly >= OPEN_MOSTLY), side, 0)
        tint, to = (int(at) for at in np.unravel_index(side.argmax(), side.shape))
        if side[tint, to] == 0:
            return base
        base[base == tint] = to
        joins[tint] = joins[:, tint] = False
        for border in (length, bare):
            border[to] += border[tint]
            border[:, to] += border[:, tint]
            border[tint] = border[:, tint] = border[to, to] = 0


def _tints(pictures: list[NDArray[np.uint8]], inks: list[ink.Ink]) -> NDArray[np.uint8]:
    """The colours that the references show, most common first after white.

    Every picture has one vote, however large it is. The commonest colour takes all within MERGE of it, and so
    on: flat colours come out exactly, gradients in even steps.
    """
    votes: dict[int, float] = {}
    small: dict[int, float] = {}
    for picture, drawn in zip(pictures, inks, strict=True):
        free = cv2.erode((~drawn.mask).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        smooth = cv2.medianBlur(np.ascontiguousarray(picture), 3)
        pixels = smooth[free]
        if not pixels.size:
            continue
        used, times = np.unique(_code(pixels), return_counts=True)
        for value, count in zip(used.tolist(), times.tolist(), strict=True):
            votes[value] = votes.get(value, 0.0) + count / len(pixels)
        square = np.ones((5, 5), np.uint8)
        plain = free & ((cv2.dilate(smooth, square) - cv2.erode(smooth, square)).max(axis=2) <= PLAIN)
        used, times = np.unique(_code(smooth[plain]), return_counts=True)
        for value, count in zip(used.tolist(), times.tolist(), strict=True):
            small[value] = small.get(value, 0.0) + count / drawn.unit**2
    if not votes:
        return np.array([[255, 255, 255]], np.uint8)
    colours, weight = _by_cell(votes)
    lab = to_lab(colours)
    chosen = [np.array([255, 255, 255])]
    left = weight.copy()
    white = np.sqrt(((lab - to_lab(chosen[0])) ** 2).sum(axis=1)) < MERGE
    left[white] = 0
    while len(chosen) < MOST_COLOURS and left.sum() > 0.004 * weight.sum():
        top = int(left.argmax())
        away = np.sqrt(((lab - lab[top]) ** 2).sum(axis=1))
        # A flat colour towers over its shades; other flats nearby are colours of their own.
        flat = left[top] > 0.7 * left[away < MERGE / 2].sum()
        near = (away < (MERGE / 3 if flat else MERGE)) & (left > 0)
        part = float(left[near].sum())
        left_before = left[near].copy()
        left[near] = 0
        if part < 0.0003 * weight.sum():
            continue
        # An exact flat colour stays exact; a gradient is represented by its middle.
        alone = left_before.max() > 0.5 * part
        middle = np.average(colours[near], axis=0, weights=left_before)
        chosen.append(colours[top] if alone else np.rint(middle).astype(np.int64))
    # A tongue is a small part of a page, and a colour all the same: it is plain, as no soft edge is.
    if small:
        colours, weight = _by_cell(small)
        lab = to_lab(colours)
        weight[distances(lab, to_lab(np.array(chosen))).min(axis=1) < MERGE] = 0
        while len(chosen) < MOST_COLOURS and weight.max() > LEAST_PLAIN:
            top = int(weight.argmax())
            chosen.append(colours[top])
            weight[np.sqrt(((lab - lab[top]) ** 2).sum(axis=1)) < MERGE] = 0
    return np.array(chosen).astype(np.uint8)


def _code(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(pixels.astype(np.int64) @ np.array([65536, 256, 1]))


def _by_cell(votes: dict[int, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """One colour, the commonest, for each cell of 8 x 8 x 8: a painted page has 200,000. And its votes."""
    codes = np.array(sorted(votes))
    weight = np.array([votes[c] for c in codes.tolist()])
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    key = (colours[:, 0] >> 3 << 10) | (colours[:, 1] >> 3 << 5) | (colours[:, 2] >> 3)
    order = np.lexsort((weight, key))
    last = np.append(np.flatnonzero(np.diff(key[order])), len(order) - 1)
    used, inverse = np.unique(key, return_inverse=True)
    return colours[order[last]], np.bincount(inverse, weight, minlength=len(used))


def pieces_of(ids: NDArray[np.int32], drawn: ink.Ink) -> tuple[regions.Labels, NDArray[np.int32]]:
    """Areas of one colour between lines: labels grown over the whole picture, and each one's palette id."""
    labels = np.zeros(ids.shape, np.int32)
    colour: list[int] = []
    area: list[int] = []
    least = 60 * drawn.unit * drawn.unit
    for number in np.unique(ids):
        part = ((ids == number) & ~drawn.mask).astype(np.uint8)
        _, cc, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=4)
        keep = stats[:, cv2.CC_STAT_AREA] >= least
        keep[0] = False
        if not keep.any():
            continue
        new = np.where(keep, np.cumsum(keep) + len(colour), 0).astype(np.int32)
        labels += new[cc]
        colour += [int(number)] * int(keep.sum())
        area += stats[keep, cv2.CC_STAT_AREA].tolist()
    if not colour:
        return labels, np.zeros(0, np.int32)
    order = np.argsort(-np.array(area), kind="stable")[:MOST_REGIONS]
    new = np.zeros(len(colour) + 1, np.int32)
    new[order + 1] = np.arange(1, len(order) + 1)
    labels = regions.nearest_label(new[labels])[1]
    return labels, np.array(colour, np.int32)[order]
