"""What stands in the output of a comics job, and whose it is.

Promises: a page, copy, archive or report replaces only what this job wrote there, as the ledger remembers it, or what
`--overwrite` gives away; a job with strangers' files in its way ends before it writes anything; what appears later is
met when a file is published (`io.publish.Claim`). Nothing in the workspace's own folders is a stranger's. Where the
ledger is younger than the output, because it is new or was restored, pages are proved by colouring one of them, and an
archive by what it says of itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.application import JobContext
from ..core.database import chunks
from ..core.model import Item, ItemSpec, ItemState, Job, Role
from ..core.workers import Task, Written
from ..core.workspace import Workspace
from ..exceptions import ImageProcessingError, OutputExistsError, ValidationError, incident
from ..io.images import probe
from ..io.publish import METADATA_NAME, Claim, Known, check_inside, standing, standing_as
from ..messages import Message
from . import book_info
from .deposits import Deposits
from .model import planned_work, settings_of
from .outputs import (
    ARCHIVES,
    archive_of,
    beside,
    bound,
    copied,
    passed_through,
    root_of,
    says_it_is_of,
)
from .report.layout import Layout
from .sources import Found
from .tasks import Color

if TYPE_CHECKING:
    from ..config import BatchConfig


class Ownership:
    """What one job may replace. It lives as long as a run of the job."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._allowed: dict[str, str] = {}  # by output: what stands there and is to be replaced on request
        self._unproven: set[str] = (
            set()
        )  # outputs at which a page stands that may be what this job would write
        self._inside: set[tuple[Path, Path]] = set()  # folders that lie where they should
        self._places = 0  # of the book: pages, and what is passed through

    def guarded(
        self, context: JobContext, config: BatchConfig, specs: Iterator[ItemSpec], found: Found
    ) -> Iterator[ItemSpec]:
        """The specs, each with what the file at its output says; OutputExistsError for foreign files."""
        foreign: list[str] = []
        self._allowed, self._unproven, self._places, self._inside = {}, set(), 0, set()
        # Originals that stand where pages have failed, and that a page takes the place of.
        originals = {
            source.key: source.written
            for source in context.ledger.sources(context.job.id, role=Role.PAGE)
            if source.written
        }
        try:
            for chunk in chunks(specs, 200):
                self._places += len(chunk)
                owners = context.ledger.owners_of([spec.output for spec in chunk])
                for spec in chunk:
                    original = originals.get(spec.key)
                    yield self._guard(context, config, spec, owners.get(spec.output), original, foreign)
                if foreign:
                    break
            foreign += self._foreign_beside(context, config, found)
        except OSError as error:  # a link leads out of the output
            raise ValidationError("The output cannot be written: {error}.", error=incident(error)) from error
        if foreign:
            raise _not_ours(foreign)

    def _guard(
        self,
        context: JobContext,
        config: BatchConfig,
        spec: ItemSpec,
        owner: Item | None,
        original: str | None,
        foreign: list[str],
    ) -> ItemSpec:
        path = Path(spec.output)
        root = self._root(context.job, path)
        if (root, path.parent) not in self._inside:  # asked again of each page when it is published
            check_inside(root, path)
            self._inside.add((root, path.parent))
        own = owner if owner is not None and owner.output_hash else None
        found = standing_as(path, Known(own.output_hash, own.output_stamp)) if own else standing_as(path)
        there = found.sha256
        if own is not None and there == own.output_hash and own.job_id == context.job.id:
            spec = replace(spec, stamp=found.stamp)
        if there is None:
            if owner is not None and owner.approved and owner.job_id == context.job.id:
                context.warn(
                    "{path} was approved and is gone: it is made again, to be approved again",
                    spec.key,
                    path=path,
                )
            return replace(spec, redo=True)
        if there == original:
            self._allowed[spec.output] = there
            return replace(spec, redo=True)
        if owner is not None and owner.job_id == context.job.id and owner.output_hash:
            if there != owner.output_hash and self._is_own(path) and not owner.approved:
                return replace(spec, redo=True)  # damaged, or made under a ledger that was put back since
            if there != owner.output_hash:
                if not owner.forced and not config.overwrite:
                    context.warn(
                        "{path} was changed since Lote wrote it and is left alone: `lote retry {job} --page {key}` "
                        "redoes it",
                        spec.key,
                        path=path,
                        job=context.job.id,
                        key=spec.key,
                    )
                    return replace(spec, keep=True)
                self._allowed[spec.output] = there
        elif not config.overwrite and not self._is_own(path):
            if _is_like(path, spec):
                self._unproven.add(spec.output)
            else:
                foreign.append(spec.output)
        documents = planned_work(spec).documents
        complete = all(os.path.lexists(document.target) for document in documents)
        return replace(spec, redo=spec.redo or (not complete and not (owner and owner.approved)))

    def _foreign_beside(self, context: JobContext, config: BatchConfig, found: Found) -> Iterator[str]:
        """What stands at the places of the archive, the copies and the report, and is not the job's."""
        target = archive_of(context.job)
        if target is not None and not config.overwrite:
            ours = {None, context.job.result.get("output_hash"), context.job.result.get("previous_hash")}
            if (there := standing_as(target, bound(context.job)).sha256) not in ours:
                if there and says_it_is_of(context.ledger, context.job, target):
                    result = {**context.ledger.job(context.job.id).result, "previous_hash": there}
                    context.ledger.set_job(context.job.id, result=result)
                else:
                    yield str(target)
        self._places += sum(
            1 for role in (Role.COPY, Role.KEPT) for _ in context.ledger.sources(context.job.id, role=role)
        )
        for path, source in passed_through(context):
            check_inside(root_of(context.job), path)
            theirs = (None, source.sha256, source.written)
            if not config.overwrite and standing_as(path, copied(source)).sha256 not in theirs:
                yield str(path)
                break
        deposits = deposits_of(context)
        strangers = list(deposits.strangers(_beside(context, found, self._places)))
        if self._unproven:
            return  # they go with the pages: see `prove`
        if strangers and (
            deposits.from_before or says_it_is_of(context.ledger, context.job, Path(context.job.output))
        ):
            deposits.adopt(strangers)
        else:
            yield from map(str, strangers)

    def prove(self, context: JobContext, found: Found, task_of: Callable[[Job, Item, Path], Task]) -> None:
        """Where pages stand in the output that the ledger does not know (it is new, or an older copy was restored),
        colour one of them: if it comes out as it stands there, they are this job's, and so is the report beside them.
        Each other one is compared when it is published. OutputExistsError if it does not.

        `task_of` is the application's `task`."""
        pending = context.ledger.items(context.job.id, ItemState.PENDING)
        item = next((item for item in pending if item.output in self._unproven and not item.held), None)
        if item is None:
            return
        context.phase("comparing with what stands in the output")
        part = context.workspace.folder("jobs", str(context.job.id)) / ".proof.part"
        task = task_of(context.job, item, part)
        assert isinstance(task.work, Color)  # noqa: S101 - it is the application's own
        work = replace(task.work, documents=[], place=None, regions=None, root=str(self._workspace.root))
        value: Written | None = None
        for result in context.run([replace(task, id="proof", work=work)]):
            value = result.value
        part.unlink(missing_ok=True)
        if value is None or value.sha256 != standing(Path(item.output)):
            raise _not_ours(sorted(self._unproven))
        context.note(
            "pages stand in {output} as this job makes them, and are taken over where they are the same",
            output=context.job.output,
        )
        deposits_of(context).adopt(_beside(context, found, self._places))

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
        overwrite = bool(settings_of(job)["overwrite"]) or self._is_own(path)
        return Claim(self._root(job, path), ours, overwrite)


def deposits_of(context: JobContext) -> Deposits:
    """The door for what the job writes beside its pages."""
    return Deposits(context.ledger, context.job, root_of(context.job))


def _beside(context: JobContext, found: Found, pages: int) -> list[Path]:
    """Where this job will write something beside its pages."""
    folder = beside(context.ledger, context.job)
    places = list(Layout(folder, pages).files)
    if Path(context.job.output).suffix.lower() not in ARCHIVES:
        places.append(folder / METADATA_NAME)
        places += [Path(context.job.output) / name for name in book_info.names(found).values()]
    return places


def _not_ours(paths: Sequence[str]) -> OutputExistsError:
    others = Message(" and others") if len(paths) > 1 else ""
    return OutputExistsError(
        "{paths}{others} was not written by this job: choose another output with -o, or replace it "
        "with --overwrite.",
        paths=paths[0],
        others=others,
    )


def _is_like(path: Path, spec: ItemSpec) -> bool:
    """Whether a file could be this page, coloured: by its format and size."""
    try:
        info = probe(path)
    except ImageProcessingError:
        return False
    work = planned_work(spec)
    formats = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF"}
    return (info.format, info.width * info.height) == (formats[work.format], work.pixels)
