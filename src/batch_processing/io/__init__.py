"""Files in and out: finding images, opening archives, decoding and encoding, publishing results."""

from .archives import cleanup_temp_directory, extract_zip_file, is_zip_file
from .outputs import create_output_path, create_output_zip, handle_filename_collision
from .scan import (
    SUPPORTED_IMAGE_FORMATS,
    scan_directory,
    separate_line_art_and_references,
    validate_image_file,
)

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
