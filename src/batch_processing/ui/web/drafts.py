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
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from ...book import Found, find
from ...colorize import ARCHIVES, WORKER_MEMORY
from ...core.ledger import Source
from ...core.workers import LocalPool, Result, Task
from ...core.workspace import Workspace
from ...exceptions import BatchProcessingError, ResourceError, ValidationError
from ...io.outputs import SaveFile
from ...io.scan import SUPPORTED_IMAGE_FORMATS
from .paths import Roots

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


@dataclass
class Picture:
    """One image of a draft. `facts` is None until it was looked at."""

    source: Source
    facts: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        return self.source.key

    @property
    def error(self) -> str | None:
        return (self.facts or {}).get("error")

    @property
    def confidence(self) -> float:
        return float((self.facts or {}).get("confidence", 0.0))


class Draft:
    """One chapter being put together. Methods may be called from any thread."""

    def __init__(self, folder: Path, roots: Roots, quota: Quota) -> None:
        self.folder = folder
        self._roots, self._quota = roots, quota
        self.pictures: list[Picture] = []
        self.problem = ""
        self.busy = False
        self.version = 0
        self._lock = threading.RLock()
        self._look = 0
        self._facts: dict[str, dict[str, Any]] = {}
        self._state: dict[str, Any] = {
            "inputs": [], "recursive": False, "roles": {}, "off": [], "pages": {}, "sort": "order",
        }  # fmt: skip
        with contextlib.suppress(OSError, ValueError):
            self._state |= json.loads((folder / "draft.json").read_text(encoding="utf-8"))
        with contextlib.suppress(OSError, ValueError):
            self._facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        if self.inputs:
            self.look()

    # -- what it holds ------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[str]:
        """Absolute paths, in the order in which they were given."""
        return list(self._state["inputs"])

    @property
    def recursive(self) -> bool:
        return bool(self._state["recursive"])

    @property
    def sort(self) -> str:
        return str(self._state["sort"])

    @property
    def pages(self) -> dict[str, dict[str, Any]]:
        """Settings of single pages, by key."""
        return dict(self._state["pages"])

    def role(self, picture: Picture) -> str:
        """ "page" or "reference": what a person said, else what was seen."""
        said = self._state["roles"].get(picture.key)
        if said:
            return str(said)
        return "reference" if (picture.facts or {}).get("kind") == "colored" else "page"

    def chosen(self, picture: Picture) -> bool:
        """Whether a reference is ticked."""
        return picture.error is None and picture.key not in self._state["off"]

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
        """Take a folder, an archive or an image into the inputs."""
        with self._lock:
            if path not in self._state["inputs"]:
                self._state["inputs"].append(path)
            self._state["recursive"] = recursive or self._state["recursive"]
            self._save()

    def clear(self) -> None:
        """Begin anew: forget the inputs and what was decided about them. A job's uploads stay."""
        with self._lock:
            self._look += 1
            self._state |= {"inputs": [], "recursive": False, "roles": {}, "off": [], "pages": {}}
            self.pictures, self.problem, self.busy = [], "", False
            self._save()

    def move(self, key: str) -> None:
        """Put an image on the other side."""
        with self._lock:
            picture = self._picture(key)
            self._state["roles"][key] = "page" if self.role(picture) == "reference" else "reference"
            self._save()

    def tick(self, key: str, *, on: bool) -> None:
        with self._lock:
            self._picture(key)
            off = [name for name in self._state["off"] if name != key]
            self._state["off"] = off if on else [*off, key]
            self._save()

    def tick_where(self, wanted: Callable[[Picture], bool]) -> None:
        """Tick exactly the references for which `wanted` holds."""
        with self._lock:
            self._state["off"] = [p.key for p in self.gallery("reference") if not wanted(p)]
            self._save()

    def sort_by(self, order: str) -> None:
        with self._lock:
            self._state["sort"] = "confidence" if order == "confidence" else "order"
            self._save()

    def set_page(self, key: str, values: dict[str, Any]) -> None:
        """Settings of one page, as a configuration file has them; {} takes them back."""
        with self._lock:
            self._picture(key)
            if values:
                self._state["pages"][key] = values
            else:
                self._state["pages"].pop(key, None)
            self._save()

    def _picture(self, key: str) -> Picture:
        for picture in self.pictures:
            if picture.key == key:
                return picture
        raise ValidationError(f"There is no image {key} in this chapter.")

    def _save(self) -> None:
        self.version += 1
        private(self.folder)
        with SaveFile(self.folder / "draft.json") as file:
            file.write(json.dumps(self._state).encode())

    # -- uploads ------------------------------------------------------------------------------------

    async def receive(self, name: str, parts: AsyncIterator[bytes], limit: int) -> None:
        """Store one uploaded file and take it into the inputs. ValidationError for what is not wanted."""
        name = safe_name(name)
        suffix = Path(name).suffix.lower()
        if suffix not in SUPPORTED_IMAGE_FORMATS and suffix not in ARCHIVES:
            raise ValidationError(f"{name} is neither an image nor a .zip or .cbz.")
        folder = self.folder / ("archives" if suffix in ARCHIVES else "pages")
        target = await self._stored(folder, name, parts, limit)
        self.add(str(target if suffix in ARCHIVES else folder))

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
                                f"{name} is larger than {limit} bytes, the limit of an upload."
                            )
                        taken(len(chunk))
                        file.write(chunk)
                target = _free(folder, name)
                part.rename(target)
            except OSError as error:
                raise ResourceError(f"{name} cannot be stored: {error.strerror}") from error
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
            self.busy, self.problem = True, ""
            self.version += 1
            number = self._look
        threading.Thread(target=self._looking, args=(number,), daemon=True, name="look").start()

    def _looking(self, number: int) -> None:
        unpacked = self.folder / f"in-{number}"
        shutil.rmtree(unpacked, ignore_errors=True)
        refused: list[str] = []
        while True:
            try:
                sources = sorted(
                    find(
                        self.inputs,
                        (),
                        recursive=self.recursive,
                        output=str(self.folder / "results"),
                        unpack_to=unpacked,
                        found=Found(),
                    ),
                    key=lambda source: source.sort,
                )
                break
            except BatchProcessingError as error:
                problem = str(error)
            except OSError as error:
                problem = f"{error.filename} cannot be read: {error.strerror}"
            # A person knows uploads by their names, not by where they are kept.
            refused.append(problem.replace(f"{self.folder / 'archives'}{os.sep}", ""))
            if not self._left_without(number, problem):
                self._end(number, "\n".join(refused))
                return
        with self._lock:
            if number != self._look:
                shutil.rmtree(unpacked, ignore_errors=True)
                return
            self.pictures = [Picture(source, self._known(source)) for source in sources]
            self.version += 1
        for old in self.folder.glob("in-*"):
            if old != unpacked:
                shutil.rmtree(old, ignore_errors=True)
        self._classify(number)
        self._end(number, "\n".join(refused))

    def _known(self, source: Source) -> dict[str, Any] | None:
        """What is known of an image already: among it, that it is a link to where the page may not look."""
        if not self._roots.hold(source.path, self.folder):
            return {"error": "is a link out of the folders that this page may use"}
        return self._facts.get(_identity(source))

    def _left_without(self, number: int, problem: str) -> bool:
        """Drop the input that the sentence names; False where nothing but such inputs is left, or another look
        has begun. One bad archive must not keep the others from being coloured."""
        with self._lock:
            rest = [path for path in self._state["inputs"] if path not in problem]
            if number != self._look or not rest or rest == self._state["inputs"]:
                return False
            self._state["inputs"] = rest
            self._save()
            return True

    def _classify(self, number: int) -> None:
        waiting = [picture for picture in self.pictures if picture.facts is None]
        pool = LocalPool(1, memory_limit=WORKER_MEMORY)
        try:
            for picture in waiting:
                args = {"path": picture.source.path, "classify": True}
                pool.submit(Task(picture.key, "batch_processing.pages:examine", args, timeout_s=LOOK_TIMEOUT))
                results: list[Result] = []
                while not results:
                    results = pool.completed(1.0)
                    if number != self._look:
                        return
                value = results[0].value
                failure = results[0].failure
                facts = value["facts"] if value else {"error": failure.text if failure else "gave no result"}
                with self._lock:
                    picture.facts = facts
                    self._facts[_identity(picture.source)] = facts
                    self.version += 1
        finally:
            pool.close()

    def _end(self, number: int, problem: str) -> None:
        with self._lock:
            if number != self._look:
                return
            self.busy, self.problem = False, problem
            self.version += 1
            private(self.folder)
            with SaveFile(self.folder / "facts.json") as file:
                file.write(json.dumps(self._facts).encode())

    # -- becoming a job -----------------------------------------------------------------------------

    def configuration(self, base: dict[str, Any]) -> dict[str, Any]:
        """A configuration file's content: `base` with what was decided here for single images."""
        with self._lock:
            images = {name: dict(values) for name, values in base.get("images", {}).items()}
            for key, values in self.pages.items():
                images[key] = images.get(key, {}) | values
            for picture in self.gallery("reference"):
                if not self.chosen(picture):
                    images[picture.key] = images.get(picture.key, {}) | {"skip": True}
            return {"default": dict(base.get("default", {})), "images": images}

    def moved(self, role: str) -> list[str]:
        """Patterns that match exactly the images that a person has put on this side."""
        return [_pattern(key) for key, said in self._state["roles"].items() if said == role]


class Drafts:
    """The drafts of a workspace, opened when they are asked for."""

    def __init__(self, place: Workspace, roots: Roots, quota: int = UPLOAD_QUOTA) -> None:
        self._uploads = place.root / "uploads"
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
                        f"The uploads may take {self._limit} bytes together, and they are full: `lote clean` removes "
                        "chapters that became no job, or start lote ui with a larger --upload-quota."
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


def _pattern(key: str) -> str:
    """A glob that matches this key alone."""
    return re.sub(r"([*?\[])", r"[\1]", key)
