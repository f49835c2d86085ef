"""Work for tests of the engine: `Call(name, args)` calls one of the functions here in a worker."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batch_processing.core.files import CACHED, FILLED, READ, ROOT, SHARED, WRITTEN
from batch_processing.core.workers import Progress, Written
from batch_processing.exceptions import ImageProcessingError, ResourceError
from batch_processing.io.publish import write_part


@dataclass(frozen=True)
class Call:
    """`globals()[name](progress, **args)`."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)

    def run(self, progress: Progress) -> object:
        found: object = globals()[self.name](progress, **self.args)
        return found


@dataclass(frozen=True)
class Write(Call):
    """`write` to `part`, alone or together with others; `how` "together" is a fault that only shows in company."""

    name: str = "write"
    part: str = field(default="", metadata=WRITTEN)

    def run(self, progress: Progress) -> Written:
        return write(progress, part=self.part, **self.args)

    @classmethod
    def run_together(cls, progress: Progress, works: Sequence[Write]) -> list[Written | ImageProcessingError]:
        if any(work.args.get("how") == "together" for work in works):
            raise KeyError("together")
        found: list[Written | ImageProcessingError] = []
        for work in works:
            try:
                found.append(replace(work.run(progress), details={"together": len(works)}))
            except ImageProcessingError as error:
                found.append(error)
        return found


def echo(progress: Progress, **args: Any) -> dict[str, Any]:
    return args


def append(progress: Progress, *, path: str, text: str) -> dict[str, Any]:
    with Path(path).open("a") as file:
        file.write(text)
    return {}


def pid(progress: Progress) -> dict[str, Any]:
    return {"pid": os.getpid()}


def wrong_image(progress: Progress) -> dict[str, Any]:
    raise ImageProcessingError("page.png", "it is torn")


def bug(progress: Progress) -> dict[str, Any]:
    return {}["missing"]  # type: ignore[no-any-return]


def disk_full(progress: Progress) -> dict[str, Any]:
    raise ResourceError("no room") from OSError(28, "No space left on device")


def leave(progress: Progress, *, code: int) -> dict[str, Any]:
    os._exit(code)


def segfault(progress: Progress) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def hang(progress: Progress, *, seconds: float = 600.0) -> dict[str, Any]:
    time.sleep(seconds)
    return {}


def steps(progress: Progress, *, count: int, seconds: float) -> dict[str, Any]:
    for done in range(count):
        progress(done, count)
        time.sleep(seconds)
    return {"count": count}


def eat(progress: Progress, *, size: int) -> dict[str, Any]:
    return {"size": len(bytearray(size))}


def eat_by_cv2(progress: Progress, *, side: int) -> dict[str, Any]:
    import cv2
    import numpy as np

    small = np.zeros((2, 2), np.uint8)
    return {"size": cv2.resize(small, (side, side)).size}


def not_plain(progress: Progress) -> dict[str, Any]:
    return {"function": lambda: None}


def noisy(progress: Progress) -> dict[str, Any]:
    print("a library talks to stdout")
    sys.stderr.write("and to stderr\n")
    logging.getLogger("some.library").info("a record")
    warnings.warn("a warning", UserWarning, stacklevel=1)
    return {}


def write(
    progress: Progress,
    *,
    part: str,
    text: str,
    times: int = 1,
    seconds: float = 0.0,
    once: str | None = None,
    how: str = "",
) -> Written:
    """Write `text`, that many `times`, to `part` after `seconds`. `how`, unless the file `once` exists by then: how to fail."""
    for step in range(int(seconds * 20)):
        progress(step, int(seconds * 20))
        time.sleep(0.05)
    sha256 = write_part(Path(part), text.encode() * times)
    if how and (once is None or not Path(once).exists()):
        if once is not None:
            Path(once).touch()
        if how == "die":
            os._exit(9)
        if how == "hang":
            time.sleep(600)
        if how == "together":
            return Written(sha256)
        if how == "full":
            raise OSError(28, "No space left on device", part)
        raise ImageProcessingError(part, how)
    return Written(sha256, {"pid": os.getpid()})


@dataclass(frozen=True)
class Parted:
    """Work in three parts, "begin", "device" and "finish", each of which writes its name to the file `log` where it begins.

    `after`: part -> lines of that file for which it waits. `how`: part -> what it does then. `needs` is what must be
    loaded for it; `part` a file to write in the end."""

    name: str
    log: str
    after: dict[str, list[str]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    needs: str = ""
    part: str = ""

    def run(self, progress: Progress) -> Written:
        self.step("whole", progress)
        (written,) = self.run_together(progress, [self])
        return written

    @classmethod
    def run_together(cls, progress: Progress, works: Sequence[Parted]) -> list[Written]:
        stages = cls.begin(progress, works)
        stages.on_device(progress)
        return stages.finish(progress)

    @classmethod
    def begin(cls, progress: Progress, works: Sequence[Parted]) -> PartedStages:
        for work in works:
            work.step("begin", progress)
        return PartedStages(works)

    def goes_with(self, other: Parted) -> bool:
        return self.needs == other.needs

    def step(self, part: str, progress: Progress) -> None:
        log = Path(self.log)
        with log.open("a") as file:
            file.write(f"{part} {self.name}\n")
        progress(1, 2)
        while not set(self.after.get(part, ())) <= set(log.read_text().splitlines()):
            progress(1, 2)
            time.sleep(0.01)
        how = self.how.get(part)
        if how == "exit":
            os._exit(5)
        elif how == "hang":
            time.sleep(3600)
        elif how == "sleep":
            time.sleep(0.3)
        elif how == "memory" and f"whole {self.name}" not in log.read_text().splitlines():
            raise MemoryError
        elif how == "wrong":
            raise ImageProcessingError(self.name, "it is torn")
        elif how == "bug":
            raise KeyError(self.name)


@dataclass
class PartedStages:
    works: Sequence[Parted]

    def on_device(self, progress: Progress) -> None:
        assert threading.current_thread() is threading.main_thread()
        for work in self.works:
            work.step("device", progress)

    def finish(self, progress: Progress) -> list[Written]:
        found = []
        for work in self.works:
            work.step("finish", progress)
            text = work.name.encode()
            sha256 = (
                write_part(Path(work.part), lambda file, text=text: file.write(text)) if work.part else ""
            )
            found.append(Written(sha256, {"name": work.name}))
        for work in self.works:
            with Path(work.log).open("a") as file:
                file.write(f"end {work.name}\n")
        return found


@dataclass(frozen=True)
class Mix:
    """Write the bytes of `source`, `shared` and `cache` to `part`, and the name of the source into `folder`; what is not there
    of the cache is made. Fails where `source` is not there."""

    source: str = field(metadata=READ)
    shared: str | None = field(metadata=SHARED)
    cache: str = field(metadata=CACHED)
    folder: str = field(metadata=FILLED)
    part: str = field(metadata=WRITTEN)
    root: str = field(metadata=ROOT)

    def run(self, progress: Progress) -> Written:
        source = Path(self.source)
        if not source.exists():
            raise ImageProcessingError(self.source, "it is not there")
        cache = Path(self.cache)
        known = cache.exists()
        if not known:
            cache.write_bytes(b"made;")
        shared = Path(self.shared).read_bytes() if self.shared else b""
        content = source.read_bytes() + shared + cache.read_bytes()
        sha256 = write_part(Path(self.part), content, within=Path(self.root))
        Path(self.folder, "of " + source.name).write_bytes(b"small")
        mtime = source.stat().st_mtime_ns
        return Written(sha256, {"known": known, "mtime": mtime, "shared": self.shared, "part": self.part})
