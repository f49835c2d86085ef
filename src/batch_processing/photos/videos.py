"""What videos say of themselves: MOV, MP4 and 3GP (boxes of QuickTime and ISO 14496-12), AVI, Matroska, MPEG streams.

Promises: the index alone is read, in small pieces, with bounds (`io.containers`). Of Matroska and MPEG streams only the
format is told, of AVI the size.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..io.containers import Box, Region, box, boxes
from . import exif
from .header_facts import HeaderFacts, Source, camera, pixels, plain
from .raw import content_id

MOVIES = ("MOV", "MP4", "3GP")
FORMATS = frozenset([*MOVIES, "AVI", "MKV", "MTS"])
# Of QuickTime: https://developer.apple.com/documentation/quicktime-file-format/metadata_keys
DATE = "com.apple.quicktime.creationdate"
MAKE, MODEL = "com.apple.quicktime.make", "com.apple.quicktime.model"
PLACE = "com.apple.quicktime.location.ISO6709"
CONTENT_ID = "com.apple.quicktime.content.identifier"
KEYS = frozenset([DATE, MAKE, MODEL, PLACE, CONTENT_ID])
# The same as older user data, which Android's cameras write too.
USER_DATA = {b"\xa9day": DATE, b"\xa9mak": MAKE, b"\xa9mod": MODEL, b"\xa9xyz": PLACE}
MOST_KEYS = 512
MOST_TEXT = 400  # bytes
MOST_TRACKS = 32
EPOCH = datetime(1904, 1, 1, tzinfo=UTC)  # of ISO 14496-12
# Before this year no camera wrote these files: a clock that was not set.
FIRST_YEAR = 1990
_POSITION = re.compile(
    r"([+-][0-9]{1,2}(?:\.[0-9]{1,9})?)([+-][0-9]{1,3}(?:\.[0-9]{1,9})?)(?:[+-][0-9.]+)?(?:CRS.*)?/?"
)
# Rotations of ISO 14496-12, 8.3.2 (a, b, c, d of the matrix) as orientations of EXIF.
_ROTATIONS: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 1,
    (0, 1, -1, 0): 6,
    (-1, 0, 0, -1): 3,
    (0, -1, 1, 0): 8,
}


def format_of(head: bytes) -> str | None:
    """The format of a video by its first bytes; None for what is none."""
    if head[4:8] == b"ftyp":
        return {b"qt ": "MOV", b"3gp": "3GP", b"3g2": "3GP"}.get(head[8:11], "MP4")
    if head[4:8] in (b"moov", b"mdat", b"wide", b"pnot", b"skip"):
        return "MOV"  # of cameras before 2004, and later ones
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "MKV"
    # Packets of 188 bytes, in cameras with four more before each.
    if any(
        len(head) > at + length and head[at] == head[at + length] == 0x47
        for at, length in ((0, 188), (4, 192))
    ):
        return "MTS"
    return None


def video_facts(region: Region, format_name: str) -> HeaderFacts:
    """What a video of that format says."""
    facts = HeaderFacts()
    if format_name in MOVIES and (moov := box(region, b"moov")) is not None:
        facts = _movie(region, moov)
    elif format_name == "AVI" and region.read(24, 4) == b"avih":
        width, height = pixels(region.number(64, 4, "<"), region.number(68, 4, "<"))
        facts = HeaderFacts(width=width, height=height)
    return replace(facts, format=format_name)


def _movie(region: Region, moov: Box) -> HeaderFacts:
    values = _user_data(region, moov) | _metadata(region, moov)
    taken_at = exif.moment(values.get(DATE, "")) or _created(region, moov)
    latitude, longitude = _position(values.get(PLACE, ""))
    return replace(
        _picture(region, moov),
        taken_at=taken_at,
        taken_from=Source.EXIF if taken_at else None,
        latitude=latitude,
        longitude=longitude,
        camera=camera(values.get(MAKE), values.get(MODEL)),
        content_id=content_id(values.get(CONTENT_ID)),
    )


def _metadata(region: Region, moov: Box) -> dict[str, str]:
    """The keys of QuickTime and their texts."""
    meta = box(region, b"meta", begin=moov.begin, end=moov.end)
    if meta is None:
        return {}
    begin = (
        meta.begin if region.read(meta.begin + 4, 4) == b"hdlr" else meta.begin + 4
    )  # a box, or a full box
    keys = box(region, b"keys", begin=begin, end=meta.end)
    items = box(region, b"ilst", begin=begin, end=meta.end)
    if keys is None or items is None:
        return {}
    names: dict[int, str] = {}
    for number, key in enumerate(boxes(region, keys.begin + 8, keys.end), start=1):
        if number > MOST_KEYS:
            break
        name = region.read(key.begin, min(key.end - key.begin, 80)).decode("latin-1")
        if name in KEYS:
            names[number] = name
    found: dict[str, str] = {}
    for item in boxes(region, items.begin, items.end):
        name = names.get(int.from_bytes(item.type, "big"), "")
        data = box(region, b"data", begin=item.begin, end=item.end) if name else None
        if data is not None:
            length = min(data.end - data.begin - 8, MOST_TEXT)
            found[name] = plain(region.read(data.begin + 8, length))
    return found


def _user_data(region: Region, moov: Box) -> dict[str, str]:
    user = box(region, b"udta", begin=moov.begin, end=moov.end)
    found: dict[str, str] = {}
    for each in boxes(region, user.begin, user.end) if user is not None else ():
        if each.type in USER_DATA:
            length = min(region.number(each.begin, 2), MOST_TEXT, each.end - each.begin - 4)
            found[USER_DATA[each.type]] = plain(region.read(each.begin + 4, length))
    return found


def _created(region: Region, moov: Box) -> str | None:
    """When the file was begun, UTC; None for a clock that was not set."""
    mvhd = box(region, b"mvhd", begin=moov.begin, end=moov.end)
    if mvhd is None:
        return None
    seconds = region.number(mvhd.begin + 4, 8 if region.number(mvhd.begin, 1) else 4)
    try:
        when = EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return when.isoformat() if FIRST_YEAR <= when.year <= datetime.now(UTC).year + 1 else None


def _picture(region: Region, moov: Box) -> HeaderFacts:
    """Size and orientation of the first track that has a size."""
    tracks = [each for each in boxes(region, moov.begin, moov.end) if each.type == b"trak"]
    for track in tracks[:MOST_TRACKS]:
        head = box(region, b"tkhd", begin=track.begin, end=track.end)
        if head is None:
            continue
        at = head.begin + (52 if region.number(head.begin, 1) else 40)  # of the matrix
        width, height = pixels(region.number(at + 36, 4) >> 16, region.number(at + 40, 4) >> 16)
        if width is None:
            continue
        turn = tuple(
            round(int.from_bytes(region.read(at + part, 4), "big", signed=True) / 65536)
            for part in (0, 4, 12, 16)
        )
        return HeaderFacts(width=width, height=height, orientation=_ROTATIONS.get(turn))
    return HeaderFacts()


def _position(text: str) -> tuple[float | None, float | None]:
    """Degrees out of ISO 6709 (`+48.1351+011.5820+520.000/`), of its form with degrees alone."""
    found = _POSITION.fullmatch(text.strip())
    if found is None:
        return None, None
    latitude, longitude = float(found[1]), float(found[2])
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None, None
    return exif.position(latitude, longitude)
