"""What the references teach: what the things in each colour of the job's palette (`tints`) look like.

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

from . import attention, completion, describe, graph, ink, regions, runs, structure
from .arrays import packed
from .tints import FLAT, Colors, Votes, palette, pieces_of, tinted, tints, votes

WORK_SIDE = 1400
"""Longest side in pixels at which references are studied; more shows no other shapes."""


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
    region_color: NDArray[np.int32]
    point_rows: NDArray[np.float32]
    point_color: NDArray[np.int32]
    region_turn: NDArray[np.float32]
    """What a page's region rows are multiplied with before they are compared, (width, width)."""
    point_turn: NDArray[np.float32]
    region_place: NDArray[np.floating[Any]]
    """Each region's place in the learned metric, see graph.embed."""
    region_share: NDArray[np.float32]
    """Each region's share of its picture's area."""
    region_told: NDArray[np.floating[Any]]
    """How much of the metric's vote on each region goes to its own colour where all panels but its own vote, (R,): how well
    these references tell things like it."""
    region_around: NDArray[np.floating[Any]]
    """The colours around each region, (R, graph.AROUND, K), see graph.surroundings."""
    region_keys: NDArray[np.floating[Any]]
    """What a page's regions attend to, (R, attention.KEY_WIDTH), see attention.heard,"""
    region_context: NDArray[np.floating[Any]]
    """and the colours that each region has heard of for that, (R, attention.CONTEXTS, K)."""
    burst: NDArray[np.float32]
    """What they show between focus lines: the share of each colour, (K,); paper where they show no such lines."""
    metric_trust: NDArray[np.float32]
    """From 0 to 1, (1,): how far the learned metric is to be trusted, by how well it tells what one reference shows
    from the others."""

    def to_bytes(self) -> bytes:
        return packed(vars(self))

    @classmethod
    def of_palette(cls, rgb: Sequence[Sequence[int]]) -> Knowledge:
        """No references, only colours: all a page can be given are hints."""
        k = len(rgb)
        nothing: dict[str, NDArray[Any]] = {
            "region_rows": np.zeros((0, describe.REGION_WIDTH), np.float16),
            "region_color": np.zeros(0, np.int32),
            "point_rows": np.zeros((0, describe.POINT_WIDTH), np.float16),
            "point_color": np.zeros(0, np.int32),
            "region_turn": np.eye(describe.REGION_WIDTH, dtype=np.float32),
            "point_turn": np.eye(describe.POINT_WIDTH, dtype=np.float32),
            "region_place": np.zeros((0, graph.PLACE_WIDTH), np.float16),
            "region_share": np.zeros(0, np.float32),
            "region_told": np.zeros(0, np.float16),
            "region_around": np.zeros((0, graph.AROUND, k), np.float16),
            "region_keys": np.zeros((0, attention.KEY_WIDTH), np.float16),
            "region_context": np.zeros((0, attention.CONTEXTS, k), np.float16),
            "burst": _paper_alone(k),
            "metric_trust": np.zeros(1, np.float32),
        }
        share = np.full(k, 1 / max(1, k), np.float32)
        return cls(np.array(rgb, np.uint8).reshape(k, 3), share, np.ones((k, k), np.float32), **nothing)


def learn(pictures: Iterable[NDArray[np.uint8]]) -> Knowledge:
    """Learn from coloured pictures, (h, w, 3) of 8 bit each, read one after the other (the order is kept).

    What `rounds` does on many processors, and the same."""
    opened = [opened_up(picture) for picture in pictures]
    rgb = tints([one.votes for one in opened])
    seen = [tinted(one.picture, one.drawn, rgb) for one in opened]
    colors = palette(rgb, seen)
    studied = [study(one.drawn, of.tint, colors) for one, of in zip(opened, seen, strict=True)]
    return summed_up(colors, [one for one in studied if one is not None])


def _paper_alone(k: int) -> NDArray[np.float32]:
    return np.asarray(np.eye(1, k)[0], np.float32)


@dataclass(frozen=True)
class Opened:
    """A reference at the size at which it is studied, and what can be said of it by itself."""

    picture: NDArray[np.uint8]
    """(h, w, 3)"""
    drawn: ink.Ink
    votes: Votes


def opened_up(picture: NDArray[np.uint8]) -> Opened:
    """Look at a coloured picture, (h, w, 3) of 8 bit, by itself."""
    small = shrink(picture, WORK_SIDE)
    drawn = ink.find_in_color(small)
    return Opened(small, drawn, votes(small, drawn))


def summed_up(colors: Colors, taught: list[Studied], weights: graph.Weights | None = None) -> Knowledge:
    """What studied references teach together; `colors` are those that they were studied against. `weights` of the
    learned metric are others than those of the package."""
    rgb, k = colors.rgb, len(colors.rgb)
    if not any(len(one.seen.points) for one in taught):
        return Knowledge.of_palette(rgb.tolist())
    # A sheet's white is no background where any reference shows a place: no page's sky is to be taken for it.
    places = any(one.shows_place for one in taught)
    share, touch, burst = np.zeros(k), np.zeros((k, k)), np.zeros(k)
    for one in taught:
        drawn_share = np.where(one.paper & places, 0, one.share)
        share += np.bincount(one.color, drawn_share, minlength=k) / max(1e-9, float(drawn_share.sum()))
        touch += _touches(one.seen, one.color, one.paper & places, k)
        burst += np.bincount(one.color, one.burst, minlength=k)
    expected = np.outer(touch.sum(1), touch.sum(0)) / max(1.0, touch.sum())
    lift = (touch + 2) / (expected + 2)
    views = [(one, view) for one in taught for view in (one.seen, one.seen.mirrored())]
    kept = np.concatenate([~(one.paper & places) for one, _ in views])
    kept_points = np.concatenate([~(one.paper & places)[view.home] for one, view in views])
    of_regions = np.concatenate([one.color for one, _ in views])[kept]
    of_points = np.concatenate([one.color[view.home] for one, view in views])[kept_points]
    regions_seen = np.concatenate([view.regions for _, view in views])[kept]
    points_seen = np.concatenate([view.points for _, view in views])[kept_points]
    placed = [graph.embed(view, weights) for _, view in views]
    places_seen = np.concatenate([each.place for each in placed])[kept]
    shares = np.concatenate([one.share for one, _ in views])[kept]
    # Nothing of it tells left from right: a mirrored view has the same.
    around = [
        graph.surroundings(
            graph.walks(one.seen), np.eye(k, dtype=np.float32)[one.color], graph.sent(each.place)
        )
        for one, each in zip(taught, placed[::2], strict=True)
    ]
    surrounds = np.concatenate([part for part in around for _ in range(2)])[kept]
    heard = [
        attention.heard(view, each.levels, np.eye(k, dtype=np.float32)[one.color], weights)
        for (one, view), each in zip(views, placed, strict=True)
    ]
    # Each panel, and each figure on white, is taken for one that the others are to colour; and where there are several
    # references, each of these for a page.
    every = [_panels_and_figures(one) for one in taught]
    first = np.cumsum([0, *(int(each.max(initial=-1)) + 1 for each in every)])
    scene = np.concatenate(
        [each + start for each, start in zip(every, first, strict=False) for _ in range(2)]
    )[kept]
    page = np.concatenate(
        [np.full(len(one.color), number) for number, one in enumerate(taught) for _ in range(2)]
    )[kept]
    unturned = np.concatenate([np.full(len(one.color), view == 0) for one in taught for view in range(2)])[
        kept
    ]
    those = (places_seen, of_regions, shares, graph.sharpness(weights))
    told = _told(*those, scene, np.ones(len(scene), np.bool_))
    by_pages = _told(*those, page, unturned)
    # Whoever is on one model sheet alone no other reference tells of: the other figures of the sheet do.
    could_tell = np.where(np.isfinite(by_pages), by_pages, told)
    trust = _trust(could_tell, shares, unturned, colors.flat)
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
        np.nan_to_num(told).astype(np.float16),
        surrounds.astype(np.float16),
        np.concatenate([each.keys for each in heard])[kept].astype(np.float16),
        np.concatenate([each.context for each in heard])[kept].astype(np.float16),
        (burst / burst.sum()).astype(np.float32) if burst.any() else _paper_alone(k),
        np.array([trust], np.float32),
    )


NO_TRUST, FULL_TRUST = 0.15, 0.5
"""Share of the references that the metric must find the colours of. It was .63 to .95 of drawings of other hands, .74 to
.88 of train/series, .37 of the sample chapter, and .02 of paintings that it had not learned from."""


def _panels_and_figures(one: Studied) -> NDArray[np.int64]:
    """A number from 0 for each piece of a reference: the same for those of a panel that hang together, paper left out."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    seen = one.seen
    there = ~(one.paper[seen.a] | one.paper[seen.b]) & (seen.panel[seen.a] == seen.panel[seen.b])
    links = coo_array(
        (np.ones(int(there.sum()), np.int8), (seen.a[there], seen.b[there])), shape=(len(one.color),) * 2
    )
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _told(
    places: NDArray[np.float32],
    color: NDArray[np.int32],
    share: NDArray[np.float64],
    sharpness: tuple[float, float],
    group: NDArray[np.int64],
    asked: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """How much of the metric's vote on each region `asked` goes to its own colour, 0 to 1, when those of its own `group` have
    none; not a number for the rest, and where no others have that colour."""
    product, area = sharpness
    found = np.full(len(color), np.nan)
    for number in np.unique(group):
        rest = group != number
        rows = np.flatnonzero((group == number) & asked & np.isin(color, color[rest]))
        if not len(rows):
            continue
        score = places[rows] @ places[rest].T * product + area * np.log(share[rest] + 1e-5)
        score = np.exp(score - score.max(axis=1, keepdims=True))
        right = (score * (color[rest] == color[rows][:, None])).sum(axis=1)
        found[rows] = right / score.sum(axis=1)
    return found


FEW_ASKED, MANY_ASKED = 0.6, 0.9
"""Share of the references that others show, too. Where each character has a picture of its own, it was .34 to .65, and most of these are skins
and whites that say little; on pages .92 to 1, in paintings .74 to 1."""
NOT_FLAT = 0.4
"""How flat the colours of paintings are at most; those of drawings are FLAT at least."""


def _trust(
    told: NDArray[np.float64], share: NDArray[np.float64], asked: NDArray[np.bool_], flat: float
) -> float:
    """How far to trust the learned metric, 0 to 1: by what it told of the regions `asked`, as far as enough of them could be
    told; else by how `flat` the colours are, which is how those were that it learned from."""
    weight = np.sqrt(share) * asked
    could = weight * np.isfinite(told)
    found = float((could * np.nan_to_num(told)).sum()) / max(float(could.sum()), 1e-9)
    part = float(could.sum()) / max(float(weight.sum()), 1e-9)
    enough = np.clip((part - FEW_ASKED) / (MANY_ASKED - FEW_ASKED), 0, 1)
    trust = np.clip((found - NO_TRUST) / (FULL_TRUST - NO_TRUST), 0, 1)
    kind = np.clip((flat - NOT_FLAT) / (FLAT - NOT_FLAT), 0, 1)
    return float(enough * trust + (1 - enough) * kind)


@dataclass(frozen=True)
class Studied:
    """One reference: its areas of one colour (*pieces*), and what they look like. One row per piece."""

    seen: graph.Look
    color: NDArray[np.int32]
    """Palette id."""
    paper: NDArray[np.bool_]
    """What the picture is drawn on."""
    share: NDArray[np.float64]
    """Share of the picture's area."""
    burst: NDArray[np.float64]
    """The same of what of it lies between focus lines."""
    shows_place: bool
    """Whether anything but paper lies behind the things in it."""


def study(drawn: ink.Ink, tint: NDArray[np.uint8], colors: Colors) -> Studied | None:
    """Study a picture, of which each pixel's tint is given, (h, w), against the job's palette; None where it shows
    nothing."""
    pieces, color = pieces_of(colors.base[tint], drawn)
    if not color.size:
        return None
    what = describe.shapes(pieces)
    tips = completion.ends(drawn.mask)
    cells = regions.segment(drawn, tips)
    found = structure.find(cells, drawn, describe.shapes(cells), tips)
    frame = _frames(pieces, cells, found, what)
    burst = np.bincount(pieces[found.burst[cells - 1]], minlength=what.count + 1)[1:] / pieces.size
    paper = _paper(pieces, color)
    seen = graph.look(drawn, pieces, what, frame, paper, mirrored=True)
    shows_place = _shows_place(what, frame, paper)
    return Studied(seen, color, paper, what.area / pieces.size, burst, shows_place)


REGION_SOFTNESS = 1.0
POINT_SOFTNESS = 0.2
"""How much of the mean variance is added before whitening: regions are few, points are many."""


def _telling(rows: NDArray[np.float32], color: NDArray[np.int32], softness: float) -> NDArray[np.float32]:
    """The metric in which what differs within one colour counts less: whitening of the scatter within classes.

    (Hatch, Kajarekar and Stolcke 2006.) Learned from the job's own references, it raised unseen drawn series
    from .83/.68 to .85/.72 of pixels and regions right, and pages of painted references from .69/.49 to .73/.51.
    """
    exact = rows.astype(np.float64)
    count = np.bincount(color)
    total = np.zeros((len(count), rows.shape[1]))
    np.add.at(total, color, exact)
    rest = exact - (total / np.maximum(count, 1)[:, None])[color]
    weight = 1 / count[color]
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


def _paper(labels: regions.Labels, color: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pieces that are the paper a picture is drawn on: white along three of its edges or more."""
    n = len(color)
    edges = [
        np.bincount(line, minlength=n + 1)[1:] / len(line)
        for line in (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    ]
    return np.asarray(((np.array(edges) > 0.3).sum(axis=0) >= 3) & (color == 0), np.bool_)


def _shows_place(what: describe.Shapes, frame: NDArray[np.float32], paper: NDArray[np.bool_]) -> bool:
    """Whether anything but paper lies behind the things: a large piece along two sides of its panel or more."""
    near = 0.02 * (frame[:, 2:] - frame[:, :2])
    before = (what.box[:, :2] - frame[:, :2] < near).sum(axis=1)
    after = (frame[:, 2:] - what.box[:, 2:] < near).sum(axis=1)
    room = np.prod(frame[:, 2:] - frame[:, :2], axis=1)
    return bool((~paper & (before + after >= 2) & (what.area > 0.1 * room)).any())


def _touches(
    seen: graph.Look, color: NDArray[np.int32], paper: NDArray[np.bool_], k: int
) -> NDArray[np.float64]:
    """How many pixels of border each two colours share; what borders on paper borders on nothing."""
    length = np.where(paper[seen.a] | paper[seen.b], 0, seen.length)
    pair = color[seen.a].astype(np.int64) * k + color[seen.b]
    counts = np.bincount(pair, length, minlength=k * k).reshape(k, k)
    return np.asarray(counts + counts.T, np.float64)


def _frames(
    labels: regions.Labels, cells: regions.Labels, panels: structure.Structure, what: describe.Shapes
) -> NDArray[np.float32]:
    """The panel box of each colour piece: that of the cell at its heart."""
    n = what.count
    pair = labels.astype(np.int64) * (int(cells.max()) + 1) + cells
    found = runs.find(pair)
    used, row = np.unique(pair.ravel()[found.first], return_inverse=True)
    times = np.bincount(row, found.length)
    piece, cell = used // (int(cells.max()) + 1), used % (int(cells.max()) + 1)
    order = np.lexsort((times, piece))
    last = np.append(np.flatnonzero(np.diff(piece[order])), len(order) - 1)
    home = np.ones(n + 1, np.int64)
    home[piece[order[last]]] = cell[order[last]]
    return panels.frame[home[1:] - 1]
