"""The tables of the ledger, and how older databases become like them.

`ledger`, `transitions`, `reads`, `edits` and `drops` alone read and write them. A migration runs once, in the order of `MIGRATIONS`, and never
changes after it was released: the next change is the next migration.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from .database import MessageText
from .model import DropEnd, DropState, EditState, EventKind, ItemState, JobState, Role, Wish
from .reads import path_of, stored_path

metadata = sa.MetaData()


class FsText(sa.TypeDecorator[str]):
    """A path. What is not UTF-8 (surrogateescape) is stored as bytes."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        return stored_path(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return path_of(value)


class Word(sa.TypeDecorator[StrEnum]):
    """A member of an enumeration, stored as its word."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


job_table = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("output", FsText, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("state", Word(JobState), nullable=False),
    sa.Column("wanted", Word(Wish), nullable=False, default=Wish.RUN),
    sa.Column("owner", sa.JSON),
    sa.Column("generation", sa.Integer, nullable=False, default=0),
    sa.Column("phase", sa.Text, nullable=False, default=""),
    sa.Column("error", MessageText),
    sa.Column("exit_code", sa.Integer),
    sa.Column("result", sa.JSON, nullable=False, default=dict),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("submitted_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sqlite_autoincrement=True,  # a number that a person has written down never means another job
)
source_table = sa.Table(
    "source",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    sa.Column("key", FsText, nullable=False),
    sa.Column("sort", FsText, nullable=False),
    sa.Column("path", FsText, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text),
    sa.Column("facts", sa.JSON(none_as_null=True)),
    sa.Column("role", Word(Role)),
    sa.Column("written", sa.Text),  # hash of the copy that we put into the output
    sa.Column("written_stamp", sa.Text),  # and the stamp it had then (`io.publish.stamp_of`)
    sa.UniqueConstraint("job_id", "key"),
    sa.Index("source_order", "job_id", "sort"),
)
item_table = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    sa.Column("key", FsText, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("input_hash", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("work", sa.JSON, nullable=False),
    sa.Column("cost", sa.Integer, nullable=False, default=0),
    sa.Column("state", Word(ItemState), nullable=False, default=ItemState.PENDING),
    sa.Column("token", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("deaths", sa.Integer, nullable=False, default=0),
    sa.Column("losses", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("output", FsText, nullable=False),
    sa.Column("intent", sa.Text),
    sa.Column("output_hash", sa.Text),
    sa.Column("details", sa.JSON),
    sa.Column("reused", sa.Boolean, nullable=False, default=False),
    sa.Column("approved", sa.Boolean, nullable=False, default=False),
    sa.Column("held", sa.Boolean, nullable=False, default=False),
    sa.Column("forced", sa.Boolean, nullable=False, default=False),
    sa.Column("turn", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("place", sa.JSON),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sa.Column("seconds", sa.Float),
    sa.Column("error_type", sa.Text),
    sa.Column("error", MessageText),
    sa.Column("cpu_seconds", sa.Float),
    sa.Column("peak_memory", sa.BigInteger),  # bytes
    sa.Column("gpu_memory", sa.BigInteger),  # bytes
    sa.Column("output_stamp", sa.Text),  # of the file with that hash
    sa.UniqueConstraint("job_id", "key"),
    sa.Index("item_claim", "job_id", "held", "state", sa.text("priority DESC"), "turn", "ordinal"),
    sa.Index("item_order", "job_id", "ordinal"),
    sa.Index("item_output", "output"),
)
tally_table = sa.Table(
    "tally",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
event_table = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Integer, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", Word(EventKind), nullable=False),
    sa.Column("key", FsText),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("event_job", "job_id", "id"),
    sqlite_autoincrement=True,
)
edit_table = sa.Table(
    "edit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Integer, nullable=False),
    sa.Column("key", FsText, nullable=False),
    sa.Column("action", sa.Integer, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("state", Word(EditState), nullable=False, default=EditState.DONE),
    sa.Column("wish", sa.Text),  # the name that the action was asked for under (`EditLog.add`)
    sa.Index("edit_page", "job_id", "key", "id"),
    sa.Index("edit_wish", "job_id", "wish", unique=True),
    sqlite_autoincrement=True,  # a later edit has a larger number, also when all before it are forgotten
)
dropped_table = sa.Table(
    "dropped",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("folder", FsText, nullable=False),
    sa.Column("name", FsText, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("output", FsText, nullable=False),
    sa.Column("state", Word(DropState), nullable=False),
    sa.Column("jobs", sa.JSON, nullable=False, default=list),
    sa.Column("end", Word(DropEnd)),
    sa.Column("target", FsText),
    sa.Column("error", MessageText),
    sa.Column("taken_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
    sa.Index("dropped_name", "folder", "name", "id"),
    sa.Index("dropped_state", "folder", "state"),
    sqlite_autoincrement=True,
)


def _initial(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    # What is held back (`--pages`) is counted apart from what is to be done.
    add = (
        "INSERT INTO tally VALUES (NEW.job_id, CASE WHEN NEW.held THEN 'held' ELSE NEW.state END, 1) "
        "ON CONFLICT (job_id, state) DO UPDATE SET count = count + 1;"
    )
    remove = (
        "UPDATE tally SET count = count - 1 WHERE job_id = OLD.job_id "
        "AND state = CASE WHEN OLD.held THEN 'held' ELSE OLD.state END;"
    )
    for name, when, body in (
        ("item_added", "INSERT", add),
        ("item_moved", "UPDATE OF state, held", remove + add),
        ("item_removed", "DELETE", remove),
    ):
        connection.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {when} ON item BEGIN {body} END")


def _turns(connection: sa.Connection) -> None:
    """Items that are done together, and their order (`Ledger.arrange`)."""
    if any(column["name"] == "turn" for column in sa.inspect(connection).get_columns("item")):
        return  # made by this version
    connection.exec_driver_sql("ALTER TABLE item ADD COLUMN turn INTEGER NOT NULL DEFAULT 0")
    connection.exec_driver_sql("ALTER TABLE item ADD COLUMN place JSON")
    connection.exec_driver_sql("DROP INDEX item_claim")
    (claim,) = (index for index in item_table.indexes if index.name == "item_claim")
    claim.create(connection)


def _edits(connection: sa.Connection) -> None:
    """What people change on finished pages (`edits.EditLog`)."""
    edit_table.create(connection, checkfirst=True)


def _wishes(connection: sa.Connection) -> None:
    """The names of wishes for edits: one that comes twice is done once."""
    if any(column["name"] == "wish" for column in sa.inspect(connection).get_columns("edit")):
        return  # made by this version
    connection.exec_driver_sql("ALTER TABLE edit ADD COLUMN wish TEXT")
    (known,) = (index for index in edit_table.indexes if index.name == "edit_wish")
    known.create(connection)


def _dropped(connection: sa.Connection) -> None:
    """What was put into watched folders (`drops.DropLog`)."""
    dropped_table.create(connection, checkfirst=True)


def _resources(connection: sa.Connection) -> None:
    """What the work on each item took (`resources.Took`)."""
    there = {column["name"] for column in sa.inspect(connection).get_columns("item")}
    for name, kind in (("cpu_seconds", "FLOAT"), ("peak_memory", "BIGINT"), ("gpu_memory", "BIGINT")):
        if name not in there:  # else made by this version
            connection.exec_driver_sql(f"ALTER TABLE item ADD COLUMN {name} {kind}")


def _losses(connection: sa.Connection) -> None:
    """How often an item was on a machine that got lost."""
    if any(column["name"] == "losses" for column in sa.inspect(connection).get_columns("item")):
        return  # made by this version
    connection.exec_driver_sql("ALTER TABLE item ADD COLUMN losses INTEGER NOT NULL DEFAULT 0")


def _stamps(connection: sa.Connection) -> None:
    """By what finished files are known without being read (`io.publish.stamp_of`)."""
    for table, name in (("item", "output_stamp"), ("source", "written_stamp")):
        there = {column["name"] for column in sa.inspect(connection).get_columns(table)}
        if name not in there:  # else made by this version
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} TEXT")


MIGRATIONS = (
    ("0001_initial", _initial),
    ("0002_turns", _turns),
    ("0003_edits", _edits),
    ("0004_wishes", _wishes),
    ("0005_dropped", _dropped),
    ("0006_resources", _resources),
    ("0007_losses", _losses),
    ("0008_stamps", _stamps),
)
