"""The slots of a Ray cluster: actors, one a core or a GPU, and what each of them does. Lives in the bridge.

Promises: exactly one result for each task; one of a machine that is gone is `lost`, and so is one of a machine that does not
answer for `SILENT_S` (Ray takes a minute to notice a cut cable). Nothing waits for the cluster in the main thread: what it
says comes as an event. Slots that have nothing to do for `IDLE_S` are given back to it; machines that would give other pixels
are held, so that Ray tries others, and named.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from ...exceptions import BatchProcessingError
from ...logging_config import handle_record
from ...messages import Message
from ..workers import STOP_GRACE_S, STOPPED, Failure, Result, Task, failure_of
from .agent import Agent, Hello, processor_level, versions
from .parcels import Answer, Blob, Parcel, Reader, StaysHere, pack, place

log = logging.getLogger(__name__)

PULSE_EVERY_S = 1.0
SILENT_S = 10.0
# How long a message may take, beyond what a task is given to stop.
NETWORK_S = 3.0
IDLE_S = 60.0
# A slot that did not come up is tried again after this long.
AGAIN_S = 5.0
# So many that do not come up are worth a word: one may have met a machine that was just going.
NOT_BEGUN = 3
# What a slot reserves on its machine: what most pages need, far less than a worker may use.
SLOT_BYTES = 1 << 30
# Levels of processors on which pages come out the same, though what was learned differs: that is learned once, and travels.
ALIKE = frozenset(["AVX2", "AVX-512"])
SENDERS = 8

Event = tuple[Callable[..., None], tuple[Any, ...]]


@dataclass(frozen=True)
class Wanted:
    """Which slots: at most `count` of them (0: all that there are), of one GPU each or none, and what each may use."""

    count: int = 0
    gpus: int = 0
    memory_limit: int = 0
    shared: bool = False  # every machine sees the coordinator's files under the same paths
    same_level: bool = (
        False  # of machines whose processors are like this one's, as far as numbers hang on them
    )


class _State(Enum):
    COMING = auto()
    UP = auto()
    REFUSED = auto()


@dataclass(eq=False)
class _Slot:
    actor: Any
    state: _State = _State.COMING
    host: str = ""
    flight: _Flight | None = None
    idle_since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class _Flight:
    """A parcel on its way. Times as `time.monotonic`."""

    slot: _Slot
    tasks: tuple[Task, ...]
    parcel: Parcel
    began: float
    asked_at: float  # the last pulse
    answers: bool = True  # nothing that was asked is unanswered
    stop_by: float = float("inf")
    progress: tuple[int, int] | None = None
    landing: bool = False  # its answer is being written


class Slots:
    """What the bridge knows of the slots. All but `_send` and `_land` runs in one thread, which calls `turn`."""

    def __init__(self, ray: Any, wanted: Wanted) -> None:
        self._ray, self._wanted = ray, wanted
        self._kind = ray.remote(Agent).options(
            num_cpus=1,
            num_gpus=wanted.gpus,
            memory=SLOT_BYTES,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
            scheduling_strategy="SPREAD",
        )
        self._slots: list[_Slot] = []
        self._flights: dict[str, _Flight] = {}
        self._backlog: deque[tuple[Task, ...]] = deque()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._senders = ThreadPoolExecutor(SENDERS, "lote-cluster")
        self._lock = threading.Lock()  # around which flights there are
        self._numbers = itertools.count()
        self._reader = Reader(all_travels=bool(wanted.gpus))  # the coordinator may have none
        self._on_host: dict[str, set[str]] = {}  # SHA-256 of the shared files that a machine should have
        self._objects: dict[str, object] = {}  # the same, to Ray's references
        self._room = 0  # slots that the cluster has
        self._again_at = 0.0
        self._not_begun = 0  # slots, one after the other
        self._grows = True  # as far as the cluster has room
        self._rests = False  # nobody wants anything: slots without work go back
        self._refused: dict[str, Message] = {}  # machines, and why they can do nothing
        self._said: set[str] = set()
        self._ended: list[Result] = []
        self.notes: list[Message] = []
        self.stay: list[str] = []  # first tasks of parcels that cannot travel: the coordinator does them

    # -- doors --------------------------------------------------------------------------------------

    @property
    def up(self) -> int:
        return sum(slot.state is _State.UP for slot in self._slots)

    def later(self, do: Callable[..., None], *what: Any) -> None:
        """Have it done by the main thread. Any thread may call this."""
        self._events.put((do, what))

    def has_room(self, cpus: float, gpus: float) -> None:
        """How much of everything the cluster has."""
        self._room = int(gpus) if self._wanted.gpus else int(cpus)

    def submit(self, tasks: tuple[Task, ...]) -> None:
        self.want()
        self._backlog.append(tasks)

    def want(self) -> None:
        """Somebody waits for slots."""
        self._grows, self._rests = True, False

    def stop(self, ids: Sequence[str]) -> None:
        for tasks in [some for some in self._backlog if any(task.id in ids for task in some)]:
            self._backlog.remove(tasks)
            self._ended += [Result(task.id, None, STOPPED, 0.0) for task in tasks]
        for flight in self._flights.values():
            if flight.stop_by == float("inf") and any(task.id in ids for task in flight.tasks):
                flight.stop_by = time.monotonic() + STOP_GRACE_S + NETWORK_S
                flight.slot.actor.stop.remote(flight.parcel.id)

    def withdraw(self) -> None:
        """What was not begun ends; slots without work go back to the cluster."""
        self.stop([tasks[0].id for tasks in self._backlog])
        self._grows, self._rests = False, True

    def progress(self) -> dict[str, tuple[int, int]]:
        return {
            task.id: flight.progress
            for flight in self._flights.values()
            if flight.progress is not None
            for task in flight.tasks
        }

    def close(self) -> None:
        for slot in list(self._slots):
            self._drop(slot)

    def turn(self, timeout: float) -> list[Result]:
        """Take in what there is, up to `timeout` seconds for the first; what has ended."""
        with contextlib.suppress(queue.Empty):
            do, what = self._events.get(timeout=timeout)
            while True:
                do(*what)
                do, what = self._events.get_nowait()
        self._look_after()
        while self._backlog and (free := self._free()) is not None:
            self._begin(free, self._backlog.popleft())
        ended, self._ended = self._ended, []
        return ended

    # -- slots --------------------------------------------------------------------------------------

    def _free(self) -> _Slot | None:
        return next((one for one in self._slots if one.state is _State.UP and one.flight is None), None)

    def _look_after(self) -> None:
        now = time.monotonic()
        for flight in list(self._flights.values()):
            if now > flight.stop_by or (not flight.answers and now > flight.asked_at + SILENT_S):
                self._give_up(flight, stopped=now > flight.stop_by)
            elif flight.answers and now > flight.asked_at + PULSE_EVERY_S:
                flight.asked_at, flight.answers = now, False
                answer = flight.slot.actor.pulse.remote(flight.parcel.id)
                self._when_there(answer, self._heard, flight)
        refused = sum(slot.state is _State.REFUSED for slot in self._slots)
        if self._grows and now > self._again_at:
            limit = self._wanted.count + refused if self._wanted.count else self._room
            for _ in range(min(limit, self._room) - len(self._slots)):
                slot = _Slot(self._kind.remote(self._wanted.memory_limit))
                self._slots.append(slot)
                self._when_there(slot.actor.hello.remote(), self._greeted, slot)
        for slot in [slot for slot in self._slots if slot.flight is None]:
            if self._rests or (slot.state is _State.UP and now > slot.idle_since + IDLE_S):
                self._drop(slot)
                self._grows = False

    def _when_there(self, reference: Any, do: Callable[..., None], *what: Any) -> None:
        reference.future().add_done_callback(lambda future: self.later(do, *what, future))

    def _greeted(self, slot: _Slot, future: Any) -> None:
        if slot not in self._slots:
            return
        try:
            hello: Hello = future.result()
        except self._ray.exceptions.RayError as error:
            self._drop(slot)
            self._again_at = time.monotonic() + AGAIN_S
            self._not_begun += 1
            if self._not_begun < NOT_BEGUN:
                return
            why = str(error).strip().splitlines()
            self._say_once(
                Message(
                    "a slot of the cluster did not begin: {why}", why=why[-1] if why else type(error).__name__
                )
            )
            return
        self._not_begun = 0
        slot.host, slot.idle_since = hello.host, time.monotonic()
        if why_not := self._refused.get(hello.host) or _unlike(hello, same_level=self._wanted.same_level):
            slot.state = _State.REFUSED
            self._say_once(Message("{host} is not used: {why}", host=hello.host, why=why_not))
        else:
            slot.state = _State.UP

    def _say_once(self, note: Message) -> None:
        if str(note) not in self._said:
            self._said.add(str(note))
            self.notes.append(note)

    def _refuse(self, host: str, why: Message) -> None:
        """Use a machine no more. Its slots are held: given back, the next would come up just there."""
        self._refused[host] = why
        for slot in self._slots:
            if slot.host == host:
                slot.state = _State.REFUSED
        self._say_once(Message("{host} is not used: {why}", host=host, why=why))

    def _drop(self, slot: _Slot) -> None:
        if slot in self._slots:
            self._slots.remove(slot)
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(slot.actor)

    # -- parcels ------------------------------------------------------------------------------------

    def _begin(self, slot: _Slot, tasks: tuple[Task, ...]) -> None:
        now = time.monotonic()
        parcel = pack(str(next(self._numbers)), tasks, shared=self._wanted.shared)
        flight = slot.flight = _Flight(slot, tasks, parcel, now, now)
        self._flights[parcel.id] = flight
        self._senders.submit(self._send, flight, False)

    def _send(self, flight: _Flight, everything: bool) -> None:
        """In a thread of its own: read what the work needs, and call."""
        try:
            known = self._on_host.setdefault(flight.slot.host, set())
            blobs: list[Blob] = []
            contents: list[Any] = []
            for blob, content in self._reader.contents(flight.parcel):
                blobs.append(blob)
                if not blob.sha256:
                    contents.append(content())
                elif blob.sha256 in known and not everything:
                    contents.append(None)
                else:
                    if blob.sha256 not in self._objects:
                        self._objects[blob.sha256] = self._ray.put(content())
                    contents.append(self._objects[blob.sha256])
            flight.parcel = replace(flight.parcel, blobs=tuple(blobs))
            answer = flight.slot.actor.run.remote(flight.parcel, *contents)
            answer.future().add_done_callback(lambda future: self._senders.submit(self._land, flight, future))
        except StaysHere:
            self.later(self._stays, flight)
        except (BatchProcessingError, OSError, MemoryError, self._ray.exceptions.RayError) as error:
            self.later(self._failed, flight, error)
        except Exception as error:  # the border of a thread: whatever it is belongs to the parcel
            log.exception("unexpected error in what goes to %s", flight.slot.host)
            self.later(self._failed, flight, error)

    def _land(self, flight: _Flight, future: Any) -> None:
        """In a thread of its own: write what the work has written, unless nobody waits for it any more."""
        try:
            answer: Answer = future.result()
            if answer.missing:
                self._on_host[flight.slot.host].difference_update(answer.missing)
                self._send(flight, True)
                return
            with self._lock:
                if flight.parcel.id not in self._flights:
                    return
                flight.landing = True
            for piece in answer.pieces:
                place(flight.parcel, piece)
            self.later(self._landed, flight, answer)
        except (BatchProcessingError, OSError, MemoryError, self._ray.exceptions.RayError) as error:
            self.later(self._failed, flight, error)
        except Exception as error:  # the border of a thread: whatever it is belongs to the parcel
            log.exception("unexpected error in what comes from %s", flight.slot.host)
            self.later(self._failed, flight, error)

    def _heard(self, flight: _Flight, future: Any) -> None:
        try:
            flight.progress = future.result() or flight.progress
            flight.answers, flight.asked_at = True, time.monotonic()
        except self._ray.exceptions.RayError:
            pass  # the call itself ends in the same way

    def _landed(self, flight: _Flight, answer: Answer) -> None:
        if self._over(flight) is None:
            return
        for record in answer.records:
            handle_record({**record, "host": flight.slot.host})
        self._on_host[flight.slot.host] |= {blob.sha256 for blob in flight.parcel.blobs if blob.sha256}
        seconds = (time.monotonic() - flight.began) / len(flight.tasks)
        results = [replace(result, seconds=seconds) for result in answer.results]
        fatal = [result.failure.text for result in results if result.failure and result.failure.fatal]
        if fatal:  # the disk of that machine is full, or it can start no process: another can do better
            self._refuse(flight.slot.host, fatal[0])
            results = [_of_machine(result, flight.slot.host) for result in results]
        self._ended += results

    def _stays(self, flight: _Flight) -> None:
        if self._over(flight) is None:
            return
        if flight.stop_by < float("inf"):
            self._end(flight, STOPPED)
        else:
            self.stay.append(flight.tasks[0].id)

    def _failed(self, flight: _Flight, error: Exception) -> None:
        exceptions = self._ray.exceptions
        if self._over(flight) is None:
            return
        host = flight.slot.host
        if not isinstance(error, exceptions.RayError):  # of this machine
            self._end(flight, failure_of(error))
            return
        told = " ".join(str(error).split())[:300]
        log.warning("%s: %s: %s", host, type(error).__name__, told)
        if isinstance(error, exceptions.RayTaskError) and not isinstance(error, exceptions.RayActorError):
            self._refuse(host, Message(" ".join(str(error.cause).split())[:300] or told))
        else:
            self._drop(flight.slot)
        if flight.stop_by < float("inf"):
            self._end(flight, STOPPED)
        elif isinstance(error, exceptions.OutOfMemoryError):
            self._end(
                flight, Failure("WorkerDied", Message("{host} ran out of memory", host=host)), died=True
            )
        else:
            self._end(
                flight, Failure("Lost", Message("the connection to {host} was lost", host=host)), lost=True
            )

    def _give_up(self, flight: _Flight, *, stopped: bool) -> None:
        with self._lock:
            if flight.landing:
                return
            self._over(flight)
        self._drop(flight.slot)
        if stopped:
            self._end(flight, STOPPED)
        else:
            text = Message("{host} does not answer", host=flight.slot.host)
            self._end(flight, Failure("Lost", text), lost=True)

    def _over(self, flight: _Flight) -> _Flight | None:
        """Take a flight out; None if it was given up before."""
        flight.slot.flight, flight.slot.idle_since = None, time.monotonic()
        return self._flights.pop(flight.parcel.id, None)

    def _end(self, flight: _Flight, failure: Failure, *, died: bool = False, lost: bool = False) -> None:
        seconds = (time.monotonic() - flight.began) / len(flight.tasks)
        self._ended += [Result(task.id, None, failure, seconds, died, lost) for task in flight.tasks]


def _of_machine(result: Result, host: str) -> Result:
    if result.failure is None or not result.failure.fatal:
        return result
    text = Message("{host}: {text}", host=host, text=result.failure.text)
    return replace(result, failure=replace(result.failure, text=text, fatal=False), lost=True)


def _unlike(hello: Hello, *, same_level: bool) -> Message | None:
    """Why a machine would give other pixels than this one, if it might."""
    for name, here in versions().items():
        there = hello.versions.get(name, "none")
        if there != here:
            return Message("{name} {there} there, {here} here", name=name, there=there, here=here)
    here = processor_level()
    if hello.level != here and (same_level or not {hello.level, here} <= ALIKE):
        return Message("its processor is {there}, this one's {here}", there=hello.level, here=here)
    return None
