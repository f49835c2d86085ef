"""The nouns of the engine: jobs, their items, what stands in their inputs, and the news of them.

Plain values that any process may hold; `ledger` alone stores them. The words of the enumerations are what
the database, JSON outputs and the command line say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..messages import Message
from .resources import Took


class JobState(StrEnum):
    """Where a job is. INTERRUPTED is never stored: a job reads so whose process is gone."""

    QUEUED = "queued"
    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


# States in which some process holds the lock of the job's kind, unless it died.
LOCKED_JOB_STATES = (JobState.PLANNING, JobState.RUNNING, JobState.PAUSED, JobState.FINISHING)
ACTIVE_JOB_STATES = (JobState.QUEUED, *LOCKED_JOB_STATES)
ENDED_JOB_STATES = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class ItemState(StrEnum):
    """The five states of an item."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = (ItemState.COMPLETED, ItemState.FAILED, ItemState.CANCELLED)


class Wish(StrEnum):
    """What a person wants of a job; the process that runs it makes it true."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class EventKind(StrEnum):
    """What a line of news is about: an item that settled, something to know, to look at, or the job's state."""

    PAGE = "page"
    NOTE = "note"
    WARNING = "warning"
    STATE = "state"


class Role(StrEnum):
    """What a source of a comics job is for."""

    PAGE = "page"  # to be coloured
    COPY = "copy"  # coloured: stays at its place, and serves as a reference
    KEPT = "kept"  # stays at its place as it is
    REFERENCE = "reference"  # serves, and is no page
    LEFT_OUT = "left out"


class EditState(StrEnum):
    """Whether an edit counts. DROPPED: undone, and something else was done then. SETTLED: it counts no more, because what
    it said became the job's own."""

    DONE = "done"
    UNDONE = "undone"
    DROPPED = "dropped"
    SETTLED = "settled"


class DropState(StrEnum):
    """Where something is that was put into a watched folder. ENDING: what became of it is known, and it is moved away; where
    to is written down before."""

    TAKEN = "taken"
    ENDING = "ending"
    ENDED = "ended"


class DropEnd(StrEnum):
    """What became of it. WITHDRAWN: somebody took it out, or replaced it, before it was done."""

    DONE = "done"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Drop:
    """One row of `dropped`: what was found as `name` in the watched `folder`, with the `signature` it had then. `output` is
    where it comes out; `jobs` colour it; `target` is where it is moved to at its end, None where it stays."""

    id: int
    folder: str
    name: str
    signature: str
    output: str
    state: DropState
    jobs: list[int]
    end: DropEnd | None
    target: str | None
    error: Message | None
    taken_at: float
    ended_at: float | None

    @property
    def path(self) -> str:
        """Where it was put."""
        return f"{self.folder.rstrip('/')}/{self.name}"


@dataclass(frozen=True)
class Relocation:
    """What a job knows of its inputs after they were moved."""

    job_id: int
    inputs: list[str]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Edit:
    """One row of `edit`: what a person changed on an item (`key`; "" for what is the job's as a whole), in plain values that
    its application understands. Edits of one `action` are undone together."""

    id: int
    job_id: int
    key: str
    action: int
    at: float
    kind: str
    data: dict[str, Any]
    state: EditState


@dataclass(frozen=True)
class Job:
    """One row of `job`. `alive`: the process that runs or awaits it is there; where it is not, an
    active `state` reads INTERRUPTED (but a job that was paused stays paused). `exit_code`: what the
    error that stopped the job makes of a command."""

    id: int
    kind: str
    inputs: list[str]
    output: str
    config: dict[str, Any]
    priority: int
    state: JobState
    wanted: Wish
    owner: dict[str, Any] | None
    generation: int
    phase: str
    error: Message | None
    exit_code: int | None
    result: dict[str, Any]
    created_at: float
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    alive: bool

    @property
    def ended(self) -> bool:
        return self.state in ENDED_JOB_STATES


@dataclass(frozen=True)
class Source:
    """Something found in a job's inputs. `facts` (what examining it gave) is None until examined."""

    key: str
    sort: str
    path: str
    origin: str
    identity: str
    sha256: str | None = None
    facts: dict[str, Any] | None = None
    role: Role | None = None
    written: str | None = None
    id: int = 0
    written_stamp: str | None = None


@dataclass(frozen=True)
class ItemSpec:
    """What `plan` is told about an item: everything that decides its output is in `fingerprint`."""

    key: str
    ordinal: int
    input_hash: str
    fingerprint: str
    work: dict[str, Any]
    output: str
    priority: int = 0
    cost: int = 0
    held: bool = False  # planned, but not to be done in this run
    keep: bool = False  # completed and changed by somebody else since: not ours to redo
    redo: bool = False  # completed, but its file is gone
    stamp: str | None = None  # of the file at its output, where it was read again and is as it was written


@dataclass(frozen=True)
class Item:
    """One row of `item`. `turn`: items of the same one are done together (0: each by itself); `place`:
    (number, count) of the item among those of its turn. `cpu_seconds`, `peak_memory` and `gpu_memory` (bytes) as in
    `resources.Took`: of what was done together the time is shared, the memory that of all. `output_stamp`: by which the file that has
    `output_hash` is known without being read (`io.publish.stamp_of`), None where it must be."""

    id: int
    job_id: int
    key: str
    ordinal: int
    generation: int
    priority: int
    input_hash: str
    fingerprint: str
    work: dict[str, Any]
    cost: int
    state: ItemState
    token: str | None
    attempts: int
    deaths: int
    losses: int
    output: str
    intent: str | None
    output_hash: str | None
    details: dict[str, Any] | None
    reused: bool
    approved: bool
    held: bool
    forced: bool
    turn: int
    place: list[int] | None
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    error_type: str | None
    error: Message | None
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    gpu_memory: int | None = None
    output_stamp: str | None = None

    @property
    def batch(self) -> int | str | None:
        """The same for leased items that are to be done together. What was there when a worker died goes
        alone: if it happens again, it is known which item it was."""
        return self.turn if self.turn and not self.deaths else self.token


@dataclass(frozen=True)
class Outline:
    """What a list of a job's items shows of one."""

    id: int
    key: str
    ordinal: int
    state: ItemState
    approved: bool
    output_hash: str | None


@dataclass(frozen=True)
class Told:
    """Some entries of `Item.details` of an item with an output, by name; None where it has none of that name."""

    id: int
    key: str
    approved: bool
    seconds: float | None
    output_hash: str | None
    entries: Mapping[str, Sequence[Mapping[str, Any]] | None]


@dataclass(frozen=True)
class Settlement:
    """The end of one lease: `state` COMPLETED with hash and details, FAILED with the error, CANCELLED, or
    PENDING to give the item back (`died` when its worker died, `lost` when the machine it was on is gone)."""

    item_id: int
    token: str
    state: ItemState
    output_hash: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error_type: str | None = None
    error: Message | str | None = None
    died: bool = False
    lost: bool = False
    took: Took | None = None
    stamp: str | None = None  # of the file with `output_hash`


@dataclass(frozen=True)
class Event:
    """One line of news. What a person is told, `text` and `error` in its `data`, are messages."""

    id: int
    job_id: int
    at: float
    kind: EventKind
    key: str | None
    data: dict[str, Any]
