"""From a draft to a job, and what a person does with a finished page: another try, hints, download.

Everything lasting goes through the ledger: what this module starts, `lote status` shows.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...book import hints_in
from ...colorize import ARCHIVES, beside, submit
from ...config.settings import built_in, check_values
from ...core.ledger import TERMINAL, Item, Job, Source
from ...core.workers import cores
from ...core.workspace import Workspace
from ...exceptions import ConfigurationError, QueueError, ValidationError
from ...io.outputs import METADATA_NAME, SaveFile, write_zip
from .. import background
from .drafts import Draft, private
from .paths import Roots, absolute_paths, is_inside
from .wishes import ChapterForm, PageValues, RedoValues

if TYPE_CHECKING:
    from .pictures import Pictures

HINTS_LIMIT = 64 << 20  # bytes of a PNG of strokes: far more than strokes need, far less than memory
PREVIEWS = "previews"


def page_settings(values: PageValues, draft: Draft) -> dict[str, Any]:
    """Settings for one page as the configuration file has them. ConfigurationError for wrong ones, ValidationError
    for a reference that the draft has not."""
    given = values.settings()
    if keys := given.pop("reference_images"):
        known = {picture.key: picture.source.path for picture in draft.gallery("reference")}
        if strange := [key for key in keys if key not in known]:
            raise ValidationError(f"There is no reference {strange[0]} in this chapter.")
        given["reference_images"] = [known[key] for key in keys]
    return _right(given)


def _right(given: dict[str, Any]) -> dict[str, Any]:
    right, problems = check_values(given)
    if problems:
        raise ConfigurationError("; ".join(text for _, text in problems))
    return {name: right[name] for name in given}


@dataclass(frozen=True)
class Chapter:
    """The settings of a chapter, its paths checked: `values` by name (with "form": folder, zip or cbz), those only
    that differ from the built-in ones, so that a configuration file fills the others; `content` of that file."""

    values: dict[str, Any]
    output: str | None
    content: dict[str, Any]


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
    place: Workspace, roots: Roots, draft: Draft, form: Chapter, language: str
) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Make the draft a job and have it run: its number, and the process if one was needed.

    `language`: of the report. ValidationError where a link in the inputs leads out of the roots."""
    if not draft.inputs:
        raise ValidationError("There are no pages yet: drop some, or type the path of a folder.")
    mine = [path for path in draft.inputs if draft.folder in (Path(path), *Path(path).parents)]
    theirs = [path for path in draft.inputs if path not in mine]
    if link := roots.way_out(theirs, recursive=draft.recursive):
        raise ValidationError(
            f"{link} is a link out of the folders that this page may use: take it away, or start lote ui with --root."
        )
    values = dict(form.values)
    kind = values.pop("form", "folder")
    target = form.output or _default_output(place, draft, kind)
    private(draft.folder)
    settings = draft.folder / "settings.json"
    with SaveFile(settings) as file:
        file.write(json.dumps(draft.configuration(form.content)).encode())
    config = {"max_concurrent": cores()} | values
    config |= {
        "config_file": str(settings),
        "as_lineart": draft.moved("page"),
        "as_reference": draft.moved("reference"),
        "recursive": draft.recursive,
    }
    return _running(place, submit(place, draft.inputs, target, config=config, language=language))


def preview(
    place: Workspace, roots: Roots, draft: Draft, key: str, form: Chapter
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
    folder = place.folder(PREVIEWS, draft.folder.name)
    with SaveFile(folder / "draft.json") as file:
        file.write(json.dumps({"key": page.key}).encode())
    name = Path(page.source.path).name
    own = draft.pages.get(page.key, {})
    images = {name: {**form.content.get("images", {}).get(page.key, {}), **own}}
    settings = folder / "settings.json"
    with SaveFile(settings) as file:
        file.write(json.dumps({"default": form.content.get("default", {}), "images": images}).encode())
    values |= {"config_file": str(settings), "as_lineart": [name], "overwrite": True}
    return _running(
        place,
        submit(place, [page.source.path], folder / "out", references=chosen, config=values, priority=1000),
    )


def _running(place: Workspace, job: Job) -> tuple[int, subprocess.Popen[bytes] | None]:
    if job.alive and job.owner is not None and job.owner.get("pid") != os.getpid():
        return job.id, None
    return job.id, background.begin(place, job.id)


def is_preview(place: Workspace, job: Job) -> bool:
    return job.output.startswith(str(place.root / PREVIEWS) + os.sep)


def _default_output(place: Workspace, draft: Draft, form: str) -> str:
    """`<input>_colorized`: beside the input, or among the results of the workspace for what was uploaded."""
    first = Path(draft.inputs[0])
    uploaded = draft.folder in first.parents or first == draft.folder
    archive = first.suffix.lower() in ARCHIVES and not first.is_dir()
    stem = first.stem if archive or first.is_file() else first.name
    name = f"{stem}_colorized" + (f".{form}" if form in ("zip", "cbz") else "")
    return str((draft.folder / "results" if uploaded else first.parent) / name)


# -- another try at a page ----------------------------------------------------------------------------


def redo(place: Workspace, number: int, key: str, values: RedoValues) -> subprocess.Popen[bytes] | None:
    """Do one page again, with other settings of its own when there are any. QueueError for a page that the job
    has not finished; nothing is kept then."""
    job = _at_rest(place, number)
    if not any(item.key == key and item.state in TERMINAL for item in place.ledger.items(number)):
        raise QueueError(f"Job {number} has no finished page {key}.")
    changes: dict[str, Any] = {}
    if given := _right(values.settings()):
        content = _content_of(job)
        images = content.setdefault("images", {})
        images[key] = images.get(key, {}) | given
        settings = place.folder("jobs", str(number)) / "settings.json"
        with SaveFile(settings) as file:
            file.write(json.dumps(content).encode())
        changes["config_file"] = str(settings)
    place.ledger.retry(number, keys=[key])
    return _again(place, job, changes)


def _content_of(job: Job) -> dict[str, Any]:
    """The job's configuration file, which whoever submitted the job was free to choose."""
    config_file = job.config["settings"].get("config_file")
    return absolute_paths(config_file) if config_file else {}


def hint(
    place: Workspace, pictures: Pictures, job: Job, item: Item, png: bytes
) -> subprocess.Popen[bytes] | None:
    """Keep strokes drawn on a page, in the workspace, and do that page again with them. ValidationError for what is
    no drawing."""
    job = _at_rest(place, job.id)
    facts = next((s.facts for s in place.ledger.sources(job.id) if s.key == item.key), None) or {}
    folder = place.folder("hints", str(job.id))
    target = hints_file(place, job, item)
    private(target.parent)
    drawing = place.folder("cache", "web") / f"{secrets.token_hex(8)}.hints.part"
    try:
        drawing.write_bytes(png)
        pictures.drawn(drawing, target, (int(facts.get("width", 0)), int(facts.get("height", 0))))
    finally:
        drawing.unlink(missing_ok=True)
    target.with_suffix(".json").unlink(missing_ok=True)
    theirs = job.config["settings"].get("hints")
    if theirs and Path(theirs) != folder and Path(theirs).is_dir():
        _take_hints(Path(theirs), folder)
    place.ledger.retry(job.id, keys=[item.key])
    return _again(place, job, {"hints": str(folder)})


def _take_hints(theirs: Path, folder: Path) -> None:
    """Copy the hints that a job was given to those drawn on the page, which stay where there are both."""
    for page, path in hints_in(theirs).items():
        target = folder / f"{page}.hints{Path(path).suffix}"
        if target.exists() or target.with_suffix(".png").exists():
            continue
        if is_inside(theirs, path) and Path(path).stat().st_size <= HINTS_LIMIT:
            private(target.parent)
            target.write_bytes(Path(path).read_bytes())


def hints_file(place: Workspace, job: Job, item: Item) -> Path:
    """Where the strokes of a page are kept: under the page's own path, in the workspace."""
    return place.root / "hints" / str(job.id) / f"{os.path.splitext(item.key)[0]}.hints.png"  # noqa: PTH122


def _at_rest(place: Workspace, number: int) -> Job:
    job = place.ledger.job(number)
    if job.alive:
        raise QueueError(f"Job {number} is at work: do the page again when it has ended.")
    return job


def _again(place: Workspace, job: Job, changes: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    """Run the same job again with changed settings; only what they affect is done anew."""
    settings = {**job.config["settings"], **changes}
    references = settings.pop("reference_images", [])
    submit(
        place,
        job.inputs,
        job.output,
        references=references,
        config=settings,
        priority=job.priority,
        suffix=job.config["suffix"],
        images=job.config["images"],
        language=job.config.get("language", "en"),
    )
    return background.begin(place, job.id)


# -- what leaves --------------------------------------------------------------------------------------


def references(place: Workspace, number: int) -> list[Source]:
    """The job's references, first the covers and coloured pages of the chapter itself."""
    ledger = place.ledger
    found = [source for role in ("copy", "reference") for source in ledger.sources(number, role=role)]
    return [source for source in found if "error" not in (source.facts or {})]


def report(place: Workspace, job: Job) -> tuple[str, str]:
    """The report of a job, else its metadata: path and name. FileNotFoundError when there is neither."""
    side = beside(place.ledger, job)
    for path in (
        side / "report.html",
        side / METADATA_NAME,
        place.root / "jobs" / str(job.id) / METADATA_NAME,
    ):
        if is_inside(path.parent, path):
            return str(path), f"job-{job.id}-{path.name}"
    raise FileNotFoundError(side)


def layered(place: Workspace, job: Job) -> Path:
    """A ZIP of the pages' editable documents. FileNotFoundError where there are none."""
    folder = beside(place.ledger, job) / "layers"
    files = sorted(
        path
        for path in folder.rglob("*.*")
        if path.suffix in (".psd", ".ora", ".png", ".json") and is_inside(folder, path)
    )
    if not files:
        raise FileNotFoundError(folder)
    members = ((_member(path.relative_to(folder).as_posix()), path) for path in files)
    return _zipped(place, f"job-{job.id}-layers.zip", members)


def bundle(place: Workspace, job: Job) -> Path:
    """A ZIP of the finished pages and of what stays as it is, in page order."""

    def members() -> Iterator[tuple[str, Path | bytes]]:
        done = {item.key: item for item in place.ledger.items(job.id, state="completed")}
        root = Path(job.output)
        for source in place.ledger.sources(job.id):
            item = done.get(source.key)
            if item is not None:
                path, name = Path(item.output), _member(item.work["name"])
            elif source.role in ("copy", "kept"):
                path, name = root / source.key, _member(source.key)
            else:
                continue
            if is_inside(root if root in path.parents else path.parent, path):
                yield name, path

    return _zipped(place, f"job-{job.id}.zip", members())


def _member(name: str) -> str:
    """A name in an archive, which is Unicode: bytes that are none become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def _zipped(place: Workspace, name: str, members: Iterable[tuple[str, Path | bytes]]) -> Path:
    target = place.folder("cache", "web") / name
    part = target.with_suffix(f".{os.urandom(4).hex()}.part")
    try:
        write_zip(part, members)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target
