"""Fingerprints: which are near each other, and what turning a picture does to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batch_processing.photos.pixels.fingerprints import (
    TURNS,
    Turn,
    as_array,
    fingerprint_of,
    fingerprints_of,
    likeness,
    signature_of,
    turned,
)
from batch_processing.photos.pixels.search import near, near_between, near_pairs
from drawn_photos import cropped, scene

Numbers = NDArray[np.uint64]


def crowd(seed: int, size: int, spread: int) -> Numbers:
    """Fingerprints of which many are near others, and some are the same."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 2**64, size, dtype=np.uint64)
    for _ in range(spread):
        some = rng.integers(0, size, size // 2)
        found[some] = found[rng.integers(0, size, size // 2)] ^ (
            np.uint64(1) << rng.integers(0, 64, size // 2).astype(np.uint64)
        )
    return found


def brute(ones: Numbers, others: Numbers, distance: int) -> set[tuple[int, int]]:
    return {
        (int(one), int(other))
        for one, other in np.argwhere(np.bitwise_count(ones[:, None] ^ others) <= distance)
    }


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([0, 1, 2, 40, 700, 2500]),
    distance=st.integers(0, 12) | st.sampled_from([20, 63, 64]),
)
def test_all_near_pairs_are_found_once_and_no_others(seed: int, size: int, distance: int) -> None:
    if distance > 12:
        size = min(size, 700)  # nearly all pairs are near
    numbers = crowd(seed, size, 3)
    found = [pair for block in near_pairs(numbers, distance) for pair in zip(*map(list, block), strict=True)]
    pairs = {(min(pair), max(pair)) for pair in found}
    assert len(pairs) == len(found)
    assert pairs == {(one, other) for one, other in brute(numbers, numbers, distance) if one < other}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([0, 3, 40, 2500]), distance=st.integers(0, 10))
def test_pairs_between_two_sets_are_found_once_and_no_others(seed: int, size: int, distance: int) -> None:
    numbers = crowd(seed, 2500, 3)
    probes = numbers[np.random.default_rng(seed).integers(0, 2500, size)] ^ np.uint64(0b101)
    found = [
        pair
        for block in near_between(probes, numbers, distance)
        for pair in zip(*map(list, block), strict=True)
    ]
    assert len(set(found)) == len(found)
    assert set(found) == brute(probes, numbers, distance)
    if size:
        assert set(near(numbers, probes[0], distance)) == {at for number, at in found if number == 0}


def test_ten_thousand_of_one_fingerprint_and_of_a_large_library() -> None:
    numbers = np.concatenate([np.full(3000, 5, np.uint64), crowd(1, 60_000, 1)])
    found = sum(len(left) for left, _ in near_pairs(numbers, 0))
    _, counts = np.unique(numbers, return_counts=True)
    assert found == (counts * (counts - 1) // 2).sum()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), turn=st.sampled_from(TURNS))
def test_a_turned_picture_has_the_turned_signature(seed: int, turn: Turn) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.float64)
    picture = luma.T if turn.swap else luma
    picture = picture[:, ::-1] if turn.across else picture
    picture = picture[::-1] if turn.down else picture
    expected = turned(as_array(signature_of(luma)), turn)
    assert signature_of(picture) == expected.tobytes()
    assert fingerprint_of(signature_of(picture)) == int(fingerprints_of(expected)[0])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.025, 0.05])
def test_a_crop_is_alike_and_another_picture_is_not(share: float) -> None:
    def signature(pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        from batch_processing.photos.pixels.looking import luma_of

        return as_array(signature_of(luma_of(pixels)))

    one = scene(1, 320, 240)
    crop = likeness(signature(one), signature(np.ascontiguousarray(cropped(one, share))))
    other = likeness(signature(one), signature(scene(2, 320, 240)))
    assert crop.best[0] >= 0.95
    assert other.best[0] < 0.9
    assert crop.best[0] >= crop.whole[0]
