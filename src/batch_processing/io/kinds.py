"""What a file of a chapter is: told from its first bytes, and from its name where the bytes leave it open.

One rule for folders and archives, so that a page counts as a page wherever it lies. A file whose name says that
it is a picture is one whatever it holds: what cannot be read is a page that fails, and not a file that is passed over.
Does not open or decode anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from ..messages import N_, Message

__all__ = [
    "BOOK_SUFFIXES",
    "HEAD",
    "PICTURE_SUFFIXES",
    "SUPPORTED_IMAGE_FORMATS",
    "FileKind",
    "LeftOut",
    "Picture",
    "Reason",
    "content_of",
    "is_hints",
    "is_junk",
    "kind_by_name",
    "kind_of",
    "not_read",
    "picture_of",
]

HEAD: Final = 1 << 12
"""So many first bytes of a file are enough to tell what it is."""

BOOK_SUFFIXES: Final = frozenset(
    [".zip", ".cbz", ".cbt", ".tar", ".cb7", ".7z", ".cbr", ".rar", ".epub", ".pdf"]
)
"""Suffixes of files that hold pages of their own."""


class FileKind(StrEnum):
    """What a file of the input is for Lote."""

    IMAGE = "image"  # a picture, readable or not: what cannot be read is a failed page
    HINTS = "hints"
    COMIC_INFO = "comic_info"
    METADATA = "metadata"  # kept as it is: MetronInfo.xml, CoMet.xml
    BOOK = "book"  # holds pages of its own: ZIP, TAR, 7z, RAR, EPUB, PDF
    JUNK = "junk"  # left by a system or hidden
    OTHER = "other"


class Reason(StrEnum):
    """Why a file of the input became neither page, reference, hint nor metadata. Each has one sentence."""

    NO_PICTURE = "no_picture"
    HINTS_FORMAT = "hints_format"  # named as hints, and neither PNG nor JSON
    IN_SUBFOLDER = "in_subfolder"  # read with --recursive
    LINKED_FOLDER = "linked_folder"  # a link to a folder, which is never entered
    BOOK_BESIDE_PAGES = "book_beside_pages"
    BOOK_INSIDE_BOOK = "book_inside_book"  # nested deeper than Lote reads, or damaged
    NOT_SHOWN = "not_shown"  # a picture that no document of its EPUB shows
    JUNK = "junk"
    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    COMPRESSION = "compression"  # packed in a way that no library here reads
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"  # no permission, input/output error


@dataclass(frozen=True)
class LeftOut:
    """A file of the input that is left out: its path in the input, with `/`, and why."""

    name: str
    reason: Reason


@dataclass(frozen=True)
class Picture:
    """A kind of picture. `format` is the name by which Lote reads it, "" where it does not; then `advice` says
    what a person can do. `suffixes` are those it usually has; `starts` the first bytes that only it has."""

    what: str
    format: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...] = ()
    advice: str = ""


_CONVERT = N_("convert it to PNG")
_EXPORT = N_("export it as PNG from the program that made it")

_PICTURES: Final = (
    Picture(N_("a PNG picture"), "PNG", (".png", ".apng"), (b"\x89PNG\r\n\x1a\n",)),
    Picture(N_("a JPEG picture"), "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), (b"\xff\xd8\xff",)),
    Picture(N_("a WebP picture"), "WEBP", (".webp",)),
    Picture(N_("a TIFF picture"), "TIFF", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    Picture(N_("a BMP picture"), "BMP", (".bmp",)),
    Picture(N_("a GIF picture"), "GIF", (".gif",), (b"GIF87a", b"GIF89a")),
    Picture(N_("an AVIF picture"), "AVIF", (".avif",)),
    Picture(N_("a HEIF picture"), "HEIF", (".heic", ".heif")),
    Picture(
        N_("a JPEG 2000 picture"),
        "JPEG2000",
        (".jp2", ".j2k", ".jpf", ".jpx"),
        (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
    ),
    Picture(
        N_("a JPEG XL picture"),
        "",
        (".jxl",),
        (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
        N_("convert it to PNG, for example with djxl"),
    ),
    Picture(N_("a JPEG XR picture"), "", (".jxr", ".wdp", ".hdp"), (b"II\xbc\1",), _CONVERT),
    Picture(N_("a Photoshop document"), "PSD", (".psd", ".psb"), (b"8BPS\0\1", b"8BPS\0\2")),
    Picture(N_("a Krita document"), "", (".kra", ".krz"), (), _EXPORT),
    Picture(N_("an OpenRaster document"), "", (".ora",), (), _EXPORT),
    Picture(N_("a GIMP document"), "", (".xcf",), (b"gimp xcf ",), _EXPORT),
    Picture(N_("a Clip Studio Paint document"), "", (".clip", ".lip"), (b"CSFCHUNK",), _EXPORT),
    Picture(N_("a PaintTool SAI document"), "", (".sai", ".sai2"), (b"SAI-CANVAS",), _EXPORT),
    Picture(N_("a MediBang document"), "", (".mdp",), (b"mdipack",), _EXPORT),
    Picture(N_("a Procreate document"), "", (".procreate",), (), _EXPORT),
    Picture(N_("a Paint.NET document"), "", (".pdn",), (b"PDN3",), _EXPORT),
    Picture(N_("an Affinity document"), "", (".afphoto", ".afdesign", ".afpub"), (b"\0\xffKA",), _EXPORT),
    Picture(N_("a vector drawing"), "", (".svg", ".svgz", ".ai", ".eps", ".wmf", ".emf"), (), _EXPORT),
    Picture(N_("an OpenEXR picture"), "", (".exr",), (b"\x76\x2f\x31\1",), _CONVERT),
    Picture(N_("a Radiance picture"), "", (".hdr",), (b"#?RADIANCE", b"#?RGBE"), _CONVERT),
    Picture(N_("a QOI picture"), "", (".qoi",), (b"qoif",), _CONVERT),
    Picture(N_("a FLIF picture"), "", (".flif",), (b"FLIF",), _CONVERT),
    Picture(N_("a BPG picture"), "", (".bpg",), (b"BPG\xfb",), _CONVERT),
    Picture(N_("a DDS picture"), "", (".dds",), (b"DDS \x7c\0\0\0",), _CONVERT),
    Picture(N_("a DjVu document"), "", (".djvu", ".djv"), (b"AT&TFORM",), _CONVERT),
    Picture(N_("a MNG or JNG picture"), "", (".mng", ".jng"), (b"\x8aMNG\r\n", b"\x8bJNG\r\n"), _CONVERT),
    Picture(N_("a Netpbm picture"), "", (".pnm", ".pbm", ".pgm", ".ppm", ".pam", ".pfm"), (), _CONVERT),
    Picture(N_("a Targa picture"), "", (".tga", ".icb", ".vda", ".vst"), (), _CONVERT),
    Picture(N_("a PCX picture"), "", (".pcx",), (), _CONVERT),
    Picture(N_("an SGI picture"), "", (".sgi",), (b"\1\xda\0\1", b"\1\xda\1\1"), _CONVERT),
)
_BY_SUFFIX: Final = {suffix: picture for picture in _PICTURES for suffix in picture.suffixes}
_BY_FORMAT: Final = {picture.format: picture for picture in _PICTURES}
_BY_START: Final = tuple((start, picture) for picture in _PICTURES for start in picture.starts)

SUPPORTED_IMAGE_FORMATS: Final = frozenset(
    suffix for picture in _PICTURES if picture.format for suffix in picture.suffixes
)
"""Suffixes of the pictures that Lote reads."""
PICTURE_SUFFIXES: Final = frozenset(_BY_SUFFIX)
"""Suffixes of pictures, those included that Lote does not read: a file that has one is a page."""

_HINTS_SUFFIXES = {".png", ".json"}
_METADATA = {"metroninfo.xml", "comet.xml"}
_JUNK_FILES = {"thumbs.db", "desktop.ini", "icon\r"}

_AVIF = {b"avif", b"avis"}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_NETPBM = re.compile(rb"P[1-6]\s(?:\s|#[^\n]*\n)*\d+\s(?:\s|#[^\n]*\n)*\d+\s|P7\nWIDTH |P[Ff]\n\d+ \d+\n")
# Possessive: whoever writes a thousand comments and no element must not make the rule try each way to part them.
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s+|<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE\s+svg[^>]*>)*+<svg[\s>]", re.DOTALL
)
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s+|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body)[\s>]",
    re.DOTALL | re.IGNORECASE,
)
_BINARY = re.compile(rb"[\0-\x08\x0e-\x1f]")
_BOOK_STARTS = (b"Rar!\x1a\7", b"7z\xbc\xaf\x27\x1c", b"%PDF-")
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}  # bytes: OS/2 1 and 2, Windows 3, 4 and 5


def is_junk(path: str) -> bool:
    """Whether a relative path (with `/`) is what systems leave behind, hidden, or Lote's own."""
    return any(
        part.startswith(".")
        or part.casefold() in _JUNK_FILES
        or part in {"__MACOSX", "_lote"}
        or part.endswith(".lote")
        for part in path.split("/")
    )


def is_hints(path: str) -> bool:
    """Whether a path is named `<page>.hints.<ext>`: hints for a page, never a page."""
    return PurePosixPath(path).stem.casefold().endswith(".hints")


def kind_by_name(name: str) -> FileKind | None:
    """What a relative path (with `/`) says by itself; None where the first bytes must be asked.

    They need not be read of a page with a picture's suffix: it is one whatever they are."""
    if is_junk(name):
        return FileKind.JUNK
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if is_hints(name):
        return FileKind.HINTS if suffix in _HINTS_SUFFIXES else FileKind.OTHER
    if suffix in _BY_SUFFIX:
        return FileKind.IMAGE
    base = path.name.casefold()
    if base == "comicinfo.xml":  # further down it is that of a part, which is kept as it is
        return FileKind.METADATA if "/" in name else FileKind.COMIC_INFO
    return FileKind.METADATA if base in _METADATA else None


def kind_of(name: str, head: bytes) -> FileKind:
    """What a file is by its relative path (with `/`) and its first `HEAD` bytes, or fewer where it has fewer."""
    if (kind := kind_by_name(name)) is not None:
        return kind
    if picture_of(head) is not None:
        return FileKind.IMAGE
    is_book = PurePosixPath(name).suffix.lower() in BOOK_SUFFIXES or _is_book(head)
    return FileKind.BOOK if is_book else FileKind.OTHER


def picture_of(head: bytes, name: str = "") -> Picture | None:
    """The kind of picture that a file's first bytes announce, else that its name does; None for no picture.

    32 bytes tell all that Lote reads."""
    for start, picture in _BY_START:
        if head.startswith(start):
            return picture
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _BY_FORMAT["WEBP"]
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), 32), 4))}
        if brands & _AVIF:
            return _BY_FORMAT["AVIF"]
        if brands & _HEIF:
            return _BY_FORMAT["HEIF"]
    # "BM" alone begins many a text.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return _BY_FORMAT["BMP"]
    if mimetype := _mimetype(head):
        return {b"application/x-krita": _BY_SUFFIX[".kra"], b"image/openraster": _BY_SUFFIX[".ora"]}.get(
            mimetype
        )
    if _NETPBM.match(head):
        return _BY_SUFFIX[".pnm"]
    if _SVG.match(head):
        return _BY_SUFFIX[".svg"]
    return _BY_SUFFIX.get(PurePosixPath(name).suffix.lower())


def not_read(head: bytes, name: str) -> Message:
    """What is said of a page, by its first bytes and its name, that is of no kind that Lote reads: what the file is,
    and what to do."""
    picture = picture_of(head, name)
    if picture is not None and not picture.format:
        return Message(
            "it is {kind}, which Lote does not read: {advice}",
            kind=Message(picture.what),
            advice=Message(picture.advice),
        )
    ending = PurePosixPath(name).suffix
    suffix = Message(" although its name ends in {suffix}", suffix=ending) if ending else ""
    if what := content_of(head):
        return Message(
            "the file is not an image{suffix}, but {kind}: get it anew, or take it away",
            suffix=suffix,
            kind=Message(what),
        )
    return Message(
        "the file is not an image{suffix} (or of a kind that Lote does not read: convert it to PNG)",
        suffix=suffix,
    )


def content_of(head: bytes) -> str | None:
    """What a file is that is no picture, in words that can be translated; None where its first bytes do not say."""
    if not head.strip(b"\0"):
        return N_("a file of zeros, as a download leaves it that broke off") if head else None
    if _HTML.match(head):
        return N_("an HTML page")
    if head.startswith(b"%PDF-"):
        return N_("a PDF document")
    if _is_book(head) or head.startswith(b"PK\3\4"):
        return N_("an archive")
    return None if _BINARY.search(head) else N_("a text")


def _is_book(head: bytes) -> bool:
    if head.startswith(_BOOK_STARTS) or head[257:262] == b"ustar":
        return True
    if not head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        return False
    if mimetype := _mimetype(head):
        return mimetype == b"application/epub+zip"
    # Text documents, sheets and programs are ZIP files, too.
    return not head[30:].startswith((b"[Content_Types].xml", b"META-INF/", b"_rels/", b"AndroidManifest.xml"))


def _mimetype(head: bytes) -> bytes | None:
    """What a ZIP says that it is, in its first member (OpenDocument 1.2, part 3; EPUB OCF 3)."""
    if not head.startswith(b"PK\3\4") or head[30:38] != b"mimetype" or head[26:28] != b"\x08\0":
        return None
    start = 38 + int.from_bytes(head[28:30], "little")
    size = int.from_bytes(head[22:26], "little") or 64
    return head[start : start + min(size, 64)].split(b"PK", 1)[0].strip()
