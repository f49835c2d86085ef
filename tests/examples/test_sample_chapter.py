"""The sample chapter a newcomer gets: a readable CBZ, the same bytes every time, and colourable by flats."""

from __future__ import annotations

import hashlib
import importlib
import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from PIL import Image

import batch_processing
from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.comics.evaluation import Truth, compare, off_the_ink
from batch_processing.io.images import Page

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "sample_chapter.py"
SAMPLE = Path(batch_processing.__file__).parent / "ui" / "web" / "sample" / "the-runaway-kite.cbz"
PAGES = [f"page_{i:02}.png" for i in range(1, 9)]
COLORED = ["cover.png", "references/cast.png", "references/places.png"]


@dataclass
class Made:
    archive: Path
    truth: Path
    said: str

    def picture(self, name: str) -> np.ndarray:
        with zipfile.ZipFile(self.archive) as book, Image.open(io.BytesIO(book.read(name))) as image:
            return np.asarray(image)

    def true(self, name: str) -> np.ndarray:
        with Image.open(self.truth / name) as image:
            return np.asarray(image)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("chapter")
    archive, truth = folder / "new" / "chapter.cbz", folder / "truth"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(archive), "--truth", str(truth)],
        cwd=folder, capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    return Made(archive, truth, done.stdout)


def packed(rgb: np.ndarray) -> np.ndarray:
    r, g, b = (rgb[..., i].astype(np.int64) for i in range(3))
    return (r << 16) | (g << 8) | b


def flat_colors(rgb: np.ndarray, side: int = 9) -> set[int]:
    """Colours of whole squares, `side` pixels wide: a flat has such squares, a blend at an edge or a dot of tone does not."""
    codes = packed(rgb)
    size = np.ones((side, side), np.uint8)
    same = np.ones(codes.shape, bool)
    for channel in np.moveaxis(rgb, 2, 0):
        same &= cv2.dilate(channel, size) == cv2.erode(channel, size)
    return set(np.unique(codes[same]).tolist())


def test_the_archive_holds_a_cover_the_pages_the_references_and_their_description(made: Made) -> None:
    with zipfile.ZipFile(made.archive) as book:
        assert book.testzip() is None
        assert book.namelist() == ["ComicInfo.xml", "cover.png", *PAGES, *COLORED[1:]]
        info = ET.fromstring(book.read("ComicInfo.xml"))  # noqa: S314  # our own archive, made just now
    assert info.findtext("Title") == "The Runaway Kite"
    assert info.findtext("BlackAndWhite") == "Yes"
    assert info.findtext("PageCount") == "11"
    assert [p.get("Type") for p in info.iter("Page")] == ["FrontCover", *["Story"] * 8, *["Other"] * 2]
    assert "8 pages" in made.said
    assert sorted(p.name for p in made.truth.iterdir()) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_ink_on_paper_and_its_truth_is_the_same_ink_over_flats(made: Made, name: str) -> None:
    line, truth = made.picture(name), made.true(name)
    assert line.shape == (1754, 1240)
    assert truth.shape == (1754, 1240, 3)
    assert (line > 250).mean() > 0.6  # line art: mostly paper
    assert 0.03 < (line < 60).mean() < 0.25  # drawn, and not by spilling the ink
    brightest = truth.max(axis=2)
    assert (brightest[line < 40] < 60).all()  # every stroke of the line art is in the truth
    assert (line[brightest < 40] < 100).all()  # and the truth has no others
    assert len(flat_colors(truth)) >= 5


def test_line_art_and_colored_pictures_can_be_told_apart(made: Made) -> None:
    for name in PAGES:
        assert made.picture(name).ndim == 2
    for name in COLORED:
        saturation = cv2.cvtColor(made.picture(name), cv2.COLOR_RGB2HSV)[..., 1]
        assert (saturation > 40).mean() > 0.2, name


def test_every_flat_of_the_pages_stands_in_the_cover_or_a_reference(made: Made) -> None:
    known = set().union(*(flat_colors(made.picture(name), 5) for name in COLORED))
    for name in PAGES:
        missing = {f"{code:06x}" for code in flat_colors(made.true(name)) - known}
        assert not missing, f"{name}: {missing} is in no reference"


@pytest.mark.parametrize("name", PAGES)
def test_ink_encloses_the_flats(made: Made, name: str) -> None:
    """Filling each region that the ink encloses with its main colour gives nearly the whole truth.

    The gaps that remain are the natural ones, between a sleeve and a coat of one colour."""
    line, codes = made.picture(name), packed(made.true(name))
    count, region = cv2.connectedComponents((line > 128).astype(np.uint8), connectivity=4)
    paper = line > 250
    right = 0
    order = np.argsort(region[paper], kind="stable")
    labels, colors = region[paper][order], codes[paper][order]
    for group in np.split(colors, np.flatnonzero(np.diff(labels)) + 1):
        right += int(np.unique(group, return_counts=True)[1].max())
    assert count > 100
    assert right / paper.sum() > 0.985


def chapter() -> Any:
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("examples.sample_chapter").draw_chapter()
    finally:
        sys.path.remove(str(ROOT))


def test_flats_colours_it_from_its_references(made: Made, tmp_path: Path) -> None:
    """Not as well as wanted: docs/flats.md has the figure. With this test it does not become worse unnoticed."""
    references = []
    for name in COLORED:
        path = tmp_path / Path(name).name
        Image.fromarray(made.picture(name)).save(path)
        references.append(Reference(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    backend = FlatsBackend()
    backend.prepare(references, tmp_path / "learned.npz", PageSettings(), lambda done, total: None)
    backend.load(tmp_path / "learned.npz")
    pixels, regions = [], []
    for name in PAGES:
        line = np.repeat(made.picture(name)[..., None], 3, axis=2)
        page = Page(line, True, 8, None, None, "L")
        flat = Flatted.of_bytes(
            backend.color(page, PageSettings(style="line"), None, lambda done, total: None).state
        )
        truth = Truth.flat(made.true(name), off_the_ink(line))
        scores = compare(flat.rgb[flat.color][flat.labels - 1], truth)[0]
        pixels.append(scores.pixel_accuracy)
        regions.append(scores.region_accuracy)
    assert np.mean(pixels) > 0.82
    assert np.mean(regions) > 0.65


def test_the_same_bytes_every_time(made: Made) -> None:
    again = dict(chapter().members())
    with zipfile.ZipFile(made.archive) as book:
        assert list(again) == book.namelist()
        for member in book.infolist():
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert again[member.filename] == book.read(member), member.filename


def test_what_the_web_page_brings_is_what_the_script_draws() -> None:
    drawn = chapter()
    known = {
        drawing.name.replace(".png", ".webp"): drawing
        for drawing in (drawn.cover, *drawn.pages, *drawn.references)
    }
    with zipfile.ZipFile(SAMPLE) as book:
        assert book.namelist() == ["ComicInfo.xml", *known]
        for name, drawing in known.items():
            with Image.open(io.BytesIO(book.read(name))) as image:
                brought = np.asarray(image)
            if drawing in drawn.pages:
                assert (brought == drawing.line_art()[..., None]).all(), name
            else:
                assert (brought == drawing.truth()).all(), name
    assert SAMPLE.stat().st_size < 2_000_000


def test_no_drawing_touches_the_edge_of_its_page(made: Made) -> None:
    for name in PAGES:
        margin = made.picture(name).copy()
        margin[40:-40, 40:-40] = 255
        assert (margin == 255).all(), name


def test_a_missing_name_is_asked_for() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "OUT.cbz" in done.stderr
