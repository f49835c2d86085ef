"""Who is on photos: the window, crops of faces, and what a person at the keyboard says of them.

Promises: nothing is computed here; what is shown is what `lote photos faces` has found. What is said is done by the doors of
`photos.people`, and can be undone. A crop is cut by a worker from the photo, or from its preview where the photo is not there
now; none is given of photos outside of the roots.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...core.plain import to_plain
from ...core.workers import Task
from ...exceptions import ValidationError
from ...formatting import safe
from ...messages import Message
from . import wishes
from .library import KEPT_BY_BROWSER, enlarged, page
from .pictures import TIMEOUT
from .site import Site
from .speech import Speech

if TYPE_CHECKING:
    from ...photos.gallery import Where
    from ...photos.people.people import KnownFace
    from ...photos.people.person import Person

CROP = 224  # pixels of a side
AROUND = 0.45  # of a face's box that is shown to each side of it
WINDOW = 60  # faces of a person at once

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class PersonView:
    """Somebody. `face`: the id of the one that shows them best, 0 for none; dates in ISO 8601, "" for none."""

    id: int
    name: str
    hidden: bool
    faces: int
    photos: int
    since: str
    until: str
    face: int


@dataclass(frozen=True)
class FaceView:
    """A face of somebody. `photo`: id of a photo with it, 0 where none is to be shown; `said`: a person has said so."""

    id: int
    photo: int
    name: str
    date: str
    said: bool
    mark: str


def window(site: Site, request: Request, speech: Speech) -> Response:
    """Everybody, and one person with their faces."""
    return page(speech, "people")


def everybody(site: Site, request: Request, speech: Speech) -> Any:
    """All people who are on photos, and what can be undone."""
    from ...photos.people.people import FaceRepository, PersonRepository

    nobody = {"known": False, "people": [], "ignored": 0, "undo": ""}
    if not site.library.exists:
        return nobody
    with site.library.store() as store:
        faces, people = FaceRepository(store), PersonRepository(store)
        if not faces.are_known():
            return nobody
        ignored = faces.count_ignored()
        found = people.list_all(hidden=True)
        best = faces.best(person.id for person in found)
        last = people.history(1)
    views = [_person(one, best.get(one.id)) for one in found]
    return {
        "known": True,
        "people": [to_plain(view) for view in views],
        "ignored": ignored,
        "undo": speech.say(last[0].sentence) if last else "",
    }


def _person(one: Person, face: KnownFace | None) -> PersonView:
    return PersonView(
        one.id, safe(one.name or ""), one.hidden, one.faces, one.photos, one.since or "", one.until or "",
        face.id if face is not None else 0,
    )  # fmt: skip


def person(site: Site, request: Request, speech: Speech) -> Any:
    """Somebody, with a window of their faces, the clearest first."""
    from ...photos.people.people import FaceRepository, PersonRepository

    number, start = request.path_params["person"], _start(request)
    with site.library.store() as store:
        found = PersonRepository(store).get(number)
        if found is None:
            raise FileNotFoundError
        faces = FaceRepository(store)
        best = faces.best([number]).get(number)
        some = faces.of_person(number, start=start, limit=WINDOW + 1)
    return {"person": to_plain(_person(found, best))} | _window(site, some, start)


def ignored(site: Site, request: Request, speech: Speech) -> Any:
    """A window of the faces that are ignored, the clearest first."""
    from ...photos.people.people import FaceRepository

    start = _start(request)
    some: list[KnownFace] = []
    if site.library.exists:
        with site.library.store() as store:
            some = FaceRepository(store).ignored(start=start, limit=WINDOW + 1)
    return _window(site, some, start)


def _start(request: Request) -> int:
    text = request.query_params.get("from", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _window(site: Site, some: Sequence[KnownFace], start: int) -> dict[str, object]:
    """As many faces as are shown at once, of which there is one more if another window follows."""
    return {
        "faces": [to_plain(_face(site, face)) for face in some[:WINDOW]],
        "next": start + WINDOW if len(some) > WINDOW else 0,
    }


def _face(site: Site, face: KnownFace) -> FaceView:
    photo, name = 0, ""
    try:
        with site.library.gallery() as gallery:
            photo, lies = gallery.with_content(bytes.fromhex(face.hash))
        name = os.fsdecode(os.path.basename(lies.path))  # noqa: PTH119 - bytes
    except FileNotFoundError:
        pass
    return FaceView(face.id, photo, safe(name), face.taken_at or "", face.said, face.hash[:12])


# -- crops ----------------------------------------------------------------------------------------------


async def crop(site: Site, request: Request, speech: Speech) -> Response:
    """A face, with something around it."""
    lies, box, is_there = await run_in_threadpool(_lies, site, request.path_params["face"])
    if is_there:
        return await enlarged(site, lies, CROP, box)
    from ...photos.pixels.enlarging import CutPreview

    jpeg = await run_in_threadpool(site.library.preview, lies.digest)
    name = f"{lies.digest.hex()}-preview-{request.path_params['face']}.webp"
    target = site.workspace.folder("cache", "web") / name
    if not target.exists():
        work = CutPreview(jpeg, str(target), CROP, box)
        await asyncio.wrap_future(site.pictures.made(target, lambda: Task(name, work, timeout_s=TIMEOUT)))
    return Response(target.read_bytes(), media_type="image/webp", headers={"Cache-Control": KEPT_BY_BROWSER})


def _lies(site: Site, number: int) -> tuple[Where, Box, bool]:
    """The photo with a face that may be shown, which part of it, and whether the photo is there now."""
    from ...photos.people.people import FaceRepository

    with site.library.store() as store:
        face = FaceRepository(store).get(number)
    if face is None:
        raise FileNotFoundError
    with site.library.gallery() as gallery:
        _, lies = gallery.with_content(bytes.fromhex(face.hash))
    if not site.roots.hold(os.fsdecode(os.path.dirname(lies.path))):  # noqa: PTH120 - bytes
        raise FileNotFoundError
    return lies, _around(face), os.path.isfile(lies.path)  # noqa: PTH113 - bytes


def _around(face: KnownFace) -> Box:
    """The box of a face with what is around it, inside of the picture."""
    left, top = max(0.0, face.x - AROUND * face.w), max(0.0, face.y - AROUND * face.h)
    right, bottom = min(1.0, face.x + (1 + AROUND) * face.w), min(1.0, face.y + (1 + AROUND) * face.h)
    return left, top, max(right - left, 0.001), max(bottom - top, 0.001)


# -- what is said ---------------------------------------------------------------------------------------


async def do(site: Site, request: Request, speech: Speech) -> Any:
    wish = wishes.understood(await request.body(), wishes.PEOPLE)
    return await run_in_threadpool(_do, site, wish, speech)


def _do(site: Site, wish: wishes.PeopleWish, speech: Speech) -> Any:
    from ...photos.people.people import FaceRepository, NameTakenError, PersonRepository

    with site.library.store() as store:
        people = PersonRepository(store)
        match wish:
            case wishes.NamePerson(person=number, name=name):
                try:
                    people.name(number, name.strip() or None)
                except NameTakenError as error:
                    return {"taken": error.person_id}
            case wishes.MergePeople(person=number, others=others):
                people.merge(number, *others)
            case wishes.FaceWish(do="not", person=number, face=face):
                people.reject(number, face)
            case wishes.FaceWish(person=number, face=face):
                known = FaceRepository(store).get(face)
                if known is None or known.path is None or known.person_id != number:
                    raise ValidationError("This face is somebody else's by now: reload the page.")
                return {"person": people.split(number, known.path).id}
            case wishes.IgnoreFace(do="ignore", face=face):
                people.ignore(face)
            case wishes.IgnoreFace(face=face):
                people.heed(face)
            case wishes.IgnorePerson(person=number):
                people.ignore_person(number)
            case wishes.HidePerson(person=number, on=on):
                people.hide(number, hidden=on)
            case wishes.UndoPeople():
                undone = people.undo()
                sentence = undone.sentence if undone is not None else Message("There is nothing to undo.")
                return {"undone": speech.say(sentence)}
    return {"ok": True}
