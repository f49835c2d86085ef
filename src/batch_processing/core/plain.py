"""Dataclasses as plain JSON data, and back: the one place where nouns become columns and files.

Unknown keys of older or newer versions are passed over, missing ones take their defaults. By cattrs, which
follows the annotations and leaves text as it is: names of files may hold what is no Unicode (PEP 383).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from ..json_types import JsonObject
from ..messages import Message

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

__all__ = ["JsonObject", "from_plain", "to_plain"]


def to_plain(noun: object) -> JsonObject:
    """A dataclass as an object that `json.dumps` takes."""
    plain: JsonObject = _converter().unstructure(noun)
    return plain


def from_plain(kind: type[T], plain: object) -> T:
    """The dataclass of that kind. ValueError if the data is not of it."""
    from cattrs.errors import CattrsError

    try:
        return _converter().structure(plain, kind)
    except (CattrsError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


@cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter(detailed_validation=False)
    converter.register_unstructure_hook(Message, Message.to_json)
    converter.register_structure_hook(Message, lambda plain, _: Message.from_json(plain))
    # As they are: cattrs would make True of "false", and 6.0 of a 6 that other files have as 6.
    for kind, allowed in ((str, (str,)), (bool, (bool,)), (int, (int,)), (float, (int, float))):
        converter.register_structure_hook(kind, _exactly(kind, allowed))
    return converter


def _exactly(kind: type, allowed: tuple[type, ...]) -> Callable[[object, object], object]:
    def taken(plain: object, _: object) -> object:
        if not isinstance(plain, allowed) or (isinstance(plain, bool) and kind is not bool):
            raise TypeError(f"{plain!r} is no {kind.__name__}")
        return plain

    return taken
