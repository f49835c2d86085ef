"""Every file and folder that a scan leaves alone, with why: the folders are walked again, as they are now.

    for left in left_alone(store, [b"/home/ana/Pictures"]): ...

Promises: the order of a scan; a list can go on behind any of its rows, and what comes before is not walked again but for
its own folder. Nothing is read or written. Files that are no photos are among it: nobody has recorded them. What only
`--exclude` of a scan has left out is not known here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .hashing import join
from .ingest import known_query
from .kinds import Reason
from .walk import Place, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .store import Store

PAGE = 100  # rows at once
MOST_SECONDS = 10.0  # for a page of them: a reason may be rare in a large tree


@dataclass(frozen=True)
class Left:
    """What was left alone. `reason`: a `Reason`, or the ending of files that are no photos (".xmp", "no extension")."""

    path: bytes
    reason: str


@dataclass(frozen=True)
class Page:
    """Some rows of a list. `next`: where it goes on, b"" where this was all."""

    rows: Sequence[Left]
    next: bytes


def left_alone(store: Store, roots: Sequence[bytes], *, videos: bool = False) -> Iterator[Left]:
    """All that is left alone below these folders (absolute), in the order of a scan."""
    walk = _Walk(store, roots, None, videos=videos)
    for _items in walk:
        yield from walk.told()


def page(
    store: Store, roots: Sequence[bytes], reason: str, after: bytes = b"", *, videos: bool = False
) -> Page:
    """A page of what is left alone for that reason, from behind `after` on: the `next` of the page before. It may have
    few rows, or none, and go on."""
    began, rows, here = time.monotonic(), list[Left](), after
    start = after[1:] if after[:1] == b"f" else join(after[1:], b"\0") if after else None
    walk = _Walk(store, roots, start, videos=videos)
    behind = _key(walk, after) if after else None
    for _items in walk:
        for left in walk.told():
            if left.reason != reason:
                continue
            mark = (b"d" if left.reason == Reason.NO_MEDIA else b"f") + left.path
            if behind is not None and _key(walk, mark) <= behind:
                continue
            if len(rows) == PAGE:
                return Page(rows, here)
            rows.append(left)
            here = mark
        if time.monotonic() - began > MOST_SECONDS:
            mark = max((b"d" + walk.folder, here), key=lambda mark: _key(walk, mark))
            if behind is None or _key(walk, mark) > behind:
                return Page(rows, mark)
    return Page(rows, b"")


def _key(walk: Walk, mark: bytes) -> Place:
    """Where a mark stands in the order: of a folder (d) when it is entered, of anything else (f) in its folder."""
    return walk.place(mark[1:], folder=mark[:1] == b"d") if mark[1:] else ()


class _Walk(Walk):
    """A walk that tells what it leaves alone."""

    def __init__(self, store: Store, roots: Sequence[bytes], start: bytes | None, *, videos: bool) -> None:
        super().__init__(roots, store.query(known_query()), start=start, videos=videos)
        self.folder = b""  # the one entered last
        self._told: list[Left] = []

    def told(self) -> list[Left]:
        """Since the last time."""
        told, self._told = self._told, []
        return told

    def before_start(self, directory: bytes) -> bool:
        is_before = super().before_start(directory)
        if not is_before:
            self.folder = directory
        return is_before

    def _leave(self, reason: Reason, path: bytes) -> None:
        self._told.append(Left(path, reason.value))

    def _count_unhandled(self, kind: str, path: bytes) -> None:
        self._told.append(Left(path, kind))
