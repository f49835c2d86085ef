"""The pictures of a report: kept by the content that they show, drawn by workers where they are missing.

A picture that cannot be drawn is left out; the report says so in its place.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ...core.application import JobContext
from ...core.model import Item
from ...core.workers import Result, Task
from ...io.publish import SaveFile, part_path
from ...messages import NOTHING
from ..deposits import Deposits
from ..model import Reference, facts_of, settings_of
from ..small_pictures import (
    PICTURE,
    ContactSheet,
    Crop,
    Crops,
    Picture,
    Thumbnails,
    picture_of_output,
    picture_of_source,
)
from .layout import Layout
from .places import Doubt, Row

# Longest side in pixels and most bytes of the pictures of references and, below, of regions.
REFERENCE = (192, 5_000)
CROP = (240, 4_000)


class Pictures:
    """Thumbnails in the workspace, named by the content that they show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_source(self, sha256: str | None) -> Path | None:
        return picture_of_source(self._folder, sha256) if sha256 else None

    def of_output(self, item: Item) -> Path | None:
        try:
            stat = os.stat(item.output)  # noqa: PTH116
        except OSError:
            return None
        return picture_of_output(self._folder, item.output_hash or "", stat)

    def of_reference(self, sha256: str) -> Path:
        return self._folder / f"{sha256}-reference.webp"

    def of_region(self, picture: Path, box: tuple[int, int, int, int]) -> Path:
        return self._folder / f"{picture.stem}-{'-'.join(map(str, box))}.webp"

    @staticmethod
    def missing(path: Path) -> bool:
        """Whether a picture has yet to be made; one that is there is marked as still in use."""
        try:
            os.utime(path)
            return not path.stat().st_size
        except FileNotFoundError:
            return True

    def forget_before(self, moment: float) -> None:
        """Drop the pictures that nobody has asked for since, and what a killed worker left of one."""
        for entry in os.scandir(self._folder):
            # A second of grace: file systems keep coarser times than clocks do.
            if entry.name.endswith((".webp", ".part")) and entry.stat().st_mtime < moment - 1:
                Path(entry.path).unlink(missing_ok=True)


def data_uri(picture: Path | None) -> str:
    """The picture as a data URI; "" where there is none."""
    if picture is None or not picture.is_file():
        return ""
    return "data:image/webp;base64," + base64.b64encode(picture.read_bytes()).decode()


class Drawing:
    """Has the missing pictures of a book drawn, in the pool of its job."""

    def __init__(self, context: JobContext, pictures: Pictures) -> None:
        self._context, self._pictures = context, pictures

    def pages(self, rows: Iterable[Row]) -> None:
        """Both pictures of each page that was not drawn when it was coloured: it was passed through, edited
        by hand since, or there was no room."""

        def tasks() -> Iterator[Task]:
            for row in rows:
                images = []
                if row.before and facts_of(row.source).error is None and Pictures.missing(row.before):
                    images.append((row.source.path, str(row.before), PICTURE))
                if row.after and row.item and Pictures.missing(row.after):
                    images.append((row.item.output, str(row.after), PICTURE))
                if images:
                    yield self._task(str(row.number), images)

        self._run(tasks())

    def references(self, references: Iterable[Reference]) -> None:
        def tasks() -> Iterator[Task]:
            for sha256, path in {one.sha256: one.path for one in references}.items():
                target = self._pictures.of_reference(sha256)
                if Pictures.missing(target):
                    drawn = self._pictures.of_source(sha256)
                    smaller = str(drawn) if drawn and drawn.exists() else path
                    yield self._task(sha256, [(smaller, str(target), REFERENCE)])

        self._run(tasks())

    def regions(self, doubts: Iterable[Doubt]) -> None:
        """Cut regions out of their pages, each page opened once."""
        by_page: dict[str, list[Crop]] = {}
        for doubt in doubts:
            if Pictures.missing(doubt.picture):
                by_page.setdefault(doubt.output, []).append(Crop(doubt.box, str(doubt.picture), *CROP))
        self._run(Task(path, Crops(path, crops), here=True) for path, crops in by_page.items())

    def contact_sheets(self, rows: Iterable[Row], deposits: Deposits, layout: Layout) -> None:
        """All places on pictures, in page order."""
        rows = iter(rows)
        listing = self._context.workspace.folder("jobs", str(self._context.job.id)) / "contact_sheet.jsonl"
        for target, first, last in layout.sheets():
            with SaveFile(listing) as file:
                for row in islice(rows, last - first + 1):
                    shown = row.after or row.before
                    file.write((json.dumps([str(shown or ""), row.state]) + "\n").encode())
            part = part_path(target, "sheet")  # one writer: the holder of the lock
            sheet = ContactSheet(str(listing), str(part), str(deposits.root), first)
            for result in self._context.run([Task("contact sheet", sheet, here=True)]):
                if result.value is None:
                    self._missing(result)
                else:
                    deposits.take(part, result.value.sha256, target)
            listing.unlink()

    def _run(self, tasks: Iterable[Task]) -> None:
        for result in self._context.run(tasks):
            if result.failure is not None:
                self._missing(result)

    def _missing(self, result: Result) -> None:
        text = result.failure.text if result.failure else NOTHING
        self._context.note("a picture of the report is missing: {text}", text=text)

    def _task(self, name: str, images: list[tuple[str, str, tuple[int, int]]]) -> Task:
        listed = [Picture(source, target, *limits) for source, target, limits in images]
        timeout = settings_of(self._context.job)["timeout"]
        return Task(name, Thumbnails(listed), timeout_s=timeout, here=True)
