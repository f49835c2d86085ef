"""A drawing as a graph of regions: what each looks like, what it borders on, and a learned way to compare them.

`look` measures a drawing once; references and pages are measured alike. `embed` maps each region, with what lies
around it two borders deep, to a point on a sphere where regions of one kind lie near each other whoever drew
them: hair under hats, sky over hills. From there gates tell what to heed: `sent` and `read` how much a region says and
hears of colours around it, `trust` which votes count. All weights (`metric.npz`, trained by `benchmarks/train_flats.py`)
never saw a colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import describe, encoder, outlines, regions
from .arrays import unpacked
from .ink import Ink
from .runs import largest

Rows = NDArray[np.float32]

NODE_WIDTH = describe.REGION_WIDTH + describe.POINT_WIDTH + 13
"""Values that describe a region to the metric: its own row, the mean of its points' rows, and plain facts."""
TOLD_WIDTH = NODE_WIDTH + encoder.WIDTH + outlines.WIDTH
"""The same with what it shows, and with its outline."""
TIE_WIDTH = 7
"""Values that describe how one region borders on another."""
SIDES = 7
"""Kinds of surroundings, see `surroundings`."""
HEADS = 2
"""Times that each is looked at, with other gates: whose hair is two steps away, and which sky."""
AROUND = SIDES * HEADS
TOUCHES = 2
"""Times that colours which touch in the references are looked at, with other gates."""
SIGNS = 7
"""Signs of how much the votes on a region can be trusted, see assign.signs."""
ROWS = 512
"""Rows of a product of two sparse matrices that are held at a time."""
MEMBERS = 2
"""Networks of the learned metric."""
PLACE_WIDTH = 64 * MEMBERS
"""Values of a place in the learned metric."""
REGION_MIRRORED = describe.mirrored_region_columns()
POINT_MIRRORED = describe.mirrored_point_columns()


@dataclass(frozen=True)
class Look:
    """n regions, p points, b borders, e = 2b ties (each border seen from both sides, sorted by `here`)."""

    regions: Rows
    """(n, REGION_WIDTH)"""
    points: Rows
    """(p, POINT_WIDTH)"""
    home: NDArray[np.int64]
    """The region of each point, from 0."""
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    """The two regions of each border, from 0, a < b."""
    length: NDArray[np.float64]
    """Length of each border in pixels, and how much of it carries no ink."""
    bare: NDArray[np.float64]
    nodes: Rows
    """(n, NODE_WIDTH)"""
    here: NDArray[np.int64]
    there: NDArray[np.int64]
    ties: Rows
    """(e, TIE_WIDTH)"""
    panel: NDArray[np.int64]
    """The panel of each region, (n,), from 0."""
    share: NDArray[np.float64]
    """Share of the picture's area, (n,)."""
    paper: NDArray[np.bool_]
    """What stays white."""
    shown: Rows
    """(n, encoder.WIDTH), see encoder.pooled."""
    outlined: Rows
    """(n, outlines.WIDTH), see outlines.pictured."""
    shown_mirrored: Rows
    outlined_mirrored: Rows
    """The same of the drawing in a mirror; without rows where nobody asked for it."""

    def mirrored(self) -> Look:
        """The same drawing seen in a mirror (without measuring it again)."""
        own, points = describe.REGION_WIDTH, describe.REGION_WIDTH + describe.POINT_WIDTH
        seen, nodes, ties = _turned(self.regions), self.nodes.copy(), self.ties.copy()
        nodes[:, :own] = _turned(self.nodes[:, :own])
        nodes[:, own:points] = self.nodes[:, own:points][:, POINT_MIRRORED]
        ties[:, 1] *= -1
        return replace(
            self,
            regions=seen,
            points=self.points[:, POINT_MIRRORED],
            nodes=nodes,
            ties=ties,
            shown=self.shown_mirrored,
            outlined=self.outlined_mirrored,
            shown_mirrored=self.shown,
            outlined_mirrored=self.outlined,
        )


def _turned(rows: Rows) -> Rows:
    turned = rows[:, REGION_MIRRORED]
    turned[:, describe.ACROSS] = describe.ACROSS_WEIGHT - turned[:, describe.ACROSS]
    return turned


def look(
    drawn: Ink,
    labels: regions.Labels,
    what: describe.Shapes,
    frame: NDArray[np.float32],
    paper: NDArray[np.bool_],
    *,
    mirrored: bool = False,
) -> Look:
    """Measure a drawing's regions; `frame` holds the panel box of each, `paper` which of them stay white. With
    `mirrored` it can be seen in a mirror, too."""
    n = what.count
    own = describe.describe_regions(drawn.line, labels, what, frame)
    at, points = describe.describe_points(drawn.line, drawn.mask, drawn.unit, frame, labels)
    home = (labels[at[:, 1], at[:, 0]] - 1).astype(np.int64)
    tied = _tied(drawn, labels, what, paper)
    a, b, length, bare, rim, around = tied.a, tied.b, tied.length, tied.bare, tied.rim, tied.around
    count = np.bincount(home, minlength=n).astype(np.float64)
    mean = np.zeros((n, points.shape[1]), np.float32)
    order = np.argsort(home, kind="stable")
    if order.size:
        first = np.flatnonzero(np.diff(home[order], prepend=-1))
        mean[home[order][first]] = np.add.reduceat(points[order], first, axis=0)
    mean /= np.maximum(count, 1).astype(np.float32)[:, None]
    at_paper = np.bincount(a, length * paper[b], n) + np.bincount(b, length * paper[a], n)
    open_side = np.bincount(a, bare, n) + np.bincount(b, bare, n)
    ties_of = np.bincount(a, minlength=n) + np.bincount(b, minlength=n)
    size = (what.box[:, 2:] - what.box[:, :2]) / np.maximum(frame[:, 2:] - frame[:, :2], 1)
    room = np.prod(frame[:, 2:] - frame[:, :2], axis=1) / labels.size
    # Logarithms and their weights bring all of these to about one; the metric was trained on this order.
    facts = [
        0.3 * np.log(_half_widths(drawn, labels, n) / drawn.unit + 0.5),
        0.15 * np.log(what.area / drawn.unit**2 + 1),
        rim / around,
        at_paper / around,
        open_side / around,
        np.bincount(labels[drawn.mask], minlength=n + 1)[1:] / np.maximum(what.area, 1),
        0.3 * np.log(ties_of + 1),
        0.3 * np.log(around**2 / np.maximum(what.area, 1)),
        room,
        paper.astype(np.float64),
        np.minimum(count, 10) / 10,
        0.25 * np.log(size[:, 0] + 0.01),
        0.25 * np.log(size[:, 1] + 0.01),
    ]
    nodes = np.concatenate([own, mean, np.stack(facts, axis=1)], axis=1).astype(np.float32)

    panel = np.unique(frame, axis=0, return_inverse=True)[1].reshape(-1)
    seen = outlines.windows(drawn.line, labels, what)
    return Look(
        own,
        points,
        home,
        a,
        b,
        length,
        bare,
        nodes,
        tied.here,
        tied.there,
        tied.ties,
        panel,
        what.area / labels.size,
        paper,
        encoder.pooled(drawn.line, labels, n),
        outlines.pictured(seen),
        _shown_mirrored(drawn, labels, n) if mirrored else np.zeros((0, encoder.WIDTH), np.float32),
        outlines.pictured(outlines.mirrored(seen) if mirrored else seen[:0]),
    )


def parted(
    seen: Look, drawn: Ink, labels: regions.Labels, what: describe.Shapes, home: NDArray[np.int64]
) -> Look:
    """A drawing's look after some of its regions were parted: `home` is the region, from 0, that each of `labels` was a
    part of, and looks like; borders are those of the parts."""
    paper = seen.paper[home]
    tied = _tied(drawn, labels, what, paper)
    return replace(
        seen,
        regions=seen.regions[home],
        nodes=seen.nodes[home],
        shown=seen.shown[home],
        outlined=seen.outlined[home],
        panel=seen.panel[home],
        paper=paper,
        share=what.area / labels.size,
        a=tied.a,
        b=tied.b,
        length=tied.length,
        bare=tied.bare,
        here=tied.here,
        there=tied.there,
        ties=tied.ties,
    )


@dataclass(frozen=True)
class _Tied:
    """What borders on what, see Look; and how much of each region's outline lies on the picture's `rim`, of what is
    `around` it in all, in pixels."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    length: NDArray[np.float64]
    bare: NDArray[np.float64]
    here: NDArray[np.int64]
    there: NDArray[np.int64]
    ties: Rows
    rim: NDArray[np.float64]
    around: NDArray[np.float64]


def _tied(drawn: Ink, labels: regions.Labels, what: describe.Shapes, paper: NDArray[np.bool_]) -> _Tied:
    n = what.count
    a, b, inked = regions.borders(labels, drawn.mask.astype(np.float32))
    key, inverse = np.unique(a * (n + 1) + b, return_inverse=True)
    a, b = key // (n + 1) - 1, key % (n + 1) - 1
    length = np.bincount(inverse, minlength=len(key)).astype(np.float64)
    bare = np.asarray(np.bincount(inverse, 1.0 - inked, minlength=len(key)), np.float64)
    rim = _at_rim(labels, n)
    around = np.maximum(np.bincount(a, length, n) + np.bincount(b, length, n) + rim, 1)
    here, there = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.argsort(here, kind="stable")
    here, there = here[order], there[order]
    shared, open_part = np.concatenate([length, length])[order], np.concatenate([bare, bare])[order]
    side = np.sqrt(np.maximum(what.area, 1))
    way = (what.center[there] - what.center[here]) / (side[here] + side[there])[:, None]
    ties = [
        shared / around[here],
        np.clip(way[:, 0], -2, 2),
        np.clip(way[:, 1], -2, 2),
        0.3 * np.log(side[there] / side[here]),
        open_part / shared,
        paper[there].astype(np.float64),
        shared / around[there],
    ]
    return _Tied(a, b, length, bare, here, there, np.stack(ties, axis=1).astype(np.float32), rim, around)


def _shown_mirrored(drawn: Ink, labels: regions.Labels, n: int) -> Rows:
    line, turned = np.ascontiguousarray(drawn.line[:, ::-1]), np.ascontiguousarray(labels[:, ::-1])
    return encoder.pooled(line, turned, n)


def _at_rim(labels: regions.Labels, n: int) -> NDArray[np.float64]:
    """How many pixels each region has on the rim of the picture."""
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(rim, minlength=n + 1)[1:].astype(np.float64)


def _half_widths(drawn: Ink, labels: regions.Labels, n: int) -> NDArray[np.float32]:
    """Radius in pixels of the largest disc in each region."""
    # No ink at all is far, not infinitely.
    away = np.minimum(regions.distance(~drawn.mask), sum(labels.shape))
    return largest(labels, away, n + 1)[1:]


Weights = Mapping[str, NDArray[np.float32]]
SCALE = ".scale"
"""How the name of what the rows of a matrix are multiplied with ends."""


@lru_cache(maxsize=1)
def _weights() -> Weights:
    return weights_of((files(__package__) / "metric.npz").read_bytes())


def weights_of(packed: bytes) -> Weights:
    """The weights that a file holds: of large matrices bytes, and what each row of them is multiplied with."""
    stored = unpacked(packed)
    scale = {name.removesuffix(SCALE): stored.pop(name) for name in list(stored) if name.endswith(SCALE)}
    return {
        name: array.astype(np.float32) * scale.get(name, np.float32(1)).astype(np.float32)
        for name, array in stored.items()
    }


def facts_of(seen: Look) -> Rows:
    """All that the metric is told of each region by itself, (n, TOLD_WIDTH)."""
    return np.concatenate([seen.nodes, seen.shown, seen.outlined], axis=1)


def weights_or_own(weights: Weights | None) -> Weights:
    """These, or without any those of the package."""
    return _weights() if weights is None else weights


@dataclass(frozen=True)
class Placed:
    """What the learned metric makes of n regions."""

    place: Rows
    """(n, PLACE_WIDTH), of length 1: the places of MEMBERS networks that were trained from other beginnings, side by side,
    so that a product of two is the mean of theirs."""
    levels: Rows
    """What the first network knows of each region by itself, with what lies one border away, and two, side by side; `attention` goes on
    from there."""

    @property
    def first(self) -> Rows:
        """The places of the first network alone, of length 1, (n, PLACE_WIDTH / MEMBERS)."""
        return first_member(self.place)


def first_member(place: NDArray[Any]) -> Rows:
    """What the first network has of these places in the metric, of length 1."""
    return place[:, : PLACE_WIDTH // MEMBERS].astype(np.float32) * np.float32(MEMBERS**0.5)


def embed(seen: Look, weights: Weights | None = None) -> Placed:
    """Each region's place in the learned metric. `weights` are others than those of the package."""
    every = weights_or_own(weights)
    nodes = facts_of(seen)
    first = np.flatnonzero(np.diff(seen.here, prepend=-1))
    members = [_placed(seen, nodes, first, every, f"{member}.") for member in range(MEMBERS)]
    return Placed(
        np.concatenate([place for _, place in members], axis=1) * np.float32(MEMBERS**-0.5), members[0][0]
    )


def _placed(
    seen: Look, nodes: Rows, first: NDArray[np.int64], weights: Weights, member: str
) -> tuple[Rows, Rows]:
    w = {name.removeprefix(member): weight for name, weight in weights.items() if name.startswith(member)}
    hidden = np.maximum(nodes @ w["inp.weight"] + w["inp.bias"], 0)
    hidden = np.maximum(hidden @ w["h2.weight"] + w["h2.bias"], 0) + hidden
    levels = [hidden]
    for level in range(2):
        told = (hidden @ w[f"msg.{level}.weight"] + w[f"msg.{level}.bias"])[seen.there]
        told += seen.ties @ w[f"rel.{level}.weight"] + w[f"rel.{level}.bias"]
        told = np.maximum(told, 0) * seen.ties[:, :1]
        heard = np.zeros_like(hidden)
        if first.size:
            heard[seen.here[first]] = np.add.reduceat(told, first, axis=0)
        both = np.concatenate([hidden, heard], axis=1)
        hidden = hidden + np.maximum(both @ w[f"upd.{level}.weight"] + w[f"upd.{level}.bias"], 0)
        levels.append(hidden)
    known = np.concatenate(levels, axis=1)
    out = known @ w["out.weight"] + w["out.bias"]
    place = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    return known, np.asarray(place, np.float32)


@dataclass(frozen=True)
class Walks:
    """Ways from a region to those around it; the shares of each way sum to at most 1."""

    above: Any
    below: Any
    beside: Any
    """Onto what borders on it, by the share of its outline: sparse (n, n)."""
    step: Any
    """Onto what borders on it, however large: a step onto a sky is no likelier than one onto a neck."""
    back: tuple[NDArray[np.float32], NDArray[np.float32]]
    """How likely two steps, and three, end where they began, (n,)."""
    panel: NDArray[np.int64]
    weight: NDArray[np.float32]
    """The panel of each region, and how much it counts there: the root of its area, nothing for paper."""


def walks(seen: Look) -> Walks:
    from scipy.sparse import csr_array, diags_array

    n = len(seen.regions)
    far = np.maximum(np.hypot(seen.ties[:, 1], seen.ties[:, 2]), 1e-6)
    across, down = seen.ties[:, 1] / far, seen.ties[:, 2] / far

    def way(weight: NDArray[Any]) -> Any:
        return csr_array((weight, (seen.here, seen.there)), shape=(n, n), dtype=np.float32)

    part = seen.ties[:, 0]
    step = way(np.sqrt(part * seen.ties[:, 6]))
    step = csr_array(diags_array(1 / np.maximum(step.sum(axis=1), 1e-6)).astype(np.float32) @ step)
    above, below = (way(part * np.maximum(turn, 0) ** 2) for turn in (-down, down))
    home = csr_array(step.T)
    twice, thrice = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for start in range(0, n, ROWS):
        rows = slice(start, start + ROWS)
        twice[rows] = step[rows].multiply(home[rows]).sum(axis=1)
        thrice[rows] = (step[rows] @ step).multiply(home[rows]).sum(axis=1)
    weight = (np.sqrt(seen.share) * ~seen.paper).astype(np.float32)
    return Walks(above, below, way(part * across**2), step, (twice, thrice), seen.panel, weight)


def surroundings(ways: Walks, share: Rows, sent: Rows) -> Rows:
    """The colours around each region, (n, AROUND, k), where `share` (n, k) says which colour each region has and
    `sent` (n, AROUND) how much it tells others of it; the heads of a side lie side by side.

    Above, below and beside it; one, two and three steps away; and in its panel. None counts itself."""
    n, k = share.shape
    every = sent.reshape(n, SIDES, HEADS, 1) * share[:, None, None, :]
    told = [every[:, side].reshape(n, HEADS * k) for side in range(SIDES)]
    sides = [ways.above @ told[0], ways.below @ told[1], ways.beside @ told[2], ways.step @ told[3]]
    for steps, back in zip((2, 3), ways.back, strict=True):
        away, whole = told[steps + 2], np.ones(n, np.float32)
        for _ in range(steps):
            away, whole = ways.step @ away, ways.step @ whole
        sides.append(_without(away, back[:, None] * told[steps + 2], whole - back))
    own = ways.weight[:, None] * told[6]
    count = int(ways.panel.max(initial=-1)) + 1
    total, weight = np.zeros((count, HEADS * k), np.float32), np.zeros(count, np.float32)
    np.add.at(total, ways.panel, own)
    np.add.at(weight, ways.panel, ways.weight)
    sides.append(_without(total[ways.panel], own, weight[ways.panel] - ways.weight))
    return np.stack(sides, axis=1).reshape(n, AROUND, k)


def _without(all_of_it: Rows, own: Rows, left: NDArray[np.float32]) -> Rows:
    """What others share in a sum, as a mean; `left` is their weight. Rounding may leave less than nothing."""
    return np.asarray(np.maximum(all_of_it - own, 0) / np.maximum(left, 1e-6)[:, None], np.float32)


def sent(place: Rows) -> Rows:
    """How much regions at these places in the metric tell those around them, (n, AROUND): hair says more of
    whose shirt it is than a sky does."""
    return _gate("send", place)


def read(place: Rows) -> Rows:
    """How much each of its surroundings counts for a region, (n, AROUND)."""
    return _gate("read", place)


def told_by_touch(place: Rows) -> Rows:
    """How much regions at these places say by what they touch, (n, TOUCHES)."""
    return _gate("tell", place)


def heeded_by_touch(place: Rows) -> Rows:
    """How much a region heeds what touches it, (n, TOUCHES)."""
    return _gate("heed", place)


def trust(place: Rows, signs: Rows) -> Rows:
    """How much each vote counts for a region, (n, 5): those of regions, of points and of the metric, of the metric
    together with the colours around, and the look within those. `signs` are (n, SIGNS), see assign.signs."""
    return _gate("trust", np.concatenate([place, signs], axis=1))


def _gate(name: str, rows: Rows) -> Rows:
    w = _weights()
    hidden = np.maximum(rows @ w[f"{name}.a.weight"] + w[f"{name}.a.bias"], 0)
    return np.asarray(
        np.exp(np.clip(hidden @ w[f"{name}.b.weight"] + w[f"{name}.b.bias"], -5, 3)), np.float32
    )


def balance() -> tuple[float, float, float]:
    """The weight of a colour's area, of open borders, and of colours that touch, where the metric is trusted."""
    w = _weights()
    return float(w["area"].item()), float(w["open"].item()), float(w["touch"].item())


def sharpness(weights: Weights | None = None, count: int = MEMBERS) -> tuple[float, float]:
    """By how much the product of two places counts in a softmax, and the logarithm of a reference's area, where the first
    `count` networks are heard. `weights` are others than those of the package."""
    w = weights_or_own(weights)
    members = [f"{member}." for member in range(count)]
    product = np.mean([np.exp(w[f"{member}tau"].item()) for member in members])
    return float(product), float(np.mean([w[f"{member}prior"].item() for member in members]))
