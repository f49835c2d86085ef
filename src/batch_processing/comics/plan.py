"""What each image of a comics job is for, and what its pages are to become.

Promises: a plan is a function of what stands in the inputs, the settings and what the job has learned; the same
plan gives the same names, fingerprints and order. Reads no pixels, and writes nothing but roles into the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..backends.base import PageSettings
from ..config.settings import FLAGS, suggestion
from ..core.model import ItemSpec, Role
from ..core.plain import to_plain
from ..exceptions import ValidationError, reason
from ..io.books.unpacking import LARGEST_HINTS
from ..io.encoding import LOSSY, OutputFormat, output_format, same_format
from ..io.naming import NameReservation, parted
from ..io.publish import hash_file
from ..messages import Message
from . import palette
from .book_info import reads_right_to_left
from .book_place import book_of
from .edits import PageEdits
from .model import (
    PAGE_SETTINGS,
    Document,
    ImageFacts,
    ImageRequest,
    PageWork,
    References,
    facts_of,
    request_of,
    stored,
)
from .outputs import beside, pages_folder
from .references import Learning, references_of_page
from .selection import Selection
from .sources import Found, hint_for, is_reference_folder, place_of
from .tasks import fingerprint

if TYPE_CHECKING:
    from ..backends.base import Backend
    from ..config import BatchConfig
    from ..config.effective import PageOptions, Settings
    from ..core.application import JobContext
    from ..core.model import Source

_OF_PAGES = {field.name for field in fields(PageSettings)}


@dataclass(frozen=True)
class _Learned:
    """From which references a page is coloured: the key of their set; where these are the page's own, `first` is that
    of the job's."""

    key: str | None
    is_own: bool
    first: str | None


def named_pages(context: JobContext, texts: Sequence[str]) -> Selection:
    """The images of a job that `texts` name."""
    place = book_of(context.job)
    pages = (source.key for source in context.ledger.sources(context.job.id))
    return Selection(texts, pages, place.below if place else "")


class Plan:
    """The plan of one run of a job."""

    def __init__(
        self,
        context: JobContext,
        config: BatchConfig,
        settings: Settings,
        backend: Backend,
        learning: Learning,
        found: Found,
    ) -> None:
        self._context, self._config, self._settings = context, config, settings
        self._backend, self._learning, self._found = backend, learning, found
        self._request = request_of(context.job)
        self._pages = pages_folder(context)
        self._sets: dict[tuple[str, ...], str | None] = {}
        self._edits = PageEdits(context, backend)
        place = book_of(context.job)
        self._below = place.below if place else ""
        self._right_to_left = config.right_to_left or reads_right_to_left(found)
        self._one_of_many = place is not None and place.count > 1
        self._named = {
            flag: named_pages(context, getattr(config, flag))
            for flag in ("as_lineart", "as_reference", "keep")
        }

    @cached_property
    def _beside(self) -> Path:
        """The folder for documents. Of an archive all jobs of the ledger are asked for it."""
        return beside(self._context.ledger, self._context.job)

    # -- what each image is for -----------------------------------------------------------------------

    def assign(self) -> list[str]:
        """Enter into the ledger what each image is for. ValidationError where none is to be coloured.

        Of one of several books, what was said of images that it has not is given back, for others may have them;
        else that is warned of."""
        ledger, job_id = self._context.ledger, self._context.job.id
        counts = {Role.PAGE: 0, Role.COPY: 0, Role.KEPT: 0}

        def roles() -> Iterator[tuple[int, Role]]:
            for source in ledger.sources(job_id):
                role = self._role_with_warnings(source)
                if role in counts:
                    counts[role] += 1
                yield source.id, role

        ledger.assign(list(roles()))
        unused = self._warn_unused()
        if not counts[Role.PAGE]:
            total = counts[Role.COPY] + counts[Role.KEPT]
            raise ValidationError(
                "no line art among {total} images: all of them are coloured or skipped; name pages with "
                "--as-lineart GLOB",
                total=total,
            )
        return unused

    def _warn_unused(self) -> list[str]:
        keys = [self._below + source.key for source in self._context.ledger.sources(self._context.job.id)]
        said = [(FLAGS[name], text) for name, named in self._named.items() for text in named.unused]
        if self._one_of_many:
            return [*(f"{flag} {text}" for flag, text in said), *self._settings.unused(keys)]
        self._settings.warn_unused(keys)
        for flag, text in said:
            near = suggestion(text, [name for key in keys for name in (key, key.rpartition("/")[2])])
            self._context.warn("{flag} {text} names no image{near}", flag=flag, text=text, near=near)
        return []

    def _role_with_warnings(self, source: Source) -> Role:
        """What an image is for; what a person should know of it is said."""
        from ..classification.classifier import ASK_BELOW

        facts = facts_of(source)
        role = self._role(source)
        if role == Role.REFERENCE and facts.error is not None:
            self._context.warn(
                "the reference {path} is left out: {error}",
                source.key,
                path=place_of(source, self._config.reference_images),
                error=facts.error,
            )
            role = Role.LEFT_OUT
        if role in (Role.REFERENCE, Role.COPY):  # a page says by itself how it was read
            for warning in facts.warnings:
                self._context.warn("{page}: {warning}", source.key, page=source.key, warning=warning)
        if facts.more and role in (Role.PAGE, Role.REFERENCE):
            self._context.warn(
                "{path} holds several pictures: only the first is used",
                source.key,
                path=place_of(source, self._config.reference_images),
            )
        sure = facts.confidence >= ASK_BELOW
        if source.origin == "references" or is_reference_folder(source.key):
            if facts.kind == "line_art" and sure:
                self._context.warn(
                    "the reference {path} looks like line art: no page takes colours from it",
                    source.key,
                    path=place_of(source, self._config.reference_images),
                )
        elif facts.kind is not None and not sure:
            kind = Message("line art") if facts.kind == "line_art" else Message("coloured")
            self._context.warn(
                "{key} was taken for {kind} with a confidence of {confidence}: say otherwise with "
                "--as-lineart or --as-reference",
                source.key,
                key=source.key,
                kind=kind,
                confidence=f"{facts.confidence:.0%}",
            )
        return role

    def _role(self, source: Source) -> Role:
        facts = facts_of(source)
        if source.origin == "references" or is_reference_folder(source.key):
            return Role.REFERENCE
        if self._page(source.key).skip or source.key in self._named["keep"]:
            return Role.KEPT
        if source.key in self._named["as_lineart"]:
            return Role.PAGE
        colored = source.key in self._named["as_reference"] or facts.kind == "colored"
        if colored and facts.error is None:
            return Role.REFERENCE if self._config.drop_references else Role.COPY
        return Role.PAGE  # also what cannot be read: it fails by itself, and is named

    # -- what each page becomes -----------------------------------------------------------------------

    def specs(self, references: References) -> Iterator[ItemSpec]:
        """The items of the job in page order. ValidationError where `--pages` names none."""
        from ..config.settings import parse_pages

        ledger, job_id, config = self._context.ledger, self._context.job.id, self._config
        taken = (
            source.key for role in (Role.COPY, Role.KEPT) for source in ledger.sources(job_id, role=role)
        )
        names, document_names = NameReservation(taken), NameReservation()
        chosen = parse_pages(config.pages) if config.pages else None
        self._sets, self._learning.sets = {}, {}
        previewed = found_any = False
        if config.quality is not None and config.format not in {*LOSSY, "same"}:
            self._context.warn(
                "--quality {quality} changes nothing: {format} is lossless",
                quality=config.quality,
                format=config.format,
            )
        ordinal = 0
        for source in ledger.sources(job_id):
            if source.role not in (Role.PAGE, Role.COPY, Role.KEPT):
                continue
            ordinal += 1
            if source.role != Role.PAGE:
                continue
            asked = chosen is None or any(ordinal in some for some in chosen)
            spec = self._spec(source, ordinal, references, names, document_names)
            yield replace(spec, held=previewed or not asked)
            found_any = found_any or asked
            previewed = config.preview_mode and found_any
        if not found_any:
            raise ValidationError(
                "--pages {pages} names no line art: the input has {ordinal} pages, counted from 1",
                pages=config.pages,
                ordinal=ordinal,
            )

    def _spec(
        self,
        source: Source,
        ordinal: int,
        references: References,
        names: NameReservation,
        document_names: NameReservation,
    ) -> ItemSpec:
        options = self._page(source.key)
        said = self._request.images.get(source.path, ImageRequest())
        settings = self._page_settings(options, said)
        learned = self._learned(tuple(options.references or ()), references)
        facts = facts_of(source)
        size, lost = facts.size, facts.error if facts.lost else None
        written, quality = self._format(facts)
        hints = hint_for(source.key, self._found.hints)
        stem, _ = parted(source.key)
        name = names.reserve(f"{stem}{self._request.suffix}.{written}", f".{written}")
        documents = self._documents(document_names.reserve(name, ".psd").removesuffix(".psd"), size)
        colors = palette.drawn(self._learning.palette)
        by_color = self._config.layers and "color" in self._config.layers_by
        named = palette.names(self._learning.palette) if by_color else {}
        found_out = {
            "input": source.sha256,
            "backend": [self._backend.name, self._backend.version],
            "references": learned.key,
            "hints": _hash_of_hints(Path(hints)) if hints else None,
            "ids": [
                [vars(color) for color in palette.anchors(self._learning.palette)],
                learned.is_own,
                learned.first,
            ],
            # A page with references of its own, such as a night, is not the others' business, nor they its.
            "memory": None if learned.is_own else self._learning.memory.of(source.key),
        }
        work = PageWork(
            source=source.path,
            name=name,
            settings=settings,
            artefact=learned.key,
            hints=hints,
            format=written,
            backend=self._backend.name,
            version=self._backend.version,
            pixels=size[0] * size[1],
            documents=documents,
            names=named,
            palette=colors,
            single=learned.is_own,
            first=learned.first,
            state=fingerprint(**found_out),
            quality=quality,
            lost=lost,
            edits=self._edits.file(source.key),
        )
        return ItemSpec(
            key=source.key,
            ordinal=ordinal,
            input_hash=source.sha256 or "",
            fingerprint=fingerprint(
                **found_out,
                settings=to_plain(settings),
                palette=colors,
                format=written,
                documents=[document.kind for document in documents],
                names=named,
                **({} if quality is None else {"quality": quality}),
                **({"lost": str(lost)} if lost else {}),
                **({"edits": Path(work.edits).stem} if work.edits else {}),
            ),
            work=stored(work),
            output=said.output or str(self._pages / name),
            redo=self._edits.overtaken(source.key, work.edits),
            priority=options.priority if said.priority is None else said.priority,
            cost=self._cost(size, len(references), settings.top_k),
        )

    def _cost(self, size: tuple[int, int], references: int, top_k: int) -> int:
        """Bytes that the page needs beside others in flight: without the model, where one worker has it for all."""
        from ..memory import MemoryManager

        def needed(size: tuple[int, int]) -> int:
            return MemoryManager().estimate_memory_required(
                size, references=references, backend=self._backend.name, top_k=top_k
            )

        return needed(size) - needed((1, 1)) if self._backend.exclusive else needed(size)

    def _format(self, facts: ImageFacts) -> tuple[OutputFormat, int | None]:
        """The format a page is written in, and the quality where that is lossy."""
        asked = self._config.format
        written = output_format(same_format(facts.format) if asked == "same" else asked, *facts.size)
        if written not in LOSSY:
            return written, None
        return written, self._config.quality or (facts.quality if asked == "same" else None)

    def _page_settings(self, options: PageOptions, said: ImageRequest) -> PageSettings:
        """The settings of one page: the job's, over them those of a configuration file, over them what was asked."""
        config = self._config
        settings = replace(
            PageSettings(**{name: getattr(options, name) for name in PAGE_SETTINGS}),
            keep_ink=config.keep_ink,
            layers=bool(config.layers),
            layers_by=list(config.layers_by) if config.layers else [],
            right_to_left=self._right_to_left,
        )
        return replace(
            settings,
            **{name: value for name, value in (said.config or {}).items() if name in _OF_PAGES},
        )

    def _page(self, key: str) -> PageOptions:
        return self._settings.page(self._below + key)

    def _learned(self, own: tuple[str, ...], references: References) -> _Learned:
        """The set of references of a page that names `own` ones, or the job's where it names none."""
        known = self._learning
        if own not in self._sets:
            self._sets[own] = known.key(references_of_page(own) if own else references)
        # Ids are the job's: colours that only this page's references show are numbered after the others.
        first = self._sets.setdefault((), known.key(references)) if own else None
        return _Learned(self._sets[own], bool(own), first)

    def _documents(self, stem: str, size: tuple[int, int]) -> list[Document]:
        """The layered documents of a page."""
        from ..io.layers import PSD_SIDE

        context = self._context
        if not self._config.layers:
            return []
        folder = self._beside / "layers"
        memory = context.workspace.root / "jobs" / str(context.job.id) / "documents"
        documents: list[Document] = []
        for kind in self._config.layers:
            if kind == "psd" and max(size) > PSD_SIDE:
                context.warn(
                    "{stem} is too large for a PSD (at most {limit} pixels a side): use --layers ora",
                    stem=stem,
                    limit=PSD_SIDE,
                )
                continue
            target = str(folder / f"{stem}.{kind}")
            documents.append(Document(kind, target, str(memory / fingerprint(target=target))))
        return documents


def _hash_of_hints(path: Path) -> str:
    """What stands for hints in a fingerprint. Those that cannot be read are the business of the worker, and cost
    their page."""
    try:
        return hash_file(path, limit=LARGEST_HINTS)
    except OSError as error:
        return f"unreadable: {reason(error)}"
