"""How far a scan is: what a person is shown, what a program is told, and what the ledger keeps of it.

Promises: the figures of a scan that is read from the ledger, by whichever process, are those of the scan itself, half a
second old at most. In a first scan the photos are counted ahead by another process (`counting.py`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.plain import JsonObject, from_plain, to_plain

if TYPE_CHECKING:
    from ..core.model import Job
    from .counting import CountAhead, Totals
    from .ingest import Batch, Scan
    from .scan_stats import ScanStats

# A first scan that has taken so long has its photos counted by another process: then somebody waits for it.
COUNT_AFTER_S = 1.0
# What a photo costs beside its bytes, in bytes that could be read meanwhile: 40 KB from the page cache (`hashing.FILE_S`
# times `hashing.SPEED`), more from a disk.
PHOTO_BYTES = 64 * 1024
# Newest batches that are remembered with the figures.
RECENT = 8


@dataclass(frozen=True)
class BatchLine:
    """One batch as a list shows it. `total`: photos handed out so far, with it."""

    number: int
    photos: int
    total: int
    first_path: str
    seconds: float


@dataclass(frozen=True)
class Figures:
    """A scan at one moment. Sizes in bytes, times in seconds; None for what nobody knows (yet)."""

    files_seen: int = 0
    registered: int = 0
    already_processed: int = 0
    duplicates: int = 0
    errors: int = 0
    batches: int = 0
    bytes_read: int = 0
    bytes_per_second: int = 0
    eta_seconds: float | None = None
    total_photos: int | None = None
    total_bytes: int | None = None
    total_is_final: bool = False
    facts_read: int = 0
    facts_total: int = 0
    looks_done: int = 0
    looks_total: int = 0
    seconds: float = 0.0
    recent: tuple[BatchLine, ...] = ()

    def to_dict(self) -> JsonObject:
        """Plain values by name, as the ledger keeps them."""
        return to_plain(self)

    @classmethod
    def of(cls, job: Job) -> Figures:
        """What the ledger knows of a scan; all zeros before it has begun."""
        return from_plain(cls, job.result.get("figures", {}))

    def told(self) -> dict[str, int | float | bool | None]:
        """What a program is told of them beside what it is at: `lote photos scan --json`."""
        names = (
            "total_photos", "total_bytes", "total_is_final", "files_seen", "already_processed", "bytes_read",
            "bytes_per_second", "eta_seconds",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


@dataclass
class Meter:
    """Reads the figures of a running scan. `ahead`: have its photos counted, where that helps."""

    ahead: bool
    from_start: bool = True  # not from some batch on
    videos: bool = False  # they are scanned, too
    _count: CountAhead | None = None
    _total: int = 0
    _headers_since: float = 0.0
    _looks_since: float = 0.0
    _recent: list[BatchLine] = field(default_factory=list)

    def rested(self, seconds: float) -> None:
        """The scan waited so long while it was paused."""
        if self._headers_since:
            self._headers_since += seconds
        if self._looks_since:
            self._looks_since += seconds

    def add(self, batch: Batch) -> None:
        """A batch was handed out."""
        self._total += len(batch.photos)
        line = BatchLine(
            batch.number, len(batch.photos), self._total, batch.first_path, round(batch.seconds, 3)
        )
        self._recent = [*self._recent[1 - RECENT :], line]

    def read(self, scan: Scan) -> Figures:
        scan.count()
        stats = scan.stats
        totals = self._counted(scan)
        to_go = eta(scan.last_seen, stats.files_seen, stats.seconds)
        if scan.looks_done:
            self._looks_since = self._looks_since or time.monotonic()
            elapsed = time.monotonic() - self._looks_since
            to_go = (
                elapsed * max(0, scan.looks_total - scan.looks_done) / scan.looks_done if elapsed else None
            )
        elif scan.facts_read:
            self._headers_since = self._headers_since or time.monotonic()
            elapsed = time.monotonic() - self._headers_since
            to_go = elapsed * (scan.facts_total - scan.facts_read) / scan.facts_read if elapsed else None
        elif totals is not None:
            to_go = first_eta(totals.total_photos, totals.total_bytes, stats)
        return Figures(
            files_seen=stats.files_seen,
            registered=stats.registered,
            already_processed=stats.already_processed,
            duplicates=stats.duplicates,
            errors=stats.errors,
            batches=stats.batches,
            bytes_read=stats.bytes_read,
            bytes_per_second=round(stats.bytes_read / stats.seconds) if stats.seconds else 0,
            eta_seconds=round(to_go, 1) if to_go is not None else None,
            total_photos=max(totals.total_photos, stats.files_seen) if totals is not None else None,
            total_bytes=max(totals.total_bytes, stats.bytes_read) if totals is not None else None,
            total_is_final=totals is not None and totals.is_final,
            facts_read=scan.facts_read,
            facts_total=scan.facts_total,
            looks_done=scan.looks_done,
            looks_total=scan.looks_total,
            seconds=round(stats.seconds, 3),
            recent=tuple(self._recent),
        )

    def close(self) -> None:
        if self._count is not None:
            self._count.close()

    def _counted(self, scan: Scan) -> Totals | None:
        """What there is in all, where this is the first scan of its folders and enough of them is counted."""
        if not self.ahead or scan.last_seen is not None or not self.from_start:
            return None
        if self._count is None:
            if scan.stats.seconds < COUNT_AFTER_S or scan.facts_read:
                return None
            from .counting import CountAhead

            self._count = CountAhead()
            self._count.start(scan.roots, self.videos)
        totals = self._count.poll()
        return totals if totals is not None and totals.is_estimable else None


def first_eta(total_photos: int, total_bytes: int, stats: ScanStats) -> float | None:
    """Seconds left of a first scan of so many photos and bytes; None before any work is done. Bytes decide where
    photos are large, their number where they are small. What an earlier run of the scan has read is no work."""
    known = stats.already_processed
    unread = total_bytes * (1 - min(1.0, known / total_photos)) if total_photos else 0.0
    work = (total_photos - known) * PHOTO_BYTES + unread
    done = (stats.files_seen - known) * PHOTO_BYTES + stats.bytes_read
    return max(0.0, work - done) * stats.seconds / done if done > 0 else None


def eta(last_seen: int | None, seen: int, elapsed: float) -> float | None:
    """Seconds left if the folders hold as much as at their last complete scan; None if there was none."""
    if not last_seen or not seen or seen > last_seen:
        return None
    return round((last_seen - seen) * elapsed / seen, 1)
