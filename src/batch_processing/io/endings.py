"""Files of pictures that lack their end: told apart from those that lack pixels.

Promises that a file passes only if all its pixels are in it: the two bytes that end a JPEG, and the last chunk of a
PNG, say nothing of the picture, and programs lose them. What else is missing or damaged is refused with an OSError
that says what. Does not decode a whole file.

Formats: ITU-T T.81 (JPEG), PNG third edition.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from PIL import JpegImagePlugin

from ..messages import Message

__all__ = ["END_MISSING", "completed_jpeg", "completed_png"]

END_MISSING: Final = Message("the end of the file is missing, and all its pixels are there")

_PNG_END = bytes.fromhex("0000000049454e44ae426082")
_JPEG_END = b"\xff\xd9"
_TAIL = 64  # bytes at the end of a JPEG in which its end is looked for first


def completed_png(path: Path) -> bytes | None:
    """The bytes of a PNG that lacks its last chunk, with that; None for one that has it.

    Compares the checksum of every chunk that the picture needs: Pillow skips those of the pixel data. OSError for a
    chunk that is damaged or cut off. Whether whole chunks of pixels are missing shows when these are read."""
    with path.open("rb") as file:
        at = file.seek(8)
        while (end := _checked_chunk(file, at)) is not None:
            if end < 0:
                return None
            at = file.seek(end)
        file.seek(0)
        return file.read(at) + _PNG_END


def _checked_chunk(file: BinaryIO, at: int) -> int | None:
    """Where the next chunk begins; below 0 after the last; None where this would be the last, and is not whole."""
    head = file.read(8)
    if len(head) < 8:
        return None
    length, kind = struct.unpack(">I4s", head)
    name = kind.decode("latin-1")
    crc = zlib.crc32(kind)
    if kind[0] & 0x20:  # ancillary
        return int(at + 12 + length)
    while length:
        part = file.read(min(length, 1 << 20))
        if not part:
            raise OSError(Message("image file is truncated inside chunk {name}", name=name))
        crc = zlib.crc32(part, crc)
        length -= len(part)
    stored = file.read(4)
    if len(stored) < 4:
        if kind == b"IEND":
            return None
        raise OSError(Message("image file is truncated inside chunk {name}", name=name))
    if stored != crc.to_bytes(4, "big"):
        raise OSError(Message("wrong checksum in chunk {name}", name=name))
    return -1 if kind == b"IEND" else file.tell()


def completed_jpeg(path: Path) -> bytes | None:
    """The bytes of a JPEG that lacks nothing but its end, with that; None for one that has it.

    OSError where pixels are missing, also where the rest of the file was never filled in, as a broken download leaves
    it: that would decode to gray."""
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
        if file.read().rstrip(b"\0").endswith(_JPEG_END):
            return None
        file.seek(0)
        data = file.read()
    if data.rfind(_JPEG_END) > data.rfind(b"\xff\xda"):  # something stands behind the end
        return None
    if not any(data[-_TAIL:]):
        raise OSError(Message("image file is truncated: its end is filled with zeros"))
    data = data.rstrip(
        b"\xff"
    )  # half of its end, or half of what is left of the last scan: it makes no difference
    if not (_has_all_scans(data) and _has_all_of_its_last_scan(data)):
        raise OSError(Message("image file is truncated: pixels are missing"))
    return data + _JPEG_END


def _has_all_of_its_last_scan(data: bytes) -> bool:
    """Whether the picture stays the same whatever follows: then nothing of what follows belongs to it.

    The decoder makes up what is missing, and takes for it what stands there."""
    noise = np.random.default_rng(1).integers(0, 255, 32, dtype=np.uint8).tobytes()  # no byte of a marker
    seen = set()
    for fill in (b"", b"\x01" * 32, b"\xfe" * 32, noise):
        # Restart markers: where one is missing, the decoder looks for it.
        more = b"".join(fill + bytes([0xFF, 0xD0 + number % 8]) for number in range(256)) if fill else fill
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data + more + _JPEG_END))
        seen.add(hashlib.sha256(picture.tobytes()).digest())
    return len(seen) == 1


def _has_all_scans(data: bytes) -> bool:
    """Whether each coefficient of each component was sent, to its last bit."""
    components: set[int] = set()
    progressive = False
    left: dict[tuple[int, int], int] = {}  # by component and coefficient: bits still to come
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in {0x00, 0xFF, *range(0xD0, 0xD8)}:
            at = data.find(b"\xff", at + 1)
            if at < 0:
                break
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC} and len(body) >= 6:
            progressive = marker in {0xC2, 0xCA}
            components = set(body[6 : 6 + 3 * body[5] : 3])
        elif marker == 0xDA and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for component in body[1 : 1 + 2 * body[0] : 2]:
                for coefficient in range(first, min(last, 63) + 1) if progressive else range(64):
                    left[component, coefficient] = bits & 15 if progressive else 0
        at += 2 + length
    wanted = {(component, coefficient) for component in components for coefficient in range(64)}
    return bool(wanted) and all(left.get(key) == 0 for key in wanted)
