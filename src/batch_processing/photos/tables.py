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

Promises: a commit holds whole batches with everything that belongs to them; names are stored byte for
byte, whatever they hold. Works on every database that SQLAlchemy knows; SQLite and PostgreSQL are
tested. Does not guard against two scans at once: that is the lock's work (`ingest.py`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..core.database import Migration

T = TypeVar("T")

metadata = sa.MetaData()

# State of a photo. PENDING is known to be a copy of something whose original was not found standing:
# a move or a copy, which only the end of the walk can tell. BLANK is there, but holds the same byte over and over:
# it is no photo, and a copy of nothing.
PRESENT, PENDING, MISSING, BLANK = "present", "pending", "missing", "blank"
# How a path came to be recorded last; NEW and CHANGED are what a batch counts and hands out.
NEW, CHANGED, COPY, HARD_LINK, MOVED = "new", "changed", "copy", "hard link", "moved"
HASH_DUPLICATE = "hash_duplicate"
# State of a batch: still filling, complete, taken by the caller (who asked for the next one).
OPEN, SETTLED, TAKEN = "open", "settled", "taken"
# State of a scan. A scan that is not FINISHED goes on when the same folders are scanned again.
RUNNING, STOPPED, FINISHED = "running", "stopped", "finished"

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
# Rows that are few in a large table: each has an index that holds nothing else.
_linked, _unsettled = (
    photos.c.hardlink_of_id.is_not(None),
    photos.c.state != sa.literal_column(f"'{PRESENT}'"),
)
sa.Index("ix_photos_linked", photos.c.hardlink_of_id, sqlite_where=_linked, postgresql_where=_linked)
sa.Index("ix_photos_unsettled", photos.c.state, sqlite_where=_unsettled, postgresql_where=_unsettled)


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
# Facts of an older version are read anew by the next scan.
FACTS_VERSION = 2

errors = sa.Table(
    "photo_errors",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("path", PathBytes, nullable=False),
    sa.Column("stage", sa.String(10), nullable=False),  # walk, hash, facts
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("scan_id", sa.ForeignKey(scans.c.id, ondelete="SET NULL")),
    # Of stage facts: the content that could not be understood, and the readers that tried. While both are
    # the same, nobody tries again.
    sa.Column("hash", HexBytes),
    sa.Column("readers", sa.String(80)),
    sa.UniqueConstraint("path", "stage"),
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


def bring_up_to_date(connection: sa.Connection) -> None:
    """Make the tables and columns that are lacking; nothing where none is."""
    metadata.create_all(connection)
    found = sa.inspect(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


MIGRATIONS: Sequence[Migration] = (
    ("0001 photos", _create_all),
    ("0002 mounts, aliases, steps, sources of dates, damage", bring_up_to_date),
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
