"""How near a coloured page is to the truth: the measures of the field, for a person's own pages and for the bench.

Promises one implementation for `lote evaluate` and `benchmarks/flats.py`. Only pixels off the ink are judged. Right
is Delta-E (CIE 1976) under 6 for a truth of flat colours, and under 15 for a painted one, which no single colour
per region can match exactly. Refuses pictures of another shape: it does not register scans.

* regions (acc): share of the truth's regions most of which is right; of a painted truth, share of the areas between
  lines whose median colours agree.
* pixels (pix_acc): share of judged pixels that are right; without background (pix_acc_wobg): the same without the
  two largest true colours (or areas) and the paper.
* mean IoU (bmiou) over the true colours: how far the areas given each colour are the true ones.
* Delta-E 2000: median over the judged pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..backends.flats.color import distances, to_lab
from ..exceptions import ValidationError

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

RIGHT_FLAT, RIGHT_PAINTED = 6.0, 15.0
"""Delta-E (CIE 1976) below which a colour counts as right."""
SAME = 5.0
"""Delta-E within which pixels of a flat truth belong to one of its colours: resampling leaves rings around them."""
LEAST = 100
"""Pixels of the smallest true colour and true region."""
FLAT_COLORS, FLAT_SHARE, FLAT_NOISE = 64, 0.85, 2.0
"""A truth is flat where so few colours cover so much of it within so small a Delta-E; JPEG keeps flats within it."""
BACKGROUNDS = 2
"""The largest true areas count as background, and the paper."""
SAMPLE = 20_000
"""Pixels of which the median Delta-E 2000 is taken, evenly over the page."""
BAND = 256
"""Rows, and 64 times as many colours, that are compared at a time: a page of 70 megapixels has many."""
SIDE = 3600
"""Longest side in pixels that is judged: an A4 page of 300 dpi as it is. 70 megapixels took 5 GB and minutes."""
SHAPE = 0.01
"""Two pictures of one page may differ by so much in the ratio of their sides."""


@dataclass(frozen=True)
class Truth:
    """The true colours of a page, (h, w, 3), and what is judged by them."""

    rgb: Rgb
    free: Mask
    """Pixels that are judged, (h, w)."""
    painted: bool
    regions: NDArray[np.int32]
    """Areas that count as one, from 1; 0 belongs to none."""
    number: NDArray[np.int32]
    """Of a flat truth: the row in `colours` of each pixel, (h, w)."""
    colors: Rgb
    """Of a flat truth: its colours, (K, 3)."""

    @classmethod
    def flat(cls, rgb: Rgb, free: Mask) -> Truth:
        free = free.copy()
        colors = _main_colors(rgb, free)
        regions, number = _true_regions(rgb, free, colors)
        return cls(rgb, free, False, regions, number, colors)

    @classmethod
    def painting(cls, rgb: Rgb, free: Mask, areas: NDArray[np.int32]) -> Truth:
        """`areas` are labels from 1, each to be judged as one."""
        return cls(rgb, free, True, areas, np.zeros(free.shape, np.int32), np.zeros((0, 3), np.uint8))


@dataclass(frozen=True)
class Scores:
    """Shares from 0 to 1; None where a measure has no meaning."""

    region_accuracy: float
    pixel_accuracy: float
    pixel_accuracy_without_background: float | None
    mean_iou: float | None
    median_delta_e_2000: float
    share: float
    """Of the page's pixels that were judged."""
    regions: int
    """Number of regions that were judged."""


def compare(given: Rgb, truth: Truth) -> tuple[Scores, Mask]:
    """The measures of a coloured page, (h, w, 3), and its pixels that are wrong.

    ValidationError where there is nothing to judge."""
    free = truth.free
    if not free.any() or not (truth.regions[free] > 0).any():
        raise ValidationError("The truth has no area between its lines that could be judged.")
    if truth.painted:
        right, region_right, front = _judged_as_painted(given, truth)
        iou = None
    else:
        codes, inverse = np.unique(_code(given), return_inverse=True)
        inverse = inverse.reshape(free.shape)
        away = _away(codes, truth.colors)
        right = (away < RIGHT_FLAT)[inverse, truth.number]
        on = (truth.regions > 0) & free
        areas = np.bincount(truth.regions[on])[1:]
        hit = np.bincount(truth.regions[on], right[on])[1:] / np.maximum(areas, 1)
        region_right = (hit > 0.5)[areas > 0]
        size = np.bincount(truth.number[free], minlength=len(truth.colors)).astype(float)
        paper = (truth.colors > 250).all(axis=1)
        size[paper] = np.inf
        front = free & ~np.isin(truth.number, np.argsort(-size)[: BACKGROUNDS + int(paper.sum())])
        # What is near two true colours is counted for the nearer one, and what is near none for none.
        meant = np.where(away.min(axis=1) < RIGHT_FLAT, away.argmin(axis=1), -1)[inverse][free]
        true = truth.number[free]
        both = np.bincount(true[meant == true], minlength=len(truth.colors))
        either = (
            np.bincount(true, minlength=len(both))
            + np.bincount(meant[meant >= 0], minlength=len(both))
            - both
        )
        iou = float((both / np.maximum(either, 1)).mean())
    at = np.flatnonzero(free)
    at = at[np.linspace(0, len(at) - 1, min(len(at), SAMPLE)).astype(int)]
    apart = ciede2000(to_lab(truth.rgb.reshape(-1, 3)[at]), to_lab(given.reshape(-1, 3)[at]))
    scores = Scores(
        float(region_right.mean()),
        float(right[free].mean()),
        float(right[front].mean()) if front.any() else None,
        iou,
        float(np.median(apart)),
        float(free.mean()),
        len(region_right),
    )
    return scores, free & ~right


def _judged_as_painted(given: Rgb, truth: Truth) -> tuple[Mask, Mask, Mask]:
    """Right pixels, right areas, and what is no background."""
    right = np.empty(truth.free.shape, bool)
    for top in range(0, len(right), BAND):
        rows = slice(top, top + BAND)
        right[rows] = ((to_lab(truth.rgb[rows]) - to_lab(given[rows])) ** 2).sum(axis=2) < RIGHT_PAINTED**2
    middle = area_medians(truth.rgb, truth)
    there = np.unique(truth.regions[truth.free & (truth.regions > 0)])
    same = ((to_lab(middle) - to_lab(area_medians(given, truth))) ** 2).sum(axis=1) < RIGHT_PAINTED**2
    size = np.bincount(truth.regions[truth.free], minlength=len(middle) + 1).astype(float)
    size[0] = 0
    paper = np.concatenate([[False], (middle > 250).all(axis=1)])
    size[paper] = np.inf
    behind = np.argsort(-size)[: BACKGROUNDS + int(paper.sum())]
    return right, same[there - 1], truth.free & ~np.isin(truth.regions, behind)


def area_medians(rgb: Rgb, truth: Truth) -> NDArray[np.float64]:
    """The median colour of each area of `truth` in a picture, (n, 3); black where nothing of it is judged."""
    index = truth.regions[truth.free] - 1
    paint = rgb[truth.free]
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(int(truth.regions.max()) + 1))
    return np.array(
        [np.median(paint[order[a:b]], axis=0) if b > a else (0, 0, 0) for a, b in pairwise(starts)],
        np.float64,
    ).reshape(-1, 3)


def off_the_ink(line_art: Rgb) -> Mask:
    """Pixels of line art, (h, w, 3), at which a colour can be judged: paper, and none of it beside a line."""
    gray = cv2.cvtColor(line_art, cv2.COLOR_RGB2GRAY)
    return cv2.erode((gray > 200).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def evaluate(page: Path, truth: Path, line_art: Path | None = None) -> tuple[Scores, Rgb, bool]:
    """Measure a coloured page by its truth. Gives the scores, a sheet of the page with its errors marked beside
    the truth, and whether the truth was taken for painted.

    Lines are looked for in the truth, or taken from `line_art`. A truth (or line art) of another size is brought to
    that of the page; of pages larger than SIDE every so manieth pixel is judged. ImageProcessingError for what cannot be read, ValidationError for pictures of other shapes."""
    from ..backends.flats import ink, regions
    from ..io.images import decode

    given = _sampled(decode(page).srgb())
    true = _fitted(_sampled(decode(truth).srgb()), given, truth, page)
    if line_art is not None:
        free = off_the_ink(_fitted(_sampled(decode(line_art).rgb), given, line_art, page))
    else:
        drawn = ink.find_in_color(true)
        # The soft edges of a line are the page's own, whatever the colours are.
        reach = 2 * max(1, round(drawn.unit)) + 1
        free = ~cv2.dilate(drawn.mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    if _is_flat(true, free):
        judged = Truth.flat(true, free)
    else:
        judged = Truth.painting(true, free, regions.segment(ink.find_in_color(true)))
    scores, wrong = compare(given, judged)
    return scores, sheet(given, true, wrong), judged.painted


def sheet(given: Rgb, truth: Rgb, wrong: Mask) -> Rgb:
    """The page with its errors hatched in magenta, and the truth beside it."""
    marked = given.copy()
    # Hatching as wide as it takes to be seen when the sheet is shown at the height of a screen.
    pitch = max(8, given.shape[0] // 120)
    rows, columns = np.ogrid[: wrong.shape[0], : wrong.shape[1]]
    marked[wrong & ((rows + columns) % pitch < pitch * 3 // 8)] = (255, 0, 255)
    return np.concatenate([marked, truth], axis=1)


def _sampled(picture: Rgb) -> Rgb:
    """The picture with its longest side at most SIDE, its colours as they are."""
    h, w = picture.shape[:2]
    if max(h, w) <= SIDE:
        return picture
    size = (max(1, w * SIDE // max(h, w)), max(1, h * SIDE // max(h, w)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _fitted(picture: Rgb, page: Rgb, path: Path, of: Path) -> Rgb:
    (h, w), (height, width) = picture.shape[:2], page.shape[:2]
    if (h, w) == (height, width):
        return picture
    if abs(w * height / (h * width) - 1) > SHAPE:
        raise ValidationError(
            "{path} is {w} x {h} pixels and {of} is {width} x {height}: they do not show the same page.",
            path=path,
            w=w,
            h=h,
            of=of,
            width=width,
            height=height,
        )
    way = cv2.INTER_AREA if h > height else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def _is_flat(rgb: Rgb, free: Mask) -> bool:
    colors = _main_colors(rgb, free)[:FLAT_COLORS]
    if not len(colors):
        return False
    codes, times = np.unique(_code(rgb)[free], return_counts=True)
    near = _away(codes, colors).min(axis=1) < FLAT_NOISE
    return bool(times[near].sum() >= FLAT_SHARE * times.sum())


def _away(codes: NDArray[np.int32], colors: Rgb) -> NDArray[np.float32]:
    """Delta-E (CIE 1976) of each code to each colour."""
    wanted = to_lab(colors)
    away = np.empty((len(codes), len(colors)), np.float32)
    for start in range(0, len(codes), 64 * BAND):
        part = slice(start, start + 64 * BAND)
        away[part] = distances(to_lab(_of_code(codes[part])), wanted)
    return away


def _code(rgb: Rgb) -> NDArray[np.int32]:
    return rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)


def _of_code(codes: NDArray[Any]) -> NDArray[Any]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def _main_colors(rgb: Rgb, free: Mask) -> Rgb:
    """The colours of a flat picture, the commonest first, without the rings that resampling left around them."""
    codes, counts = np.unique(_code(rgb)[free], return_counts=True)
    order = np.argsort(-counts, kind="stable")[: int((counts >= LEAST).sum())]
    lab = to_lab(_of_code(codes[order]))
    left = np.ones(len(order), bool)
    main: list[int] = []
    for row in range(len(order)):
        if left[row]:
            main.append(int(codes[order[row]]))
            left &= ((lab - lab[row]) ** 2).sum(axis=1) > SAME**2
    return _of_code(np.array(main, np.int32)).astype(np.uint8).reshape(-1, 3)


def _true_regions(rgb: Rgb, free: Mask, colors: Rgb) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbered areas of one true colour (from 1), and the row of each pixel's colour.

    Soft edges of the truth are taken out of `free`: they belong to no region."""
    labels = np.zeros(free.shape, np.int32)
    if not len(colors):
        free[:] = False
        return labels, labels.copy()
    codes, inverse = np.unique(_code(rgb), return_inverse=True)
    inverse = inverse.reshape(free.shape)
    away = _away(codes, colors)
    free &= (away.min(axis=1) < SAME)[inverse]
    number = away.argmin(axis=1).astype(np.int32)[inverse]
    for k in range(len(colors)):
        part = ((number == k) & free).astype(np.uint8)
        _, found, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=4)
        keep = stats[:, cv2.CC_STAT_AREA] >= LEAST
        keep[0] = False
        labels = np.where(keep[found], np.cumsum(keep)[found] + labels.max(), labels).astype(np.int32)
    return labels, number


def ciede2000(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIEDE2000 of rows of Lab (Sharma, Wu and Dalal 2005)."""
    c = (np.hypot(a[:, 1], a[:, 2]) + np.hypot(b[:, 1], b[:, 2])) / 2
    g = 0.5 * (1 - np.sqrt(c**7 / (c**7 + 25.0**7)))
    a1, b1 = a[:, 1] * (1 + g), b[:, 1] * (1 + g)
    c1, c2 = np.hypot(a1, a[:, 2]), np.hypot(b1, b[:, 2])
    h1, h2 = np.arctan2(a[:, 2], a1) % (2 * np.pi), np.arctan2(b[:, 2], b1) % (2 * np.pi)
    dh = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    dh = np.where(c1 * c2 == 0, 0, dh)
    mean_h = np.where(c1 * c2 == 0, h1 + h2, (h1 + dh / 2) % (2 * np.pi))
    mean_l, mean_c = (a[:, 0] + b[:, 0]) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(mean_h - np.radians(30))
        + 0.24 * np.cos(2 * mean_h)
        + 0.32 * np.cos(3 * mean_h + np.radians(6))
        - 0.20 * np.cos(4 * mean_h - np.radians(63))
    )
    sl = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    sc, sh = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    rt = (
        -2
        * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
        * np.sin(np.radians(60) * np.exp(-(((np.degrees(mean_h) - 275) / 25) ** 2)))
    )
    dl, dc, dhh = b[:, 0] - a[:, 0], c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(dh / 2)
    square = (dl / sl) ** 2 + (dc / sc) ** 2 + (dhh / sh) ** 2 + rt * (dc / sc) * (dhh / sh)
    return np.asarray(np.sqrt(square), np.float64)
