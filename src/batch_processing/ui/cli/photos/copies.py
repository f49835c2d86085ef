"""`lote photos duplicates`: the list of copies, and how to get rid of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ....exceptions import ConfigurationError, ValidationError
from ....i18n import ngettext
from ....messages import Message
from ..usage import Command
from . import words
from .common import (
    DatabaseOption,
    JsonOption,
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
    print_paths,
)
from .removing import Removal, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ....photos.duplicates import Choice, Group, Member
    from ....photos.removal import How, Protected
    from ....photos.store import Store
    from .removing import Deeds

STYLES = ("table", "csv", "json", "null")


class KeepCommand(Command):
    """`--keep under FOLDER` is an option with two words; the parser knows options of one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined: list[str] = []
        given = iter(args)
        for word in given:
            value = next(given, None) if word == "--keep" else word.removeprefix("--keep=")
            if word == "--keep" and value is None:
                joined.append(word)  # the parser says what is missing
            elif word == "--keep" or word.startswith("--keep="):
                folder = next(given, None) if value == "under" else None
                joined.append(f"--keep={value}" + (f" {folder}" if folder is not None else ""))
            else:
                joined.append(word)
                if word == "--":
                    joined.extend(given)
        return super().parse_args(ctx, joined)


@photos_app.command(cls=KeepCommand)
def duplicates(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER...]", help="Only groups that touch one of these folders."),
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|csv|json|null",
            help="How copies are listed. null: the exact bytes of the copies' paths and nothing else, a NUL after each, "
            "for xargs -0.",
        ),
    ] = "table",
    hardlink: Annotated[
        bool, typer.Option("--hardlink", help="Replace copies by hard links to the photo that is kept.")
    ] = False,
    reflink: Annotated[
        bool,
        typer.Option(
            "--reflink",
            help="Have copies share the bytes of the photo that is kept (btrfs, xfs): the safest way.",
        ),
    ] = False,
    trash: Annotated[bool, typer.Option("--trash", help="Move copies to the trash.")] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="RULE",
            help="oldest, newest, shortest-path, or under FOLDER, below which nothing is removed. Repeatable: the first "
            "rule that names a photo counts.",
        ),
    ] = None,
    yes: YesOption = False,
    log: Annotated[
        str | None, typer.Option("--log", metavar="FILE", help="JSON lines of what was done.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List copies, those that cost most first; with --hardlink, --reflink or --trash get rid of them.

    Exit codes: 0 done, 3 some copies were left alone (the log says why), 130 interrupted."""
    from ....photos.duplicates import Keep, Rule, groups
    from ....photos.removal import How, Protected
    from ....photos.removals import new_log

    style = "json" if as_json else style
    if style not in STYLES:
        raise ConfigurationError("--format must be table, csv, json or null, not {style}.", style=repr(style))
    asked = [how for how, is_asked in zip(How, (hardlink, reflink, trash), strict=True) if is_asked]
    if len(asked) > 1:
        raise ConfigurationError("Choose one of --hardlink, --reflink and --trash.")
    rules = rules_of(keep or [], Rule, Rule.UNDER)
    protected = Protected([rule.folder for rule in rules if rule.folder is not None])
    rules = rules or [Keep(Rule.OLDEST)]
    only = folders_given(folders or [])
    with open_store(database, workspace) as (store, opened):
        refuse_unknown(store, only)
        found = ((group, group.choose(rules, protected)) for group in groups(store, only))
        if not asked or not yes:
            _List(style, asked[0] if asked else None).print(found)
            return
        path = Path(log) if log else new_log(opened.folder("logs"), "duplicates")
        with no_scan_meanwhile(store, opened):
            removal = Removal(store, asked[0], path, as_json=style == "json")
            failed = removal.run(lambda: _deeds(store, list(found), asked[0], protected))
    raise typer.Exit(3 if failed else 0)


def refuse_unknown(store: Store, folders: Sequence[bytes]) -> None:
    """ValidationError for a folder below which no photo is known: "no copies" would say that it has none."""
    from ....photos.ending import known_below

    with store.read() as connection:
        for folder in folders:
            if not known_below(connection, folder):
                raise ValidationError(
                    "No photo is known below {folder}: scan the folder first, or name another.",
                    folder=os.fsdecode(folder),
                )


@dataclass
class _List:
    """The list of copies in one of the `STYLES`. `how`: what would be done with them."""

    style: str
    how: How | None
    groups: int = 0
    copies: int = 0
    gain: int = 0
    absent: int = 0

    def print(self, found: Iterable[tuple[Group, Choice | None]]) -> None:
        from ....formatting import size

        if self.style == "csv":
            print_csv([("group", "role", "size", "sha256", "path", "path_bytes")])
        for group, choice in found:
            if self.how is not None and choice is None:
                continue  # no rule names one, or nothing may go
            self.groups += 1
            self.gain += group.gain
            self.copies += len(group.members) - 1
            self.absent += sum(not member.is_there for member in group.members)
            self._print_group(group, choice)
            if nobody_reads():
                return
        if self.style == "json":
            print_json(
                "summary", groups=self.groups, copies=self.copies, gain=self.gain, not_there=self.absent
            )
        elif self.style == "table":
            text = Message(
                "copies: {copies} (groups: {groups}), {gain} to gain",
                copies=self.copies,
                groups=self.groups,
                gain=size(self.gain),
            )
            if self.how is not None:
                text = Message("{text}; nothing was done yet: add --yes", text=text)
            print_line(text)
            if self.absent:
                away = ngettext(
                    "{count} of these photos is not there now: plug in its drive, or scan its folder again.",
                    "{count} of these photos are not there now: plug in their drive, or scan their folder again.",
                    self.absent,
                )
                print_line(away.format(count=self.absent))

    def _print_group(self, group: Group, choice: Choice | None) -> None:
        members = list(self._roles(group, choice))
        if self.style == "json":
            kept = choice.kept if choice is not None else None
            others = [member for role, member in members if role == "copy"]
            print_json(
                "group",
                sha256=group.digest.hex(),
                size=group.size,
                gain=group.gain,
                keep=os.fsdecode(kept.path) if kept is not None else None,
                keep_bytes=exact(kept.path) if kept is not None else None,
                copies=[os.fsdecode(member.path) for member in others],
                copies_bytes=[exact(member.path) for member in others],
                photos=[
                    {
                        "path": os.fsdecode(member.path),
                        "path_bytes": exact(member.path),
                        "role": role,
                        "is_there": member.is_there,
                    }
                    for role, member in members
                ],
            )
        elif self.style == "csv":
            digest = group.digest.hex()
            print_csv(
                (self.groups, role, group.size, digest, os.fsdecode(member.path), exact(member.path))
                for role, member in members
            )
        elif self.style == "null":
            print_paths(member.path for role, member in members if role == "copy")
        else:
            from ....formatting import size

            print_line(
                "{gain} to gain: {members} x {size}",
                gain=size(group.gain),
                members=len(group.members),
                size=size(group.size),
            )
            for role, member in members:
                print_line(f"  {self._word(role):<16}  {os.fsdecode(member.path)}")

    @staticmethod
    def _roles(group: Group, choice: Choice | None) -> Iterator[tuple[str, Member]]:
        """Each photo with what becomes of it: keep, copy, stays, not there; the kept one first. Whoever removes the
        copies himself loses nothing: where no photo is kept, none is a copy."""
        if choice is not None:
            yield "keep", choice.kept
        for member in group.members:
            if choice is not None and member is choice.kept:
                continue
            if not member.is_there:
                yield "not there", member
            elif choice is not None and member in choice.going:
                yield "copy", member
            else:
                yield "stays", member

    def _word(self, role: str) -> str:
        if role == "copy" and self.how is not None:
            return words.word(words.HOW_WORDS, self.how)
        return words.word(words.ROLE_WORDS, role)


def _deeds(
    store: Store, found: Sequence[tuple[Group, Choice | None]], how: How, protected: Protected
) -> Deeds:
    """Do it with each group; a group's last photos free no more than the group could."""
    from ....photos.duplicates import remove_copies

    for group, choice in found:
        if choice is None:
            continue
        gain = group.gain
        for deed in remove_copies(store, group, choice, how, protected):
            yield deed, group.digest, min(gain, group.size)
            gain -= group.size if deed.refusal is None else 0
