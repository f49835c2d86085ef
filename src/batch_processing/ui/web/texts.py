"""What the page says, in English and in Spanish.

English sentences are the keys. Texts of errors come from the rooms below in English; those that a person
often meets are translated by their beginning or ending, the others are shown as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Say = Callable[..., str]
LANGUAGES = ("en", "es")


def language_of(accepted: str) -> str:
    """The language that an Accept-Language header asks for first, of those that there are."""
    wishes: list[tuple[float, str]] = []
    for part in accepted.split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), tag.partition("-")[0].lower()))
        except ValueError:
            continue
    for _, tag in sorted(wishes, key=lambda wish: wish[0]):
        if tag in LANGUAGES:
            return tag
    return "en"


def speak(accepted: str) -> Say:
    """The function that says a text in the language of that header, with its {places} filled."""
    spanish = language_of(accepted) == "es"

    def say(text: str, **places: Any) -> str:
        shown = _spanish(text) if spanish else text
        return shown.format(**places) if places else shown

    return say


def _spanish(text: str) -> str:
    if text in SPANISH:
        return SPANISH[text]
    for pattern, shown in SENTENCES:
        if match := pattern.fullmatch(text):
            return match.expand(shown)
    return text


SPANISH: dict[str, str] = {}
SENTENCES: tuple[tuple[re.Pattern[str], str], ...] = ()
