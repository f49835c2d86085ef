"""Where Cobra's weights lie, how they are come by, and which files must be there. Loads no torch.

A folder is of one of two kinds:

* *published*: the files as their authors give them (`PUBLISHED`), with the base model PixArt and the prompt
  beside them, or the base model in Hugging Face's cache;
* *converted* (`lote models convert`): a `cobra.json`, a folder `shared` and one folder for each style, in
  16 bit, adapters merged. It needs half the space and loads through memory mapping.

Nothing is ever downloaded from here.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...exceptions import ValidationError

Kind = Literal["published", "converted"]

ENVIRONMENT = "LOTE_COBRA_MODEL"
DESCRIPTION = "cobra.json"
FORMAT = 1  # of the converted folder

COBRA_REPOSITORY = "JunhaoZhuang/Cobra"
PIXART_REPOSITORY = "PixArt-alpha/PixArt-XL-2-1024-MS"
PIXART_FOLDER = "PixArt-XL-2-1024-MS"
PROMPT_FOLDER = "prompt_tensor"
PROMPT_ADDRESS = "https://github.com/zhuang2002/Cobra/raw/main/prompt_tensor"

# Our names of the two styles in folders, and the styles of the settings.
STYLE_FOLDERS = {"line": "line", "line + shadow": "shadow"}

_SAMPLE = 64 * 1024  # bytes read at start, middle and end of each file for its identity


@dataclass(frozen=True)
class PublishedFiles:
    """The files of one published model; a path need not exist."""

    line_extractor: Path
    image_encoder: Path
    base_transformer: Path
    vae: Path
    scheduler: Path
    prompt: Path
    prompt_mask: Path
    adapters: dict[str, Path]
    guiders: dict[str, Path]
    super_resolution: dict[str, Path]

    def of_style(self, folder: str) -> tuple[Path, ...]:
        """The files of the style in `folder` ("line" or "shadow") alone."""
        return self.adapters[folder], self.guiders[folder], self.super_resolution[folder]

    def shared(self) -> tuple[Path, ...]:
        """The files, and folders of config and weights, that both styles need."""
        return (
            self.line_extractor,
            self.image_encoder,
            self.base_transformer,
            self.vae,
            self.scheduler,
            self.prompt,
            self.prompt_mask,
        )


def published_files(folder: Path) -> PublishedFiles:
    """Where each published file should be, below `folder`, or for the base model in the cache."""
    base = folder / PIXART_FOLDER
    if not base.is_dir():
        base = _snapshot(PIXART_REPOSITORY) or base
    prompts = folder / PROMPT_FOLDER
    if not prompts.is_dir() and (default_folder() / PROMPT_FOLDER).is_dir():
        prompts = default_folder() / PROMPT_FOLDER
    styles = tuple(STYLE_FOLDERS.values())
    return PublishedFiles(
        line_extractor=folder / "LE" / "erika.pth",
        image_encoder=folder / "image_encoder",
        base_transformer=base / "transformer",
        vae=base / "vae",
        scheduler=base / "scheduler" / "scheduler_config.json",
        prompt=prompts / "prompt_embeds.pt",
        prompt_mask=prompts / "prompt_attention_mask.pt",
        adapters={style: folder / f"{style}_ckpt" / "transformer_lora_pos.bin" for style in styles},
        guiders={style: folder / f"{style}_ckpt" / "controlnet.bin" for style in styles},
        super_resolution={style: folder / f"{style}_GSRP" / "MultiResNetModel.bin" for style in styles},
    )


def weights_file(folder: Path) -> Path:
    """The one file of weights in a folder that also holds its `config.json`; it may be missing."""
    for name in (
        "diffusion_pytorch_model.safetensors",
        "model.safetensors",
        "diffusion_pytorch_model.bin",
        "pytorch_model.bin",
    ):
        if (folder / name).is_file():
            return folder / name
    return folder / "diffusion_pytorch_model.safetensors"


def default_folder() -> Path:
    """Where the published files are looked for when nothing else is said."""
    import platformdirs

    return Path(platformdirs.user_data_dir("lote", appauthor=False)) / "cobra"


def converted_folder() -> Path:
    """Where `lote models convert` writes when nothing else is said."""
    return default_folder().with_name("cobra-converted")


def candidates() -> list[Path]:
    """The folders that are looked at, in this order; the first that exists is taken.

    `LOTE_COBRA_MODEL` stands alone when it is set: a typing error there must not be answered by other weights."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return [Path(chosen).expanduser()]
    cached = _snapshot(COBRA_REPOSITORY)
    return [converted_folder(), default_folder(), *([cached] if cached else [])]


def find() -> Path:
    """The model folder. ValidationError saying where it was looked for and how to get it."""
    places = candidates()
    for place in places:
        if place.is_dir():
            return place
    raise ValidationError(
        f"Cobra's weights are not there (looked in {', '.join(map(str, places))}): "
        "`lote models path` says how to get them."
    )


def kind_of(folder: Path) -> Kind:
    """What sort of model folder this is. ValidationError if it is none."""
    if not folder.is_dir():
        raise ValidationError(f"{folder} is not a folder: name the one that holds Cobra's weights.")
    if (folder / "shared").is_dir() and (folder / DESCRIPTION).is_file():
        return "converted"
    known = (
        "LE",
        "image_encoder",
        *(f"{style}_{part}" for style in ("line", "shadow") for part in ("ckpt", "GSRP")),
    )
    if any((folder / name).is_dir() for name in known):
        return "published"
    raise ValidationError(
        f"{folder} is no Cobra model: it holds neither {DESCRIPTION} nor any of {', '.join(known)}."
    )


def description(folder: Path) -> dict[str, Any]:
    """What `cobra.json` says; {} where there is none. ValidationError if it cannot be understood."""
    path = folder / DESCRIPTION
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationError(f"{path} cannot be read as JSON ({error}): convert the model again.") from error
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise ValidationError(f"{path} is not of format {FORMAT}: convert the model again with this version.")
    return read


def missing_files(folder: Path) -> dict[str, list[str]]:
    """For "shared", "line" and "shadow": one sentence for each file that is not there."""
    if kind_of(folder) == "converted":
        wanted = {
            "shared": [
                folder / "shared" / name
                for name in ("line_extractor.safetensors", "vae.safetensors", "image_encoder/config.json")
            ]
            + [weights_file(folder / "shared" / "image_encoder")]
        }
        for style in STYLE_FOLDERS.values():
            wanted[style] = [
                folder / style / f"{name}.safetensors" for name in ("transformer", "guider", "gsrp")
            ]
    else:
        files = published_files(folder)
        wanted = {"shared": []}
        for path in files.shared():
            if path in (files.image_encoder, files.base_transformer, files.vae):
                wanted["shared"] += [path / "config.json", weights_file(path)]
            else:
                wanted["shared"].append(path)
        for style in STYLE_FOLDERS.values():
            wanted[style] = list(files.of_style(style))
    return {
        part: [f"{path} is missing." for path in paths if not path.is_file()]
        for part, paths in wanted.items()
    }


def identity(folder: Path) -> str:
    """16 hexadecimal digits that change when the weights do.

    A converted folder carries those of its source. Of published files the size and three samples of
    64 KiB are hashed: all of their 8 GB would take longer than a page."""
    known = description(folder).get("weights")
    if known:
        return str(known)
    files = published_files(folder)
    paths = [path for path in files.shared() if path.is_file()]
    paths += [weights_file(path) for path in (files.image_encoder, files.base_transformer, files.vae)]
    for style in STYLE_FOLDERS.values():
        paths += files.of_style(style)
    digest = hashlib.sha256()
    for path in paths:
        if not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.parent.name}/{path.name}:{size};".encode())
        with path.open("rb") as file:
            for start in (0, size // 2, max(size - _SAMPLE, 0)):
                file.seek(start)
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16]


def _snapshot(repository: str) -> Path | None:
    """The newest snapshot of a repository in Hugging Face's cache, where it was put by its own tools."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    root = hub / f"models--{repository.replace('/', '--')}"
    try:
        revision = (root / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = root / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def how_to_get() -> str:
    """The commands that fetch the weights, with sizes and licences, to be run by the user."""
    target = default_folder()
    return f"""\
Cobra's weights are not part of Lote and are never downloaded by it. These commands fetch them:

  hf download {COBRA_REPOSITORY} --local-dir {target}
      3 to 7 GB (from parameter counts). Licence: Apache-2.0 for the code, MIT named by the demo;
      LE/erika.pth comes from MangaLineExtraction_PyTorch and has terms of its own.
  hf download {PIXART_REPOSITORY} --include "transformer/*" "vae/*" "scheduler/*" --local-dir {target / PIXART_FOLDER}
      2.8 GB. Licence: CreativeML Open RAIL++-M.
  curl -L --create-dirs --output-dir {target / PROMPT_FOLDER} -O {PROMPT_ADDRESS}/prompt_embeds.pt -O {PROMPT_ADDRESS}/prompt_attention_mask.pt
      1 MB. Licence: Apache-2.0.

Then:  lote models check {target}
       lote models convert {target}

`hf` is the command of the package huggingface_hub. Weights elsewhere: set {ENVIRONMENT} to their folder."""
