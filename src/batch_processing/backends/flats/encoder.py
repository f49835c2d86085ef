"""What regions of inked line art show, in the eyes of a small convolutional network.

`pooled` looks at a whole drawing once and gives each region the mean of what the network says of its places: hair
under a hat lies near hair under a hat, however it is drawn. The network (`encoder.npz`, trained by
`benchmarks/train_encoder.py`) was taught by a larger one that has seen photographs; it sees ink alone, never a colour.
Depthwise separable blocks as in MobileNetV2 (Sandler et al. 2018), their batch norms within the weights. Plain matrix
products of NumPy, single precision, the same on each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .arrays import unpacked
from .ink import Plane
from .regions import Labels

Map = NDArray[np.float32]

SCALE = 0.5
"""The network sees the ink at this share of the size that flats works at."""
WIDTH = 128
"""Values that describe a region."""
STEP = 4
"""Every so many pixels across and down a region is asked; all of them where it has fewer than FEW."""
FEW = 512


@lru_cache(maxsize=1)
def _weights() -> dict[str, Map]:
    halved = unpacked((files(__package__) / "encoder.npz").read_bytes())
    return {name: array.astype(np.float32) for name, array in halved.items()}


def small(line: Plane) -> NDArray[np.uint8]:
    """Ink of (h, w), 0 to 1, as the network takes it: 0 to 255 at SCALE."""
    h, w = line.shape
    size = (max(32, round(w * SCALE)), max(32, round(h * SCALE)))
    return np.asarray(np.rint(cv2.resize(line, size, interpolation=cv2.INTER_AREA) * 255), np.uint8)


def pooled(line: Plane, labels: Labels, count: int) -> NDArray[np.float32]:
    """What each of `count` regions shows, (count, WIDTH), for ink and labels of (h, w)."""
    w = _weights()
    shown = np.tile(w["bias"], (count, 1))
    asked = _asked(labels, count)
    for number, seen in enumerate(_maps(small(line))):
        high, wide, channels = seen.shape
        # The last layer is linear, so that it can follow the mean.
        shown += (_means(asked, count, high, wide) @ seen.reshape(-1, channels)) @ w[f"out.{number}"]
    return np.asarray(shown, np.float32)


@dataclass(frozen=True)
class _Asked:
    """The n pixels at which regions are asked: from 0 to 1 across and down the drawing, and the region of each, from 0."""

    down: NDArray[np.float64]
    across: NDArray[np.float64]
    region: NDArray[np.int64]
    times: NDArray[np.int64]
    """How many pixels of its region are asked."""


def _asked(labels: Labels, count: int) -> _Asked:
    h, w = labels.shape
    asked = (np.bincount(labels.ravel(), minlength=count + 1) < FEW)[labels]
    asked[STEP // 2 :: STEP, STEP // 2 :: STEP] = True
    at = np.flatnonzero(asked)
    ys, xs = np.divmod(at, w)
    region = labels.ravel()[at].astype(np.int64) - 1
    times = np.maximum(np.bincount(region, minlength=count), 1)
    return _Asked((ys + 0.5) / h, (xs + 0.5) / w, region, times[region])


def _means(asked: _Asked, count: int, high: int, wide: int) -> Any:
    """Sparse (count, high * wide): the mean over each region of a map that is laid bilinearly over the drawing."""
    from scipy.sparse import csr_array

    y = np.clip(asked.down * high - 0.5, 0, high - 1)
    x = np.clip(asked.across * wide - 0.5, 0, wide - 1)
    top, left = (np.minimum(at.astype(np.int64), max(0, size - 2)) for at, size in ((y, high), (x, wide)))
    down, right = y - top, x - left
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    cell = np.concatenate(
        [np.minimum(top + a, high - 1) * wide + np.minimum(left + b, wide - 1) for a, b in corners]
    )
    share = np.concatenate([(down if a else 1 - down) * (right if b else 1 - right) for a, b in corners])
    rows = np.tile(asked.region, 4)
    share /= np.tile(asked.times, 4)
    return csr_array((share.astype(np.float32), (rows, cell)), shape=(count, high * wide))


def _maps(ink: NDArray[np.uint8]) -> list[Map]:
    """What the network says at strides 8, 16 and 32 of ink (h, w), each (h / stride, w / stride, channels)."""
    w = _weights()
    plane = np.pad(ink.astype(np.float32) / 255, 1)
    high, wide = (ink.shape[0] + 1) // 2, (ink.shape[1] + 1) // 2
    around = np.stack(
        [plane[dy : dy + 2 * high - 1 : 2, dx : dx + 2 * wide - 1 : 2] for dy in range(3) for dx in range(3)],
        axis=-1,
    )
    x = np.maximum(around @ w["stem.weight"] + w["stem.bias"], 0)
    found = []
    stages = w["stages"].astype(int).tolist()  # blocks of each stage
    number = 0
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            before = x
            x = np.maximum(before @ w[f"{number}.a.weight"] + w[f"{number}.a.bias"], 0)
            x = np.maximum(
                _filtered(x, w[f"{number}.d.weight"], 2 if block == 0 else 1) + w[f"{number}.d.bias"], 0
            )
            x = x @ w[f"{number}.b.weight"] + w[f"{number}.b.bias"]
            if before.shape == x.shape:
                x += before
            number += 1
        if stage > 0:
            found.append(x)
    return found


def _filtered(x: Map, kernel: Map, stride: int) -> Map:
    """Each channel of (h, w, c) by its own kernel, (9, c)."""
    high, wide = (x.shape[0] + stride - 1) // stride, (x.shape[1] + stride - 1) // stride
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    total = np.zeros((high, wide, x.shape[2]), np.float32)
    # A row at a time, which stays in the processor's cache.
    times = np.empty((wide, x.shape[2]), np.float32)
    for y in range(high):
        for k, weight in enumerate(kernel):
            dy, dx = divmod(k, 3)
            seen = padded[y * stride + dy, dx : dx + stride * (wide - 1) + 1 : stride]
            total[y] += np.multiply(seen, weight, out=times)
    return total
