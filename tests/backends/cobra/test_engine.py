"""`--backend cobra` through the whole engine: a worker process, the small networks, files in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backends.cobra.test_backend import coloured_reference, drawn_page
from batch_processing import colorize_comic


@pytest.mark.slow
def test_a_folder_of_pages_is_coloured(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(small_model))
    monkeypatch.setenv("LOTE_COBRA_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pages, references = tmp_path / "pages", tmp_path / "references"
    pages.mkdir()
    references.mkdir()
    coloured_reference(references, 0)
    for name in ("p1", "p2"):
        Image.fromarray(drawn_page(128, 192).rgb).save(pages / f"{name}.png")
    # The same page twice; the second with a hint.
    hint = Image.new("RGBA", (128, 192))
    hint.paste((255, 0, 0, 255), (30, 30, 90, 90))
    hint.save(pages / "p2.hints.png")
    settings = {"backend": "cobra", "num_inference_steps": 2, "as_lineart": ["*.png"]}
    result = colorize_comic(
        pages, tmp_path / "out", references=[references], config=settings, workspace=tmp_path / "workspace"
    )
    assert (result.state, result.completed, result.failures) == ("done", 2, [])
    plain, hinted = (np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in ("p1", "p2"))
    assert plain.shape == hinted.shape == (192, 128, 3)
    assert not np.array_equal(plain, hinted)
