"""Every network reproduces what upstream's code computed from the same weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from backends.cobra.recorded import facts, largest_difference, random_state, random_tensor, vectors
from batch_processing.backends.cobra import vae as walks
from batch_processing.backends.cobra.assembly import assemble_guider, assemble_transformer
from batch_processing.backends.cobra.gsrp import GSRP
from batch_processing.backends.cobra.line_extractor import LineExtractor, LineExtractorShape
from batch_processing.backends.cobra.transformer import (
    CobraTransformer,
    LineArtGuider,
    PageMemory,
    TransformerShape,
    canvas,
)

CLOSE = 1e-5  # the limit that the vectors' README calls sound, absolute, on tensors of order 1
TINY = TransformerShape(heads=2, head_dim=12, layers=4, caption_channels=16)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def built(network: torch.nn.Module, state: dict[str, Tensor]) -> torch.nn.Module:
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def tiny_transformer(rows: Tensor, lora: dict[str, Tensor] | None = None) -> CobraTransformer:
    state = assemble_transformer(vectors("dit_tiny_weights"), lora or {}, rows, TINY)
    network = CobraTransformer(TINY, len(rows))
    built(network, state)
    return network


def size_of(io: dict[str, Tensor], prefix: str = "", page: int = 0) -> dict[str, Tensor]:
    return {
        "resolution": io[f"{prefix}resolution"][page : page + 1],
        "aspect_ratio": io[f"{prefix}aspect_ratio"][page : page + 1],
    }


def recorded_entries(
    network: CobraTransformer, patches: Tensor, counts: list[int], size: dict[str, Tensor]
) -> Tensor:
    """Entries of the patches (N, 4, h, w) of one page, group after group."""
    parts = [
        network.record(part, group, size) for group, part in enumerate(patches.split(counts)) if len(part)
    ]
    return torch.cat(parts)


def flat(entries: Tensor, layer: int, part: int) -> Tensor:
    """Keys (part 0) or values (1) of one layer, as upstream keeps them: (1, N * tokens, width)."""
    return entries[:, layer, part].transpose(1, 2).flatten(2).flatten(0, 1)[None]


def memory_of(network: CobraTransformer, pages: list[Tensor], latents: Tensor) -> PageMemory:
    tokens = latents.shape[-1] * latents.shape[-2] // 4
    memory = PageMemory(network.shape, len(pages), tokens, len(pages[0]), latents)
    for page, entries in enumerate(pages):
        for slot, entry in enumerate(entries):
            memory.put(page, slot, entry)
    return memory


@pytest.mark.parametrize("case", ["even", "uneven", "noctl", "batch2", "mask3"])
def test_transformer(case: str) -> None:
    io = {
        key.removeprefix(f"{case}."): value
        for key, value in vectors("dit_tiny_io").items()
        if key.startswith(f"{case}.")
    }
    kept = io["text_mask"][0].bool()
    network = tiny_transformer(io["text"][0][kept])
    assert len(io["text"][0][kept]) == (3 if case == "mask3" else 1)
    counts = io["n_ref"].tolist()
    size = size_of(io)
    pages = [recorded_entries(network, patches, counts, size) for patches in io["refs"]]
    for layer in range(TINY.layers):
        for part, name in enumerate("KV"):
            ours = torch.cat([flat(entries, layer, part) for entries in pages])
            assert largest_difference(ours, io[f"{name}.{layer}"]) < CLOSE
    guidance = [io[f"control.{i}"] for i in range(2)] if "control.0" in io else []
    memory = memory_of(network, pages, io["x1"])
    for step in "12":
        out = network(io[f"x{step}"], io[f"t{step}"].item(), memory, guidance, size)
        assert largest_difference(out, io[f"out{step}"]) < CLOSE


def test_order_and_grouping_of_recorded_patches_is_immaterial() -> None:
    io = vectors("dit_tiny_io")
    network = tiny_transformer(io["even.text"][0][:1])
    size = size_of(io, "even.")
    one_by_one = torch.cat(
        [network.record(patch[None], index // 2, size) for index, patch in enumerate(io["even.refs"][0])]
    )
    memory = memory_of(network, [one_by_one.flip(0)], io["even.x1"])
    guidance = [io["even.control.0"], io["even.control.1"]]
    out = network(io["even.x1"], io["even.t1"].item(), memory, guidance, size)
    assert largest_difference(out, io["even.out1"]) < CLOSE


def test_position_canvas() -> None:
    checked = 0
    for name, expected in vectors("pos_tables").items():
        h, w = (int(n) for n in name.removeprefix("canvas_").split("x"))
        ours = canvas(h, w, 24, torch.device("cpu"))
        if ours.shape != expected.shape:
            ours = ours[::7, ::5]
        assert largest_difference(ours, expected) == 0
        checked += 1
    assert checked >= 4


def test_merged_adapters_give_what_the_adapted_model_gave() -> None:
    io = vectors("dit_tiny_lora_io")
    size = size_of(io)
    for lora, out in (({}, "out_without_lora"), (vectors("dit_tiny_lora"), "out")):
        network = tiny_transformer(io["text"][0][:1], lora)
        entries = recorded_entries(network, io["refs"][0], io["n_ref"].tolist(), size)
        # Merging rounds differently from adding: 1.2e-6 was measured.
        memory = memory_of(network, [entries], io["x"])
        assert largest_difference(network(io["x"], io["t"].item(), memory, (), size), io[out]) < CLOSE
    assert largest_difference(flat(entries, -1, 0), io["K_last"]) < CLOSE
    assert largest_difference(flat(entries, -1, 1), io["V_last"]) < CLOSE


def test_guider() -> None:
    io = vectors("control_tiny_io")
    network = built(LineArtGuider(TINY), assemble_guider(vectors("control_tiny_weights")))
    for t in (999, 503, 0):
        residuals = network(io["control_input"], t, size_of(io))
        for i, residual in enumerate(residuals):
            assert largest_difference(residual, io[f"t{t}.control.{i}"]) < CLOSE


def test_line_extractor() -> None:
    io, manifest = vectors("line_narrow_io"), facts("manifest")["files"]["line_narrow_*"]
    shape = LineExtractorShape(tuple(manifest["widths"]), tuple(manifest["reps"]), manifest["last"])
    network = built(LineExtractor(shape), vectors("line_narrow_weights"))
    for x, y in (("x", "y"), ("x_batch", "y_batch")):
        assert largest_difference(network(io[x]), io[y]) < CLOSE


def tiny_vae() -> AutoencoderKL:
    config = facts("manifest")["files"]["vae_tiny_*"]["config"]
    vae = AutoencoderKL.from_config(config)
    built(vae, vectors("vae_tiny_weights"))
    for coder in (vae.encoder, vae.decoder):
        coder.mid_block.attentions[0].set_processor(walks.ChunkedAttention())
    return vae


def test_vae_and_super_resolution() -> None:
    io, vae = vectors("vae_gsrp_tiny_io"), tiny_vae()
    gsrp = GSRP(facts("manifest")["params"]["vae"])
    built(gsrp, vectors("gsrp_tiny_weights"))
    hidden = {}
    for name in ("color", "bw"):
        mean, hidden[name] = walks.encode(vae, io[name])
        assert largest_difference(mean, io[f"{name}_mean"]) < CLOSE
        for level, activation in enumerate(hidden[name]):
            assert largest_difference(activation, io[f"hidden_{name}.{level}"]) < CLOSE
    assert largest_difference(walks.decode(vae, io["z"]), io["decode_plain"]) < CLOSE
    fused = [
        gsrp.fuse(level, color, lines)
        for level, (color, lines) in enumerate(zip(hidden["color"], hidden["bw"], strict=True))
    ]
    for level, value in enumerate(fused):
        assert largest_difference(value, io[f"gsrp_train.{level}"]) < CLOSE
    decoded = walks.decode(vae, io["z"], fused.__getitem__)
    assert largest_difference(decoded, io["decode_gsrp_train"]) < CLOSE


@pytest.mark.parametrize("rows", [1, 5, 72, 100])
def test_super_resolution_in_bands_gives_the_same(rows: int) -> None:
    io = vectors("vae_gsrp_tiny_io")
    gsrp = GSRP(facts("manifest")["params"]["vae"])
    built(gsrp, vectors("gsrp_tiny_weights"))
    for level in range(walks.LEVELS):
        activations = io[f"hidden_color.{level}"], io[f"hidden_bw.{level}"]
        banded = gsrp.fuse_in_bands(level, *activations, rows=rows, device=torch.device("cpu"))
        assert largest_difference(banded, io[f"gsrp_train.{level}"]) < CLOSE


def test_the_order_of_a_page_in_memory_is_kept() -> None:
    """On a GPU, to turn it round for each normalization takes longer than that itself."""
    io = vectors("vae_gsrp_tiny_io")
    gsrp = GSRP(facts("manifest")["params"]["vae"])
    built(gsrp, vectors("gsrp_tiny_weights")).to(memory_format=torch.channels_last)
    turned = (io[f"hidden_{name}.2"].to(memory_format=torch.channels_last) for name in ("color", "bw"))
    fused = gsrp.fuse(2, *turned)
    assert fused.is_contiguous(memory_format=torch.channels_last)
    assert largest_difference(fused, io["gsrp_train.2"]) < CLOSE


def test_pages_of_a_batch_are_normalized_each_for_itself() -> None:
    io = vectors("vae_gsrp_tiny_io")
    gsrp = GSRP(facts("manifest")["params"]["vae"])
    built(gsrp, vectors("gsrp_tiny_weights"))
    color, lines = (
        torch.cat([io[f"hidden_{name}.2"], torch.rand(1, 8, 18, 24) * 3]) for name in ("color", "bw")
    )
    assert largest_difference(gsrp.fuse(2, color, lines)[:1], io["gsrp_train.2"]) < CLOSE


def test_attention_of_the_vae_in_chunks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    io, vae = vectors("vae_gsrp_tiny_io"), tiny_vae()
    monkeypatch.setattr(walks, "SCORE_LIMIT", 1000)  # 9 queries at a time instead of all 108
    assert largest_difference(walks.decode(vae, io["z"]), io["decode_plain"]) < CLOSE


def full_size(name: str) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = facts("fullsize_keys")[name]
    return shapes


def check_probes(io: dict[str, Tensor], state: dict[str, Tensor], prefix: str = "probe.") -> None:
    probes = {key.removeprefix(prefix): value for key, value in io.items() if key.startswith(prefix)}
    assert probes
    for key, value in probes.items():
        assert largest_difference(state[key].flatten()[: len(value)].float(), value.float()) < 1e-7


def test_full_size_line_extractor() -> None:
    io, state = vectors("full_line_io"), random_state(full_size("line_extractor"), 50001)
    check_probes(io, state)
    network = built(LineExtractor(LineExtractorShape()), state)
    assert largest_difference(network(io["x"]), io["y"]) < CLOSE


def test_full_size_vae_and_super_resolution() -> None:
    io = vectors("full_vae_gsrp_io")
    state, gsrp_state = random_state(full_size("vae"), 50002), random_state(full_size("gsrp"), 50003)
    check_probes(io, state)
    check_probes(io, gsrp_state, "probe_gsrp.")
    channels = (128, 256, 512, 512)
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=channels,
        layers_per_block=2,
    )
    built(vae, state)
    gsrp = GSRP(channels)
    built(gsrp, gsrp_state)
    mean, color = walks.encode(vae, io["color"])
    lines = walks.activations(vae, io["bw"])
    assert largest_difference(mean, io["color_mean"]) < CLOSE
    for level in range(walks.LEVELS):
        for ours, name in ((color, "color"), (lines, "bw")):
            sums = io[f"hidden_{name}.{level}.sum"]
            assert largest_difference(ours[level].sum((2, 3)), sums) < CLOSE
    fused = [gsrp.fuse(k, color[k], lines[k]) for k in range(walks.LEVELS)]
    for level, value in enumerate(fused):
        assert largest_difference(value.mean((2, 3)), io[f"gsrp_train.{level}.chan_mean"]) < CLOSE
    assert largest_difference(walks.decode(vae, io["z"], fused.__getitem__), io["decode_train"]) < CLOSE


def test_full_size_guider() -> None:
    io, file = vectors("full_control_io"), random_state(full_size("controlnet"), 50004)
    check_probes(io, file)
    network = built(LineArtGuider(TransformerShape()), assemble_guider(file))
    residuals = network(io["control_input"], io["t"].item(), size_of(io))
    for i in (0, 6, 13):
        assert largest_difference(residuals[i], io[f"control.{i}"]) < CLOSE


@pytest.mark.slow
def test_full_size_transformer() -> None:
    io, shape = vectors("full_dit_io"), TransformerShape()
    # Folding the text reads neither queries nor keys of the cross attention: no need to draw them.
    drawn = {
        key: random_tensor(key, size, 50005)
        if not any(part in key for part in ("attn2.to_q", "attn2.to_k"))
        else torch.zeros(1).expand(*size)
        for key, size in full_size("transformer").items()
    }
    check_probes(
        io,
        {key: value for key, value in drawn.items() if ".attn2.to_k" not in key and ".attn2.to_q" not in key}
        | {
            key: random_tensor(key, full_size("transformer")[key], 50005)
            for key in ("transformer_blocks.16.attn2.to_k.weight", "transformer_blocks.22.attn2.to_q.bias")
        },
    )
    with torch.device("meta"):
        network = CobraTransformer(shape)
    built(network, assemble_transformer(drawn, {}, io["text_row0"][0], shape))
    size = size_of(io)
    entries = recorded_entries(network, io["refs"][0], io["n_ref"].tolist(), size)
    for layer, part, name in ((0, 0, "K.0"), (13, 0, "K.13"), (27, 1, "V.27")):
        assert largest_difference(flat(entries, layer, part), io[name]) < CLOSE
    memory = memory_of(network, [entries], io["x1"])
    guidance = [io[f"control.{i}"] for i in range(14)]
    for step in "12":
        out = network(io[f"x{step}"], io[f"t{step}"].item(), memory, guidance, size)
        assert largest_difference(out, io[f"out{step}"]) < CLOSE
