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
from batch_processing.messages import Message

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
    "profile.webp": b"RIFF\0\0\0\0WEBP" + struct.pack("<4sL", b"ICCP", 70_000_000) + bytes(70_000_000),
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


def big_tiff(*, first: int = 16, following: int = 0, below: int = 0) -> bytes:
    """A BigTIFF of 8 x 8 pixels: where its first directory is said to stand, the next one, and the one of its EXIF."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 400, 277: 1, 278: 8, 279: 64}
    tags |= {34_665: below} if below else {}
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)
    return (head + struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", following)).ljust(
        400, b"\0"
    ) + bytes(64)


FAR = [2**44, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.mark.parametrize("at", FAR)
@pytest.mark.parametrize("which", ["first", "following", "below"])
def test_a_directory_of_a_tiff_lies_in_the_file(which: str, at: int, tmp_path: Path) -> None:
    path = tmp_path / "page.tif"
    path.write_bytes(big_tiff())
    assert decode(path).rgb.shape == (8, 8, 3)
    path.write_bytes(big_tiff(**{which: at}))
    for look in (probe, decode):
        with pytest.raises(
            ImageProcessingError, match=r"damaged \(a directory of it lies outside of the file\)"
        ):
            look(path)


def test_the_first_page_of_a_tiff_that_was_cut_off_is_read(tmp_path: Path) -> None:
    path = tmp_path / "page.tif"
    path.write_bytes(big_tiff(following=10_000))
    assert decode(path).rgb.shape == (8, 8, 3)


def test_what_is_out_of_bounds_can_be_said_in_another_language(tmp_path: Path) -> None:
    for name, data in ENDLESS.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageProcessingError) as caught:
            probe(tmp_path / name)
        inner = caught.value.why.values["text"]
        assert isinstance(inner, Message), name
        assert not any(character.isdigit() for character in inner.template), "numbers are values"


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


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">L4s", 8 + len(body), kind) + body


def full(kind: bytes, *content: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">L", version << 24), *content)


def inside(data: bytes, *path: bytes) -> bytes:
    """The content of the box at `path` in an AVIF that Pillow wrote."""
    for kind in path:
        at = 0
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4], "big")
        data = data[at + 8 + (4 if kind == b"meta" else 0) : at + int.from_bytes(data[at : at + 4], "big")]
    return data


def avif(
    *items: tuple[bytes, int],
    properties: bytes = b"",
    boxes: bytes = b"",
    brand: bytes = b"avif",
    pieces: int = 1,
) -> bytes:
    """The beginning of an AVIF with a real picture and further items of a type and a length; each of these has that many
    bytes (or `pieces` times as many) behind the picture, where the caller may put them."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "AVIF")
    picture = inside(buffer.getvalue(), b"mdat")
    kinds = [b"av01", *(kind for kind, _ in items)]
    heads = [
        full(
            b"infe",
            struct.pack(">HH4sx", n, 0, kind),
            b"application/rdf+xml\0" if kind == b"mime" else b"",
            version=2,
        )
        for n, kind in enumerate(kinds, 1)
    ]
    # A list of places of version 1 with offsets and lengths of 4 bytes, and items of one piece.
    iprp = inside(buffer.getvalue(), b"meta", b"iprp")
    ipco, ipma = inside(iprp, b"ipco"), inside(iprp, b"ipma")

    def meta(start: int) -> bytes:
        places = [struct.pack(">HHHHLL", 1, 0, 0, 1, start, len(picture))]
        for n, (_, length) in enumerate(items, 2):
            places.append(struct.pack(">HHHH", n, 0, 0, pieces))
            places += [struct.pack(">LL", start + len(picture), length)] * pieces
        return full(
            b"meta",
            full(b"hdlr", struct.pack(">L4s12xx", 0, b"pict")),
            full(b"pitm", struct.pack(">H", 1)),
            full(b"iloc", struct.pack(">HH", 0x4400, len(kinds)), *places, version=1),
            full(b"iinf", struct.pack(">H", len(kinds)), *heads),
            box(b"iprp", box(b"ipco", ipco, properties), box(b"ipma", ipma)),
            boxes,
        )

    head = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    media = struct.pack(">L4s", 0, b"mdat")
    start = len(head) + len(meta(0)) + len(media)
    return head + meta(start) + media + picture


def nested(levels: int) -> bytes:
    made = b""
    for _ in range(levels):
        made = box(b"iprp", made)
    return made


MODEST = {
    "exif": avif((b"Exif", 64_000)),
    "xmp": avif((b"mime", 1_000_000)),
    "profile": avif(properties=box(b"colr", b"prof", bytes(500_000))),
    "items": avif(*[(b"zzzz", 1000)] * 500),
    "boxes": avif(boxes=box(b"free") * 1000),
}
ENDLESS_BOXES = {
    "200 MB of EXIF": (avif((b"Exif", 200_000_000)), "bytes of EXIF"),
    "EXIF in pieces": (avif((b"Exif", 65_000), pieces=3), "bytes of EXIF"),
    "EXIF in many items": (avif(*[(b"Exif", 65_000)] * 3), "bytes of EXIF"),
    "EXIF of the whole file": (avif((b"Exif", 0)), "bytes of EXIF"),
    "200 MB of XMP": (avif((b"mime", 200_000_000)), "bytes of metadata"),
    "the same XMP in many items": (avif(*[(b"mime", 1_000_000)] * 100), "bytes of metadata"),
    "an unknown item": (avif((b"zzzz", 200_000_000)), "bytes of metadata"),
    "65,000 items": (avif(*[(b"av01", 1)] * 65_000), "more than 10000 boxes"),
    "an item in 65,000 pieces": (avif((b"av01", 1), pieces=65_000), "more than 10000 pieces"),
    "a profile of 100 MB": (avif(properties=box(b"colr", b"prof", bytes(100_000_000))), "bytes of metadata"),
    "boxes": (avif(boxes=box(b"free") * 100_000), "more than 10000 boxes"),
    "boxes in boxes": (avif(boxes=nested(1000)), "in each other"),
    "a list that is cut off": (avif((b"av01", 1), pieces=400)[:3000], "cut off"),
}


@pytest.mark.parametrize("name", ENDLESS_BOXES)
@pytest.mark.parametrize("brand", [b"avif", b"heic"])
def test_an_avif_or_heif_with_endless_metadata_is_refused_at_once(
    name: str, brand: bytes, tmp_path: Path
) -> None:
    data, why = ENDLESS_BOXES[name]
    path = tmp_path / "page"
    path.write_bytes(data.replace(b"avif", brand))
    with path.open("r+b") as file:
        if why != "cut off":
            file.truncate(
                len(data) + 250_000_000
            )  # a hole: all the bytes that the items claim, and none on the disk
    began = time.process_time()
    for look in (probe, decode):
        with pytest.raises(ImageProcessingError, match=f"image is (damaged|cut off).*{why}"):
            look(path)
    assert time.process_time() - began < PATIENCE_S


@pytest.mark.parametrize("name", MODEST)
def test_an_avif_with_much_metadata_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "page.avif"
    path.write_bytes(MODEST[name] + bytes(1_100_000))
    assert decode(path).rgb.shape == (8, 8, 3)


def test_a_number_of_a_tag_directory_that_is_cut_off_hides_no_other(tmp_path: Path) -> None:
    """The last directory that the first one names lies on the last byte; the one before it claims too much."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    (at,) = struct.unpack_from("<L", data, 4)
    (had,) = struct.unpack_from("<H", data, at)
    own = bytes(data[at + 2 : at + 2 + 12 * had])
    struct.pack_into("<L", data, 4, len(data))
    many = 3_000
    where = len(data) + 2 + 12 * (had + 2) + 4
    last = where + 2 + 12 * many + 4 + 100_000
    names = struct.pack("<HHLLHHLL", 34665, 4, 1, where, 34853, 4, 1, last)
    greedy = b"".join(struct.pack("<HHLL", 50_000 + n, 7, 100_000, where) for n in range(many))
    path = tmp_path / "page.tif"
    path.write_bytes(
        bytes(data)
        + struct.pack("<H", had + 2) + own + names + bytes(4)
        + struct.pack("<H", many) + greedy + bytes(4 + 100_000) + b"\0"
    )  # fmt: skip
    with pytest.raises(ImageProcessingError, match="claim more bytes"):
        probe(path)
