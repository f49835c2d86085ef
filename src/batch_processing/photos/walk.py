"""Walking folders: which photos are there, and which of them are known and unchanged.

Promises: a fixed order (names sorted byte by byte; the files of a folder before its subfolders), one
query for each folder, no reading, symbolic links never followed, memory for one folder at a time. What is left
alone (links, a folder with a `.nomedia` file, bins and machine folders by name, what `.lote-ignore` files and the
patterns given say) is neither read nor called missing, and counted by reason.
Does not notice a change that leaves size, time of modification and inode as they were.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.workspace import file_system
from ..exceptions import BatchProcessingError
from ..io.scan import RACY_NS
from ..messages import Message
from .hashing import Candidate, join
from .kinds import (
    Kind,
    LeftAlone,
    Reason,
    extension_of,
    folder_reason,
    is_home_trash,
    is_package,
    is_side_file,
    kind_of,
)
from .reading import LEAST, MOST, Unreadable, clamped, explain, signed, unexpected
from .tables import BLANK, MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pathspec import GitIgnoreSpec


IGNORE_FILE = b".lote-ignore"
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
DOT = ord(".")  # how the names of macOS side files begin, and those of few photos
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
        videos: bool = False,
        paranoid: bool = False,
    ) -> None:
        """`known` gives a folder's rows. `walked`: those of the roots that are there (default all).
        `start`: the path before which everything is left alone. `stride`: the most items in a list.
        `videos`: take them like photos. `paranoid`: read again what has another change time."""
        self.roots = roots
        self.walked = roots if walked is None else walked
        self.seen = 0  # candidates
        self.unchanged = 0
        self.unhandled: Counter[str] = Counter()
        self.left_alone: dict[Reason, LeftAlone] = {}
        self.visited = Flags()  # directory ids
        self.gone = Flags()  # photo ids
        self.no_photos = Flags()  # photo ids of rows that should not have been made: macOS side files
        self.mounts: set[bytes] = set()  # where the disks of the folders are mounted, but for `/`
        self._known = known
        self._exclude = list(exclude)
        self._stride = stride
        self._start = self.place(start) if start is not None else None
        self._kinds = {Kind.PHOTO, Kind.VIDEO} if videos else {Kind.PHOTO}
        self._paranoid = paranoid
        # Hard links met so far: the first one (or its row), and how many of them are still to come.
        self._links: dict[tuple[int, int], tuple[Candidate | int, int]] = {}
        self._keeps: dict[int, bool] = {}
        self._mounts: dict[int, list[bytes]] = {}  # mount points by device
        self._wanted: dict[bytes, bool] = {}

    def __iter__(self) -> Iterator[list[Candidate | WalkError]]:
        for root in self.walked:
            rules: Rules = (_rules(root, self._exclude),) if self._exclude else ()
            stack = [_Folder(root, rules, in_package=is_package(os.path.basename(root)))]  # noqa: PTH119 - bytes
            while stack:
                folder = stack.pop()
                if self.before_start(folder.path):
                    continue
                try:
                    yield from self._folder(folder, stack)
                except BatchProcessingError:  # of the database
                    raise
                except Exception as error:  # noqa: BLE001 - the border at which a folder fails, and not the scan
                    yield [WalkError(folder.path, unexpected(error))]

    def _folder(self, folder: _Folder, stack: list[_Folder]) -> Iterator[list[Candidate | WalkError]]:
        try:
            opened = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            yield [WalkError(folder.path, explain(error))]
            return
        try:
            yield from self._listed(folder, stack, opened)
        finally:  # also where nobody asks for the rest
            os.close(opened)

    def _listed(
        self, folder: _Folder, stack: list[_Folder], opened: int
    ) -> Iterator[list[Candidate | WalkError]]:
        """The photos of a folder; `opened` is its descriptor."""
        directory = folder.path
        found: list[Candidate | WalkError] = []
        try:
            with os.scandir(directory) as listing:
                entries = sorted(listing, key=_by_name)
        except OSError as error:
            yield [WalkError(directory, explain(error))]
            return
        if not self._read_rules(folder, entries, found):
            yield found
            return
        rows = {row[0]: row for row in self._known(directory)}
        if rows:
            self.visited.add(next(iter(rows.values()))[8])
        limit, rules = self._limit(directory), folder.rules
        prefix = join(directory, b"")
        is_wanted, keeps, stride, paranoid = self._wanted, None, self._stride, self._paranoid
        seen = unchanged = 0  # plain names: this loop is what a rescan takes its time for
        look = os.stat  # by the folder's descriptor: the system need not find the way to each file again
        for entry in entries:
            if len(found) >= stride:
                self.seen, self.unchanged = self.seen + seen, self.unchanged + unchanged
                seen = unchanged = 0
                yield found
                found = []
            name: bytes = entry.name
            dot = name.rfind(b".")
            extension = name[dot:] if dot > 0 else b""
            wanted = is_wanted.get(extension)
            if wanted is None:
                wanted = is_wanted[extension] = kind_of(extension) in self._kinds
            if (not wanted or name[0] == DOT) and not self._is_wanted(folder, entry, found, rows):
                continue
            try:
                status = look(name, dir_fd=opened, follow_symlinks=False)
            except OSError as error:
                folder.left_alone.add(name)
                found.append(WalkError(prefix + name, explain(error)))
                continue
            if status.st_mode & _TYPE != _REGULAR:
                self._irregular(folder, name, status.st_mode)
                continue
            if (limit is not None and (0, name) < limit) or (
                rules and self._is_ignored(prefix + name, rules)
            ):
                folder.left_alone.add(name)
                continue
            size, mtime = status.st_size, status.st_mtime_ns
            row = rows.pop(name, None)
            if not size:
                found.append(self._empty(prefix + name, row))
                continue
            seen += 1
            if keeps is None:
                keeps = self._keeps_inodes(status.st_dev, directory)
            inode, links = status.st_ino, status.st_nlink
            trusted = False
            if (
                row is not None
                and row[1] == size
                and (row[2] == mtime or row[2] == clamped(mtime))
                and (not keeps or row[4] == inode or row[4] == signed(inode))
                and row[5] - RACY_NS >= mtime
                and row[5]
                and not (paranoid and keeps and _has_other_change_time(status, row))
            ):
                if links > 1:
                    self._link(status, row[6])
                if row[7] != MISSING:
                    unchanged += 1
                    continue
                trusted = True
            ctime = status.st_ctime_ns
            candidate = Candidate(  # here, and without a call: a first scan makes one for each photo
                directory,
                name,
                prefix + name,
                size,
                mtime if LEAST <= mtime <= MOST else clamped(mtime),
                ctime if LEAST <= ctime <= MOST else clamped(ctime),
                inode if inode <= MOST else signed(inode),
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
        self._count_gone(folder, rows, limit)
        stack.extend(reversed(folder.subfolders))
        yield found

    def _read_rules(
        self,
        folder: _Folder,
        entries: Sequence[os.DirEntry[bytes]],
        found: list[Candidate | WalkError],
    ) -> bool:
        """Whether the folder may be looked into; what its `.lote-ignore` says counts from here on."""
        special = {entry.name for entry in entries if entry.name in (b".nomedia", IGNORE_FILE)}
        if b".nomedia" in special:
            self._leave(Reason.NO_MEDIA, folder.path)
            return False
        if IGNORE_FILE in special:
            path = join(folder.path, IGNORE_FILE)
            try:
                lines = Path(os.fsdecode(path)).read_bytes()
            except OSError as error:
                found.append(WalkError(path, explain(error)))
            else:
                folder.rules = (*folder.rules, _rules(folder.path, os.fsdecode(lines).splitlines()))
        return True

    def _is_wanted(
        self,
        folder: _Folder,
        entry: os.DirEntry[bytes],
        found: list[Candidate | WalkError],
        rows: dict[bytes, Known],
    ) -> bool:
        """Whether an entry that is no photo by its ending, or has the name of a side file, is a photo; if not, it
        is counted, or its folder remembered."""
        name: bytes = entry.name
        path = join(folder.path, name)
        try:
            if entry.is_dir(follow_symlinks=False):
                self._enter(folder, name)
                return False
            is_file = entry.is_file(follow_symlinks=False)
        except OSError as error:  # where listings do not say what is a folder
            found.append(WalkError(path, explain(error)))
            return False
        if not is_file:
            self._leave(Reason.LINK if entry.is_symlink() else Reason.SPECIAL, path)
            return False
        if is_side_file(path, name):
            self._leave(Reason.SIDE_FILE, path)
            if (row := rows.pop(name, None)) is not None:
                self.no_photos.add(row[6])
            return False
        extension = extension_of(name)
        if self._wanted.get(extension, False):
            return True
        if name != IGNORE_FILE and name not in rows:  # a video that a scan or an import has recorded
            self._count_unhandled(_ending(extension), path)
        return False

    def _enter(self, folder: _Folder, name: bytes) -> None:
        """Remember a subfolder for later, unless it is to be left alone."""
        path = join(folder.path, name)
        reason = folder_reason(name, in_package=folder.in_package)
        if is_home_trash(path):
            reason = Reason.BIN
        if reason is not None:
            self._leave(reason, path)
        elif folder.rules and _ignored(path, folder.rules, folder=True):
            self._leave(Reason.IGNORED, path)
        else:
            inside = folder.in_package or is_package(name)
            folder.subfolders.append(_Folder(path, folder.rules, in_package=inside))

    def _irregular(self, folder: _Folder, name: bytes, mode: int) -> None:
        """What has the name of a photo and is no regular file."""
        if stat.S_ISDIR(mode):
            self._enter(folder, name)
        else:
            reason = Reason.LINK if stat.S_ISLNK(mode) else Reason.SPECIAL
            self._leave(reason, join(folder.path, name))

    def _is_ignored(self, path: bytes, rules: Rules) -> bool:
        if _ignored(path, rules, folder=False):
            self._leave(Reason.IGNORED, path)
            return True
        return False

    def _leave(self, reason: Reason, path: bytes) -> None:
        if reason in self.left_alone:
            self.left_alone[reason].count += 1
        else:
            self.left_alone[reason] = LeftAlone(1, os.fsdecode(path))

    def _empty(self, path: bytes, row: Known | None) -> WalkError:
        if row is not None and row[7] not in (MISSING, BLANK):
            text = Message("was a photo, is now empty: restore it from a backup")
            return WalkError(path, Unreadable("ruined", text), "hash")
        return WalkError(path, Unreadable("empty", "is empty: there is no photo in it"), "facts")

    def _count_gone(self, folder: _Folder, rows: dict[bytes, Known], limit: tuple[int, bytes] | None) -> None:
        """Remember which of a folder's rows met no entry: their photos are gone, unless they were left alone."""
        for name, row in rows.items():
            if row[7] == MISSING or name in folder.left_alone or (limit is not None and (0, name) < limit):
                continue
            if kind_of(extension_of(name)) in self._kinds:  # videos are judged by scans that take them
                self.gone.add(row[6])

    def _count_unhandled(self, kind: str, path: bytes) -> None:
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
        """Whether the disk that holds the folder keeps inodes. Where it is mounted is remembered."""
        if device not in self._keeps:
            self._keeps[device] = file_system(Path(os.fsdecode(directory))) in KEEPS_INODES
        mounts = self._mounts.setdefault(device, [])
        if not any(is_below(directory, mount) for mount in mounts):
            mounts.append(mount_point(directory, device))
            if mounts[-1] != b"/":
                self.mounts.add(mounts[-1])
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
        return any(is_below(directory, root) for root in self.roots)

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


@dataclass(slots=True)
class _Folder:
    """A folder on its way through the walk."""

    path: bytes
    rules: Rules
    in_package: bool  # inside of a folder that a program keeps whole
    subfolders: list[_Folder] = field(default_factory=list)
    left_alone: set[bytes] = field(default_factory=set)  # names of files


def _ending(extension: bytes) -> str:
    """What the ending of a name is called where it is counted."""
    return os.fsdecode(extension).lower().encode("utf-8", "replace").decode() or "no extension"


def _has_other_change_time(status: os.stat_result, row: Known) -> bool:
    ctime = clamped(status.st_ctime_ns)
    return row[3] != ctime or row[5] - RACY_NS < ctime


def is_below(path: bytes, root: bytes) -> bool:
    """Whether a path is `root`, or lies below it."""
    return path == root or path.startswith(root if root == b"/" else root + b"/")


def mount_point(directory: bytes, device: int) -> bytes:
    """The folder on which the disk is mounted that holds `directory`, `/` for that of the system."""
    while directory != b"/":
        parent = os.path.dirname(directory)  # noqa: PTH120 - bytes
        try:
            if os.stat(parent).st_dev != device:  # noqa: PTH116 - bytes
                break
        except OSError:
            break
        directory = parent
    return directory


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
