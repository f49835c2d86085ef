"""What the tables know of a library that is imported into, and the rows of what was copied.

Promises: one row for each path, with what the copy is on disk, as a scan would write it; a scan trusts it, and reads
nothing again. `record` runs inside a transaction of the caller's and never commits.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from .kinds import Kind, extension_of, kind_of
from .reading import clamped, signed
from .reconcile import reconcile
from .settle import shown
from .tables import FACTS_VERSION, FINISHED, MISSING, NEW, PRESENT, below, directories, facts, photos, scans

if TYPE_CHECKING:
    from .header_facts import HeaderFacts
    from .store import Store


def is_scanned(store: Store, library: bytes) -> bool:
    """Whether a scan of the library (absolute), or of a folder around it, was ever finished."""
    with store.read() as connection:
        found = connection.scalars(sa.select(scans.c.roots).where(scans.c.state == FINISHED).distinct())
        roots = [root for roots in found for root in os.fsencode(roots).split(b"\0")]
    return any(library == root or library.startswith(root.rstrip(b"/") + b"/") for root in roots)


def has_photos(store: Store, library: bytes) -> bool:
    """Whether photos are recorded below the library that no scan has missed yet."""
    located = photos.join(directories, directories.c.id == photos.c.directory_id)
    query = sa.select(photos.c.id).select_from(located).where(below(library), photos.c.state != MISSING)
    with store.read() as connection:
        return connection.scalar(query.limit(1)) is not None


def record_empty(store: Store, library: bytes) -> None:
    """Commit that the library was seen empty, as a scan would: what it holds from now on is known."""
    now = datetime.now(UTC)
    values = {"roots": library, "state": FINISHED, "started_at": now, "finished_at": now, "files_seen": 0}
    with store.write() as connection:
        connection.execute(scans.insert().values(values))


def is_recorded(path: bytes) -> bool:
    """Whether a copy gets a row: photos and videos do, sidecars do not."""
    return kind_of(extension_of(os.path.basename(path))) in (Kind.PHOTO, Kind.VIDEO)  # noqa: PTH119 - bytes


def record(
    connection: sa.Connection,
    path: bytes,
    digest: bytes,
    status: os.stat_result,
    checked_ns: int,
    header: HeaderFacts | None = None,
) -> None:
    """Write the row of a photo or video that was copied to `path`, and have the copies of its content told anew.

    `checked_ns`: when its verification began (since 1970). An older row of the path, whose file is gone, becomes its."""
    folder, name = os.path.split(path)
    directory_id = _directory_id(connection, folder)
    filename, extension = shown(name)
    values = {
        "size": status.st_size,
        "mtime_ns": clamped(status.st_mtime_ns),
        "ctime_ns": clamped(status.st_ctime_ns),
        "inode": signed(status.st_ino),
        "hashed_ns": checked_ns,
        "state": PRESENT,
        "hash": digest,
        "filename": filename,
        "extension": extension,
        "processed_at": datetime.now(UTC),
        "found_as": NEW,
        "batch_id": None,
        "hardlink_of_id": None,
    }
    raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary)
    raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary)
    here = sa.and_(photos.c.directory_id == directory_id, raw_name == name)
    columns = photos.c.id, raw_hash, photos.c.inode, photos.c.state
    row = connection.execute(sa.select(*columns).where(here)).first()
    if row is not None and (bytes(row[1]), row.inode, row.state) == (digest, values["inode"], PRESENT):
        return  # a scan came first
    touched = {digest}
    if row is None:
        connection.execute(photos.insert().values(directory_id=directory_id, name=name, **values))
    else:
        touched.add(bytes(row[1]))
        connection.execute(photos.update().where(photos.c.id == row.id).values(values))
        if bytes(row[1]) != digest:
            connection.execute(facts.delete().where(facts.c.photo_id == row.id))
    if header is not None:
        photo_id = connection.scalar(sa.select(photos.c.id).where(here))
        connection.execute(facts.delete().where(facts.c.photo_id == photo_id))
        connection.execute(
            facts.insert().values(photo_id=photo_id, version=FACTS_VERSION, **header.columns())
        )
    reconcile(connection, touched)


def _directory_id(connection: sa.Connection, folder: bytes) -> int:
    """The number of a folder's row, which is made if there is none."""
    here = sa.type_coerce(directories.c.path, sa.LargeBinary) == folder
    found = connection.scalar(sa.select(directories.c.id).where(here))
    if found is None:
        connection.execute(directories.insert().values(path=folder))
        found = connection.execute(sa.select(directories.c.id).where(here)).scalar_one()
    return int(found)
