"""From what is known of a book to the bytes of its report, of one file or of many."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ... import i18n, markup
from ...core.model import ItemState
from ...core.words import PAGE_WORDS
from ...formatting import seconds, size
from ..model import request_of
from . import view
from .contents import Book
from .layout import Layout, span
from .places import Row
from .view import Fate, PageState

if TYPE_CHECKING:
    from jinja2 import Environment

# Strings of the template that are written together: some tens of kilobytes, where a page has pictures.
TOGETHER = 64


class Writer:
    """Writes the files of one report: all of it (`whole`), or an `index` and the `parts`."""

    def __init__(self, book: Book, layout: Layout) -> None:
        self._book, self._layout = book, layout
        self._code = i18n.of(request_of(book.job).language).code
        self._style = _resource("report.css")

    def html(self) -> Iterator[bytes]:
        """The file that a person opens."""
        if self._layout.is_paged:
            report = self._shown("index.js")
            yield from self._pieces("index.html.j2", report=report)
        else:
            report = self._shown("compare.js", "report.js")
            pages = (self._book.page(row, self._layout.folder) for row in self._book.rows())
            yield from self._pieces("report.html.j2", report=report, counts=report.counts, pages=pages, up="")

    def parts(self) -> Iterator[tuple[Path, Iterator[bytes]]]:
        """The other files of a report that is paged, and what is in them, to be read in order. They hold no time: a file whose
        places are as they were is as it was."""
        if not self._layout.is_paged:
            return
        report = self._shown("compare.js", "report.js")
        assert report.paged is not None  # noqa: S101 - as the layout is
        rows, parts = self._book.rows(), report.paged.parts
        for at, (path, first, last) in enumerate(self._layout.parts()):
            some = islice(rows, last - first + 1)
            around = (parts[at - 1] if at else None, parts[at + 1] if at + 1 < len(parts) else None)
            yield path, self._part(report, parts[at], around, some, path.parent)

    def _part(
        self,
        report: view.Report,
        part: view.Part,
        around: tuple[view.Part | None, view.Part | None],
        rows: Iterator[Row],
        folder: Path,
    ) -> Iterator[bytes]:
        pages = (self._book.page(row, folder) for row in rows)
        return self._pieces(
            "part.html.j2",
            report=report, part=part, around=around, counts=part.counts, pages=pages, up=f"../{self._layout.html.name}",
        )  # fmt: skip

    def _shown(self, *scripts: str) -> view.Report:
        # One script, which a policy can name by its digest: a file of its own would have to travel with the report.
        script = "\n".join(_resource(name).replace("export function", "function") for name in scripts)
        policy = (
            f"default-src 'none'; img-src data:; style-src '{_digest(self._style)}'; script-src '{_digest(script)}'; "
            "base-uri 'none'; form-action 'none'"
        )
        return replace(self._report, policy=policy, style=self._style, script=script)

    @cached_property
    def _report(self) -> view.Report:
        return self._book.shown(self._layout, language=self._code, now=time.time())

    def _pieces(self, template: str, **context: object) -> Iterator[bytes]:
        """A page as UTF-8, in pieces of a place or less."""
        stream = _templates(self._code).get_template(template).stream(**context)
        stream.enable_buffering(TOGETHER)
        for text in stream:
            yield text.encode("utf-8", "backslashreplace")


@cache
def _templates(code: str) -> Environment:
    made = markup.environment(__package__, i18n.of(code))
    made.filters.update(duration=_duration, words=_words, iso=_iso, utc=_utc, bytes=size)
    made.globals.update(Fate=Fate, PageState=PageState, ItemState=ItemState, page_words=PAGE_WORDS, span=span)
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
