"""What a file or a folder is to a photo library, told by its name alone.

Promises: no file is opened, except that `is_side_file` reads four bytes of one whose name begins with `._`. Names
are bytes, and compared without regard to case where the systems that write them do so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from .reading import open_file

# fmt: off
PHOTO_EXTENSIONS = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".insp", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic",
    ".heif", ".hif", ".avif", ".jxl", ".jp2", ".psd", ".psb",
    # raw
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw", ".3fr",
    ".iiq", ".rwl", ".x3f", ".gpr",
])
# Recorded and hashed like photos where `--videos` asks for it.
VIDEO_EXTENSIONS = frozenset([".mp4", ".mov", ".m4v", ".avi", ".mts", ".3gp", ".mkv"])
# What belongs to the photo or video of the same name: never recorded, but copied with it.
SIDECAR_EXTENSIONS = frozenset([".xmp", ".aae", ".thm", ".wav", ".json"])
# What systems leave in every folder. Nobody's work is in it.
SYSTEM_FILES = frozenset([b".ds_store", b"thumbs.db", b"desktop.ini", b".nomedia", b".lote-ignore"])
# Trash cans: their owner gave up what is in them, and `lote photos duplicates --trash` moves files there. macOS, Windows,
# QNAP, Synology, Samba, digiKam, Nextcloud.
BINS = frozenset([
    b"$recycle.bin", b"recycler", b"@recycle", b".recycle", b"#recycle", b".trash", b".trashes", b".dtrash", b".dmrecycle",
    b"network trash folder", b"files_trashbin",
])
# What machines make beside the photos: thumbnails, versions, snapshots, caches and indexes of systems, of storage boxes
# and of programs that synchronise; and what Lote itself writes.
MACHINE_FOLDERS = frozenset([
    # Synology, QNAP, NetApp, ZFS, btrfs, Time Machine, Timeshift
    b"@eadir", b"@tmp", b"@sharebin", b"@transcode", b"@synologydrive", b".synologyworkingdirectory", b".@__thumb",
    b".@upload_cache", b".@backup", b".streams", b"#snapshot", b".snapshot", b".snapshots", b"~snapshot",
    b"@recently-snapshot", b".ckpt", b".zfs", b".btrfs", b"timeshift", b"backups.backupdb", b".mobilebackups",
    # Syncthing, Resilio, Dropbox, Nextcloud, GoodSync
    b".stversions", b".sync", b".dropbox.cache", b"files_versions", b"_gsdata_",
    # systems
    b".thumbnails", b".thumb", b".thumbs", b".cache", b"lost+found", b"system volume information", b".spotlight-v100",
    b".fseventsd", b".documentrevisions-v100", b".temporaryitems", b"temporary items", b".appledouble", b"resource.frk",
    # programs
    b"captureone", b".git", b"_lote",
])
MACHINE_ENDINGS = (b".lrdata", b".lrcat-data", b".lote")
MACHINE_BEGINNINGS = (b"appdata_",)  # Nextcloud's previews
# Folders that a program keeps whole. The photos in them are scanned, and never moved, trashed or linked.
PACKAGE_ENDINGS = (
    b".photoslibrary", b".photolibrary", b".aplibrary", b".migratedphotolibrary", b".lrlibrary", b".cocatalog", b".cosession",
    b".library", b".imovielibrary", b".fcpbundle", b".tvlibrary", b".dtbase2",
)
PACKAGE_NAMES = frozenset([b"iphoto library", b"photo booth library", b"aperture library"])
# Inside of a Photos library: thumbnails and smaller versions. https://support.apple.com/guide/photos (system photo library)
PACKAGE_DERIVATIVES = frozenset([
    b"resources", b"derivatives", b"thumbnails", b"previews", b"thumbs", b"scopes", b"caches", b"data.noindex",
])
# fmt: on
# The first bytes of a file in which macOS keeps what a foreign file system has no place for (AppleDouble, RFC 1740).
APPLE_DOUBLE = bytes.fromhex("00051607")


# How the files of the kinds above begin: (offset, bytes).
# https://www.garykessler.net/library/file_sigs.html, and the specifications of the raw formats
_BEGINNINGS = (
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"\x89PNG"),
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"RIFF"),  # WebP, AVI
    (0, b"II"),  # TIFF and most raw formats
    (0, b"MM"),
    (4, b"ftyp"),  # HEIC, AVIF, CR3, MP4, MOV
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
    (4, b"skip"),
    (4, b"jP  "),  # JPEG 2000
    (0, b"\xff\x4f\xff\x51"),
    (4, b"JXL "),
    (0, b"\xff\x0a"),
    (0, b"8BPS"),
    (0, b"FUJIFILM"),
    (0, b"FOVb"),
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska
    (0, b"\x47"),  # MPEG transport streams
    (4, b"\x47"),
)


class Kind(StrEnum):
    """What a regular file is, by the ending of its name."""

    PHOTO = "photo"
    VIDEO = "video"
    SIDECAR = "sidecar"
    OTHER = "other"


class Reason(StrEnum):
    """Why something was left alone by a scan. Values stand in JSON."""

    LINK = "links"
    NO_MEDIA = "folders with .nomedia"
    IGNORED = "ignored"
    BIN = "bins"
    MACHINE = "machine folders"
    SIDE_FILE = "macOS side files"
    SPECIAL = "no regular files"


@dataclass
class LeftAlone:
    """What a scan left alone for one reason: how many files or folders, and the path of the first."""

    count: int
    first: str


@lru_cache(maxsize=4096)
def kind_of(extension: bytes) -> Kind:
    """The kind of the files whose names end in `extension` (with its dot, in any case)."""
    text = extension.lower().decode("ascii", "replace")
    if text in PHOTO_EXTENSIONS:
        return Kind.PHOTO
    if text in VIDEO_EXTENSIONS:
        return Kind.VIDEO
    return Kind.SIDECAR if text in SIDECAR_EXTENSIONS else Kind.OTHER


def extension_of(name: bytes) -> bytes:
    """The ending of a file's name with its dot, as it is spelled; empty if there is none."""
    dot = name.rfind(b".")
    return name[dot:] if dot > 0 else b""


def folder_reason(name: bytes, *, in_package: bool = False) -> Reason | None:
    """Why a scan does not enter a folder of this name; None if it does. `in_package`: inside of a Photos library."""
    lower = name.lower()
    if lower in BINS or lower.startswith(b".trash-"):
        return Reason.BIN
    if lower in MACHINE_FOLDERS or lower.endswith(MACHINE_ENDINGS) or lower.startswith(MACHINE_BEGINNINGS):
        return Reason.MACHINE
    return Reason.MACHINE if in_package and lower in PACKAGE_DERIVATIVES else None


def is_package(name: bytes) -> bool:
    """Whether a folder of this name is kept whole by a program."""
    lower = name.lower()
    return lower.endswith(PACKAGE_ENDINGS) or lower in PACKAGE_NAMES


def is_home_trash(path: bytes) -> bool:
    """Whether a folder is the trash of somebody's home. https://specifications.freedesktop.org/trash-spec/latest/"""
    return path.endswith(b"/share/Trash")


def machine_below(directory: bytes, root: bytes) -> bool:
    """Whether a folder below `root` is, or lies in, one that a scan of `root` does not enter."""
    if b"/share/Trash/" in directory[len(root) :] + b"/":
        return True
    inside = is_package(root.rpartition(b"/")[2])
    for name in directory[len(root) :].split(b"/"):
        if name and folder_reason(name, in_package=inside) is not None:
            return True
        inside = inside or is_package(name)
    return False


def package_around(path: bytes) -> bytes | None:
    """The outermost folder around `path` that a program keeps whole; None if there is none."""
    parts = path.split(b"/")
    for number, name in enumerate(parts[:-1]):
        if is_package(name):
            return b"/".join(parts[: number + 1])
    return None


def is_side_file(path: bytes, name: bytes) -> bool:
    """Whether a file is what macOS keeps beside another on a foreign file system, by name and first bytes."""
    if not name.startswith(b"._"):
        return False
    with suppress(OSError):
        descriptor = open_file(path)
        try:
            return os.read(descriptor, len(APPLE_DOUBLE)) == APPLE_DOUBLE
        finally:
            os.close(descriptor)
    return False


def looks_like_media(path: bytes) -> bool:
    """Whether a file begins as photos and videos do; yes where it cannot be read."""
    try:
        descriptor = open_file(path)
        try:
            head = os.read(descriptor, 32)
        finally:
            os.close(descriptor)
    except OSError:
        return True
    return any(head[offset : offset + len(magic)] == magic for offset, magic in _BEGINNINGS)
