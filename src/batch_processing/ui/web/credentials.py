"""The name and password of the page, from where a person keeps them.

Promises: what others of this machine can read is refused (a file) or warned of (the command line); the environment
variable is not handed on to what the page starts.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path

from ...exceptions import ConfigurationError, reason
from ...logging_config import get_logger

VARIABLE = "LOTE_AUTH"
LONGEST = 4096  # bytes of a name and a password

_logger = get_logger(__name__)


def credentials(auth: str | None, auth_file: str | None) -> str | None:
    """USER:PASSWORD: of `auth` (of a name alone the password is asked for on the terminal), else of the first line
    of `auth_file`, else of LOTE_AUTH; None where none is given. ConfigurationError for anything that is no pair."""
    kept = os.environ.pop(VARIABLE, None)
    if auth is not None and auth_file is not None:
        raise ConfigurationError("Give either --auth or --auth-file, not both.")
    if auth is not None and ":" not in auth:
        return _pair(f"{auth}:{_asked(auth)}", "--auth")
    if auth is not None:
        _logger.warning(
            "Others of this machine can read the password that --auth has on the command line: use --auth-file, %s, "
            "or --auth with a name alone, which asks for it.",
            VARIABLE,
        )
        return _pair(auth, "--auth")
    if auth_file is not None:
        return _pair(_read(Path(auth_file).expanduser()), auth_file)
    return _pair(kept, VARIABLE) if kept else None


def _pair(text: str, origin: str) -> str:
    if not all(text.partition(":")):
        raise ConfigurationError("{origin} must have USER:PASSWORD.", origin=origin)
    return text


def _asked(name: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "--auth with a name alone asks for the password on a terminal, and there is none: use --auth-file."
        )
    return getpass.getpass(f"{name}: ")


def _read(path: Path) -> str:
    try:
        # Not blocking: a pipe would wait for its writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ConfigurationError("{path} is not a regular file.", path=path)
            if about.st_mode & 0o077:
                raise ConfigurationError(
                    "Others can read the password in {path}: chmod 600 {path}", path=path
                )
            text = file.read(LONGEST).decode("utf-8")
    except OSError as error:
        raise ConfigurationError(
            "{path} cannot be read: {reason}.", path=path, reason=reason(error)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("{path} is not UTF-8 text: save it as UTF-8.", path=path) from error
    return text.partition("\n")[0].rstrip("\r")
