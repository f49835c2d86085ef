"""Photoshop documents as pictures: their pixels, or one sentence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import Resource

from batch_processing.exceptions import ImageProcessingError
from batch_processing.io.images import decode, probe, srgb_profile


def noise(mode: str, size: tuple[int, int] = (40, 30)) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def document(image: Image.Image, resources: dict[int, bytes] | None = None, *, version: int = 1) -> bytes:
    """A document of a picture without layers."""
    planes = [np.asarray(channel) for channel in image.split()]
    mode = {"1": 0, "L": 1, "RGB": 3, "CMYK": 4}[image.mode]
    depth = 1 if image.mode == "1" else 8
    if image.mode == "1":
        planes = [np.packbits(~np.asarray(image), axis=1)]
    if image.mode == "CMYK":
        planes = [255 - plane for plane in planes]  # as Photoshop has it
    blocks = b"".join(
        struct.pack(">4sHHL", b"8BIM", number, 0, len(data)) + data + bytes(len(data) % 2)
        for number, data in (resources or {}).items()
    )
    head = struct.pack(">4sH6xHLLHH", b"8BPS", version, len(planes), image.height, image.width, depth, mode)
    nothing = bytes(8 if version == 2 else 4)
    return (
        head
        + bytes(4)
        + struct.pack(">L", len(blocks))
        + blocks
        + nothing
        + b"\0\0"
        + b"".join(plane.tobytes() for plane in planes)
    )


def written(folder: Path, data: bytes) -> Path:
    path = folder / "page.psd"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_document_gives_its_pixels(mode: str, version: int, tmp_path: Path) -> None:
    image = noise("L").point(lambda value: 255 * (value > 99)).convert("1") if mode == "1" else noise(mode)
    page = decode(written(tmp_path, document(image, version=version)))
    assert np.array_equal(page.rgb, np.asarray(image.convert("RGB")))
    assert page.gray == (mode in "1L")


def test_resolution_and_profile_are_the_documents(tmp_path: Path) -> None:
    resolution = struct.pack(">LHHLHH", 300 << 16, 1, 1, 300 << 16, 1, 1)
    path = written(tmp_path, document(noise("RGB"), {1005: resolution, 1039: srgb_profile(), 4000: b"odd"}))
    info = probe(path)
    assert (info.format, info.width, info.height, info.dpi) == ("PSD", 40, 30, (300, 300))
    assert decode(path).icc == srgb_profile()


def test_layers_are_composed_where_no_picture_was_kept(tmp_path: Path) -> None:
    psd = PSDImage.new("RGB", (20, 10), color=(255, 255, 255))
    shown = psd.create_pixel_layer(Image.new("RGB", (8, 8), (200, 0, 0)), name="shown")
    hidden = psd.create_pixel_layer(Image.new("RGB", (20, 10), (0, 0, 200)), name="hidden")
    hidden.visible = False
    assert shown.visible
    target = io.BytesIO()
    psd.save(target)
    info = psd.image_resources.get_data(Resource.VERSION_INFO)
    data = target.getvalue()
    if info is not None:  # "maximize compatibility" was off
        at = data.index(struct.pack(">4sH", b"8BIM", Resource.VERSION_INFO)) + 12
        data = data[: at + 4] + b"\0" + data[at + 5 :]
    rgb = decode(written(tmp_path, data)).rgb
    assert rgb.shape == (10, 20, 3)
    assert (rgb != (0, 0, 200)).any(axis=2).all()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_document_that_is_cut_off_is_no_page(share: float, tmp_path: Path) -> None:
    data = document(noise("RGB", (400, 300)))
    with pytest.raises(ImageProcessingError, match=r"damaged|cut off"):
        decode(written(tmp_path, data[: int(len(data) * share)]))


def test_damaged_channels_are_not_black(tmp_path: Path) -> None:
    data = document(noise("RGB"))
    start = len(data) - 3 * 1200 - 2
    assert data[start : start + 2] == b"\0\0"
    with pytest.raises(ImageProcessingError):  # packed, says the header, and it is not
        decode(written(tmp_path, data[:start] + b"\0\1" + data[start + 2 :]))


def test_what_claims_too_much_is_refused_by_its_header(tmp_path: Path) -> None:
    data = document(noise("L"))
    for wrong, words in (
        (data[:14] + struct.pack(">LL", 300_000, 300_000) + data[22:], "missing"),
        (data[:14] + struct.pack(">LL", 1 << 31, 1) + data[22:], "300000"),
        (data[:12] + struct.pack(">H", 60) + data[14:], "header"),
        (data[:30] + struct.pack(">L", 1 << 31) + data[34:], "metadata"),
        (data[:34] + struct.pack(">L", 1 << 30) + data[38:], "cut off"),
    ):
        with pytest.raises(ImageProcessingError, match=words):
            probe(written(tmp_path, wrong))
