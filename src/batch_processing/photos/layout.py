"""The folder that an imported photo goes to: `{year}/{year}-{month}-{day}` and the like.

Promises: what comes out lies below the library, whatever a camera says it is called; what cannot be meant is refused
before anything is done. Dates are those of the photo where it was taken, without a time zone.
"""

from __future__ import annotations

import string
from datetime import datetime
from unicodedata import normalize

from ..exceptions import ConfigurationError

FIELDS = ("year", "month", "day", "hour", "minute", "camera", "source")
DEFAULT = "{year}/{year}-{month}-{day}"
# What a folder's name must not hold on one of the file systems that libraries lie on: Windows' list.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
FORBIDDEN = '<>:"/\\|?*'
UNKNOWN = "unknown"
LONGEST_NAME = 80  # characters of a field: four bytes each in UTF-8, with room for more beside it in 255


class Layout:
    """A layout that makes sense. ConfigurationError if it does not."""

    def __init__(self, text: str, source: str) -> None:
        """`source`: the name of the folder that is imported, for `{source}`."""
        fields = ", ".join(f"{{{name}}}" for name in FIELDS)
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ConfigurationError(
                "--layout {text} has a bracket without its other half: use the fields {fields}.",
                text=repr(text),
                fields=fields,
            ) from error
        for _, name, style, conversion in parts:
            if name is not None and (name not in FIELDS or style or conversion):
                raise ConfigurationError(
                    "--layout {text} has a field that there is not, {name}: use the fields {fields}.",
                    text=repr(text),
                    name=repr(name),
                    fields=fields,
                )
        if text.startswith("/") or ".." in text.split("/") or "\0" in text:
            raise ConfigurationError(
                "--layout {text} leads out of the library: name folders below it, such as {default}.",
                text=repr(text),
                default=DEFAULT,
            )
        self._text = text
        self._source = safe_name(source)

    def folder(self, date: datetime, camera: str | None) -> bytes:
        """The folder, relative to the library, without a slash at its ends; empty for the library itself."""
        filled = self._text.format(
            year=f"{date.year:04d}",
            month=f"{date.month:02d}",
            day=f"{date.day:02d}",
            hour=f"{date.hour:02d}",
            minute=f"{date.minute:02d}",
            camera=safe_name(camera or ""),
            source=self._source,
        )
        parts = [part for part in filled.split("/") if part not in ("", ".", "..")]
        return "/".join(parts).encode("utf-8", "surrogateescape")


def safe_name(text: str) -> str:
    """`text` as a folder may be called on every system; `unknown` if nothing is left of it."""
    kept = "".join("_" if c in FORBIDDEN or not c.isprintable() else c for c in normalize("NFC", text))
    return kept[:LONGEST_NAME].strip(". ") or UNKNOWN
