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
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

__all__ = [
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
    "layers": "--layers",
    "layers_by": "--layers-by",
    "backend": "--backend",
    "keep_ink": "--keep-ink",
    "drop_references": "--drop-references",
    "as_lineart": "--as-lineart",
    "as_reference": "--as-reference",
    "pages": "--pages",
    "hints": "--hints",
    "palette": "--palette",
    "worker_memory": "--worker-memory",
    "timeout": "--timeout",
    "config_file": "--config",
}

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
        raise ValueError("cannot be empty")
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
        raise ValueError(f"must be a plain file name without a folder, got {value!r}")
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
    """Folder, .zip or .cbz holding the pages."""
    output_dir: _Path
    """Folder, .zip or .cbz that receives them."""
    reference_images: Annotated[list[_Path], BeforeValidator(_as_list)] = Field(default_factory=list)
    """Coloured references, beside the coloured pages found in the input."""
    style: Annotated[Literal["line", "line + shadow"], BeforeValidator(_as_style)] = "line + shadow"
    """`line` colours between the lines only; `line + shadow` keeps the page's gray shading."""
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    """Start of the random numbers; the same seed gives the same pixels."""
    num_inference_steps: _Count = 10
    """Denoising steps (cobra)."""
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
    """File name of that ZIP; None means `<output dir>_colorized.zip`."""
    format: Literal["png", "jpg", "webp", "tif"] = "png"
    """File format of coloured pages."""
    layers: Annotated[tuple[Literal["psd", "ora", "png", "json"], ...], BeforeValidator(_as_tuple)] = ()
    """Editable documents of each page: layered ones, the flats alone with a palette, its regions."""
    layers_by: Annotated[tuple[Literal["panel", "color"], ...], BeforeValidator(_as_tuple)] = ()
    """How flats are parted in them: a group for each panel, a layer for each colour, or both."""
    backend: Literal["auto", "flats", "cobra", "noop"] = "auto"
    """What colours the pages; `auto` takes cobra where it can run, else flats."""
    keep_ink: bool = False
    """Lay the page's own ink over what the model draws (cobra)."""
    drop_references: bool = False
    """Leave references out of the output."""
    as_lineart: _Globs = ()
    """Patterns of pages that are line art, whatever the classifier says."""
    as_reference: _Globs = ()
    """Patterns of pages that are coloured references, whatever the classifier says."""
    pages: Annotated[str, BeforeValidator(_as_pages)] | None = None
    """Only these pages, counted from 1: `3-7,12`."""
    hints: _Path | None = None
    """Folder of hint files under the pages' relative paths; stronger than hints beside the pages."""
    palette: _Path | None = None
    """`palette.json` of the series: its ids, names and colours; what the references add is numbered after them."""
    worker_memory: Annotated[int, Field(ge=64 * 2**20)] | None = None
    """Bytes one worker may use; None means an estimate from the largest page."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1800.0
    """Seconds after which one page is given up."""
    config_file: _Path | None = None
    """JSON or TOML file with defaults and settings of single images."""

    def __init__(self, *args: Any, **values: Any) -> None:
        if len(args) > _POSITIONAL:
            raise ConfigurationError(f"{len(args)} settings are given by position, of {_POSITIONAL} allowed.")
        positional = dict(zip(type(self).model_fields, args, strict=False))
        if twice := positional.keys() & values.keys():
            raise ConfigurationError(f"Set twice, by position and by name: {', '.join(sorted(twice))}.")
        try:
            super().__init__(**positional, **values)
        except ValidationError as error:
            raise ConfigurationError(all_problems([text for _, text in _problems(error)])) from error

    @property
    def zip_name(self) -> str:
        """The ZIP's file name, with its ending, whether it was set or not."""
        name = self.zip_output_name or f"{Path(self.output_dir).resolve().name}_colorized.zip"
        return name if name.lower().endswith((".zip", ".cbz")) else f"{name}.zip"

    def to_dict(self) -> dict[str, Any]:
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


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'seed'?`, or nothing where no known name is near."""
    near = get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def built_in(name: str) -> Any:
    """The value of the setting `name` that nobody set; None for the input and the output."""
    return None if name in {"input_dir", "output_dir"} else _default(name)


def _default(name: str) -> Any:
    return _Values.model_fields[name].get_default(call_default_factory=True)


def check_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The right ones among `values` (by setting name, cleaned), and (name, problem) of the others."""
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
    raise ValueError(f"{name} must be true or false, got {text!r}")


def parse_text(name: str, text: str) -> Any:
    """The value that `text`, from an environment variable or a flag, means for the setting `name`.

    Lists of paths are split at `os.pathsep`, other lists at commas. ValueError says what is wrong."""
    default = _default(name)
    if name == "reference_images":
        return [part for part in text.split(os.pathsep) if part]
    if name == "worker_memory":
        if not (match := _BYTES.fullmatch(text.strip())):
            raise ValueError(f"worker_memory must be a size such as 2G or 512M, got {text!r}")
        return int(float(match[1]) * _UNITS[match[2].lower()])
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, bool):
        return yes_or_no(name, text)
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError:
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise ValueError(f"{name} must be {kind}, got {text!r}") from None
    return text


def parse_pages(selection: str) -> tuple[range, ...]:
    """`"3-7,12"` as ranges of page numbers counted from 1; ValueError says what is wrong."""
    if not _PAGES.fullmatch(selection):
        raise ValueError(f"must be page numbers such as 3-7,12, got {selection!r}")
    ranges = []
    for part in selection.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if not 1 <= start <= stop:
            raise ValueError(f"counts from 1 and upwards, got {part.strip()!r}")
        ranges.append(range(start, stop + 1))
    return tuple(ranges)


def all_problems(problems: list[str]) -> str:
    """One text for an error that names them all."""
    lines = [problem if problem.endswith("?") else f"{problem}." for problem in problems]
    return "\n".join(
        lines if len(lines) == 1 else [f"{len(lines)} settings are wrong:", *map("  {}".format, lines)]
    )


_KINDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
}


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    """(setting, what is wrong with it) for each error of pydantic, in the words of this program."""
    return [(str(detail["loc"][0]), _problem(detail)) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails) -> str:
    first, *inner = detail["loc"]
    name = str(first) + "".join(f"[{part}]" for part in inner if isinstance(part, int))
    value, context, kind = detail["input"], detail.get("ctx", {}), detail["type"]
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"Unknown setting {name!r}{suggestion(name, BatchConfig.model_fields)}"
    if kind == "literal_error":
        return f"Invalid {name} {value!r}: choose {context['expected']}"
    if kind == "greater_than_equal":
        least = context["ge"]
        return f"{name} must be {'non-negative' if least == 0 else f'at least {least}'}, got {value!r}"
    if kind == "less_than_equal":
        return f"{name} must be at most {context['le']}, got {value!r}"
    if kind == "greater_than":
        return f"{name} must be more than {context['gt']}, got {value!r}"
    if kind == "value_error":
        return f"{name} {context['error']}"
    if kind in _KINDS:
        return f"{name} must be {_KINDS[kind]}, got {value!r} ({type(value).__name__})"
    return f"{name}: {detail['msg']}"
