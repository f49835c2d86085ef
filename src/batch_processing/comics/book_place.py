"""The place of a comics job among the books of one command. By itself, because `lote status` needs no other noun."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.plain import from_plain

if TYPE_CHECKING:
    from ..core.model import Job


@dataclass(frozen=True)
class BookPlace:
    """Which of the books of one command a job is: the `number`th of `count`, from 1, called `name` among them; its pages
    may be named by paths that begin with `below`. In a series, `before` are the jobs of the books before it, the
    nearest first, and `palette` is the file that has the colours of all."""

    number: int
    count: int
    name: str
    below: str = ""
    before: list[int] = field(default_factory=list)
    palette: str | None = None


def book_of(job: Job) -> BookPlace | None:
    """The place of a comics job among several books. Asked for of every job, so nothing else is looked at."""
    place = job.config.get("book")
    return from_plain(BookPlace, place) if place else None
