"""BatchProcessor against a dictionary: whatever is called in whichever order, its states are the model's.

The ledger, the queue and the tracker have their machines in tests/core/test_queue_and_status.py."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from batch_processing import BatchConfig, BatchProcessingError, BatchProcessor, ValidationError
from batch_processing.core.workers import Failure, Pool, Result, Task
from batch_processing.messages import Message
from faults.runs import Length, Report
from pages import colored, line_art

GOOD = ["1.png", "2.png", "3.png", "10.png"]
BROKEN = "broken.png"  # an image by its name: it fails by itself
NO_IMAGES = ["missing.png", "notes.txt"]


class PoolInHere:
    """A `Pool` without processes, so that a start costs milliseconds."""

    def __init__(self, slots: int, *, memory_limit: int = 0) -> None:
        self.slots = slots
        self.ended: list[Result] = []

    @property
    def free(self) -> int:
        return self.slots - len(self.ended)

    @property
    def here(self) -> Pool:
        return self

    def news(self) -> list[Message]:
        return []

    def submit(self, *tasks: Task) -> None:
        for task in tasks:
            try:
                value = task.work.run(lambda done, total: None)
            except BatchProcessingError as error:
                self.ended.append(Result(task.id, None, Failure(type(error).__name__, str(error)), 0.0))
            else:
                self.ended.append(Result(task.id, value, None, 0.0))

    def completed(self, timeout: float) -> list[Result]:
        ended, self.ended = self.ended, []
        return ended

    def progress(self) -> dict[str, tuple[int, int]]:
        return {}

    def stop(self, task_ids: Sequence[str]) -> None:
        pass

    def withdraw(self) -> None:
        pass

    def close(self) -> None:
        self.ended = []


class ProcessorMachine(RuleBasedStateMachine):
    """`model` has the state of every image that was taken; `waiting` what the queue holds, in its order."""

    inputs: Path
    steps = 0

    @initialize(preview=st.booleans())
    def begin(self, preview: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        config = BatchConfig(
            str(self.inputs),
            str(root / "out"),
            [str(self.inputs / "cover.jpg")],
            preview_mode=preview,
            backend="noop",
        )
        self.processor = BatchProcessor(config, root / "ws")
        self.model: dict[str, str] = {}
        self.waiting: list[str] = []
        self.preview: str | None = None
        self.approved = not preview

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(names=st.lists(st.sampled_from([*GOOD, BROKEN, *NO_IMAGES]), max_size=4))
    def add(self, names: list[str]) -> None:
        fresh = [
            name
            for name in dict.fromkeys(names)
            if name not in NO_IMAGES and str(self.inputs / name) not in self.model
        ]
        if not fresh:
            with pytest.raises(ValidationError, match="No valid images added" if names else "list is empty"):
                self.processor.add_images(str(self.inputs / name) for name in names)
            return
        assert self.processor.add_images(str(self.inputs / name) for name in names) == len(fresh)
        for name in fresh:
            self.model[str(self.inputs / name)] = "pending"
            self.waiting.append(str(self.inputs / name))

    @rule(cancel=st.booleans())
    def start(self, cancel: bool) -> None:
        if not self.approved and self.preview:
            with pytest.raises(BatchProcessingError, match="preview waits"):
                self.processor.start_processing()
            return
        if not self.waiting:
            with pytest.raises(BatchProcessingError, match="queue is empty"):
                self.processor.start_processing()
            return
        batch = self.waiting if self.approved else self.waiting[:1]
        if not self.approved:
            self.preview = batch[0]
        if cancel:
            self.processor.on_progress = lambda snapshot: self.processor.cancel_processing()
        self.processor.start_processing()
        self.processor.on_progress = None
        self.waiting = self.waiting[len(batch) :]
        for path in batch:
            state = self.processor.status_tracker.get_status(path).state.value
            ended = "failed" if path.endswith(BROKEN) else "completed"
            assert state == ended or (cancel and state == "cancelled")
            self.model[path] = state

    @rule(name=st.sampled_from(["pause_processing", "resume_processing", "cancel_processing"]))
    def control_while_idle(self, name: str) -> None:
        getattr(self.processor, name)()

    @rule()
    def approve(self) -> None:
        if self.preview is None:
            with pytest.raises(BatchProcessingError, match=r"no preview|not enabled"):
                self.processor.approve_preview()
            return
        self.processor.approve_preview()
        self.approved = True

    @rule()
    def reject(self) -> None:
        if self.preview is None:
            with pytest.raises(BatchProcessingError, match=r"no preview|not enabled"):
                self.processor.reject_preview()
            return
        self.processor.reject_preview()
        self.model[self.preview] = "pending"
        self.waiting.insert(0, self.preview)
        self.preview, self.approved = None, False

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "processor"):
            return
        type(self).steps += 1
        told = self.processor.get_status()
        states = list(self.model.values())
        assert {
            name: told[name] for name in ("completed", "failed", "pending", "processing", "cancelled")
        } == {
            name: states.count(name) for name in ("completed", "failed", "pending", "processing", "cancelled")
        }
        assert (told["total_images"], told["queue_size"]) == (len(states), len(self.waiting))
        assert not told["is_processing"]
        assert not told["is_paused"]
        assert [item.input_path for item in self.processor.queue] == self.waiting
        assert self.processor.is_waiting_for_preview_approval() == (
            not self.approved and self.preview is not None
        )
        for path, status in self.processor.status_tracker.get_all_statuses().items():
            assert status.state.value == self.model[path]
            if status.state.value == "completed":
                assert Path(str(status.output_path)).is_file()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("images")
    colored(folder / "cover.jpg")
    for number, name in enumerate(GOOD):
        line_art(folder / name, number, (64, 80))
    (folder / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    (folder / "notes.txt").write_text("no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch_processing.comics.application.LocalPool", PoolInHere)
        patch.setattr(ProcessorMachine, "inputs", folder, raising=False)
        yield folder


def test_the_processor_against_a_model(inputs: Path, length: Length, report: Report) -> None:
    profile: Any = settings(
        max_examples=length(10, 600),
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(ProcessorMachine, settings=profile)
    report("the processor against a model", f"{ProcessorMachine.steps:,} steps, no difference")
