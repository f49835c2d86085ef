"""What the commands `lote photos ...` share: options, the open library, and how they print.

Results go to stdout, progress and errors to stderr; with `--json` stdout holds one object a line, the
last of them the summary. A stdout that is closed, or that nobody reads any more, is no error; one that is
full is, with a sentence. Paths are shown as text, which not every path is: whoever needs its exact bytes
takes `path_bytes` (`exact`) or `--style null`.
"""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import select
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote_from_bytes

import typer

from ....exceptions import ConfigurationError, ResourceError
from ....i18n import _, translate
from ....messages import Message, as_message
from ..common import Application
from ..usage import Commands

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ....core.workspace import Workspace
    from ....photos.store import Store

# How often the line at the bottom of a terminal is renewed.
TERMINAL_INTERVAL_S = 0.25
# Rows of a table that are held at a time; columns are as wide as these need.
TABLE_PAGE = 500

# As a person meets them, not as the modules are imported.
COMMANDS = (
    "scan",
    "look",
    "faces",
    "import",
    "list",
    "stats",
    "duplicates",
    "similar",
    "people",
    "find",
    "known",
    "verify",
    "errors",
    "left-out",
    "batches",
    "relocate",
    "forget",
)


class _Commands(Commands):
    """The commands in the order of `COMMANDS`, others after them."""

    def list_commands(self, ctx: Any) -> list[str]:
        places = {name: place for place, name in enumerate(COMMANDS)}
        return sorted(super().list_commands(ctx), key=lambda name: places.get(name, len(places)))


photos_app = Application(
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
StyleOption = Annotated[
    str,
    typer.Option(
        "--style",
        metavar="table|csv|json|null",
        help="How it is listed. null: the exact bytes of the paths and nothing else, a NUL after each, for xargs -0. "
        "csv and json have them percent-encoded (path_bytes).",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="DATE", help="Taken then or later: 2019, 2019-07, 2019-07-04 or 2019-07-04T18:30."
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--to", metavar="DATE", help="Taken then or before; 2019-08 takes in all of August."),
]
BatchSizeOption = Annotated[
    str | None,
    typer.Option(
        "--batch-size",
        metavar="auto|N",
        help="Photos in a batch (LOTE_BATCH_SIZE; 100); auto: what doctor --tune found.",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="WHERE", help="local: this machine. ray: the machines of a Ray cluster."
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Head of the cluster; auto is the one that this machine belongs to.",
    ),
]
FilesOption = Annotated[
    str | None,
    typer.Option(
        "--files", metavar="HOW", help="bytes: sent to the machines. shared: they have the same paths."
    ),
]
SlotsOption = Annotated[
    str | None,
    typer.Option("--workers", metavar="N", help="At most so many slots of the cluster; all if left out."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it; without this only what would be done is shown.")
]


@contextmanager
def open_store(database: str | None, workspace: str | None) -> Iterator[tuple[Store, Workspace]]:
    from ....core.workspace import Workspace
    from ....photos.store import Store, open_database

    opened = Workspace(workspace)
    opened.ensure()
    library = open_database(database or opened.database)
    store = Store(library)
    gc.freeze()  # a collection that looks through all that was imported takes 20 ms in the middle of a scan
    try:
        yield store, opened
    finally:
        store.close()
        library.close()


class Stop:
    """The first Ctrl-C or SIGTERM asks to stop, a second Ctrl-C stops at once. A further SIGTERM changes nothing, also
    while the process ends."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        def ask(number: int, _frame: object) -> None:
            if self.asked and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.asked = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            signal.signal(signal.SIGTERM, signal.SIG_IGN if self.asked else before[signal.SIGTERM])


def write_out(text: str) -> None:
    """Text of a result, on stdout at once; nowhere if stdout is closed. ResourceError if it takes no more."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise _cannot_be_written() from error


def write_out_bytes(data: bytes) -> None:
    """The same for bytes, which a terminal gets as they are."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise _cannot_be_written() from error


def _cannot_be_written() -> ResourceError:
    with suppress(OSError, ValueError):  # what is still in its buffer would fail again when Python ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return ResourceError(
        "The result cannot be written to the end: free space where the output goes, and give the command again."
    )


def nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has gone (`| head`): what is still to be listed is for nobody."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or something that a test put there
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def exact(path: bytes | str) -> str:
    """The exact bytes of a path in ASCII: percent-encoded, but for letters, digits, `/` and `_.-~` (RFC 3986).

    Text is taken as Python shows paths (surrogateescape)."""
    return quote_from_bytes(os.fsencode(path), safe="/")


def chosen_style(style: str, *, as_json: bool) -> str:
    """The form of a list; `--json` is short for `--style json`. ConfigurationError for one that is not there."""
    if style not in ("table", "csv", "json", "null"):
        raise ConfigurationError("--style must be table, csv, json or null, not {style}.", style=repr(style))
    return "json" if as_json else style


def print_csv(rows: Iterable[Sequence[object]]) -> None:
    """Lines of CSV (RFC 4180) on stdout. What is no UTF-8 in a text becomes `?`."""
    lines = io.StringIO(newline="")
    for row in rows:
        cells = [
            str(cell).encode("utf-8", "replace").decode() if isinstance(cell, str | Message) else cell
            for cell in row
        ]
        csv.writer(lines).writerow(cells)
    write_out(lines.getvalue())


def print_paths(paths: Iterable[bytes]) -> None:
    """Exact paths on stdout, a NUL after each."""
    write_out_bytes(b"".join(path + b"\0" for path in paths))


def print_json(event: str, **values: Any) -> None:
    from ...console import english

    write_out(json.dumps({"event": event, **values}, default=english) + "\n")


def print_note(template: str | Message, /, **values: Any) -> None:
    """What is to be known beside the result, on stderr."""
    from ....formatting import safe

    typer.echo(safe(translate(as_message(template, **values))), err=True)


def print_line(template: str | Message, /, **values: Any) -> None:
    """A line of a result, on stdout."""
    from ....formatting import safe

    write_out(safe(translate(as_message(template, **values))) + "\n")


def print_facts(rows: Iterable[tuple[str, object]]) -> None:
    """Lines of a summary: a name, marked with `N_`, and a value, which may be a message."""
    for name, value in rows:
        shown = translate(value) if isinstance(value, Message) else value
        write_out(f"{_(name):>18}  {shown}\n")


def folders_given(folders: Sequence[str]) -> list[bytes]:
    """Absolute paths, spelled as the folders on their way list them. ConfigurationError for an empty name."""
    if "" in folders:  # an unset variable of a script: not the current folder
        raise ConfigurationError("The name of a folder is empty: name a folder of photos.")
    from ....photos.names import as_listed

    paths = [os.path.expanduser(os.fsencode(folder)) for folder in folders]  # noqa: PTH111 - bytes
    return [as_listed(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - bytes


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns on stdout, numbers to the right; `head` is marked with `N_`. Holds `TABLE_PAGE` rows at a time, however many there are."""
    from ....formatting import safe

    cells = ([safe(str(cell)) for cell in row] for row in rows)
    page = list(islice(cells, TABLE_PAGE))
    right = [
        bool(page) and all(row[column][:1].isdigit() or not row[column] for row in page)
        for column in range(len(head))
    ]
    lines: Iterable[list[str]] = chain([[_(word) for word in head]], page)
    widths = [0] * len(head)
    while page := list(lines):
        widths = [max(width, *(len(row[column]) for row in page)) for column, width in enumerate(widths)]
        write_out("".join(_aligned(row, widths, right) + "\n" for row in page))
        if nobody_reads():
            return
        lines = islice(cells, TABLE_PAGE)


def _aligned(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = zip(row, widths, right, strict=True)
    return "  ".join(cell.rjust(width) if left else cell.ljust(width) for cell, width, left in cells).rstrip()


class BottomLine:
    """The line at the bottom of a terminal that says how far it is; nothing where stderr is none."""

    def __init__(self, *, wanted: bool) -> None:
        self.is_live = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._drawn = False
        self._last = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a new text."""
        return self.is_live and time.monotonic() - self._last >= TERMINAL_INTERVAL_S

    def say(self, template: str | Message, /, **values: Any) -> None:
        text = translate(as_message(template, **values))
        sys.stderr.write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()
        self._drawn, self._last = True, time.monotonic()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


@contextmanager
def no_scan_meanwhile(store: Store, workspace: Workspace) -> Iterator[None]:
    """Keep scans away meanwhile."""
    from ....photos.store import scan_lock

    with scan_lock(store, workspace, print_note, lambda: False):
        yield
