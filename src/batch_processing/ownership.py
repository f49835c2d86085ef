"""What stands in the output of a comics job, and whose it is.

Promises: a page, copy, archive or report replaces only what this job wrote there, as the ledger remembers it, or what
`--overwrite` gives away; a job with strangers' files in its way ends before it writes anything; what appears later is
met when a file is published (`io.outputs.Claim`). Nothing in the workspace's own folders is a stranger's. Where the
ledger is younger than the output, because it is new or was restored, pages are proved by colouring one of them, and an
archive by what it says of itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import book, report
from .bindery import (
    ARCHIVES,
    COMIC_INFO_NAME,
    archive_of,
    beside,
    passed_through,
    root_of,
    says_it_is_of,
)
from .core.coordinator import Desk
from .core.ledger import Item, ItemSpec, Job, chunks
from .core.workers import Task
from .core.workspace import Workspace
from .deposits import Deposits
from .exceptions import ImageProcessingError, OutputExistsError, ValidationError, incident
from .io.images import probe
from .io.outputs import METADATA_NAME, Claim, check_inside, expect, part_path, standing

if TYPE_CHECKING:
    from .config import BatchConfig


class Ownership:
    """What one job may replace. It lives as long as a run of the job."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._allowed: dict[str, str] = {}  # by output: what stands there and is to be replaced on request
        self._unproven: set[str] = (
            set()
        )  # outputs at which a page stands that may be what this job would write

    def guarded(
        self, desk: Desk, config: BatchConfig, specs: Iterator[ItemSpec], found: book.Found
    ) -> Iterator[ItemSpec]:
        """The specs, each with what the file at its output says; OutputExistsError for foreign files."""
        foreign: list[str] = []
        self._allowed, self._unproven = {}, set()
        try:
            for chunk in chunks(specs, 200):
                owners = desk.ledger.owners_of([spec.output for spec in chunk])
                for spec in chunk:
                    yield self._guard(desk, config, spec, owners.get(spec.output), foreign)
                if foreign:
                    break
            foreign += self._foreign_beside(desk, config, found)
        except OSError as error:  # a link leads out of the output
            raise ValidationError(f"The output cannot be written: {incident(error)}.") from error
        if foreign:
            raise _not_ours(foreign)

    def _guard(
        self, desk: Desk, config: BatchConfig, spec: ItemSpec, owner: Item | None, foreign: list[str]
    ) -> ItemSpec:
        path = Path(spec.output)
        check_inside(self._root(desk.job, path), path)
        there = standing(path)
        if there is None:
            if owner is not None and owner.approved and owner.job_id == desk.job.id:
                desk.warn(
                    f"{path} was approved and is gone: it is made again, to be approved again", spec.key
                )
            return replace(spec, redo=True)
        if owner is not None and owner.job_id == desk.job.id and owner.output_hash:
            if there != owner.output_hash:
                if not owner.forced and not config.overwrite:
                    desk.warn(
                        f"{path} was changed since Lote wrote it and is left alone: "
                        f"`lote retry {desk.job.id} --page {spec.key}` redoes it",
                        spec.key,
                    )
                    return replace(spec, keep=True)
                self._allowed[spec.output] = there
        elif not config.overwrite and not self._is_own(path):
            if _is_like(path, spec):
                self._unproven.add(spec.output)
            else:
                foreign.append(spec.output)
        complete = all(os.path.lexists(file) for _, file, _ in spec.work["documents"])
        return replace(spec, redo=not complete and not (owner and owner.approved))

    def _foreign_beside(self, desk: Desk, config: BatchConfig, found: book.Found) -> Iterator[str]:
        """What stands at the places of the archive, the copies and the report, and is not the job's."""
        target = archive_of(desk.job)
        if target is not None and not config.overwrite:
            ours = {None, desk.job.result.get("output_hash"), desk.job.result.get("previous_hash")}
            if (there := standing(target)) not in ours:
                if there and says_it_is_of(desk.job, target):
                    result = {**desk.ledger.job(desk.job.id).result, "previous_hash": there}
                    desk.ledger.set_job(desk.job.id, result=result)
                else:
                    yield str(target)
        for path, source in passed_through(desk):
            check_inside(root_of(desk.job), path)
            if not config.overwrite and standing(path) not in (None, source.sha256, source.written):
                yield str(path)
                break
        deposits = deposits_of(desk)
        strangers = list(deposits.strangers(_beside(desk, found)))
        if self._unproven:
            return  # they go with the pages: see `_prove`
        if strangers and (deposits.from_before or says_it_is_of(desk.job, Path(desk.job.output))):
            deposits.adopt(strangers)
        else:
            yield from map(str, strangers)

    def prove(self, desk: Desk, found: book.Found, task_of: Callable[[Job, Item, Path], Task]) -> None:
        """Where pages stand in the output that the ledger does not know (it is new, or an older copy was restored),
        colour one of them: if it comes out as it stands there, they are this job's, and so is the report beside them.
        Each other one is compared when it is published. OutputExistsError if it does not.

        `task_of` is the application's `task`."""
        pending = desk.ledger.items(desk.job.id, state="pending")
        item = next((item for item in pending if item.output in self._unproven and not item.held), None)
        if item is None:
            return
        desk.phase("comparing with what stands in the output")
        part = desk.workspace.folder("jobs", str(desk.job.id)) / ".proof.part"
        task = task_of(desk.job, item, part)
        args = {**task.args, "documents": [], "place": None, "root": str(self._workspace.root)}
        value = None
        for result in desk.run([replace(task, id="proof", args=args)]):
            value = result.value
        part.unlink(missing_ok=True)
        if value is None or value["sha256"] != standing(Path(item.output)):
            raise _not_ours(sorted(self._unproven))
        desk.note(
            f"pages stand in {desk.job.output} as this job makes them, and are taken over where they are the same"
        )
        deposits_of(desk).adopt(_beside(desk, found))

    def _is_own(self, path: Path) -> bool:
        """Whether a place is one of the workspace's own, where nothing is a stranger's."""
        return path.is_relative_to(self._workspace.root)

    def _root(self, job: Job, path: Path) -> Path:
        """The folder that no link may lead a page out of."""
        if self._is_own(path):
            return self._workspace.root
        root = root_of(job)
        return root if path.is_relative_to(root) else path.parent  # a page that was given a place of its own

    def claim(self, job: Job, item: Item) -> Claim:
        """What may be replaced by a page."""
        path = Path(item.output)
        ours = frozenset(filter(None, (item.output_hash, self._allowed.get(item.output))))
        overwrite = bool(job.config["settings"]["overwrite"]) or self._is_own(path)
        return Claim(self._root(job, path), ours, overwrite)

    def before_recovery(self, job: Job) -> None:
        """A run that died between its intent and the rename: what it meant to publish is dropped where another's
        file stands by now, and the page begins anew."""
        for item in self._workspace.ledger.items(job.id, state="processing"):
            target, claim = Path(item.output), self.claim(job, item)
            try:
                check_inside(claim.root, target)
                is_foreign = not claim.overwrite and standing(target) not in {None, item.intent, *claim.ours}
            except OSError:
                is_foreign = True
            if is_foreign:
                part_path(target, str(item.token)).unlink(missing_ok=True)
            else:
                expect(target, claim)


def deposits_of(desk: Desk) -> Deposits:
    """The door for what the job writes beside its pages."""
    return Deposits(desk.ledger, desk.job, root_of(desk.job))


def _beside(desk: Desk, found: book.Found) -> list[Path]:
    """Where this job will write something beside its pages."""
    folder = beside(desk.ledger, desk.job)
    places = report.files(folder)
    if Path(desk.job.output).suffix.lower() not in ARCHIVES:
        places.append(folder / METADATA_NAME)
        if found.comic_info is not None:
            places.append(Path(desk.job.output) / COMIC_INFO_NAME)
    return places


def _not_ours(paths: Sequence[str]) -> OutputExistsError:
    others = " and others" if len(paths) > 1 else ""
    return OutputExistsError(
        f"{paths[0]}{others} was not written by this job: choose another output with -o, "
        "or replace it with --overwrite."
    )


def _is_like(path: Path, spec: ItemSpec) -> bool:
    """Whether a file could be this page, coloured: by its format and size."""
    try:
        info = probe(path)
    except ImageProcessingError:
        return False
    formats = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF"}
    return (info.format, info.width * info.height) == (formats[spec.work["format"]], spec.work["pixels"])
