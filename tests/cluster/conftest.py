"""A cluster for the tests of this folder: two machines out of namespaces, started once.

Ray's own parts lose patience with each other on a busy machine, which no test holds in its hands: one that fails is run once more,
and is listed at the end of the run as RERUN. What goes wrong with Ray must cost minutes, never the whole run: no test takes longer
than `TEST_S`, all of them together no longer than `BUDGET_S`, and a cluster that did not start is not started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import machines
from cluster_jobs import IS_LONG
from shared_data import lacking

HERE = Path(__file__).parent
# On a machine that does nothing else all take 90 s.
BUDGET_S = 3600.0 if IS_LONG else 260.0
TEST_S = 600.0 if IS_LONG else 120.0


class _Clock:
    """What the tests of this folder have taken, in seconds, with their fixtures; and what came of starting the cluster."""

    spent = 0.0
    failure: str | None = None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))
            # Fixtures wait for nothing without an end of their own; a timer over them would go off in the next one's.
            item.add_marker(pytest.mark.timeout(TEST_S, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    began = time.monotonic()
    try:
        return (yield)
    finally:
        if HERE in item.path.parents:
            _Clock.spent += time.monotonic() - began


# Not for the session: machines that stand while other tests run take their time, and are found among their processes.
@pytest.fixture(scope="module")
def started() -> Iterator[machines.Machines]:
    if (why := machines.missing()) is not None:
        lacking(f"needs machines: {why}")
    if _Clock.failure is not None:  # a rerun asks for every fixture again
        pytest.fail(_Clock.failure)
    made = machines.Machines(2, slots=1)
    try:
        made.__enter__()
    except BaseException as error:
        _Clock.failure = f"the cluster of these tests did not start: {error}"
        raise
    try:
        yield made
    finally:
        made.__exit__(None, None, None)


@pytest.fixture
def cluster(started: machines.Machines, request: pytest.FixtureRequest) -> machines.Machines:
    """At least two machines of one slot, whatever the test before has done to them; as many as the test is marked with."""
    if _Clock.spent > BUDGET_S:
        pytest.fail(
            f"the tests on a cluster have taken {_Clock.spent:.0f} s, of {BUDGET_S:.0f} that they may"
        )
    if _Clock.failure is not None:
        pytest.fail(_Clock.failure)
    marker = request.node.get_closest_marker("machines")
    try:
        started.mend(marker.args[0] if marker else 2)
    except BaseException as error:
        _Clock.failure = f"a machine of these tests did not start: {error}"
        raise
    return started
