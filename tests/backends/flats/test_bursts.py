"""Focus lines: what lies between lines that run to one place stays paper, unless references show otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend, bursts, ink, regions
from batch_processing.io.images import Page

SKY, GRASS, BALL, YELLOW, WHITE = (
    (120, 170, 230),
    (90, 160, 80),
    (200, 60, 50),
    (250, 220, 90),
    (255, 255, 255),
)
LINE = PageSettings(style="line")


def quiet(done: int, total: int) -> None:
    """Nobody watches."""


def picture(colored: bool, burst: Any = WHITE, lines: str = "burst", ball: int = 60, count: int = 36) -> Any:
    """Two panels, 420 x 640: a ball on grass below a sky, and the ball before lines."""
    out = np.full((420, 640, 3), 255, np.uint8)

    def fill(color: Any) -> Any:
        return color if colored else WHITE

    def circle(x: int, y: int) -> None:
        cv2.circle(out, (x, y), ball, fill(BALL), -1)
        cv2.circle(out, (x, y), ball, (0, 0, 0), 4)

    cv2.rectangle(out, (20, 20), (300, 400), fill(SKY), -1)
    cv2.rectangle(out, (20, 280), (300, 400), fill(GRASS), -1)
    cv2.line(out, (20, 280), (300, 280), (0, 0, 0), 4)
    circle(160, 240)
    cv2.rectangle(out, (320, 20), (620, 400), fill(burst), -1)
    if lines == "burst":
        for turn in np.linspace(0, 2 * np.pi, count, endpoint=False) + 0.05:
            way = np.array([np.cos(turn), np.sin(turn)])
            side = np.array([-way[1], way[0]]) * 4
            outer, inner = np.array([470, 210]) + 400 * way, np.array([470, 210]) + (ball + 45) * way
            wedge = np.array([outer + side, outer - side, inner])
            drawn = out[20:400, 320:620].copy()
            cv2.fillPoly(drawn, [np.rint(wedge - [320, 20]).astype(np.int32)], (0, 0, 0))
            out[20:400, 320:620] = drawn
    else:
        for x in range(340, 610, 18):
            cv2.line(out, (x, 20), (x, 120 + x % 40), (0, 0, 0), 3)
    circle(470, 210)
    for left, right in ((20, 300), (320, 620)):
        cv2.rectangle(out, (left, 20), (right, 400), (0, 0, 0), 4)
    return out


def colored(folder: Path, line_art: Any, *references: Any) -> Any:
    found = []
    for number, reference in enumerate(references):
        path = folder / f"reference{number}.png"
        Image.fromarray(reference).save(path)
        found.append(Reference(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    backend = FlatsBackend()
    backend.prepare(found, folder / "learned.npz", PageSettings(), quiet)
    backend.load(folder / "learned.npz")
    return backend.color(Page(line_art, True, 8, None, None, "L"), LINE, None, quiet).rgb


def between(rgb: Any) -> list[tuple[int, ...]]:
    """What is shown at places between the lines, near the rim and near the ball."""
    return [tuple(rgb[y, x].tolist()) for x, y in ((345, 40), (470, 120), (600, 215), (345, 375), (560, 300))]


def test_what_no_reference_shows_stays_paper(tmp_path: Path) -> None:
    place = picture(True)[:, :310]
    rgb = colored(
        tmp_path, picture(False, ball=50), np.pad(place, ((0, 0), (0, 20), (0, 0)), constant_values=255)
    )
    assert set(between(rgb)) == {WHITE}
    assert tuple(rgb[210, 470].tolist()) == BALL
    assert tuple(rgb[60, 60].tolist()) == SKY


def test_what_a_reference_shows_there_is_taken(tmp_path: Path) -> None:
    rgb = colored(tmp_path, picture(False, ball=50), picture(True, YELLOW), picture(True, YELLOW, ball=70))
    assert set(between(rgb)) == {YELLOW}


@pytest.mark.parametrize("ball", [50, 60])
def test_lines_along_what_moves_leave_a_sky_what_it_is(tmp_path: Path, ball: int) -> None:
    references = [picture(True, SKY, "along"), picture(True, SKY, "along", ball=70)]
    rgb = colored(tmp_path, picture(False, lines="along", ball=ball), *references)
    assert set(between(rgb)) == {SKY}


def test_lines_that_end_behind_something_are_focus_lines_too(tmp_path: Path) -> None:
    page = picture(False, ball=50, count=80)
    cv2.rectangle(page, (380, 320), (560, 372), (255, 255, 255), -1)
    cv2.rectangle(page, (380, 320), (560, 372), (0, 0, 0), 4)
    place = np.pad(picture(True)[:, :310], ((0, 0), (0, 20), (0, 0)), constant_values=255)
    page, place = (
        cv2.resize(one, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST) for one in (page, place)
    )
    rgb = colored(tmp_path, page, place)
    below, free = rgb[1158, 1155:1665], page[1158, 1155:1665].min(axis=1) > 200
    assert (below[free] == 255).all()


def test_what_stands_on_the_rim_keeps_its_color(tmp_path: Path) -> None:
    page, reference = picture(False, ball=50), picture(True)
    for drawn, fill in ((page, WHITE), (reference, GRASS)):
        cv2.rectangle(drawn, (400, 250), (540, 398), fill, -1)
        cv2.rectangle(drawn, (400, 250), (540, 398), (0, 0, 0), 4)
    rgb = colored(tmp_path, page, reference, picture(True, ball=70))
    assert tuple(rgb[330, 470].tolist()) == GRASS
    assert set(between(rgb)[:3]) == {WHITE}


@settings(max_examples=100, deadline=None)
@given(st.integers(60, 260), st.integers(60, 260), st.integers(0, 60), st.integers(0, 1 << 30))
def test_no_drawing_is_too_strange_to_be_looked_at(high: int, wide: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    page = np.full((high, wide, 3), 255, np.uint8)
    middle = (int(rng.integers(-wide, 2 * wide)), int(rng.integers(-high, 2 * high)))
    for _ in range(count):
        end = (int(rng.integers(-wide, 2 * wide)), int(rng.integers(-high, 2 * high)))
        begin = middle if rng.random() < 0.7 else (int(rng.integers(wide)), int(rng.integers(high)))
        share = rng.uniform(0, 0.8)
        begin = tuple(round(b + share * (e - b)) for b, e in zip(begin, end, strict=True))
        cv2.line(page, begin, end, (0, 0, 0), int(rng.integers(1, 5)))
    drawn = ink.find(page)
    labels = regions.segment(drawn)
    n = int(labels.max())
    frame = np.tile(np.array([0, 0, wide, high], np.float32), (n, 1))
    found = bursts.find(labels, drawn, np.zeros(n, np.int32), frame)
    assert found.shape == (n,)
