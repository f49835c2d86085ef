"""What the page says, in the language that the browser asks for: the same catalogue as the command line's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...i18n import of as in_language
from ...messages import N_, Message

Say = Callable[..., str]
LANGUAGES = ("en", "es")
# Words that the page is given by the rooms below.
WORDS = (
    N_("links"), N_("folders with .nomedia"), N_("ignored"), N_("bins"), N_("machine folders"),
    N_("macOS side files"), N_("no regular files"), N_("line"), N_("line + shadow"),
)  # fmt: skip


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
    """The function that says a text in the language of that header, with its {places} filled, or a message.

    `of` is what a word is said of where its translation depends on that: "job", "page"."""
    language = in_language(language_of(accepted))

    def say(text: str | Message, *, of: str = "", **places: Any) -> str:
        if isinstance(text, Message):
            return language.message(text)
        shown = language.text_in(of, text) if of else language.text(text)
        return shown.format(**places) if places else shown

    return say
