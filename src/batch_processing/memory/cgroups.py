"""What the control groups around this process allow it, of memory and of processors (cgroup v1 and v2).

Inside a container the groups' paths are those of the host, and the mount shows only its own: missing ones are passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")  # where proc and sys are mounted


def memory_limits() -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of every memory group around this process, innermost first.

    Page cache that is not in use counts as free, because the kernel drops it first."""
    for folder, version in _groups("memory"):
        if version == 2:
            limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
            cache = "inactive_file"
        else:
            limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
            cache = "total_inactive_file"
        if limit is not None and used is not None:
            yield limit, max(0, used - _stat(folder / "memory.stat", cache))


def cpu_quota() -> float | None:
    """Processors that the tightest group lets this process use at once, such as 1.5; None where none limits them."""
    quotas = []
    for folder, version in _groups("cpu"):
        if version == 2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # else "max", or -1
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """The folders of every group of that controller around this process, innermost first, and the version of each."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    mount = _ROOT / "sys/fs/cgroup"
    for line in lines:
        _, controllers, group = line.split(":", 2)
        path = Path(group.lstrip("/"))
        if controllers == "":
            base, version = mount, 2
        elif controller in controllers.split(","):
            base, version = mount / controller, 1
        else:
            continue
        for folder in (path, *path.parents) if path.parts else (path,):
            yield base / folder, version


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):  # not there, not ours to read
        return ""


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() else None  # else "max"


def _stat(file: Path, name: str) -> int:
    for line in _text(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0
