"""People by number and name, and the faces that are known: the doors for commands, pages and Python programs.

    with open_library() as session:
        people = PersonRepository(session)
        for person in people.list_all():
            print(person.id, person.name, person.photos)
        people.name(12, "Beto")

Promises: each change is one transaction, committed when the call returns, and can be undone. A name belongs to one person,
however it is spelled. A number is never given again. Two faces of one photo are never one person: a merge that would have
it so is refused. Where faces were never looked for, lists are empty.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...exceptions import ValidationError
from ..hashing import join
from ..store import Store
from ..tables import (
    MISSING,
    directories,
    face_decisions,
    faces,
    facts,
    local_time,
    pages,
    people,
    photos,
)
from . import deeds
from .asked import asked
from .deeds import Deed
from .face import FaceKind
from .naming import folded, kept
from .person import Action, ActionKind, KnownFace, Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ...core.workspace import Workspace
    from .grouping import Grouping

__all__ = ["Action", "FaceRepository", "KnownFace", "NameTakenError", "Person", "PersonRepository"]

_there = photos.c.state != MISSING
_raw_hash = sa.type_coerce(faces.c.hash, sa.LargeBinary)


class NameTakenError(ValidationError):
    """Somebody else has this name: `person_id`."""

    def __init__(self, *sentence: object, person_id: int = 0, **values: object) -> None:
        super().__init__(*sentence, **values)  # type: ignore[arg-type]
        self.person_id = person_id


class PersonRepository:
    """The people of a library. `library`: a session on it, which is committed before each call reads or writes, or its
    store. `workspace`: of which the commands are, if not that beside whose database the library is."""

    def __init__(self, library: Session | Store, workspace: Workspace | None = None) -> None:
        self._store = library if isinstance(library, Store) else Store(library)
        self._workspace = workspace

    def group(self, progress: Callable[[float], None] = lambda share: None) -> Grouping:
        """Tell whose the faces are that were found since the last time. `progress` is told the share of the search that is
        done, 0 to 1. Takes about a minute for the first 100,000 faces, and less than a second for a hundred more."""
        from .forgetting import go_on
        from .grouping import group

        go_on(self._store, self._workspace)
        return group(self._store, self._workspace, progress=progress)

    # -- questions ----------------------------------------------------------------------------------

    def list_all(self, *, hidden: bool = False, least_faces: int = 1) -> list[Person]:
        """The people who are on photos that are there: whoever is on most comes first. `hidden`: those that are hidden,
        too. `least_faces`: only those with so many."""
        return [
            person
            for person in self._people()
            if person.faces >= least_faces and (hidden or not person.hidden)
        ]

    def get(self, id: int) -> Person | None:  # noqa: A002 - the field's name
        """The person with this number, also one without photos; None if there never was one."""
        with self._store.read() as connection:
            row = connection.execute(
                sa.select(people.c.id, people.c.label, people.c.hidden).where(people.c.id == id)
            ).first()
        if row is None:
            return None
        found = next(iter(self._people(id)), None)
        return found or Person(row.id, row.label, row.hidden, 0, 0, None, None)

    def find(self, text: str) -> Person:
        """The person with this name, in any case, or with this number. ValidationError if there is none."""
        with self._store.read() as connection:
            by_name = connection.scalar(sa.select(people.c.id).where(people.c.folded == folded(text)))
        number = int(text) if by_name is None and text.strip().isdecimal() and len(text) < 19 else by_name
        person = self.get(number) if number is not None else None
        if person is None:
            raise ValidationError(
                "There is no person {name}: `lote photos people` lists them by number and name.",
                name=repr(text),
            )
        return person

    def history(self, limit: int | None = None) -> list[Action]:
        """What was done and not undone, the latest first."""
        with self._store.read() as connection:
            return deeds.actions(connection, limit)

    def _people(self, one: int | None = None) -> Iterator[Person]:
        """Those who are on photos that are there."""
        taken = local_time(is_sqlite=self._store.is_sqlite)
        shown = (
            sa.select(
                faces.c.person_id,
                sa.func.count(sa.distinct(faces.c.id)).label("faces"),
                sa.func.count(sa.distinct(faces.c.hash)).label("photos"),
                sa.func.min(taken).label("since"),
                sa.func.max(taken).label("until"),
            )
            .select_from(
                faces.join(photos, photos.c.hash == faces.c.hash).outerjoin(
                    facts, facts.c.photo_id == photos.c.id
                )
            )
            .where(_there, faces.c.person_id.is_not(None) if one is None else faces.c.person_id == one)
            .group_by(faces.c.person_id)
            .subquery()
        )
        query = sa.select(people.c.id, people.c.label, people.c.hidden, *list(shown.c)[1:]).join(
            shown, shown.c.person_id == people.c.id
        )
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(shown.c.photos.desc(), people.c.id)).all()
        return (Person(*row) for row in rows)

    # -- changes ------------------------------------------------------------------------------------

    def name(self, id: int, name: str | None) -> Person:  # noqa: A002 - the field's name
        """Give somebody a name, or another one; None takes it away. NameTakenError, a ValidationError, if somebody else has
        it; ValidationError for what is no name, and for a number that nobody has."""
        label = kept(name) if name is not None else ""
        with self._store.write() as connection:
            self._begin(connection, id)
            if label:
                other = connection.scalar(
                    sa.select(people.c.id).where(people.c.folded == folded(label), people.c.id != id)
                )
                if other is not None:
                    raise NameTakenError(
                        "{name} is person {other} already: `lote photos people merge {other} {person}` makes "
                        "one person of the two; else give another name.",
                        person_id=other,
                        name=label,
                        other=other,
                        person=id,
                    )
            deed = Deed(connection, ActionKind.NAME)
            deed.change_person(id, label=label)
            deed.confirm(id)
            deed.end(id, name=label or None)
        return self._now(id)

    def merge(self, id: int, *others: int) -> Person:  # noqa: A002 - the field's name
        """Make one person of several: `id` stays, with their name, or else with the first of the others' names.
        ValidationError for a number that nobody has, and where two of them are on one photo."""
        if not others or id in others:
            raise ValidationError("Name two people or more that are one: lote photos people merge 7 31.")
        with self._store.write() as connection:
            self._begin(connection, id, *others)
            for other in dict.fromkeys(others):
                self._merge(connection, id, other)
        self._regroup()
        return self._now(id)

    def split(self, id: int, photo: str | bytes) -> Person:  # noqa: A002 - the field's name
        """Say that who is on this photo is not that person but somebody else, as is whoever among that person's faces is
        more like this one than like the others. The new person. `photo`: path or name of a photo.

        ValidationError where that person is not on it, where several have that name, and where nobody would be left."""
        from .splitting import like_these

        with self._store.write() as connection:
            self._begin(connection, id)
            seeds = self._on(connection, id, photo)
            theirs = list(connection.scalars(sa.select(faces.c.id).where(faces.c.person_id == id)))
            if len(seeds) == len(theirs):
                raise ValidationError(
                    "Person {person} is on this photo only: there is nobody to split from.", person=id
                )
            leaving = like_these(connection, id, seeds)
            deed = Deed(connection, ActionKind.SPLIT)
            made = deed.new_person()
            deed.withdraw(
                sa.and_(face_decisions.c.person_id == id, face_decisions.c.is_it.is_(True)), leaving
            )
            deed.move(leaving, made)
            deed.decide(seeds, id, is_it=False)
            deed.confirm(made)
            deed.confirm(id)
            deed.end(id, other=made)
        self._regroup()
        return self._now(made)

    def reject(self, id: int, face: int) -> None:  # noqa: A002 - the field's name
        """Say that a face is not that person. ValidationError for a face that is not taken for them."""
        with self._store.write() as connection:
            self._begin(connection, id)
            if connection.scalar(sa.select(faces.c.person_id).where(faces.c.id == face)) != id:
                raise ValidationError(
                    "Face {face} is not taken for person {person}: `lote photos people show {person}` lists whose "
                    "faces are.",
                    face=face,
                    person=id,
                )
            deed = Deed(connection, ActionKind.REJECT)
            deed.move([face], None)
            deed.decide([face], id, is_it=False)
            deed.confirm(id)
            deed.end(id, other=face)
        self._regroup()

    def assign(self, id: int, face: int) -> None:  # noqa: A002 - the field's name
        """Say that a face is that person; one that was ignored is taken back. ValidationError for a face that there is not,
        and where another face of the same photo is that person."""
        with self._store.write() as connection:
            self._begin(connection, id)
            columns = faces.c.hash, faces.c.model, faces.c.kind
            row = connection.execute(sa.select(*columns).where(faces.c.id == face)).first()
            if row is None:
                raise ValidationError("There is no face {face}.", face=face)
            twin = sa.select(faces.c.id).where(
                faces.c.hash == row.hash,
                faces.c.model == row.model,
                faces.c.person_id == id,
                faces.c.id != face,
            )
            if (other := connection.scalar(twin.limit(1))) is not None:
                raise ValidationError(
                    "Face {other} of the same photo is person {person}: say first that it is not, with `lote photos "
                    "people not {person} --face {other}`.",
                    other=other,
                    person=id,
                )
            deed = Deed(connection, ActionKind.ASSIGN)
            if row.kind == FaceKind.IGNORED:
                deed.heed([face])
            deed.withdraw(face_decisions.c.is_it.is_(True), [face])
            deed.move([face], id)
            deed.decide([face], id, is_it=True)
            deed.confirm(id)
            deed.end(id, other=face)
        self._regroup()

    def ignore(self, *which: int) -> int:
        """Say that these faces are nobody's whom anybody looks for: a poster, a stranger. They are compared with no other
        face any more, and are nobody's, until they are taken back. How many were none such before. ValidationError for a
        face that there is not."""
        with self._store.write() as connection:
            deeds.one_at_a_time(connection)
            chosen = self._chosen(connection, which, faces.c.kind != FaceKind.IGNORED)
            self._ignore(connection, chosen, 0)
        self._regroup()
        return len(chosen)

    def ignore_person(self, id: int) -> int:  # noqa: A002 - the field's name
        """Say that all faces of somebody are nobody's whom anybody looks for, as `ignore`; how many these are."""
        with self._store.write() as connection:
            self._begin(connection, id)
            chosen = list(connection.scalars(sa.select(faces.c.id).where(faces.c.person_id == id)))
            self._ignore(connection, chosen, id)
        self._regroup()
        return len(chosen)

    def heed(self, *which: int) -> int:
        """Take faces back that were ignored: whose they are is told anew. How many these are; ValidationError for a face
        that there is not."""
        with self._store.write() as connection:
            deeds.one_at_a_time(connection)
            chosen = self._chosen(connection, which, faces.c.kind == FaceKind.IGNORED)
            if chosen:
                deed = Deed(connection, ActionKind.HEED)
                deed.heed(chosen)
                deed.end(0, other=len(chosen))
        self._regroup()
        return len(chosen)

    def hide(self, id: int, *, hidden: bool = True) -> Person:  # noqa: A002 - the field's name
        """Leave somebody out of the list, or show them again."""
        with self._store.write() as connection:
            self._begin(connection, id)
            deed = Deed(connection, ActionKind.HIDE if hidden else ActionKind.SHOW)
            deed.change_person(id, hidden=hidden)
            deed.end(id)
        return self._now(id)

    def undo(self) -> Action | None:
        """Undo what was done last, and the next time what was done before it. What was undone; None where nothing is left.
        Who was forgotten does not come back."""
        with self._store.write() as connection:
            deeds.one_at_a_time(connection)
            undone = deeds.undo_last(connection)
        if undone is not None:
            self._regroup(remember=False)
        return undone

    # -- how ----------------------------------------------------------------------------------------

    def _regroup(self, *, remember: bool = True) -> None:
        """Have the faces around those that were decided about follow at once, where that takes moments; else the next
        grouping does. `remember`: undoing the last action undoes that, too."""
        from .grouping import group, is_remembered

        if is_remembered(self._store, self._workspace):
            group(self._store, self._workspace, then=deeds.in_consequence if remember else deeds.for_good)

    def _begin(self, connection: sa.Connection, *ids: int) -> None:
        deeds.one_at_a_time(connection)
        known = set(connection.scalars(sa.select(people.c.id).where(people.c.id.in_(ids))))
        for id in ids:  # noqa: A001 - the field's name
            if id not in known:
                raise ValidationError(
                    "There is no person {person}: `lote photos people` lists them.", person=id
                )

    @staticmethod
    def _ignore(connection: sa.Connection, which: Sequence[int], person: int) -> None:
        if which:
            deed = Deed(connection, ActionKind.IGNORE)
            deed.ignore(which)
            deed.end(person, other=len(which))

    @staticmethod
    def _chosen(connection: sa.Connection, which: Sequence[int], where: sa.ColumnElement[bool]) -> list[int]:
        """Those of these faces to which `where` applies. ValidationError if one of them is not there."""
        known, chosen = set[int](), set[int]()
        for page in pages(dict.fromkeys(which)):
            rows = connection.execute(sa.select(faces.c.id, where.label("is_so")).where(faces.c.id.in_(page)))
            for face, is_so in rows:
                known.add(face)
                if is_so:
                    chosen.add(face)
        for face in which:
            if face not in known:
                raise ValidationError("There is no face {face}.", face=face)
        return sorted(chosen)

    def _now(self, id: int) -> Person:  # noqa: A002 - the field's name
        person = self.get(id)
        assert person is not None  # noqa: S101 - was there in the transaction before
        return person

    def _merge(self, connection: sa.Connection, id: int, other: int) -> None:  # noqa: A002
        one, two = faces.alias(), faces.alias()
        together = (
            sa.select(one.c.hash)
            .join(two, sa.and_(two.c.hash == one.c.hash, two.c.model == one.c.model))
            .where(one.c.person_id == other, two.c.person_id == id)
        )
        shared = connection.scalar(together.order_by(one.c.hash).limit(1))
        if shared is not None:
            raise ValidationError(
                "Person {person} and person {other} are both on {photo}, and two faces of one photo are never one "
                "person: if one of the two is wrong there, split it off first, as with `lote photos people split "
                "{other} --photo {photo}`.",
                person=id,
                other=other,
                photo=_name_of(connection, shared),
            )
        labels = {
            row.id: row.label
            for row in connection.execute(
                sa.select(people.c.id, people.c.label).where(people.c.id.in_([id, other]))
            )
        }
        deed = Deed(connection, ActionKind.MERGE)
        if labels[other]:
            deed.change_person(other, label="")
            if not labels[id]:
                deed.change_person(id, label=labels[other])
        theirs = list(connection.scalars(sa.select(faces.c.id).where(faces.c.person_id == other)))
        # What was said of the other is said of this person from now on.
        said_not = list(
            connection.scalars(
                sa.select(face_decisions.c.face_id).where(
                    face_decisions.c.person_id == other, face_decisions.c.is_it.is_(False)
                )
            )
        )
        mine = set(connection.scalars(sa.select(faces.c.id).where(faces.c.person_id == id))) | set(theirs)
        deed.withdraw(face_decisions.c.person_id == other)
        deed.withdraw(sa.and_(face_decisions.c.person_id == id, face_decisions.c.is_it.is_(False)), theirs)
        deed.decide([face for face in said_not if face not in mine], id, is_it=False)
        deed.move(theirs, id)
        deed.confirm(id)
        deed.end(id, other=other)

    def _on(self, connection: sa.Connection, id: int, photo: str | bytes) -> list[int]:  # noqa: A002
        """The faces of a person on a photo, by its path or name."""
        given = os.fsencode(photo)
        folder, name = os.path.split(given)
        query = (
            sa.select(faces.c.id, _raw_hash)
            .join(photos, photos.c.hash == faces.c.hash)
            .join(directories, directories.c.id == photos.c.directory_id)
            .where(faces.c.person_id == id, sa.type_coerce(photos.c.name, sa.LargeBinary) == name)
            .order_by(faces.c.id)
        )
        absolute = os.path.abspath(folder)  # noqa: PTH100 - links stay links
        inside = query.where(sa.type_coerce(directories.c.path, sa.LargeBinary) == absolute)
        rows = connection.execute(inside).all()
        if not rows and not folder:  # by its name alone, wherever it lies
            rows = connection.execute(query).all()
        if not rows:
            raise ValidationError(
                "Person {person} is not on {photo}: `lote photos people show {person}` lists their photos.",
                person=id,
                photo=os.fsdecode(given),
            )
        if len({bytes(row[1]) for row in rows}) > 1:
            raise ValidationError(
                "Person {person} is on several photos called {photo}: give the path of one.",
                person=id,
                photo=os.fsdecode(given),
            )
        return list(dict.fromkeys(row[0] for row in rows))


def _name_of(connection: sa.Connection, digest: str) -> str:
    """The path of a photo with that content; the hash where none is known."""
    row = connection.execute(
        sa.select(
            sa.type_coerce(directories.c.path, sa.LargeBinary), sa.type_coerce(photos.c.name, sa.LargeBinary)
        )
        .join(photos, photos.c.directory_id == directories.c.id)
        .where(photos.c.hash == digest)
        .order_by(photos.c.state == MISSING, photos.c.id)
        .limit(1)
    ).first()
    return digest if row is None else os.fsdecode(join(bytes(row[0]), bytes(row[1])))


class FaceRepository:
    """The faces of a library. `library`: a session on it, or its store."""

    def __init__(self, library: Session | Store) -> None:
        self._store = library if isinstance(library, Store) else Store(library)

    def are_known(self) -> bool:
        """Whether faces were ever looked for."""
        with self._store.read() as connection:
            is_any = connection.scalar(sa.select(faces.c.id).limit(1)) is not None
            return is_any or asked(connection) is not None

    def count(self) -> int:
        """How many there are."""
        with self._store.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(faces)) or 0

    def get(self, id: int) -> KnownFace | None:  # noqa: A002 - the field's name
        return next(iter(self._found(faces.c.id == id)), None)

    def of_person(self, person: int, *, start: int = 0, limit: int | None = None) -> list[KnownFace]:
        """The faces of somebody, those that are largest and surest first; `limit` of them from `start` on."""
        return self._found(faces.c.person_id == person, start=start, limit=limit)

    def of_nobody(self, *, start: int = 0, limit: int | None = None) -> list[KnownFace]:
        """Faces that are nobody's yet."""
        return self._found(
            sa.and_(faces.c.person_id.is_(None), faces.c.kind != FaceKind.IGNORED), start=start, limit=limit
        )

    def ignored(self, *, start: int = 0, limit: int | None = None) -> list[KnownFace]:
        """Faces that are ignored, those that are largest and surest first; `limit` of them from `start` on."""
        return self._found(faces.c.kind == FaceKind.IGNORED, start=start, limit=limit)

    def count_ignored(self) -> int:
        """How many faces are ignored."""
        query = sa.select(sa.func.count()).select_from(faces).where(faces.c.kind == FaceKind.IGNORED)
        with self._store.read() as connection:
            return connection.scalar(query) or 0

    def on_photo(self, hash: str) -> list[KnownFace]:  # noqa: A002 - the field's name
        """The faces on a photo, by the SHA-256 of its content (hexadecimal), from above and from the left."""
        return sorted(self._found(faces.c.hash == hash), key=lambda face: face.number)

    def best(self, persons: Iterable[int]) -> dict[int, KnownFace]:
        """Of each of these people the face that shows them best."""
        found: dict[int, KnownFace] = {}
        rank = sa.func.row_number().over(partition_by=faces.c.person_id, order_by=_BEST).label("rank")
        for page in pages(dict.fromkeys(persons)):
            ranked = sa.select(faces.c.id, rank).where(faces.c.person_id.in_(page)).subquery()
            first = sa.select(ranked.c.id).where(ranked.c.rank == 1)
            found |= {
                face.person_id: face
                for face in self._found(faces.c.id.in_(first))
                if face.person_id is not None
            }
        return found

    def _found(
        self, where: sa.ColumnElement[bool], *, start: int = 0, limit: int | None = None
    ) -> list[KnownFace]:
        some = photos.alias()
        oldest = (
            sa.select(sa.func.min(some.c.id))
            .where(some.c.hash == faces.c.hash, some.c.state != MISSING)
            .correlate(faces)
            .scalar_subquery()
        )
        said = sa.exists().where(
            face_decisions.c.face_id == faces.c.id,
            face_decisions.c.person_id == faces.c.person_id,
            face_decisions.c.is_it.is_(True),
        )
        query = (
            sa.select(
                *(faces.c[name] for name in _COLUMNS),
                people.c.label,
                said.label("said"),
                sa.type_coerce(directories.c.path, sa.LargeBinary).label("folder"),
                sa.type_coerce(photos.c.name, sa.LargeBinary).label("file"),
                facts.c.taken_at,
            )
            .select_from(faces)
            .outerjoin(people, people.c.id == faces.c.person_id)
            .outerjoin(photos, photos.c.id == oldest)
            .outerjoin(directories, directories.c.id == photos.c.directory_id)
            .outerjoin(facts, facts.c.photo_id == photos.c.id)
            .where(where)
            .order_by(*_BEST)
            .offset(start)
            .limit(limit)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [_known(row) for row in rows]


_COLUMNS = ("id", "hash", "number", "x", "y", "w", "h", "score", "quality", "kind", "person_id")
_BEST = ((faces.c.quality * faces.c.score).desc(), faces.c.id)


def _known(row: sa.Row[*tuple[Any, ...]]) -> KnownFace:
    path = None if row.folder is None else join(bytes(row.folder), bytes(row.file))
    return KnownFace(
        id=row.id,
        hash=row.hash,
        number=row.number,
        x=row.x,
        y=row.y,
        w=row.w,
        h=row.h,
        score=row.score,
        quality=row.quality,
        kind=FaceKind(row.kind),
        person_id=row.person_id,
        person_name=row.label,
        said=bool(row.said),
        path=path,
        taken_at=row.taken_at,
    )
