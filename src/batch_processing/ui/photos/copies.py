"""`lote photos duplicates`: the list of copies, and how to get rid of them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ...exceptions import ConfigurationError, ValidationError
from ...i18n import _
from .common import (
    DatabaseOption,
    JsonOption,
    Stop,
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
    print_note,
    print_paths,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...photos.duplicates import Choice, Deed, Group, Keep, Member
    from ...photos.removal import How, Protected
    from ...photos.steps import Recovered
    from ...photos.store import Store

# What becomes of a photo, as people read it.
ROLE_WORDS = {"keep": "keep", "copy": "copy", "stays": "stays", "not there": "not there now"}
HOW_WORDS = {"trash": "to the trash", "hardlink": "to a link", "reflink": "to share"}
STYLES = ("table", "csv", "json", "null")


class _KeepCommand(TyperCommand):
    """`--keep under FOLDER` is an option with two words; the parser knows options of one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined: list[str] = []
        words = iter(args)
        for word in words:
            value = next(words, None) if word == "--keep" else word.removeprefix("--keep=")
            if word == "--keep" and value is None:
                joined.append(word)  # the parser says what is missing
            elif word == "--keep" or word.startswith("--keep="):
                folder = next(words, None) if value == "under" else None
                joined.append(f"--keep={value}" + (f" {folder}" if folder is not None else ""))
            else:
                joined.append(word)
                if word == "--":
                    joined.extend(words)
        return super().parse_args(ctx, joined)


@photos_app.command(cls=_KeepCommand)
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
    from ...photos.duplicates import Keep, Rule, groups
    from ...photos.removal import How, Protected

    style = "json" if as_json else style
    if style not in STYLES:
        raise ConfigurationError(f"--format must be table, csv, json or null, not {style!r}.")
    asked = [how for how, is_asked in zip(How, (hardlink, reflink, trash), strict=True) if is_asked]
    if len(asked) > 1:
        raise ConfigurationError("Choose one of --hardlink, --reflink and --trash.")
    rules = _rules(keep or [])
    protected = Protected([rule.folder for rule in rules if rule.folder is not None])
    rules = rules or [Keep(Rule.OLDEST)]
    only = folders_given(folders or [])
    with open_store(database, workspace) as (store, place):
        _refuse_unknown(store, only)
        found = ((group, group.choose(rules, protected)) for group in groups(store, only))
        if not asked or not yes:
            _List(style, asked[0] if asked else None).print(found)
            return
        path = (
            Path(log) if log else place.folder("logs") / f"duplicates-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
        )
        with no_scan_meanwhile(store, place):
            failed = _Removal(store, asked[0], protected, path, as_json=style == "json").run(found)
    raise typer.Exit(3 if failed else 0)


def _refuse_unknown(store: Store, folders: Sequence[bytes]) -> None:
    """ValidationError for a folder below which no photo is known: "no copies" would say that it has none."""
    from ...photos.ending import known_below

    with store.read() as connection:
        for folder in folders:
            if not known_below(connection, folder):
                raise ValidationError(
                    f"No photo is known below {os.fsdecode(folder)}: scan the folder first, or name another."
                )


def _rules(texts: Sequence[str]) -> list[Keep]:
    from ...photos.duplicates import Keep, Rule

    rules = []
    for text in texts:
        name, _, folder = text.partition(" ")
        try:
            rule = Rule(name)
        except ValueError:
            known = ", ".join(rule.value for rule in Rule)
            raise ConfigurationError(f"--keep must be one of {known}, not {text!r}.") from None
        if (rule is Rule.UNDER) != bool(folder) or folder.startswith("--"):
            raise ConfigurationError("--keep under needs a folder, and only that does: --keep under FOLDER.")
        path = folders_given([folder])[0] if folder else None
        if path is not None and not os.path.isdir(path):  # noqa: PTH112 - bytes
            raise ConfigurationError(f"--keep under {folder}: there is no such folder.")
        rules.append(Keep(rule, path))
    return rules


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
        from ..console import size

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
            text = f"copies: {self.copies} (groups: {self.groups}), {size(self.gain)} to gain"
            if self.how is not None:
                text = f"{text}; nothing was done yet: add --yes"
            print_line(text)
            if self.absent:
                print_line(
                    f"{self.absent} of these photos are not there now: plug in their drive, or scan their folder again."
                )

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
            from ..console import size

            print_line(f"{size(group.gain)} to gain: {len(group.members)} x {size(group.size)}")
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
            return _(HOW_WORDS[self.how])
        return _(ROLE_WORDS[role])


class _Removal:
    """Does it, writing each deed to the log before the next."""

    def __init__(self, store: Store, how: How, protected: Protected, path: Path, *, as_json: bool) -> None:
        self._store, self._how, self._protected, self._path, self._json = store, how, protected, path, as_json
        self._done = self._failed = self._gain = 0

    def run(self, found: Iterable[tuple[Group, Choice | None]]) -> int:
        """Returns how many could not be done."""
        from ...photos.duplicates import remove_copies
        from ...photos.steps import recover

        self._path.parent.mkdir(parents=True, exist_ok=True)
        stop = Stop()
        with self._path.open("a", encoding="utf-8") as file, stop.listening():
            self._tell(recover(self._store))
            for group, choice in list(found):
                if choice is None or stop.asked:
                    continue
                gain = group.gain
                for deed in remove_copies(self._store, group, choice, self._how, self._protected):
                    file.write(json.dumps(self._say(deed, group, min(gain, group.size))) + "\n")
                    file.flush()
                    gain -= group.size if deed.refusal is None else 0
                    if stop.asked:
                        break
        self._sum_up()
        if stop.asked:
            raise typer.Exit(130)
        return self._failed

    def _tell(self, found: Sequence[Recovered]) -> None:
        """Of photos that have another name since a run that was killed, and cannot have their own back."""
        from ...photos.steps import Outcome

        for step in found:
            if step.outcome in (Outcome.BOTH, Outcome.FAILED):
                self._failed += 1
                spare = os.fsdecode(os.path.basename(step.spare))  # noqa: PTH119 - bytes
                why = step.problem or "another file has its name: rename one of them"
                print_note(
                    f"lote: {os.fsdecode(step.path)}: is called {spare} since a run that was killed; {why}"
                )

    def _say(self, deed: Deed, group: Group, gain: int) -> dict[str, Any]:
        entry = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "action": deed.how.value,
            "path": os.fsdecode(deed.path),
            "path_bytes": exact(deed.path),
            "kept": os.fsdecode(deed.kept),
            "kept_bytes": exact(deed.kept),
            "size": deed.size,
            "sha256": group.digest.hex(),
            "done": deed.refusal is None,
            "refusal": deed.refusal.value if deed.refusal is not None else None,
            "problem": deed.problem or None,
        }
        if deed.refusal is None:
            self._done += 1
            self._gain += max(0, gain)
        else:
            self._failed += 1
            print_note(f"lote: {entry['path']}: left alone, because it {deed.problem}.")
        if self._json:
            print_json("deed", **entry)
        return entry

    def _sum_up(self) -> None:
        from ..console import size

        done, failed, gain = self._done, self._failed, size(self._gain)
        if self._json:
            print_json("summary", done=done, failed=failed, gain=self._gain, log=str(self._path))
        elif self._how == "trash":
            print_line(f"moved to the trash: {done} ({gain} gained), left alone: {failed}; log: {self._path}")
        elif self._how == "hardlink":
            print_line(
                f"replaced by hard links: {done} ({gain} gained), left alone: {failed}; log: {self._path}"
            )
        else:
            print_line(
                f"share the bytes of another now: {done} ({gain} gained), left alone: {failed}; log: {self._path}"
            )
