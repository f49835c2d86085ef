"""Rules of what is kept and of the order in which pages go."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_processing.backends.cobra.preprocess import BUCKETS
from batch_processing.backends.cobra.shared import Choice, Likeness, Store, batches
from batch_processing.backends.painting import choose_bucket, join, keep_ink, pieces


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 40)), max_size=40), st.integers(0, 100))
def test_a_store_never_holds_more_than_its_budget_and_forgets_the_oldest(
    writes: list[tuple[str, int]], budget: int
) -> None:
    store = Store(budget)
    for key, size in writes:
        store.put(key, torch.zeros(size, dtype=torch.uint8))
        assert store.held <= budget
        kept = store.get(key)
        assert (kept is not None and len(kept) == size) or size > budget
    held = [found for key in "abcdef" if (found := store.get(key)) is not None]
    assert sum(map(len, held)) == store.held


def test_a_store_keeps_what_was_used_last() -> None:
    store = Store(3)
    for key in "abc":
        store.put(key, torch.zeros(1, dtype=torch.uint8))
    store.get("a")
    store.put("d", torch.zeros(1, dtype=torch.uint8))
    assert [key for key in "abcd" if store.get(key) is not None] == ["a", "c", "d"]


def choice(*numbers: int) -> Choice:
    return Choice((64, 96), (tuple((str(n), 0) for n in numbers), (), (), ()))


@given(
    st.lists(
        st.tuples(st.sampled_from([4, 10]), st.lists(st.integers(0, 9), min_size=2, max_size=2)), max_size=20
    ),
    st.integers(1, 5),
)
def test_batches_hold_every_page_once_and_only_like_ones(
    pages: list[tuple[int, list[int]]], size: int
) -> None:
    likenesses = [Likeness("line", steps, (64, 96), 2) for steps, _ in pages]
    choices = [choice(*numbers) for _, numbers in pages]
    made = batches(likenesses, choices, [size] * len(pages))
    assert sorted(number for group in made for number in group) == list(range(len(pages)))
    for group in made:
        assert 1 <= len(group) <= size
        assert len({likenesses[number] for number in group}) == 1
    # As few groups as can be.
    for steps in (4, 10):
        count = sum(likeness.steps == steps for likeness in likenesses)
        assert sum(likenesses[group[0]].steps == steps for group in made) == -(-count // size)


def test_neighbors_share_references() -> None:
    like = Likeness("line", 4, (64, 96), 2)
    scenes = [choice(1, 2), choice(8, 9), choice(1, 3), choice(8, 7), choice(3, 2)]
    assert batches([like] * 5, scenes, [2] * 5) == [[0, 2], [4, 1], [3]]


@settings(deadline=None)  # time says nothing on a machine that others use
@given(st.integers(1, 1000), st.integers(1, 1000))
def test_pieces_cover_a_page_and_join_to_it(width: int, height: int) -> None:
    page = np.full((height, width), 255, np.uint8)
    page[:: max(1, height // 7)] = 0
    page[:, : width // 2] = np.where(np.arange(height)[:, None] % 3, page[:, : width // 2], 90)
    places = pieces(page)
    covered = np.zeros((height, width), bool)
    for rows, columns in places:
        covered[rows, columns] = True
        assert rows.start < rows.stop <= height
        assert columns.start < columns.stop <= width
    assert covered.all()
    rgb = np.repeat(page[:, :, None], 3, axis=2)
    assert np.array_equal(join([rgb[place] for place in places], places), rgb)
    assert len(places) == 1 or max(width, height) > 2.5 * min(width, height)


def test_strips_are_cut_in_the_gutters() -> None:
    strip = np.full((4000, 200), 255, np.uint8)
    for top in range(0, 4000, 250):
        strip[top : top + 220, ::5] = 0
    cuts = [rows.start for rows, _ in pieces(strip)[1:]]
    assert len(cuts) > 8
    assert all(cut % 250 >= 220 for cut in cuts)
    assert [columns.start for _, columns in pieces(strip.T)[1:]] == cuts


def test_twenty_thousand_by_two_hundred_is_a_handful_of_pieces() -> None:
    places = pieces(np.zeros((200, 20000), np.uint8) + np.arange(20000, dtype=np.uint8) % 7)
    assert 40 <= len(places) <= 90
    assert len(pieces(np.zeros((20000, 1), np.uint8))) < 90


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_every_size_has_a_bucket_and_turning_the_page_turns_it(width: int, height: int) -> None:
    bucket = choose_bucket((width, height), BUCKETS)
    distance = abs(width / height - bucket[0] / bucket[1])
    assert distance <= abs(width / height - 1)
    assert (bucket[0] >= bucket[1]) == (width >= height) or distance < 0.1


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_kept_ink_is_the_pages_own_and_no_halo_stays(seed: int, reach: int) -> None:
    rng = np.random.default_rng(seed)
    page = np.full((40, 50, 3), 255, np.uint8)
    row = int(rng.integers(8, 30))
    page[row : row + 2] = rng.integers(0, 70)
    colored = np.full_like(page, 200)
    colored[row - reach : row + 2 + reach] = 90  # the model's own, softer drawing of the line
    kept = keep_ink(colored, page, page[:, :, 0], reach)
    assert np.array_equal(kept[row : row + 2], page[row : row + 2])
    rest = np.delete(kept, [row, row + 1], axis=0)
    assert (rest == 200).all()
