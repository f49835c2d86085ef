"""The counts of `lote photos stats`, where photos are missing."""

from __future__ import annotations

from pathlib import Path

from batch_processing.photos.audit import statistics
from batch_processing.photos.store import Store
from drawn_photos import jpeg, scene
from photos_help import Library, write


def test_a_content_counts_as_long_as_one_photo_of_it_is_there(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    sizes = {}
    for name, number in (("a", 1), ("copy of a", 1), ("b", 2), ("c", 3), ("copy of c", 3)):
        sizes[name] = write(root / f"{name}.jpg", jpeg(scene(number, 60, 40))).stat().st_size
    with Library(tmp_path / "photos.db") as library:
        library.scan(root)
        stats = statistics(Store(library.database))
        assert (stats.photos, stats.contents, stats.duplicates, stats.missing) == (5, 3, 2, 0)
        assert stats.bytes == sum(sizes.values())
        for name in ("copy of a", "b", "c", "copy of c"):
            (root / f"{name}.jpg").unlink()
        library.scan(root)
        stats = statistics(Store(library.database))
        assert (stats.photos, stats.contents, stats.missing) == (1, 1, 4)
        assert stats.bytes == sizes["a"]
        assert stats.extensions[".jpg"].photos == 1
