"""What happens to one comic: the `Application` of comics jobs.

    find the images -> examine each in a worker -> decide what each is for -> learn the references
    -> arrange the pages, where the backend takes several at once -> colour them -> hand over (bindery)

`Comics.plan`, `task` and `finish` are the main job; the rest of the class is how.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import book, learning, pages, palette, report
from .backends import create as create_backend
from .backends.base import Batching
from .bindery import (
    ARCHIVES,
    BOUND,
    Bindery,
    archive_of,
    beside,
    root_of,
)
from .core.coordinator import Desk
from .core.ledger import Item, ItemSpec, Job, Settlement, Source, chunks
from .core.workers import LocalPool, Result, Task
from .core.workspace import Kind, Workspace
from .deposits import WRITTEN
from .exceptions import (
    BatchProcessingError,
    ConfigurationError,
    ValidationError,
    reason,
)
from .io.archives import LARGEST_HINTS
from .io.images import output_format
from .io.outputs import (
    NameReservation,
    expect,
    hash_file,
)
from .learning import PAGE_SETTINGS, Learning
from .ownership import Ownership, deposits_of

if TYPE_CHECKING:
    from .backends.base import Backend
    from .config import BatchConfig
    from .config.effective import Settings
    from .core.workers import Pool


# What a worker may take at most. Ordinary pages need less than a gigabyte; the 256 million pixels that
# are let in need some five.
WORKER_MEMORY = 6 << 30
# So many pages, one after the other, that take their worker down twice before any was surveyed: it is the model.
FATAL_DEATHS = 3
# A coloured page needs about this many bytes a pixel on disk (measured on flats over line art, PNG).
BYTES_PER_PIXEL = 0.6
_REMOVED = "its file was removed while the job ran, and again after it was made anew"


class Comics:
    """The `Application` of comics jobs."""

    kind: Kind = "comics"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._settings: Settings | None = None
        self._backend: Backend = create_backend("noop")
        self._why: str | None = None
        self._learning = Learning(workspace, self._backend)
        self._found = book.Found()
        self._made_again: set[int] = set()  # items whose files were removed while the job ran
        self._ownership = Ownership(workspace)

    def pool(self, job: Job) -> Pool:
        settings = job.config["settings"]
        self._backend, self._why = _choose(settings["backend"])
        self._learning = Learning(self._workspace, self._backend)
        self._ownership.before_recovery(job)
        if self._backend.exclusive:
            # CUDA reserves far more address space than it uses, so that no limit can be set on it.
            return LocalPool(1, memory_limit=settings["worker_memory"] or 0)
        return LocalPool(settings["max_concurrent"], memory_limit=settings["worker_memory"] or WORKER_MEMORY)

    # -- planning -----------------------------------------------------------------------------------

    def plan(self, desk: Desk) -> None:
        from .config import BatchConfig
        from .config.effective import Settings

        config = BatchConfig(**desk.job.config["settings"])
        self._settings = Settings.of(config)
        backend = self._backend
        if why_not := backend.unavailable():
            raise ConfigurationError(f"The backend {backend.name} cannot run here: {why_not}")
        if self._why:
            desk.note(f"backend flats: {self._why}")
        elif config.backend == "auto":
            desk.note("backend cobra: its model and a GPU are here")
        self._found = found = self._find(desk, config)
        self._examine(desk, config)
        self._assign(desk, config)
        references = learning.of_job(desk)
        self._learning.plan_palette(desk, config, references)
        if backend.needs_references and not references and not found.hints and not config.palette:
            images = sum(1 for _ in desk.ledger.sources(desk.job.id))
            raise ValidationError(
                f"no coloured reference among {images} images: add --references, or name one with --as-reference"
            )
        self._learning.remember(desk)
        desk.phase("planning")
        specs = self._specs(desk, config, backend, references, found)
        guarded = self._ownership.guarded(desk, config, specs, found)
        desk.ledger.plan(desk.job.id, desk.generation, desk.watched(guarded))
        desk.ledger.drop_old_items(desk.job.id, desk.generation)
        self._announce(desk)
        self._learning.learn(desk)
        self._ownership.prove(desk, found, self.task)
        self._arrange(desk, config, backend)

    def _find(self, desk: Desk, config: BatchConfig) -> book.Found:
        """Enter every image of the inputs into the ledger."""
        desk.phase("looking for images")
        ledger, number = desk.ledger, desk.job.id
        self._sweep(desk)
        desk.workspace.sweep()
        folder = desk.workspace.folder("jobs", str(number)) / "in"
        # Whoever runs a job holds the lock: unpacked pages of any job were left by a run that died.
        for stale in desk.workspace.root.glob("jobs/*/in"):
            shutil.rmtree(stale, ignore_errors=True)
        found = book.Found()
        sources = book.find(
            desk.job.inputs,
            config.reference_images,
            recursive=config.recursive,
            output=desk.job.output,
            unpack_to=folder,
            found=found,
        )
        ledger.found(number, desk.generation, desk.watched(sources))
        ledger.drop_old_sources(number, desk.generation)
        if config.hints:
            found.hints |= book.hints_in(Path(config.hints))
        return found

    def _sweep(self, desk: Desk) -> None:
        """Remove the unfinished files of a run that died, where nobody but this job writes.

        Those of pages the ledger knows by name, and the engine has removed them already."""
        output = Path(desk.job.output)
        own = [beside(desk.ledger, desk.job), desk.workspace.root / "jobs" / str(desk.job.id)]
        for stray in [
            *(path for folder in own if not folder.is_symlink() for path in folder.rglob(".*.part")),
            *output.glob(".ComicInfo.xml.*.part"),
        ]:
            stray.unlink(missing_ok=True)

    def _examine(self, desk: Desk, config: BatchConfig) -> None:
        desk.phase("examining")
        ledger = desk.ledger
        told = (*config.as_lineart, *config.as_reference)  # what a person has said nobody needs to guess

        def tasks() -> Iterator[Task]:
            for source in ledger.sources(desk.job.id, unexamined=True):
                yield Task(
                    str(source.id),
                    "batch_processing.pages:examine",
                    {"path": source.path, "classify": not pages.matches(source.key, told)},
                    timeout_s=config.timeout,
                )

        for chunk in chunks(desk.run(tasks()), 50):
            ledger.examined(examined_facts(result, int(result.id)) for result in chunk)

    def _assign(self, desk: Desk, config: BatchConfig) -> None:
        """Decide what each image is for."""
        from .classification.classifier import ASK_BELOW

        assert self._settings is not None  # noqa: S101 - plan sets it first
        counts = {"page": 0, "copy": 0, "kept": 0}

        def roles() -> Iterator[tuple[int, str]]:
            for source in desk.ledger.sources(desk.job.id):
                facts = source.facts or {}
                role = self._role(source, config)
                if role in counts:
                    counts[role] += 1
                if role == "reference" and "error" in facts:
                    desk.warn(f"the reference {source.path} is left out: {facts['error']}", source.key)
                    role = "left out"
                sure = facts.get("confidence", 1.0) >= ASK_BELOW
                if source.origin == "references" or book.is_reference_folder(source.key):
                    if facts.get("kind") == "line_art" and sure:
                        desk.warn(
                            f"the reference {source.path} looks like line art: no page takes colours from it",
                            source.key,
                        )
                elif "kind" in facts and not sure:
                    kind = "line art" if facts["kind"] == "line_art" else "coloured"
                    desk.warn(
                        f"{source.key} was taken for {kind} with a confidence of {facts['confidence']:.0%}: "
                        "say otherwise with --as-lineart or --as-reference",
                        source.key,
                    )
                yield source.id, role

        desk.ledger.assign(list(roles()))
        self._settings.warn_unused(source.key for source in desk.ledger.sources(desk.job.id))
        if not counts["page"]:
            total = counts["copy"] + counts["kept"]
            raise ValidationError(
                f"no line art among {total} images: all of them are coloured or skipped; "
                "name pages with --as-lineart GLOB"
            )

    def _role(self, source: Source, config: BatchConfig) -> str:
        assert self._settings is not None  # noqa: S101
        facts = source.facts or {}
        if source.origin == "references" or book.is_reference_folder(source.key):
            return "reference"
        if self._settings.page(source.key).skip:
            return "kept"
        if pages.matches(source.key, config.as_lineart):
            return "page"
        coloured = pages.matches(source.key, config.as_reference) or facts.get("kind") == "colored"
        if coloured and "error" not in facts:
            return "reference" if config.drop_references else "copy"
        return "page"  # also what cannot be read: it fails by itself, and is named

    def _specs(
        self,
        desk: Desk,
        config: BatchConfig,
        backend: Backend,
        references: list[tuple[str, str]],
        found: book.Found,
    ) -> Iterator[ItemSpec]:
        from .config.settings import parse_pages
        from .memory import MemoryManager

        assert self._settings is not None  # noqa: S101
        memory = MemoryManager()
        ledger, number = desk.ledger, desk.job.id
        names = NameReservation(
            source.key for role in ("copy", "kept") for source in ledger.sources(number, role=role)
        )
        document_names = NameReservation()
        chosen = parse_pages(config.pages) if config.pages else None
        previewed = found_any = False
        known = self._learning
        colours, given = palette.drawn(known.palette), palette.anchors(known.palette)
        named = palette.names(known.palette) if config.layers and "color" in config.layers_by else {}
        sets: dict[tuple[str, ...], str | None] = {}
        known.sets = {}
        ordinal = 0
        root = self._pages_folder(desk)
        layers = beside(desk.ledger, desk.job) / "layers"
        for source in ledger.sources(number):
            if source.role not in ("page", "copy", "kept"):
                continue
            ordinal += 1
            if source.role != "page":
                continue
            facts = source.facts or {}
            options = self._settings.page(source.key)
            said = desk.job.config["images"].get(source.path, {})
            settings = {name: getattr(options, name) for name in PAGE_SETTINGS}
            by = list(config.layers_by) if config.layers else []
            settings |= {"keep_ink": config.keep_ink, "layers": bool(config.layers), "layers_by": by}
            settings |= {
                name: value for name, value in (said.get("config") or {}).items() if name in settings
            }
            own = tuple(options.references or ())
            if own not in sets:
                sets[own] = known.key(learning.of_page(own) if own else references)
            learned = sets[own]
            # Ids are the job's: colours that only this page's references show are numbered after the others.
            first = sets.setdefault((), known.key(references)) if own else None
            asked = chosen is None or any(ordinal in some for some in chosen)
            size = (facts.get("width", 1), facts.get("height", 1))
            written = output_format(config.format, *size)
            hints = book.hint_for(source.key, found.hints)
            stem, _, _ = source.key.rpartition(".")
            name = names.reserve(f"{stem}{desk.job.config['suffix']}.{written}", f".{written}")
            documents = self._documents(
                desk, config, layers, document_names.reserve(name, ".psd").removesuffix(".psd"), size
            )
            found_out = {
                "input": source.sha256,
                "backend": [backend.name, backend.version],
                "references": learned,
                "hints": _hash_of_hints(Path(hints)) if hints else None,
                "ids": [given, bool(own), first],
                # A page with references of its own, such as a night, is not the others' business, nor they its.
                "memory": None if own else known.memory,
            }
            yield ItemSpec(
                key=source.key,
                ordinal=ordinal,
                input_hash=source.sha256 or "",
                fingerprint=pages.fingerprint(
                    **found_out,
                    settings=settings,
                    palette=colours,
                    format=written,
                    documents=[kind for kind, _, _ in documents],
                    names=named,
                ),
                work={
                    "source": source.path, "name": name, "settings": settings, "artefact": learned, "hints": hints,
                    "format": written, "backend": backend.name, "version": backend.version,
                    "pixels": size[0] * size[1], "documents": documents, "names": named, "palette": colours,
                    "single": bool(own), "first": first, "state": pages.fingerprint(**found_out),
                },
                output=said.get("output") or str(root / name),
                priority=said.get("priority", options.priority),
                cost=memory.estimate_memory_required(
                    size, references=len(references), backend=backend.name, top_k=settings["top_k"]
                ),
                held=previewed or not asked,
            )  # fmt: skip
            found_any = found_any or asked
            previewed = config.preview_mode and found_any
        if not found_any:
            raise ValidationError(
                f"--pages {config.pages} names no line art: the input has {ordinal} pages, counted from 1"
            )

    def _documents(
        self, desk: Desk, config: BatchConfig, folder: Path, stem: str, size: tuple[int, int]
    ) -> list[tuple[str, str, str]]:
        """The layered documents of a page: kind, file, and the file that remembers what we wrote there."""
        from .io.layers import PSD_SIDE

        memory = desk.workspace.root / "jobs" / str(desk.job.id) / "documents"
        documents: list[tuple[str, str, str]] = []
        for kind in config.layers:
            if kind == "psd" and max(size) > PSD_SIDE:
                desk.warn(
                    f"{stem} is too large for a PSD (at most {PSD_SIDE} pixels a side): use --layers ora"
                )
                continue
            target = str(folder / f"{stem}.{kind}")
            documents.append((kind, target, str(memory / pages.fingerprint(target=target))))
        return documents

    def _announce(self, desk: Desk) -> None:
        """Before a long job: how many pages, and whether the disk will do."""
        pages_left = 0
        needed = 0.0
        for item in desk.ledger.items(desk.job.id, state="pending"):
            if not item.held:
                pages_left += 1
                needed += item.work["pixels"] * BYTES_PER_PIXEL
        if not pages_left:
            return
        folder = Path(desk.job.output)
        while not folder.is_dir():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        text = f"{pages_left} pages to colour; about {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free"
        if needed > free:
            desk.warn(f"{text}: free some space, or the job will stop when the disk is full")
        else:
            desk.note(text)

    def _arrange(self, desk: Desk, config: BatchConfig, backend: Backend) -> None:
        """Have a backend that takes several pages at once say which, and in what order.

        Pages that were arranged before stay so, and one that cannot be surveyed is coloured by itself."""
        if not isinstance(backend, Batching):
            return
        desk.phase("looking up references")
        waiting: dict[str | None, list[Item]] = {}
        for item in desk.ledger.items(desk.job.id, state="pending"):
            if not item.held and not item.turn:
                waiting.setdefault(item.work["artefact"], []).append(item)
        for key, items in waiting.items():
            if len(items) < 2:
                continue
            artefact = self._learning.artefact(key)
            surveys: dict[int, dict[str, Any]] = {}
            deaths = 0
            tasks = (
                Task(
                    str(item.id),
                    "batch_processing.pages:survey",
                    {
                        "source": item.work["source"],
                        "backend": backend.name,
                        "artefact": str(artefact) if artefact else None,
                        "settings": item.work["settings"],
                    },
                    timeout_s=config.timeout,
                )
                for item in items
            )
            for result in desk.run(tasks):
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
                            f"The backend {backend.name} cannot be started: {result.failure.text}."
                        )
            ids = sorted(surveys)  # one order, whichever survey ended first
            told = {"backend": backend.name, "surveys": [surveys[number] for number in ids]}
            (result,) = desk.run([Task("arrange", "batch_processing.pages:arrange", told)])
            if result.value is None:
                raise BatchProcessingError(result.failure.text if result.failure else "")
            desk.ledger.arrange(
                desk.job.id, [[ids[number] for number in batch] for batch in result.value["batches"]]
            )

    def _pages_folder(self, desk: Desk) -> Path:
        """Finished pages of an archive stay in the workspace, so that a rerun redoes only changes."""
        if Path(desk.job.output).suffix.lower() in ARCHIVES:
            return desk.workspace.root / "jobs" / str(desk.job.id) / "pages"
        return Path(desk.job.output)

    # -- a page -------------------------------------------------------------------------------------

    def task(self, job: Job, item: Item, part: Path) -> Task:
        work = item.work
        claim = self._ownership.claim(job, item)
        expect(Path(item.output), claim)
        return Task(
            str(item.token),
            "batch_processing.pages:colour",
            {
                **self._learning.painting(item),
                "part": str(part),
                "format": work["format"],
                "documents": work["documents"],
                "names": work["names"],
                "palette": work["palette"],
                "place": item.place,
                "root": str(claim.root),
                "documents_root": str(root_of(job)),
                "pictures": (str(self._workspace.folder("jobs", str(job.id), "thumbs")), item.input_hash),
            },
            timeout_s=job.config["settings"]["timeout"],
            together="batch_processing.pages:colour_together",
        )

    # -- the job as a whole -------------------------------------------------------------------------

    def finish(self, desk: Desk) -> dict[str, Any]:
        job, ledger = desk.job, desk.ledger
        if not self._all_stand(desk):
            return dict(job.result)  # the run goes on with the pages that are pending again, and comes back
        deposits = deposits_of(desk)
        bindery = Bindery(self._found, self._learning.sets, deposits)
        counts = ledger.counts(job.id)
        # A job that was resumed has planned, and warned, more than once.
        warnings = dict.fromkeys(event.data["text"] for event in ledger.warnings(job.id, job.submitted_at))
        result = {
            **{name: value for name, value in job.result.items() if name in BOUND},
            "state": "done" if counts["completed"] or not sum(counts.values()) else "failed",
            "output": job.output,
            "copied": 0,
            "warnings": list(warnings),
            "left_out": self._found.left_out,
        }
        if job.config["settings"]["preview_mode"]:
            result["output"] = bindery.keep_preview(desk)
        elif result["state"] == "done":
            if Path(job.output).suffix.lower() not in ARCHIVES:
                result["copied"] = bindery.complete_folder(desk)
            if (archive := archive_of(job)) is not None:
                result |= bindery.bind(desk, archive)
        if not job.config["settings"]["preview_mode"]:
            sets = self._learning.sets
            result["warnings"] += report.write(desk, beside(ledger, job), sets, result, deposits)
        result["warnings"] += deposits.warnings
        result[WRITTEN] = ledger.job(job.id).result.get(WRITTEN, {})
        shutil.rmtree(desk.workspace.root / "jobs" / str(job.id) / "in", ignore_errors=True)
        return result

    def _all_stand(self, desk: Desk) -> bool:
        """Whether every finished page is still there, which anybody may have removed while the job ran.

        What is missing is made again, once; a page that is gone a second time has failed."""
        gone = [
            item
            for item in desk.ledger.items(desk.job.id, state="completed")
            if not item.held and not self._stands(item)
        ]
        for item in gone:
            if item.approved:
                desk.warn(
                    f"{item.output} was approved and is gone: it is made again, to be approved again",
                    item.key,
                )
            desk.ledger.reset(item.id)
        again = [item for item in gone if item.id not in self._made_again]
        if again:
            self._made_again |= {item.id for item in gone}
            desk.warn(
                f"{again[0].output}{' and others' * (len(again) > 1)} was removed meanwhile and is made again"
            )
            return False
        if gone:
            lost = {item.id for item in gone}
            desk.ledger.settle(
                [
                    Settlement(
                        item.id, str(item.token), "failed", error_type="FileNotFoundError", error=_REMOVED
                    )
                    if item.id in lost
                    else Settlement(item.id, str(item.token), "pending")
                    for item in desk.ledger.claim(desk.job.id, desk.ledger.counts(desk.job.id)["pending"])
                ]
            )
        return True

    @staticmethod
    def _stands(item: Item) -> bool:
        # A page that was taken over from an earlier run has the documents that it was taken over with.
        documents = () if item.reused else (file for _, file, _ in item.work["documents"])
        return all(os.path.lexists(path) for path in (item.output, *documents))

    def cancelled(self, desk: Desk) -> None:
        job, ledger = desk.job, desk.ledger
        # A run that was stopped while it planned has left pages without items, or the items of another plan.
        planned = [source.key for source in ledger.sources(job.id, role="page")]
        if ledger.counts(job.id)["completed"] and planned == [item.key for item in ledger.items(job.id)]:
            if not self._learning.sets:
                self._learning.key(learning.of_job(desk))
            told = {"state": "cancelled"}
            report.write(desk, beside(ledger, job), self._learning.sets, told, deposits_of(desk))
        shutil.rmtree(desk.workspace.root / "jobs" / str(job.id) / "in", ignore_errors=True)


def _hash_of_hints(path: Path) -> str:
    """What stands for hints in a fingerprint. Those that cannot be read are the business of the worker, and cost
    their page."""
    try:
        return hash_file(path, limit=LARGEST_HINTS)
    except OSError as error:
        return f"unreadable: {reason(error)}"


def _choose(name: str) -> tuple[Backend, str | None]:
    """The backend of that name; for "auto" cobra where it can run, else flats, and why not cobra."""
    if name != "auto":
        return create_backend(name), None
    cobra = create_backend("cobra")
    reason = _why_not_cobra(cobra)
    return (create_backend("flats"), reason) if reason else (cobra, None)


def _why_not_cobra(cobra: Backend) -> str | None:
    from .backends.cobra.backend import DEVICE

    if reason := cobra.unavailable():
        return reason
    if os.environ.get(DEVICE) == "cpu":
        return f"with {DEVICE}=cpu, only --backend cobra asks for Cobra"
    return None


def examined_facts(result: Result, source_id: int) -> tuple[int, str | None, dict[str, Any]]:
    if result.value is None:
        text = result.failure.text if result.failure else "could not be examined"
        return source_id, None, {"error": text}
    return source_id, result.value["sha256"], result.value["facts"]
