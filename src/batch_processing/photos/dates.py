"""Dates that stand beside a photo and not in it: XMP sidecars, what Google Takeout exports, and names.

Promises: each date comes with its source, and a weaker source is asked only where the stronger ones say nothing. A
sidecar is read up to `MOST_SIDECAR` and never trusted: no entity of its XML is expanded, and no value makes a loop. A
name gives no more than it says: a day without a time stays a day. The listing of one folder at a time is kept.

Does not notice a sidecar that is added after the photo's header was read. Times in names are as they stand there:
most cameras use local time, some (`PXL_`) UTC.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unicodedata import normalize
from xml.parsers import expat

from ..io.naming import folded
from . import exif
from .header_facts import HeaderFacts, Source
from .kinds import VIDEO_EXTENSIONS
from .reading import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_SIDECAR = 1024 * 1024  # bytes
MOST_VALUE = 64  # characters of a date in XMP
# XMP specification, part 2; the strongest first. The last is when the file was made: of a scan, or of an edited photo.
_EXIF_NS, _PHOTOSHOP_NS, _XMP_NS = (
    "http://ns.adobe.com/exif/1.0/",
    "http://ns.adobe.com/photoshop/1.0/",
    "http://ns.adobe.com/xap/1.0/",
)
ORIGINAL, CREATED, MADE = (
    f"{_EXIF_NS} DateTimeOriginal",
    f"{_PHOTOSHOP_NS} DateCreated",
    f"{_XMP_NS} CreateDate",
)
XMP_DATES = (ORIGINAL, CREATED, MADE)
# Google Takeout cuts the name of a sidecar after so many characters, before `.json` and before the number of a copy.
TAKEOUT_CUT = 46
# What Google Photos puts behind the name of an edited photo, in the language of its owner.
EDITED = (
    "-edited",
    "-bearbeitet",
    "-modifié",
    "-editado",
    "-modificato",
    "-bewerkt",
    "-edytowane",
    "-editada",
    "-effects",
    "-ha editado",
    "-editat",
    "-redigerad",
    "-redigeret",
    "-redigert",
    "-muokattu",
    "-upravené",
    "-szerkesztett",
    "-編集済み",
    "-已修改",
    "-수정됨",
)
# The photo of a Live Photo has the sidecar, and its video none.
LIVE_PHOTO = (".heic", ".jpg", ".jpeg")
FIRST_YEAR = 1990  # of a date in a name


class Folders:
    """The sidecars of the folder that was asked for last."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._found: dict[str, list[str]] = {}

    def sidecars(self, folder: str) -> dict[str, list[str]]:
        """Names of the XMP and JSON files in a folder, by their names without regard to case. A folder that cannot be
        listed has none: who reads the photo itself says why."""
        if folder != self._folder:
            self._found = {}
            self._folder = folder
            try:
                names = os.listdir(folder)
            except OSError:
                return self._found
            for name in names:
                if name[-5:].lower().endswith((".xmp", ".json")):
                    self._found.setdefault(folded(name), []).append(name)
        return self._found


def completed(facts: HeaderFacts, path: str, folders: Folders, embedded: bytes = b"") -> HeaderFacts:
    """`facts` with the date of a weaker source where they have none, and the position of a Takeout sidecar where they
    have none. `embedded`: the XMP inside of the file."""
    if facts.taken_at is not None and facts.latitude is not None:
        return facts
    folder, name = os.path.split(path)
    sidecars = folders.sidecars(folder)
    taken_at, source = facts.taken_at, facts.taken_from
    if taken_at is None:
        taken_at, source = _from_xmp(folder, name, sidecars, embedded), Source.XMP
    told = _takeout(folder, name, sidecars) if taken_at is None or facts.latitude is None else None
    if taken_at is None and told is not None:
        taken_at, source = told.taken_at, Source.TAKEOUT
    if taken_at is None:
        taken_at, source = date_in_name(name), Source.NAME
    if taken_at != facts.taken_at:
        facts = replace(facts, taken_at=taken_at, taken_from=source)
    if facts.latitude is None and told is not None:
        facts = replace(facts, latitude=told.latitude, longitude=told.longitude)
    return facts


def _pick(wanted: str, sidecars: dict[str, list[str]]) -> str | None:
    """The sidecar of that name: spelled so, or else in other case."""
    names = sidecars.get(folded(wanted))
    if not names:
        return None
    return wanted if wanted in names else names[0]


def _content(folder: str, name: str) -> bytes | None:
    """A sidecar's content; None for one that cannot be read, is no file or too large."""
    try:
        descriptor = open_file(f"{folder}/{name}")
    except OSError:
        return None  # as if it were not there: the photo itself is readable
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_SIDECAR:
            return None
        return os.read(descriptor, MOST_SIDECAR)
    except OSError:
        return None
    finally:
        os.close(descriptor)


# XMP


def _from_xmp(folder: str, name: str, sidecars: dict[str, list[str]], embedded: bytes) -> str | None:
    for wanted in (f"{name}.xmp", f"{os.path.splitext(name)[0]}.xmp") if sidecars else ():  # noqa: PTH122
        sidecar = _pick(wanted, sidecars)
        content = _content(folder, sidecar) if sidecar is not None else None
        if content and (found := date_in_xmp(content)) is not None:
            return found
    return date_in_xmp(embedded[:MOST_SIDECAR]) if embedded else None


def date_in_xmp(content: bytes) -> str | None:
    """When a photo was taken, as its XMP says: the first of `XMP_DATES` that is a date. None where there is none, and for
    what is no XML, or XML with a document type (XMP has none: entities are declared there)."""
    values: dict[str, str] = {}
    inside: str | None = None

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        inside = name if name in XMP_DATES else None
        for key, value in attributes.items():
            if key in XMP_DATES:
                values.setdefault(key, value[:MOST_VALUE])

    def end(_: str) -> None:
        nonlocal inside
        inside = None

    def text(piece: str) -> None:
        if inside is not None:
            values[inside] = (values.get(inside, "") + piece)[:MOST_VALUE]

    def refuse(*_: Any) -> None:
        raise ValueError("a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        # What a tool has put before and after the packet is left out; a packet may be padded with blanks.
        parser.Parse(content.strip(b"\0 \r\n\t"), True)
    except (expat.ExpatError, ValueError):
        return None
    return next((found for key in XMP_DATES if (found := exif.moment(values.get(key, "")))), None)


# Google Takeout


@dataclass(frozen=True)
class Told:
    """What a sidecar of Google Takeout says."""

    taken_at: str | None
    latitude: float | None
    longitude: float | None


def takeout_names(name: str) -> Iterator[str]:
    """The names that the sidecar of a photo may have, the likeliest first.

    `IMG.jpg.supplemental-metadata.json` (since 2024) and `IMG.jpg.json`; both are cut, and a copy's number `(1)` moves
    behind what was cut. An edited photo has that of the photo it was made from."""
    whole, extension = os.path.splitext(name)  # noqa: PTH122
    whole = normalize("NFC", whole)
    edited = [
        whole.replace(whole[at : at + len(end)], "") for end in EDITED if (at := whole.lower().find(end)) > 0
    ]
    extensions = [extension]
    if extension.lower() in VIDEO_EXTENSIONS:
        extensions += LIVE_PHOTO
    for stem, ending in ((stem, ending) for stem in (whole, *edited) for ending in extensions):
        counted = re.fullmatch(r"(.*)(\(\d{1,6}\))", stem, re.DOTALL)
        own, number = (counted[1], counted[2]) if counted else (stem, "")
        for text in (f"{own}{ending}.supplemental-metadata", f"{own}{ending}"):
            yield f"{text[:TAKEOUT_CUT]}{number}.json"
        for text in (f"{stem}{ending}.supplemental-metadata", f"{stem}{ending}") if number else ():
            yield f"{text[:TAKEOUT_CUT]}.json"  # a photo that had this name before it was exported


def _takeout(folder: str, name: str, sidecars: dict[str, list[str]]) -> Told | None:
    if not sidecars:
        return None
    seen: set[str] = set()
    for wanted in takeout_names(name):
        sidecar = _pick(wanted, sidecars)
        if sidecar is None or sidecar in seen:
            continue
        seen.add(sidecar)
        content = _content(folder, sidecar)
        if content is not None and (told := takeout_told(content)) is not None:
            return told
    return None


def takeout_told(content: bytes) -> Told | None:
    """What the JSON says: `photoTakenTime.timestamp` (seconds since 1970, UTC) and `geoData`. None for other JSON."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("photoTakenTime"), dict):
        return None
    return Told(_utc(found["photoTakenTime"].get("timestamp")), *_geo_data(found.get("geoData")))


def _utc(seconds: Any) -> str | None:
    text = str(seconds) if isinstance(seconds, str | int) and not isinstance(seconds, bool) else ""
    if not re.fullmatch(r"-?[0-9]{1,11}", text):
        return None
    try:
        when = datetime.fromtimestamp(int(text), UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return when.isoformat() if int(text) and when.year >= exif.FIRST_YEAR else None


def _geo_data(found: Any) -> tuple[float | None, float | None]:
    if not isinstance(found, dict):
        return None, None
    latitude, longitude = found.get("latitude"), found.get("longitude")
    for value, limit in ((latitude, 90), (longitude, 180)):
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= limit:
            return None, None
    return exif.position(float(latitude), float(longitude))  # type: ignore[arg-type]  # numbers, as tested above


# Names

# A date of eight digits, or with its parts parted by `-`, `_` or `.`; a time in the same way, if there is one. What
# comes before may be letters that cameras write without a gap (IMG20190704123456).
_NAME = re.compile(
    r"(?:(?<![^\W_])|(?<=IMG)|(?<=VID)|(?<=PXL)|(?<=DSC)|(?<=BURST))"
    r"((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:(?:[-_ T.]|\s+at\s+|,\s+)?([01]\d|2[0-3]|\d(?=[.:]))([-_.:]?)([0-5]\d)\6([0-5]\d)(?:[-_.]?\d{3})?(?!\d)(?:\s?([AaPp])[Mm](?![^\W_]))?"
    r"|(?![^\W_]))"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def date_in_name(name: str) -> str | None:
    """The date, or date and time, that the name of a file says; None for none.

    `IMG_20190704_123456`, `PXL_20190704_123456789`, `Screenshot_2019-07-04-12-34-56`, `2019-07-04 12.34.56`,
    `IMG-20190704-WA0001` (a day), `WhatsApp Image 2019-07-04 at 12.34.56 PM`. Years from 1990 to the next one; digits
    that are part of a longer number are none."""
    stem = os.path.splitext(name)[0]  # noqa: PTH122
    if _UUID.search(stem):
        return None
    for found in _NAME.finditer(stem):
        year, _, month, day, hour, _, minute, second, half = found.groups()
        hours = int(hour or 0)
        if half and hours <= 12:
            hours = hours % 12 + (12 if half in "Pp" else 0)
        try:
            when = datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0))  # noqa: DTZ001 - as it says
        except ValueError:
            continue
        if FIRST_YEAR <= when.year <= datetime.now(UTC).year + 1:
            return when.isoformat() if hour else when.date().isoformat()
    return None
