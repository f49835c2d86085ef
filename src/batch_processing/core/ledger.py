"""The ledger: the only truth about jobs and their items, and the only file with its SQL.

Promises: every move of an item is one compare-and-set that touches one row and is fenced by the
lease token; what a committed call returned survives any crash; counts are kept by triggers, so that
asking costs the same at ten items and at a million. Wishes (`want`) may be written by anybody, states
of jobs only by the process that holds the lock of their kind, or that owns the job while nobody runs
it. Workers never see this file. docs/ledger.md tells the whole protocol.

    item:  pending -> processing -> completed | failed | cancelled
           processing -> pending            (lease released or lost)
           terminal   -> pending            (`retry`, or a new generation in `plan`)
    job:   queued -> planning -> running <-> paused -> finishing -> done | failed | cancelled
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from ..exceptions import QueueError
from .database import Database
from .workspace import process_alive

# The log keeps the newest of its rows: enough for a night of work, small enough to copy in a second.
EVENTS_KEPT = 50_000
CHUNK = 500

TERMINAL = ("completed", "failed", "cancelled")
STATES = ("pending", "processing", *TERMINAL)
# States of a job in which some process holds the lock of its kind, unless it died.
LOCKED_JOB_STATES = ("planning", "running", "paused", "finishing")
ACTIVE_JOB_STATES = ("queued", *LOCKED_JOB_STATES)

# The generation of items that failed or were cancelled before the job was submitted again: older than every
# other. Not told by times: a clock that was ahead when they failed would keep them from being done again.
ASKED_AGAIN = -1

metadata = sa.MetaData()
T = TypeVar("T")


def _stored(value: str | None) -> str | bytes | None:
    if value is not None:
        try:
            value.encode()
        except UnicodeEncodeError:
            return os.fsencode(value)
    return value


class FsText(sa.TypeDecorator[str]):
    """A path, or a sentence with a path in it. What is not UTF-8 (surrogateescape) is stored as bytes."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        return _stored(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return os.fsdecode(value) if isinstance(value, bytes) else value


job_table = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("output", FsText, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("wanted", sa.Text, nullable=False, default="run"),
    sa.Column("owner", sa.JSON),
    sa.Column("generation", sa.Integer, nullable=False, default=0),
    sa.Column("phase", sa.Text, nullable=False, default=""),
    sa.Column("error", FsText),
    sa.Column("exit_code", sa.Integer),
    sa.Column("result", sa.JSON, nullable=False, default=dict),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("submitted_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sqlite_autoincrement=True,  # a number that a person has written down never means another job
)
source_table = sa.Table(
    "source",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    sa.Column("key", FsText, nullable=False),
    sa.Column("sort", FsText, nullable=False),
    sa.Column("path", FsText, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text),
    sa.Column("facts", sa.JSON),
    sa.Column("role", sa.Text),
    sa.Column("written", sa.Text),  # hash of the copy that we put into the output
    sa.UniqueConstraint("job_id", "key"),
    sa.Index("source_order", "job_id", "sort"),
)
item_table = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    sa.Column("key", FsText, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("input_hash", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("work", sa.JSON, nullable=False),
    sa.Column("cost", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.Text, nullable=False, default="pending"),
    sa.Column("token", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("deaths", sa.Integer, nullable=False, default=0),
    sa.Column("output", FsText, nullable=False),
    sa.Column("intent", sa.Text),
    sa.Column("output_hash", sa.Text),
    sa.Column("details", sa.JSON),
    sa.Column("reused", sa.Boolean, nullable=False, default=False),
    sa.Column("approved", sa.Boolean, nullable=False, default=False),
    sa.Column("held", sa.Boolean, nullable=False, default=False),
    sa.Column("forced", sa.Boolean, nullable=False, default=False),
    sa.Column("turn", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("place", sa.JSON),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sa.Column("seconds", sa.Float),
    sa.Column("error_type", sa.Text),
    sa.Column("error", FsText),
    sa.UniqueConstraint("job_id", "key"),
    sa.Index("item_claim", "job_id", "held", "state", sa.text("priority DESC"), "turn", "ordinal"),
    sa.Index("item_order", "job_id", "ordinal"),
    sa.Index("item_output", "output"),
)
tally_table = sa.Table(
    "tally",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
event_table = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Integer, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", FsText),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("event_job", "job_id", "id"),
    sqlite_autoincrement=True,
)


def _initial(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    # What is held back (`--pages`) is counted apart from what is to be done.
    add = (
        "INSERT INTO tally VALUES (NEW.job_id, CASE WHEN NEW.held THEN 'held' ELSE NEW.state END, 1) "
        "ON CONFLICT (job_id, state) DO UPDATE SET count = count + 1;"
    )
    remove = (
        "UPDATE tally SET count = count - 1 WHERE job_id = OLD.job_id "
        "AND state = CASE WHEN OLD.held THEN 'held' ELSE OLD.state END;"
    )
    for name, when, body in (
        ("item_added", "INSERT", add),
        ("item_moved", "UPDATE OF state, held", remove + add),
        ("item_removed", "DELETE", remove),
    ):
        connection.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {when} ON item BEGIN {body} END")


def _turns(connection: sa.Connection) -> None:
    """Items that are done together, and their order (`Ledger.arrange`)."""
    if any(column["name"] == "turn" for column in sa.inspect(connection).get_columns("item")):
        return  # made by this version
    connection.exec_driver_sql("ALTER TABLE item ADD COLUMN turn INTEGER NOT NULL DEFAULT 0")
    connection.exec_driver_sql("ALTER TABLE item ADD COLUMN place JSON")
    connection.exec_driver_sql("DROP INDEX item_claim")
    (claim,) = (index for index in item_table.indexes if index.name == "item_claim")
    claim.create(connection)


MIGRATIONS = (("0001_initial", _initial), ("0002_turns", _turns))


@dataclass(frozen=True)
class Job:
    """One row of `job`. `alive`: the process that runs or awaits it is there; where it is not, an
    active `state` reads "interrupted" (but a job that was paused stays paused). `exit_code`: what the
    error that stopped the job makes of a command."""

    id: int
    kind: str
    inputs: list[str]
    output: str
    config: dict[str, Any]
    priority: int
    state: str
    wanted: str
    owner: dict[str, Any] | None
    generation: int
    phase: str
    error: str | None
    exit_code: int | None
    result: dict[str, Any]
    created_at: float
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    alive: bool

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Standstill:
    """All jobs, oldest first, at a moment at which nobody can begin one."""

    jobs: list[Job]
    _connection: sa.Connection

    def approved(self, number: int) -> list[str]:
        """The outputs of a job's pages that a person has approved."""
        t = item_table
        query = sa.select(t.c.output).where(t.c.job_id == number, t.c.approved)
        return list(self._connection.scalars(query))

    def reconfigure(self, number: int, config: dict[str, Any]) -> None:
        """Give a job another configuration, for its next run."""
        self._connection.execute(job_table.update().where(job_table.c.id == number).values(config=config))


@dataclass(frozen=True)
class Source:
    """Something found in a job's inputs. `facts` (what examining it gave) is None until examined."""

    key: str
    sort: str
    path: str
    origin: str
    identity: str
    sha256: str | None = None
    facts: dict[str, Any] | None = None
    role: str | None = None
    written: str | None = None
    id: int = 0


@dataclass(frozen=True)
class ItemSpec:
    """What `plan` is told about an item: everything that decides its output is in `fingerprint`."""

    key: str
    ordinal: int
    input_hash: str
    fingerprint: str
    work: dict[str, Any]
    output: str
    priority: int = 0
    cost: int = 0
    held: bool = False  # planned, but not to be done in this run
    keep: bool = False  # completed and changed by somebody else since: not ours to redo
    redo: bool = False  # completed, but its file is gone


@dataclass(frozen=True)
class Item:
    """One row of `item`. `turn`: items of the same one are done together (0: each by itself); `place`:
    (number, count) of the item among those of its turn."""

    id: int
    job_id: int
    key: str
    ordinal: int
    generation: int
    priority: int
    input_hash: str
    fingerprint: str
    work: dict[str, Any]
    cost: int
    state: str
    token: str | None
    attempts: int
    deaths: int
    output: str
    intent: str | None
    output_hash: str | None
    details: dict[str, Any] | None
    reused: bool
    approved: bool
    held: bool
    forced: bool
    turn: int
    place: list[int] | None
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    error_type: str | None
    error: str | None

    @property
    def batch(self) -> int | str | None:
        """The same for leased items that are to be done together. What was there when a worker died goes
        alone: if it happens again, it is known which item it was."""
        return self.turn if self.turn and not self.deaths else self.token


@dataclass(frozen=True)
class Settlement:
    """The end of one lease: `state` "completed" with hash and details, "failed" with the error,
    "cancelled", or "pending" to give the item back (`died` when its worker died)."""

    item_id: int
    token: str
    state: str
    output_hash: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error_type: str | None = None
    error: str | None = None
    died: bool = False


@dataclass(frozen=True)
class Event:
    """One line of news. `kind`: "page" (an item settled), "note", "warning" or "state"."""

    id: int
    job_id: int
    at: float
    kind: str
    key: str | None
    data: dict[str, Any]


def job_key(kind: str, inputs: Sequence[str], output: str) -> str:
    """What makes two submissions the same job: kind, absolute inputs in order, absolute output."""
    return hashlib.sha256(json.dumps([kind, list(inputs), output]).encode()).hexdigest()


class Ledger:
    """The ledger in the SQLite file at `path` (":memory:" for one that lives with the process)."""

    def __init__(self, path: str | Path, *, journal: str | None = None) -> None:
        self.database = Database(Path(path) if str(path) != ":memory:" else ":memory:", journal=journal)
        self.database.migrate("ledger", MIGRATIONS)

    def close(self) -> None:
        self.database.close()

    # -- jobs ---------------------------------------------------------------------------------------

    def submit(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        config: dict[str, Any],
        *,
        priority: int = 0,
        owner: dict[str, Any] | None = None,
    ) -> Job:
        """Ask for a job to be run. The same (kind, inputs, output) is the same job number again.

        A job that a living process runs or awaits stays as it is, whatever the new config says."""
        key = job_key(kind, inputs, output)
        now = time.time()
        with self.database.write() as connection:
            row = connection.execute(sa.select(job_table).where(job_table.c.key == key)).one_or_none()
            if row is None:
                number = connection.scalars(
                    job_table.insert().returning(job_table.c.id).values(
                        kind=kind, key=key, inputs=list(inputs), output=output, config=config, priority=priority,
                        state="queued", wanted="run", owner=owner, created_at=now, submitted_at=now,
                    )
                ).one()  # fmt: skip
            else:
                number = row.id
                if not (row.state in ACTIVE_JOB_STATES and row.owner and process_alive(row.owner)):
                    connection.execute(
                        job_table.update()
                        .where(job_table.c.id == number)
                        .values(
                            config=config, priority=priority, state="queued", wanted="run", owner=owner,
                            submitted_at=now, phase="", error=None, exit_code=None, started_at=None, finished_at=None,
                        )
                    )  # fmt: skip
                    connection.execute(
                        item_table.update()
                        .where(item_table.c.job_id == number, item_table.c.state.in_(("failed", "cancelled")))
                        .values(generation=ASKED_AGAIN)
                    )
        return self.job(number)

    def job(self, number: int) -> Job:
        """QueueError if there is no such job."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(job_table).where(job_table.c.id == number)).one_or_none()
        if row is None:
            raise QueueError(
                f"There is no job {number} in this workspace: `lote list` shows those there are."
            )
        return _job(row)

    def find(self, kind: str, inputs: Sequence[str], output: str) -> Job | None:
        """The job of these inputs and this output, if there is one."""
        query = sa.select(job_table).where(job_table.c.key == job_key(kind, inputs, output))
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _job(row)

    def reconfigure(self, number: int, config: dict[str, Any]) -> None:
        """Give a job that nobody runs another configuration, for its next run."""
        self._update_job(number, config=config)

    def jobs(self, kind: str | None = None) -> list[Job]:
        """All jobs, oldest first."""
        query = sa.select(job_table).order_by(job_table.c.id)
        if kind:
            query = query.where(job_table.c.kind == kind)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [_job(row) for row in rows]

    @contextmanager
    def standstill(self) -> Iterator[Standstill]:
        """What is true of all jobs for as long as the block lasts: whoever begins one must write its state first,
        and waits meanwhile, as every other commit does. For a few renames, not for work."""
        with self.database.write() as connection:
            rows = connection.execute(sa.select(job_table).order_by(job_table.c.id)).all()
            yield Standstill([_job(row) for row in rows], connection)

    def current_job(self, kind: str) -> Job:
        """The running job, else the one submitted last. QueueError when there is none."""
        jobs = self.jobs(kind)
        if not jobs:
            raise QueueError("There is no job in this workspace yet: `lote colorize INPUT` makes one.")
        running = [job for job in jobs if job.state in ("planning", "running", "paused", "finishing")]
        return running[0] if running else max(jobs, key=lambda job: job.submitted_at)

    def adopt(
        self, number: int, owner: dict[str, Any], *, keep_wish: bool = False, certain: bool = False
    ) -> bool:
        """Make `owner` the process that awaits a job which nobody runs or awaits; False if somebody does, or may.

        The job is wanted to run, unless `keep_wish`: who takes a dead process's place inherits what was
        wanted of it. A job that some process began is taken only when the caller is `certain`, by the lock of
        its kind, that nobody runs it: that its owner looks dead is not enough, and that it lives does not count."""
        t = job_table
        with self.database.write() as connection:
            row = connection.execute(sa.select(t.c.owner, t.c.state).where(t.c.id == number)).one_or_none()
            if row is None:
                raise QueueError(f"There is no job {number} in this workspace.")
            begun = row.state in LOCKED_JOB_STATES and row.owner
            awaited = row.state == "queued" and row.owner and row.owner != owner
            if (begun and not certain) or (awaited and process_alive(row.owner)):
                return False
            self._enqueue(connection, number, owner, **({} if keep_wish else {"wanted": "run"}))
        return True

    def resign(self, number: int, owner: dict[str, Any]) -> None:
        """Await the job no longer, so that nobody waits behind a job that nobody will run."""
        t = job_table
        with self.database.write() as connection:
            row = connection.execute(sa.select(t.c.owner, t.c.state).where(t.c.id == number)).one()
            if (row.owner, row.state) == (owner, "queued"):
                connection.execute(t.update().where(t.c.id == number).values(owner=None, state="paused"))
                _say(connection, number, "state", None, {"state": "paused"})

    def _enqueue(self, connection: sa.Connection, number: int, owner: dict[str, Any], **values: Any) -> None:
        values |= {"owner": owner, "state": "queued", "error": None, "exit_code": None, "finished_at": None}
        connection.execute(job_table.update().where(job_table.c.id == number).values(**values))
        _say(connection, number, "state", None, {"state": "queued"})

    def is_next(self, number: int) -> bool:
        """Whether no other job of its kind that a living process awaits goes first.

        Jobs that run need not be asked about: whoever runs one holds the lock."""
        t = job_table
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(t.c.id, t.c.owner, t.c.priority, t.c.submitted_at).where(
                    t.c.kind == sa.select(t.c.kind).where(t.c.id == number).scalar_subquery(),
                    sa.or_(t.c.id == number, sa.and_(t.c.state == "queued", t.c.wanted != "pause")),
                )
            ).all()
        order = {row.id: (-row.priority, row.submitted_at, row.id) for row in rows}
        return not any(
            order[row.id] < order[number] and row.owner and process_alive(row.owner) for row in rows
        )

    def want(self, number: int, wish: str) -> None:
        """Wish "run", "pause" or "cancel"; the process that runs the job makes it true."""
        self._update_job(number, wanted=wish)

    def wanted(self, number: int) -> str:
        with self.database.read() as connection:
            return str(connection.scalar(sa.select(job_table.c.wanted).where(job_table.c.id == number)))

    def set_job(self, number: int, **values: Any) -> None:
        """Write `state`, `phase`, `error`, `result` and so on; each change of state is an event.
        Only for the process that holds the lock."""
        self._update_job(number, **values)

    def _update_job(self, number: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(job_table.update().where(job_table.c.id == number).values(**values))
            if "state" in values:
                _say(connection, number, "state", None, {"state": values["state"]})

    def forget(self, number: int) -> None:
        """Drop the job's rows; its files are the caller's business."""
        with self.database.write() as connection:
            for table in (item_table, source_table, event_table):
                connection.execute(table.delete().where(table.c.job_id == number))
            connection.execute(tally_table.delete().where(tally_table.c.job_id == number))
            connection.execute(job_table.delete().where(job_table.c.id == number))

    # -- sources ------------------------------------------------------------------------------------

    def found(self, number: int, generation: int, sources: Iterable[Source]) -> None:
        """Record what stands in the inputs. What was examined under the same identity stays examined."""
        for chunk in chunks(sources, CHUNK):
            rows = [
                {
                    "job_id": number, "generation": generation, "key": s.key, "sort": s.sort, "path": s.path,
                    "origin": s.origin, "identity": s.identity, "sha256": s.sha256,
                }
                for s in chunk
            ]  # fmt: skip
            statement = upsert(source_table)
            same = source_table.c.identity == statement.excluded.identity
            statement = statement.on_conflict_do_update(
                index_elements=["job_id", "key"],
                set_={
                    "facts": sa.case((same, source_table.c.facts), else_=sa.null()),
                    "sha256": sa.case((same, source_table.c.sha256), else_=statement.excluded.sha256),
                    "role": None,
                    **{
                        name: statement.excluded[name]
                        for name in ("sort", "path", "origin", "identity", "generation")
                    },
                },
            )
            with self.database.write() as connection:
                connection.execute(statement, rows)

    def drop_old_sources(self, number: int, generation: int) -> None:
        """Forget sources that this generation did not find."""
        with self.database.write() as connection:
            connection.execute(
                source_table.delete().where(
                    source_table.c.job_id == number, source_table.c.generation != generation
                )
            )

    def sources(self, number: int, *, unexamined: bool = False, role: str | None = None) -> Iterator[Source]:
        """The job's sources in natural order, read in short transactions."""
        last: tuple[str, int] | None = None
        while True:
            query = (
                sa.select(source_table)
                .where(source_table.c.job_id == number)
                .order_by(source_table.c.sort, source_table.c.id)
                .limit(CHUNK)
            )
            if unexamined:
                query = query.where(source_table.c.facts.is_(None))
            if role is not None:
                query = query.where(source_table.c.role == role)
            if last is not None:
                query = query.where(sa.tuple_(source_table.c.sort, source_table.c.id) > sa.tuple_(*last))
            with self.database.read() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                yield Source(
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
                )
            if len(rows) < CHUNK:
                return
            last = (rows[-1].sort, rows[-1].id)

    def examined(self, facts: Iterable[tuple[int, str | None, dict[str, Any]]]) -> None:
        """Record (source id, sha256, facts) of sources that were looked at."""
        with self.database.write() as connection:
            for source_id, sha256, fact in facts:
                connection.execute(
                    source_table.update()
                    .where(source_table.c.id == source_id)
                    .values(sha256=sha256, facts=fact)
                )

    def assign(self, roles: Iterable[tuple[int, str]]) -> None:
        """Record (source id, role): "page", "copy", "kept", "reference" or "left out"."""
        for chunk in chunks(roles, CHUNK):
            with self.database.write() as connection:
                connection.execute(
                    source_table.update().where(source_table.c.id == sa.bindparam("which")),
                    [{"which": source_id, "role": role} for source_id, role in chunk],
                )

    def copied(self, source_id: int, sha256: str) -> None:
        """Record that a copy of this source now stands in the output."""
        with self.database.write() as connection:
            connection.execute(
                source_table.update().where(source_table.c.id == source_id).values(written=sha256)
            )

    # -- items --------------------------------------------------------------------------------------

    def plan(self, number: int, generation: int, specs: Iterable[ItemSpec]) -> None:
        """Bring the items of a job up to date with `specs`.

        An item that was completed with the same fingerprint and output, or was approved, is reused; any
        other begins anew as pending. What failed or was cancelled does so when somebody has submitted the job since,
        and stays as it is when another page was asked for (`retry`)."""
        t = item_table
        for chunk in chunks(specs, CHUNK):
            with self.database.write() as connection:
                known = {
                    row.key: row
                    for row in connection.execute(
                        sa.select(
                            t.c.key,
                            t.c.id,
                            t.c.fingerprint,
                            t.c.output,
                            t.c.state,
                            t.c.approved,
                            t.c.generation,
                        ).where(t.c.job_id == number, t.c.key.in_([spec.key for spec in chunk]))
                    )
                }
                fresh: list[dict[str, Any]] = []
                for spec in chunk:
                    values = {
                        "ordinal": spec.ordinal, "generation": generation, "priority": spec.priority,
                        "input_hash": spec.input_hash, "fingerprint": spec.fingerprint, "work": spec.work,
                        "cost": spec.cost, "output": spec.output, "held": spec.held,
                    }  # fmt: skip
                    row = known.get(spec.key)
                    if row is None:
                        fresh.append({"job_id": number, "key": spec.key, "state": "pending", **values})
                        continue
                    same = (row.fingerprint, row.output) == (spec.fingerprint, spec.output)
                    missed = row.state in ("failed", "cancelled")
                    if row.fingerprint != spec.fingerprint:
                        values |= {"turn": 0, "place": None}
                    if row.state == "completed" and (spec.keep or ((same or row.approved) and not spec.redo)):
                        values |= {"reused": True, "fingerprint": row.fingerprint, "output": row.output}
                    elif row.state == "pending" and same:
                        values["deaths"] = 0  # it was begun before, and `attempts` goes on counting
                    elif same and missed and row.generation != ASKED_AGAIN:
                        pass
                    elif not spec.held or row.state == "completed":
                        values |= _BLANK
                    connection.execute(t.update().where(t.c.id == row.id).values(**values))
                if fresh:
                    connection.execute(t.insert(), fresh)

    def drop_old_items(self, number: int, generation: int) -> None:
        """Forget items that this generation did not plan (their pages left the input)."""
        with self.database.write() as connection:
            connection.execute(
                item_table.delete().where(
                    item_table.c.job_id == number, item_table.c.generation != generation
                )
            )

    def arrange(self, number: int, batches: Iterable[Sequence[int]]) -> None:
        """Have items (by id) done together, a batch at a time in this order, behind those arranged before.

        It stays so until an item's fingerprint changes: who shared a batch may show in the output."""
        t = item_table
        with self.database.write() as connection:
            last = connection.scalar(sa.select(sa.func.max(t.c.turn)).where(t.c.job_id == number)) or 0
            for turn, ids in enumerate(batches, start=last + 1):
                for place, item_id in enumerate(ids):
                    values = {"turn": turn, "place": [place, len(ids)]}
                    connection.execute(t.update().where(t.c.id == item_id).values(**values))

    def append(self, number: int, spec: ItemSpec) -> None:
        """Add one item behind those there are. QueueError if the job has an item of that key."""
        t = item_table
        with self.database.write() as connection:
            if connection.scalar(sa.select(t.c.id).where(t.c.job_id == number, t.c.key == spec.key)):
                raise QueueError(f"Job {number} already has an image {spec.key!r}.")
            last = connection.scalar(sa.select(sa.func.max(t.c.ordinal)).where(t.c.job_id == number))
            connection.execute(
                t.insert().values(
                    job_id=number, key=spec.key, ordinal=(-1 if last is None else last) + 1, generation=0,
                    priority=spec.priority, input_hash=spec.input_hash, fingerprint=spec.fingerprint,
                    work=spec.work, cost=spec.cost, output=spec.output, state="pending",
                )
            )  # fmt: skip

    def waiting(self, number: int, count: int | None = None) -> list[Item]:
        """The first `count` pending items (all of them without one), in the order of `claim`."""
        t = item_table
        query = sa.select(t).where(t.c.job_id == number, t.c.held.is_(False), t.c.state == "pending")
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(*_CLAIM_ORDER).limit(count)).all()
        return [_item(row) for row in rows]

    def drop_pending(self, number: int) -> None:
        """Forget the items that nobody has begun."""
        t = item_table
        with self.database.write() as connection:
            connection.execute(t.delete().where(t.c.job_id == number, t.c.state == "pending"))

    def claim(self, number: int, count: int) -> list[Item]:
        """Lease up to `count` pending items, highest priority first, then in order."""
        with self.database.write() as connection:
            return _claim(connection, number, count)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """End leases, in one commit. A late result, whose lease was lost, touches nothing."""
        if settlements:
            with self.database.write() as connection:
                _settle(connection, settlements)

    def advance(
        self,
        number: int,
        *,
        settle: Sequence[Settlement] = (),
        intend: Sequence[Settlement] = (),
        claim: int = 0,
    ) -> tuple[set[int], list[Item]]:
        """One step of a run in one commit, because a commit costs some fsyncs: end the leases of
        `settle`, record what the completed items of `intend` will be before their parts are renamed,
        and lease up to `claim` items, and with each the others of its `batch`.

        Returns the ids of `intend` that still hold their lease (only those may be published), and the
        items that were leased."""
        if not settle and not intend and claim < 1:
            return set(), []
        with self.database.write() as connection:
            _settle(connection, settle)
            return _intend(connection, intend), _claim(connection, number, claim, batches=True)

    def cancel_pending(self, number: int) -> int:
        """Every item that is not ended becomes cancelled; leases are void. Returns how many."""
        t = item_table
        with self.database.write() as connection:
            return connection.execute(
                t.update()
                .where(t.c.job_id == number, t.c.state.in_(("pending", "processing")))
                .values(state="cancelled", token=None, intent=None, finished_at=time.time())
            ).rowcount

    def retry(self, number: int, *, keys: Sequence[str] | None = None, everything: bool = False) -> list[str]:
        """Failed and cancelled items become pending again: all of them, those of `keys`, or, with
        `everything`, the completed ones too. What a person approved is redone only when named.
        Returns the keys."""
        t = item_table
        states = TERMINAL if everything or keys else ("failed", "cancelled")
        query = sa.select(t.c.id, t.c.key).where(t.c.job_id == number, t.c.state.in_(states))
        query = query.where(t.c.key.in_(keys)) if keys else query.where(t.c.approved.is_(False))
        with self.database.write() as connection:
            rows = connection.execute(query.order_by(t.c.ordinal)).all()
            for row in rows:
                connection.execute(t.update().where(t.c.id == row.id).values(**_BLANK, forced=True))
        return [row.key for row in rows]

    def approve(self, number: int, key: str, *, approved: bool = True) -> None:
        """Mark a completed page as approved. QueueError if it is not completed."""
        t = item_table
        with self.database.write() as connection:
            if not connection.execute(
                t.update()
                .where(t.c.job_id == number, t.c.key == key, t.c.state == "completed")
                .values(approved=approved)
            ).rowcount:
                raise QueueError(
                    f"Job {number} has no finished page {key}: `lote status {number} --pages` lists them."
                )

    def reset(self, item_id: int) -> None:
        """A completed item whose file is gone begins anew."""
        with self.database.write() as connection:
            connection.execute(item_table.update().where(item_table.c.id == item_id).values(**_BLANK))

    def items(self, number: int, *, state: str | None = None) -> Iterator[Item]:
        """The job's items in order, read in short transactions."""
        t = item_table
        last = -1
        while True:
            query = (
                sa.select(t)
                .where(t.c.job_id == number, t.c.ordinal > last)
                .order_by(t.c.ordinal)
                .limit(CHUNK)
            )
            if state is not None:
                query = query.where(t.c.state == state)
            with self.database.read() as connection:
                rows = connection.execute(query).all()
            yield from (_item(row) for row in rows)
            if len(rows) < CHUNK:
                return
            last = rows[-1].ordinal

    def window(self, number: int, start: int, count: int, *, state: str | None = None) -> list[Item]:
        """`count` of the job's items in order, from position `start` on: what fits on a screen."""
        t = item_table
        query = sa.select(t).where(t.c.job_id == number).order_by(t.c.ordinal).offset(start).limit(count)
        if state is not None:
            query = query.where(t.c.state == state)
        with self.database.read() as connection:
            return [_item(row) for row in connection.execute(query).all()]

    def item_of(self, number: int, item_id: int) -> Item | None:
        """The item with this id, if it is one of the job's."""
        t = item_table
        with self.database.read() as connection:
            row = connection.execute(
                sa.select(t).where(t.c.job_id == number, t.c.id == item_id)
            ).one_or_none()
        return None if row is None else _item(row)

    def item(self, number: int, key: str) -> Item | None:
        with self.database.read() as connection:
            row = connection.execute(
                sa.select(item_table).where(item_table.c.job_id == number, item_table.c.key == key)
            ).one_or_none()
        return None if row is None else _item(row)

    def owners_of(self, outputs: Sequence[str]) -> dict[str, Item]:
        """For each of these output paths that an item of any job has: the item that wrote it last."""
        t = item_table
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(t).where(t.c.output.in_(outputs)).order_by(t.c.finished_at.asc().nulls_first())
            ).all()
        return {row.output: _item(row) for row in rows}

    def counts(self, number: int) -> dict[str, int]:
        """How many items are in each of the five states, what is held back left out; constant time."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(tally_table).where(tally_table.c.job_id == number)).all()
        counts = dict.fromkeys(STATES, 0)
        counts.update({row.state: row.count for row in rows if row.state in counts})
        return counts

    def held(self, number: int) -> int:
        """How many items are planned but were not asked for (`--pages`, a preview)."""
        with self.database.read() as connection:
            query = sa.select(tally_table.c.count).where(
                tally_table.c.job_id == number, tally_table.c.state == "held"
            )
            return connection.scalar(query) or 0

    def reused(self, number: int) -> int:
        """How many completed items were taken over from an earlier run."""
        t = item_table
        query = sa.select(sa.func.count()).where(
            t.c.job_id == number, t.c.reused.is_(True), t.c.held.is_(False)
        )
        with self.database.read() as connection:
            return connection.scalar(query) or 0

    # -- events -------------------------------------------------------------------------------------

    def say(self, number: int, kind: str, text: str, key: str | None = None) -> None:
        """Add a "note" or a "warning" to the job's news."""
        with self.database.write() as connection:
            _say(connection, number, kind, key, {"text": text})

    def events(self, number: int, after: int = 0, limit: int = 1000) -> list[Event]:
        """The job's news since event `after`, oldest first."""
        query = (
            sa.select(event_table)
            .where(event_table.c.job_id == number, event_table.c.id > after)
            .order_by(event_table.c.id)
            .limit(limit)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [Event(row.id, row.job_id, row.at, row.kind, row.key, row.data) for row in rows]

    def warnings(self, number: int, since: float) -> list[Event]:
        """The job's warnings from that moment on (seconds since the epoch)."""
        query = (
            sa.select(event_table)
            .where(event_table.c.job_id == number, event_table.c.kind == "warning", event_table.c.at >= since)
            .order_by(event_table.c.id)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [Event(row.id, row.job_id, row.at, row.kind, row.key, row.data) for row in rows]

    def last_event(self, number: int) -> int:
        with self.database.read() as connection:
            query = sa.select(sa.func.max(event_table.c.id)).where(event_table.c.job_id == number)
            return connection.scalar(query) or 0


# An item as it was before anybody worked on it. `deaths` starts anew: somebody changed something.
# `output_hash` stays: it tells whether the file that stands there is ours to replace.
_BLANK: dict[str, Any] = {
    "state": "pending", "token": None, "intent": None, "details": None, "reused": False,
    "approved": False, "attempts": 0, "deaths": 0, "started_at": None, "finished_at": None, "seconds": None,
    "error_type": None, "error": None,
}  # fmt: skip


# The three statements of a step run for every item, thousands of times: as plain SQL they cost a tenth
# of what building them anew does.
_END = (
    "UPDATE item SET state = ?, token = NULL, intent = NULL, details = ?, seconds = ?, finished_at = ?, "
    "error_type = ?, error = ?, reused = 0, approved = 0, forced = 0, output_hash = coalesce(?, output_hash) "
    "WHERE id = ? AND token = ? AND state = 'processing' RETURNING job_id, key"
)
_GIVE_BACK = (
    "UPDATE item SET state = 'pending', token = NULL, intent = NULL, deaths = deaths + ? "
    "WHERE id = ? AND token = ? AND state = 'processing'"
)
_INTEND = (
    "UPDATE item SET intent = ?, details = ?, seconds = ? WHERE id = ? AND token = ? AND state = 'processing'"
)
_LEASE = "UPDATE item SET state = 'processing', token = ?, attempts = ?, started_at = ? WHERE id = ?"
_TELL = "INSERT INTO event (job_id, at, kind, key, data) VALUES (?, ?, 'page', ?, ?) RETURNING id"


def _settle(connection: sa.Connection, settlements: Sequence[Settlement]) -> None:
    now = time.time()
    for s in settlements:
        if s.state == "pending":
            connection.exec_driver_sql(_GIVE_BACK, (int(s.died), s.item_id, s.token))
            continue
        values = (
            s.state,
            json.dumps(s.details),
            s.seconds,
            now,
            s.error_type,
            _stored(s.error),
            s.output_hash,
        )
        row = connection.exec_driver_sql(_END, (*values, s.item_id, s.token)).one_or_none()
        if row is not None:  # else its lease was lost
            news = json.dumps({"state": s.state, "seconds": round(s.seconds, 3), "error": s.error})
            event = connection.exec_driver_sql(_TELL, (row[0], now, row[1], news)).scalar_one()
            _forget_old(connection, event)


def _intend(connection: sa.Connection, intents: Sequence[Settlement]) -> set[int]:
    return {
        s.item_id
        for s in intents
        if connection.exec_driver_sql(
            _INTEND, (s.output_hash, json.dumps(s.details), s.seconds, s.item_id, s.token)
        ).rowcount
    }


_CLAIM_ORDER = (item_table.c.priority.desc(), item_table.c.turn, item_table.c.ordinal)


def _claim(connection: sa.Connection, number: int, count: int, *, batches: bool = False) -> list[Item]:
    t = item_table
    if count < 1:
        return []
    # Nobody can change these rows before they are leased: the transaction has the write lock.
    waiting = sa.select(t).where(t.c.job_id == number, t.c.held.is_(False), t.c.state == "pending")
    rows = {row.id: row for row in connection.execute(waiting.order_by(*_CLAIM_ORDER).limit(count))}
    for row in list(rows.values()):
        if batches and row.turn and not row.deaths:
            company = waiting.where(t.c.turn == row.turn, t.c.deaths == 0).order_by(t.c.ordinal)
            rows |= {other.id: other for other in connection.execute(company)}
    now = time.time()
    claimed = []
    for row in rows.values():
        token, attempts = secrets.token_hex(8), row.attempts + 1
        connection.exec_driver_sql(_LEASE, (token, attempts, now, row.id))
        claimed.append(_item(row, state="processing", token=token, attempts=attempts, started_at=now))
    return claimed


def _say(connection: sa.Connection, number: int, kind: str, key: str | None, data: dict[str, Any]) -> None:
    row = event_table.insert().values(job_id=number, at=time.time(), kind=kind, key=key, data=data)
    _forget_old(connection, connection.scalars(row.returning(event_table.c.id)).one())


def _forget_old(connection: sa.Connection, newest: int) -> None:
    if newest % 1000 == 0:
        connection.execute(event_table.delete().where(event_table.c.id <= newest - EVENTS_KEPT))


def _job(row: sa.Row[Any]) -> Job:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's names
    del values["key"]
    active = values["state"] in ACTIVE_JOB_STATES
    alive = active and values["owner"] is not None and process_alive(values["owner"])
    if active and not alive and values["state"] != "paused":
        values["state"] = "interrupted"
    return Job(**values, alive=alive)


def _item(row: sa.Row[Any], **changes: Any) -> Item:
    return Item(**{**row._mapping, **changes})  # noqa: SLF001


def chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """`things` in lists of `size`, the last may be shorter (itertools.batched, from Python 3.12 on)."""
    chunk: list[T] = []
    for thing in things:
        chunk.append(thing)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
