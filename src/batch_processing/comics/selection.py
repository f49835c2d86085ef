"""Which pages a person names: by path, by name, or by a pattern.

Promises: a text that is the path of a page is that page; else one that is the name of pages is those, in whatever
folders they are; else it is a glob pattern over paths and names. So names may hold what patterns are made of
(`[Group] p001.png`). Unicode forms make no difference. Reads the paths once, and keeps none.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from unicodedata import normalize

__all__ = ["Selection", "selected"]


class Selection:
    """The pages that some texts name, among those of `paths` (with `/`), which all stand `below` a path (that ends with
    `/`, or is empty) that may be named with them."""

    def __init__(self, texts: Sequence[str], paths: Iterable[str], below: str = "") -> None:
        self._below = normalize("NFC", below)
        normal = {text: normalize("NFC", text) for text in texts}
        wanted = frozenset(normal.values())
        patterns = {text: re.compile(fnmatch.translate(text)) for text in wanted}
        self._paths: set[str] = set()
        self._names: set[str] = set()
        fitting: set[str] = set()
        for page in paths if wanted else ():
            *whole, name = self._ways(page)
            self._paths |= wanted.intersection(whole)
            self._names |= wanted & {name}
            for text in wanted - fitting:
                if _fits(patterns[text], (*whole, name)):
                    fitting.add(text)
        self._names -= self._paths
        literal = self._paths | self._names
        self._patterns = [pattern for text, pattern in patterns.items() if text not in literal]
        self.unused = [text for text in texts if normal[text] not in literal | fitting]
        """The texts that name no page."""

    def __contains__(self, page: str) -> bool:
        *whole, name = ways = self._ways(page)
        return (
            name in self._names
            or not self._paths.isdisjoint(whole)
            or any(_fits(pattern, ways) for pattern in self._patterns)
        )

    def _ways(self, page: str) -> tuple[str, str, str]:
        """What a page is called: its path from above, its own path, its name."""
        path = normalize("NFC", page)
        return self._below + path, path, path.rpartition("/")[2]


def selected(texts: Sequence[str], paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of `paths` that the texts name, and the texts that name none."""
    selection = Selection(texts, paths)
    return [path for path in paths if path in selection], selection.unused


def _fits(pattern: re.Pattern[str], ways: Iterable[str]) -> bool:
    return any(pattern.match(way) for way in ways)
