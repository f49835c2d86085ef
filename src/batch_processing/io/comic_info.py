"""ComicInfo.xml: what a comic's metadata says once its pages have colours.

Promises one pass of the standard parser over at most `LIMIT` bytes, `ELEMENTS` elements and `LEVELS` levels, so
that any file takes a second at most; nothing is ever expanded or fetched, because a document type is refused; and
every byte but the one element stays as it was.

Format: ComicInfo 2.1 of the Anansi project.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

from ..exceptions import ValidationError
from ..reading import text_encoding

__all__ = ["LIMIT", "BookPage", "comic_info", "is_right_to_left"]

LIMIT: Final = 4 << 20
"""Bytes; real ones have some KB."""
ELEMENTS: Final = 100_000
"""Ten for each page of the largest archive that is read."""
LEVELS: Final = 32
_DECLARATION = 256  # bytes of an XML declaration

# Elements of ComicInfo 2.1 that its schema (a sequence) puts after BlackAndWhite.
_AFTER_BLACK_AND_WHITE = frozenset(
    [
        "Manga",
        "Characters",
        "Teams",
        "Locations",
        "ScanInformation",
        "StoryArc",
        "StoryArcNumber",
        "SeriesGroup",
        "AgeRating",
        "Pages",
        "CommunityRating",
        "MainCharacterOrTeam",
        "Review",
        "GTIN",
    ]
)


@dataclass(frozen=True)
class BookPage:
    """An image of a book as it comes out: its number among all, from 0; and, where it is no longer the file that it was,
    its bytes and its size in pixels."""

    number: int
    size: int | None = None
    width: int | None = None
    height: int | None = None


def comic_info(xml: bytes, pages: Sequence[BookPage | None] = (), count: int | None = None) -> bytes:
    """A ComicInfo.xml that says `No` in BlackAndWhite (added if missing); every other byte as it was.

    `pages` has what became of each image of the book, in reading order, None for what was left out, and `count` how
    many there are now: the elements Page and PageCount follow, where they are there. ValidationError when it is not
    well-formed, not a ComicInfo, has a document type (nothing is ever expanded or fetched), or more than 4 MiB."""
    text, encoding = _decoded(xml)
    try:
        edits = _Edits(text, pages, count)
        edits.read()
        return edits.made().decode("utf-8").encode(encoding)
    except (expat.ExpatError, UnicodeError) as fault:
        raise ValidationError("ComicInfo.xml is damaged: {fault}.", fault=fault) from fault


def is_right_to_left(xml: bytes) -> bool:
    """Whether the book is read from right to left. ValidationError as for `comic_info`."""
    text, _ = _decoded(xml)
    try:
        edits = _Edits(text, (), None)
        edits.read()
    except (expat.ExpatError, UnicodeError) as fault:
        raise ValidationError("ComicInfo.xml is damaged: {fault}.", fault=fault) from fault
    return edits.manga == b"yesandrighttoleft"


def _decoded(xml: bytes) -> tuple[bytes, str]:
    """The text in UTF-8, and the encoding that it had."""
    if len(xml) > LIMIT:
        raise ValidationError(
            "ComicInfo.xml has {size} bytes, more than the limit of {limit}.", size=len(xml), limit=LIMIT
        )
    declared = re.match(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']", xml[:_DECLARATION])
    if xml[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encoding = "utf-16-le" if xml[:1] == b"\xff" else "utf-16-be"
    else:
        encoding = declared[1].decode() if declared else "utf-8"
    try:
        return xml.decode(text_encoding(encoding)).encode("utf-8"), encoding
    except (LookupError, UnicodeError) as fault:
        raise ValidationError("ComicInfo.xml is damaged: {fault}.", fault=fault) from fault


_TAG = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_ATTRIBUTE = re.compile(rb"(\s)([\w:.-]+)(\s*=\s*)(\"[^\"]*\"|'[^']*')")
_ELEMENT = b"<BlackAndWhite>No</BlackAndWhite>"


class _Edits:
    """One pass over a ComicInfo.xml, and what is to be changed in it."""

    def __init__(self, text: bytes, pages: Sequence[BookPage | None], count: int | None) -> None:
        self._text, self._pages, self._count = text, pages, count
        self._dropped = sum(page is None for page in pages)
        self.manga = b""  # what stands in the element Manga, in lower case
        self._edits: list[tuple[int, int, bytes]] = []
        self._opened: list[tuple[str, int]] = []  # the open elements, and where their tags begin
        self._before: int | None = (
            None  # where the first element begins that the schema puts after BlackAndWhite
        )
        self._is_told = False  # that the book is not black and white
        self._elements = 0
        self._parser = expat.ParserCreate("utf-8")  # whatever the declaration says: it has been decoded
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse

    def read(self) -> None:
        self._parser.Parse(self._text, True)

    def made(self) -> bytes:
        """The text with all changes made."""
        parts, done = [], 0
        for first, last, new in sorted(self._edits):
            parts += [self._text[done:first], new]
            done = last
        return b"".join([*parts, self._text[done:]])

    def _start(self, name: str, _attributes: object) -> None:
        self._elements += 1
        if not self._opened and name != "ComicInfo":
            raise ValidationError("ComicInfo.xml is no ComicInfo: its root is {name}.", name=repr(name[:60]))
        if self._elements > ELEMENTS or len(self._opened) >= LEVELS:
            raise ValidationError(
                "ComicInfo.xml has more than {count} elements, or more than {levels} in each other.",
                count=ELEMENTS,
                levels=LEVELS,
            )
        self._opened.append((name, self._parser.CurrentByteIndex))
        if len(self._opened) == 2 and name in _AFTER_BLACK_AND_WHITE and self._before is None:
            self._before = self._parser.CurrentByteIndex

    def _end(self, name: str) -> None:
        first = self._opened.pop()[1]
        at = self._parser.CurrentByteIndex  # of the end tag; expat gives none for an empty element
        head = self._tag_end(first)
        is_empty = self._text.endswith(b"/>", first, head)
        above = [opened for opened, _ in self._opened]
        if above == ["ComicInfo", "Pages"] and name == "Page":
            self._page(first, head, head if is_empty else self._tag_end(at))
        elif above == ["ComicInfo"]:
            inner = b"" if is_empty else self._text[head:at]
            if name == "BlackAndWhite":
                self._is_told = True
                self._edits.append((first, head if is_empty else self._tag_end(at), _ELEMENT))
            elif name == "Manga":
                self.manga = inner.strip().lower()
            elif name == "PageCount" and self._count is not None and inner.strip():
                self._edits.append((head, at, b"%d" % self._count))
        elif not above and not self._is_told:
            self._tell(first, head, at, is_empty=is_empty)

    def _tell(self, first: int, head: int, at: int, *, is_empty: bool) -> None:
        """Add the element BlackAndWhite to the root, where the schema wants it."""
        if is_empty:
            self._edits.append((head - 2, head, b">" + _ELEMENT + b"</ComicInfo>"))
        elif self._before is not None:
            indent = self._text[len(self._text[: self._before].rstrip()) : self._before]
            self._edits.append((self._before, self._before, _ELEMENT + indent))
        else:
            self._edits.append((at, at, _ELEMENT))

    def _page(self, first: int, head: int, last: int) -> None:
        """Have an element Page follow its image, or go with it."""
        said = {one[2]: one[4][1:-1] for one in _ATTRIBUTE.finditer(self._text, first, head)}
        image = said.get(b"Image", b"").strip()
        if not self._pages or not image.isdigit() or len(image) > 9:
            return
        number = int(image)
        # What stands behind all images there are stays behind them.
        page = self._pages[number] if number < len(self._pages) else BookPage(number - self._dropped)
        if page is None:
            while self._text[first - 1 : first].isspace():
                first -= 1
            self._edits.append((first, last, b""))
            return
        now = {
            b"Image": page.number,
            b"ImageSize": page.size,
            b"ImageWidth": page.width,
            b"ImageHeight": page.height,
        }
        for one in _ATTRIBUTE.finditer(self._text, first, head):
            value = now.get(one[2])
            if value is not None and one[4][1:-1] != b"%d" % value:
                self._edits.append((one.start(4) + 1, one.end(4) - 1, b"%d" % value))

    def _tag_end(self, at: int) -> int:
        tag = _TAG.match(self._text, at)
        return tag.end() if tag else at  # always a match: expat has accepted it

    def _refuse(self, *_: object) -> None:
        raise ValidationError("ComicInfo.xml has a document type, which is not read.")
