"""What a photo library holds, as its tables say; and forgetting.

Promises: nothing here touches a photo. What can be gained is counted of photos that are there now and have bytes of their
own. Forgetting deletes rows, never files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..messages import Message
from .duplicates import groups
from .reconcile import reconcile
from .store import scan_roots
from .tables import (
    HASH_DUPLICATE,
    MISSING,
    batches,
    below,
    directories,
    duplicates,
    errors,
    faces,
    facts,
    in_state,
    look_batches,
    looks,
    photos,
    scans,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .store import Store

_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_seen = photos.outerjoin(facts, facts.c.photo_id == photos.c.id).outerjoin(
    looks, looks.c.hash == photos.c.hash
)
_damaged = sa.func.coalesce(facts.c.damaged, looks.c.damaged)
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest")


@dataclass(frozen=True)
class OfExtension:
    """The photos with one extension: how many, and their bytes."""

    photos: int
    bytes: int


@dataclass(frozen=True)
class LastScan:
    """When the latest scan began (ISO 8601), of which folders, and how it stands."""

    folders: list[str]
    state: str
    started_at: str


@dataclass(frozen=True)
class Statistics:
    """What a library holds: counts, and sizes in bytes."""

    photos: int
    bytes: int  # of a file with several names once
    contents: int
    duplicates: int
    duplicate_bytes: int  # of copies that are there now, and share no bytes
    hard_links: int
    missing: int
    errors: int
    damaged: int
    with_facts: int
    mismatched: int
    extensions: dict[str, OfExtension]
    last_scan: LastScan | None


@dataclass(frozen=True)
class BatchRow:
    """The ledger row of a batch. Sizes in bytes."""

    scan: int
    number: int
    state: str
    first_path: str | None
    last_path: str | None
    photos: int
    changed: int
    copies: int
    errors: int
    bytes: int
    seconds: float
    cpu_seconds: float | None  # None: of a version that did not measure them
    peak_memory: int


@dataclass(frozen=True)
class ErrorRow:
    """What could not be walked, hashed or understood. `at`: when, in ISO 8601."""

    path: str
    stage: str
    kind: str
    text: Message
    at: str


def statistics(store: Store) -> Statistics:
    """What the library holds."""
    present, own = photos.c.state != MISSING, photos.c.hardlink_of_id.is_(None)
    gain = sum(group.gain for group in groups(store))
    count = sa.func.count()
    # Contents are counted along their index, all of them, and those are taken off of which every photo is missing: a state that
    # had to be asked for of each would have a million hashes sorted, which takes ten seconds.
    other = photos.alias()
    elsewhere = sa.exists().where(other.c.hash == photos.c.hash, other.c.state != MISSING)
    with store.read() as connection:

        def one(query: sa.Select[Any]) -> int:
            return int(connection.scalar(query) or 0)

        formats = connection.execute(
            sa.select(photos.c.extension, count, sa.func.sum(sa.case((own, photos.c.size), else_=0)))
            .where(present)
            .group_by(photos.c.extension)
            .order_by(count.desc(), photos.c.extension)
        ).all()
        last = connection.execute(
            sa.select(scans.c.roots, scans.c.state, scans.c.started_at).order_by(scans.c.id.desc()).limit(1)
        ).first()
        return Statistics(
            photos=sum(number for _extension, number, _size in formats),
            bytes=sum(int(size) for _extension, _number, size in formats),
            contents=one(sa.select(count).select_from(sa.select(photos.c.hash).distinct().subquery()))
            - one(sa.select(sa.func.count(sa.distinct(photos.c.hash))).where(in_state(MISSING), ~elsewhere)),
            duplicates=one(
                sa.select(count).select_from(duplicates).where(duplicates.c.reason == HASH_DUPLICATE)
            ),
            duplicate_bytes=gain,
            hard_links=one(
                sa.select(count).select_from(photos).where(present, photos.c.hardlink_of_id.is_not(None))
            ),
            missing=one(sa.select(count).select_from(photos).where(in_state(MISSING))),
            errors=one(sa.select(count).select_from(errors)),
            damaged=one(
                sa.select(count).select_from(_seen).where(_damaged.is_not(None), photos.c.state != MISSING)
            ),
            with_facts=one(sa.select(count).select_from(facts)),
            mismatched=one(sa.select(count).select_from(facts).where(facts.c.mismatch)),
            extensions={extension: OfExtension(number, int(size)) for extension, number, size in formats},
            last_scan=None
            if last is None
            else LastScan(last.roots.split("\0"), last.state, last.started_at.isoformat(timespec="seconds")),
        )


def forget(store: Store, folders: Sequence[bytes], *, missing: bool, really: bool) -> int:
    """Forget the photos below `folders` (all, if there are none), with `missing` only the missing ones.
    Returns how many; nothing is written unless `really`. Files are never touched."""
    where = [in_state(MISSING)] if missing else []
    if folders:
        where.append(sa.or_(*(below(folder) for folder in folders)))
    with store.read() as connection:
        number: int = connection.scalar(sa.select(sa.func.count()).select_from(_located).where(*where)) or 0
    if not really:
        return number
    while True:
        with store.write() as connection:
            rows = connection.execute(
                sa.select(photos.c.id, _raw_hash).select_from(_located).where(*where).limit(500)
            ).all()
            if not rows:
                empty = ~sa.exists().where(photos.c.directory_id == directories.c.id)
                connection.execute(directories.delete().where(empty))
                gone = ~sa.exists().where(photos.c.hash == looks.c.hash)
                connection.execute(looks.delete().where(gone))
                gone = ~sa.exists().where(photos.c.hash == faces.c.hash)
                connection.execute(faces.delete().where(gone))
                if not missing:
                    for folder in folders:
                        path = sa.type_coerce(errors.c.path, sa.LargeBinary)
                        inside = sa.and_(path >= folder + b"/", path < folder + b"0")
                        connection.execute(errors.delete().where(inside))
                return number
            connection.execute(photos.delete().where(photos.c.id.in_([row.id for row in rows])))
            reconcile(connection, {bytes(row.digest) for row in rows})


def scanned_roots(store: Store) -> list[bytes]:
    """The folders that were ever scanned, without those that lie inside of others."""
    path = sa.type_coerce(scans.c.roots, sa.LargeBinary)
    with store.read() as connection:
        found = connection.scalars(sa.select(path).distinct().order_by(path)).all()
    return scan_roots([root for roots in found for root in bytes(roots).split(b"\0")])


@dataclass(frozen=True)
class LookBatchRow:
    """A row of the ledger of looks."""

    run: int
    number: int
    state: str
    first_path: str | None
    last_path: str | None
    photos: int
    damaged: int
    no_pixels: int
    faces: int | None  # None: nobody has looked for any
    errors: int
    bytes: int
    seconds: float
    cpu_seconds: float | None  # None: of a version that did not measure them
    peak_memory: int


def look_batch_rows(store: Store) -> Iterator[LookBatchRow]:
    """The ledger rows of all batches of looks, oldest first."""
    columns = [column for column in look_batches.c if column.name not in ("id", "run_id")]
    query = sa.select(look_batches.c.run_id.label("run"), *columns)
    with store.read() as connection:
        rows = connection.execute(query.order_by(look_batches.c.run_id, look_batches.c.number)).all()
    for row in rows:
        yield LookBatchRow(**row._mapping)  # noqa: SLF001 - the documented way to a dictionary


def batch_rows(store: Store) -> Iterator[BatchRow]:
    """The ledger rows of all batches, oldest first."""
    columns = [column for column in batches.c if column.name not in ("id", "scan_id")]
    with store.read() as connection:
        rows = connection.execute(
            sa.select(batches.c.scan_id.label("scan"), *columns).order_by(batches.c.scan_id, batches.c.number)
        ).all()
    for row in rows:
        yield BatchRow(**row._mapping)  # noqa: SLF001 - the documented way to a dictionary


def error_rows(store: Store) -> Iterator[ErrorRow]:
    """All error rows, by path."""
    columns = errors.c.path, errors.c.stage, errors.c.kind, errors.c.text
    with store.read() as connection:
        rows = connection.execute(
            sa.select(*columns, errors.c.at).order_by(errors.c.path, errors.c.stage)
        ).all()
    for path, stage, kind, text, at in rows:
        yield ErrorRow(path, stage, kind, text, at.isoformat(timespec="seconds"))


def recent_errors(
    store: Store, roots: Sequence[bytes], number: int, stages: Sequence[str] = ("walk", "hash")
) -> list[tuple[str, str, Message]]:
    """(path, stage, text) of up to `number` files below `roots` that these stages could not read; by default those that
    could not be walked or hashed."""
    path = sa.type_coerce(errors.c.path, sa.LargeBinary)
    inside = [
        sa.or_(path == root, sa.and_(path >= root.rstrip(b"/") + b"/", path < root.rstrip(b"/") + b"0"))
        for root in roots
    ]
    with store.read() as connection:
        rows = connection.execute(
            sa.select(errors.c.path, errors.c.stage, errors.c.text)
            .where(errors.c.stage.in_(stages), sa.or_(*inside))
            .order_by(errors.c.id)
            .limit(number)
        ).all()
    return [(row.path, row.stage, row.text) for row in rows]
