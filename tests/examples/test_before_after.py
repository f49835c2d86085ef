"""The README's picture: both pages whole, side by side, small enough to load at once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def test_the_picture_shows_the_page_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from examples.before_after import compose
    from examples.sample_chapter import draw_chapter

    page = draw_chapter().pages[4]  # the one with screentone: the largest file
    before, after, out = tmp_path / "before.png", tmp_path / "after.png", tmp_path / "new" / "both.png"
    Image.fromarray(page.line_art()).save(before)
    Image.fromarray(page.truth()).save(after)
    compose(before, after, out)

    assert out.stat().st_size < 400 << 10
    with Image.open(out) as image:
        assert image.size == (636 + 24 + 636, 900)
        shown = np.asarray(image.convert("RGB"), np.int16)
    for left, original in ((0, before), (660, after)):
        with Image.open(original) as whole:
            expected = np.asarray(whole.convert("RGB").resize((636, 900), Image.Resampling.LANCZOS), np.int16)
        assert np.abs(shown[:, left : left + 636] - expected).mean() < 3  # what a palette costs, and no more


def test_a_page_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from examples import before_after

    monkeypatch.setattr(sys, "argv", ["before_after.py", str(tmp_path / "out.png"), "--page", "9"])
    with pytest.raises(SystemExit) as refused:
        before_after.main()
    assert refused.value.code == 2
    assert "between 1 and 8" in capsys.readouterr().err
