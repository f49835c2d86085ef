"""The small model folder, written once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.cobra.small_model import write_small_model


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("cobra") / "model")
