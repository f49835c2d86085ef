"""Pages that a person names: `--as-lineart`, `--as-reference`, `--keep`, `--page`, `lote approve`."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batch_processing.comics.selection import Selection, selected
from command import Run, lote
from pages import book, colored, line_art, zipped

COVER = "[Group] Title v01 - p000 [cover].png"


def colorize(tmp_path: Path, *args: str | Path) -> Run:
    return lote(
        "colorize",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--backend",
        "noop",
        *args,
        workspace=tmp_path / "ws",
    )


def roles(folder: Path) -> dict[str, str]:
    told = json.loads((folder / "_lote" / "processing_metadata.json").read_text())
    return {page["source"]: page["role"] for page in told["pages"]}


def test_a_name_in_brackets_is_a_name(tmp_path: Path) -> None:
    colored(tmp_path / "in" / COVER, 1)
    colored(tmp_path / "in" / "[Group] Title v01 - p002 [colour].png", 2)
    line_art(tmp_path / "in" / "[Group] Title v01 - p001.png", 3)
    done = colorize(tmp_path, "--as-lineart", "[Group] Title v01 - p002 [colour].png")
    assert done.code == 0, done.err
    assert "names no image" not in done.err
    assert roles(tmp_path / "out") == {
        COVER: "copy",
        "[Group] Title v01 - p001.png": "page",
        "[Group] Title v01 - p002 [colour].png": "page",
    }


def test_credits_are_kept_untouched_and_teach_nothing(tmp_path: Path) -> None:
    book(tmp_path / "in", 2)
    credit = colored(tmp_path / "in" / "zz_credits.png", 9)
    other = line_art(tmp_path / "in" / "zz_join us.png", 9)
    done = colorize(tmp_path, "--keep", "zz_*")
    assert done.code == 0, done.err
    told = roles(tmp_path / "out")
    assert (told["zz_credits.png"], told["zz_join us.png"]) == ("kept", "kept")
    for path in (credit, other):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    report = (tmp_path / "out" / "_lote" / "processing_metadata.json").read_text()
    assert json.loads(report)["counts"]["completed"] == 2


def test_what_names_no_page_is_a_warning(tmp_path: Path) -> None:
    book(tmp_path / "in", 2)
    done = colorize(tmp_path, "--as-reference", "cover.png", "--keep", "credits*", "--as-lineart", "1.png")
    assert done.code == 0, done.err
    assert "warning: --as-reference cover.png names no image: did you mean '0_cover.png'?" in done.err
    assert "warning: --keep credits* names no image" in done.err
    assert "1.png names" not in done.err


def test_of_several_books_one_must_have_the_page(tmp_path: Path) -> None:
    for number in (1, 2):
        zipped(book(tmp_path / f"p{number}", number), tmp_path / f"{number}.cbz")
    done = lote(
        "colorize", tmp_path / "1.cbz", tmp_path / "2.cbz", "-o", tmp_path / "out", "--backend", "noop",
        "--keep", "2.png", "--keep", "1/1.png", "--keep", "9.png", "--as-lineart", "0_cover.png",
        workspace=tmp_path / "ws",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "warning: --keep 9.png names no image of any book" in done.err
    assert done.err.count("names no image") == 1
    with zipfile.ZipFile(tmp_path / "out" / "2.cbz") as file:
        told = json.loads(file.read("processing_metadata.json"))["pages"]
    assert {page["source"]: page["role"] for page in told} == {
        "0_cover.png": "page",
        "1.png": "page",
        "2.png": "kept",
    }


def test_retry_and_approve_take_names_and_patterns(tmp_path: Path) -> None:
    folder = book(tmp_path / "in", 3)
    line_art(folder / "[x] 1.png", 7)
    assert colorize(tmp_path).code == 0
    again = lote("retry", "1", "--page", "[x] 1.png", "--page", "9.png", "--json", workspace=tmp_path / "ws")
    assert [event["page"] for event in again.events if event["event"] == "page"] == ["[x] 1.png"]
    assert "warning: job 1 has no finished page 9.png" in again.err
    again = lote("retry", "1", "--page", "[12].png", "--json", workspace=tmp_path / "ws")
    assert {event["page"] for event in again.events if event["event"] == "page"} == {"1.png", "2.png"}
    none = lote("retry", "1", "--page", "9.png", workspace=tmp_path / "ws")
    assert (none.code, "has no finished page 9.png" in none.err) == (1, True)
    done = lote("approve", "1", "[x] 1.png", workspace=tmp_path / "ws")
    assert done.out.splitlines() == ["[x] 1.png is approved"]


PATHS = st.lists(st.text("ab[]*?é1/", min_size=1, max_size=6), min_size=1, max_size=6, unique=True)


@given(PATHS, st.data())
def test_the_path_of_a_page_is_that_page(paths: list[str], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(paths))
    text = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), path)
    same = {one for one in paths if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", path)}
    assert set(selected([text], paths)[0]) == same
    assert selected([text], paths)[1] == []


@given(PATHS, PATHS)
def test_a_text_is_unused_exactly_where_it_selects_nothing(paths: list[str], texts: list[str]) -> None:
    for text in texts:
        chosen, unused = selected([text], paths)
        assert bool(unused) == (not chosen)
    together = Selection(texts, paths)
    assert {path for path in paths if path in together} == {
        path for text in texts for path in selected([text], paths)[0]
    }
