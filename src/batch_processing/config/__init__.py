"""Settings: what they are (`settings`), where they are written (`handler`), which one wins (`effective`).

Promises that every wrong setting is named, at once and with its place, and that each value in force
can say where it came from. Importing this door loads no pydantic; its names do, when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

if TYPE_CHECKING:
    from .effective import Effective, PageOptions, Settings, photo_settings
    from .handler import ConfigurationHandler
    from .settings import BatchConfig, parse_pages

_HOME = {
    "BatchConfig": "settings",
    "ConfigurationHandler": "handler",
    "Effective": "effective",
    "PageOptions": "effective",
    "Settings": "effective",
    "parse_pages": "settings",
    "photo_settings": "effective",
}

__all__ = [
    "BatchConfig",
    "ConfigurationHandler",
    "Effective",
    "PageOptions",
    "Settings",
    "parse_pages",
    "photo_settings",
]

__getattr__ = loader(__name__, _HOME)
