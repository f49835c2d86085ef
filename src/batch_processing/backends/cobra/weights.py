"""Cobra's networks from a folder of weights: strictly, whatever does not fit is one sentence.

`open_model` gives a `Model` from either kind of folder (see `folder`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...exceptions import ValidationError
from ...json_types import JsonObject
from ...messages import Message, joined
from ..painting import Size
from . import folder as folders
from .assembly import (
    Shapes,
    adapter_differences,
    assemble_guider,
    assemble_transformer,
    differences,
    shapes_of,
)
from .folder import STYLE_FOLDERS
from .gsrp import GSRP
from .line_extractor import LineExtractor, LineExtractorShape
from .preprocess import BUCKETS
from .reading import (
    cast,
    current_names,
    described,
    json_object,
    metadata,
    public,
    read_state,
    read_tensor,
    reading,
)
from .transformer import CobraTransformer, LineArtGuider, TransformerShape
from .vae import ChunkedAttention


@dataclass(frozen=True)
class Architecture:
    """Sizes of all networks. What the published files' own configs do not say has the published values."""

    transformer: TransformerShape = field(default_factory=TransformerShape)
    line_extractor: LineExtractorShape = field(default_factory=LineExtractorShape)
    vae: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    buckets: tuple[Size, ...] = BUCKETS

    def to_json(self) -> JsonObject:
        return asdict(self)

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Architecture:
        line = read.get("line_extractor")
        return cls(
            transformer=TransformerShape(**read.get("transformer", {})),
            line_extractor=LineExtractorShape(tuple(line["widths"]), tuple(line["blocks"]), line["last"])
            if line
            else LineExtractorShape(),
            vae=read.get("vae", {}),
            scheduler=read.get("scheduler", {}),
            buckets=tuple((w, h) for w, h in read.get("buckets", BUCKETS)),
        )


@dataclass
class StyleNetworks:
    """What differs between the styles."""

    transformer: CobraTransformer
    guider: LineArtGuider
    gsrp: GSRP


@dataclass
class SharedNetworks:
    """What both styles use. `vae` and `image_encoder` are stock networks."""

    line_extractor: LineExtractor
    image_encoder: Any
    vae: Any


class Model:
    """One model folder: reads networks, on the CPU, in the type `dtype`.

    Line extractor and image encoder are always float32, as the published code runs them."""

    def __init__(self, path: Path, architecture: Architecture, vae: Path, scheduler: Path) -> None:
        """`vae` and `scheduler` are the files that describe these. ValidationError if they cannot be built."""
        with described(vae), torch.device("meta"):
            # As the library completes it: older files do not say everything.
            complete = dict(_empty_vae(architecture.vae).config)
            GSRP(complete["block_out_channels"])
        with described(scheduler):
            scheduler_of(architecture.scheduler, 2)
        self.path = path
        self.architecture = replace(architecture, vae=public(complete))

    def shared(self, dtype: torch.dtype) -> SharedNetworks:
        """ValidationError for what is missing or wrong."""
        _require(self.path, "shared")
        architecture = self.architecture
        with torch.device("meta"):
            line = LineExtractor(architecture.line_extractor)
        line_file, vae_file, encoder = self.shared_files()
        _fill(line, read_state(line_file), line_file, torch.float32)
        vae = _empty_vae(architecture.vae)
        _fill(vae, current_names(read_state(vae_file)), vae_file, dtype)
        for coder in (vae.encoder, vae.decoder):
            coder.mid_block.attentions[0].set_processor(ChunkedAttention())
        return SharedNetworks(line, image_encoder(encoder), vae)

    def style(self, style: str, dtype: torch.dtype) -> StyleNetworks:
        """The networks of "line" or "line + shadow". ValidationError for what is missing or wrong."""
        part = STYLE_FOLDERS[style]
        _require(self.path, part)
        _require(self.path, "shared")
        shape = self.architecture.transformer
        states = self.style_states(part, dtype)
        text = states["transformer"].get("text")
        with torch.device("meta"):
            networks = StyleNetworks(
                CobraTransformer(shape, 1 if text is None else text.shape[1]),
                LineArtGuider(shape),
                GSRP(self.architecture.vae["block_out_channels"]),
            )
        for name, network in (
            ("transformer", networks.transformer),
            ("guider", networks.guider),
            ("gsrp", networks.gsrp),
        ):
            _fill(network, states[name], self.path / part / f"{name}.safetensors", dtype)
        return networks

    def shared_files(self) -> tuple[Path, Path, Path]:
        raise NotImplementedError

    def style_states(self, part: str, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        raise NotImplementedError


class ConvertedModel(Model):
    """A folder that `convert` wrote."""

    def __init__(self, path: Path) -> None:
        file = path / folders.DESCRIPTION
        with described(file):
            architecture = Architecture.from_json(folders.description(path))
        super().__init__(path, architecture, file, file)

    def shared_files(self) -> tuple[Path, Path, Path]:
        shared = self.path / "shared"
        return shared / "line_extractor.safetensors", shared / "vae.safetensors", shared / "image_encoder"

    def style_states(self, part: str, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        states = {}
        for name in ("transformer", "guider", "gsrp"):
            path = self.path / part / f"{name}.safetensors"
            made_for = metadata(path).get("style")
            if made_for != part:
                raise ValidationError(
                    "{path} holds weights of the style {made_for}, not {part}: convert the model again.",
                    path=path,
                    made_for=repr(made_for),
                    part=repr(part),
                )
            states[name] = read_state(path)
        return states


class PublishedModel(Model):
    """A folder of the authors' files; sizes that their configs do not say may stand in a `cobra.json`."""

    def __init__(self, path: Path) -> None:
        self.files = folders.published_files(path)
        own = folders.description(path)
        for file in (
            self.files.vae / "config.json",
            self.files.base_transformer / "config.json",
            self.files.scheduler,
        ):
            if not file.is_file():
                raise ValidationError("{file} is missing: `lote models path` says how to get it.", file=file)
        base = json_object(self.files.base_transformer / "config.json")
        with described(self.files.base_transformer / "config.json"):
            shape = TransformerShape(
                heads=base["num_attention_heads"],
                head_dim=base["attention_head_dim"],
                layers=base["num_layers"],
                caption_channels=base["caption_channels"],
                latent_channels=base["in_channels"],
            )
            self._base_shapes = _base_shapes(shape)
        with described(path / folders.DESCRIPTION):
            own_sizes = Architecture.from_json(own)
        vae = self.files.vae / "config.json"
        architecture = Architecture(
            shape,
            own_sizes.line_extractor,
            public(json_object(vae)),
            public(json_object(self.files.scheduler)),
            own_sizes.buckets,
        )
        super().__init__(path, architecture, vae, self.files.scheduler)

    def shared_files(self) -> tuple[Path, Path, Path]:
        return self.files.line_extractor, folders.weights_file(self.files.vae), self.files.image_encoder

    def style_states(self, part: str, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        problems, _ = self.style_problems(part)
        if problems:
            raise ValidationError(joined(problems, " "))
        adapters, guider, gsrp = (read_state(path) for path in self.files.of_style(part))
        base_file = folders.weights_file(self.files.base_transformer)
        base = read_state(base_file)
        wrong = differences(
            shapes_of(base), self._base_shapes, str(base_file), what=Message("the base transformer")
        )
        if wrong:
            raise ValidationError(joined(wrong, " "))
        transformer = assemble_transformer(
            base, adapters, self.prompt_rows(), self.architecture.transformer, dtype
        )
        return {"transformer": transformer, "guider": assemble_guider(guider), "gsrp": gsrp}

    def prompt_rows(self) -> Tensor:
        """(K, caption channels): the rows of the prompt that its mask keeps; 1 for the empty prompt."""
        rows, mask = (read_tensor(path) for path in (self.files.prompt, self.files.prompt_mask))
        rows, mask = rows.reshape(-1, rows.shape[-1]), mask.reshape(-1)
        channels = self.architecture.transformer.caption_channels
        if not rows.is_floating_point() or rows.shape != (len(mask), channels) or not mask.any():
            raise ValidationError(
                "{prompt} and {name} do not fit together: rows of {channels} numbers and a mask that keeps "
                "at least one of them are needed.",
                prompt=self.files.prompt,
                name=self.files.prompt_mask.name,
                channels=channels,
            )
        return rows[mask.bool()].float()

    def shared_problems(self) -> list[Message]:
        """Everything wrong with the tensors of the files that both styles need."""
        architecture = self.architecture
        problems: list[Message] = []
        with torch.device("meta"):
            line = LineExtractor(architecture.line_extractor)
        vae = _empty_vae(architecture.vae)
        for path, expected, what in (
            (self.files.line_extractor, shapes_of(line.state_dict()), Message("the line extractor")),
            (folders.weights_file(self.files.vae), shapes_of(vae.state_dict()), Message("the VAE")),
            (
                folders.weights_file(self.files.base_transformer),
                self._base_shapes,
                Message("the base transformer"),
            ),
        ):
            try:
                found = shapes_of(current_names(read_state(path)))
            except ValidationError as error:
                problems.append(error.sentence)
            else:
                problems += differences(found, expected, str(path), what=what)
        problems += problems_of(self.prompt_rows)
        problems += problems_of(lambda: image_encoder(self.files.image_encoder))
        return problems

    def style_problems(self, part: str) -> tuple[list[Message], list[Message]]:
        """Everything wrong with the tensors of one style's files, and remarks."""
        adapters, guider, gsrp = self.files.of_style(part)
        remarks: list[Message] = []

        def of_adapters(state: Mapping[str, Tensor]) -> list[Message]:
            problems, noted = adapter_differences(shapes_of(state), self._base_shapes, str(adapters))
            remarks.extend(noted)
            return problems

        shape = self.architecture.transformer
        with torch.device("meta"):
            ours, fusion = LineArtGuider(shape), GSRP(self.architecture.vae["block_out_channels"])

        def of_guider(state: Mapping[str, Tensor]) -> list[Message]:
            expected: Shapes = shapes_of(ours.state_dict())
            return differences(
                shapes_of(assemble_guider(state)), expected, str(guider), what=Message("the guider")
            )

        def of_gsrp(state: Mapping[str, Tensor]) -> list[Message]:
            expected: Shapes = shapes_of(fusion.state_dict())
            return differences(
                shapes_of(state), expected, str(gsrp), what=Message("the super-resolution network")
            )

        problems = [*_told(adapters, of_adapters), *_told(guider, of_guider), *_told(gsrp, of_gsrp)]
        return problems, remarks


def _base_shapes(shape: TransformerShape) -> Shapes:
    """Names and shapes that the base model's file must have: those of the stock network."""
    import diffusers

    stock: Any = diffusers.PixArtTransformer2DModel
    with torch.device("meta"):
        network: nn.Module = stock(
            num_attention_heads=shape.heads,
            attention_head_dim=shape.head_dim,
            in_channels=shape.latent_channels,
            out_channels=2 * shape.latent_channels,
            num_layers=shape.layers,
            cross_attention_dim=shape.width,
            sample_size=128,  # at which PixArt is told the size of its pictures
            caption_channels=shape.caption_channels,
        )
    return shapes_of(network.state_dict())


def open_model(path: Path) -> Model:
    """The model in folder `path`. ValidationError if it is none."""
    return ConvertedModel(path) if folders.kind_of(path) == "converted" else PublishedModel(path)


def _require(path: Path, part: str) -> None:
    missing = folders.missing_files(path)[part]
    if missing:
        raise ValidationError(
            "{missing} `lote models path` says how to get it.", missing=joined(missing, " ")
        )


def _told(path: Path, look: Callable[[Mapping[str, Tensor]], list[Message]]) -> list[Message]:
    try:
        state = read_state(path)
    except ValidationError as error:
        return [error.sentence]
    return look(state)


def problems_of(load: Callable[[], object]) -> list[Message]:
    try:
        load()
    except ValidationError as error:
        return [error.sentence]
    return []


def _fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Give `network`, built without numbers, those of `state`; ValidationError if they do not fit."""
    wrong = differences(shapes_of(state), shapes_of(network.state_dict()), str(path), what=Message("Cobra"))
    if wrong:
        raise ValidationError(joined(wrong, " "))
    network.load_state_dict(cast(state, dtype), strict=True, assign=True)
    network.eval().requires_grad_(requires_grad=False)


def _empty_vae(config: Mapping[str, Any]) -> Any:
    import diffusers

    stock: Any = diffusers.AutoencoderKL
    with torch.device("meta"):
        return stock.from_config(dict(config))


def scheduler_of(config: Mapping[str, Any], steps: int) -> Any:
    """A fresh scheduler of the model's own kind; it counts the steps of one batch."""
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler.from_config(dict(config))
    with warnings.catch_warnings():
        # diffusers 0.42 calls np.array on a tensor, whose __array__ has no copy keyword yet.
        warnings.filterwarnings("ignore", message=".*__array__.*copy.*", category=DeprecationWarning)
        scheduler.set_timesteps(steps)
    return scheduler


def image_encoder(path: Path) -> Any:
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    stock: Any = transformers.CLIPVisionModelWithProjection
    # Its progress bar and its report of what it loads would write over ours.
    library: Any = transformers.utils.logging
    library.disable_progress_bar()
    library.set_verbosity_error()
    file = path / "config.json"
    with described(file):
        try:
            config = transformers.CLIPVisionConfig(**json_object(file))
        except StrictDataclassError as error:  # a plain Exception
            raise ValueError(" ".join(str(error).split())) from error
        with torch.device("meta"):
            expected = shapes_of(stock(config).state_dict())
    weights = folders.weights_file(path)
    # The file may hold more: the other half of CLIP, say.
    found = {key: shape for key, shape in shapes_of(read_state(weights)).items() if key in expected}
    if wrong := differences(found, expected, str(weights), what=Message("the image encoder")):
        raise ValidationError(joined(wrong, " "))
    with reading(path):
        encoder = stock.from_pretrained(path, config=config, local_files_only=True, dtype=torch.float32)
    return encoder.eval().requires_grad_(requires_grad=False)
