"""`--layers`: editable documents beside the pages, with the layers that programs for artists read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from command import Run, lote
from pages import book, line_art, zipped


def colorize(root: Path, *args: str | Path, output: str = "out", backend: str = "noop") -> Run:
    source = root / "in.cbz" if (root / "in.cbz").exists() else root / "in"
    return lote(
        "colorize",
        source,
        "-o",
        root / output,
        "--recursive",
        "--backend",
        backend,
        *args,
        workspace=root / "ws",
    )


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_folder_has_its_documents_in_lote_under_the_names_of_its_pages(tmp_path: Path) -> None:
    book(tmp_path / "in", 1)
    line_art(tmp_path / "in" / "a" / "p.png", 7)
    done = colorize(tmp_path, "--layers", "psd", "--layers", "ora")
    assert done.code == 0, done.err
    layers = tmp_path / "out" / "_lote" / "layers"
    files = {path.relative_to(layers).as_posix() for path in layers.rglob("*") if path.is_file()}
    assert files == {"1.psd", "1.ora", "a/p.psd", "a/p.ora"}
    page = picture(tmp_path / "out" / "a" / "p.png")
    psd = PSDImage.open(layers / "a" / "p.psd")
    assert psd.size == (240, 320)
    assert [layer.name for layer in psd] == ["Page", "Colours"]
    assert (np.asarray(psd.topil().convert("RGB")) == page).all()
    with zipfile.ZipFile(layers / "a" / "p.ora") as document:
        assert document.infolist()[0].filename == "mimetype"
        with Image.open(document.open("mergedimage.png")) as merged:
            assert (np.asarray(merged.convert("RGB")) == page).all()


def test_flats_gives_flats_under_the_line(tmp_path: Path) -> None:
    book(tmp_path / "in", 1)
    done = colorize(tmp_path, "--layers", "psd", backend="flats")
    assert done.code == 0, done.err
    psd = PSDImage.open(tmp_path / "out" / "_lote" / "layers" / "1.psd")
    assert [layer.name for layer in psd] == ["Flats", "Line"]
    page = picture(tmp_path / "out" / "1.png")
    assert (np.asarray(psd.topil().convert("RGB")) == page).all()


def test_an_archive_has_them_beside_it(tmp_path: Path) -> None:
    zipped(book(tmp_path / "pages", 1), tmp_path / "in.cbz")
    done = colorize(tmp_path, "--layers", "ora", output="book.cbz")
    assert done.code == 0, done.err
    assert (tmp_path / "book.lote" / "layers" / "1.ora").is_file()
    with zipfile.ZipFile(tmp_path / "book.cbz") as archive:
        assert not [name for name in archive.namelist() if name.endswith(".ora")]


def test_a_rerun_makes_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    book(tmp_path / "in", 2)
    assert colorize(tmp_path).code == 0
    layers = tmp_path / "out" / "_lote" / "layers"
    assert not layers.exists()
    assert colorize(tmp_path, "--layers", "ora").code == 0
    before = {path.name: path.read_bytes() for path in layers.iterdir()}
    assert set(before) == {"1.ora", "2.ora"}
    times = {path.name: path.stat().st_mtime_ns for path in layers.iterdir()}
    (layers / "1.ora").unlink()
    done = colorize(tmp_path, "--layers", "ora", "--json")
    assert done.summary["reused"] == 1
    assert {path.name: path.read_bytes() for path in layers.iterdir()} == before
    assert (layers / "2.ora").stat().st_mtime_ns == times["2.ora"]


@pytest.mark.parametrize("again", [("retry", "1", "--all"), ()])
def test_an_artists_work_is_never_overwritten(tmp_path: Path, again: tuple[str, ...]) -> None:
    book(tmp_path / "in", 2)
    assert colorize(tmp_path, "--layers", "ora").code == 0
    layers = tmp_path / "out" / "_lote" / "layers"
    (layers / "1.ora").write_bytes(b"hours of work")
    other = (layers / "2.ora").read_bytes()
    if again:
        done = lote(*again, workspace=tmp_path / "ws")
    else:
        line_art(tmp_path / "in" / "2.png", 50)
        done = colorize(tmp_path, "--layers", "ora", "--seed", "9")
    assert done.code == 0, done.err
    assert "1.ora was changed since Lote wrote it and is left alone" in done.err
    assert "2.ora" not in done.err
    assert (layers / "1.ora").read_bytes() == b"hours of work"
    assert ((layers / "2.ora").read_bytes() == other) == bool(again)
    report = (tmp_path / "out" / "_lote" / "report.html").read_text()
    assert "1.ora was changed since Lote wrote it" in report
    metadata = (tmp_path / "out" / "_lote" / "processing_metadata.json").read_text()
    assert str(tmp_path) not in metadata
