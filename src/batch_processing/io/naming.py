"""Names of outputs: which are free, which a file system takes for the same, and how long they may be.

Promises: two pages never share an output name, also where the file system ignores case or Unicode form, and
every name is at most 255 bytes long. Does not know names that Windows forbids.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from ..exceptions import ValidationError

NAME_MAX = 255  # bytes in one name: ext4, APFS and NTFS alike


class NameReservation:
    """Gives every page of a job its own output name; ask in page order, so that the same job gives the same.

    `a/p1.tif` as png becomes `a/p1.png`; the next `p1.*` of that folder `a/p1_1.png`. Names that differ in
    case or Unicode form only are taken for the same; a stem too long for 255 bytes is cut."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}  # folded wish -> the folder given for it
        self._numbers: dict[str, int] = {}  # folded wish -> the first number that may be free
        for path in taken:
            self._take(path)

    def reserve(self, path: str, suffix: str | None = None) -> str:
        """A free relative path (with `/`) for the page at the relative `path`; `suffix` with its dot."""
        *folders, name = _parts(path)
        folder = ""
        for part in folders:
            folder = self._folder(f"{folder}{part}")
        if suffix is not None:
            name = _stem_and_suffix(name)[0] + suffix
        key = folded(f"{folder}{name}")
        number, chosen = next(
            (number, f"{folder}{candidate}")
            for number, candidate in _candidates(name, start=self._numbers.get(key, 0))
            if folded(f"{folder}{candidate}") not in self._files
            and folded(f"{folder}{candidate}/") not in self._folders
        )
        self._numbers[key] = number + 1
        self._take(chosen)
        return chosen

    def _take(self, path: str) -> None:
        self._files.add(folded(path))
        folder = ""
        for part in _parts(path)[:-1]:
            folder = f"{folder}{part}/"
            self._folders.setdefault(folded(folder), folder)

    def _folder(self, wish: str) -> str:
        """`wish/`, or another name where a file stands in the way."""
        key = folded(f"{wish}/")
        if key not in self._folders:
            parent, _, last = wish.rpartition("/")
            prefix = f"{parent}/" if parent else ""
            self._folders[key] = next(
                f"{prefix}{candidate}/"
                for _, candidate in _candidates(last, is_folder=True)
                if folded(prefix + candidate) not in self._files
            )
        return self._folders[key]


def _candidates(name: str, *, is_folder: bool = False, start: int = 0) -> Iterator[tuple[int, str]]:
    """From number `start` on: 0 and `name`, then 1 and `<stem>_1<ext>` and so on, each at most 255 bytes long."""
    stem, suffix = (name, "") if is_folder else _stem_and_suffix(name)
    for number in count(start):
        tail = (f"_{number}" if number else "") + suffix
        yield number, _cut(stem, NAME_MAX - len(os.fsencode(tail))) + tail


def _parts(path: str) -> Sequence[str]:
    """The names that a relative path is made of. Asked several times for each page, which pathlib would take a tenth of a
    millisecond for."""
    inside = f"/{path}/"
    if "//" not in inside and "/./" not in inside:
        return path.split("/")
    wish = PurePosixPath(path)
    return *wish.parts[:-1], wish.name


def _stem_and_suffix(name: str) -> tuple[str, str]:
    """As pathlib has them up to Python 3.13: a name that begins or ends with its only dot has no suffix."""
    at = name.rfind(".")
    return (name[:at], name[at:]) if 0 < at < len(name) - 1 else (name, "")


def _cut(text: str, limit: int) -> str:
    """The longest start of `text` that has at most `limit` bytes."""
    while len(os.fsencode(text)) > limit:
        text = text[: max(limit // 4, len(text) - max(1, (len(os.fsencode(text)) - limit) // 4))]
    return text


def parted(path: str) -> tuple[str, str]:
    """A relative path (with `/`) without its suffix, and the suffix with its dot, as it is written. Digits alone are
    none: a page `1.5` is chapter 1.5's, not a `1` of the kind `5`."""
    suffix = _stem_and_suffix(_parts(path)[-1])[1]
    if not suffix or suffix[1:].isdecimal():
        return path, ""
    return path.removesuffix(suffix), suffix


def folded(name: str) -> str:
    """A name as file systems compare it that ignore case and Unicode form: equal for names they take for one."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def create_output_path(
    input_path: str | Path, output_dir: str | Path, suffix: str = "_colorized", prefix: str = ""
) -> str:
    """The absolute path `<output_dir>/<prefix><stem><suffix><ext>`; makes the folder.

    ValidationError when the input does not exist or is not a file, or when a part holds a separator."""
    source = Path(input_path)
    if not source.exists():
        raise ValidationError("The input {input_path} does not exist.", input_path=input_path)
    if not source.is_file():
        raise ValidationError("The input {input_path} is not a file.", input_path=input_path)
    for part in (prefix, suffix):
        if re.search(r"[/\\\0]", part):
            raise ValidationError("A prefix or suffix cannot hold a path separator: {part}.", part=repr(part))
    folder = Path(os.path.abspath(output_dir))  # noqa: PTH100 - Path.absolute keeps `..`
    folder.mkdir(parents=True, exist_ok=True)
    tail = suffix + source.suffix
    return str(folder / (_cut(prefix + source.stem, NAME_MAX - len(os.fsencode(tail))) + tail))


def handle_filename_collision(path: str | Path, overwrite: bool = False) -> str:
    """`path`, or the first `<stem>_<n><ext>` that does not exist yet. Reserves nothing: see NameReservation."""
    wanted = Path(path)
    if overwrite or not os.path.lexists(wanted):
        return str(path)
    names = (wanted.with_name(name) for _, name in _candidates(wanted.name))
    return str(next(candidate for candidate in names if not os.path.lexists(candidate)))
