"""What a scan writes as it goes: new photos, changes, copies and hard links.

Promises: after `settle` the rows of the items given are right, links between copies included (`reconcile`). Runs inside a transaction of the caller's and never commits. What is gone,
and what has moved, shows only when the walk has ended (`ending`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, TypedDict

import sqlalchemy as sa

from ..core.resources import Took
from ..messages import Message
from .hashing import Candidate
from .kinds import looks_like_media
from .names import Listings
from .plain_copies import PlainCopies
from .reading import Unreadable
from .reconcile import reconcile
from .same_content import Member, SameContent
from .store import Driver
from .tables import (
    BLANK,
    CHANGED,
    COPY,
    HARD_LINK,
    MISSING,
    NEW,
    OPEN,
    PENDING,
    PRESENT,
    SETTLED,
    errors,
    facts,
    pages,
    photos,
    raw_hash,
)
from .walk import WalkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .contents import Contents

# The values of one SELECT are filled up to a multiple of this.
VALUES_STEP = 20
# Photos that one statement inserts. With more, SQLite keeps what it needs to undo the statement in a file.
ROWS_AT_ONCE = 10

# A photo that is handed out: path, name, hash, size in bytes. Who asks for it gets a record.
Photo = tuple[bytes, bytes, bytes, int]


class Record(TypedDict):
    """A photo that is handed out, as callers get it. Names as Python gives them (surrogateescape); the hash is
    SHA-256 in hex; `size` in bytes; the extension with its dot, in lower case."""

    filename: str
    path: str
    hash: str
    size: int
    extension: str


_same_content: dict[str, sa.BindParameter[Any]] = {
    name: sa.bindparam(name)
    for name in ("size", "mtime_ns", "ctime_ns", "inode", "hashed_ns", "state", "hardlink_of_id")
}


@dataclass
class OpenBatch:
    """The batch that is being filled; its row exists."""

    id: int
    number: int
    first_path: bytes | None = None
    last_path: bytes | None = None
    photos: int = 0
    changed: int = 0
    copies: int = 0
    errors: int = 0
    read: int = 0  # bytes
    seconds: float = 0.0
    cpu_seconds: float | None = 0.0  # None: a version that did not measure them has begun it
    handed: list[Photo] = field(default_factory=list)


@dataclass
class Tally:
    """What one `settle` found."""

    registered: int = 0
    changed: int = 0
    already: int = 0
    copies: int = 0
    hard_links: int = 0
    errors: int = 0
    ruined: int = 0
    facts_errors: int = 0
    bytes_read: int = 0
    full: list[OpenBatch] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another call found, too."""
        for column in fields(self):
            setattr(self, column.name, getattr(self, column.name) + getattr(other, column.name))


@dataclass(frozen=True)
class WriterState:
    """What a `BatchWriter` knew before a call that failed."""

    current: OpenBatch | None
    number: int
    last: int  # row that `Contents` knew of


def shown(name: bytes) -> tuple[str, str]:
    """A file's name for showing, and for databases, which take no lone surrogates; and its extension."""
    text = name.decode("utf-8", "replace")
    dot = text.rfind(".")
    return text, text[dot:].lower() if dot > 0 else ""


def record(photo: Photo) -> Record:
    """A photo as callers get it."""
    path, name, digest, size = photo
    return {
        "filename": os.fsdecode(name),
        "path": os.fsdecode(path),
        "hash": digest.hex(),
        "size": size,
        "extension": shown(name)[1],
    }


def _on_disk(item: Candidate) -> dict[str, int]:
    return {
        "size": item.size,
        "mtime_ns": item.mtime_ns,
        "ctime_ns": item.ctime_ns,
        "inode": item.inode,
        "hashed_ns": item.hashed_ns,
    }


CORRUPT = Message("is corrupt: size and time are the same, the bytes are not; restore it from a backup")
# Statements of every commit.
_ADD_DIRECTORY = "INSERT INTO photo_directories (path) VALUES (?)"
_ADD_BATCH = (
    "INSERT INTO photo_batches (scan_id, number, state, photos, changed, copies, errors, bytes, seconds, cpu_seconds, "
    "peak_memory) VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0)"
)
_FIND_BATCH = "SELECT id FROM photo_batches WHERE scan_id = ? AND number = ?"
_SAVE_BATCH = (
    "UPDATE photo_batches SET state = ?, first_path = ?, last_path = ?, photos = ?, changed = ?, copies = ?, errors = ?, "
    "bytes = ?, seconds = ?, cpu_seconds = ?, peak_memory = ? WHERE id = ?"
)
_COLUMNS = [
    "directory_id",
    "name",
    "size",
    "mtime_ns",
    "ctime_ns",
    "inode",
    "hashed_ns",
    "state",
    "hash",
    "filename",
    "extension",
    "processed_at",
    "found_as",
    "batch_id",
]
DIGEST = _COLUMNS.index("hash")
_ADD_PHOTOS = f"INSERT INTO photos ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608
_PHOTO = f"({', '.join(['?'] * len(_COLUMNS))})"


def _insert(driver: Driver, inserts: Sequence[tuple[Any, ...]]) -> None:
    """Add rows of `_COLUMNS` to `photos`. Half of a first scan's time at tiny files went into making
    parameters out of dictionaries; a fourth of the rest into statements for one row each."""
    whole = len(inserts) - len(inserts) % ROWS_AT_ONCE
    together = [
        tuple(chain.from_iterable(inserts[start : start + ROWS_AT_ONCE]))
        for start in range(0, whole, ROWS_AT_ONCE)
    ]
    if together:
        driver.run(_ADD_PHOTOS + ", ".join([_PHOTO] * ROWS_AT_ONCE), together)
    if whole < len(inserts):
        driver.run(_ADD_PHOTOS + _PHOTO, inserts[whole:])


@dataclass
class _Work:
    """One call of `settle`: what is known of its items, and what is to be written about them."""

    connection: sa.Connection
    driver: Driver
    now: datetime
    stamp: Any  # `now` as the driver wants it
    share: float  # seconds that each item took
    cpu_share: float  # CPU seconds, likewise
    rows: dict[int, Any] = field(default_factory=dict)
    members: dict[bytes, list[Member | Candidate]] = field(default_factory=dict)  # rows, then items
    same: dict[bytes, SameContent] = field(default_factory=dict)
    plain: dict[bytes, list[Candidate]] = field(
        default_factory=dict
    )  # copies that need no look at the others
    tally: Tally = field(default_factory=Tally)
    inserts: list[tuple[Any, ...]] = field(default_factory=list)
    verified: list[dict[str, str | int | None]] = field(default_factory=list)
    whole: list[bytes] = field(
        default_factory=list
    )  # paths of what was read again and is as it was, or was edited
    linked: list[tuple[Member, Candidate]] = field(default_factory=list)
    listings: Listings = field(default_factory=Listings)
    touched: set[bytes] = field(default_factory=set)  # contents whose copies are told apart anew
    failed: list[tuple[bytes, str, str, Message]] = field(default_factory=list)


class BatchWriter:
    """Writes the items of one scan, in the order of the walk."""

    def __init__(
        self,
        scan_id: int,
        batch_size: int,
        number: int,
        current: OpenBatch | None,
        contents: Contents | None = None,
        *,
        since: int = 0,
    ) -> None:
        """`number`: of the last batch that is complete. `current`: a batch left open by an interruption.
        `contents`: where rows are looked up by their hash instead of in the database. `since`: the last photo's row
        when this run began."""
        self.scan_id = scan_id
        self.current = current
        self._batch_size = batch_size
        self._number = number
        self._contents = contents
        self._since = since
        self._directory_ids: dict[bytes, int] = {}
        self._plain_copies = PlainCopies()

    def state(self) -> WriterState:
        """For `restore`."""
        current = self.current and replace(self.current, handed=list(self.current.handed))
        return WriterState(current, self._number, self._contents.last if self._contents is not None else 0)

    def restore(self, state: WriterState) -> None:
        """Forget what a call of `settle` did whose transaction was undone."""
        self.current, self._number = state.current, state.number
        self._directory_ids.clear()
        self._plain_copies.forget()
        if self._contents is not None:
            self._contents.last = state.last

    def settle(
        self,
        connection: sa.Connection,
        items: Sequence[Candidate | WalkError],
        took: Took,
        *,
        is_last: bool,
    ) -> Tally:
        """Write `items`, which `took` so much. `is_last`: no more will come in this scan, and the batch that is open is
        complete."""
        now = datetime.now(UTC)
        stamp = photos.c.processed_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        part = 1 / max(1, len(items))
        shares = took.seconds * part, took.cpu_seconds * part
        work = _Work(connection, Driver(connection), now, stamp(now) if stamp is not None else now, *shares)
        found = [item for item in items if isinstance(item, Candidate)]
        work.rows = self._rows(connection, found)
        for one in found:  # hard links take over what was read through the first of them
            first = one.same_as
            if isinstance(first, Candidate):
                one.digest, one.hashed_ns, one.error = first.digest, first.hashed_ns, first.error
            elif first is not None and (row := work.rows.get(first)) is not None:
                one.digest, one.hashed_ns = row.hash, time.time_ns()
            elif one.trusted and one.links > 1 and (row := work.rows.get(one.photo_id or 0)) is not None:
                one.digest = row.hash  # back again: meanwhile others may have become the base of its links
        hashed = [one for one in found if one.digest is not None]
        digests = {one.digest for one in hashed if one.digest is not None}
        work.plain = self._plain_copies.among(work.driver, hashed, [row.hash for row in work.rows.values()])
        work.members = self._members(work.driver, digests - work.plain.keys())
        self._find_directories(work.driver, {one.directory for one in hashed})
        if (
            len(digests) == len(items)
            and not work.rows
            and not work.members
            and not work.plain
            and not any(one.blank for one in hashed)
        ):
            self._add_new(work, hashed)  # nearly all of a first scan, at half the price
        else:
            for item in items:
                self._settle(work, item)
        self._write(work)
        if is_last and self.current is not None:
            work.tally.full.append(self.current)
            self.current = None
        saved = [(full, SETTLED) for full in work.tally.full]
        if self.current is not None:
            saved.append((self.current, OPEN))
        _save(work.driver, saved, took.peak_memory)
        return work.tally

    def _settle(self, work: _Work, item: Candidate | WalkError) -> None:
        """Decide what the item is to those that are known."""
        tally = work.tally
        row = work.rows.get(item.photo_id) if isinstance(item, Candidate) and item.photo_id else None
        if isinstance(item, Candidate) and item.trusted:
            tally.already += 1
            if row is not None:
                work.connection.execute(photos.update().where(photos.c.id == row.id).values(state=PRESENT))
                work.touched.add(row.hash)
                self._look_around(work, item)
            return
        if isinstance(item, WalkError) or item.digest is None:
            self._fail(work, item)
            return
        if row is not None and row.hash != item.digest and _is_ruin(work, item, row):
            text = Message("was a photo, is now no image: restore it from a backup")
            if item.blank:
                text = Message(
                    "was a photo, is now no image but the same byte over and over: restore it from a backup"
                )
            item.error = Unreadable("ruined", text)
            self._fail(work, item)
            return
        if row is not None and row.hash != item.digest and _is_corrupt(work, item):
            item.error = Unreadable("ruined", CORRUPT)
            self._fail(work, item)
            return
        if item.blank and (row is None or row.state == BLANK):
            self._settle_blank(work, item, row)
            return
        if item.digest in work.plain:
            tally.copies += 1
            self._add_known(work, item, COPY, PRESENT)
            return
        has_others, link, all_stand = self._look_around(work, item)
        if row is not None and row.hash == item.digest:
            tally.already += 1
            tally.bytes_read += item.read
            state = PRESENT if row.state == MISSING else row.state
            work.verified.append({"key": row.id, **_on_disk(item), "state": state, "hardlink_of_id": None})
            work.whole.append(item.path)
            if row.state == MISSING or row.hardlink_of_id is not None:
                work.touched.add(item.digest)
        elif row is not None:
            self._change(work, item, row)
        elif link is not None:
            tally.hard_links += 1
            self._add_known(work, item, HARD_LINK, PRESENT)
        elif has_others:
            work.touched.add(item.digest)
            tally.copies += all_stand
            self._add_known(work, item, COPY, PRESENT if all_stand else PENDING)
        else:
            self._add_new(work, [item])
            work.members.setdefault(item.digest, []).append(item)

    @staticmethod
    def _look_around(work: _Work, item: Candidate) -> tuple[bool, Member | None, bool]:
        """Whether others hold the item's content, which of them it is a hard link of, and whether all stand."""
        same = work.members.get(item.digest) if item.digest is not None else None
        if not same or item.digest is None:
            return False, None, True
        found = work.same.get(item.digest)
        if found is None:
            found = work.same[item.digest] = SameContent(same, work.listings)
        link, all_stand = found.company(item)
        if link is not None:
            work.linked.append((link, item))
            work.touched.add(item.digest)
        return True, link, all_stand

    def _fail(self, work: _Work, item: Candidate | WalkError) -> None:
        error = item.error or Unreadable("changed", "changed while the folder was being scanned")
        stage = item.stage if isinstance(item, WalkError) else "hash"
        work.failed.append((item.path, stage, error.kind, error.sentence))
        if self.current is not None:  # errors alone make no batch: they come again in every scan
            self.current.errors += 1
        work.tally.errors += stage != "facts"
        work.tally.ruined += error.kind == "ruined"
        work.tally.facts_errors += stage == "facts"

    def _settle_blank(self, work: _Work, item: Candidate, row: Any) -> None:
        """A file that holds nothing but zeros is recorded, so that it is not read again, and is a copy of nothing."""
        assert item.digest is not None  # noqa: S101 - `_settle` saw to that
        work.tally.facts_errors += 1
        work.tally.bytes_read += item.read
        if row is not None:
            work.verified.append({"key": row.id, **_on_disk(item), "state": BLANK, "hardlink_of_id": None})
            if row.hash != item.digest:
                values = {"hash": item.digest}
                work.connection.execute(photos.update().where(photos.c.id == row.id).values(values))
            return
        batch = self._enter(work, [item])
        batch.errors += 1
        work.inserts += self._values(work, batch, [item], NEW, BLANK)

    def _change(self, work: _Work, item: Candidate, row: Any) -> None:
        """The path of `row` holds a new content."""
        assert item.digest is not None  # noqa: S101 - `_settle` saw to that
        batch = self._enter(work, [item])
        work.touched |= {row.hash, item.digest}
        work.connection.execute(
            photos.update()
            .where(photos.c.id == row.id)
            .values(
                **_on_disk(item),
                hash=item.digest,
                processed_at=work.now,
                batch_id=batch.id,
                state=PRESENT,
                found_as=CHANGED,
                hardlink_of_id=None,
            )
        )
        work.connection.execute(facts.delete().where(facts.c.photo_id == row.id))
        if row.hash in work.members:
            work.members[row.hash] = [
                one for one in work.members[row.hash] if isinstance(one, Candidate) or one.id != row.id
            ]
            work.same.pop(row.hash, None)
        work.members.setdefault(item.digest, []).append(item)
        work.tally.changed += 1
        work.whole.append(item.path)
        batch.changed += 1
        self._hand_out(work, batch, [item])

    def _add_known(self, work: _Work, item: Candidate, found_as: str, state: str) -> None:
        """A new path of a content that is known."""
        assert item.digest is not None  # noqa: S101 - `_settle` saw to that
        batch = self._enter(work, [item])
        batch.copies += found_as == COPY
        work.members.setdefault(item.digest, []).append(item)
        work.inserts += self._values(work, batch, [item], found_as, state)

    def _add_new(self, work: _Work, items: Sequence[Candidate]) -> None:
        """New paths, each of a content that is new."""
        while items:
            room = self._batch_size - (len(self.current.handed) if self.current is not None else 0)
            these, items = items[:room], items[room:]
            batch = self._enter(work, these)
            batch.photos += len(these)
            work.tally.registered += len(these)
            work.inserts += self._values(work, batch, these, NEW, PRESENT)
            self._hand_out(work, batch, these)

    def _enter(self, work: _Work, items: Sequence[Candidate]) -> OpenBatch:
        """Have the batch that is open count the items."""
        batch = self.current or self._batch(work.driver)
        if batch.first_path is None:
            batch.first_path = items[0].path
        batch.last_path = items[-1].path
        read = sum([item.read for item in items])
        batch.read += read
        work.tally.bytes_read += read
        batch.seconds += work.share * len(items)
        if batch.cpu_seconds is not None:
            batch.cpu_seconds += work.cpu_share * len(items)
        return batch

    def _hand_out(self, work: _Work, batch: OpenBatch, items: Sequence[Candidate]) -> None:
        batch.handed += [(item.path, item.name, item.digest or b"", item.size) for item in items]
        if len(batch.handed) >= self._batch_size:
            work.tally.full.append(batch)
            self.current = None

    def _values(
        self, work: _Work, batch: OpenBatch, items: Sequence[Candidate], found_as: str, state: str
    ) -> list[tuple[Any, ...]]:
        """New rows of `_COLUMNS`."""
        directory_ids, stamp, key = self._directory_ids, work.stamp, batch.id
        return [
            (
                directory_ids[item.directory],
                item.name,
                item.size,
                item.mtime_ns,
                item.ctime_ns,
                item.inode,
                item.hashed_ns,
                state,
                item.digest,
                *shown(item.name),
                stamp,
                found_as,
                key,
            )
            for item in items
        ]

    def _write(self, work: _Work) -> None:
        """Everything but the batches."""
        _insert(work.driver, work.inserts)
        if self._contents is not None:
            self._contents.add([row[DIGEST] for row in work.inserts])
        if work.verified:
            work.connection.execute(
                photos.update().where(photos.c.id == sa.bindparam("key")).values(_same_content), work.verified
            )
        for page in pages(work.whole):
            paths = [os.fsdecode(path) for path in page]
            work.connection.execute(
                errors.delete().where(errors.c.path.in_(paths), errors.c.stage == "verify")
            )
        for link, item in work.linked:
            self._link(work.connection, link, item)
        write_errors(work.connection, work.failed, work.now, self.scan_id)
        reconcile(work.connection, work.touched, self._contents)
        self._plain_copies.write(work.driver, work.plain, self._directory_ids)
        for digest, same in work.same.items():
            self._plain_copies.note(work.driver, digest, same)

    def _batch(self, driver: Driver) -> OpenBatch:
        """Open a new batch."""
        self._number += 1
        driver.run(_ADD_BATCH, [(self.scan_id, self._number, OPEN)])
        ((key,),) = driver.rows(_FIND_BATCH, (self.scan_id, self._number))
        self.current = OpenBatch(key, self._number)
        return self.current

    def _members(self, driver: Driver, digests: set[bytes]) -> dict[bytes, list[Member | Candidate]]:
        """The rows of these contents, oldest first."""
        found: dict[bytes, list[Member | Candidate]] = {}
        values: Iterable[bytes | int] = digests
        condition = "hash IN ({})"
        if self._contents is not None:
            self._contents.catch_up(driver)
            values, condition = sorted(self._contents.find(digests)), "photos.id IN ({})"
        text = (
            "SELECT photos.id, hash, path, name, hashed_ns FROM photos JOIN photo_directories d ON d.id = directory_id "  # noqa: S608
            f"WHERE {condition} ORDER BY photos.id"
        )
        for key, digest, directory, name, hashed_ns in _those(driver, text, values):
            fresh = key > self._since and hashed_ns > 0
            member = Member(key, bytes(digest), bytes(directory), bytes(name), fresh)
            found.setdefault(member.hash, []).append(member)
        return found

    @staticmethod
    def _rows(connection: sa.Connection, items: Iterable[Candidate]) -> dict[int, Any]:
        """The rows of the items' own paths, and of those they are hard links of."""
        ids = {item.photo_id for item in items if item.photo_id is not None}
        ids |= {item.same_as for item in items if isinstance(item.same_as, int)}
        columns = photos.c.id, raw_hash, photos.c.state, photos.c.hardlink_of_id
        return {
            row.id: row
            for page in pages(ids)
            for row in connection.execute(sa.select(*columns).where(photos.c.id.in_(page)))
        }

    def _find_directories(self, driver: Driver, wanted: set[bytes]) -> None:
        """Have the row number of each folder in `_directory_ids`, making rows that are not there."""
        unknown = sorted(wanted - self._directory_ids.keys())
        if not unknown:
            return
        if len(self._directory_ids) > 10_000:  # about 1 MB
            self._directory_ids.clear()
            unknown = sorted(wanted)
        text = "SELECT path, id FROM photo_directories WHERE path IN ({})"
        there = {bytes(path): key for path, key in _those(driver, text, unknown)}
        if new := [path for path in unknown if path not in there]:
            driver.run(_ADD_DIRECTORY, [(path,) for path in new])
            there |= {bytes(path): key for path, key in _those(driver, text, new)}
        self._directory_ids |= there

    def _link(self, connection: sa.Connection, oldest: Member, item: Candidate) -> None:
        """Record that `item` and the oldest other row that is the same file are that."""
        to = oldest.id or _row_id(connection, self._directory_ids[oldest.directory], oldest.name)
        own = item.photo_id or _row_id(connection, self._directory_ids[item.directory], item.name)
        base = connection.scalar(sa.select(photos.c.hardlink_of_id).where(photos.c.id == to))
        if base == own:
            return
        if base is None and to < own:
            connection.execute(photos.update().where(photos.c.id == own).values(hardlink_of_id=to))
            return
        first = min(own, to)
        # What `to` was a link of is another file by now, or gone. Of its links, those with this inode are this file's.
        links = sa.and_(
            photos.c.hardlink_of_id.in_((to, base if base is not None else to)),
            photos.c.hash == item.digest,
            photos.c.inode == item.inode,
        )
        for these in (photos.c.id.in_((own, to)), links):
            connection.execute(photos.update().where(these).values(hardlink_of_id=first))
        connection.execute(photos.update().where(photos.c.id == first).values(hardlink_of_id=None))


def _is_ruin(work: _Work, item: Candidate, row: Any) -> bool:
    """Whether the path of `row`, which held a photo, now holds what is none: its hash must not be lost."""
    if row.state == BLANK:
        return False
    if item.blank:
        return True
    was_image = sa.select(facts.c.format).where(facts.c.photo_id == row.id)
    return bool(work.connection.scalar(was_image)) and not looks_like_media(item.path)


def _is_corrupt(work: _Work, item: Candidate) -> bool:
    """Whether `verify` has found the file corrupt, and nothing but its bytes has another value since: then it was not
    edited."""
    alike = sa.select(photos.c.id).where(
        photos.c.id == item.photo_id, photos.c.size == item.size, photos.c.mtime_ns == item.mtime_ns
    )
    if work.connection.scalar(alike) is None:
        return False
    found = sa.select(errors.c.id).where(
        errors.c.path == os.fsdecode(item.path), errors.c.stage == "verify", errors.c.kind == "corrupt"
    )
    return work.connection.scalar(found) is not None


def _save(driver: Driver, saved: Sequence[tuple[OpenBatch, str]], peak_memory: int) -> None:
    """Write the rows of batches, each with its state."""
    rows = [
        (
            state,
            batch.first_path,
            batch.last_path,
            batch.photos,
            batch.changed,
            batch.copies,
            batch.errors,
            batch.read,
            batch.seconds,
            batch.cpu_seconds,
            peak_memory,
            batch.id,
        )
        for batch, state in saved
    ]
    if rows:
        driver.run(_SAVE_BATCH, rows)


def write_errors(
    connection: sa.Connection,
    failed: list[tuple[bytes, str, str, Message]],
    now: datetime,
    scan_id: int | None,
) -> None:
    """One row for each (path, stage, kind, text); an older row of the same path and stage goes."""
    if not failed:
        return
    connection.execute(
        errors.delete().where(errors.c.path == sa.bindparam("p"), errors.c.stage == sa.bindparam("s")),
        [{"p": path, "s": stage} for path, stage, _, _ in failed],
    )
    connection.execute(
        errors.insert(),
        [
            {"path": path, "stage": stage, "kind": kind, "text": text, "at": now, "scan_id": scan_id}
            for path, stage, kind, text in failed
        ],
    )


def _those(driver: Driver, text: str, values: Iterable[Any]) -> Iterator[Any]:
    """The rows of a SELECT for many values. Of few lengths, so that the database knows it already."""
    for page in pages(values):
        filled = (*page, *page[-1:] * (-len(page) % VALUES_STEP))
        yield from driver.rows(text.format(", ".join("?" * len(filled))), filled)


def _row_id(connection: sa.Connection, directory_id: int, name: bytes) -> int:
    here = sa.select(photos.c.id).where(photos.c.directory_id == directory_id, photos.c.name == name)
    row: int = connection.execute(here).scalar_one()
    return row
