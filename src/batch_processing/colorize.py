"""The comics application: its door.

`colorize_comic` does a whole comic in one call; `submit` and `run` do it in two, so that another
process can run what was submitted. Everything lasting is in the ledger: the same call again colours
nothing again, and goes on where a killed one stopped. What happens to a comic is in `comic`, what
happens to a page in `pages`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import book, palette
from .bindery import ARCHIVES, beside, root_of
from .comic import WORKER_MEMORY, Comics, examined_facts
from .core.coordinator import Interrupt, OnNews, run_job
from .core.ledger import Job, Source
from .core.workers import LocalPool, Task
from .core.workspace import Workspace, process_identity
from .deposits import Deposits
from .exceptions import (
    QueueError,
    ValidationError,
)
from .io.scan import SUPPORTED_IMAGE_FORMATS
from .logging_config import get_logger

if TYPE_CHECKING:
    from .config import BatchConfig
    from .core.workers import Pool

log = get_logger(__name__)

__all__ = [
    "ARCHIVES",
    "WORKER_MEMORY",
    "Comics",
    "JobResult",
    "beside",
    "classify_inputs",
    "colorize_comic",
    "recolour",
    "result_of",
    "run",
    "submit",
]

# Share of the free memory that pages in flight may need together.
MEMORY_SHARE = 0.8


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
    language: str = "en",
) -> Job:
    """Enter a job into the ledger, checked as far as that is possible without reading an image.

    `suffix` is added to the stem of each coloured page's name; `images` has, by absolute path, the
    "output", "priority" and "config" (settings by name) of single images; `origins` says where each
    setting was made, for the report, which is written in `language` ("en" or "es")."""
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
    if settings.palette:
        palette.read(Path(settings.palette))  # what is wrong with it is said before anything is done
    before = workspace.ledger.find("comics", absolute, target)
    asked = {
        # What a person recoloured stays so until they recolour it again.
        "palette": before.config["palette"] if before else {},
        # What it learned from its own pages is learned again only when it is asked to.
        "memory": before.config.get("memory") if before else None,
        "settings": settings.to_dict(),
        "suffix": suffix,
        "images": dict(images or {}),
        "origins": dict(origins or {}),
        "language": language,
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


def recolour(workspace: Workspace, number: int, file: Path | None = None, *, learn: bool = False) -> None:
    """Give job `number` the colours of a `palette.json`, as the report writes it, for its next run; with `learn`
    that run learns from the job's own pages first, and does all pages but approved ones again.

    ValidationError for a file that is no palette or not this job's, QueueError while the job is running."""
    job = workspace.ledger.job(number)
    if job.alive:
        raise QueueError(f"Job {number} has not ended: recolour it afterwards.")
    config = dict(job.config)
    if learn:
        config["memory"] = {**(config.get("memory") or {}), "wanted": True}
    if file is not None:
        config["palette"] = _said_of_palette(workspace, job, file)
        own = beside(workspace.ledger, job) / "palette.json"
        if own.resolve() == file.resolve():  # changed where the report has put it
            Deposits(workspace.ledger, job, root_of(job)).returned(own)
    workspace.ledger.reconfigure(number, config)


def _said_of_palette(workspace: Workspace, job: Job, file: Path) -> dict[str, Any]:
    said, stored = palette.read(file), job.config["palette"]
    known = set(palette.said(stored))
    for item in workspace.ledger.items(job.id, state="completed"):
        known |= {str(colour["id"]) for colour in (item.details or {}).get("palette", ())}
    if strange := [colour for colour in said if colour not in known]:
        raise ValidationError(
            f"The palette {file}: job {job.id} has no colour {strange[0]}; the palette of another chapter is "
            "given to `lote colorize --palette`."
        )
    return palette.recoloured(stored, said)


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
    inputs: Sequence[str | Path],
    *,
    recursive: bool = False,
    workers: int = 1,
    workspace: str | Path | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(page, facts) of each image, in page order. `facts`: kind, confidence and metrics, or error.

    Archives are unpacked in the workspace for as long as this lasts."""
    with Workspace(workspace).scratch() as folder:
        sources = list(
            book.find(
                [_absolute(path) for path in inputs],
                (),
                recursive=recursive,
                output=str(folder),
                unpack_to=folder,
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
            done[result.id] = examined_facts(result, 0)[2]
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
    for name in ("hints", "palette", "config_file"):
        if values.get(name):
            values[name] = _absolute(values[name])
    return Settings.of(
        BatchConfig(**{name: value for name, value in values.items() if value is not None})
    ).batch_config()


def _check_target(target: Path, *, overwrite: bool) -> None:
    try:
        os.lstat(target)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            size = len(os.fsencode(target))
            raise ValidationError(
                f"The path of the output is too long ({size} bytes, or a name in it of more than 255): choose a "
                "shorter one with -o."
            ) from error
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
