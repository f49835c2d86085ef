"""The photos of a library in the order in which they were taken.

Promises: photos come in pages that are read one after the other, and no lock is held between them; memory for one page
and eight bytes a photo, since the order is settled once, at the beginning. A photo that is forgotten meanwhile is left
out. Dates are compared as the cameras' clocks showed them: an offset from UTC does not count, and a date without a time
comes before the times of that day. Writes nothing, and looks at no file.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..exceptions import ConfigurationError, ValidationError
from .hashing import join
from .kinds import PHOTO_EXTENSIONS, VIDEO_EXTENSIONS
from .live import has_videos, partners
from .tables import IN_LIST, MISSING, below, directories, faces, facts, in_state, local_time, looks, photos

if TYPE_CHECKING:
    from .store import Store

# Rows that a driver holds while the order is settled.
FETCHED = 10_000
# Formats that go under several names: those of the content, and what people and file names call them.
SYNONYMS = (
    (("JPEG", "MPO"), ("jpeg", "jpg", "jpe", "jfif")),  # an MPO is a JPEG with more of them behind it
    (("TIFF",), ("tiff", "tif")),
    (("HEIF",), ("heif", "heic", "hif")),
    (("JPEG2000",), ("jpeg2000", "jp2")),
)
# YYYY, YYYY-MM, YYYY-MM-DD, and with a time to the hour, minute or second
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d))?)?)?)?)?", flags=re.ASCII)
# Comes after every character of a date.
_AFTER = "~"

_located = photos.join(directories, directories.c.id == photos.c.directory_id).outerjoin(
    facts, facts.c.photo_id == photos.c.id
)
_directory = sa.type_coerce(directories.c.path, sa.LargeBinary)
_name = sa.type_coerce(photos.c.name, sa.LargeBinary)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which photos are listed. None and empty: all of them."""

    folders: Sequence[bytes] = ()  # absolute; below any of them
    since: str | None = None  # as `date` gives it; a date as good as no time is its beginning
    until: str | None = None  # likewise, and all of it: 2019-08 is the whole of August
    camera: str | None = None  # part of make and model, in any case
    format: str | None = None  # of the content; of the name where the content is not known
    missing: bool = False  # those that are missing, else those that are not
    persons: Sequence[int] = ()  # on which all of these people are

    @property
    def by_date(self) -> bool:
        return self.since is not None or self.until is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """A photo as it is listed."""

    path: bytes
    size: int  # bytes
    extension: str
    taken_at: str | None  # ISO 8601
    taken_from: str | None  # exif, xmp, takeout, name
    camera: str | None
    format: str | None  # told by the content
    width: int | None  # pixels as stored
    height: int | None
    live_with: bytes | None = None  # path of the other half of a Live Photo


def date(text: str) -> str:
    """A date as it is compared: YYYY, YYYY-MM, YYYY-MM-DD, or with a time behind it (THH, THH:MM or THH:MM:SS; a space
    does for the T). ConfigurationError for what is no date."""
    found = _DATE.fullmatch(text.strip())
    if found is not None:
        year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups())
        try:
            datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)  # noqa: DTZ001 - of no zone
        except ValueError:
            pass
        else:
            return text.strip().replace(" ", "T")
    raise ConfigurationError(
        "{text} is no date: give one such as 2019, 2019-07, 2019-07-04 or 2019-07-04T18:30.", text=repr(text)
    )


def formats(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What `photo_facts.format` and `photos.extension` hold for a format that is called `text` (JPEG, jpg, .nef).
    ConfigurationError for what is no format of photos or videos."""
    name = text.strip().lower().removeprefix(".")
    for contents, names in SYNONYMS:
        if name in names:
            return contents, tuple(f".{one}" for one in names)
    if f".{name}" not in PHOTO_EXTENSIONS | VIDEO_EXTENSIONS:
        raise ConfigurationError(
            "{text} is no format of photos: give one such as JPEG or HEIC, or an extension such as nef.",
            text=repr(text),
        )
    return (name.upper(),), (f".{name}",)


def listed(store: Store, wanted: Wanted) -> Iterator[list[Listed]]:
    """The photos in pages, by date, then by path; those without a date last. ValidationError for a folder below which
    no photo is known."""
    columns = (
        photos.c.size,
        photos.c.extension,
        facts.c.taken_at,
        facts.c.taken_from,
        facts.c.camera,
        facts.c.format,
    )
    may_live = has_videos(store)
    order = _order(store, wanted)
    for rows in _pages(store, order, *columns, facts.c.width, facts.c.height):
        others = partners(store, [key for key, _, _ in rows]) if may_live else {}
        page = [Listed(path, *values) for _, path, values in rows]
        if others:
            page = [
                replace(photo, live_with=others.get(key)) for photo, (key, *_) in zip(page, rows, strict=True)
            ]
        yield page


def without_date(store: Store, wanted: Wanted) -> int:
    """How many photos would be listed if a date had not been asked for, and have none."""
    undated = (
        sa.select(sa.func.count()).select_from(_located).where(*_where(wanted), facts.c.taken_at.is_(None))
    )
    with store.read() as connection:
        return connection.scalar(undated) or 0


def damaged(store: Store) -> Iterator[tuple[bytes, str]]:
    """Path and kind of damage of each photo that is not whole, as its header or a look at its pixels has told, by path."""
    kind = sa.func.coalesce(facts.c.damaged, looks.c.damaged)
    seen = _located.outerjoin(looks, looks.c.hash == photos.c.hash)
    query = sa.select(photos.c.id).select_from(seen).where(kind.is_not(None), photos.c.state != MISSING)
    for rows in _pages(store, _ids(store, query.order_by(_path())), kind, located=seen):
        yield from ((path, damage) for _, path, (damage,) in rows if damage is not None)


def _order(store: Store, wanted: Wanted) -> array[int]:
    """The ids of the photos wanted, in order."""
    with store.read() as connection:
        for folder in wanted.folders:
            query = sa.select(photos.c.id).select_from(_located).where(below(folder)).limit(1)
            if connection.scalar(query) is None:
                raise ValidationError(
                    "No photo is known below {folder}: scan the folder first, or name another.",
                    folder=os.fsdecode(folder),
                )
    local = local_time(is_sqlite=store.is_sqlite)
    query = sa.select(photos.c.id).select_from(_located).where(*_where(wanted))
    if wanted.since is not None:
        query = query.where(local >= wanted.since)
    if wanted.until is not None:
        query = query.where(local < wanted.until + _AFTER)
    return _ids(store, query.order_by(sa.func.coalesce(local, _AFTER), _path()))


def _path() -> sa.ColumnElement[Any]:
    return _directory.op("||")(sa.literal(b"/", sa.LargeBinary)).op("||")(_name)


def _ids(store: Store, query: sa.Select[tuple[int]]) -> array[int]:
    with store.read() as connection:
        return array("q", connection.scalars(query.execution_options(yield_per=FETCHED)))


def _pages(
    store: Store,
    order: array[int],
    *columns: sa.ColumnElement[Any],
    located: sa.FromClause | None = None,
) -> Iterator[list[tuple[int, bytes, Sequence[Any]]]]:
    """Id, path and `columns` of the photos with these ids, in their order."""
    query = sa.select(photos.c.id, _directory, _name, *columns)
    query = query.select_from(_located if located is None else located)
    for start in range(0, len(order), IN_LIST):
        page = order[start : start + IN_LIST]
        with store.read() as connection:
            rows = {row[0]: row for row in connection.execute(query.where(photos.c.id.in_(page)))}
        found = (rows[key] for key in page if key in rows)
        yield [(key, join(bytes(directory), bytes(name)), values) for key, directory, name, *values in found]


def _where(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    """All that is wanted but the dates."""
    where = [in_state(MISSING) if wanted.missing else photos.c.state != MISSING]
    if wanted.folders:
        where.append(sa.or_(*(below(folder) for folder in wanted.folders)))
    if wanted.camera is not None:
        where.append(facts.c.camera.icontains(wanted.camera, autoescape=True))
    if wanted.format is not None:
        contents, extensions = formats(wanted.format)
        by_name = sa.and_(facts.c.format.is_(None), photos.c.extension.in_(extensions))
        where.append(sa.or_(facts.c.format.in_(contents), by_name))
    where += [
        photos.c.hash.in_(sa.select(faces.c.hash).where(faces.c.person_id == person))
        for person in wanted.persons
    ]
    return where
