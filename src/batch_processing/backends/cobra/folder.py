"""Where Cobra's weights lie, how they are come by, and which files must be there. Loads no torch.

A folder is of one of two kinds:

* *published*: the files as their authors give them (`PUBLISHED`), with the base model PixArt and the prompt
  beside them, or the base model in Hugging Face's cache;
* *converted* (`lote models convert`): a `cobra.json`, a folder `shared` and one folder for each style, in
  16 bit, adapters merged. It needs half the space and loads through memory mapping.

Nothing is ever downloaded from here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...exceptions import ValidationError
from ...json_types import JsonObject
from ...messages import Message
from ..devices import identity_of

Kind = Literal["published", "converted"]

ENVIRONMENT = "LOTE_COBRA_MODEL"
DESCRIPTION = "cobra.json"
FORMAT = 1  # of the converted folder

COBRA_REPOSITORY = "JunhaoZhuang/Cobra"
COBRA_REVISION = "ee2fd07574c9ea8582a7045620b9901998b42bce"
PIXART_REPOSITORY = "PixArt-alpha/PixArt-XL-2-1024-MS"
PIXART_REVISION = "b89adadeccd9ead2adcb9fa2825d3fabec48d404"
PIXART_FOLDER = "PixArt-XL-2-1024-MS"
PROMPT_FOLDER = "prompt_tensor"
PROMPT_ADDRESS = "https://github.com/zhuang2002/Cobra/raw/main/prompt_tensor"

# Our names of the two styles in folders, and the styles of the settings.
STYLE_FOLDERS = {"line": "line", "line + shadow": "shadow"}


@dataclass(frozen=True)
class PublishedFile:
    """A file of the pinned revisions: bytes, and SHA-256."""

    size: int
    sha256: str


PUBLISHED = {
    "LE/erika.pth": PublishedFile(
        172_789_563, "badbd6baf013cefbd98993307b02cc14a26c770d067416e4fdecc8720b88feeb"
    ),
    "image_encoder/pytorch_model.bin": PublishedFile(
        2_528_481_905, "3d3ec1e66737f77a4f3bc2df3c52eacefc69ce7825e2784183b1d4e9877d9193"
    ),
    "line_GSRP/MultiResNetModel.bin": PublishedFile(
        340_148_769, "056b805a02d775dd18920851307f8bcc8fdcfd3f09197d945cb682ad9a2ed7dd"
    ),
    "line_ckpt/controlnet.bin": PublishedFile(
        503_963_680, "b4cc47bb796ffdbb7cbcde7ebd38b4b35db1f3e61e4b7b4b71257229876fa27c"
    ),
    "line_ckpt/transformer_lora_pos.bin": PublishedFile(
        221_169_512, "1fdd6edc0b1e3643690e1ab38d2d4e94f72eb7671d073b346ea7472ca884b9f6"
    ),
    "shadow_GSRP/MultiResNetModel.bin": PublishedFile(
        340_148_769, "2b1c2cf7c53e627419b4741455fc69ed51922914dda3e54ed0ba4a9e2883d3b3"
    ),
    "shadow_ckpt/controlnet.bin": PublishedFile(
        503_963_680, "fd42fb398eab730a3d54d2f350047a47816fce12b6daf9de62f50ff6550db905"
    ),
    "shadow_ckpt/transformer_lora_pos.bin": PublishedFile(
        221_169_512, "62bbec6b7ce1e73f1dafd241843e4204aadeeea9f8c336512d0a5cd83e1c9c83"
    ),
    "transformer/diffusion_pytorch_model.safetensors": PublishedFile(
        2_447_431_856, "809a92d52a4a228f381a4b4f4b76051294b73285fb0cbb02f0ad24f9372217a8"
    ),
    "vae/diffusion_pytorch_model.safetensors": PublishedFile(
        334_643_268, "703abdcd7c389316b5128faa9b750a530ea1680b453170b27afebac5e4db30c4"
    ),
}
"""The files of weights by the folder and name that they have in their repository."""


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

    def weights(self) -> list[Path]:
        """Every file of weights."""
        folders = (self.image_encoder, self.base_transformer, self.vae)
        return [
            self.line_extractor,
            *map(weights_file, folders),
            *(path for style in STYLE_FOLDERS.values() for path in self.of_style(style)),
        ]

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
        base = _snapshot(PIXART_REPOSITORY, PIXART_REVISION) or base
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
    cached = _snapshot(COBRA_REPOSITORY, COBRA_REVISION)
    return [converted_folder(), default_folder(), *([cached] if cached else [])]


def find() -> Path:
    """The model folder. ValidationError saying where it was looked for and how to get it."""
    places = candidates()
    for place in places:
        if place.is_dir():
            return place
    raise ValidationError(
        "Cobra's weights are not there (looked in {str}): `lote models path` says how to get them.",
        str=", ".join(map(str, places)),
    )


def kind_of(folder: Path) -> Kind:
    """What sort of model folder this is. ValidationError if it is none."""
    if not folder.is_dir():
        raise ValidationError(
            "{folder} is not a folder: name the one that holds Cobra's weights.", folder=folder
        )
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
        "{folder} is no Cobra model: it holds neither {description} nor any of {known}.",
        folder=folder,
        description=DESCRIPTION,
        known=", ".join(known),
    )


def description(folder: Path) -> JsonObject:
    """What `cobra.json` says; {} where there is none. ValidationError if it cannot be understood."""
    path = folder / DESCRIPTION
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationError(
            "{path} cannot be read as JSON ({error}): convert the model again.", path=path, error=error
        ) from error
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise ValidationError(
            "{path} is not of format {format}: convert the model again with this version.",
            path=path,
            format=FORMAT,
        )
    return read


def missing_files(folder: Path) -> dict[str, list[Message]]:
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
        part: [Message("{path} is missing.", path=path) for path in paths if not path.is_file()]
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
    return identity_of(path for path in paths if path.is_file())


def _snapshot(repository: str, pinned: str) -> Path | None:
    """A snapshot of a repository in Hugging Face's cache, where it was put by its own tools: the revision `pinned`, or else
    the newest."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    root = hub / f"models--{repository.replace('/', '--')}"
    if (root / "snapshots" / pinned).is_dir():
        return root / "snapshots" / pinned
    try:
        revision = (root / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = root / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def how_to_get() -> Message:
    """The commands that fetch the weights, with sizes and licences, to be run by the user."""
    target = default_folder()
    sizes = [file.size / 1e9 for file in PUBLISHED.values()]
    of_base = [
        file.size / 1e9 for name, file in PUBLISHED.items() if name.startswith(("transformer/", "vae/"))
    ]
    return Message(
        """\
Cobra's weights are not part of Lote and are never downloaded by it. These commands fetch them:

  hf download {cobra} --revision {cobra_revision} --local-dir {target}
      {cobra_size} GB. Licence: Apache-2.0 for the code, MIT named by the demo;
      LE/erika.pth comes from MangaLineExtraction_PyTorch and has terms of its own.
  hf download {pixart} --revision {pixart_revision} --include "transformer/*" "vae/*" "scheduler/*" --local-dir {pixart_folder}
      {pixart_size} GB. Licence: CreativeML Open RAIL++-M.
  curl -L --create-dirs --output-dir {prompt_folder} -O {prompt_address}/prompt_embeds.pt -O {prompt_address}/prompt_attention_mask.pt
      1 MB. Licence: Apache-2.0.

Then:  lote models check {target}
       lote models convert {target}

`hf` is the command of the package huggingface_hub. Weights elsewhere: set {variable} to their folder.""",
        cobra=COBRA_REPOSITORY,
        cobra_revision=COBRA_REVISION,
        cobra_size=f"{sum(sizes) - sum(of_base):.2f}",
        target=target,
        pixart=PIXART_REPOSITORY,
        pixart_revision=PIXART_REVISION,
        pixart_size=f"{sum(of_base):.2f}",
        pixart_folder=target / PIXART_FOLDER,
        prompt_folder=target / PROMPT_FOLDER,
        prompt_address=PROMPT_ADDRESS,
        variable=ENVIRONMENT,
    )
