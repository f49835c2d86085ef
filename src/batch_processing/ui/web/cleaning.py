"""Moving photos to the trash, and taking them back, one piece of work at a time.

Promises: what is done is done by the doors that the command line uses (`duplicates.remove_copies`, `choosing.trash_similar`,
`removals.take_back`), with the right to scan held and a line in a log for each photo before the next goes; every photo that
was left alone is named with the reason. A server that ends meanwhile finishes the photo it is at; one that is killed leaves
what the journal of `photos.steps` puts in order. One removal at a time.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ...exceptions import BatchProcessingError, QueueError
from ...messages import NOTHING, Message

if TYPE_CHECKING:
    from ...photos.removals import Line
    from ...photos.store import Store
    from .photo_library import PhotoLibrary

PATIENCE = 30.0  # seconds that a server which ends waits for the photo it is at


class Doing(StrEnum):
    NOTHING = "nothing"
    TRASH = "trash"
    BACK = "back"


@dataclass(frozen=True)
class Done:
    """What became of one photo. `problem`: why it was left alone, NOTHING where it was not; `gain` in bytes."""

    photo: int
    path: bytes
    gain: int
    line: Line
    problem: Message = NOTHING


Work = Callable[["Store"], Iterator[Done]]


@dataclass
class Cleaning:
    """What is being done, or was done last. `gain`: bytes; `left`: paths with why they were left alone; `gone`: the ids of
    the photos that went; `log`: its name."""

    doing: Doing = Doing.NOTHING
    total: int = 0
    done: int = 0
    gain: int = 0
    left: list[tuple[bytes, Message]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    log: str = ""
    ended: bool = True
    problem: Message = NOTHING


class Cleaner:
    """See the module's text."""

    def __init__(self, library: PhotoLibrary) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.now = Cleaning()

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self._library.workspace.folder("logs")

    def start(self, doing: Doing, total: int, log: Path, work: Work) -> None:
        """Begin. QueueError while another is at work, or a scan is."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise QueueError("Photos are being moved already: wait until that is done.")
            if self._library.workspace.lock("photos").holder() is not None:
                raise QueueError("A scan is at work: wait for its end, or stop it.")
            self._stop.clear()
            self.now = Cleaning(doing, total, log=log.name, ended=False)
            self._thread = threading.Thread(target=self._run, args=(self.now, log, work), name="cleaning")
            self._thread.start()

    def stop(self) -> None:
        """Have it end after the photo it is at."""
        self._stop.set()

    def leave(self) -> None:
        """The server ends."""
        self.stop()
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _run(self, now: Cleaning, log: Path, work: Work) -> None:
        from ...photos.steps import Outcome, recover
        from ...photos.store import scan_lock

        try:
            with (
                self._library.store() as store,
                scan_lock(store, self._library.workspace, lambda text: None, self._stop.is_set, wait=False),
                log.open("a", encoding="utf-8") as file,
            ):
                for step in recover(store):
                    if step.outcome in (Outcome.BOTH, Outcome.FAILED):
                        why = step.problem or Message("another file has its name: rename one of them")
                        now.left.append((step.path, why))
                for done in work(store):
                    file.write(json.dumps(done.line) + "\n")
                    file.flush()
                    if done.problem == NOTHING:
                        now.done += 1
                        now.gain += max(0, done.gain)
                        now.gone.append(done.photo)
                    else:
                        now.left.append((done.path, done.problem))
                    if self._stop.is_set():
                        break
                os.fsync(file.fileno())
        except BatchProcessingError as error:
            now.problem = error.sentence
        except OSError as error:
            now.problem = Message("The log {log} cannot be written: {error}.", log=str(log), error=error)
        finally:
            now.ended = True
