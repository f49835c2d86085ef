"""What tests on a cluster run, and how they wait: never without an end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

IS_LONG = os.environ.get("LOTE_FAULTS") == "long"
# What a busy machine may need for what takes a few seconds on another.
PATIENCE_S = 60.0


def until(is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Wait for a fact; for how long, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience_s, "waited too long"
        time.sleep(0.05)
    return time.monotonic() - began


class Job:
    """A job of the tiny application, run by a process of its own, on the cluster at `address` (on this machine if that is
    empty): `items` that take `seconds` each."""

    def __init__(self, folder: Path, address: str, items: int, seconds: float, **config: Any) -> None:
        self.folder, self.items = folder, items
        texts = {f"{number:03}": {"text": f"text {number}", "seconds": seconds} for number in range(items)}
        where = {"cluster": address} if address else {}
        given = json.dumps({"items": texts, **where, **config})
        self.command = [sys.executable, "-m", "core.tiny", str(folder / "ws"), str(folder / "out"), given]
        self.start()

    def start(self) -> None:
        path = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever the test has come to, nothing of it goes on."""
        self.process.kill()
        self.end()

    def end(self, patience_s: float = PATIENCE_S) -> str:
        """Wait for its end; its last words."""
        try:
            _, told = self.process.communicate(timeout=patience_s)
        except ValueError:  # its end was seen before
            return ""
        return told.decode()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if not (self.folder / "ws" / "lote.db").exists():
            return []
        with contextlib.closing(sqlite3.connect(self.folder / "ws" / "lote.db", timeout=20.0)) as connection:
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return []

    @property
    def done(self) -> int:
        return sum(one for (one,) in self.query("SELECT count FROM tally WHERE state = 'completed'"))

    @property
    def state(self) -> str:
        return "".join(one for (one,) in self.query("SELECT state FROM job"))

    @property
    def phase(self) -> str:
        return "".join(one for (one,) in self.query("SELECT phase FROM job"))

    @property
    def losses(self) -> int:
        return int(self.query("SELECT sum(losses) FROM item")[0][0])

    @property
    def bridge(self) -> psutil.Process:
        (bridge,) = (
            one
            for one in psutil.Process(self.process.pid).children()
            if "lote bridge" in " ".join(one.cmdline())
        )
        return bridge

    def finish(self) -> None:
        """It ends well: every item once, nobody blamed, and no part left."""
        told = self.end()
        assert self.process.returncode == 0, told
        ended = self.query("SELECT count(*), sum(deaths) FROM item WHERE state = 'completed'")
        assert ended == [(self.items, 0)]
        names = sorted(path.name for path in (self.folder / "out").iterdir())
        assert names == [f"{number:03}" for number in range(self.items)]
        for name in names:
            assert (self.folder / "out" / name).read_text() == f"text {int(name)}"


_TAKEN = re.compile(r"\b\d+([.:,]\d+)*( ?(s|ms|min|h|MB|GB|KB)\b| (seconds|minutes|pages an hour))")
_DAY = re.compile(r"\d{4}-\d\d-\d\d[T ,]+\d\d:\d\d(:\d\d)?(\.\d+)?")


# Where pages were coloured is told, too, and how often one was begun.
_WHERE = re.compile(
    r'<tr><th scope="row">(max_concurrent|engine|ray_address|files)</th><td>[^<]*</td><td>[^<]*</td></tr>'
    r"|<dt>attempts</dt><dd>\d+</dd>"
)


def files_of(folder: Path) -> dict[str, str]:
    """What stands in an output: the SHA-256 of each file; of the report without days, what pages have
    taken, and where they were."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".html":
                text = content.decode().replace(str(folder), "OUTPUT").replace(str(folder.parent), "PLACE")
                content = _WHERE.sub("", _DAY.sub("DAY", _TAKEN.sub("TAKEN", text))).encode()
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found
