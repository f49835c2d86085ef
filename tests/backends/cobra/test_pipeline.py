"""The chain of all stages gives what upstream's whole program gave, stage by stage and at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from backends.cobra.recorded import arrays, facts, largest_difference, vectors
from batch_processing.backends import painting
from batch_processing.backends.cobra import preprocess
from batch_processing.backends.cobra import vae as walks
from batch_processing.backends.cobra.pipeline import Pipeline
from batch_processing.backends.cobra.weights import open_model, scheduler_of

CLOSE = 1e-5
STYLE = "line + shadow"


@pytest.fixture(scope="module")
def pipeline(small_model: Path) -> Pipeline:
    return Pipeline(open_model(small_model), torch.device("cpu"), torch.float32)


def levels_apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def test_scheduler(pipeline: Pipeline) -> None:
    recorded = vectors("scheduler")
    for steps in (2, 4, 5, 8, 10, 20, 50):
        scheduler = scheduler_of(pipeline.model.architecture.scheduler, steps)
        assert scheduler.timesteps.tolist() == recorded[f"timesteps.{steps}"].tolist()
        # Powers and roots in float32 may differ in their last bit between processors.
        torch.testing.assert_close(scheduler.sigmas, recorded[f"sigmas.{steps}"], rtol=1e-6, atol=0)
    for steps in (4, 10):
        scheduler, x = (
            scheduler_of(pipeline.model.architecture.scheduler, steps),
            recorded[f"traj.{steps}"][0],
        )
        for step, t in enumerate(scheduler.timesteps):
            x = scheduler.step(recorded[f"eps.{steps}"][step], t, x).prev_sample
            assert largest_difference(x, recorded[f"traj.{steps}"][step + 1]) < CLOSE


def test_one_step_is_a_normal_step(pipeline: Pipeline) -> None:
    latents = torch.zeros(1, 4, 12, 8)
    steps: list[int] = []
    out = pipeline.denoise(STYLE, [0], 1, latents, latents, torch.zeros(1, 1, 12, 8), None, steps.append)
    assert steps == [1]
    assert bool(out.isfinite().all())


def test_from_page_to_enlarged_colors(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    known = arrays("e2e")
    tensors = {name: torch.from_numpy(np.atleast_1d(value)) for name, value in known.items()}
    size = tuple(known["resolution_wh"].tolist())
    page = Image.fromarray(known["page"])
    buckets = [tuple(wh) for wh in facts("manifest")["files"]["e2e.npz"]["ratio_list"]]
    assert painting.choose_bucket(page.size, buckets) == size

    # Condition.
    gray = np.asarray(preprocess.resized(page, size).convert("L"))
    cond = preprocess.condition(gray, pipeline.line_art(gray), STYLE)
    assert levels_apart(np.repeat(cond[:, :, None], 3, axis=2), known["cond_input"]) <= 1
    cond = known["cond_input"][:, :, 0]

    # Retrieval.
    patches = [
        patch
        for index in range(3)
        for patch in preprocess.reference_patches(Image.fromarray(known[f"ref{index}"]), size)
    ]
    references, queries = pipeline.embed(patches), pipeline.embed(preprocess.query_crops(page, size))
    for ours, theirs in ((references, "ref_embeds"), (queries, "query_embeds")):
        assert largest_difference(ours, torch.nn.functional.normalize(tensors[theirs], dim=-1)) < CLOSE
    similarities = queries @ references.T
    assert largest_difference(similarities, tensors["sims"]) < CLOSE
    chosen = [row.argsort(descending=True)[: int(known["top_k"])].tolist() for row in similarities]
    assert chosen == known["order"][:, : int(known["top_k"])].tolist()
    half = (size[0] // 2, size[1] // 2)
    small = [np.asarray(preprocess.resized(patches[index], half)) for group in chosen for index in group]
    for slot, image in enumerate(small):
        assert np.array_equal(image, known[f"chosen.{slot // 2}.{slot % 2}"])

    # Latents: the means are ours; from here on the draws that upstream happened to make take their place.
    latents = torch.cat([pipeline.encode(patch) for patch in small])
    assert largest_difference(latents, tensors["vae.refs.mean"] * 0.18215) < CLOSE
    assert (
        largest_difference(pipeline.encode(known["cond_input"]), tensors["vae.cond.mean"] * 0.18215) < CLOSE
    )
    assert (
        largest_difference(pipeline.encode(known["hint_color"]), tensors["vae.hint.mean"] * 0.18215) < CLOSE
    )

    # Reference pass.
    latents = tensors["refs_latent_scaled"][0]
    entries = torch.cat(
        [pipeline.record(STYLE, latents[2 * group : 2 * group + 2], group) for group in range(4)]
    )
    for layer, part, name in ((0, 0, "K0"), (-1, 1, "V_last")):
        ours = entries[:, layer, part].transpose(1, 2).flatten(2).flatten(0, 1)[None]
        assert largest_difference(ours, tensors[name]) < CLOSE
    memory = pipeline.memory(STYLE, 1, len(entries), size)
    assert memory is not None
    for slot, entry in enumerate(entries):
        memory.put(0, slot, entry)

    # Denoising: noise, lines, hints and mask of the first step's input are all conditions there are.
    first = tensors["step0.control_input"]
    out = pipeline.denoise(
        STYLE,
        [int(known["seed"])],
        int(known["steps"]),
        first[:, 4:8],
        first[:, 8:12],
        first[:, 12:],
        memory,
        lambda _: None,
    )
    assert largest_difference(first[:, :4], tensors["latents_init"]) == 0
    # Random weights drive latents to several hundreds: the limit is relative to their range.
    last = tensors[f"step{int(known['steps']) - 1}.latents"]
    assert largest_difference(out, last) < CLOSE * float(last.abs().max())

    # Pictures.
    assert levels_apart(pipeline.picture(out), known["low_res_rgb"]) <= 1
    encode = walks.encode
    draws = [tensors["vae.gsrp_z.sample"], torch.zeros(1, 4, 18, 12)]
    monkeypatch.setattr(walks, "encode", lambda vae, x: (draws.pop(0), *encode(vae, x)[1:]))
    assert levels_apart(pipeline.enlarge(STYLE, known["low_res_rgb"], cond), known["high_res_rgb"]) <= 1


def test_tiled_and_offloaded_pages_are_the_same(pipeline: Pipeline, small_model: Path) -> None:
    known = arrays("e2e")
    whole = pipeline.enlarge(STYLE, known["low_res_rgb"], known["cond_input"][:, :, 0])
    other = Pipeline(open_model(small_model), torch.device("cpu"), torch.float32)
    other.tiled = other.offload = True
    assert levels_apart(other.enlarge(STYLE, known["low_res_rgb"], known["cond_input"][:, :, 0]), whole) <= 1


def test_hints_are_painted_as_upstream_painted_them() -> None:
    known = arrays("e2e")
    mask = known["hint_mask_full"][:, :, 0]
    hints = np.dstack([known["hint_color"], mask])
    painted, small = preprocess.paint_hints(known["cond_input"][:, :, 0], Image.fromarray(hints))
    assert np.array_equal(painted, known["hint_color"])
    assert np.abs(small * 255 - known["hint_mask_small"][:, :, 0]).max() < 1


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_half_precision_goes_through_every_stage(
    small_model: Path, pipeline: Pipeline, dtype: torch.dtype, limit: float
) -> None:
    """The types of a GPU, on the CPU: nothing falls back to or stumbles over float32 on the way."""
    known = arrays("e2e")
    half = Pipeline(open_model(small_model), torch.device("cpu"), dtype)
    first = torch.from_numpy(known["step0.control_input"])
    latents = torch.from_numpy(known["refs_latent_scaled"])[0]
    predictions = []
    for each in (pipeline, half):
        networks = each.networks(STYLE)
        entries = torch.cat(
            [each.record(STYLE, latents[2 * g : 2 * g + 2].to(each.dtype), g) for g in range(4)]
        )
        memory = each.memory(STYLE, 1, 8, (64, 96))
        assert memory is not None
        for slot, entry in enumerate(entries):
            memory.put(0, slot, entry)
        with torch.inference_mode():
            guidance = networks.guider(first.to(each.dtype), 999)
            predictions.append(
                networks.transformer(first[:, :4].to(each.dtype), 999, memory, guidance).float()
            )
        out = each.denoise(
            STYLE, [1], 2, first[:, 4:8], first[:, 8:12], first[:, 12:], memory, lambda _: None
        )
        assert out.dtype == each.dtype
    exact, rounded = predictions
    assert largest_difference(rounded, exact) < limit * float(exact.abs().max())
    half.tiled = True
    colors = half.picture(half.encode(known["low_res_rgb"]))
    enlarged = half.enlarge(STYLE, colors, known["cond_input"][:, :, 0])
    whole = pipeline.enlarge(STYLE, colors, known["cond_input"][:, :, 0])
    assert np.abs(enlarged.astype(int) - whole).mean() < 255 * limit
