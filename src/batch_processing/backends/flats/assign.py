"""Which colour each region gets, and how sure that is.

A log-linear sum of what the region itself looks like and what the points inside it look like; then regions settle
with their neighbours by mean field iteration (Kraehenbuehl and Koltun 2011, on a graph of regions): in a Potts
field, and by comparing the colours around them with those around the areas of the references, anew in each round
(the idea of auto-context, Tu and Bai 2010): a shirt is its wearer's, whose hair was told apart three regions
away. What counts how much for which region is learned, as far as the learned metric holds for the job's references.
Deterministic. A person's word is final: fixed regions never move.
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
WEIGHTS = (0.6, 2.0, 0.5, 2.0, 1.0)
"""Where the metric is not to be trusted: weights of the votes of regions, of points and of the learned metric, of its
votes together with the colours around, and of the look within those. Else graph.trust has learned them."""
BALANCE = (-0.5, 2.0, 0.3)
"""There too: weights of palette area, of two regions' wish to be one across a border without ink, and of colours that
touch. Area counts against a colour: what the references show much of is found near everywhere."""
HEED = (4.0, 4.0, 4.0, 4.0, 0.0, 0.0, 0.0)
"""There too: how much each of a region's surroundings counts, see graph.surroundings. Else graph.read has learned it."""
ROUNDS = 6
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
        votes_on(seen, known)
        if len(known.region_rows)
        else Votes(
            guess,
            guess,
            guess,
            np.zeros(n),
            np.zeros((n, graph.PLACE_WIDTH), np.float32),
            np.zeros((n, 0), np.float32),
        )
    )
    far = float(known.metric_trust[0])
    weight = (1 - far) * np.array(WEIGHTS) + far * graph.trust(votes.place, signs(votes, seen.share))
    balance = (1 - far) * np.array(BALANCE) + far * np.array(graph.balance())
    belief = (
        weight[:, [0]] * np.log(floored(votes.region, FLOOR))
        + weight[:, [1]] * votes.heard[:, None] * np.log(floored(votes.point, FLOOR))
        + weight[:, [2]] * np.log(floored(votes.kind, KIND_FLOOR))
        + balance[0] * np.log(known.share[None, :] + 0.002)
    )
    hinted = wanted >= 0
    area = what.area / labels.size
    still = (fixed >= 0) & ~hinted
    _fix(belief, still, fixed)
    share = _settle(belief, seen, panels, known, votes, weight[:, 3:], balance, still)
    if hinted.any():
        # What was sure without the hints stays as it was: a person's word is for the regions it touches.
        sure = calibrated(evidence(share, votes, known, area), far) >= SETTLED
        belief[sure] = np.log(share[sure] + 1e-12)
        _fix(belief, hinted, fixed)
        belief[only_hinted] = 0.0  # no colour of the palette: it tells the others nothing
        share = _settle(belief, seen, panels, known, votes, weight[:, 3:], balance, still | hinted | sure)
    colour = share.argmax(axis=1).astype(np.int32)
    confidence = calibrated(evidence(share, votes, known, area), far)
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
    place: NDArray[np.float32]
    """Each region's place in the learned metric, see graph.embed."""
    like: NDArray[np.float32]
    """How like a region is to each of the references in the learned metric, (n, R): the cosine of their places."""


def signs(votes: Votes, area: NDArray[np.float64]) -> NDArray[np.float32]:
    """What tells which votes to trust, (n, graph.SIGNS); `area` is each region's share of the page."""
    point, kind = votes.point.argmax(axis=1), votes.kind.argmax(axis=1)
    columns = [
        votes.region.max(axis=1),
        votes.point.max(axis=1) * votes.heard,
        votes.kind.max(axis=1),
        votes.heard,
        votes.region.argmax(axis=1) == kind,
        point == kind,
        0.2 * np.log(area + 1e-5),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


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


def floored(votes: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
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


def votes_on(seen: graph.Look, known: Knowledge) -> Votes:
    """What the references say of a drawing's regions, each by itself."""
    n = len(seen.regions)
    index, weight = _nearest(seen.regions @ known.region_turn, known.region_rows, NEIGHBOURS, WIDTH)
    point, heard = _point_votes(seen, known, n)
    place = graph.embed(seen)
    like = place @ known.region_place.astype(np.float32).T
    kind = _kind_votes(like, known, 0.0)
    return Votes(_tally(known.region_colour[index], weight, len(known.rgb)), point, kind, heard, place, like)


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
    votes: Votes,
    weight: NDArray[np.float64],
    balance: NDArray[np.float64],
    still: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Mean field over the borders of regions: one colour across open borders, likely pairs across lines, and among
    like regions of the references those in like surroundings. `weight` (n, 2) is that of these, and of the look within
    them; rows that are `still` keep their belief."""
    from scipy.sparse import csr_array

    n = len(belief)
    a, b, length, bare = seen.a, seen.b, seen.length, seen.bare
    share = _softmax(belief)
    if not a.size:
        return share
    whole = np.bincount(np.concatenate([a, b]), np.concatenate([length, length]), minlength=n)
    paper = panels.gutter[a] | panels.gutter[b] | panels.balloon[a] | panels.balloon[b]
    small = np.minimum(whole[a], whole[b])
    potts = np.where(paper, 0, balance[1] * bare / np.maximum(small, 1))
    # A neck is a short part of a shirt's outline and still says whose shirt it is: hence the root.
    touch = np.where(paper, 0, balance[2] * np.sqrt((length - bare) / np.maximum(small, 1)))
    both = np.concatenate([a, b]), np.concatenate([b, a])
    open_graph = csr_array((np.concatenate([potts, potts]), both), shape=(n, n))
    line_graph = csr_array((np.concatenate([touch, touch]), both), shape=(n, n))
    lift = np.log(known.touch.astype(np.float64))
    far = float(known.metric_trust[0])
    ways, sent = graph.walks(seen), graph.sent(votes.place)
    read = (1 - far) * np.array(HEED, np.float32) + far * graph.read(votes.place)
    theirs = np.sqrt(known.region_around.astype(np.float32)).reshape(-1, graph.SIDES * belief.shape[1]).T
    look = votes.like * weight[:, [1]].astype(np.float32)
    for _ in range(ROUNDS):
        wish = open_graph @ share + (line_graph @ share) @ lift
        if look.size:
            told = share * share.max(axis=1, keepdims=True) ** 2  # who is in doubt tells others less
            around = graph.surroundings(ways, told.astype(np.float32), sent)
            mine = (np.sqrt(around) * read[..., None]).reshape(n, -1)
            scene = _kind_votes(look, known, mine @ theirs)
            wish += weight[:, [0]] * np.log(floored(scene, KIND_FLOOR))
        share = 0.5 * share + 0.5 * _softmax(belief + np.where(still[:, None], 0, wish))
    return share


def _softmax(values: NDArray[Any]) -> NDArray[Any]:
    up = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(up / up.sum(axis=1, keepdims=True))


SURE = (0.415, 1.078, 0.209, -0.126, -0.128, 4.647, 0.028, 0.113, 1.224, -3.5)
"""A logistic regression of `evidence` on whether the region's colour was right, the constant last, where the metric is
trusted. Fitted on pages that neither metric nor gates were trained on: 72 pages of train/series, 56 of busts and 24
crowded ones of benchmarks/flats_drawings.py (of the first and the last every other region). Those drawings are harder
than comics are; the constant is 0.8 above the fit: then .94 of the regions of .9 and more are right on train/series."""
SURE_UNTRUSTED = (0.093, 1.062, 1.262, 1.463, -0.471, 6.521, -0.044, -0.144, 4.426, -7.08)
"""The same where it is not. Fitted on 16 pages of train/series and 23 of drawings without the gates' say; the constant
is 1.3 above that fit."""


def calibrated(said: NDArray[np.float64], far: float) -> NDArray[np.float64]:
    """Probability that each region's colour is right, given its `evidence` and how far the metric is trusted."""
    weight = (1 - far) * np.array(SURE_UNTRUSTED) + far * np.array(SURE)
    return np.asarray(1 / (1 + np.exp(-(said @ weight[:-1] + weight[-1]))))
