"""The files that a piece of work names: which of its fields are paths, and what is done there.

    @dataclass(frozen=True)
    class Shrink:
        picture: str = field(metadata=READ)
        part: str = field(metadata=WRITTEN)

Work reads and writes at the paths that its fields hold. Where it runs on the coordinator's machine they are those that it was
made with. A pool on other machines brings the files there, gives the work other paths (`relocated`), and takes back what it
wrote: so a field that holds a path MUST say so, unless the task runs `here`. A marked field is text, bytes as the system spells
paths, or None, in dataclasses, lists, tuples and mappings at any depth.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum, auto
from functools import cache
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from ..messages import Message

T = TypeVar("T")
_KEY: Final = "file"


class Use(Enum):
    """What work does with a file."""

    READ = auto()
    SHARED = auto()
    WRITTEN = auto()
    CACHED = auto()
    FILLED = auto()
    ROOT = auto()


def _marks(use: Use) -> Mapping[str, Use]:
    return MappingProxyType({_KEY: use})


READ: Final = _marks(Use.READ)
"""A file that is read. That it is not there is the work's to find out."""
SHARED: Final = _marks(Use.SHARED)
"""The same for one that much of the work reads, and what is loaded from it is kept: wherever work runs it has one path for all."""
WRITTEN: Final = _marks(Use.WRITTEN)
"""A file that is written. It is whole and on the disk before the result is known, and not there where there is none."""
CACHED: Final = _marks(Use.CACHED)
"""A file of a cache: read where it is there, written where it is not. It may get lost."""
FILLED: Final = _marks(Use.FILLED)
"""A folder of a cache, into which files are put under names of the work's own. They may get lost."""
ROOT: Final = _marks(Use.ROOT)
"""A folder above files that are written: no link below it may lead them out of it."""


@dataclass(frozen=True)
class File:
    """A file that work names. `root`: the innermost folder of the work's that no link may lead it out of."""

    use: Use
    path: str
    root: str | None = None


def relocated(work: T, place: Callable[[File], str]) -> T:
    """The work with each of its paths exchanged for what `place` says."""
    return cast("T", _relocated(work, None, (), place))


def retold(value: T, change: Callable[[str], str]) -> T:
    """The value with each text in it changed: of results, which may speak of paths."""
    return cast("T", _retold(value, change))


@cache
def _fields(kind: type) -> tuple[tuple[str, Use | None], ...]:
    return tuple((field.name, field.metadata.get(_KEY)) for field in fields(kind))


def _relocated(
    value: object, use: Use | None, roots: tuple[str, ...], place: Callable[[File], str]
) -> object:
    if isinstance(value, str | bytes):
        if use is None:
            return value
        path = os.fsdecode(value)
        moved = place(File(use, path, _root(path, roots) if use is Use.WRITTEN else None))
        return os.fsencode(moved) if isinstance(value, bytes) else moved
    if is_dataclass(value) and not isinstance(value, type):
        own = _fields(type(value))
        roots += tuple(getattr(value, name) for name, use in own if use is Use.ROOT)
        return _with(value, lambda name, old: _relocated(old, dict(own)[name], roots, place))
    return _mapped(value, lambda one: _relocated(one, use, roots, place))


def _retold(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Message):
        return value.mapped(change)
    if is_dataclass(value) and not isinstance(value, type):
        return _with(value, lambda _, old: _retold(old, change))
    return _mapped(value, lambda one: _retold(one, change))


def _with(value: Any, change: Callable[[str, object], object]) -> object:
    """A dataclass with its fields changed; itself where none is."""
    changes = {}
    kind: type = type(value)
    for name, _ in _fields(kind):
        old = getattr(value, name)
        if (new := change(name, old)) is not old:
            changes[name] = new
    if not changes:
        return value
    return replace(value, **changes)


def _mapped(value: Any, change: Callable[[object], object]) -> object:
    if isinstance(value, Mapping):
        changed = {key: change(one) for key, one in value.items()}
        return value if all(changed[key] is one for key, one in value.items()) else changed
    if isinstance(value, list | tuple):
        items = [change(one) for one in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        kind: Callable[..., object] = type(value)
        return kind(*items) if hasattr(value, "_fields") else kind(items)
    return value


def _root(path: str, roots: tuple[str, ...]) -> str | None:
    above = [root for root in roots if PurePath(path).is_relative_to(root)]
    return max(above, key=len, default=None)
