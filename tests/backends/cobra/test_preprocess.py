"""Pictures before and after the networks: as upstream made them, and whole again at the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from backends.cobra.recorded import arrays, facts, vectors
from batch_processing.backends.cobra import preprocess
from batch_processing.backends.cobra.line_extractor import LineExtractor, LineExtractorShape


def test_buckets() -> None:
    recorded = facts("buckets")
    assert [list(bucket) for bucket in preprocess.BUCKETS] == recorded["ratio_list"]
    for width, height, *bucket in recorded["cases"]:
        assert preprocess.choose_bucket((width, height)) == tuple(bucket)


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
        size = preprocess.choose_bucket(image.size, buckets)
        assert list(size) == recorded[f"in{index}.resolution"].tolist()
        grey = np.asarray(preprocess.resized(image, size).convert("L"))
        with torch.inference_mode():
            lines = network(torch.from_numpy(grey.astype(np.float32))[None, None])[0, 0]
        ours = preprocess.condition(grey, lines.clamp(0, 255).to(torch.uint8).numpy(), style)
        theirs = recorded[f"in{index}.{'line' if style == 'line' else 'line_shadow'}.cond"]
        assert np.abs(ours[:, :, None].astype(int) - theirs).max() <= 1
