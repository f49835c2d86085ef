"""The comment of a ZIP, where some programs keep what they know of a comic (ComicBookInfo).

Promises to read the end of the file alone, and never more than a comment can have: 65,535 bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..reading import open_regular

__all__ = ["zip_comment"]

_END = 22  # bytes of the end record, whose last two are the length of the comment behind it


def zip_comment(path: Path) -> bytes:
    """The comment of the archive at `path`; nothing where it has none, is no ZIP, or cannot be read."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END - 0xFFFF))
            tail = file.read(_END + 0xFFFF)
    except (OSError, ValueError):
        return b""
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        length = int.from_bytes(tail[at + 20 : at + 22], "little")
        if at + _END + length == len(tail):
            return tail[at + _END :]
        at = tail.rfind(b"PK\5\6", 0, at)
    return b""
