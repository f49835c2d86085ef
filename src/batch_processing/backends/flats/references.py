"""What the references teach: one palette for the whole job, and what the things in each colour look like.

`learn` reads coloured pictures; `Knowledge` is what a page is matched against. Its file is plain arrays (npz
without pickle), its bytes a function of the references and the version alone. Coordinates do not survive:
a reference may have any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import describe, graph, ink, regions, structure
from .arrays import packed
from .colour import distances, to_lab

WORK_SIDE = 1400
"""Longest side in pixels at which references are studied; more shows no other shapes."""
MERGE = 9.0
"""Colours nearer than this Delta-E (CIE 1976) are one palette entry."""
MOST_COLOURS = 96
PLAIN, LEAST_PLAIN = 6, 60.0
"""A small colour counts where it lies within so many levels over 5 x 5 pixels, on so many pixels (at a unit of 1)."""
MOST_REGIONS = 500
"""Regions remembered of one reference, the largest."""


@dataclass
class Knowledge:
    """A job's references, as arrays. K colours, R regions, P points."""

    rgb: NDArray[np.uint8]
    """Palette, (K, 3); the row is the palette id. Row 0 is paper white."""
    share: NDArray[np.float32]
    """Share of the references' area in each colour, (K,), without the paper of model sheets."""
    touch: NDArray[np.float32]
    """How often two colours lie side by side across a line, relative to chance, (K, K)."""
    region_rows: NDArray[np.float32]
    region_colour: NDArray[np.int32]
    point_rows: NDArray[np.float32]
    point_colour: NDArray[np.int32]
    region_turn: NDArray[np.float32]
    """What a page's region rows are multiplied with before they are compared, (width, width)."""
    point_turn: NDArray[np.float32]
    region_place: NDArray[np.floating[Any]]
    """Each region's place in the learned metric, see graph.embed."""
    region_share: NDArray[np.float32]
    """Each region's share of its picture's area."""
    region_around: NDArray[np.floating[Any]]
    """The colours around each region, (R, SIDES, K), see graph.surroundings."""
    metric_trust: NDArray[np.float32]
    """From 0 to 1, (1,): how far the learned metric is to be trusted, by how well it tells what one reference shows
    from the others."""

    def to_bytes(self) -> bytes:
        return packed(vars(self))

    @classmethod
    def of_palette(cls, rgb: Sequence[Sequence[int]]) -> Knowledge:
        """No references, only colours: all a page can be given are hints."""
        k = len(rgb)
        nothing: dict[str, Any] = {
            "region_rows": np.zeros((0, describe.REGION_WIDTH), np.float16),
            "region_colour": np.zeros(0, np.int32),
            "point_rows": np.zeros((0, describe.POINT_WIDTH), np.float16),
            "point_colour": np.zeros(0, np.int32),
            "region_turn": np.eye(describe.REGION_WIDTH, dtype=np.float32),
            "point_turn": np.eye(describe.POINT_WIDTH, dtype=np.float32),
            "region_place": np.zeros((0, graph.PLACE_WIDTH), np.float16),
            "region_share": np.zeros(0, np.float32),
            "region_around": np.zeros((0, graph.SIDES, k), np.float16),
            "metric_trust": np.zeros(1, np.float32),
        }
        share = np.full(k, 1 / max(1, k), np.float32)
        return cls(np.array(rgb, np.uint8).reshape(k, 3), share, np.ones((k, k), np.float32), **nothing)


def learn(pictures: Iterable[NDArray[np.uint8]]) -> Knowledge:
    """Learn from coloured pictures, (h, w, 3) of 8 bit each, read one after the other (the order is kept)."""
    small = [shrink(picture, WORK_SIDE) for picture in pictures]
    inks = [ink.find_in_colour(picture) for picture in small]
    colours = palette(small, inks)
    studied = [study(picture, drawn, colours) for picture, drawn in zip(small, inks, strict=True)]
    return summed_up(colours.rgb, [one for one in studied if one is not None])


def summed_up(rgb: NDArray[np.uint8], taught: list[Studied]) -> Knowledge:
    """What studied references teach together; `rgb` is the palette (K, 3) that they were studied against."""
    k = len(rgb)
    if not any(len(one.seen.points) for one in taught):
        return Knowledge.of_palette(rgb.tolist())
    # A sheet's white is no background where any reference shows a place: no page's sky is to be taken for it.
    places = any(one.shows_place for one in taught)
    share, touch = np.zeros(k), np.zeros((k, k))
    for one in taught:
        drawn_share = np.where(one.paper & places, 0, one.share)
        share += np.bincount(one.colour, drawn_share, minlength=k) / max(1e-9, float(drawn_share.sum()))
        touch += _touches(one.seen, one.colour, one.paper & places, k)
    expected = np.outer(touch.sum(1), touch.sum(0)) / max(1.0, touch.sum())
    lift = (touch + 2) / (expected + 2)
    views = [(one, view) for one in taught for view in (one.seen, one.seen.mirrored())]
    kept = np.concatenate([~(one.paper & places) for one, _ in views])
    kept_points = np.concatenate([~(one.paper & places)[view.home] for one, view in views])
    of_regions = np.concatenate([one.colour for one, _ in views])[kept]
    of_points = np.concatenate([one.colour[view.home] for one, view in views])[kept_points]
    regions_seen = np.concatenate([view.regions for _, view in views])[kept]
    points_seen = np.concatenate([view.points for _, view in views])[kept_points]
    places_seen = np.concatenate([graph.embed(view) for _, view in views])[kept]
    shares = np.concatenate([one.share for one, _ in views])[kept]
    # Nothing of it tells left from right: a mirrored view has the same.
    around = [
        graph.surroundings(
            graph.walks(one.seen), np.eye(k, dtype=np.float32)[one.colour], graph.sent(graph.embed(one.seen))
        )
        for one in taught
    ]
    surrounds = np.concatenate([part for part in around for _ in range(2)])[kept]
    # Each reference, or panel of a single one, is taken for a page that the others are to colour.
    several = len(taught) > 1
    groups = [
        np.full(len(one.colour), number) if several else one.seen.panel for number, one in enumerate(taught)
    ]
    group = np.concatenate([part for part in groups for _ in range(2)])[kept]
    unturned = np.concatenate([np.full(len(one.colour), view == 0) for one in taught for view in range(2)])[
        kept
    ]
    trust = _trust(places_seen, of_regions, shares, group, unturned)
    region_turn = _telling(regions_seen, of_regions, REGION_SOFTNESS)
    point_turn = _telling(points_seen, of_points, POINT_SOFTNESS)
    return Knowledge(
        rgb,
        (share / len(taught)).astype(np.float32),
        lift.astype(np.float32),
        (regions_seen @ region_turn).astype(np.float16),
        of_regions.astype(np.int32),
        (points_seen @ point_turn).astype(np.float16),
        of_points.astype(np.int32),
        region_turn,
        point_turn,
        places_seen.astype(np.float16),
        shares.astype(np.float32),
        surrounds.astype(np.float16),
        np.array([trust], np.float32),
    )


NO_TRUST, FULL_TRUST = 0.35, 0.55
"""Share of the references that the metric must find the colours of. It was .44 to .86 of generated drawings and
train/series, below .1 of painted pages, and .26 of the sample chapter, on which full trust lost .05 of the pixels."""


def _trust(
    places: NDArray[np.float32],
    colour: NDArray[np.int32],
    share: NDArray[np.float64],
    group: NDArray[np.int64],
    asked: NDArray[np.bool_],
) -> float:
    """How far to trust the learned metric, 0 to 1: by what it says of the regions `asked` when those of their own
    `group` are left out. 0 where there is nothing to ask."""
    product, area = graph.sharpness()
    found = whole = 0.0
    for number in np.unique(group):
        rest = group != number
        rows = np.flatnonzero((group == number) & asked & np.isin(colour, colour[rest]))
        if not len(rows):
            continue
        score = places[rows] @ places[rest].T * product + area * np.log(share[rest] + 1e-5)
        score = np.exp(score - score.max(axis=1, keepdims=True))
        right = (score * (colour[rest] == colour[rows][:, None])).sum(axis=1) / score.sum(axis=1)
        found += float((np.sqrt(share[rows]) * right).sum())
        whole += float(np.sqrt(share[rows]).sum())
    return float(np.clip((found / max(whole, 1e-9) - NO_TRUST) / (FULL_TRUST - NO_TRUST), 0, 1))


@dataclass(frozen=True)
class Studied:
    """One reference: its areas of one colour (*pieces*), and what they look like. One row per piece."""

    seen: graph.Look
    colour: NDArray[np.int32]
    """Palette id."""
    paper: NDArray[np.bool_]
    """What the picture is drawn on."""
    share: NDArray[np.float64]
    """Share of the picture's area."""
    shows_place: bool
    """Whether anything but paper lies behind the things in it."""


def study(picture: NDArray[np.uint8], drawn: ink.Ink, colours: Colours) -> Studied | None:
    """Study an (h, w, 3) picture against the job's palette; None where it shows nothing."""
    pieces, colour = _pieces(colours.base[nearest_tint(picture, colours.tints)], drawn)
    if not colour.size:
        return None
    what = describe.shapes(pieces)
    cells = regions.segment(drawn)
    frame = _frames(pieces, cells, structure.find(cells, drawn, describe.shapes(cells)), what)
    paper = _paper(pieces, colour)
    seen = graph.look(drawn, pieces, what, frame, paper)
    return Studied(seen, colour, paper, what.area / pieces.size, _shows_place(what, frame, paper))


REGION_SOFTNESS = 1.0
POINT_SOFTNESS = 0.2
"""How much of the mean variance is added before whitening: regions are few, points are many."""


def _telling(rows: NDArray[np.float32], colour: NDArray[np.int32], softness: float) -> NDArray[np.float32]:
    """The metric in which what differs within one colour counts less: whitening of the scatter within classes.

    (Hatch, Kajarekar and Stolcke 2006.) Learned from the job's own references, it raised unseen drawn series
    from .83/.68 to .85/.72 of pixels and regions right, and pages of painted references from .69/.49 to .73/.51.
    """
    exact = rows.astype(np.float64)
    count = np.bincount(colour)
    total = np.zeros((len(count), rows.shape[1]))
    np.add.at(total, colour, exact)
    rest = exact - (total / np.maximum(count, 1)[:, None])[colour]
    weight = 1 / count[colour]
    scatter = (rest * weight[:, None]).T @ rest / weight.sum()
    variance, axes = np.linalg.eigh(scatter)
    mean = float(variance.mean())
    if mean <= 0:
        return np.eye(rows.shape[1], dtype=np.float32)
    stretch = np.sqrt(mean * (1 + softness) / (np.maximum(variance, 0) + softness * mean))
    return np.asarray((axes * stretch) @ axes.T, np.float32)


def shrink(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """The picture with its longest side at most `longest` pixels."""
    h, w = picture.shape[:2]
    if max(h, w) <= longest:
        return picture
    scale = longest / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


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
        pieces, tint = _pieces(nearest_tint(picture, lab), drawn)
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


def _pieces(ids: NDArray[np.int32], drawn: ink.Ink) -> tuple[regions.Labels, NDArray[np.int32]]:
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


def _paper(labels: regions.Labels, colour: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pieces that are the paper a picture is drawn on: white along three of its edges or more."""
    n = len(colour)
    edges = [
        np.bincount(line, minlength=n + 1)[1:] / len(line)
        for line in (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    ]
    return np.asarray(((np.array(edges) > 0.3).sum(axis=0) >= 3) & (colour == 0), np.bool_)


def _shows_place(what: describe.Shapes, frame: NDArray[np.float32], paper: NDArray[np.bool_]) -> bool:
    """Whether anything but paper lies behind the things: a large piece along two sides of its panel or more."""
    near = 0.02 * (frame[:, 2:] - frame[:, :2])
    before = (what.box[:, :2] - frame[:, :2] < near).sum(axis=1)
    after = (frame[:, 2:] - what.box[:, 2:] < near).sum(axis=1)
    room = np.prod(frame[:, 2:] - frame[:, :2], axis=1)
    return bool((~paper & (before + after >= 2) & (what.area > 0.1 * room)).any())


def _touches(
    seen: graph.Look, colour: NDArray[np.int32], paper: NDArray[np.bool_], k: int
) -> NDArray[np.float64]:
    """How many pixels of border each two colours share; what borders on paper borders on nothing."""
    length = np.where(paper[seen.a] | paper[seen.b], 0, seen.length)
    pair = colour[seen.a].astype(np.int64) * k + colour[seen.b]
    counts = np.bincount(pair, length, minlength=k * k).reshape(k, k)
    return np.asarray(counts + counts.T, np.float64)


def _frames(
    labels: regions.Labels, cells: regions.Labels, panels: structure.Structure, what: describe.Shapes
) -> NDArray[np.float32]:
    """The panel box of each colour piece: that of the cell at its heart."""
    n = what.count
    pair = labels.ravel().astype(np.int64) * (int(cells.max()) + 1) + cells.ravel()
    used, times = np.unique(pair, return_counts=True)
    piece, cell = used // (int(cells.max()) + 1), used % (int(cells.max()) + 1)
    order = np.lexsort((times, piece))
    last = np.append(np.flatnonzero(np.diff(piece[order])), len(order) - 1)
    home = np.ones(n + 1, np.int64)
    home[piece[order[last]]] = cell[order[last]]
    return panels.frame[home[1:] - 1]
