"""Finding images in folders, in reading order.

Promises: a scan streams (memory is one folder's listing per level), its order is the natural order of the
path, junk and Lote's own folders are not entered, and one unreadable folder costs itself only. `walk` passes nothing
over: what is not looked into is named with its reason.
Refuses: a root that is missing, no folder, or unreadable.
Does not guarantee: a stable picture of a folder that changes meanwhile. Links to folders are not entered
(so a scan always ends); links to files are.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..exceptions import BatchProcessingError, ImageProcessingError, ValidationError, reason
from ..logging_config import get_logger
from ..reading import open_regular
from .kinds import (
    HEAD,
    SUPPORTED_IMAGE_FORMATS,
    FileKind,
    Reason,
    is_hints,
    is_junk,
    kind_by_name,
    kind_of,
)
from .naming import folded

if TYPE_CHECKING:
    from ..classification import ImageType  # type: ignore[attr-defined, unused-ignore]

__all__ = [
    "SUPPORTED_IMAGE_FORMATS",
    "Entry",
    "first_bytes",
    "iter_images",
    "natural_key",
    "scan_directory",
    "separate_line_art_and_references",
    "sort_text",
    "validate_image_file",
    "walk",
]

Tokens = tuple[tuple[int, int, str], ...]
NaturalKey = tuple[tuple[Tokens, Tokens, str], ...]

# A file is trusted unread only if its newest time lies this many nanoseconds before it was looked at: within the
# granularity of a file system's clock (2 s on FAT) a later write could leave the same times.
# https://git-scm.com/docs/racy-git
RACY_NS: Final = 2_000_000_000
_log = get_logger(__name__)


class Classifier(Protocol):
    def classify(self, path: str) -> ImageType: ...


def natural_key(path: str) -> NaturalKey:
    """A sort key for reading order: folder by folder, stem before suffix, digits as numbers, case folded, NFC.

    Total: two different paths never compare equal. Digits come before letters, and a name before those that it
    begins: `X-7.png` before `X-7-01.png`, `010.png` before `010.5.png`, `image.png` before `image (1).png`."""
    parts = ((*os.path.splitext(part), part) for part in path.split("/"))  # noqa: PTH122
    return tuple((_tokens(stem), _tokens(suffix), part) for stem, suffix, part in parts)


def sort_text(path: str) -> str:
    """The order of `natural_key` as one text of valid Unicode, which any database sorts by code points.

    Control characters below every one that it keeps stand for the ends and kinds of the parts."""
    parts = []
    for stem, suffix, part in natural_key(path):
        for tokens in (stem, suffix):
            for kind, length, text in tokens:
                size = chr(0x20 + min(length, 0xD000)) if kind == 0 else ""
                parts.append(f"{chr(2 + kind)}{size}{_escaped(text)}\1")
            parts.append("\1")
        parts.append(f"{_escaped(part)}\1")
    return "".join(parts)


# What stands for something else in `sort_text`, and what is no valid Unicode (bytes of names that are not UTF-8),
# behind a character that sorts where these do.
_ESCAPED = re.compile("[\1-\4\ud800-\ue000]")


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\4{chr(code + 0x10)}" if code < 0x10 else f"\ue000{chr(code - 0xD800 + 0x20)}"


def _tokens(part: str) -> Tokens:
    text = folded(part)
    tokens = []
    for run in re.findall(r"\d+|\D+", text):
        if run[0].isdecimal():
            # Not int(): Python refuses numbers of more than 4,300 digits. Length, then digits, is the same order.
            digits = "".join(str(unicodedata.decimal(digit)) for digit in run).lstrip("0")
            tokens.append((0, len(digits), digits))
        else:
            tokens.append((1, 0, run))
    return tuple(tokens)


class Entry(NamedTuple):
    """Something that stands in a folder: its path, its name below the root (with `/`), what it is, and the reason why
    it is not looked at, if there is one. Folders are met only with a reason; their names end in `/`."""

    path: Path
    name: str
    kind: FileKind
    reason: Reason | None


def walk(root: Path, *, recursive: bool, skip: Collection[Path] = ()) -> Iterator[Entry]:
    """Every file below `root` in natural order, as it is met; `skip` names files and folders to pass over.

    First bytes are read of files whose names leave open what they are: those of a page with a picture's suffix could
    not make it anything else, and opening each file of a folder on a network takes longer than listing it.
    ValidationError when `root` itself cannot be listed."""
    skipped = {os.path.realpath(path) for path in skip}
    start = len(os.path.join(root, ""))  # noqa: PTH118 - with one separator, also for the root of all
    for entry, why in _walk(_root_listing(root), recursive, skipped):
        name = entry.path[start:].replace(os.sep, "/")
        path = Path(entry.path)
        if why is None or (why == Reason.UNREADABLE and not _is_folder(entry)):
            yield Entry(path, name, *_looked_at(path, name))
        else:
            kind = FileKind.JUNK if why == Reason.JUNK else FileKind.OTHER
            yield Entry(path, name + "/" * _is_folder(entry), kind, why)


def _looked_at(path: Path, name: str) -> tuple[FileKind, Reason | None]:
    if (kind := kind_by_name(name)) is not None:
        return kind, None  # whoever opens it says why, should it be unreadable
    try:
        return kind_of(name, first_bytes(path)), None
    except OSError:
        return FileKind.OTHER, Reason.UNREADABLE


def first_bytes(path: Path) -> bytes:
    """As many bytes of a file as tell what it is. OSError when it cannot be read."""
    with open_regular(path) as file:
        return file.read(HEAD)


def iter_images(
    root: Path,
    *,
    recursive: bool,
    skip: Collection[Path] = (),
    formats: Collection[str] = SUPPORTED_IMAGE_FORMATS,
) -> Iterator[Path]:
    """Images below `root` by suffix, in natural order, as they are found; `skip` names files and folders to leave out.
    Or other files, with the suffixes `formats`, in lower case.

    Paths are `root` extended. ValidationError when `root` itself cannot be listed."""
    skipped = {os.path.realpath(path) for path in skip}
    for entry, why in _walk(_root_listing(root), recursive, skipped):
        if why is None:
            path = Path(entry.path)
            if path.suffix.lower() in formats and not is_hints(entry.name):
                yield path
        elif why == Reason.LINKED_FOLDER and recursive:
            _log.warning("%s is a link to a folder and is not entered.", entry.path)
        elif why == Reason.UNREADABLE:
            _log.warning("%s cannot be read and is left out.", entry.path)


def _root_listing(root: Path) -> list[os.DirEntry[str]]:
    try:
        if not root.exists():
            raise ValidationError("The folder {root} does not exist.", root=root)
        if not root.is_dir():
            raise ValidationError("{root} is not a directory.", root=root)
        return _listing(root)
    except (OSError, ValueError) as fault:
        raise ValidationError(
            "The folder {root} cannot be read: {fault}.", root=root, fault=reason(fault)
        ) from fault


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: natural_key(entry.name))


def _walk(
    entries: list[os.DirEntry[str]], recursive: bool, skipped: Collection[str]
) -> Iterator[tuple[os.DirEntry[str], Reason | None]]:
    """Files to be looked at, and with a reason what is not: files, and folders that are not entered."""
    names = {os.path.basename(path) for path in skipped}  # noqa: PTH119 - to resolve few paths: each asks the disk often
    # A stack instead of recursion: folders can be nested deeper than Python's recursion limit.
    stack = [iter(entries)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        try:
            if (entry.name in names or entry.is_symlink()) and os.path.realpath(entry.path) in skipped:
                continue
            if is_junk(entry.name):
                yield entry, Reason.JUNK
            elif not entry.is_dir():
                yield entry, None if entry.is_file() else Reason.UNREADABLE
            elif entry.is_symlink():
                yield entry, Reason.LINKED_FOLDER
            elif not recursive:
                yield entry, Reason.IN_SUBFOLDER
            else:
                stack.append(iter(_listing(Path(entry.path))))
        except OSError:
            yield entry, Reason.UNREADABLE


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def scan_directory(
    directory: str | Path, recursive: bool = False, supported_formats: Collection[str] | None = None
) -> list[str]:
    """Absolute paths of the images in a folder, in natural order; formats are compared in lower case. Empty files
    are none.

    ValidationError when the folder does not exist or is not a directory."""
    root = Path(os.path.abspath(directory))  # noqa: PTH100 - Path.absolute keeps `..`
    formats = SUPPORTED_IMAGE_FORMATS if supported_formats is None else supported_formats
    wanted = {name.lower() if name.startswith(".") else f".{name.lower()}" for name in formats}
    return [str(path) for path in iter_images(root, recursive=recursive, formats=wanted) if _has_bytes(path)]


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError as fault:
        _log.warning("%s cannot be read and is left out: %s.", path, reason(fault))
        return False


def validate_image_file(path: str | Path, deep: bool = False) -> bool:
    """Whether `path` looks like an image: name, size and permission; never raises. `deep` decodes it too."""
    try:
        file = Path(path)
        if (
            file.suffix.lower() not in SUPPORTED_IMAGE_FORMATS
            or not file.is_file()
            or file.stat().st_size == 0
            or not os.access(file, os.R_OK)
        ):
            return False
        if deep:
            from .images import decode

            decode(file)
    except (BatchProcessingError, OSError, ValueError, TypeError):
        return False
    return True


def separate_line_art_and_references(
    paths: Iterable[str | Path], classifier: Classifier | None = None
) -> tuple[list[str], list[str], dict[str, ImageType]]:
    """Line art, coloured references, and what the classifier said of each; the order of `paths` is kept.

    An image that cannot be read is named in a warning and stands in none of the three.
    ValidationError for an empty list."""
    images = list(map(str, paths))
    if not images:
        raise ValidationError("The paths list is empty: name at least one image.")
    if classifier is None:
        # As text: classification stands above this room, and is loaded only when it is wanted.
        created: Classifier = import_module("batch_processing.classification").ImageClassifier()
        classifier = created
    line_art: list[str] = []
    references: list[str] = []
    types: dict[str, ImageType] = {}
    for path in images:
        try:
            found = classifier.classify(path)
        except ImageProcessingError as fault:
            _log.warning("Left out, because it cannot be read: %s", fault)
            continue
        types[path] = found
        (line_art if found.type == "line_art" else references).append(path)
    return line_art, references, types
