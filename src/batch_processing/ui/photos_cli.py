"""The commands `lote photos ...`.

Thin: each reads its arguments, calls the photo application and prints. Results go to stdout, progress and
errors to stderr; with `--json` stdout holds one object a line, the last of them the summary.
Nothing that changes or deletes anything happens without `--yes`. Cheap to import.
"""

from __future__ import annotations

import csv
import gc
import json
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..exceptions import ConfigurationError, ValidationError
from ..i18n import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..core.workspace import Workspace
    from ..photos.duplicates import Group, Member
    from ..photos.ingest import Batch, Scan
    from ..photos.store import Store

photos_app = typer.Typer(
    help="Scan photo libraries, find copies, and check that nothing is lost.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# How often the line at the bottom of a terminal, and a `progress` object with --json, is renewed.
TERMINAL_INTERVAL_S = 0.25
JSON_INTERVAL_S = 1.0
# Errors shown at the end of a scan; `lote photos errors` has them all.
ERRORS_SHOWN = 10

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="LOTE_DATABASE",
        help="SQLAlchemy URL or SQLite file; the workspace's own if left out.",
    ),
]
WorkspaceOption = Annotated[
    str | None,
    typer.Option("--workspace", metavar="DIR", help="Folder that remembers the work (LOTE_WORKSPACE)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it; without this only what would be done is shown.")
]


@contextmanager
def _library(database: str | None, workspace: str | None) -> Iterator[tuple[Store, Workspace]]:
    from ..core.workspace import Workspace
    from ..photos.store import Store, open_database

    place = Workspace(workspace)
    place.ensure()
    opened = open_database(database or place.database)
    store = Store(opened)
    gc.freeze()  # a collection that looks through all that was imported takes 20 ms in the middle of a scan
    try:
        yield store, place
    finally:
        store.close()
        opened.close()


class _Stop:
    """The first Ctrl-C (or SIGTERM) asks to stop, the second stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[_Stop]:
        def ask(_number: int, _frame: object) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _put(event: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    from .console import safe

    typer.echo(safe(sentence(text)), err=True)


def _line(text: str) -> None:
    """A line of a result, on stdout."""
    from .console import safe

    typer.echo(safe(sentence(text)))


def _paths(folders: Sequence[str]) -> list[bytes]:
    if "" in folders:  # an unset variable of a script: not the current folder
        raise ConfigurationError("The name of a folder is empty: name a folder of photos.")
    return [os.path.abspath(os.path.expanduser(os.fsencode(folder))) for folder in folders]  # noqa: PTH100, PTH111 - bytes


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns on stdout, numbers to the right."""
    from .console import safe

    head = [sentence(word) for word in head]
    body = [[safe(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(head), *body]) for column in range(len(head))]
    right = [
        bool(body) and all(row[column][:1].isdigit() or not row[column] for row in body)
        for column in range(len(head))
    ]
    for row in [list(head), *body]:
        cells = [
            cell.rjust(width) if left else cell.ljust(width)
            for cell, width, left in zip(row, widths, right, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


class _Bottom:
    """The line at the bottom of a terminal that says how far it is; nothing where stderr is none."""

    def __init__(self, *, wanted: bool) -> None:
        self.is_live = wanted and sys.stderr.isatty()
        self._drawn = False
        self._last = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a new text."""
        return self.is_live and time.monotonic() - self._last >= TERMINAL_INTERVAL_S

    def say(self, text: str) -> None:
        sys.stderr.write("\r\x1b[K" + sentence(text)[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()
        self._drawn, self._last = True, time.monotonic()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


# -- scan ---------------------------------------------------------------------------------------------


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
    from ..config.effective import photo_settings
    from ..photos.ingest import MOST_READERS, Scan

    settings = photo_settings({"batch_size": batch_size}, config)
    root = settings["root"].value
    roots = _paths(folders or ([str(root)] if root is not None else []))
    if not roots:
        raise ConfigurationError("Name a folder to scan: lote photos scan FOLDER.")
    if readers != "auto" and not (readers.isdecimal() and 1 <= int(readers) <= MOST_READERS):
        raise ConfigurationError(
            f"--readers must be auto or a number from 1 to {MOST_READERS}, not {readers!r}."
        )
    view = _ScanView(as_json=as_json, quiet=quiet)
    stop = _Stop()
    with _library(database, workspace) as (store, place), stop.listening():
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
        from ..photos.audit import recent_errors

        view.summary(work, recent_errors(store, work.roots, ERRORS_SHOWN))
    if work.was_stopped:
        raise typer.Exit(130)
    raise typer.Exit(3 if work.stats.errors else 0)


class _ScanView:
    """What a person, a log or a program sees of a scan."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json, self._quiet = as_json, quiet
        self._bottom = _Bottom(wanted=not quiet and not as_json)
        self._last = 0.0  # progress of --json
        self._headers_since = 0.0
        self._total = 0

    def waiting(self, sentence: str) -> None:
        if not self._quiet:
            _say(sentence)

    def _figures(self, work: Scan) -> dict[str, Any]:
        from .console import memory_now

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
            _put(
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
        from .console import memory_now, seconds, size

        left = f"  {seconds(figures['eta_seconds'])} left" if figures["eta_seconds"] is not None else ""
        self.end()
        _say(
            f"batch {batch.number}: {len(batch.photos)} photos, {self._total} so far"
            f"  {size(figures['bytes_per_second'])}/s{left}  {size(figures['memory'] or memory_now())} of memory"
            f"  {figures['duplicates']} duplicates  {figures['errors']} errors"
            + ("  (found before, not taken then)" if batch.again else "")
        )

    def progress(self, work: Scan) -> None:
        if self._json and not self._quiet and time.monotonic() - self._last >= JSON_INTERVAL_S:
            self._last = time.monotonic()
            _put("progress", facts_read=work.facts_read, facts_total=work.facts_total, **self._figures(work))
        elif self._bottom.is_due:
            from .console import seconds, size

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
                _say(f"lote: {path}: {text}")
        if self._json:
            _put("summary", state="stopped" if work.was_stopped else "done", **stats.to_dict())
        elif not self._quiet:
            from .console import seconds, size

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
                _line(f"{'not photos':>17}  {kinds}: these files are not recorded")
            if stats.errors or stats.facts_errors:
                _line("`lote photos errors` lists what could not be read.")
        if work.was_stopped:
            _say("lote: stopped; what was done is kept. Run the same command again and it goes on.")

    def plan(self, plan: dict[str, Any]) -> None:
        if self._json:
            _put("summary", state="dry run", **plan)
            return
        from .console import size

        _line(
            f"{plan['files_seen']} photos seen: {plan['already_processed']} known, "
            f"{plan['to_read']} to be read ({size(plan['bytes_to_read'])}), {plan['gone']} not where they were"
        )


def eta(last_seen: int | None, seen: int, elapsed: float) -> float | None:
    """Seconds left if the folders hold as much as at their last complete scan; None if there was none."""
    if not last_seen or not seen or seen > last_seen:
        return None
    return round((last_seen - seen) * elapsed / seen, 1)


# -- looking ------------------------------------------------------------------------------------------


@photos_app.command()
def stats(
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """Say what the library holds."""
    from ..photos.audit import statistics
    from .console import size

    with _library(database, workspace) as (store, _):
        found = statistics(store)
    if as_json:
        _put("summary", **found)
        return
    rows = [
        ("photos", f"{found['photos']} ({size(found['bytes'])})"),
        ("different contents", found["contents"]),
        ("copies", f"{found['duplicates']} ({size(found['duplicate_bytes'])} to gain)"),
        ("hard links", found["hard_links"]),
        ("missing", found["missing"]),
        ("errors", found["errors"]),
        ("with header facts", found["with_facts"]),
        ("wrong extension", found["mismatched"]),
    ]
    for name, value in rows:
        typer.echo(f"{sentence(name):>18}  {sentence(str(value))}")
    if found["extensions"]:
        typer.echo()
        _table(
            ("extension", "photos", "size"),
            ((name, kind["photos"], size(kind["bytes"])) for name, kind in found["extensions"].items()),
        )
    if (last := found["last_scan"]) is not None:
        typer.echo()
        _line(f"last scan: {', '.join(last['folders'])}, {last['started_at']}, {last['state']}")


@photos_app.command()
def batches(
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """List the batches of all scans: what each held and took."""
    from ..photos.audit import batch_rows
    from .console import seconds, size

    with _library(database, workspace) as (store, _):
        rows = list(batch_rows(store))
    if as_json:
        for row in rows:
            _put("batch", **row)
        _put("summary", batches=len(rows))
        return
    _table(
        ("scan", "batch", "state", "new", "changed", "copies", "errors", "read", "time", "memory", "first path", "last path"),
        (
            (
                *(row[name] for name in ("scan", "number", "state", "photos", "changed", "copies", "errors")),
                size(row["bytes"]),
                seconds(row["seconds"]),
                size(row["peak_memory"]),
                row["first_path"],
                row["last_path"],
            )
            for row in rows
        ),
    )  # fmt: skip


@photos_app.command()
def errors(
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """List what could not be walked, hashed or understood; the next scan tries it again."""
    from ..photos.audit import error_rows

    with _library(database, workspace) as (store, _):
        rows = list(error_rows(store))
    if as_json:
        for row in rows:
            _put("error", **row)
        _put("summary", errors=len(rows))
        return
    for row in rows:
        _line(f"{row['path']}: {row['text']} ({row['stage']})")


@photos_app.command()
def verify(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[FOLDER...]", help="Only below these.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="N|P%", help="Only so many, chosen by chance.")
    ] = None,
    database: DatabaseOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Hash photos again and find silent corruption. Exit code 3 if there is any."""
    from ..photos import audit
    from .console import size

    number, share = _sample(sample)
    counts = dict.fromkeys(("ok", "changed", "corrupt", "missing", "unreadable"), 0)
    read = 0
    stop = _Stop()
    bottom, began = _Bottom(wanted=not quiet and not as_json), time.monotonic()
    with _library(database, workspace) as (store, _), stop.listening():
        for finding in audit.verify(store, _paths(folders or []), sample=number, share=share, stopped=stop):
            counts[finding.result] += 1
            read += finding.read
            if bottom.is_due:
                speed = size(read / max(0.001, time.monotonic() - began))
                checked, so_far = sum(counts.values()), size(read)
                bottom.say(f"{checked} photos checked  {so_far}  {speed}/s")
            if finding.result == "ok":
                continue
            bottom.clear()
            if as_json:
                _put("finding", path=os.fsdecode(finding.path), result=finding.result, text=finding.text)
            elif not quiet or finding.result in ("corrupt", "unreadable"):
                _say(f"lote: {os.fsdecode(finding.path)}: {finding.text}")
    bottom.clear()
    if as_json:
        _put("summary", **counts, bytes_read=read)
    elif not quiet:
        typer.echo(", ".join(f"{number} {result}" for result, number in counts.items()))
    if stop.asked:
        raise typer.Exit(130)
    raise typer.Exit(3 if counts["corrupt"] or counts["unreadable"] else 0)


def _sample(text: str | None) -> tuple[int | None, float | None]:
    if text is None:
        return None, None
    try:
        if text.endswith("%") and 0 < (share := float(text[:-1])) <= 100:
            return None, share / 100
        if text.isdecimal() and int(text) > 0:
            return int(text), None
    except ValueError:
        pass
    raise ConfigurationError(f"--sample must be a number or a share such as 5%, not {text!r}.")


@photos_app.command()
def known(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A card, or any folder of photos.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Say which photos of a folder are in the library already, by content. Records nothing."""
    from ..photos import audit

    (root,) = _paths([folder])
    if not (place := Path(os.fsdecode(root))).is_dir():
        problem = "is not a directory" if place.exists() else "does not exist"
        raise ValidationError(f"The folder {place} {problem}: name a folder of photos.")
    counts = {"known": 0, "unknown": 0, "unreadable": 0}
    stop = _Stop()
    with _library(database, workspace) as (store, _), stop.listening():
        for path, twin, problem in audit.known(store, root, stop):
            result = "unreadable" if problem else "unknown" if twin is None else "known"
            counts[result] += 1
            shown, where = os.fsdecode(path), os.fsdecode(twin) if twin is not None else None
            if as_json:
                _put("photo", path=shown, result=result, known_as=where, text=problem)
            else:
                _line(
                    f"{result}  {shown}"
                    + (f"  = {where}" if where else "")
                    + (f": {problem}" if problem else "")
                )
    if as_json:
        _put("summary", **counts)
    else:
        _say(", ".join(f"{number} {result}" for result, number in counts.items()))
    if stop.asked:
        raise typer.Exit(130)
    raise typer.Exit(3 if counts["unreadable"] else 0)


@photos_app.command()
def forget(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[FOLDER...]", help="Forget what lies below.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Forget only photos that are missing.")] = False,
    yes: YesOption = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Forget photos: delete their rows, never the files."""
    from ..photos import audit

    if not folders and not missing:
        raise ConfigurationError("Name what to forget: lote photos forget FOLDER, or --missing.")
    with _library(database, workspace) as (store, place), _alone(store, place):
        number = audit.forget(store, _paths(folders or []), missing=missing, really=yes)
    if as_json:
        _put("summary", photos=number, done=yes)
    else:
        _line(f"{number} photos forgotten" if yes else f"{number} photos would be forgotten; add --yes")


@contextmanager
def _alone(store: Store, place: Workspace) -> Iterator[None]:
    """Keep scans away meanwhile."""
    from ..photos.store import scan_lock

    with scan_lock(store, place, _say, lambda: False):
        yield


# -- copies -------------------------------------------------------------------------------------------


@photos_app.command()
def duplicates(
    under: Annotated[str | None, typer.Argument(metavar="[FOLDER]", help="With --keep under.")] = None,
    style: Annotated[
        str, typer.Option("--format", metavar="table|csv|json", help="How copies are listed.")
    ] = "table",
    hardlink: Annotated[
        bool, typer.Option("--hardlink", help="Replace copies by hard links to the photo that is kept.")
    ] = False,
    trash: Annotated[bool, typer.Option("--trash", help="Move copies to the trash.")] = False,
    keep: Annotated[
        str, typer.Option("--keep", metavar="RULE", help="oldest, newest, shortest-path, or under FOLDER.")
    ] = "oldest",
    yes: YesOption = False,
    log: Annotated[
        str | None, typer.Option("--log", metavar="FILE", help="JSON lines of what was done.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List copies, those that cost most first; with --hardlink or --trash get rid of them."""
    from ..photos.duplicates import groups

    rules = ("oldest", "newest", "shortest-path", "under")
    if keep.startswith("under ") and under is None:  # --keep "under FOLDER", quoted
        keep, under = "under", keep.removeprefix("under ")
    style = "json" if as_json else style
    if keep not in rules:
        raise ConfigurationError(f"--keep must be one of {', '.join(rules)}, not {keep!r}.")
    if (keep == "under") != (under is not None):
        raise ConfigurationError("--keep under needs a folder, and only that does: --keep under FOLDER.")
    if style not in ("table", "csv", "json"):
        raise ConfigurationError(f"--format must be table, csv or json, not {style!r}.")
    if hardlink and trash:
        raise ConfigurationError("Choose one of --hardlink and --trash.")
    folder = _paths([under])[0] if under is not None else None
    with _library(database, workspace) as (store, place):
        chosen = ((group, group.choose(keep, folder)) for group in groups(store))  # type: ignore[arg-type]
        if not (hardlink or trash) or not yes:
            _list_copies(chosen, style, what="hardlink" if hardlink else "trash" if trash else None)
            return
        path = (
            Path(log) if log else place.folder("logs") / f"duplicates-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
        )
        with _alone(store, place):
            failed = _act(store, chosen, "hardlink" if hardlink else "trash", path, as_json=style == "json")
    raise typer.Exit(3 if failed else 0)


def _list_copies(chosen: Iterable[tuple[Group, Member | None]], style: str, what: str | None) -> None:
    from .console import size

    number = gain = copies = 0
    writer = csv.writer(sys.stdout)
    if style == "csv":
        writer.writerow(("group", "role", "size", "sha256", "path"))
    for group, kept in chosen:
        if what is not None and kept is None:
            continue  # --keep under, and none is there: left alone
        number += 1
        gain += group.gain
        copies += len(group.members) - 1
        others = [member for member in group.members if kept is None or member.id != kept.id]
        ordered = [*([kept] if kept is not None else []), *others]
        paths = [os.fsdecode(member.path) for member in ordered]
        if style == "json":
            _put(
                "group",
                sha256=group.digest.hex(),
                size=group.size,
                gain=group.gain,
                keep=paths[0] if kept is not None else None,
                copies=paths[1:] if kept is not None else paths,
            )
        elif style == "csv":
            for path, member in zip(paths, ordered, strict=True):
                role = "keep" if member is kept else "copy"
                writer.writerow(
                    (number, role, group.size, group.digest.hex(), path.encode("utf-8", "replace").decode())
                )
        else:
            _line(f"{size(group.gain)} to gain: {len(group.members)} x {size(group.size)}")
            for path, member in zip(paths, ordered, strict=True):
                word = (
                    "keep"
                    if member is kept
                    else {None: "copy", "trash": "to the trash", "hardlink": "to a link"}[what]
                )
                _line(f"  {word:<12}  {path}")
    if style == "json":
        _put("summary", groups=number, copies=copies, gain=gain)
    elif style == "table":
        text = f"{copies} copies in {number} groups, {size(gain)} to gain"
        _line(text + ("; nothing was done yet: add --yes" if what is not None else ""))


def _act(
    store: Store, chosen: Iterable[tuple[Group, Member | None]], how: str, path: Path, *, as_json: bool
) -> int:
    """Do it, writing each deed to the log before the next. Returns how many could not be done."""
    from ..photos.duplicates import remove_copies
    from .console import size

    done = failed = gain = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    stop = _Stop()
    with path.open("a", encoding="utf-8") as file, stop.listening():
        for group, kept in list(chosen):
            if kept is None or stop.asked:
                continue
            for deed in remove_copies(store, group, kept, how):  # type: ignore[arg-type]
                entry = {
                    "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                    "action": deed.how,
                    "path": os.fsdecode(deed.path),
                    "kept": os.fsdecode(deed.kept),
                    "size": deed.size,
                    "sha256": group.digest.hex(),
                    "done": deed.problem is None,
                    "problem": deed.problem,
                }
                file.write(json.dumps(entry) + "\n")
                file.flush()
                if as_json:
                    _put("deed", **entry)
                if deed.problem is None:
                    done += 1
                    gain += deed.size
                else:
                    failed += 1
                    _say(f"lote: {entry['path']}: left alone, it {deed.problem}")
    if as_json:
        _put("summary", done=done, failed=failed, gain=gain, log=str(path))
    else:
        word = "replaced by hard links" if how == "hardlink" else "moved to the trash"
        _line(f"{done} copies {word}, {size(gain)} gained, {failed} left alone; log: {path}")
    if stop.asked:
        raise typer.Exit(130)
    return failed
