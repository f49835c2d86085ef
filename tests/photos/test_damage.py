"""Files that end before their photo does are told from those that end as they should."""

from __future__ import annotations

import json
import os
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from batch_processing.photos.damage import Damage
from batch_processing.photos.facts import headers_of
from batch_processing.photos.header_facts import HeaderError, HeaderFacts
from batch_processing.photos.headers import EXTENSIONS
from header_files import box, cr3, exif_block, jpeg, movie, noise, psb, put, raf, raw_tiff, saved
from photos_help import Library
from shared_data import lacking, require_shared

BIG = (400, 300)
# Test files of Pillow and pi-heif that are cut off, though their decoders make the best of them.
CUT_ON_PURPOSE = ("truncated.heic", "truncated_end_chunk.png", "broken_data_stream.png")


def heif() -> bytes:
    """The boxes of a HEIC, without what is in them."""
    return (
        box(b"ftyp", b"heic", bytes(4), b"mif1heic")
        + box(b"meta", bytes(200))
        + box(b"mdat", bytes(range(1, 251)) * 20)
    )


def judged(*paths: Path) -> dict[str, str | None]:
    """What is wrong with files, by name; `no facts` for one whose header gave an error."""
    found = dict(headers_of([os.fsencode(path) for path in paths], 1))
    told = {path.name: found[os.fsencode(path)] for path in paths}
    return {
        name: each.damaged if isinstance(each, HeaderFacts) else "no facts" for name, each in told.items()
    }


def seft(trailer: bytes) -> bytes:
    """What Samsung puts behind a JPEG: blocks, a table that points back to them, and a mark."""
    block = b"\0\0\x01\x0a" + struct.pack("<I", 14) + b"Image_UTC_Data" + trailer
    table = (
        b"SEFH"
        + struct.pack("<III4xI", 107, 1, 0x0A010000, len(block))[:12]
        + struct.pack("<II", len(block), len(block))
    )
    return block + table + struct.pack("<I", len(table)) + b"SEFT"


def motion() -> bytes:
    """A photo of Google's camera, with its video behind it."""
    video = movie(brand=b"mp42")
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        f' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MicroVideoOffset="{len(video)}"/></rdf:RDF></x:xmpmeta>'
    )
    return jpeg(exif_block(), size=BIG, xmp=packet.encode()) + video


def mpo() -> bytes:
    return saved("MPO", BIG, save_all=True, append_images=[noise(BIG)])


def animation() -> bytes:
    return saved("GIF", save_all=True, append_images=[noise((120, 80))])


GOOD: dict[str, Callable[[], bytes]] = {
    "plain.jpg": lambda: jpeg(exif_block(), size=BIG),
    "progressive.jpg": lambda: jpeg(size=BIG, progressive=True),
    "padded.jpg": lambda: jpeg(size=BIG) + bytes(100),
    "much-padded.jpg": lambda: jpeg(size=BIG) + bytes(300_000),
    "samsung.jpg": lambda: jpeg(size=BIG) + seft(b"1562243696123"),
    "samsung-motion.jpg": lambda: jpeg(size=BIG) + seft(b"x" * 200_000),
    "motion.jpg": motion,
    "strange.jpg": lambda: jpeg(size=BIG) + b"something else" * 20_000,
    "thumbnail.jpg": lambda: jpeg(exif_block(more={0x927C: jpeg(size=(16, 16))}), size=BIG),
    "two.mpo": mpo,
    "plain.png": lambda: saved("PNG"),
    "more.png": lambda: saved("PNG") + b"more" * 1000,
    "plain.gif": lambda: saved("GIF"),
    "animation.gif": animation,
    "more.gif": lambda: saved("GIF") + b"more" * 100,
    "plain.webp": lambda: saved("WEBP"),
    "lossless.webp": lambda: saved("WEBP", lossless=True),
    "plain.bmp": lambda: saved("BMP"),
    "plain.tif": lambda: saved("TIFF"),
    "packed.tif": lambda: saved("TIFF", BIG, compression="tiff_lzw"),
    "black.tif": lambda: _black("TIFF"),
    "black.bmp": lambda: _black("BMP"),
    "plain.jp2": lambda: saved("JPEG2000"),
    "raw.nef": raw_tiff,
    "raw.raf": raf,
    "raw.cr3": cr3,
    "large.psb": lambda: psb(30, 20),
    "movie.mov": movie,
}  # fmt: skip


def _black(name: str) -> bytes:
    import io

    file = io.BytesIO()
    Image.new("RGB", (300, 200)).save(file, name)
    return file.getvalue()


def test_no_whole_file_is_called_damaged(tmp_path: Path) -> None:
    paths = [put(tmp_path / name, make()) for name, make in GOOD.items()]
    assert judged(*paths) == dict.fromkeys(GOOD)


def test_files_that_are_cut_off_are_told_wherever_they_are_cut(tmp_path: Path) -> None:
    whole = {name: make() for name, make in GOOD.items() if "-" not in name and "more" not in name}
    for name in ("padded.jpg", "strange.jpg", "motion.jpg", "samsung.jpg", "thumbnail.jpg"):
        del whole[name]  # without what is behind the photo, it is whole
    dice = random.Random(9)
    paths = []
    for name, content in whole.items():
        for part in range(1, 10):
            end = len(content) * part // 10 + dice.randrange(8)
            paths.append(put(tmp_path / f"{part}-{name}", content[: max(32, end)]))
    undetected = [name for name, damage in judged(*paths).items() if damage != Damage.CUT]
    # A movie whose index is at its end, a large picture: whatever is cut, something is missing.
    assert undetected == []


def test_a_photo_that_is_cut_off_keeps_its_facts(tmp_path: Path) -> None:
    whole = jpeg(exif_block(), size=BIG)
    path = put(tmp_path / "tree" / "a.jpg", whole[: len(whole) * 2 // 3])
    stub = put(tmp_path / "tree" / "b.png", saved("PNG")[:20])  # not even its size is there
    with Library(tmp_path / "photos.db") as library:
        assert library.scan(tmp_path / "tree", facts=True).facts_errors == 0
        found = library.photos.get_by_path(path)
        assert found is not None
        assert found.facts is not None
        assert (found.width, found.height, found.camera) == (*BIG, "Canon EOS 5D")
        assert (found.taken_at, found.facts.damaged) == ("2004-08-27T13:52:55", "cut off")
        rest = library.photos.get_by_path(stub)
        assert rest is not None
        assert rest.facts is not None
        assert (rest.format, rest.width, rest.facts.damaged) == ("PNG", None, "cut off")
        assert library.errors() == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jpg", jpeg(exif_block(), size=BIG)),
        ("a.png", saved("PNG")),
        ("a.webp", saved("WEBP", BIG, quality=90)),
        ("a.gif", saved("GIF", BIG)),
        ("a.mpo", mpo()),
        ("a.cr3", cr3()),
        ("a.tif", saved("TIFF", BIG, compression="tiff_lzw")),
    ],
)
def test_a_tail_of_zeros_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    kept = len(content) * 2 // 3
    path = put(tmp_path / name, content[:kept] + bytes(len(content) - kept))
    assert judged(path) == {name: "tail of zeros"}


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder that is not in memory, where a hole is filled by who maps it."""
    with tempfile.TemporaryDirectory(prefix="lote-", dir="/var/tmp") as folder:
        yield Path(folder)


def test_a_hole_in_a_photo_is_told_and_one_behind_it_is_not(on_disk: Path) -> None:
    content = jpeg(exif_block(), size=(1600, 1200))
    at = len(content) // 2 // 65536 * 65536
    holed, padded, flat = on_disk / "holed.jpg", on_disk / "padded.jpg", on_disk / "flat.bmp"
    with holed.open("wb") as file:
        file.write(content[:at])
        file.seek(at + 65536)
        file.write(content[at + 65536 :])
    with padded.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 1024 * 1024)
    with flat.open("wb") as file:  # black, and not compressed
        head = _black("BMP")[:54]
        file.write(head)
        file.truncate(len(_black("BMP")))
    with holed.open("rb") as file:
        if os.lseek(file.fileno(), 0, os.SEEK_HOLE) >= holed.stat().st_size:
            lacking(f"needs a file system with holes at {on_disk}")
    assert judged(holed, padded, flat) == {"holed.jpg": "holes", "padded.jpg": None, "flat.bmp": None}


def test_a_box_that_is_longer_than_its_file_is_told_without_the_library(tmp_path: Path) -> None:
    whole = heif()
    cut = put(tmp_path / "cut.heic", whole[:-100])
    stub = put(tmp_path / "stub.heic", whole[:40])
    assert judged(cut, stub) == {"cut.heic": "cut off", "stub.heic": "cut off"}


def test_a_picture_that_was_never_written_is_missed(tmp_path: Path) -> None:
    """Zeros from before the box of the pictures on; a TIFF whose second page lies beyond its end."""
    whole = heif()
    start = whole.index(b"mdat") - 4
    empty = put(tmp_path / "empty.heic", whole[:start] + bytes(len(whole) - start))
    pages = saved("TIFF", BIG, save_all=True, append_images=[noise(BIG)], compression="tiff_deflate")
    second = max(struct.unpack_from("<I", pages, 4)[0], len(pages) * 6 // 10)
    cut = put(tmp_path / "cut.tif", pages[:second])
    told = judged(empty, cut, put(tmp_path / "whole.tif", pages))
    assert told["empty.heic"] in ("tail of zeros", "cut off")
    assert (told["cut.tif"], told["whole.tif"]) == ("cut off", None)


def test_a_video_behind_a_photo_may_be_cut_off_without_harm_to_the_photo(tmp_path: Path) -> None:
    content = motion()
    assert judged(put(tmp_path / "a.jpg", content[:-3000])) == {"a.jpg": None}


def test_the_shared_photos_are_whole_and_their_parts_are_not(tmp_path: Path) -> None:
    known = json.loads(require_shared("data", "photos", "facts.json").read_text(encoding="utf-8"))
    source = require_shared("data", "photos")
    good = [
        fact
        for fact in known
        if fact["pil_decodes"]
        and fact["pil_format"] in EXTENSIONS
        and "/crash-" not in fact["path"]
        and not fact["path"].endswith(CUT_ON_PURPOSE)
    ]
    found = dict(headers_of([os.fsencode(source / fact["path"]) for fact in good], 2))
    wrong = {path: each for path, each in found.items() if isinstance(each, HeaderError) or each.damaged}
    assert (wrong, len(good) > 90) == ({}, True)

    dice, formats, paths = random.Random(3), {}, []
    for number, fact in enumerate(good):
        content = (source / fact["path"]).read_bytes()
        for part in range(3):
            name = f"{number}-{part}{Path(fact['path']).suffix}"
            paths.append(put(tmp_path / name, content[: dice.randrange(16, len(content) - 1)]))
            formats[name] = fact["pil_format"]
    told = judged(*paths)
    cut = Counter(formats[name] for name, damage in told.items() if damage in {*Damage})
    share = {name: cut[name] / count for name, count in Counter(formats.values()).items()}
    print(share)
    assert {name for name, part in share.items() if part < 0.95} <= {"MPO"}
    assert share["MPO"] > 0.8  # two of the test files have an index that is wrong
