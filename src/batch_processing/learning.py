"""What the pages of a job are coloured from: its references, its palette, and what its own pages taught.

    references -> one artefact a set, made once, kept in the cache by content
    the palette of the series, and of the job -> numbers and colours that stay
    finished pages, where a person asked -> the job's memory

Promises: what a page is coloured from is settled before the first page is, and never depends on which page
was done first. Does not choose a page's settings, and colours none (`comic`, `pages`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import pages, palette
from .backends.base import Recolouring
from .core.workers import Task
from .exceptions import BatchProcessingError, ConfigurationError
from .io.outputs import hash_file

if TYPE_CHECKING:
    from .backends.base import Backend
    from .config import BatchConfig
    from .core.coordinator import Desk
    from .core.ledger import Item
    from .core.workspace import Workspace

PAGE_SETTINGS = ("style", "seed", "num_inference_steps", "top_k")
# So many artefacts of one job's own pages stay, the newest: a ledger that is restored from a copy may need an
# earlier one, which nothing can make again. A megabyte each for a short book.
KEPT = 4
References = list[tuple[str, str]]  # (path, SHA-256) each, in the order of the hashes: names say nothing


def of_job(desk: Desk) -> References:
    """The job's references, each content once."""
    by_hash: dict[str, str] = {}
    for role in ("reference", "copy"):
        for source in desk.ledger.sources(desk.job.id, role=role):
            if source.sha256 and "error" not in (source.facts or {}):
                by_hash.setdefault(source.sha256, source.path)
    return sorted(((path, sha256) for sha256, path in by_hash.items()), key=lambda pair: pair[1])


def of_page(paths: tuple[str, ...]) -> References:
    """The references that a page's settings name. ConfigurationError for one that is no file."""
    listed = []
    for text in paths:
        path = Path(text)
        if not path.is_file():
            raise ConfigurationError(f"The reference {path} of the configuration file is not a file.")
        listed.append((text, hash_file(path)))
    return sorted(listed, key=lambda pair: pair[1])


class Learning:
    """What one job knows, by one backend."""

    def __init__(self, workspace: Workspace, backend: Backend) -> None:
        self.backend = backend
        self.sets: dict[str, References] = {}  # by key
        self.palette: dict[str, Any] = {}
        self.memory: str | None = None  # the key of what the job learned from its own pages
        self._workspace = workspace

    def key(self, references: References) -> str | None:
        """The key under which what is learned from these references is kept; a set of the job from now on."""
        if not references:
            return None
        key = self._seen(references)
        self.sets[key] = references
        return key

    def artefact(self, key: str | None) -> Path | None:
        """The file of what is learned from a set."""
        return (
            self._workspace.root / "cache" / "references" / f"{self.backend.name}-{key}.bin" if key else None
        )

    def _seen(self, references: References) -> str:
        return pages.fingerprint(
            backend=[self.backend.name, self.backend.version], references=[sha256 for _, sha256 in references]
        )

    def plan_palette(self, desk: Desk, config: BatchConfig, references: References) -> None:
        """Bring what the job keeps of its palette up to date with the series' file and the references."""
        stored = desk.job.config["palette"]
        series = palette.read(Path(config.palette)) if config.palette else {}
        if (series or palette.drawn(stored)) and not isinstance(self.backend, Recolouring):
            raise ConfigurationError(f"The backend {self.backend.name} has no palette to recolour.")
        now = palette.planned(stored, series, self._seen(references))
        if now != stored:
            desk.ledger.reconfigure(desk.job.id, {**desk.job.config, "palette": now})
        self.palette = now

    def remember(self, desk: Desk) -> None:
        """Look up what the job learned from its own pages; learn it now, where that is wanted.

        It is made from the pages as they stand, once, and then stays as it is: no page's colours depend on
        which other page was done first. So a wish is fulfilled by one artefact: when the job was stopped before all
        pages were done again with it, the same wish goes on with them, and learns nothing from those that were."""
        number = desk.job.id
        wish = desk.job.config.get("memory") or {}
        self.memory = wish.get("key")
        under_way = wish.get("generation", 0) > desk.job.result.get("generation", 0)
        there = not self.memory or self._memory_file(number, self.memory).exists()
        if wish.get("wanted") and under_way and there:
            desk.note("going on with what was learned before the job was stopped")
            wish = {name: value for name, value in wish.items() if name != "wanted"}
            desk.ledger.reconfigure(number, {**desk.ledger.job(number).config, "memory": wish})
        if not wish.get("wanted"):
            if self.memory and not self._memory_file(number, self.memory).exists():
                raise BatchProcessingError(
                    f"What job {number} learned from its own pages is missing from the workspace: "
                    f"`lote recolor {number} --learn` learns it again."
                )
            return
        if not isinstance(self.backend, Recolouring):
            desk.ledger.reconfigure(number, {**desk.ledger.job(number).config, "memory": None})
            raise ConfigurationError(f"The backend {self.backend.name} learns nothing from pages.")
        desk.phase("learning from the pages")
        now = {source.key: source.sha256 for source in desk.ledger.sources(number, role="page")}
        folder = desk.workspace.folder("jobs", str(number), "remembered")
        parts: dict[str, tuple[str, Path]] = {}
        tasks = []
        for item in desk.ledger.items(number, state="completed"):
            same = now.get(item.key) == item.input_hash and item.work["backend"] == self.backend.name
            if same and not item.work["single"]:
                # By content: the order of pages is the order of names, and says nothing.
                parts[item.key] = (item.input_hash + item.key, folder / f"{item.id}.npz")
                args = {**self.painting(item), "approved": item.approved, "part": str(parts[item.key][1])}
                tasks.append(Task(item.key, "batch_processing.pages:remember", args))
        learned: list[tuple[str, str, Path]] = []
        for result in desk.run(tasks):
            if result.value is None:
                text = result.failure.text if result.failure else ""
                raise BatchProcessingError(f"{result.id} cannot be learned from: {text}")
            learned.append((parts[result.id][0], result.value["sha256"], parts[result.id][1]))
        learned.sort()
        key: str | None = pages.fingerprint(pages=[sha256 for _, sha256, _ in learned])
        target = self._memory_file(number, str(key))
        args = {
            "backend": self.backend.name,
            "remembered": [str(path) for _, _, path in learned],
            "artefact": str(target),
        }
        for result in desk.run([Task("memory", "batch_processing.pages:gather", args)]):
            if result.value is None:
                text = result.failure.text if result.failure else ""
                raise BatchProcessingError(f"The pages cannot be learned from: {text}")
            if not result.value["regions"]:
                desk.warn("no region is sure enough to learn from: give hints, or approve pages")
                target.unlink()
                key = None
        shutil.rmtree(folder, ignore_errors=True)
        learned_now = {"key": key, "generation": desk.generation}
        desk.ledger.reconfigure(number, {**desk.ledger.job(number).config, "memory": learned_now})
        older = [path for path in target.parent.glob(f"{number}-*.npz") if path != target]
        older.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in older[KEPT - 1 :]:
            path.unlink()
        self.memory = key

    def learn(self, desk: Desk) -> None:
        """Learn each set of references that a page still needs, unless it was learned before."""
        desk.phase("learning the references")
        needed: set[str | None] = set()
        for item in desk.ledger.items(desk.job.id, state="pending"):
            if not item.held:
                needed |= {item.work["artefact"], item.work["first"]}
        config = desk.job.config["settings"]
        settings = {name: config[name] for name in PAGE_SETTINGS}
        tasks = []
        for key, references in self.sets.items():
            artefact = self.artefact(key)
            if artefact is None or key not in needed:
                continue
            if artefact.exists():
                os.utime(artefact)  # the cache keeps what was used last
                continue
            tasks.append(
                Task(
                    key,
                    "batch_processing.pages:learn",
                    {
                        "backend": self.backend.name,
                        "references": references,
                        "settings": settings,
                        "artefact": str(artefact),
                    },
                    timeout_s=config["timeout"],
                )
            )
        for result in desk.run(tasks):
            if result.failure is not None:
                raise BatchProcessingError(f"The references cannot be used: {result.failure.text}")

    def painting(self, item: Item) -> dict[str, Any]:
        """What a worker must know to find the colours of a page."""
        work = item.work
        artefact = self.artefact(work["artefact"])
        first = self.artefact(work["first"])
        memory = self._memory_file(item.job_id, self.memory) if self.memory and not work["single"] else None
        return {
            "source": work["source"],
            "name": item.key,
            "backend": work["backend"],
            "artefact": str(artefact) if artefact else None,
            "settings": work["settings"],
            "hints": work["hints"],
            "state": str(self._workspace.root / "cache" / "states" / f"{work['state']}.zip"),
            "ids": {
                "given": palette.anchors(self.palette),
                "single": work["single"],
                "first": str(first) if first else None,
                "memory": str(memory) if memory else None,
            }
            if isinstance(self.backend, Recolouring)
            else {},
        }

    def _memory_file(self, number: int, key: str) -> Path:
        """Not in the cache: what it is made from is gone once the pages were done again with it."""
        return self._workspace.root / "memory" / f"{number}-{key[:16]}.npz"
