"""What people change on finished items: the table `edit` of the ledger, and the only SQL about it.

Promises: an edit that was added survives any crash; undo and redo go back and forth without limit, the newest first, by
the pages that a person looks at; several edits of one action are one step; what is wished for twice is done once; nothing is ever deleted but with its job, so
that what was undone and then overtaken can still be looked up. Does not know what an edit means.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from .database import Database
from .model import Edit, EditState
from .schema import edit_table

JOB = ""
"""The key of edits that are of the job as a whole."""


@dataclass(frozen=True)
class Saying:
    """An edit to be added: the item's key (`JOB` for the job), what kind, and what it says."""

    key: str
    kind: str
    data: Mapping[str, object]


class EditLog:
    """The edits of all jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job_id: int, sayings: Sequence[Saying], wish: str = "") -> int:
        """Record one action, and its number. What was undone on the pages that it touches cannot be redone then.

        `wish` is a name that nobody else gives, under which the action is asked for: whoever got no answer may ask again, and
        nothing is done twice. "" for none.
        """
        t = edit_table
        keys = sorted({one.key for one in sayings} | {JOB})
        with self._database.write() as connection:
            known = sa.select(t.c.action).where(t.c.job_id == job_id, t.c.wish == wish)
            if wish and (number := connection.scalar(known)) is not None:
                return int(number)
            undone = (t.c.job_id == job_id, t.c.state == EditState.UNDONE, t.c.key.in_(keys))
            actions = list(connection.scalars(sa.select(t.c.action).where(*undone).distinct()))
            connection.execute(
                t.update()
                .where(t.c.job_id == job_id, t.c.action.in_(actions))
                .values(state=EditState.DROPPED)
            )
            action = 0
            for one in sayings:
                row = t.insert().values(
                    job_id=job_id, key=one.key, action=action, at=time.time(), kind=one.kind, data=one.data,
                    state=EditState.DONE, wish=None if action else wish or None,
                )  # fmt: skip
                number = connection.scalars(row.returning(t.c.id)).one()
                if not action:
                    action = number
                    connection.execute(t.update().where(t.c.id == number).values(action=action))
        return action

    def undo(self, job_id: int, key: str) -> list[Edit]:
        """Take back the newest action that touches this page, or the job as a whole; its edits, none where there is none."""
        return self._turn(job_id, key, EditState.DONE, EditState.UNDONE)

    def redo(self, job_id: int, key: str) -> list[Edit]:
        """Do again what was taken back last."""
        return self._turn(job_id, key, EditState.UNDONE, EditState.DONE)

    def _turn(self, job_id: int, key: str, before: EditState, after: EditState) -> list[Edit]:
        t = edit_table
        order = t.c.action.desc() if before == EditState.DONE else t.c.action.asc()
        with self._database.write() as connection:
            action = connection.scalar(
                sa.select(t.c.action)
                .where(t.c.job_id == job_id, t.c.key.in_((key, JOB)), t.c.state == before)
                .order_by(order)
                .limit(1)
            )
            if action is None:
                return []
            of_action = (t.c.job_id == job_id, t.c.action == action)
            connection.execute(t.update().where(*of_action).values(state=after))
            rows = connection.execute(sa.select(t).where(*of_action).order_by(t.c.id)).all()
        return [_edit(row) for row in rows]

    def steps(self, job_id: int, key: str) -> tuple[int, int]:
        """How many actions can be undone and redone on this page."""
        t = edit_table
        query = (
            sa.select(t.c.state, sa.func.count(t.c.action.distinct()))
            .where(t.c.job_id == job_id, t.c.key.in_((key, JOB)))
            .group_by(t.c.state)
        )
        with self._database.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return found.get(EditState.DONE, 0), found.get(EditState.UNDONE, 0)

    def of(self, job_id: int, key: str) -> list[Edit]:
        """What counts of one page, or with `JOB` of the job as a whole, in its order."""
        t = edit_table
        query = (
            sa.select(t)
            .where(t.c.job_id == job_id, t.c.key == key, t.c.state == EditState.DONE)
            .order_by(t.c.id)
        )
        with self._database.read() as connection:
            return [_edit(row) for row in connection.execute(query)]

    def by_page(self, job_id: int) -> dict[str, list[Edit]]:
        """What counts, by page, each in its order; the job's own under `JOB`."""
        t = edit_table
        query = sa.select(t).where(t.c.job_id == job_id, t.c.state == EditState.DONE).order_by(t.c.id)
        found: dict[str, list[Edit]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.key, []).append(_edit(row))
        return found

    def mark(self, job_id: int, *keys: str) -> str:
        """A name for what counts of a job, or of some of its pages: it changes with each edit, and is what it was when that is
        undone."""
        t = edit_table
        query = sa.select(t.c.id).where(t.c.job_id == job_id, t.c.state == EditState.DONE).order_by(t.c.id)
        if keys:
            query = query.where(t.c.key.in_(keys))
        with self._database.read() as connection:
            numbers = connection.scalars(query).all()
        return hashlib.sha256(" ".join(map(str, numbers)).encode()).hexdigest()[:16] if numbers else ""

    def settle(self, job_id: int, key: str, kind: str) -> None:
        """Have the edits of this kind of a page, or of the job, count no more: what they said is kept elsewhere from now
        on."""
        t = edit_table
        these = (t.c.job_id == job_id, t.c.key == key, t.c.kind == kind)
        with self._database.write() as connection:
            connection.execute(
                t.update()
                .where(*these, t.c.state.in_((EditState.DONE, EditState.UNDONE)))
                .values(state=EditState.SETTLED)
            )

    def jobs(self) -> list[int]:
        """The jobs that have edits."""
        with self._database.read() as connection:
            return list(connection.scalars(sa.select(edit_table.c.job_id).distinct()))


def _edit(row: sa.Row[tuple[object, ...]]) -> Edit:
    values = {name: value for name, value in row._mapping.items() if name != "wish"}  # noqa: SLF001 - as documented
    return Edit(**values)
