"""Books of every kind through the command: what comes out, what fails by itself, what is said."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from batch_processing.colorize import classify_inputs
from batch_processing.exceptions import ConfigurationError
from command import Run, lote
from corpus.archives import Entry, build
from corpus.books import epub, pdf, picture, rar4, rar5, seven_zip, showing, tar
from pages import colored, line_art

Lote = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    def call(*arguments: str | Path) -> Run:
        return lote("colorize", *arguments, "--backend", "noop", workspace=tmp_path / "ws")

    return call


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A cover and two pages."""
    folder = tmp_path_factory.mktemp("drawn")
    colored(folder / "0.png")
    line_art(folder / "1.png", 1)
    line_art(folder / "2.png", 2)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as file:
        assert all(entry.flag_bits & 0x800 for entry in file.infolist() if not entry.filename.isascii())
        return [name for name in file.namelist() if name != "processing_metadata.json"]


@pytest.mark.parametrize(
    ("suffix", "make"), [(".cbt", tar), (".cb7", seven_zip), (".cbr", rar4), (".rar", rar5), (".CBR", rar4)]
)
def test_a_book_becomes_a_cbz(
    suffix: str, make: Callable[[dict[str, bytes]], bytes], run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / f"book{suffix}").write_bytes(make({**drawn, "ComicInfo.xml": b"<ComicInfo/>", "a.txt": b"x"}))
    done = run(tmp_path / f"book{suffix}")
    assert done.code == 0, done.err
    assert "a.txt is no picture and is left out" in done.err
    assert names(tmp_path / "book_colorized.cbz") == ["ComicInfo.xml", "0.png", "1.png", "2.png"]
    assert not list((tmp_path / "ws" / "jobs").glob("*/in"))


def test_an_epub_and_a_pdf_become_a_cbz_in_reading_order(
    run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "book.epub").write_bytes(epub({"1.xhtml": showing("2.png", "0.png", "1.png")}, drawn))
    done = run(tmp_path / "book.epub")
    assert done.code == 0, done.err
    assert names(tmp_path / "book_colorized.cbz") == ["1_2.png", "2_0.png", "3_1.png"]
    pictures = [Image.open(io.BytesIO(data)) for data in drawn.values()]
    content = "q 144 0 0 192 0 0 cm /I Do Q"
    data = pdf(*((content, {"I": picture(one)}) for one in pictures), box=(144, 192))
    (tmp_path / "book.pdf").write_bytes(data)
    done = run(tmp_path / "book.pdf", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["1.png", "2.png", "3.png"]
    with Image.open(tmp_path / "out" / "2.png") as page:
        assert page.size == pictures[1].size
        assert page.convert("L").tobytes() == pictures[1].convert("L").tobytes()


def test_one_bad_page_and_one_bad_book_cost_themselves_only(
    run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "good.cbt").write_bytes(tar(drawn))
    pages = [
        Entry(name, data, method=0, crc=zlib.crc32(data) ^ (name == "2.png")) for name, data in drawn.items()
    ]
    (tmp_path / "page.cbz").write_bytes(build(*pages))
    (tmp_path / "torn.cbr").write_bytes(rar5(drawn)[:60])
    out = tmp_path / "out.cbz"
    done = run(
        tmp_path / "good.cbt", tmp_path / "page.cbz", tmp_path / "torn.cbr", "--join", "-o", out, "--json"
    )
    assert done.code == 3, done.err
    assert [page for page, _ in done.summary["failures"]] == ["page/2.png", "torn.cbr"]
    assert "in page.cbz it is damaged: its checksum is wrong" in done.summary["failures"][0][1]
    with zipfile.ZipFile(out) as file:
        assert file.read("page/2.png") == drawn["2.png"]
        assert file.read("torn.cbr") == (tmp_path / "torn.cbr").read_bytes()
        assert "good/1.png" in file.namelist()
    again = run(tmp_path / "good.cbt", tmp_path / "page.cbz", tmp_path / "torn.cbr", "--join", "-o", out)
    assert again.code == 3
    (tmp_path / "page.cbz").write_bytes(build(*(Entry(name, data) for name, data in drawn.items())))
    (tmp_path / "torn.cbr").write_bytes(rar5(drawn))
    mended = run(tmp_path / "good.cbt", tmp_path / "page.cbz", tmp_path / "torn.cbr", "--join", "-o", out)
    assert mended.code == 0, mended.err
    assert {"page/2.png", "torn/2.png"} <= set(names(out))


def test_only_bad_books_are_a_bad_book(run: Lote, tmp_path: Path) -> None:
    for name in ("a.cbz", "b.cbr"):
        (tmp_path / name).write_bytes(b"nothing")
    done = run(tmp_path / "a.cbz", tmp_path / "b.cbr", "-o", tmp_path / "out")
    assert done.code == 12
    assert "a.cbz is no archive" in done.err


def test_an_encrypted_page_leaves_nothing_in_its_place(
    run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    entries = [Entry(name, data, flags=(name == "2.png") * 1) for name, data in drawn.items()]
    (tmp_path / "book.cbz").write_bytes(build(*entries, Entry("secret.txt", flags=1)))
    done = run(tmp_path / "book.cbz")
    assert done.code == 3
    assert "  2.png: in book.cbz it is encrypted" in done.err
    assert "secret.txt is encrypted and is left out" in done.err
    assert names(tmp_path / "book_colorized.cbz") == ["0.png", "1.png"]


def test_names_of_a_code_page_are_unicode_in_the_output(
    run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    texts = ["第01巻/000 表紙.png", "第01巻/001.png", "第01巻/002.png"]
    entries = [Entry(text.encode("cp932"), data) for text, data in zip(texts, drawn.values(), strict=True)]
    (tmp_path / "book.zip").write_bytes(build(*entries))
    done = run(tmp_path / "book.zip")
    assert done.code == 0, done.err
    assert "cp932: say otherwise with --name-encoding" in done.err
    assert names(tmp_path / "book_colorized.zip") == texts
    done = run(tmp_path / "book.zip", "--name-encoding", "cp437", "-o", tmp_path / "other.cbz")
    assert names(tmp_path / "other.cbz") == [
        text.encode("cp932").decode("cp437").replace("\\", "/") for text in texts
    ]
    wrong = run(tmp_path / "book.zip", "--name-encoding", "klingon")
    assert wrong.code == 2
    assert "--name-encoding must be the name of an encoding such as cp932 or gbk, got 'klingon'" in wrong.err


def test_names_of_a_code_page_are_read_where_pages_are_only_looked_at(
    drawn: dict[str, bytes], tmp_path: Path
) -> None:
    entries = [Entry(f"頁{n}.png".encode("cp932"), data) for n, data in enumerate(drawn.values())]
    (tmp_path / "book.zip").write_bytes(build(*entries))
    seen = [key for key, _ in classify_inputs([tmp_path / "book.zip"], name_encoding="cp932")]
    assert seen == [f"頁{n}.png" for n in range(3)]
    with pytest.raises(ConfigurationError, match="klingon"):
        list(classify_inputs([tmp_path / "book.zip"], name_encoding="klingon"))


def test_names_on_disk_that_are_no_utf8_are_read_for_an_archive(
    run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for text, data in zip(["表紙", "頁01", "頁02"], drawn.values(), strict=True):
        Path(os.fsdecode(bytes(folder) + b"/" + text.encode("cp932") + b".png")).write_bytes(data)
    done = run(folder, "-o", tmp_path / "out.cbz")
    assert done.code == 0, done.err
    assert set(names(tmp_path / "out.cbz")) == {"表紙.png", "頁01.png", "頁02.png"}
    odd = Path(os.fsdecode(bytes(folder) + b"/\xff\x81.png"))
    odd.write_bytes(b"no picture")
    done = run(folder, "-o", tmp_path / "out.cbz")
    assert done.code == 3, done.err
    assert len(names(tmp_path / "out.cbz")) == 4


def test_a_photoshop_document_is_a_page_and_a_reference(
    run: Lote, drawn: dict[str, bytes], tmp_path: Path
) -> None:
    from psd_tools import PSDImage

    folder = tmp_path / "in"
    folder.mkdir()
    pictures = {name: Image.open(io.BytesIO(data)) for name, data in drawn.items()}
    for name, one in pictures.items():
        PSDImage.frompil(one).save(str(folder / name.replace(".png", ".psd")))
    done = run(folder)
    assert done.code == 0, done.err
    out = tmp_path / "in_colorized"
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == ["0.psd", "1.png", "2.png"]
    with Image.open(out / "1.png") as page:
        assert page.convert("L").tobytes() == pictures["1.png"].convert("L").tobytes()


def test_a_reference_can_lie_in_a_book(run: Lote, drawn: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "cast.cbr").write_bytes(rar5({"ana.png": drawn["0.png"]}))
    line_art(tmp_path / "in" / "1.png", 1)
    done = run(tmp_path / "in", "--references", tmp_path / "cast.cbr")
    assert done.code == 0, done.err


def test_a_pdf_of_nothing_is_one_sentence(run: Lote, tmp_path: Path) -> None:
    (tmp_path / "book.pdf").write_bytes(b"%PDF-1.7\n" + bytes(1000))
    done = run(tmp_path / "book.pdf")
    assert done.code == 12
    assert "Traceback" not in done.err
