"""What `lote top` shows: an observation as lines of text, and the screen that is renewed with them.

Promises: no line is wider than the screen and there are never more of them than it has; what has no room is counted, or cut
at its end. The screen is that of the person again when the block of `Screen` ends, however it ends.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core.model import JobState
from ..core.words import JOB_WORDS
from ..formatting import percent, safe, seconds, size
from ..i18n import N_, _, ngettext, pgettext
from ..monitoring import JobView, Observation, Run, Stage

if TYPE_CHECKING:
    from rich.live import Live

KINDS = {"comics": N_("comics"), "photos": N_("scan"), "looks": N_("look")}
DONE = {
    Stage.PAGES: N_("{done} pages"),
    Stage.PHOTOS: N_("{done} photos"),
    Stage.HEADERS: N_("{done} headers"),
    Stage.PIXELS: N_("{done} looked at"),
}
GAP = "  "
LEAVE = ("q", "Q", "\x03", "\x04")


def lines(observation: Observation, width: int, height: int | None = None) -> list[str]:
    """The lines of a screen of so many columns and rows; all there are where `height` is None."""
    head = [*_machine(observation), ""]
    jobs = _jobs(observation)
    processes = _processes(observation)
    room = None if height is None else max(0, height - len(head))
    if room is not None:
        # Jobs first; of what is left the processes have all.
        for_jobs = min(len(jobs), max(2, room // 2, room - len(processes) - 1))
        jobs = _cut(jobs, for_jobs)
        processes = _cut(processes, max(0, room - len(jobs) - 1))
    body = [*_table(jobs), *([""] if processes else []), *_table(processes)]
    return [_clip(line, width) for line in (*head, *body)][:height]


def _machine(observation: Observation) -> Iterator[str]:
    machine = observation.machine
    clock = time.strftime("%H:%M:%S", time.localtime(observation.at))
    yield GAP.join(("lote top", clock, safe(observation.workspace)))
    facts = []
    cores = ngettext("{count} core", "{count} cores", machine.cpus).format(count=machine.cpus)
    if machine.cpu is not None:
        facts.append(_("CPU {share} of {cores}").format(share=percent(machine.cpu), cores=cores))
    else:
        facts.append(cores)
    used = size(max(0, machine.memory_total - machine.memory_available))
    facts.append(_("memory {used} of {total}").format(used=used, total=size(machine.memory_total)))
    facts += [
        _("{free} free on {disk}").format(free=size(disk.free), disk=safe(disk.mount))
        for disk in observation.disks
    ]
    yield GAP.join(facts)
    for gpu in observation.gpus:
        share = "–" if gpu.utilization is None else percent(gpu.utilization)
        text = _("GPU {number} {share}, memory {used} of {total}, {name}")
        yield text.format(
            number=gpu.index,
            share=share,
            used=size(gpu.memory_used),
            total=size(gpu.memory_total),
            name=safe(gpu.name),
        )


Row = tuple[str, ...]


def _jobs(observation: Observation) -> list[Row]:
    """The jobs, those at work first; a line for each."""
    if not observation.jobs:
        return [(_("no job runs or waits here"),)]
    waiting = sum(job.state == JobState.QUEUED for job in observation.jobs)
    head = (_("job"), _("what"), _("state"), _("done"), _("speed"), _("left"), _("failed"), _("from"))
    rows = sorted(
        observation.jobs, key=lambda job: (not job.is_running, job.state != JobState.QUEUED, job.job)
    )
    found = [head, *(_job(job) for job in rows)]
    if waiting:
        found.append((ngettext("{count} job waits", "{count} jobs wait", waiting).format(count=waiting),))
    return found


def _job(job: JobView) -> Row:
    state = pgettext("job", JOB_WORDS[job.state].named)
    of = f"{job.done}/{job.total}" if job.total else str(job.done)
    done = _(DONE[job.stage]).format(done=of)
    speed = "" if job.rate is None else _speed(job.rate)
    if job.bytes_rate:
        speed = f"{speed} {size(job.bytes_rate)}/s".strip()
    left = "" if job.eta is None else seconds(job.eta)
    kind = _(KINDS.get(job.kind, job.kind))
    return str(job.job), kind, state, done, speed, left, str(job.failed or ""), safe(job.inputs[0])


def _speed(rate: float) -> str:
    """Of what takes longer than a second, how many a minute."""
    if rate < 1:
        return _("{number}/min").format(number=f"{rate * 60:.2g}")
    return _("{number}/s").format(number=f"{rate:.3g}")


def _processes(observation: Observation) -> list[Row]:
    """The processes of all runs, those of a run together."""
    if not observation.runs:
        return []
    head = (_("process"), _("job"), _("CPU"), _("memory"), _("reads"), _("writes"), _("what"))
    return [head, *(row for run in observation.runs for row in _run(run))]


def _run(run: Run) -> Iterator[Row]:
    for use in run.processes:
        cpu = "" if use.cpu is None else percent(use.cpu)
        yield (
            str(use.pid), ",".join(map(str, run.jobs)) if use is run.processes[0] else "", cpu, size(use.memory),
            _rate(use.read_rate), _rate(use.write_rate), safe(use.name),
        )  # fmt: skip


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{size(rate)}/s"


def _cut(rows: list[Row], count: int) -> list[Row]:
    """At most so many rows; the last says how many there are besides."""
    if len(rows) <= count:
        return rows
    if count < 2:
        return []
    more = len(rows) - count + 1
    return [*rows[: count - 1], (_("and {count} more").format(count=more),)]


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Rows with their columns under each other. A row of one cell is a line of its own."""
    from rich.cells import cell_len

    whole = [row for row in rows if len(row) > 1]
    widths = [max(map(cell_len, column)) for column in zip(*whole, strict=True)]
    for row in rows:
        if len(row) == 1:
            yield row[0]
            continue
        shown = [at for at, width in enumerate(widths) if width]
        padded = [row[at] + " " * (widths[at] - cell_len(row[at])) for at in shown]
        yield GAP.join(padded).rstrip()


def _clip(line: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else set_cell_size(line, max(0, width - 1)).rstrip() + "…"


class Screen:
    """The whole terminal, and its keys."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, observation: Observation) -> None:
        from rich.text import Text

        console = self._live.console
        rows = lines(observation, console.width, console.height)
        text = Text("\n".join(rows), no_wrap=True, overflow="crop")
        self._live.update(text, refresh=True)

    def left_within(self, interval_s: float) -> bool:
        """Wait so long; whether somebody wants to leave meanwhile (q)."""
        until = time.monotonic() + interval_s
        while (left := until - time.monotonic()) > 0:
            if select.select([sys.stdin], [], [], left)[0]:
                keys = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
                if not keys or any(key in keys for key in LEAVE):
                    return True
        return False


def has_screen() -> bool:
    """Whether a person sits at a terminal that can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def screen() -> Iterator[Screen]:
    """Take the terminal, and give it back as it was."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False)
    before: list[Any] = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield Screen(live)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
