"""What the end of a scan's walk decides: what has moved, what is missing, and whether to believe it.

Promises: after `finish` the rows of everything below the folders are right, whatever was interrupted before. Runs
inside a transaction of the caller's and never commits. Refuses to call a library, or a part of one that may be
a disk of its own, missing when its drive is. Does not decide about photos outside the folders given, except that
one which is not where it was cannot keep another from having been moved (`_Sources`).
"""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..core.workspace import file_system
from ..exceptions import ValidationError
from ..messages import Message
from .hashing import join
from .kinds import machine_below
from .names import Listings
from .reconcile import reconcile, release
from .settle import write_errors
from .tables import (
    BLANK,
    COPY,
    HARD_LINK,
    MISSING,
    MOVED,
    NEW,
    PENDING,
    PRESENT,
    batches,
    below,
    below_path,
    directories,
    errors,
    in_state,
    pages,
    photos,
    raw_hash,
    scans,
)
from .walk import KEEPS_INODES, Walk, is_below

if TYPE_CHECKING:
    from collections.abc import Sequence

# A scan stops when more of a root's photos are missing than this share and this number.
GUARD_SHARE = 0.10
GUARD_NUMBER = 100

# The columns as bytes: inside this room names, paths and hashes are never text.
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_located = photos.join(directories, directories.c.id == photos.c.directory_id)


class ScanGuardError(ValidationError):
    """So many photos are missing that a drive is more likely gone than the photos; nothing was marked."""

    exit_code = 13


@dataclass
class Ending:
    """What the end of the walk decided."""

    moved: int = 0
    missing: int = 0
    first_missing: bytes = b""  # its path
    absent_originals: int = 0  # copies found now whose original is not there now: a disk may be unplugged


def finish(connection: sa.Connection, walk: Walk, scan_id: int, *, allow_missing: bool) -> Ending:
    """Tell moves from copies, and mark what is missing below the folders of `walk`.

    ScanGuardError when too much is missing; the caller's transaction then undoes everything."""
    listings = Listings()
    _drop_no_photos(connection, walk)
    find_lost_folders(connection, walk, listings)
    moves = _find_moves(connection, walk, listings)
    if not allow_missing and len(walk.gone):
        guard(connection, walk, scan_id, moves.left, listings)
    missing, first = 0, _first(connection, walk)
    for page in pages(walk.gone):
        missing += connection.execute(
            photos.update().where(photos.c.id.in_(page), photos.c.state != MISSING).values(state=MISSING)
        ).rowcount
        lost = connection.scalars(sa.select(raw_hash).where(photos.c.id.in_(page)))
        reconcile(connection, {bytes(digest) for digest in lost})
    _remember_mounts(connection, walk)
    _renew_errors(connection, walk, scan_id)
    return Ending(moves.moved, missing, first, moves.absent_originals)


def _first(connection: sa.Connection, walk: Walk) -> bytes:
    """The path of a photo that is gone, the first by its row; empty if none is."""
    key = next(iter(walk.gone), None)
    row = connection.execute(
        sa.select(_raw_path, _raw_name).select_from(_located).where(photos.c.id == key)
    ).first()
    return join(bytes(row.directory), bytes(row.name)) if row is not None else b""


def _renew_errors(connection: sa.Connection, walk: Walk, scan_id: int) -> None:
    """Drop the errors that did not come again in this scan; name the files that hold nothing but zeros."""
    path = sa.type_coerce(errors.c.path, sa.LargeBinary)
    for root in walk.roots:
        inside = sa.true() if root == b"/" else sa.or_(path == root, below_path(path, root))
        connection.execute(
            errors.delete().where(
                inside,
                sa.or_(
                    sa.and_(
                        sa.or_(errors.c.stage.in_(("walk", "hash")), errors.c.kind == "empty"),
                        sa.or_(errors.c.scan_id.is_(None), errors.c.scan_id != scan_id),
                    ),
                    errors.c.kind == "blank",
                ),
            )
        )
        blank = connection.execute(
            sa.select(_raw_path, _raw_name).select_from(_located).where(in_state(BLANK), below(root))
        )
        text = Message("holds the same byte over and over: there is no photo in it; restore it from a backup")
        failed = [(join(bytes(row.directory), bytes(row.name)), "facts", "blank", text) for row in blank]
        write_errors(connection, failed, datetime.now(UTC), None)


def _drop_no_photos(connection: sa.Connection, walk: Walk) -> None:
    """Forget the rows of macOS side files, which older versions took for photos."""
    for page in pages(walk.no_photos):
        hashes = connection.scalars(sa.select(raw_hash).where(photos.c.id.in_(page))).all()
        connection.execute(photos.delete().where(photos.c.id.in_(page)))
        reconcile(connection, {bytes(digest) for digest in hashes})


def find_lost_folders(connection: sa.Connection, walk: Walk, listings: Listings) -> None:
    """Photos of folders that are no longer there at all are gone; those of folders that were left alone
    (ignored, not to be listed, before the start) are not; those of machine folders, which older versions scanned,
    are none."""
    raw = sa.type_coerce(directories.c.path, sa.LargeBinary)
    for root in walk.roots:
        machines: list[int] = []
        for page in pages(
            (key, bytes(path))
            for key, path in connection.execute(sa.select(directories.c.id, raw).where(below(root)))
            if key not in walk.visited
        ):
            lost = [key for key, path in page if not walk.before_start(path) and not listings.has(path)]
            machines += [key for key, path in page if key not in lost and machine_below(path, root)]
            for key in connection.scalars(
                sa.select(photos.c.id).where(photos.c.directory_id.in_(lost), photos.c.state != MISSING)
            ):
                walk.gone.add(key)
        for page_of_keys in pages(machines):
            for key in connection.scalars(
                sa.select(photos.c.id).where(photos.c.directory_id.in_(page_of_keys))
            ).all():
                walk.no_photos.add(key)
    _drop_no_photos(connection, walk)


def _remember_mounts(connection: sa.Connection, walk: Walk) -> None:
    """Which disk each folder lies on, for the day on which it is not plugged in."""
    raw = sa.type_coerce(directories.c.path, sa.LargeBinary)
    for root in walk.walked:
        mounts = sorted(mount for mount in walk.mounts if is_below(mount, root) or is_below(root, mount))
        had = sa.select(directories.c.id, raw).where(below(root), directories.c.mount.is_not(None))
        bare = [
            key
            for key, path in connection.execute(had)
            if key in walk.visited and not any(is_below(bytes(path), mount) for mount in mounts)
        ]
        for page in pages(bare):
            connection.execute(directories.update().where(directories.c.id.in_(page)).values(mount=None))
        for mount in mounts:
            text = os.fsdecode(mount)
            other = sa.or_(directories.c.mount.is_(None), directories.c.mount != text)
            connection.execute(
                directories.update().where(below(root), below(mount), other).values(mount=text)
            )


@dataclass
class _Moves:
    """What became of the photos that were PENDING."""

    moved: int = 0
    absent_originals: int = 0
    left: set[bytes] = field(default_factory=set)  # folders that something moved out of


class _Sources:
    """Which rows may be the old places of photos that were found at new ones."""

    def __init__(self, connection: sa.Connection, walk: Walk, listings: Listings) -> None:
        self._walk = walk
        self._listings = listings
        self._keeps: dict[bytes, bool] = {}
        roots = scanned_roots(connection)
        # Of other libraries that are gone as a whole: renamed, or mounted elsewhere, which leaves an empty folder.
        self._lost_roots = sorted(root for root in roots if not walk.covers(root) and listings.is_empty(root))

    def stands(self, row: Any) -> bool:
        """Whether the photo of this row is where the row says."""
        if row.state == MISSING or row.id in self._walk.gone:
            return False
        directory = bytes(row.directory)
        return self._walk.covers(directory) or self._listings.has(join(directory, bytes(row.raw_name)))

    def has_left(self, row: Any, targets: Sequence[Any]) -> bool:
        """Whether the photo of this row is one of `targets` by now. Below the folders of the walk, and where
        its folder still stands and holds something, it is enough that it is gone. Else, because an unplugged drive leaves
        its mount point empty, the target must be the same file, or lie at the same place below its own root while the
        old root is gone as a whole."""
        if row.state == MISSING or row.id in self._walk.gone:
            return True
        directory = bytes(row.directory)
        if self._walk.covers(directory) or self.stands(row):
            return False
        return not self._listings.is_empty(directory) or any(self._is_same(row, target) for target in targets)

    def _keeps_inodes(self, directory: bytes) -> bool:
        if directory not in self._keeps:
            self._keeps[directory] = file_system(Path(os.fsdecode(directory))) in KEEPS_INODES
        return self._keeps[directory]

    def _is_same(self, row: Any, target: Any) -> bool:
        is_alike = all(getattr(row, name) == getattr(target, name) for name in ("inode", "size", "mtime_ns"))
        if row.inode and is_alike and self._keeps_inodes(bytes(target.directory)):
            return True
        path = join(bytes(row.directory), bytes(row.raw_name))
        new = join(bytes(target.directory), bytes(target.raw_name))
        return any(
            path[len(old.rstrip(b"/")) :] == new[len(root.rstrip(b"/")) :]
            for old in self._lost_roots
            if is_below(path, old)
            for root in self._walk.roots
            if is_below(new, root)
        )


def _find_moves(connection: sa.Connection, walk: Walk, listings: Listings) -> _Moves:
    """Settle the photos that are PENDING below the folders: for each content, those whose row is gone
    (or missing since an earlier scan) take the new path, by equal name first; the rest are copies."""
    pending = array(
        "q", connection.scalars(sa.select(photos.c.id).where(in_state(PENDING)).order_by(photos.c.id))
    )
    moves = _Moves()
    if not pending:
        return moves
    sources = _Sources(connection, walk, listings)
    for page in pages(pending):
        wanted = sa.select(photos.c.hash).where(photos.c.id.in_(page), photos.c.state == PENDING)
        groups: dict[bytes, list[Any]] = defaultdict(list)
        for row in connection.execute(
            sa.select(
                photos, raw_hash.element.label("digest"), _raw_path, _raw_name.element.label("raw_name")
            )
            .select_from(_located)
            .where(photos.c.hash.in_(wanted), photos.c.state != BLANK)
            .order_by(photos.c.id)
        ):
            groups[bytes(row.digest)].append(row)
        settled = {
            digest for digest, rows in groups.items() if _settle_moves(connection, walk, sources, rows, moves)
        }
        reconcile(connection, settled)
    return moves


def _settle_moves(
    connection: sa.Connection, walk: Walk, sources: _Sources, rows: Sequence[Any], moves: _Moves
) -> bool:
    """Which of the PENDING rows of one content have moved, and which are copies. False if none is PENDING here."""
    targets = [
        row
        for row in rows
        if row.state == PENDING and row.id not in walk.gone and walk.covers(bytes(row.directory))
    ]
    if not targets:
        return False
    recorded = [row for row in rows if row.state != PENDING]
    pairs = _pair([row for row in recorded if sources.has_left(row, targets)], targets)
    for source, target in pairs:
        take_place(connection, source, target)
        walk.gone.discard(source.id)
        moves.left.add(bytes(source.directory))
    moves.moved += len(pairs)
    taken = {target.id for _, target in pairs}
    copies = [row.id for row in targets if row.id not in taken]
    connection.execute(photos.update().where(photos.c.id.in_(copies)).values(state=PRESENT))
    others = [row for row in recorded if row.state == PRESENT and row.id not in walk.gone]
    if copies and not pairs:
        if not others:
            moves.moved += 1  # the row it came from holds a new photo by now
        elif not any(sources.stands(row) for row in others):
            moves.absent_originals += 1  # the first of them; the others are copies of that
    return True


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


def take_place(connection: sa.Connection, source: Any, target: Any) -> None:
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


def guard(connection: sa.Connection, walk: Walk, scan_id: int, left: set[bytes], listings: Listings) -> None:
    """ScanGuardError if so much of a root is gone, or such a part of it as a whole, that a drive is more likely not
    plugged in. `left`: folders that something moved out of: those are there."""
    for root in walk.roots:
        for part, was_mount in _parts(connection, walk, root):
            if not any(is_below(folder, part) for folder in left) and is_lost(part, was_mount, listings):
                raise ScanGuardError(
                    "The folder {part} held photos, and is gone or empty as a whole: nothing was marked as "
                    "missing. If it is a drive that is not plugged in, do that; if it was deleted on purpose, "
                    "add --allow-missing.",
                    part=os.fsdecode(part),
                )
        if len(walk.gone) > GUARD_NUMBER:
            _guard_share(connection, walk, root, scan_id)


def _parts(connection: sa.Connection, walk: Walk, root: bytes) -> list[tuple[bytes, bool]]:
    """The folders below `root` that may be disks of their own, and of which photos are gone: mount points as they were
    at the last scan (True), and the folders of the first level."""
    parts: dict[bytes, bool] = {}
    prefix = root if root == b"/" else root + b"/"
    for page in pages(walk.gone):
        query = sa.select(_raw_path, directories.c.mount).select_from(_located).distinct()
        for path, mount in connection.execute(query.where(photos.c.id.in_(page), below(root))):
            directory = bytes(path)
            if directory != root:
                parts.setdefault(prefix + directory[len(prefix) :].split(b"/")[0], False)
            if mount is not None:
                parts[os.fsencode(mount)] = True
    return sorted(parts.items())


def is_lost(part: bytes, was_mount: bool, listings: Listings) -> bool:
    """Whether a folder is gone or empty, or was a mount point and is none now: then it shows what lies beneath."""
    if listings.is_empty(part):
        return True
    if not was_mount:
        return False
    try:
        parent = os.stat(os.path.dirname(part))  # noqa: PTH116, PTH120 - bytes
        return os.stat(part).st_dev == parent.st_dev  # noqa: PTH116 - bytes
    except OSError:
        return True


def _guard_share(connection: sa.Connection, walk: Walk, root: bytes, scan_id: int) -> None:
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
            "{missing} of {known} known photos below {root} are missing: nothing was marked. If a drive "
            "is not plugged in, do that; if they were deleted on purpose, add --allow-missing.",
            missing=missing,
            known=known,
            root=os.fsdecode(root),
        )


def scanned_roots(connection: sa.Connection) -> set[bytes]:
    """All folders that were ever given to a scan."""
    scanned = connection.scalars(sa.select(scans.c.roots).distinct())
    return {os.fsencode(root) for roots in scanned for root in roots.split("\0")}


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
