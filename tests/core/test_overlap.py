"""One worker with several pieces of work at once: who waits for whom, and what each fault costs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch_processing.core.overlap import OverlapPool
from batch_processing.core.workers import Result, Task
from core.engine_tasks import Call, Parted

PATIENCE_S = 60.0


@pytest.fixture
def pool() -> Iterator[OverlapPool]:
    pool = OverlapPool()
    yield pool
    pool.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


def work(name: str, log: Path, timeout_s: float = PATIENCE_S, *, alone: bool = False, **args: Any) -> Task:
    return Task(name, Parted(name, str(log), **args), timeout_s, alone=alone)


def results(pool: OverlapPool, count: int) -> dict[str, Result]:
    found: dict[str, Result] = {}
    until = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < until:
        found |= {result.id: result for result in pool.completed(0.5)}
    assert len(found) == count
    return found


def all_of(pool: OverlapPool, tasks: Sequence[Task]) -> dict[str, Result]:
    """Every result, with as many in flight as can be."""
    waiting, found = list(tasks), dict[str, Result]()
    until = time.monotonic() + PATIENCE_S
    while len(found) < len(tasks) and time.monotonic() < until:
        while waiting and pool.free:
            pool.submit(waiting.pop(0))
        found |= {result.id: result for result in pool.completed(0.5)}
    assert len(found) == len(tasks)
    return found


def failures(found: dict[str, Result]) -> dict[str, tuple[str, bool] | None]:
    return {
        name: (result.failure.type, result.died) if result.failure else None
        for name, result in sorted(found.items())
    }


def until_said(log: Path, *lines: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not set(lines) <= set(log.read_text().splitlines()):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.01)


def test_the_device_works_while_the_next_begins_and_the_last_is_finished(
    pool: OverlapPool, log: Path
) -> None:
    """Each waits for what only another piece can do meanwhile: one after the other, nobody would ever end."""
    tasks = [
        work("1", log, after={"device": ["begin 2"], "finish": ["device 2"]}),
        work("2", log, after={"device": ["finish 1", "begin 3"], "finish": ["device 3"]}),
        # Two are finished at once, and none is kept waiting on the device by them.
        work("3", log, after={"device": ["begin 4"], "finish": ["finish 4"]}),
        work("4", log, after={"finish": ["finish 3", "device 5"]}),
        work("5", log),
    ]
    found = all_of(pool, tasks)
    assert failures(found) == dict.fromkeys("12345")
    assert [result.value.details["name"] for _, result in sorted(found.items())] == list("12345")
    said = log.read_text().splitlines()
    # What there is one of is used in turn.
    assert [line for line in said if line.startswith("device")] == [f"device {name}" for name in "12345"]


def test_one_alone_is_done_as_ever(pool: OverlapPool, log: Path) -> None:
    assert failures(all_of(pool, [work("1", log)])) == {"1": None}
    assert log.read_text().splitlines() == ["begin 1", "device 1", "finish 1", "end 1"]


def test_tasks_that_are_no_parts_have_the_worker_for_themselves(pool: OverlapPool, log: Path) -> None:
    tasks = [
        work("1", log, how={"finish": "sleep"}),
        Task("x", Call("append", {"path": str(log), "text": "x\n"})),
        work("2", log),
    ]
    assert failures(all_of(pool, tasks)) == dict.fromkeys(["1", "2", "x"])
    said = log.read_text().splitlines()
    assert said.index("end 1") < said.index("x") < said.index("begin 2")


def test_what_needs_something_else_loaded_waits(pool: OverlapPool, log: Path) -> None:
    tasks = [
        work("1", log, how={"finish": "sleep"}, needs="a"),
        work("2", log, needs="b", how={"finish": "sleep"}),
        work("3", log, needs="b", alone=True),
        work("4", log, needs="b"),
    ]
    all_of(pool, tasks)
    said = log.read_text().splitlines()
    assert said.index("end 1") < said.index("begin 2")
    assert said.index("end 2") < said.index("whole 3")
    assert said.index("end 3") < said.index("begin 4")


def test_a_fault_in_any_part_costs_its_task(pool: OverlapPool, log: Path) -> None:
    parts = ("begin", "device", "finish")
    tasks = [
        work(f"{part} {how}", log, how={part: how}) for part in parts for how in ("wrong", "bug", "none")
    ]
    expected = {"wrong": ("ImageProcessingError", False), "bug": ("KeyError", False), "none": None}
    assert failures(all_of(pool, tasks)) == {task.id: expected[task.id.split()[1]] for task in tasks}


def test_who_finds_no_memory_beside_others_is_done_by_itself(pool: OverlapPool, log: Path) -> None:
    tasks = [work("1", log), work("2", log, how={"finish": "memory"}), work("3", log), work("4", log)]
    assert failures(all_of(pool, tasks)) == dict.fromkeys("1234")
    said = log.read_text().splitlines()
    begun, ended = (said.index(f"{part} 2", said.index("whole 2")) for part in ("begin", "end"))
    assert {line.split()[1] for line in said[begun:ended]} == {"2"}


def test_several_that_fail_together_are_done_one_by_one(pool: OverlapPool, log: Path) -> None:
    pool.submit(work("1", log), work("2", log, how={"device": "bug"}), work("3", log))
    found = results(pool, 3)
    assert failures(found) == {"1": None, "2": ("KeyError", False), "3": None}


def test_a_kill_costs_what_was_begun(pool: OverlapPool, log: Path) -> None:
    tasks = [
        work("1", log, after={"finish": ["never"]}),
        work("2", log, after={"device": ["never"]}),
        work("3", log),
        work("4", log),
    ]
    for task in tasks:
        pool.submit(task)
    until_said(log, "finish 1", "device 2", "begin 3")
    (child,) = psutil.Process().children()
    os.kill(child.pid, signal.SIGKILL)
    # The fourth was waiting: it goes to another worker.
    dead = ("WorkerDied", True)
    assert failures(results(pool, 4)) == {"1": dead, "2": dead, "3": dead, "4": None}
    assert log.read_text().splitlines().count("begin 4") == 1


def test_a_worker_that_always_dies_is_somebodys_fault(pool: OverlapPool, log: Path) -> None:
    tasks = [work(name, log, how={"begin": "exit"}) for name in "1234"]
    assert failures(all_of(pool, tasks)) == dict.fromkeys("1234", ("WorkerDied", True))


def test_a_hang_costs_who_was_at_work(pool: OverlapPool, log: Path) -> None:
    """The third only waits for the device; which of the others hangs is not known, and shows when each is alone."""
    pool.submit(work("1", log, after={"finish": ["never"]}))
    pool.submit(work("2", log, timeout_s=1.0, how={"device": "hang"}))
    pool.submit(work("3", log, timeout_s=1.0))
    late = ("TimeoutError", True)
    assert failures(results(pool, 3)) == {"1": late, "2": late, "3": ("Cancelled", False)}
    again = all_of(pool, [work("2", log, timeout_s=1.0, how={"device": "hang"}, alone=True), work("3", log)])
    assert failures(again) == {"2": ("TimeoutError", False), "3": None}


def test_time_that_a_piece_waits_for_the_device_is_not_its_own(pool: OverlapPool, log: Path) -> None:
    slow = {"begin": "sleep", "device": "sleep"}
    tasks = [work(str(number), log, timeout_s=2.0, how=slow) for number in range(9)]
    for task in tasks[:4]:
        pool.submit(task)
    found = results(pool, 4) | all_of(pool, tasks[4:])
    assert failures(found) == dict.fromkeys(map(str, range(9)))
    assert all(result.seconds < 2.0 for result in found.values())


def test_stop_ends_all_of_them(pool: OverlapPool, log: Path) -> None:
    never = {"finish": ["never"]}
    for name in "1234":
        pool.submit(work(name, log, after=never if name == "1" else {"device": ["never"]}))
    until_said(log, "finish 1", "device 2", "begin 3")
    pool.stop(list("1234"))
    assert failures(results(pool, 4)) == dict.fromkeys("1234", ("Cancelled", False))


def test_what_is_withdrawn_had_not_reached_the_device(pool: OverlapPool, log: Path) -> None:
    tasks = [
        work("1", log, after={"finish": ["go on"]}),
        work("2", log, after={"device": ["go on"]}),
        work("3", log),
        work("4", log),
    ]
    for task in tasks:
        pool.submit(task)
    until_said(log, "finish 1", "device 2", "begin 3")
    pool.withdraw()
    assert failures(results(pool, 2)) == dict.fromkeys("34", ("Cancelled", False))
    with log.open("a") as file:
        file.write("go on\n")
    assert failures(results(pool, 2)) == dict.fromkeys("12")
    assert "device 3" not in log.read_text()
    assert failures(all_of(pool, tasks[2:])) == dict.fromkeys("34")


def test_a_worker_that_has_done_enough_is_followed_by_another(log: Path) -> None:
    pool = OverlapPool(tasks_per_child=2)
    try:
        assert failures(all_of(pool, [work(str(n), log) for n in range(7)])) == dict.fromkeys("0123456")
    finally:
        pool.close()
    assert psutil.Process().children() == []


def test_what_is_no_plain_data_is_refused(pool: OverlapPool, log: Path) -> None:
    with pytest.raises((TypeError, AttributeError)):
        pool.submit(Task("t", Call("echo", {"function": lambda: None})))
    assert failures(all_of(pool, [work("1", log)])) == {"1": None}
    found = all_of(pool, [Task("t", Call("not_plain", {}))])
    assert failures(found) == {"t": ("TypeError", False)}
