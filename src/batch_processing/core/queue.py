"""The queue of images that wait to be processed.

`ImageQueue()` lives in memory. `ImageQueue(ledger, job)` is the same queue seen in the ledger: what
is put in survives the process, and what another process takes is gone from here.
Higher priority first, first in first out within one priority, O(log n), safe between threads.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..exceptions import QueueError
from .model import ItemState

if TYPE_CHECKING:
    from .ledger import Ledger
    from .model import Item

IMAGE_TYPES = ("line_art", "colored")


@dataclass
class ImageQueueItem:
    """One image and what is to be done with it.

    `priority`: larger goes first. `image_type`: "line_art", "colored" or None (not classified).
    `classification_confidence` in [0, 1]. ValueError for anything else."""

    id: str
    input_path: str
    output_path: str
    config: dict[str, Any] | None = None
    priority: int = 0
    image_type: str | None = None
    classification_confidence: float | None = None

    def __post_init__(self) -> None:
        if self.image_type is not None and self.image_type not in IMAGE_TYPES:
            raise ValueError(
                f"Invalid image_type {self.image_type!r}: must be one of {', '.join(IMAGE_TYPES)}"
            )
        confidence = self.classification_confidence
        if confidence is not None and not 0.0 <= confidence <= 1.0:  # NaN fails both comparisons
            raise ValueError(f"classification_confidence must be between 0 and 1, not {confidence}")


class ImageQueue:
    """A priority queue of `ImageQueueItem`.

    With a ledger, `enqueue` refuses an id that is already in the job (QueueError), and `dequeue`
    leases the item: it is "processing" until the job's coordinator settles it."""

    def __init__(self, ledger: Ledger | None = None, job: int | None = None) -> None:
        if (ledger is None) != (job is None):
            raise QueueError("A queue in the ledger needs both: ImageQueue(ledger, job).")
        self._store: _Memory | _Ledgered = (
            _Memory() if ledger is None or job is None else _Ledgered(ledger, job)
        )

    def enqueue(self, item: ImageQueueItem) -> None:
        """Add an item. TypeError for anything but an `ImageQueueItem`."""
        if not isinstance(item, ImageQueueItem):
            raise TypeError(f"Expected ImageQueueItem, got {type(item).__name__}")
        self._store.put(item)

    def dequeue(self) -> ImageQueueItem | None:
        """Take the next item out; None when the queue is empty."""
        return self._store.take()

    def peek(self) -> ImageQueueItem | None:
        """The next item, which stays; None when the queue is empty."""
        return next(iter(self._store.snapshot(1)), None)

    def size(self) -> int:
        return self._store.size()

    def clear(self) -> None:
        """Drop everything that waits."""
        self._store.clear()

    def __len__(self) -> int:
        return self.size()

    def __bool__(self) -> bool:
        return self.size() > 0

    def __iter__(self) -> Iterator[ImageQueueItem]:
        """The items in the order in which they would be taken, as they are at this moment."""
        return iter(self._store.snapshot())


class _Memory:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[int, int, ImageQueueItem]] = []
        self._ticket = itertools.count()

    def put(self, item: ImageQueueItem) -> None:
        with self._lock:
            heapq.heappush(self._heap, (-item.priority, next(self._ticket), item))

    def take(self) -> ImageQueueItem | None:
        with self._lock:
            return heapq.heappop(self._heap)[2] if self._heap else None

    def snapshot(self, count: int | None = None) -> list[ImageQueueItem]:
        with self._lock:
            if count == 1:
                return [self._heap[0][2]] if self._heap else []
            return [entry[2] for entry in sorted(self._heap, key=lambda entry: entry[:2])]

    def size(self) -> int:
        with self._lock:
            return len(self._heap)

    def clear(self) -> None:
        with self._lock:
            self._heap.clear()


class _Ledgered:
    def __init__(self, ledger: Ledger, job: int) -> None:
        self._ledger, self._job = ledger, job

    def put(self, item: ImageQueueItem) -> None:
        from .model import ItemSpec

        work = {
            "id": item.id, "input_path": item.input_path, "config": item.config,
            "image_type": item.image_type, "classification_confidence": item.classification_confidence,
        }  # fmt: skip
        fingerprint = hashlib.sha256(repr(sorted(work.items())).encode(errors="surrogateescape")).hexdigest()
        self._ledger.append(
            self._job,
            ItemSpec(item.id, 0, "", fingerprint, work, item.output_path, priority=item.priority),
        )

    def take(self) -> ImageQueueItem | None:
        items = self._ledger.claim(self._job, 1)
        return _queue_item(items[0]) if items else None

    def snapshot(self, count: int | None = None) -> list[ImageQueueItem]:
        return [_queue_item(item) for item in self._ledger.waiting(self._job, count)]

    def size(self) -> int:
        return self._ledger.counts(self._job)[ItemState.PENDING]

    def clear(self) -> None:
        self._ledger.drop_pending(self._job)


def _queue_item(item: Item) -> ImageQueueItem:
    work = item.work
    return ImageQueueItem(
        item.key,
        work["input_path"],
        item.output,
        work.get("config"),
        item.priority,
        work.get("image_type"),
        work.get("classification_confidence"),
    )
