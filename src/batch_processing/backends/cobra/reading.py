"""Reads single files of weights and descriptions: tensors only, memory-mapped where the format allows it.

Pickled files are read with `weights_only`: they can hold tensors and nothing that runs. Whatever is wrong with a
file is a ValidationError of one sentence that names it.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...exceptions import ValidationError
from ...json_types import JsonObject
from ...messages import Message

UNREAD = ("embeddings.position_ids", "caption_projection.y_embedding")
"""Ends of the names of buffers that older libraries wrote beside the weights, and nothing reads: the numbers of CLIP's
patches in their order, and what PixArt was trained with in place of a dropped prompt."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Names and tensors of one file without those that nothing reads, mapped into memory where its format allows."""
    read: Any
    with reading(path):
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
    if not isinstance(read, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in read.items()
    ):
        raise ValidationError("{path} holds no names with tensors: it is another kind of file.", path=path)
    state: dict[str, Tensor] = {key: value for key, value in read.items() if not key.endswith(UNREAD)}
    for key, value in state.items():
        if not value.is_floating_point() and not key.endswith("num_batches_tracked"):
            kind = str(value.dtype).removeprefix("torch.")
            raise ValidationError(
                "{path} holds {key} as {kind}, where Cobra needs floating-point numbers: fetch it again.",
                path=path,
                key=key,
                kind=kind,
            )
    return state


def read_tensor(path: Path) -> Tensor:
    with reading(path):
        read = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(read, Tensor):
        raise ValidationError("{path} holds no tensor: it is another kind of file.", path=path)
    return read


def metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with reading(path), safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def json_object(path: Path) -> JsonObject:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValidationError(
            "{path} cannot be read as JSON ({error}): fetch it again.", path=path, error=error
        ) from error
    if not isinstance(read, dict):
        raise ValidationError("{path} holds no JSON object: fetch it again.", path=path)
    return read


def public(config: Mapping[str, Any]) -> JsonObject:
    """A config without the notes, such as versions, that diffusers writes into its files."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as diffusers has had them since 0.15: many files of the VAE still carry the older ones."""
    older = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
    renamed = {}
    for key, value in state.items():
        name = key
        for old, new in older.items():
            name = name.replace(old, new) if ".attentions." in key else name
        renamed[name] = value
    return renamed


def cast(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        key: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for key, value in state.items()
    }


@contextmanager
def reading(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it refuses next
            yield
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        if "allocate" in str(error):
            raise MemoryError(str(error)) from error
        reason: str | Message = _first_line(error)
        if isinstance(error, pickle.UnpicklingError):  # whose own text tells how to run what the file holds
            reason = Message("it is damaged, or holds more than tensors")
        raise ValidationError(
            "{path} cannot be read as weights ({reason}): fetch or convert it again.",
            path=path,
            reason=reason,
        ) from error


@contextmanager
def described(file: Path) -> Iterator[None]:
    """Building what `file` describes: whatever the libraries make of a wrong value is the file's fault."""
    try:
        yield
    except (
        ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ValidationError(
            "{file} describes no network that Cobra can use ({kind}: {error}): fetch or convert it again.",
            file=file,
            kind=type(error).__name__,
            error=_first_line(error),
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
