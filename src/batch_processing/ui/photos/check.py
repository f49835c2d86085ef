"""Whether photos are safe: `lote photos verify` and `known`."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...exceptions import ConfigurationError, ValidationError
from ...i18n import _, sentence
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    counted,
    exact,
    folders_given,
    open_store,
    photos_app,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from ...photos.knowledge import Finding


# What is known of a file, as people read it.
RESULT_WORDS = {
    "known": "known",
    "unknown": "unknown",
    "same file": "same file",
    "not there": "not there",
    "not told apart": "not told apart",
    "unreadable": "unreadable",
    "left alone": "left alone",
}


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
    from ...photos.verify import Result, Verification
    from ..console import size

    number, share = _sample(sample)
    read = 0
    stop = Stop()
    bottom, began = BottomLine(wanted=not quiet and not as_json), time.monotonic()
    with open_store(database, workspace) as (store, _where), stop.listening():
        work = Verification(store, folders_given(folders or []), sample=number, share=share, stopped=stop)
        for finding in work:
            read += finding.read
            if bottom.is_due:
                speed = size(read / max(0.001, time.monotonic() - began))
                checked, total, so_far = sum(work.counts.values()), work.number, size(read)
                bottom.say(f"{checked} of {total} photos checked  {so_far}  {speed}/s")
            if finding.result is Result.OK:
                continue
            bottom.clear()
            path = os.fsdecode(finding.path)
            if as_json:
                print_json(
                    "finding", path=path, path_bytes=exact(path), result=finding.result, text=finding.text
                )
            elif not quiet or finding.result is not Result.CHANGED:
                print_note(f"lote: {path}: {finding.text}")
    bottom.clear()
    counts = {result.value: work.counts[result] for result in Result}
    if as_json:
        print_json("summary", **counts, bytes_read=read)
    elif not quiet:
        print_line(", ".join(f"{number} {result}" for result, number in counts.items()))
    if stop.asked:
        raise typer.Exit(130)
    if work.marked:
        print_note(
            f"lote: {work.marked} photos are missing since a scan; if they were deleted on purpose: lote photos forget --missing"
        )
    if work.exit_code == 13:
        missing = work.counts[Result.MISSING]
        print_note(
            f"lote: {missing} photos are missing, so many or a whole folder of them: if their drive is not plugged in, do that."
        )
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
    raise ConfigurationError(f"--sample must be a number or a share such as 5%, not {text!r}.")


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
    from ...photos import knowledge
    from ...photos.steps import recover
    from .common import no_scan_meanwhile

    (root,) = folders_given([folder])
    if not (place := Path(os.fsdecode(root))).is_dir():
        problem = "is not a directory" if place.exists() else "does not exist"
        raise ValidationError(f"The folder {place} {problem}: name a folder of photos.")
    counts: Counter[str] = Counter(dict.fromkeys(knowledge.Result, 0))
    left: Counter[str] = Counter()
    unsafe = worth = 0
    stop = Stop()
    with open_store(database, workspace) as (store, where), no_scan_meanwhile(store, where), stop.listening():
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
        print_note(f"There is no photo in {place}: nothing can be said about it.")
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
    path, word = os.fsdecode(finding.path), _(RESULT_WORDS[finding.result])
    if finding.twin is not None:
        return f"{word}  {path}  = {os.fsdecode(finding.twin)}"
    return f"{word}  {path}: {sentence(finding.text)}" if finding.text else f"{word}  {path}"


def _summed_up(counts: Counter[str], left: Counter[str], files: int, unsafe: int) -> str:
    parts = ", ".join(f"{number} {_(RESULT_WORDS[result])}" for result, number in counts.items() if number)
    if left:
        reasons = ", ".join(counted(reason, number) for reason, number in left.items())
        parts = f"{parts} ({reasons})"
    if unsafe:
        return f"files: {files} ({parts}); not safe: {unsafe}. Do not format this card."
    return f"files: {files} ({parts}). All of them are in the library."
