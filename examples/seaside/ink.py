"""Pen, brush and paper of the sample chapter: shapes are filled back to front and then inked.

One scene gives two pictures. On a line-art canvas every fill is paper white (so it hides the ink
behind it) and on a colour canvas it is the flat colour: the coloured page is therefore the exact
truth of the line-art page. Coordinates and line widths are page pixels; the canvas draws `OVERSAMPLE`
times larger and averages. Everything is a function of its arguments: no clock, no random state.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Points = NDArray[np.float64]

Color = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLE = 3
"""Drawn pixels per page pixel and direction: nine grey levels at an edge, as a 600 dpi bitmap has at 200 dpi."""
STEP = 1.6
"""Distance in page pixels between two samples of a curve: shorter than any line is wide."""
_SHIFT = 4  # fractional bits of the coordinates given to OpenCV
INK: Color = (24, 22, 28)
PAPER: Color = (255, 255, 255)
_LIGHT = np.array([-0.55, -0.83])
"""Direction towards the light. Outlines grow heavier on the side away from it, as a nib pressed there."""


def points(values: ArrayLike) -> Points:
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def resample(path: Points, step: float = STEP) -> Points:
    """The open polyline `path`, (n, 2), with vertices every `step` page pixels or a little less."""
    lengths = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if along[-1] < 1e-6:
        return path[:1]
    at = np.linspace(0.0, along[-1], max(2, ceil(along[-1] / step) + 1))
    return np.stack([np.interp(at, along, path[:, 0]), np.interp(at, along, path[:, 1])], axis=1)


def _subdivide(path: Points) -> Points:
    """`path` with every vertex kept and long edges split, so that `_by_hand` bends them as it bends their ink."""
    edges = np.diff(path, axis=0)
    parts = np.maximum(1, np.ceil(np.hypot(edges[:, 0], edges[:, 1]) / 10)).astype(int)
    first = np.repeat(np.cumsum(parts) - parts, parts)
    along = (np.arange(parts.sum()) - first) / np.repeat(parts, parts)
    split = np.repeat(path[:-1], parts, axis=0) + np.repeat(edges, parts, axis=0) * along[:, None]
    return np.concatenate([split, path[-1:]])


def spline(controls: ArrayLike, *, closed: bool = False, corners: Iterable[int] = ()) -> Points:
    """A Catmull-Rom curve through `controls`, sharp at the control points named in `corners`."""
    knots = points(controls)
    count = len(knots)
    sharp = set(corners)
    if count < 3:
        return resample(knots)
    before = np.roll(knots, 1, axis=0)
    after = np.roll(knots, -1, axis=0)
    tangents = (after - before) / 2
    if not closed:
        tangents[0], tangents[-1] = knots[1] - knots[0], knots[-1] - knots[-2]
    pieces = []
    for i in range(count if closed else count - 1):
        a, b = knots[i], knots[(i + 1) % count]
        ta = (b - a) if i in sharp else tangents[i]
        tb = (b - a) if (i + 1) % count in sharp else tangents[(i + 1) % count]
        steps = max(10, ceil(float(np.hypot(*(b - a))) / (2 * STEP)))
        t = np.linspace(0, 1, steps, endpoint=False)[:, None]
        pieces.append(
            (2 * t**3 - 3 * t**2 + 1) * a
            + (t**3 - 2 * t**2 + t) * ta
            + (3 * t**2 - 2 * t**3) * b
            + (t**3 - t**2) * tb
        )
    if not closed:
        pieces.append(knots[-1:])
    return np.concatenate(pieces)


def ellipse(
    center: Point, rx: float, ry: float, *, start: float = 0, end: float = 360, tilt: float = 0
) -> Points:
    """Points of an ellipse or of an arc of it; angles in degrees, 0 to the right, clockwise on the page."""
    span = np.radians(np.linspace(start, end, max(36, int(max(rx, ry) * abs(end - start) / 100) + 2)))
    x, y = rx * np.cos(span), ry * np.sin(span)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return np.stack([center[0] + x * c - y * s, center[1] + x * s + y * c], axis=1)


def box(x: float, y: float, w: float, h: float) -> Points:
    return points([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])


def envelope(chains: Sequence[Sequence[tuple[Point, float]]], areas: Sequence[Points] = ()) -> Points:
    """The outline of everything within `chains` and `areas`, as one closed curve.

    A chain is a limb: (centre, radius) of each joint; between joints the radius changes evenly.
    The outline is found on a small bitmap, so limbs may bend and overlap as they like."""
    scale = OVERSAMPLE
    circles: list[tuple[Points, float]] = []
    for chain in chains:
        for (a, ra), (b, rb) in pairwise(chain):
            pa, pb = points(a)[0], points(b)[0]
            n = max(2, ceil(float(np.hypot(*(pb - pa))) / 2))
            circles += [(pa + (pb - pa) * t, ra + (rb - ra) * float(t)) for t in np.linspace(0, 1, n)]
    corners = (
        [c - r for c, r in circles]
        + [c + r for c, r in circles]
        + [a.min(0) for a in areas]
        + [a.max(0) for a in areas]
    )
    low = np.floor(np.min(corners, axis=0)) - 3
    high = np.ceil(np.max(corners, axis=0)) + 3
    width, height = ((high - low) * scale).astype(int)
    mask = np.zeros((int(height), int(width)), np.uint8)
    one = 1 << _SHIFT
    for center, radius in circles:
        x, y = np.round((center - low) * scale * one).astype(int)
        cv2.circle(mask, (int(x), int(y)), round(radius * scale * one), 255, -1, cv2.LINE_8, _SHIFT)
    for area in areas:
        cv2.fillPoly(mask, [np.round((area - low) * scale * one).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(found, key=cv2.contourArea)[:, 0, :].astype(np.float64)
    reach = 7  # bitmap pixels: wide enough to take the stairs out of the outline, too narrow to melt a finger
    kernel = np.hanning(2 * reach + 3)[1:-1]
    kernel /= kernel.sum()
    wrapped = np.concatenate([outline[-reach:], outline, outline[:reach]])
    smooth = np.stack([np.convolve(wrapped[:, i], kernel, mode="valid") for i in (0, 1)], axis=1)
    result: Points = smooth[::3] / scale + low
    return result


def _by_hand(path: Points) -> Points:
    """Bend the page a little, everywhere the same way: straight edges look drawn and still meet."""
    x, y = path[:, 0], path[:, 1]
    dx = 0.9 * np.sin(0.031 * y + 0.011 * x) + 0.5 * np.sin(0.083 * y + 1.3)
    dy = 0.9 * np.sin(0.029 * x - 0.013 * y) + 0.5 * np.sin(0.079 * x + 0.4)
    return path + np.stack([dx, dy], axis=1)


class Canvas:
    """A sheet of `width` by `height` page pixels. `colour` decides what a fill is: flat colour or paper."""

    def __init__(self, width: int, height: int, *, color: bool) -> None:
        self.width, self.height, self.color = width, height, color
        shape = (height * OVERSAMPLE, width * OVERSAMPLE) + ((3,) if color else ())
        self.pixels: NDArray[np.uint8] = np.full(shape, 255, np.uint8)

    def picture(self) -> NDArray[np.uint8]:
        """The page at its own size: (height, width, 3) RGB when coloured, else (height, width) grey."""
        small = cv2.resize(self.pixels, (self.width, self.height), interpolation=cv2.INTER_AREA)
        result: NDArray[np.uint8] = np.asarray(small, np.uint8)
        return result

    def _value(self, color: Color) -> Color | int:
        return color if self.color else color[0]

    def _fixed(self, path: Points) -> NDArray[np.int32]:
        fixed: NDArray[np.int32] = np.round(_by_hand(path) * (OVERSAMPLE << _SHIFT)).astype(np.int32)
        return fixed

    def fill(self, area: ArrayLike, color: Color) -> None:
        """Cover `area` with a flat colour (with paper on line art; ink stays ink)."""
        shown = color if self.color or color == INK else PAPER
        dense = _subdivide(np.concatenate([points(area), points(area)[:1]]))
        cv2.fillPoly(self.pixels, [self._fixed(dense)], self._value(shown), cv2.LINE_AA, _SHIFT)

    def _run(self, path: Points, widths: Points, color: Color) -> None:
        """Ink `path` with a width per sample; where the width is under a fifth of a pixel the pen is lifted."""
        thick = np.where(widths < 0.2, 0, np.maximum(1, np.round(widths * OVERSAMPLE))).astype(int)
        fixed = self._fixed(path)
        cuts = np.flatnonzero(np.diff(thick)) + 1
        for start, stop in pairwise([0, *cuts.tolist(), len(thick)]):
            if thick[start]:
                piece = fixed[start : min(stop + 1, len(fixed))]
                cv2.polylines(
                    self.pixels, [piece], False, self._value(color), int(thick[start]), cv2.LINE_AA, _SHIFT
                )

    def line(self, path: ArrayLike, width: float = 2.2, *, taper: float = 0.75, color: Color = INK) -> None:
        """An open stroke; `taper` in [0, 1] is how much thinner its ends are than its middle."""
        dense = resample(points(path))
        t = np.linspace(0, 1, len(dense))
        self._run(dense, width * (1 - taper + taper * np.sin(np.pi * t) ** 0.7), color)

    def flick(self, path: ArrayLike, width: float = 2.2) -> None:
        """A stroke that starts firm and runs out, as hatching, grass and hair do."""
        dense = resample(points(path))
        self._run(dense, width * np.linspace(1, 0.12, len(dense)) ** 0.8, INK)

    def curve(self, controls: ArrayLike, width: float = 2.2, *, taper: float = 0.75) -> None:
        self.line(spline(controls), width, taper=taper)

    def outline(self, area: ArrayLike, width: float = 2.6, gaps: Sequence[tuple[Point, float]] = ()) -> None:
        """Ink the closed curve `area`, heavier away from the light; lift the pen within each gap's radius."""
        ring = points(area)
        ring = resample(np.concatenate([ring, ring[:1]]))
        ahead = np.roll(ring, -2, axis=0) - np.roll(ring, 2, axis=0)
        length = np.maximum(np.hypot(ahead[:, 0], ahead[:, 1]), 1e-6)
        normal = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1) / length[:, None]
        x, y = ring[:, 0], ring[:, 1]
        turning = np.sign(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) or 1.0
        widths = width * (1 - 0.32 * turning * (normal @ _LIGHT))
        for center, radius in gaps:
            distance = np.hypot(x - center[0], y - center[1])
            widths = widths * np.clip((distance - 0.8 * radius) / (0.35 * radius), 0, 1)
        self._run(ring, widths, INK)

    def shape(
        self, area: ArrayLike, color: Color, width: float = 2.6, gaps: Sequence[tuple[Point, float]] = ()
    ) -> None:
        """Fill, then ink the outline."""
        self.fill(area, color)
        self.outline(area, width, gaps)

    def hatch(
        self,
        area: ArrayLike,
        *,
        angle: float = 60,
        spacing: float = 9,
        width: float = 1.5,
        ragged: float = 0.25,
    ) -> None:
        """Parallel flicks inside `area`, each ending a little before or after its neighbour."""
        ring = points(area)
        direction = np.array([np.cos(np.radians(angle)), -np.sin(np.radians(angle))])
        across = np.array([-direction[1], direction[0]])
        u, v = ring @ direction, ring @ across
        closed_u, closed_v = np.append(u, u[0]), np.append(v, v[0])
        for i, at in enumerate(np.arange(v.min() + spacing / 2, v.max(), spacing)):
            crossings = []
            for k in range(len(ring)):
                v0, v1 = closed_v[k], closed_v[k + 1]
                if (v0 <= at) != (v1 <= at):
                    crossings.append(closed_u[k] + (at - v0) / (v1 - v0) * (closed_u[k + 1] - closed_u[k]))
            crossings.sort()
            for low, high in zip(crossings[::2], crossings[1::2], strict=False):
                short = (
                    (high - low) * ragged * (0.5 + 0.5 * np.sin(i * 2.399963))
                )  # the golden angle: no pattern
                self.flick([direction * low + across * at, direction * (high - short) + across * at], width)

    def tone(self, area: ArrayLike, *, pitch: float = 9, radius: float = 1.9) -> None:
        """Screentone: round dots on a 45 degree grid inside `area`; `pitch` between rows in page pixels."""
        ring = points(area)
        mask = np.zeros((self.height * OVERSAMPLE, self.width * OVERSAMPLE), np.uint8)
        cv2.fillPoly(mask, [self._fixed(ring)], 255, cv2.LINE_8, _SHIFT)
        low, high = ring.min(0), ring.max(0)
        one = OVERSAMPLE << _SHIFT
        value = self._value(INK)
        for row, y in enumerate(np.arange(low[1], min(high[1], self.height), pitch / 2)):
            for x in np.arange(low[0] + (row % 2) * pitch / 2, min(high[0], self.width), pitch):
                cx, cy = int(x * OVERSAMPLE), int(y * OVERSAMPLE)
                if 0 <= cy < mask.shape[0] and 0 <= cx < mask.shape[1] and mask[cy, cx]:
                    center = (int(x * one), int(y * one))
                    cv2.circle(self.pixels, center, int(radius * one), value, -1, cv2.LINE_AA, _SHIFT)

    def stamp(self, mask: NDArray[np.uint8], x: float, y: float, color: Color) -> None:
        """Lay `colour` through `mask` (drawn at `OVERSAMPLE`), its top left corner at page point (x, y)."""
        left, top = round(x * OVERSAMPLE), round(y * OVERSAMPLE)
        x0, y0 = max(0, left), max(0, top)
        x1 = min(self.pixels.shape[1], left + mask.shape[1])
        y1 = min(self.pixels.shape[0], top + mask.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        cover = mask[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32) / 255
        target = self.pixels[y0:y1, x0:x1]
        if self.color:
            cover = cover[..., None]
        target[:] = np.round(target * (1 - cover) + np.asarray(self._value(color)) * cover).astype(np.uint8)

    def paste(self, panel: Canvas, x: int, y: int, border: Points, width: float = 4) -> None:
        """Lay `panel` on this sheet at (x, y), cut along `border` (page coordinates), and rule its frame unless `width` is 0."""
        mask = np.zeros((panel.height * OVERSAMPLE, panel.width * OVERSAMPLE), np.uint8)
        cut = np.round((border - (x, y)) * (OVERSAMPLE << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [cut], 255, cv2.LINE_8, _SHIFT)
        top, left = y * OVERSAMPLE, x * OVERSAMPLE
        target = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        height, wide = target.shape[:2]
        cv2.copyTo(panel.pixels[:height, :wide], mask[:height, :wide], target)
        if not width:
            return
        ruled = np.round(border * (OVERSAMPLE << _SHIFT)).astype(np.int32)
        cv2.polylines(
            self.pixels, [ruled], True, self._value(INK), round(width * OVERSAMPLE), cv2.LINE_AA, _SHIFT
        )

    # -- lettering ------------------------------------------------------------------------------------

    def letters(self, text: str, center: Point, size: float) -> None:
        """Lines of capitals centred on a point, in the font that Pillow carries with it."""
        mask = _lettering(text, round(size * OVERSAMPLE))
        height, width = mask.shape
        self.stamp(mask, center[0] - width / OVERSAMPLE / 2, center[1] - height / OVERSAMPLE / 2, INK)

    def balloon(
        self, text: str, center: Point, *, tail: Point | None = None, size: float = 25, shout: bool = False
    ) -> None:
        """A speech balloon around `text`; `tail` is the point it speaks from, `shout` gives it a jagged edge."""
        mask = _lettering(text, round(size * OVERSAMPLE))
        rx = mask.shape[1] / OVERSAMPLE / 2 * 1.2 + size * 0.9
        ry = mask.shape[0] / OVERSAMPLE / 2 * 1.28 + size * 0.75
        x, y = center
        if shout:
            spikes = 22
            turn = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False)
            reach = np.where(np.arange(2 * spikes) % 2 == 0, 1.26 + 0.1 * np.sin(turn * 5), 1.0)
            body = np.stack([x + rx * reach * np.cos(turn), y + ry * reach * np.sin(turn)], axis=1)
        else:  # a superellipse: rounder than a box, roomier than an ellipse
            turn = np.linspace(0, 2 * np.pi, 120, endpoint=False)
            c, s = np.cos(turn), np.sin(turn)
            body = np.stack(
                [x + rx * np.sign(c) * np.abs(c) ** 0.8, y + ry * np.sign(s) * np.abs(s) ** 0.8], axis=1
            )
        if tail is not None:
            ahead = points(tail)[0] - (x, y)
            side = np.array([-ahead[1], ahead[0]]) / max(float(np.hypot(*ahead)), 1e-6) * size * 0.55
            middle = points(center)[0] + ahead * 0.6 + side * 0.7
            wedge = [
                points(center)[0] - side,
                middle - side * 0.5,
                points(tail)[0],
                middle + side * 0.5,
                points(center)[0] + side,
            ]
            body = envelope([], [body, spline(wedge, closed=True, corners=(0, 2, 4))])
        self.shape(body, PAPER, 3.0)
        self.letters(text, (x, y), size)

    def caption(self, text: str, left: float, top: float, *, size: float = 25) -> None:
        """A narrator's box with its top left corner at (left, top)."""
        mask = _lettering(text, round(size * OVERSAMPLE))
        w, h = mask.shape[1] / OVERSAMPLE + size * 1.3, mask.shape[0] / OVERSAMPLE + size * 1.1
        self.shape(box(left, top, w, h), PAPER, 2.8)
        self.letters(text, (left + w / 2, top + h / 2), size)

    def sound(self, text: str, center: Point, size: float, *, angle: float = -8, wave: float = 0.12) -> None:
        """A sound effect: hollow letters with a heavy edge, dancing around a line at `angle` degrees."""
        turn = np.radians(angle)
        glyphs = [
            None if letter == " " else _lettering(letter, round(size * OVERSAMPLE), 0.06, 0.0)
            for letter in text
        ]
        widths = [size * 0.35 if g is None else g.shape[1] / OVERSAMPLE + size * 0.04 for g in glyphs]
        along = -sum(widths) / 2
        for i, (glyph, wide) in enumerate(zip(glyphs, widths, strict=True)):
            middle = along + wide / 2
            along += wide
            if glyph is None:
                continue
            hop = size * wave * (1 if i % 2 else -1)
            x = center[0] + middle * np.cos(turn) - hop * np.sin(turn)
            y = center[1] + middle * np.sin(turn) + hop * np.cos(turn)
            pad = round(0.14 * size * OVERSAMPLE)
            sheet = cv2.copyMakeBorder(glyph, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
            center_of = (sheet.shape[1] / 2, sheet.shape[0] / 2)
            spin = cv2.getRotationMatrix2D(center_of, -angle + (5 if i % 2 else -5), 1.0)
            sheet = np.asarray(cv2.warpAffine(sheet, spin, (sheet.shape[1], sheet.shape[0])), np.uint8)
            edge = max(3, round(0.05 * size * OVERSAMPLE)) | 1
            heavy = cv2.dilate(
                sheet, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1))
            )
            left, top = x - sheet.shape[1] / OVERSAMPLE / 2, y - sheet.shape[0] / OVERSAMPLE / 2
            self.stamp(np.asarray(heavy, np.uint8), left, top, INK)
            self.stamp(np.asarray(sheet, np.uint8), left, top, PAPER)


@lru_cache(maxsize=512)
def _lettering(text: str, size: int, weight: float = 0.022, slant: float = 0.1) -> NDArray[np.uint8]:
    """`text` as a mask, cut to its ink: `size` pixels high, emboldened, and leaning a little as hand lettering."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    stroke = max(1, round(size * weight))
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    gap = round(size * 0.16)
    x0, y0, x1, y1 = probe.multiline_textbbox(
        (0, 0), text, font=font, spacing=gap, align="center", stroke_width=stroke
    )
    sheet = Image.new("L", (ceil(x1 - x0) + 4, ceil(y1 - y0) + 4), 0)
    ImageDraw.Draw(sheet).multiline_text(
        (2 - x0, 2 - y0), text, 255, font=font, spacing=gap, align="center", stroke_width=stroke
    )
    flat = np.asarray(sheet, np.uint8)
    if slant:
        reach = ceil(slant * flat.shape[0])
        lean = np.array([[1, -slant, reach], [0, 1, 0]], np.float64)
        flat = np.asarray(cv2.warpAffine(flat, lean, (flat.shape[1] + reach, flat.shape[0])), np.uint8)
    return flat
