"""Copies and similar photos side by side: the window, its groups, and how photos of them go to the trash and come back.

Promises: a photo of each group stays, first by a rule, then by whom a person chooses; what goes is checked against what the
library says now, in number and bytes as they were confirmed, and removed by the command line's own doors (`cleaning`). Photos
outside of the roots are neither shown nor moved, and count among those that have to stay.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...core.plain import to_plain
from ...exceptions import ValidationError
from ...formatting import safe, size
from ...messages import N_, NOTHING, Message
from . import wishes
from .cleaning import Doing, Done
from .library import page
from .site import Site
from .speech import Speech

if TYPE_CHECKING:
    from ...photos import duplicates
    from ...photos.pixels import choosing, similar
    from ...photos.removal import Protected
    from ...photos.store import Store

WINDOW = 20  # groups at once
MOST_CARDS = 60  # photos of one group that are shown


@dataclass(frozen=True)
class Fact:
    """Something that is known of a photo. `differs`: it is otherwise with the photo that stays."""

    name: str
    value: str | Message
    differs: bool


@dataclass(frozen=True)
class Card:
    """A photo. `role`: keep, going, stays or absent; `why`: why it stays; `keepable`: it may be the one that stays."""

    id: int
    role: str
    why: str
    name: str
    folder: str
    mark: str
    shape: float
    size: int
    keepable: bool
    facts: Sequence[Fact]


@dataclass(frozen=True)
class GroupView:
    """`number`: of a similar group; `photo`: an id by which copies are found again; `ticked`: what may go is offered ticked;
    `more`: photos that are not shown."""

    kind: str
    number: int
    photo: int
    ticked: bool
    cards: Sequence[Card]
    more: int


WHY_WORDS = {
    "same bytes": N_("has the same bytes as the one that stays: see the copies"),
    "other picture": N_("is another picture than the one that stays"),
    "live": N_("is one half of a Live Photo"),
    "shows more": N_("is damaged, but shows more: look at it yourself"),
    "protected": N_("lies in a folder that stays as it is"),
    "program": N_("lies in a library that another program keeps"),
    "ruined": N_("cannot be read, or is ruined"),
}
# Kinds of groups of which what may go is offered ticked: the others may be somebody's work, or other pictures.
TICKED = ("copies", "metadata", "same picture")


def window(site: Site, request: Request, speech: Speech) -> Response:
    from ...photos.pixels.report import EXPLANATIONS, HEADINGS
    from ...photos.trash import is_told

    kinds = [(str(kind), HEADINGS[kind], EXPLANATIONS[kind]) for kind in HEADINGS]
    return page(speech, "similar", kinds=kinds, is_told=is_told())


class _Here:
    """Whether photos lie below the roots, each folder looked at once."""

    def __init__(self, site: Site) -> None:
        self._site, self._known = site, dict[bytes, bool]()

    def __call__(self, path: bytes) -> bool:
        folder = os.path.dirname(path)  # noqa: PTH120 - bytes
        if folder not in self._known:
            self._known[folder] = self._site.roots.hold(os.fsdecode(folder))
        return self._known[folder]


# -- copies ---------------------------------------------------------------------------------------------


def _protected(site: Site, under: str) -> tuple[Protected, bytes | None]:
    """The folder below which nothing goes, as it was typed."""
    from ...photos.names import as_listed
    from ...photos.removal import Protected as Folders

    if not under:
        return Folders([]), None
    folder = as_listed(os.fsencode(site.roots.typed(under)))
    if not os.path.isdir(folder):  # noqa: PTH112 - bytes
        raise ValidationError("{folder} is not a folder.", folder=under)
    return Folders([folder]), folder


def copies(site: Site, request: Request, speech: Speech) -> Any:
    """Groups of photos with the same bytes, from a place on."""
    from ...photos.duplicates import Keep, Place, Rule, groups_after

    asked = request.query_params
    protected, folder = _protected(site, asked.get("under", "") if asked.get("keep") == Rule.UNDER else "")
    rule = asked.get("keep", "")
    keep = [Keep(Rule.UNDER, folder)] if folder is not None else []
    keep.append(Keep(Rule(rule) if rule in (Rule.NEWEST, Rule.SHORTEST_PATH) else Rule.OLDEST))
    cost, original = _pair(asked.get("after", ""))
    place = Place(cost, original) if original else None
    if not site.library.exists:
        return {"groups": [], "next": ""}
    here = _Here(site)
    shown: list[GroupView] = []
    with site.library.store() as store:
        while len(shown) < WINDOW:
            found, place = groups_after(store, place, WINDOW)
            for group in found:
                inside = replace(group, members=tuple(one for one in group.members if here(one.path)))
                if len(inside.members) > 1:
                    shown.append(_copies_view(store, inside, inside.choose(keep, protected)))
            if place is None:
                break
    told = [_told(speech, view) for view in shown]
    return {"groups": told, "next": f"{place.cost},{place.original}" if place else ""}


def _pair(text: str) -> tuple[int, int]:
    """A key of two numbers; zeros for anything else."""
    left, _, right = text.partition(",")
    if all(part.isascii() and part.isdigit() and len(part) < 19 for part in (left, right)):
        return int(left), int(right)
    return 0, 0


def _copies_view(store: Store, group: duplicates.Group, choice: duplicates.Choice | None) -> GroupView:
    first = choice.kept if choice is not None else group.members[0]
    members = sorted(group.members, key=lambda one: one is not first)
    seen = _seen(store, [member.id for member in members[:MOST_CARDS]])
    cards = [_copy_card(group, member, choice, seen.get(member.id)) for member in members[:MOST_CARDS]]
    return GroupView("copies", 0, first.id, True, cards, len(members) - len(cards))


def _copy_card(
    group: duplicates.Group, member: duplicates.Member, choice: duplicates.Choice | None, seen: _Seen | None
) -> Card:
    import time

    role, why = "stays", ""
    if not member.is_there:
        role = "absent"
    elif choice is not None and member is choice.kept:
        role = "keep"
    elif choice is not None and member in choice.going:
        role = "going"
    elif member.is_ruined:
        why = "ruined"
    elif choice is not None:
        why = "protected"
    folder, name = os.path.split(member.path)

    def changed(one: duplicates.Member) -> str:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(one.mtime_ns / 1e9))

    first = choice.kept if choice is not None else member
    facts = [
        Fact(N_("size"), size(group.size), False),
        Fact(N_("changed"), changed(member), changed(member) != changed(first)),
    ]
    return Card(
        member.id, role, why, os.fsdecode(name), os.fsdecode(folder), group.digest[:6].hex(),
        seen.shape if seen else 0.0, group.size, member.is_there and not member.is_ruined, facts,
    )  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    shape: float


def _seen(store: Store, ids: Sequence[int]) -> dict[int, _Seen]:
    """What a look at these photos has told."""
    import sqlalchemy as sa

    from ...photos.tables import looks, photos

    query = sa.select(photos.c.id, looks.c.width, looks.c.height).join(looks, looks.c.hash == photos.c.hash)
    with store.read() as connection:
        rows = connection.execute(query.where(photos.c.id.in_(list(ids)))).all()
    return {photo: _Seen(width / height) for photo, width, height in rows if width and height}


# -- similar photos -------------------------------------------------------------------------------------


def found(site: Site, request: Request, speech: Speech) -> Any:
    """How the search stands, and groups of what was found, from a number on."""
    from ...photos.pixels.choosing import Keep, Rule

    if not site.library.exists:
        return {"state": "none"}
    if site.library.is_finding:
        return {"state": "finding"}
    known = site.library.similar()
    if known is None:
        return {"state": "none"}
    asked = request.query_params
    protected, folder = _protected(site, asked.get("under", "") if asked.get("keep") == Rule.UNDER else "")
    keep = [Keep(Rule.UNDER, folder)] if folder is not None else []
    keep.append(Keep(Rule.OLDEST if asked.get("keep") == Rule.OLDEST else Rule.LARGEST))
    number, here = _pair(asked.get("from", "0") + ",0")[0], _Here(site)
    shown: list[GroupView] = []
    with site.library.store() as store:
        while number < len(known.groups) and len(shown) < WINDOW:
            group = _now(store, site, number, here)
            if group is not None:
                shown.append(_similar_view(store, number, group, _choose(store, group, keep, protected)))
            number += 1
    return {
        "state": "found",
        "looks": known.looks,
        "total": len(known.groups),
        "groups": [_told(speech, view) for view in shown],
        "next": number if number < len(known.groups) else 0,
    }


def _now(store: Store, site: Site, number: int, here: Callable[[bytes], bool]) -> similar.Group | None:
    """A group that was found, as it is now, of photos below the roots."""
    known = site.library.similar()
    if known is None or not 0 <= number < len(known.groups):
        return None
    group = known.groups[number].now(store)
    if group is None:
        return None
    inside = [(shot, kind) for shot, kind in zip(group.shots, group.kinds, strict=True) if here(shot.path)]
    if len({shot.digest for shot, _ in inside}) < 2:
        return None
    return replace(group, shots=tuple(one for one, _ in inside), kinds=tuple(kind for _, kind in inside))


def _choose(
    store: Store, group: similar.Group, keep: Sequence[choosing.Keep], protected: Protected
) -> choosing.Choice | None:
    from ...photos.pixels.choosing import choose
    from ...photos.pixels.similar import Kind

    return choose(store, group, keep, protected, with_bursts=group.kind is Kind.BURST)


def _similar_view(
    store: Store, number: int, group: similar.Group, choice: choosing.Choice | None
) -> GroupView:
    from ...photos.pixels.choosing import may_be_kept
    from ...photos.pixels.report import Role, facts_of, roles

    placed = roles(group, choice)
    first = placed[0][1]
    why = dict(zip((shot.id for shot in choice.staying), choice.why, strict=True)) if choice else {}
    names = {Role.KEEP: "keep", Role.GOING: "going", Role.STAYS: "stays", Role.ABSENT: "absent"}
    cards = []
    for role, shot in placed[:MOST_CARDS]:
        folder, name = os.path.split(shot.path)
        facts = [
            Fact(label, value, shot is not first and value != other)
            for (label, value), (_, other) in zip(facts_of(shot), facts_of(first), strict=True)
        ]
        shape = shot.width / shot.height if shot.width and shot.height else 0.0
        cards.append(
            Card(
                shot.id, names[role], str(why.get(shot.id, "")), os.fsdecode(name), os.fsdecode(folder),
                shot.digest[:6].hex(), shape, shot.size, may_be_kept(shot), facts,
            )
        )  # fmt: skip
    return GroupView(
        str(group.kind), number, first.id, str(group.kind) in TICKED, cards, len(placed) - len(cards)
    )


def _told(speech: Speech, view: GroupView) -> Any:
    """A group in the reader's language."""
    cards = [
        replace(
            card,
            name=safe(card.name),
            folder=safe(card.folder),
            why=speech.say(WHY_WORDS[card.why]) if card.why else "",
            facts=[
                replace(fact, name=speech.say(fact.name), value=safe(speech.say(fact.value)))
                for fact in card.facts
            ],
        )
        for card in view.cards
    ]
    return to_plain(replace(view, cards=cards))


def group(site: Site, request: Request, speech: Speech) -> Any:
    """One group anew, with the photo that stays chosen by a person."""
    asked = request.query_params
    kept = _pair(asked.get("kept", "0") + ",0")[0]
    protected, _ = _protected(site, asked.get("under", ""))
    number = _pair(asked.get("number", "0") + ",0")[0]
    with site.library.store() as store:
        if asked.get("of") == "copies":
            same, choice = _chosen_copies(store, _Here(site), kept, protected)[:2]
            return _told(speech, _copies_view(store, same, choice))
        made, chosen = _chosen_similar(store, site, _Here(site), number, kept, protected)
        return _told(speech, _similar_view(store, number, made, chosen))


def _chosen_copies(
    store: Store, here: Callable[[bytes], bool], kept: int, protected: Protected
) -> tuple[duplicates.Group, duplicates.Choice, list[duplicates.Member]]:
    """The copies below the roots, what becomes of them when this one stays, and those outside."""
    from ...photos.duplicates import group_with

    whole = group_with(store, kept)
    if whole is None:
        raise ValidationError("This group is another one by now: look at the groups again.")
    inside = replace(whole, members=tuple(one for one in whole.members if here(one.path)))
    first = next(
        (one for one in inside.members if one.id == kept and one.is_there and not one.is_ruined), None
    )
    if first is None:
        raise ValidationError("The photo that is to stay is not there, or not whole: choose another one.")
    return inside, inside.keeping(first, protected), [one for one in whole.members if not here(one.path)]


def _chosen_similar(
    store: Store, site: Site, here: Callable[[bytes], bool], number: int, kept: int, protected: Protected
) -> tuple[similar.Group, choosing.Choice]:
    from ...photos.pixels.choosing import keeping, may_be_kept
    from ...photos.pixels.similar import Kind

    made = _now(store, site, number, here)
    if made is None:
        raise ValidationError("This group is another one by now: look at the groups again.")
    first = next((shot for shot in made.shots if shot.id == kept and may_be_kept(shot)), None)
    if first is None:
        raise ValidationError("The photo that is to stay is not there, or not whole: choose another one.")
    return made, keeping(store, made, first, protected, with_bursts=made.kind is Kind.BURST)


# -- the trash, and back --------------------------------------------------------------------------------


async def do(site: Site, request: Request, speech: Speech) -> Any:
    wish = wishes.understood(await request.body(), wishes.SIMILAR)
    await run_in_threadpool(_do, site, wish)
    return {"ok": True}


def _do(site: Site, wish: wishes.SimilarWish) -> None:
    match wish:
        case wishes.Find(distance=distance, turned=turned):
            site.library.find(distance, with_turned=turned)
        case wishes.Trash():
            _trash(site, wish)
        case wishes.TakeBack(log=name):
            _take_back(site, name)
        case wishes.Stop():
            site.cleaner.stop()


@dataclass(frozen=True)
class _Copies:
    group: duplicates.Group
    choice: duplicates.Choice

    @property
    def going(self) -> list[tuple[int, bytes, int]]:
        return [(one.id, one.path, self.group.size) for one in self.choice.going]


@dataclass(frozen=True)
class _Similar:
    choice: choosing.Choice

    @property
    def going(self) -> list[tuple[int, bytes, int]]:
        return [(shot.id, shot.path, shot.size) for shot in self.choice.going]


_Plan = _Copies | _Similar


def _trash(site: Site, wish: wishes.Trash) -> None:
    from ...photos.removals import new_log

    protected, _ = _protected(site, wish.under)
    here = _Here(site)
    with site.library.store() as store:
        plans: list[_Plan] = [
            _planned_copies(store, here, chosen, protected)
            if wish.of == "copies"
            else _planned_similar(store, site, here, chosen, protected)
            for chosen in wish.groups
        ]
    going = [one for plan in plans for one in plan.going]
    if len({path for _, path, _ in going}) != len(going):
        raise ValidationError("A photo is asked for twice: look at the groups again.")
    if (len(going), sum(size for _, _, size in going)) != (wish.photos, wish.bytes):
        raise ValidationError(
            "What would be moved is not what was confirmed any more: look at the groups again."
        )
    log = new_log(site.cleaner.logs, "duplicates" if wish.of == "copies" else "similar")
    site.cleaner.start(Doing.TRASH, len(going), log, lambda store: _deeds(store, plans, protected))


def _planned_copies(
    store: Store, here: Callable[[bytes], bool], chosen: wishes.Chosen, protected: Protected
) -> _Copies:
    made, choice, outside = _chosen_copies(store, here, chosen.kept, protected)
    wanted = set(chosen.going)
    _refuse_others(wanted, [one.id for one in choice.going])
    going = tuple(one for one in choice.going if one.id in wanted)
    left = tuple(one for one in choice.going if one.id not in wanted)
    there = tuple(one for one in outside if one.is_there)
    return _Copies(made, replace(choice, going=going, staying=(*choice.staying, *left, *there)))


def _planned_similar(
    store: Store, site: Site, here: Callable[[bytes], bool], chosen: wishes.Chosen, protected: Protected
) -> _Similar:
    _, choice = _chosen_similar(store, site, here, chosen.number, chosen.kept, protected)
    wanted = set(chosen.going)
    _refuse_others(wanted, [shot.id for shot in choice.going])
    going = tuple(shot for shot in choice.going if shot.id in wanted)
    left = tuple(shot for shot in choice.going if shot.id not in wanted)
    return _Similar(replace(choice, going=going, staying=(*choice.staying, *left)))


def _refuse_others(wanted: set[int], allowed: Sequence[int]) -> None:
    if not wanted <= set(allowed):
        raise ValidationError("A photo that is to go has to stay by now: look at the groups again.")


def _deeds(store: Store, plans: Sequence[_Plan], protected: Protected) -> Iterator[Done]:
    from ...photos.duplicates import remove_copies
    from ...photos.pixels.choosing import trash_similar
    from ...photos.removal import How
    from ...photos.removals import line_of

    for plan in plans:
        ids = {path: photo for photo, path, _ in plan.going}
        if isinstance(plan, _Copies):
            made = remove_copies(store, plan.group, plan.choice, How.TRASH, protected)
            digests = dict.fromkeys(ids, plan.group.digest)
        else:
            made = trash_similar(store, plan.choice, protected)
            digests = {shot.path: shot.digest for shot in plan.choice.going}
        for deed in made:
            yield Done(ids[deed.path], deed.path, deed.size, line_of(deed, digests[deed.path]), deed.problem)


def _take_back(site: Site, name: str) -> None:
    from ...photos.removals import line_of_back, log_named, take_back, trashed

    log = log_named(site.cleaner.logs, name)
    here = _Here(site)
    wanted = [one for one in trashed(log) if here(one.path)]

    def work(store: Store) -> Iterator[Done]:
        for back in take_back(store, wanted):
            yield Done(0, back.path, back.size, line_of_back(back), back.problem)

    if not wanted:
        raise ValidationError("Nothing of this removal is in the trash any more.")
    site.cleaner.start(Doing.BACK, len(wanted), log, work)


@dataclass(frozen=True)
class LeftAlone:
    path: str
    why: str


@dataclass(frozen=True)
class CleaningNews:
    """How moving stands; see `cleaning.Cleaning`. `problem`: why it came to an end before its end."""

    doing: str
    total: int
    done: int
    gain: int
    left: Sequence[LeftAlone]
    gone: Sequence[int]
    log: str
    ended: bool
    problem: str


def cleaning(site: Site, request: Request, speech: Speech) -> Any:
    """How moving stands, and the removals that can be undone."""
    from ...photos.removals import removals
    from ...photos.trash import is_told

    now = site.cleaner.now
    news = CleaningNews(
        str(now.doing), now.total, now.done, now.gain,
        [LeftAlone(safe(os.fsdecode(path)), speech.say(why)) for path, why in list(now.left)],
        list(now.gone), now.log, now.ended, "" if now.problem == NOTHING else speech.say(now.problem),
    )  # fmt: skip
    past = [to_plain(one) for one in removals(site.cleaner.logs)] if now.ended else []
    return {"now": to_plain(news), "past": past, "told": is_told()}
