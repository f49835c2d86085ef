"""The one decode of a photo: its pixels, small and upright, and whether they are whole.

Promises: a file is opened without following links, and refused if it is not the one that was hashed (size and time,
before and after). What is decoded is measured before. Pixels are 8-bit BGR on white. A format that nothing here reads has
none, which is no error.
"""

from __future__ import annotations

import mmap
import os
import stat
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...io import bounds
from ...io.containers import Region, box, chunks
from ...io.images import MAX_PIXELS
from ...messages import Message
from ..damage import ZEROS, Damage, damage_of
from ..exif import ORIENTATION
from ..header_facts import ErrorKind
from ..headers import HEAD, LIBRARIES, RAW_TIFF, content_format, libraries
from ..raw import raw_facts
from ..reading import Unreadable, clamped, explain, open_file
from . import jpeg
from .holes import holes
from .look import LookError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The longer side that is asked of a decoder: previews have 256 pixels.
LEAST_SIDE = 512
MOST_BYTES = 1 << 30  # of a file that is read whole
MOST_PREVIEWS = 64  # that are looked at in a raw file
PREVIEW_HEAD = 256 * 1024  # bytes of one that hold its header
RAW = frozenset([*RAW_TIFF.values(), "CR3", "CRW", "ORF", "RW2", "RAF", "X3F"])
# Formats whose compressed data hold no run of zeros as long as a block of a disk, by what they lie in.
BLOCK = 4096
_HOLED = frozenset(["WEBP", "AVIF", "HEIF", "JPEG2000", "JXL"])
JXL = "pillow-jxl-plugin"
# Gray that decoders put where data are missing: no light and no colour to either side.
GRAY = 128
# A tail of gray is at least this part of the picture, and what is above it is picture.
LEAST_TAIL, MOST_GRAY_ABOVE = 0.005, 0.1
MOST_SMEARED = 0.05  # of the gray beside the picture
LEAST_PART = 0.01  # of a row that is picture, and that is gray
AS_GRAY = 2  # how far saving it again moves it beside the picture, of 255
STRAIGHT_TAIL = 0.02  # of the picture
# Rows into which compression smears what is beside them: a block of color, and what decoders smooth.
BLED = 24


@dataclass(frozen=True)
class Pixels:
    """A decoded photo. `bgr`: small and upright, (height, width, 3); `width`, `height`: of the whole upright picture."""

    bgr: NDArray[np.uint8] | None = None
    width: int | None = None
    height: int | None = None
    damaged: Damage | None = None
    picture: bytes | None = None
    quality: int | None = None
    profile: bytes = b""
    lacking: str | None = None


class NotDecodedError(Exception):
    """Why there are no pixels: `error` becomes a row of `photo_errors`."""

    def __init__(self, kind: str, text: Message) -> None:
        super().__init__(kind)
        self.error = LookError(kind, text)


@cache
def readers() -> dict[str, str]:
    """The versions of what decodes, by name. Makes this process a decoder, too."""
    import cv2
    from PIL import Image

    cv2.setNumThreads(1)
    Image.MAX_IMAGE_PIXELS = None  # what is decoded is measured here
    Image.init()
    found = libraries() | {"OpenCV": cv2.__version__}
    with suppress(ImportError):
        import pillow_jxl

        found[JXL] = pillow_jxl.__version__
    warnings.simplefilter("ignore")
    return found


def decode(path: bytes, size: int, mtime_ns: int, least: int = LEAST_SIDE) -> Pixels:
    """The pixels of the photo that was hashed with this size and time. NotDecodedError, MemoryError."""
    readers()
    try:
        descriptor = open_file(path)
        try:
            _refuse_another(descriptor, size, mtime_ns)
            found = _decoded(descriptor, size, os.path.splitext(os.fsdecode(path))[1].lower(), least)  # noqa: PTH122
            _refuse_another(descriptor, size, mtime_ns)
        finally:
            os.close(descriptor)
    except OSError as error:
        known = explain(error)
        raise NotDecodedError(known.kind, known.sentence) from error
    except Unreadable as error:
        raise NotDecodedError(error.kind, error.sentence) from error
    return found


def _refuse_another(descriptor: int, size: int, mtime_ns: int) -> None:
    now = os.fstat(descriptor)
    if not stat.S_ISREG(now.st_mode):
        raise Unreadable("not a file", "is no regular file")
    if (now.st_size, clamped(now.st_mtime_ns)) != (size, mtime_ns):
        raise Unreadable("changed", "changed since it was scanned: scan again")


def _decoded(descriptor: int, size: int, extension: str, least: int) -> Pixels:
    name = content_format(os.pread(descriptor, HEAD, 0), extension)
    if name is None or name == "PSB" or size > MOST_BYTES:
        return Pixels()
    if (library := JXL if name == "JXL" else LIBRARIES.get(name)) is not None and library not in readers():
        return Pixels(lacking=library)
    if name in RAW:
        return _raw(descriptor, name, least)
    damaged = damage_of(descriptor, name)
    if name in ("JPEG", "MPO"):
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
            file.seek(0)
            found = _jpeg(file.read(size), least)
    else:
        found = _picture(descriptor, name, least)
    if found.bgr is None and found.damaged is None and damaged is None:
        raise NotDecodedError(ErrorKind.HEADER, Message("cannot be decoded: its content is damaged"))
    return replace(found, damaged=damaged or found.damaged)


def _jpeg(data: bytes, least: int, turned: int | None = None) -> Pixels:
    """`turned`: how it is to be turned, where that stands elsewhere."""
    header = jpeg.header_of(data, with_picture=turned is None)
    if header is None:
        return Pixels()
    _refuse_large(header.width, header.height)
    decoded = jpeg.decode(data, header, least)
    orientation = turned or header.orientation
    width, height = header.width, header.height
    if orientation >= 5:
        width, height = height, width
    found = Pixels(None, width, height, None, header.picture, header.quality, header.profile)
    if decoded is None:
        return found
    damaged = jpeg.damage(data, header, decoded.warning) or gray_tail(decoded.pixels, is_jpeg=True)
    return replace(found, bgr=upright(decoded.pixels, orientation), damaged=damaged)


def _refuse_large(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise NotDecodedError(
            ErrorKind.MEMORY,
            Message(
                "has {megapixels} million pixels, more than are decoded here",
                megapixels=width * height // 1_000_000,
            ),
        )


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turned as EXIF's orientation (1 to 8) asks."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def gray_tail(pixels: NDArray[np.uint8], *, is_jpeg: bool = False) -> Damage | None:
    """Whether a picture was cut off, and saved again with the gray that a decoder had put in place of the rest: then the
    gray begins in the middle of a row of blocks, and everything before it is picture. Whichever way it was turned since.
    In a JPEG that lies as it was it may begin with a row, too: gray to the last bit below a picture is no frame."""
    for turn in range(4):
        if _ends_in_gray(np.rot90(pixels, turn), may_be_straight=is_jpeg and turn == 0):
            return Damage.GRAY
    return None


def _ends_in_gray(pixels: NDArray[np.uint8], *, may_be_straight: bool) -> bool:
    height = len(pixels)
    if not _gray(pixels[-1:]).all():
        return False  # nearly always
    is_gray = _gray(pixels)
    picture = np.nonzero(~is_gray.all(axis=1))[0]
    if not len(picture):
        return False
    last = int(picture[-1])  # the row in which the gray begins, or one below it, into which color has bled
    if height - 1 - last < max(1.0, LEAST_TAIL * height) or is_gray[:last].mean() > MOST_GRAY_ABOVE:
        return False
    if any(_begins_within(is_gray[row]) for row in range(max(0, last - BLED), last + 1)):
        return True
    tail = pixels[min(last + 1 + BLED, height - 1) :]
    return may_be_straight and height - 1 - last >= STRAIGHT_TAIL * height and bool((tail == GRAY).all())


def _gray(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((np.abs(pixels.astype(np.int16) - GRAY) <= AS_GRAY).all(axis=2))


def _begins_within(is_gray: NDArray[np.bool_]) -> bool:
    """Whether a row is picture up to some place, and gray from there on; but for what compression has smeared."""
    width = len(is_gray)
    before = np.cumsum(is_gray)[:-1]  # gray pixels before each place but the first
    place = np.arange(1, width)
    is_border = (before <= MOST_GRAY_ABOVE * place) & (
        before[-1] - before >= (1 - MOST_SMEARED) * (width - 1 - place)
    )
    least = max(2, round(LEAST_PART * width))
    return bool(is_border[least - 1 : width - 1 - least].any())


def _raw(descriptor: int, name: str, least: int) -> Pixels:
    """The largest JPEG inside of a raw file. Its end may be anywhere: nothing is said of the damage."""
    region = Region.of(descriptor)
    facts = raw_facts(region, name)
    best: tuple[int, int, jpeg.Header] | None = None
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        at = -1
        for _ in range(MOST_PREVIEWS):
            at = data.find(b"\xff\xd8\xff", at + 1)
            if at < 0:
                break
            header = jpeg.header_of(data[at : at + PREVIEW_HEAD], with_picture=False)
            if header is not None and (best is None or header.width * header.height > best[0]):
                best = header.width * header.height, at, header
        if best is None:
            return Pixels()
        content = data[best[1] : best[1] + MOST_BYTES]
    found = _jpeg(content, least, turned=(facts.orientation if facts else None) or best[2].orientation)
    width, height = (facts.width, facts.height) if facts else (None, None)
    if width and height and found.width and found.height and (width > height) != (found.width > found.height):
        width, height = height, width
    return replace(
        found,
        damaged=None,
        picture=None,
        quality=None,
        width=width or found.width,
        height=height or found.height,
    )


def _picture(descriptor: int, name: str, least: int) -> Pixels:
    """What Pillow reads."""
    from PIL import Image

    damaged = _broken(descriptor, name)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        try:
            bounds.check(file, name)
            file.seek(0)
            image: Any = Image.open(file, formats=None if name == "JXL" else [name])
            _refuse_large(*image.size)
            profile = image.info.get("icc_profile") or b""
            image.load()
            (width, height), orientation = image.size, image.getexif().get(ORIENTATION)
            if not isinstance(orientation, int) or not 1 <= orientation <= 8:
                orientation = 1
            pixels = upright(_bgr(_reduced(image, least)), orientation)
        except (NotDecodedError, MemoryError):
            raise
        except OSError as error:
            if error.errno:
                raise
            return Pixels(damaged=damaged or _said(error))
        except _FAULTS:
            return Pixels(damaged=damaged)
    if orientation >= 5:
        width, height = height, width
    return Pixels(pixels, width, height, damaged or gray_tail(pixels), None, None, profile)


# What Pillow's readers, which are plain Python over C, let through of their insides.
_FAULTS = (
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    AttributeError,
    RuntimeError,
    zlib.error,
)


def _said(error: OSError) -> Damage | None:
    """What Pillow's own errors say of the data. Those of libraries below it may be about features that they lack."""
    text = str(error).lower()
    return Damage.CUT if "truncated" in text else Damage.BROKEN if text.startswith("broken") else None


def _reduced(image: Any, least: int) -> Any:
    """Smaller by a whole factor, where its layout allows that without loss."""
    factor = max(image.size) // least
    if factor < 2 or image.mode not in ("L", "RGB", "RGBA", "LA", "CMYK"):
        return image
    return image.reduce(factor)


def _bgr(image: Any) -> NDArray[np.uint8]:
    """8-bit BGR on white."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of gray
        deep = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(deep[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point samples")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image)
        image = paper
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _broken(descriptor: int, name: str) -> Damage | None:
    """What checksums and runs of zeros tell, where decoders keep silent."""
    region = Region.of(descriptor)
    if name == "PNG":
        for chunk in chunks(region):
            if chunk.end + 4 > region.size:
                return Damage.CUT
            if chunk.type in (b"IHDR", b"PLTE", b"IDAT"):
                content = region.read(chunk.begin, chunk.end - chunk.begin)
                if zlib.crc32(content, zlib.crc32(chunk.type)) != region.number(chunk.end, 4):
                    return Damage.HOLES if bytes(ZEROS) in content else Damage.BROKEN
        return None
    if name in _HOLED and _has_zeros(descriptor, region, name):
        return Damage.HOLES
    return holes(descriptor, name)


def _has_zeros(descriptor: int, region: Region, name: str) -> bool:
    """Whether a block of zeros stands in the compressed data."""
    begin, end = 0, region.size
    if name in ("AVIF", "HEIF"):
        data_box = box(region, b"mdat")
        if data_box is None:
            return False
        begin, end = data_box.begin, data_box.end
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        return data.find(bytes(BLOCK), begin, end) >= 0
