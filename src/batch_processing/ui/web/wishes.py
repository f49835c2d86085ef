"""What the page may ask for: a typed model for each button, with exactly the fields of its form.

Promises: a body is read up to `BODY_LIMIT` and no further; what is no JSON, nested too deeply, of a wrong type,
no text that UTF-8 can hold, or has a field that the form has not, is one sentence (ValidationError or
ConfigurationError), and nothing has been done. Does not check what a value means: that is for who does it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic import ValidationError as Misfit

from ...exceptions import ConfigurationError, ValidationError
from .drafts import BEST

# Bytes of a request. The largest that the page sends are the settings of one page with its references by name.
BODY_LIMIT = 1 << 20
Style = Literal["line", "line + shadow"]
W = TypeVar("W")


def _nothing(value: object) -> object:
    """An empty field is no setting."""
    return None if value == "" else value


_Number = Annotated[int | None, BeforeValidator(_nothing)]
_Style = Annotated[Style | None, BeforeValidator(_nothing)]


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedoValues(_Wish):
    """ "Try again with other settings" of a finished page."""

    style: _Style = None
    seed: _Number = None
    num_inference_steps: _Number = None
    top_k: _Number = None

    def settings(self) -> dict[str, Any]:
        """What was filled in, as a configuration file has it."""
        return self.model_dump(exclude_none=True)


class PageValues(RedoValues):
    """The settings of one page of a draft. `reference_images` are keys of the draft's references, never paths."""

    priority: _Number = None
    reference_images: list[str] = []


class ChapterForm(_Wish):
    """The settings of a chapter. `output`, `palette` and `config_file` are paths as typed, "" for none."""

    backend: Literal["auto", "flats", "cobra", "noop"] = "auto"
    style: Style | None = None
    form: Literal["folder", "zip", "cbz"] = "cbz"
    layers: list[Literal["psd", "ora", "png", "json"]] = []
    layers_by: list[Literal["panel", "color"]] = []
    seed: _Number = None
    num_inference_steps: _Number = None
    top_k: _Number = None
    keep_ink: bool = False
    output: str | None = ""
    overwrite: bool = False
    palette: str | None = ""
    config_file: str | None = ""


class Simple(_Wish):
    """A button of a draft that says it all."""

    do: Literal["look", "clear", "all", "none", "sort"]


class Add(_Wish):
    do: Literal["add"]
    path: str
    recursive: bool = False


class Move(_Wish):
    do: Literal["move"]
    key: str


class Tick(_Wish):
    do: Literal["tick"]
    key: str
    on: bool


class Best(_Wish):
    """`threshold` from 0 to 1."""

    do: Literal["best"]
    threshold: Annotated[float, Field(ge=0, le=1)] = BEST


class PageSettings(_Wish):
    do: Literal["page"]
    key: str
    values: PageValues = PageValues()


class Start(_Wish):
    do: Literal["start"]
    values: ChapterForm


class Try(_Wish):
    """`key`: the page to try, "" for the first."""

    do: Literal["try"]
    key: str = ""
    values: ChapterForm


DraftWish = Annotated[
    Simple | Add | Move | Tick | Best | PageSettings | Start | Try, Field(discriminator="do")
]


class Control(_Wish):
    do: Literal["pause", "resume", "cancel"]


class Retry(_Wish):
    """`key`: that page alone."""

    do: Literal["retry"]
    key: str | None = None


class Approve(_Wish):
    do: Literal["approve"]
    key: str
    on: bool = True


class Redo(_Wish):
    do: Literal["redo"]
    key: str
    values: RedoValues = RedoValues()


JobWish = Annotated[Control | Retry | Approve | Redo, Field(discriminator="do")]


class Scan(_Wish):
    do: Literal["scan"]
    path: str


class Stop(_Wish):
    do: Literal["stop"]


PhotosWish = Annotated[Scan | Stop, Field(discriminator="do")]

DRAFT: TypeAdapter[Any] = TypeAdapter(DraftWish)
JOB: TypeAdapter[Any] = TypeAdapter(JobWish)
PHOTOS: TypeAdapter[Any] = TypeAdapter(PhotosWish)


def understood(body: bytes, form: TypeAdapter[W]) -> W:
    """The wish in a body. ValidationError, or ConfigurationError for a number that is none."""
    try:
        return form.validate_json(body)
    except Misfit as error:
        first = error.errors(include_url=False, include_context=False)[0]
    kind, where = first["type"], ".".join(str(part) for part in first["loc"])
    if kind.startswith("int_") and first["loc"]:
        name, given = first["loc"][-1], first["input"]
        raise ConfigurationError(f"{name} must be a whole number, got {given!r}")
    if kind.startswith("union_tag"):
        raise ValidationError("This button is unknown.")
    if kind == "json_invalid":
        raise ValidationError("The request cannot be read: reload the page.")
    # The field's name only where it is ours: what a stranger called theirs is repeated to nobody.
    if kind == "extra_forbidden":
        raise ValidationError("The request has a field that this form does not have: reload the page.")
    raise ValidationError(f"The field {where} of the request is not what this form sends: reload the page.")
