"""Pictures that are damaged, lie, or are stored in one of the many ways a page can be stored."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

SIZE = (41, 29)  # width, height: small, odd and unequal, so that a swap or a wrong stride shows


def samples(
    channels: int = 3, dtype: type[np.generic] = np.uint8, size: tuple[int, int] = SIZE
) -> np.ndarray[Any, Any]:
    """Noise over a gradient: no two rows alike, and every sample value likely. (h, w, c), or (h, w) for one."""
    top = int(np.iinfo(dtype).max)
    width, height = size
    noise = np.random.default_rng(7).integers(0, top, (height, width, channels), dtype=dtype, endpoint=True)
    return noise[:, :, 0] if channels == 1 else noise


def saved(im: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    im.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png(width: int, height: int, rows: bytes, *, depth: int = 8, color: int = 0, extra: bytes = b"") -> bytes:
    """A PNG of raw filtered `rows`; the header may promise anything."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png16(pixels: np.ndarray[Any, Any]) -> bytes:
    """A 16-bit PNG: gray, gray and alpha, RGB or RGBA, by the number of channels."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(width, height, rows, depth=16, color={1: 0, 2: 4, 3: 2, 4: 6}[channels])


def tiff(tags: dict[int, tuple[int, int, int]], data: bytes) -> bytes:
    """A little-endian TIFF of one strip: tag -> (type, count, value)."""
    body = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    for tag, (kind, count, value) in sorted(tags.items()):
        body += struct.pack("<HHII", tag, kind, count, value)
    return body + b"\0\0\0\0" + data


def tiff_of(
    pixels: np.ndarray[Any, Any],
    orientation: int = 1,
    *,
    tile: int = 0,
    rows: int = 0,
    packed: bool = False,
    order: str = "<",
) -> bytes:
    """A TIFF of (h, w) or (h, w, c) samples of 8 or 16 bit as they are stored: in tiles of that side, or in strips of
    that many rows (0: one strip); packed with deflate, or not at all."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    depth = pixels.dtype.itemsize * 8
    samples = pixels.reshape(height, width, channels).astype(f"{order}u{depth // 8}")
    if tile:
        padded = np.pad(samples, ((0, -height % tile), (0, -width % tile), (0, 0)))
        parts = [
            padded[y : y + tile, x : x + tile]
            for y in range(0, padded.shape[0], tile)
            for x in range(0, padded.shape[1], tile)
        ]
    else:
        parts = [samples[y : y + (rows or height)] for y in range(0, height, rows or height)]
    stored = [zlib.compress(part.tobytes()) if packed else part.tobytes() for part in parts]
    starts = np.cumsum([8, *(len(part) + len(part) % 2 for part in stored)]).tolist()
    short, long = "H", "I"
    fields: dict[int, tuple[str, list[int]]] = {
        256: (long, [width]), 257: (long, [height]), 258: (short, [depth] * channels),
        259: (short, [8 if packed else 1]), 262: (short, [2 if channels == 3 else 1]), 274: (short, [orientation]),
        277: (short, [channels]),
    }  # fmt: skip
    sizes = [len(part) for part in stored]
    if tile:
        fields |= {322: (long, [tile]), 323: (long, [tile]), 324: (long, starts[:-1]), 325: (long, sizes)}
    else:
        fields |= {273: (long, starts[:-1]), 278: (long, [rows or height]), 279: (long, sizes)}
    body = b"".join(part + b"\0" * (len(part) % 2) for part in stored)
    directory, more = struct.pack(order + "H", len(fields)), b""
    at = starts[-1] + 2 + 12 * len(fields) + 4
    for tag, (kind, values) in sorted(fields.items()):
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        directory += struct.pack(order + "HHI", tag, 3 if kind == short else 4, len(values))
        if len(data) <= 4:
            directory += data.ljust(4, b"\0")
        else:
            directory += struct.pack(order + "I", at + len(more))
            more += data
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, starts[-1])
    return head + body + directory + bytes(4) + more


def _tiff_header(width: int, height: int) -> bytes:
    tags = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 200),
        277: (3, 1, 1),
        278: (4, 1, height),
        279: (4, 1, 10),
    }
    return tiff(tags, bytes(100))


def _sof(width: int, height: int) -> bytes:
    """A JPEG whose frame header is rewritten to another size."""
    data = bytearray(saved(Image.fromarray(samples()), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _bmp(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.fromarray(samples()), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def _gif(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.fromarray(samples()).convert("P"), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


# Headers of more than 256 million pixels over next to no data.
BOMBS: dict[str, Callable[[], bytes]] = {
    "bomb.png": lambda: png(60_000, 60_000, bytes(1000)),
    "huge.png": lambda: png(2**31 - 1, 2**31 - 1, bytes(10)),
    "just_above.png": lambda: png(16_001, 16_000, bytes(10)),
    "bomb.tif": lambda: _tiff_header(100_000, 100_000),
    "bomb.jpg": lambda: _sof(65_000, 65_000),
    "bomb.bmp": lambda: _bmp(100_000, 100_000),
    "bomb.gif": lambda: _gif(65_000, 65_000),
}


def whole() -> dict[str, bytes]:
    """One honest file of each format."""
    rgb, gray = Image.fromarray(samples()), Image.fromarray(samples(1))
    return {
        "rgb.png": saved(rgb, "PNG"),
        "gray.png": saved(gray, "PNG"),
        "sixteen.png": png16(samples(1, np.uint16)),
        "page.jpg": saved(rgb, "JPEG", quality=90),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True),
        "raw.tif": saved(rgb, "TIFF"),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "fax.tif": saved(gray.convert("1"), "TIFF", compression="group4"),
        "page.webp": saved(rgb, "WEBP"),
        "lossless.webp": saved(rgb, "WEBP", lossless=True),
        "page.gif": saved(rgb.convert("P"), "GIF"),
        "page.bmp": saved(rgb, "BMP"),
        "page.jp2": saved(rgb, "JPEG2000"),
        "page.avif": saved(rgb, "AVIF"),
    }
