"""Blocks that were never written, in pictures that are not compressed: BMP, and TIFF without compression.

Nothing breaks there when a block is lost: where zeros stand in place of picture they are black, and black is a color that
pictures have. What tells a lost block from black is where it lies. It begins and ends where a disk's sectors do, and not
both where rows do; up to its edges there is picture, with noise, as cameras and scanners make it; and so there is above and
below it. What is drawn has edges above each other, and flat areas beside them.

Promises: such a block of 4 KiB or more is found wherever it begins and ends within noise. Does not find one that borders on
black or on flat areas, that is shorter, that is a number of whole rows, or that lies at no sector; nor anything in strips
or tiles so small that no block lies within one, unless they follow each other.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...io.containers import Region, Tiff
from ..damage import BITS, COMPRESSION, PARTS, PLANAR, SAMPLES, WIDTH, Damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SECTOR = 512  # bytes
LEAST = 4096  # bytes: what is lost is a block of a file system at least
# The tail of a file that was never written begins with a block: it has one edge only, which has to tell more.
BLOCK = 4096
BESIDE = 1024  # bytes before and after that have to be noise
LEAST_VALUES = 24  # different bytes in them
MOST_ALIKE = (
    0.05  # of them that are in runs of the hole's byte: black, and not a color of which one channel is none
)
RUN = 8  # bytes
SPARE = 3  # bytes of picture next to it that may be the hole's byte by chance: the channels of a pixel
EDGE = 48  # bytes next to it, which are this far from it in the mean
LEAST_STEP = 12.0
TILE_WIDTH = 0x142


@dataclass(frozen=True)
class _Span:
    """Rows of pixels, one after the other, in a file."""

    begin: int
    end: int
    row: int  # bytes


def holes(descriptor: int, name: str) -> Damage | None:
    """Whether a block of the open picture was never written. `name`: of its format."""
    region = Region.of(descriptor)
    spans = list(_bmp(region) if name == "BMP" else _tiff(region) if name == "TIFF" else ())
    if not spans:
        return None
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
        data = np.frombuffer(mapped, np.uint8)
        try:
            found = (_hole_in(data, span) for span in spans)
            return next((damage for damage in found if damage is not None), None)
        finally:
            del data, found  # a map cannot be closed while somebody looks at it


def _bmp(region: Region) -> Iterator[_Span]:
    head = region.read(0, 54)
    if len(head) < 54 or int.from_bytes(head[14:18], "little") < 40:
        return
    begin, packing = int.from_bytes(head[10:14], "little"), int.from_bytes(head[30:34], "little")
    width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
    bits = int.from_bytes(head[28:30], "little")
    if packing in (0, 3) and bits >= 8 and width > 0:
        row = (width * bits + 31) // 32 * 4
        yield _Span(begin, min(region.size, begin + row * abs(height)), row)


def _tiff(region: Region) -> Iterator[_Span]:
    tiff = Tiff(region)
    for entries in tiff.all():
        bits, samples = tiff.number(entries, BITS) or 1, tiff.number(entries, SAMPLES) or 1
        width = tiff.number(entries, TILE_WIDTH) or tiff.number(entries, WIDTH)
        if tiff.number(entries, COMPRESSION) not in (1, None) or bits < 8 or not width:
            continue
        row = (width * bits * (1 if tiff.number(entries, PLANAR) == 2 else samples) + 7) // 8
        for offsets, lengths in PARTS[:2]:
            starts, counts = tiff.numbers(entries, offsets), tiff.numbers(entries, lengths)
            yield from _joined(starts, counts, row, region.size)


def _joined(starts: list[int], counts: list[int], row: int, size: int) -> Iterator[_Span]:
    """Strips or tiles as they lie, those that follow each other as one."""
    begin = end = -1
    for start, count in zip(starts, counts, strict=False):
        if start != end:
            if end > begin >= 0:
                yield _Span(begin, min(end, size), row)
            begin = start
        end = start + count
    if end > begin >= 0:
        yield _Span(begin, min(end, size), row)


def _hole_in(data: NDArray[np.uint8], span: _Span) -> Damage | None:
    for value in (0x00, 0xFF):
        for begin, end in _runs(data, span, value):
            if end == span.end:
                if value == 0 and begin % BLOCK == 0 and _is_torn(data, span, begin, end, value):
                    return Damage.ZEROS
            elif _is_torn(data, span, begin, end, value):
                return Damage.HOLES
    return None


def _runs(data: NDArray[np.uint8], span: _Span, value: int) -> Iterator[tuple[int, int]]:
    """Whole sectors of one byte that follow each other, `LEAST` bytes or more; to the end of the span where that lies in
    the sector behind them. None that goes on before or behind by more than a pixel."""
    first = -(-span.begin // SECTOR)
    last = span.end // SECTOR
    if last <= first:
        return
    sectors = data[first * SECTOR : last * SECTOR].reshape(-1, SECTOR)
    might = np.flatnonzero((sectors[:, 0] == value) & (sectors[:, -1] == value))
    whole = might[(sectors[might] == value).all(axis=1)]
    if not len(whole):
        return
    breaks = np.flatnonzero(np.diff(whole) > 1)
    for start, stop in zip(np.append(0, breaks + 1), np.append(breaks, len(whole) - 1), strict=True):
        begin, end = (first + int(whole[start])) * SECTOR, (first + int(whole[stop]) + 1) * SECTOR
        if span.end - end < SECTOR and (data[end : span.end] == value).all():
            end = span.end
        before, after = data[max(span.begin, begin - SPARE - 1) : begin], data[end : end + SPARE + 1]
        if end - begin < LEAST or (len(before) and (before == value).all()):
            continue
        if end == span.end or (after != value).any():
            yield begin, end


def _is_torn(data: NDArray[np.uint8], span: _Span, begin: int, end: int, value: int) -> bool:
    """Whether picture stands around a run of one byte, up to its edges, and that is no number of whole rows."""
    if (begin - span.begin) % span.row == 0 and ((end - span.begin) % span.row == 0 or end == span.end):
        return False
    before = data[max(span.begin, begin - BESIDE) : begin]
    after = data[end : min(span.end, end + BESIDE)]
    if not _is_noise(before, before[-EDGE:], value):
        return False
    if end != span.end and not _is_noise(after, after[:EDGE], value):
        return False
    length = min(end - begin, span.row)
    above = data[max(span.begin, begin - span.row) :][:length]
    below = data[min(span.end, end + span.row - length) : min(span.end, end + span.row)]
    return all(len(beside) < length or _alike(beside, value) <= MOST_ALIKE for beside in (above, below))


def _alike(beside: NDArray[np.uint8], value: int) -> float:
    """The part of some bytes that are in runs of that value."""
    sums = np.cumsum(np.append(0, beside == value))
    return float((sums[RUN:] - sums[:-RUN] == RUN).mean()) if len(beside) >= RUN else 1.0


def _is_noise(beside: NDArray[np.uint8], edge: NDArray[np.uint8], value: int) -> bool:
    if len(beside) < BESIDE // 2 or _alike(beside, value) > MOST_ALIKE:
        return False
    step = np.abs(edge.astype(np.int16) - value).mean()
    return bool(step >= LEAST_STEP and len(np.unique(beside)) >= LEAST_VALUES)
