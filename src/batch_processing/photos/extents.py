"""Where the bytes of files lie on the disk, and having two files share them.

Linux only, on file systems that can share (btrfs, xfs, bcachefs, ocfs2); elsewhere nothing is known to be shared, and
sharing is refused. Promises: `share` changes no byte of a file: the kernel compares both, under a lock, before it
shares anything (FIDEDUPERANGE), and the file keeps its inode, times and permissions.
https://docs.kernel.org/filesystems/fiemap.html, https://man7.org/linux/man-pages/man2/ioctl_fideduperange.2.html
"""

from __future__ import annotations

import errno
import os
import struct
import sys

# File systems whose files may share extents, as the system's list of mounts names them.
SHARING = frozenset(["btrfs", "xfs", "bcachefs", "ocfs2"])
_FS_IOC_FIEMAP = 0xC020660B
_FIDEDUPERANGE = 0xC0189436
_FLAG_SYNC = 0x1  # write first what is only in memory
_LAST, _UNKNOWN, _NOT_ALIGNED, _INLINE = 0x1, 0x2 | 0x4, 0x100, 0x200
_HEADER = struct.Struct("=QQIIII")  # start, length, flags, mapped extents, room for extents, reserved
_EXTENT = struct.Struct("=QQQQQIIII")  # logical, physical, length, 2 reserved, flags, 3 reserved
_AT_ONCE = 512  # extents in one call
MOST_EXTENTS = 65_536
# What btrfs compares in one call at most.
PIECE = 16 * 1024 * 1024
_RANGE = struct.Struct("=QQHHI")  # of the source: offset, length, number of targets, 2 reserved
_TARGET = struct.Struct("=qQQiI")  # descriptor, offset, bytes shared, status, reserved
_SAME, _DIFFERS = 0, 1

Extents = tuple[tuple[int, int, int], ...]


class Differs(Exception):  # noqa: N818 - an answer
    """The kernel found other bytes in the two files."""


def extents(descriptor: int) -> Extents | None:
    """(offset, place on disk, length) of each piece of a file, in bytes; None if the system does not say, or pieces
    have no place of their own."""
    if sys.platform != "linux":
        return None
    import fcntl

    found: list[tuple[int, int, int]] = []
    start = 0
    while len(found) < MOST_EXTENTS:
        buffer = bytearray(_HEADER.size + _AT_ONCE * _EXTENT.size)
        _HEADER.pack_into(buffer, 0, start, 2**64 - 1 - start, _FLAG_SYNC, 0, _AT_ONCE, 0)
        try:
            fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, buffer)
        except OSError:
            return None
        number = _HEADER.unpack_from(buffer)[3]
        if not number:
            return tuple(found)
        for index in range(number):
            logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(
                buffer, _HEADER.size + index * _EXTENT.size
            )
            if flags & (_UNKNOWN | _INLINE | _NOT_ALIGNED):
                return None
            found.append((logical, physical, length))
            start = logical + length
            if flags & _LAST:
                return tuple(found)
    return None


def share(source: int, target: int, size: int) -> None:
    """Have the file behind `target` (open for writing) take its bytes from where those of `source` lie. `size`: of both.

    `Differs` if the kernel finds that they are not equal; OSError (EOPNOTSUPP, EXDEV, EINVAL ...) where files
    cannot share. What was shared before stays shared."""
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    import fcntl

    offset = 0
    while offset < size:
        length = min(PIECE, size - offset)
        buffer = bytearray(_RANGE.size + _TARGET.size)
        _RANGE.pack_into(buffer, 0, offset, length, 1, 0, 0)
        _TARGET.pack_into(buffer, _RANGE.size, target, offset, 0, 0, 0)
        fcntl.ioctl(source, _FIDEDUPERANGE, buffer)
        _, _, shared, status, _ = _TARGET.unpack_from(buffer, _RANGE.size)
        if status == _DIFFERS:
            raise Differs
        if status < 0:
            raise OSError(-status, os.strerror(-status))
        if not shared:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        offset += shared
