"""The report of a comics job: one page to look through before the book goes out.

Promises: `report.html` is one file that needs nothing beside it and asks nothing of a network (its
content security policy forbids it); every name and sentence in it is text, whatever it contains; it is
written page by page, so that a book of any length needs the memory of one page; it speaks the language of
whoever asked for the job, but names settings and measures as the documentation does. Beside it stand
`contact_sheet.png` and, where the backend tells of them, `palette.json` and `review.json` (the regions
of which most of a page may be wrong first). Pictures are kept by content: a rerun draws only what has changed.

Refuses to fail a job: a picture that cannot be read is missing, and said to be. Not part of what is the
same on every run: a report holds times.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import __version__, i18n, pages
from . import palette as palettes
from .classification.classifier import ASK_BELOW
from .config.settings import PAGE_FIELDS, built_in
from .core.coordinator import Desk
from .core.ledger import Event, Item, Source
from .core.workers import Result, Task
from .deposits import Deposits
from .exceptions import ResourceError, incident, why
from .io.outputs import SaveFile, metadata_json, part_path
from .io.scan import natural_key

# Longest side in pixels and most bytes of the pictures of references and, below, of regions.
REFERENCE = (192, 9_000)
# Below this share of its area that is believed right, a page is shown among the unsure ones.
UNSURE_BELOW = 0.7
# Regions to review that are shown with a picture; all of them stand in review.json.
CROPS = 50
CROP = (320, 12_000)

Sets = Mapping[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class _Row:
    """One place of the book: its number from 1, and the pictures of it before and after."""

    number: int
    source: Source
    item: Item | None
    before: Path | None
    after: Path | None

    @property
    def state(self) -> str:
        """The class of its card: coloured, failed, kept (passed through) or waiting (not in this run)."""
        if self.item is None:
            return "kept"
        return {"completed": "coloured", "failed": "failed"}.get(self.item.state, "waiting")


def files(folder: Path) -> list[Path]:
    """Everything that a report may consist of."""
    return [folder / name for name in ("report.html", "contact_sheet.png", "palette.json", "review.json")]


def write(desk: Desk, folder: Path, sets: Sets, result: Mapping[str, Any], deposits: Deposits) -> list[str]:
    """Write the report of a job that has done its items, and what belongs beside it, into `folder`.

    `sets` are the references, (path, SHA-256) each, by the key that items name as their artefact; `result`
    is what `Job.result` will be. Returns the warnings that came up: why there is no report, if so."""
    desk.phase("writing the report")
    began = time.time()
    try:
        pictures = _Pictures(desk.workspace.folder("jobs", str(desk.job.id), "thumbs"))
        report = _Report(desk, folder, sets, result, pictures, deposits)
        report.write()
        pictures.forget_before(began)
    except (OSError, ResourceError) as error:
        what = incident(error) if isinstance(error, OSError) else error
        sentence = f"there is no new report in {folder}: {what}"
        desk.warn(sentence)
        return [sentence]
    return report.added


class _Pictures:
    """Thumbnails in the workspace, named by the content that they show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_source(self, sha256: str | None) -> Path | None:
        return pages.picture_of_source(self._folder, sha256) if sha256 else None

    def of_output(self, item: Item) -> Path | None:
        try:
            stat = os.stat(item.output)  # noqa: PTH116
        except OSError:
            return None
        return pages.picture_of_output(self._folder, item.output_hash or "", stat)

    def of_reference(self, sha256: str) -> Path:
        return self._folder / f"{sha256}-reference.webp"

    def of_region(self, picture: Path, box: tuple[int, ...]) -> Path:
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


class _Report:
    """Writes one report. Each `_html` method gives a part of the page as strings of HTML."""

    def __init__(
        self,
        desk: Desk,
        folder: Path,
        sets: Sets,
        result: Mapping[str, Any],
        pictures: _Pictures,
        deposits: Deposits,
    ) -> None:
        self.deposits = deposits
        self.desk, self.folder, self.sets, self.result, self.pictures = desk, folder, sets, result, pictures
        self.job = desk.ledger.job(desk.job.id)
        self.language = i18n.of(self.job.config.get("language", "en"))
        self._, self.ngettext, self.pgettext = self.language.text, self.language.plural, self.language.text_in
        self.is_folder = Path(self.job.output) in folder.parents
        self.warnings: dict[str | None, dict[str, None]] = {}
        for event in desk.ledger.warnings(self.job.id, self.job.submitted_at):
            self.warnings.setdefault(event.key, {})[_warning(event)] = None
        self.added: list[str] = []  # warnings that came up here
        self.counts: Counter[str] = Counter()
        self.places: dict[str, int] = {}  # content -> number of the place that shows it
        self.palette: dict[str, dict[str, Any]] = {}
        self.review: list[dict[str, Any]] = []

    def warn(self, sentence: str, key: str) -> None:
        self.desk.warn(sentence, key)
        self.warnings.setdefault(key, {})[sentence] = None
        self.added.append(sentence)

    def write(self) -> None:
        self._draw()
        self._gather()
        self._draw_references()
        self._draw_regions()
        if self.palette:
            colours = [self.palette[key] for key in sorted(self.palette, key=int)]
            with self.deposits.save(self.folder / "palette.json") as file:
                file.write(palettes.write(colours))
        if self.review:
            regions = [{name: region[name] for name in region if name[0] != "_"} for region in self.review]
            with self.deposits.save(self.folder / "review.json") as file:
                file.write(metadata_json({"regions": regions}))
        self._draw_contact_sheet()
        with self.deposits.save(self.folder / "report.html") as file:
            for text in self._html():
                file.write(text.encode("utf-8", "backslashreplace"))

    def _rows(self) -> Iterator[_Row]:
        """The places of the book in page order, read from the ledger as they are asked for."""
        items = self.desk.ledger.items(self.job.id)
        number = 0
        for source in self.desk.ledger.sources(self.job.id):
            if source.role not in ("page", "copy", "kept"):
                continue
            number += 1
            item = next(items) if source.role == "page" else None
            before = self.pictures.of_source(source.sha256)
            done = item is not None and item.state == "completed"
            after = self.pictures.of_output(item) if item is not None and done else None
            yield _Row(number, source, item, before, after)

    # -- pictures -------------------------------------------------------------------------------------

    def _run(self, tasks: Iterable[Task]) -> None:
        """What cannot be drawn is left out: the report says so in its place."""
        for result in self.desk.run(tasks):
            if result.failure is not None:
                self._missing(result)

    def _missing(self, result: Result) -> None:
        text = result.failure.text if result.failure else ""
        self.desk.note(f"a picture of the report is missing: {text}")

    def _task(self, name: str, images: list[tuple[str, str, tuple[int, int]]]) -> Task:
        listed = [[source, target, *limits] for source, target, limits in images]
        timeout = self.job.config["settings"]["timeout"]
        return Task(name, "batch_processing.pages:thumbnails", {"images": listed}, timeout_s=timeout)

    def _draw(self) -> None:
        """Both pictures of each page that was not drawn when it was coloured: it was passed through, edited
        by hand since, or there was no room."""

        def tasks() -> Iterator[Task]:
            for row in self._rows():
                images = []
                if row.before and "error" not in (row.source.facts or {}) and _Pictures.missing(row.before):
                    images.append((row.source.path, str(row.before), pages.PICTURE))
                if row.after and row.item and _Pictures.missing(row.after):
                    images.append((row.item.output, str(row.after), pages.PICTURE))
                if images:
                    yield self._task(str(row.number), images)

        self._run(tasks())

    def _draw_references(self) -> None:
        def tasks() -> Iterator[Task]:
            for sha256, path in {
                sha256: path for used in self.sets.values() for path, sha256 in used
            }.items():
                target = self.pictures.of_reference(sha256)
                if _Pictures.missing(target):
                    drawn = self.pictures.of_source(sha256)
                    smaller = str(drawn) if drawn and drawn.exists() else path
                    yield self._task(sha256, [(smaller, str(target), REFERENCE)])

        self._run(tasks())

    def _draw_regions(self) -> None:
        """Cut the first regions to review out of their pages, each page opened once."""
        by_page: dict[str, list[list[Any]]] = {}
        for region in self.review[:CROPS]:
            if _Pictures.missing(region["_picture"]):
                wanted = [list(region["box"]), str(region["_picture"]), *CROP]
                by_page.setdefault(region["_output"], []).append(wanted)
        self._run(
            Task(path, "batch_processing.pages:crops", {"path": path, "crops": crops})
            for path, crops in by_page.items()
        )

    def _draw_contact_sheet(self) -> None:
        """All places on one picture, in page order."""
        listing = self.desk.workspace.folder("jobs", str(self.job.id)) / "contact_sheet.jsonl"
        with SaveFile(listing) as file:
            for row in self._rows():
                shown = row.after or row.before
                file.write((json.dumps([str(shown or ""), row.state]) + "\n").encode())
        target = self.folder / "contact_sheet.png"
        part = part_path(target, "sheet")  # one writer: the holder of the lock
        args = {"listing": str(listing), "part": str(part), "root": str(self.deposits.root)}
        for result in self.desk.run([Task("contact sheet", "batch_processing.pages:contact_sheet", args)]):
            if result.value is None:
                self._missing(result)
            else:
                self.deposits.take(part, result.value["sha256"], target)
        listing.unlink()

    # -- what the pages tell -------------------------------------------------------------------------

    def _gather(self) -> None:
        """Counts, the palette of the book, and its regions to review: first where most is expected to be wrong."""
        stored = self.job.config["palette"]
        drawn = palettes.drawn(stored)
        for number, colour in palettes.said(stored).items():
            if rgb := colour.get("rgb") or colour.get("reference"):
                self.palette[number] = {**colour, "id": int(number), "rgb": rgb, "pages": []}
        for row in self._rows():
            self.counts["pages"] += 1
            self.counts[row.state] += 1
            self.counts["unsure"] += _unsure(row)
            self.places.setdefault(row.source.sha256 or "", row.number)
            details = row.item.details if row.state == "coloured" and row.item else None
            for colour in (details or {}).get("palette", ()):
                known = self.palette.setdefault(str(colour["id"]), {"pages": []})
                if not known["pages"]:
                    # An approved page may still show an earlier colour.
                    known |= {**colour, "rgb": drawn.get(str(colour["id"]), colour["rgb"])}
                known["pages"].append(row.source.key)
            for document in (details or {}).get("kept_documents", ()):
                self.warn(
                    f"{document} was changed since Lote wrote it and is left alone: delete it to have it made anew",
                    row.source.key,
                )
            for region in (details or {}).get("review", ()):
                box = tuple(int(value) for value in region["box"])
                entry: dict[str, Any] = {**region, "box": list(box), "page": row.source.key}
                if name := self.palette.get(str(region["id"]), {}).get("name"):
                    entry["name"] = name
                if row.after is not None and row.item is not None:
                    entry |= {
                        "_number": row.number,
                        "_output": row.item.output,
                        "_picture": self.pictures.of_region(row.after, box),
                    }
                    self.review.append(entry)
        self.counts["warned"] = sum(key is not None for key in self.warnings)
        self.review.sort(
            key=lambda region: (
                -region.get("doubt", 0.0),
                region["confidence"],
                region["_number"],
                region["box"],
            )
        )

    # -- the page ------------------------------------------------------------------------------------

    def _html(self) -> Iterator[str]:
        style, script = _resource("report.css"), _resource("report.js")
        policy = (
            f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
            "base-uri 'none'; form-action 'none'"
        )
        name = Path(self.job.output).name
        _ = self._
        yield (
            "<!doctype html>\n"
            f'<html lang="{self.language.code}"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
            f"<title>{_text(name)} · Lote</title><style>{style}</style></head>\n"
            f'<body><a class="skip" href="#pages">{_("To the pages")}</a>\n'
        )
        yield from self._html_head(name)
        yield '<main class="only">\n'
        yield from self._html_problems()
        yield from self._html_bar()
        yield (
            f'<section id="pages" class="pages" aria-label="{_("Pages")}" '
            f'data-before="{_("{percent}% before")}">\n'
        )
        for row in self._rows():
            yield from self._html_page(row)
        yield "</section>\n"
        yield from self._html_review()
        yield from self._html_palette()
        yield from self._html_references()
        yield from self._html_settings()
        yield "</main>\n"
        written = _("Written by Lote {version}, job {job}, {moment}.")
        moment = _moment(time.time())
        yield f"<footer>{written.format(version=_text(__version__), job=self.job.id, moment=moment)}</footer>\n"
        yield f"<script>{script}</script></body></html>\n"

    def _html_head(self, name: str) -> Iterator[str]:
        _, counts = self._, self.counts
        took = time.time() - self.job.started_at if self.job.started_at else None
        figures: list[tuple[str, str, str]] = [(self.pgettext("pages", "pages"), str(counts["pages"]), "")]
        for state, words in (
            ("coloured", self.pgettext("pages", "coloured")),
            ("failed", self.pgettext("pages", "failed")),
            ("kept", _("kept as they are")),
            ("waiting", _("not in this run")),
        ):
            if counts[state] or state == "coloured":
                figures.append((words, str(counts[state]), "bad" if state == "failed" else ""))
        warned = sum(map(len, self.warnings.values()))
        if warned:
            figures.append((self.ngettext("warning", "warnings", warned), str(warned), "warn"))
        figures.append((_("this run"), _seconds(took), ""))
        inputs = ", ".join(_name(path) for path in self.job.inputs)
        yield f'<header><p class="over">{_("Lote report")}</p>\n'
        yield f"<h1>{_name(name)}</h1>\n"
        yield f'<p class="lead">{_("from")} {inputs}</p>\n<dl class="figures">'
        for words, figure, kind in figures:
            yield f'<div class="{kind}"><dt>{words}</dt><dd>{figure}</dd></div>'
        yield f'</dl>\n<nav class="files" aria-label="{_("Files")}">'
        target = Path(self.job.output)
        if self.result["state"] == "done":
            archive = _("Archive {name}").format(name=_name(target.name))
            words = _("Folder of the pages") if self.is_folder else archive
            yield f'<a href="{self._link(str(target))}">{words}</a>'
        for file, words in (
            ("contact_sheet.png", _("Contact sheet")),
            ("palette.json", _("Palette")),
            ("review.json", _("Regions to review")),
            ("processing_metadata.json", _("Metadata")),
        ):
            if (self.folder / file).exists():
                yield f'<a href="{file}">{words}</a>'
        yield "</nav></header>\n"

    def _html_problems(self) -> Iterator[str]:
        """What belongs to the job as a whole; each page tells its own."""
        _ = self._
        general = self.warnings.get(None, ())
        word = self.pgettext("page", "failed")
        failed = [
            f'<li class="bad"><b>{word}</b> <a href="#p{row.number}">{_name(row.source.key)}</a> {self._problem(row)}</li>'
            for row in self._rows()
            if row.item is not None and row.state == "failed"
        ]
        left_out = self.result.get("left_out") or ()
        stopped = (
            self.desk.ledger.counts(self.job.id)["cancelled"] if self.result["state"] == "cancelled" else 0
        )
        if not general and not failed and not left_out and not stopped:
            return
        yield f'<h2>{_("To know")}</h2>\n<ul class="list">'
        if stopped:
            text = self.ngettext(
                "cancelled: {count} page was not coloured; {command} goes on",
                "cancelled: {count} pages were not coloured; {command} goes on",
                stopped,
            )
            command = f"<code>lote retry {self.job.id}</code>"
            yield f"<li>{text.format(count=stopped, command=command)}</li>"
        yield from failed
        yield from (f"<li>{self._sentence(text)}</li>" for text in general)
        if left_out:
            names = ", ".join(_name(name) for name in left_out)
            yield f"<li>{_('left out, because they are no images:')} {names}</li>"
        yield "</ul>\n"

    def _html_bar(self) -> Iterator[str]:
        _ = self._
        filters = (
            ("", _("All"), self.counts["pages"]),
            ("coloured", _("Coloured"), self.counts["coloured"]),
            ("failed", _("Failed"), self.counts["failed"]),
            ("warned", _("Warnings"), self.counts["warned"]),
            ("unsure", _("Not sure"), self.counts["unsure"]),
            ("kept", _("Kept"), self.counts["kept"]),
        )
        yield f'<div class="bar"><fieldset aria-label="{_("Which pages")}">'
        for value, words, count in filters:
            if count or not value:
                yield (
                    f'<label><input type="radio" name="filter" id="f-{value or "all"}" value="{value}" autocomplete="off"'
                    f"{'' if value else ' checked'}><span>{words} {count}</span></label>"
                )
        yield f'</fieldset><fieldset class="view" aria-label="{_("What is shown")}">'
        for value, words in (("100", _("Before")), ("50", _("Split")), ("0", _("After"))):
            checked = " checked" if value == "50" else ""
            yield (
                f'<label><input type="radio" name="view" value="{value}" autocomplete="off"{checked}>'
                f"<span>{words}</span></label>"
            )
        find = _("Find a page by name")
        count = self.counts["pages"]
        every = self.ngettext("{count} page", "{count} pages", count).format(count=count)
        yield (
            f'</fieldset><input type="search" placeholder="{find}" aria-label="{find}" autocomplete="off">'
            f'<output aria-live="polite" data-all="{every}" data-some="{_("{count} of {all} pages")}"></output></div>\n'
        )

    def _html_page(self, row: _Row) -> Iterator[str]:
        source = row.source
        says = self.warnings.get(source.key, {})
        classes = ["page", row.state, *["warned"] * bool(says), *["unsure"] * _unsure(row)]
        yield f'<article class="{" ".join(classes)}" id="p{row.number}" aria-labelledby="n{row.number}">'
        yield from self._html_pictures(row)
        yield (
            f'<h3 id="n{row.number}"><span class="number">{row.number}</span>{_name(source.key)}</h3>'
            f'<ul class="facts">{"".join(self._facts(row))}</ul>'
        )
        if problem := self._problem(row):
            yield f'<p class="says bad">{problem}</p>'
        for text in says:
            yield f'<p class="says">{self._sentence(text)}</p>'
        yield f"<details><summary>{self._('Details')}</summary><dl>{''.join(self._details(row))}</dl></details></article>\n"

    def _html_pictures(self, row: _Row) -> Iterator[str]:
        _ = self._
        before, after = _data(row.before), _data(row.after)
        if not before and not after:
            yield f'<div class="compare"><span class="none">{_("no picture of this page")}</span></div>'
            return
        facts = row.source.facts or {}
        shape = f'width="{facts.get("width", 3)}" height="{facts.get("height", 4)}" loading="lazy" decoding="async"'
        written = self._file_of(row)
        element = f'a href="{self._link(written)}" target="_blank" rel="noopener"' if written else "div"
        kind = "compare both" if before and after else "compare"
        yield f'<{element} class="{kind}">'
        name = _text(row.source.key)
        if after:
            yield f'<img src="{after}" alt="{_("{name}, coloured").format(name=name)}" {shape}>'
        if before:
            alone = _("{name}, before").format(name=name)
            words = f'class="before" alt="{alone}"' if after else f'alt="{name}"'
            yield f'<img {words} src="{before}" {shape}>'
        yield f"</{element.partition(' ')[0]}>"
        if before and after:
            yield (
                '<input type="range" min="0" max="100" value="50" '
                f'aria-label="{_("Before and after, {name}").format(name=name)}" '
                f'aria-valuetext="{_("{percent}% before").format(percent=50)}" autocomplete="off">'
            )

    def _file_of(self, row: _Row) -> str | None:
        """The file in the output that a click opens; archives have none to open."""
        if not self.is_folder:
            return None
        if row.item is not None:
            return row.item.output if row.state == "coloured" else None
        return str(Path(self.job.output) / row.source.key) if self.result["state"] == "done" else None

    def _details(self, row: _Row) -> Iterator[str]:
        _ = self._
        facts, item = row.source.facts or {}, row.item
        if "width" in facts:
            yield _pair(
                _("size"), f"{facts['width']} × {facts['height']} px, {_text(facts.get('format', ''))}"
            )
        metrics = facts.get("metrics") or {}
        if metrics:
            told = ", ".join(
                f"{_text(name.replace('_', ' '))} {value:.4g}" for name, value in metrics.items()
            )
            yield _pair(_("measured"), told)
        if item is None:
            return
        settings = self.job.config["settings"]
        for name, value in item.work["settings"].items():
            if name in ("layers", "layers_by"):  # its files stand below
                continue
            own = " " + _("(this page's own)") if name in PAGE_FIELDS and settings.get(name) != value else ""
            yield _pair(_text(name.replace("_", " ")), self._value(value) + own)
        yield _pair(_("backend"), f"{_text(item.work['backend'])} {_text(item.work['version'])}")
        if item.work["artefact"] in self.sets:
            at = list(self.sets).index(item.work["artefact"])
            count = len(self.sets[item.work["artefact"]])
            learned = _("{count} learned").format(count=count)
            yield _pair(_("references"), f'<a href="#references-{at}">{learned}</a>')
        if item.work["hints"]:
            yield _pair(_("hints"), _name(Path(item.work["hints"]).name))
        for name, value in (item.details or {}).items():
            tables = isinstance(value, list) and any(isinstance(part, Mapping) for part in value)
            if name in ("confidence", "kept_documents") or tables:  # shown elsewhere, or for programs
                continue
            words = _("references taken") if name == "references" else _text(name.replace("_", " "))
            yield _pair(words, self._value(value))
        documents = [
            f'<a href="{self._link(file)}">{_text(kind)}</a>'
            for kind, file, _ in item.work["documents"]
            if row.state == "coloured" and Path(file).exists()
        ]
        if documents:
            yield _pair(_("layers"), ", ".join(documents))
        if item.attempts > 1:
            yield _pair(_("attempts"), str(item.attempts))
        if item.state == "completed" and item.finished_at:
            yield _pair(
                _("finished"), _moment(item.finished_at) + (_(", kept from then") if item.reused else "")
            )

    def _html_review(self) -> Iterator[str]:
        if not self.review:
            return
        _ = self._
        rest = len(self.review) - CROPS
        more = " " + _("The other {count} stand in review.json.").format(count=rest) if rest > 0 else ""
        yield (
            f'<h2 id="review">{_("Regions to review")}</h2>\n<p class="lead">{_("Large and doubtful ones first.")}{more}</p>'
            '<ul class="strip crops">'
        )
        for region in self.review[:CROPS]:
            colour = self.palette.get(str(region["id"]), {"id": region["id"]})
            picture = _data(region["_picture"])
            image = f'<img src="{picture}" alt="" loading="lazy" decoding="async">' if picture else ""
            # That a colour comes from the references is the rule, and says nothing.
            reason = region.get("why", "reference")
            why = f" ({self._sentence(reason)})" if reason != "reference" else ""
            sure = _("{share:.0%} sure of {colour}").format(
                share=region["confidence"], colour=_swatch(colour)
            )
            yield f'<li>{image}<a href="#p{region["_number"]}">{_name(region["page"])}</a><br>{sure}{why}</li>'
        yield "</ul>\n"

    def _html_palette(self) -> Iterator[str]:
        if not self.palette:
            return
        _ = self._
        yield (
            f'<h2 id="palette">{_("Palette")}</h2>\n'
            f'<p class="lead">{_("Name, lock or change colours in palette.json, then:")} '
            f"<code>lote recolor {self.job.id} --palette palette.json</code></p>"
            '<ul class="palette">'
        )
        for key in sorted(self.palette, key=natural_key):
            colour = self.palette[key]
            count = len(colour["pages"])
            number = f" ({colour['id']})" if colour.get("name") else ""
            locked = " · " + _("locked") if colour.get("locked") else ""
            pages = self.ngettext("{count} page", "{count} pages", count).format(count=count)
            yield f"<li>{_swatch(colour)}{number} · {pages}{locked}</li>"
        yield "</ul>\n"

    def _html_references(self) -> Iterator[str]:
        for at, references in enumerate(self.sets.values()):
            words = self._("References")
            if len(self.sets) > 1:
                words = self._("References, set {number}").format(number=at + 1)
            yield f'<h2 id="references-{at}">{words}</h2>\n<ul class="strip">'
            for path, sha256 in references:
                picture = _data(self.pictures.of_reference(sha256))
                image = f'<img src="{picture}" alt="" loading="lazy" decoding="async">' if picture else ""
                name = _name(Path(path).name)
                number = self.places.get(sha256)
                yield f"<li>{image}" + (f'<a href="#p{number}">{name}</a>' if number else name) + "</li>"
            yield "</ul>\n"

    def _html_settings(self) -> Iterator[str]:
        _ = self._
        origins = self.job.config.get("origins", {})
        columns = "".join(f'<th scope="col">{word}</th>' for word in (_("Setting"), _("Value"), _("From")))
        yield (
            f'<h2 id="settings">{_("Settings")}</h2>\n'
            f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>'
        )
        words = {"built-in": _("built-in"), "given": _("given")}
        for name, value in self.job.config["settings"].items():
            given = value != built_in(name)
            origin = origins.get(name) or ("given" if given else "built-in")
            row = "set" if origin != "built-in" else ""
            yield (
                f'<tr class="{row}"><th scope="row">{_text(name)}</th><td>{self._value(value)}</td>'
                f"<td>{_text(words.get(origin, origin))}</td></tr>"
            )
        yield "</tbody></table></div>\n"

    def _facts(self, row: _Row) -> Iterator[str]:
        """The short line below a page's name: what it is, how sure, how long."""
        _ = self._
        facts, item = row.source.facts or {}, row.item
        if "kind" in facts:
            kind = _("line art") if facts["kind"] == "line_art" else self.pgettext("kind", "coloured")
            doubt = ' class="warn"' if facts["confidence"] < ASK_BELOW else ""
            yield f"<li{doubt}>{kind}, {facts['confidence']:.0%}</li>"
        elif "error" not in facts:
            yield f"<li>{_('taken as told')}</li>"
        if item is None:
            yield f"<li>{_('kept, a reference') if row.source.role == 'copy' else _('kept as it is')}</li>"
            return
        if row.state == "coloured":
            sure = (item.details or {}).get("confidence", 1.0)
            words = _("coloured, {share:.0%} sure").format(share=sure)
            yield f'<li class="{"warn" if sure < UNSURE_BELOW else "good"}">{words}</li>'
            yield f"<li>{_seconds(item.seconds)}</li>"
            if item.approved:
                yield f'<li class="good">{_("approved")}</li>'
        elif item.state == "failed":
            yield f'<li class="bad">{self.pgettext("page", "failed")}</li>'
        elif item.state == "cancelled":
            yield f"<li>{self.pgettext('page', 'cancelled')}</li>"
        else:
            yield f"<li>{_('not in this run')}</li>"

    def _problem(self, row: _Row) -> str:
        """Why a page failed, "" if it did not; its name stands beside it already."""
        error = (row.source.facts or {}).get("error") if row.item is None else row.item.error
        return self._sentence(why(error, row.source.key))

    def _sentence(self, text: str) -> str:
        """A sentence of an error or a warning, as the reader reads it."""
        return _text(self.language.sentence(text))

    def _value(self, value: object) -> str:
        if value is None or value in ((), [], {}, ""):
            return "–"
        if isinstance(value, bool):
            return self._("yes") if value else self._("no")
        if isinstance(value, Mapping):
            return ", ".join(f"{_text(name)} {self._value(part)}" for name, part in value.items())
        if isinstance(value, list | tuple):
            return ", ".join(map(self._value, value))
        return _text(f"{value:.4g}" if isinstance(value, float) else value)

    def _link(self, path: str) -> str:
        """A relative link from the report, right for any name: bytes that are not UTF-8 too."""
        return quote(os.fsencode(os.path.relpath(path, self.folder)), safe="/")


def _unsure(row: _Row) -> bool:
    details = row.item.details if row.item is not None and row.state == "coloured" else None
    kind = (row.source.facts or {}).get("confidence", 1.0)
    return bool(kind < ASK_BELOW or (details or {}).get("confidence", 1.0) < UNSURE_BELOW)


def _warning(event: Event) -> str:
    return str(event.data["text"])


def _text(value: object) -> str:
    """Any text, as text: what cannot be seen or could turn the line around is spelled out, then escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
    return html.escape(shown)


def _name(path: str) -> str:
    """A file's name or path; isolated, so that one written from right to left turns nothing else."""
    return f"<bdi>{_text(path)}</bdi>"


def _swatch(colour: Mapping[str, Any]) -> str:
    """A colour of the palette: a sample of it, and what it is called."""
    name = _text(colour.get("name") or colour["id"])
    if "rgb" not in colour:
        return name
    red, green, blue = (int(value) for value in colour["rgb"])
    sample = f'<rect width="1" height="1" fill="#{red:02x}{green:02x}{blue:02x}"/>'
    return f'<svg class="swatch" aria-hidden="true" viewBox="0 0 1 1">{sample}</svg>{name}'


def _pair(term: str, words: str) -> str:
    return f"<dt>{term}</dt><dd>{words}</dd>"


def _data(picture: Path | None) -> str:
    """The picture as a data URI; "" where there is none."""
    if picture is None or not picture.is_file():
        return ""
    return "data:image/webp;base64," + base64.b64encode(picture.read_bytes()).decode()


def _digest(text: str) -> str:
    """The hash by which a content security policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    hours, rest = divmod(round(value), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d} min"


def _moment(value: float) -> str:
    moment = datetime.fromtimestamp(value, UTC)
    return f'<time datetime="{moment.isoformat(timespec="seconds")}">{moment:%Y-%m-%d %H:%M} UTC</time>'
