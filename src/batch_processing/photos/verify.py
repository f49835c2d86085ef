"""Whether the photos of a library are still whole: each is hashed again and compared.

Promises: equal bytes are well, whatever the times say, and the recorded times are brought up to date. Corrupt is only what has
the same size and time and other bytes, or holds no image any more. Missing photos are counted, and told from a drive
that is not plugged in. A photo that is corrupt or cannot be read is an error row of stage `verify` until it is whole.
Nothing is written to a photo.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..exceptions import ValidationError
from ..messages import NOTHING, Message
from .ending import GUARD_NUMBER, GUARD_SHARE, is_lost, scanned_roots
from .hashing import Candidate, hashed, join
from .kinds import looks_like_media
from .names import Listings
from .settle import CORRUPT, write_errors
from .tables import MISSING, PENDING, PRESENT, below, directories, errors, facts, pages, photos
from .walk import is_below

if TYPE_CHECKING:
    from .store import Store

# Photos of which one commit says how they are.
FINDINGS = 100
_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest")
_new_times: dict[str, sa.BindParameter[Any]] = {
    name: sa.bindparam(name) for name in ("size", "mtime_ns", "ctime_ns", "inode", "hashed_ns")
}


class NothingToVerifyError(ValidationError):
    """No photo is recorded where `verify` was to look: nothing to compare is not "nothing corrupt"."""

    exit_code = 2


class Result(StrEnum):
    """How a photo is. Values stand in JSON."""

    OK = "ok"
    CHANGED = "changed"
    CORRUPT = "corrupt"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Finding:
    """What was found out about one photo. `text`: a clause about it; `read` in bytes."""

    path: bytes
    result: Result
    text: Message
    read: int


class Verification:
    """One run over photos: all of them, those below `folders`, `sample` of them, or a `share` (0 to 1) of them, chosen by
    chance. Iterating gives a finding for each; afterwards `counts` and `exit_code` hold."""

    def __init__(
        self,
        store: Store,
        folders: Sequence[bytes] = (),
        *,
        sample: int | None = None,
        share: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """NothingToVerifyError where no photo is recorded, or none below one of `folders`."""
        self.counts: Counter[Result] = Counter()
        self.is_drive_away = False  # a folder with photos is gone or empty as a whole
        self._store = store
        self._folders = folders
        self._stopped = stopped
        self._listings = Listings()
        self._lost: dict[bytes, bool] = {}  # folders that may be drives
        self.marked = 0  # photos that are missing since a scan said so
        self._where: list[sa.ColumnElement[bool]] = [photos.c.state.in_((PRESENT, PENDING, MISSING))]
        if folders:
            self._where.append(sa.or_(*map(below, folders)))
        with store.read() as connection:
            for folder in folders:
                here = (
                    sa.select(photos.c.id).select_from(_located).where(self._where[0], below(folder)).limit(1)
                )
                if connection.scalar(here) is None:
                    raise NothingToVerifyError(
                        f"No photo is known below {os.fsdecode(folder)}: scan the folder first, or name another."
                    )
            count = sa.select(sa.func.count()).select_from(_located).where(*self._where)
            self.number = connection.scalar(count) or 0
            self._roots = scanned_roots(connection)
            self._chosen: list[int] | None = None
            if share is not None:
                sample = max(1, round(self.number * share))
            if sample is not None:
                ids = sa.select(photos.c.id).select_from(_located).where(*self._where)
                self._chosen = sorted(connection.scalars(ids.order_by(sa.func.random()).limit(sample)))
                self.number = len(self._chosen)
        if not self.number:
            raise NothingToVerifyError(
                "No photo is recorded here: scan a folder first, with lote photos scan FOLDER."
            )

    @property
    def exit_code(self) -> int:
        """0 if all is well, 13 if a drive is more likely away than its photos lost, else 3 if anything is not as it was."""
        missing, checked = self.counts[Result.MISSING] - self.marked, sum(self.counts.values())
        if self.is_drive_away or (missing > GUARD_NUMBER and missing > GUARD_SHARE * checked):
            return 13
        bad = Result.CORRUPT, Result.UNREADABLE, Result.MISSING
        return 3 if any(self.counts[result] for result in bad) else 0

    def __iter__(self) -> Iterator[Finding]:
        expected = ((_candidate(row), row) for rows in self._pages() for row in rows)
        judged = (
            (_judge(candidate, row), candidate, row)
            for candidate, row in hashed(expected, self._folders or (b"/",), self._stopped)
        )
        for page in pages(judged, FINDINGS):
            self._write(page)
            for finding, _, row in page:
                self.counts[finding.result] += 1
                if finding.result is Result.MISSING and row.state == MISSING:
                    self.marked += 1
                elif finding.result is Result.MISSING:
                    self._look_for_the_drive(row)
                yield finding

    def _pages(self) -> Iterator[Sequence[Any]]:
        columns = (
            photos.c.id,
            _raw_path,
            directories.c.mount,
            _raw_name,
            _raw_hash,
            photos.c.size,
            photos.c.mtime_ns,
            photos.c.ctime_ns,
            photos.c.inode,
            photos.c.hashed_ns,
            photos.c.state,
            facts.c.format,
        )
        joined = _located.outerjoin(facts, facts.c.photo_id == photos.c.id)
        query = sa.select(*columns).select_from(joined).order_by(photos.c.id)
        if self._chosen is not None:
            for page in pages(self._chosen):
                with self._store.read() as connection:
                    rows = connection.execute(query.where(photos.c.id.in_(page))).all()
                yield rows
            return
        last = 0
        while True:
            with self._store.read() as connection:
                rows = connection.execute(query.where(*self._where, photos.c.id > last).limit(500)).all()
            if not rows:
                return
            yield rows
            last = rows[-1].id

    def _write(self, judged: Sequence[tuple[Finding, Candidate, Any]]) -> None:
        """Error rows of what is not well, none of what is; the times of what is well."""
        bad = [
            (finding.path, "verify", finding.result.value, finding.text)
            for finding, _, _ in judged
            if finding.result in (Result.CORRUPT, Result.UNREADABLE)
        ]
        moved_on = [
            {
                "key": row.id,
                "size": candidate.size,
                "mtime_ns": candidate.mtime_ns,
                "ctime_ns": candidate.ctime_ns,
                "inode": candidate.inode,
                "hashed_ns": candidate.hashed_ns,
            }
            for finding, candidate, row in judged
            if (
                finding.result is Result.OK
                and (candidate.mtime_ns, candidate.ctime_ns, candidate.inode)
                != (row.mtime_ns, row.ctime_ns, row.inode)
            )
            or (finding.result is Result.OK and not row.hashed_ns)
        ]
        with self._store.write() as connection:
            paths = [os.fsdecode(finding.path) for finding, _, _ in judged]
            connection.execute(errors.delete().where(errors.c.path.in_(paths), errors.c.stage == "verify"))
            write_errors(connection, bad, datetime.now(UTC), None)
            if bad:  # scans read them again until they are whole
                ids = [
                    row.id
                    for finding, _, row in judged
                    if finding.result in (Result.CORRUPT, Result.UNREADABLE)
                ]
                connection.execute(photos.update().where(photos.c.id.in_(ids)).values(hashed_ns=0))
            if moved_on:
                connection.execute(
                    photos.update().where(photos.c.id == sa.bindparam("key")).values(_new_times), moved_on
                )

    def _look_for_the_drive(self, row: Any) -> None:
        """Whether a missing photo lies in a folder that may be a drive and is gone or empty as a whole."""
        if self.is_drive_away:
            return
        directory = bytes(row.directory)
        root = next((root for root in self._roots if is_below(directory, root)), None)
        if root is None:
            return
        prefix = root if root == b"/" else root + b"/"
        parts = {root: False}
        if directory != root:
            parts[prefix + directory[len(prefix) :].split(b"/")[0]] = False
        if row.mount is not None:
            parts[os.fsencode(row.mount)] = True
        for part, was_mount in parts.items():
            if part not in self._lost:
                self._lost[part] = is_lost(part, was_mount, self._listings)
            self.is_drive_away = self.is_drive_away or self._lost[part]


def _candidate(row: Any) -> Candidate:
    directory, name = bytes(row.directory), bytes(row.name)
    path = join(directory, name)
    return Candidate(directory, name, path, row.size, row.mtime_ns, 0, 0, 0, 1, photo_id=row.id)


def _judge(candidate: Candidate, row: Any) -> Finding:
    path, error = candidate.path, candidate.error
    if error is not None:
        if error.kind == "vanished":
            text = (
                Message("is missing, as a scan has found") if row.state == MISSING else Message("is missing")
            )
            return Finding(path, Result.MISSING, text, 0)
        if error.kind == "emptied":
            return Finding(
                path, Result.CORRUPT, Message("was a photo, is now empty: restore it from a backup"), 0
            )
        return Finding(path, Result.UNREADABLE, error.sentence, 0)
    if candidate.digest == bytes(row.digest):
        return Finding(path, Result.OK, NOTHING, candidate.read)
    if (candidate.size, candidate.mtime_ns) == (row.size, row.mtime_ns):
        return Finding(path, Result.CORRUPT, CORRUPT, candidate.read)
    if candidate.blank:
        text = Message(
            "was a photo, is now no image but the same byte over and over: restore it from a backup"
        )
        return Finding(path, Result.CORRUPT, text, candidate.read)
    if row.format is not None and not looks_like_media(path):
        text = Message("was a photo, is now no image: restore it from a backup")
        return Finding(path, Result.CORRUPT, text, candidate.read)
    return Finding(path, Result.CHANGED, Message("changed since it was scanned: scan again"), candidate.read)
