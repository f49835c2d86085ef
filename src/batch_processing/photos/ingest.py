"""Scanning folders of photos: one walker, several hashing processes, one writer.

    for batch in Scan(store, [b"/photos"]).run():
        ...

Promises: a photo is read once and only when it has to be; whole batches are committed before they are
handed out; a batch is taken when the next one is asked for, and one that was not is handed out again by
the next scan of the same folders; killed at any moment, that scan goes on and redoes three batches at most.
Memory does not grow with the number of files, but for ten bytes each. One bad file never ends a scan.
Refuses to call a library missing whose drive is (`ScanGuardError`). Does not decode.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..core.processes import cores
from ..core.resources import Meter, Took, peak_memory
from ..core.workspace import Workspace
from ..exceptions import BatchProcessingError, ValidationError
from ..messages import Message
from .contents import with_index, without_index
from .ending import ScanGuardError, find_lost_folders, finish, known_below
from .flight import Flight
from .hashing import MOST_READERS, Candidate, Hashers, choose_readers, join
from .names import Listings
from .reading import unexpected
from .scan_stats import ScanPlan, ScanStats
from .settle import BatchWriter, OpenBatch, Photo, Record, Tally, record
from .steps import Outcome, Recovered, recover
from .store import Driver, Store, scan_lock, scan_roots
from .tables import (
    CHANGED,
    FINISHED,
    MOVED,
    NEW,
    OPEN,
    RUNNING,
    SETTLED,
    STOPPED,
    TAKEN,
    batches,
    directories,
    duplicates,
    errors,
    photos,
    scans,
)
from .walk import STRIDE, Walk, WalkError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from ..core.workers import Pool

__all__ = ["Batch", "Scan", "ScanPlan", "ScanStats"]

# Batches between the walk and the disk: what a kill can cost.
IN_FLIGHT = 3
# Of these, how many share a commit at most; the readers hash the rest meanwhile. Where that is less than this many
# bytes, they would have done it before the commit, and one batch is committed alone.
SHARED_COMMIT = 2
COMMIT_BYTES = 14 * 1024 * 1024
# A commit is not put off longer than this: on a slow disk a batch may take minutes.
COMMIT_EVERY_S = 1.0
PROGRESS_EVERY_S = 0.25


@dataclass
class Batch:
    """A batch that is committed."""

    number: int
    photos: list[Photo]  # that are handed out
    copies: int
    errors: int
    bytes: int
    seconds: float
    first_path: str
    last_path: str
    again: bool = False  # committed by an earlier run, and never taken

    @property
    def records(self) -> list[Record]:
        """The photos, as callers get them."""
        return [record(photo) for photo in self.photos]


def _nothing(*_: object) -> None:
    pass


class Scan:
    """One scan of some folders into a database."""

    def __init__(
        self,
        store: Store,
        folders: Sequence[bytes],
        *,
        batch_size: int = 100,
        start_batch: int = 1,
        exclude: Sequence[str] = (),
        readers: int | None = None,
        allow_missing: bool = False,
        facts: bool = False,
        videos: bool = False,
        paranoid: bool = False,
        wait: bool = True,
        workspace: Workspace | None = None,
        stopped: Callable[[], bool] = lambda: False,
        progress: Callable[[Scan], None] = _nothing,
        waiting: Callable[[Message], None] = _nothing,
    ) -> None:
        """`facts`: read header facts after hashing. `videos`: record them like photos. `paranoid`: read what has another
        change time, even if nothing else about it is new. `wait`: for a scan that is in the way; else QueueError. `readers` None chooses by the kind of disk. `workspace` None: the lock lies beside the database.
        `stopped` is asked often: once it says True, what is hashed is committed and the scan ends.
        `progress` is called a few times a second, `waiting` when another scan is in the way.
        ValidationError for settings that make no sense."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValidationError(
                "batch_size must be a whole number from 1 up, not {batch_size}.", batch_size=repr(batch_size)
            )
        if isinstance(start_batch, bool) or not isinstance(start_batch, int) or start_batch < 1:
            raise ValidationError(
                "start_batch must be a whole number from 1 up, not {start_batch}.",
                start_batch=repr(start_batch),
            )
        if readers is not None and not 1 <= readers <= MOST_READERS:
            raise ValidationError(
                "readers must lie between 1 and {limit}, not {readers}.",
                limit=MOST_READERS,
                readers=readers,
            )
        self.roots = scan_roots(folders)
        self.stats = ScanStats()
        self.was_stopped = False
        self.last_seen: int | None = None  # candidates in the last finished scan of the same folders
        self.last_path = ""
        self.first_missing = ""  # path of a photo that is newly missing
        self.unfinished: list[
            Recovered
        ] = []  # changes of files that a killed run began, and that cannot be undone
        self.facts_read = self.facts_total = 0  # headers tried, and to be read; more than 0 in stage two only
        self.looks_done = self.looks_total = (
            0  # contents looked at, and to be; more than 0 when that follows the scan
        )
        self._store = store
        self._batch_size = batch_size
        self._start_batch = start_batch
        self._exclude = list(exclude)
        self._readers = readers
        self._allow_missing = allow_missing
        self._facts = facts
        self._videos = videos
        self._paranoid = paranoid
        self._wait = wait
        self._workspace = workspace
        self._stopped = stopped
        self._progress = progress
        self._waiting = waiting
        self._walk: Walk | None = None
        self._pool: Pool | None = None
        self._reached = b""  # the last path that was written
        self._verified = 0  # hashed again and found as they were
        self._taken: list[int] = []  # ids of batches that the caller is done with
        self._began = time.monotonic()
        self._told = 0.0
        self._settled = 0.0  # when what was written last was begun
        self._cpu_settled = 0.0  # CPU seconds that were used until then

    def run(self) -> Iterator[Batch]:
        """Scan, and give each batch when it is committed. Afterwards `stats` is complete."""
        try:
            with scan_lock(
                self._store, self._workspace, self._waiting, self._stopped, wait=self._wait
            ) as held:
                if held:
                    yield from self.stages()
                else:
                    self.was_stopped = True
        finally:
            self.count()
            self._store.close()

    def stages(self, pool: Pool | None = None) -> Generator[Batch, None, None]:
        """The same for a caller that has the right to scan, and leaves the store open. Headers are read in `pool`
        (`header_pool`), else in one of the scan's own."""
        self._pool = pool
        self._began = time.monotonic()
        found = recover(self._store)
        self.unfinished = [step for step in found if step.outcome in (Outcome.BOTH, Outcome.FAILED)]
        yield from self._scan()

    def plan(self) -> ScanPlan:
        """What a scan would do, without reading or writing anything. Once `stopped` says True: so far."""
        walked, start = self.check_roots(), self._first_path()
        known = self._store.query(known_query())
        walk = Walk(
            self.roots,
            known,
            walked=walked,
            exclude=self._exclude,
            start=start,
            videos=self._videos,
            paranoid=self._paranoid,
        )
        to_read = size = 0
        for items in walk:
            for item in items:
                if isinstance(item, Candidate) and not item.trusted and item.same_as is None:
                    to_read += 1
                    size += item.size
            if self._stopped():
                self.was_stopped = True
                break
        else:
            with self._store.read() as connection:
                find_lost_folders(connection, walk, Listings())
        self._store.close()
        return ScanPlan(walk.seen, walk.unchanged, to_read, size, len(walk.gone))

    def _scan(self) -> Iterator[Batch]:
        walked = self.check_roots()
        start = self._first_path()
        ask = self._store.query(known_query())
        stride = min(STRIDE, self._batch_size)
        walk = self._walk = Walk(
            self.roots,
            ask,
            walked=walked,
            exclude=self._exclude,
            start=start,
            stride=stride,
            videos=self._videos,
            paranoid=self._paranoid,
        )
        readers, inode_order = choose_readers(walked, self._readers)
        hashers: Hashers[Candidate | WalkError] = Hashers(
            readers, inode_order=inode_order, ahead=IN_FLIGHT * self._batch_size, stopped=self._stopped
        )
        flight = Flight(walk, hashers, IN_FLIGHT * self._batch_size - stride)
        try:
            while flight.fill():  # so that readers start while the database is made ready
                pass
            scan_id, writer, waiting, links_before = self._begin(start)
            try:
                for batch_id in waiting:
                    yield self._load(batch_id, walk)
                    self._taken.append(batch_id)
                yield from self._hash(flight, writer)
                state = STOPPED if self.was_stopped else RUNNING
                with self._store.write() as connection:
                    if not self.was_stopped:
                        with_index(connection)
                        ending = finish(connection, walk, scan_id, allow_missing=self._allow_missing)
                        self.stats.moved, self.stats.missing = ending.moved, ending.missing
                        self.first_missing = os.fsdecode(ending.first_missing)
                        self.stats.absent_originals = ending.absent_originals
                        found = _links(connection, scan_id) - links_before - ending.absent_originals
                        self.stats.duplicates = max(0, found)
                        self.stats.unhandled = dict(walk.unhandled.most_common())
                        state = RUNNING if self._facts else FINISHED
                    self._end(connection, scan_id, state)
                if state == RUNNING:
                    self._read_facts(walked)
                    with self._store.write() as connection:
                        self._end(connection, scan_id, STOPPED if self.was_stopped else FINISHED)
            except (GeneratorExit, ScanGuardError):
                with self._store.write() as connection:
                    self._end(connection, scan_id, STOPPED)
                raise
        finally:
            flight.close()

    def _read_facts(self, walked: list[bytes]) -> None:
        from .facts import read_facts

        empty = self.stats.facts_errors

        def progress(done: int, failed: int, total: int) -> None:
            self.facts_read, self.facts_total = done + failed, total
            self.stats.facts_errors = empty + failed
            self._tell()

        found = read_facts(
            self._store, walked, processes=cores(), pool=self._pool, stopped=self._stopped, progress=progress
        )
        self.stats.damaged, self.stats.lacking = found.damaged, found.lacking
        self.was_stopped = self._stopped()

    def check_roots(self, *, guard: bool = True) -> list[bytes]:
        """The roots that can be walked. ValidationError for one that never was there, ScanGuardError (with `guard`) for
        one that is gone or empty while its photos are known."""
        walked = []
        for root in self.roots:
            shown, is_empty = os.fsdecode(root), False
            try:
                with os.scandir(root) as listing:
                    is_empty = next(listing, None) is None
                    problem = Message("is empty") if is_empty else None
            except FileNotFoundError:
                problem = Message("does not exist")
            except NotADirectoryError:
                problem = Message("is not a directory")
            except OSError:
                problem = None  # becomes an error row when it is walked
            if problem is not None:
                with self._store.read() as connection:
                    known = known_below(connection, root)
                if known and guard and not self._allow_missing:
                    raise ScanGuardError(
                        "The folder {shown} {problem}, but its photos are known: nothing was marked as missing. If a "
                        "drive is not plugged in, do that; if they were deleted on purpose, add --allow-missing.",
                        shown=shown,
                        problem=problem,
                    )
                if not known and not is_empty:
                    raise ValidationError(
                        "The folder {shown} {problem}: name a folder of photos.", shown=shown, problem=problem
                    )
            if problem is None or is_empty:
                walked.append(root)
        return walked

    def _first_path(self) -> bytes | None:
        """Where the walk starts: the first path of batch `start_batch` of the latest scan. A run that goes on with a scan
        which began there starts where that began: the scan's own batches have numbers, too."""
        if self._start_batch == 1:
            return None
        with self._store.read() as connection:
            begun = connection.execute(
                sa.select(scans).where(scans.c.roots == self._key()).order_by(scans.c.id.desc()).limit(1)
            ).first()
            if begun is not None and begun.state != FINISHED and begun.start_batch == self._start_batch:
                return os.fsencode(begun.start_path)
            latest = connection.scalar(
                sa.select(scans.c.id)
                .join(batches, batches.c.scan_id == scans.c.id)
                .where(scans.c.roots == self._key())
                .order_by(scans.c.id.desc())
                .limit(1)
            )
            path = connection.scalar(
                sa.select(batches.c.first_path).where(
                    batches.c.scan_id == latest, batches.c.number == self._start_batch
                )
            )
            last = connection.scalar(
                sa.select(sa.func.max(batches.c.number)).where(batches.c.scan_id == latest)
            )
        if path is None:
            there = Message("has {last}", last=last) if last else Message("does not exist")
            raise ValidationError(
                "There is no batch {batch} to start from: the latest scan with batches {there}.",
                batch=self._start_batch,
                there=there,
            )
        return os.fsencode(path)

    def _key(self) -> bytes:
        return b"\0".join(self.roots)

    def _begin(self, start: bytes | None) -> tuple[int, BatchWriter, list[int], int]:
        """The scan's number, who writes its photos, the batches not taken, and the copies known already."""
        values = {
            "state": RUNNING,
            "start_batch": None if start is None else self._start_batch,
            "start_path": start,
        }
        with self._store.write() as connection:
            contents = None
            if self._store.is_private:
                contents = without_index(connection)
            else:
                with_index(connection)
            mine = sa.select(scans).where(scans.c.roots == self._key()).order_by(scans.c.id.desc())
            latest = connection.execute(mine.limit(1)).first()
            self.last_seen = connection.scalar(
                mine.with_only_columns(scans.c.files_seen).where(scans.c.state == FINISHED).limit(1)
            )
            now = datetime.now(UTC)
            last = connection.scalar(sa.select(sa.func.max(photos.c.id))) or 0
            if latest is None or latest.state == FINISHED:
                result = connection.execute(
                    scans.insert().values(roots=self._key(), started_at=now, **values)
                )
                (scan_id,) = result.inserted_primary_key or (0,)
                return scan_id, BatchWriter(scan_id, self._batch_size, 0, None, contents, since=last), [], 0
            scan_id = latest.id
            connection.execute(scans.update().where(scans.c.id == scan_id).values(**values))
            # What fails again in this run gets a row of this scan again; the others were mended.
            connection.execute(errors.update().where(errors.c.scan_id == scan_id).values(scan_id=None))
            rows = connection.execute(
                sa.select(batches).where(batches.c.scan_id == scan_id).order_by(batches.c.number)
            ).all()
            current = next((row for row in rows if row.state == OPEN), None)
            number = max((row.number for row in rows), default=0)
            opened = None
            if current is not None:
                opened = OpenBatch(
                    **{name: getattr(current, name) for name in _BATCH_COLUMNS},
                    first_path=os.fsencode(current.first_path or "") or None,
                    last_path=os.fsencode(current.last_path or "") or None,
                    read=current.bytes,
                    handed=_photos(connection, current.id),
                )
            settled = [row.id for row in rows if row.state == SETTLED and row.photos + row.changed]
            writer = BatchWriter(scan_id, self._batch_size, number, opened, contents, since=last)
            return scan_id, writer, settled, _links(connection, scan_id)

    def _load(self, batch_id: int, walk: Walk) -> Batch:
        with self._store.read() as connection:
            row = connection.execute(sa.select(batches).where(batches.c.id == batch_id)).one()
            handed = _photos(connection, batch_id)
        handed.sort(key=lambda photo: walk.place(photo[0]))
        self.stats.batches += 1
        return Batch(
            row.number,
            handed,
            row.copies,
            row.errors,
            row.bytes,
            row.seconds,
            row.first_path,
            row.last_path,
            again=True,
        )

    def _hash(self, flight: Flight, writer: BatchWriter) -> Iterator[Batch]:
        """Walk, hash and commit; gives the batches that are complete, last the one that remains."""
        tally: Tally | None = None  # of what is being committed
        self._settled, self._cpu_settled = time.monotonic(), time.process_time()
        while flight.walking or len(flight):
            flight.fill()
            self._tell()
            if not self.was_stopped and self._stopped():
                self.was_stopped = True
                flight.stop()
            to_write = tally is None and self._is_time(flight)
            idle = not (flight.has_room) and not to_write
            if flight.hashing:
                flight.collect(
                    PROGRESS_EVERY_S if idle else 0.0,
                    self._store.committed if tally is not None else None,
                )
            if tally is not None and (not self._store.is_committing or (idle and not flight.hashing)):
                self._store.wait()
                yield from self._land(tally)
                tally, flight.written = None, []
            if tally is None and self._is_time(flight):
                most = SHARED_COMMIT * self._batch_size
                flight.written, flight.done = flight.done[:most], flight.done[most:]
                is_last = not (flight.walking or flight.hashing or flight.done or self.was_stopped)
                tally = self._commit(writer, flight, flight.written, is_last=is_last)
        if writer.current is not None and not self.was_stopped:  # left open by an interruption at its end
            tally = self._commit(writer, flight, [], is_last=True)
            self._store.wait()
            yield from self._land(tally)

    def _is_time(self, flight: Flight) -> bool:
        """Whether what is hashed should be committed now."""
        done = len(flight.done)
        return bool(done) and (
            (
                not flight.has_room
                and done >= self._batch_size
                and (done >= SHARED_COMMIT * self._batch_size or flight.weight < COMMIT_BYTES)
            )
            or not (flight.walking or flight.hashing)
            or time.monotonic() - self._settled > COMMIT_EVERY_S
        )

    def _commit(
        self, writer: BatchWriter, flight: Flight, items: Sequence[Candidate | WalkError], *, is_last: bool
    ) -> Tally:
        """Write `items`. They are on disk when the store was waited for."""
        now, cpu = time.monotonic(), time.process_time() + flight.cpu_seconds()
        took = Took(now - self._settled, max(0.0, cpu - self._cpu_settled), peak_memory())
        before, taken = writer.state(), list(self._taken)
        try:
            with self._store.write(wait=False) as connection:
                self._settle_taken(connection)
                tally = writer.settle(connection, items, took, is_last=is_last)
        except (
            OverflowError,
            ValueError,
            TypeError,
            ArithmeticError,
            sa.exc.DataError,
            sa.exc.StatementError,
        ):
            # Something about one of them that nobody has thought of. The others must not suffer from it.
            writer.restore(before)
            self._taken = taken
            tally = self._commit_singly(writer, items, took, is_last=is_last)
        self._settled, self._cpu_settled = now, cpu
        if items:
            self._reached = items[-1].path
        return tally

    def _commit_singly(
        self, writer: BatchWriter, items: Sequence[Candidate | WalkError], took: Took, *, is_last: bool
    ) -> Tally:
        """Write `items` one after the other; one that cannot be written becomes an error row."""
        with self._store.write() as connection:
            self._settle_taken(connection)
        part = 1 / max(1, len(items))
        share = replace(took, seconds=took.seconds * part, cpu_seconds=took.cpu_seconds * part)
        total = Tally()
        for number, item in enumerate(items, 1):
            last = is_last and number == len(items)
            before = writer.state()
            try:
                with self._store.write() as connection:
                    total.add(writer.settle(connection, [item], share, is_last=last))
            except BatchProcessingError:
                raise
            except Exception as error:  # noqa: BLE001 - the border at which an item fails, and not the scan
                writer.restore(before)
                failed = WalkError(item.path, unexpected(error), "hash")
                with self._store.write() as connection:
                    total.add(writer.settle(connection, [failed], share, is_last=last))
        return total

    def _land(self, tally: Tally) -> Iterator[Batch]:
        """Count what is on disk now, and hand out its batches."""
        stats = self.stats
        stats.registered += tally.registered
        stats.changed += tally.changed
        self._verified += tally.already
        stats.duplicates += tally.copies
        stats.hard_links += tally.hard_links
        stats.errors += tally.errors
        stats.ruined += tally.ruined
        stats.facts_errors += tally.facts_errors
        stats.bytes_read += tally.bytes_read
        self.last_path = os.fsdecode(self._reached)
        callers = Meter()
        for batch in tally.full:
            if batch.handed:
                yield from self._hand_out(batch)
        took = callers.took()
        self._settled += took.seconds
        self._cpu_settled += took.cpu_seconds

    def _hand_out(self, batch: OpenBatch) -> Iterator[Batch]:
        self.stats.batches += 1
        self.count()
        yield Batch(
            batch.number,
            batch.handed,
            batch.copies,
            batch.errors,
            batch.read,
            batch.seconds,
            os.fsdecode(batch.first_path or b""),
            os.fsdecode(batch.last_path or b""),
        )
        self._taken.append(batch.id)  # the caller came back for more

    def _settle_taken(self, connection: sa.Connection) -> None:
        if self._taken:
            Driver(connection).run(_TAKE, [(TAKEN, key) for key in self._taken])
            self._taken.clear()

    def _end(self, connection: sa.Connection, scan_id: int, state: str) -> None:
        """Write down how far the scan came. RUNNING: it goes on to the facts."""
        self._settle_taken(connection)
        with_index(connection)
        self.count()
        values: dict[str, object] = {"state": state, "stats": self.stats.to_dict()}
        if state == FINISHED:
            values |= {"finished_at": datetime.now(UTC), "files_seen": self.stats.files_seen}
        connection.execute(scans.update().where(scans.c.id == scan_id).values(**values))

    def count(self) -> None:
        """Bring the figures up to date that are not counted where they arise."""
        stats = self.stats
        if self._walk is not None:
            stats.files_seen = self._walk.seen
            stats.left_alone = {str(reason): left for reason, left in sorted(self._walk.left_alone.items())}
            stats.already_processed = self._walk.unchanged + self._verified
        stats.seconds = time.monotonic() - self._began
        stats.seconds_per_batch = stats.seconds / stats.batches if stats.batches else 0.0
        stats.peak_memory = peak_memory()

    def rested(self, seconds: float) -> None:
        """So many seconds of `stopped` were no work: somebody had the scan wait."""
        self._began += seconds
        self._settled += seconds

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told > PROGRESS_EVERY_S:
            self._told = now
            self.count()
            self._progress(self)


_TAKE = "UPDATE photo_batches SET state = ? WHERE id = ?"
_BATCH_COLUMNS = ("id", "number", "photos", "changed", "copies", "errors", "seconds", "cpu_seconds")


def known_query() -> sa.Select[Any]:
    """The rows of one folder, as `Known` has them."""
    stat_columns = (photos.c.name, photos.c.size, photos.c.mtime_ns, photos.c.ctime_ns, photos.c.inode)
    return (
        sa.select(*stat_columns, photos.c.hashed_ns, photos.c.id, photos.c.state, photos.c.directory_id)
        .select_from(photos.join(directories, directories.c.id == photos.c.directory_id))
        .where(directories.c.path == sa.bindparam("path"))
    )


def _photos(connection: sa.Connection, batch_id: int) -> list[Photo]:
    """What a batch hands out, from its rows."""
    columns = directories.c.path, photos.c.name, photos.c.hash, photos.c.size
    rows = connection.execute(
        sa.select(*columns)
        .select_from(photos.join(directories, directories.c.id == photos.c.directory_id))
        .where(photos.c.batch_id == batch_id, photos.c.found_as.in_((NEW, CHANGED)))
        .order_by(photos.c.id)
    )
    return [
        (join(os.fsencode(path), os.fsencode(name)), os.fsencode(name), bytes.fromhex(digest), size)
        for path, name, digest, size in rows
    ]


def _links(connection: sa.Connection, scan_id: int) -> int:
    """Copies among the photos that this scan recorded."""
    return (
        connection.scalar(
            sa.select(sa.func.count(sa.distinct(duplicates.c.photo_id)))
            .select_from(
                duplicates.join(photos, photos.c.id == duplicates.c.photo_id).join(
                    batches, batches.c.id == photos.c.batch_id
                )
            )
            .where(batches.c.scan_id == scan_id, photos.c.found_as != MOVED)
        )
        or 0
    )
