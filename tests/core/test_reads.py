"""A glance at the ledger sees what the ledger knows, makes nothing, and leaves all else to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_processing.core.ledger import Ledger
from batch_processing.core.model import EventKind, ItemSpec, ItemState, JobState, Settlement
from batch_processing.core.processes import process_identity
from batch_processing.core.reads import LATEST_STEP, Reads
from batch_processing.core.schema import MIGRATIONS
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import WorkspaceError
from batch_processing.messages import Message

ODD = os.fsdecode(b"caf\xe9.png")  # a name that is no UTF-8


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Of a workspace with two jobs: one that has run, with a page of each kind, and one that waits."""
    workspace = Workspace(tmp_path)
    ledger = workspace.ledger
    job = ledger.submit("comics", ["/in", ODD], f"/out/{ODD}", {"a": [1, None]}, owner=process_identity()).id
    keys = ("done", ODD, "held", "waiting")
    ledger.plan(
        job, 1, [ItemSpec(key, n, "i", "f", {"n": n}, f"/o/{key}", held=key == "held") for n, key in enumerate(keys)]
    )  # fmt: skip
    first, second = ledger.claim(job, 2)
    error = Message("{path} is empty", path=ODD)
    ledger.settle(
        [
            Settlement(first.id, str(first.token), ItemState.COMPLETED, "hash", {"d": [1, 2]}, 0.5),
            Settlement(second.id, str(second.token), ItemState.FAILED, seconds=1.5, error=error),
        ]
    )
    ledger.say(job, EventKind.WARNING, "{name} is left out", ODD, name=ODD)
    ledger.set_job(job, state=JobState.RUNNING, error=error, result={"figures": {}}, started_at=1.0)
    ledger.submit("photos", ["/photos"], "/library", {}, owner=None)
    yield ledger
    workspace.close()


def everything(reads: Reads) -> list[object]:
    found: list[object] = [reads.jobs(), reads.jobs("photos"), reads.current_job(), reads.all_counts()]
    for job in reads.jobs():
        found += [
            reads.job(job.id), reads.counts(job.id), list(reads.items(job.id)), reads.events(job.id), reads.warnings(job.id),
            reads.finished(job.id, 5), reads.last_event(job.id), reads.window(job.id, 1, 2), reads.item(job.id, ODD),
            list(reads.items(job.id, ItemState.FAILED)), reads.owners_of([f"/o/{ODD}"]),
        ]  # fmt: skip
    return found


def test_a_glance_sees_what_the_ledger_knows(ledger: Ledger, tmp_path: Path) -> None:
    glance = Workspace(tmp_path).reads
    assert not isinstance(glance, Ledger)
    assert everything(glance) == everything(ledger)
    job = glance.job(1)
    assert (job.inputs[1], job.state, job.alive, job.owner) == (ODD, "running", True, process_identity())
    assert str(job.error) == f"{ODD} is empty"
    (failed,) = glance.items(1, ItemState.FAILED)
    assert (failed.key, str(failed.error), failed.held) == (ODD, str(job.error), False)
    assert glance.counts(1) == {"pending": 1, "processing": 0, "completed": 1, "failed": 1, "cancelled": 0}


def test_the_commands_that_look_load_no_sqlalchemy(ledger: Ledger, tmp_path: Path) -> None:
    program = (
        "import sys; from batch_processing.ui.cli import main; sys.argv[0] = 'lote'\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    for words, told in ((["list"], "/photos -> /library"), (["status", "1", "--pages"], "done")):
        done = subprocess.run(
            [sys.executable, "-c", program, *words, "--workspace", str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told in done.stdout
        assert not {"sqlalchemy", "batch_processing.ui.cli.colorize"} & set(done.stderr.split())


def test_a_glance_waits_for_a_commit(ledger: Ledger, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "lote.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN EXCLUSIVE")
    ends = threading.Timer(1.6, lambda: writer.execute("COMMIT"))  # later than a glance waits by itself
    ends.start()
    began = time.monotonic()
    assert len(Workspace(tmp_path).reads.jobs()) == 2
    assert time.monotonic() - began > 1
    ends.join()
    writer.close()


def test_a_ledger_of_another_version_is_not_looked_at_as_if_it_were_ours(tmp_path: Path) -> None:
    Workspace(tmp_path).ledger.close()
    with sqlite3.connect(tmp_path / "lote.db") as database:
        database.execute("DELETE FROM migration WHERE name = ?", (LATEST_STEP,))
    assert Workspace(tmp_path).reads.jobs() == []  # brought up to date, as by every other command
    with sqlite3.connect(tmp_path / "lote.db") as database:
        newest = database.execute("SELECT max(name) FROM migration WHERE room = 'ledger'").fetchone()
        assert newest == (LATEST_STEP,) == (MIGRATIONS[-1][0],)
        database.execute("INSERT INTO migration VALUES ('ledger', '9999_tomorrow')")
    with pytest.raises(WorkspaceError, match="written by a newer Lote"):
        Workspace(tmp_path).reads.jobs()


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "lote.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(WorkspaceError, match="is damaged or no database"):
        Workspace(tmp_path).reads.jobs()
