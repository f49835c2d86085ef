"""How many photos some folders hold, counted ahead of their first scan.

Promises: never waits, never fails a scan (a counter that cannot be started, or dies, says nothing), and leaves no
process behind. Opens no photo; it goes by names as the scan does (`kinds.py`), and heeds `.nomedia`. Does not heed
`.lote-ignore` and patterns: where there are such rules it counts more than the scan will see.

Also the program of the child that counts. Only what it needs is imported (`kinds.py`, and what that imports): it counts
while a whole scan is at work, and is to cost little.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from .kinds import Kind, extension_of, folder_reason, is_package, is_side_file, kind_of
from .reading import ALONE, FOLDERS, NICENESS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

# How often the child says how far it is.
REPORT_EVERY_S = 0.25
# Files between two looks at the clock, which costs as much as a tenth of one.
FILES = 64
# From this share of the folders on, the total is estimated.
LEAST_FRACTION = 0.01
_PROGRAM = f"{ALONE}from lote.photos import counting; counting.serve(sys.argv[3] == 'videos', sys.argv[4:])"


@dataclass(frozen=True, slots=True)
class Totals:
    """What has been counted so far."""

    photos: int
    bytes: int  # a file with several names counts once
    is_final: bool
    fraction: float  # of the folders, 0 to 1; each folder's share is divided equally among itself and its subfolders

    @property
    def is_estimable(self) -> bool:
        """Whether enough is counted to say what there will be in all."""
        return self.is_final or self.fraction >= LEAST_FRACTION

    @property
    def total_photos(self) -> int:
        """Photos in all: estimated until the count is final."""
        return self.photos if self.is_final else round(self.photos / max(self.fraction, LEAST_FRACTION))

    @property
    def total_bytes(self) -> int:
        """Bytes in all, likewise."""
        return self.bytes if self.is_final else round(self.bytes / max(self.fraction, LEAST_FRACTION))


class CountAhead:
    """A process that counts the photos below some folders while they are scanned."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._output = -1  # the descriptor of what it says
        self._heard = b""
        self._totals: Totals | None = None

    def start(self, roots: Sequence[bytes], videos: bool = False) -> None:
        """Begin to count below `roots` (absolute paths). Does nothing where no process can be started."""
        from ..core.processes import start_lean  # not in the child, which has no package
        from ..exceptions import ResourceError

        kinds = "videos" if videos else "photos"
        with suppress(ResourceError):
            self._process, self._output = start_lean(
                _PROGRAM, *FOLDERS, kinds, *roots, name="lote counter of photos", is_asked=False
            )
            os.set_blocking(self._output, False)

    def poll(self) -> Totals | None:
        """What was counted so far; None while nothing is known, and when the counter died. Never waits."""
        if self._process is None:
            return self._totals
        try:
            while data := os.read(self._output, 1 << 16):
                self._heard += data
        except BlockingIOError:
            self._take_in()
            return self._totals
        self._take_in()  # it has ended: with its last word, or of something
        if self._totals is not None and not self._totals.is_final:
            self._totals = None
        self.close()
        return self._totals

    def _take_in(self) -> None:
        *lines, self._heard = self._heard.split(b"\n")
        if lines:
            photos, size, fraction, final = lines[-1].split()
            self._totals = Totals(int(photos), int(size), final == b"1", float(fraction))

    def close(self) -> None:
        """End the counter, if it is still at work. What it said last stays."""
        if (process := self._process) is not None:
            self._process = None
            from ..core.processes import end

            end(process)


def serve(videos: bool, roots: Sequence[str]) -> None:
    """The life of the child: count below `roots`, and write lines "photos bytes fraction final" to stdout. It ends with
    its work, or when nobody listens any more."""
    os.nice(NICENESS)
    output = sys.stdout.buffer
    counter = _Counter({Kind.PHOTO, Kind.VIDEO} if videos else {Kind.PHOTO})
    told = time.monotonic()
    with suppress(BrokenPipeError):
        for _ in counter.count([os.fsencode(root) for root in roots]):
            if (now := time.monotonic()) - told >= REPORT_EVERY_S:
                told = now
                _tell(output, counter, final=False)
        _tell(output, counter, final=True)


def _tell(output: BinaryIO, counter: _Counter, *, final: bool) -> None:
    fraction = 1.0 if final else min(counter.done, 1.0)
    output.write(b"%d %d %.6f %d\n" % (counter.photos, counter.bytes, fraction, final))
    output.flush()


class _Counter:
    def __init__(self, kinds: set[Kind]) -> None:
        self.photos = 0
        self.bytes = 0
        self.done = 0.0  # share of the folders
        self._kinds = kinds
        self._links: dict[tuple[int, int], int] = {}  # names of a file that are still to come

    def count(self, roots: Sequence[bytes]) -> Iterator[None]:
        """Count, giving the caller a turn every few files. In the order of the scan, which then finds what it asks for
        in the system's caches."""
        for root in roots:
            stack = [(root, 1.0 / len(roots), is_package(os.path.basename(root)))]  # noqa: PTH119 - bytes
            while stack:
                yield from self._folder(*stack.pop(), stack)

    def _folder(
        self, folder: bytes, share: float, in_package: bool, stack: list[tuple[bytes, float, bool]]
    ) -> Iterator[None]:
        files: list[os.DirEntry[bytes]] = []
        subfolders: list[bytes] = []
        with (
            suppress(OSError),
            os.scandir(folder) as listing,
        ):  # one that cannot be listed is empty to a scan, too
            for entry in listing:
                if entry.name == b".nomedia":
                    files, subfolders = [], []
                    break
                self._sort(entry, in_package, files, subfolders)
        share /= max(1, len(subfolders) + bool(files))
        for number, entry in enumerate(files, 1):
            self._add(entry)
            if number % FILES == 0:
                self.done += share * FILES / len(files)
                yield
        if files:
            self.done += share * (len(files) % FILES) / len(files)
        elif not subfolders:
            self.done += share
        yield
        stack.extend(
            (os.path.join(folder, name), share, in_package or is_package(name))  # noqa: PTH118 - bytes
            for name in sorted(subfolders, reverse=True)
        )

    def _sort(
        self,
        entry: os.DirEntry[bytes],
        in_package: bool,
        files: list[os.DirEntry[bytes]],
        subfolders: list[bytes],
    ) -> None:
        with suppress(OSError):  # where listings do not say what is a folder
            if entry.is_dir(follow_symlinks=False):
                if folder_reason(entry.name, in_package=in_package) is None:
                    subfolders.append(entry.name)
            elif kind_of(extension_of(entry.name)) in self._kinds and entry.is_file(follow_symlinks=False):
                files.append(entry)

    def _add(self, entry: os.DirEntry[bytes]) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return
        if not status.st_size or is_side_file(entry.path, entry.name):
            return
        self.photos += 1
        if status.st_nlink > 1:
            key = status.st_dev, status.st_ino
            to_come = self._links.pop(key, 0)
            if to_come != 1:
                self._links[key] = (to_come or status.st_nlink) - 1
            if to_come:
                return
        self.bytes += status.st_size
