"""What happens to one comic: the `Application` of comics jobs.

    find the images -> examine each in a worker -> decide what each is for (`plan`) -> bring palette and memory up
    to date -> plan the pages, each where it may be written (`ownership`) -> learn the references -> arrange the pages,
    where the backend takes several at once -> colour them (`tasks`) -> hand over the folder or archive (`outputs`)
    and the report

`Comics.plan`, `task` and `finish` are the main job; the rest of the class is how.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends import create as create_backend
from ..backends.base import Batching, Overlapping
from ..core.application import JobContext
from ..core.database import chunks
from ..core.model import Item, ItemState, Job, JobState, Role, Settlement
from ..core.overlap import OverlapPool
from ..core.plain import JsonObject, to_plain
from ..core.tuning import tuned
from ..core.workers import LocalPool, Result, Task
from ..core.workspace import Kind, Workspace
from ..exceptions import (
    BatchProcessingError,
    ConfigurationError,
    ValidationError,
)
from ..io.kinds import LeftOut, Reason
from ..io.publish import (
    Claim,
    nearest_folder,
)
from ..logging_config import get_logger
from ..messages import NOTHING, Message, as_message
from . import documents, regions, report
from .books import in_worker
from .deposits import WRITTEN
from .edits import EDITED
from .model import (
    ImageFacts,
    settings_of,
    stored,
    work_of,
)
from .outputs import (
    ARCHIVES,
    BOUND,
    Bindery,
    archive_of,
    beside,
    root_of,
    size_of_output,
)
from .ownership import Ownership, deposits_of
from .plan import Plan, named_pages
from .references import Learning, has_colors, references_of_job
from .series import Series
from .sources import Found, Reading, by_reason, find_sources, hints_in, name_of
from .tasks import About, Arrange, BackendThere, Color, Examine, Examined, Lost, Survey

if TYPE_CHECKING:
    from ..backends.base import Backend
    from ..config import BatchConfig
    from ..core.workers import Pool

log = get_logger(__name__)

# What a worker may take at most. Ordinary pages need less than a gigabyte; the 256 million pixels that
# are let in need some five.
WORKER_MEMORY = 6 << 30
# So many pages, one after the other, that take their worker down twice before any was surveyed: it is the model.
FATAL_DEATHS = 3
# A coloured page needs about this many bytes a pixel on disk (measured on flats over line art, PNG).
BYTES_PER_PIXEL = 0.6
UNUSED = "unused"
"""In `Job.result`, of one of several books: what was said of pages that it has not. Another may have them."""
_REMOVED = Message("its file was removed while the job ran, and again after it was made anew")


class Comics:
    """The `Application` of comics jobs."""

    kind: Kind = "comics"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._backend: Backend = create_backend("noop")
        self._why: Message | None = None
        self._learning = Learning(workspace, self._backend)
        self._found = Found()
        self._made_again: set[int] = set()  # items whose files were removed while the job ran
        self._edited = ""  # what of the edits this run has taken in (`EditLog.mark`)
        self._unused: list[str] = []  # what was said of pages that there are not
        self._ownership = Ownership(workspace)

    def pool(self, job: Job) -> Pool:
        settings = settings_of(job)
        on_cluster = settings.get("engine") == "ray"
        self._backend, self._why = choose_backend(
            settings["backend"], flats=settings.get("flats", False), on_cluster=on_cluster
        )
        self._learning = Learning(self._workspace, self._backend)
        if on_cluster:
            return _cluster_pool(self._backend, job)
        if self._backend.exclusive:
            # CUDA reserves far more address space than it uses, so that no limit can be set on it.
            limit = settings["worker_memory"] or 0
            if isinstance(self._backend, Overlapping):
                return OverlapPool(memory_limit=limit)
            return LocalPool(1, memory_limit=limit)
        fits = tuned(self._workspace).worker_memory or WORKER_MEMORY
        return LocalPool(settings["max_concurrent"], memory_limit=settings["worker_memory"] or fits)

    # -- planning -----------------------------------------------------------------------------------

    def plan(self, context: JobContext) -> None:
        from ..config import BatchConfig
        from ..config.effective import Settings

        config = BatchConfig(**settings_of(context.job))
        settings = Settings.of(config)
        backend = self._backend
        # Before any of them is read: one that comes meanwhile is for the next run.
        self._edited = context.ledger.edits.mark(context.job.id)
        if why_not := self._unavailable(context):
            raise ConfigurationError(
                "The backend {name} cannot run here: {why_not}", name=backend.name, why_not=why_not
            )
        if self._why:
            context.note("colouring with flats (CPU)")
            log.info("not with cobra: %s", self._why)
        elif config.backend == "auto":
            context.note("colouring with Cobra (GPU)")
        self._found = found = self._find(context, config)
        self._examine(context, config)
        plan = Plan(context, config, settings, backend, self._learning, found)
        self._unused = plan.assign()
        series = Series(context)
        references = references_of_job(context)
        colors = has_colors(context)
        if colors:
            series.keep_references()
        elif borrowed := series.borrowed_references():
            references, colors = borrowed, True
        self._learning.plan_palette(context, series.palette(config.palette), references)
        if backend.needs_references and not colors and not found.hints:
            images = sum(1 for _ in context.ledger.sources(context.job.id))
            raise ValidationError(
                "no coloured reference among {images} images: add --references, or name one with --as-reference",
                images=images,
            )
        self._learning.remember(context)
        context.phase("planning")
        guarded = self._ownership.guarded(context, config, plan.specs(references), found)
        context.ledger.plan(context.job.id, context.generation, context.watched(guarded))
        context.ledger.drop_old_items(context.job.id, context.generation)
        self._announce(context)
        self._learning.learn(context)
        self._ownership.prove(context, found, self.task)
        self._arrange(context, config, backend)

    def _unavailable(self, context: JobContext) -> Message | str | None:
        """Why the backend cannot run where the tasks will; takes in its version there."""
        if context.pool.here is context.pool:
            return self._backend.unavailable()
        context.phase("looking at the machines of the cluster")
        for result in context.run([Task("backend", About(self._backend.name))]):
            if result.value is None:
                return result.failure.text if result.failure else NOTHING
            about: BackendThere = result.value
            if about.why_not is None:
                self._backend.version = about.version
            return about.why_not
        return None

    def _find(self, context: JobContext, config: BatchConfig) -> Found:
        """Enter every image of the inputs into the ledger."""
        context.phase("looking for images")
        ledger, job_id = context.ledger, context.job.id
        self._sweep(context)
        context.workspace.sweep()
        folder = context.workspace.folder("jobs", str(job_id)) / "in"
        # Whoever runs a job holds the lock: unpacked pages of any job were left by a run that died.
        for stale in context.workspace.root.glob("jobs/*/in"):
            shutil.rmtree(stale, ignore_errors=True)
        found = Found()
        sources = find_sources(
            context.job.inputs,
            config.reference_images,
            recursive=config.recursive,
            output=context.job.output,
            unpack_to=folder,
            found=found,
            reading=Reading(config.name_encoding, in_worker(context.check), each_by_itself=True),
        )
        ledger.found(job_id, context.generation, context.watched(sources))
        ledger.drop_old_sources(job_id, context.generation)
        if config.hints:
            found.hints |= hints_in(Path(config.hints))
        for note in found.notes:
            context.note(note)
        for each in by_reason(found.left_out):
            if each.reason == Reason.NO_PICTURE:  # is no loss; anything else may be one
                context.note(each.sentence)
            elif each.reason != Reason.JUNK:
                context.warn(each.sentence)
        return found

    def _sweep(self, context: JobContext) -> None:
        """Remove the unfinished files of a run that died, where nobody but this job writes.

        Those of pages the ledger knows by name, and the engine has removed them already."""
        output = Path(context.job.output)
        own = [beside(context.ledger, context.job), context.workspace.root / "jobs" / str(context.job.id)]
        for stray in [
            *(path for folder in own if not folder.is_symlink() for path in folder.rglob(".*.part")),
            *(path for pattern in (".*.xml.*.part", "*/.*.xml.*.part") for path in output.glob(pattern)),
        ]:
            stray.unlink(missing_ok=True)

    def _examine(self, context: JobContext, config: BatchConfig) -> None:
        context.phase("examining")
        ledger = context.ledger
        # What a person has said nobody needs to guess.
        told = named_pages(context, (*config.as_lineart, *config.as_reference, *config.keep))

        def tasks() -> Iterator[Task]:
            for source in ledger.sources(context.job.id, unexamined=True):
                examine = Examine(source.path, classify=source.key not in told)
                yield Task(str(source.id), examine, timeout_s=config.timeout)

        for chunk in chunks(context.run(tasks()), 50):
            ledger.examined(
                (int(result.id), seen.sha256, stored(seen.facts))
                for result, seen in ((result, examined(result)) for result in chunk)
            )

    def _announce(self, context: JobContext) -> None:
        """Before a long job: how many pages, and whether the disk will do."""
        pages_left = 0
        needed = 0.0
        for item in context.ledger.items(context.job.id, ItemState.PENDING):
            if not item.held:
                pages_left += 1
                needed += work_of(item).pixels * BYTES_PER_PIXEL
        if not pages_left:
            return
        free = shutil.disk_usage(nearest_folder(Path(context.job.output))).free
        text = Message(
            "pages to colour: {count}; about {needed} MB needed, {free} MB free",
            count=pages_left,
            needed=f"{needed / 1e6:.0f}",
            free=f"{free / 1e6:.0f}",
        )
        if needed > free:
            context.warn("{text}: free some space, or the job will stop when the disk is full", text=text)
        else:
            context.note(text)

    def _arrange(self, context: JobContext, config: BatchConfig, backend: Backend) -> None:
        """Have a backend that takes several pages at once say which, and in what order.

        Pages that were arranged before stay so, and one that cannot be surveyed is coloured by itself."""
        if not isinstance(backend, Batching):
            return
        context.phase("looking up references")
        waiting: dict[str | None, list[Item]] = {}
        for item in context.ledger.items(context.job.id, ItemState.PENDING):
            if not item.held and not item.turn and (work := work_of(item)).lost is None:
                waiting.setdefault(work.artefact, []).append(item)
        for key, items in waiting.items():
            if len(items) < 2:
                continue
            artefact = self._learning.artefact(key)
            surveys: dict[int, JsonObject] = {}
            deaths = 0
            tasks = (
                Task(str(item.id), self._survey(item, artefact), timeout_s=config.timeout) for item in items
            )
            for result in context.run(tasks):
                if result.value is not None:
                    surveys[int(result.id)] = result.value
                elif result.failure is None:
                    continue
                elif result.failure.type in ("ValidationError", "ResourceError"):
                    raise BatchProcessingError(result.failure.text)  # of the model: no page can do better
                elif result.died:
                    deaths += 1
                    if deaths == FATAL_DEATHS and not surveys:
                        raise BatchProcessingError(
                            "The backend {name} cannot be started: {text}.",
                            name=backend.name,
                            text=result.failure.text,
                        )
            ids = sorted(surveys)  # one order, whichever survey ended first
            arrange = Arrange(backend.name, [surveys[item_id] for item_id in ids])
            (result,) = context.run([Task("arrange", arrange, here=True)])
            if result.value is None:
                raise BatchProcessingError(result.failure.text if result.failure else NOTHING)
            context.ledger.arrange(
                context.job.id, [[ids[index] for index in batch] for batch in result.value]
            )

    def _survey(self, item: Item, artefact: Path | None) -> Survey:
        work = work_of(item)
        return Survey(work.source, work.backend, str(artefact) if artefact else None, work.settings)

    # -- a page -------------------------------------------------------------------------------------

    def task(self, job: Job, item: Item, part: Path) -> Task:
        work = work_of(item)
        if work.lost is not None:
            return Task(str(item.token), Lost(item.key, work.lost))
        color = Color(
            painting=self._learning.painting(item, work),
            part=str(part),
            format=work.format,
            quality=work.quality,
            documents=documents.parts_of(work.documents, root_of(job), str(item.token)),
            names=work.names,
            palette=work.palette,
            place=(item.place[0], item.place[1]) if item.place else None,
            regions=str(regions.part_of(self._workspace, item)),
            pictures=str(self._workspace.folder("jobs", str(job.id), "thumbs")),
            root=str(self.claim(job, item).root),
        )
        return Task(str(item.token), color, timeout_s=settings_of(job)["timeout"])

    def claim(self, job: Job, item: Item) -> Claim:
        return self._ownership.claim(job, item)

    def accompany(self, job: Job, item: Item) -> JsonObject:
        """A page's documents and regions are final before it is."""
        regions.hand_over(self._workspace, item)
        kept = documents.hand_over(work_of(item).documents, root_of(job), str(item.token))
        return {documents.KEPT: kept} if kept else {}

    # -- the job as a whole -------------------------------------------------------------------------

    def finish(self, context: JobContext) -> dict[str, Any]:
        job, ledger = context.job, context.ledger
        if not self._all_stand(context):
            return dict(job.result)  # the run goes on with the pages that are pending again, and comes back
        regions.forget_others(self._workspace, job.id, ledger.items(job.id))
        deposits = deposits_of(context)
        bindery = Bindery(self._found, self._learning.sets, deposits)
        counts = ledger.counts(job.id)
        # A job that was resumed has planned, and warned, more than once.
        warnings = dict.fromkeys(str(event.data["text"]) for event in ledger.warnings(job.id))
        result = {
            **{name: value for name, value in job.result.items() if name in BOUND},
            "state": (
                JobState.DONE if counts[ItemState.COMPLETED] or not sum(counts.values()) else JobState.FAILED
            ),
            "output": job.output,
            "copied": 0,
            "size": 0,
            "warnings": list(warnings),
            "left_out": [to_plain(each) for each in self._left_out(context)],
            UNUSED: self._unused,
            EDITED: self._edited,
        }
        if settings_of(job)["preview_mode"]:
            result["output"] = bindery.keep_preview(context)
        elif result["state"] == JobState.DONE:
            if Path(job.output).suffix.lower() not in ARCHIVES:
                result["copied"] = bindery.complete_folder(context)
            if (archive := archive_of(job)) is not None:
                result |= bindery.bind(context, archive)
            result["size"] = size_of_output(context)
        if not settings_of(job)["preview_mode"]:
            sets = self._learning.sets
            result["warnings"] += report.write(context, beside(ledger, job), sets, result, deposits)
            result["warnings"] += Series(context).write_palette()
        result["warnings"] += map(str, deposits.warnings)
        result[WRITTEN] = ledger.job(job.id).result.get(WRITTEN, {})
        shutil.rmtree(context.workspace.root / "jobs" / str(job.id) / "in", ignore_errors=True)
        return result

    def _left_out(self, context: JobContext) -> list[LeftOut]:
        """What of the inputs became nothing: files, and references that cannot be read."""
        unread = context.ledger.sources(context.job.id, role=Role.LEFT_OUT)
        return [*self._found.left_out, *(LeftOut(name_of(source), Reason.UNREADABLE) for source in unread)]

    def _all_stand(self, context: JobContext) -> bool:
        """Whether every finished page is still there, which anybody may have removed while the job ran.

        What is missing is made again, once; a page that is gone a second time has failed."""
        gone = [
            item
            for item in context.ledger.items(context.job.id, ItemState.COMPLETED)
            if not item.held and not self._stands(item)
        ]
        for item in gone:
            if item.approved:
                context.warn(
                    "{output} was approved and is gone: it is made again, to be approved again",
                    item.key,
                    output=item.output,
                )
            context.ledger.reset(item.id)
        again = [item for item in gone if item.id not in self._made_again]
        if again:
            self._made_again |= {item.id for item in gone}
            if len(again) == 1:
                context.warn("{output} was removed meanwhile and is made again", output=again[0].output)
            else:
                context.warn(
                    "{count} files were removed meanwhile and are made again: {output} and others",
                    count=len(again),
                    output=again[0].output,
                )
            return False
        if gone:
            lost = {item.id for item in gone}
            context.ledger.settle(
                [
                    Settlement(
                        item.id,
                        str(item.token),
                        ItemState.FAILED,
                        error_type="FileNotFoundError",
                        error=_REMOVED,
                    )
                    if item.id in lost
                    else Settlement(item.id, str(item.token), ItemState.PENDING)
                    for item in context.ledger.claim(
                        context.job.id, context.ledger.counts(context.job.id)[ItemState.PENDING]
                    )
                ]
            )
        return True

    @staticmethod
    def _stands(item: Item) -> bool:
        # A page that was taken over from an earlier run has the documents that it was taken over with.
        documents = () if item.reused else (document.target for document in work_of(item).documents)
        return all(os.path.lexists(path) for path in (item.output, *documents))

    def cancelled(self, context: JobContext) -> None:
        job, ledger = context.job, context.ledger
        regions.forget_others(self._workspace, job.id, ledger.items(job.id))
        # A run that was stopped while it planned has left pages without items, or the items of another plan.
        planned = [source.key for source in ledger.sources(job.id, role=Role.PAGE)]
        if ledger.counts(job.id)[ItemState.COMPLETED] and planned == [
            item.key for item in ledger.items(job.id)
        ]:
            if not self._learning.sets:
                self._learning.key(references_of_job(context))
            left_out = [to_plain(each) for each in self._left_out(context)]
            told = {"state": JobState.CANCELLED, "left_out": left_out}
            report.write(context, beside(ledger, job), self._learning.sets, told, deposits_of(context))
        shutil.rmtree(context.workspace.root / "jobs" / str(job.id) / "in", ignore_errors=True)


def choose_backend(
    name: str, *, flats: bool = False, on_cluster: bool = False
) -> tuple[Backend, Message | None]:
    """The backend of that name; for "auto" cobra where it can run, else flats, and why not cobra. With `flats`, Cobra's
    colours as flats."""
    painter = "cobra-flats" if flats else "cobra"
    if name != "auto":
        return create_backend(painter if name == "cobra" else name), None
    if on_cluster:  # what its machines have shows when they are there
        return create_backend("flats"), Message("on a cluster, only --backend cobra asks for Cobra")
    cobra = create_backend(painter)
    reason = _why_not_cobra(cobra)
    return (create_backend("flats"), reason) if reason else (cobra, None)


def _cluster_pool(backend: Backend, job: Job) -> Pool:
    from ..backends.cobra.backend import DEVICE
    from ..core.cluster.pool import ClusterPool
    from ..core.cluster.slots import Wanted

    settings = settings_of(job)
    memory = settings["worker_memory"] or (0 if backend.exclusive else WORKER_MEMORY)
    on_gpu = backend.exclusive and os.environ.get(DEVICE) != "cpu"
    wanted = Wanted(settings["max_concurrent"], int(on_gpu), memory, settings["files"] == "shared")
    return ClusterPool(
        settings["ray_address"], wanted, memory_limit=settings["worker_memory"] or WORKER_MEMORY
    )


def _why_not_cobra(cobra: Backend) -> Message | None:
    from ..backends.cobra.backend import DEVICE

    if reason := cobra.unavailable():
        return as_message(reason)
    if os.environ.get(DEVICE) == "cpu":
        return Message("with {variable}=cpu, only --backend cobra asks for Cobra", variable=DEVICE)
    return None


def examined(result: Result) -> Examined:
    """What examining an image gave, also where its worker did not come back."""
    if result.value is None:
        text = result.failure.text if result.failure else Message("could not be examined")
        return Examined(None, ImageFacts(error=text))
    seen: Examined = result.value
    return seen
