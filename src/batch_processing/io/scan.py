"""Finding images in folders, in reading order.

Promises: a scan streams (memory is one folder's listing per level), its order is the natural order of the
path, junk and Lote's own folders are skipped, and one unreadable folder is a warning.
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
from typing import TYPE_CHECKING, Final, Protocol

from ..exceptions import BatchProcessingError, ImageProcessingError, ValidationError, reason
from ..logging_config import get_logger

if TYPE_CHECKING:
    from ..classification import ImageType  # type: ignore[attr-defined, unused-ignore]

__all__ = [
    "SUPPORTED_IMAGE_FORMATS",
    "is_hints",
    "is_junk",
    "iter_images",
    "natural_key",
    "scan_directory",
    "separate_line_art_and_references",
    "validate_image_file",
]

SUPPORTED_IMAGE_FORMATS: Final = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".avif",
        ".jp2",
        ".j2k",
        ".jpf",
        ".jpx",
        ".heic",
        ".heif",
    ]
)

NaturalKey = tuple[tuple[tuple[tuple[int, int, str], ...], str], ...]

_JUNK_FILES = {"thumbs.db", "desktop.ini", "icon\r"}
_log = get_logger(__name__)


class Classifier(Protocol):
    def classify(self, path: str) -> ImageType: ...


def natural_key(path: str) -> NaturalKey:
    """A sort key for reading order: folder by folder, digits as numbers, case folded, NFC.

    Total: two different paths never compare equal. Digits come before letters; `1` before `01`."""
    return tuple((_tokens(part), part) for part in path.split("/"))


def _tokens(part: str) -> tuple[tuple[int, int, str], ...]:
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())
    tokens = []
    for run in re.findall(r"\d+|\D+", text):
        if run[0].isdecimal():
            # Not int(): Python refuses numbers of more than 4,300 digits. Length, then digits, is the same order.
            digits = "".join(str(unicodedata.decimal(digit)) for digit in run).lstrip("0")
            tokens.append((0, len(digits), digits))
        else:
            tokens.append((1, 0, run))
    return tuple(tokens)


def is_junk(path: str) -> bool:
    """Whether a relative path (with `/`) is what systems leave behind, hidden, or Lote's own."""
    return any(
        part.startswith(".")
        or part.casefold() in _JUNK_FILES
        or part in {"__MACOSX", "_lote"}
        or part.endswith(".lote")
        for part in path.split("/")
    )


def is_hints(path: str) -> bool:
    """Whether a path is named `<page>.hints.<ext>`: hints for a page, never a page."""
    return Path(path).stem.casefold().endswith(".hints")


def iter_images(root: Path, *, recursive: bool, skip: Collection[Path] = ()) -> Iterator[Path]:
    """Images below `root` by name, in natural order, as they are found; `skip` names files and folders to leave out.

    Paths are `root` extended. ValidationError when `root` itself cannot be listed."""
    skipped = {os.path.realpath(path) for path in skip}
    yield from _walk(_root_listing(root), recursive, skipped, SUPPORTED_IMAGE_FORMATS)


def _root_listing(root: Path) -> list[os.DirEntry[str]]:
    try:
        if not root.exists():
            raise ValidationError(f"The folder {root} does not exist.")
        if not root.is_dir():
            raise ValidationError(f"{root} is not a directory.")
        return _listing(root)
    except (OSError, ValueError) as fault:
        raise ValidationError(f"The folder {root} cannot be read: {reason(fault)}.") from fault


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry for entry in entries if not is_junk(entry.name)), key=lambda entry: natural_key(entry.name)
        )


def _walk(
    entries: list[os.DirEntry[str]], recursive: bool, skipped: Collection[str], formats: Collection[str]
) -> Iterator[Path]:
    # A stack instead of recursion: folders can be nested deeper than Python's recursion limit.
    stack = [iter(entries)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        path = Path(entry.path)
        try:
            if entry.is_dir():
                if not recursive or (skipped and os.path.realpath(path) in skipped):
                    continue
                if entry.is_symlink():
                    _log.warning("%s is a link to a folder and is not entered.", path)
                    continue
                stack.append(iter(_listing(path)))
            elif (
                path.suffix.lower() in formats
                and not is_hints(entry.name)
                and entry.is_file()
                and not (skipped and os.path.realpath(path) in skipped)
            ):
                yield path
        except OSError as fault:
            _log.warning("%s cannot be read and is left out: %s.", path, reason(fault))


def scan_directory(
    directory: str | Path, recursive: bool = False, supported_formats: Collection[str] | None = None
) -> list[str]:
    """Absolute paths of the images in a folder, in natural order; formats are compared in lower case.

    ValidationError when the folder does not exist or is not a directory."""
    root = Path(os.path.abspath(directory))  # noqa: PTH100 - Path.absolute keeps `..`
    formats = SUPPORTED_IMAGE_FORMATS if supported_formats is None else supported_formats
    wanted = {name.lower() if name.startswith(".") else f".{name.lower()}" for name in formats}
    return [str(path) for path in _walk(_root_listing(root), recursive, (), wanted)]


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

    An image that cannot be read is named in a warning and stands in none of the three."""
    if classifier is None:
        # As text: classification stands above this room, and is loaded only when it is wanted.
        created: Classifier = import_module("batch_processing.classification").ImageClassifier()
        classifier = created
    line_art: list[str] = []
    references: list[str] = []
    types: dict[str, ImageType] = {}
    for path in map(str, paths):
        try:
            found = classifier.classify(path)
        except ImageProcessingError as fault:
            _log.warning("Left out, because it cannot be read: %s", fault)
            continue
        types[path] = found
        (line_art if found.type == "line_art" else references).append(path)
    return line_art, references, types
