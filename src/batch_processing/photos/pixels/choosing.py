"""Which photo of the same picture stays, and how the others go.

Promises: one photo of each picture always stays; nothing goes that was not compared with that very photo, nor what is
protected, lies in a library that a program keeps, is one half of a Live Photo, or has the same bytes as the one that stays
(`duplicates` is for those). A damaged photo stays only where all are. Pictures of a burst go only where that is asked
for. Before a photo goes both are read again: they are what was looked at, or nothing happens (`removal`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from .. import live, steps
from ..duplicates import Deed
from ..kinds import package_around
from ..reconcile import reconcile
from ..removal import Content, How, KeepBy, Protected, Refused, Wish, refusal_of, remove
from ..tables import MISSING, looks, pages, photos
from .fingerprints import TURNS, as_array, likeness, turned
from .similar import ALIKE, Group, Kind, Shot, best_first, taken_apart

if TYPE_CHECKING:
    from ..store import Store


class Rule(StrEnum):
    """Which photo of a group stays."""

    LARGEST = "largest"  # most pixels, then most bytes
    OLDEST = "oldest"  # by the time of its file
    UNDER = "under"


Keep = KeepBy[Rule]


class Why(StrEnum):
    """Why a photo stays beside the one that is kept."""

    SAME_BYTES = "same bytes"
    OTHER_PICTURE = "other picture"
    LIVE = "live"
    SHOWS_MORE = "shows more"
    PROTECTED = "protected"
    PROGRAM = "program"


@dataclass(frozen=True)
class Choice:
    """What becomes of a group. `absent`: not there now. `why`: of each that stays."""

    kept: Shot
    staying: tuple[Shot, ...]
    going: tuple[Shot, ...]
    absent: tuple[Shot, ...] = ()
    why: tuple[Why, ...] = ()

    @property
    def gain(self) -> int:
        return sum(shot.size for shot in self.going)


def choose(
    store: Store, group: Group, keep: Sequence[Keep], protected: Protected, *, with_bursts: bool = False
) -> Choice | None:
    """The photo that stays, by the first rule that names one, and what may go. None if no rule names one. A photo that is
    known to be damaged is never the one: what another, damaged elsewhere, still shows would go with that."""
    whole = [shot for shot in group.shots if shot.damaged is None and _is_there(shot)]
    for one in keep:
        named = whole
        if one.rule is Rule.UNDER and one.folder is not None:
            inside = Protected([one.folder])
            named = [shot for shot in whole if inside.holds(shot.path)]
        if named:
            ranked = best_first(named)
            kept = min(ranked, key=lambda shot: shot.mtime_ns) if one.rule is Rule.OLDEST else ranked[0]
            return keeping(store, group, kept, protected, with_bursts=with_bursts)
    return None


def keeping(
    store: Store, group: Group, kept: Shot, protected: Protected, *, with_bursts: bool = False
) -> Choice:
    """What may go where a person has said which photo stays: one that is there, and not damaged."""
    there = [shot for shot in group.shots if shot is kept or _is_there(shot)]
    absent = tuple(shot for shot in group.shots if shot not in there)
    others = [shot for shot in there if shot is not kept]
    may_go = _same_as(store, kept, others, with_bursts=with_bursts)
    halves = live.partners(store, [shot.id for shot in others])
    going, staying, why = [], [], []
    for shot in others:
        reason = _reason(shot, kept, protected, is_same=shot.digest in may_go, is_half=shot.id in halves)
        if reason is None:
            going.append(shot)
        else:
            staying.append(shot)
            why.append(reason)
    return Choice(kept, tuple(staying), tuple(going), absent, tuple(why))


def may_be_kept(shot: Shot) -> bool:
    """Whether a photo may be the one that stays."""
    return shot.damaged is None and _is_there(shot)


def _reason(shot: Shot, kept: Shot, protected: Protected, *, is_same: bool, is_half: bool) -> Why | None:
    if shot.digest == kept.digest:
        return Why.SAME_BYTES
    if protected.holds(shot.path):
        return Why.PROTECTED
    if package_around(shot.path) is not None:
        return Why.PROGRAM
    if is_half:
        return Why.LIVE
    if not is_same:
        return Why.OTHER_PICTURE
    return Why.SHOWS_MORE if _shows_more(shot, kept) else None


def _shows_more(shot: Shot, kept: Shot) -> bool:
    """Whether a damaged photo has more pixels than the whole one: a person decides which is worth more."""
    return shot.damaged is not None and shot.pixels > kept.pixels


def _is_there(shot: Shot) -> bool:
    try:
        return stat.S_ISREG(os.lstat(shot.path).st_mode)
    except OSError:
        return False


def _same_as(store: Store, kept: Shot, others: Sequence[Shot], *, with_bursts: bool) -> set[bytes]:
    """The contents that show the same picture as the photo that is kept, compared with it."""
    marks = _looks(store, [kept.digest, *(shot.digest for shot in others)])
    if kept.digest not in marks:
        return set()
    signature, picture = marks[kept.digest]
    found: set[bytes] = set()
    for shot in others:
        if shot.digest == kept.digest or shot.digest not in marks or shot.is_raw != kept.is_raw:
            continue
        its_signature, its_picture = marks[shot.digest]
        if picture is not None and picture == its_picture:
            found.add(shot.digest)
            continue
        moment = taken_apart([kept], [shot], Kind.SAME)
        if moment is None or (moment is Kind.BURST and not with_bursts):
            continue
        ways = np.concatenate([turned(as_array(signature), turn) for turn in TURNS])
        target = np.repeat(as_array(its_signature), len(TURNS), axis=0)
        if likeness(ways, target).best.max() >= ALIKE:
            found.add(shot.digest)
    return found


def _looks(store: Store, digests: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes | None]]:
    """Signature and compressed picture of contents."""
    digest = sa.type_coerce(looks.c.hash, sa.LargeBinary)
    found: dict[bytes, tuple[bytes, bytes | None]] = {}
    for page in pages(dict.fromkeys(digests)):
        query = sa.select(digest, looks.c.signature, looks.c.picture)
        with store.read() as connection:
            rows = connection.execute(query.where(digest.in_(page), looks.c.signature.is_not(None))).all()
        found |= {
            bytes(key): (bytes(signature), bytes(picture) if picture is not None else None)
            for key, signature, picture in rows
        }
    return found


def trash_similar(store: Store, choice: Choice, protected: Protected) -> Iterator[Deed]:
    """Move the photos of a group that may go to the trash; gives what happened to each, when it did."""
    kept = choice.kept
    staying = [shot.path for shot in choice.staying]
    for shot in choice.going:
        other = Content(kept.size, kept.digest)
        wish = Wish(shot.path, kept.path, staying, shot.size, shot.digest, protected, other)
        try:
            step = remove(store, wish, How.TRASH)
        except (OSError, Refused) as error:
            refusal, problem = refusal_of(error)
            yield Deed(How.TRASH, shot.path, kept.path, shot.size, refusal, problem)
            continue
        with store.write() as connection:
            steps.end(connection, step)
            connection.execute(photos.update().where(photos.c.id == shot.id).values(state=MISSING))
            reconcile(connection, [shot.digest])
        yield Deed(How.TRASH, shot.path, kept.path, shot.size)
