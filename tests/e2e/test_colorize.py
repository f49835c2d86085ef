"""`lote colorize` from the outside: files, archives, sentences, exit codes."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_processing.colorize import submit
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ValidationError
from command import Run, lote
from pages import book, colored, line_art, zipped

Lote = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    def colorize(*args: str | Path, **env: str) -> Run:
        return lote("colorize", *args, "--backend", "noop", workspace=tmp_path / "ws", **env)

    return colorize


def metadata(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return json.loads((path / "_lote" / "processing_metadata.json").read_text())  # type: ignore[no-any-return]
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("processing_metadata.json"))  # type: ignore[no-any-return]


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        return file.namelist()


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


class TestFolder:
    def test_pages_are_colored_and_the_cover_keeps_its_bytes(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 11)
        done = run(source)
        assert done.code == 0, done.err
        out = tmp_path / "in_colorized"
        assert done.out.strip() == str(out)
        assert {path.name for path in out.glob("*.png")} == {path.name for path in source.iterdir()}
        assert (out / "0_cover.png").read_bytes() == (source / "0_cover.png").read_bytes()
        told = metadata(out)
        assert [page["source"] for page in told["pages"]] == [
            "0_cover.png",
            *(f"{n}.png" for n in range(1, 12)),
        ]
        assert told["counts"] == {"completed": 11, "failed": 0, "cancelled": 0}
        assert not list(out.rglob("*.part"))

    def test_the_same_command_again_colors_nothing_again(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        run(source)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "in_colorized").glob("*.png")}
        again = run(source, "--json")
        assert again.summary["reused"] == 3
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_a_changed_page_redoes_that_page_only(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        run(source)
        line_art(source / "2.png", 99)
        again = run(source, "--json")
        assert [e["page"] for e in again.events if e["event"] == "page"] == ["2.png"]
        assert again.summary["reused"] == 2

    def test_a_changed_reference_redoes_all_pages(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        run(source)
        colored(source / "0_cover.png", 7)
        # The cover in the output is a copy of the old one, and so no file of anybody else's.
        again = run(source, "--json")
        assert again.code == 0, again.err
        assert again.summary["reused"] == 0
        assert (tmp_path / "in_colorized" / "0_cover.png").read_bytes() == (
            source / "0_cover.png"
        ).read_bytes()

    def test_a_new_page_is_added(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        run(source)
        line_art(source / "4.png", 4)
        again = run(source, "--json")
        assert (again.summary["completed"], again.summary["reused"]) == (4, 3)

    def test_a_missing_output_is_made_again(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        run(source)
        target = tmp_path / "in_colorized" / "2.png"
        content = target.read_bytes()
        target.unlink()
        assert run(source, "--json").summary["reused"] == 2
        assert target.read_bytes() == content

    def test_an_output_edited_by_hand_is_left_alone(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        run(source)
        target = tmp_path / "in_colorized" / "2.png"
        target.write_bytes(b"mine")
        again = run(source, "--seed", "5")
        assert again.code == 0
        assert target.read_bytes() == b"mine"
        assert "2.png was changed since Lote wrote it" in again.err
        redone = lote("retry", "--page", "2.png", workspace=tmp_path / "ws")
        assert redone.code == 0, redone.err
        assert size_of(target) == (240, 320)

    def test_a_foreign_output_is_refused_and_overwrite_replaces_it(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        out = tmp_path / "in_colorized"
        out.mkdir()
        (out / "1.png").write_bytes(b"mine")
        refused = run(source)
        assert refused.code == 1
        assert "1.png was not written by this job" in refused.err
        assert "--overwrite" in refused.err
        assert [path.name for path in out.iterdir()] == ["1.png"]
        assert run(source, "--overwrite").code == 0
        assert size_of(out / "1.png") == (240, 320)

    def test_twins_never_share_an_output(self, run: Lote, tmp_path: Path) -> None:
        source = tmp_path / "in"
        colored(source / "0.png")
        line_art(source / "p1.png", 1)
        line_art(source / "p1.jpg", 2)
        line_art(source / "a" / "p1.tif", 3)
        assert run(source, "--recursive").code == 0
        out = tmp_path / "in_colorized"
        found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*p1*"))
        assert found == ["a/p1.png", "p1.png", "p1_1.png"]

    def test_subfolders_need_recursive(self, run: Lote, tmp_path: Path) -> None:
        line_art(tmp_path / "in" / "ch1" / "1.png")
        line_art(tmp_path / "in" / "ch1" / "2.png")
        refused = run(tmp_path / "in")
        assert refused.code == 1
        assert f"no images in {tmp_path / 'in'}, 2 in its subfolders: add --recursive" in refused.err

    def test_output_inside_the_input_is_left_out_of_the_scan(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        for _ in range(2):
            done = run(source, "-o", source / "out", "--recursive", "--json")
            assert done.summary["completed"] == 3

    def test_several_inputs_get_a_folder_each(self, run: Lote, tmp_path: Path) -> None:
        one = book(tmp_path / "one", 2)
        two = zipped(book(tmp_path / "src", 2), tmp_path / "two.cbz")
        done = run(one, two, line_art(tmp_path / "x" / "solo.png"), "-o", tmp_path / "out")
        assert done.code == 0, done.err
        found = {
            p.relative_to(tmp_path / "out").as_posix()
            for p in (tmp_path / "out").rglob("*.png")
            if "_lote" not in p.parts
        }
        assert found == {f"{top}/{n}.png" for top in ("one", "two") for n in ("0_cover", 1, 2)} | {"solo.png"}

    @pytest.mark.parametrize("kind", ["jpg", "webp", "tif"])
    def test_format(self, run: Lote, tmp_path: Path, kind: str) -> None:
        source = book(tmp_path / "in", 1)
        assert run(source, "--format", kind).code == 0
        with Image.open(tmp_path / "in_colorized" / f"1.{kind}") as image:
            assert image.size == (240, 320)


class TestRoles:
    def test_reference_folders_and_options(self, run: Lote, tmp_path: Path) -> None:
        source = tmp_path / "in"
        line_art(source / "1.png", 1)
        colored(source / "refs" / "ana.png", 2)
        extra = colored(tmp_path / "bea.png", 3)
        done = run(source, "--references", extra)
        assert done.code == 0, done.err
        out = tmp_path / "in_colorized"
        assert [path.name for path in out.glob("*.png")] == ["1.png"]
        pages = {page["source"]: page["role"] for page in metadata(out)["pages"]}
        assert pages == {"1.png": "page", "refs/ana.png": "reference", "bea.png": "reference"}
        assert len(metadata(out)["pages"][0]["references"]) == 2

    def test_drop_references(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        assert run(source, "--drop-references").code == 0
        assert [path.name for path in (tmp_path / "in_colorized").glob("*.png")] == ["1.png"]

    def test_the_classifier_is_overruled(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 2)
        done = run(source, "--as-reference", "2.png", "--as-lineart", "0_*")
        assert done.code == 0, done.err
        roles = {page["source"]: page["role"] for page in metadata(tmp_path / "in_colorized")["pages"]}
        assert roles == {"0_cover.png": "page", "1.png": "page", "2.png": "copy"}

    def test_nothing_to_color(self, run: Lote, tmp_path: Path) -> None:
        colored(tmp_path / "in" / "1.png")
        done = run(tmp_path / "in")
        assert done.code == 1
        assert "no line art among 1 images" in done.err
        assert not (tmp_path / "in_colorized").exists()

    def test_references_without_color_are_warned_of(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        given = line_art(tmp_path / "cast.png", 7)
        done = run(source, "--references", given)
        assert done.code == 0
        assert f"the reference {given} looks like line art" in done.err
        assert "looks like line art" not in run(source, "--references", colored(tmp_path / "ana.png", 2)).err

    def test_settings_of_single_images(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 3)
        config = tmp_path / "book.toml"
        config.write_text('[default]\nseed = 3\n[images."2.png"]\nseed = 9\n[images."3.png"]\nskip = true\n')
        done = run(source, "--config", config)
        assert done.code == 0, done.err
        pages = {page["source"]: page for page in metadata(tmp_path / "in_colorized")["pages"]}
        assert pages["1.png"]["settings"]["seed"] == 3
        assert pages["2.png"]["settings"]["seed"] == 9
        assert pages["3.png"]["role"] == "kept"
        assert (tmp_path / "in_colorized" / "3.png").read_bytes() == (source / "3.png").read_bytes()


class TestArchive:
    def test_a_cbz_becomes_a_cbz_in_page_order(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 11)
        (source / "ComicInfo.xml").write_text(
            "<ComicInfo><Title>T</Title><BlackAndWhite>Yes</BlackAndWhite></ComicInfo>"
        )
        (source / "notes.txt").write_text("x")
        archive = zipped(source, tmp_path / "book.cbz")
        done = run(archive)
        assert done.code == 0, done.err
        out = tmp_path / "book_colorized.cbz"
        assert names(out) == [
            "ComicInfo.xml", "processing_metadata.json", "0_cover.png", *(f"{n}.png" for n in range(1, 12)),
        ]  # fmt: skip
        with zipfile.ZipFile(out) as file:
            assert b"<BlackAndWhite>No</BlackAndWhite>" in file.read("ComicInfo.xml")
            assert file.read("0_cover.png") == (source / "0_cover.png").read_bytes()
        assert metadata(out)["left_out"] == [{"name": "notes.txt", "reason": "no_picture"}]

    def test_two_workspaces_write_the_same_bytes(self, tmp_path: Path) -> None:
        archive = zipped(book(tmp_path / "in"), tmp_path / "book.cbz")
        made = []
        for n in ("a", "b"):
            out = tmp_path / n / "out.cbz"
            done = lote(
                "colorize",
                archive,
                "-o",
                out,
                "--backend",
                "noop",
                workspace=tmp_path / f"ws{n}",
                SOURCE_DATE_EPOCH="1",
            )
            assert done.code == 0, done.err
            made.append(out.read_bytes())
        assert made[0] == made[1]

    def test_a_failed_page_is_replaced_by_its_original(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        whole = (source / "2.png").read_bytes()
        (source / "2.png").write_bytes(whole[: len(whole) // 2])
        archive = zipped(source, tmp_path / "book.cbz")
        done = run(archive, "--json")
        assert done.code == 3
        assert [failure[0] for failure in done.summary["failures"]] == ["2.png"]
        out = tmp_path / "book_colorized.cbz"
        with zipfile.ZipFile(out) as file:
            assert file.read("2.png") == (source / "2.png").read_bytes()
        failed = next(page for page in metadata(out)["pages"] if page["source"] == "2.png")
        assert failed["state"] == "failed"
        assert "2.png" in failed["error"]

    def test_the_archive_of_another_is_not_replaced(self, run: Lote, tmp_path: Path) -> None:
        archive = zipped(book(tmp_path / "in"), tmp_path / "book.cbz")
        target = tmp_path / "book_colorized.cbz"
        target.write_bytes(b"mine")
        refused = run(archive)
        assert refused.code == 1
        assert "book_colorized.cbz was not written by this job" in refused.err
        assert target.read_bytes() == b"mine"

    def test_a_settings_change_rebinds_the_archive(self, run: Lote, tmp_path: Path) -> None:
        archive = zipped(book(tmp_path / "in"), tmp_path / "book.cbz")
        run(archive)
        assert run(archive, "--seed", "4").code == 0
        assert metadata(tmp_path / "book_colorized.cbz")["settings"]["seed"] == 4

    def test_nothing_temporary_stays(self, run: Lote, tmp_path: Path) -> None:
        archive = zipped(book(tmp_path / "in"), tmp_path / "book.cbz")
        run(archive)
        assert not (tmp_path / "ws" / "jobs" / "1" / "in").exists()
        assert not list(tmp_path.rglob("*.part"))


class TestBadInput:
    def check(self, done: Run, code: int, *fragments: str) -> None:
        assert done.code == code, done.err
        assert "Traceback" not in done.err
        assert done.err.startswith("lote: ") or "\nlote: " in done.err
        for fragment in fragments:
            assert fragment in done.err

    def test_missing(self, run: Lote, tmp_path: Path) -> None:
        self.check(run(tmp_path / "nowhere"), 1, "nowhere does not exist")

    def test_empty_folder(self, run: Lote, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        self.check(run(tmp_path / "in"), 1, f"no images in {tmp_path / 'in'}")

    def test_output_equal_to_input(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        self.check(run(source, "-o", source), 1, "is the input")

    def test_all_wrong_settings_at_once(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        done = run(source, "--seed", "-1", "--style", "pretty", "--workers", "0")
        self.check(done, 2, "--seed", "--style", "--workers")

    def test_unknown_backend(self, tmp_path: Path) -> None:
        done = lote("colorize", book(tmp_path / "in"), "--backend", "magic", workspace=tmp_path / "ws")
        self.check(done, 2, "--backend")

    @pytest.mark.parametrize("content", [b"", b"not a zip at all", b"PK\3\4", b"Rar!\x1a\x07\x00rest"])
    def test_a_file_that_is_no_archive(self, run: Lote, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "book.cbz").write_bytes(content)
        self.check(run(tmp_path / "book.cbz"), 12, "book.cbz")

    def test_an_archive_that_leaves_its_folder(self, run: Lote, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "book.cbz", "w") as file:
            file.writestr("../../evil.png", b"x")
        self.check(run(tmp_path / "book.cbz"), 12, "evil.png")
        assert not list(tmp_path.rglob("evil*"))

    def test_a_text_file_named_png_fails_alone(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in")
        (source / "2.png").write_text("hello")
        done = run(source)
        assert done.code == 3
        assert "\n  2.png: the file is not an image although its name ends in .png" in done.err
        assert (tmp_path / "in_colorized" / "1.png").exists()
        assert (tmp_path / "in_colorized" / "2.png").read_bytes() == b"hello"

    def test_no_page_done_is_a_failed_run(self, run: Lote, tmp_path: Path) -> None:
        source = tmp_path / "in"
        colored(source / "0.png")
        (source / "1.png").write_text("hello")
        archive = zipped(source, tmp_path / "book.zip")
        assert run(archive).code == 1
        assert not (tmp_path / "book_colorized.zip").exists()

    def test_a_folder_that_cannot_be_written(self, run: Lote, tmp_path: Path) -> None:
        target = tmp_path / "file"
        target.write_text("x")
        self.check(run(book(tmp_path / "in"), "-o", target), 1, "is a file")
        self.check(run(tmp_path / "in", "-o", target / "below"), 1, "cannot be written")

    def test_output_as_an_image(self, run: Lote, tmp_path: Path) -> None:
        self.check(run(book(tmp_path / "in"), "-o", tmp_path / "out.png"), 1, "must be a folder")

    def test_a_reference_that_cannot_be_read_is_said(self, run: Lote, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_text("hello")
        done = run(book(tmp_path / "in"), "--references", tmp_path / "bad.png")
        assert done.code == 0
        assert "bad.png is left out" in done.err

    def test_not_utf8(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        name = (bytes(source) + b"/\xff\xfe2.png").decode("utf-8", "surrogateescape")
        shutil.copy(source / "1.png", name)
        done = run(source)
        assert done.code == 0, done.err
        assert len(list((tmp_path / "in_colorized").glob("*.png"))) == 3

    def test_hostile_names_are_text(self, run: Lote, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        (source / "[red]\x1b[31m\n.png").write_text("broken")
        done = run(source)
        assert done.code == 3
        assert "\x1b" not in done.err
        assert "[red]" in done.err


class TestPixels:
    def test_size_dpi_and_lines_survive(self, run: Lote, tmp_path: Path) -> None:
        source = tmp_path / "in"
        colored(source / "0.png")
        path = line_art(source / "1.png", 3)
        with Image.open(path) as image:
            before = np.asarray(image.convert("RGB"))
            image.save(path, dpi=(300, 300))
        assert run(source).code == 0
        with Image.open(tmp_path / "in_colorized" / "1.png") as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), before)
            assert round(image.info["dpi"][0]) == 300


@pytest.mark.parametrize(
    ("said", "words"), [({"priority": "high"}, "is no int"), ({"outpath": "a.png"}, "there is no outpath")]
)
def test_what_is_asked_for_an_image_is_checked(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    line_art(tmp_path / "in" / "1.png", 11)
    workspace = Workspace(tmp_path / "ws")
    with pytest.raises(ValidationError, match=words):
        submit(workspace, [tmp_path / "in"], tmp_path / "out", images={str(tmp_path / "in" / "1.png"): said})
    workspace.close()
