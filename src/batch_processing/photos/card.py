"""What lies on a memory card, or in any folder to be imported: files that belong together, and all others by why.

Promises: every file below the folder is in a unit, among those left alone, or among the problems; no link is
followed; nothing is hidden by `.nomedia`, by ignore rules or by a bin. Nothing is opened but folders, and files whose
name begins with `._`. Does not look at contents.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ..messages import Message
from .hashing import join
from .kinds import SYSTEM_FILES, Kind, LeftAlone, extension_of, is_side_file, kind_of
from .reading import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEDIA = (Kind.PHOTO, Kind.VIDEO)


class Left(StrEnum):
    """Why a file is not imported. Values stand in JSON."""

    LINK = "links"
    SPECIAL = "no regular files"
    SIDE_FILE = "macOS side files"
    SYSTEM = "files of the system"
    EMPTY = "empty files"
    LONE_SIDECAR = "sidecars without a photo"
    OTHER = "other files"


@dataclass(slots=True, eq=False)
class CardFile:
    """A file of a unit. `size` in bytes, `mtime_ns` since 1970; `digest` is the SHA-256 where it is known before the
    file is copied."""

    path: bytes
    suffix: bytes  # what follows the unit's stem in its name: `.JPG`, `.jpg.xmp`
    kind: Kind
    size: int
    mtime_ns: int
    digest: bytes | None = None

    @property
    def stem(self) -> bytes:
        """The unit's stem, as this file spells it."""
        name = os.path.basename(self.path)  # noqa: PTH119 - bytes
        return name[: len(name) - len(self.suffix)]

    @property
    def is_media(self) -> bool:
        return self.kind in MEDIA


@dataclass(slots=True, eq=False)
class Unit:
    """Files of one folder that stay together: a Live Photo, RAW and JPEG, and their sidecars. Photos come first, then
    videos, then sidecars; no two have suffixes that differ in case alone."""

    stem: bytes
    files: list[CardFile] = field(default_factory=list)


@dataclass
class Card:
    """All of a card. `problems`: path of what could not be looked at, and why."""

    units: list[Unit] = field(default_factory=list)
    left: dict[Left, LeftAlone] = field(default_factory=dict)
    left_files: list[tuple[bytes, Left]] = field(default_factory=list)
    problems: list[tuple[bytes, Message]] = field(default_factory=list)

    def leave(self, why: Left, path: bytes) -> None:
        """Count a file that is not imported."""
        self.left_files.append((path, why))
        if (there := self.left.get(why)) is None:
            self.left[why] = LeftAlone(1, os.fsdecode(path))
        else:
            there.count += 1

    @property
    def files(self) -> Iterator[CardFile]:
        return (file for unit in self.units for file in unit.files)


@dataclass(slots=True)
class _Found:
    path: bytes
    name: bytes
    kind: Kind
    status: os.stat_result


def folded(name: bytes) -> str:
    """The same for names that differ in case alone, whatever bytes they hold."""
    return os.fsdecode(name).casefold()


def look_at(root: bytes, stopped: Callable[[], bool] = lambda: False) -> Card:
    """What lies below `root` (absolute), folders and files in the order of their names."""
    card = Card()
    folders = [root]
    while folders and not stopped():
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            card.problems.append((folder, explain(error).sentence))
            continue
        inside, found = [], []
        for entry in listed:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                card.problems.append((entry.path, explain(error).sentence))
                continue
            if stat.S_ISDIR(status.st_mode):
                inside.append(join(folder, entry.name))
                continue
            kind = kind_of(extension_of(entry.name))
            if (why := _left(entry.path, entry.name, kind, status)) is not None:
                card.leave(why, entry.path)
            else:
                found.append(_Found(entry.path, entry.name, kind, status))
        folders += reversed(inside)
        _group(card, found)
    return card


def _left(path: bytes, name: bytes, kind: Kind, status: os.stat_result) -> Left | None:
    if stat.S_ISLNK(status.st_mode):
        return Left.LINK
    if not stat.S_ISREG(status.st_mode):
        return Left.SPECIAL
    if is_side_file(path, name):
        return Left.SIDE_FILE
    if name.lower() in SYSTEM_FILES:
        return Left.SYSTEM
    if kind is Kind.OTHER:
        return Left.OTHER
    return Left.EMPTY if status.st_size == 0 else None


def _group(card: Card, found: list[_Found]) -> None:
    """Make units of the files of one folder."""
    units: dict[str, list[Unit]] = {}
    by_name: dict[str, Unit] = {}
    made: list[Unit] = []
    for kind in MEDIA:
        for one in found:
            if one.kind is not kind:
                continue
            suffix = extension_of(one.name)
            stem = one.name[: len(one.name) - len(suffix)]
            same = units.setdefault(folded(stem), [])
            unit = next((unit for unit in same if _has_room(unit, suffix)), None)
            if unit is None:  # the first, or one whose name differs from another's in case alone
                unit = Unit(stem)
                same.append(unit)
                made.append(unit)
            unit.files.append(_file(one, suffix))
            by_name.setdefault(folded(one.name), unit)
    for one in found:
        if one.kind is not Kind.SIDECAR:
            continue
        owner = _owner(one.name, by_name, units)
        if owner is None or not _has_room(owner[0], owner[1]):
            card.leave(Left.LONE_SIDECAR, one.path)
        else:
            owner[0].files.append(_file(one, owner[1]))
    card.units += made


def _owner(name: bytes, by_name: dict[str, Unit], units: dict[str, list[Unit]]) -> tuple[Unit, bytes] | None:
    """The unit that a sidecar belongs to, and what follows the unit's stem in its name: `IMG.jpg.xmp` belongs to
    `IMG.jpg`, `IMG.xmp` to whatever is called `IMG`."""
    dot = name.rfind(b".")
    if same := units.get(folded(name[:dot])):
        return same[0], name[dot:]
    while dot > 0:
        if (unit := by_name.get(folded(name[:dot]))) is not None:
            return unit, name[name[:dot].rfind(b".") :]
        dot = name.rfind(b".", 0, dot)
    return None


def _has_room(unit: Unit, suffix: bytes) -> bool:
    return all(folded(file.suffix) != folded(suffix) for file in unit.files)


def _file(found: _Found, suffix: bytes) -> CardFile:
    return CardFile(found.path, suffix, found.kind, found.status.st_size, found.status.st_mtime_ns)
