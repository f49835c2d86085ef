"""What is done to people, inside of one transaction, and how it is undone.

Promises: each deed remembers all that it changes, so that undoing the last one, again and again, leads back to the
beginning. What a person says binds: whoever names, merges, splits or corrects somebody has confirmed that person's other
faces, so that what new photos bring never takes them away. Nothing here knows sessions or commits.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ...core.plain import from_plain, to_plain
from ..tables import face_decisions, faces, pages, people, people_actions
from .face import BY_HAND, FaceKind
from .naming import folded
from .person import Action, ActionKind, DecisionBefore, FaceBefore, PersonBefore, Undo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Of PostgreSQL's locks: one deed at a time ("lotp" in ASCII). SQLite has one writer anyway.
LOCK = 0x6C6F7470


def one_at_a_time(connection: sa.Connection) -> None:
    """Keep other processes from changing people until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))


class Deed:
    """One action in the making: what it changes goes through here."""

    def __init__(self, connection: sa.Connection, kind: ActionKind) -> None:
        self.connection = connection
        self.at = datetime.now(UTC)
        made = connection.execute(people_actions.insert().values(kind=kind, undo={}, at=self.at))
        self.id: int = (made.inserted_primary_key or (0,))[0]
        self._people: dict[int, PersonBefore] = {}
        self._faces: dict[int, FaceBefore] = {}
        self._decisions: dict[tuple[int, int], DecisionBefore] = {}

    def new_person(self) -> int:
        """A person whom nobody has named."""
        return new_people(self.connection, 1, self.at)[0]

    def change_person(self, person: int, *, label: str | None = None, hidden: bool | None = None) -> None:
        """Give a person a name (an empty one takes it away), or hide them."""
        if person not in self._people:
            row = self.connection.execute(
                sa.select(people.c.label, people.c.hidden).where(people.c.id == person)
            ).one()
            self._people[person] = PersonBefore(person, row.label, row.hidden)
        changes: dict[str, object] = {}
        if label is not None:
            changes = {"label": label or None, "folded": folded(label) if label else None}
        if hidden is not None:
            changes["hidden"] = hidden
        self.connection.execute(people.update().where(people.c.id == person).values(**changes))

    def move(self, which: Sequence[int], person: int | None) -> None:
        """Have these faces be that person's, or nobody's."""
        for page in pages(which):
            rows = self.connection.execute(
                sa.select(faces.c.id, faces.c.person_id).where(faces.c.id.in_(page))
            )
            for row in rows:
                self._faces.setdefault(row.id, FaceBefore(row.id, row.person_id))
            self.connection.execute(faces.update().where(faces.c.id.in_(page)).values(person_id=person))

    def ignore(self, which: Sequence[int]) -> None:
        """Have these faces be nobody's, and stay so. What was said of whose they are counts no longer."""
        self.withdraw(face_decisions.c.is_it.is_(True), which)
        self._turn(which, FaceKind.IGNORED)

    def heed(self, which: Sequence[int]) -> None:
        """Have these faces, which were ignored, be like all others."""
        self._turn(which, None)

    def _turn(self, which: Sequence[int], kind: FaceKind | None) -> None:
        """Have faces be of a kind and nobody's; None: as they came to be known."""
        known = sa.case((faces.c.model == BY_HAND, FaceKind.DRAWN.value), else_=FaceKind.FOUND.value)
        for page in pages(which):
            query = sa.select(faces.c.id, faces.c.person_id, faces.c.kind).where(faces.c.id.in_(page))
            for row in self.connection.execute(query):
                before = self._faces.get(row.id, FaceBefore(row.id, row.person_id))
                self._faces[row.id] = replace(before, kind=before.kind or FaceKind(row.kind))
            values = {"person_id": None, "kind": known if kind is None else kind.value}
            self.connection.execute(faces.update().where(faces.c.id.in_(page)).values(**values))

    def confirm(self, person: int) -> None:
        """A person has looked at somebody, and all faces that are theirs are."""
        said = sa.exists().where(face_decisions.c.face_id == faces.c.id, face_decisions.c.person_id == person)
        theirs = sa.select(
            faces.c.id, sa.literal(person), sa.literal(True), sa.literal(self.id), sa.literal(self.at)
        ).where(faces.c.person_id == person, ~said)
        names = ["face_id", "person_id", "is_it", "by_action", "at"]
        self.connection.execute(face_decisions.insert().from_select(names, theirs))

    def decide(self, which: Sequence[int], person: int, *, is_it: bool) -> None:
        """These faces are that person, or are not. What was said of the same before counts no longer."""
        self.withdraw(face_decisions.c.person_id == person, which)
        rows = [
            {"face_id": face, "person_id": person, "is_it": is_it, "by_action": self.id, "at": self.at}
            for face in which
        ]
        if rows:
            self.connection.execute(face_decisions.insert(), rows)

    def withdraw(self, where: sa.ColumnElement[bool], which: Sequence[int] | None = None) -> None:
        """Forget decisions; of these faces only, where they are given."""
        columns = (
            face_decisions.c.id,
            face_decisions.c.face_id,
            face_decisions.c.person_id,
            face_decisions.c.is_it,
            face_decisions.c.by_action,
        )
        lists = [None] if which is None else list(pages(which))
        for page in lists:
            chosen = where if page is None else sa.and_(where, face_decisions.c.face_id.in_(page))
            rows = self.connection.execute(sa.select(*columns).where(chosen)).all()
            for _, face, person, is_it, action in rows:
                if action != self.id:
                    self._decisions.setdefault(
                        (face, person), DecisionBefore(face, person, bool(is_it), action)
                    )
            self.connection.execute(face_decisions.delete().where(chosen))

    def end(self, person: int, *, other: int | None = None, name: str | None = None) -> Action:
        """Write down how it is undone."""
        undo = Undo(
            person,
            other,
            name,
            tuple(self._people.values()),
            tuple(self._faces.values()),
            tuple(self._decisions.values()),
        )
        mine = people_actions.c.id == self.id
        self.connection.execute(people_actions.update().where(mine).values(undo=to_plain(undo)))
        kind = self.connection.scalar(sa.select(people_actions.c.kind).where(mine))
        return Action(self.id, ActionKind(str(kind)), self.at, person, other, name)


def in_consequence(connection: sa.Connection, moved: Sequence[FaceBefore]) -> None:
    """Have the last action remember that these faces, which were somebody else's, have followed it."""
    last = sa.select(people_actions).where(people_actions.c.kind.in_(list(ActionKind)))
    row = connection.execute(last.order_by(people_actions.c.id.desc()).limit(1)).first()
    if row is None or not moved:
        return
    undo = from_plain(Undo, row.undo)
    known = {face.id for face in undo.faces}
    undo = replace(undo, faces=(*undo.faces, *(face for face in moved if face.id not in known)))
    mine = people_actions.c.id == row.id
    connection.execute(people_actions.update().where(mine).values(undo=to_plain(undo)))


def for_good(connection: sa.Connection, moved: Sequence[FaceBefore]) -> None:
    """What follows an undoing is not undone by the next one."""


def new_people(connection: sa.Connection, count: int, at: datetime) -> list[int]:
    """Numbers of so many new people, each higher than any that there was."""
    if not count:
        return []
    made = connection.scalars(
        people.insert().returning(people.c.id, sort_by_parameter_order=True),
        [{"hidden": False, "created_at": at}] * count,
    )
    return list(made)


def actions(connection: sa.Connection, limit: int | None = None) -> list[Action]:
    """What was done and not undone, the latest first."""
    query = sa.select(people_actions).where(people_actions.c.kind.in_(list(ActionKind)))
    rows = connection.execute(query.order_by(people_actions.c.id.desc()).limit(limit)).all()
    return [_action(row) for row in rows]


def _action(row: sa.Row[tuple[object, ...]]) -> Action:
    undo = from_plain(Undo, row.undo)
    at = row.at if row.at.tzinfo is not None else row.at.replace(tzinfo=UTC)
    return Action(row.id, ActionKind(row.kind), at, undo.person, undo.other, undo.name)


def undo_last(connection: sa.Connection) -> Action | None:
    """Undo what was done last; None where there is nothing left to undo."""
    known = people_actions.c.kind.in_(list(ActionKind))
    row = connection.execute(
        sa.select(people_actions).where(known).order_by(people_actions.c.id.desc()).limit(1)
    ).first()
    if row is None:
        return None
    undo = from_plain(Undo, row.undo)
    connection.execute(face_decisions.delete().where(face_decisions.c.by_action == row.id))
    _put_back(connection, undo)
    connection.execute(people_actions.delete().where(people_actions.c.id == row.id))
    return _action(row)


def _put_back(connection: sa.Connection, undo: Undo) -> None:
    """What was forgotten meanwhile stays forgotten."""
    faces_there = _there(connection, faces.c.id, [one.id for one in undo.faces])
    faces_there |= _there(connection, faces.c.id, [one.face for one in undo.decisions])
    named = [one.person for one in undo.faces if one.person is not None]
    people_there = _there(connection, people.c.id, [*named, *(one.person for one in undo.decisions)])
    actions_there = _there(
        connection, people_actions.c.id, [one.action for one in undo.decisions if one.action is not None]
    )
    # Names are taken away first: two people may have swapped theirs.
    ids = [one.id for one in undo.people]
    connection.execute(people.update().where(people.c.id.in_(ids)).values(label=None, folded=None))
    for one in undo.people:
        connection.execute(
            people.update()
            .where(people.c.id == one.id)
            .values(label=one.label, folded=folded(one.label) if one.label else None, hidden=one.hidden)
        )
    _give_back(connection, [face for face in undo.faces if face.id in faces_there], people_there)
    at = datetime.now(UTC)
    rows = [
        {
            "face_id": one.face,
            "person_id": one.person,
            "is_it": one.is_it,
            "by_action": one.action if one.action in actions_there else None,
            "at": at,
        }
        for one in undo.decisions
        if one.face in faces_there and one.person in people_there
    ]
    if rows:
        connection.execute(face_decisions.insert(), rows)


def _give_back(connection: sa.Connection, which: Sequence[FaceBefore], people_there: set[int]) -> None:
    """Have faces be whose they were, and of the kind that they were of."""
    alike: dict[tuple[int | None, FaceKind | None], list[int]] = {}
    for face in which:
        person = face.person if face.person in people_there else None
        alike.setdefault((person, face.kind), []).append(face.id)
    for (person, kind), ids in alike.items():
        values: dict[str, int | str | None] = {"person_id": person}
        if kind is not None:
            values["kind"] = FaceKind(kind).value  # what was stored is plain text
        for page in pages(ids):
            connection.execute(faces.update().where(faces.c.id.in_(page)).values(**values))


def _there(connection: sa.Connection, column: sa.Column[int], which: Iterable[int]) -> set[int]:
    """Which of these rows there are."""
    return {
        found
        for page in pages(sorted(set(which)))
        for found in connection.scalars(sa.select(column).where(column.in_(page)))
    }
