"""What the header of one photo says. Runs in a process of its own that may be killed at any moment.

Promises: reads headers only and decodes nothing; takes no more than `MEMORY_LIMIT` of address space.
The content decides the format, never the extension. Refuses what Pillow cannot identify. Dates,
positions and orientations that make no sense are left out, not guessed.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import sys
import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from .reading import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of one reader process. Pillow, its codecs and a large EXIF block need about 300 MiB of address space.
MEMORY_LIMIT = 2 * 1024**3
# What Pillow may try; "JPEG" opens MPO too.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PSD")
# Extensions that go with what the content is.
EXTENSIONS = {
    "JPEG": {".jpg", ".jpeg", ".jpe"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".mpo"},
    "PNG": {".png"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "AVIF": {".avif", ".heif", ".hif"},
    "HEIF": {".heic", ".heif", ".hif"},
    "JPEG2000": {".jp2"},
    "PSD": {".psd"},
    "JXL": {".jxl"},
    "CR3": {".cr3"},
    "ORF": {".orf"},
    "RW2": {".rw2"},
    "RAF": {".raf"},
}
# Raw formats that are TIFF files; only their extension tells them apart.
RAW_TIFF = {".dng": "DNG", ".cr2": "CR2", ".nef": "NEF", ".arw": "ARW"}
# Raw formats and JPEG XL by their first bytes: (offset, bytes, format).
MAGIC = (
    (4, b"ftypcrx ", "CR3"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"\xff\x0a", "JXL"),
    (0, b"\0\0\0\x0cJXL ", "JXL"),
)
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}

# EXIF 2.32 tags
ORIENTATION, MAKE, MODEL, DATE_TIME = 0x0112, 0x010F, 0x0110, 0x0132
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
DATES = (
    (0x9003, 0x9011),
    (0x9004, 0x9012),
    (DATE_TIME, 0x9010),
)  # original, digitized, changed; their offsets

Facts = dict[str, Any]


def read_header(path: str) -> Facts:
    """The columns of `photo_facts` for one file. Raises what Pillow and the system raise."""
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122
    with os.fdopen(open_file(path), "rb") as file:
        head = file.read(32)
        file.seek(0)
        for offset, magic, name in MAGIC:
            if head[offset : offset + len(magic)] == magic:
                return {"format": name, "mismatch": extension not in EXTENSIONS[name]}
        if head[:4] in (b"II*\0", b"MM\0*") and extension in RAW_TIFF:
            # The first directory describes a thumbnail: its size is not the photo's.
            return {"format": RAW_TIFF[extension], "mismatch": False, **_raw_exif(file)}
        return _image(file, head, extension)


def _image(file: BinaryIO, head: bytes, extension: str) -> Facts:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS and "HEIF" not in Image.OPEN:
            raise UnidentifiedImageError("HEIC needs the extra: pip install 'lote[heif]'") from None
        raise
    name = image.format or ""
    facts: Facts = {
        "format": name,
        "mismatch": extension not in EXTENSIONS[name],
        "width": image.width,
        "height": image.height,
    }
    if name == "PNG" and "exif" not in image.info and (block := _late_exif(file)):
        image.info["exif"] = block
    # Not `image.getexif()`: for PNG that decodes the whole image.
    return facts | _exif(Image.Image.getexif(image))


def _late_exif(file: BinaryIO) -> bytes | None:
    """The EXIF block of a PNG that stands behind its pixels (ImageMagick, exiftool)."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return b"Exif\0\0" + file.read(length)
        file.seek(length + 4, os.SEEK_CUR)
    return None


def _raw_exif(file: BinaryIO) -> Facts:
    from PIL import Image

    exif = Image.Exif()
    exif.load_from_fp(file)
    return _exif(exif)


def _exif(exif: Any) -> Facts:
    details = dict(exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged tags; what is left of them is used
        details |= exif.get_ifd(EXIF_IFD)
        position = exif.get_ifd(GPS_IFD)
    orientation = details.get(ORIENTATION)
    return {
        "orientation": orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else None,
        "taken_at": taken_at(details),
        "latitude": degrees(position.get(2), position.get(1), 90),
        "longitude": degrees(position.get(4), position.get(3), 180),
        "camera": _camera(details.get(MAKE), details.get(MODEL)),
    }


def taken_at(tags: Mapping[int, Any]) -> str | None:
    """When the photo was taken, ISO 8601, with an offset from UTC only where EXIF has one."""
    for date, offset in DATES:
        text = tags.get(date)
        if not isinstance(text, str):
            continue
        try:
            moment = datetime.strptime(text.strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - local time
        except ValueError:
            continue
        zone = str(tags.get(offset) or "").strip("\0 ")
        return moment.isoformat() + (zone if re.fullmatch(r"[+-](0\d|1[0-4]):[0-5]\d", zone) else "")
    return None


def degrees(parts: Any, reference: Any, limit: int) -> float | None:
    """Degrees, minutes and seconds as one number, negative for S and W; None for what is no position."""
    try:
        whole, minutes, seconds = (float(part) for part in parts)
        value = whole + minutes / 60 + seconds / 3600
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(value) or not 0 <= value <= limit:
        return None
    if isinstance(reference, bytes):
        reference = reference.decode("ascii", "replace")
    return round(-value if str(reference).strip("\0 ").upper() in ("S", "W") else value, 7)


def _camera(make: Any, model: Any) -> str | None:
    words = [str(text).strip("\0 ") for text in (make, model) if isinstance(text, str)]
    if len(words) == 2 and words[1].lower().startswith(words[0].lower()):
        words = words[1:]  # "Canon" and "Canon EOS 5D"
    text = " ".join(word for word in words if word)[:200]
    return text.encode("utf-8", "replace").decode().replace("\0", "") or None


def explain(error: Exception) -> tuple[str, str]:
    """Kind and text of an error row."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "format", str(error) if "extra" in str(error) else "is no image that is understood here"
    if isinstance(error, MemoryError):
        return "memory", "its header needs too much memory"
    if isinstance(error, OSError) and error.errno:
        return "read", f"cannot be read ({error.strerror})"
    return "header", f"has a damaged header ({type(error).__name__}: {str(error)[:200]})"


def main() -> None:
    """Answer each line on stdin (a path, JSON) with one line on stdout: `{"facts": ...}` or `{"error": ...}`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded here
    Image.init()
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"facts": read_header(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - the worker's border: the item fails, with its cause as text
            answer = {"error": explain(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
