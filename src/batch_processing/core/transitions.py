"""How items move between their states, and what is said of it: the statements inside of the ledger's transactions.

Every function here is given the connection of a transaction that somebody else ends. `ledger` calls them; a `Standstill` is what it hands to those who clean.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ..messages import as_message, stored
from . import reads
from .model import (
    ACTIVE_JOB_STATES,
    EventKind,
    Item,
    ItemSpec,
    ItemState,
    Job,
    Outline,
    Settlement,
    Source,
    Told,
)
from .plain import JsonObject
from .resources import Took
from .schema import event_table, item_table, job_table

# The log keeps the newest of its rows: enough for a night of work, small enough to copy in a second.
EVENTS_KEPT = 50_000

MISSED = (ItemState.FAILED, ItemState.CANCELLED)

# The generation of items that failed or were cancelled before the job was submitted again: older than every
# other. Not told by times: a clock that was ahead when they failed would keep them from being done again.
ASKED_AGAIN = -1

# An item as it was before anybody worked on it. `deaths` starts anew: somebody changed something.
# `output_hash` stays: it tells whether the file that stands there is ours to replace.
BLANK: JsonObject = {
    "state": ItemState.PENDING, "token": None, "intent": None, "details": None, "reused": False,
    "approved": False, "attempts": 0, "deaths": 0, "losses": 0, "started_at": None, "finished_at": None, "seconds": None,
    "error_type": None, "error": None, "cpu_seconds": None, "peak_memory": None, "gpu_memory": None,
}  # fmt: skip


def job_key(kind: str, inputs: Sequence[str], output: str) -> str:
    """What makes two submissions the same job: kind, absolute inputs in order, absolute output."""
    return hashlib.sha256(json.dumps([kind, list(inputs), output]).encode()).hexdigest()


def described(spec: ItemSpec, generation: int) -> JsonObject:
    """The columns that a plan writes of an item."""
    return {
        "ordinal": spec.ordinal, "generation": generation, "priority": spec.priority,
        "input_hash": spec.input_hash, "fingerprint": spec.fingerprint, "work": spec.work,
        "cost": spec.cost, "output": spec.output, "held": spec.held,
    }  # fmt: skip


def replanned(spec: ItemSpec, generation: int, row: Any) -> JsonObject:
    """The columns of an item that is planned again: see `Ledger.plan`."""
    values = described(spec, generation)
    same = (row.fingerprint, row.output) == (spec.fingerprint, spec.output)
    missed = row.state in MISSED
    if row.fingerprint != spec.fingerprint:
        values |= {"turn": 0, "place": None}
    if row.state == ItemState.COMPLETED and (spec.keep or ((same or row.approved) and not spec.redo)):
        values |= {"reused": True, "fingerprint": row.fingerprint, "output": row.output}
        values |= {"output_stamp": spec.stamp} if spec.stamp else {}
    elif row.state == ItemState.PENDING and same:
        values |= {"deaths": 0, "losses": 0}  # it was begun before, and `attempts` goes on counting
    elif same and missed and row.generation != ASKED_AGAIN:
        pass
    elif not spec.held or row.state == ItemState.COMPLETED:
        values |= BLANK
    return values


def replan(connection: sa.Connection, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the columns of items, each with its id as `which`. Those of the same names together: to build a statement
    costs ten times what it does."""
    kinds: dict[frozenset[str], list[Mapping[str, object]]] = {}
    for row in rows:
        kinds.setdefault(frozenset(row), []).append(row)
    one = item_table.update().where(item_table.c.id == sa.bindparam("which"))
    for some in kinds.values():
        connection.execute(one, some)


# The three statements of a step run for every item, thousands of times: as plain SQL they cost a tenth
# of what building them anew does.
_END = (
    "UPDATE item SET state = ?, token = NULL, intent = NULL, details = ?, seconds = ?, finished_at = ?, "
    "error_type = ?, error = ?, reused = 0, approved = 0, forced = 0, "
    "output_stamp = iif(? IS NULL, output_stamp, ?), output_hash = coalesce(?, output_hash), "
    "cpu_seconds = coalesce(?, cpu_seconds), peak_memory = coalesce(?, peak_memory), "
    "gpu_memory = coalesce(?, gpu_memory) WHERE id = ? AND token = ? AND state = 'processing' RETURNING job_id, key"
)
_GIVE_BACK = (
    "UPDATE item SET state = 'pending', token = NULL, intent = NULL, deaths = deaths + ?, losses = losses + ? "
    "WHERE id = ? AND token = ? AND state = 'processing'"
)
_INTEND = (
    "UPDATE item SET intent = ?, details = ?, seconds = ?, cpu_seconds = ?, peak_memory = ?, gpu_memory = ? "
    "WHERE id = ? AND token = ? AND state = 'processing'"
)
_LEASE = "UPDATE item SET state = 'processing', token = ?, attempts = ?, started_at = ? WHERE id = ?"
_TELL = "INSERT INTO event (job_id, at, kind, key, data) VALUES (?, ?, 'page', ?, ?) RETURNING id"


def settle(connection: sa.Connection, settlements: Sequence[Settlement]) -> None:
    now = time.time()
    for s in settlements:
        if s.state == ItemState.PENDING:
            connection.exec_driver_sql(_GIVE_BACK, (int(s.died), int(s.lost), s.item_id, s.token))
            continue
        values = (
            s.state,
            json.dumps(s.details),
            s.seconds,
            now,
            s.error_type,
            stored(s.error),
            s.output_hash,
            s.stamp,
            s.output_hash,
            *_taken(s.took),
        )
        row = connection.exec_driver_sql(_END, (*values, s.item_id, s.token)).one_or_none()
        if row is not None:  # else its lease was lost
            news = json.dumps(
                {
                    "state": s.state,
                    "seconds": round(s.seconds, 3),
                    "error": as_message(s.error).to_json() if s.error else None,
                }
            )
            event = connection.exec_driver_sql(_TELL, (row[0], now, row[1], news)).scalar_one()
            _forget_old(connection, event)


def _taken(took: Took | None) -> tuple[float | None, int | None, int | None]:
    """The columns of what work took. Where nothing new is known of it, what `intend` has written stays."""
    return (None, None, None) if took is None else (took.cpu_seconds, took.peak_memory, took.gpu_memory)


def intend(connection: sa.Connection, intents: Sequence[Settlement]) -> set[int]:
    return {
        s.item_id
        for s in intents
        if connection.exec_driver_sql(
            _INTEND, (s.output_hash, json.dumps(s.details), s.seconds, *_taken(s.took), s.item_id, s.token)
        ).rowcount
    }


def outline(connection: sa.Connection, job_id: int) -> list[Outline]:
    t = item_table
    columns = (t.c.id, t.c.key, t.c.ordinal, t.c.state, t.c.approved, t.c.output_hash)
    rows = connection.execute(sa.select(*columns).where(t.c.job_id == job_id).order_by(t.c.ordinal))
    return [Outline(*row) for row in rows]


def told(connection: sa.Connection, job_id: int, names: Sequence[str]) -> list[Told]:
    t = item_table
    entries = [t.c.details[name] for name in names]
    query = sa.select(t.c.id, t.c.key, t.c.approved, t.c.seconds, t.c.output_hash, *entries)
    # One that is done again just now is still there as it was.
    there = (ItemState.COMPLETED, ItemState.PENDING, ItemState.PROCESSING)
    of_job = (t.c.job_id == job_id, t.c.state.in_(there), t.c.output_hash.is_not(None))
    rows = connection.execute(query.where(*of_job).order_by(t.c.ordinal))
    return [
        Told(
            row.id,
            row.key,
            row.approved,
            row.seconds,
            row.output_hash,
            dict(zip(names, row[5:], strict=True)),
        )
        for row in rows
    ]


def asking(connection: sa.Connection) -> reads.Ask:
    """The door of `reads` within a transaction."""
    return lambda text, values: connection.exec_driver_sql(text, tuple(values)).all()


_WAITING = "WHERE job_id = ? AND held = 0 AND state = 'pending' "


def waiting(ask: reads.Ask, job_id: int, count: int | None) -> list[Item]:
    """The first `count` pending items (all of them without one), in the order in which they are leased."""
    rest = _WAITING + "ORDER BY priority DESC, turn, ordinal LIMIT ?"
    return reads.items(ask, rest, job_id, -1 if count is None else count)


def claim(connection: sa.Connection, job_id: int, count: int, *, batches: bool = False) -> list[Item]:
    if count < 1:
        return []
    # Nobody can change these rows before they are leased: the transaction has the write lock.
    ask = asking(connection)
    found = {item.id: item for item in waiting(ask, job_id, count)}
    for item in list(found.values()):
        if batches and item.turn and not item.deaths:
            company = reads.items(
                ask, _WAITING + "AND turn = ? AND deaths = 0 ORDER BY ordinal", job_id, item.turn
            )
            found |= {other.id: other for other in company}
    now = time.time()
    claimed = []
    for item in found.values():
        token, attempts = secrets.token_hex(8), item.attempts + 1
        connection.exec_driver_sql(_LEASE, (token, attempts, now, item.id))
        claimed.append(
            replace(item, state=ItemState.PROCESSING, token=token, attempts=attempts, started_at=now)
        )
    return claimed


def say(connection: sa.Connection, job_id: int, kind: EventKind, key: str | None, data: JsonObject) -> None:
    row = event_table.insert().values(job_id=job_id, at=time.time(), kind=kind, key=key, data=data)
    _forget_old(connection, connection.scalars(row.returning(event_table.c.id)).one())


def _forget_old(connection: sa.Connection, newest: int) -> None:
    if newest % 1000 == 0:
        connection.execute(event_table.delete().where(event_table.c.id <= newest - EVENTS_KEPT))


def source_of(row: sa.Row[Any]) -> Source:
    return Source(
        row.key,
        row.sort,
        row.path,
        row.origin,
        row.identity,
        row.sha256,
        row.facts,
        row.role,
        row.written,
        row.id,
        row.written_stamp,
    )


@dataclass(frozen=True)
class Standstill:
    """All jobs, oldest first, at a moment at which nobody can begin one."""

    jobs: list[Job]
    _connection: sa.Connection

    def approved(self, job_id: int) -> list[str]:
        """The outputs of a job's pages that a person has approved."""
        t = item_table
        query = sa.select(t.c.output).where(t.c.job_id == job_id, t.c.approved)
        return list(self._connection.scalars(query))

    def reconfigure(self, job_id: int, config: JsonObject) -> None:
        """Give a job another configuration, for its next run."""
        self._connection.execute(job_table.update().where(job_table.c.id == job_id).values(config=config))

    def events_before(self, moment: float, *, forget: bool) -> int:
        """How many events of jobs that have ended, or are gone, are older than `moment` (seconds since 1970); with `forget`
        they go. What a run, or one that is to be resumed, tells or has told stays."""
        t = event_table
        going = sa.select(job_table.c.id).where(job_table.c.state.in_(ACTIVE_JOB_STATES))
        old = (t.c.at < moment, t.c.job_id.not_in(going))
        if forget:
            return self._connection.execute(t.delete().where(*old)).rowcount
        return self._connection.scalar(sa.select(sa.func.count()).where(*old).select_from(t)) or 0
