"""Small pictures of pages, for the report: where they lie, and the work of drawing them.

Each class here is `core.workers.Work`, as in `tasks`. An image that cannot be read gets no picture.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ..core.model import ItemState
from ..core.workers import Written
from ..exceptions import ImageProcessingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..backends.base import Progress

# Longest side in pixels and bytes of each of a page's two pictures in the report. In base64 the two are
# 24 KB: with its text, a page adds less than 27 KB to the report, and a hundred of them less than 3 MB.
PICTURE = (400, 9_000)
# A contact sheet has about this many pixels, and a cell is this wide in pixels, at least and at most.
SHEET_PIXELS = 12_000_000
SHEET_CELL = (32, 320)
SHEET_QUALITY = 60  # of its WebP


def picture_of_source(folder: Path, sha256: str) -> Path:
    """The report's picture of an image of the input, in the folder of a job's pictures."""
    return folder / f"{sha256}-{PICTURE[0]}.webp"


def picture_of_output(folder: Path, sha256: str, stat: os.stat_result) -> Path:
    """The report's picture of a coloured page. Time and size are part of the name, and a rename keeps
    them: a page that was edited by hand since is shown as it is now."""
    return folder / f"{sha256}-{stat.st_size}-{stat.st_mtime_ns}-{PICTURE[0]}.webp"


class Picture(NamedTuple):
    """A small picture to draw of an image: its longest side in pixels, and the bytes it may have at most."""

    source: str
    target: str
    longest: int
    limit: int


@dataclass(frozen=True)
class Thumbnails:
    """Draw small pictures. An image that cannot be read gets none."""

    images: list[Picture]

    def run(self, progress: Progress) -> None:
        for done, (source, target, longest, limit) in enumerate(self.images):
            progress(done, len(self.images))
            with contextlib.suppress(ImageProcessingError):
                draw(Path(source), Path(target), longest, limit)


def draw(
    image: Path | NDArray[np.uint8], target: Path, longest: int, limit: int, icc: bytes | None = None
) -> None:
    """A small picture, of pixels in the profile `icc`, in the cache: whole when it is there, but nothing waits for the disk. Should the
    power fail it may come out empty, and is drawn again."""
    from ..io.images import thumbnail
    from ..io.publish import part_path, publish

    if target.exists() and target.stat().st_size:
        return
    part = part_path(target, str(os.getpid()))
    try:
        part.write_bytes(thumbnail(image, longest, limit, icc))
        publish(part, target)
    finally:
        part.unlink(missing_ok=True)


class Crop(NamedTuple):
    """A picture of a region of a page: (x0, y0, x1, y1) in pixels, the ends exclusive; the rest as in `Picture`."""

    box: tuple[int, int, int, int]
    target: str
    longest: int
    limit: int


@dataclass(frozen=True)
class Crops:
    """Cut regions out of a page, framed and with some of what is around them."""

    path: str
    crops: list[Crop]

    def run(self, progress: Progress) -> None:
        from ..io.images import decode

        page = decode(Path(self.path))
        for done, crop in enumerate(self.crops):
            progress(done, len(self.crops))
            _cut(page.rgb, crop, page.icc)


def _cut(rgb: NDArray[np.uint8], crop: Crop, icc: bytes | None) -> None:
    import numpy as np
    from PIL import Image, ImageDraw

    from ..io.profiles import to_srgb

    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = crop.box
    margin = max(x1 - x0, y1 - y0, 64) // 2
    left, top = max(0, x0 - margin), max(0, y0 - margin)
    part = rgb[top : min(height, y1 + margin), left : min(width, x1 + margin)]
    if not part.size:
        return
    picture = Image.fromarray(to_srgb(part, icc))
    pen = 1 + max(picture.size) // 100
    frame = (x0 - left - pen, y0 - top - pen, x1 - left + pen - 1, y1 - top + pen - 1)
    ImageDraw.Draw(picture).rectangle(frame, outline=(214, 0, 110), width=pen)
    draw(np.asarray(picture), Path(crop.target), crop.longest, crop.limit)


@dataclass(frozen=True)
class ContactSheet:
    """Lay small pictures out on one WebP, `part`, below `root`, numbered from `first` on. `listing` is a file with one JSON
    array a line: [picture or "", state]; what has failed is framed in red."""

    listing: str
    part: str
    root: str
    first: int = 1

    def run(self, progress: Progress) -> Written:
        from PIL import Image, ImageDraw, ImageFont

        from ..io.publish import write_part

        with Path(self.listing).open(encoding="utf-8") as file:
            count = sum(1 for _ in file)
        # Cells in the proportions of a page; the sheet a little wider than high, and of about as many pixels
        # whatever the number of pages.
        wide = min(SHEET_CELL[1], max(SHEET_CELL[0], math.isqrt(int(SHEET_PIXELS / 1.6 / max(1, count)))))
        gap, line = wide // 16 + 2, wide // 12 + 8
        high = wide * 7 // 5
        columns = max(1, min(count, math.ceil(math.sqrt(count * 1.6 * 4 / 3))))
        rows = -(-count // columns)
        sheet = Image.new(
            "RGB", (columns * (wide + gap) + gap, rows * (high + line + gap) + gap), (246, 244, 239)
        )
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(line * 0.75)
        with Path(self.listing).open(encoding="utf-8") as file:
            for at, text in enumerate(file):
                progress(at, count)
                picture, state = json.loads(text)
                x, y = gap + at % columns * (wide + gap), gap + at // columns * (high + line + gap)
                box = (x, y, x + wide - 1, y + high - 1)
                if picture and Path(picture).is_file():
                    with Image.open(picture) as opened:
                        small = opened.convert("RGB")
                    # One that had to be smaller to fit into its bytes is shown as large as the others.
                    scale = min(wide / small.width, high / small.height, 2.0)
                    size = max(1, round(small.width * scale)), max(1, round(small.height * scale))
                    small = small.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
                    left, top = x + (wide - small.width) // 2, y + (high - small.height) // 2
                    sheet.paste(small, (left, top))
                    box = (left, top, left + small.width - 1, top + small.height - 1)
                failed = state == ItemState.FAILED
                draw.rectangle(
                    box, outline=(179, 38, 30) if failed else (200, 194, 182), width=3 if failed else 1
                )
                draw.text(
                    (x + wide // 2, y + high + line // 2),
                    str(at + self.first),
                    (90, 85, 78),
                    font=font,
                    anchor="mm",
                )

        def write(file: BinaryIO) -> None:
            sheet.save(file, "WEBP", quality=SHEET_QUALITY, method=2)

        return Written(write_part(Path(self.part), write, within=Path(self.root)))
