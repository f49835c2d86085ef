"""What a page looks like after it was read, what a file holds after it was written, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from batch_processing.exceptions import ImageProcessingError
from batch_processing.io.images import decode, encode, output_format, probe, srgb_profile, thumbnail
from corpus import images as corpus
from corpus.images import SIZE, png16, samples, saved
from shared_data import require_shared

# Pillow warns about what it then refuses or repairs.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def file(folder: Path, data: bytes, name: str = "page.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ImageProcessingError) as error:
        decode(path)
    assert str(error.value).startswith(f"Error processing {path}: ")
    assert "\n" not in error.value.message
    return error.value.message


# --- refused ---------------------------------------------------------------------------------------------


def test_what_is_no_image_says_so(tmp_path: Path) -> None:
    assert "not an image although its name ends in .png" in refusal(file(tmp_path, b"just text"))
    assert "empty" in refusal(file(tmp_path, b""))
    assert "No such file" in refusal(tmp_path / "missing.png")
    assert "folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")
    for shared, words in (
        ("empty.png", "empty"),
        ("not_an_image.jpg", "ends in .jpg"),
        ("truncated.png", "cut off"),
    ):
        assert words in refusal(require_shared("data", "comics", "formats", shared))


@pytest.mark.parametrize("name", corpus.BOMBS)
def test_a_bomb_is_refused_by_its_header_and_costs_nothing(name: str, tmp_path: Path) -> None:
    path = file(tmp_path, corpus.BOMBS[name](), name)
    tracemalloc.start()
    try:
        for read in (probe, decode):
            with pytest.raises(ImageProcessingError, match="256 million"):
                read(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", corpus.whole())
def test_a_file_cut_anywhere_is_refused_or_whole(name: str, tmp_path: Path) -> None:
    """Never a page that is gray where data are missing."""
    data = corpus.whole()[name]
    true = decode(file(tmp_path, data, name)).rgb
    refused = 0
    for length in {*range(1, len(data), max(1, len(data) // 40)), len(data) - 1}:
        try:
            found = decode(file(tmp_path, data[:length], name)).rgb
        except ImageProcessingError:
            refused += 1
        else:
            assert np.array_equal(found, true), length
    assert refused >= 35


@pytest.mark.parametrize("name", corpus.whole())
def test_wrong_bits_are_a_refusal_or_a_page(name: str, tmp_path: Path) -> None:
    data = corpus.whole()[name]
    draw = np.random.default_rng(3)
    noticed = 0
    for _ in range(150):
        broken = bytearray(data)
        # Headers are where parsers break; half of the blows go there.
        end = len(data) if draw.random() < 0.5 else min(200, len(data))
        for at in draw.integers(0, end, draw.integers(1, 4)):
            broken[at] ^= 1 << int(draw.integers(8))
        path = file(tmp_path, bytes(broken), name)
        try:
            page = decode(path)
        except ImageProcessingError:
            noticed += 1
        else:
            assert page.rgb.dtype == np.uint8
            assert page.rgb.shape[2] == 3
    if name.endswith(".png"):  # every critical chunk has a checksum
        assert noticed > 100


def test_a_png_with_one_wrong_bit_in_its_pixels_is_refused(tmp_path: Path) -> None:
    data = bytearray(saved(Image.fromarray(samples()), "PNG", compress_level=0))
    data[data.index(b"IDAT") + 100] ^= 1
    assert "checksum" in refusal(file(tmp_path, bytes(data)))


def test_a_jpeg_whose_end_was_never_downloaded_is_refused(tmp_path: Path) -> None:
    data = saved(Image.fromarray(samples(size=(200, 200))), "JPEG")
    assert "cut off" in refusal(file(tmp_path, data[: len(data) // 2] + bytes(len(data) // 2)))
    assert decode(file(tmp_path, data + bytes(1000))).rgb.shape == (
        200,
        200,
        3,
    )  # padding behind the end is none


def test_floating_point_samples_are_refused(tmp_path: Path) -> None:
    data = saved(Image.fromarray(samples(1).astype(np.float32)), "TIFF")
    assert "floating-point" in refusal(file(tmp_path, data, "float.tif"))


# --- samples ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_samples_come_out_bit_for_bit(kind: str, tmp_path: Path) -> None:
    color, gray = samples(), samples(1)
    page = decode(file(tmp_path, saved(Image.fromarray(color), kind)))
    assert np.array_equal(page.rgb, color)
    assert (page.gray, page.bit_depth, page.icc, page.native) == (False, 8, None, None)
    page = decode(file(tmp_path, saved(Image.fromarray(gray), kind)))
    assert all(np.array_equal(page.rgb[:, :, channel], gray) for channel in range(3))
    assert (page.gray, page.bit_depth, page.icc) == (True, 8, srgb_profile())
    page = decode(file(tmp_path, saved(Image.fromarray(gray).convert("1"), kind)))
    assert np.array_equal(page.rgb[:, :, 0] == 255, np.array(Image.fromarray(gray).convert("1")))
    assert set(np.unique(page.rgb)) == {0, 255}
    assert (page.gray, page.source_mode) == (True, "1")
    assert page.bit_depth == 1


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = file(tmp_path, saved(Image.fromarray(samples()), "TIFF"), "page.jpg")
    assert probe(path).format == "TIFF"
    assert np.array_equal(decode(path).rgb, samples())


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_survive(kind: Any, channels: int, tmp_path: Path) -> None:
    pixels = samples(channels, np.uint16)
    if kind == "png":
        path = file(tmp_path, png16(pixels))
    else:
        with (tmp_path / "page.tif").open("wb") as target:
            encode(pixels, target, "tif")
        path = tmp_path / "page.tif"
    page = decode(path)
    assert page.native is not None
    assert page.native.dtype == np.uint16
    assert np.array_equal(page.native, pixels)
    assert page.bit_depth == 16
    exact = pixels if channels == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    assert np.array_equal(page.rgb, np.round(exact / 257))


def test_transparent_becomes_paper(tmp_path: Path) -> None:
    rgba = samples(4)
    alpha = rgba[:, :, 3:] / 255
    white = np.round(rgba[:, :, :3] * alpha + 255 * (1 - alpha))
    page = decode(file(tmp_path, saved(Image.fromarray(rgba), "PNG")))
    assert np.abs(page.rgb - white).max() <= 1
    for kind in ("WEBP", "TIFF"):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        same = decode(file(tmp_path, saved(Image.fromarray(rgba), kind, **options)))
        assert np.array_equal(same.rgb, page.rgb)
    la = Image.merge("LA", Image.fromarray(rgba).split()[2:])
    page = decode(file(tmp_path, saved(la, "PNG")))
    assert page.gray
    assert np.abs(page.rgb[:, :, 0] - white[:, :, 2]).max() <= 1
    sixteen = samples(4, np.uint16)
    alpha = sixteen[:, :, 3:] / 65535
    page = decode(file(tmp_path, png16(sixteen)))
    assert page.native is not None
    assert np.abs(page.native - (sixteen[:, :, :3] * alpha + 65535 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_color_named_as_transparent_becomes_paper(mode: str, tmp_path: Path) -> None:
    pixels = np.zeros((*SIZE[::-1], 3), np.uint8)
    pixels[3:9, 5:20] = 204
    im = Image.fromarray(pixels).convert(mode)
    named = {"L": 0, "1": 0, "RGB": (0, 0, 0), "P": im.getpixel((0, 0))}[mode]
    page = decode(file(tmp_path, saved(im, "PNG", transparency=named)))
    # Bilevel, all that is left of the box is white dots.
    assert (page.rgb[0, 0] == (0 if mode == "1" else 255)).all()
    assert page.gray == (mode != "RGB")
    if mode != "1":
        assert (page.rgb[4, 6] == 204).all()
        assert page.warnings == ()


def test_palettes(tmp_path: Path) -> None:
    im = Image.fromarray(samples() // 64 * 64).quantize(64)
    page = decode(file(tmp_path, saved(im, "PNG")))
    assert np.array_equal(page.rgb, np.asarray(im.convert("RGB")))
    assert not page.gray
    gray = Image.fromarray(samples(1) // 64 * 64).convert("P")
    assert decode(file(tmp_path, saved(gray, "GIF"))).gray
    partly = im.copy()
    partly.info["transparency"] = bytes([0, 128] + [255] * 62)
    page = decode(file(tmp_path, saved(partly, "PNG")))
    layered = partly.convert("RGBA")
    paper = Image.new("RGBA", SIZE, "white")
    expected = np.asarray(Image.alpha_composite(paper, layered).convert("RGB")).astype(int)
    assert np.abs(page.rgb - expected).max() <= 1
    assert (page.rgb[np.asarray(im) == 0] == 255).all()


def test_first_frame_only(tmp_path: Path) -> None:
    first, second = Image.new("RGB", SIZE, "red"), Image.new("RGB", (9, 9), "blue")
    for kind in ("TIFF", "GIF"):
        page = decode(file(tmp_path, saved(first, kind, save_all=True, append_images=[second])))
        assert page.rgb.shape == (*SIZE[::-1], 3)
        assert (page.rgb == (255, 0, 0)).all()


def test_heic_is_read_or_says_what_to_install(tmp_path: Path) -> None:
    path = file(tmp_path, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "photo.heic")
    assert any(words in refusal(path) for words in ("damaged", "cut off"))


# --- files without their end --------------------------------------------------------------------------------


def drawn(size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Some lines and colours, which a JPEG needs a number of blocks for."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 2, y * 2, (x // 9 + y // 7) % 2 * 200], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restarts", [0, 2])
def test_a_jpeg_without_its_end_is_read_and_told_and_one_without_pixels_is_refused(
    mode: str, progressive: bool, restarts: int, tmp_path: Path
) -> None:
    options = {"progressive": progressive, "restart_marker_blocks": restarts, "quality": 80}
    data = saved(drawn().convert(mode), "JPEG", **options)
    true = decode(file(tmp_path, data, "whole.jpg"))
    assert true.warnings == ()
    for cut in (1, 2):
        page = decode(file(tmp_path, data[:-cut], "page.jpg"))
        assert np.array_equal(page.rgb, true.rgb)
        assert ["end of the file is missing" in str(warning) for warning in page.warnings] == [True]
    refused = 0
    for cut in {*range(6, 40, 3), len(data) // 3, len(data) // 2}:
        try:
            found = decode(file(tmp_path, data[:-cut], "page.jpg")).rgb
        except ImageProcessingError as error:
            assert "cut off" in str(error)  # noqa: PT017 - or it is whole
            refused += 1
        else:  # the last scan of a progressive file may change no pixel at all
            assert np.array_equal(found, true.rgb)
    assert refused > (1 if progressive else 13)


def test_a_progressive_jpeg_without_its_last_scans_is_refused(tmp_path: Path) -> None:
    data = saved(drawn(), "JPEG", progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    tables = [data.rfind(b"\xff\xc4", 0, scan) for scan in scans]  # a scan begins with its Huffman table
    assert len(scans) > 5
    for end in {min(pair) for pair in zip(scans[1:], tables[1:], strict=True)}:
        assert "cut off" in refusal(file(tmp_path, data[:end], "page.jpg"))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_without_its_last_chunk_is_read_and_told(depth: int, tmp_path: Path) -> None:
    pixels = samples(3, np.uint8 if depth == 8 else np.uint16, (60, 50))
    data = png16(pixels) if depth == 16 else saved(Image.fromarray(pixels), "PNG")
    for cut in (12, 8, 3, 1):
        page = decode(file(tmp_path, data[:-cut]))
        assert np.array_equal(page.rgb if page.native is None else page.native, pixels)
        assert ["end of the file is missing" in str(warning) for warning in page.warnings] == [True]
    for cut in (13, 20, len(data) // 2):
        assert "cut off" in refusal(file(tmp_path, data[:-cut]))


def test_a_png_without_some_of_its_chunks_of_pixels_is_refused(tmp_path: Path) -> None:
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in samples(1)))
    head = b"\x89PNG\r\n\x1a\n" + corpus.chunk(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 8, 0, 0, 0, 0))
    parts = [corpus.chunk(b"IDAT", rows[at : at + 100]) for at in range(0, len(rows), 100)]
    whole = decode(file(tmp_path, head + b"".join(parts)))
    assert np.array_equal(whole.rgb[..., 0], samples(1))
    assert len(whole.warnings) == 1
    for count in range(1, len(parts)):
        assert "cut off" in refusal(file(tmp_path, head + b"".join(parts[:count])))


# --- white drawings on nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "sixteen"])
def test_white_lines_on_a_transparent_ground_are_laid_on_black_and_told(kind: str, tmp_path: Path) -> None:
    pixels = np.full((60, 80, 4), (255, 255, 255, 0), np.uint8)
    pixels[10:50:8, 5:70, 3] = 255
    pixels[11:50:8, 5:70, 3] = 128
    if kind == "sixteen":
        data = png16(pixels.astype(np.uint16) * 257)
    elif kind == "P":
        data = saved(Image.fromarray((pixels[..., 3] > 200).astype(np.uint8) * 255).convert("P"), "PNG")
        data = saved(Image.open(io.BytesIO(data)), "PNG", transparency=0)
    else:
        data = saved(Image.fromarray(pixels).convert(kind), "PNG")
    page = decode(file(tmp_path, data))
    assert (page.rgb[10, 20] == 255).all()
    assert (page.rgb[0, 0] == 0).all()
    assert ["was laid on black" in str(warning) for warning in page.warnings] == [True]


@pytest.mark.parametrize("drawing", ["black", "gray", "balloon", "paper", "nothing"])
def test_other_transparent_pages_are_laid_on_white(drawing: str, tmp_path: Path) -> None:
    pixels = np.full((60, 80, 4), (255, 255, 255, 0), np.uint8)
    if drawing in {"black", "gray"}:
        pixels[10:50:8, 5:70] = (0, 0, 0, 255) if drawing == "black" else (215, 215, 215, 255)
    elif drawing == "balloon":  # white, with a little lettering in it
        pixels[10:50, 5:40, 3] = 255
        pixels[20:24, 10:30, :3] = 0
    elif drawing == "paper":  # an empty page with round corners
        pixels[2:58, 2:78, 3] = 255
    page = decode(file(tmp_path, saved(Image.fromarray(pixels), "PNG")))
    assert (page.rgb[0, 0] == 255).all()
    assert page.warnings == ()


# --- orientation and resolution --------------------------------------------------------------------------


def oriented(value: int) -> bytes:
    exif = Image.Exif()
    exif[274] = value
    return exif.tobytes()


def as_stored(shown: np.ndarray, value: int) -> np.ndarray:
    """The shown picture as a camera held that way stores it (EXIF 2.32, tag 274)."""
    across = (0, 1, 2)[: shown.ndim]
    turned = shown.transpose(1, 0, *across[2:])
    return np.ascontiguousarray({
        1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1], 5: turned, 6: np.rot90(shown, 1),
        7: turned[::-1, ::-1], 8: np.rot90(shown, -1),
    }[value])  # fmt: skip


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(value: int, kind: str, tmp_path: Path) -> None:
    shown = samples()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"dpi": (300, 150)}
    im = Image.fromarray(as_stored(shown, value))
    path = file(tmp_path, saved(im, kind, exif=oriented(value), **options))
    info = probe(path)
    assert (info.width, info.height, info.orientation) == (*SIZE, value)
    page = decode(path)
    assert np.array_equal(page.rgb, shown)
    assert page.dpi == info.dpi
    if kind != "WEBP":
        assert page.dpi == pytest.approx((300, 150) if value < 5 else (150, 300), abs=0.1)
    small = decode(path, max_side=10)
    assert small.rgb.shape == (7, 10, 3)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_is_turned_however_it_is_stored(value: int, dtype: Any, channels: int, tmp_path: Path) -> None:
    shown = samples(channels, dtype)
    for order in "<>":
        for layout in ({}, {"rows": 5}, {"tile": 16}):
            for packed in (False, True):
                data = corpus.tiff_of(as_stored(shown, value), value, packed=packed, order=order, **layout)
                path = file(tmp_path, data, "page.tif")
                info = probe(path)
                assert (info.width, info.height, info.orientation) == (*SIZE, value)
                page = decode(path)
                found = page.rgb if page.native is None else page.native
                case = (order, layout, packed)
                assert (page.bit_depth, page.native is None) == (dtype().itemsize * 8, dtype is np.uint8), (
                    case
                )
                assert np.array_equal(found[..., 0] if found.ndim > shown.ndim else found, shown), case
                assert page.rgb.shape == (*SIZE[::-1], 3)
                assert decode(path, max_side=10).rgb.shape == (7, 10, 3)


@pytest.mark.parametrize("value", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits", "group4"])
def test_a_tiff_of_another_program_is_turned(
    value: int, mode: str, compression: str | None, tmp_path: Path
) -> None:
    if compression == "group4" and mode != "1":
        mode = "1"
    shown = Image.fromarray(samples()).convert("L").convert(mode)
    stored = shown.transpose({
        1: Image.Transpose.ROTATE_180, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[value])  # fmt: skip
    if value == 1:
        stored = shown
    exif = Image.Exif()
    exif[274] = value
    options = {"compression": compression} if compression else {}
    page = decode(file(tmp_path, saved(stored, "TIFF", exif=exif, **options), "page.tif"))
    plain = decode(file(tmp_path, saved(shown, "TIFF"), "plain.tif"))
    assert np.array_equal(page.rgb, plain.rgb)


def test_sixteen_bit_pages_are_turned_too(tmp_path: Path) -> None:
    pixels = samples(3, np.uint16)
    header = png16(np.ascontiguousarray(np.rot90(pixels, 1)))
    exif = corpus.chunk(b"eXIf", oriented(6).removeprefix(b"Exif\0\0"))
    page = decode(file(tmp_path, header[:33] + exif + header[33:]))
    assert page.native is not None
    assert np.array_equal(page.native, pixels)


def test_absurd_resolutions_are_none(tmp_path: Path) -> None:
    for dpi in ((0, 0), (1, 1), (1_000_000, 1_000_000)):
        assert probe(file(tmp_path, saved(Image.fromarray(samples()), "PNG", dpi=dpi))).dpi is None


def test_the_shared_formats(tmp_path: Path) -> None:
    def page(name: str) -> Any:
        return decode(require_shared("data", "comics", "formats", name))

    line = page("bilevel_g4_600dpi.tif")
    assert (line.bit_depth, line.dpi, line.rgb.shape) == (1, (600, 600), (1414, 1000, 3))
    sixteen = page("gray16.png")
    assert sixteen.native.shape == (1414, 1000)
    turned = page("exif_rotated.jpg")
    assert (turned.rgb.shape, turned.dpi) == ((1414, 1000, 3), (300, 300))
    for name in ("line_LA.png", "line_on_transparent.png"):
        assert np.array_equal(page(name).rgb, sixteen.rgb)
    tagged = page("srgb_icc_350dpi.png")
    assert tagged.dpi == pytest.approx((350, 350), abs=0.1)
    with Image.open(require_shared("data", "comics", "formats", "srgb_icc_350dpi.png")) as im:
        assert tagged.icc == im.info["icc_profile"]
    printed = page("cmyk_300dpi.tif")
    assert (printed.dpi, printed.icc) == ((300, 300), srgb_profile())
    assert np.abs(printed.rgb.astype(int) - tagged.rgb).mean() < 8


# --- colour ----------------------------------------------------------------------------------------------


def gray_profile(gamma: float) -> bytes:
    """A monochrome ICC profile (ICC.1:2010, version 2) with one gamma, D50 white."""
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    white = b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    text = b"desc\0\0\0\0" + (2).to_bytes(4, "big") + b"g\0" + bytes(78)
    parts = [(b"desc", text + bytes(-len(text) % 4)), (b"wtpt", white), (b"kTRC", curve)]
    at, table, body = 128 + 4 + 12 * len(parts), len(parts).to_bytes(4, "big"), b""
    for name, part in parts:
        table += name + (at + len(body)).to_bytes(4, "big") + len(part).to_bytes(4, "big")
        body += part
    size = (at + len(body)).to_bytes(4, "big")
    head = size + bytes(4) + b"\x02\x10\0\0mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    return head.ljust(128, b"\0") + table + body


def test_gray_with_a_profile_is_converted(tmp_path: Path) -> None:
    gray = samples(1)
    page = decode(file(tmp_path, saved(Image.fromarray(gray), "TIFF", icc_profile=gray_profile(1.0))))
    linear = gray / 255
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(page.rgb[:, :, 0] - expected).max() <= 1
    assert page.icc == srgb_profile()
    assert page.gray


def test_gray_without_a_profile_or_with_a_broken_one_is_left_alone(tmp_path: Path) -> None:
    gray = samples(1)
    broken = gray_profile(1.0)[:140]
    page = decode(file(tmp_path, saved(Image.fromarray(gray), "TIFF", icc_profile=broken)))
    assert np.array_equal(page.rgb[:, :, 0], gray)
    assert ["its gray profile is damaged" in str(warning) for warning in page.warnings] == [True]
    assert decode(file(tmp_path, saved(Image.fromarray(gray), "TIFF"))).warnings == ()


def test_a_broken_profile_counts_as_srgb_and_is_told(tmp_path: Path) -> None:
    broken = bytearray(srgb_profile())
    broken[200:500] = bytes(300)
    for kind in ("PNG", "TIFF", "JPEG", "WEBP"):
        path = file(tmp_path, saved(Image.fromarray(samples()), kind, icc_profile=bytes(broken)))
        page = decode(path)
        assert page.icc is None
        assert [str(warning) for warning in page.warnings] == [
            str(warning) for warning in probe(path).warnings
        ]
        assert "its colour profile is damaged and was taken for sRGB" in str(page.warnings[0])
    path = file(tmp_path, saved(Image.fromarray(samples()), "PNG", icc_profile=srgb_profile()))
    assert (decode(path).warnings, probe(path).warnings) == ((), ())


def test_an_rgb_profile_is_kept_and_another_kind_is_not(tmp_path: Path) -> None:
    own = bytearray(srgb_profile())
    own[80:84] = b"mine"  # the creator: another profile, of the same colours
    page = decode(file(tmp_path, saved(Image.fromarray(samples()), "PNG", icc_profile=bytes(own))))
    assert page.icc == bytes(own)
    assert np.array_equal(page.rgb, samples())
    page = decode(file(tmp_path, saved(Image.fromarray(samples()), "PNG", icc_profile=gray_profile(2.2))))
    assert page.icc is None


def test_cmyk(tmp_path: Path) -> None:
    ink = Image.new("CMYK", SIZE, (0, 0, 0, 255))
    ink.paste((0, 255, 255, 0), (0, 0, 5, 5))
    for kind in ("TIFF", "JPEG"):
        page = decode(file(tmp_path, saved(ink, kind)))
        assert page.rgb[20, 20].max() < 5
        assert page.rgb[1, 1, 0] > 250
        assert page.rgb[1, 1, 1:].max() < 5
        assert (page.source_mode, page.icc) == ("CMYK", srgb_profile())


def test_lab(tmp_path: Path) -> None:
    rgb = Image.new("RGB", SIZE, (200, 60, 30))
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        "RGB",
        "LAB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    lab = to_lab.apply(rgb)
    page = decode(file(tmp_path, saved(lab, "TIFF"), "lab.tif"))
    assert np.abs(page.rgb.astype(int) - (200, 60, 30)).max() <= 3


# --- small pictures, written files -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_small_picture_is_the_large_one_shrunk(kind: str, tmp_path: Path) -> None:
    width, height = 401, 800
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256 // 200 * 255], axis=2).astype(
        np.uint8
    )
    path = file(tmp_path, saved(Image.fromarray(pixels), kind))
    small = decode(path, max_side=100)
    assert small.rgb.shape == (100, 50, 3)
    expected = np.asarray(Image.fromarray(pixels).resize((50, 100), Image.Resampling.BOX)).astype(int)
    assert np.abs(small.rgb - expected)[:, :, :2].mean() < 2
    assert decode(path, max_side=800).rgb.shape == (height, width, 3)
    wide = decode(file(tmp_path, saved(Image.new("L", (4000, 1)), "PNG")), max_side=100)
    assert wide.rgb.shape == (1, 100, 3)
    sixteen = decode(file(tmp_path, png16(samples(1, np.uint16))), max_side=20)
    assert (sixteen.rgb.shape, sixteen.native) == ((14, 20, 3), None)


@pytest.mark.parametrize("kind", ["png", "webp", "tif", "jpg"])
@pytest.mark.parametrize("shape", ["colour", "gray"])
def test_size_resolution_profile_and_pixels_survive(kind: Any, shape: str, tmp_path: Path) -> None:
    pixels = samples() if shape == "colour" else samples(1)
    icc = srgb_profile() if shape == "colour" else None
    path = tmp_path / f"out.{kind}"
    for _ in range(2):
        before = path.read_bytes() if path.exists() else None
        with path.open("wb") as target:
            encode(pixels, target, kind, dpi=(600, 300), icc=icc)
    assert path.read_bytes() == before
    info = probe(path)
    assert (info.width, info.height) == SIZE
    assert info.dpi == pytest.approx((600, 300), abs=0.1)
    page = decode(path)
    expected = pixels if shape == "colour" else np.repeat(pixels[:, :, None], 3, axis=2)
    if kind == "jpg":
        with Image.open(path) as im:
            assert [layer[1:3] for layer in im.layer] == [(1, 1)] * len(im.layer)  # 4:4:4
    else:
        assert np.array_equal(page.rgb, expected)
    if shape == "colour":
        assert page.icc == icc


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_files_are_read_by_others(channels: int, tmp_path: Path) -> None:
    import cv2

    pixels = samples(channels, np.uint16, (300, 2000))
    icc = None if channels == 1 else srgb_profile()
    for kind in ("png", "tif"):
        buffer = io.BytesIO()
        encode(pixels, buffer, kind, dpi=(350, 350), icc=icc)
        read = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(read if channels == 1 else read[:, :, ::-1], pixels)
        with Image.open(buffer) as im:
            im.load()
            assert im.size == (300, 2000)
            assert im.info["dpi"] == pytest.approx((350, 350), abs=0.1)
            assert im.info.get("icc_profile") == icc


def test_formats_without_room_fall_back_to_png() -> None:
    assert output_format("webp", 16_383, 100) == "webp"
    assert output_format("webp", 800, 16_384) == "png"
    assert output_format("jpg", 65_501, 10) == "png"
    assert output_format("jpg", 20_000, 10) == "jpg"
    assert output_format("tif", 100_000, 10) == "tif"
    assert output_format("png", 100_000, 10) == "png"


def test_thumbnails_are_small(tmp_path: Path) -> None:
    noise = samples(3, size=(1500, 2100))
    data = thumbnail(noise)
    assert len(data) <= 100_000
    with Image.open(io.BytesIO(data)) as im:
        assert im.format == "WEBP"
        assert max(im.size) <= 640
    data = thumbnail(file(tmp_path, saved(Image.new("RGB", (1000, 2000), "red"), "PNG")))
    with Image.open(io.BytesIO(data)) as im:
        assert im.size == (320, 640)
        assert np.abs(np.asarray(im.convert("RGB")).astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize("limit", [1_000, 3_000, 9_000, 20_000, 100_000])
def test_a_thumbnail_has_the_best_quality_that_fits(limit: int) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (30, 40, 3), np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC))
    data = thumbnail(picture, 400, limit)
    assert len(data) <= limit
    with Image.open(io.BytesIO(data)) as small:
        side = max(small.size)
    # What was passed over is too large: the next better one, or the next larger picture.
    better = thumbnail(picture, 400, 1 << 30)
    assert data == better or len(better) > limit
    for more in (1.2, 1.5, 2, 4):
        assert len(thumbnail(picture, 400, round(limit * more))) >= len(data)
    assert side == 400 or limit <= 3_000


def test_the_profile_is_the_same_every_day() -> None:
    assert srgb_profile() == srgb_profile()
    assert srgb_profile()[24:36] == bytes.fromhex("07d000010001000000000000")
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())))


def test_large_pages_load_although_pillow_would_refuse_and_its_limit_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # stands for a page between Pillow's limit and ours
    path = file(tmp_path, corpus.whole()["raw.tif"], "large.tif")
    found: list[tuple[int, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(decode(path).rgb.shape)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(*SIZE[::-1], 3)] * 4
    assert Image.MAX_IMAGE_PIXELS == 100
