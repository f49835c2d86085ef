"""`app.image.loader`: the photo functions under the name that older programs import.

There is no `__init__.py` in `app` or `app/image`, so that another package's `app` stays importable beside it.
"""

from batch_processing.photos.loader import (
    calculate_file_hash,
    is_valid_image_file,
    load_images_from_folder,
    scan_images_recursively,
)

__all__ = ["calculate_file_hash", "is_valid_image_file", "load_images_from_folder", "scan_images_recursively"]
