"""What a person sees in a report, as plain values: no markup, no translated text, no open file.

Names, paths and sentences are as they are; the templates make text of them. Numbers are seconds, shares from
0 to 1, pixels, and moments in seconds since 1970. An empty text or None is what is not known and not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ...messages import Message


class Fate(StrEnum):
    """What became of a place of the book: the last two wait for another run."""

    COLORED = "coloured"
    FAILED = "failed"
    REFERENCE = "reference"
    KEPT = "kept"
    CANCELLED = "cancelled"
    WAITING = "waiting"


class PageState(StrEnum):
    """What a place counts as. KEPT is passed through, WAITING not in this run."""

    COLORED = "coloured"
    FAILED = "failed"
    KEPT = "kept"
    WAITING = "waiting"


_STATES = {
    Fate.COLORED: PageState.COLORED,
    Fate.FAILED: PageState.FAILED,
    Fate.REFERENCE: PageState.KEPT,
    Fate.KEPT: PageState.KEPT,
    Fate.CANCELLED: PageState.WAITING,
    Fate.WAITING: PageState.WAITING,
}


def state_of(fate: Fate) -> PageState:
    """What a place counts as."""
    return _STATES[fate]


@dataclass(frozen=True)
class Counts:
    """Places of the book: all, by their state, and those that ask for a look."""

    pages: int
    colored: int
    failed: int
    kept: int
    waiting: int
    warned: int
    unsure: int


@dataclass(frozen=True)
class Link:
    """A name and a relative address, right for any name."""

    name: str
    address: str


@dataclass(frozen=True)
class Files:
    """What lies beside the report. `output` is "" while the book is not there."""

    output: Link
    is_folder: bool
    beside: frozenset[str]  # names of those files that there are


@dataclass(frozen=True)
class Shape:
    """A picture's size in pixels, and its format."""

    width: int
    height: int
    format: str


@dataclass(frozen=True)
class Seen:
    """What the image was taken for, and how sure that is."""

    kind: str
    confidence: float
    doubtful: bool


@dataclass(frozen=True)
class Setting:
    """A setting that a page was made with. `own`: the job as a whole has another value."""

    name: str
    value: object
    own: bool


@dataclass(frozen=True)
class References:
    """References that were learned together, by the place of their set in the report, from 0."""

    at: int
    count: int


@dataclass(frozen=True)
class Made:
    """How a page was made, or would have been."""

    settings: tuple[Setting, ...]
    backend: str
    version: str
    references: References | None
    hints: str
    told: tuple[tuple[str, object], ...]  # what the backend says of the page, by its names
    documents: tuple[Link, ...]
    edit: bool  # in the editor
    attempts: int
    finished: float | None
    reused: bool


@dataclass(frozen=True)
class Page:
    """One place of the book. `before` and `after` are data URIs; `file` is what a click opens."""

    number: int
    name: str
    fate: Fate
    unsure: bool
    readable: bool
    before: str
    after: str
    shape: Shape | None
    file: str
    seen: Seen | None
    confidence: float
    sure: bool
    seconds: float | None
    cpu_seconds: float | None
    peak_memory: int | None  # bytes, of its worker
    gpu_memory: int | None  # bytes
    approved: bool
    problem: Message
    warnings: tuple[Message, ...]
    metrics: Mapping[str, float]
    made: Made | None

    @property
    def state(self) -> PageState:
        """The class of its card."""
        return state_of(self.fate)


@dataclass(frozen=True)
class Failed:
    """A page that failed, as the head of the report names it. `address` is where it is shown."""

    address: str
    name: str
    problem: Message


@dataclass(frozen=True)
class Color:
    """A colour of the book. `sample` is "#rrggbb"."""

    id: str
    name: str
    sample: str
    locked: bool
    pages: int


@dataclass(frozen=True)
class Region:
    """A part of a page that may be wrong. `why` is "" where there is no more than the rule; `color` None where the backend
    has no palette."""

    page: str
    address: str  # where the page is shown
    picture: str
    confidence: float
    color: Color | None
    why: str


@dataclass(frozen=True)
class Reference:
    """`address` is that of the place of the book that shows the same picture, "" if none does."""

    name: str
    address: str
    picture: str


@dataclass(frozen=True)
class JobSetting:
    """A setting of the job. `origin`: "built-in", "given", or what gave it: an option, a file."""

    name: str
    value: object
    origin: str


@dataclass(frozen=True)
class LeftOut:
    """Files of the inputs that are left out for one reason."""

    sentence: Message
    names: tuple[str, ...]


@dataclass(frozen=True)
class Editor:
    """Where pages are put right by hand: `address` of the job there, which a page's number follows, "" where no web page is
    known to run; `command` starts one."""

    address: str
    command: str


@dataclass(frozen=True)
class Part:
    """A file of a report that has several: the places `first` to `last`, with the names of these two. `address` is from the
    index; `counts` are those of its places."""

    first: int
    last: int
    begin: str
    end: str
    address: str
    counts: Counts


@dataclass(frozen=True)
class Paged:
    """How a report in several files hangs together. `size` is the places of a file, of which `pattern` is the address of
    the one that begins with the place {first}, five digits. `sheets` are contact sheets, by the places that they show.
    `names` are those of all places as a JSON list, to be found by; "[]" where there are too many."""

    parts: tuple[Part, ...]
    size: int
    pattern: str
    sheets: tuple[Link, ...]
    names: str


@dataclass(frozen=True)
class Report:
    """A whole report, without its places."""

    language: str
    version: str
    job: int
    name: str
    inputs: tuple[str, ...]
    seconds: float | None
    cpu_seconds: float | None  # of all pages that were coloured
    peak_memory: int | None  # bytes: the most that a worker held
    written: float
    counts: Counts
    warnings: int
    files: Files
    editor: Editor | None  # None where no page can be put right there
    general: tuple[Message, ...]  # warnings of the job as a whole
    left_out: tuple[LeftOut, ...]
    stopped: int  # pages that were not coloured because the job was cancelled
    failed: tuple[Failed, ...]
    more_failed: int  # that are not listed
    regions: tuple[Region, ...]
    more_regions: int  # that stand in review.json alone
    left_regions: int  # that stand nowhere
    palette: tuple[Color, ...]
    references: tuple[tuple[Reference, ...], ...]  # by set
    settings: tuple[JobSetting, ...]
    paged: Paged | None  # None: all in one file
    policy: str = ""  # of the content's security
    style: str = ""
    script: str = ""
