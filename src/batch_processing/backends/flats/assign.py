"""Which colour each region gets, and how sure that is.

A log-linear sum of what the region itself looks like and what the points inside it look like; then regions settle
with their neighbours by mean field iteration (Kraehenbuehl and Koltun 2011, on a graph of regions): in a Potts
field, and by comparing the colours around them with those around the areas of the references, anew in each round
(the idea of auto-context, Tu and Bai 2010): a shirt is its wearer's, whose hair was told apart three regions
away. What counts how much for which region is learned, as far as the learned metric holds for the job's references.
Deterministic. A person's word is final: fixed regions never move; and it tells of those around them (`_heard`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import attention, graph
from .alternation import alternated
from .attention import softmax
from .references import Knowledge
from .structure import Structure

NEIGHBORS = 8
"""Reference regions that vote for a region."""
WIDTH = 0.055
"""Width of the kernel on squared region distance."""
POINT_NEIGHBORS = 5
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
FLOOR = 0.2
"""Share of each vote given to all colours alike: no vote is a certainty."""

BURST = 16.0
"""How much speaks for what references show between focus lines, as a logarithm: more than all votes together."""
KIND_FLOOR = 0.05
"""The same for the learned metric, which knows better when it does not know."""


@dataclass
class Assignment:
    """One row per region."""

    color: NDArray[np.int32]
    """Palette id."""
    confidence: NDArray[np.float64]
    """Probability, 0 to 1, that the colour is right."""
    reason: NDArray[np.uint8]
    """Index into WHY."""


WHY = ("paper", "hint", "reference", "guess")
PAPER, HINT, REFERENCE, GUESS = range(len(WHY))


@dataclass(frozen=True)
class Matched:
    """n regions, as what the references say of them has them, before anybody said anything. One row each."""

    votes: Votes
    weight: NDArray[np.float64]
    """(n, 5), see WEIGHTS."""
    balance: NDArray[np.float64]
    belief: NDArray[np.float64]
    """(n, k): what a region is by itself, logarithms; of paper, that it is."""
    still: NDArray[np.bool_]
    """Paper."""
    share: NDArray[np.float64]
    """(n, k): how likely each colour is for each region, once all have settled."""
    confidence: NDArray[np.float64]

    def of(self, region: NDArray[np.int64]) -> Matched:
        """These regions, in this order."""
        return replace(
            self,
            votes=self.votes.of(region),
            weight=self.weight[region],
            belief=self.belief[region],
            still=self.still[region],
            share=self.share[region],
            confidence=self.confidence[region],
        )


def match(seen: graph.Look, panels: Structure, known: Knowledge) -> Matched:
    """Match a drawing's regions with the references, and let them settle."""
    n, k = len(seen.regions), len(known.rgb)
    guess = np.full((n, k), 1 / k)
    votes = (
        votes_on(seen, known)
        if len(known.region_rows)
        else Votes(
            guess,
            guess,
            guess,
            np.zeros(n),
            np.zeros(n),
            np.zeros((n, graph.PLACE_WIDTH), np.float32),
            np.zeros((n, 0), np.float32),
            guess,
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
    belief[panels.burst] += BURST * known.burst / known.burst.max(initial=1e-9)
    still = panels.white.copy()
    _fix(belief, still, np.zeros(n, np.int32))
    share = settle(belief, seen, panels, known, votes, weight[:, 3:], balance, still)
    confidence = calibrated(evidence(share, votes, known, seen.share), far)
    return Matched(votes, weight, balance, belief, still, share, confidence)


def chosen(
    matched: Matched,
    seen: graph.Look,
    panels: Structure,
    known: Knowledge,
    fixed: NDArray[np.int32],
    *,
    spread: bool = True,
) -> Assignment:
    """Choose a palette id for each region; `fixed` holds those that a person has said, -1 elsewhere. With `spread` what
    was said tells of other regions, too.

    Ids beyond the palette are colours that only hints use.
    """
    hinted = fixed >= 0
    color = matched.share.argmax(axis=1).astype(np.int32)
    confidence = matched.confidence
    # A colour of its own tells of nothing else.
    if spread and (hinted & (fixed < matched.belief.shape[1])).any():
        share, changed = _heard(matched, seen, panels, known, fixed)
        color[changed] = share.argmax(axis=1)[changed]
        said = evidence(share, matched.votes, known, seen.share)
        far = float(known.metric_trust[0])
        confidence = np.where(changed, calibrated(said, far), confidence)
    color = np.where(hinted, fixed, np.where(matched.still, 0, color)).astype(np.int32)
    reason = np.full(len(fixed), REFERENCE if len(known.region_rows) else GUESS, np.uint8)
    reason[matched.still] = PAPER
    reason[hinted] = HINT
    return Assignment(color, np.where(hinted | matched.still, 1.0, confidence), reason)


TOLD_BY_HINT = 3.0
"""How much more than another region one that a person spoke of tells those around it,"""
SCENE_WITH_HINTS = 2.0
"""and how much more it counts then whose colours are around. Both were chosen by the hints that benchmarks/flats.py counts, on
the sets `style-choose` and `train-drawn`: 2 to 4 and 1.5 to 3 differ little. That like regions take the colour of a hint
directly cost hints in every form that was tried: what looks alike on a page is as often another's."""


def _heard(
    matched: Matched, seen: graph.Look, panels: Structure, known: Knowledge, fixed: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How likely each colour is for each region once it heard what was said of others, (n, k), and the regions of which
    that changes the colour.

    They settle with the hints and without, both times heeding more whose colours are around than where nobody said
    anything: only what differs is due to the hints. So a person's word overrules what was sure about its figure, and
    leaves alone what has nothing to do with it.
    """
    n, k = matched.belief.shape
    weight = matched.weight[:, 3:] * np.array([SCENE_WITH_HINTS, 1.0])
    belief, still, voice = matched.belief.copy(), matched.still.copy(), np.ones(n)
    rest = (seen, panels, known, matched.votes, weight, matched.balance)
    without = settle(belief, *rest, still, voice)
    hinted = (fixed >= 0) & (fixed < k)
    if len(known.region_rows):
        belief += matched.weight[:, [2]] * _changed(matched.votes, seen, known, fixed, hinted)
    _fix(belief, still, np.zeros(n, np.int32))
    _fix(belief, hinted, np.where(fixed >= k, 0, fixed))
    voice[hinted] = TOLD_BY_HINT
    given = settle(belief, *rest, still | hinted, voice)
    return given, given.argmax(axis=1) != without.argmax(axis=1)


def _changed(
    votes: Votes,
    seen: graph.Look,
    known: Knowledge,
    fixed: NDArray[np.int32],
    hinted: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What the votes of attention gain by what was said of the regions `hinted`, (n, k), logarithms. Both are read anew, as strokes may
    have parted regions since `votes` were taken."""
    rows = np.flatnonzero(hinted)
    said = attention.Said(rows, fixed[rows])
    before, after = (
        np.log(
            floored(attention.read(seen, votes.levels, votes.metric, _attended(known), said=one), KIND_FLOOR)
        )
        for one in (None, said)
    )
    return np.asarray(after - before)


def _fix(belief: NDArray[np.float64], rows: NDArray[np.bool_], color: NDArray[np.int32]) -> None:
    belief[rows] = -30.0
    belief[rows, color[rows]] = 0.0


@dataclass(frozen=True)
class Votes:
    """What the references say of each of n regions, each row of (n, k) summing to 1."""

    region: NDArray[np.float64]
    point: NDArray[np.float64]
    kind: NDArray[np.float64]
    """By the learned metric, and by attention that begins with it."""
    heard: NDArray[np.float64]
    """How much of a vote `point` is, 0 to 1: 0 for a region without points."""
    told: NDArray[np.float64]
    """How well the references tell things like it, 0 to 1: the mean of Knowledge.region_told over those that the metric finds alike."""
    place: NDArray[np.float32]
    """Each region's place in the learned metric, see graph.embed."""
    like: NDArray[np.float32]
    """How like a region is to each of the references in the learned metric, (n, R): the cosine of their places."""
    metric: NDArray[np.float64]
    """What the metric's first network says, (n, k), and what it knows of each region, see graph.Placed: attention begins with these."""
    levels: NDArray[np.float32]

    def of(self, region: NDArray[np.int64]) -> Votes:
        """Those on these regions, in this order."""
        return Votes(**{name: value[region] for name, value in vars(self).items()})


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
    """What tells how sure a choice is, (n, 10); `area` is each region's share of the page."""
    rows = np.arange(len(share))
    best = share.argmax(axis=1)
    top = share[rows, best]
    other = share.copy()
    other[rows, best] = 0
    said = [votes.region[rows, best], votes.point[rows, best] * votes.heard, votes.kind[rows, best]]
    agree = [(v.argmax(axis=1) == best).astype(np.float64) for v in (votes.region, votes.point, votes.kind)]
    own = known.region_color[None, :] == best[:, None]
    nearest = np.where(own, votes.like, 0).max(axis=1, initial=0)
    columns = [
        np.log((top + 1e-4) / (other.max(axis=1) + 1e-4)),
        *said,
        sum(agree) / 3,
        votes.like.max(axis=1, initial=0),
        votes.heard,
        np.log(area + 1e-5),
        nearest - np.where(own, 0, votes.like).max(axis=1, initial=0),
        votes.told,
    ]
    return np.stack(columns, axis=1)


def floored(votes: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    return np.asarray((1 - floor) * votes + floor / votes.shape[1])


BLOCKS = 32
"""Blocks that known rows are searched in."""


def _nearest(
    rows: NDArray[np.float32], known: NDArray[np.floating[Any]], count: int, width: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `count` nearest known rows of each row, and their weights, which sum to 1."""
    count = min(count, len(known))
    wide = -(-len(known) // BLOCKS)  # columns of a block; block i holds the known rows i * wide and on
    wanted = np.zeros((BLOCKS * wide, known.shape[1] + 1), np.float32)
    wanted[: len(known), :-1] = known
    wanted[:, -1] = (wanted**2).sum(axis=1)
    wanted[:, :-1] *= -2
    wanted[len(known) :, -1] = np.inf
    asked = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)
    index = np.zeros((len(rows), count), np.int64)
    weight = np.zeros((len(rows), count))
    for start in range(0, len(rows), 512):
        # The square of the distance, less that of the row, which is the same for all.
        away = asked[start : start + 512] @ wanted.T
        # The nearest rows lie in the columns of the nearest: a minimum is found far quicker than an order.
        lowest = away.reshape(len(away), BLOCKS, wide).min(axis=1)
        columns = np.argpartition(lowest, min(count, wide) - 1, axis=1)[:, :count]
        among = (columns[:, None, :] + wide * np.arange(BLOCKS)[:, None]).reshape(len(away), -1)
        found = np.take_along_axis(away, among, axis=1)
        best = np.argpartition(found, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(found, best, axis=1).astype(np.float64)
        index[start : start + 512] = np.take_along_axis(among, best, axis=1)
        weight[start : start + 512] = np.exp(-(near - near.min(axis=1, keepdims=True)) / width)
    return index, weight / weight.sum(axis=1, keepdims=True)


def votes_on(seen: graph.Look, known: Knowledge, weights: graph.Weights | None = None) -> Votes:
    """What the references say of a drawing's regions, each by itself. `weights` of the learned metric are others than those of
    the package."""
    n = len(seen.regions)
    index, weight = _nearest(seen.regions @ known.region_turn, known.region_rows, NEIGHBORS, WIDTH)
    point, heard = _point_votes(seen, known, n)
    placed = graph.embed(seen, weights)
    place, levels = placed.place, placed.levels
    like = place @ known.region_place.astype(np.float32).T
    region = _tally(known.region_color[index], weight, len(known.rgb))
    part = _parts(like, known, 0.0, graph.sharpness(weights))
    told = np.asarray(part @ known.region_told.astype(np.float32), np.float64)
    alone = placed.first @ graph.first_member(known.region_place).T
    metric = _by_color(_parts(alone, known, 0.0, graph.sharpness(weights, 1)), known)
    kind = attention.read(seen, levels, metric, _attended(known), weights)
    return Votes(region, point, kind, heard, told, place, like, metric, levels)


def _attended(known: Knowledge) -> attention.Known:
    return attention.Known(known.region_keys, known.region_context, known.region_color, known.region_share)


def _point_votes(
    seen: graph.Look, known: Knowledge, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean vote of the points in each region, and how much of a vote that is (0 without points)."""
    k = len(known.rgb)
    votes = np.zeros((n, k))
    count = np.bincount(seen.home, minlength=n).astype(np.float64)
    if len(seen.points) and len(known.point_rows):
        turned = seen.points @ known.point_turn
        index, weight = _nearest(turned, known.point_rows, POINT_NEIGHBORS, POINT_WIDTH)
        np.add.at(votes, seen.home, _tally(known.point_color[index], weight, k))
    return votes / np.maximum(count, 1)[:, None], count / (count + 1)


def _parts(
    like: NDArray[np.float32], known: Knowledge, more: NDArray[Any] | float, sharpness: tuple[float, float]
) -> NDArray[Any]:
    """How much each reference region votes on each region by the learned metric, (n, R), a softmax as it was trained; `more`
    is added to it."""
    product, area = sharpness
    return softmax(like * product + area * np.log(known.region_share + 1e-5) + more)


def _by_color(part: NDArray[Any], known: Knowledge) -> NDArray[np.float64]:
    """Votes of all reference regions, (n, k)."""
    own = np.eye(len(known.rgb), dtype=part.dtype)[known.region_color]
    return np.asarray(part @ own, np.float64)


def _tally(color: NDArray[np.int32], weight: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Sum weights per colour: (n, k)."""
    rows = len(color)
    key = np.arange(rows)[:, None] * k + color
    total = np.bincount(key.ravel(), weight.ravel(), minlength=rows * k)
    return np.asarray(total.reshape(rows, k), np.float64)


def settle(
    belief: NDArray[np.float64],
    seen: graph.Look,
    panels: Structure,
    known: Knowledge,
    votes: Votes,
    weight: NDArray[np.float64],
    balance: NDArray[np.float64],
    still: NDArray[np.bool_],
    voice: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Mean field over the borders of regions: one colour across open borders, likely pairs across lines, and among
    like regions of the references those in like surroundings; then what alternates does so throughout. `weight` (n, 2) is
    that of these, and of the look within them; rows that are `still` keep their belief; `voice` (n,) is how much more than
    others a region tells."""
    from scipy.sparse import csr_array

    n = len(belief)
    a, b, length, bare = seen.a, seen.b, seen.length, seen.bare
    share = softmax(belief)
    if not a.size:
        return share
    whole = np.bincount(np.concatenate([a, b]), np.concatenate([length, length]), minlength=n)
    paper = panels.gutter[a] | panels.gutter[b] | panels.balloon[a] | panels.balloon[b]
    small = np.minimum(whole[a], whole[b])
    potts = np.where(paper, 0, balance[1] * bare / np.maximum(small, 1))
    # A neck is a short part of a shirt's outline and still says whose shirt it is: hence the root.
    touch = np.where(paper, 0, np.sqrt((length - bare) / np.maximum(small, 1)))
    both = np.concatenate([a, b]), np.concatenate([b, a])
    open_graph = csr_array((np.concatenate([potts, potts]), both), shape=(n, n))
    line_graph = csr_array((np.concatenate([touch, touch]), both), shape=(n, n))
    lift = np.log(known.touch.astype(np.float64))
    far = float(known.metric_trust[0])
    ways, sent = graph.walks(seen), graph.sent(votes.place)
    tells, heeds = graph.told_by_touch(votes.place), far * graph.heeded_by_touch(votes.place)
    heed = np.repeat(np.array(HEED, np.float32) / graph.HEADS, graph.HEADS)
    read = (1 - far) * heed + far * graph.read(votes.place)
    theirs = np.sqrt(known.region_around.astype(np.float32))
    theirs = theirs.reshape(len(theirs), graph.AROUND * belief.shape[1]).T
    look = votes.like * weight[:, [1]].astype(np.float32)
    sharpness = graph.sharpness()
    louder = np.ones((n, 1)) if voice is None else voice[:, None]
    for _ in range(ROUNDS):
        told = louder * share * share.max(axis=1, keepdims=True) ** 2  # who is in doubt tells others less
        wish = open_graph @ share + balance[2] * (line_graph @ (share * louder)) @ lift
        if look.size:
            for one in range(graph.TOUCHES):
                wish += heeds[:, [one]] * ((line_graph @ (told * tells[:, [one]])) @ lift)
            around = graph.surroundings(ways, told.astype(np.float32), sent)
            mine = (np.sqrt(around) * read[..., None]).reshape(n, -1)
            scene = _by_color(_parts(look, known, mine @ theirs, sharpness), known)
            wish += weight[:, [0]] * np.log(floored(scene, KIND_FLOOR))
        share = 0.5 * share + 0.5 * softmax(belief + np.where(still[:, None], 0, wish))
    return alternated(share, belief, line_graph, lift)


SURE = (0.387, 0.407, -0.106, 0.436, -0.435, 2.775, -0.002, -0.026, 3.636, 0.580, -3.644)
"""A logistic regression of `evidence` on whether the region's colour was right, the constant last, where the metric is
trusted; fitted by benchmarks/fit_confidence.py on drawings that the metric had not seen."""
SURE_UNTRUSTED = (-0.063, -0.228, -0.097, 2.382, 0.324, 0.877, -0.458, 0.147, 0.399, 0.146, -1.759)
"""The same where it is not, of paintings."""


def calibrated(said: NDArray[np.float64], far: float) -> NDArray[np.float64]:
    """Probability that each region's colour is right, given its `evidence` and how far the metric is trusted."""
    weight = (1 - far) * np.array(SURE_UNTRUSTED) + far * np.array(SURE)
    return np.asarray(1 / (1 + np.exp(-(said @ weight[:-1] + weight[-1]))))
