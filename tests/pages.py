"""Small pages drawn for tests: line art, coloured pages, books of them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def line_art(path: Path, seed: int = 0, size: tuple[int, int] = (240, 320)) -> Path:
    """A page of black lines on white, different for each seed."""
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    random = np.random.default_rng(seed)
    for _ in range(8):
        x, y = random.integers(0, size[0] - 60), random.integers(0, size[1] - 60)
        w, h = random.integers(20, 60, 2)
        draw.ellipse((int(x), int(y), int(x + w), int(y + h)), outline=0, width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def colored(path: Path, seed: int = 0, size: tuple[int, int] = (240, 320)) -> Path:
    """A page full of flat colours with black outlines."""
    image = Image.new("RGB", size, (120, 180, 230))
    draw = ImageDraw.Draw(image)
    random = np.random.default_rng(seed)
    for _ in range(14):
        x, y = random.integers(0, size[0] - 60), random.integers(0, size[1] - 60)
        w, h = random.integers(30, 90, 2)
        color = tuple(int(value) for value in random.integers(30, 250, 3))
        draw.rectangle((int(x), int(y), int(x + w), int(y + h)), fill=color, outline=(0, 0, 0), width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


# Pages of this size (pixels) take a worker long enough that a run can be met in its middle.
SLOW = (1100, 1500)


def book(folder: Path, pages: int = 3, size: tuple[int, int] = (240, 320)) -> Path:
    """A folder with a coloured cover and `pages` line-art pages, 1.png 2.png ... 10.png."""
    colored(folder / "0_cover.png", 1)
    for number in range(1, pages + 1):
        line_art(folder / f"{number}.png", number, size)
    return folder


RED = (200, 40, 50)


def figure(path: Path, *, color: bool, shift: int = 0, roof: tuple[int, int, int] = RED) -> Path:
    """A house with a red roof on a blue sky: drawn in ink, or painted as well."""
    image = Image.new("RGB", (500, 600), (150, 200, 240) if color else "white")
    draw = ImageDraw.Draw(image)
    wall = (240, 220, 160) if color else (255, 255, 255)
    roof = roof if color else wall
    draw.rectangle((100 + shift, 300, 350 + shift, 550), fill=wall, outline="black", width=5)
    draw.polygon(
        [(70 + shift, 300), (225 + shift, 120), (380 + shift, 300)], fill=roof, outline="black", width=5
    )
    draw.rectangle((2, 2, 497, 597), outline="black", width=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def zipped(folder: Path, archive: Path) -> Path:
    """The files of a folder as an archive."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder).as_posix())
    return archive
