"""A picture in 64 bits and in 256 bytes: the fingerprint by which it is found again, and the signature that proves it.

    signature = signature_of(luma)            256 bytes: 16 x 16 coefficients of the cosine transform
    fingerprint = fingerprint_of(signature)   64 bits: its 8 x 8 lowest against their median
    likeness(ones, others)                    how alike two signatures are, over small crops and shifts

Promises: the same fingerprint for the same signature on every machine: it is made of whole numbers. A picture that is
turned or mirrored has the signature that `turned` makes of it, to the bit. Resizing, recompression, gray, contrast and
brightness move few bits; cropping 2.5 % of each side about five.
Does not tell pictures apart that have nothing on them: `is_flat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32  # pixels of the luma that is transformed
KEPT = 16  # coefficients of each axis in a signature
LOW = 8  # of these in a fingerprint
SIGNATURE = KEPT * KEPT  # bytes
# Standard deviation of the 32 x 32 luma, of 255: below it noise decides the bits. Fog and snow have 6 and more.
FLAT = 3.0
# Windows of one axis that are tried when two pictures are compared: (part of the axis that is left, its beginning). A
# crop of 5 % a side leaves .90.
WINDOWS = tuple(
    (kept, begin)
    for kept, begins in (
        (1.0, (0.0,)),
        (0.98, (0.0, 0.01, 0.02)),
        (0.95, (0.0, 0.025, 0.05)),
        (0.92, (0.04,)),
        (0.90, (0.0, 0.05, 0.1)),
    )
    for begin in begins
)
# Share of each side whose loss is undone when crops are looked for: with it 98 % of crops of 2.5 % a side are found, 89 %
# without, and most of 5 %.
CROP = 0.025
SAMPLES = 16  # points of each axis at which windows are compared
# Without any crop two pictures are compared by their coefficients alone, a thousand times as fast. What is less alike
# than this then is the same picture under no window above.
HOPELESS = 0.5
# Pairs whose windows are compared at once: 10 x 10 windows of 16 x 16 points each.
PAIRS_AT_ONCE = 64


@cache
def _transform() -> NDArray[np.float64]:
    """The rows of the orthonormal cosine transform (DCT-II), (16, 32)."""
    place = (np.arange(SIDE) + 0.5) / SIDE
    rows = np.cos(np.pi * np.arange(KEPT)[:, None] * place) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


def is_flat(luma: NDArray[np.float64]) -> bool:
    """Whether a picture has so little on it that its fingerprint means nothing."""
    return bool(luma.std() < FLAT)


def signature_of(luma: NDArray[np.float64]) -> bytes:
    """The signature of a luma of 32 x 32 pixels, 0 to 255: roots of coefficients, with their signs, the largest 127.

    Roots, because the low ones are a thousand times the high ones; and whole numbers, so that all that is made of them
    is the same everywhere."""
    rows = _transform()
    found = rows @ luma @ rows.T
    found[0, 0] = 0.0  # brightness
    largest = np.abs(found).max()
    if largest <= 0:
        return bytes(SIGNATURE)
    scaled = np.sign(found) * np.sqrt(np.abs(found) / largest) * 127
    return bytes(np.rint(scaled).astype(np.int8).tobytes())


def as_array(signatures: bytes) -> NDArray[np.int8]:
    """One signature, or several behind each other, as (number, 16, 16)."""
    return np.frombuffer(signatures, np.int8).reshape(-1, KEPT, KEPT)


def fingerprints_of(signatures: NDArray[np.int8]) -> NDArray[np.uint64]:
    """The fingerprints of (number, 16, 16) signatures. The bit of brightness is never set."""
    return _above_median(signatures.astype(np.int16))


def _above_median(coefficients: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.uint64]:
    low = coefficients[:, :LOW, :LOW].reshape(-1, LOW * LOW)
    bits = low > np.median(low[:, 1:], axis=1)[:, None]
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).reshape(-1)


def fingerprint_of(signature: bytes) -> int:
    return int(fingerprints_of(as_array(signature))[0])


def cropped_fingerprints_of(signatures: NDArray[np.int8]) -> NDArray[np.uint64]:
    """About the fingerprints that the pictures would have without `CROP` of each side."""
    if not len(signatures):
        return np.zeros(0, np.uint64)
    place = CROP + (1 - 2 * CROP) * (np.arange(SIDE) + 0.5) / SIDE
    waves = np.cos(np.pi * np.arange(KEPT) * place[:, None]) * np.sqrt(2 / SIDE)
    waves[:, 0] /= np.sqrt(2)
    crop = (_transform() @ waves).astype(np.float32)
    return _above_median(crop @ _coefficients(signatures) @ crop.T)


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to lay a picture: mirrored along its axes, after they were swapped or not."""

    swap: bool
    across: bool
    down: bool


TURNS = tuple(Turn(*flags) for flags in product((False, True), repeat=3))


def turned(signatures: NDArray[np.int8], turn: Turn) -> NDArray[np.int8]:
    """The signatures of the same pictures, turned. Mirroring changes the sign of every other coefficient."""
    found = signatures.transpose(0, 2, 1) if turn.swap else signatures
    odd = np.where(np.arange(KEPT) % 2, -1, 1).astype(np.int8)
    if turn.across:
        found = found * odd
    if turn.down:
        found = found * odd[:, None]
    return np.ascontiguousarray(found)


@cache
def _windows() -> NDArray[np.float32]:
    """The cosine waves seen through each window, at its points: (windows, points, coefficients)."""
    found = np.empty((len(WINDOWS), SAMPLES, KEPT))
    for number, (kept, begin) in enumerate(WINDOWS):
        place = begin + kept * (np.arange(SAMPLES) + 0.5) / SAMPLES
        found[number] = np.cos(np.pi * np.arange(KEPT) * place[:, None]) * np.sqrt(2 / SAMPLES)
        found[number, :, 0] /= np.sqrt(2)
    return found.astype(np.float32)


def _coefficients(signatures: NDArray[np.int8]) -> NDArray[np.float32]:
    roots = signatures.astype(np.float32)
    return np.asarray(np.sign(roots) * roots * roots, np.float32)


@dataclass(frozen=True)
class Likeness:
    """How alike pairs of pictures are, each -1 to 1: as they are, and through the best of the windows; and whether that
    is a crop."""

    whole: NDArray[np.float32]
    best: NDArray[np.float32]


def likeness(ones: NDArray[np.int8], others: NDArray[np.int8]) -> Likeness:
    """Correlation of pairs of signatures, (number, 16, 16) each: whole, and where either may be a crop of the other. What
    is hopeless as a whole is not looked at through windows."""
    left, right = _coefficients(ones), _coefficients(others)
    whole = _correlation(left, right)
    best = whole.copy()
    (open_,) = np.nonzero(whole >= HOPELESS)
    for begin in range(0, len(open_), PAIRS_AT_ONCE):
        part = open_[begin : begin + PAIRS_AT_ONCE]
        one_way = _through_windows(left[part], right[part])
        best[part] = np.maximum(best[part], np.maximum(one_way, _through_windows(right[part], left[part])))
    return Likeness(whole, best)


def _correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    above = np.einsum("nij,nij->n", left, right)
    below = np.sqrt(np.einsum("nij,nij->n", left, left) * np.einsum("nij,nij->n", right, right))
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0), np.float32)


def _through_windows(whole: NDArray[np.float32], crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best correlation of the pictures `crop` with what the windows show of the pictures `whole`."""
    waves = _windows()
    full = waves[0]  # the window that shows all
    target = full @ crop @ full.T
    target -= target.mean(axis=(1, 2), keepdims=True)
    target /= np.maximum(np.sqrt((target**2).sum(axis=(1, 2), keepdims=True)), 1e-9)
    count, number = len(WINDOWS), len(whole)
    rows = np.einsum("wpk,nkl->nwpl", waves, whole, optimize=True)
    seen = (rows.reshape(number, count * SAMPLES, KEPT) @ waves.reshape(count * SAMPLES, KEPT).T).reshape(
        number, count, SAMPLES, count, SAMPLES
    )
    above = np.einsum("nwpvq,npq->nwv", seen, target, optimize=True)
    mean = seen.mean(axis=(2, 4))
    spread = np.einsum("nwpvq,nwpvq->nwv", seen, seen) - SAMPLES * SAMPLES * mean**2
    # The target has no mean, so that of what is seen falls out of the product.
    found = above / np.sqrt(np.maximum(spread, 1e-9))
    return np.asarray(found.reshape(number, -1).max(axis=1), np.float32)
