"""ConfigurationHandler: a file with defaults and with settings of single images.

    [default]                          {"default": {"style": "line", "seed": 1},
    style = "line"                      "images": {"page_001.png": {"seed": 7},
    seed = 1                                       "ch2/page_001.png": {"skip": true}}}

    [images."page_001.png"]
    seed = 7

Promises that one wrong line costs that line only: a wrong value falls back to the file's default (in
`default`, to the built-in one) and an unknown key is left out, both with a warning that names the
place and the likely spelling. A file that cannot be read at all is a ConfigurationError.
Does not guarantee to notice that the file changed: it is read when `load_config_file` is called.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

from ..exceptions import ConfigurationError, reason
from ..json_types import JsonObject
from ..logging_config import get_logger
from ..messages import Message
from ..reading import DEPTH, json_of, read_whole
from .settings import (
    PAGE_FIELDS,
    SETTING_NAMES,
    BatchConfig,
    all_problems,
    built_in,
    canonical_name,
    check_values,
    suggestion,
)

__all__ = ["ConfigurationHandler"]

_logger = get_logger(__name__)

LARGEST_FILE = 4 << 20
"""Bytes of a configuration file: an entry for each of 10,000 pages takes some two million."""

# `photos` belongs to the photo application; see `effective.photo_settings`.
_SECTIONS = ("default", "images", "photos")


@dataclass(frozen=True)
class _Sections:
    """The right settings of a file, by section, and what is wrong with the others."""

    default: JsonObject = field(default_factory=dict)
    images: dict[str, JsonObject] = field(default_factory=dict)
    photos: JsonObject = field(default_factory=dict)
    problems: list[Message] = field(default_factory=list)


class ConfigurationHandler:
    """The settings of one file. Before a file is loaded there are none."""

    path: Path | None
    _sections: _Sections
    _keys: dict[tuple[str, ...], str]

    def __init__(self) -> None:
        self.clear_cache()

    def load_config_file(self, config_path: str | Path) -> JsonObject:
        """Read a .json or .toml file and return its content as written; warn of what in it is wrong.

        ConfigurationError "Configuration file not found", "Failed to parse JSON" (or TOML) with line and
        column, and for a file whose sections are not tables. What was loaded before is then kept."""
        path = Path(config_path)
        content = _parse(path)
        sections = _checked(content)
        self.path, self._sections = path, sections
        self._keys = {_key_parts(key): key for key in sections.images}
        for problem in sections.problems:
            _logger.warning("%s: %s", path, problem)
        return content

    def get_default_config(self) -> JsonObject:
        """Every setting of a job that has a default: the file's, where it is right, else the built-in one."""
        return self.merge_configs(
            {
                name: built_in(name)
                for name in BatchConfig.model_fields
                if name not in {"input_dir", "output_dir"}
            },
            self._sections.default,
        )

    def get_file_default(self) -> JsonObject:
        """The right ones of the settings that the file's `default` names, under their full names."""
        return copy.deepcopy(self._sections.default)

    def get_image_config(self, image_path: str | Path) -> JsonObject:
        """What the file says for this image: its entry laid over the file's default.

        The entry is the one whose key is the longest end of `image_path`: `ch2/p1.png` before `p1.png`."""
        key = self.entry_for(image_path)
        return self.merge_configs(
            self._sections.default, self._sections.images[key] if key is not None else {}
        )

    def has_image_config(self, image_path: str | Path) -> bool:
        """Whether the file has an entry for this image."""
        return self.entry_for(image_path) is not None

    def entry_for(self, image_path: str | Path) -> str | None:
        """The key of this image's entry, as written in the file; None where there is none."""
        parts = _key_parts(str(image_path))
        for start in range(len(parts)):
            if (key := self._keys.get(parts[start:])) is not None:
                return key
        return None

    def get_image_entry(self, key: str) -> JsonObject:
        """The entry of that key alone, without the file's default."""
        return copy.deepcopy(self._sections.images[key])

    def get_photo_config(self) -> JsonObject:
        """The section `photos` as written; the photo application checks its own settings."""
        return copy.deepcopy(self._sections.photos)

    def unused(self, image_paths: list[str]) -> list[str]:
        """The keys of entries that belong to none of these images."""
        used = {self.entry_for(path) for path in image_paths}
        return [key for key in self._sections.images if key not in used]

    def warn_unused(self, image_paths: list[str]) -> None:
        """Warn of entries that belong to none of these images, with the name that was likely meant."""
        names = {Path(path).name for path in image_paths} | set(image_paths)
        for key in self.unused(image_paths):
            hint = suggestion(key, names) or "."
            _logger.warning("%s: images: no image is called %r%s", self.path, key, hint)

    def validate_config(self, config: Mapping[str, Any]) -> bool:
        """True where all of a whole file's content, or of one table of settings, will take effect.

        ConfigurationError names everything that is wrong with it."""
        if problems := self._problems(config):
            raise ConfigurationError(all_problems(problems))
        return True

    def problems(self, config: Mapping[str, Any]) -> list[str]:
        """What `validate_config` would name, one text each; an empty list where nothing is wrong."""
        return list(map(str, self._problems(config)))

    @staticmethod
    def _problems(config: Mapping[str, Any]) -> list[Message]:
        if not isinstance(config, Mapping):
            return [Message("the configuration must be a dictionary, got {kind}", kind=type(config).__name__)]
        if any(section in config for section in _SECTIONS):
            return _checked(config).problems
        return [problem for _, problem in _check_table(config, SETTING_NAMES)[1]]

    def merge_configs(self, base: Mapping[str, Any], override: Mapping[str, Any]) -> JsonObject:
        """A new dict: `base`, with each key that `override` has taken from there (shallow)."""
        return copy.deepcopy({**base, **override})

    def clear_cache(self) -> None:
        """Forget the loaded file."""
        self.path = None
        self._sections = _Sections()
        self._keys = {}


def _parse(path: Path) -> JsonObject:
    try:
        written = read_whole(path, LARGEST_FILE)
        content = _toml_of(written) if path.suffix.lower() == ".toml" else json_of(written)
    except FileNotFoundError as error:
        raise ConfigurationError("Configuration file not found: {path}", path=path) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "Configuration file {path} is not UTF-8 text: save it as UTF-8.", path=path
        ) from error
    except OSError as error:
        raise ConfigurationError(
            "Configuration file {path} cannot be read: {error}.", path=path, error=reason(error)
        ) from error
    except json.JSONDecodeError as error:
        where = Message("line {line}, column {column}", line=error.lineno, column=error.colno)
        raise ConfigurationError(
            "Failed to parse JSON in {path}, {where}: {problem}.", path=path, where=where, problem=error.msg
        ) from error
    except tomllib.TOMLDecodeError as error:  # its text ends with "(at line 3, column 5)"
        raise ConfigurationError(
            "Failed to parse TOML in {path}: {error}.", path=path, error=error
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of too many digits
        raise ConfigurationError("Failed to parse {path}: {error}.", path=path, error=error) from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            'Configuration file {path} must hold an object such as {{"default": {{}}, "images": {{}}}}.',
            path=path,
        )
    return content


def _toml_of(written: bytes) -> JsonObject:
    text = written.decode("utf-8-sig")
    # tomllib takes the square of a dotted key's length, and a megabyte of `a.a.a ...` is one key.
    if _LONG_KEY.search(text):
        raise ValueError(Message("it has a key of more than {limit} parts", limit=DEPTH))
    return tomllib.loads(text)


# Begins at the beginning of a word only, and never goes back over one: linear in any text.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:\.[ \t]*+{_PART}){{{DEPTH},}}")


def _checked(
    content: Mapping[str, Any],
) -> _Sections:
    """The right settings of `default`, of each image and of `photos`, and all problems with their place."""
    problems = []
    for name in content:
        if canonical_name(name):
            problems.append(
                Message("{name} stands outside of the sections: move it into 'default'", name=repr(name))
            )
        elif name not in _SECTIONS:
            problems.append(
                Message("unknown section {name}{hint}", name=repr(name), hint=suggestion(name, _SECTIONS))
            )
    default, wrong = _check_table(_table(content, "default"), SETTING_NAMES)
    problems += [Message("default: {problem}", problem=problem) for _, problem in wrong]
    images = {}
    for key, entry in _table(content, "images").items():
        images[key], wrong = _check_table(_table({f"images/{key}": entry}, f"images/{key}"), PAGE_FIELDS)
        problems += [Message("images/{key}: {problem}", key=key, problem=problem) for _, problem in wrong]
    return _Sections(default, images, _table(content, "photos"), problems)


def _table(content: Mapping[str, Any], name: str) -> JsonObject:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(
            "{name} in the configuration must be a table, got {table}.", name=repr(name), table=repr(table)
        )
    return table


def _check_table(
    table: Mapping[str, Any], allowed: tuple[str, ...]
) -> tuple[JsonObject, list[tuple[str, Message]]]:
    """The right settings of one table under their full names, and (key, problem) of the others."""
    values: JsonObject = {}
    problems = []
    for key, value in table.items():
        name = canonical_name(key)
        if name is None:
            problems.append(
                (
                    key,
                    Message(
                        "unknown setting {key}{hint}",
                        key=repr(key),
                        hint=suggestion(key, [*allowed, "steps", "references"]),
                    ),
                )
            )
        elif name not in allowed:
            problems.append(
                (key, Message("{key} is a setting of the whole job, not of one image", key=repr(key)))
            )
        elif name in values:
            problems.append((key, Message("{key} is set twice, under two names", key=repr(key))))
        else:
            values[name] = value
    good, wrong = check_values(values)
    # What is `auto` is as if it were not set: a file is the weakest of all who set anything.
    return {name: value for name, value in good.items() if value is not None}, problems + wrong


def _key_parts(path: str) -> tuple[str, ...]:
    """A path as its parts, so that `./ch2\\\\p1.png` and `ch2/p1.png` are the same key."""
    return Path(normalize("NFC", path).replace("\\", "/")).parts
