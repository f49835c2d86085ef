"""Comics that nobody drew: pages of line art with their true colours, for training and tuning the `flats` backend.

    python benchmarks/flats_drawings.py OUT --series 4 --seed 1

writes a few series as PNG files. A series has a cast, places, things, a palette and a pen of its own, all at
random; a page has panels with people near and far, front and side, animals, things, balloons and captions. The
line art and the coloured page are the same drawing. The same seed gives the same bytes.

Nothing here is meant to be pretty, only to be as various as pages are: sizes, poses, widths of lines, open
and closed shapes, white that is paper and white that is a colour.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
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
        at = self._at(_dense(points, closed=True))
        cv2.fillPoly(self.line_art, [at], 255, cv2.LINE_AA, 4)
        cv2.fillPoly(self.colored, [at], color, cv2.LINE_AA, 4)
        if line > 0:
            self._ink(at[: len(at) - gap] if gap else np.concatenate([at, at[:1]]), line)

    def stroke(self, points: Any, line: float = 1.0) -> None:
        self._ink(self._at(_dense(points, closed=False)), line)

    def _ink(self, at: NDArray[np.int32], line: float) -> None:
        thick = max(1, round(self.width * line))
        cv2.polylines(self.line_art, [at], False, BLACK[0], thick, cv2.LINE_AA, 4)
        cv2.polylines(self.colored, [at], False, BLACK, thick, cv2.LINE_AA, 4)

    def limb(self, points: Any, width: float, color: Rgb) -> None:
        """A tube along a path."""
        at = self._at(_smooth(points))
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


def _dense(points: Any, *, closed: bool) -> Points:
    p = np.asarray(points, np.float64)
    if closed:
        p = np.concatenate([p, p[:1]])
    length = np.maximum(1, (np.hypot(*np.diff(p, axis=0).T) / 12).astype(int))
    parts = [
        a + (b - a) * np.linspace(0, 1, n, endpoint=False)[:, None]
        for a, b, n in zip(p[:-1], p[1:], length, strict=True)
    ]
    return np.concatenate([*parts, p[-1:]] if not closed else parts)


def _smooth(points: Any) -> Points:
    """A Catmull-Rom curve through the points."""
    p = np.asarray(points, np.float64)
    if len(p) < 3:
        return _dense(p, closed=False)
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


@dataclass
class Place:
    """Where a panel plays: its kind and the colours of its parts."""

    kind: str
    colors: list[Rgb]
    seed: int


@dataclass
class Series:
    """All that stays the same from page to page."""

    rng: np.random.Generator
    line: float
    wobble: float
    busts: bool
    """Panels show one or two people from the chest up before plain places; else all that there is, near and far."""
    breaks: float
    """Gaps in the lines, per 1000 pixels of ink."""
    cast: list[dict[str, Any]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


def colors_of(rng: np.random.Generator, n: int) -> list[Rgb]:
    """Colours that can be told apart (mostly): hue, lightness and saturation at random."""
    out: list[Rgb] = []
    while len(out) < n:
        h, s, v = rng.integers(0, 180), rng.integers(30, 230), rng.integers(70, 255)
        rgb = cv2.cvtColor(np.array([[[h, s, v]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        new = (int(rgb[0]), int(rgb[1]), int(rgb[2]))
        if all(sum((a - b) ** 2 for a, b in zip(new, old, strict=True)) > 900 for old in out):
            out.append(new)
    return out


def series(seed: int) -> Series:
    rng = np.random.default_rng(seed)
    made = Series(
        rng,
        float(rng.uniform(1.5, 5)),
        float(rng.choice([0, 0.6, 1.5])),
        bool(rng.random() < 0.5),
        float(rng.choice([0, 0, 0, 0.7])),
    )
    pool = colors_of(rng, 70)
    take = iter(pool)
    skins = [(250, 224, 200), (232, 184, 144), (198, 140, 96), (140, 90, 60), (90, 60, 44)]
    for _ in range(int(rng.integers(2, 6))):
        skin = skins[rng.integers(5)] if rng.random() < 0.8 else next(take)
        made.cast.append(
            {
                "kind": "person",
                "skin": skin,
                "hair": next(take) if rng.random() < 0.9 else WHITE,
                "top": next(take),
                "legs": next(take),
                "shoes": next(take),
                "extra": next(take),
                "style": int(rng.integers(13)),
                "eyes": int(rng.integers(4)),
                "glasses": rng.random() < 0.25,
                "shades": rng.random() < 0.1,
                "brows": float(rng.choice([0, 0, 0.07, 0.12])),
                "coat": int(rng.integers(6)),
                "plain": rng.random() < 0.5,
                "pocket": rng.random() < 0.2,
                "mouth": (int(rng.integers(90, 190)), int(rng.integers(20, 60)), int(rng.integers(30, 80))),
                "tongue": (
                    int(rng.integers(200, 250)),
                    int(rng.integers(90, 140)),
                    int(rng.integers(110, 150)),
                ),
                "freckles": rng.random() < 0.15,
                "bottom": int(rng.integers(4)),
                "sleeve": float(rng.choice([0.35, 1.0, 1.0])),
                "fat": float(rng.uniform(0.75, 1.35)),
                "big": float(rng.uniform(0.8, 1.5)),
                "face": float(rng.uniform(0.85, 1.2)),
                "band": rng.random() < 0.3,
                "scarf": rng.random() < 0.3,
                "nose": int(rng.integers(3)),
                "hat": rng.random() < 0.15,
                "extra2": next(take),
                "curls": int(rng.integers(8, 14)),
                "side": float(rng.choice([-1, 1])),
                "length": float(rng.uniform(0.5, 1.6)),
                "strands": int(rng.integers(0, 6)),
            }
        )
    for _ in range(int(rng.integers(0 if made.busts else 1, 3))):
        made.cast.append(
            {
                "kind": "animal",
                "fur": next(take) if rng.random() < 0.8 else WHITE,
                "belly": next(take),
                "collar": next(take),
                "ears": int(rng.integers(3)),
                "tail": float(rng.uniform(0.5, 1.5)),
                "long": float(rng.uniform(0.8, 1.6)),
                "stripes": rng.random() < 0.5,
                "muzzle": rng.random() < 0.5,
                "bandana": rng.random() < 0.5,
            }
        )
    for _ in range(int(rng.integers(0 if made.busts else 1, 4))):
        made.cast.append(
            {
                "kind": "thing",
                "what": str(rng.choice(["kite", "ball", "box", "car", "boat", "robot", "bag"])),
                "a": next(take),
                "b": next(take),
                "c": next(take),
            }
        )
    for _ in range(int(rng.integers(1, 4))):
        made.places.append(
            Place(
                str(rng.choice(["hills", "sea", "street", "room", "hall", "plain"])),
                [next(take) for _ in range(7)],
                int(rng.integers(1 << 30)),
            )
        )
    return made


def in_uniform(made: Series, seed: int) -> Series:
    """A series in which nothing but the head above it tells whose shirt it is, and nothing but what stands in a place
    what its ground is: all wear one cut, and a room has the colour of the sky."""
    rng = np.random.default_rng([seed, 7])
    coat, fat, slope = (
        int(rng.choice([0, 0, 2, 5, 3])),
        float(rng.uniform(0.85, 1.3)),
        int(rng.integers(8, 14)),
    )
    made.cast = [it for it in made.cast if it["kind"] == "person"]
    for who in made.cast:
        who |= {"plain": True, "coat": coat, "band": False, "pocket": False, "sleeve": 0.35, "fat": fat}
        # Curls are counted for some hair, and their being odd says how shoulders slope.
        who["curls"] = who["curls"] // 2 * 2 + slope % 2 if who["style"] in (2, 8, 10) else slope
    if len(made.places) < 2:
        first = made.places[0]
        made.places.append(Place("plain", list(first.colors), first.seed + 1))
    made.places = made.places[:2]
    outside, inside = made.places
    outside.kind, inside.kind = "hills", "room"
    inside.colors[0] = outside.colors[0]
    return made


def person(
    pen: Pen,
    rng: np.random.Generator,
    who: dict[str, Any],
    x: float,
    y: float,
    r: float,
    *,
    whole: bool,
    back: bool,
    turn: float,
) -> None:
    """`r` is the radius of the head, (x, y) its centre; `turn` from -1 to 1 is how far it looks aside."""
    fat, rx, ry = who["fat"], r * who["face"], r
    neck = y + 0.9 * r
    if who["plain"] and not whole:
        chest(pen, rng, who, x, neck, r)
        head(pen, rng, who, x, y, rx, ry, back=back, turn=turn)
        return
    hip, foot = neck + r * 2.3 / who["big"] * 1.2, neck + r * 4.6 / who["big"]
    half = 0.85 * r * fat
    wide = 0.34 * r * fat
    lean = float(rng.uniform(-0.5, 0.5)) * r
    if whole:
        spread = float(rng.uniform(0.2, 1.6)) * r
        for side in (-1, 1):
            bx = x + lean + side * half * 0.5
            knee = (bx + side * spread * 0.3 + rng.uniform(-0.3, 0.3) * r, (hip + foot) / 2)
            end = (bx + side * spread * 0.6 + rng.uniform(-0.4, 0.4) * r, foot - rng.uniform(0, 0.6) * r)
            long = who["bottom"]
            pen.limb(
                [(bx, hip - 0.2 * r), knee, end],
                0.44 * r * fat,
                who["skin"] if long in (1, 3) else who["legs"],
            )
            if long == 1:
                pen.limb(
                    [(bx, hip - 0.2 * r), ((bx + knee[0]) / 2, (hip + knee[1]) / 2), (knee[0], knee[1])],
                    0.55 * r * fat,
                    who["legs"],
                )
            out = float(np.sign(turn)) if abs(turn) > 0.3 else side
            pen.shape(ring(end[0] + out * 0.2 * r, end[1] + 0.1 * r, 0.5 * r, 0.26 * r), who["shoes"])
        if who["bottom"] == 3:
            pen.shape(
                [
                    (x + lean - half, hip - 0.4 * r),
                    (x + lean + half, hip - 0.4 * r),
                    (x + lean + 1.5 * half, hip + 0.9 * r),
                    (x + lean - 1.5 * half, hip + 0.9 * r),
                ],
                who["legs"],
            )
        else:
            pen.shape(
                [
                    (x + lean - half * 0.95, hip - 0.5 * r),
                    (x + lean + half * 0.95, hip - 0.5 * r),
                    (x + lean + half, hip + 0.25 * r),
                    (x + lean - half, hip + 0.25 * r),
                ],
                who["legs"],
                1,
            )
    arms = []
    for side in (-1, 1):
        sx, sy = x + side * half * 0.95, neck + 0.5 * r
        up = rng.random() < 0.25
        ex, ey = sx + side * rng.uniform(0.1, 1.0) * r, sy + (-0.9 if up else 0.9) * r * rng.uniform(0.4, 1)
        hx, hy = ex + rng.uniform(-1.0, 1.0) * r, ey + (-1 if up else 1) * rng.uniform(-0.2, 1.0) * r
        arms.append(((sx, sy), (ex, ey), (hx, hy), side))

    def arm(a: Any) -> None:
        s, e, hnd, _ = a
        pen.shape(ring(hnd[0], hnd[1], 0.3 * r, 0.28 * r), who["skin"])
        if who["sleeve"] < 1:
            pen.limb([s, e, hnd], wide * 1.1, who["skin"])
            pen.limb([s, ((s[0] + e[0]) / 2, (s[1] + e[1]) / 2)], wide * 1.5, who["top"])
        else:
            pen.limb([s, e, (e[0] * 0.2 + hnd[0] * 0.8, e[1] * 0.2 + hnd[1] * 0.8)], wide * 1.4, who["top"])

    arm(arms[0])
    low = hip + (0.9 * r if who["coat"] in (1, 4) else 0)
    bottom = x + lean
    pen.shape(
        [
            (x - wide, neck - 0.1 * r),
            (x + wide, neck - 0.1 * r),
            (x + wide, neck + 0.6 * r),
            (x - wide, neck + 0.6 * r),
        ],
        who["skin"],
    )
    body = _smooth(
        [
            (x - wide * 1.1, neck + 0.2 * r),
            (x - half, neck + 0.45 * r),
            (x - half * 1.05, (neck + hip) / 2),
            (bottom - half * 1.1, low),
            (bottom + half * 1.1, low),
            (x + half * 1.05, (neck + hip) / 2),
            (x + half, neck + 0.45 * r),
            (x + wide * 1.1, neck + 0.2 * r),
        ]
    )
    pen.shape(body, who["top"])
    if who["band"]:
        m = (neck + hip) / 2 + 0.1 * r
        pen.shape(
            [
                (x - half * 1.03, m - 0.3 * r),
                (x + half * 1.03, m - 0.3 * r),
                (x + half * 1.05, m + 0.2 * r),
                (x - half * 1.05, m + 0.2 * r),
            ],
            who["extra2"],
        )
    if not back:
        if who["coat"] == 1:
            pen.stroke([(x, neck + 0.3 * r), (bottom, low)])
            for k in range(3):
                t = 0.3 + 0.25 * k
                pen.dot(x + 0.2 * r + (bottom - x) * t, neck + (low - neck) * t, 0.1 * r, who["extra"])
        elif who["coat"] == 2:
            pen.shape(
                [(x - 0.5 * r, neck + 0.2 * r), (x + 0.5 * r, neck + 0.2 * r), (x, neck + 0.9 * r)],
                who["skin"],
            )
        elif who["coat"] == 3:
            pen.shape(
                [
                    (x - 0.25 * r, neck + 0.25 * r),
                    (x + 0.25 * r, neck + 0.25 * r),
                    (x + 0.15 * r, neck + 1.4 * r),
                    (x - 0.15 * r, neck + 1.4 * r),
                ],
                who["extra"],
            )
        elif who["coat"] == 4:
            pen.stroke([(bottom - half, hip), (bottom + half, hip)])
    for _ in range(int(rng.integers(0, 4))):
        fx, fy = x + rng.uniform(-0.7, 0.7) * half, neck + rng.uniform(0.9, 2.0) * r
        pen.stroke([(fx, fy), (fx + rng.uniform(-0.3, 0.3) * r, fy + 0.4 * r)], 0.6)
    arm(arms[1])
    if who["scarf"]:
        pen.shape(ring(x, neck + 0.15 * r, 0.75 * r, 0.3 * r), who["extra"])
        pen.shape(
            [
                (x + 0.2 * r, neck + 0.3 * r),
                (x + 0.6 * r, neck + 0.3 * r),
                (x + 0.7 * r, neck + 1.3 * r),
                (x + 0.3 * r, neck + 1.35 * r),
            ],
            who["extra"],
        )
    head(pen, rng, who, x, y, rx, ry, back=back, turn=turn)


def chest(pen: Pen, rng: np.random.Generator, who: dict[str, Any], x: float, neck: float, r: float) -> None:
    """Shoulders and a shirt down to the lower edge of the panel, with no arms to be seen."""
    half, wide = 0.8 * r * who["fat"], 0.32 * r * who["fat"]
    low, cut = neck + 6 * r, float(rng.uniform(0.35, 0.6)) * r
    x += float(rng.uniform(-0.12, 0.12)) * r
    box = [
        (x - wide, neck - 0.4 * r),
        (x + wide, neck - 0.4 * r),
        (x + wide, neck + cut),
        (x - wide, neck + cut),
    ]
    if who["sleeve"] < 1:
        pen.shape(box, who["skin"])
    flare = half * float(rng.uniform(1.25, 1.7))
    slope = 0.7 * r if who["curls"] % 2 else 0.35 * r
    pen.shape(
        [
            (x - wide, neck + 0.12 * r),
            (x + wide, neck + 0.12 * r),
            (x + half * 1.1, neck + slope),
            (x + flare * 1.15, low),
            (x - flare * 1.15, low),
            (x - half * 1.1, neck + slope),
        ],
        who["top"],
    )
    if who["coat"] in (2, 5):
        pen.shape(
            [(x - wide, neck + 0.12 * r), (x + wide, neck + 0.12 * r), (x, neck + 0.2 * r + cut)], who["skin"]
        )
    elif who["coat"] == 1:
        pen.stroke([(x, neck + 0.15 * r), (x, low)])
        for k in range(4):
            pen.dot(x + 0.18 * r, neck + (0.5 + 0.5 * k) * r, 0.08 * r, who["extra"])
    elif who["coat"] == 3:
        for side in (-1, 1):
            pen.shape(
                [
                    (x, neck + 0.5 * r),
                    (x + side * 0.1 * r, neck + 0.1 * r),
                    (x + side * 0.55 * r, neck + 0.3 * r),
                ],
                who["extra"],
            )
    if who["band"]:
        m = neck + 1.3 * r
        pen.shape(
            [
                (x - half * 1.12, m),
                (x + half * 1.12, m),
                (x + half * 1.15, m + 0.45 * r),
                (x - half * 1.15, m + 0.45 * r),
            ],
            who["extra2"],
        )
    if who["pocket"]:
        at = x + who["side"] * 0.25 * r
        pen.shape(
            [
                (at, neck + 0.9 * r),
                (at + 0.4 * r, neck + 0.9 * r),
                (at + 0.4 * r, neck + 1.4 * r),
                (at, neck + 1.4 * r),
            ],
            who["extra"],
        )
    for side in (-1, 1):
        if rng.random() < 0.4:
            sx = x + side * half * 0.95
            pen.stroke([(sx, neck + 1.4 * r), (sx + side * 0.05 * r, low)], 0.8)


def head(
    pen: Pen,
    rng: np.random.Generator,
    who: dict[str, Any],
    x: float,
    y: float,
    rx: float,
    ry: float,
    *,
    back: bool,
    turn: float,
) -> None:
    pen.tilt, pen.pivot = float(rng.normal(0, 0.14)), (x, y + ry)
    _head(pen, rng, who, x, y, rx, ry, back=back, turn=turn)
    pen.tilt = 0.0


def _head(
    pen: Pen,
    rng: np.random.Generator,
    who: dict[str, Any],
    x: float,
    y: float,
    rx: float,
    ry: float,
    *,
    back: bool,
    turn: float,
) -> None:
    s, hair = who["style"], who["hair"]
    if s in (0, 1):  # long, straight or flared, behind the face
        k = 1.15 if s == 0 else 1.45
        pen.shape(
            _smooth(
                [
                    (x - 1.05 * rx, y),
                    (x - 0.85 * rx, y - 0.95 * ry),
                    (x, y - 1.3 * ry),
                    (x + 0.85 * rx, y - 0.95 * ry),
                    (x + 1.05 * rx, y),
                    (x + k * rx, y + 1.15 * ry),
                    (x - k * rx, y + 1.15 * ry),
                ]
            ),
            hair,
        )
    elif s == 5:
        pen.shape(ring(x - np.sign(turn + 0.01) * 1.1 * rx, y + 0.4 * ry, 0.5 * rx, 1.1 * ry), hair)
    elif s == 6:
        pen.shape(ring(x, y - 1.35 * ry, 0.5 * rx, 0.45 * ry), hair)
    elif s == 8:  # a wave to one side
        pen.shape(
            scallops(x + who["side"] * 0.4 * rx, y + 0.1 * ry, 1.45 * rx, 1.25 * ry, who["curls"] // 2, 0.12),
            hair,
        )
    elif s == 10:
        pen.shape(scallops(x, y - 0.35 * ry, 1.4 * rx, 1.3 * ry, who["curls"] + 3, 0.1), hair)
    elif s == 11:
        for side in (-1, 1):
            for k in range(3):
                pen.shape(
                    ring(x + side * 1.15 * rx, y + (0.1 + 0.5 * k * who["length"]) * ry, 0.3 * rx, 0.33 * ry),
                    hair,
                )
    if back and s != 7:
        shape = (
            scallops(x, y - 0.15 * ry, 1.1 * rx, 1.1 * ry, who["curls"], 0.18)
            if s == 2
            else ring(x, y - 0.1 * ry, 1.05 * rx, 1.1 * ry)
        )
        pen.shape(shape, hair)
        if s in (0, 1):
            for k in range(who["strands"]):
                sx = x + (k - 2) * 0.3 * rx
                pen.stroke([(sx, y - 0.2 * ry), (sx + 0.05 * rx, y + 0.8 * ry)], 0.7)
        curls(pen, rng, who, x, y, rx, ry)
        return
    for side in (-1, 1):
        pen.shape(ring(x + side * rx - turn * 0.3 * rx, y + 0.1 * ry, 0.2 * rx, 0.25 * ry), who["skin"])
    jaw = rng.uniform(0.0, 0.02)
    pen.shape(
        _smooth(
            [
                (x - rx, y - 0.2 * ry),
                (x - 0.6 * rx, y - 0.95 * ry),
                (x + 0.6 * rx, y - 0.95 * ry),
                (x + rx, y - 0.2 * ry),
                (x + (0.8 - jaw) * rx, y + 0.6 * ry),
                (x + 0.1 * turn * rx, y + ry),
                (x - (0.8 - jaw) * rx, y + 0.6 * ry),
                (x - rx, y - 0.2 * ry),
            ]
        ),
        who["skin"],
    )
    shift = turn * 0.4 * rx
    mood = int(rng.integers(5))
    for side in (-1, 1):
        ex, ey = x + shift + side * 0.38 * rx * (1 - 0.2 * abs(turn)), y - 0.02 * ry
        if who["shades"]:
            pen.shape(ring(ex, ey, 0.36 * rx, 0.26 * ry), BLACK)
            pen.shape(ring(ex - 0.1 * rx, ey - 0.1 * ry, 0.07 * rx, 0.05 * ry), WHITE, 0.4)
        elif mood == 0:
            pen.stroke(ring(ex, ey, 0.17 * rx, 0.14 * ry, 180, 360))
        elif who["eyes"] == 0:
            pen.dot(ex, ey, 0.1 * rx)
        elif who["eyes"] == 1:
            pen.shape(ring(ex, ey, 0.09 * rx, 0.17 * ry), BLACK, 0.5)
        else:
            pen.shape(ring(ex, ey, 0.2 * rx, (0.24 if who["eyes"] == 2 else 0.16) * ry), WHITE, 0.7)
            pen.dot(ex + rng.uniform(-0.06, 0.06) * rx, ey, 0.09 * rx)
        pen.stroke(
            [
                (ex - 0.2 * rx, ey - 0.33 * ry + rng.uniform(-0.06, 0.06) * ry),
                (ex + 0.2 * rx, ey - 0.33 * ry),
            ],
            1.0,
        )
        if who["brows"]:
            by = ey - 0.4 * ry + float(rng.uniform(-0.08, 0.08)) * ry
            pen.shape(ring(ex, by, 0.24 * rx, who["brows"] * ry), BLACK)
        if who["glasses"]:
            pen.stroke(np.concatenate([ring(ex, ey, 0.3 * rx, 0.3 * ry), [(ex + 0.3 * rx, ey)]]), 1.2)
    if who["nose"] == 1:
        pen.stroke(
            _smooth(
                [
                    (x + shift, y + 0.1 * ry),
                    (x + shift + 0.13 * rx, y + 0.3 * ry),
                    (x + shift - 0.05 * rx, y + 0.32 * ry),
                ]
            ),
            0.8,
        )
    elif who["nose"] == 2:
        pen.stroke(ring(x + shift, y + 0.25 * ry, 0.12 * rx, 0.1 * ry, 0, 200), 0.8)
    if mood in (0, 1):
        size = float(rng.uniform(0.8, 1.5))
        pen.shape(
            ring(x + shift, y + 0.45 * ry, 0.3 * size * rx, 0.28 * size * ry, 0, 180), who["mouth"], 0.8
        )
        if rng.random() < 0.5:
            pen.shape(
                ring(x + shift, y + (0.42 + 0.2 * size) * ry, 0.15 * size * rx, 0.08 * size * ry),
                who["tongue"],
                0.6,
            )
        if rng.random() < 0.4:
            wide = 0.2 * size * rx
            teeth = [(x + shift - wide, y + 0.45 * ry), (x + shift + wide, y + 0.45 * ry)]
            pen.shape([*teeth, (teeth[1][0], y + 0.53 * ry), (teeth[0][0], y + 0.53 * ry)], WHITE, 0.6)
    elif mood == 2:
        pen.shape(ring(x + shift, y + 0.55 * ry, 0.13 * rx, 0.15 * ry), who["mouth"], 0.8)
    elif mood == 4 and who["eyes"] == 3:  # lips
        pen.shape(ring(x + shift, y + 0.55 * ry, 0.25 * rx, 0.08 * ry), who["mouth"], 0.7)
    else:
        pen.stroke(
            ring(x + shift, y + 0.45 * ry, 0.3 * rx, 0.14 * ry, 20, 160)
            if mood == 3
            else ring(x + shift, y + 0.65 * ry, 0.3 * rx, 0.12 * ry, 200, 340)
        )
    if who["freckles"]:
        for side in (-1, 1):
            for k in range(3):
                pen.stroke(ring(x + shift + side * (0.4 + 0.1 * k) * rx, y + 0.3 * ry, 1, 1), 0.5)
    if s in (0, 1, 4, 5, 6, 10, 11):
        part = rng.uniform(-0.2, 0.2) + 0.3 * (s % 2)
        pen.shape(
            _smooth(
                [
                    (x - 1.04 * rx, y + 0.05 * ry),
                    (x - 1.0 * rx, y - 0.7 * ry),
                    (x - 0.5 * rx, y - 1.15 * ry),
                    (x + 0.5 * rx, y - 1.15 * ry),
                    (x + 1.0 * rx, y - 0.7 * ry),
                    (x + 1.04 * rx, y + 0.05 * ry),
                    (x + 0.7 * rx, y - 0.35 * ry),
                    (x + part * rx, y - 0.62 * ry),
                    (x - 0.7 * rx, y - 0.3 * ry),
                ]
            ),
            hair,
        )
        for k in range(who["strands"]):
            sx = x + (k - 2.5) * 0.3 * rx
            pen.stroke([(sx, y - 1.0 * ry), (sx * 0.9 + x * 0.1, y - 0.75 * ry)], 0.7)
    elif s == 2:
        pen.shape(scallops(x, y - 0.55 * ry, 1.05 * rx, 0.72 * ry, who["curls"], 0.2), hair)
        curls(pen, rng, who, x, y, rx, ry)
    elif s == 8:
        side = who["side"]
        pen.shape(
            _smooth(
                [
                    (x - side * 1.05 * rx, y + 0.1 * ry),
                    (x - side * 1.1 * rx, y - 0.7 * ry),
                    (x, y - 1.35 * ry),
                    (x + side * 1.2 * rx, y - 0.8 * ry),
                    (x + side * 1.5 * rx, y + 0.3 * ry),
                    (x + side * 1.2 * rx, y + 0.9 * ry),
                    (x + side * 0.75 * rx, y + 0.2 * ry),
                    (x + side * 0.5 * rx, y - 0.5 * ry),
                    (x - side * 0.4 * rx, y - 0.65 * ry),
                ]
            ),
            hair,
        )
    elif s == 9:  # a curtain of strands
        n = 5 + who["strands"]
        for k in range(n):
            at = x + (2 * (k + 0.5) / n - 1) * rx
            end = y + (0.9 if k in (0, n - 1) else -0.1 + 0.25 * ((k * 7) % 3)) * ry * min(1.0, who["length"])
            pen.shape(
                _smooth(
                    [
                        (x + 0.3 * (at - x), y - 1.25 * ry),
                        (at + 1.4 * rx / n, y - 0.6 * ry),
                        (at, end),
                        (at - 1.4 * rx / n, y - 0.6 * ry),
                    ]
                ),
                hair,
            )
    elif s == 12:  # a crest
        pen.shape(
            np.concatenate(
                [
                    spikes(x, y - 0.8 * ry, 0.45 * rx, 0.7 * ry, 6, 0.25, 180, 360),
                    [(x + 0.4 * rx, y - 0.7 * ry), (x - 0.4 * rx, y - 0.7 * ry)],
                ]
            ),
            hair,
        )
    elif s == 3:
        pen.shape(
            np.concatenate(
                [
                    spikes(x, y - 0.3 * ry, 1.05 * rx, 0.95 * ry, 7, 0.3, 180, 360),
                    spikes(x, y - 0.45 * ry, 0.95 * rx, 0.1 * ry, 5, 2.5, 360, 180)[1:-1],
                ]
            ),
            hair,
        )
    if who["hat"]:
        pen.shape(ring(x, y - 0.7 * ry, 1.05 * rx, 0.9 * ry, 180, 360), who["extra"])
        pen.shape(ring(x, y - 0.7 * ry, 1.4 * rx, 0.16 * ry), who["extra2"])


def curls(
    pen: Pen, rng: np.random.Generator, who: dict[str, Any], x: float, y: float, rx: float, ry: float
) -> None:
    if who["style"] == 2:
        for _ in range(6):
            a, k = rng.uniform(0, 360), rng.uniform(0.15, 0.3)
            pen.stroke(
                ring(
                    x + rng.uniform(-0.8, 0.8) * rx,
                    y - rng.uniform(0.4, 1.0) * ry,
                    k * rx,
                    k * rx,
                    a,
                    a + 180,
                ),
                0.7,
            )


def animal(
    pen: Pen, rng: np.random.Generator, it: dict[str, Any], x: float, y: float, r: float, flip: float
) -> None:
    fur, long = it["fur"], it["long"] * flip
    sit = rng.random() < 0.4
    bx, by = x - long * 1.9 * r, y + (1.6 if sit else 0.9) * r
    pen.limb(
        [
            (bx - long * 0.5 * r, by),
            (bx - long * 1.5 * r, by - 0.5 * r),
            (bx - long * (1.2 + rng.random()) * r, by - it["tail"] * 1.5 * r),
        ],
        0.3 * r,
        fur,
    )
    for k in (-1, 0.6):
        pen.limb(
            [(bx + k * 0.8 * r, by + 0.3 * r), (bx + k * 0.8 * r + rng.uniform(-0.4, 0.4) * r, by + 1.4 * r)],
            0.36 * r,
            fur,
        )
    pen.shape(
        ring(
            bx + (0.7 * long * r if sit else 0),
            by,
            (1.0 if sit else 1.5) * r * abs(long),
            (1.3 if sit else 0.8) * r,
        ),
        fur,
    )
    if it["stripes"]:
        for k in range(3):
            pen.stroke([(bx + (k - 1) * 0.5 * r, by - 0.75 * r), (bx + (k - 1) * 0.5 * r, by - 0.3 * r)], 0.8)
    for side in (-1, 1):
        if it["ears"] == 0:
            pen.shape(
                [
                    (x + side * 0.9 * r, y - 0.3 * r),
                    (x + side * 0.85 * r, y - 1.35 * r),
                    (x + side * 0.2 * r, y - 0.8 * r),
                ],
                fur,
            )
        elif it["ears"] == 1:
            pen.shape(ring(x + side * 0.9 * r, y - 0.1 * r, 0.3 * r, 0.75 * r), fur)
        else:
            pen.shape(ring(x + side * 0.6 * r, y - 0.9 * r, 0.35 * r, 0.35 * r), fur)
    pen.shape(ring(x, y, 1.05 * r, 0.92 * r), fur)
    if it["muzzle"]:
        pen.shape(ring(x, y + 0.4 * r, 0.55 * r, 0.4 * r), it["belly"])
    for side in (-1, 1):
        pen.dot(x + side * 0.38 * r, y - 0.1 * r, 0.11 * r)
        pen.stroke([(x + side * 0.5 * r, y + 0.35 * r), (x + side * 1.4 * r, y + 0.3 * r)], 0.5)
    pen.shape(
        [(x - 0.15 * r, y + 0.2 * r), (x + 0.15 * r, y + 0.2 * r), (x, y + 0.35 * r)], (226, 130, 130), 0.6
    )
    pen.stroke(ring(x, y + 0.4 * r, 0.2 * r, 0.15 * r, 0, 180), 0.7)
    if it["bandana"]:
        pen.shape([(x - 0.7 * r, y + 0.75 * r), (x + 0.7 * r, y + 0.75 * r), (x, y + 1.6 * r)], it["collar"])


def thing(
    pen: Pen, rng: np.random.Generator, it: dict[str, Any], x: float, y: float, r: float, flip: float
) -> None:
    a, b, c, what = it["a"], it["b"], it["c"], it["what"]
    if what == "kite":
        t = rng.uniform(-0.5, 0.5)
        p = [
            np.array([np.cos(t + k) * w, np.sin(t + k) * w]) * r + (x, y)
            for k, w in ((-1.57, 1.2), (0, 0.9), (1.57, 1.9), (3.14, 0.9))
        ]
        m = np.array([x, y])
        for i in range(4):
            pen.shape([p[i], p[(i + 1) % 4], m], (a, b)[i % 2])
        pen.stroke(_smooth([p[2], p[2] + [20, 0.5 * r], p[2] + [-10, r]]), 0.7)
    elif what == "ball":
        pen.shape(ring(x, y, r, r), a)
        pen.shape(ring(x, y, 0.35 * r, r), b)
    elif what == "box":
        pen.shape([(x - r, y - 0.6 * r), (x + r, y - 0.6 * r), (x + r, y + r), (x - r, y + r)], a)
        pen.shape([(x - r, y - 0.6 * r), (x + r, y - 0.6 * r), (x + 1.3 * r, y - r), (x - 0.7 * r, y - r)], b)
    elif what == "car":
        pen.shape([(x - 0.9 * r, y), (x - 0.5 * r, y - 0.8 * r), (x + 0.6 * r, y - 0.8 * r), (x + r, y)], b)
        pen.shape(
            [(x - 1.8 * r, y), (x + 1.8 * r, y), (x + 1.8 * r, y + 0.7 * r), (x - 1.8 * r, y + 0.7 * r)], a
        )
        for k in (-1, 1):
            pen.shape(ring(x + k * r, y + 0.75 * r, 0.4 * r, 0.4 * r), c)
            pen.shape(ring(x + k * r, y + 0.75 * r, 0.18 * r, 0.18 * r), WHITE)
    elif what == "boat":
        pen.shape([(x - 0.1 * r, y), (x + 0.1 * r, y), (x + 0.1 * r, y - 2 * r), (x - 0.1 * r, y - 2 * r)], b)
        pen.shape(
            [(x + 0.1 * r, y - 1.9 * r), (x + flip * 1.2 * r, y - 0.3 * r), (x + 0.1 * r, y - 0.3 * r)], c
        )
        pen.shape(
            [(x - 1.5 * r, y), (x + 1.5 * r, y), (x + 1.1 * r, y + 0.7 * r), (x - 1.1 * r, y + 0.7 * r)], a
        )
    elif what == "robot":
        pen.shape(
            [(x - 0.8 * r, y), (x + 0.8 * r, y), (x + 0.8 * r, y + 1.6 * r), (x - 0.8 * r, y + 1.6 * r)], a
        )
        pen.shape(
            [(x - 0.6 * r, y - 1.1 * r), (x + 0.6 * r, y - 1.1 * r), (x + 0.6 * r, y), (x - 0.6 * r, y)], b
        )
        for k in (-1, 1):
            pen.dot(x + k * 0.3 * r, y - 0.6 * r, 0.15 * r, c)
        pen.shape(
            [
                (x - 0.4 * r, y + 0.4 * r),
                (x + 0.4 * r, y + 0.4 * r),
                (x + 0.4 * r, y + 0.9 * r),
                (x - 0.4 * r, y + 0.9 * r),
            ],
            c,
        )
    else:
        pen.stroke(ring(x, y - 0.5 * r, 0.5 * r, 0.6 * r, 180, 360), 1.2)
        pen.shape([(x - 0.8 * r, y - 0.5 * r), (x + 0.8 * r, y - 0.5 * r), (x + r, y + r), (x - r, y + r)], a)
        pen.shape([(x - 0.85 * r, y - 0.5 * r), (x + 0.85 * r, y - 0.5 * r), (x, y + 0.3 * r)], b)


def backdrop(
    pen: Pen, rng: np.random.Generator, place: Place, x: float, y: float, w: float, h: float
) -> None:
    """Paint the whole picture as the place; (x, y, w, h) is the panel. The place looks alike, never the same."""
    fixed = np.random.default_rng(place.seed)
    c, kind, unit = place.colors, place.kind, min(w, h)

    def box(left: float, top: float, right: float, bottom: float, color: Rgb) -> None:
        pen.shape([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    zoom = float(rng.uniform(0.7, 1.5))
    if kind == "plain":
        box(x, y, x + w, y + h, c[0] if fixed.random() < 0.7 else WHITE)
        return
    box(x, y, x + w, y + h, c[0])
    horizon = y + h * float(rng.uniform(0.4, 0.8))
    if kind in {"hills", "sea", "street"}:
        for _ in range(int(rng.integers(0, 4))):
            cx, cy, cr = (
                x + w * rng.random(),
                y + h * rng.uniform(0.05, 0.35),
                unit * rng.uniform(0.05, 0.13) * zoom,
            )
            pen.shape(
                np.concatenate(
                    [
                        scallops(cx, cy, 1.6 * cr, 0.8 * cr, 5, 0.35, 180, 360),
                        [(cx + 1.6 * cr, cy + 0.3 * cr), (cx - 1.6 * cr, cy + 0.3 * cr)],
                    ]
                ),
                WHITE,
            )
        if fixed.random() < 0.4:
            pen.shape(
                ring(x + w * rng.random(), y + 0.15 * h, 0.08 * unit * zoom, 0.08 * unit * zoom),
                (250, 220, 100),
            )
    if kind == "sea":
        box(x - 9, horizon - 0.12 * h, x + w + 9, y + h + 9, c[1])
        if fixed.random() < 0.5:
            at = np.linspace(x - 9, x + w + 9, 40)
            for k in range(int(rng.integers(1, 4))):
                top = horizon - 0.1 * h + k * 0.07 * h + 0.012 * h * np.sin(at / w * 40 + rng.uniform(0, 6))
                low = np.stack([at[::-1], top[::-1] + 0.03 * h], 1)
                pen.shape(np.concatenate([np.stack([at, top], 1), low]), c[6])
        for _ in range(12):
            wx, wy = x + w * rng.random(), horizon + h * rng.uniform(-0.1, 0.3)
            pen.stroke([(wx, wy), (wx + 0.03 * w, wy - 0.005 * h), (wx + 0.06 * w, wy)], 0.6)
    if kind in {"hills", "sea"}:
        for k in range(1 + int(fixed.integers(0, 2)) if kind == "hills" else 1):
            at = np.linspace(x - 9, x + w + 9, 12)
            top = (
                horizon
                + (k + (kind == "sea")) * 0.12 * h
                + 0.05 * h * np.sin(at / w * rng.uniform(3, 9) + rng.uniform(0, 6))
            )
            pen.shape(
                np.concatenate([np.stack([at, top], 1), [(x + w + 9, y + h + 9), (x - 9, y + h + 9)]]),
                c[2 + k],
            )
        for _ in range(int(rng.integers(0, 4))):
            tx, ty, tr = (
                x + w * rng.random(),
                horizon + h * rng.uniform(0, 0.15),
                unit * rng.uniform(0.06, 0.14) * zoom,
            )
            box(tx - 0.15 * tr, ty - 1.5 * tr, tx + 0.15 * tr, ty + 0.6 * tr, c[4])
            pen.shape(scallops(tx, ty - 1.8 * tr, 0.9 * tr, tr, 9, 0.15), c[5])
        for _ in range(int(rng.integers(0, 7))):
            gx, gy = x + w * rng.random(), y + h * rng.uniform(0.85, 0.98)
            for k in (-1, 0, 1):
                pen.stroke([(gx, gy), (gx + k * 6, gy - 12)], 0.6)
    if kind == "street":
        box(x - 9, horizon, x + w + 9, y + h + 9, c[1])
        hx = x - w * 0.1 * rng.random()
        while hx < x + w:
            hw, hh = unit * rng.uniform(0.2, 0.35) * zoom, unit * rng.uniform(0.25, 0.45) * zoom
            wall = c[2 + int(rng.integers(0, 2))]
            box(hx, horizon - hh, hx + hw, horizon + 0.02 * h, wall)
            pen.shape(
                [
                    (hx - 0.05 * hw, horizon - hh),
                    (hx + hw / 2, horizon - hh - 0.4 * hw),
                    (hx + 1.05 * hw, horizon - hh),
                ],
                c[4],
            )
            for wx in (0.12, 0.6):
                box(hx + wx * hw, horizon - 0.85 * hh, hx + (wx + 0.25) * hw, horizon - 0.55 * hh, c[6])
                pen.stroke(
                    [
                        (hx + (wx + 0.125) * hw, horizon - 0.85 * hh),
                        (hx + (wx + 0.125) * hw, horizon - 0.55 * hh),
                    ],
                    0.7,
                )
            box(hx + 0.4 * hw, horizon - 0.4 * hh, hx + 0.6 * hw, horizon + 0.02 * h, c[5])
            hx += hw * rng.uniform(1.0, 1.4)
    if kind in {"room", "hall"}:
        if kind == "room":
            box(x - 9, horizon, x + w + 9, y + h + 9, c[1])
        else:
            n = int(fixed.integers(3, 6))
            for i in range(n):
                for j in range(8):
                    left, right = x + w * (j - 1) / 6, x + w * j / 6
                    t, b = horizon + (y + h - horizon) * i / n, horizon + (y + h - horizon) * (i + 1) / n
                    spread = 1 + 0.25 * (i / n)
                    mid = x + w / 2
                    pen.shape(
                        [
                            (mid + (left - mid) * spread, t),
                            (mid + (right - mid) * spread, t),
                            (mid + (right - mid) * (spread + 0.25 / n), b),
                            (mid + (left - mid) * (spread + 0.25 / n), b),
                        ],
                        (c[1], c[2])[(i + j) % 2],
                    )
        for _ in range(int(rng.integers(1, 4))):
            fx, fw, fh = (
                x + w * rng.random(),
                unit * rng.uniform(0.15, 0.3) * zoom,
                unit * rng.uniform(0.15, 0.35) * zoom,
            )
            item = int(fixed.integers(0, 4))
            if item == 0:
                box(fx, horizon - 1.6 * fh, fx + fw, horizon - 0.6 * fh, c[6])
                pen.stroke([(fx + fw / 2, horizon - 1.6 * fh), (fx + fw / 2, horizon - 0.6 * fh)])
                pen.stroke([(fx, horizon - 1.1 * fh), (fx + fw, horizon - 1.1 * fh)])
            elif item == 1:
                box(fx, horizon - 1.7 * fh, fx + 0.7 * fw, horizon + 2, c[4])
                pen.dot(fx + 0.6 * fw, horizon - 0.8 * fh, 0.04 * fw, c[5])
            elif item == 2:
                box(fx, horizon - 0.9 * fh, fx + 1.6 * fw, horizon - 0.8 * fh, c[3])
                for k in range(4):
                    box(
                        fx + 0.35 * k * fw,
                        horizon - 1.2 * fh,
                        fx + (0.35 * k + 0.25) * fw,
                        horizon - 0.9 * fh,
                        (c[4], c[5])[k % 2],
                    )
            else:
                box(fx, horizon - 0.5 * fh, fx + 1.5 * fw, horizon + 0.4 * fh, c[3])
                box(fx - 0.05 * fw, horizon - 0.6 * fh, fx + 1.55 * fw, horizon - 0.45 * fh, c[5])


def letters(pen: Pen, rng: np.random.Generator, x: float, y: float, r: float) -> None:
    """A balloon or a caption with a few letters in it."""
    text = "".join(rng.choice(list("ABEHKMNORSTW!?"), int(rng.integers(2, 9))))
    scale = r / 60
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, max(2, round(2 * scale)))
    if rng.random() < 0.7:
        pen.shape([(x - 0.2 * w, y), (x + rng.uniform(-1, 1) * w, y + 3.5 * h), (x + 0.2 * w, y)], WHITE)
        pen.shape(ring(x, y, 0.75 * w + h, 1.7 * h), WHITE)
    else:
        pen.shape(
            [(x - 0.6 * w, y - h), (x + 0.6 * w, y - h), (x + 0.6 * w, y + h), (x - 0.6 * w, y + h)], WHITE
        )
    for picture, ink in ((pen.line_art, BLACK[0]), (pen.colored, BLACK)):
        cv2.putText(
            picture,
            text,
            (round(x - w / 2), round(y + h / 2)),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            ink,
            max(2, round(2 * scale)),
            cv2.LINE_AA,
        )


def noise(pen: Pen, rng: np.random.Generator, x: float, y: float, r: float) -> None:
    """A sound effect: large outlined letters."""
    text = "".join(rng.choice(list("ABCKMORSTUWZ!"), int(rng.integers(2, 6))))
    thick = max(3, round(0.16 * r))
    edge = thick + 2 * max(2, round(pen.width))
    for picture, ink, fill in ((pen.line_art, BLACK[0], 255), (pen.colored, BLACK, WHITE)):
        for color, width in ((ink, edge), (fill, thick)):
            cv2.putText(
                picture,
                text,
                (round(x), round(y)),
                cv2.FONT_HERSHEY_SIMPLEX,
                r / 25,
                color,
                width,
                cv2.LINE_AA,
            )


def broken(line_art: NDArray[np.uint8], rng: np.random.Generator, per_mille: float) -> None:
    """Break lines at random places, in place."""
    ys, xs = np.nonzero(line_art < 100)
    for at in rng.integers(0, max(1, len(xs)), int(len(xs) * per_mille / 1000)):
        cv2.circle(line_art, (int(xs[at]), int(ys[at])), int(rng.integers(2, 5)), 255, -1, cv2.LINE_AA)


def page(made: Series, number: int, *, sheet: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Line art (h, w) and coloured page (h, w, 3)."""
    rng = np.random.default_rng(
        [number, int(made.line * 1e6), len(made.cast), int(made.cast[0]["big"] * 1e6)]
    )
    w, h = int(rng.integers(800, 1050)), int(rng.integers(1050, 1400))
    out = Pen(w, h, made.line, made.wobble, float(rng.uniform(0, 6)))
    if sheet:
        n = len(made.cast)
        for k, it in enumerate(made.cast):
            x = (k + 0.5) * w / n
            r = min(w / n / 3.6, h / 16) * float(rng.uniform(0.7, 1))
            _draw(out, rng, it, x, 0.14 * h, r, whole=True)
            _draw(out, rng, it, x, 0.58 * h, r, whole=True)
            if it["kind"] == "person":
                head(out, rng, it, x, 0.92 * h, 1.1 * r, 1.1 * r, back=False, turn=float(rng.uniform(-1, 1)))
        return out.line_art, out.colored
    rows = int(rng.integers(2, 4))
    margin, gap = 0.03 * w, 0.018 * w
    tops = np.cumsum([0, *rng.dirichlet([6] * rows)]) * (h - 2 * margin) + margin
    for top, bottom in pairwise(tops):
        cols = int(rng.integers(1, 4))
        lefts = np.cumsum([0, *rng.dirichlet([6] * cols)]) * (w - 2 * margin) + margin
        for left, right in pairwise(lefts):
            x0, y0, x1, y1 = round(left), round(top), round(right - gap), round(bottom - gap)
            panel = Pen(
                x1 - x0,
                y1 - y0,
                made.line * float(rng.uniform(0.9, 1.1)),
                made.wobble,
                float(rng.uniform(0, 6)),
            )
            _scene(panel, rng, made)
            out.line_art[y0:y1, x0:x1] = panel.line_art
            out.colored[y0:y1, x0:x1] = panel.colored
            frame = max(2, round(made.line * 1.2))
            cv2.rectangle(out.line_art, (x0, y0), (x1, y1), BLACK[0], frame)
            cv2.rectangle(out.colored, (x0, y0), (x1, y1), BLACK, frame)
    if made.breaks:
        broken(out.line_art, rng, made.breaks)
    return out.line_art, out.colored


def _scene(panel: Pen, rng: np.random.Generator, made: Series) -> None:
    h, w = panel.line_art.shape
    backdrop(panel, rng, made.places[rng.integers(len(made.places))], -4, -4, w + 8, h + 8)
    unit = min(w, h)
    if made.busts:
        people = [it for it in made.cast if it["kind"] == "person"]
        count = 2 if w > 0.8 * h and rng.random() < 0.6 else 1
        for k, at in enumerate(rng.permutation(len(people))[:count]):
            r = min(0.23 * h, 0.3 * w / count) * float(rng.uniform(0.55, 1.05))
            x = w * (k + 0.5) / count + w * float(rng.uniform(-0.1, 0.1)) / count
            _draw(panel, rng, people[at], x, h - r * float(rng.uniform(2.0, 3.0)), r, whole=False)
    near = rng.random()
    rest = [it for it in made.cast if not made.busts or it["kind"] != "person"]
    count = int(rng.integers(0, 2)) if made.busts else int(rng.integers(1, 4))
    for k in rng.permutation(len(rest))[:count]:
        it = rest[k]
        x = w * rng.uniform(0.12, 0.88)
        if it["kind"] == "thing":
            _draw(panel, rng, it, x, h * rng.uniform(0.2, 0.8), unit * rng.uniform(0.06, 0.16), whole=True)
        elif it["kind"] == "animal":
            _draw(panel, rng, it, x, h * rng.uniform(0.5, 0.8), unit * rng.uniform(0.06, 0.2), whole=True)
        elif near < 0.45:
            r = unit * rng.uniform(0.2, 0.32)
            _draw(panel, rng, it, x, h - r * rng.uniform(1.4, 3), r, whole=False)
        else:
            r = h * rng.uniform(0.06, 0.12)
            _draw(panel, rng, it, x, h - r * rng.uniform(5.0, 7.5), r, whole=True)
    if rng.random() < 0.6:
        letters(panel, rng, w * rng.uniform(0.2, 0.8), h * 0.12, unit * rng.uniform(0.09, 0.14))
    if rng.random() < 0.1:
        noise(
            panel, rng, w * rng.uniform(0.05, 0.5), h * rng.uniform(0.3, 0.9), unit * rng.uniform(0.15, 0.3)
        )


def _draw(
    pen: Pen, rng: np.random.Generator, it: dict[str, Any], x: float, y: float, r: float, *, whole: bool
) -> None:
    flip = float(rng.choice([-1, 1]))
    if it["kind"] == "person":
        person(pen, rng, it, x, y, r, whole=whole, back=rng.random() < 0.12, turn=float(rng.uniform(-1, 1)))
    elif it["kind"] == "animal":
        animal(pen, rng, it, x, y, r, flip)
    else:
        thing(pen, rng, it, x, y, r, flip)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--series", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for k in range(chosen.series):
        made = series(chosen.seed + k)
        for number in range(4):
            line, color = page(made, number, sheet=number == 3)
            name = chosen.out / f"s{k:02}_{number}"
            cv2.imwrite(f"{name}_line.png", line)
            cv2.imwrite(f"{name}_color.png", color[..., ::-1])


if __name__ == "__main__":
    main()
