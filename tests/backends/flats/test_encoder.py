"""What regions show, in the eyes of the encoder: pooled over regions, deterministic, blind to where a thing stands."""

from __future__ import annotations

from importlib.resources import files

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batch_processing.backends.flats import encoder


def drawing(*things: tuple[str, int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Ink and labels of faces and boxes: (kind, x, y, radius); region 1 is what lies around them."""
    page = np.zeros((700, 900), np.uint8)
    labels = np.ones((700, 900), np.int32)
    for number, (kind, x, y, r) in enumerate(things, 2):
        if kind == "face":
            cv2.circle(labels, (x, y), r, number, -1)
            cv2.circle(page, (x, y), r, 255, 3, cv2.LINE_AA)
            for dx in (-r // 3, r // 3):
                cv2.circle(page, (x + dx, y - r // 5), r // 8, 255, -1, cv2.LINE_AA)
            cv2.ellipse(page, (x, y + r // 4), (r // 3, r // 5), 0, 0, 180, 255, 3, cv2.LINE_AA)
        else:
            cv2.rectangle(labels, (x - r, y - r), (x + r, y + r), number, -1)
            cv2.rectangle(page, (x - r, y - r), (x + r, y + r), 255, 3)
            for k in range(-r, r, max(4, r // 5)):
                cv2.line(page, (x + k, y - r), (x + k, y + r), 255, 2)
    return page.astype(np.float32) / 255, labels


def alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_things_of_one_kind_are_more_alike_than_others() -> None:
    line, labels = drawing(
        ("face", 160, 200, 90), ("box", 450, 250, 90), ("face", 700, 480, 110), ("box", 200, 520, 100)
    )
    _, face, box, other_face, other_box = encoder.pooled(line, labels, 5)
    assert alike(face, other_face) > max(alike(face, box), alike(face, other_box)) + 0.2
    assert alike(box, other_box) > max(alike(box, face), alike(box, other_face)) + 0.2


def test_the_same_drawing_gives_the_same_numbers_and_the_smallest_region_has_some() -> None:
    line, labels = drawing(("face", 300, 300, 120))
    labels[5, 7] = 3  # a single pixel, off the grid that large regions are asked on
    once, again = (encoder.pooled(line, labels, 3) for _ in range(2))
    assert once.shape == (3, encoder.WIDTH)
    assert np.isfinite(once).all()
    assert np.array_equal(once, again)
    assert np.abs(once[2]).max() > 0


def test_a_page_smaller_than_the_network_sees_is_looked_at() -> None:
    shown = encoder.pooled(np.zeros((3, 2), np.float32), np.ones((3, 2), np.int32), 1)
    assert np.isfinite(shown).all()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 3),
    st.sampled_from((1, 2)),
    st.integers(0, 1 << 30),
)
def test_channels_are_filtered_as_by_the_definition(
    high: int, wide: int, channels: int, stride: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(high, wide, channels)).astype(np.float32)
    kernel = rng.normal(size=(9, channels)).astype(np.float32)
    found = encoder._filtered(x, kernel, stride)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            window = padded[i * stride : i * stride + 3, j * stride : j * stride + 3].reshape(9, channels)
            assert np.allclose(found[i, j], (window * kernel).sum(axis=0), atol=1e-4)
    assert found.shape[:2] == (-(-high // stride), -(-wide // stride))


def test_the_weights_are_small_and_plain() -> None:
    weights = files("batch_processing.backends.flats") / "encoder.npz"
    with weights.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind == "f" for name in arrays.files)
    assert len(weights.read_bytes()) < 3 << 20
