"""Groups of similar photos as one page, side by side, with what differs.

Promises: a page that needs nothing else: pictures are in it, and it loads nothing from anywhere. What is said of a photo
is what the library has recorded; only its preview is shown, and a link opens the file itself. Pictures are read group by
group. Shows the first `MOST_GROUPS` groups, and says so.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from ... import i18n, markup
from ...formatting import size
from ...i18n import N_, P_
from ...messages import Message
from .similar import Kind, Shot

if TYPE_CHECKING:
    from jinja2 import Environment

    from .choosing import Choice
    from .previews import Previews
    from .similar import Group

# A browser takes some seconds for so many; each has a few pictures of 12 KB.
MOST_GROUPS = 1000


class Role(StrEnum):
    """What becomes of a photo."""

    KEEP = "keep"
    GOING = "going"
    STAYS = "stays"
    ABSENT = "not there"


# In the context "similar".
ROLE_WORDS = {
    Role.KEEP: P_("similar", "keep"),
    Role.GOING: P_("similar", "may go"),
    Role.STAYS: P_("similar", "stays"),
    Role.ABSENT: P_("similar", "not there now"),
}
HEADINGS = {
    Kind.METADATA: N_("The same picture, other metadata"),
    Kind.SAME: N_("The same picture, compressed or resized anew"),
    Kind.CROPPED: N_("Cropped"),
    Kind.TURNED: N_("Turned or mirrored"),
    Kind.BURST: N_("Bursts"),
}
EXPLANATIONS = {
    Kind.METADATA: N_("Not a pixel differs: only what is said about the picture does."),
    Kind.SAME: N_("One is a smaller or more compressed version of the other."),
    Kind.CROPPED: N_("One shows a part of the other. A crop may be somebody's work."),
    Kind.TURNED: N_("One is the other, turned or mirrored."),
    Kind.BURST: N_(
        "Different pictures, taken within seconds: nothing of them goes unless that is asked for."
    ),
}


@dataclass(frozen=True)
class Fact:
    """Something that is known of a photo. `differs`: it is otherwise with the photo that is kept."""

    name: str
    value: str | Message
    differs: bool


@dataclass(frozen=True)
class Card:
    """A photo as it is shown."""

    role: Role
    name: str
    folder: str
    link: str
    picture: str  # a data: URL; "" where there is none
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class GroupView:
    number: int
    kind: Kind
    gain: int
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class View:
    """The page."""

    language: str
    policy: str
    style: str
    groups: int
    photos: int
    gain: int
    more: int  # groups that are not shown
    sections: Sequence[tuple[Kind, int]]  # with how many groups


def pieces(found: Sequence[tuple[Group, Choice | None]], previews: Previews) -> Iterator[str]:
    """The page, in pieces of a group or less, in the language of this process."""
    shown = found[:MOST_GROUPS]
    style = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    counts = {kind: sum(group.kind is kind for group, _ in shown) for kind in Kind}
    view = View(
        language=i18n.current().code,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=style,
        groups=len(found),
        photos=sum(len(group.shots) for group, _ in found),
        gain=sum(choice.gain for _, choice in found if choice is not None),
        more=len(found) - len(shown),
        sections=[(kind, count) for kind, count in counts.items() if count],
    )

    def of_kind(kind: Kind) -> Iterator[GroupView]:
        for number, (group, choice) in enumerate(shown, 1):
            if group.kind is kind:
                yield _group(number, group, choice, previews)

    template = _templates(i18n.current().code).get_template("similar.html.j2")
    yield from template.stream(report=view, of_kind=of_kind)


@cache
def _templates(code: str) -> Environment:
    made = markup.environment(__package__, i18n.of(code))
    made.globals.update(role_words=ROLE_WORDS, headings=HEADINGS, explanations=EXPLANATIONS, Role=Role)
    return made


def roles(group: Group, choice: Choice | None) -> list[tuple[Role, Shot]]:
    """What becomes of each photo; the one that is kept comes first."""
    if choice is None:
        return [(Role.STAYS, shot) for shot in group.shots]
    found = [(Role.KEEP, choice.kept)]
    for shot in group.shots:
        if shot in choice.going:
            found.append((Role.GOING, shot))
        elif shot in choice.staying:
            found.append((Role.STAYS, shot))
        elif shot in choice.absent:
            found.append((Role.ABSENT, shot))
    return found


def _group(number: int, group: Group, choice: Choice | None, previews: Previews) -> GroupView:
    pictures = previews.get(dict.fromkeys(shot.digest for shot in group.shots))
    placed = roles(group, choice)
    first = placed[0][1]
    cards = tuple(_card(role, shot, first, pictures.get(shot.digest)) for role, shot in placed)
    return GroupView(number, group.kind, choice.gain if choice is not None else 0, cards)


def _card(role: Role, shot: Shot, first: Shot, picture: bytes | None) -> Card:
    folder, name = os.path.split(shot.path)
    facts = zip(facts_of(shot), facts_of(first), strict=True)
    return Card(
        role,
        os.fsdecode(name),
        os.fsdecode(folder),
        "file://" + quote_from_bytes(shot.path),
        "data:image/jpeg;base64," + base64.b64encode(picture).decode() if picture else "",
        tuple(Fact(name, value, shot is not first and value != other) for (name, value), (_, other) in facts),
    )


def facts_of(shot: Shot) -> list[tuple[str, str | Message]]:
    """What is said of a photo beside its name: always the same facts, in the same order."""
    nothing = "–"
    pixels = f"{shot.width} × {shot.height}" if shot.width and shot.height else nothing
    return [
        (N_("pixels"), pixels),
        (N_("size"), size(shot.size)),
        (N_("format"), shot.format or shot.extension.removeprefix(".").upper()),
        (N_("quality"), str(shot.quality) if shot.quality else nothing),
        (N_("taken"), (shot.taken_at or nothing).replace("T", " ")),
        (N_("camera"), shot.camera or nothing),
        (N_("position"), Message("yes") if shot.has_position else Message("no")),
        (N_("whole"), Message("no, damaged") if shot.damaged else Message("yes")),
    ]
