"""The backend `diffusers`, an experiment: an edit pipeline of the package of that name colours a page panel by panel.

Promises: the page's own ink lies over the result, and gutters, balloons and what is in no panel stay as they are; the same
page gives the same bytes on one device; of a local folder safetensors alone are loaded, no code of a model runs, and the
network is never asked. Does not promise that lines stay where they are (a panel in which they moved is listed for review),
nor any quality: no real weights were at hand.

Which model is a fact of the machine: the environment variables `LOTE_DIFFUSERS_MODEL` (a folder of `save_pretrained`),
`LOTE_DIFFUSERS_LORA` (a .safetensors file) and `LOTE_DIFFUSERS_DEVICE` ("cpu" for trying without a GPU).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ResourceError, ValidationError
from ..json_types import JsonObject
from ..messages import Message
from .base import Colored, PageSettings, Progress, Reference
from .devices import device_of, identity_of, no_gpu, not_installed, unless_out_of_memory

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image

    from ..io.images import Page
    from .flats.panels import Panel
    from .painting import References, Size, Steps

    Pixels = NDArray[np.uint8]

MODEL, LORA, DEVICE = "LOTE_DIFFUSERS_MODEL", "LOTE_DIFFUSERS_LORA", "LOTE_DIFFUSERS_DEVICE"
CODE_VERSION = "1"  # change it whenever pixels change
PACKAGES = ("torch", "diffusers", "transformers", "safetensors")
# By class what its published examples ask for beside pictures: guidance against an empty prompt.
PIPELINES: Mapping[str, Mapping[str, object]] = {
    "Flux2KleinPipeline": {},
    "QwenImageEditPlusPipeline": {"negative_prompt": " ", "true_cfg_scale": 4.0},
}
NETWORKS = ("transformer", "vae", "text_encoder")
ADAPTER = re.compile(r"transformer\.(.+)\.lora_([AB])\.weight")
ODD = ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern")  # of a LoRA that is merged in another way
PROMPT = (
    "Color the black and white comic panel in picture 1. Keep every line, letter and shape of picture 1 "
    "exactly where it is; add nothing and remove nothing."
)
WITH_REFERENCES = " The other pictures show the same things in color: take all colors from them."

MOST_REFERENCES = 4
AREA = 1024 * 1024  # pixels: both classes shrink what is larger, and were trained near it
GRID = 32  # pixels: sides are multiples of it; 16 would do for Flux, Qwen's own rule says 32
LONGEST = 4  # longer side of a picture over its shorter one; Flux refuses more than 8
SHEET = 2  # a reference longer than this is cut into tiles, where one would leave less than 0.7 of it
# Share of what was drawn in a panel that is off the lines (`painting.drift`), from which it goes to review.
DRIFTED = 0.1
HALO = 2  # pixels of the model's picture within which its own drawing of a line is soft
BARE = 0.01  # share of a page that may lie in no panel without being listed for review


class DiffusersBackend:
    """Colours panels with an edit pipeline and up to four references. See `base.Backend` for the contract."""

    name = "diffusers"
    needs_references = True
    exclusive = True

    def __init__(self) -> None:
        self._pipeline: Any = None
        self._gallery: _Gallery | None = None

    @cached_property
    def version(self) -> str:
        """That of the code with the identity of model and LoRA; without a usable model of the code alone."""
        try:
            folder, _, lora = _model()
        except ValidationError:
            return CODE_VERSION
        read = (".safetensors", ".json", ".txt", ".jinja")
        files = [path for path in sorted(folder.rglob("*")) if path.suffix in read and path.is_file()]
        added = "" if lora is None else "+" + hashlib.sha256(lora.read_bytes()).hexdigest()
        return f"{CODE_VERSION}+{identity_of(files)}{added}"

    def unavailable(self) -> Message | None:
        if absent := not_installed(PACKAGES):
            return absent
        try:
            _model()
        except ValidationError as error:
            return error.sentence
        if not os.environ.get(DEVICE) and (reason := no_gpu("diffusers")):
            return Message(
                "{reason} (to try it without one, set {variable}=cpu).", reason=reason, variable=DEVICE
            )
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        """Keep the references as they are, in sRGB: which of them are shown depends on the panel."""
        from .painting import keep_references

        keep_references(references, artefact, progress)

    def load(self, artefact: Path | None) -> None:
        """Load the pipeline, once per process, and open the references."""
        from .painting import References

        if self._pipeline is None:
            self._pipeline = _loaded()
        if self._gallery is not None:
            self._gallery.references.close()
        self._gallery = _Gallery(References(artefact))

    def color(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Colored:
        """See the contract. Hints are not used: a page that has any goes to review. ResourceError out of memory."""
        import numpy as np
        from PIL import Image

        from ..io.profiles import from_srgb
        from . import painting
        from .flats import panels as page_panels

        progress(0, 1)
        rgb, gray = page.srgb(), np.asarray(Image.fromarray(page.rgb).convert("L"))
        panels, bare = page_panels.find(rgb)
        cuts = [painting.pieces(gray[panel.rows, panel.columns]) for panel in panels]
        steps = painting.Steps(progress, 0, settings.num_inference_steps * sum(map(len, cuts)))
        painted, colored, reach = rgb.copy(), np.zeros(gray.shape, bool), 1
        told = []
        review = [] if bare.mean() <= BARE else [_doubt(bare, "in no panel")]
        for number, (panel, parts) in enumerate(zip(panels, cuts, strict=True)):
            own = rgb[panel.rows, panel.columns]
            chosen = self._gallery.chosen(panel, steps) if self._gallery else {}
            made, moved = [], np.zeros(2)
            for part, place in enumerate(parts):
                full = own[place].shape[1], own[place].shape[0]
                size = _size(full)
                line_art = Image.fromarray(own[place]).resize(size, Image.Resampling.LANCZOS)
                raster = self._painted([line_art, *chosen.values()], f"{number}/{part}", settings, steps)
                moved += painting.drift(np.asarray(line_art), raster)
                made.append(np.asarray(Image.fromarray(raster).resize(full, Image.Resampling.LANCZOS)))
                reach = max(reach, math.ceil(HALO * max(full[0] / size[0], full[1] / size[1])))
            painted[panel.rows, panel.columns][panel.mask] = painting.join(made, parts)[panel.mask]
            colored[panel.rows, panel.columns] |= panel.mask
            drift = float(moved[0] / max(1.0, moved[1]))
            told.append({"references": list(chosen), "drift": round(drift, 4)})
            if drift > DRIFTED:
                whole = np.zeros(gray.shape, bool)
                whole[panel.rows, panel.columns] = panel.mask
                review.append(_doubt(whole, "lines moved"))
        right = max(0.0, 1 - sum(region["doubt"] for region in review))
        if hints is not None:
            review.append(_doubt(np.ones(gray.shape, bool), "hints are not used"))
        review.sort(key=lambda region: -region["doubt"])
        inked = painting.keep_ink(from_srgb(painted, page.icc), page.rgb, gray, reach)
        result = np.where(colored[..., None], inked, page.rgb)
        return Colored(result, right, {"panels": told, "review": review})

    def _painted(self, pictures: Sequence[Image], place: str, settings: PageSettings, steps: Steps) -> Pixels:
        """What the pipeline makes of the first of these pictures, at its size; the others are references."""
        import numpy as np
        import torch

        def told(*heard: Any) -> Any:
            steps(1)  # it may raise Cancelled
            return heard[3]

        pipeline, (width, height) = self._pipeline, pictures[0].size
        seed = int.from_bytes(hashlib.sha256(f"{settings.seed}/{place}".encode()).digest()[:7], "big")
        made = unless_out_of_memory(
            lambda: pipeline(
                image=list(pictures),
                prompt=PROMPT + WITH_REFERENCES * (len(pictures) > 1),
                width=width,
                height=height,
                num_inference_steps=settings.num_inference_steps,
                generator=torch.Generator("cpu").manual_seed(seed),  # the same noise on any device
                callback_on_step_end=told,
                **PIPELINES[type(pipeline).__name__],
            ).images[0]
        )
        if isinstance(made, BaseException):
            raise ResourceError(
                "Memory of {device} is too small for this model: use --backend flats.", device=pipeline.device
            ) from made
        return np.asarray(made.convert("RGB").resize((width, height)))


class _Gallery:
    """The references of a job, long ones in tiles, and what each shows: looked at when the first panel asks."""

    def __init__(self, references: References) -> None:
        self.references = references
        self._tiles: list[tuple[str, tuple[int, int, int, int]]] = []
        self._places: list[NDArray[np.float32]] = []

    def chosen(self, panel: Panel, alive: Callable[[int], None]) -> dict[str, Image]:
        """At most four tiles that together show best what the panel shows, under the SHA-256 of the reference and the
        number of the tile."""
        from PIL import Image

        from .flats.panels import covering

        if not self._tiles:
            self._look(alive)
        pictures = {}
        for number in covering(panel, self._places, MOST_REFERENCES):
            name, box = self._tiles[number]
            tile = self.references.image(name).crop(box)
            pictures[f"{name}/{number}"] = tile.resize(_size(tile.size), Image.Resampling.LANCZOS)
        return pictures

    def _look(self, alive: Callable[[int], None]) -> None:
        import numpy as np

        from .flats.panels import shown
        from .painting import tiles

        for name in self.references.names:
            image = self.references.image(name)
            shape = (SHEET, 1) if image.width > image.height else (1, SHEET)
            long = max(image.size) > SHEET * min(image.size)
            for box in tiles(np.asarray(image.convert("L")), shape if long else image.size):
                alive(0)
                self._tiles.append((name, box))
                self._places.append(shown(np.asarray(image.crop(box))))


def _size(full: Size) -> Size:
    """The size at which the pipeline takes a picture of this one: of about its shape, and never more than AREA.

    Both classes leave a picture of such a size as it is: one that they resized would not lie under its result."""
    from .painting import choose_bucket

    def by_qwen(ratio: float) -> Size:
        wide = math.sqrt(AREA * ratio)
        return round(wide / GRID) * GRID, round(wide / ratio / GRID) * GRID

    widths = range(2 * GRID, math.isqrt(AREA * LONGEST) + 1, GRID)
    fits = [(wide, AREA // wide // GRID * GRID) for wide in widths if wide**2 * LONGEST >= AREA]
    return choose_bucket(full, [size for size in fits if by_qwen(size[0] / size[1]) == size])


def _doubt(where: NDArray[np.bool_], why: str) -> JsonObject:
    """An entry of `Colored.details["review"]` for all that is marked (H, W)."""
    import numpy as np

    rows, columns = (np.flatnonzero(where.any(axis=axis)).tolist() for axis in (1, 0))
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return {"box": box, "confidence": 0.0, "why": why, "doubt": round(float(where.mean()), 6)}


def _model() -> tuple[Path, Mapping[str, Any], Path | None]:
    """Folder of the model, its `model_index.json`, and the LoRA. ValidationError for what is missing or not to be used."""
    if not (said := os.environ.get(MODEL)):
        raise ValidationError("{variable} is not set: it names the folder of a pipeline.", variable=MODEL)
    folder = Path(said).expanduser()
    file = folder / "model_index.json"
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        name = index["_class_name"]
        libraries = {part: index[part][0] for part in index if isinstance(index[part], list)}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValidationError(
            "{file} cannot be read ({error}): {variable} must name a folder that diffusers saved a pipeline to.",
            file=file,
            error=error,
            variable=MODEL,
        ) from error
    if name not in PIPELINES:
        known = ", ".join(PIPELINES)
        raise ValidationError(
            "{folder} holds a {name}: only {known} can be used.", folder=folder, name=str(name), known=known
        )
    for part, library in libraries.items():
        if library not in ("diffusers", "transformers"):
            raise ValidationError(
                "{folder} wants code of its own to run, which is never done: take the published model.",
                folder=folder / part,
            )
    for part in NETWORKS:
        if part not in libraries or not any((folder / part).glob("*.safetensors")):
            raise ValidationError(
                "{folder} holds no .safetensors: fetch them (pickled weights, such as .bin, are never loaded).",
                folder=folder / part,
            )
    lora = Path(os.environ[LORA]).expanduser() if os.environ.get(LORA) else None
    if lora is not None and (lora.suffix != ".safetensors" or not lora.is_file()):
        raise ValidationError(
            "{path}, named by {variable}, is no .safetensors file.", path=lora, variable=LORA
        )
    return folder, index, lora


def _loaded() -> Any:
    """The pipeline on its device. ValidationError for wrong weights, ResourceError for memory."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # before its library is imported
    import diffusers
    import torch
    import transformers

    from .cobra.reading import reading

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    folder, index, lora = _model()
    device = device_of(os.environ.get(DEVICE))
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    stock = getattr(diffusers, index["_class_name"])

    def made() -> Any:
        with reading(folder):
            parts = {part: _network(folder / part, index[part], dtype) for part in NETWORKS}
            if "processor" in index:
                parts["processor"] = None
            pipeline = stock.from_pretrained(folder, local_files_only=True, **parts)
            if "processor" in index:
                pipeline.processor = _Processor(folder / "processor", pipeline.tokenizer)
        if lora is not None:
            with reading(lora):
                _merge(stock, pipeline.transformer, lora)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device)

    pipeline = unless_out_of_memory(made)
    if isinstance(pipeline, BaseException):
        raise ResourceError(
            "There is not enough memory on {device} to load {folder}: close other programs.",
            device=device,
            folder=folder,
        ) from pipeline
    return pipeline


def _network(folder: Path, stock: Sequence[str], dtype: torch.dtype) -> Any:
    """One network, whole: ValidationError where the library would leave what a file lacks as it was made up."""
    network, told = getattr(importlib.import_module(stock[0]), stock[1]).from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if missing := sorted(told["missing_keys"]):
        raise ValidationError("{folder} lacks {name}: fetch it again.", folder=folder, name=missing[0])
    return network


class _Processor:
    """What Qwen's pipeline asks of `Qwen2VLProcessor`, which itself wants torchvision for the films it could read."""

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        from transformers import Qwen2VLImageProcessorPil

        self._images = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        self._tokenizer = tokenizer

    def __call__(self, text: list[str], images: list[Image], **asked: Any) -> Any:
        found = self._images(images=images, return_tensors="pt")
        patches = found["image_grid_thw"].prod(dim=1) // self._images.merge_size**2
        marks = ["<|image_pad|>" * number for number in patches.tolist()]
        written = text[0].replace("<|image_pad|>", "{}").format(*marks)
        found.update(self._tokenizer([written], **asked))
        return found


def _merge(stock: Any, transformer: Any, path: Path) -> None:
    """Add a LoRA to the weights of the transformer. ValidationError for one that does not fit."""
    from safetensors import safe_open

    offline = {"local_files_only": True, "use_safetensors": True}
    state, said = stock.lora_state_dict(
        path.parent, weight_name=path.name, return_lora_metadata=True, **offline
    )
    with safe_open(path, "pt") as file:
        odd = [key for key in file.keys() if "dora_scale" in key]  # noqa: SIM118 - it is no dictionary
    odd += [key for key in ODD if (said or {}).get(f"transformer.{key}")]
    weights = dict(transformer.named_parameters())
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        match = ADAPTER.fullmatch(key)
        if match is None or f"{match[1]}.weight" not in weights:
            raise ValidationError("{path} does not fit the model: it holds {key}.", path=path, key=key)
        pairs.setdefault(f"{match[1]}.weight", {})[match[2]] = value.float()
    odd += [name for name, pair in pairs.items() if pair.keys() != {"A", "B"}]
    if odd:
        raise ValidationError("{path} does not fit the model: it holds {key}.", path=path, key=odd[0])
    for name, pair in pairs.items():
        a, b, weight = pair["A"], pair["B"], weights[name]
        scale = (said or {}).get("transformer.lora_alpha", len(a)) / len(a)
        weight.data += (scale * (b @ a)).reshape(weight.shape).to(weight.dtype)
