"""The sample book that comes with Lote: eight pages, a cover and two references, drawn for it."""

from __future__ import annotations

import zipfile
from pathlib import Path

SAMPLE = Path(__file__).parent / "web" / "sample" / "the-runaway-kite.cbz"
"""As `examples/sample_chapter.py --small` draws it."""


def sample_page(folder: Path) -> tuple[Path, Path]:
    """A line-art page of it and a reference for that, unpacked into a folder."""
    with zipfile.ZipFile(SAMPLE) as book:
        page, reference = (
            Path(book.extract(name, folder)) for name in ("page_01.webp", "references/cast.webp")
        )
    return page, reference
