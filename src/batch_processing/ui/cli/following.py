"""Running, following or handing over a job for whoever gave the command, and its log."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import typer

from ...core.model import ItemState, JobState
from ...exceptions import BatchProcessingError
from ...formatting import safe
from ...i18n import _, translate
from ...messages import NOTHING
from .photos.pixels import follow as follow_look
from .photos.scan import follow as follow_scan

if TYPE_CHECKING:
    from ...core.model import Job
    from ...core.workspace import Workspace
    from ...library import BookResult, LibraryJobs, LibraryResult


def follow(workspace: Workspace, job: Job, *, as_json: bool, quiet: bool) -> int:
    """Run or follow a job to its end and print what became of it; the exit code."""
    from ...colorize import JobResult
    from ...core.applications import door
    from ...core.coordinator import Interrupt
    from ..console import SHOWN, err_console, headline, put_json, summary, view

    if job.kind == "photos":
        return follow_scan(workspace, job, as_json=as_json, quiet=quiet)
    if job.kind == "looks":
        return follow_look(workspace, job, as_json=as_json, quiet=quiet)
    console = err_console()
    ahead = [other for other in workspace.ledger.jobs(job.kind) if other.id != job.id and other.alive]
    if ahead and not as_json:
        console.print(_("waiting behind job {job}").format(job=ahead[0].id))
    interrupt = Interrupt()
    printer = view(console, as_json=as_json, quiet=quiet, leaving=lambda: interrupt.level > 0)
    try:
        with interrupt.signals():
            result = door(job.kind).run(workspace, job.id, on_news=printer.news, interrupt=interrupt)
    except BatchProcessingError as error:
        if as_json:
            put_json(
                "summary",
                job=job.id,
                state=workspace.ledger.job(job.id).state,
                error=str(error),
                code=error.code,
            )
        raise
    finally:
        printer.end()
    if not isinstance(result, JobResult):  # an application that has no summary of its own
        if as_json:
            put_json("summary", job=job.id, state=result.state, exit_code=result.exit_code)
        elif not quiet:
            console.print(headline(job.id, JobState(result.state)))
    elif as_json:
        put_json("summary", **result.told(), exit_code=result.exit_code)
    else:
        if not quiet or result.failed:
            failed = islice(workspace.ledger.items(job.id, ItemState.FAILED), SHOWN)
            summary(console, result, [(item.key, item.error or NOTHING) for item in failed])
        if result.state == JobState.DONE and not quiet:
            typer.echo(result.output)
    return result.exit_code


def follow_library(workspace: Workspace, jobs: LibraryJobs, *, as_json: bool, quiet: bool) -> int:
    """Run or follow the jobs of several books and print, once, what became of all; the exit code."""
    from ...core.coordinator import Interrupt, OnNews
    from ...library import BookJob, run_library
    from ..console import View, err_console, library_summary, put_json, view

    console = err_console()
    ours = {one.job for one in jobs.books}
    ahead = [other for other in workspace.ledger.jobs("comics") if other.id not in ours and other.alive]
    if ahead and not as_json:
        console.print(_("waiting behind job {job}").format(job=ahead[0].id))
    interrupt = Interrupt()
    printers: list[View] = []

    def ended() -> None:
        while printers:
            printers.pop().end()

    def on_book(one: BookJob, number: int, count: int) -> OnNews:
        ended()
        if as_json:
            put_json(
                "book", book=one.book.name, number=number, count=count, job=one.job, input=one.book.path,
                output=one.book.output,
            )  # fmt: skip
        elif not quiet:
            text = _("book {number} of {count}: {name}")
            console.print(text.format(number=number, count=count, name=safe(one.book.name)))
        printers.append(view(console, as_json=as_json, quiet=quiet, leaving=lambda: interrupt.level > 0))
        return printers[0].news

    try:
        with interrupt.signals():
            result = run_library(workspace, jobs, on_book=on_book, interrupt=interrupt)
    finally:
        ended()
    if as_json:
        put_json("summary", **library_told(result), exit_code=result.exit_code)
        return result.exit_code
    if not quiet or result.exit_code:
        library_summary(console, result)
    for book in result.books:
        if book.result is not None and book.result.state == JobState.DONE and not quiet:
            typer.echo(book.result.output)
    return result.exit_code


def library_told(result: LibraryResult) -> dict[str, object]:
    """The result as JSON has it: the sums of all books, and each book."""
    from dataclasses import asdict

    def told(book: BookResult) -> dict[str, object]:
        known: dict[str, object] = {
            "book": book.name,
            "input": book.input,
            "output": book.output,
            "job": book.job,
        }
        if book.result is not None:
            known |= book.result.told()
        if book.error is not None:
            known |= {"error": book.error, "code": book.code}
        return known | {"exit_code": book.exit_code}

    done = [book.result for book in result.books if book.result is not None]
    sums = {
        name: sum(getattr(one, name) for one in done)
        for name in ("total", "completed", "failed", "cancelled", "reused", "copied", "seconds")
    }
    return {
        "output": result.output,
        "books": [told(book) for book in result.books],
        "left_out": [asdict(one) for one in result.left_out],
        "made": result.made,
        "unused": result.unused,
        **sums,
    }


def hand_over(workspace: Workspace, job_ids: Sequence[int], *, as_json: bool) -> None:
    """Have another process run the jobs, one after the other, in a session of its own, and return."""
    from .. import background
    from ..console import put_json

    for job_id in job_ids:
        background.start(workspace, job_id)
    for job_id in job_ids:
        log = background.log_of(workspace, job_id)
        if as_json:
            put_json("job", job=job_id, state=JobState.QUEUED, log=str(log))
        else:
            typer.echo(
                _("job {job} runs in the background: lote status {job} shows it, its log is {log}").format(
                    job=job_id, log=log
                )
            )


def refused(jobs: LibraryJobs, *, as_json: bool) -> None:
    """Say of the books that have no job, because none could be asked for, why."""
    from ..console import err_console, fit, put_json

    for one in jobs.books:
        if one.error is None:
            continue
        if as_json:
            put_json("warning", book=one.book.name, text=one.error.sentence)
        else:
            said = f"{safe(one.book.name)}: {safe(translate(one.error.sentence))}"
            err_console().print(fit(said))


def set_up_logging(log_file: str | None = None, level: str = "INFO", *, as_json: bool = False) -> None:
    """Warnings on stderr; everything from `level` on in a file that was asked for."""
    import logging

    from ...exceptions import ConfigurationError, reason
    from ...logging_config import setup_logging

    try:
        root = setup_logging(level, log_file=log_file, json_lines=as_json)
    except ValueError as error:
        raise ConfigurationError("--log-level: {error}", error=error) from error
    except OSError as error:
        raise ConfigurationError(
            "--log-file: {log_file} cannot be written: {reason}", log_file=log_file, reason=reason(error)
        ) from error
    if log_file is None:
        root.setLevel(logging.WARNING)
    for handler in root.handlers:
        if type(handler).__name__ == "_Console":
            handler.setLevel(logging.WARNING)
            handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
