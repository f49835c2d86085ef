"""The answers behind the page that Gradio does not give: data, pictures and files, below /lote/.

Promises: what is asked for is a typed wish (`wishes`), every path goes through `paths`, and nothing that came from
outside is decoded here (`pictures`). A file leaves only when it belongs to a job or a draft, lies below the roots
or where that job reads or writes, and is a regular file. A question that makes no sense is one sentence and 400, or
404. Who may ask at all is `access`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...colorize import beside
from ...comics.model import work_of
from ...comics.report import COMPARE
from ...core.model import ItemState
from ...core.status import JobNews
from ...exceptions import BatchProcessingError, QueueError, ValidationError
from ...formatting import safe
from ...io.kinds import BOOK_SUFFIXES
from ...io.scan import SUPPORTED_IMAGE_FORMATS
from .. import background
from . import choosing, editor, editor_book, jobs, library, people, photos, similar, views, wishes
from .drafts import Draft
from .files import (
    LARGEST_VIEW,
    NO_STORE,
    THUMBNAIL,
    Original,
    allowed,
    attachment,
    exact_picture,
    from_input,
    picture,
    stream,
    written,
)
from .paths import inside
from .site import Site
from .speech import Speech

if TYPE_CHECKING:
    from ...core.model import Item, Job

# For files that a job wrote: shown as they are, run nothing.
SANDBOX = (
    "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
LARGEST_ID = 2**63 - 1  # of a row of SQLite
STATIC = Path(__file__).parent / "static"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


# -- answers ------------------------------------------------------------------------------------------

Handler = Callable[[Site, Request, Speech], Any]


def routes(site: Site) -> list[Route]:
    """Everything below /lote/."""

    def route(path: str, handler: Handler, *methods: str, below: str = "/lote/") -> Route:
        async def endpoint(request: Request) -> Response:
            speech = Speech.of(request.headers.get("accept-language", ""))
            if request.method != "GET" and request.headers.get("x-lote") != "1":
                return Response("Another site cannot write here.", 403)
            if any(isinstance(given, int) and given > LARGEST_ID for given in request.path_params.values()):
                return JSONResponse({"error": speech.say("There is no such file.")}, 404, NO_STORE)
            try:
                if (number := request.path_params.get("job")) is not None:
                    await run_in_threadpool(_only_comics, site, number)
                if asyncio.iscoroutinefunction(handler):
                    answer = await handler(site, request, speech)
                else:
                    answer = await run_in_threadpool(handler, site, request, speech)
            except BatchProcessingError as error:
                return JSONResponse({"error": speech.say(error.sentence)}, 400, NO_STORE)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return JSONResponse({"error": speech.say("There is no such file.")}, 404, NO_STORE)
            return answer if isinstance(answer, Response) else JSONResponse(answer, headers=NO_STORE)

        return Route(below + path, endpoint, methods=list(methods) or ["GET"])

    return [
        route("assets/{name}", _asset),
        route("folders", _folders),
        route("draft/{draft}", _draft),
        route("frame", _frame),
        route("draft/{draft}/page", _draft_page),
        route("draft/{draft}/do", _draft_do, "POST"),
        route("draft/{draft}/files", _upload, "PUT"),
        route("draft/{draft}/thumb/{index:int}", _draft_thumb),
        route("photos", _photos),
        route("photos/do", _photos_do, "POST"),
        route("photos/{photo:int}/thumb", _photo_thumb),
        route("library", library.window, below="/"),
        route("library/left-out", library.left_out, below="/"),
        route("library/index", library.index),
        route("library/beside", library.beside),
        route("library/photos", library.photos),
        route("library/photo/{photo:int}", library.photo),
        route("library/photo/{photo:int}/preview", library.preview),
        route("library/photo/{photo:int}/large", library.large),
        route("library/news", library.news),
        route("library/do", library.do, "POST"),
        route("library/left-out", library.left_paths),
        route("library/similar", similar.window, below="/"),
        route("library/copies", similar.copies),
        route("library/similar", similar.found),
        route("library/group", similar.group),
        route("library/similar/do", similar.do, "POST"),
        route("library/cleaning", similar.cleaning),
        route("library/people", people.window, below="/"),
        route("library/people", people.everybody),
        route("library/person/{person:int}", people.person),
        route("library/ignored", people.ignored),
        route("library/face/{face:int}/crop", people.crop),
        route("library/people/do", people.do, "POST"),
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
        route("edit/{job:int}", editor.window, below="/"),
        route("edit/{job:int}/{page:int}", editor.window, below="/"),
        route("edit/{job:int}", editor.book),
        route("edit/{job:int}/palette", editor_book.colors),
        route("edit/{job:int}/palette.json", editor_book.palette_file),
        route("edit/{job:int}/review", editor_book.review),
        route("edit/{job:int}/lesson", editor_book.lesson),
        route("edit/{job:int}/crop/{item:int}", editor_book.crop),
        route("edit/{job:int}/do", editor.do, "POST"),
        route("edit/{job:int}/page/{item:int}", editor.page),
        route("edit/{job:int}/news/{item:int}", editor.news),
        route("edit/{job:int}/sheet/{item:int}", editor.sheet),
        route("edit/{job:int}/labels/{item:int}", editor.labels),
        route("edit/{job:int}/picture/{number:int}", editor.passed_through),
    ]


def _asset(site: Site, request: Request, speech: Speech) -> Response:
    path = STATIC / request.path_params["name"]
    if path.name == COMPARE.name:
        path = COMPARE
    elif path.suffix not in KINDS or path.name not in os.listdir(STATIC):
        raise FileNotFoundError
    # Scripts and styles belong together; a sign that is an hour old is still that sign, and is asked for at each use.
    kept = "private, max-age=3600" if path.suffix == ".svg" else "no-cache"
    return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers={"Cache-Control": kept})


def _frame(site: Site, request: Request, speech: Speech) -> Any:
    formats = ",".join(sorted(SUPPORTED_IMAGE_FORMATS) + sorted(BOOK_SUFFIXES))
    words = {
        "lost": speech.say("The page's server does not answer. Jobs go on; start lote ui again."),
        "sure": speech.say("Sure? Press again"),
        "finished": speech.say("{name} is finished"),
        "failed": speech.say("{name} has ended, and not all of its pages are finished"),
        "cancelled": speech.say("{name} is cancelled"),
    }
    return {"parts": views.frame(speech, formats), "words": words, "language": speech.language}


# -- drafts


def _folders(site: Site, request: Request, speech: Speech) -> Any:
    found = choosing.listed(site.roots, request.query_params.get("path", ""))
    return {"parts": {"folders": speech.html("folders", folder=found)}}


def _draft(site: Site, request: Request, speech: Speech) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    windows = {role: _number(request, role) for role in ("page", "reference")}
    version = f"{draft.version}/{windows}"
    if request.query_params.get("v") == version:
        return {"v": version, "busy": draft.busy}
    return {"v": version, "busy": draft.busy} | {
        "missing": views.missing(speech, draft),
        "parts": views.draft(speech, draft, windows),
    }


def _draft_page(site: Site, request: Request, speech: Speech) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    return {"parts": {"form": views.page_form(speech, draft, request.query_params.get("key", ""))}}


async def _draft_do(site: Site, request: Request, speech: Speech) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    wish = wishes.understood(await request.body(), wishes.DRAFT)
    return await run_in_threadpool(_draft_wish, site, draft, wish, speech.language)


def _draft_wish(site: Site, draft: Draft, wish: wishes.DraftWish, language: str) -> Any:
    match wish:
        case wishes.Add(path=path, recursive=recursive):
            path = site.roots.typed(path)
            if not os.path.lexists(path):
                raise ValidationError("{path} does not exist: check the path.", path=path)
            draft.add(path, recursive=recursive)
            draft.look()
        case wishes.Simple(do="look"):
            draft.look()
        case wishes.Simple(do="sample"):
            draft.take_sample()
            draft.look()
        case wishes.Simple(do="clear"):
            draft.clear()
        case wishes.Simple(do="sort"):
            draft.sort_by("order" if draft.sort == "confidence" else "confidence")
        case wishes.Simple(do=which):
            draft.tick_where(lambda _: which == "all")
        case wishes.Best(threshold=threshold):
            draft.tick_where(lambda picture: picture.confidence >= threshold)
        case wishes.Move(keys=keys):
            draft.move(keys)
        case wishes.Tick(key=key, on=on):
            draft.tick(key, on=on)
        case wishes.PageSettings(key=key, values=values):
            draft.set_page(key, jobs.page_settings(values, draft))
        case wishes.Start(values=form):
            chapter = jobs.chapter(site.roots, form)
            with site.beginning:
                number, child = jobs.start(site.workspace, site.roots, draft, chapter, language)
            site.watch(child)
            return {"job": number}
        case wishes.Try(key=key, values=form):
            chapter = jobs.chapter(site.roots, form)
            with site.beginning:
                number, child = jobs.preview(site.workspace, site.roots, draft, key, chapter)
            site.watch(child)
            return {"preview": number, "edit": jobs.editor_of(site.workspace, number)}
    return {"ok": True}


async def _upload(site: Site, request: Request, speech: Speech) -> Any:
    draft = site.drafts.get(request.path_params["draft"])
    length = request.headers.get("content-length")
    if length is not None and not length.isdecimal():
        raise ValidationError("The upload was broken off.")
    if length is not None and (len(length) > 18 or int(length) > site.upload_limit):
        raise ValidationError(
            "The file is larger than {upload_limit} bytes, the limit of an upload.",
            upload_limit=site.upload_limit,
        )

    async def parts() -> AsyncIterator[bytes]:
        try:
            async for chunk in request.stream():
                yield chunk
        except ClientDisconnect as error:
            raise ValidationError("The upload was broken off.") from error

    await draft.receive(request.query_params.get("name", ""), parts(), site.upload_limit)
    return {"ok": True}


async def _draft_thumb(site: Site, request: Request, speech: Speech) -> Response:
    draft = site.drafts.get(request.path_params["draft"])
    try:
        shown = draft.pictures[request.path_params["index"]]
    except IndexError:
        raise FileNotFoundError from None
    if shown.facts is None or shown.error is not None:
        raise FileNotFoundError  # a worker looks at it first, or could not
    width = LARGEST_VIEW if request.query_params.get("w") == "large" else THUMBNAIL
    return await picture(site, lambda: allowed(site, shown.source.path, draft.folder), width)


# -- jobs


def _history(site: Site, request: Request, speech: Speech) -> Any:
    return {"parts": {"history": views.history(speech, site.workspace)}}


def _job(site: Site, request: Request, speech: Speech) -> Any:
    ledger = site.workspace.ledger
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
    parts = views.job_head(speech, ledger, snapshot)
    if request.query_params.get("v") != version:
        parts |= views.job_body(speech, ledger, snapshot, show, start)
    done = snapshot.counts[ItemState.COMPLETED] + snapshot.counts[ItemState.FAILED]
    return {"v": version, "parts": parts, "ended": snapshot.job.ended, "state": snapshot.job.state} | {
        "name": safe(Path(snapshot.job.inputs[0]).name),
        "done": done,
        "failed": snapshot.counts[ItemState.FAILED],
        "total": snapshot.total,
    }


def _only_comics(site: Site, job_id: int) -> None:
    if site.workspace.ledger.job(job_id).kind != "comics":
        raise QueueError("Job {job} is a scan of photos: the tab of photos shows it.", job=job_id)


def _news(site: Site, job_id: int) -> JobNews:
    """The rate needs the times of the last pages: one follower for each job that somebody looks at."""
    with site.following:
        if job_id not in site.followers:
            if len(site.followers) > 50:
                site.followers.clear()
            site.followers[job_id] = JobNews(site.workspace.ledger, job_id)
        site.followers[job_id].events()
        return site.followers[job_id]


def _preview(site: Site, request: Request, speech: Speech) -> Any:
    snapshot = JobNews(site.workspace.ledger, request.path_params["job"]).snapshot()
    site.watch(None)
    key = Path(snapshot.job.inputs[0]).name
    draft = site.drafts.get(request.query_params.get("draft", ""))
    key = next((p.key for p in draft.pictures if p.source.path == snapshot.job.inputs[0]), key)
    return {
        "parts": {"preview": views.preview(speech, site.workspace, snapshot, key)},
        "ended": snapshot.job.ended,
    }


async def _job_do(site: Site, request: Request, speech: Speech) -> Any:
    wish = wishes.understood(await request.body(), wishes.JOB)
    return await run_in_threadpool(_job_wish, site, request.path_params["job"], wish)


def _job_wish(site: Site, job_id: int, wish: wishes.JobWish) -> Any:
    workspace = site.workspace
    match wish:
        case wishes.Control(do="pause"):
            background.pause(workspace, job_id)
        case wishes.Control(do="cancel"):
            background.cancel(workspace, job_id)
        case wishes.Control():
            with site.beginning:
                site.watch(background.resume(workspace, job_id))
        case wishes.Retry(key=key):
            with site.beginning:
                site.watch(background.retry(workspace, job_id, [key] if key else None)[1])
        case wishes.Approve(key=key, on=on):
            workspace.ledger.approve(job_id, key, approved=on)
        case wishes.Redo(key=key, values=values):
            with site.beginning:
                site.watch(jobs.redo(workspace, job_id, [key], values))
        case wishes.Several(do="redo-several", keys=keys):
            with site.beginning:
                site.watch(jobs.redo(workspace, job_id, keys, wishes.RedoValues()))
        case wishes.Several(keys=keys):
            for key in keys:
                workspace.ledger.approve(job_id, key)
    return {"ok": True}


def _item(site: Site, request: Request) -> tuple[Job, Item]:
    job = site.workspace.ledger.job(request.path_params["job"])
    item = site.workspace.ledger.item_of(job.id, request.path_params["item"])
    if item is None:
        raise FileNotFoundError
    return job, item


def _viewer(site: Site, request: Request, speech: Speech) -> Any:
    job, item = _item(site, request)
    return {"parts": {"viewer": views.viewer(speech, site.workspace, job, item)}, "key": safe(item.key)}


async def _page_picture(site: Site, request: Request, speech: Speech) -> Response:
    job, item = await run_in_threadpool(_item, site, request)
    width = THUMBNAIL if request.query_params.get("w") == "thumb" else LARGEST_VIEW
    if request.path_params["side"] == "after":
        return await picture(site, lambda: written(job, item), width)
    if request.path_params["side"] != "before":
        raise FileNotFoundError
    source = Original(job, work_of(item).source, item.key, item.input_hash)
    return await picture(site, lambda: from_input(site, source), width, known=item.input_hash)


def _reference(site: Site, request: Request) -> Original:
    number = request.path_params["job"]
    try:
        source = jobs.references(site.workspace, number)[request.path_params["index"]]
    except IndexError:
        raise FileNotFoundError from None
    return Original(site.workspace.ledger.job(number), source.path, source.key, source.sha256)


async def _reference_picture(site: Site, request: Request, speech: Speech) -> Response:
    source = await run_in_threadpool(_reference, site, request)
    if "pick" in request.query_params:
        return await exact_picture(site, lambda: from_input(site, source), source.sha256)
    return await picture(site, lambda: from_input(site, source), 640, known=source.sha256)


def _page_file(site: Site, request: Request, speech: Speech) -> Response:
    job, item = _item(site, request)
    return attachment(Path(written(job, item)), Path(item.output).name)


def _output_file(site: Site, request: Request, speech: Speech) -> Response:
    """A file in the job's output folder, or in the folder beside its archive: the report's neighbours."""
    job = site.workspace.ledger.job(request.path_params["job"])
    root = str(beside(site.workspace.ledger, job))
    path = inside(root, os.path.join(root, request.path_params["path"]))  # noqa: PTH118
    kind = "text/html; charset=utf-8" if path.endswith(".html") else None
    headers = {"Content-Security-Policy": SANDBOX} | NO_STORE
    if kind is None and Path(path).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif"):
        kind = "image/" + Path(path).suffix.lower().lstrip(".").replace("jpg", "jpeg")
    return stream(path, kind or "application/octet-stream", headers)


def _hints_get(site: Site, request: Request) -> Response:
    job, item = _item(site, request)
    path = jobs.hints_file(site.workspace, job, item)
    if not path.is_file():
        return Response(status_code=204, headers=NO_STORE)  # none drawn yet
    return Response(path.read_bytes(), media_type="image/png", headers=NO_STORE)


async def _hints(site: Site, request: Request, speech: Speech) -> Any:
    if request.method == "GET":
        return await run_in_threadpool(_hints_get, site, request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > jobs.HINTS_LIMIT:
            raise ValidationError("The hints are too large.")
    job, item = await run_in_threadpool(_item, site, request)
    child = await run_in_threadpool(jobs.hint, site.workspace, site.pictures, job, item, bytes(body))
    site.watch(child)
    return {"ok": True}


def _download(site: Site, request: Request, speech: Speech) -> Response:
    job = site.workspace.ledger.job(request.path_params["job"])
    form = request.path_params["form"]
    if form == "report":
        path, name = jobs.report(site.workspace, job)
        return attachment(Path(path), name)
    if form == "layers":
        return attachment(jobs.layered(site.workspace, job), f"{Path(job.output).stem}-layers.zip")
    if form not in ("zip", "cbz"):
        raise FileNotFoundError
    archive = Path(job.output)
    stem = archive.stem if archive.suffix else archive.name
    if chosen := {
        int(one)
        for one in request.query_params.get("pages", "").split(",")
        if one.isdecimal() and len(one) < 19
    }:
        return attachment(jobs.bundle(site.workspace, job, chosen), f"{stem}-{len(chosen)}.{form}")
    name = f"{stem}.{form}"
    if archive.suffix.lower() in (".zip", ".cbz") and archive.is_file():
        return attachment(Path(inside(str(archive.parent), str(archive))), name)
    return attachment(jobs.bundle(site.workspace, job), name)


# -- photos


def _photos(site: Site, request: Request, speech: Speech) -> Any:
    site.watch(None)
    parts, running = photos.tab(speech, site.workspace, _number(request, "from"))
    return {"parts": parts, "running": running}


async def _photos_do(site: Site, request: Request, speech: Speech) -> Any:
    wish = wishes.understood(await request.body(), wishes.PHOTOS)
    await run_in_threadpool(_photos_wish, site, wish)
    return {"ok": True}


def _photos_wish(site: Site, wish: wishes.PhotosWish) -> None:
    if isinstance(wish, wishes.Control):
        _job_wish(site, photos.current_number(site.workspace), wish)
        return
    folder = site.roots.typed(wish.path)
    with site.beginning:
        site.watch(photos.scan(site.workspace, folder))


async def _photo_thumb(site: Site, request: Request, speech: Speech) -> Response:
    number = request.path_params["photo"]
    return await picture(site, lambda: site.roots.below(photos.path_of(site.workspace, number)), THUMBNAIL)


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
