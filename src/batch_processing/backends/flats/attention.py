"""Attention (Vaswani et al. 2017): which areas of the references a page's regions are, each seen with all others.

The metric of `graph` compares a region and what borders on it, whatever else there is. Here each region also hears of all
others of its drawing, nearer ones and those of its panel first: what they look like, and which colours they have; of a page, as far
as those are known by then. In each layer regions of the page then attend to those of the references, by how alike both are and by
how alike the colours are that they have heard of, and take on the colours of those attended to. Nothing depends on which colour is which:
colours are compared and passed on, never looked at. Trained by `benchmarks/train_attention.py`; the weights are in `metric.npz`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import graph

Rows = NDArray[np.float32]

LAYERS = 3
WIDTH = 128
"""Values that describe a region between layers."""
HEADS = 8
"""Ways of hearing others of the same drawing."""
READERS = 4
"""Ways of attending to the references."""
KEY_WIDTH = LAYERS * 2 * WIDTH
CONTEXTS = LAYERS * HEADS
TIED, SAME_PANEL, ELSEWHERE = range(3)
"""Rows of what speaks for hearing a region that borders on it, one of its panel, one of another panel."""
NOBODY = -1e4
"""What speaks for hearing oneself, as a logarithm."""
ROOT = 1e-6
"""What is added to a share before its root is taken."""
LOUD = (-6.0, 2.0)
"""Least and most that what a reader says may count, as logarithms."""
BASE_FLOOR, READ_FLOOR = 0.02, 0.03
"""Shares of the metric's vote and of each reader's that are given to all colours alike."""
ROWS = 256
"""Regions of which the attention is computed at a time."""


@dataclass(frozen=True)
class Heard:
    """What attention needs of n regions whose colours are known, out of k."""

    keys: Rows
    """(n, KEY_WIDTH): what each layer's readers look for, and what they take on."""
    context: Rows
    """(n, CONTEXTS, k): the colours that each has heard of, the shares of each head."""


def heard(seen: graph.Look, levels: Rows, color: Rows, weights: graph.Weights | None = None) -> Heard:
    """Hear a coloured drawing's regions: `levels` as graph.embed has them, `color` (n, k) one-hot."""
    w = graph.weights_or_own(weights)
    state = levels @ w["enter.weight"] + w["enter.bias"] + w["whose"][1]
    keys, contexts = [], []
    for layer in range(LAYERS):
        of = _Layer(w, layer)
        state, context = of.within(state, seen, color)
        rows = of.normal("n2", state)
        keys += [of.linear("ck", rows), of.linear("cv", rows)]
        contexts.append(context)
        state = of.thought(state)
    return Heard(np.concatenate(keys, axis=1), np.concatenate(contexts, axis=1))


@dataclass(frozen=True)
class Known:
    """R regions of all references together."""

    keys: NDArray[np.floating[Any]]
    context: NDArray[np.floating[Any]]
    """Both as Heard has them."""
    color: NDArray[np.int32]
    """Palette id, (R,), and the share of its picture's area."""
    share: NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """What a person said of some of a page's regions."""

    regions: NDArray[np.int64]
    colors: NDArray[np.int32]
    """The palette id of each."""


def read(
    seen: graph.Look,
    levels: Rows,
    vote: NDArray[np.float64],
    known: Known,
    weights: graph.Weights | None = None,
    said: Said | None = None,
) -> NDArray[np.float64]:
    """Share of each colour for each of a page's regions, (n, k), each row summing to 1; `vote` (n, k) is what the first
    network of the metric says of it, and `said` what a person does."""
    w = graph.weights_or_own(weights)
    n, k = vote.shape
    own = np.eye(k, dtype=np.float32)[known.color]
    area = np.log(known.share + 1e-5)
    keys = known.keys.astype(np.float32).reshape(len(own), LAYERS, 2, WIDTH)
    belief = np.log((1 - BASE_FLOOR) * vote.astype(np.float32) + BASE_FLOOR / k)
    state = levels @ w["enter.weight"] + w["enter.bias"] + w["whose"][0]
    for layer in range(LAYERS):
        of = _Layer(w, layer)
        share = softmax(belief)
        share[seen.paper] = np.eye(1, k, dtype=np.float32)
        if said is not None:
            share[said.regions] = np.eye(k, dtype=np.float32)[said.colors]
        state, context = of.within(state, seen, share)
        rows = of.normal("n2", state)
        theirs = known.context[:, layer * HEADS : (layer + 1) * HEADS].astype(np.float32)
        theirs = np.sqrt(theirs + ROOT).reshape(len(own), HEADS * k).T
        mine = np.sqrt(context + ROOT)
        asked = of.linear("cq", rows).reshape(n, READERS, -1)
        heeded = of.linear("read", rows).reshape(n, READERS, HEADS)
        loud = np.exp(np.clip(of.linear("say", rows), *LOUD))
        taken = np.zeros((n, WIDTH), np.float32)
        wide = WIDTH // READERS
        for reader in range(READERS):
            part = slice(reader * wide, (reader + 1) * wide)
            key, value = keys[:, layer, 0, part].T * (2 * wide**-0.5), keys[:, layer, 1, part]
            prior = of.w["prior"][reader] * area
            for start in range(0, n, ROWS):
                some = slice(start, start + ROWS)
                around = (heeded[some, reader, :, None] * mine[some]).reshape(-1, HEADS * k)
                mass = softmax(asked[some, reader] @ key + around @ theirs + prior)
                colors = mass @ own
                belief[some] += loud[some, [reader]] * np.log((1 - READ_FLOOR) * colors + READ_FLOOR / k)
                taken[some, part] = mass @ value
        state = of.thought(state + of.linear("co", taken))
    return np.asarray(softmax(belief), np.float64)


class _Layer:
    """One layer's weights, and what it does with the regions of a drawing."""

    def __init__(self, weights: graph.Weights, number: int) -> None:
        first = f"layers.{number}."
        self.w = {
            name.removeprefix(first): array for name, array in weights.items() if name.startswith(first)
        }

    def linear(self, name: str, rows: Rows) -> Rows:
        return np.asarray(rows @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"], np.float32)

    def normal(self, name: str, rows: Rows) -> Rows:
        """Rows of mean 0 and variance 1, scaled (Ba, Kiros and Hinton 2016)."""
        centered = rows - rows.mean(axis=1, keepdims=True)
        spread = np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5)
        return np.asarray(centered / spread * self.w[f"{name}.weight"] + self.w[f"{name}.bias"], np.float32)

    def within(self, state: Rows, seen: graph.Look, color: Rows) -> tuple[Rows, Rows]:
        """What regions are once they have heard the others of their drawing, and the colours that they have heard of,
        (n, HEADS, k)."""
        n, wide = len(state), WIDTH // HEADS
        asked, key, value = (
            self.linear("qkv", self.normal("n1", state)).reshape(n, 3, HEADS, wide).transpose(1, 2, 0, 3)
        )
        asked = asked * np.float32(wide**-0.5)
        tied = self.linear("edge.2", np.maximum(self.linear("edge.0", seen.ties), 0)) + self.w["near"][TIED]
        context = np.zeros((n, HEADS, color.shape[1]), np.float32)
        taken = np.zeros((n, HEADS, wide), np.float32)
        first = np.searchsorted(seen.here, np.arange(0, n + ROWS, ROWS))
        for block, start in enumerate(range(0, n, ROWS)):
            some = np.arange(start, min(start + ROWS, n))
            edges = slice(first[block], first[block + 1])
            same = seen.panel[some, None] == seen.panel[None]
            for head in range(HEADS):
                near = self.w["near"][:, head]
                score = asked[head, some] @ key[head].T + np.where(same, near[SAME_PANEL], near[ELSEWHERE])
                np.add.at(score, (seen.here[edges] - start, seen.there[edges]), tied[edges, head])
                score[some - start, some] += NOBODY
                mass = softmax(score)
                context[some, head] = mass @ color
                taken[some, head] = mass @ value[head]
        return state + self.linear("o", taken.reshape(n, WIDTH)), context

    def thought(self, state: Rows) -> Rows:
        return state + self.linear("down", np.maximum(self.linear("up", self.normal("n3", state)), 0))


def softmax(score: NDArray[Any]) -> NDArray[Any]:
    """Shares that sum to 1 in each row, by the exponentials of (n, m) scores; of the same type."""
    up = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(up / up.sum(axis=1, keepdims=True))
