"""JPEG files: decoded once, at the size that is needed, with what the decoder has to say about broken data.

Promises: damage that makes the compressed data senseless is noticed, wherever it is (libjpeg warns of it, and OpenCV hands
its warning on); what cameras pad the end with is no damage. Bytes that decode to another valid picture are not noticed:
JPEG has no checksum.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import IO, TYPE_CHECKING

import numpy as np

from ...io.containers import START_OF_SCAN, Region, Tiff, jpeg_exif, segments
from ...io.quality import jpeg_quality
from ..damage import JPEG_END, ZEROS, Damage
from ..exif import ORIENTATION
from ..exif import orientation as sensible_orientation

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTIZATION, COMMENT, ADOBE, ICC = 0xDB, 0xFE, 0xEE, 0xE2
APPLICATION = range(0xE0, 0xF0)
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what decoders read
ICC_NAME = b"ICC_PROFILE\0"
# Bytes between the compressed picture and its end that some encoders leave there; a hole leaves thousands.
LITTER = 16
_EXTRANEOUS = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
# What libjpeg says of data that make no sense (jerror.h); its other warnings are about headers.
_SENSELESS = (b"Corrupt JPEG data", b"Premature end of JPEG")
# T.81, figure A.6: the place of each number of a quantization table, which are stored in zigzag.
_ZIGZAG = (
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61,
    54, 47, 55, 62, 63,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What the header of a JPEG says. `scan`: where the compressed data begin. `picture`: SHA-256 of what is no metadata."""

    width: int
    height: int
    orientation: int
    quality: int | None
    profile: bytes
    scan: int
    picture: bytes


def header_of(data: bytes, *, with_picture: bool = True) -> Header | None:
    """None for what cannot be decoded: no JPEG, one without a frame or a scan, a lossless one."""
    region = Region.of(data)
    width = height = 0
    tables: dict[int, list[int]] = {}
    profile: list[bytes] = []
    digest, scan = hashlib.sha256(), 0
    for each in segments(region):
        content = data[each.begin : each.end]
        if each.marker in FRAMES and len(content) >= 5:
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
        elif each.marker == QUANTIZATION:
            tables |= dict(_tables(content))
        elif each.marker == ICC and content.startswith(ICC_NAME):
            profile.append(content[len(ICC_NAME) + 2 :])
        is_metadata = each.marker in APPLICATION and each.marker != ADOBE
        if (not is_metadata and each.marker != COMMENT) or content.startswith(ICC_NAME):
            digest.update(bytes([each.marker]) + content)
        if each.marker == START_OF_SCAN:
            scan = each.end
    if not (width and height and scan) or scan >= len(data):
        return None
    orientation = _orientation(region)
    if with_picture:
        digest.update(bytes([orientation]))
        digest.update(memoryview(data)[scan:])
    return Header(width, height, orientation, jpeg_quality(tables), b"".join(profile), scan, digest.digest())


def _tables(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """The quantization tables of a segment, by their numbers, in the order of rows."""
    at = 0
    while at < len(content):
        wide, number = content[at] >> 4, content[at] & 15
        size = 128 if wide else 64
        values = content[at + 1 : at + 1 + size]
        if len(values) < size:
            return
        rows = [0] * 64
        for place, value in zip(_ZIGZAG, np.frombuffer(values, ">u2" if wide else "u1"), strict=True):
            rows[place] = int(value)
        yield number, rows
        at += 1 + size


def _orientation(region: Region) -> int:
    """As EXIF says it, 1 to 8."""
    block = jpeg_exif(region)
    if block is None:
        return 1
    tiff = Tiff(block)
    return sensible_orientation(tiff.number(tiff.directory(tiff.first)[0], ORIENTATION)) or 1


@dataclass(frozen=True)
class Decoded:
    """Pixels as (height, width, BGR), smaller than the file's, not upright; and what the decoder had to say."""

    pixels: NDArray[np.uint8]
    warning: bytes


def decode(data: bytes, header: Header, least: int) -> Decoded | None:
    """The picture at 1/1, 1/2, 1/4 or 1/8, its longer side at least `least` pixels if it has so many. None if nothing can
    be made of it."""
    import cv2

    flags = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    longer = max(header.width, header.height)
    part = next((part for part in (8, 4, 2) if longer // part >= least), 1)
    # With an end, which it may have lost: the decoder gives what there is, and says that it is not all.
    buffer = np.frombuffer(data + JPEG_END, np.uint8)
    with _standard_error() as said:
        try:
            pixels = cv2.imdecode(buffer, flags[part] | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            return None
        warning = said()
    return None if pixels is None else Decoded(np.asarray(pixels, np.uint8), warning)


def damage(data: bytes, header: Header, warning: bytes) -> Damage | None:
    """What is wrong with the compressed data, by what the decoder said of them."""
    if not warning.startswith(_SENSELESS):
        return None
    if (found := _EXTRANEOUS.match(warning)) is not None:
        end = data.find(JPEG_END, header.scan)
        litter = data[max(header.scan, end - int(found[1])) : end]
        if end >= 0 and (len(litter) <= LITTER or len(set(litter)) == 1):
            return None
    end = data.rfind(JPEG_END)
    if end < header.scan:
        return Damage.ZEROS if data.endswith(bytes(ZEROS)) else Damage.CUT
    return Damage.HOLES if data.find(bytes(ZEROS), header.scan, end) >= 0 else Damage.BROKEN


@cache
def _spare() -> IO[bytes]:
    return tempfile.TemporaryFile()


@contextmanager
def _standard_error() -> Iterator[Callable[[], bytes]]:
    """What libraries print meanwhile is kept from the standard error of this process, and can be asked for."""
    spare = _spare()
    spare.seek(0)
    spare.truncate()
    before = os.dup(2)
    os.dup2(spare.fileno(), 2)

    def said() -> bytes:
        return os.pread(spare.fileno(), 1000, 0)

    try:
        yield said
    finally:
        os.dup2(before, 2)
        os.close(before)
