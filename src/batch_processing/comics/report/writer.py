"""From what is known of a book to the bytes of its report."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from ... import i18n, markup
from ...core.model import ItemState
from ...core.words import PAGE_WORDS
from ...formatting import seconds, size
from ..model import request_of
from .contents import Book
from .view import Fate, PageState

if TYPE_CHECKING:
    from jinja2 import Environment

# Strings of the template that are written together: some tens of kilobytes, where a page has pictures.
TOGETHER = 64


def pieces(book: Book) -> Iterator[bytes]:
    """The report as UTF-8, in pieces of a page or less."""
    code = request_of(book.job).language
    style = _resource("report.css")
    # One script, which a policy can name by its digest: a file of its own would have to travel with the report.
    script = _resource("compare.js").replace("export function", "function") + "\n" + _resource("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    view = book.shown(language=i18n.of(code).code, policy=policy, style=style, script=script, now=time.time())
    stream = _templates(view.language).get_template("report.html.j2").stream(report=view)
    stream.enable_buffering(TOGETHER)
    for text in stream:
        yield text.encode("utf-8", "backslashreplace")


@cache
def _templates(code: str) -> Environment:
    made = markup.environment(__package__, i18n.of(code))
    made.filters.update(duration=_duration, words=_words, iso=_iso, utc=_utc, bytes=size)
    made.globals.update(Fate=Fate, PageState=PageState, ItemState=ItemState, page_words=PAGE_WORDS)
    return made


def _duration(value: float | None) -> str:
    """As everywhere, but minutes say so: many people read a report who have seen no other."""
    shown = seconds(value)
    return f"{shown} min" if value is not None and shown.count(":") == 1 else shown


def _words(name: str) -> str:
    """The name of a setting or a measure, as words."""
    return str(name).replace("_", " ")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _utc(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _digest(text: str) -> str:
    """The hash by which a content security policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").strip()
