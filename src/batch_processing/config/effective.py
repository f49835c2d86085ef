"""Which setting wins, and where it came from.

From weakest to strongest: built-in, the file's `default`, the environment (`LOTE_*`), flags, the
file's entry for the image. Promises an origin for every value in force: "built-in",
"book.toml: default", "LOTE_SEED", "--seed", "book.toml: images/page_001.png".
Relative paths in a file are meant from that file's folder, all others from the current one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError, reason
from ..logging_config import get_logger
from ..messages import Message, as_message, joined
from .handler import ConfigurationHandler
from .settings import (
    AUTO,
    FLAGS,
    PAGE_FIELDS,
    SETTING_NAMES,
    BatchConfig,
    all_problems,
    built_in,
    check_values,
    env_name,
    parse_text,
    suggestion,
    yes_or_no,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Effective", "PageOptions", "Settings", "photo_settings"]

_logger = get_logger(__name__)


@dataclass(frozen=True)
class Effective:
    """A value in force, and where it was set."""

    value: Any
    origin: str


@dataclass(frozen=True)
class PageOptions:
    """What is in force for one page. `references` is None where the job's references serve."""

    style: str
    seed: int
    num_inference_steps: int
    top_k: int
    references: tuple[str, ...] | None
    priority: int
    skip: bool


class Settings:
    """The layers of settings of one job, and what they come to for the job and for each of its images."""

    def __init__(
        self, flags: Mapping[str, Any], environ: Mapping[str, str] | None = None, *, flag_origin: str = ""
    ) -> None:
        """`flags` by setting name (`num_inference_steps`); None and empty lists count as not given.

        Text is understood as on the command line ("2G"). `environ` is the process's own when left out.
        The file is the one that the setting `config_file` names. ConfigurationError names every wrong
        flag and variable at once, and is raised for an unreadable file; what is wrong inside the file
        is warned of."""
        environ = os.environ if environ is None else environ
        problems: list[Message] = []
        given = {name: value for name, value in flags.items() if value is not None and value not in ([], ())}
        variables = {
            name: environ[variable]
            for name in BatchConfig.model_fields
            if (variable := env_name(name)) in environ and environ[variable] != ""
        }
        _warn_of_unknown(environ)
        env_layer = _layer(variables, {name: env_name(name) for name in variables}, problems)
        flag_layer = _layer(given, {name: flag_origin or FLAGS.get(name, name) for name in given}, problems)
        if problems:
            raise ConfigurationError(all_problems(problems))

        self._job = {name: Effective(built_in(name), "built-in") for name in SETTING_NAMES}
        self._file = ConfigurationHandler()
        config_file = {**env_layer, **flag_layer}.get("config_file")
        if config_file is not None:
            self._file.load_config_file(config_file.value)
            self._job |= self._from_file(self._file.get_file_default(), "default")
        self._job |= env_layer | flag_layer

    @classmethod
    def of(cls, config: BatchConfig) -> Settings:
        """The settings of a `BatchConfig` made in code: what it sets counts like flags, its file as ever."""
        given = {name: getattr(config, name) for name in config.model_fields_set}
        return cls(given, {}, flag_origin="BatchConfig")

    def effective(self, image: str | Path | None = None) -> dict[str, Effective]:
        """Each setting in force for the job, or for this image of it, in the documented order."""
        if image is None:
            return {name: self._job[name] for name in BatchConfig.model_fields}
        key = self._file.entry_for(image)
        entry = {} if key is None else self._from_file(self._file.get_image_entry(key), f"images/{key}")
        return self._job | entry

    def batch_config(self) -> BatchConfig:
        """The job's settings. ConfigurationError if the input or the output is not set anywhere."""
        values = {name: effective.value for name, effective in self.effective().items()}
        return BatchConfig(**{name: value for name, value in values.items() if value is not None})

    def page(self, image: str | Path) -> PageOptions:
        """What is in force for this image; any path whose end names it, best the one below the input."""
        force = self.effective(image)
        references = force["reference_images"]
        own = references != self._job["reference_images"]
        return PageOptions(
            references=tuple(references.value) if own else None,
            **{name: force[name].value for name in PAGE_FIELDS if name != "reference_images"},
        )

    def unused(self, images: Iterable[str]) -> list[str]:
        """The entries in the file that belong to none of these images, each with its place."""
        path = self._file.path
        return [f"{path.name}: images/{key}" for key in self._file.unused(list(images))] if path else []

    def warn_unused(self, images: Iterable[str]) -> None:
        """Warn of entries in the file that belong to none of these images."""
        self._file.warn_unused(list(images))

    def describe(
        self, image: str | Path | None = None, resolved: Mapping[str, Effective] = MappingProxyType({})
    ) -> str:
        """One line for each setting: its name, its value and, in brackets, where it was set. `resolved` are those whose
        value is found out only where they are used."""
        force = {**self.effective(image), **resolved}
        width = max(map(len, force))
        return "\n".join(
            f"{name:<{width}}  {_shown(effective.value)}  ({effective.origin})"
            for name, effective in force.items()
        )

    def _from_file(self, values: Mapping[str, Any], place: str) -> dict[str, Effective]:
        path = self._file.path
        assert path is not None  # noqa: S101 - there are no values without a file
        origin = f"{path.name}: {place}"
        return {name: Effective(_below(path.parent, name, value), origin) for name, value in values.items()}


def photo_settings(
    flags: Mapping[str, Any], config_file: str | Path | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Effective]:
    """`root` (a path, or None), `batch_size` (at least 1; None: `auto`, what fits the machine) and `videos` (whether they are scanned like photos) of the photo
    application, with origins.

    From weakest to strongest: built-in, the section `photos` of the file (or of `LOTE_CONFIG`),
    `LOTE_ROOT`, `LOTE_BATCH_SIZE` and `LOTE_VIDEOS`, flags. ConfigurationError names every wrong value at once."""
    environ = os.environ if environ is None else environ
    force = {
        "root": Effective(None, "built-in"),
        "batch_size": Effective(100, "built-in"),
        "videos": Effective(False, "built-in"),
    }
    problems = []
    if config_file := config_file or environ.get("LOTE_CONFIG"):
        handler = ConfigurationHandler()
        handler.load_config_file(config_file)
        for name, value in handler.get_photo_config().items():
            if name not in force:
                hint = suggestion(name, force)
                _logger.warning("%s: photos: unknown setting %r%s", config_file, name, hint)
            elif name == "root" and isinstance(value, str):
                folder = Path(config_file).parent / Path(value).expanduser()
                force[name] = Effective(str(folder), f"{Path(config_file).name}: photos")
            else:
                force[name] = Effective(value, f"{Path(config_file).name}: photos")
    for name in force:
        if text := environ.get(f"LOTE_{name.upper()}"):
            parsed: Any = text
            if name == "batch_size":
                parsed = _count(text)
            elif name == "videos":
                with suppress(ValueError):  # said below
                    parsed = yes_or_no(name, text)
            force[name] = Effective(parsed, f"LOTE_{name.upper()}")
        if flags.get(name) is not None:
            given = _count(flags[name]) if name == "batch_size" else flags[name]
            force[name] = Effective(given, f"--{name.replace('_', '-')}")
    root, size = force["root"], force["batch_size"]
    if root.value is not None and (not isinstance(root.value, str | Path) or not str(root.value).strip()):
        problems.append(
            Message(
                "{origin}: root must be the path of a folder, got {given}",
                origin=root.origin,
                given=repr(root.value),
            )
        )
    if size.value == AUTO:
        size = force["batch_size"] = Effective(None, f"{size.origin}: {AUTO}")
    elif not isinstance(size.value, int) or isinstance(size.value, bool) or size.value < 1:
        problems.append(
            Message(
                "{origin}: batch_size must be auto or a whole number of at least 1, got {given}",
                origin=size.origin,
                given=repr(size.value),
            )
        )
    if not isinstance((videos := force["videos"]).value, bool):
        problems.append(
            Message(
                "{origin}: videos must be true or false, got {given}",
                origin=videos.origin,
                given=repr(videos.value),
            )
        )
    if problems:
        raise ConfigurationError(all_problems(problems))
    return force


def _count(given: object) -> object:
    """The number that a text is, where it is one."""
    return int(given) if isinstance(given, str) and given.strip().isdecimal() else given


def _layer(
    values: Mapping[str, Any], origins: Mapping[str, str], problems: list[Message]
) -> dict[str, Effective]:
    """One layer's values, checked; adds what is wrong with it to `problems`, each with its origin."""
    understood = {}
    for name, value in values.items():
        try:
            understood[name] = parse_text(name, value) if isinstance(value, str) else value
        except ValueError as error:
            problems.append(_as_said(as_message(reason(error)), origins[name]))
    good, wrong = check_values(understood)
    problems += [_as_said(problem, origins[name]) for name, problem in wrong]
    return {name: Effective(value, origins[name]) for name, value in good.items()}


def _as_said(problem: Message, origin: str) -> Message:
    """What is wrong with a setting, which is called as the person set it: "--workers" and not "max_concurrent"."""
    if "name" in problem.values and origin != "BatchConfig":
        return Message(problem.template, **{**problem.values, "name": origin})
    return joined((origin, problem), ": ")


def _warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Warn of a variable that is nearly one of ours: other programs' and our other variables are not."""
    known = {env_name(name)[5:] for name in BatchConfig.model_fields}
    for variable in environ:
        name = variable.removeprefix("LOTE_")
        if name != variable and name not in known and (near := get_close_matches(name, known, 1, 0.8)):
            _logger.warning("Unknown environment variable %r: did you mean 'LOTE_%s'?", variable, near[0])


def _below(folder: Path, name: str, value: Any) -> Any:
    """A path written in a file, as seen from that file's folder."""
    if name == "reference_images":
        return [str(folder / Path(part).expanduser()) for part in value]
    if name in {"input_dir", "output_dir", "hints", "palette"} and value is not None:
        return str(folder / Path(value).expanduser())
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)
