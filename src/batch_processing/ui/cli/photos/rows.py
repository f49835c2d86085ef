"""What a library need not remember, or remembers of another place: `lote photos forget` and `relocate`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from ....exceptions import ConfigurationError
from ....i18n import ngettext
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
from .people import forget_faces


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
    from ....photos.relocation import relocate as follow

    before, after = folders_given([old, new])
    with open_store(database, workspace) as (store, opened), no_scan_meanwhile(store, opened):
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
        text = ngettext("{count} photo would follow", "{count} photos would follow", found.photos)
    else:
        text = ngettext("{count} photo has followed", "{count} photos have followed", found.photos)
    print_line(
        "{followed}, not at its new place: {missing}",
        followed=text.format(count=found.photos),
        missing=found.not_there,
    )
    if found.left:
        text = ngettext(
            "{count} stayed where it was: another photo is recorded at its new place",
            "{count} stayed where they were: other photos are recorded at their new place",
            found.left,
        )
        print_line(text.format(count=found.left))


@photos_app.command()
def forget(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[FOLDER...]", help="Forget what lies below.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Forget only photos that are missing.")] = False,
    faces: Annotated[
        bool,
        typer.Option(
            "--faces", help="Forget faces and who they are, not photos; they are not asked for any more."
        ),
    ] = False,
    persons: Annotated[
        list[str] | None,
        typer.Option(
            "--person", metavar="PERSON", help="With --faces: only the faces of this person. Repeatable."
        ),
    ] = None,
    yes: YesOption = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Forget photos, or the faces on them: delete their rows, never the files.

    Exit codes: 0 done, 3 faces were deleted, but their bytes could not be wiped everywhere."""
    from ....photos import audit
    from ....photos.pixels.previews import previews_of

    if faces:
        if folders or missing:
            raise ConfigurationError("--faces forgets faces on all photos: leave out folders and --missing.")
        forget_faces(database, workspace, persons or [], really=yes, as_json=as_json)
        return
    if persons:
        raise ConfigurationError("--person says whose faces are forgotten: add --faces.")
    if not folders and not missing:
        raise ConfigurationError("Name what to forget: lote photos forget FOLDER, or --missing.")
    with open_store(database, workspace) as (store, opened), no_scan_meanwhile(store, opened):
        number = audit.forget(store, folders_given(folders or []), missing=missing, really=yes)
        if yes:
            with closing(previews_of(store, opened)) as previews:
                previews.keep_only_known(store)
    if as_json:
        print_json("summary", photos=number, done=yes)
    else:
        text = (
            ngettext("{count} photo forgotten", "{count} photos forgotten", number)
            if yes
            else ngettext(
                "{count} photo would be forgotten; add --yes",
                "{count} photos would be forgotten; add --yes",
                number,
            )
        )
        print_line(text.format(count=number))
