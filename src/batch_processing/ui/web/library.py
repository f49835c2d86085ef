"""The library of photos: its windows, and the answers behind the one that shows all pictures by date.

Promises: a window is a page of ours, whose scripts ask for the rest; places in a list are keys (`gallery`), never numbers
that move; small pictures are those that a look at the photos has made, large ones are made by a worker; nothing outside of
the roots is listed or shown. What is found twice is `similar`, who is on photos `people`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...core.model import JobState, Wish
from ...core.plain import to_plain
from ...core.workers import Task
from ...exceptions import QueueError
from ...formatting import safe, size
from ...messages import N_, NOTHING, Message
from .. import background
from . import wishes
from .files import NO_STORE
from .pictures import TIMEOUT
from .site import Site
from .speech import Speech

if TYPE_CHECKING:
    from ...core.model import Job
    from ...photos.gallery import Detail, Where

# As the editor's: modules of ours, nothing inline, nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KEPT_BY_BROWSER = "private, max-age=31536000, immutable"  # addresses change with the content
LARGE = 2048  # pixels of the longer side of a photo that fills a window

# Who has told when a photo was taken (`photo_facts.taken_from`).
TOLD_BY = {
    "exif": N_("by the camera"),
    "xmp": N_("by a sidecar (XMP)"),
    "takeout": N_("by Google Takeout"),
    "name": N_("by the file's name"),
}


def window(site: Site, request: Request, speech: Speech) -> Response:
    """The pictures by date."""
    return page(speech, "library")


def page(speech: Speech, template: str, **views: object) -> Response:
    """A window of the library."""
    html = speech.html(template, language=speech.language, **views)
    headers = {"Content-Security-Policy": POLICY} | NO_STORE
    return Response("<!doctype html>\n" + html, media_type="text/html; charset=utf-8", headers=headers)


# -- lists ----------------------------------------------------------------------------------------------


def index(site: Site, request: Request, speech: Speech) -> Any:
    """The days and keys of all pictures."""
    if not site.library.exists:
        return {"photos": 0, "days": [], "starts": [], "chunk": 1}
    with site.library.gallery() as gallery:
        found = gallery.index()
    return to_plain(found) | {"days": [(day.date, day.photos) for day in found.days]}


def beside(site: Site, request: Request, speech: Speech) -> Any:
    """What stands beside the pictures, in numbers."""
    if not site.library.exists:
        return {"copies": 0, "unseen": 0, "outside": 0}
    with site.library.gallery() as gallery:
        return to_plain(gallery.beside())


def photos(site: Site, request: Request, speech: Speech) -> Any:
    """The pictures between two keys."""
    from ...photos.gallery import Key

    first, end = (
        Key.read(text) if (text := request.query_params.get(name)) else None for name in ("from", "to")
    )
    with site.library.gallery() as gallery:
        return {"photos": [to_plain(thumb) for thumb in gallery.between(first, end)]}


# -- one picture ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True)
class Known:
    """What is said of a photo. `date`: ISO 8601, as the camera's clock had it; `told_by`: who has told it; `trouble`: what
    is wrong with it; `large`: the address of the picture, "" where there is none to show."""

    id: int
    key: str
    name: str
    folder: str
    date: str
    told_by: str
    trouble: str
    facts: Sequence[Fact]
    copies: Sequence[str]
    large: str


def photo(site: Site, request: Request, speech: Speech) -> Any:
    """All that is known of a picture."""
    with site.library.gallery() as gallery:
        found = gallery.detail(request.path_params["photo"])
    return to_plain(_known(site, speech, found))


def _known(site: Site, speech: Speech, found: Detail) -> Known:
    from ..cli.photos.words import DAMAGE_WORDS

    folder, name = os.path.split(os.fsdecode(found.path))
    facts = [(N_("size"), size(found.size))]
    if found.width and found.height:
        facts.insert(0, (N_("pixels"), f"{found.width} × {found.height}"))
    if found.camera:
        facts.append((N_("camera"), found.camera))
    if found.format:
        facts.append((N_("format"), found.format + (f", {found.quality} %" if found.quality else "")))
    if found.position is not None:
        facts.append((N_("position"), "{:.5f}, {:.5f}".format(*found.position)))
    trouble: Message = NOTHING
    if found.damaged:
        trouble = Message("This photo {damage}.", damage=DAMAGE_WORDS.get(found.damaged, found.damaged))
    mark = found.digest[:6].hex()
    return Known(
        found.id,
        found.key,
        safe(name),
        safe(folder),
        found.taken_at or "",
        speech.say(TOLD_BY[found.taken_from]) if found.taken_from in TOLD_BY else "",
        "" if trouble == NOTHING else speech.say(trouble),
        [Fact(speech.say(label), safe(value)) for label, value in facts],
        [safe(os.fsdecode(path)) for path in found.copies],
        "" if found.video else f"/lote/library/photo/{found.id}/large?v={mark}",
    )


def _lies(site: Site, number: int) -> Where:
    """Where a photo lies that may be shown, as it is now."""
    with site.library.gallery() as gallery:
        found = gallery.where(number)
    if not site.roots.hold(os.fsdecode(os.path.dirname(found.path))):  # noqa: PTH120 - bytes
        raise FileNotFoundError
    return found


def preview(site: Site, request: Request, speech: Speech) -> Response:
    """The small picture that a look has made."""
    data = site.library.preview(_lies(site, request.path_params["photo"]).digest)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": KEPT_BY_BROWSER})


async def large(site: Site, request: Request, speech: Speech) -> Response:
    """The picture as large as a window."""
    found = await run_in_threadpool(_lies, site, request.path_params["photo"])
    return await enlarged(site, found, LARGE)


async def enlarged(
    site: Site, found: Where, longest: int, box: tuple[float, float, float, float] | None = None
) -> Response:
    """A photo, or the part of it in `box`, made by a worker once for each content."""
    from ...photos.pixels.enlarging import Enlarge

    part = "".join(f"-{value:.4f}" for value in box) if box else ""
    name = f"{found.digest.hex()}-{longest}{part}.webp"
    target = site.workspace.folder("cache", "web") / name
    if not target.exists():
        work = Enlarge(found.path, found.size, found.mtime_ns, str(target), longest, box)
        made = site.pictures.made(target, lambda: Task(name, work, timeout_s=TIMEOUT))
        await asyncio.wrap_future(made)
    return Response(target.read_bytes(), media_type="image/webp", headers={"Cache-Control": KEPT_BY_BROWSER})


# -- looking at pixels ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LookNews:
    """A look that is at work. Seconds; -1 where nobody knows yet."""

    running: bool
    paused: bool
    ended: bool
    done: int
    total: int
    left: float
    problem: str


def news(site: Site, request: Request, speech: Speech) -> Any:
    """How far the look at the photos is; null before there was one."""
    site.watch(None)
    try:
        job = site.library.look()
    except QueueError:
        return {"look": None}
    return {"look": to_plain(_look(job, speech))}


def _look(job: Job, speech: Speech) -> LookNews:
    from ...photos.pixels.looks_job import LookFigures

    figures = LookFigures.of(job)
    # Nobody has a job that was only just begun: the background process takes it in a moment.
    begun = job.alive or (job.state == JobState.INTERRUPTED and job.owner is None)
    paused = job.state == JobState.PAUSED or (job.alive and job.wanted == Wish.PAUSE)
    return LookNews(
        running=begun and not paused,
        paused=paused,
        ended=job.ended,
        done=figures.looks_done,
        total=figures.looks_total,
        left=-1.0 if figures.eta_seconds is None else figures.eta_seconds,
        problem=speech.say(job.error) if job.error else "",
    )


async def do(site: Site, request: Request, speech: Speech) -> Any:
    wish = wishes.understood(await request.body(), wishes.LIBRARY)
    await run_in_threadpool(_do, site, wish)
    return {"ok": True}


def _do(site: Site, wish: wishes.LibraryWish) -> None:
    workspace = site.workspace
    with site.beginning:
        match wish:
            case wishes.Look():
                site.watch(background.begin(workspace, site.library.new_look()))
            case wishes.Control(do="pause"):
                background.pause(workspace, site.library.look().id)
            case wishes.Control(do="cancel"):
                background.cancel(workspace, site.library.look().id)
            case wishes.Control():
                site.watch(background.resume(workspace, site.library.look().id))


# -- what was left alone --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftRow:
    """Something that no scan has recorded: why or what, how many, and what to do. `query`: asks for their paths."""

    what: str
    count: int
    to_do: str
    query: str


@dataclass(frozen=True)
class ScanView:
    """The last scan of some folders. `when`: ISO 8601."""

    folders: Sequence[str]
    when: str
    left: Sequence[LeftRow]
    absent: int


def left_out(site: Site, request: Request, speech: Speech) -> Response:
    """What is not in the library, or not whole, and why."""
    from ..cli.photos.words import AFTER_ERRORS, DAMAGE_WORDS, IF_DAMAGED, NO_PHOTOS, TO_DO

    if not site.library.exists:
        return page(speech, "left_out", scans=[], kinds=[], damage=[])
    from ...photos import left_out as told

    with site.library.store() as store:
        scans = told.last_scans(store)
        kinds = told.error_kinds(store)
        damage = told.damage_kinds(store)
    views = [
        ScanView(
            [safe(folder) for folder in scan.folders],
            scan.when,
            [
                *(
                    LeftRow(
                        speech.say(str(why)),
                        left.count,
                        speech.say(TO_DO.get(str(why), "")),
                        urlencode({"scan": scan.id, "why": str(why)}),
                    )
                    for why, left in scan.left_alone.items()
                ),
                *(
                    LeftRow(
                        safe(kind), count, speech.say(NO_PHOTOS), urlencode({"scan": scan.id, "why": kind})
                    )
                    for kind, count in scan.unhandled.items()
                ),
            ],
            scan.absent_originals,
        )
        for scan in scans
    ]
    return page(
        speech,
        "left_out",
        scans=views,
        kinds=kinds,
        damage=[(kind.code, DAMAGE_WORDS.get(kind.code, kind.code), kind.count) for kind in damage],
        if_damaged=speech.say(IF_DAMAGED),
        after_errors=speech.say(AFTER_ERRORS),
    )


def left_paths(site: Site, request: Request, speech: Speech) -> Any:
    """The paths behind one line of that page, some at a time: those after the id `after`."""
    from ...photos import left_out as told

    wanted = request.query_params
    if "scan" in wanted:
        return _left_alone(site, wanted["scan"], wanted.get("why", ""), wanted.get("after", ""))
    after = (
        int(text) if (text := wanted.get("after", "0")).isascii() and text.isdigit() and len(text) < 19 else 0
    )
    with site.library.store() as store:
        if "damage" in wanted:
            found = told.damaged_paths(store, wanted["damage"], after)
        else:
            found = told.error_paths(store, wanted.get("stage", ""), wanted.get("kind", ""), after)
    return {
        "next": str(found[-1].id) if len(found) == told.PAGE else "",
        "rows": [
            {
                "id": row.id,
                "path": safe(os.fsdecode(row.path)),
                "bytes": quote_from_bytes(row.path),
                "text": speech.say(row.text),
            }
            for row in found
        ],
    }


def _left_alone(site: Site, scan: str, why: str, after: str) -> Any:
    """A page of what that scan would leave alone now, in folders below the roots."""
    from ...photos import left_alone, left_out

    mark = unquote_to_bytes(after) if after != "0" else b""
    with site.library.store() as store:
        number = int(scan) if scan.isascii() and scan.isdigit() and len(scan) < 19 else 0
        roots = [
            root
            for root in left_out.roots_of(store, number)
            if site.roots.hold(os.fsdecode(root)) and os.path.isdir(root)  # noqa: PTH112 - bytes
        ]
        try:
            found = left_alone.page(store, roots, why, mark)
        except ValueError as error:  # a place that lies below none of the folders
            raise FileNotFoundError from error
    rows = [
        {"id": "", "path": safe(os.fsdecode(row.path)), "bytes": quote_from_bytes(row.path), "text": ""}
        for row in found.rows
    ]
    return {"rows": rows, "next": quote_from_bytes(found.next, safe="")}
