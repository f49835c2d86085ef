"""A chapter that is being put together: one bad input costs only itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from batch_processing.ui.web.drafts import Draft, Quota
from batch_processing.ui.web.paths import Roots
from pages import book


def looked_at(draft: Draft) -> Draft:
    until = time.monotonic() + 120
    while draft.busy:
        assert time.monotonic() < until, "it is looked at for too long"
        time.sleep(0.05)
    return draft


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    return Draft(
        tmp_path / "ws" / "draft", Roots([str(tmp_path)], tmp_path / "ws"), Quota(tmp_path / "ws", 1 << 30)
    )


@pytest.mark.parametrize("first", ["folder", "archive"])
def test_a_good_input_stays_whose_path_is_part_of_a_bad_ones(
    tmp_path: Path, draft: Draft, first: str
) -> None:
    folder = book(tmp_path / "u" / "a", 2)
    archive = folder / "b.zip"
    archive.write_bytes(b"Rar! and more")
    inputs = [folder, archive]
    for path in inputs if first == "folder" else reversed(inputs):
        draft.add(str(path))
    draft.look()
    looked_at(draft)
    assert draft.inputs == [str(folder)]
    assert [picture.key for picture in draft.pictures] == ["0_cover.png", "1.png", "2.png"]
    (problem,) = {str(problem): problem for problem in draft.problems}.values()
    assert next(iter(problem.texts())) == str(archive)


def test_what_is_no_image_is_named(tmp_path: Path, draft: Draft) -> None:
    folder = book(tmp_path / "chapter", 1)
    (folder / "notes.txt").write_text("words")
    (folder / "extra.pdf").write_bytes(b"%PDF-1.7")
    (folder / "Thumbs.db").write_bytes(b"x")
    draft.add(str(folder))
    draft.look()
    looked_at(draft)
    assert [str(sentence) for sentence in draft.left_out] == [
        "the archive extra.pdf beside the pages is left out: give it to Lote by itself",
        "notes.txt is no picture and is left out",
    ]
    draft.clear()
    assert draft.left_out == []


def test_an_upload_is_called_as_it_was_dropped(tmp_path: Path, draft: Draft) -> None:
    kept = draft.folder / "archives" / "bad.zip"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"no archive")
    draft.add(str(kept))
    draft.look()
    looked_at(draft)
    (problem,) = draft.problems
    assert problem.values["path"] == "bad.zip"
    assert "is no archive" in str(problem)
