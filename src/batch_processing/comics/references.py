"""What the pages of a job are coloured from: its references, its palette, and what its own pages taught.

    references -> one artefact a set, made once, kept in the cache by content
    the palette of the series, and of the job -> numbers and colours that stay
    finished pages, where a person asked -> the job's memory

Promises: what a page is coloured from is settled before the first page is, and never depends on which page
was done first. Does not choose a page's settings, and colours none (`application`, `tasks`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.base import Dividing, Recoloring
from ..core.edits import JOB
from ..core.model import ItemState, Role
from ..core.workers import Task
from ..exceptions import BatchProcessingError, ConfigurationError
from ..io.publish import hash_file
from ..messages import NOTHING
from . import edits, palette
from .model import (
    LearnedMemory,
    PageWork,
    Reference,
    References,
    facts_of,
    page_settings,
    request_of,
    settings_of,
    stored,
    work_of,
)
from .tasks import Agree, Gather, Learn, Painting, PaletteIds, Remember, Study, fingerprint

if TYPE_CHECKING:
    from ..backends.base import Backend
    from ..core.application import JobContext
    from ..core.model import Item
    from ..core.workspace import Workspace

# So many artefacts of one job's own pages stay, the newest: a ledger that is restored from a copy may need an
# earlier one, which nothing can make again. A megabyte each for a short book.
KEPT = 4


def references_of_job(context: JobContext) -> References:
    """The job's references, each content once."""
    by_hash: dict[str, str] = {}
    for role in (Role.REFERENCE, Role.COPY):
        for source in context.ledger.sources(context.job.id, role=role):
            if source.sha256 and facts_of(source).error is None:
                by_hash.setdefault(source.sha256, source.path)
    return _in_order(Reference(path, sha256) for sha256, path in by_hash.items())


def has_colors(context: JobContext) -> bool:
    """Whether any of the job's references may give colours: all of them do not that are line art for sure."""
    from ..classification.classifier import ASK_BELOW

    for role in (Role.REFERENCE, Role.COPY):
        for source in context.ledger.sources(context.job.id, role=role):
            facts = facts_of(source)
            is_line_art = facts.kind == "line_art" and facts.confidence >= ASK_BELOW
            if source.sha256 and facts.error is None and not is_line_art:
                return True
    return False


def references_of_page(paths: tuple[str, ...]) -> References:
    """The references that a page's settings name. ConfigurationError for one that is no file."""
    listed = []
    for text in paths:
        path = Path(text)
        if not path.is_file():
            raise ConfigurationError(
                "The reference {path} of the configuration file is not a file.", path=path
            )
        listed.append(Reference(text, hash_file(path)))
    return _in_order(listed)


def _in_order(references: Iterable[Reference]) -> References:
    return sorted(references, key=lambda reference: reference.sha256)


class Learning:
    """What one job knows, by one backend."""

    def __init__(self, workspace: Workspace, backend: Backend) -> None:
        self.backend = backend
        self.sets: dict[str, References] = {}  # by key
        self.palette: dict[str, Any] = {}
        self.memory = LearnedMemory()  # what the job learned from its own pages
        self._workspace = workspace

    def key(self, references: References) -> str | None:
        """The key under which what is learned from these references is kept; a set of the job from now on."""
        if not references:
            return None
        key = self._seen(references)
        self.sets[key] = references
        return key

    def artefact(self, key: str | None) -> Path | None:
        """The file of what is learned from a set."""
        return (
            self._workspace.folder("cache", "references") / f"{self.backend.name}-{key}.bin" if key else None
        )

    def _seen(self, references: References) -> str:
        return fingerprint(
            backend=[self.backend.name, self.backend.version], references=[one.sha256 for one in references]
        )

    def plan_palette(self, context: JobContext, file: Path | None, references: References) -> None:
        """Bring what the job keeps of its palette up to date with the series' file and the references."""
        request = request_of(context.job)
        series = palette.read(file) if file else {}
        if (series or palette.drawn(request.palette)) and not isinstance(self.backend, Recoloring):
            raise ConfigurationError("The backend {name} has no palette to recolour.", name=self.backend.name)
        now = palette.planned(request.palette, series, self._seen(references))
        if now != request.palette:
            context.ledger.reconfigure(context.job.id, stored(replace(request, palette=now)))
        # What a person changes in the editor can be undone: it stays beside, and is laid over on each run.
        self.palette = edits.palette_with(now, context.ledger.edits.of(context.job.id, JOB))

    def remember(self, context: JobContext) -> None:
        """Look up what the job learned from its own pages; learn it now, where that is wanted.

        It is made from the pages as they stand, once, and then stays as it is: no page's colours depend on
        which other page was done first. So a wish is fulfilled by one artefact: when the job was stopped before all
        pages were done again with it, the same wish goes on with them, and learns nothing from those that were."""
        job_id = context.job.id
        wish = request_of(context.job).memory or LearnedMemory()
        self.memory = wish
        under_way = wish.generation > context.job.result.get("generation", 0)
        there = not wish.key or self._memory_file(job_id, wish.key).exists()
        if wish.wanted and under_way and there:
            context.note("going on with what was learned before the job was stopped")
            wish = replace(wish, wanted=False)
            self._keep_memory(context, wish)
        if not wish.wanted:
            self.memory = wish
            if wish.key and not self._memory_file(job_id, wish.key).exists():
                raise BatchProcessingError(
                    "What job {job} learned from its own pages is missing from the workspace: `lote recolor "
                    "{job} --learn` learns it again.",
                    job=job_id,
                )
            return
        if not isinstance(self.backend, Recoloring):
            self._keep_memory(context, None)
            raise ConfigurationError("The backend {name} learns nothing from pages.", name=self.backend.name)
        context.phase("learning from the pages")
        now = {source.key: source.sha256 for source in context.ledger.sources(job_id, role=Role.PAGE)}
        folder = context.workspace.folder("jobs", str(job_id), "remembered")
        parts: dict[str, tuple[str, Path]] = {}
        tasks = []
        for item in context.ledger.items(job_id, ItemState.COMPLETED):
            work = work_of(item)
            same = now.get(item.key) == item.input_hash and work.backend == self.backend.name
            if same and not work.single:
                # By content: the order of pages is the order of names, and says nothing.
                part = folder / f"{item.id}.npz"
                parts[item.key] = (item.input_hash + item.key, part)
                tasks.append(Task(item.key, Remember(self.painting(item, work), item.approved, str(part))))
        learned: list[tuple[str, str, Path]] = []
        for result in context.run(tasks):
            if result.value is None:
                text = result.failure.text if result.failure else NOTHING
                raise BatchProcessingError("{name} cannot be learned from: {text}", name=result.id, text=text)
            learned.append((parts[result.id][0], result.value.sha256, parts[result.id][1]))
        learned.sort()
        key: str | None = fingerprint(pages=[sha256 for _, sha256, _ in learned])
        target = self._memory_file(job_id, str(key))
        gather = Gather(self.backend.name, [str(path) for _, _, path in learned], str(target))
        for result in context.run([Task("memory", gather, here=True)]):
            if result.value is None:
                text = result.failure.text if result.failure else NOTHING
                raise BatchProcessingError("The pages cannot be learned from: {text}", text=text)
            if not result.value.regions:
                context.warn("no region is sure enough to learn from: give hints, or approve pages")
                target.unlink()
                key = None
        shutil.rmtree(folder, ignore_errors=True)
        self.memory = LearnedMemory(key, context.generation, apart=wish.apart)
        self._keep_memory(context, self.memory)
        kept = {target, *(self._memory_file(job_id, old) for old in wish.apart.values() if old)}
        older = [path for path in target.parent.glob(f"{job_id}-*.npz") if path not in kept]
        older.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in older[KEPT - 1 :]:
            path.unlink()

    @staticmethod
    def _keep_memory(context: JobContext, memory: LearnedMemory | None) -> None:
        request = request_of(context.ledger.job(context.job.id))
        context.ledger.reconfigure(context.job.id, stored(replace(request, memory=memory)))

    def learn(self, context: JobContext) -> None:
        """Learn each set of references that a page still needs, unless it was learned before."""
        context.phase("learning the references")
        needed: set[str | None] = set()
        for item in context.ledger.items(context.job.id, ItemState.PENDING):
            if not item.held:
                work = work_of(item)
                needed |= {work.artefact, work.first}
        config = settings_of(context.job)
        settings = page_settings(config)
        missing: list[tuple[str, References, Path]] = []
        for key, references in self.sets.items():
            artefact = self.artefact(key)
            if artefact is None or key not in needed:
                continue
            if artefact.exists():
                os.utime(artefact)  # the cache keeps what was used last
                continue
            missing.append((key, references, artefact))
        slots = context.pool.slots
        here = (
            context.pool.here is context.pool
        )  # what rounds leave is large: it is not sent to other machines
        tasks = []
        for key, references, artefact in missing:
            if here and len(missing) < slots and len(references) > 1 and isinstance(self.backend, Dividing):
                self._divided(context, references, artefact, self.backend.rounds, config["timeout"])
            else:
                learn = Learn(self.backend.name, references, settings, str(artefact))
                tasks.append(Task(key, learn, timeout_s=config["timeout"]))
        _done(context, tasks)

    def _divided(
        self, context: JobContext, references: References, artefact: Path, rounds: int, timeout_s: float
    ) -> None:
        """Learn one set of references with all workers."""
        folder = context.workspace.folder("jobs", str(context.job.id), "learning")
        own: list[list[str]] = [[] for _ in references]  # their files of each round
        common: str | None = None
        try:
            for number in range(rounds):
                files = [str(folder / f"{number}-{place}.npz") for place in range(len(references))]
                _done(
                    context,
                    [
                        Task(
                            file,
                            Study(self.backend.name, number, one, before, common, file),
                            timeout_s=timeout_s,
                        )
                        for one, before, file in zip(references, own, files, strict=True)
                    ],
                )
                for before, file in zip(own, files, strict=True):
                    before.append(file)
                made = str(folder / f"{number}.npz") if number < rounds - 1 else str(artefact)
                agree = Agree(self.backend.name, number, references, files, common, made)
                _done(context, [Task(made, agree, timeout_s=timeout_s)])
                common = made
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def painting(self, item: Item, work: PageWork) -> Painting:
        """What a worker must know to find the colours of a page."""
        artefact, first = self.artefact(work.artefact), self.artefact(work.first)
        learned = self.memory.of(item.key)
        memory = self._memory_file(item.job_id, learned) if learned and not work.single else None
        ids = None
        if isinstance(self.backend, Recoloring):
            ids = PaletteIds(
                palette.anchors(self.palette),
                work.single,
                str(first) if first else None,
                str(memory) if memory else None,
            )
        return Painting(
            work.source,
            item.key,
            work.backend,
            str(artefact) if artefact else None,
            work.settings,
            work.hints,
            str(self._workspace.folder("cache", "states") / f"{work.state}.zip"),
            item.input_hash,
            ids,
            work.edits,
        )

    def _memory_file(self, job_id: int, key: str) -> Path:
        """Not in the cache: what it is made from is gone once the pages were done again with it."""
        return self._workspace.folder("memory") / f"{job_id}-{key[:16]}.npz"


def _done(context: JobContext, tasks: list[Task]) -> None:
    """Have tasks of learning done. BatchProcessingError for the first of them, in their order, that failed."""
    failed = {result.id: result.failure.text for result in context.run(tasks) if result.failure is not None}
    for task in tasks:
        if task.id in failed:
            raise BatchProcessingError("The references cannot be used: {text}", text=failed[task.id])
