"""Which books a command names, and where each is to come out.

Promises: the same inputs give the same books, names and outputs, in reading order; a folder with pages of its own is
one book, whatever stands below it, and accounts for that itself; nothing is opened. What stands among the books and
is none is named. Links to folders are not entered.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..exceptions import ValidationError
from ..io.kinds import BOOK_SUFFIXES, FileKind, LeftOut, Reason
from ..io.naming import NameReservation
from ..io.scan import natural_key, walk
from .outputs import ARCHIVES, default_name
from .sources import REFERENCE_FOLDERS, kind_of_input

__all__ = ["Book", "Shelf", "absolute", "below", "default_output", "find_shelf", "is_book"]


@dataclass(frozen=True)
class Book:
    """One book of several: its file or folder, its path among the others (with `/`), where it comes out, and the
    folders of references that stand beside or above it."""

    path: str
    name: str
    output: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shelf:
    """Several books, in reading order. `output` is the folder that receives them, None where each has its place
    beside its input; `left_out` are files that stand among them and are no books, and `made` those that Lote has made."""

    books: list[Book]
    output: str | None
    left_out: list[LeftOut] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


@dataclass
class _Input:
    """One input: the folder from which its books are named, and the books by path, with their references."""

    root: Path
    folder: Path | None = None
    books: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    left_out: list[tuple[Path, Reason]] = field(default_factory=list)
    made: list[Path] = field(default_factory=list)


def absolute(path: str | Path) -> str:
    """A path as a job knows it: links in it are the user's own, and stay."""
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100


def is_book(path: Path) -> bool:
    """Whether a path is an archive or a document that holds pages; by its name where it is not there."""
    if os.path.lexists(path):
        return kind_of_input(path) == FileKind.BOOK
    return path.suffix.lower() in BOOK_SUFFIXES


def below(book: Book) -> str:
    """What paths of a book's pages begin with, seen from where all books are."""
    return f"{_stem(book.name, Path(book.path))}/"


def default_output(first: str | Path, kind: str | None = None) -> str:
    """`<input>_colorized` beside the input: of `kind` ("folder", "zip", "cbz"), else as `outputs.default_name` has it."""
    path = Path(first)
    return str(path.with_name(default_name(path)[0] + _suffix(path, kind)))


def find_shelf(
    inputs: Sequence[str], output: str | None, *, kind: str | None = None, made: Collection[str] = ()
) -> Shelf | None:
    """The books of several inputs, or of a folder of books; None where the inputs are one book.

    They are several where every input is an archive, or a folder that has archives at any depth and no page at its
    top. `output` is the folder that receives them, as the tree they are in; left out, each input has its
    `default_output`. `kind` is what all become, else each stays what it is where Lote writes that, and becomes a CBZ where
    not. What Lote has `made` and now meets in a folder is no book. ValidationError for an output that is an archive,
    and for a folder that cannot be read."""
    paths = list(dict.fromkeys(map(Path, inputs)))
    if len(paths) == 1 and not paths[0].is_dir():
        return None
    skip = [Path(path) for path in (output, *map(default_output, paths)) if path]
    found: list[_Input] = []
    if not all(path.is_dir() or is_book(path) for path in paths):
        return None
    for path in paths:
        one = _Input(path.parent, books={path: ()}) if is_book(path) else _folder(path, skip, made)
        if one is None:
            return None
        found.append(one)
    if output is not None and Path(output).suffix.lower() in ARCHIVES and not Path(output).is_dir():
        raise ValidationError(
            "{output} is one archive, and the inputs are {count} books: name a folder with -o, or bind them into one "
            "with --join.",
            output=output,
            count=sum(len(one.books) for one in found),
        )
    return _named(found, output, kind)


def _named(found: list[_Input], output: str | None, kind: str | None) -> Shelf:
    """The books under their names and with their outputs; one that another becomes is none itself."""
    top = found[0].folder if len(found) == 1 else None
    root = top or Path(os.path.commonpath([one.root for one in found]))
    every = [(path, one) for one in found for path in one.books]
    # Who keeps its name has it before those that would get it.
    every.sort(
        key=lambda pair: (_suffix(pair[0], kind) != pair[0].suffix, natural_key(_below(pair[0], root)))
    )
    taken: dict[Path, NameReservation] = {}
    books = []
    for path, one in every:
        name = _below(path, root)
        if output is None and one.folder is None:
            target = default_output(path, kind)
        else:
            above = Path(output or default_output(one.folder or path))
            inside = name if output else path.relative_to(one.folder or root).as_posix()
            names = taken.setdefault(above, NameReservation())
            target = str(above / names.reserve(_stem(inside, path) + _suffix(path, kind)))
        books.append(Book(str(path), name, target, one.books[path]))
    books.sort(key=lambda book: natural_key(book.name))
    ours = {book.output for book in books}
    made = [path for one in found for path in one.made] + [
        Path(one.path) for one in books if one.path in ours
    ]
    left_out = [LeftOut(_below(path, root), why) for one in found for path, why in one.left_out]
    return Shelf(
        [book for book in books if book.path not in ours],
        output or (default_output(top) if top else None),
        sorted(left_out, key=lambda one: natural_key(one.name)),
        sorted((_below(path, root) for path in made), key=natural_key),
    )


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _stem(name: str, path: Path) -> str:
    return name if path.is_dir() else name.removesuffix(path.suffix)


def _suffix(path: Path, kind: str | None) -> str:
    """The ending of what a book becomes."""
    if kind is not None:
        return "" if kind == "folder" else f".{kind}"
    return default_name(path)[1]


def _folder(top: Path, skip: Collection[Path], made: Collection[str]) -> _Input | None:
    """The books of a folder; None where it is a book itself, or has none. ValidationError where it cannot be read."""
    one = _Input(top.parent, folder=top)
    waiting: list[tuple[Path, tuple[str, ...]]] = [(top, ())]
    archives = False
    while waiting:
        folder, references = waiting.pop()
        try:
            entries = list(walk(folder, recursive=False, skip=skip))
        except ValidationError:
            if folder == top:
                raise
            one.left_out.append((folder, Reason.UNREADABLE))
            continue
        if any(entry.kind == FileKind.IMAGE for entry in entries):
            if folder == top:
                return None
            one.books[folder] = references
            continue
        folders = [entry.path for entry in entries if entry.reason == Reason.IN_SUBFOLDER]
        beside = [path for path in folders if path.name.casefold() in REFERENCE_FOLDERS]
        references += tuple(map(str, beside))
        waiting += [(path, references) for path in folders if path not in beside]
        for entry in entries:
            if entry.kind == FileKind.BOOK and entry.reason is None:
                if str(entry.path) in made:
                    one.made.append(entry.path)
                else:
                    archives = True
                    one.books[entry.path] = references
            elif entry.reason not in {Reason.IN_SUBFOLDER, Reason.JUNK}:
                one.left_out.append((entry.path, entry.reason or Reason.NO_PICTURE))
    return one if archives else None
