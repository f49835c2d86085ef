"""What the command line shows of a job: one model of progress, three printers.

`Live` draws on a terminal, `Plain` prints lines for logs and pipes, `Json` prints one object a line on
stdout. Everything but results goes to stderr. File names are text: nothing in them is markup, and
control characters are shown as escapes.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import psutil

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
    """A progress bar that stays at the bottom, with warnings and failures above it."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._console = console
        narrow = console.width < 70
        columns = [SpinnerColumn(), TextColumn("{task.description}")]
        if not narrow:
            columns.append(BarColumn(bar_width=None))
        self._progress = Progress(
            *columns, TextColumn("{task.fields[facts]}"), console=console, expand=not narrow
        )
        self._task = self._progress.add_task("", total=None, facts="")
        self._progress.start()
        self._memory_at, self._memory = 0.0, 0

    def news(self, events: list[Event], snapshot: Snapshot) -> None:
        for line in _lines(events, pages=False):
            self._progress.console.print(line)
        job, counts = snapshot.job, snapshot.counts
        now = time.monotonic()
        if now - self._memory_at > 1.0:
            self._memory_at, self._memory = now, memory_now()
        description = f"job {job.id} {STATE_WORDS.get(job.state, job.state)}"
        if job.state == "running" and job.wanted != "run":
            description = f"job {job.id} will {job.wanted} after the pages in flight"
        if job.phase:
            description += f": {job.phase}"
        facts = ""
        if snapshot.total:
            facts = f"{snapshot.done}/{snapshot.total} pages"
            if snapshot.rate:
                facts += f"  {60 * snapshot.rate:.1f}/min"
            if snapshot.eta is not None:
                facts += f"  {seconds(snapshot.eta)} left"
            if counts["failed"]:
                facts += f"  {counts['failed']} failed"
            facts += f"  {size(self._memory)}"
        self._progress.update(
            self._task,
            description=description,
            total=snapshot.total or None,
            completed=snapshot.done + snapshot.progress,
            facts=facts,
        )

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
        said = f"job {job.id} {STATE_WORDS.get(job.state, job.state)}" + (
            f": {job.phase}" if job.phase else ""
        )
        if said != self._said and not job.ended:
            self._said = said
            self._console.print(said)
        elif snapshot.total and now - self._last >= PLAIN_INTERVAL_S:
            self._last = now
            rate = f", {60 * snapshot.rate:.1f} a minute" if snapshot.rate else ""
            left = f", {seconds(snapshot.eta)} left" if snapshot.eta is not None else ""
            failed = f", {snapshot.counts['failed']} failed" if snapshot.counts["failed"] else ""
            self._console.print(
                f"{snapshot.done} of {snapshot.total} pages{rate}{left}{failed}, {size(memory_now())} of memory"
            )

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


def _lines(events: list[Event], *, pages: bool, quiet: bool = False) -> list[str]:
    lines = []
    for event in events:
        if event.kind == "page":
            if event.data["state"] == "failed":
                lines.append(f"failed: {safe(event.data['error'] or event.key or '')}")
            elif pages:
                lines.append(
                    f"{safe(event.key or '')}: {event.data['state']} in {seconds(event.data['seconds'])}"
                )
        elif event.kind == "warning":
            lines.append(f"warning: {safe(event.data['text'])}")
        elif event.kind == "note" and not quiet:
            lines.append(safe(event.data["text"]))
    return lines


def view(console: Console, *, as_json: bool, quiet: bool = False) -> View:
    """The printer that fits where the output goes."""
    if as_json:
        return Json()
    if console.is_terminal and not console.is_dumb_terminal and not quiet:
        return Live(console)
    return Plain(console, quiet=quiet)


def summary(console: Console, result: JobResult) -> None:
    """What was done, what failed and why, where it is."""
    words = {"done": "done", "failed": "failed", "cancelled": "cancelled"}
    fresh = result.completed - result.reused
    parts = [f"{fresh} coloured"]
    if result.reused:
        parts.append(f"{result.reused} unchanged")
    if result.copied:
        parts.append(f"{result.copied} copied as they are")
    if result.failed:
        parts.append(f"{result.failed} failed")
    if result.cancelled:
        parts.append(f"{result.cancelled} cancelled")
    console.print(
        f"job {result.job} {words.get(result.state, result.state)}: {', '.join(parts)}, in {seconds(result.seconds)}"
    )
    shown = 20
    for page, error in result.failures[:shown]:
        console.print(f"  {safe(page)}: {safe(error)}")
    if len(result.failures) > shown:
        console.print(f"  and {len(result.failures) - shown} more: lote status {result.job}")
    if result.failed:
        console.print(f"  lote retry {result.job} tries them again")


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns
