"""Every file of an input is accounted for: a page, a reference, a hint, metadata, or left out with its reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.colorize import classify_inputs, result_of, submit
from batch_processing.comics.sources import Found, find_sources
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ValidationError
from batch_processing.io.kinds import BOOK_SUFFIXES, PICTURE_SUFFIXES, LeftOut, Reason
from command import Run, lote
from pages import book, colored, line_art, zipped
from shared_data import require_shared

Lote = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    def colorize(*args: str | Path, backend: str = "noop", **env: str) -> Run:
        return lote("colorize", *args, "--backend", backend, workspace=tmp_path / "ws", **env)

    return colorize


def left_out(done: Run) -> dict[str, str]:
    """What the summary of `--json` says of it: reason by name."""
    return {each["name"]: each["reason"] for each in done.summary["left_out"]}


JXL = bytes.fromhex("0000000c4a584c200d0a870a") + bytes(100)


class TestContent:
    def test_a_page_without_a_known_suffix_is_a_page(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 3)
        (source / "2.png").rename(source / "2.image.jpg2578")
        (source / "3.png").rename(source / "3")
        done = run(source, "--json")
        assert done.code == 0, done.err
        assert done.summary["completed"] == 3
        assert done.summary["left_out"] == []
        out = tmp_path / "in_colorized"
        assert {"1.png", "2.image.png", "3.png"} <= {path.name for path in out.iterdir()}

    def test_a_picture_that_lote_does_not_read_is_a_failed_page(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 2)
        (source / "3.jxl").write_bytes(JXL)
        (source / "4.kra").write_bytes(b"PK\3\4" + bytes(100))
        (source / "5.clip").write_bytes(b"CSFCHUNK" + bytes(100))
        (source / "6.png").write_bytes(b"<!DOCTYPE html><html>403</html>")
        done = run(source)
        assert done.code == 3
        told = done.err.partition("job 1 is done")[2]
        assert "\n  3.jxl: it is a JPEG XL picture, which Lote does not read: convert it to PNG, for" in told
        assert "\n  4.kra: it is a Krita document, which Lote does not read: export it as PNG from" in told
        assert "\n  5.clip: it is a Clip Studio Paint document" in told
        assert "\n  6.png: the file is not an image although its name ends in .png, but an HTML page" in told
        for name in ("3.jxl", "4.kra", "5.clip", "6.png"):
            assert (tmp_path / "in_colorized" / name).read_bytes() == (source / name).read_bytes()

    def test_the_original_stands_in_the_archive_too(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 2)
        (source / "3.jxl").write_bytes(JXL)
        done = run(source, "-o", tmp_path / "out.cbz")
        assert done.code == 3
        with zipfile.ZipFile(tmp_path / "out.cbz") as file:
            assert file.read("3.jxl") == JXL

    def test_a_page_that_is_mended_takes_the_place_of_its_original(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 3)
        (source / "2.png").write_bytes(b"hello")
        (source / "3.png").rename(source / "aside.png")
        (source / "3.tga").write_bytes(b"hello")
        out = tmp_path / "in_colorized"
        assert run(source).code == 3
        assert ((out / "2.png").read_bytes(), (out / "3.tga").read_bytes()) == (b"hello", b"hello")
        line_art(source / "2.png", 2)
        (source / "aside.png").replace(source / "3.tga")
        again = run(source)
        assert again.code == 0, again.err
        with Image.open(out / "2.png") as page:
            assert page.size == (240, 320)
        assert (out / "3.png").exists()
        assert not (out / "3.tga").exists()

    def test_what_stands_where_an_original_would_is_left_alone(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        (source / "2.jxl").write_bytes(JXL)
        mine = tmp_path / "in_colorized" / "2.jxl"
        mine.parent.mkdir()
        mine.write_bytes(b"mine")
        done = run(source)
        assert done.code == 3
        assert "the original of 2.jxl is not in the output" in done.err
        assert mine.read_bytes() == b"mine"

    def test_a_page_that_cannot_be_opened_fails_by_name(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        (source / "2.png").symlink_to("gone.png")
        os.mkfifo(source / "3.png")
        done = run(source, "--json")
        assert done.code == 3
        assert [name for name, _ in done.summary["failures"]] == ["2.png", "3.png"]

    @pytest.mark.parametrize("named", [".hidden", ".hidden.cbz", ".page.png"])
    def test_what_a_person_names_is_read_though_its_name_begins_with_a_dot(
        self, run: Lote, tmp_path: Path, named: str
    ) -> None:
        source = book(tmp_path / ".hidden", 1)
        zipped(source, tmp_path / ".hidden.cbz")
        line_art(tmp_path / ".page.png")
        done = run(tmp_path / named, "-o", tmp_path / "out", "--json")
        assert done.code == 0, done.err
        assert done.summary["completed"] == 1


class TestLeftOut:
    def test_each_file_of_a_folder_is_accounted_for(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 2)
        for name in ("notes.txt", "credits.nfo", "list.html"):
            (source / name).write_text("words")
        for name in ("ch2.cbz", "ch3.cbr", "extra.pdf"):
            (source / name).write_bytes(b"x")
        (source / "1.hints.jpg").write_bytes(b"x")
        (source / "Thumbs.db").write_bytes(b"x")
        (source / ".cache").mkdir()
        (source / "ComicInfo.xml").write_text("<ComicInfo/>")
        (source / "MetronInfo.xml").write_text("<MetronInfo/>")
        for number in range(12):
            line_art(source / "ch0" / f"{number}.png", number)
        colored(source / "refs" / "cast.png", 3)
        (source / "refs" / "cast.txt").write_text("names")
        (tmp_path / "elsewhere").mkdir()
        (source / "link").symlink_to(tmp_path / "elsewhere")
        done = run(source)
        assert done.code == 0, done.err
        lines = done.err.splitlines()
        assert "4 files are no pictures and are left out: credits.nfo and 3 others" in lines
        assert "warning: 12 images in subfolders left out: add --recursive" in lines
        assert (
            "warning: 3 archives beside the pages are left out: ch2.cbz and 2 others; "
            "give them to Lote by themselves" in lines
        )
        assert "warning: 1.hints.jpg is left out: hints are PNG or JSON files" in lines
        assert any(line.startswith("warning: link/ is a link to a folder") for line in lines)
        assert "Thumbs.db" not in done.err
        again = run(source, "--json")
        assert left_out(again) == {
            "notes.txt": "no_picture",
            "credits.nfo": "no_picture",
            "list.html": "no_picture",
            "refs/cast.txt": "no_picture",
            "ch2.cbz": "book_beside_pages",
            "ch3.cbr": "book_beside_pages",
            "extra.pdf": "book_beside_pages",
            "1.hints.jpg": "hints_format",
            "Thumbs.db": "junk",
            ".cache/": "junk",
            "link/": "linked_folder",
            **{f"ch0/{number}.png": "in_subfolder" for number in range(12)},
        }
        report = (tmp_path / "in_colorized" / "_lote" / "report.html").read_text()
        for name in ("notes.txt", "ch3.cbr", "Thumbs.db", "ch0/7.png", "refs/cast.txt"):
            assert name in report
        stored = json.loads((tmp_path / "in_colorized" / "_lote" / "processing_metadata.json").read_text())
        names = {each["name"] for each in stored["left_out"]}
        assert names == left_out(again).keys() - {"Thumbs.db", ".cache/"}

    def test_each_file_of_an_archive_is_accounted_for(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        (source / "notes.txt").write_text("words")
        (source / "extra.cbr").write_bytes(b"Rar!")
        (source / "__MACOSX").mkdir()
        (source / "__MACOSX" / "._1.png").write_bytes(b"x")
        done = run(zipped(source, tmp_path / "book.cbz"), "--json")
        assert done.code == 0, done.err
        assert left_out(done) == {
            "notes.txt": "no_picture",
            "extra.cbr": "book_inside_book",
            "__MACOSX/._1.png": "junk",
        }

    def test_each_file_of_the_references_is_accounted_for(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        colored(tmp_path / "cast" / "ana.png", 5)
        (tmp_path / "cast" / "notes.txt").write_text("words")
        (tmp_path / "cast" / "b.jxl").write_bytes(JXL)
        done = run(source, "--references", tmp_path / "cast", "--json")
        assert done.code == 0, done.err
        assert left_out(done) == {"cast/notes.txt": "no_picture", "b.jxl": "unreadable"}

    def test_a_folder_that_holds_archives_alone_says_so_where_pages_are_looked_at(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "in").mkdir()
        for name in ("1.pdf", "2.pdf", "3.pdf"):
            (tmp_path / "in" / name).write_bytes(b"%PDF-1.4")
        with pytest.raises(
            ValidationError, match=r"give Lote the archives in it themselves \(1\.pdf and 2 others\)"
        ):
            list(classify_inputs([tmp_path / "in"]))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to become somebody else")
def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    line_art(source / "closed" / "1.png")
    (source / "closed").chmod(0o700)
    for folder in [source, *source.parents]:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from batch_processing.comics.sources import Found, find_sources\n"
        "os.setuid(65534); found = Found()\n"
        "list(find_sources(sys.argv[1:], (), recursive=True, output='/nowhere', unpack_to=Path('/nowhere'), found=found))\n"
        "print(*found.left_out)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "closed/" in done.stdout
    assert "unreadable" in done.stdout


def test_what_an_earlier_version_left_out_can_still_be_read(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    try:
        job = submit(workspace, [book(tmp_path / "in", 1)], tmp_path / "out")
        workspace.ledger.set_job(job.id, result={"left_out": ["notes.txt", "a/b.pdf"]})
        assert result_of(workspace, job.id).left_out == [
            LeftOut("notes.txt", Reason.NO_PICTURE),
            LeftOut("a/b.pdf", Reason.NO_PICTURE),
        ]
    finally:
        workspace.close()


NAMES = st.sampled_from(
    [
        "1.png",
        "2",
        "3.jpg77",
        "4.jxl",
        "notes.txt",
        "x.pdf",
        "y.CBZ",
        "1.hints.png",
        "1.hints.gif",
        "ComicInfo.xml",
        "CoMet.xml",
        ".x",
        "Thumbs.db",
        "1.5",
        "empty",
        "p.tif",
    ]
)
FOLDERS = st.sampled_from(["", "a/", "a/b/", "refs/", ".hidden/", "c.d/"])


@given(st.sets(st.tuples(FOLDERS, NAMES), min_size=1), st.booleans(), st.data())
@settings(max_examples=60, deadline=None)
def test_no_file_vanishes(names: set[tuple[str, str]], recursive: bool, data: st.DataObject) -> None:
    """Each file of a folder is a source, or it is told of: by itself, or by a folder above it."""
    contents = [b"", b"words", JXL, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0\x08\0\0\0", b"%PDF-1.7"]
    with tempfile.TemporaryDirectory() as text:
        root = Path(text) / "in"
        for folder, name in sorted(names | {("", "0.png")}):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / name).write_bytes(data.draw(st.sampled_from(contents)))
        found = Found()
        sources = list(
            find_sources(
                [str(root)], (), recursive=recursive, output=str(Path(text) / "out"),
                unpack_to=Path(text) / "unpacked", found=found,
            )
        )  # fmt: skip
        files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        told = {source.path for source in sources} | set(found.hints.values()) | set(found.metadata.values())
        told |= {str(found.comic_info)}
        left_out = {each.name for each in found.left_out}
        silent = {
            name
            for name in files
            if str(root / name) not in told
            and name not in left_out
            and not any(f"{folder.as_posix()}/" in left_out for folder in Path(name).parents)
        }
        if not recursive:  # of subfolders that are not read, images and books alone are told of
            known = PICTURE_SUFFIXES | BOOK_SUFFIXES
            silent = {
                name
                for name in silent
                if "/" not in name or (Path(name).suffix.lower() in known and ".hints" not in name)
            }
        assert silent == set()
        assert len({source.key for source in sources}) == len(sources)


class TestSeveralPages:
    def chapter(self, path: Path, pages: int = 3) -> list[Path]:
        """A TIFF of line-art pages, and each of them as a file."""
        alone = [line_art(path.parent / "alone" / f"{n}.png", n) for n in range(pages)]
        images = [Image.open(page) for page in alone]
        images[0].save(path, save_all=True, append_images=images[1:], compression="tiff_lzw")
        return alone

    def test_all_pages_of_a_tiff_are_colored(self, run: Lote, tmp_path: Path) -> None:
        alone = self.chapter(tmp_path / "chapter.tif")
        done = run(tmp_path / "chapter.tif", "-o", tmp_path / "out", "--json")
        assert done.code == 0, done.err
        made = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
        assert made == ["chapter-001.png", "chapter-002.png", "chapter-003.png"]
        for name, page in zip(made, alone, strict=True):
            with Image.open(tmp_path / "out" / name) as colored_page, Image.open(page) as drawn:
                assert colored_page.size == drawn.size
                assert np.array_equal(np.asarray(colored_page.convert("L")) < 60, np.asarray(drawn) < 60)
        again = run(tmp_path / "chapter.tif", "-o", tmp_path / "out", "--json")
        assert again.summary["reused"] == 3

    def test_beside_a_page_of_the_same_name(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 0)
        self.chapter(source / "chapter.tif", 2)
        with Image.open(source / "alone" / "1.png") as page:
            page.save(source / "chapter-001.tif")
        done = run(source, "--json")
        assert done.code == 0, done.err
        assert done.summary["completed"] == 3

    def test_in_an_archive(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        self.chapter(source / "2.tif", 2)
        for path in (source / "alone").iterdir():
            path.unlink()
        done = run(zipped(source, tmp_path / "book.cbz"))
        assert done.code == 0, done.err
        with zipfile.ZipFile(tmp_path / "book_colorized.cbz") as file:
            assert {"1.png", "2-001.png", "2-002.png"} <= set(file.namelist())

    def test_of_an_animated_picture_the_first_is_used(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 2)
        frames = [Image.open(line_art(tmp_path / f"{n}.png", n)) for n in range(2)]
        frames[0].save(source / "3.gif", save_all=True, append_images=frames[1:])
        done = run(source)
        assert done.code == 0, done.err
        assert "warning: 3.gif holds several pictures: only the first is used" in done.err


class TestReferences:
    def test_references_of_line_art_alone_are_none(self, run: Lote, tmp_path: Path) -> None:
        source = tmp_path / "in"
        line_art(source / "1.png", 1)
        line_art(tmp_path / "refs" / "a.png", 2)
        line_art(tmp_path / "refs" / "b.png", 3)
        done = run(source, "--references", tmp_path / "refs", backend="flats")
        assert done.code == 1
        assert "no coloured reference among" in done.err
        colored(tmp_path / "refs" / "c.png", 4)
        assert run(source, "--references", tmp_path / "refs", backend="flats").code == 0

    def test_the_report_calls_them_by_their_names(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        colored(tmp_path / "cast" / "girls" / "ana.png", 5)
        archive = zipped(tmp_path / "cast", tmp_path / "cast.cbz")
        assert run(source, "--references", archive).code == 0
        report = (tmp_path / "in_colorized" / "_lote" / "report.html").read_text()
        assert "girls/ana.png" in report
        assert "000001" not in report


@pytest.fixture
def cases(tmp_path: Path) -> Callable[[str], Path]:
    """The folder in which the inputs of a case of the field have been made."""

    def made(name: str) -> Path:
        folder = require_shared("cases", "comics", name)
        work = tmp_path / "comics" / name
        work.mkdir(parents=True)
        for file in (folder.parent / "common.py", folder / "make.py"):
            target = work.parent / file.name if file.name == "common.py" else work / file.name
            target.write_bytes(file.read_bytes())
        subprocess.run([sys.executable, "make.py"], cwd=work, check=True, timeout=60)
        return work

    return made


def failures(done: Run) -> list[Any]:
    return [name for name, _ in done.summary["failures"]]


def test_case_08(run: Lote, cases: Callable[[str], Path]) -> None:
    done = run(cases("08-no-extension") / "folder", "--json")
    assert (done.code, done.summary["completed"], done.summary["left_out"]) == (0, 3, [])


def test_case_09(run: Lote, cases: Callable[[str], Path]) -> None:
    done = run(cases("09-jxl-dropped") / "folder", "--json")
    assert (done.code, done.summary["left_out"]) == (3, [])
    assert failures(done) == ["02.jxl", "03.psd", "04.kra", "05.clip"]


def test_case_41(run: Lote, cases: Callable[[str], Path]) -> None:
    work = cases("41-multipage-tiff")
    done = run(work / "chapter.tif", "--references", work / "ref.png", "--json")
    assert (done.code, done.summary["completed"]) == (0, 3)
