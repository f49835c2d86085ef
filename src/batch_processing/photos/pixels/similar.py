"""Which photos show the same picture.

    for group in groups(store): ...

What is told apart, the surest first: JPEGs that differ in their metadata alone; the same picture, compressed or resized
anew; a crop of it; with `turned` the same picture turned or mirrored; and bursts, which are different pictures, taken by
one camera within seconds.

Promises: what is proposed by fingerprints (all pairs, exactly) is proven by signatures. A raw file and its JPEG are no
group, nor are pictures that one camera took at different times, but for bursts, which are groups of their own. Photos
with nothing on them are never compared. Only photos that are there by the last scan count.
Does not promise that two photos in a group are the same picture to a person: who deletes looks first (`report`).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from ..hashing import join
from ..headers import EXTENSIONS
from ..kinds import PHOTO_EXTENSIONS, VIDEO_EXTENSIONS
from ..removal import in_machine_folder
from ..tables import PRESENT, below, directories, facts, looks, pages, photos
from .fingerprints import (
    KEPT,
    SIGNATURE,
    TURNS,
    Turn,
    as_array,
    cropped_fingerprints_of,
    fingerprints_of,
    likeness,
    turned,
)
from .search import near_between, near_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..store import Store

DISTANCE = (
    8  # bits; of 150 real photos 99 to 100 % were found after compression, resizing and changes of light
)
ALIKE = 0.95  # correlation of signatures of the same picture, through the best window
# By so much a window has to be better than the whole for a picture to be a crop.
CROPPED_BY = (
    0.001  # resizing, compression and changes of light stay below .0005, a crop of 1 % a side has .002
)
BURST_S = 10  # seconds between two pictures of a burst
FETCHED = 10_000  # rows at a time
PAIRS = 1 << 16  # that are proven at a time
# A turn and the one that undoes it find the same pairs: of each two one is enough.
PROBED = tuple(turn for turn in TURNS if turn not in (Turn(False, False, False), Turn(True, False, True)))
# Raw photos: what a camera has developed beside them shows the same, and is meant to stay.
RAW_EXTENSIONS = PHOTO_EXTENSIONS - {".hif", ".heif"} - set().union(*EXTENSIONS.values()) | {
    ".cr3", ".crw", ".orf", ".rw2", ".rwl", ".raf", ".x3f",
}  # fmt: skip
_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)


class Kind(StrEnum):
    """How two photos show the same picture, or that they are of a burst. The surest first."""

    METADATA = "metadata"  # the same compressed picture; only what is said about it differs
    SAME = "same picture"  # compressed or resized anew
    CROPPED = "cropped"
    TURNED = "turned"
    BURST = "burst"


@dataclass(frozen=True)
class Shot:
    """One photo of a group, with what is known of it."""

    id: int
    path: bytes
    digest: bytes
    size: int  # bytes
    mtime_ns: int
    extension: str
    width: int | None
    height: int | None
    quality: int | None
    damaged: str | None
    format: str | None
    taken_at: str | None
    camera: str | None
    has_position: bool

    @property
    def pixels(self) -> int:
        return (self.width or 0) * (self.height or 0)

    @property
    def is_raw(self) -> bool:
        return self.extension in RAW_EXTENSIONS

    @property
    def stem(self) -> str:
        name = os.path.basename(self.path)  # noqa: PTH119 - bytes
        return os.path.splitext(os.fsdecode(name))[0].casefold()  # noqa: PTH122


@dataclass(frozen=True)
class Group:
    """Photos that show the same picture, the best first: without damage, most pixels, most bytes. `kind` is the least
    sure of what binds them. `kinds`: how each shows the picture of the first."""

    kind: Kind
    shots: tuple[Shot, ...]
    kinds: tuple[Kind | None, ...]

    @property
    def gain(self) -> int:
        """Bytes that are free when the first alone is left."""
        return sum(shot.size for shot in self.shots[1:])


@dataclass(frozen=True)
class _Edge:
    """Two contents, by their numbers, that show the same picture."""

    one: int
    other: int
    kind: Kind
    alike: float = 1.0

    @property
    def surest_first(self) -> tuple[int, float, int, int]:
        return list(Kind).index(self.kind), -self.alike, self.one, self.other


@dataclass
class _Contents:
    """All contents of a library that were seen. `picture`: the first 64 bits of what a JPEG is beside its metadata, 0
    where there is none. `is_flat`: has nothing on it to compare."""

    digests: NDArray[np.uint8]  # (number, 32)
    fingerprints: NDArray[np.uint64]
    cropped: NDArray[np.uint64]  # the fingerprints they would have without their borders
    turned: NDArray[np.uint64]  # or turned: (turns, number), none where that is not asked for
    pictures: NDArray[np.uint64]
    is_flat: NDArray[np.bool_]

    def digest(self, number: int) -> bytes:
        return bytes(self.digests[number].tobytes())


def best_first(shots: Iterable[Shot]) -> list[Shot]:
    """The order in which photos of the same picture are worth keeping: whole ones, those of most pixels, those that tell
    when and with what they were taken (the others were made of them), those of most bytes."""
    return sorted(
        shots,
        key=lambda shot: (
            shot.damaged is not None,
            -shot.pixels,
            shot.camera is None,
            shot.taken_at is None,
            -shot.size,
            shot.mtime_ns,
            len(shot.path),
            shot.path,
        ),
    )


def groups(
    store: Store,
    folders: Sequence[bytes] = (),
    *,
    distance: int = DISTANCE,
    with_turned: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Group]:
    """All groups, or those that touch one of `folders`; what would free most comes first, bursts last. `progress` is told
    the share of the search that is done."""
    contents = _load(store, PROBED if with_turned else ())
    found = _Finder(store, contents, distance, progress)
    found.by_metadata()
    found.by_fingerprints()
    found.by_probes()
    made = found.groups(_inside(store, folders) if folders else None)
    return sorted(made, key=lambda group: (group.kind is Kind.BURST, -group.gain, group.shots[0].path))


def _load(store: Store, turns: Sequence[Turn]) -> _Contents:
    there = sa.exists().where(photos.c.hash == looks.c.hash, photos.c.state == PRESENT)
    digest = sa.type_coerce(looks.c.hash, sa.LargeBinary)
    query = sa.select(digest, looks.c.phash, looks.c.picture, looks.c.flat, looks.c.signature).where(
        looks.c.phash.is_not(None), there
    )
    digests, marks = bytearray(), bytearray()
    flat: list[bool] = []
    prints, cropped = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    ways = [np.zeros((len(turns), 0), np.uint64)]
    with store.read() as connection:
        for rows in connection.execute(query.execution_options(yield_per=FETCHED)).partitions():
            digests += b"".join(bytes(row[0]) for row in rows)
            prints.append(np.array([row[1] for row in rows], np.int64))
            marks += b"".join(bytes(row[2])[:8] if row[2] is not None else bytes(8) for row in rows)
            flat += [bool(row[3]) for row in rows]
            signatures = as_array(b"".join(bytes(row[4]) for row in rows))
            cropped.append(cropped_fingerprints_of(signatures))
            each = [fingerprints_of(turned(signatures, turn)) for turn in turns]
            ways.append(np.array(each, np.uint64).reshape(len(turns), len(rows)))
    found = np.frombuffer(bytes(digests), np.uint8).reshape(-1, 32)
    order = np.lexsort(found.T[::-1])  # by content: the same groups whatever the rows' order
    return _Contents(
        found[order],
        np.concatenate(prints).view(np.uint64)[order],
        np.concatenate(cropped)[order],
        np.concatenate(ways, axis=1)[:, order],
        np.frombuffer(bytes(marks), np.uint64)[order],
        np.array(flat, bool)[order],
    )


def _inside(store: Store, folders: Sequence[bytes]) -> set[bytes]:
    """The contents of photos below these folders."""
    located = photos.join(directories, directories.c.id == photos.c.directory_id)
    query = sa.select(sa.type_coerce(photos.c.hash, sa.LargeBinary)).select_from(located)
    with store.read() as connection:
        rows = connection.scalars(query.where(sa.or_(*map(below, folders)), photos.c.state == PRESENT))
        return {bytes(digest) for digest in rows}


class _Finder:
    def __init__(
        self, store: Store, contents: _Contents, distance: int, progress: Callable[[float], None]
    ) -> None:
        self._store, self._contents, self._distance, self._progress = store, contents, distance, progress
        self._edges: list[_Edge] = []
        self._signatures: dict[int, NDArray[np.int8]] = {}
        self._shots: dict[int, list[Shot]] = {}

    # -- what is alike ------------------------------------------------------------------------------

    def by_metadata(self) -> None:
        """JPEGs of the same compressed picture."""
        marks = self._contents.pictures
        order = np.argsort(marks, kind="stable")
        same = np.nonzero((marks[order][1:] == marks[order][:-1]) & (marks[order][1:] != 0))[0]
        candidates = sorted({int(order[at]) for at in same} | {int(order[at + 1]) for at in same})
        by_picture: dict[bytes, list[int]] = defaultdict(list)
        for number, picture in self._pictures(candidates):
            by_picture[picture].append(number)
        for numbers in by_picture.values():
            self._edges += [_Edge(numbers[0], other, Kind.METADATA) for other in numbers[1:]]

    def _pictures(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        for number, picture in self._columns(numbers, looks.c.picture):
            yield number, bytes(picture)

    def by_fingerprints(self) -> None:
        """Pictures whose fingerprints are near, and whose signatures are alike."""
        for ones, others in self._proposed():
            self._prove(ones, others, None)

    def _proposed(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs of contents with near fingerprints. Of contents with one fingerprint, of which there may be thousands,
        each is paired with the first that is the same picture."""
        (some,) = np.nonzero(~self._contents.is_flat)
        values, first, inverse, counts = np.unique(
            self._contents.fingerprints[some], return_index=True, return_inverse=True, return_counts=True
        )
        self._values, self._heads = values, some[first]
        crowd_order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(counts)
        heads: dict[int, list[int]] = {}
        for at in np.nonzero(counts > 1)[0]:
            members = some[crowd_order[ends[at] - counts[at] : ends[at]]]
            heads[int(at)] = self._crowd(np.sort(members))
        self._crowds = heads
        for left, right in _collected(
            near_pairs(
                values, self._distance, lambda share: self._progress(share / (2 + len(self._contents.turned)))
            )
        ):
            yield self._spread(left, right)

    def _crowd(self, members: NDArray[np.int64]) -> list[int]:
        """The different pictures among contents with one fingerprint: the first content of each."""
        heads: list[int] = []
        while len(members):
            head, others = members[0], members[1:]
            heads.append(int(head))
            alike = self._prove(np.full(len(others), head), others, None)
            members = others[~alike]
        return heads

    def _spread(
        self, left: NDArray[np.int64], right: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of fingerprints as pairs of the contents that have them."""
        ones, others = [], []
        for one, other in zip(left.tolist(), right.tolist(), strict=True):
            for head in self._crowds.get(one, [int(self._heads[one])]):
                for tail in self._crowds.get(other, [int(self._heads[other])]):
                    ones.append(head)
                    others.append(tail)
        return np.array(ones, np.int64), np.array(others, np.int64)

    def by_probes(self) -> None:
        """Pictures that are near what another would be without its borders, or turned. Comes after `by_fingerprints`."""
        contents = self._contents
        crowds = (self._crowds.get(at, [int(head)]) for at, head in enumerate(self._heads))
        heads = np.sort(np.fromiter(chain.from_iterable(crowds), np.int64))
        fingerprints = contents.fingerprints[heads]
        probes = [(contents.cropped, None), *zip(contents.turned, PROBED, strict=False)]
        for number, (probe, turn) in enumerate(probes, 1):

            def share(done: float, number: int = number) -> None:
                self._progress((number + done) / (len(probes) + 1))

            for left, right in _collected(near_between(probe[heads], fingerprints, self._distance, share)):
                apart = np.bitwise_count(fingerprints[left] ^ fingerprints[right])
                # What is near as it is was compared already.
                new = (left != right) & ((apart > self._distance) if turn is None else True)
                self._prove(heads[left[new]], heads[right[new]], turn)

    def _prove(
        self, ones: NDArray[np.int64], others: NDArray[np.int64], turn: Turn | None
    ) -> NDArray[np.bool_]:
        """Which of these pairs are alike; they become edges."""
        alike = np.zeros(len(ones), bool)
        for begin in range(0, len(ones), PAIRS):
            left, right = ones[begin : begin + PAIRS], others[begin : begin + PAIRS]
            first = self._signatures_of(left)
            found = likeness(first if turn is None else turned(first, turn), self._signatures_of(right))
            alike[begin : begin + PAIRS] = found.best >= ALIKE
            for at in np.nonzero(found.best >= ALIKE)[0]:
                kind = kind_of(float(found.whole[at]), float(found.best[at]), turn)
                self._edges.append(_Edge(int(left[at]), int(right[at]), kind, float(found.best[at])))
        return alike

    def _signatures_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int8]:
        wanted = np.unique(numbers)
        found = np.zeros((len(wanted), KEPT, KEPT), np.int8)
        place = {int(number): at for at, number in enumerate(wanted)}
        for number, signature in self._columns(wanted.tolist(), looks.c.signature):
            found[place[number]] = np.frombuffer(bytes(signature)[:SIGNATURE], np.int8).reshape(KEPT, KEPT)
        return found[np.searchsorted(wanted, numbers)]

    def _columns(self, numbers: Sequence[int], column: sa.ColumnElement[Any]) -> Iterator[tuple[int, Any]]:
        """A column of the looks of contents, by their numbers."""
        digest = sa.type_coerce(looks.c.hash, sa.LargeBinary)
        for page in pages(numbers):
            by_digest = {self._contents.digest(number): number for number in page}
            with self._store.read() as connection:
                rows = connection.execute(sa.select(digest, column).where(digest.in_(list(by_digest)))).all()
            for key, value in rows:
                yield by_digest[bytes(key)], value

    # -- what is a group ----------------------------------------------------------------------------

    def groups(self, inside: set[bytes] | None) -> list[Group]:
        """What the edges bind together. `inside`: contents of which each group must hold one."""
        self._shots = self._load_shots(
            sorted({number for edge in self._edges for number in (edge.one, edge.other)})
        )
        same: list[_Edge] = []
        bursts: list[_Edge] = []
        for edge in sorted(self._edges, key=lambda edge: edge.surest_first):
            kind = self._judged(edge)
            if kind is not None:
                (bursts if kind is Kind.BURST else same).append(replace(edge, kind=kind))
        # A copy that has lost its date may resemble two pictures of a burst. It goes to the one that it resembles more.
        forest = _Forest(self._are_one_moment)
        bound = _together([edge for edge in same if forest.join(edge.one, edge.other)])
        made = [self._group(numbers, edges) for numbers, edges in bound]
        # A burst is made of different pictures: of those that are one picture it takes the best.
        head = {number: self._best(numbers) for numbers, _ in bound for number in numbers}
        between = [
            replace(edge, one=head.get(edge.one, edge.one), other=head.get(edge.other, edge.other))
            for edge in bursts
        ]
        made += [
            self._group(numbers, edges)
            for numbers, edges in _together([edge for edge in between if edge.one != edge.other])
        ]
        return [
            group
            for group in made
            if len({shot.digest for shot in group.shots}) > 1
            and (inside is None or any(shot.digest in inside for shot in group.shots))
        ]

    def _are_one_moment(self, ones: Sequence[int], others: Sequence[int]) -> bool:
        """Whether contents may be one picture, as far as their photos tell when they were taken."""
        left = [shot for number in ones for shot in self._dated(number)]
        right = [shot for number in others for shot in self._dated(number)]
        return all(taken_apart([one], [other], Kind.SAME) is Kind.SAME for one in left for other in right)

    def _dated(self, number: int) -> list[Shot]:
        """A photo of a content for each moment that they tell."""
        found = {
            (shot.camera, _moment(shot), shot.stem): shot
            for shot in self._shots.get(number, ())
            if _moment(shot)
        }
        return list(found.values())

    def _best(self, numbers: Iterable[int]) -> int:
        whose = {shot.id: number for number in numbers for shot in self._shots.get(number, ())}
        shots = best_first(shot for number in numbers for shot in self._shots.get(number, ()))
        return whose[shots[0].id] if shots else min(numbers)

    def _judged(self, edge: _Edge) -> Kind | None:
        """What two contents are to each other, by what is known of their photos; None: no group."""
        ones, others = self._shots.get(edge.one, []), self._shots.get(edge.other, [])
        if not ones or not others or ones[0].is_raw != others[0].is_raw:
            return None
        if edge.kind is Kind.METADATA:
            return edge.kind
        return taken_apart(ones, others, edge.kind)

    def _group(self, numbers: Sequence[int], edges: Sequence[_Edge]) -> Group:
        shots = best_first(shot for number in numbers for shot in self._shots.get(number, ()))
        tree = (
            _Forest()
        )  # what binds them at the least: of two that are one compressed picture nothing else counts
        needed = [
            edge
            for edge in sorted(edges, key=lambda edge: edge.surest_first)
            if tree.is_new(edge.one, edge.other)
        ]
        kind = max((edge.kind for edge in needed), key=list(Kind).index)
        number_of = {shot.id: number for number in numbers for shot in self._shots.get(number, ())}
        to_first = {
            edge.one + edge.other - number_of[shots[0].id]: edge.kind
            for edge in sorted(edges, key=lambda edge: -list(Kind).index(edge.kind))
            if number_of[shots[0].id] in (edge.one, edge.other)
        }
        return Group(kind, tuple(shots), tuple(to_first.get(number_of[shot.id]) for shot in shots))

    def _load_shots(self, numbers: Sequence[int]) -> dict[int, list[Shot]]:
        found: dict[int, list[Shot]] = defaultdict(list)
        for page in pages(numbers):
            by_digest = {self._contents.digest(number): number for number in page}
            for shot in shots_of(self._store, list(by_digest)):
                if not in_machine_folder(shot.path):
                    found[by_digest[shot.digest]].append(shot)
        return found


def kind_of(whole: float, best: float, turn: Turn | None) -> Kind:
    """What two pictures are that are alike."""
    if turn is not None:
        return Kind.TURNED
    return Kind.CROPPED if best - whole > CROPPED_BY else Kind.SAME


def taken_apart(ones: Sequence[Shot], others: Sequence[Shot], kind: Kind) -> Kind | None:
    """The same kind for pictures of one moment; BURST for those that one camera took within seconds, None for those that
    it took at different times."""
    times = {_moment(shot) for shot in (*ones, *others)}
    if None in times or len({shot.camera for shot in (*ones, *others)}) != 1 or ones[0].camera is None:
        return kind
    apart = min(abs((_time(one) - _time(other)).total_seconds()) for one in ones for other in others)
    if apart > BURST_S:
        return None
    if apart > 0 or any(_are_numbered(one, other) for one in ones for other in others):
        return Kind.BURST
    return kind


def _moment(shot: Shot) -> str | None:
    """When a photo was taken, to the second; None where only a day is known."""
    return shot.taken_at[:19] if shot.taken_at and len(shot.taken_at) >= 19 else None


def _time(shot: Shot) -> datetime:
    return datetime.fromisoformat(str(_moment(shot)))


def _are_numbered(one: Shot, other: Shot) -> bool:
    """Whether two photos have the names and sizes of two shots of one camera: the same but for their number."""
    left, right = _NUMBERED.fullmatch(one.stem), _NUMBERED.fullmatch(other.stem)
    if left is None or right is None or {one.width, one.height} != {other.width, other.height}:
        return False
    return left[1] == right[1] and int(left[2]) != int(right[2])


def shots_of(store: Store, digests: Sequence[bytes]) -> list[Shot]:
    """The photos with these contents that are there by the last scan."""
    raw = sa.LargeBinary()
    digest = sa.type_coerce(photos.c.hash, raw)
    located = (
        photos.join(directories, directories.c.id == photos.c.directory_id)
        .join(looks, looks.c.hash == photos.c.hash)
        .outerjoin(facts, facts.c.photo_id == photos.c.id)
    )
    query = (
        sa.select(
            photos.c.id, sa.type_coerce(directories.c.path, raw), sa.type_coerce(photos.c.name, raw), digest,
            photos.c.size, photos.c.mtime_ns, photos.c.extension, looks.c.width, looks.c.height, looks.c.quality,
            sa.func.coalesce(facts.c.damaged, looks.c.damaged), facts.c.format, facts.c.taken_at, facts.c.camera,
            facts.c.latitude.is_not(None).label("has_position"),
        )
        .select_from(located)
        .where(photos.c.state == PRESENT, digest.in_(digests), photos.c.extension.not_in(sorted(VIDEO_EXTENSIONS)))
        .order_by(photos.c.id)
    )  # fmt: skip
    with store.read() as connection:
        rows = connection.execute(query).all()
    found = []
    for key, folder, name, content, *known in rows:
        path = join(bytes(folder), bytes(name))
        found.append(Shot(key, path, bytes(content), *known))
    return found


class _Forest:
    """Which numbers belong together. `may_join`: whether those of two trees may, for the members that tell."""

    def __init__(
        self, may_join: Callable[[Sequence[int], Sequence[int]], bool] = lambda ones, others: True
    ) -> None:
        self._may_join = may_join
        self._parent: dict[int, int] = {}
        self._members: dict[int, list[int]] = {}  # by root

    def root(self, number: int) -> int:
        if number not in self._parent:
            self._parent[number], self._members[number] = number, [number]
        path = []
        while (above := self._parent[number]) != number:
            path.append(number)
            number = above
        for each in path:
            self._parent[each] = number
        return number

    def join(self, one: int, other: int) -> bool:
        """Whether they are together now."""
        left, right = sorted((self.root(one), self.root(other)))
        if left != right:
            if not self._may_join(self._members[left], self._members[right]):
                return False
            self._parent[right] = left
            self._members[left] += self._members.pop(right)
        return True

    def is_new(self, one: int, other: int) -> bool:
        """Join two; whether they were not together before."""
        return self.root(one) != self.root(other) and self.join(one, other)

    def trees(self) -> dict[int, list[int]]:
        return {root: sorted(members) for root, members in sorted(self._members.items())}


def _together(edges: Sequence[_Edge]) -> list[tuple[list[int], list[_Edge]]]:
    """The numbers that edges bind together, directly or not, with their edges."""
    forest = _Forest()
    for edge in edges:
        forest.join(edge.one, edge.other)
    bound: dict[int, list[_Edge]] = defaultdict(list)
    for edge in edges:
        bound[forest.root(edge.one)].append(edge)
    return [(numbers, bound[root]) for root, numbers in forest.trees().items()]


def _collected(
    found: Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs in larger blocks: what is looked up for them costs by the block."""
    lefts: list[NDArray[np.int64]] = []
    rights: list[NDArray[np.int64]] = []
    size = 0
    for left, right in found:
        lefts.append(left)
        rights.append(right)
        size += len(left)
        if size >= PAIRS:
            yield np.concatenate(lefts), np.concatenate(rights)
            lefts, rights, size = [], [], 0
    if size:
        yield np.concatenate(lefts), np.concatenate(rights)
