"""Which faces are most like each other: exactly the nearest few, whatever the order in which they come.

    near = nothing_near(0)
    near = updated(near, vectors, core, kept, came)

Promises: dot products of int8 vectors are whole numbers below 2**24 and are exact in float32, so that blocks, threads and
machines do not matter; of several that are equally near those that stand first are taken. A list that is brought up to
date is the one that a search anew would give. Memory: one block, and 64 bytes a face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NEIGHBOURS = 8
# A cosine of .50, as the least dot product (.50 * 317 ** 2 = 50,244.5).
LEAST_DOT = 50_245
# Faces in a block, across and down: 8 MB of dot products, and one of flags.
ROWS, COLUMNS = 1024, 2048
WIDE = 4096  # where few are compared with all
NOBODY = -1
# A key holds a dot product and, below it, a place: of two with one product the lower place has the higher key.
_SHIFT = np.int64(32)
_LAST = np.int64((1 << 32) - 1)


@dataclass(frozen=True)
class Near:
    """Of each face the nearest core faces, the nearest first. `places`: (number, NEIGHBOURS) int32, NOBODY where there are
    no more; `dots`: the dot products with them, int32."""

    places: NDArray[np.int32]
    dots: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.places)

    def without(self, which: NDArray[np.bool_]) -> Near:
        """A copy in which these lists are empty."""
        near = Near(self.places.copy(), self.dots.copy())
        near.places[which], near.dots[which] = NOBODY, 0
        return near


@dataclass(frozen=True)
class Change:
    """What bringing lists up to date has changed. `dirty`: faces that came, or whose list is another one, or that stand in
    a list no more."""

    near: Near
    dirty: NDArray[np.bool_]


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each number once, in order. Sorting is several times faster than what numpy does for it (2.3 and later)."""
    ordered = np.sort(numbers)
    return ordered[are_first(ordered)]


def are_first(ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which numbers are others than the one before."""
    found = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=found[1:])
    return found


def nothing_near(count: int) -> Near:
    """Lists that are empty."""
    return Near(
        np.full((count, NEIGHBOURS), NOBODY, np.int32),
        np.zeros((count, NEIGHBOURS), np.int32),
    )


def updated(
    before: Near,
    places: NDArray[np.int64],
    vectors: NDArray[np.int8],
    core: NDArray[np.bool_],
    progress: Callable[[float], None] = lambda share: None,
    block: tuple[int, int] = (ROWS, COLUMNS),
) -> Change:
    """The lists of all faces. `vectors`: (number, 128), as they stand now; `core`: which may be neighbours. `places`: where
    each face of `before` stands now, NOBODY for those that have gone; all others are new."""
    before, is_new, stale = _carried(before, places, len(vectors))
    anew = is_new | stale
    if np.count_nonzero(anew & core) * 2 > np.count_nonzero(core):
        best = _Best(nothing_near(len(vectors)), slack=0.0)
        _Search(vectors, core, best, block).all(progress)
    else:
        best = _Best(before.without(anew), slack=0.5)
        _Search(vectors, core, best, block).some(np.flatnonzero(anew), is_new & core, ~anew, progress)
    return Change(best.near, _dirty(before, best.near, is_new, stale))


def _carried(
    before: Near, places: NDArray[np.int64], count: int
) -> tuple[Near, NDArray[np.bool_], NDArray[np.bool_]]:
    """The lists of before in places of now, which faces are new, and which lists lack somebody, or were somebody's who
    lacks now."""
    kept = places != NOBODY
    lists = np.append(places, NOBODY).astype(np.int32)[before.places]  # NOBODY stays NOBODY
    carried = nothing_near(count)
    is_new, stale = np.ones(count, bool), np.zeros(count, bool)
    if kept.all():
        carried.places[places], carried.dots[places] = lists, before.dots
        is_new[places] = False
        return carried, is_new, stale
    carried.places[places[kept]] = lists[kept]
    carried.dots[places[kept]] = before.dots[kept]
    is_new[places[kept]] = False
    stale[places[kept]] = ((before.places != NOBODY) & (lists == NOBODY)).any(axis=1)[kept]
    left_behind = lists[~kept]
    stale[left_behind[left_behind != NOBODY]] = True
    return carried, is_new, stale


def _dirty(before: Near, now: Near, is_new: NDArray[np.bool_], stale: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Faces whose list is another one, and those that stood in such a list or stand there now."""
    dirty: NDArray[np.bool_] = is_new | stale | (before.places != now.places).any(axis=1)
    (changed,) = np.nonzero(dirty)
    for lists in (before.places[changed], now.places[changed]):
        dirty[lists[lists != NOBODY]] = True
    return dirty


class _Best:
    """The best few of each face so far."""

    def __init__(self, near: Near, slack: float) -> None:
        """`slack`: 0 where candidates come in the order of their places, so that one that is as near as the last comes
        behind it; .5 where it may have to stand before it."""
        self.near, self._slack = near, np.float32(slack)
        is_full = near.places[:, -1] != NOBODY
        # What a product has to exceed to be among them.
        self.floor = np.where(is_full, near.dots[:, -1] - self._slack, np.float32(LEAST_DOT - 0.5))

    def offer(self, rows: NDArray[np.int64], others: NDArray[np.int64], dots: NDArray[np.float32]) -> None:
        """Pairs, in any order."""
        better = dots > self.floor[rows]
        rows, others, dots = rows[better], others[better], dots[better]
        if not len(rows):
            return
        touched = distinct(rows)
        places, products = self.near.places[touched], self.near.dots[touched].astype(np.int64)
        known = np.where(places == NOBODY, 0, (products << _SHIFT) | (_LAST - places))
        keys = np.concatenate([known.ravel(), (dots.astype(np.int64) << _SHIFT) | (_LAST - others)])
        rows = np.concatenate([np.repeat(touched, NEIGHBOURS), rows])
        order = np.lexsort((-keys, rows))
        begins = np.searchsorted(rows[order], touched)
        top = keys[order][begins[:, None] + np.arange(NEIGHBOURS)]  # each has its former ones at least
        self.near.places[touched] = np.where(top == 0, NOBODY, _LAST - (top & _LAST))
        self.near.dots[touched] = top >> _SHIFT
        last = top[:, -1]
        self.floor[touched] = np.where(last == 0, LEAST_DOT - 0.5, (last >> _SHIFT) - self._slack)


class _Search:
    def __init__(
        self, vectors: NDArray[np.int8], core: NDArray[np.bool_], best: _Best, block: tuple[int, int]
    ) -> None:
        self._vectors, self._core, self._best = vectors, core, best
        self._rows, self._columns = block

    def all(self, progress: Callable[[float], None]) -> None:
        """Every face with every core face; each pair of core faces is met once."""
        core, weak = np.flatnonzero(self._core), np.flatnonzero(~self._core)
        whole = len(core) ** 2 / 2 + len(core) * len(weak)
        done = 0.0
        for columns in _parts(core, self._columns):
            right = self._vectors[columns].astype(np.float32)
            for rows in _parts(core, self._rows):
                if rows[0] > columns[-1]:
                    break
                self._meet(rows, columns, right, both=True)
                done += len(rows) * len(columns)
            for rows in _parts(weak, self._rows):
                self._meet(rows, columns, right, both=False)
                done += len(rows) * len(columns)
            progress(min(1.0, done / max(1.0, whole)))

    def some(
        self,
        rows: NDArray[np.int64],
        offered: NDArray[np.bool_],
        waiting: NDArray[np.bool_],
        progress: Callable[[float], None],
    ) -> None:
        """Some faces with all core faces. Those that are `offered` are so to all that are `waiting`."""
        if not len(rows):
            return
        number = len(self._vectors)
        for start in range(0, number, WIDE):
            columns = np.arange(start, min(start + WIDE, number))
            right = self._vectors[start : start + WIDE].astype(np.float32)
            for part in _parts(rows, self._rows):
                dots = self._vectors[part].astype(np.float32) @ right.T
                down, across = np.divmod(np.flatnonzero(dots >= LEAST_DOT), len(columns))
                ones, others, products = part[down], columns[across], dots[down, across]
                apart = ones != others
                there = apart & self._core[others]
                self._best.offer(ones[there], others[there], products[there])
                back = apart & offered[ones] & waiting[others]
                self._best.offer(others[back], ones[back], products[back])
            progress(min(1.0, (start + WIDE) / number))

    def _meet(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        right: NDArray[np.float32],
        *,
        both: bool,
    ) -> None:
        dots = self._vectors[rows].astype(np.float32) @ right.T
        floor = float(self._best.floor[rows].min())
        if both:
            floor = min(floor, float(self._best.floor[columns].min()))
        found = np.flatnonzero(dots > floor)
        if not len(found):
            return
        down, across = np.divmod(found, len(columns))
        ones, others, products = rows[down], columns[across], dots.ravel()[found]
        apart = ones < others if both else ones != others
        ones, others, products = ones[apart], others[apart], products[apart]
        if both:
            pairs = np.concatenate([ones, others]), np.concatenate([others, ones])
            self._best.offer(*pairs, np.concatenate([products, products]))
        else:
            self._best.offer(ones, others, products)


def _parts(places: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
