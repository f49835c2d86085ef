"""What is drawn: the ink of a page, told apart from its paper, its tone and its shading.

Promises a mask of the line work for pages that were inked, pencilled (also softly or in colour), scanned on
tinted or unevenly lit paper, shaded in gray, or toned with dot screens; nothing here knows a fixed threshold
of brightness. Does not guarantee to tell a dark, thin shape from a line: they are the same drawing.

All pictures here have the work size; darkness runs from 0 (paper) to 1 (the page's own ink).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .color import brightest, darkest

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

UNIT_SIDE = 1400
"""Lengths in pixels below are those of a page whose longest side has 1400 pixels."""


@dataclass
class Ink:
    """The drawing of one page or strip, (h, w) each."""

    line: Plane
    """Strength of the line work, 0 to 1: soft lines stay soft."""
    mask: Mask
    """Where regions end: line work and solid black."""
    shade: Plane
    """Brightness of the paper under the lines, 0 to 1: the artist's own gray, screens averaged."""
    toned: float
    """Share of the page covered by screentone."""
    gutter: Mask
    """Paper between panels that have no frames."""
    unit: float
    """Pixels per unit of length, see UNIT_SIDE."""


def find(rgb: NDArray[np.uint8]) -> Ink:
    """Find the ink of an (h, w, 3) picture of 8 bit."""
    h, w = rgb.shape[:2]
    unit = max(h, w) / UNIT_SIDE
    gray = darkest(rgb) if _is_colored(rgb) else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    light = _flatten_paper(np.asarray(gray, np.uint8), unit)
    period = _screen_period(light)
    smooth, tone_tiles = _descreen(light, period)
    return _drawn(smooth, unit, float(tone_tiles.mean()), _bare_gutters(light, unit))


def find_in_color(rgb: NDArray[np.uint8]) -> Ink:
    """Find the ink of a coloured picture: what is darker than its surroundings, and what is black.

    Black-hat 9 x 9 times 2.2 is the line art that a coloured page would have come from, near enough for lines
    of a reference and of a page to look alike.
    """
    h, w = rgb.shape[:2]
    unit = max(h, w) / UNIT_SIDE
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    hat = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, np.ones((9, 9), np.uint8))
    light = 1 - np.clip(hat.astype(np.float32) * (2.2 / 255), 0, 1)
    light[brightest(rgb) < BLACK] = 0
    return _drawn(light, unit, 0.0, _bare_gutters(np.asarray(gray / 255, np.float32), unit))


CLEAN = 0.99
"""Brightness from which a pixel is bare paper."""
GUTTER = (6.0, 70.0)
"""Least and most width of a gutter between panels, in units of length (see UNIT_SIDE)."""
LEAST_PANEL = 30.0
"""Least width and height of a panel, in units: a line alone, or one of lettering, has no gutters beside it."""
GRAIN = 0.15
"""Share of the pixels along a panel without a frame that are not bare paper."""


def _bare_gutters(light: Plane, unit: float) -> Mask:
    """Gutters of pages whose panels have no frames: bands of bare paper between areas full of tone or grain.

    Found by cutting the page at blank rows, and each part at blank columns. A blank stretch within a clean
    drawing is not one: there, what lies beside it is paper too.
    """
    bare = light >= CLEAN
    found = np.zeros(light.shape, bool)
    rows = _bands(bare, unit)
    for top, bottom in rows:
        found[top:bottom] = True
    starts = [0, *(bottom for _, bottom in rows)]
    ends = [*(top for top, _ in rows), light.shape[0]]
    for top, bottom in zip(starts, ends, strict=True):
        if bottom - top > GUTTER[1] * unit:
            for left, right in _bands(np.ascontiguousarray(bare[top:bottom].T), unit):
                found[top:bottom, left:right] = True
    return found


def _bands(bare: Mask, unit: float) -> list[tuple[int, int]]:
    """Stretches of blank rows of the width of a gutter, or at the rim, next to rows that are anything but."""
    n = len(bare)
    share = bare.mean(axis=1)
    blank = share > 0.997
    edges = np.flatnonzero(np.diff(np.concatenate([[False], blank, [False]]).astype(np.int8)))
    beside = max(2, round(6 * unit))
    starts, ends = edges[::2], edges[1::2]
    rim = (starts == 0) | (ends == n)
    wide = rim | (ends - starts >= GUTTER[0] * unit)  # narrower ones are chance, within grain
    rims, starts, ends = rim[wide].tolist(), starts[wide].tolist(), ends[wide].tolist()
    found = []
    for start, end, at_rim, last, following in zip(
        starts, ends, rims, [0, *ends], [*starts[1:], n], strict=False
    ):
        # A thin strip between two blank ones is a line; at the rim of the page it is a scan's edge.
        line_before = last > 0 and start - last < LEAST_PANEL * unit
        line_after = following < n and following - end < LEAST_PANEL * unit
        before = start == 0 or (not line_before and share[max(0, start - beside) : start].min() < 1 - GRAIN)
        after = end == n or (not line_after and share[end : end + beside].min() < 1 - GRAIN)
        if before and after and end - start < n and (at_rim or end - start <= GUTTER[1] * unit):
            found.append((start, end))
    return found


BLACK = 40
"""A colour with no channel above this is black ink."""


def _drawn(light: Plane, unit: float, toned: float, gutter: Mask) -> Ink:
    """Lines and what lies between them, from brightness relative to the paper."""
    darkness = 1.0 - light
    hat = cv2.morphologyEx(darkness, cv2.MORPH_TOPHAT, _disc(_odd(9 * max(1.0, unit))))
    level = _ink_level(darkness, np.asarray(hat, np.float32))
    strength = np.clip(hat / level, 0, 1)
    solid = darkness > max(0.72 * level, 0.45)
    mask = (strength > _threshold(strength, unit)) | solid
    mask = _drop_specks(mask, max(3, round(5 * unit * unit)))
    line = np.clip(np.where(solid, darkness / level, strength), 0, 1).astype(np.float32)
    return Ink(line, mask, _shade(light, mask, unit), toned, gutter, unit)


def _is_colored(rgb: NDArray[np.uint8]) -> bool:
    """Whether any of the line work is coloured (blue pencil): then the darkest channel shows it best."""
    small = rgb[::4, ::4]
    return bool((brightest(small) - darkest(small) > 48).mean() > 0.001)


def _flatten_paper(gray: NDArray[np.uint8], unit: float) -> Plane:
    """Brightness divided by that of the paper around it, found by a wide closing of a small copy."""
    h, w = gray.shape
    step = max(1, round(4 * unit))
    small = cv2.resize(gray, (max(1, w // step), max(1, h // step)), interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(small, 3)
    side = _odd(min(41, max(3, min(small.shape))))
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    # Wide black or gray areas are drawing, not a shadow on the paper.
    bright = float(np.percentile(small, 95)) if small.size else 255.0
    paper = np.maximum(paper.astype(np.float32), 0.75 * bright)
    paper = cv2.blur(paper, (side, side))
    paper = cv2.resize(paper, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.clip(gray.astype(np.float32) / np.maximum(paper, 8.0), 0, 1)


TILE = 64
REPEATS = 0.45
"""Dots or lines met along a row or column of a tile, as a share of the periods in it: .7 along the rows of a screen
at 45 degrees, and two frames side by side are only two. Coarse screens repeat along both: what does so along one is
parallel lines, and in few of these fits what stands beside two frames."""
PEAK = 6.0
"""How far a screen's peak stands above all the spectrum around it: over 100 on clean dots, at most 5 on lines
and scans, whose spectrum falls off smoothly."""


def _screen_period(light: Plane) -> Plane:
    """Period in pixels of the dot screen in each tile of 64 pixels, 0 where there is none."""
    h, w = light.shape
    rows, cols = h // TILE, w // TILE
    if rows == 0 or cols == 0:
        return np.zeros((max(1, rows), max(1, cols)), np.float32)
    window = np.hanning(TILE).astype(np.float32)
    f = np.fft.fftfreq(TILE)
    radius = np.hypot(f[:, None], f[None, :])
    band = (radius >= 1 / 12) & (radius <= 0.36)
    # A Hann window spreads a pure tone over 3 x 3 bins; what lies 3 bins off is another frequency.
    down, across = (off.ravel() for off in np.mgrid[-3:4, -3:4])
    ring = np.maximum(np.abs(down), np.abs(across)) == 3
    down, across = down[ring, None], across[ring, None]
    period = np.zeros((rows, cols), np.float32)
    for row in range(rows):
        tiles = light[row * TILE : (row + 1) * TILE, : cols * TILE].reshape(TILE, cols, TILE).swapaxes(0, 1)
        dark = tiles < tiles.mean(axis=(1, 2), keepdims=True)
        begins = [(dark & ~np.roll(dark, 1, axis)).sum(axis=axis) for axis in (1, 2)]
        met = np.percentile(np.stack(begins), 90, axis=2)
        tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * (window[:, None] * window)
        power = (np.abs(np.fft.fft2(tiles)) ** 2).astype(np.float32)
        inside = np.where(band, power, 0).reshape(cols, -1)
        best = inside.argmax(axis=1)
        peak = inside.max(axis=1)
        y, x = np.divmod(best, TILE)
        around = power[np.arange(cols), (y + down) % TILE, (x + across) % TILE].max(axis=0)
        sharp = peak > PEAK * around
        fine = np.where(radius >= 1 / 20, power, 0).sum(axis=(1, 2))
        # A real tone's peak comes twice, for the frequency and its negative.
        loud = (2 * peak > 0.04 * fine) & (power.sum(axis=(1, 2)) > 8)
        apart = 1 / np.maximum(radius.ravel()[best], 1 / TILE)
        repeated = np.where(apart < COARSE, met.max(axis=0), met.min(axis=0)) * apart >= REPEATS * TILE
        period[row] = np.where(sharp & loud & repeated, apart, 0)
    return period


def _descreen(light: Plane, period: Plane) -> tuple[Plane, Mask]:
    """Replace screens by their mean over a period; the tiles that had one.

    Dots of a coarse screen are taken out one by one: they are thicker than lines, which a mean over their
    period would take away. Finer and denser screens, and hatching, are averaged, and lines stand out of that."""
    tone = period > 0
    if tone.mean() < 0.02:
        return light, np.zeros_like(tone)
    around = np.ones((3, 3), np.uint8)
    coarse = period >= COARSE
    typical = float(np.median(period[coarse if coarse.any() else tone]))
    dots, other = _dots(light, np.where(coarse, period, 0), typical)
    parted = _by_tile(dots, tone.shape) > DOTTED * _by_tile(dots | other, tone.shape)
    blurred = tone & ~parted
    near = cv2.dilate(parted.astype(np.uint8), around).astype(bool) & ~blurred
    fine = cv2.dilate(blurred.astype(np.uint8), around).astype(bool) & ~near
    rim = cv2.dilate(dots.astype(np.uint8), _disc(_odd(0.3 * typical))).astype(bool)
    paper = np.where(rim & ~other, 1, light).astype(np.float32)
    free = (cv2.dilate(other.astype(np.uint8), _disc(3)) == 0).astype(np.float32)
    weight = cv2.GaussianBlur(free, (0, 0), 0.6 * typical)
    mean = cv2.GaussianBlur(light * free, (0, 0), 0.6 * typical) / np.maximum(weight, 1e-3)
    mean = np.where(weight < 0.02, 1, np.minimum(mean, 1))
    out = light
    blur = 0.5 * float(np.median(period[blurred])) if blurred.any() else 1.0
    for tiles, smooth in ((near, paper * mean), (fine, cv2.GaussianBlur(light, (0, 0), blur))):
        if tiles.any():
            full = _spread(tiles, light.shape)
            out = out * (1 - full) + smooth * full
    return np.asarray(out, np.float32), tone


COARSE = 9.0
"""Period in pixels from which a screen is coarse: twice the width of a line at the work size."""
DOTTED = 0.3
"""Share of the ink of a tile, in dots that stand apart, from which these are its screen."""


def _dots(light: Plane, period: Plane, typical: float) -> tuple[Mask, Mask]:
    """The dots of screens, and all other ink. `period` in pixels by tile, 0 where there is no screen.

    A dot is no longer and no wider than the period, about round, and no larger than most of the blots that are
    as small in its tile; a letter or a stroke is not. Where a screen goes on into tiles that hold too little of
    it to show its period, the dots beside dots belong to it, and so do clusters of dots as large."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    ink = light < 0.5
    _, labels, stats, centers = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    _, _, w, h, area = (stats[:, at] for at in range(5))
    rows, cols = (np.minimum(centers[:, at].astype(int) // TILE, period.shape[1 - at] - 1) for at in (1, 0))
    here = np.where(period > 0, period, typical)[rows, cols]
    small = (np.maximum(w, h) <= here) & (np.maximum(w, h) <= 2 * np.minimum(w, h)) & (area >= 0.5 * w * h)
    small[0] = False  # the paper
    # Dots of one screen have one size; those at its border are cut.
    usual = np.zeros(period.size, np.float32)
    tile = rows * period.shape[1] + cols
    order = np.lexsort((area, tile))
    order = order[small[order]]
    first = np.searchsorted(tile[order], np.arange(period.size))
    count = np.searchsorted(tile[order], np.arange(period.size), side="right") - first
    some = (count >= LEAST_DOTS) & (period.ravel() > 0)
    usual[some] = area[order][(first + count * 3 // 4)[some]]
    dot = small & (area <= 1.5 * usual[tile])
    if dot.any():  # only then, for most pages have no screen
        like = small & (area <= 1.5 * np.median(area[dot]))
        near = np.flatnonzero(like)
        pairs = cKDTree(centers[near]).query_pairs(1.3 * typical, output_type="ndarray")
        joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(near.size, near.size))
        group = connected_components(joined, directed=False)[1]
        size = np.bincount(group)
        dot[near] |= np.isin(group, group[dot[near]]) | (size[group] >= LEAST_DOTS)
    return np.asarray(dot[labels]), np.asarray(ink & ~dot[labels])


LEAST_DOTS = 8
"""Dots that a tile with a screen has at least: 28 at a period of 12 pixels."""


def _by_tile(plane: Mask, shape: tuple[int, ...]) -> Plane:
    """The share of each tile that is set."""
    whole = plane[: shape[0] * TILE, : shape[1] * TILE].astype(np.float32)
    return np.asarray(cv2.resize(whole, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.float32)


def _spread(tiles: Mask, shape: tuple[int, ...]) -> Plane:
    """1 in the tiles that are set, 0 in others, and in between where two of them meet."""
    h, w = shape
    size = tiles.shape[1] * TILE, tiles.shape[0] * TILE
    large = cv2.resize(tiles.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    high, wide = min(h, large.shape[0]), min(w, large.shape[1])
    return np.asarray(np.pad(large[:high, :wide], ((0, h - high), (0, w - wide)), mode="edge"), np.float32)


def _ink_level(darkness: Plane, hat: Plane) -> float:
    """How dark this page's lines are: pencils are not black."""
    drawn = darkness[hat > 0.12]
    if drawn.size < 50:
        drawn = darkness[darkness > 0.3]
    return float(np.clip(np.percentile(drawn, 85), 0.25, 1.0)) if drawn.size >= 50 else 1.0


LEAST_LINE = 0.10
"""Weakest line that counts, as a share of the page's strongest: half of that is grain."""


def _threshold(strength: Plane, unit: float) -> Plane:
    """Threshold between paper and line: Otsu's for the page, lower where only soft lines are near."""
    values = (strength[strength > 0.06] * 255).astype(np.uint8)
    if values.size < 50:
        return np.full(strength.shape, 0.4, np.float32)
    found, _ = cv2.threshold(values[:, None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    whole = float(np.clip(found / 255, 0.2, 0.45))
    # The strongest line within some 16 units decides, so that the flank of a black line is no line.
    step = max(1, round(2 * unit))
    h, w = strength.shape
    small = cv2.resize(strength, (max(1, w // step), max(1, h // step)), interpolation=cv2.INTER_AREA)
    near = cv2.dilate(small, np.ones((9, 9), np.uint8))
    near = cv2.resize(cv2.blur(near, (9, 9)), (w, h), interpolation=cv2.INTER_LINEAR)
    grain = _grain(strength)
    return np.asarray(np.clip(0.45 * near, max(LEAST_LINE, 4 * grain), whole), np.float32)


def _grain(strength: Plane) -> float:
    """Standard deviation of what is no line: scanner noise and paper."""
    quiet = strength[::3, ::3]
    quiet = quiet[quiet < 0.15]
    return float(quiet.std() + quiet.mean()) if quiet.size else 0.0


def _drop_specks(mask: Mask, area: int) -> Mask:
    """Without blots of fewer than `area` pixels."""
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    blot = np.asarray(labels)[mask]  # all that is asked of the rest is that it stays free
    found = mask.copy()
    found[mask] = (np.bincount(blot) >= area)[blot]
    return found


def _shade(smooth: Plane, mask: Mask, unit: float) -> Plane:
    """The gray between the lines, carried on below them."""
    inked = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    known = (~inked).astype(np.float32)
    sigma = 2.0 * max(1.0, unit)
    total = cv2.GaussianBlur(smooth * known, (0, 0), sigma)
    weight = cv2.GaussianBlur(known, (0, 0), sigma)
    found = smooth.copy()
    near = weight[inked]
    found[inked] = np.where(near > 1e-3, total[inked] / np.maximum(near, 1e-3), 1.0)
    return found


def _odd(value: float) -> int:
    return max(3, round(value) | 1)


def _disc(side: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
