"""What a worker does for a comic: examine an image, learn references, colour a page, bind the archive.

Each class here is `core.workers.Work`: its fields say what is to be done, and `run` does it in an isolated
child. None of them knows the ledger, and each writes only to the `part` it is given.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..backends.base import PageSettings, PaletteColor
from ..core.files import CACHED, FILLED, READ, ROOT, SHARED, WRITTEN
from ..core.plain import JsonObject
from ..core.workers import Written
from ..exceptions import ConfigurationError, ImageProcessingError, reason
from ..messages import Message, as_message
from . import documents
from .documents import DocumentPart
from .model import RGB, ImageFacts, Reference
from .regions import put_aside
from .small_pictures import PICTURE, draw, picture_of_output, picture_of_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..backends import base
    from ..backends.base import Backend, Batching, Colored, Dividing, PageJob, Progress, Recoloring, Underway
    from ..io.images import OutputFormat, Page

WARNINGS = "warnings"
"""In what there is to say of a page: the messages, as JSON, of what was put right when it was read."""

# The backend that this worker has made ready, and for what.
_ready: tuple[Loads, Backend] | None = None


@dataclass(frozen=True)
class Examined:
    """What looking at an image gave. `sha256` is None where its bytes cannot be read."""

    sha256: str | None
    facts: ImageFacts


@dataclass(frozen=True)
class Examine:
    """Hash an image, read its header, and tell line art from coloured pages.

    An image that cannot be read is no failure of the task: its facts hold the error."""

    path: str = field(metadata=READ)
    classify: bool = True

    def run(self, progress: Progress) -> Examined:
        from ..io.images import decode, probe
        from ..io.publish import hash_file

        try:
            sha256 = hash_file(Path(self.path))
        except OSError as error:
            return Examined(None, ImageFacts(error=Message("cannot be read: {error}", error=reason(error))))
        facts = ImageFacts()
        try:
            info = probe(Path(self.path))
            facts = ImageFacts(
                info.format,
                info.width,
                info.height,
                more=info.more,
                quality=info.quality,
                warnings=info.warnings,
            )
            if self.classify:
                from ..classification.classifier import SIDE, ImageClassifier

                page = decode(Path(self.path), max_side=SIDE)
                seen = ImageClassifier().classify_page(page)
                facts = replace(
                    facts,
                    kind=seen.type,
                    confidence=seen.confidence,
                    metrics=dict(seen.metrics),
                    warnings=page.warnings,
                )
        except ImageProcessingError as error:
            facts = replace(facts, error=error.why)
        return Examined(sha256, facts)


@dataclass(frozen=True)
class Learn:
    """Have the backend learn references into the new file `artefact`."""

    backend: str
    references: list[Reference]
    settings: PageSettings
    artefact: str = field(metadata=WRITTEN)

    def run(self, progress: Progress) -> None:
        from ..backends import create

        with _appears(Path(self.artefact)) as part:
            create(self.backend).prepare(_given(self.references), part, self.settings, progress)
            for one in self.references:
                must_be(one.path, one.path, one.sha256)


@dataclass(frozen=True)
class Study:
    """Have the backend study one reference, in one of the rounds in which it learns several (`Dividing`)."""

    backend: str
    number: int
    reference: Reference
    before: list[str] = field(metadata=READ)
    common: str | None = field(metadata=READ)
    own: str = field(metadata=WRITTEN)

    def run(self, progress: Progress) -> None:
        (reference,) = _given([self.reference])
        before, common = [Path(one) for one in self.before], Path(self.common) if self.common else None
        _dividing(self.backend).study(self.number, reference, before, common, Path(self.own))
        if common is None:
            must_be(self.reference.path, self.reference.path, self.reference.sha256)


@dataclass(frozen=True)
class Agree:
    """Have the backend write what all references agree on after a round of `Study`, to the new file `made`."""

    backend: str
    number: int
    references: list[Reference]
    own: list[str] = field(metadata=READ)
    common: str | None = field(metadata=READ)
    made: str = field(metadata=WRITTEN)

    def run(self, progress: Progress) -> None:
        own, common = [Path(one) for one in self.own], Path(self.common) if self.common else None
        backend = _dividing(self.backend)
        with _appears(Path(self.made)) as part:
            backend.agree(self.number, _given(self.references), own, common, part)
            for one in self.references if self.number == backend.rounds - 1 else ():
                must_be(one.path, one.path, one.sha256)


@contextlib.contextmanager
def _appears(target: Path) -> Iterator[Path]:
    """Where to write what is to stand at `target`, whole."""
    from ..io.publish import fsync_dir, part_path, publish

    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target, f"learning-{os.getpid()}")  # the editor may learn beside a job
    try:
        yield part
        publish(part, target)
        fsync_dir(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _given(references: Sequence[Reference]) -> list[base.Reference]:
    """References as a backend is given them."""
    from ..backends.base import Reference as Given

    return [Given(Path(one.path), one.sha256) for one in references]


def _dividing(name: str) -> Dividing:
    from ..backends import create
    from ..backends.base import Dividing

    backend = create(name)
    if not isinstance(backend, Dividing):
        raise ConfigurationError("The backend {name} learns all references at once.", name=name)
    return backend


def must_be(path: str, name: str, sha256: str) -> None:
    """ImageProcessingError where another file stands by now than the one that was examined ("": none was).

    Asked after a file was read. What is made of it is known by the hash from before, in the ledger and in the
    cache: it would pass for the other's, also when that one comes back."""
    from ..io.publish import hash_file

    try:
        same = not sha256 or hash_file(Path(path)) == sha256
    except OSError as error:
        raise ImageProcessingError(name, "cannot be read: {error}", error=reason(error)) from error
    if not same:
        raise ImageProcessingError(name, "it was replaced while the job ran: give the command again")


@dataclass(frozen=True)
class PaletteIds:
    """How the colours of a palette are numbered, in the words of `Recoloring.adopt`."""

    given: list[PaletteColor]
    single: bool
    first: str | None = field(metadata=SHARED)
    memory: str | None = field(metadata=SHARED)


Loads = tuple[str, str | None, PaletteIds | None]
"""Name of a backend, artefact, and numbers of a palette: what is loaded to colour a page."""


@dataclass(frozen=True)
class Painting:
    """What a worker must know to find the colours of a page: the image `source`, which people call `name`.

    `artefact` is the file of what was learned from its references. `state` is a file that keeps what the backend
    found out about this page: where it is there, the page is only drawn again. `sha256` is the hash of `source`
    when it was planned. `ids` is None for a backend without a palette. `edits` is the file of what a person changed since."""

    source: str = field(metadata=READ)
    name: str
    backend: str
    artefact: str | None = field(metadata=SHARED)
    settings: PageSettings
    hints: str | None = field(metadata=READ)
    state: str = field(metadata=CACHED)
    sha256: str
    ids: PaletteIds | None
    edits: str | None = field(default=None, metadata=READ)


class Remembered(NamedTuple):
    """The SHA-256, in hex, of the file of what a page taught."""

    sha256: str


@dataclass(frozen=True)
class Remember:
    """Write what can be learned from a finished page to the file `part`."""

    painting: Painting
    approved: bool
    part: str = field(metadata=WRITTEN)

    def run(self, progress: Progress) -> Remembered:
        from ..io.images import decode
        from ..io.publish import write_part

        work = self.painting
        backend = backend_of(work.backend, work.artefact, work.ids)
        painter = _recoloring(backend)
        page = decode(Path(work.source))
        must_be(work.source, work.name, work.sha256)
        learned: bytes | None = None
        with contextlib.suppress(FileNotFoundError, ValueError):  # gone, or damaged
            found = edited(painter, page, Path(work.state).read_bytes(), work.edits)
            learned = painter.remember(page, found, approved=self.approved)
        if learned is None:
            hints = Path(work.hints) if work.hints else None
            found = backend.color(page, work.settings, hints, progress).state
            learned = painter.remember(page, edited(painter, page, found, work.edits), approved=self.approved)
        return Remembered(write_part(Path(self.part), lambda file: file.write(learned)))


class Gathered(NamedTuple):
    """How many regions the pages of a job taught."""

    regions: int


@dataclass(frozen=True)
class Gather:
    """Make what the pages taught, files of `Remember`, into the new file `artefact`."""

    backend: str
    remembered: list[str]
    artefact: str

    def run(self, progress: Progress) -> Gathered:
        from ..backends import create
        from ..io.publish import fsync_dir, part_path, publish

        painter = _recoloring(create(self.backend))
        target = Path(self.artefact)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = part_path(target, "gathering")  # one writer: the holder of the lock
        try:
            regions = painter.gather([Path(path) for path in self.remembered], part)
            publish(part, target)
            fsync_dir(target.parent)
        finally:
            part.unlink(missing_ok=True)
        return Gathered(regions)


@dataclass(frozen=True)
class Color:
    """Colour one page, and write it to the file `part`.

    `quality` is that of a lossy `format`. `palette` are colours (id to RGB) in place of the references' own. `place` is (number, count) of the page
    among those it is coloured with.

    `documents` are parts of layered files to write as well. `names` are what a person calls palette ids there.

    `regions` is the part for the page's regions, None where nobody asks for them. `pictures` is the folder of the report's
    pictures: the two of this page are drawn where its pixels are at hand. No link may lead the page out of `root`."""

    painting: Painting
    part: str = field(metadata=WRITTEN)
    format: OutputFormat
    quality: int | None
    documents: list[DocumentPart]
    names: dict[str, str]
    palette: dict[str, RGB]
    place: tuple[int, int] | None
    regions: str | None = field(metadata=WRITTEN)
    pictures: str = field(metadata=FILLED)
    root: str = field(metadata=ROOT)

    def run(self, progress: Progress) -> Written:
        (result,) = self.run_together(progress, [self])
        if isinstance(result, ImageProcessingError):
            raise result
        return result

    @classmethod
    def run_together(cls, progress: Progress, works: Sequence[Color]) -> list[Written | ImageProcessingError]:
        """Pages of one backend and artefact, at once where the backend can."""
        coloring = cls.begin(progress, works)
        coloring.on_device(progress)
        return coloring.finish(progress)

    @classmethod
    def begin(cls, progress: Progress, works: Sequence[Color]) -> _Coloring:
        """See `core.workers.Staged`: the pages are read."""
        coloring = _Coloring(works)
        coloring.begin(progress)
        return coloring

    def goes_with(self, other: Color) -> bool:
        return self.loads() == other.loads()

    def loads(self) -> Loads:
        """What must be loaded to colour the page."""
        return self.painting.backend, self.painting.artefact, self.painting.ids

    def job(self) -> PageJob:
        """The page as a backend is given it. ImageProcessingError if it cannot be read."""
        from ..backends.base import PageJob
        from ..io.images import decode

        work = self.painting
        hints = Path(work.hints) if work.hints else None
        page = decode(Path(work.source))
        must_be(work.source, work.source, work.sha256)
        return PageJob(page, work.settings, hints, self.place or (0, 1))


@dataclass(frozen=True)
class Lost:
    """Of a page that its book could not give: nothing but to say why."""

    name: str
    why: Message

    def run(self, progress: Progress) -> None:
        raise ImageProcessingError(self.name, self.why)


class BackendThere(NamedTuple):
    """A backend on the machine that was asked: why it cannot run there, and its version."""

    why_not: Message | None
    version: str


@dataclass(frozen=True)
class About:
    """Whether the backend of that name can run on the machine that does this."""

    backend: str

    def run(self, progress: Progress) -> BackendThere:
        from ..backends import create

        backend = create(self.backend)
        why_not = backend.unavailable()
        return BackendThere(None if why_not is None else as_message(why_not), backend.version)


@dataclass(frozen=True)
class Survey:
    """What a backend that takes several pages at once must know of one to `Arrange` it."""

    source: str = field(metadata=READ)
    backend: str
    artefact: str | None = field(metadata=SHARED)
    settings: PageSettings

    def run(self, progress: Progress) -> JsonObject:
        from ..io.images import decode

        painter = _batching(backend_of(self.backend, self.artefact, None))
        return painter.survey(decode(Path(self.source)), self.settings, progress)


@dataclass(frozen=True)
class Arrange:
    """Which of the surveyed pages, by number, to colour together, and in which order."""

    backend: str
    surveys: list[JsonObject]

    def run(self, progress: Progress) -> list[list[int]]:
        from ..backends import create

        painter = _batching(create(self.backend))
        return painter.arrange(self.surveys)


def _named(error: ImageProcessingError, page: Color) -> ImageProcessingError:
    """The error under the name that people know the page by."""
    named = ImageProcessingError(page.painting.name, error.why)
    named.__cause__ = error
    return named


class _Coloring:
    """Pages of one backend and artefact, coloured at once where the backend can: `core.workers.Stages`."""

    def __init__(self, works: Sequence[Color]) -> None:
        self._works = works
        self._jobs: dict[int, PageJob] = {}  # by the number of the work
        self._found: dict[int, Colored | ImageProcessingError] = {}
        self._anew: list[int] = []  # which are coloured by what follows
        self._underway: Underway | None = None

    def begin(self, progress: Progress) -> None:
        """Read the pages, and begin those that were not coloured before, where the backend is there to begin them."""
        for number, work in enumerate(self._works):
            try:
                self._jobs[number] = work.job()
            except ImageProcessingError as error:
                self._found[number] = error
        painter = _made_ready(self._works[0].loads())
        known = [number for number in self._jobs if Path(self._works[number].painting.state).exists()]
        if painter is not None and not known:
            self._begin(painter, progress)

    def _begin(self, painter: Backend, progress: Progress) -> None:
        from ..backends.base import Overlapping

        self._anew = [number for number in self._jobs if number not in self._found]
        if isinstance(painter, Overlapping) and self._anew:
            self._underway = painter.begin([self._jobs[number] for number in self._anew], progress)

    def on_device(self, progress: Progress) -> None:
        """Each page from what is known of it, where it can be; the others anew."""
        from ..backends.base import Batching

        painter = backend_of(*self._works[0].loads())
        if self._underway is None:
            for number, job in self._jobs.items():
                if (again := _again(painter, self._works[number], job)) is not None:
                    self._found[number] = again
            self._begin(painter, progress)
        if self._underway is not None:
            self._underway.paint(progress)
            return
        jobs = [self._jobs[number] for number in self._anew]
        if isinstance(painter, Batching):
            made = painter.color_many(jobs, progress) if jobs else []
        else:
            made = [_one(painter, job, progress) for job in jobs]
        self._keep(painter, made)

    def finish(self, progress: Progress) -> list[Written | ImageProcessingError]:
        """Write the pages."""
        if self._underway is not None:
            painter = backend_of(*self._works[0].loads())
            self._keep(painter, self._underway.finish(progress))
        results: list[Written | ImageProcessingError] = []
        for number, work in enumerate(self._works):
            result = self._found.pop(number)
            if isinstance(result, ImageProcessingError):
                results.append(_named(result, work))
            else:
                results.append(_written(work, self._jobs.pop(number).page, result))
        return results

    def _keep(self, painter: Backend, made: Sequence[Colored | ImageProcessingError]) -> None:
        for number, colored in zip(self._anew, made, strict=True):
            self._found[number] = (
                colored
                if isinstance(colored, ImageProcessingError)
                else _kept(painter, self._works[number], self._jobs[number], colored)
            )


def _one(painter: Backend, job: PageJob, progress: Progress) -> Colored | ImageProcessingError:
    try:
        return painter.color(job.page, job.settings, job.hints, progress)
    except ImageProcessingError as error:
        return error


def _again(painter: Backend, work: Color, job: PageJob) -> Colored | ImageProcessingError | None:
    """The page from its state, without anything being matched again; None where there is none."""
    from ..backends.base import Recoloring

    state = Path(work.painting.state)
    if not isinstance(painter, Recoloring) or not state.exists():
        return None
    os.utime(state)  # the cache keeps what was used last
    with contextlib.suppress(ValueError):  # a damaged one: it was only to save time
        return _of_state(painter, work, job, state.read_bytes())
    return None


def _kept(painter: Backend, work: Color, job: PageJob, colored: Colored) -> Colored | ImageProcessingError:
    """The same, its state written down, with a person's colours and edits."""
    from ..backends.base import Recoloring
    from ..io.publish import SaveFile

    if not isinstance(painter, Recoloring) or not colored.state:
        return colored
    with SaveFile(Path(work.painting.state)) as file:
        file.write(colored.state)
    if not (work.palette or work.painting.edits):
        return colored
    return _of_state(painter, work, job, colored.state)


def _of_state(painter: Recoloring, work: Color, job: PageJob, state: bytes) -> Colored | ImageProcessingError:
    """ValueError if the state is damaged."""
    colors = {int(number): rgb for number, rgb in work.palette.items()}
    try:
        found = edited(painter, job.page, state, work.painting.edits)
        return painter.recolor(job.page, found, colors, job.settings)
    except ImageProcessingError as error:
        return error


def edited(painter: Backend | Recoloring, page: Page, state: bytes, file: str | None) -> bytes:
    """What is known of a page, with what a person changed."""
    from ..backends.base import Editing
    from . import edits

    if file is None or not isinstance(painter, Editing):
        return state
    return painter.edit(page, state, edits.read(Path(file)))


def _written(work: Color, page: Page, colored: Colored) -> Written:
    """Write the coloured page and its documents."""
    from ..io.images import encode
    from ..io.publish import write_part

    pixels = _like_input(colored, page, work.format)
    write = partial(encode, pixels, format=work.format, dpi=page.dpi, icc=page.icc, quality=work.quality)
    sha256 = write_part(Path(work.part), write, within=Path(work.root))
    details = {"confidence": round(colored.confidence, 4), **colored.details}
    if work.documents:
        merged = _like_input(colored, page, "png")
        layers = documents.layers_of(page, colored, merged, work.names)
        for document in work.documents:
            documents.write(document, page, colored, merged, layers)
    if work.regions is not None:
        details = put_aside(details, Path(work.regions))
    if page.warnings:
        details[WARNINGS] = [warning.to_json() for warning in page.warnings]
    folder = Path(work.pictures)
    with contextlib.suppress(OSError):  # a page needs no picture: the report tries again, and says why not
        draw(page.rgb, picture_of_source(folder, work.painting.sha256), *PICTURE, page.icc)
        draw(colored.rgb, picture_of_output(folder, sha256, Path(work.part).stat()), *PICTURE, page.icc)
    return Written(sha256, details)


def _recoloring(backend: Backend) -> Recoloring:
    from ..backends.base import Recoloring

    if not isinstance(backend, Recoloring):
        raise ConfigurationError("The backend {name} learns nothing from pages.", name=backend.name)
    return backend


def _batching(backend: Backend) -> Batching:
    from ..backends.base import Batching

    if not isinstance(backend, Batching):
        raise ConfigurationError("The backend {name} takes one page at a time.", name=backend.name)
    return backend


def _made_ready(wanted: Loads) -> Backend | None:
    """The backend, if it has loaded this."""
    ready = _ready
    return ready[1] if ready is not None and ready[0] == wanted else None


def backend_of(name: str, artefact: str | None, ids: PaletteIds | None) -> Backend:
    """The backend, with what it learned loaded; kept from page to page."""
    global _ready  # noqa: PLW0603 - a worker has one backend for its life
    wanted = (name, artefact, ids)
    if _ready is None or _ready[0] != wanted:
        from ..backends import create
        from ..backends.base import Recoloring

        backend = _ready[1] if _ready is not None and _ready[0][0] == name else create(name)
        backend.load(Path(artefact) if artefact else None)
        if isinstance(backend, Recoloring) and ids is not None:
            first = Path(ids.first) if ids.first else None
            memory = Path(ids.memory) if ids.memory else None
            backend.adopt(ids.given, single=ids.single, first=first, memory=memory)
        _ready = (wanted, backend)
    return _ready[1]


def _like_input(colored: Colored, page: Page, format: OutputFormat) -> NDArray[Any]:  # noqa: A002
    """16 bit again where the page had it and the format can hold it, line pixels exact."""
    import numpy as np

    rgb = colored.rgb
    if page.native is None or format not in ("png", "tif"):
        return rgb
    if colored.native is not None:
        return colored.native
    wide = rgb.astype(np.uint16) * 257
    native = page.native if page.native.ndim == 3 else page.native[:, :, None]
    untouched = (rgb == page.rgb).all(axis=2)
    wide[untouched] = np.broadcast_to(native, wide.shape)[untouched]
    return wide


@dataclass(frozen=True)
class Bind:
    """Write a ZIP with this `comment` to `part`, below `root`. `listing` is a file with one JSON array a line: [name, path,
    SHA-256 of an image of the input, else ""]. ImageProcessingError where such a one was replaced since."""

    part: str
    listing: str
    root: str
    comment: bytes = b""

    def run(self, progress: Progress) -> Written:
        from ..io.publish import write_zip

        listing = Path(self.listing)
        with listing.open(encoding="utf-8") as file:
            total = sum(1 for _ in file)

        def members() -> Iterator[tuple[str, Path | bytes]]:
            with listing.open(encoding="utf-8") as file:
                for done, line in enumerate(file):
                    name, path, sha256 = json.loads(line)
                    progress(done, total)
                    yield name, Path(path)
                    must_be(path, path, sha256)

        return Written(write_zip(Path(self.part), members(), comment=self.comment, within=Path(self.root)))


@dataclass(frozen=True)
class Copy:
    """Copy a file byte for byte to `part`, below `root`."""

    source: str
    part: str
    root: str

    def run(self, progress: Progress) -> Written:
        from ..io.publish import write_part
        from ..reading import open_regular

        def write(target: BinaryIO) -> None:
            with open_regular(Path(self.source)) as file:
                while chunk := file.read(1 << 20):
                    target.write(chunk)
                    progress(0, 1)

        return Written(write_part(Path(self.part), write, within=Path(self.root)))


def fingerprint(**parts: Any) -> str:
    """A digest of plain values: the same values, the same digest, in every process and release."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
