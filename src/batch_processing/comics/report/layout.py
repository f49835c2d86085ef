"""Which files a report consists of: one, or from `PAGED_FROM` places on an index and files of `PAGES_A_FILE` places each.

report.html                          all of it, or the index
report/pages-00101.html              the places 101 to 200
contact_sheet.webp                   the first `PAGES_A_SHEET` places; report/contact_sheet-01001.webp those that follow
palette.json, review.json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# A browser shows 500 places of 25 KB each without trouble; beyond, looking for one means scrolling for minutes.
PAGED_FROM = 500
PAGES_A_FILE = 100
# A place gets 12,000 of the sheet's pixels then, about 85 x 120: less shows nothing.
PAGES_A_SHEET = 1_000
PARTS = "report"
"""The folder of the other files, beside the index."""


@dataclass(frozen=True)
class Layout:
    """The files of a report of so many `pages` (places of the book) in `folder`."""

    folder: Path
    pages: int

    @property
    def is_paged(self) -> bool:
        return self.pages >= PAGED_FROM

    @property
    def html(self) -> Path:
        """What a person opens."""
        return self.folder / "report.html"

    def parts(self) -> Iterator[tuple[Path, int, int]]:
        """(file, first place, last place) of each file of a report that is paged."""
        for first, last in _steps(self.pages if self.is_paged else 0, PAGES_A_FILE):
            yield self.folder / self.part(first), first, last

    @staticmethod
    def part(number: int) -> str:
        """The file that shows a place, from the index."""
        first = number - (number - 1) % PAGES_A_FILE
        return f"{PARTS}/pages-{first:05}.html"

    def link(self, number: int) -> str:
        """The address of a place, from `report.html`."""
        return f"{self.part(number)}#p{number}" if self.is_paged else f"#p{number}"

    def sheets(self) -> Iterator[tuple[Path, int, int]]:
        """(file, first place, last place) of each contact sheet."""
        for first, last in _steps(self.pages, PAGES_A_SHEET):
            name = "contact_sheet.webp" if first == 1 else f"{PARTS}/contact_sheet-{first:05}.webp"
            yield self.folder / name, first, last

    @cached_property
    def files(self) -> Mapping[Path, None]:
        """Everything that the report may consist of, in order."""
        files = [
            self.html,
            *(path for path, _, _ in self.parts()),
            *(path for path, _, _ in self.sheets()),
            self.folder / "palette.json",
            self.folder / "review.json",
        ]
        return dict.fromkeys(files)

    def is_left(self, path: Path) -> bool:
        """Whether a file is one of an earlier report of other length, or of an earlier Lote."""
        names = ("report.html", "contact_sheet.webp", "contact_sheet.png")
        ours = path.parent == self.folder / PARTS or (path.parent == self.folder and path.name in names)
        return ours and path not in self.files


def span(first: int, last: int) -> str:
    """Places that follow each other, for people."""
    return str(first) if first == last else f"{first} – {last}"


def _steps(count: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(1, count + 1, size):
        yield first, min(count, first + size - 1)
