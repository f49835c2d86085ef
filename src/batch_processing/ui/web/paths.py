"""Which files the page may touch: the one place where a path from the web becomes a path.

Promises: a path is let through only when the file that it really is, after every link, lies below a root
(or below a folder that the caller adds). What lies outside is refused in the same words whether it exists or
not. Refuses devices and pipes where a file is given out. Does not guard against somebody who may write in
those folders and exchanges a file between the look and its use.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...comics.sources import REFERENCE_FOLDERS
from ...config import ConfigurationHandler
from ...exceptions import ConfigurationError, ValidationError

CONFIG_SUFFIXES = (".json", ".toml")
# Settings of a configuration file that the page says itself.
SAID_BY_THE_PAGE = ("input_dir", "output_dir", "config_file")

Settings = dict[str, Any]
"""Settings by name, as a configuration file has them; `config.settings` knows what each may be."""


@dataclass(frozen=True)
class ConfigFile:
    """What a configuration file says: of every page, and of single images by their keys."""

    default: Settings = field(default_factory=dict)
    images: dict[str, Settings] = field(default_factory=dict)

    def with_images(self, said: dict[str, Settings]) -> ConfigFile:
        """The same with more said of single images; what is said here wins."""
        images = {key: dict(values) for key, values in self.images.items()}
        for key, values in said.items():
            images[key] = images.get(key, {}) | values
        return ConfigFile(dict(self.default), images)


class Roots:
    """The folders below which typed paths may lie. `workspace` is where nobody's configuration lies."""

    def __init__(self, folders: Sequence[str], workspace: Path) -> None:
        self._folders = list(folders)
        self._workspace = os.path.realpath(workspace)

    @property
    def folders(self) -> list[str]:
        """The roots themselves, absolute."""
        return list(self._folders)

    def typed(self, text: str) -> str:
        """A path as a person typed it, absolute, if it lies below the roots after following links.

        `~` is this user's home; other users' are not looked up. ValidationError for any other path."""
        text = text.strip()
        if not text or "\0" in text:
            raise ValidationError("Type the path of a folder, an archive or an image.")
        if text == "~" or text.startswith("~/"):
            text = str(Path.home()) + text[1:]
        return self.below(text)

    def below(self, path: str) -> str:
        """`path`, absolute, if it lies below the roots after following links. ValidationError else."""
        try:
            named = os.fsencode(path)
        except UnicodeEncodeError:
            named = b"\0"
        if b"\0" in named:
            raise ValidationError("This path has characters that no file name can have.")
        absolute = os.path.abspath(path)  # noqa: PTH100 - the user's own links
        if not self.hold(absolute):
            raise ValidationError(
                "{path} lies outside of the folders that this page may use: start lote ui with --root.",
                path=path,
            )
        return absolute

    def hold(self, path: str, *also: str | Path) -> bool:
        """Whether what `path` really is lies below a root, or below one of `also` (links in which are their
        owner's)."""
        real = os.path.realpath(path)
        return any(_below(real, root) for root in (*self._folders, *map(os.path.realpath, also)))

    def way_out(self, inputs: Sequence[str], *, recursive: bool) -> str | None:
        """The first link in these folders that a job would follow out of the roots, None if there is none."""
        for path in inputs:
            if not self.hold(path):
                return path
            for link in _links(path, recursive=recursive):
                if not self.hold(link):
                    return link
        return None

    def configuration(self, config_file: str | None) -> ConfigFile:
        """The content of a configuration file that was named on the page, every path in it absolute and checked
        like a typed one.

        ValidationError for a path outside; ConfigurationError for a file that lies in the workspace (uploads are
        there), is no regular file, or cannot be read."""
        if config_file is None:
            return ConfigFile()
        real = self.below(config_file)
        if _below(os.path.realpath(real), self._workspace):
            raise ConfigurationError(
                "{config_file} lies in the workspace, where uploads are: a configuration file must lie elsewhere.",
                config_file=config_file,
            )
        if Path(real).suffix.lower() not in CONFIG_SUFFIXES:
            raise ConfigurationError("{config_file} must be a .json or .toml file.", config_file=config_file)
        if Path(real).exists() and not Path(real).is_file():
            raise ConfigurationError("{config_file} is not a regular file.", config_file=config_file)
        return absolute_paths(real, check=self.below)


def absolute_paths(config_file: str, check: Callable[[str], str] = str) -> ConfigFile:
    """The content of a configuration file with paths as seen from anywhere, each put through `check`."""
    handler = ConfigurationHandler()
    written = handler.load_config_file(config_file)
    folder = Path(config_file).parent

    def path(text: str) -> str:
        # Not Path.expanduser, which raises for users that there are not.
        return check(str(folder / os.path.expanduser(text)))  # noqa: PTH111

    default = handler.get_file_default()
    for name in SAID_BY_THE_PAGE:
        default.pop(name, None)
    images = {key: handler.get_image_entry(key) for key in written.get("images", {})}
    for part in (default, *images.values()):
        if part.get("reference_images"):
            part["reference_images"] = [path(text) for text in part["reference_images"]]
        for name in ("hints", "palette"):
            if part.get(name):
                part[name] = path(part[name])
    return ConfigFile(default, images)


def inside(root: str | Path, path: str | Path) -> str:
    """`path` if it is a regular file below `root` that is reached over no link. FileNotFoundError else.

    `root` itself may be reached over links: those are the user's own."""
    base = Path(root).resolve()
    wanted = base / os.path.relpath(path, root)
    try:
        real = wanted.resolve()
        regular = stat.S_ISREG(real.lstat().st_mode)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise FileNotFoundError(path) from error
    if real != wanted or not real.is_relative_to(base) or not regular:
        raise FileNotFoundError(path)
    return str(real)


def is_inside(root: str | Path, path: str | Path) -> bool:
    """Whether `inside` would give the file."""
    try:
        inside(root, path)
    except OSError:
        return False
    return True


def _below(real: str, root: str) -> bool:
    return os.path.commonpath([real, root]) == root


def _links(path: str, *, recursive: bool) -> Iterator[str]:
    """The links below a folder that a job would follow: those to files, and reference folders that are links."""
    waiting = [path] if os.path.isdir(path) else []  # noqa: PTH112 - text, like what scandir gives
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # the job says what is wrong with it
        for entry in entries:
            references = entry.name.casefold() in REFERENCE_FOLDERS
            if entry.is_symlink():
                if references or not entry.is_dir():
                    yield entry.path
            elif entry.is_dir() and (recursive or references or os.path.dirname(entry.path) != path):  # noqa: PTH120
                waiting.append(entry.path)
