"""`lote doctor --tune`: this machine is measured, and what fits it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from ...i18n import _, translate
from ...messages import Message, joined

if TYPE_CHECKING:
    from ...core.tuning import Rate, Tuning
    from ...core.workspace import Workspace
    from ...upkeep import Finding


def measure_here(workspace: Workspace, folders: Sequence[str], *, quiet: bool) -> Tuning:
    """Measure, say meanwhile what is measured, and store it."""
    from ...core.tuning import store
    from ...formatting import safe
    from ...measuring import Page, measure
    from ..sample import sample_page

    def say(text: Message) -> None:
        if not quiet:
            line = Message("measuring: {part}", part=text)
            typer.echo(safe(translate(line)), err=True)

    return store(workspace, measure(workspace, lambda place: Page(*sample_page(place)), folders, say=say))


def how_tuned(workspace: Workspace) -> str:
    """Where automatic settings come from, for `--show-config`: "" where nothing was ever measured."""
    from ...core.tuning import Tuning, tuning_of

    found = tuning_of(workspace)
    if isinstance(found, Tuning):
        return _("measured by lote doctor --tune")
    if found is None:
        return ""
    return _("one a core; what was measured is not used: {why}").format(why=translate(found))


def warn_of_tuning(workspace: Workspace) -> None:
    """Say that what was measured does not hold here, where that is so."""
    from ...core.tuning import tuning_of
    from ...formatting import safe
    from ..console import fit

    found = tuning_of(workspace)
    if isinstance(found, Message):
        text = _("what was measured of this machine is not used: {why}").format(why=translate(found))
        typer.echo(fit(_("warning: {text}").format(text=safe(text))), err=True)


def found_of(tuning: Tuning) -> Iterator[Finding]:
    """What was measured, and what was decided by it."""
    from ...formatting import size
    from ...upkeep import Finding, said_of

    measured = tuning.measured
    machine = Message(
        "{cores} cores, {memory} of memory, of which {free} were free",
        cores=measured.machine.cpus,
        memory=size(measured.machine.memory),
        free=size(measured.available),
    )
    yield Finding(Message("machine"), machine)
    if measured.hash_rate is not None:
        yield Finding(Message("hashing"), Message("{speed}/s of one core", speed=size(measured.hash_rate)))
    for disk in measured.disks:
        text = Message("{speeds}", speeds=_speeds(disk.readers))
        if disk.commit_seconds is not None:
            text = Message(
                "{text}; a commit takes {time} ms", text=text, time=f"{disk.commit_seconds * 1000:.3g}"
            )
        yield Finding(Message("disk {mount}", mount=disk.mount), text)
    if measured.photos_looked is not None and measured.look_memory is not None:
        text = Message(
            "{count} photos of 12 megapixels a second of one core, {memory}",
            count=f"{measured.photos_looked:.3g}",
            memory=size(measured.look_memory.peak),
        )
        yield Finding(Message("looking"), text)
    if measured.pages and measured.page_memory is not None:
        rates = joined(
            Message(
                "{rate} pages a minute (workers: {count})", rate=f"{rate.rate * 60:.3g}", count=rate.count
            )
            for rate in measured.pages
        )
        text = Message("{rates}, {memory} each", rates=rates, memory=size(measured.page_memory.peak))
        yield Finding(Message("colouring"), text)
    for reason in measured.left_out:
        yield Finding(Message("not measured"), reason)
    yield Finding(Message("fits"), said_of(tuning.tuned), ok=True)
    yield Finding(Message("time"), Message("{seconds} s", seconds=measured.seconds))


def _speeds(rates: Sequence[Rate]) -> Message:
    from ...formatting import size

    return joined(
        Message("{speed}/s (readers: {count})", speed=size(rate.rate), count=rate.count) for rate in rates
    )
