"""Cobra's pictures before and after the networks: sizes, crops, line styles, hints, the way back.

Plain Pillow and NumPy, on 8-bit pictures. Sizes are (width, height), as Pillow has them. What the model
was trained on fixes the filters: bicubic wherever nothing else is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .. import painting
from ..painting import BLACK_UP_TO, SHADOW_BELOW, Size

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The sizes that the model was trained on. Order matters: the first of two equally near ones is taken.
BUCKETS: tuple[Size, ...] = (
    (800, 800),
    (768, 896),
    (704, 928),
    (672, 960),
    (640, 1024),
    (608, 1056),
    (576, 1088),
    (576, 1184),
    (896, 768),
    (928, 704),
    (960, 672),
    (1024, 640),
    (1056, 608),
    (1088, 576),
    (1184, 576),
)
PATCHES = 5  # of each reference: the whole, and four overlapping crops
QUERIES = 4  # of each page: the crops only
STRETCH = 0.15  # relative error of the aspect ratio up to which a reference is stretched, not cropped

BLACK = 18  # what is black on the page becomes in "line + shadow"
SHADOW = 155  # what shadow becomes

HINT_COVER = 64  # of 255: a place of the bucket that strokes cover by a quarter is painted

# CLIPImageProcessor's defaults: side, mean and standard deviation of RGB in [0, 1].
CLIP_SIDE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def resized(image: Image.Image, size: Size) -> Image.Image:
    """The picture at `size`, bicubic, with the same pixels under every version of Pillow.

    Pillow rounds to 8 bit between its horizontal and vertical pass, so their order shows (up to 15 levels
    on noise). Versions up to 12 go horizontally first; 13 goes vertically first when the height loses more
    than twice the pixels that the width does. The order of 13, with which the tests' pictures were
    recorded, is spelled out here."""
    width, height = image.size
    vertical_first = size[1] < height and height - size[1] > 2 * (width - size[0])
    between = (width, size[1]) if vertical_first else (size[0], height)
    return image.resize(between, Image.Resampling.BICUBIC).resize(size, Image.Resampling.BICUBIC)


def crops(image: Image.Image, size: Size) -> list[Image.Image]:
    """Four overlapping crops of 3/4 of both sides: top left, top right, bottom left, bottom right."""
    x, y = size[0] // 4, size[1] // 4
    offsets = ((0, 0), (x, 0), (0, y), (x, y))
    return [image.crop((left, top, left + 3 * x, top + 3 * y)) for left, top in offsets]


def fit_reference(image: Image.Image, size: Size) -> Image.Image:
    """A reference at the size of the bucket: stretched if its ratio is near, else cropped in the middle."""
    width, height = image.size
    ratio = size[0] / size[1]
    if abs(width / height - ratio) / ratio >= STRETCH:
        if width / height > ratio:
            cropped = max(int(height * ratio), 1)
            left = int((width - cropped) / 2)
            image = image.crop((left, 0, left + cropped, height))
        else:
            cropped = max(int(width / ratio), 1)
            top = int((height - cropped) / 2)
            image = image.crop((0, top, width, top + cropped))
    return resized(image, size)


def reference_patches(image: Image.Image, size: Size) -> list[Image.Image]:
    """The five patches of a reference: the whole fitted picture and its four crops."""
    fitted = fit_reference(image, size)
    return [fitted, *crops(fitted, size)]


def fitted(image: Image.Image, size: Size) -> list[Image.Image]:
    """A reference at the size of the bucket; of one that cropping would take much from, a line-up of figures say, tiles of
    that shape side by side, which together show all of it."""
    boxes = painting.tiles(np.asarray(image.convert("L")), size)
    if len(boxes) == 1:
        return [fit_reference(image, size)]
    return [fit_reference(image.crop(box), size) for box in boxes]


def query_crops(image: Image.Image, size: Size) -> list[Image.Image]:
    """The four crops of a page, stretched to the bucket, that references are looked up for."""
    return crops(resized(image, size), size)


def clip_pixels(image: Image.Image) -> NDArray[np.float32]:
    """(3, 224, 224): what `CLIPImageProcessor` makes of a picture by default."""
    width, height = image.size
    short = min(width, height)
    target = (int(CLIP_SIDE * width / short), int(CLIP_SIDE * height / short))
    scaled = np.asarray(resized(image, target), dtype=np.float32) / 255
    top, left = (target[1] - CLIP_SIDE) // 2, (target[0] - CLIP_SIDE) // 2
    middle = scaled[top : top + CLIP_SIDE, left : left + CLIP_SIDE]
    normal = (middle - np.asarray(CLIP_MEAN, np.float32)) / np.asarray(CLIP_STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)


def condition(gray: NDArray[np.uint8], lines: NDArray[np.uint8], style: str) -> NDArray[np.uint8]:
    """What the model sees of a page (H, W): its lines, in "line + shadow" with its blacks and shadows."""
    if style == "line":
        return lines
    shadow = (gray > BLACK_UP_TO) & (gray < SHADOW_BELOW)
    result = np.where(shadow, np.minimum(lines, SHADOW), lines)
    result[gray <= BLACK_UP_TO] = BLACK
    return result


def paint_hints(
    lines: NDArray[np.uint8], hints: Image.Image | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The hint picture (H, W, 3) and its mask (H/8, W/8) in 0..1.

    `lines` (H, W) is the condition, `hints` an RGBA picture, transparent but for strokes, of any size."""
    height, width = lines.shape
    painted = np.repeat(lines[:, :, None], 3, axis=2)
    mask = np.zeros((height, width), np.uint8)
    if hints is not None:
        # Pillow weighs colours by their alpha when it shrinks RGBA.
        strokes = np.asarray(hints.resize((width, height), Image.Resampling.BOX))
        covered = strokes[:, :, 3] >= HINT_COVER
        painted[covered] = strokes[covered, :3]
        mask[covered] = 255
    small = resized(Image.fromarray(mask), (width // 8, height // 8))
    return painted, np.asarray(small, dtype=np.float32) / np.float32(255)
