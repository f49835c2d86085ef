"""Reading and writing one image: probe its header, decode its content, encode a result.

Promises
* What a file is follows from its first bytes, never from its name, and only the formats of `FORMATS` are
  tried. A probe reads headers alone; no picture above `MAX_PIXELS` is ever decoded.
* A decoded page is upright (EXIF orientation applied), opaque (composited on white) and 8-bit RGB.
  Its size and resolution are the file's. Samples of gray, bilevel and RGB files come out bit for bit;
  where a file has 16 bits, `Page.native` holds them.
* Colour: an RGB profile is kept with the untouched samples; CMYK, Lab and gray with a gray profile are
  converted to sRGB (relative colorimetric, black point compensation); gray and CMYK pages carry sRGB.
* The same pixels give the same bytes: nothing that is written holds a time.

Refuses, with an `ImageProcessingError` that says why: what is no image, is empty, cut off or damaged, has
too many pixels, or holds floating-point samples. A cut-off picture is an error, never a half-gray page.

Does not guarantee: to notice damage inside formats without checksums (JPEG, uncompressed TIFF, BMP).
Only the first frame or page of a file is read.
"""

from __future__ import annotations

import io
import math
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np
from PIL import Image, ImageCms

from ..exceptions import ImageProcessingError, reason
from ..logging_config import get_logger
from ..reading import open_regular
from . import bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "ImageInfo",
    "OutputFormat",
    "Page",
    "decode",
    "encode",
    "opened",
    "output_format",
    "probe",
    "srgb_profile",
    "thumbnail",
]

MAX_PIXELS: Final = 256_000_000  # pixels; above it a file counts as a decompression bomb
FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "HEIF")

OutputFormat = Literal["png", "jpg", "webp", "tif"]
Resolution = tuple[float, float]  # dots per inch, horizontal and vertical

_WEBP_MAX_SIDE = 16_383  # px: 14 bits in the VP8 and VP8L headers
_JPEG_MAX_SIDE = 65_500  # px: JPEG_MAX_DIMENSION of libjpeg
_PNG_LEVEL = 5  # measured on flats and scans: see docs/formats.md
_INCH = 0.0254  # metres
_TIFF_STRIP = 1 << 20  # bytes of samples in one strip: small enough for readers with little memory

# What decoders raise on hostile input. Pillow's plugins are plain Python over C and let through whatever
# their parsing happens to hit; bit-flip tests found each of these.
_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_log = get_logger(__name__)


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says. Width and height in pixels, after orientation; `dpi` likewise.

    `mode` is Pillow's name of the sample layout; `orientation` the EXIF value 1 to 8 found in the file."""

    format: str
    width: int
    height: int
    mode: str
    dpi: Resolution | None
    orientation: int


@dataclass
class Page:
    """One decoded image.

    `rgb` is (height, width, 3), 8 bit, upright and opaque. `gray`: the file holds no colour (its layout is
    gray or bilevel, or every colour of its palette is gray), so the three channels are equal.
    `bit_depth` is 1, 8 or 16, the file's own. `native`, for 16-bit files at full size only, holds the samples unrounded:
    uint16, (height, width) for gray and (height, width, 3) for RGB. `icc` is the profile that `rgb` and
    `native` are in: the file's own for RGB, sRGB for gray and CMYK, None for untagged RGB.
    The arrays may be read-only."""

    rgb: NDArray[np.uint8]
    gray: bool
    bit_depth: int
    dpi: Resolution | None
    icc: bytes | None
    source_mode: str
    native: NDArray[np.uint16] | None = None


def probe(path: Path) -> ImageInfo:
    """What the header of `path` says, without decoding a pixel. Raises ImageProcessingError."""
    with opened(path) as (im, kind):
        orientation, dpi = _orientation_and_dpi(im, kind)
        width, height = im.size
        if orientation >= 5:
            dpi = dpi and (dpi[1], dpi[0])
            if kind != "TIFF":  # Pillow's TIFF reader has swapped them already
                width, height = height, width
        return ImageInfo(kind, width, height, im.mode, dpi, orientation)


def decode(path: Path, *, max_side: int | None = None) -> Page:
    """The picture in `path`; see the module's text for what is done to it. Raises ImageProcessingError.

    With `max_side` (pixels) a picture that is larger comes back shrunk to that longest side, at 8 bit:
    for looking at it, not for colouring it. JPEG files are then decoded at 1/2, 1/4 or 1/8."""
    with opened(path) as (found, kind):
        im = found
        orientation, dpi = _orientation_and_dpi(im, kind)
        if orientation >= 5:
            dpi = dpi and (dpi[1], dpi[0])
        mode = im.mode
        depth = _bit_depth(im, kind, path)
        try:
            if kind == "PNG":
                _check_png(path)
            elif kind == "JPEG":
                _check_jpeg(path)
            target = _shrunk(im.size, max_side)
            if target and kind == "JPEG":
                im.draft(None, target)
            with _size_already_checked(im.size):
                im.load()
            if target and im.mode in {"L", "RGB", "CMYK"} and "transparency" not in im.info:
                im = im.resize(target, Image.Resampling.BOX)  # early: all that follows is then cheap
            native = None
            if depth == 16 and (not target or im.mode.startswith("I")):
                native = _native(im, path)
                if native is None:
                    depth = 8  # 16-bit layouts that only Pillow reads, and only at 8 bit
            icc = im.info.get("icc_profile")
            rgb, gray, icc, native = _to_srgb(im, native, icc, path)
        except ImageProcessingError:
            raise
        except _FAULTS as fault:
            raise ImageProcessingError(path, _damaged(fault)) from fault
    del im, found  # a third of what a large page needs
    if target and rgb.shape[1::-1] != target:
        native = None
        rgb = np.asarray(Image.fromarray(rgb).resize(target, Image.Resampling.BOX))
    if orientation != 1 and kind != "TIFF":  # Pillow turns TIFF pages itself while loading
        rgb = _upright(rgb, orientation)
        native = None if native is None else _upright(native, orientation)
    if rgb.ndim == 2:
        rgb = np.repeat(rgb.ravel(), 3).reshape(*rgb.shape, 3)  # three times as fast as along an axis
    return Page(rgb, gray, depth, dpi, icc, mode, native)


def encode(
    pixels: NDArray[Any],
    target: BinaryIO,
    format: OutputFormat,  # noqa: A002 - the word the command line uses
    *,
    dpi: Resolution | None = None,
    icc: bytes | None = None,
) -> None:
    """Write `pixels` into `target`: (h, w, 3) RGB or (h, w) gray; uint8, or uint16 for png and tif; as png (h, w, 4)
    RGBA too.

    PNG; JPEG at quality 92 without chroma subsampling; lossless WebP; TIFF with deflate and predictor.
    ValueError for pixels that the format cannot hold (`output_format` says which can)."""
    if format == "tif":
        _write_tiff(pixels, target, dpi, icc)
        return
    if format == "png" and pixels.dtype == np.uint16:
        _write_png16(pixels, target, dpi, icc)
        return
    im = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    options: dict[str, Any] = {"icc_profile": icc} if icc else {}
    if format == "png":
        im.save(target, "PNG", compress_level=_PNG_LEVEL, **_given(dpi=dpi), **options)
    elif format == "jpg":
        im.save(target, "JPEG", quality=92, subsampling=0, **_given(dpi=_whole(dpi)), **options)
    else:
        # WebP has no resolution of its own; EXIF is where readers look for it.
        if dpi:
            exif = Image.Exif()
            exif[282], exif[283], exif[296] = dpi[0], dpi[1], 2  # XResolution, YResolution, inch
            options["exif"] = exif.tobytes()
        im.save(target, "WEBP", lossless=True, quality=20, method=2, **options)


def output_format(requested: OutputFormat, width: int, height: int) -> OutputFormat:
    """The format a picture of this size (pixels) is written in: PNG where `requested` has no room for it."""
    limit = {"webp": _WEBP_MAX_SIDE, "jpg": _JPEG_MAX_SIDE}.get(requested)
    return "png" if limit and max(width, height) > limit else requested


def thumbnail(source: Path | NDArray[np.uint8], longest: int = 640, limit: int = 100_000) -> bytes:
    """A WebP of at most `longest` pixels a side and `limit` bytes, for the report."""
    rgb = decode(source, max_side=longest).rgb if isinstance(source, Path) else source
    im = Image.fromarray(rgb)
    im.thumbnail((longest, longest), Image.Resampling.BOX)
    quality = 80
    while True:
        buffer = io.BytesIO()
        im.save(buffer, "WEBP", quality=quality, method=2)
        if buffer.tell() <= limit or max(im.size) == 1:
            return buffer.getvalue()
        if quality > 40:
            quality -= 20
        else:
            im = im.resize((max(1, im.width * 3 // 4), max(1, im.height * 3 // 4)))


@cache
def srgb_profile() -> bytes:
    """The sRGB profile that gray and CMYK pages are tagged with; always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the creation date, else today's
    return bytes(profile)


# --- opening ---------------------------------------------------------------------------------------------


def _kind(head: bytes) -> str | None:
    """The format that a file's first 32 bytes announce."""
    starts = {
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"\xff\xd8\xff": "JPEG",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
        b"II+\0": "TIFF",
        b"MM\0+": "TIFF",
        b"BM": "BMP",
        b"GIF87a": "GIF",
        b"GIF89a": "GIF",
        b"\xff\x4f\xff\x51": "JPEG2000",
        b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    }
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, len(head), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return "HEIF"
    return None


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """The file as a Pillow image with its header read and its size checked, and its format."""
    try:
        file = open_regular(path)
        size = os.fstat(file.fileno()).st_size
    except IsADirectoryError as fault:
        raise ImageProcessingError(path, "it is a folder, not an image") from fault
    except (OSError, ValueError) as fault:
        raise ImageProcessingError(path, f"the file cannot be read ({reason(fault)})") from fault
    with file:
        if not size:
            raise ImageProcessingError(path, "the file is empty")
        head = file.read(32)
        kind = _kind(head)
        if kind is None:
            suffix = f" although its name ends in {path.suffix}" if path.suffix else ""
            raise ImageProcessingError(
                path,
                f"the file is not an image{suffix} (or of a kind that Lote does not read: convert it to PNG)",
            )
        try:
            bounds.check(file, kind)
        except ValueError as fault:
            raise ImageProcessingError(path, _damaged(fault)) from fault
        try:
            im = _factory(kind, path)(file, str(path))
        except ImageProcessingError:
            raise
        except _FAULTS as fault:
            raise ImageProcessingError(path, _damaged(fault)) from fault
        width, height = im.size
        if width < 1 or height < 1:
            raise ImageProcessingError(path, "the image is damaged (its header gives it no pixels)")
        if width * height > MAX_PIXELS:
            raise ImageProcessingError(
                path,
                f"the image has {width} x {height} pixels, more than the limit of {MAX_PIXELS // 1_000_000} "
                "million; make it smaller, or cut it into pages",
            )
        yield im, kind


def _factory(kind: str, path: Path) -> Any:
    """Pillow's opener for one format.

    Not `Image.open`: it compares the size with a limit that is global to the process and below ours."""
    if kind == "HEIF":
        try:
            from pi_heif import HeifImagePlugin  # noqa: F401 - registers itself
        except ImportError as fault:
            raise ImageProcessingError(
                path, "HEIC pictures need the package pi-heif, which is not installed: pip install pi-heif"
            ) from fault
    Image.init()
    return Image.OPEN[kind][0]


_limit_lock = threading.Lock()
_limit_users = 0
_limit_before: int | None = None


@contextmanager
def _size_already_checked(size: tuple[int, int]) -> Iterator[None]:
    """Lift Pillow's own pixel limit to ours while a large picture loads (its TIFF and GIF readers ask again).

    The limit is a global of Pillow: it is touched only for pictures that need it, and put back by the last."""
    global _limit_users, _limit_before  # noqa: PLW0603 - mirrors Pillow's own global
    current = Image.MAX_IMAGE_PIXELS
    if current is None or size[0] * size[1] <= current:
        yield
        return
    with _limit_lock:
        if _limit_users == 0:
            _limit_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if _limit_users == 0:
                Image.MAX_IMAGE_PIXELS = _limit_before


def _damaged(fault: BaseException) -> str:
    text = str(fault) or type(fault).__name__
    if isinstance(fault, MemoryError):
        return "there is not enough memory to decode the image"
    if any(word in text.lower() for word in ("truncated", "not enough", "unexpected end", "too short")):
        return f"the image is cut off ({text}); get a complete copy"
    return f"the image is damaged ({text})"


_EXIF_TAGS = frozenset({274, 282, 283, 296})  # orientation, resolution across and down, and its unit


def _orientation_and_dpi(im: Image.Image, kind: str) -> tuple[int, Resolution | None]:
    tags: Any = {}
    if kind == "TIFF":
        tags = im.tag_v2  # type: ignore[attr-defined]
    elif exif := im.info.get("exif"):
        # Not `im.getexif()`: for a PNG it decodes the picture to look for a late chunk.
        tags = bounds.exif_tags(exif, _EXIF_TAGS)
    try:
        orientation = int(tags.get(274, 1))
    except _FAULTS:
        orientation = 1
    dpi = im.info.get("dpi")
    try:
        if dpi is None and tags.get(282):
            unit = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))  # inch, centimetre
            dpi = unit and (float(tags[282]) * unit, float(tags.get(283, tags[282])) * unit)
        dpi = dpi and (float(dpi[0]), float(dpi[1]))
    except _FAULTS:
        dpi = None
    # Broken writers leave 0, 1 or absurd values, which would come back as a page of metres.
    plausible = dpi is not None and all(math.isfinite(value) and 1 < value < 100_000 for value in dpi)
    return (orientation if 1 <= orientation <= 8 else 1), (dpi if plausible else None)


def _bit_depth(im: Image.Image, kind: str, path: Path) -> int:
    if im.mode == "1":
        return 1
    if im.mode.startswith("I"):
        return 16
    if kind == "PNG":
        with path.open("rb") as file:
            return 16 if file.read(25)[24:] == b"\x10" else 8  # IHDR
    if kind == "TIFF" and im.mode in {"RGB", "RGBA", "RGBX"}:
        return 16 if 16 in im.tag_v2.get(258, ()) else 8  # type: ignore[attr-defined]
    return 8


def _check_png(path: Path) -> None:
    """Compare the checksum of every chunk that the picture needs: Pillow skips those of the pixel data."""
    with path.open("rb") as file:
        file.seek(8)
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise OSError("image file is truncated: its last chunk is missing")
            length, kind = struct.unpack(">I4s", head)
            name = kind.decode("latin-1")
            crc = zlib.crc32(kind)
            left = length + 4
            if kind[0] & 0x20:  # ancillary
                file.seek(left, io.SEEK_CUR)
                continue
            while left > 4:
                part = file.read(min(left - 4, 1 << 20))
                if not part:
                    raise OSError(f"image file is truncated inside chunk {name}")
                crc = zlib.crc32(part, crc)
                left -= len(part)
            stored = file.read(4)
            if len(stored) < 4:
                raise OSError(f"image file is truncated inside chunk {name}")
            if stored != crc.to_bytes(4, "big"):
                raise OSError(f"wrong checksum in chunk {name}")
            if kind == b"IEND":
                return


def _check_jpeg(path: Path) -> None:
    """Refuse a file whose tail was never filled in, as a broken download leaves it: it would decode to gray."""
    with path.open("rb") as file:
        file.seek(-min(64, path.stat().st_size), io.SEEK_END)
        if any(file.read()):
            return
        file.seek(0)
        data = file.read()
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):  # no end of image behind the last scan
        raise OSError("image file is truncated: its end is filled with zeros")


# --- samples and colour ----------------------------------------------------------------------------------


def _native(im: Image.Image, path: Path) -> NDArray[np.uint16] | None:
    """The 16-bit samples of a loaded image, composited on white; None where nothing here can read them."""
    if im.mode.startswith("I"):
        samples = np.asarray(im)
        if samples.dtype.itemsize == 2 and samples.dtype.kind == "u":
            samples = samples.astype(np.uint16)
        elif samples.min() < 0 or samples.max() > 65535:
            raise ImageProcessingError(path, "its samples have more than 16 bits; save it with 8 or 16 bits")
        transparent = im.info.get("transparency")
        gray: NDArray[np.uint16] = samples.astype(np.uint16)
        if isinstance(transparent, int):
            gray[gray == transparent] = 65535
        return gray
    if im.info.get("transparency") is not None:
        return None
    import cv2  # Pillow reads colour of 16 bits at 8 bits only

    read = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.ndim != 3 or read.shape[:2] != (im.height, im.width):
        return None
    colour = read[:, :, 2::-1]
    if read.shape[2] == 4:
        alpha = read[:, :, 3:].astype(np.uint64)
        colour = (colour * alpha + 65535 * (65535 - alpha) + 32767) // 65535
    if im.mode in {"L", "LA"}:
        colour = colour[:, :, 0]
    result: NDArray[np.uint16] = np.ascontiguousarray(colour, dtype=np.uint16)
    return result


def _to_srgb(
    im: Image.Image, native: NDArray[np.uint16] | None, icc: bytes | None, path: Path
) -> tuple[NDArray[np.uint8], bool, bytes | None, NDArray[np.uint16] | None]:
    """8-bit samples, (h, w) when gray, else (h, w, 3); whether gray; their profile; the 16-bit samples."""
    space = icc[16:20] if icc else None
    if native is not None:
        gray = native.ndim == 2
        rounded = np.round(np.arange(65536) / 257).astype(np.uint8)
        samples: NDArray[np.uint8] = rounded[native]
    elif im.mode in {"CMYK", "LAB"}:
        return _to_srgb_by_profile(im, icc if space == b"CMYK" else None, path), False, srgb_profile(), None
    elif im.mode == "F" or im.mode.startswith("I"):
        raise ImageProcessingError(path, "its samples are floating-point numbers; save it with 8 or 16 bits")
    else:
        flat, gray = _opaque(im)
        samples = np.asarray(flat)
    if not gray:
        return samples, False, (icc if space == b"RGB " else None), native
    if space == b"RGB ":  # a gray file tagged with an RGB profile: equal channels in that space
        return samples, True, icc, native
    if icc is not None and space == b"GRAY":
        curve = _gray_curve(icc, path)
        if curve is not None:
            samples = np.round(curve).astype(np.uint8)[samples]
            if native is not None:
                fine = np.interp(np.arange(65536) / 257, np.arange(256), curve) * 257
                native = np.round(fine).astype(np.uint16)[native]
    return samples, True, srgb_profile(), native


def _opaque(im: Image.Image) -> tuple[Image.Image, bool]:
    """An 8-bit L or RGB image without transparency, on white, and whether it is gray."""
    gray = im.mode in {"1", "L", "LA", "La"}
    if im.mode in {"P", "PA"}:
        gray = _gray_palette(im)
    if "transparency" in im.info or im.mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        layered = im.convert("RGBA" if im.mode not in {"LA", "La"} else "LA")
        paper = Image.new("RGB" if layered.mode == "RGBA" else "L", im.size, "white")
        paper.paste(layered.convert(paper.mode), mask=layered.getchannel("A"))
        im = paper
    target = "L" if gray else "RGB"
    return (im if im.mode == target else im.convert(target)), gray


def _gray_palette(im: Image.Image) -> bool:
    palette = np.array(im.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    indices = im.getchannel("P") if im.mode == "PA" else im
    used = [index for index, count in enumerate(indices.histogram()[: len(palette)]) if count]
    return bool((np.ptp(palette[used], axis=1) == 0).all()) if used else True


def _to_srgb_by_profile(im: Image.Image, icc: bytes | None, path: Path) -> NDArray[np.uint8]:
    if im.mode == "CMYK" and icc is None:
        return np.asarray(im.convert("RGB"))  # no profile: the plain complement, black ink to black
    source: Any = io.BytesIO(icc) if icc else ImageCms.createProfile("LAB")
    try:
        return np.asarray(_convert(im, source))
    except ImageCms.PyCMSError as fault:
        if im.mode != "CMYK":
            raise ValueError(f"its colours cannot be converted: {fault}") from fault
        _log.warning("%s: its colour profile is damaged and was ignored (%s)", path, fault)
        return np.asarray(im.convert("RGB"))


def _gray_curve(icc: bytes, path: Path) -> NDArray[np.float64] | None:
    """sRGB values (0 to 255) of the 256 gray samples under a gray profile; None when it changes nothing."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    try:
        # Not optimised: that puts dark grays of a linear profile up to 10 steps off.
        exact = _convert(ramp, io.BytesIO(icc), ImageCms.Flags.NOOPTIMIZE)
        converted = np.asarray(exact)[0, :, 1].astype(np.float64)
    except ImageCms.PyCMSError as fault:
        _log.warning("%s: its gray profile is damaged and was ignored (%s)", path, fault)
        return None
    # One step off is rounding: such a profile is sRGB's own curve, and the samples stay bit for bit.
    return None if np.abs(converted - np.arange(256)).max() <= 1 else converted


def _convert(im: Image.Image, source: Any, flags: int = 0) -> Image.Image:
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        im.mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | flags,
    )
    return transform.apply(im)


def _upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (EXIF 2.32, tag 274)."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        samples = samples[::-1]
    if orientation in {2, 3, 6, 7}:
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def _shrunk(size: tuple[int, int], max_side: int | None) -> tuple[int, int] | None:
    if max_side is None or max(size) <= max_side:
        return None
    scale = max_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


# --- writing ---------------------------------------------------------------------------------------------


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _whole(dpi: Resolution | None) -> tuple[int, int] | None:
    return dpi and (round(dpi[0]), round(dpi[1]))  # JFIF holds whole numbers


def _write_png16(
    pixels: NDArray[np.uint16], target: BinaryIO, dpi: Resolution | None, icc: bytes | None
) -> None:
    """A 16-bit PNG (PNG specification, third edition); Pillow writes colour at 8 bits only."""

    def chunk(name: bytes, data: bytes) -> None:
        target.write(struct.pack(">I", len(data)) + name + data)
        target.write(zlib.crc32(data, zlib.crc32(name)).to_bytes(4, "big"))

    height, width = pixels.shape[:2]
    target.write(b"\x89PNG\r\n\x1a\n")
    kind = {1: 0, 3: 2, 4: 6}[pixels[0, 0].size]  # colour type: gray, RGB, RGBA
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    if icc:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if dpi:
        chunk(b"pHYs", struct.pack(">IIB", round(dpi[0] / _INCH), round(dpi[1] / _INCH), 1))
    deflate = zlib.compressobj(_PNG_LEVEL)
    above = np.zeros(pixels[0].size * 2, np.uint8)
    for row in pixels:
        samples = row.astype(">u2").view(np.uint8).ravel()
        data = deflate.compress(b"\x02" + (samples - above).tobytes())  # filter type 2, Up
        above = samples
        if data:
            chunk(b"IDAT", data)
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
