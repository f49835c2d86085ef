"""What a region's outline and the lines in and around it look like to a small convolutional network.

`windows` cuts two squares out of a drawing around each region, one close and one far; `pictured` says what each shows.
A description by directions of lines in a few cells tells hair from a coat; whose hair it is, its exact outline tells. The
network (`outlines.npz`, trained by `benchmarks/train_flats.py`) sees regions and ink, never a colour. Plain matrix
products of NumPy, single precision.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import describe
from .arrays import unpacked
from .ink import Plane
from .regions import Labels

SIDE = describe.WINDOW
"""Pixels across a window."""
BOXES = describe.BOXES
"""Windows around a region, as multiples of the longer side of its box."""
LEVELS = 5
"""Halvings of a drawing that windows are taken from."""
LAYERS = 3
WIDTH = 96
"""Values that say what a region's windows show."""
BATCH = 128
"""Regions that the network sees at a time."""
Windows = NDArray[np.uint8]


def windows(line: Plane, labels: Labels, what: describe.Shapes) -> Windows:
    """Each region's windows, (n, len(BOXES), 2, SIDE, SIDE): how much of a pixel is the region, and how much is ink.

    0 to 255; beyond the drawing there is nothing."""
    inks = describe.pyramid(line, LEVELS)
    thinned = [labels[2**k // 2 :: 2**k, 2**k // 2 :: 2**k] for k in range(LEVELS + 1)]
    found = np.zeros((what.count, len(BOXES), 2, SIDE, SIDE), np.uint8)
    warp = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for i in range(what.count):
        x0, y0, x1, y1 = (int(v) for v in what.box[i])
        cx, cy, side = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0, 16)
        for b, times in enumerate(BOXES):
            across = side * times
            found[i, b, 1] = np.rint(describe.window(inks, cx, cy, across) * 255)
            level = describe.level_of(across, LEVELS)
            step = 2**level
            left, top = x0 // step, y0 // step
            own = thinned[level][top : y1 // step + 1, left : x1 // step + 1] == i + 1
            if own.size:
                scale = across / SIDE / step
                corner = (cx - across / 2) / step, (cy - across / 2) / step
                move = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]], np.float32)
                move[:, 2] -= (left, top)
                drawn = cv2.warpAffine(own.astype(np.float32) * 255, move, (SIDE, SIDE), flags=warp)
                found[i, b, 0] = np.rint(drawn)
    return found


def mirrored(seen: Windows) -> Windows:
    """The windows of the same drawing in a mirror."""
    return np.ascontiguousarray(seen[..., ::-1])


@lru_cache(maxsize=1)
def _weights() -> dict[str, NDArray[np.float32]]:
    halved = unpacked((files(__package__) / "outlines.npz").read_bytes())
    return {name: array.astype(np.float32) for name, array in halved.items()}


def pictured(seen: Windows) -> NDArray[np.float32]:
    """What each region's windows show, (n, WIDTH), of length 1."""
    w = _weights()
    out = np.zeros((len(seen), WIDTH), np.float32)
    for start in range(0, len(seen), BATCH):
        parts = []
        for b in range(len(BOXES)):
            part = seen[start : start + BATCH, b].transpose(0, 2, 3, 1)
            x: NDArray[Any] = np.ascontiguousarray(part, np.float32) / np.float32(255)
            for layer in range(LAYERS):
                name = f"{b}.{layer}"
                x = np.maximum(_halved(x) @ w[f"{name}.weight"] + w[f"{name}.bias"], 0)
            parts.append(x.reshape(len(x), -1) @ w[f"{b}.out.weight"] + w[f"{b}.out.bias"])
        both = np.concatenate(parts, axis=1)
        out[start : start + BATCH] = both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-6)
    return out


def _halved(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 3 x 3 pixels around every second one of (n, h, w, c), (n, h / 2, w / 2, 9 c)."""
    _, h, w, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.concatenate(
        [padded[:, dy : dy + h : 2, dx : dx + w : 2] for dy in range(3) for dx in range(3)], axis=3
    )
