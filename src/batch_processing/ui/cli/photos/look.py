"""What a library holds: `lote photos list`, `stats`, `batches` and `errors`.

Promises: nothing is changed, in the library or on the disk. A list is printed while it is read, and its end is not
waited for once nobody reads it (`| head`).
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from ....exceptions import ConfigurationError
from ....i18n import N_, _
from ....messages import Message, joined
from .common import (
    DatabaseOption,
    JsonOption,
    SinceOption,
    StyleOption,
    UntilOption,
    WorkspaceOption,
    chosen_style,
    exact,
    folders_given,
    nobody_reads,
    open_store,
    photos_app,
    print_csv,
    print_facts,
    print_json,
    print_line,
    print_note,
    print_paths,
    print_table,
    write_out,
)
from .words import BATCH_WORDS, DAMAGE_WORDS, NO_PHOTOS, SCAN_WORDS, TO_DO, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ....photos.audit import ErrorRow, LookBatchRow
    from ....photos.listing import Listed, Wanted
    from ....photos.store import Store

# What a photo's row has beside its path, in CSV and JSON.
PHOTO_COLUMNS = ("taken_at", "taken_from", "camera", "format", "extension", "width", "height", "size")
ERROR_COLUMNS = ("stage", "kind", "text", "at")
DAMAGED_COLUMNS = ("kind", "text")
# Rows of errors between two looks whether anybody reads them.
ERROR_PAGE = 500


@dataclass
class _Tally:
    """What was listed."""

    photos: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class _Damaged:
    """A photo that is not whole. `kind`: the key of `DAMAGE_WORDS`, whose sentence is `text`."""

    path: str
    kind: str
    text: Message | str


@photos_app.command("list")
def list_photos(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[FOLDER...]", help="Only below these.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    camera: Annotated[
        str | None, typer.Option("--camera", metavar="TEXT", help="Part of the camera's make and model.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Format or extension: JPEG, HEIC, nef ..."),
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Those that are missing, not those that are there.")
    ] = False,
    style: StyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List photos by the date on which they were taken: all, or those asked for.

    Dates are those of the cameras' clocks. Without --from and --to the photos without a date come last; with them they
    are counted only. For other programs: lote photos list --from 2019-07 --style null | xargs -0 ls -l"""
    from ....photos import listing

    style = chosen_style(style, as_json=as_json)
    wanted = listing.Wanted(
        folders=folders_given(folders or []),
        since=listing.date(since) if since is not None else None,
        until=listing.date(until) if until is not None else None,
        camera=camera.encode("utf-8", "replace").decode() if camera is not None else None,
        format=format_,
        missing=missing,
    )
    if format_ is not None:
        listing.formats(format_)
    with open_store(database, workspace) as (store, _):
        print_photos(store, wanted, style)


def print_photos(store: Store, wanted: Wanted, style: str) -> None:
    """List photos, and say how many there are. ConfigurationError where no photo can be taken between two dates."""
    from ....formatting import size
    from ....photos import listing

    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until + "~":
        raise ConfigurationError(
            "--from {since} comes after --to {until}: no photo can be taken between them.",
            since=wanted.since,
            until=wanted.until,
        )
    tally = _print_photos(listing.listed(store, wanted), style)
    undated = listing.without_date(store, wanted) if wanted.by_date and not nobody_reads() else 0
    if style == "json":
        print_json("summary", photos=tally.photos, bytes=tally.bytes, without_date=undated)
    elif style == "table":
        print_note("photos listed: {photos} ({bytes})", photos=tally.photos, bytes=size(tally.bytes))
    if undated:
        print_note("not listed, since they have no date: {undated}", undated=undated)


def _print_photos(pages: Iterable[list[Listed]], style: str) -> _Tally:
    tally = _Tally()
    if style == "table":
        head = (N_("taken"), N_("told by"), N_("camera"), N_("format"), N_("size"), N_("pixels"), N_("path"))
        print_table(head, (_row(photo) for photo in _counted(pages, tally)))
        return tally
    if style == "csv":
        print_csv([(*PHOTO_COLUMNS, "path", "path_bytes")])
    for page in pages:
        photos = _counted([page], tally)
        if style == "null":
            print_paths(photo.path for photo in photos)
        elif style == "csv":
            print_csv(
                (*_values(photo).values(), os.fsdecode(photo.path), exact(photo.path)) for photo in photos
            )
        else:
            for photo in photos:
                path = {"path": os.fsdecode(photo.path), "path_bytes": exact(photo.path)}
                live = photo.live_with
                other = {"live_with": os.fsdecode(live), "live_with_bytes": exact(live)} if live else {}
                print_json("photo", **path, **_values(photo), **other)
        if nobody_reads():
            break
    return tally


def _counted(pages: Iterable[list[Listed]], tally: _Tally) -> Iterator[Listed]:
    for photo in chain.from_iterable(pages):
        tally.photos += 1
        tally.bytes += photo.size
        yield photo


def _values(photo: Listed) -> dict[str, str | int | None]:
    return {name: getattr(photo, name) for name in PHOTO_COLUMNS}


def _row(photo: Listed) -> tuple[object, ...]:
    """A photo in a table."""
    from ....formatting import size

    return (
        photo.taken_at or "",
        photo.taken_from or "",
        photo.camera or "",
        photo.format or photo.extension.removeprefix(".").upper(),
        size(photo.size),
        f"{photo.width} x {photo.height}" if photo.width and photo.height else "",
        os.fsdecode(photo.path),
    )


@photos_app.command()
def stats(
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """Say what the library holds."""
    from ....formatting import size
    from ....photos.audit import statistics

    with open_store(database, workspace) as (store, _):
        found = statistics(store)
    if as_json:
        print_json("summary", **asdict(found))
        return
    rows: list[tuple[str, object]] = [
        (N_("photos"), f"{found.photos} ({size(found.bytes)})"),
        (N_("different contents"), found.contents),
        (
            N_("copies"),
            Message(
                "{duplicates} ({duplicate_bytes} to gain)",
                duplicates=found.duplicates,
                duplicate_bytes=size(found.duplicate_bytes),
            ),
        ),
        (N_("hard links"), found.hard_links),
        (N_("missing"), found.missing),
        (N_("errors"), found.errors),
        (N_("damaged"), found.damaged),
        (N_("with header facts"), found.with_facts),
        (N_("wrong extension"), found.mismatched),
    ]
    print_facts(rows)
    if found.extensions:
        write_out("\n")
        print_table(
            (N_("extension"), N_("photos"), N_("size")),
            ((name, kind.photos, size(kind.bytes)) for name, kind in found.extensions.items()),
        )
    if (last := found.last_scan) is not None:
        write_out("\n")
        print_line(
            "last scan: {folders}, {started_at}, {state}",
            folders=", ".join(last.folders),
            started_at=last.started_at,
            state=word(SCAN_WORDS, last.state, of="scan"),
        )


@photos_app.command()
def batches(
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """List the batches of all scans and looks: what each held and took."""
    from ....formatting import seconds, size
    from ....photos.audit import batch_rows, look_batch_rows

    with open_store(database, workspace) as (store, _):
        rows = list(batch_rows(store))
        looked = list(look_batch_rows(store))
    if as_json:
        for row in rows:
            ends = {
                "first_path_bytes": exact(row.first_path or ""),
                "last_path_bytes": exact(row.last_path or ""),
            }
            print_json("batch", **vars(row), **ends)
        for look in looked:
            ends = {
                "first_path_bytes": exact(look.first_path or ""),
                "last_path_bytes": exact(look.last_path or ""),
            }
            print_json("look_batch", **vars(look), **ends)
        print_json("summary", batches=len(rows), look_batches=len(looked))
        return
    print_table(
        (N_("scan"), N_("batch"), N_("state"), N_("new"), N_("changed"), N_("copies"), N_("errors"), N_("read"), N_("time"), N_("CPU"), N_("memory"), N_("first path"), N_("last path")),
        (
            (
                row.scan, row.number, word(BATCH_WORDS, row.state, of="batch"), row.photos, row.changed, row.copies, row.errors,
                size(row.bytes),
                seconds(row.seconds),
                seconds(row.cpu_seconds),
                size(row.peak_memory),
                row.first_path,
                row.last_path,
            )
            for row in rows
        ),
    )  # fmt: skip
    if looked:
        write_out("\n")
        _print_look_batches(looked)


def _print_look_batches(rows: Sequence[LookBatchRow]) -> None:
    from ....formatting import seconds, size

    print_table(
        (N_("look"), N_("batch"), N_("state"), N_("looked at"), N_("damaged"), N_("without pixels"), N_("faces"), N_("errors"), N_("read"), N_("time"), N_("CPU"), N_("memory"), N_("first path"), N_("last path")),
        (
            (
                row.run, row.number, word(BATCH_WORDS, row.state, of="batch"), row.photos, row.damaged, row.no_pixels,
                "" if row.faces is None else row.faces, row.errors,
                size(row.bytes),
                seconds(row.seconds),
                seconds(row.cpu_seconds),
                size(row.peak_memory),
                row.first_path,
                row.last_path,
            )
            for row in rows
        ),
    )  # fmt: skip


@photos_app.command()
def errors(
    damaged: Annotated[
        bool,
        typer.Option(
            "--damaged", help="List the photos that are not whole, as their ends, lengths and pixels tell."
        ),
    ] = False,
    style: StyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List what could not be walked, hashed or understood; the next scan tries it again.

    With --damaged: what was read, but is cut off or has lost its end. For other programs:
    lote photos errors --damaged --style null | xargs -0 ls -l"""
    from ....photos.audit import error_rows
    from ....photos.listing import damaged as damaged_photos

    style = chosen_style(style, as_json=as_json)
    with open_store(database, workspace) as (store, _):
        if damaged:
            found = damaged_photos(store)
            rows = (_damaged_row(path, code) for path, code in found)
            number = _print_errors("damaged", rows, DAMAGED_COLUMNS, style)
        else:
            number = _print_errors("error", error_rows(store), ERROR_COLUMNS, style)
    if style == "json":
        print_json("summary", **{"damaged" if damaged else "errors": number})


@photos_app.command("left-out")
def left_out(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER...]", help="Only below these; all that were scanned."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="TEXT",
            help='Only for this reason: "links", "bins", ".xmp" ..., as it is listed.',
        ),
    ] = None,
    style: StyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List the files and folders that a scan leaves alone, with why, and say what to do.

    The folders are walked again, as they are now; nothing is read. Damage and errors are listed by `errors`.
    For other programs: lote photos left-out --reason .xmp --style null | xargs -0 ls -l"""
    from ....photos.audit import scanned_roots
    from ....photos.left_alone import left_alone

    style = chosen_style(style, as_json=as_json)
    counts: dict[str, int] = {}
    with open_store(database, workspace) as (store, _opened):
        roots = folders_given(folders or []) or scanned_roots(store)
        for root in roots:
            if not os.path.isdir(root):  # noqa: PTH112 - bytes
                raise ConfigurationError(
                    "{folder} is not there now: plug in its drive, or name the folders that are to be looked through.",
                    folder=os.fsdecode(root),
                )
        if style == "csv":
            print_csv([("reason", "path", "path_bytes")])
        for left in left_alone(store, roots):
            if reason is not None and reason not in (left.reason, _(left.reason)):
                continue
            counts[left.reason] = counts.get(left.reason, 0) + 1
            path = os.fsdecode(left.path)
            if style == "json":
                print_json("left_out", reason=left.reason, path=path, path_bytes=exact(path))
            elif style == "csv":
                print_csv([(left.reason, path, exact(path))])
            elif style == "null":
                print_paths([left.path])
            else:
                print_line(joined((path, Message(left.reason)), ": "))
            if sum(counts.values()) % ERROR_PAGE == 0 and nobody_reads():
                break
    if style == "json":
        print_json("summary", left_out=sum(counts.values()), reasons=counts)
    for why, number in counts.items():
        print_note(
            "{reason}: {count}. {to_do}",
            reason=Message(why),
            count=number,
            to_do=Message(TO_DO.get(why, NO_PHOTOS)),
        )


def _damaged_row(path: bytes, code: str) -> _Damaged:
    return _Damaged(os.fsdecode(path), code, DAMAGE_WORDS.get(code, code))


def _print_errors(event: str, rows: Iterable[ErrorRow | _Damaged], columns: Sequence[str], style: str) -> int:
    """Print rows with a `path` and `columns`; returns how many."""
    number = 0
    if style == "csv":
        print_csv([("path", "path_bytes", *columns)])
    for number, row in enumerate(rows, 1):
        path, values = row.path, {name: getattr(row, name) for name in columns}
        if style == "json":
            print_json(event, path=path, path_bytes=exact(path), **values)
        elif style == "csv":
            print_csv([(path, exact(path), *values.values())])
        elif style == "null":
            print_paths([os.fsencode(path)])
        else:
            line = joined((path, row.text), ": ")
            print_line(line if isinstance(row, _Damaged) else joined((line, f"({row.stage})"), " "))
        if number % ERROR_PAGE == 0 and nobody_reads():
            break
    return number
