"""What the photos tab shows, as plain values: a scan batch by batch, the library's figures, its duplicates.

A scan's numbers are those of its job in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.model import JobState, Wish
from ...messages import NOTHING, Message
from .views import Window

if TYPE_CHECKING:
    from ...core.model import Job
    from ...photos.progress import BatchLine
    from ...photos.store import Store

GROUPS = 20  # groups of duplicates in one window
MEMBERS = 12  # photos of one group that are shown
ERRORS = 50  # photos with errors that are shown


@dataclass(frozen=True)
class Batch:
    number: int
    photos: int
    total: int
    first: str
    seconds: float


@dataclass(frozen=True)
class LeftAlone:
    """What a scan left alone, for one reason. `first` is the path of the first."""

    reason: str
    count: int
    first: str


@dataclass(frozen=True)
class Scan:
    """The scan that runs, or the last one. Bytes and seconds; `figures` is False before it has said a number."""

    running: bool
    state: str
    paused: bool  # or to be
    ended: bool
    figures: bool
    files_seen: int
    known: int
    copies: int
    speed: float
    left: float | None
    errors: int
    problem: Message
    batches: tuple[Batch, ...]  # newest first
    left_alone: tuple[LeftAlone, ...]
    unhandled: tuple[tuple[str, int], ...]  # kinds of files that are no photos
    absent_originals: int


@dataclass(frozen=True)
class Library:
    """What the library holds: numbers of photos, and bytes."""

    photos: int
    bytes: int
    duplicates: int
    duplicate_bytes: int
    missing: int
    errors: int
    damaged: int


@dataclass(frozen=True)
class Member:
    id: int
    path: str
    original: bool


@dataclass(frozen=True)
class Group:
    """Photos that are alike, the original first; `size` bytes each, `gain` bytes for all copies."""

    count: int
    size: int
    gain: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Problem:
    path: str
    stage: str
    text: Message


def scan_of(job: Job | None) -> Scan | None:
    """What the ledger knows of a scan; None before there was one."""
    if job is None:
        return None
    from ...photos.ingest import ScanStats
    from ...photos.progress import Figures

    figures, stats = Figures.of(job), ScanStats.of(job.result.get("stats", {}))
    running = job.alive and job.state != JobState.PAUSED
    return Scan(
        running=running,
        state=job.state,
        paused=job.state in (JobState.PAUSED, JobState.INTERRUPTED) or job.wanted == Wish.PAUSE,
        ended=job.ended,
        figures=figures.files_seen > 0,
        files_seen=figures.files_seen,
        known=figures.already_processed,
        copies=figures.duplicates,
        speed=figures.bytes_per_second,
        left=figures.eta_seconds if running else None,
        errors=figures.errors,
        problem=job.error or NOTHING,
        batches=tuple(map(_batch, reversed(figures.recent))),
        left_alone=tuple(
            LeftAlone(str(reason), left.count, left.first) for reason, left in stats.left_alone.items()
        ),
        unhandled=tuple(stats.unhandled.items()),
        absent_originals=stats.absent_originals,
    )


def _batch(batch: BatchLine) -> Batch:
    return Batch(batch.number, batch.photos, batch.total, Path(batch.first_path or "").name, batch.seconds)


def library_of(store: Store) -> Library:
    """The figures of a library."""
    from ...photos.audit import statistics

    known = statistics(store)
    return Library(
        photos=known.photos,
        bytes=known.bytes,
        duplicates=known.duplicates,
        duplicate_bytes=known.duplicate_bytes,
        missing=known.missing,
        errors=known.errors,
        damaged=known.damaged,
    )


def groups_of(store: Store, start: int) -> tuple[tuple[Group, ...], Window]:
    """A window of the duplicates. How many there are is not counted: the window knows whether more come."""
    from ...photos.duplicates import groups

    shown = tuple(_group(group) for group in islice(groups(store), start, start + GROUPS))
    more = start + len(shown) + (1 if len(shown) == GROUPS else 0)
    return shown, Window("photos", start, GROUPS, more)


def _group(group: Any) -> Group:
    members = sorted(group.members, key=lambda member: not member.is_original)
    return Group(
        count=len(members),
        size=group.size,
        gain=group.gain,
        members=tuple(
            Member(member.id, os.fsdecode(member.path), member.is_original) for member in members[:MEMBERS]
        ),
    )


def problems_of(store: Store) -> Iterable[Problem]:
    """Photos that could not be read."""
    from ...photos.audit import error_rows

    return [Problem(row.path, row.stage, row.text) for row in islice(error_rows(store), ERRORS)]
