"""Which names there are, as the folders themselves list them.

A file system that ignores case, or that answers to short or differently composed names, opens a file by a name that
it no longer has. Its listings do not: a path stands here only if every folder on its way lists the next name, byte
for byte. Promises: nothing is opened but folders, symbolic links among the names are names like others. Answers
are remembered for as long as a `Listings` lives: make a new one for each decision that must be fresh.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from ..io.naming import folded
from .hashing import join

# Names that are remembered at once (about 100 MB at most); beyond that folders are listed anew.
MOST_NAMES = 1_000_000


class Listings:
    """The names in folders, each folder listed once."""

    def __init__(self) -> None:
        self._names: dict[bytes, frozenset[bytes] | None] = {}
        self._number = 0

    def names(self, directory: bytes) -> frozenset[bytes] | None:
        """The names in a folder; none if it is gone; None if it may be there but cannot be listed."""
        if directory in self._names:
            return self._names[directory]
        if self._number > MOST_NAMES:
            self._names.clear()
            self._number = 0
        found: frozenset[bytes] | None
        try:
            found = frozenset(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            found = frozenset()
        except OSError:
            found = None
        self._names[directory] = found
        self._number += len(found or ())
        return found

    def has(self, path: bytes) -> bool:
        """Whether an absolute path stands, or may stand: a folder that cannot be listed is asked for the name instead."""
        parent = b"/"
        for name in path.split(b"/"):
            if not name:
                continue
            names = self.names(parent)
            here = join(parent, name)
            if name not in names if names is not None else not _answers(here):
                return False
            parent = here
        return True

    def is_empty(self, directory: bytes) -> bool:
        """Whether a folder is gone, or holds nothing."""
        return not self.has(directory) or self.names(directory) == frozenset()


def _answers(path: bytes) -> bool:
    """Whether the system answers to a name: only "no such file" says that there is none."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def as_listed(path: bytes) -> bytes:
    """An absolute path with each name as its folder lists it: `/card/dcim` is `/card/DCIM` where case is ignored. A
    name that is listed as it is, or that there is not at all, stays."""
    parent = b"/"
    for name in path.split(b"/"):
        if name:
            parent = join(parent, _as_listed(parent, name))
    return parent


def _as_listed(parent: bytes, name: bytes) -> bytes:
    try:
        status = os.lstat(join(parent, name))
        names = os.listdir(parent)
    except OSError:
        return name
    if name in names:
        return name
    wanted = folded(os.fsdecode(name))
    alike = [other for other in names if folded(os.fsdecode(other)) == wanted]
    if len(alike) > 1:  # only where case counts, and `name` would be listed there
        return name
    # A file system behind FUSE may give each spelling a number of its own: the kind of file must do.
    for other in alike:
        with suppress(OSError):
            found = os.lstat(join(parent, other))
            if stat.S_IFMT(found.st_mode) == stat.S_IFMT(status.st_mode):
                return other
    return name
