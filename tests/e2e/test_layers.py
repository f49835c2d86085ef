"""`--layers`: editable documents beside the pages, with the layers that programs for artists read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from psd_tools import PSDImage
from psd_tools.constants import Resource

from batch_processing.io.images import decode, srgb_profile
from command import Run, lote
from pages import book, colored, line_art, zipped


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


def test_lines_depth_resolution_and_profile_are_the_pages_own(tmp_path: Path) -> None:
    """Lossless pages of every kind, in every document: what is line in the input, and not lighter than its flat, is
    the same in the output."""
    book(tmp_path / "in", 0)
    with Image.open(line_art(tmp_path / "gray.png", 5)) as image:
        gray = np.asarray(image)
    rng = np.random.default_rng(1)
    ink = rng.integers(0, 90, gray.shape).astype(np.uint8)
    pages = {
        "gray.png": np.where(gray < 128, ink, 255).astype(np.uint8),
        "bilevel.png": gray >= 128,
        "rgb.png": np.where((gray < 128)[..., None], ink[..., None] // (1, 2, 1), 255).astype(np.uint8),
        "wide.tif": np.where(gray < 128, ink.astype(np.uint16) * 257 + 77, 65535).astype(np.uint16),
    }
    for name, pixels in pages.items():
        more: dict[str, Any] = {"icc_profile": srgb_profile()} if name == "rgb.png" else {}
        Image.fromarray(pixels).save(tmp_path / "in" / name, dpi=(600, 600), **more)
    done = colorize(tmp_path, "--format", "tif", "--layers", "psd", "--layers", "ora", backend="flats")
    assert done.code == 0, done.err
    for name, pixels in pages.items():
        stem = name.partition(".")[0]
        result = decode(tmp_path / "out" / f"{stem}.tif")
        psd = PSDImage.open(tmp_path / "out" / "_lote" / "layers" / f"{stem}.psd")
        depth = 16 if name == "wide.tif" else 8
        assert (result.bit_depth, psd.depth) == (depth, depth)
        assert result.dpi == pytest.approx((600, 600), abs=0.1)
        resolution = psd.image_resources.get_data(Resource.RESOLUTION_INFO)
        assert resolution.horizontal / 65536 == pytest.approx(600, abs=0.1)
        assert psd.image_resources.get_data(Resource.ICC_PROFILE) == result.icc == srgb_profile()
        given = pixels * 255 if pixels.dtype == bool else pixels
        given = given[..., None] if given.ndim == 2 else given
        written = result.rgb if result.native is None else result.native
        most = 2**depth - 1
        flats = np.rint(next(layer for layer in psd if layer.name == "Flats").numpy("color") * most)
        own = np.broadcast_to(given, written.shape)
        line = (gray < 128) & (own <= flats).all(axis=2)
        assert line.sum() > 0.7 * (gray < 128).sum()
        assert (written[line] == own[line]).all(), name
        assert (np.rint(psd.numpy("color") * most) == written).all(), name
        layer = np.rint(next(layer for layer in psd if layer.name == "Line").numpy("color") * most)
        if given.shape[2] == 1:
            assert (layer == given).all(), name
        with zipfile.ZipFile(tmp_path / "out" / "_lote" / "layers" / f"{stem}.ora") as document:
            merged = cv2.imdecode(
                np.frombuffer(document.read("mergedimage.png"), np.uint8), cv2.IMREAD_UNCHANGED
            )
            assert (np.asarray(merged)[..., ::-1] == written).all(), name


def test_flats_are_parted_by_panels_and_by_colors_with_their_names(tmp_path: Path) -> None:
    colored(tmp_path / "in" / "0_cover.png", 1)
    with Image.open(tmp_path / "in" / "0_cover.png") as image:
        pixels = np.asarray(image)
    ink = np.where((pixels == 0).all(axis=2), 0, 255).astype(np.uint8)
    Image.fromarray(ink).save(tmp_path / "in" / "1.png")
    args: tuple[str, ...] = (
        "--layers",
        "psd",
        "--layers",
        "png",
        "--layers",
        "json",
        "--layers-by",
        "panel",
        "--layers-by",
        "color",
        "--style",
        "line",
    )
    assert colorize(tmp_path, *args, backend="flats").code == 0
    palette = json.loads((tmp_path / "out" / "_lote" / "palette.json").read_text())["colors"]
    named = max((color for color in palette if color["id"]), key=lambda color: color["id"])
    (tmp_path / "mine.json").write_text(json.dumps({"colors": [named | {"name": "Ana <hair>"}]}))
    done = lote("recolor", "1", "--palette", tmp_path / "mine.json", workspace=tmp_path / "ws")
    assert done.code == 0, done.err
    psd = PSDImage.open(tmp_path / "out" / "_lote" / "layers" / "1.psd")
    groups = [layer for layer in psd if layer.is_group()]
    assert [layer.name for layer in psd][-1] == "Line"
    assert groups
    names = {layer.name for group in groups for layer in group}
    assert "Ana <hair>" in names
    assert f"Colour {named['id']}" not in names
    # Every pixel lies in one of them: together they are the flats.
    covered = np.zeros(ink.shape, int)
    flats = np.zeros((*ink.shape, 3))
    for group in groups:
        for layer in group:
            x0, y0, x1, y1 = layer.bbox
            part = np.rint(layer.numpy() * 255)
            covered[y0:y1, x0:x1] += part[..., 3] > 0
            flats[y0:y1, x0:x1] += part[..., :3] * (part[..., 3:] > 0)
    assert (covered == 1).all()
    page = picture(tmp_path / "out" / "1.png")
    layers = tmp_path / "out" / "_lote" / "layers"
    with Image.open(layers / "1.png") as image:
        assert image.mode == "P"
        indices = np.asarray(image)
        assert (np.asarray(image.convert("RGB")) == flats).all()
    told = json.loads((layers / "1.json").read_text())
    assert told["size"] == [240, 320]
    assert {region["id"] for region in told["regions"]} == set(np.unique(indices).tolist())
    for region in told["regions"]:
        x0, y0, x1, y1 = region["box"]
        assert (indices[y0:y1, x0:x1] == region["id"]).any()
        assert 0 <= region["confidence"] <= 1
    white = cv2.erode(ink, np.ones((5, 5), np.uint8)) == 255
    assert np.abs(flats[white] - page[white]).max() < 8


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


def manga(path: Path, *, color: bool) -> None:
    """Four panels in two rows, with a figure in each; those of the lower row are of different heights."""
    image = Image.new("RGB", (800, 1100), "white")
    draw = ImageDraw.Draw(image)
    for x, y in ((30, 30), (415, 30), (30, 565), (415, 600)):
        fill = (200, 230, 200) if color else "white"
        draw.rectangle((x, y, x + 355, 1070 if y > 500 else y + 505), outline="black", width=6, fill=fill)
        body = (200, 60, 60) if color else "white"
        draw.ellipse((x + 100, y + 120, x + 220, y + 300), fill=body, outline="black", width=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.mark.parametrize("said", ["by the book", "by the command", "not"])
def test_panels_are_numbered_the_way_the_book_is_read(said: str, tmp_path: Path) -> None:
    manga(tmp_path / "in" / "0.png", color=True)
    manga(tmp_path / "in" / "1.png", color=False)
    if said == "by the book":
        info = "<ComicInfo><Manga>YesAndRightToLeft</Manga></ComicInfo>"
        (tmp_path / "in" / "ComicInfo.xml").write_text(info)
    args = ("--right-to-left",) if said == "by the command" else ()
    done = colorize(
        tmp_path, "--layers", "json", "--layers", "ora", "--layers-by", "panel", *args, backend="flats"
    )
    assert done.code == 0, done.err
    told = json.loads((tmp_path / "out" / "_lote" / "layers" / "1.json").read_text())
    lefts: dict[int, int] = {}
    for region in told["regions"]:
        lefts[region["panel"]] = min(lefts.get(region["panel"], 800), region["box"][0])
    order = [lefts[number] > 400 for number in range(4)]
    assert order == ([False, True, False, True] if said == "not" else [True, False, True, False])
