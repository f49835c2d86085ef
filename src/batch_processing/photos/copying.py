"""Copying one file so that it is there, whole, or not at all.

Promises: the copy is written under a spare name, read back from the disk, and compared with what was read from the
source, before it gets its name; it never replaces a file; time of last change is kept where the file system can. A
source that changes meanwhile is left alone. Every moment of it is in the journal (`steps`), so that a kill leaves
nothing that `steps.recover` does not see to. Does not keep owners, permissions or extended attributes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..messages import Message
from . import steps
from .reading import Unreadable, explain, hash_file, new_buffer, open_file
from .steps import Action

if TYPE_CHECKING:
    from .store import Store

# What a file system says that has no place for such times.
_NO_TIMES = frozenset([errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW])
# Kind and clause of what the system may say while one file is written; what is not here ends the run.
_REFUSED = {
    errno.EEXIST: ("exists", Message("another file took the name of its copy meanwhile: import again")),
    errno.EFBIG: ("too large", Message("is larger than a file may be on the library's file system")),
    errno.ENAMETOOLONG: ("name", Message("its path in the library would be longer than the system can open")),
    errno.EINVAL: ("name", Message("has a name that the library's file system does not take")),
    errno.EILSEQ: ("name", Message("has a name that the library's file system does not take")),
    errno.EACCES: ("permission", Message("no permission to write into the library's folder")),
    errno.EPERM: ("permission", Message("no permission to write into the library's folder")),
    errno.ENOTDIR: ("name", Message("a file of the library has the name that its folder would have")),
}


@dataclass(frozen=True)
class Copied:
    """A copy that is on disk. `status` of the copy; `checked_ns`: when its verification began (since 1970)."""

    step_id: int
    digest: bytes
    status: os.stat_result
    source: os.stat_result
    checked_ns: int


def copy_file(store: Store, source: bytes, target: bytes, digest: bytes | None) -> Copied:
    """Copy `source` to `target`, both absolute. The step is still in the journal: who records the copy ends it.

    `digest`: the SHA-256 that the source should have; None if nobody has read it yet. Unreadable, with a clause for a
    person, if this file cannot be copied; OSError if nothing can be written there any more. Nothing is left of the
    copy in either case."""
    folder = os.path.dirname(target)  # noqa: PTH120 - bytes
    try:
        descriptor = open_file(source)
    except OSError as error:
        raise explain(error) from error
    try:
        before = _status(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unreadable("not a file", "is no regular file")
        try:
            make_folders(folder)
        except OSError as error:
            raise _refusal(error) from error
        spare = steps.spare_name(folder)
        step_id = steps.begin(store, Action.COPY, target, spare, before.st_size, digest or bytes(32))
        try:
            return _copy(store, step_id, descriptor, before, target, spare, digest)
        except BaseException:
            with suppress(OSError):  # a drive that is gone: `steps.recover` removes it when it is there again
                with suppress(FileNotFoundError):
                    os.unlink(spare)  # noqa: PTH108 - bytes
                if not os.path.lexists(target):
                    steps.finish(store, step_id)
            raise
    finally:
        os.close(descriptor)


def _copy(
    store: Store,
    step_id: int,
    descriptor: int,
    before: os.stat_result,
    target: bytes,
    spare: bytes,
    digest: bytes | None,
) -> Copied:
    try:
        read = _write(descriptor, before, spare)
    except OSError as error:
        raise _refusal(error) from error
    after = _status(descriptor)
    if any(
        getattr(before, name) != getattr(after, name) for name in ("st_size", "st_mtime_ns", "st_ctime_ns")
    ) or (digest is not None and read != digest):
        raise Unreadable("changed", "changed while it was being copied: import again")
    there, _, checked_ns, blank = hash_file(spare, new_buffer(), lambda: False)
    if there != read:
        raise Unreadable(
            "corrupt", "was written, and other bytes came back: check the library's disk, and the memory"
        )
    if blank:
        raise Unreadable("blank", "holds the same byte over and over: try to read the card in another reader")
    if digest is None:
        steps.know(store, step_id, read)
    try:
        _take_name(spare, target)
        steps.sync_folder(os.path.dirname(target))  # noqa: PTH120 - bytes
        status = os.lstat(target)
    except OSError as error:
        raise _refusal(error) from error
    return Copied(step_id, read, status, after, checked_ns)


def _take_name(spare: bytes, target: bytes) -> None:
    """`steps.take_name`; Unreadable for a name that the disk does not take, though it took the file: `?` or `:` on exFAT,
    which some file systems call a folder that is not there."""
    try:
        steps.take_name(spare, target)
    except FileNotFoundError as error:
        if os.path.lexists(spare):
            raise Unreadable(*_REFUSED[errno.EINVAL]) from error
        raise


def _write(descriptor: int, before: os.stat_result, spare: bytes) -> bytes:
    """Write what `descriptor` gives into a new file, on disk and out of the page cache; returns its SHA-256."""
    sha256 = hashlib.sha256()
    buffer = new_buffer()
    left = before.st_size + 1  # a file that grows for ever is let go
    out = os.open(spare, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        while left > 0 and (count := _read(descriptor, buffer)):
            piece = buffer[: min(count, left)]
            sha256.update(piece)
            left -= len(piece)
            while len(piece):
                piece = piece[os.write(out, piece) :]
        try:
            os.utime(out, ns=(before.st_mtime_ns, before.st_mtime_ns))
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_TIMES:
                raise
        os.fsync(out)
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # a file system without a cache
                os.posix_fadvise(out, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(out)
    return sha256.digest()


def _read(descriptor: int, buffer: memoryview) -> int:
    try:
        return os.readv(descriptor, [buffer])
    except OSError as error:
        raise explain(error) from error


def _status(descriptor: int) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError as error:
        raise explain(error) from error


def _refusal(error: OSError) -> Exception:
    """What is raised for it: about this file, or about the whole run."""
    if (known := _REFUSED.get(error.errno or 0)) is not None:
        return Unreadable(*known)
    return error


def make_folders(folder: bytes) -> None:
    """Make a folder and those above it that are lacking, their names on disk when it returns."""
    lacking = []
    while not os.path.isdir(folder):  # noqa: PTH112 - bytes
        lacking.append(folder)
        above = os.path.dirname(folder)  # noqa: PTH120 - bytes
        if above == folder:
            break
        folder = above
    for each in reversed(lacking):
        with suppress(FileExistsError):
            os.mkdir(each)  # noqa: PTH102 - bytes
        steps.sync_folder(os.path.dirname(each))  # noqa: PTH120 - bytes
