"""What the command line shows of a job: one model of progress, three printers.

`Live` draws on a terminal, `Plain` prints lines for logs and pipes, `Json` prints one object a line on
stdout. Everything but results goes to stderr. File names are text: nothing in them is markup, and
control characters are shown as escapes. People read their own language (i18n.py); JSON is English.
"""

from __future__ import annotations

import io
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from ..core.model import EventKind, ItemState, JobState, Wish
from ..core.words import JOB_WORDS, PAGE_WORDS
from ..exceptions import beside
from ..formatting import safe, seconds, size
from ..i18n import N_, _, ngettext, pgettext, translate
from ..messages import Message

if TYPE_CHECKING:
    from rich.console import Console

    from ..colorize import JobResult
    from ..core.model import Event
    from ..core.status import Snapshot
    from ..library import LibraryResult

# Plain output says how far it is this often; a line per page is printed anyway.
PLAIN_INTERVAL_S = 30.0
JSON_INTERVAL_S = 1.0

WISHED = {
    Wish.PAUSE: N_("job {job} pauses after the pages in flight"),
    Wish.CANCEL: N_("job {job} is being cancelled"),
}
LEAVING = N_("job {job} pauses after the pages in flight; Ctrl-C again lets go of them")
# Pages that failed, in the summary of a job.
SHOWN = 20
# Below this many columns there is no room for a bar beside words.
NARROW = 70


class _Patient(io.FileIO):
    """A stream that may be closed at the other end (`lote list | head -1`), or full (`2> /dev/full`): what nobody
    can read is dropped, and the run goes on to its end and its own exit code. With `results` a stream that takes
    no more is an OSError, as ever."""

    def __init__(self, descriptor: int, *, results: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._results = results

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if self._results and not isinstance(error, BrokenPipeError):
                raise
            return len(data)


def patient_streams(*, results: bool) -> None:
    """Make this process's streams such that neither a closed pipe, a full disk, a descriptor that is not there
    (`2>&-`) nor a character that cannot be encoded ends the work. `results`: a full stdout is an OSError."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened has its number, and messages of a child are written into it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = _patient(sys.stdout, 1, results=results)
    sys.stderr = _patient(sys.stderr, 2, results=False)


def _patient(stream: Any, number: int, *, results: bool) -> Any:
    try:
        raw = _Patient(number if stream is None else stream.fileno(), results=results)
    except (AttributeError, OSError, ValueError):  # one that is no file: a test has put it there
        return stream
    encoding = "utf-8" if stream is None else stream.encoding
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True, write_through=True
    )


def err_console() -> Console:
    """The one console of this process, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def memory_now() -> int:
    """Bytes of memory that this process and its workers hold."""
    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


class View(Protocol):
    """A printer of one job."""

    def news(self, events: list[Event], snapshot: Snapshot) -> None: ...

    def end(self) -> None:
        """Take the picture down; the summary is printed afterwards."""
        ...


class Live:
    """A line of progress that stays at the bottom, with warnings and failures above it.

    Never wider than the terminal (what wraps cannot be taken down again), and gone at the end. `leaving`
    says whether the person at this terminal has pressed Ctrl-C."""

    def __init__(self, console: Console, leaving: Callable[[], bool]) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self._console, self._leaving = console, leaving
        self._narrow = console.width < NARROW
        line = Column(no_wrap=True, overflow="ellipsis")
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False, table_column=line)]
        if not self._narrow:
            columns += [BarColumn(bar_width=None), TextColumn("{task.fields[facts]}", markup=False)]
        self._progress = Progress(*columns, console=console, expand=not self._narrow, transient=True)
        self._task = self._progress.add_task("", total=None, facts="")
        self._progress.start()
        self._memory_at, self._memory = 0.0, 0

    def news(self, events: list[Event], snapshot: Snapshot) -> None:
        for line in _lines(events, pages=False):
            self._console.print(fit(line))
        job = snapshot.job
        now = time.monotonic()
        if now - self._memory_at > 1.0:
            self._memory_at, self._memory = now, memory_now()
        facts = "  ".join(self._facts(snapshot))
        wish = LEAVING if self._leaving() else WISHED.get(job.wanted)
        if job.state == JobState.RUNNING and wish is not None:
            description = _(wish).format(job=job.id)
        elif self._narrow and facts:
            description = facts
        else:
            description = _headline(snapshot)
        self._progress.update(
            self._task,
            description=description,
            total=snapshot.total or None,
            completed=snapshot.done + snapshot.progress,
            facts=facts,
        )

    def _facts(self, snapshot: Snapshot) -> Iterator[str]:
        """Nothing but while pages are coloured. What matters most comes first: a narrow terminal cuts
        off the end."""
        if not snapshot.total or snapshot.job.state != JobState.RUNNING or snapshot.job.phase:
            return
        pages = ngettext("{done}/{count} page", "{done}/{count} pages", snapshot.total)
        yield pages.format(done=snapshot.done, count=snapshot.total)
        if snapshot.counts[ItemState.FAILED]:
            yield count_of(ItemState.FAILED, snapshot.counts[ItemState.FAILED])
        if snapshot.eta is not None:
            yield _("{time} left").format(time=seconds(snapshot.eta))
        if snapshot.rate:
            yield _("{rate:.1f}/min").format(rate=60 * snapshot.rate)
        yield size(self._memory)

    def end(self) -> None:
        self._progress.stop()


class Plain:
    """One line a page and a line of progress now and then, for logs and pipes."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._last = time.monotonic()
        self._said = ""

    def news(self, events: list[Event], snapshot: Snapshot) -> None:
        for line in _lines(events, pages=not self._quiet, quiet=self._quiet):
            self._console.print(line)
        if self._quiet:
            return
        job = snapshot.job
        now = time.monotonic()
        said = _headline(snapshot)
        if said != self._said and not job.ended:
            self._said = said
            self._console.print(said)
        elif snapshot.total and now - self._last >= PLAIN_INTERVAL_S:
            self._last = now
            self._console.print(", ".join(self._facts(snapshot)))

    def _facts(self, snapshot: Snapshot) -> Iterator[str]:
        pages = ngettext("{done} of {count} page", "{done} of {count} pages", snapshot.total)
        yield pages.format(done=snapshot.done, count=snapshot.total)
        if snapshot.rate:
            yield _("{rate:.1f} a minute").format(rate=60 * snapshot.rate)
        if snapshot.eta is not None:
            yield _("{time} left").format(time=seconds(snapshot.eta))
        if snapshot.counts[ItemState.FAILED]:
            yield count_of(ItemState.FAILED, snapshot.counts[ItemState.FAILED])
        yield _("{size} of memory").format(size=size(memory_now()))

    def end(self) -> None:
        pass


class Json:
    """One JSON object a line on stdout."""

    def __init__(self) -> None:
        self._last = 0.0
        self._state = ""

    def news(self, events: list[Event], snapshot: Snapshot) -> None:
        job = snapshot.job
        if job.state != self._state:
            self._state = job.state
            put_json("job", job=job.id, state=job.state, inputs=job.inputs, output=job.output)
        for event in events:
            if event.kind == EventKind.PAGE:
                put_json("page", job=job.id, page=event.key, **event.data)
            elif event.kind in (EventKind.WARNING, EventKind.NOTE):
                put_json(event.kind, job=job.id, page=event.key, **event.data)
        now = time.monotonic()
        if now - self._last >= JSON_INTERVAL_S and snapshot.total:
            self._last = now
            put_json(
                "progress", job=job.id, **snapshot.counts, total=snapshot.total, rate=snapshot.rate,
                eta=snapshot.eta, memory=memory_now(),
            )  # fmt: skip

    def end(self) -> None:
        pass


def put_json(event: str, **values: Any) -> None:
    """One line of JSON on stdout, at once."""
    sys.stdout.write(json.dumps({"event": event, **values}, default=english) + "\n")
    sys.stdout.flush()


def english(value: Any) -> str:
    """What JSON has of a message; for `json.dumps`."""
    if isinstance(value, Message):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no plain value")


def headline(job_id: int, state: JobState) -> str:
    """What the job does: "job 3 is paused"."""
    return _("job {job} {does}").format(job=job_id, does=_(JOB_WORDS[state].does))


def _headline(snapshot: Snapshot) -> str:
    """What the job does now: "job 3 is being planned: looking for images"."""
    job = snapshot.job
    text = headline(job.id, job.state)
    return f"{text}: {_(job.phase)}" if job.phase else text


def _lines(events: list[Event], *, pages: bool, quiet: bool = False) -> Iterator[str]:
    for event in events:
        data = event.data
        if event.kind == EventKind.PAGE:
            if data["state"] == ItemState.FAILED:
                error = translate(data["error"]) if data["error"] else event.key or ""
                yield _("failed: {error}").format(error=safe(error))
            elif pages:
                took, state = seconds(data["seconds"]), page_state(data["state"])
                yield _("{page}: {state} in {time}").format(
                    page=safe(event.key or ""), state=state, time=took
                )
        elif event.kind == EventKind.WARNING:
            yield _("warning: {text}").format(text=safe(translate(data["text"])))
        elif event.kind == EventKind.NOTE and not quiet:
            yield safe(translate(data["text"]))


def fit(text: str) -> str:
    """Text for stderr, broken between words where that is a terminal; paths stay whole, to be copied."""
    if not sys.stderr.isatty():
        return text
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else os.get_terminal_size(2).columns
    return textwrap.fill(text, max(width, 10), break_long_words=False, break_on_hyphens=False)


def view(
    console: Console, *, as_json: bool, quiet: bool = False, leaving: Callable[[], bool] = lambda: False
) -> View:
    """The printer that fits where the output goes."""
    if as_json:
        return Json()
    if console.is_terminal and not console.is_dumb_terminal and not quiet:
        return Live(console, leaving)
    return Plain(console, quiet=quiet)


def _deeds(result: JobResult) -> list[str]:
    """What was done with the pages of a job."""
    counted = {
        Deed.COLORED: result.completed - result.reused,
        Deed.UNCHANGED: result.reused,
        Deed.COPIED: result.copied,
        ItemState.FAILED: result.failed,
        ItemState.CANCELLED: result.cancelled,
    }
    return [count_of(what, number) for what, number in counted.items() if number or what == Deed.COLORED]


def summary(console: Console, result: JobResult, failures: Sequence[tuple[str, Message]]) -> None:
    """What was done, what failed and why, where it is. `failures`: the first of the pages that failed."""
    parts = _deeds(result)
    said = headline(result.job, JobState(result.state))
    took = _("in {time}").format(time=seconds(result.seconds))
    large = f", {size(result.size)}" if result.size else ""
    console.print(fit(f"{said}: {', '.join(parts)}, {took}{large}"))
    for page, error in failures:
        console.print(fit(f"  {safe(page)}: {safe(translate(beside(error)))}"))
    if len(result.failures) > SHOWN:
        more = _("and {count} more: lote status {job}")
        console.print("  " + more.format(count=len(result.failures) - SHOWN, job=result.job))
    if result.failed:
        again = ngettext(
            "lote retry {job} tries it again", "lote retry {job} tries them again", result.failed
        )
        console.print("  " + again.format(job=result.job))


def library_summary(console: Console, result: LibraryResult) -> None:
    """What became of several books, a line each; of those that failed, why, and what to do."""
    from ..comics.sources import by_reason

    done = [book for book in result.books if book.exit_code == 0]
    took = seconds(sum(book.result.seconds for book in result.books if book.result is not None))
    all_done = ngettext("{done} of {count} book done", "{done} of {count} books done", len(result.books))
    console.print(
        fit(f"{all_done.format(done=len(done), count=len(result.books))}, {_('in {time}').format(time=took)}")
    )
    for book in result.books:
        if book.error is not None:
            said = safe(translate(book.error))
        elif book.result is not None:
            said = ", ".join(_deeds(book.result))
        else:
            continue
        console.print(fit(f"  {safe(book.name)}: {said}"))
        if book.result is not None and book.result.failed:
            more = ngettext(
                "lote status {job} shows what failed, lote retry {job} tries it again",
                "lote status {job} shows what failed, lote retry {job} tries them again",
                book.result.failed,
            )
            console.print("    " + more.format(job=book.result.job))
    for said in result.unused:
        console.print(
            fit(
                _("warning: {text}").format(
                    text=_("{said} names no image of any book").format(said=safe(said))
                )
            )
        )
    for each in by_reason(result.left_out):
        console.print(fit(safe(translate(each.sentence))))
    if result.made:
        text = ngettext(
            "{name} is an output of Lote, and left out",
            "{count} files are outputs of Lote, and left out: {name} and others",
            len(result.made),
        )
        console.print(fit(text.format(name=safe(result.made[0]), count=len(result.made))))


def page_state(state: str) -> str:
    """The state of a page in words."""
    return pgettext("page", PAGE_WORDS[ItemState(state)].one)


class Deed(StrEnum):
    """What a job did with pages, where that says more than their state."""

    COLORED = "coloured"
    UNCHANGED = "unchanged"
    COPIED = "copied"


def count_of(what: str, number: int) -> str:
    """ "3 failed" and the like, of an ItemState or a Deed: whole phrases, since other languages make the word agree
    with the number."""
    phrases: dict[str, str] = {
        Deed.COLORED: ngettext("{count} coloured", "{count} coloured", number),
        Deed.UNCHANGED: ngettext("{count} unchanged", "{count} unchanged", number),
        Deed.COPIED: ngettext("{count} copied as it is", "{count} copied as they are", number),
        ItemState.PENDING: ngettext("{count} pending", "{count} pending", number),
        ItemState.PROCESSING: ngettext("{count} processing", "{count} processing", number),
        ItemState.COMPLETED: ngettext("{count} completed", "{count} completed", number),
        ItemState.FAILED: ngettext("{count} failed", "{count} failed", number),
        ItemState.CANCELLED: ngettext("{count} cancelled", "{count} cancelled", number),
    }
    return phrases[what].format(count=number)
