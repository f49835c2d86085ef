"""The Cobra backend: the contract of `backends.base`, with `Batching`.

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
import importlib.metadata
import importlib.util
import io
import math
import os
import platform
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...exceptions import ImageProcessingError, ResourceError, ValidationError
from ...logging_config import get_logger
from ..base import Coloured, PageJob, PageSettings, Progress, Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...io.images import Page
    from .book import Book, Choice, Likeness, Picture

DEVICE = "LOTE_COBRA_DEVICE"
CODE_VERSION = "1"  # change it whenever pixels change
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

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can hold: the artefact depends on no clock

T = TypeVar("T")

log = get_logger(__name__)


@dataclass
class _Piece:
    """A part of a page, mostly all of it: where it lies (rows, columns), and its colours once they are there."""

    picture: Picture
    place: tuple[slice, slice]
    colours: NDArray[np.uint8] = field(init=False)


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

    @cached_property
    def version(self) -> str:
        """Version of the code and identity of the weights: "1+3f0c...", without weights "1"."""
        from . import folder

        try:
            return f"{CODE_VERSION}+{folder.identity(folder.find())}"
        except ValidationError:
            return CODE_VERSION

    def unavailable(self) -> str | None:
        """See the contract. Without a GPU the answer names the variable that allows the CPU."""
        from . import folder

        absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if absent:
            return f"{', '.join(absent)} not installed: pip install 'lote[cobra]'."
        if not os.environ.get(DEVICE) and (reason := _no_gpu()):
            return f"{reason} (to try Cobra without one, at many minutes a page, set {DEVICE}=cpu)."
        try:
            missing = folder.missing_files(folder.find())
        except ValidationError as error:
            return str(error)
        styles = [part for part in folder.STYLE_FOLDERS.values() if not missing[part]]
        if missing["shared"] or not styles:
            first = [*missing["shared"], *missing["shadow"], *missing["line"]]
            more = f" (and {len(first) - 1} files more)" if len(first) > 1 else ""
            return (
                f"Cobra's weights are incomplete: {first[0]}{more} `lote models path` says how to get them."
            )
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        """Keep the references as they are, in sRGB: what is learned from one depends on the page's shape."""
        from PIL import Image

        from ...io.images import decode
        from .preprocess import to_srgb

        unique = {reference.sha256: reference for reference in references}
        with zipfile.ZipFile(artefact, "w", zipfile.ZIP_STORED) as archive:
            for done, (sha256, reference) in enumerate(unique.items()):
                progress(done, len(unique))
                page = decode(reference.path)
                written = io.BytesIO()
                Image.fromarray(to_srgb(page.rgb, page.icc)).save(written, "PNG", compress_level=1)
                archive.writestr(zipfile.ZipInfo(sha256, _ZIP_TIME), written.getvalue())

    def load(self, artefact: Path | None) -> None:
        """Load the networks, once per process, and open the references. Keeps what pages before have left."""
        from .book import References

        book = self._opened()
        book.references.close()
        book.references = References(artefact)

    def colour(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Coloured:
        """See the contract. ImageProcessingError for hints that do not fit; ResourceError out of memory."""
        (result,) = self.colour_many([PageJob(page, settings, hints)], progress)
        if isinstance(result, ImageProcessingError):
            raise result
        return result

    def survey(self, page: Page, settings: PageSettings, progress: Progress) -> dict[str, Any]:
        """See `Batching`: style, steps, size, the patches found for the page, and how many like it go together."""
        book = self._opened()
        pieces = self._pieces(book, PageJob(page, settings), None, progress)
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

    def arrange(self, surveys: Sequence[dict[str, Any]]) -> list[list[int]]:
        """See `Batching`: batches share a size and as many patches as can be, with the one before too."""
        from .book import Choice, Likeness, batches

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

    def colour_many(
        self, jobs: Sequence[PageJob], progress: Progress
    ) -> list[Coloured | ImageProcessingError]:
        """See `Batching`. `progress` counts steps of all pages together. ResourceError out of memory."""
        from .hints import read_hints

        book = self._opened()
        errors: dict[int, ImageProcessingError] = {}
        pages: dict[int, list[_Piece]] = {}
        for number, job in enumerate(jobs):
            height, width = job.page.rgb.shape[:2]
            try:
                hints = read_hints(job.hints, (width, height)) if job.hints else None
            except ImageProcessingError as error:
                errors[number] = error
            else:
                pages[number] = self._pieces(book, job, hints, progress)
        total = sum(piece.picture.work for pieces in pages.values() for piece in pieces)
        done = 0
        waiting = self._batches(book, [(jobs[number].place, pieces) for number, pieces in pages.items()])
        while waiting:
            batch = waiting.pop(0)
            if batch.width > self._most:
                waiting = batch.halves() + waiting
                continue
            pictures = {place: piece.picture for place, piece in batch.pieces.items()}
            made = _unless_out_of_memory(
                partial(book.colour, pictures, batch.width, _Steps(progress, done, total))
            )
            if isinstance(made, BaseException):
                self._with_less(book, batch.width, made)
                waiting.insert(0, batch)
                continue
            for piece, colours in zip(batch.pieces.values(), made, strict=True):
                piece.colours = colours
                done += piece.picture.work
        return [
            errors[number] if number in errors else _finished(job, pages[number])
            for number, job in enumerate(jobs)
        ]

    def _batches(self, book: Book, pages: Sequence[tuple[tuple[int, int], Sequence[_Piece]]]) -> list[_Batch]:
        """What to denoise together: pages in the places they were given, and the pieces of a long page."""
        from .book import batches

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
            from .book import Book
            from .pipeline import Pipeline, device_and_type
            from .weights import open_model

            device, dtype = device_and_type(os.environ.get(DEVICE))
            place = folder.find()
            pipeline = _unless_out_of_memory(lambda: Pipeline(open_model(place), device, dtype))
            if isinstance(pipeline, BaseException):
                raise ResourceError(
                    f"There is not enough memory on {device} to load Cobra from {place}: close other programs."
                ) from pipeline
            free = _free_bytes(device)
            budget = CPU_ENTRIES if free is None else int(max(0, free - WORKING) * ENTRY_SHARE)
            log.info("Cobra from %s on %s, %d MB for keys and values", place, device, budget >> 20)
            self._book = Book(pipeline, budget)
        return self._book

    def _pieces(self, book: Book, job: PageJob, hints: Any, progress: Progress) -> list[_Piece]:
        """The pieces of a page, with their references. `progress` only hears that the work goes on."""
        import numpy as np
        from PIL import Image

        from . import preprocess
        from .book import Picture

        settings = job.settings
        rgb = preprocess.to_srgb(job.page.rgb, job.page.icc)
        grey = np.asarray(Image.fromarray(rgb).convert("L"))
        pieces = []
        for rows, columns in preprocess.pieces(grey):
            part = np.ascontiguousarray(rgb[rows, columns])
            digest = hashlib.sha256(part.data).hexdigest() + "x".join(map(str, part.shape))
            choose = partial(book.choose, part, digest, settings.top_k, lambda: progress(0, 1))
            while isinstance(choice := _unless_out_of_memory(choose), BaseException):
                self._with_less(book, 1, choice)
            picture = Picture(
                part,
                settings.style,
                settings.seed,
                settings.num_inference_steps,
                choice,
                None if hints is None else hints.crop((columns.start, rows.start, columns.stop, rows.stop)),
            )
            pieces.append(_Piece(picture, (rows, columns)))
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
                f"Memory of {pipeline.device} is too small for this page even piece by piece: "
                "lower top_k, close other programs, or use --backend flats."
            ) from error
        log.warning("Cobra ran out of memory on %s: going on with %s", pipeline.device, step)


def _unless_out_of_memory(work: Callable[[], T]) -> T | BaseException:
    """What `work` gives, or the error by which it ran out of memory; other errors pass.

    The error comes without the frames it rose through: they hold the very tensors that are to be freed."""
    from .pipeline import is_out_of_memory

    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = error.__context__ = None
        return error


class _Steps:
    """Reports the work of a batch, on top of what was done before it."""

    def __init__(self, progress: Progress, start: int, total: int) -> None:
        self._progress, self._done, self._total = progress, start, total

    def __call__(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def _finished(job: PageJob, pieces: Sequence[_Piece]) -> Coloured:
    """The page at its own size from its coloured pieces."""
    import numpy as np
    from PIL import Image

    from . import preprocess

    resized, reach = [], 1
    for piece in pieces:
        rows, columns = piece.place
        size = (columns.stop - columns.start, rows.stop - rows.start)
        resized.append(np.asarray(Image.fromarray(piece.colours).resize(size, Image.Resampling.LANCZOS)))
        scale = max(size[0] / piece.colours.shape[1], size[1] / piece.colours.shape[0])
        reach = max(reach, math.ceil(HALO * scale))
    joined = preprocess.join(resized, [piece.place for piece in pieces])
    rgb = preprocess.from_srgb(joined, job.page.icc)
    if job.settings.keep_ink:
        grey = np.asarray(Image.fromarray(job.page.rgb).convert("L"))
        rgb = preprocess.keep_ink(rgb, job.page.rgb, grey, reach)
    choices = [piece.picture.choice for piece in pieces]
    used = Counter(name for choice in choices for _, (name, _) in choice.placed())
    details = {
        "sizes": [list(choice.bucket) for choice in choices],
        "references": dict(sorted(used.items(), key=lambda item: (-item[1], item[0]))),
    }
    return Coloured(rgb, details=details)


def _free_bytes(device: Any) -> int | None:
    """Free memory of a GPU; None where that is no separate thing."""
    if device.type != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def _no_gpu() -> str | None:
    """Why there is no GPU that torch can use, as far as that can be told without importing torch."""
    if platform.system() == "Darwin":
        return None if platform.machine() == "arm64" else "Cobra needs a Mac with Apple silicon"
    if importlib.metadata.version("torch").endswith("+cpu"):
        return "Cobra needs a GPU, and the torch installed here is built without GPU support"
    none = "Cobra needs a GPU, and none was found"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "Cobra needs a GPU, and CUDA_VISIBLE_DEVICES hides all"
    if Path("/dev/kfd").exists():  # AMD
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except ImportError:
        return None if Path("/dev/nvidia0").exists() else none
    except pynvml.NVMLError:
        count = 0
    return None if count else none
