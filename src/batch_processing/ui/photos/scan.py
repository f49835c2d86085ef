"""`lote photos scan`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...exceptions import ConfigurationError
from ...i18n import sentence
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    folders_given,
    open_store,
    photos_app,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...photos.ingest import Batch, Scan

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
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Mark photos as missing, however many they are.")
    ] = False,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="Settings, JSON or TOML (section photos).")
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Scan folders: hash what is new, and record copies, moves, changes and what is missing.

    Exit codes: 0 done, 3 some files could not be read, 13 too much is missing (nothing was marked),
    130 interrupted; run the same command again and it goes on."""
    from ...config.effective import photo_settings
    from ...photos.ingest import MOST_READERS, Scan

    settings = photo_settings({"batch_size": batch_size}, config)
    root = settings["root"].value
    roots = folders_given(folders or ([str(root)] if root is not None else []))
    if not roots:
        raise ConfigurationError("Name a folder to scan: lote photos scan FOLDER.")
    if readers != "auto" and not (readers.isdecimal() and 1 <= int(readers) <= MOST_READERS):
        raise ConfigurationError(
            f"--readers must be auto or a number from 1 to {MOST_READERS}, not {readers!r}."
        )
    view = _ScanView(as_json=as_json, quiet=quiet)
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
        finally:
            view.end()
        from ...photos.audit import recent_errors

        view.summary(work, recent_errors(store, work.roots, ERRORS_SHOWN))
    if work.was_stopped:
        raise typer.Exit(130)
    raise typer.Exit(3 if work.stats.errors else 0)


class _ScanView:
    """What a person, a log or a program sees of a scan."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json, self._quiet = as_json, quiet
        self._bottom = BottomLine(wanted=not quiet and not as_json)
        self._last = 0.0  # progress of --json
        self._headers_since = 0.0
        self._total = 0

    def waiting(self, sentence: str) -> None:
        if not self._quiet:
            print_note(sentence)

    def _figures(self, work: Scan) -> dict[str, Any]:
        from ..console import memory_now

        work.count()
        stats = work.stats
        return {
            "files_seen": stats.files_seen,
            "already_processed": stats.already_processed,
            "bytes_read": stats.bytes_read,
            "bytes_per_second": round(stats.bytes_read / stats.seconds) if stats.seconds else 0,
            "eta_seconds": eta(work.last_seen, stats.files_seen, stats.seconds),
            "memory": memory_now() if self._bottom.is_live or self._json else 0,
            "duplicates": stats.duplicates,
            "errors": stats.errors,
        }

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
        print_note(
            f"batch {batch.number}: {len(batch.photos)} photos, {self._total} so far"
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
            if work.facts_read:
                self._headers_since = self._headers_since or time.monotonic()
                elapsed = time.monotonic() - self._headers_since
                to_go = elapsed * (work.facts_total - work.facts_read) / work.facts_read if elapsed else None
            left = f"  {seconds(to_go)} left" if to_go is not None else ""
            speed, memory = size(figures["bytes_per_second"]), size(figures["memory"])
            if work.facts_read:
                read, total = work.facts_read, work.facts_total
                self._bottom.say(f"{read} of {total} headers read{left}  {memory}")
            else:
                seen, known = figures["files_seen"], figures["already_processed"]
                self._bottom.say(f"{seen} photos seen, {known} known  {speed}/s{left}  {memory}")

    def end(self) -> None:
        self._bottom.clear()

    def summary(self, work: Scan, failures: Sequence[tuple[str, str, str]]) -> None:
        stats = work.stats
        for path, stage, text in failures:
            if stage != "facts":
                print_note(f"lote: {path}: {text}")
        if self._json:
            print_json("summary", state="stopped" if work.was_stopped else "done", **stats.to_dict())
        elif not self._quiet:
            from ..console import seconds, size

            rows = [
                ("photos seen", stats.files_seen),
                ("new", stats.registered),
                ("known already", stats.already_processed),
                ("copies found", stats.duplicates),
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
            for name, value in rows:
                typer.echo(f"{sentence(name):>18}  {sentence(str(value))}")
            if stats.unhandled:
                kinds = ", ".join(f"{number} {kind}" for kind, number in stats.unhandled.items())
                print_line(f"{'not photos':>17}  {kinds}: these files are not recorded")
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


def eta(last_seen: int | None, seen: int, elapsed: float) -> float | None:
    """Seconds left if the folders hold as much as at their last complete scan; None if there was none."""
    if not last_seen or not seen or seen > last_seen:
        return None
    return round((last_seen - seen) * elapsed / seen, 1)
