"""What a person meets: the command line, its views, the web page. Nothing else imports this room.

Importing this door loads none of them; its names do, when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reference_preview import ReferencePreviewGallery, create_reference_preview_ui, filter_references

__all__ = ["ReferencePreviewGallery", "create_reference_preview_ui", "filter_references"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(".reference_preview", __name__), name)
    globals()[name] = value
    return value
