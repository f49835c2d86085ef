"""The coordinator: what becomes of a job, whoever pauses, cancels, kills or repeats it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch_processing.core import coordinator
from batch_processing.core.application import JobContext
from batch_processing.core.coordinator import Interrupt, Interrupted, JobFailed, cancel_job, run_job
from batch_processing.core.ledger import Ledger
from batch_processing.core.model import Job, JobState, Wish
from batch_processing.core.processes import process_identity
from batch_processing.core.status import StatusTracker
from batch_processing.core.workers import Pool, Result
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import BatchProcessingError, ConfigurationError, ResourceError
from batch_processing.io.publish import Claim, publish
from core.tiny import Tiny, submit

PATIENCE_S = 90.0
Start = Callable[[Path, dict[str, Any]], subprocess.Popen[str]]
# Promised: 0.5 s until a wish is acknowledged, 2 s until a follower holds the lock. Measured on a machine
# whose two cores may be busy with something else.
ACKNOWLEDGED_S = 0.5 + 2.5
TAKEN_OVER_S = 2.0 + 4.0


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "ws")
    yield workspace
    workspace.close()


def items(*names: str, **options: Any) -> dict[str, Any]:
    return {name: {"text": f"text of {name}", **options} for name in names}


def run(workspace: Workspace, output: Path, config: dict[str, Any], **options: Any) -> Any:
    job = submit(workspace, output, config)
    return run_job(workspace, job.id, Tiny(), **options)


@pytest.fixture
def start(workspace: Workspace) -> Iterator[Start]:
    """Start a process that submits, and runs or follows, a job; it is ended with the test."""
    processes = []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def one(output: Path, config: dict[str, Any]) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "core.tiny", str(workspace.root), str(output), json.dumps(config)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield one
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def until(condition: Callable[[], Any], limit: float = PATIENCE_S) -> float:
    """Wait until `condition()` holds; the seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, "waited too long"
        time.sleep(0.02)
    return time.monotonic() - began


def states(ledger: Ledger, number: int = 1) -> list[str]:
    return [item.state for item in ledger.items(number)]


def check_output(ledger: Ledger, output: Path, number: int = 1) -> None:
    """Every completed item has its file, with the hash on record; nothing else lies there."""
    completed = {item.key: item for item in ledger.items(number, "completed")}
    found = {path.name: path for path in output.iterdir()} if output.exists() else {}
    assert set(found) == set(completed)
    for name, path in found.items():
        assert path.read_text() == f"text of {name}"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == completed[name].output_hash
    assert ledger.database.integrity_check() == "ok"


class TestOneRun:
    def test_a_folder_that_is_moved_away_before_a_file_gets_its_name(
        self, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, gone = tmp_path / "out", tmp_path / "gone"

        def publish_late(part: Path, target: Path, claim: Claim | None = None) -> None:
            if target.name == "b" and not gone.exists():
                out.rename(gone)
            publish(part, target, claim)

        monkeypatch.setattr(coordinator, "publish", publish_late)
        job = run(workspace, out, {"items": items("a", "b", "c"), "slots": 1})
        assert (job.state, job.error) == ("done", None)
        assert states(workspace.ledger) == ["completed"] * 3
        assert {path.name for path in gone.iterdir() if not path.name.startswith(".")} == {"a"}
        assert {path.name for path in out.iterdir()} == {"b", "c"}

    def test_everything_is_written_once(self, workspace: Workspace, tmp_path: Path) -> None:
        news: list[Any] = []
        job = run(
            workspace,
            tmp_path / "out",
            {"items": items(*"abcdefgh")},
            on_news=lambda *what: news.append(what),
        )
        assert (job.state, job.error) == ("done", None)
        check_output(workspace.ledger, tmp_path / "out")
        assert [item.attempts for item in workspace.ledger.items(1)] == [1] * 8
        told = [event.key for events, _ in news for event in events if event.kind == "page"]
        assert sorted(told) == list("abcdefgh")
        assert news[-1][1].done == news[-1][1].total == 8
        summary = StatusTracker(workspace.ledger, 1).get_summary()
        assert (summary.completed, summary.is_complete) == (8, True)

    def test_an_empty_job_ends(self, workspace: Workspace, tmp_path: Path) -> None:
        assert run(workspace, tmp_path / "out", {"items": {}}).state == "done"

    def test_higher_priority_goes_first(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {"items": items("a", "b") | items("c", "d", priority=3), "slots": 1}
        run(workspace, tmp_path / "out", config)
        order = [event.key for event in workspace.ledger.events(1) if event.kind == "page"]
        assert order == ["c", "d", "a", "b"]

    def test_the_byte_budget_bounds_what_is_in_flight(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {"items": items(*"abcd", cost=60, seconds=0.4) | items("huge", cost=1000), "slots": 4}
        most = 0

        def on_news(_events: Any, _snapshot: Any) -> None:
            nonlocal most
            parts = list((tmp_path / "out").glob(".*.part")) if (tmp_path / "out").exists() else []
            most = max(most, len(parts))

        job = run(workspace, tmp_path / "out", config, budget=100, on_news=on_news)
        assert job.state == "done"
        spans = sorted((item.started_at or 0, item.finished_at or 0) for item in workspace.ledger.items(1))
        assert len(spans) == 5
        assert most <= 1
        # Four pages of 0.4 s each that may not run side by side take more than 1.5 s.
        assert spans[-1][1] - spans[0][0] > 1.5

    def test_a_failed_item_costs_itself_only(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {"items": items(*"abc") | items("bad", how="it is torn")}
        assert run(workspace, tmp_path / "out", config).state == "done"
        (failed,) = workspace.ledger.items(1, "failed")
        assert failed.key == "bad"
        assert "it is torn" in str(failed.error)
        check_output(workspace.ledger, tmp_path / "out")

    def test_an_item_that_kills_its_worker_is_tried_once_more(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        once = items("once", how="die", once=str(tmp_path / "once"))
        run(workspace, tmp_path / "out", {"items": once | items("always", how="die") | items(*"ab")})
        found = {item.key: item for item in workspace.ledger.items(1)}
        assert (found["once"].state, found["once"].attempts) == ("completed", 2)
        assert (found["always"].state, found["always"].attempts) == ("failed", 2)
        assert "twice" in str(found["always"].error)
        check_output(workspace.ledger, tmp_path / "out")

    def test_an_item_that_takes_too_long_fails(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {"items": items("slow", seconds=600.0) | items("a"), "timeout": 3.0}
        run(workspace, tmp_path / "out", config)
        assert states(workspace.ledger) == ["failed", "completed"]
        check_output(workspace.ledger, tmp_path / "out")

    def test_a_target_that_cannot_be_replaced_fails_its_item(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        (tmp_path / "out" / "a" / "full").mkdir(parents=True)
        run(workspace, tmp_path / "out", {"items": items("a", "b")})
        assert states(workspace.ledger) == ["failed", "completed"]
        assert "cannot write" in str(next(workspace.ledger.items(1)).error)
        assert not list((tmp_path / "out").glob(".*"))

    def test_a_full_disk_stops_the_job_and_the_same_again_completes_it(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        full = items("b", how="full", once=str(tmp_path / "space"))
        config = {"items": items("a") | full | items(*"cdef"), "slots": 1}
        with pytest.raises(ResourceError, match="No space left"):
            run(workspace, tmp_path / "out", config)
        assert workspace.ledger.job(1).state == "failed"
        assert set(states(workspace.ledger)) == {"completed", "pending"}
        check_output(workspace.ledger, tmp_path / "out")
        assert run(workspace, tmp_path / "out", config).state == "done"
        check_output(workspace.ledger, tmp_path / "out")
        assert len(list((tmp_path / "out").iterdir())) == 6

    def test_what_a_disk_that_takes_nothing_keeps_is_removed_by_the_next_run(
        self, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = {"items": items("a") | items("b", how="full", once=str(tmp_path / "space"))}
        unlink = Path.unlink

        def refuse(path: Path, *, missing_ok: bool = False) -> None:
            if path.name.endswith(".part"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            unlink(path, missing_ok=missing_ok)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refuse)
            with pytest.raises(ResourceError, match="Read-only"):
                run(workspace, tmp_path / "out", config)
        assert list((tmp_path / "out").glob(".b.*.part"))
        assert run(workspace, tmp_path / "out", config).state == "done"
        check_output(workspace.ledger, tmp_path / "out")

    def test_the_same_again_does_nothing_and_a_change_only_itself(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        run(workspace, tmp_path / "out", {"items": items(*"abc")})
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
        run(workspace, tmp_path / "out", {"items": items(*"abc")})
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
        run(workspace, tmp_path / "out", {"items": items(*"abc") | items("b", seconds=0.01)})
        after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
        assert [name for name in "abc" if after[name] != before[name]] == ["b"]

    def test_what_stops_planning_is_told_to_all(self, workspace: Workspace, tmp_path: Path) -> None:
        with pytest.raises(BatchProcessingError, match="no line art"):
            run(workspace, tmp_path / "out", {"items": {}, "fail": "no line art"})
        job = workspace.ledger.job(1)
        assert (job.state, str(job.error), job.exit_code) == ("failed", "no line art", 1)
        with pytest.raises(JobFailed, match="no line art"):
            run_job(workspace, 1, Tiny())

    def test_a_retry_of_one_leaves_the_others_as_they_ended(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        work = items("a", how="not yet", once=str(tmp_path / "a")) | items(
            "b", how="not yet", once=str(tmp_path / "b")
        )
        run(workspace, tmp_path / "out", {"items": work})
        assert states(workspace.ledger) == ["failed", "failed"]
        workspace.ledger.retry(1, keys=["a"])
        workspace.ledger.adopt(1, process_identity())
        run_job(workspace, 1, Tiny())
        assert states(workspace.ledger) == ["completed", "failed"]
        run(workspace, tmp_path / "out", {"items": work})  # the same command again
        assert states(workspace.ledger) == ["completed", "completed"]

    def test_a_retry_while_it_runs_is_done_too(self, workspace: Workspace, tmp_path: Path) -> None:
        once = items("a", how="not yet", once=str(tmp_path / "once"))
        retried = False

        def on_news(_events: Any, snapshot: Any) -> None:
            nonlocal retried
            if snapshot.counts["failed"] and not retried:
                retried = bool(workspace.ledger.retry(1))

        run(workspace, tmp_path / "out", {"items": once | items("b", seconds=2.0)}, on_news=on_news)
        assert retried
        assert states(workspace.ledger) == ["completed", "completed"]


class TestControl:
    """Wishes of another process; here another connection to the same file."""

    def test_pause_lets_pages_end_and_resume_goes_on(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        process = start(tmp_path / "out", {"items": items(*"abcdefgh", seconds=0.5)})
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))
        workspace.ledger.want(1, "pause")
        took = until(
            lambda: (
                workspace.ledger.job(1).phase.startswith("finishing")
                or workspace.ledger.job(1).state == "paused"
            )
        )
        assert took < ACKNOWLEDGED_S
        until(lambda: workspace.ledger.job(1).state == "paused")
        before = states(workspace.ledger)
        assert "processing" not in before
        assert "pending" in before
        time.sleep(1.0)
        assert states(workspace.ledger) == before
        assert process.poll() is None
        workspace.ledger.want(1, "run")
        assert process.wait(PATIENCE_S) == 0
        check_output(workspace.ledger, tmp_path / "out")
        assert set(states(workspace.ledger)) == {"completed"}

    @pytest.mark.parametrize("paused", [False, True])
    def test_cancel_keeps_what_is_finished(
        self, workspace: Workspace, tmp_path: Path, start: Start, paused: bool
    ) -> None:
        config = {"items": items("a") | items(*"bcdef", seconds=300.0)}
        if paused:
            config = {"items": items(*"abcdefgh", seconds=0.5)}
        process = start(tmp_path / "out", config)
        until(lambda: workspace.database.exists() and "completed" in _states_if_any(workspace))
        if paused:
            workspace.ledger.want(1, "pause")
            until(lambda: workspace.ledger.job(1).state == "paused")
        assert not cancel_job(workspace, 1, Tiny()).ended or paused
        until(lambda: workspace.ledger.job(1).state == "cancelled", 10.0)
        assert process.wait(PATIENCE_S) == 4
        assert set(states(workspace.ledger)) == {"completed", "cancelled"}
        check_output(workspace.ledger, tmp_path / "out")
        done = states(workspace.ledger).count("completed")
        said = [str(event.data["text"]) for event in workspace.ledger.events(1) if event.kind == "note"]
        assert said == [f"{done} done before"]

    def test_planning_can_be_paused_and_cancelled(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        process = start(tmp_path / "out", {"items": items("a"), "learn": 300.0})
        until(lambda: workspace.database.exists() and _phase(workspace) == "learning")
        workspace.ledger.want(1, "pause")
        assert until(lambda: workspace.ledger.job(1).state == "paused") < ACKNOWLEDGED_S
        workspace.ledger.want(1, "run")
        until(lambda: workspace.ledger.job(1).state == "planning")
        assert workspace.ledger.job(1).phase == "learning"
        workspace.ledger.want(1, "cancel")
        assert until(lambda: workspace.ledger.job(1).state == "cancelled") < ACKNOWLEDGED_S
        assert process.wait(PATIENCE_S) == 4

    def test_ctrl_c_finishes_pages_and_leaves(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        process = start(tmp_path / "out", {"items": items(*"abcdef", seconds=1.0)})
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        assert "lote resume 1" in told
        assert workspace.ledger.job(1).state == "paused"
        assert sorted(set(states(workspace.ledger))) == ["completed", "pending"]
        assert max(item.attempts for item in workspace.ledger.items(1)) == 1
        check_output(workspace.ledger, tmp_path / "out")
        assert run(workspace, tmp_path / "out", {"items": items(*"abcdef", seconds=1.0)}).state == "done"
        check_output(workspace.ledger, tmp_path / "out")

    def test_a_second_ctrl_c_lets_go(self, workspace: Workspace, tmp_path: Path, start: Start) -> None:
        process = start(tmp_path / "out", {"items": items(*"ab", seconds=300.0)})
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))
        process.send_signal(signal.SIGINT)
        until(lambda: workspace.ledger.job(1).phase.startswith("finishing"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 130
        assert states(workspace.ledger) == ["pending", "pending"]
        assert workspace.ledger.job(1).state == "paused"
        check_output(workspace.ledger, tmp_path / "out")

    def test_an_exception_of_the_listener_leaves_the_job_to_others(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        def on_news(_events: Any, snapshot: Any) -> None:
            if snapshot.counts["completed"]:
                raise KeyboardInterrupt

        config = {"items": items(*"abcd", seconds=0.5)}
        with pytest.raises(KeyboardInterrupt):
            run(workspace, tmp_path / "out", config, on_news=on_news)
        assert workspace.ledger.job(1).state == "paused"
        assert "processing" not in states(workspace.ledger)
        assert psutil.Process().children() == []
        assert run(workspace, tmp_path / "out", config).state == "done"
        check_output(workspace.ledger, tmp_path / "out")

    def test_cancel_of_an_interrupted_job_removes_its_unfinished_files(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        process = start(tmp_path / "out", {"items": items("a") | items("b", seconds=300.0)})
        until(lambda: workspace.database.exists() and "completed" in _states_if_any(workspace))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        token = next(workspace.ledger.items(1, "processing")).token
        (tmp_path / "out" / f".b.{token}.part").write_text("half")
        assert workspace.ledger.job(1).state == "interrupted"
        assert cancel_job(workspace, 1, Tiny()).state == "cancelled"
        assert states(workspace.ledger) == ["completed", "cancelled"]
        check_output(workspace.ledger, tmp_path / "out")


class TestFollowers:
    def test_two_at_once_do_everything_once_and_end_alike(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        config = {"items": items(*"abcdefgh", seconds=0.1)}
        both = [start(tmp_path / "out", config) for _ in range(2)]
        assert [process.wait(PATIENCE_S) for process in both] == [0, 0]
        assert [item.attempts for item in workspace.ledger.items(1)] == [1] * 8
        assert len(workspace.ledger.jobs()) == 1
        check_output(workspace.ledger, tmp_path / "out")

    @pytest.mark.parametrize("wish", ["run", "cancel"])
    def test_a_follower_takes_a_killed_ones_place_and_its_wishes(
        self, workspace: Workspace, tmp_path: Path, start: Start, wish: str
    ) -> None:
        config = {"items": items(*"abcdefgh", seconds=0.5)}
        first = start(tmp_path / "out", config)
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))
        second = start(tmp_path / "out", config)
        assert second.stdout is not None
        second.stdout.readline()  # it has submitted, and follows from now on
        time.sleep(1.0)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        workspace.ledger.want(1, wish)
        took = until(lambda: (workspace.ledger.job(1).owner or {}).get("pid") == second.pid)
        assert took < TAKEN_OVER_S
        assert second.wait(PATIENCE_S) == (4 if wish == "cancel" else 0)
        if wish == "run":
            assert set(states(workspace.ledger)) == {"completed"}
            redone = sum(item.attempts - 1 for item in workspace.ledger.items(1))
            assert redone <= 2
        check_output(workspace.ledger, tmp_path / "out")

    def test_a_second_job_waits_its_turn_and_can_be_cancelled_there(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        first = start(tmp_path / "one", {"items": items("a", "b", seconds=300.0)})
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))
        second = start(tmp_path / "two", {"items": items("c")})
        until(lambda: len(workspace.ledger.jobs()) == 2)
        time.sleep(1.0)
        assert workspace.ledger.job(2).state == "queued"
        cancel_job(workspace, 2, Tiny())
        assert second.wait(PATIENCE_S) == 4
        assert workspace.ledger.job(1).state == "running"
        third = start(tmp_path / "three", {"items": items("d")})
        until(lambda: len(workspace.ledger.jobs()) == 3)
        cancel_job(workspace, 1, Tiny())
        assert first.wait(PATIENCE_S) == 4
        assert third.wait(PATIENCE_S) == 0
        check_output(workspace.ledger, tmp_path / "three", 3)

    def test_who_stops_waiting_holds_nobody_up(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        process = start(tmp_path / "one", {"items": items("a", "b", seconds=300.0)})
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))

        def on_news(_events: Any, _snapshot: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(workspace, tmp_path / "two", {"items": items("c")}, on_news=on_news)
        assert (workspace.ledger.job(2).state, workspace.ledger.job(2).alive) == ("paused", False)
        cancel_job(workspace, 1, Tiny())
        assert process.wait(PATIENCE_S) == 4
        assert run(workspace, tmp_path / "three", {"items": items("d")}).state == "done"

    def test_ctrl_c_in_a_follower_only_stops_following(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        process = start(tmp_path / "out", {"items": items(*"abcd", seconds=1.0)})
        until(lambda: workspace.database.exists() and "processing" in _states_if_any(workspace))
        interrupt = Interrupt()
        interrupt.level = 1
        with pytest.raises(Interrupted, match="goes on by itself"):
            run_job(workspace, 1, Tiny(), interrupt=interrupt)
        assert process.wait(PATIENCE_S) == 0

    def test_a_run_that_its_living_process_gave_up_is_taken_over(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        """A thread that died without a word, in a process that lives on: the lock tells the truth."""
        number = submit(workspace, tmp_path / "out", {"items": items("a")}).id
        somebody = process_identity(os.getppid())
        workspace.ledger.set_job(number, owner=somebody, state="running")
        assert workspace.ledger.job(number).alive
        assert run_job(workspace, number, Tiny()).state == "done"


class TestFencing:
    def test_a_result_whose_lease_was_lost_is_dropped(self, workspace: Workspace, tmp_path: Path) -> None:
        """A worker that was stopped past its lease goes on, and its result comes late."""
        ledger = workspace.ledger
        stolen: list[str] = []

        class Stealing(Tiny):
            def pool(self, job: Any) -> Any:
                inner = super().pool(job)
                completed = inner.completed

                def late(timeout: float) -> list[Result]:
                    results = completed(timeout)
                    if results and not stolen:
                        for item in ledger.items(job.id, "processing"):
                            stolen.append(item.key)
                            with ledger.database.write() as connection:
                                connection.exec_driver_sql(
                                    "UPDATE item SET state = 'pending', token = NULL WHERE id = ?", (item.id,)
                                )
                    return results

                inner.completed = late  # type: ignore[method-assign]
                return inner

        number = submit(workspace, tmp_path / "out", {"items": items(*"abc"), "slots": 1}).id
        assert run_job(workspace, number, Stealing()).state == "done"
        assert stolen == ["a"]
        assert [item.attempts for item in ledger.items(number)] == [2, 1, 1]
        check_output(ledger, tmp_path / "out")


class TestBatches:
    """Items that are done together stay items: each has its own state, output and error."""

    def test_they_go_in_the_order_of_the_plan(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {
            "items": items(*"abcdef") | items("g", priority=1), "slots": 1,
            "batches": ["dg", "bf", "a"],
        }  # fmt: skip
        news: list[Any] = []
        run(workspace, tmp_path / "out", config, on_news=lambda *what: news.append(what))
        told = [event.key for events, _ in news for event in events if event.kind == "page"]
        # By priority, which takes its company along; then what belongs to no batch.
        assert told == ["g", "d", "c", "e", "b", "f", "a"]
        check_output(workspace.ledger, tmp_path / "out")
        together = {item.key: item.details for item in workspace.ledger.items(1)}
        assert together["d"] == together["b"] == {"together": 2}
        assert "pid" in (together["a"] or {})

    def test_an_error_is_its_own_items_only(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {"items": items(*"abc") | items("d", how="it is torn"), "slots": 1, "batches": ["abcd"]}
        run(workspace, tmp_path / "out", config)
        assert states(workspace.ledger) == ["completed"] * 3 + ["failed"]
        check_output(workspace.ledger, tmp_path / "out")

    def test_only_the_item_that_takes_its_worker_down_fails(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        config = {
            "items": items(*"abc") | items("bad", how="die"), "slots": 1,
            "batches": [["a", "bad", "b"], ["c"]],
        }  # fmt: skip
        run(workspace, tmp_path / "out", config)
        assert states(workspace.ledger) == ["completed"] * 3 + ["failed"]
        check_output(workspace.ledger, tmp_path / "out")
        assert [item.attempts for item in workspace.ledger.items(1)] == [2, 2, 1, 2]

    def test_a_kill_leaves_the_batches_as_they_were(
        self, workspace: Workspace, tmp_path: Path, start: Start
    ) -> None:
        config = {"items": items(*"abcdef", seconds=0.3), "slots": 1, "batches": ["fa", "eb", "dc"]}
        process = start(tmp_path / "out", config)
        until(lambda: _states_if_any(workspace).count("completed") >= 2)
        places = [(item.turn, item.place) for item in workspace.ledger.items(1)]
        process.kill()
        process.wait()
        run(workspace, tmp_path / "out", config)
        assert [(item.turn, item.place) for item in workspace.ledger.items(1)] == places
        assert places[0] == (1, [1, 2])
        check_output(workspace.ledger, tmp_path / "out")
        assert sum(item.attempts for item in workspace.ledger.items(1)) <= 8

    def test_a_changed_item_leaves_its_batch(self, workspace: Workspace, tmp_path: Path) -> None:
        config = {"items": items(*"abc"), "slots": 1, "batches": ["ab"]}
        run(workspace, tmp_path / "out", config)
        config = {"items": items(*"abc") | items("b", times=2), "slots": 1}
        run(workspace, tmp_path / "out", config)
        assert [item.turn for item in workspace.ledger.items(1)] == [1, 0, 0]
        assert (tmp_path / "out" / "b").read_text() == "text of b" * 2

    def test_a_pause_is_kept_at_the_end_of_a_batch_and_a_cancel_at_once(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        config = {"items": items(*"abcd", seconds=0.5), "slots": 1, "batches": ["ab", "cd"]}
        number = submit(workspace, tmp_path / "out", config).id
        thread = threading.Thread(target=run_job, args=(workspace, number, Tiny()))
        thread.start()
        until(lambda: "processing" in states(workspace.ledger))
        workspace.ledger.want(number, "pause")
        until(lambda: workspace.ledger.job(number).state == "paused")
        assert states(workspace.ledger) == ["completed"] * 2 + ["pending"] * 2
        workspace.ledger.want(number, "run")
        until(lambda: "processing" in states(workspace.ledger))
        workspace.ledger.want(number, "cancel")
        thread.join(PATIENCE_S)
        assert states(workspace.ledger) == ["completed"] * 2 + ["cancelled"] * 2


def test_threads_may_run_jobs_side_by_side_in_their_own_workspaces(tmp_path: Path) -> None:
    def one(name: str) -> None:
        workspace = Workspace(tmp_path / name)
        run(workspace, tmp_path / f"{name}-out", {"items": items(*"abc")})
        workspace.close()

    threads = [threading.Thread(target=one, args=(name,)) for name in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    for name in ("x", "y"):
        workspace = Workspace(tmp_path / name)
        check_output(workspace.ledger, tmp_path / f"{name}-out")
        assert set(states(workspace.ledger)) == {"completed"}
        workspace.close()


def _states_if_any(workspace: Workspace) -> list[str]:
    try:
        return states(workspace.ledger) if workspace.ledger.jobs() else []
    except ResourceError:  # its tables are being made
        return []


def _phase(workspace: Workspace) -> str:
    jobs = workspace.ledger.jobs()
    return jobs[0].phase if jobs else ""


class TestFaults:
    """Whatever an application does, its job ends, and others come to their turn."""

    def test_one_that_cannot_say_what_was_done_is_cancelled(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        class Mute(Tiny):
            def cancelled(self, context: JobContext) -> None:
                raise ValueError("a row of another time")

        job = submit(workspace, tmp_path / "out", {"items": items("a")})
        workspace.ledger.want(job.id, Wish.CANCEL)
        with pytest.raises(ValueError, match="another time"):
            run_job(workspace, job.id, Mute())
        assert workspace.ledger.job(job.id).state == JobState.CANCELLED
        assert run(workspace, tmp_path / "next", {"items": items("a")}).state == JobState.DONE

    @pytest.mark.parametrize("error", [ConfigurationError("no such backend"), AssertionError()])
    def test_one_that_has_no_pool_has_failed_and_says_why(
        self, workspace: Workspace, tmp_path: Path, error: Exception
    ) -> None:
        class Broken(Tiny):
            def pool(self, job: Job) -> Pool:
                raise error

        job = submit(workspace, tmp_path / "out", {"items": items("a")})
        with pytest.raises(type(error)):
            run_job(workspace, job.id, Broken())
        failed = workspace.ledger.job(job.id)
        assert failed.state == JobState.FAILED
        assert str(failed.error) == (str(error) or type(error).__name__)
        with pytest.raises(JobFailed, match=str(failed.error)):
            run_job(workspace, job.id, Tiny())  # who follows it is told


def test_a_folder_that_is_called_like_ours_stays_a_persons(workspace: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "mine" / "jobs" / "1" / "pages"
    assert run(workspace, output, {"items": items("a")}).state == JobState.DONE
    assert run(workspace, output, {"items": items("a")}).state == JobState.DONE
    assert [item.output for item in workspace.ledger.items(1)] == [str(output / "a")]
    assert workspace.ledger.reused(1) == 1
