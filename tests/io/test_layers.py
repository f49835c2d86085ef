"""Layered documents hold the layers as given, for the programs that open them."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.backends.base import Layer
from batch_processing.io.images import srgb_profile
from batch_processing.io.layers import write_flats, write_layers
from shared_data import lacking


def document(h: int = 40, w: int = 60) -> tuple[list[Layer], Any]:
    rng = np.random.default_rng(7)
    flats = rng.integers(0, 256, (h, w, 4), dtype=np.uint8)
    flats[..., 3] = 255
    line = rng.integers(0, 256, (h, w), dtype=np.uint8)
    return [Layer("Flats", flats), Layer('Line "ä" & <b>', line, "multiply")], flats[..., :3].copy()


def written(kind: Any, layers: list[Layer], merged: Any, dpi: tuple[float, float] | None = None) -> bytes:
    target = io.BytesIO()
    write_layers(target, kind, layers, merged, dpi)
    return target.getvalue()


def test_a_psd_has_the_line_on_multiply_above_the_flats() -> None:
    from psd_tools import PSDImage

    layers, merged = document()
    back = PSDImage.open(io.BytesIO(written("psd", layers, merged)))
    assert back.size == (60, 40)
    assert [(layer.name, layer.blend_mode.name) for layer in back] == [
        ("Flats", "NORMAL"),
        ('Line "ä" & <b>', "MULTIPLY"),
    ]
    for layer, given_layer in zip(back, layers, strict=True):
        pixels = np.asarray(layer.topil().convert("RGB"))
        wanted = given_layer.pixels
        wanted = np.repeat(wanted[..., None], 3, axis=2) if wanted.ndim == 2 else wanted[..., :3]
        assert np.array_equal(pixels, wanted)


def test_a_program_without_layers_sees_the_merged_picture_of_a_psd() -> None:
    layers, merged = document()
    with Image.open(io.BytesIO(written("psd", layers, merged))) as shown:
        assert np.array_equal(np.asarray(shown.convert("RGB")), merged)


def test_a_psd_keeps_its_resolution() -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    layers, merged = document()
    back = PSDImage.open(io.BytesIO(written("psd", layers, merged, (600, 300))))
    found = back.image_resources.get_data(Resource.RESOLUTION_INFO)
    assert (found.horizontal / 65536, found.vertical / 65536) == (600, 300)


def parted(depth: int) -> tuple[list[Layer], Any]:
    """Two groups with small layers, one made only when it is asked for, and a line layer; merged in `depth`."""
    rng = np.random.default_rng(3)
    kind: Any = np.uint8 if depth == 8 else np.uint16
    patch = rng.integers(0, 2**depth, (12, 20, 4)).astype(kind)
    hair = rng.integers(0, 256, (10, 10, 4), dtype=np.uint8)
    line = rng.integers(0, 2**depth, (40, 60)).astype(kind)
    layers = [
        Layer("Flats", lambda: patch, group="Outside of panels", left=40, top=28),
        Layer("Ana <hair> 髪", hair, group="Panel 1", left=3, top=5, color=4),
        Layer("Coat", hair[::-1].copy(), group="Panel 1", left=13, top=15),
        Layer("Line", line, "multiply", own=True),
    ]
    return layers, rng.integers(0, 2**depth, (40, 60, 3)).astype(kind)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_psd_has_groups_transparency_depth_and_profile(depth: int) -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    layers, merged = parted(depth)
    target = io.BytesIO()
    write_layers(target, "psd", layers, merged, (300, 300), srgb_profile())
    back = PSDImage.open(io.BytesIO(target.getvalue()))
    assert back.depth == depth
    assert back.image_resources.get_data(Resource.ICC_PROFILE) == srgb_profile()
    assert [(layer.name, layer.kind) for layer in back.descendants()] == [
        ("Outside of panels", "group"), ("Flats", "pixel"), ("Panel 1", "group"), ("Ana <hair> 髪", "pixel"),
        ("Coat", "pixel"), ("Line", "pixel"),
    ]  # fmt: skip
    most = 2**depth - 1
    assert (np.rint(back.numpy("color") * most) == merged).all()
    read = {layer.name: layer for layer in back.descendants()}
    assert read["Flats"].bbox == (40, 28, 60, 40)
    assert not read["Flats"].has_mask(), "what is transparent is transparent, and no mask"
    patch = layers[0].pixels() if callable(layers[0].pixels) else layers[0].pixels
    assert (np.rint(read["Flats"].numpy() * most) == patch).all()
    wide = np.asarray(layers[1].pixels, np.int64) * (1 if depth == 8 else 257)
    assert (np.rint(read["Ana <hair> 髪"].numpy() * most) == wide).all()
    assert (np.rint(read["Line"].numpy("color") * most) == np.asarray(layers[3].pixels)[..., None]).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_openraster_has_groups_and_depth(depth: int) -> None:
    layers, merged = parted(depth)
    target = io.BytesIO()
    write_layers(target, "ora", layers, merged, (300, 300), srgb_profile())
    with zipfile.ZipFile(target) as archive:
        top = ET.fromstring(archive.read("stack.xml")).find("stack")  # noqa: S314 - written a line above
        assert top is not None
        assert [(part.tag, part.get("name")) for part in top] == [
            ("layer", "Line"), ("stack", "Panel 1"), ("stack", "Outside of panels"),
        ]  # fmt: skip
        inner = [(part.get("name"), part.get("x"), part.get("y")) for part in top[1]]
        assert inner == [("Coat", "13", "15"), ("Ana <hair> 髪", "3", "5")]
        for source, wanted in (("data/layer3.png", layers[3].pixels), ("mergedimage.png", merged)):
            header = archive.read(source)[16:29]
            assert header[8] == depth
            samples = cv2.imdecode(np.frombuffer(archive.read(source), np.uint8), cv2.IMREAD_UNCHANGED)
            there = np.asarray(samples)[..., 2::-1]
            assert (there == (wanted[..., None] if np.ndim(wanted) == 2 else wanted)).all()  # type: ignore[index]
            with Image.open(io.BytesIO(archive.read(source))) as picture:
                assert picture.info["icc_profile"] == srgb_profile()


def test_flats_alone_are_a_palette_of_ids_or_rgb_where_there_are_too_many() -> None:
    sky = np.full((4, 6, 4), (10, 20, 30, 255), np.uint8)
    coat = np.full((2, 2, 4), (200, 100, 50, 255), np.uint8)
    coat[0, 0, 3] = 0
    hint = np.full((1, 1, 4), (1, 2, 3, 255), np.uint8)
    parts = [Layer("Sky", sky), Layer("Coat", coat, left=3, top=1), Layer("Hint", hint)]
    target = io.BytesIO()
    known = [(7, (200, 100, 50)), (1, (10, 20, 30)), (1 << 24, (1, 2, 3))]
    write_flats(target, parts, (4, 6), known, (300, 300))
    with Image.open(target) as image:
        assert image.mode == "P"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        indices = np.asarray(image)
        assert indices[1:3, 3:5].tolist() == [[1, 7], [7, 7]]
        assert np.asarray(image.convert("RGB"))[0, 0].tolist() == [1, 2, 3]
    many = np.arange(400 * 4).reshape(20, 20, 4).astype(np.uint8)
    many[..., 0], many[..., 1], many[..., 3] = np.indices((20, 20))[0], np.indices((20, 20))[1], 255
    target = io.BytesIO()
    write_flats(target, [Layer("Many", many)], (20, 20), [])
    with Image.open(target) as image:
        assert (np.asarray(image.convert("RGB")) == many[..., :3]).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_imagemagick_reads_every_layer_in_its_place(depth: int, tmp_path: Path) -> None:
    if (program := shutil.which("identify")) is None:
        lacking("needs ImageMagick: apt-get install imagemagick")
    layers, merged = parted(depth)
    with (tmp_path / "p.psd").open("wb") as file:
        write_layers(file, "psd", layers, merged)
    form = ["-format", "%[label] %wx%h%O %z\n"]
    done = subprocess.run([program, *form, tmp_path / "p.psd"], capture_output=True, check=True)
    told = [line.split() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    assert [line[-2:] for line in told] == [
        [place, str(depth)] for place in ("60x40+0+0", "20x12+40+28", "10x10+3+5", "10x10+13+15", "60x40+0+0")
    ]


@settings(max_examples=10, deadline=None)
@given(h=st.integers(1, 400), w=st.integers(1, 400))
def test_openraster_is_laid_out_as_its_specification_says(h: int, w: int) -> None:
    layers, merged = document(h, w)
    data = written("ora", layers, merged, (350, 350))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type, first.header_offset) == (
            "mimetype",
            zipfile.ZIP_STORED,
            0,
        )
        assert archive.read("mimetype") == b"image/openraster"
        assert not [name for name in archive.namelist() if name.startswith("/")]
        root = ET.fromstring(archive.read("stack.xml"))  # noqa: S314 - written a line above
        assert (root.get("w"), root.get("h"), root.get("xres")) == (str(w), str(h), "350")
        found = [(e.get("name"), e.get("composite-op"), e.get("src")) for e in root.iter("layer")]
        assert [f[:2] for f in found] == [('Line "ä" & <b>', "svg:multiply"), ("Flats", "svg:src-over")]
        for layer, (_, _, source) in zip(reversed(layers), found, strict=True):
            with Image.open(io.BytesIO(archive.read(str(source)))) as picture:
                rgb = np.asarray(picture.convert("RGBA"))[..., :3]
            wanted = layer.pixels if layer.pixels.ndim == 3 else np.repeat(layer.pixels[..., None], 3, axis=2)
            assert np.array_equal(rgb, wanted[..., :3])
        with Image.open(io.BytesIO(archive.read("mergedimage.png"))) as picture:
            assert np.array_equal(np.asarray(picture.convert("RGB")), merged)
        with Image.open(io.BytesIO(archive.read("Thumbnails/thumbnail.png"))) as picture:
            assert max(picture.size) <= 256


@pytest.mark.parametrize("kind", ["psd", "ora"])
def test_the_same_bytes_on_each_run(kind: str) -> None:
    layers, merged = document()
    assert written(kind, layers, merged) == written(kind, layers, merged)


@pytest.mark.parametrize("kind", ["psd", "ora"])
def test_a_layer_of_another_size_is_refused(kind: str) -> None:
    layers, merged = document()
    with pytest.raises(ValueError, match="60 x 40 pixels at 0, 0 and the page is 60 x 39"):
        written(kind, layers, merged[:-1])


def test_a_page_too_large_for_psd_is_refused_before_anything_is_written() -> None:
    merged = np.zeros((30_001, 1, 3), np.uint8)
    target = io.BytesIO()
    with pytest.raises(ValueError, match="use ora"):
        write_layers(target, "psd", [], merged)
    assert target.getvalue() == b""
