"""What `lote doctor --tune` decides on machines as people have them, on this one with limits: control groups for memory and
processors, a throttled loop device for disks.

    python benchmarks/tuning.py            all of them, as a table; needs root on Linux, some six minutes
    python benchmarks/tuning.py MACHINE    one

A throttled device gives only so many bytes and requests a second. That a rotating disk becomes slower with every reader, and
that each request to a drive in the network waits by itself, would need device-mapper (`dm-delay`), which not every kernel
has; what the rule says of such measurements is in tests/monitoring/test_tuning.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from batch_processing.core.plain import from_plain
from batch_processing.core.tuning import FILE, Tuning, store
from batch_processing.core.workspace import Workspace
from batch_processing.measuring import Page, measure
from batch_processing.ui.sample import sample_page

GROUPS = Path("/sys/fs/cgroup")
MB, GB = 1_000_000, 1_000_000_000


@dataclass(frozen=True)
class Machine:
    """Limits: bytes, processors, bytes and requests a second that a disk gives. None: as here."""

    memory: int | None = None
    cpus: float | None = None
    disk_rate: int | None = None
    disk_requests: int | None = None


MACHINES = {
    "this machine, as it is": Machine(),
    "1 GB": Machine(memory=1 * GB),
    "1 processor": Machine(cpus=1.0),
    "rotating, 120 MB/s, 150 requests/s": Machine(disk_rate=120 * MB, disk_requests=150),
    "drive in a network of 100 Mbit/s": Machine(disk_rate=11 * MB),
    "small: 1 GB, 1 processor, rotating": Machine(1 * GB, 1.0, 120 * MB, 150),
}


@contextmanager
def disk(folder: Path) -> Iterator[tuple[Path, str]]:
    """A file system on a loop device: where it is mounted, and the numbers of its device."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(20 * GB)  # sparse
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    device = subprocess.run(
        ["losetup", "--find", "--show", "--direct-io=on", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        subprocess.run(["mount", device, mount], check=True)
        try:
            number = Path(device).stat().st_rdev
            yield mount, f"{os.major(number)}:{os.minor(number)}"
        finally:
            subprocess.run(["umount", "--lazy", mount], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def groups(machine: Machine, device: str) -> Iterator[list[Path]]:
    """Control groups with these limits: the files into which a process writes itself."""
    made: list[Path] = []
    name = f"lote-tuning-{os.getpid()}-{device.replace(':', '-')}"
    v2 = (GROUPS / "cgroup.controllers").exists()
    # Of a machine that does other things, too, it takes what it needs.
    share = {"cpu.weight": "10000"} if v2 else {"cpu.shares": "100000"}
    files: dict[str, dict[str, str]] = {"memory": {}, "cpu": share, "blkio": {}}
    if machine.memory is not None:
        files["memory"]["memory.max" if v2 else "memory.limit_in_bytes"] = str(machine.memory)
    if machine.cpus is not None:
        quota = str(int(machine.cpus * 100_000))
        files["cpu"] |= (
            {"cpu.max": f"{quota} 100000"}
            if v2
            else {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": quota}
        )
    limits = {"r": (machine.disk_rate, "bps"), "ri": (machine.disk_requests, "iops")}
    for key, (limit, unit) in limits.items():
        if limit is not None and v2:
            files["blkio"]["io.max"] = f"{files['blkio'].get('io.max', device)} {key[0]}{unit}={limit}"
        elif limit is not None:
            files["blkio"][f"blkio.throttle.read_{unit}_device"] = f"{device} {limit}"
    try:
        for controller, settings in files.items():
            group = GROUPS / (name if v2 else f"{controller}/{name}")
            if group not in made:
                group.mkdir()
                made.append(group)
            for file, text in settings.items():
                (group / file).write_text(text)
        yield [group / "cgroup.procs" for group in made]
    finally:
        for group in made:
            for _ in range(50):  # the last process of it is just leaving
                with suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.1)


def tuning_on(machine: Machine) -> Tuning:
    """Run the command within the limits of a machine; what it stored."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mount, device = stack.enter_context(disk(folder))
        joined = stack.enter_context(groups(machine, device))

        def join() -> None:
            for file in joined:
                file.write_text(str(os.getpid()))

        workspace = mount / "ws"
        subprocess.run(
            [sys.executable, __file__, "--inside", workspace],
            check=True, stdout=subprocess.DEVNULL, preexec_fn=join,
        )  # fmt: skip
        return from_plain(Tuning, json.loads((workspace / FILE).read_bytes()))


def inside(workspace: Path) -> None:
    """What the command does, with all the time that it needs, and as if there was no other work."""
    opened = Workspace(workspace)
    measured = measure(opened, lambda folder: Page(*sample_page(folder)), limit_s=300.0)
    store(opened, replace(measured, busy=0.0))


def row(name: str, tuning: Tuning) -> str:
    """A line of the table in docs/monitoring.md."""
    measured, tuned = tuning.measured, tuning.tuned
    rates = measured.disks[0].readers if measured.disks else ()
    speeds = ", ".join(f"{rate.count}: {rate.rate / MB:.0f}" for rate in rates)
    pages = ", ".join(f"{rate.count}: {rate.rate * 60:.3g}" for rate in measured.pages)
    readers = tuned.readers[0].readers if tuned.readers else "–"
    memory = f"{tuned.worker_memory / GB:.2g} GB" if tuned.worker_memory else "–"
    return (
        f"| {name} | {speeds or '–'} | {pages or '–'} | {readers} | {tuned.workers} | {memory} | {tuned.lookers} | "
        f"{tuned.batch_size} |"
    )


def main() -> None:
    if os.geteuid() or not shutil.which("losetup"):
        raise SystemExit("This needs root, losetup and mkfs.ext4, on Linux.")
    if sys.argv[1:2] == ["--inside"]:
        inside(Path(sys.argv[2]))
        return
    wanted = sys.argv[1:] or list(MACHINES)
    print(
        "| Machine | MB/s read, by readers | pages a minute, by workers | readers | workers | memory of each | looking | a batch |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in wanted:
        print(row(name, tuning_on(MACHINES[name])), flush=True)


if __name__ == "__main__":
    main()
