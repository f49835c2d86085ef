"""What a person is told, before it is in a language: a template and the values for its places.

Promises: `str(message)` is English; a message survives pickling and JSON, whatever the names of files hold
(what is not UTF-8 stays the surrogate escapes that Python makes of it); a value that is itself a message is
translated with the one around it, inside out. Does not translate: `render` is given what does (i18n.py).

Templates are constants of the source, so that `make messages` finds them. A text without values is shown
as it is, braces and all: what the system or a library says, or what an earlier version stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, TypeAlias, Union

from .json_types import JsonObject

Value: TypeAlias = Union[str, int, float, "Message", tuple["Value", ...]]
_FORMATTER = Formatter()


@dataclass(frozen=True, init=False)
class Message:
    """A template such as "{path} is empty" and the values of its places.

    A value is a number, a text, a message, or a tuple of these, shown with commas between them. What else
    it is given becomes one: a path its text, an error of Lote its sentence."""

    template: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def __init__(self, template: str, /, **values: Any) -> None:
        object.__setattr__(self, "template", str(template))
        object.__setattr__(self, "values", {name: _value(value) for name, value in values.items()})

    def __str__(self) -> str:
        return self.render(str)

    def __bool__(self) -> bool:
        return bool(self.template)

    def __hash__(self) -> int:
        return hash((self.template, frozenset(self.values.items())))

    def render(self, translate: Callable[[str], str]) -> str:
        """The text in the language of `translate`, which is given each template that there is."""
        text = translate(self.template) if self.template else ""
        if not self.values:
            return text
        shown = {name: _shown(value, translate) for name, value in self.values.items()}
        return _FORMATTER.vformat(text, (), shown)

    def texts(self) -> Iterator[str]:
        """The texts among the values, those of messages in it included: names of files above all."""
        for value in self.values.values():
            yield from _texts(value)

    def mapped(self, change: Callable[[str], str]) -> Message:
        """The same message with each of its `texts` changed."""
        return Message(self.template, **{name: _mapped(value, change) for name, value in self.values.items()})

    def to_json(self) -> JsonObject:
        """What is stored: template and values, of the kinds that JSON has."""
        return {"template": self.template, "values": {name: _plain(v) for name, v in self.values.items()}}

    @classmethod
    def from_json(cls, stored: Any) -> Message:
        """What `to_json` or `stored` gave; a text of an earlier version is a message without values."""
        if isinstance(stored, Message):
            return stored
        if isinstance(stored, bytes):  # a text of an earlier version that is not UTF-8
            stored = os.fsdecode(stored)
        if isinstance(stored, str):
            found = _parsed(stored)
            return cls(stored) if found is None else cls.from_json(found)
        return cls(stored["template"], **{name: _lively(v) for name, v in stored["values"].items()})


NOTHING = Message("")
"""Where there is nothing to say."""


def N_(text: str) -> str:  # noqa: N802 - gettext's name for "translated where it is shown"
    """The text as it is: marked, so that its translation is asked for."""
    return text


def P_(context: str, text: str) -> str:  # noqa: N802 - the same for `pgettext`
    """The text as it is: marked as a word that is said of `context`."""
    return text


def stored(message: Message | str | None) -> str | None:
    """The one text that a column of a table holds of a message: ASCII, so that every database takes it."""
    return None if message is None else json.dumps(as_message(message).to_json())


def as_message(text: Message | str, /, **values: Any) -> Message:
    """The message itself, or that of a template and its values."""
    return text if isinstance(text, Message) else Message(text, **values)


def joined(parts: Iterable[Any], separator: str = ", ") -> Message:
    """Several messages or texts in one, with nothing but `separator` between them."""
    values = {f"part{number}": part for number, part in enumerate(parts, 1)}
    if len(values) == 1:
        (only,) = values.values()
        return as_message(_text(only))
    return Message(separator.join(f"{{{name}}}" for name in values), **values)


def _text(part: Any) -> Message | str:
    value = _value(part)
    return value if isinstance(value, Message) else str(value)


def _value(value: Any) -> Value:
    if isinstance(value, Message):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return value
    if isinstance(sentence := getattr(value, "sentence", None), Message):
        return sentence
    if isinstance(value, BaseException) and value.args and isinstance(value.args[0], Message):
        return value.args[0]  # ValueError(Message(...)): a problem on its way to whoever names the file
    if isinstance(value, tuple | list):
        return tuple(map(_value, value))
    return os.fsdecode(value) if isinstance(value, os.PathLike | bytes) else str(value)


def _shown(value: Value, translate: Callable[[str], str]) -> str | int | float:
    if isinstance(value, Message):
        return value.render(translate)
    if isinstance(value, tuple):
        return ", ".join(str(_shown(one, translate)) for one in value)
    return value


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, Message):
        yield from value.texts()
    elif isinstance(value, tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def _mapped(value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(value, Message):
        return value.mapped(change)
    if isinstance(value, tuple):
        return tuple(_mapped(one, change) for one in value)
    return change(value) if isinstance(value, str) else value


def _plain(value: Value) -> Any:
    if isinstance(value, Message):
        return value.to_json()
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _lively(value: Any) -> Value:
    if isinstance(value, dict):
        return Message.from_json(value)
    return tuple(map(_lively, value)) if isinstance(value, list) else value


def _parsed(text: str) -> JsonObject | None:
    """The object that `stored` made, if the text is one."""
    if not text.startswith('{"template": '):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.keys() == {"template", "values"} else None
