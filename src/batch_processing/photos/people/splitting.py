"""Which of a person's faces are somebody else's, when a person has pointed at some of them.

Promises: the faces pointed at go; so does each other face that is more like those that go than like those that stay, but
none that would be the second of its photo there. At least one stays. The same for the same faces, whatever their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from ..tables import face_decisions, faces, people_actions
from .face import DIMENSIONS
from .person import ActionKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Rounds in which the two sides settle; real ones need two or three.
ROUNDS = 20


def like_these(connection: sa.Connection, person: int, seeds: Sequence[int]) -> list[int]:
    """The faces of `person` that go with `seeds`, these first. What a person has said of a single face stays said."""
    said = sa.exists(
        sa.select(face_decisions.c.id)
        .join(people_actions, people_actions.c.id == face_decisions.c.by_action)
        .where(
            face_decisions.c.face_id == faces.c.id,
            face_decisions.c.person_id == person,
            people_actions.c.kind == ActionKind.ASSIGN,
            people_actions.c.id.is_not(None),
        )
    )
    query = sa.select(faces.c.id, faces.c.hash, faces.c.embedding, said.label("said")).where(
        faces.c.person_id == person
    )
    rows = connection.execute(query.order_by(faces.c.hash, faces.c.number, faces.c.id)).all()
    known = [row for row in rows if row.embedding is not None]
    chosen = set(seeds)
    going = np.array([row.id in chosen for row in known], bool)
    if not going.any() or going.all():
        return list(seeds)
    embeddings = np.frombuffer(b"".join(bytes(row.embedding) for row in known), np.int8)
    vectors = embeddings.reshape(-1, DIMENSIONS).astype(np.float64)
    taken = {row.hash for row in rows if row.id in chosen}
    # Of a photo whose face is among the seeds no other face goes: two of one photo are never one person.
    may_go = np.array([not row.said and row.hash not in taken for row in known], bool)
    sides = _settled(vectors, going, may_go)
    return [
        *seeds,
        *(row.id for row, goes in zip(known, sides, strict=True) if goes and row.id not in chosen),
    ]


def _settled(
    vectors: NDArray[np.float64], seeds: NDArray[np.bool_], may_go: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The two sides, begun with the seeds and the rest, when no face is more like the other side any more."""
    going = seeds.copy()
    for _ in range(ROUNDS):
        nearer = _likeness(vectors, going) > _likeness(vectors, ~going)
        moved = seeds | (nearer & may_go)
        if moved.all() or (moved == going).all():
            break
        going = moved
    return going


def _likeness(vectors: NDArray[np.float64], side: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each face to those of a side, itself left out: the mean product. Whole numbers, but for the division."""
    products = vectors @ vectors[side].sum(axis=0)
    own = np.einsum("ij,ij->i", vectors, vectors) * side
    return np.asarray((products - own) / np.maximum(1, np.count_nonzero(side) - side), np.float64)
