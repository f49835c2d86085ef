"""Image files whose headers ask for more than any picture needs: refused at once, by name."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch_processing.exceptions import ImageProcessingError
from batch_processing.io.images import decode, probe

# What refusing may take (s). Each of these took a minute and more.
PATIENCE_S = 3.0


def jpeg(segments: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG")
    return b"\xff\xd8" + segments + buffer.getvalue()[2:]


def segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )
    return whole[:33] + made + whole[33:]


def directory(count: int, length: int) -> bytes:
    """EXIF of `count` tags that all claim the same `length` bytes."""
    entries = b"".join(struct.pack("<HHLL", 50_000 + n % 10_000, 7, length, 8) for n in range(count))
    return struct.pack("<2sHLH", b"II", 42, 8, count) + entries + b"\0\0\0\0" + bytes(length)


def tiff_with(count: int, length: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    (at,) = struct.unpack_from("<L", data, 4)
    (had,) = struct.unpack_from("<H", data, at)
    own = bytes(data[at + 2 : at + 2 + 12 * had])
    more = b"".join(struct.pack("<HHLL", 50_000 + n % 10_000, 7, length, 8) for n in range(count))
    struct.pack_into("<L", data, 4, len(data))
    return bytes(data) + struct.pack("<H", had + count) + own + more + b"\0\0\0\0" + bytes(length)


def gif_with(comments: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF")
    data = buffer.getvalue()
    head = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    return data[:head] + (b"!\xfe\xff" + bytes(255) + b"\0") * comments + data[head:]


EXIF = b"Exif\0\0"


def in_segments(exif: bytes) -> bytes:
    parts = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    return b"".join(segment(0xE1, EXIF + part) for part in parts)


ENDLESS = {
    "exif.jpg": jpeg(in_segments(directory(40_000, 3_000_000))),
    "segments.jpg": jpeg(segment(0xE5, b"") * 200_000),
    "padding.jpg": jpeg(b"\xff" * 10_000_000),
    "chunks.png": png(*[(b"tEXt", b"a\0b")] * 200_000),
    "empty.png": png(*[(b"IDAT", b"")] * 400_000),
    "text.png": png((b"zzZz", bytes(70_000_000))),
    "tags.tif": tiff_with(3_000, 4_000_000),
    "many.tif": tiff_with(20_000, 0),
    "comments.gif": gif_with(60_000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_headers_that_ask_for_too_much_are_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(ENDLESS[name])
    began = time.process_time()
    for look in (probe, decode):
        with pytest.raises(ImageProcessingError, match="image is damaged"):
            look(path)
    assert time.process_time() - began < PATIENCE_S


def test_thirty_megabytes_of_exif_in_a_png_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    data = png((b"eXIf", directory(65_535, 30_000_000)))
    path.write_bytes(data)
    began = time.process_time()
    assert decode(path).rgb.shape == (8, 8, 3)
    assert probe(path).orientation == 1
    assert time.process_time() - began < PATIENCE_S


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_cameras_write_is_read(kind: str, order: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274], exif[282], exif[283], exif[296], exif[271] = 6, 300.0, 300.0, 2, "maker " * 100
    exif.get_ifd(34665)[37_500] = bytes(40_000)  # a maker note
    exif.endian = order
    path = tmp_path / "photo"
    Image.new("RGB", (20, 10)).save(path, kind, exif=exif)
    info = probe(path)
    assert (info.width, info.height, info.orientation) == (10, 20, 6)
    if kind != "PNG":
        assert info.dpi == (300.0, 300.0)


def j2k(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 150), "white").save(buffer, "JPEG2000", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_jp2": True},
        {"tile_size": (64, 64)},
        {"quality_layers": [10, 5], "irreversible": True},
        {"precinct_size": (64, 64), "codeblock_size": (32, 32), "progression": "RPCL"},
    ],
)
def test_a_jpeg_2000_has_the_bytes_that_it_claims(options: dict[str, object], tmp_path: Path) -> None:
    path, data = tmp_path / "page.jp2", j2k(**options)
    path.write_bytes(data)
    assert (decode(path).rgb == 255).all()
    for cut in range(len(data) - 2):  # behind it stands the mark of the end
        path.write_bytes(data[:cut])
        with pytest.raises(ImageProcessingError):
            decode(path)


def test_a_jpeg_2000_with_empty_tiles_is_no_page(tmp_path: Path) -> None:
    data = j2k(no_jp2=True)
    at = data.index(b"\xff\x90")
    header = data[:at]
    path = tmp_path / "page.j2k"
    path.write_bytes(header + struct.pack(">HHHLBB", 0xFF90, 10, 0, 14, 0, 1) + b"\xff\x93\xff\xd9")
    assert path.stat().st_size < 160
    with pytest.raises(ImageProcessingError, match="less than they must"):
        decode(path)


def test_noise_in_a_jpeg_2000_comes_out_as_it_went_in(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    path = tmp_path / "page.jp2"
    Image.fromarray(pixels).save(path, "JPEG2000", tile_size=(50, 40))
    assert (decode(path).rgb == pixels).all()
