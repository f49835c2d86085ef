"""`lote evaluate`: how near a coloured page is to the truth, on pages whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from batch_processing.backends.flats.color import to_lab
from batch_processing.comics.evaluation import ciede2000, evaluate
from batch_processing.exceptions import ImageProcessingError, ValidationError
from command import lote

SKY, GRASS, ROOF, WALL, DOOR = (150, 200, 240), (90, 170, 80), (200, 40, 50), (240, 220, 160), (70, 40, 120)


def drawn(path: Path, roof: Any = ROOF, door: Any = DOOR, size: tuple[int, int] = (500, 600)) -> Path:
    """A house whose roof and door may have other colours; of each colour one region."""
    image = Image.new("RGB", (500, 600), SKY)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 500, 499, 599), fill=GRASS, outline="black", width=5)
    draw.rectangle((100, 300, 350, 550), fill=WALL, outline="black", width=5)
    draw.polygon([(70, 300), (225, 120), (380, 300)], fill=roof, outline="black", width=5)
    draw.rectangle((200, 430, 250, 550), fill=door, outline="black", width=5)
    image.resize(size, Image.Resampling.NEAREST).save(path)
    return path


def test_a_page_that_is_right_is_wholly_right(tmp_path: Path) -> None:
    truth = drawn(tmp_path / "truth.png")
    scores, _sheet, painted = evaluate(truth, truth)
    assert not painted
    assert scores.regions == 5
    assert (scores.region_accuracy, scores.pixel_accuracy, scores.mean_iou) == (1, 1, 1)
    assert scores.pixel_accuracy_without_background == 1
    assert scores.median_delta_e_2000 == 0
    assert 0.9 < scores.share < 0.97


def test_errors_count_by_region_and_by_pixel(tmp_path: Path) -> None:
    """The roof is wrong; the door is paler, by less than anybody would redo it for."""
    page = drawn(tmp_path / "page.png", roof=GRASS, door=(74, 42, 124))
    scores, sheet, _painted = evaluate(page, drawn(tmp_path / "truth.png"))
    assert scores.region_accuracy == pytest.approx(4 / 5)
    roof = 155 * 180 / (500 * 600)
    assert scores.pixel_accuracy == pytest.approx(1 - roof, abs=0.02)
    # Of roof, wall and door the roof is a good third: sky and grass, the largest two, are background.
    assert scores.pixel_accuracy_without_background is not None
    assert scores.pixel_accuracy_without_background < 0.75
    # The roof has nothing, the grass is given too much.
    assert scores.mean_iou is not None
    assert 3 / 5 < scores.mean_iou < 4 / 5
    marked = (sheet == (255, 0, 255)).all(axis=2)
    assert sheet.shape == (600, 1000, 3)
    assert marked[200:280, 180:280].any()
    assert not marked[320:420, 120:330].any(), "the wall is right"
    assert not marked[:, 500:].any(), "the truth is beside it"


def test_a_truth_of_another_size_is_fitted_and_of_another_shape_refused(tmp_path: Path) -> None:
    page, larger = drawn(tmp_path / "page.png"), drawn(tmp_path / "larger.png", size=(1000, 1200))
    assert evaluate(page, larger)[0].pixel_accuracy > 0.99
    with pytest.raises(ValidationError, match="do not show the same page"):
        evaluate(page, drawn(tmp_path / "wide.png", size=(900, 600)))


def test_line_art_says_which_pixels_are_judged(tmp_path: Path) -> None:
    page = drawn(tmp_path / "page.png", roof=GRASS)
    line = Image.new("RGB", (500, 600), "white")
    ImageDraw.Draw(line).rectangle((0, 0, 499, 305), fill="black")  # all that is wrong lies under ink
    line.save(tmp_path / "line.png")
    scores, _sheet, _painted = evaluate(page, drawn(tmp_path / "truth.png"), tmp_path / "line.png")
    assert scores.pixel_accuracy > 0.99
    assert scores.share < 0.5


def test_a_painted_truth_is_judged_by_areas(tmp_path: Path) -> None:
    """A gradient has no colours of its own: a flat of its middle is right, another colour wrong."""
    ramp = np.linspace(-14, 14, 250)
    truth = np.zeros((300, 500, 3))
    truth[:, :250], truth[:, 250:] = (190, 150, 120), (70, 110, 180)
    truth += np.tile(ramp, 2).reshape(1, 500, 1)
    truth += np.random.default_rng(0).normal(0, 1.5, truth.shape)
    page = np.zeros_like(truth)
    page[:, :250], page[:, 250:] = (190, 150, 120), (200, 60, 60)
    for picture, name in ((truth, "truth"), (page, "page")):
        picture[:, 247:253] = picture[:4] = picture[-4:] = picture[:, :4] = picture[:, -4:] = 0
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    scores, _sheet, painted = evaluate(tmp_path / "page.png", tmp_path / "truth.png")
    assert painted
    assert scores.mean_iou is None
    assert 0.4 < scores.region_accuracy < 0.6
    assert 0.4 < scores.pixel_accuracy < 0.6


def test_a_blank_truth_and_what_is_no_picture_are_named(tmp_path: Path) -> None:
    page = drawn(tmp_path / "page.png")
    Image.new("RGB", (500, 600), "black").save(tmp_path / "black.png")
    with pytest.raises(ValidationError, match="no area between its lines"):
        evaluate(page, page, tmp_path / "black.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageProcessingError, match=r"text\.png"):
        evaluate(page, tmp_path / "text.png")


def test_the_command_prints_measures_and_writes_the_sheet(tmp_path: Path) -> None:
    page, truth = drawn(tmp_path / "page.png", roof=GRASS), drawn(tmp_path / "truth.png")
    done = lote("evaluate", page, "--truth", truth, "--sheet", tmp_path / "sheet.png", workspace=tmp_path)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("flat truth, 5 regions; 9")
    assert "regions right                      80.0%" in done.out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1000, 600)
    told = json.loads(lote("evaluate", page, "--truth", truth, "--json", workspace=tmp_path).out)
    assert told["event"] == "evaluation"
    assert told["region_accuracy"] == pytest.approx(0.8)
    refused = lote("evaluate", page, "--truth", truth, "--sheet", truth, workspace=tmp_path)
    assert refused.code == 2
    assert "--sheet would replace" in refused.err


def test_delta_e_2000_gives_the_published_values() -> None:
    """Pairs 1, 7, 11, 15 and 25 of the test data of Sharma, Wu and Dalal (2005)."""
    pairs = np.array([
        [50.0, 2.6772, -79.7751, 50.0, 0.0, -82.7485, 2.0425],
        [50.0, 0.0, 0.0, 50.0, -1.0, 2.0, 2.3669],
        [50.0, 2.49, -0.001, 50.0, -2.49, 0.0011, 7.2195],
        [50.0, -0.001, 2.49, 50.0, 0.0011, -2.49, 4.7461],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
    ])  # fmt: skip
    assert ciede2000(pairs[:, :3], pairs[:, 3:6]) == pytest.approx(pairs[:, 6], abs=1e-3)
    assert ciede2000(to_lab(np.array([SKY])), to_lab(np.array([SKY]))) == pytest.approx([0])
