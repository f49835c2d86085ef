"""What a job writes into its output beside its pages: ComicInfo, metadata, report, palette, contact sheet.

Promises: such a file replaces only what this job wrote there before, which the ledger remembers by its content, or
what `--overwrite` gives away; what a person made of ours is left alone, with a warning; a link below the output is
never followed out of it; a kill between remembering and renaming makes no stranger of our own file.

Does not know pages, copies and archives: the ledger has places of their own for those.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..core.ledger import Ledger
from ..core.model import EventKind, Job
from ..io.publish import Claim, SaveFile, check_inside, fsync_dir, meant_for, publish, standing
from ..messages import Message
from .model import settings_of

WRITTEN = "written"
"""In `Job.result`: by path from the output's root, the SHA-256 of the last two files that were meant for it."""


class Deposits:
    """The files of one job beside its pages, below `root`: the output folder, or the folder that the archive is in.
    What the jobs `others` wrote there before is this one's to replace as well."""

    def __init__(self, ledger: Ledger, job: Job, root: Path, *, others: Sequence[int] = ()) -> None:
        self.root = root
        self.warnings: list[Message] = []
        self._ledger, self._job_id, self._others = ledger, job.id, others
        self._overwrite = bool(settings_of(job)["overwrite"])

    def claim(self, path: Path) -> Claim:
        """What may be replaced at `path`."""
        return Claim(self.root, frozenset(self._known(path)), self._overwrite)

    @contextmanager
    def save(self, path: Path) -> Iterator[BinaryIO]:
        """A file that appears at `path` when the block ends."""
        with SaveFile(
            path, within=self.root, place=lambda part, sha256: self.take(part, sha256, path)
        ) as file:
            yield file

    def take(self, part: Path, sha256: str, path: Path) -> None:
        """The same for a finished part that a worker wrote."""
        claim = self.claim(path)
        # Before the rename: a kill right after it must not make our own file a stranger's.
        self._note(path, sha256)
        try:
            publish(part, path, claim)
        except FileExistsError:
            part.unlink(missing_ok=True)
            changed = Message(
                "{path} was changed since Lote wrote it and is left alone: delete it to have it made anew",
                path=path,
            )
            self.warnings.append(changed)
            self._ledger.say(self._job_id, EventKind.WARNING, changed)
        fsync_dir(path.parent)

    def strangers(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those of `paths` at which something stands although this job never wrote there."""
        for path in paths:
            check_inside(self.root, path)
            if not self._overwrite and not self._known(path) and standing(path) is not None:
                yield path

    def adopt(self, paths: Iterable[Path]) -> None:
        """Take what stands at `paths` for this job's own, of a time that the ledger does not remember."""
        result = self._ledger.job(self._job_id).result
        found = {self._key(path): [sha256] for path in paths if (sha256 := standing(path))}
        self._ledger.set_job(self._job_id, result={**result, WRITTEN: {**found, **result.get(WRITTEN, {})}})

    def returned(self, path: Path) -> None:
        """A person changed our file at `path` and gave it to the job, which may replace it again."""
        if self._known(path) and (sha256 := standing(path)):
            self._note(path, sha256)

    @property
    def from_before(self) -> bool:
        """Whether the job was last done by a Lote that did not remember these files yet."""
        result = self._ledger.job(self._job_id).result
        return "state" in result and WRITTEN not in result

    def _note(self, path: Path, sha256: str) -> None:
        result = self._ledger.job(self._job_id).result
        written = {**result.get(WRITTEN, {}), self._key(path): meant_for(path, self._known(path), sha256)}
        self._ledger.set_job(self._job_id, result={**result, WRITTEN: written})

    def _known(self, path: Path) -> list[str]:
        known: list[str] = []
        for number in (self._job_id, *self._others):
            known += self._ledger.job(number).result.get(WRITTEN, {}).get(self._key(path), [])
        return known

    def _key(self, path: Path) -> str:
        return os.path.relpath(path, self.root)
