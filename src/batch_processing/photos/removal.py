"""The one check that stands before a photo is removed, and the removals.

A path may lie: two paths can be one file, on a pool and its branch, on a second mount, behind FUSE, in another case.
Equal bytes, and even different devices and inode numbers, do not tell. Therefore the file is renamed aside in its own
folder for a moment, and what is to stay is opened anew: what is gone with it is the same file.

Promises: nothing is removed unless each photo of its content that is to stay was seen standing, by its listed name,
with its inode, size and time as before, while the removed one had another name, and unless the bytes of both were
compared, with each other and with what was recorded, and those that stay are on their disk; nothing below a protected
folder, on whatever way, in a machine's folder, or inside of a library that a program keeps whole. A name becomes a
link without a moment in which another program's file could be replaced. Killed at any moment, the next scan or
removal gives the file its name back, or ends the change (`steps`).

Does not guard against a program that changes the photo that stays right after the check, or replaces a copy at the
moment it goes to the trash (a trashed file can be taken back); nor against a file system that shows a file under its
old name, with its old status, after it was renamed (a mount that answers from a cache of its own).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ..core.workspace import NETWORK_FILE_SYSTEMS, file_system
from ..messages import Message
from . import extents, steps
from .hashing import join
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
# Those and the ones that FUSE makes of a whole disk: there one device is one disk, and its numbers tell nothing.
TELLS_DISKS_APART = TELLS_FILES_APART | {"fuseblk"}
# File systems that show the numbers of others on a device of their own: two mounts of one server's folder, two layers.
KEEPS_NUMBERS = frozenset(NETWORK_FILE_SYSTEMS | {"overlay", "aufs", "fuse.overlayfs", "unionfs", "ecryptfs"})


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
    OTHER_OWNER = "other owner"
    NO_TRASH = "no trash"
    OTHER_NAMES = "other names"
    SYSTEM = "system"


SENTENCES = {
    Refusal.GONE: Message("is not there any more: scan again"),
    Refusal.CHANGED: Message("changed since it was scanned: scan again"),
    Refusal.OTHER_BYTES: Message("has other bytes than the photo that is kept: scan again"),
    Refusal.SAME_FILE: Message("is the same file, seen on another way, as one that is kept"),
    Refusal.HARD_LINK: Message("is a hard link of the photo that is kept already"),
    Refusal.SHARED: Message("shares its bytes with the photo that is kept already"),
    Refusal.PROTECTED: Message("lies in a folder that --keep under protects"),
    Refusal.PROGRAM: Message("lies in a library that another program keeps: remove it with that program"),
    Refusal.MACHINE: Message("lies in a folder that a machine keeps"),
    Refusal.KEPT_GONE: Message(
        "is the only one that is there: the photo to keep is gone or changed; scan again"
    ),
    Refusal.OTHER_DISK: Message("lies on another file system than the photo that is kept"),
    Refusal.CANNOT_SHARE: Message("cannot share its bytes: its file system does not do that"),
    Refusal.OTHER_OWNER: Message(
        "belongs to another user than the photo that is kept: use --trash or --reflink"
    ),
    Refusal.OTHER_NAMES: Message(
        "has other names (hard links), so that nothing would be gained: use --hardlink"
    ),
    Refusal.NO_TRASH: Message("is not taken by the trash of its disk: use --hardlink, or remove it by hand"),
}
FORBIDDEN = Message("may not be changed: its permissions, or those of its folder, forbid it")
# Why the trash takes no file, where the system says so.
TRASH_SENTENCES = {
    errno.ENOSPC: Message("cannot be moved to the trash, whose disk is full: empty the trash"),
    errno.EDQUOT: Message("cannot be moved to the trash, whose disk is full: empty the trash"),
    errno.ENAMETOOLONG: Message("has a name that is too long for the trash: rename it, or use --hardlink"),
    errno.EACCES: Message(
        "cannot be moved to the trash: its permissions, or those of its folder or trash, forbid it"
    ),
    errno.EPERM: Message(
        "cannot be moved to the trash: its permissions, or those of its folder or trash, forbid it"
    ),
    errno.EROFS: Message("cannot be moved to the trash: its disk is mounted read-only"),
}


class Refused(Exception):  # noqa: N818 - an answer, which becomes a line of the log
    """The photo was left alone."""

    def __init__(self, code: Refusal, text: Message | None = None, *, other: bytes | None = None) -> None:
        """`other`: the file that is the same one."""
        self.sentence = text or SENTENCES[code]
        super().__init__(self.sentence)
        self.code = code
        self.other = other


R = TypeVar("R", bound=StrEnum)


@dataclass(frozen=True)
class KeepBy(Generic[R]):
    """A rule that says which photo of a group stays, with "under" its folder (absolute)."""

    rule: R
    folder: bytes | None = None


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

    def shows(self, spare: bytes) -> bool:
        """Whether a file of this new name, which no other file has, is to be seen below one of the folders: then its own
        folder lies there on a way that neither names nor numbers tell (a pool, a view behind FUSE)."""
        directory, name = os.path.split(spare)
        ends = {
            b"/".join(parts[number:])
            for way in (directory, os.path.realpath(directory))
            for parts in (way.strip(b"/").split(b"/"),)
            for number in range(len(parts) + 1)
        }
        return any(
            os.path.lexists(join(join(folder, end) if end else folder, name))
            for folder in self.folders
            for end in ends
        )


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


@dataclass
class Aside:
    """A file that is called `spare` for a moment. `step`: its number in the journal; `is_over`: its name belongs to another
    file by now, and what stood aside was removed."""

    path: bytes
    spare: bytes
    step: int
    is_over: bool = False


@contextmanager
def aside(
    store: Store, path: bytes, size: int, digest: bytes, action: steps.Action = steps.Action.ASIDE
) -> Iterator[Aside]:
    """Have the file at `path` be called otherwise while the block runs. The caller strikes its step out of the journal
    when the block has ended well. OSError where it cannot be renamed; Refused if somebody took its name
    meanwhile: then it keeps the other one."""
    folder = os.path.dirname(path)  # noqa: PTH120 - bytes
    spare = steps.spare_name(folder)
    now = Aside(path, spare, steps.begin(store, action, path, spare, size, digest))
    try:
        os.rename(path, spare)  # noqa: PTH104 - bytes
    except BaseException:
        steps.finish(store, now.step)
        raise
    try:
        yield now
    except BaseException:
        if not now.is_over:
            _back(spare, path)
        steps.finish(store, now.step)
        raise
    if not now.is_over:
        _back(spare, path)


def _back(spare: bytes, path: bytes) -> None:
    try:
        steps.take_name(spare, path)
    except FileExistsError as error:
        name = os.fsdecode(os.path.basename(spare))  # noqa: PTH119 - bytes
        text = Message(
            "lost its name to another file while it was being compared, and is called {name} now: rename it",
            name=name,
        )
        raise Refused(Refusal.NAME_TAKEN, text) from error
    steps.sync_folder(os.path.dirname(path))  # noqa: PTH120 - bytes


@dataclass(frozen=True)
class Wish:
    """A photo that may go because `kept` has the same bytes: those of `digest`, `size` in number. `staying`: all that are
    to stay, whether `kept` is among them or not. `other`: where `kept` shows the same picture with other bytes, what they
    were when the two were compared."""

    copy: bytes
    kept: bytes
    staying: Sequence[bytes]
    size: int
    digest: bytes
    protected: Protected
    other: Content | None = None


@dataclass(frozen=True)
class Content:
    """Bytes that were seen: how many, and their SHA-256."""

    size: int
    digest: bytes


@dataclass(frozen=True)
class Proof:
    """What was seen while the copy stood aside: how it was before, and how the kept photo is."""

    aside: Aside
    copy: os.stat_result
    kept: os.stat_result


def _same(status: os.stat_result) -> Refusal:
    """What two paths are that lead to one file."""
    return Refusal.HARD_LINK if status.st_nlink > 1 else Refusal.SAME_FILE


def _compared(wish: Wish, kept: int) -> os.stat_result:
    """How the copy is. Refused unless it is another file than the one behind the descriptor `kept`, with the same bytes, or
    where the kept one has others, unless both have those that were seen.

    It is closed again: network drives and FUSE keep a file that is open under a hidden name when a name of it goes."""
    with ExitStack() as stack:
        copy = _open(wish.copy, stack, Refusal.GONE)
        one, other = os.fstat(copy), os.fstat(kept)
        if one.st_size != wish.size:
            raise Refused(Refusal.CHANGED)
        if other.st_size != (wish.other.size if wish.other is not None else wish.size):
            raise Refused(Refusal.KEPT_GONE)
        if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
            raise Refused(_same(one), other=wish.kept)
        if wish.other is None:
            _compare(copy, kept, wish.digest)
        else:
            _refuse_others(copy, wish.digest, Refusal.CHANGED)
            _refuse_others(kept, wish.other.digest, Refusal.KEPT_GONE)
    _unchanged(wish.copy, one, Refusal.CHANGED)
    return one


@contextmanager
def _proven(store: Store, wish: Wish, action: steps.Action) -> Iterator[Proof]:
    """The block runs, while the copy stands aside, once it is shown that it may go. Refused or OSError if it may not; then
    it is as it was."""
    _refuse_places(wish.copy, wish.protected)
    with ExitStack() as stack:
        right = _open(wish.kept, stack, Refusal.KEPT_GONE)
        one = _compared(wish, right)
        stand = [Standing(path, _status(path)) for path in dict.fromkeys((wish.kept, *wish.staying))]
        for now in stand:
            if (now.status.st_dev, now.status.st_ino) == (one.st_dev, one.st_ino):
                raise Refused(_same(one), other=now.path)
        _onto_disk(right)
        with aside(store, wish.copy, wish.size, wish.digest, action) as moved:
            _is_the_one(moved.spare, one, right, wish)
            _still_there(stand, right, Standing(wish.copy, one))
            if wish.protected.shows(moved.spare):
                raise Refused(Refusal.PROTECTED)
            yield Proof(moved, one, stand[0].status)


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
    return _check(store, Wish(copy, kept, staying, size, digest, protected))


def _check(store: Store, wish: Wish) -> int:
    with _proven(store, wish, steps.Action.ASIDE) as proof:
        pass
    try:
        _unchanged(wish.copy, proof.copy, Refusal.CHANGED)
    except BaseException:
        steps.finish(store, proof.aside.step)
        raise
    return proof.aside.step


def _compare(left: int, right: int, digest: bytes) -> None:
    """Refused unless the files behind two descriptors have the same bytes, and those that were recorded (`digest` is
    empty where nothing was): two photos that are damaged alike are no copies of what they were."""
    found = hashlib.sha256()
    if not _equal(left, right, found.update):
        raise Refused(Refusal.OTHER_BYTES)
    if digest and found.digest() != digest:
        raise Refused(Refusal.CHANGED)


def _refuse_others(descriptor: int, digest: bytes, otherwise: Refusal) -> None:
    """Refused unless a file has the bytes of `digest`."""
    found, offset = hashlib.sha256(), 0
    while piece := os.pread(descriptor, PIECE, offset):
        found.update(piece)
        offset += len(piece)
    if found.digest() != digest:
        raise Refused(otherwise)


def _onto_disk(descriptor: int) -> None:
    """Have the photo that stays on its disk: one that was written a moment ago may be in memory alone, while the removal
    of its copy survives a power cut."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.EBADF):
            raise


def _still_there(stand: Sequence[Standing], kept: int, moved: Standing) -> None:
    """Look at the files that are to stay anew, while the other one has another name. `moved`: as it was before."""
    listings = Listings()
    numbers = moved.status.st_ino, moved.status.st_mtime_ns, moved.status.st_size
    shows_others = _file_system(moved.path) in KEEPS_NUMBERS
    for standing in stand:
        before = standing.status
        if (before.st_ino, before.st_mtime_ns, before.st_size) == numbers and (
            shows_others or _file_system(standing.path) in KEEPS_NUMBERS
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
    for way in (path, os.path.realpath(path)):
        if package_around(way) is not None:
            raise Refused(Refusal.PROGRAM)
        if in_machine_folder(way):
            raise Refused(Refusal.MACHINE)


def in_machine_folder(path: bytes) -> bool:
    """Whether a file lies in a bin, or in a folder of thumbnails, versions or snapshots."""
    folders = path.lower().split(b"/")[:-1]
    # The trash in a person's home has a name that a folder of photos may have, too: `Trash/files`.
    # https://specifications.freedesktop.org/trash-spec/latest/
    return (b"trash", b"files") in pairwise(folders) or any(
        folder_reason(name) is not None for name in folders if name
    )


def remove(store: Store, wish: Wish, how: How) -> int:
    """Get rid of a copy that may go. Returns the number of its step in the journal, to be struck out together with what
    is recorded of it. Refused or OSError if it may not go, or if it cannot be done; then the copy is as it was."""
    if how is How.HARDLINK:
        return _link(store, wish)
    if how is How.TRASH:
        _refuse_names(wish)
    step = _check(store, wish)
    try:
        if how is How.TRASH:
            _trash(wish.copy)
            _look_after(wish)
        else:
            _share(wish.copy, wish.kept, wish.size)
    except BaseException:
        steps.finish(store, step)
        raise
    return step


def _refuse_names(wish: Wish) -> None:
    """Refused if other names would keep the copy's bytes: each run would trash one more of them, of which no list has
    told. A name of the kept photo is left to `check`."""
    with suppress(OSError):  # `check` says what is wrong
        copy, kept = os.lstat(wish.copy), os.lstat(wish.kept)
        if copy.st_nlink > 1 and not os.path.samestat(copy, kept):
            raise Refused(Refusal.OTHER_NAMES)


def _trash(path: bytes) -> None:
    # Set but empty, or relative, it does not count (XDG Base Directory Specification). send2trash would make a folder
    # `Trash` where the command was called.
    if not os.path.isabs(os.environ.get("XDG_DATA_HOME", "/")):  # noqa: PTH117 - text
        del os.environ["XDG_DATA_HOME"]
    from send2trash import send2trash

    try:
        send2trash(os.fsdecode(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        text = TRASH_SENTENCES.get(error.errno or 0, SENTENCES[Refusal.NO_TRASH])
        raise Refused(Refusal.NO_TRASH, text) from error
    except UnicodeError as error:  # a desktop's trash, whose names are text
        raise Refused(Refusal.NO_TRASH) from error
    if os.path.lexists(path):
        raise Refused(Refusal.NO_TRASH)


def _look_after(wish: Wish) -> None:
    """Whether the kept photo still stands now that its copy is in the trash."""
    try:
        _status(wish.kept)
    except Refused as error:
        text = Message(
            "went to the trash at the moment that the photo to keep vanished: take it back from the trash"
        )
        raise Refused(Refusal.KEPT_GONE, text) from error


def _link(store: Store, wish: Wish) -> int:
    """Have the copy's name be a link of the kept photo. No name is ever taken from another file: the copy stands
    aside until the link has its name, and goes only then."""
    with _proven(store, wish, steps.Action.LINK) as proof:
        if proof.copy.st_dev != proof.kept.st_dev:
            raise Refused(Refusal.OTHER_DISK)
        if proof.copy.st_uid != proof.kept.st_uid:  # who could change or hide the other one's photo
            raise Refused(Refusal.OTHER_OWNER)
        moved = proof.aside
        os.link(wish.kept, moved.path, follow_symlinks=False)
        placed = os.lstat(moved.path)
        try:
            _let_go(proof, placed)
        except BaseException:
            _withdraw(moved.path, placed)
            raise
        moved.is_over = True
        steps.sync_folder(os.path.dirname(moved.path))  # noqa: PTH120 - bytes
    return moved.step


def _let_go(proof: Proof, placed: os.stat_result) -> None:
    """Remove what stands aside, if its name is a link of the kept photo now."""
    if not _is_as_before(placed, proof.kept):
        raise Refused(Refusal.KEPT_GONE)
    steps.sync_folder(os.path.dirname(proof.aside.path))  # noqa: PTH120 - bytes
    _unchanged(proof.aside.spare, proof.copy, Refusal.CHANGED)
    os.unlink(proof.aside.spare)  # noqa: PTH108 - bytes


def _withdraw(path: bytes, placed: os.stat_result) -> None:
    """Take back a link that was just made, while it is that link and not the only name of its file."""
    with suppress(OSError):
        now = os.lstat(path)
        if os.path.samestat(now, placed) and now.st_nlink > 1:
            os.unlink(path)  # noqa: PTH108 - bytes


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
        places = extents.extents(source)
        if places is None or places != extents.extents(
            target
        ):  # small files that lie among the file system's own data
            raise Refused(Refusal.CANNOT_SHARE)


class Apart(StrEnum):
    """Whether two paths of equal content are two files."""

    YES = "yes"
    NO = "no"
    UNTOLD = "untold"  # the file cannot be renamed aside, and nothing else tells


def is_apart(store: Store, path: bytes, twin: bytes, size: int, digest: bytes) -> Apart:
    """Whether two files of equal content are two: so that `twin` stays when `path` goes. Where device and inode do not
    tell, `path` is renamed aside for a moment. Refused if its name was taken meanwhile."""
    try:
        one, other = _status(path), _status(twin)
    except Refused:
        return Apart.NO
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return Apart.NO
    kinds = {_file_system(name) for name in (path, twin)}
    if kinds <= TELLS_FILES_APART or (kinds <= TELLS_DISKS_APART and one.st_dev != other.st_dev):
        return Apart.YES
    if kinds & KEEPS_NUMBERS and (one.st_ino, one.st_mtime_ns) == (other.st_ino, other.st_mtime_ns):
        return Apart.NO
    try:
        with ExitStack() as stack:
            kept = _open(twin, stack, Refusal.KEPT_GONE)
            with aside(store, path, size, digest) as moved:
                _still_there([Standing(twin, other)], kept, Standing(path, one))
            steps.finish(store, moved.step)
    except OSError:
        return Apart.UNTOLD
    except Refused as error:
        if error.code is Refusal.NAME_TAKEN:
            raise
        return Apart.NO
    return Apart.YES


def _file_system(path: bytes) -> str:
    return file_system(Path(os.fsdecode(os.path.dirname(path))))  # noqa: PTH120 - bytes


def refusal_of(error: OSError | Refused) -> tuple[Refusal, Message]:
    """Code and sentence of why a photo was left alone."""
    if isinstance(error, Refused):
        return error.code, error.sentence
    found = explain(error)
    texts = {"vanished": SENTENCES[Refusal.GONE], "permission": FORBIDDEN}
    text = texts.get(found.kind, found.sentence)
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


def _is_the_one(spare: bytes, before: os.stat_result, kept: int, wish: Wish) -> None:
    """Refused unless what stands aside is the file that was compared: another may have got its name meanwhile."""
    _unchanged(spare, before, Refusal.CHANGED)
    if os.path.samestat(os.lstat(spare), before):
        return
    with ExitStack() as stack:  # the file system makes up its numbers
        copy = _open(spare, stack, Refusal.CHANGED)
        if wish.other is not None:
            _refuse_others(copy, wish.digest, Refusal.CHANGED)
        elif not _equal(copy, kept):
            raise Refused(Refusal.CHANGED)


def _equal(left: int, right: int, heard: Callable[[bytes], object] = lambda _: None) -> bool:
    """Whether the files behind two descriptors have the same bytes; `heard` is given those of the first."""
    offset = 0
    while True:
        one, other = os.pread(left, PIECE, offset), os.pread(right, PIECE, offset)
        if one != other:
            return False
        if not one:
            return True
        heard(one)
        offset += len(one)
