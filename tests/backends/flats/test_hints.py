"""What hints do to a page: the same in a run and on a page made ready once, to their figure, and to nothing else."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.backends.flats.hints import Hints, Stroke
from batch_processing.backends.flats.prepared import PreparedPage
from batch_processing.io.images import Page

Rgb = tuple[int, int, int]
SKIN = (236, 190, 150)
ANA: dict[str, Rgb] = {"hair": (40, 30, 30), "shirt": (192, 57, 43), "skirt": (120, 60, 20)}
BEA: dict[str, Rgb] = {"hair": (246, 226, 122), "shirt": (46, 109, 180), "skirt": (62, 172, 44)}
SKY: Rgb = (170, 210, 240)
WIDTH, HEIGHT = 600, 440


def quiet(done: int, total: int) -> None:
    pass


def picture(colors: dict[str, Rgb] | None, x: int) -> Any:
    """A person in a room, at `x`, as line art or with these colours; everybody is drawn alike."""
    drawn = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)

    def shape(points: Any, color: Rgb) -> None:
        cv2.fillPoly(drawn, [np.array(points, np.int32)], color if colors else (255, 255, 255))
        cv2.polylines(drawn, [np.array(points, np.int32)], True, (0, 0, 0), 3)

    worn = colors or ANA
    shape([(20, 20), (580, 20), (580, 420), (20, 420)], SKY)
    shape([(x - 60, 300), (x + 60, 300), (x + 80, 400), (x - 80, 400)], worn["skirt"])
    shape([(x - 50, 190), (x + 50, 190), (x + 60, 300), (x - 60, 300)], worn["shirt"])
    shape([(x - 34, 110), (x + 34, 110), (x + 30, 190), (x - 30, 190)], SKIN)
    shape([(x - 44, 120), (x - 40, 60), (x + 40, 60), (x + 44, 120), (x, 108)], worn["hair"])
    return drawn


def page(gray: Any) -> Page:
    return Page(np.ascontiguousarray(gray, np.uint8), True, 8, None, None, "L")


@lru_cache(maxsize=1)
def ready() -> tuple[FlatsBackend, Page, PreparedPage]:
    """A job whose references show Ana and Bea, and a page with somebody."""
    backend = FlatsBackend()
    with TemporaryDirectory() as folder:
        references = []
        for number, (who, x) in enumerate(((ANA, 200), (BEA, 380), (ANA, 330), (BEA, 240))):
            path = Path(folder) / f"{number}.png"
            Image.fromarray(picture(who, x)).save(path)
            references.append(Reference(path, str(number)))
        backend.prepare(references, Path(folder) / "learned.npz", PageSettings(), quiet)
        backend.load(Path(folder) / "learned.npz")
    drawn = page(picture(None, 300))
    return backend, drawn, backend.prepared(drawn, quiet)


def said(*strokes: Stroke) -> Hints:
    return Hints(WIDTH, HEIGHT, strokes)


def point(x: int, y: int, rgb: Rgb) -> Stroke:
    return Stroke(((x, y),), rgb)


def color_at(flatted: Flatted, x: int, y: int) -> Rgb:
    red, green, blue = flatted.rgb[flatted.color[flatted.labels[y, x] - 1]].tolist()
    return red, green, blue


COLORS = st.sampled_from([*ANA.values(), *BEA.values(), SKY, (255, 0, 255), (255, 255, 255)])
PLACES = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1))
STROKES = st.builds(Stroke, st.lists(PLACES, min_size=1, max_size=3).map(tuple), COLORS)


@settings(max_examples=5, deadline=None)
@given(st.lists(STROKES, max_size=5), st.lists(STROKES, max_size=3))
def test_a_page_made_ready_gives_what_a_run_gives(strokes: list[Stroke], before: list[Stroke]) -> None:
    backend, drawn, prepared = ready()
    prepared.apply(said(*before))  # whatever was asked before
    fast = prepared.apply(said(*strokes)).to_bytes()
    entries = [
        {"points": [list(at) for at in stroke.points], "color": list(stroke.rgb)} for stroke in strokes
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p.hints.json"
        path.write_text(json.dumps({"strokes": entries}))
        assert backend.flat(drawn, path, quiet).to_bytes() == fast


@settings(max_examples=8, deadline=None)
@given(st.lists(STROKES, min_size=1, max_size=3), st.data())
def test_a_second_point_in_what_was_said_changes_nothing(strokes: list[Stroke], data: Any) -> None:
    once = ready()[2].apply(said(*strokes))
    spoken = np.flatnonzero(once.reason == 1)
    region = data.draw(st.sampled_from(spoken.tolist()))
    ys, xs = np.nonzero(once.labels == region + 1)
    at = data.draw(st.integers(0, len(ys) - 1))
    rgb = color_at(once, int(xs[at]), int(ys[at]))
    twice = ready()[2].apply(said(*strokes, point(int(xs[at]), int(ys[at]), rgb)))
    differs = (twice.rgb[twice.color[twice.labels - 1]] != once.rgb[once.color[once.labels - 1]]).any(axis=2)
    # Where colours part a region without ink, another point may move the border between them, and so what is heard around.
    found = ready()[2].apply(None).labels
    pairs = np.unique(np.stack([found.ravel(), once.labels.ravel()]), axis=1)
    numbers, parts = np.unique(pairs[0], return_counts=True)
    parted = np.isin(found, numbers[parts > 1])
    assert parted[ys[at], xs[at]] or not differs[~parted].any()
    assert not differs[ys[at], xs[at]]


@settings(max_examples=8, deadline=None)
@given(st.lists(STROKES, min_size=1, max_size=4))
def test_hints_that_do_not_spread_change_what_they_touch_alone(strokes: list[Stroke]) -> None:
    before, after = ready()[2].apply(None), ready()[2].apply(said(*strokes), spread=False)
    quiet_there = after.reason[after.labels - 1] != 1
    assume(quiet_there.any())
    same = before.rgb[before.color[before.labels - 1]] == after.rgb[after.color[after.labels - 1]]
    assert same[quiet_there].all()


def test_a_hint_speaks_for_its_figure() -> None:
    prepared = ready()[2]
    hair, shirt, skirt = (300, 80), (300, 250), (300, 370)
    before = prepared.apply(None)
    is_ana = color_at(before, *shirt) == ANA["shirt"]
    assert is_ana or color_at(before, *shirt) == BEA["shirt"]
    other = BEA if is_ana else ANA
    after = prepared.apply(said(point(*shirt, other["shirt"])))
    assert color_at(after, *shirt) == other["shirt"]
    assert color_at(after, *hair) == other["hair"]
    assert color_at(after, *skirt) == other["skirt"]
    assert color_at(after, 40, 40) == color_at(before, 40, 40), "the room is nobody's"
    alone = prepared.apply(said(point(*shirt, other["shirt"])), spread=False)
    assert color_at(alone, *hair) == color_at(before, *hair)


def test_a_point_is_heard_beside_a_long_stroke_of_another_color() -> None:
    red, green = (255, 0, 0), (0, 255, 0)
    stroke = Stroke(((40, 40), (40, 400)), red)
    after = ready()[2].apply(said(stroke, point(560, 200, green)))
    assert color_at(after, 40, 200) == red
    assert color_at(after, 560, 200) == green


def test_the_tip_of_a_stroke_that_slips_over_the_line_says_nothing_against_another() -> None:
    red, green = (255, 0, 0), (0, 255, 0)
    inside = Stroke(((265, 240), (335, 240)), green)
    slips = Stroke(((40, 215), (255, 215)), red)  # from the room into the shirt
    after = ready()[2].apply(said(inside, slips))
    assert color_at(after, 40, 215) == red
    assert {color_at(after, x, 215) for x in (262, 300, 335)} == {green}
