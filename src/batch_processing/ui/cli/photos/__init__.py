"""The commands `lote photos ...`.

Thin: each reads its arguments, calls the photo application and prints. Nothing that changes or deletes
a file happens without `--yes`. Cheap to import.
"""

from __future__ import annotations

from . import bring, check, copies, look, people, pixels, rows, scan, similar  # noqa: F401 - each adds its commands
from .common import photos_app

__all__ = ["photos_app"]
