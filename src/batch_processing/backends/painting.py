"""What backends that paint with a model share: how pages and references are cut to the model's sizes, and the way back.

Plain Pillow and NumPy, on 8-bit pictures; loads no torch. Sizes are (width, height), as Pillow has them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .base import Progress, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]

BLACK_UP_TO = 74  # grey values of a page that are black
SHADOW_BELOW = 145  # grey values that are shadow, or soft ink
WHOLE = 0.7  # share of a reference that cropping must leave: of a model sheet that keeps less, tiles are cut
NEAR = 3  # pixels within which a painted line counts as the page's own

_LONGEST_RATIO = 2.5  # a page longer than this is cut in pieces (webtoon strips)
_PIECE_RATIO = 1.5  # length of a piece over its width that cutting aims at
_SHORTEST_PIECE = 256  # pixels: a strip a few pixels wide is not cut into thousands of pieces
_SEARCH = 0.25  # of a piece's length: how far from the aim an empty row may lie
_OVERLAP = 0.1  # of a piece's length, shared by two pieces where no row is empty
_GUTTER = 0.01  # of a reference's longer side: what is empty for so long parts its figures
_EMPTY_RANGE = 12  # grey levels within a row that still count as empty: scanner and JPEG noise
ARCHIVE_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can hold: the artefact depends on no clock


def keep_references(references: Sequence[Reference], artefact: Path, progress: Progress) -> None:
    """Write the references as they are, in sRGB, to the new ZIP `artefact`, each under its SHA-256."""
    from ..io.images import decode

    unique = {reference.sha256: reference for reference in references}
    with zipfile.ZipFile(artefact, "w", zipfile.ZIP_STORED) as archive:
        for done, (sha256, reference) in enumerate(unique.items()):
            progress(done, len(unique))
            page = decode(reference.path)
            written = io.BytesIO()
            Image.fromarray(page.srgb()).save(written, "PNG", compress_level=1)
            archive.writestr(zipfile.ZipInfo(sha256, ARCHIVE_TIME), written.getvalue())


class References:
    """The references that `keep_references` put into an artefact, read when they are wanted. `besides`: what else
    may lie there."""

    def __init__(self, artefact: Path | None, *, besides: str = "") -> None:
        self._archive = None if artefact is None else zipfile.ZipFile(artefact)
        names = [] if self._archive is None else self._archive.namelist()
        self.names = tuple(name for name in names if name != besides)

    def image(self, sha256: str) -> Image.Image:
        assert self._archive is not None  # noqa: S101 - names are empty without an archive
        with self._archive.open(sha256) as file, Image.open(file, formats=["PNG"]) as image:
            return image.convert("RGB")

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()


class Steps:
    """Reports the work of a page or batch, on top of what was done before it."""

    def __init__(self, progress: Progress, start: int, total: int) -> None:
        self._progress, self._done, self._total = progress, start, total

    def __call__(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def choose_bucket(size: Size, buckets: Sequence[Size]) -> Size:
    """The bucket whose ratio width / height is nearest to that of `size`."""
    ratio = size[0] / size[1]
    return min(buckets, key=lambda bucket: abs(ratio - bucket[0] / bucket[1]))


def tiles(gray: NDArray[np.uint8], size: Size) -> list[tuple[int, int, int, int]]:
    """The boxes (left, top, right, bottom) of a reference (H, W) that are to be fitted to `size`, each of its shape.

    What lies between gutters stays whole where it fits into a tile; what does not is cut with an overlap of a tenth."""
    height, width = gray.shape
    if width / height < size[0] / size[1]:
        turned = tiles(gray.T, (size[1], size[0]))
        return [(top, left, bottom, right) for left, top, right, bottom in turned]
    wide = min(width, max(1, int(height * size[0] / size[1])))
    if wide >= WHOLE * width:
        return [(0, 0, width, height)]
    spans: list[tuple[int, int]] = []
    for left, right in _figures(gray):
        if spans and right - spans[-1][0] <= wide:
            spans[-1] = spans[-1][0], right
        elif right - left <= wide:
            spans.append((left, right))
        else:
            step = wide - max(1, wide // 10)
            count = -(-(right - left - wide) // step) + 1
            starts = np.linspace(left, right - wide, count).round().astype(int).tolist()
            spans += [(start, start + wide) for start in starts]
    lefts = [min(max(0, (left + right - wide) // 2), width - wide) for left, right in spans]
    return [(left, 0, left + wide, height) for left in dict.fromkeys(lefts)]


def _figures(gray: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """First and last column (exclusive) of what stands between gutters; all of an empty picture."""
    width = gray.shape[1]
    even, tone = np.ptp(gray, axis=0) <= _EMPTY_RANGE, gray[0].astype(int)
    ground = np.bincount(tone[even], minlength=1).argmax()
    drawn = ~even | (np.abs(tone - ground) > _EMPTY_RANGE)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], drawn.astype(np.int8), [0]])))
    found: list[tuple[int, int]] = []
    for left, right in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if found and left - found[-1][1] < _GUTTER * width:
            found[-1] = found[-1][0], right
        else:
            found.append((left, right))
    return found or [(0, width)]


def pieces(gray: NDArray[np.uint8]) -> list[tuple[slice, slice]]:
    """Where to cut a page (H, W) that is longer than 2.5 times its width, or wider than 2.5 times its height.

    (rows, columns) of each piece, in order; neighbours meet at an empty row, or overlap where none is near."""
    height, width = gray.shape
    if width > height:
        return [(across, along) for along, across in pieces(gray.T)]
    everything = slice(0, width)
    length = max(round(_PIECE_RATIO * width), _SHORTEST_PIECE)
    longest = max(_LONGEST_RATIO * width, _PIECE_RATIO * length)
    span = np.ptp(gray, axis=1)
    cuts = []
    top = 0
    while height - top > longest:
        aim = top + length
        reach = int(_SEARCH * length)
        near = np.flatnonzero(span[aim - reach : aim + reach + 1] <= _EMPTY_RANGE) + aim - reach
        if len(near):
            bottom = int(near[np.argmin(np.abs(near - aim))])
            cuts.append((slice(top, bottom), everything))
            top = bottom
        else:
            cuts.append((slice(top, aim), everything))
            top = aim - int(_OVERLAP * length)
    return [*cuts, (slice(top, height), everything)]


def join(parts: Sequence[NDArray[np.uint8]], places: Sequence[tuple[slice, slice]]) -> NDArray[np.uint8]:
    """One picture (H, W, 3) of coloured `pieces`; where two overlap, one fades into the other."""
    height, width = (max(place[axis].stop for place in places) for axis in (0, 1))
    result = np.empty((height, width, 3), np.uint8)
    done = [0, 0]
    for part, place in zip(parts, places, strict=True):
        axis = 0 if place[0].start else 1  # pieces follow each other along one axis only
        overlap = done[axis] - place[axis].start if place[axis].start else 0
        fresh = part.astype(np.float32) if overlap else part
        if overlap:
            shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
            weight = ((np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)).reshape(shape)
            shared = tuple(
                slice(place[a].start, place[a].start + overlap) if a == axis else place[a] for a in (0, 1)
            )
            own: Any = (slice(0, overlap), slice(None)) if axis == 0 else (slice(None), slice(0, overlap))
            fresh[own] = fresh[own] * weight + result[shared] * (1 - weight)
            fresh = np.rint(fresh).astype(np.uint8)
        result[place] = fresh
        done = [place[0].stop, place[1].stop]
    return result


def keep_ink(
    colored: NDArray[np.uint8], page: NDArray[np.uint8], gray: NDArray[np.uint8], reach: int
) -> NDArray[np.uint8]:
    """The page's own ink over the model's colours, all (H, W, 3) of the page's size; `grey` is the page's.

    Black ink comes back pixel for pixel, softer ink darkens. The model's own drawing of a black line, blurred
    by the enlargement, would stand beside it as a halo: where the page is light within `reach` pixels of
    black, colours become at least as light as the nearest ones beyond."""
    import cv2

    black = gray <= BLACK_UP_TO
    near = cv2.dilate(black.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    result = colored.copy()
    halo = (near == 1) & (gray >= SHADOW_BELOW)
    if halo.any() and not near.all():
        _, labels = cv2.distanceTransformWithLabels(
            near, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        beyond = np.zeros((int(labels.max()) + 1, 3), np.uint8)
        beyond[labels[near == 0]] = colored[near == 0]
        result[halo] = np.maximum(colored[halo], beyond[labels[halo]])
    soft = (gray > BLACK_UP_TO) & (gray < SHADOW_BELOW)
    weight = (SHADOW_BELOW - gray[soft, None].astype(np.float32)) / (SHADOW_BELOW - BLACK_UP_TO)
    darker = np.minimum(colored[soft], page[soft])
    result[soft] = np.rint(colored[soft] * (1 - weight) + darker * weight)
    result[black] = page[black]
    return result


def drift(line_art: NDArray[np.uint8], painted: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How many pixels of lines in what was painted lie more than NEAR from any of the line art; and how many there are.

    Both (H, W, 3); lines are found in them by one rule. What is dark in the line art is no new line either."""
    from .flats import ink
    from .flats.regions import distance

    own = ink.find_in_color(line_art).mask | (line_art.max(axis=2) < SHADOW_BELOW)
    drawn = ink.find_in_color(painted).mask
    far = drawn & (distance(~own) > NEAR) if own.any() else drawn
    return np.array([far.sum(), drawn.sum()], np.float64)
