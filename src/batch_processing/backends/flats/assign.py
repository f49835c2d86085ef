"""Which colour each region gets, and how sure that is.

A log-linear sum of what the region itself looks like and what the points inside it look like; then regions settle
with their neighbours by mean field iteration (Kraehenbuehl and Koltun 2011, on a graph of regions): in a Potts
field, and by comparing the colours around them with those around the areas of the references, anew in each round
(the idea of auto-context, Tu and Bai 2010): a shirt is its wearer's, whose hair was told apart two regions
away. Deterministic. A person's word is final: fixed regions never move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import describe, graph, regions
from .ink import Ink
from .references import Knowledge
from .structure import Structure

NEIGHBOURS = 8
"""Reference regions that vote for a region."""
WIDTH = 0.055
"""Width of the kernel on squared region distance."""
POINT_NEIGHBOURS = 5
POINT_WIDTH = 0.12
"""Width of the kernel on squared point distance."""
WEIGHTS = (0.6, 2.0, -0.5, 0.3, 0.5)
"""Weights of region votes, point votes, palette area, touching colours and votes of the learned metric. Area counts
against a colour: what the references show much of is found near everywhere."""
SCENE = 2.0
"""Weight of the votes of the learned metric together with the colours around."""
ALIKE = 4.0
"""How much like surroundings count in those votes."""
ROUNDS = 6
POTTS = 2.0
"""Strength of two regions' wish to be one across a border without ink."""
SETTLED = 0.75
"""Regions that are at least this sure without hints keep their colour: those that are not listed for review."""
FLOOR = 0.2
"""Share of each vote given to all colours alike: no vote is a certainty."""

KIND_FLOOR = 0.05
"""The same for the learned metric, which knows better when it does not know."""


@dataclass
class Assignment:
    """One row per region."""

    colour: NDArray[np.int32]
    """Palette id."""
    confidence: NDArray[np.float64]
    """Probability, 0 to 1, that the colour is right."""
    why: list[str]
    """paper, hint, reference or guess."""
    belief: NDArray[np.float64]


def assign(
    drawn: Ink,
    labels: regions.Labels,
    what: describe.Shapes,
    panels: Structure,
    known: Knowledge,
    fixed: NDArray[np.int32],
) -> Assignment:
    """Choose a palette id for each region; `fixed` holds those that stand already, -1 elsewhere.

    Ids beyond the palette are colours that only hints use.
    """
    n, k = what.count, len(known.rgb)
    only_hinted = fixed >= k
    wanted = fixed
    fixed = np.where(only_hinted, 0, fixed)
    fixed = np.where((fixed < 0) & panels.white, 0, fixed)
    seen = graph.look(drawn, labels, what, panels.frame, panels.white)
    guess = np.full((n, k), 1 / k)
    votes = (
        _votes(seen, known)
        if len(known.region_rows)
        else Votes(guess, guess, guess, np.zeros(n), np.zeros((n, 0), np.float32))
    )
    belief = (
        WEIGHTS[0] * np.log(_floored(votes.region, FLOOR))
        + WEIGHTS[1] * votes.heard[:, None] * np.log(_floored(votes.point, FLOOR))
        + WEIGHTS[4] * np.log(_floored(votes.kind, KIND_FLOOR))
        + WEIGHTS[2] * np.log(known.share[None, :] + 0.002)
    )
    hinted = wanted >= 0
    area = what.area / labels.size
    still = (fixed >= 0) & ~hinted
    _fix(belief, still, fixed)
    share = _settle(belief, seen, panels, known, votes.like, still)
    if hinted.any():
        # What was sure without the hints stays as it was: a person's word is for the regions it touches.
        sure = calibrated(evidence(share, votes, known, area)) >= SETTLED
        belief[sure] = np.log(share[sure] + 1e-12)
        _fix(belief, hinted, fixed)
        belief[only_hinted] = 0.0  # no colour of the palette: it tells the others nothing
        share = _settle(belief, seen, panels, known, votes.like, still | hinted | sure)
    colour = share.argmax(axis=1).astype(np.int32)
    confidence = calibrated(evidence(share, votes, known, area))
    set_rows = np.flatnonzero(fixed >= 0)
    colour[set_rows] = np.where(only_hinted, wanted, fixed)[set_rows]
    why = ["reference" if len(known.region_rows) else "guess"] * n
    for row in set_rows:
        confidence[row] = 1.0
        why[row] = "hint" if wanted[row] >= 0 else "paper"
    return Assignment(colour, confidence, why, share)


def _fix(belief: NDArray[np.float64], rows: NDArray[np.bool_], colour: NDArray[np.int32]) -> None:
    belief[rows] = -30.0
    belief[rows, colour[rows]] = 0.0


@dataclass(frozen=True)
class Votes:
    """What the references say of each of n regions, each row of (n, k) summing to 1."""

    region: NDArray[np.float64]
    point: NDArray[np.float64]
    kind: NDArray[np.float64]
    """By the learned metric."""
    heard: NDArray[np.float64]
    """How much of a vote `point` is, 0 to 1: 0 for a region without points."""
    like: NDArray[np.float32]
    """How like a region is to each of the references in the learned metric, (n, R): the cosine of their places."""


def evidence(
    share: NDArray[np.float64], votes: Votes, known: Knowledge, area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What tells how sure a choice is, (n, 9); `area` is each region's share of the page."""
    rows = np.arange(len(share))
    best = share.argmax(axis=1)
    top = share[rows, best]
    other = share.copy()
    other[rows, best] = 0
    said = [votes.region[rows, best], votes.point[rows, best] * votes.heard, votes.kind[rows, best]]
    agree = [(v.argmax(axis=1) == best).astype(np.float64) for v in (votes.region, votes.point, votes.kind)]
    own = known.region_colour[None, :] == best[:, None]
    nearest = np.where(own, votes.like, 0).max(axis=1, initial=0)
    columns = [
        np.log((top + 1e-4) / (other.max(axis=1) + 1e-4)),
        *said,
        sum(agree) / 3,
        votes.like.max(axis=1, initial=0),
        votes.heard,
        np.log(area + 1e-5),
        nearest - np.where(own, 0, votes.like).max(axis=1, initial=0),
    ]
    return np.stack(columns, axis=1)


def _floored(votes: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    return np.asarray((1 - floor) * votes + floor / votes.shape[1])


def _nearest(
    rows: NDArray[np.float32], known: NDArray[np.floating[Any]], count: int, width: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` nearest known rows of each row, and their weights, which sum to 1."""
    wanted = known.astype(np.float32)
    count = min(count, len(wanted))
    square = (wanted**2).sum(axis=1)
    index = np.zeros((len(rows), count), np.int64)
    weight = np.zeros((len(rows), count))
    for start in range(0, len(rows), 512):
        part = rows[start : start + 512]
        away = np.maximum(square - 2 * (part @ wanted.T) + (part**2).sum(axis=1)[:, None], 0)
        best = np.argpartition(away, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(away, best, axis=1).astype(np.float64)
        index[start : start + 512] = best
        weight[start : start + 512] = np.exp(-(near - near.min(axis=1, keepdims=True)) / width)
    return index, weight / weight.sum(axis=1, keepdims=True)


def _votes(seen: graph.Look, known: Knowledge) -> Votes:
    n = len(seen.regions)
    index, weight = _nearest(seen.regions @ known.region_turn, known.region_rows, NEIGHBOURS, WIDTH)
    point, heard = _point_votes(seen, known, n)
    like = graph.embed(seen) @ known.region_place.astype(np.float32).T
    kind = _kind_votes(like, known, 0.0)
    return Votes(_tally(known.region_colour[index], weight, len(known.rgb)), point, kind, heard, like)


def _point_votes(
    seen: graph.Look, known: Knowledge, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean vote of the points in each region, and how much of a vote that is (0 without points)."""
    k = len(known.rgb)
    votes = np.zeros((n, k))
    count = np.bincount(seen.home, minlength=n).astype(np.float64)
    if len(seen.points) and len(known.point_rows):
        turned = seen.points @ known.point_turn
        index, weight = _nearest(turned, known.point_rows, POINT_NEIGHBOURS, POINT_WIDTH)
        np.add.at(votes, seen.home, _tally(known.point_colour[index], weight, k))
    return votes / np.maximum(count, 1)[:, None], count / (count + 1)


def _kind_votes(
    like: NDArray[np.float32], known: Knowledge, more: NDArray[Any] | float
) -> NDArray[np.float64]:
    """Votes of all reference regions by the learned metric, a softmax as it was trained; `more` is added to it."""
    product, area = graph.sharpness()
    share = _softmax(like * product + area * np.log(known.region_share + 1e-5) + more)
    own = np.eye(len(known.rgb), dtype=share.dtype)[known.region_colour]
    return np.asarray(share @ own, np.float64)


def _tally(colour: NDArray[np.int32], weight: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Sum weights per colour: (n, k)."""
    rows = len(colour)
    key = np.arange(rows)[:, None] * k + colour
    total = np.bincount(key.ravel(), weight.ravel(), minlength=rows * k)
    return np.asarray(total.reshape(rows, k), np.float64)


def _settle(
    belief: NDArray[np.float64],
    seen: graph.Look,
    panels: Structure,
    known: Knowledge,
    like: NDArray[np.float32],
    still: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Mean field over the borders of regions: one colour across open borders, likely pairs across lines, and among
    like regions of the references those in like surroundings. Rows that are `still` keep their belief."""
    from scipy.sparse import csr_array

    n = len(belief)
    a, b, length, bare = seen.a, seen.b, seen.length, seen.bare
    share = _softmax(belief)
    if not a.size:
        return share
    whole = np.bincount(np.concatenate([a, b]), np.concatenate([length, length]), minlength=n)
    paper = panels.gutter[a] | panels.gutter[b] | panels.balloon[a] | panels.balloon[b]
    small = np.minimum(whole[a], whole[b])
    potts = np.where(paper, 0, POTTS * bare / np.maximum(small, 1))
    # A neck is a short part of a shirt's outline and still says whose shirt it is: hence the root.
    touch = np.where(paper, 0, WEIGHTS[3] * np.sqrt((length - bare) / np.maximum(small, 1)))
    both = np.concatenate([a, b]), np.concatenate([b, a])
    open_graph = csr_array((np.concatenate([potts, potts]), both), shape=(n, n))
    line_graph = csr_array((np.concatenate([touch, touch]), both), shape=(n, n))
    lift = np.log(known.touch.astype(np.float64))
    ways = graph.walks(seen)
    theirs = np.sqrt(known.region_around.astype(np.float32)).reshape(-1, graph.SIDES * belief.shape[1]).T
    for _ in range(ROUNDS):
        wish = open_graph @ share + (line_graph @ share) @ lift
        if like.size:
            told = share * share.max(axis=1, keepdims=True) ** 2  # who is in doubt tells others less
            mine = np.sqrt(graph.surroundings(ways, told.astype(np.float32))).reshape(n, -1)
            scene = _kind_votes(like, known, ALIKE * (mine @ theirs))
            wish += SCENE * np.log(_floored(scene, KIND_FLOOR))
        share = 0.5 * share + 0.5 * _softmax(belief + np.where(still[:, None], 0, wish))
    return share


def _softmax(values: NDArray[Any]) -> NDArray[Any]:
    up = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(up / up.sum(axis=1, keepdims=True))


SURE = (0.093, 1.062, 1.262, 1.463, -0.471, 6.521, -0.044, -0.144, 4.426)
SURE_AT_ALL = -7.08
"""A logistic regression of `evidence` on whether the region's colour was right, fitted on pages that the metric was
not trained on: 16 pages of train/series and 23 of benchmarks/flats_drawings.py. Those drawings are more crowded than
comics are, and a quarter of their regions has a colour that no reference shows; the constant is 1.3 above the fit, the
highest at which .93 of the regions of .9 and more are right on train/series."""


def calibrated(said: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that each region's colour is right, given its `evidence`."""
    return np.asarray(1 / (1 + np.exp(-(said @ np.array(SURE) + SURE_AT_ALL))))
