"""The whole book in the editor: its palette, its doubtful places, and what learning from corrections would change.

Promises: answers about a book of 500 pages in a moment, from what its pages told when they were written last; a colour
is shown where it is seen best, a place by a picture of it. Changes nothing: what a person says of colours is made an
edit here, and added by `editor`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...comics import edits as page_edits
from ...comics import palette
from ...comics.model import request_of
from ...comics.small_pictures import Crop, Crops
from ...core.edits import JOB, Saying
from ...core.model import Job, Role
from ...core.plain import to_plain
from ...core.workers import Task
from ...exceptions import ValidationError
from ...formatting import safe
from ...results import palette_of as colors_of
from . import wishes
from .files import NO_STORE, written
from .pictures import TIMEOUT
from .site import Site
from .speech import Speech

if TYPE_CHECKING:
    from ...core.ledger import Ledger

RGB = tuple[int, int, int]
CROP = (160, 12_000)
"""Longest side in pixels and bytes of the picture of a region."""
MOST_PLACES = 2000
"""Of a review: a book of 500 pages has 30,000."""
FARTHEST = 100_000
"""Pixels of a page's side."""


@dataclass(frozen=True)
class Swatch:
    """A colour of the book: the `pages` that have it, by number, and the address of a picture of it."""

    id: int
    rgb: RGB
    reference: RGB
    name: str
    locked: bool
    pages: Sequence[int]
    crop: str


@dataclass(frozen=True)
class Place:
    """A region to look at; `box` in pixels of the page, `at` one of them where it is known, `crop` the address of a
    picture of it."""

    item: int
    number: int
    key: str
    box: Sequence[int]
    id: int
    confidence: float
    doubt: float
    why: str
    at: Sequence[int] | None
    crop: str


@dataclass(frozen=True)
class Lesson:
    """What learning does: the `pages` that are coloured again, of how many nobody has looked at the `places`, in how many
    `seconds` of work; and how many pages stay as they are, because they were `edited` or `approved`."""

    pages: int
    places: int
    seconds: float
    edited: int
    approved: int


def palette_of(site: Site, job: Job) -> palette.Stored:
    """What the job keeps of its palette, with what was edited of it."""
    return page_edits.palette_with(request_of(job).palette, site.workspace.ledger.edits.of(job.id, JOB))


def numbers_of(ledger: Ledger, job: Job) -> dict[str, int]:
    """The number of each page of the book, by key."""
    roles = (Role.PAGE, Role.COPY, Role.KEPT)
    listed = (source.key for source in ledger.sources(job.id) if source.role in roles)
    return {key: number for number, key in enumerate(listed, 1)}


def _job(site: Site, request: Request) -> Job:
    return site.workspace.ledger.job(request.path_params["job"])


def _crop(job: Job, item: int, output: str | None, box: Sequence[int]) -> str:
    return f"/lote/edit/{job.id}/crop/{item}?box={','.join(map(str, box))}&v={(output or '')[:12]}"


def colors(site: Site, request: Request, speech: Speech) -> Any:
    """The palette of the book: the colours of its pages as they were written last, and those that were said."""
    return {"colors": [to_plain(swatch) for swatch in _swatches(site, _job(site, request))]}


def _swatches(site: Site, job: Job) -> list[Swatch]:
    ledger = site.workspace.ledger
    numbers = numbers_of(ledger, job)
    shown: dict[int, tuple[int, str]] = {}
    for item in ledger.told(job.id, "seen"):
        for one in item.entries["seen"] or ():
            x0, y0, x1, y1 = one["box"]
            size = (x1 - x0) * (y1 - y0)
            if size > shown.get(one["id"], (0, ""))[0]:
                shown[one["id"]] = size, _crop(job, item.id, item.output_hash, one["box"])
    return [
        Swatch(
            color.id,
            color.rgb,
            color.reference,
            safe(color.name),
            color.locked,
            [numbers[page] for page in color.pages if page in numbers],
            shown.get(color.id, (0, ""))[1],
        )
        for color in colors_of(site.workspace, job)
    ]


def palette_file(site: Site, request: Request, speech: Speech) -> Response:
    """The palette as `palette.json`, for the next chapter of the series."""
    listed: list[palette.Entry] = []
    for one in _swatches(site, _job(site, request)):
        entry: palette.Entry = {"id": one.id, "rgb": list(one.rgb), "reference": list(one.reference)}
        listed.append(
            entry | {name: value for name, value in (("name", one.name), ("locked", one.locked)) if value}
        )
    headers = {"Content-Disposition": 'attachment; filename="palette.json"'} | NO_STORE
    return Response(palette.write(listed), media_type="application/json", headers=headers)


def said_of_colors(site: Site, job: Job, changes: Sequence[wishes.ColorChange]) -> Saying:
    """The whole entries of some ids from now on."""
    known = palette.said(palette_of(site, job))
    entries: palette.Colors = {}
    for change in changes:
        entry: palette.Entry = {"reference": list(change.reference), **known.get(str(change.id), {})}
        if change.rgb is not None:
            entry["rgb"] = list(change.rgb)
        if change.name is not None:
            entry["name"] = " ".join(change.name.split())
        if change.locked is not None:
            entry["locked"] = change.locked
        own = entry.get("locked") or entry.get("rgb") != entry["reference"]
        kept = {name: one for name, one in entry.items() if one and name != "rgb"}
        if "rgb" in entry and own:
            kept["rgb"] = entry["rgb"]
        entries[str(change.id)] = kept
    return page_edits.palette_saying(page_edits.PaletteChange(entries))


def review(site: Site, request: Request, speech: Speech) -> Any:
    """What to look at in the whole book, the most doubtful first, and so much that a day is filled; approved pages are done
    with."""
    job = _job(site, request)
    numbers = numbers_of(site.workspace.ledger, job)
    places = [
        Place(
            item.id,
            numbers[item.key],
            item.key,
            one["box"],
            one.get("id", 0),
            one["confidence"],
            one.get("doubt", 0.0),
            one.get("why", ""),
            one.get("at"),
            _crop(job, item.id, item.output_hash, one["box"]),
        )
        for item in site.workspace.ledger.told(job.id, "review")
        if not item.approved and item.key in numbers
        for one in item.entries["review"] or ()
    ]
    places.sort(key=lambda place: (-place.doubt, place.number, place.box))
    return {"places": [vars(place) for place in places[:MOST_PLACES]]}


def kept(ledger: Ledger, job: Job) -> set[str]:
    """The pages that a person has edited: what is learned from them is for the others."""
    return {key for key in ledger.edits.by_page(job.id) if key != JOB}


def lesson(site: Site, request: Request, speech: Speech) -> Any:
    """What learning from corrections would change."""
    job = _job(site, request)
    told = site.workspace.ledger.told(job.id, "review")
    edited = kept(site.workspace.ledger, job)
    again = [item for item in told if not item.approved and item.key not in edited]
    return to_plain(
        Lesson(
            pages=len(again),
            places=sum(len(item.entries["review"] or ()) for item in again),
            seconds=round(sum(item.seconds or 0.0 for item in again), 1),
            edited=sum(item.key in edited for item in told),
            approved=sum(item.approved and item.key not in edited for item in told),
        )
    )


async def crop(site: Site, request: Request, speech: Speech) -> Response:
    """A small picture of a region of a page as it was written last, framed."""
    box = request.query_params.get("box", "").split(",")
    if len(box) != 4 or not all(one.isascii() and one.isdigit() and int(one) <= FARTHEST for one in box):
        raise ValidationError("This is no place of a page: reload the page.")
    x0, y0, x1, y1 = map(int, box)

    def found() -> tuple[str, str]:
        job = _job(site, request)
        item = site.workspace.ledger.item_of(job.id, request.path_params["item"])
        if item is None:
            raise FileNotFoundError
        return written(job, item), f"{item.output_hash}|{x0},{y0},{x1},{y1}"

    path, about = await run_in_threadpool(found)
    name = hashlib.sha256(about.encode()).hexdigest()[:32]
    target = site.workspace.folder("cache", "web") / f"{name}.crop.webp"
    if not target.exists():
        cut = Crops(path, [Crop((x0, y0, x1, y1), str(target), *CROP)])
        await asyncio.wrap_future(
            site.pictures.made(target, lambda: Task(target.name, cut, timeout_s=TIMEOUT))
        )
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(target.read_bytes(), media_type="image/webp", headers=headers)
