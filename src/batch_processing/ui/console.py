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
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from ..exceptions import why
from ..i18n import _, ngettext, pgettext, sentence

if TYPE_CHECKING:
    from rich.console import Console

    from ..colorize import JobResult
    from ..core.ledger import Event
    from ..core.status import Snapshot

# Plain output says how far it is this often; a line per page is printed anyway.
PLAIN_INTERVAL_S = 30.0
JSON_INTERVAL_S = 1.0

STATE_WORDS = {
    "queued": "waits",
    "planning": "is being planned",
    "running": "runs",
    "paused": "is paused",
    "finishing": "is being finished",
    "done": "is done",
    "failed": "failed",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
}
WISH_WORDS = {
    "pause": "job {job} pauses after the pages in flight",
    "cancel": "job {job} is being cancelled",
    "leave": "job {job} pauses after the pages in flight; Ctrl-C again lets go of them",
}
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


def safe(text: str) -> str:
    """Text from outside, with control characters and undecodable bytes made visible."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def seconds(value: float | None) -> str:
    """A duration as people say it: 45 s, 3:20, 2:05:00."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(value: float) -> str:
    """Bytes in the units people buy disks in: 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit in ("B", "kB") or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


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
        wish = "leave" if self._leaving() else job.wanted
        if job.state == "running" and wish in WISH_WORDS:
            description = _(WISH_WORDS[wish]).format(job=job.id)
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
        if not snapshot.total or snapshot.job.state != "running" or snapshot.job.phase:
            return
        yield _("{done}/{total} pages").format(done=snapshot.done, total=snapshot.total)
        if snapshot.counts["failed"]:
            yield count_of("failed", snapshot.counts["failed"])
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
        yield _("{done} of {total} pages").format(done=snapshot.done, total=snapshot.total)
        if snapshot.rate:
            yield _("{rate:.1f} a minute").format(rate=60 * snapshot.rate)
        if snapshot.eta is not None:
            yield _("{time} left").format(time=seconds(snapshot.eta))
        if snapshot.counts["failed"]:
            yield count_of("failed", snapshot.counts["failed"])
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
            if event.kind == "page":
                put_json("page", job=job.id, page=event.key, **event.data)
            elif event.kind in ("warning", "note"):
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
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def _headline(snapshot: Snapshot) -> str:
    """What the job does now: "job 3 is being planned: looking for images"."""
    job = snapshot.job
    does = _(STATE_WORDS.get(job.state, job.state))
    text = _("job {job} {does}").format(job=job.id, does=does)
    return f"{text}: {sentence(job.phase)}" if job.phase else text


def _lines(events: list[Event], *, pages: bool, quiet: bool = False) -> Iterator[str]:
    for event in events:
        data = event.data
        if event.kind == "page":
            if data["state"] == "failed":
                yield _("failed: {error}").format(error=safe(sentence(data["error"] or event.key or "")))
            elif pages:
                took, state = seconds(data["seconds"]), page_state(data["state"])
                yield _("{page}: {state} in {time}").format(
                    page=safe(event.key or ""), state=state, time=took
                )
        elif event.kind == "warning":
            yield _("warning: {text}").format(text=safe(sentence(data["text"])))
        elif event.kind == "note" and not quiet:
            yield safe(sentence(data["text"]))


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


def summary(console: Console, result: JobResult) -> None:
    """What was done, what failed and why, where it is."""
    counted = {
        "coloured": result.completed - result.reused,
        "unchanged": result.reused,
        "copied": result.copied,
        "failed": result.failed,
        "cancelled": result.cancelled,
    }
    parts = [count_of(what, number) for what, number in counted.items() if number or what == "coloured"]
    headline = _("job {job} {does}").format(
        job=result.job, does=_(STATE_WORDS.get(result.state, result.state))
    )
    took = _("in {time}").format(time=seconds(result.seconds))
    console.print(fit(f"{headline}: {', '.join(parts)}, {took}"))
    shown = 20
    for page, error in result.failures[:shown]:
        console.print(fit(f"  {safe(page)}: {safe(sentence(why(error, page)))}"))
    if len(result.failures) > shown:
        more = _("and {count} more: lote status {job}")
        console.print("  " + more.format(count=len(result.failures) - shown, job=result.job))
    if result.failed:
        again = ngettext(
            "lote retry {job} tries it again", "lote retry {job} tries them again", result.failed
        )
        console.print("  " + again.format(job=result.job))


def page_state(state: str) -> str:
    """The state of a page in words."""
    return {
        "pending": pgettext("page", "pending"),
        "processing": pgettext("page", "processing"),
        "completed": pgettext("page", "completed"),
        "failed": pgettext("page", "failed"),
        "cancelled": pgettext("page", "cancelled"),
    }[state]


def count_of(what: str, number: int) -> str:
    """ "3 failed" and the like: whole phrases, since other languages make the word agree with the number."""
    phrases = {
        "coloured": ngettext("{count} coloured", "{count} coloured", number),
        "unchanged": ngettext("{count} unchanged", "{count} unchanged", number),
        "copied": ngettext("{count} copied as it is", "{count} copied as they are", number),
        "pending": ngettext("{count} pending", "{count} pending", number),
        "processing": ngettext("{count} processing", "{count} processing", number),
        "completed": ngettext("{count} completed", "{count} completed", number),
        "failed": ngettext("{count} failed", "{count} failed", number),
        "cancelled": ngettext("{count} cancelled", "{count} cancelled", number),
    }
    return phrases[what].format(count=number)
