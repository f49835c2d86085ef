"""The pages of an EPUB: the pictures of its documents, in the order of its spine.

Promises one pass of the standard parser over each of its documents, of at most `LIMIT` bytes, `ELEMENTS` elements and
`LEVELS` levels; no entity is ever expanded and nothing is fetched. A picture is a page once, where it is shown first.
Where names do not tell that order, pages get numbers in front. Documents without a picture are left out and named, as are
pictures that no document shows. An EPUB without a readable spine is a ZIP like any other.

Formats: EPUB Open Container Format and Packages 3.3.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

from ...exceptions import ZIPExtractionError
from ...messages import Message
from ..archive_directory import ZipMember
from ..archives import Archive
from ..kinds import FileKind, LeftOut, Reason
from ..scan import natural_key
from .contract import MemberError

__all__ = ["CONTAINER", "Epub"]

LIMIT: Final = 4 << 20
"""Bytes of one document: a page of a comic has some hundred."""
ALL: Final = 64 << 20
"""Bytes of all documents."""
ELEMENTS: Final = 100_000
LEVELS: Final = 256

CONTAINER: Final = "META-INF/container.xml"
"""The member that every EPUB has, whatever stands before it."""

Start = Callable[[str, dict[str, str]], None]


class _UnreadableError(ValueError):
    """A document of the book says nothing that can be understood."""


class Epub:
    """An open EPUB, a `Book`: `members` are its pages in reading order, and its ComicInfo.xml."""

    def __init__(self, archive: Archive) -> None:
        """Of an open ZIP that holds `CONTAINER`, which is closed with this, and not where this raises."""
        self.path, self.limits, self.notes = archive.path, archive.limits, archive.notes
        self._archive = archive
        self._room = ALL
        self._own: dict[str, ZipMember] = {member.name: member for member in self._archive.members}
        try:
            pages, left_out = self._pages()
        except _UnreadableError as fault:
            note = Message("its spine cannot be read ({fault}): pages are ordered by name", fault=fault)
            self.notes = [*self.notes, note]
            self.members, self.left_out = archive.members, archive.left_out
            return
        others = [one for one in archive.members if one.kind in {FileKind.COMIC_INFO, FileKind.METADATA}]
        self.members, self.left_out = [*others, *pages], left_out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def stream(self, member: ZipMember) -> Iterator[bytes]:
        yield from self._archive.stream(member)

    # -- the spine --------------------------------------------------------------------------------------

    def _pages(self) -> tuple[list[ZipMember], list[LeftOut]]:
        encrypted = self._encrypted()
        shown: dict[str, None] = {}
        left_out: list[LeftOut] = []
        documents: set[str] = set()
        for name, is_picture in self._spine():
            pictures = [name] if is_picture else self._pictures(name)
            here = [one for one in pictures if self._is_image(one)]
            if not here and self._is_image(name):  # a drawing that holds no picture is one itself
                here = [name]
            documents.add(name)
            if not here:
                left_out.append(LeftOut(name, Reason.NO_PICTURE))
            shown |= dict.fromkeys(here)
        if not shown:
            raise _UnreadableError(Message("it shows no picture"))
        left_out += [
            LeftOut(member.name, Reason.NOT_SHOWN)
            for member in self._archive.members
            if member.is_image and member.name not in shown and member.name not in documents
        ]
        found = [
            replace(self._own[name], fault=_ENCRYPTED, why=Reason.ENCRYPTED)
            if name in encrypted
            else self._own[name]
            for name in shown
        ]
        if all(page.fault for page in found):
            raise MemberError(self.path, found[0].name, found[0].fault or "")
        return _in_order(found), left_out

    def _is_image(self, name: str) -> bool:
        return name in self._own and self._own[name].is_image

    def _spine(self) -> list[tuple[str, bool]]:
        """The documents of the book in reading order, and whether each is a picture by itself."""
        packages: list[str] = []

        def container(name: str, attributes: dict[str, str]) -> None:
            if name == "rootfile" and (path := attributes.get("full-path")):
                packages.append(path)

        self._parse(CONTAINER, container)
        if not packages:
            raise _UnreadableError(Message("it names no package"))
        package = posixpath.normpath(packages[0])
        items: dict[str, tuple[str, str]] = {}
        order: list[str] = []

        def opf(name: str, attributes: dict[str, str]) -> None:
            if name == "item":
                items[attributes.get("id", "")] = attributes.get("href", ""), attributes.get("media-type", "")
            elif name == "itemref":
                order.append(attributes.get("idref", ""))

        self._parse(package, opf)
        spine = [items[one] for one in dict.fromkeys(order) if one in items]
        found = [
            (_at(package, href), kind.startswith("image/") and "svg" not in kind) for href, kind in spine
        ]
        return [(name, is_picture) for name, is_picture in found if name]

    def _pictures(self, name: str) -> list[str]:
        """The pictures that a document shows, in its order."""
        found: list[str] = []

        def shown(tag: str, attributes: dict[str, str]) -> None:
            href = {"img": "src", "image": "href", "object": "data", "embed": "src"}.get(tag)
            if href is not None and (path := _at(name, attributes.get(href, ""))):
                found.append(path)

        # What was seen before the fault is what it shows; a document that shows nothing is named.
        with contextlib.suppress(_UnreadableError):
            self._parse(name, shown)
        return found

    def _encrypted(self) -> set[str]:
        """Members that a system of digital rights has encrypted, the ZIP saying nothing of it."""
        found: set[str] = set()

        def encryption(tag: str, attributes: dict[str, str]) -> None:
            if tag == "CipherReference":
                found.add(posixpath.normpath(unquote(attributes.get("URI", ""))))

        if "META-INF/encryption.xml" in self._own:
            self._parse("META-INF/encryption.xml", encryption)
        return found

    def _parse(self, name: str, start: Start) -> None:
        """Give `start` every element of a document, with the local names of it and its attributes."""
        member = self._own.get(name)
        if member is None:
            raise _UnreadableError(Message("{name} is missing", name=name))
        self._room -= member.size
        if self._room < 0:
            raise _UnreadableError(Message("its documents have more than {limit} bytes", limit=ALL))
        try:
            text = self._archive.read(member, LIMIT)
        except ZIPExtractionError as fault:
            raise _UnreadableError(fault.sentence) from fault
        parser = expat.ParserCreate()
        parser.UseForeignDTD(True)  # names of characters (&nbsp;) are passed over, not errors
        count = level = 0

        def started(tag: str, attributes: dict[str, str]) -> None:
            nonlocal count, level
            count, level = count + 1, level + 1
            if count > ELEMENTS or level > LEVELS:
                raise _UnreadableError(Message("{name} has too many elements", name=name))
            start(
                tag.rpartition(":")[2], {key.rpartition(":")[2]: value for key, value in attributes.items()}
            )

        def ended(_tag: str) -> None:
            nonlocal level
            level -= 1

        def refuse(*_: object) -> None:
            raise _UnreadableError(Message("{name} declares entities, which are not read", name=name))

        parser.StartElementHandler, parser.EndElementHandler = started, ended
        parser.EntityDeclHandler = refuse
        parser.ExternalEntityRefHandler = lambda *_: 1  # nothing is fetched
        try:
            parser.Parse(text, True)
        except (expat.ExpatError, LookupError, UnicodeError) as fault:
            raise _UnreadableError(Message("{name} is damaged: {fault}", name=name, fault=fault)) from fault


_ENCRYPTED: Final = Message("is encrypted by its shop, and can be read by nothing but its program")


def _at(document: str, href: str) -> str:
    """The member that a reference of a document means; "" for none of the book."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return ""
    if parts.scheme or parts.netloc or not parts.path:
        return ""
    path = unquote(parts.path)
    if path.startswith("/"):
        return posixpath.normpath(path.lstrip("/"))
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), path))


def _in_order(pages: list[ZipMember]) -> list[ZipMember]:
    """The pages with names that are in natural order, which is that of everything else."""
    names = [page.name for page in pages]
    if names == sorted(names, key=natural_key):
        return pages
    width = len(str(len(pages)))
    return [
        replace(page, name=f"{number:0{width}d}_{posixpath.basename(page.name)}")
        for number, page in enumerate(pages, 1)
    ]
