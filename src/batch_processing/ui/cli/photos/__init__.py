"""The commands `lote photos ...`.

Thin: each reads its arguments, calls the photo application and prints. Nothing that changes or deletes
a file happens without `--yes`. Cheap to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..common import Application
    from .common import photos_app

__all__ = ["photos_app"]

# Which module adds which commands.
MODULES = {
    "bring": ("import",),
    "check": ("verify", "known"),
    "copies": ("duplicates",),
    "look": ("list", "stats", "batches", "errors", "left-out"),
    "people": ("people", "find"),
    "pixels": ("look", "faces"),
    "rows": ("relocate", "forget"),
    "scan": ("scan",),
    "similar": ("similar",),
}


def only(words: Sequence[str] = ()) -> Application:
    """The group with the commands that are needed for these words, or with all."""
    from .common import photos_app

    fitting = [module for module, names in MODULES.items() if words and words[0] in names]
    for module in fitting or MODULES:
        import_module(f".{module}", __package__)
    return photos_app


def __getattr__(name: str) -> Any:
    if name == "photos_app":
        return only()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
