"""What became of a job, for programs and notebooks: its pages, their outputs, what a person should look at.

Promises: everything is read from the ledger at the moment it is asked for, so that a page that was put right since is told as it
is now; nothing is changed. In a notebook a result shows itself: a line and small pictures, escaped, of bounded size.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .comics import edits, palette, regions
from .comics.model import left_out_of, request_of, work_of
from .core.edits import JOB
from .core.model import Item, ItemState, JobState
from .core.workspace import Workspace
from .exceptions import BatchProcessingError, QueueError
from .io.kinds import LeftOut
from .messages import NOTHING

if TYPE_CHECKING:
    from .core.model import Job

__all__ = [
    "JobResult",
    "PageResult",
    "PaletteEntry",
    "Region",
    "pages_of",
    "palette_of",
    "result_of",
    "review_of",
]

# In a notebook: so many pages have a picture, of so many pixels a side and bytes at most: less than 200 KB in all.
SHOWN, SIDE, BYTES = 12, 160, 12_000


@dataclass(frozen=True)
class Region:
    """A region of a page that a person should look at. `box` is (left, top, right, bottom) in pixels of the page, right and
    bottom exclusive; `id` that of its colour in the palette; `confidence` in [0, 1]; `doubt` the share of the page, in
    [0, 1], that is expected to be wrong there; `why` a word for the reason; `at` a pixel of it, (x, y)."""

    page: str
    box: tuple[int, int, int, int]
    id: int
    confidence: float
    doubt: float = 0.0
    why: str = ""
    at: tuple[int, int] | None = None


@dataclass(frozen=True)
class PaletteEntry:
    """A colour of a book: its `id`, what it is drawn in and what the references show for it (8 bit sRGB), what a person
    calls it, whether it is locked, and the pages that have it."""

    id: int
    rgb: tuple[int, int, int]
    reference: tuple[int, int, int]
    name: str = ""
    locked: bool = False
    pages: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageResult:
    """What became of a page. `page` is its path in the input, `name` that in the output; `output` its file (of an archive,
    that in the workspace), None where there is none (any more); `seconds` of work; `confidence` the share of its area, in [0, 1],
    that is believed to be right, None where nobody says; `details` what the backend told of it; `review` what to look at,
    the most doubtful first; `documents` its layered documents that are there."""

    page: str
    name: str
    state: ItemState
    output: Path | None
    error: str = ""
    seconds: float = 0.0
    reused: bool = False
    approved: bool = False
    confidence: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    review: tuple[Region, ...] = ()
    documents: tuple[Path, ...] = ()


@dataclass(frozen=True)
class JobResult:
    """What became of a job. `failures` are (page, sentence); `output` the folder or the archive; `left_out` what of
    the inputs is neither page, reference, hint nor metadata; `workspace` the folder that remembers the job."""

    job: int
    state: JobState
    output: str
    total: int
    completed: int
    failed: int
    cancelled: int
    reused: int
    copied: int
    seconds: float
    size: int = 0
    """Bytes of what was handed over: the archive, or the pages and copies of the folder."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    workspace: str = field(default="", repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """What the command `lote` ends with: 0 all done, 1 nothing done, 3 some failed, 4 cancelled."""
        if self.state == JobState.CANCELLED:
            return 4
        if self.state == JobState.FAILED:
            return 1
        return 3 if self.failed else 0

    @property
    def pages(self) -> list[PageResult]:
        """Each page that was to be coloured, in reading order, as the ledger has it now.

        QueueError where the workspace no longer has the job."""
        with _opened(self.workspace) as workspace:
            return list(pages_of(workspace, self.job))

    def told(self) -> dict[str, object]:
        """The result as `lote --json` has it."""
        values = asdict(self)
        del values["workspace"]
        return values

    def _repr_html_(self) -> str:
        """A line and the first pages as small pictures, for a notebook."""
        from jinja2 import Environment

        shown: list[tuple[str, str, str, str]] = []
        try:
            with _opened(self.workspace) as workspace:
                for page in islice(pages_of(workspace, self.job), SHOWN):
                    picture = "" if page.output is None else _data_uri(page.output)
                    shown.append((page.page, str(page.state), page.error, picture))
        except BatchProcessingError:  # the workspace is gone: the numbers are still true
            shown = []
        template = Environment(autoescape=True).from_string(_TEMPLATE)
        return template.render(result=self, pages=shown, more=max(0, self.total - len(shown)))


_TEMPLATE = """<div class="lote">
<p><b>Job {{ result.job }}</b>: {{ result.state }}, {{ result.completed }} of {{ result.total }} pages coloured
{%- if result.failed %}, {{ result.failed }} failed{% endif %}, in {{ "%.1f" | format(result.seconds) }} s.
<code>{{ result.output }}</code></p>
{% for page, state, error, picture in pages -%}
<figure style="display:inline-block;margin:0 .5em .5em 0;max-width:160px;vertical-align:top">
{%- if picture %}<img src="{{ picture }}" alt="{{ page }}">{% endif -%}
<figcaption>{{ page }}{% if state != "completed" %}: {{ state }}{% if error %}, {{ error }}{% endif %}{% endif %}</figcaption>
</figure>
{% endfor -%}
{% if more %}<p>and {{ more }} more</p>{% endif %}
</div>"""


def _data_uri(path: Path) -> str:
    from .io.images import thumbnail

    try:
        content = thumbnail(path, SIDE, BYTES)
    except (BatchProcessingError, OSError):
        return ""
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")


@contextmanager
def _opened(root: str) -> Iterator[Workspace]:
    """A workspace by its folder, closed again when the block ends."""
    workspace = Workspace(root or None)
    if not workspace.has_ledger:  # and none is made by looking
        raise QueueError("The workspace {root} is gone, and with it what it knew of the job.", root=root)
    try:
        yield workspace
    finally:
        workspace.close()


def result_of(workspace: Workspace, job_id: int) -> JobResult:
    """What the ledger knows of a job, ended or not."""
    job, counts = workspace.ledger.job(job_id), workspace.ledger.counts(job_id)
    failures = [
        (item.key, str(item.error or "")) for item in workspace.ledger.items(job_id, ItemState.FAILED)
    ]
    return JobResult(
        job=job_id,
        state=job.state,
        output=job.result.get("output", job.output),
        total=sum(counts.values()),
        completed=counts[ItemState.COMPLETED],
        failed=counts[ItemState.FAILED],
        cancelled=counts[ItemState.CANCELLED],
        reused=workspace.ledger.reused(job_id),
        copied=job.result.get("copied", 0),
        seconds=round((job.finished_at or 0) - job.started_at, 3)
        if job.started_at and job.finished_at
        else 0.0,
        size=job.result.get("size", 0),
        failures=failures,
        warnings=job.result.get("warnings", []),
        left_out=left_out_of(job.result),
        workspace=str(workspace.root),
    )


def pages_of(workspace: Workspace, job_id: int) -> Iterator[PageResult]:
    """Each page of a job that was to be coloured, in reading order. QueueError for a job that is not there."""
    workspace.ledger.job(job_id)
    for item in workspace.ledger.items(job_id):
        if not item.held:  # what `pages` leaves out was not asked for
            yield _page(item, regions.details_of(workspace, item))


def _page(item: Item, details: Mapping[str, Any]) -> PageResult:
    work = work_of(item)
    there = item.output if item.output_hash is not None and os.path.lexists(item.output) else None
    documents = (Path(document.target) for document in work.documents)
    confidence = details.get("confidence")
    return PageResult(
        page=item.key,
        name=work.name,
        state=item.state,
        output=None if there is None else Path(there),
        error=str(item.error or NOTHING),
        seconds=item.seconds or 0.0,
        reused=item.reused,
        approved=item.approved,
        confidence=confidence if isinstance(confidence, float) else None,
        details=details,
        review=tuple(_region(item.key, one) for one in details.get("review") or ()),
        documents=tuple(path for path in documents if path.exists()),
    )


def _region(page: str, told: Mapping[str, Any]) -> Region:
    x0, y0, x1, y1 = told["box"]
    at = told.get("at")
    return Region(
        page,
        (x0, y0, x1, y1),
        told["id"],
        told["confidence"],
        told.get("doubt", 0.0),
        told.get("why", ""),
        None if at is None else (at[0], at[1]),
    )


def review_of(workspace: Workspace, job: Job) -> list[Region]:
    """What to look at in all pages of a job, the most doubtful first; approved pages are done with."""
    found = [
        _region(item.key, one)
        for item in workspace.ledger.told(job.id, "review")
        if not item.approved
        for one in item.entries["review"] or ()
    ]
    return sorted(found, key=lambda region: (-region.doubt, region.confidence))


def palette_of(workspace: Workspace, job: Job) -> list[PaletteEntry]:
    """The colours of a job, by id: those of its pages as they were written last, and what people said of them."""
    ledger = workspace.ledger
    stored = edits.palette_with(request_of(job).palette, ledger.edits.of(job.id, JOB))
    said, drawn = palette.said(stored), palette.drawn(stored)
    natural: dict[int, tuple[int, int, int]] = {}
    pages: dict[int, list[str]] = {}
    for item in ledger.told(job.id, "palette"):
        for one in item.entries["palette"] or ():
            natural.setdefault(one["id"], _rgb(one.get("reference", one["rgb"])))
            pages.setdefault(one["id"], []).append(item.key)
    for number, color in said.items():
        if rgb := color.get("reference") or color.get("rgb"):
            natural.setdefault(int(number), _rgb(rgb))
    merged = {one.before for one in edits.edits_of(ledger.edits.of(job.id, JOB))}
    return [
        PaletteEntry(
            number,
            _rgb(drawn.get(str(number), shown)),
            shown,
            said.get(str(number), {}).get("name", ""),
            bool(said.get(str(number), {}).get("locked")),
            tuple(pages.get(number, ())),
        )
        for number, shown in sorted(natural.items())
        if number not in merged
    ]


def _rgb(values: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return int(red), int(green), int(blue)
