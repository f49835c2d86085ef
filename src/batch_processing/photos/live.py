"""Live Photos: a still and the video that a phone took with it, as two files.

Apple writes the same content identifier into both; a program that writes one of them anew may lose its identifier, but
keeps the name. So two files of one folder are a pair if their identifiers are equal, or if their names differ in the
ending alone and only one of them has an identifier. Needs videos to be recorded (`--videos`), and their headers read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from .hashing import join
from .kinds import VIDEO_EXTENSIONS
from .tables import MISSING, directories, facts, pages, photos

if TYPE_CHECKING:
    from .store import Store

STILLS = (".heic", ".heif", ".hif", ".jpg", ".jpeg", ".jpe")
VIDEOS = (".mov", ".mp4", ".m4v")
_located = photos.join(directories, directories.c.id == photos.c.directory_id).outerjoin(
    facts, facts.c.photo_id == photos.c.id
)


@dataclass(frozen=True, slots=True)
class _Half:
    """A file that may be one half of a Live Photo."""

    id: int
    directory_id: int
    path: bytes
    content_id: str | None

    @property
    def is_video(self) -> bool:
        return os.path.splitext(self.path)[1].lower().decode("ascii", "replace") in VIDEO_EXTENSIONS  # noqa: PTH122

    @property
    def stem(self) -> tuple[int, str]:
        name = self.path.rpartition(b"/")[2]
        return self.directory_id, os.fsdecode(name.rpartition(b".")[0]).casefold()


def partners(store: Store, ids: Sequence[int]) -> dict[int, bytes]:
    """For those of the photos `ids` that are halves of Live Photos: the path of the other half."""
    mine = {half.id: half for page in pages(ids) for half in _halves(store, photos.c.id.in_(page))}
    if not mine:
        return {}
    folders = sorted({half.directory_id for half in mine.values()})
    others = [half for page in pages(folders) for half in _halves(store, photos.c.directory_id.in_(page))]
    by_content: dict[tuple[int, str, bool], _Half] = {}
    by_stem: dict[tuple[int, str, bool], _Half] = {}
    for half in others:
        if half.content_id:
            by_content.setdefault((half.directory_id, half.content_id, half.is_video), half)
        by_stem.setdefault((*half.stem, half.is_video), half)
    found = {}
    for half in mine.values():
        other = by_content.get((half.directory_id, half.content_id or "", not half.is_video))
        if other is None:
            named = by_stem.get((*half.stem, not half.is_video))
            # With an identifier in each they are no pair, without any nobody knows.
            if named is not None and bool(named.content_id) != bool(half.content_id):
                other = named
        if other is not None:
            found[half.id] = other.path
    return found


def _halves(store: Store, where: sa.ColumnElement[bool]) -> Iterator[_Half]:
    raw = sa.LargeBinary()
    query = sa.select(
        photos.c.id,
        photos.c.directory_id,
        sa.type_coerce(directories.c.path, raw),
        sa.type_coerce(photos.c.name, raw),
        facts.c.content_id,
    )
    wanted = photos.c.extension.in_((*STILLS, *VIDEOS)), photos.c.state != MISSING
    with store.read() as connection:
        rows = connection.execute(
            query.select_from(_located).where(where, *wanted).order_by(photos.c.id)
        ).all()
    for key, directory_id, directory, name, content_id in rows:
        yield _Half(key, directory_id, join(bytes(directory), bytes(name)), content_id)


def has_videos(store: Store) -> bool:
    """Whether any video is recorded that may belong to a Live Photo."""
    with store.read() as connection:
        query = sa.select(photos.c.id).where(photos.c.extension.in_(VIDEOS)).limit(1)
        return connection.scalar(query) is not None
