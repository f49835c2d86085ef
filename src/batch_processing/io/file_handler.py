"""The documented spelling of the functions on files; they live in `scan` and `naming`."""

from .naming import create_output_path, handle_filename_collision
from .scan import (
    SUPPORTED_IMAGE_FORMATS,
    scan_directory,
    separate_line_art_and_references,
    validate_image_file,
)

__all__ = [
    "SUPPORTED_IMAGE_FORMATS",
    "create_output_path",
    "handle_filename_collision",
    "scan_directory",
    "separate_line_art_and_references",
    "validate_image_file",
]
