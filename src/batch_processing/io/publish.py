"""Atomic publishing, and the output archive.

Promises
* A file appears under its name whole or not at all: it is written beside its place, fsynced, renamed, and
  the folder is fsynced by whoever groups the renames (`publish`, `fsync_dir`) or at once (`SaveFile`).
* With a `Claim`, nothing is replaced but what the claim calls ours, also not what appears at the last moment, and
  no link leads out of the output.
* An output archive is a function of its members: fixed timestamps, given order, given names.
* A full disk is a `ResourceError` that names the file, what it needs and what is free.

Does not guarantee: to see a file that appears in the instant of the rename where the file system has no hard
links (FAT, exFAT); durability on disks that lie about fsync; atomicity between file systems (part and
target are always in one folder).
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from ..exceptions import ResourceError, ValidationError, reason
from ..messages import Message
from ..reading import open_regular
from .name_encoding import archive_names
from .naming import NAME_MAX, NameReservation, folded, handle_filename_collision
from .scan import RACY_NS, SUPPORTED_IMAGE_FORMATS, iter_images

__all__ = [
    "METADATA_NAME",
    "Claim",
    "Known",
    "SaveFile",
    "check_inside",
    "create_output_zip",
    "fsync_dir",
    "hash_file",
    "meant_for",
    "metadata_json",
    "nearest_folder",
    "part_path",
    "publish",
    "stamp_of",
    "standing",
    "standing_as",
    "take_free_name",
    "write_part",
    "write_zip",
]

METADATA_NAME: Final = "processing_metadata.json"

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can hold
# Formats that do not get smaller: storing them is faster, and readers can seek in them.
_COMPRESSED = SUPPORTED_IMAGE_FORMATS - {".bmp"} | {".zip", ".cbz", ".psd", ".ora"}


# --- publishing ------------------------------------------------------------------------------------------


def part_path(target: Path, token: str) -> Path:
    """Where `target` is written before it is published: `.<name>.<token>.part` beside it.

    Where that name would be too long, a digest stands for the target's name."""
    name = f".{target.name}.{token}.part"
    if len(os.fsencode(name)) > NAME_MAX:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:32]}.{token}.part"
    return target.with_name(name)


@dataclass(frozen=True)
class Claim:
    """What may be done at one place of an output.

    `root` is the output folder: no link below it is followed out of it. `ours` are SHA-256 of what was written
    there before, the only content that is replaced; with `overwrite` any file is."""

    root: Path
    ours: frozenset[str] = frozenset()
    overwrite: bool = False


def check_inside(root: Path, path: Path) -> None:
    """OSError where a link between `root` and `path` leads out of `root`. What `root` itself is, is its owner's choice.

    Asked right before each write and rename, because links can be put there at any time."""
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(root)):
        raise OSError(
            errno.ELOOP,
            Message("a link leads out of {root}: remove it, or choose another output", root=root),
            str(path.parent),
        )


def write_part(
    part: Path, content: bytes | Iterable[bytes] | Callable[[BinaryIO], object], *, within: Path | None = None
) -> str:
    """Write `part` (bytes, chunks, or a function that writes into the file), fsync it; its SHA-256 in hex.

    Makes the folder, and with `within` refuses one that lies outside of that (`check_inside`). On any error the
    part is gone; a full disk is a ResourceError."""
    needed = len(content) if isinstance(content, bytes) else None
    with _new_part(part, within, needed) as file:
        if isinstance(content, bytes):
            file.write(content)
        elif callable(content):
            content(file)
        else:
            for chunk in content:
                file.write(chunk)
        return _synced(file)


@contextmanager
def _new_part(part: Path, within: Path | None, needed: int | None = None) -> Iterator[io.BufferedRandom]:
    """A new file at `part`; gone on any error."""
    for tries_left in (2, 1, 0):
        try:
            file = _open_new(part, within, needed)
            break
        except FileNotFoundError:  # somebody moves the folder away in this moment
            if not tries_left:
                raise
    with _removed_on_error(part, needed), file:
        yield file


def _open_new(part: Path, within: Path | None, needed: int | None) -> io.BufferedRandom:
    if within is not None:
        check_inside(within, part)
    part.parent.mkdir(parents=True, exist_ok=True)
    if within is not None:
        check_inside(within, part)
    part.unlink(missing_ok=True)  # a killed run's; and `x` below follows no link that was put in its place
    with _removed_on_error(part, needed):
        return part.open("x+b")


def _synced(file: io.BufferedRandom) -> str:
    """The SHA-256 of what was written, once it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    file.seek(0)  # encoders seek back in what they write, so the hash is taken from the finished file
    return hashlib.file_digest(file, "sha256").hexdigest()


def publish(part: Path, target: Path, claim: Claim | None = None) -> None:
    """Give the finished `part` its name, `target`. Durable after `fsync_dir(target.parent)`.

    Without a claim whatever stands there is replaced. With one a new name is taken only while it is free, and what
    stands there is replaced only if it is ours; a file with exactly the content of `part` stays and is ours from now
    on. FileExistsError for any other: its owner must decide."""
    if claim is None:
        part.replace(target)
        return
    check_inside(claim.root, target)
    if claim.overwrite:
        part.replace(target)
        return
    if take_free_name(part, target):
        return
    there = standing(target)
    if there is not None and there == hash_file(part):
        part.unlink()
    elif there is None or there in claim.ours:
        part.replace(target)
    else:
        raise FileExistsError(
            errno.EEXIST,
            Message(
                "another file was put there meanwhile, and is not touched: move it away, or use --overwrite"
            ),
            str(target),
        )


# How file systems say that they have no hard links.
_NO_LINKS = {
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EINVAL,
    errno.EXDEV,
}


def take_free_name(part: Path, target: Path) -> bool:
    """Rename the file `part` to `target`; False, and nothing done, where something stands there."""
    try:
        # Not a rename, which replaces without asking. Both names stand for the file until the next line; a kill in
        # between leaves a part that is swept like any other.
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as fault:
        if fault.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            return False
        part.replace(target)  # here, and only here, a file that appears within this instant is lost
        return True
    with suppress(OSError):
        part.unlink()
    return True


def standing(path: Path) -> str | None:
    """What stands at a place of an output: the SHA-256 of a regular file, None for nothing, "" for anything else
    (a folder, a link, a pipe, what cannot be read): never ours. OSError where nothing can stand at all: the path is
    too long."""
    try:
        with open_regular(path, follow=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        if fault.errno == errno.ENAMETOOLONG:
            raise
        return ""


def stamp_of(path: Path) -> str | None:
    """Size in bytes, time of change in ns, and inode of a regular file, as text; None where none stands.

    A rename keeps all three, so that the stamp of a part is that of the file it becomes. Who writes into a file, or puts
    another in its place, changes it; a disk that loses bits does not, nor who writes the same number of bytes within one tick
    of the file system's clock, or sets the time back."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}" if stat.S_ISREG(found.st_mode) else None


@dataclass(frozen=True)
class Known:
    """What is known of a file from when it was written or read last: its SHA-256, in hex, and the stamp it had then."""

    sha256: str | None
    stamp: str | None


def standing_as(path: Path, *known: Known) -> Known:
    """What stands at a place, as `standing` says it: read only where its stamp is none of those that are known.

    The stamp is None where it says nothing: of what is no file, or was changed while it was read, or too recently."""
    stamp = stamp_of(path)
    for one in known:
        if one.sha256 and one.stamp and one.stamp == stamp:
            return one
    sha256 = standing(path)
    if not sha256 or stamp is None or stamp_of(path) != stamp:
        return Known(sha256, None)
    changed = int(stamp.split(":")[1])
    return Known(sha256, None if time.time_ns() - changed < RACY_NS else stamp)


def meant_for(path: Path, known: Sequence[str], sha256: str) -> list[str]:
    """What to remember of a file of ours before another of ours, with that hash, takes its place: the hash of what stands
    there now, if it is one of `known`, and the new one. However often a run is killed before the rename, what
    stands is remembered."""
    there = standing(path)
    return [*([there] if there in known else known[-1:]), sha256]


def nearest_folder(path: Path) -> Path:
    """What is there of `path`: itself, or the nearest that exists above it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def fsync_dir(folder: Path) -> None:
    """Make the renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path, *, limit: int | None = None) -> str:
    """The SHA-256 of a regular file, in hex. OSError when it cannot be read, or has more than `limit` bytes."""
    with open_regular(path) as file:
        if limit is not None and os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def SaveFile(  # noqa: N802 - reads as the thing it gives
    path: Path, *, within: Path | None = None, place: Callable[[Path, str], None] | None = None
) -> Iterator[BinaryIO]:
    """A binary file that appears at `path`, whole and durable, when the block ends without an error.

    It replaces what stands there, unless `place(part, sha256)` is given, which publishes it then. With `within`
    no link leads it out of that folder."""
    part = part_path(path, secrets.token_hex(8))
    with _new_part(part, within) as file:
        yield file
        sha256 = _synced(file)
        if place is not None:
            place(part, sha256)
            return
        if within is not None:
            check_inside(within, path)
        publish(part, path)
        fsync_dir(path.parent)


@contextmanager
def _removed_on_error(part: Path, needed: int | None) -> Iterator[None]:
    try:
        yield
    except BaseException as fault:
        written = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)
        if isinstance(fault, OSError) and fault.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            free = shutil.disk_usage(part.parent).free
            need = (
                Message("{needed} bytes needed", needed=needed)
                if needed is not None
                else Message("more than {written} bytes needed", written=written)
            )
            raise ResourceError(
                "Cannot write {part}: {reason} ({need}, {free} free). Free some space and run again.",
                part=part,
                reason=reason(fault),
                need=need,
                free=free,
            ) from fault
        raise


# --- archives and metadata -------------------------------------------------------------------------------


def write_zip(
    part: Path,
    members: Iterable[tuple[str, Path | bytes]],
    *,
    comment: bytes = b"",
    within: Path | None = None,
) -> str:
    """Write a ZIP with `members` (name, file or bytes) in the order given, fsync it; its SHA-256 in hex.

    Compressed formats are stored, everything else deflated; every member is 0644, dated 1980-01-01.
    ValidationError for a name that leaves the folder or comes twice; ResourceError when the disk is full."""

    def write(file: BinaryIO) -> None:
        seen: set[str] = set()
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            archive.comment = comment
            for name, content in members:
                if not name or name.startswith("/") or ".." in name.split("/") or re.search(r"[\0\\]", name):
                    raise ValidationError(
                        "{name} cannot be the name of a member of an archive.", name=repr(name)
                    )
                if folded(name) in seen:
                    raise ValidationError(
                        "Two members of an archive cannot both be called {name}.", name=repr(name)
                    )
                seen.add(folded(name))
                entry = zipfile.ZipInfo(name, _ZIP_DATE)
                entry.create_system = 3  # Unix, on every system
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                stored = PurePosixPath(name).suffix.lower() in _COMPRESSED
                entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                entry.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
                with archive.open(entry, "w") as member:
                    if isinstance(content, bytes):
                        member.write(content)
                    else:
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, member, 1 << 20)

    return write_part(part, write, within=within)


def metadata_json(metadata: Mapping[str, Any]) -> bytes:
    """Metadata as JSON: keys sorted, indented, UTF-8, one newline at the end."""
    text = json.dumps(metadata, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode(
        "utf-8", "backslashreplace"
    )  # a file name that is no Unicode: \udcXX, valid JSON


def create_output_zip(
    output_dir: str | Path,
    zip_name: str,
    metadata: Mapping[str, Any] | None = None,
    preserve_structure: bool = True,
) -> str:
    """Pack the images below `output_dir`, sorted, into a new ZIP there; returns its path.

    `.zip` is appended if missing, and a free name taken. With metadata (an empty dict counts) the ZIP holds
    a `processing_metadata.json` of its keys and `created_at`, `cobra_version`, `software`. Flat mode
    (`preserve_structure=False`) renames twins to `page1_1.png`. ValidationError when there is no image."""
    from .. import __version__

    folder = Path(output_dir)
    if re.search(r"[/\\\0]", zip_name) or zip_name in {"", ".", ".."}:
        raise ValidationError(
            "{zip_name} cannot be the name of an archive: give a plain file name.", zip_name=repr(zip_name)
        )
    images = list(iter_images(folder, recursive=True))
    if not images:
        raise ValidationError("No images found in {output_dir}.", output_dir=output_dir)
    wanted = folder / (zip_name if zip_name.lower().endswith(".zip") else f"{zip_name}.zip")
    names = NameReservation([METADATA_NAME])
    members: list[tuple[str, Path | bytes]] = []
    wanted_names = [
        image.relative_to(folder).as_posix() if preserve_structure else image.name for image in images
    ]
    renamed = archive_names(wanted_names)
    for name, image in zip(wanted_names, images, strict=True):
        members.append((names.reserve(renamed.get(name, name)), image))
    if metadata is not None:
        epoch = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
        known = {
            "created_at": datetime.fromtimestamp(epoch, UTC).isoformat(),
            "cobra_version": __version__,
            "software": f"Lote {__version__}",
        }
        members.append((METADATA_NAME, metadata_json({**known, **metadata})))
    part = part_path(wanted, secrets.token_hex(8))
    write_zip(part, members)
    target = None
    while target is None:
        free = Path(handle_filename_collision(wanted))
        with suppress(FileExistsError):  # somebody was faster: the next name
            publish(part, free, Claim(folder))
            target = free
    fsync_dir(folder)
    return str(target)
