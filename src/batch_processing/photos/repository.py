"""Photos and duplicates as objects, for programs that look things up; scans use the tables directly.

    with open_library() as session:
        repository = PhotoRepository(session)
        photo = repository.get_by_path("/photos/2019/IMG_0001.jpg")

On disk, folder, name and hash are bytes; here `path` and `name` are text (surrogateescape for what is no
UTF-8) and `hash` is hexadecimal, in queries too: `select(Photo).where(Photo.path == "/photos/a.jpg")`.
Promises: the tables are made, and foreign keys enforced, wherever a repository is pointed to; what
`create` and `delete` did is committed. Not safe for use from several threads, as sessions are not.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.hybrid import Comparator, hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, relationship

from ..core.workspace import Workspace
from ..exceptions import ValidationError
from . import tables
from .store import ensure_tables, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Duplicate", "DuplicateRepository", "Photo", "PhotoFacts", "PhotoRepository", "open_library"]


class Base(DeclarativeBase):
    metadata = tables.metadata


class Directory(Base):
    """A folder that holds photos."""

    __table__ = tables.directories
    id: Mapped[int]
    path: Mapped[str]


class PhotoFacts(Base):
    """What a photo's header says; see `tables.facts` for units."""

    __table__ = tables.facts
    photo_id: Mapped[int]
    format: Mapped[str | None]
    mismatch: Mapped[bool]
    width: Mapped[int | None]
    height: Mapped[int | None]
    orientation: Mapped[int | None]
    taken_at: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    camera: Mapped[str | None]
    taken_from: Mapped[str | None]
    damaged: Mapped[str | None]
    lacking: Mapped[str | None]
    content_id: Mapped[str | None]
    version: Mapped[int]


def _split(path: str | os.PathLike[str]) -> tuple[bytes, bytes]:
    """Folder and name of an absolute path, as they are stored."""
    folder, name = os.path.split(os.path.abspath(os.fsencode(path)))  # noqa: PTH100 - links stay links
    return folder, name


class _PathComparator(Comparator[str]):
    """`Photo.path` in queries. Comparing for equality uses the index over (folder, name)."""

    def __clause_element__(self) -> sa.ColumnElement[str]:
        raw = sa.LargeBinary()
        folder = (
            sa.select(sa.type_coerce(tables.directories.c.path, raw))
            .where(tables.directories.c.id == tables.photos.c.directory_id)
            .correlate(tables.photos)
            .scalar_subquery()
        )
        name = sa.type_coerce(tables.photos.c.name, raw)
        whole = folder.op("||")(sa.literal(b"/", raw)).op("||")(name)
        return sa.type_coerce(sa.cast(whole, raw), tables.PathBytes())

    def operate(self, op: Any, *other: Any, **options: Any) -> Any:
        return op(self.__clause_element__(), *other, **options)

    def __eq__(self, other: object) -> sa.ColumnElement[bool]:  # type: ignore[override]
        if not isinstance(other, (str, os.PathLike)):
            return sa.false()
        folder, name = _split(other)
        directory = sa.select(tables.directories.c.id).where(tables.directories.c.path == folder)
        return sa.and_(
            tables.photos.c.directory_id == directory.scalar_subquery(), tables.photos.c.name == name
        )

    def __ne__(self, other: object) -> sa.ColumnElement[bool]:  # type: ignore[override]
        return sa.not_(self == other)

    __hash__ = None  # type: ignore[assignment]  # a comparison, not a key

    def in_(self, other: Any) -> sa.ColumnElement[bool]:  # type: ignore[override]
        return sa.or_(sa.false(), *(self == path for path in other))

    def startswith(self, other: Any, **_: Any) -> sa.ColumnElement[bool]:  # type: ignore[override]
        """For folders; SQLite's LIKE does not match bytes."""
        first = os.fsencode(other)
        path = self.__clause_element__()
        # Behind every path that starts so: no UTF-8 text, and no name in another encoding, goes on like this.
        return sa.and_(path >= os.fsdecode(first), path < os.fsdecode(first + b"\xff\xff\xff\xff"))


class Photo(Base):
    """A path that was hashed."""

    __table__ = tables.photos
    id: Mapped[int]
    directory_id: Mapped[int]
    name: Mapped[str]
    filename: Mapped[str]
    extension: Mapped[str]
    hash: Mapped[str]
    size: Mapped[int]
    mtime_ns: Mapped[int]
    ctime_ns: Mapped[int]
    inode: Mapped[int]
    hashed_ns: Mapped[int]
    state: Mapped[str]
    found_as: Mapped[str]
    processed_at: Mapped[datetime]
    batch_id: Mapped[int | None]
    hardlink_of_id: Mapped[int | None]

    directory: Mapped[Directory] = relationship(lazy="joined", innerjoin=True)
    facts: Mapped[PhotoFacts | None] = relationship(passive_deletes=True)
    width = association_proxy("facts", "width")
    height = association_proxy("facts", "height")
    format = association_proxy("facts", "format")
    orientation = association_proxy("facts", "orientation")
    taken_at = association_proxy("facts", "taken_at")
    latitude = association_proxy("facts", "latitude")
    longitude = association_proxy("facts", "longitude")
    camera = association_proxy("facts", "camera")
    taken_from = association_proxy("facts", "taken_from")
    damaged = association_proxy("facts", "damaged")

    @hybrid_property
    def path(self) -> str:
        return os.path.join(self.directory.path, self.name)  # noqa: PTH118 - a plain string

    @path.inplace.comparator
    @classmethod
    def _path_comparator(cls) -> _PathComparator:
        return _PathComparator(cls)  # type: ignore[arg-type]

    @property
    def is_missing(self) -> bool:
        """Whether the last scan of its folder did not find it."""
        return self.state == tables.MISSING

    def __repr__(self) -> str:
        return f"Photo(id={self.id}, path={self.path!r})"


class Duplicate(Base):
    """A photo (`photo_id`) that is a copy of another (`duplicate_of_id`)."""

    __table__ = tables.duplicates
    id: Mapped[int]
    photo_id: Mapped[int]
    duplicate_of_id: Mapped[int]
    reason: Mapped[str]

    photo: Mapped[Photo] = relationship(foreign_keys=[tables.duplicates.c.photo_id], viewonly=True)
    duplicate_of: Mapped[Photo] = relationship(
        foreign_keys=[tables.duplicates.c.duplicate_of_id], viewonly=True
    )

    def __repr__(self) -> str:
        return f"Duplicate(photo_id={self.photo_id}, duplicate_of_id={self.duplicate_of_id})"


Row = TypeVar("Row", Photo, Duplicate)


class _Repository(Generic[Row]):
    _model: type[Row]

    def __init__(self, session: Session) -> None:
        """`session`: on any database; missing photo tables are made there."""
        self.session = session
        ensure_tables(session)

    def get(self, id: int) -> Row | None:  # noqa: A002 - the field's name
        return self.session.get(self._model, id)

    def list_all(self) -> list[Row]:
        """All rows, oldest first. A whole library in memory: for a million photos about 2 GB."""
        return list(self.session.scalars(sa.select(self._model).order_by(self._model.id)))

    def delete(self, id: int) -> bool:  # noqa: A002 - the field's name
        """Delete a row with all that hangs on it; False if there is none. Never touches a file."""
        row = self.get(id)
        if row is None:
            return False
        self.session.delete(row)
        self.session.commit()
        return True

    def _add(self, row: Row) -> Row:
        try:
            self.session.add(row)
            self.session.commit()
        except sa.exc.IntegrityError as error:
            self.session.rollback()
            raise ValidationError(
                "This {kind} cannot be recorded: {problem}.",
                kind=self._model.__name__.lower(),
                problem=error.orig,
            ) from error
        return row


class PhotoRepository(_Repository[Photo]):
    """The photos behind a session."""

    _model = Photo

    def create(self, data: Mapping[str, Any]) -> Photo:
        """Record a photo: `path` and `hash` (hexadecimal) are needed, `size` and `mtime_ns` are taken
        from the file if not given; file name and extension follow from the path.

        ValidationError for a path that is recorded already, and for what is no record of a photo."""
        known = {"filename", "path", "hash", "size", "extension", "mtime_ns", "processed_at"}
        if unknown := data.keys() - known:
            raise ValidationError("A photo has no field {unknown}.", unknown=repr(min(unknown)))
        try:
            folder, name = _split(data["path"])
            digest = bytes.fromhex(data["hash"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValidationError(
                "A photo needs a path and a hexadecimal hash, got {given}.", given=repr(dict(data))
            ) from error
        from .settle import shown

        text, extension = shown(name)
        size, mtime_ns = data.get("size"), data.get("mtime_ns")
        try:
            status = os.lstat(data["path"])
        except OSError:
            status = None
        directory = self.session.scalar(sa.select(Directory).where(Directory.path == os.fsdecode(folder)))
        if directory is None:
            directory = Directory(path=os.fsdecode(folder))
        photo = Photo(
            name=os.fsdecode(name),
            filename=text,
            extension=extension,
            directory=directory,
            hash=digest.hex(),
            size=size if size is not None else status.st_size if status else 0,
            mtime_ns=mtime_ns if mtime_ns is not None else status.st_mtime_ns if status else 0,
            processed_at=data.get("processed_at") or datetime.now(UTC),
        )
        return self._add(photo)

    def get_by_hash(self, hash: str) -> Photo | None:  # noqa: A002 - the field's name
        """The photo with this content: the original, where there are copies. None for an unknown hash."""
        try:
            digest = bytes.fromhex(hash)
        except ValueError:
            return None
        is_copy = sa.exists().where(tables.duplicates.c.photo_id == tables.photos.c.id)
        return self.session.scalar(
            sa.select(Photo)
            .where(Photo.hash == digest.hex())
            .order_by(tables.photos.c.state == tables.MISSING, is_copy, Photo.id)
            .limit(1)
        )

    def get_by_path(self, path: str | Path) -> Photo | None:
        return self.session.scalar(sa.select(Photo).where(Photo.path == str(path)))


class DuplicateRepository(_Repository[Duplicate]):
    """The duplicates behind a session."""

    _model = Duplicate

    def create(self, data: Mapping[str, Any]) -> Duplicate:
        """Record a duplicate: `photo_id`, `duplicate_of_id`, and `reason` (default `hash_duplicate`)."""
        try:
            return self.create_duplicate(**data)
        except TypeError as error:
            raise ValidationError(
                "A duplicate needs photo_id and duplicate_of_id, got {given}.", given=repr(dict(data))
            ) from error

    def create_duplicate(
        self, photo_id: int, duplicate_of_id: int, reason: str = tables.HASH_DUPLICATE
    ) -> Duplicate:
        """Record that `photo_id` is a copy of `duplicate_of_id`; the same again gives the same row.

        ValidationError for a photo that would be a copy of itself, or that does not exist."""
        if photo_id == duplicate_of_id:
            raise ValidationError("Photo {photo_id} cannot be a duplicate of itself.", photo_id=photo_id)
        return self._find(photo_id, duplicate_of_id) or self._add(
            Duplicate(photo_id=photo_id, duplicate_of_id=duplicate_of_id, reason=reason)
        )

    def get_by_photo(self, photo_id: int) -> list[Duplicate]:
        """What this photo is a copy of."""
        query = sa.select(Duplicate).where(Duplicate.photo_id == photo_id).order_by(Duplicate.id)
        return list(self.session.scalars(query))

    def get_by_original(self, duplicate_of_id: int) -> list[Duplicate]:
        """The copies of this photo."""
        query = sa.select(Duplicate).where(Duplicate.duplicate_of_id == duplicate_of_id)
        return list(self.session.scalars(query.order_by(Duplicate.id)))

    def get_duplicates_count(self) -> int:
        return self.session.scalar(sa.select(sa.func.count()).select_from(Duplicate)) or 0

    def get_duplicates_summary(self) -> list[tuple[str, int]]:
        """How many duplicates there are for each reason: (reason, count), sorted by reason."""
        query = sa.select(Duplicate.reason, sa.func.count()).group_by(Duplicate.reason)
        return [(reason, count) for reason, count in self.session.execute(query.order_by(Duplicate.reason))]

    def get_duplicate_groups(self) -> dict[int, list[int]]:
        """Ids of the copies of each original: {duplicate_of_id: [photo_id, ...]}."""
        groups: dict[int, list[int]] = {}
        for link in self.session.scalars(sa.select(Duplicate).order_by(Duplicate.photo_id)):
            groups.setdefault(link.duplicate_of_id, []).append(link.photo_id)
        return groups

    def exists_duplicate(self, photo_id: int, duplicate_of_id: int) -> bool:
        return self._find(photo_id, duplicate_of_id) is not None

    def _find(self, photo_id: int, duplicate_of_id: int) -> Duplicate | None:
        return self.session.scalar(
            sa.select(Duplicate).where(
                Duplicate.photo_id == photo_id, Duplicate.duplicate_of_id == duplicate_of_id
            )
        )


@contextmanager
def open_library(where: str | Path | None = None) -> Iterator[Session]:
    """A session on a photo library: an SQLAlchemy URL, the path of an SQLite file, or None for
    `LOTE_DATABASE`, else the workspace's own database."""
    if where is None:
        where = os.environ.get("LOTE_DATABASE")
    if where is None:
        workspace = Workspace()
        workspace.ensure()
        where = workspace.database
    database = open_database(where)
    try:
        with Session(database.engine) as session:
            yield session
    finally:
        database.close()
