"""Arrays in a file: npz without pickle, whose bytes are a function of the arrays alone."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...exceptions import ImageProcessingError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

# What zipfile raises for bytes that are no archive, or no longer the one that was written.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
)  # fmt: skip
Arrays = Mapping[str, NDArray[Any]]
# What arrays are called in files: those of earlier versions stay readable, and the bytes as they were.
_STORED_NAMES = {"color": "colour", "region_color": "region_colour", "point_color": "point_colour"}
_NAMES = {stored: name for name, stored in _STORED_NAMES.items()}


def packed(arrays: Arrays, *, level: int = 1) -> bytes:
    """The file's bytes, the arrays in their order. `level` of compression, 1 (fast) to 9."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            # A fixed date: the bytes must not tell when they were written.
            entry = zipfile.ZipInfo(f"{_STORED_NAMES.get(name, name)}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, level)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a file of `packed`. ValueError if it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Read whole, and so with its checksum, before numpy believes what it says of its size.
            members = {name: io.BytesIO(archive.read(name)) for name in archive.namelist()}
        stored = {name.removesuffix(".npy"): member for name, member in members.items()}
        return {
            _NAMES.get(name, name): np.lib.format.read_array(member, allow_pickle=False)
            for name, member in stored.items()
        }
    except _DAMAGE as fault:
        raise ValueError("damaged arrays") from fault


def restored(kind: type[T], data: bytes) -> T:
    """A dataclass of arrays from the file that holds its fields. ValueError if that is damaged."""
    found = unpacked(data)
    names = [field.name for field in fields(kind)]
    if missing := set(names) - found.keys():
        raise ValueError(f"without {min(missing)}")
    return kind(**{name: found[name] for name in names})


def learned(kind: type[T], path: Path) -> T:
    """The same from a file on disk. ImageProcessingError if it is damaged or cannot be read."""
    try:
        return restored(kind, path.read_bytes())
    except (OSError, ValueError) as fault:
        raise damaged(path) from fault


def damaged(path: Path) -> ImageProcessingError:
    """That a file of what was learned is damaged, or cannot be read."""
    return ImageProcessingError(
        path, "what was learned cannot be read; delete this file and start the job again to learn anew"
    )
