"""Looking through the folders of the machine that the page runs on, to choose one.

Promises: shows what lies below the roots and nothing else: a link that leads out of them is not there, and neither are
hidden names. Reads names only, never what is in a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...exceptions import ValidationError, reason
from ...io.kinds import BOOK_SUFFIXES
from ...io.scan import SUPPORTED_IMAGE_FORMATS, natural_key
from .paths import Roots

MOST = 500
"""Folders, and books, of one folder that are listed; who has more types the path."""


@dataclass(frozen=True)
class Entry:
    """A folder, or a book."""

    path: str
    name: str


@dataclass(frozen=True)
class Folder:
    """A folder to choose, and what is in it. `path` "" is the list of the roots; `above`: the folder above, "" for the list of
    the roots, None where there is nothing above. `more`: folders and books that are not listed."""

    path: str
    above: str | None
    folders: tuple[Entry, ...]
    books: tuple[Entry, ...]
    images: int
    more: int


def listed(roots: Roots, path: str) -> Folder:
    """What is in a folder. `path` "": the roots, or the only one. ValidationError for what is no folder below them, or
    cannot be looked into."""
    if not path.strip():
        tops = tuple(Entry(top, top) for top in dict.fromkeys(roots.folders))
        if len(tops) > 1:
            return Folder("", None, tops, (), 0, 0)
        path = tops[0].path
    here = roots.typed(path)
    if os.path.isfile(here):  # noqa: PTH113 - text, like what scandir gives
        here = os.path.dirname(here)  # noqa: PTH120
    folders: list[Entry] = []
    books: list[Entry] = []
    images = 0
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not roots.hold(entry.path):
                    continue
                suffix = Path(entry.name).suffix.lower()
                if entry.is_dir():
                    folders.append(Entry(entry.path, entry.name))
                elif suffix in BOOK_SUFFIXES:
                    books.append(Entry(entry.path, entry.name))
                else:
                    images += suffix in SUPPORTED_IMAGE_FORMATS
    except OSError as error:
        raise ValidationError("{path} cannot be read: {reason}", path=here, reason=reason(error)) from error
    for entries_of_a_kind in (folders, books):
        entries_of_a_kind.sort(key=lambda entry: natural_key(entry.name))
    parent = os.path.dirname(here)  # noqa: PTH120
    tops_above = "" if len(set(roots.folders)) > 1 else None
    above = parent if parent != here and roots.hold(parent) else tops_above
    more = max(0, len(folders) - MOST) + max(0, len(books) - MOST)
    return Folder(here, above, tuple(folders[:MOST]), tuple(books[:MOST]), images, more)
