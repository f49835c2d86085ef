"""Pictures that behave like photos, drawn by numbers: no stranger's, and any number of them.

`scene(7)` is a landscape of smooth fields, edges, textures and noise; another number is another picture. `shot` saves one
as a camera would.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photos_help import write

Pixels = NDArray[np.uint8]


def scene(number: int, width: int = 960, height: int = 640, shift: float = 0.0) -> Pixels:
    """`shift`: how far what stands in the picture has moved since, in widths, as between two shots of a burst."""
    rng = np.random.default_rng([number, 77])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    picture = np.empty((height, width, 3), np.float32)
    tilt = rng.uniform(-0.5, 0.5, 3)
    for channel in range(3):
        picture[:, :, channel] = 120 + 90 * (y - 0.5) * rng.uniform(-1, 1) + 60 * (x - 0.5) * tilt[channel]
    for _ in range(int(rng.integers(6, 14))):  # hills, houses, people
        middle, size = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.35, 2)
        color, turn = rng.uniform(-110, 110, 3), rng.uniform(0, np.pi)
        u = (x - middle[0] - shift) * np.cos(turn) + (y - middle[1]) * np.sin(turn)
        v = (y - middle[1]) * np.cos(turn) - (x - middle[0] - shift) * np.sin(turn)
        if rng.random() < 0.5:
            inside = 1 / (1 + np.exp(np.minimum(((u / size[0]) ** 2 + (v / size[1]) ** 2 - 1) * 12, 80)))
        else:
            inside = ((np.abs(u) < size[0]) & (np.abs(v) < size[1])).astype(np.float32)
        grain = 1 + 0.25 * np.sin(u * rng.uniform(20, 120)) * np.sin(v * rng.uniform(20, 120))
        picture += (inside * grain)[:, :, None] * color
    picture += rng.normal(0, 5, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, quality: int = 90, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, **options)  # type: ignore[arg-type]
    return file.getvalue()


def exif(
    taken_at: str = "2019:07:04 12:00:00", camera: str = "Canon EOS 5D", orientation: int = 1
) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F], tags[0x0110] = camera.split(maxsplit=1)[0], camera
    tags.get_ifd(0x8769)[0x9003] = taken_at
    return tags


def shot(
    path: Path, number: int, *, taken_at: str = "2019:07:04 12:00:00", shift: float = 0.0, **options: int
) -> Path:
    """A photo as a camera saves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = scene(number, options.get("width", 960), options.get("height", 640), shift)
    path.write_bytes(jpeg(pixels, options.get("quality", 92), exif=exif(taken_at)))
    return path


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def cropped(pixels: Pixels, share: float) -> Pixels:
    """Without this share of each side."""
    height, width = pixels.shape[:2]
    across, down = round(width * share), round(height * share)
    return pixels[down : height - down, across : width - across]


def dng(preview: bytes, orientation: int) -> bytes:
    """A raw file with little but a preview in it."""
    entries = [
        (0x00FE, 4, 1, 1),  # a reduced picture
        (0x0100, 4, 1, 800),
        (0x0101, 4, 1, 1200),
        (0x0103, 3, 1, 7),
        (0x0111, 4, 1, 8 + 2 + 12 * 8 + 4),
        (0x0112, 3, 1, orientation),
        (0x0117, 4, 1, len(preview)),
        (0xC612, 1, 4, 0x00000401),
    ]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + preview


SIZE = {"width": 480, "height": 320}  # of the photos of `album`


def _pixels(number: int) -> Pixels:
    return scene(number, **SIZE)


def album(tree: Path) -> Path:
    """Twelve photos and what people's devices make of some of them."""
    for number in range(1, 13):
        shot(
            tree / "camera" / f"IMG_{number:04d}.jpg",
            number,
            taken_at=f"2019:07:{number:02d} 12:00:00",
            **SIZE,
        )
    write(tree / "chat" / "WA0001.jpg", jpeg(resized(_pixels(1), 320, 213), 50))
    write(tree / "chat" / "gray.jpg", jpeg(np.asarray(Image.fromarray(_pixels(2)).convert("L")), 80))
    write(tree / "web" / "crop.jpg", jpeg(cropped(_pixels(3), 0.025), 90, exif=exif("2019:07:03 12:00:00")))
    camera = (tree / "camera" / "IMG_0004.jpg").read_bytes()
    block = camera.index(b"\xff\xe1")
    length = int.from_bytes(camera[block + 2 : block + 4], "big")
    write(tree / "web" / "stripped.jpg", camera[:block] + camera[block + 2 + length :])
    for number in range(3):
        shot(
            tree / "burst" / f"IMG_9{number}.jpg",
            50,
            taken_at=f"2020:01:01 10:00:0{number}",
            shift=0.001 * number,
            **SIZE,
        )

    Image.fromarray(np.ascontiguousarray(np.rot90(_pixels(5)))).save(tree / "web" / "turned.png")
    flat = Image.new("RGB", (480, 320), (90, 120, 200))
    flat.save(tree / "web" / "sky1.png")
    flat.resize((300, 200)).save(tree / "web" / "sky2.png")
    return tree


# Damage


def holed(content: bytes, rng: np.random.Generator) -> bytes:
    begin = int(rng.integers(len(content) // 4, len(content) * 3 // 4)) // 512 * 512
    return content[:begin] + bytes(4096) + content[begin + 4096 :]


def gray_tailed(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, opened by a program that does not mind, and saved again."""
    with Image.open(io.BytesIO(cut_with_end(content, rng))) as image:
        image.load()
        return jpeg(np.asarray(image), 95)


def cut_with_end(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content) // 4, len(content) * 9 // 10))] + b"\xff\xd9"


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "cut": lambda content, rng: content[: int(rng.integers(len(content) // 4, len(content) - 2))],
    "cut, with an end": cut_with_end,
    "hole": holed,
    "zeros": lambda content, rng: (
        content[: (cut := int(rng.integers(len(content) // 4, len(content) - 600)))]
        + bytes(len(content) - cut)
    ),
    "gray": gray_tailed,
}
