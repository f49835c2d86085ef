"""What a region looks like: descriptors of the drawing in and around it, never of its colour.

Two kinds: one row per region (its shape and the lines around it), and rows for points spread over the regions
(the lines around the point at three scales). Rows of two drawings of one thing lie near each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from . import runs
from .ink import Mask, Plane
from .regions import Labels

Rows = NDArray[np.float32]

BOXES = (1.3, 3.0)
"""Windows around a region that are described, as multiples of its bounding box."""
WINDOW = 32
"""Pixels across a window."""
STRIDE = 24.0
"""Distance between described points, in units of length (see ink.UNIT_SIDE)."""
SCALES = (1.5, 3.0, 6.0, 12.0)
"""Scales of the point descriptor: units of length per pixel of its window."""
REGION_WIDTH = len(BOXES) * 128 + 64 + 9
"""Values in a row that describes a region."""
POINT_WIDTH = len(SCALES) * 68 + 1
"""Values in a row that describes a point."""
ACROSS = len(BOXES) * 128 + 64 + 3
"""Column of a region's row that tells how far to the right it lies in its panel, and the weight it has."""
ACROSS_WEIGHT = 0.25
RING = 9
"""Radius of the inner ring of samples around a point, in pixels of its scale; the outer one is twice that."""


@dataclass
class Shapes:
    """Plain facts of the regions of a page, one row each (region 1 in row 0)."""

    area: NDArray[np.float64]
    box: NDArray[np.int32]
    """x0, y0, x1, y1 in pixels, the ends exclusive."""
    center: NDArray[np.float64]
    """x, y in pixels."""

    @property
    def count(self) -> int:
        return len(self.area)


def shapes(labels: Labels) -> Shapes:
    """Measure the regions of (h, w) labels 1..n."""
    n = int(labels.max())
    found = runs.find(labels)
    row = labels.ravel()[found.first]
    y, x = np.divmod(found.first, labels.shape[1])
    last = x + found.length - 1
    area = np.bincount(row, found.length, minlength=n + 1)
    safe = np.maximum(area, 1)
    # Sums of whole numbers, and of halves: in any order they are exact.
    across = np.bincount(row, found.length * ((x + last) / 2), minlength=n + 1) / safe
    down = np.bincount(row, found.length * y, minlength=n + 1) / safe
    box = np.zeros((n + 1, 4), np.int32)
    box[:, :2] = max(labels.shape)
    for side, value, least in ((0, x, True), (1, y, True), (2, last + 1, False), (3, y + 1, False)):
        (np.minimum if least else np.maximum).at(box[:, side], row, value.astype(np.int32))
    box[area == 0] = 0
    return Shapes(area[1:].astype(np.float64), box[1:], np.stack([across, down], axis=1)[1:])


def describe_regions(line: Plane, labels: Labels, what: Shapes, frame: NDArray[np.float32]) -> Rows:
    """One row per region. `frame` holds the panel of each region as x0, y0, x1, y1 in pixels."""
    h, w = labels.shape
    soft = cv2.GaussianBlur(line, (0, 0), max(h, w) / 1400)
    levels = pyramid(np.asarray(soft, np.float32), 3)
    crops = np.zeros((len(BOXES), what.count, WINDOW, WINDOW), np.float32)
    masks = np.zeros((what.count, 64), np.float32)
    for i in range(what.count):
        x0, y0, x1, y1 = (float(v) for v in what.box[i])
        own = (labels[int(y0) : int(y1), int(x0) : int(x1)] == i + 1).astype(np.float32)
        masks[i] = cv2.resize(own, (8, 8), interpolation=cv2.INTER_AREA).ravel()
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        side = max(x1 - x0, y1 - y0, 16)
        for b, times in enumerate(BOXES):
            crops[b, i] = window(levels, cx, cy, side * times)
    parts = [0.5 * _gradients(crops[b]) for b in range(len(BOXES))]
    parts.append(0.12 * (masks - 0.5))
    parts.append(_scalars(what, frame, h, w))
    return np.concatenate(parts, axis=1).astype(np.float32)


def pyramid(plane: Plane, halvings: int) -> tuple[Plane, ...]:
    """A plane (h, w), and its mean at half of the size, a quarter and so on."""
    levels = [plane]
    for _ in range(halvings):
        h, w = levels[-1].shape
        smaller = cv2.resize(levels[-1], (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(smaller, np.float32))
    return tuple(levels)


def level_of(side: float, halvings: int) -> int:
    """Which level of a pyramid a square of so many pixels across is taken from, so that none of it is passed over."""
    return int(np.clip(np.floor(np.log2(max(side / WINDOW, 1))), 0, halvings))


def window(levels: tuple[Plane, ...], cx: float, cy: float, side: float) -> Plane:
    """A square of a pyramid's plane around a point, WINDOW pixels across; beyond the plane there is nothing."""
    level = level_of(side, len(levels) - 1)
    scale = 0.5**level
    step = side * scale / WINDOW
    move = np.array(
        [[step, 0, cx * scale - side * scale / 2], [0, step, cy * scale - side * scale / 2]], np.float32
    )
    return np.asarray(
        cv2.warpAffine(
            levels[level],
            move,
            (WINDOW, WINDOW),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=0,
        ),
        np.float32,
    )


def _gradients(crops: Rows) -> Rows:
    """Histograms of 8 directions in 4 x 4 cells of (n, 32, 32) windows, normalised: (n, 128)."""
    n = len(crops)
    gy = np.zeros_like(crops)
    gx = np.zeros_like(crops)
    gy[:, 1:-1] = crops[:, 2:] - crops[:, :-2]
    gx[:, :, 1:-1] = crops[:, :, 2:] - crops[:, :, :-2]
    size = np.hypot(gx, gy)
    turn = (np.arctan2(gy, gx) % np.pi) * (8 / np.pi)
    low = np.floor(turn).astype(np.int64) % 8
    part = (turn - np.floor(turn)).astype(np.float32)
    cell = (np.arange(32) // 8)[:, None] * 4 + np.arange(32) // 8
    base = np.arange(n)[:, None, None] * 128 + cell * 8
    out = np.bincount((base + low).ravel(), (size * (1 - part)).ravel(), minlength=n * 128)
    out += np.bincount((base + (low + 1) % 8).ravel(), (size * part).ravel(), minlength=n * 128)
    rows = np.sqrt(out.reshape(n, 128))
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 0.5), np.float32)


def _scalars(what: Shapes, frame: NDArray[np.float32], h: int, w: int) -> Rows:
    """Size, form and place in the panel, weighted to count about as much as the windows do."""
    wide = np.maximum(what.box[:, 2] - what.box[:, 0], 1)
    high = np.maximum(what.box[:, 3] - what.box[:, 1], 1)
    fw = np.maximum(frame[:, 2] - frame[:, 0], 1)
    fh = np.maximum(frame[:, 3] - frame[:, 1], 1)
    near = 0.02 * max(h, w)
    columns = [
        0.10 * np.log(what.area / (fw * fh) + 1e-5),
        0.12 * np.log(wide / high),
        0.4 * what.area / (wide * high),
        ACROSS_WEIGHT * (what.center[:, 0] - frame[:, 0]) / fw,
        0.6 * (what.center[:, 1] - frame[:, 1]) / fh,
        0.15 * (what.box[:, 0] - frame[:, 0] < near),
        0.15 * (frame[:, 2] - what.box[:, 2] < near),
        0.25 * (what.box[:, 1] - frame[:, 1] < near),
        0.25 * (frame[:, 3] - what.box[:, 3] < near),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def describe_points(
    line: Plane, inked: Mask, unit: float, frame_of: NDArray[np.float32], labels: Labels
) -> tuple[NDArray[np.int32], Rows]:
    """Points on a grid, off the ink: (n, 2) x, y in pixels, and one row each."""
    h, w = line.shape
    step = max(2, round(STRIDE * unit))
    ys, xs = np.mgrid[step // 2 : h : step, step // 2 : w : step]
    ys, xs = ys.ravel(), xs.ravel()
    off = ~inked[ys, xs]
    ys, xs = ys[off], xs[off]
    parts = []
    for scale in SCALES:
        per = scale * unit
        size = (max(8, round(w / per)), max(8, round(h / per)))
        small = cv2.resize(line, size, interpolation=cv2.INTER_AREA if per >= 1 else cv2.INTER_LINEAR)
        parts.append(_samples(np.asarray(small, np.float32), xs * (size[0] / w), ys * (size[1] / h)))
    rows = np.concatenate(parts, axis=1)
    frame = frame_of[labels[ys, xs] - 1]
    place = (ys - frame[:, 1]) / np.maximum(frame[:, 3] - frame[:, 1], 1)
    rows = np.concatenate([rows, 0.5 * place[:, None].astype(np.float32)], axis=1)
    return np.stack([xs, ys], axis=1).astype(np.int32), rows.astype(np.float32)


def _samples(small: Plane, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Rows:
    """Directions of the lines at a point and on two rings around it (after DAISY, Tola 2010): (n, 68)."""
    gx = cv2.Sobel(small, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(small, cv2.CV_32F, 0, 1, ksize=3)
    size = np.maximum(np.hypot(gx, gy), np.float32(1e-12))
    # Four directions, soft: size times cos^2 of the angle to each, a line's two flanks alike.
    turns = [(np.float32(np.cos(k * np.pi / 4)), np.float32(np.sin(k * np.pi / 4))) for k in range(4)]
    maps = [(gx * across + gy * down) ** 2 / size for across, down in turns]
    fine = np.stack([cv2.GaussianBlur(m, (0, 0), 2.5) for m in maps], axis=2)
    coarse = np.stack([cv2.GaussianBlur(m, (0, 0), 5.0) for m in maps], axis=2)
    h, w = small.shape
    angle = np.arange(8) * np.pi / 4
    parts = []
    for planes, radius, around in ((fine, 0, [0.0]), (fine, RING, angle), (coarse, 2 * RING, angle)):
        for a in around:
            x = np.rint(xs + radius * np.cos(a)).astype(np.int64)
            y = np.rint(ys + radius * np.sin(a)).astype(np.int64)
            inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
            values = planes[np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)]
            parts.append(values * inside[:, None])
    rows = np.sqrt(np.maximum(np.concatenate(parts, axis=1), 0))
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 0.5), np.float32)


def mirrored_region_columns() -> NDArray[np.int64]:
    """Where each value of a region's row stands in the row of the mirrored drawing (ACROSS changes its value)."""
    box, y, x, turn = np.meshgrid(
        np.arange(len(BOXES)), np.arange(4), np.arange(4), np.arange(8), indexing="ij"
    )
    windows = ((box * 4 + y) * 4 + 3 - x) * 8 + (-turn) % 8
    down, across = np.mgrid[:8, :8]
    mask = windows.size + down * 8 + 7 - across
    # Of the plain facts the left and the right side of the panel change places.
    facts = windows.size + mask.size + np.array([0, 1, 2, 3, 4, 6, 5, 7, 8])
    return np.concatenate([windows.ravel(), mask.ravel(), facts])


def mirrored_point_columns() -> NDArray[np.int64]:
    """The same for the row of a point."""
    ring = (4 - np.arange(8)) % 8
    sample = np.concatenate([[0], 1 + ring, 9 + ring])
    scale, place, turn = np.meshgrid(np.arange(len(SCALES)), sample, np.arange(4), indexing="ij")
    columns = (scale * 17 + place) * 4 + (-turn) % 4
    return np.append(columns.ravel(), columns.size)
