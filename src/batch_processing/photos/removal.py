"""The one check that stands before a photo is removed, and the removals.

A path may lie: two paths can be one file, on a pool and its branch, on a second mount, behind FUSE, in another case.
Equal bytes, and even different devices and inode numbers, do not tell. Therefore the file is renamed aside in its own
folder for a moment, and what is to stay is opened anew: what is gone with it is the same file.

Promises: nothing is removed unless each photo of its content that is to stay was seen standing, by its listed name,
with its inode, size and time as before, while the removed one had another name, and unless the bytes of both were
compared; nothing below a protected folder, in a machine's folder, or inside of a library that a program keeps whole.
Killed at any moment, the next scan or removal gives the file its name back (`steps`). Does not guard against a
program that changes the photo that stays right after the check; a trashed file can be taken back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.workspace import file_system
from . import extents, steps
from .kinds import folder_reason, package_around
from .names import Listings
from .reading import PIECE, explain, open_file

if TYPE_CHECKING:
    from .store import Store

# File systems of the kernel's own on which a file is one pair of device and inode, whatever way leads to it. On all
# others (FUSE, pools, networks, layers) two pairs can be one file.
# fmt: off
TELLS_FILES_APART = frozenset([
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "tmpfs", "ramfs", "vfat", "msdos", "exfat",
    "ntfs3", "hfsplus", "apfs", "hfs", "iso9660", "udf", "squashfs", "erofs",
])
# fmt: on


class How(StrEnum):
    """What is done with a copy."""

    HARDLINK = "hardlink"
    REFLINK = "reflink"
    TRASH = "trash"


class Refusal(StrEnum):
    """Why a photo was left alone. Values stand in the log."""

    GONE = "gone"
    CHANGED = "changed"
    OTHER_BYTES = "other bytes"
    SAME_FILE = "same file"
    HARD_LINK = "hard link"
    SHARED = "shared"
    PROTECTED = "protected"
    PROGRAM = "program"
    MACHINE = "machine"
    KEPT_GONE = "kept gone"
    OTHER_DISK = "other disk"
    CANNOT_SHARE = "cannot share"
    NAME_TAKEN = "name taken"
    SYSTEM = "system"


SENTENCES = {
    Refusal.GONE: "is not there any more: scan again",
    Refusal.CHANGED: "changed since it was scanned: scan again",
    Refusal.OTHER_BYTES: "has other bytes than the photo that is kept: scan again",
    Refusal.SAME_FILE: "is the same file, seen on another way, as one that is kept",
    Refusal.HARD_LINK: "is a hard link of the photo that is kept already",
    Refusal.SHARED: "shares its bytes with the photo that is kept already",
    Refusal.PROTECTED: "lies in a folder that --keep under protects",
    Refusal.PROGRAM: "lies in a library that another program keeps: remove it with that program",
    Refusal.MACHINE: "lies in a folder that a machine keeps",
    Refusal.KEPT_GONE: "is the only one that is there: the photo to keep is gone or changed; scan again",
    Refusal.OTHER_DISK: "lies on another file system than the photo that is kept",
    Refusal.CANNOT_SHARE: "cannot share its bytes: its file system does not do that",
}


class Refused(Exception):  # noqa: N818 - an answer, which becomes a line of the log
    """The photo was left alone."""

    def __init__(self, code: Refusal, text: str | None = None, *, other: bytes | None = None) -> None:
        """`other`: the file that is the same one."""
        super().__init__(text or SENTENCES[code])
        self.code = code
        self.other = other


class Protected:
    """Folders below which nothing is removed, however a path leads there: by name, through links, a second mount, or
    in another case."""

    def __init__(self, folders: Sequence[bytes]) -> None:
        """`folders`: absolute."""
        self.folders = tuple(folder.rstrip(b"/") or b"/" for folder in folders)
        self._real = {os.path.realpath(folder) for folder in self.folders}
        self._places = {place for folder in self.folders if (place := _place(folder)) is not None}
        self._holds: dict[bytes, bool] = {}

    def holds(self, path: bytes) -> bool:
        """Whether the file lies below one of the folders."""
        directory = os.path.dirname(path)  # noqa: PTH120 - bytes
        if directory not in self._holds:
            self._holds[directory] = self._is_inside(directory)
        return self._holds[directory]

    def _is_inside(self, directory: bytes) -> bool:
        for start in (directory, os.path.realpath(directory)):
            for folder in _and_above(start):
                if folder in self.folders or folder in self._real:
                    return True
                if self._places and _place(folder) in self._places:
                    return True
        return False


def _and_above(directory: bytes) -> Iterator[bytes]:
    while True:
        yield directory
        parent = os.path.dirname(directory)  # noqa: PTH120 - bytes
        if parent == directory:
            return
        directory = parent


def _place(folder: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)  # noqa: PTH116 - bytes
    except OSError:
        return None
    return status.st_dev, status.st_ino


@dataclass(frozen=True)
class Standing:
    """A file that is to stay, and how it was before another was renamed."""

    path: bytes
    status: os.stat_result


@contextmanager
def aside(store: Store, path: bytes, size: int, digest: bytes) -> Iterator[int]:
    """Have the file at `path` be called otherwise while the block runs: gives the number of its step in the journal,
    which the caller strikes out when the block has ended well. OSError where it cannot be renamed; Refused if
    somebody took its name meanwhile: then it keeps the other one."""
    folder = os.path.dirname(path)  # noqa: PTH120 - bytes
    spare = steps.spare_name(folder)
    step = steps.begin(store, steps.Action.ASIDE, path, spare, size, digest)
    try:
        os.rename(path, spare)  # noqa: PTH104 - bytes
    except BaseException:
        steps.finish(store, step)
        raise
    try:
        yield step
    except BaseException:
        _back(spare, path)
        steps.finish(store, step)
        raise
    _back(spare, path)


def _back(spare: bytes, path: bytes) -> None:
    try:
        steps.take_name(spare, path)
    except FileExistsError as error:
        name = os.fsdecode(os.path.basename(spare))  # noqa: PTH119 - bytes
        text = (
            f"lost its name to another file while it was being compared, and is called {name} now: rename it"
        )
        raise Refused(Refusal.NAME_TAKEN, text) from error
    steps.sync_folder(os.path.dirname(path))  # noqa: PTH120 - bytes


def check(
    store: Store,
    copy: bytes,
    kept: bytes,
    staying: Sequence[bytes],
    size: int,
    digest: bytes,
    protected: Protected,
) -> int:
    """Prove that `copy` may be removed because `kept` has the same bytes, and that no photo of `staying` (all that are to
    stay, `kept` among them) goes with it. Returns the number of the step in the journal, to be struck out.

    Refused or OSError if it may not be removed; then it is as it was."""
    _refuse_places(copy, protected)
    with ExitStack() as stack:
        left, right = _open(copy, stack, Refusal.GONE), _open(kept, stack, Refusal.KEPT_GONE)
        one, other = os.fstat(left), os.fstat(right)
        if one.st_size != size:
            raise Refused(Refusal.CHANGED)
        if other.st_size != size:
            raise Refused(Refusal.KEPT_GONE)
        if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
            raise Refused(Refusal.HARD_LINK if one.st_nlink > 1 else Refusal.SAME_FILE, other=kept)
        if not _equal(left, right):
            raise Refused(Refusal.OTHER_BYTES)
        _unchanged(copy, one, Refusal.CHANGED)
        stand = [Standing(path, _status(path)) for path in dict.fromkeys((kept, *staying))]
        for now in stand:
            if (now.status.st_dev, now.status.st_ino) == (one.st_dev, one.st_ino):
                raise Refused(Refusal.HARD_LINK, other=now.path)
        with aside(store, copy, size, digest) as step:
            _still_there(stand, right, one)
        try:
            _unchanged(copy, one, Refusal.CHANGED)
        except BaseException:
            steps.finish(store, step)
            raise
        return step


def _still_there(stand: Sequence[Standing], kept: int, moved: os.stat_result) -> None:
    """Look at the files that are to stay anew, while the other one has another name."""
    listings = Listings()
    for standing in stand:
        before = standing.status
        # Two mounts of one server's folder: the same numbers, on another device.
        if (before.st_ino, before.st_mtime_ns, before.st_size) == (
            moved.st_ino,
            moved.st_mtime_ns,
            moved.st_size,
        ):
            raise Refused(Refusal.SAME_FILE, other=standing.path)
        try:
            descriptor = open_file(standing.path)
        except OSError as error:
            raise Refused(Refusal.SAME_FILE, other=standing.path) from error
        try:
            now = os.fstat(descriptor)
            if (
                now.st_ctime_ns != before.st_ctime_ns
            ):  # renaming one name of a file writes this for all its names
                raise Refused(Refusal.SAME_FILE, other=standing.path)
            if not _is_as_before(now, before) or not listings.has(standing.path):
                raise Refused(Refusal.SAME_FILE, other=standing.path)
            if standing is stand[0] and not _equal(descriptor, kept):
                raise Refused(Refusal.KEPT_GONE)
        finally:
            os.close(descriptor)


def _refuse_places(path: bytes, protected: Protected) -> None:
    if protected.holds(path):
        raise Refused(Refusal.PROTECTED)
    if package_around(path) is not None:
        raise Refused(Refusal.PROGRAM)
    if in_machine_folder(path):
        raise Refused(Refusal.MACHINE)


def in_machine_folder(path: bytes) -> bool:
    """Whether a file lies in a bin, or in a folder of thumbnails, versions or snapshots."""
    return any(folder_reason(name) is not None for name in path.split(b"/")[:-1] if name)


def remove(copy: bytes, kept: bytes, size: int, how: How) -> None:
    """Do what `check` has shown to be safe. Refused or OSError if it cannot be done; then the copy is as it was."""
    if how is How.TRASH:
        from send2trash import send2trash

        send2trash(os.fsdecode(copy))
    elif how is How.HARDLINK:
        _link(copy, kept)
    else:
        _share(copy, kept, size)


def _link(copy: bytes, kept: bytes) -> None:
    """Replace the copy by a hard link, in one step."""
    if os.lstat(copy).st_dev != os.lstat(kept).st_dev:
        raise Refused(Refusal.OTHER_DISK)
    before = os.lstat(kept)
    spare = steps.spare_name(os.path.dirname(copy))  # noqa: PTH120 - bytes
    os.link(kept, spare, follow_symlinks=False)
    is_same = False
    try:
        is_same = _is_as_before(os.lstat(spare), before)
        if is_same:
            os.rename(spare, copy)  # noqa: PTH104 - bytes
    finally:
        with suppress(OSError):  # gone, if it was renamed
            os.unlink(spare)  # noqa: PTH108 - bytes
    if not is_same:
        raise Refused(Refusal.KEPT_GONE)
    steps.sync_folder(os.path.dirname(copy))  # noqa: PTH120 - bytes


def _share(copy: bytes, kept: bytes, size: int) -> None:
    """Have the copy take its bytes from where those of the kept photo lie; both stay files of their own."""
    with ExitStack() as stack:
        source = _open(kept, stack, Refusal.KEPT_GONE)
        target = os.open(copy, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, target)
        places = extents.extents(source)
        if places is not None and places == extents.extents(target):
            raise Refused(Refusal.SHARED)
        try:
            extents.share(source, target, size)
        except extents.Differs as error:
            raise Refused(Refusal.OTHER_BYTES) from error
        except OSError as error:
            raise Refused(Refusal.CANNOT_SHARE) from error


def is_apart(store: Store, path: bytes, twin: bytes, size: int, digest: bytes) -> bool:
    """Whether two files of equal content are two: so that `twin` stays when `path` goes. Where device and inode do not
    tell, `path` is renamed aside for a moment; if it cannot be (a read-only disk), nobody can tell, and they
    are taken for one. Refused if its name was taken meanwhile."""
    try:
        one, other = _status(path), _status(twin)
    except Refused:
        return False
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return False
    if all(_file_system(name) in TELLS_FILES_APART for name in (path, twin)):
        return True
    if (one.st_ino, one.st_mtime_ns) == (other.st_ino, other.st_mtime_ns):
        return False
    try:
        with ExitStack() as stack:
            kept = _open(twin, stack, Refusal.KEPT_GONE)
            with aside(store, path, size, digest) as step:
                _still_there([Standing(twin, other)], kept, one)
            steps.finish(store, step)
    except OSError:
        return False
    except Refused as error:
        if error.code is Refusal.NAME_TAKEN:
            raise
        return False
    return True


def _file_system(path: bytes) -> str:
    return file_system(Path(os.fsdecode(os.path.dirname(path))))  # noqa: PTH120 - bytes


def refusal_of(error: OSError | Refused) -> tuple[Refusal, str]:
    """Code and sentence of why a photo was left alone."""
    if isinstance(error, Refused):
        return error.code, str(error)
    found = explain(error)
    text = SENTENCES[Refusal.GONE] if found.kind == "vanished" else str(found)
    return Refusal.SYSTEM, text


def _open(path: bytes, stack: ExitStack, otherwise: Refusal) -> int:
    """A descriptor of a regular file."""
    try:
        descriptor = open_file(path)
    except FileNotFoundError as error:
        raise Refused(otherwise) from error
    stack.callback(os.close, descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Refused(otherwise)
    return descriptor


def _status(path: bytes) -> os.stat_result:
    try:
        status = os.lstat(path)
    except OSError as error:
        raise Refused(Refusal.KEPT_GONE) from error
    if not stat.S_ISREG(status.st_mode):
        raise Refused(Refusal.KEPT_GONE)
    return status


def _is_as_before(now: os.stat_result, before: os.stat_result) -> bool:
    return all(
        getattr(now, name) == getattr(before, name) for name in ("st_dev", "st_ino", "st_mtime_ns", "st_size")
    )


def _unchanged(path: bytes, before: os.stat_result, otherwise: Refusal) -> None:
    try:
        now = os.lstat(path)
    except FileNotFoundError as error:
        raise Refused(otherwise) from error
    if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
        raise Refused(otherwise)


def _equal(left: int, right: int) -> bool:
    """Whether the files behind two descriptors have the same bytes."""
    offset = 0
    while True:
        one, other = os.pread(left, PIECE, offset), os.pread(right, PIECE, offset)
        if one != other:
            return False
        if not one:
            return True
        offset += len(one)
