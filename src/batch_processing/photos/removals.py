"""The logs of removals: a line of JSON for each photo, written before the next one goes; and taking back what they name.

Promises: whatever removes photos, a command or the page, writes the same lines; a line that is lacking or torn at the end of
a killed run costs itself only. What is taken back is written into the same log. Only what lies in the folder of logs is read.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

import sqlalchemy as sa

from ..exceptions import QueueError
from ..messages import NOTHING, Message
from .reconcile import reconcile
from .removal import How
from .tables import MISSING, PRESENT, directories, photos
from .trash import NotBack, NotBackError, Trash

if TYPE_CHECKING:
    from .duplicates import Deed
    from .store import Store

LOG = re.compile(r"(?:duplicates|similar)-\d{8}-\d{6}(?:-\d+)?\.jsonl", re.ASCII)
BACK = "back"  # the action of a line that says what was taken back
MOST_LOGS = 20  # that are looked into: the newest

Line = dict[str, str | int | bool | None]


@dataclass(frozen=True)
class Trashed:
    """A photo that a log says was moved to the trash. `size` in bytes, `digest` its SHA-256."""

    path: bytes
    size: int
    digest: bytes


@dataclass(frozen=True)
class Past:
    """A removal of which there is a log. `when`: ISO 8601. `photos` and `bytes` were moved to the trash, `back` of them were
    taken back, `refused` were left alone."""

    name: str
    when: str
    photos: int
    bytes: int
    back: int
    refused: int


@dataclass(frozen=True)
class Back:
    """What became of a photo that was to come back. `refusal` None: it is back; else why not, and the same as a clause for a
    person."""

    path: bytes
    size: int
    digest: bytes
    refusal: NotBack | None = None
    problem: Message = NOTHING


def new_log(folder: Path, what: str) -> Path:
    """Where the log of a removal that begins now goes. `what`: duplicates or similar."""
    name = f"{what}-{time.strftime('%Y%m%d-%H%M%S')}"
    found = (folder / f"{name}{f'-{again}' if again else ''}.jsonl" for again in range(1000))
    return next(path for path in found if not path.exists())


def line_of(deed: Deed, digest: bytes) -> Line:
    """The line of a photo that was to go."""
    return {
        **_begin(deed.how.value, deed.path),
        "kept": os.fsdecode(deed.kept),
        "kept_bytes": quote_from_bytes(deed.kept, safe="/"),
        "size": deed.size,
        "sha256": digest.hex(),
        "done": deed.refusal is None,
        "refusal": deed.refusal.value if deed.refusal is not None else None,
        "problem": str(deed.problem) or None,
    }


def line_of_back(back: Back) -> Line:
    """The line of a photo that was to come back."""
    return {
        **_begin(BACK, back.path),
        "size": back.size,
        "sha256": back.digest.hex(),
        "done": back.refusal is None,
        "refusal": back.refusal.value if back.refusal is not None else None,
        "problem": str(back.problem) or None,
    }


def _begin(action: str, path: bytes) -> Line:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "action": action,
        "path": os.fsdecode(path),
        "path_bytes": quote_from_bytes(path, safe="/"),
    }


def removals(folder: Path) -> list[Past]:
    """The removals that have moved something to the trash, the newest first."""
    try:
        names = sorted(name for name in os.listdir(folder) if LOG.fullmatch(name))
    except FileNotFoundError:
        return []
    names.sort(key=lambda name: name.partition("-")[2], reverse=True)
    found = (_past(folder / name) for name in names[:MOST_LOGS])
    return [past for past in found if past is not None]


def _past(path: Path) -> Past | None:
    when, moved, size, back, refused = "", 0, 0, 0, 0
    for line in _lines(path):
        if line.get("action") == How.TRASH:
            when = when or str(line.get("at"))
            moved += line.get("done") is True
            size += _whole(line.get("size")) if line.get("done") is True else 0
            refused += line.get("done") is False
        elif line.get("action") == BACK:
            back += line.get("done") is True
    return Past(path.name, when, moved, size, back, refused) if moved else None


def _lines(path: Path) -> Iterator[Line]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue  # torn by a kill
                if isinstance(line, dict):
                    yield line
    except FileNotFoundError:
        return


def _whole(number: object) -> int:
    return number if isinstance(number, int) and not isinstance(number, bool) else 0


def log_named(folder: Path, name: str) -> Path:
    """The log with that name. QueueError for a name that no log has."""
    if not LOG.fullmatch(name) or not (folder / name).is_file():
        raise QueueError(
            "There is no log of this removal any more: take the photos back from the trash by hand."
        )
    return folder / name


def trashed(log: Path) -> list[Trashed]:
    """What a log says is in the trash: moved there, and not taken back yet."""
    found: dict[bytes, Trashed] = {}
    for line in _lines(log):
        if line.get("done") is not True:
            continue
        path = unquote_to_bytes(str(line.get("path_bytes") or ""))
        try:
            digest = bytes.fromhex(str(line.get("sha256")))
        except ValueError:
            continue
        if line.get("action") == How.TRASH and os.path.isabs(path) and b"\0" not in path:  # noqa: PTH117 - bytes
            found[path] = Trashed(path, _whole(line.get("size")), digest)
        elif line.get("action") == BACK:
            found.pop(path, None)
    return list(found.values())


def take_back(store: Store, wanted: Sequence[Trashed]) -> Iterator[Back]:
    """Have photos back from the trash; gives what happened to each, when it did. To be called with the scan's lock held."""
    trash = Trash()
    for one in wanted:
        try:
            trash.take_back(one.path, one.size, one.digest)
        except NotBackError as error:
            yield Back(one.path, one.size, one.digest, error.code, error.sentence)
            continue
        _is_there_again(store, one)
        yield Back(one.path, one.size, one.digest)


def _is_there_again(store: Store, one: Trashed) -> None:
    folder, name = os.path.split(one.path)
    directory = sa.select(directories.c.id).where(directories.c.path == os.fsdecode(folder))
    this = sa.and_(
        photos.c.directory_id == directory.scalar_subquery(),
        photos.c.name == os.fsdecode(name),
        photos.c.hash == one.digest,
        photos.c.state == MISSING,
    )
    with store.write() as connection:
        connection.execute(photos.update().where(this).values(state=PRESENT))
        reconcile(connection, [one.digest])
