"""Real file systems for tests, and small real photos to put on them.

    with Mounts(tmp_path) as mounts:
        card = mounts.exfat("card")

Promises: everything that was mounted is unmounted when the block ends, also after a failure and while
something is still open there. A machine that lacks a tool or the right to mount fails the test in CI and
skips it elsewhere, with a sentence that names what is missing. Does not clean up after a killed process.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from PIL import Image

from command import Run, lote
from shared_data import lacking

# Loop devices may all be in use for a moment, and so may a file system that is being unmounted.
TRIES, PAUSE_S = 20, 0.25
# An image this large costs nothing until it is filled. xfs refuses less than 300 MB.
SMALL, LARGE = 64 << 20, 320 << 20
# The age that photos get: long before any test, so that no rule about files just written applies to them.
LONG_AGO_NS = 1_577_880_000 * 1_000_000_000  # 2020-01-01 12:00 UTC; whole even seconds, which FAT keeps
LATER_NS = LONG_AGO_NS + 3600 * 1_000_000_000
# The figures of a scan that are 0 when nothing has happened.
CHANGES = ("registered", "duplicates", "moved", "changed", "missing", "errors")
# A photo whose times are younger than this when it is hashed is read again.
RACY_S = 2.1


class Mounts:
    """File systems mounted below a folder, each under a name of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mounts"
        self._mounted: list[Path] = []
        self._loops: dict[Path, str] = {}

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            lacking("needs to be root, to mount file systems")
        self.folder.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        for point in reversed(self._mounted.copy()):
            self.unmount(point)

    def exfat(self, name: str) -> Path:
        """A new exFAT file system: it ignores case, has no links, and makes up its inode numbers."""
        return self.plug(self._image(name, SMALL, "mkfs.exfat"), name, "exfat")

    def ntfs(self, name: str) -> Path:
        """A new NTFS file system, in which case matters."""
        return self.plug(self._image(name, SMALL, "mkntfs", "-F", "-Q"), name, "ntfs")

    def ext4(self, name: str) -> Path:
        return self.plug(self._image(name, SMALL, "mkfs.ext4", "-q", "-F"), name, "ext4")

    def btrfs(self, name: str) -> Path:
        return self.plug(self._image(name, LARGE, "mkfs.btrfs", "-q"), name, "btrfs")

    def xfs(self, name: str) -> Path:
        """A new xfs file system with reflinks."""
        return self.plug(self._image(name, LARGE, "mkfs.xfs", "-q", "-m", "reflink=1"), name, "xfs")

    def image(self, name: str) -> Path:
        """The image file of the file system that was made under this name: what a person plugs in."""
        return self.folder / f"{name}.img"

    def plug(self, image: Path, name: str, kind: str) -> Path:
        """Mount the file system in an image (again), at the mount point `name`."""
        point = self._point(name)
        if kind not in ("exfat", "ntfs"):
            self._mount(point, "mount", "-t", kind, "-o", "loop", image, point)
            return point
        needs("losetup")
        device = _retried("losetup", "-f", "--show", image)
        program = "mount.exfat-fuse" if kind == "exfat" else "ntfs-3g"
        try:
            self._mount(point, program, device, point)
        except BaseException:
            _run("losetup", "-d", device)
            raise
        self._loops[point] = device
        return point

    def tmpfs(self, name: str) -> Path:
        point = self._point(name)
        self._mount(point, "mount", "-t", "tmpfs", "-o", "size=64m", "none", point)
        return point

    def bind(self, folder: Path, at: str) -> Path:
        """The same folder at a second place, by the kernel."""
        point = self._point(at)
        self._mount(point, "mount", "--bind", folder, point)
        return point

    def second(self, image: Path, at: str, kind: str) -> Path:
        """A second mount of the loop device on which the file system of an image is mounted already."""
        point = self._point(at)
        device = _checked("losetup", "-n", "-O", "NAME", "-j", image).split()[0]
        self._mount(point, "mount", "-t", kind, device, point)
        return point

    def bindfs(self, folder: Path, at: str) -> Path:
        """The same folder at a second place, by a process: other device, other inode numbers."""
        point = self._point(at)
        self._mount(point, "bindfs", folder, point)
        return point

    def mergerfs(self, branches: list[Path], at: str) -> Path:
        """One pool that shows the files of several folders."""
        point = self._point(at)
        self._mount(point, "mergerfs", ":".join(map(str, branches)), point)
        return point

    def overlay(self, lower: Path, at: str) -> Path:
        """A writable layer over a folder."""
        point = self._point(at)
        upper, work = (self._point(f"{at}-{part}") for part in ("upper", "work"))
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        self._mount(point, "mount", "-t", "overlay", "-o", options, "overlay", point)
        return point

    def unmount(self, point: Path) -> None:
        """As a person unplugs a drive, after what was written has reached it."""
        _run("sync", "--file-system", point)
        for _ in range(TRIES):
            if _run("umount", point).returncode == 0 or not _is_mounted(point):
                break
            time.sleep(PAUSE_S)
        else:
            _checked("umount", "--lazy", point)
        self._mounted.remove(point)
        if (device := self._loops.pop(point, None)) is not None:
            _run("losetup", "-d", device)

    def _point(self, name: str) -> Path:
        point = self.folder / name
        point.mkdir(parents=True, exist_ok=True)
        return point

    def _image(self, name: str, size: int, *program: str) -> Path:
        needs(program[0])
        image = self.image(name)
        with image.open("xb") as file:
            file.truncate(size)
        _checked(*program, image)
        return image

    def _mount(self, point: Path, *program: str | Path) -> None:
        needs(str(program[0]))
        _retried(*program)
        self._mounted.append(point)
        assert _is_mounted(point), f"{program[0]} mounted nothing at {point}"


def needs(program: str) -> None:
    """Give up unless a program is installed, and FUSE allowed if it is of use for that."""
    if shutil.which(program) is None:
        lacking(f"needs the program {program}")
    fuse = program in ("mount.exfat-fuse", "ntfs-3g", "bindfs", "mergerfs")
    if fuse and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        lacking(f"needs /dev/fuse for {program}")


def _is_mounted(point: Path) -> bool:
    # `Path.is_mount` goes by the device number, which a bind mount does not change.
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return str(point) in {line.split()[1] for line in lines}


def _run(*program: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, program)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def _checked(*program: str | Path) -> str:
    done = _run(*program)
    assert done.returncode == 0, f"{program}: {done.stdout}"
    return done.stdout


def _retried(*program: str | Path) -> str:
    """Run what may fail while all loop devices are in use. What it printed."""
    for _ in range(TRIES):
        done = _run(*program)
        if done.returncode == 0:
            break
        if "loop" not in done.stdout:
            lacking(f"needs to mount file systems: {program[0]} said {done.stdout.strip()!r}")
        time.sleep(PAUSE_S)
    else:
        lacking(f"needs a free loop device: {program[0]} said {done.stdout.strip()!r}")
    return done.stdout.strip()


def picture(seed: int, side: int = 48, kind: str = "JPEG") -> bytes:
    """The bytes of a small photo: noise, another for each seed. 48 pixels make about 2 kB."""
    noise = random.Random(seed).randbytes(side * side * 3)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(buffer, kind)
    return buffer.getvalue()


def put(path: Path, content: bytes, *, at_ns: int = LONG_AGO_NS) -> Path:
    """Write a file that was last changed `at_ns` (since 1970), making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(at_ns, at_ns))
    return path


def fill(folder: Path, number: int, first: int = 0, side: int = 48) -> dict[str, bytes]:
    """Put so many different photos into a folder: name -> content."""
    photos = {f"IMG_{seed:04d}.JPG": picture(seed, side) for seed in range(first, first + number)}
    for name, content in photos.items():
        put(folder / name, content)
    return photos


def contents(folder: Path) -> dict[str, bytes]:
    """Every regular file below a folder that is in no trash can: relative path -> content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and not any(part.startswith((".Trash", "lost+found")) for part in path.relative_to(folder).parts)
    }


class Photos:
    """`lote photos ...` with a workspace and a trash can of its own."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self._data = folder / "data"

    def run(self, *arguments: str | Path, code: int | tuple[int, ...] = 0) -> Run:
        """Run `lote photos ARGUMENTS`, which must end with (one of) `code`."""
        run = lote("photos", *arguments, workspace=self.workspace, XDG_DATA_HOME=str(self._data))
        wanted = code if isinstance(code, tuple) else (code,)
        assert run.code in wanted, f"exit code {run.code}, not {code}\n{run.out}\n{run.err}"
        return run

    def json(self, *arguments: str | Path, code: int | tuple[int, ...] = 0) -> dict[str, Any]:
        """The summary of `lote photos ARGUMENTS --json`."""
        return self.run(*arguments, "--json", code=code).summary

    def scan(self, *folders: str | Path, code: int | tuple[int, ...] = 0) -> dict[str, Any]:
        return self.json("scan", *folders, code=code)

    def copies(self) -> tuple[int, int]:
        """How many copies are listed, and the bytes to gain."""
        summary = self.json("duplicates")
        return summary["copies"], summary["gain"]

    def gain(self) -> int:
        """Bytes to gain, as listed."""
        return self.copies()[1]


def figures(summary: dict[str, Any], *names: str) -> dict[str, Any]:
    """Some of the figures in a summary."""
    return {name: summary.get(name, "not said") for name in names}


def news(summary: dict[str, Any], *names: str) -> dict[str, Any]:
    """The figures in the summary of a scan that say that something happened, and the others of these names."""
    return {name: summary[name] for name in names} | {
        name: summary[name] for name in CHANGES if summary[name]
    }


def recase(path: Path, name: str) -> Path:
    """Rename in case only, by a third name: not every system call does it in one step."""
    between = path.rename(path.with_name("between"))
    return between.rename(path.with_name(name))


def copy_on_write(original: Path, clone: Path) -> None:
    """`cp --reflink=always`, by the system call: FICLONE of linux/fs.h."""
    import fcntl

    with original.open("rb") as source, clone.open("wb") as target:
        fcntl.ioctl(target, 0x40049409, source.fileno())
    shutil.copystat(original, clone)


def bindfs_ways(mounts: Mounts) -> tuple[Path, Path]:
    library = mounts.folder / "library"
    library.mkdir()
    return library, mounts.bindfs(library, "view")


def bindfs_of_exfat_ways(mounts: Mounts) -> tuple[Path, Path]:
    library = mounts.exfat("library")
    return library, mounts.bindfs(library, "view")


def mergerfs_ways(mounts: Mounts) -> tuple[Path, Path]:
    branches = [mounts.folder / "branch", mounts.folder / "other-branch"]
    for branch in branches:
        branch.mkdir()
    return branches[0], mounts.mergerfs(branches, "pool")


def second_mount_ways(mounts: Mounts) -> tuple[Path, Path]:
    library = mounts.ext4("library")
    return library, mounts.second(mounts.image("library"), "second", "ext4")


def bind_ways(mounts: Mounts) -> tuple[Path, Path]:
    library = mounts.folder / "library"
    library.mkdir()
    return library, mounts.bind(library, "view")


# How the same files can be seen on two ways: makes the set-up, and gives the folder and the other way to it.
Ways = Callable[[Mounts], tuple[Path, Path]]
TWO_WAYS: list[Ways] = [bindfs_ways, bindfs_of_exfat_ways, mergerfs_ways, second_mount_ways, bind_ways]


def with_copies(library: Path) -> tuple[Path, dict[str, bytes]]:
    """A library whose folder `Originals` holds some photos twice; and what must be left of it all."""
    one, two, three, four = (picture(seed) for seed in range(4))
    kept = {
        "Originals/one.jpg": one,
        "Originals/sub/one.jpg": one,
        "Originals/two.jpg": two,  # a group wholly inside
        "Originals/sub/two.jpg": two,
        "Originals/three.jpg": three,  # younger and longer than its copy
        "elsewhere/four.jpg": four,  # a group wholly outside
        "other/four.jpg": four,
    }
    for name, content in kept.items():
        put(library / name, content, at_ns=LATER_NS)
    put(library / "elsewhere" / "one.jpg", one)
    put(library / "3.jpg", three)
    return library / "Originals", kept


def results(run: Run, card: Path) -> dict[str, str]:
    """Relative path -> what `known --json` says of it. Every file has one line; the counts sum up to all."""
    lines = run.events[:-1]
    said = {os.path.relpath(event["path"], card): event["result"] for event in lines}
    counts = {name: count for name, count in run.summary.items() if type(count) is int}
    assert (counts.pop("files", len(lines)), sum(counts.values())) == (len(said), len(said))
    assert (len(lines), counts["known"]) == (len(said), list(said.values()).count("known"))
    return said
