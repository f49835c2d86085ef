"""Queue and tracker: in memory and in the ledger they keep one contract, held against simple models."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batch_processing.core.ledger import Ledger
from batch_processing.core.model import ItemSpec, Settlement
from batch_processing.core.queue import ImageQueue, ImageQueueItem
from batch_processing.core.status import ProcessingState, StatusTracker
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import QueueError
from core.tiny import submit

# 10,000 steps in the long form, some 500 in `make test`.
LONG = os.environ.get("LOTE_FAULTS") == "long"
PROFILE = settings(
    max_examples=240 if LONG else 12,
    stateful_step_count=50 if LONG else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
NAMES = st.sampled_from([*"abcdef", os.fsdecode(b"\xff.png"), "ü/ß"])


class QueueMachine(RuleBasedStateMachine):
    """A queue against a sorted list. `ledgered` says where the queue lives."""

    ledgered = False

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "lote.db") if self.ledgered else None
        number = self.ledger.submit("comics", ["/in"], "/out", {}).id if self.ledger else None
        self.queue = ImageQueue(self.ledger, number)
        self.model: list[ImageQueueItem] = []
        self.used: set[str] = set()

    def teardown(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        self.folder.cleanup()

    @rule(
        name=NAMES,
        number=st.integers(0, 3),
        priority=st.integers(-2, 2),
        config=st.none()
        | st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2),
        kind=st.sampled_from([None, "line_art", "colored"]),
        confidence=st.none() | st.floats(0, 1),
    )
    def enqueue(
        self, name: str, number: int, priority: int, config: Any, kind: str | None, confidence: float | None
    ) -> None:
        key = f"{name}{number}"
        item = ImageQueueItem(key, f"/in/{key}", f"/out/{key}", config, priority, kind, confidence)
        if self.ledgered and key in self.used:
            with pytest.raises(QueueError, match="already"):
                self.queue.enqueue(item)
            return
        self.queue.enqueue(item)
        self.used.add(key)
        after = [i for i, other in enumerate(self.model) if other.priority < priority]
        self.model.insert(after[0] if after else len(self.model), item)

    @rule()
    def dequeue(self) -> None:
        assert self.queue.dequeue() == (self.model.pop(0) if self.model else None)

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.used -= {item.id for item in self.model}
        self.model.clear()

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "queue"):
            return
        assert list(self.queue) == self.model
        assert self.queue.size() == len(self.queue) == len(self.model)
        assert bool(self.queue) == bool(self.model)
        assert self.queue.peek() == (self.model[0] if self.model else None)


class LedgeredQueueMachine(QueueMachine):
    ledgered = True


TestQueueInMemory = QueueMachine.TestCase
TestQueueInMemory.settings = PROFILE
TestQueueInLedger = LedgeredQueueMachine.TestCase
TestQueueInLedger.settings = PROFILE


class LedgerMachine(RuleBasedStateMachine):
    """Items of a job against a dictionary of states; tracker and counts must tell the same."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "lote.db")
        self.number = self.ledger.submit("comics", ["/in"], "/out", {}).id
        self.tracker = StatusTracker(self.ledger, self.number)
        self.model: dict[str, str] = {}
        self.prints: dict[str, str] = {}
        self.leases: list[tuple[str, int, str]] = []
        self.generation = 0
        self.missed: set[str] = set()  # failed or cancelled since the job was submitted

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @rule(names=st.dictionaries(NAMES, st.sampled_from("xy"), max_size=5))
    def plan(self, names: dict[str, str]) -> None:
        self.generation += 1
        specs = [
            ItemSpec(key, n, "", mark, {}, f"/out/{n}-{mark}")
            for n, (key, mark) in enumerate(sorted(names.items()))
        ]
        outputs = {spec.key: spec.output for spec in specs}
        self.ledger.plan(self.number, self.generation, specs)
        self.ledger.drop_old_items(self.number, self.generation)
        same = {key for key in names if self.prints.get(key) == names[key] + outputs[key]}
        stay = {key for key in same if key in self.missed or self.model.get(key) == "completed"}
        self.model = {key: self.model[key] if key in stay else "pending" for key in names}
        self.missed &= stay
        self.prints = {key: names[key] + outputs[key] for key in names}

    @rule(count=st.integers(0, 3))
    def claim(self, count: int) -> None:
        for item in self.ledger.claim(self.number, count):
            assert self.model[item.key] == "pending"
            self.model[item.key] = "processing"
            self.leases.append((item.key, item.id, str(item.token)))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), state=st.sampled_from(["pending", "completed", "failed", "cancelled"]))
    def settle(self, data: st.DataObject, state: str) -> None:
        key, number, token = data.draw(st.sampled_from(self.leases))  # an old one among them comes too late
        item = self.ledger.item(self.number, key)
        holds = item is not None and item.token == token and item.id == number
        self.ledger.settle([Settlement(number, token, state, "h", error="e" if state == "failed" else None)])
        if holds:
            self.model[key] = state
            self.missed |= {key} if state in ("failed", "cancelled") else set()

    @rule()
    def submit_again(self) -> None:
        assert self.ledger.submit("comics", ["/in"], "/out", {}).id == self.number
        self.missed.clear()

    @rule(everything=st.booleans())
    def retry(self, everything: bool) -> None:
        states = ("failed", "cancelled", "completed") if everything else ("failed", "cancelled")
        expected = {key for key, state in self.model.items() if state in states}
        assert set(self.ledger.retry(self.number, everything=everything)) == expected
        self.model |= dict.fromkeys(expected, "pending")
        self.missed -= expected

    @rule()
    def cancel(self) -> None:
        ended = {key for key, state in self.model.items() if state in ("pending", "processing")}
        assert self.ledger.cancel_pending(self.number) == len(ended)
        self.model |= dict.fromkeys(ended, "cancelled")
        self.missed |= ended

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "tracker"):
            return
        assert {
            key: status.state.value for key, status in self.tracker.get_all_statuses().items()
        } == self.model
        summary = self.tracker.get_summary()
        for state in ProcessingState:
            keys = {key for key, name in self.model.items() if name == state.value}
            assert set(self.tracker.get_images_by_state(state)) == keys
            assert getattr(summary, state.value) == len(keys)
        assert summary.total == len(self.tracker) == len(self.model)
        assert summary.is_complete == (
            bool(self.model) and not {"pending", "processing"} & set(self.model.values())
        )


TestLedgerAgainstModel = LedgerMachine.TestCase
TestLedgerAgainstModel.settings = PROFILE


class TrackerMachine(RuleBasedStateMachine):
    """A tracker in memory against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = StatusTracker()
        self.model: dict[str, str] = {}

    @rule(name=NAMES)
    def add(self, name: str) -> None:
        if name in self.model:
            with pytest.raises(ValueError, match="already being tracked"):
                self.tracker.add_image(name)
        else:
            self.tracker.add_image(name)
            self.model[name] = "pending"

    @rule(name=NAMES, state=st.sampled_from(list(ProcessingState)))
    def update(self, name: str, state: ProcessingState) -> None:
        if name not in self.model:
            with pytest.raises(KeyError, match="not being tracked"):
                self.tracker.update_status(name, state)
        elif self.model[name] in ("pending", "processing", state.value):
            self.tracker.update_status(name, state)
            self.model[name] = state.value
        else:
            with pytest.raises(ValueError, match="cannot become"):
                self.tracker.update_status(name, state)

    @rule(name=NAMES)
    def retry(self, name: str) -> None:
        if name in self.model:
            self.tracker.retry(name)
            self.model[name] = "pending"
            assert self.tracker.get_status(name).processing_time is None

    @invariant()
    def same(self) -> None:
        assert {
            key: status.state.value for key, status in self.tracker.get_all_statuses().items()
        } == self.model
        summary = self.tracker.get_summary()
        values = list(self.model.values())
        assert [getattr(summary, state.value) for state in ProcessingState] == [
            values.count(state.value) for state in ProcessingState
        ]
        assert len(self.tracker) == len(self.model)
        assert all(key in self.tracker for key in self.model)


TestTrackerInMemory = TrackerMachine.TestCase
TestTrackerInMemory.settings = PROFILE


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "ws")
    yield workspace
    workspace.close()


def test_a_tracker_of_the_ledger_only_shows(workspace: Workspace, tmp_path: Path) -> None:
    number = submit(workspace, tmp_path / "out", {"items": {}}).id
    tracker = StatusTracker(workspace.ledger, number)
    for change in (
        lambda: tracker.add_image("a"),
        lambda: tracker.update_status("a", "failed"),
        lambda: tracker.retry("a"),
        tracker.clear,
    ):
        with pytest.raises(QueueError, match="shows a job of the ledger"):
            change()
    with pytest.raises(KeyError, match="not being tracked"):
        tracker.get_status("a")


@pytest.mark.parametrize("ledgered", [False, True])
def test_threads_take_each_item_once(ledgered: bool, workspace: Workspace, tmp_path: Path) -> None:
    number = submit(workspace, tmp_path / "out", {}).id if ledgered else None
    queue = ImageQueue(workspace.ledger if ledgered else None, number)
    for n in range(40):
        queue.enqueue(ImageQueueItem(str(n), "/i", f"/o/{n}"))
    taken: list[str] = []

    def take() -> None:
        while (item := queue.dequeue()) is not None:
            taken.append(item.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken, key=int) == [str(n) for n in range(40)]


def test_half_a_ledger_is_refused(workspace: Workspace) -> None:
    with pytest.raises(QueueError, match="needs both"):
        ImageQueue(workspace.ledger)
    with pytest.raises(QueueError, match="needs both"):
        StatusTracker(job=1)
