"""The walk over a tree, which keeps a folder open while it looks at what is in it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from batch_processing.photos.walk import Walk
from photos_help import write

COUNT = 5


def next_descriptor() -> int:
    """The number that the next file to be opened gets: the least that is free."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def nested(tree: Path) -> Path:
    for number in range(COUNT):
        write(tree / "a" / "b" / f"{number}.jpg", b"%d" % number)
        write(tree / f"{number}.jpg", b"%d" % number)
    return tree


def test_all_is_found_and_nothing_stays_open(tmp_path: Path) -> None:
    before = next_descriptor()
    walk = Walk([os.fsencode(nested(tmp_path))], lambda _: [])
    assert sum(len(found) for found in walk) == 2 * COUNT
    assert next_descriptor() == before


def test_a_walk_that_is_broken_off_leaves_no_folder_open(tmp_path: Path) -> None:
    before = next_descriptor()
    with closing(iter(Walk([os.fsencode(nested(tmp_path))], lambda _: []))) as lists:
        next(lists)
        assert next_descriptor() > before
    assert next_descriptor() == before
