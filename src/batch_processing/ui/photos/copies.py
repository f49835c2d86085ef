"""`lote photos duplicates`: the list of copies, and how to get rid of them."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...exceptions import ConfigurationError
from .common import (
    DatabaseOption,
    JsonOption,
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

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...photos.duplicates import Group, Member
    from ...photos.store import Store


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
    from ...photos.duplicates import groups

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
    folder = folders_given([under])[0] if under is not None else None
    with open_store(database, workspace) as (store, place):
        chosen = ((group, group.choose(keep, folder)) for group in groups(store))  # type: ignore[arg-type]
        if not (hardlink or trash) or not yes:
            _list_copies(chosen, style, what="hardlink" if hardlink else "trash" if trash else None)
            return
        path = (
            Path(log) if log else place.folder("logs") / f"duplicates-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
        )
        with no_scan_meanwhile(store, place):
            failed = _act(store, chosen, "hardlink" if hardlink else "trash", path, as_json=style == "json")
    raise typer.Exit(3 if failed else 0)


def _list_copies(chosen: Iterable[tuple[Group, Member | None]], style: str, what: str | None) -> None:
    from ..console import size

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
            print_json(
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
            print_line(f"{size(group.gain)} to gain: {len(group.members)} x {size(group.size)}")
            for path, member in zip(paths, ordered, strict=True):
                word = (
                    "keep"
                    if member is kept
                    else {None: "copy", "trash": "to the trash", "hardlink": "to a link"}[what]
                )
                print_line(f"  {word:<12}  {path}")
    if style == "json":
        print_json("summary", groups=number, copies=copies, gain=gain)
    elif style == "table":
        text = f"{copies} copies in {number} groups, {size(gain)} to gain"
        print_line(text + ("; nothing was done yet: add --yes" if what is not None else ""))


def _act(
    store: Store, chosen: Iterable[tuple[Group, Member | None]], how: str, path: Path, *, as_json: bool
) -> int:
    """Do it, writing each deed to the log before the next. Returns how many could not be done."""
    from ...photos.duplicates import remove_copies
    from ..console import size

    done = failed = gain = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    stop = Stop()
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
                    print_json("deed", **entry)
                if deed.problem is None:
                    done += 1
                    gain += deed.size
                else:
                    failed += 1
                    print_note(f"lote: {entry['path']}: left alone, it {deed.problem}")
    if as_json:
        print_json("summary", done=done, failed=failed, gain=gain, log=str(path))
    else:
        word = "replaced by hard links" if how == "hardlink" else "moved to the trash"
        print_line(f"{done} copies {word}, {size(gain)} gained, {failed} left alone; log: {path}")
    if stop.asked:
        raise typer.Exit(130)
    return failed
