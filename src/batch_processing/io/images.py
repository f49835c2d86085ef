"""Reading one image: probe its header, decode its content. How one is written: `encoding.py`.

Promises
* What a file is follows from its first bytes, never from its name, and only the formats of `FORMATS` are
  tried. A probe reads headers alone; no picture above `MAX_PIXELS` is ever decoded.
* A decoded page is upright (EXIF orientation applied), opaque and 8-bit RGB. It was composited on white, or on black
  where all that is drawn would vanish on white.
  Its size and resolution are the file's. Samples of gray, bilevel and RGB files come out bit for bit;
  where a file has 16 bits, `Page.native` holds them.
* Colour: an RGB profile is kept with the untouched samples; CMYK, Lab and gray with a gray profile are
  converted to sRGB (relative colorimetric, black point compensation); gray and CMYK pages carry sRGB. A profile
  that is damaged counts as sRGB.
* What was put right in this is said in `Page.warnings`.

Refuses, with an `ImageProcessingError` that says why: what is no image, is empty, cut off or damaged, has
too many pixels, or holds floating-point samples. A cut-off picture is an error, never a half-gray page, but one that
lacks its mere end is read (`endings.py`).

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from ..exceptions import ImageProcessingError, reason
from ..messages import Message, as_message
from ..reading import open_regular
from . import bounds
from .encoding import OutputFormat, Resolution, encode, output_format
from .endings import END_MISSING, completed_jpeg, completed_png
from .kinds import HEAD, not_read, picture_of
from .profiles import flaw, gray_to_srgb, image_to_srgb, srgb_profile, to_srgb
from .quality import jpeg_quality, webp_quality
from .tiff_pages import TiffPages

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "ImageInfo",
    "OutputFormat",
    "Page",
    "Resolution",
    "decode",
    "encode",
    "opened",
    "output_format",
    "probe",
    "srgb_profile",
    "thumbnail",
]

MAX_PIXELS: Final = 256_000_000  # pixels; above it a file counts as a decompression bomb
FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "HEIF", "PSD")

_COMPLETED = {"PNG": completed_png, "JPEG": completed_jpeg}

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


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says. Width and height in pixels, after orientation; `dpi` likewise.

    `mode` is Pillow's name of the sample layout; `orientation` the EXIF value 1 to 8 found in the file; `more`: it
    is animated or has further pages, which are not read; `quality` what a lossy JPEG or WebP was written with, 1 to
    100, as near as it tells. `warnings`: what reading it will put right."""

    format: str
    width: int
    height: int
    mode: str
    dpi: Resolution | None
    orientation: int
    more: bool = False
    quality: int | None = None
    warnings: tuple[Message, ...] = ()


@dataclass
class Page:
    """One decoded image.

    `rgb` is (height, width, 3), 8 bit, upright and opaque. `gray`: the file holds no colour (its layout is
    gray or bilevel, or every colour of its palette is gray), so the three channels are equal.
    `bit_depth` is 1, 8 or 16, the file's own. `native`, for 16-bit files at full size only, holds the samples unrounded:
    uint16, (height, width) for gray and (height, width, 3) for RGB. `icc` is the profile that `rgb` and
    `native` are in: the file's own for RGB, sRGB for gray and CMYK, None for untagged RGB. `warnings` are what a person
    should know of how it was read. The arrays may be read-only."""

    rgb: NDArray[np.uint8]
    gray: bool
    bit_depth: int
    dpi: Resolution | None
    icc: bytes | None
    source_mode: str
    native: NDArray[np.uint16] | None = None
    warnings: tuple[Message, ...] = ()

    def srgb(self) -> NDArray[np.uint8]:
        """`rgb` in sRGB."""
        return to_srgb(self.rgb, self.icc)


def probe(path: Path) -> ImageInfo:
    """What the header of `path` says, without decoding a pixel. Raises ImageProcessingError."""
    with opened(path) as (im, kind):
        orientation, dpi = _orientation_and_dpi(im, kind)
        width, height = im.size
        if orientation >= 5:
            dpi = dpi and (dpi[1], dpi[0])
            if kind != "TIFF":  # Pillow's TIFF reader has swapped them already
                width, height = height, width
        quality = None
        if kind == "JPEG":
            quality = jpeg_quality(im.quantization)  # type: ignore[attr-defined]
        elif kind == "WEBP":
            with path.open("rb") as file:
                quality = webp_quality(file)
        icc = im.info.get("icc_profile")
        wrong = flaw(icc) if icc and icc[16:20] == b"RGB " else None
        warnings = (wrong,) if wrong else ()
        more = _has_more(im, kind, path)
        return ImageInfo(kind, width, height, im.mode, dpi, orientation, more, quality, warnings)


def decode(path: Path, *, max_side: int | None = None) -> Page:
    """The picture in `path`; see the module's text for what is done to it. Raises ImageProcessingError.

    With `max_side` (pixels) a picture that is larger comes back shrunk to that longest side, at 8 bit:
    for looking at it, not for colouring it. JPEG files are then decoded at 1/2, 1/4 or 1/8."""
    warnings: list[Message] = []
    with opened(path) as (found, kind):
        im = found
        orientation, dpi = _orientation_and_dpi(im, kind)
        if orientation >= 5:
            dpi = dpi and (dpi[1], dpi[0])
        mode = im.mode
        depth = _bit_depth(im, kind, path)
        try:
            completed = _COMPLETED[kind](path) if kind in _COMPLETED else None
            if completed is not None:
                warnings.append(END_MISSING)
                im = _factory(kind, path)(io.BytesIO(completed))
            target = _shrunk(im.size, max_side)
            if target and kind == "JPEG":
                im.draft(None, target)
            with _size_already_checked(im.size):
                im.load()
            if target and im.mode in {"L", "RGB", "CMYK"} and "transparency" not in im.info:
                im = im.resize(target, Image.Resampling.BOX)  # early: all that follows is then cheap
            native = None
            if depth == 16 and (not target or im.mode.startswith("I")):
                native = _native(im, path, completed, warnings)
                if native is None:
                    depth = 8  # 16-bit layouts that only Pillow reads, and only at 8 bit
            icc = im.info.get("icc_profile")
            rgb, gray, icc, native = _to_srgb(im, native, icc, path, warnings)
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
    return Page(rgb, gray, depth, dpi, icc, mode, native, tuple(warnings))


def thumbnail(
    source: Path | NDArray[np.uint8], longest: int = 640, limit: int = 100_000, icc: bytes | None = None
) -> bytes:
    """A WebP in sRGB of at most `longest` pixels a side and `limit` bytes, for the report. `icc`: the profile that
    pixels are in."""
    if isinstance(source, Path):
        page = decode(source, max_side=longest)
        source, icc = page.rgb, page.icc
    im = Image.fromarray(source)
    im.thumbnail((longest, longest), Image.Resampling.BILINEAR)
    im = Image.fromarray(to_srgb(np.asarray(im), icc))
    while (found := _fitting(im, limit)) is None:
        im = im.resize((max(1, im.width * 3 // 4), max(1, im.height * 3 // 4)))
    return found


_WEBP = ((80, 2), (60, 2), (45, 2), (30, 2), (20, 2), (10, 2), (10, 4))
"""Quality, and Pillow's `method`: how hard it looks for a smaller file; 4 takes twice as long as 2 for 3 %. Each makes less than the
one before. Down to 10 ink stays crisp and flats stay flat (looked at, at 400 pixels); smaller with more quality shows less."""


_ROOMY = 0.2
"""Bytes a pixel, within which nearly all pictures fit at once."""


def _fitting(im: Image.Image, limit: int) -> bytes | None:
    """The best WebP of at most `limit` bytes; of a single pixel the least there is. None if all are larger."""
    found = None
    low, high = 0, len(_WEBP)
    middle = 0 if limit > _ROOMY * im.width * im.height else high // 2
    while low < high:
        made = _webp(im, *_WEBP[middle])
        if len(made) <= limit:
            found, high = made, middle
        else:
            low = middle + 1
        middle = (low + high) // 2
    return made if found is None and max(im.size) == 1 else found


def _webp(im: Image.Image, quality: int, method: int) -> bytes:
    buffer = io.BytesIO()
    im.save(buffer, "WEBP", quality=quality, method=method)
    return buffer.getvalue()


# --- opening ---------------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """The file as a Pillow image with its header read and its size checked, and its format."""
    try:
        file = open_regular(path)
        size = os.fstat(file.fileno()).st_size
    except IsADirectoryError as fault:
        raise ImageProcessingError(path, "it is a folder, not an image") from fault
    except (OSError, ValueError) as fault:
        raise ImageProcessingError(path, "the file cannot be read ({fault})", fault=reason(fault)) from fault
    with file:
        if not size:
            raise ImageProcessingError(path, "the file is empty")
        head = file.read(HEAD)
        picture = picture_of(head)
        kind = picture.format if picture is not None else ""
        if not kind:
            raise ImageProcessingError(path, not_read(head, path.name))
        try:
            bounds.check(file, kind)
        except ValueError as fault:
            raise ImageProcessingError(path, _damaged(fault)) from fault
        try:
            # Without a name: by that Pillow maps raw samples into memory, and misplaces those that are to be turned.
            im = _factory(kind, path)(file)
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
                "the image has {width} x {height} pixels, more than the limit of {limit} million; make it "
                "smaller, or cut it into pages",
                width=width,
                height=height,
                limit=MAX_PIXELS // 1_000_000,
            )
        yield im, kind


def _has_more(im: Image.Image, kind: str, path: Path) -> bool:
    """Whether a file holds pictures behind the first."""
    if kind == "TIFF":
        return len(TiffPages.of(path).offsets) > 1  # not Pillow, which also counts reduced copies
    if kind not in {"GIF", "PNG", "WEBP", "AVIF"}:
        return False
    try:
        return bool(getattr(im, "is_animated", False))
    except _FAULTS:  # a second picture that is damaged: the first is judged when it is decoded
        return False


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
    if kind == "PSD":  # Pillow's own reads neither PSB nor what has no merged picture
        from .psd import Psd

        return Psd
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


def _damaged(fault: BaseException) -> Message:
    text = str(fault) or type(fault).__name__
    told = reason(fault) or text
    if isinstance(fault, MemoryError):
        return Message("there is not enough memory to decode the image")
    if any(word in text.lower() for word in ("truncated", "not enough", "unexpected end", "too short")):
        return Message("the image is cut off ({text}); get a complete copy", text=told)
    return Message("the image is damaged ({text})", text=told)


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


# --- samples and colour ----------------------------------------------------------------------------------


_VANISHED: Final = Message(
    "its drawing is white on a transparent ground, and was laid on black: on white paper it would vanish"
)
_OPAQUE = 64  # of 255: what is less opaque is nothing drawn
_SEEN = 24  # of 255: what is less dark on white is not seen


def _paper(light: NDArray[np.uint8], alpha: NDArray[np.uint8], warnings: list[Message]) -> int:
    """What a picture is laid on, of its brightness and opacity, (h, w): 255, white; or 0, black, where nothing that
    is drawn would be seen on white."""
    drawn = alpha > _OPAQUE
    share = float(drawn.mean())
    if not 0 < share < 0.8:  # less than a fifth is transparent: a page with round corners
        return 255
    seen = alpha[drawn].astype(np.uint16) * (255 - light[drawn]) > _SEEN * 255
    if seen.mean() > 0.005:
        return 255
    warnings.append(_VANISHED)
    return 0


def _native(
    im: Image.Image, path: Path, completed: bytes | None, warnings: list[Message]
) -> NDArray[np.uint16] | None:
    """The 16-bit samples of a loaded image, without transparency; None where nothing here can read them. `completed`
    are its bytes where the file lacks some."""
    if im.mode.startswith("I"):
        samples = np.asarray(im)
        if samples.dtype.itemsize == 2 and samples.dtype.kind == "u":
            samples = samples.astype(np.uint16)
        elif samples.min() < 0 or samples.max() > 65535:
            raise ImageProcessingError(path, "its samples have more than 16 bits; save it with 8 or 16 bits")
        transparent = im.info.get("transparency")
        gray: NDArray[np.uint16] = samples.astype(np.uint16)
        if isinstance(transparent, int):
            clear = gray == transparent
            gray[clear] = 257 * _paper((gray >> 8).astype(np.uint8), np.where(clear, 0, 255), warnings)
        return gray
    if im.info.get("transparency") is not None:
        return None
    import cv2  # Pillow reads colour of 16 bits at 8 bits only

    data = np.fromfile(path, np.uint8) if completed is None else np.frombuffer(completed, np.uint8)
    read = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16 or read.ndim != 3 or read.shape[:2] != (im.height, im.width):
        return None
    color = read[:, :, 2::-1]
    if read.shape[2] == 4:
        alpha = read[:, :, 3:].astype(np.uint64)
        light = (color.max(axis=2) // 257).astype(np.uint8)
        paper = 257 * _paper(light, (read[:, :, 3] // 257).astype(np.uint8), warnings)
        color = (color * alpha + paper * (65535 - alpha) + 32767) // 65535
    if im.mode in {"L", "LA"}:
        color = color[:, :, 0]
    result: NDArray[np.uint16] = np.ascontiguousarray(color, dtype=np.uint16)
    return result


def _to_srgb(
    im: Image.Image,
    native: NDArray[np.uint16] | None,
    icc: bytes | None,
    path: Path,
    warnings: list[Message],
) -> tuple[NDArray[np.uint8], bool, bytes | None, NDArray[np.uint16] | None]:
    """8-bit samples, (h, w) when gray, else (h, w, 3); whether gray; their profile; the 16-bit samples."""
    space = icc[16:20] if icc else None
    if icc is not None and space == b"RGB " and (wrong := flaw(icc)) is not None:
        warnings.append(wrong)
        icc = space = None
    if native is not None:
        gray = native.ndim == 2
        rounded = np.round(np.arange(65536) / 257).astype(np.uint8)
        samples: NDArray[np.uint8] = rounded[native]
    elif im.mode in {"CMYK", "LAB"}:
        icc = icc if space == b"CMYK" else None
        return _of_other_layout(im, icc, warnings), False, srgb_profile(), None
    elif im.mode == "F" or im.mode.startswith("I"):
        raise ImageProcessingError(path, "its samples are floating-point numbers; save it with 8 or 16 bits")
    else:
        flat, gray = _opaque(im, warnings)
        samples = np.asarray(flat)
    if not gray:
        return samples, False, (icc if space == b"RGB " else None), native
    if space == b"RGB ":  # a gray file tagged with an RGB profile: equal channels in that space
        return samples, True, icc, native
    if icc is not None and space == b"GRAY":
        try:
            curve = gray_to_srgb(icc)
        except ValueError as fault:
            warnings.append(as_message(reason(fault)))
            curve = None
        if curve is not None:
            samples = np.round(curve).astype(np.uint8)[samples]
            if native is not None:
                fine = np.interp(np.arange(65536) / 257, np.arange(256), curve) * 257
                native = np.round(fine).astype(np.uint16)[native]
    return samples, True, srgb_profile(), native


def _of_other_layout(im: Image.Image, icc: bytes | None, warnings: list[Message]) -> NDArray[np.uint8]:
    """Samples of CMYK or Lab in sRGB, (h, w, 3)."""
    if im.mode == "CMYK" and icc is None:
        return np.asarray(im.convert("RGB"))  # no profile: the plain complement, black ink to black
    try:
        return image_to_srgb(im, icc)
    except ValueError as fault:
        if im.mode != "CMYK":
            raise ValueError(Message("its colours cannot be converted: {fault}", fault=fault)) from fault
        warnings.append(Message("its colour profile is damaged and was ignored ({fault})", fault=fault))
        return np.asarray(im.convert("RGB"))


def _opaque(im: Image.Image, warnings: list[Message]) -> tuple[Image.Image, bool]:
    """An 8-bit L or RGB image without transparency, and whether it is gray."""
    gray = im.mode in {"1", "L", "LA", "La"}
    if im.mode in {"P", "PA"}:
        gray = _gray_palette(im)
    if "transparency" in im.info or im.mode in {"LA", "La", "PA", "RGBA", "RGBa"}:
        layered = im.convert("RGBA" if im.mode not in {"LA", "La"} else "LA")
        alpha = layered.getchannel("A")
        light = np.asarray(layered.convert(layered.mode[:-1]).convert("L"))
        white = _paper(light, np.asarray(alpha), warnings) == 255
        paper = Image.new(layered.mode[:-1], im.size, "white" if white else "black")
        paper.paste(layered.convert(paper.mode), mask=alpha)
        im = paper
    target = "L" if gray else "RGB"
    return (im if im.mode == target else im.convert(target)), gray


def _gray_palette(im: Image.Image) -> bool:
    palette = np.array(im.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    indices = im.getchannel("P") if im.mode == "PA" else im
    used = [index for index, count in enumerate(indices.histogram()[: len(palette)]) if count]
    return bool((np.ptp(palette[used], axis=1) == 0).all()) if used else True


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
