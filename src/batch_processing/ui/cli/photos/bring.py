"""`lote photos import`: what a card holds and the library does not is copied into it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ....i18n import N_, _, ngettext
from ....messages import Message
from . import words
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    QuietOption,
    Stop,
    WorkspaceOption,
    YesOption,
    exact,
    folders_given,
    open_store,
    photos_app,
    print_facts,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from ....photos.importing import Deed, Import
    from ....photos.planning import Plan, Planned

# Files shown of what would be copied; `--json` has them all.
TARGETS_SHOWN = 10


@photos_app.command("import")
def import_card(
    card: Annotated[
        str, typer.Argument(metavar="CARD", help="A memory card, a phone, or any folder of photos.")
    ],
    library: Annotated[
        str, typer.Argument(metavar="LIBRARY", help="A folder that was scanned, or a new one.")
    ],
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="TEXT",
            help="Folders below LIBRARY. In braces: year, month, day, hour, minute, camera, or source, which is the "
            "name of CARD.",
        ),
    ] = "{year}/{year}-{month}-{day}",
    move: Annotated[
        bool, typer.Option("--move", help="Remove from CARD what was copied and verified.")
    ] = False,
    yes: YesOption = False,
    database: DatabaseOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Copy the photos and videos of a card that the library does not hold, verified, each once.

    Sidecars and Live Photo pairs stay together. Exit codes: 0 done, 3 some files could not be copied, 130
    interrupted; run the same command again and it goes on."""
    from ....photos.importing import Import
    from ....photos.layout import Layout
    from ....photos.names import as_listed
    from ....photos.store import scan_lock

    source, target = (as_listed(folder) for folder in folders_given([card, library]))
    chosen = Layout(layout, os.fsdecode(os.path.basename(source)))  # noqa: PTH119 - bytes
    view = _View(as_json=as_json, quiet=quiet)
    stop = Stop()
    with open_store(database, workspace) as (store, opened), stop.listening():
        work = Import(store, source, target, chosen, move=move, stopped=stop, progress=view.looked_at)
        try:
            if yes:
                with scan_lock(store, opened, view.waiting, stop) as held:
                    plan = work.prepare() if held else None
                    if plan is not None:
                        view.begin(plan)
                        for deed in work.run(plan):
                            view.deed(deed, work)
            else:
                plan = work.plan()
        finally:
            view.end()
    if plan is None:
        raise typer.Exit(130)
    if yes:
        view.summary(work, plan, was_stopped=stop.asked)
        failed = bool(work.counts.failed or work.counts.kept or work.problems)
    else:
        view.plan(plan, was_stopped=stop.asked)
        failed = bool(plan.problems)
    raise typer.Exit(130 if stop.asked else 3 if failed else 0)


class _View:
    """What a person, a log or a program sees of an import."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json, self._quiet = as_json, quiet
        self._bottom = BottomLine(wanted=not quiet and not as_json)
        self._files = self._bytes = 0
        self._began = time.monotonic()

    def waiting(self, text: Message) -> None:
        print_note(text)

    def looked_at(self, done: int, total: int) -> None:
        if self._bottom.is_due:
            self._bottom.say("{done} of {total} files of the card looked at", done=done, total=total)

    def begin(self, plan: Plan) -> None:
        from ....photos.planning import Fate

        self._files, self._bytes = len(plan.of(Fate.COPY)), plan.bytes_to_copy
        self._began = time.monotonic()

    def deed(self, deed: Deed, work: Import) -> None:
        if deed.problem:
            self.end()
            print_note("lote: {path}: {problem}", path=os.fsdecode(deed.path), problem=deed.problem)
        if self._json and not self._quiet:
            self._event(
                deed.path,
                deed.result,
                deed.target,
                deed.size,
                sha256=deed.digest.hex() if deed.digest else None,
                text=deed.problem,
            )
        elif self._bottom.is_due:
            from ....formatting import seconds, size

            counts, elapsed = work.counts, max(0.001, time.monotonic() - self._began)
            to_go = elapsed * (self._bytes - counts.bytes_copied) / max(1, counts.bytes_copied)
            left = seconds(to_go) if counts.copied else "–"
            done, total, speed = (
                size(number) for number in (counts.bytes_copied, self._bytes, counts.bytes_copied / elapsed)
            )
            self._bottom.say(
                "{copied} of {_files} files copied  {done} of {total}  {speed}/s  {left} left",
                copied=counts.copied,
                _files=self._files,
                done=done,
                total=total,
                speed=speed,
                left=left,
            )

    @staticmethod
    def _event(path: bytes, result: str, target: bytes, size: int, **more: Any) -> None:
        print_json(
            "file",
            path=os.fsdecode(path),
            path_bytes=exact(path),
            result=result,
            target=os.fsdecode(target) or None,
            target_bytes=exact(target) or None,
            size=size,
            **more,
        )

    def end(self) -> None:
        self._bottom.clear()

    def plan(self, plan: Plan, *, was_stopped: bool) -> None:
        from ....formatting import size
        from ....photos.planning import Fate

        problems = plan.problems
        for path, problem in problems:
            print_note("lote: {path}: {problem}", path=os.fsdecode(path), problem=problem)
        to_copy, known = plan.of(Fate.COPY), plan.of(Fate.KNOWN)
        if self._json:
            if not self._quiet:
                self._planned_events(plan)
            print_json(
                "summary",
                state="stopped" if was_stopped else "dry run",
                to_copy=len(to_copy),
                bytes_to_copy=plan.bytes_to_copy,
                known=len(known),
                failed=len(problems),
                left_alone=_left_alone(plan),
            )
            return
        if self._quiet:
            return
        for planned in to_copy[:TARGETS_SHOWN]:
            print_line(f"{os.fsdecode(planned.file.path)} -> {os.fsdecode(planned.target)}")
        if (more := len(to_copy) - TARGETS_SHOWN) > 0:
            print_line("and {more} more", more=more)
        text = ngettext("{count} file to copy", "{count} files to copy", len(to_copy))
        print_line(
            "{files} ({size}), known already: {known}, cannot be read: {problems}",
            files=text.format(count=len(to_copy)),
            size=size(plan.bytes_to_copy),
            known=len(known),
            problems=len(problems),
        )
        self._print_left(plan)
        if was_stopped:
            print_note("lote: stopped before all was looked at.")
        elif to_copy:
            print_line("Nothing was copied: add --yes")

    def _planned_events(self, plan: Plan) -> None:
        from ....photos.importing import Result
        from ....photos.planning import Fate

        results = {Fate.COPY: "to copy", Fate.KNOWN: Result.KNOWN, Fate.FAIL: Result.FAILED}
        for path, problem in plan.card.problems:
            self._event(path, Result.FAILED, b"", 0, text=problem)
        for unit in plan.units:
            for one in unit:
                self._planned_event(one, results[one.fate])

    def _planned_event(self, one: Planned, word: str) -> None:
        self._event(one.file.path, word, one.target, one.file.size, text=one.problem)

    def summary(self, work: Import, plan: Plan, *, was_stopped: bool) -> None:
        from ....core.model import JobState
        from ....formatting import size
        from ....photos.tables import ScanState

        for path, problem in [*work.problems, *work.not_removed]:
            print_note("lote: {path}: {problem}", path=os.fsdecode(path), problem=problem)
        counts = work.counts
        if self._json:
            print_json(
                "summary",
                state=ScanState.STOPPED if was_stopped else JobState.DONE,
                copied=counts.copied,
                bytes_copied=counts.bytes_copied,
                known=counts.known,
                failed=counts.failed,
                removed=counts.removed,
                not_removed=counts.kept,
                left_alone=_left_alone(plan),
            )
        elif not self._quiet:
            rows: list[tuple[str, object]] = [
                (N_("copied"), f"{counts.copied} ({size(counts.bytes_copied)})"),
                (N_("known already"), counts.known),
                (N_("not copied"), counts.failed),
                (N_("removed from card"), counts.removed),
                (N_("left on card"), counts.kept),
            ]
            print_facts(rows if work.is_move else rows[:3])
            self._print_left(plan)
        if was_stopped:
            print_note("lote: stopped; what was copied is safe. Run the same command again and it goes on.")

    @staticmethod
    def _print_left(plan: Plan) -> None:
        for reason, left in plan.card.left.items():
            print_line(
                "{label}  {reason}, the first is {first}",
                label=f"{_('left alone'):>18}",
                reason=words.counted(reason, left.count),
                first=left.first,
            )


def _left_alone(plan: Plan) -> list[dict[str, str | int]]:
    return [
        {"reason": why, "count": left.count, "first": left.first, "first_bytes": exact(left.first)}
        for why, left in plan.card.left.items()
    ]
