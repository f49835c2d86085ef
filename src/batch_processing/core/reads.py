"""What is asked of a ledger without changing it: the statements, and what their rows mean.

Promises: a row of a job, an item or an event means the same to everybody, because it becomes a noun here only. Who is
open for writing (`ledger.Ledger`) asks through its transactions, who only looks (`Glance`) through SQLite's driver:
to load SQLAlchemy takes longer than all else that `lote status` does. A glance makes, mends and changes nothing;
where there is more to do than to read, or something is wrong, it opens the ledger itself, which does it, or says what is.
"""

from __future__ import annotations

import json
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from ..exceptions import QueueError
from ..messages import Message
from .model import (
    ACTIVE_JOB_STATES,
    LOCKED_JOB_STATES,
    Event,
    EventKind,
    Item,
    ItemState,
    Job,
    JobState,
    Wish,
)
from .processes import process_alive

if TYPE_CHECKING:
    from .ledger import Ledger

Rows = Sequence[Sequence[Any]]
Ask = Callable[[str, Sequence[Any]], Rows]
"""What gives the rows of a SELECT with `?` for each of the values."""

# The tally of what is planned and was not asked for (`--pages`); it stands beside those of the states.
HELD = "held"
# The newest step of `schema.MIGRATIONS`: the tables that the statements here are for.
LATEST_STEP = "0008_stamps"
# Rows that are read in one transaction.
CHUNK = 500
# How long a glance waits for another program's commit, before the ledger does, and says who it is.
GLANCE_S = 1.0


def path_of(value: str | bytes | None) -> str | None:
    """A stored path: what is not UTF-8 is stored as bytes."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def stored_path(value: str | None) -> str | bytes | None:
    """A path as it is stored."""
    if value is not None:
        try:
            value.encode()
        except UnicodeEncodeError:
            return os.fsencode(value)
    return value


def _json(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _message(value: Any) -> Message | None:
    return None if value is None else Message.from_json(value)


class _Noun:
    """A noun and its table: the fields that are columns, by name, and what becomes of those that are stored otherwise."""

    def __init__(
        self, kind: type[Any], table: str, stored: dict[str, Callable[[Any], Any]], *, computed: str = ""
    ) -> None:
        names = [field.name for field in fields(kind) if field.name != computed]
        self.select = " ".join(("SELECT", ", ".join(names), "FROM", table, ""))
        self._reads = [stored.get(name) for name in names]

    def values(self, row: Sequence[Any]) -> list[Any]:
        return [value if read is None else read(value) for value, read in zip(row, self._reads, strict=True)]


_JOB = _Noun(
    Job,
    "job",
    {
        "inputs": _json, "output": path_of, "config": _json, "state": JobState, "wanted": Wish, "owner": _json,
        "error": _message, "result": _json,
    },
    computed="alive",
)  # fmt: skip
_ITEM = _Noun(
    Item,
    "item",
    {
        "key": path_of, "work": _json, "state": ItemState, "output": path_of, "details": _json, "place": _json,
        "reused": bool, "approved": bool, "held": bool, "forced": bool, "error": _message,
    },
)  # fmt: skip
_EVENT = _Noun(Event, "event", {"kind": EventKind, "key": path_of, "data": _json})


def jobs(ask: Ask, rest: str = "ORDER BY id", *values: Any) -> list[Job]:
    """The jobs that the rest of a SELECT names."""
    return [_job(*_JOB.values(row)) for row in ask(_JOB.select + rest, values)]


def _job(*values: Any) -> Job:
    job = Job(*(*values, False))  # `alive`, the last field
    active = job.state in ACTIVE_JOB_STATES
    alive = active and job.owner is not None and process_alive(job.owner)
    if active and not alive and job.state != JobState.PAUSED:
        return replace(job, state=JobState.INTERRUPTED)
    return replace(job, alive=alive)


def items(ask: Ask, rest: str, *values: Any) -> list[Item]:
    """The items that the rest of a SELECT names."""
    return [Item(*_ITEM.values(row)) for row in ask(_ITEM.select + rest, values)]


def _events(ask: Ask, rest: str, *values: Any) -> list[Event]:
    return [_event(*_EVENT.values(row)) for row in ask(_EVENT.select + rest, values)]


def _event(*values: Any) -> Event:
    event = Event(*values)
    told = {name: Message.from_json(event.data[name]) for name in ("text", "error") if event.data.get(name)}
    return replace(event, data={**event.data, **told})


class Reads(ABC):
    """What a ledger is asked without being changed."""

    @abstractmethod
    def _ask(self, text: str, values: Sequence[Any] = ()) -> Rows:
        """The rows of a SELECT, in a short transaction of its own."""

    # -- jobs ---------------------------------------------------------------------------------------

    def job(self, job_id: int) -> Job:
        """QueueError if there is no such job."""
        found = jobs(self._ask, "WHERE id = ?", job_id)
        if not found:
            raise QueueError(
                "There is no job {job} in this workspace: `lote list` shows those there are.",
                job=job_id,
            )
        return found[0]

    def jobs(self, kind: str | None = None) -> list[Job]:
        """All jobs, oldest first."""
        return jobs(self._ask, "WHERE kind = ? ORDER BY id", kind) if kind else jobs(self._ask, "ORDER BY id")

    def current_job(self, kind: str | None = None) -> Job:
        """The running job (of this kind), else the one submitted last. QueueError when there is none."""
        found = self.jobs(kind)
        if not found:
            raise QueueError("There is no job in this workspace yet: `lote colorize INPUT` makes one.")
        running = [job for job in found if job.state in LOCKED_JOB_STATES]
        return running[0] if running else max(found, key=lambda job: job.submitted_at)

    # -- items --------------------------------------------------------------------------------------

    def items(self, job_id: int, *states: ItemState) -> Iterator[Item]:
        """The job's items in order, or those in one of these states, read in short transactions."""
        last = -1
        which = f"AND state IN ({', '.join('?' * len(states))}) " if states else ""
        while True:
            rest = f"WHERE job_id = ? AND ordinal > ? {which}ORDER BY ordinal LIMIT ?"
            found = items(self._ask, rest, job_id, last, *states, CHUNK)
            yield from found
            if len(found) < CHUNK:
                return
            last = found[-1].ordinal

    def window(self, job_id: int, start: int, count: int, *, state: ItemState | None = None) -> list[Item]:
        """`count` of the job's items in order, from position `start` on: what fits on a screen."""
        which, values = ("AND state = ? ", (state,)) if state is not None else ("", ())
        rest = f"WHERE job_id = ? {which}ORDER BY ordinal LIMIT ? OFFSET ?"
        return items(self._ask, rest, job_id, *values, count, start)

    def item(self, job_id: int, key: str) -> Item | None:
        found = items(self._ask, "WHERE job_id = ? AND key = ?", job_id, stored_path(key))
        return found[0] if found else None

    def item_of(self, job_id: int, item_id: int) -> Item | None:
        """The item with this id, if it is one of the job's."""
        found = items(self._ask, "WHERE job_id = ? AND id = ?", job_id, item_id)
        return found[0] if found else None

    def owners_of(self, outputs: Sequence[str]) -> dict[str, Item]:
        """For each of these output paths that an item of any job has: the item that wrote it last."""
        places = ", ".join("?" * len(outputs))
        rest = f"WHERE output IN ({places}) ORDER BY finished_at ASC NULLS FIRST"
        found = items(self._ask, rest, *map(stored_path, outputs))
        return {item.output: item for item in found}

    def counts(self, job_id: int) -> dict[ItemState, int]:
        """How many items are in each of the five states, what is held back left out; constant time."""
        return self.all_counts(job_id).get(job_id, dict.fromkeys(ItemState, 0))

    def all_counts(self, *job_ids: int) -> dict[int, dict[ItemState, int]]:
        """The same of these jobs, or of all that have items, in one question."""
        text = "SELECT job_id, state, count FROM tally WHERE state != ?"
        if job_ids:
            text = " ".join((text, "AND job_id IN", "(" + ", ".join("?" * len(job_ids)) + ")"))
        found: dict[int, dict[ItemState, int]] = {}
        for job_id, state, count in self._ask(text, (HELD, *job_ids)):
            found.setdefault(job_id, dict.fromkeys(ItemState, 0))[ItemState(state)] = count
        return found

    # -- events -------------------------------------------------------------------------------------

    def events(self, job_id: int, after: int = 0, limit: int = 1000) -> list[Event]:
        """The job's news since event `after`, oldest first."""
        return _events(self._ask, "WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?", job_id, after, limit)

    def warnings(self, job_id: int) -> list[Event]:
        """The job's warnings since it was submitted last. By the order of events: clocks are set back."""
        submitted = (
            "SELECT coalesce(max(id), 0) FROM event WHERE job_id = ? AND kind = ? "
            "AND json_extract(data, '$.submitted') IS NOT NULL"
        )
        rest = f"WHERE job_id = ? AND kind = ? AND id > ({submitted}) ORDER BY id"
        return _events(self._ask, rest, job_id, EventKind.WARNING, job_id, EventKind.STATE)

    def finished(self, job_id: int, limit: int) -> list[float]:
        """When the last pages of a job settled that were not cancelled, oldest first (seconds since 1970)."""
        text = (
            "SELECT at FROM event WHERE job_id = ? AND kind = ? AND json_extract(data, '$.state') != ? "
            "ORDER BY id DESC LIMIT ?"
        )
        rows = self._ask(text, (job_id, EventKind.PAGE, ItemState.CANCELLED, limit))
        return [at for (at,) in rows][::-1]

    def last_event(self, job_id: int) -> int:
        ((newest,),) = self._ask("SELECT max(id) FROM event WHERE job_id = ?", (job_id,))
        return newest or 0


class Glance(Reads):
    """A look at the ledger in the SQLite file at `path`, which is there; from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._one_at_a_time = RLock()
        self._connection: sqlite3.Connection | None = None
        self._ledger: Ledger | None = None

    def _ask(self, text: str, values: Sequence[Any] = ()) -> Rows:
        with self._one_at_a_time:
            if self._ledger is None:
                with suppress(sqlite3.Error):
                    if self._connection is None:
                        self._connection = _opened(self._path)
                    if self._connection is not None:
                        return self._connection.execute(text, values).fetchall()
                self.close()
                from .ledger import Ledger

                self._ledger = Ledger(self._path)
            return self._ledger._ask(text, values)  # noqa: SLF001 - one of its kind

    def close(self) -> None:
        with self._one_at_a_time:
            if self._connection is not None:
                self._connection.close()
            if self._ledger is not None:
                self._ledger.close()
            self._connection = self._ledger = None


def _opened(path: Path) -> sqlite3.Connection | None:
    """The database, if its tables are those of this version."""
    # Not `mode=ro`: what a process that was killed has left half written, the next that looks has to undo.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", GLANCE_S, uri=True, isolation_level=None, check_same_thread=False
    )
    with suppress(sqlite3.Error):
        steps = connection.execute("SELECT max(name) FROM migration WHERE room = 'ledger'").fetchone()
        if steps == (LATEST_STEP,):
            return connection
    connection.close()
    return None
