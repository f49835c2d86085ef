"""What votes and surroundings are made of: the nearest rows by the definition, and heads that do not hear each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_processing.backends.flats import assign, describe, graph, ink, regions, structure


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 700), st.integers(1, 12), st.integers(1, 9), st.integers(0, 1 << 30)
)
def test_the_nearest_rows_are_those_of_the_definition(
    asked: int, known: int, width: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, those = (rng.normal(size=(n, width)).astype(np.float32) for n in (asked, known))
    index, weight = assign._nearest(rows, those, count, 0.3)
    away = ((rows[:, None].astype(np.float64) - those[None]) ** 2).sum(axis=2)
    wanted = np.sort(away, axis=1)[:, : min(count, known)]
    found = np.take_along_axis(away, index, axis=1)
    assert index.max() < known
    assert all(len(set(row)) == len(row) for row in index.tolist())
    assert np.allclose(np.sort(found, axis=1), wanted, atol=1e-4)
    expected = np.exp(-(found - found.min(axis=1, keepdims=True)) / 0.3)
    assert np.allclose(weight, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)


@pytest.mark.parametrize("head", range(graph.HEADS))
def test_a_head_hears_only_what_is_said_to_it(head: int) -> None:
    page = np.full((420, 560, 3), 255, np.uint8)
    for x in (40, 300):
        page[60:300, [x, x + 200]] = 0
        page[[60, 180, 300], x : x + 201] = 0
    drawn = ink.find(page)
    labels = regions.segment(drawn)
    what = describe.shapes(labels)
    panels = structure.find(labels, drawn, what)
    seen = graph.look(drawn, labels, what, panels.frame, np.zeros(what.count, np.bool_))
    ways = graph.walks(seen)
    rng = np.random.default_rng(head)
    share = rng.random((what.count, 3)).astype(np.float32)
    sent = rng.random((what.count, graph.SIDES, graph.HEADS)).astype(np.float32)
    alone = sent.copy()
    alone[..., [other for other in range(graph.HEADS) if other != head]] = 0
    shape = (what.count, graph.SIDES, graph.HEADS, 3)
    both, one = (
        graph.surroundings(ways, share, said.reshape(what.count, graph.AROUND)).reshape(shape)
        for said in (sent, alone)
    )
    assert both[:, :, head].max() > 0
    assert np.allclose(both[:, :, head], one[:, :, head], atol=1e-6)
    assert not np.delete(one, head, axis=2).any()
