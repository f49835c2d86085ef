"""What raw files and large Photoshop files say of themselves, without a library for raw photos.

    TIFF, also under another magic   DNG CR2 NEF NRW ARW SR2 PEF SRW 3FR IIQ RWL GPR, ORF, RW2
    of their own                     RAF (around a JPEG), CR3 (boxes), CRW (a heap), X3F (sections), PSB and PSD, JPEG XL

Promises: header facts only, no pixels; what cannot be found is left out. Sizes are those of the picture the camera
means, where a header says so, else those of the sensor.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..io.containers import Directory, Region, Tiff, box, boxes, jpeg_exif
from . import exif
from .header_facts import HeaderFacts, Source, camera, pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEW_SUBFILE_TYPE, WIDTH, HEIGHT, DEFAULT_CROP = 0xFE, 0x100, 0x101, 0xC620
# Borders of the picture on the sensor, of Panasonic: https://exiftool.org/TagNames/PanasonicRaw.html
PANASONIC_BORDERS = (4, 5, 6, 7)  # top, left, bottom, right
# https://github.com/lclevy/canon_cr3
CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
# Image resources of Photoshop.
PHOTOSHOP_EXIF, PHOTOSHOP_XMP = 1058, 1060
MOST_RESOURCES = 2000
MOST_XMP = 1024 * 1024  # bytes


def from_tags(details: dict[int, Any], place: dict[int, Any]) -> HeaderFacts:
    """What the tags of EXIF (the main directory's and EXIF's own together) and those of GPS say."""
    taken_at = exif.taken_at(details)
    latitude, longitude = exif.gps_position(place)
    return HeaderFacts(
        orientation=exif.orientation(details.get(exif.ORIENTATION)),
        taken_at=taken_at,
        taken_from=Source.EXIF if taken_at else None,
        latitude=latitude,
        longitude=longitude,
        camera=camera(details.get(exif.MAKE), details.get(exif.MODEL)),
        content_id=apple_id(details.get(exif.MAKER_NOTE)),
    )


def from_tiff(tiff: Tiff) -> HeaderFacts:
    """The same of a TIFF structure, without a size."""
    main, _ = tiff.directory(tiff.first)
    details = tiff.tags(main)
    place: dict[int, Any] = {}
    if isinstance(pointer := details.get(exif.EXIF_IFD), int):
        details |= tiff.tags(tiff.directory(pointer)[0])
    if isinstance(pointer := details.get(exif.GPS_IFD), int):
        place = dict(tiff.tags(tiff.directory(pointer)[0]))
    return from_tags(details, place)


def apple_id(note: Any) -> str | None:
    """The identifier that a photo shares with its video, out of Apple's maker note:
    https://exiftool.org/TagNames/Apple.html (0x0011)."""
    if not isinstance(note, bytes) or not note.startswith(b"Apple iOS\0"):
        return None
    region = Region.of(b"MM\0*" + note[4:])  # its offsets count from the note's beginning
    tiff = Tiff(region, first=14)
    return content_id(tiff.value(tiff.directory(14)[0], 0x0011))


def content_id(text: Any) -> str | None:
    """An identifier of a Live Photo; None for what is none."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    text = text.strip("\0 ") if isinstance(text, str) else ""
    return text if 0 < len(text) <= 80 and text.isascii() and text.isprintable() else None


def raw_facts(region: Region, format_name: str) -> HeaderFacts | None:
    """What a raw file says; None if it does not have the structure of its format."""
    found = _READERS.get(format_name, _tiff)(region)
    return replace(found, format=format_name) if found is not None else None


def _tiff(region: Region) -> HeaderFacts | None:
    tiff = Tiff(region)
    directories = tiff.all()
    if not directories:
        return None
    facts = from_tiff(tiff)
    width, height = _tiff_size(tiff, directories)
    return replace(facts, width=width, height=height)


def _tiff_size(tiff: Tiff, directories: list[Directory]) -> tuple[int | None, int | None]:
    """The largest picture in the file that is no preview: the first directory often describes a thumbnail."""
    if WIDTH not in directories[0] and all(tag in directories[0] for tag in PANASONIC_BORDERS):
        top, left, bottom, right = (tiff.number(directories[0], tag) or 0 for tag in PANASONIC_BORDERS)
        return pixels(right - left, bottom - top)
    sizes = []
    for entries in directories:
        if (tiff.number(entries, NEW_SUBFILE_TYPE) or 0) & 1:
            continue
        crop = tiff.numbers(entries, DEFAULT_CROP)
        width, height = (
            pixels(*crop)
            if len(crop) == 2
            else pixels(tiff.number(entries, WIDTH), tiff.number(entries, HEIGHT))
        )
        if width and height:
            sizes.append((width * height, width, height))
    if not sizes:
        pointer = tiff.number(directories[0], exif.EXIF_IFD)
        details = tiff.directory(pointer)[0] if pointer else {}
        return pixels(tiff.number(details, exif.WIDTH), tiff.number(details, exif.HEIGHT))
    return max(sizes)[1:]


def _raf(region: Region) -> HeaderFacts | None:
    """Fujifilm: https://libopenraw.freedesktop.org/formats/raf/. A JPEG with the EXIF, and records of the sensor."""
    block = jpeg_exif(region.part(region.number(84, 4), region.number(88, 4)))
    facts = from_tiff(Tiff(block)) if block is not None else HeaderFacts()
    records = region.part(region.number(92, 4), region.number(96, 4))
    sizes: dict[int, tuple[int, int]] = {}
    offset = 4
    for _ in range(min(records.number(0, 4), 256)):
        tag, length = records.number(offset, 2), records.number(offset + 2, 2)
        if tag in (0x100, 0x111) and length == 4:  # of the sensor; of the picture
            sizes[tag] = records.number(offset + 6, 2), records.number(offset + 4, 2)
        offset += 4 + length
    size = sizes.get(0x111) or sizes.get(0x100)
    width, height = pixels(*size) if size else (None, None)
    return replace(facts, width=width, height=height)


def _cr3(region: Region) -> HeaderFacts | None:
    moov = box(region, b"moov")
    if moov is None:
        return None
    blocks: dict[bytes, Region] = {}
    for each in boxes(region, moov.begin, moov.end):
        if each.type == b"uuid" and region.read(each.begin, 16) == CANON_UUID:
            for inner in boxes(region, each.begin + 16, each.end):
                blocks.setdefault(inner.type, region.part(inner.begin, inner.end - inner.begin))

    def tags(name: bytes) -> dict[int, Any]:
        tiff = Tiff(blocks.get(name, region.part(0, 0)))
        return dict(tiff.tags(tiff.directory(tiff.first)[0]))

    details, place = tags(b"CMT1") | tags(b"CMT2"), tags(b"CMT4")
    width, height = pixels(details.get(WIDTH), details.get(HEIGHT))
    return replace(from_tags(details, place), width=width, height=height)


def _crw(region: Region) -> HeaderFacts | None:
    """Canon's heap (CIFF): https://exiftool.org/canon_raw.html."""
    begin = region.number(2, 4, "<")
    values: dict[int, bytes] = {}
    for tag, value in _heap(region.part(begin, region.size - begin), 0):
        values.setdefault(tag, value)
    names = values.get(0x080A, b"").split(b"\0")
    info, stamp = values.get(0x1810, b""), values.get(0x180E, b"")
    width, height = pixels(*(int.from_bytes(info[at : at + 4], "little") for at in (0, 4)))
    seconds = int.from_bytes(stamp[:4], "little")  # since 1970, of the camera's own clock
    taken_at = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat() if seconds else None
    return HeaderFacts(
        width=width,
        height=height,
        taken_at=taken_at,
        taken_from=Source.EXIF if taken_at else None,
        camera=camera(names[0], names[1] if len(names) > 1 else b""),
    )


def _heap(heap: Region, depth: int) -> Iterator[tuple[int, bytes]]:
    """Tags and values of a heap and of those inside of it. Its directory stands at its end."""
    at = heap.number(heap.size - 4, 4, "<")
    for number in range(min(heap.number(at, 2, "<"), 256)):
        entry = at + 2 + 10 * number
        tag = heap.number(entry, 2, "<")
        length, begin = heap.number(entry + 2, 4, "<"), heap.number(entry + 6, 4, "<")
        if tag & 0x3800 in (0x2800, 0x3000):
            if depth < 3:
                yield from _heap(heap.part(begin, length), depth + 1)
        elif tag & 0xC000 == 0x4000:  # the value stands in the entry
            yield tag & 0x3FFF, heap.read(entry + 2, 8)
        elif length <= 4096:
            yield tag & 0x3FFF, heap.read(begin, length)


def _x3f(region: Region) -> HeaderFacts | None:
    """Sigma: https://photo-software.com/X3F.html. Sections, of which one holds properties, and one a JPEG with EXIF."""
    width, height = pixels(region.number(28, 4, "<"), region.number(32, 4, "<"))
    facts = HeaderFacts()
    directory = region.number(region.size - 4, 4, "<")
    for number in range(min(region.number(directory + 8, 4, "<"), 256)):
        entry = directory + 12 + 12 * number
        section = region.part(region.number(entry, 4, "<"), region.number(entry + 4, 4, "<"))
        kind = region.read(entry + 8, 4)
        if kind in (b"IMAG", b"IMA2") and section.number(12, 4, "<") == 18:
            block = jpeg_exif(section.part(28, section.size))
            facts = from_tiff(Tiff(block)) if block is not None else facts
        elif kind == b"PROP" and facts.taken_at is None:
            facts = _sigma_properties(section)
    return replace(facts, width=width, height=height)


def _sigma_properties(section: Region) -> HeaderFacts:
    count = min(section.number(8, 4, "<"), 1000)
    text = 24 + 8 * count

    def words(at: int) -> str:
        data = section.read(text + 2 * section.number(at, 4, "<"), 400)
        return data[: len(data) // 2 * 2].decode("utf-16-le", "replace").partition("\0")[0]

    found = {words(24 + 8 * number): words(28 + 8 * number) for number in range(count)}
    seconds = found.get("TIME", "")
    taken_at = None
    if seconds.isascii() and seconds.isdigit() and 0 < len(seconds) < 11:
        taken_at = datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()
    return HeaderFacts(
        taken_at=taken_at,
        taken_from=Source.EXIF if taken_at else None,
        camera=camera(found.get("CAMMANUF"), found.get("CAMMODEL")),
    )


def photoshop_resource(region: Region, wanted: int) -> Region | None:
    """One of the image resources of a Photoshop file."""
    offset = 26
    offset += 4 + region.number(offset, 4)
    end = offset + 4 + region.number(offset, 4)
    offset += 4
    for _ in range(MOST_RESOURCES):
        if offset >= end or region.read(offset, 4) != b"8BIM":
            return None
        name = (region.number(offset + 6, 1) + 2) // 2 * 2  # with its length, padded to an even number
        length = region.number(offset + 6 + name, 4)
        if region.number(offset + 4, 2) == wanted:
            return region.part(offset + 10 + name, length)
        offset += 10 + name + (length + 1) // 2 * 2
    return None


def _photoshop(region: Region) -> HeaderFacts | None:
    """PSB, the large format of Photoshop."""
    block = photoshop_resource(region, PHOTOSHOP_EXIF)
    facts = from_tiff(Tiff(block)) if block is not None else HeaderFacts()
    width, height = pixels(region.number(18, 4), region.number(14, 4))
    return replace(facts, width=width, height=height)


# JPEG XL: ISO 18181-1, C.2 SizeHeader.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def _jxl(region: Region) -> HeaderFacts | None:
    stream, facts = region, HeaderFacts()
    if region.read(4, 4) == b"JXL ":
        stream = region.part(0, 0)
        for each in boxes(region):
            content = region.part(each.begin, each.end - each.begin)
            if each.type == b"Exif":
                block = content.part(4 + content.number(0, 4), content.size)
                facts = from_tiff(Tiff(block))
            elif each.type in (b"jxlc", b"jxlp") and not stream.size:
                stream = content.part(4 if each.type == b"jxlp" else 0, content.size)
    if stream.read(0, 2) != b"\xff\x0a":
        return facts
    width, height = pixels(*_jxl_size(int.from_bytes(stream.read(2, 16), "little")))
    # The header's orientation is in force, and EXIF's is not to be applied again; it is left as EXIF has it.
    return replace(facts, width=width, height=height)


def _jxl_size(bits: int) -> tuple[int, int]:
    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if not ratio:
        return side(), height
    above, below = _RATIOS[ratio]
    return height * above // below, height


_READERS: dict[str, Callable[[Region], HeaderFacts | None]] = {
    "RAF": _raf,
    "CR3": _cr3,
    "CRW": _crw,
    "X3F": _x3f,
    "PSB": _photoshop,
    "JXL": _jxl,
}
