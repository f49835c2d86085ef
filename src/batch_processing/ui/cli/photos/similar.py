"""`lote photos similar`: photos that show the same picture, and how to get rid of all but one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ....exceptions import ConfigurationError
from ....i18n import pgettext
from ....messages import Message
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    WorkspaceOption,
    YesOption,
    exact,
    folders_given,
    no_scan_meanwhile,
    nobody_reads,
    open_store,
    photos_app,
    print_csv,
    print_json,
    print_line,
    write_out,
)
from .copies import KeepCommand, refuse_unknown
from .pixels import run_look
from .removing import Removal, rules_of
from .words import KIND_WORDS, word

if TYPE_CHECKING:
    from ....photos.pixels.choosing import Choice
    from ....photos.pixels.similar import Group, Shot
    from ....photos.removal import Protected
    from ....photos.store import Store
    from .removing import Deeds

    Found = Sequence[tuple[Group, Choice | None]]

STYLES = ("table", "csv", "json", "html")
MOST_DISTANCE = 16  # bits: beyond, half of all pictures are near each other
CSV_HEAD = (
    "group", "kind", "role", "size", "width", "height", "quality", "taken_at", "camera", "damaged", "sha256", "path",
    "path_bytes",
)  # fmt: skip


@photos_app.command(cls=KeepCommand)
def similar(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER...]", help="Only groups that touch one of these folders."),
    ] = None,
    distance: Annotated[
        int,
        typer.Option(
            "--distance",
            metavar="N",
            min=0,
            max=MOST_DISTANCE,
            help="Bits by which fingerprints may differ (8). More find stronger crops, and take longer.",
        ),
    ] = 8,
    turned: Annotated[
        bool, typer.Option("--turned", help="Also pictures that are turned or mirrored.")
    ] = False,
    style: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|csv|json|html",
            help="How groups are listed. html: a page that shows them side by side.",
        ),
    ] = "table",
    trash: Annotated[
        bool, typer.Option("--trash", help="Move all but one photo of each group to the trash.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="RULE",
            help="largest, oldest, or under FOLDER, below which nothing is removed. Repeatable: the first rule that names "
            "a photo counts.",
        ),
    ] = None,
    bursts: Annotated[
        bool,
        typer.Option("--bursts", help="With --trash: of bursts, too, one photo stays and the others go."),
    ] = False,
    no_look: Annotated[
        bool, typer.Option("--no-look", help="Compare what was looked at; look at nothing new before.")
    ] = False,
    yes: YesOption = False,
    log: Annotated[
        str | None, typer.Option("--log", metavar="FILE", help="JSON lines of what was done.")
    ] = None,
    database: DatabaseOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List photos that show the same picture: compressed or resized anew, cropped, with other metadata; and bursts.

    Looks at the pixels of what was scanned and not looked at yet. With --trash the photos that may go are shown, with --yes
    they go.

    Exit codes: 0 done, 3 some photos were left alone (the log says why), 130 interrupted."""
    from ....photos.pixels.choosing import Keep, Rule, choose
    from ....photos.pixels.similar import groups
    from ....photos.removal import Protected
    from ....photos.removals import new_log

    style = "json" if as_json else style
    if style not in STYLES:
        raise ConfigurationError("--format must be table, csv, json or html, not {style}.", style=repr(style))
    rules = rules_of(keep or [], Rule, Rule.UNDER)
    protected = Protected([rule.folder for rule in rules if rule.folder is not None])
    rules = rules or [Keep(Rule.LARGEST)]
    only = folders_given(folders or [])
    with open_store(database, workspace) as (store, opened):
        refuse_unknown(store, only)
        if not no_look:
            code = run_look(store, opened, [], database or str(opened.database), quiet=quiet, brief=True)
            if code not in (0, 3):
                raise typer.Exit(code)
        bottom = BottomLine(wanted=not quiet)

        def progress(share: float) -> None:
            if bottom.is_due:
                bottom.say("comparing: {share} %", share=f"{100 * share:.0f}")

        made = groups(store, only, distance=distance, with_turned=turned, progress=progress)
        bottom.clear()
        found = [(group, choose(store, group, rules, protected, with_bursts=bursts)) for group in made]
        if not trash or not yes:
            _print(found, style, store, opened.root, trash=trash)
            return
        path = Path(log) if log else new_log(opened.folder("logs"), "similar")
        with no_scan_meanwhile(store, opened):
            failed = _trash(store, found, protected, path, as_json=style == "json")
    raise typer.Exit(3 if failed else 0)


def _trash(store: Store, found: Found, protected: Protected, path: Path, *, as_json: bool) -> int:
    from ....photos.pixels.choosing import trash_similar
    from ....photos.removal import How

    def deeds() -> Deeds:
        for _, choice in found:
            if choice is not None:
                digests = {shot.path: shot.digest for shot in choice.going}
                for deed in trash_similar(store, choice, protected):
                    yield deed, digests[deed.path], deed.size

    return Removal(store, How.TRASH, path, as_json=as_json).run(deeds)


def _print(found: Found, style: str, store: Store, previews: Path, *, trash: bool) -> None:
    """The list of groups. `previews`: the folder that holds them. `trash`: it says what would go."""
    if style == "html":
        _print_page(found, previews)
        return
    printed = {"csv": _print_csv, "json": _print_json, "table": _print_table}[style]
    if style == "csv":
        print_csv([CSV_HEAD])
    if trash:
        found = [(group, choice) for group, choice in found if choice is not None and choice.going]
    for number, (group, choice) in enumerate(found, 1):
        printed(number, group, choice)
        if nobody_reads():
            return
    _sum_up(found, style, trash=trash)


def _print_page(found: Found, root: Path) -> None:
    from ....photos.pixels.previews import NAME, Previews
    from ....photos.pixels.report import pieces

    with closing(Previews(root / NAME)) as previews:
        for piece in pieces(found, previews):
            write_out(piece.encode("utf-8", "backslashreplace").decode())
            if nobody_reads():
                return
    write_out("\n")


def _print_csv(number: int, group: Group, choice: Choice | None) -> None:
    from ....photos.pixels.report import roles

    print_csv(
        (
            number, group.kind, role, shot.size, shot.width, shot.height, shot.quality, shot.taken_at, shot.camera,
            shot.damaged, shot.digest.hex(), os.fsdecode(shot.path), exact(shot.path),
        )
        for role, shot in roles(group, choice)
    )  # fmt: skip


def _print_json(number: int, group: Group, choice: Choice | None) -> None:
    from ....photos.pixels.report import roles

    kinds = dict(zip((shot.id for shot in group.shots), group.kinds, strict=True))
    print_json(
        "group",
        number=number,
        kind=group.kind,
        gain=choice.gain if choice is not None else 0,
        photos=[
            {
                "role": role,
                "shows_first_as": kinds[shot.id],
                "path": os.fsdecode(shot.path),
                "path_bytes": exact(shot.path),
                "sha256": shot.digest.hex(),
                "size": shot.size,
                "width": shot.width,
                "height": shot.height,
                "quality": shot.quality,
                "format": shot.format,
                "taken_at": shot.taken_at,
                "camera": shot.camera,
                "has_position": shot.has_position,
                "damaged": shot.damaged,
            }
            for role, shot in roles(group, choice)
        ],
    )


def _print_table(number: int, group: Group, choice: Choice | None) -> None:
    from ....formatting import size
    from ....photos.pixels.report import ROLE_WORDS, roles

    gain = choice.gain if choice is not None else 0
    kind = word(KIND_WORDS, group.kind)
    if gain:
        print_line(
            "{kind}: {photos} photos, {gain} to gain", kind=kind, photos=len(group.shots), gain=size(gain)
        )
    else:
        print_line("{kind}: {photos} photos", kind=kind, photos=len(group.shots))
    for role, shot in roles(group, choice):
        shown = pgettext("similar", ROLE_WORDS[role])
        print_line(f"  {shown:<14}  {_pixels(shot):>11}  {size(shot.size):>8}  {os.fsdecode(shot.path)}")


def _pixels(shot: Shot) -> str:
    return f"{shot.width} x {shot.height}" if shot.width and shot.height else ""


def _sum_up(found: Found, style: str, *, trash: bool) -> None:
    from ....formatting import size

    groups, photos = len(found), sum(len(group.shots) for group, _ in found)
    going = sum(len(choice.going) for _, choice in found if choice is not None)
    gain = sum(choice.gain for _, choice in found if choice is not None)
    if style == "json":
        print_json("summary", groups=groups, photos=photos, may_go=going, gain=gain)
    elif style == "table":
        text = Message(
            "similar photos: {photos} (groups: {groups}), {gain} to gain",
            photos=photos,
            groups=groups,
            gain=size(gain),
        )
        if trash:
            text = Message("{text}; nothing was done yet: add --yes", text=text)
        print_line(text)
