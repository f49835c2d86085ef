"""Which files are pages, and in which order."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_processing.exceptions import ClassificationError, ValidationError
from batch_processing.io import (
    SUPPORTED_IMAGE_FORMATS,
    scan_directory,
    separate_line_art_and_references,
    validate_image_file,
    zip_handler,
)
from batch_processing.io.kinds import FileKind, Reason
from batch_processing.io.scan import iter_images, natural_key, sort_text, walk
from corpus.images import samples, saved


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def relative(root: Path, paths: object) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in paths]  # type: ignore[attr-defined]


def test_order_is_the_order_of_reading() -> None:
    pages = [
        "Page 10.png",
        "page 2.png",
        "Page 1.png",
        "b/1.png",
        "a/10.png",
        "a/9.png",
        "a/9b.png",
        "page 2a.png",
    ]
    assert sorted(pages, key=natural_key) == [
        "a/9.png",
        "a/9b.png",
        "a/10.png",
        "b/1.png",
        "Page 1.png",
        "page 2.png",
        "page 2a.png",
        "Page 10.png",
    ]
    decomposed = unicodedata.normalize("NFD", "é1.png")
    assert sorted(["é2.png", decomposed], key=natural_key) == [decomposed, "é2.png"]
    assert sorted(["２.png", "10.png", "1.png"], key=natural_key) == ["1.png", "２.png", "10.png"]


@pytest.mark.parametrize(
    "names",
    [
        ["Marvel2In1-7", "Marvel2In1-7-01", "Marvel2In1-7-02"],
        ["010", "010.5", "011"],
        ["image", "image (1)", "image (2)", "image (10)"],
        ["000a", "000b", "001", "001a", "002", "002-003", "004", "004 (2)", "004_1", "010"],
        ["chap", "chap-2", "cover"],
    ],
)
def test_a_name_comes_before_those_that_it_begins(names: list[str]) -> None:
    for files in (names, [f"{name}.png" for name in names], [f"ch/{name}.jpg" for name in names]):
        backwards = files[::-1]
        assert sorted(backwards, key=natural_key) == files


PATHS = st.lists(
    st.text("aAbé1290 -./_²３\1\2\3\4\udc80\ue000\uf900😀", min_size=1, max_size=12), min_size=2, max_size=8
)


@given(PATHS)
def test_the_order_of_a_database_is_the_same(paths: list[str]) -> None:
    texts = {path: sort_text(path).encode("utf-8") for path in paths}  # as SQLite compares text
    assert sorted(paths, key=texts.__getitem__) == sorted(paths, key=natural_key)
    assert len(set(texts.values())) == len(set(paths))


@given(PATHS)
def test_order_is_total_and_does_not_depend_on_where_one_starts(paths: list[str]) -> None:
    backwards = sorted(set(paths), reverse=True)
    assert sorted(set(paths), key=natural_key) == sorted(backwards, key=natural_key)
    assert len({natural_key(path) for path in paths}) == len(set(paths))


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_digits_are_numbers(a: int, b: int) -> None:
    first, second = natural_key(f"p{a}.png"), natural_key(f"p{b}.png")
    assert (first < second, first == second) == (a < b, a == b)


def test_numbers_of_any_length_are_ordered() -> None:
    assert natural_key("9" * 5000) < natural_key("1" + "0" * 5000)


def test_scan_takes_images_and_leaves_junk(tmp_path: Path) -> None:
    tree(
        tmp_path,
        *("10.png", "2.PNG", "1.jpeg", "notes.txt", ".hidden.png", "._1.png", "Thumbs.db", "p1.hints.png"),
        *(
            "__MACOSX/1.png",
            "_lote/1.png",
            "book.lote/preview.png",
            ".git/1.png",
            "sub/3.webp",
            "sub/deep/4.tif",
        ),
    )
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert relative(tmp_path, scan_directory(str(tmp_path))) == ["1.jpeg", "2.PNG", "10.png"]
    found = scan_directory(tmp_path, recursive=True)
    assert relative(tmp_path, found) == ["1.jpeg", "2.PNG", "10.png", "sub/3.webp", "sub/deep/4.tif"]
    assert all(isinstance(path, str) and Path(path).is_absolute() for path in found)
    assert relative(tmp_path, scan_directory(tmp_path, supported_formats=[".PNG"])) == ["2.PNG", "10.png"]
    assert relative(tmp_path, scan_directory(tmp_path, supported_formats={"jpeg", "txt"})) == [
        "1.jpeg",
        "notes.txt",
    ]


def test_empty_files_are_no_images_at_a_glance(tmp_path: Path) -> None:
    tree(tmp_path, "1.png", "sub/2.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "sub" / "empty.jpg").touch()
    assert relative(tmp_path, scan_directory(tmp_path)) == ["1.png"]
    assert relative(tmp_path, scan_directory(tmp_path, recursive=True)) == ["1.png", "sub/2.png"]


def test_walking_meets_everything(tmp_path: Path) -> None:
    tree(
        tmp_path, "1.png", "02", "notes.txt", ".hidden/x.png", "Thumbs.db", "sub/3.png", "out/4.png", "a.cbz"
    )
    (tmp_path / "02").write_bytes(saved(Image.fromarray(samples()), "JPEG"))
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "gone.png").symlink_to("nowhere")
    met = {
        entry.name: (entry.kind, entry.reason)
        for entry in walk(tmp_path, recursive=True, skip=[tmp_path / "out"])
    }
    assert met == {
        "1.png": (FileKind.IMAGE, None),
        "02": (FileKind.IMAGE, None),
        "a.cbz": (FileKind.BOOK, None),
        "gone": (FileKind.OTHER, Reason.UNREADABLE),
        "gone.png": (FileKind.IMAGE, None),
        "link/": (FileKind.OTHER, Reason.LINKED_FOLDER),
        "notes.txt": (FileKind.OTHER, None),
        "sub/3.png": (FileKind.IMAGE, None),
        ".hidden/": (FileKind.JUNK, Reason.JUNK),
        "Thumbs.db": (FileKind.JUNK, Reason.JUNK),
    }
    flat = {entry.name: entry.reason for entry in walk(tmp_path, recursive=False)}
    assert flat["sub/"] == flat["out/"] == Reason.IN_SUBFOLDER


def test_ten_thousand_files_are_listed_within_a_second(tmp_path: Path) -> None:
    page = saved(Image.fromarray(samples()), "PNG")
    for number in range(10_000):
        (tmp_path / (f"{number}.png" if number % 10 else f"{number}")).write_bytes(page)
    began = time.process_time()
    assert (
        sum(
            entry.kind == FileKind.IMAGE for entry in walk(tmp_path, recursive=False, skip=[tmp_path / "out"])
        )
        == 10_000
    )
    assert time.process_time() - began < 1


def test_relative_folders_give_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a/1.png", "b/x")
    monkeypatch.chdir(tmp_path / "b")
    assert scan_directory("../a") == [str(tmp_path / "a" / "1.png")]


def test_streaming_order_is_the_sorted_order(tmp_path: Path) -> None:
    names = [
        "b.png",
        "a/2.png",
        "a/10.png",
        "a b/1.png",
        "A1/1.png",
        "a1.png",
        "10/x.png",
        "9.png",
        "a/b/c/1.png",
    ]
    tree(tmp_path, *names)
    found = relative(tmp_path, iter_images(tmp_path, recursive=True))
    assert found == sorted(names, key=natural_key)


def test_the_first_image_comes_before_the_rest_is_looked_at(tmp_path: Path) -> None:
    tree(tmp_path, "1/1.png", "2/1.png")
    images = iter_images(tmp_path, recursive=True)
    assert next(images) == tmp_path / "1" / "1.png"
    (tmp_path / "2" / "1.png").rename(tmp_path / "2" / "later.png")
    assert list(images) == [tmp_path / "2" / "later.png"]


def test_skipped_files_and_folders(tmp_path: Path) -> None:
    tree(tmp_path, "1.png", "out/1.png", "out/deep/2.png", "in/3.png", "in/4.png")
    found = iter_images(tmp_path, recursive=True, skip=[tmp_path / "out", tmp_path / "in" / "4.png"])
    assert relative(tmp_path, found) == ["1.png", "in/3.png"]


def test_links_are_read_but_folders_behind_links_are_not_entered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, "1.png", "sub/2.png")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to("1.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    with caplog.at_level(logging.WARNING):
        assert relative(tmp_path, scan_directory(tmp_path, recursive=True)) == [
            "1.png",
            "link.png",
            "sub/2.png",
        ]
    assert "loop" in caplog.text


def test_folders_deeper_than_python_recurses(tmp_path: Path) -> None:
    deep = tmp_path
    here = Path.cwd()
    try:
        for _ in range(400):
            os.chdir(deep)
            deep = Path("d" * 2)
            deep.mkdir()
        os.chdir(deep)
        Path("1.png").write_bytes(b"x")
    finally:
        os.chdir(here)
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(200)
        assert len(list(iter_images(tmp_path, recursive=True))) == 1
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to become somebody else")
def test_an_unreadable_folder_is_a_warning(tmp_path: Path) -> None:
    tree(tmp_path, "1.png", "closed/2.png", "z/3.png")
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o055)
    (tmp_path / "closed").chmod(0o700)
    code = (
        "import os, sys; from batch_processing.io import scan_directory, validate_image_file as v; os.setuid(65534);"
        "print(*scan_directory(sys.argv[1], recursive=True), sep='\\n'); print(v(sys.argv[1] + '/closed/2.png'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [str(tmp_path / "1.png"), str(tmp_path / "z" / "3.png"), "False"]
    assert "closed" in done.stderr


def test_roots_that_cannot_be_scanned(tmp_path: Path) -> None:
    tree(tmp_path, "file.png")
    with pytest.raises(ValidationError, match="does not exist"):
        scan_directory(tmp_path / "missing")
    with pytest.raises(ValidationError, match="not a directory"):
        scan_directory(tmp_path / "file.png")
    with pytest.raises(ValidationError, match="does not exist"):
        next(iter_images(tmp_path / "missing", recursive=False))


def test_validate_never_raises(tmp_path: Path) -> None:
    good = tmp_path / "good.PNG"
    good.write_bytes(saved(Image.fromarray(samples()), "PNG"))
    tree(tmp_path, "text.png", "good.txt")
    (tmp_path / "empty.png").touch()
    assert validate_image_file(good)
    assert validate_image_file(str(good), deep=True)
    assert validate_image_file(tmp_path / "text.png")
    assert not validate_image_file(tmp_path / "text.png", deep=True)
    for bad in ("empty.png", "good.txt", "missing.png", ".", "nul\0.png"):
        assert not validate_image_file(tmp_path / bad)
    assert not validate_image_file(None)  # type: ignore[arg-type]
    assert not validate_image_file(12)  # type: ignore[arg-type]


def test_separating_keeps_order_and_names_what_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    class ByName:
        def classify(self, path: str) -> SimpleNamespace:
            if "bad" in path:
                raise ClassificationError(path, "the file is empty")
            return SimpleNamespace(
                type="line_art" if "line" in path else "colored", confidence=1.0, metrics={}
            )

    paths = ["line2.png", "cover.png", "bad.png", "line1.png"]
    with caplog.at_level(logging.WARNING):
        line_art, references, types = separate_line_art_and_references(paths, ByName())  # type: ignore[arg-type]
    assert (line_art, references) == (["line2.png", "line1.png"], ["cover.png"])
    assert list(types) == ["line2.png", "cover.png", "line1.png"]
    assert "bad.png" in caplog.text
    assert zip_handler.separate_line_art_and_references(paths, ByName()) == (line_art, references)  # type: ignore[arg-type]


def test_formats_and_light_import() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp"} <= set(SUPPORTED_IMAGE_FORMATS)
    code = (
        "import sys, batch_processing.io, batch_processing.io.file_handler, batch_processing.io.zip_handler;"
        "print(sorted({'torch', 'cv2', 'gradio', 'pandas', 'ray', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
