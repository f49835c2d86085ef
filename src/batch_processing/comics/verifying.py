"""Whether what a job has handed over is still as it was written: every byte is read.

A run trusts a file whose size, time and inode are those with which it was written (`io.publish.standing_as`), for reading
half a terabyte to find that nothing changed takes hours. What changes bytes without those, such as a failing disk, is
found here.

Promises: no file is touched. What is found changed is read again by the job's next run, which makes it again, or says why
not. Of a job that runs meanwhile only what was finished before is looked at. Does not look at what lies beside the pages:
a palette is there to be changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..core.database import chunks
from ..core.model import Item, ItemState, Job, Role
from ..core.workspace import Workspace
from ..io.publish import Known, standing_as
from .model import settings_of
from .outputs import ARCHIVES, archive_of, bound

TOGETHER = 50  # files whose stamps are written down in one commit


class Standing(StrEnum):
    """How a file stands. CHANGED: other bytes, or what is no file, stand there."""

    WHOLE = "whole"
    CHANGED = "changed"
    MISSING = "missing"


class Remedy(StrEnum):
    """What makes it whole again: the same command, `lote retry --page`, or the same command once it was moved away."""

    AGAIN = "again"
    RETRY = "retry"
    MOVE = "move"


@dataclass(frozen=True)
class Verified:
    """A file of a job's output, and how it stands. `page` is its path in the input, "" of the archive."""

    path: Path
    page: str
    standing: Standing
    remedy: Remedy | None = None


def verify(workspace: Workspace, job: Job) -> Iterator[Verified]:
    """Read every page of a comics job, every copy in its folder, and its archive."""
    done = workspace.ledger.items(job.id, ItemState.COMPLETED)
    for some in chunks(done, TOGETHER):
        stamps: list[tuple[int, str, str | None]] = []
        for item in some:
            known, found = _read(Path(item.output), item.output_hash)
            if known.stamp != item.output_stamp:
                stamps.append((item.id, item.output_hash or "", known.stamp))
            remedy = Remedy.RETRY if _is_shown(job, item) or item.approved else Remedy.AGAIN
            yield _verified(Path(item.output), item.key, found, remedy)
        if stamps:
            workspace.ledger.stamped(stamps)
    if Path(job.output).suffix.lower() not in ARCHIVES:
        yield from _copies(workspace, job)
    archive = archive_of(job)
    if archive is not None and bound(job).sha256 and not settings_of(job)["preview_mode"]:
        yield _archive(workspace, job, archive)


def _read(path: Path, sha256: str | None) -> tuple[Known, Standing]:
    """What to trust of a file from now on, and how it stands."""
    there = standing_as(path)
    if there.sha256 is None:
        return Known(sha256, None), Standing.MISSING
    if there.sha256 != sha256:
        return Known(sha256, None), Standing.CHANGED
    return there, Standing.WHOLE


def _verified(path: Path, page: str, standing: Standing, changed: Remedy = Remedy.MOVE) -> Verified:
    remedies = {Standing.CHANGED: changed, Standing.MISSING: Remedy.AGAIN}
    return Verified(path, page, standing, remedies.get(standing))


def _is_shown(job: Job, item: Item) -> bool:
    """Whether a page stands where people see it: one in the workspace is made again without being asked for."""
    return Path(job.output) in Path(item.output).parents


def _copies(workspace: Workspace, job: Job) -> Iterator[Verified]:
    for role in (Role.COPY, Role.KEPT):
        for source in workspace.ledger.sources(job.id, role=role):
            if source.written:
                path = Path(job.output) / source.key
                known, found = _read(path, source.written)
                if known.stamp != source.written_stamp:
                    workspace.ledger.copied(source.id, source.written, known.stamp)
                yield _verified(path, source.key, found)


def _archive(workspace: Workspace, job: Job, archive: Path) -> Verified:
    known, found = _read(archive, bound(job).sha256)
    with workspace.lock(job.kind) as lock:
        if known.stamp != bound(job).stamp and lock.acquire():  # else a run looks at it by itself
            result = workspace.ledger.job(job.id).result
            if result.get("output_hash") == bound(job).sha256:
                workspace.ledger.set_job(job.id, result={**result, "output_stamp": known.stamp})
    return _verified(archive, "", found)
