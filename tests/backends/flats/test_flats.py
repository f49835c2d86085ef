"""What a colourist gets from the flats backend: pages, regions, files; on drawings made here."""

from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.backends.base import PageSettings, PaletteColor, Reference
from batch_processing.backends.cobra.flats import CobraFlatsBackend
from batch_processing.backends.flats import FlatsBackend, describe, ink, regions, structure
from batch_processing.backends.flats.arrays import packed, unpacked
from batch_processing.exceptions import Cancelled, ImageProcessingError
from batch_processing.io.images import Page, decode
from shared_data import require_shared

RED, BLUE, YELLOW, GREEN = (192, 57, 43), (46, 109, 180), (246, 226, 122), (62, 172, 44)
LINE = PageSettings(style="line")


def quiet(done: int, total: int) -> None:
    pass


def page(gray: Any) -> Page:
    """A gray page as `decode` gives it."""
    gray = np.asarray(gray, np.uint8)
    return Page(np.repeat(gray[..., None], 3, axis=2), True, 8, None, None, "L")


def house(colored: bool, shift: int = 0) -> Any:
    """A drawn panel: sun, house with door, ground. As line art, or with its colours."""
    picture = np.full((420, 560, 3), 255, np.uint8)

    def shape(points: Any, color: Any) -> None:
        at = np.array(points, np.int32) + np.array([shift, 0])
        if colored:
            cv2.fillPoly(picture, [at], color)
        else:
            cv2.fillPoly(picture, [at], (255, 255, 255))
        cv2.polylines(picture, [at], True, (0, 0, 0), 4)

    shape([(30 - shift, 30), (530 - shift, 30), (530 - shift, 390), (30 - shift, 390)], BLUE)
    shape([(30 - shift, 300), (530 - shift, 300), (530 - shift, 390), (30 - shift, 390)], GREEN)
    shape([(180, 180), (340, 180), (340, 340), (180, 340)], RED)
    shape([(160, 180), (260, 90), (360, 180)], (120, 60, 20))
    shape([(235, 250), (285, 250), (285, 340), (235, 340)], YELLOW)
    return picture


@pytest.fixture
def references(tmp_path: Path) -> list[Reference]:
    found = []
    for number, shift in enumerate((0, 40)):
        path = tmp_path / f"ref{number}.png"
        Image.fromarray(house(True, shift)).save(path)
        found.append(Reference(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    return found


@pytest.fixture
def backend(references: list[Reference], tmp_path: Path) -> FlatsBackend:
    made = FlatsBackend()
    made.prepare(references, tmp_path / "learned.npz", PageSettings(), quiet)
    made.load(tmp_path / "learned.npz")
    return made


def at(rgb: Any, x: int, y: int) -> tuple[int, ...]:
    return tuple(int(v) for v in rgb[y, x])


def test_things_get_the_colors_they_have_in_the_references(backend: FlatsBackend) -> None:
    drawn = page(house(False, 20)[..., 0])
    done = backend.color(drawn, LINE, None, quiet)
    assert done.rgb.shape == drawn.rgb.shape
    assert at(done.rgb, 220, 210) == RED
    assert at(done.rgb, 280, 300) == YELLOW
    assert at(done.rgb, 80, 100) == BLUE
    assert at(done.rgb, 80, 350) == GREEN
    assert at(done.rgb, 10, 10) == (255, 255, 255)
    assert 0.3 < done.confidence <= 1


def test_a_line_alone_has_no_gutters_beside_it(backend: FlatsBackend) -> None:
    gray = np.full((800, 1000), 255, np.uint8)
    cv2.line(gray, (0, 500), (999, 503), 0, 3)
    done = backend.color(page(gray), LINE, None, quiet)
    assert [region["why"] for region in done.details["regions"]] == ["reference", "reference"]
    # What it is the line alone does not tell; paper it is not, on either side.
    assert at(done.rgb, 500, 200) != (255, 255, 255)
    assert at(done.rgb, 500, 700) == GREEN


def test_panels_without_frames_are_found_on_a_page_with_the_edge_of_its_scan(backend: FlatsBackend) -> None:
    gray = np.full((800, 600), 255, np.uint8)
    grain = np.random.default_rng(5).integers(150, 255, gray.shape)
    for top, bottom in ((30, 390), (410, 770)):
        gray[top:bottom, 30:570] = grain[top:bottom, 30:570]
        gray[bottom - 6 : bottom - 3] = 255
    gray[:2] = 200
    done = backend.color(page(gray), LINE, None, quiet)
    assert {region["panel"] for region in done.details["regions"]} == {-1, 0, 1}
    assert at(done.rgb, 300, 15) == at(done.rgb, 300, 400) == at(done.rgb, 15, 300) == (255, 255, 255)


def test_a_mirrored_drawing_gets_the_same_colors(backend: FlatsBackend) -> None:
    done = backend.color(page(house(False, 20)[:, ::-1, 0]), LINE, None, quiet)
    assert at(done.rgb, 559 - 220, 210) == RED
    assert at(done.rgb, 559 - 280, 300) == YELLOW
    assert at(done.rgb, 559 - 80, 350) == GREEN


def test_the_white_of_a_model_sheet_is_no_sky(references: list[Reference], tmp_path: Path) -> None:
    sheet = np.full((420, 560, 3), 255, np.uint8)
    sheet[150:370, 150:390] = house(True)[150:370, 150:390]
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    made = FlatsBackend()
    every = [*references[:1], Reference(tmp_path / "sheet.png", "")]
    made.prepare(every, tmp_path / "learned.npz", PageSettings(), quiet)
    made.load(tmp_path / "learned.npz")
    bare = house(False, 20)[..., 0]
    bare[170:345, 150:390] = 255
    done = made.color(page(bare), LINE, None, quiet)
    sky = at(done.rgb, 80, 60)
    assert sky in (BLUE, GREEN)  # without the house it runs into the ground
    assert at(done.rgb, 270, 250) == sky


@pytest.mark.parametrize("line", [False, True])
def test_a_shadow_is_its_base_and_what_a_line_parts_is_not(tmp_path: Path, line: bool) -> None:
    dark = (150, 40, 27)
    every = []
    for number, shift in enumerate((0, 40)):
        picture = house(True, shift)
        wall = picture[183:337, 228 + shift : 337 + shift]  # the larger part of it lies in shadow
        wall[(wall == RED).all(axis=2)] = dark
        if line:
            cv2.line(picture, (228 + shift, 180), (228 + shift, 340), (0, 0, 0), 4)
        Image.fromarray(picture).save(tmp_path / f"cel{number}.png")
        every.append(Reference(tmp_path / f"cel{number}.png", ""))
    made = FlatsBackend()
    made.prepare(every, tmp_path / "learned.npz", PageSettings(), quiet)
    made.load(tmp_path / "learned.npz")
    gray = house(False, 20)[..., 0].copy()
    if line:
        cv2.line(gray, (248, 180), (248, 340), 0, 4)
    done = made.color(page(gray), LINE, None, quiet)
    assert at(done.rgb, 215, 210) == RED
    assert at(done.rgb, 340, 260) == (dark if line else RED)
    assert (list(dark) in [color["rgb"] for color in done.details["palette"]]) == line


def test_a_color_that_is_also_seen_alone_is_no_shadow(tmp_path: Path) -> None:
    """Two skins met without a line in two pictures, and were one from then on."""
    dark = (150, 40, 27)
    every = []
    for number, halves in enumerate((True, True, False)):
        picture = np.full((420, 560, 3), BLUE, np.uint8)
        boxes = [((100, 100), (200, 300), RED), ((200, 100), (300, 300), dark)]
        if not halves:
            boxes = [((100, 100), (200, 300), RED), ((300, 100), (400, 180), dark)]
        for first, last, color in boxes:
            cv2.rectangle(picture, first, last, color, -1)
        around = [((100, 100), (300, 300))] if halves else [box[:2] for box in boxes]
        for first, last in [*around, ((10, 10), (550, 410))]:
            cv2.rectangle(picture, first, last, (0, 0, 0), 4)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        every.append(Reference(tmp_path / f"{number}.png", ""))
    made = FlatsBackend()
    made.prepare(every, tmp_path / "learned.npz", PageSettings(), quiet)
    made.load(tmp_path / "learned.npz")
    assert {RED, dark} <= set(made.hint_colors().values())


FACES = {
    "open eyes": (("ring", 40, 60, 12, 9), ("ring", 100, 60, 12, 9), ("ring", 70, 105, 22, 9)),
    "closed eyes": (("arc", 40, 60, 14, 10), ("arc", 100, 60, 14, 10), ("arc", 70, 100, 20, 10)),
    "a nose too": (
        ("ring", 40, 60, 12, 9),
        ("ring", 100, 60, 12, 9),
        ("arc", 70, 80, 8, 7),
        ("ring", 70, 105, 22, 9),
    ),
    "windows": tuple(("pane", x, y, 9, 12) for y in (45, 95) for x in (35, 70, 105)),
}


@pytest.mark.parametrize("drawn", FACES)
def test_faces_and_houses_hold_no_letters(drawn: str) -> None:
    """Eyes and a mouth, or the panes of windows, once read as letters, and whole faces stayed white."""
    page = np.full((1400, 1000), 255, np.uint8)
    cv2.rectangle(page, (100, 100), (240, 240), 0, 3)
    for kind, x, y, wide, high in FACES[drawn]:
        middle = (100 + x, 100 + y)
        if kind == "pane":
            box = (middle[0] - wide, middle[1] - high), (middle[0] + wide, middle[1] + high)
            cv2.rectangle(page, *box, 0, 3)
        else:
            cv2.ellipse(page, middle, (wide, high), 0, 180 if kind == "arc" else 0, 360, 0, 3, cv2.LINE_AA)
    drawing = ink.find(np.repeat(page[..., None], 3, axis=2))
    labels = regions.segment(drawing)
    found = structure.find(labels, drawing, describe.shapes(labels))
    assert not found.balloon[labels[110, 110] - 1]


@pytest.mark.parametrize("text", ["Oh no...", "WHY?", "Look there!", "NO", "Wait... what?!"])
def test_short_words_make_a_balloon(text: str) -> None:
    page = np.full((1400, 1000), 255, np.uint8)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.8, 2)
    cv2.ellipse(page, (200, 200), (30 + wide // 2, 30), 0, 0, 360, 0, 3, cv2.LINE_AA)
    cv2.putText(
        page, text, (200 - wide // 2, 200 + high // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2, cv2.LINE_AA
    )
    drawing = ink.find(np.repeat(page[..., None], 3, axis=2))
    labels = regions.segment(drawing)
    found = structure.find(labels, drawing, describe.shapes(labels))
    assert found.balloon[labels[176, 200] - 1]


@pytest.mark.parametrize("drawn", ["curls", "letters"])
def test_letters_make_a_balloon_and_curls_do_not(backend: FlatsBackend, drawn: str) -> None:
    gray = house(False)[..., 0].copy()
    for x in range(60, 160, 20):
        if drawn == "curls":
            cv2.ellipse(gray, (x, 90), (7, 8), 0, 150, 350, 0, 2)
        else:
            cv2.putText(gray, "HEARS"[x // 20 - 3], (x, 98), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 2)
    cv2.ellipse(gray, (108, 90), (70, 34), 0, 0, 360, 0, 3)
    done = backend.color(page(gray), LINE, None, quiet)
    assert (at(done.rgb, 108, 70) == (255, 255, 255)) == (drawn == "letters")


@pytest.mark.parametrize("drawn", ["loaves", "ZINZLN", "NZIN", "turned"])
def test_outlined_letters_stay_paper_and_what_stands_in_a_row_does_not(
    backend: FlatsBackend, drawn: str
) -> None:
    gray = house(False)[..., 0].copy()
    inside = np.zeros_like(gray)
    strokes = {
        "Z": [(0, 0), (28, 0), (0, 40), (28, 40)],
        "N": [(0, 40), (0, 0), (28, 40), (28, 0)],
        "L": [(0, 0), (0, 40), (24, 40)],
        "I": [(12, 0), (12, 40)],
    }
    turned = drawn == "turned"
    for number, letter in enumerate(drawn if drawn in {"ZINZLN", "NZIN"} else "NZIZLN"):
        corner = np.array([48 + 40 * number, 45])
        for picture, tone, width in ((gray, 0, 13), (gray, 255, 7), (inside, 1, 5)):
            if drawn != "loaves":
                points = np.array(strokes[letter], np.int32) + corner
                if turned:  # lying on its side, as a word that runs downwards
                    points = points[:, ::-1] * (-1, 1) + (490, 10)
                cv2.polylines(picture, [points], False, tone, width)
            else:
                cv2.ellipse(
                    picture, (corner + 16).tolist(), (14 + width // 2, 8 + width // 2), 0, 0, 360, tone, -1
                )
    done = backend.color(page(gray), LINE, None, quiet)
    white = (done.rgb[inside > 0] == 255).all(axis=1).mean()
    assert white < 0.5 if drawn == "loaves" else white == 1
    # A sky full of loaves, which no reference shows, may be taken for something else, but not for paper.
    sky = at(done.rgb, 500, 100)
    assert sky != (255, 255, 255) if drawn == "loaves" else sky == BLUE


def test_walls_around_doors_are_no_letters(backend: FlatsBackend) -> None:
    """They turn as letters do, but are thick above and thin beside the door."""
    gray = house(False)[..., 0].copy()
    for x in range(40, 216, 44):
        cv2.rectangle(gray, (x, 60), (x + 36, 110), 0, 3)
        cv2.rectangle(gray, (x + 10, 75), (x + 26, 110), 0, 3)
    done = backend.color(page(gray), LINE, None, quiet)
    assert all(at(done.rgb, x + 18, 68) != (255, 255, 255) for x in range(40, 216, 44))


@pytest.mark.parametrize("style", ["line", "line + shadow"])
def test_line_pixels_stay_bit_for_bit_where_they_are_not_lighter_than_their_flat(
    backend: FlatsBackend, style: Any
) -> None:
    rng = np.random.default_rng(3)
    gray = house(False)[..., 0].astype(np.int16)
    gray = np.where(gray == 0, rng.integers(0, 90, gray.shape), gray).astype(np.uint8)
    done = backend.color(page(gray), PageSettings(style=style, layers=True), None, quiet)
    line = gray < 90
    flats = done.layers[0].pixels[..., :3][line]  # type: ignore[index]
    own = np.repeat(gray[line][:, None], 3, axis=1)
    kept = (own <= flats).all(axis=1)
    assert 0.1 < kept.mean() < 1
    assert (done.rgb[line][kept] == own[kept]).all()
    assert (done.rgb[line][~kept] == np.rint(flats[~kept] * (own[~kept] / 255))).all()


@pytest.mark.parametrize("style", ["line", "line + shadow"])
def test_no_gray_dots_stand_around_what_is_dark(backend: FlatsBackend, style: Any) -> None:
    """Soft ink that is not quite black, on dark flats: nothing of the page is lighter than the flat below it."""
    gray = np.clip(cv2.GaussianBlur(house(False, 20)[..., 0], (0, 0), 1.2).astype(int), 26, 255)
    dark = {
        color["id"]: (74, 48, 42) for color in details_of(backend)["palette"] if color["rgb"] != [255] * 3
    }
    first = backend.color(page(gray), PageSettings(style=style, layers=True), None, quiet)
    done = backend.recolor(page(gray), first.state, dark, PageSettings(style=style, layers=True))
    flats = done.layers[0].pixels[..., :3]  # type: ignore[index]
    assert ((flats == (74, 48, 42)).all(axis=2) & (gray > 60) & (gray < 128)).sum() > 500
    assert (done.rgb <= flats).all()


def details_of(backend: FlatsBackend) -> dict[str, Any]:
    return backend.color(page(house(False, 20)[..., 0]), LINE, None, quiet).details


def test_the_same_bytes_on_each_run(references: list[Reference], tmp_path: Path) -> None:
    drawn = page(house(False)[..., 0])
    results = []
    for run in range(2):
        backend = FlatsBackend()
        artefact = tmp_path / f"{run}.npz"
        backend.prepare(references, artefact, PageSettings(seed=run), quiet)
        backend.load(artefact)
        done = backend.color(drawn, LINE, None, quiet)
        results.append((artefact.read_bytes(), done.rgb.tobytes(), json.dumps(done.details), done.state))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", [FlatsBackend, CobraFlatsBackend])
def test_references_that_are_learned_in_rounds_teach_the_same(
    kind: type[FlatsBackend], references: list[Reference], tmp_path: Path
) -> None:
    Image.new("RGB", (300, 200), "white").save(tmp_path / "blank.png")  # which teaches nothing
    every = [*references, Reference(tmp_path / "blank.png", "")]
    kind().prepare(every, tmp_path / "at once", PageSettings(), quiet)
    own: list[list[Path]] = [[] for _ in every]
    made: Path | None = None
    for number in range(kind.rounds):
        common, made = made, tmp_path / f"{number}"
        files = [tmp_path / f"{number} {place}" for place in range(len(every))]
        for place in reversed(range(len(every))):  # in any order, each in a process of its own
            kind().study(number, every[place], own[place], common, files[place])
            own[place].append(files[place])
        kind().agree(number, every, files, common, made)
    assert made is not None
    assert made.read_bytes() == (tmp_path / "at once").read_bytes()


def test_details_carry_palette_review_list_and_regions(backend: FlatsBackend) -> None:
    done = backend.color(page(house(False)[..., 0]), LINE, None, quiet)
    details = json.loads(json.dumps(done.details))
    colors = {entry["id"]: tuple(entry["rgb"]) for entry in details["palette"]}
    assert RED in colors.values()
    for region in details["regions"]:
        x0, y0, x1, y1 = region["box"]
        assert 0 <= x0 < x1 <= 560
        assert 0 <= y0 < y1 <= 420
        assert region["id"] in colors
        assert 0 <= region["confidence"] <= 1


def test_the_review_list_begins_with_what_is_large_and_doubtful(backend: FlatsBackend) -> None:
    drawn = house(False)[..., 0].copy()
    cv2.circle(drawn, (440, 150), 60, 0, 3)  # in no reference
    cv2.circle(drawn, (60, 380), 3, 0, 2)  # nobody would look at this
    review = backend.color(page(drawn), LINE, None, quiet).details["review"]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (entry["box"] for entry in review)]
    assert review
    assert [entry["doubt"] for entry in review] == sorted((entry["doubt"] for entry in review), reverse=True)
    assert min(areas) > 64
    assert all(entry["confidence"] < 0.75 for entry in review)


def test_a_region_repainted_in_the_palette_changes_that_region_only(backend: FlatsBackend) -> None:
    drawn = page(house(False)[..., 0])
    done = backend.color(drawn, LINE, None, quiet)
    red = next(entry["id"] for entry in done.details["palette"] if tuple(entry["rgb"]) == RED)
    again = backend.recolor(drawn, done.state, {red: (1, 200, 3)}, LINE)
    assert at(again.rgb, 200, 210) == (1, 200, 3)
    was_red = (done.rgb == RED).all(axis=2)
    changed = (done.rgb != again.rgb).any(axis=2)
    near_red = cv2.dilate(was_red.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert not (changed & ~near_red).any()
    assert (backend.recolor(drawn, done.state, {}, LINE).rgb == done.rgb).all()


def test_references_of_single_pages_share_the_ids_of_the_job(backend: FlatsBackend, tmp_path: Path) -> None:
    """The same colour has one id in both; what only the page's own references show takes no id of the job."""
    drawn = page(house(False)[..., 0])
    ids = {tuple(c["rgb"]): c["id"] for c in backend.color(drawn, LINE, None, quiet).details["palette"]}
    own = house(True)
    own[(own == RED).all(axis=2)] = (150, 60, 170)
    Image.fromarray(own).save(tmp_path / "own.png")
    backend.prepare([Reference(tmp_path / "own.png", "")], tmp_path / "own.npz", PageSettings(), quiet)
    backend.load(tmp_path / "own.npz")
    backend.adopt((), single=True, first=tmp_path / "learned.npz")
    again = {tuple(c["rgb"]): c["id"] for c in backend.color(drawn, LINE, None, quiet).details["palette"]}
    assert {rgb: ids[rgb] for rgb in (BLUE, YELLOW, GREEN)} == {
        rgb: again[rgb] for rgb in (BLUE, YELLOW, GREEN)
    }
    assert again[150, 60, 170] not in ids.values()


def test_a_hint_may_name_an_id_that_only_the_given_palette_has(backend: FlatsBackend, tmp_path: Path) -> None:
    backend.adopt([PaletteColor(40, (90, 20, 120)), PaletteColor(41, (180, 70, 60), RED)])
    hints = tmp_path / "p.hints.json"
    hints.write_text(
        json.dumps({"points": [{"x": 80, "y": 100, "id": 40}, {"x": 450, "y": 350, "color": "#b4463c"}]})
    )
    done = backend.color(page(house(False)[..., 0]), LINE, hints, quiet)
    assert at(done.rgb, 80, 100) == (90, 20, 120)
    assert at(done.rgb, 450, 350) == RED, "its id is known by its RGB, and drawn as the references show it"
    assert {c["id"] for c in done.details["palette"]} >= {40, 41}


def test_layers_come_when_they_are_asked_for(backend: FlatsBackend) -> None:
    drawn = page(house(False)[..., 0])
    assert backend.color(drawn, LINE, None, quiet).layers == []
    flats, line = backend.color(drawn, PageSettings(style="line", layers=True), None, quiet).layers
    assert (line.name, line.blend) == ("Line", "multiply")
    assert (line.pixels == drawn.rgb[..., 0]).all()
    assert flats.pixels.shape == (420, 560, 4)
    assert (flats.pixels[..., 3] == 255).all()


def test_a_dot_screen_becomes_shade_and_not_a_thousand_regions(backend: FlatsBackend) -> None:
    gray = house(False)[..., 0].copy()
    ys, xs = np.mgrid[:420, :560]
    dots = ((xs % 5 < 2) & (ys % 5 < 2)) & (ys < 296) & (ys > 36) & (xs > 36) & (xs < 524)
    gray[dots] = 0
    done = backend.color(page(gray), PageSettings(style="line + shadow"), None, quiet)
    assert len(done.details["regions"]) < 40
    sky = done.rgb[60:80, 60:120]
    assert sky.std(axis=(0, 1)).max() < 12, "the dots are gone"
    assert sky[..., 2].mean() < 175, "their mean gray stays"


def test_lines_stay_sharp_between_the_dots_of_a_coarse_screen(backend: FlatsBackend) -> None:
    gray = house(False)[..., 0].copy()
    inked = gray < 128
    ys, xs = np.mgrid[:420, :560]
    along, across = (xs + ys) / 2**0.5, (xs - ys) / 2**0.5
    dots = np.hypot(along % 11 - 5.5, across % 11 - 5.5) <= 3
    sky = (ys < 296) & (ys > 36) & (xs > 36) & (xs < 524)
    gray[dots & sky] = 0
    drawn = backend.color(page(gray), PageSettings(style="line + shadow"), None, quiet).rgb
    assert drawn[inked].max(axis=1).mean() < 60, "the lines are as black as they were"
    free = drawn[60:80, 60:120]
    assert free.std(axis=(0, 1)).max() < 12, "the dots are gone"
    assert free[..., 2].mean() < 215, "their mean gray stays"


# ---------------------------------------------------------------- hints


def hinted(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "p.hints.json"
    path.write_text(json.dumps(data))
    return path


def test_hints_need_no_references(tmp_path: Path) -> None:
    backend = FlatsBackend()
    backend.load(None)
    points = [{"x": 220, "y": 210, "color": "#0a14c8"}, {"x": 100, "y": 60, "color": [9, 99, 199]}]
    done = backend.color(page(house(False)[..., 0]), LINE, hinted(tmp_path, {"points": points}), quiet)
    assert at(done.rgb, 200, 230) == (10, 20, 200)
    assert at(done.rgb, 480, 60) == (9, 99, 199)


def test_a_hint_overrules_the_references_and_a_lock_keeps_paper(
    backend: FlatsBackend, tmp_path: Path
) -> None:
    hints = hinted(
        tmp_path,
        {
            "strokes": [{"points": [[200, 220], [220, 220]], "color": "#123456"}],
            "lock": [{"x": 260, "y": 300}],
        },
    )
    done = backend.color(page(house(False)[..., 0]), LINE, hints, quiet)
    assert at(done.rgb, 320, 200) == (0x12, 0x34, 0x56)
    assert at(done.rgb, 260, 260) == (255, 255, 255)


def test_two_colors_in_one_region_split_it(backend: FlatsBackend, tmp_path: Path) -> None:
    strokes = [
        {"points": [[60, 50], [60, 280]], "color": "#ff0000"},
        {"points": [[500, 50], [500, 280]], "color": "#00ff00"},
    ]
    done = backend.color(page(house(False)[..., 0]), LINE, hinted(tmp_path, {"strokes": strokes}), quiet)
    assert at(done.rgb, 50, 200) == (255, 0, 0)
    assert at(done.rgb, 510, 200) == (0, 255, 0)


def test_a_painted_hint_is_read(backend: FlatsBackend, tmp_path: Path) -> None:
    strokes = np.zeros((420, 560, 4), np.uint8)
    strokes[200:206, 200:230] = (7, 77, 177, 255)
    path = tmp_path / "p.hints.png"
    Image.fromarray(strokes).save(path)
    done = backend.color(page(house(False)[..., 0]), LINE, path, quiet)
    assert at(done.rgb, 320, 230) == (7, 77, 177)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ({"points": [{"x": 5, "y": 5}]}, "'color' is missing"),
        ({"points": [{"x": 5000, "y": 5, "color": "#000000"}]}, "outside of the page"),
        ({"points": [{"x": 5, "y": 5, "color": "red"}]}, "#rrggbb"),
        ({"points": [{"x": 5, "y": 5, "id": 999}]}, "no id 999"),
        ({"dots": []}, "keys"),
        ({"points": 3}, "must be a list"),
        ({"strokes": [{"points": [], "color": "#000000"}]}, "needs points"),
        ([], "keys"),
    ],
)
def test_a_hint_that_cannot_be_meant_is_named(
    backend: FlatsBackend, tmp_path: Path, data: Any, part: str
) -> None:
    with pytest.raises(ImageProcessingError, match=part) as caught:
        backend.color(page(house(False)[..., 0]), LINE, hinted(tmp_path, data), quiet)
    assert "p.hints.json" in str(caught.value)


def test_hints_of_another_page_are_refused(backend: FlatsBackend, tmp_path: Path) -> None:
    path = tmp_path / "p.hints.png"
    Image.new("RGBA", (10, 10)).save(path)
    with pytest.raises(ImageProcessingError, match="10 x 10 pixels and their page is 560 x 420"):
        backend.color(page(house(False)[..., 0]), LINE, path, quiet)


# ---------------------------------------------------------------- any page at all


@settings(max_examples=15, deadline=None)
@given(
    h=st.integers(1, 90),
    w=st.integers(1, 90),
    kind=st.sampled_from(["white", "black", "noise", "gray", "one line"]),
    style=st.sampled_from(["line", "line + shadow"]),
)
def test_any_page_gives_a_picture_of_its_size(h: int, w: int, kind: str, style: Any) -> None:
    gray = {
        "white": np.full((h, w), 255),
        "black": np.zeros((h, w)),
        "noise": np.random.default_rng(h * w).integers(0, 256, (h, w)),
        "gray": np.full((h, w), 120),
        "one line": np.where(np.arange(w)[None] == w // 2, 0, np.full((h, w), 255)),
    }[kind]
    backend = FlatsBackend()
    backend.load(None)
    done = backend.color(page(gray), PageSettings(style=style), None, quiet)
    assert done.rgb.shape == (h, w, 3)
    assert done.rgb.dtype == np.uint8
    assert 0 <= done.confidence <= 1
    if kind in {"white", "black"}:
        assert (done.rgb == np.asarray(gray, np.uint8)[..., None]).all()


@pytest.mark.parametrize(("h", "w"), [(6000, 300), (100, 8000)])
def test_long_strips_keep_one_palette(backend: FlatsBackend, h: int, w: int) -> None:
    gray = np.full((h, w), 255, np.uint8)
    for top in range(20, h - 60, 600):
        cv2.rectangle(gray, (20, top), (w - 20, min(h - 10, top + 500)), 0, 3)
    done = backend.color(page(gray), LINE, None, quiet)
    assert done.rgb.shape == (h, w, 3)
    ids = [entry["id"] for entry in done.details["palette"]]
    assert len(ids) == len(set(ids))
    assert max(region["box"][3] for region in done.details["regions"]) == h


@pytest.mark.parametrize("mode", ["L", "one pixel", "white", "large"])
def test_any_reference_will_do(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "r.png"
    picture = Image.fromarray(house(True))
    made = {
        "L": picture.convert("L"),
        "one pixel": Image.new("RGB", (1, 1), RED),
        "white": Image.new("RGB", (50, 50), (255, 255, 255)),
        "large": picture.resize((3000, 2250), Image.Resampling.NEAREST),
    }[mode]
    made.save(path)
    backend = FlatsBackend()
    backend.prepare([Reference(path, "0" * 64)], tmp_path / "a.npz", PageSettings(), quiet)
    backend.load(tmp_path / "a.npz")
    done = backend.color(page(house(False)[..., 0]), LINE, None, quiet)
    assert done.rgb.shape == (420, 560, 3)
    if mode == "large":
        assert at(done.rgb, 200, 210) == RED


def test_an_unreadable_reference_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageProcessingError, match=r"broken\.png"):
        FlatsBackend().prepare([Reference(path, "0" * 64)], tmp_path / "a.npz", PageSettings(), quiet)


def test_a_damaged_artefact_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(
        ImageProcessingError, match=r"a\.npz: what was learned cannot be read; delete this file"
    ):
        FlatsBackend().load(path)
    with pytest.raises(
        ImageProcessingError, match=r"a\.npz: what was learned cannot be read; delete this file"
    ):
        FlatsBackend().adopt([], memory=path)


def test_damaged_arrays_are_told_whatever_became_of_them() -> None:
    whole = packed({"numbers": np.arange(2000), "few": np.zeros((3, 2), np.float32)})
    chance = random.Random(7)
    told = 0
    for _ in range(300):
        data = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.choice([0, 1, 8])):
            data[chance.randrange(len(whole)) % max(1, len(data))] ^= 1 << chance.randrange(8)
        try:
            unpacked(bytes(data))
        except ValueError:
            told += 1
    assert told > 150


def test_cancel_stops_a_page(backend: FlatsBackend) -> None:
    def cancel(done: int, total: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        backend.color(page(house(False)[..., 0]), LINE, None, cancel)


# ---------------------------------------------------------------- figures


def test_a_page_of_a_drawn_series_is_colored_well_and_quickly(tmp_path: Path) -> None:
    folder = require_shared("data", "comics", "synthetic", "series1")
    found = [
        Reference(path, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.glob("ref_*.png"))
    ]
    backend = FlatsBackend()
    backend.prepare(found, tmp_path / "a.npz", PageSettings(), quiet)
    backend.load(tmp_path / "a.npz")
    drawn = decode(folder / "page_01.png")
    start = time.process_time()
    done = backend.color(drawn, LINE, None, quiet)
    assert time.process_time() - start < 10, "CPU seconds for 1.4 megapixels, with room for a slow machine"
    truth = decode(folder / "truth" / "page_01_color.png").rgb.astype(int)
    free = cv2.erode((drawn.rgb[..., 0] > 200).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    right = (np.abs(done.rgb.astype(int) - truth).max(axis=2) < 12)[free].mean()
    assert right > 0.7


def test_hints_leave_alone_what_was_sure_without_them(tmp_path: Path) -> None:
    folder = require_shared("data", "comics", "synthetic", "series0")
    backend = FlatsBackend()
    found = [Reference(path, "") for path in sorted(folder.glob("ref_*.png"))]
    backend.prepare(found, tmp_path / "a.npz", PageSettings(), quiet)
    backend.load(tmp_path / "a.npz")
    drawn = decode(folder / "page_00.png")
    before = backend.color(drawn, LINE, None, quiet).details["regions"]
    shirts = [{"x": x, "y": y, "color": "#ff00ff"} for x, y in ((361, 1282), (713, 578), (321, 587))]
    after = backend.color(drawn, LINE, hinted(tmp_path, {"points": shirts}), quiet).details["regions"]
    assert sum(region["why"] == "hint" for region in after) == len(shirts)
    sure = [row for row, region in enumerate(before) if region["confidence"] >= 0.75]
    others = [row for row in sure if after[row]["why"] != "hint"]
    assert len(others) > 50
    assert [after[row]["id"] for row in others] == [before[row]["id"] for row in others]
