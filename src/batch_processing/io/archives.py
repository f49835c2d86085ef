"""Reading ZIP and CBZ archives without being harmed by them.

Promises
* The whole directory is vetted before one byte is inflated: members that overlap, are encrypted, are links,
  leave the folder, collide (also by case or Unicode form), too many, too large, or packed beyond belief.
* While inflating, no member gives more bytes than its entry says, and its checksum is compared at the end;
  so the limits hold for what really comes out, too. Memory stays at a few hundred KiB per member.
* `unpack` stores members under ordinal names: no name from an archive ever becomes a path.
* One nested level: `a/extra.zip` appears as `a/extra_extracted/...`, within the limits of the whole.

Refuses, with a `ZIPExtractionError` naming the member and the limit, anything else; and, with a
`ValidationError`, files that are no ZIP (`.cbr`, `.cb7` and PDF are told how to convert).
Compression other than stored, deflate and bzip2 is not read.

Does not guarantee: anything about a file that somebody changes while it is being read.

The directory is parsed here and not by `zipfile`, which accepts overlapping entries (Python 3.11.7 reads
a 6 KB file as 50 MB) and loads a directory of any size. Format: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import bz2
import os
import re
import shutil
import stat
import struct
import tempfile
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple, Self

from ..exceptions import ResourceError, ValidationError, ZIPExtractionError, reason
from ..logging_config import get_logger
from ..reading import open_regular
from .comic_info import LIMIT as COMIC_INFO_LIMIT
from .scan import SUPPORTED_IMAGE_FORMATS, is_hints, is_junk

__all__ = [
    "LARGEST_HINTS",
    "Archive",
    "Limits",
    "Member",
    "Unpacked",
    "cleanup_temp_directory",
    "extract_zip_file",
    "is_zip_file",
    "unpack",
]

Kind = Literal["image", "hints", "comic_info", "archive", "junk", "other"]

_GIB = 1 << 30
_CHUNK = 1 << 16  # bytes read and inflated at a time
_NAME_LIMIT = 1_024  # bytes: PATH_MAX of macOS; no comic comes near
_DIRECTORY_LIMIT = 16 << 20  # bytes: 10,000 entries of 1.6 KB each
_END_SEARCH = 22 + 65_535  # bytes: end record and its longest comment
_ARCHIVE_SUFFIXES = {".zip", ".cbz"}
LARGEST_HINTS = 256 << 20
"""Bytes of a file of hints: those of a PNG as large as a page may be."""
# Bytes of what is read whole later, and so is not even stored where it is larger.
_LARGEST: dict[Kind, int] = {"comic_info": COMIC_INFO_LIMIT, "hints": LARGEST_HINTS}
_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # encrypted, strongly encrypted, encrypted directory

_log = get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: members, bytes inflated, and bytes inflated per byte packed.

    The ratio counts only above `ratio_from` bytes: a blank page of 600 dpi is 1000:1 and harmless."""

    entries: int = 10_000
    total: int = 8 * _GIB
    ratio: int = 200
    ratio_from: int = 2 * _GIB


@dataclass(frozen=True)
class Member:
    """One file in an archive. `name` is safe, relative and with `/`; `size` in bytes, inflated."""

    name: str
    size: int
    packed: int
    crc: int
    method: int
    start: int  # of the packed bytes, in the archive file
    kind: Kind

    @property
    def is_image(self) -> bool:
        return self.kind == "image"

    @property
    def is_junk(self) -> bool:
        return self.kind == "junk"


class Unpacked(NamedTuple):
    """A member that `unpack` stored: its name in the archive, where its bytes lie, and what it is."""

    name: str
    path: Path
    kind: Kind


class Archive:
    """An open ZIP or CBZ whose directory has been vetted; a context manager.

    `members` are its files in the order of its directory. `left_out` are the names of members that are
    neither pages nor anything Lote reads; `unpack` adds those of nested archives and bad nested archives.
    Raises ValidationError for what is missing or no ZIP, ZIPExtractionError for what is not safe."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.path = path
        self.limits = limits or Limits()
        self._file = _open(path)
        try:
            self.members = _Directory(self._file, path, self.limits).members()
        except BaseException:
            self._file.close()
            raise
        self.left_out = [member.name for member in self.members if member.kind == "other"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def stream(self, member: Member) -> Iterator[bytes]:
        """The inflated bytes of a member. ZIPExtractionError when they are damaged or more than declared."""
        left, crc, packed_left = member.size, 0, member.packed
        decoders: dict[int, type[_Stored | _Inflate | _Bunzip]] = {0: _Stored, 8: _Inflate, 12: _Bunzip}
        inflate = decoders[member.method]()
        position = member.start
        while not inflate.eof:
            packed = b""
            if starved := inflate.needs_input:
                self._file.seek(position)
                packed = self._file.read(min(_CHUNK, packed_left))
                position += len(packed)
                packed_left -= len(packed)
            try:
                data = inflate.step(packed)
            except (zlib.error, OSError, EOFError, ValueError) as fault:
                raise self._bad(member, f"is damaged ({fault})") from fault
            left -= len(data)
            if left < 0:
                raise self._bad(member, f"inflates to more than the {member.size} bytes that it declares")
            crc = zlib.crc32(data, crc)
            if data:
                yield data
            elif starved and not packed:  # nothing left to read, and nothing held back inside the decoder
                break
        if left or not (inflate.eof or member.method == 0):
            raise self._bad(member, f"is cut off: {left} of {member.size} bytes are missing")
        if crc != member.crc:
            raise self._bad(member, "is damaged: its checksum is wrong")

    def read(self, member: Member, limit: int) -> bytes:
        """A small member whole. ZIPExtractionError when it declares more than `limit` bytes."""
        if member.size > limit:
            raise self._bad(member, f"has {member.size} bytes, more than the limit of {limit}")
        return b"".join(self.stream(member))

    def _bad(self, member: Member, what: str) -> ZIPExtractionError:
        return ZIPExtractionError(f"Cannot extract {self.path}: member {member.name!r} {what}.")


def unpack(archive: Archive, target_dir: Path) -> Iterator[Unpacked]:
    """Store pages, hints and ComicInfo.xml of an archive in `target_dir`, in archive order, as they come.

    Files are named by ordinal (`000001.png`). Members of a nested archive come as `<stem>_extracted/...` at
    its place; a bad nested archive is skipped whole, with a warning. Raises ZIPExtractionError,
    and ResourceError when the disk is full."""
    target_dir.mkdir(parents=True, exist_ok=True)
    taken = {_folded(member.name) for member in archive.members}
    left = replace(
        archive.limits,
        entries=archive.limits.entries - len(archive.members),
        total=archive.limits.total - sum(member.size for member in archive.members),
    )
    ordinal = 0
    for member in archive.members:
        if member.kind in {"junk", "other"}:
            continue
        if member.size > _LARGEST.get(member.kind, member.size):
            archive.left_out.append(member.name)
            _log.warning(
                "%s inside %s has %d bytes and is left out: such a file has at most %d.",
                member.name,
                archive.path,
                member.size,
                _LARGEST[member.kind],
            )
            continue
        ordinal += 1
        path = target_dir / f"{ordinal:06d}{_safe_suffix(member.name)}"
        _store(archive, member, path)
        if member.kind != "archive":
            yield Unpacked(member.name, path, member.kind)
            continue
        prefix = _free_prefix(member.name, taken)
        stored: list[Unpacked] = []
        try:
            with Archive(path, left) as nested:
                for inner in nested.members:
                    if inner.kind == "image" or (inner.kind == "hints" and inner.size <= _LARGEST["hints"]):
                        ordinal += 1
                        inner_path = target_dir / f"{ordinal:06d}{_safe_suffix(inner.name)}"
                        stored.append(Unpacked(f"{prefix}/{inner.name}", inner_path, inner.kind))
                        _store(nested, inner, inner_path)
                    elif inner.kind != "junk":
                        archive.left_out.append(f"{prefix}/{inner.name}")
                left = replace(
                    left,
                    entries=left.entries - len(nested.members),
                    total=left.total - sum(inner.size for inner in nested.members),
                )
        except (ZIPExtractionError, ValidationError) as fault:
            for unpacked in stored:
                unpacked.path.unlink(missing_ok=True)
            archive.left_out.append(member.name)
            _log.warning("The archive %s inside %s is left out: %s", member.name, archive.path, fault)
            continue
        finally:
            path.unlink()
        yield from stored


def is_zip_file(path: str | Path) -> bool:
    """Whether a file is a ZIP by content (`.cbz` counts); reads its directory only; never raises."""
    try:
        with _open(Path(path)) as file:
            directory = _Directory(file, Path(path), Limits())
            file.seek(directory.start)
            return directory.count == 0 or file.read(4) == b"PK\1\2"
    except (ValidationError, ZIPExtractionError, OSError, ValueError, TypeError):
        return False


def extract_zip_file(zip_path: str | Path, extract_dir: str | None = None) -> tuple[str, list[str]]:
    """Extract the images of an archive under their names; returns the folder and the images' paths.

    None makes a new temporary folder, which the caller removes (`cleanup_temp_directory`); a folder that is
    given comes back unchanged, and files of the same names in it are replaced. Images come in archive
    order, those of nested archives under `<stem>_extracted/`. ValidationError for what is no ZIP;
    ZIPExtractionError, and nothing extracted, for what is not safe or damaged."""
    with Archive(Path(zip_path)) as archive:
        folder = Path(tempfile.mkdtemp(prefix="lote_") if extract_dir is None else extract_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".lote_", dir=folder) as staging:
                pages = [page for page in unpack(archive, Path(staging)) if page.kind == "image"]
                images = [_place(folder, page) for page in pages]
        except OSError as fault:
            if extract_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise ZIPExtractionError(f"Cannot extract {zip_path} into {folder}: {fault}.") from fault
        except BaseException:
            if extract_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    return (str(folder) if extract_dir is None else extract_dir), [str(image) for image in images]


def cleanup_temp_directory(directory: str | Path) -> None:
    """Remove a folder with all it holds. Silent when it is missing; warns instead of raising.

    Never removes a root, a home, the current directory, or a folder that one of these lies in."""
    try:
        folder = Path(directory)
        if not folder.is_symlink() and not folder.exists():
            return
        real = folder.resolve()
        kept = {Path.home().resolve(), Path.cwd().resolve()}
        is_home = real.parent in {Path("/home"), Path("/Users")}
        if folder.is_symlink() or not folder.is_dir():
            _log.warning("%s is not a folder and was not removed.", folder)
        elif is_home or real.parent == real or any(place.is_relative_to(real) for place in kept):
            _log.warning("%s is a root, a home or the current directory and was not removed.", folder)
        else:
            shutil.rmtree(real)
    except (OSError, ValueError, TypeError, RuntimeError) as fault:
        _log.warning("The folder %s could not be removed: %s.", directory, fault)


# --- the directory ---------------------------------------------------------------------------------------


def _open(path: Path) -> BinaryIO:
    """The file, when it begins or ends like a ZIP; else a sentence that says what it is."""
    try:
        if not path.exists():
            raise ValidationError(f"The archive {path} does not exist.")
        if not path.is_file():
            raise ValidationError(f"{path} is not a file.")
        file = open_regular(path)
    except (OSError, ValueError) as fault:
        raise ValidationError(f"The archive {path} cannot be read: {reason(fault)}.") from fault
    head = file.read(8)
    file.seek(max(0, path.stat().st_size - _END_SEARCH))
    if head[:4] in {b"PK\3\4", b"PK\5\6", b"PK\7\x08"} or b"PK\5\6" in file.read():
        return file
    file.close()
    if not head:
        raise ValidationError(f"{path} is empty, not a ZIP archive.")
    folder = path.stem
    how = {
        b"Rar!": (
            "a RAR archive (.cbr)",
            f'unpack it with "unar -o {folder} {path.name}" and give Lote the folder',
        ),
        b"7z\xbc\xaf": (
            "a 7-Zip archive (.cb7)",
            f'unpack it with "7z x {path.name} -o{folder}" and give Lote the folder',
        ),
        b"%PDF": (
            "a PDF document",
            f'take its pages out with "pdfimages -all {path.name} page" and give Lote their folder',
        ),
    }.get(head[:4])
    if how:
        raise ValidationError(f"{path} is {how[0]}, not a ZIP archive: {how[1]}.")
    raise ValidationError(f"{path} is not a ZIP archive.")


class _Directory:
    """The central directory of one archive: found by the constructor, parsed and vetted by `members`."""

    def __init__(self, file: BinaryIO, path: Path, limits: Limits) -> None:
        self.file, self.path, self.limits = file, path, limits
        size = file.seek(0, os.SEEK_END)
        tail_start = max(0, size - _END_SEARCH)
        file.seek(tail_start)
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < 22:
            raise self._damaged("its directory is missing; the file is cut off")
        disk, start_disk, here, count, length, offset = struct.unpack("<4H2L", tail[at + 4 : at + 20])
        end = tail_start + at
        declared = (count, length, offset)
        if end >= 20:
            file.seek(end - 20)
            locator = file.read(20)
            if locator[:4] == b"PK\6\7":
                end, disk, start_disk, here, count, length, offset = self._zip64_end(locator, end - 20)
                # A 32-bit field is either full (look in the 64-bit one) or says the same.
                for old, new, full in zip(
                    declared, (count, length, offset), (0xFFFF, 2**32 - 1, 2**32 - 1), strict=True
                ):
                    if old not in {full, new}:
                        raise self._damaged("its two end records contradict each other")
        if disk or start_disk or here != count:
            raise self._damaged("it is one part of an archive split over several files")
        # Bytes before the archive (a self-extracting program) shift every offset.
        self.shift = end - length - offset
        if self.shift < 0:
            raise self._damaged("its directory is cut off")
        self.start, self.length, self.count = end - length, length, count

    def _zip64_end(self, locator: bytes, locator_at: int) -> tuple[int, int, int, int, int, int, int]:
        _, at, disks = struct.unpack("<LQL", locator[4:])
        # The record stands directly before its locator; where bytes were put before the archive, only there.
        for position in (at, locator_at - 56):
            if 0 <= position <= locator_at - 56:
                self.file.seek(position)
                record = self.file.read(56)
                if record[:4] == b"PK\6\6":
                    disk, start_disk, here, count, length, offset = struct.unpack("<2L4Q", record[16:])
                    if disks > 1:
                        raise self._damaged("it is one part of an archive split over several files")
                    return position, disk, start_disk, here, count, length, offset
        raise self._damaged("its 64-bit end record is missing")

    def members(self) -> list[Member]:
        if self.count > self.limits.entries:
            raise self._refused(f"it has {self.count} entries, more than the limit of {self.limits.entries}")
        if self.length > _DIRECTORY_LIMIT:
            raise self._refused(f"its directory has {self.length} bytes, more than {_DIRECTORY_LIMIT}")
        self.file.seek(self.start)
        data = self.file.read(self.length)
        if len(data) < self.length:
            raise self._damaged("its directory is cut off")
        members: list[Member] = []
        extents: list[tuple[int, int, str]] = []
        files: dict[str, str] = {}
        folders: dict[str, str] = {}
        inflated = packed = entries = at = 0
        while at < len(data):
            if data[at : at + 4] != b"PK\1\2" or len(data) - at < 46:
                raise self._damaged(f"entry {entries + 1} of its directory is unreadable")
            (flags, method, crc, small, large, name_len, extra_len, comment_len, disk, attributes, offset) = (
                struct.unpack("<8x2H4xLLLHHHH2xLL", data[at : at + 46])
            )
            raw = data[at + 46 : at + 46 + name_len]
            extra = data[at + 46 + name_len : at + 46 + name_len + extra_len]
            at += 46 + name_len + extra_len + comment_len
            entries += 1
            if at > len(data):
                raise self._damaged(f"entry {entries} of its directory is cut off")
            if entries > self.limits.entries:
                raise self._refused(f"it has more entries than the limit of {self.limits.entries}")
            fields = dict(self._extra_fields(extra, entries))
            name = self._safe_name(_decoded(raw, flags, fields))
            large, small, offset = self._zip64_sizes(name, fields.get(1, b""), large, small, offset)
            if disk not in {0, 0xFFFF}:
                raise self._damaged("it is one part of an archive split over several files")
            if flags & _ENCRYPTED or method == 99:
                raise self._member(name, "is encrypted; unpack the archive with its password first")
            if stat.S_IFMT(attributes >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise self._member(name, "is a link or a device, not a file")
            start, end = self._extent(name, raw, method, offset, small)
            extents.append((start, end, name))
            inflated += large
            packed += small
            if inflated > self.limits.total:
                raise self._member(
                    name, f"brings the inflated size over the limit of {self.limits.total / _GIB:g} GiB"
                )
            is_folder = name.endswith("/")
            name = name.rstrip("/")
            self._no_collision(name, is_folder, files, folders)
            if is_folder:
                continue
            kind = _kind(name)
            if method not in {0, 8, 12} and kind != "junk":
                raise self._member(
                    name,
                    f"is compressed in a way that Lote does not read (method {method}); pack it again as ZIP",
                )
            if method == 0 and small != large:
                raise self._member(name, "contradicts itself: it is stored, with two different sizes")
            members.append(Member(name, large, small, crc, method, end - small, kind))
        if entries != self.count:
            raise self._damaged(f"its directory holds {entries} entries and declares {self.count}")
        if inflated > self.limits.ratio_from and inflated > self.limits.ratio * packed:
            raise self._refused(
                f"it inflates to {inflated / _GIB:.1f} GiB, more than {self.limits.ratio} times its packed size"
            )
        self._no_overlap(extents)
        return members

    def _extra_fields(self, extra: bytes, entry: int) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(extra):
            kind, length = struct.unpack("<HH", extra[at : at + 4])
            if at + 4 + length > len(extra):
                raise self._damaged(f"entry {entry} of its directory is cut off")
            yield kind, extra[at + 4 : at + 4 + length]
            at += 4 + length

    def _zip64_sizes(self, name: str, field: bytes, *values: int) -> tuple[int, int, int]:
        """Inflated size, packed size and offset, taken from the 64-bit field where the 32-bit one is full."""
        result = []
        for value in values:
            if value == 0xFFFFFFFF:
                if len(field) < 8:
                    raise self._member(name, "says that its size has 64 bits, and does not give it")
                value, field = int.from_bytes(field[:8], "little"), field[8:]  # noqa: PLW2901
            result.append(value)
        return result[0], result[1], result[2]

    def _safe_name(self, name: str) -> str:
        """The name with `/` and without empty parts, when it stays inside the folder."""
        if not name or len(name.encode("utf-8", "surrogatepass")) > _NAME_LIMIT:
            raise self._member(name[:60], f"has no name, or one of more than {_NAME_LIMIT} bytes")
        # Old .NET programs write `\`; on every system it means what `/` means, so that nothing hides in it.
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or re.match(r"[A-Za-z]:", parts[0]):
            raise self._member(name, "leaves the folder: its path is absolute")
        if ".." in parts:
            raise self._member(name, "leaves the folder: its path holds '..'")
        control = [part for part in parts if re.search(r"[\0-\x1f\x7f]", part) and part != "Icon\r"]
        if control:
            raise self._member(name, "has control characters in its name")
        kept = [part for part in parts if part not in {"", "."}]
        if not kept:
            raise self._member(name, "has no name")
        return "/".join(kept) + ("/" if parts[-1] == "" else "")

    def _extent(self, name: str, raw: bytes, method: int, offset: int, packed: int) -> tuple[int, int]:
        """First byte of a member's local header and the byte after its data."""
        start = self.shift + offset
        self.file.seek(start)
        header = self.file.read(30 + len(raw))
        if len(header) < 30 + len(raw) or header[:4] != b"PK\3\4":
            raise self._member(name, "is missing: nothing stands where the directory points")
        flags, local_method, name_len, extra_len = struct.unpack("<6xHH16xHH", header[:30])
        if name_len != len(raw) or header[30:] != raw or local_method != method or flags & _ENCRYPTED:
            raise self._member(name, "contradicts itself: directory and local header differ")
        end = start + 30 + name_len + extra_len + packed
        if end > self.start:
            raise self._member(name, "overlaps the directory, or is cut off")
        return start, end

    def _no_collision(
        self, name: str, is_folder: bool, files: dict[str, str], folders: dict[str, str]
    ) -> None:
        """Two names that some file system takes for one; or a file where a folder must be."""
        parents = PurePosixPath(name).parents
        for folder in [name] * is_folder + [str(parent) for parent in parents][:-1]:
            folders.setdefault(_folded(folder), folder)
            if _folded(folder) in files:
                raise self._member(name, f"collides with member {files[_folded(folder)]!r}")
        if is_folder:
            return
        key = _folded(name)
        other = files.get(key) or folders.get(key)
        if other is not None:
            raise self._member(name, f"collides with member {other!r}")
        files[key] = name

    def _no_overlap(self, extents: list[tuple[int, int, str]]) -> None:
        extents.sort()
        for (_, end, first), (start, _, second) in pairwise(extents):
            if start < end:
                raise self._member(second, f"overlaps member {first!r}")

    def _damaged(self, what: str) -> ZIPExtractionError:
        return ZIPExtractionError(f"The archive {self.path} is damaged: {what}. Get a complete copy.")

    def _refused(self, what: str) -> ZIPExtractionError:
        return ZIPExtractionError(f"The archive {self.path} is not safe to unpack: {what}.")

    def _member(self, name: str, what: str) -> ZIPExtractionError:
        return self._refused(f"member {name!r} {what}")


def _decoded(raw: bytes, flags: int, fields: dict[int, bytes]) -> str:
    """A member's name: UTF-8 where it says so or is so, else what its bytes most likely mean."""
    unicode_path = fields.get(
        0x7075, b""
    )  # Info-ZIP: version 1, checksum of the plain name, the name in UTF-8
    if unicode_path[:1] == b"\1" and unicode_path[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
        raw, flags = unicode_path[5:], _UTF8
    try:
        return raw.decode("utf-8")  # macOS writes UTF-8 without the flag
    except UnicodeDecodeError:
        pass
    if not flags & _UTF8 and b"\\" in raw:
        # In Shift-JIS the second byte of a letter can be a backslash; as cp437 it would cut the name in two.
        try:
            return raw.decode("cp932")
        except UnicodeDecodeError:
            pass
    return raw.decode("cp437")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _kind(name: str) -> Kind:
    suffix = PurePosixPath(name).suffix.lower()
    if is_junk(name):
        return "junk"
    if is_hints(name) and suffix in {".png", ".json"}:
        return "hints"
    if suffix in SUPPORTED_IMAGE_FORMATS and not is_hints(name):
        return "image"
    if suffix in _ARCHIVE_SUFFIXES:
        return "archive"
    return "comic_info" if name.casefold() == "comicinfo.xml" else "other"


# --- inflating -------------------------------------------------------------------------------------------


class _Stored:
    eof = False
    needs_input = True

    def step(self, packed: bytes) -> bytes:
        return packed


class _Inflate:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(-15)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    def step(self, packed: bytes) -> bytes:
        return self._decoder.decompress(packed or self._decoder.unconsumed_tail, _CHUNK)


class _Bunzip:
    def __init__(self) -> None:
        self._decoder = bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return self._decoder.needs_input

    def step(self, packed: bytes) -> bytes:
        return self._decoder.decompress(packed, _CHUNK)


# --- storing ---------------------------------------------------------------------------------------------


def _safe_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUPPORTED_IMAGE_FORMATS or suffix in {".json", ".xml", ".zip", ".cbz"} else ""


def _store(archive: Archive, member: Member, path: Path) -> None:
    try:
        with path.open("wb") as file:
            for data in archive.stream(member):
                file.write(data)
    except OSError as fault:
        path.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        raise ResourceError(
            f"Cannot store {member.name!r} of {archive.path} in {path.parent}: {reason(fault)} "
            f"({member.size} bytes needed, {free} free)."
        ) from fault
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _free_prefix(name: str, taken: set[str]) -> str:
    """`<path>_extracted` for a nested archive, numbered where members of that name exist."""
    base = f"{PurePosixPath(name).with_suffix('')}_extracted"
    prefix, number = base, 0
    while any(other == _folded(prefix) or other.startswith(_folded(prefix) + "/") for other in taken):
        number += 1
        prefix = f"{base}_{number}"
    taken.add(_folded(prefix))
    return prefix


def _place(folder: Path, page: Unpacked) -> Path:
    """Move an unpacked page to its own name below `folder`; the name has been vetted."""
    target = folder / page.name
    if not target.parent.resolve().is_relative_to(folder.resolve()):  # a link that stood in the folder before
        raise ZIPExtractionError(f"Cannot extract {page.name!r}: a link in {folder} leads outside.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return page.path.replace(target)
