"""Faces that a look has found, as rows of `photo_faces`.

    record(connection, model, found)      what a model has found on contents, in place of what others have
    numbers_of(connection, digests)       how many there are
    totals(connection)                    the same, of the whole library

Promises: what a person has said of a face is kept, whichever model looks: a face at the place of one that was known is that
face, with its number, its person and what was decided of it. One that a person has said something of, and that the model
does not find, stays as one that was drawn, without an embedding: those of two models cannot be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from ..tables import face_decisions, faces, pages
from .face import BY_HAND, FaceKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .face import Face

# Two boxes are one face if they share so much of their union, as in the judging of detectors.
SAME_PLACE = 0.5

_digest = sa.type_coerce(faces.c.hash, sa.LargeBinary)
Row = dict[str, object]


def record(connection: sa.Connection, model: str, found: Mapping[bytes, Sequence[Face]]) -> None:
    """Write the faces on contents, by their SHA-256; also of those on which there is none."""
    known = _known(connection, found)
    ids = [face.id for rows in known.values() for face in rows]
    decided = {
        one
        for page in pages(ids)
        for one in connection.scalars(
            sa.select(face_decisions.c.face_id).where(face_decisions.c.face_id.in_(page)).distinct()
        )
    }
    new: list[Row] = []
    changed: list[Row] = []
    by_hand: list[Row] = []
    gone: list[int] = []
    for digest, on_it in found.items():
        before = known.get(digest, [])
        if any(face.model == model for face in before):
            continue  # looked at before, with the same model
        matches = _matches(on_it, before)
        for number, face in enumerate(on_it):
            if (old := matches.pop(number, None)) is None:
                new.append(row(digest, model, number, face))
            else:
                kind = FaceKind.IGNORED if old.kind == FaceKind.IGNORED else FaceKind.FOUND
                changed.append(row(digest, model, number, face, kind) | {"of": old.id})
                before = [other for other in before if other.id != old.id]
        for old in before:
            if old.kind == FaceKind.FOUND and old.id not in decided:
                gone.append(old.id)
            else:
                kind = FaceKind.IGNORED if old.kind == FaceKind.IGNORED else FaceKind.DRAWN
                by_hand.append(
                    {"of": old.id, "number": old.id, "model": BY_HAND, "kind": kind.value, "embedding": None}
                )
    for page in pages(gone):
        connection.execute(faces.delete().where(faces.c.id.in_(page)))
    for rows in (by_hand, changed):
        if rows:
            connection.execute(faces.update().where(faces.c.id == sa.bindparam("of")), rows)
    if new:
        connection.execute(faces.insert(), new)


def _known(connection: sa.Connection, digests: Iterable[bytes]) -> dict[bytes, list[sa.Row[Any]]]:
    """The faces on contents, by these."""
    found: dict[bytes, list[sa.Row[Any]]] = {}
    columns = (faces.c.id, faces.c.model, faces.c.kind, faces.c.x, faces.c.y, faces.c.w, faces.c.h)
    for page in pages(digests):
        query = sa.select(_digest.label("digest"), *columns).where(_digest.in_(page)).order_by(faces.c.id)
        for each in connection.execute(query):
            found.setdefault(bytes(each.digest), []).append(each)
    return found


def _matches(new: Sequence[Face], old: Sequence[sa.Row[Any]]) -> dict[int, sa.Row[Any]]:
    """Which of the faces that were known are at the place of new ones, by the numbers of these: the nearest first."""
    pairs = sorted(
        (-shared, number, at)
        for number, face in enumerate(new)
        for at, other in enumerate(old)
        if (shared := _shared(face, other)) >= SAME_PLACE
    )
    found: dict[int, sa.Row[Any]] = {}
    taken = set[int]()
    for _, number, at in pairs:
        if number not in found and at not in taken:
            found[number] = old[at]
            taken.add(at)
    return found


def _shared(one: Any, other: Any) -> float:
    """Of the union of two boxes, the part that both have."""
    across = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    down = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return float(both / (one.w * one.h + other.w * other.h - both))


def numbers_of(connection: sa.Connection, digests: Iterable[bytes]) -> dict[bytes, int]:
    """How many faces are on contents, by their SHA-256; those without any are left out."""
    counted = sa.select(_digest, sa.func.count()).group_by(_digest)
    return {
        bytes(digest): number
        for page in pages(digests)
        for digest, number in connection.execute(counted.where(_digest.in_(page), faces.c.model != BY_HAND))
    }


def totals(connection: sa.Connection) -> tuple[int, int]:
    """How many faces are known in a library, and how many contents they are on."""
    counts = sa.select(sa.func.count(), sa.func.count(sa.distinct(faces.c.hash)))
    number, contents = connection.execute(counts.select_from(faces)).one()
    return number, contents


def row(digest: bytes, model: str, number: int, face: Face, kind: FaceKind = FaceKind.FOUND) -> Row:
    """A face as the table has it."""
    return {
        "hash": digest,
        "number": number,
        "model": model,
        "x": face.x,
        "y": face.y,
        "w": face.w,
        "h": face.h,
        "score": face.score,
        "quality": face.quality,
        "landmarks": np.array(face.landmarks, "<f4").tobytes(),
        "embedding": face.embedding,
        "kind": kind.value,
    }
