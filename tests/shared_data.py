"""Where the shared specifications and test data lie.

They are not part of the repository. Set `LOTE_SHARED` to their folder, or put it beside the checkout
as `../shared`. In CI their absence is an error; elsewhere the tests that need them say so and are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("LOTE_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def require_shared(*parts: str) -> Path:
    """The path of `parts` below the shared folder; fails in CI, skips elsewhere, when it is absent."""
    path = SHARED.joinpath(*parts)
    if path.exists():
        return path
    sentence = f"needs the shared test data at {path} (set LOTE_SHARED, or put it beside the checkout)"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)
