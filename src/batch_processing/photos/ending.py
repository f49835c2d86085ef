"""What the end of a scan's walk decides: what has moved, what is missing, and whether to believe it.

Promises: after `finish` the rows of everything below the folders are right, whatever was interrupted before. Runs
inside a transaction of the caller's and never commits. Refuses to call a library missing whose drive is.
Does not decide about photos outside the folders given, except that a file which is gone from a folder
that still stands cannot keep another from having been moved.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..exceptions import ValidationError
from .hashing import join
from .settle import reconcile, release
from .tables import (
    COPY,
    HARD_LINK,
    MISSING,
    MOVED,
    NEW,
    PENDING,
    PRESENT,
    batches,
    below,
    directories,
    errors,
    in_state,
    pages,
    photos,
)
from .walk import Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

# A scan stops when more of a root's photos are missing than this share and this number.
GUARD_SHARE = 0.10
GUARD_NUMBER = 100

# The columns as bytes: inside this room names, paths and hashes are never text.
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("hash")
_located = photos.join(directories, directories.c.id == photos.c.directory_id)


class ScanGuardError(ValidationError):
    """So many photos are missing that a drive is more likely gone than the photos; nothing was marked."""

    exit_code = 13


@dataclass
class Ending:
    """What the end of the walk decided."""

    moved: int = 0
    missing: int = 0


def finish(connection: sa.Connection, walk: Walk, scan_id: int, *, allow_missing: bool) -> Ending:
    """Tell moves from copies, and mark what is missing below the folders of `walk`.

    ScanGuardError when too much is missing; the caller's transaction then undoes everything."""
    find_lost_folders(connection, walk)
    moved = _find_moves(connection, walk)
    if not allow_missing and len(walk.gone) > GUARD_NUMBER:
        for root in walk.roots:
            _guard(connection, walk, root, scan_id)
    missing = 0
    for page in pages(walk.gone):
        missing += connection.execute(
            photos.update().where(photos.c.id.in_(page), photos.c.state != MISSING).values(state=MISSING)
        ).rowcount
        lost = connection.scalars(sa.select(_raw_hash).where(photos.c.id.in_(page)))
        reconcile(connection, {bytes(digest) for digest in lost})
    for root in walk.roots:
        path = sa.type_coerce(errors.c.path, sa.LargeBinary)
        inside = sa.or_(path == root, sa.and_(path >= root + b"/", path < root + b"0"))
        connection.execute(
            errors.delete().where(
                sa.true() if root == b"/" else inside,
                sa.or_(errors.c.stage.in_(("walk", "hash")), errors.c.kind == "empty"),
                sa.or_(errors.c.scan_id.is_(None), errors.c.scan_id != scan_id),
            )
        )
    return Ending(moved, missing)


def find_lost_folders(connection: sa.Connection, walk: Walk) -> None:
    """Photos of folders that are no longer there at all are gone; those of folders that were left alone
    (ignored, not to be listed, before the start) are not."""
    raw = sa.type_coerce(directories.c.path, sa.LargeBinary)
    for root in walk.roots:
        for page in pages(
            (key, bytes(path))
            for key, path in connection.execute(sa.select(directories.c.id, raw).where(below(root)))
            if key not in walk.visited
        ):
            lost = [key for key, path in page if not walk.before_start(path) and not _stands(path)]
            for key in connection.scalars(
                sa.select(photos.c.id).where(photos.c.directory_id.in_(lost), photos.c.state != MISSING)
            ):
                walk.gone.add(key)


def _stands(path: bytes) -> bool:
    """Whether something is there, or may be: only "no such file" says that it is not."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _left(path: bytes) -> bool:
    """Whether a file is gone from a folder that is still there and holds something: an unplugged
    drive leaves its mount point empty."""
    if _stands(path):
        return False
    try:
        with os.scandir(os.path.dirname(path)) as listing:  # noqa: PTH120 - bytes
            return next(listing, None) is not None
    except OSError:
        return False


def _find_moves(connection: sa.Connection, walk: Walk) -> int:
    """Settle the photos that are PENDING below the folders: for each content, those whose row is gone
    (or missing since an earlier scan) take the new path, by equal name first; the rest are copies."""
    from array import array

    pending = array(
        "q", connection.scalars(sa.select(photos.c.id).where(in_state(PENDING)).order_by(photos.c.id))
    )
    moved = 0
    settled: set[bytes] = set()
    for page in pages(pending):
        wanted = sa.select(photos.c.hash).where(photos.c.id.in_(page), photos.c.state == PENDING)
        groups: dict[bytes, list[Any]] = defaultdict(list)
        for row in connection.execute(
            sa.select(
                photos, _raw_hash.element.label("digest"), _raw_path, _raw_name.element.label("raw_name")
            )
            .select_from(_located)
            .where(photos.c.hash.in_(wanted))
            .order_by(photos.c.id)
        ):
            groups[bytes(row.digest)].append(row)
        settled.clear()
        for digest, rows in groups.items():
            targets = [
                row
                for row in rows
                if row.state == PENDING and row.id not in walk.gone and walk.covers(bytes(row.directory))
            ]
            if not targets:
                continue
            settled.add(digest)
            sources = [row for row in rows if _has_left(row, walk)]
            pairs = _pair(sources, targets)
            for source, target in pairs:
                _move(connection, source, target)
                walk.gone.discard(source.id)
            moved += len(pairs)
            taken = {target.id for _, target in pairs}
            copies = [row.id for row in targets if row.id not in taken]
            connection.execute(photos.update().where(photos.c.id.in_(copies)).values(state=PRESENT))
            others = [row for row in rows if row.state == PRESENT and row.id not in walk.gone]
            if copies and not pairs and not others:
                moved += 1  # the row it came from holds a new photo by now
        reconcile(connection, settled)
    return moved


def _has_left(row: Any, walk: Walk) -> bool:
    if row.state == PENDING:
        return False
    if row.state == MISSING or row.id in walk.gone:
        return True
    directory = bytes(row.directory)
    return not walk.covers(directory) and _left(join(directory, bytes(row.raw_name)))


def _pair(sources: Sequence[Any], targets: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Old rows with new ones: by equal name first, then in order."""
    pairs = []
    free = list(targets)
    rest = []
    for source in sources:
        target = next((one for one in free if bytes(one.raw_name) == bytes(source.raw_name)), None)
        if target is None:
            rest.append(source)
        else:
            free.remove(target)
            pairs.append((source, target))
    return pairs + list(zip(rest, free, strict=False))


def _move(connection: sa.Connection, source: Any, target: Any) -> None:
    """The old row takes the place of the new one: what was learned about a photo stays with it. Its hard links
    stay what they are, those of the new one become its own."""
    links = photos.c.hardlink_of_id == source.id, photos.c.hash == source.digest
    if (first := connection.scalar(sa.select(sa.func.min(photos.c.id)).where(*links))) is not None:
        release(connection, source.id, source.digest, first)
    connection.execute(
        photos.update().where(photos.c.hardlink_of_id == target.id).values(hardlink_of_id=source.id)
    )
    connection.execute(photos.delete().where(photos.c.id == target.id))
    columns = (
        "directory_id name filename extension size mtime_ns ctime_ns inode hashed_ns batch_id hardlink_of_id"
    )
    connection.execute(
        photos.update()
        .where(photos.c.id == source.id)
        .values(**{name: getattr(target, name) for name in columns.split()}, state=PRESENT, found_as=MOVED)
    )


def _guard(connection: sa.Connection, walk: Walk, root: bytes, scan_id: int) -> None:
    located = sa.select(sa.func.count()).select_from(_located).where(below(root))
    missing = sum(
        connection.scalar(located.where(photos.c.id.in_(page), photos.c.state != MISSING)) or 0
        for page in pages(walk.gone)
    )
    if missing <= GUARD_NUMBER:
        return
    here = sa.select(batches.c.id).where(batches.c.scan_id == scan_id)
    found_now = sa.and_(photos.c.batch_id.in_(here), photos.c.found_as.in_((NEW, COPY, HARD_LINK)))
    present = connection.scalar(located.where(photos.c.state != MISSING)) or 0
    known = present - (connection.scalar(located.where(found_now, photos.c.state != MISSING)) or 0)
    if missing > GUARD_SHARE * known:
        raise ScanGuardError(
            f"{missing} of {known} known photos below {os.fsdecode(root)} are missing: nothing was marked. "
            "If a drive is not plugged in, do that; if they were deleted on purpose, add --allow-missing."
        )


def known_below(connection: sa.Connection, root: bytes) -> bool:
    """Whether any photo that is not missing is known below `root`."""
    return (
        connection.scalar(
            sa.select(photos.c.id)
            .select_from(_located)
            .where(below(root), photos.c.state != MISSING)
            .limit(1)
        )
        is not None
    )
