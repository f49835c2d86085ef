"""A library as a person looks through it: each picture once, the newest first, day by day.

Promises: the photos between two keys are the same photos whatever was added or went elsewhere, so that a window of a long
list needs no counting from its beginning. Copies, further names of a file, and what is missing or blank are left out;
those without a date come last, by name. Dates are those of the cameras' clocks. Writes nothing, and looks at no file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..exceptions import ValidationError
from .hashing import join
from .kinds import VIDEO_EXTENSIONS
from .tables import (
    HASH_DUPLICATE,
    PENDING,
    PRESENT,
    aliases,
    directories,
    duplicates,
    facts,
    local_time,
    looks,
    not_present,
    photos,
)

if TYPE_CHECKING:
    from .store import Store

CHUNK = 120  # photos between two keys of the index: some screens full of them
MOST = 600  # photos given at once, however far two keys lie apart
FETCHED = 10_000  # rows at a time
DAY = 10  # characters of a date
LONGEST_NAME = 1024  # bytes: more than any file system has

_DATED_KEY = re.compile(r"(\d{4}[0-9T:-]{0,15}),(\d{1,18})", re.ASCII)
_UNDATED_KEY = re.compile(r"~([0-9a-f]{0,2048}),(\d{1,18})", re.ASCII)

_raw_name = sa.type_coerce(photos.c.name, sa.LargeBinary)
_raw_directory = sa.type_coerce(directories.c.path, sa.LargeBinary)
_raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary)
_damage = sa.func.coalesce(facts.c.damaged, looks.c.damaged)
_dated = photos.outerjoin(facts, facts.c.photo_id == photos.c.id)
_seen = _dated.outerjoin(looks, looks.c.hash == photos.c.hash)
_with_facts = facts.join(photos, photos.c.id == facts.c.photo_id)
_with_facts_seen = _with_facts.outerjoin(looks, looks.c.hash == photos.c.hash)
_copies = (
    sa.select(sa.func.count())
    .where(duplicates.c.duplicate_of_id == photos.c.id, duplicates.c.reason == HASH_DUPLICATE)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Key:
    """A place in the order: of a photo with a date (`local`, then `id`), or without (`name`, then `id`)."""

    id: int
    local: str | None = None
    name: bytes = b""

    @classmethod
    def read(cls, text: str) -> Key:
        """What `str` gave. ValidationError for anything else."""
        if (found := _DATED_KEY.fullmatch(text)) is not None:
            return cls(int(found[2]), found[1])
        if (found := _UNDATED_KEY.fullmatch(text)) is not None and len(found[1]) % 2 == 0:
            return cls(int(found[2]), None, bytes.fromhex(found[1]))
        raise ValidationError("This place in the list of photos is unknown: reload the page.")

    def __str__(self) -> str:
        return (
            f"~{self.name[:LONGEST_NAME].hex()},{self.id}"
            if self.local is None
            else f"{self.local},{self.id}"
        )


@dataclass(frozen=True, slots=True)
class Day:
    """`date`: YYYY-MM-DD, or as much of it as is known; "" for the photos without one."""

    date: str
    photos: int


@dataclass(frozen=True)
class Index:
    """What there is to look through. `starts`: the key of every `CHUNK`-th photo."""

    photos: int
    days: Sequence[Day]
    starts: Sequence[str]
    chunk: int = CHUNK


@dataclass(frozen=True)
class Beside:
    """`copies`: photos that are left out because another has the same bytes; `unseen`: contents that nobody has looked at;
    `outside`: photos in folders that were not asked for."""

    copies: int
    unseen: int
    outside: int


@dataclass(frozen=True, slots=True)
class Thumb:
    """A photo as it is listed. `mark` changes with its content; `shape`: width by height, 0 where nobody has looked."""

    id: int
    name: str
    date: str
    mark: str
    shape: float
    copies: int
    damaged: bool
    video: bool


@dataclass(frozen=True)
class Detail:
    """What is known of a photo. `copies`: paths of others with the same bytes; `format` told by the content; `quality`
    with which a JPEG was compressed, 1 to 100; `position`: degrees north and east."""

    id: int
    path: bytes
    key: str
    digest: bytes
    size: int
    taken_at: str | None
    taken_from: str | None
    camera: str | None
    format: str | None
    width: int | None
    height: int | None
    quality: int | None
    position: tuple[float, float] | None
    damaged: str | None
    copies: Sequence[bytes]
    video: bool


@dataclass(frozen=True)
class Where:
    """A photo as it lies on its disk."""

    path: bytes
    digest: bytes
    size: int
    mtime_ns: int


def _left_out() -> sa.CompoundSelect[tuple[int]]:
    """The ids of photos that are not shown, whatever folders are: the few that the indexes of `photos` hold apart."""
    return sa.union_all(
        sa.select(photos.c.id).where(not_present(), photos.c.state != PENDING),
        sa.select(photos.c.id).where(photos.c.hardlink_of_id.is_not(None)),
        sa.select(duplicates.c.photo_id).where(duplicates.c.reason == HASH_DUPLICATE),
        sa.select(aliases.c.photo_id),
    )


class Gallery:
    """The pictures of a library in the order of their dates. `folders`: the ids of the only directories that are shown;
    None shows all."""

    def __init__(self, store: Store, folders: Sequence[int] | None = None) -> None:
        self._store = store
        self._folders = folders
        self._local = local_time(is_sqlite=store.is_sqlite)

    def index(self) -> Index:
        """The days with their photos, and a key for every so many."""
        days: list[list[Any]] = []
        starts: list[str] = []
        number, day = 0, None
        for local, name, photo in self._in_order():
            if local[:DAY] != day:
                day = local[:DAY]
                days.append([day, 0])
            days[-1][1] += 1
            if number % CHUNK == 0:
                starts.append(str(Key(photo, local or None, name)))
            number += 1
        return Index(number, [Day(*day) for day in days], starts)

    def _in_order(self) -> Iterator[tuple[str, bytes, int]]:
        """Date ("" for none), name and id of each: a hundred thousand in a fifth of a second, so no objects here."""
        dated, undated = self._local.is_not(None), self._local.is_(None)
        by_date = sa.select(self._local, facts.c.photo_id)
        if self._folders is None:
            # In the order of the index: to look up each of a million photos takes longer than all the rest.
            by_date = by_date.where(dated, facts.c.photo_id.not_in(_left_out()))
        else:
            by_date = by_date.select_from(_with_facts).where(*self._shown(), dated)
        with self._store.read() as connection:
            number = sa.select(sa.func.count())
            have_facts = connection.scalar(number.select_from(facts)) == connection.scalar(
                number.select_from(photos)
            )
            by_name = sa.select(_raw_name, photos.c.id).select_from(_with_facts if have_facts else _dated)
            by_name = by_name.where(*self._shown(), undated)
            query = by_date.order_by(self._local.desc(), facts.c.photo_id).execution_options(
                yield_per=FETCHED
            )
            for local, photo in connection.execute(query):
                yield local, b"", photo
            query = by_name.order_by(_raw_name, photos.c.id).execution_options(yield_per=FETCHED)
            for name, photo in connection.execute(query):
                yield "", bytes(name), photo

    def beside(self) -> Beside:
        """What stands beside the pictures: counted apart, since it takes as long as the index."""
        count = sa.select(sa.func.count())
        there = photos.c.state.in_((PRESENT, PENDING))
        copies = count.select_from(duplicates.join(photos, photos.c.id == duplicates.c.photo_id)).where(
            duplicates.c.reason == HASH_DUPLICATE, there
        )
        unseen = count.select_from(_seen).where(
            *self._shown(), looks.c.hash.is_(None), photos.c.extension.not_in(sorted(VIDEO_EXTENSIONS))
        )
        with self._store.read() as connection:
            outside = 0
            if self._folders is not None:
                outside = (
                    connection.scalar(
                        count.select_from(photos).where(there, photos.c.directory_id.not_in(self._folders))
                    )
                    or 0
                )
            return Beside(connection.scalar(copies) or 0, connection.scalar(unseen) or 0, outside)

    def _shown(self) -> list[sa.ColumnElement[bool]]:
        is_copy = sa.exists().where(
            duplicates.c.photo_id == photos.c.id, duplicates.c.reason == HASH_DUPLICATE
        )
        where = [
            photos.c.state.in_((PRESENT, PENDING)),
            photos.c.hardlink_of_id.is_(None),
            ~is_copy,
            ~sa.exists().where(aliases.c.photo_id == photos.c.id),
        ]
        if self._folders is not None:
            where.append(photos.c.directory_id.in_(self._folders))
        return where

    def between(self, first: Key | None, end: Key | None) -> list[Thumb]:
        """The photos from `first` on that come before `end`, `MOST` of them at most; None is the beginning, or the end, of
        all."""
        found: list[Thumb] = []
        if first is None or first.local is not None:
            where: list[sa.ColumnElement[bool]] = [self._local.is_not(None)]
            # The first of each pair finds the place in the index.
            if first is not None and first.local is not None:
                where += [self._local <= first.local, self._from(first)]
            if end is not None and end.local is not None:
                where += [self._local >= end.local, sa.not_(self._from(end))]
            order = self._local.desc(), facts.c.photo_id
            found += self._thumbs(_with_facts_seen, where, *order, limit=MOST)
        if (end is None or end.local is None) and len(found) < MOST:
            where = [self._local.is_(None)]
            if first is not None and first.local is None:
                where.append(self._from(first))
            if end is not None:
                where.append(sa.not_(self._from(end)))
            found += self._thumbs(_seen, where, _raw_name, photos.c.id, limit=MOST - len(found))
        return found

    def _from(self, key: Key) -> sa.ColumnElement[bool]:
        if key.local is not None:
            same = sa.and_(self._local == key.local, facts.c.photo_id >= key.id)
            return sa.or_(self._local < key.local, same)
        return sa.or_(_raw_name > key.name, sa.and_(_raw_name == key.name, photos.c.id >= key.id))

    def _thumbs(
        self,
        source: sa.FromClause,
        where: Sequence[sa.ColumnElement[bool]],
        *order: sa.ColumnElement[Any],
        limit: int,
    ) -> list[Thumb]:
        query = (
            sa.select(
                photos.c.id, photos.c.filename, self._local, _raw_hash, looks.c.width, looks.c.height,
                _copies, _damage, photos.c.extension,
            )
            .select_from(source)
            .where(*self._shown(), *where)
            .order_by(*order)
            .limit(limit)
        )  # fmt: skip
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [
            Thumb(
                photo, name, local or "", bytes(digest)[:6].hex(), round(width / height, 4) if width and height else 0.0,
                copies, damaged is not None, extension in VIDEO_EXTENSIONS,
            )
            for photo, name, local, digest, width, height, copies, damaged, extension in rows
        ]  # fmt: skip

    # -- one photo --------------------------------------------------------------------------------------

    def where(self, photo: int) -> Where:
        """Where a photo lies. FileNotFoundError for one that is not known, or not to be shown."""
        query = (
            sa.select(_raw_directory, _raw_name, _raw_hash, photos.c.size, photos.c.mtime_ns)
            .select_from(photos.join(directories, directories.c.id == photos.c.directory_id))
            .where(photos.c.id == photo)
        )
        if self._folders is not None:
            query = query.where(photos.c.directory_id.in_(self._folders))
        with self._store.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise FileNotFoundError
        directory, name, digest, size, mtime_ns = row
        return Where(join(bytes(directory), bytes(name)), bytes(digest), size, mtime_ns)

    def with_content(self, digest: bytes) -> tuple[int, Where]:
        """The oldest photo with these bytes that is to be shown. FileNotFoundError where there is none."""
        query = sa.select(photos.c.id).where(_raw_hash == digest, photos.c.state.in_((PRESENT, PENDING)))
        if self._folders is not None:
            query = query.where(photos.c.directory_id.in_(self._folders))
        with self._store.read() as connection:
            photo = connection.scalar(query.order_by(photos.c.id).limit(1))
        if photo is None:
            raise FileNotFoundError
        return photo, self.where(photo)

    def detail(self, photo: int) -> Detail:
        """What is known of a photo. FileNotFoundError for one that is not known, or not to be shown."""
        lies = self.where(photo)
        query = (
            sa.select(
                self._local, _raw_name, facts.c.taken_at, facts.c.taken_from, facts.c.camera, facts.c.format,
                sa.func.coalesce(looks.c.width, facts.c.width), sa.func.coalesce(looks.c.height, facts.c.height),
                looks.c.quality, facts.c.latitude, facts.c.longitude, _damage, photos.c.extension,
            )
            .select_from(_seen)
            .where(photos.c.id == photo)
        )  # fmt: skip
        others = (
            sa.select(_raw_directory, _raw_name)
            .select_from(photos.join(directories, directories.c.id == photos.c.directory_id))
            .where(_raw_hash == lies.digest, photos.c.id != photo, photos.c.state.in_((PRESENT, PENDING)))
            .order_by(photos.c.id)
            .limit(MOST)
        )
        with self._store.read() as connection:
            row = connection.execute(query).one()
            copies = [join(bytes(folder), bytes(name)) for folder, name in connection.execute(others)]
        (
            local,
            name,
            taken_at,
            taken_from,
            camera,
            told_format,
            width,
            height,
            quality,
            north,
            east,
            damaged,
            extension,
        ) = row
        return Detail(
            id=photo,
            path=lies.path,
            key=str(Key(photo, local, bytes(name))),
            digest=lies.digest,
            size=lies.size,
            taken_at=taken_at,
            taken_from=taken_from,
            camera=camera,
            format=told_format,
            width=width,
            height=height,
            quality=quality,
            position=(north, east) if north is not None and east is not None else None,
            damaged=damaged,
            copies=copies,
            video=extension in VIDEO_EXTENSIONS,
        )


def directories_of(store: Store, known: tuple[int, int] | None = None) -> dict[int, str] | None:
    """The folders that hold photos, by id; None while there are as many, up to the same id, as in `known`."""
    count = sa.select(sa.func.count(), sa.func.coalesce(sa.func.max(directories.c.id), 0)).select_from(
        directories
    )
    with store.read() as connection:
        if known is not None and tuple(connection.execute(count).one()) == known:
            return None
        rows = connection.execute(sa.select(directories.c.id, _raw_directory))
        return {number: os.fsdecode(bytes(path)) for number, path in rows}
