"""The ledger: the only truth about jobs and their items; its SQL stands here, in `transitions` and in `reads`.

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

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from ..exceptions import QueueError
from ..messages import Message, as_message
from . import reads, transitions
from .database import Database, chunks
from .drops import DropLog
from .edits import EditLog
from .model import (
    ACTIVE_JOB_STATES,
    LOCKED_JOB_STATES,
    TERMINAL,
    EventKind,
    Item,
    ItemSpec,
    ItemState,
    Job,
    JobState,
    Outline,
    Role,
    Settlement,
    Source,
    Told,
    Wish,
)
from .plain import JsonObject
from .processes import process_alive
from .reads import CHUNK, HELD, Reads
from .schema import (
    MIGRATIONS,
    edit_table,
    event_table,
    item_table,
    job_table,
    source_table,
    tally_table,
)

T = TypeVar("T")


class Ledger(Reads):
    """The ledger in the SQLite file at `path` (":memory:" for one that lives with the process)."""

    def __init__(self, path: str | Path, *, journal: str | None = None) -> None:
        self.database = Database(Path(path) if str(path) != ":memory:" else ":memory:", journal=journal)
        self.database.migrate("ledger", MIGRATIONS)
        self.edits, self.drops = EditLog(self.database), DropLog(self.database)

    def close(self) -> None:
        self.database.close()

    def _ask(self, text: str, values: Sequence[Any] = ()) -> reads.Rows:
        with self.database.read() as connection:
            return transitions.asking(connection)(text, values)

    # -- jobs ---------------------------------------------------------------------------------------

    def submit(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        config: JsonObject,
        *,
        priority: int = 0,
        owner: JsonObject | None = None,
    ) -> Job:
        """Ask for a job to be run. The same (kind, inputs, output) is the same job number again.

        A job that a living process runs or awaits stays as it is, whatever the new config says."""
        key = transitions.job_key(kind, inputs, output)
        now = time.time()
        with self.database.write() as connection:
            known = reads.jobs(transitions.asking(connection), "WHERE key = ?", key)
            if not known:
                job_id = connection.scalars(
                    job_table.insert().returning(job_table.c.id).values(
                        kind=kind, key=key, inputs=list(inputs), output=output, config=config, priority=priority,
                        state=JobState.QUEUED, wanted=Wish.RUN, owner=owner, created_at=now, submitted_at=now,
                    )
                ).one()  # fmt: skip
            else:
                (job,) = known
                job_id = job.id
                if not job.alive:
                    connection.execute(
                        job_table.update()
                        .where(job_table.c.id == job_id)
                        .values(
                            config=config, priority=priority, state=JobState.QUEUED, wanted=Wish.RUN, owner=owner,
                            submitted_at=now, phase="", error=None, exit_code=None, started_at=None, finished_at=None,
                        )
                    )  # fmt: skip
                    connection.execute(
                        item_table.update()
                        .where(item_table.c.job_id == job_id, item_table.c.state.in_(transitions.MISSED))
                        .values(generation=transitions.ASKED_AGAIN)
                    )
                else:
                    return job
            transitions.say(
                connection, job_id, EventKind.STATE, None, {"state": JobState.QUEUED, "submitted": True}
            )
        return self.job(job_id)

    def find(self, kind: str, inputs: Sequence[str], output: str) -> Job | None:
        """The job of these inputs and this output, if there is one."""
        found = reads.jobs(self._ask, "WHERE key = ?", transitions.job_key(kind, inputs, output))
        return found[0] if found else None

    def reconfigure(self, job_id: int, config: JsonObject) -> None:
        """Give a job that nobody runs another configuration, for its next run."""
        self._update_job(job_id, config=config)

    @contextmanager
    def standstill(self) -> Iterator[transitions.Standstill]:
        """What is true of all jobs for as long as the block lasts: whoever begins one must write its state first,
        and waits meanwhile, as every other commit does. For a few renames, not for work."""
        with self.database.write() as connection:
            yield transitions.Standstill(reads.jobs(transitions.asking(connection)), connection)

    def adopt(
        self, job_id: int, owner: JsonObject, *, keep_wish: bool = False, certain: bool = False
    ) -> bool:
        """Make `owner` the process that awaits a job which nobody runs or awaits; False if somebody does, or may.

        The job is wanted to run, unless `keep_wish`: who takes a dead process's place inherits what was
        wanted of it. A job that some process began is taken only when the caller is `certain`, by the lock of
        its kind, that nobody runs it: that its owner looks dead is not enough, and that it lives does not count."""
        t = job_table
        with self.database.write() as connection:
            row = connection.execute(sa.select(t.c.owner, t.c.state).where(t.c.id == job_id)).one_or_none()
            if row is None:
                raise QueueError("There is no job {job} in this workspace.", job=job_id)
            begun = row.state in LOCKED_JOB_STATES and row.owner
            awaited = row.state == JobState.QUEUED and row.owner and row.owner != owner
            if (begun and not certain) or (awaited and process_alive(row.owner)):
                return False
            self._enqueue(connection, job_id, owner, **({} if keep_wish else {"wanted": Wish.RUN}))
        return True

    def release(self, job_id: int, owner: JsonObject) -> None:
        """Let a job that `owner` awaits be anybody's. One that was begun, or is another's by now, stays as it is."""
        t = job_table
        with self.database.write() as connection:
            row = connection.execute(sa.select(t.c.owner, t.c.state).where(t.c.id == job_id)).one_or_none()
            if row is not None and (row.owner, row.state) == (owner, JobState.QUEUED):
                connection.execute(t.update().where(t.c.id == job_id).values(owner=None))

    def reopen(self, job_id: int) -> bool:
        """Have a job be queued again, nobody's yet; False where a living process runs or awaits it by now."""
        t = job_table
        with self.database.write() as connection:
            row = connection.execute(sa.select(t.c.owner, t.c.state).where(t.c.id == job_id)).one()
            if row.state in ACTIVE_JOB_STATES and row.owner and process_alive(row.owner):
                return False
            self._enqueue(connection, job_id, None, wanted=Wish.RUN)
        return True

    def resign(self, job_id: int, owner: JsonObject) -> None:
        """Await the job no longer, so that nobody waits behind a job that nobody will run."""
        t = job_table
        with self.database.write() as connection:
            row = connection.execute(sa.select(t.c.owner, t.c.state).where(t.c.id == job_id)).one()
            if (row.owner, row.state) == (owner, JobState.QUEUED):
                connection.execute(
                    t.update().where(t.c.id == job_id).values(owner=None, state=JobState.PAUSED)
                )
                transitions.say(connection, job_id, EventKind.STATE, None, {"state": JobState.PAUSED})

    def _enqueue(
        self, connection: sa.Connection, job_id: int, owner: JsonObject | None, **values: Any
    ) -> None:
        values |= {
            "owner": owner,
            "state": JobState.QUEUED,
            "error": None,
            "exit_code": None,
            "finished_at": None,
        }
        connection.execute(job_table.update().where(job_table.c.id == job_id).values(**values))
        transitions.say(connection, job_id, EventKind.STATE, None, {"state": JobState.QUEUED})

    def is_next(self, job_id: int) -> bool:
        """Whether no other job of its kind that a living process awaits goes first.

        Jobs that run need not be asked about: whoever runs one holds the lock."""
        t = job_table
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(t.c.id, t.c.owner, t.c.priority, t.c.submitted_at).where(
                    t.c.kind == sa.select(t.c.kind).where(t.c.id == job_id).scalar_subquery(),
                    sa.or_(t.c.id == job_id, sa.and_(t.c.state == JobState.QUEUED, t.c.wanted != Wish.PAUSE)),
                )
            ).all()
        order = {row.id: (-row.priority, row.submitted_at, row.id) for row in rows}
        return not any(
            order[row.id] < order[job_id] and row.owner and process_alive(row.owner) for row in rows
        )

    def want(self, job_id: int, wish: Wish) -> None:
        """Record what a person wants of the job; the process that runs the job makes it true."""
        self._update_job(job_id, wanted=wish)

    def wanted(self, job_id: int) -> Wish:
        with self.database.read() as connection:
            return Wish(
                connection.scalars(sa.select(job_table.c.wanted).where(job_table.c.id == job_id)).one()
            )

    def set_job(self, job_id: int, **values: Any) -> None:
        """Write `state`, `phase`, `error`, `result` and so on; each change of state is an event.
        Only for the process that holds the lock."""
        self._update_job(job_id, **values)

    def _update_job(self, job_id: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(job_table.update().where(job_table.c.id == job_id).values(**values))
            if "state" in values:
                transitions.say(connection, job_id, EventKind.STATE, None, {"state": values["state"]})

    def forget(self, job_id: int) -> None:
        """Drop the job's rows; its files are the caller's business."""
        with self.database.write() as connection:
            for table in (item_table, source_table, event_table, edit_table):
                connection.execute(table.delete().where(table.c.job_id == job_id))
            connection.execute(tally_table.delete().where(tally_table.c.job_id == job_id))
            connection.execute(job_table.delete().where(job_table.c.id == job_id))

    # -- sources ------------------------------------------------------------------------------------

    def found(self, job_id: int, generation: int, sources: Iterable[Source]) -> None:
        """Record what stands in the inputs. What was examined under the same identity stays examined; what comes with
        facts is known already. Roles stay those of the last run until `assign`: whoever looks on meanwhile sees its book."""
        for chunk in chunks(sources, CHUNK):
            rows = [
                {
                    "job_id": job_id, "generation": generation, "key": s.key, "sort": s.sort, "path": s.path,
                    "origin": s.origin, "identity": s.identity, "sha256": s.sha256, "facts": s.facts,
                }
                for s in chunk
            ]  # fmt: skip
            statement = upsert(source_table)
            same = source_table.c.identity == statement.excluded.identity
            statement = statement.on_conflict_do_update(
                index_elements=["job_id", "key"],
                set_={
                    "facts": sa.case(
                        (statement.excluded.facts.is_not(None), statement.excluded.facts),
                        (same, source_table.c.facts),
                        else_=sa.null(),
                    ),
                    "sha256": sa.case((same, source_table.c.sha256), else_=statement.excluded.sha256),
                    **{
                        name: statement.excluded[name]
                        for name in ("sort", "path", "origin", "identity", "generation")
                    },
                },
            )
            with self.database.write() as connection:
                connection.execute(statement, rows)

    def drop_old_sources(self, job_id: int, generation: int) -> None:
        """Forget sources that this generation did not find."""
        t = source_table
        with self.database.write() as connection:
            connection.execute(t.delete().where(t.c.job_id == job_id, t.c.generation != generation))

    def sources(self, job_id: int, *, unexamined: bool = False, role: Role | None = None) -> Iterator[Source]:
        """The job's sources in natural order, read in short transactions."""
        last: tuple[str, int] | None = None
        while True:
            query = (
                sa.select(source_table)
                .where(source_table.c.job_id == job_id)
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
                yield transitions.source_of(row)
            if len(rows) < CHUNK:
                return
            last = (rows[-1].sort, rows[-1].id)

    def examined(self, facts: Iterable[tuple[int, str | None, JsonObject]]) -> None:
        """Record (source id, sha256, facts) of sources that were looked at."""
        with self.database.write() as connection:
            for source_id, sha256, fact in facts:
                connection.execute(
                    source_table.update()
                    .where(source_table.c.id == source_id)
                    .values(sha256=sha256, facts=fact)
                )

    def assign(self, roles: Iterable[tuple[int, Role]]) -> None:
        """Record (source id, role)."""
        for chunk in chunks(roles, CHUNK):
            with self.database.write() as connection:
                connection.execute(
                    source_table.update().where(source_table.c.id == sa.bindparam("which")),
                    [{"which": source_id, "role": role} for source_id, role in chunk],
                )

    def copied(self, source_id: int, sha256: str | None, stamp: str | None = None) -> None:
        """Record that a copy of this source now stands in the output; None: that it does no more."""
        one = source_table.update().where(source_table.c.id == source_id)
        with self.database.write() as connection:
            connection.execute(one.values(written=sha256, written_stamp=stamp))

    # -- items --------------------------------------------------------------------------------------

    def plan(self, job_id: int, generation: int, specs: Iterable[ItemSpec]) -> None:
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
                        ).where(t.c.job_id == job_id, t.c.key.in_([spec.key for spec in chunk]))
                    )
                }
                fresh: list[JsonObject] = []
                again: list[Mapping[str, object]] = []
                for spec in chunk:
                    row = known.get(spec.key)
                    if row is None:
                        first = {"job_id": job_id, "key": spec.key, "state": ItemState.PENDING}
                        fresh.append(first | transitions.described(spec, generation))
                    else:
                        again.append({"which": row.id, **transitions.replanned(spec, generation, row)})
                transitions.replan(connection, again)
                if fresh:
                    connection.execute(t.insert(), fresh)

    def drop_old_items(self, job_id: int, generation: int) -> None:
        """Forget items that this generation did not plan (their pages left the input)."""
        t = item_table
        with self.database.write() as connection:
            connection.execute(t.delete().where(t.c.job_id == job_id, t.c.generation != generation))

    def arrange(self, job_id: int, batches: Iterable[Sequence[int]]) -> None:
        """Have items (by id) done together, a batch at a time in this order, behind those arranged before.

        It stays so until an item's fingerprint changes: who shared a batch may show in the output."""
        t = item_table
        with self.database.write() as connection:
            last = connection.scalar(sa.select(sa.func.max(t.c.turn)).where(t.c.job_id == job_id)) or 0
            for turn, ids in enumerate(batches, start=last + 1):
                for place, item_id in enumerate(ids):
                    values = {"turn": turn, "place": [place, len(ids)]}
                    connection.execute(t.update().where(t.c.id == item_id).values(**values))

    def append(self, job_id: int, spec: ItemSpec) -> None:
        """Add one item behind those there are. QueueError if the job has an item of that key."""
        t = item_table
        with self.database.write() as connection:
            if connection.scalar(sa.select(t.c.id).where(t.c.job_id == job_id, t.c.key == spec.key)):
                raise QueueError("Job {job} already has an image {key}.", job=job_id, key=repr(spec.key))
            last = connection.scalar(sa.select(sa.func.max(t.c.ordinal)).where(t.c.job_id == job_id))
            connection.execute(
                t.insert().values(
                    job_id=job_id, key=spec.key, ordinal=(-1 if last is None else last) + 1, generation=0,
                    priority=spec.priority, input_hash=spec.input_hash, fingerprint=spec.fingerprint,
                    work=spec.work, cost=spec.cost, output=spec.output, state=ItemState.PENDING,
                )
            )  # fmt: skip

    def waiting(self, job_id: int, count: int | None = None) -> list[Item]:
        """The first `count` pending items (all of them without one), in the order of `claim`."""
        return transitions.waiting(self._ask, job_id, count)

    def drop_pending(self, job_id: int) -> None:
        """Forget the items that nobody has begun."""
        t = item_table
        with self.database.write() as connection:
            connection.execute(t.delete().where(t.c.job_id == job_id, t.c.state == ItemState.PENDING))

    def claim(self, job_id: int, count: int) -> list[Item]:
        """Lease up to `count` pending items, highest priority first, then in order."""
        with self.database.write() as connection:
            return transitions.claim(connection, job_id, count)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """End leases, in one commit. A late result, whose lease was lost, touches nothing."""
        if settlements:
            with self.database.write() as connection:
                transitions.settle(connection, settlements)

    def advance(
        self,
        job_id: int,
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
            transitions.settle(connection, settle)
            return transitions.intend(connection, intend), transitions.claim(
                connection, job_id, claim, batches=True
            )

    def cancel_pending(self, job_id: int) -> int:
        """Every item that is not ended becomes cancelled; leases are void. Returns how many."""
        t = item_table
        with self.database.write() as connection:
            return connection.execute(
                t.update()
                .where(t.c.job_id == job_id, t.c.state.in_((ItemState.PENDING, ItemState.PROCESSING)))
                .values(state=ItemState.CANCELLED, token=None, intent=None, finished_at=time.time())
            ).rowcount

    def retry(self, job_id: int, *, keys: Sequence[str] | None = None, everything: bool = False) -> list[str]:
        """Failed and cancelled items become pending again: all of them, those of `keys`, or, with
        `everything`, the completed ones too. What a person approved is redone only when named.
        Returns the keys."""
        t = item_table
        states = TERMINAL if everything or keys else transitions.MISSED
        query = sa.select(t.c.id, t.c.key).where(t.c.job_id == job_id, t.c.state.in_(states))
        query = query.where(t.c.key.in_(keys)) if keys else query.where(t.c.approved.is_(False))
        with self.database.write() as connection:
            rows = connection.execute(query.order_by(t.c.ordinal)).all()
            for row in rows:
                connection.execute(
                    t.update().where(t.c.id == row.id).values(**transitions.BLANK, forced=True)
                )
        return [row.key for row in rows]

    def approve(self, job_id: int, key: str, *, approved: bool = True) -> None:
        """Mark a completed page as approved. QueueError if it is not completed."""
        t = item_table
        with self.database.write() as connection:
            if not connection.execute(
                t.update()
                .where(t.c.job_id == job_id, t.c.key == key, t.c.state == ItemState.COMPLETED)
                .values(approved=approved)
            ).rowcount:
                raise QueueError(
                    "Job {job} has no finished page {page}: `lote status {job} --pages` lists them.",
                    job=job_id,
                    page=key,
                )

    def follow(self, job_id: int, folder: Path) -> None:
        """Have the pages that a workspace keeps for the job in `folder` (its `jobs/<number>/pages`) be looked for
        there, where the workspace was moved or copied since. Only for who holds the lock of the job's kind."""
        t = item_table
        inside = f"/jobs/{job_id}/pages/"
        here = f"{folder}/"
        own = f"{self.job(job_id).output}/"  # a person's folder may be called like ours
        elsewhere = sa.select(t.c.id, t.c.output).where(
            t.c.job_id == job_id,
            sa.func.instr(t.c.output, inside) > 0,
            sa.func.substr(t.c.output, 1, len(here)) != here,
        )
        with self.database.read() as connection:
            rows = connection.execute(elsewhere).all()
        moved = [
            (row.id, here + row.output.rpartition(inside)[2])
            for row in rows
            if not row.output.startswith(own)
        ]
        for chunk in chunks(moved, CHUNK):
            with self.database.write() as connection:
                for item_id, output in chunk:
                    connection.execute(t.update().where(t.c.id == item_id).values(output=output))

    def reset(self, item_id: int) -> None:
        """A completed item whose file is gone begins anew."""
        one = item_table.update().where(item_table.c.id == item_id)
        with self.database.write() as connection:
            connection.execute(one.values(**transitions.BLANK))

    def stamped(self, stamps: Iterable[tuple[int, str, str | None]]) -> None:
        """Record (item id, output hash, stamp) of outputs that were read; without a stamp they are read again."""
        t = item_table
        with self.database.write() as connection:
            for item_id, sha256, stamp in stamps:
                one = t.update().where(t.c.id == item_id, t.c.output_hash == sha256)
                connection.execute(one.values(output_stamp=stamp))

    def outline(self, job_id: int) -> list[Outline]:
        """All of the job's items in order, and little of each: 10,000 take a tenth of a second."""
        with self.database.read() as connection:
            return transitions.outline(connection, job_id)

    def told(self, job_id: int, *names: str) -> list[Told]:
        """Of all items with an output, in order, these entries of their details: 500 pages in a moment."""
        with self.database.read() as connection:
            return transitions.told(connection, job_id, names)

    def held(self, job_id: int) -> int:
        """How many items are planned but were not asked for (`--pages`, a preview)."""
        with self.database.read() as connection:
            query = sa.select(tally_table.c.count).where(
                tally_table.c.job_id == job_id, tally_table.c.state == HELD
            )
            return connection.scalar(query) or 0

    def reused(self, job_id: int) -> int:
        """How many completed items were taken over from an earlier run."""
        t = item_table
        query = sa.select(sa.func.count()).where(
            t.c.job_id == job_id, t.c.reused.is_(True), t.c.held.is_(False)
        )
        with self.database.read() as connection:
            return connection.scalar(query) or 0

    # -- events -------------------------------------------------------------------------------------

    def say(
        self, job_id: int, kind: EventKind, template: str | Message, key: str | None = None, /, **values: Any
    ) -> None:
        """Add a note or a warning to the job's news: a message, or a template and its values."""
        with self.database.write() as connection:
            transitions.say(connection, job_id, kind, key, {"text": as_message(template, **values).to_json()})
