"""`lote photos scan`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...exceptions import ConfigurationError
from ...i18n import _, sentence
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    counted,
    folders_given,
    open_store,
    photos_app,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...photos.counting import CountAhead, Totals
    from ...photos.ingest import Batch, Scan, ScanStats

# How often a `progress` object is printed with --json.
JSON_INTERVAL_S = 1.0
# A first scan that has taken so long has its photos counted by another process: then somebody waits for it.
COUNT_AFTER_S = 1.0
# What a photo costs beside its bytes, in bytes that could be read meanwhile: 40 KB from the page cache (`hashing.FILE_S`
# times `hashing.SPEED`), more from a disk.
PHOTO_BYTES = 64 * 1024
# Errors shown at the end of a scan; `lote photos errors` has them all.
ERRORS_SHOWN = 10


@photos_app.command()
def scan(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER...", help="Folders of photos; the config file's root if left out."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", metavar="N", help="Photos in a batch (LOTE_BATCH_SIZE; 100)."),
    ] = None,
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
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Scan folders: hash what is new, and record copies, moves, changes and what is missing.

    Exit codes: 0 done, 3 some files could not be read or are ruined, 11 another scan is at work (--no-wait), 13 too much is
    missing (nothing was marked), 130 interrupted; run the same command again and it goes on."""
    from ...config.effective import photo_settings
    from ...photos.ending import ScanGuardError
    from ...photos.hashing import MOST_READERS
    from ...photos.ingest import Scan

    settings = photo_settings({"batch_size": batch_size, "videos": videos}, config)
    root = settings["root"].value
    roots = folders_given(folders or ([str(root)] if root is not None else []))
    if not roots:
        raise ConfigurationError("Name a folder to scan: lote photos scan FOLDER.")
    if readers != "auto" and not (readers.isdecimal() and 1 <= int(readers) <= MOST_READERS):
        raise ConfigurationError(
            f"--readers must be auto or a number from 1 to {MOST_READERS}, not {readers!r}."
        )
    with_videos = settings["videos"].value
    view = _ScanView(as_json=as_json, quiet=quiet, from_start=from_batch == 1, videos=with_videos)
    stop = Stop()
    with open_store(database, workspace) as (store, place), stop.listening():
        work = Scan(
            store,
            roots,
            batch_size=settings["batch_size"].value,
            start_batch=from_batch,
            exclude=exclude or (),
            readers=None if readers == "auto" else int(readers),
            allow_missing=allow_missing,
            facts=not no_facts,
            videos=with_videos,
            paranoid=paranoid,
            wait=not no_wait,
            workspace=place,
            stopped=stop,
            progress=view.progress,
            waiting=view.waiting,
        )
        if dry_run:
            view.plan(work.plan())
            raise typer.Exit(130 if work.was_stopped else 0)
        try:
            for batch in work.run():
                view.batch(batch, work)
        except ScanGuardError:
            view.refused(work)
            raise
        finally:
            view.close()
        from ...photos.audit import recent_errors

        view.summary(work, recent_errors(store, work.roots, ERRORS_SHOWN))
    if work.was_stopped:
        raise typer.Exit(130)
    raise typer.Exit(3 if work.stats.errors else 0)


class _ScanView:
    """What a person, a log or a program sees of a scan."""

    def __init__(self, *, as_json: bool, quiet: bool, from_start: bool = True, videos: bool = False) -> None:
        """`from_start`: not from some batch on. `videos`: they are scanned, too."""
        self._json, self._quiet = as_json, quiet
        self._from_start, self._videos = from_start, videos
        self._count: CountAhead | None = None
        self._bottom = BottomLine(wanted=not quiet and not as_json)
        self._last = 0.0  # progress of --json
        self._headers_since = 0.0
        self._total = 0

    def waiting(self, sentence: str) -> None:
        print_note(sentence)  # with --quiet too: else it would stand still for no reason that is seen

    def _figures(self, work: Scan) -> dict[str, Any]:
        from ..console import memory_now

        work.count()
        stats = work.stats
        totals = self._counted(work)
        to_go = eta(work.last_seen, stats.files_seen, stats.seconds)
        if work.facts_read:
            self._headers_since = self._headers_since or time.monotonic()
            elapsed = time.monotonic() - self._headers_since
            to_go = elapsed * (work.facts_total - work.facts_read) / work.facts_read if elapsed else None
        elif totals is not None:
            to_go = first_eta(totals.total_photos, totals.total_bytes, stats)
        return {
            "total_photos": max(totals.total_photos, stats.files_seen) if totals is not None else None,
            "total_bytes": max(totals.total_bytes, stats.bytes_read) if totals is not None else None,
            "total_is_final": totals is not None and totals.is_final,
            "files_seen": stats.files_seen,
            "already_processed": stats.already_processed,
            "bytes_read": stats.bytes_read,
            "bytes_per_second": round(stats.bytes_read / stats.seconds) if stats.seconds else 0,
            "eta_seconds": round(to_go, 1) if to_go is not None else None,
            "memory": memory_now() if self._bottom.is_live or self._json else 0,
            "duplicates": stats.duplicates,
            "errors": stats.errors,
        }

    def _counted(self, work: Scan) -> Totals | None:
        """What there is in all, where this is the first scan of its folders and enough of them is counted."""
        if work.last_seen is not None or not self._from_start:
            return None
        if self._count is None:
            if work.stats.seconds < COUNT_AFTER_S or work.facts_read:
                return None
            from ...photos.counting import CountAhead

            self._count = CountAhead()
            self._count.start(work.roots, self._videos)
        totals = self._count.poll()
        return totals if totals is not None and totals.is_estimable else None

    def batch(self, batch: Batch, work: Scan) -> None:
        self._total += len(batch.photos)
        if self._quiet:
            return
        figures = self._figures(work)
        if self._json:
            print_json(
                "batch",
                number=batch.number,
                photos=len(batch.photos),
                total=self._total,
                first_path=batch.first_path,
                last_path=batch.last_path,
                copies=batch.copies,
                bytes=batch.bytes,
                seconds=round(batch.seconds, 3),
                again=batch.again,
                **figures,
            )
            return
        from ..console import memory_now, seconds, size

        left = f"  {seconds(figures['eta_seconds'])} left" if figures["eta_seconds"] is not None else ""
        self.end()
        so_far = _of_all(figures) or f"{self._total} so far"
        print_note(
            f"batch {batch.number}: {len(batch.photos)} photos, {so_far}"
            f"  {size(figures['bytes_per_second'])}/s{left}  {size(figures['memory'] or memory_now())} of memory"
            f"  {figures['duplicates']} duplicates  {figures['errors']} errors"
            + ("  (found before, not taken then)" if batch.again else "")
        )

    def progress(self, work: Scan) -> None:
        if self._json and not self._quiet and time.monotonic() - self._last >= JSON_INTERVAL_S:
            self._last = time.monotonic()
            print_json(
                "progress", facts_read=work.facts_read, facts_total=work.facts_total, **self._figures(work)
            )
        elif self._bottom.is_due:
            from ..console import seconds, size

            figures = self._figures(work)
            to_go = figures["eta_seconds"]
            left = f"  {seconds(to_go)} left" if to_go is not None else ""
            speed, memory = size(figures["bytes_per_second"]), size(figures["memory"])
            if work.facts_read:
                read, total = work.facts_read, work.facts_total
                self._bottom.say(f"{read} of {total} headers read{left}  {memory}")
            else:
                known = figures["already_processed"]
                seen = _of_all(figures) or f"{figures['files_seen']} photos seen"
                self._bottom.say(f"{seen}, {known} known  {speed}/s{left}  {memory}")

    def end(self) -> None:
        self._bottom.clear()

    def close(self) -> None:
        """Nothing more will come but the summary."""
        self.end()
        if self._count is not None:
            self._count.close()

    def refused(self, work: Scan) -> None:
        """Too much is missing to believe it."""
        if self._json:
            work.count()
            print_json("summary", state="refused", **work.stats.to_dict())

    def summary(self, work: Scan, failures: Sequence[tuple[str, str, str]]) -> None:
        stats = work.stats
        for path, stage, text in failures:
            if stage != "facts":
                print_note(f"lote: {path}: {text}")
        for step in work.unfinished:  # with --quiet too: a photo has another name
            spare = os.fsdecode(os.path.basename(step.spare))  # noqa: PTH119 - bytes
            why = step.problem or "another file has its name: rename one of them"
            print_note(
                f"lote: {os.fsdecode(step.path)}: is called {spare} since a run that was killed; {why}"
            )
        if stats.missing and self._quiet:
            print_note(
                f"lote: missing since the last scan: {stats.missing}; the first is {work.first_missing}"
            )
        if self._json:
            print_json("summary", state="stopped" if work.was_stopped else "done", **stats.to_dict())
        elif not self._quiet:
            from ..console import seconds, size

            rows = [
                ("photos seen", stats.files_seen),
                ("new", stats.registered),
                ("known already", stats.already_processed),
                ("copies found", stats.duplicates),
                ("originals away", stats.absent_originals),
                ("moved", stats.moved),
                ("changed", stats.changed),
                ("missing", stats.missing),
                ("hard links found", stats.hard_links),
                ("errors", stats.errors),
                ("header errors", stats.facts_errors),
                ("batches", stats.batches),
                ("read", size(stats.bytes_read)),
                ("time", seconds(stats.seconds)),
                ("time per batch", seconds(stats.seconds_per_batch) if stats.batches else "–"),
                ("peak memory", size(stats.peak_memory)),
            ]
            rows = [row for row in rows if row[0] != "originals away" or row[1]]
            for name, value in rows:
                typer.echo(f"{sentence(name):>18}  {sentence(str(value))}")
            if stats.absent_originals:
                print_line(
                    "Originals that are away are not there now: their drive is not plugged in, or they were moved."
                )
            for reason, left in stats.left_alone.items():
                print_line(f"{_('left alone'):>18}  {counted(reason, left.count)}, the first is {left.first}")
            for format_name, number in stats.lacking.items():
                print_line(
                    f"{_('not understood'):>18}  {number} {format_name}: no library that reads it is installed"
                )
            if stats.damaged:
                print_line(f"{_('damaged'):>18}  {stats.damaged}: `lote photos errors --damaged` lists them")
            if stats.unhandled:
                kinds = ", ".join(f"{number} {kind}" for kind, number in stats.unhandled.items())
                print_line(f"{_('not photos'):>18}  {kinds}: these files are not recorded")
            if stats.errors or stats.facts_errors:
                print_line("`lote photos errors` lists what could not be read.")
        if work.was_stopped:
            print_note("lote: stopped; what was done is kept. Run the same command again and it goes on.")

    def plan(self, plan: dict[str, Any]) -> None:
        if self._json:
            print_json("summary", state="dry run", **plan)
            return
        from ..console import size

        print_line(
            f"{plan['files_seen']} photos seen: {plan['already_processed']} known, "
            f"{plan['to_read']} to be read ({size(plan['bytes_to_read'])}), {plan['gone']} not where they were"
        )


def _of_all(figures: dict[str, Any]) -> str | None:
    """How many photos of how many; None if nobody knows how many there are."""
    if figures["total_photos"] is None:
        return None
    seen, total = f"{figures['files_seen']:,}", f"{figures['total_photos']:,}"
    return f"{seen} of {total} photos" if figures["total_is_final"] else f"{seen} of about {total} photos"


def first_eta(total_photos: int, total_bytes: int, stats: ScanStats) -> float | None:
    """Seconds left of a first scan of so many photos and bytes; None before any work is done. Bytes decide where
    photos are large, their number where they are small. What an earlier run of the scan has read is no work."""
    known = stats.already_processed
    unread = total_bytes * (1 - min(1.0, known / total_photos)) if total_photos else 0.0
    work = (total_photos - known) * PHOTO_BYTES + unread
    done = (stats.files_seen - known) * PHOTO_BYTES + stats.bytes_read
    return max(0.0, work - done) * stats.seconds / done if done > 0 else None


def eta(last_seen: int | None, seen: int, elapsed: float) -> float | None:
    """Seconds left if the folders hold as much as at their last complete scan; None if there was none."""
    if not last_seen or not seen or seen > last_seen:
        return None
    return round((last_seen - seen) * elapsed / seen, 1)
