"""Reading ZIP and CBZ archives without being harmed by them.

Promises
* The whole directory is vetted before one byte is inflated: members that overlap, are links, leave the folder,
  too many, too large, or packed beyond belief.
* While inflating, no member gives more bytes than its entry says, and its checksum is compared at the end;
  so the limits hold for what really comes out, too. Memory stays at a few MiB per member.
* A member that cannot be read (encrypted, damaged, packed in a way that nothing here reads) costs itself only.

Refuses, with a `ZIPExtractionError` naming the member and the limit, anything else; and, with a
`NoArchiveError`, files that are no ZIP.

Does not guarantee: anything about a file that somebody changes while it is being read.
"""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..exceptions import ValidationError, ZIPExtractionError
from ..logging_config import get_logger
from ..messages import Message
from .archive_directory import Directory, Limits, ZipMember, open_archive
from .books.contract import Member, MemberError, Unpacked, stocked
from .books.unpacking import unpack
from .inflating import CHUNK, FAULTS, decoder_of
from .kinds import HEAD, FileKind, kind_of

__all__ = [
    "Archive",
    "Limits",
    "Member",
    "cleanup_temp_directory",
    "extract_zip_file",
    "is_zip_file",
]

_log = get_logger(__name__)


class Archive:
    """An open ZIP or CBZ whose directory has been vetted, a `Book`; a context manager.

    `members` are its files in the order of its directory; `left_out` those of them that are neither pages nor anything
    Lote reads; `notes` sentences for a person. `name_encoding` is that of names of which the archive does not say it.
    Raises ValidationError for what is missing or no ZIP, ZIPExtractionError for what is not safe, MemberError where none
    of its pages can be read."""

    def __init__(self, path: Path, limits: Limits | None = None, name_encoding: str | None = None) -> None:
        self.path = path
        self.limits = limits or Limits()
        self._file = open_archive(path)
        try:
            members, names = Directory(self._file, path, self.limits).members(name_encoding)
            stock = stocked(path, map(self._told, members), names)
        except BaseException:
            self._file.close()
            raise
        self.members: list[ZipMember] = stock.members
        self.left_out, self.notes = stock.left_out, stock.notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def _told(self, member: ZipMember) -> ZipMember:
        """The member with its kind, where that is told by its first bytes."""
        if not member.is_open:
            return member
        head = b""
        try:
            for data in self.stream(member):
                head += data
                if len(head) >= HEAD:
                    break
        except MemberError as fault:
            if kind_of(member.name, head) == FileKind.OTHER:
                return replace(member, fault=fault.what)
        return replace(member, kind=kind_of(member.name, head[:HEAD]))

    def stream(self, member: ZipMember) -> Iterator[bytes]:
        """The inflated bytes of a member. MemberError when they are damaged or more than declared."""
        if member.fault:
            raise self._bad(member, member.fault)
        left, crc, packed_left = member.size, 0, member.packed
        inflate = decoder_of(member.method)()
        position = member.start
        while not inflate.eof:
            packed = b""
            if starved := inflate.needs_input:
                self._file.seek(position)
                packed = self._file.read(min(CHUNK, packed_left))
                position += len(packed)
                packed_left -= len(packed)
            try:
                data = inflate.step(packed)
            except FAULTS as fault:
                raise self._bad(member, "is damaged ({fault})", fault=fault) from fault
            left -= len(data)
            if left < 0:
                raise self._bad(
                    member, "inflates to more than the {size} bytes that it declares", size=member.size
                )
            crc = zlib.crc32(data, crc)
            if data:
                yield data
            elif starved and not packed:  # nothing left to read, and nothing held back inside the decoder
                break
        # LZMA may end without saying so, and stored bytes never say it.
        if left or not (inflate.eof or member.method in {_STORED, _LZMA}):
            raise self._bad(
                member, "is cut off: {left} of {size} bytes are missing", left=left, size=member.size
            )
        if crc != member.crc:
            raise self._bad(member, "is damaged: its checksum is wrong")

    def read(self, member: ZipMember, limit: int) -> bytes:
        """A small member whole. MemberError when it declares more than `limit` bytes."""
        if member.size > limit:
            raise self._bad(
                member, "has {size} bytes, more than the limit of {limit}", size=member.size, limit=limit
            )
        return b"".join(self.stream(member))

    def _bad(self, member: Member, what: str | Message, /, **values: Any) -> MemberError:
        return MemberError(self.path, member.name, what, **values)


_STORED, _LZMA = 0, 14


def is_zip_file(path: str | Path) -> bool:
    """Whether a file is a ZIP by its name, `.zip` or `.cbz`, and by content; reads its directory only; never raises."""
    try:
        archive = Path(path)
        if archive.suffix.lower() not in {".zip", ".cbz"}:
            return False
        with open_archive(archive) as file:
            directory = Directory(file, archive, Limits())
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
                unpacked = unpack(archive, Path(staging), _nested, whole=True)
                pages = [page for page in unpacked if page.kind == FileKind.IMAGE]
                images = [_place(folder, page) for page in pages]
        except OSError as fault:
            if extract_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise ZIPExtractionError(
                "Cannot extract {zip_path} into {folder}: {fault}.",
                zip_path=zip_path,
                folder=folder,
                fault=fault,
            ) from fault
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


def _nested(path: Path, limits: Limits, folder: Path) -> Archive:
    return Archive(path, limits)


def _place(folder: Path, page: Unpacked) -> Path:
    """Move an unpacked page to its own name below `folder`; the name has been vetted."""
    target = folder / page.name
    if not target.parent.resolve().is_relative_to(folder.resolve()):  # a link that stood in the folder before
        raise ZIPExtractionError(
            "Cannot extract {name}: a link in {folder} leads outside.", name=repr(page.name), folder=folder
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    return page.path.replace(target)
