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

from . import __version__, book, pages
from .core.coordinator import Desk
from .core.ledger import Item, Job, Ledger, Source
from .core.workers import Task
from .deposits import Deposits
from .exceptions import BatchProcessingError, ResourceError, ValidationError, incident
from .io.archives import Archive
from .io.comic_info import LIMIT as COMIC_INFO_LIMIT
from .io.comic_info import comic_info
from .io.outputs import (
    METADATA_NAME,
    Claim,
    NameReservation,
    SaveFile,
    fsync_dir,
    hash_file,
    metadata_json,
    part_path,
    publish,
    standing,
)
from .reading import json_of, read_whole

ARCHIVES = (".zip", ".cbz")
COMIC_INFO_NAME = "ComicInfo.xml"


class Bindery:
    """Completes one job's output. `found`: what stood beside the images; `sets`: references by key."""

    def __init__(self, found: book.Found, sets: dict[str, list[tuple[str, str]]], deposits: Deposits) -> None:
        self._found, self._sets, self._deposits = found, sets, deposits

    def keep_preview(self, desk: Desk) -> str:
        """Copy the page that was coloured to where a person looks for the preview."""
        for item in desk.ledger.items(desk.job.id, state="completed"):
            if not item.held:
                target = beside(desk.ledger, desk.job) / f"preview{Path(item.output).suffix}"
                with self._deposits.save(target) as file, Path(item.output).open("rb") as page:
                    shutil.copyfileobj(page, file)
                return str(target)
        return desk.job.output

    def complete_folder(self, desk: Desk) -> int:
        """Put what is passed through beside the pages, and write the metadata."""
        desk.phase("copying what stays as it is")
        folder = Path(desk.job.output)
        overwrite = bool(desk.job.config["settings"]["overwrite"])
        copies = {str(path): source for path, source in passed_through(desk)}
        tasks = []
        for text, source in copies.items():
            path = Path(text)
            if source.sha256 is None or standing(path) != source.sha256:
                part = part_path(path, self._token(desk))
                args = {"source": source.path, "part": str(part), "root": str(folder)}
                tasks.append(Task(text, "batch_processing.pages:copy", args))
        for result in desk.run(tasks):
            source, path = copies[result.id], Path(result.id)
            if result.value is None:
                text = result.failure.text if result.failure else ""
                raise ResourceError(f"{source.path} cannot be copied: {text}")
            ours = frozenset(filter(None, (source.sha256, source.written)))
            part = part_path(path, self._token(desk))
            try:
                publish(part, path, Claim(folder, ours, overwrite))
            finally:
                part.unlink(missing_ok=True)
            fsync_dir(path.parent)
            desk.ledger.copied(source.id, str(result.value["sha256"]))
        if info := self._comic_info(desk):
            with self._deposits.save(folder / COMIC_INFO_NAME) as file:
                file.write(info)
        with self._deposits.save(beside(desk.ledger, desk.job) / METADATA_NAME) as file:
            for line in self._metadata(desk):
                file.write(line)
        return len(copies)

    def bind(self, desk: Desk, target: Path) -> dict[str, Any]:
        """Write the archive, unless it stands there already with exactly this content."""
        desk.phase("binding the archive")
        job = desk.job
        folder = desk.workspace.folder("jobs", str(job.id))
        renamed = _renamed(desk)
        with SaveFile(folder / METADATA_NAME) as file:
            for line in self._metadata(desk, renamed):
                file.write(line)
        members: list[tuple[str, str, str]] = []
        if info := self._comic_info(desk):
            with SaveFile(folder / COMIC_INFO_NAME) as file:
                file.write(info)
            members.append((COMIC_INFO_NAME, str(folder / COMIC_INFO_NAME), ""))
        members.append((METADATA_NAME, str(folder / METADATA_NAME), ""))
        copied = 0
        digest = hashlib.sha256()
        with SaveFile(folder / "listing") as file:
            for name, path, sha256, is_copy in self._members(desk, members, renamed):
                copied += is_copy
                file.write((json.dumps([name, path]) + "\n").encode())
                digest.update(json.dumps([name, sha256 or hash_file(Path(path))]).encode())
        before = {name: job.result.get(name) for name in BOUND}
        if before["listing"] == digest.hexdigest() and standing(target) == before["output_hash"]:
            return {**before, "copied": copied}
        part = part_path(target, self._token(desk))
        args = {"part": str(part), "listing": str(folder / "listing"), "root": str(target.parent)}
        task = Task("bind", "batch_processing.pages:bind", args)
        try:
            for result in desk.run([task]):
                if result.value is None:
                    text = result.failure.text if result.failure else ""
                    raise ResourceError(f"The archive {target} cannot be written: {text}")
                bound = {
                    "output_hash": result.value["sha256"],
                    "previous_hash": before["output_hash"],
                    "listing": digest.hexdigest(),
                }
                # The intent first: a kill right after the rename must not make our own archive a stranger's.
                desk.ledger.set_job(job.id, result={**desk.ledger.job(job.id).result, **bound})
                ours = frozenset(filter(None, (before["output_hash"], before["previous_hash"])))
                publish(part, target, Claim(target.parent, ours, bool(job.config["settings"]["overwrite"])))
                fsync_dir(target.parent)
        finally:
            part.unlink(missing_ok=True)
        return {**bound, "copied": copied}

    def _members(
        self, desk: Desk, first: list[tuple[str, str, str]], renamed: dict[str, str]
    ) -> Iterator[tuple[str, str, str | None, bool]]:
        """(name, file, hash, passed through) of everything in the archive, in page order."""
        for name, path, sha256 in first:
            yield name, path, sha256 or None, False
        ledger, number = desk.ledger, desk.job.id
        items = ledger.items(number)
        names = NameReservation(renamed.get(name, name) for name in _names(desk))
        for source in ledger.sources(number):
            if source.role in ("copy", "kept"):
                yield renamed.get(source.key, source.key), source.path, source.sha256, True
            elif source.role == "page":
                item = next(items)
                name = renamed.get(item.work["name"], item.work["name"])
                if item.state == "completed":
                    yield name, item.output, item.output_hash, False
                elif source.sha256:  # its original stands in its place
                    suffix = Path(source.key).suffix
                    stem = _without_backslash(item.work["name"]).rpartition(".")[0]
                    yield names.reserve(f"{stem}{suffix}"), source.path, source.sha256, False

    def _token(self, desk: Desk) -> str:
        """The same for every run of this job: what a killed run left is overwritten by the next."""
        return pages.fingerprint(workspace=str(desk.workspace.root), job=desk.job.id)[:16]

    def _comic_info(self, desk: Desk) -> bytes | None:
        """The book's ComicInfo.xml, no longer black and white; a damaged one is left out, with a warning."""
        if self._found.comic_info is None:
            return None
        try:
            return comic_info(read_whole(Path(self._found.comic_info), COMIC_INFO_LIMIT))
        except ValidationError as error:
            desk.warn(f"ComicInfo.xml is left out: {error}")
        except OSError as error:
            desk.warn(f"ComicInfo.xml is left out: {incident(error)}")
        return None

    def _metadata(self, desk: Desk, renamed: Mapping[str, str] = MappingProxyType({})) -> Iterator[bytes]:
        """`processing_metadata.json` line by line: a book of any length, one page in memory.
        `renamed` are the pages that have another name where it will be.

        Nothing in it depends on a clock (but the job's creation), on a folder's name or on an accident."""
        job, ledger = desk.job, desk.ledger
        settings = {
            name: value for name, value in job.config["settings"].items() if name not in _LOCAL_SETTINGS
        }
        counts = ledger.counts(job.id)
        head = {
            "software": f"lote {__version__}",
            "created_at": _created_at(job),
            "inputs": [Path(path).name for path in job.inputs],
            "settings": settings,
            "counts": {name: counts[name] for name in ("completed", "failed", "cancelled")},
            "left_out": self._found.left_out,
        }
        yield metadata_json(head).rstrip(b"}\n") + b',\n  "pages": [\n'
        items = ledger.items(job.id)
        first = True
        for source in ledger.sources(job.id):
            if source.role in (None, "left out"):
                continue
            item = next(items) if source.role == "page" else None
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


def says_it_is_of(job: Job, output: Path) -> bool:
    """Whether an archive, or what stands beside a folder's pages, says itself that this job made it: at a time that a
    restored ledger does not remember."""
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
    return isinstance(told, dict) and (told.get("created_at"), told.get("inputs")) == (
        _created_at(job),
        inputs,
    )


_LARGEST_METADATA = 64 << 20  # bytes: 10,000 pages take some 20 million


def _names(desk: Desk) -> Iterator[str]:
    """What everything in the output is called."""
    for item in desk.ledger.items(desk.job.id, state="completed"):
        yield item.work["name"]
    for role in ("copy", "kept"):
        for source in desk.ledger.sources(desk.job.id, role=role):
            yield source.key


def _renamed(desk: Desk) -> dict[str, str]:
    """What cannot be called in an archive as it is in a folder: in names there, `\\` parts folders for many programs."""
    names = NameReservation(name for name in _names(desk) if "\\" not in name)
    renamed: dict[str, str] = {}
    for name in _names(desk):
        if "\\" in name:
            renamed[name] = names.reserve(_without_backslash(name))
            desk.note(
                f"{name} is called {renamed[name]} in the archive, where a name cannot hold a backslash", name
            )
    return renamed


def _without_backslash(name: str) -> str:
    return name.replace("\\", "_")


def passed_through(desk: Desk) -> Iterator[tuple[Path, Source]]:
    """Where images that stay as they are belong, in an output folder."""
    if Path(desk.job.output).suffix.lower() in ARCHIVES:
        return
    for role in ("copy", "kept"):
        for source in desk.ledger.sources(desk.job.id, role=role):
            yield Path(desk.job.output) / source.key, source


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


def root_of(job: Job) -> Path:
    """The folder that nothing of a job's output may be led out of by a link."""
    output = Path(job.output)
    return output.parent if output.suffix.lower() in ARCHIVES else output


def archive_of(job: Job) -> Path | None:
    """The archive that the job makes: its output, or one inside of its output folder (`output_as_zip`)."""
    from .config import BatchConfig

    if Path(job.output).suffix.lower() in ARCHIVES:
        return Path(job.output)
    config = BatchConfig(**job.config["settings"])
    return Path(job.output) / config.zip_name if config.output_as_zip else None


# What binding an archive leaves in `Job.result`.
BOUND = ("output_hash", "previous_hash", "listing")
# Settings that say how and where a job ran, not what came of it.
_LOCAL_SETTINGS = (
    "input_dir", "output_dir", "reference_images", "max_concurrent", "overwrite", "hints", "palette", "config_file",
    "worker_memory", "timeout", "preview_mode", "input_is_zip",
)  # fmt: skip


def _page_metadata(
    source: Source, item: Item | None, sets: dict[str, list[tuple[str, str]]]
) -> dict[str, Any]:
    facts = source.facts or {}
    entry: dict[str, Any] = {
        "source": source.key if source.origin == "input" else Path(source.path).name,
        "role": source.role,
        "input_sha256": source.sha256,
        **{
            name: facts[name]
            for name in ("kind", "confidence", "metrics", "width", "height")
            if name in facts
        },
    }
    if item is not None:
        done = item.state == "completed"
        entry |= {
            "state": item.state,
            "output": item.work["name"] if done else None,
            "output_sha256": item.output_hash if done else None,
            "backend": item.work["backend"],
            "backend_version": item.work["version"],
            "settings": item.work["settings"],
            "references": [sha256 for _, sha256 in sets.get(item.work["artefact"] or "", [])],
            "result": _told(item) if done else None,
            "error": item.error,
        }
    elif "error" in facts:
        entry["error"] = facts["error"]
    return entry


# What a backend tells that stays out of the archive: it stands beside it (`review.json`, `--layers json`), some
# sixty kilobytes a page, or is about this machine only.
_NOT_BOUND = ("review", "regions", "kept_documents")


def _told(item: Item) -> dict[str, Any]:
    """What the backend told of the page as a whole."""
    return {name: value for name, value in (item.details or {}).items() if name not in _NOT_BOUND}
