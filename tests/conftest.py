"""What all tests share: how their reports travel, that none of them is waited for without end, and which run now.

Tests marked `long` run in `make faults`: more of what a shorter form beside them shows."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Generator
from typing import Any

import pytest

STUCK_S = 480
"""A test is given up after `timeout` (pyproject.toml) seconds, by a signal, once; what it then tidies up, or code that takes no
signals, is given up with the whole process after so many. Another process goes on with the tests after it."""

LONG = os.environ.get("LOTE_FAULTS") == "long"

_stderr = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    later = [] if LONG else [item for item in items if item.get_closest_marker("long")]
    if later:
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_stderr] = os.dup(2)  # that of a test is captured


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    os.close(config.stash[_stderr])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _watch(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    _watch(node)  # pytest itself has just ended it


def _watch(node: pytest.Item | pytest.Collector) -> None:
    faulthandler.dump_traceback_later(STUCK_S, exit=True, file=node.config.stash[_stderr])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Names that are no UTF-8 are what many tests are about; the pipe between processes takes none (pytest-xdist)."""
    report = yield
    report.sections = [
        (title, content.encode("utf-8", "backslashreplace").decode()) for title, content in report.sections
    ]
    return report
