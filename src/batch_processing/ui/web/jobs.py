"""From a draft to a job, and what a person does with a finished page: another try, hints, download.

Everything lasting goes through the ledger: what this module starts, `lote status` shows.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...book import hints_in
from ...colorize import ARCHIVES, beside, submit
from ...config import ConfigurationHandler
from ...config.settings import check_values
from ...core.ledger import Item, Job, Source
from ...core.workers import cores
from ...core.workspace import Workspace
from ...exceptions import ConfigurationError, QueueError, ValidationError
from ...io.outputs import METADATA_NAME, SaveFile, write_zip
from .. import background
from .drafts import Draft

if TYPE_CHECKING:
    from PIL import Image

HINTS_LIMIT = 64 << 20  # bytes of a PNG of strokes: far more than strokes need, far less than memory
PREVIEWS = "previews"


def page_settings(values: dict[str, Any], draft: Draft) -> dict[str, Any]:
    """Settings for one page as the configuration file has them. ConfigurationError for wrong ones."""
    given = {name: value for name, value in values.items() if value not in (None, "", [])}
    given = _numbers(given)
    if "reference_images" in given:
        known = {picture.key: picture.source.path for picture in draft.gallery("reference")}
        given["reference_images"] = [known[key] for key in given["reference_images"] if key in known]
    right, problems = check_values(given)
    if problems:
        raise ConfigurationError("; ".join(text for _, text in problems))
    return {name: right[name] for name in given}


def start(
    place: Workspace,
    draft: Draft,
    form: dict[str, Any],
    output: str | None,
    config_file: str | None,
    language: str,
) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Make the draft a job and have it run: its number, and the process if one was needed.

    `form`: settings by name; "form" in it is folder, zip or cbz. `output` None: beside the inputs. `language`:
    of the report."""
    if not draft.inputs:
        raise ValidationError("There are no pages yet: drop some, or type the path of a folder.")
    form = dict(form)
    kind = form.pop("form", "folder")
    target = output or _default_output(place, draft, kind)
    job = _submit(
        place, draft, draft.inputs, target, form, config_file, draft.folder, draft.recursive, language
    )
    if job.alive and job.owner is not None and job.owner.get("pid") != os.getpid():
        return job.id, None
    return job.id, background.begin(place, job.id)


def preview(
    place: Workspace, draft: Draft, key: str, form: dict[str, Any], config_file: str | None
) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Colour one page of the draft into the workspace, as a small job of its own."""
    form = {name: value for name, value in form.items() if name not in ("form", "layers", "layers_by")}
    pages = draft.gallery("page")
    page = next((picture for picture in pages if picture.key == key), pages[0] if pages else None)
    if page is None:
        raise ValidationError("There is no line art to try: drop some pages.")
    chosen = [picture.source.path for picture in draft.gallery("reference") if draft.chosen(picture)]
    folder = place.folder(PREVIEWS, draft.folder.name)
    with SaveFile(folder / "draft.json") as file:
        file.write(json.dumps({"key": page.key}).encode())
    name = Path(page.source.path).name
    own = draft.pages.get(page.key, {})
    base = _read(config_file)
    images = {name: {**base.get("images", {}).get(page.key, {}), **own}}
    settings = folder / "settings.json"
    with SaveFile(settings) as file:
        file.write(json.dumps({"default": base.get("default", {}), "images": images}).encode())
    values = form | {"config_file": str(settings), "as_lineart": [name], "overwrite": True}
    job = submit(place, [page.source.path], folder / "out", references=chosen, config=values, priority=1000)
    if job.alive and job.owner is not None and job.owner.get("pid") != os.getpid():
        return job.id, None
    return job.id, background.begin(place, job.id)


def is_preview(place: Workspace, job: Job) -> bool:
    return job.output.startswith(str(place.root / PREVIEWS) + os.sep)


def _submit(
    place: Workspace,
    draft: Draft,
    inputs: list[str],
    target: str,
    form: dict[str, Any],
    config_file: str | None,
    folder: Path,
    recursive: bool,
    language: str,
) -> Job:
    settings = folder / "settings.json"
    with SaveFile(settings) as file:
        file.write(json.dumps(draft.configuration(_read(config_file))).encode())
    values = (
        {"max_concurrent": cores()}
        | form
        | {
            "config_file": str(settings),
            "as_lineart": draft.moved("page"),
            "as_reference": draft.moved("reference"),
            "recursive": recursive,
        }
    )
    return submit(place, inputs, target, config=values, language=language)


def _read(config_file: str | None) -> dict[str, Any]:
    """The content of a person's configuration file, with paths as seen from anywhere."""
    if config_file is None:
        return {}
    handler = ConfigurationHandler()
    written = handler.load_config_file(config_file)
    folder = Path(config_file).parent
    content: dict[str, Any] = {"default": handler.get_default_config(), "images": {}}
    for key in written.get("images", {}):
        content["images"][key] = handler.get_image_entry(key)
    for part in (content["default"], *content["images"].values()):
        if part.get("reference_images"):
            part["reference_images"] = [
                str(folder / Path(path).expanduser()) for path in part["reference_images"]
            ]
        if part.get("hints"):
            part["hints"] = str(folder / Path(part["hints"]).expanduser())
    return content


def _default_output(place: Workspace, draft: Draft, form: str) -> str:
    """`<input>_colorized`: beside the input, or among the results of the workspace for what was uploaded."""
    first = Path(draft.inputs[0])
    uploaded = draft.folder in first.parents or first == draft.folder
    archive = first.suffix.lower() in ARCHIVES and not first.is_dir()
    stem = first.stem if archive or first.is_file() else first.name
    name = f"{stem}_colorized" + (f".{form}" if form in ("zip", "cbz") else "")
    return str((draft.folder / "results" if uploaded else first.parent) / name)


# -- another try at a page ----------------------------------------------------------------------------


def redo(place: Workspace, number: int, key: str, values: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    """Do one page again, with other settings of its own when there are any."""
    job = _at_rest(place, number)
    changes: dict[str, Any] = {}
    if values:
        settings = place.folder("jobs", str(number)) / "settings.json"
        with SaveFile(settings) as file:
            file.write(json.dumps(_with_page(job, key, values)).encode())
        changes["config_file"] = str(settings)
    if not place.ledger.retry(number, keys=[key]):
        raise QueueError(f"Job {number} has no finished page {key}.")
    return _again(place, job, changes)


def _with_page(job: Job, key: str, values: dict[str, Any]) -> dict[str, Any]:
    """The job's configuration file with these settings for one page. ConfigurationError for wrong ones."""
    content = _read(job.config["settings"].get("config_file"))
    given = _numbers({name: value for name, value in values.items() if value != ""})
    right, problems = check_values(given)
    if problems:
        raise ConfigurationError("; ".join(text for _, text in problems))
    images = content.setdefault("images", {})
    images[key] = images.get(key, {}) | {name: right[name] for name in given}
    return content


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as a form sends them, numbers as text, with numbers as numbers."""
    values = dict(values)
    for name in ("seed", "num_inference_steps", "top_k", "priority"):
        if name in values:
            try:
                values[name] = int(values[name])
            except (TypeError, ValueError):
                raise ConfigurationError(f"{name} must be a whole number, got {values[name]!r}") from None
    return values


def hint(place: Workspace, job: Job, item: Item, png: bytes) -> subprocess.Popen[bytes] | None:
    """Keep strokes drawn on a page, in the workspace, and do that page again with them."""
    job = _at_rest(place, job.id)
    facts = next((s.facts for s in place.ledger.sources(job.id) if s.key == item.key), None) or {}
    picture = _strokes(png, (int(facts.get("width", 0)), int(facts.get("height", 0))))
    folder = place.folder("hints", str(job.id))
    theirs = job.config["settings"].get("hints")
    if theirs and Path(theirs) != folder and Path(theirs).is_dir():
        for page, path in hints_in(Path(theirs)).items():
            target = folder / f"{page}.hints{Path(path).suffix}"
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(path).read_bytes())
    target = hints_file(place, job, item)
    target.parent.mkdir(parents=True, exist_ok=True)
    with SaveFile(target) as file:
        picture.save(file, "PNG")
    target.with_suffix(".json").unlink(missing_ok=True)
    place.ledger.retry(job.id, keys=[item.key])
    return _again(place, job, {"hints": str(folder)})


def hints_file(place: Workspace, job: Job, item: Item) -> Path:
    """Where the strokes of a page are kept: under the page's own path, in the workspace."""
    return place.root / "hints" / str(job.id) / f"{os.path.splitext(item.key)[0]}.hints.png"  # noqa: PTH122


def _strokes(png: bytes, size: tuple[int, int]) -> Image.Image:
    """Strokes at the page's size, with hard edges: half a stroke's colour is no colour anybody chose."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > 40_000_000:
                raise ValidationError("The hints are too large.")
            strokes = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise ValidationError("The hints are no picture.") from error
    if min(size) > 0 and strokes.size != size:
        strokes = strokes.resize(size, Image.Resampling.NEAREST)
    strokes.putalpha(strokes.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0))
    return strokes


def _at_rest(place: Workspace, number: int) -> Job:
    job = place.ledger.job(number)
    if job.alive:
        raise QueueError(f"Job {number} is at work: do the page again when it has ended.")
    return job


def _again(place: Workspace, job: Job, changes: dict[str, Any]) -> subprocess.Popen[bytes]:
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
        if path.is_file() and not path.is_symlink():
            return str(path), f"job-{job.id}-{path.name}"
    raise FileNotFoundError(side)


def layered(place: Workspace, job: Job) -> Path:
    """A ZIP of the pages' editable documents. FileNotFoundError where there are none."""
    folder = beside(place.ledger, job) / "layers"
    files = sorted(
        path
        for path in folder.rglob("*.*")
        if path.suffix in (".psd", ".ora", ".png", ".json") and not path.is_symlink()
    )
    if not files:
        raise FileNotFoundError(folder)
    members = ((path.relative_to(folder).as_posix(), path) for path in files)
    return _zipped(place, f"job-{job.id}-layers.zip", members)


def bundle(place: Workspace, job: Job) -> Path:
    """A ZIP of the finished pages and of what stays as it is, in page order."""

    def members() -> Iterator[tuple[str, Path | bytes]]:
        done = {item.key: item for item in place.ledger.items(job.id, state="completed")}
        root = Path(job.output)
        for source in place.ledger.sources(job.id):
            item = done.get(source.key)
            if item is not None:
                path, name = Path(item.output), item.work["name"]
            elif source.role in ("copy", "kept"):
                path, name = root / source.key, source.key
            else:
                continue
            if path.is_file() and not path.is_symlink():
                yield name, path

    return _zipped(place, f"job-{job.id}.zip", members())


def _zipped(place: Workspace, name: str, members: Iterable[tuple[str, Path | bytes]]) -> Path:
    target = place.folder("cache", "web") / name
    part = target.with_suffix(f".{os.urandom(4).hex()}.part")
    try:
        write_zip(part, members)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target
