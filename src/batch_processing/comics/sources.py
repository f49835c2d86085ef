"""What stands in a comics job's inputs, and what each thing is for.

Promises: nothing is read whole into memory, whatever the number of pages; names from archives never
become paths; the same inputs give the same sources in the same order. Refuses unsafe archives and
inputs without a single image. Does not decode anything: examining is done in workers.

What each is for is decided later (`core.model.Role`).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..core.model import Source
from ..exceptions import ResourceError, ValidationError, ZIPExtractionError
from ..exceptions import reason as reason_of
from ..io.books.contract import Unpacked
from ..io.books.opening import Run, open_book, opener
from ..io.books.stored import StoredBook
from ..io.books.unpacking import unpack
from ..io.kinds import (
    BOOK_SUFFIXES,
    PICTURE_SUFFIXES,
    SUPPORTED_IMAGE_FORMATS,
    FileKind,
    LeftOut,
    Reason,
    is_hints,
    kind_of,
)
from ..io.naming import NameReservation, parted
from ..io.publish import hash_file
from ..io.scan import RACY_NS, Entry, first_bytes, iter_images, sort_text, walk
from ..io.tiff_pages import TiffPages
from ..messages import N_, Message, joined
from .books import in_worker
from .model import ImageFacts, stored

REFERENCE_FOLDERS = {"references", "refs"}
MOST_BELOW = 10_000
"""So many images in subfolders that are not read are named; who has more knows it by then."""


@dataclass
class Found:
    """What was met beside the images. Each file of the inputs is a source or stands here."""

    hints: dict[str, str] = field(default_factory=dict)  # page path without suffix -> file
    comic_info: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)  # path in the output -> file that is kept as it is
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)  # what was done to read the inputs


@dataclass(frozen=True)
class Reading:
    """How books among the inputs are read: `name_encoding` is that of names of which they do not say it, `run` what takes
    apart those that another library reads. With `each_by_itself` a bad book among several inputs costs itself only: it is
    a page of which nothing can be made."""

    name_encoding: str | None = None
    run: Run = field(default_factory=in_worker)
    each_by_itself: bool = False


@dataclass
class _Tiffs:
    """TIFFs of several pages, which wait until the names of all images are known that their pages could have, too."""

    names: set[str] = field(default_factory=set)
    waiting: list[tuple[_Input, TiffPages, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Input:
    """One of the inputs, or of the references: its number among all, and the folder of its own, `top`, that its
    images have in the output. What it holds is unpacked in `unpack_to`."""

    path: Path
    number: int
    top: str
    origin: str
    recursive: bool
    output: str
    unpack_to: Path
    found: Found
    tiffs: _Tiffs
    reading: Reading

    def leave_out(self, name: str, reason: Reason) -> None:
        self.found.left_out.append(LeftOut(self.top + name, reason))


def find_sources(
    inputs: Sequence[str],
    references: Sequence[str],
    *,
    recursive: bool,
    output: str,
    unpack_to: Path,
    found: Found,
    reading: Reading | None = None,
) -> Iterator[Source]:
    """The images of all inputs, then those of `references`; `found` is filled on the way.

    ValidationError for an input that is missing, unreadable or holds no image, ZIPExtractionError for an archive that is
    not safe; but where several inputs are read each by itself, only when it is so with all."""
    tiffs = _Tiffs()
    reading = reading or Reading()
    faults: list[ZIPExtractionError | ValidationError] = []
    any_input = False
    kinds = [kind_of_input(Path(text)) for text in inputs]
    for number, (text, kind, top) in enumerate(zip(inputs, kinds, tops_of(inputs, kinds), strict=True)):
        own = unpack_to / str(number)
        given = _Input(Path(text), number, top, "input", recursive, output, own, found, tiffs, reading)
        is_book = kind not in {None, FileKind.IMAGE}
        try:
            for source in _one(given, kind):
                any_input = True
                yield source
        except (ZIPExtractionError, ValidationError) as fault:
            if not (reading.each_by_itself and is_book and len(inputs) > 1):
                raise
            faults.append(fault)
            yield _lost(given, given.path, top.rstrip("/") + given.path.suffix, fault.sentence)
    if faults and not any_input and not tiffs.waiting:
        raise faults[0]
    for number, text in enumerate(references, len(inputs)):
        path, own, beside = Path(text), unpack_to / str(number), Found()
        top = f"{REFERENCE_KEY}{number - len(inputs)}/"
        given = _Input(path, number, top, "references", True, output, own, beside, tiffs, reading)
        yield from _one(given, kind_of_input(path))
        found.notes += beside.notes
        # Its hints and metadata are nobody's here; what is left out is called as the person called the reference.
        found.left_out.extend(
            LeftOut(f"{path.name}/{each.name.removeprefix(top)}", each.reason) for each in beside.left_out
        )
    for turn, (given, pages, key) in enumerate(tiffs.waiting):
        yield from _pages(given, pages, key, given.unpack_to / f"pages-{turn}")


REFERENCE_KEY = "--references/"
"""What keys of images begin with that were named as references, before the number of the reference."""


def name_of(source: Source) -> str:
    """What a person calls an image: its path in the input, or in the references that it comes from."""
    return (
        source.key if source.origin == "input" else source.key.removeprefix(REFERENCE_KEY).partition("/")[2]
    )


def place_of(source: Source, references: Sequence[str]) -> str:
    """Where a person finds an image: its name, after the path of those `references` that it comes from."""
    if source.origin == "input":
        return source.key
    number, _, name = source.key.removeprefix(REFERENCE_KEY).partition("/")
    given = Path(references[int(number)])
    return str(given if given.name == name and not given.is_dir() else given / name)


def kind_of_input(path: Path) -> FileKind | None:
    """What a file is that somebody names; None for a folder, and what is not there. Its name may begin with a dot:
    it was meant."""
    if path.is_dir() or not os.path.lexists(path):
        return None
    try:
        head = first_bytes(path)
    except OSError:  # whoever opens it says why not
        head = b""
    return kind_of(path.name.lstrip("."), head)


def tops_of(inputs: Sequence[str], kinds: Sequence[FileKind | None]) -> list[str]:
    """The top folder of each input in the output: its name, where there are several inputs. An input that
    is an image has its own name instead, made different where two images are called alike."""
    tops: list[str] = []
    names = NameReservation()
    for text, kind in zip(inputs, kinds, strict=True):
        path = Path(text)
        if kind == FileKind.IMAGE:
            tops.append(names.reserve(path.name))
        elif len(inputs) == 1:
            tops.append("")
        else:
            tops.append(names.reserve(path.name if kind is None else path.stem) + "/")
    return tops


def _one(given: _Input, kind: FileKind | None) -> Iterator[Source]:
    if not os.path.lexists(given.path):
        raise ValidationError("{path} does not exist: check the path.", path=given.path)
    if kind is None:
        yield from _folder(given)
    elif kind == FileKind.IMAGE:
        key = f"{given.top}{given.path.name}" if given.top.endswith("/") else given.top
        yield from _image(given, given.path, key)
    else:
        yield from _archive(given)


def _folder(given: _Input) -> Iterator[Source]:
    count = 0
    skip = [Path(given.output)]
    for entry in walk(given.path, recursive=given.recursive, skip=skip):
        if entry.reason in {Reason.IN_SUBFOLDER, Reason.LINKED_FOLDER} and not given.recursive:
            yield from _subfolder(given, entry, skip)
        else:
            count += entry.kind == FileKind.IMAGE and entry.reason is None
            yield from _met(given, entry, entry.name)
    if not count:
        raise _no_images(given)


def _subfolder(given: _Input, entry: Entry, skip: list[Path]) -> Iterator[Source]:
    """What a folder gives that is not entered: references where it is called so, else what a person may miss."""
    if entry.path.name.casefold() in REFERENCE_FOLDERS:
        for inner in walk(entry.path, recursive=True, skip=skip):
            yield from _met(given, inner, entry.name + inner.name)
    elif entry.reason == Reason.LINKED_FOLDER:
        given.leave_out(entry.name, Reason.LINKED_FOLDER)
    else:
        room = MOST_BELOW - sum(each.reason == Reason.IN_SUBFOLDER for each in given.found.left_out)
        below = iter_images(entry.path, recursive=True, skip=skip, formats=PICTURE_SUFFIXES | BOOK_SUFFIXES)
        for path in islice(below, max(0, room)):
            is_book = path.suffix.lower() in BOOK_SUFFIXES
            reason = Reason.BOOK_BESIDE_PAGES if is_book else Reason.IN_SUBFOLDER
            given.leave_out(path.relative_to(given.path).as_posix(), reason)


def _met(given: _Input, entry: Entry, name: str) -> Iterator[Source]:
    """What something in a folder is: sources, or what stands beside them; left out it is by its `name`."""
    key, found = given.top + name, given.found
    if entry.reason is not None:
        given.leave_out(name, entry.reason)
    elif entry.kind == FileKind.IMAGE:
        yield from _image(given, entry.path, key)
    elif entry.kind == FileKind.HINTS:
        found.hints.setdefault(_page_of(key), str(entry.path))
    elif entry.kind == FileKind.COMIC_INFO and "/" not in name and found.comic_info is None:
        found.comic_info = str(entry.path)
    elif entry.kind in {FileKind.COMIC_INFO, FileKind.METADATA}:
        found.metadata.setdefault(key, str(entry.path))
    else:
        given.leave_out(name, _why_not(entry))


def _why_not(entry: Entry) -> Reason:
    """Why a file that could be read is no source."""
    if entry.kind == FileKind.BOOK:
        return Reason.BOOK_BESIDE_PAGES
    return Reason.HINTS_FORMAT if is_hints(entry.name) else Reason.NO_PICTURE


def _no_images(given: _Input) -> ValidationError:
    left_out = given.found.left_out
    below = sum(each.reason == Reason.IN_SUBFOLDER for each in left_out)
    books = [each.name for each in left_out if each.reason == Reason.BOOK_BESIDE_PAGES]
    if below:
        return ValidationError(
            "no images in {path}, {below} in its subfolders: add --recursive", path=given.path, below=below
        )
    if books:
        return ValidationError(
            "no images in {path}: give Lote the archives in it themselves ({names})",
            path=given.path,
            names=some_of(books),
        )
    return ValidationError(
        "no images in {path}: it holds none of {formats}",
        path=given.path,
        formats=", ".join(sorted(SUPPORTED_IMAGE_FORMATS)),
    )


def some_of(names: Sequence[str]) -> Message | str:
    """The first of some names and how many others there are; one or two are both named."""
    if len(names) == 1:
        return names[0]
    if len(names) == 2:
        return Message("{first} and {second}", first=names[0], second=names[1])
    return Message("{first} and {count} others", first=names[0], count=len(names) - 1)


# What is said of files that are left out for one reason: of one, and of several. {names} are the first of them.
_SENTENCES: dict[Reason, tuple[str, str]] = {
    Reason.NO_PICTURE: (
        N_("{names} is no picture and is left out"),
        N_("{count} files are no pictures and are left out: {names}"),
    ),
    Reason.HINTS_FORMAT: (
        N_("{names} is left out: hints are PNG or JSON files"),
        N_("{count} files are left out, because hints are PNG or JSON files: {names}"),
    ),
    Reason.IN_SUBFOLDER: (
        N_("1 image in a subfolder left out: add --recursive"),
        N_("{count} images in subfolders left out: add --recursive"),
    ),
    Reason.LINKED_FOLDER: (
        N_("{names} is a link to a folder and is left out: name the folder itself"),
        N_("{count} links to folders are left out: {names}; name the folders themselves"),
    ),
    Reason.BOOK_BESIDE_PAGES: (
        N_("the archive {names} beside the pages is left out: give it to Lote by itself"),
        N_("{count} archives beside the pages are left out: {names}; give them to Lote by themselves"),
    ),
    Reason.BOOK_INSIDE_BOOK: (
        N_("the archive {names} inside of the book is left out: unpack it first"),
        N_("{count} archives inside of the book are left out: {names}; unpack them first"),
    ),
    Reason.NOT_SHOWN: (
        N_("{names} is shown by no page of the book and is left out"),
        N_("{count} pictures are shown by no page of the book and are left out: {names}"),
    ),
    Reason.DAMAGED: (
        N_("{names} is damaged and is left out: get a complete copy"),
        N_("{count} files are damaged and are left out: {names}; get complete copies"),
    ),
    Reason.ENCRYPTED: (
        N_("{names} is encrypted and is left out: unpack it with its password first"),
        N_("{count} files are encrypted and are left out: {names}; unpack them with their password first"),
    ),
    Reason.COMPRESSION: (
        N_("{names} is packed in a way that Lote does not read, and is left out: pack it again as ZIP"),
        N_(
            "{count} files are packed in a way that Lote does not read, and are left out: {names}; pack them again as ZIP"
        ),
    ),
    Reason.TOO_LARGE: (
        N_("{names} is larger than such a file can be, and is left out"),
        N_("{count} files are larger than such files can be, and are left out: {names}"),
    ),
    Reason.JUNK: (
        N_("{names} is hidden or left by a system, and is left out"),
        N_("{count} files are hidden or left by a system, and are left out: {names}"),
    ),
    Reason.UNREADABLE: (
        N_("{names} cannot be read and is left out"),
        N_("{count} files cannot be read and are left out: {names}"),
    ),
}
_MORE_BELOW = N_("more than {count} images in subfolders left out: add --recursive")


class LeftOutTogether(NamedTuple):
    """Files that are left out for one reason, and the sentence that tells of them."""

    reason: Reason
    names: tuple[str, ...]
    sentence: Message


def by_reason(left_out: Iterable[LeftOut]) -> list[LeftOutTogether]:
    """What was left out, with a sentence for each reason: the number of files and the first of them."""
    found: dict[Reason, list[str]] = {}
    for each in left_out:
        found.setdefault(each.reason, []).append(each.name)
    return [
        LeftOutTogether(reason, tuple(names), _sentence(reason, names)) for reason, names in found.items()
    ]


def _sentence(reason: Reason, names: Sequence[str]) -> Message:
    one, several = _SENTENCES[reason]
    if reason == Reason.IN_SUBFOLDER and len(names) >= MOST_BELOW:
        several = _MORE_BELOW
    return Message(one if len(names) == 1 else several, count=len(names), names=some_of(names))


def _image(given: _Input, path: Path, key: str) -> Iterator[Source]:
    """The source that an image is; none yet where it is a TIFF of several pages."""
    if PurePosixPath(key).suffix.lower() in _TIFF_SUFFIXES:
        try:
            pages = TiffPages.of(path)
        except OSError:  # examining it says why not
            pages = None
        if pages is not None and len(pages.offsets) > 1:
            given.tiffs.waiting.append((given, pages, key))
            return
        given.tiffs.names.add(key)
    yield _file(path, key, given.number, given.origin)


_TIFF_SUFFIXES = {".tif", ".tiff"}


def _pages(given: _Input, pages: TiffPages, key: str, folder: Path) -> Iterator[Source]:
    """The pages of a TIFF: `chapter-001.tif`, `chapter-002.tif` and so on, at its place."""
    stem, _, suffix = key.rpartition(".")
    digits = max(3, len(str(len(pages.offsets) + 1)))
    names = NameReservation(given.tiffs.names)
    try:
        needed = pages.size()
    except ValueError:  # they claim more than there is: what its first page is worth, examining it says
        yield _file(pages.path, key, given.number, given.origin)
        return
    make_room(pages.path, needed, folder)
    number = 0
    try:
        for number, page in enumerate(pages.write(folder), 1):
            own = names.reserve(f"{stem}-{number:0{digits}d}.{suffix}")
            sha256 = hash_file(page)
            yield Source(own, _sort(given.number, own), str(page), given.origin, f"sha256:{sha256}", sha256)
            given.tiffs.names.add(own)
    except OSError as error:
        raise _not_unpacked(pages.path, folder, error) from error
    if not pages.whole:
        rest = f"{stem}-{number + 1:0{digits}d}.{suffix}"
        given.found.left_out.append(LeftOut(rest, Reason.DAMAGED))


def make_room(path: Path, needed: int, folder: Path) -> None:
    """Make the folder that a file is unpacked in, where its disk has room for so many bytes.

    ValidationError where it has not, ResourceError where there cannot be such a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_unpacked(path, folder, error) from error
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValidationError(
            "{path} needs {needed} bytes to be unpacked and {free} are free in {folder}: free some "
            "space, or choose another workspace.",
            path=path,
            needed=needed,
            free=free,
            folder=folder,
        )


def _not_unpacked(path: Path, folder: Path, error: OSError) -> ResourceError:
    return ResourceError(
        "{path} cannot be unpacked in {folder} ({reason}): free some space, or choose another workspace.",
        path=path,
        folder=folder,
        reason=reason_of(error),
    )


def _archive(given: _Input) -> Iterator[Source]:
    make_room(given.path, given.path.stat().st_size if given.path.is_file() else 0, given.unpack_to)
    whole = given.unpack_to / "whole"
    try:
        count = 0
        for source in _book(given, whole):
            count += 1
            yield source
    finally:
        shutil.rmtree(whole, ignore_errors=True)  # what was not needed, or all of a book that is refused
    if not count and not any(waiting is given for waiting, _, _ in given.tiffs.waiting):
        raise ValidationError(
            "no images in {path}: the archive holds none of the formats that Lote reads", path=given.path
        )


def _book(given: _Input, whole: Path) -> Iterator[Source]:
    """The images of a book; `whole` is where it may be taken apart."""
    found, top, reading = given.found, given.top, given.reading
    with open_book(given.path, folder=whole, name_encoding=reading.name_encoding, run=reading.run) as book:
        if not isinstance(book, StoredBook):  # which has taken its room already
            make_room(given.path, sum(member.size for member in book.members), given.unpack_to)
        for one in unpack(book, given.unpack_to, opener(reading.name_encoding, reading.run)):
            key = top + one.name
            if one.kind == FileKind.IMAGE:
                yield from _unpacked(given, one, key)
            elif one.kind == FileKind.HINTS:
                found.hints.setdefault(_page_of(key), str(one.path))
            elif one.kind == FileKind.COMIC_INFO and found.comic_info is None:
                found.comic_info = str(one.path)
            else:
                found.metadata[key] = str(one.path)
        for each in book.left_out:
            given.leave_out(each.name, each.reason)
        found.notes += [joined((given.path.name, note), ": ") for note in book.notes]


def _unpacked(given: _Input, one: Unpacked, key: str) -> Iterator[Source]:
    """The source that an unpacked image is: known by its content, for the file is a new one each time."""
    if one.fault is not None:
        yield _lost(
            given, one.path, key, Message("in {book} it {problem}", book=given.path.name, problem=one.fault)
        )
        return
    for source in _image(given, one.path, key):
        sha256 = hash_file(one.path)
        yield replace(source, identity=f"sha256:{sha256}", sha256=sha256)


def _lost(given: _Input, path: Path, key: str, why: Message) -> Source:
    """The source that stands for what cannot be read: a page that fails, with the bytes that there are in its place."""
    given.tiffs.names.add(key)
    is_empty = not path.stat().st_size
    sha256 = None if is_empty else hash_file(path)
    facts = stored(ImageFacts(error=why, lost=True))
    return Source(key, _sort(given.number, key), str(path), given.origin, f"lost:{sha256}", sha256, facts)


def hints_in(folder: Path) -> dict[str, str]:
    """The hint files below `--hints DIR`, by the page's path without suffix."""
    if not folder.is_dir():
        raise ValidationError("The hints folder {folder} does not exist: check --hints.", folder=folder)
    return {
        _page_of(entry.name): str(entry.path)
        for entry in walk(folder, recursive=True)
        if entry.kind == FileKind.HINTS and entry.reason is None
    }


def _page_of(hints: str) -> str:
    """`a/p1.hints.json` belongs to `a/p1`."""
    return str(PurePosixPath(hints).with_suffix("").with_suffix(""))


def hint_for(key: str, hints: dict[str, str]) -> str | None:
    return hints.get(parted(key)[0])


def is_reference_folder(key: str) -> bool:
    """Whether a page's path leads through a folder named references or refs."""
    return any(part.casefold() in REFERENCE_FOLDERS for part in key.split("/")[:-1])


def _file(path: Path, key: str, number: int, origin: str) -> Source:
    now = time.time_ns()
    try:
        stat = path.stat()
    except OSError:  # a page, too: it fails, and the examining worker says why
        return Source(key, _sort(number, key), str(path), origin, f"unreadable:{now}")
    identity = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"
    if now - max(stat.st_mtime_ns, stat.st_ctime_ns) < RACY_NS:
        identity += f":{now}"  # never equal to what it will be next time: examined again
    return Source(key, _sort(number, key), str(path), origin, identity)


def _sort(number: int, key: str) -> str:
    """The natural order of (input number, path), as text."""
    return f"{number:06d}{sort_text(key)}"
