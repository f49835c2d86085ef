"""What the ledger knows of a book, gathered for its report: rows, counts, palette, regions to review.

Of the pages only what is counted, failed or doubtful is held: rows are read from the ledger as they are asked for.
"""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ... import __version__
from ...backends import create
from ...backends.base import Editing
from ...classification.classifier import ASK_BELOW
from ...config.settings import ALL_SLOTS, AUTO, PAGE_FIELDS, built_in
from ...core.application import JobContext
from ...core.edits import JOB
from ...core.model import Item, ItemState, JobState, Role, Source
from ...core.plain import to_plain
from ...core.workspace import data_folder
from ...exceptions import beside
from ...formatting import safe
from ...io.scan import natural_key
from ...messages import N_, NOTHING, Message
from .. import palette as palettes
from ..edits import palette_with
from ..model import WHERE_IT_RUNS, Reference, References, left_out_of, request_of, work_of
from ..regions import PUT_ASIDE
from ..sources import by_reason, name_of
from ..tasks import WARNINGS
from . import layout as files
from . import view
from .layout import Layout, span
from .pictures import Pictures, data_uri
from .places import UNSURE_BELOW, Doubt, Row
from .view import Fate, PageState

# Why a region has its colour, as backends say it; that it comes from the references is the rule.
REASONS = (N_("reference"), N_("page"), N_("hint"), N_("guess"), N_("paper"))
MORE_REASONS = (N_("lines moved"), N_("in no panel"), N_("hints are not used"))  # of the backend diffusers
# Regions to review that are shown with a picture; all of them stand in review.json.
CROPS = 50
# Failed pages that the head names; more are found among the pages.
FAILED = 1_000
# Regions that are told at all: nobody looks at more.
REVIEWED = 10_000
# Names of pages, to be found by; of more, their number finds them.
NAMED = 20_000
BESIDE = ("contact_sheet.webp", "palette.json", "review.json", "processing_metadata.json")

Sets = Mapping[str, References]


class Book:
    """A job as its report shows it. `gather`, read to its end, comes before everything but `rows`."""

    def __init__(
        self, context: JobContext, folder: Path, sets: Sets, result: Mapping[str, Any], pictures: Pictures
    ) -> None:
        self.folder, self.sets = folder, sets
        self.job = context.ledger.job(context.job.id)
        self._request = request_of(self.job)
        self._context, self._result, self._pictures = context, result, pictures
        self._is_folder = Path(self.job.output) in folder.parents
        self._warnings: dict[str | None, dict[Message, None]] = {}
        for event in context.ledger.warnings(self.job.id):
            self._warnings.setdefault(event.key, {})[event.data["text"]] = None
        self.added: list[str] = []  # warnings that came up here
        self._tallies: list[_Tally] = []  # of `files.PAGES_A_FILE` places each
        self._cpu_seconds: float | None = None  # of all coloured pages; None: nobody has measured them
        self._peak_memory: int | None = None
        self._editing = False  # whether a page can be put right in the editor
        self._failed: list[tuple[int, str, Message]] = []
        self._doubted = 0
        self._places: dict[str, int] = {}  # content -> number of the place that shows it
        self._called: dict[
            str, str
        ] = {}  # references by content: where one lies says nothing, if it was unpacked
        self.palette: dict[str, dict[str, Any]] = {}  # by id, as palette.json has them
        self.doubts: list[Doubt] = []

    def rows(self) -> Iterator[Row]:
        """The places of the book in page order, read from the ledger as they are asked for."""
        items = self._context.ledger.items(self.job.id)
        for number, source in enumerate(self._placed(), 1):
            item = next(items) if source.role == Role.PAGE else None
            before = self._pictures.of_source(source.sha256)
            done = item is not None and item.state == ItemState.COMPLETED
            after = self._pictures.of_output(item) if item is not None and done else None
            yield Row(number, source, item, before, after)

    def _placed(self) -> Iterator[Source]:
        for source in self._context.ledger.sources(self.job.id):
            if source.role in (Role.PAGE, Role.COPY, Role.KEPT):
                yield source

    # -- over the whole book ---------------------------------------------------------------------------

    def gather(self) -> Iterator[Row]:
        """Counts, the palette of the book, and its regions to review: first where most is expected to be wrong.

        Gives the rows on, so that whoever needs them, too, reads the ledger once."""
        stored = palette_with(self._request.palette, self._context.ledger.edits.of(self.job.id, JOB))
        drawn = palettes.drawn(stored)
        for number, color in palettes.said(stored).items():
            if rgb := color.get("rgb") or color.get("reference"):
                self.palette[number] = {**color, "id": int(number), "rgb": rgb, "pages": []}
        used = {reference.sha256 for references in self.sets.values() for reference in references}
        for row in self.rows():
            self._gather(row, used, drawn)
            yield row
        for role in (Role.COPY, Role.REFERENCE):
            for source in self._context.ledger.sources(self.job.id, role=role):
                if source.sha256 in used:
                    self._called.setdefault(source.sha256, name_of(source))
        self._sort_doubts()

    def _gather(self, row: Row, used: Collection[str], drawn: Mapping[str, Sequence[int]]) -> None:
        self._count_resources(row.item)
        self._editing = self._editing or (row.fate == Fate.COLORED and _is_editable(row.item))
        if row.fate == Fate.FAILED:
            self._failed.append((row.number, row.source.key, self._problem(row)))
        if row.source.sha256 is not None and row.source.sha256 in used:
            self._places.setdefault(row.source.sha256, row.number)
        for color in row.details.get("palette", ()):
            known = self.palette.setdefault(str(color["id"]), {"pages": []})
            if not known["pages"]:
                # An approved page may still show an earlier colour.
                known |= {**color, "rgb": drawn.get(str(color["id"]), color["rgb"])}
            known["pages"].append(row.source.key)
        for document in row.details.get("kept_documents", ()):
            self.warn(
                "{document} was changed since Lote wrote it and is left alone: delete it to have it made anew",
                row.source.key,
                document=document,
            )
        for warning in row.details.get(WARNINGS, ()):
            self.warn(
                "{page}: {warning}", row.source.key, page=row.source.key, warning=Message.from_json(warning)
            )
        self._doubt(row)
        if (row.number - 1) % files.PAGES_A_FILE == 0:
            self._tallies.append(_Tally(row.source.key))
        self._tallies[-1].add(row, warned=row.source.key in self._warnings)

    @property
    def pages(self) -> int:
        """Places of the book."""
        return sum(tally.states.total() for tally in self._tallies)

    def _sort_doubts(self) -> None:
        self.doubts.sort(
            key=lambda doubt: (
                -doubt.told.get("doubt", 0.0),
                doubt.told["confidence"],
                doubt.number,
                doubt.box,
            )
        )
        del self.doubts[REVIEWED:]

    def _count_resources(self, item: Item | None) -> None:
        if item is not None and item.cpu_seconds is not None and item.peak_memory is not None:
            self._cpu_seconds = (self._cpu_seconds or 0.0) + item.cpu_seconds
            self._peak_memory = max(self._peak_memory or 0, item.peak_memory)

    def _doubt(self, row: Row) -> None:
        if row.after is None or row.item is None:
            return
        for region in row.details.get("review", ()):
            x0, y0, x1, y1 = (int(value) for value in region["box"])
            box = (x0, y0, x1, y1)
            told = {**region, "box": list(box), "page": row.source.key}
            if name := self.palette.get(str(region.get("id")), {}).get("name"):
                told["name"] = name
            picture = self._pictures.of_region(row.after, box)
            self.doubts.append(Doubt(told, box, row.number, row.item.output, picture))
            self._doubted += 1
        if len(self.doubts) > 2 * REVIEWED:
            self._sort_doubts()

    def warn(self, template: str, key: str, /, **values: object) -> None:
        message = Message(template, **values)
        self._context.warn(message, key)
        self._warnings.setdefault(key, {})[message] = None
        self.added.append(str(message))

    def shown(self, layout: Layout, *, language: str, now: float) -> view.Report:
        """What a person sees of the book as a whole, but for style and script."""
        job = self.job
        cancelled = self._result["state"] == JobState.CANCELLED
        left_out = tuple(
            view.LeftOut(each.sentence, each.names) for each in by_reason(left_out_of(self._result))
        )
        return view.Report(
            language=language,
            version=__version__,
            job=job.id,
            name=Path(job.output).name,
            inputs=tuple(job.inputs),
            seconds=now - job.started_at if job.started_at else None,
            cpu_seconds=self._cpu_seconds,
            peak_memory=self._peak_memory,
            written=now,
            counts=_Tally.sum(self._tallies).counts(warned=sum(key is not None for key in self._warnings)),
            warnings=sum(map(len, self._warnings.values())),
            files=self._files(),
            editor=self._editor() if self._editing else None,
            general=tuple(self._general(left_out)),
            left_out=left_out,
            stopped=self._context.ledger.counts(job.id)[ItemState.CANCELLED] if cancelled else 0,
            failed=tuple(
                view.Failed(layout.link(number), name, problem)
                for number, name, problem in self._failed[:FAILED]
            ),
            more_failed=max(0, len(self._failed) - FAILED),
            regions=tuple(self._region(doubt, layout) for doubt in self.doubts[:CROPS]),
            more_regions=max(0, len(self.doubts) - CROPS),
            left_regions=self._doubted - len(self.doubts),
            palette=tuple(_color(self.palette[key], key) for key in sorted(self.palette, key=natural_key)),
            references=tuple(
                tuple(self._reference(one, layout) for one in used) for used in self.sets.values()
            ),
            settings=tuple(self._settings()),
            paged=self._paged(layout) if layout.is_paged else None,
        )

    def _paged(self, layout: Layout) -> view.Paged:
        parts = [
            view.Part(first, last, tally.begin, tally.end, layout.part(first), tally.counts())
            for (_, first, last), tally in zip(layout.parts(), self._tallies, strict=True)
        ]
        sheets = [
            view.Link(span(first, last), path.relative_to(self.folder).as_posix())
            for path, first, last in layout.sheets()
            if path.exists()
        ]
        names = [source.key for source in self._placed()] if layout.pages <= NAMED else []
        text = json.dumps([safe(name) for name in names], ensure_ascii=True, separators=(",", ":"))
        return view.Paged(
            tuple(parts),
            files.PAGES_A_FILE,
            layout.part(1).replace("00001", "{first}"),
            tuple(sheets),
            text,
        )

    def _general(self, left_out: Sequence[view.LeftOut]) -> Iterator[Message]:
        """What is said of no page: of the job, and of its references. What was left out is listed by itself."""
        sources = self._context.ledger.sources
        unplaced = {
            source.key
            for role in (Role.REFERENCE, Role.LEFT_OUT)
            for source in sources(self.job.id, role=role)
        }
        listed = {each.sentence for each in left_out}
        for key, messages in self._warnings.items():
            if key is None or key in unplaced:
                yield from (message for message in messages if message not in listed)

    def _files(self) -> view.Files:
        target = Path(self.job.output)
        there = self._result["state"] == JobState.DONE
        return view.Files(
            output=view.Link(target.name, _link(str(target), self.folder) if there else ""),
            is_folder=self._is_folder,
            beside=frozenset(name for name in BESIDE if (self.folder / name).exists()),
        )

    def _editor(self) -> view.Editor:
        workspace = self._context.workspace
        address = workspace.page_address
        elsewhere = workspace.root != data_folder()
        return view.Editor(
            address=f"{address}edit/{self.job.id}/" if address else "",
            command=shlex.join(["lote", "ui", *(["--workspace", str(workspace.root)] if elsewhere else [])]),
        )

    def _region(self, doubt: Doubt, layout: Layout) -> view.Region:
        told = doubt.told
        # That a colour comes from the references is the rule, and says nothing.
        reason = str(told.get("why", REASONS[0]))
        return view.Region(
            page=told["page"],
            address=layout.link(doubt.number),
            picture=data_uri(doubt.picture),
            confidence=told["confidence"],
            color=_color(self.palette.get(str(told["id"]), {}), str(told["id"])) if "id" in told else None,
            why="" if reason == REASONS[0] else reason,
        )

    def _reference(self, reference: Reference, layout: Layout) -> view.Reference:
        sha256 = reference.sha256
        number = self._places.get(sha256)
        return view.Reference(
            self._called.get(sha256, Path(reference.path).name),
            layout.link(number) if number else "",
            data_uri(self._pictures.of_reference(sha256)),
        )

    def _settings(self) -> Iterator[view.JobSetting]:
        origins = self._request.origins
        for name, value in self._request.settings.items():
            if name in WHERE_IT_RUNS:
                continue
            given = value != built_in(name)
            shown = AUTO if value == ALL_SLOTS else value
            yield view.JobSetting(name, shown, origins.get(name) or ("given" if given else "built-in"))

    # -- one page --------------------------------------------------------------------------------------

    def page(self, row: Row, folder: Path) -> view.Page:
        """A place, for a file in `folder`."""
        facts, item = row.facts, row.item
        seen = None
        if facts.kind is not None:
            seen = view.Seen(facts.kind, facts.confidence, doubtful=facts.confidence < ASK_BELOW)
        shape = None
        if facts.width is not None and facts.height is not None:
            shape = view.Shape(facts.width, facts.height, facts.format)
        written = self._file_of(row)
        return view.Page(
            number=row.number,
            name=row.source.key,
            fate=row.fate,
            unsure=row.unsure,
            readable=facts.error is None,
            before=data_uri(row.before),
            after=data_uri(row.after),
            shape=shape,
            file=_link(written, folder) if written else "",
            seen=seen,
            confidence=row.confidence,
            sure=row.confidence >= UNSURE_BELOW,
            seconds=item.seconds if item is not None else None,
            cpu_seconds=item.cpu_seconds if item is not None else None,
            peak_memory=item.peak_memory if item is not None else None,
            gpu_memory=item.gpu_memory if item is not None else None,
            approved=item is not None and item.approved,
            problem=self._problem(row),
            warnings=tuple(self._warnings.get(row.source.key, ())),
            metrics=facts.metrics,
            made=self._made(row, item, folder) if item is not None else None,
        )

    def _file_of(self, row: Row) -> str | None:
        """The file in the output that a click opens; archives have none to open."""
        if not self._is_folder:
            return None
        if row.item is not None:
            return row.item.output if row.fate == Fate.COLORED else None
        return str(Path(self.job.output) / row.source.key) if self._result["state"] == JobState.DONE else None

    def _made(self, row: Row, item: Item, folder: Path) -> view.Made:
        work, settings = work_of(item), self._request.settings
        references = None
        if work.artefact is not None and work.artefact in self.sets:
            at, count = list(self.sets).index(work.artefact), len(self.sets[work.artefact])
            references = view.References(at, count)
        return view.Made(
            settings=tuple(
                view.Setting(name, value, own=name in PAGE_FIELDS and settings.get(name) != value)
                for name, value in to_plain(work.settings).items()
                if name not in ("layers", "layers_by")  # its files stand below
            ),
            backend=work.backend,
            version=work.version,
            references=references,
            hints=Path(work.hints).name if work.hints else "",
            told=tuple(_told(item.details or {})),
            edit=row.fate == Fate.COLORED and _is_editable(item),
            documents=tuple(
                view.Link(document.kind, _link(document.target, folder))
                for document in work.documents
                if row.fate == Fate.COLORED and Path(document.target).exists()
            ),
            attempts=item.attempts,
            finished=item.finished_at if row.fate == Fate.COLORED and item.finished_at else None,
            reused=item.reused,
        )

    def _problem(self, row: Row) -> Message:
        """Why a page failed, nothing if it did not; its name stands beside it already."""
        error = row.facts.error if row.item is None else row.item.error
        return beside(error or NOTHING)


@dataclass
class _Tally:
    """What is counted of places that follow each other, of which `begin` is the name of the first, `end` that of the last."""

    begin: str = ""
    end: str = ""
    states: Counter[PageState] = field(default_factory=Counter)
    warned: int = 0
    unsure: int = 0

    def add(self, row: Row, *, warned: bool) -> None:
        self.end = row.source.key
        self.states[row.state] += 1
        self.warned += warned
        self.unsure += row.unsure

    def counts(self, *, warned: int | None = None) -> view.Counts:
        return view.Counts(
            pages=self.states.total(),
            colored=self.states[PageState.COLORED],
            failed=self.states[PageState.FAILED],
            kept=self.states[PageState.KEPT],
            waiting=self.states[PageState.WAITING],
            warned=self.warned if warned is None else warned,
            unsure=self.unsure,
        )

    @classmethod
    def sum(cls, tallies: Sequence[_Tally]) -> _Tally:
        states: Counter[PageState] = Counter()
        for tally in tallies:
            states += tally.states
        return cls(states=states, unsure=sum(tally.unsure for tally in tallies))


def _link(path: str, folder: Path) -> str:
    """A relative link from a file in a folder, right for any name: bytes that are not UTF-8 too."""
    return quote(os.fsencode(os.path.relpath(path, folder)), safe="/")


def _is_editable(item: Item | None) -> bool:
    return item is not None and _edits(work_of(item).backend)


@cache
def _edits(backend: str) -> bool:
    return isinstance(create(backend), Editing)


def _told(details: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What a backend says of a page in words and numbers."""
    for name, value in details.items():
        tables = isinstance(value, list) and any(isinstance(part, Mapping) for part in value)
        if (
            name not in ("confidence", "kept_documents", PUT_ASIDE) and not tables
        ):  # shown elsewhere, or for programs
            yield name, value


def _color(entry: Mapping[str, Any], number: str) -> view.Color:
    sample = ""
    if "rgb" in entry:
        red, green, blue = (int(value) for value in entry["rgb"])
        sample = f"#{red:02x}{green:02x}{blue:02x}"
    name = str(entry.get("name") or "")
    return view.Color(number, name, sample, bool(entry.get("locked")), len(entry.get("pages", ())))
