"""Calls that write, made to fail once, in this process or in a worker that it starts.

Calls are counted in the length of a file, so that they are counted across processes."""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

VARIABLE = "LOTE_TEST_FAILING"  # what the workers are told
WRITING = frozenset("wxa+")
OF_SQLITE = {"commit": "do_commit", "statement": "do_execute"}
SAID_BY_SQLITE = {
    errno.EIO: "disk I/O error",
    errno.ENOSPC: "database or disk is full",
    errno.EACCES: "attempt to write a readonly database",
}

_undo: list[Callable[[], None]] = []


@dataclass(frozen=True)
class Fault:
    """The `at`-th `call` of this process, or of its workers, fails with `error`; 0 only counts.

    What is counted becomes the length of the file `counter`."""

    call: str
    at: int
    error: int
    counter: str
    worker: bool


@contextmanager
def armed(*faults: Fault) -> Iterator[None]:
    os.environ[VARIABLE] = json.dumps([asdict(fault) for fault in faults if fault.worker])
    for fault in faults:
        if not fault.worker:
            _plug(fault)
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        while _undo:
            _undo.pop()()


def in_a_worker() -> None:
    """For an interpreter that has just begun: obey what `armed` says to workers."""
    if any("import serve" in word for word in sys.orig_argv):
        for fault in json.loads(os.environ.get(VARIABLE, "[]")):
            _plug(Fault(**fault))


def _plug(fault: Fault) -> None:
    """Put the failing call in the place of the true one."""

    def count() -> None:
        descriptor = os.open(fault.counter, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, b".")
        number = os.fstat(descriptor).st_size
        os.close(descriptor)
        if number == fault.at and fault.call in OF_SQLITE:
            raise sqlite3.OperationalError(SAID_BY_SQLITE[fault.error])
        if number == fault.at:
            raise OSError(fault.error, os.strerror(fault.error), "somewhere")

    def counted(place: Any, name: str) -> None:
        real = getattr(place, name)

        def substitute(*args: Any, **options: Any) -> Any:
            count()
            return real(*args, **options)

        setattr(place, name, substitute)
        _undo.append(lambda: setattr(place, name, real))

    if fault.call == "write":
        _writing(count)
    elif fault.call in OF_SQLITE:
        from sqlalchemy.engine.default import DefaultDialect

        counted(DefaultDialect, OF_SQLITE[fault.call])
    else:
        # A name is given by `replace`, or by `link` where nobody else's file may be replaced.
        for name in {"fsync": ["fsync"], "rename": ["replace", "link"]}[fault.call]:
            counted(os, name)


def _writing(count: Callable[[], None]) -> None:
    """Files opened for writing, through `open` and `pathlib`, count what is written to the system."""
    real = io.open

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            count()
            return super().write(data) or 0

    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "b" not in mode or not WRITING & set(mode) or options.get("opener"):
            return real(file, mode, *args, **options)
        raw = Raw(file, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    io.open = opened  # type: ignore[assignment]  # pathlib asks this module by name
    _undo.append(lambda: setattr(io, "open", real))
