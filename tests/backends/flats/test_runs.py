"""What is found by runs of pixels is what is found pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batch_processing.backends.flats import describe, ink, regions, runs, tints


def blots(seed: int, shape: tuple[int, int], colors: int, grain: float) -> NDArray[np.int32]:
    """Values in soft-edged blots, of which some are as large as others."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.random((*shape, colors)).astype(np.float32), (0, 0), grain)
    return soft.reshape(*shape, colors).argmax(axis=2).astype(np.int32)


def drawing(mask: NDArray[np.bool_], unit: float) -> ink.Ink:
    plane = np.zeros(mask.shape, np.float32)
    return ink.Ink(plane, mask, plane, 0.0, np.zeros_like(mask), unit)


def pieces_by_color(ids: NDArray[np.int32], drawn: ink.Ink) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What `tints.pieces_of` promises, by a labelling of each colour."""
    found: list[tuple[int, int, int, NDArray[np.bool_]]] = []
    for color in np.unique(ids).tolist():
        part = ((ids == color) & ~drawn.mask).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=4)
        for label in range(1, count):
            area = int(stats[label, cv2.CC_STAT_AREA])
            if area >= 60 * drawn.unit**2:
                where = labels == label
                found.append((-area, color, int(np.flatnonzero(where)[0]), where))
    found.sort(key=lambda piece: piece[:3])
    labels = np.zeros(ids.shape, np.int32)
    for number, (*_, where) in enumerate(found[: tints.MOST_REGIONS], 1):
        labels[where] = number
    color_of = np.array([color for _, color, _, _ in found[: tints.MOST_REGIONS]], np.int32)
    return regions.nearest_label(labels)[1], color_of


@pytest.mark.parametrize(
    ("shape", "colors", "grain", "unit"),
    [((90, 70), 5, 2.0, 0.3), ((64, 64), 2, 1.0, 0.15), ((200, 160), 40, 1.0, 0.15), ((1, 30), 2, 1.0, 0.1)],
)
def test_pieces_are_those_of_each_color(
    shape: tuple[int, int], colors: int, grain: float, unit: float
) -> None:
    for seed in range(4):
        ids = blots(seed, shape, colors, grain)
        mask = np.random.default_rng(seed).random(shape) < 0.1
        drawn = drawing(mask, unit)
        labels, color = tints.pieces_of(ids, drawn)
        expected, expected_color = pieces_by_color(ids, drawn)
        assert np.array_equal(labels, expected)
        assert np.array_equal(color, expected_color)


def test_a_picture_of_ink_alone_has_no_pieces() -> None:
    labels, color = tints.pieces_of(np.zeros((9, 9), np.int32), drawing(np.ones((9, 9), np.bool_), 1.0))
    assert not labels.any()
    assert not color.size


def test_shapes_are_those_of_their_pixels() -> None:
    labels = blots(5, (80, 50), 9, 2.0)
    labels[labels == 4] = 5  # a number without pixels
    what = describe.shapes(labels + 1)
    assert what.count == 9
    for number in range(9):
        y, x = np.nonzero(labels == number)
        assert what.area[number] == len(x)
        if len(x):
            assert what.box[number].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert np.array_equal(what.center[number], [x.sum() / len(x), y.sum() / len(x)])
        else:
            assert not what.box[number].any()
            assert not what.center[number].any()


def test_the_largest_value_of_each_label() -> None:
    labels = blots(6, (40, 70), 7, 1.0)
    value = np.random.default_rng(6).random(labels.shape).astype(np.float32)
    top = runs.largest(labels, value, 9)
    expected = [value[labels == number].max(initial=0) for number in range(9)]
    assert np.array_equal(top, expected)
