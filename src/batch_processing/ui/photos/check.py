"""Whether a library is whole, and what it need not remember: `lote photos verify`, `known` and `forget`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from ...exceptions import ConfigurationError, ValidationError
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    YesOption,
    folders_given,
    no_scan_meanwhile,
    open_store,
    photos_app,
    print_json,
    print_line,
    print_note,
)


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
    from ...photos import audit
    from ..console import size

    number, share = _sample(sample)
    counts = dict.fromkeys(("ok", "changed", "corrupt", "missing", "unreadable"), 0)
    read = 0
    stop = Stop()
    bottom, began = BottomLine(wanted=not quiet and not as_json), time.monotonic()
    with open_store(database, workspace) as (store, _), stop.listening():
        for finding in audit.verify(
            store, folders_given(folders or []), sample=number, share=share, stopped=stop
        ):
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
                print_json(
                    "finding", path=os.fsdecode(finding.path), result=finding.result, text=finding.text
                )
            elif not quiet or finding.result in ("corrupt", "unreadable"):
                print_note(f"lote: {os.fsdecode(finding.path)}: {finding.text}")
    bottom.clear()
    if as_json:
        print_json("summary", **counts, bytes_read=read)
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
    from ...photos import audit

    (root,) = folders_given([folder])
    if not (place := Path(os.fsdecode(root))).is_dir():
        problem = "is not a directory" if place.exists() else "does not exist"
        raise ValidationError(f"The folder {place} {problem}: name a folder of photos.")
    counts = {"known": 0, "unknown": 0, "unreadable": 0}
    stop = Stop()
    with open_store(database, workspace) as (store, _), stop.listening():
        for path, twin, problem in audit.known(store, root, stop):
            result = "unreadable" if problem else "unknown" if twin is None else "known"
            counts[result] += 1
            shown, where = os.fsdecode(path), os.fsdecode(twin) if twin is not None else None
            if as_json:
                print_json("photo", path=shown, result=result, known_as=where, text=problem)
            else:
                print_line(
                    f"{result}  {shown}"
                    + (f"  = {where}" if where else "")
                    + (f": {problem}" if problem else "")
                )
    if as_json:
        print_json("summary", **counts)
    else:
        print_note(", ".join(f"{number} {result}" for result, number in counts.items()))
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
    from ...photos import audit

    if not folders and not missing:
        raise ConfigurationError("Name what to forget: lote photos forget FOLDER, or --missing.")
    with open_store(database, workspace) as (store, place), no_scan_meanwhile(store, place):
        number = audit.forget(store, folders_given(folders or []), missing=missing, really=yes)
    if as_json:
        print_json("summary", photos=number, done=yes)
    else:
        print_line(f"{number} photos forgotten" if yes else f"{number} photos would be forgotten; add --yes")
