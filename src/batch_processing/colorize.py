"""The comics application: its door.

`colorize_comic` does a whole comic in one call; `submit` and `run` do it in two, so that another
process can run what was submitted. Everything lasting is in the ledger: the same call again colours
nothing again, and goes on where a killed one stopped. What happens to a comic is in
`comics.application`, what happens to a page in `comics.tasks`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .comics import edits
from .comics import palette as palettes
from .comics.application import WORKER_MEMORY, Comics, examined
from .comics.book_place import BookPlace
from .comics.deposits import Deposits
from .comics.edits import EDITED
from .comics.model import (
    ImageFacts,
    ImageRequest,
    LearnedMemory,
    Request,
    facts_of,
    request_of,
    settings_of,
    stored,
)
from .comics.outputs import ARCHIVES, beside, default_name, root_of
from .comics.shelf import absolute
from .comics.sources import Found, Reading, find_sources
from .comics.tasks import Examine
from .core.coordinator import Interrupt, OnNews, run_job
from .core.edits import JOB
from .core.model import ItemState, Job, Source
from .core.plain import from_plain
from .core.processes import process_identity
from .core.workers import LocalPool, Task
from .core.workspace import Workspace
from .exceptions import (
    QueueError,
    ValidationError,
    reason,
)
from .io.kinds import BOOK_SUFFIXES
from .io.publish import nearest_folder
from .io.scan import SUPPORTED_IMAGE_FORMATS
from .logging_config import get_logger
from .messages import Message
from .results import JobResult, PaletteEntry, Region, pages_of, palette_of, result_of, review_of

if TYPE_CHECKING:
    from .config import BatchConfig
    from .config.values import BookSettings
    from .core.workers import Pool

log = get_logger(__name__)

__all__ = [
    "ARCHIVES",
    "EDITED",
    "WORKER_MEMORY",
    "Comics",
    "JobResult",
    "application",
    "beside",
    "classify_inputs",
    "colorize_comic",
    "default_name",
    "layers",
    "palette",
    "recolor",
    "recolor_job",
    "result_of",
    "review",
    "run",
    "submit",
    "with_settings",
]

# As every door of an application has it (core/applications.py).
application = Comics


def colorize_comic(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    references: Sequence[str | Path] = (),
    config: BatchConfig | Mapping[str, Any] | None = None,
    workspace: str | Path | None = None,
    on_news: OnNews | None = None,
    **settings: Unpack[BookSettings],
) -> JobResult:
    """Colour every line-art page of `inputs` into `output`, a folder, .zip or .cbz.

    `inputs`: a folder, an archive, an image, or several of them. `references`: coloured images, folders
    or archives beside the coloured pages found in the inputs. `config`: settings (see
    docs/configuration.md); those that are given by name (`backend="flats"`) go before them. `on_news(events, snapshot)` is
    called four times a second.
    Raises `BatchProcessingError` where nothing could be done; pages that failed are in the result."""
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    opened = Workspace(workspace)
    try:
        job = submit(opened, paths, output, references=references, config=with_settings(config, settings))
        return run(opened, job.id, on_news=on_news)
    finally:
        opened.close()


def with_settings(
    config: BatchConfig | Mapping[str, Any] | None, settings: BookSettings
) -> BatchConfig | Mapping[str, Any] | None:
    """`config`, with what was given by name over it."""
    if not settings:
        return config
    if config is None or isinstance(config, Mapping):
        return {**(config or {}), **settings}
    return {**config.model_dump(mode="json", exclude_unset=True), **settings}


def recolor(
    job: int | JobResult,
    palette: str | Path | None = None,
    *,
    learn: bool = False,
    workspace: str | Path | None = None,
    on_news: OnNews | None = None,
) -> JobResult:
    """Draw the pages of a job that has ended again in the colours of the file `palette`, a `palette.json` as the report
    writes it, without matching anything again; with `learn` after learning from the job's own pages, which does all but approved ones anew.

    ValidationError for a file that is no palette or not this job's, QueueError for a job that has not ended or is not there."""
    number, opened = _job_in(job, workspace)
    try:
        recolor_job(opened, number, None if palette is None else Path(palette), learn=learn)
        opened.ledger.adopt(number, process_identity())
        return run(opened, number, on_news=on_news)
    finally:
        opened.close()


def palette(job: int | JobResult, *, workspace: str | Path | None = None) -> list[PaletteEntry]:
    """The colours of a job, by id, with what people said of them. QueueError for a job that is not there."""
    number, opened = _job_in(job, workspace)
    try:
        return palette_of(opened, opened.ledger.job(number))
    finally:
        opened.close()


def review(job: int | JobResult, *, workspace: str | Path | None = None) -> list[Region]:
    """The regions of a job's pages that a person should look at, the most doubtful first; those of approved pages are done
    with. QueueError for a job that is not there."""
    number, opened = _job_in(job, workspace)
    try:
        return review_of(opened, opened.ledger.job(number))
    finally:
        opened.close()


def layers(
    job: int | JobResult,
    kinds: Sequence[Literal["psd", "ora", "png", "json"]] = ("psd",),
    *,
    by: Sequence[Literal["panel", "color"]] = (),
    workspace: str | Path | None = None,
    on_news: OnNews | None = None,
) -> dict[str, tuple[Path, ...]]:
    """Have a job that has ended write layered documents of its pages, too: the files, by page.

    They are parted `by` panel, by colour, or both. From then on they belong to the job. Approved pages are not done
    again, and get none. QueueError for a job that has not ended or is not there."""
    from .config import BatchConfig

    number, opened = _job_in(job, workspace)
    try:
        row = opened.ledger.job(number)
        if row.alive:
            raise QueueError("Job {job} has not ended: ask for its layers afterwards.", job=number)
        request = request_of(row)
        wanted = BatchConfig(**{**request.settings, "layers": tuple(kinds), "layers_by": tuple(by)})
        opened.ledger.reconfigure(number, stored(replace(request, settings=wanted.to_dict())))
        opened.ledger.adopt(number, process_identity())
        run(opened, number, on_news=on_news)
        return {page.page: page.documents for page in pages_of(opened, number)}
    finally:
        opened.close()


def _job_in(job: int | JobResult, workspace: str | Path | None) -> tuple[int, Workspace]:
    """The number of a job, and the workspace that is named or that a result says. QueueError where there is no ledger."""
    number = job if isinstance(job, int) else job.job
    opened = Workspace(workspace if isinstance(job, int) or workspace is not None else job.workspace)
    if not opened.has_ledger:
        raise QueueError(
            "There is no job in the workspace {root} yet: `lote colorize INPUT` makes one.", root=opened.root
        )
    return number, opened


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
    book: BookPlace | None = None,
) -> Job:
    """Enter a job into the ledger, checked as far as that is possible without reading an image.

    `suffix` is added to the stem of each coloured page's name; `images` has, by absolute path, the
    "output", "priority" and "config" (settings by name) of single images; `origins` says where each
    setting was made, for the report, which is written in `language` ("en" or "es"); `book` is the job's place
    among the books of one command (`library.submit_library`)."""
    if not inputs:
        raise ValidationError("no input: name a folder, a .zip or .cbz, or images")
    paths = list(dict.fromkeys(absolute(path) for path in inputs))
    target = absolute(output)
    for path in paths:
        if not os.path.lexists(path):
            raise ValidationError("{path} does not exist: check the path.", path=path)
        if os.path.realpath(path) == os.path.realpath(target):
            raise ValidationError(
                "The output {target} is the input: choose another output with -o.", target=target
            )
    settings = _settings(config, paths[0], target, references)
    check_output(Path(target))
    if settings.palette:
        palettes.read(Path(settings.palette))  # what is wrong with it is said before anything is done
    before = workspace.ledger.find("comics", paths, target)
    kept = request_of(before) if before else Request({})
    asked = Request(
        settings=settings.to_dict(),
        palette=kept.palette,  # what a person recoloured stays so until they recolour it again
        memory=kept.memory,  # what it learned from its own pages is learned again only when it is asked to
        suffix=suffix,
        images={path: _image_request(path, said) for path, said in (images or {}).items()},
        origins=dict(origins or {}),
        language=language,
        book=book,
    )
    job = workspace.ledger.submit(
        "comics", paths, target, stored(asked), priority=priority, owner=process_identity()
    )
    if settings_of(job) != asked.settings:
        log.warning(
            "job %d is at work on this already, with other settings: this command follows it; give it again "
            "afterwards for the new settings",
            job.id,
        )
    return job


def recolor_job(
    workspace: Workspace,
    job_id: int,
    file: Path | None = None,
    *,
    learn: bool = False,
    keep: Collection[str] = (),
) -> None:
    """Give job `job_id` the colours of a `palette.json`, as the report writes it, for its next run; with `learn`
    that run learns from the job's own pages first, and does all pages but approved ones again, and but those of `keep`.

    ValidationError for a file that is no palette or not this job's, QueueError while the job is running."""
    job = workspace.ledger.job(job_id)
    if job.alive:
        raise QueueError("Job {job} has not ended: recolour it afterwards.", job=job_id)
    request = request_of(job)
    if learn:
        before = request.memory or LearnedMemory()
        apart = {page: before.of(page) for page in sorted(keep)}
        request = replace(request, memory=replace(before, wanted=True, apart=apart))
    if file is not None:
        request = replace(request, palette=_said_of_palette(workspace, job, file))
        own = beside(workspace.ledger, job) / "palette.json"
        if own.resolve() == file.resolve():  # changed where the report has put it
            Deposits(workspace.ledger, job, root_of(job)).returned(own)
    workspace.ledger.reconfigure(job_id, stored(request))
    if file is not None:  # the newer word: what was said of the palette before is in there
        workspace.ledger.edits.settle(job_id, JOB, edits.PALETTE)


def _said_of_palette(workspace: Workspace, job: Job, file: Path) -> dict[str, Any]:
    kept = edits.palette_with(request_of(job).palette, workspace.ledger.edits.of(job.id, JOB))
    said = palettes.read(file)
    known = set(palettes.said(kept))
    for item in workspace.ledger.items(job.id, ItemState.COMPLETED):
        known |= {str(color["id"]) for color in (item.details or {}).get("palette", ())}
    if strange := [color for color in said if color not in known]:
        raise ValidationError(
            "The palette {file}: job {job} has no colour {strange}; the palette of another chapter is "
            "given to `lote colorize --palette`.",
            file=file,
            job=job.id,
            strange=strange[0],
        )
    return palettes.recolored(kept, said)


def run(
    workspace: Workspace, job_id: int, *, on_news: OnNews | None = None, interrupt: Interrupt | None = None
) -> JobResult:
    """Run, go on with, or follow job `job_id` until it ends."""
    from .memory import MemoryManager
    from .upkeep import trim_cache

    budget = MemoryManager().budget()
    quiet: OnNews = lambda events, snapshot: None  # noqa: E731
    comics = Comics(workspace)
    try:
        run_job(workspace, job_id, comics, on_news=on_news or quiet, interrupt=interrupt, budget=budget)
    finally:
        trim_cache(workspace)
    return result_of(workspace, job_id)


def classify_inputs(
    inputs: Sequence[str | Path],
    *,
    recursive: bool = False,
    name_encoding: str | None = None,
    workers: int = 1,
    workspace: str | Path | None = None,
) -> Iterator[tuple[str, ImageFacts]]:
    """(page, facts) of each image, in page order.

    `name_encoding` is that of names of which an archive does not say it; None: it is found out. Archives are unpacked
    in the workspace for as long as this lasts."""
    from .config import BatchConfig

    with Workspace(workspace).scratch() as folder:
        config = BatchConfig(input_dir=str(inputs[0]), output_dir=str(folder), name_encoding=name_encoding)
        sources = list(
            find_sources(
                [absolute(path) for path in inputs],
                (),
                recursive=recursive,
                output=str(folder),
                unpack_to=folder,
                found=Found(),
                reading=Reading(config.name_encoding, each_by_itself=True),
            )
        )
        pool = LocalPool(workers, memory_limit=WORKER_MEMORY)
        try:
            yield from _examined(pool, sorted(sources, key=lambda source: source.sort))
        finally:
            pool.close()


def _examined(pool: Pool, sources: list[Source]) -> Iterator[tuple[str, ImageFacts]]:
    """Each source as soon as it and all before it are examined."""
    done: dict[str, ImageFacts] = {}
    submitted = given = 0
    while given < len(sources):
        while submitted < len(sources) and pool.free:
            source = sources[submitted]
            if source.facts is not None:  # known already: that it cannot be read
                done[str(submitted)] = facts_of(source)
            else:
                pool.submit(Task(str(submitted), Examine(source.path), timeout_s=60.0))
            submitted += 1
        if pool.free < pool.slots:
            done |= {result.id: examined(result).facts for result in pool.completed(1.0)}
        while str(given) in done:
            yield sources[given].key, done.pop(str(given))
            given += 1


def _image_request(path: str, said: Mapping[str, Any]) -> ImageRequest:
    try:
        if strange := said.keys() - {field.name for field in fields(ImageRequest)}:
            raise ValueError(Message("there is no {name}", name=min(strange)))  # noqa: TRY301
        return from_plain(ImageRequest, dict(said))
    except ValueError as error:
        raise ValidationError(
            "What is asked for the image {path} cannot be understood: {error}.", path=path, error=error
        ) from error


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
    values["reference_images"] = [absolute(path) for path in listed]
    for name in ("hints", "palette", "config_file"):
        if values.get(name):
            values[name] = absolute(values[name])
    return Settings.of(
        BatchConfig(**{name: value for name, value in values.items() if value is not None})
    ).batch_config()


def check_output(target: Path) -> None:
    """ValidationError where a job cannot write at `target`, as far as that can be told beforehand."""
    try:
        os.lstat(target)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            size = len(os.fsencode(target))
            raise ValidationError(
                "The path of the output is too long ({size} bytes, or a name in it of more than 255): choose "
                "a shorter one with -o.",
                size=size,
            ) from error
    suffix = target.suffix.lower()
    if suffix in SUPPORTED_IMAGE_FORMATS or suffix in BOOK_SUFFIXES.difference(ARCHIVES):
        if not target.is_dir():
            raise ValidationError(
                "The output {target} must be a folder, a .zip or a .cbz: name one with -o.", target=target
            )
    elif suffix in ARCHIVES:
        if target.is_dir():
            raise ValidationError(
                "The output {target} is a folder although its name ends in {suffix}.",
                target=target,
                suffix=target.suffix,
            )
        target = target.parent
    elif target.exists() and not target.is_dir():
        raise ValidationError(
            "The output {target} is a file: name a folder, or an archive ending in .zip or .cbz.",
            target=target,
        )
    _check_folder(target)


def _check_folder(folder: Path) -> None:
    """ValidationError where a folder cannot be made or written: found out by a file that no one sees, because on some
    file systems permission is no proof."""
    import tempfile

    existing = nearest_folder(folder)
    missing = [path for path in (folder, *folder.parents) if existing in path.parents]
    if broken := [path for path in missing if path.is_symlink()]:
        raise ValidationError(
            "The output {target} is a link that leads nowhere: choose another output with -o.",
            target=broken[-1],
        )
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=".lote-"):
            pass
    except OSError as error:
        raise ValidationError(
            "The output folder {folder} cannot be written ({fault}): choose another with -o.",
            folder=existing,
            fault=reason(error),
        ) from error
