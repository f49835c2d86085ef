"""Which colours the references show, and where: one palette for the whole job.

Flat colours come out exactly, gradients in even steps; the shadows and highlights of cels are tints of their base. The
palette is a function of the references and their order alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import ink, regions, runs
from .color import brightest, distances, to_lab

MERGE = 9.0
"""Colours nearer than this Delta-E (CIE 1976) are one palette entry."""
MOST_COLORS = 96
PLAIN, LEAST_PLAIN = 6, 60.0
"""A small colour counts where it lies within so many levels over 5 x 5 pixels, on so many pixels (at a unit of 1)."""
MOST_REGIONS = 500
"""Regions remembered of one reference, the largest."""


def nearest_tint(picture: NDArray[np.uint8], lab: NDArray[np.float64]) -> NDArray[np.int32]:
    """Row of `lab` nearest to each pixel, (h, w), after a median that removes grain and brush noise."""
    smooth = cv2.medianBlur(np.ascontiguousarray(picture), 5)
    # 5 bits a channel are enough to tell palette entries apart, and need 32768 comparisons at most.
    cell = _cell(smooth)
    count = np.bincount(cell.ravel(), minlength=CELLS)
    used = np.flatnonzero(count)
    total = np.stack(
        [np.bincount(cell.ravel(), smooth[..., c].ravel(), minlength=CELLS)[used] for c in range(3)], axis=1
    )
    best = np.zeros(CELLS, np.int32)
    best[used] = distances(to_lab(total / count[used, None]), lab).argmin(axis=1)
    return np.asarray(best[cell])


CELLS = 1 << 15
"""Cells of 8 x 8 x 8 that hold all colours."""


def _cell(pixels: NDArray[Any]) -> NDArray[np.int32]:
    """The cell that each of (..., 3) colours lies in."""
    level = pixels.astype(np.int32) >> 3
    return np.asarray(level[..., 0] << 10 | level[..., 1] << 5 | level[..., 2], np.int32)


@dataclass(frozen=True)
class Colors:
    """A job's palette of K colours, and the T tints in which the references show them."""

    rgb: NDArray[np.uint8]
    """(K, 3); row 0 is paper white."""
    tints: NDArray[np.float64]
    """(T, 3) in Lab."""
    base: NDArray[np.int32]
    """Row of `rgb` that each tint belongs to, (T,)."""
    flat: float
    """Share of the pictures off the ink that is exactly of its tint: of flat colours nearly all, of a painting little."""


@dataclass(frozen=True)
class Votes:
    """What one picture says of which colours there are: codes as of `_code`, each once."""

    color: NDArray[np.int32]
    share: NDArray[np.float64]
    """Of the picture's pixels off the ink, in each colour."""
    plain: NDArray[np.int32]
    pixels: NDArray[np.float64]
    """On which each of the `plain` colours lies alone, at a unit of 1."""


@dataclass(frozen=True)
class Tinted:
    """One picture in T tints."""

    tint: NDArray[np.uint8]
    """Of each pixel, (h, w)."""
    exact: NDArray[np.int64]
    """Pixels off the ink in exactly each tint, (T,), and in all of what is taken for it."""
    there: NDArray[np.int64]
    area: NDArray[np.float64]
    """Share of the picture's area, (T,)."""
    length: NDArray[np.float64]
    """How long each tint borders on each other, and how much of that without ink, (T, T) in units of length."""
    bare: NDArray[np.float64]
    piece: NDArray[np.int32]
    """The tint of each piece of one colour, and how much area it has by each tint that it lies beside with no ink between,
    (pieces, T)."""
    beside: NDArray[np.float64]


def tinted(picture: NDArray[np.uint8], drawn: ink.Ink, rgb: NDArray[np.uint8]) -> Tinted:
    """See a picture in the tints `rgb`, (T, 3), of `tints`."""
    lab = to_lab(rgb)
    tint = nearest_tint(picture, lab).astype(np.uint8)
    exact, there = _flat(picture, drawn, rgb, tint)
    t = len(rgb)
    if _alike(lab).any():
        contacts = _contacts(tint, drawn, t)
    else:  # nobody will ask
        nothing, none = np.zeros((t, t)), np.zeros((0, t))
        contacts = np.zeros(t), nothing, nothing, np.zeros(0, np.int32), none
    return Tinted(tint, exact, there, *contacts)


def palette(rgb: NDArray[np.uint8], seen: Sequence[Tinted]) -> Colors:
    """The job's colours, most common first after white, of all its pictures in the tints `rgb`; the shadows and highlights
    of cels are their base's."""
    lab = to_lab(rgb)
    base = np.arange(len(rgb))
    exact = np.sum([one.exact for one in seen], axis=0)
    there = np.maximum(np.sum([one.there for one in seen], axis=0), 1)
    flat = exact / there
    alike = _alike(lab) & (flat >= FLAT)
    alike &= alike.T
    if alike.any():
        t = len(rgb)
        area, length, bare, beside = np.zeros(t), np.zeros((t, t)), np.zeros((t, t)), np.zeros((t, t))
        for one in seen:
            area += one.area
            length += one.length
            bare += one.bare
            np.add.at(beside, one.piece, one.beside)
        np.fill_diagonal(length, 0)
        np.fill_diagonal(bare, 0)
        base = _bases(lab, alike, area, length, bare, beside)
    kept, row = np.unique(base, return_inverse=True)
    return Colors(rgb[kept], lab, row.astype(np.int32), float(exact.sum() / there.sum()))


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
WITHIN = 0.9
"""Least share of a shadow's area that lies in pieces beside its base, with no ink between for LONG units of length. A colour
that is also seen without the other is a colour of its own: a skin beside another's in one picture, alone in the next."""
LONG = 3.0
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
    picture: NDArray[np.uint8], drawn: ink.Ink, rgb: NDArray[np.uint8], tint: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels off the ink that are exactly of their tint's colour, (T,), and all of them."""
    free = cv2.erode((~drawn.mask).view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_)
    smooth = np.asarray(cv2.medianBlur(np.ascontiguousarray(picture), 3), np.uint8)
    off = cv2.absdiff(smooth, rgb[tint])
    near = cv2.inRange(off, (0, 0, 0), (LEVEL, LEVEL, LEVEL)) > 0
    return np.bincount(tint[free & near], minlength=len(rgb)), np.bincount(tint[free], minlength=len(rgb))


def _contacts(
    tints: NDArray[np.uint8], drawn: ink.Ink, t: int
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]
]:
    """The fields of `Tinted` from `area` on, from the tint of each pixel."""
    pieces, tint = pieces_of(tints.astype(np.int32), drawn)
    length, bare = np.zeros((t, t)), np.zeros((t, t))
    if not tint.size:
        return np.zeros(t), length, bare, tint, np.zeros((0, t))
    share = np.bincount(pieces.ravel())[1:] / pieces.size
    area = np.asarray(np.bincount(tint, share, minlength=t), np.float64)
    a, b, inked = regions.borders(pieces, drawn.mask.astype(np.float32))
    pair = tint[a - 1].astype(np.int64) * t + tint[b - 1]
    for border, part in ((length, np.ones(len(pair))), (bare, 1.0 - inked)):
        counts = np.bincount(pair, part, minlength=t * t).reshape(t, t) / drawn.unit
        np.add(border, counts + counts.T, out=border)
    meets = np.zeros((len(tint), t))
    for piece, other in ((a - 1, b - 1), (b - 1, a - 1)):
        np.add.at(meets, (piece, tint[other]), (1.0 - inked) / drawn.unit)
    return area, length, bare, tint, (meets >= LONG) * share[:, None]


def _bases(
    lab: NDArray[np.float64],
    alike: NDArray[np.bool_],
    area: NDArray[np.float64],
    length: NDArray[np.float64],
    bare: NDArray[np.float64],
    beside: NDArray[np.float64],
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
        within = beside / np.maximum(area, 1e-12)[:, None]
        side = np.where(joins & (side >= OPEN_SIDE) & (mostly >= OPEN_MOSTLY) & (within >= WITHIN), side, 0)
        tint, to = (int(at) for at in np.unravel_index(side.argmax(), side.shape))
        if side[tint, to] == 0:
            return base
        base[base == tint] = to
        joins[tint] = joins[:, tint] = False
        for border in (length, bare):
            border[to] += border[tint]
            border[:, to] += border[:, tint]
            border[tint] = border[:, tint] = border[to, to] = 0
        beside[:, to] += beside[:, tint]


def votes(picture: NDArray[np.uint8], drawn: ink.Ink) -> Votes:
    """What a picture, (h, w, 3), says of which colours there are."""
    free = cv2.erode((~drawn.mask).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    smooth = np.asarray(cv2.medianBlur(np.ascontiguousarray(picture), 3), np.uint8)
    pixels = smooth[free]
    if not pixels.size:
        nothing, none = np.zeros(0, np.int32), np.zeros(0)
        return Votes(nothing, none, nothing, none)
    used, times = np.unique(_code(pixels), return_counts=True)
    square = np.ones((5, 5), np.uint8)
    plain = free & (brightest(cv2.subtract(cv2.dilate(smooth, square), cv2.erode(smooth, square))) <= PLAIN)
    alone, count = np.unique(_code(smooth[plain]), return_counts=True)
    return Votes(used, times / len(pixels), alone, count / drawn.unit**2)


def tints(said: Sequence[Votes]) -> NDArray[np.uint8]:
    """The colours that the references show, most common first after white.

    Every picture has one vote, however large it is. The commonest colour takes all within MERGE of it, and so
    on: flat colours come out exactly, gradients in even steps.
    """
    votes: dict[int, float] = {}
    small: dict[int, float] = {}
    for one in said:
        for value, share in zip(one.color.tolist(), one.share.tolist(), strict=True):
            votes[value] = votes.get(value, 0.0) + share
        for value, pixels in zip(one.plain.tolist(), one.pixels.tolist(), strict=True):
            small[value] = small.get(value, 0.0) + pixels
    if not votes:
        return np.array([[255, 255, 255]], np.uint8)
    colors, weight = _by_cell(votes)
    lab = to_lab(colors)
    chosen = [np.array([255, 255, 255])]
    left = weight.copy()
    white = np.sqrt(((lab - to_lab(chosen[0])) ** 2).sum(axis=1)) < MERGE
    left[white] = 0
    while len(chosen) < MOST_COLORS and left.sum() > 0.004 * weight.sum():
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
        middle = np.average(colors[near], axis=0, weights=left_before)
        chosen.append(colors[top] if alone else np.rint(middle).astype(np.int64))
    # A tongue is a small part of a page, and a colour all the same: it is plain, as no soft edge is.
    if small:
        colors, weight = _by_cell(small)
        lab = to_lab(colors)
        weight[distances(lab, to_lab(np.array(chosen))).min(axis=1) < MERGE] = 0
        while len(chosen) < MOST_COLORS and weight.max() > LEAST_PLAIN:
            top = int(weight.argmax())
            chosen.append(colors[top])
            weight[np.sqrt(((lab - lab[top]) ** 2).sum(axis=1)) < MERGE] = 0
    return np.array(chosen).astype(np.uint8)


def _code(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = pixels.astype(np.int32).T
    return np.asarray(red << 16 | green << 8 | blue, np.int32)


def _by_cell(votes: dict[int, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """One colour, the commonest, for each cell of 8 x 8 x 8: a painted page has 200,000. And its votes."""
    codes = np.array(sorted(votes))
    weight = np.array([votes[c] for c in codes.tolist()])
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    key = _cell(colors)
    order = np.lexsort((weight, key))
    last = np.append(np.flatnonzero(np.diff(key[order])), len(order) - 1)
    used, inverse = np.unique(key, return_inverse=True)
    return colors[order[last]], np.bincount(inverse, weight, minlength=len(used))


def pieces_of(ids: NDArray[np.int32], drawn: ink.Ink) -> tuple[regions.Labels, NDArray[np.int32]]:
    """Areas of one colour between lines: labels grown over the whole picture, and each one's palette id."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    free = np.where(drawn.mask, -1, ids)
    found = runs.find(free)
    color = free.ravel()[found.first]
    above, below = runs.stacked(found, free)
    links = coo_array((np.ones(len(above), np.bool_), (above, below)), shape=(len(color), len(color)))
    count, piece = connected_components(links, directed=False)
    color_of, area = np.empty(count, np.int32), np.bincount(piece, found.length, minlength=count)
    color_of[piece] = color
    least = 60 * drawn.unit * drawn.unit
    kept = np.flatnonzero((color_of >= 0) & (area >= least))
    # Of equally large ones that of the lower colour comes first, and of one colour the upper one.
    kept = kept[np.lexsort((kept, color_of[kept], -area[kept]))[:MOST_REGIONS]]
    number = np.zeros(count, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    labels = found.spread(number[piece])
    return (regions.nearest_label(labels)[1] if len(kept) else labels), color_of[kept]
