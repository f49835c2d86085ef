"""Chequers and stripes: two colours that alternate in the references alternate on the page.

Which tile of a floor is the light one no line tells, so each by itself is a toss, and a floor of tosses is no floor. Where two
colours lie side by side in the references and neither beside itself, regions of the page that can only be these two are taken
together: one way around or the other, whichever their looks speak for. So a person's word on one tile turns the floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 6
"""Regions that make a pattern; fewer are as easily two things."""
BOTH = 0.6
"""What two colours have of a region's share at least, for it to be one of them."""


def alternated(
    share: NDArray[np.float64],
    belief: NDArray[np.float64],
    touching: Any,
    lift: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How likely each colour is for each region, (n, k), where patterns of two colours alternate.

    `belief` (n, k) is the logarithm of what each region is by itself or was said to be, `touching` (sparse, n x n, symmetric)
    how much regions touch across lines, `lift` (k, k) the logarithm of how often colours do so in the references, relative to
    chance.
    """
    if share.shape[1] < 2:
        return share
    alone = np.diag(lift) < 0
    likeliest = np.sort(np.argsort(-share, axis=1, kind="stable")[:, :2], axis=1)
    found = share
    for a, b in np.unique(likeliest, axis=0).tolist():
        if not (alone[a] and alone[b] and lift[a, b] > 0):
            continue
        # What is a part of one pattern by now may still be one of another.
        best = found.argmax(axis=1)
        whole = found[:, a] + found[:, b]
        rows = np.flatnonzero(((best == a) | (best == b)) & (whole > BOTH))
        for group, turn in _patterns(touching, rows):
            ways = [best[group], np.where(turn, a, b), np.where(turn, b, a)]
            among = touching[group][:, group].tocoo()
            scores = [
                belief[group, way].sum() + (among.data * lift[way[among.row], way[among.col]]).sum() / 2
                for way in ways
            ]
            if max(scores[1:]) <= scores[0]:
                continue
            likely = 1 / (1 + np.exp(np.clip(scores[2] - scores[1], -50, 50)))
            found = share.copy() if found is share else found
            found[group, a] = whole[group] * np.where(turn, likely, 1 - likely)
            found[group, b] = whole[group] * np.where(turn, 1 - likely, likely)
    return found


def _patterns(touching: Any, rows: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Groups of at least LEAST of the regions `rows` that touch, and for each region which of two sides of the pattern it is
    on: neighbours along the widest borders are on different ones."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    if len(rows) < LEAST:
        return []
    every = csr_array(touching[rows][:, rows])
    every.eliminate_zeros()
    count, member = connected_components(every, directed=False)
    found = []
    for number in range(count):
        inside = np.flatnonzero(member == number)
        if len(inside) < LEAST:
            continue
        part = csr_array(every[inside][:, inside])
        # A tree of the widest borders leaves out the corners at which tiles of one colour meet.
        part.data = 1 / part.data
        tree = minimum_spanning_tree(part)
        order, before = breadth_first_order(tree, 0, directed=False)
        turn = np.zeros(len(inside), np.bool_)
        for region in order[1:]:
            turn[region] = ~turn[before[region]]
        found.append((rows[inside], turn))
    return found
