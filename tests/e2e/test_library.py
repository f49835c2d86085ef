"""Several books in one command: one output each, one summary, and a bad book that costs itself only."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from batch_processing import colorize_library
from batch_processing.comics.shelf import find_shelf
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ValidationError
from command import Run, command, environment, lote
from e2e.test_recolor import figure, roof_of
from pages import SLOW, book, zipped

Lote = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    def colorize(*args: str | Path, **env: str) -> Run:
        return lote("colorize", *args, "--backend", "noop", workspace=tmp_path / "ws", **env)

    return colorize


def archive(path: Path, pages: int = 2, size: tuple[int, int] = (240, 320)) -> Path:
    """A book of a coloured cover and `pages` pages of line art, as an archive."""
    source = path.parent / f".{path.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    zipped(book(source, pages, size), path)
    shutil.rmtree(source)
    return path


def tree(folder: Path) -> set[str]:
    """The files of an output, without what stands beside the books."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.endswith((".lote", "_lote")) for part in path.parts)
    }


def wait_for_all(folder: Path) -> None:
    """Wait for the jobs of a workspace to end."""
    workspace = Workspace(folder)
    try:
        until = time.monotonic() + 150
        while not all(job.ended for job in workspace.ledger.jobs()):
            assert time.monotonic() < until, "the jobs take too long"
            time.sleep(0.2)
    finally:
        workspace.close()


class TestOutputs:
    def test_a_folder_of_books_becomes_the_same_tree_of_books(self, run: Lote, tmp_path: Path) -> None:
        series = tmp_path / "series"
        archive(series / "vol1" / "ch1.cbz")
        archive(series / "vol1" / "ch2.zip")
        book(series / "vol2" / "extra", 1)
        (series / "notes.txt").write_text("x")
        done = run(series, "-o", tmp_path / "out")
        assert done.code == 0, done.err
        pages = {f"vol2/extra/{name}" for name in ("0_cover.png", "1.png")}
        assert tree(tmp_path / "out") == {"vol1/ch1.cbz", "vol1/ch2.zip"} | pages
        assert done.out.splitlines() == [
            str(tmp_path / "out" / name) for name in ("vol1/ch1.cbz", "vol1/ch2.zip", "vol2/extra")
        ]
        assert "book 2 of 3: vol1/ch2.zip" in done.err
        assert "3 of 3 books done" in done.err
        assert "notes.txt is no picture and is left out" in done.err

    def test_left_out_the_output_is_named_after_the_folder(self, run: Lote, tmp_path: Path) -> None:
        archive(tmp_path / "series" / "1.cbz")
        assert run(tmp_path / "series").code == 0
        assert tree(tmp_path / "series_colorized") == {"1.cbz"}
        again = run(tmp_path / "series", "--json")
        assert again.summary["reused"] == 2

    def test_several_archives_stand_each_under_its_own_name(self, run: Lote, tmp_path: Path) -> None:
        books = [archive(tmp_path / "in" / name) for name in ("10.cbz", "9.cbz")]
        done = run(*books, "-o", tmp_path / "out", "--json")
        assert done.code == 0, done.err
        assert tree(tmp_path / "out") == {"9.cbz", "10.cbz"}
        assert [one["book"] for one in done.summary["books"]] == ["9.cbz", "10.cbz"]
        assert done.summary["completed"] == 4
        assert [(e["number"], e["count"]) for e in done.events if e["event"] == "book"] == [(1, 2), (2, 2)]

    def test_beside_their_inputs_and_a_second_time_what_they_became_is_no_book(
        self, run: Lote, tmp_path: Path
    ) -> None:
        for name in ("a.cbz", "b.zip"):
            archive(tmp_path / "in" / name)
        for _ in range(2):
            done = run(*sorted((tmp_path / "in").iterdir(), reverse=True))
            assert done.code == 0, done.err
            assert tree(tmp_path / "in") == {"a.cbz", "b.zip", "a_colorized.cbz", "b_colorized.zip"}
            shutil.rmtree(tmp_path / "in" / "a_colorized.lote")
            shutil.rmtree(tmp_path / "in" / "b_colorized.lote")
        assert "2 files are outputs of Lote, and left out: a_colorized.cbz and others" in done.err

    def test_two_of_one_name_are_numbered(self, run: Lote, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            archive(tmp_path / "in" / folder / "1.cbz")
        archive(tmp_path / "in" / "a" / "1.zip")
        done = run(*(tmp_path / "in").rglob("1.*"), "-o", tmp_path / "out")
        assert done.code == 0, done.err
        assert tree(tmp_path / "out") == {"a/1.cbz", "a/1.zip", "b/1.cbz"}

    def test_what_lote_does_not_write_becomes_a_cbz_under_a_name_of_its_own(self, tmp_path: Path) -> None:
        for name in ("a.cbr", "a.cbz", "b.pdf", "c.zip", "d.EPUB", "v/a.cb7"):
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_bytes(b"x")
        shelf = find_shelf([str(tmp_path / "in")], str(tmp_path / "out"))
        assert shelf is not None
        assert {
            one.name: Path(one.output).relative_to(tmp_path / "out").as_posix() for one in shelf.books
        } == {
            "a.cbr": "a_1.cbz",
            "a.cbz": "a.cbz",
            "b.pdf": "b.cbz",
            "c.zip": "c.zip",
            "d.EPUB": "d.cbz",
            "v/a.cb7": "v/a.cbz",
        }
        beside = find_shelf([str(tmp_path / "in" / "b.pdf"), str(tmp_path / "in" / "c.zip")], None)
        assert beside is not None
        assert [Path(one.output).name for one in beside.books] == ["b_colorized.cbz", "c_colorized.zip"]

    def test_one_archive_or_a_folder_with_pages_is_one_book(self, run: Lote, tmp_path: Path) -> None:
        pages = book(tmp_path / "pages", 1)
        inside = archive(pages / "extra.cbz")
        assert run(pages, "-o", tmp_path / "out").code == 0
        assert tree(tmp_path / "out") == {"0_cover.png", "1.png"}
        assert run(inside, "-o", tmp_path / "one").code == 0
        assert "1.png" in tree(tmp_path / "one")

    def test_images_and_mixtures_are_one_book(self, run: Lote, tmp_path: Path) -> None:
        pages = book(tmp_path / "pages", 2)
        first = archive(tmp_path / "a.cbz", 1)
        for number, inputs in enumerate(
            (
                [pages / "1.png", pages / "2.png"],
                [first, pages / "1.png"],
                [first, pages],
                [tmp_path / "no.png", pages],
            )
        ):
            done = run(*inputs, "-o", tmp_path / f"out{number}", "--json")
            assert [event for event in done.events if event["event"] == "book"] == []
            assert done.code == (1 if number == 3 else 0), done.err

    def test_subfolders_of_pages_alone_are_no_library(self, run: Lote, tmp_path: Path) -> None:
        book(tmp_path / "in" / "ch1", 1)
        done = run(tmp_path / "in", "-o", tmp_path / "out")
        assert done.code == 1
        assert "add --recursive" in done.err

    def test_joined_they_are_one_book(self, run: Lote, tmp_path: Path) -> None:
        archive(tmp_path / "in" / "a.cbz", 1)
        archive(tmp_path / "in" / "sub" / "b.cbz", 1)
        for inputs in ([tmp_path / "in"], [tmp_path / "in" / "a.cbz", tmp_path / "in" / "sub" / "b.cbz"]):
            shutil.rmtree(tmp_path / "ws", ignore_errors=True)
            done = run(*inputs, "-o", tmp_path / "all.cbz", "--join", "--overwrite")
            assert done.code == 0, done.err
            with zipfile.ZipFile(tmp_path / "all.cbz") as file:
                pages = [name for name in file.namelist() if name.endswith(".png")]
            assert pages == ["a/0_cover.png", "a/1.png", "b/0_cover.png", "b/1.png"]

    def test_one_archive_cannot_hold_several_books(self, run: Lote, tmp_path: Path) -> None:
        books = [archive(tmp_path / name) for name in ("a.cbz", "b.cbz")]
        done = run(*books, "-o", tmp_path / "all.cbz")
        assert done.code == 1
        assert "the inputs are 2 books: name a folder with -o, or bind them into one with --join" in done.err
        assert not (tmp_path / "all.cbz").exists()

    def test_references_beside_books_serve_all_of_them(self, tmp_path: Path) -> None:
        series = tmp_path / "series"
        figure(series / "references" / "cast.png", color=True)
        for number in (1, 2):
            figure(tmp_path / "p" / "1.png", color=False, shift=20 * number)
            zipped(tmp_path / "p", series / f"{number}.cbz")
        done = lote(
            "colorize", series, "-o", tmp_path / "out", "--backend", "flats", workspace=tmp_path / "ws"
        )
        assert done.code == 0, done.err
        assert tree(tmp_path / "out") == {"1.cbz", "2.cbz"}


class TestFailures:
    def test_a_bad_book_costs_itself_only(self, run: Lote, tmp_path: Path) -> None:
        archive(tmp_path / "in" / "1.cbz")
        (tmp_path / "in" / "2.cbz").write_bytes(b"PK\3\4 nothing")
        archive(tmp_path / "in" / "3.cbz")
        done = run(tmp_path / "in", "-o", tmp_path / "out", "--json")
        assert done.code == 3
        assert tree(tmp_path / "out") == {"1.cbz", "3.cbz"}
        bad = done.summary["books"][1]
        assert (bad["book"], bad["exit_code"], bad["code"]) == ("2.cbz", 12, "archive")
        assert str(tmp_path / "in" / "2.cbz") in bad["error"]
        told = run(tmp_path / "in", "-o", tmp_path / "out")
        assert "2 of 3 books done" in told.err
        assert f"  2.cbz: {bad['error'].split(':')[0]}" in told.err

    def test_a_book_that_is_not_there_is_named(self, run: Lote, tmp_path: Path) -> None:
        done = run(archive(tmp_path / "1.cbz"), tmp_path / "2.cbz", "-o", tmp_path / "out")
        assert done.code == 3
        assert f"2.cbz: {tmp_path / '2.cbz'} does not exist: check the path." in done.err.replace("\n", " ")

    def test_where_all_are_bad_the_code_is_theirs(self, run: Lote, tmp_path: Path) -> None:
        for name in ("1.cbz", "2.cbz"):
            (tmp_path / name).write_bytes(b"PK\3\4 nothing")
        assert run(tmp_path / "1.cbz", tmp_path / "2.cbz", "-o", tmp_path / "out").code == 12

    def test_an_output_that_cannot_be_made_is_said_before_anything_is_done(
        self, run: Lote, tmp_path: Path
    ) -> None:
        books = [archive(tmp_path / name) for name in ("a.cbz", "b.cbz")]
        (tmp_path / "file").write_text("x")
        done = run(*books, "-o", tmp_path / "file" / "out")
        assert done.code == 1
        assert "planned" not in done.err

    def test_failed_pages_are_counted_with_their_book(self, run: Lote, tmp_path: Path) -> None:
        archive(tmp_path / "in" / "1.cbz")
        source = book(tmp_path / "b", 1)
        (source / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        zipped(source, tmp_path / "in" / "2.cbz")
        done = run(tmp_path / "in", "-o", tmp_path / "out")
        assert done.code == 3
        assert "2.cbz: 1 coloured, 1 copied as it is, 1 failed" in done.err
        assert "lote retry 2 tries it again" in done.err


class TestControl:
    def test_ctrl_c_leaves_and_the_same_command_goes_on(self, tmp_path: Path) -> None:
        for number in (1, 2):
            archive(tmp_path / "in" / f"{number}.cbz", 6, SLOW)
        args = ("colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "flats", "--workers", "1")
        process = subprocess.Popen(
            command(*args, "--json"), stdout=subprocess.PIPE, env=environment(tmp_path / "ws"), text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "page":
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 130
        states = [
            json.loads(line)["state"]
            for line in lote("list", "--json", workspace=tmp_path / "ws").out.splitlines()
        ]
        assert states[1] == "paused"
        done = lote(*args, "--json", workspace=tmp_path / "ws")
        assert done.code == 0
        assert done.summary["completed"] == 12
        assert done.summary["reused"] >= 1

    def test_detached_they_are_done_in_the_background(self, run: Lote, tmp_path: Path) -> None:
        for number in (1, 2, 3):
            archive(tmp_path / "in" / f"{number}.cbz")
        done = run(tmp_path / "in", "-o", tmp_path / "out", "--detach", "--json")
        assert done.code == 0, done.err
        assert [event["job"] for event in done.events] == [1, 2, 3]
        wait_for_all(tmp_path / "ws")
        assert tree(tmp_path / "out") == {"1.cbz", "2.cbz", "3.cbz"}
        told = lote("status", "2", workspace=tmp_path / "ws")
        assert "2 of 3: 2.cbz" in told.out

    def test_a_preview_is_of_the_first_book(self, run: Lote, tmp_path: Path) -> None:
        for number in (1, 2):
            archive(tmp_path / "in" / f"{number}.cbz")
        done = run(tmp_path / "in", "-o", tmp_path / "out", "--preview")
        assert done.code == 0, done.err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.lote"]
        assert "go on with: lote colorize" in done.err
        assert run(tmp_path / "in", "-o", tmp_path / "out", "--preview", "--yes").code == 0
        assert tree(tmp_path / "out") == {"1.cbz", "2.cbz"}

    def test_settings_are_shown_and_nothing_is_done(self, run: Lote, tmp_path: Path) -> None:
        books = [archive(tmp_path / name) for name in ("a.cbz", "b.cbz")]
        done = run(*books, "-o", tmp_path / "out", "--show-config")
        assert done.code == 0
        assert done.out.count("input_dir") == 1
        assert not (tmp_path / "out").exists()


def roof(archive: Path, page: str, folder: Path) -> tuple[int, ...]:
    with zipfile.ZipFile(archive) as file:
        return roof_of(Path(file.extract(page, folder)))


def near(color: tuple[int, ...], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(color, other, strict=True))


class TestSeries:
    @pytest.fixture
    def series(self, tmp_path: Path) -> Path:
        """Three books: a cover in the first and, with a sign in a further colour, in the third; none in the second."""
        folder = tmp_path / "series"
        folder.mkdir()
        for number in (1, 2, 10):
            pages = tmp_path / f"p{number}"
            figure(pages / "1.png", color=False, shift=10 * number)
            if number != 2:
                figure(pages / "0.png", color=True, shift=10 * number, roof=(200, 40 + number % 9, 50))
            if number == 10:
                for page, fill in (("0.png", (120, 40, 160)), ("1.png", (255, 255, 255))):
                    with Image.open(pages / page) as image:
                        sign = ImageDraw.Draw(image)
                        sign.rectangle((20, 20, 90, 90), fill=fill, outline="black", width=4)
                        image.save(pages / page)
            zipped(pages, folder / f"{number}.cbz")
        return folder

    def colorize(self, tmp_path: Path, *args: str | Path) -> Run:
        return lote(
            "colorize", tmp_path / "series", "-o", tmp_path / "out", "--series", "--backend", "flats", *args,
            workspace=tmp_path / "ws",
        )  # fmt: skip

    def test_each_book_goes_on_with_the_colors_of_those_before_it(self, series: Path, tmp_path: Path) -> None:
        done = self.colorize(tmp_path)
        assert done.code == 0, done.err
        assert "coloured from the references of 1.cbz" in done.err
        for number in (1, 2, 10):
            shown = roof(tmp_path / "out" / f"{number}.cbz", "1.png", tmp_path / "look")
            assert near(shown, (200, 41, 50)), (number, shown)
        books = {
            number: {
                color["id"]: color["rgb"]
                for color in json.loads((tmp_path / "out" / f"{number}.lote" / "palette.json").read_text())[
                    "colors"
                ]
            }
            for number in (1, 2, 10)
        }
        assert books[2] == books[1]
        assert books[1].items() <= books[10].items()
        assert [120, 40, 160] in books[10].values()
        whole = json.loads((tmp_path / "out" / "palette.json").read_text())["colors"]
        assert {color["id"]: color["rgb"] for color in whole} == books[10]
        assert whole[1]["pages"] == ["1.cbz", "2.cbz", "10.cbz"]

    def test_the_same_command_again_colors_nothing_again(self, series: Path, tmp_path: Path) -> None:
        assert self.colorize(tmp_path).code == 0
        before = (tmp_path / "out" / "palette.json").read_bytes()
        again = self.colorize(tmp_path, "--json")
        assert again.code == 0, again.err
        assert again.summary["reused"] == again.summary["completed"] == 3
        assert (tmp_path / "out" / "palette.json").read_bytes() == before
        assert not again.summary["books"][2]["warnings"]

    def test_a_name_given_in_the_first_book_is_known_in_the_last(self, series: Path, tmp_path: Path) -> None:
        assert self.colorize(tmp_path).code == 0
        file = tmp_path / "out" / "palette.json"
        colors = json.loads(file.read_text())["colors"]
        named = next(color for color in colors if near(tuple(color["rgb"]), (200, 41, 50)))
        named |= {"name": "the roof", "rgb": [30, 160, 60]}
        mine = tmp_path / "mine.json"
        mine.write_text(json.dumps({"colors": colors}))
        assert self.colorize(tmp_path, "--palette", mine).code == 0
        for number in (1, 2, 10):
            shown = roof(tmp_path / "out" / f"{number}.cbz", "1.png", tmp_path / "look")
            assert near(shown, (30, 160, 60)), (number, shown)
        assert "the roof" in file.read_text()

    def test_a_palette_that_a_person_changed_is_left_alone(self, series: Path, tmp_path: Path) -> None:
        assert self.colorize(tmp_path).code == 0
        file = tmp_path / "out" / "palette.json"
        file.write_text('{"colors": []}')
        again = self.colorize(tmp_path, "--json")
        assert again.code == 0
        assert file.read_text() == '{"colors": []}'
        assert "was changed since Lote wrote it" in again.summary["books"][0]["warnings"][-1]

    def test_a_bad_book_does_not_break_the_series(self, series: Path, tmp_path: Path) -> None:
        (series / "1b.cbz").write_bytes(b"PK\3\4 nothing")
        done = self.colorize(tmp_path)
        assert done.code == 3
        assert near(roof(tmp_path / "out" / "2.cbz", "1.png", tmp_path / "look"), (200, 41, 50))

    def test_in_the_background_too(self, series: Path, tmp_path: Path) -> None:
        assert self.colorize(tmp_path, "--detach").code == 0
        wait_for_all(tmp_path / "ws")
        assert near(roof(tmp_path / "out" / "2.cbz", "1.png", tmp_path / "look"), (200, 41, 50))


class TestPython:
    def test_a_library_in_one_call(self, tmp_path: Path) -> None:
        archive(tmp_path / "in" / "1.cbz")
        (tmp_path / "in" / "2.cbz").write_bytes(b"PK\3\4 nothing")
        seen = []

        def on_book(one, number, count):  # type: ignore[no-untyped-def]
            seen.append((one.book.name, number, count))
            return lambda events, snapshot: None

        result = colorize_library(
            tmp_path / "in",
            tmp_path / "out",
            config={"backend": "noop"},
            workspace=tmp_path / "ws",
            on_book=on_book,
        )
        assert seen == [("1.cbz", 1, 2), ("2.cbz", 2, 2)]
        assert result.exit_code == 3
        assert result.books[0].result is not None
        assert result.books[0].result.completed == 2
        assert result.books[1].error is not None
        assert result.output == str(tmp_path / "out")

    def test_one_book_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="colorize_comic takes"):
            colorize_library(archive(tmp_path / "1.cbz"), tmp_path / "out", workspace=tmp_path / "ws")
