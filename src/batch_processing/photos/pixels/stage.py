"""The stage that looks at pixels: every content once, in batches, whatever is killed meanwhile.

    with closing(Looking(store, roots, previews).batches(pool)) as batches:
        for batch in batches: ...

Promises: a content is decoded once, however many copies it has; where one copy cannot be read another is. What is looked
at is committed with its batch, every 100 photos or second; batches are numbered from 1 in each run, and a run that was
interrupted goes on with its numbers. A batch is taken when the next one is asked for; one that was not is handed out
again by the next run of the same folders. A photo that kills its worker is tried once more by itself, and becomes an error
row of stage `pixels`. What the same readers would fail at again is not tried again; nor is what has no pixels here.
The tables are the same for batches of any size. Faces are found in the same decode, where they are wanted; a content that lacks
nothing else keeps what is known of it should it not be readable now. Needs the right to look (`looking_lock`); does not decide who has it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ...core.resources import peak_memory
from ...core.workers import Task, in_pool
from ...exceptions import ValidationError
from ..facts import Unread, contents_at, replace_errors
from ..facts import readers as named
from ..hashing import join
from ..header_facts import LASTING
from ..kinds import VIDEO_EXTENSIONS
from ..people import recording
from ..reading import signed
from ..tables import (
    BLANK,
    FINISHED,
    LOOKS_OLDEST,
    LOOKS_RENEWED,
    LOOKS_VERSION,
    MISSING,
    OPEN,
    RUNNING,
    SETTLED,
    STOPPED,
    TAKEN,
    below,
    below_path,
    directories,
    errors,
    look_batches,
    look_runs,
    looks,
    pages,
    photos,
)
from .fingerprints import fingerprint_of
from .look import Look, LookError
from .looking import HANDFUL, HANDFUL_BYTES, TIME_LIMIT_S, LookAt, check_finder, understood

if TYPE_CHECKING:
    from ...core.workers import Pool
    from ..people.face import Face, FaceSource
    from ..store import Store
    from .previews import Previews

STAGE = "pixels"
COMMIT_PHOTOS = 100
COMMIT_EVERY_S = 1.0
TICK_S = 0.1
PAGE = 1000  # photos looked up at a time
# The kind of error of a photo that is not where it was.
GONE = "vanished"


@dataclass(frozen=True)
class LookedAt:
    """A content that was looked at. `path`: of the copy that was opened; `hash`: SHA-256, hexadecimal; `phash`: its
    fingerprint, 64 bits, unsigned. Width, height and fingerprint are None where no picture was seen."""

    path: str
    hash: str
    width: int | None
    height: int | None
    phash: int | None
    flat: bool
    damaged: str | None
    faces: int | None = None  # how many are on it; None: nobody has looked for any


@dataclass(frozen=True)
class LookBatch:
    """A batch that is committed."""

    number: int
    photos: list[LookedAt]
    errors: int
    bytes: int
    seconds: float
    first_path: str
    last_path: str
    again: bool = False  # committed by an earlier run, and never taken

    @property
    def faces(self) -> int | None:
        """How many are on its photos; None where nobody has looked for any."""
        found = [photo.faces for photo in self.photos if photo.faces is not None]
        return sum(found) if found else None


@dataclass
class LookStats:
    """What one run of the stage did, in numbers of contents."""

    looked: int = 0  # a picture was seen
    damaged: int = 0
    no_pixels: int = 0
    errors: int = 0
    gone: int = 0  # not there now
    faces: int = 0  # found
    with_faces: int = 0  # of those looked at: with one or more
    batches: int = 0
    seconds: float = 0.0
    lacking: dict[str, int] = field(default_factory=dict)  # of those without pixels: by what would read them

    @property
    def done(self) -> int:
        return self.looked + self.no_pixels + self.errors + self.gone


@dataclass(frozen=True)
class _Wanted:
    """A content that is to be looked at, by one of its photos."""

    photo_id: int
    path: bytes
    digest: bytes
    size: int
    mtime_ns: int
    is_known: bool  # what it looks like: only faces are lacking
    faces_model: str | None  # which has looked for faces on it

    def task(self, number: int, faces: FaceSource | None) -> Task:
        wanted = None if faces is None or faces.name == self.faces_model else faces
        work = LookAt(self.path, self.size, self.mtime_ns, wanted)
        return Task(str(number), work, TIME_LIMIT_S, quiet_s=TIME_LIMIT_S)


@dataclass
class _OpenBatch:
    """A batch that is being filled. `id` None: has no row yet."""

    number: int
    id: int | None = None
    first_path: bytes | None = None
    last_path: bytes | None = None
    photos: int = 0
    damaged: int = 0
    no_pixels: int = 0
    errors: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float | None = 0.0  # None: a version that did not measure them has begun it
    peak_memory: int = 0  # of the largest worker
    faces: int | None = None  # found; None: nobody has looked for any
    handed: list[LookedAt] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.photos + self.no_pixels + self.errors


Outcome = tuple[_Wanted, Look | LookError]

_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_candidates = _located.outerjoin(looks, looks.c.hash == photos.c.hash)
_folder = sa.type_coerce(directories.c.path, sa.LargeBinary)
_name = sa.type_coerce(photos.c.name, sa.LargeBinary)
_digest = sa.type_coerce(photos.c.hash, sa.LargeBinary)
_looked = sa.type_coerce(looks.c.hash, sa.LargeBinary)
_error_path = sa.type_coerce(errors.c.path, sa.LargeBinary)
_is_older = sa.or_(
    looks.c.version < LOOKS_OLDEST,
    sa.and_(looks.c.version < LOOKS_VERSION, photos.c.extension.in_(LOOKS_RENEWED)),
)
_is_known = sa.and_(~_is_older, looks.c.phash.is_not(None))
_columns = (
    photos.c.id, _folder, _name, _digest, photos.c.size, photos.c.mtime_ns, _is_known.label("is_known"),
    looks.c.faces_model,
)  # fmt: skip


def _wanted(row: Sequence[Any]) -> _Wanted:
    key, folder, name, digest, size, mtime_ns, is_known, faces_model = row
    path = join(bytes(folder), bytes(name))
    return _Wanted(key, path, bytes(digest), size, mtime_ns, bool(is_known), faces_model)


class Looking:
    """One run of the stage over the photos below some folders."""

    def __init__(
        self,
        store: Store,
        roots: Sequence[bytes],
        previews: Previews,
        *,
        batch_size: int = 100,
        stopped: Callable[[], bool] = lambda: False,
        faces: FaceSource | None = None,
        all_faces: bool = False,
    ) -> None:
        """`roots`: absolute folders. `stopped` is asked often: once it says True, what was seen is committed and the run
        ends. `faces`: what finds them on what is looked at; with `all_faces` contents are looked at that lack nothing else.
        ValidationError for a size of batches that makes no sense."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValidationError(
                "batch_size must be a whole number from 1 up, not {batch_size}.", batch_size=repr(batch_size)
            )
        self.stats = LookStats()
        self.total = 0  # contents to be looked at, once that is counted
        self.was_stopped = False
        self.roots = list(roots)
        self._store, self._previews = store, previews
        self._batch_size, self._stopped = batch_size, stopped
        self._faces, self._all_faces = faces, all_faces
        self._run_id = 0
        self._batch = _OpenBatch(1)
        self._taken: list[int] = []
        self._full: list[_OpenBatch] = []
        self._underway: set[bytes] = (
            set()
        )  # contents that are looked at now, and those that wait for a commit
        self._delayed: list[_Wanted] = []  # further photos of contents that were underway
        self._is_complete = False
        self._began = self._committed = time.monotonic()
        self._readers = ""

    def check_roots(self) -> None:
        """ValidationError for a folder below which no photo is known."""
        with self._store.read() as connection:
            for root in self.roots:
                query = sa.select(photos.c.id).select_from(_located).where(below(root)).limit(1)
                if connection.scalar(query) is None:
                    raise ValidationError(
                        "No photo is known below {folder}: scan the folder first, or name another.",
                        folder=os.fsdecode(root),
                    )

    def batches(self, pool: Pool) -> Generator[LookBatch, None, None]:
        """Look at what is to be looked at, in `pool` (`look_pool`), and give each batch when it is committed.
        ConfigurationError if what finds faces cannot be opened."""
        from .decoding import readers

        self._readers = named(readers())
        waiting = self._begin()
        try:
            for batch_id in waiting:
                yield self._load(batch_id)
                self._taken.append(batch_id)
            if waiting:
                self._commit([])
            self._drop_errors()
            self.total = self._count()
            if self._faces is not None and self.total:
                check_finder(pool, self._faces, self._stopped)
            yield from self._look(pool, self._files())
            while self._delayed and not self.was_stopped:
                again, self._delayed = self._delayed, []
                yield from self._look(pool, self._one_of_each(self._still_wanted(again)))
            if not self.was_stopped:
                self._commit([], is_last=True)
                yield from self._hand_out()
                self._is_complete = True
        finally:
            self._end()

    @property
    def finds_faces(self) -> bool:
        return self._faces is not None

    def rested(self, seconds: float) -> None:
        """So many seconds of `stopped` were no work: somebody had the run wait."""
        self._began += seconds
        self._committed += seconds

    # -- what is to be looked at --------------------------------------------------------------------

    def _where(self) -> list[sa.ColumnElement[bool]]:
        other_readers = sa.and_(
            sa.or_(looks.c.lacking.is_not(None), looks.c.failed.is_not(None)),
            looks.c.readers != self._readers,
        )
        reasons = [looks.c.hash.is_(None), _is_older, other_readers]
        if self._faces is not None and self._all_faces:
            is_other = sa.func.coalesce(looks.c.faces_model, "") != self._faces.name
            reasons.append(sa.and_(_is_known, is_other, looks.c.failed.is_(None)))
        return [
            photos.c.state.not_in((MISSING, BLANK)),
            photos.c.extension.not_in(sorted(VIDEO_EXTENSIONS)),
            sa.or_(*map(below, self.roots)),
            sa.or_(*reasons),
        ]

    def _count(self) -> int:
        query = sa.select(sa.func.count(sa.distinct(photos.c.hash))).select_from(_candidates)
        with self._store.read() as connection:
            return connection.scalar(query.where(*self._where())) or 0

    def _files(self) -> Iterator[_Wanted]:
        """Photos of contents that nobody has looked at yet, oldest first."""
        last = 0
        while True:
            rows = self._rows(photos.c.id > last)
            if not rows:
                return
            last = rows[-1].photo_id
            waiting, self._delayed = self._delayed, []
            yield from self._one_of_each([*self._still_wanted(waiting), *rows])

    def _one_of_each(self, files: Sequence[_Wanted]) -> Iterator[_Wanted]:
        """Of each content one photo. The others are kept for when that one could not be read."""
        given = set[bytes]()
        for file in files:
            if file.digest in given or file.digest in self._underway:
                self._delayed.append(file)
            else:
                given.add(file.digest)
                self._underway.add(file.digest)
                yield file

    def _still_wanted(self, files: Sequence[_Wanted]) -> list[_Wanted]:
        return [
            file
            for page in pages([file.photo_id for file in files])
            for file in self._rows(photos.c.id.in_(page))
        ]

    def _rows(self, where: sa.ColumnElement[bool]) -> list[_Wanted]:
        query = sa.select(*_columns).select_from(_candidates).where(*self._where(), where)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(photos.c.id).limit(PAGE)).all()
        return [_wanted(row) for row in rows]

    def _drop_errors(self) -> None:
        """Delete the errors of this stage that are of other contents or readers, and those that may heal: whoever cannot
        be looked at again gets another one."""
        inside = sa.or_(*(below_path(_error_path, root) for root in self.roots))
        last = 0
        while True:
            query = sa.select(
                errors.c.id, _error_path.label("path"), errors.c.kind, errors.c.hash, errors.c.readers
            )
            query = query.where(errors.c.id > last, errors.c.stage == STAGE, inside)
            with self._store.read() as connection:
                rows = connection.execute(query.order_by(errors.c.id).limit(PAGE)).all()
                holds = contents_at(connection, [bytes(row.path) for row in rows])
            if not rows:
                return
            last = rows[-1].id
            stale = [
                row.id
                for row in rows
                if row.kind not in LASTING
                or row.readers != self._readers
                or holds.get(bytes(row.path)) != row.hash
            ]
            with self._store.write() as connection:
                for page in pages(stale):
                    connection.execute(errors.delete().where(errors.c.id.in_(page)))

    # -- looking ------------------------------------------------------------------------------------

    def _look(self, pool: Pool, files: Iterator[_Wanted]) -> Iterator[LookBatch]:
        """Have `files` looked at; their outcomes are taken in their order."""
        asked: dict[str, _Wanted] = {}
        known: dict[str, Look | LookError] = {}
        ready: list[Outcome] = []
        order: deque[str] = deque()

        def tasks() -> Iterator[Task]:
            for number, file in enumerate(files):
                task = file.task(number, self._faces)
                asked[task.id] = file
                order.append(task.id)
                yield task

        def fits(piece: Sequence[Task]) -> bool:
            return sum(asked[task.id].size for task in piece) <= HANDFUL_BYTES

        with closing(in_pool(pool, tasks(), group=HANDFUL, fits=fits, tick_s=TICK_S)) as running:
            for results in running:
                known |= {result.id: understood(result) for result in results}
                while order and order[0] in known:
                    name = order.popleft()
                    ready.append((asked.pop(name), known.pop(name)))
                now = time.monotonic()
                if (
                    len(ready) >= min(COMMIT_PHOTOS, self._batch_size)
                    or now - self._committed > COMMIT_EVERY_S
                ):
                    self._commit(ready)
                    ready = []
                    yield from self._hand_out()
                if self._stopped():
                    self.was_stopped = True
                    break
        self._commit(ready)
        yield from self._hand_out()

    # -- what is written ----------------------------------------------------------------------------

    def _key(self) -> bytes:
        return b"\0".join(self.roots)

    def _begin(self) -> list[int]:
        """Begin a run, or go on with one; the batches that were not taken."""
        with self._store.write() as connection:
            mine = (
                sa.select(look_runs).where(look_runs.c.roots == self._key()).order_by(look_runs.c.id.desc())
            )
            latest = connection.execute(mine.limit(1)).first()
            if latest is None or latest.state == FINISHED:
                made = connection.execute(
                    look_runs.insert().values(roots=self._key(), state=RUNNING, started_at=datetime.now(UTC))
                )
                (self._run_id,) = made.inserted_primary_key or (0,)
                return []
            self._run_id = latest.id
            connection.execute(look_runs.update().where(look_runs.c.id == latest.id).values(state=RUNNING))
            rows = connection.execute(
                sa.select(look_batches)
                .where(look_batches.c.run_id == latest.id)
                .order_by(look_batches.c.number)
            ).all()
            self._batch = _OpenBatch(max((row.number for row in rows), default=0) + 1)
            for row in rows:
                if row.state == OPEN:
                    counts = {name: getattr(row, name) for name in _COUNTS}
                    self._batch = _OpenBatch(row.number, row.id, **counts)
                    self._batch.first_path = os.fsencode(row.first_path) if row.first_path else None
                    self._batch.last_path = os.fsencode(row.last_path) if row.last_path else None
                    self._batch.handed = self._handed(connection, row.id)
            return [row.id for row in rows if row.state == SETTLED and row.photos + row.no_pixels]

    @staticmethod
    def _handed(connection: sa.Connection, batch_id: int) -> list[LookedAt]:
        """What a batch hands out, from its rows; paths are those of the oldest copies."""
        columns = (
            looks.c.hash, looks.c.width, looks.c.height, looks.c.phash, looks.c.flat, looks.c.damaged,
            looks.c.faces_model,
        )  # fmt: skip
        query = (
            sa.select(_folder, _name, *columns)
            .select_from(_located.join(looks, looks.c.hash == photos.c.hash))
            .where(looks.c.batch_id == batch_id)
            .order_by(photos.c.id)
        )
        found: dict[str, LookedAt] = {}
        for folder, name, digest, width, height, phash, flat, damaged, model in connection.execute(query):
            path = os.fsdecode(join(bytes(folder), bytes(name)))
            known = phash if phash is None or phash >= 0 else phash + 2**64
            faces = None if model is None else 0
            found.setdefault(digest, LookedAt(path, digest, width, height, known, flat, damaged, faces))
        searched = [bytes.fromhex(digest) for digest, photo in found.items() if photo.faces is not None]
        for content, number in recording.numbers_of(connection, searched).items():
            found[content.hex()] = replace(found[content.hex()], faces=number)
        return list(found.values())

    def _load(self, batch_id: int) -> LookBatch:
        with self._store.read() as connection:
            row = connection.execute(sa.select(look_batches).where(look_batches.c.id == batch_id)).one()
            handed = self._handed(connection, batch_id)
        self.stats.batches += 1
        return LookBatch(
            row.number,
            handed,
            row.errors,
            row.bytes,
            row.seconds,
            row.first_path or "",
            row.last_path or "",
            again=True,
        )

    def _commit(self, outcomes: Sequence[Outcome], *, is_last: bool = False) -> None:
        """Write what was seen, in as many batches as it fills."""
        now = time.monotonic()
        share = (now - self._committed) / max(1, len(outcomes))
        self._committed = now
        self._previews.put(
            {file.digest: one.preview for file, one in outcomes if isinstance(one, Look) and one.preview}
        )
        with self._store.write() as connection:
            if self._taken:
                connection.execute(
                    look_batches.update().where(look_batches.c.id.in_(self._taken)).values(state=TAKEN)
                )
                self._taken = []
            there = [one for one in outcomes if not self._is_gone(one)]
            while there:
                room = self._batch_size - self._batch.size
                part, there = there[:room], there[room:]
                self._write(connection, part, share, is_full=len(part) == room)
            if is_last and self._batch.size:
                self._write(connection, [], 0.0, is_full=True)
        self._underway.difference_update(file.digest for file, _ in outcomes)
        self.stats.seconds = now - self._began

    def _write(
        self, connection: sa.Connection, outcomes: Sequence[Outcome], share: float, *, is_full: bool
    ) -> None:
        """Write outcomes of one batch, and its row."""
        batch = self._batch
        if batch.id is None:
            made = connection.execute(
                look_batches.insert().values(run_id=self._run_id, number=batch.number, state=OPEN)
            )
            (batch.id,) = made.inserted_primary_key or (0,)
        rows, failures, failed = [], [], []
        faces: dict[bytes, tuple[Face, ...]] = {}
        for file, found in outcomes:
            batch.first_path = batch.first_path or file.path
            batch.last_path = file.path
            batch.bytes += file.size
            batch.seconds += share
            if found.took is not None:
                batch.peak_memory = max(batch.peak_memory, found.took.peak_memory)
                if batch.cpu_seconds is not None:
                    batch.cpu_seconds += found.took.cpu_seconds
            if isinstance(found, LookError):
                failures.append((file, found))
                batch.errors += 1
                self.stats.errors += 1
                if not found.lasts:
                    continue
                if file.is_known:
                    failed.append({"of": file.digest, "failed": found.kind, "readers": self._readers})
                    continue
            else:
                self._tally(batch, file, found)
                if file.is_known and found.signature is None:
                    continue  # what read it is not installed now
                if found.faces is not None:
                    faces[file.digest] = found.faces
            rows.append(self._row(file, found, batch.id))
        self._write_rows(connection, rows)
        if failed:
            connection.execute(looks.update().where(_looked == sa.bindparam("of")), failed)
        if self._faces is not None:
            recording.record(connection, self._faces.name, faces)
        self._write_errors(connection, [file for file, _ in outcomes], failures)
        values = {name: getattr(batch, name) for name in _COUNTS}
        values |= {"first_path": batch.first_path, "last_path": batch.last_path}
        values["peak_memory"] = max(batch.peak_memory, peak_memory())
        state = SETTLED if is_full else OPEN
        connection.execute(
            look_batches.update().where(look_batches.c.id == batch.id).values(state=state, **values)
        )
        if is_full:
            self._full.append(batch)
            self._batch = _OpenBatch(batch.number + 1)

    def _is_gone(self, outcome: Outcome) -> bool:
        """Whether the photo is not there: its folder's next scan says so, or its drive is not plugged in."""
        is_gone = isinstance(outcome[1], LookError) and outcome[1].kind == GONE
        self.stats.gone += is_gone
        return is_gone

    def _tally(self, batch: _OpenBatch, file: _Wanted, found: Look) -> None:
        if found.signature is not None:
            batch.photos += 1
            self.stats.looked += 1
        else:
            batch.no_pixels += 1
            self.stats.no_pixels += 1
            if found.lacking:
                self.stats.lacking[found.lacking] = self.stats.lacking.get(found.lacking, 0) + 1
        batch.damaged += found.damaged is not None
        self.stats.damaged += found.damaged is not None
        phash = None if found.signature is None else fingerprint_of(found.signature)
        faces = None if found.faces is None else len(found.faces)
        if faces is not None:
            batch.faces = (batch.faces or 0) + faces
        self.stats.faces += faces or 0
        self.stats.with_faces += bool(faces)
        batch.handed.append(
            LookedAt(
                os.fsdecode(file.path), file.digest.hex(), found.width, found.height, phash, found.flat, found.damaged,
                faces,
            )
        )  # fmt: skip

    def _row(self, file: _Wanted, found: Look | LookError, batch_id: int) -> dict[str, object]:
        row: dict[str, object] = dict.fromkeys(_LOOK_COLUMNS)
        row |= {
            "hash": file.digest,
            "version": LOOKS_VERSION,
            "flat": False,
            "readers": self._readers,
            "batch_id": batch_id,
            "looked_at": datetime.now(UTC),
            "faces_model": file.faces_model,
        }
        if isinstance(found, LookError):
            return row | {"failed": found.kind}
        values = {name: value for name, value in vars(found).items() if name not in _ELSEWHERE}
        if found.faces is not None and self._faces is not None:
            values["faces_model"] = self._faces.name
        phash = None if found.signature is None else signed(fingerprint_of(found.signature))
        return row | values | {"phash": phash}

    @staticmethod
    def _write_rows(connection: sa.Connection, rows: list[dict[str, object]]) -> None:
        for page in pages([row["hash"] for row in rows]):
            connection.execute(looks.delete().where(_looked.in_(page)))
        if rows:
            connection.execute(looks.insert(), rows)

    def _write_errors(
        self, connection: sa.Connection, tried: Sequence[_Wanted], failures: list[tuple[_Wanted, LookError]]
    ) -> None:
        found = [Unread(file.path, file.digest, error.kind, error.text) for file, error in failures]
        replace_errors(connection, STAGE, [file.path for file in tried], found, self._readers)

    def _hand_out(self) -> Iterator[LookBatch]:
        full, self._full = self._full, []
        for batch in full:
            self.stats.batches += 1
            yield LookBatch(
                batch.number,
                batch.handed,
                batch.errors,
                batch.bytes,
                batch.seconds,
                os.fsdecode(batch.first_path or b""),
                os.fsdecode(batch.last_path or b""),
            )
            self._taken.append(batch.id or 0)  # the caller came back for more
            self._committed = time.monotonic()  # the time meanwhile was the caller's

    def _end(self) -> None:
        """Write down how far the run came."""
        is_over = self._is_complete
        with self._store.write() as connection:
            if self._taken:
                connection.execute(
                    look_batches.update().where(look_batches.c.id.in_(self._taken)).values(state=TAKEN)
                )
                self._taken = []
            values: dict[str, object] = {"state": FINISHED if is_over else STOPPED}
            if is_over:
                values["finished_at"] = datetime.now(UTC)
            connection.execute(look_runs.update().where(look_runs.c.id == self._run_id).values(**values))
        self.stats.seconds = time.monotonic() - self._began


_ELSEWHERE = ("preview", "faces", "took")  # what a look holds that lies in other tables
_COUNTS = (
    "photos", "damaged", "no_pixels", "errors", "bytes", "seconds", "cpu_seconds", "peak_memory", "faces",
)  # fmt: skip
_LOOK_COLUMNS = [column.name for column in looks.c]
