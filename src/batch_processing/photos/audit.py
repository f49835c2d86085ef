"""Questions to a photo library: what is there, is it still whole, is this card in it; and forgetting.

Promises: nothing here writes to a photo or moves one. `verify` calls corrupt only what has the same size
and time and other bytes. `known` goes by content, never by name. Forgetting deletes rows, never files.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from ..exceptions import ValidationError
from .ending import known_below
from .hashing import Candidate, Hashers, join
from .ingest import choose_readers
from .reading import signed
from .settle import reconcile, write_errors
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
    pages,
    photos,
    scans,
)
from .walk import Walk, WalkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .store import Store

# Files that are hashed or being hashed before the first is looked at.
WINDOW = 256
# How often it is asked, while files are hashed, whether to stop.
STOP_POLL_S = 0.25
# Photos of which one commit says how they are.
FINDINGS = 100
_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest")


def statistics(store: Store) -> dict[str, Any]:
    """What the library holds: counts, and sizes in bytes."""
    present = photos.c.state != MISSING
    count = sa.func.count()
    with store.read() as connection:

        def one(query: sa.Select[Any]) -> Any:
            return connection.scalar(query) or 0

        copies = duplicates.join(photos, photos.c.id == duplicates.c.photo_id)
        formats = connection.execute(
            sa.select(photos.c.extension, count, sa.func.sum(photos.c.size))
            .where(present)
            .group_by(photos.c.extension)
            .order_by(count.desc(), photos.c.extension)
        ).all()
        last = connection.execute(
            sa.select(scans.c.roots, scans.c.state, scans.c.started_at).order_by(scans.c.id.desc()).limit(1)
        ).first()
        return {
            "photos": one(sa.select(count).select_from(photos).where(present)),
            "bytes": int(one(sa.select(sa.func.sum(photos.c.size)).where(present))),
            "contents": one(sa.select(sa.func.count(sa.distinct(photos.c.hash))).where(present)),
            "duplicates": one(
                sa.select(count).select_from(duplicates).where(duplicates.c.reason == HASH_DUPLICATE)
            ),
            "duplicate_bytes": int(
                one(
                    sa.select(sa.func.sum(photos.c.size))
                    .select_from(copies)
                    .where(duplicates.c.reason == HASH_DUPLICATE)
                )
            ),
            "hard_links": one(
                sa.select(count).select_from(photos).where(present, photos.c.hardlink_of_id.is_not(None))
            ),
            "missing": one(sa.select(count).select_from(photos).where(in_state(MISSING))),
            "errors": one(sa.select(count).select_from(errors)),
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


@dataclass(frozen=True)
class Finding:
    """What `verify` found out about one photo."""

    path: bytes
    result: Literal["ok", "changed", "corrupt", "missing", "unreadable"]
    text: str
    read: int  # bytes


def verify(
    store: Store,
    folders: Sequence[bytes] = (),
    *,
    sample: int | None = None,
    share: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Finding]:
    """Hash photos again and compare: all of them, those below `folders`, `sample` of them, or a `share`
    (0 to 1) of them, chosen by chance. A corrupt photo is an error row of stage `verify` until it is whole.

    ValidationError for a folder below which no photo is known: nothing to compare is not "nothing corrupt"."""
    where = [photos.c.state != MISSING]
    if folders:
        where.append(sa.or_(*(below(folder) for folder in folders)))
    with store.read() as connection:
        for folder in folders:
            if not known_below(connection, folder):
                raise ValidationError(
                    f"No photo is known below {os.fsdecode(folder)}: scan the folder first, or name another."
                )
        number = connection.scalar(sa.select(sa.func.count()).select_from(_located).where(*where)) or 0
        chosen: list[int] | None = None
        if share is not None:
            sample = max(1, round(number * share)) if number else 0
        if sample is not None:
            ids = sa.select(photos.c.id).select_from(_located).where(*where)
            chosen = sorted(connection.scalars(ids.order_by(sa.func.random()).limit(sample)))
    expected = ((_candidate(row), row) for rows in _pages(store, where, chosen) for row in rows)
    hashed = _hashed(expected, folders or (b"/",), stopped)
    for findings in pages((_judge(candidate, row) for candidate, row in hashed), FINDINGS):
        with store.write() as connection:
            paths = [finding.path for finding in findings]
            for page in pages(paths):
                connection.execute(errors.delete().where(errors.c.path.in_(page), errors.c.stage == "verify"))
            bad: list[tuple[bytes, str, str, str]] = [
                (finding.path, "verify", finding.result, finding.text)
                for finding in findings
                if finding.result in ("corrupt", "unreadable")
            ]
            write_errors(connection, bad, datetime.now(UTC), None)
        yield from findings


def _pages(
    store: Store, where: Sequence[sa.ColumnElement[bool]], chosen: Sequence[int] | None
) -> Iterator[Sequence[Any]]:
    columns = photos.c.id, _raw_path, _raw_name, _raw_hash, photos.c.size, photos.c.mtime_ns
    query = sa.select(*columns).select_from(_located).order_by(photos.c.id)
    if chosen is not None:
        for page in pages(chosen):
            with store.read() as connection:
                rows = connection.execute(query.where(photos.c.id.in_(page))).all()
            yield rows
        return
    last = 0
    while True:
        with store.read() as connection:
            rows = connection.execute(query.where(*where, photos.c.id > last).limit(500)).all()
        if not rows:
            return
        yield rows
        last = rows[-1].id


def _candidate(row: Any) -> Candidate:
    directory, name = bytes(row.directory), bytes(row.name)
    return Candidate(
        directory,
        name,
        join(directory, name),
        row.size,
        row.mtime_ns,
        ctime_ns=0,
        inode=0,
        device=0,
        links=1,
        photo_id=row.id,
    )


def _hashed(
    candidates: Iterable[tuple[Candidate, Any]], folders: Sequence[bytes], stopped: Callable[[], bool]
) -> Iterator[tuple[Candidate, Any]]:
    """Each candidate with what came along, hashed, in the same order. Ends early when `stopped`."""
    readers, inode_order = choose_readers(folders, None)
    hashers: Hashers[Candidate] = Hashers(readers, inode_order=inode_order, ahead=WINDOW, stopped=stopped)
    waiting: deque[tuple[Candidate, Any]] = deque()
    source = iter(candidates)
    try:
        while not stopped():
            while len(waiting) < WINDOW and (pair := next(source, None)) is not None:
                hashers.put([pair[0]])
                waiting.append(pair)
            if not waiting:
                return
            for _ in hashers.take(STOP_POLL_S):
                yield waiting.popleft()
    finally:
        hashers.close()


def _judge(candidate: Candidate, row: Any) -> Finding:
    path, error = candidate.path, candidate.error
    if error is not None:
        if error.kind == "vanished":
            return Finding(path, "missing", "is missing", 0)
        return Finding(path, "unreadable", str(error), 0)
    if (candidate.size, candidate.mtime_ns) != (row.size, row.mtime_ns):
        return Finding(path, "changed", "changed since it was scanned: scan again", candidate.read)
    if candidate.digest != bytes(row.digest):
        text = "is corrupt: size and time are the same, the bytes are not; restore it from a backup"
        return Finding(path, "corrupt", text, candidate.read)
    return Finding(path, "ok", "", candidate.read)


def known(
    store: Store, folder: bytes, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[bytes, bytes | None, str]]:
    """For each photo below `folder`: its path, the path of a photo outside it with the same content (None
    if there is none), and why it could not be read ("" if it could)."""
    walk = Walk([folder], lambda _: [])
    unread: list[WalkError] = []

    def candidates() -> Iterator[tuple[Candidate, None]]:
        for item in chain.from_iterable(walk):
            if isinstance(item, Candidate):
                item.same_as = None
                yield item, None
            elif item.stage == "walk":
                unread.append(item)

    for page in pages((candidate for candidate, _ in _hashed(candidates(), [folder], stopped)), 200):
        digests = {candidate.digest for candidate in page if candidate.digest is not None}
        with store.read() as connection:
            there: dict[bytes, list[bytes]] = {}
            for row in connection.execute(
                sa.select(_raw_hash, _raw_path, _raw_name)
                .select_from(_located)
                .where(_raw_hash.element.in_(digests), photos.c.state != MISSING, sa.not_(below(folder)))
                .order_by(photos.c.id)
            ):
                there.setdefault(bytes(row.digest), []).append(join(bytes(row.directory), bytes(row.name)))
        for candidate in page:
            if candidate.error is not None or candidate.digest is None:
                yield candidate.path, None, str(candidate.error)
            else:
                twins = there.get(candidate.digest, [])
                yield (
                    candidate.path,
                    next((path for path in twins if not _is_alias(path, candidate)), None),
                    "",
                )
    for item in unread:
        yield item.path, None, str(item.error)


def _is_alias(path: bytes, candidate: Candidate) -> bool:
    """Whether `path` is the candidate's only file, on another way: a symbolic link to its folder, a second mount."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    here = candidate.inode, candidate.device
    return candidate.links == 1 and (signed(status.st_ino), status.st_dev) == here


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
