"""Workers: whatever a task does, it costs that task only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from batch_processing.core.workers import LocalPool
from core.pool_contract import PATIENCE_S, PoolContract, only, results, task


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    pool = LocalPool(2)
    yield pool
    pool.close()


class TestLocalPool(PoolContract):
    """A pool on this machine."""


def test_a_full_disk_is_fatal(pool: LocalPool) -> None:
    failure = only(pool, task("disk_full")).failure
    assert failure is not None
    assert (failure.type, failure.fatal) == ("ResourceError", True)


def test_a_killed_worker_is_told(pool: LocalPool) -> None:
    pool.submit(task("hang"))
    (child,) = psutil.Process().children()
    child.kill()
    result = results(pool, 1)["t"]
    assert result.died
    assert result.failure is not None
    assert "SIGKILL" in str(result.failure.text)


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


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit the address space")
@pytest.mark.parametrize(("name", "args"), [("eat", {"size": 4 << 30}), ("eat_by_cv2", {"side": 60_000})])
def test_a_task_that_eats_too_much_memory_fails_by_itself(name: str, args: dict[str, int]) -> None:
    pool = LocalPool(1, memory_limit=2 << 30)
    try:
        failure = only(pool, task(name, **args)).failure
        assert failure is not None
        assert failure.type == "MemoryError"
        assert "more memory than a worker may use" in str(failure.text)
        assert only(pool, task("eat", size=1 << 20)).value == {"size": 1 << 20}
    finally:
        pool.close()


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
        "from batch_processing.core.workers import LocalPool, Task; from core.engine_tasks import Call; import psutil\n"
        "pool = LocalPool(1); pool.submit(Task('t', Call('steps', {'count': 9999, 'seconds': 0.1})))\n"
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
