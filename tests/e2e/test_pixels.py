"""Right pixels, right colours: what a page holds after it was coloured, whatever its file was."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from psd_tools import PSDImage
from psd_tools.composite import composite
from psd_tools.constants import Resource

from batch_processing.backends.flats.color import to_lab
from batch_processing.comics.evaluation import ciede2000
from batch_processing.io.images import decode, encode, probe
from command import Run, lote

DARK, RED, PALE = (74, 48, 42), (192, 57, 43), (240, 214, 170)


def scene(shift: int = 0, *, colored: bool = False) -> np.ndarray:
    """A drawn panel with a dark, a red and a pale thing in it: (h, w, 3), as line art or with its colours."""
    picture = np.full((360, 480, 3), 255, np.uint8)

    def shape(points: Any, color: tuple[int, int, int]) -> None:
        at = np.array(points, np.int32) + np.array([shift, 0])
        cv2.fillPoly(picture, [at], color if colored else (255, 255, 255))
        cv2.polylines(picture, [at], True, (0, 0, 0), 4)

    shape([(20 - shift, 20), (460 - shift, 20), (460 - shift, 340), (20 - shift, 340)], PALE)
    shape([(80, 120), (220, 60), (240, 300), (60, 300)], DARK)
    shape([(280, 90), (400, 90), (400, 300), (280, 300)], RED)
    return picture


def soft(picture: np.ndarray) -> np.ndarray:
    """Gray line art with soft lines of ink that is not quite black, and some shading in the pale thing."""
    gray = np.clip(cv2.GaussianBlur(picture[..., 0], (0, 0), 1.1).astype(int), 26, 255)
    gray[40:80, 300:420] = gray[40:80, 300:420] * 0.85
    return gray.astype(np.uint8)


def book(folder: Path, **pages: Any) -> Path:
    """A folder with a coloured reference and these pages."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(colored=True)).save(folder / "0_cover.png")
    for name, pixels in pages.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def colorize(root: Path, *args: str | Path, backend: str = "flats", **env: str) -> Run:
    return lote(
        "colorize", root / "in", "-o", root / "out", "--backend", backend, *args, workspace=root / "ws", **env
    )


def multiplied(below: np.ndarray, above: np.ndarray, most: int) -> np.ndarray:
    """What drawing programs do on multiply, rounded once."""
    return (below.astype(np.int64) * above + most // 2) // most


def put_together(layers: list[tuple[str, np.ndarray, int, int]], shape: tuple[int, int], most: int) -> Any:
    """Layers, bottom first, each its blend mode, RGBA pixels and corner."""
    out = np.full((*shape, 3), most, np.int64)
    for blend, pixels, left, top in layers:
        part = out[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        color = multiplied(part, pixels[..., :3], most) if blend == "multiply" else pixels[..., :3]
        assert set(np.unique(pixels[..., 3])) <= {0, most}
        part[:] = np.where(pixels[..., 3:] > 0, color, part)
    return out


def layers_of_ora(path: Path) -> list[tuple[str, np.ndarray, int, int]]:
    found = []
    with zipfile.ZipFile(path) as document:
        for layer in ET.fromstring(document.read("stack.xml")).iter("layer"):  # noqa: S314 - ours
            data = np.frombuffer(document.read(str(layer.get("src"))), np.uint8)
            pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))[..., [2, 1, 0, 3]]
            blend = "multiply" if layer.get("composite-op") == "svg:multiply" else "normal"
            found.append((blend, pixels, int(layer.get("x", 0)), int(layer.get("y", 0))))
    return found[::-1]


def layers_of_psd(psd: PSDImage) -> list[tuple[str, np.ndarray, int, int]]:
    most = 2**psd.depth - 1
    return [
        (layer.blend_mode.name.lower(), np.rint(layer.numpy() * most).astype(np.int64), layer.left, layer.top)
        for layer in psd.descendants()
        if not layer.is_group()
    ]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("style", ["line", "line + shadow"])
def test_a_page_is_its_layers_put_together(tmp_path: Path, style: str, depth: int) -> None:
    book(tmp_path / "in")
    gray = soft(scene(30))
    rgb = np.dstack([gray, gray // 2 + 40, np.maximum(gray, 60)])
    wide = np.minimum(gray.astype(np.uint16) * 257 + 77, 65535).astype(np.uint16)
    pages = {"gray": gray, "rgb": rgb} if depth == 8 else {"gray": wide}
    for name, pixels in pages.items():
        with (tmp_path / "in" / f"{name}.png").open("wb") as file:
            encode(pixels, file, "png")
    args = ("--layers", "psd", "--layers", "ora", "--style", style)
    done = colorize(tmp_path, *args, "--layers-by", "panel", "--layers-by", "color")
    assert done.code == 0, done.err
    for name in pages:
        page = decode(tmp_path / "out" / f"{name}.png")
        assert page.bit_depth == depth
        written = page.rgb if page.native is None else page.native
        layers = tmp_path / "out" / "_lote" / "layers"
        psd = PSDImage.open(layers / f"{name}.psd")
        most = 2**depth - 1
        assert [layer.name for layer in psd][-2:] == ["Line", "Ink"]
        for found in (layers_of_psd(psd), layers_of_ora(layers / f"{name}.ora")):
            assert (put_together(found, written.shape[:2], most) == written).all(), name
        if depth == 8:  # its floats do not hold 16 bit
            color, _, alpha = composite(psd, force=True)
            assert (np.rint(np.asarray(alpha) * 255) == 255).all()
            assert (np.rint(np.asarray(color) * 255) == written).all(), name


# --- colour profiles ----------------------------------------------------------------------------------------


def profile(red: Any, green: Any, blue: Any, gamma: float = 0.0) -> bytes:
    """A matrix profile (ICC.1:2001) of these primaries in xy and a D65 white; without a gamma of sRGB's curve."""

    def xyz(x: float, y: float) -> Any:
        return np.array([x / y, 1, (1 - x - y) / y])

    def numbers(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white, d50 = xyz(0.3127, 0.3290), np.array([0.9642, 1, 0.8249])
    primaries = np.array([xyz(*red), xyz(*green), xyz(*blue)]).T
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford
    matrix = adapted @ (primaries * np.linalg.solve(primaries, white))
    t = np.linspace(0, 1, 1024)
    linear = np.where(t <= 0.04045, t / 12.92, ((t + 0.055) / 1.055) ** 2.4) if not gamma else t**gamma
    curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(linear * 65535).astype(">u2").tobytes()
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"p\0" + bytes(78)
    parts = [(b"desc", text + bytes(-len(text) % 4)), (b"cprt", b"text\0\0\0\0none"), (b"wtpt", numbers(d50))]
    parts += [
        (b"rXYZ", numbers(matrix[:, 0])),
        (b"gXYZ", numbers(matrix[:, 1])),
        (b"bXYZ", numbers(matrix[:, 2])),
    ]
    parts += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    at, table, body = 128 + 4 + 12 * len(parts), struct.pack(">I", len(parts)), b""
    for name, part in parts:
        table += name + struct.pack(">II", at + len(body), len(part))
        body += part
    head = struct.pack(
        ">I4sI4s4s4s6H4s", at + len(body), b"", 0x02100000, b"mntr", b"RGB ", b"XYZ ", *[0] * 6, b"acsp"
    )
    return head.ljust(68, b"\0") + numbers(d50)[8:] + bytes(48) + table + body


DISPLAY_P3 = profile((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = profile((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), 2.19921875)
GREEN = (20, 150, 60)


def in_profile(rgb: Any, icc: bytes | None, *, back: bool = False) -> np.ndarray:
    """sRGB pixels in a profile, or back, by littlecms."""
    pixels = np.asarray(rgb, np.uint8).reshape(1, -1, 3) if np.ndim(rgb) < 3 else np.asarray(rgb, np.uint8)
    if icc is None:
        return pixels
    ways = [ImageCms.createProfile("sRGB"), io.BytesIO(icc)]
    source, target = ways[::-1] if back else ways
    exact = ImageCms.Flags.NOOPTIMIZE
    way = ImageCms.buildTransform(
        source, target, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=exact
    )
    return np.asarray(way.apply(Image.fromarray(pixels)))


def apart(a: Any, b: Any) -> float:
    """Delta-E 2000 of two sRGB colours."""
    return float(ciede2000(*(to_lab(np.array(color, np.uint8).reshape(1, 3)) for color in (a, b)))[0])


@pytest.mark.parametrize("of_page", [None, DISPLAY_P3, ADOBE_RGB], ids=["untagged", "p3", "adobe"])
@pytest.mark.parametrize("of_reference", [None, DISPLAY_P3, ADOBE_RGB], ids=["untagged", "p3", "adobe"])
def test_a_color_looks_the_same_in_every_profile(
    tmp_path: Path, of_reference: bytes | None, of_page: bytes | None
) -> None:
    true = scene(colored=True)
    true[(true == RED).all(axis=2)] = GREEN
    (tmp_path / "in").mkdir()
    Image.fromarray(in_profile(true, of_reference)).save(
        tmp_path / "in" / "0_cover.png", icc_profile=of_reference
    )
    Image.fromarray(scene(30)).save(tmp_path / "in" / "1.png", icc_profile=of_page)
    done = colorize(tmp_path, "--style", "line", "--layers", "png", "--layers", "psd")
    assert done.code == 0, done.err
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert image.info.get("icc_profile") == of_page
        written = np.asarray(image)
    shown = in_profile(written, of_page, back=True)
    assert apart(shown[200, 370], GREEN) < 1
    assert apart(shown[200, 180], DARK) < 1
    beside = tmp_path / "out" / "_lote"
    palette = [tuple(color["rgb"]) for color in json.loads((beside / "palette.json").read_text())["colors"]]
    assert min(apart(color, GREEN) for color in palette) < 1, "the palette is sRGB"
    with Image.open(beside / "layers" / "1.png") as image:  # the flats alone, as the page has them
        assert image.mode == "P"
        assert image.info.get("icc_profile") == of_page
        flats = np.asarray(image.convert("RGB"))
        assert (flats[200, 370] == written[200, 370]).all()
        assert np.asarray(image)[200, 370] in {
            color["id"] for color in json.loads((beside / "palette.json").read_text())["colors"]
        }
    assert (
        PSDImage.open(beside / "layers" / "1.psd").image_resources.get_data(Resource.ICC_PROFILE) == of_page
    )


def test_recoloring_gives_srgb_colors_to_a_page_of_another_profile(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(scene(colored=True)).save(tmp_path / "in" / "0_cover.png")
    Image.fromarray(scene(30)).save(tmp_path / "in" / "1.png", icc_profile=DISPLAY_P3)
    assert colorize(tmp_path, "--style", "line").code == 0
    palette = tmp_path / "out" / "_lote" / "palette.json"
    colors = json.loads(palette.read_text())["colors"]
    for color in colors:
        if color["rgb"] == list(RED):
            color["rgb"] = list(GREEN)
    palette.write_text(json.dumps({"colors": colors}))
    done = lote("recolor", "1", "--palette", palette, workspace=tmp_path / "ws")
    assert done.code == 0, done.err
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert apart(in_profile(np.asarray(image), DISPLAY_P3, back=True)[200, 370], GREEN) < 1


def test_broken_profiles_are_told_and_count_as_srgb(tmp_path: Path) -> None:
    broken = DISPLAY_P3[:300] + bytes(len(DISPLAY_P3) - 300)
    (tmp_path / "in").mkdir()
    Image.fromarray(scene(colored=True)).save(tmp_path / "in" / "0_cover.png", icc_profile=broken)
    Image.fromarray(scene(30)).save(tmp_path / "in" / "1.png", icc_profile=broken)
    done = colorize(tmp_path, "--style", "line")
    assert done.code == 0, done.err
    for name in ("0_cover.png", "1.png"):
        assert f"warning: {name}: its colour profile is damaged and was taken for sRGB" in done.err
        assert done.err.count(f"{name}: its colour profile") == 1
    assert "its colour profile is damaged" in (tmp_path / "out" / "_lote" / "report.html").read_text()
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert "icc_profile" not in image.info
        assert tuple(np.asarray(image)[200, 370].tolist()) == RED
    again = colorize(tmp_path, "--style", "line", "--json")
    assert [f"{name}: its colour" in str(again.summary["warnings"]) for name in ("0_cover.png", "1.png")] == [
        True
    ] * 2


# --- files without their end, drawings without their paper --------------------------------------------------


def test_pages_without_their_end_are_colored_and_half_a_page_fails(tmp_path: Path) -> None:
    source = book(tmp_path / "in")
    whole = io.BytesIO()
    Image.fromarray(scene(30)).convert("L").save(whole, "JPEG", quality=90)
    jpeg, png = whole.getvalue(), io.BytesIO()
    Image.fromarray(scene(20)).save(png, "PNG")
    (source / "1_whole.jpg").write_bytes(jpeg)
    (source / "2_no_end.jpg").write_bytes(jpeg[:-2])
    (source / "3_no_end.png").write_bytes(png.getvalue()[:-12])
    (source / "4_half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (source / "5_half.png").write_bytes(png.getvalue()[: len(png.getvalue()) // 2])
    done = colorize(tmp_path, "--json")
    assert done.code == 3
    assert [name for name, _ in done.summary["failures"]] == ["4_half.jpg", "5_half.png"]
    told = [text for text in done.summary["warnings"] if "the end of the file is missing" in text]
    assert [text.partition(":")[0] for text in told] == ["2_no_end.jpg", "3_no_end.png"]
    pages = [decode(tmp_path / "out" / name).rgb for name in ("1_whole.png", "2_no_end.png")]
    assert (pages[0] == pages[1]).all()
    report = (tmp_path / "out" / "_lote" / "report.html").read_text()
    assert report.count("the end of the file is missing") >= 2
    metadata = json.loads((tmp_path / "out" / "_lote" / "processing_metadata.json").read_text())
    results = {page["source"]: page.get("result") or {} for page in metadata["pages"]}
    assert "the end of the file is missing" in results["2_no_end.jpg"]["warnings"][0]
    assert "warnings" not in results["1_whole.jpg"]


def test_white_lines_on_nothing_are_seen_and_told(tmp_path: Path) -> None:
    source = book(tmp_path / "in", whole=scene(30))
    lines = np.full((*scene().shape[:2], 4), 255, np.uint8)
    lines[..., 3] = 255 - scene(20)[..., 0]
    Image.fromarray(lines).save(source / "white.png")
    done = colorize(tmp_path, "--as-lineart", "white.png")
    assert done.code == 0, done.err
    assert (
        "warning: white.png: its drawing is white on a transparent ground, and was laid on black" in done.err
    )
    assert "was laid on black" in (tmp_path / "out" / "_lote" / "report.html").read_text()
    page = decode(tmp_path / "out" / "white.png").rgb
    drawn = lines[..., 3] == 255
    # The white is what gets colours, the ground stays dark.
    assert (page[drawn].max(axis=1) >= 60).mean() > 0.9
    assert (page[~drawn].max(axis=1) < 60).mean() > 0.9


# --- formats ------------------------------------------------------------------------------------------------


def test_same_keeps_kind_and_quality_of_each_page(tmp_path: Path) -> None:
    source = book(tmp_path / "in")
    drawing = Image.fromarray(soft(scene(30)))
    drawing.save(source / "1.jpg", quality=70)
    drawing.save(source / "2.jpg", quality=95)
    drawing.convert("RGB").save(source / "3.webp", quality=60)
    drawing.convert("RGB").save(source / "4.webp", lossless=True)
    drawing.save(source / "5.tif", compression="tiff_lzw")
    drawing.save(source / "6.png")
    drawing.save(source / "7.bmp")
    drawing.convert("P").save(source / "8.gif")
    drawing.save(source / "9.jp2")
    done = colorize(tmp_path, "--format", "same", "--json")
    assert done.code == 0, done.err
    out = tmp_path / "out"
    found = sorted(path.name for path in out.glob("[1-9].*"))
    assert found == ["1.jpg", "2.jpg", "3.webp", "4.webp", "5.tif", "6.png", "7.png", "8.png", "9.png"]
    read = {path.name: probe(path) for path in out.glob("[1-9].*")}
    kinds = {"jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "png": "PNG"}
    assert all(info.format == kinds[name.partition(".")[2]] for name, info in read.items())
    assert (read["1.jpg"].quality, read["2.jpg"].quality) == (70, 95)
    assert read["3.webp"].quality is not None
    assert abs(read["3.webp"].quality - 60) <= 12
    assert read["4.webp"].quality is None
    total = sum(path.stat().st_size for path in out.glob("*.*") if path.name != "ComicInfo.xml")
    assert done.summary["size"] == total
    assert colorize(tmp_path, "--format", "same", "--json").summary["reused"] == 9


def test_a_quality_is_that_of_the_files_and_ends_in_the_summary(tmp_path: Path) -> None:
    book(tmp_path / "in", a=soft(scene(30)), b=soft(scene(10)))
    sizes = {}
    for kind in ("jpg", "webp"):
        for quality in ("40", "90"):
            done = colorize(tmp_path, "--format", kind, "--quality", quality, "--json")
            assert done.code == 0, done.err
            assert done.summary["reused"] == 0
            info = probe(tmp_path / "out" / f"a.{kind}")
            assert info.quality is not None
            assert abs(info.quality - int(quality)) <= (0 if kind == "jpg" else 12)
            sizes[kind, quality] = (tmp_path / "out" / f"a.{kind}").stat().st_size
    assert sizes["jpg", "40"] < sizes["jpg", "90"]
    assert sizes["webp", "40"] < sizes["webp", "90"]
    told = colorize(tmp_path, "--quality", "90")
    assert told.code == 0, told.err
    assert "--quality 90 changes nothing: png is lossless" in told.err
    assert re.search(r"2 coloured, 1 copied as it is, in [\d.]+ s, \d+ kB\n", told.err)
    wrong = colorize(tmp_path, "--quality", "101")
    assert wrong.code == 2
    assert "quality must be at most 100, got 101" in wrong.err


def test_an_archive_is_as_large_as_the_summary_says(tmp_path: Path) -> None:
    book(tmp_path / "in", a=scene(30))
    done = lote(
        "colorize",
        tmp_path / "in",
        "-o",
        tmp_path / "out.cbz",
        "--backend",
        "noop",
        "--json",
        workspace=tmp_path / "ws",
    )
    assert done.summary["size"] == (tmp_path / "out.cbz").stat().st_size
