"""Flats whose colours come from a painting of the page: right under smears, the palette's where near, honest of doubt."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.color_ids import OWN_COLOR
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.backends.flats.painted import repainted
from batch_processing.io.images import Page

WIDTH, HEIGHT = 640, 480
GREEN, BLUE, ROSE = (60, 160, 80), (70, 110, 200), (230, 150, 160)
FILLS = {(120, 120): GREEN, (320, 120): BLUE, (520, 120): ROSE, (220, 340): BLUE, (460, 340): GREEN}


def drawn(colors: dict[tuple[int, int], tuple[int, int, int]] | None) -> Any:
    """Circles on white, as line art or with these colours."""
    page = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for at in FILLS:
        cv2.circle(page, at, 80, colors[at] if colors else (255, 255, 255), -1)
        cv2.circle(page, at, 80, (0, 0, 0), 3)
    return page


@lru_cache(maxsize=1)
def found() -> Flatted:
    backend = FlatsBackend()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.png"
        Image.fromarray(drawn(FILLS)).save(path)
        artefact = Path(folder) / "artefact"
        backend.prepare([Reference(path, "0" * 64)], artefact, PageSettings(), lambda done, total: None)
        backend.load(artefact)
    page = Page(drawn(None), True, 8, None, None, "L")
    return backend.flat(page, None, lambda done, total: None)


def color_at(flatted: Flatted, at: tuple[int, int]) -> tuple[int, int, int]:
    red, green, blue = flatted.rgb[flatted.color[flatted.labels[at[1], at[0]] - 1]].tolist()
    return red, green, blue


def region_at(flatted: Flatted, at: tuple[int, int]) -> int:
    return int(flatted.labels[at[1], at[0]]) - 1


def smeared(painting: Any, *, stained: bool = True) -> Any:
    """As a model paints: soft, a little aside, with noise, and with a stain that leaks over a line."""
    moved = np.roll(cv2.GaussianBlur(painting, (0, 0), 5), (4, -4), axis=(0, 1))
    if stained:
        cv2.circle(moved, (180, 160), 36, ROSE, -1)
    noise = np.random.default_rng(1).normal(0, 5, moved.shape)
    return np.clip(moved + noise, 0, 255).astype(np.uint8)


def test_each_region_takes_the_commonest_colour() -> None:
    swapped = dict(zip(FILLS, [BLUE, ROSE, GREEN, ROSE, BLUE], strict=True))
    flatted = repainted(found(), smeared(drawn(swapped)))
    assert {at: color_at(flatted, at) for at in FILLS} == swapped
    assert color_at(flatted, (5, 5)) == (255, 255, 255)
    known = dict(zip(map(tuple, found().rgb.tolist()), found().ids.tolist(), strict=True))
    for at, rgb in swapped.items():
        assert flatted.ids[flatted.color[region_at(flatted, at)]] == known[rgb]
    # A circle of which a part was stained is less sure than it is without.
    clean = repainted(found(), smeared(drawn(swapped), stained=False))
    circle = region_at(flatted, (120, 120))
    assert flatted.confidence[circle] < clean.confidence[circle]


def test_a_size_of_its_own_is_no_trouble() -> None:
    small = cv2.resize(smeared(drawn(FILLS)), (WIDTH // 2, HEIGHT // 3), interpolation=cv2.INTER_AREA)
    assert {at: color_at(repainted(found(), small), at) for at in FILLS} == FILLS


def test_a_colour_that_no_reference_shows_is_its_own_once() -> None:
    purple = (120, 40, 160)
    new = FILLS | {(120, 120): purple, (460, 340): purple}
    flatted = repainted(found(), smeared(drawn(new)))
    one, other = (region_at(flatted, at) for at in ((120, 120), (460, 340)))
    assert flatted.color[one] == flatted.color[other]
    assert flatted.ids[flatted.color[one]] >= OWN_COLOR
    assert np.abs(np.array(color_at(flatted, (120, 120))) - purple).max() <= 8


def test_paper_becomes_colour_only_where_the_painting_is_of_one_mind() -> None:
    before = found()
    region = region_at(before, (5, 5))
    paper = replace(before, reason=before.reason.copy(), color=before.color.copy())
    paper.reason[region], paper.color[region] = 0, 0
    sky = drawn(FILLS)
    sky[(sky == 255).all(axis=2)] = (150, 200, 240)
    assert color_at(repainted(paper, sky), (5, 5)) != (255, 255, 255)
    spotted = sky.copy()
    spotted[::2] = 255
    assert color_at(repainted(paper, spotted), (5, 5)) == (255, 255, 255)


COLORS = st.tuples(*[st.integers(0, 255)] * 3)


@settings(max_examples=40, deadline=None)
@given(st.lists(COLORS, min_size=5, max_size=5))
def test_even_paintings_are_kept_to_a_tenth_of_lab(colors: list[tuple[int, int, int]]) -> None:
    """Whatever a region is painted in evenly, its flat is that colour, or the palette's within Delta-E 10."""
    from batch_processing.backends.flats.color import distances, to_lab

    flatted = repainted(found(), drawn(dict(zip(FILLS, colors, strict=True))))
    for at, rgb in zip(FILLS, colors, strict=True):
        shown = color_at(flatted, at)
        away = distances(to_lab(np.array([shown])), to_lab(np.array([rgb])))[0, 0]
        assert away < 10.5, (at, rgb, shown)
    assert len(set(flatted.ids.tolist())) == len(flatted.ids)
