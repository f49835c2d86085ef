"""What a job writes into its output beside its pages: ComicInfo, metadata, report, palette, contact sheet.

Promises: such a file replaces only what this job wrote there before, which the ledger remembers by its content, or
what `--overwrite` gives away; what a person made of ours is left alone, with a warning; a link below the output is
never followed out of it; a kill between remembering and renaming makes no stranger of our own file.

Does not know pages, copies and archives: the ledger has places of their own for those.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..core.database import chunks
from ..core.ledger import Ledger
from ..core.model import EventKind, Job
from ..io.publish import (
    Claim,
    SaveFile,
    check_inside,
    fsync_dir,
    meant_for,
    part_path,
    publish,
    standing,
    write_part,
)
from ..messages import Message
from .model import settings_of

WRITTEN = "written"
"""In `Job.result`: by path from the output's root, the SHA-256 of the last two files that were meant for it."""
TOGETHER = 100  # files that are written down in one commit

Written = dict[str, list[str]]


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
        return self._claim(path, self._written())

    def _claim(self, path: Path, known: Written) -> Claim:
        return Claim(self.root, frozenset(known.get(self._key(path), ())), self._overwrite)

    @contextmanager
    def save(self, path: Path) -> Iterator[BinaryIO]:
        """A file that appears at `path` when the block ends."""
        with SaveFile(
            path, within=self.root, place=lambda part, sha256: self.take(part, sha256, path)
        ) as file:
            yield file

    def save_all(self, files: Iterable[tuple[Path, Iterable[bytes]]]) -> None:
        """The same for many, a hundred at a time: what is in the ledger of them grows with their number, and is written down
        once for all of those. Contents are asked for in order."""
        for some in chunks(files, TOGETHER):
            made: list[tuple[Path, str, Path]] = []
            try:
                for path, content in some:
                    part = part_path(path, secrets.token_hex(8))
                    made.append((part, write_part(part, content, within=self.root), path))
                known = self._written()
                claims = [self._claim(path, known) for _, _, path in made]
                self._note({path: sha256 for _, sha256, path in made})
                for (part, _, path), claim in zip(made, claims, strict=True):
                    self._put(part, path, claim)
            finally:
                for part, _, _ in made:
                    part.unlink(missing_ok=True)

    def take(self, part: Path, sha256: str, path: Path) -> None:
        """The same for a finished part that a worker wrote."""
        claim = self.claim(path)
        # Before the rename: a kill right after it must not make our own file a stranger's.
        self._note({path: sha256})
        self._put(part, path, claim)

    def _put(self, part: Path, path: Path, claim: Claim) -> None:
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
        known = self._written()
        for path in paths:
            check_inside(self.root, path)
            if not self._overwrite and not known.get(self._key(path)) and standing(path) is not None:
                yield path

    def withdraw(self, is_left: Callable[[Path], bool]) -> None:
        """Remove those of the job's files that it no longer writes, as far as they are as it wrote them."""
        result = self._ledger.job(self._job_id).result
        written: Written = result.get(WRITTEN, {})
        left = [key for key in written if is_left(self.root / key)]
        for path in map(self.root.joinpath, left):
            with suppress(OSError):  # a link leads out, or the folder is gone: nothing is removed there
                check_inside(self.root, path)
                if standing(path) in written[self._key(path)]:
                    path.unlink()
                    path.parent.rmdir()  # where that was the last
        if left:
            kept = {key: hashes for key, hashes in written.items() if key not in left}
            self._ledger.set_job(self._job_id, result={**result, WRITTEN: kept})

    def adopt(self, paths: Iterable[Path]) -> None:
        """Take what stands at `paths` for this job's own, of a time that the ledger does not remember."""
        result = self._ledger.job(self._job_id).result
        found = {self._key(path): [sha256] for path in paths if (sha256 := standing(path))}
        self._ledger.set_job(self._job_id, result={**result, WRITTEN: {**found, **result.get(WRITTEN, {})}})

    def returned(self, path: Path) -> None:
        """A person changed our file at `path` and gave it to the job, which may replace it again."""
        if self._written().get(self._key(path)) and (sha256 := standing(path)):
            self._note({path: sha256})

    @property
    def from_before(self) -> bool:
        """Whether the job was last done by a Lote that did not remember these files yet."""
        result = self._ledger.job(self._job_id).result
        return "state" in result and WRITTEN not in result

    def _note(self, files: Mapping[Path, str]) -> None:
        """Remember what is meant for these places."""
        known, result = self._written(), self._ledger.job(self._job_id).result
        meant = {
            self._key(path): meant_for(path, known.get(self._key(path), []), sha256)
            for path, sha256 in files.items()
        }
        self._ledger.set_job(self._job_id, result={**result, WRITTEN: {**result.get(WRITTEN, {}), **meant}})

    def _written(self) -> Written:
        """By path from the root, the SHA-256 of what this job and the others meant for it."""
        known: Written = {}
        for number in (self._job_id, *self._others):
            for key, hashes in self._ledger.job(number).result.get(WRITTEN, {}).items():
                known[key] = [*known.get(key, ()), *hashes]
        return known

    def _key(self, path: Path) -> str:
        return os.path.relpath(path, self.root)
