"""`lote photos scan`."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ....core.model import JobState
from ....exceptions import ConfigurationError
from ....i18n import N_, _, ngettext
from ....messages import NOTHING, Message
from ..common import MetricsOption
from ..tuning import warn_of_tuning
from . import words
from .common import (
    BatchSizeOption,
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    folders_given,
    open_store,
    photos_app,
    print_facts,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ....core.model import Event, Job
    from ....core.status import Snapshot
    from ....core.workspace import Workspace
    from ....photos.application import Photos, ScanResult
    from ....photos.ingest import Batch, Scan, ScanPlan, ScanStats
    from ....photos.progress import Figures
    from ....photos.store import Store

# How often a `progress` object is printed with --json.
JSON_INTERVAL_S = 1.0
# Errors shown at the end of a scan; `lote photos errors` has them all.
ERRORS_SHOWN = 10


@photos_app.command()
def scan(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER...", help="Folders of photos; the config file's root if left out."),
    ] = None,
    batch_size: BatchSizeOption = None,
    from_batch: Annotated[
        int, typer.Option("--from-batch", metavar="K", min=1, help="Start at the first path of this batch.")
    ] = 1,
    database: DatabaseOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Leave this alone (gitignore syntax). Repeatable."),
    ] = None,
    readers: Annotated[
        str, typer.Option("--readers", metavar="auto|N", help="Threads that read; auto goes by the disk.")
    ] = "auto",
    no_facts: Annotated[
        bool, typer.Option("--no-facts", help="Do not read header facts after hashing.")
    ] = False,
    look: Annotated[
        bool, typer.Option("--look", help="Look at the pixels afterwards, like lote photos look.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read, and write nothing.")
    ] = False,
    videos: Annotated[
        bool | None,
        typer.Option("--videos/--no-videos", help="Record and hash videos like photos (LOTE_VIDEOS; no)."),
    ] = None,
    paranoid: Annotated[
        bool,
        typer.Option(
            "--paranoid",
            help="Read again what has another change time, even if nothing else about it is new.",
        ),
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Mark photos as missing, however many they are.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End with exit code 11 if another scan is at work.")
    ] = False,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="Settings, JSON or TOML (section photos).")
    ] = None,
    metrics: MetricsOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Scan folders: hash what is new, and record copies, moves, changes and what is missing.

    Exit codes: 0 done, 3 some files could not be read or looked at, or are ruined, 11 another scan is at work (--no-wait), 13 too much is
    missing (nothing was marked), 130 interrupted; run the same command again and it goes on."""
    from ....config.effective import photo_settings
    from ....core.tuning import tuned
    from ....monitoring import metrics_kept
    from ....photos.application import Photos, ScanRequest
    from ....photos.application import scan as run_scan
    from ....photos.hashing import MOST_READERS

    settings = photo_settings({"batch_size": batch_size, "videos": videos}, config)
    root = settings["root"].value
    roots = folders_given(folders or ([str(root)] if root is not None else []))
    if not roots:
        raise ConfigurationError("Name a folder to scan: lote photos scan FOLDER.")
    if readers != "auto" and not (readers.isdecimal() and 1 <= int(readers) <= MOST_READERS):
        raise ConfigurationError(
            "--readers must be auto or a number from 1 to {limit}, not {readers}.",
            limit=MOST_READERS,
            readers=repr(readers),
        )
    request = ScanRequest(
        tuple(os.fsdecode(root) for root in roots),
        "",
        batch_size=settings["batch_size"].value or 1,  # of `auto` it is said below
        start_batch=from_batch,
        exclude=tuple(exclude or ()),
        readers=None if readers == "auto" else int(readers),
        allow_missing=allow_missing,
        facts=not no_facts,
        videos=settings["videos"].value,
        paranoid=paranoid,
        look=look,
    )
    view = _ScanView(as_json=as_json, quiet=quiet)
    with open_store(database, workspace) as (store, opened):
        request = replace(
            request,
            database=database or str(opened.database),
            batch_size=settings["batch_size"].value or tuned(opened).batch_size,
        )
        if not quiet and not as_json:
            warn_of_tuning(opened)
        if dry_run:
            stop = Stop()
            with stop.listening():
                work = request.scan(store, stop)
                view.plan(work.plan())
            raise typer.Exit(130 if work.was_stopped else 0)
        photos = Photos(
            opened, store, on_batch=view.batch, on_wait=view.waiting, wait=not no_wait, counted=not quiet
        )
        with metrics_kept(opened, metrics):
            raise typer.Exit(_run(photos, store, view, partial(run_scan, opened, request, photos, store)))


def follow(opened: Workspace, job: Job, *, as_json: bool, quiet: bool) -> int:
    """Go on with a scan, or wait for its end, and print what became of it; the exit code. For `lote resume`."""
    from ....photos.application import Photos, ScanRequest, run

    view = _ScanView(as_json=as_json, quiet=quiet)
    with open_store(ScanRequest.of(job).database, str(opened.root)) as (store, _):
        photos = Photos(opened, store, on_batch=view.batch, on_wait=view.waiting, counted=not quiet)
        return _run(photos, store, view, partial(run, opened, job.id, photos=photos))


def _run(photos: Photos, store: Store, view: _ScanView, begin: Callable[..., ScanResult]) -> int:
    """Have a scan begun with `on_news` and `interrupt`, show it, and print what became of it; the exit code."""
    from ....core.coordinator import Interrupt, Interrupted
    from ....photos.audit import recent_errors
    from ....photos.ending import ScanGuardError
    from ....photos.ingest import ScanStats

    interrupt = Interrupt()
    result = None
    try:
        with interrupt.signals():
            result = begin(on_news=view.news, interrupt=interrupt)
    except Interrupted:
        pass  # said below
    except ScanGuardError:
        view.refused(photos.begun.stats if photos.begun else ScanStats())
        raise
    finally:
        view.close()
    done = photos.begun
    stats = done.stats if done else result.stats if result else ScanStats()
    state = result.state if result else "stopped"
    failures = recent_errors(store, done.roots, ERRORS_SHOWN) if done else []
    view.summary(state, stats, done, failures)
    return result.exit_code if result else 130


class _ScanView:
    """What a person, a log or a program sees of a scan."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json, self._quiet = as_json, quiet
        self._bottom = BottomLine(wanted=not quiet and not as_json)
        self._last = 0.0  # progress of --json

    def waiting(self, text: Message) -> None:
        print_note(text)  # with --quiet too: else it would stand still for no reason that is seen

    def batch(self, batch: Batch, figures: Figures) -> None:
        if self._quiet:
            return
        from ....formatting import size
        from ...console import memory_now

        total = figures.recent[-1].total
        if self._json:
            print_json(
                "batch",
                number=batch.number,
                photos=len(batch.photos),
                total=total,
                first_path=batch.first_path,
                last_path=batch.last_path,
                copies=batch.copies,
                bytes=batch.bytes,
                seconds=round(batch.seconds, 3),
                again=batch.again,
                **figures.told(),
                memory=memory_now(),
                duplicates=figures.duplicates,
                errors=figures.errors,
            )
            return
        from ...console import memory_now

        self.end()
        line = Message(
            "batch {number}: {photos}, {so_far}  {bytes_per_second}/s{left}  {memory} of memory  {duplicates}  {errors}",
            number=batch.number,
            photos=words.photos(len(batch.photos)),
            so_far=_of_all(figures) or Message("{total} so far", total=total),
            bytes_per_second=size(figures.bytes_per_second),
            left=_left(figures),
            memory=size(memory_now()),
            duplicates=ngettext("{count} duplicate", "{count} duplicates", figures.duplicates).format(
                count=figures.duplicates
            ),
            errors=ngettext("{count} error", "{count} errors", figures.errors).format(count=figures.errors),
        )
        if batch.again:
            line = Message("{line}  (found before, not taken then)", line=line)
        print_note(line)

    def news(self, events: list[Event], snapshot: Snapshot) -> None:
        """How far it is, as the ledger has it, whichever process scans."""
        for event in events:
            if event.kind == "warning":
                print_note("warning: {text}", text=event.data["text"])
        job = snapshot.job
        if job.state not in (JobState.RUNNING, JobState.PAUSED):
            return
        from ....photos.progress import Figures

        figures = Figures.of(job)
        if self._json and not self._quiet and time.monotonic() - self._last >= JSON_INTERVAL_S:
            from ...console import memory_now

            self._last = time.monotonic()
            print_json(
                "progress",
                facts_read=figures.facts_read,
                facts_total=figures.facts_total,
                looks_done=figures.looks_done,
                looks_total=figures.looks_total,
                **figures.told(),
                memory=memory_now(),
                duplicates=figures.duplicates,
                errors=figures.errors,
            )
        elif self._bottom.is_due:
            self._bottom.say(_bottom_line(job, figures))

    def end(self) -> None:
        self._bottom.clear()

    def close(self) -> None:
        """Nothing more will come but the summary."""
        self.end()

    def refused(self, stats: ScanStats) -> None:
        """Too much is missing to believe it."""
        if self._json:
            print_json("summary", state="refused", **stats.to_dict())

    def summary(
        self, state: str, stats: ScanStats, scan: Scan | None, failures: Sequence[tuple[str, str, Message]]
    ) -> None:
        """`scan`: the one that this process ran, if it did."""
        for path, stage, text in failures:
            if stage != "facts":
                print_note("lote: {path}: {text}", path=path, text=text)
        for step in scan.unfinished if scan else ():  # with --quiet too: a photo has another name
            spare = os.fsdecode(os.path.basename(step.spare))  # noqa: PTH119 - bytes
            why = step.problem or Message("another file has its name: rename one of them")
            print_note(
                "lote: {path}: is called {spare} since a run that was killed; {why}",
                path=os.fsdecode(step.path),
                spare=spare,
                why=why,
            )
        if stats.missing and self._quiet and scan:
            print_note(
                "lote: missing since the last scan: {missing}; the first is {first_missing}",
                missing=stats.missing,
                first_missing=scan.first_missing,
            )
        if self._json:
            print_json("summary", state=state, **stats.to_dict())
        elif not self._quiet:
            from ....formatting import seconds, size

            rows: list[tuple[str, object]] = [
                (N_("photos seen"), stats.files_seen),
                (N_("new"), stats.registered),
                (N_("known already"), stats.already_processed),
                (N_("copies found"), stats.duplicates),
                (N_("originals away"), stats.absent_originals),
                (N_("moved"), stats.moved),
                (N_("changed"), stats.changed),
                (N_("missing"), stats.missing),
                (N_("hard links found"), stats.hard_links),
                (N_("errors"), stats.errors),
                (N_("header errors"), stats.facts_errors),
                (N_("looked at"), stats.looked),
                (N_("not decoded"), stats.pixel_errors),
                (N_("batches"), stats.batches),
                (N_("read"), size(stats.bytes_read)),
                (N_("time"), seconds(stats.seconds)),
                (N_("time per batch"), seconds(stats.seconds_per_batch) if stats.batches else "–"),
                (N_("peak memory"), size(stats.peak_memory)),
            ]
            rows = [
                row for row in rows if row[0] not in ("originals away", "looked at", "not decoded") or row[1]
            ]
            print_facts(rows)
            if stats.absent_originals:
                print_line(
                    "Originals that are away are not there now: their drive is not plugged in, or they were moved."
                )
            for reason, left in stats.left_alone.items():
                print_line(
                    "{label}  {reason}, the first is {first}",
                    label=f"{_('left alone'):>18}",
                    reason=words.counted(reason, left.count),
                    first=left.first,
                )
            for format_name, number in stats.lacking.items():
                print_line(
                    "{label}  {count} {format_name}: no library that reads it is installed",
                    label=f"{_('not understood'):>18}",
                    count=number,
                    format_name=format_name,
                )
            if stats.damaged:
                print_line(
                    "{label}  {damaged}: `lote photos errors --damaged` lists them",
                    label=f"{_('damaged'):>18}",
                    damaged=stats.damaged,
                )
            if stats.unhandled:
                kinds = ", ".join(f"{number} {kind}" for kind, number in stats.unhandled.items())
                print_line(
                    "{label}  {kinds}: these files are not recorded",
                    label=f"{_('not photos'):>18}",
                    kinds=kinds,
                )
            if stats.errors or stats.facts_errors or stats.pixel_errors:
                print_line("`lote photos errors` lists what could not be read.")
        if state == JobState.CANCELLED:
            print_note("lote: cancelled; what was done is kept. The same command goes on.")
        if state == "stopped":
            print_note("lote: stopped; what was done is kept. Run the same command again and it goes on.")

    def plan(self, plan: ScanPlan) -> None:
        if self._json:
            print_json("summary", state="dry run", **asdict(plan))
            return
        from ....formatting import size

        print_line(
            "{seen}: {known} known, {to_read} to be read ({size}), not at their place: {gone}",
            seen=_seen(plan.files_seen),
            known=plan.already_processed,
            to_read=plan.to_read,
            size=size(plan.bytes_to_read),
            gone=plan.gone,
        )


def _seen(count: int) -> str:
    return ngettext("{count} photo seen", "{count} photos seen", count).format(count=count)


def _of_all(figures: Figures) -> Message | None:
    """How many photos of how many; None if nobody knows how many there are."""
    if figures.total_photos is None:
        return None
    seen, total = f"{figures.files_seen:,}", f"{figures.total_photos:,}"
    if figures.total_is_final:
        return Message("{seen} of {total}", seen=seen, total=words.photos(figures.total_photos, total))
    return Message("{seen} of about {total}", seen=seen, total=words.photos(figures.total_photos, total))


def _left(figures: Figures) -> Message:
    """The time that is left, with the space before it."""
    from ....formatting import seconds

    to_go = figures.eta_seconds
    return NOTHING if to_go is None else Message("  {to_go} left", to_go=seconds(to_go))


def _bottom_line(job: Job, figures: Figures) -> Message:
    from ....formatting import size
    from ...console import memory_now

    left, memory = _left(figures), size(memory_now())
    if job.state == JobState.PAUSED:
        return Message("paused; lote resume {job} goes on", job=job.id)
    if figures.looks_total:
        return Message(
            "{done} of {total} photos looked at{left}  {memory}",
            done=figures.looks_done,
            total=figures.looks_total,
            left=left,
            memory=memory,
        )
    if figures.facts_read:
        read, total = figures.facts_read, figures.facts_total
        return Message(
            "{read} of {total} headers read{left}  {memory}", read=read, total=total, left=left, memory=memory
        )
    return Message(
        "{seen}, {known} known  {speed}/s{left}  {memory}",
        seen=_of_all(figures) or _seen(figures.files_seen),
        known=figures.already_processed,
        speed=size(figures.bytes_per_second),
        left=left,
        memory=memory,
    )


def facts(job: Job) -> list[tuple[str, Message | str]]:
    """What `lote status` says of a scan: names, marked with `N_`, and values."""
    from ....formatting import seconds, size
    from ....photos.progress import Figures

    figures = Figures.of(job)
    rows: list[tuple[str, Message | str]] = [
        (N_("photos seen"), _of_all(figures) or str(figures.files_seen)),
        (N_("new"), str(figures.registered)),
        (N_("known already"), str(figures.already_processed)),
        (N_("copies found"), str(figures.duplicates)),
        (N_("errors"), str(figures.errors)),
        (N_("batches"), str(figures.batches)),
        (N_("read"), size(figures.bytes_read)),
        (N_("time"), seconds(figures.seconds)),
    ]
    if figures.facts_total:
        rows.append((N_("headers read"), f"{figures.facts_read} / {figures.facts_total}"))
    if figures.looks_total:
        rows.append((N_("looked at"), f"{figures.looks_done} / {figures.looks_total}"))
    return rows
