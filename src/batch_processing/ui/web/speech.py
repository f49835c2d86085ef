"""What one reader gets: texts in their language, and templates in it.

The parts of the page are the templates of this package, each shown with a view (`views`, `photo_views`) that
holds plain values. Compiled once for each language.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ... import markup
from ...core.words import PAGE_WORDS
from ...i18n import of as in_language
from ...messages import Message
from .texts import language_of, speak

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Speech:
    """A reader's language: "en" or "es"."""

    language: str

    @classmethod
    def of(cls, accepted: str) -> Speech:
        """The language that an Accept-Language header asks for."""
        return cls(language_of(accepted))

    def say(self, text: str | Message, **places: object) -> str:
        """A text, or a sentence of an error, with its {places} filled."""
        return speak(self.language)(text, **places)

    def html(self, part: str, **views: object) -> str:
        """The part of the page that the template `part` makes of these views."""
        return _templates(self.language).get_template(f"{part}.html.j2").render(views)


@cache
def _templates(language: str) -> Environment:
    from .states import SHOWN_WORDS, TrialState

    made = markup.environment(__package__, in_language(language))
    made.globals.update(job_words=SHOWN_WORDS, page_words=PAGE_WORDS, TrialState=TrialState)
    return made
