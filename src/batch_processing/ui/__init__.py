"""What a person meets: the command line, its views, the web page. Nothing else imports this room.

Importing this door loads none of them; its names do, when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

if TYPE_CHECKING:
    from .reference_preview import ReferencePreviewGallery, create_reference_preview_ui, filter_references

__all__ = ["ReferencePreviewGallery", "create_reference_preview_ui", "filter_references"]

__getattr__ = loader(__name__, dict.fromkeys(__all__, "reference_preview"))
