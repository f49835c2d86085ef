"""BatchConfig: the settings of one comics job, checked.

Promises: a `BatchConfig` that exists is right in itself. Types are strict (a bool is no int, "3" is
no number), unknown names are refused, and one `ConfigurationError` names every wrong setting at once.
Refuses to look at the disk: whether a folder exists is found out when the job starts.
Does not guarantee that the lists inside are never changed by who holds the object.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from inspect import Parameter, Signature
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..exceptions import ConfigurationError
from ..json_types import JsonObject
from ..messages import NOTHING, Message, joined
from ..reading import text_encoding
from .values import SettingValues

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

__all__ = [
    "ALL_SLOTS",
    "FLAGS",
    "PAGE_FIELDS",
    "SETTING_NAMES",
    "BatchConfig",
    "all_problems",
    "built_in",
    "canonical_name",
    "check_values",
    "env_name",
    "parse_pages",
    "parse_text",
    "suggestion",
]

# How each setting is called on the command line. `env_name` is made from it.
FLAGS = {
    "input_dir": "INPUT",
    "output_dir": "--output",
    "reference_images": "--references",
    "style": "--style",
    "seed": "--seed",
    "num_inference_steps": "--steps",
    "top_k": "--top-k",
    "recursive": "--recursive",
    "overwrite": "--overwrite",
    "preview_mode": "--preview",
    "max_concurrent": "--workers",
    "output_as_zip": "--zip",
    "zip_output_name": "--zip-name",
    "format": "--format",
    "quality": "--quality",
    "layers": "--layers",
    "layers_by": "--layers-by",
    "right_to_left": "--right-to-left",
    "backend": "--backend",
    "flats": "--flats",
    "keep_ink": "--keep-ink",
    "drop_references": "--drop-references",
    "as_lineart": "--as-lineart",
    "as_reference": "--as-reference",
    "keep": "--keep",
    "pages": "--pages",
    "hints": "--hints",
    "name_encoding": "--name-encoding",
    "palette": "--palette",
    "worker_memory": "--worker-memory",
    "timeout": "--timeout",
    "config_file": "--config",
    "engine": "--engine",
    "ray_address": "--ray-address",
    "files": "--files",
}

AUTO = "auto"
# Settings that the command line takes `auto` for: what fits the machine (`core.tuning`).
AUTOMATIC = ("max_concurrent", "worker_memory")
ALL_SLOTS = 1_000_000
"""`max_concurrent` of a job on a cluster of which nobody has limited the slots."""

# Settings of one image, beside those of the job that can be overruled for it.
PAGE_FIELDS = ("style", "seed", "num_inference_steps", "top_k", "reference_images", "priority", "skip")

_PAGES = re.compile(r"\s*\d+\s*(-\s*\d+\s*)?(,\s*\d+\s*(-\s*\d+\s*)?)*")
_POSITIONAL = 14  # settings of BatchConfig that can be given by position, as documented
_LARGEST_SEED = 2**63 - 1  # what torch.Generator.manual_seed and an SQLite integer both hold
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}  # "2G" is 2 GiB, as Docker reads it


def _as_path(value: object) -> object:
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str) and not value.strip():
        raise ValueError(Message("cannot be empty"))
    return value


def _as_style(value: object) -> object:
    return re.sub(r"\s*\+\s*", " + ", value.strip()) if isinstance(value, str) else value


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _as_pages(value: object) -> object:
    if isinstance(value, str):
        parse_pages(value)
    return value


def _as_file_name(value: object) -> object:
    if isinstance(value, str) and (not value.strip(". ") or "/" in value or "\\" in value):
        raise ValueError(
            Message("must be a plain file name without a folder, got {given}", given=repr(value))
        )
    return value


def _as_encoding(value: object) -> object:
    if isinstance(value, str):
        try:
            return text_encoding(value)
        except LookupError:
            raise ValueError(
                Message("must be the name of an encoding such as cp932 or gbk, got {name}", name=repr(value))
            ) from None
    return value


_Path = Annotated[str, BeforeValidator(_as_path)]
_Count = Annotated[int, Field(ge=1)]
_Globs = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class BatchConfig(BaseModel):
    """Everything that is set for one comics job, and for each of its pages unless the page says otherwise.

    The first fourteen settings, up to `zip_output_name`, can be given by position. Paths are accepted as text or `Path` and kept
    as text. ConfigurationError names every wrong, missing and unknown setting."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)

    input_dir: _Path
    """Folder or book holding the pages."""
    output_dir: _Path
    """Folder, .zip or .cbz that receives them."""
    reference_images: Annotated[list[_Path], BeforeValidator(_as_list)] = Field(default_factory=list)
    """Coloured references, beside the coloured pages found in the input."""
    style: Annotated[Literal["line", "line + shadow"], BeforeValidator(_as_style)] = "line + shadow"
    """`line` colours between the lines only; `line + shadow` keeps the page's gray shading."""
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    """Start of the random numbers; the same seed gives the same pixels."""
    num_inference_steps: _Count = 10
    """Denoising steps (cobra, diffusers)."""
    top_k: _Count = 3
    """Reference patches for each quarter of the page (cobra)."""
    recursive: bool = False
    """Take images from subfolders too."""
    overwrite: bool = False
    """Replace files in the output that no job of this workspace wrote."""
    preview_mode: bool = False
    """Colour one page and wait for approval."""
    max_concurrent: _Count = 1
    """Pages coloured at the same time."""
    input_is_zip: bool = False
    """The input is an archive; recognised by itself where the file is one."""
    output_as_zip: bool = False
    """Gather the finished pages in a ZIP."""
    zip_output_name: Annotated[str, BeforeValidator(_as_file_name)] | None = None
    """File name of that ZIP; with `output_as_zip` None becomes `<output dir>_colorized.zip`."""
    format: Literal["png", "jpg", "webp", "tif", "same"] = "png"
    """File format of coloured pages; `same` is each page's own, and png for what can only be read."""
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of jpg and webp, 1 to 100; None means 92 for jpg, lossless for webp, and each page's own for `same`."""
    layers: Annotated[tuple[Literal["psd", "ora", "png", "json"], ...], BeforeValidator(_as_tuple)] = ()
    """Editable documents of each page: layered ones, the flats alone with a palette, its regions."""
    layers_by: Annotated[tuple[Literal["panel", "color"], ...], BeforeValidator(_as_tuple)] = ()
    """How flats are parted in them: a group for each panel, a layer for each colour, or both."""
    right_to_left: bool = False
    """Number panels from the upper right, also where ComicInfo.xml does not say that the book is read so."""
    backend: Literal["auto", "flats", "cobra", "diffusers", "noop"] = "auto"
    """What colours the pages; `auto` takes cobra where it can run, else flats."""
    flats: bool = False
    """One colour for each region, taken from what the model paints: editable, in layers (cobra)."""
    keep_ink: bool = False
    """Lay the page's own ink over what the model draws (cobra)."""
    drop_references: bool = False
    """Leave references out of the output."""
    as_lineart: _Globs = ()
    """Names or patterns of pages that are line art, whatever the classifier says."""
    as_reference: _Globs = ()
    """Names or patterns of pages that are coloured references, whatever the classifier says."""
    keep: _Globs = ()
    """Names or patterns of pages that stay as they are: neither coloured nor learned from."""
    pages: Annotated[str, BeforeValidator(_as_pages)] | None = None
    """Only these pages, counted from 1: `3-7,12`."""
    hints: _Path | None = None
    """Folder of hint files under the pages' relative paths; stronger than hints beside the pages."""
    name_encoding: Annotated[str, BeforeValidator(_as_encoding)] | None = None
    """Encoding of names in archives that do not say it: `cp932`, `gbk`; found out where it is not set."""
    palette: _Path | None = None
    """`palette.json` of the series: its ids, names and colours; what the references add is numbered after them."""
    worker_memory: Annotated[int, Field(ge=64 * 2**20)] | None = None
    """Bytes one worker may use; None means an estimate from the largest page."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1800.0
    """Seconds after which one page is given up."""
    config_file: _Path | None = None
    """JSON or TOML file with defaults and settings of single images."""
    engine: Literal["local", "ray"] = "local"
    """Where pages are coloured: on this machine, or on those of a Ray cluster."""
    ray_address: Annotated[str, Field(min_length=1)] = "auto"
    """Where the head of the Ray cluster is, `HOST:PORT`; `auto` is the one that this machine belongs to."""
    files: Literal["bytes", "shared"] = "bytes"
    """How machines of the cluster get files: as bytes, or under the same paths as here, on a shared file system."""

    def __init__(self, *args: Any, **values: Unpack[SettingValues]) -> None:
        if len(args) > _POSITIONAL:
            raise ConfigurationError(
                "{count} settings are given by position, of {limit} allowed.",
                count=len(args),
                limit=_POSITIONAL,
            )
        positional = dict(zip(type(self).model_fields, args, strict=False))
        if twice := positional.keys() & values.keys():
            raise ConfigurationError(
                "Set twice, by position and by name: {twice}.", twice=", ".join(sorted(twice))
            )
        try:
            super().__init__(**positional, **values)
        except ValidationError as error:
            raise ConfigurationError(all_problems([text for _, text in _problems(error)])) from error
        if self.output_as_zip and self.zip_output_name is None:
            # Not one of `model_fields_set`: nobody has set it, and another output gives it another name.
            self.__dict__["zip_output_name"] = self._default_zip_name

    @property
    def _default_zip_name(self) -> str:
        return f"{Path(self.output_dir).resolve().name}_colorized.zip"

    @property
    def zip_name(self) -> str:
        """The ZIP's file name, with its ending, whether it was set or not."""
        name = self.zip_output_name or self._default_zip_name
        return name if name.lower().endswith((".zip", ".cbz")) else f"{name}.zip"

    def to_dict(self) -> JsonObject:
        """Every setting as plain JSON data; `BatchConfig(**config.to_dict())` equals `config`."""
        return self.model_dump(mode="json")


def _signature() -> Signature:
    """`help(BatchConfig)` shows the settings by name, though `__init__` takes them as they come."""
    parameters = []
    for position, (name, field) in enumerate(BatchConfig.model_fields.items()):
        kind = Parameter.POSITIONAL_OR_KEYWORD if position < _POSITIONAL else Parameter.KEYWORD_ONLY
        default = Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
        parameters.append(Parameter(name, kind, default=default))
    return Signature(parameters)


BatchConfig.__signature__ = _signature()


class _Values(BatchConfig):
    """Any part of a job's and an image's settings: for checking values one by one."""

    input_dir: _Path = "."
    output_dir: _Path = "."
    priority: int = 0
    skip: bool = False

    def __init__(self, **values: Any) -> None:
        BaseModel.__init__(self, **values)  # the plain errors are wanted here, one for each value


SETTING_NAMES = tuple(_Values.model_fields)

_ALIASES = {"steps": "num_inference_steps", "references": "reference_images"} | {
    flag.lstrip("-").replace("-", "_").lower(): name for name, flag in FLAGS.items()
}


def canonical_name(name: str) -> str | None:
    """The setting that `name` means (`steps` is `num_inference_steps`); None when there is none."""
    name = _ALIASES.get(name, name)
    return name if name in _Values.model_fields else None


def env_name(name: str) -> str:
    """The environment variable of the setting `name`: `LOTE_STEPS` for `num_inference_steps`."""
    return "LOTE_" + FLAGS.get(name, name).lstrip("-").replace("-", "_").upper()


def suggestion(name: str, known: Iterable[str]) -> Message:
    """`: did you mean 'seed'?`, or nothing where no known name is near."""
    near = get_close_matches(name, list(known), n=1)
    return Message(": did you mean {near}?", near=repr(near[0])) if near else NOTHING


def built_in(name: str) -> Any:
    """The value of the setting `name` that nobody set; None for the input and the output."""
    return None if name in {"input_dir", "output_dir"} else _default(name)


def _default(name: str) -> Any:
    return _Values.model_fields[name].get_default(call_default_factory=True)


def check_values(values: Mapping[str, Any]) -> tuple[JsonObject, list[tuple[str, Message]]]:
    """The right ones among `values` (by setting name, cleaned), and (name, problem) of the others. `auto` is None of a
    setting that may be so: whoever runs the job finds out what fits."""
    automatic = [name for name in AUTOMATIC if values.get(name) == AUTO]
    if automatic:
        good, problems = check_values(
            {name: value for name, value in values.items() if name not in automatic}
        )
        return good | dict.fromkeys(automatic), problems
    try:
        model = _Values(**values)
    except ValidationError as error:
        problems = _problems(error)
        wrong = {name for name, _ in problems}
        good, _ = check_values({name: value for name, value in values.items() if name not in wrong})
        return good, problems
    return {name: getattr(model, name) for name in values}, []


def yes_or_no(name: str, text: str) -> bool:
    """The truth that `text` means for the setting `name`. ValueError says what is wrong."""
    word = text.strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError(Message("{name} must be true or false, got {text}", name=name, text=repr(text)))


def parse_text(name: str, text: str) -> Any:
    """The value that `text`, from an environment variable or a flag, means for the setting `name`.

    Lists of paths are split at `os.pathsep`, other lists at commas. ValueError says what is wrong."""
    default = _default(name)
    if name in AUTOMATIC and text.strip() == AUTO:
        return AUTO
    if name == "reference_images":
        return [part for part in text.split(os.pathsep) if part]
    if name == "worker_memory":
        if not (match := _BYTES.fullmatch(text.strip())):
            raise ValueError(
                Message("{name} must be a size such as 2G or 512M, got {text}", name=name, text=repr(text))
            )
        return int(float(match[1]) * _UNITS[match[2].lower()])
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, bool):
        return yes_or_no(name, text)
    if isinstance(default, int | float) or name == "quality":
        number = float if isinstance(default, float) else int
        try:
            return number(text)
        except ValueError:
            kind = Message("a whole number") if number is int else Message("a number")
            raise ValueError(
                Message("{name} must be {kind}, got {text}", name=name, kind=kind, text=repr(text))
            ) from None
    return text


def parse_pages(selection: str) -> tuple[range, ...]:
    """`"3-7,12"` as ranges of page numbers counted from 1; ValueError says what is wrong."""
    if not _PAGES.fullmatch(selection):
        raise ValueError(
            Message("must be page numbers such as 3-7,12, got {selection}", selection=repr(selection))
        )
    ranges = []
    for part in selection.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if not 1 <= start <= stop:
            raise ValueError(Message("counts from 1 and upwards, got {given}", given=repr(part.strip())))
        ranges.append(range(start, stop + 1))
    return tuple(ranges)


def all_problems(problems: Sequence[Message]) -> Message:
    """One message for an error that names them all."""
    lines = [problem if _asks(problem) else joined((problem, "."), "") for problem in problems]
    if len(lines) == 1:
        return lines[0]
    head = Message("{lines} settings are wrong:", lines=len(lines))
    return joined((head, *lines), "\n  ")


def _asks(problem: Message) -> bool:
    """Whether the problem ends with what was likely meant, a question."""
    return str(problem).endswith("?")


_KINDS = {
    "bool_type": Message("true or false"),
    "int_type": Message("a whole number"),
    "int_from_float": Message("a whole number"),
    "float_type": Message("a number"),
    "finite_number": Message("a finite number"),
    "string_type": Message("text"),
    "list_type": Message("a list"),
    "tuple_type": Message("a list"),
}


def _problems(error: ValidationError) -> list[tuple[str, Message]]:
    """(setting, what is wrong with it) for each error of pydantic, in the words of this program."""
    return [(str(detail["loc"][0]), _problem(detail)) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails) -> Message:
    first, *inner = detail["loc"]
    # A choice is wrong by itself, wherever it stands in a list; a path is found by its place.
    places = inner if detail["type"] != "literal_error" else []
    name = str(first) + "".join(f"[{place}]" for place in places if isinstance(place, int))
    value, context, kind = detail["input"], detail.get("ctx", {}), detail["type"]
    if kind == "missing":
        return Message("{name} is missing", name=name)
    if kind == "extra_forbidden":
        return Message(
            "Unknown setting {name}{hint}", name=repr(name), hint=suggestion(name, BatchConfig.model_fields)
        )
    if kind == "literal_error":
        return Message(
            "Invalid {name} {given}: choose {expected}",
            name=name,
            given=repr(value),
            expected=context["expected"],
        )
    if kind == "greater_than_equal":
        least = context["ge"]
        return Message(
            "{name} must be {bound}, got {given}",
            name=name,
            bound=Message("non-negative") if least == 0 else Message("at least {least}", least=least),
            given=repr(value),
        )
    if kind == "less_than_equal":
        return Message(
            "{name} must be at most {most}, got {given}", name=name, most=context["le"], given=repr(value)
        )
    if kind == "greater_than":
        return Message(
            "{name} must be more than {bound}, got {given}", name=name, bound=context["gt"], given=repr(value)
        )
    if kind == "value_error":
        return Message("{name} {problem}", name=name, problem=context["error"])
    if kind in _KINDS:
        return Message(
            "{name} must be {kind}, got {given} ({type})",
            name=name,
            kind=_KINDS[kind],
            given=repr(value),
            type=type(value).__name__,
        )
    return joined((name, detail["msg"]), ": ")
