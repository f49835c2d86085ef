"""What is not in a library, or not whole, and why: what scans have left alone, errors and damage, counted and listed.

Promises: lists come in pages by the ids of their rows, so that a page is the same whatever was added before it. Writes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..messages import NOTHING, Message
from .hashing import join
from .kinds import LeftAlone
from .scan_stats import ScanStats
from .tables import MISSING, directories, errors, facts, looks, photos, scans

if TYPE_CHECKING:
    from .store import Store

PAGE = 100  # rows at once
MOST_SCANS = 50

_damage = sa.func.coalesce(facts.c.damaged, looks.c.damaged)
_seen = photos.outerjoin(facts, facts.c.photo_id == photos.c.id).outerjoin(
    looks, looks.c.hash == photos.c.hash
)


@dataclass(frozen=True)
class LastScan:
    """The last scan of these folders: when it began (ISO 8601), and what it left alone."""

    id: int
    folders: Sequence[str]
    when: str
    left_alone: Mapping[str, LeftAlone]
    unhandled: Mapping[str, int]
    absent_originals: int


@dataclass(frozen=True)
class ErrorKind:
    """How many errors there are of a kind; `text`: what one of them says."""

    stage: str
    kind: str
    count: int
    text: Message


@dataclass(frozen=True)
class DamageKind:
    code: str
    count: int


@dataclass(frozen=True)
class Row:
    """A file. `text`: what is wrong with it, NOTHING where its kind says all."""

    id: int
    path: bytes
    text: Message


def last_scans(store: Store) -> list[LastScan]:
    """The last scan of each set of folders, the newest first."""
    newest = sa.select(sa.func.max(scans.c.id)).where(scans.c.stats.is_not(None)).group_by(scans.c.roots)
    query = (
        sa.select(scans.c.id, scans.c.roots, scans.c.started_at, scans.c.stats)
        .where(scans.c.id.in_(newest))
        .order_by(scans.c.id.desc())
        .limit(MOST_SCANS)
    )
    with store.read() as connection:
        rows = connection.execute(query).all()
    found = []
    for number, roots, started_at, kept in rows:
        stats = ScanStats.of(kept)
        when = started_at.isoformat(timespec="seconds")
        found.append(
            LastScan(
                number, roots.split("\0"), when, stats.left_alone, stats.unhandled, stats.absent_originals
            )
        )
    return found


def roots_of(store: Store, scan: int) -> list[bytes]:
    """The folders of a scan; none where there was no such scan."""
    with store.read() as connection:
        roots = connection.scalar(
            sa.select(sa.type_coerce(scans.c.roots, sa.LargeBinary)).where(scans.c.id == scan)
        )
    return bytes(roots).split(b"\0") if roots else []


def error_kinds(store: Store) -> list[ErrorKind]:
    """The kinds of errors that there are, the most frequent first."""
    count, first = sa.func.count(), sa.func.min(errors.c.id)
    query = sa.select(errors.c.stage, errors.c.kind, count, first).group_by(errors.c.stage, errors.c.kind)
    with store.read() as connection:
        rows = connection.execute(query.order_by(count.desc(), errors.c.stage, errors.c.kind)).all()
        texts = dict(
            connection.execute(
                sa.select(errors.c.id, errors.c.text).where(errors.c.id.in_([row[3] for row in rows]))
            ).all()
        )
    return [ErrorKind(stage, kind, number, texts.get(key) or NOTHING) for stage, kind, number, key in rows]


def error_paths(store: Store, stage: str, kind: str, after: int) -> list[Row]:
    """Files with errors of a kind, a page of them, by the ids of their rows from the one after `after` on."""
    path = sa.type_coerce(errors.c.path, sa.LargeBinary)
    query = (
        sa.select(errors.c.id, path, errors.c.text)
        .where(errors.c.stage == stage, errors.c.kind == kind, errors.c.id > after)
        .order_by(errors.c.id)
        .limit(PAGE)
    )
    with store.read() as connection:
        return [Row(key, bytes(named), text or NOTHING) for key, named, text in connection.execute(query)]


def damage_kinds(store: Store) -> list[DamageKind]:
    """The kinds of damage that photos have, the most frequent first."""
    count = sa.func.count()
    query = (
        sa.select(_damage, count)
        .select_from(_seen)
        .where(_damage.is_not(None), photos.c.state != MISSING)
        .group_by(_damage)
        .order_by(count.desc(), _damage)
    )
    with store.read() as connection:
        return [DamageKind(code, number) for code, number in connection.execute(query)]


def damaged_paths(store: Store, code: str, after: int) -> list[Row]:
    """Photos that are damaged so, a page of them, by their ids."""
    raw = sa.LargeBinary()
    query = (
        sa.select(photos.c.id, sa.type_coerce(directories.c.path, raw), sa.type_coerce(photos.c.name, raw))
        .select_from(_seen.join(directories, directories.c.id == photos.c.directory_id))
        .where(_damage == code, photos.c.state != MISSING, photos.c.id > after)
        .order_by(photos.c.id)
        .limit(PAGE)
    )
    with store.read() as connection:
        rows = connection.execute(query).all()
    return [Row(key, join(bytes(folder), bytes(name)), NOTHING) for key, folder, name in rows]
