"""A TIFF of several pages: each page comes out as its own file, pixel for pixel."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_processing.exceptions import ImageProcessingError
from batch_processing.io.images import decode, probe
from batch_processing.io.tiff_pages import TiffPages


def page(mode: str, seed: int, size: tuple[int, int] = (70, 50)) -> Image.Image:
    random = np.random.default_rng(seed)
    samples = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(samples).convert(mode)


def chapter(path: Path, mode: str = "RGB", pages: int = 3, **options: Any) -> list[Image.Image]:
    made = [page(mode, seed, (70 + seed, 50)) for seed in range(pages)]
    made[0].save(path, "TIFF", save_all=True, append_images=made[1:], **options)
    return made


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("L", {"compression": "tiff_lzw"}),
        ("1", {"compression": "group4"}),
        ("RGB", {"compression": "tiff_adobe_deflate", "big_tiff": True}),
        ("RGB", {"compression": "jpeg"}),
        ("P", {"compression": "packbits"}),
        ("CMYK", {"compression": "raw"}),
    ],
)
def test_each_page_is_what_it_was(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    chapter(tmp_path / "chapter.tif", mode, dpi=(300, 300), **options)
    found = TiffPages.of(tmp_path / "chapter.tif")
    assert (len(found.offsets), found.whole) == (3, True)
    with Image.open(tmp_path / "chapter.tif") as file:
        for number, path in enumerate(found.write(tmp_path / "pages")):
            file.seek(number)
            with Image.open(path) as alone:
                assert getattr(alone, "n_frames", 1) == 1
                assert (alone.mode, alone.size) == (file.mode, file.size)
                assert np.array_equal(np.asarray(alone), np.asarray(file))
            assert probe(path).dpi == pytest.approx((300, 300))
            assert decode(path).rgb.shape == (50, 70 + number, 3)
    again = [path.read_bytes() for path in found.write(tmp_path / "again")]
    assert again == [path.read_bytes() for path in sorted((tmp_path / "pages").iterdir())]


def test_a_file_of_one_page_and_what_is_no_tiff(tmp_path: Path) -> None:
    page("RGB", 1).save(tmp_path / "one.tif")
    assert len(TiffPages.of(tmp_path / "one.tif").offsets) == 1
    (tmp_path / "no.tif").write_bytes(b"<html>")
    assert TiffPages.of(tmp_path / "no.tif").offsets == ()


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    chapter(tmp_path / "chapter.tif", pages=2)
    data = bytearray((tmp_path / "chapter.tif").read_bytes())
    second = TiffPages.of(tmp_path / "chapter.tif").offsets[1]
    (count,) = struct.unpack_from("<H", data, second)
    tags = [second + 2 + 12 * number for number in range(count)]
    at = min(tags)  # its first tag becomes NewSubfileType: a reduced copy of the page before
    struct.pack_into("<HHII", data, at, 254, 4, 1, 1)
    (tmp_path / "chapter.tif").write_bytes(data)
    assert len(TiffPages.of(tmp_path / "chapter.tif").offsets) == 1


def test_a_chain_that_leads_out_of_the_file_is_told(tmp_path: Path) -> None:
    chapter(tmp_path / "chapter.tif")
    data = bytearray((tmp_path / "chapter.tif").read_bytes())
    second = TiffPages.of(tmp_path / "chapter.tif").offsets[1]
    (count,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, second + 2 + 12 * count, len(data) + 1000)
    (tmp_path / "chapter.tif").write_bytes(data)
    found = TiffPages.of(tmp_path / "chapter.tif")
    assert (len(found.offsets), found.whole) == (2, False)


def test_a_chain_in_a_circle_ends(tmp_path: Path) -> None:
    chapter(tmp_path / "chapter.tif")
    data = bytearray((tmp_path / "chapter.tif").read_bytes())
    first, second, _ = TiffPages.of(tmp_path / "chapter.tif").offsets
    (count,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, second + 2 + 12 * count, first)
    (tmp_path / "chapter.tif").write_bytes(data)
    assert len(TiffPages.of(tmp_path / "chapter.tif").offsets) == 2


def many_pages_of_the_same_bytes(path: Path, pages: int, strip: int) -> None:
    """A TIFF of `pages` directories that all point at one strip of `strip` bytes."""
    tags = [(256, 3, 1, 100), (257, 3, 1, 100), (273, 4, 1, 8), (279, 4, 1, strip)]
    size = 2 + 12 * len(tags) + 4
    start = 8 + strip
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", start) + bytes(strip))
        for number in range(pages):
            following = start + size * (number + 1) if number < pages - 1 else 0
            file.write(struct.pack("<H", len(tags)))
            file.write(b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", following))


def test_pages_that_claim_the_same_bytes_do_not_fill_the_disk(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tif"
    many_pages_of_the_same_bytes(bomb, 5_000, 4 << 20)
    with pytest.raises(ValueError, match="claim more bytes"):
        list(TiffPages.of(bomb).write(tmp_path / "pages"))
    assert not (tmp_path / "pages").exists()


def test_damaged_files_cost_neither_time_nor_disk(tmp_path: Path) -> None:
    chapter(tmp_path / "chapter.tif", compression="tiff_lzw")
    whole = (tmp_path / "chapter.tif").read_bytes()
    chance = random.Random(1)
    began = time.monotonic()
    for number in range(300):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 20)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if number % 3 == 0:
            del data[chance.randrange(len(data)) :]
        damaged = tmp_path / "damaged.tif"
        damaged.write_bytes(data)
        try:
            for path in TiffPages.of(damaged).write(tmp_path / "pages"):
                decode(path)
        except (ValueError, ImageProcessingError):
            continue
    assert time.monotonic() - began < 30
    assert sum(path.stat().st_size for path in (tmp_path / "pages").iterdir()) < 10 * len(whole)
