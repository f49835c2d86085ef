"""Pictures before and after the networks: as upstream made them, and whole again at the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from backends.cobra.recorded import arrays, facts, vectors
from batch_processing.backends import painting
from batch_processing.backends.cobra import preprocess
from batch_processing.backends.cobra.line_extractor import LineExtractor, LineExtractorShape


def test_buckets() -> None:
    recorded = facts("buckets")
    assert [list(bucket) for bucket in preprocess.BUCKETS] == recorded["ratio_list"]
    for width, height, *bucket in recorded["cases"]:
        assert painting.choose_bucket((width, height), preprocess.BUCKETS) == tuple(bucket)


def test_patches_of_references_and_pages() -> None:
    recorded = arrays("patching")
    size = tuple(facts("manifest")["files"]["patching.npz"]["target_wh"])
    for index in range(5):
        image = Image.fromarray(recorded[f"img{index}"])
        assert np.array_equal(preprocess.fit_reference(image, size), recorded[f"img{index}.fit"])
        for patch, ours in enumerate(preprocess.reference_patches(image, size)):
            assert np.array_equal(ours, recorded[f"img{index}.ref_patch{patch}"])
        for patch, ours in enumerate(preprocess.query_crops(image, size)):
            assert np.array_equal(ours, recorded[f"img{index}.query_patch{patch}"])
    for patch, ours in enumerate(
        preprocess.reference_patches(Image.fromarray(recorded["odd.img"]), (70, 90))
    ):
        assert np.array_equal(ours, recorded[f"odd.ref_patch{patch}"])


def line_up(count: int, figure: tuple[int, int], gap: int) -> Image.Image:
    """Figures side by side on white, each of a grey of its own."""
    width, height = figure
    sheet = np.full((height + 2 * gap, count * (width + gap) + gap), 255, np.uint8)
    for number in range(count):
        left = gap + number * (width + gap)
        sheet[gap : gap + height, left : left + width] = 20 + 10 * number
    return Image.fromarray(sheet).convert("RGB")


@pytest.mark.parametrize(("count", "upright"), [(5, False), (5, True), (12, False)])
def test_a_line_up_of_figures_is_cut_between_them(count: int, upright: bool) -> None:
    image = line_up(count, (110, 400), 24)
    image = image.transpose(Image.Transpose.TRANSPOSE) if upright else image
    size = (800, 800)
    boxes = painting.tiles(np.asarray(image.convert("L")), size)
    assert len(boxes) > 1
    pictures = preprocess.fitted(image, size)
    assert [picture.size for picture in pictures] == [size] * len(boxes)
    # Every figure is whole in one of the tiles.
    whole = set()
    for left, top, right, bottom in boxes:
        assert abs((right - left) / (bottom - top) - 1) < 0.05
        tile = np.asarray(image.convert("L"))[top:bottom, left:right]
        whole |= {20 + 10 * n for n in range(count) if (tile == 20 + 10 * n).sum() == 110 * 400}
    assert len(whole) == count


@settings(max_examples=60, deadline=None)
@given(
    st.integers(40, 900), st.integers(40, 900), st.sampled_from(preprocess.BUCKETS), st.integers(0, 2**32 - 1)
)
def test_tiles_show_all_of_what_is_drawn(width: int, height: int, size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    gray = np.full((height, width), 255, np.uint8)
    for _ in range(int(rng.integers(0, 9))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        gray[y : y + int(rng.integers(5, 300)), x : x + int(rng.integers(5, 300))] = rng.integers(0, 200)
    boxes = painting.tiles(gray, size)
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    if len(boxes) > 1:
        seen = np.zeros(gray.shape, bool)
        for left, top, right, bottom in boxes:
            seen[top:bottom, left:right] = True
            assert abs((right - left) / (bottom - top) / (size[0] / size[1]) - 1) < preprocess.STRETCH
        unseen = gray[~seen].astype(int)
        assert unseen.size == 0 or np.ptp(unseen) <= 50, "nothing but ground is left out"


def test_clip_pixels() -> None:
    recorded = arrays("clip_pixels")
    for index in range(2):
        ours = preprocess.clip_pixels(Image.fromarray(recorded[f"img{index}"]))
        assert np.abs(ours - recorded["pixel_values"][index]).max() < 1e-6


@pytest.mark.parametrize("style", ["line", "line + shadow"])
def test_conditions_of_both_styles(style: str) -> None:
    recorded = arrays("preprocess")
    manifest = facts("manifest")["files"]["line_narrow_*"]
    network = LineExtractor(
        LineExtractorShape(tuple(manifest["widths"]), tuple(manifest["reps"]), manifest["last"])
    )
    network.load_state_dict(vectors("line_narrow_weights"))
    network.eval()
    buckets = [tuple(size) for size in facts("manifest")["files"]["preprocess.npz"]["ratio_list"]]
    for index in range(3):
        image = Image.fromarray(recorded[f"in{index}"])
        size = painting.choose_bucket(image.size, buckets)
        assert list(size) == recorded[f"in{index}.resolution"].tolist()
        gray = np.asarray(preprocess.resized(image, size).convert("L"))
        with torch.inference_mode():
            lines = network(torch.from_numpy(gray.astype(np.float32))[None, None])[0, 0]
        ours = preprocess.condition(gray, lines.clamp(0, 255).to(torch.uint8).numpy(), style)
        theirs = recorded[f"in{index}.{'line' if style == 'line' else 'line_shadow'}.cond"]
        assert np.abs(ours[:, :, None].astype(int) - theirs).max() <= 1
