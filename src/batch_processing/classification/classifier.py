"""Line art or coloured: what one look at a page tells.

Line art is what still wants colour: ink, pencil, screentone, gray painting, and any page of one hue on whatever
paper (sepia, a blue duotone). Coloured is a page whose *areas* show more than one hue.

The look is taken at 256 pixels. The tint of the paper is divided out; a 7x7 median then removes what is thin
(pencil lines, speckles) and what is noise (JPEG, scanner), so that only coloured areas remain. All colours of a
one-hue page lie on one ray from neutral gray, whatever its tone curve; the share of the page that lies off that
ray is what tells best. A logistic model fitted on pages of known kind makes a probability of the measures.

Promised: the same answer for the same pixels; an answer for every picture that can be decoded, down to one pixel;
the confidence is the probability of being right on pages like those of the fit (`benchmarks/classification.py`
prints the table); a page of one strong hue stays below `ASK_BELOW`, because one person calls it line art
and the next a coloured reference.
Refused: files that cannot be decoded (`ClassificationError`).
Not guaranteed: the intention of the artist. Below `ASK_BELOW` ask a person.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from ..exceptions import ClassificationError, ImageProcessingError, ValidationError, reason
from ..messages import Message, joined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ..io.images import Page

__all__ = ["ASK_BELOW", "VERSION", "ImageClassifier", "ImageType"]

logger = logging.getLogger(__name__)

#: Part of the key under which results are kept: change it whenever an answer can change.
VERSION = "1"
#: Confidence below which a person should be asked.
ASK_BELOW = 0.7

#: Longest side, in pixels, at which a page is looked at. Smaller, thin colouring gets lost; larger, pencil
#: lines of a 1400 px page survive the median, and a page takes four times as long.
SIDE = 256
#: The strongest tint that passes for paper: 1 - darkest / lightest channel. Kraft paper has 0.45.
PAPER_TINT = 0.45
#: A dark page is brightened at most so much: more would turn the noise of black into colour.
PAPER_GAIN = 2.0
#: A pixel has colour from this distance from gray on, in 1/255, at the default saturation threshold. JPEG at
#: quality 30 leaves up to 6 after the median.
COLOR_FLOOR = 8.0
#: With this power of the threshold the distance is 0 at a threshold of 0 and 255, which nothing reaches, at 1.
FLOOR_POWER = math.log(255.0 / COLOR_FLOOR) / math.log(1.0 / 0.15)
#: A pixel is of the main hue when its direction differs by no more than this tangent (17 degrees): coarse JPEG
#: quantisation turns the hue of a one-hue page so far.
SAME_HUE = 0.3
#: Paper less tinted than this is white.
UNTINTED = 0.02
#: Share of coloured pixels from which on it is worth asking whether uneven light has made them.
LIGHT_WORTH = 0.05
#: How far from the plane of light, in log(R/G) and log(B/G), a pixel still speaks about the light: 15 % of a channel.
LIGHT_SPREAD = 0.15
#: A step of luminance to the left or upper neighbour that counts as an edge, in 1/255.
EDGE_STEP = 40
#: Added to shares before their logarithm: 0.1 % of a page is the least that says anything.
SHARE_FLOOR = 0.001
#: A page is of one strong hue when more than the area is coloured, and less than the share of that is of another hue
#: (coarse JPEG leaves up to 5 %): by definition line art, with log-odds in this range (confidence 0.52 to 0.65). Only a page more vivid than prints
#: in one ink (mean saturation above twice its threshold: a blue night) may be coloured, no surer than that.
ONE_HUE_SHARE = 0.05
ONE_HUE_AREA = 0.1
ONE_HUE_ODDS = (0.1, 0.6)
#: Pictures of fewer pixels than this tell less than their model believes.
FEW_PIXELS = 500.0
#: Results remembered by one classifier; one takes about 1 kB.
CACHE_SIZE = 4096

DEFAULT_SATURATION = 0.15
DEFAULT_COLORS = 1000
DEFAULT_EDGES = 0.3

#: The logistic model: the log-odds of "coloured" are `intercept` plus the weighted natural logarithms of the
#: measures. Fitted by `benchmarks/classification.py --fit` on 1,820 variants of training pages, with a ridge;
#: one-hue pages went in as 38 % coloured. The weight of the edges is set by hand, see there.
WEIGHTS = {
    "intercept": 5.409,
    "second_hue": 0.594,
    "coloured_area": 0.499,
    "saturation": 0.298,
    "color_count": 1.162,
    "edge_density": -0.300,
}


@dataclass(frozen=True)
class ImageType:
    """What a page is, how sure that is, and why.

    `confidence` is in [0, 1]; an answer of the classifier has at least 0.5. `metrics` holds plain numbers:
    `saturation` (mean, 0 to 1, of the page without its paper tint), `color_count` (colours left at five bits per channel),
    `edge_density`, `coloured_area`, `second_hue` (shares of the page, 0 to 1), `paper_tint` (0 to 1).
    """

    type: Literal["line_art", "colored"]
    confidence: float
    metrics: dict[str, float | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type not in {"line_art", "colored"}:
            raise ValueError(f"Invalid image_type: {self.type!r}; it is line_art or colored")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence must be between 0 and 1, not {self.confidence}")


class ImageClassifier:
    """Tells line art from coloured pages. Safe to use from several threads.

    The thresholds say where a measure begins to speak for colour; each moves the balance of evidence:
    `saturation_threshold` in [0, 1] (also how far from gray a pixel must be to count as coloured),
    `color_count_threshold` at least 1, `edge_ratio_threshold` in [0, 1] (more edges than that speak for line art).
    Nonsense raises ValidationError that names every bad one.
    """

    def __init__(
        self,
        saturation_threshold: float = DEFAULT_SATURATION,
        color_count_threshold: int = DEFAULT_COLORS,
        edge_ratio_threshold: float = DEFAULT_EDGES,
    ) -> None:
        problems = [
            Message("{name} must be a number between 0 and 1, not {given}", name=name, given=repr(value))
            for name, value in (
                ("saturation_threshold", saturation_threshold),
                ("edge_ratio_threshold", edge_ratio_threshold),
            )
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1
        ]
        if (
            isinstance(color_count_threshold, bool)
            or not isinstance(color_count_threshold, int)
            or color_count_threshold < 1
        ):
            problems.append(
                Message(
                    "color_count_threshold must be a whole number from 1 on, not {color_count_threshold}",
                    color_count_threshold=repr(color_count_threshold),
                )
            )
        if problems:
            raise ValidationError(joined(problems, "; "))
        self.saturation_threshold = float(saturation_threshold)
        self.color_count_threshold = color_count_threshold
        self.edge_ratio_threshold = float(edge_ratio_threshold)
        self._cache: OrderedDict[Path, tuple[tuple[int, ...], ImageType]] = OrderedDict()
        self._lock = threading.Lock()

    def classify(self, path: str | os.PathLike[str]) -> ImageType:
        """The kind of one image file; ClassificationError when it cannot be read.

        Answers are remembered until size, times or inode of the file change.
        """
        from ..io import images

        key = Path(path).absolute()
        try:
            stamp = _stamp(key.stat())
            known = self._remembered(key, stamp)
            if known is None:
                known = self.classify_page(images.decode(key, max_side=SIDE))
                self._remember(key, stamp, known)
        except (ImageProcessingError, OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise ClassificationError(os.fspath(path), _reason(error)) from error
        return ImageType(known.type, known.confidence, dict(known.metrics))

    def classify_batch(
        self, paths: Iterable[str | os.PathLike[str]]
    ) -> list[ImageType | ClassificationError]:
        """One answer per path, in the order given.

        An unreadable file does not cost the others their answers: its ClassificationError stands in its place
        and is logged as a warning.
        """
        answers: list[ImageType | ClassificationError] = []
        for path in paths:
            try:
                answers.append(self.classify(path))
            except ClassificationError as error:
                logger.warning("%s", error)
                answers.append(error)
        return answers

    def classify_page(self, page: Page | NDArray[np.uint8]) -> ImageType:
        """The kind of a decoded page: a `Page`, or an 8-bit array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).

        Alpha lies on white. Any size will do; what is larger than 256 pixels is scaled down first.
        """
        rgb = _shrunk(_rgb(page))
        tint, whiten = _paper(rgb)
        raw_areas = _areas(rgb)
        areas = _looked_up(raw_areas, whiten)
        floor = COLOR_FLOOR * (self.saturation_threshold / DEFAULT_SATURATION) ** FLOOR_POWER
        colored_area, second_hue = _hues(areas, floor)
        if colored_area > LIGHT_WORTH and (evened := _even_light(areas, floor)) is not None:
            areas = evened
            colored_area, second_hue = _hues(areas, floor)
        if second_hue > 0 and tint > UNTINTED:
            # Ink on tinted paper is of one hue before the paper is taken out, and where JPEG has smeared the
            # tint, only then.
            second_hue = min(second_hue, _hues(raw_areas, floor)[1])
        metrics: dict[str, float | int] = {
            "saturation": _saturation(areas),
            "color_count": _colors(areas),
            "edge_density": _edges(_looked_up(rgb, whiten)),
            "coloured_area": colored_area,
            "second_hue": second_hue,
            "paper_tint": tint,
        }
        pixels = rgb.shape[0] * rgb.shape[1]
        odds = self._log_odds(metrics) * pixels / (pixels + FEW_PIXELS)
        if colored_area > ONE_HUE_AREA and second_hue < ONE_HUE_SHARE * colored_area:
            vivid = metrics["saturation"] > 2 * self.saturation_threshold
            odds = max(min(odds, ONE_HUE_ODDS[1] if vivid else -ONE_HUE_ODDS[0]), -ONE_HUE_ODDS[1])
        confidence = 1.0 / (1.0 + math.exp(-abs(odds)))
        return ImageType("colored" if odds > 0 else "line_art", confidence, metrics)

    def get_classification_confidence(self, path: str | os.PathLike[str]) -> float:
        """The confidence of `classify(path)`, 0.5 to 1."""
        return self.classify(path).confidence

    def analyze_color_saturation(self, image: Page | NDArray[np.uint8]) -> float:
        """Mean HSV saturation of the picture as it is, 0 (gray) to 1; dark pixels count less."""
        return _saturation(_rgb(image))

    def count_unique_colors(self, image: Page | NDArray[np.uint8]) -> int:
        """Number of different colours at five bits per channel, 1 to 32768; so noise does not count as colours."""
        return _colors(_rgb(image))

    def calculate_edge_density(self, image: Page | NDArray[np.uint8]) -> float:
        """Share of the pixels, 0 to 1, at which the luminance jumps by 40 of 255 or more."""
        return _edges(_rgb(image))

    def clear_cache(self) -> None:
        """Forget all answers."""
        with self._lock:
            self._cache.clear()

    def _log_odds(self, metrics: dict[str, float | int]) -> float:
        measures = log_measures(
            metrics, self.saturation_threshold, self.color_count_threshold, self.edge_ratio_threshold
        )
        return WEIGHTS["intercept"] + sum(WEIGHTS[name] * value for name, value in measures.items())

    def _remembered(self, key: Path, stamp: tuple[int, ...]) -> ImageType | None:
        with self._lock:
            entry = self._cache.get(key)
            if entry is None or entry[0] != stamp:
                return None
            self._cache.move_to_end(key)
            return entry[1]

    def _remember(self, key: Path, stamp: tuple[int, ...], answer: ImageType) -> None:
        with self._lock:
            self._cache[key] = stamp, answer
            self._cache.move_to_end(key)
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)


def log_measures(
    metrics: dict[str, float | int],
    saturation_threshold: float = DEFAULT_SATURATION,
    color_count_threshold: int = DEFAULT_COLORS,
    edge_ratio_threshold: float = DEFAULT_EDGES,
) -> dict[str, float]:
    """What the model weighs: logarithms of the shares, and of the other measures relative to their thresholds."""
    return {
        "second_hue": math.log(metrics["second_hue"] + SHARE_FLOOR),
        "coloured_area": math.log(metrics["coloured_area"] + SHARE_FLOOR),
        "saturation": math.log((metrics["saturation"] + SHARE_FLOOR) / (saturation_threshold + SHARE_FLOOR)),
        "color_count": math.log(metrics["color_count"] / color_count_threshold),
        "edge_density": math.log((metrics["edge_density"] + 0.01) / (edge_ratio_threshold + 0.01)),
    }


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns


def _reason(error: Exception) -> Message:
    if isinstance(error, ImageProcessingError):
        return error.why
    if isinstance(error, OSError):
        return Message("cannot be read: {reason}", reason=reason(error))
    return reason(error)


def _rgb(image: Page | NDArray[np.uint8] | Any) -> NDArray[np.uint8]:
    """(h, w, 3) of a page, an array or a Pillow image; ValidationError for what is none of them."""
    pixels = getattr(image, "rgb", image)
    if isinstance(pixels, Image.Image):
        pixels = np.asarray(pixels.convert("RGB"))
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValidationError("a page is an 8-bit array of one pixel or more; decode the file first")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in {1, 3, 4}:
        raise ValidationError(
            "a page has one, three or four channels; this array has the shape {shape}", shape=pixels.shape
        )
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.uint16)
        pixels = ((pixels[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _shrunk(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    longest = max(height, width)
    if longest <= SIDE:
        return rgb
    import cv2

    size = max(1, round(width * SIDE / longest)), max(1, round(height * SIDE / longest))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _paper(rgb: NDArray[np.uint8]) -> tuple[float, NDArray[np.uint8]]:
    """The tint of the paper, 0 to 1, and the table (1, 256, 3) that makes the paper white.

    Paper is the median of the brightest twentieth of the page and what is nearly as bright: narrow enough for the
    gutters between pale panels. On a black page it is the lines.
    """
    import cv2

    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    levels = np.cumsum(np.bincount(gray.ravel(), minlength=256))
    bright, brightest = (int(np.searchsorted(levels, share * gray.size)) for share in (0.95, 0.99))
    paper = np.maximum(np.median(rgb[gray >= int(max(0.96 * bright, 0.5 * brightest))], axis=0), 1.0)
    lightest = float(paper.max())
    tint = 1.0 - float(paper.min()) / lightest
    if tint > PAPER_TINT:  # no paper: take out as much as paper could have
        paper = lightest * (1.0 - (1.0 - paper / lightest) * PAPER_TINT / tint)
    gain = lightest / paper * min(255.0 / lightest, PAPER_GAIN)
    table = np.minimum(np.arange(256)[:, None] * gain + 0.5, 255.0).astype(np.uint8)
    return tint, np.ascontiguousarray(table[None])


def _looked_up(rgb: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.LUT(rgb, table), np.uint8)


def _areas(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The page without what is thin or noise."""
    import cv2

    return np.asarray(cv2.medianBlur(rgb, 7), np.uint8)


def _even_light(areas: NDArray[np.uint8], floor: float) -> NDArray[np.uint8] | None:
    """The page under one even light; None where uneven light does not explain most of the colour on it.

    Light multiplies, so that its tint is a field of log(R/G) and log(B/G); a plane is fitted to it, beginning at
    the paper, with weights that forget what is far from the plane (the figures on the page).
    """
    height, width = areas.shape[:2]
    sample = areas[::4, ::4]
    pixels = sample.reshape(-1, 3).astype(np.float32)
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    across, down = (axis.ravel() for axis in np.meshgrid(x[::4], y[::4]))
    basis = np.stack([np.ones_like(across), across, down], axis=1)
    logs = np.log(pixels + 8.0)  # 8: near-black has no tint
    tints = logs[:, ::2] - logs[:, 1:2]
    brightness = np.square(pixels[:, 1] / 255.0)
    plane = np.zeros((3, 2), np.float32)
    for _ in range(8):
        off = np.square(tints - basis @ plane).sum(axis=1)
        weighted = (basis * (brightness * np.exp(off * (-1 / LIGHT_SPREAD**2)))[:, None]).T
        plane = np.linalg.solve(weighted @ basis + np.eye(3, dtype=np.float32), weighted @ tints)

    def evened(part: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.uint8]:
        red, blue = (np.exp(-(a + b * x[None, :] + c * y[:, None])) for a, b, c in plane.T)
        gain = np.stack([red, np.ones_like(red), blue], axis=2)
        gain /= np.maximum(np.maximum(red, blue), 1.0)[:, :, None]
        return np.asarray(part * gain + 0.5, np.uint8)

    before, after = _hues(sample, floor), _hues(evened(sample, x[::4], y[::4]), floor)
    if after[0] < before[0] / 2 and after[1] <= before[1]:
        return evened(areas, x, y)
    return None


def _hues(rgb: NDArray[np.uint8], floor: float) -> tuple[float, float]:
    """Shares of the pixels that are further than `floor` from gray, and from the ray of the main hue.

    The plane is (R - G, (R + G)/2 - B) in 1/255: shading a colour, and mixing it with white or black, moves it
    along a ray from the origin. The histogram of the plane has some hundred entries where the page has 50,000 pixels.
    """
    red, green, blue = (rgb[:, :, i].astype(np.int32) for i in range(3))
    plane = (red - green + 255) << 9 | (((red + green) >> 1) - blue + 255)
    counts = np.bincount(plane.ravel(), minlength=1 << 18)
    cells = np.flatnonzero(counts)
    weight = counts[cells].astype(np.float64)
    x, y = (cells >> 9) - 255.0, (cells & 511) - 255.0
    distance = np.hypot(x, y)
    colored = float(weight[distance > floor].sum() / weight.sum())

    # the main hue: the heaviest 30 degrees, weighed by colourfulness
    weight_of_color = weight * np.maximum(distance - floor / 2, 0.0)
    sector = ((np.arctan2(y, x) + np.pi) * (36 / (2 * np.pi))).astype(np.int32) % 36
    by_sector = np.bincount(sector, weights=weight_of_color, minlength=36)
    main = int(np.argmax(by_sector + np.roll(by_sector, 1) + np.roll(by_sector, -1)))
    near = np.isin(sector, [(main - 1) % 36, main, (main + 1) % 36])
    along_x, along_y = (float((weight_of_color * v)[near].sum()) for v in (x, y))
    length = math.hypot(along_x, along_y)
    if length == 0.0:
        return colored, 0.0
    along_x, along_y = along_x / length, along_y / length
    reach = np.maximum(x * along_x + y * along_y, 0.0)
    off = np.hypot(x - reach * along_x, y - reach * along_y)
    return colored, float(weight[off > np.maximum(floor, SAME_HUE * reach)].sum() / weight.sum())


def _saturation(rgb: NDArray[np.uint8]) -> float:
    """Mean of (max - min) / max; max counts as 64 at least, because the hue of near-black is noise."""
    red, green, blue = (
        rgb[:, :, 0],
        rgb[:, :, 1],
        rgb[:, :, 2],
    )  # by channel: ten times faster than over axis 2
    highest = np.maximum(np.maximum(red, green), blue).astype(np.float32)
    lowest = np.minimum(np.minimum(red, green), blue)
    return float(np.mean((highest - lowest) / np.maximum(highest, 64.0)))


def _colors(rgb: NDArray[np.uint8]) -> int:
    five = (rgb >> 3).astype(np.int32)
    codes = five[:, :, 0] << 10 | five[:, :, 1] << 5 | five[:, :, 2]
    return int(np.count_nonzero(np.bincount(codes.ravel(), minlength=1 << 15)))


def _edges(rgb: NDArray[np.uint8]) -> float:
    import cv2

    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    edge = np.zeros(gray.shape, bool)
    edge[:, 1:] |= cv2.absdiff(gray[:, 1:], gray[:, :-1]) >= EDGE_STEP if gray.shape[1] > 1 else False
    edge[1:] |= cv2.absdiff(gray[1:], gray[:-1]) >= EDGE_STEP if gray.shape[0] > 1 else False
    return float(edge.mean())
