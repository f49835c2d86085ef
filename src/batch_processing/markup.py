"""HTML from templates: the one Jinja environment, of the report and of the page.

Promises: every value is text, whatever it holds: control characters are spelled out, then it is escaped;
a template that asks for what its view does not have is an error, never an empty place. `_()`, `pgettext()`
and `ngettext()` say a text in the environment's language, its `{places}` filled with escaped values, so that
templates and code share one catalogue. The line breaks and indentation of a template do not reach the page.

Not guaranteed: the right meaning of a value inside a URL, a style or a script: views hold those complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from markupsafe import Markup, escape

from . import formatting
from .messages import Message, as_message

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.lexer import Token, TokenStream

_LINE_BREAK = re.compile(r"\s*\n\s*")


class Texts(Protocol):
    """The texts of one language; `i18n.Language` is one."""

    def text(self, text: str, /) -> str: ...
    def text_in(self, context: str, text: str, /) -> str: ...
    def plural(self, one: str, many: str, number: int, /) -> str: ...
    def message(self, message: Message, /) -> str: ...


def environment(package: str, texts: Texts) -> Environment:
    """The templates of `package` (its folder `templates`) in one language. Keep it: templates are compiled once.

    Filters: `seconds`, `size` and `percent` show numbers; `sentence` translates a message, or a word that is marked elsewhere."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    def _(text: str, **places: object) -> Markup:
        return _filled(texts.text(text), places)

    def pgettext(context: str, text: str, **places: object) -> Markup:
        return _filled(texts.text_in(context, text), places)

    def ngettext(one: str, many: str, number: int, **places: object) -> Markup:
        return _filled(texts.plural(one, many, number), {"count": number, **places})

    def sentence(said: Message | str) -> str:
        return texts.message(as_message(said))

    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        extensions=[_compact()],
        auto_reload=False,
    )
    made.globals.update(_=_, pgettext=pgettext, ngettext=ngettext)
    made.filters.update(
        seconds=formatting.seconds, size=formatting.size, percent=formatting.percent, sentence=sentence
    )
    return made


def _filled(text: str, places: dict[str, object]) -> Markup:
    """A translated text, which is no markup, with values in its places: those that are markup stay it."""
    shown = escape(text)
    return shown.format(**{name: _shown(value) for name, value in places.items()}) if places else shown


def _shown(value: object) -> object:
    return formatting.safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _compact() -> type:
    from jinja2.ext import Extension
    from jinja2.lexer import Token

    class Compact(Extension):
        """Takes the line breaks of a template out of the page: beside a tag or a place one is nothing, between
        words or attributes it is a space. Done in the tokens, so that errors keep their line numbers."""

        def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
            return self._without_breaks(stream)

        @staticmethod
        def _without_breaks(stream: TokenStream) -> Iterator[Token]:
            for token in stream:
                if token.type == "data":
                    text = _LINE_BREAK.sub(_joined, token.value)
                    if text:
                        yield Token(token.lineno, "data", text)
                else:
                    yield token

    return Compact


def _joined(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    beside = start == 0 or end == len(text) or text[start - 1] == ">" or text[end] == "<"
    return "" if beside else " "
