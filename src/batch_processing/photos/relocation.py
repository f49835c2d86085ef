"""A library that was renamed, or mounted elsewhere: its rows follow it, by hand and without reading.

Promises: one transaction; killed at any moment, all rows or none have followed. What was recorded at the new
place meanwhile and is the same photo becomes one row with the old. No file is touched or read. Does not
compare contents: it is the next scan that looks at sizes and times.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..exceptions import ValidationError
from .ending import known_below, take_place
from .hashing import join
from .reconcile import reconcile
from .tables import MISSING, batches, below, below_path, directories, errors, pages, photos, scans
from .walk import is_below

if TYPE_CHECKING:
    from .store import Store

_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest")


@dataclass
class Relocated:
    """What `relocate` did, in photos."""

    photos: int = 0  # that have followed
    joined: int = 0  # of these: recorded at the new place already, as the same photo
    left: int = 0  # another photo was recorded at their new place: they stay where they were, as missing
    not_there: int = 0  # of those that followed: not at the new place, or of another size


def relocate(store: Store, old: bytes, new: bytes, *, really: bool = True) -> Relocated:
    """Have everything recorded below `old` be recorded below `new` (absolute folders). Without `really` nothing is written.

    ValidationError if nothing is recorded below `old`, if `new` is no folder, if one lies in the other, or if none of
    the photos is at its new place."""
    if is_below(new, old) or is_below(old, new):
        raise ValidationError(
            "{old} and {new} lie in each other: name the folder as it was, and as it is now.",
            old=os.fsdecode(old),
            new=os.fsdecode(new),
        )
    if not os.path.isdir(new):  # noqa: PTH112 - bytes
        raise ValidationError(
            "The folder {new} does not exist: name the library as it is now.", new=os.fsdecode(new)
        )
    found = Relocated()
    with store.read() as connection:
        if not known_below(connection, old):
            raise ValidationError(
                "No photo is known below {old}: name the library as it was.", old=os.fsdecode(old)
            )
        _look(connection, old, new, found)
    if found.not_there == found.photos:
        raise ValidationError(
            "None of the {photos} photos recorded below {old} is below {new}: name the library as it "
            "was, and as it is now.",
            photos=found.photos,
            old=os.fsdecode(old),
            new=os.fsdecode(new),
        )
    if really:
        with store.write() as connection:
            _follow(connection, old, new, found)
    return found


def _look(connection: sa.Connection, old: bytes, new: bytes, found: Relocated) -> None:
    """Count the photos, and those that are not at their new place."""
    rows = connection.execute(
        sa.select(_raw_path, _raw_name, photos.c.size)
        .select_from(_located)
        .where(below(old), photos.c.state != MISSING)
    )
    for row in rows:
        found.photos += 1
        there = False
        with suppress(OSError):
            status = os.lstat(join(new + bytes(row.directory)[len(old) :], bytes(row.name)))
            there = stat.S_ISREG(status.st_mode) and status.st_size == row.size
        found.not_there += not there


def _follow(connection: sa.Connection, old: bytes, new: bytes, found: Relocated) -> None:
    raw = sa.type_coerce(directories.c.path, sa.LargeBinary)
    there = {
        bytes(path): key
        for key, path in connection.execute(sa.select(directories.c.id, raw).where(below(new)))
    }
    touched: set[bytes] = set()
    rows = connection.execute(sa.select(directories.c.id, raw, directories.c.mount).where(below(old))).all()
    for key, path, mount in rows:
        target = new + bytes(path)[len(old) :]
        if target in there:
            touched |= _join_folders(connection, key, there[target], found)
            continue
        values: dict[str, str] = {"path": os.fsdecode(target)}
        if mount is not None and is_below(os.fsencode(mount), old):
            values["mount"] = os.fsdecode(new + os.fsencode(mount)[len(old) :])
        connection.execute(directories.update().where(directories.c.id == key).values(values))
    reconcile(connection, touched)
    _rewrite(connection, errors, "path", old, new)
    _rewrite(connection, batches, "first_path", old, new)
    _rewrite(connection, batches, "last_path", old, new)
    _rewrite(connection, scans, "start_path", old, new)
    for scan_id, roots in connection.execute(sa.select(scans.c.id, scans.c.roots)).all():
        parts = [os.fsencode(root) for root in roots.split("\0")]
        moved = [
            new + part[len(old) :] if part == old or part.startswith(old + b"/") else part for part in parts
        ]
        if moved != parts:
            text = os.fsdecode(b"\0".join(dict.fromkeys(moved)))
            connection.execute(scans.update().where(scans.c.id == scan_id).values(roots=text))


def _join_folders(connection: sa.Connection, source: int, target: int, found: Relocated) -> set[bytes]:
    """Have the photos of one folder's row be those of another's. Returns the contents that this is about."""
    columns = photos, _raw_hash, _raw_name.element.label("raw_name")
    here = {
        bytes(row.raw_name): row
        for row in connection.execute(sa.select(*columns).where(photos.c.directory_id == target))
    }
    touched: set[bytes] = set()
    for row in connection.execute(sa.select(*columns).where(photos.c.directory_id == source)).all():
        other = here.get(bytes(row.raw_name))
        touched.add(bytes(row.digest))
        if other is None:
            connection.execute(photos.update().where(photos.c.id == row.id).values(directory_id=target))
        elif bytes(other.digest) == bytes(row.digest):
            take_place(connection, row, other)
            found.joined += 1
        else:
            connection.execute(photos.update().where(photos.c.id == row.id).values(state=MISSING))
            found.left += 1
            found.photos -= 1
    return touched


def _rewrite(connection: sa.Connection, table: sa.Table, column: str, old: bytes, new: bytes) -> None:
    """Paths in a column that began with `old` begin with `new`. An error that is recorded at the new place already
    counts."""
    raw = sa.type_coerce(table.c[column], sa.LargeBinary)
    rows = connection.execute(
        sa.select(table.c.id, raw).where(sa.or_(raw == old, below_path(raw, old)))
    ).all()
    for page in pages(rows):
        for key, path in page:
            text = os.fsdecode(new + bytes(path)[len(old) :])
            if table is errors:
                stage = sa.select(errors.c.stage).where(errors.c.id == key).scalar_subquery()
                taken = sa.select(errors.c.id).where(errors.c.path == text, errors.c.stage == stage)
                if connection.scalar(taken) is not None:
                    connection.execute(errors.delete().where(errors.c.id == key))
                    continue
            connection.execute(table.update().where(table.c.id == key).values({column: text}))
