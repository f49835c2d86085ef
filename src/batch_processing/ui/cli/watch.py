"""`lote watch`: a folder into which people put books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...core.model import DropEnd, ItemState
from ...formatting import safe
from ...i18n import _, language, translate
from ...messages import NOTHING, Message
from .colorize import IN_AND_OUT, BookOptions, in_force
from .common import COMICS, RUN, app, taking
from .following import set_up_logging

if TYPE_CHECKING:
    from ...colorize import JobResult
    from ...core.coordinator import Interrupt, OnNews
    from ...core.model import Drop
    from ...core.workspace import Workspace
    from ..console import View

EXAMPLES = """lote watch drop/ -o coloured/
lote watch drop/ -o coloured/ --references cast/ --layers psd
lote watch drop/ -o coloured/ --once --quiet"""


@dataclass(kw_only=True)
class WatchOptions(BookOptions):
    """What `lote watch` takes."""

    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder into which books are put.")]
    output_dir: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder that gets the coloured books.",
            rich_help_panel=IN_AND_OUT,
        ),
    ]
    done: Annotated[
        str | None,
        typer.Option(
            "--done",
            metavar="DIR",
            help="Where what is done is moved to; FOLDER/done if left out.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    failed: Annotated[
        str | None,
        typer.Option(
            "--failed",
            metavar="DIR",
            help="Where what failed is moved to; FOLDER/failed if left out.",
            rich_help_panel=IN_AND_OUT,
        ),
    ] = None
    stay: Annotated[
        bool,
        typer.Option("--stay", help="Leave books where they were put.", rich_help_panel=IN_AND_OUT),
    ] = False
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            min=0.1,
            max=3600.0,
            help="Take a book once nothing in it has changed for so long.",
            rich_help_panel=RUN,
        ),
    ] = 10.0
    once: Annotated[
        bool,
        typer.Option("--once", help="Do what is there, and leave (for cron).", rich_help_panel=RUN),
    ] = False


@app.command(rich_help_panel=COMICS, epilog=EXAMPLES)
@taking(WatchOptions)
def watch(options: WatchOptions) -> None:
    """Colour whatever is put into a folder, as it comes."""
    from ...comics.shelf import absolute
    from ...config.effective import Settings
    from ...core.coordinator import Interrupt
    from ...core.workspace import Workspace
    from ...monitoring import metrics_kept
    from ...watch import AlreadyWatched, Asked
    from ...watch import watch as watch_folder

    if options.stay and options.done is not None:
        raise typer.BadParameter(_("give --done DIR or --stay, not both"))
    set_up_logging(options.log_file, options.log_level, as_json=options.log_json)
    folder = Path(absolute(options.folder))
    named = {"input_dir": str(folder), "output_dir": absolute(options.output_dir)}
    workspace, interrupt = Workspace(options.workspace), Interrupt()
    values, origins = in_force(workspace, Settings(options.settings() | named).effective())
    asked = Asked(
        folder=folder,
        output=Path(absolute(options.output_dir)),
        done=None if options.stay else Path(absolute(options.done or folder / "done")),
        failed=Path(absolute(options.failed or folder / "failed")),
        settle_s=options.settle,
        once=options.once,
        values=values | {"preview_mode": False},
        origins=origins,
        priority=options.priority,
        language=language(),
    )
    teller = _Teller(workspace, asked.folder, interrupt, as_json=options.as_json, quiet=options.quiet)
    try:
        with interrupt.signals():
            teller.says(Message("watching {folder}; Ctrl-C ends it", folder=folder), "watching")
            with metrics_kept(workspace, options.metrics):
                code = watch_folder(workspace, asked, teller, interrupt)
    except AlreadyWatched:
        if not (options.once and options.quiet):
            raise
        code = 0  # whoever watches it does the work: nothing that cron has to send a letter about
    finally:
        teller.close()
    raise typer.Exit(code)


class _Teller:
    """Prints what happens in a watched folder."""

    def __init__(
        self, workspace: Workspace, folder: Path, interrupt: Interrupt, *, as_json: bool, quiet: bool
    ) -> None:
        from ..console import err_console

        self._workspace, self._folder, self._interrupt = workspace, folder, interrupt
        self._as_json, self._quiet = as_json, quiet
        self._console = err_console()
        self._view: View | None = None

    def close(self) -> None:
        """End what is drawn in place."""
        if self._view is not None:
            self._view.end()
            self._view = None

    def says(self, message: Message, event: str, *, always: bool = False) -> None:
        """A line for a person, or an object of `--json`."""
        from ..console import fit, put_json

        self.close()
        if self._as_json:
            put_json(event, text=message)
        elif always or not self._quiet:
            self._console.print(fit(safe(translate(message))))

    def warns(self, message: Message) -> None:
        self.says(message, "warning", always=True)

    def begins(self, drop: Drop, job: int) -> OnNews:
        from ..console import put_json, view

        self.close()
        ahead = [other for other in self._workspace.ledger.jobs("comics") if other.id != job and other.alive]
        if self._as_json:
            put_json("drop", name=drop.name, job=job, output=drop.output)
        elif not self._quiet:
            text = _("{name}: job {job}").format(name=safe(drop.name), job=job)
            self._console.print(text)
            if ahead:
                self._console.print(_("waiting behind job {job}").format(job=ahead[0].id))
        leaving = self._interrupt
        self._view = view(
            self._console, as_json=self._as_json, quiet=self._quiet, leaving=lambda: leaving.level > 0
        )
        return self._view.news

    def ends(self, drop: Drop, results: Sequence[JobResult]) -> None:
        from ..console import SHOWN, put_json, summary

        self.close()
        for result in results:
            if self._as_json:
                put_json("summary", **result.told(), exit_code=result.exit_code)
            elif not self._quiet:
                failed = islice(self._workspace.ledger.items(result.job, ItemState.FAILED), SHOWN)
                summary(self._console, result, [(item.key, item.error or NOTHING) for item in failed])
        if self._as_json:
            put_json(
                "dropped", name=drop.name, end=drop.end, jobs=drop.jobs, output=drop.output, moved_to=drop.target,
                error=drop.error,
            )  # fmt: skip
            return
        where = drop.target or drop.path
        if drop.end == DropEnd.DONE:
            if not self._quiet:
                typer.echo(safe(drop.output))
        elif drop.end == DropEnd.FAILED:
            text = Message("{name} failed: {error}", name=drop.name, error=drop.error or NOTHING)
            self.warns(text)
            self.says(Message("it is in {folder}", folder=str(Path(where).parent)), "note")
        else:
            text = Message("{name} was taken out or replaced before it was done", name=drop.name)
            self.warns(text)
