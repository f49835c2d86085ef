"""From a draft to a job, and what a person does with a finished page: another try, hints, download.

Everything lasting goes through the ledger: what this module starts, `lote status` shows.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...backends import create as create_backend
from ...backends.base import Editing
from ...colorize import ARCHIVES, beside, submit
from ...comics.application import choose_backend
from ...comics.model import ImageFacts, facts_of, request_of, settings_of, work_of
from ...comics.report.layout import PARTS
from ...comics.shelf import Book, Shelf, below, default_output
from ...comics.sources import hints_in, kind_of_input, tops_of
from ...config.settings import built_in, check_values
from ...core.model import TERMINAL, Item, ItemState, Job, Role, Source
from ...core.plain import to_plain
from ...core.tuning import tuned
from ...core.workspace import Workspace
from ...exceptions import ConfigurationError, QueueError, ValidationError
from ...io.name_encoding import archive_names
from ...io.publish import METADATA_NAME, SaveFile, write_zip
from ...library import shelf_of, submit_library
from ...messages import joined
from .. import background
from .drafts import Draft, OwnSettings, private
from .paths import ConfigFile, Roots, Settings, absolute_paths, is_inside
from .wishes import ChapterForm, PageValues, RedoValues

if TYPE_CHECKING:
    from .pictures import Pictures

HINTS_LIMIT = 64 << 20  # bytes of a PNG of strokes: far more than strokes need, far less than memory
PREVIEWS = "previews"


def page_settings(values: PageValues, draft: Draft) -> OwnSettings:
    """Settings for one page. ConfigurationError for wrong ones, ValidationError for a reference that the draft has
    not."""
    given = values.settings()
    if keys := given.pop("reference_images"):
        known = {picture.key: picture.source.path for picture in draft.gallery("reference")}
        if strange := [key for key in keys if key not in known]:
            raise ValidationError("There is no reference {strange} in this chapter.", strange=strange[0])
        given["reference_images"] = [known[key] for key in keys]
    return OwnSettings(**_right(given))


def _right(given: Settings) -> Settings:
    right, problems = check_values(given)
    if problems:
        raise ConfigurationError(joined((text for _, text in problems), "; "))
    return {name: right[name] for name in given}


@dataclass(frozen=True)
class Chapter:
    """The settings of a chapter, its paths checked: `values` by name (with "form": folder, zip or cbz), those only
    that differ from the built-in ones, so that a configuration file fills the others; `content` of that file."""

    values: Settings
    output: str | None
    content: ConfigFile


def chapter(roots: Roots, form: ChapterForm) -> Chapter:
    """What the form says. ValidationError for a path outside of the roots."""
    paths = {name: getattr(form, name) or "" for name in ("output", "config_file", "palette")}
    output, config_file, palette = (roots.typed(path) if path.strip() else None for path in paths.values())
    values = form.model_dump(exclude=set(paths)) | {"palette": palette}
    changed = {
        name: value
        for name, value in values.items()
        if name == "form" or (value not in (None, "", []) and value != built_in(name))
    }
    return Chapter(changed, output, roots.configuration(config_file))


def start(
    workspace: Workspace, roots: Roots, draft: Draft, form: Chapter, language: str
) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Make the draft a job and have it run: its number, and the process if one was needed.

    `language`: of the report. ValidationError where a link in the inputs leads out of the roots."""
    if not draft.inputs:
        raise ValidationError("There are no pages yet: drop some, or type the path of a folder.")
    mine = [path for path in draft.inputs if draft.folder in (Path(path), *Path(path).parents)]
    theirs = [path for path in draft.inputs if path not in mine]
    if link := roots.way_out(theirs, recursive=draft.recursive):
        raise ValidationError(
            "{link} is a link out of the folders that this page may use: take it away, or start lote ui "
            "with --root.",
            link=link,
        )
    values = dict(form.values)
    kind = values.pop("form", "folder")
    _with_palette(values, draft)
    config = {"max_concurrent": tuned(workspace).workers} | values | {"recursive": draft.recursive}
    private(draft.folder)
    if (shelf := _shelf(workspace, draft, form.output, kind)) is not None:
        return _start_books(workspace, draft, form, shelf, config, language)
    said = _Said(draft.configuration(form.content), draft.moved("page"), draft.moved("reference"))
    target = form.output or _default_output(draft, kind)
    config |= said.settings(draft.folder / "settings.json")
    return _running(workspace, submit(workspace, draft.inputs, target, config=config, language=language))


def _with_palette(values: Settings, draft: Draft) -> None:
    """The palette that was dropped, where none was named, for backends that have one."""
    if draft.palette is not None and values.get("backend") != "noop":
        values.setdefault("palette", str(draft.palette))


@dataclass(frozen=True)
class _Said:
    """What was said of single images of a draft, by path."""

    content: ConfigFile
    pages: list[str]
    references: list[str]

    def moved(self, top: str, below: str) -> _Said:
        """The same of the images that begin with `top`, as they are called where they begin with `below`."""

        def inside(keys: Iterable[str]) -> list[str]:
            return [below + key.removeprefix(top) for key in keys if key.startswith(top)]

        images = {
            below + key.removeprefix(top) if key.startswith(top) else key: said
            for key, said in self.content.images.items()
        }
        return _Said(ConfigFile(self.content.default, images), inside(self.pages), inside(self.references))

    def settings(self, file: Path) -> Settings:
        """The settings of a job that say so; those of single images are written into `file`."""
        with SaveFile(file) as settings:
            settings.write(json.dumps(to_plain(self.content)).encode())
        return {"config_file": str(file), "as_lineart": self.pages, "as_reference": self.references}


def _shelf(workspace: Workspace, draft: Draft, output: str | None, kind: str) -> Shelf | None:
    """The books of a draft that is several, a job for each; None where it is one, or is to be bound into one."""
    if output is not None and Path(output).suffix.lower() in ARCHIVES:
        return None
    uploaded = any(draft.folder in Path(path).parents for path in draft.inputs)
    return shelf_of(
        workspace, draft.inputs, output or (draft.folder / "results" if uploaded else None), kind=kind
    )


def _start_books(
    workspace: Workspace, draft: Draft, form: Chapter, shelf: Shelf, config: Settings, language: str
) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Make each book of a draft a job; the first is shown, all are in the list. As they were looked at together, so
    they share their references."""
    said = _Said(draft.configuration(form.content), draft.moved("page"), draft.moved("reference"))
    inputs = draft.inputs
    tops = dict(zip(inputs, tops_of(inputs, [kind_of_input(Path(path)) for path in inputs]), strict=True))

    def own(book: Book) -> Settings:
        if book.path not in tops:  # of a folder of books, of which no image was shown
            return {}
        file = draft.folder / f"settings-{inputs.index(book.path)}.json"
        return said.moved(tops[book.path], below(book)).settings(file)

    jobs = submit_library(
        workspace, shelf, config=config, language=language, series=shelf.output is not None, own=own
    )
    numbers = [one.job for one in jobs.books if one.job is not None]
    started = [_running(workspace, workspace.ledger.job(number)) for number in numbers]
    return numbers[0], next((child for _number, child in started if child is not None), None)


def preview(
    workspace: Workspace, roots: Roots, draft: Draft, key: str, form: Chapter
) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Colour one page of the draft into the workspace, as a small job of its own."""
    values = {name: v for name, v in form.values.items() if name not in ("form", "layers", "layers_by")}
    pages = draft.gallery("page")
    page = next((picture for picture in pages if picture.key == key), pages[0] if pages else None)
    if page is None:
        raise ValidationError("There is no line art to try: drop some pages.")
    chosen = [picture.source.path for picture in draft.gallery("reference") if draft.chosen(picture)]
    for path in (page.source.path, *chosen):
        if not roots.hold(path, draft.folder):
            roots.below(path)
    folder = workspace.folder(PREVIEWS, draft.folder.name)
    with SaveFile(folder / "draft.json") as file:
        file.write(json.dumps({"key": page.key}).encode())
    name = Path(page.source.path).name
    own = draft.pages.get(page.key, OwnSettings()).told()
    content = ConfigFile(form.content.default, {name: form.content.images.get(page.key, {}) | own})
    settings = folder / "settings.json"
    with SaveFile(settings) as file:
        file.write(json.dumps(to_plain(content)).encode())
    _with_palette(values, draft)
    values |= {"config_file": str(settings), "as_lineart": [name], "overwrite": True}
    return _running(
        workspace,
        submit(
            workspace, [page.source.path], folder / "out", references=chosen, config=values, priority=1000
        ),
    )


def _running(workspace: Workspace, job: Job) -> tuple[int, subprocess.Popen[bytes] | None]:
    if job.alive and job.owner is not None and job.owner.get("pid") != os.getpid():
        return job.id, None
    return job.id, background.begin(workspace, job.id)


def is_preview(workspace: Workspace, job: Job) -> bool:
    return job.output.startswith(str(workspace.root / PREVIEWS) + os.sep)


def _default_output(draft: Draft, kind: str) -> str:
    """`<input>_colorized`: beside the input, or among the results of the workspace for what was uploaded."""
    first = Path(draft.inputs[0])
    beside_input = Path(default_output(first, kind))
    uploaded = draft.folder in first.parents or first == draft.folder
    return str(draft.folder / "results" / beside_input.name if uploaded else beside_input)


# -- another try at a page ----------------------------------------------------------------------------


def redo(
    workspace: Workspace, job_id: int, keys: Sequence[str], values: RedoValues
) -> subprocess.Popen[bytes] | None:
    """Do pages again, with other settings of their own when there are any. QueueError for a page that the job
    has not finished; nothing is kept then."""
    job = _at_rest(workspace, job_id)
    finished = {item.key for item in workspace.ledger.items(job_id) if item.state in TERMINAL}
    if strange := [key for key in keys if key not in finished]:
        raise QueueError("Job {job} has no finished page {page}.", job=job_id, page=strange[0])
    changes: Settings = {}
    if given := _right(values.settings()):
        content = _content_of(job).with_images(dict.fromkeys(keys, given))
        settings = workspace.folder("jobs", str(job_id)) / "settings.json"
        with SaveFile(settings) as file:
            file.write(json.dumps(to_plain(content)).encode())
        changes["config_file"] = str(settings)
    workspace.ledger.retry(job_id, keys=list(keys))
    return _again(workspace, job, changes)


def _content_of(job: Job) -> ConfigFile:
    """The job's configuration file, which whoever submitted the job was free to choose."""
    config_file = settings_of(job).get("config_file")
    return absolute_paths(config_file) if config_file else ConfigFile()


def hint(
    workspace: Workspace, pictures: Pictures, job: Job, item: Item, png: bytes
) -> subprocess.Popen[bytes] | None:
    """Keep strokes drawn on a page, in the workspace, and do that page again with them. ValidationError for what is
    no drawing."""
    job = _at_rest(workspace, job.id)
    sources = workspace.ledger.sources(job.id)
    facts = next((facts_of(source) for source in sources if source.key == item.key), ImageFacts())
    folder = workspace.folder("hints", str(job.id))
    target = hints_file(workspace, job, item)
    private(target.parent)
    drawing = workspace.folder("cache", "web") / f"{secrets.token_hex(8)}.hints.part"
    try:
        drawing.write_bytes(png)
        pictures.drawn(drawing, target, (facts.width or 0, facts.height or 0))
    finally:
        drawing.unlink(missing_ok=True)
    target.with_suffix(".json").unlink(missing_ok=True)
    theirs = settings_of(job).get("hints")
    if theirs and Path(theirs) != folder and Path(theirs).is_dir():
        _take_hints(Path(theirs), folder)
    workspace.ledger.retry(job.id, keys=[item.key])
    return _again(workspace, job, {"hints": str(folder)})


def _take_hints(theirs: Path, folder: Path) -> None:
    """Copy the hints that a job was given to those drawn on the page, which stay where there are both."""
    for page, path in hints_in(theirs).items():
        target = folder / f"{page}.hints{Path(path).suffix}"
        if target.exists() or target.with_suffix(".png").exists():
            continue
        if is_inside(theirs, path) and Path(path).stat().st_size <= HINTS_LIMIT:
            private(target.parent)
            target.write_bytes(Path(path).read_bytes())


def hints_file(workspace: Workspace, job: Job, item: Item) -> Path:
    """Where the strokes of a page are kept: under the page's own path, in the workspace."""
    return workspace.root / "hints" / str(job.id) / f"{os.path.splitext(item.key)[0]}.hints.png"  # noqa: PTH122


def _at_rest(workspace: Workspace, job_id: int) -> Job:
    job = workspace.ledger.job(job_id)
    if job.alive:
        raise QueueError("Job {job} is at work: do the page again when it has ended.", job=job_id)
    return job


def _again(workspace: Workspace, job: Job, changes: Settings) -> subprocess.Popen[bytes] | None:
    """Run the same job again with changed settings; only what they affect is done anew."""
    request = request_of(job)
    settings = {**request.settings, **changes}
    references = settings.pop("reference_images", [])
    submit(
        workspace,
        job.inputs,
        job.output,
        references=references,
        config=settings,
        priority=job.priority,
        suffix=request.suffix,
        images={path: to_plain(said) for path, said in request.images.items()},
        language=request.language,
        book=request.book,
    )
    return background.begin(workspace, job.id)


def editor_of(workspace: Workspace, job_id: int) -> str:
    """The address of the editor at the job's first page, "" where its backend makes nothing that can be put right."""
    settings = settings_of(workspace.ledger.job(job_id))
    backend, _ = choose_backend(settings["backend"], flats=settings.get("flats", False))
    return f"/edit/{job_id}/1" if isinstance(backend, Editing) else ""


def is_editable(item: Item) -> bool:
    """Whether a page can be put right in the editor."""
    return item.state == ItemState.COMPLETED and isinstance(create_backend(work_of(item).backend), Editing)


# -- what leaves --------------------------------------------------------------------------------------


def references(workspace: Workspace, job_id: int) -> list[Source]:
    """The job's references, first the covers and coloured pages of the chapter itself."""
    ledger = workspace.ledger
    found = [source for role in (Role.COPY, Role.REFERENCE) for source in ledger.sources(job_id, role=role)]
    return [source for source in found if facts_of(source).error is None]


def report(workspace: Workspace, job: Job) -> tuple[str, str]:
    """The report of a job, as a ZIP where it is of several files, else its metadata: path and name. FileNotFoundError
    when there is neither."""
    side = beside(workspace.ledger, job)
    parts = sorted(path for path in (side / PARTS).glob("*") if is_inside(side, path))
    if parts and is_inside(side, side / "report.html"):
        members = ((path.relative_to(side).as_posix(), path) for path in [side / "report.html", *parts])
        name = f"job-{job.id}-report.zip"
        return str(_zipped(workspace, job, name, members)), name
    for path in (
        side / "report.html",
        side / METADATA_NAME,
        workspace.root / "jobs" / str(job.id) / METADATA_NAME,
    ):
        if is_inside(path.parent, path):
            return str(path), f"job-{job.id}-{path.name}"
    raise FileNotFoundError(side)


def layered(workspace: Workspace, job: Job) -> Path:
    """A ZIP of the pages' editable documents. FileNotFoundError where there are none."""
    folder = beside(workspace.ledger, job) / "layers"
    files = sorted(
        path
        for path in folder.rglob("*.*")
        if path.suffix in (".psd", ".ora", ".png", ".json") and is_inside(folder, path)
    )
    if not files:
        raise FileNotFoundError(folder)
    members = ((path.relative_to(folder).as_posix(), path) for path in files)
    return _zipped(workspace, job, f"job-{job.id}-layers.zip", members)


def bundle(workspace: Workspace, job: Job, chosen: Collection[int] = ()) -> Path:
    """A ZIP of the finished pages and of what stays as it is, in page order; of the `chosen` pages alone, by their
    numbers in the ledger, where there are any. FileNotFoundError where none of these is finished."""

    def members() -> Iterator[tuple[str, Path]]:
        done = {item.key: item for item in workspace.ledger.items(job.id, ItemState.COMPLETED)}
        root = Path(job.output)
        for source in workspace.ledger.sources(job.id):
            item = done.get(source.key)
            if chosen and (item is None or item.id not in chosen):
                continue
            if item is not None:
                path, name = Path(item.output), work_of(item).name
            elif source.role in (Role.COPY, Role.KEPT):
                path, name = root / source.key, source.key
            else:
                continue
            if is_inside(root if root in path.parents else path.parent, path):
                yield name, path

    found = list(members())
    if chosen and not found:
        raise FileNotFoundError(job.output)
    return _zipped(workspace, job, f"job-{job.id}{'-chosen' if chosen else ''}.zip", found)


def _zipped(workspace: Workspace, job: Job, name: str, members: Iterable[tuple[str, Path]]) -> Path:
    found = list(members)
    renamed = archive_names((own for own, _ in found), settings_of(job).get("name_encoding"))
    target = workspace.folder("cache", "web") / name
    part = target.with_suffix(f".{os.urandom(4).hex()}.part")
    try:
        write_zip(part, ((renamed.get(own, own), path) for own, path in found))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target
