"""Reads Cobra's weights: strictly, tensors only, memory-mapped where the format allows it.

`open_model` gives a `Model` from either kind of folder (see `folder`). `check` says everything that is wrong
with a folder, one sentence each. `convert` writes a converted folder.

Pickled files are read with `weights_only`: they can hold tensors and nothing that runs.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import pickle
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...exceptions import ValidationError
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
from .preprocess import BUCKETS, Size
from .transformer import CobraTransformer, LineArtGuider, TransformerShape
from .vae import ChunkedAttention

# The one kept row of the published prompt, in float16: the T5 encoding of the empty text.
PROMPT_CHANNELS = 4096
PROMPT_SHA256 = "374b73454f50b47c462d7f2d25bd52b4a703bda1362f26fbb1974e442078abaf"
STORED = torch.float16  # of converted folders; line extractor and image encoder stay in float32


@dataclass(frozen=True)
class Architecture:
    """Sizes of all networks. What the published files' own configs do not say has the published values."""

    transformer: TransformerShape = field(default_factory=TransformerShape)
    line_extractor: LineExtractorShape = field(default_factory=LineExtractorShape)
    vae: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    buckets: tuple[Size, ...] = BUCKETS

    def to_json(self) -> dict[str, Any]:
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
        with _described(vae), torch.device("meta"):
            # As the library completes it: older files do not say everything.
            complete = dict(_empty_vae(architecture.vae).config)
            GSRP(complete["block_out_channels"])
        with _described(scheduler):
            scheduler_of(architecture.scheduler, 2)
        self.path = path
        self.architecture = replace(architecture, vae=_public(complete))

    def shared(self, dtype: torch.dtype) -> SharedNetworks:
        """ValidationError for what is missing or wrong."""
        _require(self.path, "shared")
        architecture = self.architecture
        with torch.device("meta"):
            line = LineExtractor(architecture.line_extractor)
        line_file, vae_file, encoder = self._shared_files()
        _fill(line, _read(line_file), line_file, torch.float32)
        vae = _empty_vae(architecture.vae)
        _fill(vae, _current_names(_read(vae_file)), vae_file, dtype)
        for coder in (vae.encoder, vae.decoder):
            coder.mid_block.attentions[0].set_processor(ChunkedAttention())
        return SharedNetworks(line, _image_encoder(encoder), vae)

    def style(self, style: str, dtype: torch.dtype) -> StyleNetworks:
        """The networks of "line" or "line + shadow". ValidationError for what is missing or wrong."""
        part = STYLE_FOLDERS[style]
        _require(self.path, part)
        _require(self.path, "shared")
        shape = self.architecture.transformer
        states = self._style_states(part, dtype)
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

    def _shared_files(self) -> tuple[Path, Path, Path]:
        raise NotImplementedError

    def _style_states(self, part: str, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        raise NotImplementedError


class ConvertedModel(Model):
    """A folder that `convert` wrote."""

    def __init__(self, path: Path) -> None:
        file = path / folders.DESCRIPTION
        with _described(file):
            architecture = Architecture.from_json(folders.description(path))
        super().__init__(path, architecture, file, file)

    def _shared_files(self) -> tuple[Path, Path, Path]:
        shared = self.path / "shared"
        return shared / "line_extractor.safetensors", shared / "vae.safetensors", shared / "image_encoder"

    def _style_states(self, part: str, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        states = {}
        for name in ("transformer", "guider", "gsrp"):
            path = self.path / part / f"{name}.safetensors"
            made_for = _metadata(path).get("style")
            if made_for != part:
                raise ValidationError(
                    f"{path} holds weights of the style {made_for!r}, not {part!r}: convert the model again."
                )
            states[name] = _read(path)
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
                raise ValidationError(f"{file} is missing: `lote models path` says how to get it.")
        base = _json(self.files.base_transformer / "config.json")
        with _described(self.files.base_transformer / "config.json"):
            shape = TransformerShape(
                heads=base["num_attention_heads"],
                head_dim=base["attention_head_dim"],
                layers=base["num_layers"],
                caption_channels=base["caption_channels"],
                latent_channels=base["in_channels"],
            )
            self._base_shapes = _base_shapes(shape)
        with _described(path / folders.DESCRIPTION):
            described = Architecture.from_json(own)
        vae = self.files.vae / "config.json"
        architecture = Architecture(
            shape,
            described.line_extractor,
            _public(_json(vae)),
            _public(_json(self.files.scheduler)),
            described.buckets,
        )
        super().__init__(path, architecture, vae, self.files.scheduler)

    def _shared_files(self) -> tuple[Path, Path, Path]:
        return self.files.line_extractor, folders.weights_file(self.files.vae), self.files.image_encoder

    def _style_states(self, part: str, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        problems, _ = self.style_problems(part)
        if problems:
            raise ValidationError(" ".join(problems))
        adapters, guider, gsrp = (_read(path) for path in self.files.of_style(part))
        base_file = folders.weights_file(self.files.base_transformer)
        base = _read(base_file)
        wrong = differences(shapes_of(base), self._base_shapes, str(base_file), what="the base transformer")
        if wrong:
            raise ValidationError(" ".join(wrong))
        transformer = assemble_transformer(
            base, adapters, self.prompt_rows(), self.architecture.transformer, dtype
        )
        return {"transformer": transformer, "guider": assemble_guider(guider), "gsrp": gsrp}

    def prompt_rows(self) -> Tensor:
        """(K, caption channels): the rows of the prompt that its mask keeps; 1 for the empty prompt."""
        rows, mask = (_read_tensor(path) for path in (self.files.prompt, self.files.prompt_mask))
        rows, mask = rows.reshape(-1, rows.shape[-1]), mask.reshape(-1)
        channels = self.architecture.transformer.caption_channels
        if not rows.is_floating_point() or rows.shape != (len(mask), channels) or not mask.any():
            raise ValidationError(
                f"{self.files.prompt} and {self.files.prompt_mask.name} do not fit together: "
                f"rows of {channels} numbers and a mask that keeps at least one of them are needed."
            )
        return rows[mask.bool()].float()

    def shared_problems(self) -> list[str]:
        """Everything wrong with the tensors of the files that both styles need."""
        architecture = self.architecture
        problems: list[str] = []
        with torch.device("meta"):
            line = LineExtractor(architecture.line_extractor)
        vae = _empty_vae(architecture.vae)
        for path, expected, what in (
            (self.files.line_extractor, shapes_of(line.state_dict()), "the line extractor"),
            (folders.weights_file(self.files.vae), shapes_of(vae.state_dict()), "the VAE"),
            (folders.weights_file(self.files.base_transformer), self._base_shapes, "the base transformer"),
        ):
            try:
                found = shapes_of(_current_names(_read(path)))
            except ValidationError as error:
                problems.append(str(error))
            else:
                problems += differences(found, expected, str(path), what=what)
        problems += _caught(self.prompt_rows)
        problems += _caught(lambda: _image_encoder(self.files.image_encoder))
        return problems

    def style_problems(self, part: str) -> tuple[list[str], list[str]]:
        """Everything wrong with the tensors of one style's files, and remarks."""
        adapters, guider, gsrp = self.files.of_style(part)
        remarks: list[str] = []

        def of_adapters(state: Mapping[str, Tensor]) -> list[str]:
            problems, noted = adapter_differences(shapes_of(state), self._base_shapes, str(adapters))
            remarks.extend(noted)
            return problems

        shape = self.architecture.transformer
        with torch.device("meta"):
            ours, fusion = LineArtGuider(shape), GSRP(self.architecture.vae["block_out_channels"])

        def of_guider(state: Mapping[str, Tensor]) -> list[str]:
            expected: Shapes = shapes_of(ours.state_dict())
            return differences(shapes_of(assemble_guider(state)), expected, str(guider), what="the guider")

        def of_gsrp(state: Mapping[str, Tensor]) -> list[str]:
            expected: Shapes = shapes_of(fusion.state_dict())
            return differences(shapes_of(state), expected, str(gsrp), what="the super-resolution network")

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


@dataclass
class Report:
    """What `check` found: problems keep a style from working, remarks do not."""

    kind: str
    problems: dict[str, list[str]]
    remarks: list[str]

    def works(self, part: str) -> bool:
        return not self.problems["shared"] and not self.problems[part]


def check(path: Path) -> Report:
    """Look at every file of a model folder; ValidationError only if it is no such folder at all."""
    kind = folders.kind_of(path)
    problems = folders.missing_files(path)
    remarks: list[str] = []
    parts = tuple(STYLE_FOLDERS.values())
    if problems["shared"]:
        return Report(kind, problems, remarks)
    try:
        model = open_model(path)
    except ValidationError as error:
        problems["shared"].append(str(error))
        return Report(kind, problems, remarks)
    if isinstance(model, PublishedModel):
        problems["shared"] += model.shared_problems()
        for part in parts:
            if not problems[part]:
                problems[part], noted = model.style_problems(part)
                remarks += noted
        remarks += _twins(model)
        if not problems["shared"]:
            remarks += _prompt_remarks(model)
    else:
        problems["shared"] += _caught(lambda: model.shared(STORED))
        for style, part in STYLE_FOLDERS.items():
            if not problems[part] and not problems["shared"]:
                problems[part] += _caught(lambda style=style: model.style(style, STORED))  # type: ignore[misc]
    return Report(kind, problems, remarks)


def _prompt_remarks(model: PublishedModel) -> list[str]:
    """Another prompt than the published one is legal, but changes every colour without a word."""
    rows = model.prompt_rows()
    if rows.shape[1] != PROMPT_CHANNELS:
        return []
    digest = hashlib.sha256(rows.to(torch.float16).numpy().tobytes()).hexdigest()
    if digest == PROMPT_SHA256:
        return []
    return [f"{model.files.prompt} is not the empty prompt that Cobra was trained with."]


def _twins(model: PublishedModel) -> list[str]:
    """A file that lies in both styles' folders is in the wrong one of them."""
    first, second = (model.files.of_style(part) for part in STYLE_FOLDERS.values())
    return [
        f"{a} and {b} are the same file: one of them belongs to the other style."
        for a, b in zip(first, second, strict=True)
        if a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)
    ]


def convert(source: Path, target: Path, say: Callable[[str], None]) -> list[str]:
    """Write the published model in `source` as a converted folder `target`, which must not exist yet.

    A style whose files are not there is left out and said; ValidationError if neither is, or if anything is
    wrong. The folder appears under its name only when it is complete. Returns the parts written."""
    from safetensors.torch import save_file

    if folders.kind_of(source) == "converted":
        raise ValidationError(f"{source} is a converted model already.")
    if target.exists():
        raise ValidationError(f"{target} exists: remove it, or name another folder with --to.")
    report = check(source)
    parts = [part for part in STYLE_FOLDERS.values() if report.works(part)]
    if not parts:
        raise ValidationError(" ".join(sentence for found in report.problems.values() for sentence in found))
    model = PublishedModel(source)
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        shared = unfinished / "shared"
        shared.mkdir(parents=True)
        line, vae, encoder = model._shared_files()  # noqa: SLF001 - same module
        say("shared: line extractor, image encoder, VAE")
        save_file(_cast(_read(line), torch.float32), shared / "line_extractor.safetensors")
        save_file(_cast(_current_names(_read(vae)), STORED), shared / "vae.safetensors")
        _image_encoder(encoder).save_pretrained(shared / "image_encoder")
        for part in parts:
            say(f"{part}: transformer with its adapters merged, guider, super-resolution")
            (unfinished / part).mkdir()
            for name, state in model._style_states(part, STORED).items():  # noqa: SLF001 - same module
                save_file(
                    _cast(state, STORED), unfinished / part / f"{name}.safetensors", metadata={"style": part}
                )
        about = {
            "format": folders.FORMAT,
            "weights": folders.identity(source),
            **model.architecture.to_json(),
        }
        (unfinished / folders.DESCRIPTION).write_text(json.dumps(about, indent=1), encoding="utf-8")
        for file in unfinished.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return parts


def _cast(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for key, value in state.items()
    }


def _require(path: Path, part: str) -> None:
    missing = folders.missing_files(path)[part]
    if missing:
        raise ValidationError(" ".join(missing) + " `lote models path` says how to get it.")


def _told(path: Path, look: Callable[[Mapping[str, Tensor]], list[str]]) -> list[str]:
    try:
        state = _read(path)
    except ValidationError as error:
        return [str(error)]
    return look(state)


def _caught(load: Callable[[], object]) -> list[str]:
    try:
        load()
    except ValidationError as error:
        return [str(error)]
    return []


def _read(path: Path) -> dict[str, Tensor]:
    """Names and tensors of one file, mapped into memory where its format allows."""
    read: Any
    with _reading(path):
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            read = load_file(path)
        else:
            try:
                read = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap" not in str(error):
                    raise
                # Files of torch before 1.6 are no ZIP archives and cannot be mapped.
                read = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(read, dict) and isinstance(read.get("state_dict"), dict):
        read = read["state_dict"]
    if not isinstance(read, dict) or not all(isinstance(value, Tensor) for value in read.values()):
        raise ValidationError(f"{path} holds no names with tensors: it is another kind of file.")
    for key, value in read.items():
        if not value.is_floating_point() and not key.endswith("num_batches_tracked"):
            kind = str(value.dtype).removeprefix("torch.")
            raise ValidationError(
                f"{path} holds {key} as {kind}, where Cobra needs floating-point numbers: fetch it again."
            )
    return dict(read)


def _current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as diffusers has had them since 0.15: many files of the VAE still carry the older ones."""
    older = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
    renamed = {}
    for key, value in state.items():
        name = key
        for old, new in older.items():
            name = name.replace(old, new) if ".attentions." in key else name
        renamed[name] = value
    return renamed


def _read_tensor(path: Path) -> Tensor:
    with _reading(path):
        read = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(read, Tensor):
        raise ValidationError(f"{path} holds no tensor: it is another kind of file.")
    return read


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it refuses next
            yield
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        if "allocate" in str(error):
            raise MemoryError(str(error)) from error
        reason = _first_line(error)
        if isinstance(error, pickle.UnpicklingError):  # whose own text tells how to run what the file holds
            reason = "it is damaged, or holds more than tensors"
        raise ValidationError(
            f"{path} cannot be read as weights ({reason}): fetch or convert it again."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def _described(file: Path) -> Iterator[None]:
    """Building what `file` describes: whatever the libraries make of a wrong value is the file's fault."""
    try:
        yield
    except (
        ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ValidationError(
            f"{file} describes no network that Cobra can use ({type(error).__name__}: {_first_line(error)}): "
            "fetch or convert it again."
        ) from error


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with _reading(path), safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Give `network`, built without numbers, those of `state`; ValidationError if they do not fit."""
    wrong = differences(shapes_of(state), shapes_of(network.state_dict()), str(path), what="Cobra")
    if wrong:
        raise ValidationError(" ".join(wrong))
    network.load_state_dict(_cast(state, dtype), strict=True, assign=True)
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


def _image_encoder(path: Path) -> Any:
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    stock: Any = transformers.CLIPVisionModelWithProjection
    # Its progress bar and its report of what it loads would write over ours.
    library: Any = transformers.utils.logging
    library.disable_progress_bar()
    library.set_verbosity_error()
    file = path / "config.json"
    with _described(file):
        try:
            config = transformers.CLIPVisionConfig(**_json(file))
        except StrictDataclassError as error:  # a plain Exception
            raise ValueError(" ".join(str(error).split())) from error
        with torch.device("meta"):
            expected = shapes_of(stock(config).state_dict())
    weights = folders.weights_file(path)
    # The file may hold more: the other half of CLIP, say.
    found = {key: shape for key, shape in shapes_of(_read(weights)).items() if key in expected}
    if wrong := differences(found, expected, str(weights), what="the image encoder"):
        raise ValidationError(" ".join(wrong))
    with _reading(path):
        encoder = stock.from_pretrained(path, config=config, local_files_only=True, dtype=torch.float32)
    return encoder.eval().requires_grad_(requires_grad=False)


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationError(f"{path} cannot be read as JSON ({error}): fetch it again.") from error
    if not isinstance(read, dict):
        raise ValidationError(f"{path} holds no JSON object: fetch it again.")
    return read


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the notes, such as versions, that diffusers writes into its files."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
