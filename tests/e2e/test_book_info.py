"""What a book says of itself goes out again, and follows its pages."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from command import lote
from pages import book, colored, zipped

INFO = """<ComicInfo>
  <Title>T</Title>
  <PageCount>4</PageCount>
  <BlackAndWhite>Yes</BlackAndWhite>
  <Pages>
    <Page Image="0" Type="FrontCover" />
    <Page Image="1" Bookmark="one" ImageSize="100" ImageWidth="1" ImageHeight="1" />
    <Page Image="2" Bookmark="two" />
    <Page Image="3" Bookmark="three" />
  </Pages>
</ComicInfo>"""
COMMENT = json.dumps({"appID": "ComicTagger", "ComicBookInfo/1.0": {"series": "PK\5\6"}}).encode()


def with_info(folder: Path, name: str = "ComicInfo.xml") -> Path:
    """A cover, two pages of line art, and a coloured page behind them."""
    book(folder, 2)
    colored(folder / "9.png", 5)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(INFO)
    return folder


def pages_of(xml: bytes | str) -> list[dict[str, str]]:
    return [page.attrib for page in ET.fromstring(xml).iter("Page")]  # noqa: S314


def count_of(xml: bytes | str) -> str | None:
    return ET.fromstring(xml).findtext("PageCount")  # noqa: S314


@pytest.mark.parametrize("output", ["out", "out.cbz"])
def test_pages_are_told_of_as_they_are_now(output: str, tmp_path: Path) -> None:
    source = with_info(tmp_path / "in")
    args = ("-o", tmp_path / output, "--backend", "noop", "--drop-references")
    done = lote("colorize", source, *args, workspace=tmp_path / "ws")
    assert done.code == 0, done.err
    if output == "out":
        info: bytes = (tmp_path / "out" / "ComicInfo.xml").read_bytes()
        size = (tmp_path / "out" / "1.png").stat().st_size
    else:
        with zipfile.ZipFile(tmp_path / output) as file:
            info, size = file.read("ComicInfo.xml"), file.getinfo("1.png").file_size
    assert pages_of(info) == [
        {"Image": "0", "Bookmark": "one", "ImageSize": str(size), "ImageWidth": "240", "ImageHeight": "320"},
        {"Image": "1", "Bookmark": "two"},
    ]
    assert count_of(info) == "2"


def test_where_nothing_is_dropped_all_stay(tmp_path: Path) -> None:
    archive = zipped(with_info(tmp_path / "in"), tmp_path / "in.cbz")
    assert lote("colorize", archive, "--backend", "noop", workspace=tmp_path / "ws").code == 0
    with zipfile.ZipFile(tmp_path / "in_colorized.cbz") as file:
        info = file.read("ComicInfo.xml")
    assert [page["Image"] for page in pages_of(info)] == ["0", "1", "2", "3"]
    assert count_of(info) == "4"
    assert b"<BlackAndWhite>No</BlackAndWhite>" in info


def test_one_among_the_pages_of_a_folder_counts_in_that_folder(tmp_path: Path) -> None:
    for chapter in ("Chapter 01", "Chapter 02"):
        with_info(tmp_path / "in" / chapter)
    (tmp_path / "in" / "Chapter 02" / "MetronInfo.xml").write_text("<MetronInfo/>")
    args = ("-o", tmp_path / "out", "--backend", "noop", "--drop-references", "--recursive")
    done = lote("colorize", tmp_path / "in", *args, workspace=tmp_path / "ws")
    assert done.code == 0, done.err
    for chapter in ("Chapter 01", "Chapter 02"):
        info = (tmp_path / "out" / chapter / "ComicInfo.xml").read_bytes()
        assert [(page["Image"], page["Bookmark"]) for page in pages_of(info)] == [("0", "one"), ("1", "two")]
        assert count_of(info) == "2"
        assert b"<BlackAndWhite>No</BlackAndWhite>" in info
    assert (tmp_path / "out" / "Chapter 02" / "MetronInfo.xml").read_text() == "<MetronInfo/>"


def test_the_comment_of_a_zip_is_kept(tmp_path: Path) -> None:
    archive = zipped(with_info(tmp_path / "in"), tmp_path / "in.cbz")
    with zipfile.ZipFile(archive, "a") as file:
        file.comment = COMMENT
    for _ in range(2):
        done = lote("colorize", archive, "--backend", "noop", "--json", workspace=tmp_path / "ws")
        assert done.code == 0, done.err
        with zipfile.ZipFile(tmp_path / "in_colorized.cbz") as file:
            assert file.comment == COMMENT
            assert file.testzip() is None
    with zipfile.ZipFile(archive, "a") as file:
        file.comment = b"other"
    assert lote("colorize", archive, "--backend", "noop", workspace=tmp_path / "ws").code == 0
    with zipfile.ZipFile(tmp_path / "in_colorized.cbz") as file:
        assert file.comment == b"other"


def test_joined_books_are_counted_through(tmp_path: Path) -> None:
    first, second = (zipped(with_info(tmp_path / name), tmp_path / f"{name}.cbz") for name in ("a", "b"))
    args = ("--join", "-o", tmp_path / "all.cbz", "--backend", "noop", "--drop-references")
    done = lote("colorize", first, second, *args, workspace=tmp_path / "ws")
    assert done.code == 0, done.err
    with zipfile.ZipFile(tmp_path / "all.cbz") as file:
        info = file.read("ComicInfo.xml")
        assert sum(name.endswith(".png") for name in file.namelist()) == 4
    assert [(page["Image"], page["Bookmark"]) for page in pages_of(info)] == [("0", "one"), ("1", "two")]
    assert count_of(info) == "4"
