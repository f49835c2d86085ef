"""What is known about the progress of work.

`StatusTracker()` keeps the states of images in memory; `StatusTracker(ledger, job)` shows those of a
job in the ledger. `JobNews` turns the ledger into what a front end shows: counts, rate, time to go,
and each event once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..exceptions import QueueError
from .model import TERMINAL, EventKind, ItemState, JobState

if TYPE_CHECKING:
    from .ledger import Ledger
    from .model import Event, Item, Job
    from .reads import Reads

# The rate is that of the last finished images: a night of work begins with small pages and ends with
# large ones, and a person asks about what comes next.
RATE_WINDOW = 50


ProcessingState = ItemState
"""The five states of an image, by the documented name."""


@dataclass
class ProcessingStatus:
    """The state of one image. Times are seconds since the epoch. ValueError "Invalid state"."""

    id: str
    state: ProcessingState = ProcessingState.PENDING
    start_time: float | None = None
    end_time: float | None = None
    error_message: str | None = None
    output_path: str | None = None

    def __post_init__(self) -> None:
        self.state = _state(self.state)

    @property
    def processing_time(self) -> float | None:
        """Seconds from start to end, or to now while it runs; None before it starts."""
        if self.start_time is None:
            return None
        return (self.end_time if self.end_time is not None else time.time()) - self.start_time

    def is_terminal_state(self) -> bool:
        return self.state in TERMINAL


@dataclass
class StatusSummary:
    """Counts of a batch. Times are seconds since the epoch: it starts when its first image is added, a job of
    the ledger when it is first run."""

    total: int = 0
    pending: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    start_time: float | None = None
    end_time: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is something, and nothing of it is pending or processing."""
        return self.total > 0 and self.pending == 0 and self.processing == 0

    @property
    def success_rate(self) -> float:
        """Completed images in percent of all; 0.0 when there are none."""
        return 100.0 * self.completed / self.total if self.total else 0.0

    @property
    def elapsed_time(self) -> float | None:
        """Seconds from `start_time` to the end, or to now; None before that."""
        if self.start_time is None:
            return None
        return (self.end_time if self.end_time is not None else time.time()) - self.start_time


def _state(value: ProcessingState | str) -> ProcessingState:
    try:
        return ProcessingState(value)
    except ValueError:
        names = ", ".join(state.value for state in ProcessingState)
        raise ValueError(f"Invalid state {value!r}: must be one of {names}") from None


class StatusTracker:
    """The states of many images; O(1) per update, safe between threads.

    pending -> processing -> completed, failed or cancelled; pending may end directly; what has ended
    stays so (ValueError), but for `retry`. With a ledger the tracker only shows: the coordinator
    changes states, and `update_status`, `add_image`, `retry` and `clear` are a QueueError."""

    def __init__(self, ledger: Ledger | None = None, job: int | None = None) -> None:
        if (ledger is None) != (job is None):
            raise QueueError("A tracker of the ledger needs both: StatusTracker(ledger, job).")
        self._ledger, self._job = ledger, job
        self._lock = threading.RLock()
        self._statuses: dict[str, ProcessingStatus] = {}
        self._by_state: dict[ProcessingState, dict[str, None]] = {state: {} for state in ProcessingState}
        self._start: float | None = None
        self._end: float | None = None

    def add_image(self, id: str) -> None:  # noqa: A002 - the documented name
        """Begin to track an image, as pending. ValueError if it is tracked already."""
        self._must_be_mine()
        with self._lock:
            if id in self._statuses:
                raise ValueError(f"Image {id!r} is already being tracked")
            self._statuses[id] = ProcessingStatus(id)
            self._start = time.time() if self._start is None else self._start
            self._by_state[ProcessingState.PENDING][id] = None

    def update_status(
        self,
        id: str,  # noqa: A002 - the documented name
        state: ProcessingState | str,
        error_message: str | None = None,
        output_path: str | None = None,
    ) -> None:
        """Move an image to another state. KeyError if it is not tracked, ValueError for a state that
        does not exist or a move that is not allowed."""
        new = _state(state)
        self._must_be_mine()
        with self._lock:
            status = self._tracked(id)
            if status.is_terminal_state() and new is not status.state:
                raise ValueError(
                    f"Image {id!r} is {status.state.value} and cannot become {new.value}: retry it"
                )
            if new is ProcessingState.PENDING and status.state is ProcessingState.PROCESSING:
                status.start_time = None  # its lease was given back
            self._move(status, new)
            now = time.time()
            if new is ProcessingState.PROCESSING:
                status.start_time = now
            if new in TERMINAL and status.end_time is None:
                status.end_time = self._end = now
            if error_message is not None:
                status.error_message = error_message
            if output_path is not None:
                status.output_path = output_path

    def retry(self, id: str) -> None:  # noqa: A002 - the documented name
        """The one way back from a terminal state: the image is pending again."""
        self._must_be_mine()
        with self._lock:
            status = self._tracked(id)
            self._move(status, ProcessingState.PENDING)
            status.start_time = status.end_time = status.error_message = status.output_path = None

    def get_status(self, id: str) -> ProcessingStatus:  # noqa: A002 - the documented name
        """A copy of one image's status. KeyError if it is not tracked."""
        if self._ledger is not None and self._job is not None:
            item = self._ledger.item(self._job, id)
            if item is None:
                raise KeyError(f"Image {id!r} is not being tracked")
            return _status(item)
        with self._lock:
            return replace(self._tracked(id))

    def get_all_statuses(self) -> dict[str, ProcessingStatus]:
        """Copies of all statuses, by id."""
        if self._ledger is not None and self._job is not None:
            return {item.key: _status(item) for item in self._ledger.items(self._job) if not item.held}
        with self._lock:
            return {key: replace(status) for key, status in self._statuses.items()}

    def get_images_by_state(self, state: ProcessingState | str) -> list[str]:
        """The ids of the images in that state."""
        wanted = _state(state)
        if self._ledger is not None and self._job is not None:
            items = self._ledger.items(self._job, wanted)
            return [item.key for item in items if not item.held]
        with self._lock:
            return list(self._by_state[wanted])

    def get_summary(self) -> StatusSummary:
        if self._ledger is not None and self._job is not None:
            counts = self._ledger.counts(self._job)
            job = self._ledger.job(self._job)
            return StatusSummary(
                sum(counts.values()), **counts, start_time=job.started_at, end_time=job.finished_at
            )
        with self._lock:
            counts = {state: len(ids) for state, ids in self._by_state.items()}
            summary = StatusSummary(len(self._statuses), **counts, start_time=self._start)
            if summary.is_complete:
                summary.end_time = self._end
            return summary

    def clear(self) -> None:
        """Track nothing any more."""
        self._must_be_mine()
        with self._lock:
            self._statuses.clear()
            for ids in self._by_state.values():
                ids.clear()
            self._start = self._end = None

    def __len__(self) -> int:
        if self._ledger is not None:
            return self.get_summary().total
        return len(self._statuses)

    def __contains__(self, id: object) -> bool:  # noqa: A002
        if self._ledger is not None and self._job is not None:
            return isinstance(id, str) and self._ledger.item(self._job, id) is not None
        return id in self._statuses

    def _must_be_mine(self) -> None:
        if self._ledger is not None:
            raise QueueError("This tracker shows a job of the ledger: the job's coordinator changes states.")

    def _tracked(self, key: str) -> ProcessingStatus:
        try:
            return self._statuses[key]
        except KeyError:
            raise KeyError(f"Image {key!r} is not being tracked") from None

    def _move(self, status: ProcessingStatus, new: ProcessingState) -> None:
        del self._by_state[status.state][status.id]
        self._by_state[new][status.id] = None
        status.state = new


def _status(item: Item) -> ProcessingStatus:
    done = item.state == ItemState.COMPLETED
    return ProcessingStatus(
        item.key,
        ProcessingState(item.state),
        item.started_at,
        item.finished_at,
        str(item.error) if item.error else None,
        item.output if done else None,
    )


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment. `rate` in images per second, `eta` in seconds; None when not yet known."""

    job: Job
    counts: dict[ItemState, int]
    rate: float | None
    eta: float | None
    progress: float = 0.0  # images' worth of work in flight, from what tasks have reported

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return (
            self.counts[ItemState.COMPLETED]
            + self.counts[ItemState.FAILED]
            + self.counts[ItemState.CANCELLED]
        )


class JobNews:
    """Follows one job in the ledger, from whichever process."""

    def __init__(self, ledger: Reads, job_id: int) -> None:
        self._ledger, self._job_id = ledger, job_id
        self._last = ledger.last_event(job_id)
        # Also of what finished before somebody came to look: else who comes late would see a slow job.
        self._finished: deque[float] = deque(ledger.finished(job_id, RATE_WINDOW), maxlen=RATE_WINDOW)

    def events(self) -> list[Event]:
        """What has happened since the last call."""
        events = self._ledger.events(self._job_id, self._last)
        if events:
            self._last = events[-1].id
        self._finished.extend(
            event.at
            for event in events
            if event.kind == EventKind.PAGE and event.data["state"] != ItemState.CANCELLED
        )
        return events

    def snapshot(self, in_flight: float = 0.0) -> Snapshot:
        job = self._ledger.job(self._job_id)
        counts = self._ledger.counts(self._job_id)
        rate = self._rate(job)
        left = counts[ItemState.PENDING] + counts[ItemState.PROCESSING] - in_flight
        eta = left / rate if rate and job.state == JobState.RUNNING else None
        return Snapshot(job, counts, rate, eta, in_flight)

    def _rate(self, job: Job) -> float | None:
        began = job.started_at or 0.0
        finished = [at for at in self._finished if at >= began]  # in this run
        if not finished:
            return None
        if len(finished) < RATE_WINDOW:
            since, images = job.started_at or finished[0], len(finished)
        else:
            since, images = finished[0], len(finished) - 1
        until = time.time() if job.state == JobState.RUNNING else finished[-1]
        return images / (until - since) if until > since else None
