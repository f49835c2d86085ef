"""ComicInfo.xml: what a comic's metadata says once its pages have colours.

Promises one pass of the standard parser over at most `LIMIT` bytes, `ELEMENTS` elements and `LEVELS` levels, so
that any file takes a second at most; nothing is ever expanded or fetched, because a document type is refused; and
every byte but the one element stays as it was.

Format: ComicInfo 2.1 of the Anansi project.
"""

from __future__ import annotations

import codecs
import re
from typing import Final
from xml.parsers import expat

from ..exceptions import ValidationError

__all__ = ["LIMIT", "comic_info"]

LIMIT: Final = 4 << 20
"""Bytes; real ones have some KB."""
ELEMENTS: Final = 100_000
"""Ten for each page of the largest archive that is read."""
LEVELS: Final = 32
_DECLARATION = 256  # bytes of an XML declaration
# What people write text in. Python decodes by other names too, some of them (punycode) in the square of the length.
_ENCODINGS = re.compile(r"(utf-?(8|16|32)|ascii|iso8859|cp\d|shift_jis|euc_|gb|big5|koi8|mac-)")

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


def comic_info(xml: bytes) -> bytes:
    """A ComicInfo.xml that says `No` in BlackAndWhite (added if missing); every other byte as it was.

    ValidationError when it is not well-formed, not a ComicInfo, has a document type (nothing is ever expanded
    or fetched), or more than 4 MiB."""
    if len(xml) > LIMIT:
        raise ValidationError(f"ComicInfo.xml has {len(xml)} bytes, more than the limit of {LIMIT}.")
    declared = re.match(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']", xml[:_DECLARATION])
    if xml[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        encoding = "utf-16-le" if xml[:1] == b"\xff" else "utf-16-be"
    else:
        encoding = declared[1].decode() if declared else "utf-8"
    try:
        text = xml.decode(_checked(encoding)).encode("utf-8")
        result = _without_black_and_white(text)
        return result.decode("utf-8").encode(encoding)
    except (expat.ExpatError, LookupError, UnicodeError) as fault:
        raise ValidationError(f"ComicInfo.xml is damaged: {fault}.") from fault


def _checked(encoding: str) -> str:
    if not _ENCODINGS.match(codecs.lookup(encoding).name):
        raise LookupError(f"unknown encoding: {encoding}")
    return encoding


_TAG = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_ELEMENT = b"<BlackAndWhite>No</BlackAndWhite>"


def _without_black_and_white(text: bytes) -> bytes:
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says: it has been decoded
    edits: list[tuple[int, int, bytes]] = []
    opened: list[int] = []  # where the tags of the open elements begin
    before: list[int] = []  # where the first element begins that the schema puts after BlackAndWhite
    count = 0

    def tag_end(at: int) -> int:
        tag = _TAG.match(text, at)
        return tag.end() if tag else at  # always a match: expat has accepted it

    def start(name: str, _attributes: object) -> None:
        nonlocal count
        count += 1
        if not opened and name != "ComicInfo":
            raise ValidationError(f"ComicInfo.xml is no ComicInfo: its root is {name[:60]!r}.")
        if count > ELEMENTS or len(opened) >= LEVELS:
            raise ValidationError(
                f"ComicInfo.xml has more than {ELEMENTS} elements, or more than {LEVELS} in each other."
            )
        opened.append(parser.CurrentByteIndex)
        if len(opened) == 2 and name in _AFTER_BLACK_AND_WHITE and not before:
            before.append(opened[-1])

    def end(name: str) -> None:
        first = opened.pop()
        at = parser.CurrentByteIndex  # of the end tag; expat gives none for an empty element
        if len(opened) == 1 and name == "BlackAndWhite":
            head = tag_end(first)
            edits.append((first, head if text.endswith(b"/>", first, head) else tag_end(at), _ELEMENT))
        elif not opened and not edits:
            head = tag_end(first)
            if text.endswith(b"/>", first, head):
                edits.append((head - 2, head, b">" + _ELEMENT + b"</ComicInfo>"))
            elif before:
                indent = text[len(text[: before[0]].rstrip()) : before[0]]
                edits.append((before[0], before[0], _ELEMENT + indent))
            else:
                edits.append((at, at, _ELEMENT))

    def refuse(*_: object) -> None:
        raise ValidationError("ComicInfo.xml has a document type, which is not read.")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(text, True)
    parts, done = [], 0
    for first, last, new in edits:
        parts += [text[done:first], new]
        done = last
    return b"".join([*parts, text[done:]])
