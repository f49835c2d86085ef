"""What a person changed on finished pages, as the ledger keeps it and as a worker is given it.

Promises: the edits of a page go to its worker in one file, called by its content, so that the same edits are the same page;
the file can be made again from the ledger at any time. Edits of the job as a whole change its palette: names, colours,
locks, and ids that became one, which is an edit of every page. Does not know how an edit is carried out: that is a
backend's (`backends.base.Editing`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.base import Edit, Editing
from ..core.edits import JOB, Saying
from ..core.model import Edit as Entry
from ..core.model import ItemState
from ..core.plain import from_plain, to_plain
from ..io.publish import SaveFile
from . import palette
from .model import work_of

if TYPE_CHECKING:
    from ..backends.base import Backend
    from ..core.application import JobContext

EDITED = "edited"
"""In `Job.result`: the edits that its pages have (`EditLog.mark`)."""
PALETTE = "palette"
"""The kind of an edit of the job that gives ids other entries; any other kind is one of `Edit`."""


@dataclass(frozen=True)
class PaletteChange:
    """Ids and their entries from now on, as `palette.json` has them without the id."""

    colors: palette.Colors


def saying(key: str, edit: Edit) -> Saying:
    """An edit of a page (or of the job: a merge), to be recorded."""
    said = to_plain(edit)
    return Saying(key, said.pop("kind"), said)


def palette_saying(change: PaletteChange) -> Saying:
    return Saying(JOB, PALETTE, to_plain(change))


def edits_of(entries: Sequence[Entry]) -> list[Edit]:
    """The edits of these entries, in their order, without those of the palette."""
    return [
        from_plain(Edit, {**entry.data, "kind": entry.kind}) for entry in entries if entry.kind != PALETTE
    ]


def palette_with(stored: Mapping[str, Any], entries: Sequence[Entry]) -> palette.Stored:
    """What a job keeps of its palette, with the edits of it."""
    changes = [from_plain(PaletteChange, entry.data) for entry in entries if entry.kind == PALETTE]
    return palette.edited(stored, [change.colors for change in changes])


def digest(edits: Sequence[Edit]) -> str:
    """The same for the same edits, in any process and release."""
    return hashlib.sha256(_written(edits)).hexdigest()[:32]


def read(path: Path) -> list[Edit]:
    """The edits of a file of `PageEdits`."""
    return [from_plain(Edit, one) for one in json.loads(path.read_bytes())]


def _written(edits: Sequence[Edit]) -> bytes:
    return json.dumps([to_plain(edit) for edit in edits], sort_keys=True, separators=(",", ":")).encode()


def of_page(by_page: Mapping[str, Sequence[Entry]], key: str) -> list[Edit]:
    """All that changes a page: its own edits, then the ids that became one in the whole job."""
    return edits_of(by_page.get(key, ())) + edits_of(by_page.get(JOB, ()))


class PageEdits:
    """The files of a job's edits, for one run of it."""

    def __init__(self, context: JobContext, backend: Backend) -> None:
        self._folder = context.workspace.root / "jobs" / str(context.job.id) / "edits"
        self._by_page = context.ledger.edits.by_page(context.job.id)
        self._approved: dict[str, str | None] = {}
        if self._by_page or context.job.result.get(EDITED):
            for item in context.ledger.items(context.job.id, ItemState.COMPLETED):
                if item.approved:
                    self._approved[item.key] = work_of(item).edits
        if not isinstance(backend, Editing) and any(key != JOB for key in self._by_page):
            context.warn(
                "pages were changed by hand, and the backend {name} leaves that out: the changes are kept",
                name=backend.name,
            )
            self._by_page = {}

    def overtaken(self, key: str, file: str | None) -> bool:
        """Whether a page was approved before its last edits, which it shows, were written: it is drawn again with them."""
        return key in self._approved and self._approved[key] != file

    def file(self, key: str) -> str | None:
        """The file with the edits of a page; None where there are none."""
        edits = of_page(self._by_page, key)
        if not edits:
            return None
        return str(write(self._folder, edits))


def write(folder: Path, edits: Sequence[Edit]) -> Path:
    """The file of these edits in `folder`, written if it is not there."""
    target = folder / f"{digest(edits)}.json"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with SaveFile(target) as file:
            file.write(_written(edits))
    return target
