"""Names of people, as they are kept and compared.

Promises: two spellings that a reader takes for the same name (case, composed or decomposed accents, spaces around and
between) are the same. Refuses what is no name: nothing, only digits (numbers mean people), control characters, what is no
Unicode, and more than `LONGEST` characters.
"""

from __future__ import annotations

import unicodedata

from ...exceptions import ValidationError

LONGEST = 200


def kept(text: str) -> str:
    """A name as it is kept: in normal form C, one space between words. ValidationError for what is no name."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise ValidationError("A name cannot be empty: give one such as Ana.")
    if name.isdecimal():
        raise ValidationError(
            "{name} cannot be a name: digits alone mean the number of a person.", name=repr(name)
        )
    if len(name) > LONGEST or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        raise ValidationError(
            "{name} cannot be a name: give up to {longest} characters of text.",
            name=repr(name[:40]),
            longest=LONGEST,
        )
    return name


def folded(name: str) -> str:
    """The same for all spellings of a name that are the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", " ".join(name.split())).casefold())
