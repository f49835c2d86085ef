"""The command `lote`.

Thin: each command reads its arguments, calls the application, and prints. Results go to stdout,
everything else to stderr; the exit code says what happened (docs/cli.md). This is the one place where
an unforeseen error ends: it becomes a sentence and a log file, never a traceback on the screen.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from ..exceptions import BatchProcessingError, QueueError, why
from ..i18n import _, language, ngettext, sentence, translate_command
from .models_cli import models_app
from .photos import photos_app

if TYPE_CHECKING:
    from ..core.ledger import Job
    from ..core.workspace import Workspace

app = typer.Typer(
    name="lote",
    help="Process large sets of images in batches: colour whole comics, keep whole photo libraries.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WorkspaceOption = Annotated[
    str | None,
    typer.Option("--workspace", metavar="DIR", help="Folder that remembers the work (LOTE_WORKSPACE)."),
]
JobArgument = Annotated[
    int | None, typer.Argument(metavar="JOB", help="Number of the job; the current one if left out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="Print errors and warnings only, not even the output's path.")
]
InputsArgument = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="Folders, .zip or .cbz files, images.")
]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"lote {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# -- colouring ----------------------------------------------------------------------------------------


@app.command()
def colorize(
    inputs: InputsArgument,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="PATH", help="Folder, .zip or .cbz; <input>_colorized if left out."
        ),
    ] = None,
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--references", metavar="PATH", help="Coloured references: image, folder or archive. Repeatable."
        ),
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", metavar="NAME", help="auto, flats, cobra or noop.")
    ] = None,
    style: Annotated[str | None, typer.Option("--style", help='"line" or "line + shadow".')] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="N", help="Start of the random numbers.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="N", help="Denoising steps (cobra).")
    ] = None,
    top_k: Annotated[
        str | None,
        typer.Option("--top-k", metavar="N", help="Reference patches for each quarter of a page (cobra)."),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="png, jpg, webp or tif.")
    ] = None,
    recursive: Annotated[
        bool | None, typer.Option("--recursive", help="Take images from subfolders too.")
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option("--overwrite", help="Replace files in the output that this job did not write."),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option("--workers", metavar="N", help="Pages at the same time; one a core if left out."),
    ] = None,
    pages: Annotated[
        str | None, typer.Option("--pages", metavar="LIST", help="Only these pages: 3-7,12.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="KIND",
            help="Editable documents too: psd, ora, png (flats alone), json (regions). Repeatable.",
        ),
    ] = None,
    layers_by: Annotated[
        list[str] | None,
        typer.Option(
            "--layers-by",
            metavar="WHAT",
            help="Part their flats: a group for each panel, a layer for each color. Repeatable.",
        ),
    ] = None,
    zip_: Annotated[
        bool | None, typer.Option("--zip", help="Gather the pages of an output folder in a ZIP too.")
    ] = None,
    zip_name: Annotated[
        str | None, typer.Option("--zip-name", metavar="NAME", help="File name of that ZIP.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Colour the first page only, and ask before the others.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Never ask.")] = False,
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config", help="Print every setting, also for an image named after it, and do nothing."
        ),
    ] = False,
    keep_ink: Annotated[
        bool | None,
        typer.Option("--keep-ink", help="Lay the page's own ink over what the model draws (cobra)."),
    ] = None,
    drop_references: Annotated[
        bool | None, typer.Option("--drop-references", help="Leave coloured pages out of the output.")
    ] = None,
    as_lineart: Annotated[
        list[str] | None,
        typer.Option("--as-lineart", metavar="GLOB", help="Pages that are line art. Repeatable."),
    ] = None,
    as_reference: Annotated[
        list[str] | None,
        typer.Option("--as-reference", metavar="GLOB", help="Pages that are references. Repeatable."),
    ] = None,
    hints: Annotated[str | None, typer.Option("--hints", metavar="DIR", help="Folder of hint files.")] = None,
    palette: Annotated[
        str | None,
        typer.Option("--palette", metavar="FILE", help="palette.json of the series or of the last chapter."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="JSON or TOML with defaults and settings of images."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="SECONDS", help="Give a page up after so long.")
    ] = None,
    worker_memory: Annotated[
        str | None, typer.Option("--worker-memory", metavar="SIZE", help="Memory one worker may use: 4G.")
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", metavar="N", help="Larger goes before other jobs.")
    ] = 0,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the job runs in the background.")
    ] = False,
    log_file: Annotated[
        str | None, typer.Option("--log-file", metavar="FILE", help="Log to this file too.")
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log in JSON lines.")] = False,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING ...")
    ] = "INFO",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Colour the line-art pages of a comic from its coloured pages and references."""
    from ..colorize import submit
    from ..config.effective import Settings
    from ..core.workers import cores
    from ..core.workspace import Workspace

    _set_up_logging(log_file, log_level, as_json=log_json)

    flags: dict[str, Any] = {
        "output_dir": output, "reference_images": references, "backend": backend, "style": style, "seed": seed,
        "num_inference_steps": steps, "top_k": top_k, "format": format_, "recursive": recursive,
        "overwrite": overwrite, "max_concurrent": workers, "pages": pages, "drop_references": drop_references,
        "as_lineart": as_lineart, "as_reference": as_reference, "hints": hints, "palette": palette, "config_file": config,
        "timeout": timeout, "worker_memory": worker_memory, "input_dir": inputs[0], "layers": layers, "layers_by": layers_by, "keep_ink": keep_ink,
        "output_as_zip": zip_, "zip_output_name": zip_name, "preview_mode": preview or None,
    }  # fmt: skip
    settings = Settings(flags)
    force = settings.effective()
    if show_config:
        for image in [*inputs[1:]] or (None,):
            typer.echo(settings.describe(image))
        return
    values = {name: effective.value for name, effective in force.items() if effective.value is not None}
    if force["max_concurrent"].origin == "built-in":
        values["max_concurrent"] = cores()
    target = values.get("output_dir") or default_output(inputs)
    place = Workspace(workspace)
    origins = {name: effective.origin for name, effective in force.items()}
    job = submit(
        place, inputs, target, config=values, priority=priority, origins=origins, language=language()
    )
    if detach:
        _detach(place, job.id, as_json=as_json)
        return
    code = _follow(place, job, as_json=as_json, quiet=quiet)
    if values["preview_mode"] and code == 0:
        if not (yes or _go_on(place, job, as_json=as_json)):
            return
        values["preview_mode"] = False
        job = submit(
            place, inputs, target, config=values, priority=priority, origins=origins, language=language()
        )
        code = _follow(place, job, as_json=as_json, quiet=quiet)
    raise typer.Exit(code)


def _go_on(place: Workspace, job: Job, *, as_json: bool) -> bool:
    """Ask whether the preview is good; without a terminal, say how to go on."""
    import shlex

    if sys.stdin.isatty() and sys.stderr.isatty() and not as_json:
        left = place.ledger.held(job.id)
        question = ngettext(
            "Colour the other page like this?", "Colour the other {count} pages like this?", left
        )
        return typer.confirm(question.format(count=left), err=True)
    command = shlex.join(["lote", *(word for word in sys.argv[1:] if word != "--preview")])
    typer.echo(_("go on with: {command}").format(command=command), err=True)
    return False


def _set_up_logging(log_file: str | None = None, level: str = "INFO", *, as_json: bool = False) -> None:
    """Warnings on stderr; everything from `level` on in a file that was asked for."""
    import logging

    from ..exceptions import ConfigurationError
    from ..logging_config import setup_logging

    try:
        root = setup_logging(level, log_file=log_file, json_lines=as_json)
    except ValueError as error:
        raise ConfigurationError(f"--log-level: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"--log-file: {log_file} cannot be written: {error.strerror}") from error
    if log_file is None:
        root.setLevel(logging.WARNING)
    for handler in root.handlers:
        if type(handler).__name__ == "_Console":
            handler.setLevel(logging.WARNING)
            handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))


def default_output(inputs: list[str]) -> str:
    """`<input>_colorized` of the same kind as the first input, beside it."""
    first = Path(os.path.abspath(Path(inputs[0]).expanduser()))  # noqa: PTH100 - no resolving
    if first.suffix.lower() in (".zip", ".cbz") and not first.is_dir():
        return str(first.with_name(f"{first.stem}_colorized{first.suffix}"))
    return str(first.with_name(f"{first.name if first.is_dir() else first.stem}_colorized"))


def _follow(place: Workspace, job: Job, *, as_json: bool, quiet: bool) -> int:
    """Run or follow a job to its end and print what became of it; the exit code."""
    from dataclasses import asdict

    from ..colorize import run
    from ..core.coordinator import Interrupt
    from .console import err_console, put_json, summary, view

    console = err_console()
    ahead = [other for other in place.ledger.jobs(job.kind) if other.id != job.id and other.alive]
    if ahead and not as_json:
        console.print(_("waiting behind job {job}").format(job=ahead[0].id))
    interrupt = Interrupt()
    printer = view(console, as_json=as_json, quiet=quiet, leaving=lambda: interrupt.level > 0)
    try:
        with interrupt.signals():
            result = run(place, job.id, on_news=printer.news, interrupt=interrupt)
    except BatchProcessingError as error:
        if as_json:
            put_json("summary", job=job.id, state=place.ledger.job(job.id).state, error=str(error))
        raise
    finally:
        printer.end()
    if as_json:
        put_json("summary", **asdict(result), exit_code=result.exit_code)
    else:
        if not quiet or result.failed:
            summary(console, result)
        if result.state == "done" and not quiet:
            typer.echo(result.output)
    return result.exit_code


def _detach(place: Workspace, number: int, *, as_json: bool) -> None:
    """Have another process run the job, in a session of its own, and return."""
    from . import background
    from .console import put_json

    background.start(place, number)
    log = background.log_of(place, number)
    if as_json:
        put_json("job", job=number, state="queued", log=str(log))
    else:
        typer.echo(
            _("job {job} runs in the background: lote status {job} shows it, its log is {log}").format(
                job=number, log=log
            )
        )


@app.command()
def classify(
    inputs: InputsArgument,
    recursive: Annotated[bool, typer.Option("--recursive", help="Take images from subfolders too.")] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell line art from coloured pages: kind, confidence and metrics of each image."""
    from ..colorize import classify_inputs
    from ..core.workers import cores
    from .console import put_json, safe

    unreadable = 0
    for key, facts in classify_inputs(inputs, recursive=recursive, workers=cores(), workspace=workspace):
        unreadable += "error" in facts
        if as_json:
            put_json("image", image=key, **facts)
        elif "error" in facts:
            typer.echo(f"{_('unreadable'):10}  {'':>4}  {safe(key)}  ({safe(sentence(facts['error']))})")
        else:
            metrics = facts["metrics"]
            measures = _("saturation {saturation:.2f}, colours {color_count}, edges {edge_density:.2f}")
            unsure = _("not sure: see --as-lineart and --as-reference")
            typer.echo(
                f"{facts['kind']:10}  {facts['confidence']:>4.0%}  {safe(key)}  {measures.format(**metrics)}"
                + ("" if facts["confidence"] >= 0.7 else f"  ({unsure})")
            )
    raise typer.Exit(3 if unreadable else 0)


@app.command()
def evaluate(
    page: Annotated[Path, typer.Argument(metavar="PAGE", help="A coloured page.")],
    truth: Annotated[
        Path, typer.Option("--truth", metavar="IMAGE", help="The same page in its true colours.")
    ],
    line_art: Annotated[
        Path | None,
        typer.Option(
            "--lineart", metavar="IMAGE", help="The page's line art; looked for in the truth if left out."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="PNG", help="Picture of the page, its errors marked, beside the truth."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how near a coloured page is to the truth."""
    from dataclasses import asdict

    from ..evaluation import evaluate as measure
    from ..io.images import encode
    from ..io.outputs import SaveFile
    from .console import put_json, safe

    if sheet and any(sheet.exists() and sheet.samefile(path) for path in (page, truth, line_art) if path):
        raise typer.BadParameter(_("--sheet would replace a picture that is measured: name another file"))
    scores, picture, painted = measure(page, truth, line_art)
    if sheet:
        with SaveFile(sheet) as file:
            encode(picture, file, format="png")
    if as_json:
        put_json("evaluation", page=str(page), truth=str(truth), painted=painted, **asdict(scores))
        return
    kind = _("painted truth") if painted else _("flat truth")
    judged = ngettext(
        "{kind}, {count} region; {share:.0%} of the pixels lie off the lines and are judged",
        "{kind}, {count} regions; {share:.0%} of the pixels lie off the lines and are judged",
        scores.regions,
    )
    typer.echo(safe(judged.format(kind=kind, count=scores.regions, share=scores.share)))
    rows = (
        (_("regions right"), scores.region_accuracy, "{:.1%}"),
        (_("pixels right"), scores.pixel_accuracy, "{:.1%}"),
        (_("pixels right, without background"), scores.pixel_accuracy_without_background, "{:.1%}"),
        (_("mean IoU of the colours"), scores.mean_iou, "{:.3f}"),
        (_("median Delta-E 2000"), scores.median_delta_e_2000, "{:.2f}"),
    )
    width = max(len(words) for words, _value, _form in rows)
    for words, value, form in rows:
        typer.echo(f"{words:<{width}}  {'-' if value is None else form.format(value):>6}")


# -- jobs ---------------------------------------------------------------------------------------------


def _job(place: Workspace, number: int | None) -> Job:
    if not place.database.exists():
        raise QueueError(
            f"There is no job in the workspace {place.root} yet: `lote colorize INPUT` makes one."
        )
    return place.ledger.current_job("comics") if number is None else place.ledger.job(number)


@app.command("list")
def list_jobs(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """List the jobs of this workspace."""
    from ..core.workspace import Workspace
    from .console import count_of, put_json, safe

    place = Workspace(workspace)
    jobs = place.ledger.jobs() if place.database.exists() else []
    for job in jobs:
        counts = place.ledger.counts(job.id)
        if as_json:
            put_json(
                "job",
                job=job.id,
                kind=job.kind,
                state=job.state,
                inputs=job.inputs,
                output=job.output,
                **counts,
            )
        else:
            done = f"{counts['completed']}/{sum(counts.values())}"
            failed = "  " + count_of("failed", counts["failed"]) if counts["failed"] else ""
            typer.echo(
                f"{job.id:>4}  {_(job.state):<11}  {done:>9}  {safe(job.inputs[0])} -> {safe(job.output)}{failed}"
            )
    if not jobs and not as_json:
        typer.echo(_("no jobs yet: lote colorize INPUT makes one"), err=True)


@app.command()
def status(
    job: JobArgument = None,
    pages: Annotated[
        bool, typer.Option("--pages", help="List every page, not only what failed or is at work.")
    ] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Show how far a job is, and what failed."""
    from ..core.status import JobNews
    from ..core.workspace import Workspace
    from .console import STATE_WORDS, count_of, page_state, put_json, safe, seconds

    place = Workspace(workspace)
    row = _job(place, job)
    snapshot = JobNews(place.ledger, row.id).snapshot()
    if as_json:
        for item in place.ledger.items(row.id):
            if pages or item.state in ("failed", "processing"):
                put_json(
                    "page",
                    job=row.id,
                    page=item.key,
                    state=item.state,
                    seconds=item.seconds,
                    error=item.error,
                )
        put_json(
            "summary", job=row.id, state=row.state, wanted=row.wanted, phase=row.phase, error=row.error,
            inputs=row.inputs, output=row.output, total=snapshot.total, **snapshot.counts,
        )  # fmt: skip
        return
    headline = _("job {job} {does}").format(job=row.id, does=_(STATE_WORDS[row.state]))
    typer.echo(headline + (f": {sentence(row.phase)}" if row.phase else ""))
    for path in row.inputs[:5]:
        typer.echo(f"  {_('from'):<5} {safe(path)}")
    typer.echo(f"  {_('to'):<5} {safe(row.output)}")
    counts = ", ".join(count_of(name, count) for name, count in snapshot.counts.items() if count)
    typer.echo(f"  {_('pages'):<5} {snapshot.total}" + (f": {counts}" if counts else ""))
    if row.error:
        typer.echo(f"  {_('error'):<5} {safe(sentence(row.error))}")
    if row.state in ("interrupted", "paused") and not row.alive:
        typer.echo("  " + _("lote resume {job} goes on").format(job=row.id))
    for item in place.ledger.items(row.id):
        if pages or item.state in ("failed", "processing"):
            took = "  " + seconds(item.seconds) if item.seconds else ""
            error = f"  {safe(sentence(why(item.error, item.key)))}" if item.error else ""
            typer.echo(f"  {page_state(item.state):<10}  {safe(item.key)}{took}{error}")


@app.command()
def pause(job: JobArgument = None, workspace: WorkspaceOption = None) -> None:
    """Pause a job: pages in flight are finished, its process waits."""
    from ..core.workspace import Workspace
    from . import background

    place = Workspace(workspace)
    row = background.pause(place, _job(place, job).id)
    if row.alive:
        text = _("job {job} pauses after the pages in flight: lote resume {job} goes on")
    else:
        text = _("job {job} is not running: lote resume {job} goes on")
    typer.echo(text.format(job=row.id))


@app.command()
def cancel(job: JobArgument = None, workspace: WorkspaceOption = None) -> None:
    """Cancel a job: pages in flight are stopped, finished pages stay."""
    from ..colorize import ARCHIVES
    from ..core.workspace import Workspace
    from . import background
    from .console import safe

    place = Workspace(workspace)
    row = background.cancel(place, _job(place, job).id)
    if Path(row.output).suffix.lower() in ARCHIVES:
        text = _(
            "job {job} is cancelled: no archive is written; `lote retry {job}` goes on with its finished pages"
        )
    else:
        text = _("job {job} is cancelled: finished pages stay in {folder}")
    typer.echo(text.format(job=row.id, folder=safe(row.output)))


@app.command()
def resume(
    job: JobArgument = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the job runs in the background.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Go on with a paused or interrupted job."""
    from ..core.workspace import Workspace, process_identity

    place = Workspace(workspace)
    row = _job(place, job)
    if row.ended:
        raise QueueError(f"Job {row.id} is {row.state}: `lote retry {row.id}` does its failed pages again.")
    if row.alive:
        place.ledger.want(row.id, "run")
        if row.owner == process_identity() or row.state != "queued":
            typer.echo(_("job {job} goes on").format(job=row.id))
            return
    else:
        if detach:
            _detach(place, row.id, as_json=as_json)
            return
        place.ledger.adopt(row.id, process_identity())
    raise typer.Exit(_follow(place, place.ledger.job(row.id), as_json=as_json, quiet=quiet))


@app.command()
def retry(
    job: JobArgument = None,
    page: Annotated[
        list[str] | None, typer.Option("--page", metavar="NAME", help="Only this page. Repeatable.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Completed pages too, but not approved ones.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Do failed and cancelled pages again."""
    from ..core.workspace import Workspace, process_identity

    place = Workspace(workspace)
    row = _job(place, job)
    keys = place.ledger.retry(row.id, keys=page, everything=all_)
    if page and (missing := set(page) - set(keys)):
        raise QueueError(
            f"Job {row.id} has no finished page {min(missing)}: `lote status {row.id} --pages` lists them."
        )
    # A job that was cancelled after its last page still has to be finished.
    if not keys and row.state not in ("cancelled", "failed"):
        typer.echo(_("job {job}: there is nothing to do again").format(job=row.id), err=True)
        return
    if row.alive:
        again = ngettext(
            "job {job}: {count} page will be done again",
            "job {job}: {count} pages will be done again",
            len(keys),
        )
        typer.echo(again.format(job=row.id, count=len(keys)), err=True)
        return
    place.ledger.adopt(row.id, process_identity())
    raise typer.Exit(_follow(place, place.ledger.job(row.id), as_json=as_json, quiet=quiet))


@app.command()
def recolor(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of the job.")],
    palette: Annotated[
        Path | None,
        typer.Option(
            "--palette", metavar="FILE", help="palette.json as the report writes it, with other colours."
        ),
    ] = None,
    learn: Annotated[
        bool,
        typer.Option(
            "--learn", help="Learn from the job's own pages, what is sure or approved, and do them again."
        ),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Draw all pages again in other colours, without matching anything again."""
    from ..colorize import recolour
    from ..core.workspace import Workspace, process_identity

    if palette is None and not learn:
        raise typer.BadParameter(_("give --palette FILE, --learn, or both"))
    place = Workspace(workspace)
    row = _job(place, job)
    recolour(place, row.id, palette, learn=learn)
    place.ledger.adopt(row.id, process_identity())
    raise typer.Exit(_follow(place, place.ledger.job(row.id), as_json=as_json, quiet=quiet))


@app.command()
def approve(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of the job.")],
    page: Annotated[str, typer.Argument(metavar="PAGE", help="Path of the page as `lote status` shows it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Take the approval back.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Mark a page as good: it is never done again unasked."""
    from ..core.workspace import Workspace
    from .console import safe

    place = Workspace(workspace)
    place.ledger.approve(_job(place, job).id, page, approved=not undo)
    text = _("{page} is no longer approved") if undo else _("{page} is approved")
    typer.echo(text.format(page=safe(page)))


@app.command("open")
def open_output(job: JobArgument = None, workspace: WorkspaceOption = None) -> None:
    """Open the output of a job."""
    from ..core.workspace import Workspace

    row = _job(Workspace(workspace), job)
    typer.echo(row.output)
    if not Path(row.output).exists():
        raise QueueError(f"The output {row.output} of job {row.id} is not there (yet).")
    typer.launch(row.output)


# -- upkeep -------------------------------------------------------------------------------------------


@app.command()
def doctor(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """Check this machine and the workspace: versions, backends, memory, disk, ledger, locks."""
    from .. import upkeep
    from ..core.workspace import Workspace
    from .console import put_json, safe

    bad = 0
    for finding in upkeep.doctor(Workspace(workspace)):
        bad += finding.ok is False
        if as_json:
            put_json("finding", topic=finding.topic, text=finding.text, ok=finding.ok)
        else:
            mark = {True: _("ok"), False: _("BAD"), None: ""}[finding.ok]
            typer.echo(f"{mark:>3}  {sentence(finding.topic):<18} {safe(sentence(finding.text))}")
    raise typer.Exit(1 if bad else 0)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the copy.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Copy the ledger, also while jobs run."""
    from ..core import copies
    from ..core.workspace import Workspace
    from .console import safe

    copies.back_up(Workspace(workspace), file)
    typer.echo(safe(str(file)))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Copy that `lote backup` made.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Put a copy of the ledger in its place; the one before is kept."""
    from ..core import copies
    from ..core.workspace import Workspace
    from .console import safe

    place = Workspace(workspace)
    before = copies.restore(place, file)
    if before is not None:
        kept = _("the ledger before it is kept in {file}: delete it when you no longer need it")
        typer.echo(kept.format(file=safe(str(before))), err=True)
    typer.echo(safe(str(place.database)))


@app.command()
def clean(
    job: JobArgument = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Only jobs that ended so long ago: 30d, 12h."),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Free what ended jobs keep in the workspace; outputs are never touched."""
    from .. import upkeep
    from ..core.workspace import Workspace
    from .console import size

    age = None if older_than is None else _age(older_than)
    freed = upkeep.clean(Workspace(workspace), job=job, older_than=age)
    typer.echo(_("{size} freed").format(size=size(freed)))


def _age(text: str) -> float:
    """Seconds of "30d", "12h", "45m" or "90s"."""
    from ..exceptions import ConfigurationError

    unit = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}.get(text[-1:])
    if unit is None or not text[:-1].isdecimal():
        raise ConfigurationError(f"--older-than: {text!r} is no age: write 30d, 12h, 45m or 90s.")
    return int(text[:-1]) * unit


@app.command()
def ui(
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="NAME", help="Where to listen; another than this machine needs --auth."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", help="7860 or the next free one if left out.")
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth",
            metavar="USER",
            help="Ask for this name and a password, which is read from the terminal (USER:PASSWORD, too, but others can read that).",
        ),
    ] = None,
    auth_file: Annotated[
        str | None,
        typer.Option(
            "--auth-file", metavar="FILE", help="USER:PASSWORD in a file of yours alone (else LOTE_AUTH)."
        ),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", metavar="DIR", help="Folder that the page may read and write. Repeatable."),
    ] = None,
    upload_quota: Annotated[
        str | None,
        typer.Option(
            "--upload-quota", metavar="SIZE", help="What all uploads may take together; 64G if left out."
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the web page: a whole chapter without the command line."""
    from .web import launch, quota
    from .web.credentials import credentials

    launch(
        host,
        port,
        roots=root or (),
        auth=credentials(auth, auth_file),
        workspace=workspace,
        open_browser=not no_browser,
        upload_quota=quota(upload_quota),
    )


app.add_typer(models_app, name="models")
app.add_typer(photos_app, name="photos")


def main() -> None:
    """Entry point of the command: runs it and exits with the documented code."""
    from .console import patient_streams

    # What `lote photos` prints is what was asked for: there a full disk is said. Elsewhere the work is.
    patient_streams(results=sys.argv[1:2] == ["photos"])
    command = typer.main.get_command(app)
    try:
        translate_command(command)
        code = command.main(prog_name="lote", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except BatchProcessingError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the border: see the text of this module
        sys.exit(_misused(error) if isinstance(error, USAGE_ERRORS) else _unforeseen(error))


def _say(text: str) -> None:
    from .console import fit, safe

    for number, line in enumerate(sentence(text).splitlines()):
        typer.echo(fit(f"lote: {safe(line)}" if number == 0 else safe(line)), err=True)


# typer brings its own copy of click, whose errors have one public name: BadParameter < UsageError < ...
USAGE_ERRORS: tuple[type[Exception], ...] = typer.BadParameter.__mro__[1:3]


def _misused(error: Any) -> int:
    """Say what is wrong with a command line, what was likely meant, and where to read on."""
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.message, err=True)
        return int(error.exit_code)
    if error.ctx is not None:
        typer.echo(error.ctx.get_usage(), err=True)
    near = ", ".join(getattr(error, "possibilities", None) or ())
    _say(f"{error.message}. Did you mean {near}?" if near else error.format_message())
    if error.ctx is not None:
        typer.echo(_("`{command} --help` says more.").format(command=error.ctx.command_path), err=True)
    return int(error.exit_code)


def _unforeseen(error: Exception) -> int:
    """Keep the traceback for whoever mends it, and tell the person where."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="lote-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(traceback.format_exception(error)))
    text = _("unexpected {name}: {error} (a fault of Lote; the details are in {file})")
    _say(text.format(name=type(error).__name__, error=error, file=file.name))
    return 1


if __name__ == "__main__":
    main()
