"""Is a page line art, or is it coloured?"""

from __future__ import annotations

from .classifier import ImageClassifier, ImageType

__all__ = ["ImageClassifier", "ImageType"]
