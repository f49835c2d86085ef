"""What stands in a comics job's inputs, and what each thing is for.

Promises: nothing is read whole into memory, whatever the number of pages; names from archives never
become paths; the same inputs give the same sources in the same order. Refuses unsafe archives and
inputs without a single image. Does not decode anything: examining is done in workers.

Roles: "page" (to be coloured), "copy" (coloured, stays at its place, serves as reference), "kept"
(stays at its place as it is), "reference" (serves, is no page), "left out".
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .core.ledger import Source
from .exceptions import ResourceError, ValidationError
from .io.archives import Archive, unpack
from .io.outputs import NameReservation, hash_file
from .io.scan import SUPPORTED_IMAGE_FORMATS, iter_images, natural_key

REFERENCE_FOLDERS = {"references", "refs"}
# A file whose newest time is closer than this to now may still be changing under the same times
# (git calls it "racily clean").
RACY_NS = 2_000_000_000


@dataclass
class Found:
    """What was met beside the images."""

    hints: dict[str, str] = field(default_factory=dict)  # page path without suffix -> file
    comic_info: str | None = None
    left_out: list[str] = field(default_factory=list)


def find(
    inputs: Sequence[str],
    references: Sequence[str],
    *,
    recursive: bool,
    output: str,
    unpack_to: Path,
    found: Found,
) -> Iterator[Source]:
    """The images of all inputs, then those of `references`; `found` is filled on the way.

    ValidationError for an input that is missing, unreadable or holds no image; ZIPExtractionError for
    an archive that is not safe."""
    tops = _tops(inputs)
    for number, (text, top) in enumerate(zip(inputs, tops, strict=True)):
        yield from _one(Path(text), number, top, "input", recursive, output, unpack_to, found)
    for number, text in enumerate(references):
        ignored = Found()
        yield from _one(
            Path(text),
            len(inputs) + number,
            f"--references/{number}/",
            "references",
            True,
            output,
            unpack_to,
            ignored,
        )


def _tops(inputs: Sequence[str]) -> list[str]:
    """The top folder of each input in the output: its name, where there are several inputs. An input that
    is an image has its own name instead, made different where two images are called alike."""
    tops: list[str] = []
    names = NameReservation()
    for text in inputs:
        path = Path(text)
        if _is_image(path):
            tops.append(names.reserve(path.name))
        elif len(inputs) == 1:
            tops.append("")
        else:
            tops.append(names.reserve(path.name if path.is_dir() else path.stem) + "/")
    return tops


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUPPORTED_IMAGE_FORMATS and not path.is_dir()


def _one(
    path: Path,
    number: int,
    top: str,
    origin: str,
    recursive: bool,
    output: str,
    unpack_to: Path,
    found: Found,
) -> Iterator[Source]:
    if not os.path.lexists(path):
        raise ValidationError(f"{path} does not exist: check the path.")
    if path.is_dir():
        yield from _folder(path, number, top, origin, recursive, output, found)
    elif _is_image(path):
        yield _file(path, f"{top}{path.name}" if top.endswith("/") else top, number, origin)
    else:
        yield from _archive(path, number, top, origin, unpack_to / str(number), found)


def _folder(
    path: Path, number: int, top: str, origin: str, recursive: bool, output: str, found: Found
) -> Iterator[Source]:
    count = 0
    skip = [Path(output)]
    for image in iter_images(path, recursive=recursive, skip=skip):
        key = image.relative_to(path).as_posix()
        count += 1
        yield _file(image, top + key, number, origin)
    if not recursive:
        for folder in sorted(path.iterdir()):
            if folder.name.casefold() in REFERENCE_FOLDERS and folder.is_dir():
                for image in iter_images(folder, recursive=True, skip=skip):
                    yield _file(image, top + image.relative_to(path).as_posix(), number, origin)
    if not count:
        below = sum(1 for _ in iter_images(path, recursive=True, skip=skip))
        if below and not recursive:
            raise ValidationError(f"no images in {path}, {below} in its subfolders: add --recursive")
        raise ValidationError(
            f"no images in {path}: it holds none of {', '.join(sorted(SUPPORTED_IMAGE_FORMATS))}"
        )
    for hints in _hint_files(path, recursive=recursive):
        found.hints.setdefault(top + _page_of(hints.relative_to(path).as_posix()), str(hints))
    info = path / "ComicInfo.xml"
    if found.comic_info is None and info.is_file():
        found.comic_info = str(info)


def _archive(path: Path, number: int, top: str, origin: str, folder: Path, found: Found) -> Iterator[Source]:
    count = 0
    with Archive(path) as archive:
        needed = sum(member.size for member in archive.members)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{path} cannot be unpacked in {folder} ({error.strerror}): free some space, or choose another "
                "workspace."
            ) from error
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise ValidationError(
                f"{path} needs {needed} bytes to be unpacked and {free} are free in {folder}: free some space, "
                "or choose another workspace."
            )
        for name, stored, kind in unpack(archive, folder):
            if kind == "image":
                count += 1
                sha256 = hash_file(stored)
                yield Source(top + name, _sort(number, name), str(stored), origin, f"sha256:{sha256}", sha256)
            elif kind == "hints":
                found.hints.setdefault(top + _page_of(name), str(stored))
            elif kind == "comic_info" and found.comic_info is None:
                found.comic_info = str(stored)
        found.left_out.extend(top + name for name in archive.left_out)
    if not count:
        raise ValidationError(f"no images in {path}: the archive holds none of the formats that Lote reads")


def hints_in(folder: Path) -> dict[str, str]:
    """The hint files below `--hints DIR`, by the page's path without suffix."""
    if not folder.is_dir():
        raise ValidationError(f"The hints folder {folder} does not exist: check --hints.")
    return {
        _page_of(path.relative_to(folder).as_posix()): str(path)
        for path in _hint_files(folder, recursive=True)
    }


def _hint_files(folder: Path, *, recursive: bool) -> list[Path]:
    pattern = "**/*.hints.*" if recursive else "*.hints.*"
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in (".png", ".json"))


def _page_of(hints: str) -> str:
    """`a/p1.hints.json` belongs to `a/p1`."""
    return str(PurePosixPath(hints).with_suffix("").with_suffix(""))


def hint_for(key: str, hints: dict[str, str]) -> str | None:
    return hints.get(str(PurePosixPath(key).with_suffix("")))


def is_reference_folder(key: str) -> bool:
    """Whether a page's path leads through a folder named references or refs."""
    return any(part.casefold() in REFERENCE_FOLDERS for part in key.split("/")[:-1])


def _file(path: Path, key: str, number: int, origin: str) -> Source:
    try:
        stat = path.stat()
    except OSError as error:
        raise ValidationError(f"{path} cannot be read: {error.strerror}") from error
    identity = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"
    now = time.time_ns()
    if now - max(stat.st_mtime_ns, stat.st_ctime_ns) < RACY_NS:
        identity += f":{now}"  # never equal to what it will be next time: examined again
    return Source(key, _sort(number, key), str(path), origin, identity)


def _sort(number: int, key: str) -> str:
    """The natural order of (input number, path) as one text that any database sorts by code points.

    Control characters below every printable one stand for the ends and kinds of the parts."""
    parts = [f"{number:06d}"]
    for tokens, part in natural_key(key):
        for kind, length, text in tokens:
            parts.append(f"\2{chr(0x20 + min(length, 0xD000))}{text}\1" if kind == 0 else f"\3{text}\1")
        parts.append(f"\1{part}\1")
    return "".join(parts).encode("utf-8", "replace").decode()
