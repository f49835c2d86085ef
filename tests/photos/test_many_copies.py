"""Contents that very many files hold: the same rows as of few, at a cost that does not grow with their number."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from batch_processing.photos import scan_images_recursively
from batch_processing.photos.tables import duplicates, photos
from photos_help import Library, write

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 400
SMALL = 10
"""Photos of a batch: a commit then takes thirty files at most."""


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "photos.db") as library:
        yield library


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders of equal files, with one of another content between them."""
    tree = tmp_path / "tree"
    for number in range(COUNT):
        write(tree / f"{number // 100}" / f"{number:04}.jpg", b"icon")
    write(tree / "2" / "0250b.jpg", b"another")
    return tree


def rows(library: Library) -> Counter[tuple[str, str, bool]]:
    """How many photos there are of each kind: how they were found, their state, whether they are links."""
    library.session.commit()
    columns = photos.c.found_as, photos.c.state, photos.c.hardlink_of_id
    found = Counter(
        (how, state, base is not None) for how, state, base in library.session.execute(sa.select(*columns))
    )
    library.session.commit()
    return found


def pointing(library: Library) -> Counter[str]:
    """How many copies point to each original, by its name."""
    library.session.commit()
    query = sa.select(photos.c.filename).select_from(
        duplicates.join(photos, photos.c.id == duplicates.c.duplicate_of_id)
    )
    found = Counter(library.session.scalars(query))
    library.session.commit()
    return found


def test_each_points_to_the_first(library: Library, tree: Path) -> None:
    stats = library.scan(tree, SMALL)
    assert (stats.registered, stats.duplicates) == (2, COUNT - 1)
    assert rows(library) == {("new", "present", False): 2, ("copy", "present", False): COUNT - 1}
    assert pointing(library) == {"0000.jpg": COUNT - 1}


def test_the_others_are_not_looked_at_for_each(
    library: Library, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in each of the fourteen commits would be some 2,800 looks."""
    looks = Counter[str]()
    real = os.lstat

    def counted(path: str | bytes) -> os.stat_result:
        if os.fsdecode(path).endswith(".jpg"):
            looks["files"] += 1
        return real(path)

    monkeypatch.setattr(os, "lstat", counted)
    library.scan(tree, SMALL)
    assert pointing(library) == {"0000.jpg": COUNT - 1}
    assert looks["files"] < 2 * COUNT


def test_a_hard_link_among_them_is_one_of_them(library: Library, tree: Path) -> None:
    os.link(tree / "0" / "0007.jpg", tree / "3" / "0350b.jpg")
    stats = library.scan(tree, SMALL)
    assert (stats.registered, stats.duplicates, stats.hard_links) == (2, COUNT - 1, 1)
    assert sum(count for (_, _, is_link), count in rows(library).items() if is_link) == 1
    assert pointing(library) == {"0000.jpg": COUNT - 1}


def test_one_that_was_moved_is_found_again(library: Library, tree: Path) -> None:
    library.scan(tree, SMALL)
    (tree / "0" / "0000.jpg").rename(tree / "3" / "z.jpg")
    for number in range(3):
        write(tree / "3" / f"more{number}.jpg", b"icon")
    stats = library.scan(tree, SMALL)
    assert (stats.moved, stats.duplicates, stats.missing) == (1, 3, 0)
    assert sum(pointing(library).values()) == COUNT - 1 + 3
    assert len(pointing(library)) == 1


def test_the_original_may_go_while_the_scan_runs(library: Library, tree: Path) -> None:
    """The next scan at the latest has another original."""
    scan = scan_images_recursively(tree, library.photos, 1)
    next(scan)
    (tree / "0" / "0000.jpg").unlink()
    for _ in scan:
        pass
    library.scan(tree, SMALL)
    assert len(library.hashes()) == COUNT  # the other content, too
    (original,) = pointing(library)
    assert original != "0000.jpg"
    assert pointing(library)[original] == COUNT - 2
