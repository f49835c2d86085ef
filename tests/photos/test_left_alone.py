"""What a scan leaves alone: all of it is listed, in pages that fit together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch_processing.photos import left_alone as module
from batch_processing.photos.left_alone import left_alone, page
from batch_processing.photos.store import Store
from command import lote
from photos_help import Library, write


def tree_of(tree: Path) -> dict[str, set[str]]:
    """A tree with something of each kind in several folders, and what is left alone in it, by reason."""
    left: dict[str, set[str]] = {}

    def note(reason: str, path: Path) -> None:
        left.setdefault(reason, set()).add(str(path))

    for folder in (tree, tree / "a", tree / "a/b", tree / "a/b/c", tree / "b", tree / "b0"):
        write(folder / "photo.jpg", os.fsencode(folder))
        for number in range(3):
            note(".xmp", write(folder / f"{number}.xmp", b"beside"))
        note("no extension", write(folder / "README", b"text"))
        (folder / "link.jpg").symlink_to(folder / "photo.jpg")
        note("links", folder / "link.jpg")
        note("folders with .nomedia", write(folder / "quiet/.nomedia", b"").parent)
        write(folder / "quiet/photo.jpg", b"quiet")
        note("bins", write(folder / ".Trash-1000/photo.jpg", b"gone").parent)
        note("machine folders", write(folder / "@eaDir/photo.jpg", b"small").parent)
        write(folder / "drafts/photo.jpg", b"draft")
        write(folder / "drafts/0.xmp", b"beside")
        note("ignored", folder / "drafts")
    for folder in (tree, tree / "a", tree / "b", tree / "b0"):
        write(folder / ".lote-ignore", b"drafts/\n")
    return left


@pytest.mark.parametrize(("rows", "seconds"), [(2, 60.0), (5, 0.0), (1, 0.0), (100, 60.0)])
def test_pages_are_the_whole_list_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, seconds: float
) -> None:
    monkeypatch.setattr(module, "PAGE", rows)
    monkeypatch.setattr(module, "MOST_SECONDS", seconds)
    left = tree_of(tmp_path / "tree")
    roots = [
        os.fsencode(tmp_path / "tree/b"),
        os.fsencode(tmp_path / "tree/a"),
        os.fsencode(tmp_path / "tree/b0"),
    ]
    inside = tuple(f"{os.fsdecode(root)}/" for root in roots)
    with Library(tmp_path / "photos.db") as library:
        stats = library.scan(tmp_path / "tree")
        store = Store(library.database)
        for folders in ([os.fsencode(tmp_path / "tree")], roots):
            every = list(left_alone(store, folders))
            assert len(every) == len({one.path for one in every})
            for reason, expected in left.items():
                wanted = (
                    expected if len(folders) == 1 else {path for path in expected if path.startswith(inside)}
                )
                listed = [one.path for one in every if one.reason == reason]
                assert {os.fsdecode(path) for path in listed} == wanted
                found, after = [], b""
                for _number in range(200):
                    told = page(store, folders, reason, after)
                    assert len(told.rows) <= rows
                    found += [row.path for row in told.rows]
                    if not (after := told.next):
                        break
                assert found == listed
        assert {str(reason): one.count for reason, one in stats.left_alone.items()} == {
            reason: len(paths) for reason, paths in left.items() if not reason.startswith((".", "no ext"))
        }
        store.close()


def test_a_drive_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tree/photo.jpg", b"one")
    assert lote("photos", "scan", tmp_path / "tree", workspace=tmp_path / "w").code == 0
    (tmp_path / "tree").rename(tmp_path / "elsewhere")
    run = lote("photos", "left-out", workspace=tmp_path / "w")
    assert run.code == 2
    assert run.err.count("\n") == 1
    assert f"{tmp_path}/tree is not there now" in run.err
