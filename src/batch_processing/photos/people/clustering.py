"""Which faces are one person's.

    grouped = partition(faces, near, said)

Core faces, those that are large and sure enough, make people: average linkage on the graph of nearest faces (`nearest`),
from the likeliest pair of groups down to a mean cosine of .42 between all faces of both. Weaker faces then join the group
that they are most like, and change none.

Promises: the same partition for the same faces and decisions, whatever the order in which they came and what was grouped
before; only groups that a change touches are made anew. Two faces of one photo are never in one group, nor are faces that a
person told apart; those that a person said to be one are one. Means are quotients of exact whole numbers: sums of products
stay below 2**53 for groups of hundreds of thousands. Pure: knows no database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .face import SCALE
from .nearest import NOBODY, Near, are_first, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# The least mean of products between two groups that become one: a cosine of .42.
LEAST_MEAN = 0.42 * SCALE**2
# Edges whose means are computed at once: what fits into a processor's own memory is twice as fast.
EDGES = 256
# From so many edges of one group on they are one product of a matrix: the same whole numbers, in a third of the time.
RUN = 32


@dataclass(frozen=True)
class Faces:
    """Faces in order of their photo and their number there. `vectors`: (number, 128) int8, zeros where there is none;
    `photos`: a number for each photo; `core`: makes people."""

    vectors: NDArray[np.int8]
    photos: NDArray[np.int64]
    core: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Said:
    """What a person has said. `pins`: whose each face is, 0 where nobody has said; `apart`: who it is not."""

    pins: NDArray[np.int64]
    apart: dict[int, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Before:
    """How faces were grouped, by their places now: NOBODY for those that are new. `dirty`: those that are new, or whose
    nearest faces or decisions are others now, and those that were such a neighbour; where a decision is another one, all
    faces of that person."""

    labels: NDArray[np.int64]
    components: NDArray[np.int64]
    dirty: NDArray[np.bool_]


@dataclass(frozen=True)
class Grouped:
    """`labels`: of each face the first core face of its group, NOBODY where it has none. `components`: likewise of all that
    hang together by nearest faces. `touched`: which may have another label than before. Faces that a person has given to
    somebody and that are no core faces have no label: their pin says all."""

    labels: NDArray[np.int64]
    components: NDArray[np.int64]
    touched: NDArray[np.bool_]


def partition(faces: Faces, near: Near, said: Said, before: Before | None = None) -> Grouped:
    """Group faces: all of them, or what may be otherwise than `before`."""
    count = len(faces)
    if before is None:
        labels, components = np.full(count, NOBODY, np.int64), np.full(count, NOBODY, np.int64)
        touched = np.ones(count, bool)
    else:
        labels, components = before.labels.copy(), before.components.copy()
        dirty = (before.dirty | (components == NOBODY)) & faces.core  # also those whose first face has gone
        again = np.zeros(count + 1, bool)
        again[components[dirty]] = True
        again[NOBODY] = False
        touched = (again[components] & faces.core) | dirty
        touched |= _weak_touched(faces, near, touched, before.dirty)
        labels[touched] = components[touched] = NOBODY
    which = np.flatnonzero(touched & faces.core)
    _link_all(faces, near, said, which, labels, components)
    _attach(faces, near, said, np.flatnonzero(touched & ~faces.core), labels)
    return Grouped(labels, components, touched)


def _edges(near: Near, pins: NDArray[np.int64], which: NDArray[np.int64], local: NDArray[np.int64]) -> _Edges:
    """Faces among `which` that are near, and those said to be one person's, with whom the mean does not matter."""
    lists = near.places[which]
    there = lists != NOBODY
    ones, others = np.repeat(np.arange(len(which)), there.sum(axis=1)), local[lists[there]]
    held = np.flatnonzero(pins)
    held = held[np.argsort(pins[held], kind="stable")]
    same = pins[held][1:] == pins[held][:-1]
    ones, others = np.concatenate([ones, held[:-1][same]]), np.concatenate([others, held[1:][same]])
    dots = np.concatenate([near.dots[which][there], np.zeros(np.count_nonzero(same), np.int32)])
    lower, higher = np.minimum(ones, others), np.maximum(ones, others)
    keys, first = np.unique(lower * len(which) + higher, return_index=True)
    return _Edges(*np.divmod(keys, max(1, len(which))), dots[first].astype(np.float64))


def _weak_touched(
    faces: Faces, near: Near, touched: NDArray[np.bool_], dirty: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Weak faces whose neighbours are touched, with the other weak ones of their photos: these compete."""
    weak = np.flatnonzero(~faces.core)
    lists = near.places[weak]
    moved = ((lists != NOBODY) & touched[lists]).any(axis=1) | dirty[weak]
    found = np.zeros(len(faces), bool)
    found[weak[np.isin(faces.photos[weak], faces.photos[weak[moved]])]] = True
    return found


@dataclass(frozen=True)
class _Edges:
    """Pairs of faces or groups, each once, the lower one first, and the mean product between them."""

    ones: NDArray[np.int64]
    others: NDArray[np.int64]
    means: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ones)

    def where(self, which: NDArray[np.bool_]) -> _Edges:
        return _Edges(self.ones[which], self.others[which], self.means[which])


class _Groups:
    """Groups under way, each called by the first of its faces, and the edges between them.

    In each round all pairs of groups become one of which each is the likeliest for the other, of equally likely ones the
    first. Of two such pairs neither knows of the other, so that one after the other would do the same."""

    def __init__(
        self, faces: Faces, members: NDArray[np.int64], pins: dict[int, int], apart: dict[int, frozenset[int]]
    ) -> None:
        """`members`: the faces, which have numbers from 0 on in here; `pins` and `apart` are by these."""
        self.home = np.arange(len(members))  # of what was a group the group that it is in now
        self.pins, self._apart = pins, apart
        self._sums = faces.vectors[members].astype(np.float64)
        self._sizes = np.ones(len(members))
        self._photo_of: list[int] = faces.photos[members].tolist()
        self._photos: dict[int, set[int]] = {}

    def join_pinned(self, edges: _Edges, taken: dict[int, set[int]]) -> _Edges:
        """Make one group of what a person said to be one. `taken`: photos of theirs on which weak faces are."""
        first: dict[int, int] = {}
        pairs = [(first.setdefault(person, face), face) for face, person in sorted(self.pins.items())]
        edges = self._join([(one, other) for one, other in pairs if one != other], edges)
        for person, face in first.items():
            if person in taken:
                self._photos[face] = self._photos_of(face) | taken[person]
        return edges

    def link(self, edges: _Edges, components: NDArray[np.int32]) -> None:
        """Join groups until no two are alike enough. Components with nothing left to join are left aside."""
        count = len(self.home)
        while True:
            alike = edges.means >= LEAST_MEAN
            live = np.zeros(count, bool)
            live[components[edges.ones[alike]]] = True
            lively = live[components[edges.ones]]
            if not lively.all():
                edges, alike = edges.where(lively), alike[lively]
            if not len(edges):
                return
            pairs = self._likeliest(edges.where(alike))
            if denied := [pair for pair in pairs if self._must_not(*pair)]:
                keys = np.array([one * count + other for one, other in denied])
                edges = edges.where(~np.isin(edges.ones * count + edges.others, keys))
            edges = self._join(sorted(set(pairs).difference(denied)), edges)

    def _likeliest(self, edges: _Edges) -> list[tuple[int, int]]:
        """Pairs of groups that are the likeliest for each other."""
        count = len(self.home)
        ends = np.concatenate([edges.ones, edges.others])
        far_ends = np.concatenate([edges.others, edges.ones])
        means = np.concatenate([edges.means, edges.means])
        most = np.zeros(count)
        np.maximum.at(most, ends, means)
        is_most = means == most[ends]
        best = np.full(count, count)
        np.minimum.at(best, ends[is_most], far_ends[is_most])
        ones, others = edges.ones, edges.others
        mutual = (best[ones] == others) & (best[others] == ones)
        return list(zip(ones[mutual].tolist(), others[mutual].tolist(), strict=True))

    def _must_not(self, one: int, other: int) -> bool:
        left, right = self.pins.get(one), self.pins.get(other)
        if left is not None and right is not None:
            return True  # two people: one person's faces are together already
        if right is not None and right in self._apart.get(one, ()):
            return True
        if left is not None and left in self._apart.get(other, ()):
            return True
        ones, others = self._photos.get(one), self._photos.get(other)
        if others is None:  # a face alone, as most are
            photo = self._photo_of[other]
            return photo == self._photo_of[one] if ones is None else photo in ones
        return self._photo_of[one] in others if ones is None else not ones.isdisjoint(others)

    def _photos_of(self, group: int) -> set[int]:
        return self._photos.get(group) or {self._photo_of[group]}

    def _join(self, pairs: Sequence[tuple[int, int]], edges: _Edges) -> _Edges:
        """Have the second of each pair be in the first, which may be so in several pairs."""
        if not pairs:
            return edges
        for one, other in pairs:
            photos = self._photos_of(one)
            photos |= self._photos_of(other)
            self._photos[one] = photos
            self._photos.pop(other, None)
            if other in self.pins:
                self.pins[one] = self.pins.pop(other)
            if other in self._apart:
                self._apart[one] = self._apart.get(one, frozenset()) | self._apart.pop(other)
        ones, others = np.array(pairs, np.int64).T
        self.home[others] = ones
        if len(set(ones.tolist())) == len(ones):  # nearly always, and then several times as fast
            self._sums[ones] += self._sums[others]
            self._sizes[ones] += self._sizes[others]
        else:
            np.add.at(self._sums, ones, self._sums[others])
            np.add.at(self._sizes, ones, self._sizes[others])
        has_changed = np.zeros(len(self.home), bool)
        has_changed[ones] = has_changed[others] = True
        return self._brought_home(edges, has_changed)

    def _brought_home(self, edges: _Edges, has_changed: NDArray[np.bool_]) -> _Edges:
        """The edges, of which some ends are in other groups now."""
        count = len(self.home)
        moved = has_changed[edges.ones] | has_changed[edges.others]
        ones, others = self.home[edges.ones[moved]], self.home[edges.others[moved]]
        apart = ones != others
        ones, others = np.minimum(ones, others)[apart], np.maximum(ones, others)[apart]
        ones, others = np.divmod(distinct(ones * count + others), count)
        still = edges.where(~moved)
        return _Edges(
            np.concatenate([still.ones, ones]),
            np.concatenate([still.others, others]),
            np.concatenate([still.means, self._meaned(ones, others)]),
        )

    def _meaned(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean product between all faces of the one group and all of the other."""
        products, sums = np.zeros(len(ones)), self._sums
        begins = np.flatnonzero(are_first(ones))
        ends = np.append(begins[1:], len(ones))
        is_long = ends - begins >= RUN
        left = np.ones(len(ones), bool)
        for begin, end in zip(begins[is_long].tolist(), ends[is_long].tolist(), strict=True):
            products[begin:end] = sums[others[begin:end]] @ sums[ones[begin]]
            left[begin:end] = False
        rest = np.flatnonzero(left)
        for start in range(0, len(rest), EDGES):
            some = rest[start : start + EDGES]
            products[some] = np.einsum("ij,ij->i", sums[ones[some]], sums[others[some]])
        return products / (self._sizes[ones] * self._sizes[others])


def _link_all(
    faces: Faces,
    near: Near,
    said: Said,
    which: NDArray[np.int64],
    labels: NDArray[np.int64],
    components: NDArray[np.int64],
) -> None:
    """Group these core faces, which are whole components."""
    if not len(which):
        return
    # Photos of faces that a person has given to somebody, and that link nothing by themselves.
    taken: dict[int, set[int]] = {}
    for face in np.flatnonzero((said.pins != 0) & ~faces.core).tolist():
        taken.setdefault(int(said.pins[face]), set()).add(int(faces.photos[face]))
    local = np.full(len(faces), NOBODY)
    local[which] = np.arange(len(which))
    pins = said.pins[which]
    edges = _edges(near, pins, which, local)
    ends = edges.ones, edges.others
    graph = csr_array((np.ones(len(edges), bool), ends), shape=(len(which), len(which)))
    _, parts = connected_components(graph, directed=False)
    groups = _Groups(
        faces,
        which,
        {number: int(pins[number]) for number in np.flatnonzero(pins).tolist()},
        {int(local[face]): persons for face, persons in said.apart.items() if local[face] != NOBODY},
    )
    groups.link(groups.join_pinned(edges, taken), parts)
    home = groups.home
    while not np.array_equal(further := home[home], home):
        home = further
    labels[which] = which[home]
    _, first = np.unique(parts, return_index=True)
    components[which] = which[first[parts]]


def _attach(
    faces: Faces,
    near: Near,
    said: Said,
    which: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> None:
    """Give these weak faces to the groups that they are most like; the likeliest comes first."""
    which = which[said.pins[which] == 0]
    lists = near.places[which]
    there = lists != NOBODY
    ones = np.repeat(which, there.sum(axis=1))
    pairs = np.unique(np.column_stack([ones, labels[lists[there]]]), axis=0)
    if not len(pairs):
        return
    ones, groups = pairs[:, 0], pairs[:, 1]
    wanted, inverse = np.unique(groups, return_inverse=True)
    sums, sizes, taken = _summed(faces, labels, wanted)
    products = np.einsum("ij,ij->i", sums[inverse].astype(np.float64), faces.vectors[ones].astype(np.float64))
    means = products / sizes[inverse]
    groups_of = _groups_of(said, faces, labels, wanted)
    persons = {group: person for person, group in groups_of.items()}
    for face in np.flatnonzero((said.pins != 0) & ~faces.core).tolist():
        if (group := groups_of.get(int(said.pins[face]))) is not None:
            taken.add((group, int(faces.photos[face])))
    for at in np.lexsort((groups, ones, -means)).tolist():
        face, group = int(ones[at]), int(groups[at])
        place = group, int(faces.photos[face])
        if means[at] < LEAST_MEAN or labels[face] != NOBODY or place in taken:
            continue
        if persons.get(group) in said.apart.get(face, ()):
            continue
        labels[face] = group
        taken.add(place)


def _summed(
    faces: Faces, labels: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], set[tuple[int, int]]]:
    """Of these groups the sum of their core faces, their number, and the photos that they are on."""
    members = np.flatnonzero(np.isin(labels, wanted) & faces.core)
    at = np.searchsorted(wanted, labels[members])
    shape = len(wanted), len(members)
    belong = csr_array((np.ones(len(members), np.int32), (at, np.arange(len(members)))), shape=shape)
    taken = set(zip(labels[members].tolist(), faces.photos[members].tolist(), strict=True))
    sums = belong @ faces.vectors[members].astype(np.int32)
    return sums, np.bincount(at, minlength=len(wanted)), taken


def _groups_of(
    said: Said, faces: Faces, labels: NDArray[np.int64], wanted: NDArray[np.int64]
) -> dict[int, int]:
    """The groups among these of which a person has said whose they are, by that person."""
    held = np.flatnonzero((said.pins != 0) & faces.core & np.isin(labels, wanted))
    return dict(zip(said.pins[held].tolist(), labels[held].tolist(), strict=True))
