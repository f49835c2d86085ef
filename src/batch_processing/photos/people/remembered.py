"""What a grouping leaves for the next one, in a file of its own that may be deleted at any time.

Promises: holds nothing that the library's tables would not give again, in a minute or two for 100,000 faces; a file that is
damaged, of another version, or of another library is as good as none. Readable by its owner alone. Holds the vectors of
faces: who forgets faces deletes it (`forgetting`).
"""

from __future__ import annotations

import os
import secrets
import zipfile
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.workspace import Workspace
from ...io.publish import part_path
from .face import DIMENSIONS
from .nearest import NEIGHBOURS, NOBODY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..store import Store

NAME = "faces.npz"
VERSION = 1


@dataclass(frozen=True)
class Remembered:
    """Faces in the order of their photo's hash and their number there, and how they were grouped. `keys`: their ids, those
    of faces without a model below 0. `pins`, `apart`: what a person had said; `stamp`: which decisions these are."""

    keys: NDArray[np.int64]
    hashes: NDArray[np.uint8]  # (number, 32)
    numbers: NDArray[np.int64]
    core: NDArray[np.bool_]
    vectors: NDArray[np.int8]  # (number, 128)
    places: NDArray[np.int32]  # (number, NEIGHBOURS), as are the next
    dots: NDArray[np.int32]
    labels: NDArray[np.int64]
    components: NDArray[np.int64]
    pins: NDArray[np.int64]
    apart: NDArray[np.int64]  # (number, 2): place of a face, and who it is not
    stamp: NDArray[np.int64]  # three numbers, and that of the grouping, as the library has it

    def __len__(self) -> int:
        return len(self.keys)


def nothing() -> Remembered:
    """Of no face."""
    none = np.zeros(0, np.int64)
    lists = np.zeros((0, NEIGHBOURS), np.int32)
    return Remembered(
        none, np.zeros((0, 32), np.uint8), none, np.zeros(0, bool), np.zeros((0, DIMENSIONS), np.int8), lists, lists,
        none, none, none, np.zeros((0, 2), np.int64), np.zeros(4, np.int64),
    )  # fmt: skip


_OF_FACES = (
    "keys", "hashes", "numbers", "core", "vectors", "places", "dots", "labels", "components", "pins",
)  # fmt: skip


def taken(found: Remembered, which: NDArray[np.int64] | NDArray[np.bool_]) -> Remembered:
    """Some of the faces, in that order; what refers to places stays as it is."""
    return replace(found, **{name: getattr(found, name)[which] for name in _OF_FACES})


def joined(parts: Sequence[Remembered]) -> Remembered:
    """All of their faces, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _OF_FACES}
    )


def _order(parts: Sequence[Remembered]) -> NDArray[np.int64]:
    """Of the faces of all parts, one after the other: by photo and number. The first eight bytes of hashes nearly always
    tell them apart."""
    hashes, numbers, keys = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("hashes", "numbers", "keys")
    )
    words = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 4)
    order = np.argsort(words[:, 0].astype(np.uint64), kind="stable")  # fast with what is nearly in order
    at = np.flatnonzero(words[order[1:], 0] == words[order[:-1], 0])
    here, there = order[at], order[at + 1]
    if (words[here] != words[there]).any() or (numbers[here] >= numbers[there]).any():
        order = np.lexsort((keys, numbers, *words.T.astype(np.uint64)[::-1]))
    return order


def in_order(found: Remembered) -> Remembered:
    """The same faces as they are to stand."""
    return taken(found, _order([found]))


def _laid(parts: Sequence[Remembered], at: Sequence[NDArray[np.int64]]) -> Remembered:
    """The faces of all parts, each part's at these places: every array is copied once."""
    count, laid = sum(map(len, at)), {}
    for name in _OF_FACES:
        given = [getattr(part, name) for part in parts]
        laid[name] = np.empty((count, *given[0].shape[1:]), given[0].dtype)
        for array, places in zip(given, at, strict=True):
            laid[name][places] = array
    return replace(parts[0], **laid)


def merged(
    last: Remembered, kept: NDArray[np.bool_], came: Remembered
) -> tuple[Remembered, NDArray[np.int64]]:
    """All faces that there are, in order, and where each of `last` stands now. Labels stand for places of now."""
    if not len(came) and kept.all():
        return last, np.arange(len(last))
    there = last if kept.all() else taken(last, kept)
    order = _order([there, came])
    at = np.empty(len(order), np.int64)
    at[order] = np.arange(len(order))
    places = np.full(len(last), NOBODY, np.int64)
    places[kept] = at[: len(there)]
    moved = np.append(places, NOBODY)
    now = _laid([there, came], [at[: len(there)], at[len(there) :]])
    return replace(now, labels=moved[now.labels], components=moved[now.components]), places


def files_of(store: Store, workspace: Workspace | None) -> list[Path]:
    """Where it lies: in the workspace, or beside the SQLite file. The first is the one to use; a Python program that was
    given no workspace may have left the other."""
    folders = [workspace.root] if workspace is not None else []
    if store.file is not None:
        folders.append(store.file.parent)
    elif workspace is None and not store.is_sqlite:
        folders.append(Workspace().root)
    return [folder / NAME for folder in dict.fromkeys(folders)]


def load(path: Path) -> Remembered:
    """What is in the file; nothing where there is no such file, or one that cannot be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            if int(held["version"]) != VERSION:
                return nothing()
            found = Remembered(**{field.name: held[field.name] for field in fields(Remembered)})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return nothing()
    return found if _fits(found) else nothing()


def _fits(found: Remembered) -> bool:
    """Whether the arrays belong together: a file that somebody else has written may hold anything."""
    model = nothing()
    count = len(found.keys)
    for field in fields(Remembered):
        array, like = getattr(found, field.name), getattr(model, field.name)
        long = {"apart": len(found.apart), "stamp": 4}.get(field.name, count)
        if array.dtype != like.dtype or array.shape != (long, *like.shape[1:]):
            return False
    inside = (found.places, found.labels, found.components, found.apart[:, 0])
    return all(array.size == 0 or (array.min() >= -1 and array.max() < count) for array in inside)


def save(found: Remembered, path: Path) -> None:
    """Put it into the file, in one rename. Not while the disk is full: it is a saving, no promise. A file that is torn by a
    loss of power fails its checksums."""
    part = part_path(path, secrets.token_hex(8))
    with suppress(OSError):
        forget_parts(path)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                np.savez(
                    file, version=np.int64(VERSION), **{f.name: getattr(found, f.name) for f in fields(found)}
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def forget_parts(path: Path) -> list[Path]:
    """Delete what killed runs have left beside the file; these."""
    left = list(path.parent.glob(f".{path.name}.*.part"))
    for part in left:
        part.unlink(missing_ok=True)
    return left
