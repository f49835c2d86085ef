"""Faces that nobody has: vectors that lie as those of real faces do, without a picture of anybody."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from batch_processing.core.database import Database
from batch_processing.photos.people.face import DIMENSIONS, SCALE
from batch_processing.photos.tables import faces

# Cosines of SFace's vectors on real faces: two of one person .62 in the mean, of two people 0, with a spread of .075.
SAME = 0.62


@dataclass(frozen=True)
class Crowd:
    """Faces, whose each is, and on which photo it is."""

    vectors: NDArray[np.int8]  # (number, 128)
    persons: NDArray[np.int64]
    photos: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.vectors)


def quantized(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors as they are stored."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.clip(np.rint(vectors / length * SCALE), -127, 127).astype(np.int8)


def crowd(sizes: list[int] | NDArray[np.int64], seed: int = 0, spread: float = 0.06) -> Crowd:
    """So many faces of each person, each on a photo of its own. `spread`: by how much people's faces are more or less alike.
    One person in five looks like the one before: as siblings do."""
    rng = np.random.default_rng(seed)
    persons = np.repeat(np.arange(len(sizes)), sizes)
    middles = rng.standard_normal((len(sizes), DIMENSIONS), np.float32)
    kin = np.flatnonzero(rng.random(len(sizes)) < 0.2)
    middles[kin] = middles[kin] + 0.5 * middles[kin - 1]
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    # Each person has a way of being alike, each face a likeness of its own: photos are of good and of bad light.
    alike = np.clip(SAME + rng.normal(0, spread, len(sizes)), 0.35, 0.9)[persons]
    alike = np.clip(alike + rng.normal(0, 0.08, len(persons)), 0.2, 0.95)
    noise = rng.standard_normal((len(persons), DIMENSIONS), np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    near = np.sqrt(alike)[:, None].astype(np.float32)
    vectors = middles[persons] * near + noise * np.sqrt(1 - near**2)
    order = rng.permutation(len(persons))
    return Crowd(quantized(vectors[order]), persons[order], np.arange(len(persons)))


# LFW: how many people have so many photos (1 to 10), and the numbers of those who have more, thinned out.
LFW = {1: 4069, 2: 779, 3: 291, 4: 187, 5: 112, 6: 55, 7: 39, 8: 33, 9: 26, 10: 15}
LFW_MORE = (
    *(530, 236, 144, 121, 109, 77, 71, 60, 55, 53, 52, 49, 48, 44, 42, 42, 41, 41, 39, 39),
    *(37, 36, 35, 33, 33, 32, 32, 31, 31, 30, 30, 29, 28, 28, 26, 26, 25, 25, 24, 24, 23, 22, 22),
    *(22, 22, 21, 21, 20, 20, 20, 20, 20, 19, 19, 19, 19, 19, 18, 18, 17, 17, 17, 17, 17),
    *([16] * 4 + [15] * 11 + [14] * 10 + [13] * 11 + [12] * 10 + [11] * 16),
)


def like_lfw(count: int, seed: int = 0) -> Crowd:
    """As many faces as that, spread over people as in LFW: most have one, one has 530 of 13,233."""
    whole = [size for size, people in LFW.items() for _ in range(people)] + list(LFW_MORE)
    rng = np.random.default_rng(seed)
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes += rng.permutation(whole).tolist()
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    sizes[-1] -= sum(sizes) - count
    return crowd([size for size in sizes if size], seed)


MODEL = "drawn 1"


def digest(photo: int) -> bytes:
    """The hash of a photo that nobody took."""
    return hashlib.sha256(b"photo %d" % photo).digest()


def rows_of(
    crowd: Crowd,
    which: Iterable[int],
    *,
    weak: frozenset[int] = frozenset(),
    digests: Mapping[int, bytes] | None = None,
) -> list[dict[str, object]]:
    """Rows of `photo_faces` for these faces, in that order; `weak`: those that are too small to make people. `digests`: of
    photos that there are."""
    numbers: dict[int, int] = {}
    number_of = []
    for photo in crowd.photos.tolist():
        number_of.append(numbers.get(photo, 0))
        numbers[photo] = number_of[-1] + 1
    return [
        {
            "hash": (digests or {}).get(int(crowd.photos[face])) or digest(int(crowd.photos[face])),
            "number": number_of[face],
            "model": MODEL,
            "x": 0.1 + 0.2 * number_of[face],
            "y": 0.1,
            "w": 0.15,
            "h": 0.2,
            "score": 0.9,
            "quality": 20.0 if face in weak else 60.0,
            "embedding": crowd.vectors[face].tobytes(),
            "kind": "found",
        }
        for face in which
    ]


def put(database: Database, crowd: Crowd, which: Iterable[int] | None = None, **options: Any) -> None:
    """Write faces into a library, as a look at photos does."""
    rows = rows_of(crowd, range(len(crowd)) if which is None else which, **options)
    with database.write() as connection:
        if rows:
            connection.execute(faces.insert(), rows)


def parts(database: Database) -> set[frozenset[tuple[str, int]]]:
    """Who belongs together, by the photo and the number of each face."""
    found: dict[int, set[tuple[str, int]]] = {}
    with database.read() as connection:
        query = sa.select(faces.c.person_id, faces.c.hash, faces.c.number)
        for person, photo, number in connection.execute(query.where(faces.c.person_id.is_not(None))):
            found.setdefault(person, set()).add((photo, number))
    return {frozenset(members) for members in found.values()}


def face_of(database: Database, crowd: Crowd, face: int, digests: Mapping[int, bytes] | None = None) -> int:
    """The id of a face of a crowd."""
    (row,) = rows_of(crowd, [face], digests=digests)
    with database.read() as connection:
        query = sa.select(faces.c.id).where(
            sa.type_coerce(faces.c.hash, sa.LargeBinary) == row["hash"], faces.c.number == row["number"]
        )
        return int(connection.scalar(query) or 0)


def person_of(
    database: Database, crowd: Crowd, face: int, digests: Mapping[int, bytes] | None = None
) -> int | None:
    """Whose a face of a crowd is."""
    with database.read() as connection:
        query = sa.select(faces.c.person_id).where(faces.c.id == face_of(database, crowd, face, digests))
        return connection.scalar(query)


@dataclass(frozen=True)
class Quality:
    """How well a partition tells people: over pairs of faces, and B-cubed."""

    pair_precision: float
    pair_recall: float
    b_cubed: float


def quality(labels: Sequence[int], persons: Sequence[int]) -> Quality:
    """Of a partition, against whose faces these are."""
    both, of_label, of_person = Counter(zip(labels, persons, strict=True)), Counter(labels), Counter(persons)

    def pairs(counted: Counter[Any]) -> int:
        return sum(number * (number - 1) // 2 for number in counted.values())

    precision = sum(n * n / of_label[label] for (label, _), n in both.items()) / len(labels)
    recall = sum(n * n / of_person[person] for (_, person), n in both.items()) / len(labels)
    return Quality(
        pairs(both) / max(1, pairs(of_label)),
        pairs(both) / max(1, pairs(of_person)),
        2 * precision * recall / (precision + recall),
    )
