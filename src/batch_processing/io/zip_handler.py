"""The documented spelling of the functions on archives; they live in `archives`, `publish` and `scan`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import scan
from .archives import cleanup_temp_directory, extract_zip_file, is_zip_file
from .publish import create_output_zip

__all__ = [
    "cleanup_temp_directory",
    "create_output_zip",
    "extract_zip_file",
    "is_zip_file",
    "separate_line_art_and_references",
]


def separate_line_art_and_references(
    paths: Iterable[str | Path], classifier: scan.Classifier | None = None
) -> tuple[list[str], list[str]]:
    """Line art and coloured references; `batch_processing.io` has the same with the classifier's findings."""
    return scan.separate_line_art_and_references(paths, classifier)[:2]
