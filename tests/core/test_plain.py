"""Nouns become plain data and come back as they were, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from batch_processing.comics.model import Document, ImageFacts, ImageRequest, LearnedMemory
from batch_processing.core.plain import from_plain, to_plain


@pytest.mark.parametrize(
    "noun",
    [
        ImageFacts("PNG", 3, 4, "line_art", 0.5, {"color_count": 6, "saturation": 0.25}),
        Document("ora", "\udcff.ora", "record"),
        LearnedMemory(None, 3, wanted=True),
    ],
)
def test_they_come_back(noun: Any) -> None:
    again = from_plain(type(noun), to_plain(noun))
    assert again == noun
    assert repr(again) == repr(noun)  # 6 is no 6.0


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (ImageFacts, {"kind": "photo"}),
        (ImageFacts, {"width": "12"}),
        (ImageFacts, {"width": True}),
        (Document, {"kind": "svg", "target": "a", "record": "b"}),
        (Document, {"kind": "ora"}),
        (LearnedMemory, {"wanted": "false"}),
        (ImageRequest, {"output": 5}),
        (ImageRequest, None),
    ],
)
def test_what_is_none_is_refused(kind: type, plain: Any) -> None:
    with pytest.raises(ValueError, match=f"^no {kind.__name__}: "):
        from_plain(kind, plain)
