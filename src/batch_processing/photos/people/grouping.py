"""Which faces are one person's, in a library: what is new is grouped, and people get their numbers.

    grouped = group(store, workspace)

Promises: afterwards faces belong to people as a grouping of all faces from the beginning would have it (`clustering`), with
all that was decided. Whoever has a decision keeps their number; an unnamed person keeps theirs by the largest overlap.
Written in one transaction: killed anywhere, it has happened or has not, and the next run does the same. What another
process decides meanwhile is taken in before anything is written. Faces of
another model than was asked for last stay whose they are: vectors of two models cannot be compared.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from ..store import Driver
from ..tables import face_decisions, faces, pages, people_actions
from . import clustering, deeds, remembered
from .asked import asked
from .clustering import Before, Faces, Grouped, Said
from .face import CORE_PX, CORE_SCORE, DIMENSIONS, FaceKind
from .nearest import NEIGHBOURS, NOBODY, Near, updated
from .person import ActionKind, FaceBefore
from .remembered import Remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...core.workspace import Workspace
    from ..store import Store

# Faces of which is asked whether they are the ones that are remembered: a library may be another one, or a restored one.
SAMPLE = 64
# From so many changed faces on all are read, instead of pages of them.
MANY = 20_000
# Stands in `people_actions` with the number of the last grouping: what is remembered of another one may not be as the
# library is now, since what was decided meanwhile may have been undone.
GROUPED = "grouping"
FETCHED = 10_000


@dataclass(frozen=True)
class Grouping:
    """What a run of `group` has done, in numbers."""

    faces: int  # that there are
    people: int  # that have a core face
    new_people: int
    moved: int  # faces that are somebody else's now


@dataclass(frozen=True)
class _Library:
    """Faces and decisions as they are now, and what is known of the last grouping, by the same places; None where that is
    not known. `extent`: of the table of faces; `turns`: which were ignored; `number`: of the last grouping."""

    now: Remembered
    before: Before | None
    extent: tuple[int, int]
    turns: tuple[int, int]
    number: int


def group(
    store: Store,
    workspace: Workspace | None = None,
    *,
    progress: Callable[[float], None] = lambda share: None,
    then: Callable[[sa.Connection, Sequence[FaceBefore]], None] = lambda connection, moved: None,
) -> Grouping:
    """Group what is new. `progress` is told the share of the search that is done. `then` is called within the transaction
    that gives faces to people, with those that were somebody else's before."""
    files = remembered.files_of(store, workspace)
    last = remembered.load(files[0]) if files else remembered.nothing()
    while True:
        library = _read(store, last, progress)
        now = library.now
        photos = np.concatenate([[0], np.cumsum((now.hashes[1:] != now.hashes[:-1]).any(axis=1))])[: len(now)]
        said = Said(now.pins, _by_face(now.apart))
        found = clustering.partition(
            Faces(now.vectors, photos, now.core), Near(now.places, now.dots), said, library.before
        )
        # Also where nobody is touched: a face that was ignored, and is taken back later, has to be a new one then.
        has_changed = bool(found.touched.any()) or len(now) != len(last)
        now = replace(now, labels=found.labels, components=found.components)
        with store.write() as connection:
            deeds.one_at_a_time(connection)
            seen = _stamp(connection), _extent(connection), _turns(connection), _number(connection)
            told = tuple(now.stamp[:3].tolist()), library.extent, library.turns, library.number
            if seen == told:
                new_people, moved = _assign(connection, now, found)
                then(connection, moved)
                if has_changed:
                    now.stamp[3] = _count_on(connection)
                break
        now.stamp[3] = 0
        last = now
    if files and has_changed:
        remembered.save(now, files[0])
    people = int(np.count_nonzero(now.labels == np.arange(len(now))))
    return Grouping(len(now), people, new_people, len(moved))


def is_current(store: Store) -> bool:
    """Whether every face that makes people is somebody's: those that were grouped are."""
    with store.read() as connection:
        alone = sa.and_(
            faces.c.person_id.is_(None),
            _eligible(_model(connection)),
            faces.c.embedding.is_not(None),
            faces.c.score >= CORE_SCORE,
            faces.c.quality >= CORE_PX,
        )
        return connection.scalar(sa.select(faces.c.id).where(alone).limit(1)) is None


def is_remembered(store: Store, workspace: Workspace | None) -> bool:
    """Whether grouping a few changes takes moments: nothing has to be compared from the beginning."""
    files = remembered.files_of(store, workspace)
    return bool(files) and files[0].exists()


# -- what there is -------------------------------------------------------------------------------------


def _eligible(model: str) -> sa.ColumnElement[bool]:
    return sa.and_(faces.c.model.in_([model, ""]), faces.c.kind != FaceKind.IGNORED)


def _model(connection: sa.Connection) -> str:
    """By which faces were asked for last; where none were found with it, that most were found with."""
    now = asked(connection)
    if now is not None and connection.scalar(sa.select(faces.c.id).where(faces.c.model == now.name).limit(1)):
        return now.name
    count = sa.func.count()
    query = sa.select(faces.c.model).where(faces.c.model != "").group_by(faces.c.model)
    return connection.scalar(query.order_by(count.desc(), faces.c.model).limit(1)) or ""


def _extent(connection: sa.Connection) -> tuple[int, int]:
    """Is another one when faces came or went."""
    number, last = connection.execute(
        sa.select(sa.func.count(), sa.func.max(faces.c.id)).select_from(faces)
    ).one()
    return int(number), int(last or 0)


def _stamp(connection: sa.Connection) -> tuple[int, int, int]:
    """Is another one whenever a decision is: their numbers are never given again."""
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.max(face_decisions.c.id), sa.func.sum(face_decisions.c.id))
    ).one()
    return int(row[0]), int(row[1] or 0), int(row[2] or 0)


def _turns(connection: sa.Connection) -> tuple[int, int]:
    """Are others whenever other faces are ignored: numbers of actions are never given again."""
    query = sa.select(sa.func.count(), sa.func.max(people_actions.c.id))
    number, last = connection.execute(
        query.where(people_actions.c.kind.in_([ActionKind.IGNORE, ActionKind.HEED]))
    ).one()
    return int(number), int(last or 0)


def _number(connection: sa.Connection) -> int:
    """Of the last grouping; -1 before the first."""
    query = sa.select(people_actions.c.undo).where(people_actions.c.kind == GROUPED)
    found = connection.scalar(query)
    return -1 if found is None else int(found["number"])


def _count_on(connection: sa.Connection) -> int:
    """Give this grouping a number that none had, also not in a library that this one was restored from; the number."""
    connection.execute(people_actions.delete().where(people_actions.c.kind == GROUPED))
    number = secrets.randbits(52)
    row = {"kind": GROUPED, "undo": {"number": number}, "at": datetime.now(UTC)}
    connection.execute(people_actions.insert().values(row))
    return number


def _read(store: Store, last: Remembered, progress: Callable[[float], None]) -> _Library:
    with store.read() as connection:
        model = _model(connection)
        keys, extent = _keys(connection, model)
        kept = np.isin(last.keys, keys)
        if not _is_same(connection, last, kept):
            last, kept = remembered.nothing(), np.zeros(0, bool)
        came = keys[~np.isin(keys, last.keys)]
        now, places = remembered.merged(last, kept, _rows(connection, came))
        stamp, number, turns = _stamp(connection), _number(connection), _turns(connection)
        pins, apart = _decisions(connection, now.keys)
    said_before = {(int(places[face]), person) for face, person in last.apart.tolist()}
    dirty = _said_anew(now, said_before, pins, apart)
    change = updated(Near(last.places, last.dots), places, now.vectors, now.core, progress)
    near = change.near
    before = Before(now.labels, now.components, change.dirty | dirty) if number == last.stamp[3] else None
    stamps = np.array([*stamp, number], np.int64)
    now = replace(now, places=near.places, dots=near.dots, pins=pins, apart=apart, stamp=stamps)
    return _Library(now, before, extent, turns, number)


def _keys(connection: sa.Connection, model: str) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """The faces that are grouped, as `Remembered.keys`, and the extent of all. In one text: a row for each takes three
    times as long."""
    key = sa.cast(sa.case((faces.c.model == "", -faces.c.id), else_=faces.c.id), sa.Text)
    joined = sa.func.aggregate_strings(sa.case((_eligible(model), key)), ",")
    text, number, last = connection.execute(
        sa.select(joined, sa.func.count(), sa.func.max(faces.c.id)).select_from(faces)
    ).one()
    keys = np.fromstring(text, np.int64, sep=",") if text else np.zeros(0, np.int64)
    return keys, (int(number), int(last or 0))


def _is_same(connection: sa.Connection, last: Remembered, kept: NDArray[np.bool_]) -> bool:
    """Whether faces that are remembered are those of this library: some of them, the latest among them."""
    there = np.flatnonzero(kept)
    there = there[np.argsort(np.abs(last.keys[there]))]
    some = there[np.linspace(0, max(0, len(there) - 1), min(SAMPLE, len(there))).astype(int)]
    place = {abs(int(last.keys[at])): at for at in some.tolist()}
    query = sa.select(faces.c.id, sa.type_coerce(faces.c.hash, sa.LargeBinary), faces.c.number)
    rows = connection.execute(query.where(faces.c.id.in_(list(place)))).all()
    return all(
        bytes(digest) == last.hashes[place[face]].tobytes() and number == last.numbers[place[face]]
        for face, digest, number in rows
    )


def _rows(connection: sa.Connection, keys: NDArray[np.int64]) -> Remembered:
    """These faces, in order."""
    found = remembered.nothing()
    if not len(keys):
        return found
    wanted = np.abs(keys)
    columns = (
        faces.c.id,
        sa.type_coerce(faces.c.hash, sa.LargeBinary),
        faces.c.number,
        faces.c.score,
        faces.c.quality,
        faces.c.embedding,
        faces.c.model,
    )
    parts: list[Remembered] = []
    if len(wanted) > MANY:
        chosen = set(wanted.tolist())
        stream = connection.execute(sa.select(*columns).execution_options(yield_per=FETCHED)).partitions()
        parts = [_array([row for row in part if row[0] in chosen]) for part in stream]
    else:
        for page in pages(wanted.tolist()):
            parts.append(_array(connection.execute(sa.select(*columns).where(faces.c.id.in_(page))).all()))
    return remembered.in_order(remembered.joined(parts))


def _array(rows: Sequence[sa.Row[Any]]) -> Remembered:
    count = len(rows)
    ids, hashes, numbers, scores, qualities, embeddings, models = (
        zip(*rows, strict=True) if rows else [()] * 7
    )
    by_hand = np.array([model == "" for model in models], bool)
    known = (
        np.array([vector is not None and len(vector) == DIMENSIONS for vector in embeddings], bool) & ~by_hand
    )
    nobody = bytes(DIMENSIONS)
    vectors = b"".join(
        bytes(vector) if use else nobody for vector, use in zip(embeddings, known, strict=True)
    )
    strong = (np.array(scores, float) >= CORE_SCORE) & (np.array(qualities, float) >= CORE_PX)
    fresh, lists = np.full(count, NOBODY, np.int64), np.full((count, NEIGHBOURS), NOBODY, np.int32)
    return replace(
        remembered.nothing(),
        keys=np.where(by_hand, -1, 1) * np.array(ids, np.int64),
        hashes=np.frombuffer(b"".join(map(bytes, hashes)), np.uint8).reshape(-1, 32),
        numbers=np.array(numbers, np.int64),
        core=known & strong,
        vectors=np.frombuffer(vectors, np.int8).reshape(-1, DIMENSIONS),
        places=lists,
        dots=np.zeros_like(lists),
        labels=fresh,
        components=fresh,
        pins=np.zeros(count, np.int64),
    )


def _decisions(
    connection: sa.Connection, keys: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whose each face is, and who it is not, as a person has said."""
    rows = Driver(connection).rows("SELECT face_id, person_id, is_it FROM face_decisions ORDER BY id")
    table = np.array(rows, np.int64).reshape(-1, 3)
    ids = np.abs(keys)
    order = np.argsort(ids)
    at = np.searchsorted(ids[order], table[:, 0])
    known = at < len(ids)
    known[known] = ids[order][at[known]] == table[known, 0]
    table, at = table[known], order[at[known]]
    said = table[:, 2] != 0
    pins = np.zeros(len(keys), np.int64)
    pins[at[said]] = table[said, 1]
    apart = np.column_stack([at[~said], table[~said, 1]])
    return pins, apart[np.lexsort((apart[:, 1], apart[:, 0]))]


def _said_anew(
    now: Remembered,
    before: set[tuple[int, int]],
    pins: NDArray[np.int64],
    apart: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Faces of which something else is said than was, and all faces of the people whom that is about."""
    dirty: NDArray[np.bool_] = now.pins != pins
    about = np.concatenate([now.pins[dirty], pins[dirty]])
    differing = before.symmetric_difference(map(tuple, apart.tolist()))
    dirty[[face for face, _ in differing if face != NOBODY]] = True
    about = np.unique(np.concatenate([about, np.array([person for _, person in differing], np.int64)]))
    about = about[about != 0]
    dirty |= np.isin(now.pins, about) | np.isin(pins, about)
    return dirty


def _by_face(apart: NDArray[np.int64]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {}
    for face, person in apart.tolist():
        found.setdefault(face, set()).add(person)
    return {face: frozenset(persons) for face, persons in found.items()}


# -- who is who ----------------------------------------------------------------------------------------


def _assign(connection: sa.Connection, now: Remembered, found: Grouped) -> tuple[int, list[FaceBefore]]:
    """Give the faces that were grouped to people: how many of these are new, and whose faces were somebody else's."""
    is_touched = found.touched | (now.pins != 0)
    # A weak face may join people who are as they were: whose group that is, is told by their faces.
    joined = found.labels[is_touched & ~now.core]
    touched = np.flatnonzero(is_touched | np.isin(found.labels, joined[joined != NOBODY]))
    whose = _whose(connection, np.abs(now.keys[touched]))
    people_of = _numbered(connection, now, found, touched, whose)
    at = datetime.now(UTC)
    without = [label for label, person in people_of.items() if person == 0]
    made = deeds.new_people(connection, len(without), at)
    people_of |= dict(zip(without, made, strict=True))
    moved: list[FaceBefore] = []
    rows: list[tuple[int | None, int]] = []
    ids, labels, pins = (
        np.abs(now.keys[touched]).tolist(),
        found.labels[touched].tolist(),
        now.pins[touched].tolist(),
    )
    for face, label, pin in zip(ids, labels, pins, strict=True):
        person = pin or people_of.get(label)
        if face in whose and whose[face] != person:
            moved.append(FaceBefore(face, whose[face]))
            rows.append((person, face))
    if rows:
        Driver(connection).run("UPDATE photo_faces SET person_id = ? WHERE id = ?", rows)
    return len(made), moved


def _whose(connection: sa.Connection, ids: NDArray[np.int64]) -> dict[int, int | None]:
    """Whose these faces are now."""
    driver, every = Driver(connection), "SELECT id, person_id FROM photo_faces"
    if len(ids) > MANY:
        return dict(map(tuple, driver.rows(every)))
    found: dict[int, int | None] = {}
    for page in pages(ids.tolist()):
        found |= map(tuple, driver.rows(f"{every} WHERE id IN ({', '.join(map(str, page))})"))
    return found


def _numbered(
    connection: sa.Connection,
    now: Remembered,
    found: Grouped,
    touched: NDArray[np.int64],
    whose: Mapping[int, int | None],
) -> dict[int, int]:
    """The person of each group, by its label; 0 for those who are new. Whoever has a decision has that group; else the
    largest overlap counts, then the lower number."""
    core = touched[now.core[touched]]
    people_of = dict.fromkeys(sorted(set(found.labels[core].tolist())), 0)
    overlaps: Counter[tuple[int, int]] = Counter()
    for face, label in zip(np.abs(now.keys[core]).tolist(), found.labels[core].tolist(), strict=True):
        if (person := whose.get(face)) is not None:
            overlaps[label, person] += 1
    taken = set(
        connection.scalars(
            sa.select(face_decisions.c.person_id).where(face_decisions.c.is_it.is_(True)).distinct()
        )
    )
    pinned = core[now.pins[core] != 0]
    people_of |= dict(zip(found.labels[pinned].tolist(), now.pins[pinned].tolist(), strict=True))
    for (label, person), _ in sorted(overlaps.items(), key=lambda one: (-one[1], one[0][1], one[0][0])):
        if people_of[label] == 0 and person not in taken:
            people_of[label] = person
            taken.add(person)
    return people_of
