"""What a library holds: `lote photos stats`, `batches` and `errors`."""

from __future__ import annotations

import typer

from ...i18n import sentence
from .common import (
    DatabaseOption,
    JsonOption,
    WorkspaceOption,
    open_store,
    photos_app,
    print_json,
    print_line,
    print_table,
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
        ("with header facts", found["with_facts"]),
        ("wrong extension", found["mismatched"]),
    ]
    for name, value in rows:
        typer.echo(f"{sentence(name):>18}  {sentence(str(value))}")
    if found["extensions"]:
        typer.echo()
        print_table(
            ("extension", "photos", "size"),
            ((name, kind["photos"], size(kind["bytes"])) for name, kind in found["extensions"].items()),
        )
    if (last := found["last_scan"]) is not None:
        typer.echo()
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
            print_json("batch", **row)
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
    database: DatabaseOption = None, as_json: JsonOption = False, workspace: WorkspaceOption = None
) -> None:
    """List what could not be walked, hashed or understood; the next scan tries it again."""
    from ...photos.audit import error_rows

    with open_store(database, workspace) as (store, _):
        rows = list(error_rows(store))
    if as_json:
        for row in rows:
            print_json("error", **row)
        print_json("summary", errors=len(rows))
        return
    for row in rows:
        print_line(f"{row['path']}: {row['text']} ({row['stage']})")
