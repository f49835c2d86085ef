"""What one call carries to a machine and back: tasks, and the bytes of the files that they name.

Promises: a file that work wrote elsewhere appears here whole, durable, and never through a link that leads out of its root;
with the time that it was written at. Each file has a folder of its own there, and keeps its name, which may say its format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...io.publish import SaveFile, part_path, write_part
from ...logging_config import RecordValues
from ...reading import open_regular
from ..files import File, Use, relocated
from ..workers import Result, Task

_MARK = "\0"
# A larger file does not travel: the bridge, Ray and the machine would each hold it in memory.
LARGEST = 256 << 20


class StaysHere(Exception):  # noqa: N818 - no fault: the coordinator does it
    """Work whose files cannot travel."""


@dataclass(frozen=True)
class Blob:
    """A file that travels with a call: of which number, with which time of change (ns), and its SHA-256 (hex) if many calls
    need it, and machines keep it."""

    number: int
    mtime_ns: int
    sha256: str = ""


@dataclass(frozen=True)
class Parcel:
    """Tasks in which numbers stand for `files`. Without files their paths mean the same on every machine."""

    id: str
    tasks: tuple[Task, ...]
    files: tuple[File, ...]
    blobs: tuple[Blob, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A file that the work has written: of which number, its name below that where it is a folder."""

    number: int
    name: str
    content: bytes
    mtime_ns: int


@dataclass(frozen=True)
class Answer:
    """What became of a parcel. `missing`: nothing was done, because the machine no longer has these (SHA-256)."""

    results: list[Result] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    records: list[RecordValues] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def pack(identity: str, tasks: Sequence[Task], *, shared: bool = False) -> Parcel:
    """The tasks without their files' contents. `shared`: every machine sees the files under the same paths."""
    files: dict[File, int] = {}

    def numbered(file: File) -> str:
        return f"{_MARK}{files.setdefault(file, len(files))}"

    if not shared:
        tasks = [replace(task, work=relocated(task.work, numbered)) for task in tasks]
    return Parcel(identity, tuple(tasks), tuple(files))


def unpacked(parcel: Parcel, path_of: Callable[[int], str]) -> list[Task]:
    """The tasks with the paths that their files have now."""
    if not parcel.files:
        return list(parcel.tasks)

    def place(file: File) -> str:
        return path_of(int(file.path.removeprefix(_MARK)))

    return [replace(task, work=relocated(task.work, place)) for task in parcel.tasks]


class Reader:
    """Reads what parcels need, on the coordinator's machine."""

    def __init__(self, *, all_travels: bool = False) -> None:
        """`all_travels`: also what is too large; and of what cannot be read, the work says that it is not there."""
        self._all_travels = all_travels
        self._hashes: dict[tuple[str, int, int, int], str] = {}

    def contents(self, parcel: Parcel) -> Iterator[tuple[Blob, Callable[[], bytes]]]:
        """What is there of the files that the parcel's work reads, and how to get its bytes. Of what is not there the work
        says so itself. StaysHere for what cannot be read, so that the work says why as on one machine, and for what is
        larger than `LARGEST`."""
        for number, file in enumerate(parcel.files):
            if file.use in (Use.READ, Use.SHARED, Use.CACHED):
                try:
                    yield self._found(number, file)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if file.use is not Use.CACHED and not self._all_travels:
                        raise StaysHere from error

    def _found(self, number: int, file: File) -> tuple[Blob, Callable[[], bytes]]:
        with open_regular(Path(file.path)) as opened:
            stat = os.fstat(opened.fileno())
            if file.use is Use.SHARED:
                known = (file.path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if known not in self._hashes:
                    self._hashes[known] = hashlib.file_digest(opened, "sha256").hexdigest()
                return Blob(number, stat.st_mtime_ns, self._hashes[known]), Path(file.path).read_bytes
            if file.use is Use.READ and stat.st_size > LARGEST and not self._all_travels:
                raise StaysHere
            content = opened.read()
            stat = os.fstat(opened.fileno())  # one that is written meanwhile is seen to have changed
        if file.use is Use.CACHED:
            os.utime(file.path)  # the cache keeps what was used last
        return Blob(number, stat.st_mtime_ns), lambda: content


def place(parcel: Parcel, piece: Piece) -> None:
    """Write what came back to where the work meant it. OSError, or ResourceError for a full disk."""
    file = parcel.files[piece.number]
    if file.use is Use.FILLED:
        target = Path(file.path) / piece.name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = part_path(target, str(os.getpid()))  # of a cache: nothing waits for the disk
        part.write_bytes(piece.content)
        part.replace(target)
    elif file.root:  # it is a part already, which whoever publishes it knows by its name
        target = Path(file.path)
        write_part(target, piece.content, within=Path(file.root))
    else:
        target = Path(file.path)
        with SaveFile(target) as saved:
            saved.write(piece.content)
    os.utime(target, ns=(piece.mtime_ns, piece.mtime_ns))
