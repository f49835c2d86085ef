"""What the header of one photo or video says. Runs in a worker of the engine (`header_pool.py`), which
may be killed at any moment and has `MEMORY_LIMIT` of address space.

Promises: reads headers only and decodes nothing. The content
decides the format, never the extension. Refuses what neither Pillow nor this package can identify. Dates, positions and
orientations that make no sense are left out, not guessed. A file that is cut off keeps its facts, or at least its
format, and says so.
"""

from __future__ import annotations

import os
import resource
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

from ..core.workers import Progress, one_by_one
from ..io.containers import Region, Tiff, chunks, segments
from ..messages import Message
from . import exif, videos
from .damage import Damage, damage_of, ends_in_zeros, mpo_damage
from .dates import Folders, completed
from .header_facts import ErrorKind, HeaderError, HeaderFacts, pixels
from .raw import MOST_XMP, PHOTOSHOP_EXIF, PHOTOSHOP_XMP, from_tags, from_tiff, photoshop_resource, raw_facts
from .reading import explain as explain_system
from .reading import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of one reader process. Pillow, its codecs and a large EXIF block need about 300 MiB of address space.
MEMORY_LIMIT = 2 * 1024**3
# What Pillow may try; "JPEG" opens MPO too.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PSD")
_MOVIE_EXTENSIONS = {".mov", ".mp4", ".m4v", ".3gp"}  # one container; phones change the name freely
# Extensions that go with what the content is.
EXTENSIONS: Mapping[str, set[str]] = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".insp"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif", ".insp", ".mpo"},
    "PNG": {".png"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "AVIF": {".avif", ".heif", ".hif"},
    "HEIF": {".heic", ".heif", ".hif"},
    "JPEG2000": {".jp2"},
    "PSD": {".psd"},
    "PSB": {".psb"},
    "JXL": {".jxl"},
    "CR3": {".cr3"},
    "CRW": {".crw"},
    "ORF": {".orf"},
    "RW2": {".rw2", ".rwl"},
    "RAF": {".raf"},
    "X3F": {".x3f"},
    "MOV": _MOVIE_EXTENSIONS,
    "MP4": _MOVIE_EXTENSIONS,
    "3GP": _MOVIE_EXTENSIONS,
    "AVI": {".avi"},
    "MKV": {".mkv"},
    "MTS": {".mts"},
}
# Raw formats that are TIFF files; only their extension tells them apart.
RAW_TIFF = {
    ".dng": "DNG", ".cr2": "CR2", ".nef": "NEF", ".nrw": "NRW", ".arw": "ARW", ".sr2": "SR2", ".pef": "PEF",
    ".srw": "SRW", ".3fr": "3FR", ".iiq": "IIQ", ".rwl": "RWL", ".gpr": "GPR",
}  # fmt: skip
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Formats that are read here and not by Pillow, by their first bytes: (offset, bytes, format).
MAGIC = (
    (4, b"ftypcrx ", "CR3"),
    (6, b"HEAPCCDR", "CRW"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"FOVb", "X3F"),
    (0, b"8BPS\0\2", "PSB"),
    (0, b"\xff\x0a", "JXL"),
    (0, b"\0\0\0\x0cJXL ", "JXL"),
)
_OWN_FORMATS = frozenset([*RAW_TIFF.values(), *(name for _, _, name in MAGIC)])
# Formats that Pillow reads, by the same.
PILLOW_MAGIC = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBPVP8", "WEBP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"8BPS\0\1", "PSD"),
    (0, b"\0\0\0\x0cjP  ", "JPEG2000"),
    (0, b"\xffO\xffQ", "JPEG2000"),
    *((0, magic, "TIFF") for magic in TIFF_MAGIC),
)
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
# What reads a format that is not built into every Pillow.
LIBRARIES = {"HEIF": "pi-heif", "AVIF": "Pillow with AVIF", "WEBP": "Pillow with WebP"}
HEAD = 256  # bytes that tell the format


class UnknownContentError(Exception):
    """The content is no photo and no video that is understood here."""


class DamagedHeaderError(Exception):
    """The content has the first bytes of its format, and not the structure."""


def libraries() -> dict[str, str]:
    """The versions of what reads headers, by name; without what is not installed. Registers the opener of HEIF."""
    import PIL
    from PIL import features

    found = {"Pillow": PIL.__version__}
    try:
        import pi_heif
    except ImportError:
        pass  # HEIC then has a row that says so
    else:
        pi_heif.register_heif_opener()
        found[LIBRARIES["HEIF"]] = pi_heif.__version__
    for feature, format_name in (("avif", "AVIF"), ("webp", "WEBP")):
        if features.check(feature):  # type: ignore[no-untyped-call, unused-ignore]
            found[LIBRARIES[format_name]] = found["Pillow"]
    return found


def content_format(head: bytes, extension: str) -> str | None:
    """The format that the first bytes of a file (at least 32; `HEAD` for all) say; None if they say none. `extension`, in
    lower case, tells raw formats apart that are TIFF files."""
    if head[:4] in TIFF_MAGIC and extension in RAW_TIFF:
        return RAW_TIFF[extension]
    for offset, magic, name in (*MAGIC, *PILLOW_MAGIC):
        if head.startswith(magic, offset):
            return name
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if head[4:8] == b"ftyp":
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))}
        if head[8:12] in AVIF_BRANDS or (head[8:12] in HEIF_BRANDS and brands & AVIF_BRANDS):
            return "AVIF"
        if head[8:12] in HEIF_BRANDS:
            return "HEIF"
    return videos.format_of(head)


def read_header(path: str, folders: Folders | None = None) -> HeaderFacts:
    """What the header of one file says, and where it has no date, what stands beside the file. `folders` keeps the
    listing of a folder between two calls. Raises what Pillow and the system raise, UnknownContentError,
    DamagedHeaderError."""
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122
    with os.fdopen(open_file(path), "rb", buffering=HEAD * 16) as file:
        head = file.read(HEAD)
        file.seek(0)
        format_name = content_format(head, extension)
        xmp = b""
        if format_name is not None and format_name in videos.FORMATS:
            facts = videos.video_facts(Region.of(file.fileno()), format_name)
        elif format_name is not None and format_name in _OWN_FORMATS:
            facts, xmp = _raw(file, format_name)
        else:
            facts, xmp = _image(file, format_name)
        damaged = facts.damaged or damage_of(file.fileno(), facts.format or "", xmp=xmp)
    mismatch = extension not in EXTENSIONS.get(facts.format or "", RAW_TIFF)
    if mismatch or damaged:
        facts = replace(facts, mismatch=mismatch, damaged=damaged)
    return completed(facts, path, folders or Folders(), xmp)


def read_remains(path: str, folders: Folders | None = None) -> HeaderFacts:
    """What is left to say of a file whose header could not be read because the file is damaged. UnknownContentError for
    one of no known format, DamagedHeaderError if the file is whole."""
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122
    with os.fdopen(open_file(path), "rb", buffering=0) as file:
        format_name = content_format(file.read(HEAD), extension)
        if format_name is None:
            raise UnknownContentError
        damage = damage_of(file.fileno(), format_name)
        if damage is None and ends_in_zeros(Region.of(file.fileno())):
            damage = Damage.ZEROS
    if damage is None:
        raise DamagedHeaderError
    mismatch = extension not in EXTENSIONS.get(format_name, RAW_TIFF)
    return completed(HeaderFacts(format_name, mismatch, damaged=damage), path, folders or Folders())


def _raw(file: BinaryIO, format_name: str) -> tuple[HeaderFacts, bytes]:
    region = Region.of(file.fileno())
    facts = raw_facts(region, format_name)
    if facts is None:
        raise DamagedHeaderError
    xmp = photoshop_resource(region, PHOTOSHOP_XMP) if format_name == "PSB" else None
    return facts, xmp.read(0, MOST_XMP) if xmp is not None else b""


def _image(file: BinaryIO, format_name: str | None) -> tuple[HeaderFacts, bytes]:
    """What Pillow finds in the header, and its XMP."""
    from PIL import Image, UnidentifiedImageError

    if format_name in LIBRARIES and not _is_read(format_name):
        return HeaderFacts(format_name, lacking=LIBRARIES[format_name]), b""
    try:
        image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        raise (UnknownContentError if format_name is None else DamagedHeaderError) from error
    name = image.format or ""
    region = Region.of(file.fileno())
    if name == "PNG" and "exif" not in image.info and (block := _late_exif(region)):
        image.info["exif"] = block
    if name == "PSD":
        block_region = photoshop_resource(region, PHOTOSHOP_EXIF)
        facts = from_tiff(Tiff(block_region)) if block_region is not None else HeaderFacts()
    else:
        facts = _exif(image)
    width, height = pixels(image.width, image.height)
    damaged = mpo_damage(file.fileno(), _mpo_images(image, region)) if name == "MPO" else None
    facts = replace(facts, format=name, width=width, height=height, damaged=damaged)
    return facts, _xmp(image, region)


def _is_read(format_name: str) -> bool:
    from PIL import Image, features

    if format_name == "HEIF":
        return "HEIF" in Image.OPEN
    return bool(features.check(format_name.lower()))  # type: ignore[no-untyped-call, unused-ignore]


def _late_exif(region: Region) -> bytes | None:
    """The EXIF block of a PNG that stands behind its pixels (ImageMagick, exiftool)."""
    for chunk in chunks(region):
        if chunk.type == b"eXIf":
            return b"Exif\0\0" + region.read(chunk.begin, min(chunk.end - chunk.begin, MOST_XMP))
    return None


def _exif(image: Any) -> HeaderFacts:
    from PIL import Image

    # Not `image.getexif()`: for PNG that decodes the whole image.
    tags = Image.Image.getexif(image)
    details = dict(tags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged tags; what is left of them is used
        details |= tags.get_ifd(exif.EXIF_IFD)
        place = dict(tags.get_ifd(exif.GPS_IFD))
    return from_tags(details, place)


def _xmp(image: Any, region: Region) -> bytes:
    """The XMP of an image, where Pillow has come by it."""
    if image.format == "PSD":
        block = photoshop_resource(region, PHOTOSHOP_XMP)
        return block.read(0, MOST_XMP) if block is not None else b""
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if found is None and image.format == "TIFF":
        found = image.tag_v2.get(700)
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    return found if isinstance(found, bytes) else b""


def _mpo_images(image: Any, region: Region) -> list[tuple[int, int]]:
    """Offset and length of the further images of an MPO, whose index counts from its own place (CIPA DC-007, 5.2.3)."""
    base = next((each.begin + 4 for each in segments(region) if region.read(each.begin, 4) == b"MPF\0"), 0)
    return [(each["DataOffset"] + base, each["Size"]) for each in image.mpinfo.get(0xB002, ())[1:]]


def explain(error: Exception) -> HeaderError:
    """The error that a row of `photo_errors` tells of."""
    if isinstance(error, UnknownContentError):
        return HeaderError(ErrorKind.FORMAT, Message("is no image that is understood here"))
    if isinstance(error, MemoryError):
        return HeaderError(ErrorKind.MEMORY, Message("its header needs too much memory"))
    if isinstance(error, OSError) and error.errno:
        found = explain_system(error)
        return HeaderError(found.kind, found.sentence)
    if isinstance(error, DamagedHeaderError):
        return HeaderError(ErrorKind.HEADER, Message("has a damaged header"))
    return HeaderError(
        ErrorKind.HEADER, Message("has a damaged header ({cause})", cause=type(error).__name__)
    )


def answer(path: str, folders: Folders) -> HeaderFacts | HeaderError:
    """What the header of one file says, or why it cannot be read."""
    first: Exception | None = None
    for read in (read_header, read_remains):
        try:
            return read(path, folders)
        except Exception as error:  # noqa: BLE001 - the worker's border: the item fails, with its cause as text
            first = first or error
            if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
                break
    return explain(first or OSError())


@dataclass(frozen=True)
class ReadHeader:
    """Work of the engine: what the header of one file says."""

    path: bytes

    def run(self, progress: Progress) -> HeaderFacts | HeaderError:
        return answer(os.fsdecode(self.path), _folders())

    @classmethod
    def run_together(cls, progress: Progress, works: Sequence[ReadHeader]) -> list[HeaderFacts | HeaderError]:
        return one_by_one(progress, works)


@cache
def _folders() -> Folders:
    """What this process remembers of folders. Makes it a reader of headers, too."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded here
    Image.init()
    libraries()
    warnings.simplefilter("ignore")
    return Folders()
