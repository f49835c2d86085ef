"""Workers: whatever a task does, it costs that task only."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch_processing.core.workers import LocalPool, Result, Task

# Starting a worker takes a tenth of a second; a busy machine may need a hundred times as long.
PATIENCE_S = 60.0


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    pool = LocalPool(2)
    yield pool
    pool.close()


def task(name: str, id: str = "t", timeout_s: float = PATIENCE_S, **args: Any) -> Task:  # noqa: A002
    return Task(id, f"core.engine_tasks:{name}", args, timeout_s)


def results(pool: LocalPool, count: int) -> dict[str, Result]:
    found: dict[str, Result] = {}
    until = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < until:
        found |= {result.id: result for result in pool.completed(1.0)}
    assert len(found) == count
    return found


def only(pool: LocalPool, one: Task) -> Result:
    pool.submit(one)
    return results(pool, 1)[one.id]


def test_plain_values_go_and_come_back(pool: LocalPool) -> None:
    values = {"text": "é\udcff", "number": 1.5, "nothing": None, "bytes": b"\0", "list": [1, {"a": True}]}
    result = only(pool, task("echo", **values))
    assert (result.value, result.failure, result.died) == (values, None, False)


def test_one_result_for_each_task(pool: LocalPool) -> None:
    submitted = 0
    found: dict[str, Result] = {}
    while len(found) < 30:
        while submitted < 30 and submitted - len(found) < pool.slots:
            pool.submit(task("echo", id=str(submitted), n=submitted))
            submitted += 1
        for result in pool.completed(PATIENCE_S):
            assert result.id not in found
            found[result.id] = result
    assert [found[str(n)].value for n in range(30)] == [{"n": n} for n in range(30)]
    assert pool.completed(0.0) == []


def test_more_tasks_than_slots_are_refused(pool: LocalPool) -> None:
    pool.submit(task("hang", id="1"))
    pool.submit(task("hang", id="2"))
    with pytest.raises(RuntimeError, match="every slot is busy"):
        pool.submit(task("hang", id="3"))


@pytest.mark.parametrize(
    ("name", "args", "type_", "text"),
    [
        ("wrong_image", {}, "ImageProcessingError", "Error processing page.png: it is torn"),
        ("bug", {}, "KeyError", "unexpected KeyError: 'missing'"),
        ("not_plain", {}, "TypeError", "gave no plain data"),
        ("no_such_task", {}, "AttributeError", "no_such_task"),
    ],
)
def test_a_task_that_fails_says_why(
    pool: LocalPool, name: str, args: dict[str, Any], type_: str, text: str
) -> None:
    result = only(pool, task(name, **args))
    assert result.value is None
    assert result.failure is not None
    assert text in result.failure.text
    assert (result.failure.type, result.failure.fatal, result.died) == (type_, False, False)


def test_a_full_disk_is_fatal(pool: LocalPool) -> None:
    failure = only(pool, task("disk_full")).failure
    assert failure is not None
    assert (failure.type, failure.fatal) == ("ResourceError", True)


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("leave", {"code": 0}, "exit code 0"),
        ("leave", {"code": 7}, "exit code 7"),
        ("segfault", {}, "SIGSEGV"),
    ],
)
def test_a_worker_that_dies_costs_its_own_task_only(
    pool: LocalPool, name: str, args: dict[str, Any], text: str
) -> None:
    pool.submit(task("hang", id="other", seconds=1.0))
    pool.submit(task(name, id="dies", **args))
    found = results(pool, 2)
    assert found["other"].failure is None
    dies = found["dies"]
    assert dies.died
    assert dies.failure is not None
    assert text in dies.failure.text
    assert only(pool, task("echo", a=1)).value == {"a": 1}


class TestTogether:
    """Tasks that were begun together: one slot, one worker, and a result for each."""

    def test_each_has_its_own_result(self, tmp_path: Path) -> None:
        pool = LocalPool(1)
        pool.submit(*self.tasks(tmp_path, {"a": "", "b": "it is torn", "c": ""}))
        assert pool.free == 0
        found = results(pool, 3)
        pool.close()
        torn = found["b"].failure
        assert torn is not None
        assert (torn.type, "it is torn" in torn.text) == ("ImageProcessingError", True)
        for name in "ac":
            value = found[name].value
            assert value is not None
            assert value["details"] == {"together": 3}
        assert sum(result.seconds for result in found.values()) < PATIENCE_S

    def test_a_fault_of_the_whole_is_looked_for_one_by_one(self, tmp_path: Path) -> None:
        pool = LocalPool(1)
        pool.submit(*self.tasks(tmp_path, {"a": "", "b": "together", "c": "it is torn"}))
        found = results(pool, 3)
        pool.close()
        assert [bool(found[name].value) for name in "abc"] == [True, True, False]

    def test_what_takes_too_long_or_dies_is_not_known_yet(self, tmp_path: Path) -> None:
        pool = LocalPool(2)
        for how, timeout in (("hang", 0.7), ("die", PATIENCE_S)):
            pool.submit(*self.tasks(tmp_path, {f"{how} a": "", f"{how} b": how}, timeout))
        found = results(pool, 4)
        pool.close()
        assert all(result.died and result.value is None for result in found.values())

    def test_they_stop_together_and_tell_their_progress(self, tmp_path: Path) -> None:
        pool = LocalPool(1)
        pool.submit(*self.tasks(tmp_path, {"a": "", "b": ""}, seconds=PATIENCE_S))
        until = time.monotonic() + PATIENCE_S
        while len(pool.progress()) < 2 and time.monotonic() < until:
            assert pool.completed(0.1) == []
        assert pool.progress()["a"] == pool.progress()["b"]
        pool.stop(["b"])
        found = results(pool, 2)
        pool.close()
        assert {result.failure.type for result in found.values() if result.failure} == {"Cancelled"}

    def tasks(
        self, folder: Path, hows: dict[str, str], timeout_s: float = PATIENCE_S, seconds: float = 0.0
    ) -> list[Task]:
        return [
            Task(
                name,
                "core.engine_tasks:write",
                {"part": str(folder / f"{name}.part"), "text": name, "how": how, "seconds": seconds},
                timeout_s,
                together="core.engine_tasks:write_together",
            )
            for name, how in hows.items()
        ]


def test_a_killed_worker_is_told(pool: LocalPool) -> None:
    pool.submit(task("hang"))
    (child,) = psutil.Process().children()
    child.kill()
    result = results(pool, 1)["t"]
    assert result.died
    assert result.failure is not None
    assert "SIGKILL" in result.failure.text


def test_a_worker_killed_while_idle_is_nobodys_loss(pool: LocalPool) -> None:
    first = only(pool, task("pid")).value
    assert first is not None
    child = psutil.Process(first["pid"])
    child.kill()
    child.wait(PATIENCE_S)
    result = only(pool, task("pid"))
    assert result.value is not None
    assert result.value["pid"] != first["pid"]


def test_a_task_that_takes_too_long_is_ended(pool: LocalPool) -> None:
    only(pool, task("echo"))  # the worker is up
    result = only(pool, task("hang", timeout_s=0.5))
    assert result.failure is not None
    assert result.failure.type == "TimeoutError"
    assert not result.died
    assert psutil.Process().children() == []


def test_a_stopped_worker_is_ended_at_its_time_limit(pool: LocalPool) -> None:
    value = only(pool, task("pid")).value
    assert value is not None
    pool.submit(task("echo", id="late", timeout_s=1.0, a=1))
    os.kill(value["pid"], signal.SIGSTOP)
    result = results(pool, 1)["late"]
    if result.failure is None:  # it was faster than the signal
        pool.submit(task("echo", id="late", timeout_s=1.0, a=1))
        result = results(pool, 1)["late"]
    assert result.failure is not None
    assert result.failure.type == "TimeoutError"


def test_stop_ends_a_task_at_its_next_step(pool: LocalPool) -> None:
    pool.submit(task("steps", count=10_000, seconds=0.05))
    while not pool.progress():
        pool.completed(0.1)
    assert pool.progress()["t"][1] == 10_000
    pool.stop(["t"])
    began = time.monotonic()
    result = results(pool, 1)["t"]
    assert result.failure is not None
    assert result.failure.type == "Cancelled"
    assert time.monotonic() - began < 5.0  # promised: half a second


def test_stop_ends_a_task_without_steps(pool: LocalPool) -> None:
    pool.submit(task("hang"))
    pool.stop(["t"])
    failure = results(pool, 1)["t"].failure
    assert failure is not None
    assert failure.type == "Cancelled"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit the address space")
@pytest.mark.parametrize(("name", "args"), [("eat", {"size": 4 << 30}), ("eat_by_cv2", {"side": 60_000})])
def test_a_task_that_eats_too_much_memory_fails_by_itself(name: str, args: dict[str, int]) -> None:
    pool = LocalPool(1, memory_limit=2 << 30)
    try:
        failure = only(pool, task(name, **args)).failure
        assert failure is not None
        assert failure.type == "MemoryError"
        assert "more memory than a worker may use" in failure.text
        assert only(pool, task("eat", size=1 << 20)).value == {"size": 1 << 20}
    finally:
        pool.close()


def test_arguments_that_are_no_plain_data_are_refused(pool: LocalPool) -> None:
    with pytest.raises((TypeError, AttributeError)):
        pool.submit(task("echo", function=lambda: None))
    assert only(pool, task("echo", a=1)).value == {"a": 1}


def test_records_and_warnings_arrive_and_stdout_stays_silent(
    pool: LocalPool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        assert only(pool, task("noisy")).failure is None
    assert ("some.library", "a record") in [(record.name, record.getMessage()) for record in caplog.records]
    assert any("a warning" in record.getMessage() for record in caplog.records)
    assert capfd.readouterr() == ("", "")


def test_last_words_of_a_dead_worker_are_logged(pool: LocalPool, caplog: pytest.LogCaptureFixture) -> None:
    only(pool, task("segfault"))
    assert "Segmentation fault" in caplog.text


def test_closing_lets_go_of_everything(pool: LocalPool) -> None:
    pool.submit(task("hang", id="1"))
    only_idle = LocalPool(1)
    only(only_idle, task("echo"))
    assert len(psutil.Process().children()) == 2
    pool.close()
    only_idle.close()
    assert psutil.Process().children() == []
    assert only(pool, task("echo", a=1)).value == {"a": 1}  # and it can be used again


@pytest.mark.parametrize("stopped", [False, True])
def test_workers_leave_with_a_killed_parent(tmp_path: Path, stopped: bool) -> None:
    code = (
        "from batch_processing.core.workers import LocalPool, Task; import psutil\n"
        "pool = LocalPool(1); pool.submit(Task('t', 'core.engine_tasks:steps', {'count': 9999, 'seconds': 0.1}))\n"
        "while not pool.progress(): pool.completed(0.1)\n"
        "print(psutil.Process().children()[0].pid, flush=True); pool.completed(600)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    if stopped and sys.platform == "linux":
        child.suspend()
    parent.kill()
    parent.communicate()
    psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
