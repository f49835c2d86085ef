"""What a comics job hands over when its pages are done: the folder or the archive, and the metadata.

Promises: copies and archives appear whole or not at all, and never over a file that is not ours, also not over one
that appears meanwhile; what stands in an output is what the job says; the
archive and `processing_metadata.json` are the same bytes after any number of kills, because nothing in
them depends on a clock (but the job's creation), on a folder's name or on an accident.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import __version__
from ..core.application import JobContext
from ..core.ledger import Ledger
from ..core.model import TERMINAL, Item, ItemState, Job, Role, Source
from ..core.plain import JsonObject, to_plain
from ..core.workers import Task
from ..exceptions import BatchProcessingError, ResourceError, ValidationError, incident
from ..io.archives import Archive
from ..io.kinds import BOOK_SUFFIXES, Reason
from ..io.name_encoding import archive_names, is_unicode
from ..io.naming import NameReservation, parted
from ..io.publish import (
    METADATA_NAME,
    Claim,
    Known,
    SaveFile,
    check_inside,
    fsync_dir,
    hash_file,
    metadata_json,
    part_path,
    publish,
    stamp_of,
    standing_as,
)
from ..messages import N_, NOTHING, Message
from ..reading import json_of, read_whole
from . import book_info
from .deposits import Deposits
from .model import WHERE_IT_RUNS, References, facts_of, settings_of, work_of
from .regions import PUT_ASIDE, REGIONS
from .sources import Found, name_of
from .tasks import WARNINGS, Bind, Copy, fingerprint

ARCHIVES = (".zip", ".cbz")
"""Suffixes of outputs that are archives; any book can be an input (`io.kinds.BOOK_SUFFIXES`)."""


def default_name(first: Path) -> tuple[str, str]:
    """What the output is called where nobody says so, `<input>_colorized`, and its suffix: that of an archive where the
    first input is a book, "" for a folder."""
    suffix = first.suffix.lower()
    if first.is_dir():
        return f"{first.name}_colorized", ""
    is_book = suffix in BOOK_SUFFIXES
    return f"{first.stem}_colorized", first.suffix if suffix in ARCHIVES else ".cbz" if is_book else ""


class Bindery:
    """Completes one job's output. `found`: what stood beside the images; `sets`: references by key."""

    def __init__(self, found: Found, sets: dict[str, References], deposits: Deposits) -> None:
        self._found, self._sets, self._deposits = found, sets, deposits

    def keep_preview(self, context: JobContext) -> str:
        """Copy the page that was coloured to where a person looks for the preview."""
        for item in context.ledger.items(context.job.id, ItemState.COMPLETED):
            if not item.held:
                target = beside(context.ledger, context.job) / f"preview{Path(item.output).suffix}"
                with self._deposits.save(target) as file, Path(item.output).open("rb") as page:
                    shutil.copyfileobj(page, file)
                return str(target)
        return context.job.output

    def complete_folder(self, context: JobContext) -> int:
        """Put what is passed through beside the pages, the originals of those that failed in their places, and
        write the metadata; how many were passed through."""
        context.phase("copying what stays as it is")
        folder = Path(context.job.output)
        copies = {str(path): source for path, source in passed_through(context)}
        for result in context.run(self._copying(context, copies)):
            source, path = copies[result.id], Path(result.id)
            if result.value is None:
                told = result.failure.text if result.failure else NOTHING
                raise ResourceError("{path} cannot be copied: {text}", path=source.path, text=told)
            if source.sha256 not in (None, result.value.sha256):
                part_path(path, self._token(context)).unlink(missing_ok=True)
                raise ValidationError(
                    "{path} was replaced while the job ran: give the command again.", path=source.path
                )
            self._put(context, path, source, result.value.sha256)
        self._put_originals(context)
        for name, content in book_info.files(context, self._found, is_archive=False):
            with self._deposits.save(folder / name) as file:
                file.write(content)
        with self._deposits.save(beside(context.ledger, context.job) / METADATA_NAME) as file:
            for line in self._metadata(context):
                file.write(line)
        return len(copies)

    def _copying(self, context: JobContext, copies: Mapping[str, Source]) -> Iterator[Task]:
        """The copies that do not stand there yet, each beside its place."""
        for text, source in copies.items():
            there = standing_as(Path(text), copied(source))
            if source.sha256 is not None and there.sha256 == source.sha256:
                if there.stamp not in (None, source.written_stamp) and source.written == source.sha256:
                    context.ledger.copied(source.id, source.sha256, there.stamp)
            else:
                part = part_path(Path(text), self._token(context))
                yield Task(text, Copy(source.path, str(part), context.job.output), here=True)

    def _put(
        self, context: JobContext, path: Path, source: Source, sha256: str, item: Item | None = None
    ) -> None:
        """Give a copy its name. It replaces what this job wrote there. FileExistsError where another stands."""
        part = part_path(path, self._token(context))
        known = (source.sha256, source.written, item.output_hash if item is not None else None)
        claim = Claim(
            Path(context.job.output),
            frozenset(filter(None, known)),
            bool(settings_of(context.job)["overwrite"]),
        )
        try:
            # The intent first: a kill right after the rename must not make a stranger's of what we put there.
            context.ledger.copied(source.id, sha256, stamp_of(part))
            publish(part, path, claim)
        finally:
            part.unlink(missing_ok=True)
        fsync_dir(path.parent)

    def _put_originals(self, context: JobContext) -> None:
        """Have the original of each page that failed stand in its place, and no longer that of one that is coloured.

        None of them stops the job: the page has failed already, and is named."""
        folder = Path(context.job.output)
        failed: dict[str, tuple[Source, Item]] = {}
        taken = set(_names(context))
        names = NameReservation(taken)
        items = context.ledger.items(context.job.id)
        for source, item in zip(context.ledger.sources(context.job.id, role=Role.PAGE), items, strict=True):
            name = _name_of_original(work_of(item).name, source)
            if item.state == ItemState.FAILED and source.sha256:
                failed[str(folder / names.reserve(name))] = source, item
            elif item.state == ItemState.COMPLETED and source.written:
                if name not in taken and standing_as(folder / name, copied(source)).sha256 == source.written:
                    check_inside(folder, folder / name)
                    (folder / name).unlink()
                context.ledger.copied(source.id, None)
        copies = {text: source for text, (source, _) in failed.items()}
        for result in context.run(self._copying(context, copies)):
            source, item = failed[result.id]
            why_not: Message | None = None
            if result.value is None:
                why_not = result.failure.text if result.failure else NOTHING
            elif result.value.sha256 != source.sha256:
                why_not = Message("it was replaced while the job ran")
            else:
                try:
                    self._put(context, Path(result.id), source, result.value.sha256, item)
                except FileExistsError as error:
                    why_not = incident(error)
            if why_not is not None:
                part_path(Path(result.id), self._token(context)).unlink(missing_ok=True)
                context.warn(
                    "the original of {page} is not in the output: {why_not}",
                    source.key,
                    page=source.key,
                    why_not=why_not,
                )

    def bind(self, context: JobContext, target: Path) -> JsonObject:
        """Write the archive, unless it stands there already with exactly this content."""
        context.phase("binding the archive")
        job = context.job
        folder = context.workspace.folder("jobs", str(job.id))
        renamed = _renamed(context)
        with SaveFile(folder / METADATA_NAME) as file:
            for line in self._metadata(context, renamed):
                file.write(line)
        members: list[tuple[str, str, str]] = []
        for number, (name, content) in enumerate(book_info.files(context, self._found, is_archive=True)):
            with SaveFile(folder / f"info-{number}") as file:
                file.write(content)
            members.append((name, str(folder / f"info-{number}"), ""))
        members.append((METADATA_NAME, str(folder / METADATA_NAME), ""))
        number_copied = 0
        comment = book_info.comment_of(job)
        digest = hashlib.sha256(comment)
        with SaveFile(folder / "listing") as file:
            for name, path, sha256, is_copy in self._members(context, members, renamed):
                number_copied += is_copy
                file.write((json.dumps([name, path, (is_copy and sha256) or ""]) + "\n").encode())
                digest.update(json.dumps([name, sha256 or hash_file(Path(path))]).encode())
        before = {name: job.result.get(name) for name in BOUND}
        there = standing_as(target, bound(job))
        if before["listing"] == digest.hexdigest() and there.sha256 == before["output_hash"]:
            return {**before, "output_stamp": there.stamp, "copied": number_copied}
        part = part_path(target, self._token(context))
        task = Task("bind", Bind(str(part), str(folder / "listing"), str(target.parent), comment), here=True)
        try:
            for result in context.run([task]):
                if result.value is None:
                    text = result.failure.text if result.failure else NOTHING
                    raise ResourceError(
                        "The archive {target} cannot be written: {text}", target=target, text=text
                    )
                made = {
                    "output_hash": result.value.sha256,
                    "output_stamp": stamp_of(part),
                    "previous_hash": before["output_hash"],
                    "listing": digest.hexdigest(),
                }
                # The intent first: a kill right after the rename must not make our own archive a stranger's.
                context.ledger.set_job(job.id, result={**context.ledger.job(job.id).result, **made})
                ours = frozenset(filter(None, (before["output_hash"], before["previous_hash"])))
                publish(part, target, Claim(target.parent, ours, bool(settings_of(job)["overwrite"])))
                fsync_dir(target.parent)
        finally:
            part.unlink(missing_ok=True)
        return {**made, "copied": number_copied}

    def _members(
        self, context: JobContext, first: list[tuple[str, str, str]], renamed: dict[str, str]
    ) -> Iterator[tuple[str, str, str | None, bool]]:
        """(name, file, hash, passed through) of everything in the archive, in page order."""
        for name, path, sha256 in first:
            yield name, path, sha256 or None, False
        ledger, job_id = context.ledger, context.job.id
        items = ledger.items(job_id)
        names = NameReservation(renamed.get(name, name) for name in _names(context))
        for source in ledger.sources(job_id):
            if source.role in (Role.COPY, Role.KEPT):
                yield renamed.get(source.key, source.key), source.path, source.sha256, True
            elif source.role == Role.PAGE:
                item = next(items)
                own = work_of(item).name
                name = renamed.get(own, own)
                if item.state == ItemState.COMPLETED:
                    yield name, item.output, item.output_hash, False
                elif source.sha256:  # its original stands in its place
                    original = _name_of_original(name, source)
                    own = archive_names([original]).get(original, original)
                    yield names.reserve(own), source.path, source.sha256, False

    def _token(self, context: JobContext) -> str:
        """The same for every run of this job: what a killed run left is overwritten by the next."""
        return fingerprint(workspace=str(context.workspace.root), job=context.job.id)[:16]

    def _metadata(
        self, context: JobContext, renamed: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[bytes]:
        """`processing_metadata.json` line by line: a book of any length, one page in memory.
        `renamed` are the pages that have another name where it will be.

        Nothing in it depends on a clock (but the job's creation), on a folder's name or on an accident."""
        job, ledger = context.job, context.ledger
        settings = {name: value for name, value in settings_of(job).items() if name not in _LOCAL_SETTINGS}
        counts = ledger.counts(job.id)
        head = {
            "software": f"lote {__version__}",
            "created_at": _created_at(job),
            "inputs": [Path(path).name for path in job.inputs],
            "settings": settings,
            "counts": {name: counts[name] for name in TERMINAL},
            # What systems leave behind is an accident, and no part of the book.
            "left_out": [to_plain(each) for each in self._found.left_out if each.reason != Reason.JUNK],
        }
        yield metadata_json(head).rstrip(b"}\n") + b',\n  "pages": [\n'
        items = ledger.items(job.id)
        first = True
        for source in ledger.sources(job.id):
            if source.role in (None, Role.LEFT_OUT):
                continue
            item = next(items) if source.role == Role.PAGE else None
            told = _page_metadata(source, item, self._sets)
            if told.get("output") in renamed:
                told["output"] = renamed[told["output"]]
            entry = json.dumps(told, sort_keys=True, ensure_ascii=False)
            yield (b"" if first else b",\n") + b"    " + entry.encode("utf-8", "backslashreplace")
            first = False
        yield b"\n  ]\n}\n"


def _created_at(job: Job) -> str:
    created = float(os.environ.get("SOURCE_DATE_EPOCH") or job.created_at)
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")


def says_it_is_of(ledger: Ledger, job: Job, output: Path) -> bool:
    """Whether an archive, or what stands beside a folder's pages, says itself that this job made it: at a time that a
    restored ledger does not remember. It names the job's inputs and moment, and was made from one of its pages at least:
    chapters of one name may be begun in the same second, and SOURCE_DATE_EPOCH gives all the same."""
    try:
        if output.suffix.lower() in ARCHIVES:
            with Archive(output) as file:
                (member,) = (member for member in file.members if member.name == METADATA_NAME)
                told = json_of(file.read(member, _LARGEST_METADATA))
        else:
            told = json_of(read_whole(output / "_lote" / METADATA_NAME, _LARGEST_METADATA))
    except (BatchProcessingError, OSError, ValueError):
        return False
    inputs = [Path(path).name for path in job.inputs]
    if not isinstance(told, dict) or (told.get("created_at"), told.get("inputs")) != (
        _created_at(job),
        inputs,
    ):
        return False
    own = {source.sha256 for source in ledger.sources(job.id, role=Role.PAGE)}
    pages = told.get("pages")
    return any(
        page.get("role") == Role.PAGE and page.get("input_sha256") in own
        for page in (pages if isinstance(pages, list) else ())
        if isinstance(page, dict)
    )


_LARGEST_METADATA = 64 << 20  # bytes: 10,000 pages take some 20 million


def _names(context: JobContext) -> Iterator[str]:
    """What everything in the output is called."""
    for item in context.ledger.items(context.job.id, ItemState.COMPLETED):
        yield work_of(item).name
    for role in (Role.COPY, Role.KEPT):
        for source in context.ledger.sources(context.job.id, role=role):
            yield source.key


def _name_of_original(name: str, source: Source) -> str:
    """What the original of a page is called where it stands in the place of the page of that name."""
    return parted(name)[0] + parted(source.key)[1]


def _renamed(context: JobContext) -> dict[str, str]:
    """What is called otherwise in an archive than in a folder; it is said of each."""
    names = [work_of(item).name for item in context.ledger.items(context.job.id)]
    renamed = archive_names([*names, *_names(context)], settings_of(context.job).get("name_encoding"))
    for name, other in renamed.items():
        template = (
            N_("{name} is called {renamed} in the archive, where a name cannot hold a backslash")
            if is_unicode(name)
            else N_("{name} is called {renamed} in the archive, where names are Unicode")
        )
        context.note(template, name, name=name, renamed=other)
    return renamed


def passed_through(context: JobContext) -> Iterator[tuple[Path, Source]]:
    """Where images that stay as they are belong, in an output folder."""
    if Path(context.job.output).suffix.lower() in ARCHIVES:
        return
    for role in (Role.COPY, Role.KEPT):
        for source in context.ledger.sources(context.job.id, role=role):
            yield Path(context.job.output) / source.key, source


def copied(source: Source) -> Known:
    """What is known of the copy of an image in the output."""
    return Known(source.written, source.written_stamp)


def bound(job: Job) -> Known:
    """What is known of the archive that the job has made."""
    return Known(job.result.get("output_hash"), job.result.get("output_stamp"))


def beside(ledger: Ledger, job: Job) -> Path:
    """The folder for everything but a job's pages: `OUT/_lote` for a folder, `book.lote` for `book.cbz`.

    Where an earlier job coloured pages for `book.zip` in the same folder, `book.lote` is that job's, and
    this one's is `book.cbz.lote`."""
    output = Path(job.output)
    if output.suffix.lower() not in ARCHIVES:
        return output / "_lote"
    usual = output.with_suffix(".lote")
    for other in ledger.jobs(job.kind):
        theirs = Path(other.output)
        if other.id >= job.id:
            break
        same = theirs.suffix.lower() in ARCHIVES and theirs.with_suffix(".lote") == usual
        if same and theirs != output and any(ledger.counts(other.id).values()):
            return output.with_name(f"{output.name}.lote")
    return usual


def pages_folder(context: JobContext) -> Path:
    """Where finished pages stand. Those of an archive stay in the workspace, so that a rerun redoes only changes."""
    if Path(context.job.output).suffix.lower() in ARCHIVES:
        return context.workspace.folder("jobs", str(context.job.id), "pages")
    return Path(context.job.output)


def root_of(job: Job) -> Path:
    """The folder that nothing of a job's output may be led out of by a link."""
    output = Path(job.output)
    return output.parent if output.suffix.lower() in ARCHIVES else output


def archive_of(job: Job) -> Path | None:
    """The archive that the job makes: its output, or one inside of its output folder (`output_as_zip`)."""
    from ..config import BatchConfig

    if Path(job.output).suffix.lower() in ARCHIVES:
        return Path(job.output)
    config = BatchConfig(**settings_of(job))
    return Path(job.output) / config.zip_name if config.output_as_zip else None


def size_of_output(context: JobContext) -> int:
    """Bytes of what was handed over: the archive, or the pages and copies of the folder."""
    output = Path(context.job.output)
    if output.suffix.lower() in ARCHIVES:
        paths = [output]
    else:
        pages = context.ledger.items(context.job.id, ItemState.COMPLETED)
        paths = [Path(item.output) for item in pages if not item.held]
        paths += [path for path, _ in passed_through(context)]
    return sum(path.stat().st_size for path in paths if path.exists())


# What binding an archive leaves in `Job.result`.
BOUND = ("output_hash", "output_stamp", "previous_hash", "listing")
# Settings that say how and where a job ran, not what came of it.
_LOCAL_SETTINGS = (
    "input_dir", "output_dir", "reference_images", "max_concurrent", "overwrite", "hints", "palette", "config_file",
    "worker_memory", "timeout", "preview_mode", "input_is_zip", *WHERE_IT_RUNS,
)  # fmt: skip


def _page_metadata(source: Source, item: Item | None, sets: dict[str, References]) -> JsonObject:
    facts = facts_of(source)
    entry: JsonObject = {
        "source": name_of(source),
        "role": source.role,
        "input_sha256": source.sha256,
    }
    if facts.kind is not None:
        entry |= {"kind": facts.kind, "confidence": facts.confidence, "metrics": facts.metrics}
    if facts.width is not None:
        entry |= {"width": facts.width, "height": facts.height}
    if item is not None:
        done, work = item.state == ItemState.COMPLETED, work_of(item)
        entry |= {
            "state": item.state,
            "output": work.name if done else None,
            "output_sha256": item.output_hash if done else None,
            "backend": work.backend,
            "backend_version": work.version,
            "settings": to_plain(work.settings),
            "references": [one.sha256 for one in sets.get(work.artefact or "", [])],
            "result": _told(item) if done else None,
            "error": str(item.error) if item.error else None,
        }
    elif facts.error is not None:
        entry["error"] = str(facts.error)
    return entry


# What a backend tells that stays out of the archive: it stands beside it (`review.json`, `--layers json`), some
# sixty kilobytes a page, or is about this machine only.
_NOT_BOUND = ("review", REGIONS, PUT_ASIDE, "seen", "kept_documents", WARNINGS)


def _told(item: Item) -> dict[str, Any]:
    """What the backend told of the page as a whole."""
    details = item.details or {}
    told = {name: value for name, value in details.items() if name not in _NOT_BOUND}
    if warnings := details.get(WARNINGS):
        told[WARNINGS] = [str(Message.from_json(warning)) for warning in warnings]
    return told
