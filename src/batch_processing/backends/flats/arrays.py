"""Arrays in a file: npz without pickle, whose bytes are a function of the arrays alone."""

from __future__ import annotations

import io
import zipfile
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

Arrays = Mapping[str, NDArray[Any]]


def packed(arrays: Arrays, *, level: int = 1) -> bytes:
    """The file's bytes, the arrays in their order. `level` of compression, 1 (fast) to 9."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            # A fixed date: the bytes must not tell when they were written.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, level)
    return buffer.getvalue()


def unpacked(file: Path | bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a file. OSError, ValueError or BadZipFile if it is none."""
    with np.load(io.BytesIO(file) if isinstance(file, bytes) else file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def learned(kind: type[T], path: Path) -> T:
    """A dataclass of arrays from the file that holds its fields. ImageProcessingError if that is damaged."""
    try:
        found = unpacked(path)
        return kind(**{field.name: found[field.name] for field in fields(kind)})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise ImageProcessingError(
            path, "what was learned cannot be read; delete this file and start the job again to learn anew"
        ) from fault
