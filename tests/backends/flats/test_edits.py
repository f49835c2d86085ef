"""Edits of a page that was found: regions get colours and are parted, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageDraw

from batch_processing.backends.base import Edit, PageSettings
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.arrays import restored
from batch_processing.backends.flats.color_ids import OWN_COLOR
from batch_processing.backends.flats.edits import edited
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.backends.flats.own_pages import Memory
from batch_processing.io.images import Page

RED, BLUE, GREEN = (220, 30, 40), (30, 60, 200), (20, 160, 70)
SIZE = (300, 400)


def own(rgb: tuple[int, int, int]) -> int:
    return OWN_COLOR + (rgb[0] << 16 | rgb[1] << 8 | rgb[2])


def region(x: float, y: float, rgb: tuple[int, int, int]) -> Edit:
    return Edit("region", ((x, y),), own(rgb), rgb)


def stroke(points: list[tuple[float, float]], rgb: tuple[int, int, int], size: float = 6) -> Edit:
    return Edit("stroke", tuple(points), own(rgb), rgb, size)


@cache
def page(scale: int = 1) -> Page:
    """Two rooms side by side, and below a large one with a shelf, under which nothing is parted from it by a line."""
    image = Image.new("L", (SIZE[0] * scale, SIZE[1] * scale), 255)
    draw = ImageDraw.Draw(image)
    wide = 4 * scale
    for box in ((10, 10, 140, 140), (150, 10, 290, 140), (10, 150, 290, 390)):
        draw.rectangle([value * scale for value in box], outline=0, width=wide)
    draw.line([value * scale for value in (110, 225, 190, 225)], fill=0, width=wide)
    gray = np.array(image)
    rgb = np.repeat(gray[..., None], 3, axis=2)
    return Page(rgb, gray=True, bit_depth=8, dpi=None, icc=None, source_mode="L")


@cache
def state(scale: int = 1) -> bytes:
    backend = FlatsBackend()
    backend.load(None)
    return backend.color(page(scale), PageSettings(), None, lambda *_: None).state


def found() -> Flatted:
    return Flatted.of_bytes(state())


def colors(flatted: Flatted) -> np.ndarray:
    return flatted.rgb[flatted.color][flatted.labels - 1]


def at(flatted: Flatted, x: int, y: int) -> tuple[int, ...]:
    return tuple(int(value) for value in colors(flatted)[y, x])


LEFT, RIGHT, ROOM = (70, 70), (220, 70), (40, 350)


def test_a_region_gets_a_colour_and_no_other_changes() -> None:
    before = found()
    after = edited(before, [region(*LEFT, RED)], *SIZE)
    assert at(after, *LEFT) == RED
    there = before.labels == before.labels[LEFT[1], LEFT[0]]
    assert (colors(after)[~there] == colors(before)[~there]).all()
    row = int(after.labels[LEFT[1], LEFT[0]]) - 1
    assert (after.why[row], float(after.confidence[row])) == ("hint", 1.0)


def test_the_later_edit_wins() -> None:
    after = edited(found(), [region(*LEFT, RED), region(*LEFT, BLUE)], *SIZE)
    assert at(after, *LEFT) == BLUE


def test_two_strokes_part_a_region_and_one_does_not() -> None:
    one = stroke([(150, 240), (150, 280)], RED)
    two = stroke([ROOM, (200, 360)], BLUE)
    alone = edited(found(), [one], *SIZE)
    assert at(alone, 150, 260) == at(alone, *ROOM) == RED
    parted = edited(found(), [one, two], *SIZE)
    assert (at(parted, 150, 260), at(parted, *ROOM)) == (RED, BLUE)
    assert (parted.labels != found().labels).any()
    box = parted.box[parted.labels[260, 150] - 1].tolist()
    ys, xs = np.nonzero(parted.labels == parted.labels[260, 150])
    assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert int(parted.area.sum()) == parted.labels.size


def test_a_region_that_was_given_a_colour_is_parted_by_one_stroke() -> None:
    after = edited(found(), [region(*ROOM, BLUE), stroke([(150, 240), (150, 280)], RED)], *SIZE)
    assert (at(after, 150, 260), at(after, *ROOM)) == (RED, BLUE)


def test_a_part_gets_another_colour_and_keeps_its_border() -> None:
    strokes = [stroke([(150, 240), (150, 280)], RED), stroke([ROOM, (200, 360)], BLUE)]
    parted = edited(found(), strokes, *SIZE)
    given = edited(found(), [*strokes, region(150, 260, GREEN)], *SIZE)
    assert at(given, 150, 260) == GREEN
    assert (given.labels == parted.labels).all()
    again = edited(found(), [*strokes, region(150, 260, GREEN), stroke([(60, 200), (60, 260)], BLUE)], *SIZE)
    assert (at(again, 150, 260), at(again, 60, 230)) == (GREEN, BLUE)


def test_the_eraser_takes_strokes_away_until_all_is_as_it_was() -> None:
    strokes = [stroke([(150, 240), (150, 280)], RED), stroke([ROOM, (200, 360)], BLUE)]
    half = edited(found(), [*strokes, Edit("erase", (ROOM, (200, 360)), size=14)], *SIZE)
    assert at(half, *ROOM) == RED
    none = edited(
        found(),
        [
            *strokes,
            Edit("erase", (ROOM, (200, 360)), size=14),
            Edit("erase", ((150, 230), (150, 290)), size=14),
        ],
        *SIZE,
    )
    assert (none.labels == found().labels).all()
    assert (colors(none) == colors(found())).all()


def test_ids_become_one_on_every_region() -> None:
    edits = [region(*LEFT, RED), region(*RIGHT, BLUE), Edit("merge", (), own(BLUE), BLUE, before=own(RED))]
    after = edited(found(), edits, *SIZE)
    assert at(after, *LEFT) == at(after, *RIGHT) == BLUE
    assert own(RED) not in after.ids[after.color]


def test_an_id_that_shows_another_colour_by_now_is_not_meant() -> None:
    """References change, and ids with them: what a person saw counts."""
    numbered = replace(
        found(), ids=np.array([0, 1, 2], np.int32), rgb=np.array([(255, 255, 255), BLUE, RED], np.uint8)
    )
    same = edited(numbered, [Edit("region", (LEFT,), 1, BLUE)], *SIZE)
    turned = edited(numbered, [Edit("region", (LEFT,), 1, RED)], *SIZE)
    gone = edited(numbered, [Edit("region", (LEFT,), 1, GREEN)], *SIZE)
    assert (at(same, *LEFT), at(turned, *LEFT), at(gone, *LEFT)) == (BLUE, RED, GREEN)


POINTS = some.tuples(some.floats(-20, SIZE[0] + 20), some.floats(-20, SIZE[1] + 20))
COLORS = some.sampled_from([RED, BLUE, GREEN])
EDITS = some.lists(
    some.one_of(
        some.builds(lambda at, rgb: region(*at, rgb), POINTS, COLORS),
        some.builds(stroke, some.lists(POINTS, min_size=1, max_size=4), COLORS, some.floats(1, 30)),
        some.builds(lambda path, size: Edit("erase", tuple(path), size=size), some.lists(POINTS, min_size=1, max_size=3), some.floats(1, 40)),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(edits=EDITS)
def test_any_edits_give_a_page_that_holds_together(edits: list[Edit]) -> None:
    before, after = found(), edited(found(), edits, *SIZE)
    assert after.to_bytes() == edited(found(), edits, *SIZE).to_bytes()
    assert len(after.color) == len(after.box) == len(after.area) == len(after.confidence) == len(after.panel)
    assert int(after.labels.min()) >= 1
    assert int(after.labels.max()) <= len(after.color)
    assert np.array_equal(np.bincount(after.labels.ravel(), minlength=len(after.color) + 1)[1:], after.area)
    # A part lies in the region that it was parted from, and what nobody touched is as it was.
    for part in range(len(before.color), len(after.color)):
        assert len(np.unique(before.labels[after.labels == part + 1])) <= 1
    untold = np.flatnonzero(after.reason[: len(before.color)] != 1)
    assert (after.color[untold] == before.color[untold]).all()
    assert Flatted.of_bytes(after.to_bytes()).to_bytes() == after.to_bytes()


@pytest.mark.parametrize("scale", [1, 6], ids=["at work size", "larger than that"])
def test_what_the_editor_is_given_is_what_is_written(scale: int) -> None:
    """The planes and labels of a desk, put together, are the page that a run writes, to one step."""
    backend, sheet = FlatsBackend(), page(scale)
    edits = [
        region(LEFT[0] * scale, LEFT[1] * scale, GREEN),
        stroke([(150 * scale, 240 * scale), (150 * scale, 280 * scale)], RED, 6 * scale),
        stroke([(40 * scale, 350 * scale), (200 * scale, 360 * scale)], BLUE, 6 * scale),
    ]
    written = backend.recolor(sheet, backend.edit(sheet, state(scale), edits), {}, PageSettings()).rgb
    desk = backend.opened(sheet, state(scale), 4096)
    planes = desk.sheet(edits, PageSettings())
    shown, regions = desk.shown(edits), desk.regions(edits)
    table = np.array([(0, 0, 0), *(shown[one.id] for one in regions)])
    flats = table[planes.labels]
    drawn = np.rint(flats * planes.over[..., None] / 255).astype(int)
    kept = planes.ink & (planes.own <= flats).all(axis=2)
    drawn[kept] = planes.own[kept]
    assert np.abs(drawn - written).max() <= 1
    assert (planes.labels == desk.labels(edits)).all()
    for number, one in enumerate(regions, 1):
        ys, xs = np.nonzero(planes.labels == number)
        if scale == 1 and len(ys):
            assert one.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_a_page_larger_than_the_editors_is_given_smaller() -> None:
    desk = FlatsBackend().opened(page(), state(), 200)
    planes = desk.sheet([region(*LEFT, RED)], PageSettings())
    assert planes.labels.shape == planes.over.shape == planes.ink.shape == (200, 150)
    assert planes.own.shape == (200, 150, 3)
    here = desk.regions([region(*LEFT, RED)])[planes.labels[35, 35] - 1]
    assert here.id == own(RED)


def test_what_was_put_right_is_learned() -> None:
    backend = FlatsBackend()
    backend.load(None)
    edits = [region(*LEFT, RED), stroke([(150, 240), (150, 280)], RED), stroke([ROOM, (200, 360)], BLUE)]
    memory = restored(Memory, backend.remember(page(), backend.edit(page(), state(), edits), approved=False))
    assert set(memory.region_id.tolist()) == {own(RED), own(BLUE)}
