"""Says everything that is wrong with a folder of weights, and writes a converted one."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ...exceptions import ValidationError
from ...io.publish import hash_file
from ...messages import Message, joined
from . import folder as folders
from .folder import STYLE_FOLDERS
from .reading import cast, current_names, read_state
from .weights import PublishedModel, image_encoder, open_model, problems_of

# The one kept row of the published prompt, in float16: the T5 encoding of the empty text.
PROMPT_CHANNELS = 4096
PROMPT_SHA256 = "374b73454f50b47c462d7f2d25bd52b4a703bda1362f26fbb1974e442078abaf"
STORED = torch.float16  # of converted folders; line extractor and image encoder stay in float32


@dataclass
class Report:
    """What `check` found: problems keep a style from working, remarks do not."""

    kind: str
    problems: dict[str, list[Message]]
    remarks: list[Message]

    def works(self, part: str) -> bool:
        return not self.problems["shared"] and not self.problems[part]


def check(path: Path, *, fast: bool = False) -> Report:
    """Look at every file of a model folder; ValidationError only if it is no such folder at all.

    Files of the published sizes are compared with the published SHA-256 byte for byte, which reads all 7.6 GB; not so if
    `fast`."""
    kind = folders.kind_of(path)
    problems = folders.missing_files(path)
    remarks: list[Message] = []
    parts = tuple(STYLE_FOLDERS.values())
    if problems["shared"]:
        return Report(kind, problems, remarks)
    try:
        model = open_model(path)
    except ValidationError as error:
        problems["shared"].append(error.sentence)
        return Report(kind, problems, remarks)
    if isinstance(model, PublishedModel):
        problems["shared"] += model.shared_problems()
        for part in parts:
            if not problems[part]:
                problems[part], noted = model.style_problems(part)
                remarks += noted
        remarks += _twins(model)
        remarks += _others(model, fast=fast)
        if not problems["shared"]:
            remarks += _prompt_remarks(model)
    else:
        problems["shared"] += problems_of(lambda: model.shared(STORED))
        for style, part in STYLE_FOLDERS.items():
            if not problems[part] and not problems["shared"]:
                problems[part] += problems_of(lambda style=style: model.style(style, STORED))  # type: ignore[misc]
    return Report(kind, problems, remarks)


def _prompt_remarks(model: PublishedModel) -> list[Message]:
    """Another prompt than the published one is legal, but changes every colour without a word."""
    rows = model.prompt_rows()
    if rows.shape[1] != PROMPT_CHANNELS:
        return []
    digest = hashlib.sha256(rows.to(torch.float16).numpy().tobytes()).hexdigest()
    if digest == PROMPT_SHA256:
        return []
    return [
        Message("{prompt} is not the empty prompt that Cobra was trained with.", prompt=model.files.prompt)
    ]


def _twins(model: PublishedModel) -> list[Message]:
    """A file that lies in both styles' folders is in the wrong one of them."""
    first, second = (model.files.of_style(part) for part in STYLE_FOLDERS.values())
    return [
        Message("{a} and {b} are the same file: one of them belongs to the other style.", a=a, b=b)
        for a, b in zip(first, second, strict=True)
        if a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)
    ]


def _others(model: PublishedModel, *, fast: bool) -> list[Message]:
    """Files of the published names and sizes that hold something else: damaged on their way, or trained further."""

    def is_other(path: Path) -> bool:
        known = folders.PUBLISHED.get(f"{path.parent.name}/{path.name}")
        if known is None or not path.is_file() or path.stat().st_size != known.size:
            return False
        return hash_file(path.resolve()) != known.sha256  # in the cache of the hub it is a link

    return [
        Message(
            "{path} is of the published size and holds other numbers: fetch it again, unless you changed it.",
            path=path,
        )
        for path in model.files.weights()
        if not fast and is_other(path)
    ]


def convert(source: Path, target: Path, say: Callable[[Message], None]) -> list[str]:
    """Write the published model in `source` as a converted folder `target`, which must not exist yet.

    A style whose files are not there is left out and said; ValidationError if neither is, or if anything is
    wrong. The folder appears under its name only when it is complete. Returns the parts written."""
    from safetensors.torch import save_file

    if folders.kind_of(source) == "converted":
        raise ValidationError("{source} is a converted model already.", source=source)
    if target.exists():
        raise ValidationError("{target} exists: remove it, or name another folder with --to.", target=target)
    report = check(source, fast=True)
    parts = [part for part in STYLE_FOLDERS.values() if report.works(part)]
    if not parts:
        raise ValidationError(
            joined((problem for found in report.problems.values() for problem in found), " ")
        )
    model = PublishedModel(source)
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        shared = unfinished / "shared"
        shared.mkdir(parents=True)
        line, vae, encoder = model.shared_files()
        say(Message("shared: line extractor, image encoder, VAE"))
        save_file(cast(read_state(line), torch.float32), shared / "line_extractor.safetensors")
        save_file(cast(current_names(read_state(vae)), STORED), shared / "vae.safetensors")
        image_encoder(encoder).save_pretrained(shared / "image_encoder")
        for part in parts:
            say(Message("{part}: transformer with its adapters merged, guider, super-resolution", part=part))
            (unfinished / part).mkdir()
            for name, state in model.style_states(part, STORED).items():
                save_file(
                    cast(state, STORED), unfinished / part / f"{name}.safetensors", metadata={"style": part}
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
