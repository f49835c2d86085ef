"""The end of a cluster pool that lives on another machine: one slot, which is one isolated child of that machine's own.

What a task may do, and what becomes of it when it crashes, hangs or eats memory, is decided by the same `LocalPool` as on one
machine. Whatever carries calls there makes an `Agent` and calls `hello`, `run`, and meanwhile `pulse` and `stop`, from other
threads. Files lie in a folder of the slot's own below `LOTE_SCRATCH` (the system's folder for temporary files), where shared
ones stay for the next job: `CACHE_BYTES`, the least recently used go first.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shutil
import socket
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from ...exceptions import ResourceError
from ...io.publish import hash_file
from ...logging_config import RecordValues, WorkerHandler
from ..files import Use, retold
from ..processes import process_alive, process_identity
from ..workers import RECORDS_PER_TASK, LocalPool, Result, Task
from .parcels import Answer, Parcel, Piece, unpacked

CACHE_BYTES = 4 << 30
# What was used within this time is not removed: another slot may be about to open it.
IN_USE_S = 600.0
# Of these other versions may give other pixels, or none where one is not installed.
DISTRIBUTIONS = ("numpy", "scipy", "opencv-python-headless", "pillow", "pi-heif", "pillow-jxl-plugin")
_OWNER = "owner.json"
_TICK_S = 0.05


@dataclass(frozen=True)
class Hello:
    """Who a slot is: its machine, by name, and what decides pixels there."""

    host: str
    versions: dict[str, str]
    level: str


def versions() -> dict[str, str]:
    """What must be the same everywhere for the same page to give the same pixels."""
    from ... import __version__

    found = {
        "Lote": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,  # the bytes of PNG files hang on it
    }
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def processor_level() -> str:
    """What vector instructions there are, as far as kernels of numpy and OpenBLAS differ by them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    if platform.machine() != "x86_64":
        return platform.machine()
    return "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "x86-64"


def scratch() -> Path:
    """Where files of slots lie on this machine."""
    return Path(os.environ.get("LOTE_SCRATCH") or tempfile.gettempdir()) / f"lote-{os.getuid()}"


class Agent:
    """One slot."""

    def __init__(self, memory_limit: int = 0) -> None:
        """`memory_limit`: as `LocalPool`."""
        root = scratch()
        self._shared = root / "shared"
        for folder in (root, self._shared):
            _own_folder(folder)
        _sweep(root)
        self._checked: set[Path] = set()  # shared files that this slot has seen to be whole
        self._room = Path(os.path.realpath(tempfile.mkdtemp(prefix="slot-", dir=root)))
        (self._room / _OWNER).write_text(json.dumps(process_identity()))
        self._pool = LocalPool(1, memory_limit=memory_limit)
        self._unwanted: set[str] = set()
        self._at: tuple[str, tuple[int, int] | None] = ("", None)
        self._records: list[RecordValues] = []
        root_logger = logging.getLogger()
        root_logger.addHandler(WorkerHandler(self._record))
        root_logger.setLevel(logging.INFO)

    def hello(self) -> Hello:
        return Hello(socket.gethostname(), versions(), processor_level())

    def pulse(self, parcel: str) -> tuple[int, int] | None:
        """How far a parcel is; that this answers at all is the point."""
        identity, progress = self._at
        return progress if identity == parcel else None

    def stop(self, parcel: str) -> None:
        """Have a parcel end soon."""
        self._unwanted.add(parcel)

    def run(self, parcel: Parcel, *contents: bytes | None) -> Answer:
        """Do the tasks. `contents` are those of the parcel's blobs; None where this machine should have it."""
        folder = Path(tempfile.mkdtemp(dir=self._room))
        try:
            missing, brought = self._bring(parcel, contents, folder)
            if missing:
                return Answer(missing=missing)
            shared = {
                blob.number: self._kept(parcel, blob.number, blob.sha256)
                for blob in parcel.blobs
                if blob.sha256
            }

            def path_of(number: int) -> str:
                use = parcel.files[number].use
                return str(folder if use is Use.ROOT else shared.get(number) or _own(parcel, number, folder))

            results = self._do(parcel.id, unpacked(parcel, path_of))
            pieces = (
                list(self._written(parcel, folder, brought))
                if any(one.failure is None for one in results)
                else []
            )
            records, self._records = self._records[:RECORDS_PER_TASK], []
            known = {
                path_of(number): file.path
                for number, file in enumerate(parcel.files)
                if file.use is not Use.ROOT
            }
            return Answer([_in_known_words(one, known, folder) for one in results], pieces, records)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the child, and remove what lies here."""
        self._pool.close()
        shutil.rmtree(self._room, ignore_errors=True)

    def _record(self, values: RecordValues) -> None:
        if len(self._records) < RECORDS_PER_TASK:
            self._records.append(values)

    def _bring(
        self, parcel: Parcel, contents: tuple[bytes | None, ...], folder: Path
    ) -> tuple[list[str], dict[int, int]]:
        """Put the files where the work finds them; which are lacking, and the inodes of those that are its own."""
        for number, file in enumerate(parcel.files):
            own = _own(parcel, number, folder)
            own.parent.mkdir(parents=True, exist_ok=True)
            if file.use is Use.FILLED:
                own.mkdir()
        missing, brought = [], {}
        for blob, content in zip(parcel.blobs, contents, strict=True):
            if not blob.sha256:
                own = _own(parcel, blob.number, folder)
                own.write_bytes(content or b"")
                os.utime(own, ns=(blob.mtime_ns, blob.mtime_ns))
                brought[blob.number] = own.stat().st_ino
                continue
            kept = self._kept(parcel, blob.number, blob.sha256)
            self._check(kept, blob.sha256)
            if content is not None and not kept.exists():
                self._keep(kept, content)
                self._checked.add(kept)
            try:
                os.utime(kept)
            except FileNotFoundError:
                missing.append(blob.sha256)
        return missing, brought

    def _kept(self, parcel: Parcel, number: int, sha256: str) -> Path:
        return self._shared / sha256 / Path(parcel.files[number].path).name

    def _check(self, kept: Path, sha256: str) -> None:
        """Remove a shared file that is not what its name says: a machine that lost its power may have cut it."""
        if kept not in self._checked and kept.exists():
            if hash_file(kept) == sha256:
                self._checked.add(kept)
            else:
                kept.unlink(missing_ok=True)

    def _keep(self, kept: Path, content: bytes) -> None:
        """Put a shared file into the machine's cache, and make room for it."""
        kept.parent.mkdir(exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._room)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(kept)
        files = sorted(
            (found.st_mtime, found.st_size, path)
            for path in self._shared.glob("*/*")
            if (found := _stat(path)) is not None
        )
        size = sum(one for _, one, _ in files)
        for used, freed, path in files:
            if size <= CACHE_BYTES or time.time() - used < IN_USE_S:
                break
            with contextlib.suppress(OSError):  # another slot does the same
                path.unlink()
                path.parent.rmdir()
            size -= freed

    def _do(self, parcel: str, tasks: list[Task]) -> list[Result]:
        self._at = parcel, None
        self._pool.submit(*tasks)
        results: dict[str, Result] = {}
        stopping = False
        while len(results) < len(tasks):
            results |= {result.id: result for result in self._pool.completed(_TICK_S)}
            self._at = parcel, next(iter(self._pool.progress().values()), None)
            if not stopping and parcel in self._unwanted:
                stopping = True
                self._pool.stop([task.id for task in tasks])
        self._unwanted.discard(parcel)
        self._at = "", None
        return [results[task.id] for task in tasks]

    @staticmethod
    def _written(parcel: Parcel, folder: Path, brought: dict[int, int]) -> Iterator[Piece]:
        """What the work has written. `brought`: by number, the inodes of files that were there: a cached one that was read
        keeps it, and one that was replaced has another."""
        for number, file in enumerate(parcel.files):
            own = _own(parcel, number, folder)
            if file.use is Use.FILLED:
                for path in sorted(own.iterdir()):
                    yield Piece(number, path.name, path.read_bytes(), path.stat().st_mtime_ns)
            elif file.use is Use.WRITTEN or file.use is Use.CACHED:
                found = _stat(own)
                if found is not None and brought.get(number) != found.st_ino:
                    yield Piece(number, "", own.read_bytes(), found.st_mtime_ns)


def _own(parcel: Parcel, number: int, folder: Path) -> Path:
    return folder / str(number) / Path(parcel.files[number].path).name


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _in_known_words(result: Result, known: dict[str, str], folder: Path) -> Result:
    """The result with the paths that people know in place of this machine's."""
    there = str(folder)

    def told(text: str) -> str:
        if there in text or any(path in text for path in known):
            for path, name in known.items():
                text = text.replace(path, name)
        return text

    return replace(result, value=retold(result.value, told), failure=retold(result.failure, told))


def _own_folder(folder: Path) -> None:
    """Make a folder that nobody else can read. ResourceError if somebody else has made it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ResourceError(
            "{folder} belongs to somebody else: name another folder with LOTE_SCRATCH.", folder=folder
        )
    folder.chmod(0o700)


def _sweep(root: Path) -> None:
    """Remove what slots of this machine have left whose process is gone. Of those of others, on a disk that several share,
    nothing can be known here."""
    for room in root.glob("slot-*"):
        try:
            owner = json.loads((room / _OWNER).read_text())
        except (OSError, ValueError):
            continue  # it is being made, or removed
        if owner.get("host") == socket.gethostname() and not process_alive(owner):
            shutil.rmtree(room, ignore_errors=True)
