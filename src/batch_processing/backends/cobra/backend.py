"""The Cobra backend: the contract of `backends.base`, with `Overlapping`.

Promises: importing it, making one, and asking whether it can run loads no torch. The page comes back at its
own size. Out of memory it takes less at a time, then computes in bands, then keeps the networks on the host
(and goes on so, because the next page would fail too), before it gives up with ResourceError. A page gives
the same bytes alone as in its place of a batch, and whatever was coloured before it.

Does not guarantee the same bytes on another device, another torch, in another batch, or once memory ran
out: there single pixels differ by a grey level or two.

Which weights and which device are used is a fact of the machine, not a setting of a job: the environment
variables `LOTE_COBRA_MODEL` (a folder) and `LOTE_COBRA_DEVICE` ("cpu" for trying without a GPU) name them.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...exceptions import ImageProcessingError, ResourceError, ValidationError
from ...logging_config import get_logger
from ...messages import Message
from ..base import Colored, PageJob, PageSettings, Progress, Reference, Survey
from ..devices import device_of, no_gpu, not_installed, unless_out_of_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from ...io.images import Page
    from ..painting import Size
    from .shared import Book, Choice, Likeness, Picture

DEVICE = "LOTE_COBRA_DEVICE"
CODE_VERSION = "3"  # change it whenever pixels change
PACKAGES = ("torch", "diffusers", "transformers", "safetensors")

PAGES_TOGETHER = 4  # more fill the GPU no better
# Bytes for one style's networks (1.6 GB) and the largest stage, the enlargement (4.4 GB): see docs/cobra.md.
WORKING = 6_500_000_000
# Of the device's memory beside these: kept keys and values, and those of a batch. The rest is for the
# allocator, which cannot use every gap.
ENTRY_SHARE = 0.5
BATCH_SHARE = 0.4
CPU_ENTRIES = 2 << 30  # bytes of kept keys and values without a GPU
HALO = 2  # pixels of the model's picture within which its own drawing of a line is soft

FLATS = "flats"  # the name in an artefact of what is no reference, see `flats`

log = get_logger(__name__)


@dataclass
class _Part:
    """A part of a page as the host cuts it, mostly all of it, in sRGB; `gray` (H, W) of the size that the model takes, and
    where it lies (rows, columns)."""

    rgb: NDArray[np.uint8]
    digest: str
    gray: NDArray[np.uint8]
    hints: Image | None
    place: tuple[slice, slice]


@dataclass
class _Piece:
    """A part of a page with its references, and its colours once they are there."""

    picture: Picture
    place: tuple[slice, slice]
    colors: NDArray[np.uint8] = field(init=False)


@dataclass(frozen=True)
class _Batch:
    """Pieces in their places of a batch of `width`; a place may be empty."""

    pieces: dict[int, _Piece]
    width: int

    def halves(self) -> list[_Batch]:
        """The same in two batches: what needs half the memory."""
        half = self.width // 2
        halves = [
            _Batch({at - start: one for at, one in self.pieces.items() if 0 <= at - start < width}, width)
            for start, width in ((0, half), (half, self.width - half))
        ]
        return [part for part in halves if part.pieces]


class CobraBackend:
    """Colours line art from many references with the diffusion transformer Cobra."""

    name = "cobra"
    needs_references = True
    exclusive = True

    def __init__(self) -> None:
        self._book: Book | None = None
        self._most = PAGES_TOGETHER  # that memory has allowed so far
        self.hint_colors: dict[int, tuple[int, int, int]] = {}
        """By which hints name the ids of a palette, where there is one."""

    @cached_property
    def version(self) -> str:
        """Version of the code and identity of the weights: "2+3f0c...", without weights "2"."""
        from . import folder

        try:
            return f"{CODE_VERSION}+{folder.identity(folder.find())}"
        except ValidationError:
            return CODE_VERSION

    def unavailable(self) -> Message | None:
        """See the contract. Without a GPU the answer names the variable that allows the CPU."""
        from . import folder

        if absent := not_installed(PACKAGES):
            return absent
        if not os.environ.get(DEVICE) and (reason := no_gpu("Cobra")):
            return Message(
                "{reason} (to try Cobra without one, at many minutes a page, set {variable}=cpu).",
                reason=reason,
                variable=DEVICE,
            )
        try:
            missing = folder.missing_files(folder.find())
        except ValidationError as error:
            return error.sentence
        styles = [part for part in folder.STYLE_FOLDERS.values() if not missing[part]]
        if missing["shared"] or not styles:
            first = [*missing["shared"], *missing["shadow"], *missing["line"]]
            more = Message(" (and {count} files more)", count=len(first) - 1) if len(first) > 1 else ""
            return Message(
                "Cobra's weights are incomplete: {first}{more} `lote models path` says how to get them.",
                first=first[0],
                more=more,
            )
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        """Keep the references as they are, in sRGB: what is learned from one depends on the page's shape."""
        from ..painting import keep_references

        keep_references(references, artefact, progress)

    def load(self, artefact: Path | None) -> None:
        """Load the networks, once per process, and open the references. Keeps what pages before have left."""
        from ..painting import References

        book = self._opened()
        book.references.close()
        book.references = References(artefact, besides=FLATS)

    def color(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Colored:
        """See the contract. ImageProcessingError for hints that do not fit; ResourceError out of memory."""
        (result,) = self.color_many([PageJob(page, settings, hints)], progress)
        if isinstance(result, ImageProcessingError):
            raise result
        return result

    def survey(self, page: Page, settings: PageSettings, progress: Progress) -> Survey:
        """See `Batching`: style, steps, size, the patches found for the page, and how many like it go together."""
        book = self._opened()
        parts = _cut(page, None, book.pipeline.model.architecture.buckets)
        pieces = self._pieces(book, PageJob(page, settings), parts, progress)
        # Of a page in several pieces the first speaks for all, and the page goes by itself.
        picture = pieces[0].picture
        choice = picture.choice
        return {
            "style": picture.style,
            "steps": picture.steps,
            "bucket": list(choice.bucket),
            "groups": [[list(patch) for patch in patches] for patches in choice.groups],
            "together": self._together(book, choice) if len(pieces) == 1 else 1,
        }

    def arrange(self, surveys: Sequence[Survey]) -> list[list[int]]:
        """See `Batching`: batches share a size and as many patches as can be, with the one before too."""
        from .shared import Choice, Likeness, batches

        choices = [
            Choice(
                (survey["bucket"][0], survey["bucket"][1]),
                tuple(tuple((name, number) for name, number in patches) for patches in survey["groups"]),
            )
            for survey in surveys
        ]
        likenesses = [
            Likeness(survey["style"], survey["steps"], choice.bucket, choice.count)
            for survey, choice in zip(surveys, choices, strict=True)
        ]
        return batches(likenesses, choices, [survey["together"] for survey in surveys])

    def color_many(self, jobs: Sequence[PageJob], progress: Progress) -> list[Colored | ImageProcessingError]:
        """See `Batching`. `progress` counts steps of all pages together. ResourceError out of memory."""
        self._opened()
        underway = self.begin(jobs, progress)
        underway.paint(progress)
        return underway.finish(progress)

    def begin(self, jobs: Sequence[PageJob], progress: Progress) -> CobraUnderway:
        """See `Overlapping`: hints are read, pages cut and brought to the sizes that the model takes."""
        from .hints import read_hints

        buckets = self._opened().pipeline.model.architecture.buckets
        underway = CobraUnderway(self, jobs)
        for number, job in enumerate(jobs):
            progress(0, 1)
            height, width = job.page.rgb.shape[:2]
            try:
                hints = read_hints(job.hints, (width, height), self.hint_colors) if job.hints else None
            except ImageProcessingError as error:
                underway.errors[number] = error
            else:
                underway.parts[number] = _cut(job.page, hints, buckets)
        return underway

    def paint(self, underway: CobraUnderway, progress: Progress) -> None:
        """What needs the device: references are looked up, and all parts coloured."""
        from ..painting import Steps

        book, jobs = self._opened(), underway.jobs
        pages = underway.pieces = {
            number: self._pieces(book, jobs[number], parts, progress)
            for number, parts in underway.parts.items()
        }
        underway.parts = {}
        total = sum(piece.picture.work for pieces in pages.values() for piece in pieces)
        done = 0
        waiting = self._batches(book, [(jobs[number].place, pieces) for number, pieces in pages.items()])
        while waiting:
            batch = waiting.pop(0)
            if batch.width > self._most:
                waiting = batch.halves() + waiting
                continue
            pictures = {place: piece.picture for place, piece in batch.pieces.items()}
            made = unless_out_of_memory(
                partial(book.color, pictures, batch.width, Steps(progress, done, total))
            )
            if isinstance(made, BaseException):
                self._with_less(book, batch.width, made)
                waiting.insert(0, batch)
                continue
            for piece, colors in zip(batch.pieces.values(), made, strict=True):
                piece.colors = colors
                done += piece.picture.work

    def _batches(self, book: Book, pages: Sequence[tuple[tuple[int, int], Sequence[_Piece]]]) -> list[_Batch]:
        """What to denoise together: pages in the places they were given, and the pieces of a long page."""
        from .shared import batches

        arranged: dict[tuple[Likeness, int], _Batch] = {}
        result: list[_Batch] = []
        for (place, width), pieces in pages:
            if len(pieces) > 1:
                pictures = [piece.picture for piece in pieces]
                groups = batches(
                    [picture.likeness for picture in pictures],
                    [picture.choice for picture in pictures],
                    [self._together(book, picture.choice) for picture in pictures],
                )
                result += [
                    _Batch({at: pieces[n] for at, n in enumerate(group)}, len(group)) for group in groups
                ]
            elif width > 1:
                kind = (pieces[0].picture.likeness, width)
                arranged.setdefault(kind, _Batch({}, width)).pieces[place] = pieces[0]
            else:
                result.append(_Batch({0: pieces[0]}, 1))
        return [*arranged.values(), *result]

    def _opened(self) -> Book:
        """The book with the networks loaded. ValidationError for wrong weights, ResourceError for memory."""
        if self._book is None:
            from . import folder
            from .pipeline import Pipeline, type_on
            from .shared import Book
            from .weights import open_model

            device = device_of(os.environ.get(DEVICE))
            place = folder.find()
            pipeline = unless_out_of_memory(lambda: Pipeline(open_model(place), device, type_on(device)))
            if isinstance(pipeline, BaseException):
                raise ResourceError(
                    "There is not enough memory on {device} to load Cobra from {place}: close other programs.",
                    device=device,
                    place=place,
                ) from pipeline
            free = _free_bytes(device)
            budget = CPU_ENTRIES if free is None else int(max(0, free - WORKING) * ENTRY_SHARE)
            log.info("Cobra from %s on %s, %d MB for keys and values", place, device, budget >> 20)
            self._book = Book(pipeline, budget)
        return self._book

    def _pieces(self, book: Book, job: PageJob, parts: Sequence[_Part], progress: Progress) -> list[_Piece]:
        """Parts of a page with their references. `progress` only hears that the work goes on."""
        from .shared import Picture

        settings = job.settings
        pieces = []
        for part in parts:
            choose = partial(book.choose, part.rgb, part.digest, settings.top_k, lambda: progress(0, 1))
            while isinstance(choice := unless_out_of_memory(choose), BaseException):
                self._with_less(book, 1, choice)
            picture = Picture(
                part.gray,
                settings.style,
                settings.seed,
                settings.num_inference_steps,
                choice,
                part.hints,
            )
            pieces.append(_Piece(picture, part.place))
        return pieces

    def _together(self, book: Book, choice: Choice) -> int:
        """How many pictures of this kind fit into one batch: a fact of the device, not of what is free now,
        because who shares a batch shows in the last bits of a page."""
        device = book.pipeline.device
        if device.type != "cuda":
            return 1  # a CPU is busy with one; an Apple GPU shares the host's memory
        import torch

        room = (torch.cuda.get_device_properties(device).total_memory - WORKING) * BATCH_SHARE
        shape = book.pipeline.model.architecture.transformer
        tokens = choice.bucket[0] * choice.bucket[1] // 256
        one = (
            2
            * shape.layers
            * shape.width
            * (tokens + choice.count * tokens // 4)
            * book.pipeline.dtype.itemsize
        )
        return max(1, min(PAGES_TOGETHER, int(room) // one))

    def _with_less(self, book: Book, width: int, error: BaseException) -> None:
        """After running out of memory with a batch of `width`: free what is kept, and need less from now on."""
        import torch

        pipeline = book.pipeline
        book.entries.clear()
        if pipeline.device.type == "cuda":
            torch.cuda.empty_cache()
        elif pipeline.device.type == "mps":
            torch.mps.empty_cache()
        if width > 1:
            self._most = width // 2
            step = f"{self._most} pages at a time"
        elif book.entries.budget:
            book.entries.budget = 0
            step = "nothing kept between pages"
        elif not pipeline.tiled:
            pipeline.tiled = True
            step = "super-resolution in bands"
        elif not pipeline.offload:
            pipeline.offload = True
            step = "networks on the host"
        else:
            raise ResourceError(
                "Memory of {device} is too small for this page even piece by piece: lower top_k, close other "
                "programs, or use --backend flats.",
                device=pipeline.device,
            ) from error
        log.warning("Cobra ran out of memory on %s: going on with %s", pipeline.device, step)


@dataclass
class CobraUnderway:
    """Pages on their way, see `Underway`; each in `errors`, in `parts`, or, painted, in `pieces`."""

    backend: CobraBackend
    jobs: Sequence[PageJob]
    errors: dict[int, ImageProcessingError] = field(default_factory=dict)
    parts: dict[int, list[_Part]] = field(default_factory=dict)
    pieces: dict[int, list[_Piece]] = field(default_factory=dict)

    def paint(self, progress: Progress) -> None:
        self.backend.paint(self, progress)

    def finish(self, progress: Progress) -> list[Colored | ImageProcessingError]:
        return [
            self.errors[number] if number in self.errors else _finished(job, self.pieces.pop(number))
            for number, job in enumerate(self.jobs)
        ]


def _cut(page: Page, hints: Image | None, buckets: Sequence[Size]) -> list[_Part]:
    """The parts of a page that the model takes one by one."""
    import numpy as np
    from PIL import Image

    from .. import painting
    from . import preprocess

    rgb = page.srgb()
    parts = []
    for rows, columns in painting.pieces(np.asarray(Image.fromarray(rgb).convert("L"))):
        part = np.ascontiguousarray(rgb[rows, columns])
        height, width = part.shape[:2]
        bucket = painting.choose_bucket((width, height), buckets)
        box = (columns.start, rows.start, columns.stop, rows.stop)
        parts.append(
            _Part(
                part,
                hashlib.sha256(part.data).hexdigest() + "x".join(map(str, part.shape)),
                np.asarray(preprocess.resized(Image.fromarray(part), bucket).convert("L")),
                None if hints is None else hints.crop(box),
                (rows, columns),
            )
        )
    return parts


def _finished(job: PageJob, pieces: Sequence[_Piece]) -> Colored:
    """The page at its own size from its coloured pieces."""
    import numpy as np
    from PIL import Image

    from ...io.profiles import from_srgb
    from .. import painting

    resized, reach = [], 1
    for piece in pieces:
        rows, columns = piece.place
        size = (columns.stop - columns.start, rows.stop - rows.start)
        resized.append(np.asarray(Image.fromarray(piece.colors).resize(size, Image.Resampling.LANCZOS)))
        scale = max(size[0] / piece.colors.shape[1], size[1] / piece.colors.shape[0])
        reach = max(reach, math.ceil(HALO * scale))
    joined = painting.join(resized, [piece.place for piece in pieces])
    rgb = from_srgb(joined, job.page.icc)
    if job.settings.keep_ink:
        gray = np.asarray(Image.fromarray(job.page.rgb).convert("L"))
        rgb = painting.keep_ink(rgb, job.page.rgb, gray, reach)
    choices = [piece.picture.choice for piece in pieces]
    used = Counter(name for choice in choices for _, (name, _) in choice.placed())
    details = {
        "sizes": [list(choice.bucket) for choice in choices],
        "references": dict(sorted(used.items(), key=lambda item: (-item[1], item[0]))),
    }
    return Colored(rgb, details=details)


def _free_bytes(device: Any) -> int | None:
    """Free memory of a GPU; None where that is no separate thing."""
    if device.type != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free)
