"""Model folders: what is right loads, what is wrong is said in one sentence each, what is converted is equal."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from backends.cobra.recorded import arrays, facts, largest_difference, vectors
from batch_processing.backends.cobra import conversion
from batch_processing.backends.cobra import folder as folders
from batch_processing.backends.cobra.assembly import adapter_differences, assemble_guider, shapes_of
from batch_processing.backends.cobra.conversion import check, convert
from batch_processing.backends.cobra.gsrp import GSRP
from batch_processing.backends.cobra.line_extractor import LineExtractor, LineExtractorShape
from batch_processing.backends.cobra.pipeline import Pipeline
from batch_processing.backends.cobra.transformer import LineArtGuider, TransformerShape
from batch_processing.backends.cobra.weights import open_model
from batch_processing.exceptions import ValidationError
from batch_processing.io.publish import hash_file

ADAPTERS = "shadow_ckpt/transformer_lora_pos.bin"
GUIDER = "shadow_ckpt/controlnet.bin"
GSRP_FILE = "shadow_GSRP/MultiResNetModel.bin"
LINE = "LE/erika.pth"
ENCODER = "image_encoder/pytorch_model.bin"
BASE = "PixArt-XL-2-1024-MS/transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(small_model: Path, tmp_path: Path) -> Path:
    """A copy of the small model, to break."""
    return Path(shutil.copytree(small_model, tmp_path / "model"))


def change(path: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    safe = path.suffix == ".safetensors"
    state = dict(load_file(path)) if safe else torch.load(path)
    edit(state)
    # Away from the mapped file before it is overwritten.
    state = {key: value.clone() for key, value in state.items()}
    save_file(state, path) if safe else torch.save(state, path)


def published(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(shape) for key, shape in facts("fullsize_keys")[name].items()}


def shapes_of_network(make: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(make().state_dict())


def test_full_size_networks_have_exactly_the_published_names_and_shapes() -> None:
    from diffusers import PixArtTransformer2DModel

    assert shapes_of_network(lambda: LineExtractor(LineExtractorShape())) == published("line_extractor")
    assert shapes_of_network(lambda: GSRP((128, 256, 512, 512))) == published("gsrp")
    guider = {key: shape for key, shape in published("controlnet").items() if "after_proj" not in key}
    assert shapes_of_network(lambda: LineArtGuider(TransformerShape())) == guider
    config = facts("manifest")["files"]["dit_tiny_*"]["config"] | {
        "num_attention_heads": 16,
        "attention_head_dim": 72,
        "num_layers": 28,
        "cross_attention_dim": 1152,
        "caption_channels": 4096,
    }
    base = published("transformer")
    assert shapes_of_network(lambda: PixArtTransformer2DModel.from_config(config)) == base
    adapters = published("transformer_lora_only")
    assert adapter_differences(adapters, base, "file") == ([], [])
    problems, remarks = adapter_differences(
        adapters | published("transformer_nonlora_after_adapter"), base, "file"
    )
    assert problems == []
    assert any("replaces" in str(remark) for remark in remarks)


def test_a_sound_folder_has_no_problems(small_model: Path) -> None:
    report = check(small_model)
    assert report.kind == "published"
    assert report.problems == {"shared": [], "line": [], "shadow": []}


@pytest.mark.parametrize(
    ("file", "edit", "part", "said"),
    [
        (LINE, lambda s: s.pop("conv15.model.2.bias"), "shared", "lacks conv15.model.2.bias"),
        (
            BASE,
            lambda s: s.pop("caption_projection.linear_1.weight"),
            "shared",
            "lacks caption_projection.linear_1.weight, which the base transformer needs",
        ),
        (BASE, lambda s: s.update(extra=torch.zeros(1)), "shared", "holds extra, which the base transformer"),
        (
            ADAPTERS,
            lambda s: s.pop("proj_out.lora_B.default.weight"),
            "shadow",
            "lacks proj_out.lora_B.default.weight",
        ),
        (
            ADAPTERS,
            lambda s: s.update({"to_q.lora_A.default.weight": torch.zeros(4, 24)}),
            "shadow",
            "holds to_q.lora_A.default.weight, which belongs to no layer",
        ),
        (
            ADAPTERS,
            lambda s: s.update({"proj_out.lora_A.default.weight": torch.zeros(4, 25)}),
            "shadow",
            "proj_out.lora_A.default.weight has the shape 4 x 25, the transformer needs 4 x 24",
        ),
        (
            GUIDER,
            lambda s: s.update({"pos_embed.proj.weight": torch.zeros(24, 4, 2, 2)}),
            "shadow",
            "pos_embed.proj.weight has the shape 24 x 4 x 2 x 2, the guider needs 24 x 13 x 2 x 2",
        ),
        (
            GSRP_FILE,
            lambda s: s.pop("two_layer_resnets.3.block1.shortcut.0.weight"),
            "shadow",
            "lacks two_layer_resnets.3.block1.shortcut.0.weight, which the super-resolution network needs",
        ),
        (
            GSRP_FILE,
            lambda s: s.update({"two_layer_resnets.0.block1.bn1.weight": torch.ones(8, dtype=torch.int8)}),
            "shadow",
            "holds two_layer_resnets.0.block1.bn1.weight as int8, where Cobra needs floating-point numbers",
        ),
        (
            ENCODER,
            lambda s: s.update({"visual_projection.weight": torch.zeros(16, 31)}),
            "shared",
            "visual_projection.weight has the shape 16 x 31, the image encoder needs 16 x 32",
        ),
    ],
)
def test_each_thing_wrong_is_a_sentence(
    model: Path, file: str, edit: Callable[[dict[str, Tensor]], object], part: str, said: str
) -> None:
    change(model / file, edit)
    report = check(model)
    (sentence,) = map(str, report.problems[part])
    assert said in sentence
    assert str(model / file) in sentence
    with pytest.raises(ValidationError) as raised:
        load_everything(model)
    assert said.split(",", maxsplit=1)[0] in str(raised.value)


@pytest.mark.parametrize(
    ("file", "name", "value", "said"),
    [
        ("PixArt-XL-2-1024-MS/transformer/config.json", "num_layers", None, "describes no network"),
        ("PixArt-XL-2-1024-MS/transformer/config.json", "num_attention_heads", -1, "describes no network"),
        ("PixArt-XL-2-1024-MS/vae/config.json", "block_out_channels", [8], "describes no network"),
        ("PixArt-XL-2-1024-MS/scheduler/scheduler_config.json", "beta_end", "x", "describes no network"),
        ("image_encoder/config.json", "hidden_size", "x", "expected int, got str"),
        ("cobra.json", "line_extractor", {"widths": 3}, "describes no network"),
    ],
)
def test_a_description_of_no_network_is_a_sentence(
    model: Path, file: str, name: str, value: object, said: str
) -> None:
    path = model / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    (sentence,) = map(str, check(model).problems["shared"])
    assert said in sentence
    assert str(path) in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("file", [LINE, ENCODER])
def test_a_file_that_was_cut_off_is_a_sentence(model: Path, file: str) -> None:
    path = model / file
    whole = path.read_bytes()
    for length in (0, len(whole) - 1):
        path.write_bytes(whole[:length])
        (sentence,) = [str(found) for problems in check(model).problems.values() for found in problems]
        assert f"{path} cannot be read as weights" in sentence
        assert "\n" not in sentence


def load_everything(path: Path) -> None:
    opened = open_model(path)
    opened.shared(torch.float32)
    opened.style("line + shadow", torch.float32)


def test_buffers_that_nothing_reads_are_no_fault(small_model: Path, tmp_path: Path) -> None:
    """The published files hold two: the small model has them, too."""
    assert "vision_model.embeddings.position_ids" in torch.load(small_model / ENCODER)
    assert "caption_projection.y_embedding" in load_file(small_model / BASE)
    load_everything(small_model)
    convert(small_model, tmp_path / "converted", lambda _: None)
    written = [key for file in (tmp_path / "converted").rglob("*.safetensors") for key in load_file(file)]
    assert not [key for key in written if "position_ids" in key or "y_embedding" in key]


def test_files_that_were_damaged_on_their_way_are_remarked(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the published size, and of another SHA-256."""
    known = {
        file: folders.PublishedFile((model / file).stat().st_size, hash_file(model / file))
        for file in (LINE, GUIDER)
    }
    assert set(known) <= set(folders.PUBLISHED)
    monkeypatch.setattr(folders, "PUBLISHED", known)

    def remarks(**options: bool) -> list[str]:
        return [text for text in map(str, check(model, **options).remarks) if "published size" in text]

    assert remarks() == []
    state = torch.load(model / GUIDER)
    name = next(iter(state))
    torch.save(state | {name: state[name] + 1}, model / GUIDER)
    assert (model / GUIDER).stat().st_size == known[GUIDER].size
    (remark,) = remarks()
    assert f"{model / GUIDER} is of the published size and holds other numbers" in remark
    assert remarks(fast=True) == []


def test_the_pinned_revision_is_found_in_the_hub_cache(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hf download --revision` without a folder leaves no `refs/main`."""
    pinned = tmp_path / "models--JunhaoZhuang--Cobra" / "snapshots" / folders.COBRA_REVISION
    shutil.copytree(small_model, pinned)
    monkeypatch.delenv("LOTE_COBRA_MODEL", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert folders.find() == pinned


def test_files_of_another_kind_are_told(model: Path) -> None:
    shutil.copyfile(model / GUIDER, model / ADAPTERS)
    (model / GSRP_FILE).write_bytes(b"<html>not found</html>")
    torch.save([1, 2], model / LINE)
    report = check(model)
    assert any("holds no adapter" in str(sentence) for sentence in report.problems["shadow"])
    assert any("MultiResNetModel.bin cannot be read as weights" in str(s) for s in report.problems["shadow"])
    assert any("erika.pth holds no names with tensors" in str(s) for s in report.problems["shared"])


class Attack:
    """What a hostile pickle would run."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_a_pickle_that_runs_code_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (model / GUIDER).write_bytes(pickle.dumps(Attack(), protocol=2))
    assert any(
        "controlnet.bin cannot be read" in str(sentence) for sentence in check(model).problems["shadow"]
    )
    torch.save({"weight": Attack()}, model / GUIDER)
    assert any(
        "controlnet.bin cannot be read" in str(sentence) for sentence in check(model).problems["shadow"]
    )
    assert not (tmp_path / "ran").exists()


def test_a_file_in_the_wrong_style_is_remarked(model: Path) -> None:
    shutil.copyfile(model / GUIDER, model / "line_ckpt" / "controlnet.bin")
    report = check(model)
    assert report.problems["line"] == []
    assert any(
        "belongs to the other style" in str(remark) and "controlnet.bin" in str(remark)
        for remark in report.remarks
    )


def test_layers_without_adapters_are_remarked(model: Path) -> None:
    change(model / ADAPTERS, lambda s: [s.pop(key) for key in list(s) if key.startswith("proj_out.")])
    report = check(model)
    assert report.problems["shadow"] == []
    assert any("no adapter for proj_out" in str(remark) for remark in report.remarks)


def test_missing_files_are_named_per_part(model: Path) -> None:
    (model / GUIDER).unlink()
    shutil.rmtree(model / "PixArt-XL-2-1024-MS" / "vae")
    problems = check(model).problems
    assert problems["line"] == []
    assert list(map(str, problems["shadow"])) == [f"{model / GUIDER} is missing."]
    assert any("vae/config.json is missing" in str(sentence) for sentence in problems["shared"])


def test_prompt_and_mask_must_fit(model: Path) -> None:
    torch.save(torch.zeros(120, dtype=torch.int64), model / "prompt_tensor" / "prompt_attention_mask.pt")
    assert any("do not fit together" in str(sentence) for sentence in check(model).problems["shared"])


def low_resolution(path: Path, style: str = "line + shadow") -> np.ndarray:
    """What the first denoising passes of a fixed input give, as numbers."""
    pipeline = Pipeline(open_model(path), torch.device("cpu"), torch.float32)
    first = torch.from_numpy(arrays("e2e")["step0.control_input"])
    out = pipeline.denoise(style, [0], 2, first[:, 4:8], first[:, 8:12], first[:, 12:], None, lambda _: None)
    return pipeline.picture(out)


def test_a_converted_folder_gives_the_same_picture(small_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "converted"
    said: list[str] = []
    assert convert(small_model, target, said.append) == ["line", "shadow"]
    assert [str(line).split(":")[0] for line in said] == ["shared", "line", "shadow"]
    assert check(target).problems == {"shared": [], "line": [], "shadow": []}
    assert folders.identity(target) == folders.identity(small_model)
    for style in ("line", "line + shadow"):
        apart = np.abs(low_resolution(target, style).astype(int) - low_resolution(small_model, style))
        # Weights are rounded to 16 bit: random ones amplify that to a few levels here and there.
        assert apart.mean() < 1
    assert not [path for path in target.parent.iterdir() if path.name.endswith(".part")]


def test_weights_moved_between_styles_are_refused_in_a_converted_folder(
    small_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "converted"
    convert(small_model, target, lambda _: None)
    shutil.copyfile(target / "line" / "guider.safetensors", target / "shadow" / "guider.safetensors")
    with pytest.raises(ValidationError, match="holds weights of the style 'line', not 'shadow'"):
        open_model(target).style("line + shadow", torch.float32)
    assert open_model(target).style("line", torch.float32) is not None


def test_converting_leaves_nothing_half_done(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "converted"
    (model / GUIDER).unlink()
    assert convert(model, target, lambda _: None) == ["line"]
    with pytest.raises(ValidationError, match="exists"):
        convert(model, target, lambda _: None)
    with pytest.raises(ValidationError, match="converted model already"):
        convert(target, tmp_path / "again", lambda _: None)
    (model / LINE).unlink()
    with pytest.raises(ValidationError, match=r"erika\.pth is missing"):
        convert(model, tmp_path / "other", lambda _: None)
    assert not (tmp_path / "other").exists()


def test_a_longer_prompt_keeps_cross_attention(model: Path, tmp_path: Path) -> None:
    """Three kept rows, as recorded in case mask3: no constant stands for them."""
    mask = torch.zeros(120, dtype=torch.int64)
    mask[:3] = 1
    torch.save(mask, model / "prompt_tensor" / "prompt_attention_mask.pt")
    torch.save(
        torch.randn(120, 16, generator=torch.Generator().manual_seed(1)),
        model / "prompt_tensor" / "prompt_embeds.pt",
    )
    target = tmp_path / "converted"
    convert(model, target, lambda _: None)
    networks = [open_model(path).style("line", torch.float32).transformer for path in (model, target)]
    assert [network.text.shape for network in networks] == [(1, 3, 24)] * 2


def test_older_names_inside_the_vae_are_understood(model: Path) -> None:
    file = model / "PixArt-XL-2-1024-MS" / "vae" / "diffusion_pytorch_model.safetensors"
    older = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def rename(state: dict[str, Tensor]) -> None:
        for key in [key for key in state if ".attentions." in key]:
            name = key
            for new, old in older.items():
                name = name.replace(new, old)
            state[name] = state.pop(key)

    change(file, rename)
    assert any(".query." in key for key in load_file(file))
    assert check(model).problems["shared"] == []
    vae = open_model(model).shared(torch.float32).vae
    key = "encoder.mid_block.attentions.0.to_q.weight"
    assert largest_difference(vae.state_dict()[key], vectors("vae_tiny_weights")[key]) == 0


def test_the_alias_in_the_guider_file_is_dropped() -> None:
    file = vectors("control_tiny_weights")
    assert set(file) - set(assemble_guider(file)) == {"after_proj.weight", "after_proj.bias"}


@pytest.mark.parametrize(
    ("content", "said"), [("{", "cannot be read as JSON"), ('{"format": 99}', "is not of format 1")]
)
def test_a_description_that_cannot_be_understood_is_a_sentence(model: Path, content: str, said: str) -> None:
    (model / "cobra.json").write_text(content)
    with pytest.raises(ValidationError, match=said):
        open_model(model)


def test_configs_that_cannot_be_read_are_a_sentence(model: Path) -> None:
    (model / "PixArt-XL-2-1024-MS" / "vae" / "config.json").write_text("[]")
    assert any("holds no JSON object" in str(sentence) for sentence in check(model).problems["shared"])


def test_weights_are_found_in_the_hub_cache(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    for name, content in (
        ("JunhaoZhuang--Cobra", small_model),
        ("PixArt-alpha--PixArt-XL-2-1024-MS", small_model / "PixArt-XL-2-1024-MS"),
    ):
        snapshot = cache / f"models--{name}" / "snapshots" / "0123"
        shutil.copytree(content, snapshot, ignore=shutil.ignore_patterns("PixArt*", "prompt_tensor"))
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("0123")
    monkeypatch.delenv("LOTE_COBRA_MODEL", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = folders.find()
    assert found == cache / "models--JunhaoZhuang--Cobra" / "snapshots" / "0123"
    missing = folders.missing_files(found)
    assert missing["line"] == missing["shadow"] == []
    assert all("prompt_tensor" in str(sentence) for sentence in missing["shared"])
    # The prompt lies in no repository of the hub: its place is Lote's own folder.
    shutil.copytree(small_model / "prompt_tensor", folders.default_folder() / "prompt_tensor")
    assert folders.missing_files(found)["shared"] == []
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(tmp_path / "typing error"))
    with pytest.raises(ValidationError, match="typing error"):
        folders.find()


def test_scheduler_settings_survive_conversion(small_model: Path, tmp_path: Path) -> None:
    convert(small_model, tmp_path / "converted", lambda _: None)
    written = json.loads((tmp_path / "converted" / "cobra.json").read_text())
    assert written["scheduler"]["algorithm_type"] == "dpmsolver++"


def test_another_prompt_than_the_published_one_is_remarked(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "PROMPT_CHANNELS", 16)
    assert any("is not the empty prompt" in str(remark) for remark in check(small_model).remarks)
    row = torch.from_numpy(arrays("e2e")["prompt_embeds"])[:1].half().numpy().tobytes()
    monkeypatch.setattr(conversion, "PROMPT_SHA256", hashlib.sha256(row).hexdigest())
    assert not any("prompt" in str(remark) for remark in check(small_model).remarks)
