"""Small pictures for the page, made in worker processes.

Promises: nothing that came from outside is decoded by the server; a worker has limited memory and time, and one that
crashes or hangs costs its own picture only; a picture is made once, whoever else waits for it shares it, and one
that failed is not tried again at once. Does not keep the cache small: that is `upkeep.trim_cache`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.workers import LocalPool, Task
from ...exceptions import BatchProcessingError, ResourceError, ValidationError

# Bytes of address space of a worker: libraries take half of the first GiB, a page of 100 million pixels 0.3 more.
MEMORY = 2 << 30
TIMEOUT = 20.0  # seconds; a scan of 600 dpi takes one
WORKERS = 2  # pictures made at once, whatever a browser asks for
WAITING = 2000  # pictures asked for at once; a window of a gallery has 60
IDLE = 60.0  # seconds after which a worker with nothing to do leaves
AGAIN = 300.0  # seconds until a picture that failed is tried again
HINTS_PIXELS = 40_000_000  # of a drawing of hints: a page of 600 dpi


class NotShown(BatchProcessingError):  # noqa: N818 - says what became of a picture
    """A picture cannot be shown: it is none, or takes more memory or time than the page gives it."""

    exit_code = 3


@dataclass
class _Order:
    """Something to be made: `prepare` gives the worker's task, in a thread, and `done` hears how it went."""

    prepare: Callable[[], Task]
    done: Future[None]


class Pictures:
    """Makes pictures. Threads and workers appear when they are first needed, and leave with the process."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._coming: dict[str, Future[None]] = {}
        self._failed: dict[str, tuple[float, BatchProcessingError]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def shrunk(self, source: Callable[[], str], target: Path, longest: int, limit: int) -> Future[None]:
        """Have a WebP of `longest` pixels at most written to `target`. `source` finds the image, and may take its time.

        The future is shared by all who ask for the same target. It raises NotShown for what cannot be shown, ResourceError when too many pictures wait, and whatever
        `source` raises."""

        def prepare() -> Task:
            args = {"source": source(), "target": str(target), "longest": longest, "limit": limit}
            return Task(target.name, f"{__name__}:shrink", args, timeout_s=TIMEOUT)

        return self._made(str(target), prepare)

    def drawn(self, png: Path, target: Path, size: tuple[int, int]) -> None:
        """Write the strokes of a drawing to `target`, at the page's size. ValidationError for what is no drawing."""
        args = {"source": str(png), "target": str(target), "width": size[0], "height": size[1]}
        task = Task(target.name, f"{__name__}:strokes", args, timeout_s=TIMEOUT)
        try:
            self._made(str(png), lambda: task).result()
        except NotShown as error:
            raise ValidationError("The hints are no picture, or too large.") from error

    def _made(self, name: str, prepare: Callable[[], Task]) -> Future[None]:
        with self._lock:
            if name in self._coming:
                return self._coming[name]
            done: Future[None] = Future()
            done.set_running_or_notify_cancel()  # shared: nobody may cancel it for the others
            since, error = self._failed.get(name, (0.0, None))
            if error is not None and time.monotonic() - since < AGAIN:
                done.set_exception(error)
                return done
            if len(self._coming) >= WAITING:
                done.set_exception(ResourceError("Too many pictures are waited for: try again later."))
                return done
            self._coming[name] = done
            while len(self._threads) < WORKERS:
                # Not a thread of a pool, which may end: the kernel ends a child with the thread that began it.
                thread = threading.Thread(target=self._work, daemon=True, name="pictures")
                self._threads.append(thread)
                thread.start()
        done.add_done_callback(lambda _: self._gone(name))
        self._orders.put(_Order(prepare, done))
        return done

    def _gone(self, name: str) -> None:
        with self._lock:
            done = self._coming.pop(name)
            error = done.exception()
            if isinstance(error, NotShown):
                if len(self._failed) >= WAITING:
                    self._failed.clear()
                self._failed[name] = time.monotonic(), error

    def _work(self) -> None:
        pool = LocalPool(1, memory_limit=MEMORY)
        while True:
            try:
                order = self._orders.get(timeout=IDLE)
            except queue.Empty:
                pool.close()
                continue
            try:
                task = order.prepare()
                pool.submit(task)
                while not (results := pool.completed(TIMEOUT)):
                    pass
            except (BatchProcessingError, OSError, ValueError) as error:
                order.done.set_exception(error)
                continue
            failure = results[0].failure
            if failure is None:
                order.done.set_result(None)
            else:
                order.done.set_exception(NotShown(failure.text))


# -- the worker's side --------------------------------------------------------------------------------


def shrink(progress: Any, *, source: str, target: str, longest: int, limit: int) -> dict[str, Any]:
    """Write a WebP of the image, at most `longest` pixels a side and `limit` bytes."""
    from ...io.images import thumbnail
    from ...io.outputs import SaveFile

    data = thumbnail(Path(source), longest, limit)
    with SaveFile(Path(target)) as file:
        file.write(data)
    return {}


def strokes(progress: Any, *, source: str, target: str, width: int, height: int) -> dict[str, Any]:
    """Write the strokes of a PNG at the page's size, with hard edges: half a stroke's colour is no colour that
    anybody chose."""
    from PIL import Image

    from ...io.outputs import SaveFile

    try:
        with Image.open(source, formats=["PNG"]) as image:
            if image.width * image.height > HINTS_PIXELS:
                raise ValidationError("The hints are too large.")
            drawing = image.convert("RGBA")
    except (ValueError, SyntaxError) as error:
        raise ValidationError("The hints are no picture.") from error
    if min(width, height) > 0 and drawing.size != (width, height):
        drawing = drawing.resize((width, height), Image.Resampling.NEAREST)
    drawing.putalpha(drawing.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0))
    with SaveFile(Path(target)) as file:
        drawing.save(file, "PNG")
    with suppress(OSError):
        Path(source).unlink()
    return {}
