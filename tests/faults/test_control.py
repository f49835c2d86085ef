"""Pause and cancel from a second process while a long page is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch_processing.colorize import Comics
from batch_processing.core.coordinator import cancel_job
from batch_processing.core.workspace import Workspace
from faults.runs import PATIENCE_S, Length, Report, wait_for

ACKNOWLEDGED_S = 0.5
PAGE_S = 2.0
# A machine with other work to do may be late; one that is always late is broken.
ATTEMPTS = 5


@contextmanager
def long_page(root: Path, seconds: float) -> Iterator[tuple[Workspace, subprocess.Popen[bytes]]]:
    """A job in a process of its own, in the middle of its first page, which takes that long; one page waits."""
    config = {"items": {name: {"text": name, "seconds": seconds} for name in "ab"}, "slots": 1}
    workspace = Workspace(root / "ws")
    process = subprocess.Popen(
        [sys.executable, "-m", "core.tiny", str(root / "ws"), str(root / "out"), json.dumps(config)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.DEVNULL,
    )
    try:
        assert wait_for(lambda: workspace.database.exists() and workspace.ledger.jobs(), process), (
            "it ended too early"
        )
        assert wait_for(lambda: workspace.ledger.counts(1)["processing"] == 1, process)
        time.sleep(0.5)
        yield workspace, process
    finally:
        process.kill()
        process.wait()
        workspace.close()


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.01)
    return time.monotonic() - began


def paused(root: Path) -> float:
    with long_page(root, PAGE_S) as (workspace, process):
        ledger = workspace.ledger
        ledger.want(1, "pause")
        seconds = seconds_until(lambda: ledger.job(1).phase == "finishing what is in flight")
        assert wait_for(lambda: ledger.job(1).state == "paused", process)
        assert ledger.counts(1) | {"completed": 1, "pending": 1} == ledger.counts(1)
        time.sleep(0.5)
        assert ledger.counts(1)["processing"] == 0  # it stays so
        ledger.want(1, "run")
        assert wait_for(lambda: ledger.counts(1)["processing"] == 1, process)
    return seconds


def cancelled(root: Path) -> float:
    with long_page(root, 60.0) as (workspace, process):
        cancel_job(workspace, 1, Comics(workspace))
        seconds = seconds_until(
            lambda: workspace.ledger.job(1).phase == "cancelling" or workspace.ledger.job(1).ended
        )
        assert process.wait(PATIENCE_S) == 4
        assert workspace.ledger.counts(1)["cancelled"] == 2
        assert not (root / "out").exists() or list((root / "out").iterdir()) == []
    return seconds


@pytest.mark.parametrize("wish", [paused, cancelled])
def test_acknowledged_during_a_long_page(
    wish: Callable[[Path], float], tmp_path: Path, length: Length, report: Report
) -> None:
    taken: list[float] = []
    while len(taken) < length(1, ATTEMPTS) or (min(taken) > ACKNOWLEDGED_S and len(taken) < ATTEMPTS):
        root = tmp_path / str(len(taken))
        root.mkdir()
        taken.append(wish(root))
    assert min(taken) < ACKNOWLEDGED_S
    report(
        f"{wish.__name__} during a long page",
        f"{len(taken)} times, acknowledged within {min(taken):.2f} to {max(taken):.2f} s",
    )
