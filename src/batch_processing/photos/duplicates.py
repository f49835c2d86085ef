"""Copies: which there are, what they cost, and how to get rid of them without losing anything.

Promises: a photo goes only after the one check of `removal`; one photo of each group always stays, and all that
are protected. What can be gained counts only photos that are there now and have bytes of their own. Does not look at
anything but equal bytes: RAW+JPEG pairs and Live Photos are no copies.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..core.workspace import file_system
from ..messages import NOTHING, Message
from . import extents, steps
from .hashing import join
from .kinds import package_around
from .reading import open_file
from .reconcile import reconcile
from .removal import How, KeepBy, Protected, Refusal, Refused, Wish, in_machine_folder, refusal_of, remove
from .tables import (
    HASH_DUPLICATE,
    MISSING,
    PRESENT,
    aliases,
    below,
    directories,
    duplicates,
    errors,
    pages,
    photos,
)

if TYPE_CHECKING:
    from .store import Store


class Rule(StrEnum):
    """Which photo of a group stays."""

    OLDEST = "oldest"
    NEWEST = "newest"
    SHORTEST_PATH = "shortest-path"
    UNDER = "under"


Keep = KeepBy[Rule]


@dataclass(frozen=True)
class Member:
    """One photo of a group."""

    id: int
    path: bytes
    mtime_ns: int
    is_original: bool
    is_there: bool = True  # now
    place: extents.Extents | None = None  # where its bytes lie, on file systems whose files may share them
    is_ruined: bool = False  # a scan or `verify` has found that it does not hold its content any more, or no one can read it


@dataclass(frozen=True)
class Choice:
    """What becomes of a group: one photo is kept, others stay beside it, the rest may go."""

    kept: Member
    staying: tuple[Member, ...]
    going: tuple[Member, ...]


@dataclass(frozen=True)
class Group:
    """Photos of equal content. `size` in bytes, of each."""

    digest: bytes
    size: int
    members: tuple[Member, ...]

    @property
    def gain(self) -> int:
        """Bytes that are free when one photo is left: those that are not there now, and those that share the bytes of
        another, cost nothing."""
        there = [member for member in self.members if member.is_there and not member.is_ruined]
        own = {member.place or member.id for member in there}
        return self.size * max(0, len(own) - 1)

    def choose(self, keep: Sequence[Keep], protected: Protected) -> Choice | None:
        """The photo that stays, by the first rule that names one. Where several are as good: the original, then the
        shortest path. None if no rule names one, or if nothing may go. A ruined photo is never the one, and never goes."""
        there = [member for member in self.members if member.is_there and not member.is_ruined]
        for one in keep:
            candidates = there
            if one.rule is Rule.UNDER and one.folder is not None:
                inside = Protected([one.folder])
                candidates = [member for member in there if inside.holds(member.path)]
            if candidates:
                choice = self.keeping(min(candidates, key=lambda member: _rank(member, one.rule)), protected)
                return choice if choice.going else None
        return None

    def keeping(self, kept: Member, protected: Protected) -> Choice:
        """What may go where a person has said which photo stays: one that is there, and not ruined."""
        there = [member for member in self.members if member.is_there and not member.is_ruined]
        others = [member for member in there if member is not kept]
        staying = tuple(
            member
            for member in others
            if protected.holds(member.path) or package_around(member.path) is not None
        )
        going = tuple(member for member in others if member not in staying)
        return Choice(kept, staying, going)


def _rank(member: Member, rule: Rule) -> tuple[int, bool, int, bytes]:
    age = {Rule.NEWEST: -member.mtime_ns, Rule.SHORTEST_PATH: 0}.get(rule, member.mtime_ns)
    return age, rule is not Rule.SHORTEST_PATH and not member.is_original, len(member.path), member.path


@dataclass(frozen=True)
class Deed:
    """What happened to one copy. `refusal` None: it was done; else why not, and the same as a clause for a person."""

    how: How
    path: bytes
    kept: bytes
    size: int
    refusal: Refusal | None = None
    problem: Message = NOTHING


@dataclass
class _Disks:
    """What is asked of the disks about many photos."""

    share: dict[int, bool] = field(default_factory=dict)  # by device

    def member(self, row: Any, *, is_original: bool, is_ruined: bool) -> Member:
        path = join(bytes(row.directory), bytes(row.name))
        try:
            status = os.lstat(path)
        except OSError:
            status = None
        is_there = status is not None and stat.S_ISREG(status.st_mode)
        place = None
        if status is not None and is_there and self._may_share(status.st_dev, path):
            with suppress(OSError):
                descriptor = open_file(path)
                try:
                    place = extents.extents(descriptor)
                finally:
                    os.close(descriptor)
        return Member(row.id, path, row.mtime_ns, is_original, is_there, place, is_ruined)

    def _may_share(self, device: int, path: bytes) -> bool:
        if device not in self.share:
            folder = Path(os.fsdecode(os.path.dirname(path)))  # noqa: PTH120 - bytes
            self.share[device] = file_system(folder) in extents.SHARING
        return self.share[device]


_cost = photos.c.size * sa.func.count()


def _costliest_first() -> sa.Select[Any]:
    """The original of each group, and what its copies cost as the tables say."""
    return (
        sa.select(duplicates.c.duplicate_of_id, _cost)
        .select_from(duplicates.join(photos, photos.c.id == duplicates.c.photo_id))
        .where(duplicates.c.reason == HASH_DUPLICATE, photos.c.state == PRESENT)
        .group_by(duplicates.c.duplicate_of_id, photos.c.size)
        .order_by(_cost.desc(), duplicates.c.duplicate_of_id)
    )


@dataclass(frozen=True)
class Place:
    """Where a group stands in the order of `groups_after`: what it costs, and its original."""

    cost: int
    original: int


def groups_after(store: Store, place: Place | None, most: int) -> tuple[list[Group], Place | None]:
    """The groups that come after a place, `most` at the most, and the place of the last one; None when none is left."""
    query = _costliest_first().limit(most)
    if place is not None:
        later = sa.and_(_cost == place.cost, duplicates.c.duplicate_of_id > place.original)
        query = query.having(sa.or_(_cost < place.cost, later))
    with store.read() as connection:
        found = connection.execute(query).all()
    made = _groups(store, [original for original, _ in found], _Disks())
    order = {original: at for at, (original, _) in enumerate(found)}
    made.sort(key=lambda group: min(order.get(member.id, most) for member in group.members))
    return made, Place(found[-1][1], found[-1][0]) if len(found) == most else None


def group_with(store: Store, photo: int) -> Group | None:
    """The group of copies that a photo is in."""
    of = sa.select(duplicates.c.duplicate_of_id).where(
        duplicates.c.photo_id == photo, duplicates.c.reason == HASH_DUPLICATE
    )
    with store.read() as connection:
        original = connection.scalar(of)
    made = _groups(store, [photo if original is None else original], _Disks())
    return next((group for group in made if any(member.id == photo for member in group.members)), None)


def groups(store: Store, folders: Sequence[bytes] = ()) -> Iterator[Group]:
    """All groups of copies, or those that touch one of `folders`; those that cost most, as the tables say, first."""
    query = _costliest_first()
    if folders:
        located = photos.join(directories, directories.c.id == photos.c.directory_id)
        here = sa.select(photos.c.id).select_from(located).where(sa.or_(*map(below, folders)))
        copies = sa.select(duplicates.c.duplicate_of_id).where(duplicates.c.photo_id.in_(here))
        touched = sa.or_(duplicates.c.duplicate_of_id.in_(here), duplicates.c.duplicate_of_id.in_(copies))
        query = query.where(touched)
    with store.read() as connection:
        found = connection.execute(query).all()
    disks = _Disks()
    for page in pages([original for original, _ in found], 100):
        yield from sorted(_groups(store, page, disks), key=lambda group: -group.gain)


def _groups(store: Store, originals: Sequence[int], disks: _Disks) -> list[Group]:
    """The groups of these originals."""
    copies = sa.select(duplicates.c.photo_id).where(
        duplicates.c.duplicate_of_id.in_(originals), duplicates.c.reason == HASH_DUPLICATE
    )
    with store.read() as connection:
        rows = connection.execute(
            sa.select(
                photos.c.id,
                sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory"),
                sa.type_coerce(photos.c.name, sa.LargeBinary).label("name"),
                sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest"),
                photos.c.size,
                photos.c.mtime_ns,
            )
            .select_from(photos.join(directories, directories.c.id == photos.c.directory_id))
            .where(sa.or_(photos.c.id.in_(originals), photos.c.id.in_(copies)), photos.c.state == PRESENT)
            .order_by(photos.c.id)
        ).all()
        ruined = _ruined(connection, [join(bytes(row.directory), bytes(row.name)) for row in rows])
    together: dict[bytes, list[Member]] = {}
    sizes: dict[bytes, int] = {}
    for row in rows:
        path = join(bytes(row.directory), bytes(row.name))
        member = disks.member(row, is_original=row.id in originals, is_ruined=path in ruined)
        if not in_machine_folder(member.path):
            together.setdefault(bytes(row.digest), []).append(member)
            sizes[bytes(row.digest)] = row.size
    return [
        Group(digest, sizes[digest], tuple(members))
        for digest, members in together.items()
        if len(members) > 1
    ]


def _ruined(connection: sa.Connection, paths: Sequence[bytes]) -> set[bytes]:
    """Which of these photos a scan or `verify` could not read, or found to be ruined."""
    found: set[bytes] = set()
    for page in pages(paths):
        query = sa.select(errors.c.path).where(
            errors.c.path.in_([os.fsdecode(path) for path in page]), errors.c.stage.in_(("hash", "verify"))
        )
        found.update(os.fsencode(path) for path in connection.scalars(query))
    return found


def remove_copies(
    store: Store, group: Group, choice: Choice, how: How, protected: Protected
) -> Iterator[Deed]:
    """Replace or trash the photos of `group` that may go; gives what happened to each, when it did."""
    staying = [member.path for member in choice.staying]
    for copy in choice.going:
        wish = Wish(copy.path, choice.kept.path, staying, group.size, group.digest, protected)
        try:
            step = remove(store, wish, how)
        except (OSError, Refused) as error:
            refusal, problem = refusal_of(error)
            other = error.other if isinstance(error, Refused) else None
            if other is not None:
                _remember_same(store, copy, other, group, is_link=refusal is Refusal.HARD_LINK)
            if _is_done_already(refusal, how) and other in (None, choice.kept.path):
                yield Deed(how, copy.path, choice.kept.path, group.size)
            else:
                yield Deed(how, copy.path, choice.kept.path, group.size, refusal, problem)
            continue
        with store.write() as connection:
            steps.end(connection, step)
            if how is not How.REFLINK:
                values: dict[str, object] = (
                    {"hardlink_of_id": choice.kept.id} if how is How.HARDLINK else {"state": MISSING}
                )
                connection.execute(photos.update().where(photos.c.id == copy.id).values(values))
                reconcile(connection, [group.digest])
        yield Deed(how, copy.path, choice.kept.path, group.size)


def _is_done_already(refusal: Refusal, how: How) -> bool:
    """Whether a copy is what it was to become: made so by a run that was killed before it could record it."""
    if refusal is Refusal.HARD_LINK:
        return how is not How.TRASH
    return refusal is Refusal.SHARED and how is How.REFLINK


def _remember_same(store: Store, copy: Member, other: bytes, group: Group, *, is_link: bool) -> None:
    """That two photos are one file, and no copies, as the disk has shown: a hard link, or another way to it."""
    same = next(member for member in group.members if member.path == other)
    known = sa.select(aliases.c.id).where(aliases.c.photo_id == copy.id, aliases.c.same_as_id == same.id)
    with store.write() as connection:
        if is_link:
            connection.execute(photos.update().where(photos.c.id == copy.id).values(hardlink_of_id=same.id))
        elif connection.scalar(known) is None:
            connection.execute(aliases.insert().values(photo_id=copy.id, same_as_id=same.id))
        reconcile(connection, [group.digest])
