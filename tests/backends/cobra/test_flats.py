"""`--backend cobra --flats` through the whole engine, with a model whose painting is known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from command import lote

WIDTH, HEIGHT, PAGES = 480, 360, 3
COLORS = ((60, 160, 80), (70, 110, 200), (230, 150, 160))
CENTERS = ((100, 180), (240, 180), (380, 180))

# The three parts of a page, from the left, in the colours of the reference: soft, a little aside, and stained.
PAINTED = f"""
import pathlib
import cv2, numpy
from batch_processing.backends.base import Colored
from batch_processing.backends.cobra.backend import CobraBackend, CobraUnderway

def painting(page):
    rgb = numpy.full((*page.rgb.shape[:2], 3), 255, numpy.uint8)
    for number, color in enumerate({COLORS!r}):
        rgb[40:-40, 30 + 140 * number : 170 + 140 * number] = color
    cv2.circle(rgb, (160, 100), 30, {COLORS[2]!r}, -1)
    return numpy.roll(cv2.GaussianBlur(rgb, (0, 0), 4), 5, axis=1)

def paint(self, underway, progress):
    with (pathlib.Path(__file__).parent / "painted").open("a") as file:
        file.write("." * len(underway.jobs))
    progress(1, 2)

def finish(self, progress):
    return [Colored(painting(job.page), details={{"references": {{}}}}) for job in self.jobs]

CobraBackend.paint, CobraUnderway.finish = paint, finish
"""


def drawn(colors: tuple[tuple[int, int, int], ...] | None) -> NDArray[np.uint8]:
    page = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for number in range(3):
        left = 30 + 140 * number
        corners = (left, 40), (left + 140, HEIGHT - 40)
        if colors:
            cv2.rectangle(page, *corners, colors[number], -1)
    for number in range(3):
        left = 30 + 140 * number
        cv2.rectangle(page, (left, 40), (left + 140, HEIGHT - 40), (0, 0, 0), 3)
    return page


@pytest.fixture
def environment(small_model: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(PAINTED)
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]),
        "LOTE_COBRA_MODEL": str(small_model),
        "LOTE_COBRA_DEVICE": "cpu",
    }


def colors_of(path: Path) -> list[tuple[int, ...]]:
    page = np.asarray(Image.open(path).convert("RGB"))
    return [tuple(page[y, x].tolist()) for x, y in CENTERS]


def test_a_book_of_flats_that_the_model_coloured(environment: dict[str, str], tmp_path: Path) -> None:
    pages, references = tmp_path / "pages", tmp_path / "references"
    pages.mkdir()
    references.mkdir()
    for number in range(PAGES):
        page = drawn(None)
        page[345 : 345 + number] = 0
        Image.fromarray(page[..., 0]).save(pages / f"{number}.png")
    Image.fromarray(drawn(COLORS[::-1])).save(references / "sheet.png")
    words = (
        "colorize", pages, "-o", tmp_path / "out", "--references", references, "--backend", "cobra", "--flats",
        "--as-lineart", "*", "--layers", "psd", "--layers", "json", "--json",
    )  # fmt: skip
    done = lote(*words, workspace=tmp_path / "ws", **environment)
    assert done.code == 0, done.err
    assert done.summary["completed"] == PAGES
    ink = drawn(None).max(axis=2) == 0
    for number in range(PAGES):
        path = tmp_path / "out" / f"{number}.png"
        # The references alone would have it the other way round.
        assert colors_of(path) == list(COLORS)
        assert (np.asarray(Image.open(path).convert("RGB"))[ink] == 0).all()
        assert next(path.parent.rglob(f"{number}.psd")).stat().st_size > 1000
        regions = json.loads(next(path.parent.rglob(f"{number}.json")).read_text())["regions"]
        ids = {region["id"] for region in regions}
        assert len(ids) == len(COLORS) + 1
    painted = tmp_path / "hook" / "painted"
    assert painted.read_text() == "." * PAGES

    # Other colours for the ids: no page is painted again.
    (palette,) = tmp_path.glob("out/**/palette.json")
    said = json.loads(palette.read_text())
    assert {tuple(color["rgb"]) for color in said["colors"]} >= set(COLORS)
    for color in said["colors"]:
        if tuple(color["rgb"]) == COLORS[0]:
            color["rgb"] = [10, 20, 30]
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps(said))
    again = lote("recolor", "1", "--palette", mine, workspace=tmp_path / "ws", **environment)
    assert again.code == 0, again.err
    assert colors_of(tmp_path / "out" / "0.png") == [(10, 20, 30), *COLORS[1:]]
    assert painted.read_text() == "." * PAGES


def test_flats_of_the_backend_flats_need_no_model(tmp_path: Path) -> None:
    """The setting says what Cobra's pages are: where flats colours the pages, they are flats."""
    (tmp_path / "in").mkdir()
    Image.fromarray(drawn(None)[..., 0]).save(tmp_path / "in" / "page.png")
    Image.fromarray(drawn(COLORS)).save(tmp_path / "in" / "sheet.png")
    done = lote(
        "colorize",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--backend",
        "flats",
        "--flats",
        workspace=tmp_path / "ws",
    )
    assert done.code == 0, done.err
    assert colors_of(tmp_path / "out" / "page.png") == list(COLORS)
