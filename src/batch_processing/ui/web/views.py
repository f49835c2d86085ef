"""What the page shows, as plain values: galleries, the live table, a finished page, the history.

Names, paths and errors are as they are: templates make text of them. Every list is a window, so that a book
of a thousand pages costs what a screenful costs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ...backends import create
from ...comics.model import settings_of, work_of
from ...config.settings import built_in
from ...core.model import ItemState, JobState, Wish
from ...core.plain import to_plain
from ...exceptions import beside
from ...messages import NOTHING, Message
from . import jobs
from .drafts import NAME, ROLES, Draft, OwnSettings, Picture
from .speech import Speech
from .states import MOVING, Shown, TrialState, Turn

if TYPE_CHECKING:
    from ...core.ledger import Ledger
    from ...core.model import Item, Job
    from ...core.status import Snapshot
    from ...core.workspace import Workspace

CARDS = 60  # pictures in one window of a gallery
ROWS = 50  # pages in one window of the table
JOBS = 100  # newest jobs in the history
PICKS = 12  # references whose colours can be picked
ALL = "all"  # shows pages of every state
SHOWS = (
    ALL, ItemState.PROCESSING, ItemState.COMPLETED, ItemState.FAILED, ItemState.PENDING, ItemState.CANCELLED,
)  # fmt: skip
UNSURE_BELOW = 0.7  # confidence below which a picture's kind is marked as doubtful

# Parts of the page: HTML by the name of the place that it fills.
Parts = dict[str, str]


@dataclass(frozen=True)
class Window:
    """What is shown of a list: from `start`, `size` at most, of `total`."""

    name: str
    start: int
    size: int
    total: int

    @property
    def end(self) -> int:
        return min(self.start + self.size, self.total)


def window(name: str, start: int, size: int, total: int) -> Window:
    """The window at `start`, or the last one where the list has become shorter."""
    return Window(name, min(start, max(0, (total - 1) // size * size)), size, total)


# -- a chapter before it is a job -----------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """A folder or file of a chapter. `kind`: "typed" by a person, "upload", or "images" that were dropped."""

    path: str
    name: str
    kind: str


@dataclass(frozen=True)
class Inputs:
    """What a chapter is put together from, and how looking at it goes. `problems`: what was refused;
    `left_out`: what is no image."""

    paths: tuple[Input, ...]
    busy: bool
    seen: int
    total: int
    problems: tuple[Message, ...]
    left_out: tuple[Message, ...]
    palette: bool


@dataclass(frozen=True)
class Card:
    """A picture in a gallery. `confidence` is None until it was looked at."""

    key: str
    source: str  # address of its picture
    confidence: float | None
    low: bool
    chosen: bool
    set: bool  # has settings of its own


@dataclass(frozen=True)
class Gallery:
    """One side of a chapter: `role` "page" or "reference"."""

    role: str
    window: Window
    cards: tuple[Card, ...]
    used: int
    by_confidence: bool


@dataclass(frozen=True)
class Unreadable:
    """Files that are no pictures: key and reason, those of one window."""

    total: int
    rows: tuple[tuple[str, Message], ...]


@dataclass(frozen=True)
class NumberField:
    """A setting that is a whole number; `given` is "" where the chapter's counts."""

    name: str
    least: int
    given: object
    built_in: object


@dataclass(frozen=True)
class Fields:
    """The settings of one page."""

    style: str
    numbers: tuple[NumberField, ...]


@dataclass(frozen=True)
class PageForm:
    """The dialog of one page's settings; `references`: key, and whether it is chosen for this page alone."""

    key: str
    fields: Fields
    references: tuple[tuple[str, bool], ...]


def missing(speech: Speech, chapter: Draft) -> dict[str, str]:
    """What a chapter still needs before it can be coloured, in words; "references" only by who colours from them."""
    told: dict[str, str] = {}
    pictures = [picture for picture in chapter.pictures if picture.error is None]
    if chapter.busy:
        return told  # who presses a button has it done with what there is
    if not chapter.inputs:
        told["pages"] = speech.say("Drop pages first, or type the path of a folder.")
    elif pictures and not chapter.gallery("page"):
        told["pages"] = speech.say("There is no line art yet: drop pages in black and white.")
    if pictures and not any(map(chapter.chosen, chapter.gallery("reference"))):
        told["references"] = speech.say(
            "Drop a coloured page or a model sheet: its colours are what pages are coloured with."
        )
    return told


def draft(speech: Speech, chapter: Draft, starts: Mapping[str, int]) -> Parts:
    """The parts "inputs", "page", "reference" and "unreadable"."""
    return {
        "inputs": speech.html("inputs", inputs=_inputs(chapter)),
        **{role: speech.html("gallery", gallery=_gallery(chapter, role, starts[role])) for role in ROLES},
        "unreadable": speech.html("unreadable", unreadable=_unreadable(chapter)),
    }


def _inputs(chapter: Draft) -> Inputs:
    paths = []
    for path in chapter.inputs:
        kind = "typed"
        if chapter.folder in Path(path).parents:
            kind = "images" if Path(path).is_dir() else "upload"
        paths.append(Input(path, Path(path).name, kind))
    seen = sum(picture.facts is not None for picture in chapter.pictures)
    return Inputs(
        paths=tuple(paths),
        busy=chapter.busy,
        seen=seen,
        total=len(chapter.pictures),
        problems=tuple(chapter.problems),
        left_out=tuple(chapter.left_out),
        palette=chapter.palette is not None,
    )


def _gallery(chapter: Draft, role: str, start: int) -> Gallery:
    pictures = chapter.gallery(role)
    shown = window(role, start, CARDS, len(pictures))
    numbers = {id(picture): number for number, picture in enumerate(chapter.pictures)}
    return Gallery(
        role=role,
        window=shown,
        cards=tuple(
            _card(chapter, picture, numbers[id(picture)]) for picture in pictures[shown.start : shown.end]
        ),
        used=sum(map(chapter.chosen, pictures)),
        by_confidence=chapter.sort == "confidence",
    )


def _card(chapter: Draft, picture: Picture, number: int) -> Card:
    mark = abs(hash(picture.source.identity)) % 10**8
    return Card(
        key=picture.key,
        source=f"/lote/draft/{chapter.folder.name}/thumb/{number}?k={mark}",
        confidence=picture.confidence if picture.facts is not None else None,
        low=picture.confidence < UNSURE_BELOW,
        chosen=chapter.chosen(picture),
        set=picture.key in chapter.pages,
    )


def _unreadable(chapter: Draft) -> Unreadable:
    bad = chapter.unreadable()
    return Unreadable(len(bad), tuple((picture.key, picture.error or NOTHING) for picture in bad[:CARDS]))


def page_form(speech: Speech, chapter: Draft, key: str) -> str:
    """The settings of one page, in a dialog."""
    own = chapter.pages.get(key, OwnSettings())
    used = set(own.reference_images or ())
    references = tuple((picture.key, picture.source.path in used) for picture in chapter.gallery("reference"))
    return speech.html("page_form", form=PageForm(key, _fields(own.told(), priority=True), references))


@cache
def _has_cobra() -> bool:
    return create("cobra").unavailable() is None


def _fields(values: Mapping[str, Any], *, priority: bool) -> Fields:
    # Those of the model only where it can run.
    numbers = [("seed", 0), ("num_inference_steps", 1), ("top_k", 1)] if _has_cobra() else []
    if priority:
        numbers.append(("priority", -1000))
    return Fields(
        style=values.get("style", ""),
        numbers=tuple(
            NumberField(name, least, values.get(name, ""), 0 if name == "priority" else built_in(name))
            for name, least in numbers
        ),
    )


# -- a job ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a job is. Seconds and pages a second; None is what is not known."""

    done: int
    completed: int
    failed: int
    total: int
    rate: float | None
    left: float | None
    took: float | None
    moving: bool

    def share(self, pages: int) -> float:
        """Percent of all pages."""
        return 100 * pages / self.total if self.total else 0.0


@dataclass(frozen=True)
class Controls:
    """What can be done with a job now. () is what cannot."""

    pause: bool
    resume: bool
    cancel: bool
    waits: bool  # is starting or being cancelled: its buttons are shown, and off
    retry: bool
    rest: bool  # a retry does what was cancelled, too
    again: int  # pages that a retry does
    downloads: bool
    layers: tuple[str, ...]
    edit: int  # the number of the first page that can be edited, 0 for none


@dataclass(frozen=True)
class JobHead:
    """A job's name, how far it is, and its buttons."""

    number: int
    state: Shown
    name: str
    output: str
    output_shown: str
    phase: str
    error: Message
    progress: Progress
    controls: Controls


@dataclass(frozen=True)
class Filter:
    name: str
    count: int
    on: bool


@dataclass(frozen=True)
class Row:
    """A page in a job's table. `since`: when it was begun, while it is being done (seconds since 1970), and
    `elapsed` what has passed since then."""

    id: int
    key: str
    state: ItemState
    reused: bool
    approved: bool
    seconds: float | None
    since: float | None
    elapsed: float
    error: Message
    retry: bool
    picture: str

    @property
    def done(self) -> bool:
        return self.state == ItemState.COMPLETED

    @property
    def settled(self) -> bool:
        return self.state in (ItemState.COMPLETED, ItemState.FAILED)


@dataclass(frozen=True)
class JobBody:
    """A window of a job's pages."""

    filters: tuple[Filter, ...]
    rows: tuple[Row, ...]
    window: Window

    @property
    def results(self) -> Sequence[Row]:
        return [row for row in self.rows if row.done]


_TURNS = {Wish.PAUSE: Turn.PAUSING, Wish.CANCEL: Turn.CANCELLING}


def state_of(job: Job) -> Shown:
    """The job's state as the page names it: nobody has a job that was only just started."""
    if job.state == JobState.INTERRUPTED and job.owner is None:
        return Turn.STARTING
    if job.state == JobState.RUNNING:
        return _TURNS.get(job.wanted, job.state)
    return job.state


def _shown(output: str) -> str:
    """Where a job writes: of results of uploads the name alone, which is all a person can use of it."""
    path = Path(output)
    return path.name if NAME.fullmatch(path.parent.parent.name) else output


def job_head(speech: Speech, ledger: Ledger, snapshot: Snapshot) -> Parts:
    """The parts "title", "numbers" and "controls" of a job."""
    head = _job_head(ledger, snapshot)
    return {
        "title": speech.html("job_title", job=head),
        "numbers": speech.html("job_numbers", job=head),
        "controls": speech.html("job_controls", job=head, controls=head.controls),
    }


def _job_head(ledger: Ledger, snapshot: Snapshot) -> JobHead:
    job, counts = snapshot.job, snapshot.counts
    state = state_of(job)
    progress = Progress(
        done=counts[ItemState.COMPLETED] + counts[ItemState.FAILED],
        completed=counts[ItemState.COMPLETED],
        failed=counts[ItemState.FAILED],
        total=snapshot.total,
        rate=snapshot.rate if state == JobState.RUNNING else None,
        left=snapshot.eta,
        took=job.finished_at - job.started_at if job.finished_at and job.started_at else None,
        moving=state in MOVING or (state == JobState.QUEUED and job.alive),
    )
    return JobHead(
        number=job.id,
        state=state,
        name=Path(job.inputs[0]).name,
        output=job.output,
        output_shown=_shown(job.output),
        phase=job.phase or "",
        error=job.error or NOTHING,
        progress=progress,
        controls=_controls(ledger, job, state, counts),
    )


def _controls(ledger: Ledger, job: Job, state: Shown, counts: Mapping[ItemState, int]) -> Controls:
    first = ledger.window(job.id, 0, 1, state=ItemState.COMPLETED) if job.ended else []
    again = counts[ItemState.FAILED] + counts[ItemState.CANCELLED]
    return Controls(
        pause=state in (*MOVING, JobState.RUNNING, JobState.QUEUED),
        resume=state in (JobState.PAUSED, JobState.INTERRUPTED, Turn.PAUSING),
        cancel=not job.ended,
        waits=state in (Turn.STARTING, Turn.CANCELLING),
        retry=job.ended and bool(again or job.state != JobState.DONE),
        rest=job.state == JobState.CANCELLED or bool(counts[ItemState.CANCELLED]),
        again=again,
        downloads=bool(job.ended and counts[ItemState.COMPLETED]),
        layers=tuple(settings_of(job).get("layers") or ()),
        edit=next((item.ordinal for item in first if jobs.is_editable(item)), 0),
    )


def job_body(speech: Speech, ledger: Ledger, snapshot: Snapshot, show: str, start: int) -> Parts:
    """The parts "filters", "rows" (the table) and "results" (the pictures) of a job."""
    body = _job_body(ledger, snapshot, show, start)
    return {
        "filters": speech.html("job_filters", filters=body.filters if snapshot.total or body.rows else ()),
        "rows": speech.html("job_rows", body=body),
        "results": speech.html("job_results", rows=body.results),
    }


def _job_body(ledger: Ledger, snapshot: Snapshot, show: str, start: int) -> JobBody:
    job, counts = snapshot.job, snapshot.counts
    show = show if show in SHOWS else ALL
    state = None if show == ALL else ItemState(show)
    shown = window("rows", start, ROWS, snapshot.total if state is None else counts[state])
    items = ledger.window(job.id, shown.start, ROWS, state=state)
    filters = (
        Filter(name, snapshot.total if name == ALL else counts[ItemState(name)], name == show)
        for name in SHOWS
        if name in (ALL, show) or counts[ItemState(name)]
    )
    return JobBody(tuple(filters), tuple(_row(job, item) for item in items), shown)


def _row(job: Job, item: Item) -> Row:
    query = urlencode({"w": "thumb", "v": (item.output_hash or "")[:12]})
    since = item.started_at if item.state == ItemState.PROCESSING else None
    return Row(
        id=item.id,
        key=item.key,
        state=item.state,
        reused=item.reused,
        approved=item.approved,
        seconds=item.seconds,
        since=since,
        elapsed=max(0.0, time.time() - since) if since else 0.0,
        error=beside(item.error or NOTHING),
        retry=item.state in (ItemState.FAILED, ItemState.CANCELLED) and job.ended,
        picture=f"{_address(job, item)}/after?{query}",
    )


def _address(job: Job, item: Item) -> str:
    return f"/lote/job/{job.id}/page/{item.id}"


# -- one page -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pick:
    """A reference whose colours can be picked for hints."""

    key: str
    name: str
    source: str


@dataclass(frozen=True)
class Viewer:
    """Before and after of one page. `resting`: its job is not at work, so that the page can be done again."""

    key: str
    done: bool
    approved: bool
    resting: bool
    before: str
    after: str
    file: str
    edit: str
    picks: tuple[Pick, ...]
    fields: Fields


@dataclass(frozen=True)
class Trial:
    """The page that was tried."""

    key: str
    state: TrialState
    error: Message
    before: str
    after: str
    can_approve: bool
    edit: str


def viewer(speech: Speech, workspace: Workspace, job: Job, item: Item) -> str:
    """Before and after of one page, with zoom, hints, another try and download."""
    base = _address(job, item)
    done = item.state == ItemState.COMPLETED
    before = f"{base}/before"
    picks = (
        Pick(source.key, Path(source.key).name, f"/lote/job/{job.id}/reference/{index}")
        for index, source in enumerate(jobs.references(workspace, job.id)[:PICKS])
    )
    return speech.html(
        "viewer",
        page=Viewer(
            key=item.key,
            done=done,
            approved=item.approved,
            resting=not job.alive,
            before=before,
            after=f"{base}/after?v={(item.output_hash or '')[:12]}" if done else before,
            file=f"{base}/file",
            edit=f"/edit/{job.id}/{item.ordinal}" if jobs.is_editable(item) else "",
            picks=tuple(picks),
            fields=_fields(to_plain(work_of(item).settings), priority=False),
        ),
    )


def preview(speech: Speech, workspace: Workspace, snapshot: Snapshot, key: str) -> str:
    """The page that was tried: before, after, and what to do with it."""
    job = snapshot.job
    items = workspace.ledger.window(job.id, 0, 1)
    item = items[0] if items else None
    done = item is not None and item.state == ItemState.COMPLETED
    state, before, after = TrialState.TRYING, "", ""
    if job.error or (item is not None and item.state == ItemState.FAILED):
        state = TrialState.FAILED
    elif item is not None and done and job.ended:
        state, base = TrialState.DONE, _address(job, item)
        before = f"{base}/before?v={item.input_hash[:12]}"
        after = f"{base}/after?v={(item.output_hash or '')[:12]}"
    error = job.error or (item.error if item else None) or NOTHING
    edit = f"/edit/{job.id}/1" if state != TrialState.FAILED else ""
    return speech.html("preview", trial=Trial(key, state, error, before, after, done, edit))


# -- history --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """A job in the history. `when`: "2026-11-29 12:00", of this machine's clock."""

    number: int
    state: Shown
    name: str
    output: str
    output_shown: str
    completed: int
    total: int
    failed: int
    when: str
    seen: int | None = None  # photos, of a scan


def history(speech: Speech, workspace: Workspace) -> str:
    """All jobs of the workspace, newest first."""
    found = [job for job in reversed(workspace.ledger.jobs()) if not jobs.is_preview(workspace, job)]
    return speech.html("history", jobs=tuple(_past(workspace, job) for job in found[:JOBS]))


def _past(workspace: Workspace, job: Job) -> Past:
    counts = workspace.ledger.counts(job.id)
    seen = None
    if job.kind == "photos":  # its page is the tab of photos
        from ...photos.progress import Figures

        seen = Figures.of(job).files_seen
    elif job.kind == "looks":
        from ...photos.pixels.looks_job import LookFigures

        seen = LookFigures.of(job).looks_done
    return Past(
        number=job.id,
        state=state_of(job),
        name=Path(job.inputs[0]).name,
        output=job.output,
        output_shown=_shown(job.output),
        completed=counts[ItemState.COMPLETED],
        total=sum(counts.values()),
        failed=counts[ItemState.FAILED],
        when=datetime.fromtimestamp(job.submitted_at).astimezone().strftime("%Y-%m-%d %H:%M"),
        seen=seen,
    )


# -- the frame ------------------------------------------------------------------------------------------


def frame(speech: Speech, formats: str) -> Parts:
    """The parts that never change: the head of the page, where pages are dropped, the form of the photos."""
    return {
        "top": speech.html("top"),
        "drop": speech.html("drop", formats=formats),
        "photos": speech.html("photos"),
    }
