"""Reading one photo to its end and hashing it, safely, while others may be changing it.

Promises: nothing but a regular file is ever read, and opening one never waits (a fifo named `.jpg`);
a digest belongs to the size and times recorded with it; a file that grows for ever is let go.
Never decodes. Does not see a change that leaves size and all times as they were.

Also the program of a scan's children (`hashing.py`). It is imported alone (`ALONE`), imports nothing of Lote but
`messages`, and not more of Python than it needs: a child starts in a third of the time of the package's imports.
"""

from __future__ import annotations

import errno
import hashlib
import marshal
import os
import resource
import stat
import sys
import time
from typing import Any

from ..messages import Message, as_message, stored

_ROOM = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - without pathlib, which takes time
FOLDERS = (os.path.dirname(_ROOM), _ROOM)  # noqa: PTH120
"""What `ALONE` takes as its arguments."""

TYPE_CHECKING = False  # as in `typing`, whose import takes longer than all of the others
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# For `start_lean`: makes ready to import a module of this room by `from lote.photos import ...`, with no more of Lote than
# that imports itself: the rooms are there without their `__init__`. Arguments: the folders of the package and of this room.
ALONE = (
    "import sys; room = type(sys); outer = sys.modules['lote'] = room('lote'); outer.__path__ = [sys.argv[1]]; "
    "inner = sys.modules['lote.photos'] = room('lote.photos'); inner.__path__ = [sys.argv[2]]; "
)

# A file is read in pieces of this size. With 1 MiB, which fills the cache of a core, hashing waits for memory shared with
# others: files of 2 MB took a fortieth longer.
PIECE = 256 * 1024
# Up to this size a file is read in one call into fresh memory, which costs less than anything else.
SMALL = 64 * 1024

# A file of nothing but one byte has a beginning of nothing but it: photos begin with several.
HEAD = 16
_BLANKS = (b"\0", b"\xff")

# What is asked for ahead of a large file: then its own reading goes ahead.
AHEAD = 8 * 1024 * 1024

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_ATIME = getattr(os, "O_NOATIME", 0)  # Linux alone

# What is known of a file in the end: digest; size, mtime_ns, ctime_ns, inode, device and number of links; when
# reading began; and whether it holds nothing but one byte. Or why it could not be read: kind, message as JSON. Plain values: they
# come from another process.
Answer = tuple[bytes, int, int, int, int, int, int, int, bool] | tuple[str, str]

# A database's integers have 64 bits. A file system's times may have more: nanoseconds of the year 2446 do not fit.
LEAST, MOST = -(2**63), 2**63 - 1


class Unreadable(Exception):  # noqa: N818 - becomes a row of photo_errors, never leaves the room
    """A file that cannot be hashed: `kind` for sorting, `sentence` for a person: a clause that follows its name."""

    def __init__(self, kind: str, template: str | Message, /, **values: Any) -> None:
        self.kind, self.sentence = kind, as_message(template, **values)
        super().__init__(kind, self.sentence)

    def __str__(self) -> str:
        return str(self.sentence)


class Stopped(Exception):  # noqa: N818 - somebody asked for it
    """Hashing was given up between two pieces, because the scan is to stop."""


def signed(inode: int) -> int:
    """Inode numbers are unsigned 64 bit, database integers are signed."""
    return inode if inode < 2**63 else inode - 2**64


# Kind and sentence of what the system may say of a file. The sentence goes on after the file's name.
_GONE = "vanished", Message("vanished while the folder was being scanned")
_FORBIDDEN = "permission", Message("may not be read: its permissions forbid it")
_AWAY = (
    "read",
    Message("cannot be read: its disk or network drive does not answer; plug it in, or connect it, again"),
)
_SENTENCES = {
    errno.ENOENT: _GONE,
    errno.ENOTDIR: _GONE,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ELOOP: ("not a file", Message("became a symbolic link while the folder was being scanned")),
    errno.EISDIR: ("not a file", Message("became a folder while the folder was being scanned")),
    errno.ENAMETOOLONG: ("name", Message("its path is longer than the system can open")),
    errno.EIO: (
        "read",
        Message("cannot be read: its disk reports an error; copy what can be saved, and check the disk"),
    ),
    errno.ENODEV: _AWAY,
    errno.ENXIO: _AWAY,
    errno.ENOTCONN: _AWAY,
    errno.ESTALE: _AWAY,
    errno.ETIMEDOUT: _AWAY,
    errno.EHOSTDOWN: _AWAY,
    errno.EMFILE: ("read", Message("cannot be read: too many files are open; close other programs")),
    errno.ENFILE: ("read", Message("cannot be read: too many files are open; close other programs")),
    errno.ENOMEM: ("read", Message("cannot be read: the system has no memory left")),
    errno.EROFS: ("read-only", Message("lies on a file system that is mounted read-only")),
    errno.EBUSY: ("busy", Message("is in use by another program")),
    errno.EXDEV: ("other-disk", Message("lies on another file system")),
    errno.ENOSPC: ("full", Message("has no room: its disk is full")),
    errno.EDQUOT: ("full", Message("has no room: its owner's quota is used up")),
    errno.EEXIST: ("exists", Message("has a name that another file took meanwhile")),
}


def clamped(nanoseconds: int) -> int:
    """A time as databases have it: one that is too far away becomes the farthest there is."""
    if LEAST <= nanoseconds <= MOST:  # four times as fast as `min` and `max`
        return nanoseconds
    return MOST if nanoseconds > 0 else LEAST


def explain(error: OSError) -> Unreadable:
    """One sentence for what the system said."""
    code = error.errno or 0
    name = errno.errorcode.get(code, type(error).__name__)
    kind, text = _SENTENCES.get(code, ("read", Message("cannot be read (the system says {name})", name=name)))
    return Unreadable(kind, text)


def unexpected(error: Exception) -> Unreadable:
    """What becomes of a file about which something is so odd that nobody has thought of it."""
    return Unreadable(
        "unexpected",
        "cannot be recorded (unexpected {kind}): please report this as a fault",
        kind=type(error).__name__,
    )


def open_file(path: bytes | str) -> int:
    """A descriptor for reading. Waits for nothing and follows no link. The time of last access stays as it was where
    the system allows that: a first scan would have the disk write the inode of each photo of a library."""
    try:
        return os.open(path, _FLAGS | _NO_ATIME)
    except PermissionError as error:
        if error.errno != errno.EPERM or not _NO_ATIME:
            raise
        return os.open(path, _FLAGS)  # somebody else's file


def hash_file(
    path: bytes, buffer: memoryview, stopped: Callable[[], bool]
) -> tuple[bytes, os.stat_result, int, bool]:
    """SHA-256 of the file at `path`, its status, when reading began (nanoseconds since 1970), and whether it holds
    nothing but one byte (`_is_blank`), as a file does whose blocks were lost.

    A file that changes meanwhile is read once more; `Unreadable` if it changes again."""
    for _ in range(2):
        began = time.time_ns()
        try:
            descriptor = open_file(path)
        except OSError as error:
            raise explain(error) from error
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise Unreadable("not a file", "is no regular file")
            digest, length, blank = _digest(descriptor, before.st_size, buffer, stopped)
            after = os.fstat(descriptor)
        except OSError as error:
            raise explain(error) from error
        finally:
            os.close(descriptor)
        if (
            length == before.st_size == after.st_size
            and before.st_mtime_ns == after.st_mtime_ns
            and before.st_ctime_ns == after.st_ctime_ns
        ):
            return digest, after, began, blank
    raise Unreadable("changed", "changed while being read")


def _is_blank(data: bytes) -> bool:
    """Whether bytes are all zero, or all 0xFF, as lost blocks and worn flash memory read."""
    first = data[:1]
    return first in _BLANKS and data[:HEAD] == first * len(data[:HEAD]) and not data.strip(first)


def _digest(
    descriptor: int, size: int, buffer: memoryview, stopped: Callable[[], bool]
) -> tuple[bytes, int, bool]:
    """Digest and length of what is there, up to one byte more than `size` (then it has grown); whether all is one byte."""
    if size <= SMALL:
        data = os.read(descriptor, size + 1)
        return hashlib.sha256(data).digest(), len(data), _is_blank(data)
    sha256 = hashlib.sha256()
    buffers = [buffer]
    length = 0
    blank, first = True, b""
    while length <= size:
        count = os.readv(descriptor, buffers)
        if not count:
            break
        sha256.update(buffer[:count])
        if blank:  # hardly ever beyond the first bytes
            head = bytes(buffer[: min(count, HEAD)])
            blank = first in (b"", head[:1]) and _is_blank(head) and _is_blank(bytes(buffer[:count]))
            first = head[:1]
        length += count
        if length == size and count < len(buffer):  # the end: no further call has to say so
            break
        if stopped():
            raise Stopped
    return sha256.digest(), length, blank


def new_buffer() -> memoryview:
    return memoryview(bytearray(PIECE))


def answers(paths: Sequence[bytes], buffer: memoryview, stopped: Callable[[], bool]) -> list[Answer]:
    """One answer for each path. `Stopped` between two pieces or files when `stopped` says so."""
    given: list[Answer] = []
    for path in paths:
        if stopped():
            raise Stopped
        try:
            digest, found, began, blank = hash_file(path, buffer, stopped)
        except Unreadable as error:
            given.append((error.kind, str(stored(error.sentence))))
            continue
        given.append(
            (
                digest,
                found.st_size,
                clamped(found.st_mtime_ns),
                clamped(found.st_ctime_ns),
                signed(found.st_ino),
                found.st_dev,
                found.st_nlink,
                began,
                blank,
            )
        )
    return given


def ask_for(paths: Sequence[bytes]) -> None:
    """Have the system fetch the files from the disk, all at once: a disk of several channels gives many small files half as
    fast again as one after the other, and one that turns needs fewer of its turns. Does not wait for them."""
    for path in paths:
        try:
            descriptor = open_file(path)
        except OSError:
            continue  # whoever reads it says why
        try:
            os.posix_fadvise(descriptor, 0, AHEAD, os.POSIX_FADV_WILLNEED)
        except OSError:
            pass  # no file on a disk
        finally:
            os.close(descriptor)


# The scan that hands out the work has to have its turn at once when it needs one: else all readers wait.
NICENESS = 10
# A message is its length in four bytes, and its bytes.
LENGTH = 4
# What a child says first.
UP = b"up"


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH, "big") + message


def serve() -> None:
    """The life of a child: lists of paths (joined by NUL) come on its standard input, lists of answers
    leave on its standard output. It ends with its input."""
    buffer = new_buffer()
    os.nice(NICENESS)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    target.write(framed(UP))
    target.flush()
    can_ask = hasattr(os, "posix_fadvise")
    blocks = 0  # that this process had the system read from a disk
    while len(head := source.read(LENGTH)) == LENGTH:
        paths = source.read(int.from_bytes(head, "big")).split(b"\0")
        before, blocks = blocks, resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        # The list before this was not in the page cache. Where all is, to ask would cost 2 %.
        if can_ask and blocks > before:
            ask_for(paths)
        target.write(framed(marshal.dumps(answers(paths, buffer, lambda: False))))
        target.flush()
