"""The files and pictures that the page gives out, and who may have which.

Promises: a file leaves only when it belongs to a job or a draft, lies below the roots or where that job reads or
writes, and is a regular file; a picture of what came from outside is made by a worker (`pictures`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ...comics.books import in_worker
from ...comics.model import settings_of
from ...comics.small_pictures import picture_of_source
from ...core.model import ItemState
from ...io.books.opening import open_book
from ...io.kinds import BOOK_SUFFIXES
from ...io.publish import SaveFile
from . import jobs
from .paths import inside
from .site import Site

if TYPE_CHECKING:
    from ...core.model import Item, Job

THUMBNAIL = 320  # pixels of the longest side, a card at twice the density of most screens
LARGEST_VIEW = 2400  # pixels: a page on a large screen, zoomed in twice
SMALL, LARGE = 60_000, 1_500_000  # bytes of either
NO_STORE = {"Cache-Control": "no-store"}


def written(job: Job, item: Item) -> str:
    """The file that the job wrote for this page. A page of another folder counts by its own folder."""
    if item.state != ItemState.COMPLETED:
        raise FileNotFoundError
    root = job.output
    if os.path.commonpath([item.output, root]) != root:
        root = str(Path(item.output).parent)
    return inside(root, item.output)


@dataclass(frozen=True)
class Original:
    """An image of a job's inputs or references: where it lies, and how to find it again in its archive."""

    job: Job
    path: str
    key: str
    sha256: str | None


def allowed(site: Site, path: str, *also: str | Path) -> str:
    """What `path` really is, a regular file below the roots or `also`. FileNotFoundError else."""
    real = os.path.realpath(path)
    if not site.roots.hold(real, *also) or not Path(real).is_file():
        raise FileNotFoundError(path)
    return real


def from_input(site: Site, source: Original) -> str:
    """The file of an input image; taken out of its archive where the job's own copy is gone. Whoever submitted
    the job has named its inputs and references: what lies below them may be shown, but no link out of them."""
    job, workspace = source.job, site.workspace
    named = [*job.inputs, *settings_of(job).get("reference_images", ())]
    own = [workspace.root / part for part in ("jobs", "uploads", jobs.PREVIEWS, "cache")]
    if Path(source.path).is_file():
        return allowed(site, source.path, *named, *own)
    for text in job.inputs:
        if Path(text).suffix.lower() not in BOOK_SUFFIXES or not Path(text).is_file():
            continue
        path, encoding = Path(allowed(site, text, *named, *own)), settings_of(job).get("name_encoding")
        with (
            workspace.scratch() as folder,
            open_book(path, folder=folder, name_encoding=encoding, run=in_worker()) as book,
        ):
            for member in book.members:
                if source.key != member.name and not source.key.endswith("/" + member.name):
                    continue
                suffix = Path(member.name).suffix.lower()
                target = workspace.folder("cache", "web") / f"{source.sha256}{suffix}"
                with SaveFile(target) as file:
                    digest = hashlib.sha256()
                    for chunk in book.stream(member):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() == source.sha256:
                    return str(target)
                target.unlink()
    # What was taken out of something else, a page of a TIFF of several: small, but this image.
    drawn = picture_of_source(workspace.folder("jobs", str(job.id), "thumbs"), source.sha256 or "")
    if drawn.is_file():
        return str(drawn)
    raise FileNotFoundError(source.path)


class TakenOut:
    """Finds files, and removes those at the end that were taken out of an archive into `folder` for this."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: list[Path] = []

    def __call__(self, source: Callable[[], str]) -> str:
        path = source()
        if Path(path).parent == self._folder:
            self._found.append(Path(path))
        return path

    def forget(self) -> None:
        for path in self._found:
            path.unlink(missing_ok=True)


PICKED = 1200  # pixels of the longest side of a reference to pick colours from


async def exact_picture(site: Site, source: Callable[[], str], sha256: str | None) -> Response:
    """A PNG of an image with pixels of its own, for picking colours."""
    cached = site.workspace.folder("cache", "web") / f"{sha256}-exact.png"
    if not cached.exists():
        found = TakenOut(cached.parent)
        await asyncio.wrap_future(site.pictures.exact(lambda: found(source), cached, PICKED))
        found.forget()
    return Response(
        cached.read_bytes(), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"}
    )


async def picture(
    site: Site, source: Callable[[], str], longest: int, *, known: str | None = None
) -> Response:
    """A WebP of an image, made once for each content. Pictures change only with their address."""
    cached = await run_in_threadpool(_cached, site, source, longest, known)
    if not cached.exists():
        limit = SMALL if longest == THUMBNAIL else LARGE
        found = TakenOut(cached.parent)
        # Not in a thread: many may wait for one picture, and the threads are for the others.
        await asyncio.wrap_future(site.pictures.shrunk(lambda: found(source), cached, longest, limit))
        found.forget()
    return Response(
        cached.read_bytes(), media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"}
    )


def _cached(site: Site, source: Callable[[], str], longest: int, known: str | None) -> Path:
    """Where the picture is kept, made or not."""
    folder = site.workspace.folder("cache", "web")
    if known:
        return folder / f"{known}-{longest}.webp"
    path = source()
    about = Path(path).stat()
    mark = f"{path}|{about.st_size}|{about.st_mtime_ns}|{about.st_ino}"
    return folder / (hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest() + f"-{longest}.webp")


def attachment(path: Path, name: str) -> Response:
    # RFC 6266: the plain name for what does not know the encoded one. Bytes that are no UTF-8 become U+FFFD.
    named = os.fsencode(name).decode("utf-8", "replace")
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in named)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(named, safe='')}"
    return stream(str(path), "application/octet-stream", {"Content-Disposition": disposition} | NO_STORE)


def stream(path: str, kind: str, headers: dict[str, str]) -> Response:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise FileNotFoundError(path)

    def chunks() -> Iterator[bytes]:
        with os.fdopen(handle, "rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk

    return StreamingResponse(
        chunks(), media_type=kind, headers=headers | {"Content-Length": str(about.st_size)}
    )
