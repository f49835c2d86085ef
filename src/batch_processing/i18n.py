"""The language of what a person reads: English, or Spanish where the environment asks for it.

Promises: the first of LANGUAGE, LC_ALL, LC_MESSAGES and LANG that is set decides, as in GNU gettext; text
without a translation is shown in English; nothing is loaded for English. Logs, JSON and the text of
exceptions never come here; of files only the report, in the language of whoever asked for the job. Does not translate what other libraries and the system say inside a sentence.

Two kinds of text are shown. What the command line says itself is wrapped in `_()` or `ngettext()` where it
is printed. Sentences of errors and warnings come from below as finished English text: `sentence()` finds
the template that made them ("{path} is empty") and puts its values into the template's translation.
`make messages` gathers both from the source (tests/messages.py).
"""

from __future__ import annotations

import gettext
import os
import re
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from string import Formatter
from typing import Any

DOMAIN = "lote"
LOCALE = Path(__file__).parent / "locale"
TRANSLATED = ("es",)

# Values that are one word of Lote's own. Other single words are names of somebody's files.
_WORDS = {"state", "wish", "kind", "problem", "reason", "text", "error", "what"}
# A template with fewer characters of its own that begins with a value ("{free} of {total}") would fit by
# chance inside long sentences: it counts only where its values are short.
_SURE = 12
_SENTENCES = re.compile(r"(?<=[.:?]) (?=[A-Z`])")


def language(environ: Mapping[str, str] = os.environ) -> str:
    """The code of the first language asked for that Lote speaks: "en" or "es"."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    asked = environ.get("LANGUAGE", "").split(":") if locale not in {"C", "POSIX"} else []
    for name in [*asked, locale]:
        code = re.split(r"[_.@-]", name)[0].lower()
        if code in TRANSLATED:
            return code
        if code in {"en", "c", "posix"}:
            break
    return "en"


class Language:
    """The texts of Lote in one language."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._texts: gettext.NullTranslations = gettext.NullTranslations()
        if code in TRANSLATED:
            self._texts = gettext.translation(DOMAIN, LOCALE, [code])

    def text(self, text: str) -> str:
        """The translation of a text that stands in the source as it is."""
        return self._texts.gettext(text) if text else ""

    def text_in(self, context: str, text: str) -> str:
        """The translation of a word that needs to know what it is said of: "page", ..."""
        return self._texts.pgettext(context, text)

    def plural(self, one: str, many: str, number: int) -> str:
        """The form for `number` things."""
        return self._texts.ngettext(one, many, number)

    def sentence(self, text: str) -> str:
        """The translation of a finished sentence, or of each of its lines; what is unknown stays English."""
        if self.code == "en" or not text:
            return text
        if "\n" in text:
            return self._known(text) or "\n".join(map(self.sentence, text.split("\n")))
        bare = text.strip().removesuffix(".")
        for candidate in (text, text.strip(), bare):
            if (found := self._known(candidate)) is not None:
                start = text.index(candidate)
                return text[:start] + found + text[start + len(candidate) :]
        parts = _SENTENCES.split(text)
        return " ".join(map(self.sentence, parts)) if len(parts) > 1 else text

    def _known(self, text: str) -> str | None:
        if (exact := self._texts.gettext(text)) != text:
            return exact
        for template, translation in self._templates:
            if (values := template.match(text)) is not None and (
                template.sure
                or all(len(value.split()) < 3 for name, value in values.items() if name != "head")
            ):
                shown = {
                    name: self.sentence(value) if " " in value or name in _WORDS else value
                    for name, value in values.items()
                }
                return "".join(
                    literal + (shown[name] if name is not None else "") for literal, name in translation.parts
                )
        return None

    @cached_property
    def _templates(self) -> list[tuple[_Template, _Template]]:
        """The catalogue's texts with places for values: those with most fixed text first, tails last."""
        catalog: dict[Any, str] = getattr(self._texts, "_catalog", {})
        pairs = []
        for text, translation in catalog.items():
            if not isinstance(text, str) or not text or "\x04" in text:  # plural forms, header, contexts
                continue
            tail = text[0] in " ,:"  # ", and 3 more": stands behind any sentence
            if tail:
                text, translation = "{head}" + text, "{head}" + translation  # noqa: PLW2901
            if "{" in text:
                pairs.append((tail, _Template(text), _Template(translation)))
        pairs.sort(key=lambda pair: (pair[0], -pair[1].weight))
        return [(template, translation) for _tail, template, translation in pairs]


class _Template:
    """A text such as "Job {number} is {state}." taken apart."""

    def __init__(self, text: str) -> None:
        # A last part without a name makes the end a literal too.
        self.parts = [(literal, name) for literal, name, _, _ in Formatter().parse(text)]
        if self.parts[-1][1] is not None:
            self.parts.append(("", None))
        self.weight = sum(len(literal) for literal, _ in self.parts)
        self.sure = self.weight >= _SURE or bool(self.parts[0][0])

    def match(self, text: str) -> dict[str, str] | None:
        """The values that make this text of the template; None when it was not made by it.

        Each literal is taken where it comes first, the last one at the end: linear in the length of the
        text, whatever a file's name holds."""
        first, last = self.parts[0][0], self.parts[-1][0]
        if not (text.startswith(first) and text.endswith(last) and len(text) >= len(first) + len(last)):
            return None
        values: dict[str, str] = {}
        position, end = len(first), len(text) - len(last)
        for (_, name), (literal, following) in zip(self.parts, self.parts[1:], strict=False):
            stop = end if following is None else text.find(literal, position, end)
            if stop < position or values.setdefault(str(name), text[position:stop]) != text[position:stop]:
                return None
            position = stop + (0 if following is None else len(literal))
        return values


@cache
def of(code: str) -> Language:
    """The texts in a language: "en" or "es"."""
    return Language(code)


@cache
def current() -> Language:
    """The language of this process."""
    return of(language())


def _(text: str) -> str:
    return current().text(text)


def ngettext(one: str, many: str, number: int) -> str:
    return current().plural(one, many, number)


def pgettext(context: str, text: str) -> str:
    return current().text_in(context, text)


def sentence(text: str) -> str:
    """What a person is shown of the text of an error, a warning or a note."""
    return current().sentence(text)


def translate_command(command: Any) -> None:
    """Put a tree of commands, as typer made it, and typer's own words into the language of this process.

    Help texts are written where options are declared, at import; they are replaced here, before the
    command runs, once and only for a language other than English."""
    if current().code == "en":
        return
    gettext.bindtextdomain(DOMAIN, LOCALE)
    gettext.textdomain(DOMAIN)  # typer asks gettext for "Options", "required" ...
    command.context_class.formatter_class = _formatter(command.context_class.formatter_class)
    _translate(command)


def _translate(command: Any) -> None:
    command.help = _(command.help or "")
    for parameter in command.params:
        parameter.help = _(getattr(parameter, "help", None) or "")
    for inner in getattr(command, "commands", {}).values():
        _translate(inner)


def _formatter(base: type[Any]) -> type[Any]:
    class Formatter(base):  # type: ignore[misc]
        """Words of the help page that typer writes in English."""

        def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
            super().write_usage(prog, args, _("Usage:") + " " if prefix is None else prefix)

        def write_dl(self, rows: Any, *args: Any, **settings: Any) -> None:
            super().write_dl([(name, _(text)) for name, text in rows], *args, **settings)

    return Formatter
