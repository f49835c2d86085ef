"""The settings of a job as keywords: what `BatchConfig`, `colorize_comic` and `colorize_library` take by name.

For type checkers and editors: a name that is no setting is an error there, before anything runs. What each means, and its
default, stands at the field of the same name of `BatchConfig`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict

__all__ = ["BookSettings", "SettingValues"]

_Path = str | PathLike[str]
_Names = list[str] | tuple[str, ...]
_Kinds = Literal["psd", "ora", "png", "json"]
_Parts = Literal["panel", "color"]


class BookSettings(TypedDict, total=False):
    """The settings of a job, but for what its inputs, output and references are."""

    style: Literal["line", "line + shadow"]
    seed: int
    num_inference_steps: int
    top_k: int
    recursive: bool
    overwrite: bool
    preview_mode: bool
    max_concurrent: int
    input_is_zip: bool
    output_as_zip: bool
    zip_output_name: str | None
    format: Literal["png", "jpg", "webp", "tif", "same"]
    quality: int | None
    layers: list[_Kinds] | tuple[_Kinds, ...]
    layers_by: list[_Parts] | tuple[_Parts, ...]
    right_to_left: bool
    backend: Literal["auto", "flats", "cobra", "diffusers", "noop"]
    flats: bool
    keep_ink: bool
    drop_references: bool
    as_lineart: _Names
    as_reference: _Names
    keep: _Names
    pages: str | None
    hints: _Path | None
    name_encoding: str | None
    palette: _Path | None
    worker_memory: int | None
    timeout: float
    config_file: _Path | None
    engine: Literal["local", "ray"]
    ray_address: str
    files: Literal["bytes", "shared"]


class SettingValues(BookSettings, total=False):
    """All settings of `BatchConfig`."""

    input_dir: _Path
    output_dir: _Path
    reference_images: Sequence[_Path]
