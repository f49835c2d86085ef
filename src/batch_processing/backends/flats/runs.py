"""The rows of a picture as runs: stretches of one value.

A page has a run for each twenty to a hundred of its pixels. What is true of all pixels of a run is asked once, and sums,
ends and neighbours of areas follow from those of their runs, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Runs:
    """The n stretches of one value in the rows of (h, w) values, from the top, each row from the left."""

    shape: tuple[int, int]
    first: NDArray[np.int64]
    """(n,), the flat index of the first pixel."""
    length: NDArray[np.int64]
    """(n,), in pixels."""

    def spread(self, value: NDArray[Any]) -> NDArray[Any]:
        """To each pixel the value of its run, (h, w), from those of the runs, (n,)."""
        return np.repeat(value, self.length).reshape(self.shape)


def find(values: NDArray[Any]) -> Runs:
    """The runs of (h, w) values."""
    h, w = values.shape
    begins = np.ones((h, w), np.bool_)
    np.not_equal(values[:, 1:], values[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    return Runs((h, w), first, np.diff(first, append=values.size))


def stacked(runs: Runs, values: NDArray[Any]) -> tuple[Labels, Labels]:
    """The pairs of runs of one value, not negative, of which the first lies upon the second, each pair once."""
    w = runs.shape[1]
    begins = np.zeros(runs.shape, np.bool_)
    begins.ravel()[runs.first] = True
    # Two stretches that overlap do so from where the later one begins.
    meet = (begins[1:] | begins[:-1]) & (values[1:] == values[:-1]) & (values[1:] >= 0)
    at = np.flatnonzero(meet)
    run = runs.spread(np.arange(len(runs.first), dtype=np.int32)).ravel()
    return run[at], run[at + w]


def largest(labels: Labels, value: NDArray[Any], count: int) -> NDArray[np.float32]:
    """The largest of the values, none below 0, on the pixels of each label below `count`; 0 where it has no pixel."""
    first = find(labels).first
    top = np.zeros(count, np.float32)
    np.maximum.at(top, labels.ravel()[first], np.maximum.reduceat(value.ravel(), first))
    return top
