"""The commands that look at what is being done: `top`, `metrics`."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import CARE, JOBS, JsonOption, WorkspaceOption, app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ...monitoring import Watch

# How long the first look waits for the second: rates are what happens between two.
FIRST_S = 0.5
WIDTH = 160  # of what is printed where no terminal says how wide it is

EveryOption = Annotated[
    float | None,
    typer.Option("--every", metavar="SECONDS", min=0.2, help="Look again after so long, until Ctrl-C."),
]


@app.command(rich_help_panel=JOBS, epilog="lote top\nlote top --once\nlote top --json --every 10")
def top(
    once: Annotated[bool, typer.Option("--once", help="Look once, print, and end.")] = False,
    every: EveryOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Watch what is being done: jobs, their processes, the queue, the machine. q ends."""
    from ...core.workspace import Workspace
    from ...monitoring import Watch
    from .. import top as view

    watch = Watch(Workspace(workspace))
    if view.has_screen() and not once and not as_json:
        with _ended_by_sigterm(), view.screen() as screen:
            watch.look()
            while True:
                screen.show(watch.look())
                if screen.left_within(every or 1.0):
                    return
    watch.look()
    time.sleep(FIRST_S)
    _print(watch, as_json=as_json)
    while every is not None and not once:
        time.sleep(every)
        if not as_json:
            typer.echo("")
        _print(watch, as_json=as_json)


def _print(watch: Watch, *, as_json: bool) -> None:
    import shutil

    from ...core.plain import to_plain
    from .. import top as view
    from ..console import put_json

    observation = watch.look()
    if as_json:
        put_json("top", **to_plain(observation))
        return
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    for line in view.lines(observation, width):
        typer.echo(line)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does: the screen is given back."""

    def leave(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command(rich_help_panel=CARE, epilog="lote metrics\nlote metrics -o /var/lib/node_exporter/lote.prom")
def metrics(
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write them to this file, whole or not at all; no other is replaced.",
        ),
    ] = None,
    every: EveryOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Print numbers about jobs and machine for Prometheus (OpenMetrics), or keep them in a file."""
    from ...core.workspace import Workspace
    from ...monitoring import MetricsFile, Watch, openmetrics

    watch = Watch(Workspace(workspace))
    file = None if output is None else MetricsFile(output)
    watch.look()
    time.sleep(FIRST_S)
    while True:
        if file is None:
            sys.stdout.write(openmetrics(watch.look()))
            sys.stdout.flush()
        else:
            file.write(watch)
        if every is None:
            return
        time.sleep(every)
