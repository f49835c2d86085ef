"""Photo libraries: scanned in batches, never twice, never lost.

from batch_processing.photos import PhotoRepository, open_library, scan_images_recursively

with open_library() as session:
    for batch in scan_images_recursively("/photos", PhotoRepository(session)):
        print(len(batch), "new photos")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import loader

if TYPE_CHECKING:
    from .ending import ScanGuardError
    from .loader import (
        calculate_file_hash,
        is_valid_image_file,
        load_images_from_folder,
        look_in_batches,
        scan_images_recursively,
    )
    from .people.people import FaceRepository, PersonRepository
    from .repository import Duplicate, DuplicateRepository, Photo, PhotoRepository, open_library
    from .scan_stats import ScanStats

_HOME = {
    "Duplicate": "repository",
    "DuplicateRepository": "repository",
    "FaceRepository": "people.people",
    "PersonRepository": "people.people",
    "Photo": "repository",
    "PhotoRepository": "repository",
    "ScanGuardError": "ending",
    "ScanStats": "scan_stats",
    "calculate_file_hash": "loader",
    "is_valid_image_file": "loader",
    "load_images_from_folder": "loader",
    "look_in_batches": "loader",
    "open_library": "repository",
    "scan_images_recursively": "loader",
}

__all__ = [
    "Duplicate",
    "DuplicateRepository",
    "FaceRepository",
    "PersonRepository",
    "Photo",
    "PhotoRepository",
    "ScanGuardError",
    "ScanStats",
    "calculate_file_hash",
    "is_valid_image_file",
    "load_images_from_folder",
    "look_in_batches",
    "open_library",
    "scan_images_recursively",
]

__getattr__ = loader(__name__, _HOME)
