"""The regions of a finished page: too much for the ledger, so that each page has a file of them in the workspace.

    jobs/<number>/regions/<id of the item>.json.gz        their list, as the backend told it (`Colored.details`)

Promises: a page that is completed has its file; it was written as a part, fsynced and published before. The ledger keeps
its SHA-256 among the page's details, so that a file of another time is never taken for this page's. Details of an earlier
Lote hold the list itself, and are read as they are.

Does not guarantee that it stays: `lote clean` frees it, and a copy of the ledger has none. Who needs the regions of
such a page has it coloured again; everything else that is known of a page stands in the ledger.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..io.publish import fsync_dir, part_path, publish, write_part
from ..reading import read_whole

if TYPE_CHECKING:
    from ..core.model import Item
    from ..core.workspace import Workspace

REGIONS: Final = "regions"
"""In what a backend tells of a page (`Colored.details`): its regions."""
PUT_ASIDE: Final = "regions_sha256"
"""In `Item.details`, in place of the list: the hash of the file that holds it."""
# Bytes of the list as JSON: 60 megapixels of scribbles have some 20,000 regions, of 110 bytes each.
_LARGEST: Final = 64 << 20


def file_of(workspace: Workspace, item: Item) -> Path:
    """Where the regions of a page are kept. Nothing need stand there."""
    return workspace.root / "jobs" / str(item.job_id) / REGIONS / f"{item.id}.json.gz"


def part_of(workspace: Workspace, item: Item) -> Path:
    """Where a worker writes them, under the item's lease."""
    return part_path(file_of(workspace, item), str(item.token))


def put_aside(details: Mapping[str, object], part: Path) -> dict[str, object]:
    """The details with the hash of the new file `part` in place of the regions; as they are where they hold none."""
    regions = details.get(REGIONS)
    if not regions:
        return dict(details)
    text = json.dumps(regions, separators=(",", ":")).encode()
    sha256 = write_part(part, gzip.compress(text, 6, mtime=0))
    return {**{name: value for name, value in details.items() if name != REGIONS}, PUT_ASIDE: sha256}


def hand_over(workspace: Workspace, item: Item) -> None:
    """Give the part that a worker has written under the item's lease its name, where it wrote one."""
    part, target = part_of(workspace, item), file_of(workspace, item)
    with suppress(
        FileNotFoundError
    ):  # a backend without regions, or a run that was killed has handed it over
        publish(part, target)
        fsync_dir(target.parent)


def details_of(workspace: Workspace, item: Item) -> Mapping[str, Any]:
    """What the backend told of a page, its regions too; without them where their file is gone, or is damaged."""
    details = dict(item.details or {})
    sha256 = details.pop(PUT_ASIDE, None)
    if sha256 is None:
        return details
    with suppress(OSError):
        content = read_whole(file_of(workspace, item), _LARGEST)
        if hashlib.sha256(content).hexdigest() == sha256:
            details[REGIONS] = json.loads(gzip.decompress(content))
    return details


def forget_others(workspace: Workspace, job_id: int, items: Iterable[Item]) -> None:
    """Remove the files of items that the job no longer has, or whose backend told no regions."""
    folder = workspace.root / "jobs" / str(job_id) / REGIONS
    if not folder.is_dir():
        return
    kept = {f"{item.id}.json.gz" for item in items if item.details and PUT_ASIDE in item.details}
    for entry in os.scandir(folder):
        if entry.name not in kept:
            Path(entry.path).unlink(missing_ok=True)
