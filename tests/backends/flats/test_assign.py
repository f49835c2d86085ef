"""What votes and surroundings are made of: the nearest rows by the definition, and heads that do not hear each other."""

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
from batch_processing.backends.flats import (
    FlatsBackend,
    assign,
    describe,
    graph,
    ink,
    references,
    regions,
    structure,
)
from batch_processing.io.images import Page


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 700), st.integers(1, 12), st.integers(1, 9), st.integers(0, 1 << 30)
)
def test_the_nearest_rows_are_those_of_the_definition(
    asked: int, known: int, width: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, those = (rng.normal(size=(n, width)).astype(np.float32) for n in (asked, known))
    index, weight = assign._nearest(rows, those, count, 0.3)
    away = ((rows[:, None].astype(np.float64) - those[None]) ** 2).sum(axis=2)
    wanted = np.sort(away, axis=1)[:, : min(count, known)]
    found = np.take_along_axis(away, index, axis=1)
    assert index.max() < known
    assert all(len(set(row)) == len(row) for row in index.tolist())
    assert np.allclose(np.sort(found, axis=1), wanted, atol=1e-4)
    expected = np.exp(-(found - found.min(axis=1, keepdims=True)) / 0.3)
    assert np.allclose(weight, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)


@pytest.mark.parametrize("head", range(graph.HEADS))
def test_a_head_hears_only_what_is_said_to_it(head: int) -> None:
    page = np.full((420, 560, 3), 255, np.uint8)
    for x in (40, 300):
        page[60:300, [x, x + 200]] = 0
        page[[60, 180, 300], x : x + 201] = 0
    drawn = ink.find(page)
    labels = regions.segment(drawn)
    what = describe.shapes(labels)
    panels = structure.find(labels, drawn, what)
    seen = graph.look(drawn, labels, what, panels.frame, np.zeros(what.count, np.bool_))
    ways = graph.walks(seen)
    rng = np.random.default_rng(head)
    share = rng.random((what.count, 3)).astype(np.float32)
    sent = rng.random((what.count, graph.SIDES, graph.HEADS)).astype(np.float32)
    alone = sent.copy()
    alone[..., [other for other in range(graph.HEADS) if other != head]] = 0
    shape = (what.count, graph.SIDES, graph.HEADS, 3)
    both, one = (
        graph.surroundings(ways, share, said.reshape(what.count, graph.AROUND)).reshape(shape)
        for said in (sent, alone)
    )
    assert both[:, :, head].max() > 0
    assert np.allclose(both[:, :, head], one[:, :, head], atol=1e-6)
    assert not np.delete(one, head, axis=2).any()


def framed(x: int, shirt: tuple[int, int, int], extra: tuple[int, int, int] | None = None) -> np.ndarray:
    """A coloured panel: a wall, and before it somebody in a shirt; beside them a thing, where one is wanted."""
    drawn = np.full((440, 600, 3), 255, np.uint8)

    def shape(points: list[tuple[int, int]], color: tuple[int, int, int]) -> None:
        cv2.fillPoly(drawn, [np.array(points, np.int32)], color)
        cv2.polylines(drawn, [np.array(points, np.int32)], True, (0, 0, 0), 3)

    shape([(20, 20), (580, 20), (580, 420), (20, 420)], (170, 210, 240))
    shape([(x - 50, 190), (x + 50, 190), (x + 80, 418), (x - 80, 418)], shirt)
    shape([(x - 34, 90), (x + 34, 90), (x + 30, 190), (x - 30, 190)], (236, 190, 150))
    if extra is not None:
        shape([(40, 60), (110, 60), (75, 120)], extra)
    return drawn


def test_how_well_references_tell_each_other() -> None:
    red, blue, green = (192, 57, 43), (46, 109, 180), (62, 172, 44)
    pictures = [framed(200, red), framed(380, blue), framed(330, red, green), framed(240, blue)]
    known = references.learn(pictures)
    assert known.region_told.shape == known.region_color.shape

    def told(color: tuple[int, int, int]) -> np.ndarray:
        found = known.region_told[(known.rgb[known.region_color] == color).all(axis=1)]
        assert len(found)
        return found

    assert told((170, 210, 240)).min() > 0.8  # a wall is like no other thing here
    assert told((236, 190, 150)).min() > 0.5
    for shirt in (red, blue):  # both are cut alike: whose it is the others cannot tell
        assert 0.1 < told(shirt).mean() < 0.9
    assert told(green).max() == 0  # no other panel shows it


def figure(out: np.ndarray, x: int, y: int, of: str, *, colored: bool, turned: bool = False) -> None:
    """Somebody with their feet at (x, y): one with square hair and a long coat, the other with curls and a short one."""
    skin, white = (236, 190, 150), (255, 255, 255)
    hair, coat = {"one": ((192, 57, 43), (46, 109, 180)), "other": ((90, 60, 44), (240, 196, 60))}[of]
    side = -1 if turned else 1

    def shape(points: list[tuple[float, float]], color: tuple[int, int, int]) -> None:
        at = np.array([(x + side * dx, y + dy) for dx, dy in points], np.int32)
        cv2.fillPoly(out, [at], color if colored else white)
        cv2.polylines(out, [at], True, (0, 0, 0), 3)

    if of == "one":
        shape([(-40, 0), (-26, -110), (26, -110), (40, 0)], coat)
        shape([(-46, -110), (-46, -220), (46, -220), (46, -110)], hair)
    else:
        shape([(-22, -60), (-22, 0), (-4, 0), (-4, -60)], skin)
        shape([(4, -60), (4, 0), (22, 0), (22, -60)], skin)
        shape([(-34, -50), (-26, -110), (26, -110), (34, -50)], coat)
        ring = np.linspace(0, 2 * np.pi, 60)
        wave = 52 + 7 * np.cos(9 * ring)
        shape(list(zip(wave * np.cos(ring), wave * np.sin(ring) - 165, strict=True)), hair)
    shape([(-28, -112), (-30, -180), (30, -180), (28, -112)], skin)
    for eye in (-12, 12):
        shape([(eye - 7, -160), (eye, -168), (eye + 7, -160), (eye, -152)], white)


def model_sheet(colored: bool = True) -> np.ndarray:
    """Both of them on white, three times each."""
    out = np.full((620, 620, 3), 255, np.uint8)
    for number, of in enumerate(("one", "other", "other", "one", "other", "one")):
        x, y = 110 + 200 * (number % 3), 270 + 310 * (number // 3)
        figure(out, x, y, of, colored=colored, turned=number % 2 > 0)
    return out


def street(colored: bool) -> np.ndarray:
    """A place with nobody in it, and a white cloud."""
    out = np.full((460, 620, 3), 255, np.uint8)
    for points, color in (
        ([(20, 20), (600, 20), (600, 440), (20, 440)], (120, 170, 230)),
        ([(60, 90), (130, 60), (200, 90), (130, 120)], (255, 255, 255)),
        ([(20, 330), (600, 330), (600, 440), (20, 440)], (90, 160, 80)),
        ([(380, 160), (560, 160), (560, 360), (380, 360)], (120, 70, 130)),
    ):
        at = np.array(points, np.int32)
        cv2.fillPoly(out, [at], color if colored else (255, 255, 255))
        cv2.polylines(out, [at], True, (0, 0, 0), 4)
    return out


@pytest.mark.parametrize("pictures", [[model_sheet(), street(True)], [model_sheet()]])
def test_a_model_sheet_is_told_by_its_own_figures(pictures: list[np.ndarray]) -> None:
    """No other reference shows whom a sheet shows, and what they share with it is white: that is no reason to trust it less."""
    known = references.learn(pictures)
    assert known.metric_trust[0] > 0.5
    for color in ((192, 57, 43), (46, 109, 180), (90, 60, 44), (240, 196, 60)):
        found = known.region_told[(known.rgb[known.region_color] == color).all(axis=1)]
        assert found.mean() > 0.3


def alone(of: str) -> np.ndarray:
    """One of them on white, once."""
    out = np.full((320, 240, 3), 255, np.uint8)
    figure(out, 120, 290, of, colored=True)
    return out


def shaded(picture: np.ndarray) -> np.ndarray:
    """The same in light and shadow that run into each other."""
    down, across = np.indices(picture.shape[:2]) / 40
    light = (0.7 + 0.3 * np.sin(across) * np.cos(down))[..., None]
    return np.asarray(np.rint(picture * light), np.uint8)


def test_pictures_that_cannot_tell_each_other_are_trusted_by_how_flat_they_are() -> None:
    """Each character in a picture of its own, as many keep them: none shows whom another shows."""
    pictures = [alone("one"), alone("other"), street(True)]
    drawn, painted = (
        references.learn(these).metric_trust[0] for these in (pictures, [*map(shaded, pictures)])
    )
    assert drawn > 0.7
    assert painted < drawn - 0.2


def test_a_page_is_coloured_from_a_model_sheet_and_an_empty_place(tmp_path: Path) -> None:
    found = []
    for number, picture in enumerate((model_sheet(), street(True))):
        path = tmp_path / f"{number}.png"
        Image.fromarray(picture).save(path)
        found.append(Reference(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    backend = FlatsBackend()
    backend.prepare(found, tmp_path / "learned.npz", PageSettings(), lambda done, total: None)
    backend.load(tmp_path / "learned.npz")
    page = street(False)
    figure(page, 160, 400, "one", colored=False)
    figure(page, 300, 400, "other", colored=False, turned=True)
    rgb = backend.color(
        Page(page, True, 8, None, None, "L"), PageSettings(style="line"), None, lambda done, total: None
    ).rgb
    for (x, y), color in {
        (120, 200): (192, 57, 43),
        (160, 360): (46, 109, 180),
        (300, 210): (90, 60, 44),
        (300, 320): (240, 196, 60),
        (300, 40): (120, 170, 230),
        (40, 420): (90, 160, 80),
        (540, 180): (120, 70, 130),
    }.items():
        assert tuple(rgb[y, x].tolist()) == color


def test_a_string_across_a_sky_leaves_it_one_sky(tmp_path: Path) -> None:
    sky, grass, house = (120, 170, 230), (90, 160, 80), (200, 60, 50)

    def place(colored: bool, shift: int, string: bool) -> Any:
        out = np.full((420, 560, 3), 255, np.uint8)
        for points, color in (
            ([(20, 20), (540, 20), (540, 400), (20, 400)], sky),
            ([(20, 300), (540, 300), (540, 400), (20, 400)], grass),
            ([(180 + shift, 180), (300 + shift, 180), (300 + shift, 330), (180 + shift, 330)], house),
        ):
            at = np.array(points, np.int32)
            cv2.fillPoly(out, [at], color if colored else (255, 255, 255))
            cv2.polylines(out, [at], True, (0, 0, 0), 4)
        if string:
            cv2.line(out, (300 + shift, 180), (540, 60), (0, 0, 0), 2, cv2.LINE_AA)
            cv2.rectangle(out, (20, 20), (540, 400), (0, 0, 0), 4)
        return out

    found = []
    for number, shift in enumerate((0, 60)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(place(True, shift, False)).save(path)
        found.append(Reference(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    backend = FlatsBackend()
    backend.prepare(found, tmp_path / "learned.npz", PageSettings(), lambda done, total: None)
    backend.load(tmp_path / "learned.npz")
    page = Page(place(False, 30, True), True, 8, None, None, "L")
    rgb = backend.color(page, PageSettings(style="line"), None, lambda done, total: None).rgb
    for x, y in ((100, 60), (480, 200), (420, 250)):
        assert tuple(rgb[y, x].tolist()) == sky
