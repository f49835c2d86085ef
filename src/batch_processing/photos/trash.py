"""Taking photos back from the trash, where the system says what lies there.

On Linux and its like each trash has a note for each file that says where it was
(https://specifications.freedesktop.org/trash-spec/latest/): both the desktop's way and send2trash's own keep to that. macOS
tells no program where a file in its trash came from: there a person takes it back ("Put Back").

Promises: a photo comes back only if the trash has the very bytes that were removed, and only to a name that nobody has;
nothing is replaced. Killed at any moment, the photo is in the trash, back in its place, or both. Refuses links, and notes
that are too long.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from ..messages import Message
from . import steps
from .hashing import join
from .reading import Unreadable, explain, hash_file, new_buffer, open_file

MOST_NOTE = 64 * 1024  # bytes of one: a path is shorter
SUFFIX = b".trashinfo"


class NotBack(StrEnum):
    """Why a photo was not taken back. Values stand in the log."""

    SYSTEM_TRASH = "system trash"
    NOT_IN_TRASH = "not in trash"
    OTHER_BYTES = "other bytes"
    NAME_TAKEN = "name taken"
    FOLDER_GONE = "folder gone"
    SYSTEM = "system"


SENTENCES = {
    NotBack.SYSTEM_TRASH: Message("lies in the trash of the system: take it back there, with Put Back"),
    NotBack.NOT_IN_TRASH: Message("is not in the trash any more"),
    NotBack.OTHER_BYTES: Message(
        "has other bytes in the trash than those that were removed: take it back by hand"
    ),
    NotBack.NAME_TAKEN: Message("cannot come back: another file has its name by now"),
    NotBack.FOLDER_GONE: Message(
        "cannot come back: its folder is gone; make it again, or take it back by hand"
    ),
}


class NotBackError(Exception):
    """The photo stays where it is. `code`, and the same as a clause for a person."""

    def __init__(self, code: NotBack, sentence: Message | None = None) -> None:
        self.code, self.sentence = code, sentence or SENTENCES[code]
        super().__init__(self.sentence)


def is_told() -> bool:
    """Whether this system tells where the files in its trash came from."""
    return sys.platform != "darwin"


@dataclass
class _Notes:
    """The notes of one trash: by the path that a file had, where the newest one and its file lie now."""

    by_path: dict[bytes, list[tuple[str, bytes, bytes]]] = field(default_factory=dict)


class Trash:
    """The trashes of this user, as they are now: each is read once, when a photo of its disk is first asked for."""

    def __init__(self) -> None:
        self._read: dict[bytes, _Notes] = {}

    def take_back(self, path: bytes, size: int, digest: bytes) -> None:
        """Have a photo that was removed back in its place. NotBackError if it stays in the trash."""
        if not is_told():
            raise NotBackError(NotBack.SYSTEM_TRASH)
        folder = os.path.dirname(path)  # noqa: PTH120 - bytes
        if not os.path.isdir(folder):  # noqa: PTH112 - bytes
            raise NotBackError(NotBack.FOLDER_GONE)
        if os.path.lexists(path):
            raise NotBackError(NotBack.NAME_TAKEN)
        found = self._named(path)
        if not found:
            raise NotBackError(NotBack.NOT_IN_TRASH)
        for _, note, file in found:
            if _holds(file, size, digest):
                _move(file, path)
                with suppress(OSError):
                    os.unlink(note)  # noqa: PTH108 - bytes
                return
        raise NotBackError(NotBack.OTHER_BYTES)

    def _named(self, path: bytes) -> list[tuple[str, bytes, bytes]]:
        """Files that had this path, those that were removed last first."""
        found = []
        for trash, base in _trashes(path):
            if trash not in self._read:
                self._read[trash] = _notes(trash, base)
            for way in {path, _resolved(path)}:
                found += self._read[trash].by_path.get(way, [])
        return sorted(set(found), reverse=True)


def _trashes(path: bytes) -> list[tuple[bytes, bytes]]:
    """Where a file of this path may lie now, and what short paths in the notes there are short of."""
    user = str(os.getuid()).encode()
    data = os.environb.get(b"XDG_DATA_HOME", b"")
    if not os.path.isabs(data):  # noqa: PTH117 - bytes
        data = os.path.expanduser(b"~/.local/share")  # noqa: PTH111 - bytes
    top = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 - bytes
    while not os.path.ismount(top):
        top = os.path.dirname(top)  # noqa: PTH120 - bytes
    return [
        (join(data, b"Trash"), data),
        (join(join(top, b".Trash"), user), top),
        (join(top, b".Trash-" + user), top),
    ]


def _resolved(path: bytes) -> bytes:
    folder, name = os.path.split(path)
    return join(os.path.realpath(folder), name)


def _notes(trash: bytes, base: bytes) -> _Notes:
    """All notes of a trash; none where there is no such trash."""
    found = _Notes()
    info, files = join(trash, b"info"), join(trash, b"files")
    try:
        names = sorted(os.listdir(info))
    except OSError:
        return found
    for name in names:
        if not name.endswith(SUFFIX):
            continue
        note = join(info, name)
        told = _told(note)
        if told is None:
            continue
        path, when = told
        absolute = os.path.normpath(join(base, path) if not path.startswith(b"/") else path)
        entry = (when, note, join(files, name[: -len(SUFFIX)]))
        for way in {absolute, _resolved(absolute)}:
            found.by_path.setdefault(way, []).append(entry)
    return found


def _told(note: bytes) -> tuple[bytes, str] | None:
    """The path in a note, and when its file was removed (ISO 8601, local)."""
    try:
        descriptor = open_file(note)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            text = os.read(descriptor, MOST_NOTE)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    told = dict(line.split(b"=", 1) for line in text.splitlines() if b"=" in line)
    if not (path := unquote_to_bytes(told.get(b"Path", b""))) or b"\0" in path:
        return None
    return path, told.get(b"DeletionDate", b"").decode("ascii", "replace")


def _holds(file: bytes, size: int, digest: bytes) -> bool:
    """Whether a file in the trash is the one that was removed."""
    try:
        status = os.lstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        return bool(hash_file(file, new_buffer(), lambda: False)[0] == digest)
    except (OSError, Unreadable):
        return False


def _move(file: bytes, path: bytes) -> None:
    try:
        steps.take_name(file, path)
    except FileExistsError as error:
        raise NotBackError(NotBack.NAME_TAKEN) from error
    except OSError as error:
        raise NotBackError(NotBack.SYSTEM, explain(error).sentence) from error
    for folder in (os.path.dirname(path), os.path.dirname(file)):  # noqa: PTH120 - bytes
        with suppress(OSError):
            steps.sync_folder(folder)
