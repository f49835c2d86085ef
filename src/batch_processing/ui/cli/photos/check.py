"""Whether photos are safe: `lote photos verify` and `known`."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ....exceptions import ConfigurationError, ValidationError
from ....i18n import ngettext, translate
from ....messages import Message
from . import words
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    exact,
    folders_given,
    open_store,
    photos_app,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from ....photos.knowledge import Finding


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
    """Hash photos again: find silent corruption, and what is missing.

    Exit codes: 0 all is well, 2 there is nothing to verify, 3 photos are corrupt, missing or unreadable, 13 so much is missing
    that a drive is more likely not plugged in, 130 interrupted."""
    from ....formatting import size
    from ....photos.verify import Result, Verification

    number, share = _sample(sample)
    read = 0
    stop = Stop()
    bottom, began = BottomLine(wanted=not quiet and not as_json), time.monotonic()
    with open_store(database, workspace) as (store, _), stop.listening():
        work = Verification(store, folders_given(folders or []), sample=number, share=share, stopped=stop)
        for finding in work:
            read += finding.read
            if bottom.is_due:
                speed = size(read / max(0.001, time.monotonic() - began))
                checked, total, so_far = sum(work.counts.values()), work.number, size(read)
                bottom.say(
                    "{checked} of {total} photos checked  {so_far}  {speed}/s",
                    checked=checked,
                    total=total,
                    so_far=so_far,
                    speed=speed,
                )
            if finding.result is Result.OK:
                continue
            bottom.clear()
            path = os.fsdecode(finding.path)
            if as_json:
                print_json(
                    "finding", path=path, path_bytes=exact(path), result=finding.result, text=finding.text
                )
            elif not quiet or finding.result is not Result.CHANGED:
                print_note("lote: {path}: {text}", path=path, text=finding.text)
    bottom.clear()
    counts = {result.value: work.counts[result] for result in Result}
    if as_json:
        print_json("summary", **counts, bytes_read=read)
    elif not quiet:
        print_line(", ".join(words.verified(result, number) for result, number in counts.items()))
    if stop.asked:
        raise typer.Exit(130)
    if work.marked:
        text = ngettext(
            "lote: {count} photo is missing since a scan; if it was deleted on purpose: lote photos forget --missing",
            "lote: {count} photos are missing since a scan; if they were deleted on purpose: lote photos forget "
            "--missing",
            work.marked,
        )
        print_note(text.format(count=work.marked))
    if work.exit_code == 13:
        missing = work.counts[Result.MISSING]
        text = ngettext(
            "lote: {count} photo is missing, and with it all of a folder: if its drive is not plugged in, do that.",
            "lote: {count} photos are missing, so many or a whole folder of them: if their drive is not plugged in, "
            "do that.",
            missing,
        )
        print_note(text.format(count=missing))
    raise typer.Exit(work.exit_code)


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
    raise ConfigurationError("--sample must be a number or a share such as 5%, not {text}.", text=repr(text))


@photos_app.command()
def known(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A card, or any folder of photos.")],
    database: DatabaseOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Say whether a card may be formatted: whether all its files are in the library, by content, now.

    Nothing hides a file here: not .nomedia, no bin, no ignore rule. Records nothing.

    Exit codes: 0 all files are known, 3 some are not, or there are none, 130 interrupted."""
    from ....photos import knowledge
    from ....photos.steps import recover
    from .common import no_scan_meanwhile

    (root,) = folders_given([folder])
    if not (path := Path(os.fsdecode(root))).is_dir():
        problem = Message("is not a directory") if path.exists() else Message("does not exist")
        raise ValidationError(
            "The folder {path} {problem}: name a folder of photos.", path=path, problem=problem
        )
    counts: Counter[str] = Counter(dict.fromkeys(knowledge.Result, 0))
    left: Counter[str] = Counter()
    unsafe = worth = 0
    stop = Stop()
    with (
        open_store(database, workspace) as (store, opened),
        no_scan_meanwhile(store, opened),
        stop.listening(),
    ):
        recover(store)
        for finding in knowledge.known(store, root, stop):
            counts[finding.result] += 1
            unsafe += not finding.is_safe
            worth += finding.left not in knowledge.WITHOUT_WORTH
            if finding.left is not None:
                left[finding.left] += 1
            if as_json:
                _put(finding)
            elif not quiet or not finding.is_safe:
                print_line(_said(finding))
    files = counts.total()
    if as_json:
        print_json(
            "summary",
            files=files,
            **{result.replace(" ", "_"): counts[result] for result in knowledge.Result},
            left_by_reason=dict(left),
            all_known=bool(worth) and not unsafe,
        )
    elif not worth:
        print_note("There is no photo in {path}: nothing can be said about it.", path=path)
    elif not quiet:
        print_note(_summed_up(counts, left, files, unsafe))
    if stop.asked:
        raise typer.Exit(130)
    raise typer.Exit(3 if unsafe or not worth else 0)


def _put(finding: Finding) -> None:
    twin = finding.twin
    print_json(
        "file",
        path=os.fsdecode(finding.path),
        path_bytes=exact(finding.path),
        kind=finding.kind,
        result=finding.result,
        known_as=os.fsdecode(twin) if twin is not None else None,
        known_as_bytes=exact(twin) if twin is not None else None,
        text=finding.text,
    )


def _said(finding: Finding) -> str:
    path, word = os.fsdecode(finding.path), words.word(words.KNOWN_WORDS, finding.result)
    if finding.twin is not None:
        return f"{word}  {path}  = {os.fsdecode(finding.twin)}"
    return f"{word}  {path}: {translate(finding.text)}" if finding.text else f"{word}  {path}"


def _summed_up(counts: Counter[str], left: Counter[str], files: int, unsafe: int) -> Message:
    parts = ", ".join(words.known(result, number) for result, number in counts.items() if number)
    if left:
        reasons = ", ".join(words.counted(reason, number) for reason, number in left.items())
        parts = f"{parts} ({reasons})"
    if unsafe:
        return Message(
            "files: {files} ({parts}); not safe: {unsafe}. Do not format this card.",
            files=files,
            parts=parts,
            unsafe=unsafe,
        )
    return Message("files: {files} ({parts}). All of them are in the library.", files=files, parts=parts)
