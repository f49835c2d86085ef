"""Which 64-bit fingerprints are near each other: all pairs, exactly.

    for ones, others in near_pairs(fingerprints, 8): ...

Promises: every pair at most `distance` bits apart is given once, no other is, whatever the fingerprints are; memory stays
below some hundred bytes for each. Multi-index hashing (Norouzi, Punjani and Fleet, 2012): fingerprints are cut into
parts, and two at most d bits apart agree, in at least one part, up to its radius, if radii + parts together exceed d. How
many parts is chosen by what that many fingerprints would cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BITS = 64
# A part has at most so many bits: where its values begin is a table of 16 MB then.
MOST_PART_BITS = 22
LEAST_PARTS, MOST_PARTS = 3, 8
# Pairs that are compared or handed out at once, at most.
BLOCK = 1 << 21
# What looking up a value costs, in comparisons of two fingerprints.
LOOK_UP = 1.5

Pairs = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


@dataclass(frozen=True)
class _Part:
    """Some neighbouring bits of a fingerprint, and how far two may be apart there."""

    shift: int
    bits: int
    radius: int


@dataclass(frozen=True)
class _Plan:
    parts: tuple[_Part, ...]  # none: everything is compared with everything
    cost: float


def near_pairs(
    fingerprints: NDArray[np.uint64],
    distance: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Pairs]:
    """Numbers of fingerprints that are at most `distance` apart, in blocks: (ones, others). `progress` is told the share
    that is done, 0 to 1, a few times a second."""
    plan = _plan(len(fingerprints), distance)
    if not plan.parts:
        yield from _compared(fingerprints, distance, progress)
        return
    whole = sum(comb(part.bits, k) for part in plan.parts for k in range(part.radius + 1))
    done = 0
    for number, part in enumerate(plan.parts):
        index = _Index(fingerprints, part)
        for flips in _flips(part):
            for left, right in index.pairs(flips):
                yield from _kept(fingerprints, left, right, distance, plan.parts[:number])
            done += 1
            if done % 16 == 0:
                progress(done / whole)


def near_between(
    probes: NDArray[np.uint64],
    fingerprints: NDArray[np.uint64],
    distance: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Pairs]:
    """Numbers of probes and of fingerprints that are at most `distance` apart, in blocks."""
    plan = _plan(len(fingerprints), distance)
    if not plan.parts or len(probes) < LEAST_PARTS:
        for number, probe in enumerate(probes):
            found = near(fingerprints, probe, distance)
            if len(found):
                yield np.full(len(found), number), found
            if number % 1024 == 0:
                progress(number / len(probes))
        return
    whole = sum(comb(part.bits, k) for part in plan.parts for k in range(part.radius + 1))
    done = 0
    for number, part in enumerate(plan.parts):
        index = _Index(fingerprints, part)
        values = _of(probes, part)
        in_order = np.argsort(values, kind="stable")  # neighbours in the table are neighbours in memory
        for flips in _flips(part):
            for left, right in index.found(in_order, values[in_order] ^ flips):
                yield from _kept(probes, left, right, distance, plan.parts[:number], fingerprints)
            done += 1
            if done % 16 == 0:
                progress(done / whole)


def near(fingerprints: NDArray[np.uint64], fingerprint: int | np.uint64, distance: int) -> NDArray[np.int64]:
    """The numbers of those that are at most `distance` from one fingerprint."""
    found = np.bitwise_count(fingerprints ^ np.uint64(fingerprint)) <= distance
    return np.asarray(np.nonzero(found)[0], np.int64)


def _plan(count: int, distance: int) -> _Plan:
    """The cheapest way for so many fingerprints."""
    plans = [_Plan((), count * count / 2)]
    for parts in range(LEAST_PARTS, MOST_PARTS + 1):
        bits = [BITS // parts + (number < BITS % parts) for number in range(parts)]
        if bits[0] > MOST_PART_BITS or distance >= BITS:
            continue
        # Radii that together with the number of parts exceed the distance by one: no smaller ones are enough.
        together = max(0, distance + 1 - parts)
        if distance + 1 < parts:
            continue  # some parts would not be needed at all
        radii = [together // parts + (number < together % parts) for number in range(parts)]
        cost = sum(
            sum(comb(width, k) for k in range(radius + 1)) * count * (LOOK_UP + count / 2**width / 2)
            for width, radius in zip(bits, radii, strict=True)
        )
        # The widest parts take the smaller radii.
        shifts = np.cumsum([0, *bits[:-1]])
        made = zip(shifts, bits, reversed(radii), strict=True)
        plans.append(_Plan(tuple(_Part(int(shift), width, radius) for shift, width, radius in made), cost))
    return min(plans, key=lambda plan: plan.cost)


def _flips(part: _Part) -> Iterator[int]:
    """All ways to change up to `radius` bits of a part."""
    for count in range(part.radius + 1):
        for places in combinations(range(part.bits), count):
            yield sum(1 << place for place in places)


class _Index:
    """Fingerprints in the order of one part of theirs."""

    def __init__(self, fingerprints: NDArray[np.uint64], part: _Part) -> None:
        values = _of(fingerprints, part)
        self._order = np.argsort(values, kind="stable")
        self._values = values[self._order]
        counts = np.bincount(self._values, minlength=1 << part.bits)
        self._begins = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=self._begins[1:])
        # Each pair of values is met from one side only: the one whose highest changed bit is not set.
        self._low = [np.nonzero((self._values >> bit) & 1 == 0)[0] for bit in range(part.bits)]

    def pairs(self, flips: int) -> Iterator[Pairs]:
        """Numbers of fingerprints whose parts differ in exactly these bits, in blocks."""
        if flips:
            here = self._low[flips.bit_length() - 1]
            wanted = self._values[here] ^ flips
            begins, ends = self._begins[wanted], self._begins[wanted + 1]
        else:  # with those behind it of the same value
            here = np.arange(len(self._values))
            begins, ends = here + 1, self._begins[self._values + 1]
        yield from self._blocks(self._order[here], begins, ends)

    def found(self, probes: NDArray[np.int64], wanted: NDArray[np.int64]) -> Iterator[Pairs]:
        """Numbers of probes, each with those of the fingerprints whose part has the value that it wants, in blocks."""
        yield from self._blocks(probes, self._begins[wanted], self._begins[wanted + 1])

    def _blocks(
        self, here: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> Iterator[Pairs]:
        (some,) = np.nonzero(ends > begins)
        here, begins, counts = here[some], begins[some], (ends - begins)[some]
        ahead = np.cumsum(counts)
        start = 0
        while start < len(here):
            before = int(ahead[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ahead, before + BLOCK, side="right")))
            if int(ahead[stop - 1]) - before > BLOCK:  # one value that more have than fit
                yield from self._piecewise(int(here[start]), int(begins[start]), int(counts[start]))
            else:
                yield self._block(here[start:stop], begins[start:stop], counts[start:stop])
            start = stop

    def _block(self, here: NDArray[np.int64], begins: NDArray[np.int64], counts: NDArray[np.int64]) -> Pairs:
        ends = np.cumsum(counts)
        steps = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
        return np.repeat(here, counts), self._order[np.repeat(begins, counts) + steps]

    def _piecewise(self, here: int, begin: int, count: int) -> Iterator[Pairs]:
        for at in range(begin, begin + count, BLOCK):
            right = self._order[at : min(at + BLOCK, begin + count)]
            yield np.full(len(right), here), right


def _of(fingerprints: NDArray[np.uint64], part: _Part) -> NDArray[np.int64]:
    return np.asarray((fingerprints >> np.uint64(part.shift)) & np.uint64((1 << part.bits) - 1), np.int64)


def _kept(
    fingerprints: NDArray[np.uint64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    distance: int,
    before: tuple[_Part, ...],
    others: NDArray[np.uint64] | None = None,
) -> Iterator[Pairs]:
    """Of these pairs those that are near, and that no part before has given. `others`: what `right` numbers, if not the
    same fingerprints."""
    apart = fingerprints[left] ^ (fingerprints if others is None else others)[right]
    (close,) = np.nonzero(np.bitwise_count(apart) <= distance)
    if not len(close):
        return
    apart, left, right = apart[close], left[close], right[close]
    new = np.ones(len(apart), bool)
    for part in before:
        new &= np.bitwise_count(_of(apart, part)) > part.radius
    if new.any():
        yield left[new], right[new]


def _compared(
    fingerprints: NDArray[np.uint64], distance: int, progress: Callable[[float], None]
) -> Iterator[Pairs]:
    """Everything with everything."""
    count = len(fingerprints)
    for number in range(count - 1):
        near_ones = near(fingerprints[number + 1 :], fingerprints[number], distance)
        if len(near_ones):
            yield np.full(len(near_ones), number), near_ones + number + 1
        if number % 1024 == 0:
            progress(1 - (1 - number / count) ** 2)
