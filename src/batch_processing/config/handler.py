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
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from ..exceptions import ConfigurationError, reason
from ..logging_config import get_logger
from ..reading import DEPTH, json_of, read_whole
from .settings import PAGE_FIELDS, SETTING_NAMES, canonical_name, check_values, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ConfigurationHandler"]

_logger = get_logger(__name__)

LARGEST_FILE = 4 << 20
"""Bytes of a configuration file: an entry for each of 10,000 pages takes some two million."""

# `photos` belongs to the photo application; see `effective.photo_settings`.
_SECTIONS = ("default", "images", "photos")


class ConfigurationHandler:
    """The settings of one file. Before a file is loaded there are none."""

    path: Path | None
    _default: dict[str, Any]
    _images: dict[str, dict[str, Any]]
    _keys: dict[tuple[str, ...], str]
    _photos: dict[str, Any]

    def __init__(self) -> None:
        self.clear_cache()

    def load_config_file(self, config_path: str | Path) -> dict[str, Any]:
        """Read a .json or .toml file and return its content as written; warn of what in it is wrong.

        ConfigurationError "Configuration file not found", "Failed to parse JSON" (or TOML) with line and
        column, and for a file whose sections are not tables. What was loaded before is then kept."""
        path = Path(config_path)
        content = _parse(path)
        default, images, photos, problems = _checked(content)
        self.path, self._default, self._images, self._photos = path, default, images, photos
        self._keys = {_key_parts(key): key for key in images}
        for problem in problems:
            _logger.warning("%s: %s", path, problem)
        return content

    def get_default_config(self) -> dict[str, Any]:
        """The file's own default settings, under their full names."""
        return copy.deepcopy(self._default)

    def get_image_config(self, image_path: str | Path) -> dict[str, Any]:
        """What the file says for this image: its entry laid over the file's default.

        The entry is the one whose key is the longest end of `image_path`: `ch2/p1.png` before `p1.png`."""
        key = self.entry_for(image_path)
        return self.merge_configs(self._default, self._images[key] if key is not None else {})

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

    def get_image_entry(self, key: str) -> dict[str, Any]:
        """The entry of that key alone, without the file's default."""
        return copy.deepcopy(self._images[key])

    def get_photo_config(self) -> dict[str, Any]:
        """The section `photos` as written; the photo application checks its own settings."""
        return copy.deepcopy(self._photos)

    def warn_unused(self, image_paths: list[str]) -> None:
        """Warn of entries that belong to none of these images, with the name that was likely meant."""
        used = {self.entry_for(path) for path in image_paths}
        names = {Path(path).name for path in image_paths} | set(image_paths)
        for key in self._images:
            if key not in used:
                hint = suggestion(key, names) or "."
                _logger.warning("%s: images: no image is called %r%s", self.path, key, hint)

    def validate_config(self, config: Mapping[str, Any]) -> list[str]:
        """Everything that is wrong with a whole file's content, or with one table of settings.

        An empty list means that all of it will take effect."""
        if any(section in config for section in _SECTIONS):
            return _checked(config)[-1]
        return [problem for _, problem in _check_table(config, SETTING_NAMES)[1]]

    def merge_configs(self, base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
        """A new dict: `base`, with each key that `override` has taken from there (shallow)."""
        return copy.deepcopy({**base, **override})

    def clear_cache(self) -> None:
        """Forget the loaded file."""
        self.path = None
        self._default = {}
        self._images = {}
        self._keys = {}
        self._photos = {}


def _parse(path: Path) -> dict[str, Any]:
    try:
        written = read_whole(path, LARGEST_FILE)
        content = _toml_of(written) if path.suffix.lower() == ".toml" else json_of(written)
    except FileNotFoundError as error:
        raise ConfigurationError(f"Configuration file not found: {path}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"Configuration file {path} is not UTF-8 text: save it as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"Configuration file {path} cannot be read: {reason(error)}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigurationError(f"Failed to parse JSON in {path}, {where}: {error.msg}.") from error
    except tomllib.TOMLDecodeError as error:  # its text ends with "(at line 3, column 5)"
        raise ConfigurationError(f"Failed to parse TOML in {path}: {error}.") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of too many digits
        raise ConfigurationError(f"Failed to parse {path}: {error}.") from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f'Configuration file {path} must hold an object such as {{"default": {{}}, "images": {{}}}}.'
        )
    return content


def _toml_of(written: bytes) -> dict[str, Any]:
    text = written.decode("utf-8-sig")
    # tomllib takes the square of a dotted key's length, and a megabyte of `a.a.a ...` is one key.
    if _LONG_KEY.search(text):
        raise ValueError(f"it has a key of more than {DEPTH} parts")
    return tomllib.loads(text)


# Begins at the beginning of a word only, and never goes back over one: linear in any text.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:\.[ \t]*+{_PART}){{{DEPTH},}}")


def _checked(
    content: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """The right settings of `default`, of each image and of `photos`, and all problems with their place."""
    problems = []
    for name in content:
        if canonical_name(name):
            problems.append(f"{name!r} stands outside of the sections: move it into 'default'")
        elif name not in _SECTIONS:
            problems.append(f"unknown section {name!r}{suggestion(name, _SECTIONS)}")
    default, wrong = _check_table(_table(content, "default"), SETTING_NAMES)
    problems += [f"default: {problem}" for _, problem in wrong]
    images = {}
    for key, entry in _table(content, "images").items():
        images[key], wrong = _check_table(_table({f"images/{key}": entry}, f"images/{key}"), PAGE_FIELDS)
        problems += [f"images/{key}: {problem}" for _, problem in wrong]
    return default, images, _table(content, "photos"), problems


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{name!r} in the configuration must be a table, got {table!r}.")
    return table


def _check_table(
    table: Mapping[str, Any], allowed: tuple[str, ...]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The right settings of one table under their full names, and (key, problem) of the others."""
    values: dict[str, Any] = {}
    problems = []
    for key, value in table.items():
        name = canonical_name(key)
        if name is None:
            problems.append(
                (key, f"unknown setting {key!r}{suggestion(key, [*allowed, 'steps', 'references'])}")
            )
        elif name not in allowed:
            problems.append((key, f"{key!r} is a setting of the whole job, not of one image"))
        elif name in values:
            problems.append((key, f"{key!r} is set twice, under two names"))
        else:
            values[name] = value
    good, wrong = check_values(values)
    return good, problems + wrong


def _key_parts(path: str) -> tuple[str, ...]:
    """A path as its parts, so that `./ch2\\\\p1.png` and `ch2/p1.png` are the same key."""
    return Path(normalize("NFC", path).replace("\\", "/")).parts
