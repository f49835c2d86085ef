"""Layered documents hold the layers as given, for the programs that open them."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_processing.backends.base import Layer
from batch_processing.io.layers import write_layers


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
    with pytest.raises(ValueError, match="60 x 40 pixels and the page is 60 x 39"):
        written(kind, layers, merged[:-1])


def test_a_page_too_large_for_psd_is_refused_before_anything_is_written() -> None:
    merged = np.zeros((30_001, 1, 3), np.uint8)
    target = io.BytesIO()
    with pytest.raises(ValueError, match="use ora"):
        write_layers(target, "psd", [], merged)
    assert target.getvalue() == b""
