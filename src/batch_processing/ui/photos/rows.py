"""What a library need not remember, or remembers of another place: `lote photos forget` and `relocate`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...exceptions import ConfigurationError
from .common import (
    DatabaseOption,
    JsonOption,
    WorkspaceOption,
    YesOption,
    folders_given,
    no_scan_meanwhile,
    open_store,
    photos_app,
    print_json,
    print_line,
)


@photos_app.command()
def relocate(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The folder as it was.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The folder as it is now.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would follow, and write nothing.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Say that a library was renamed, or is mounted elsewhere: what is recorded follows it. Reads no photo."""
    from ...photos.relocation import relocate as follow

    before, after = folders_given([old, new])
    with open_store(database, workspace) as (store, place), no_scan_meanwhile(store, place):
        found = follow(store, before, after, really=not dry_run)
    if as_json:
        print_json(
            "summary",
            photos=found.photos,
            joined=found.joined,
            left=found.left,
            not_there=found.not_there,
            done=not dry_run,
        )
        return
    if dry_run:
        print_line(
            f"{found.photos} photos would follow, {found.not_there} of them are not at their new place"
        )
    else:
        print_line(
            f"{found.photos} photos have followed, {found.not_there} of them are not at their new place"
        )
    if found.left:
        print_line(f"{found.left} stayed where they were: other photos are recorded at their new place")


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
    from ...photos import audit

    if not folders and not missing:
        raise ConfigurationError("Name what to forget: lote photos forget FOLDER, or --missing.")
    with open_store(database, workspace) as (store, place), no_scan_meanwhile(store, place):
        number = audit.forget(store, folders_given(folders or []), missing=missing, really=yes)
    if as_json:
        print_json("summary", photos=number, done=yes)
    else:
        print_line(f"{number} photos forgotten" if yes else f"{number} photos would be forgotten; add --yes")
