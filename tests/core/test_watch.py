"""A job pauses before the disk or the memory runs out, says why, and goes on."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from batch_processing import colorize_comic
from batch_processing.core.workspace import Workspace
from batch_processing.memory import MemoryManager
from pages import book


class Disk(NamedTuple):
    total: int
    used: int
    free: int


class Machine:
    """A machine whose disk or memory is low until somebody frees some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        self.low = True
        disk_usage, available = shutil.disk_usage, MemoryManager.available_bytes
        if what == "disk":
            monkeypatch.setattr(
                shutil,
                "disk_usage",
                lambda path: Disk(10**12, 10**12, 10**8) if self.low else disk_usage(path),
            )
        else:
            monkeypatch.setattr(
                MemoryManager, "available_bytes", lambda manager: 10**8 if self.low else available(manager)
            )


@pytest.mark.parametrize(("what", "sentence"), [("disk", "100 MB of disk"), ("memory", "100 MB of memory")])
def test_it_pauses_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, sentence: str
) -> None:
    machine = Machine(monkeypatch, what)
    results: list[Any] = []
    run = threading.Thread(
        target=lambda: results.append(
            colorize_comic(
                book(tmp_path / "in"), tmp_path / "out", config={"backend": "noop"}, workspace=tmp_path / "ws"
            )
        )
    )
    run.start()
    ledger = Workspace(tmp_path / "ws").ledger
    until = time.monotonic() + 60
    while not (ledger.jobs() and ledger.job(1).state == "paused"):
        assert time.monotonic() < until
        assert run.is_alive()
        time.sleep(0.05)
    told = [str(event.data["text"]) for event in ledger.events(1) if event.kind == "warning"]
    assert any(sentence in text and "lote resume 1" in text for text in told)
    assert ledger.counts(1)["failed"] == 0
    machine.low = False
    ledger.want(1, "run")
    run.join(60)
    assert results[0].completed == 3
    ledger.close()
