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

from ...core.workers import LocalPool, Progress, Task
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

    def __init__(
        self,
        workers: int = WORKERS,
        *,
        idle: float = IDLE,
        timeout: float = TIMEOUT,
        memory: int = MEMORY,
        newest_first: bool = False,
    ) -> None:
        """`newest_first`: what is asked for last is made first, for a person who goes on before all is there."""
        self._workers, self._idle, self._timeout, self._memory = workers, idle, timeout, memory
        self._orders: queue.Queue[_Order] = queue.LifoQueue() if newest_first else queue.Queue()
        self._coming: dict[str, Future[None]] = {}
        self._failed: dict[str, tuple[float, BatchProcessingError]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def shrunk(self, source: Callable[[], str], target: Path, longest: int, limit: int) -> Future[None]:
        """Have a WebP of `longest` pixels at most written to `target`. `source` finds the image, and may take its time.

        The future is shared by all who ask for the same target. It raises NotShown for what cannot be shown, ResourceError when too many pictures wait, and whatever
        `source` raises."""

        def prepare() -> Task:
            return Task(target.name, Shrink(source(), str(target), longest, limit), timeout_s=TIMEOUT)

        return self._made(str(target), prepare)

    def exact(self, source: Callable[[], str], target: Path, longest: int) -> Future[None]:
        """The same as a PNG whose pixels are pixels of the image, in sRGB: for picking colours."""

        def prepare() -> Task:
            return Task(target.name, Exact(source(), str(target), longest), timeout_s=TIMEOUT)

        return self._made(str(target), prepare)

    def drawn(self, png: Path, target: Path, size: tuple[int, int]) -> None:
        """Write the strokes of a drawing to `target`, at the page's size. ValidationError for what is no drawing."""
        task = Task(target.name, Strokes(str(png), str(target), *size), timeout_s=TIMEOUT)
        try:
            self._made(str(png), lambda: task).result()
        except NotShown as error:
            raise ValidationError("The hints are no picture, or too large.") from error

    def made(self, target: Path, prepare: Callable[[], Task]) -> Future[None]:
        """Have a worker write `target` by another task, under the same rules."""
        return self._made(str(target), prepare)

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
            while len(self._threads) < self._workers:
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
        pool = LocalPool(1, memory_limit=self._memory)
        while True:
            try:
                order = self._orders.get(timeout=self._idle)
            except queue.Empty:
                pool.close()
                continue
            try:
                task = order.prepare()
                pool.submit(task)
                while not (results := pool.completed(self._timeout)):
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


@dataclass(frozen=True)
class Shrink:
    """Write a WebP of the image, at most `longest` pixels a side and `limit` bytes."""

    source: str
    target: str
    longest: int
    limit: int

    def run(self, progress: Progress) -> None:
        from ...io.images import thumbnail
        from ...io.publish import SaveFile

        data = thumbnail(Path(self.source), self.longest, self.limit)
        with SaveFile(Path(self.target)) as file:
            file.write(data)


@dataclass(frozen=True)
class Exact:
    """Write a PNG of the image, at most `longest` pixels a side: each of its pixels is one of the image, and no mean."""

    source: str
    target: str
    longest: int

    def run(self, progress: Progress) -> None:
        from PIL import Image

        from ...io.images import decode
        from ...io.profiles import to_srgb
        from ...io.publish import SaveFile

        page = decode(Path(self.source))
        picture = Image.fromarray(to_srgb(page.rgb, page.icc))
        picture.thumbnail((self.longest, self.longest), Image.Resampling.NEAREST)
        with SaveFile(Path(self.target)) as file:
            picture.save(file, "PNG")


@dataclass(frozen=True)
class Strokes:
    """Write the strokes of a PNG at the page's size, with hard edges: half a stroke's colour is no colour that
    anybody chose."""

    source: str
    target: str
    width: int
    height: int

    def run(self, progress: Progress) -> None:
        from PIL import Image

        from ...io.publish import SaveFile

        try:
            with Image.open(self.source, formats=["PNG"]) as image:
                if image.width * image.height > HINTS_PIXELS:
                    raise ValidationError("The hints are too large.")
                drawing = image.convert("RGBA")
        except (ValueError, SyntaxError) as error:
            raise ValidationError("The hints are no picture.") from error
        if min(self.width, self.height) > 0 and drawing.size != (self.width, self.height):
            drawing = drawing.resize((self.width, self.height), Image.Resampling.NEAREST)
        drawing.putalpha(drawing.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0))
        with SaveFile(Path(self.target)) as file:
            drawing.save(file, "PNG")
        with suppress(OSError):
            Path(self.source).unlink()
