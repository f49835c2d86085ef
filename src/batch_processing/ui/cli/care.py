"""The commands that look after a workspace: `doctor`, `verify`, `backup`, `restore`, `clean`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...i18n import _, ngettext, translate
from ...messages import Message
from .common import CARE, JobArgument, JsonOption, QuietOption, WorkspaceOption, app
from .photos.common import DatabaseOption

if TYPE_CHECKING:
    from ...core.workspace import Workspace
    from ...photos.retention import Forgotten
    from ...upkeep import Finding


@app.command(rich_help_panel=CARE, epilog="lote doctor\nlote doctor --tune --folder ~/Pictures")
def doctor(
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Measure this machine for a minute, and keep the settings that fit it."),
    ] = False,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            "--folder", metavar="DIR", help="With --tune: measure the disk of these photos too. Repeatable."
        ),
    ] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Check this machine and the workspace: versions, backends, memory, disk, ledger, locks."""
    from ... import upkeep
    from ...core.workspace import Workspace
    from ...formatting import safe
    from ..console import put_json
    from .tuning import found_of, measure_here

    if folder and not tune:
        raise typer.BadParameter(_("--folder is for --tune"))
    bad = 0
    opened = Workspace(workspace)
    tuning = measure_here(opened, folder or [], quiet=as_json) if tune else None
    findings = found_of(tuning) if tuning else (*upkeep.doctor(opened), _faces())
    for finding in findings:
        bad += finding.ok is False
        if as_json:
            put_json("finding", topic=finding.topic, text=finding.text, ok=finding.ok)
        else:
            mark = {True: _("ok"), False: _("BAD"), None: ""}[finding.ok]
            typer.echo(f"{mark:>3}  {translate(finding.topic):<18} {safe(translate(finding.text))}")
    raise typer.Exit(1 if bad else 0)


def _faces() -> Finding:
    """Whether faces can be found on photos."""
    from ...photos.people.models import lacking
    from ...upkeep import Finding

    reason = lacking()
    return Finding(Message("faces on photos"), reason or Message("ready"), None if reason else True)


@app.command(rich_help_panel=CARE)
def verify(
    job: JobArgument = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Read what a job has handed over again: find what a failing disk has changed.

    Exit codes: 0 all is well, 2 there is nothing to verify, 3 something is changed or missing."""
    from collections import Counter

    from ...comics.verifying import Remedy, Standing
    from ...comics.verifying import verify as verified
    from ...core.workspace import Workspace
    from ...formatting import safe
    from ..console import put_json
    from .jobs import job_of

    opened = Workspace(workspace)
    row = job_of(opened, job, "comics")
    counts = Counter(dict.fromkeys(Standing, 0))
    for one in verified(opened, row):
        counts[one.standing] += 1
        if one.standing == Standing.WHOLE:
            continue
        if as_json:
            put_json("finding", path=str(one.path), page=one.page, result=one.standing, remedy=one.remedy)
            continue
        texts = {
            (Standing.MISSING, Remedy.AGAIN): _("{path} is missing: the same command makes it again"),
            (Standing.CHANGED, Remedy.AGAIN): _(
                "{path} is not as Lote wrote it: the same command makes it again"
            ),
            (Standing.CHANGED, Remedy.RETRY): _(
                "{path} is not as Lote wrote it: `lote retry {job} --page {page}` makes it again"
            ),
            (Standing.CHANGED, Remedy.MOVE): _(
                "{path} is not as Lote wrote it: move it away, and the same command makes it again"
            ),
        }
        text = texts[one.standing, one.remedy or Remedy.AGAIN]
        said = text.format(path=safe(str(one.path)), job=row.id, page=safe(one.page))
        typer.echo(f"lote: {said}", err=True)
    if as_json:
        put_json("summary", **{standing.value: count for standing, count in counts.items()})
    elif not quiet:
        text = _("{whole} as they were written, {changed} changed, {missing} missing")
        typer.echo(text.format(**{standing.value: count for standing, count in counts.items()}))
    bad = counts[Standing.CHANGED] + counts[Standing.MISSING]
    raise typer.Exit(3 if bad else 0 if counts.total() else 2)


@app.command(rich_help_panel=CARE)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the copy.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Copy the ledger, also while jobs run."""
    from ...core import copies
    from ...core.workspace import Workspace
    from ...formatting import safe

    copies.back_up(Workspace(workspace), file)
    typer.echo(safe(str(file)))


@app.command(rich_help_panel=CARE)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Copy that `lote backup` made.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Put a copy of the ledger in its place; the one before is kept."""
    from ...core import copies
    from ...core.workspace import Workspace
    from ...formatting import safe

    opened = Workspace(workspace)
    before = copies.restore(opened, file)
    if before is not None:
        kept = _("the ledger before it is kept in {file}: delete it when you no longer need it")
        typer.echo(kept.format(file=safe(str(before))), err=True)
    typer.echo(safe(str(opened.database)))


@app.command(rich_help_panel=CARE)
def clean(
    job: JobArgument = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Only jobs that ended so long ago, and what is told of them and of scans: 90d, 12h.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Free what ended jobs keep in the workspace; outputs are never touched."""
    from ... import upkeep
    from ...core.workspace import Workspace
    from ...formatting import size
    from ..console import put_json

    age = None if older_than is None else _age(older_than)
    opened = Workspace(workspace)
    freed = upkeep.clean(opened, job=job, older_than=age, dry_run=dry_run)
    told = None
    if age is not None and job is None and (database or _knows_photos(opened)):
        told = _forget_scans(database, workspace, age, dry_run=dry_run)
    if as_json:
        runs, batches = (told.runs, told.batches) if told else (0, 0)
        put_json(
            "clean", dry_run=dry_run, bytes=freed.bytes, jobs=freed.jobs, events=freed.events, scans=runs,
            batches=batches,
        )  # fmt: skip
        return
    if told is not None:
        counts = (
            (_("events of ended jobs: {count}"), freed.events),
            (_("old scans and looks: {count}"), told.runs),
            (_("batches of them: {count}"), told.batches),
        )
        for line, count in counts:
            typer.echo("  " + line.format(count=count))
    if dry_run:
        text = ngettext(
            "{size} of {count} job would be freed", "{size} of {count} jobs would be freed", freed.jobs
        )
        typer.echo(text.format(size=size(freed.bytes), count=freed.jobs))
    else:
        typer.echo(_("{size} freed").format(size=size(freed.bytes)))


def _knows_photos(workspace: Workspace) -> bool:
    """Whether the ledger has a library of photos in it, too: asked without making one."""
    import sqlalchemy as sa

    from ...photos.tables import scans

    return workspace.has_ledger and sa.inspect(workspace.ledger.database.engine).has_table(scans.name)


def _forget_scans(database: str | None, workspace: str | None, age: float, *, dry_run: bool) -> Forgotten:
    """Forget what is told of old scans, or only count it."""
    from datetime import UTC, datetime, timedelta

    from ...photos.retention import forget_old
    from .photos.common import open_store

    with open_store(database, workspace) as (store, _workspace):
        return forget_old(store, datetime.now(UTC) - timedelta(seconds=age), dry_run=dry_run)


def _age(text: str) -> float:
    """Seconds of "30d", "12h", "45m" or "90s"."""
    from ...exceptions import ConfigurationError

    unit = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}.get(text[-1:])
    if unit is None or not text[:-1].isdecimal():
        raise ConfigurationError(
            "--older-than: {text} is no age: write 30d, 12h, 45m or 90s.", text=repr(text)
        )
    return int(text[:-1]) * unit
