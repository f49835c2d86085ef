"""What CONTRIBUTING says of a further application: a module and a line in the table are enough."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_processing.applications import APPLICATIONS
from batch_processing.core.applications import door, kinds
from batch_processing.core.coordinator import Interrupt, Interrupted
from batch_processing.core.model import ItemState, JobState
from batch_processing.core.workspace import Workspace
from batch_processing.ui.cli.following import follow
from command import lote
from core import by_date
from pages import colored

DAY_S = 86_400
IMAGES = 5


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = Workspace(tmp_path / "ws")
    yield opened
    opened.close()


@pytest.fixture
def job_id(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> int:
    """A job of the third application, submitted: images of the first days of 1970."""
    monkeypatch.setitem(APPLICATIONS, by_date.KIND, by_date.__name__)
    for day in range(IMAGES):
        image = tmp_path / "in" / f"{day}.png"
        colored(image, day)
        os.utime(image, (day * DAY_S, day * DAY_S))
    job: int = by_date.submit(workspace, tmp_path / "in", tmp_path / "out").id
    return job


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


WANTED = [f"1970-01-{day + 1:02} {day}.png" for day in range(IMAGES)]


def test_it_runs_through_the_table(tmp_path: Path, workspace: Workspace, job_id: int) -> None:
    assert by_date.KIND in kinds()
    result = door(by_date.KIND).run(workspace, job_id)
    assert (result.state, result.exit_code) == (JobState.DONE, 0)
    assert names(tmp_path / "out") == WANTED
    for day, name in enumerate(WANTED):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / f"{day}.png").read_bytes()

    # The same again makes only what changed.
    colored(tmp_path / "in" / "0.png", 77)
    os.utime(tmp_path / "in" / "0.png", (0, DAY_S * 20))
    assert by_date.submit(workspace, tmp_path / "in", tmp_path / "out").id == job_id
    door(by_date.KIND).run(workspace, job_id)
    assert workspace.ledger.reused(job_id) == IMAGES - 1
    assert names(tmp_path / "out") == [WANTED[0], *WANTED[1:], "1970-01-21 0.png"]


def test_the_commands_list_pause_and_resume_it(tmp_path: Path, workspace: Workspace, job_id: int) -> None:
    seen: dict[str, Any] = {}

    def person(_events: Any, snapshot: Any) -> None:
        """Pauses after the first image, looks around, and resumes: each by a command of its own."""
        if snapshot.job.state == JobState.RUNNING and snapshot.done and "pause" not in seen:
            seen["pause"] = lote("pause", str(job_id), workspace=workspace.root)
        elif snapshot.job.state == JobState.PAUSED and "resume" not in seen:
            seen["list"] = lote("list", "--json", workspace=workspace.root).events
            seen["status"] = lote("status", str(job_id), workspace=workspace.root).out
            seen["files"] = names(tmp_path / "out")
            seen["resume"] = lote("resume", str(job_id), workspace=workspace.root)

    result = door(by_date.KIND).run(workspace, job_id, on_news=person)
    assert (seen["pause"].code, seen["resume"].code) == (0, 0), seen
    [row] = seen["list"]
    assert (row["kind"], row["state"], row["output"]) == (by_date.KIND, "paused", str(tmp_path / "out"))
    assert 0 < row["completed"] < IMAGES
    assert (
        len(seen["files"]) == row["completed"]
    )  # no unfinished file, and none that the ledger does not know
    assert f"job {job_id} is paused" in seen["status"]
    assert result.state == JobState.DONE
    assert names(tmp_path / "out") == WANTED


def test_one_that_was_left_goes_on(tmp_path: Path, workspace: Workspace, job_id: int) -> None:
    interrupt = Interrupt()

    def leave(_events: Any, snapshot: Any) -> None:
        interrupt.level = int(snapshot.done > 0)

    with pytest.raises(Interrupted):
        door(by_date.KIND).run(workspace, job_id, on_news=leave, interrupt=interrupt)
    before = workspace.ledger.counts(job_id)
    assert 0 < before[ItemState.COMPLETED] < IMAGES
    by_date.submit(workspace, tmp_path / "in", tmp_path / "out")
    assert door(by_date.KIND).run(workspace, job_id).state == JobState.DONE
    assert workspace.ledger.reused(job_id) == before[ItemState.COMPLETED]
    assert names(tmp_path / "out") == WANTED


def test_the_command_line_runs_and_sums_it_up(
    tmp_path: Path, workspace: Workspace, job_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    job = workspace.ledger.job(job_id)
    assert follow(workspace, job, as_json=False, quiet=False) == 0
    assert f"job {job_id} is done" in capsys.readouterr().err
    assert names(tmp_path / "out") == WANTED
