"""What the commands `lote photos ...` share: options, the open library, and how they print.

Results go to stdout, progress and errors to stderr; with `--json` stdout holds one object a line, the
last of them the summary.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ...exceptions import ConfigurationError
from ...i18n import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...core.workspace import Workspace
    from ...photos.store import Store

# How often the line at the bottom of a terminal is renewed.
TERMINAL_INTERVAL_S = 0.25

# As a person meets them, not as the modules are imported.
COMMANDS = (
    "scan",
    "import",
    "list",
    "stats",
    "duplicates",
    "known",
    "verify",
    "errors",
    "batches",
    "relocate",
    "forget",
)


class _Commands(TyperGroup):
    """The commands in the order of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


photos_app = typer.Typer(
    cls=_Commands,
    help="Scan photo libraries, find copies, and check that nothing is lost.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="LOTE_DATABASE",
        help="SQLAlchemy URL or SQLite file; the workspace's own if left out.",
    ),
]
WorkspaceOption = Annotated[
    str | None,
    typer.Option("--workspace", metavar="DIR", help="Folder that remembers the work (LOTE_WORKSPACE)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it; without this only what would be done is shown.")
]


@contextmanager
def open_store(database: str | None, workspace: str | None) -> Iterator[tuple[Store, Workspace]]:
    from ...core.workspace import Workspace
    from ...photos.store import Store, open_database

    place = Workspace(workspace)
    place.ensure()
    opened = open_database(database or place.database)
    store = Store(opened)
    gc.freeze()  # a collection that looks through all that was imported takes 20 ms in the middle of a scan
    try:
        yield store, place
    finally:
        store.close()
        opened.close()


class Stop:
    """The first Ctrl-C (or SIGTERM) asks to stop, the second stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        def ask(_number: int, _frame: object) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def print_json(event: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def print_note(text: str) -> None:
    from ..console import safe

    typer.echo(safe(sentence(text)), err=True)


def print_line(text: str) -> None:
    """A line of a result, on stdout."""
    from ..console import safe

    typer.echo(safe(sentence(text)))


def folders_given(folders: Sequence[str]) -> list[bytes]:
    if "" in folders:  # an unset variable of a script: not the current folder
        raise ConfigurationError("The name of a folder is empty: name a folder of photos.")
    return [os.path.abspath(os.path.expanduser(os.fsencode(folder))) for folder in folders]  # noqa: PTH100, PTH111 - bytes


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns on stdout, numbers to the right."""
    from ..console import safe

    head = [sentence(word) for word in head]
    body = [[safe(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(head), *body]) for column in range(len(head))]
    right = [
        bool(body) and all(row[column][:1].isdigit() or not row[column] for row in body)
        for column in range(len(head))
    ]
    for row in [list(head), *body]:
        cells = [
            cell.rjust(width) if left else cell.ljust(width)
            for cell, width, left in zip(row, widths, right, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


class BottomLine:
    """The line at the bottom of a terminal that says how far it is; nothing where stderr is none."""

    def __init__(self, *, wanted: bool) -> None:
        self.is_live = wanted and sys.stderr.isatty()
        self._drawn = False
        self._last = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a new text."""
        return self.is_live and time.monotonic() - self._last >= TERMINAL_INTERVAL_S

    def say(self, text: str) -> None:
        sys.stderr.write("\r\x1b[K" + sentence(text)[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()
        self._drawn, self._last = True, time.monotonic()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


@contextmanager
def no_scan_meanwhile(store: Store, place: Workspace) -> Iterator[None]:
    """Keep scans away meanwhile."""
    from ...photos.store import scan_lock

    with scan_lock(store, place, print_note, lambda: False):
        yield
