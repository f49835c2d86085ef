"""What the fault tests share: their length, and the table that `make faults` prints at its end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

LONG = os.environ.get("LOTE_FAULTS") == "long"

_rows: list[tuple[str, str]] = []


@pytest.fixture(scope="session")
def length() -> Callable[[int, int], int]:
    """`length(short, long)`: the number for this form of the tests."""
    return lambda short, long: long if LONG else short


@pytest.fixture
def report() -> Callable[[str, str], None]:
    """`report(case, what was done and found)`: a line of the table."""
    return lambda case, found: _rows.append((case, found))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _rows:
        return
    rows = list(_rows)
    # Cases whose tests stand elsewhere: the state machines, the web page's list.
    reports = [each for each in terminalreporter.stats.get("passed", ()) if "/faults/" not in each.nodeid]
    for file, count in Counter(each.nodeid.split("::")[0] for each in reports).items():
        rows.append((file, f"{count} tests passed"))
    for word in ("failed", "error", "skipped"):
        rows += [
            (each.nodeid.split("::", 1)[-1], word.upper()) for each in terminalreporter.stats.get(word, ())
        ]
    terminalreporter.section(f"faults, {'long' if LONG else 'short'} form")
    width = max(len(case) for case, _ in rows)
    for case, found in rows:
        terminalreporter.write_line(f"{case:<{width}}  {found}")
