"""The palette of a job: `palette.json`, and what a person said about colours by it.

    {"colors": [{"id": 4, "name": "Ana hair", "rgb": [74, 48, 42], "locked": true, "reference": [74, 48, 42]}]}

Promises one form for what a job writes, what recolours it (`lote recolor`), and what the next chapter is given
(`lote colorize --palette`). `rgb` is what an id is drawn in, `reference` what the references show for it; the
two differ where a person recoloured it. An id that a person neither recoloured nor locked follows the
references of its job when these change; those of a series' file stay as the file says. What cannot be
understood is one sentence that names the file and the entry; nothing is ignored in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .config.settings import suggestion
from .exceptions import ValidationError, reason
from .reading import json_of, read_whole

Entry = dict[str, Any]
"""A colour in plain values: some of "rgb", "reference" (three numbers each), "name" and "locked"."""
Colours = dict[str, Entry]
"""By id, as text: JSON knows no other keys."""

KEYS = ("id", "rgb", "name", "locked", "reference", "pages")
LARGEST_ID = 2 << 24
"""Ids from 1 << 24 on hold an RGB value (see backends/flats/palette.py)."""
LARGEST_FILE = 1 << 20
"""Bytes of a `palette.json`: a colour with its name takes about a hundred."""
MOST_COLOURS = 4096
"""Colours of a `palette.json`: long series have some hundreds."""
LONGEST_NAME = 100
"""Characters: a layer's name in a PSD has at most 255 bytes in its old form."""


def read(path: Path) -> Colours:
    """The colours of a `palette.json`. ValidationError says what is wrong with it."""
    try:
        written = json_of(read_whole(path, LARGEST_FILE))
    except UnicodeDecodeError as error:
        raise ValidationError(f"The palette {path} is no text: give the palette.json of a report.") from error
    except (OSError, ValueError) as error:
        raise ValidationError(f"The palette {path} cannot be read: {reason(error)}") from error
    listed = written.get("colors") if isinstance(written, dict) else None
    if not isinstance(listed, list):
        raise ValidationError(
            f"The palette {path} must hold 'colors', a list like {{'id': 3, 'rgb': [200, 30, 40]}}."
        )
    if len(listed) > MOST_COLOURS:
        raise ValidationError(
            f"The palette {path} has {len(listed)} colours, more than the limit of {MOST_COLOURS}: leave out those "
            "that no page uses."
        )
    colours: Colours = {}
    for entry in listed:
        try:
            colours |= _entry(entry, colours)
        except (TypeError, ValueError) as error:
            raise ValidationError(f"The palette {path}: {error} (in {json.dumps(entry)[:80]})") from error
    return colours


def _entry(entry: Any, before: Colours) -> Colours:
    if not isinstance(entry, dict):
        raise TypeError("a colour is an object like {'id': 3, 'rgb': [200, 30, 40]}")
    for key in entry:
        if key not in KEYS:
            raise ValueError(f"unknown key {key!r}{suggestion(key, KEYS)}")
    number = entry.get("id")
    if type(number) is not int or not 0 <= number < LARGEST_ID:
        raise ValueError("its id must be a whole number from 0")
    if str(number) in before:
        raise ValueError(f"id {number} stands there twice")
    if "rgb" not in entry:
        raise ValueError("its rgb is missing")
    colour: Entry = {"rgb": _rgb(entry["rgb"])}
    if entry.get("reference") is not None:
        colour["reference"] = _rgb(entry["reference"])
    name, locked = entry.get("name"), entry.get("locked", False)
    if name is not None and not (isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable()):
        raise ValueError(f"its name must be text of at most {LONGEST_NAME} characters in one line")
    if not isinstance(locked, bool):
        raise TypeError("locked must be true or false")
    if name:
        colour["name"] = name
    if locked:
        colour["locked"] = True
    return {str(number): colour}


def _rgb(value: Any) -> list[int]:
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return value
    try:
        if isinstance(value, str) and len(value) == 7 and value[0] == "#":
            return list(bytes.fromhex(value[1:]))
    except ValueError:
        pass
    raise ValueError(f"{value!r} is no colour: write [200, 30, 40] or '#c81e28'")


def write(colours: Iterable[Entry]) -> bytes:
    """A `palette.json`, one colour a line: a person is to find and change them."""
    order = {key: at for at, key in enumerate(KEYS)}
    lines = (
        json.dumps(dict(sorted(colour.items(), key=lambda pair: order[pair[0]])), ensure_ascii=False)
        for colour in colours
    )
    text = '{\n  "colors": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n"
    return text.encode("utf-8", "backslashreplace")


def recoloured(stored: Mapping[str, Any], said: Colours) -> dict[str, Any]:
    """What a job keeps of its palette after a person gave it `said`.

    An id that is neither locked nor changed keeps no RGB of its own: it follows the references."""
    given = stored.get("given", {})
    kept: Colours = dict(stored.get("colors", {}))
    for number, colour in said.items():
        natural = given.get(number, {}).get("rgb", colour.get("reference"))
        own = colour.get("locked") or colour["rgb"] != natural
        kept[number] = {name: value for name, value in colour.items() if name != "rgb" or own}
    return {**stored, "colors": kept}


def planned(stored: Mapping[str, Any], series: Colours, references: str) -> dict[str, Any]:
    """What a job keeps of its palette for a run with this series' palette and these references (a digest).

    "given" are the colours that those of the references join. As long as the references are those that a
    person saw when they named and recoloured ids, the ids come out the same by themselves; once they have
    changed, what the person knew is given too, so that "Ana hair" does not become another's."""
    colours: Colours = dict(stored.get("colors", {}))
    if stored.get("series", {}) != series:
        # The newer word on an id is the file's.
        before = stored.get("series", {})
        colours = {number: c for number, c in colours.items() if series.get(number) == before.get(number)}
    same = stored.get("references") == references and stored.get("series", {}) == series
    given = stored["given"] if same else {**colours, **series}
    return {"references": references, "series": series, "given": given, "colors": colours}


def anchors(stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The given colours as a backend wants them: id, rgb, and reference where it is known."""
    listed = []
    for number, colour in sorted(stored.get("given", {}).items(), key=lambda pair: int(pair[0])):
        rgb = colour.get("rgb") or colour.get("reference")
        if rgb:
            listed.append({"id": int(number), "rgb": rgb, "reference": colour.get("reference")})
    return listed


def drawn(stored: Mapping[str, Any]) -> dict[str, list[int]]:
    """What ids are drawn in, whatever the references show: by id, RGB."""
    series = {number: colour["rgb"] for number, colour in stored.get("series", {}).items()}
    own = {number: c["rgb"] for number, c in stored.get("colors", {}).items() if "rgb" in c}
    return series | own


def names(stored: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls ids."""
    return {number: colour["name"] for number, colour in said(stored).items() if colour.get("name")}


def said(stored: Mapping[str, Any]) -> Colours:
    """What is known of each id beside what the pages tell: its name, its lock, its colours."""
    known: Colours = {**stored.get("given", {}), **stored.get("series", {})}
    for number, colour in stored.get("colors", {}).items():
        # Without a name here, a person took it away.
        shades = {key: value for key, value in known.get(number, {}).items() if key in ("rgb", "reference")}
        known[number] = shades | colour
    return known
