"""What a library holds: `lote photos list`, `stats`, `batches` and `errors`.

Promises: nothing is changed, in the library or on the disk. A list is printed while it is read, and its end is not
waited for once nobody reads it (`| head`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...exceptions import ConfigurationError
from ...i18n import sentence
from .common import (
    DatabaseOption,
    JsonOption,
    StyleOption,
    WorkspaceOption,
    chosen_style,
    exact,
    folders_given,
    nobody_reads,
    open_store,
    photos_app,
    print_csv,
    print_json,
    print_line,
    print_note,
    print_paths,
    print_table,
    write_out,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...photos.listing import Listed

# What is wrong with a file as a whole, by `photo_facts.damaged` (a `photos.damage.Damage`).
DAMAGE_WORDS = {
    "cut off": "is cut off: it ends before its picture does; restore it from a backup",
    "tail of zeros": "ends in zeros: its end was never written; restore it from a backup",
    "holes": "has holes: a part of it was never written; restore it from a backup",
}
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


@photos_app.command("list")
def list_photos(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[FOLDER...]", help="Only below these.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help="Taken then or later: 2019, 2019-07, 2019-07-04 or 2019-07-04T18:30.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="DATE", help="Taken then or before; 2019-08 takes in all of August."),
    ] = None,
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
    from ...photos import listing
    from ..console import size

    style = chosen_style(style, as_json=as_json)
    wanted = listing.Wanted(
        folders=folders_given(folders or []),
        since=listing.date(since) if since is not None else None,
        until=listing.date(until) if until is not None else None,
        camera=camera.encode("utf-8", "replace").decode() if camera is not None else None,
        format=format_,
        missing=missing,
    )
    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until + "~":
        raise ConfigurationError(
            f"--from {since} comes after --to {until}: no photo can be taken between them."
        )
    if format_ is not None:
        listing.formats(format_)
    with open_store(database, workspace) as (store, _):
        tally = _print_photos(listing.listed(store, wanted), style)
        undated = listing.without_date(store, wanted) if wanted.by_date and not nobody_reads() else 0
    if style == "json":
        print_json("summary", photos=tally.photos, bytes=tally.bytes, without_date=undated)
    elif style == "table":
        print_note(f"photos listed: {tally.photos} ({size(tally.bytes)})")
    if undated:
        print_note(f"not listed, since they have no date: {undated}")


def _print_photos(pages: Iterable[list[Listed]], style: str) -> _Tally:
    tally = _Tally()
    if style == "table":
        head = ("taken", "told by", "camera", "format", "size", "pixels", "path")
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


def _values(photo: Listed) -> dict[str, Any]:
    return {name: getattr(photo, name) for name in PHOTO_COLUMNS}


def _row(photo: Listed) -> tuple[object, ...]:
    """A photo in a table."""
    from ..console import size

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
    from ...photos.audit import statistics
    from ..console import size

    with open_store(database, workspace) as (store, _):
        found = statistics(store)
    if as_json:
        print_json("summary", **found)
        return
    rows = [
        ("photos", f"{found['photos']} ({size(found['bytes'])})"),
        ("different contents", found["contents"]),
        ("copies", f"{found['duplicates']} ({size(found['duplicate_bytes'])} to gain)"),
        ("hard links", found["hard_links"]),
        ("missing", found["missing"]),
        ("errors", found["errors"]),
        ("damaged", found["damaged"]),
        ("with header facts", found["with_facts"]),
        ("wrong extension", found["mismatched"]),
    ]
    for name, value in rows:
        write_out(f"{sentence(name):>18}  {sentence(str(value))}\n")
    if found["extensions"]:
        write_out("\n")
        print_table(
            ("extension", "photos", "size"),
            ((name, kind["photos"], size(kind["bytes"])) for name, kind in found["extensions"].items()),
        )
    if (last := found["last_scan"]) is not None:
        write_out("\n")
        print_line(f"last scan: {', '.join(last['folders'])}, {last['started_at']}, {last['state']}")


@photos_app.command()
def batches(
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """List the batches of all scans: what each held and took."""
    from ...photos.audit import batch_rows
    from ..console import seconds, size

    with open_store(database, workspace) as (store, _):
        rows = list(batch_rows(store))
    if as_json:
        for row in rows:
            ends = {f"{name}_bytes": exact(row[name] or "") for name in ("first_path", "last_path")}
            print_json("batch", **row, **ends)
        print_json("summary", batches=len(rows))
        return
    print_table(
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
    damaged: Annotated[
        bool,
        typer.Option("--damaged", help="List the photos that are not whole, as their ends and lengths tell."),
    ] = False,
    style: StyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List what could not be walked, hashed or understood; the next scan tries it again.

    With --damaged: what was read, but is cut off or has lost its end. For other programs:
    lote photos errors --damaged --style null | xargs -0 ls -l"""
    from ...photos.audit import error_rows
    from ...photos.listing import damaged as damaged_photos

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


def _damaged_row(path: bytes, code: str) -> dict[str, Any]:
    return {"path": os.fsdecode(path), "kind": code, "text": DAMAGE_WORDS.get(code, code)}


def _print_errors(event: str, rows: Iterable[dict[str, Any]], columns: Sequence[str], style: str) -> int:
    """Print rows with a `path` and `columns`; returns how many."""
    number = 0
    if style == "csv":
        print_csv([("path", "path_bytes", *columns)])
    for number, row in enumerate(rows, 1):
        path, values = row["path"], {name: row[name] for name in columns}
        if style == "json":
            print_json(event, path=path, path_bytes=exact(path), **values)
        elif style == "csv":
            print_csv([(path, exact(path), *values.values())])
        elif style == "null":
            print_paths([os.fsencode(path)])
        else:
            print_line(f"{path}: {row['text']}" + (f" ({row['stage']})" if "stage" in row else ""))
        if number % ERROR_PAGE == 0 and nobody_reads():
            break
    return number
