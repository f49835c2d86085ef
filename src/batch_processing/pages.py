"""What a worker does with one page: examine it, learn references, colour it, bind the archive.

Each function here is a task: it is called in an isolated child as `function(progress, **args)` with
plain values and gives back a dict of plain values. None of them knows the ledger, and each writes
only to the `part` it is given.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from .exceptions import ImageProcessingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .backends.base import Backend, Coloured, PageJob, Progress
    from .io.images import OutputFormat, Page
    from .io.layers import LayerFormat

    DocumentKind = LayerFormat | Literal["png", "json"]

# Longest side in pixels and bytes of each of a page's two pictures in the report. In base64 the two are
# 96 KB: with its text, a page adds less than 100 KB to the report.
PICTURE = (640, 36_000)
# A contact sheet has about this many pixels, and a cell is this wide in pixels, at least and at most.
SHEET_PIXELS = 12_000_000
SHEET_CELL = (32, 320)

# The backend that this worker has made ready, and for what.
_ready: tuple[tuple[str, str | None, str], Backend] | None = None


def examine(progress: Progress, *, path: str, classify: bool) -> dict[str, Any]:
    """Hash an image, read its header, and tell line art from coloured pages.

    An image that cannot be read is no failure of the task: its facts hold "error"."""
    from .io.images import probe
    from .io.outputs import hash_file

    facts: dict[str, Any] = {}
    try:
        sha256 = hash_file(Path(path))
    except OSError as error:
        return {"sha256": None, "facts": {"error": f"cannot be read: {error.strerror}"}}
    try:
        info = probe(Path(path))
        facts |= {"format": info.format, "width": info.width, "height": info.height}
        if classify:
            from .classification import ImageClassifier

            kind = ImageClassifier().classify(path)
            facts |= {"kind": kind.type, "confidence": kind.confidence, "metrics": kind.metrics}
    except ImageProcessingError as error:
        facts["error"] = error.message
    return {"sha256": sha256, "facts": facts}


def learn(
    progress: Progress,
    *,
    backend: str,
    references: list[tuple[str, str]],
    settings: dict[str, Any],
    artefact: str,
) -> dict[str, Any]:
    """Have the backend learn references, (path, SHA-256) each, into the new file `artefact`."""
    from .backends import create
    from .backends.base import PageSettings, Reference
    from .io.outputs import fsync_dir, part_path, publish

    target = Path(artefact)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target, "learning")  # one writer: the holder of the lock; a killed one's is overwritten
    try:
        create(backend).prepare(
            [Reference(Path(path), sha256) for path, sha256 in references],
            part,
            PageSettings(**settings),
            progress,
        )
        publish(part, target)
        fsync_dir(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return {}


def remember(
    progress: Progress,
    *,
    source: str,
    name: str,
    backend: str,
    artefact: str | None,
    settings: dict[str, Any],
    hints: str | None,
    state: str,
    ids: dict[str, Any],
    approved: bool,
    part: str,
) -> dict[str, Any]:
    """Write what can be learned from a finished page to the file `part`; the others as in `Work`."""
    from .backends.base import PageSettings, Recolouring
    from .io.images import decode
    from .io.outputs import write_part

    painter = _backend(backend, artefact, ids)
    assert isinstance(painter, Recolouring)  # noqa: S101 - whoever plans asks no other
    page = decode(Path(source))
    known = Path(state)
    learned: bytes | None = None
    if known.exists():
        with contextlib.suppress(ValueError):  # a damaged one
            learned = painter.remember(page, known.read_bytes(), approved=approved)
    if learned is None:
        where = Path(hints) if hints else None
        found = painter.colour(page, PageSettings(**settings), where, progress).state
        learned = painter.remember(page, found, approved=approved)
    return {"sha256": write_part(Path(part), lambda file: file.write(learned))}


def gather(progress: Progress, *, backend: str, remembered: list[str], artefact: str) -> dict[str, Any]:
    """Make what the pages taught, files of `remember`, into the new file `artefact`."""
    from .backends import create
    from .backends.base import Recolouring
    from .io.outputs import fsync_dir, hash_file, part_path, publish

    painter = create(backend)
    assert isinstance(painter, Recolouring)  # noqa: S101 - as above
    target = Path(artefact)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target, "gathering")  # one writer: the holder of the lock
    try:
        regions = painter.gather([Path(path) for path in remembered], part)
        sha256 = hash_file(part)
        publish(part, target)
        fsync_dir(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return {"sha256": sha256, "regions": regions}


@dataclass(frozen=True)
class Work:
    """One page to colour: the image `source` into the file `part`. `name` is what people call the page.

    `state` is a file that keeps what the backend found out about this page: where it is there, the page
    is only drawn again. `palette` are colours (id to RGB) in place of the references' own; `ids` says how
    these are numbered, in the words of `Recolouring.adopt`. `place` is the one that the page has among those
    it is coloured with.

    `documents` are layered files to write as well: (kind, target, file that remembers what was written)
    each. They are final before the page is: a page that is done has its documents. `names` are what a person
    calls palette ids there.

    `pictures` are the folder of the report's pictures, and the page's hash: both of the page's are drawn
    where its pixels are at hand. No link may lead the page out of `root`, nor its documents out of
    `documents_root`."""

    source: str
    name: str
    part: str
    backend: str
    artefact: str | None
    settings: dict[str, Any]
    hints: str | None
    format: OutputFormat
    documents: list[tuple[DocumentKind, str, str]]
    names: dict[str, str]
    state: str
    palette: dict[str, list[int]]
    ids: dict[str, Any]
    place: list[int] | None
    pictures: tuple[str, str]
    root: str
    documents_root: str

    def job(self) -> PageJob:
        """The page as a backend is given it. ImageProcessingError if it cannot be read."""
        from .backends.base import PageJob, PageSettings
        from .io.images import decode

        place, width = self.place or (0, 1)
        hints = Path(self.hints) if self.hints else None
        return PageJob(decode(Path(self.source)), PageSettings(**self.settings), hints, (place, width))


def survey(
    progress: Progress, *, source: str, backend: str, artefact: str | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """What a backend that takes several pages at once must know of one to `arrange` it."""
    from .backends.base import Batching, PageSettings
    from .io.images import decode

    painter = _backend(backend, artefact, {})
    assert isinstance(painter, Batching)  # noqa: S101 - nobody asks another
    return painter.survey(decode(Path(source)), PageSettings(**settings), progress)


def arrange(progress: Progress, *, backend: str, surveys: list[dict[str, Any]]) -> dict[str, Any]:
    """Which of the surveyed pages, by number, to colour together, and in which order: "batches"."""
    from .backends import create
    from .backends.base import Batching

    painter = create(backend)
    assert isinstance(painter, Batching)  # noqa: S101
    return {"batches": painter.arrange(surveys)}


def colour(progress: Progress, **work: Any) -> dict[str, Any]:
    """Colour the page of one `Work`."""
    (result,) = colour_together(progress, [work])
    if isinstance(result, ImageProcessingError):
        raise result
    return result


def colour_together(
    progress: Progress, works: list[dict[str, Any]]
) -> list[dict[str, Any] | ImageProcessingError]:
    """Colour pages of one backend and artefact, at once where the backend can; for each what `colour` gives,
    or its error."""
    pages = [Work(**work) for work in works]
    painter = _backend(pages[0].backend, pages[0].artefact, pages[0].ids)
    found: dict[int, Coloured | ImageProcessingError] = {}
    jobs: dict[int, PageJob] = {}
    for number, page in enumerate(pages):
        try:
            jobs[number] = page.job()
        except ImageProcessingError as error:
            found[number] = error
    found |= zip(jobs, _coloured(painter, pages, jobs, progress), strict=True)
    results: list[dict[str, Any] | ImageProcessingError] = []
    for number, page in enumerate(pages):
        result = found[number]
        if isinstance(result, ImageProcessingError):
            results.append(_named(result, page))
        else:
            results.append(_written(page, jobs[number].page, result))
    return results


def _named(error: ImageProcessingError, page: Work) -> ImageProcessingError:
    """The error under the name that people know the page by."""
    named = ImageProcessingError(page.name, error.message)
    named.__cause__ = error
    return named


def _coloured(
    painter: Backend, pages: Sequence[Work], jobs: Mapping[int, PageJob], progress: Progress
) -> list[Coloured | ImageProcessingError]:
    from .backends.base import Batching

    if isinstance(painter, Batching):
        return painter.colour_many(list(jobs.values()), progress) if jobs else []
    results: list[Coloured | ImageProcessingError] = []
    for number, job in jobs.items():
        try:
            results.append(_drawn(painter, pages[number], job, progress))
        except ImageProcessingError as error:
            results.append(error)
    return results


def _drawn(painter: Backend, work: Work, job: PageJob, progress: Progress) -> Coloured:
    """The page by a backend that takes one at a time; from what is known of it, where it can be."""
    from .backends.base import Recolouring
    from .io.outputs import SaveFile

    state = Path(work.state)
    colours = {int(number): (rgb[0], rgb[1], rgb[2]) for number, rgb in work.palette.items()}
    if isinstance(painter, Recolouring) and state.exists():
        os.utime(state)  # the cache keeps what was used last
        with contextlib.suppress(ValueError):  # a damaged one: it was only to save time
            return painter.recolour(job.page, state.read_bytes(), colours, job.settings)
    coloured = painter.colour(job.page, job.settings, job.hints, progress)
    if isinstance(painter, Recolouring) and coloured.state:
        with SaveFile(state) as file:
            file.write(coloured.state)
        if colours:
            return painter.recolour(job.page, coloured.state, colours, job.settings)
    return coloured


def _written(work: Work, page: Page, coloured: Coloured) -> dict[str, Any]:
    """Write the coloured page and its documents."""
    from .io.images import encode
    from .io.outputs import write_part

    pixels = _like_input(coloured.rgb, page, work.format)
    write = partial(encode, pixels, format=work.format, dpi=page.dpi, icc=page.icc)
    sha256 = write_part(Path(work.part), write, within=Path(work.root))
    details = {"confidence": round(coloured.confidence, 4), **coloured.details}
    kept = [
        target
        for kind, target, record in work.documents
        if not _write_document(
            kind, Path(target), Path(record), page, coloured, work.names, Path(work.documents_root)
        )
    ]
    if kept:
        details["kept_documents"] = kept
    folder, page_hash = Path(work.pictures[0]), work.pictures[1]
    with contextlib.suppress(OSError):  # a page needs no picture: the report tries again, and says why not
        _draw(page.rgb, picture_of_source(folder, page_hash), *PICTURE)
        _draw(coloured.rgb, picture_of_output(folder, sha256, Path(work.part).stat()), *PICTURE)
    return {"sha256": sha256, "details": details}


def picture_of_source(folder: Path, sha256: str) -> Path:
    """The report's picture of an image of the input, in the folder of a job's pictures."""
    return folder / f"{sha256}.webp"


def picture_of_output(folder: Path, sha256: str, stat: os.stat_result) -> Path:
    """The report's picture of a coloured page. Time and size are part of the name, and a rename keeps
    them: a page that was edited by hand since is shown as it is now."""
    return folder / f"{sha256}-{stat.st_size}-{stat.st_mtime_ns}.webp"


def _write_document(
    kind: DocumentKind,
    target: Path,
    record: Path,
    page: Page,
    coloured: Coloured,
    names: Mapping[str, str],
    root: Path,
) -> bool:
    """Write a page's editable document: layered, in 16 bit where the page has it; its flats alone (png); its regions
    (json). False, and nothing done, where another stands there: a person has changed ours. `names` are what a
    person calls palette ids.

    A backend that knows no layers gets a document of two: the page as it was, and its colours above."""
    import numpy as np

    from .backends.base import Layer
    from .io.layers import write_flats, write_layers
    from .io.outputs import (
        Claim,
        SaveFile,
        fsync_dir,
        metadata_json,
        part_path,
        publish,
        standing,
        write_part,
    )

    known = record.read_text().split() if record.exists() else []

    def opaque(rgb: NDArray[Any]) -> NDArray[Any]:
        full = np.iinfo(rgb.dtype).max
        return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), full, rgb.dtype)], axis=2)

    merged = _like_input(coloured.rgb, page, "png")
    own = page.rgb if page.native is None else page.native
    layers = coloured.layers or [
        Layer("Page", opaque(page.rgb), own=True),
        Layer("Colours", opaque(coloured.rgb)),
    ]
    for layer in layers:
        if layer.colour is not None:
            layer.name = names.get(str(layer.colour), layer.name)
        if merged.dtype == np.uint16 and layer.own:
            layer.pixels = own if own.ndim == 2 else opaque(own)
    # Always the same name: what a killed run left is overwritten by the next.
    part = part_path(target, "document")
    if kind == "json":
        regions = metadata_json({"size": merged.shape[1::-1], "regions": coloured.details.get("regions", [])})
        sha256 = write_part(part, lambda file: file.write(regions), within=root)
    elif kind == "png":
        flats = [layer for layer in layers if not layer.own]
        colours = [(colour["id"], tuple(colour["rgb"])) for colour in coloured.details.get("palette", ())]
        size = merged.shape[0], merged.shape[1]
        draw: Callable[[BinaryIO], object] = lambda file: write_flats(  # noqa: E731
            file, flats, size, colours, page.dpi, page.icc
        )
        sha256 = write_part(part, draw, within=root)
    else:
        draw = lambda file: write_layers(file, kind, layers, merged, page.dpi, page.icc)  # noqa: E731
        sha256 = write_part(part, draw, within=root)
    if standing(target) not in {None, sha256, *known}:
        part.unlink()
        return False
    with SaveFile(record) as file:  # before the rename: a kill in between must not make it a stranger's
        file.write("\n".join([*known[-1:], sha256]).encode())
    try:
        publish(part, target, Claim(root, frozenset(known)))
    except FileExistsError:
        part.unlink()
        return False
    fsync_dir(target.parent)
    return True


def _backend(name: str, artefact: str | None, ids: dict[str, Any]) -> Backend:
    """The backend, with what it learned loaded; kept from page to page."""
    global _ready  # noqa: PLW0603 - a worker has one backend for its life
    wanted = (name, artefact, json.dumps(ids, sort_keys=True))
    if _ready is None or _ready[0] != wanted:
        from .backends import create
        from .backends.base import PaletteColour, Recolouring

        backend = _ready[1] if _ready is not None and _ready[0][0] == name else create(name)
        backend.load(Path(artefact) if artefact else None)
        if isinstance(backend, Recolouring):
            given = [
                PaletteColour(
                    colour["id"], tuple(colour["rgb"]), colour["reference"] and tuple(colour["reference"])
                )
                for colour in ids["given"]
            ]
            first = Path(ids["first"]) if ids["first"] else None
            memory = Path(ids["memory"]) if ids["memory"] else None
            backend.adopt(given, single=ids["single"], first=first, memory=memory)
        _ready = (wanted, backend)
    return _ready[1]


def _like_input(rgb: NDArray[np.uint8], page: Page, format: OutputFormat) -> NDArray[Any]:  # noqa: A002
    """16 bit again where the page had it and the format can hold it, line pixels exact."""
    import numpy as np

    if page.bit_depth != 16 or page.native is None or format not in ("png", "tif"):
        return rgb
    wide = rgb.astype(np.uint16) * 257
    native = page.native if page.native.ndim == 3 else page.native[:, :, None]
    untouched = (rgb == page.rgb).all(axis=2)
    wide[untouched] = np.broadcast_to(native, wide.shape)[untouched]
    return wide


def bind(progress: Progress, *, part: str, listing: str, root: str) -> dict[str, Any]:
    """Write a ZIP to `part`, below `root`. `listing` is a file with one JSON array a line: [name, path]."""
    from .io.outputs import write_zip

    with Path(listing).open(encoding="utf-8") as file:
        total = sum(1 for _ in file)

    def members() -> Iterator[tuple[str, Path | bytes]]:
        with Path(listing).open(encoding="utf-8") as file:
            for done, line in enumerate(file):
                name, path = json.loads(line)
                progress(done, total)
                yield name, Path(path)

    return {"sha256": write_zip(Path(part), members(), within=Path(root)), "details": {}}


def thumbnails(progress: Progress, *, images: list[tuple[str, str, int, int]]) -> dict[str, Any]:
    """Draw small pictures: (image, target, longest side in pixels, most bytes) each.

    An image that cannot be read gets none."""
    for done, (source, target, longest, limit) in enumerate(images):
        progress(done, len(images))
        with contextlib.suppress(ImageProcessingError):
            _draw(Path(source), Path(target), longest, limit)
    return {}


def _draw(image: Path | NDArray[np.uint8], target: Path, longest: int, limit: int) -> None:
    """A small picture in the cache: whole when it is there, but nothing waits for the disk. Should the
    power fail it may come out empty, and is drawn again."""
    from .io.images import thumbnail
    from .io.outputs import part_path, publish

    if target.exists() and target.stat().st_size:
        return
    part = part_path(target, str(os.getpid()))
    try:
        part.write_bytes(thumbnail(image, longest, limit))
        publish(part, target)
    finally:
        part.unlink(missing_ok=True)


def crops(
    progress: Progress, *, path: str, crops: list[tuple[tuple[int, int, int, int], str, int, int]]
) -> dict[str, Any]:
    """Cut regions out of a page, framed and with some of what is around them: ((x0, y0, x1, y1), target,
    longest side in pixels, most bytes) each."""
    import numpy as np
    from PIL import Image, ImageDraw

    from .io.images import decode

    rgb = decode(Path(path)).rgb
    height, width = rgb.shape[:2]
    for done, ((x0, y0, x1, y1), target, longest, limit) in enumerate(crops):
        progress(done, len(crops))
        margin = max(x1 - x0, y1 - y0, 64) // 2
        left, top = max(0, x0 - margin), max(0, y0 - margin)
        part = rgb[top : min(height, y1 + margin), left : min(width, x1 + margin)]
        if not part.size:
            continue
        picture = Image.fromarray(part)
        pen = 1 + max(picture.size) // 100
        frame = (x0 - left - pen, y0 - top - pen, x1 - left + pen - 1, y1 - top + pen - 1)
        ImageDraw.Draw(picture).rectangle(frame, outline=(214, 0, 110), width=pen)
        _draw(np.asarray(picture), Path(target), longest, limit)
    return {}


def contact_sheet(progress: Progress, *, listing: str, part: str, root: str) -> dict[str, Any]:
    """Lay small pictures out on one PNG, `part`, below `root`. `listing` is a file with one JSON array a line: [picture or "",
    state]; what has failed is framed in red."""
    from PIL import Image, ImageDraw, ImageFont

    from .io.outputs import write_part

    with Path(listing).open(encoding="utf-8") as file:
        count = sum(1 for _ in file)
    # Cells in the proportions of a page; the sheet a little wider than high, and of about as many pixels
    # whatever the number of pages.
    wide = min(SHEET_CELL[1], max(SHEET_CELL[0], math.isqrt(int(SHEET_PIXELS / 1.6 / max(1, count)))))
    gap, line = wide // 16 + 2, wide // 12 + 8
    high = wide * 7 // 5
    columns = max(1, min(count, math.ceil(math.sqrt(count * 1.6 * 4 / 3))))
    rows = -(-count // columns)
    sheet = Image.new(
        "RGB", (columns * (wide + gap) + gap, rows * (high + line + gap) + gap), (246, 244, 239)
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(line * 0.75)
    with Path(listing).open(encoding="utf-8") as file:
        for at, text in enumerate(file):
            progress(at, count)
            picture, state = json.loads(text)
            x, y = gap + at % columns * (wide + gap), gap + at // columns * (high + line + gap)
            box = (x, y, x + wide - 1, y + high - 1)
            if picture and Path(picture).is_file():
                with Image.open(picture) as opened:
                    small = opened.convert("RGB")
                small.thumbnail((wide, high), Image.Resampling.BOX)
                left, top = x + (wide - small.width) // 2, y + (high - small.height) // 2
                sheet.paste(small, (left, top))
                box = (left, top, left + small.width - 1, top + small.height - 1)
            failed = state == "failed"
            draw.rectangle(
                box, outline=(179, 38, 30) if failed else (200, 194, 182), width=3 if failed else 1
            )
            draw.text(
                (x + wide // 2, y + high + line // 2), str(at + 1), (90, 85, 78), font=font, anchor="mm"
            )
    return {"sha256": write_part(Path(part), lambda file: sheet.save(file, "PNG"), within=Path(root))}


def copy(progress: Progress, *, source: str, part: str, root: str) -> dict[str, Any]:
    """Copy a file byte for byte to `part`, below `root`."""
    from .io.outputs import write_part
    from .reading import open_regular

    def write(target: Any) -> None:
        with open_regular(Path(source)) as file:
            while chunk := file.read(1 << 20):
                target.write(chunk)
                progress(0, 1)

    return {"sha256": write_part(Path(part), write, within=Path(root)), "details": {}}


def fingerprint(**parts: Any) -> str:
    """A digest of plain values: the same values, the same digest, in every process and release."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def matches(key: str, patterns: tuple[str, ...] | list[str]) -> bool:
    """Whether a page's relative path, or its name alone, fits one of the glob patterns."""
    name = key.rpartition("/")[2]
    return any(fnmatch.fnmatch(key, pattern) or fnmatch.fnmatch(name, pattern) for pattern in patterns)
