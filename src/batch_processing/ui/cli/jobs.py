"""The commands about jobs: which there are, how they stand, and what becomes of them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.model import TERMINAL, ItemState, JobState
from ...core.words import JOB_WORDS
from ...exceptions import BatchProcessingError, QueueError, beside
from ...i18n import _, ngettext, pgettext, translate
from ...messages import as_message
from .common import JOBS, JobArgument, JsonOption, QuietOption, WorkspaceOption, app

if TYPE_CHECKING:
    from ...core.model import Job
    from ...core.workspace import Workspace
    from ...messages import Message


# Kinds of jobs without pages.
PHOTO_JOBS = ("photos", "looks")


def job_of(workspace: Workspace, job_id: int | None, kind: str | None = None) -> Job:
    if not workspace.has_ledger:
        raise QueueError(
            "There is no job in the workspace {root} yet: `lote colorize INPUT` makes one.",
            root=workspace.root,
        )
    if job_id is None:
        return workspace.reads.current_job(kind)
    job = workspace.reads.job(job_id)
    if kind is not None and job.kind != kind:
        raise QueueError(
            "Job {job} is a scan of photos: this command is for comics; `lote list` shows their numbers.",
            job=job_id,
        )
    return job


@app.command("list", rich_help_panel=JOBS)
def list_jobs(as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """List the jobs of this workspace."""
    from ...core.workspace import Workspace
    from ...formatting import safe
    from ..console import count_of, put_json

    opened = Workspace(workspace)
    jobs = opened.reads.jobs() if opened.has_ledger else []
    counted = opened.reads.all_counts() if jobs else {}
    for job in jobs:
        counts, scanned = counted.get(job.id, dict.fromkeys(ItemState, 0)), _scanned(job)
        if as_json:
            put_json(
                "job",
                job=job.id,
                kind=job.kind,
                state=job.state,
                inputs=job.inputs,
                output=job.output,
                **counts,
                **scanned,
            )
        else:
            done = f"{counts[ItemState.COMPLETED]}/{sum(counts.values())}"
            done = str(scanned.get("files_seen", scanned.get("looks_done"))) if scanned else done
            failed = (
                "  " + count_of(ItemState.FAILED, counts[ItemState.FAILED])
                if counts[ItemState.FAILED]
                else ""
            )
            state = pgettext("job", JOB_WORDS[job.state].named)
            typer.echo(
                f"{job.id:>4}  {state:<12}  {done:>9}  {safe(job.inputs[0])} -> {safe(job.output)}{failed}"
            )
    if not jobs and not as_json:
        typer.echo(_("no jobs yet: lote colorize INPUT makes one"), err=True)


def _scanned(job: Job) -> dict[str, Any]:
    """The figures of a photo scan, or of a look at photos, by name; nothing for other jobs."""
    if job.kind == "looks":
        from ...core.plain import to_plain
        from ...photos.pixels.looks_job import LookFigures

        return to_plain(LookFigures.of(job))
    if job.kind != "photos":
        return {}
    from ...photos.progress import Figures

    values = Figures.of(job).to_dict()
    del values["recent"]
    return values


def _facts(job: Job) -> Iterable[tuple[str, Message | str]]:
    """The same as `lote status` shows it."""
    if job.kind == "looks":
        from .photos.pixels import facts as facts_of_look

        return facts_of_look(job)
    from .photos.scan import facts as facts_of_scan

    return facts_of_scan(job)


@app.command(rich_help_panel=JOBS)
def status(
    job: JobArgument = None,
    pages: Annotated[
        bool, typer.Option("--pages", help="List every page, not only what failed or is at work.")
    ] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Show how far a job is, and what failed."""
    from ...comics.book_place import book_of
    from ...core.status import JobNews
    from ...core.workspace import Workspace
    from ...formatting import safe, seconds, size
    from ..console import count_of, headline, page_state, put_json

    opened = Workspace(workspace)
    row = job_of(opened, job)
    snapshot = JobNews(opened.reads, row.id).snapshot()
    listed = opened.reads.items(row.id, *(() if pages else (ItemState.FAILED, ItemState.PROCESSING)))
    if as_json:
        for item in listed:
            put_json(
                "page",
                job=row.id,
                page=item.key,
                state=item.state,
                seconds=item.seconds,
                cpu_seconds=item.cpu_seconds,
                peak_memory=item.peak_memory,
                gpu_memory=item.gpu_memory,
                error=item.error,
            )
        put_json(
            "summary", job=row.id, state=row.state, wanted=row.wanted, phase=row.phase, error=row.error,
            inputs=row.inputs, output=row.output, total=snapshot.total, rate=snapshot.rate, eta=snapshot.eta,
            **snapshot.counts, **_scanned(row),
        )  # fmt: skip
        return
    typer.echo(headline(row.id, row.state) + (f": {_(row.phase)}" if row.phase else ""))
    for path in row.inputs[:5]:
        typer.echo(f"  {_('from'):<5} {safe(path)}")
    typer.echo(f"  {_('to'):<5} {safe(row.output)}")
    if row.kind == "comics" and (place := book_of(row)):
        text = _("{number} of {count}: {name}")
        told = text.format(number=place.number, count=place.count, name=safe(place.name))
        typer.echo(f"  {_('book'):<5} {told}")
    if row.kind in PHOTO_JOBS:
        for name, value in _facts(row):
            typer.echo(f"  {_(name):<14} {translate(as_message(value))}")
    else:
        counts = ", ".join(count_of(name, count) for name, count in snapshot.counts.items() if count)
        typer.echo(f"  {_('pages'):<5} {snapshot.total}" + (f": {counts}" if counts else ""))
        if snapshot.rate and row.state == JobState.RUNNING:
            per_minute = _("{count} pages a minute").format(count=f"{snapshot.rate * 60:.3g}")
            left = _("{time} left").format(time=seconds(snapshot.eta))
            typer.echo(f"  {_('speed'):<5} {per_minute}, {left}")
    if row.error:
        typer.echo(f"  {_('error'):<5} {safe(translate(row.error))}")
    if row.state in (JobState.INTERRUPTED, JobState.PAUSED) and not row.alive:
        typer.echo("  " + _("lote resume {job} goes on").format(job=row.id))
    for item in listed:
        took = "  " + seconds(item.seconds) if item.seconds else ""
        if item.peak_memory and pages:
            took += "  " + _("{cpu} CPU, {memory}").format(
                cpu=seconds(item.cpu_seconds), memory=size(item.peak_memory)
            )
        error = f"  {safe(translate(beside(item.error)))}" if item.error else ""
        typer.echo(f"  {page_state(item.state):<10}  {safe(item.key)}{took}{error}")


@app.command(rich_help_panel=JOBS)
def pause(job: JobArgument = None, workspace: WorkspaceOption = None) -> None:
    """Pause a job: pages in flight are finished, its process waits."""
    from ...core.workspace import Workspace
    from .. import background

    opened = Workspace(workspace)
    row = background.pause(opened, job_of(opened, job).id)
    if row.alive and row.kind in PHOTO_JOBS:
        text = _("job {job} pauses: lote resume {job} goes on")
    elif row.alive:
        text = _("job {job} pauses after the pages in flight: lote resume {job} goes on")
    else:
        text = _("job {job} is not running: lote resume {job} goes on")
    typer.echo(text.format(job=row.id))


@app.command(rich_help_panel=JOBS)
def cancel(job: JobArgument = None, workspace: WorkspaceOption = None) -> None:
    """Cancel a job: pages in flight are stopped, finished pages stay."""
    from ...colorize import ARCHIVES
    from ...core.workspace import Workspace
    from ...formatting import safe
    from .. import background

    opened = Workspace(workspace)
    row = background.cancel(opened, job_of(opened, job).id)
    if row.kind in PHOTO_JOBS:
        text = _("job {job} is cancelled: what was done is kept, and the same command goes on")
    elif Path(row.output).suffix.lower() in ARCHIVES:
        text = _(
            "job {job} is cancelled: no archive is written; `lote retry {job}` goes on with its finished pages"
        )
    else:
        text = _("job {job} is cancelled: finished pages stay in {folder}")
    typer.echo(text.format(job=row.id, folder=safe(row.output)))


@app.command(rich_help_panel=JOBS)
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
    from ...core.processes import process_identity
    from ...core.workspace import Workspace
    from .. import background
    from .following import follow, hand_over

    opened = Workspace(workspace)
    row = job_of(opened, job)
    if background.wake(opened, row.id).alive:
        if row.owner == process_identity() or row.state != JobState.QUEUED:
            typer.echo(_("job {job} goes on").format(job=row.id))
            return
    else:
        if detach:
            hand_over(opened, [row.id], as_json=as_json)
            return
        opened.ledger.adopt(row.id, process_identity())
    raise typer.Exit(follow(opened, opened.ledger.job(row.id), as_json=as_json, quiet=quiet))


@app.command(rich_help_panel=JOBS)
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
    from ...core.processes import process_identity
    from ...core.workspace import Workspace
    from .. import background
    from .following import follow

    opened = Workspace(workspace)
    row = job_of(opened, job)
    named = _finished(opened, row, page) if page else None
    keys, left = background.undo(opened, row.id, named, everything=all_)
    if not left:
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
    opened.ledger.adopt(row.id, process_identity())
    raise typer.Exit(follow(opened, opened.ledger.job(row.id), as_json=as_json, quiet=quiet))


@app.command(rich_help_panel=JOBS)
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
    from ...colorize import recolor_job
    from ...core.processes import process_identity
    from ...core.workspace import Workspace
    from .following import follow

    if palette is None and not learn:
        raise typer.BadParameter(_("give --palette FILE, --learn, or both"))
    opened = Workspace(workspace)
    row = job_of(opened, job, "comics")
    recolor_job(opened, row.id, palette, learn=learn)
    opened.ledger.adopt(row.id, process_identity())
    raise typer.Exit(follow(opened, opened.ledger.job(row.id), as_json=as_json, quiet=quiet))


@app.command(rich_help_panel=JOBS)
def approve(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of the job.")],
    page: Annotated[str, typer.Argument(metavar="PAGE", help="Path of the page as `lote status` shows it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Take the approval back.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Mark a page as good: it is never done again unasked."""
    from ...core.workspace import Workspace
    from ...formatting import safe

    opened = Workspace(workspace)
    row = job_of(opened, job, "comics")
    text = _("{page} is no longer approved") if undo else _("{page} is approved")
    for key in _finished(opened, row, [page], ItemState.COMPLETED):
        opened.ledger.approve(row.id, key, approved=not undo)
        typer.echo(text.format(page=safe(key)))


def _finished(workspace: Workspace, job: Job, texts: Sequence[str], *states: ItemState) -> list[str]:
    """The finished pages that these texts name, by path, name or pattern. QueueError where there is none; texts that
    name none beside others are warned of."""
    from ...comics.selection import selected
    from ...formatting import safe

    ended = [item.key for item in workspace.ledger.items(job.id, *states) if item.state in TERMINAL]
    keys, unused = selected(texts, ended)
    if not keys:
        raise QueueError(
            "Job {job} has no finished page {page}: `lote status {job} --pages` lists them.",
            job=job.id,
            page=unused[0],
        )
    for text in unused:
        warning = _("job {job} has no finished page {page}").format(job=job.id, page=safe(text))
        typer.echo(_("warning: {text}").format(text=warning), err=True)
    return keys


@app.command("open", rich_help_panel=JOBS)
def open_output(job: JobArgument = None, workspace: WorkspaceOption = None) -> None:
    """Open the output of a job."""
    from ...core.workspace import Workspace

    row = job_of(Workspace(workspace), job, "comics")
    typer.echo(row.output)
    if not Path(row.output).exists():
        raise QueueError(
            "The output {output} of job {job} is not there (yet).", output=row.output, job=row.id
        )
    if not _opened(row.output):
        raise BatchProcessingError(
            "There is no desktop here with a program that opens {output}: open it from another one.",
            output=row.output,
        )


def _opened(path: str) -> bool:
    """Whether the desktop's program for a file or folder was started."""
    if sys.platform.startswith("linux"):
        has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not has_screen or shutil.which("xdg-open") is None:
            return False
    try:
        return typer.launch(path) == 0
    except OSError:
        return False
