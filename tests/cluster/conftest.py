"""A cluster for the tests of this folder: three machines out of namespaces.

Ray's own parts lose patience with each other on a busy machine, which no test holds in its hands: one that fails is run once more,
and is listed at the end of the run as RERUN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import machines
from shared_data import lacking

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="module")
def cluster() -> Iterator[machines.Machines]:
    if (why := machines.missing()) is not None:
        lacking(f"needs machines: {why}")
    with machines.Machines(3, slots=1) as made:
        yield made
