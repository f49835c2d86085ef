"""Names of members of a book: made safe, made different, and what there is to say of it.

Promises: every name that comes out is relative, with `/`, stays inside of its folder, is at most 1,024 bytes long, and
no two of them are one on any file system. Refuses, with an `UnsafeError`, what leads out of the folder (`..`), control
characters, and names of nothing. What was changed is counted and told in `notes`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from ...messages import N_, Message
from ..name_encoding import code_page_of, decoded_names
from ..naming import NameReservation, folded

__all__ = ["NAME_LIMIT", "MemberNames", "UnsafeError", "decoded"]

NAME_LIMIT: Final = 1_024  # bytes: PATH_MAX of macOS; no comic comes near
_DRIVE = re.compile(r"[A-Za-z]:")


class UnsafeError(ValueError):
    """A member that no book may have: its `name`, and `what` is wrong, as the rest of a sentence."""

    def __init__(self, name: str, what: str | Message, /, **values: Any) -> None:
        self.name = name
        self.what = what if isinstance(what, Message) else Message(what, **values)
        super().__init__(self.what)


def decoded(names: Sequence[bytes | str], encoding: str | None) -> tuple[list[str], str | None]:
    """The names as text, those that are bytes by one encoding (`encoding`, or what reads best); and that, where it was
    a guess that somebody may want to correct."""
    raw = [name for name in names if isinstance(name, bytes)]
    guessed = None if encoding else code_page_of(raw)
    texts = iter(decoded_names(raw, encoding or guessed))
    given = [next(texts) if isinstance(name, bytes) else name for name in names]
    return given, guessed if guessed != "utf-8" else None


class MemberNames:
    """The names of one book's members, in its order."""

    def __init__(self, guessed: str | None = None) -> None:
        """`guessed`: the code page that the names were read in, where nobody said so."""
        self._guessed = guessed
        self._reserved = NameReservation()
        self._stripped: list[tuple[str, str]] = []
        self._numbered: list[tuple[str, str]] = []

    def safe(self, name: str) -> str:
        """The name without what makes it absolute, and without empty parts; a folder's ends in `/`. UnsafeError for one that
        leads out, or is none."""
        if not name or len(name.encode("utf-8", "surrogatepass")) > NAME_LIMIT:
            raise UnsafeError(name[:60], "has no name, or one of more than {bytes} bytes", bytes=NAME_LIMIT)
        # Halves of letters, as 7z can have them, can be in no name of a file.
        name = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        # Old .NET programs write `\`; on every system it means what `/` means, so that nothing hides in it.
        parts = name.replace("\\", "/").split("/")
        if ".." in parts:
            raise UnsafeError(name, "leaves the folder: its path holds '..'")
        if any(re.search(r"[\0-\x1f\x7f]", part) and part != "Icon\r" for part in parts):
            raise UnsafeError(name, "has control characters in its name")
        is_folder, is_absolute = parts[-1] == "", parts[0] == ""
        kept = [part for part in parts if part not in {"", "."}]
        while kept and (drive := _DRIVE.match(kept[0])):
            is_absolute = True
            rest = kept[0][drive.end() :]
            kept[:1] = [rest] if rest not in {"", "."} else []
            if rest == "..":
                raise UnsafeError(name, "leaves the folder: its path holds '..'")
        if not kept:
            if is_absolute and is_folder:  # the root of all, as a folder
                return "./"
            raise UnsafeError(name, "has no name")
        short = "/".join(kept) + ("/" if is_folder else "")
        if is_absolute and not is_folder:
            self._stripped.append((name, short))
        return short

    def own(self, name: str) -> str:
        """A name that no other member has, for one that is needed: numbered as pages of folders are."""
        own = self._reserved.reserve(name)
        if folded(own) != folded(name):
            self._numbered.append((name, own))
        return own

    @property
    def notes(self) -> list[Message]:
        """What was done to names, a sentence each."""
        notes = []
        if self._stripped:
            (name, short), count = self._stripped[0], len(self._stripped)
            one = N_("the name {name} is absolute, and is taken as {short}")
            several = N_("{count} names are absolute, and are taken as if they were not: {name} as {short}")
            notes.append(Message(one if count == 1 else several, count=count, name=name, short=short))
        if self._numbered:
            (name, own), count = self._numbered[0], len(self._numbered)
            one = N_("the name {name} is there twice, or as a folder too: the second is called {own}")
            several = N_(
                "{count} names are there twice, or as a folder too, and are numbered: {name} is {own}"
            )
            notes.append(Message(one if count == 1 else several, count=count, name=name, own=own))
        if self._guessed:
            notes.append(
                Message(
                    "the names are taken to be in {encoding}: say otherwise with --name-encoding",
                    encoding=self._guessed,
                )
            )
        return notes
