"""Failing disks: each call fails once, at the 1st, 2nd, 3rd ... time, until a run passes untouched.

Whatever fails: one clear sentence, a ledger that can be read, and a run that completes once the cause
is gone."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.default import DefaultDialect

from batch_processing.core.coordinator import run_job
from batch_processing.core.ledger import Ledger
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import BatchProcessingError
from core.tiny import Tiny, submit

Length = Callable[[int, int], int]
Report = Callable[[str, str], None]

ITEMS = {name: {"text": f"text of {name}"} for name in "abc"}


class Failing:
    """Stands for a function: its `at`-th call fails."""

    def __init__(self, real: Callable[..., Any], at: int, error: Exception) -> None:
        self.real, self.at, self.error = real, at, error
        self.calls = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.real(*args, **options)

    def as_method(self) -> Callable[..., Any]:
        return lambda *args, **options: self(*args, **options)  # noqa: PLW0108 - only a function becomes a method


def outcome(workspace: Workspace, number: int) -> str | None:
    """Run the job; the sentence with which it stopped, if it did."""
    try:
        run_job(workspace, number, Tiny())
    except BatchProcessingError as error:
        return str(error)
    return None


def os_error(code: int) -> Exception:
    return OSError(code, os.strerror(code), "somewhere")


CASES: dict[str, tuple[Any, str, list[Exception]]] = {
    "fsync": (os, "fsync", [os_error(errno.EIO), os_error(errno.ENOSPC)]),
    "rename": (os, "replace", [os_error(errno.EIO), os_error(errno.EACCES), os_error(errno.ENOSPC)]),
    "commit": (
        DefaultDialect,
        "do_commit",
        [sqlite3.OperationalError("disk I/O error"), sqlite3.OperationalError("database or disk is full")],
    ),
    "statement": (DefaultDialect, "do_execute", [sqlite3.OperationalError("disk I/O error")]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_call_fails_once(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: Length, report: Report
) -> None:
    place, name, errors = CASES[case]
    real = getattr(place, name)
    stride = length({"statement": 11, "commit": 4}.get(case, 2), 1)
    failed = 0
    for error in errors[: length(1, len(errors))]:
        at, untouched = 1, False
        while not untouched:
            root = tmp_path / f"{error}-{at}".replace("/", "-")
            workspace = Workspace(root / "ws")
            number = submit(workspace, root / "out", {"items": ITEMS, "slots": 1}).id
            failing = Failing(real, at, error)
            with monkeypatch.context() as patch:
                patch.setattr(place, name, failing.as_method() if isinstance(place, type) else failing)
                told = outcome(workspace, number)
            if told is not None:
                assert told.endswith((".", "again.", ")")), told
                failed += 1
            untouched = failing.calls < at
            workspace.close()

            workspace = Workspace(root / "ws")
            assert workspace.ledger.database.integrity_check() == "ok"
            for item in workspace.ledger.items(number, state="completed"):
                assert hashlib.sha256(Path(item.output).read_bytes()).hexdigest() == item.output_hash
            again = submit(workspace, root / "out", {"items": ITEMS, "slots": 1})
            assert again.id == number
            assert run_job(workspace, number, Tiny()).state == "done"
            assert {path.name: path.read_text() for path in (root / "out").iterdir()} == {
                key: f"text of {key}" for key in ITEMS
            }
            assert workspace.ledger.counts(number)["completed"] == len(ITEMS)
            workspace.close()
            shutil.rmtree(root)
            at += stride
    assert failed
    report(f"{case} fails once", f"{failed} runs stopped with a sentence, all completed by the next")


FULL_DISK = r"""
set -e
mount -t tmpfs -o size=600k tmpfs "$1"
mkdir "$1/out"
set +e
"$2" -m core.tiny "$3/ws" "$1/out" "$4" 2> "$3/told"
echo $? > "$3/code"
ls -A "$1/out" > "$3/left"
mount -o remount,size=60m "$1"
"$2" -m core.tiny "$3/ws" "$1/out" "$4" 2> "$3/told2"
echo $? > "$3/code2"
ls -A "$1/out" > "$3/left2"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces")
def test_a_real_full_disk(tmp_path: Path, report: Report) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    if subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "x", str(mounted)], capture_output=True, check=False
    ).returncode:
        pytest.skip(
            "needs the right to mount a small file system: run as root, outside of a restricted container"
        )
    config = json.dumps({"items": {f"p{n}": {"text": "x", "times": 60_000} for n in range(20)}})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(
        ["unshare", "-m", "sh", "-c", FULL_DISK, "sh", str(mounted), sys.executable, str(tmp_path), config],
        env=environment,
        check=True,
        timeout=200,
    )
    told = (tmp_path / "told").read_text()
    assert (tmp_path / "code").read_text() == "1\n", told
    assert "No space left on device" in told
    assert "bytes needed" in told
    assert not [name for name in (tmp_path / "left").read_text().split() if name.endswith(".part")]
    assert (tmp_path / "code2").read_text() == "0\n", (tmp_path / "told2").read_text()
    assert len((tmp_path / "left2").read_text().split()) == 20
    ledger = Ledger(tmp_path / "ws" / "lote.db")
    assert ledger.counts(1)["completed"] == 20
    ledger.close()
    report("a full disk", "one sentence with the bytes needed, no stray file, completed after room was made")


CROWD = """
import random, sys, time
from batch_processing.core.ledger import Ledger, Settlement
ledger = Ledger(sys.argv[1], journal=sys.argv[2])
rng = random.Random(int(sys.argv[3])); until = time.monotonic() + float(sys.argv[4]); longest = []
while time.monotonic() < until:
    began = time.monotonic()
    what = rng.randrange(5)
    if what == 0: ledger.want(1, rng.choice(["pause", "run"]))
    elif what == 1: list(ledger.items(1)); ledger.events(1)
    elif what == 2: ledger.retry(1)
    elif what == 3: ledger.jobs(); ledger.counts(1)
    else:
        items = ledger.claim(1, 2)
        ledger.settle([Settlement(i.id, i.token, rng.choice(["completed", "failed", "pending"]), "h") for i in items])
    longest.append(time.monotonic() - began)
longest.sort()
print(len(longest), longest[int(len(longest) * 0.99)])
"""


@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_a_crowd_at_one_ledger(tmp_path: Path, journal: str, length: Length, report: Report) -> None:
    from batch_processing.core.ledger import ItemSpec

    path = tmp_path / "lote.db"
    ledger = Ledger(path, journal=journal)
    number = ledger.submit("comics", ["/in"], "/out", {}).id
    ledger.plan(number, 1, [ItemSpec(f"p{n}", n, "", "f", {}, f"/out/p{n}") for n in range(200)])
    seconds = length(3, 60)
    began = time.monotonic()
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(path), journal, str(n), str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    told = [process.communicate(timeout=seconds + 120) for process in crowd]
    assert [process.returncode for process in crowd] == [0] * 4, told
    assert "locked" not in "".join(stderr for _, stderr in told)
    assert ledger.database.integrity_check() == "ok"
    rows: dict[str, int] = {}
    for item in ledger.items(number):
        rows[item.state] = rows.get(item.state, 0) + 1
    assert {name: count for name, count in ledger.counts(number).items() if count} == rows
    ledger.close()
    actions = sum(int(stdout.split()[0]) for stdout, _ in told)
    worst = max(float(stdout.split()[1]) for stdout, _ in told)
    report(
        f"a crowd, {journal}",
        f"4 processes, {actions} actions in {time.monotonic() - began:.0f} s, 99th percentile {worst * 1000:.0f} ms",
    )
