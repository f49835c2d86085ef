"""Tasks for tests of the engine, as a worker calls them: `function(progress, **args)` with plain values."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from batch_processing.backends.base import Progress
from batch_processing.exceptions import ImageProcessingError, ResourceError
from batch_processing.io.outputs import write_part


def echo(progress: Progress, **args: Any) -> dict[str, Any]:
    return args


def pid(progress: Progress) -> dict[str, Any]:
    return {"pid": os.getpid()}


def wrong_image(progress: Progress) -> dict[str, Any]:
    raise ImageProcessingError("page.png", "it is torn")


def bug(progress: Progress) -> dict[str, Any]:
    return {}["missing"]  # type: ignore[no-any-return]


def disk_full(progress: Progress) -> dict[str, Any]:
    raise ResourceError("no room") from OSError(28, "No space left on device")


def leave(progress: Progress, *, code: int) -> dict[str, Any]:
    os._exit(code)


def segfault(progress: Progress) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def hang(progress: Progress, *, seconds: float = 600.0) -> dict[str, Any]:
    time.sleep(seconds)
    return {}


def steps(progress: Progress, *, count: int, seconds: float) -> dict[str, Any]:
    for done in range(count):
        progress(done, count)
        time.sleep(seconds)
    return {"count": count}


def eat(progress: Progress, *, size: int) -> dict[str, Any]:
    return {"size": len(bytearray(size))}


def eat_by_cv2(progress: Progress, *, side: int) -> dict[str, Any]:
    import cv2
    import numpy as np

    small = np.zeros((2, 2), np.uint8)
    return {"size": cv2.resize(small, (side, side)).size}


def not_plain(progress: Progress) -> dict[str, Any]:
    return {"function": lambda: None}


def noisy(progress: Progress) -> dict[str, Any]:
    print("a library talks to stdout")
    sys.stderr.write("and to stderr\n")
    logging.getLogger("some.library").info("a record")
    warnings.warn("a warning", UserWarning, stacklevel=1)
    return {}


def write(
    progress: Progress,
    *,
    part: str,
    text: str,
    times: int = 1,
    seconds: float = 0.0,
    once: str | None = None,
    how: str = "",
) -> dict[str, Any]:
    """Write `text`, that many `times`, to `part` after `seconds`. `how`, unless the file `once` exists by then: how to fail."""
    for step in range(int(seconds * 20)):
        progress(step, int(seconds * 20))
        time.sleep(0.05)
    sha256 = write_part(Path(part), text.encode() * times)
    if how and (once is None or not Path(once).exists()):
        if once is not None:
            Path(once).touch()
        if how == "die":
            os._exit(9)
        if how == "hang":
            time.sleep(600)
        if how == "together":
            return {"sha256": sha256, "details": {}}
        if how == "full":
            raise OSError(28, "No space left on device", part)
        raise ImageProcessingError(part, how)
    return {"sha256": sha256, "details": {"pid": os.getpid()}}


def write_together(
    progress: Progress, works: list[dict[str, Any]]
) -> list[dict[str, Any] | ImageProcessingError]:
    """`write` for each; `how` "together" is a fault that only shows in company."""
    if any(work.get("how") == "together" for work in works):
        raise KeyError("together")
    found: list[dict[str, Any] | ImageProcessingError] = []
    for work in works:
        try:
            value = write(progress, **work)
        except ImageProcessingError as error:
            found.append(error)
        else:
            found.append({**value, "details": {"together": len(works)}})
    return found
