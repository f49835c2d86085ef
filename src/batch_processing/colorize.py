"""The comics application: what happens to one comic.

    find the images -> examine each in a worker -> decide what each is for -> learn the references
    -> colour page by page -> copy what is passed through -> bind the archive, write the metadata

`colorize_comic` does it in one call. Everything lasting is in the ledger: the same call again
colours nothing again, and goes on where a killed one stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__, book, pages, report
from .backends import create as create_backend
from .backends.base import Recolouring
from .core.coordinator import Desk, Interrupt, OnNews, run_job
from .core.ledger import Item, ItemSpec, Job, Source, chunks
from .core.workers import LocalPool, Result, Task
from .core.workspace import Kind, Workspace, process_identity
from .exceptions import (
    BatchProcessingError,
    ConfigurationError,
    OutputExistsError,
    QueueError,
    ResourceError,
    ValidationError,
)
from .io.images import output_format
from .io.outputs import (
    METADATA_NAME,
    NameReservation,
    SaveFile,
    comic_info,
    fsync_dir,
    hash_file,
    metadata_json,
    part_path,
    publish,
)
from .io.scan import SUPPORTED_IMAGE_FORMATS
from .logging_config import get_logger

if TYPE_CHECKING:
    from .backends.base import Backend
    from .config import BatchConfig
    from .config.effective import Settings
    from .core.workers import Pool

log = get_logger(__name__)

ARCHIVES = (".zip", ".cbz")
PAGE_SETTINGS = ("style", "seed", "num_inference_steps", "top_k")
# What a worker may take at most. Ordinary pages need less than a gigabyte; the 256 million pixels that
# are let in need some five.
WORKER_MEMORY = 6 << 30
# Share of the free memory that pages in flight may need together.
MEMORY_SHARE = 0.8
# A coloured page needs about this many bytes a pixel on disk (measured on flats over line art, PNG).
BYTES_PER_PIXEL = 0.6


@dataclass(frozen=True)
class JobResult:
    """What became of a job. `failures` are (page, sentence); `output` the folder or the archive."""

    job: int
    state: str
    output: str
    total: int
    completed: int
    failed: int
    cancelled: int
    reused: int
    copied: int
    seconds: float
    failures: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """What the command `lote` ends with: 0 all done, 1 nothing done, 3 some failed, 4 cancelled."""
        if self.state == "cancelled":
            return 4
        if self.state == "failed":
            return 1
        return 3 if self.failed else 0


def colorize_comic(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    references: Sequence[str | Path] = (),
    config: BatchConfig | Mapping[str, Any] | None = None,
    workspace: str | Path | None = None,
    on_news: OnNews | None = None,
) -> JobResult:
    """Colour every line-art page of `inputs` into `output`, a folder, .zip or .cbz.

    `inputs`: a folder, an archive, an image, or several of them. `references`: coloured images, folders
    or archives beside the coloured pages found in the inputs. `config`: settings (see
    docs/configuration.md). `on_news(events, snapshot)` is called four times a second.
    Raises `BatchProcessingError` where nothing could be done; pages that failed are in the result."""
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    place = Workspace(workspace)
    try:
        job = submit(place, paths, output, references=references, config=config)
        return run(place, job.id, on_news=on_news)
    finally:
        place.close()


def submit(
    workspace: Workspace,
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    references: Sequence[str | Path] = (),
    config: BatchConfig | Mapping[str, Any] | None = None,
    priority: int = 0,
    suffix: str = "",
    images: Mapping[str, Mapping[str, Any]] | None = None,
    origins: Mapping[str, str] | None = None,
) -> Job:
    """Enter a job into the ledger, checked as far as that is possible without reading an image.

    `suffix` is added to the stem of each coloured page's name; `images` has, by absolute path, the
    "output", "priority" and "config" (settings by name) of single images; `origins` says where each
    setting was made, for the report."""
    if not inputs:
        raise ValidationError("no input: name a folder, a .zip or .cbz, or images")
    absolute = list(dict.fromkeys(_absolute(path) for path in inputs))
    target = _absolute(output)
    for path in absolute:
        if not os.path.lexists(path):
            raise ValidationError(f"{path} does not exist: check the path.")
        if os.path.realpath(path) == os.path.realpath(target):
            raise ValidationError(f"The output {target} is the input: choose another output with -o.")
    settings = _settings(config, absolute[0], target, references)
    _check_target(Path(target), overwrite=settings.overwrite)
    before = workspace.ledger.find("comics", absolute, target)
    asked = {
        # What a person recoloured stays so until they recolour it again.
        "palette": before.config["palette"] if before else {},
        "settings": settings.to_dict(),
        "suffix": suffix,
        "images": dict(images or {}),
        "origins": dict(origins or {}),
    }
    job = workspace.ledger.submit(
        "comics", absolute, target, asked, priority=priority, owner=process_identity()
    )
    if job.config["settings"] != asked["settings"]:
        log.warning(
            "job %d is at work on this already, with other settings: this command follows it; give it again "
            "afterwards for the new settings",
            job.id,
        )
    return job


def recolour(workspace: Workspace, number: int, palette: Path) -> None:
    """Give job `number` the colours of a `palette.json`, as the report writes it, for its next run.

    ValidationError for a file that is no palette, QueueError while the job is running."""
    job = workspace.ledger.job(number)
    if job.alive:
        raise QueueError(f"Job {number} has not ended: recolour it afterwards.")
    workspace.ledger.reconfigure(
        number, {**job.config, "palette": job.config["palette"] | read_palette(palette)}
    )


def read_palette(path: Path) -> dict[str, dict[str, Any]]:
    """The colours of a `palette.json`: by id, "rgb" (three numbers from 0 to 255) and "name" where it has one."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationError(f"The palette {path} cannot be read: {error}") from error
    colours: dict[str, dict[str, Any]] = {}
    listed = written.get("colors") if isinstance(written, dict) else None
    for entry in listed if isinstance(listed, list) else [None]:
        rgb = entry.get("rgb") if isinstance(entry, dict) else None
        right = isinstance(rgb, list) and len(rgb) == 3 and all(type(v) is int and 0 <= v <= 255 for v in rgb)
        if not isinstance(entry, dict) or not right or type(entry.get("id")) is not int:
            raise ValidationError(
                f"The palette {path} must hold 'colors', a list like {{'id': 3, 'rgb': [200, 30, 40]}}: "
                f"{json.dumps(entry)[:80]} is none."
            )
        colours[str(entry["id"])] = {"rgb": rgb} | ({"name": entry["name"]} if entry.get("name") else {})
    return colours


def run(
    workspace: Workspace, number: int, *, on_news: OnNews | None = None, interrupt: Interrupt | None = None
) -> JobResult:
    """Run, go on with, or follow job `number` until it ends."""
    from .memory import MemoryManager
    from .upkeep import trim_cache

    budget = int(MemoryManager().available_bytes() * MEMORY_SHARE)
    quiet: OnNews = lambda events, snapshot: None  # noqa: E731
    comics = Comics(workspace)
    try:
        run_job(workspace, number, comics, on_news=on_news or quiet, interrupt=interrupt, budget=budget)
    finally:
        trim_cache(workspace)
    return result_of(workspace, number)


def result_of(workspace: Workspace, number: int) -> JobResult:
    """What the ledger knows of a job, ended or not."""
    job, counts = workspace.ledger.job(number), workspace.ledger.counts(number)
    failures = [(item.key, item.error or "") for item in workspace.ledger.items(number, state="failed")]
    return JobResult(
        job=number,
        state=job.state,
        output=job.result.get("output", job.output),
        total=sum(counts.values()),
        completed=counts["completed"],
        failed=counts["failed"],
        cancelled=counts["cancelled"],
        reused=workspace.ledger.reused(number),
        copied=job.result.get("copied", 0),
        seconds=round((job.finished_at or 0) - job.started_at, 3)
        if job.started_at and job.finished_at
        else 0.0,
        failures=failures,
        warnings=job.result.get("warnings", []),
    )


def classify_inputs(
    inputs: Sequence[str | Path], *, recursive: bool = False, workers: int = 1
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(page, facts) of each image, in page order. `facts`: kind, confidence and metrics, or error."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lote-") as folder:
        sources = list(
            book.find(
                [_absolute(path) for path in inputs],
                (),
                recursive=recursive,
                output=folder,
                unpack_to=Path(folder),
                found=book.Found(),
            )
        )
        pool = LocalPool(workers, memory_limit=WORKER_MEMORY)
        try:
            yield from _examined(pool, sorted(sources, key=lambda source: source.sort))
        finally:
            pool.close()


def _examined(pool: Pool, sources: list[Source]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each source as soon as it and all before it are examined."""
    done: dict[str, dict[str, Any]] = {}
    submitted = given = 0
    while given < len(sources):
        while submitted < len(sources) and submitted - given - len(done) < pool.slots:
            args = {"path": sources[submitted].path, "classify": True}
            pool.submit(Task(str(submitted), "batch_processing.pages:examine", args, timeout_s=60.0))
            submitted += 1
        for result in pool.completed(1.0):
            done[result.id] = _facts(result, 0)[2]
        while str(given) in done:
            yield sources[given].key, done.pop(str(given))
            given += 1


def _absolute(path: str | Path) -> str:
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - links in a path are the user's own


def _settings(
    config: BatchConfig | Mapping[str, Any] | None, first: str, output: str, references: Sequence[str | Path]
) -> BatchConfig:
    from .config import BatchConfig
    from .config.effective import Settings

    # What was not set in code can still be set by the configuration file.
    if isinstance(config, BatchConfig):
        values = config.model_dump(mode="json", exclude_unset=True)
    else:
        values = dict(config or {})
    values |= {"input_dir": first, "output_dir": output}
    listed = [*values.get("reference_images", ()), *references]
    values["reference_images"] = [_absolute(path) for path in listed]
    for name in ("hints", "config_file"):
        if values.get(name):
            values[name] = _absolute(values[name])
    return Settings.of(
        BatchConfig(**{name: value for name, value in values.items() if value is not None})
    ).batch_config()


def _check_target(target: Path, *, overwrite: bool) -> None:
    suffix = target.suffix.lower()
    if suffix in SUPPORTED_IMAGE_FORMATS or suffix in (".cbr", ".rar", ".cb7", ".7z", ".pdf", ".tar"):
        if not target.is_dir():
            raise ValidationError(
                f"The output {target} must be a folder, a .zip or a .cbz: name one with -o."
            )
    elif suffix in ARCHIVES:
        if target.is_dir():
            raise ValidationError(
                f"The output {target} is a folder although its name ends in {target.suffix}."
            )
        target = target.parent
    elif target.exists() and not target.is_dir():
        raise ValidationError(
            f"The output {target} is a file: name a folder, or an archive ending in .zip or .cbz."
        )
    existing = target
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ValidationError(f"The output folder {existing} cannot be written: choose another with -o.")


class Comics:
    """The `Application` of comics jobs."""

    kind: Kind = "comics"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._settings: Settings | None = None
        self._backend: Backend = create_backend("noop")
        self._why = ""
        self._sets: dict[str, list[tuple[str, str]]] = {}
        self._found = book.Found()

    def pool(self, job: Job) -> Pool:
        settings = job.config["settings"]
        self._backend, self._why = _choose(settings["backend"])
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
        if reason := backend.unavailable():
            raise ConfigurationError(f"The backend {backend.name} cannot run here: {reason}")
        if self._why:
            desk.note(self._why)
        self._found = found = self._find(desk, config)
        self._examine(desk, config)
        self._assign(desk, config)
        references = self._references(desk)
        if backend.needs_references and not references and not found.hints:
            images = sum(1 for _ in desk.ledger.sources(desk.job.id))
            raise ValidationError(
                f"no coloured reference among {images} images: add --references, or name one with --as-reference"
            )
        desk.phase("planning")
        specs = self._specs(desk, config, backend, references, found)
        desk.ledger.plan(desk.job.id, desk.generation, desk.watched(self._guarded(desk, config, specs)))
        desk.ledger.drop_old_items(desk.job.id, desk.generation)
        self._announce(desk)
        self._learn_all(desk, backend)

    def _find(self, desk: Desk, config: BatchConfig) -> book.Found:
        """Enter every image of the inputs into the ledger."""
        desk.phase("looking for images")
        ledger, number = desk.ledger, desk.job.id
        self._sweep(desk)
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
        own = [beside(output), desk.workspace.root / "jobs" / str(desk.job.id)]
        for stray in [
            *(path for folder in own for path in folder.rglob(".*.part")),
            *output.glob(".ComicInfo.xml.*.part"),
        ]:
            stray.unlink(missing_ok=True)

    def _examine(self, desk: Desk, config: BatchConfig) -> None:
        desk.phase("examining")
        ledger = desk.ledger

        def tasks() -> Iterator[Task]:
            for source in ledger.sources(desk.job.id, unexamined=True):
                yield Task(
                    str(source.id),
                    "batch_processing.pages:examine",
                    {"path": source.path, "classify": not self._told(source, config)},
                    timeout_s=config.timeout,
                )

        for chunk in chunks(desk.run(tasks()), 50):
            ledger.examined(_facts(result, int(result.id)) for result in chunk)

    def _told(self, source: Source, config: BatchConfig) -> bool:
        """Whether a person has said what this image is, so that nobody needs to guess."""
        return (
            source.origin == "references"
            or book.is_reference_folder(source.key)
            or pages.matches(source.key, (*config.as_lineart, *config.as_reference))
        )

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
                if facts.get("confidence", 1.0) < ASK_BELOW and "kind" in facts:
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

    def _references(self, desk: Desk) -> list[tuple[str, str]]:
        """(path, hash) of the job's references, each content once, in an order that names cannot change."""
        by_hash: dict[str, str] = {}
        for role in ("reference", "copy"):
            for source in desk.ledger.sources(desk.job.id, role=role):
                if source.sha256 and "error" not in (source.facts or {}):
                    by_hash.setdefault(source.sha256, source.path)
        return sorted(((path, sha256) for sha256, path in by_hash.items()), key=lambda pair: pair[1])

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
        previewed = False
        palette = {number: colour["rgb"] for number, colour in desk.job.config["palette"].items()}
        if palette and not isinstance(backend, Recolouring):
            raise ConfigurationError(f"The backend {backend.name} has no palette to recolour.")
        sets: dict[tuple[str, ...], str | None] = {}
        self._sets = {}
        ordinal = 0
        root = self._pages_folder(desk)
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
            settings |= {"keep_ink": config.keep_ink, "layers": bool(config.layers)}
            settings |= {
                name: value for name, value in (said.get("config") or {}).items() if name in settings
            }
            own = tuple(options.references or ())
            if own not in sets:
                sets[own] = self._set(desk, backend, self._own_references(own) if own else references)
            learned = sets[own]
            size = (facts.get("width", 1), facts.get("height", 1))
            written = output_format(config.format, *size)
            hints = book.hint_for(source.key, found.hints)
            stem, _, _ = source.key.rpartition(".")
            name = names.reserve(f"{stem}{desk.job.config['suffix']}.{written}", f".{written}")
            documents = self._documents(
                desk, config, document_names.reserve(name, ".psd").removesuffix(".psd"), size
            )
            found_out = {
                "input": source.sha256,
                "backend": [backend.name, backend.version],
                "references": learned,
                "hints": hash_file(Path(hints)) if hints else None,
            }
            yield ItemSpec(
                key=source.key,
                ordinal=ordinal,
                input_hash=source.sha256 or "",
                fingerprint=pages.fingerprint(
                    **found_out,
                    settings=settings,
                    palette=palette,
                    format=written,
                    documents=[kind for kind, _, _ in documents],
                ),
                work={
                    "source": source.path, "name": name, "settings": settings, "artefact": learned, "hints": hints,
                    "format": written, "backend": backend.name, "version": backend.version,
                    "pixels": size[0] * size[1], "documents": documents, "palette": palette,
                    "state": pages.fingerprint(**found_out),
                },
                output=said.get("output") or str(root / name),
                priority=said.get("priority", options.priority),
                cost=memory.estimate_memory_required(
                    size, references=len(references), backend=backend.name
                ),
                held=previewed or (chosen is not None and not any(ordinal in some for some in chosen)),
            )  # fmt: skip
            previewed = config.preview_mode

    def _documents(
        self, desk: Desk, config: BatchConfig, stem: str, size: tuple[int, int]
    ) -> list[tuple[str, str, str]]:
        """The layered documents of a page: kind, file, and the file that remembers what we wrote there."""
        from .io.layers import PSD_SIDE

        folder = beside(Path(desk.job.output)) / "layers"
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

    def _own_references(self, paths: tuple[str, ...]) -> list[tuple[str, str]]:
        """References that a page's settings name."""
        listed = []
        for text in paths:
            path = Path(text)
            if not path.is_file():
                raise ConfigurationError(f"The reference {path} of the configuration file is not a file.")
            listed.append((text, hash_file(path)))
        return sorted(listed, key=lambda pair: pair[1])

    def _set(self, desk: Desk, backend: Backend, references: list[tuple[str, str]]) -> str | None:
        """The key under which what is learned from these references is kept."""
        if not references:
            return None
        key = pages.fingerprint(
            backend=[backend.name, backend.version], references=[sha for _, sha in references]
        )
        self._sets[key] = references
        return key

    def _artefact(self, backend: str, key: str | None) -> Path | None:
        return self._workspace.root / "cache" / "references" / f"{backend}-{key}.bin" if key else None

    def _learn_all(self, desk: Desk, backend: Backend) -> None:
        """Learn each set of references that a page still needs, unless it was learned before."""
        desk.phase("learning the references")
        needed = {
            item.work["artefact"] for item in desk.ledger.items(desk.job.id, state="pending") if not item.held
        }
        config = desk.job.config["settings"]
        settings = {name: config[name] for name in PAGE_SETTINGS}
        tasks = []
        for key, references in self._sets.items():
            artefact = self._artefact(backend.name, key)
            if artefact is None or key not in needed:
                continue
            if artefact.exists():
                os.utime(artefact)  # the cache keeps what was used last
                continue
            tasks.append(
                Task(
                    key,
                    "batch_processing.pages:learn",
                    {
                        "backend": backend.name,
                        "references": references,
                        "settings": settings,
                        "artefact": str(artefact),
                    },
                    timeout_s=config["timeout"],
                )
            )
        for result in desk.run(tasks):
            if result.failure is not None:
                raise BatchProcessingError(f"The references cannot be used: {result.failure.text}")

    # -- outputs that are not ours ------------------------------------------------------------------

    def _pages_folder(self, desk: Desk) -> Path:
        """Finished pages of an archive stay in the workspace, so that a rerun redoes only changes."""
        if Path(desk.job.output).suffix.lower() in ARCHIVES:
            return desk.workspace.root / "jobs" / str(desk.job.id) / "pages"
        return Path(desk.job.output)

    def _guarded(self, desk: Desk, config: BatchConfig, specs: Iterator[ItemSpec]) -> Iterator[ItemSpec]:
        """The specs, each with what the file at its output says; OutputExistsError for foreign files."""
        foreign: list[str] = []
        for chunk in chunks(specs, 200):
            owners = desk.ledger.owners_of([spec.output for spec in chunk])
            for spec in chunk:
                path = Path(spec.output)
                owner = owners.get(spec.output)
                ours = owner is not None and owner.job_id == desk.job.id
                if not os.path.lexists(path):
                    yield replace(spec, redo=True)
                    continue
                if ours and owner is not None and owner.output_hash:
                    edited = hash_file(path) != owner.output_hash
                    if edited and not owner.forced and not config.overwrite:
                        desk.warn(
                            f"{path} was changed since Lote wrote it and is left alone: "
                            f"`lote retry {desk.job.id} --page {spec.key}` redoes it",
                            spec.key,
                        )
                        yield replace(spec, keep=True)
                        continue
                elif not config.overwrite:
                    foreign.append(spec.output)
                    if len(foreign) > 3:
                        break
                complete = all(os.path.lexists(file) for _, file, _ in spec.work["documents"])
                yield replace(spec, redo=not complete and not (owner and owner.approved))
            if foreign:
                break
        target = _archive_of(desk.job)
        if target is not None and target.exists() and not config.overwrite:
            written = {desk.job.result.get("output_hash"), desk.job.result.get("previous_hash")}
            if hash_file(target) not in written:
                foreign.append(str(target))
        for path, source in self._passed_through(desk):
            if config.overwrite or not os.path.lexists(path):
                continue
            if hash_file(path) not in (source.sha256, source.written):
                foreign.append(str(path))
                break
        if foreign:
            others = " and others" if len(foreign) > 1 else ""
            raise OutputExistsError(
                f"{foreign[0]}{others} was not written by this job: choose another output with -o, "
                "or replace it with --overwrite."
            )

    def _passed_through(self, desk: Desk) -> Iterator[tuple[Path, Source]]:
        """Where images that stay as they are belong, in an output folder."""
        if Path(desk.job.output).suffix.lower() in ARCHIVES:
            return
        for role in ("copy", "kept"):
            for source in desk.ledger.sources(desk.job.id, role=role):
                yield Path(desk.job.output) / source.key, source

    # -- a page -------------------------------------------------------------------------------------

    def task(self, job: Job, item: Item, part: Path) -> Task:
        work = item.work
        artefact = self._artefact(work["backend"], work["artefact"])
        return Task(
            str(item.token),
            "batch_processing.pages:colour",
            {
                "source": work["source"],
                "name": item.key,
                "part": str(part),
                "backend": work["backend"],
                "artefact": str(artefact) if artefact else None,
                "settings": work["settings"],
                "hints": work["hints"],
                "format": work["format"],
                "documents": work["documents"],
                "state": str(self._workspace.root / "cache" / "states" / f"{work['state']}.zip"),
                "palette": work["palette"],
            },
            timeout_s=job.config["settings"]["timeout"],
        )

    # -- the job as a whole -------------------------------------------------------------------------

    def finish(self, desk: Desk) -> dict[str, Any]:
        job, ledger = desk.job, desk.ledger
        counts = ledger.counts(job.id)
        # A job that was resumed has planned, and warned, more than once.
        warnings = dict.fromkeys(event.data["text"] for event in ledger.warnings(job.id, job.submitted_at))
        result = {
            **{name: value for name, value in job.result.items() if name in _BOUND},
            "state": "done" if counts["completed"] or not sum(counts.values()) else "failed",
            "output": job.output,
            "copied": 0,
            "warnings": list(warnings),
            "left_out": self._found.left_out,
        }
        if job.config["settings"]["preview_mode"]:
            result["output"] = self._keep_preview(desk)
        elif result["state"] == "done":
            if Path(job.output).suffix.lower() not in ARCHIVES:
                result["copied"] = self._complete_folder(desk)
            if (archive := _archive_of(job)) is not None:
                result |= self._bind(desk, archive)
        if not job.config["settings"]["preview_mode"]:
            result["warnings"] += report.write(desk, beside(Path(job.output)), self._sets, result)
        shutil.rmtree(desk.workspace.root / "jobs" / str(job.id) / "in", ignore_errors=True)
        return result

    def _keep_preview(self, desk: Desk) -> str:
        """Copy the page that was coloured to where a person looks for the preview."""
        for item in desk.ledger.items(desk.job.id, state="completed"):
            if not item.held:
                target = beside(Path(desk.job.output)) / f"preview{Path(item.output).suffix}"
                with SaveFile(target) as file, Path(item.output).open("rb") as page:
                    shutil.copyfileobj(page, file)
                return str(target)
        return desk.job.output

    def _complete_folder(self, desk: Desk) -> int:
        """Put what is passed through beside the pages, and write the metadata."""
        desk.phase("copying what stays as it is")
        folder = Path(desk.job.output)
        copies = {str(path): source for path, source in self._passed_through(desk)}
        tasks = []
        for text, source in copies.items():
            path = Path(text)
            if not (os.path.lexists(path) and hash_file(path) == source.sha256):
                part = part_path(path, self._token(desk))
                tasks.append(
                    Task(text, "batch_processing.pages:copy", {"source": source.path, "part": str(part)})
                )
        for result in desk.run(tasks):
            if result.failure is not None:
                raise ResourceError(f"{copies[result.id].path} cannot be copied: {result.failure.text}")
            publish(part_path(Path(result.id), self._token(desk)), Path(result.id))
            fsync_dir(Path(result.id).parent)
            desk.ledger.copied(copies[result.id].id, str(result.value and result.value["sha256"]))
        if info := self._comic_info(desk):
            with SaveFile(folder / "ComicInfo.xml") as file:
                file.write(info)
        with SaveFile(beside(folder) / METADATA_NAME) as file:
            for line in self._metadata(desk):
                file.write(line)
        return len(copies)

    def _bind(self, desk: Desk, target: Path) -> dict[str, Any]:
        """Write the archive, unless it stands there already with exactly this content."""
        desk.phase("binding the archive")
        job = desk.job
        folder = desk.workspace.folder("jobs", str(job.id))
        with SaveFile(folder / METADATA_NAME) as file:
            for line in self._metadata(desk):
                file.write(line)
        members: list[tuple[str, str, str]] = []
        if info := self._comic_info(desk):
            with SaveFile(folder / "ComicInfo.xml") as file:
                file.write(info)
            members.append(("ComicInfo.xml", str(folder / "ComicInfo.xml"), ""))
        members.append((METADATA_NAME, str(folder / METADATA_NAME), ""))
        copied = 0
        digest = hashlib.sha256()
        with SaveFile(folder / "listing") as file:
            for name, path, sha256, is_copy in self._members(desk, members):
                copied += is_copy
                file.write((json.dumps([name, path]) + "\n").encode())
                digest.update(json.dumps([name, sha256 or hash_file(Path(path))]).encode())
        before = {name: job.result.get(name) for name in _BOUND}
        if (
            before["listing"] == digest.hexdigest()
            and target.is_file()
            and hash_file(target) == before["output_hash"]
        ):
            return {**before, "copied": copied}
        part = part_path(target, self._token(desk))
        part.parent.mkdir(parents=True, exist_ok=True)
        task = Task(
            "bind", "batch_processing.pages:bind", {"part": str(part), "listing": str(folder / "listing")}
        )
        try:
            for result in desk.run([task]):
                if result.value is None:
                    text = result.failure.text if result.failure else ""
                    raise ResourceError(f"The archive {target} cannot be written: {text}")
                bound = {
                    "output_hash": result.value["sha256"],
                    "previous_hash": before["output_hash"],
                    "listing": digest.hexdigest(),
                }
                # The intent first: a kill right after the rename must not make our own archive a stranger's.
                desk.ledger.set_job(job.id, result={**job.result, **bound})
                publish(part, target)
                fsync_dir(target.parent)
        finally:
            part.unlink(missing_ok=True)
        return {**bound, "copied": copied}

    def _members(
        self, desk: Desk, first: list[tuple[str, str, str]]
    ) -> Iterator[tuple[str, str, str | None, bool]]:
        """(name, file, hash, passed through) of everything in the archive, in page order."""
        for name, path, sha256 in first:
            yield name, path, sha256 or None, False
        ledger, number = desk.ledger, desk.job.id
        items = ledger.items(number)
        names = NameReservation(
            [item.work["name"] for item in ledger.items(number, state="completed")]
            + [source.key for role in ("copy", "kept") for source in ledger.sources(number, role=role)]
        )
        for source in ledger.sources(number):
            if source.role in ("copy", "kept"):
                yield source.key, source.path, source.sha256, True
            elif source.role == "page":
                item = next(items)
                if item.state == "completed":
                    yield item.work["name"], item.output, item.output_hash, False
                elif source.sha256:  # its original stands in its place
                    suffix = Path(source.key).suffix
                    stem = item.work["name"].rpartition(".")[0]
                    yield names.reserve(f"{stem}{suffix}"), source.path, source.sha256, False

    def _token(self, desk: Desk) -> str:
        """The same for every run of this job: what a killed run left is overwritten by the next."""
        return pages.fingerprint(workspace=str(desk.workspace.root), job=desk.job.id)[:16]

    def _comic_info(self, desk: Desk) -> bytes | None:
        """The book's ComicInfo.xml, no longer black and white; a damaged one is left out, with a warning."""
        if self._found.comic_info is None:
            return None
        try:
            return comic_info(Path(self._found.comic_info).read_bytes())
        except ValidationError as error:
            desk.warn(f"ComicInfo.xml is left out: {error}")
            return None

    def _metadata(self, desk: Desk) -> Iterator[bytes]:
        """`processing_metadata.json` line by line: a book of any length, one page in memory.

        Nothing in it depends on a clock (but the job's creation), on a folder's name or on an accident."""
        job, ledger = desk.job, desk.ledger
        settings = {
            name: value for name, value in job.config["settings"].items() if name not in _LOCAL_SETTINGS
        }
        counts = ledger.counts(job.id)
        created = float(os.environ.get("SOURCE_DATE_EPOCH") or job.created_at)
        head = {
            "software": f"lote {__version__}",
            "created_at": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
            "inputs": [Path(path).name for path in job.inputs],
            "settings": settings,
            "counts": {name: counts[name] for name in ("completed", "failed", "cancelled")},
            "left_out": self._found.left_out,
        }
        yield metadata_json(head).rstrip(b"}\n") + b',\n  "pages": [\n'
        items = ledger.items(job.id)
        first = True
        for source in ledger.sources(job.id):
            if source.role in (None, "left out"):
                continue
            item = next(items) if source.role == "page" else None
            entry = json.dumps(_page_metadata(source, item, self._sets), sort_keys=True, ensure_ascii=False)
            yield (b"" if first else b",\n") + b"    " + entry.encode("utf-8", "backslashreplace")
            first = False
        yield b"\n  ]\n}\n"


def beside(output: Path) -> Path:
    """The folder for everything but pages: `OUT/_lote` for a folder, `book.lote` for `book.cbz`."""
    return output.with_suffix(".lote") if output.suffix.lower() in ARCHIVES else output / "_lote"


def _archive_of(job: Job) -> Path | None:
    """The archive that the job makes: its output, or one inside of its output folder (`output_as_zip`)."""
    from .config import BatchConfig

    if Path(job.output).suffix.lower() in ARCHIVES:
        return Path(job.output)
    config = BatchConfig(**job.config["settings"])
    return Path(job.output) / config.zip_name if config.output_as_zip else None


# What binding an archive leaves in `Job.result`.
_BOUND = ("output_hash", "previous_hash", "listing")
# Settings that say how and where a job ran, not what came of it.
_LOCAL_SETTINGS = (
    "input_dir", "output_dir", "reference_images", "max_concurrent", "overwrite", "hints", "config_file",
    "worker_memory", "timeout", "preview_mode", "input_is_zip",
)  # fmt: skip


def _choose(name: str) -> tuple[Backend, str]:
    """The backend of that name, and, for "auto", which it is and why."""
    if name != "auto":
        return create_backend(name), ""
    cobra = create_backend("cobra")
    if reason := cobra.unavailable():
        return create_backend("flats"), f"backend flats: {reason}"
    return cobra, "backend cobra: its model and a GPU are here"


def _page_metadata(
    source: Source, item: Item | None, sets: dict[str, list[tuple[str, str]]]
) -> dict[str, Any]:
    facts = source.facts or {}
    entry: dict[str, Any] = {
        "source": source.key if source.origin == "input" else Path(source.path).name,
        "role": source.role,
        "input_sha256": source.sha256,
        **{
            name: facts[name]
            for name in ("kind", "confidence", "metrics", "width", "height")
            if name in facts
        },
    }
    if item is not None:
        done = item.state == "completed"
        entry |= {
            "state": item.state,
            "output": item.work["name"] if done else None,
            "output_sha256": item.output_hash if done else None,
            "backend": item.work["backend"],
            "backend_version": item.work["version"],
            "settings": item.work["settings"],
            "references": [sha256 for _, sha256 in sets.get(item.work["artefact"] or "", [])],
            "result": _told(item) if done else None,
            "error": item.error,
        }
    elif "error" in facts:
        entry["error"] = facts["error"]
    return entry


def _told(item: Item) -> dict[str, Any]:
    """What the backend told of the page, without what happened to its documents on this machine."""
    return {name: value for name, value in (item.details or {}).items() if name != "kept_documents"}


def _facts(result: Result, source_id: int) -> tuple[int, str | None, dict[str, Any]]:
    if result.value is None:
        text = result.failure.text if result.failure else "could not be examined"
        return source_id, None, {"error": text}
    return source_id, result.value["sha256"], result.value["facts"]
