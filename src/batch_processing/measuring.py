"""Measuring this machine for `lote doctor --tune`: hashing, disks, looking at photos, colouring, memory.

Promises: it takes about a minute at most and says what it had no time for; what it writes lies in the workspace, is small
beside what is free there, and is gone afterwards, also when this process is killed; folders of photos are only read. What
works is measured in worker processes like those of a real run, so that one that dies costs its own number alone.
Does not promise the same numbers twice: other programs count.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .backends.base import PageSettings
from .core.model import EventKind
from .core.processes import end, start_lean
from .core.resources import peak_memory, reserved_memory
from .core.tuning import QUIET, Disk, Machine, Measured, Memory, Rate, mount_of
from .core.usage import UsageWatch
from .core.workers import LocalPool, Progress, Task, Work, in_pool
from .core.workspace import Workspace, file_system
from .exceptions import BatchProcessingError, ResourceError, ValidationError, reason
from .memory import MemoryManager
from .messages import Message
from .photos.hashing import MOST_READERS, Candidate, Hashers, join
from .photos.kinds import PHOTO_EXTENSIONS
from .photos.pixels.looking import LookAt

# All of it together, in seconds: a person waits.
TIME_LIMIT_S = 55.0
BUSY_S = 0.5
HASH_S = 1.0
# One number of readers reads for so long; longer, up to that, where each has not even read one photo by then.
READ_S = 2.0
SLOW_READ_S = 8.0
WARM_S = 0.3
READERS = (1, 2, 4, 8, 16)
LOOK_S = 2.0
COMMIT_S = 1.0
# Files of this size, about that of a photo, are written to be read: as many as make `WRITTEN`, or less of a small disk.
PHOTO_SIZE = 4_000_000
WRITTEN = 256_000_000
OF_FREE = 0.02  # the most of what is free that is written
LEAST_WRITTEN = 8 * PHOTO_SIZE
PHOTOS_FOUND = 2_000
LOOKED_AT = (4000, 3000)  # pixels of the photo that is decoded
# Removes a folder when this process is no more, however it ended.
_TIDY = "import sys, shutil; sys.stdin.buffer.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"

Say = Callable[[Message], None]


@dataclass(frozen=True)
class Page:
    """A line-art page and a coloured reference for it: image files."""

    path: Path
    reference: Path


def measure(
    workspace: Workspace,
    page: Callable[[Path], Page],
    folders: Sequence[str] = (),
    *,
    say: Say = lambda text: None,
    limit_s: float = TIME_LIMIT_S,
) -> Measured:
    """Measure this machine, the disk of the workspace, and those of `folders` of photos. `page` puts a page to be coloured
    into a folder; `say` is told what is measured next. ValidationError for a folder that is not there; ResourceError
    where nothing can be written."""
    for folder in folders:
        if not Path(folder).is_dir():
            raise ValidationError("{folder} is no folder: name one that holds photos.", folder=folder)
    workspace.ensure()
    with _place(workspace) as place:
        return _Measuring(place, say, limit_s).all_of(page, folders)


@contextmanager
def _place(workspace: Workspace) -> Iterator[Path]:
    """A folder for what is written; a process that waits for the end of this one removes it, too."""
    with workspace.scratch() as place:
        place.mkdir(parents=True, mode=0o700)
        guard, _ = start_lean(_TIDY, str(place), name="lote tidies up")
        try:
            yield place
        finally:
            if guard.stdin is not None:
                guard.stdin.close()
            end(guard, 10.0)


class _Measuring:
    """One run of it."""

    def __init__(self, place: Path, say: Say, limit_s: float) -> None:
        self._place, self._say = place, say
        self._began = time.monotonic()
        self._until = self._began + limit_s
        self._left_out: list[Message] = []
        self._machine = Machine.here()

    def all_of(self, make_page: Callable[[Path], Page], folders: Sequence[str]) -> Measured:
        available = MemoryManager().available_bytes()
        busy = self._busy()
        hash_rate = self._hash_rate()
        disks = [disk for disk in (self._own_disk(), *map(self._disk_of, folders)) if disk is not None]
        looked, look_memory = self._looks()
        pages, page_memory = self._pages(make_page)
        return Measured(
            self._machine,
            available,
            hash_rate,
            looked,
            look_memory,
            pages,
            page_memory,
            _once(disks),
            busy,
            round(time.monotonic() - self._began, 1),
            tuple(self._left_out),
        )

    def _has_time(self, seconds: float, text: Message) -> bool:
        """Whether there is time for what takes so long; says what it is."""
        if time.monotonic() + seconds > self._until:
            self._left_out.append(Message("{part}: there was no time left", part=text))
            return False
        self._say(text)
        return True

    # -- hashing and disks ------------------------------------------------------------------------------

    def _busy(self) -> float:
        """The share of the processors that other programs use."""
        watch = UsageWatch()
        watch.machine()
        time.sleep(BUSY_S)
        busy = round(watch.machine().cpu or 0.0, 3)
        if busy > QUIET:
            self._left_out.append(
                Message(
                    "how many workers and readers are fastest: other programs use {share} of the processors; measure again when "
                    "they have ended",
                    share=f"{busy:.0%}",
                )
            )
        return busy

    def _hash_rate(self) -> float | None:
        self._say(Message("hashing"))
        return self._value(HashFor(HASH_S))

    def _own_disk(self) -> Disk | None:
        text = Message("the disk of the workspace")
        if not self._has_time(READ_S * 2, text):
            return None
        free = os.statvfs(self._place).f_bavail * os.statvfs(self._place).f_frsize
        count = int(min(WRITTEN, free * OF_FREE)) // PHOTO_SIZE
        if count * PHOTO_SIZE < LEAST_WRITTEN:
            self._left_out.append(
                Message("{part}: only {free} MB are free there", part=text, free=free // 1_000_000)
            )
            return None
        try:
            paths = list(self._written(count))
        except OSError as error:
            self._left_out.append(Message("{part}: {reason}", part=text, reason=reason(error)))
            return None
        return self._disk(self._place, paths, self._commit_seconds())

    def _written(self, count: int) -> Iterator[bytes]:
        """Files as large as photos, on the disk and not only in memory."""
        folder = self._place / "photos"
        folder.mkdir()
        block = os.urandom(1 << 20)
        until = time.monotonic() + 2 * READ_S
        for number in range(count):
            path = folder / f"{number:03d}.jpg"
            with path.open("xb") as file:
                file.write(f"{number:8d}".encode())
                for _ in range(PHOTO_SIZE // len(block)):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            yield os.fsencode(path)
            if time.monotonic() > until and number >= 8:  # a slow disk: less is enough
                return

    def _disk_of(self, folder: str) -> Disk | None:
        text = Message("the disk of {folder}", folder=folder)
        if not self._has_time(READ_S * 2, text):
            return None
        paths = list(_photos_below(os.fsencode(os.path.abspath(folder))))  # noqa: PTH100 - no resolving
        if not paths:
            self._left_out.append(Message("{part}: it holds no photos to read", part=text))
            return None
        return self._disk(Path(folder), paths, None)

    def _disk(self, folder: Path, paths: Sequence[bytes], commit: float | None) -> Disk | None:
        rates: list[Rate] = []
        photos_rate = 0.0
        for count in READERS:
            enough = bool(rates) and count > 2 * self._machine.cpus and count > 4 * _best(rates).count
            if count > MOST_READERS or enough:
                break
            if time.monotonic() + READ_S > self._until:
                self._left_out.append(
                    Message("{count} readers of {folder}: there was no time left", count=count, folder=folder)
                )
                break
            # Each begins elsewhere: a disk behind this one may remember what it gave.
            start = len(rates) * len(paths) // len(READERS)
            read, photos, seconds = _read([*paths[start:], *paths[:start]], count)
            if seconds > 0 and read:
                rates.append(Rate(count, round(read / seconds)))
                photos_rate = max(photos_rate, photos / seconds)
        if not rates:
            return None
        return Disk(mount_of(folder), file_system(folder), tuple(rates), round(photos_rate, 2), commit)

    def _commit_seconds(self) -> float | None:
        """What a commit of the ledger takes on the disk of the workspace: the median of some."""
        self._say(Message("commits of the ledger"))
        took: list[float] = []
        with closing(Workspace(self._place / "ledger")) as ledger_of:
            try:
                job = ledger_of.ledger.submit("comics", ["/measured"], "/measured", {})
                until = time.monotonic() + COMMIT_S
                while time.monotonic() < until and len(took) < 200:
                    began = time.monotonic()
                    ledger_of.ledger.say(job.id, EventKind.NOTE, Message("measured"))
                    took.append(time.monotonic() - began)
            except BatchProcessingError as error:
                self._left_out.append(Message("commits: {reason}", reason=error.sentence))
                return None
        return sorted(took)[len(took) // 2]

    # -- work -------------------------------------------------------------------------------------------

    def _value(self, work: Work) -> float | None:
        found = self._values([work])
        return found[0] if found else None

    def _values(self, works: Sequence[Work], at_once: int = 1) -> list[float]:
        """What the works give, run beside each other; those that failed are left out, and said."""
        limit = max(5.0, self._until + 5.0 - time.monotonic())
        tasks = [Task(str(number), work, timeout_s=limit) for number, work in enumerate(works)]
        found = []
        pool = LocalPool(at_once)
        with closing(pool):
            try:
                for results in in_pool(pool, tasks):
                    for result in results:
                        if isinstance(result.value, Found):
                            found.append(result.value.value)
                            self._memory = result.value.memory
                        elif result.failure is not None:
                            self._left_out.append(result.failure.text)
            except ResourceError as error:
                self._left_out.append(error.sentence)
        return found

    _memory: Memory | None = None

    def _looks(self) -> tuple[float | None, Memory | None]:
        if not self._has_time(LOOK_S + 2, Message("looking at photos")):
            return None, None
        self._memory = None
        rate = self._value(LookFor(str(self._place / "look.jpg"), LOOK_S))
        return rate, self._memory

    def _pages(self, make_page: Callable[[Path], Page]) -> tuple[tuple[Rate, ...], Memory | None]:
        """Pages a second of one worker, then of one for each core if there is memory for them."""
        if not self._has_time(8.0, Message("colouring a page")):
            return (), None
        page = make_page(self._place)
        artefact = self._place / "learned"
        self._memory = None
        began = time.monotonic()
        alone = self._value(ColorPage(str(page.path), str(page.reference), str(artefact)))
        if alone is None:
            return (), None
        memory, took = self._memory, time.monotonic() - began
        rates = [Rate(1, 1 / alone)]
        most = self._machine.cpus
        if memory is not None:
            most = min(most, int(MemoryManager().available_bytes() // (2 * memory.peak)))
        # Half of it was learning, which is done; processes that share cores take longer to begin.
        if most > 1 and self._has_time(2 * took, Message("colouring {count} pages at once", count=most)):
            work = ColorPage(str(page.path), str(page.reference), str(artefact))
            together = self._values([work] * most, most)
            if len(together) == most:
                rates.append(Rate(most, sum(1 / seconds for seconds in together)))
        return tuple(Rate(rate.count, round(rate.rate, 4)) for rate in rates), memory


def _once(disks: Sequence[Disk]) -> tuple[Disk, ...]:
    """Each file system once: as its photos were read, else as what was written there; a commit was measured once."""
    found: dict[str, Disk] = {}
    for disk in disks:
        before = found.get(disk.mount)
        commit = disk.commit_seconds or (before.commit_seconds if before else None)
        found[disk.mount] = Disk(disk.mount, disk.file_system, disk.readers, disk.photos_rate, commit)
    return tuple(found.values())


def _best(rates: Sequence[Rate]) -> Rate:
    return max(rates, key=lambda rate: rate.rate)


def _photos_below(folder: bytes) -> Iterator[bytes]:
    """Some photos below a folder: so many that their bytes make a measurement."""
    found = read = 0
    for base, _folders, names in os.walk(folder):
        for name in names:
            ending = os.fsdecode(name).lower()
            path = join(base, name)
            with suppress(OSError):
                about = os.lstat(path)
                if ending.endswith(tuple(PHOTO_EXTENSIONS)) and about.st_size and path[:1] == b"/":
                    yield path
                    found, read = found + 1, read + about.st_size
            if found >= PHOTOS_FOUND or read >= WRITTEN:
                return


def _candidates(paths: Sequence[bytes]) -> Iterator[Candidate]:
    for path in paths:
        with suppress(OSError):
            about = os.lstat(path)
            folder, _, name = path.rpartition(b"/")
            yield Candidate(
                folder, name, path, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev,
                about.st_nlink,
            )  # fmt: skip


def _read(paths: Sequence[bytes], readers: int) -> tuple[int, int, float]:
    """Have so many readers read and hash these files: bytes, photos and seconds. From the disk, as far as the system can
    be told to forget what it knows of them."""
    hashers: Hashers[Candidate] = Hashers(readers, inode_order=False, ahead=len(paths) + 1)
    with closing(hashers):
        _hash(hashers, list(_candidates(paths[: 4 * readers])), WARM_S)  # until the readers are there
        for path in paths:
            _forget(path)
        began = time.monotonic()
        read, photos = _hash(hashers, list(_candidates(paths)), READ_S, least=readers)
        return read, photos, time.monotonic() - began


def _hash(
    hashers: Hashers[Candidate], candidates: Sequence[Candidate], seconds: float, *, least: int = 0
) -> tuple[int, int]:
    """Bytes and photos that are hashed within so long; within `SLOW_READ_S` where they are less than `least`."""
    read = photos = 0
    began = time.monotonic()
    hashers.put(candidates)
    waiting = set(map(id, candidates))
    while waiting:
        passed = time.monotonic() - began
        if passed >= seconds and (photos >= least or passed >= SLOW_READ_S):
            break
        for done in hashers.take(0.05):
            if id(done) in waiting:  # else of those before
                waiting.remove(id(done))
                photos += 1
                read += done.read
    return read, photos


def _forget(path: bytes) -> None:
    """Have the kernel drop what it remembers of a file's content."""
    with suppress(OSError, AttributeError):  # macOS has no such call
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


# -- what workers do ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A number that was measured in a worker, and the memory it needed."""

    value: float
    memory: Memory


def _took(value: float) -> Found:
    return Found(value, Memory(peak_memory(), reserved_memory()))


@dataclass(frozen=True)
class HashFor:
    """Hash for so many seconds: bytes a second."""

    seconds: float

    def run(self, progress: Progress) -> Found:
        buffer = os.urandom(1 << 18)
        done, began = 0, time.monotonic()
        while (now := time.monotonic()) - began < self.seconds:
            hashlib.sha256(buffer).digest()
            done += len(buffer)
        return _took(done / (now - began))


@dataclass(frozen=True)
class LookFor:
    """Draw a photo at `path`, and look at it again and again for so many seconds: photos a second."""

    path: str
    seconds: float

    def run(self, progress: Progress) -> Found:
        import numpy as np
        from PIL import Image

        width, height = LOOKED_AT
        small = np.random.default_rng(1).integers(0, 255, (height // 20, width // 20, 3), dtype=np.uint8)
        Image.fromarray(small).resize(LOOKED_AT, Image.Resampling.BICUBIC).save(self.path, quality=90)
        about = Path(self.path).stat()
        work = LookAt(os.fsencode(self.path), about.st_size, about.st_mtime_ns)
        work.run(progress)  # libraries are loaded
        done, began = 0, time.monotonic()
        while (now := time.monotonic()) - began < self.seconds or not done:
            work.run(progress)
            done += 1
            progress(done, done)
        return _took(done / (now - began))


@dataclass(frozen=True)
class ColorPage:
    """Colour a page with flats, as a job does: seconds that the page takes, without what is learned and loaded once."""

    page: str
    reference: str
    artefact: str

    def run(self, progress: Progress) -> Found:
        from .backends import create
        from .backends.base import Reference
        from .io.images import decode
        from .io.publish import hash_file

        backend, settings = create("flats"), PageSettings()
        artefact = Path(self.artefact)
        if not artefact.exists():
            reference = Path(self.reference)
            backend.prepare([Reference(reference, hash_file(reference))], artefact, settings, progress)
        backend.load(artefact)
        began = time.monotonic()
        backend.color(decode(Path(self.page)), settings, None, progress)
        return _took(time.monotonic() - began)
