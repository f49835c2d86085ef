"""What was put into watched folders: the table `dropped` of the ledger, and the only SQL about it.

Promises: each thing that is put there has one row, whatever is killed; a step that was recorded survives any crash, and
says what the next one is (`DropState`); what a job knows of its inputs changes in the same commit as what is known of
where they are. Does not look at the folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..messages import Message
from .database import Database
from .model import Drop, DropEnd, DropState, Relocation
from .schema import dropped_table, job_table
from .transitions import job_key

# What can still happen to a thing of a folder, newest first.
_NEWEST = dropped_table.c.id.desc()


class DropLog:
    """What was put into all watched folders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self, folder: str, name: str, signature: str, output: str, *, back: Sequence[Relocation] = ()
    ) -> Drop:
        """Record that something is to be done. `back`: what the jobs that did it before know of it now."""
        with self._database.write() as connection:
            row = dropped_table.insert().values(
                folder=folder, name=name, signature=signature, output=output, state=DropState.TAKEN, jobs=[],
                taken_at=time.time(),
            )  # fmt: skip
            number = connection.scalars(row.returning(dropped_table.c.id)).one()
            _relocate(connection, back)
        return self.get(number)

    def get(self, drop_id: int) -> Drop:
        """The row of this number, which there is."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(dropped_table).where(dropped_table.c.id == drop_id)).one()
        return _drop(row)

    def open(self, folder: str) -> list[Drop]:
        """What was begun and has not ended, oldest first."""
        t = dropped_table
        query = sa.select(t).where(t.c.folder == folder, t.c.state != DropState.ENDED).order_by(t.c.id)
        with self._database.read() as connection:
            return [_drop(row) for row in connection.execute(query)]

    def last(self, folder: str, name: str) -> Drop | None:
        """What was put there last under a name."""
        t = dropped_table
        query = sa.select(t).where(t.c.folder == folder, t.c.name == name).order_by(_NEWEST).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _drop(row)

    def entered(self, drop_id: int, jobs: Sequence[int]) -> None:
        """Record which jobs do it; none: they have to be asked for again."""
        self._update(drop_id, jobs=list(jobs))

    def ends(self, drop_id: int, end: DropEnd, target: str | None, error: Message | None) -> None:
        """Record what became of it, and where it is about to be moved to; None where it stays."""
        self._update(drop_id, state=DropState.ENDING, end=end, target=target, error=error)

    def ended(
        self, drop_id: int, *, moved: bool, gone: bool = False, relocated: Sequence[Relocation] = ()
    ) -> None:
        """Record that it was moved to where it was to be, or that it stays; or is `gone`: whatever is put there then is new."""
        values: dict[str, str | None] = {} if moved else {"target": None}
        values |= {"signature": ""} if gone else {}
        with self._database.write() as connection:
            connection.execute(
                dropped_table.update()
                .where(dropped_table.c.id == drop_id)
                .values(state=DropState.ENDED, ended_at=time.time(), **values)
            )
            _relocate(connection, relocated)

    def _update(self, drop_id: int, **values: Any) -> None:
        with self._database.write() as connection:
            connection.execute(dropped_table.update().where(dropped_table.c.id == drop_id).values(**values))


def _relocate(connection: sa.Connection, relocations: Sequence[Relocation]) -> None:
    """Have jobs look for their inputs in another place. One that would be the same as another job then stays as it is."""
    t = job_table
    for one in relocations:
        job = connection.execute(sa.select(t.c.kind, t.c.output).where(t.c.id == one.job_id)).one_or_none()
        if job is None:
            continue  # forgotten meanwhile
        key = job_key(job.kind, one.inputs, job.output)
        if connection.scalar(sa.select(t.c.id).where(t.c.key == key, t.c.id != one.job_id)) is None:
            connection.execute(
                t.update().where(t.c.id == one.job_id).values(key=key, inputs=one.inputs, config=one.config)
            )


def _drop(row: sa.Row[Any]) -> Drop:
    return Drop(**row._mapping)  # noqa: SLF001 - the documented way to a row's names
