"""What attention does with a page's regions: it compares and passes on colours without looking at which they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_processing.backends.flats import attention, describe, graph, ink, regions, structure

COLORS = 5


def seen_of(rng: np.random.Generator) -> graph.Look:
    """Two panels of boxes in boxes, at random."""
    page = np.full((380, 520, 3), 255, np.uint8)
    for x in (20, 270):
        for _ in range(4):
            left, top = x + int(rng.integers(0, 90)), 20 + int(rng.integers(0, 140))
            right, bottom = left + int(rng.integers(50, 130)), top + int(rng.integers(60, 190))
            page[top : bottom + 2, [left, left + 1, right, right + 1]] = 0
            page[[top, top + 1, bottom, bottom + 1], left : right + 2] = 0
    drawn = ink.find(page)
    labels = regions.segment(drawn)
    what = describe.shapes(labels)
    panels = structure.find(labels, drawn, what)
    return graph.look(drawn, labels, what, panels.frame, np.zeros(what.count, np.bool_))


def job_of(seed: int) -> tuple[graph.Look, graph.Placed, np.ndarray, attention.Known]:
    """A page and what another drawing tells it, in colours at random."""
    rng = np.random.default_rng(seed)
    page, shown = seen_of(rng), seen_of(rng)
    placed = graph.embed(shown)
    color = rng.integers(0, COLORS, len(shown.share)).astype(np.int32)
    heard = attention.heard(shown, placed.levels, np.eye(COLORS, dtype=np.float32)[color])
    known = attention.Known(heard.keys, heard.context, color, shown.share.astype(np.float32))
    vote = rng.random((len(page.share), COLORS))
    return page, graph.embed(page), vote / vote.sum(axis=1, keepdims=True), known


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 30), order=st.permutations(range(COLORS)))
def test_which_color_is_which_does_not_matter(seed: int, order: list[int]) -> None:
    page, placed, vote, known = job_of(seed)
    found = attention.read(page, placed.levels, vote, known)
    row = np.argsort(order).astype(np.int32)  # the colour that was c is row[c] now
    other = attention.Known(known.keys, known.context[..., order], row[known.color], known.share)
    again = attention.read(page, placed.levels, vote[:, order], other)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(again, found[:, order], atol=1e-4)
    assert np.abs(found - vote).max() > 0.01


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_the_order_of_what_references_show_does_not_matter(seed: int) -> None:
    page, placed, vote, known = job_of(seed)
    turned = np.random.default_rng(seed).permutation(len(known.color))
    other = attention.Known(
        known.keys[turned], known.context[turned], known.color[turned], known.share[turned]
    )
    found, again = (attention.read(page, placed.levels, vote, one) for one in (known, other))
    assert np.allclose(again, found, atol=1e-4)


def test_what_a_person_says_is_heard_by_others() -> None:
    page, placed, vote, known = job_of(5)
    nothing = attention.Said(np.zeros(0, np.int64), np.zeros(0, np.int32))
    found, same = (attention.read(page, placed.levels, vote, known, said=said) for said in (None, nothing))
    assert np.array_equal(same, found)
    for color in range(COLORS):
        said = attention.Said(np.array([1]), np.array([color], np.int32))
        again = attention.read(page, placed.levels, vote, known, said=said)
        assert np.abs(np.delete(again - found, 1, axis=0)).max() > 1e-3


def test_nobody_hears_itself_and_each_hears_one_share_in_all() -> None:
    page, placed, _, _ = job_of(3)
    n = len(page.share)
    heard = attention.heard(page, placed.levels, np.eye(n, dtype=np.float32))
    assert np.allclose(heard.context.sum(axis=2), 1, atol=1e-5)
    assert heard.context[np.arange(n), :, np.arange(n)].max() < 1e-6


def test_blocks_do_not_change_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    page, placed, vote, known = job_of(4)
    whole = attention.read(page, placed.levels, vote, known)
    keys = attention.heard(page, placed.levels, vote.astype(np.float32)).keys
    monkeypatch.setattr(attention, "ROWS", 3)
    assert len(page.share) > 6
    assert np.allclose(attention.read(page, placed.levels, vote, known), whole, atol=1e-5)
    assert np.allclose(attention.heard(page, placed.levels, vote.astype(np.float32)).keys, keys, atol=1e-4)
