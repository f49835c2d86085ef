"""Writing one image: PNG, JPEG, WebP and TIFF, of 8 bit and, where the format has them, 16.

Promises the pixels that it is given (in lossy formats as near as the quality says), resolution and colour profile;
and the same bytes for the same pixels: nothing that is written holds a time. Refuses nothing that the format holds;
`output_format` says what it does not.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["JPEG_QUALITY", "LOSSY", "OutputFormat", "Resolution", "encode", "output_format", "same_format"]

OutputFormat = Literal["png", "jpg", "webp", "tif"]
Resolution = tuple[float, float]  # dots per inch, horizontal and vertical

JPEG_QUALITY: Final = 92
"""Of a JPEG of which nothing else is said."""

LOSSY: Final = ("jpg", "webp")
"""Formats in which a quality can be asked for."""

_WEBP_MAX_SIDE = 16_383  # px: 14 bits in the VP8 and VP8L headers
_JPEG_MAX_SIDE = 65_500  # px: JPEG_MAX_DIMENSION of libjpeg
_PNG_LEVEL = 5  # measured on flats and scans: see docs/formats.md
_INCH = 0.0254  # metres
_TIFF_STRIP = 1 << 20  # bytes of samples in one strip: small enough for readers with little memory
_SAME: dict[str, OutputFormat] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif"}


def encode(
    pixels: NDArray[Any],
    target: BinaryIO,
    format: OutputFormat,  # noqa: A002 - the word the command line uses
    *,
    dpi: Resolution | None = None,
    icc: bytes | None = None,
    quality: int | None = None,
) -> None:
    """Write `pixels` into `target`: (h, w, 3) RGB or (h, w) gray; uint8, or uint16 for png and tif; as png (h, w, 4)
    RGBA too.

    PNG; JPEG of `quality` (1 to 100; 92) without chroma subsampling; WebP of `quality`, lossless without; TIFF with
    deflate and predictor.
    ValueError for pixels that the format cannot hold (`output_format` says which can)."""
    if format == "tif":
        _write_tiff(pixels, target, dpi, icc)
        return
    if format == "png" and pixels.dtype == np.uint16:
        _write_png(pixels, target, dpi, icc)
        return
    samples = np.ascontiguousarray(pixels, dtype=np.uint8)
    if format == "png" and _is_flat(samples):
        _write_png(samples, target, dpi, icc)
        return
    im = Image.fromarray(samples)
    options: dict[str, bytes] = {"icc_profile": icc} if icc else {}
    if format == "png":
        im.save(target, "PNG", compress_level=_PNG_LEVEL, **_given(dpi), **options)
    elif format == "jpg":
        im.save(
            target, "JPEG", quality=quality or JPEG_QUALITY, subsampling=0, **_given(_whole(dpi)), **options
        )
    else:
        # WebP has no resolution of its own; EXIF is where readers look for it.
        if dpi:
            exif = Image.Exif()
            exif[282], exif[283], exif[296] = dpi[0], dpi[1], 2  # XResolution, YResolution, inch
            options["exif"] = exif.tobytes()
        if quality is None:
            im.save(target, "WEBP", lossless=True, quality=20, method=2, **options)
        else:
            im.save(target, "WEBP", quality=quality, method=4, **options)


def output_format(requested: OutputFormat, width: int, height: int) -> OutputFormat:
    """The format a picture of this size (pixels) is written in: PNG where `requested` has no room for it."""
    limit = {"webp": _WEBP_MAX_SIDE, "jpg": _JPEG_MAX_SIDE}.get(requested)
    return "png" if limit and max(width, height) > limit else requested


def same_format(kind: str) -> OutputFormat:
    """The format in which a file of this kind (a name of `images.FORMATS`) is written again: its own, or PNG for what
    can only be written with fewer colours, with loss, or without its resolution and profile."""
    return _SAME.get(kind, "png")


def _given(dpi: Resolution | None) -> dict[str, Resolution]:
    """The option of Pillow's writers; none where no resolution is known."""
    return {"dpi": dpi} if dpi is not None else {}


def _whole(dpi: Resolution | None) -> tuple[int, int] | None:
    return dpi and (round(dpi[0]), round(dpi[1]))  # JFIF holds whole numbers


_PROBES, _PROBED = 8, 12
"""How many bands of how many rows of a picture tell which filter makes it smaller."""
_BAND = 256  # rows
_UP = 2  # filter type of a row: what differs from the row above; 0 is none


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether the picture is smaller as it is than filtered, as drawn flats are, and paintings and scans are not. They
    are written sooner, too."""
    step = max(_PROBED, len(pixels) // _PROBES)
    bands = [pixels[top : top + _PROBED] for top in range(step // 2, len(pixels), step)] or [pixels]
    probe = np.concatenate(bands)
    filtered = BytesIO()
    Image.fromarray(probe).save(filtered, "PNG", compress_level=_PNG_LEVEL)
    return len(zlib.compress(_rows(probe, None), _PNG_LEVEL)) <= len(filtered.getbuffer())


def _rows(pixels: NDArray[Any], above: NDArray[np.uint8] | None) -> bytes:
    """Rows as a PNG has them, each behind the type of its filter. With `above`, the samples of the row before them, they
    are filtered by Up."""
    samples = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">"))).view(np.uint8)
    samples = samples.reshape(len(pixels), -1)
    rows = np.empty((len(samples), samples.shape[1] + 1), np.uint8)
    rows[:, 0] = 0 if above is None else _UP
    rows[:, 1:] = samples
    if above is not None:
        rows[0, 1:] -= above
        rows[1:, 1:] -= samples[:-1]
    return rows.tobytes()


def _write_png(pixels: NDArray[Any], target: BinaryIO, dpi: Resolution | None, icc: bytes | None) -> None:
    """A PNG (PNG specification, third edition) with one filter for all rows: none at 8 bits, Up at 16. Pillow writes colour
    at 8 bits only, and filters every row."""

    def chunk(name: bytes, data: bytes) -> None:
        target.write(struct.pack(">I", len(data)) + name + data)
        target.write(zlib.crc32(data, zlib.crc32(name)).to_bytes(4, "big"))

    height, width = pixels.shape[:2]
    depth = pixels.dtype.itemsize * 8
    target.write(b"\x89PNG\r\n\x1a\n")
    kind = {1: 0, 3: 2, 4: 6}[pixels[0, 0].size]  # colour type: gray, RGB, RGBA
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    if icc:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if dpi:
        chunk(b"pHYs", struct.pack(">IIB", round(dpi[0] / _INCH), round(dpi[1] / _INCH), 1))
    deflate = zlib.compressobj(_PNG_LEVEL)
    above = np.zeros(pixels[0].size * 2, np.uint8) if depth == 16 else None
    for top in range(0, height, _BAND):
        band = pixels[top : top + _BAND]
        if data := deflate.compress(_rows(band, above)):
            chunk(b"IDAT", data)
        if above is not None:
            above = band[-1].astype(">u2").view(np.uint8).ravel()
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def _write_tiff(pixels: NDArray[Any], target: BinaryIO, dpi: Resolution | None, icc: bytes | None) -> None:
    """A baseline TIFF (TIFF 6.0 with Adobe's deflate, compression 8, and predictor 2), 8 or 16 bit.

    Pillow writes no 16-bit colour; one writer for all keeps the files alike."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    depth = pixels.dtype.itemsize * 8
    rows = max(1, _TIFF_STRIP // (width * channels * pixels.dtype.itemsize))
    strips = []
    for top in range(0, height, rows):
        samples = pixels[top : top + rows].reshape(-1, width, channels).astype(f"<u{depth // 8}")
        differences = samples.copy()
        differences[:, 1:] -= samples[:, :-1]  # wraps around, as the predictor wants
        strips.append(zlib.compress(differences.tobytes(), 6))
    short, long, rational, undefined = 3, 4, 5, 7
    offsets = np.cumsum([8, *(len(strip) + len(strip) % 2 for strip in strips)]).tolist()
    resolution = dpi or (72.0, 72.0)
    tags: list[tuple[int, int, int, bytes]] = [
        (256, long, 1, struct.pack("<I", width)),
        (257, long, 1, struct.pack("<I", height)),
        (258, short, channels, struct.pack("<H", depth) * channels),
        (259, short, 1, struct.pack("<H", 8)),
        (262, short, 1, struct.pack("<H", 2 if channels == 3 else 1)),
        (273, long, len(strips), struct.pack(f"<{len(strips)}I", *offsets[:-1])),
        (277, short, 1, struct.pack("<H", channels)),
        (278, long, 1, struct.pack("<I", rows)),
        (279, long, len(strips), struct.pack(f"<{len(strips)}I", *(len(strip) for strip in strips))),
        (282, rational, 1, struct.pack("<II", round(resolution[0] * 1000), 1000)),
        (283, rational, 1, struct.pack("<II", round(resolution[1] * 1000), 1000)),
        (296, short, 1, struct.pack("<H", 2 if dpi else 1)),
        (317, short, 1, struct.pack("<H", 2)),
    ]
    if icc:
        tags.append((34675, undefined, len(icc), icc))
    target.write(struct.pack("<2sHI", b"II", 42, offsets[-1]))
    target.writelines(strip + b"\0" * (len(strip) % 2) for strip in strips)
    directory, extra = [struct.pack("<H", len(tags))], []
    at = offsets[-1] + 2 + 12 * len(tags) + 4
    for tag, kind, count, value in tags:
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack("<I", at)
            extra.append(value + b"\0" * (len(value) % 2))
            at += len(extra[-1])
        directory.append(struct.pack("<HHI4s", tag, kind, count, field))
    target.write(b"".join([*directory, b"\0\0\0\0", *extra]))
