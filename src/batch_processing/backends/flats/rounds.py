"""Learning the references in rounds: what can be done of each by itself, and what of all together, in files.

    0  each: the picture at the size at which it is studied, its ink, its votes        all: the tints that there are
    1  each: the tint of each pixel, what borders on what                              all: the colours of the job
    2  each: what its pieces look like                                                 all: what was learned

The same steps in the same order of sums as `references.learn` takes, and so the same bytes. The files are those of one
job on one machine, arrays without pickle; nothing reads them afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import graph, ink, references, tints

T = TypeVar("T")
Members = Mapping[str, NDArray[Any]]

ROUNDS = 3


def look_at(picture: NDArray[np.uint8], own: Path) -> None:
    """Round 0, of one reference as it was decoded."""
    opened = references.opened_up(picture)
    _write(own, picture=opened.picture, **_members("ink", opened.drawn), **_members("votes", opened.votes))


def study(number: int, before: Sequence[Path], common: Path, own: Path) -> None:
    """Round 1 or 2, of one reference: `before` are its files of the rounds before, `common` what all have agreed on last."""
    with np.load(before[0], allow_pickle=False) as opened, np.load(common, allow_pickle=False) as agreed:
        drawn = _made(ink.Ink, "ink", opened)
        if number == 1:
            _write(own, **vars(tints.tinted(opened["picture"], drawn, agreed["rgb"])))
            return
        with np.load(before[1], allow_pickle=False) as seen:
            studied = references.study(drawn, seen["tint"], _made(tints.Colors, "", agreed))
    if studied is None:
        _write(own)
        return
    rest = {name: np.asarray(value) for name, value in vars(studied).items() if name != "seen"}
    _write(own, **_members("look", studied.seen), **rest)


def agree(number: int, own: Sequence[Path], common: Path | None, made: Path) -> None:
    """What all references have in common after a round, from their files in their order and what they agreed on last; after
    the last round, what was learned."""
    if common is None:
        _write(made, rgb=tints.tints([_loaded(tints.Votes, "votes", path) for path in own]))
        return
    with np.load(common, allow_pickle=False) as agreed:
        if number == 1:
            seen = [_loaded(tints.Tinted, "", path) for path in own]
            _write(made, **vars(tints.palette(agreed["rgb"], seen)))
            return
        colors = _made(tints.Colors, "", agreed)
    taught = [studied for path in own if (studied := _studied(path)) is not None]
    made.write_bytes(references.summed_up(colors, taught).to_bytes())


def _studied(path: Path) -> references.Studied | None:
    with np.load(path, allow_pickle=False) as members:
        if not members.files:
            return None
        rest = {name: _plain(members[name]) for name in _names(references.Studied) if name != "seen"}
        return references.Studied(_made(graph.Look, "look", members), **rest)


def _loaded(kind: type[T], name: str, path: Path) -> T:
    with np.load(path, allow_pickle=False) as members:
        return _made(kind, name, members)


def _made(kind: type[T], name: str, members: Members) -> T:
    """The dataclass whose fields are members of a file."""
    return kind(**{field: _plain(members[name + field]) for field in _names(kind)})


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _members(name: str, noun: object) -> dict[str, NDArray[Any]]:
    return {name + field: np.asarray(value) for field, value in vars(noun).items()}


def _plain(value: NDArray[Any]) -> Any:
    """A number from an array of none but it."""
    return value if value.ndim else value.item()


def _write(path: Path, **members: Any) -> None:
    with path.open("wb") as file:  # a name without a suffix would get one
        np.savez(file, allow_pickle=False, **members)
