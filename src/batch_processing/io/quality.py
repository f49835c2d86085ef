"""With which quality a JPEG or a WebP was written, as near as its headers tell.

Promises a number of the scale that libjpeg and libwebp use, 1 to 100, or None for what is lossless or says nothing;
what they wrote themselves comes out within a few steps. Never raises for what a file says. Reads no pixels.

Formats: ITU-T T.81 Annex K (the tables that libjpeg scales), RFC 6386 (VP8) and RFC 9649 (WebP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["jpeg_quality", "webp_quality"]

# Quantization of luminance, T.81 table K.1, row by row.
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
    120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHUNKS = 64  # of a WebP that are looked at for its picture
_VP8_HEADER = 256  # bytes of a VP8 frame that hold all that is read here


def jpeg_quality(tables: Mapping[int, Sequence[int]]) -> int | None:
    """Of a JPEG, by its quantization tables (64 numbers each, in the order of rows); None without any."""
    if 0 not in tables or len(tables[0]) != 64:
        return None
    away = np.abs(_scaled() - np.array(tables[0], np.int64)).sum(axis=1)
    return 100 - int(away[::-1].argmin())  # of two that fit alike the better


@cache
def _scaled() -> NDArray[np.int64]:
    """The table of each quality, (100, 64), as libjpeg makes it."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(np.clip((np.array(_LUMINANCE) * scale[:, None] + 50) // 100, 1, 255), np.int64)


def webp_quality(file: BinaryIO) -> int | None:
    """Of a lossy WebP, by the quantizer indices of its first frame; None of a lossless one."""
    at = 12
    for _ in range(_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] == b"VP8L":
            return None
        if head[:4] == b"VP8 ":
            return _vp8_quality(file.read(_VP8_HEADER))
        if head[:4] == b"ANMF":
            at += 8 + 16  # a frame's own chunks stand behind its place and time
            continue
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + length % 2
    return None


def _vp8_quality(frame: bytes) -> int | None:
    if len(frame) < 16 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":  # no key frame
        return None
    bits = _Bits(frame[10:])
    bits.number(2)  # colour space, clamping
    segments: list[int] = []
    absolute = False
    if bits.number(1):
        with_map, with_data = bits.number(1), bits.number(1)
        if with_data:
            absolute = bool(bits.number(1))
            segments = [bits.signed(7) for _ in range(4)]
            for _ in range(4):
                bits.signed(6)  # loop filter
        if with_map:
            for _ in range(3):
                if bits.number(1):
                    bits.number(8)
    bits.number(1 + 6 + 3)  # the filter's kind, level and sharpness
    if bits.number(1) and bits.number(1):  # differences of the loop filter
        for _ in range(8):
            bits.signed(6)
    bits.number(2)  # partitions
    index = bits.number(7)
    found = [value if absolute else index + value for value in segments] or [index]
    # libwebp: 127 x (1 - c ** (1/3)), c linear in the quality with a bend at 75.
    # The segments of libwebp lie around the quality's own index, further above it than below.
    quantizer = min(127.0, max(0.0, (min(found) + float(np.mean(found))) / 2))
    linear = (1 - quantizer / 127) ** 3
    quality = linear * 1.5 if linear < 0.5 else (linear + 1) / 2
    return min(100, max(1, round(100 * quality)))


class _Bits:
    """The boolean decoder of VP8, for bits that are as often 0 as 1 (RFC 6386, section 7)."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 2
        self._value = int.from_bytes(data[:2], "big")
        self._range, self._shifted = 255, 0

    def number(self, count: int) -> int:
        """The next `count` bits, the highest first."""
        value = 0
        for _ in range(count):
            value = value << 1 | self._bit()
        return value

    def signed(self, count: int) -> int:
        """A number that may be there, 0 where it is not, with its sign behind it."""
        if not self._bit():
            return 0
        value = self.number(count)
        return -value if self._bit() else value

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * 128 >> 8)
        is_set = self._value >= split << 8
        if is_set:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value = self._value << 1 & 0xFFFF
            self._range <<= 1
            self._shifted += 1
            if self._shifted == 8:
                self._shifted = 0
                self._value |= self._data[self._at] if self._at < len(self._data) else 0
                self._at += 1
        return int(is_set)
