"""May this card be formatted? Which of its files are in the library, by content, at this moment.

Promises: every file below the folder is accounted for, whatever hides it from a scan. A file is known only if a photo of
equal content, recorded and not known to be ruined, stands now, outside of the folder, as a regular file of the
recorded size and time, and is another file than the one asked about; where the disk does not tell whether it is, the
file is renamed aside for a moment (`removal.is_apart`). Nothing is recorded. Does not read the library's files: whether
their bytes are still whole is `verify`'s question.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..messages import NOTHING, Message
from .card import CardFile, Left, Unit, look_at
from .hashing import Candidate, hashed, join
from .kinds import Kind
from .names import Listings
from .reading import clamped, explain, open_file
from .removal import Apart, Protected, Refused, in_machine_folder, is_apart
from .tables import PRESENT, directories, errors, photos

if TYPE_CHECKING:
    from .store import Store

# Files that nobody misses: of the system, and what macOS keeps beside the real ones.
WITHOUT_WORTH = frozenset([Left.SYSTEM, Left.SIDE_FILE])
PIECE = 1 << 20
_located = photos.join(directories, directories.c.id == photos.c.directory_id)
_raw_path = sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory")
_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary).label("name")


class Result(StrEnum):
    """What is known of a file. Values stand in JSON."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    SAME_FILE = "same file"  # recorded only as itself, seen on another way
    NOT_THERE = "not there"  # recorded, but the photo is not where it was, or not as it was
    UNTOLD = "not told apart"  # recorded, but perhaps as this same file, seen on another way
    UNREADABLE = "unreadable"
    LEFT = "left alone"  # no photo, video or sidecar


SENTENCES = {
    Result.NOT_THERE: Message("recorded, but not there now"),
    Result.UNTOLD: Message(
        "recorded, perhaps as this same file, seen on another way: mount the card for writing, so that this can be told"
    ),
    Result.SAME_FILE: Message("recorded only as this same file, seen on another way"),
    Left.LINK: Message("a symbolic link, which is not followed"),
    Left.SPECIAL: Message("no regular file"),
    Left.SIDE_FILE: Message("a macOS side file"),
    Left.SYSTEM: Message("a file of the system"),
    Left.EMPTY: Message("is empty"),
    Left.LONE_SIDECAR: Message("a sidecar without a photo"),
    Left.OTHER: Message("no photo: such files are not recorded"),
}


@dataclass(frozen=True)
class Finding:
    """What is known of one file. `twin`: the photo in the library; `left` says what a file is that is LEFT."""

    path: bytes
    result: Result
    kind: Kind
    twin: bytes | None = None
    left: Left | None = None
    text: Message = NOTHING

    @property
    def is_safe(self) -> bool:
        """Whether nothing is lost with the file."""
        return self.result is Result.KNOWN or self.left in WITHOUT_WORTH


@dataclass(frozen=True)
class Twins:
    """What the library holds of one content."""

    standing: tuple[bytes, ...]  # photos that are there now
    is_recorded: bool  # others were, and are not now


def known(store: Store, folder: bytes, stopped: Callable[[], bool] = lambda: False) -> Iterator[Finding]:
    """A finding for each file below `folder` (absolute), photos and videos with their sidecars first. Ends early when
    `stopped`. Holds the paths of the folder in memory."""
    card = look_at(folder, stopped)
    inside = Protected([folder])
    media = ((_candidate(file), file) for file in card.files if file.is_media)
    unread: dict[CardFile, Message] = {}
    alike: dict[bytes, list[CardFile]] = {}  # by content
    for candidate, file in hashed(media, [folder], stopped):
        file.digest, file.size = candidate.digest, candidate.size
        if candidate.error is not None:
            unread[file] = candidate.error.sentence
        elif candidate.digest is not None:
            alike.setdefault(candidate.digest, []).append(file)
    for unit in card.units:
        if stopped():
            return
        twins = []
        for file in unit.files:
            if file in unread:
                yield Finding(file.path, Result.UNREADABLE, file.kind, text=unread[file])
            elif file.digest is not None:
                finding = _of_media(store, file, alike[file.digest], inside)
                if finding.twin is not None:
                    twins.append(finding.twin)
                yield finding
            else:
                yield _of_sidecar(unit, file, twins)
    for path, left in card.left_files:
        yield Finding(path, Result.LEFT, Kind.OTHER, left=left, text=SENTENCES[left])
    for path, text in card.problems:
        yield Finding(path, Result.UNREADABLE, Kind.OTHER, text=text)


def twins_of(store: Store, digest: bytes, size: int, inside: Protected) -> Twins:
    """The photos of this content that are recorded, by whether they stand now. Those that lie in one of the folders of
    `inside`, whatever way leads there, do not count."""
    with store.read() as connection:
        rows = connection.execute(
            sa.select(_raw_path, _raw_name, photos.c.mtime_ns)
            .select_from(_located)
            .where(photos.c.hash == digest.hex(), photos.c.size == size, photos.c.state == PRESENT)
            .order_by(photos.c.id)
        ).all()
        found = {join(bytes(row.directory), bytes(row.name)): row.mtime_ns for row in rows}
        paths = [path for path in found if not inside.holds(path)]
        ruined = set()
        if paths:
            wrong = sa.select(errors.c.path).where(
                errors.c.path.in_([os.fsdecode(path) for path in paths[:500]]),
                errors.c.stage.in_(("hash", "verify")),
            )
            ruined = {os.fsencode(path) for path in connection.scalars(wrong)}
    listings = Listings()
    standing = [
        path
        for path in paths
        if path not in ruined and not in_machine_folder(path) and _stands(path, size, found[path], listings)
    ]
    return Twins(tuple(standing), len(standing) < len(paths))


def _stands(path: bytes, size: int, mtime_ns: int, listings: Listings) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and (status.st_size, clamped(status.st_mtime_ns)) == (size, mtime_ns)
        and listings.has(path)
    )


def _of_media(store: Store, file: CardFile, alike: Sequence[CardFile], inside: Protected) -> Finding:
    """`alike`: all files of the card with this content: a twin must be none of them, seen on another way."""
    assert file.digest is not None  # noqa: S101 - it was read
    twins = twins_of(store, file.digest, file.size, inside)
    untold = False
    try:
        for twin in twins.standing:
            told = {is_apart(store, one.path, twin, one.size, file.digest) for one in alike}
            if told == {Apart.YES}:
                return Finding(file.path, Result.KNOWN, file.kind, twin)
            untold = untold or told <= {Apart.YES, Apart.UNTOLD}
    except Refused as refused:
        return Finding(file.path, Result.UNREADABLE, file.kind, text=refused.sentence)
    if untold:
        return Finding(file.path, Result.UNTOLD, file.kind, text=SENTENCES[Result.UNTOLD])
    result = Result.UNKNOWN
    if twins.is_recorded or twins.standing:
        result = Result.NOT_THERE if twins.is_recorded else Result.SAME_FILE
    return Finding(file.path, result, file.kind, text=SENTENCES.get(result, NOTHING))


def _of_sidecar(unit: Unit, file: CardFile, twins: Sequence[bytes]) -> Finding:
    """A sidecar is known if it lies with the same bytes beside the twin of a photo that it belongs to."""
    for twin in twins:
        stem = _stem_of(unit, twin)
        other = stem + file.suffix
        try:
            if _equal(file.path, other):
                return Finding(file.path, Result.KNOWN, file.kind, other)
        except FileNotFoundError:
            continue
        except OSError as error:
            return Finding(file.path, Result.UNREADABLE, file.kind, text=explain(error).sentence)
    return Finding(file.path, Result.UNKNOWN, file.kind)


def _stem_of(unit: Unit, twin: bytes) -> bytes:
    """The path of a twin without the suffix that it shares with its file of the unit."""
    suffixes = [
        file.suffix for file in unit.files if file.is_media and twin.lower().endswith(file.suffix.lower())
    ]
    longest = max(suffixes, key=len, default=b"")
    return twin[: len(twin) - len(longest)] if longest else os.path.splitext(twin)[0]  # noqa: PTH122 - bytes


def _equal(path: bytes, other: bytes) -> bool:
    one, two = open_file(path), -1
    try:
        two = open_file(other)
        before, after = os.fstat(one), os.fstat(two)
        if not stat.S_ISREG(after.st_mode) or os.path.samestat(before, after):
            return False
        if before.st_size != after.st_size:
            return False
        while (piece := os.read(one, PIECE)) == os.read(two, PIECE):
            if not piece:
                return True
        return False
    finally:
        os.close(one)
        if two >= 0:
            os.close(two)


def _candidate(file: CardFile) -> Candidate:
    directory, _, name = file.path.rpartition(b"/")
    return Candidate(directory or b"/", name, file.path, file.size, file.mtime_ns, 0, 0, 0, 1)
