"""What a book says of itself, as it goes out again: ComicInfo.xml, its kin, and the comment of its ZIP.

Promises: a ComicInfo.xml speaks of the images in its folder and below, and follows them when they are dropped or become
other files; what else is kept has its bytes. One that cannot be understood is left out with a warning, where it is that
of the whole book, and stays as it is, where it is that of a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.application import JobContext
from ..core.model import Item, ItemState, Job, Role, Source
from ..exceptions import ValidationError, incident
from ..io.comic_info import LIMIT, BookPage, comic_info, is_right_to_left
from ..io.naming import NameReservation
from ..io.zip_comment import zip_comment
from ..reading import read_whole
from .model import facts_of
from .sources import Found

COMIC_INFO_NAME = "ComicInfo.xml"


def names(found: Found) -> dict[str, str]:
    """The paths in the output of what `files` gives, by path in the book: no two are taken for the same."""
    taken = NameReservation()
    own = [COMIC_INFO_NAME] if found.comic_info is not None else []
    return {name: taken.reserve(name.replace("\\", "_")) for name in (*own, *found.metadata)}


def files(context: JobContext, found: Found, *, is_archive: bool) -> Iterator[tuple[str, bytes]]:
    """What the book says of itself: path in the output and content. `is_archive`: the output holds every page, also
    those that were not asked for."""
    called = names(found)
    if not called:
        return
    images = list(_images(context, is_archive=is_archive))
    if found.comic_info is not None:
        number = _number_of_input(context.job, Path(found.comic_info))
        mine = [image.page for image in images if image.number == number]
        count = sum(image.page is not None for image in images)
        try:
            yield called[COMIC_INFO_NAME], comic_info(read_whole(Path(found.comic_info), LIMIT), mine, count)
        except ValidationError as error:
            context.warn("ComicInfo.xml is left out: {error}", error=error)
        except OSError as error:
            context.warn("ComicInfo.xml is left out: {error}", error=incident(error))
    for name, path in found.metadata.items():
        try:
            content = read_whole(Path(path), LIMIT)
        except (OSError, ValueError) as error:
            context.warn(
                "{name} is left out: {error}",
                name=name,
                error=incident(error) if isinstance(error, OSError) else error,
            )
            continue
        folder, _, base = name.rpartition("/")
        if base.casefold() == COMIC_INFO_NAME.casefold():
            content = _of_part(content, [image for image in images if image.key.startswith(f"{folder}/")])
        yield called[name], content


def comment_of(job: Job) -> bytes:
    """The comment of the ZIP that the job's one input is, and its output becomes."""
    return zip_comment(Path(job.inputs[0])) if len(job.inputs) == 1 else b""


def reads_right_to_left(found: Found) -> bool:
    """Whether the book says that it is read from right to left."""
    infos = [path for name, path in found.metadata.items() if name.casefold().endswith("/comicinfo.xml")]
    for path in [found.comic_info] if found.comic_info is not None else infos:
        try:
            if is_right_to_left(read_whole(Path(path), LIMIT)):
                return True
        except (ValidationError, OSError, ValueError):  # said when it is to go out again
            continue
    return False


@dataclass(frozen=True)
class _Image:
    """An image of the inputs: its path in the book, the number of its input, and what it is now; None where it is gone."""

    key: str
    number: int
    page: BookPage | None


def _images(context: JobContext, *, is_archive: bool) -> Iterator[_Image]:
    items = context.ledger.items(context.job.id)
    count = 0
    for source in context.ledger.sources(context.job.id):
        item = next(items) if source.role == Role.PAGE else None
        if source.origin != "input":
            continue
        page = _page(source, item, count, is_archive=is_archive)
        count += page is not None
        yield _Image(source.key, int(source.sort[:6]), page)


def _page(source: Source, item: Item | None, number: int, *, is_archive: bool) -> BookPage | None:
    if source.role in (Role.COPY, Role.KEPT):
        return BookPage(number)
    if item is None:
        return None
    if item.state == ItemState.COMPLETED and (is_archive or not item.held):
        width, height = facts_of(source).size
        return BookPage(number, Path(item.output).stat().st_size, width, height)
    is_there = source.sha256 is not None and (is_archive or item.state == ItemState.FAILED)
    return BookPage(number) if is_there else None  # its original stands in its place


def _of_part(content: bytes, images: list[_Image]) -> bytes:
    """A ComicInfo.xml of a part of the book: its pages are counted in that part."""
    pages: list[BookPage | None] = []
    count = 0
    for image in images:
        pages.append(image.page and replace(image.page, number=count))
        count += image.page is not None
    try:
        return comic_info(content, pages, count)
    except ValidationError:
        return content


def _number_of_input(job: Job, path: Path) -> int:
    """The number of the input that a file comes from: it stands in a folder, or was unpacked in that of its number."""
    for number, text in enumerate(job.inputs):
        if path.is_relative_to(text):
            return number
    return int(path.parent.name) if path.parent.name.isdecimal() else 0
