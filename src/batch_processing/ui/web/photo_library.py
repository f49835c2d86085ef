"""The photo library as the page's answers have it: opened once, with what may be shown of it.

Promises: pictures of photos that lie outside of the roots, after following links, are shown to nobody, nor listed; a
database or a file of previews that was replaced meanwhile is opened anew. Answers run in threads: each takes a `Store` of
its own for as long as it needs one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...exceptions import QueueError
from .photos import database_of
from .pictures import Pictures

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ...core.database import Database
    from ...core.model import Job
    from ...core.workspace import Workspace
    from ...photos.gallery import Gallery
    from ...photos.pixels.finding import Found
    from ...photos.pixels.previews import Previews
    from ...photos.store import Store
    from .paths import Roots

# Of the search for similar photos: a million of them take a minute and 2 GiB.
FIND_TIMEOUT = 3600.0  # seconds
FIND_MEMORY = 6 << 30  # bytes of address space
BELIEVED = 30.0  # seconds for which a folder is believed to lie where it lay

_File = tuple[int, int] | None


class PhotoLibrary:
    """See the module's text. Nothing is opened before it is first asked for."""

    def __init__(self, workspace: Workspace, roots: Roots) -> None:
        self.workspace, self.roots = workspace, roots
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._opened: tuple[str, _File] | None = None
        self._previews: Previews | None = None
        self._previews_file: _File = None
        self._held: dict[int, bool] = {}  # whether a directory lies below the roots
        self._held_at = -BELIEVED
        self._finders = Pictures(workers=1, timeout=FIND_TIMEOUT, memory=FIND_MEMORY)
        self._finding: Future[None] | None = None
        self._found: Found | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever recorded here."""
        return "LOTE_DATABASE" in os.environ or self.workspace.has_ledger

    @property
    def where(self) -> str:
        """The database, as a job of photos is given it."""
        return database_of(self.workspace)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The tables, for one thread."""
        from ...photos.store import Store

        store = Store(self._open())
        try:
            yield store
        finally:
            store.close()

    def _open(self) -> Database:
        from ...photos.store import open_database

        with self._lock:
            where = self.where
            if self._database is None or self._opened != (where, _file(where)):
                if self._database is not None:
                    self._database.close()
                self._database = open_database(where)
                self._opened = where, _file(where)
                self._held_at = -BELIEVED
            return self._database

    @contextmanager
    def gallery(self) -> Iterator[Gallery]:
        """What may be shown of the pictures."""
        from ...photos.gallery import Gallery

        with self.store() as store:
            yield Gallery(store, self._folders(store))

    def _folders(self, store: Store) -> list[int] | None:
        """The folders that lie below the roots; None: all do."""
        from ...photos.gallery import directories_of

        with self._lock:
            believed = time.monotonic() - self._held_at < BELIEVED
            known = (len(self._held), max(self._held, default=0)) if believed else None
            if (found := directories_of(store, known)) is not None:
                self._held = {number: self.roots.hold(path) for number, path in found.items()}
                self._held_at = time.monotonic()
            if all(self._held.values()):
                return None
            return [number for number, held in self._held.items() if held]

    def preview(self, digest: bytes) -> bytes:
        """The small picture of a content. FileNotFoundError where there is none."""
        found = self.kept_previews().get([digest])
        if digest not in found:
            raise FileNotFoundError
        return found[digest]

    def kept_previews(self) -> Previews:
        """All small pictures."""
        from ...photos.pixels.previews import NAME, Previews

        path = self.workspace.root / NAME
        with self._lock:
            now = _file(str(path))
            if self._previews is None or now != self._previews_file:
                if self._previews is not None:
                    self._previews.close()
                self._previews, self._previews_file = Previews(path), now
            return self._previews

    # -- similar photos ---------------------------------------------------------------------------------

    def find(self, distance: int, *, with_turned: bool) -> None:
        """Have similar photos looked for, by a worker; whoever asks while it is at work waits for the same."""
        from ...core.workers import Task
        from ...photos.pixels.finding import Find

        target = self.found
        work = Find(self.where, distance, with_turned, str(target))
        with self._lock:
            if self._finding is not None and not self._finding.done():
                return
            self._found = None
            target.unlink(missing_ok=True)
            self._finding = self._finders.made(
                target, lambda: Task(target.name, work, timeout_s=FIND_TIMEOUT)
            )

    @property
    def found(self) -> Path:
        """Where what was found lies. Not for the next server: photos come and go."""
        return self.workspace.folder("cache", "web") / f"similar-{os.getpid()}.json"

    @property
    def is_finding(self) -> bool:
        return self._finding is not None and not self._finding.done()

    def similar(self) -> Found | None:
        """What was found; None before anybody has looked. BatchProcessingError for why nothing was."""
        from ...photos.pixels.finding import Found

        with self._lock:
            if self._finding is None or not self._finding.done():
                return None
            self._finding.result()
            if self._found is None:
                self._found = Found.read(self.found)
            return self._found

    # -- looking ----------------------------------------------------------------------------------------

    def look(self) -> Job:
        """The look at pixels that runs or waits, else the newest. QueueError when there was none."""
        jobs = self.workspace.ledger.jobs("looks") if self.exists else []
        if not jobs:
            raise QueueError("No photos are being looked at.")
        return max(jobs, key=lambda job: (job.alive, job.submitted_at))

    def new_look(self) -> int:
        """Enter a look at all that was scanned into the ledger; the number of its job."""
        from ...photos.audit import scanned_roots
        from ...photos.pixels.looks_job import LookRequest, submit

        with self.store() as store:
            roots = scanned_roots(store)
            if not roots:
                raise QueueError("No photo is known yet: scan a folder first.")
            request = LookRequest(tuple(os.fsdecode(root) for root in roots), self.where)
            return submit(self.workspace, request, store).id


def _file(where: str) -> _File:
    """Which file a database is; None for none, and for servers."""
    try:
        status = Path(where).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
