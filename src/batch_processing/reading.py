"""The door for every file that somebody names; most of all for small ones that are read whole: palette, settings,
hints, ComicInfo.

Promises: only a regular file is read, so that a pipe or a device blocks nobody and gives no endless bytes; no
more than `limit` bytes of it are taken, whatever its size claims or becomes; JSON is parsed in time and memory
that are linear in it, and what comes back is at most `DEPTH` levels deep, so that code that walks it cannot run
out of stack. Links are followed: whoever names a file may name a link.

Does not guarantee: an answer from a file system that hangs.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from .messages import Message

__all__ = ["DEPTH", "json_of", "open_regular", "read_whole", "text_encoding"]

DEPTH: Final = 32
"""Levels of lists and objects in each other; no file of Lote's needs more than five."""


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """A regular file, open for reading; a link to one too, unless `follow` is False. Never waits for a pipe.

    OSError, with the reason in words, for what is missing, unreadable or no regular file."""
    # Looked at before it is opened, because opening a device can do something; and again after, because the
    # name may stand for another file by then.
    _regular(os.stat(path, follow_symlinks=follow), path)  # noqa: PTH116
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        _regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")  # noqa: PTH123 - of a descriptor, and the caller's to close


def read_whole(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    OSError, with the reason in words, for what is missing, unreadable, no regular file, or larger."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(
            errno.EFBIG,
            Message("it has more than the {limit} bytes that are read of such a file", limit=limit),
            str(path),
        )
    return content


# What people write text and names in. Python decodes by other names too, some of them (punycode) in the square of the
# length.
_ENCODINGS = re.compile(r"utf-?(8|16|32)|ascii|iso8859|cp\d|shift_jis|euc_|gb|big5|koi8|mac-|johab|hz$")


def text_encoding(name: str) -> str:
    """Python's own name of a character encoding that text can have. LookupError for any other."""
    try:
        found = codecs.lookup(name).name
    except ValueError as error:  # a NUL in the name
        raise LookupError(name) from error
    if not _ENCODINGS.match(found):
        raise LookupError(f"unknown encoding: {name}")
    return found


def _regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, Message("it is not a regular file"), str(path))


def json_of(content: bytes) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    UnicodeDecodeError and json.JSONDecodeError as Python gives them; ValueError for what is nested too deeply."""
    text = content.decode("utf-8-sig")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [value]
    for _ in range(DEPTH + 1):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = Message("it is nested more than {limit} levels deep", limit=DEPTH)


def _inside(outer: dict[str, object] | list[object]) -> list[object]:
    return list(outer.values()) if isinstance(outer, dict) else outer
