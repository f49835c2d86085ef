"""What a person says about a page: coloured points and strokes, and regions to leave alone.

Two kinds of file. `.hints.png` is transparent but for strokes in the colours wanted, of the page's size.
`.hints.json` holds any of

    {"points":  [{"x": 10, "y": 20, "color": "#c0392b"}, {"x": 5, "y": 7, "id": 3}],
     "strokes": [{"points": [[10, 20], [60, 20]], "color": [192, 57, 43]}],
     "lock":    [{"x": 300, "y": 40}]}

in pixels of the page; `id` is an id of the job's palette; a locked region stays paper. What cannot be
understood is an error that names the file and the entry; nothing is ignored in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...exceptions import ImageProcessingError, reason
from ...messages import Message
from ...reading import json_of, read_whole
from .regions import Labels, nearest_label

Rgb = tuple[int, int, int]
PAPER: Rgb = (255, 255, 255)
LARGEST_FILE = 4 << 20
"""Bytes of a `.hints.json`."""
MOST_ENTRIES = 10_000
"""Points, strokes and locks of one page, and points of one stroke: a person draws some hundreds."""
MOST_COLORS = 1_000
"""Colours of the strokes of one page."""


@dataclass(frozen=True)
class Stroke:
    """A line of one colour through points of the page in pixels; one point is a dot."""

    points: tuple[tuple[float, float], ...]
    rgb: Rgb


@dataclass(frozen=True)
class Hints:
    """All that was said about one page, of `width` x `height` pixels."""

    width: int
    height: int
    strokes: tuple[Stroke, ...] = ()
    painted: NDArray[np.uint8] | None = None
    """RGBA of the page's size, from a `.hints.png`."""

    def seeds(self, width: int, height: int) -> tuple[NDArray[np.int32], list[Rgb]]:
        """A map of (height, width) with the number of a colour (from 1) where there is a hint, and the colours."""
        seeds = np.zeros((height, width), np.int32)
        colors: list[Rgb] = []
        sx, sy = width / self.width, height / self.height
        if self.painted is not None:
            shown = cv2.resize(self.painted, (width, height), interpolation=cv2.INTER_NEAREST)
            on = shown[..., 3] >= 200
            code = shown[..., :3].astype(np.int32) @ np.array([65536, 256, 1], np.int32)
            # Not colour by colour: a painted file can have as many as it has pixels.
            values, which = np.unique(code[on], return_inverse=True)
            colors += [(value >> 16, value >> 8 & 255, value & 255) for value in values.tolist()]
            seeds[on] = which + 1
        for stroke in self.strokes:
            if stroke.rgb not in colors:
                colors.append(stroke.rgb)
            number = colors.index(stroke.rgb) + 1
            at = [
                (min(width - 1, int((x + 0.5) * sx)), min(height - 1, int((y + 0.5) * sy)))
                for x, y in stroke.points
            ]
            if len(at) == 1:
                seeds[at[0][1], at[0][0]] = number
            else:
                cv2.polylines(seeds, [np.array(at, np.int32)], isClosed=False, color=number, thickness=1)
        return seeds, colors


def read(path: Path, width: int, height: int, palette: dict[int, Rgb]) -> Hints:
    """Read the hints of a page of `width` x `height` pixels; `palette` gives the colours of the job's ids."""
    if path.suffix.lower() == ".json":
        return Hints(width, height, tuple(_from_json(path, width, height, palette)))
    from ...io.images import opened
    from ...io.profiles import to_srgb

    painted = None
    try:
        with opened(path) as (picture, kind):
            size = picture.size
            if kind == "PNG" and size == (width, height):
                painted = np.array(picture.convert("RGBA"))
                icc = picture.info.get("icc_profile")
                painted[..., :3] = to_srgb(painted[..., :3], icc if icc and icc[16:20] == b"RGB " else None)
    except ImageProcessingError as fault:
        raise ImageProcessingError(
            path, "these hints are no readable PNG ({fault}); save them again", fault=fault.why
        ) from fault
    except (OSError, SyntaxError, ValueError) as fault:
        raise ImageProcessingError(path, "these hints are no readable PNG; save them again") from fault
    if kind != "PNG":
        raise ImageProcessingError(path, "these hints are no readable PNG; save them again")
    if painted is None:
        raise ImageProcessingError(
            path,
            "these hints are {hints_width} x {hints_height} pixels and their page is {width} x {height}",
            hints_width=size[0],
            hints_height=size[1],
            width=width,
            height=height,
        )
    if (painted[..., 3] >= 200).mean() > 0.9:
        raise ImageProcessingError(
            path, "these hints have no transparent background: only strokes may be opaque"
        )
    return Hints(width, height, (), painted)


def _from_json(path: Path, width: int, height: int, palette: dict[int, Rgb]) -> list[Stroke]:
    try:
        data = json_of(read_whole(path, LARGEST_FILE))
    except (OSError, ValueError) as fault:
        raise ImageProcessingError(
            path, "these hints are no readable JSON: {fault}", fault=reason(fault)
        ) from fault
    kinds = {"points", "strokes", "lock"}
    if not isinstance(data, dict) or not kinds.issuperset(data):
        raise ImageProcessingError(
            path, 'hints are an object with the keys "points", "strokes" and "lock" only'
        )
    strokes = []
    for kind in ("points", "strokes", "lock"):
        entries = data.get(kind, [])
        if not isinstance(entries, list):
            raise ImageProcessingError(path, '"{kind}" must be a list', kind=kind)
        if len(entries) > MOST_ENTRIES:
            raise ImageProcessingError(
                path,
                '"{kind}" has more than the limit of {limit} entries',
                kind=kind,
                limit=MOST_ENTRIES,
            )
        for number, entry in enumerate(entries):
            try:
                strokes.append(_stroke(kind, entry, width, height, palette))
            except (KeyError, TypeError, ValueError, OverflowError) as fault:
                why = (
                    Message("{key} is missing", key=repr(fault.args[0]))
                    if isinstance(fault, KeyError)
                    else reason(fault)
                )
                raise ImageProcessingError(
                    path, '"{kind}" entry {entry}: {why}', kind=kind, entry=number + 1, why=why
                ) from fault
    if len({stroke.rgb for stroke in strokes}) > MOST_COLORS:
        raise ImageProcessingError(
            path, "these hints have more than the limit of {limit} colours", limit=MOST_COLORS
        )
    return strokes


def _stroke(kind: str, entry: Any, width: int, height: int, palette: dict[int, Rgb]) -> Stroke:
    points = entry["points"] if kind == "strokes" else [(entry["x"], entry["y"])]
    if len(points) > MOST_ENTRIES:
        raise ValueError(Message("a stroke has at most {limit} points", limit=MOST_ENTRIES))
    at = tuple((float(x), float(y)) for x, y in points)
    if not at:
        raise ValueError(Message("a stroke needs points"))
    for x, y in at:
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(
                Message(
                    "({x}, {y}) lies outside of the page of {width} x {height} pixels",
                    x=f"{x:g}",
                    y=f"{y:g}",
                    width=width,
                    height=height,
                )
            )
    if kind == "lock":
        return Stroke(at, PAPER)
    if "id" in entry:
        if entry["id"] not in palette:
            raise ValueError(Message("the palette has no id {color}", color=repr(entry["id"])))
        return Stroke(at, palette[entry["id"]])
    return Stroke(at, _color(entry["color"]))


def _color(value: Any) -> Rgb:
    if isinstance(value, str) and len(value) == 7 and value[0] == "#":
        return (int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16))
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return (value[0], value[1], value[2])
    raise ValueError(Message("{color} is no colour: write #rrggbb or [r, g, b]", color=repr(value)))


def apply(
    labels: Labels, seeds: NDArray[np.int32], line: NDArray[np.float32]
) -> tuple[Labels, NDArray[np.int32], NDArray[np.int64]]:
    """Fix regions to the colours that touch them; a region touched by several is split between them.

    Gives the labels, with new numbers at the end where a region was split; the colour number (from 1) of
    each region, 0 where nobody said anything; and the row of the region that each was a part of.
    """
    labels = labels.copy()
    count = int(labels.max())
    said = [0] * count
    home = list(range(count))
    for region, meant in _meant(labels, seeds):
        said[region - 1] = meant[0]
        if len(meant) > 1:
            mine = labels == region
            parts = parted(mine, np.where(np.isin(seeds, meant), seeds, 0), line)
            for number in meant[1:]:
                said.append(number)
                home.append(region - 1)
                labels[mine & (parts == number)] = len(said)
    return labels, np.array(said, np.int32), np.array(home, np.int64)


SLIP = 0.1
"""A stroke with no more than this share of its length in a region slipped over the line, where another colour speaks."""


def _meant(labels: Labels, seeds: NDArray[np.int32]) -> list[tuple[int, list[int]]]:
    """The regions that were spoken of, and the colours that each was meant to have, both ascending."""
    ys, xs = np.nonzero(seeds)
    mark = _marks(seeds, ys, xs)
    long = np.bincount(mark)
    keys = np.stack([labels[ys, xs], seeds[ys, xs], mark], axis=1)
    passes, times = np.unique(keys, axis=0, return_counts=True)
    by_region: dict[int, dict[int, bool]] = {}
    for (region, number, which), n in zip(passes.tolist(), times.tolist(), strict=True):
        colors = by_region.setdefault(region, {})
        colors[number] = colors.get(number, False) or n > SLIP * long[which]
    # Where all of them slipped, all are meant.
    return [
        (region, [number for number, firm in colors.items() if firm] or list(colors))
        for region, colors in sorted(by_region.items())
    ]


def _marks(seeds: NDArray[np.int32], ys: NDArray[np.int64], xs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the stroke or point that each seed, at (ys, xs), is part of: touching seeds of one colour."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = np.full((seeds.shape[0] + 1, seeds.shape[1] + 2), -1, np.int64)  # with a rim of none
    number[ys, xs + 1] = np.arange(len(ys))
    here, there = [], []
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        other = number[ys + dy, xs + 1 + dx]
        same = (other >= 0) & (seeds[ys[other], xs[other]] == seeds[ys, xs])
        here.append(np.flatnonzero(same))
        there.append(other[same])
    one, two = np.concatenate(here), np.concatenate(there)
    links = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(len(ys), len(ys)))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def parted(mine: NDArray[np.bool_], seeds: NDArray[np.int32], line: NDArray[np.float32]) -> NDArray[np.int32]:
    """Watershed between the seeds within one region, along what ink there is."""
    ys, xs = np.nonzero(mine)
    box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    inside, own = mine[box], np.where(mine[box], seeds[box], 0)
    outside = int(seeds.max()) + 1
    markers = np.pad(np.where(inside, own, outside).astype(np.int32), 1, constant_values=outside)
    height = np.pad((line[box] * 255).astype(np.uint8), 1)
    cv2.watershed(np.ascontiguousarray(np.repeat(height[..., None], 3, axis=2)), markers)
    found = markers[1:-1, 1:-1]
    found = np.where(inside & (found > 0) & (found < outside), found, 0).astype(np.int32)
    found = np.where(own > 0, own, found).astype(np.int32)
    result = np.zeros(mine.shape, np.int32)
    result[box] = nearest_label(found)[1]
    return result
