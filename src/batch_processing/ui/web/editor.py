"""The editor: its window, and the answers behind it.

Promises: what a person does is in the ledger before it is answered, and on disk soon after (`saving`); planes and labels
of pages are made by a worker; who asks gets JSON of the dataclasses here, a file, or one sentence. A page is named by
its key where something is changed: numbers move when a page is added to the book.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ...backends import create as create_backend
from ...backends.base import Edit, Editing
from ...colorize import recolor_job
from ...comics import edits as page_edits
from ...comics import palette
from ...comics.editing import EditorFile
from ...comics.model import LearnedMemory, PageWork, Reference, request_of, work_of
from ...comics.references import Learning
from ...comics.tasks import Learn
from ...core.edits import JOB, Saying
from ...core.model import Item, ItemState, Job, Outline, Role, Source
from ...core.plain import to_plain
from ...core.workers import Task
from ...exceptions import QueueError, beside
from ...formatting import safe
from ...messages import NOTHING, Message
from .. import background
from . import editor_book, jobs, wishes
from .files import LARGEST_VIEW, NO_STORE, THUMBNAIL, Original, TakenOut, exact_picture, from_input, picture
from .saving import Saved
from .site import SHEETS_TIMEOUT, Site
from .speech import Speech

if TYPE_CHECKING:
    from ...core.ledger import Ledger

# Our own page: modules of ours, nothing inline, nothing from elsewhere. Swatches get their colours by script (CSSOM).
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REFERENCES = 200  # shown beside a page


@dataclass(frozen=True)
class Leaf:
    """A page of the book: `item` 0 where it is passed through (`kind` "copy" or "kept"), and cannot be edited. `picture`
    is the address of how it looks, `small` that of its thumbnail, `before` that of its line art."""

    number: int
    key: str
    kind: str
    item: int
    done: bool
    approved: bool
    edited: bool
    picture: str
    small: str
    before: str


@dataclass(frozen=True)
class Pick:
    """A reference to pick colours from."""

    name: str
    picture: str


@dataclass(frozen=True)
class Saving:
    state: Saved
    text: str


@dataclass(frozen=True)
class BookNews:
    """`refused`: why its pages cannot be edited, "" where they can."""

    job: int
    name: str
    leaves: Sequence[Leaf]
    references: Sequence[Pick]
    refused: str
    saving: Saving


@dataclass(frozen=True)
class PageNews:
    """How a page stands. `mark` names its edits and those of the job's palette, `digest` what they come to on the page;
    `drawn` are colours in place of the references' own, as rows [id, r, g, b]; `trouble` what became of it when it was
    written last."""

    key: str
    mark: str
    digest: str
    undo: int
    redo: int
    approved: bool
    done: bool
    output: str
    drawn: Sequence[tuple[int, int, int, int]]
    names: Sequence[tuple[int, str]]
    trouble: str
    saving: Saving


# -- the window -----------------------------------------------------------------------------------------


def window(site: Site, request: Request, speech: Speech) -> Response:
    """The page itself; its script asks for the rest."""
    job = site.workspace.ledger.job(request.path_params["job"])
    number = request.path_params.get("page")
    if number is None:
        return RedirectResponse(f"/edit/{job.id}/1", 303)
    html = speech.html(
        "editor",
        job=job.id,
        page=number,
        name=Path(job.inputs[0]).name,
        language=speech.language,
        trial=jobs.is_preview(site.workspace, job),
    )
    headers = {"Content-Security-Policy": POLICY} | NO_STORE
    return Response("<!doctype html>\n" + html, media_type="text/html; charset=utf-8", headers=headers)


def book(site: Site, request: Request, speech: Speech) -> Any:
    job = site.workspace.ledger.job(request.path_params["job"])
    leaves = leaves_of(site.workspace.ledger, job)
    return to_plain(
        BookNews(
            job=job.id,
            name=safe(Path(job.inputs[0]).name),
            leaves=leaves,
            references=[
                Pick(safe(Path(source.key).name), f"/lote/job/{job.id}/reference/{index}?pick=1")
                for index, source in enumerate(jobs.references(site.workspace, job.id)[:REFERENCES])
            ],
            refused=speech.say(why) if (why := _refused(site, job, leaves)) else "",
            saving=_saving(site, speech, job),
        )
    )


def _refused(site: Site, job: Job, leaves: Sequence[Leaf]) -> Message | None:
    first = next((leaf for leaf in leaves if leaf.item and leaf.done), None)
    if first is None:
        failed = site.workspace.ledger.window(job.id, 0, 1, state=ItemState.FAILED)
        why = job.error or next((item.error for item in failed), None)
        return beside(why) if why else Message("No page of this job is coloured yet.")
    item = site.workspace.ledger.item_of(job.id, first.item)
    name = work_of(item).backend if item else ""
    if name == "cobra":
        return Message(
            "Cobra has painted these pages without regions. To put them right here, colour the chapter again with "
            "One colour for each region in the settings (on the command line: --flats)."
        )
    if not isinstance(create_backend(name), Editing):
        return Message("Pages of the backend {name} cannot be edited.", name=name)
    return None


def leaves_of(ledger: Ledger, job: Job) -> list[Leaf]:
    items = {outline.key: outline for outline in ledger.outline(job.id)}
    edited = set(ledger.edits.by_page(job.id))
    leaves: list[Leaf] = []
    for source in ledger.sources(job.id):
        if source.role in (Role.PAGE, Role.COPY, Role.KEPT):
            number = len(leaves) + 1
            leaves.append(_leaf(job, number, source, items.get(source.key), source.key in edited))
    return leaves


def _leaf(job: Job, number: int, source: Source, item: Outline | None, edited: bool) -> Leaf:
    version = (source.sha256 or "")[:12]
    if item is None:
        passed = f"/lote/edit/{job.id}/picture/{number}?v={version}"
        role = str(source.role)
        return Leaf(number, source.key, role, 0, True, False, False, passed, f"{passed}&w=thumb", passed)
    base = f"/lote/job/{job.id}/page/{item.id}"
    before = f"{base}/before?v={version}"
    shown = f"{base}/after?v={(item.output_hash or '')[:12]}" if item.state == ItemState.COMPLETED else before
    return Leaf(
        number=number,
        key=source.key,
        kind="page",
        item=item.id,
        done=_is_there(item),
        approved=item.approved,
        edited=edited,
        picture=shown,
        small=f"{shown}&w=thumb",
        before=before,
    )


def _is_there(item: Outline | Item) -> bool:
    """Whether a page was coloured: it may be on its way to disk again just now, because somebody edits it."""
    again = item.state in (ItemState.PENDING, ItemState.PROCESSING) and item.output_hash is not None
    return item.state == ItemState.COMPLETED or again


async def passed_through(site: Site, request: Request, speech: Speech) -> Response:
    """A page that stays as it is."""

    def found() -> tuple[Job, Source]:
        job = site.workspace.ledger.job(request.path_params["job"])
        roles = (Role.PAGE, Role.COPY, Role.KEPT)
        listed = [source for source in site.workspace.ledger.sources(job.id) if source.role in roles]
        if not 0 < request.path_params["number"] <= len(listed):
            raise FileNotFoundError
        return job, listed[request.path_params["number"] - 1]

    job, source = await run_in_threadpool(found)
    original = Original(job, source.path, source.key, source.sha256)
    if "pick" in request.query_params:
        return await exact_picture(site, lambda: from_input(site, original), source.sha256)
    width = THUMBNAIL if request.query_params.get("w") == "thumb" else LARGEST_VIEW
    return await picture(site, lambda: from_input(site, original), width, known=source.sha256)


# -- one page -------------------------------------------------------------------------------------------


def page(site: Site, request: Request, speech: Speech) -> Any:
    job, item = _item(site, request)
    if site.workspace.ledger.edits.mark(job.id) != "":
        _take_up(site, job)
    return to_plain(_page_news(site, speech, job, item))


def news(site: Site, request: Request, speech: Speech) -> Any:
    """The same, asked for every second or so."""
    site.watch(None)
    return to_plain(_page_news(site, speech, *_item(site, request)))


def _take_up(site: Site, job: Job) -> None:
    """What a server that was killed has left unwritten."""
    if job.ended and site.saver.state(job)[0] == Saved.SOON:
        site.saver.soon(job.id)


def _page_news(site: Site, speech: Speech, job: Job, item: Item) -> PageNews:
    log = site.workspace.ledger.edits
    undo, redo = log.steps(job.id, item.key)
    stored = editor_book.palette_of(site, job)
    said = page_edits.of_page({item.key: log.of(job.id, item.key), JOB: log.of(job.id, JOB)}, item.key)
    drawn = palette.drawn(stored)
    if item.approved:  # it stays as it was approved
        drawn = {str(one["id"]): tuple(one["rgb"]) for one in (item.details or {}).get("palette", ())}
    return PageNews(
        key=item.key,
        mark=log.mark(job.id, item.key, JOB),
        digest=page_edits.digest(said) if said else "",
        undo=undo,
        redo=redo,
        approved=item.approved,
        done=_is_there(item),
        output=(item.output_hash or "")[:12],
        drawn=[(int(number), *rgb) for number, rgb in drawn.items()],
        names=[(int(number), safe(name)) for number, name in palette.names(stored).items()],
        trouble=speech.say(beside(item.error)) if item.error else "",
        saving=_saving(site, speech, job),
    )


def _saving(site: Site, speech: Speech, job: Job) -> Saving:
    state, why = site.saver.state(job)
    return Saving(state, "" if why == NOTHING else speech.say(why))


def _item(site: Site, request: Request) -> tuple[Job, Item]:
    job = site.workspace.ledger.job(request.path_params["job"])
    item = site.workspace.ledger.item_of(job.id, request.path_params["item"])
    if item is None:
        raise FileNotFoundError
    return job, item


async def sheet(site: Site, request: Request, speech: Speech) -> Response:
    """What lies above a page's flats. Never another for one address: it names what was found of the page."""
    return await _file(site, request, planes=True)


async def labels(site: Site, request: Request, speech: Speech) -> Response:
    """The regions of a page with its edits."""
    return await _file(site, request, planes=False)


async def _file(site: Site, request: Request, *, planes: bool) -> Response:
    job, item = await run_in_threadpool(_item, site, request)
    if not _is_there(item):
        raise FileNotFoundError  # nothing was found of it
    work, file = await run_in_threadpool(_editable, site, job, item)
    about = f"{work.state}|{item.input_hash}|{work.settings.style}" + ("" if planes else f"|{file}")
    name = hashlib.sha256(about.encode()).hexdigest()[:32]
    target = site.workspace.folder("cache", "web") / f"{name}.{'planes' if planes else 'labels'}.gz"
    if not target.exists():
        original = Original(job, work.source, item.key, item.input_hash)
        found = TakenOut(target.parent)

        def prepare() -> Task:
            learning = _learning(job, work, site)
            painting = replace(
                learning.painting(item, work), source=found(lambda: from_input(site, original)), edits=file
            )
            learn = None if Path(painting.state).exists() else _lost(site, job, learning, work, found)
            return Task(
                target.name, EditorFile(painting, planes, str(target), learn), timeout_s=SHEETS_TIMEOUT
            )

        await asyncio.wrap_future(site.sheets.made(target, prepare))
        found.forget()
    headers = {"Content-Encoding": "gzip"} | NO_STORE
    return Response(target.read_bytes(), media_type="application/octet-stream", headers=headers)


def _editable(site: Site, job: Job, item: Item) -> tuple[PageWork, str | None]:
    """The work of a page, and the file of its edits, as they are now."""
    log = site.workspace.ledger.edits
    said = page_edits.of_page({item.key: log.of(job.id, item.key), JOB: log.of(job.id, JOB)}, item.key)
    folder = site.workspace.folder("jobs", str(job.id), "edits")
    return work_of(item), str(page_edits.write(folder, said)) if said else None


def _learning(job: Job, work: PageWork, site: Site) -> Learning:
    request = request_of(job)
    learning = Learning(site.workspace, create_backend(work.backend))
    learning.palette = request.palette
    learning.memory = request.memory or LearnedMemory()
    return learning


def _lost(site: Site, job: Job, learning: Learning, work: PageWork, found: TakenOut) -> Learn | None:
    """How to learn the job's references again, where a page needs them and `lote clean` has removed what was learned."""
    sources = {one.sha256: one for one in jobs.references(site.workspace, job.id) if one.sha256}
    references = [Reference(source.path, sha256) for sha256, source in sorted(sources.items())]
    artefact = learning.artefact(learning.key(references))
    if artefact is None or artefact.exists() or not {work.artefact, work.first} & set(learning.sets):
        return None

    def there(sha256: str) -> str:
        source = sources[sha256]
        return found(lambda: from_input(site, Original(job, source.path, source.key, sha256)))

    taken = [Reference(there(one.sha256), one.sha256) for one in references]
    return Learn(learning.backend.name, taken, work.settings, str(artefact))


# -- what a person does ---------------------------------------------------------------------------------


async def do(site: Site, request: Request, speech: Speech) -> Any:
    wish = wishes.understood(await request.body(), wishes.EDITOR)
    return await run_in_threadpool(_done, site, request.path_params["job"], wish)


_adding = threading.Lock()
"""One action after the other, so that each is told what was there before it."""


def _done(site: Site, job_id: int, wish: wishes.EditorWish) -> Any:
    ledger = site.workspace.ledger
    job = ledger.job(job_id)
    with _adding:
        before = ledger.edits.mark(job.id)
        pages = _said(site, job, wish)
        after = ledger.edits.mark(job.id)
    if after != before:
        site.saver.soon(job.id)
    return {"before": before, "after": after, "pages": pages}


def _said(site: Site, job: Job, wish: wishes.EditorWish) -> list[str]:
    """Do it; the keys of the pages that it changes, "" among them where it may be all."""
    ledger = site.workspace.ledger
    match wish:
        case wishes.Give(pages=pages, color=color, name=name):
            sayings = [
                page_edits.saying(one.key, Edit("region", tuple(one.points), color.id, color.rgb))
                for one in pages
            ]
            return _add(ledger, job, sayings, name)
        case wishes.Brush(do=kind, page=on, color=color, size=size, name=name):
            edit = Edit(kind, tuple(on.points), color.id, color.rgb, size)
            return _add(ledger, job, [page_edits.saying(on.key, edit)], name)
        case wishes.Step(do=way, key=key):
            turn = ledger.edits.undo if way == "undo" else ledger.edits.redo
            keys = sorted({edit.key for edit in turn(job.id, key)})
            _withdraw(ledger, job, keys)
            return keys
        case wishes.EditColors(colors=changes, name=name):
            return _add(ledger, job, [editor_book.said_of_colors(site, job, changes)], name)
        case wishes.Merge(before=before, color=color, name=name):
            edit = Edit("merge", (), color.id, color.rgb, before=before)
            return _add(ledger, job, [page_edits.saying(JOB, edit)], name)
        case wishes.Approve(key=key, on=on):
            ledger.approve(job.id, key, approved=on)
        case wishes.Save():
            site.saver.soon(job.id)
        case wishes.Learn():
            recolor_job(site.workspace, job.id, learn=True, keep=editor_book.kept(ledger, job))
            with site.beginning:
                if ledger.reopen(job.id):
                    site.watch(background.begin(site.workspace, job.id))
    return []


def _add(ledger: Ledger, job: Job, sayings: Sequence[Saying], wish: str) -> list[str]:
    known = {outline.key: outline for outline in ledger.outline(job.id)}
    for one in sayings:
        if one.key != JOB and (one.key not in known or not _is_there(known[one.key])):
            raise QueueError("Job {job} has no finished page {page}.", job=job.id, page=one.key)
    keys = sorted({one.key for one in sayings})
    _withdraw(ledger, job, keys)
    ledger.edits.add(job.id, sayings, wish)
    return keys


def _withdraw(ledger: Ledger, job: Job, keys: Sequence[str]) -> None:
    """Take back the approval of pages that somebody edits: they are no longer what was approved."""
    for outline in ledger.outline(job.id):
        if outline.approved and outline.key in keys:
            ledger.approve(job.id, outline.key, approved=False)
