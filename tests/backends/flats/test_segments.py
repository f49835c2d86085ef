"""Which areas get one colour: what the lines of a drawing part, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_processing.backends.base import PageSettings
from batch_processing.backends.flats import FlatsBackend, ink, regions
from batch_processing.io.images import Page


def segment(gray: Any) -> Any:
    """The labels of a gray page."""
    gray = np.asarray(gray, np.uint8)
    labels = regions.segment(ink.find(np.repeat(gray[..., None], 3, axis=2)))
    assert labels.shape == gray.shape
    assert (np.unique(labels) == np.arange(1, labels.max() + 1)).all(), "no pixel and no number is left out"
    return labels


def blank(side: int) -> Any:
    return np.full((side, side), 255, np.uint8)


@settings(max_examples=15, deadline=None)
@given(
    radius=st.integers(50, 150),
    gap=st.integers(4, 40),
    line=st.integers(2, 6),
    angle=st.integers(0, 359),
)
def test_a_circle_left_open_is_a_region(radius: int, gap: int, line: int, angle: int) -> None:
    gray = blank(500)
    begin = round(np.degrees((gap + line) / radius))
    cv2.ellipse(gray, (250, 250), (radius, radius), angle, begin, 360, 0, line, cv2.LINE_AA)
    labels = segment(gray)
    inside = labels == labels[250, 250]
    assert not inside[20, 20]
    assert 0.85 < inside.sum() / (np.pi * radius**2) < 1.1


def test_a_figure_cut_off_at_its_side_ends_at_the_cut() -> None:
    gray = blank(700)
    cv2.rectangle(gray, (10, 10), (689, 689), 0, 4)
    cv2.ellipse(gray, (350, 350), (100, 60), 0, 0, 360, 0, 3, cv2.LINE_AA)
    gray[200:500, 440:560] = 255
    labels = segment(gray)
    assert labels[350, 300] == labels[350, 436]
    assert labels[350, 455] == labels[650, 650], "the outline is carried on round, but not far"
    assert labels[350, 300] != labels[650, 650]


def test_hatching_and_whiskers_part_nothing() -> None:
    gray = blank(700)
    cv2.rectangle(gray, (100, 100), (600, 600), 0, 4)
    for x in range(300, 400, 9):
        cv2.line(gray, (x, 300), (x - 60, 400), 0, 2, cv2.LINE_AA)
    for y in range(450, 550, 25):
        cv2.line(gray, (450, y), (520, y - 10), 0, 3, cv2.LINE_AA)
    labels = segment(gray)
    assert len(np.unique(labels[110:590, 110:590])) == 1


def test_shapes_that_come_near_each_other_part_nothing() -> None:
    """A ball between two walls: nothing is left open where it nearly touches them."""
    gray = blank(700)
    cv2.rectangle(gray, (100, 200), (600, 400), 0, 4)
    cv2.circle(gray, (350, 300), 70, 0, 4, cv2.LINE_AA)
    labels = segment(gray)
    assert labels[300, 150] == labels[300, 550]
    assert labels[300, 350] != labels[300, 150]


def test_two_frames_side_by_side_are_no_dot_screen() -> None:
    """On a small page the frames on both sides of a gutter look periodic; lines next to them must stay lines."""
    gray = blank(640)
    cv2.rectangle(gray, (12, 12), (627, 311), 0, 2)
    cv2.rectangle(gray, (12, 322), (627, 627), 0, 2)
    for x in range(60, 600, 90):
        cv2.circle(gray, (x, 352), 22, 0, 1, cv2.LINE_AA)
    labels = segment(gray)
    assert labels[352, 100] != labels[352, 60] != labels[352, 150] != labels[352, 190]


def test_a_few_parallel_lines_are_no_dot_screen() -> None:
    gray = blank(640)
    cv2.rectangle(gray, (12, 12), (627, 627), 0, 2)
    for y in (200, 211, 222):
        cv2.line(gray, (12, y), (627, y), 0, 2)
    for x in range(60, 600, 90):
        cv2.circle(gray, (x, 255), 18, 0, 1, cv2.LINE_AA)
    labels = segment(gray)
    assert labels[255, 100] != labels[255, 60] != labels[255, 150] != labels[255, 190]


@pytest.mark.parametrize(
    ("slope", "wave", "line", "width"),
    [(0.0, 4, 1, 4400), (0.02, 10, 1, 4400), (-0.02, 17, 1, 4400), (0.03, 3, 2, 4400), (0.016, 18, 2, 2600)],
)
def test_flats_of_large_pages_meet_below_the_thinnest_line(
    tmp_path: Path, slope: float, wave: float, line: int, width: int
) -> None:
    """Up to twice the size that regions are found at: no pixel on either side has the other's colour, or none, and
    each pixel of a line is its own, to the rim of the thickest."""
    gray = np.full((400, width), 255, np.uint8)
    cv2.rectangle(gray, (0, 0), (width - 1, 399), 0, 16)
    x = np.arange(0, width + 1, 20)
    path = np.stack([x, 200 + slope * (x - width / 2) + wave * np.sin(x / 150)], 1)
    cv2.polylines(gray, [np.rint(path).astype(np.int32)], False, 0, line)
    hints = tmp_path / "p.hints.json"
    sides = {(20, 20): (192, 57, 43), (20, 380): (46, 109, 180)}
    points = [{"x": px, "y": py, "color": list(color)} for (px, py), color in sides.items()]
    hints.write_text(json.dumps({"points": points}))
    backend = FlatsBackend()
    backend.load(None)
    page = Page(np.repeat(gray[..., None], 3, axis=2), True, 8, None, None, "L")
    done = backend.color(page, PageSettings(style="line"), hints, lambda done, total: None)
    _, parts = cv2.connectedComponents((gray == 255).astype(np.uint8), connectivity=4)
    for (px, py), color in sides.items():
        assert (done.rgb[parts == parts[py, px]] == color).all()
    assert (done.rgb[gray == 0] == 0).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 0.9), st.integers(0, 1 << 30))
def test_each_pixel_takes_the_label_of_one_that_lies_nearest(h: int, w: int, some: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((h, w)) < some, rng.integers(1, 9, (h, w)), 0).astype(np.int32)
    if not labels.any():
        labels[0, 0] = 3
    away, found = regions.nearest_label(labels)
    y, x = np.nonzero(labels)
    rows, columns = np.mgrid[:h, :w]
    far = np.hypot(rows[..., None] - y, columns[..., None] - x)
    mine = np.where(labels[y, x] == found[..., None], far, np.inf).min(axis=2)
    assert (mine <= far.min(axis=2) * 1.1 + 1e-6).all()  # the distances of OpenCV are this near
    assert (found[labels > 0] == labels[labels > 0]).all()
    assert (away[labels > 0] == 0).all()
