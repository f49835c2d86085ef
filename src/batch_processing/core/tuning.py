"""What fits this machine: workers, readers, the size of a batch, the memory of a worker; from what was measured here.

`decide` is the rule, from measurements to settings, and nothing but that. `lote doctor --tune` measures (`measuring`) and
stores both in the workspace: it is the one folder of Lote that never leaves a machine's own disk, where a configuration file
travels with a series. Promises: what was set by a person always wins; what was measured on another machine, or on this one
when it had other processors or memory, is not used; settings that are decided never need more memory than was to be had.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import reason
from ..io.publish import SaveFile
from ..memory import MemoryManager
from ..messages import Message
from ..reading import json_of, read_whole
from .plain import from_plain, to_plain
from .processes import cores

if TYPE_CHECKING:
    from .workspace import Workspace

FILE = "tuning.json"
_LARGEST_FILE = 1 << 20
VERSION = 1

# Of the memory that may be used, this is what workers get; the rest is for the page cache, without which nothing is fast,
# and for other programs.
MEMORY_SHARE = 0.75
# What the process that runs a job holds: 85 MB with a chapter, 250 MB in a scan of a million photos.
COORDINATOR = 250 << 20
# Pages and photos differ: a page of twice the area of the one that was measured needs about half as much again.
MARGIN = 1.5
# No worker needs more, whatever it works at (`comics.application.WORKER_MEMORY`).
MOST_WORKER_MEMORY = 6 << 30
# A worker with less cannot even begin.
LEAST_WORKER_MEMORY = 128 << 20
# More readers or workers are taken if they bring so much more; fewer leave the disk to others.
WORTH = 1.05
# Three batches share a commit; of the time of a scan commits may take this share.
COMMIT_SHARE = 0.05
BATCHES_A_COMMIT = 3
# A killed scan reads up to three batches again: this many seconds of one.
MOST_BATCH_S = 10.0
LEAST_BATCH, MOST_BATCH, BATCH_STEP = 25, 1000, 25
# Total memory as the kernel tells it moves by some megabytes with its version.
SAME_MEMORY = 0.05


@dataclass(frozen=True)
class Machine:
    """What may be used here: processors, and memory in bytes."""

    cpus: int
    memory: int

    @classmethod
    def here(cls) -> Machine:
        return cls(cores(), MemoryManager().total_bytes())

    def is_like(self, other: Machine) -> bool:
        """Whether what was measured on the one holds for the other."""
        return self.cpus == other.cpus and abs(self.memory - other.memory) <= SAME_MEMORY * max(
            self.memory, other.memory
        )


@dataclass(frozen=True)
class Rate:
    """How fast `count` of something, readers or workers, are together: a second, in the unit of what holds it."""

    count: int
    rate: float


@dataclass(frozen=True)
class Disk:
    """A file system: what so many readers read and hash of it, in bytes a second; photos a second at the best of these, and
    what a commit of the ledger takes there, in seconds, where that was measured."""

    mount: str
    file_system: str
    readers: tuple[Rate, ...]
    photos_rate: float
    commit_seconds: float | None = None


@dataclass(frozen=True)
class Memory:
    """What one worker took: the most memory it held, and the most address space it had reserved, in bytes."""

    peak: int
    reserved: int


@dataclass(frozen=True)
class Measured:
    """What `measuring` found. `hash_rate`: bytes a second of one core; `photos_looked`: photos of 12 megapixels a second of
    one core; `pages`: pages a second of so many workers. None and empty where it was not to be had, for the reasons in
    `left_out`. `available`: bytes of memory that were to be had then; `busy`: the share of all processors that other programs
    used before, 0 to 1; `seconds`: what measuring took."""

    machine: Machine
    available: int
    hash_rate: float | None = None
    photos_looked: float | None = None
    look_memory: Memory | None = None
    pages: tuple[Rate, ...] = ()
    page_memory: Memory | None = None
    disks: tuple[Disk, ...] = ()
    busy: float = 0.0
    seconds: float = 0.0
    left_out: tuple[Message, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Whether speeds were those of this machine, and not what other programs left of it."""
        return self.busy <= QUIET


@dataclass(frozen=True)
class DiskReaders:
    """How many processes read photos from a file system."""

    mount: str
    readers: int


@dataclass(frozen=True)
class Tuned:
    """What fits: pages coloured at once, bytes of address space of each of their workers (None: nothing was measured), photos
    looked at once, photos in a batch, readers by file system."""

    workers: int
    worker_memory: int | None
    lookers: int
    batch_size: int
    readers: tuple[DiskReaders, ...]


@dataclass(frozen=True)
class Tuning:
    """What is stored. `at`: seconds since 1970."""

    version: int
    at: float
    measured: Measured
    tuned: Tuned


# Other programs may have this share of the processors while it is measured which number of workers or readers is best.
QUIET = 0.25
# Where there was no time to measure: a page of two megapixels with flats, a photo of twelve.
TYPICAL_PAGE = Memory(280 << 20, 1100 << 20)
TYPICAL_LOOK = Memory(100 << 20, 900 << 20)

# -- the rule -----------------------------------------------------------------------------------------


def decide(measured: Measured) -> Tuned:
    """The settings that fit what was measured. Where that was disturbed, memory alone decides."""
    room, cpus = _room(measured.machine), measured.machine.cpus
    page, look = measured.page_memory or TYPICAL_PAGE, measured.look_memory or TYPICAL_LOOK
    workers = _enough(_up_to(measured.pages if measured.is_quiet else (), _fitting(room, page, cpus)))
    # The limit is one of address space, of which a part is reserved and never held.
    idle = max(0, page.reserved - page.peak)
    least = min(LEAST_WORKER_MEMORY, measured.machine.memory)
    return Tuned(
        workers,
        min(MOST_WORKER_MEMORY, max(least, room // workers) + idle),
        _fitting(room, look, cpus),
        _batch(measured.disks),
        tuple(
            DiskReaders(disk.mount, _enough(disk.readers))
            for disk in measured.disks
            if disk.readers and measured.is_quiet
        ),
    )


def _room(machine: Machine) -> int:
    """Bytes for all workers together."""
    return max(0, int(machine.memory * MEMORY_SHARE) - COORDINATOR)


def _fitting(room: int, memory: Memory, cpus: int) -> int:
    """How many workers there is memory for: one at least, and not more than processors."""
    return max(1, min(cpus, int(room // max(LEAST_WORKER_MEMORY, memory.peak * MARGIN))))


def _up_to(rates: Sequence[Rate], most: int) -> list[Rate]:
    """What was measured, without what there is no memory for; and what the most that there is memory for would do."""
    known = sorted((rate for rate in rates if rate.count <= most), key=lambda rate: rate.count)
    above = min((rate for rate in rates if rate.count > most), key=lambda rate: rate.count, default=None)
    if not known:
        return [Rate(most, 1.0)]
    last = known[-1]
    if last.count < most:
        # As much for each as so many have, or between these and more of them.
        share = (
            last.rate / last.count if above is None else (above.rate - last.rate) / (above.count - last.count)
        )
        known.append(Rate(most, last.rate + (most - last.count) * share))
    return known


def _enough(rates: Sequence[Rate]) -> int:
    """The fewest that are nearly as fast as the fastest."""
    best = max(rate.rate for rate in rates)
    return min(rate.count for rate in rates if rate.rate * WORTH >= best)


def _batch(disks: Sequence[Disk]) -> int:
    """Photos in a batch: so many that commits do not count, so few that little is read again after a kill."""
    sizes = []
    for disk in disks:
        if disk.photos_rate <= 0:
            continue
        commit = next((other.commit_seconds for other in (disk, *disks) if other.commit_seconds), 0.0)
        worth = disk.photos_rate * commit / COMMIT_SHARE / BATCHES_A_COMMIT
        wanted = min(max(worth, 100.0), disk.photos_rate * MOST_BATCH_S)
        sizes.append(min(MOST_BATCH, max(LEAST_BATCH, round(wanted / BATCH_STEP) * BATCH_STEP)))
    return min(sizes, default=100)


# -- what is stored -----------------------------------------------------------------------------------


def store(workspace: Workspace, measured: Measured) -> Tuning:
    """Decide, and keep it for the next runs."""
    tuning = Tuning(VERSION, time.time(), measured, decide(measured))
    workspace.ensure()
    with SaveFile(path_of(workspace), within=workspace.root) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(to_plain(tuning), indent=1).encode())
    return tuning


def path_of(workspace: Workspace) -> Path:
    return workspace.root / FILE


def stored(workspace: Workspace) -> Tuning | Message | None:
    """What was stored, whether it holds here or not; why it cannot be read; None where nothing was ever measured."""
    try:
        tuning = from_plain(Tuning, json_of(read_whole(path_of(workspace), _LARGEST_FILE)))
        # By the rule of this version: what stands in the file is for people.
        tuning = replace(tuning, tuned=decide(tuning.measured))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return Message(
            "{file} cannot be read ({reason}): `lote doctor --tune` makes it anew",
            file=path_of(workspace),
            reason=reason(error),
        )
    if tuning.version != VERSION:
        return Message("it was measured by another version of Lote: `lote doctor --tune` measures again")
    return tuning


def tuning_of(workspace: Workspace) -> Tuning | Message | None:
    """What was measured and holds here; why it does not, to be said; None where nothing was ever measured."""
    found = stored(workspace)
    here = Machine.here()
    if isinstance(found, Tuning) and not found.measured.machine.is_like(here):
        return Message(
            "it was measured with {cores} cores and {memory} MB of memory, and here are {cores_now} and {memory_now} MB: "
            "`lote doctor --tune` measures again",
            cores=found.measured.machine.cpus,
            memory=found.measured.machine.memory // 1_000_000,
            cores_now=here.cpus,
            memory_now=here.memory // 1_000_000,
        )
    return found


def tuned(workspace: Workspace) -> Tuned:
    """What holds here: as it was measured, else as it is built in: one worker for each core, batches of 100."""
    found = tuning_of(workspace)
    if isinstance(found, Tuning):
        # Who has less memory free than there was (other programs) has it watched by the engine, page by page.
        return replace(found.tuned, workers=min(found.tuned.workers, cores()))
    return Tuned(cores(), None, cores(), 100, ())


def readers_for(workspace: Workspace, roots: Sequence[str]) -> int | None:
    """How many processes read photos below these folders; None where one of their file systems was never measured."""
    known = {disk.mount: disk.readers for disk in tuned(workspace).readers}
    found = [known.get(mount_of(Path(root))) for root in roots]
    counts = [count for count in found if count is not None]
    return min(counts) if counts and len(counts) == len(found) else None


def mount_of(folder: Path) -> str:
    """Where the file system that holds a folder begins."""
    path = os.path.realpath(folder)
    while not os.path.ismount(path):
        path = str(Path(path).parent)
    return path
