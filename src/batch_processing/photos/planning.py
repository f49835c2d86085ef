"""What an import is going to do with each file of a card.

Promises: writes nothing, neither a file nor a row, unless it may rename. A file is known only if one with the same bytes stands in the library
now, elsewhere than on the card. Files that belong together get one name: beside the photo that is known, else
in the folder of the layout; no name is given out twice, not even in another case. Of two equal photos of a card one is
copied. What a file holds is read here only where its size leaves a doubt.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..messages import NOTHING, Message
from .card import Card, CardFile, Unit, folded, look_at
from .hashing import join
from .header_facts import HeaderFacts
from .header_pool import headers_of
from .kinds import extension_of, machine_below, package_around
from .knowledge import twins_of
from .reading import Stopped, Unreadable, hash_file, new_buffer
from .removal import Apart, Protected, Refused, is_apart
from .tables import MISSING, photos

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .layout import Layout
    from .store import Store

# A card is hardly faster than one process that reads headers, and starting another takes as long as a hundred of them.
HEADER_READERS = 2
FEW_HEADERS = 200


class Fate(StrEnum):
    """What is to become of a file."""

    COPY = "copy"
    KNOWN = "known"  # `target` holds the same bytes
    FAIL = "fail"  # `problem` says why


@dataclass(slots=True, eq=False)
class Planned:
    """A file and its fate. `problem`: a clause for a person ("" unless FAIL)."""

    file: CardFile
    fate: Fate
    target: bytes = b""
    problem: Message = NOTHING


@dataclass
class Plan:
    """What is to become of a whole card, one list of files for each unit."""

    card: Card
    units: list[list[Planned]] = field(default_factory=list)
    headers: dict[bytes, HeaderFacts] = field(default_factory=dict)  # of new photos and videos, by their path

    def of(self, fate: Fate) -> list[Planned]:
        """The files of this fate, in the order of the card."""
        return [one for unit in self.units for one in unit if one.fate is fate]

    @property
    def problems(self) -> list[tuple[bytes, Message]]:
        """Path and clause of what cannot be looked at or copied."""
        return [*self.card.problems, *((one.file.path, one.problem) for one in self.of(Fate.FAIL))]

    @property
    def bytes_to_copy(self) -> int:
        return sum(one.file.size for one in self.of(Fate.COPY))


class _Names:
    """The names in folders, those that are only planned included, without regard to case."""

    def __init__(self) -> None:
        self._there: dict[bytes, dict[str, bytes]] = {}
        self._stems: dict[bytes, set[str]] = {}

    def find(self, folder: bytes, name: bytes) -> bytes | None:
        """The path of what has this name, in whatever case."""
        return self._folder(folder).get(folded(name))

    def has_stem(self, folder: bytes, stem: bytes) -> bool:
        """Whether something there is called `stem` and an ending, or nothing more."""
        self._folder(folder)
        return folded(stem) in self._stems[folder]

    def add(self, folder: bytes, name: bytes) -> None:
        self._folder(folder)[folded(name)] = join(folder, name)
        while name:
            self._stems[folder].add(folded(name))
            name = name[: max(0, name.rfind(b"."))]

    def _folder(self, folder: bytes) -> dict[str, bytes]:
        if folder not in self._there:
            self._there[folder], self._stems[folder] = {}, set()
            try:
                names = os.listdir(folder)
            except (FileNotFoundError, NotADirectoryError):
                names = []
            for name in names:
                self.add(folder, name)
        return self._there[folder]


@dataclass(slots=True)
class _Home:
    """Where the files of a unit are put, and what they are called."""

    folder: bytes
    stem: bytes | None = None  # None: each keeps its own
    number: int = 0  # behind the stem, unless it is 0

    @classmethod
    def of(cls, twin: bytes) -> _Home:
        """Beside a photo that is known, with its name."""
        folder, name = os.path.split(twin)
        return cls(folder, name[: len(name) - len(extension_of(name))])

    def name(self, file: CardFile, number: int = 0) -> bytes:
        """The name of a file of the unit; with another number behind it if that is taken."""
        stem = _numbered(file.stem if self.stem is None else self.stem, self.number)
        return _numbered(stem, number) + file.suffix


class Planner:
    """Plans the import of one card."""

    def __init__(
        self,
        store: Store,
        card: bytes,
        library: bytes,
        layout: Layout,
        stopped: Callable[[], bool],
        progress: Callable[[int, int], None],
        *,
        may_rename: bool,
    ) -> None:
        """`card` and `library`: absolute, without a slash at their ends. `progress`: called with how many files were
        looked at, and how many there are. `may_rename`: a file of the card may be renamed for a moment, where nothing
        else tells whether it is the one in the library (`removal.is_apart`); the scan's lock is held."""
        self._store = store
        self._card, self._library = card, library
        self._layout, self._may_rename = layout, may_rename
        self._stopped, self._progress = stopped, progress
        self._buffer = new_buffer()
        self._names = _Names()
        self._twins: dict[bytes, list[bytes]] = {}  # by digest
        self._planned: dict[bytes, CardFile] = {}  # by the path of the copy
        self._problems: dict[CardFile, Message] = {}

    def plan(self) -> Plan:
        """The whole plan; what was planned so far if `stopped` says so."""
        plan = Plan(look_at(self._card, self._stopped))
        try:
            self._read_doubtful(plan.card)
            self._find_twins(plan.card)
            plan.headers = self._headers([unit for unit in plan.card.units if not self._has_home(unit)])
            plan.units = [self._unit(unit, plan.headers) for unit in plan.card.units]
        except Stopped:
            pass  # who asked for it knows
        return plan

    def _read_doubtful(self, card: Card) -> None:
        """Hash the photos and videos that may be known: another file has the same size."""
        sizes = Counter(file.size for file in card.files if file.is_media)
        doubtful = {size for size, number in sizes.items() if number > 1}
        with self._store.read() as connection:
            query = sa.select(photos.c.size).where(photos.c.state != MISSING).distinct()
            for (size,) in connection.execute(query.execution_options(yield_per=1000)):
                if size in sizes:
                    doubtful.add(size)
        total = sum(1 for _ in card.files)
        for number, file in enumerate(card.files, 1):
            if file.is_media and file.size in doubtful:
                self._digest(file)
            self._progress(number, total)

    def _digest(self, file: CardFile) -> bytes | None:
        """The SHA-256 of a file of the card; None if it cannot be read."""
        if file.digest is None and file not in self._problems:
            try:
                digest, _, _, blank = hash_file(file.path, self._buffer, self._stopped)
            except Unreadable as error:
                self._problems[file] = error.sentence
            else:
                if blank:
                    self._problems[file] = Message(
                        "holds the same byte over and over: try to read the card in another reader"
                    )
                else:
                    file.digest = digest
        return file.digest

    def _find_twins(self, card: Card) -> None:
        """Find the photos of the library that hold what files of the card hold, those below the library first."""
        alike: dict[bytes, list[CardFile]] = {}
        for file in card.files:
            if file.digest is not None:
                alike.setdefault(file.digest, []).append(file)
        inside = Protected([self._card])
        below = self._library.rstrip(b"/") + b"/"
        for digest, files in alike.items():
            if self._stopped():
                raise Stopped
            standing = twins_of(self._store, digest, files[0].size, inside).standing
            try:
                # A twin is none of the card's files, seen on another way.
                twins = [
                    twin for twin in standing if all(self._is_apart(file, twin, below) for file in files)
                ]
            except Refused as refused:
                self._problems |= dict.fromkeys(files, refused.sentence)
            else:
                self._twins[digest] = sorted(twins, key=lambda twin: not twin.startswith(below))

    def _is_apart(self, file: CardFile, twin: bytes, library: bytes) -> bool:
        """Whether a twin is another file than the one on the card. One below the library is, since card and library lie
        apart; others may be the card, seen on another way."""
        assert file.digest is not None  # noqa: S101 - else it had no twin
        if twin.startswith(library) or not self._may_rename:
            with suppress(OSError):
                return not os.path.samestat(os.lstat(file.path), os.lstat(twin))
            return False
        return is_apart(self._store, file.path, twin, file.size, file.digest) is Apart.YES

    def _twin(self, file: CardFile) -> bytes | None:
        return next(iter(self._twins.get(file.digest or b"", ())), None)

    def _has_home(self, unit: Unit) -> bool:
        return any(self._is_home(self._twin(file)) for file in unit.files)

    def _is_home(self, twin: bytes | None) -> bool:
        """Whether the rest of a unit may be put beside this file."""
        if twin is None or not twin.startswith(self._library.rstrip(b"/") + b"/"):
            return False
        folder = os.path.dirname(twin)  # noqa: PTH120 - bytes
        return package_around(twin) is None and not machine_below(folder, self._library)

    def _headers(self, units: Sequence[Unit]) -> dict[bytes, HeaderFacts]:
        """What the headers of the photos and videos of the units say, by path."""
        paths = [file.path for unit in units for file in unit.files if file.is_media]
        found = {}
        readers = HEADER_READERS if len(paths) > FEW_HEADERS else 1
        for number, (path, answer) in enumerate(headers_of(paths, readers, self._stopped), 1):
            if isinstance(answer, HeaderFacts):
                found[path] = answer
            self._progress(number, len(paths))
        return found

    def _unit(self, unit: Unit, headers: dict[bytes, HeaderFacts]) -> list[Planned]:
        if self._stopped():
            raise Stopped
        done: dict[CardFile, Planned] = {}
        homes: list[_Home] = []  # of each twin
        for file in unit.files:
            if file in self._problems:
                done[file] = Planned(file, Fate.FAIL, problem=self._problems[file])
            elif (twin := self._twin(file)) is not None:
                done[file] = Planned(file, Fate.KNOWN, twin)
                homes.append(_Home.of(twin))
        if not any(one.fate is Fate.KNOWN for one in done.values()) and done.keys() >= {
            file for file in unit.files if file.is_media
        }:
            return self._in_order(unit, done)
        home = next((_Home.of(one.target) for one in done.values() if self._is_home(one.target)), None)
        missing = [file for file in unit.files if file not in done]
        for file in missing:
            if (there := self._lies_beside(file, homes)) is not None:
                done[file] = Planned(file, Fate.KNOWN, there)
        missing = [file for file in missing if file not in done]
        if missing:
            if home is None:
                home = self._new_home(unit, missing, headers)
            for file in missing:
                done[file] = self._beside(file, home)
        return self._in_order(unit, done)

    def _in_order(self, unit: Unit, done: dict[CardFile, Planned]) -> list[Planned]:
        problem = Message("belongs to a photo or video that cannot be read")
        return [done.get(file) or Planned(file, Fate.FAIL, problem=problem) for file in unit.files]

    def _lies_beside(self, file: CardFile, homes: Sequence[_Home]) -> bytes | None:
        """The file beside a twin that is this one: a sidecar has no row, nor has a video that no scan was asked for."""
        for home in homes:
            number = 0
            while (there := self._names.find(home.folder, home.name(file, number))) is not None:
                if self._is_same(file, there):
                    return there
                number += 1
        return None

    def _is_same(self, file: CardFile, path: bytes) -> bool:
        """Whether the file that stands at `path`, or is going to, holds the bytes of `file`."""
        if (planned := self._planned.get(path)) is not None:
            if planned.size != file.size:
                return False
            digest = self._digest(file)
            return digest is not None and digest == self._digest(planned)
        try:
            status = os.lstat(path)
        except OSError:
            return False  # gone meanwhile: then nothing is known of it
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size or self._digest(file) is None:
            return False
        try:
            return hash_file(path, self._buffer, self._stopped)[0] == file.digest
        except Unreadable:
            return False  # its bytes cannot be told: the copy gets another name

    def _new_home(self, unit: Unit, missing: Sequence[CardFile], headers: dict[bytes, HeaderFacts]) -> _Home:
        """The folder of the layout, and a number with which the unit's name is free there, or which it has already."""
        home = _Home(self._folder(unit, headers))
        while self._names.has_stem(home.folder, _numbered(unit.stem, home.number)):
            for file in missing:
                there = self._names.find(home.folder, home.name(file))
                if there is not None and self._is_same(file, there):
                    return home
            home.number += 1
        return home

    def _folder(self, unit: Unit, headers: dict[bytes, HeaderFacts]) -> bytes:
        known = [headers[file.path] for file in unit.files if file.path in headers]
        taken = next((each.taken_at for each in known if each.taken_at), None)
        camera = next((each.camera for each in known if each.camera), None)
        relative = self._layout.folder(_moment(taken, unit.files[0].mtime_ns), camera)
        return join(self._library, relative) if relative else self._library

    def _beside(self, file: CardFile, home: _Home) -> Planned:
        """The fate of a file that is to have the name of `home`, or that with a number if it is taken."""
        if file in self._problems:
            return Planned(file, Fate.FAIL, problem=self._problems[file])
        number = 0
        while (there := self._names.find(home.folder, name := home.name(file, number))) is not None:
            if self._is_same(file, there):
                return Planned(file, Fate.KNOWN, there)
            number += 1
        target = join(home.folder, name)
        self._names.add(home.folder, name)
        self._planned[target] = file
        if file.is_media and file.digest is not None:
            self._twins.setdefault(file.digest, []).append(target)
        return Planned(file, Fate.COPY, target)


def _numbered(stem: bytes, number: int) -> bytes:
    return stem + b"-%d" % number if number else stem


def _moment(taken: str | None, mtime_ns: int) -> datetime:
    """When a photo was taken, as its header says; else when its file was changed, here."""
    if taken is not None:
        try:
            return datetime.fromisoformat(taken)
        except ValueError:
            pass  # a part of a date: the file's time says more
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9, UTC).astimezone()
    except (
        ValueError,
        OverflowError,
        OSError,
    ):  # a year that there is not: of all folders, the one of no date
        return datetime(1970, 1, 1, tzinfo=UTC)
