"""The tables of a photo library.

    photo_directories   a folder, its absolute path as bytes, and where its disk is mounted
    photos              a path that was hashed: folder, name, identity on disk, SHA-256, state
    duplicates          a copy and the original it is a copy of
    photo_facts         what a photo's header says (second stage)
    photo_aliases       two paths that a test on the disk has shown to be one file, seen on two ways
    photo_steps         changes of files that were begun: whoever comes next ends or undoes them
    photo_errors        what could not be walked, hashed or understood; retried on the next scan
    photo_scans         one row for each scan of the same folders
    photo_batches       the scan's ledger: what each batch held and took
    photo_looks         what the pixels of a content tell (`pixels`), whatever its copies are called
    photo_look_runs, photo_look_batches   the ledger of that stage
    photo_faces         the faces on a content (`people`), where they were asked for
    face_models         by which networks faces were asked for last; no row: they never were
    people              who is on photos, with a name or without
    face_decisions      what a person has said of a face: it is somebody, or it is not
    people_actions      what was done to people, and how each is undone

Promises: a commit holds whole batches with everything that belongs to them; names are stored byte for
byte, whatever they hold. Works on every database that SQLAlchemy knows; SQLite and PostgreSQL are
tested. Does not guard against two scans at once: that is the lock's work (`store.scan_lock`).
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from ..core.database import MessageText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..core.database import Migration

T = TypeVar("T")

metadata = sa.MetaData()


class PhotoState(StrEnum):
    """State of a photo. PENDING is known to be a copy of something whose original was not found standing: a move or a
    copy, which only the end of the walk can tell. BLANK is there, but holds the same byte over and over: it is no photo,
    and a copy of nothing."""

    PRESENT = "present"
    PENDING = "pending"
    MISSING = "missing"
    BLANK = "blank"


class FoundAs(StrEnum):
    """How a path came to be recorded last; NEW and CHANGED are what a batch counts and hands out."""

    NEW = "new"
    CHANGED = "changed"
    COPY = "copy"
    HARD_LINK = "hard link"
    MOVED = "moved"


class BatchState(StrEnum):
    """State of a batch: still filling, complete, taken by the caller (who asked for the next one)."""

    OPEN = "open"
    SETTLED = "settled"
    TAKEN = "taken"


class ScanState(StrEnum):
    """State of a scan. A scan that is not FINISHED goes on when the same folders are scanned again."""

    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"


# The plain texts, for statements: a driver looks for an adapter at each value that is no plain str, row by row.
PRESENT, PENDING = PhotoState.PRESENT.value, PhotoState.PENDING.value
MISSING, BLANK = PhotoState.MISSING.value, PhotoState.BLANK.value
NEW, CHANGED, COPY = FoundAs.NEW.value, FoundAs.CHANGED.value, FoundAs.COPY.value
HARD_LINK, MOVED = FoundAs.HARD_LINK.value, FoundAs.MOVED.value
OPEN, SETTLED, TAKEN = BatchState.OPEN.value, BatchState.SETTLED.value, BatchState.TAKEN.value
RUNNING, STOPPED, FINISHED = ScanState.RUNNING.value, ScanState.STOPPED.value, ScanState.FINISHED.value

HASH_DUPLICATE = "hash_duplicate"

# SQLite numbers rows by itself only in a column of exactly this type.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class PathBytes(sa.TypeDecorator[str]):
    """Bytes in the database, text with surrogateescape in Python (`os.fsencode`, `os.fsdecode`)."""

    impl = sa.LargeBinary
    operator_classes = sa.String.operator_classes  # text to whoever compares it
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> bytes | None:
        return os.fsencode(value) if value is not None else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return os.fsdecode(bytes(value)) if value is not None else None


class HexBytes(sa.TypeDecorator[str]):
    """Bytes in the database, hexadecimal text in Python. The database is 27 % smaller than with text."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        return bytes.fromhex(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return bytes(value).hex() if value is not None else None


directories = sa.Table(
    "photo_directories",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("path", PathBytes, nullable=False, unique=True),
    # The mount point of the disk that held it at the last complete scan; None: the system's own.
    sa.Column("mount", PathBytes),
)

scans = sa.Table(
    "photo_scans",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("roots", PathBytes, nullable=False, index=True),  # absolute paths, joined by NUL
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("files_seen", sa.BigInteger, nullable=False, default=0),
    sa.Column("stats", sa.JSON),  # ScanStats of its last run
    # Of its last run, where that was asked to begin at a batch: which one, and where that lay.
    sa.Column("start_batch", sa.Integer),
    sa.Column("start_path", PathBytes),
)

batches = sa.Table(
    "photo_batches",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("scan_id", sa.ForeignKey(scans.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("first_path", PathBytes),
    sa.Column("last_path", PathBytes),
    sa.Column("photos", sa.Integer, nullable=False, default=0),  # new
    sa.Column("changed", sa.Integer, nullable=False, default=0),
    sa.Column("copies", sa.Integer, nullable=False, default=0),  # before moves are told apart
    sa.Column("errors", sa.Integer, nullable=False, default=0),
    sa.Column("bytes", sa.BigInteger, nullable=False, default=0),  # read from disk
    sa.Column("seconds", sa.Float, nullable=False, default=0.0),
    sa.Column("cpu_seconds", sa.Float),  # of all processes; None: a version before this column
    sa.Column("peak_memory", sa.BigInteger, nullable=False, default=0),  # bytes
    sa.UniqueConstraint("scan_id", "number"),
)

photos = sa.Table(
    "photos",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("directory_id", sa.ForeignKey(directories.c.id), nullable=False),
    sa.Column("name", PathBytes, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("ctime_ns", sa.BigInteger, nullable=False, default=0),
    sa.Column("inode", sa.BigInteger, nullable=False, default=0),  # as a signed number
    sa.Column(
        "hashed_ns", sa.BigInteger, nullable=False, default=0
    ),  # when its reading began; 0: never trust
    sa.Column("state", sa.String(10), nullable=False, default=PRESENT),
    sa.Column("hash", HexBytes, nullable=False, index=True),  # SHA-256
    sa.Column("filename", sa.Text, nullable=False),  # for showing: bytes that are no UTF-8 appear as U+FFFD
    sa.Column("extension", sa.String(16), nullable=False),
    sa.Column("processed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("found_as", sa.String(10), nullable=False, default=NEW),
    sa.Column("batch_id", sa.ForeignKey(batches.c.id, ondelete="SET NULL"), index=True),
    sa.Column("hardlink_of_id", sa.ForeignKey("photos.id", ondelete="SET NULL")),
    sa.UniqueConstraint("directory_id", "name"),
)
# As bytes: inside this room names, paths and hashes are never text.
raw_hash = sa.type_coerce(photos.c.hash, sa.LargeBinary).label("hash")
# Rows that are few in a large table: each has an index that holds nothing else.
_linked, _unsettled = (
    photos.c.hardlink_of_id.is_not(None),
    photos.c.state != sa.literal_column(f"'{PRESENT}'"),
)
_partial = (
    (sa.Index("ix_photos_linked", photos.c.hardlink_of_id, sqlite_where=_linked), _linked),
    (sa.Index("ix_photos_unsettled", photos.c.state, sqlite_where=_unsettled), _unsettled),
)


@sa.event.listens_for(metadata, "before_create")
def _for_postgresql(_: sa.MetaData, connection: sa.Connection, **__: Any) -> None:
    """Its condition of these indexes. Said with the table, it would have every process load that dialect."""
    if connection.dialect.name == "postgresql":
        for index, where in _partial:
            index.dialect_kwargs["postgresql_where"] = where


def not_present() -> sa.ColumnElement[bool]:
    """Which photos are in any state that few are in, found by their index."""
    return _unsettled


def in_state(state: str) -> sa.ColumnElement[bool]:
    """Which photos are in a state that few are in, found by their index: no database knows what a parameter is not."""
    return sa.and_(_unsettled, photos.c.state == state)


duplicates = sa.Table(
    "duplicates",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("photo_id", sa.ForeignKey(photos.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("duplicate_of_id", sa.ForeignKey(photos.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.UniqueConstraint("photo_id", "duplicate_of_id"),
    sa.CheckConstraint("photo_id <> duplicate_of_id", name="no_copy_of_itself"),
)

facts = sa.Table(
    "photo_facts",
    metadata,
    sa.Column("photo_id", sa.ForeignKey(photos.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("format", sa.String(16)),  # told by the content: JPEG, PNG, ...
    sa.Column("mismatch", sa.Boolean, nullable=False, default=False),  # the extension says another one
    sa.Column("width", sa.Integer),  # pixels as stored, before orientation
    sa.Column("height", sa.Integer),
    sa.Column("orientation", sa.SmallInteger),  # EXIF 1 to 8
    sa.Column("taken_at", sa.String(40)),  # ISO 8601; with an offset only where EXIF has one
    sa.Column("latitude", sa.Float),  # degrees, north positive
    sa.Column("longitude", sa.Float),  # degrees, east positive
    sa.Column("camera", sa.Text),  # make and model
    sa.Column("taken_from", sa.String(10)),  # what told `taken_at`: exif, xmp, takeout, name
    sa.Column("damaged", sa.String(20)),  # what is wrong with the file as a whole: a `damage.Damage`
    sa.Column(
        "lacking", sa.String(20)
    ),  # the library that is not installed, without which no more can be said
    sa.Column("content_id", sa.String(80)),  # Apple's identifier, the same in both files of a Live Photo
    sa.Column("version", sa.SmallInteger, nullable=False, default=0, server_default="0"),  # `FACTS_VERSION`
)
# "2019-07-04T12:00:00+02:00" without its offset: as the camera's clock showed it. Its numbers are part of the text, since an
# index of an expression serves only the same expression.
_local = sa.func.substr(facts.c.taken_at, sa.literal_column("1"), sa.literal_column("19"), type_=sa.String)


def local_time(*, is_sqlite: bool) -> sa.ColumnElement[str]:
    """When a photo was taken, as it is compared and ordered; `_index_dates` has made an index of it."""
    return _local if is_sqlite else _local.collate("C")  # other orders overlook "-" and ":"


# Facts of an older version are read anew by the next scan.
FACTS_VERSION = 2

errors = sa.Table(
    "photo_errors",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("path", PathBytes, nullable=False),
    sa.Column("stage", sa.String(10), nullable=False),  # walk, hash, facts, verify, pixels
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("text", MessageText, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("scan_id", sa.ForeignKey(scans.c.id, ondelete="SET NULL")),
    # Of stages facts and pixels: the content that could not be understood, and the readers that tried. While both are
    # the same, nobody tries again.
    sa.Column("hash", HexBytes),
    sa.Column("readers", sa.String(80)),
    sa.UniqueConstraint("path", "stage"),
)

look_runs = sa.Table(
    "photo_look_runs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("roots", PathBytes, nullable=False, index=True),  # absolute paths, joined by NUL
    sa.Column("state", sa.String(10), nullable=False),  # a `ScanState`
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
)

look_batches = sa.Table(
    "photo_look_batches",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("run_id", sa.ForeignKey(look_runs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),  # a `BatchState`
    sa.Column("first_path", PathBytes),
    sa.Column("last_path", PathBytes),
    sa.Column("photos", sa.Integer, nullable=False, default=0),  # contents that were seen
    sa.Column("damaged", sa.Integer, nullable=False, default=0),  # of these
    sa.Column("no_pixels", sa.Integer, nullable=False, default=0),  # nothing here reads them
    sa.Column("faces", sa.Integer),  # found on them; None: nobody has looked for any
    sa.Column("errors", sa.Integer, nullable=False, default=0),
    sa.Column("bytes", sa.BigInteger, nullable=False, default=0),  # of their files
    sa.Column("seconds", sa.Float, nullable=False, default=0.0),
    sa.Column("cpu_seconds", sa.Float),  # of the workers; None: a version before this column
    sa.Column("peak_memory", sa.BigInteger, nullable=False, default=0),  # bytes, of the largest process
    sa.UniqueConstraint("run_id", "number"),
)

looks = sa.Table(
    "photo_looks",
    metadata,
    sa.Column("hash", HexBytes, primary_key=True),  # SHA-256 of the content
    sa.Column("version", sa.SmallInteger, nullable=False),  # `LOOKS_VERSION`
    sa.Column("width", sa.Integer),  # pixels of the upright picture
    sa.Column("height", sa.Integer),
    sa.Column("phash", sa.BigInteger),  # the fingerprint as a signed number; None where no picture was seen
    sa.Column("signature", sa.LargeBinary),  # 256 bytes, see `pixels.fingerprints`
    sa.Column("flat", sa.Boolean, nullable=False, default=False),  # nothing on it to compare
    sa.Column("damaged", sa.String(20)),  # a `damage.Damage`
    sa.Column("faces_model", sa.String(40)),  # which has looked for faces
    sa.Column("picture", sa.LargeBinary),  # of a JPEG: SHA-256 of all that is no metadata
    sa.Column("quality", sa.SmallInteger),  # with which it was compressed, 1 to 100
    sa.Column("lacking", sa.String(20)),  # what is not installed, without which there are no pixels
    sa.Column("failed", sa.String(20)),  # the kind of an error that the same readers would have again
    sa.Column("readers", sa.String(80), nullable=False, default=""),  # what has looked
    sa.Column("batch_id", sa.ForeignKey(look_batches.c.id, ondelete="SET NULL"), index=True),
    sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
    sqlite_with_rowid=False,
)
# Contents that a version before the first of these has looked at are looked at anew; those that one before the second has,
# where they are of a kind of which that tells more: holes in what is not compressed.
LOOKS_OLDEST, LOOKS_VERSION = 1, 2
LOOKS_RENEWED = (".bmp", ".tif", ".tiff")

people = sa.Table(
    "people",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("label", sa.Text),  # the name as it was given, in normal form C; None: nobody has named them
    sa.Column("folded", sa.Text, unique=True),  # the same in lower case: no two people are called alike
    sa.Column("hidden", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sqlite_autoincrement=True,  # a number that somebody had is never another's
)

faces = sa.Table(
    "photo_faces",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("hash", HexBytes, nullable=False),  # SHA-256 of the content
    sa.Column("number", sa.Integer, nullable=False),  # from 0, by the place on the picture
    sa.Column("model", sa.String(40), nullable=False),  # which has found it
    # Of the upright picture's width and height: the box, from its left upper corner. It may reach beyond the picture.
    sa.Column("x", sa.Float, nullable=False),
    sa.Column("y", sa.Float, nullable=False),
    sa.Column("w", sa.Float, nullable=False),
    sa.Column("h", sa.Float, nullable=False),
    sa.Column("score", sa.Float, nullable=False),  # how sure the detector is, 0 to 1
    sa.Column(
        "quality", sa.Float, nullable=False
    ),  # shorter side of the box in pixels of the picture that was looked at
    sa.Column("landmarks", sa.LargeBinary),  # five points, x and y as fractions, float32, little endian
    sa.Column("embedding", sa.LargeBinary),  # 128 int8: a unit vector times 317
    sa.Column("person_id", sa.ForeignKey(people.c.id, ondelete="SET NULL"), index=True),
    sa.Column("kind", sa.String(10), nullable=False, default="found"),  # found, drawn (by a person), ignored
    sa.UniqueConstraint("hash", "model", "number"),
    sqlite_autoincrement=True,  # whoever remembers a face by its number never finds another one
)
# Which faces are grouped, and which are ignored, without reading what describes them.
_faces_by_kind = sa.Index("ix_photo_faces_kind", faces.c.model, faces.c.kind)

people_actions = sa.Table(
    "people_actions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("undo", sa.JSON, nullable=False),  # a `people.person.Undo`
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sqlite_autoincrement=True,
)

face_decisions = sa.Table(
    "face_decisions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("face_id", sa.ForeignKey(faces.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("person_id", sa.ForeignKey(people.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("is_it", sa.Boolean, nullable=False),
    sa.Column("by_action", sa.ForeignKey(people_actions.c.id, ondelete="SET NULL"), index=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("face_id", "person_id"),
    sqlite_autoincrement=True,  # whether anything was decided since is told by count and sum of these numbers
)

face_models = sa.Table(
    "face_models",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),  # as in `photo_faces`
    sa.Column("folder", PathBytes),  # in which a person keeps them; None: Lote's own
    sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
)

aliases = sa.Table(
    "photo_aliases",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("photo_id", sa.ForeignKey(photos.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("same_as_id", sa.ForeignKey(photos.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.UniqueConstraint("photo_id", "same_as_id"),
)

steps = sa.Table(
    "photo_steps",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("action", sa.String(10), nullable=False),  # a `steps.Action`
    sa.Column("path", PathBytes, nullable=False),  # the name that the file has, or is to have
    sa.Column("spare", PathBytes, nullable=False),  # the name that it has meanwhile, in the same folder
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes
    sa.Column("hash", HexBytes, nullable=False),  # SHA-256
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
)


def _create_all(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    _index_dates(connection)


def _index_dates(connection: sa.Connection) -> None:
    """The library by date: a window of a million photos is found without sorting them."""
    order = "" if connection.dialect.name == "sqlite" else 'COLLATE "C"'
    connection.execute(
        sa.text(
            "CREATE INDEX IF NOT EXISTS ix_photo_facts_local ON photo_facts "
            f"((substr(taken_at, 1, 19) {order}) DESC, photo_id)"
        )
    )


def bring_up_to_date(connection: sa.Connection) -> None:
    """Make the tables, columns and indexes that are lacking; nothing where none is."""
    metadata.create_all(connection)
    found = sa.inspect(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))
    connection.execute(sa.schema.CreateIndex(_faces_by_kind, if_not_exists=True))
    _index_dates(connection)


MIGRATIONS: Sequence[Migration] = (
    ("0001 photos", _create_all),
    ("0002 mounts, aliases, steps, sources of dates, damage", bring_up_to_date),
    ("0003 where a scan begins", bring_up_to_date),
    ("0004 one look at the pixels", bring_up_to_date),
    ("0005 faces and people", bring_up_to_date),
    ("0006 by which networks faces were asked for", bring_up_to_date),
    ("0007 photos by date, faces of batches, faces by kind", bring_up_to_date),
)

# Values in one IN (...) list. SQLite takes 32,766 parameters, PostgreSQL 65,535; short lists plan faster.
IN_LIST = 500


def pages(values: Iterable[T], size: int = IN_LIST) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    page: list[T] = []
    for value in values:
        page.append(value)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def below_path(path: sa.ColumnElement[Any], root: bytes) -> sa.ColumnElement[bool]:
    """Which paths (a column of bytes) lie below `root` (absolute, no slash at its end)."""
    if root == b"/":
        return sa.true()
    # "0" is the byte after "/": one range of the index over `path`.
    return sa.and_(path >= root + b"/", path < root + b"0")


def below(root: bytes) -> sa.ColumnElement[bool]:
    """Which rows of `photo_directories` are `root` (absolute, no slash at its end) or lie below it."""
    path = sa.type_coerce(directories.c.path, sa.LargeBinary)
    return sa.true() if root == b"/" else sa.or_(path == root, below_path(path, root))
