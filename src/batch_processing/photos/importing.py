"""Importing a card: what is not in the library is copied into it, verified, exactly once.

Promises: nothing is recorded that was not read back from the disk; an import that was killed goes on where it was when it
is started again, and leaves nothing half written; a file of the card is removed only with `move`, after its
copy was committed and was shown to stand apart from it. Files of one unit (`card`) stay together. Refuses a library that
no scan has seen, since nobody could tell what is known. Does not look for photos that only look alike.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ..exceptions import BatchProcessingError, ResourceError, ValidationError
from ..messages import NOTHING, Message
from . import steps
from .copying import Copied, copy_file, make_folders
from .kinds import SYSTEM_FILES
from .layout import Layout
from .planning import Fate, Plan, Planned, Planner
from .reading import Unreadable
from .recording import has_photos, is_recorded, is_scanned, record, record_empty
from .removal import Protected, Refused, check, refusal_of
from .steps import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .header_facts import HeaderFacts
    from .store import Store


class Result(StrEnum):
    """What became of a file of the card. Values stand in JSON."""

    COPIED = "copied"
    KNOWN = "known"
    FAILED = "failed"


@dataclass(frozen=True)
class Deed:
    """What became of one file. `target`: the copy, or the file that holds the same bytes; `size` in bytes; `digest`
    is the SHA-256 of a copy; `problem` a clause for a person ("" unless FAILED)."""

    path: bytes
    result: Result
    target: bytes
    size: int
    digest: bytes | None = None
    problem: Message = NOTHING


@dataclass
class Counts:
    """Files and bytes of a run. `removed`: from the card; `kept`: copied, but not removed from it, though asked."""

    copied: int = 0
    bytes_copied: int = 0
    known: int = 0
    failed: int = 0
    removed: int = 0
    kept: int = 0


@dataclass
class _Unit:
    """What a run has done with a unit so far."""

    has_media: bool = False  # in the library
    keeps_media: bool = False  # on the card: it was known
    failed: bool = False
    copied: list[tuple[Planned, Copied | None]] = field(
        default_factory=list
    )  # None: by a run that was killed
    steps: list[int] = field(default_factory=list)


class Import:
    """One import of `card` into `library`, both absolute and without a slash at their ends."""

    def __init__(
        self,
        store: Store,
        card: bytes,
        library: bytes,
        layout: Layout,
        *,
        move: bool = False,
        stopped: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """`progress`: while planning, how many files of the card were looked at, and how many there are. ValidationError if the card is not there, the library was never scanned, or one lies in the other."""
        self.counts = Counts()
        self.problems: list[tuple[bytes, Message]] = []  # of an earlier run: path and clause
        self.not_removed: list[tuple[bytes, Message]] = []  # path and clause, with `move`
        self._store, self._card, self._library = store, card, library
        self._layout, self.is_move = layout, move
        self._stopped, self._progress = stopped, progress
        self._resumed: dict[bytes, int] = {}  # copies of a run that was killed: path and step
        self._headers: dict[bytes, HeaderFacts] = {}
        self._lacking: set[bytes] = set()  # targets that were not made after all
        self._check()
        self._device = os.stat(card).st_dev  # noqa: PTH116 - bytes
        self._library_device: int | None = None  # until it is there

    def _check(self) -> None:
        card, library = os.fsdecode(self._card), os.fsdecode(self._library)
        if not os.path.isdir(self._card):  # noqa: PTH112 - bytes
            problem = (
                Message("is not a directory") if os.path.lexists(self._card) else Message("does not exist")
            )
            raise ValidationError(
                "The card {card} {problem}: name a folder of photos.", card=card, problem=problem
            )
        if os.path.lexists(self._library) and not os.path.isdir(self._library):  # noqa: PTH112 - bytes
            raise ValidationError("The library {library} is not a directory: name a folder.", library=library)
        if any(
            os.path.commonpath(pair) in pair
            for pair in (
                (self._card, self._library),
                (os.path.realpath(self._card), os.path.realpath(self._library)),
            )
        ):
            raise ValidationError(
                "The card {card} and the library {library} lie in each other: name two folders apart.",
                card=card,
                library=library,
            )
        is_empty = self._is_empty()
        if is_empty and has_photos(self._store, self._library):
            raise ValidationError(
                "The library {library} is empty or not there, but its photos are known: plug its drive in. "
                "If they were deleted on purpose, run lote photos scan --allow-missing on it first.",
                library=library,
            )
        if not is_empty and not is_scanned(self._store, self._library):
            raise ValidationError(
                "The library {library} was not scanned yet, so nobody knows what it holds: run lote photos "
                "scan on it, and import then.",
                library=library,
            )

    def _is_empty(self) -> bool:
        """Whether the library is not there, or holds no file but those of the system."""
        for _, _, files in os.walk(self._library):
            if any(name.lower() not in SYSTEM_FILES for name in files):
                return False
        return True

    def plan(self, *, may_rename: bool = False) -> Plan:
        """What a run would do. Writes nothing, unless it `may_rename` files of the card (`planning.Planner`)."""
        return Planner(
            self._store,
            self._card,
            self._library,
            self._layout,
            self._stopped,
            self._progress,
            may_rename=may_rename,
        ).plan()

    def prepare(self) -> Plan:
        """End what an earlier run had begun, make the library if there is none, and plan. The scan's lock must be held
        from now on. ResourceError if there is not room for all."""
        self._recover(is_over=False)
        self._make_library()
        self._library_device = os.stat(self._library).st_dev  # noqa: PTH116 - bytes
        plan = self.plan(may_rename=True)
        free = shutil.disk_usage(self._library).free
        if (wanted := plan.bytes_to_copy) > free:
            raise ResourceError(
                "The library {library} lacks room: {wanted} bytes are to be copied, and {free} are free; "
                "nothing was copied. Free space there, and run the same command again.",
                library=os.fsdecode(self._library),
                wanted=wanted,
                free=free,
            )
        return plan

    def _recover(self, *, is_over: bool) -> None:
        """End what was begun and not ended. Unless the run `is_over`, copies of a killed `move` keep their rows: their
        sources are still to be removed."""
        began = time.time_ns()
        for one in steps.recover(self._store):
            if is_over and one.outcome is not Outcome.COMPLETE:
                continue  # what is to be said was said in the beginning
            if one.outcome is Outcome.BOTH:
                spare = os.fsdecode(one.spare)
                problem = Message(
                    "stands aside as {spare}, and another file has its name: rename one of them", spare=spare
                )
                self.problems.append((one.path, problem))
            elif one.outcome is Outcome.FAILED:
                self.problems.append((one.path, one.problem))
            if one.outcome is not Outcome.COMPLETE:
                continue
            goes_on = self.is_move and not is_over and one.path.startswith(self._library.rstrip(b"/") + b"/")
            with self._store.write() as connection:
                if is_recorded(one.path):
                    record(connection, one.path, one.digest, os.lstat(one.path), began)
                if not goes_on:
                    steps.end(connection, one.id)
            if goes_on:
                self._resumed[one.path] = one.id

    def _make_library(self) -> None:
        """Have the library there; where no scan has seen it, record that it was empty: what it holds from now on is
        known."""
        try:
            make_folders(self._library)
        except OSError as error:
            raise self._run_error(error) from error
        if not is_scanned(self._store, self._library):
            record_empty(self._store, self._library)

    def run(self, plan: Plan) -> Iterator[Deed]:
        """Do what is planned; gives what became of each file, when it has. Ends early when `stopped`, after the file that
        is being copied. ResourceError if the card or the library is gone, or full: what was copied is safe."""
        self._headers = plan.headers
        for path, problem in plan.card.problems:
            self.counts.failed += 1
            yield Deed(path, Result.FAILED, b"", 0, problem=problem)
        for unit in plan.units:
            done = _Unit()
            for planned in unit:
                if self._stopped():
                    return
                deed = self._do(planned, done)
                self._count(deed)
                yield deed
            if self.is_move:
                self._remove(done)
        self._recover(is_over=True)

    def _count(self, deed: Deed) -> None:
        if deed.result is Result.COPIED:
            self.counts.copied += 1
            self.counts.bytes_copied += deed.size
        elif deed.result is Result.KNOWN:
            self.counts.known += 1
        else:
            self.counts.failed += 1

    def _do(self, planned: Planned, unit: _Unit) -> Deed:
        file, target = planned.file, planned.target
        if planned.fate is Fate.FAIL:
            return self._failed(planned, unit, planned.problem)
        if planned.fate is Fate.KNOWN and target not in self._lacking:
            unit.has_media = unit.has_media or file.is_media
            if (step_id := self._resumed.pop(target, None)) is not None:
                unit.copied.append((planned, None))
                unit.steps.append(step_id)
            elif file.is_media:
                unit.keeps_media = True
            return Deed(file.path, Result.KNOWN, target, file.size)
        if not file.is_media and not unit.has_media:
            return self._failed(
                planned, unit, Message("belongs to a photo or video that could not be copied")
            )
        self._check_places()
        try:
            copied = copy_file(self._store, file.path, target, file.digest)
        except Unreadable as error:
            self._check_places()
            self._lacking.add(target)
            return self._failed(planned, unit, error.sentence)
        except OSError as error:
            raise self._run_error(error) from error
        self._lacking.discard(target)
        with self._store.write() as connection:
            if file.is_media:
                known = self._headers.get(file.path)
                record(connection, target, copied.digest, copied.status, copied.checked_ns, known)
            if not self.is_move:
                steps.end(connection, copied.step_id)
        unit.has_media = unit.has_media or file.is_media
        unit.copied.append((planned, copied))
        unit.steps.append(copied.step_id)
        return Deed(file.path, Result.COPIED, target, copied.status.st_size, copied.digest)

    @staticmethod
    def _failed(planned: Planned, unit: _Unit, problem: Message) -> Deed:
        unit.failed = True
        return Deed(planned.file.path, Result.FAILED, b"", planned.file.size, problem=problem)

    def _check_places(self) -> None:
        """ResourceError if the card or the library is not there any more. Without it the next copies would go into the
        empty folder that a drive was mounted on, or every file of a card that was pulled out would be an error."""
        if not _stands(self._card, self._device) or _is_bare(self._card):
            raise ResourceError(
                "The card {card} is not there any more: plug it in again, and run the same command again; "
                "what was copied is safe, and the rest will follow.",
                card=os.fsdecode(self._card),
            )
        if self._library_device is not None and not _stands(self._library, self._library_device):
            raise ResourceError(
                "The library {library} is not there any more: plug its drive in again, and run the same "
                "command again; what was copied is safe, and the rest will follow.",
                library=os.fsdecode(self._library),
            )

    def _run_error(self, error: OSError) -> BatchProcessingError:
        library = os.fsdecode(self._library)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ResourceError(
                "The library {library} is full: free space there, and run the same command again; what was "
                "copied is safe, and the rest will follow.",
                library=library,
            )
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return ValidationError(
                "The library {library} cannot be written to: mend its permissions, or mount it for writing, "
                "and run the same command again.",
                library=library,
            )
        self._check_places()
        return ResourceError(
            "The library {library} cannot be written to ({errno}): check its disk, and run the same "
            "command again; what was copied is safe.",
            library=library,
            errno=errno.errorcode.get(error.errno or 0, "unknown"),
        )

    def _remove(self, unit: _Unit) -> None:
        """Remove the sources of a unit that is whole in the library; sidecars only together with their photos."""
        sources = [
            (planned, copied)
            for planned, copied in unit.copied
            if planned.file.is_media or not unit.keeps_media
        ]
        stay = unit.failed
        for planned, copied in sources:
            problem = (
                self._prove_apart(planned, copied)
                if not stay
                else Message("a file that belongs to it stays on the card")
            )
            if problem:
                stay = True
                self.not_removed.append((planned.file.path, problem))
        if stay:
            self.counts.kept += len(sources)
        else:  # photos last: a sidecar that a kill leaves without its photo would stay for ever
            for planned, _ in reversed(sources):
                self._unlink(planned.file.path)
        for step_id in unit.steps:
            steps.finish(self._store, step_id)

    def _prove_apart(self, planned: Planned, copied: Copied | None) -> Message | None:
        """Have it shown that the copy stays when the file of the card goes; why it may not (None if it may)."""
        source, target, size = planned.file.path, planned.target, planned.file.size
        digest = copied.digest if copied is not None else planned.file.digest or b""
        try:
            if copied is not None and not _is_as_it_was(os.lstat(source), copied.source):
                return Message("changed since it was copied: import again")
            step_id = check(self._store, source, target, [target], size, digest, Protected([]))
            # The step of the copy is there until the unit is done: after a kill the next run comes here again.
            steps.finish(self._store, step_id)
        except (OSError, Refused) as error:
            self._check_places()
            return refusal_of(error)[1]
        return None

    def _unlink(self, source: bytes) -> None:
        try:
            os.unlink(source)  # noqa: PTH108 - bytes
            steps.sync_folder(os.path.dirname(source))  # noqa: PTH120 - bytes
        except OSError as error:
            self._check_places()
            self.not_removed.append((source, refusal_of(error)[1]))
            self.counts.kept += 1
        else:
            self.counts.removed += 1


def _is_as_it_was(now: os.stat_result, before: os.stat_result) -> bool:
    names = ("st_dev", "st_ino", "st_size", "st_mtime_ns")
    return stat.S_ISREG(now.st_mode) and all(getattr(now, name) == getattr(before, name) for name in names)


def _stands(folder: bytes, device: int) -> bool:
    """Whether a folder is there, on the device that it was on."""
    try:
        return os.stat(folder).st_dev == device  # noqa: PTH116 - bytes
    except OSError:
        return False


def _is_bare(folder: bytes) -> bool:
    """Whether a folder holds nothing, or does not say."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
