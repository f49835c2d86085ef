"""What a photo library holds, as its tables say; and forgetting.

Promises: nothing here touches a photo. What can be gained is counted of photos that are there now and have bytes of their
own. Forgetting deletes rows, never files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from .duplicates import groups
from .settle import reconcile
from .tables import (
    HASH_DUPLICATE,
    MISSING,
    batches,
    below,
    directories,
    duplicates,
    errors,
    facts,
    in_state,
    photos,
    scans,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .store import Store

_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest")


def statistics(store: Store) -> dict[str, Any]:
    """What the library holds: counts, and sizes in bytes."""
    present, own = photos.c.state != MISSING, photos.c.hardlink_of_id.is_(None)
    gain = sum(group.gain for group in groups(store))
    count = sa.func.count()
    with store.read() as connection:

        def one(query: sa.Select[Any]) -> Any:
            return connection.scalar(query) or 0

        formats = connection.execute(
            sa.select(photos.c.extension, count, sa.func.sum(sa.case((own, photos.c.size), else_=0)))
            .where(present)
            .group_by(photos.c.extension)
            .order_by(count.desc(), photos.c.extension)
        ).all()
        last = connection.execute(
            sa.select(scans.c.roots, scans.c.state, scans.c.started_at).order_by(scans.c.id.desc()).limit(1)
        ).first()
        return {
            "photos": one(sa.select(count).select_from(photos).where(present)),
            # Of a file with several names once.
            "bytes": int(one(sa.select(sa.func.sum(photos.c.size)).where(present, own))),
            "contents": one(sa.select(sa.func.count(sa.distinct(photos.c.hash))).where(present)),
            "duplicates": one(
                sa.select(count).select_from(duplicates).where(duplicates.c.reason == HASH_DUPLICATE)
            ),
            "duplicate_bytes": gain,  # of copies that are there now, and share no bytes
            "hard_links": one(
                sa.select(count).select_from(photos).where(present, photos.c.hardlink_of_id.is_not(None))
            ),
            "missing": one(sa.select(count).select_from(photos).where(in_state(MISSING))),
            "errors": one(sa.select(count).select_from(errors)),
            "damaged": one(sa.select(count).select_from(facts).where(facts.c.damaged.is_not(None))),
            "with_facts": one(sa.select(count).select_from(facts)),
            "mismatched": one(sa.select(count).select_from(facts).where(facts.c.mismatch)),
            "extensions": {
                extension: {"photos": number, "bytes": int(size)} for extension, number, size in formats
            },
            "last_scan": None
            if last is None
            else {
                "folders": last.roots.split("\0"),
                "state": last.state,
                "started_at": last.started_at.isoformat(timespec="seconds"),
            },
        }


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
                if not missing:
                    for folder in folders:
                        path = sa.type_coerce(errors.c.path, sa.LargeBinary)
                        inside = sa.and_(path >= folder + b"/", path < folder + b"0")
                        connection.execute(errors.delete().where(inside))
                return number
            connection.execute(photos.delete().where(photos.c.id.in_([row.id for row in rows])))
            reconcile(connection, {bytes(row.digest) for row in rows})


def batch_rows(store: Store) -> Iterator[dict[str, Any]]:
    """The ledger rows of all batches, oldest first."""
    columns = [column for column in batches.c if column.name not in ("id", "scan_id")]
    with store.read() as connection:
        rows = connection.execute(
            sa.select(batches.c.scan_id.label("scan"), *columns).order_by(batches.c.scan_id, batches.c.number)
        ).all()
    for row in rows:
        yield dict(row._mapping)  # noqa: SLF001 - the documented way to a dictionary


def error_rows(store: Store) -> Iterator[dict[str, Any]]:
    """All error rows, by path."""
    columns = errors.c.path, errors.c.stage, errors.c.kind, errors.c.text
    with store.read() as connection:
        rows = connection.execute(
            sa.select(*columns, errors.c.at).order_by(errors.c.path, errors.c.stage)
        ).all()
    for path, stage, kind, text, at in rows:
        yield {
            "path": path,
            "stage": stage,
            "kind": kind,
            "text": text,
            "at": at.isoformat(timespec="seconds"),
        }


def recent_errors(store: Store, roots: Sequence[bytes], number: int) -> list[tuple[str, str, str]]:
    """(path, stage, text) of up to `number` files that could not be walked or hashed below `roots`."""
    path = sa.type_coerce(errors.c.path, sa.LargeBinary)
    inside = [
        sa.or_(path == root, sa.and_(path >= root.rstrip(b"/") + b"/", path < root.rstrip(b"/") + b"0"))
        for root in roots
    ]
    with store.read() as connection:
        rows = connection.execute(
            sa.select(errors.c.path, errors.c.stage, errors.c.text)
            .where(errors.c.stage.in_(("walk", "hash")), sa.or_(*inside))
            .order_by(errors.c.id)
            .limit(number)
        ).all()
    return [(row.path, row.stage, row.text) for row in rows]
