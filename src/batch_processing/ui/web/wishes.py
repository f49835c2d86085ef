"""What the page may ask for: a typed model for each button, with exactly the fields of its form.

Promises: a body is read up to `BODY_LIMIT` and no further; what is no JSON, nested too deeply, of a wrong type,
no text that UTF-8 can hold, or has a field that the form has not, is one sentence (ValidationError or
ConfigurationError), and nothing has been done. Does not check what a value means: that is for who does it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic import ValidationError as Misfit

from ...comics.palette import LARGEST_ID as LARGEST_COLOR
from ...comics.palette import LONGEST_NAME, MOST_COLORS
from ...exceptions import ConfigurationError, ValidationError
from .drafts import BEST
from .paths import Settings

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

    def settings(self) -> Settings:
        """What was filled in, as a configuration file has it."""
        return self.model_dump(exclude_none=True)


class PageValues(RedoValues):
    """The settings of one page of a draft. `reference_images` are keys of the draft's references, never paths."""

    priority: _Number = None
    reference_images: list[str] = []


class ChapterForm(_Wish):
    """The settings of a chapter. `output`, `palette` and `config_file` are paths as typed, "" for none."""

    backend: Literal["auto", "flats", "cobra", "diffusers", "noop"] = "auto"
    style: Style | None = None
    form: Literal["folder", "zip", "cbz"] = "cbz"
    layers: list[Literal["psd", "ora", "png", "json"]] = []
    layers_by: list[Literal["panel", "color"]] = []
    seed: _Number = None
    num_inference_steps: _Number = None
    top_k: _Number = None
    flats: bool = False
    keep_ink: bool = False
    output: str | None = ""
    overwrite: bool = False
    palette: str | None = ""
    config_file: str | None = ""


class Simple(_Wish):
    """A button of a draft that says it all."""

    do: Literal["look", "clear", "all", "none", "sort", "sample"]


class Add(_Wish):
    do: Literal["add"]
    path: str
    recursive: bool = False


class Move(_Wish):
    """Put images on the other side: that of the first."""

    do: Literal["move"]
    keys: Annotated[list[str], Field(min_length=1, max_length=10_000)]


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


class Several(_Wish):
    """Approve several pages, or do them again."""

    do: Literal["approve-several", "redo-several"]
    keys: Annotated[list[str], Field(min_length=1, max_length=10_000)]


JobWish = Annotated[Control | Retry | Approve | Redo | Several, Field(discriminator="do")]


# -- the editor

_Byte = Annotated[int, Field(ge=0, le=255)]
_Point = tuple[
    Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)],
    Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)],
]
_ColorId = Annotated[int, Field(ge=0, lt=LARGEST_COLOR)]
MOST_POINTS = 20_000  # of one stroke, or of all regions of one page


class EditorColor(_Wish):
    """A colour as the editor has it: the id, and what the references show for it."""

    id: _ColorId
    rgb: tuple[_Byte, _Byte, _Byte]


class OnPage(_Wish):
    """Points of a page of the job, in its pixels."""

    key: str
    points: Annotated[list[_Point], Field(min_length=1, max_length=MOST_POINTS)]


class _Change(_Wish):
    """An edit. `name`: its own, made by whoever asks for it, so that it is done once also when it is sent again because no
    answer came."""

    name: Annotated[str, Field(max_length=64)] = ""


class Give(_Change):
    """Regions get a colour: those at these points."""

    do: Literal["give"]
    pages: Annotated[list[OnPage], Field(min_length=1, max_length=1000)]
    color: EditorColor


class Brush(_Change):
    """A stroke of a colour, or with the eraser."""

    do: Literal["stroke", "erase"]
    page: OnPage
    color: EditorColor
    size: Annotated[float, Field(ge=1, le=2000, allow_inf_nan=False)]


class Step(_Wish):
    do: Literal["undo", "redo"]
    key: str


class ColorChange(_Wish):
    """What an id is called, drawn in, or whether it stays so; what is left out stays as it is. `reference`: what the
    references show for it."""

    id: _ColorId
    reference: tuple[_Byte, _Byte, _Byte]
    rgb: tuple[_Byte, _Byte, _Byte] | None = None
    name: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    locked: bool | None = None


class EditColors(_Change):
    """Colours of the book are changed together: one, or those of a series' palette."""

    do: Literal["colors"]
    colors: Annotated[list[ColorChange], Field(min_length=1, max_length=MOST_COLORS)]


class Merge(_Change):
    """Two ids become one."""

    do: Literal["merge"]
    before: _ColorId
    color: EditorColor


class Learn(_Wish):
    """Have the pages that nobody has looked at yet learn from those that somebody has."""

    do: Literal["learn"]


class Save(_Wish):
    """Try again to write what was edited."""

    do: Literal["save"]


EditorWish = Annotated[
    Give | Brush | Step | EditColors | Merge | Learn | Save | Approve, Field(discriminator="do")
]


class Scan(_Wish):
    do: Literal["scan"]
    path: str


PhotosWish = Annotated[Scan | Control, Field(discriminator="do")]


# -- the library of photos


class Look(_Wish):
    """Have the pixels of all photos looked at that were not yet."""

    do: Literal["look"]


_PhotoId = Annotated[int, Field(ge=1, lt=2**63)]
MOST_GROUPS = 5000  # of one removal


class Find(_Wish):
    """Look for photos that show the same picture."""

    do: Literal["find"]
    distance: Annotated[int, Field(ge=0, le=16)] = 8
    turned: bool = False


class Chosen(_Wish):
    """Of a group one photo stays, and some go. `number`: of a group of similar photos."""

    number: Annotated[int, Field(ge=0, lt=2**31)] = 0
    kept: _PhotoId
    going: Annotated[list[_PhotoId], Field(min_length=1, max_length=MOST_GROUPS)]


class Trash(_Wish):
    """Move photos to the trash. `photos` and `bytes` are what the person has confirmed; `under`: a folder below which nothing
    goes, "" for none."""

    do: Literal["trash"]
    of: Literal["copies", "similar"]
    groups: Annotated[list[Chosen], Field(min_length=1, max_length=MOST_GROUPS)]
    photos: Annotated[int, Field(ge=1)]
    bytes: Annotated[int, Field(ge=0)]
    under: str = ""


class TakeBack(_Wish):
    """Have what a removal has moved to the trash back. `log`: the name of its log."""

    do: Literal["back"]
    log: Annotated[str, Field(max_length=100)]


class Stop(_Wish):
    """End what is being moved, after the photo it is at."""

    do: Literal["stop"]


class NamePerson(_Wish):
    """`name` "" takes it away."""

    do: Literal["name"]
    person: _PhotoId
    name: Annotated[str, Field(max_length=1000)]


class MergePeople(_Wish):
    """`person` stays."""

    do: Literal["merge"]
    person: _PhotoId
    others: Annotated[list[_PhotoId], Field(min_length=1, max_length=500)]


class FaceWish(_Wish):
    """Of a face of a person: it is not theirs; or whoever it is, is somebody else, with all faces that are more like it."""

    do: Literal["not", "split"]
    person: _PhotoId
    face: _PhotoId


class IgnoreFace(_Wish):
    """A face that nobody looks for; or one that was ignored, and is to be like others again."""

    do: Literal["ignore", "heed"]
    face: _PhotoId


class IgnorePerson(_Wish):
    """All faces of somebody whom nobody looks for."""

    do: Literal["ignore-all"]
    person: _PhotoId


class HidePerson(_Wish):
    do: Literal["hide"]
    person: _PhotoId
    on: bool = True


class UndoPeople(_Wish):
    """Undo what was done to people last."""

    do: Literal["undo"]


PeopleWish = Annotated[
    NamePerson | MergePeople | FaceWish | IgnoreFace | IgnorePerson | HidePerson | UndoPeople,
    Field(discriminator="do"),
]
SimilarWish = Annotated[Find | Trash | TakeBack | Stop, Field(discriminator="do")]
LibraryWish = Annotated[Look | Control, Field(discriminator="do")]

DRAFT: TypeAdapter[Any] = TypeAdapter(DraftWish)
JOB: TypeAdapter[Any] = TypeAdapter(JobWish)
EDITOR: TypeAdapter[Any] = TypeAdapter(EditorWish)
PHOTOS: TypeAdapter[Any] = TypeAdapter(PhotosWish)
LIBRARY: TypeAdapter[Any] = TypeAdapter(LibraryWish)
SIMILAR: TypeAdapter[Any] = TypeAdapter(SimilarWish)
PEOPLE: TypeAdapter[Any] = TypeAdapter(PeopleWish)


def understood(body: bytes, form: TypeAdapter[W]) -> W:
    """The wish in a body. ValidationError, or ConfigurationError for a number that is none."""
    try:
        return form.validate_json(body)
    except Misfit as error:
        first = error.errors(include_url=False, include_context=False)[0]
    kind, where = first["type"], ".".join(str(part) for part in first["loc"])
    if kind.startswith("int_") and first["loc"]:
        name, given = first["loc"][-1], first["input"]
        raise ConfigurationError("{name} must be a whole number, got {given}", name=name, given=repr(given))
    if kind.startswith("union_tag"):
        raise ValidationError("This button is unknown.")
    if kind == "json_invalid":
        raise ValidationError("The request cannot be read: reload the page.")
    # The field's name only where it is ours: what a stranger called theirs is repeated to nobody.
    if kind == "extra_forbidden":
        raise ValidationError("The request has a field that this form does not have: reload the page.")
    raise ValidationError(
        "The field {where} of the request is not what this form sends: reload the page.", where=where
    )
