"""A folder of weights like the published ones: their names, types, shapes, sizes and extras, with random numbers.

    python benchmarks/cobra_folder.py FOLDER            both styles, 7.6 GB, with the base model beside them
    python benchmarks/cobra_folder.py FOLDER --pages    and FOLDER/pages, FOLDER/references: a small page and a reference
    python benchmarks/cobra_folder.py FOLDER --side 256 and a cobra.json that has the model take pictures of 256 x 256 only

`lote models check`, `lote models convert` and `lote colorize --backend cobra` take it as they take the real one, so that a
run at full size can be tried where the real one is not at hand. Colours are noise. Says of each file whether it has the
published number of bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.cobra import FULL, SCHEDULER, SD_VAE, VIT_H, page_image, reference_image
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from batch_processing.backends.cobra import folder as folders
from batch_processing.backends.cobra.assembly import shapes_of
from batch_processing.backends.cobra.gsrp import GSRP
from batch_processing.backends.cobra.line_extractor import LineExtractor
from batch_processing.backends.cobra.transformer import LineArtGuider
from batch_processing.backends.cobra.weights import _base_shapes, _empty_vae

RANK = 128  # of the published adapters
PROMPT_ROWS = 120
CLIP_PATCHES = 257


def random_like(shapes: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    """Numbers that keep activations near 1 in size, as trained ones do."""
    made = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            made[key] = torch.zeros(shape, dtype=torch.int64)
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) < 2):
            made[key] = torch.ones(shape, dtype=dtype)
        elif len(shape) > 1:
            made[key] = (torch.randn(*shape) / math.sqrt(math.prod(shape[1:]))).to(dtype)
        else:
            made[key] = torch.zeros(shape, dtype=dtype)
    return made


def adapters(base: Mapping[str, Any]) -> dict[str, Tensor]:
    """One pair for each layer of the base model, in 16 bit."""
    made = {}
    for key, shape in base.items():
        if key.endswith(".weight"):
            module, ones = key.removesuffix(".weight"), (1,) * len(shape[2:])
            inner = torch.randn(RANK, *shape[1:]) / math.sqrt(math.prod(shape[1:]))
            made[f"{module}.lora_A.default.weight"] = inner.half()
            made[f"{module}.lora_B.default.weight"] = (0.02 * torch.randn(shape[0], RANK, *ones)).half()
    return made


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(values), indent=1))


def write_shared(root: Path) -> Mapping[str, Any]:
    """What both styles use; the names and shapes of the base model."""
    import transformers

    shape, clip = FULL.transformer, transformers.CLIPVisionConfig(**VIT_H)
    with torch.device("meta"):
        line = shapes_of(LineExtractor(FULL.line_extractor).state_dict())
        made: Any = transformers.CLIPVisionModelWithProjection
        encoder = shapes_of(made(clip).state_dict())
        vae = shapes_of(_empty_vae(SD_VAE).state_dict())
    for name in ("LE", "image_encoder", folders.PROMPT_FOLDER):
        (root / name).mkdir(parents=True)
    torch.save(random_like(line, torch.float32), root / "LE" / "erika.pth")
    write_json(root / "image_encoder" / "config.json", clip.to_dict())
    positions = {"vision_model.embeddings.position_ids": torch.arange(CLIP_PATCHES)[None]}
    torch.save(positions | random_like(encoder, torch.float32), root / "image_encoder" / "pytorch_model.bin")
    mask = torch.zeros(PROMPT_ROWS, dtype=torch.int64)
    mask[0] = 1
    torch.save(
        torch.randn(1, PROMPT_ROWS, shape.caption_channels),
        root / folders.PROMPT_FOLDER / "prompt_embeds.pt",
    )
    torch.save(mask, root / folders.PROMPT_FOLDER / "prompt_attention_mask.pt")
    pixart, base = root / folders.PIXART_FOLDER, _base_shapes(shape)
    write_json(
        pixart / "transformer" / "config.json",
        {
            "num_attention_heads": shape.heads,
            "attention_head_dim": shape.head_dim,
            "num_layers": shape.layers,
            "caption_channels": shape.caption_channels,
            "in_channels": shape.latent_channels,
        },
    )
    write_json(pixart / "vae" / "config.json", SD_VAE)
    write_json(pixart / "scheduler" / "scheduler_config.json", SCHEDULER)
    dropped = {"caption_projection.y_embedding": torch.randn(PROMPT_ROWS, shape.caption_channels)}
    weights = "diffusion_pytorch_model.safetensors"
    save_file(
        random_like(base, torch.float32) | dropped,
        pixart / "transformer" / weights,
        metadata={"format": "pt"},
    )
    save_file(random_like(vae, torch.float32), pixart / "vae" / weights, metadata={"format": "pt"})
    return base


def write_style(root: Path, style: str, base: Mapping[str, Any]) -> None:
    with torch.device("meta"):
        guider: nn.Module = LineArtGuider(FULL.transformer)
        fusion = shapes_of(GSRP(SD_VAE["block_out_channels"]).state_dict())
    for name in ("ckpt", "GSRP"):
        (root / f"{style}_{name}").mkdir()
    torch.save(adapters(base), root / f"{style}_ckpt" / "transformer_lora_pos.bin")
    state = random_like(shapes_of(guider.state_dict()), torch.float16)
    last = FULL.transformer.guided_layers - 1
    # The published file has its last layer under a second name, by its size the same numbers.
    alias = {f"after_proj.{end}": state[f"adapter_linear.{last}.{end}"] for end in ("weight", "bias")}
    torch.save(state | alias, root / f"{style}_ckpt" / "controlnet.bin")
    torch.save(random_like(fusion, torch.float32), root / f"{style}_GSRP" / "MultiResNetModel.bin")


def write_pages(root: Path) -> None:
    for name, made in (("pages", page_image(1, (480, 480))), ("references", reference_image(1))):
        (root / name).mkdir()
        Image.fromarray(made).save(root / name / "1.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", action="store_true", help="a page and a reference as well")
    parser.add_argument("--side", type=int, help="of the pictures that the model takes, for a run on a CPU")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    with torch.no_grad():
        base = write_shared(chosen.folder)
        for style in folders.STYLE_FOLDERS.values():
            write_style(chosen.folder, style, base)
    if chosen.side:
        sizes = {"format": folders.FORMAT, "buckets": [[chosen.side, chosen.side]]}
        write_json(chosen.folder / folders.DESCRIPTION, sizes)
    if chosen.pages:
        write_pages(chosen.folder)
    for name, published in folders.PUBLISHED.items():
        path = next(chosen.folder.rglob(name))
        size = path.stat().st_size
        said = "as published" if size == published.size else f"published: {published.size:,}"
        print(f"{name}: {size:,} bytes, {said}")


if __name__ == "__main__":
    main()
