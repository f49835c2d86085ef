"""The nouns of the comics application: what a job was asked for, what is known of an image, a page's work.

The engine stores them as plain data (`core.plain`) in `Job.config`, `Source.facts`, `Item.work` and
`Item.details`; rooms ask `request_of`, `facts_of` and `work_of`, and subscript none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..backends.base import PageSettings
from ..core.files import READ
from ..core.plain import JsonObject, from_plain, to_plain
from ..io.kinds import LeftOut, Reason
from ..messages import Message
from .book_place import BookPlace

if TYPE_CHECKING:
    from ..core.model import Item, ItemSpec, Job, Source

# What of a job's settings can be said of a single page.
PAGE_SETTINGS = ("style", "seed", "num_inference_steps", "top_k")
# Those of where the work is done: they change nothing that is made.
WHERE_IT_RUNS = ("engine", "ray_address", "files")

DocumentKind = Literal["psd", "ora", "png", "json"]
PageFormat = Literal["png", "jpg", "webp", "tif"]
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Reference:
    """A coloured reference: its file, and the SHA-256 of its bytes in hex."""

    path: str = field(metadata=READ)
    sha256: str


References = list[Reference]
"""A set of references in the order of their hashes: names say nothing."""


@dataclass(frozen=True)
class ImageFacts:
    """What looking at an image gave: size in pixels, `kind` "line_art" or "colored" with its `confidence` in
    [0, 1] and the measures it rests on; `quality`, 1 to 100, of a lossy file; what a person should know of how it is
    read (`warnings`); or the `error` with which it cannot be read. `more`: it holds several pictures, of which the
    first is used; `lost`: its book could not give it, and nothing can be made of what there is."""

    format: str = ""
    width: int | None = None
    height: int | None = None
    kind: Literal["line_art", "colored"] | None = None
    confidence: float = 1.0
    metrics: dict[str, Any] = field(default_factory=dict)
    error: Message | None = None
    more: bool = False
    quality: int | None = None
    warnings: tuple[Message, ...] = ()
    lost: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height); (1, 1) where it is not known."""
        return self.width or 1, self.height or 1

    def told(self) -> JsonObject:
        """What is known, for JSON outputs."""
        known = {
            name: value
            for name, value in to_plain(self).items()
            if value not in (None, "", {}, [], (), False)
        }
        if self.kind is None:
            del known["confidence"]
        if self.error is not None:
            known["error"] = str(self.error)
        if self.warnings:
            known["warnings"] = [str(warning) for warning in self.warnings]
        return known


def left_out_of(result: Mapping[str, Any]) -> list[LeftOut]:
    """What of its inputs a job left out, from `Job.result`. Version 0.1.0 kept names alone, of what was no image."""
    return [
        LeftOut(one, Reason.NO_PICTURE) if isinstance(one, str) else from_plain(LeftOut, one)
        for one in result.get("left_out") or ()
    ]


NOT_LOOKED_AT = ImageFacts()


def facts_of(source: Source) -> ImageFacts:
    """What is known of a source."""
    return from_plain(ImageFacts, source.facts) if source.facts else NOT_LOOKED_AT


@dataclass(frozen=True)
class Document:
    """An editable document of a page: its file, and the file that remembers what was written there."""

    kind: DocumentKind
    target: str
    record: str


@dataclass(frozen=True)
class PageWork:
    """What one page is coloured from, and into. `name` is its path in the output; `artefact` the key of the
    set of references (`first`: the job's set, where the page has one of its own, and is `single`); `state` the
    key of what a backend found out about it; `quality` that of a lossy file; `lost` why nothing can be made of it.
    `palette` are colours (id to RGB) in place of the references'
    own, `names` what a person calls ids; `edits` is the file of what a person changed (`comics.edits`)."""

    source: str
    name: str
    settings: PageSettings
    artefact: str | None
    hints: str | None
    format: PageFormat
    backend: str
    version: str
    pixels: int
    documents: list[Document]
    names: dict[str, str]
    palette: dict[str, RGB]
    single: bool
    first: str | None
    state: str
    quality: int | None = None
    lost: Message | None = None
    edits: str | None = None


def work_of(item: Item) -> PageWork:
    """The work of one of a comics job's items."""
    return _work(item.work)


def planned_work(spec: ItemSpec) -> PageWork:
    """The work that one of a comics job's items will have."""
    return _work(spec.work)


def _work(plain: JsonObject) -> PageWork:
    # Version 0.1.0 kept documents as lists.
    documents = [
        one if isinstance(one, dict) else dict(zip(_DOCUMENT, one, strict=True))
        for one in plain.get("documents", ())
    ]
    return from_plain(PageWork, {**plain, "documents": documents})


_DOCUMENT = ("kind", "target", "record")


@dataclass(frozen=True)
class ImageRequest:
    """What was asked for one image: its output file, its priority, settings by name."""

    output: str | None = None
    priority: int | None = None
    config: dict[str, Any] | None = None


@dataclass(frozen=True)
class LearnedMemory:
    """What a job learned from its own pages: the `key` of its file, the `generation` that learned it, and
    whether it is `wanted` anew. Pages that a person has put right stay `apart`: with what was learned when they were."""

    key: str | None = None
    generation: int = 0
    wanted: bool = False
    apart: dict[str, str | None] = field(default_factory=dict)

    def of(self, page: str) -> str | None:
        """The key for one page."""
        return self.apart.get(page, self.key)


@dataclass(frozen=True)
class Request:
    """What a comics job was asked for. `settings` are those of `BatchConfig`; `palette` what it keeps of its palette
    (`comics.palette`); `suffix` goes behind the stem of each page's name; `images` by absolute path; `origins`
    says where each setting was made; `language` is that of the report; `book` is its place among several."""

    settings: dict[str, Any]
    palette: dict[str, Any] = field(default_factory=dict)
    memory: LearnedMemory | None = None
    suffix: str = ""
    images: dict[str, ImageRequest] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    language: str = "en"
    book: BookPlace | None = None


def page_settings(settings: Mapping[str, Any]) -> PageSettings:
    """What a job's settings say of every page."""
    return PageSettings(**{name: settings[name] for name in PAGE_SETTINGS})


def settings_of(job: Job) -> JsonObject:
    """The settings that a comics job was asked for, by name. Asked for with every page, so nothing else is looked at: a
    request may name thousands of images."""
    settings: JsonObject = job.config["settings"]
    return settings


def request_of(job: Job) -> Request:
    """What a comics job was asked for."""
    return from_plain(Request, job.config)


def stored(noun: Request | PageWork | ImageFacts) -> dict[str, Any]:
    """The noun as the ledger keeps it."""
    return to_plain(noun)
