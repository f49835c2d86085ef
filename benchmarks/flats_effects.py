"""What crosses a panel and encloses nothing: cables, strings, stays; and lines that all run to one place, on white.

A string parts a sky in two, and both are sky. Where all lines of a panel run to where something happens, or along with
what moves, there is no place behind it, and the paper stays white.
"""

from __future__ import annotations

import cv2
import numpy as np
from benchmarks.flats_pen import BLACK, WHITE, Pen

THIN = (0.35, 0.85)
"""Widths of strings, of that of the pen."""


def strings(pen: Pen, rng: np.random.Generator) -> None:
    """One to four thin lines: cables from side to side, stays from one point, or a string from anywhere to the rim."""
    h, w = pen.line_art.shape
    line = float(rng.uniform(*THIN))
    kind = rng.integers(3)
    if kind == 0:
        (left, right), sag = h * rng.uniform(0, 0.6, 2), h * rng.uniform(0, 0.2)
        across = np.linspace(-0.02, 1.02, 24)
        for row in range(int(rng.integers(1, 4))):
            down = h * row * rng.uniform(0.03, 0.12)
            height = left + (right - left) * across + 4 * sag * across * (1 - across) + down
            pen.stroke(np.stack([across * w, height], 1), line)
        return
    x, y = w * rng.uniform(0.15, 0.85), h * rng.uniform(0.05, 0.6)
    count = int(rng.integers(2, 5)) if kind == 1 else 1
    for number in range(count):
        if kind == 1:
            end = (w * (number + rng.uniform(0.2, 0.8)) / count, h * rng.uniform(0.8, 1.05))
        else:
            turn = rng.uniform(0, 2 * np.pi)
            end = (x + 2 * w * np.cos(turn), y + 2 * h * np.sin(turn))
        pen.stroke([(x, y), end], line)


def focus(pen: Pen, rng: np.random.Generator) -> None:
    """White, with tapering lines from the rim towards a point, or from one side along with what moves."""
    h, w = pen.line_art.shape
    pen.line_art[:], pen.colored[:] = 255, WHITE
    count = int(rng.integers(15, 80))
    thick = pen.width * rng.uniform(0.4, 1.6, count)
    if rng.random() < 0.7:
        middle = np.array([w * rng.uniform(0.35, 0.65), h * rng.uniform(0.35, 0.65)])
        turn = 2 * np.pi * (np.arange(count) + rng.uniform(0, 1, count)) / count
        way = np.stack([np.cos(turn), np.sin(turn)], 1)
        side = np.stack([-way[:, 1], way[:, 0]], 1)
        outer = middle + way * (w + h)
        inner = middle + way * (min(w, h) * rng.uniform(0.25, 0.45) * rng.uniform(0.8, 1.6, count))[:, None]
        # A wedge is as thick as said where the panel ends, about half of this away.
        spread = side * thick[:, None]
    else:
        at = h * rng.uniform(0, 1, count)
        outer = np.stack([np.full(count, -1.0), at], 1)
        inner = np.stack([w * rng.uniform(0.15, 0.8, count), at], 1)
        if rng.random() < 0.5:
            outer[:, 0], inner[:, 0] = w + 1 - outer[:, 0], w - inner[:, 0]
        spread = np.stack([np.zeros(count), thick / 2], 1)
    for a, b, tip in zip(outer + spread, outer - spread, inner, strict=True):
        wedge = np.rint(np.array([a, b, tip]) * 16).astype(np.int32)
        for picture, ink in ((pen.line_art, BLACK[0]), (pen.colored, BLACK)):
            cv2.fillPoly(picture, [wedge], ink, cv2.LINE_AA, 4)
