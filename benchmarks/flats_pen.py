"""What drawings are drawn with: a pen that makes line art and coloured page at once, and the curves that shapes are made of."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]
Points = NDArray[np.float64]
WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (16, 14, 20)


class Pen:
    """Two pictures drawn at once: the line art and the coloured page."""

    def __init__(self, width: int, height: int, line: float, wobble: float, phase: float) -> None:
        self.line_art = np.full((height, width), 255, np.uint8)
        self.colored = np.full((height, width, 3), 255, np.uint8)
        self.width, self.wobble, self.phase = line, wobble, phase
        self.tilt, self.pivot = 0.0, (0.0, 0.0)
        """By how many radians what is drawn is turned, and about which point."""

    def _at(self, points: Any) -> NDArray[np.int32]:
        p = np.asarray(points, np.float64)
        if self.tilt:
            c, s = np.cos(self.tilt), np.sin(self.tilt)
            p = (p - self.pivot) @ np.array([[c, s], [-s, c]]) + self.pivot
        x, y = p[:, 0], p[:, 1]
        dx = self.wobble * (np.sin(0.03 * y + 0.011 * x + self.phase) + 0.5 * np.sin(0.08 * y + self.phase))
        dy = self.wobble * (np.sin(0.028 * x - 0.013 * y + self.phase) + 0.5 * np.sin(0.077 * x))
        return np.rint((p + np.stack([dx, dy], 1)) * 16).astype(np.int32)

    def shape(self, points: Any, color: Rgb, line: float = 1.0, gap: int = 0) -> None:
        """A closed shape; `gap` leaves its last edges open."""
        at = self._at(dense(points, closed=True))
        cv2.fillPoly(self.line_art, [at], 255, cv2.LINE_AA, 4)
        cv2.fillPoly(self.colored, [at], color, cv2.LINE_AA, 4)
        if line > 0:
            self._ink(at[: len(at) - gap] if gap else np.concatenate([at, at[:1]]), line)

    def stroke(self, points: Any, line: float = 1.0) -> None:
        self._ink(self._at(dense(points, closed=False)), line)

    def _ink(self, at: NDArray[np.int32], line: float) -> None:
        thick = max(1, round(self.width * line))
        cv2.polylines(self.line_art, [at], False, BLACK[0], thick, cv2.LINE_AA, 4)
        cv2.polylines(self.colored, [at], False, BLACK, thick, cv2.LINE_AA, 4)

    def limb(self, points: Any, width: float, color: Rgb) -> None:
        """A tube along a path."""
        at = self._at(smooth(points))
        line = max(1.0, self.width)
        outer, inner = max(2, round(width + 2 * line)), max(1, round(width))
        for picture, ink, fill in ((self.line_art, BLACK[0], 255), (self.colored, BLACK, color)):
            cv2.polylines(picture, [at], False, ink, outer, cv2.LINE_AA, 4)
            cv2.polylines(picture, [at], False, fill, inner, cv2.LINE_AA, 4)

    def dot(self, x: float, y: float, r: float, color: Rgb | None = None) -> None:
        self.shape(ring(x, y, r, r), BLACK if color is None else color, 0.0 if color is None else 1.0)
        if color is None:
            cv2.circle(
                self.line_art,
                tuple(self._at([(x, y)])[0].tolist()),
                round(r * 16),
                BLACK[0],
                -1,
                cv2.LINE_AA,
                4,
            )


def dense(points: Any, *, closed: bool) -> Points:
    p = np.asarray(points, np.float64)
    if closed:
        p = np.concatenate([p, p[:1]])
    length = np.maximum(1, (np.hypot(*np.diff(p, axis=0).T) / 12).astype(int))
    parts = [
        a + (b - a) * np.linspace(0, 1, n, endpoint=False)[:, None]
        for a, b, n in zip(p[:-1], p[1:], length, strict=True)
    ]
    return np.concatenate([*parts, p[-1:]] if not closed else parts)


def smooth(points: Any) -> Points:
    """A Catmull-Rom curve through the points."""
    p = np.asarray(points, np.float64)
    if len(p) < 3:
        return dense(p, closed=False)
    ends = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, 10, endpoint=False)[:, None]
    out = []
    for a, b, c, d in zip(ends[:-3], ends[1:-2], ends[2:-1], ends[3:], strict=True):
        out.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    return np.concatenate([*out, p[-1:]])


def ring(x: float, y: float, rx: float, ry: float, a: float = 0, b: float = 360) -> Points:
    t = np.radians(np.linspace(a, b, 40, endpoint=b - a < 360))
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def scallops(
    x: float, y: float, rx: float, ry: float, n: int, depth: float, a: float = 0, b: float = 360
) -> Points:
    t = np.radians(np.linspace(a, b, 16 * n))
    r = 1 + depth * np.abs(np.sin((t - t[0]) * n / 2 * (360 / (b - a))))
    return np.stack([x + rx * r * np.cos(t), y + ry * r * np.sin(t)], 1)


def spikes(x: float, y: float, rx: float, ry: float, n: int, depth: float, a: float, b: float) -> Points:
    t = np.radians(np.linspace(a, b, 2 * n + 1))
    r = np.where(np.arange(2 * n + 1) % 2 == 0, 1.0, 1 + depth)
    return np.stack([x + rx * r * np.cos(t), y + ry * r * np.sin(t)], 1)
