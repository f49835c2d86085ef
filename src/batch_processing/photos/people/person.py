"""The nouns of people: a person, a face that is known, and what a person at the keyboard has done to them.

Promises: plain values; what is stored as JSON (`Undo`) survives versions (`core.plain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ...messages import Message
from .face import FaceKind


class ActionKind(StrEnum):
    """What was done. REJECT: a face is not this person; ASSIGN: it is. IGNORE: faces are nobody's whom anybody looks for;
    HEED: they are faces like others again."""

    NAME = "name"
    MERGE = "merge"
    SPLIT = "split"
    REJECT = "not"
    ASSIGN = "assign"
    HIDE = "hide"
    SHOW = "show"
    IGNORE = "ignore"
    HEED = "heed"


@dataclass(frozen=True)
class Person:
    """Somebody on photos. `faces`, `photos`: how many are there by the last scan, copies counted once. `since`, `until`:
    when the first and the last of these photos was taken, as the cameras' clocks showed it (ISO 8601); None where none
    tells."""

    id: int
    name: str | None
    hidden: bool
    faces: int
    photos: int
    since: str | None
    until: str | None


@dataclass(frozen=True)
class KnownFace:
    """A face that is stored. Box as fractions of the upright picture's width and height, from its left upper corner.
    `hash`: SHA-256 of the photo's content, hexadecimal; `path`: of the oldest photo with it that is there, None if none
    is; `quality`: shorter side of the box in pixels of the picture that was looked at. `said`: a person has said whose it
    is."""

    id: int
    hash: str
    number: int
    x: float
    y: float
    w: float
    h: float
    score: float
    quality: float
    kind: FaceKind
    person_id: int | None
    person_name: str | None
    said: bool
    path: bytes | None
    taken_at: str | None


@dataclass(frozen=True)
class PersonBefore:
    """A person's row as it was."""

    id: int
    label: str | None
    hidden: bool


@dataclass(frozen=True)
class FaceBefore:
    """Whose a face was, and of which kind; `kind` None where that stayed as it was."""

    id: int
    person: int | None
    kind: FaceKind | None = None


@dataclass(frozen=True)
class DecisionBefore:
    """What had been said of a face and a person. `action`: by which action."""

    face: int
    person: int
    is_it: bool
    action: int | None


@dataclass(frozen=True)
class Undo:
    """What an action has changed, as it was before. What it has decided itself bears its number
    (`face_decisions.by_action`). `person`: whom it was about, 0 where it was about faces; `name`: that it gave."""

    person: int
    other: int | None = None
    name: str | None = None
    people: tuple[PersonBefore, ...] = ()
    faces: tuple[FaceBefore, ...] = ()
    decisions: tuple[DecisionBefore, ...] = ()


@dataclass(frozen=True)
class Action:
    """Something that was done, and can be undone. `person`: whom it was about, 0 where it was about faces of several people
    or of nobody; `name`: that it gave; `other`: the second person of it, or the face, or of how many faces it was."""

    id: int
    kind: ActionKind
    at: datetime
    person: int
    other: int | None
    name: str | None

    @property
    def sentence(self) -> Message:
        """What was done, in a few words."""
        person, other = self.person, self.other
        match self.kind:
            case ActionKind.NAME if self.name is None:
                return Message("person {person} lost their name", person=person)
            case ActionKind.NAME:
                return Message("person {person} was named {name}", person=person, name=self.name)
            case ActionKind.MERGE:
                return Message("person {other} became one with person {person}", person=person, other=other)
            case ActionKind.SPLIT:
                return Message("person {other} was split from person {person}", person=person, other=other)
            case ActionKind.REJECT:
                return Message("face {other} was said not to be person {person}", person=person, other=other)
            case ActionKind.ASSIGN:
                return Message("face {other} was said to be person {person}", person=person, other=other)
            case ActionKind.HIDE:
                return Message("person {person} was hidden", person=person)
            case ActionKind.SHOW:
                return Message("person {person} was shown again", person=person)
            case ActionKind.IGNORE if person:
                return Message(
                    "the faces of person {person} were ignored: {count}", person=person, count=other
                )
            case ActionKind.IGNORE:
                return Message("faces were ignored: {count}", count=other)
            case ActionKind.HEED:
                return Message("ignored faces were taken back: {count}", count=other)
