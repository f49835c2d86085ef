"""Cobra's pictures before and after the networks: sizes, crops, line styles, hints, the way back.

Plain Pillow and NumPy, on 8-bit pictures. Sizes are (width, height), as Pillow has them. What the model
was trained on fixes the filters: bicubic wherever nothing else is said.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

from ...io.images import srgb_profile
from ...logging_config import get_logger

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]

log = get_logger(__name__)

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

BLACK_UP_TO, BLACK = 74, 18  # grey values of the page that are black in "line + shadow", and what they become
SHADOW_BELOW, SHADOW = 145, 155  # grey values that are shadow, and what they become

HINT_COVER = 64  # of 255: a place of the bucket that strokes cover by a quarter is painted

# CLIPImageProcessor's defaults: side, mean and standard deviation of RGB in [0, 1].
CLIP_SIDE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_LONGEST_RATIO = 2.5  # a page longer than this is cut in pieces (webtoon strips)
_PIECE_RATIO = 1.5  # length of a piece over its width that cutting aims at
_SHORTEST_PIECE = 256  # pixels: a strip a few pixels wide is not cut into thousands of pieces
_SEARCH = 0.25  # of a piece's length: how far from the aim an empty row may lie
_OVERLAP = 0.1  # of a piece's length, shared by two pieces where no row is empty
_EMPTY_RANGE = 12  # grey levels within a row that still count as empty: scanner and JPEG noise


def to_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of the profile `icc` (None: sRGB) in sRGB; an unusable profile counts as sRGB."""
    return _converted(rgb, icc, None)


def from_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """The way back."""
    return _converted(rgb, None, icc)


def _converted(rgb: NDArray[np.uint8], source: bytes | None, target: bytes | None) -> NDArray[np.uint8]:
    standard = srgb_profile()
    source, target = source or standard, target or standard
    if source == target:
        return rgb
    try:
        converted = ImageCms.profileToProfile(
            Image.fromarray(rgb),
            ImageCms.ImageCmsProfile(io.BytesIO(source)),
            ImageCms.ImageCmsProfile(io.BytesIO(target)),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        log.warning("A page's colour profile cannot be used (%s): taken for sRGB", error)
        return rgb
    return rgb if converted is None else np.asarray(converted)


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


def choose_bucket(size: Size, buckets: Sequence[Size] = BUCKETS) -> Size:
    """The bucket whose ratio width / height is nearest to that of `size`."""
    ratio = size[0] / size[1]
    return min(buckets, key=lambda bucket: abs(ratio - bucket[0] / bucket[1]))


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


def condition(grey: NDArray[np.uint8], lines: NDArray[np.uint8], style: str) -> NDArray[np.uint8]:
    """What the model sees of a page (H, W): its lines, in "line + shadow" with its blacks and shadows."""
    if style == "line":
        return lines
    shadow = (grey > BLACK_UP_TO) & (grey < SHADOW_BELOW)
    result = np.where(shadow, np.minimum(lines, SHADOW), lines)
    result[grey <= BLACK_UP_TO] = BLACK
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


def pieces(grey: NDArray[np.uint8]) -> list[tuple[slice, slice]]:
    """Where to cut a page (H, W) that is longer than 2.5 times its width, or wider than 2.5 times its height.

    (rows, columns) of each piece, in order; neighbours meet at an empty row, or overlap where none is near."""
    height, width = grey.shape
    if width > height:
        return [(across, along) for along, across in pieces(grey.T)]
    everything = slice(0, width)
    length = max(round(_PIECE_RATIO * width), _SHORTEST_PIECE)
    longest = max(_LONGEST_RATIO * width, _PIECE_RATIO * length)
    span = np.ptp(grey, axis=1)
    cuts = []
    top = 0
    while height - top > longest:
        aim = top + length
        reach = int(_SEARCH * length)
        near = np.flatnonzero(span[aim - reach : aim + reach + 1] <= _EMPTY_RANGE) + aim - reach
        if len(near):
            bottom = int(near[np.argmin(np.abs(near - aim))])
            cuts.append((slice(top, bottom), everything))
            top = bottom
        else:
            cuts.append((slice(top, aim), everything))
            top = aim - int(_OVERLAP * length)
    return [*cuts, (slice(top, height), everything)]


def join(parts: Sequence[NDArray[np.uint8]], places: Sequence[tuple[slice, slice]]) -> NDArray[np.uint8]:
    """One picture (H, W, 3) of coloured `pieces`; where two overlap, one fades into the other."""
    height, width = (max(place[axis].stop for place in places) for axis in (0, 1))
    result = np.empty((height, width, 3), np.uint8)
    done = [0, 0]
    for part, place in zip(parts, places, strict=True):
        axis = 0 if place[0].start else 1  # pieces follow each other along one axis only
        overlap = done[axis] - place[axis].start if place[axis].start else 0
        fresh = part.astype(np.float32) if overlap else part
        if overlap:
            shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
            weight = ((np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)).reshape(shape)
            shared = tuple(
                slice(place[a].start, place[a].start + overlap) if a == axis else place[a] for a in (0, 1)
            )
            own: Any = (slice(0, overlap), slice(None)) if axis == 0 else (slice(None), slice(0, overlap))
            fresh[own] = fresh[own] * weight + result[shared] * (1 - weight)
            fresh = np.rint(fresh).astype(np.uint8)
        result[place] = fresh
        done = [place[0].stop, place[1].stop]
    return result


def keep_ink(
    coloured: NDArray[np.uint8], page: NDArray[np.uint8], grey: NDArray[np.uint8], reach: int
) -> NDArray[np.uint8]:
    """The page's own ink over the model's colours, all (H, W, 3) of the page's size; `grey` is the page's.

    Black ink comes back pixel for pixel, softer ink darkens. The model's own drawing of a black line, blurred
    by the enlargement, would stand beside it as a halo: where the page is light within `reach` pixels of
    black, colours become at least as light as the nearest ones beyond."""
    import cv2

    black = grey <= BLACK_UP_TO
    near = cv2.dilate(black.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    result = coloured.copy()
    halo = (near == 1) & (grey >= SHADOW_BELOW)
    if halo.any() and not near.all():
        _, labels = cv2.distanceTransformWithLabels(
            near, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        beyond = np.zeros((int(labels.max()) + 1, 3), np.uint8)
        beyond[labels[near == 0]] = coloured[near == 0]
        result[halo] = np.maximum(coloured[halo], beyond[labels[halo]])
    soft = (grey > BLACK_UP_TO) & (grey < SHADOW_BELOW)
    weight = (SHADOW_BELOW - grey[soft, None].astype(np.float32)) / (SHADOW_BELOW - BLACK_UP_TO)
    darker = np.minimum(coloured[soft], page[soft])
    result[soft] = np.rint(coloured[soft] * (1 - weight) + darker * weight)
    result[black] = page[black]
    return result
