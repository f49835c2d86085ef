"""Dates, positions and orientations out of EXIF: sense or nothing.

Promises: a value that makes no sense is left out, never guessed: a position of 0,0, degrees without their hemisphere,
month 13. A date of taking or digitizing that is there and cannot be read is not replaced by a later one. Does not say whether a
camera's clock was right.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# EXIF 2.32 tags
ORIENTATION, MAKE, MODEL, DATE_TIME = 0x0112, 0x010F, 0x0110, 0x0132
EXIF_IFD, GPS_IFD, MAKER_NOTE = 0x8769, 0x8825, 0x927C
WIDTH, HEIGHT = 0xA002, 0xA003
ORIGINAL, DIGITIZED = 0x9003, 0x9004
# Dates and where their offsets from UTC stand: original, digitized, changed.
DATES = ((ORIGINAL, 0x9011), (DIGITIZED, 0x9012), (DATE_TIME, 0x9010))
# Hemispheres of a latitude and a longitude, by the most degrees that each can have.
HEMISPHERES = {90: "NS", 180: "EW"}
# Niépce's first photograph.
FIRST_YEAR = 1826

_MOMENT = re.compile(
    r"([0-9]{4})([:/.-])\s?([0-9]{1,2})\2\s?([0-9]{1,2})"
    r"(?:[T\s]\s*([0-9]{1,2})[:.]\s?([0-9]{1,2})(?:[:.]\s?([0-9]{1,2})(?:[.,][0-9]+)?)?"
    # An offset in another form (UTC, GMT+2, +02) is no part of EXIF: the local time before it stands, without it.
    r"\s*(?:([AaPp])\.?[Mm]\.?)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?(?:[A-Za-z]{1,5})?(?:[+-][0-9]{1,2})?)?\W*"
)
_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):?([0-5][0-9])")


def moment(text: str, offset: str = "") -> str | None:
    """A date, or date and time, in ISO 8601; None for what is no date.

    `2004:08:27 13:52:55`, with `-`, `/` or `.` between the numbers of the date, with `T`, without seconds, with `PM`,
    fractions and an offset. `offset` counts where the text has none of its own."""
    found = _MOMENT.fullmatch(text.strip("\0 ").partition("\0")[0])
    if found is None:
        return None
    year, _, month, day, hour, minute, second, half, zone = found.groups()
    hours = int(hour or 0)
    if half and hours <= 12:
        hours = hours % 12 + (12 if half in "Pp" else 0)
    elif half in ("A", "a"):
        return None
    try:
        when = datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0))  # noqa: DTZ001 - local time
    except ValueError:
        return None
    if when.year < FIRST_YEAR:
        return None
    if hour is None:
        return when.date().isoformat()
    return when.isoformat() + utc_offset(zone or offset)


def utc_offset(text: str) -> str:
    """`+02:00` out of `+0200`, `+02:00` or `Z`; nothing for what is no offset from UTC."""
    text = text.strip("\0 ")
    if text == "Z":
        return "+00:00"
    found = _OFFSET.fullmatch(text)
    return f"{found[1]}{found[2]}:{found[3]}" if found else ""


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def is_there(value: Any) -> bool:
    """Whether a tag for a date holds anything: blanks and zeros stand for an unknown date (EXIF 2.32, 4.6.5)."""
    return value is not None and (not isinstance(value, str | bytes) or bool(_text(value).strip("\0 :0/-.T")))


def taken_at(tags: Mapping[int, Any]) -> str | None:
    """When the photo was taken, ISO 8601, with an offset from UTC only where EXIF has one."""
    for date, offset in DATES:
        value = tags.get(date)
        if not is_there(value):
            continue
        found = moment(_text(value), _text(tags.get(offset)))
        if found is not None or date != DATE_TIME:
            return found
    return None


def degrees(parts: Any, reference: Any, limit: int) -> float | None:
    """Degrees, minutes and seconds as one number, negative for S and W; None for what is no position, and without a
    reference. `limit`: 90 of a latitude, 180 of a longitude."""
    try:
        whole, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not (whole >= 0 and 0 <= minutes <= 60 and 0 <= seconds <= 60):
        return None
    value = whole + minutes / 60 + seconds / 3600
    hemisphere = _text(reference).strip("\0 ").upper()
    if (
        not math.isfinite(value)
        or value > limit
        or len(hemisphere) != 1
        or hemisphere not in HEMISPHERES[limit]
    ):
        return None
    return round(-value if hemisphere in "SW" else value, 7)


def position(latitude: float | None, longitude: float | None) -> tuple[float | None, float | None]:
    """Both degrees, or none: not where one is lacking, nor at 0,0, which is what devices write that know of none."""
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def gps_position(tags: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude out of the tags of the GPS directory."""
    return position(degrees(tags.get(2), tags.get(1), 90), degrees(tags.get(4), tags.get(3), 180))


def orientation(value: Any) -> int | None:
    """EXIF 1 to 8; None for anything else."""
    return value if isinstance(value, int) and 1 <= value <= 8 else None
