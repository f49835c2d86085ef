"""The books of a series: each takes its colours from the books before it.

Promises: a book is given the palette of the nearest book before it that has one, and, where it has no coloured
reference of its own, the references that the nearest one before it was coloured from; so the same books give the
same colours, however often and by whichever process they are done. `palette.json` of the series has the colours of
all its books, and replaces only what a book of the series wrote there.

How: a book keeps its references in the workspace for those after it; its palette is the one of its report.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..core.application import JobContext
from ..core.model import Job, Role
from ..exceptions import QueueError, ValidationError
from ..io.naming import NameReservation
from . import palette
from .book_place import BookPlace, book_of
from .deposits import Deposits
from .model import References, facts_of
from .outputs import beside
from .references import references_of_page

PALETTE = "palette.json"


class Series:
    """What one book has of the series that it is in; nothing where it is in none."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        place = book_of(context.job)
        self._place: BookPlace | None = place if place is not None and place.palette else None

    def palette(self, given: str | None) -> Path | None:
        """The palette that the book starts from: that of a book before it, else the one that was `given`."""
        for job in self._before():
            file = beside(self._context.ledger, job) / PALETTE
            if file.is_file():
                return file
        return Path(given) if given else None

    def keep_references(self) -> None:
        """Keep the book's own references for the books after it."""
        if self._place is not None:
            self._keep(self._own_files())

    def borrowed_references(self) -> References:
        """The references of a book before this one, which has none of its own; they are kept for the books after it."""
        for job in self._before():
            if files := self._kept_by(job):
                self._context.note(
                    "coloured from the references of {name}, because there are none of its own",
                    name=_name(job),
                )
                self._keep((path.name, path) for path in files)
                return references_of_page(tuple(map(str, self._kept_by(self._context.job))))
        return []

    def write_palette(self) -> list[str]:
        """Write the palette of the whole series; the warnings that came up."""
        if self._place is None or self._place.palette is None:
            return []
        target = Path(self._place.palette)
        colors: dict[int, palette.Entry] = {}
        jobs = self._jobs()
        for job in jobs:
            try:
                listed = palette.read(beside(self._context.ledger, job) / PALETTE)
            except ValidationError:  # there is none, or its own job will say what is wrong with it
                continue
            for number, color in listed.items():
                books = colors.get(int(number), {}).get("pages", [])
                colors[int(number)] = {**color, "id": int(number), "pages": [*books, _name(job)]}
        if not colors:
            return []
        deposits = Deposits(
            self._context.ledger, self._context.job, target.parent, others=[job.id for job in jobs]
        )
        with deposits.save(target) as file:
            file.write(palette.write(colors[number] for number in sorted(colors)))
        return [str(warning) for warning in deposits.warnings]

    def _before(self) -> Iterator[Job]:
        """The books before this one, the nearest first."""
        for number in self._place.before if self._place else ():
            try:
                yield self._context.ledger.job(number)
            except QueueError:  # it was forgotten
                continue

    def _jobs(self) -> list[Job]:
        """All books of the series in their order, this one among them."""
        found = []
        for job in self._context.ledger.jobs(self._context.job.kind):
            place = book_of(job)
            if place is not None and self._place is not None and place.palette == self._place.palette:
                found.append((place.number, job.id, job))
        return [job for _, _, job in sorted(found, key=lambda one: one[:2])]

    def _own_files(self) -> Iterator[tuple[str, Path]]:
        seen: set[str] = set()
        for role in (Role.REFERENCE, Role.COPY):
            for source in self._context.ledger.sources(self._context.job.id, role=role):
                if source.sha256 and source.sha256 not in seen and facts_of(source).error is None:
                    seen.add(source.sha256)
                    yield PurePosixPath(source.key).name, Path(source.path)

    def _folder(self, job: Job) -> Path:
        return self._context.workspace.root / "jobs" / str(job.id) / "series"

    def _kept_by(self, job: Job) -> list[Path]:
        folder = self._folder(job)
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def _keep(self, files: Iterator[tuple[str, Path]]) -> None:
        """Keep copies under the job's number: archives are unpacked only while their job runs."""
        folder = self._folder(self._context.job)
        part = folder.with_name("series.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        names = NameReservation()
        for name, path in files:
            shutil.copyfile(path, part / names.reserve(name))
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def _name(job: Job) -> str:
    place = book_of(job)
    return place.name if place else Path(job.inputs[0]).name
