"""Reading 7z (CB7) and RAR (CBR) by libarchive, in one pass. Runs in a worker (`isolated`): it is C, and has had holes.

Refuses links and devices, and a book whose list of members cannot be read. Where the library gives up in the middle of a
member, that member fails and the book is opened again behind it; where that happens too often the rest fails too.
"""

from __future__ import annotations

import contextlib
import ctypes
import locale
import logging
import os
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from ...exceptions import NoArchiveError
from ...messages import Message
from ...reading import open_regular
from ..kinds import Reason
from .contract import MemberError, damaged, refused
from .isolated import BLOCK, Store, needs_packages

__all__ = ["read_libarchive"]

_OPENINGS: Final = 32  # of one book: each passes over what was read before
_FORMATS: Final = {b"Rar!\x1a\x07\x00": "rar", b"Rar!\x1a\x07\x01": "rar5", b"7z\xbc\xaf\x27\x1c": "7zip"}
_WORDS: Final = {
    "rar": Message("a RAR archive"),
    "rar5": Message("a RAR archive"),
    "7zip": Message("a 7z archive"),
}


def _library(store: Store, kind: str) -> ModuleType:
    try:
        library = import_module("libarchive")
    except ModuleNotFoundError as fault:
        raise needs_packages(store.path, _WORDS[kind]) from fault
    except (ImportError, OSError, AttributeError, TypeError) as fault:
        # The package is there; what it stands on is not.
        raise NoArchiveError(
            "{path} is {kind}, and reading it needs the system's libarchive: apt install libarchive13 (Debian, Ubuntu), "
            "dnf install libarchive (Fedora), brew install libarchive (macOS)",
            path=store.path,
            kind=_WORDS[kind],
        ) from fault
    logging.getLogger("libarchive").setLevel(logging.ERROR)  # its warnings are said of the members
    return library


def read_libarchive(store: Store) -> None:
    with open_regular(store.path) as file:
        head = file.read(7)
    kind = next(name for start, name in _FORMATS.items() if head.startswith(start))
    library = _library(store, kind)
    for name in ("C.UTF-8", "en_US.UTF-8"):  # what it makes of names depends on it
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, name)
            break
    done = 0
    for _ in range(_OPENINGS):
        done, is_over = _read(store, library, kind, done)
        if is_over:
            if not store.met:
                raise damaged(store.path, "it breaks off before its first member")
            return
    _read(store, library, kind, done, names_only=True)


def _read(
    store: Store, library: ModuleType, kind: str, done: int, *, names_only: bool = False
) -> tuple[int, bool]:
    """Take the members behind the first `done`, or say that they are lost. How many are done then, and whether there are
    no more."""
    error: type[Exception] = library.exception.ArchiveError
    number = 0
    with open_regular(store.path) as file:
        try:
            with library.fd_reader(file.fileno(), kind, "none") as archive:
                for entry in archive:
                    number += 1
                    if number <= done:
                        continue
                    store.count()
                    name = _name(library, entry)
                    if not _is_file(store, entry, name):
                        continue
                    if names_only:
                        store.lost(name, _LOST)
                        continue
                    content = _Content(store, library, entry, name)
                    store.take(name, iter(content))
                    if content.is_broken:
                        return number, False
        except error as fault:
            if number > done or number == 0 or not done:
                raise _told(store, fault) from fault
            return number, True  # it does not get past what was lost: no member can be named behind it
    return number, True


class _Content:
    """The bytes of one member."""

    def __init__(self, store: Store, library: ModuleType, entry: Any, name: bytes | str) -> None:
        self._store, self._library, self._entry, self._name = store, library, entry, name
        self.is_broken = False  # the library reads nothing more

    def __iter__(self) -> Iterator[bytes]:
        ffi, pointer = self._library.ffi, self._entry._archive_p  # noqa: SLF001 - its own loop takes warnings for bytes
        left, buffer = self._entry.size, ctypes.create_string_buffer(BLOCK)
        while True:
            try:
                count = ffi.read_data(pointer, buffer, BLOCK)
            except self._library.exception.ArchiveError as fault:
                self.is_broken = fault.retcode <= _FATAL
                raise self._damaged(fault.msg) from fault
            if count < 0:  # a warning: a checksum is wrong
                raise self._damaged(ffi.error_string(pointer))
            if not count:
                break
            if left is not None:
                left -= count
                if left < 0:
                    raise self._bad(Message("unpacks to more than it declares"))
            yield buffer.raw[:count]
        if left:
            size = self._entry.size
            raise self._bad(Message("is cut off: {left} of {size} bytes are missing", left=left, size=size))

    def _damaged(self, said: bytes | str | None) -> MemberError:
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said or _UNTOLD
        if "ncrypt" in text or "assphrase" in text:
            return _EncryptedError(self._store.path, _text(self._name), _ENCRYPTED)
        return self._bad(Message("is damaged ({fault})", fault=text))

    def _bad(self, what: Message) -> MemberError:
        return MemberError(self._store.path, _text(self._name), what)


class _EncryptedError(MemberError):
    why = Reason.ENCRYPTED


_LOST: Final = Message("is lost: what stands before it is damaged")
_UNTOLD: Final = "its bytes make no sense"  # where the library says nothing
_FATAL: Final = -30  # ARCHIVE_FATAL of libarchive's archive.h
_ENCRYPTED: Final = Message("is encrypted; unpack the archive with its password first")


def _name(library: ModuleType, entry: Any) -> bytes | str:
    """The name: as text where the library knows what it means, else as its bytes."""
    wide: str | None = library.ffi.entry_pathname_w(entry._entry_p)  # noqa: SLF001 - the package decodes by itself
    if wide:
        return wide
    return library.ffi.entry_pathname(entry._entry_p) or b""  # noqa: SLF001


def _text(name: bytes | str) -> str:
    return name if isinstance(name, str) else os.fsdecode(name)


def _is_file(store: Store, entry: Any, name: bytes | str) -> bool:
    if entry.isdir:
        return False
    if entry.issym or entry.islnk or entry.isdev or not entry.isreg:
        what = Message("is a link or a device, not a file")
        raise refused(store.path, "member {name} {problem}", name=repr(_text(name)), problem=what)
    return True


def _told(store: Store, fault: Any) -> Exception:
    text = str(fault.msg or _UNTOLD).strip()
    if "ncrypt" in text:
        return refused(store.path, _ENCRYPTED_WHOLE)
    return damaged(store.path, Message(text))


_ENCRYPTED_WHOLE: Final = Message("its list of members is encrypted; unpack it with its password first")
