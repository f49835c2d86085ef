"""The language of what a person reads: English, or Spanish where the environment asks for it.

Promises: the first of LANGUAGE, LC_ALL, LC_MESSAGES and LANG that is set decides, as in GNU gettext; text
without a translation is shown in English; nothing is loaded for English. Logs, JSON and the text of
exceptions never come here; of files only the report, in the language of whoever asked for the job. Does not translate what other libraries and the system say inside a sentence.

What the command line, the page and the report say themselves is wrapped in `_()`, `ngettext()` or
`pgettext()` where it is said; a word that is shown elsewhere than where it is written is marked with `N_()`.
What comes from below, of errors, warnings and notes, is a message (messages.py): `translate()` looks up its
template and fills in its values, messages among them first. `make messages` gathers both with Babel.
"""

from __future__ import annotations

import gettext
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .messages import N_, P_, Message

__all__ = [
    "N_",
    "P_",
    "Language",
    "_",
    "current",
    "language",
    "ngettext",
    "of",
    "pgettext",
    "translate",
    "translate_command",
]

DOMAIN = "lote"
LOCALE = Path(__file__).parent / "locale"
TRANSLATED = ("es",)


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

    def message(self, message: Message) -> str:
        """A message with its values, in this language."""
        return message.render(self.text)


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


def translate(message: Message) -> str:
    """What a person is shown of the message of an error, a warning or a note."""
    return current().message(message)


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
