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

from ..backends.base import PaletteColor
from ..config.settings import suggestion
from ..exceptions import ValidationError, reason
from ..messages import Message
from ..reading import json_of, read_whole
from .model import RGB

Entry = dict[str, Any]
"""A colour in plain values: some of "rgb", "reference" (three numbers each), "name" and "locked"."""
Stored = dict[str, Any]
"""What a job keeps of its palette: "references" (a digest), "series", "given" and "colors", see `planned`."""
Colors = dict[str, Entry]
"""By id, as text: JSON knows no other keys."""

KEYS = ("id", "rgb", "name", "locked", "reference", "pages")
LARGEST_ID = 2 << 24
"""Ids from 1 << 24 on hold an RGB value (see backends/flats/color_ids.py)."""
LARGEST_FILE = 1 << 20
"""Bytes of a `palette.json`: a colour with its name takes about a hundred."""
MOST_COLORS = 4096
"""Colours of a `palette.json`: long series have some hundreds."""
LONGEST_NAME = 100
"""Characters: a layer's name in a PSD has at most 255 bytes in its old form."""


def read(path: Path) -> Colors:
    """The colours of a `palette.json`. ValidationError says what is wrong with it."""
    try:
        written = json_of(read_whole(path, LARGEST_FILE))
    except UnicodeDecodeError as error:
        raise ValidationError(
            "The palette {path} is no text: give the palette.json of a report.", path=path
        ) from error
    except (OSError, ValueError) as error:
        raise ValidationError(
            "The palette {path} cannot be read: {error}", path=path, error=reason(error)
        ) from error
    listed = written.get("colors") if isinstance(written, dict) else None
    if not isinstance(listed, list):
        raise ValidationError(
            "The palette {path} must hold 'colors', a list like {{'id': 3, 'rgb': [200, 30, 40]}}.", path=path
        )
    if len(listed) > MOST_COLORS:
        raise ValidationError(
            "The palette {path} has {listed} colours, more than the limit of {limit}: leave out "
            "those that no page uses.",
            path=path,
            listed=len(listed),
            limit=MOST_COLORS,
        )
    colors: Colors = {}
    for entry in listed:
        try:
            colors |= _entry(entry, colors)
        except (TypeError, ValueError) as error:
            raise ValidationError(
                "The palette {path}: {error} (in {entry})",
                path=path,
                error=error,
                entry=json.dumps(entry)[:80],
            ) from error
    return colors


def _entry(entry: Any, before: Colors) -> Colors:
    if not isinstance(entry, dict):
        raise TypeError(Message("a colour is an object like {'id': 3, 'rgb': [200, 30, 40]}"))
    for key in entry:
        if key not in KEYS:
            raise ValueError(Message("unknown key {key}{hint}", key=repr(key), hint=suggestion(key, KEYS)))
    number = entry.get("id")
    if type(number) is not int or not 0 <= number < LARGEST_ID:
        raise ValueError(Message("its id must be a whole number from 0"))
    if str(number) in before:
        raise ValueError(Message("id {number} stands there twice", number=number))
    if "rgb" not in entry:
        raise ValueError(Message("its rgb is missing"))
    color: Entry = {"rgb": _rgb(entry["rgb"])}
    if entry.get("reference") is not None:
        color["reference"] = _rgb(entry["reference"])
    name, locked = entry.get("name"), entry.get("locked", False)
    if name is not None and not (isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable()):
        raise ValueError(
            Message(
                "its name must be text of at most {limit} characters in one line",
                limit=LONGEST_NAME,
            )
        )
    if not isinstance(locked, bool):
        raise TypeError(Message("locked must be true or false"))
    if name:
        color["name"] = name
    if locked:
        color["locked"] = True
    return {str(number): color}


def _rgb(value: Any) -> list[int]:
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return value
    try:
        if isinstance(value, str) and len(value) == 7 and value[0] == "#":
            return list(bytes.fromhex(value[1:]))
    except ValueError:
        pass
    raise ValueError(Message("{color} is no colour: write [200, 30, 40] or '#c81e28'", color=repr(value)))


def write(colors: Iterable[Entry]) -> bytes:
    """A `palette.json`, one colour a line: a person is to find and change them."""
    order = {key: at for at, key in enumerate(KEYS)}
    lines = (
        json.dumps(dict(sorted(color.items(), key=lambda pair: order[pair[0]])), ensure_ascii=False)
        for color in colors
    )
    text = '{\n  "colors": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n"
    return text.encode("utf-8", "backslashreplace")


def recolored(stored: Mapping[str, Any], said: Colors) -> Stored:
    """What a job keeps of its palette after a person gave it `said`.

    An id that is neither locked nor changed keeps no RGB of its own: it follows the references."""
    given = stored.get("given", {})
    kept: Colors = dict(stored.get("colors", {}))
    for number, color in said.items():
        natural = given.get(number, {}).get("rgb", color.get("reference"))
        own = color.get("locked") or color["rgb"] != natural
        kept[number] = {name: value for name, value in color.items() if name != "rgb" or own}
    return {**stored, "colors": kept}


def planned(stored: Mapping[str, Any], series: Colors, references: str) -> Stored:
    """What a job keeps of its palette for a run with this series' palette and these references (a digest).

    "given" are the colours that those of the references join. As long as the references are those that a
    person saw when they named and recoloured ids, the ids come out the same by themselves; once they have
    changed, what the person knew is given too, so that "Ana hair" does not become another's."""
    colors: Colors = dict(stored.get("colors", {}))
    if stored.get("series", {}) != series:
        # The newer word on an id is the file's.
        before = stored.get("series", {})
        colors = {number: c for number, c in colors.items() if series.get(number) == before.get(number)}
    same = stored.get("references") == references and stored.get("series", {}) == series
    given = stored["given"] if same else {**colors, **series}
    return {"references": references, "series": series, "given": given, "colors": colors}


def edited(stored: Mapping[str, Any], changes: Iterable[Colors]) -> Stored:
    """What a job has for its palette after these changes, each the whole entries of some ids: a colour that has no RGB of its
    own follows the references."""
    colors: Colors = dict(stored.get("colors", {}))
    for change in changes:
        colors |= change
    return {**stored, "colors": colors}


def anchors(stored: Mapping[str, Any]) -> list[PaletteColor]:
    """The given colours as a backend wants them."""
    listed = []
    for number, color in sorted(stored.get("given", {}).items(), key=lambda pair: int(pair[0])):
        reference = color.get("reference")
        if rgb := color.get("rgb") or reference:
            listed.append(PaletteColor(int(number), tuple(rgb), tuple(reference) if reference else None))
    return listed


def drawn(stored: Mapping[str, Any]) -> dict[str, RGB]:
    """What ids are drawn in, whatever the references show: by id, RGB."""
    series = {number: color["rgb"] for number, color in stored.get("series", {}).items()}
    own = {number: c["rgb"] for number, c in stored.get("colors", {}).items() if "rgb" in c}
    return series | own


def names(stored: Mapping[str, Any]) -> dict[str, str]:
    """What a person calls ids."""
    return {number: color["name"] for number, color in said(stored).items() if color.get("name")}


def said(stored: Mapping[str, Any]) -> Colors:
    """What is known of each id beside what the pages tell: its name, its lock, its colours."""
    known: Colors = {**stored.get("given", {}), **stored.get("series", {})}
    for number, color in stored.get("colors", {}).items():
        # Without a name here, a person took it away.
        shades = {key: value for key, value in known.get(number, {}).items() if key in ("rgb", "reference")}
        known[number] = shades | color
    return known
