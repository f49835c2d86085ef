"""Files in and out: finding images, opening archives, decoding and encoding, publishing results.

Importing this door loads nothing of that: its names do, when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

if TYPE_CHECKING:
    from .archives import cleanup_temp_directory, extract_zip_file, is_zip_file
    from .naming import create_output_path, handle_filename_collision
    from .publish import create_output_zip
    from .scan import (
        SUPPORTED_IMAGE_FORMATS,
        scan_directory,
        separate_line_art_and_references,
        validate_image_file,
    )

_HOME = {
    "SUPPORTED_IMAGE_FORMATS": "scan",
    "cleanup_temp_directory": "archives",
    "create_output_path": "naming",
    "create_output_zip": "publish",
    "extract_zip_file": "archives",
    "handle_filename_collision": "naming",
    "is_zip_file": "archives",
    "scan_directory": "scan",
    "separate_line_art_and_references": "scan",
    "validate_image_file": "scan",
}

__all__ = [
    "SUPPORTED_IMAGE_FORMATS",
    "cleanup_temp_directory",
    "create_output_path",
    "create_output_zip",
    "extract_zip_file",
    "handle_filename_collision",
    "is_zip_file",
    "scan_directory",
    "separate_line_art_and_references",
    "validate_image_file",
]

__getattr__ = loader(__name__, _HOME)
