"""A watched folder: what people put into it is coloured, one book after the other, and moved away.

    whole -> taken (a row of the ledger) -> its jobs -> what became of it (recorded) -> moved -> ended (recorded)

Promises: whatever is killed, each thing that was put there is done, and once: the next step is read from the ledger
(`core.drops`), and the move is the last one. A book that is finished is never replaced by another, nothing that was put
there is deleted, and what fails is moved beside a text that says why. What may succeed later by itself (a full
disk) stays, and is tried again. Refuses to watch a folder that another process watches.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from .colorize import JobResult, check_output, run, submit
from .comics.model import request_of, stored
from .comics.outputs import default_name
from .comics.shelf import Shelf, find_shelf, is_book
from .core.coordinator import Interrupt, Interrupted, OnNews
from .core.model import Drop, DropEnd, DropState, ItemState, JobState, Relocation
from .core.processes import process_identity
from .core.workspace import Workspace, file_system
from .exceptions import (
    BatchProcessingError,
    QueueError,
    ResourceError,
    ValidationError,
    WorkspaceError,
    beside,
    reason,
)
from .i18n import translate
from .io.drop_folder import Entry, Watched, bell, free_name, move, signature_of, where_is
from .io.publish import Claim, check_inside, part_path, publish, write_part
from .io.scan import natural_key
from .library import BookJob, LibraryJobs, LibraryResult, run_library, submit_library
from .messages import N_, NOTHING, Message

__all__ = ["AlreadyWatched", "Asked", "Audience", "watch"]

# How long something that may succeed later waits, at first and at most (in seconds).
LATER_S, LATEST_S = 60.0, 900.0
# In the folder: held by the process that watches it, also against one with another workspace.
LOCK_NAME = ".lote-watch.lock"

_STAYS_IN = N_("It stays in {folder}; move it out and in again to have it tried again.")
_AGAIN = N_("Put it into {folder} again to have it tried again: what is finished is not done again.")


class AlreadyWatched(QueueError):  # noqa: N818 - says how it is
    """Another process watches the folder."""

    code = "already_watched"


@dataclass(frozen=True)
class Asked:
    """What is asked for: the folder that is watched, the folder that has the coloured books, where inputs are moved to
    (`done` None: they stay), how long something must have been as it is (`settle_s`); whether to leave when nothing is
    left (`once`). The rest is as for `colorize.submit`."""

    folder: Path
    output: Path
    done: Path | None
    failed: Path
    settle_s: float
    once: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    language: str = "en"


class Audience(Protocol):
    """Who is told what happens."""

    def begins(self, drop: Drop, job: int) -> OnNews:
        """A job for it is run; gives back what is told the news."""
        ...

    def ends(self, drop: Drop, results: Sequence[JobResult]) -> None:
        """It came to its end: `drop` says which, why, and where it is now."""
        ...

    def warns(self, message: Message) -> None:
        """Something that a person should know."""
        ...


def watch(workspace: Workspace, asked: Asked, audience: Audience, interrupt: Interrupt) -> int:
    """Watch a folder until `interrupt` asks to leave, or with `once` until nothing is left in it; the exit code: 0, or
    3 where something failed.

    ValidationError for folders that cannot serve, `AlreadyWatched`, WorkspaceError; with `once` also what may succeed
    later."""
    _check(asked)
    with _only_one(workspace, asked.folder):
        return _Watcher(workspace, asked, audience, interrupt).work()


def _check(asked: Asked) -> None:
    folder = asked.folder
    if not folder.is_dir():
        raise ValidationError("{folder} is no folder: name the one that is to be watched.", folder=folder)
    check_output(asked.output)
    if asked.output.suffix.lower() in {".zip", ".cbz"} and not asked.output.is_dir():
        raise ValidationError(
            "{output} is one archive, and a watched folder gets many books: name a folder with -o.",
            output=asked.output,
        )
    places = [asked.output, asked.failed, *([asked.done] if asked.done else [])]
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValidationError(
                "The folder {folder} cannot be made ({reason}): choose another.",
                folder=place,
                reason=reason(error),
            ) from error
    for place in places[1:]:
        if place.stat().st_dev != folder.stat().st_dev:
            raise ValidationError(
                "{place} is on another disk than {folder}: choose a folder on the same one, so that books are "
                "moved whole.",
                place=place,
                folder=folder,
            )
    for place in places:
        if place.samefile(folder):
            raise ValidationError(
                "{place} is the watched folder: choose another, so that what comes out is not taken in.",
                place=place,
            )
    for place in places[1:]:
        if place.samefile(asked.output):
            raise ValidationError(
                "{place} is to have both coloured books and inputs: choose another.", place=place
            )


@contextmanager
def _only_one(workspace: Workspace, folder: Path) -> Iterator[None]:
    """Be the one who watches the folder, in this workspace and, where its file system can say so, in any."""
    from filelock import FileLock, Timeout

    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:12]
    text = N_("The folder {folder} is watched already{who}: end that one first, or let it do the work.")
    with workspace.lock(f"watch-{name}") as lock:
        if not lock.acquire():
            holder = lock.holder()
            who = Message(" (process {pid})", pid=holder["pid"]) if holder else ""
            raise AlreadyWatched(text, folder=folder, who=who)
        inside = FileLock(folder / LOCK_NAME, mode=0o666, thread_local=False)
        try:
            inside.acquire(timeout=0)
        except Timeout:
            raise AlreadyWatched(text, folder=folder, who=Message(" with another workspace")) from None
        except (OSError, NotImplementedError):
            pass  # a file system without locks, or a folder that cannot be written: the move will say so
        try:
            yield
        finally:
            inside.release()


@dataclass
class _Later:
    """What is tried again: when (of `time.monotonic`), and after how many seconds the next time."""

    at: float
    pause_s: float


class _Watcher:
    def __init__(self, workspace: Workspace, asked: Asked, audience: Audience, interrupt: Interrupt) -> None:
        self._workspace, self._asked, self._audience, self._interrupt = workspace, asked, audience, interrupt
        self._drops = workspace.ledger.drops
        self._folder = str(asked.folder)
        without = [asked.output, asked.failed, *([asked.done] if asked.done else [])]
        self._watched = Watched(asked.folder, settle_s=asked.settle_s, without=without)
        self._later: dict[int, _Later] = {}
        self._said = ""  # what is in the way, so that it is said once
        self._failed = False

    def work(self) -> int:
        """Until somebody asks to leave; the exit code."""
        kind = file_system(self._asked.folder)
        with bell(self._asked.folder, kind, settle_s=self._asked.settle_s) as ringing:
            try:
                while not self._leaving():
                    settling = self._turn()
                    if self._asked.once and settling is None:
                        break
                    if not self._later_is_now():
                        ringing.wait(self._leaving, settling=bool(settling))
            except Interrupted:
                return 0
        return 3 if self._failed and self._asked.once else 0

    def _leaving(self) -> bool:
        return self._interrupt.level > 0

    def _later_is_now(self) -> bool:
        return any(one.at <= time.monotonic() for one in self._later.values())

    def _turn(self) -> bool | None:
        """Do what is begun, then what is whole; whether something will be soon, None where there is nothing at all."""
        if self._in_the_way():
            return False
        for drop in self._drops.open(self._folder):
            if self._leaving():
                return False
            if drop.id not in self._later or self._later[drop.id].at <= time.monotonic():
                self._go_on(drop)
        try:
            entries = self._watched.look()
        except OSError as error:
            self._in_the_way(error)
            return False
        waiting = [entry for entry in entries if self._is_new(entry)]
        whole = sorted((entry for entry in waiting if entry.whole), key=lambda entry: natural_key(entry.name))
        for entry in whole:
            if self._leaving() or self._in_the_way():
                return False
            self._go_on(self._take(entry))
        left = len(waiting) > len(whole)
        return True if left else (False if self._later else None)

    def _in_the_way(self, error: OSError | None = None) -> bool:
        """Whether a folder is away, as one of a network drive may be: then nothing is begun until it is back."""
        away = [path for path in (self._asked.folder, self._asked.output) if not path.is_dir()]
        said = ""
        if away or error is not None:
            text = Message(
                "{folder} is not there or cannot be read: nothing is taken until it is back.",
                folder=away[0] if away else self._asked.folder,
            )
            said = str(text)
            if said != self._said:
                self._audience.warns(text)
        self._said = said
        if said and self._asked.once:
            raise ValidationError(text)
        return bool(said)

    # -- one thing ----------------------------------------------------------------------------------

    def _is_new(self, entry: Entry) -> bool:
        """Whether something that stands there has not been dealt with."""
        last = self._drops.last(self._folder, entry.name)
        if last is None or (last.state == DropState.ENDED and last.target is not None):
            return True
        if last.state != DropState.ENDED:
            return False
        return last.end == DropEnd.WITHDRAWN or last.signature != entry.signature

    def _take(self, entry: Entry) -> Drop:
        path = self._asked.folder / entry.name
        last = self._drops.last(self._folder, entry.name)
        back: list[Relocation] = []
        output = self._asked.output / (
            path.name if path.is_dir() else path.name.removesuffix(path.suffix) + default_name(path)[1]
        )
        if (
            last is not None
            and last.end != DropEnd.DONE
            and Path(last.output).parent == self._asked.output
            and not self._is_anothers(Path(last.output), last.jobs)
        ):
            output = Path(last.output)  # it goes on with what was finished of it
            if last.target is not None:
                back = self._relocated(last.jobs, last.target, str(path))
        elif not self._asked.values.get("overwrite"):
            output = free_name(output, is_folder=path.is_dir(), is_taken=self._is_anothers)
        drop = self._drops.take(self._folder, entry.name, entry.signature, str(output), back=back)
        if last is not None:
            self._forget_text(last)
        return drop

    def _is_anothers(self, output: Path, mine: Sequence[int] = ()) -> bool:
        """Whether a job other than these has that output, or one in it; also where somebody has fetched it since."""
        text = str(output)
        return any(
            job.id not in mine and (job.output == text or job.output.startswith(f"{text}/"))
            for job in self._workspace.ledger.jobs("comics")
        )

    def _go_on(self, drop: Drop) -> None:
        """Do what is left to do of something: colour it, move it."""
        results: list[JobResult] = []
        if drop.state == DropState.TAKEN:
            error: Message | None = None
            if not self._is_there(drop):
                end = DropEnd.WITHDRAWN
            else:
                try:
                    results, error = self._colored(drop)
                except (Interrupted, WorkspaceError):
                    raise
                except BatchProcessingError as fault:
                    if fault.retryable:
                        self._try_later(drop, fault)
                        return
                    error = fault.sentence
                bad = DropEnd.FAILED if self._is_there(drop) else DropEnd.WITHDRAWN
                end = DropEnd.DONE if error is None else bad
            drop = self._ends(self._drops.get(drop.id), end, error)
        drop = self._move(drop)
        if drop.state != DropState.ENDED:
            return
        self._later.pop(drop.id, None)
        self._failed = self._failed or drop.end == DropEnd.FAILED
        self._audience.ends(drop, results)

    def _try_later(self, drop: Drop, fault: BatchProcessingError) -> None:
        """What may succeed by itself later is asked for anew then."""
        for number in self._drops.get(drop.id).jobs:  # else the next book waits behind it, for us
            self._workspace.ledger.resign(number, process_identity())
        self._drops.entered(drop.id, [])
        if self._asked.once:
            raise fault
        before = self._later.get(drop.id)
        pause = min(before.pause_s * 2, LATEST_S) if before else LATER_S
        self._later[drop.id] = _Later(time.monotonic() + pause, pause)
        text = Message(
            "{name}: {error} It is tried again in {seconds} s.",
            name=drop.name,
            error=fault.sentence,
            seconds=round(pause),
        )
        self._audience.warns(text)

    def _is_there(self, drop: Drop) -> bool:
        """Whether it still is what was taken."""
        try:
            found = signature_of(Path(drop.path))
        except OSError:
            return True  # whoever reads it says why it cannot be read
        return found is not None and found[0] == drop.signature

    def _colored(self, drop: Drop) -> tuple[list[JobResult], Message | None]:
        """Have the book, or the books of a folder, be coloured: the results, and what is wrong with them."""
        path = Path(drop.path)
        if path.is_symlink() or not (path.is_dir() or is_book(path)):
            raise ValidationError(
                "{name} is no book: put in a folder of pages, or a book (CBZ, ZIP, CBR, EPUB, PDF ...).",
                name=drop.name,
            )
        shelf = find_shelf([drop.path], drop.output)
        if shelf is not None:
            return self._books(drop, shelf)
        if not drop.jobs:
            asked = self._asked
            job = submit(
                self._workspace, [drop.path], drop.output, config=asked.values, priority=asked.priority,
                origins=asked.origins, language=asked.language,
            )  # fmt: skip
            self._drops.entered(drop.id, [job.id])
            drop = replace(drop, jobs=[job.id])
        (number,) = drop.jobs
        news = self._audience.begins(drop, number)
        result = run(self._workspace, number, on_news=news, interrupt=self._interrupt)
        return [result], self._wrong(result)

    def _books(self, drop: Drop, shelf: Shelf) -> tuple[list[JobResult], Message | None]:
        asked = self._asked
        if len(drop.jobs) == len(shelf.books):
            pairs = zip(shelf.books, drop.jobs, strict=True)
            library = LibraryJobs([BookJob(book, number) for book, number in pairs], shelf.output)
        else:
            library = submit_library(
                self._workspace, shelf, config=asked.values, priority=asked.priority, origins=asked.origins,
                language=asked.language,
            )  # fmt: skip
            self._drops.entered(drop.id, [one.job for one in library.books if one.job is not None])

        def on_book(one: BookJob, number: int, count: int) -> OnNews:
            return self._audience.begins(drop, one.job or 0)

        result = run_library(self._workspace, library, on_book=on_book, interrupt=self._interrupt)
        for book in result.books:
            if book.code == ResourceError.code and book.error is not None:  # no fault of the book
                raise ResourceError(book.error)
        return [book.result for book in result.books if book.result is not None], self._wrong_with_books(
            result
        )

    def _wrong(self, result: JobResult) -> Message | None:
        """What is wrong with a book, for who put it there."""
        if result.state == JobState.CANCELLED:
            return Message("Job {job} was cancelled.", job=result.job)
        for item in self._workspace.ledger.items(result.job, ItemState.FAILED):
            return Message(
                "{failed} of {total} pages failed, such as {page} ({error}); the others are in {output}.",
                failed=result.failed,
                total=result.total,
                page=item.key,
                error=beside(item.error or NOTHING),
                output=result.output,
            )
        return None

    def _wrong_with_books(self, result: LibraryResult) -> Message | None:
        for book in result.books:
            error = book.error if book.result is None else self._wrong(book.result)
            if error is not None:
                return Message(
                    "{bad} of {count} books failed, such as {name}: {error}",
                    bad=sum(one.exit_code != 0 for one in result.books),
                    count=len(result.books),
                    name=book.name,
                    error=error,
                )
        return None

    # -- its end ------------------------------------------------------------------------------------

    def _ends(self, drop: Drop, end: DropEnd, error: Message | None) -> Drop:
        """Record what became of it, and where it goes."""
        asked = self._asked
        folder = {DropEnd.DONE: asked.done, DropEnd.FAILED: asked.failed, DropEnd.WITHDRAWN: None}[end]
        target = None
        if folder is not None and asked.done is not None:
            with suppress(OSError):
                folder.mkdir(exist_ok=True)
            target = str(
                free_name(
                    folder / drop.name,
                    is_folder=Path(drop.path).is_dir(),
                    is_taken=lambda path: end == DropEnd.FAILED and os.path.lexists(f"{path}.txt"),
                )
            )
        self._drops.ends(drop.id, end, target, error)
        return self._drops.get(drop.id)

    def _move(self, drop: Drop) -> Drop:
        """Move it to where it was recorded to go, and record that it is there."""
        moved, gone, relocated = False, False, []
        while True:
            if drop.end == DropEnd.FAILED:
                self._write_text(drop)
            if drop.target is None:
                break
            source, target = Path(drop.path), Path(drop.target)
            try:
                place = where_is(source, target, drop.signature)
                if not self._asked.folder.is_dir():
                    return drop  # a network drive is away: it is moved when that is back
                if place == target:
                    moved, relocated = True, self._relocated(drop.jobs, drop.path, drop.target)
                    break
                if place is None:  # somebody has taken it out, or put something else there
                    gone = True
                    break
                if target.is_relative_to(self._asked.folder):
                    check_inside(self._asked.folder, target)
                free = move(source, target)
            except OSError as error:
                text = Message(
                    "{name} cannot be moved to {folder} ({reason}): it stays, and is not taken again",
                    name=drop.name,
                    folder=target.parent,
                    reason=reason(error),
                )
                self._audience.warns(text)
                break
            if not free and drop.end is not None:
                drop = self._ends(drop, drop.end, drop.error)
        self._drops.ended(drop.id, moved=moved, gone=gone, relocated=relocated)
        return self._drops.get(drop.id)

    def _relocated(self, jobs: Sequence[int], before: str, after: str) -> list[Relocation]:
        """What jobs know of their inputs when what stood at `before` stands at `after`: so they can be done again there."""

        def at(path: str) -> str:
            inside = path == before or path.startswith(f"{before}/")
            return after + path[len(before) :] if inside else path

        found = []
        for number in jobs:
            job = self._workspace.ledger.job(number)
            if job.alive:
                continue  # somebody runs it again already, and reads there
            request = request_of(job)
            settings = dict(request.settings)
            settings["input_dir"] = at(settings["input_dir"])
            settings["reference_images"] = [at(path) for path in settings["reference_images"]]
            images = {at(path): said for path, said in request.images.items()}
            config = stored(replace(request, settings=settings, images=images))
            found.append(Relocation(number, [at(path) for path in job.inputs], config))
        return found

    def _text_file(self, drop: Drop) -> Path:
        return self._asked.failed / f"{Path(drop.target or drop.name).name}.txt"

    def _text(self, drop: Drop) -> bytes:
        """What is said beside something that failed."""
        lines = [translate(drop.error) if drop.error is not None else ""]
        hint = _AGAIN if drop.target is not None else _STAYS_IN
        lines.append(translate(Message(hint, folder=self._folder)))
        lines += [translate(Message("`lote status {job}` says more.", job=number)) for number in drop.jobs]
        return ("\n".join(lines) + "\n").encode(errors="backslashreplace")

    def _write_text(self, drop: Drop) -> None:
        file = self._text_file(drop)
        part = part_path(file, "watch")  # always the same: whoever goes on after a kill replaces it
        root = self._asked.folder if file.is_relative_to(self._asked.folder) else file.parent
        try:
            sha256 = write_part(part, self._text(drop), within=root)
            publish(part, file, Claim(root, frozenset([sha256])))
        except OSError as error:
            text = Message("{file} cannot be written: {reason}", file=file, reason=reason(error))
            self._audience.warns(text)

    def _forget_text(self, before: Drop) -> None:
        """What was said of something that is tried again now is no longer so."""
        if before.end != DropEnd.FAILED or (before.target and os.path.lexists(before.target)):
            return
        with suppress(OSError):
            if self._text_file(before).read_bytes() == self._text(before):
                self._text_file(before).unlink()
