"""A model folder of the published names, layout, types and extras around the small recorded networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from backends.cobra.recorded import arrays, facts, vectors
from batch_processing.backends.cobra.reading import cast
from shared_data import require_shared


def write_small_model(folder: Path) -> Path:
    """A published model in `folder`, both styles: "line" has another guider, so that styles differ."""
    manifest = facts("manifest")
    kinds = manifest["files"]
    end_to_end = arrays("e2e")
    base = folder / "PixArt-XL-2-1024-MS"
    for part in ("LE", "image_encoder", "prompt_tensor"):
        (folder / part).mkdir(parents=True)
    for part in ("transformer", "vae", "scheduler"):
        (base / part).mkdir(parents=True)
    torch.save(vectors("line_narrow_weights"), folder / "LE" / "erika.pth")
    clip = require_shared("spec", "cobra", "vectors", "clip_tiny")
    for file in clip.glob("*.json"):
        shutil.copyfile(file, folder / "image_encoder" / file.name)
    # What an older library wrote with it.
    positions = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    torch.save(
        load_file(clip / "model.safetensors") | positions, folder / "image_encoder" / "pytorch_model.bin"
    )
    prompt, mask = (torch.from_numpy(end_to_end[name]) for name in ("prompt_embeds", "prompt_mask"))
    torch.save(prompt, folder / "prompt_tensor" / "prompt_embeds.pt")
    torch.save(mask, folder / "prompt_tensor" / "prompt_attention_mask.pt")
    for part, name in (("transformer", "dit_tiny"), ("vae", "vae_tiny")):
        (base / part / "config.json").write_text(json.dumps(kinds[f"{name}_*"]["config"]))
        extras = {"caption_projection.y_embedding": torch.zeros(120, 16)} if part == "transformer" else {}
        save_file(vectors(f"{name}_weights") | extras, base / part / "diffusion_pytorch_model.safetensors")
    scheduler = kinds["scheduler.safetensors"]["config"]
    scheduler["lambda_min_clipped"] = float(scheduler["lambda_min_clipped"])
    (base / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    no_change = {
        key: torch.zeros_like(value) if ".lora_B." in key else value
        for key, value in vectors("dit_tiny_lora").items()
    }
    guider = vectors("control_tiny_weights")
    for style in ("shadow", "line"):
        (folder / f"{style}_ckpt").mkdir()
        (folder / f"{style}_GSRP").mkdir()
        torch.save(cast(no_change, torch.float16), folder / f"{style}_ckpt" / "transformer_lora_pos.bin")
        torch.save(guider, folder / f"{style}_ckpt" / "controlnet.bin")
        torch.save(vectors("gsrp_tiny_weights"), folder / f"{style}_GSRP" / "MultiResNetModel.bin")
        guider = {key: value if "after_proj" in key else value * 0.5 for key, value in guider.items()}
    narrow = kinds["line_narrow_*"]
    (folder / "cobra.json").write_text(
        json.dumps(
            {
                "format": 1,
                "line_extractor": {
                    "widths": narrow["widths"],
                    "blocks": narrow["reps"],
                    "last": narrow["last"],
                },
                "buckets": kinds["e2e.npz"]["ratio_list"],
            }
        )
    )
    return folder
