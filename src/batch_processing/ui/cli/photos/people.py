"""Who is on the photos: `lote photos people`, and the photos on which they are: `lote photos find`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ....exceptions import ConfigurationError
from ....i18n import N_, ngettext
from ....messages import Message
from ..common import Application
from ..usage import Commands
from . import words
from .common import (
    BottomLine,
    DatabaseOption,
    JsonOption,
    SinceOption,
    StyleOption,
    UntilOption,
    WorkspaceOption,
    chosen_style,
    exact,
    folders_given,
    nobody_reads,
    open_store,
    photos_app,
    print_csv,
    print_json,
    print_line,
    print_note,
    print_table,
)
from .look import print_photos

if TYPE_CHECKING:
    from ....core.workspace import Workspace
    from ....photos.people.people import PersonRepository
    from ....photos.people.person import KnownFace, Person
    from ....photos.store import Store

PERSON_COLUMNS = ("id", "name", "faces", "photos", "from", "to", "hidden")
FACE_COLUMNS = ("id", "score", "px", "said", "taken_at", "path", "path_bytes")
STYLES = ("table", "csv", "json")

ListStyleOption = Annotated[str, typer.Option("--style", metavar="table|csv|json", help="How it is listed.")]
PersonArgument = Annotated[
    str, typer.Argument(metavar="PERSON", help="Number or name of a person; `lote photos people` lists them.")
]

people_app = Application(
    cls=Commands,
    name="people",
    invoke_without_command=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
photos_app.add_typer(people_app)


@contextmanager
def _people(database: str | None, workspace: str | None) -> Iterator[PersonRepository]:
    from ....photos.people.people import PersonRepository

    with open_store(database, workspace) as (store, opened):
        need_faces(store, opened)
        yield PersonRepository(store, opened)


def need_faces(store: Store, opened: Workspace) -> None:
    """ConfigurationError where nobody has asked for faces. Ends a forgetting that was interrupted, and tells apart whose
    faces were found since the last time."""
    from ....photos.people.forgetting import go_on
    from ....photos.people.people import FaceRepository

    go_on(store, opened)
    if not FaceRepository(store).are_known():
        raise ConfigurationError(
            "No faces are known: `lote photos faces FOLDER` looks for them first, and only then are there people."
        )
    tell_apart(store, opened, quiet=True)


def tell_apart(store: Store, opened: Workspace, *, quiet: bool) -> None:
    """Tell whose the faces are that were found since the last time. `quiet`: but for how far it is, say nothing."""
    from ....photos.people.grouping import is_current
    from ....photos.people.people import PersonRepository

    if is_current(store):
        return
    bottom = BottomLine(wanted=True)

    def progress(share: float) -> None:
        if bottom.is_due:
            bottom.say("faces are compared: {share} %", share=round(100 * share))

    try:
        found = PersonRepository(store, opened).group(progress)
    finally:
        bottom.clear()
    if not quiet:
        text = ngettext(
            "They are {count} person: `lote photos people` lists them.",
            "They are {count} people: `lote photos people` lists them.",
            found.people,
        )
        print_note(text.format(count=found.people))


def _style(style: str, *, as_json: bool) -> str:
    if style not in STYLES:
        raise ConfigurationError("--style must be table, csv or json, not {style}.", style=repr(style))
    return "json" if as_json else style


@people_app.callback()
def list_people(
    context: typer.Context,
    hidden: Annotated[bool, typer.Option("--hidden", help="Those that are hidden, too.")] = False,
    least: Annotated[
        int, typer.Option("--least", metavar="N", min=1, help="Only people with at least so many faces (1).")
    ] = 1,
    style: ListStyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List the people on the photos, whoever is on most first; name them, join them, take them apart, and undo that.

    A person is called by number or name. Wherever a name is given that another person has, nothing is changed."""
    if context.invoked_subcommand is not None:
        return
    style = _style(style, as_json=as_json)
    with _people(database, workspace) as people:
        found = people.list_all(hidden=hidden, least_faces=least)
        more = 0 if hidden else len(people.list_all(hidden=True, least_faces=least)) - len(found)
    if style == "json":
        for person in found:
            print_json("person", **_fields(person))
            if nobody_reads():
                return
        print_json("summary", people=len(found), hidden=more)
        return
    if style == "csv":
        print_csv([PERSON_COLUMNS, *(tuple(_fields(person).values()) for person in found)])
        return
    head = (N_("number"), N_("name"), N_("faces"), N_("photos"), N_("from"), N_("to"))
    print_table(head, map(_row, found))
    print_note(ngettext("{count} person", "{count} people", len(found)).format(count=len(found)))
    if more:
        text = ngettext(
            "{count} is hidden; --hidden lists them, too",
            "{count} are hidden; --hidden lists them, too",
            more,
        )
        print_note(text.format(count=more))


def _fields(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "name": person.name,
        "faces": person.faces,
        "photos": person.photos,
        "from": person.since,
        "to": person.until,
        "hidden": person.hidden,
    }


def _row(person: Person) -> tuple[object, ...]:
    since, until = (taken[:10] if taken else "" for taken in (person.since, person.until))
    return person.id, person.name or "", person.faces, person.photos, since, until


@people_app.command()
def show(
    person: PersonArgument,
    style: ListStyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List the faces of a person, the largest first: their numbers, and the photos that they are on."""
    from ....photos.people.people import FaceRepository, PersonRepository

    style = _style(style, as_json=as_json)
    with open_store(database, workspace) as (store, opened):
        need_faces(store, opened)
        found = FaceRepository(store).of_person(PersonRepository(store, opened).find(person).id)
    _print_faces(found, style)


def _print_faces(found: Sequence[KnownFace], style: str) -> None:
    if style == "csv":
        print_csv([FACE_COLUMNS, *(tuple(_face(face).values()) for face in found)])
    elif style == "json":
        for face in found:
            print_json("face", **_face(face))
        print_json("summary", faces=len(found))
    else:
        head = (N_("face"), N_("pixels"), N_("sure"), N_("confirmed"), N_("path"))
        print_table(head, map(_face_row, found))


def _face(face: KnownFace) -> dict[str, object]:
    path = face.path or b""
    return {
        "id": face.id,
        "score": round(face.score, 3),
        "px": round(face.quality, 1),
        "said": face.said,
        "taken_at": face.taken_at,
        "path": os.fsdecode(path),
        "path_bytes": exact(path),
    }


def _face_row(face: KnownFace) -> tuple[object, ...]:
    from ....i18n import _

    said = _("yes") if face.said else ""
    return face.id, round(face.quality), f"{face.score:.2f}", said, os.fsdecode(face.path or b"")


@people_app.command("name")
def name_person(
    person: PersonArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name; an empty one takes it away.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Give a person a name. Their faces are theirs from then on, whatever new photos bring.

    Exit codes: 0 done, 1 that is no name, or somebody else has it."""
    with _people(database, workspace) as people:
        found = people.name(people.find(person).id, name or None)
    if found.name:
        _say(
            found, Message("person {person} is {name} now", person=found.id, name=found.name), as_json=as_json
        )
    else:
        _say(found, Message("person {person} has no name now", person=found.id), as_json=as_json)


@people_app.command()
def merge(
    persons: Annotated[
        list[str],
        typer.Argument(
            metavar="PERSON...", help="Two or more: numbers or names. The first keeps number and name."
        ),
    ],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Say that several people are one. Refused where two of them are on one photo."""
    with _people(database, workspace) as people:
        first, *others = (people.find(person).id for person in persons)
        found = people.merge(first, *others)
    _say(found, Message("one person now: {person}", person=_called(found)), as_json=as_json)


@people_app.command()
def split(
    person: PersonArgument,
    photo: Annotated[
        str,
        typer.Option(
            "--photo", metavar="PHOTO", help="Path or name of a photo on which it is somebody else."
        ),
    ],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Say that on this photo it is somebody else. Faces that are more like that one than like the others go with it."""
    with _people(database, workspace) as people:
        before = people.find(person)
        found = people.split(before.id, os.fsencode(photo))
    text = Message(
        "person {new} was split from person {person}: {faces}",
        new=found.id,
        person=before.id,
        faces=words.faces(found.faces),
    )
    _say(found, text, as_json=as_json)


@people_app.command("not")
def reject(
    person: PersonArgument,
    face: Annotated[
        int,
        typer.Option(
            "--face", metavar="FACE", help="Number of a face; `lote photos people show` lists them."
        ),
    ],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Say that a face is not this person. It never becomes theirs again."""
    with _people(database, workspace) as people:
        known = people.find(person).id
        people.reject(known, face)
        found = people.get(known)
    if found is not None:
        _say(found, Message("face {face} is not person {person}", face=face, person=known), as_json=as_json)


@people_app.command()
def ignore(
    person: Annotated[
        str | None, typer.Argument(metavar="[PERSON]", help="Number or name of a person: all of their faces.")
    ] = None,
    chosen: Annotated[
        list[int] | None,
        typer.Option(
            "--face",
            metavar="FACE",
            help="Number of a face; `lote photos people show` and `ignored` list them. Repeatable.",
        ),
    ] = None,
    back: Annotated[
        bool,
        typer.Option("--back", help="Take the faces given with --face back: they are like others again."),
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Ignore faces that nobody looks for, as those on a poster or of strangers: they are nobody's from then on.

    They are compared with no other face any more, whatever new photos bring. `lote photos people ignored` lists them;
    --back and `lote photos people undo` take them back."""
    if (person is None) == (not chosen) or (back and person is not None):
        raise ConfigurationError(
            "Give a person, or faces with --face, and with --back faces only: lote photos people ignore 12, or lote "
            "photos people ignore --face 88123."
        )
    with _people(database, workspace) as people:
        if person is not None:
            count = people.ignore_person(people.find(person).id)
        else:
            count = people.heed(*(chosen or ())) if back else people.ignore(*(chosen or ()))
    if as_json:
        print_json("summary", faces=count, ignored=not back)
    elif back:
        print_line(ngettext("{count} face taken back", "{count} faces taken back", count).format(count=count))
    else:
        print_line(
            ngettext("{count} face is ignored now", "{count} faces are ignored now", count).format(
                count=count
            )
        )


@people_app.command()
def ignored(
    style: ListStyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List the faces that are ignored, the largest first: their numbers, and the photos that they are on."""
    from ....photos.people.people import FaceRepository

    style = _style(style, as_json=as_json)
    with open_store(database, workspace) as (store, opened):
        need_faces(store, opened)
        found = FaceRepository(store).ignored()
    _print_faces(found, style)


@people_app.command()
def hide(
    person: PersonArgument,
    again: Annotated[bool, typer.Option("--show", help="Show them again.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Leave a person out of the list. Nothing is forgotten."""
    with _people(database, workspace) as people:
        found = people.hide(people.find(person).id, hidden=not again)
    text = (
        Message("{person} is shown again", person=_called(found))
        if again
        else Message("{person} is hidden", person=_called(found))
    )
    _say(found, text, as_json=as_json)


@people_app.command()
def undo(
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="So many actions (1).")] = 1,
    listed: Annotated[
        bool, typer.Option("--list", help="List what can be undone, the latest first; undo nothing.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Undo what was done to people last; given again, what was done before that, back to the first day."""
    with _people(database, workspace) as people:
        if listed:
            done = people.history()
        else:
            done = [action for _number in range(steps) if (action := people.undo()) is not None]
    for action in done:
        if as_json:
            print_json(
                "action",
                id=action.id,
                kind=action.kind,
                person=action.person,
                other=action.other,
                name=action.name,
                at=action.at.isoformat(timespec="seconds"),
                undone=not listed,
            )
        elif listed:
            print_line("{at}  {text}", at=f"{action.at:%Y-%m-%d %H:%M}", text=action.sentence)
        else:
            print_line("undone: {text}", text=action.sentence)
    if as_json:
        print_json("summary", actions=len(done), undone=0 if listed else len(done))
    elif not done:
        print_note("There is nothing to undo.")


def _called(person: Person) -> str:
    return f"{person.name} ({person.id})" if person.name else str(person.id)


def _say(person: Person, text: Message, *, as_json: bool) -> None:
    if as_json:
        print_json("person", **_fields(person))
    else:
        print_line(text)


@photos_app.command()
def find(
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="[FOLDER...]", help="Only below these.")
    ] = None,
    persons: Annotated[
        list[str] | None,
        typer.Option(
            "--person",
            metavar="PERSON",
            help="On which this person is: number or name. Repeatable: all of them.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_null: Annotated[
        bool, typer.Option("-0", "--null", help="Short for --style null: exact paths for xargs -0.")
    ] = False,
    style: StyleOption = "table",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Find the photos on which people are, by the date on which they were taken.

    For other programs: lote photos find --person Ana --person Beto --from 2019 -0 | xargs -0 ls -l"""
    from ....photos import listing
    from ....photos.people.people import PersonRepository

    if not persons:
        raise ConfigurationError("Name who is to be on the photos: lote photos find --person Ana.")
    style = "null" if as_null else chosen_style(style, as_json=as_json)
    with open_store(database, workspace) as (store, opened):
        need_faces(store, opened)
        people = PersonRepository(store, opened)
        wanted = listing.Wanted(
            folders=folders_given(folders or []),
            since=listing.date(since) if since is not None else None,
            until=listing.date(until) if until is not None else None,
            persons=tuple(dict.fromkeys(people.find(person).id for person in persons)),
        )
        print_photos(store, wanted, style)


def forget_faces(
    database: str | None, workspace: str | None, persons: Sequence[str], *, really: bool, as_json: bool
) -> None:
    """For `lote photos forget --faces`."""
    from ....photos.people import forgetting
    from ....photos.people.people import PersonRepository

    with open_store(database, workspace) as (store, opened):
        forgetting.go_on(store, opened)
        people = PersonRepository(store, opened)
        chosen = [people.find(person) for person in persons]
        which = [person.id for person in chosen]
        count = forgetting.how_many(store, which)
        done = forgetting.forget(store, opened, which) if really else None
    if as_json:
        print_json(
            "summary",
            faces=count,
            people=[person.id for person in chosen],
            done=really,
            is_complete=done.is_complete if done else False,
            not_touched=[os.fsdecode(path) for path in done.copies] if done else [],
        )
    elif done is None:
        text = ngettext(
            "{count} face would be forgotten; add --yes", "{count} faces would be forgotten; add --yes", count
        )
        print_line(text.format(count=count))
    else:
        print_line(ngettext("{count} face forgotten", "{count} faces forgotten", count).format(count=count))
        for sentence in done.sentences():
            print_note(sentence)
    if done is not None and not done.is_complete:
        raise typer.Exit(3)
