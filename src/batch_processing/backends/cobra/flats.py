"""Cobra's colours as flats (`--backend cobra --flats`): the model paints the page, and each region takes one colour of it.

Regions, lines, layers, palette, review and edits are those of the backend `flats`. Promises what that promises, with the
model's limits: the same bytes on one device alone. A page that was painted once is drawn again, in other colours or with
a person's edits, without the model.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...exceptions import ImageProcessingError
from ...messages import Message
from ..base import Colored, PageJob, PageSettings, Progress, Reference, Survey, Underway
from ..flats import FlatsBackend
from ..painting import ARCHIVE_TIME, keep_references
from .backend import FLATS, CobraBackend

if TYPE_CHECKING:
    from ...io.images import Page
    from ..flats.references import Knowledge

CODE_VERSION = "1"  # change it whenever the way from the painting to the flats changes pixels


class CobraFlatsBackend(FlatsBackend):
    """See base.Backend, base.Overlapping and base.Editing for the contracts."""

    name = "cobra-flats"
    exclusive = True

    def __init__(self) -> None:
        super().__init__()
        self._cobra = CobraBackend()
        self._artefact: Path | None = None
        self._is_loaded = False  # the model with this artefact
        self._one_at_a_time = threading.Lock()  # the networks of flats are one for all threads

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        return f"{CODE_VERSION}+{FlatsBackend.version}+{self._cobra.version}"

    def unavailable(self) -> Message | None:
        return self._cobra.unavailable() or super().unavailable()

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        """What both learn, in one file."""
        learned = artefact.with_name(f"{artefact.name}.{FLATS}")
        try:
            super().prepare(references, learned, settings, progress)
            self._cobra.prepare(references, artefact, settings, progress)
            _append(learned, artefact)
        finally:
            learned.unlink(missing_ok=True)

    def agree(
        self,
        number: int,
        references: Sequence[Reference],
        own: Sequence[Path],
        common: Path | None,
        made: Path,
    ) -> None:
        if number < self.rounds - 1:
            super().agree(number, references, own, common, made)
            return
        learned = made.with_name(f"{made.name}.{FLATS}")
        try:
            super().agree(number, references, own, common, learned)
            keep_references(references, made, lambda done, total: None)
            _append(learned, made)
        finally:
            learned.unlink(missing_ok=True)

    def load(self, artefact: Path | None) -> None:
        """The model is loaded with the first page that it paints: drawing a page again needs none."""
        super().load(artefact)
        self._artefact, self._is_loaded = artefact, False

    def color(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Colored:
        (result,) = self.color_many([PageJob(page, settings, hints)], progress)
        if isinstance(result, ImageProcessingError):
            raise result
        return result

    def survey(self, page: Page, settings: PageSettings, progress: Progress) -> Survey:
        return self._painter().survey(page, settings, progress)

    def arrange(self, surveys: Sequence[Survey]) -> list[list[int]]:
        return self._cobra.arrange(surveys)

    def color_many(self, jobs: Sequence[PageJob], progress: Progress) -> list[Colored | ImageProcessingError]:
        underway = self.begin(jobs, progress)
        underway.paint(progress)
        return underway.finish(progress)

    def begin(self, jobs: Sequence[PageJob], progress: Progress) -> FlatsUnderway:
        """See `Overlapping`."""
        underway = FlatsUnderway(self, jobs)
        if self._is_loaded:
            underway.begin(progress)
        return underway

    def painting(self, jobs: Sequence[PageJob], progress: Progress) -> Underway:
        """The pages on their way through the model, begun."""
        bare = [replace(job, settings=replace(job.settings, keep_ink=False)) for job in jobs]
        painter = self._painter()
        painter.hint_colors = self.hint_colors()
        return painter.begin(bare, progress)

    def flatted(self, job: PageJob, painted: Colored, progress: Progress) -> Colored:
        """The page in flat colours of its painting."""
        from ...io.profiles import to_srgb
        from ..flats.painted import repainted

        with self._one_at_a_time:
            found = self.flat(job.page, job.hints, progress)
        colored = self._drawn(job.page, repainted(found, to_srgb(painted.rgb, job.page.icc)), job.settings)
        colored.details = {**painted.details, **colored.details}
        return colored

    def _painter(self) -> CobraBackend:
        if not self._is_loaded:
            self._cobra.load(self._artefact)
            self._is_loaded = True
        return self._cobra

    def _learned(self, artefact: Path) -> Knowledge:
        from ..flats.arrays import damaged, restored
        from ..flats.references import Knowledge

        try:
            with zipfile.ZipFile(artefact) as archive:
                return restored(Knowledge, archive.read(FLATS))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
            raise damaged(artefact) from fault


def _append(learned: Path, artefact: Path) -> None:
    """Put what flats have learned into the file that holds the references."""
    with zipfile.ZipFile(artefact, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(FLATS, ARCHIVE_TIME), learned.read_bytes())


class FlatsUnderway:
    """Pages on their way: painted by the model, then made flat. See `Underway`."""

    def __init__(self, backend: CobraFlatsBackend, jobs: Sequence[PageJob]) -> None:
        self._backend, self._jobs = backend, jobs
        self._painting: Underway | None = None
        self._heard = (0, 1)

    def begin(self, progress: Progress) -> None:
        self._painting = self._backend.painting(self._jobs, progress)

    def paint(self, progress: Progress) -> None:
        """The model is loaded here where it was not yet."""

        def told(done: int, total: int) -> None:
            self._heard = done, total
            progress(done, total)

        if self._painting is None:
            self.begin(progress)
        if self._painting is not None:
            self._painting.paint(told)

    def finish(self, progress: Progress) -> list[Colored | ImageProcessingError]:
        painted = [] if self._painting is None else self._painting.finish(progress)
        self._painting = None

        # So quick that it only says that the work goes on.
        def alive(_done: int, _total: int) -> None:
            progress(*self._heard)

        return [
            self._backend.flatted(job, one, alive) if isinstance(one, Colored) else one
            for job, one in zip(self._jobs, painted, strict=True)
        ]
