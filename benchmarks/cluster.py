"""What a cluster costs, and how soon it notices what happens to it: the table of docs/cluster.md.

    sudo python benchmarks/cluster.py               three machines of two slots, out of namespaces (tests/machines.py)
    sudo python benchmarks/cluster.py --slots 32    and how long so many slots take to come up
    sudo python benchmarks/cluster.py --only pause  the rows in whose names that word is

Machines of namespaces share this machine's processors: what work takes is sleep, so that slots do not take each other's time, and
rates are ratios against the same work on this machine, in turns within one run. Each row says what must hold, and whether it did.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from batch_processing.core.cluster.pool import ClusterPool
from batch_processing.core.cluster.slots import Wanted
from batch_processing.core.model import Wish
from batch_processing.core.workers import LocalPool, Pool, Task, in_pool
from batch_processing.core.workspace import Workspace

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from cluster_jobs import Job, until  # type: ignore[import-not-found]
from core.engine_tasks import Call, Mix  # type: ignore[import-not-found]
from machines import Machines, missing  # type: ignore[import-not-found]

PAGE = 500_000  # bytes
PATIENCE_S = 120.0
BUSY = ("ray::Agent", "lote worker")


class Table:
    """Prints rows as they are measured."""

    def __init__(self, only: str) -> None:
        self._only, self.missed = only, 0

    def wants(self, name: str) -> bool:
        return self._only in name

    def row(self, name: str, value: float, unit: str, must: float, *, at_least: bool = False) -> None:
        holds = value >= must if at_least else value <= must
        self.missed += not holds
        limit = f"{'at least' if at_least else 'at most'} {must:g}"
        print(f"{name:<58} {value:>8.2f} {unit:<3} {limit:>14}  {'' if holds else 'MISSED'}", flush=True)


def seconds_of(pool: Pool, tasks: Sequence[Task]) -> float:
    began = time.monotonic()
    for results in in_pool(pool, tasks):
        for result in results:
            assert result.failure is None, result.failure
    return time.monotonic() - began


def wait_for_slots(pool: Pool, count: int, patience_s: float = PATIENCE_S) -> float:
    began = time.monotonic()
    while pool.free < count:
        assert pool.completed(0.02) == []
        assert time.monotonic() - began < patience_s, f"{pool.slots} slots of {count}"
    return time.monotonic() - began


def first_slot(machines: Machines, table: Table) -> None:
    for name in ("first slot ready", "first slot ready, again"):
        with closing(ClusterPool(machines.address, Wanted(1))) as pool:
            table.row(name, wait_for_slots(pool, 1), "s", 10)


def efficiency(machines: Machines, table: Table) -> None:
    """Sleep in four slots, here and there, in turns."""
    tasks = [Task(str(number), Call("hang", {"seconds": 0.5})) for number in range(24)]
    with closing(ClusterPool(machines.address, Wanted(4))) as there, closing(LocalPool(4)) as here:
        wait_for_slots(there, 4)
        ratios = []
        for _ in range(4):
            local, cluster = seconds_of(here, tasks), seconds_of(there, tasks)
            ratios.append(local / cluster)
        table.row(
            "efficiency of 4 slots against this machine",
            statistics.median(ratios[1:]),
            "",
            0.9,
            at_least=True,
        )


def pages(folder: Path, count: int) -> list[Task]:
    """Tasks that read and write a page each."""
    (folder / "out").mkdir(parents=True)
    content = os.urandom(PAGE)
    tasks = []
    for number in range(count):
        (folder / f"{number}.png").write_bytes(content)
        names = (f"{number}.png", f"{number}.cache", f"{number}.small", f"out/.{number}.part", "out")
        source, cache, small, part, out = (str(folder / name) for name in names)
        Path(small).mkdir()
        tasks.append(Task(str(number), Mix(source, None, cache, small, part, out)))
    return tasks


def page(machines: Machines, table: Table, folder: Path) -> None:
    """One slot, so that nothing is hidden behind the work of another."""
    count, added = 30, []
    with closing(ClusterPool(machines.address, Wanted(1))) as there, closing(LocalPool(1)) as here:
        wait_for_slots(there, 1)
        for turn in range(4):
            local = seconds_of(here, pages(folder / f"here{turn}", count))
            cluster = seconds_of(there, pages(folder / f"there{turn}", count))
            added.append((cluster - local) / count * 1000)
    table.row("added to a page of 0.5 MB", statistics.median(added[1:]), "ms", 30)


def no_op(machines: Machines, table: Table, folder: Path) -> None:
    """Items that do nothing, through the ledger: what more of them take, here and there."""
    taken = {}
    for address in ("", machines.address):
        for count in (50, 450):
            with Job(folder / f"{bool(address)}{count}", address, count, 0.0, slots=4) as job:
                job.end(PATIENCE_S)
                ((begun, ended),) = job.query("SELECT started_at, finished_at FROM job")
                taken[address, count] = ended - begun
    here, there = (
        (taken[address, 450] - taken[address, 50]) / 400 * 1000 for address in ("", machines.address)
    )
    table.row("added to an item that does nothing, through the ledger", there - here, "ms", 5)
    print(f"    ({there:.2f} ms each; {here:.2f} on this machine alone)")


@contextmanager
def running(machines: Machines, folder: Path, seconds: float) -> Iterator[Job]:
    """A job that is well under way on all six slots."""
    machines.mend(3)
    with Job(folder, machines.address, 400, seconds) as job:
        until(lambda: job.done >= 1, PATIENCE_S)
        until(lambda: all(machines.processes(name, "ray::Agent") for name in machines.names), PATIENCE_S)
        time.sleep(2.0)
        yield job


def noticed(machines: Machines, table: Table, folder: Path, name: str, fate: Callable[[str], None]) -> None:
    with running(machines, folder, 3.0) as job:
        before = job.losses
        fate(machines.names[0])
        after = until(lambda: job.losses > before, PATIENCE_S)
        time.sleep(1.0)
        table.row(f"{name}: noticed after", after, "s", 20)
        table.row(f"{name}: items lost", job.losses - before, "", 2)
        ((blamed,),) = job.query("SELECT sum(deaths) FROM item")
        table.row(f"{name}: items blamed", blamed, "", 0)


def wish(job: Job, what: Wish, state: str) -> float:
    """Have it paused or cancelled; how long that takes, in seconds."""
    workspace = Workspace(job.folder / "ws")
    began = time.monotonic()
    workspace.ledger.want(1, what)
    until(lambda: job.state == state, PATIENCE_S)
    return time.monotonic() - began


def wishes(machines: Machines, table: Table, folder: Path) -> None:
    with running(machines, folder / "wishes", 0.2) as job:
        table.row("pause", wish(job, Wish.PAUSE, "paused"), "s", 1)
        done = job.done
        Workspace(job.folder / "ws").ledger.want(1, Wish.RUN)
        until(lambda: job.done > done, PATIENCE_S)
        table.row("cancel", wish(job, Wish.CANCEL, "cancelled"), "s", 1)
    with running(machines, folder / "cut off", 6.0) as job:
        machines.unplug(machines.names[0])
        table.row("cancel with a machine cut off", wish(job, Wish.CANCEL, "cancelled"), "s", 6)


def coordinator(machines: Machines, table: Table, folder: Path) -> None:
    with running(machines, folder, 1.0) as job:
        job.process.kill()
        after = until(
            lambda: not any(machines.processes(name, word) for name in machines.names for word in BUSY),
            PATIENCE_S,
        )
        table.row("coordinator killed: until no process is left", after, "s", 15)


def many_slots(count: int, table: Table) -> None:
    with (
        Machines(3, slots=-(-count // 3)) as machines,
        closing(ClusterPool(machines.address, Wanted(count))) as pool,
    ):
        before = _cpu_seconds()
        table.row(f"{count} slots ready", wait_for_slots(pool, count, 5 * PATIENCE_S), "s", 20)
        print(
            f"    (the machine's processors were busy for {(_cpu_seconds() - before) / count:.1f} s a slot)"
        )


def _cpu_seconds() -> float:
    """Of everything on this machine."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slots", type=int, default=0)
    parser.add_argument("--only", default="", metavar="WORD")
    options = parser.parse_args()
    if (why := missing()) is not None:
        print(why, file=sys.stderr)
        return 2
    table = Table(options.only)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before\n")
    with Machines(3, slots=2) as machines, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows: dict[str, Callable[[], None]] = {
            "first slot": lambda: first_slot(machines, table),
            "efficiency": lambda: efficiency(machines, table),
            "page": lambda: page(machines, table, folder / "pages"),
            "no-op": lambda: no_op(machines, table, folder / "no-op"),
            "killed": lambda: noticed(machines, table, folder / "killed", "machine killed", machines.kill),
            "cable": lambda: noticed(machines, table, folder / "cable", "cable cut", machines.unplug),
            "pause and cancel": lambda: wishes(machines, table, folder),
            "coordinator": lambda: coordinator(machines, table, folder / "coordinator"),
        }
        for name, measure in rows.items():
            if table.wants(name):
                measure()
    if options.slots:  # with nothing else beside them
        many_slots(options.slots, table)
    print(f"\nload {os.getloadavg()[0]:.1f} after")
    return int(table.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
