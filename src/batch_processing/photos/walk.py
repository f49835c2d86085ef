"""Walking folders: which photos are there, and which of them are known and unchanged.

Promises: a fixed order (names sorted byte by byte; the files of a folder before its subfolders), one
query for each folder, no reading, symbolic links never followed, memory for one folder at a time.
A folder with a `.nomedia` file, folders named in `SKIPPED_FOLDERS`, and what `.lote-ignore` files and
the patterns given say (gitignore syntax) is left alone: neither read nor called missing.
Does not notice a change that leaves size, times and inode as they were.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.workspace import file_system
from .hashing import Candidate, join
from .kinds import PHOTO_EXTENSIONS
from .reading import Unreadable, explain, signed
from .tables import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pathspec import GitIgnoreSpec


# Thumbnails of Synology's indexer; trash cans, whose content its owner gave up (and into which
# `lote photos duplicates --trash` moves files); what Lote itself writes beside comics.
SKIPPED_FOLDERS = frozenset(
    [b"@eaDir", b"$RECYCLE.BIN", b"#recycle", b".Trash", b".Trashes", b"_lote", b".lote"]
)
IGNORE_FILE = b".lote-ignore"
# A file is trusted unread only if its newest time lies this long before its hashing: within the
# granularity of a file system's clock (2 s on FAT) a later write could leave the same times.
# https://git-scm.com/docs/racy-git
RACY_NS = 2_000_000_000
# File systems that keep inode numbers and change times over unmounting; on others they are made up.
KEEPS_INODES = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "ext2/ext3",
        "xfs",
        "btrfs",
        "zfs",
        "apfs",
        "f2fs",
        "bcachefs",
        "tmpfs",
        "overlay",
    ]
)
# Items in a list. Each costs a turn through the scan's loop, and what is in a list waits for its end.
STRIDE = 25
UNHANDLED_KINDS = 200  # different extensions that are counted one by one; the rest together

_by_name = attrgetter("name")
_TYPE, _REGULAR = stat.S_IFMT(0o177777), stat.S_IFREG
# name, size, mtime_ns, ctime_ns, inode, hashed_ns, id, state, directory_id: a row of the directory's query.
Known = tuple[bytes, int, int, int, int, int, int, str, int]
# Ignore rules from the outermost folder inwards; each with the length of the path that it is relative to.
Rules = tuple[tuple[int, "GitIgnoreSpec"], ...]
# A place in the order of the walk: the root's number, then folders (1, name), last the file (0, name).
Place = tuple[tuple[int, bytes], ...]


@dataclass(slots=True)
class WalkError:
    """A folder that cannot be listed, a file that cannot be looked at, or (stage facts) an empty one."""

    path: bytes
    error: Unreadable
    stage: str = "walk"


class Flags:
    """A set of row numbers at one byte each, for sets that are empty or may hold nearly all of them."""

    def __init__(self) -> None:
        self._marks = bytearray()

    def add(self, number: int) -> None:
        if number >= len(self._marks):
            self._marks.extend(bytes(number + 4096 - len(self._marks)))
        self._marks[number] = 1

    def discard(self, number: int) -> None:
        if number < len(self._marks):
            self._marks[number] = 0

    def __contains__(self, number: int) -> bool:
        return number < len(self._marks) and self._marks[number] == 1

    def __len__(self) -> int:
        return self._marks.count(1)

    def __iter__(self) -> Iterator[int]:
        at = self._marks.find(1)
        while at >= 0:
            yield at
            at = self._marks.find(1, at + 1)


class Walk:
    """One pass over the folders. Iterating gives lists of what needs work, none of more than one folder, and one
    at each folder's end, which may be empty."""

    def __init__(
        self,
        roots: Sequence[bytes],
        known: Callable[[bytes], list[Known]],
        *,
        walked: Sequence[bytes] | None = None,
        exclude: Sequence[str] = (),
        start: bytes | None = None,
        stride: int = STRIDE,
    ) -> None:
        """`known` gives a folder's rows. `walked`: those of the roots that are there (default all).
        `start`: the path before which everything is left alone. `stride`: the most items in a list."""
        self.roots = roots
        self.walked = roots if walked is None else walked
        self.seen = 0  # candidates
        self.unchanged = 0
        self.unhandled: Counter[str] = Counter()
        self.visited = Flags()  # directory ids
        self.gone = Flags()  # photo ids
        self._known = known
        self._exclude = list(exclude)
        self._stride = stride
        self._start = self.place(start) if start is not None else None
        # Hard links met so far: the first one (or its row), and how many of them are still to come.
        self._links: dict[tuple[int, int], tuple[Candidate | int, int]] = {}
        self._keeps: dict[int, bool] = {}
        self._is_photo: dict[bytes, bool] = {}

    def __iter__(self) -> Iterator[list[Candidate | WalkError]]:
        for root in self.walked:
            rules: Rules = (_rules(root, self._exclude),) if self._exclude else ()
            stack = [(root, rules)]
            while stack:
                directory, rules = stack.pop()
                if self.before_start(directory):
                    continue
                yield from self._folder(directory, rules, stack)

    def _folder(
        self, directory: bytes, rules: Rules, stack: list[tuple[bytes, Rules]]
    ) -> Iterator[list[Candidate | WalkError]]:
        found: list[Candidate | WalkError] = []
        try:
            with os.scandir(directory) as listing:
                entries = sorted(listing, key=_by_name)
        except OSError as error:
            yield [WalkError(directory, explain(error))]
            return
        special = {entry.name for entry in entries if entry.name in (b".nomedia", IGNORE_FILE)}
        if b".nomedia" in special:
            yield found
            return
        if IGNORE_FILE in special:
            try:
                lines = Path(os.fsdecode(join(directory, IGNORE_FILE))).read_bytes()
            except OSError as error:
                found.append(WalkError(join(directory, IGNORE_FILE), explain(error)))
            else:
                rules = (*rules, _rules(directory, os.fsdecode(lines).splitlines()))
        rows = {row[0]: row for row in self._known(directory)}
        if rows:
            self.visited.add(next(iter(rows.values()))[8])
        limit = self._limit(directory)
        subfolders: list[tuple[bytes, Rules]] = []
        left_alone: set[bytes] = set()
        prefix = join(directory, b"")
        is_photo, keeps, stride = self._is_photo, None, self._stride
        seen = unchanged = 0  # plain names: this loop is what a rescan takes its time for
        for entry in entries:
            if len(found) >= stride:
                self.seen, self.unchanged, seen, unchanged = (
                    self.seen + seen,
                    self.unchanged + unchanged,
                    0,
                    0,
                )
                yield found
                found = []
            name: bytes = entry.name
            dot = name.rfind(b".")
            extension = name[dot:] if dot > 0 else b""
            wanted = is_photo.get(extension)
            if wanted is None:
                wanted = is_photo[extension] = (
                    extension.lower().decode("ascii", "replace") in PHOTO_EXTENSIONS
                )
            if not wanted:
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    is_file = not is_folder and entry.is_file(follow_symlinks=False)
                except OSError as error:  # where listings do not say what is a folder
                    found.append(WalkError(join(directory, name), explain(error)))
                    continue
                if is_folder:
                    if (
                        name not in SKIPPED_FOLDERS
                        and not name.startswith(b".Trash-")
                        and not name.endswith(b".lote")
                    ):
                        subfolders.append((join(directory, name), rules))
                elif is_file and name not in special:
                    self._count_unhandled(extension)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                left_alone.add(name)
                found.append(WalkError(join(directory, name), explain(error)))
                continue
            if status.st_mode & _TYPE != _REGULAR:
                if stat.S_ISDIR(status.st_mode):
                    subfolders.append((join(directory, name), rules))
                continue
            if (limit is not None and (0, name) < limit) or (
                rules and _ignored(join(directory, name), rules, folder=False)
            ):
                left_alone.add(name)
                continue
            size, mtime, ctime = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            if not size:
                empty = Unreadable("empty", "is empty: there is no photo in it")
                found.append(WalkError(join(directory, name), empty, "facts"))
                continue
            seen += 1
            if keeps is None:
                keeps = self._keeps_inodes(status.st_dev, directory)
            row = rows.pop(name, None)
            inode, links = status.st_ino, status.st_nlink
            trusted = False
            if (
                row is not None
                and row[1] == size
                and row[2] == mtime
                and (not keeps or (row[3] == ctime and (row[4] == inode or row[4] == signed(inode))))
                and row[5] - RACY_NS >= (ctime if keeps and ctime > mtime else mtime)
            ):
                if links > 1:
                    self._link(status, row[6])
                if row[7] != MISSING:
                    unchanged += 1
                    continue
                trusted = True
            candidate = Candidate(
                directory,
                name,
                prefix + name,
                size,
                mtime,
                ctime,
                signed(inode),
                status.st_dev,
                links,
                row[6] if row is not None else None,
                trusted,
            )
            if links > 1 and not trusted:
                candidate.same_as = self._link(status, candidate)
            found.append(candidate)
        self.seen += seen
        self.unchanged += unchanged
        for name, row in rows.items():
            before = limit is not None and (0, name) < limit
            if row[7] != MISSING and name not in left_alone and not before:
                self.gone.add(row[6])
        stack.extend(
            pair for pair in reversed(subfolders) if not (rules and _ignored(pair[0], rules, folder=True))
        )
        yield found

    def _count_unhandled(self, extension: bytes) -> None:
        kind = os.fsdecode(extension).lower().encode("utf-8", "replace").decode() or "no extension"
        if kind not in self.unhandled and len(self.unhandled) >= UNHANDLED_KINDS:
            kind = "other"
        self.unhandled[kind] += 1

    def _link(self, status: os.stat_result, here: Candidate | int) -> Candidate | int | None:
        """The hard link of this file that came first in this walk, None if this is the first."""
        key = status.st_dev, status.st_ino
        first, to_come = self._links.pop(key, (None, status.st_nlink))
        if to_come > 1:  # memory only for files whose other links may still come
            self._links[key] = (here if first is None else first), to_come - 1
        return first

    def _keeps_inodes(self, device: int, directory: bytes) -> bool:
        if device not in self._keeps:
            self._keeps[device] = file_system(Path(os.fsdecode(directory))) in KEEPS_INODES
        return self._keeps[device]

    def place(self, path: bytes, *, folder: bool = False) -> Place:
        """Where a path comes in the order of the walk."""
        for number, root in enumerate(self.roots):
            if path == root:
                return ((number, b""),)
            if path.startswith(prefix := root.rstrip(b"/") + b"/"):
                *folders, last = path[len(prefix) :].split(b"/")
                return ((number, b""), *((1, name) for name in folders), (int(folder), last))
        raise ValueError(f"{path!r} lies below none of the folders")

    def covers(self, directory: bytes) -> bool:
        """Whether the folder is one of the roots or lies below one."""
        return any(directory == root or directory.startswith(root.rstrip(b"/") + b"/") for root in self.roots)

    def before_start(self, directory: bytes) -> bool:
        """Whether the folder and all below it come before the path at which the walk starts."""
        if self._start is None:
            return False
        place = self.place(directory, folder=True)
        return place < self._start[: len(place)]

    def _limit(self, directory: bytes) -> tuple[int, bytes] | None:
        """Where in this folder the walk starts; None if all of it comes after the start."""
        if self._start is None:
            return None
        place = self.place(directory, folder=True)
        return self._start[len(place)] if self._start[: len(place)] == place != self._start else None


def _rules(directory: bytes, lines: Sequence[str]) -> tuple[int, GitIgnoreSpec]:
    from pathspec import GitIgnoreSpec

    return len(directory.rstrip(b"/")) + 1, GitIgnoreSpec.from_lines(lines)


def _ignored(path: bytes, rules: Rules, *, folder: bool) -> bool:
    """As git decides: the innermost file with an opinion, in it the last line that matches."""
    for base, spec in reversed(rules):
        relative = os.fsdecode(path[base:]) + ("/" if folder else "")
        if (verdict := spec.check_file(relative).include) is not None:
            return verdict
    return False
