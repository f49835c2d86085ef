"""Tests of the page drive a real browser and a real server, whose timing no test holds in its hands: one that fails is run
once more. What passed only then is listed at the end of the run as RERUN, and is a defect to be found: of the page, or of
the test."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))
