"""Where the shared specifications and test data lie, and what becomes of tests that lack something.

They are not part of the repository. Set `LOTE_SHARED` to their folder, or put it beside the checkout
as `../shared`. In CI their absence is an error; elsewhere the tests that need them say so and are skipped.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

SHARED = Path(os.environ.get("LOTE_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def require_shared(*parts: str) -> Path:
    """The path of `parts` below the shared folder; fails in CI, skips elsewhere, when it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        lacking(f"needs the shared test data at {path} (set LOTE_SHARED, or put it beside the checkout)")
    return path


def lacking(sentence: str) -> NoReturn:
    """Give up a test for want of what `sentence` names: a failure in CI, which installs all of it."""
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def needed_module(name: str) -> ModuleType:
    """The module of an extra that a test is about. Instead of `pytest.importorskip`, which skips in CI, too."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        lacking(f"needs {name}, of an extra: {error}")
