"""One job of the noop backend, run by the command in a process group of its own, and looked at from outside."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

Length = Callable[[int, int], int]
Report = Callable[[str, str], None]

PATIENCE_S = 300.0
SLOTS = 2


def draw_pages(folder: Path, count: int) -> None:
    """Small pages of line art, the first 2,240 different from each other."""
    folder.mkdir()
    for number in range(count):
        pixels = np.full((64, 48), 255, np.uint8)
        pixels[4 + number % 56] = 0
        pixels[:, 4 + number // 56 % 40] = 0
        Image.fromarray(pixels).save(folder / f"p{number:06}.png")


class Comic:
    """One job of the noop backend, run by the command in a process group of its own.

    `settings` are those of the environment (`LOTE_TIMEOUT`, ...)."""

    def __init__(self, inputs: Path, root: Path, output: str = "book.cbz", **settings: str) -> None:
        self.root, self.inputs, self.settings = root, inputs, settings
        self.output = root / output
        self.database = root / "ws" / "lote.db"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        environment = (
            os.environ
            | self.settings
            | {
                "SOURCE_DATE_EPOCH": "1600000000",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            }
        )
        command = [
            sys.executable, "-m", "batch_processing", "colorize", str(self.inputs), "-o", str(self.output),
            "--backend", "noop", "--as-lineart", "*", "--workers", str(SLOTS), "--quiet",
            "--workspace", str(self.root / "ws"),
        ]  # fmt: skip
        with (self.root / "told").open("ab") as told:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                start_new_session=True,
            )
        return self.process

    def kill(self) -> None:
        assert self.process is not None
        workers = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(workers, timeout=PATIENCE_S)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if not self.database.exists():
            return []
        connection = sqlite3.connect(self.database, timeout=60.0)
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def completed(self) -> int:
        return sum(count for (count,) in self.query("SELECT count FROM tally WHERE state = 'completed'"))

    def check_after_kill(self) -> None:
        """The ledger is whole, and every page that it calls completed has its recorded hash."""
        assert self.query("PRAGMA integrity_check") in ([], [("ok",)])
        for output, recorded in self.query("SELECT output, output_hash FROM item WHERE state = 'completed'"):
            assert hashlib.sha256(Path(output).read_bytes()).hexdigest() == recorded
        bad = self.query(
            "SELECT job_id, state, count FROM tally t WHERE state <> 'held' AND count <> "
            "(SELECT count(*) FROM item i WHERE i.job_id = t.job_id AND i.state = t.state AND NOT held)"
        )
        assert bad == []

    def tables(self) -> list[Any]:
        """What the ledger says of the job, but for times, tokens, attempts and places."""
        return [
            self.query("SELECT id, kind, state, error, exit_code, wanted, priority FROM job"),
            self.query("SELECT key, sort, sha256, facts, role FROM source ORDER BY sort"),
            self.query(
                "SELECT key, ordinal, priority, input_hash, fingerprint, state, deaths, intent, token, output_hash, "
                "details, approved, held, error_type, error FROM item ORDER BY ordinal"
            ),
            self.query("SELECT state, count FROM tally WHERE count > 0 ORDER BY state"),
        ]

    def strays(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.name.endswith(".part")]

    def finish(self) -> None:
        assert self.start().wait(PATIENCE_S) == 0


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> bool:
    """Until `condition()` holds (True) or the process has ended by itself (False)."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)
    return True
