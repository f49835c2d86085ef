"""The web server behind the page: who may ask for what, and the answers that Gradio does not give.

Promises: without a password nobody but this machine is answered; a name that rebinding DNS could have
made is refused in the Host header; another site cannot write through a person's browser; of Gradio's own
paths only those that the page needs exist; a file leaves only when it belongs to a job or a draft, is no
link and lies where that job wrote it. Refuses everything else with 404. Does not encrypt: put a proxy with
TLS in front of another host.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import os
import re
import secrets
import socket
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
from ...io.images import thumbnail
from ...io.outputs import SaveFile
from ...io.scan import SUPPORTED_IMAGE_FORMATS
from .. import background
from . import LOOPBACK, jobs, photos, views
from .drafts import BEST, UPLOAD_LIMIT, Drafts
from .texts import Say, language_of, speak

if TYPE_CHECKING:
    import subprocess

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ...core.ledger import Item, Job

# What Gradio's client asks for. Its file, upload, proxy, stream, monitoring and editing doors stay shut.
GRADIO = re.compile(
    r"/|/config/?|/theme\.css|/(static|assets|svelte)/.*|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?"
    r"|/gradio_api/(app_id|startup-events|queue/(join|data|status)|run/predict|heartbeat/[\w-]+|reset|cancel)/?"
)
# Nothing that the page shows or runs comes from another machine. Gradio's templates need eval and inline code.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# For files that a job wrote: shown as they are, run nothing.
SANDBOX = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"
THUMBNAIL = 320  # pixels of the longest side, a card at twice the density of most screens
LARGEST_VIEW = 2400  # pixels: a page on a large screen, zoomed in twice
ASSETS = Path(__file__).parent / "assets"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass
class Site:
    """What the answers need: the workspace, the folders that may be named, the drafts."""

    place: Workspace
    roots: list[str]
    upload_limit: int = UPLOAD_LIMIT
    drafts: Drafts = field(init=False)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    # Decoding takes memory: few at a time, whatever a browser asks for.
    decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))
    followers: dict[int, JobNews] = field(default_factory=dict)
    following: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.drafts = Drafts(self.place)

    def watch(self, child: subprocess.Popen[bytes] | None) -> None:
        """Remember a process that was started, and bury those that have ended."""
        self.children = [old for old in self.children if old.poll() is None]
        if child is not None:
            self.children.append(child)

    def allowed(self, text: str) -> str:
        """A typed path, absolute, if it lies below the roots after following links."""
        if not text.strip() or "\0" in text:
            raise ValidationError("Type the path of a folder, an archive or an image.")
        path = os.path.abspath(Path(text.strip()).expanduser())  # noqa: PTH100 - the user's own links
        real = os.path.realpath(path)
        for root in self.roots:
            if os.path.commonpath([real, root]) == root:
                return path
        raise ValidationError(
            f"{path} lies outside of the folders that this page may use: start lote ui with --root."
        )


# -- the door -----------------------------------------------------------------------------------------


class Guard:
    """Lets through what may come in; see the module's text."""

    def __init__(self, app: ASGIApp, *, host: str, auth: str | None) -> None:
        self._app = app
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._local = host in LOOPBACK
        self._auth = base64.b64encode(auth.encode()).decode() if auth else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here
        request = Request(scope)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                known = {name.lower() for name, _ in headers}
                for name, value in (
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-frame-options", b"DENY"),
                ):
                    if name not in known:
                        headers.append((name, value))
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._known(_hostname(host)):
            return Response("This page does not answer to that name.", 421)
        if self._auth is not None and not self._authorised(request):
            headers = {"WWW-Authenticate": 'Basic realm="Lote", charset="UTF-8"'}
            return Response("A name and a password are needed.", 401, headers)
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("origin")
            if origin is not None and origin.partition("://")[2] != host:
                return Response("Another site cannot write here.", 403)
        path = request.scope["path"]
        raw = request.scope.get("raw_path", b"").lower()
        odd = ".." in path.split("/") or "\\" in path or "\0" in path or b"%2f" in raw or b"%5c" in raw
        if odd or not (path.startswith("/lote/") or GRADIO.fullmatch(path)):
            return Response("Not found.", 404)
        return None

    def _known(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback if self._local else True  # a number cannot be bound anew, a name can

    def _authorised(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "basic" and secrets.compare_digest(
            given.strip().encode(), (self._auth or "").encode()
        )


def _hostname(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


# -- answers ------------------------------------------------------------------------------------------

Handler = Callable[[Site, Request, Say], Any]


def routes(site: Site) -> list[Route]:
    """Everything below /lote/."""

    def route(path: str, handler: Handler, *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            say = speak(request.headers.get("accept-language", ""))
            if request.method != "GET" and request.headers.get("x-lote") != "1":
                return Response("Another site cannot write here.", 403)
            try:
                if asyncio.iscoroutinefunction(handler):
                    answer = await handler(site, request, say)
                else:
                    answer = await run_in_threadpool(handler, site, request, say)
            except BatchProcessingError as error:
                return JSONResponse({"error": say(str(error))}, 400, _NO_STORE)
            except FileNotFoundError:
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
    wish = await request.json()
    key = str(wish.get("key", ""))
    what = wish.get("do")
    if what == "add":
        path = site.allowed(str(wish.get("path", "")))
        if not os.path.lexists(path):
            raise ValidationError(f"{path} does not exist: check the path.")
        draft.add(path, recursive=bool(wish.get("recursive")))
        draft.look()
    elif what == "look":
        draft.look()
    elif what == "clear":
        draft.clear()
    elif what == "move":
        draft.move(key)
    elif what == "tick":
        draft.tick(key, on=bool(wish.get("on")))
    elif what in ("all", "none"):
        draft.tick_where(lambda _: what == "all")
    elif what == "best":
        threshold = float(wish.get("threshold", BEST))
        draft.tick_where(lambda picture: picture.confidence >= threshold)
    elif what == "sort":
        draft.sort_by("order" if draft.sort == "confidence" else "confidence")
    elif what == "page":
        draft.set_page(key, jobs.page_settings(wish.get("values", {}), draft))
    else:
        raise ValidationError("This button is unknown.")
    return {"ok": True}


async def _upload(site: Site, request: Request, say: Say) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    length = request.headers.get("content-length")
    if length is not None and int(length) > site.upload_limit:
        raise ValidationError(f"The file is larger than {site.upload_limit} bytes, the limit of an upload.")

    async def parts() -> AsyncIterator[bytes]:
        try:
            async for chunk in request.stream():
                yield chunk
        except ClientDisconnect as error:
            raise ValidationError("The upload was broken off.") from error

    await draft.receive(request.query_params.get("name", ""), parts(), site.upload_limit)
    return {"ok": True}


def _draft_thumb(site: Site, request: Request, say: Say) -> Response:
    draft = site.drafts.get(request.path_params["draft"])
    try:
        source = draft.pictures[request.path_params["index"]].source
    except IndexError:
        raise FileNotFoundError from None
    return _picture(site, source.path, THUMBNAIL)


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
    wish = await request.json()
    return await run_in_threadpool(_job_wish, site, request.path_params["job"], wish)


def _job_wish(site: Site, number: int, wish: dict[str, Any]) -> Any:
    place, what, key = site.place, wish.get("do"), wish.get("key")
    if what == "pause":
        background.pause(place, number)
    elif what == "resume":
        site.watch(background.resume(place, number))
    elif what == "cancel":
        background.cancel(place, number)
    elif what == "retry":
        site.watch(background.retry(place, number, [str(key)] if key else None)[1])
    elif what == "approve":
        place.ledger.approve(number, str(key), approved=bool(wish.get("on", True)))
    elif what == "redo":
        site.watch(jobs.redo(place, number, str(key), wish.get("values") or {}))
    else:
        raise ValidationError("This button is unknown.")
    return {"ok": True}


def _item(site: Site, request: Request) -> tuple[Job, Item]:
    job = site.place.ledger.job(request.path_params["job"])
    item = site.place.ledger.item_of(job.id, request.path_params["item"])
    if item is None:
        raise FileNotFoundError
    return job, item


def _viewer(site: Site, request: Request, say: Say) -> Any:
    job, item = _item(site, request)
    return {"parts": {"viewer": views.viewer(say, site.place, job, item)}, "key": item.key}


def _page_picture(site: Site, request: Request, say: Say) -> Response:
    job, item = _item(site, request)
    width = THUMBNAIL if request.query_params.get("w") == "thumb" else LARGEST_VIEW
    if request.path_params["side"] == "after":
        return _picture(site, _written(job, item), width)
    if request.path_params["side"] != "before":
        raise FileNotFoundError
    return _picture(site, _original(site, job, item), width, known=item.input_hash)


def _reference_picture(site: Site, request: Request, say: Say) -> Response:
    references = jobs.references(site.place, request.path_params["job"])
    try:
        source = references[request.path_params["index"]]
    except IndexError:
        raise FileNotFoundError from None
    job = site.place.ledger.job(request.path_params["job"])
    return _picture(site, lambda: _from_input(site, job, source.path, source.key, source.sha256), 640,
                    known=source.sha256)  # fmt: skip


def _page_file(site: Site, request: Request, say: Say) -> Response:
    job, item = _item(site, request)
    return _attachment(Path(_written(job, item)), Path(item.output).name)


def _output_file(site: Site, request: Request, say: Say) -> Response:
    """A file in the job's output folder, or in the folder beside its archive: the report's neighbours."""
    job = site.place.ledger.job(request.path_params["job"])
    root = str(beside(site.place.ledger, job))
    path = _inside(root, os.path.join(root, request.path_params["path"]))  # noqa: PTH118
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
    child = await run_in_threadpool(jobs.hint, site.place, job, item, bytes(body))
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
        return _attachment(Path(_inside(str(archive.parent), str(archive))), name)
    return _attachment(jobs.bundle(site.place, job), name)


# -- photos


def _photos(site: Site, request: Request, say: Say) -> Any:
    site.watch(None)
    parts, running = photos.tab(say, site.place, _number(request, "from"))
    return {"parts": parts, "running": running}


async def _photos_do(site: Site, request: Request, say: Say) -> Any:
    wish = await request.json()
    if wish.get("do") == "stop":
        photos.stop(site.place)
    else:
        site.watch(photos.scan(site.place, site.allowed(str(wish.get("path", "")))))
    return {"ok": True}


def _photo_thumb(site: Site, request: Request, say: Say) -> Response:
    return _picture(site, site.allowed(photos.path_of(site.place, request.path_params["photo"])), THUMBNAIL)


# -- files --------------------------------------------------------------------------------------------


def _inside(root: str, path: str) -> str:
    """`path` if it is a regular file below `root` that is reached over no link. FileNotFoundError else.

    `root` itself may be reached over links: those are the user's own."""
    base = Path(root).resolve()
    wanted = base / os.path.relpath(path, root)
    real = wanted.resolve()
    if real != wanted or not real.is_relative_to(base) or not stat.S_ISREG(real.lstat().st_mode):
        raise FileNotFoundError(path)
    return str(real)


def _written(job: Job, item: Item) -> str:
    """The file that the job wrote for this page. A page of another folder counts by its own folder."""
    if item.state != "completed":
        raise FileNotFoundError
    root = job.output
    if os.path.commonpath([item.output, root]) != root:
        root = str(Path(item.output).parent)
    return _inside(root, item.output)


def _original(site: Site, job: Job, item: Item) -> Callable[[], str]:
    return lambda: _from_input(site, job, item.work["source"], item.key, item.input_hash)


def _from_input(site: Site, job: Job, path: str, key: str, sha256: str | None) -> str:
    """The file of an input image; taken out of its archive where the job's own copy is gone."""
    if Path(path).is_file():
        return path
    for text in job.inputs:
        if Path(text).suffix.lower() not in (".zip", ".cbz") or not Path(text).is_file():
            continue
        with Archive(Path(text)) as archive:
            for member in archive.members:
                if key != member.name and not key.endswith("/" + member.name):
                    continue
                target = site.place.folder("cache", "web") / f"{sha256}{Path(member.name).suffix.lower()}"
                with SaveFile(target) as file:
                    digest = hashlib.sha256()
                    for chunk in archive.stream(member):
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() == sha256:
                    return str(target)
                target.unlink()
    raise FileNotFoundError(path)


def _picture(
    site: Site, source: str | Callable[[], str], longest: int, *, known: str | None = None
) -> Response:
    """A WebP of an image, made once for each content. Pictures change only with their address."""
    cached: Path | None = None
    if known:
        cached = site.place.folder("cache", "web") / f"{known}-{longest}.webp"
    if cached is None or not cached.exists():
        path = source if isinstance(source, str) else source()
        if cached is None:
            about = Path(path).stat()
            mark = f"{path}|{about.st_size}|{about.st_mtime_ns}|{about.st_ino}"
            cached = site.place.folder("cache", "web") / (
                hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest() + f"-{longest}.webp"
            )
        if not cached.exists():
            with site.decoding:
                data = thumbnail(Path(path), longest, 60_000 if longest == THUMBNAIL else 1_500_000)
            with SaveFile(cached) as file:
                file.write(data)
        if path.startswith(str(site.place.root / "cache" / "web")) and path != str(cached):
            Path(path).unlink(missing_ok=True)
    return Response(
        cached.read_bytes(), media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"}
    )


def _attachment(path: Path, name: str) -> Response:
    disposition = f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
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
