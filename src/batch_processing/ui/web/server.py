"""The answers behind the page that Gradio does not give: data, pictures and files, below /lote/.

Promises: what is asked for is a typed wish (`wishes`), every path goes through `paths`, and nothing that came from
outside is decoded here (`pictures`). A file leaves only when it belongs to a job or a draft, lies below the roots
or where that job reads or writes, and is a regular file. A question that makes no sense is one sentence and 400, or
404. Who may ask at all is `access`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...colorize import ARCHIVES, beside
from ...core.status import JobNews
from ...core.workspace import Workspace
from ...exceptions import BatchProcessingError, ValidationError
from ...io.archives import Archive
from ...io.outputs import SaveFile
from ...io.scan import SUPPORTED_IMAGE_FORMATS
from .. import background
from ..console import safe
from . import jobs, photos, views, wishes
from .drafts import UPLOAD_LIMIT, UPLOAD_QUOTA, Draft, Drafts
from .paths import Roots, inside
from .pictures import Pictures
from .texts import Say, language_of, speak

if TYPE_CHECKING:
    import subprocess

    from ...core.ledger import Item, Job

# For files that a job wrote: shown as they are, run nothing.
SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
THUMBNAIL = 320  # pixels of the longest side, a card at twice the density of most screens
LARGEST_VIEW = 2400  # pixels: a page on a large screen, zoomed in twice
SMALL, LARGE = 60_000, 1_500_000  # bytes of either
LARGEST_ID = 2**63 - 1  # of a row of SQLite
ASSETS = Path(__file__).parent / "assets"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass
class Site:
    """What the answers need: the workspace, the folders that may be named, the drafts, the makers of pictures."""

    place: Workspace
    roots: Roots
    upload_limit: int = UPLOAD_LIMIT
    upload_quota: int = UPLOAD_QUOTA
    drafts: Drafts = field(init=False)
    pictures: Pictures = field(default_factory=Pictures)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    scan: subprocess.Popen[bytes] | None = None
    followers: dict[int, JobNews] = field(default_factory=dict)
    following: threading.Lock = field(default_factory=threading.Lock)
    # One after the other begins a job or a scan: what the second asks for may have been begun by the first.
    beginning: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.drafts = Drafts(self.place, self.roots, self.upload_quota)

    def watch(self, child: subprocess.Popen[bytes] | None) -> None:
        """Remember a process that was started, and bury those that have ended."""
        self.children = [old for old in self.children if old.poll() is None]
        if child is not None:
            self.children.append(child)


# -- answers ------------------------------------------------------------------------------------------

Handler = Callable[[Site, Request, Say], Any]


def routes(site: Site) -> list[Route]:
    """Everything below /lote/."""

    def route(path: str, handler: Handler, *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            say = speak(request.headers.get("accept-language", ""))
            if request.method != "GET" and request.headers.get("x-lote") != "1":
                return Response("Another site cannot write here.", 403)
            if any(isinstance(given, int) and given > LARGEST_ID for given in request.path_params.values()):
                return JSONResponse({"error": say("There is no such file.")}, 404, _NO_STORE)
            try:
                if asyncio.iscoroutinefunction(handler):
                    answer = await handler(site, request, say)
                else:
                    answer = await run_in_threadpool(handler, site, request, say)
            except BatchProcessingError as error:
                return JSONResponse({"error": say(str(error))}, 400, _NO_STORE)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return JSONResponse({"error": say("There is no such file.")}, 404, _NO_STORE)
            return answer if isinstance(answer, Response) else JSONResponse(answer, headers=_NO_STORE)

        return Route(f"/lote/{path}", endpoint, methods=list(methods) or ["GET"])

    return [
        route("assets/{name}", _asset),
        route("draft/{draft}", _draft),
        route("frame", _frame),
        route("draft/{draft}/page", _draft_page),
        route("draft/{draft}/do", _draft_do, "POST"),
        route("draft/{draft}/files", _upload, "PUT"),
        route("draft/{draft}/thumb/{index:int}", _draft_thumb),
        route("photos", _photos),
        route("photos/do", _photos_do, "POST"),
        route("photos/{photo:int}/thumb", _photo_thumb),
        route("jobs", _history),
        route("job/{job:int}", _job),
        route("job/{job:int}/preview", _preview),
        route("job/{job:int}/do", _job_do, "POST"),
        route("job/{job:int}/page/{item:int}", _viewer),
        route("job/{job:int}/page/{item:int}/file", _page_file),
        route("job/{job:int}/page/{item:int}/hints", _hints, "GET", "PUT"),
        route("job/{job:int}/page/{item:int}/{side}", _page_picture),
        route("job/{job:int}/download/{form}", _download),
        route("job/{job:int}/reference/{index:int}", _reference_picture),
        route("job/{job:int}/files/{path:path}", _output_file),
    ]


_NO_STORE = {"Cache-Control": "no-store"}


def _asset(site: Site, request: Request, say: Say) -> Response:
    path = ASSETS / request.path_params["name"]
    if path.suffix not in KINDS or path.name not in os.listdir(ASSETS):
        raise FileNotFoundError
    return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})


def _frame(site: Site, request: Request, say: Say) -> Any:
    formats = ",".join(sorted(SUPPORTED_IMAGE_FORMATS) + list(ARCHIVES))
    language = language_of(request.headers.get("accept-language", ""))
    words = {"lost": say("The page's server does not answer. Jobs go on; start lote ui again.")}
    return {
        "parts": views.frame(say, formats) | {"photos": photos.form(say)},
        "words": words,
        "language": language,
    }


# -- drafts


def _draft(site: Site, request: Request, say: Say) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    windows = {role: _number(request, role) for role in ("page", "reference")}
    version = f"{draft.version}/{windows}"
    if request.query_params.get("v") == version:
        return {"v": version, "busy": draft.busy}
    return {"v": version, "busy": draft.busy, "ready": bool(draft.gallery("page")) and not draft.busy} | {
        "parts": views.draft(say, draft, windows)
    }


def _draft_page(site: Site, request: Request, say: Say) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    return {"parts": {"form": views.page_form(say, draft, request.query_params.get("key", ""))}}


async def _draft_do(site: Site, request: Request, say: Say) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    wish = wishes.understood(await request.body(), wishes.DRAFT)
    language = language_of(request.headers.get("accept-language", ""))
    return await run_in_threadpool(_draft_wish, site, draft, wish, language)


def _draft_wish(site: Site, draft: Draft, wish: wishes.DraftWish, language: str) -> Any:
    match wish:
        case wishes.Add(path=path, recursive=recursive):
            path = site.roots.typed(path)
            if not os.path.lexists(path):
                raise ValidationError(f"{path} does not exist: check the path.")
            draft.add(path, recursive=recursive)
            draft.look()
        case wishes.Simple(do="look"):
            draft.look()
        case wishes.Simple(do="clear"):
            draft.clear()
        case wishes.Simple(do="sort"):
            draft.sort_by("order" if draft.sort == "confidence" else "confidence")
        case wishes.Simple(do=which):
            draft.tick_where(lambda _: which == "all")
        case wishes.Best(threshold=threshold):
            draft.tick_where(lambda picture: picture.confidence >= threshold)
        case wishes.Move(key=key):
            draft.move(key)
        case wishes.Tick(key=key, on=on):
            draft.tick(key, on=on)
        case wishes.PageSettings(key=key, values=values):
            draft.set_page(key, jobs.page_settings(values, draft))
        case wishes.Start(values=form):
            chapter = jobs.chapter(site.roots, form)
            with site.beginning:
                number, child = jobs.start(site.place, site.roots, draft, chapter, language)
            site.watch(child)
            return {"job": number}
        case wishes.Try(key=key, values=form):
            chapter = jobs.chapter(site.roots, form)
            with site.beginning:
                number, child = jobs.preview(site.place, site.roots, draft, key, chapter)
            site.watch(child)
            return {"preview": number}
    return {"ok": True}


async def _upload(site: Site, request: Request, say: Say) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    length = request.headers.get("content-length")
    if length is not None and not length.isdecimal():
        raise ValidationError("The upload was broken off.")
    if length is not None and (len(length) > 18 or int(length) > site.upload_limit):
        raise ValidationError(f"The file is larger than {site.upload_limit} bytes, the limit of an upload.")

    async def parts() -> AsyncIterator[bytes]:
        try:
            async for chunk in request.stream():
                yield chunk
        except ClientDisconnect as error:
            raise ValidationError("The upload was broken off.") from error

    await draft.receive(request.query_params.get("name", ""), parts(), site.upload_limit)
    return {"ok": True}


async def _draft_thumb(site: Site, request: Request, say: Say) -> Response:
    draft = site.drafts.get(request.path_params["draft"])
    try:
        picture = draft.pictures[request.path_params["index"]]
    except IndexError:
        raise FileNotFoundError from None
    if picture.facts is None or picture.error is not None:
        raise FileNotFoundError  # a worker looks at it first, or could not
    return await _picture(site, lambda: _allowed(site, picture.source.path, draft.folder), THUMBNAIL)


# -- jobs


def _history(site: Site, request: Request, say: Say) -> Any:
    return {"parts": {"history": views.history(say, site.place)}}


def _job(site: Site, request: Request, say: Say) -> Any:
    ledger = site.place.ledger
    number = request.path_params["job"]
    site.watch(None)
    snapshot = _news(site, number).snapshot()
    show = request.query_params.get("show", "all")
    start = _number(request, "from")
    version = "|".join(
        map(
            str, (ledger.last_event(number), snapshot.job.state, sorted(snapshot.counts.items()), show, start)
        )
    )
    parts = views.job_head(say, snapshot)
    if request.query_params.get("v") != version:
        parts |= views.job_body(say, ledger, snapshot, show, start)
    return {"v": version, "parts": parts, "ended": snapshot.job.ended, "state": snapshot.job.state}


def _news(site: Site, number: int) -> JobNews:
    """The rate needs the times of the last pages: one follower for each job that somebody looks at."""
    with site.following:
        if number not in site.followers:
            if len(site.followers) > 50:
                site.followers.clear()
            site.followers[number] = JobNews(site.place.ledger, number)
        site.followers[number].events()
        return site.followers[number]


def _preview(site: Site, request: Request, say: Say) -> Any:
    snapshot = JobNews(site.place.ledger, request.path_params["job"]).snapshot()
    site.watch(None)
    key = Path(snapshot.job.inputs[0]).name
    draft = site.drafts.get(request.query_params.get("draft", ""))
    key = next((p.key for p in draft.pictures if p.source.path == snapshot.job.inputs[0]), key)
    return {
        "parts": {"preview": views.preview(say, site.place, snapshot, key)},
        "ended": snapshot.job.ended,
    }


async def _job_do(site: Site, request: Request, say: Say) -> Any:
    wish = wishes.understood(await request.body(), wishes.JOB)
    return await run_in_threadpool(_job_wish, site, request.path_params["job"], wish)


def _job_wish(site: Site, number: int, wish: wishes.JobWish) -> Any:
    place = site.place
    match wish:
        case wishes.Control(do="pause"):
            background.pause(place, number)
        case wishes.Control(do="cancel"):
            background.cancel(place, number)
        case wishes.Control():
            with site.beginning:
                site.watch(background.resume(place, number))
        case wishes.Retry(key=key):
            with site.beginning:
                site.watch(background.retry(place, number, [key] if key else None)[1])
        case wishes.Approve(key=key, on=on):
            place.ledger.approve(number, key, approved=on)
        case wishes.Redo(key=key, values=values):
            with site.beginning:
                site.watch(jobs.redo(place, number, key, values))
    return {"ok": True}


def _item(site: Site, request: Request) -> tuple[Job, Item]:
    job = site.place.ledger.job(request.path_params["job"])
    item = site.place.ledger.item_of(job.id, request.path_params["item"])
    if item is None:
        raise FileNotFoundError
    return job, item


def _viewer(site: Site, request: Request, say: Say) -> Any:
    job, item = _item(site, request)
    return {"parts": {"viewer": views.viewer(say, site.place, job, item)}, "key": safe(item.key)}


async def _page_picture(site: Site, request: Request, say: Say) -> Response:
    job, item = await run_in_threadpool(_item, site, request)
    width = THUMBNAIL if request.query_params.get("w") == "thumb" else LARGEST_VIEW
    if request.path_params["side"] == "after":
        return await _picture(site, lambda: _written(job, item), width)
    if request.path_params["side"] != "before":
        raise FileNotFoundError
    source = Original(job, item.work["source"], item.key, item.input_hash)
    return await _picture(site, lambda: _from_input(site, source), width, known=item.input_hash)


def _reference(site: Site, request: Request) -> Original:
    number = request.path_params["job"]
    try:
        source = jobs.references(site.place, number)[request.path_params["index"]]
    except IndexError:
        raise FileNotFoundError from None
    return Original(site.place.ledger.job(number), source.path, source.key, source.sha256)


async def _reference_picture(site: Site, request: Request, say: Say) -> Response:
    source = await run_in_threadpool(_reference, site, request)
    return await _picture(site, lambda: _from_input(site, source), 640, known=source.sha256)


def _page_file(site: Site, request: Request, say: Say) -> Response:
    job, item = _item(site, request)
    return _attachment(Path(_written(job, item)), Path(item.output).name)


def _output_file(site: Site, request: Request, say: Say) -> Response:
    """A file in the job's output folder, or in the folder beside its archive: the report's neighbours."""
    job = site.place.ledger.job(request.path_params["job"])
    root = str(beside(site.place.ledger, job))
    path = inside(root, os.path.join(root, request.path_params["path"]))  # noqa: PTH118
    kind = "text/html; charset=utf-8" if path.endswith(".html") else None
    headers = {"Content-Security-Policy": SANDBOX} | _NO_STORE
    if kind is None and Path(path).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif"):
        kind = "image/" + Path(path).suffix.lower().lstrip(".").replace("jpg", "jpeg")
    return _stream(path, kind or "application/octet-stream", headers)


def _hints_get(site: Site, request: Request) -> Response:
    job, item = _item(site, request)
    path = jobs.hints_file(site.place, job, item)
    if not path.is_file():
        return Response(status_code=204, headers=_NO_STORE)  # none drawn yet
    return Response(path.read_bytes(), media_type="image/png", headers=_NO_STORE)


async def _hints(site: Site, request: Request, say: Say) -> Any:
    if request.method == "GET":
        return await run_in_threadpool(_hints_get, site, request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > jobs.HINTS_LIMIT:
            raise ValidationError("The hints are too large.")
    job, item = await run_in_threadpool(_item, site, request)
    child = await run_in_threadpool(jobs.hint, site.place, site.pictures, job, item, bytes(body))
    site.watch(child)
    return {"ok": True}


def _download(site: Site, request: Request, say: Say) -> Response:
    job = site.place.ledger.job(request.path_params["job"])
    form = request.path_params["form"]
    if form == "report":
        path, name = jobs.report(site.place, job)
        return _attachment(Path(path), name)
    if form == "layers":
        return _attachment(jobs.layered(site.place, job), f"{Path(job.output).stem}-layers.zip")
    if form not in ("zip", "cbz"):
        raise FileNotFoundError
    archive = Path(job.output)
    name = f"{archive.stem if archive.suffix else archive.name}.{form}"
    if archive.suffix.lower() in (".zip", ".cbz") and archive.is_file():
        return _attachment(Path(inside(str(archive.parent), str(archive))), name)
    return _attachment(jobs.bundle(site.place, job), name)


# -- photos


def _photos(site: Site, request: Request, say: Say) -> Any:
    site.watch(None)
    parts, running = photos.tab(say, site.place, _number(request, "from"))
    return {"parts": parts, "running": running}


async def _photos_do(site: Site, request: Request, say: Say) -> Any:
    wish = wishes.understood(await request.body(), wishes.PHOTOS)
    await run_in_threadpool(_photos_wish, site, wish)
    return {"ok": True}


def _photos_wish(site: Site, wish: wishes.PhotosWish) -> None:
    if isinstance(wish, wishes.Stop):
        photos.stop(site.place)
        return
    folder = site.roots.typed(wish.path)
    with site.beginning:
        site.scan = photos.scan(site.place, folder, site.scan)


async def _photo_thumb(site: Site, request: Request, say: Say) -> Response:
    number = request.path_params["photo"]
    return await _picture(site, lambda: site.roots.below(photos.path_of(site.place, number)), THUMBNAIL)


# -- files --------------------------------------------------------------------------------------------


def _written(job: Job, item: Item) -> str:
    """The file that the job wrote for this page. A page of another folder counts by its own folder."""
    if item.state != "completed":
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


def _allowed(site: Site, path: str, *also: str | Path) -> str:
    """What `path` really is, a regular file below the roots or `also`. FileNotFoundError else."""
    real = os.path.realpath(path)
    if not site.roots.hold(real, *also) or not Path(real).is_file():
        raise FileNotFoundError(path)
    return real


def _from_input(site: Site, source: Original) -> str:
    """The file of an input image; taken out of its archive where the job's own copy is gone. Whoever submitted
    the job has named its inputs and references: what lies below them may be shown, but no link out of them."""
    job, place = source.job, site.place
    named = [*job.inputs, *job.config["settings"].get("reference_images", ())]
    own = [place.root / part for part in ("jobs", "uploads", jobs.PREVIEWS, "cache")]
    if Path(source.path).is_file():
        return _allowed(site, source.path, *named, *own)
    for text in job.inputs:
        if Path(text).suffix.lower() not in ARCHIVES or not Path(text).is_file():
            continue
        with Archive(Path(_allowed(site, text, *named, *own))) as archive:
            for member in archive.members:
                if source.key != member.name and not source.key.endswith("/" + member.name):
                    continue
                suffix = Path(member.name).suffix.lower()
                target = place.folder("cache", "web") / f"{source.sha256}{suffix}"
                with SaveFile(target) as file:
                    digest = hashlib.sha256()
                    for chunk in archive.stream(member):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() == source.sha256:
                    return str(target)
                target.unlink()
    raise FileNotFoundError(source.path)


async def _picture(
    site: Site, source: Callable[[], str], longest: int, *, known: str | None = None
) -> Response:
    """A WebP of an image, made once for each content. Pictures change only with their address."""
    cached = await run_in_threadpool(_cached, site, source, longest, known)
    if not cached.exists():
        limit = SMALL if longest == THUMBNAIL else LARGE
        taken_out: list[Path] = []

        def found() -> str:
            path = source()
            if Path(path).parent == cached.parent:
                taken_out.append(Path(path))
            return path

        # Not in a thread: many may wait for one picture, and the threads are for the others.
        await asyncio.wrap_future(site.pictures.shrunk(found, cached, longest, limit))
        for path in taken_out:
            path.unlink(missing_ok=True)
    return Response(
        cached.read_bytes(), media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"}
    )


def _cached(site: Site, source: Callable[[], str], longest: int, known: str | None) -> Path:
    """Where the picture is kept, made or not."""
    folder = site.place.folder("cache", "web")
    if known:
        return folder / f"{known}-{longest}.webp"
    path = source()
    about = Path(path).stat()
    mark = f"{path}|{about.st_size}|{about.st_mtime_ns}|{about.st_ino}"
    return folder / (hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest() + f"-{longest}.webp")


def _attachment(path: Path, name: str) -> Response:
    # RFC 6266: the plain name for what does not know the encoded one. Bytes that are no UTF-8 become U+FFFD.
    named = os.fsencode(name).decode("utf-8", "replace")
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in named)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(named, safe='')}"
    return _stream(str(path), "application/octet-stream", {"Content-Disposition": disposition} | _NO_STORE)


def _stream(path: str, kind: str, headers: dict[str, str]) -> Response:
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


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
