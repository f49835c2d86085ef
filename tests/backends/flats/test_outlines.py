"""What a region's outline shows: the same at any size and in a mirror, another for another shape, blind to other regions."""

from __future__ import annotations

from importlib.resources import files

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batch_processing.backends.flats import describe, outlines

TURNS = np.linspace(0, 2 * np.pi, 120)


def heads(*said: tuple[str, int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Ink and labels of some hair, each (kind, x, y, radius); region 1 is what lies around, each further one somebody's hair."""
    labels = np.ones((800, 1000), np.int32)
    ink = np.zeros((800, 1000), np.uint8)
    for number, (kind, x, y, r) in enumerate(said, 2):
        if kind == "bob":
            corners = [(-1, -0.2), (-0.7, -0.9), (0.7, -0.9), (1, -0.2), (1, 0.9), (0.6, 0.9), (0.5, -0.2)]
            outline = [*corners, (-0.5, -0.2), (-0.6, 0.9), (-1, 0.9)]
        else:
            radius = 1 - 0.3 * np.abs(np.sin(7 * TURNS))
            outline = [
                (c * k, 0.6 * s * k - 0.4)
                for c, s, k in zip(np.cos(TURNS), np.sin(TURNS), radius, strict=True)
            ]
        points = np.array([(x + dx * r, y + dy * r) for dx, dy in outline], np.int32)
        cv2.fillPoly(labels, [points], number)
        cv2.polylines(ink, [points], True, 255, 3)
    return ink.astype(np.float32) / 255, labels


def shown(line: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    return outlines.pictured(outlines.windows(line, labels, describe.shapes(labels)))


def test_the_same_outline_is_more_alike_at_another_size_than_another_outline() -> None:
    line, labels = heads(
        ("bob", 200, 200, 110), ("points", 700, 220, 120), ("bob", 750, 600, 70), ("points", 220, 600, 75)
    )
    _, bob, points, other_bob, other_points = shown(line, labels)
    assert bob @ other_bob > max(bob @ points, bob @ other_points) + 0.1
    assert points @ other_points > max(points @ bob, points @ other_bob) + 0.1


def test_a_drawing_in_a_mirror_shows_the_mirrored_windows() -> None:
    line, labels = heads(("bob", 301, 350, 160), ("points", 700, 400, 130))
    seen = outlines.windows(line, labels, describe.shapes(labels))
    line, labels = (np.ascontiguousarray(part[:, ::-1]) for part in (line, labels))
    turned = outlines.windows(line, labels, describe.shapes(labels))
    away = np.abs(turned.astype(int) - outlines.mirrored(seen))
    assert away.mean() < 6  # of 255: a pixel's place in a halved drawing may differ by one


def test_a_window_holds_the_region_and_the_ink_around_it_and_nothing_beyond_the_drawing() -> None:
    labels = np.ones((100, 100), np.int32)
    labels[40:60, 40:60] = 2
    line = np.zeros((100, 100), np.float32)
    line[:, 20] = 1
    seen = outlines.windows(line, labels, describe.shapes(labels))
    whole, small = seen
    close, far = small
    assert close[0, 16, 16] == 255
    assert close[0, 0, 0] == 0
    assert close[1].max() == 0  # the line is outside of the close window
    assert far[1].max() > 100
    assert whole[1, 0, 0].max() == 0  # beyond the drawing
    assert whole[1, 0, 16, 16] < whole[1, 0, 12, 12] == 255  # less where the other region is
    assert seen.shape == (2, len(outlines.BOXES), 2, outlines.SIDE, outlines.SIDE)


def test_the_same_drawing_gives_the_same_numbers_of_length_one_even_for_a_single_pixel() -> None:
    line, labels = heads(("bob", 300, 300, 120))
    labels[5, 7] = 3
    once, again = (shown(line, labels) for _ in range(2))
    assert once.shape == (3, outlines.WIDTH)
    assert np.array_equal(once, again)
    assert np.allclose(np.linalg.norm(once, axis=1), 1, atol=1e-4)


def test_regions_are_seen_alike_alone_and_among_others() -> None:
    rng = np.random.default_rng(4)
    some = rng.integers(
        0, 256, (outlines.BATCH + 3, len(outlines.BOXES), 2, outlines.SIDE, outlines.SIDE), np.uint8
    )
    assert np.allclose(outlines.pictured(some)[-2:], outlines.pictured(some[-2:]), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 1 << 30))
def test_every_second_pixel_is_seen_with_those_around_it(
    high: int, wide: int, channels: int, seed: int
) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 2 * high, 2 * wide, channels)).astype(np.float32)
    found = outlines._halved(x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i in range(high):
        for j in range(wide):
            around = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            assert np.array_equal(found[:, i, j], around.reshape(2, -1))


def test_the_weights_are_small() -> None:
    weights = files("batch_processing.backends.flats") / "outlines.npz"
    assert len(weights.read_bytes()) < 500_000
