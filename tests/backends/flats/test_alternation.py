"""Floors of two colours: chequered throughout, turned by a word on one tile, and nothing else taken for a floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import csr_array

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.alternation import LEAST, alternated
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.backends.flats.hints import Hints, Stroke
from batch_processing.backends.flats.prepared import PreparedPage
from batch_processing.io.images import Page

LIGHT, DARK, WALL = (184, 214, 240), (130, 166, 230), (130, 90, 136)
LIFT = np.log(np.array([[0.05, 3.0, 1.0], [3.0, 0.05, 1.0], [1.0, 1.0, 2.0]]))


def grid(rows: int, columns: int) -> Any:
    """What touches what in a floor of tiles; corners touch a little, too."""
    n = rows * columns
    touching = np.zeros((n, n))
    for i in range(rows):
        for j in range(columns):
            for di, dj, much in ((0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.02), (1, -1, 0.02)):
                if i + di < rows and 0 <= j + dj < columns:
                    here, there = i * columns + j, (i + di) * columns + j + dj
                    touching[here, there] = touching[there, here] = much
    return csr_array(touching)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(3, 7), st.integers(0, 1 << 30))
def test_tiles_of_which_nobody_is_sure_alternate(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    light = rng.uniform(0.35, 0.6, rows * columns)
    share = np.stack([light, 0.97 - light, np.full(len(light), 0.03)], axis=1)
    found = alternated(share, np.log(share), grid(rows, columns), LIFT)
    tiles = found.argmax(axis=1).reshape(rows, columns)
    assert set(np.unique(tiles)) == {0, 1}
    assert (tiles[:, 1:] != tiles[:, :-1]).all()
    assert (tiles[1:] != tiles[:-1]).all()
    assert np.allclose(found.sum(axis=1), 1)
    # It is the way around that the tiles by themselves speak for.
    even = (np.add.outer(np.arange(rows), np.arange(columns)) % 2 == 0).reshape(-1)
    ahead = np.log(share[:, 0] / share[:, 1])
    assert tiles[0, 0] == (0 if ahead[even].sum() > ahead[~even].sum() else 1)


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 5), st.integers(3, 6), st.integers(1, 5), st.integers(0, 1 << 30))
def test_what_colors_have_of_a_region_stays_its_whole(rows: int, columns: int, k: int, seed: int) -> None:
    """Whatever patterns it could be a part of."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(k, 0.7), rows * columns)
    lift = np.log(np.where(np.eye(k), 0.05, rng.uniform(0.5, 4, (k, k))))
    found = alternated(share, np.log(share + 1e-9), grid(rows, columns), (lift + lift.T) / 2)
    assert np.allclose(found.sum(axis=1), 1)
    assert found.min() >= 0


@pytest.mark.parametrize("tile", range(0, 20, 3))
def test_what_is_known_of_one_tile_holds_for_the_floor(tile: int) -> None:
    share = np.tile([0.5, 0.47, 0.03], (20, 1))
    belief = np.log(share)
    belief[tile] = (-30.0, 0.0, -30.0)
    tiles = alternated(share, belief, grid(4, 5), LIFT).argmax(axis=1)
    even = np.add.outer(np.arange(4), np.arange(5)).reshape(-1) % 2
    assert (tiles == (even == even[tile])).all()


@pytest.mark.parametrize(
    ("why", "share", "lift", "rows"),
    [
        ("sure of each", [0.998, 0.001, 0.001], LIFT, 3),
        ("one of them touches itself", [0.5, 0.47, 0.03], np.log([[2.0, 3, 1], [3, 0.05, 1], [1, 1, 2]]), 3),
        ("they do not touch", [0.5, 0.47, 0.03], np.log([[0.05, 0.5, 1], [0.5, 0.05, 1], [1, 1, 2]]), 3),
        ("as likely something else", [0.3, 0.27, 0.43], LIFT, 3),
        ("too few", [0.5, 0.47, 0.03], LIFT, 1),
    ],
)
def test_nothing_else_is_a_floor(why: str, share: list[float], lift: Any, rows: int) -> None:
    every = np.tile(share, (rows * (LEAST - 1), 1))
    sure = np.log(every) * (30 if why == "sure of each" else 1)
    assert alternated(every, sure, grid(rows, LEAST - 1), lift) is every


def test_one_color_alone_is_no_pattern() -> None:
    share = np.ones((8, 1))
    assert alternated(share, np.zeros((8, 1)), grid(2, 4), np.zeros((1, 1))) is share


WIDTH, HEIGHT = 620, 500


def room(colored: bool, across: int, down: int, turned: bool = False) -> Any:
    """A wall over a chequered floor, as line art or in colours."""
    drawn = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)

    def box(x0: int, y0: int, x1: int, y1: int, color: tuple[int, int, int]) -> None:
        cv2.rectangle(drawn, (x0, y0), (x1, y1), color if colored else (255, 255, 255), -1)
        cv2.rectangle(drawn, (x0, y0), (x1, y1), (0, 0, 0), 3)

    box(20, 20, WIDTH - 20, 220, WALL)
    xs = np.linspace(20, WIDTH - 20, across + 1).round().astype(int).tolist()
    ys = np.linspace(220, HEIGHT - 20, down + 1).round().astype(int).tolist()
    for i in range(down):
        for j in range(across):
            box(xs[j], ys[i], xs[j + 1], ys[i + 1], DARK if (i + j + turned) % 2 else LIGHT)
    return drawn


def tiles_of(flatted: Flatted, across: int, down: int) -> list[list[tuple[int, ...]]]:
    return [
        [
            tuple(
                flatted.rgb[
                    flatted.color[
                        flatted.labels[
                            int(220 + (i + 0.5) * (HEIGHT - 240) / down),
                            int(20 + (j + 0.5) * (WIDTH - 40) / across),
                        ]
                        - 1
                    ]
                ].tolist()
            )
            for j in range(across)
        ]
        for i in range(down)
    ]


def prepared(folder: Path, across: int, down: int) -> PreparedPage:
    backend, references = FlatsBackend(), []
    for number, (columns, rows) in enumerate(((6, 4), (5, 3))):
        path = folder / f"{number}.png"
        Image.fromarray(room(True, columns, rows, bool(number))).save(path)
        references.append(Reference(path, str(number)))
    backend.prepare(references, folder / "learned.npz", PageSettings(), lambda done, total: None)
    backend.load(folder / "learned.npz")
    page = Page(room(False, across, down), True, 8, None, None, "L")
    return backend.prepared(page, lambda done, total: None)


@pytest.mark.parametrize(("across", "down"), [(7, 4), (5, 5)])
def test_a_floor_comes_out_chequered_and_a_hint_on_a_tile_turns_it(
    tmp_path: Path, across: int, down: int
) -> None:
    page = prepared(tmp_path, across, down)
    floor = tiles_of(page.apply(Hints(WIDTH, HEIGHT, ())), across, down)
    assert {color for row in floor for color in row} == {LIGHT, DARK}
    assert all(floor[i][j] == floor[0][(i + j) % 2] for i in range(down) for j in range(across))
    other = LIGHT if floor[1][2] == DARK else DARK
    at = (int(20 + 2.5 * (WIDTH - 40) / across), int(220 + 1.5 * (HEIGHT - 240) / down))
    turned = tiles_of(page.apply(Hints(WIDTH, HEIGHT, (Stroke((at,), other),))), across, down)
    assert all(turned[i][j] != floor[i][j] for i in range(down) for j in range(across))
