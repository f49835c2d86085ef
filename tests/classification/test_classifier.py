"""What a user gets from the classifier: the right kind, an honest confidence, working thresholds."""

from __future__ import annotations

import csv
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageOps

from batch_processing.classification.classifier import VERSION, ImageClassifier, ImageType
from batch_processing.exceptions import ClassificationError, ImageProcessingError, ValidationError
from shared_data import require_shared

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def drawing(fills: tuple[object, ...] = (WHITE,), ink: object = BLACK, paper: object = WHITE) -> Image.Image:
    """A page of four panels with a figure in each, filled from `fills` in turn, drawn in `ink`."""
    page = Image.new("RGB", (700, 1000), paper)
    draw = ImageDraw.Draw(page)
    for number in range(4):
        left, top = 30 + 330 * (number % 2), 30 + 480 * (number // 2)
        fill = [fills[(number + step) % len(fills)] for step in range(3)]
        draw.rectangle(
            (left, top, left + 310, top + 460),
            fill=fill[0] if len(fills) > 1 else paper,
            outline=ink,
            width=4,
        )
        draw.ellipse((left + 80, top + 60, left + 230, top + 230), fill=fill[1], outline=ink, width=3)
        draw.polygon(
            [(left + 60, top + 450), (left + 110, top + 240), (left + 210, top + 240), (left + 260, top + 450)],
            fill=fill[2], outline=ink, width=3,
        )  # fmt: skip
        for step in range(8):
            draw.line((left + 70, top + 20 + 5 * step, left + 240, top + 30 + 4 * step), fill=ink, width=2)
        draw.ellipse((left + 120, top + 120, left + 135, top + 140), fill=ink)
        draw.ellipse((left + 175, top + 120, left + 190, top + 140), fill=ink)
    return page


PALETTE = ((96, 160, 220), (240, 200, 150), (200, 50, 60), (80, 160, 90), (250, 220, 90))
PASTEL = tuple(tuple(255 - (255 - v) * 3 // 10 for v in color) for color in PALETTE)
GRAYS = ((210,) * 3, (160,) * 3, (90,) * 3, (235,) * 3)


def kind(image: Image.Image) -> ImageType:
    return ImageClassifier().classify_page(np.asarray(image.convert("RGB")))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def tinted(image: Image.Image, paper: tuple[int, int, int]) -> Image.Image:
    scale = np.array(paper, np.float32) / 255
    return Image.fromarray((np.asarray(image.convert("RGB")) * scale).astype(np.uint8))


def sloping_light(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    ramp = np.linspace(0, 1, pixels.shape[1])[None, :, None]
    lamp = np.array([1.0, 0.9, 0.72])
    return Image.fromarray((pixels * (1 - ramp * (1 - lamp)) * (0.75 + 0.25 * ramp)).astype(np.uint8))


def stamped(image: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    image = image.convert("RGB")
    width, height = image.size
    box = (0.7 * width, 0.04 * height, 0.84 * width, 0.07 * height)
    ImageDraw.Draw(image).rectangle(box, fill=color)
    return image


def one_figure() -> Image.Image:
    page = drawing()
    page.paste(drawing(PALETTE).crop((390, 540, 610, 980)), (390, 540))
    return page


def two_pencils() -> Image.Image:
    page = drawing(ink=(200, 60, 60))
    page.paste(drawing(ink=(60, 90, 200)).crop((0, 0, 350, 1000)), (0, 0))
    return page


def bordered() -> Image.Image:
    return ImageOps.expand(drawing(), 25, (40, 90, 190))


LINE_ART = {
    "ink": drawing,
    "gray wash": lambda: drawing(GRAYS),
    "sepia scan": lambda: tinted(drawing(GRAYS), (235, 210, 170)),
    "kraft paper": lambda: tinted(drawing(), (205, 165, 120)),
    "blue pencil": lambda: drawing(ink=(90, 130, 220)),
    "red and blue pencil": two_pencils,
    "stamp": lambda: stamped(drawing(), (200, 30, 40)),
    "stamp on yellow paper": lambda: stamped(tinted(drawing(), (245, 225, 180)), (40, 60, 200)),
    "warm uneven light": lambda: sloping_light(drawing()),
    "warm uneven light on gray wash": lambda: sloping_light(drawing(GRAYS)),
    "black page": lambda: ImageOps.invert(drawing()),
    "coloured border": bordered,
    "white image": lambda: Image.new("RGB", (500, 700), WHITE),
    "black image": lambda: Image.new("RGB", (500, 700), BLACK),
    "one pixel": lambda: Image.new("RGB", (1, 1), (255, 0, 0)),
    "poor JPEG": lambda: jpeg(drawing(GRAYS), 12),
}
COLORED = {
    "flats": lambda: drawing(PALETTE),
    "pastel": lambda: drawing(PASTEL),
    "one figure on white": one_figure,
    "night": lambda: Image.fromarray(
        (np.asarray(drawing(PALETTE)) * np.array([0.25, 0.3, 0.5])).astype(np.uint8)
    ),
    "flats on yellow paper": lambda: tinted(drawing(PALETTE), (245, 225, 180)),
    "flats in warm uneven light": lambda: sloping_light(drawing(PALETTE)),
    "poor JPEG": lambda: jpeg(drawing(PALETTE), 12),
    "small": lambda: drawing(PALETTE).resize((140, 200)),
    "huge": lambda: drawing(PALETTE).resize((4200, 6000), Image.Resampling.NEAREST),
}


@pytest.mark.parametrize("name", LINE_ART)
def test_line_art_is_told(name: str) -> None:
    assert kind(LINE_ART[name]()).type == "line_art"


@pytest.mark.parametrize("name", COLORED)
def test_color_is_told(name: str) -> None:
    assert kind(COLORED[name]()).type == "colored"


def test_a_clear_page_is_answered_with_confidence_and_a_single_pixel_is_not() -> None:
    assert kind(drawing()).confidence > 0.9
    assert kind(drawing(PALETTE)).confidence > 0.9
    assert kind(Image.new("RGB", (1, 1), (9, 99, 199))).confidence < 0.7


def test_the_user_is_asked_about_pages_of_one_strong_hue() -> None:
    blue = ImageOps.colorize(drawing(GRAYS).convert("L"), (20, 40, 120), (225, 235, 255))
    answer = kind(blue)
    assert answer.type == "line_art"
    assert answer.confidence < 0.7


def test_every_shared_page_is_right_and_duotones_are_asked_about() -> None:
    folder = require_shared("data", "comics", "classification")
    classifier = ImageClassifier()
    with (folder / "labels.csv").open(encoding="utf-8") as rows:
        labels = list(csv.DictReader(rows))
    wrong = []
    for row in labels:
        answer = classifier.classify(folder / row["file"])
        duotone = row["kind"].startswith("duotone")
        right = answer.type == ("colored" if row["label"] == "colour" else "line_art")
        if not right or (answer.confidence < 0.7) != duotone:
            wrong.append((row["file"], row["kind"], answer))
    assert len(labels) == 27
    assert wrong == []


def test_every_other_shared_page_is_right() -> None:
    comics = require_shared("data", "comics")
    pages = [(path, True) for path in comics.glob("peppercarrot/*.jpg")]
    pages += [(path, path.name != "page.png") for path in comics.glob("cobra/**/*.png")]
    pages += [
        (path, "ref_" in path.name or "_color" in path.name) for path in comics.glob("synthetic/**/*.[pj]*g")
    ]
    answers = ImageClassifier().classify_batch([path for path, _ in pages])
    wrong = [
        page for page, answer in zip(pages, answers, strict=True)
        if not isinstance(answer, ImageType) or (answer.type == "colored") != page[1]
    ]  # fmt: skip
    assert len(pages) > 40
    assert wrong == []


def variants(page: Image.Image, colored: bool, rng: np.random.Generator) -> list[tuple[str, Image.Image]]:
    """What the same page looks like on other paper, after another scanner, in another size or with a mark on it."""
    tint = (int(rng.integers(235, 256)), int(rng.integers(215, 240)), int(rng.integers(165, 215)))
    noise = np.clip(np.asarray(page) + rng.normal(0, 7, (*page.size[::-1], 3)), 0, 255).astype(np.uint8)
    scale = rng.uniform(0.35, 0.9)
    small = page.resize((int(page.width * scale), int(page.height * scale)))
    made = [
        ("paper", tinted(page, tint)),
        ("cool paper", tinted(page, (228, 240, 250))),
        ("poor JPEG", jpeg(page, int(rng.integers(10, 35)))),
        ("noise", Image.fromarray(noise)),
        ("scale", small),
        ("small poor JPEG on paper", jpeg(tinted(small, tint), 30)),
        ("uneven light", sloping_light(page)),
        ("turned", page.rotate(float(rng.uniform(-2, 2)), Image.Resampling.BICUBIC, fillcolor=WHITE)),
        ("stamp", stamped(page, (30, 70, 190))),
        ("palette", page.quantize(64).convert("RGB")),
    ]
    if not colored:
        ink = [int(v) for v in rng.permutation([40, 90, 200])]
        made.append(("pencil", ImageOps.colorize(page.convert("L"), tuple(ink), WHITE)))
    return made


def test_at_least_97_percent_of_300_variants_are_right() -> None:
    folder = require_shared("data", "comics", "classification")
    rng = np.random.default_rng(7)
    wrong, total = [], 0
    with (folder / "labels.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            colored = row["label"] == "colour"
            # A gray painting in coloured ink, or a duotone in another light, is a page of one hue: line art too.
            page = Image.open(folder / row["file"]).convert("RGB")
            for name, variant in variants(page, colored, rng):
                total += 1
                answer = kind(variant)
                if (answer.type == "colored") != colored:
                    wrong.append((row["file"], row["kind"], name, round(answer.confidence, 2)))
    print(f"{total - len(wrong)} of {total} right; wrong: {wrong}")
    assert total >= 280
    assert len(wrong) <= 0.03 * total, wrong


def test_files_of_every_mode_are_told(tmp_path: Path) -> None:
    line, flats = drawing(GRAYS), drawing(PALETTE)
    alpha = Image.merge("LA", (Image.new("L", line.size), ImageOps.invert(drawing().convert("L"))))
    files: dict[str, tuple[Image.Image, str]] = {
        "bilevel.png": (drawing().convert("1"), "line_art"),
        "gray.jpg": (line.convert("L"), "line_art"),
        "sixteen.png": (Image.fromarray(np.asarray(line.convert("L")).astype(np.uint16) * 257), "line_art"),
        "transparent.png": (alpha, "line_art"),
        "rgba.png": (flats.convert("RGBA"), "colored"),
        "palette.png": (flats.quantize(16), "colored"),
        "palette.gif": (flats.quantize(16), "colored"),
        "cmyk.tif": (flats.convert("CMYK"), "colored"),
        "cmyk.jpg": (flats.convert("CMYK"), "colored"),
        "flats.webp": (flats, "colored"),
    }
    for name, (image, _) in files.items():
        image.save(tmp_path / name)
    classifier = ImageClassifier()
    assert {name: classifier.classify(tmp_path / name).type for name in files} == {
        name: expected for name, (_, expected) in files.items()
    }


def test_an_answer_explains_itself_in_plain_numbers() -> None:
    answer = kind(drawing(PALETTE))
    assert {"saturation", "color_count", "edge_density"} <= set(answer.metrics)
    assert all(type(value) in {int, float} for value in answer.metrics.values())
    assert VERSION


def test_each_threshold_moves_the_answer() -> None:
    flats, pastel = (np.asarray(drawing(fills)) for fills in (PALETTE, PASTEL))
    stamped_line = np.asarray(stamped(drawing(), (200, 30, 40)))

    def odds(page: np.ndarray, **thresholds: float) -> float:
        answer = ImageClassifier(**thresholds).classify_page(page)  # type: ignore[arg-type]
        return answer.confidence if answer.type == "colored" else 1 - answer.confidence

    assert odds(flats, saturation_threshold=1.0) < 0.5 < odds(flats)
    assert odds(pastel, color_count_threshold=10_000_000) < 0.5 < odds(pastel)
    assert odds(stamped_line) < odds(stamped_line, color_count_threshold=1)
    assert odds(stamped_line) < odds(stamped_line, saturation_threshold=0.01)
    assert odds(pastel, edge_ratio_threshold=0.0) < odds(pastel) < odds(pastel, edge_ratio_threshold=1.0)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"saturation_threshold": -0.1},
        {"saturation_threshold": 1.5},
        {"saturation_threshold": float("nan")},
        {"saturation_threshold": "0.15"},
        {"color_count_threshold": 0},
        {"color_count_threshold": 10.5},
        {"color_count_threshold": True},
        {"edge_ratio_threshold": 2},
        {"edge_ratio_threshold": None},
    ],
)
def test_nonsense_thresholds_are_refused_by_name(nonsense: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(nonsense))):
        ImageClassifier(**nonsense)  # type: ignore[arg-type]


def test_all_wrong_thresholds_are_named_at_once() -> None:
    with pytest.raises(
        ValidationError, match=r"saturation_threshold.*edge_ratio_threshold.*color_count_threshold"
    ):
        ImageClassifier(-1, 0, 7)


def test_measures_of_simple_pictures() -> None:
    classifier = ImageClassifier()
    gray, red = np.full((20, 20, 3), 128, np.uint8), np.full((20, 20, 3), (255, 0, 0), np.uint8)
    assert classifier.analyze_color_saturation(gray) == 0.0
    assert classifier.analyze_color_saturation(red) == 1.0
    assert classifier.count_unique_colors(red) == 1
    assert classifier.count_unique_colors(np.concatenate([gray, red])) == 2
    assert classifier.calculate_edge_density(gray) == 0.0
    stripes = np.zeros((10, 10), np.uint8)
    stripes[:, ::2] = 255
    assert classifier.calculate_edge_density(stripes) == pytest.approx(0.9)
    clear = np.zeros((4, 4, 4), np.uint8)
    assert classifier.analyze_color_saturation(clear) == 0.0


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4)), "page.png"]
)
def test_what_is_no_page_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        ImageClassifier().classify_page(wrong)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_any_pixels_give_the_same_valid_answer_twice(pixels: np.ndarray) -> None:
    first, second = ImageClassifier().classify_page(pixels), ImageClassifier().classify_page(pixels.copy())
    assert first == second
    assert 0.5 <= first.confidence <= 1.0
    assert 0 <= first.metrics["saturation"] <= 1
    assert 1 <= first.metrics["color_count"] <= pixels.shape[0] * pixels.shape[1]
    assert 0 <= first.metrics["edge_density"] <= 1


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))))
def test_gray_pixels_are_always_line_art(pixels: np.ndarray) -> None:
    assert ImageClassifier().classify_page(pixels).type == "line_art"


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "page.bmp"  # all pages have the same size in bytes
    classifier = ImageClassifier()
    drawing().save(path)
    before = path.stat()
    assert classifier.classify(path).type == "line_art"
    drawing(PALETTE).save(tmp_path / "new.bmp")
    os.utime(tmp_path / "new.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new.bmp").replace(path)
    assert path.stat().st_size == before.st_size
    assert classifier.classify(path).type == "colored"


def test_a_caller_cannot_spoil_a_remembered_answer(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    drawing().save(path)
    classifier = ImageClassifier()
    classifier.classify(path).metrics.clear()
    again = classifier.classify(path)
    assert again.metrics
    classifier.clear_cache()
    assert classifier.classify(path) == again
    assert classifier.get_classification_confidence(path) == again.confidence


def test_an_unreadable_page_is_reported_in_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawing().save(tmp_path / "1.png")
    (tmp_path / "2.jpg").write_bytes(b"no picture")
    drawing(PALETTE).save(tmp_path / "4.png")
    paths = [str(tmp_path / name) for name in ("1.png", "2.jpg", "3.png", "4.png")]
    with caplog.at_level(logging.WARNING, logger="batch_processing"):
        first, broken, missing, last = ImageClassifier().classify_batch(paths)
    assert isinstance(first, ImageType)
    assert isinstance(last, ImageType)
    assert (first.type, last.type) == ("line_art", "colored")
    assert isinstance(broken, ClassificationError)
    assert isinstance(missing, ClassificationError)
    assert paths[1] in caplog.text
    assert paths[2] in caplog.text


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_an_unreadable_file_raises_an_error_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "page.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClassificationError, match=r"Error processing .*page\.jpg: ") as caught:
        ImageClassifier().classify(path)
    assert isinstance(caught.value, ImageProcessingError)
    assert caught.value.__cause__ is not None


def test_an_image_type_is_one_of_two_kinds_with_a_probability() -> None:
    assert ImageType("line_art", 0.5).metrics == {}
    with pytest.raises(ValueError, match="Invalid image_type"):
        ImageType("grey", 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="between 0 and 1"):
        ImageType("colored", float("nan"))


def test_importing_loads_no_heavy_library() -> None:
    code = (
        "import sys, batch_processing.classification.classifier\n"
        "print(sorted({'cv2', 'torch', 'gradio', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
