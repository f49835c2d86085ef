"""Draw an album: some hundred landscapes of several years, with copies, smaller versions, and damage.

    python examples/photo_album.py FOLDER [NUMBER]

Every picture is drawn by its number: no stranger's, and the same on every machine. Try it with
`lote photos scan FOLDER --look`, then `lote ui`.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw

WIDTH, HEIGHT = 960, 640
TRIPS = ("2021 Coast", "2022 Mountains", "2023 Islands", "2024 Home")
SKIES = (
    ("#8ec5e8", "#f6e7c8"),
    ("#f2a65a", "#f9dcc4"),
    ("#3b4a6b", "#c9a7b8"),
    ("#a7c7e7", "#eef4f8"),
    ("#e8b4a0", "#fbe9d7"),
)
HILLS = ("#355e4b", "#4f7d5c", "#7a9e6b", "#8a7b52", "#5a6e8c", "#39505e", "#94653f", "#6f8f9b")
SKIN = ("#f1c9a5", "#d9a066", "#8d5b3c", "#e8b796", "#c68850", "#f6d8bd")
HAIR = ("#2b2019", "#6b4423", "#c9a227", "#8a8a8a", "#a2401f", "#40312b")


def landscape(number: int) -> Image.Image:
    """A sky, a sun, hills, and perhaps a house and trees."""
    chance = random.Random(number)
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    upper, lower = (ImageColor.getrgb(color)[:3] for color in chance.choice(SKIES))
    for y in range(HEIGHT):
        mixed = [round(a + (b - a) * y / HEIGHT) for a, b in zip(upper, lower, strict=True)]
        draw.line([(0, y), (WIDTH, y)], fill=(mixed[0], mixed[1], mixed[2]))
    x, y, r = chance.randrange(80, WIDTH - 80), chance.randrange(60, 220), chance.randrange(24, 60)
    draw.ellipse([x - r, y - r, x + r, y + r], fill="#fff3d1")
    colors = chance.sample(HILLS, 3)
    for level, color in enumerate(colors):
        base = 300 + 90 * level
        ridge = [(WIDTH * step // 8, base + chance.randrange(-70, 70)) for step in range(9)]
        draw.polygon([(0, HEIGHT), *ridge, (WIDTH, HEIGHT)], fill=color)
    for _ in range(chance.randrange(0, 7)):
        x, foot, tall = (
            chance.randrange(40, WIDTH - 40),
            chance.randrange(480, 620),
            chance.randrange(60, 150),
        )
        draw.polygon([(x - tall // 3, foot), (x + tall // 3, foot), (x, foot - tall)], fill="#22402f")
    if chance.random() < 0.4:
        x, foot, side = (
            chance.randrange(100, WIDTH - 200),
            chance.randrange(480, 580),
            chance.randrange(60, 110),
        )
        draw.rectangle(
            [x, foot - side, x + side, foot], fill=chance.choice(("#f4ead7", "#d96c4f", "#e9d8a6"))
        )
        draw.polygon(
            [(x - 12, foot - side), (x + side + 12, foot - side), (x + side // 2, foot - side * 2 + 20)],
            fill="#7a3b2e",
        )
    return picture


def with_face(picture: Image.Image, person: int, number: int) -> tuple[float, float, float, float]:
    """Draw somebody into a picture; the box of the face as fractions of width and height (x, y, width, height)."""
    chance = random.Random(1000 * person + number)
    draw = ImageDraw.Draw(picture)
    side = chance.randrange(150, 230)
    x, y = chance.randrange(120, WIDTH - side - 120), chance.randrange(150, 260)
    draw.ellipse([x - 40, y + side, x + side + 40, y + side * 3], fill=HILLS[person % len(HILLS)])
    draw.ellipse([x - 12, y - 24, x + side + 12, y + side * 0.8], fill=HAIR[person % len(HAIR)])
    draw.ellipse([x, y, x + side, y + side * 1.2], fill=SKIN[person % len(SKIN)])
    for eye in (0.3, 0.7):
        draw.ellipse(
            [x + side * eye - 8, y + side * 0.45, x + side * eye + 8, y + side * 0.45 + 14], fill="#1d1a18"
        )
    draw.arc(
        [x + side * 0.3, y + side * 0.6, x + side * 0.7, y + side * 0.95], 20, 160, fill="#8c2f2b", width=6
    )
    return x / WIDTH, y / HEIGHT, side / WIDTH, side * 1.2 / HEIGHT


def save(picture: Image.Image, path: Path, taken_at: str, quality: int = 90) -> Path:
    """As a camera would: with a date, `YYYY:MM:DD HH:MM:SS`, and a name of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Lote", "Lote Pinhole 2"
    tags.get_ifd(0x8769)[0x9003] = taken_at
    picture.save(path, "JPEG", quality=quality, exif=tags)
    return path


def album(folder: Path, count: int = 240) -> None:
    """`count` landscapes in four trips, and what people's devices make of some of them."""
    kept = []
    for number in range(count):
        trip = number * len(TRIPS) // count
        chance = random.Random(number)
        day = 1 + (number % (count // len(TRIPS))) // 9
        taken_at = f"{TRIPS[trip][:4]}:{5 + trip + day // 6:02d}:{3 + day:02d} {9 + number % 9:02d}:{chance.randrange(60):02d}:00"
        kept.append(save(landscape(number), folder / TRIPS[trip] / f"IMG_{1000 + number}.jpg", taken_at))
    chat = folder / "Chat"
    chat.mkdir()
    for number in (3, 40, 41, 90, 150):
        landscape(number).resize((480, 320)).save(chat / f"WA{number:04d}.jpg", quality=55)
    for number in (5, 17, 60, 61, 130, 131, 132):
        shutil.copy2(kept[number], chat / f"copy of {kept[number].name}")
    for number in (200, 201):
        file = io.BytesIO()
        landscape(1000 + number).save(file, "PNG")
        (chat / f"drawing {number}.png").write_bytes(file.getvalue())
    (chat / "half.jpg").write_bytes(kept[70].read_bytes()[:9000])
    (chat / "nothing.jpg").write_bytes(b"")
    (chat / "link.jpg").symlink_to(kept[0])


if __name__ == "__main__":
    album(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 240)
