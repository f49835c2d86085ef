"""What a comics job hands over when its pages are done: the folder or the archive, and the metadata.

Promises: copies and archives appear whole or not at all, and never over a file that is not ours; the
archive and `processing_metadata.json` are the same bytes after any number of kills, because nothing in
them depends on a clock (but the job's creation), on a folder's name or on an accident.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import __version__, book, pages
from .core.coordinator import Desk
from .core.ledger import Item, Job, Ledger, Source
from .core.workers import Task
from .exceptions import (
    ResourceError,
    ValidationError,
)
from .io.outputs import (
    METADATA_NAME,
    NameReservation,
    SaveFile,
    comic_info,
    fsync_dir,
    hash_file,
    metadata_json,
    part_path,
    publish,
)

ARCHIVES = (".zip", ".cbz")


class Bindery:
    """Completes one job's output. `found`: what stood beside the images; `sets`: references by key."""

    def __init__(self, found: book.Found, sets: dict[str, list[tuple[str, str]]]) -> None:
        self._found, self._sets = found, sets

    def keep_preview(self, desk: Desk) -> str:
        """Copy the page that was coloured to where a person looks for the preview."""
        for item in desk.ledger.items(desk.job.id, state="completed"):
            if not item.held:
                target = beside(desk.ledger, desk.job) / f"preview{Path(item.output).suffix}"
                with SaveFile(target) as file, Path(item.output).open("rb") as page:
                    shutil.copyfileobj(page, file)
                return str(target)
        return desk.job.output

    def complete_folder(self, desk: Desk) -> int:
        """Put what is passed through beside the pages, and write the metadata."""
        desk.phase("copying what stays as it is")
        folder = Path(desk.job.output)
        copies = {str(path): source for path, source in passed_through(desk)}
        tasks = []
        for text, source in copies.items():
            path = Path(text)
            if not (os.path.lexists(path) and hash_file(path) == source.sha256):
                part = part_path(path, self._token(desk))
                tasks.append(
                    Task(text, "batch_processing.pages:copy", {"source": source.path, "part": str(part)})
                )
        for result in desk.run(tasks):
            if result.failure is not None:
                raise ResourceError(f"{copies[result.id].path} cannot be copied: {result.failure.text}")
            publish(part_path(Path(result.id), self._token(desk)), Path(result.id))
            fsync_dir(Path(result.id).parent)
            desk.ledger.copied(copies[result.id].id, str(result.value and result.value["sha256"]))
        if info := self._comic_info(desk):
            with SaveFile(folder / "ComicInfo.xml") as file:
                file.write(info)
        with SaveFile(beside(desk.ledger, desk.job) / METADATA_NAME) as file:
            for line in self._metadata(desk):
                file.write(line)
        return len(copies)

    def bind(self, desk: Desk, target: Path) -> dict[str, Any]:
        """Write the archive, unless it stands there already with exactly this content."""
        desk.phase("binding the archive")
        job = desk.job
        folder = desk.workspace.folder("jobs", str(job.id))
        with SaveFile(folder / METADATA_NAME) as file:
            for line in self._metadata(desk):
                file.write(line)
        members: list[tuple[str, str, str]] = []
        if info := self._comic_info(desk):
            with SaveFile(folder / "ComicInfo.xml") as file:
                file.write(info)
            members.append(("ComicInfo.xml", str(folder / "ComicInfo.xml"), ""))
        members.append((METADATA_NAME, str(folder / METADATA_NAME), ""))
        copied = 0
        digest = hashlib.sha256()
        with SaveFile(folder / "listing") as file:
            for name, path, sha256, is_copy in self._members(desk, members):
                copied += is_copy
                file.write((json.dumps([name, path]) + "\n").encode())
                digest.update(json.dumps([name, sha256 or hash_file(Path(path))]).encode())
        before = {name: job.result.get(name) for name in BOUND}
        if (
            before["listing"] == digest.hexdigest()
            and target.is_file()
            and hash_file(target) == before["output_hash"]
        ):
            return {**before, "copied": copied}
        part = part_path(target, self._token(desk))
        part.parent.mkdir(parents=True, exist_ok=True)
        task = Task(
            "bind", "batch_processing.pages:bind", {"part": str(part), "listing": str(folder / "listing")}
        )
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
                desk.ledger.set_job(job.id, result={**job.result, **bound})
                publish(part, target)
                fsync_dir(target.parent)
        finally:
            part.unlink(missing_ok=True)
        return {**bound, "copied": copied}

    def _members(
        self, desk: Desk, first: list[tuple[str, str, str]]
    ) -> Iterator[tuple[str, str, str | None, bool]]:
        """(name, file, hash, passed through) of everything in the archive, in page order."""
        for name, path, sha256 in first:
            yield name, path, sha256 or None, False
        ledger, number = desk.ledger, desk.job.id
        items = ledger.items(number)
        names = NameReservation(
            [item.work["name"] for item in ledger.items(number, state="completed")]
            + [source.key for role in ("copy", "kept") for source in ledger.sources(number, role=role)]
        )
        for source in ledger.sources(number):
            if source.role in ("copy", "kept"):
                yield source.key, source.path, source.sha256, True
            elif source.role == "page":
                item = next(items)
                if item.state == "completed":
                    yield item.work["name"], item.output, item.output_hash, False
                elif source.sha256:  # its original stands in its place
                    suffix = Path(source.key).suffix
                    stem = item.work["name"].rpartition(".")[0]
                    yield names.reserve(f"{stem}{suffix}"), source.path, source.sha256, False

    def _token(self, desk: Desk) -> str:
        """The same for every run of this job: what a killed run left is overwritten by the next."""
        return pages.fingerprint(workspace=str(desk.workspace.root), job=desk.job.id)[:16]

    def _comic_info(self, desk: Desk) -> bytes | None:
        """The book's ComicInfo.xml, no longer black and white; a damaged one is left out, with a warning."""
        if self._found.comic_info is None:
            return None
        try:
            return comic_info(Path(self._found.comic_info).read_bytes())
        except ValidationError as error:
            desk.warn(f"ComicInfo.xml is left out: {error}")
            return None

    def _metadata(self, desk: Desk) -> Iterator[bytes]:
        """`processing_metadata.json` line by line: a book of any length, one page in memory.

        Nothing in it depends on a clock (but the job's creation), on a folder's name or on an accident."""
        job, ledger = desk.job, desk.ledger
        settings = {
            name: value for name, value in job.config["settings"].items() if name not in _LOCAL_SETTINGS
        }
        counts = ledger.counts(job.id)
        created = float(os.environ.get("SOURCE_DATE_EPOCH") or job.created_at)
        head = {
            "software": f"lote {__version__}",
            "created_at": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
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
            entry = json.dumps(_page_metadata(source, item, self._sets), sort_keys=True, ensure_ascii=False)
            yield (b"" if first else b",\n") + b"    " + entry.encode("utf-8", "backslashreplace")
            first = False
        yield b"\n  ]\n}\n"


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
