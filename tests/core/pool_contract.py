"""What each `Pool` must do, wherever its slots are: a class of tests that each kind of pool inherits."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from batch_processing.core.workers import Pool, Result, Task
from core.engine_tasks import Call, Write

# Starting a worker takes a tenth of a second; a busy machine may need a hundred times as long.
PATIENCE_S = 60.0


def task(name: str, id: str = "t", timeout_s: float = PATIENCE_S, **args: Any) -> Task:  # noqa: A002
    if name == "write":
        return Task(id, Write(part=args.pop("part"), args=args), timeout_s)
    return Task(id, Call(name, args), timeout_s)


def results(pool: Pool, count: int) -> dict[str, Result]:
    found: dict[str, Result] = {}
    until = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < until:
        found |= {result.id: result for result in pool.completed(1.0)}
    assert len(found) == count
    return found


def wait_for_slots(pool: Pool, count: int = 1) -> None:
    until = time.monotonic() + PATIENCE_S
    while pool.free < count and time.monotonic() < until:
        assert pool.completed(0.1) == []
    assert pool.free >= count


def only(pool: Pool, one: Task) -> Result:
    wait_for_slots(pool)
    pool.submit(one)
    return results(pool, 1)[one.id]


class PoolContract:
    """`pool` is a fixture: two slots, both free."""

    def test_plain_values_go_and_come_back(self, pool: Pool) -> None:
        values = {"text": "é\udcff", "number": 1.5, "nothing": None, "bytes": b"\0", "list": [1, {"a": True}]}
        result = only(pool, task("echo", **values))
        assert (result.value, result.failure, result.died) == (values, None, False)

    def test_one_result_for_each_task(self, pool: Pool) -> None:
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

    def test_more_tasks_than_slots_are_refused(self, pool: Pool) -> None:
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
        ],
    )
    def test_a_task_that_fails_says_why(
        self, pool: Pool, name: str, args: dict[str, Any], type_: str, text: str
    ) -> None:
        result = only(pool, task(name, **args))
        assert result.value is None
        assert result.failure is not None
        assert text in str(result.failure.text)
        assert (result.failure.type, result.failure.fatal, result.died) == (type_, False, False)

    @pytest.mark.parametrize(
        ("name", "args", "text"),
        [
            ("leave", {"code": 0}, "exit code 0"),
            ("leave", {"code": 7}, "exit code 7"),
            ("segfault", {}, "SIGSEGV"),
        ],
    )
    def test_a_worker_that_dies_costs_its_own_task_only(
        self, pool: Pool, name: str, args: dict[str, Any], text: str
    ) -> None:
        pool.submit(task("hang", id="other", seconds=1.0))
        pool.submit(task(name, id="dies", **args))
        found = results(pool, 2)
        assert found["other"].failure is None
        dies = found["dies"]
        assert dies.died
        assert dies.failure is not None
        assert text in str(dies.failure.text)
        assert only(pool, task("echo", a=1)).value == {"a": 1}

    def test_stop_ends_a_task_at_its_next_step(self, pool: Pool) -> None:
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

    def test_stop_ends_a_task_without_steps(self, pool: Pool) -> None:
        pool.submit(task("hang"))
        pool.stop(["t"])
        failure = results(pool, 1)["t"].failure
        assert failure is not None
        assert failure.type == "Cancelled"

    def test_arguments_that_are_no_plain_data_are_refused(self, pool: Pool) -> None:
        with pytest.raises((TypeError, AttributeError)):
            pool.submit(task("echo", function=lambda: None))
        assert only(pool, task("echo", a=1)).value == {"a": 1}

    def test_records_and_warnings_arrive_and_stdout_stays_silent(
        self, pool: Pool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with caplog.at_level(logging.INFO):
            assert only(pool, task("noisy")).failure is None
        assert ("some.library", "a record") in [
            (record.name, record.getMessage()) for record in caplog.records
        ]
        assert any("a warning" in record.getMessage() for record in caplog.records)
        assert capfd.readouterr() == ("", "")

    def test_of_those_begun_together_each_has_its_own_result(self, pool: Pool, tmp_path: Path) -> None:
        pool.submit(*self._together(tmp_path, {"a": "", "b": "it is torn", "c": ""}))
        assert pool.free == pool.slots - 1
        found = results(pool, 3)
        torn = found["b"].failure
        assert torn is not None
        assert (torn.type, "it is torn" in str(torn.text)) == ("ImageProcessingError", True)
        for name in "ac":
            value = found[name].value
            assert value is not None
            assert value.details == {"together": 3}
        assert sum(result.seconds for result in found.values()) < PATIENCE_S

    def test_a_fault_of_those_begun_together_is_looked_for_one_by_one(
        self, pool: Pool, tmp_path: Path
    ) -> None:
        pool.submit(*self._together(tmp_path, {"a": "", "b": "together", "c": "it is torn"}))
        found = results(pool, 3)
        assert [bool(found[name].value) for name in "abc"] == [True, True, False]

    def test_which_of_several_takes_too_long_or_dies_is_not_known_yet(
        self, pool: Pool, tmp_path: Path
    ) -> None:
        for how, timeout in (("hang", 0.7), ("die", PATIENCE_S)):
            pool.submit(*self._together(tmp_path, {f"{how} a": "", f"{how} b": how}, timeout))
        found = results(pool, 4)
        assert all(result.died and result.value is None for result in found.values())

    def test_those_begun_together_stop_together_and_tell_their_progress(
        self, pool: Pool, tmp_path: Path
    ) -> None:
        pool.submit(*self._together(tmp_path, {"a": "", "b": ""}, seconds=PATIENCE_S))
        until = time.monotonic() + PATIENCE_S
        while len(pool.progress()) < 2 and time.monotonic() < until:
            assert pool.completed(0.1) == []
        assert pool.progress()["a"] == pool.progress()["b"]
        pool.stop(["b"])
        found = results(pool, 2)
        assert {result.failure.type for result in found.values() if result.failure} == {"Cancelled"}

    def _together(
        self, folder: Path, hows: dict[str, str], timeout_s: float = PATIENCE_S, seconds: float = 0.0
    ) -> list[Task]:
        return [
            task(
                "write",
                name,
                timeout_s,
                part=str(folder / f"{name}.part"),
                text=name,
                how=how,
                seconds=seconds,
            )
            for name, how in hows.items()
        ]
