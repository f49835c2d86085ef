"""A chapter before it is a job: what was dropped or named, what each image is, what a person changed.

Promises: everything lives in `uploads/<draft>/` of the workspace, so that a reload or a crash of the page
loses nothing; nothing outside that folder is written; a draft is known by an unguessable name that one tab
of a browser holds, so that two people never see each other's selections. Images are looked at in a worker
process, because what strangers' files contain is decoded there, and only those that are in the folders that
the page may use, after every link. All uploads together have a quota; one that breaks off leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from ...colorize import WORKER_MEMORY
from ...comics import palette
from ...comics.application import examined
from ...comics.model import ImageFacts, facts_of
from ...comics.sources import Found, by_reason, find_sources
from ...comics.tasks import Examine
from ...core.model import Source
from ...core.plain import from_plain, to_plain
from ...core.workers import LocalPool, Result, Task
from ...core.workspace import Workspace
from ...exceptions import BatchProcessingError, ResourceError, ValidationError, reason
from ...io.kinds import BOOK_SUFFIXES, Reason
from ...io.publish import SaveFile
from ...io.scan import SUPPORTED_IMAGE_FORMATS
from ...messages import Message
from ..sample import SAMPLE
from .paths import ConfigFile, Roots, Settings

# 122 random bits, as `crypto.randomUUID` gives them.
NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# Bytes of one uploaded file. A scanned volume of 200 pages at 600 dpi has some 3 GB.
UPLOAD_LIMIT = 4 << 30
# Bytes that everything below `uploads` may take together, what was unpacked and the results with it.
UPLOAD_QUOTA = 64 << 30
# An image that takes longer than this to look at is not worth waiting for (seconds).
LOOK_TIMEOUT = 60.0
ABANDONED = 600.0  # seconds after which nobody writes on at half an upload
DRAFTS_OPEN = 500  # drafts held in memory; more are read again from the disk
BEST = 0.7  # confidence from which "best" takes a reference, as `ReferencePreviewGallery` has it
ROLES = ("page", "reference")
PALETTE = Path("palette.json")
"""In a draft's folder: that of the series."""


@dataclass
class Picture:
    """One image of a draft. `facts` is None until it was looked at."""

    source: Source
    facts: ImageFacts | None = None

    @property
    def key(self) -> str:
        return self.source.key

    @property
    def error(self) -> Message | None:
        return self.facts.error if self.facts else None

    @property
    def confidence(self) -> float:
        return self.facts.confidence if self.facts and self.facts.kind else 0.0


@dataclass(frozen=True)
class OwnSettings:
    """Settings of one page; None is what it takes from the chapter. `reference_images` are paths."""

    style: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    top_k: int | None = None
    priority: int | None = None
    reference_images: list[str] | None = None

    def told(self) -> Settings:
        """What is set, as a configuration file has it."""
        return {name: value for name, value in to_plain(self).items() if value is not None}


@dataclass
class Decided:
    """What a person has decided about a chapter, as `draft.json` keeps it: `inputs` are absolute paths in the order
    in which they were given, `roles` and `pages` go by key, `off` are keys of references that are not ticked. `sample`: the
    one of the inputs that is the sample chapter, "" where none is."""

    inputs: list[str] = field(default_factory=list)
    recursive: bool = False
    roles: dict[str, str] = field(default_factory=dict)
    off: list[str] = field(default_factory=list)
    pages: dict[str, OwnSettings] = field(default_factory=dict)
    sort: str = "order"
    sample: str = ""


class Draft:
    """One chapter being put together. Methods may be called from any thread."""

    def __init__(self, folder: Path, roots: Roots, quota: Quota) -> None:
        self.folder = folder
        self._roots, self._quota = roots, quota
        self.pictures: list[Picture] = []
        self.problems: list[Message] = []
        self.left_out: list[Message] = []  # what of the inputs is no image, in words
        self.busy = False
        self.version = 0
        self._lock = threading.RLock()
        self._look = 0
        self._facts: dict[str, ImageFacts] = {}
        self._said = Decided()
        with contextlib.suppress(OSError, ValueError):
            self._said = from_plain(Decided, json.loads((folder / "draft.json").read_text(encoding="utf-8")))
        with contextlib.suppress(OSError, ValueError):
            known = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
            self._facts = {key: from_plain(ImageFacts, facts) for key, facts in known.items()}
        if self.inputs:
            self.look()

    # -- what it holds ------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[str]:
        """Absolute paths, in the order in which they were given."""
        return list(self._said.inputs)

    @property
    def recursive(self) -> bool:
        return self._said.recursive

    @property
    def sort(self) -> str:
        return self._said.sort

    @property
    def pages(self) -> dict[str, OwnSettings]:
        """Settings of single pages, by key."""
        return dict(self._said.pages)

    def role(self, picture: Picture) -> str:
        """ "page" or "reference": what a person said, else what was seen."""
        if said := self._said.roles.get(picture.key):
            return said
        return "reference" if picture.facts and picture.facts.kind == "colored" else "page"

    def chosen(self, picture: Picture) -> bool:
        """Whether a reference is ticked."""
        return picture.error is None and picture.key not in self._said.off

    def gallery(self, role: str) -> list[Picture]:
        """The readable images of one side, in page order or, references only, the surest first."""
        with self._lock:
            side = [p for p in self.pictures if p.error is None and self.role(p) == role]
        if role == "reference" and self.sort == "confidence":
            side.sort(key=lambda picture: -picture.confidence)
        return side

    def unreadable(self) -> list[Picture]:
        with self._lock:
            return [picture for picture in self.pictures if picture.error is not None]

    # -- what a person does -------------------------------------------------------------------------

    def add(self, path: str, *, recursive: bool = False) -> None:
        """Take a folder, an archive or an image into the inputs. The sample chapter gives way to it."""
        with self._lock:
            if self._said.sample in self._said.inputs and path != self._said.sample:
                self._said.inputs.remove(self._said.sample)
            if path not in self._said.inputs:
                self._said.inputs.append(path)
            self._said.recursive = recursive or self._said.recursive
            self._save()

    def clear(self) -> None:
        """Begin anew: forget the inputs and what was decided about them. A job's uploads stay."""
        with self._lock:
            self._look += 1
            self._said = Decided(sort=self._said.sort)
            self.pictures, self.problems, self.left_out, self.busy = [], [], [], False
            (self.folder / PALETTE).unlink(missing_ok=True)
            self._save()

    def move(self, keys: Sequence[str]) -> None:
        """Put images on the other side: that which the first of them is not on."""
        with self._lock:
            pictures = [self._picture(key) for key in keys]
            side = "page" if self.role(pictures[0]) == "reference" else "reference"
            self._said.roles.update((picture.key, side) for picture in pictures)
            self._save()

    def tick(self, key: str, *, on: bool) -> None:
        with self._lock:
            self._picture(key)
            off = [name for name in self._said.off if name != key]
            self._said.off = off if on else [*off, key]
            self._save()

    def tick_where(self, wanted: Callable[[Picture], bool]) -> None:
        """Tick exactly the references for which `wanted` holds."""
        with self._lock:
            self._said.off = [p.key for p in self.gallery("reference") if not wanted(p)]
            self._save()

    def sort_by(self, order: str) -> None:
        with self._lock:
            self._said.sort = "confidence" if order == "confidence" else "order"
            self._save()

    def set_page(self, key: str, settings: OwnSettings) -> None:
        """Settings of one page; those that say nothing take them back."""
        with self._lock:
            self._picture(key)
            if settings.told():
                self._said.pages[key] = settings
            else:
                self._said.pages.pop(key, None)
            self._save()

    def _picture(self, key: str) -> Picture:
        for picture in self.pictures:
            if picture.key == key:
                return picture
        raise ValidationError("There is no image {key} in this chapter.", key=key)

    def _save(self) -> None:
        self.version += 1
        private(self.folder)
        with SaveFile(self.folder / "draft.json") as file:
            file.write(json.dumps(to_plain(self._said)).encode())

    # -- uploads ------------------------------------------------------------------------------------

    async def receive(self, name: str, parts: AsyncIterator[bytes], limit: int) -> None:
        """Store one uploaded file and take it into the inputs. ValidationError for what is not wanted."""
        name = safe_name(name)
        suffix = Path(name).suffix.lower()
        if suffix == PALETTE.suffix:
            await self._take_palette(name, parts)
            return
        is_book = suffix in BOOK_SUFFIXES
        if suffix not in SUPPORTED_IMAGE_FORMATS and not is_book:
            raise ValidationError(
                "{name} is neither an image nor a book that Lote reads: {suffixes}.",
                name=name,
                suffixes=", ".join(sorted(BOOK_SUFFIXES)),
            )
        folder = self.folder / ("archives" if is_book else "pages")
        target = await self._stored(folder, name, parts, limit)
        self.add(str(target if is_book else folder))

    def take_sample(self) -> None:
        """Take in the sample chapter that comes with Lote. ResourceError where there is no room for it."""
        content = SAMPLE.read_bytes()
        folder = self.folder / "archives"
        self._quota.measure()
        with self._quota.upload() as taken:
            taken(len(content))
            private(folder)
            target = _free(folder, SAMPLE.name)
            with SaveFile(target) as file:
                file.write(content)
        with self._lock:
            self._said.sample = str(target)
            self.add(str(target))

    @property
    def palette(self) -> Path | None:
        """The palette of the series that was dropped, if one was."""
        path = self.folder / PALETTE
        return path if path.exists() else None

    async def _take_palette(self, name: str, parts: AsyncIterator[bytes]) -> None:
        """Keep a `palette.json`. ValidationError for what is none."""
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder) / name
            await self._stored(given.parent, name, parts, palette.LARGEST_FILE)
            await run_in_threadpool(palette.read, given)
            content = given.read_bytes()
        with self._lock:
            private(self.folder)
            with SaveFile(self.folder / PALETTE) as file:
                file.write(content)
            self._save()

    async def _stored(self, folder: Path, name: str, parts: AsyncIterator[bytes], limit: int) -> Path:
        """The file that the parts make, under a free name. Nothing is left of one that breaks off."""
        size = 0
        await run_in_threadpool(self._quota.measure)
        with self._quota.upload() as taken:
            private(folder)
            part = folder / f".{secrets.token_hex(8)}.part"
            try:
                with part.open("xb") as file:
                    async for chunk in parts:
                        size += len(chunk)
                        if size > limit:
                            raise ValidationError(
                                "{name} is larger than {limit} bytes, the limit of an upload.",
                                name=name,
                                limit=limit,
                            )
                        taken(len(chunk))
                        file.write(chunk)
                target = _free(folder, name)
                part.rename(target)
            except OSError as error:
                raise ResourceError(
                    "{name} cannot be stored: {reason}", name=name, reason=reason(error)
                ) from error
            finally:
                part.unlink(missing_ok=True)
                _remove_empty(folder)
                _remove_empty(self.folder)
        return target

    # -- looking at the images ----------------------------------------------------------------------

    def look(self) -> None:
        """Find and classify every image of the inputs, in the background."""
        with self._lock:
            self._look += 1
            self.busy, self.problems = True, []
            self.version += 1
            number = self._look
        threading.Thread(target=self._looking, args=(number,), daemon=True, name="look").start()

    def _looking(self, number: int) -> None:
        unpacked = self.folder / f"in-{number}"
        shutil.rmtree(unpacked, ignore_errors=True)
        refused: list[Message] = []
        while True:
            found = Found()
            try:
                sources = sorted(
                    find_sources(
                        self.inputs,
                        (),
                        recursive=self.recursive,
                        output=str(self.folder / "results"),
                        unpack_to=unpacked,
                        found=found,
                    ),
                    key=lambda source: source.sort,
                )
                break
            except BatchProcessingError as error:
                problem = error.sentence
            except OSError as error:
                problem = reason(error)
                if error.filename:
                    problem = Message(
                        "{path} cannot be read: {reason}", path=os.fsdecode(error.filename), reason=problem
                    )
            # A person knows uploads by their names, not by where they are kept.
            refused.append(problem.mapped(self._as_dropped))
            if not self._left_without(number, problem):
                self._end(number, refused)
                return
        with self._lock:
            if number != self._look:
                shutil.rmtree(unpacked, ignore_errors=True)
                return
            self.pictures = [Picture(source, self._known(source)) for source in sources]
            together = by_reason(found.left_out)
            self.left_out = [each.sentence for each in together if each.reason != Reason.JUNK]
            self.version += 1
        for old in self.folder.glob("in-*"):
            if old != unpacked:
                shutil.rmtree(old, ignore_errors=True)
        self._classify(number)
        self._end(number, refused)

    def _as_dropped(self, path: str) -> str:
        return path.removeprefix(f"{self.folder / 'archives'}{os.sep}")

    def _known(self, source: Source) -> ImageFacts | None:
        """What is known of an image already: among it, that it is a link to where the page may not look."""
        if not self._roots.hold(source.path, self.folder):
            return ImageFacts(error=Message("is a link out of the folders that this page may use"))
        return facts_of(source) if source.facts else self._facts.get(_identity(source))

    def _left_without(self, number: int, problem: Message) -> bool:
        """Drop the input that the message is about; False where nothing but such inputs is left, or another look has
        begun. One bad archive must not keep the others from being coloured."""
        with self._lock:
            # Compared as values, whole: the path of one input can be part of another's. Where none is named,
            # it is the one that holds what is named.
            named = set(problem.texts())
            above = {str(folder) for text in named for folder in Path(text).parents}
            inputs = self._said.inputs
            bad = named.intersection(inputs) or above.intersection(inputs)
            rest = [path for path in inputs if path not in bad]
            if number != self._look or not rest or rest == inputs:
                return False
            self._said.inputs = rest
            self._save()
            return True

    def _classify(self, number: int) -> None:
        waiting = [picture for picture in self.pictures if picture.facts is None]
        pool = LocalPool(1, memory_limit=WORKER_MEMORY)
        try:
            for picture in waiting:
                pool.submit(Task(picture.key, Examine(picture.source.path), timeout_s=LOOK_TIMEOUT))
                results: list[Result] = []
                while not results:
                    results = pool.completed(1.0)
                    if number != self._look:
                        return
                facts = examined(results[0]).facts
                with self._lock:
                    picture.facts = facts
                    self._facts[_identity(picture.source)] = facts
                    self.version += 1
        finally:
            pool.close()

    def _end(self, number: int, problems: list[Message]) -> None:
        with self._lock:
            if number != self._look:
                return
            self.busy, self.problems = False, problems
            self.version += 1
            private(self.folder)
            with SaveFile(self.folder / "facts.json") as file:
                file.write(json.dumps({key: to_plain(facts) for key, facts in self._facts.items()}).encode())

    # -- becoming a job -----------------------------------------------------------------------------

    def configuration(self, base: ConfigFile) -> ConfigFile:
        """`base` with what was decided here for single images."""
        with self._lock:
            own = {key: settings.told() for key, settings in self.pages.items()}
            off = {
                picture.key: {"skip": True}
                for picture in self.gallery("reference")
                if not self.chosen(picture)
            }
            return base.with_images(own).with_images(off)

    def moved(self, role: str) -> list[str]:
        """The paths of the images that a person has put on this side."""
        return [key for key, said in self._said.roles.items() if said == role]


class Drafts:
    """The drafts of a workspace, opened when they are asked for."""

    def __init__(self, workspace: Workspace, roots: Roots, quota: int = UPLOAD_QUOTA) -> None:
        self._uploads = workspace.root / "uploads"
        self._roots, self._quota = roots, Quota(self._uploads, quota)
        self._open: dict[str, Draft] = {}
        self._lock = threading.Lock()
        self._sweep()

    def get(self, name: str) -> Draft:
        """ValidationError for a name that no browser made."""
        if not NAME.fullmatch(name):
            raise ValidationError("This is not the name of a chapter.")
        with self._lock:
            if name not in self._open:
                if len(self._open) >= DRAFTS_OPEN:
                    for old in [name for name, draft in self._open.items() if not draft.busy][
                        : DRAFTS_OPEN // 2
                    ]:
                        del self._open[old]  # what it holds is on the disk
                self._open[name] = Draft(self._uploads / name, self._roots, self._quota)
            return self._open[name]

    def _sweep(self) -> None:
        """Remove what a killed server left: halves of uploads, and chapters with nothing in them."""
        for part in self._uploads.glob("*/*/.*.part"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > ABANDONED:  # else it may be another server's
                    part.unlink()
        for folder in self._uploads.glob("*/*/"):
            _remove_empty(folder)
        for folder in self._uploads.glob("*/"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                if {path.name for path in folder.iterdir()} <= {"draft.json", "facts.json"}:
                    state = folder / "draft.json"
                    if not state.exists() or not json.loads(state.read_bytes())["inputs"]:
                        (folder / "facts.json").unlink(missing_ok=True)
                        state.unlink(missing_ok=True)
            _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # there is something in it
        folder.rmdir()


class Quota:
    """Bytes that all uploads of a workspace may take together, those that are under way with them."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._free = limit
        self._coming = 0
        self._lock = threading.Lock()

    def measure(self) -> None:
        """See what is free. Walks over all uploads: for a thread that may wait."""
        free = self._limit - _size(self._folder)
        with self._lock:
            self._free = free

    @contextlib.contextmanager
    def upload(self) -> Iterator[Callable[[int], None]]:
        """The function to be told of each chunk before it is stored; ResourceError when it does not fit."""
        mine = stored = 0

        def taken(more: int) -> None:
            nonlocal mine
            with self._lock:
                if self._coming + more > self._free:
                    raise ResourceError(
                        "The uploads may take {limit} bytes together, and they are full: `lote clean` removes "
                        "chapters that became no job, or start lote ui with a larger --upload-quota.",
                        limit=self._limit,
                    )
                self._coming += more
                mine += more

        try:
            yield taken
            stored = mine
        finally:
            with self._lock:
                self._coming -= mine
                self._free -= stored


def _size(folder: Path) -> int:
    """Bytes of the files below a folder, halves of uploads left out."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            if not name.endswith(".part"):
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118 - hot
    return size


def private(folder: Path) -> None:
    """Make a folder of the workspace, and those above it, which others of this machine cannot look into."""
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(exist_ok=True, mode=0o700)


def safe_name(name: str) -> str:
    """The last part of a file name from outside, as one that no system trips over."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    name = "".join(c if c.isprintable() else "_" for c in name).lstrip(". ") or "file"
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    while len(os.fsencode(stem)) > 180:  # 255 bytes is what file systems allow; parts and endings need some
        stem = stem[:-1]
    return stem + suffix[:10]


def _free(folder: Path, name: str) -> Path:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    target, number = folder / name, 0
    while os.path.lexists(target):
        number += 1
        target = folder / f"{stem}_{number}{suffix}"
    return target


def _identity(source: Source) -> str:
    return f"{source.sha256 or source.path}|{source.identity}"
