"""Figures that nobody drew: heads, busts and whole bodies of random outlines, each character's its own, for learning alone.

What tells one of them from another is the exact shape of hair, face and shoulders, as there are endlessly many of
them; in sets of parts by one hand it is which of a dozen haircuts somebody wears. `figure` draws a character the
same in all its variants but for eyes and mouth, and for how it holds arms and legs; `bent` bends a figure of another
hand a little, for each character in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]
SIZE = 520
TURNS = np.linspace(0, 2 * np.pi, 181)[:-1]
DARK: Rgb = (24, 20, 24)
WHITE: Rgb = (250, 250, 250)


def _waves(rng: np.random.Generator, most: int, size: float) -> NDArray[np.float64]:
    """A random smooth closed function of TURNS, about `size` high."""
    total = np.zeros(len(TURNS))
    for k in range(1, most + 1):
        total += rng.normal() / k * np.cos(k * TURNS + rng.uniform(0, 2 * np.pi))
    return size * total


def _ring(
    x: float, y: float, rx: float, ry: float, more: Any = 0.0, power: float = 2.0
) -> NDArray[np.float64]:
    """A superellipse whose radius is (1 + more) times as long, clockwise from the right."""
    c, s = np.cos(TURNS), np.sin(TURNS)
    radius = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power) * (1 + more)
    return np.stack([x + rx * radius * c, y + ry * radius * s], axis=1)


def _edge(rng: np.random.Generator) -> NDArray[np.float64]:
    """How an outline of hair goes up and down: smooth, in curls, or in points."""
    how, times = int(rng.integers(4)), int(rng.integers(6, 22))
    phase = rng.uniform(0, 2 * np.pi)
    if how == 0:
        return float(rng.uniform(0.04, 0.14)) * np.abs(np.sin(times * TURNS / 2 + phase))
    if how == 1:
        return float(rng.uniform(0.05, 0.2)) * np.abs((times * TURNS / (2 * np.pi) + phase) % 1 * 2 - 1)
    return np.zeros(len(TURNS))


class Part(Enum):
    """How much of a character is drawn."""

    HEAD = "head"
    BUST = "bust"
    BODY = "body"


class _Canvas:
    def __init__(self) -> None:
        self.rgb = np.zeros((SIZE, SIZE, 3), np.uint8)
        self.there = np.zeros((SIZE, SIZE), np.uint8)

    def fill(
        self, outline: NDArray[np.float64], color: Rgb, within: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1, shift=4)
        if within is not None:
            mask &= within
        self.rgb[mask > 0] = color
        self.there |= mask
        return mask

    def stroke(self, points: NDArray[np.float64], width: int, *, closed: bool = False) -> None:
        cv2.polylines(self.rgb, [np.rint(points).astype(np.int32)], closed, DARK, width)


@dataclass(frozen=True)
class _Head:
    """Where a head is, in pixels, and how square it is."""

    x: float
    y: float
    rx: float
    ry: float
    power: float


HEAD_AT = {
    Part.HEAD: (0.5, (0.25, 0.31)),
    Part.BUST: (0.42, (0.17, 0.22)),
    Part.BODY: (0.2, (0.075, 0.13)),
}
"""How far down a head is, and half of its height from least to most, as parts of SIZE."""


HAIRCUTS, OUTFITS = 12, 8
"""How many of these one hand has."""


def figure(
    identity: list[int],
    variant: int,
    colors: list[Rgb],
    part: Part,
    *,
    back: bool = False,
    hand: list[int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A character, (SIZE, SIZE, 3), and where it is: the same `identity` gives the same one, `variant` its expression; `back` shows
    it from behind.

    `colors` are those of skin, hair, clothes, and three things that it may wear. Without a `hand` characters have nothing in common;
    those of one hand have the same head, face and build, one of HAIRCUTS, one of OUTFITS, and perhaps a hat or a beard of their own."""
    mood = np.random.default_rng([*identity, variant, 1])
    own = np.random.default_rng(identity)
    cut = dressed = rng = own
    if hand is not None:
        rng = np.random.default_rng(hand)
        cut, dressed = (
            np.random.default_rng([*hand, kind, int(own.integers(many))])
            for kind, many in ((1, HAIRCUTS), (2, OUTFITS))
        )
    skin, hair, clothes, first, second, third = colors
    canvas = _Canvas()
    down, size = HEAD_AT[part]
    x, y, ry = SIZE / 2, down * SIZE, float(rng.uniform(*size)) * SIZE
    at = _Head(x, y, ry * float(rng.uniform(0.7, 1.2)), ry, float(rng.choice([2.0, 2.4, 3.5, 6.0])))
    face = _ring(x, y, at.rx, ry, _waves(rng, 3, 0.03), at.power)
    low = np.maximum(0, (face[:, 1] - y) / ry)
    face[:, 0] = x + (face[:, 0] - x) * (1 - float(rng.uniform(0, 0.35)) * low)
    bald = not _behind(canvas, cut, at, hair)
    if part is Part.BUST:
        _shoulders(canvas, dressed, at, skin, clothes, second)
    elif part is Part.BODY:
        _body(canvas, dressed, mood, at, colors)
    if rng.random() < 0.6:
        far, big = float(rng.uniform(0.95, 1.1)), float(rng.uniform(0.15, 0.32))
        for side in (-1, 1):
            canvas.fill(_ring(x + side * far * at.rx, y + 0.1 * ry, big * at.rx, 1.2 * big * ry), skin)
    head = canvas.fill(face, skin)
    # From behind a face is drawn where nobody sees it, so that chance goes on as it does from the front.
    front = _Canvas() if back else canvas
    if own.random() < 0.25:
        _beard(front, own, at, head, hair, third)
    _face(front, rng, mood, at, third)
    haired = not bald or cut.random() < 0.5
    if haired:
        _fringe(front, cut, at, hair)
    if back and haired:
        canvas.fill(_ring(x, y, 1.1 * at.rx, 1.12 * ry, power=max(2.0, at.power * 0.8)), hair)
    if own.random() < 0.2:  # a hat or a band
        brim = float(own.uniform(-0.8, -0.4))
        if own.random() < 0.5:
            hat = _ring(x, y + brim * ry, 1.2 * at.rx, float(own.uniform(0.6, 1.1)) * ry)
            hat[:, 1] = np.minimum(hat[:, 1], y + brim * ry)
            canvas.fill(hat, first)
        wide, high = float(own.uniform(1.1, 1.6)) * at.rx, float(own.uniform(0.08, 0.2)) * ry
        canvas.fill(_ring(x, y + brim * ry, wide, high), second)
    return canvas.rgb, canvas.there > 0


NONE, BUN, TAILS = 0, 4, 5
LENGTHS = (0.2, 0.5, 1.0, 1.9, 0.4, 0.3)
"""How far down hair hangs, in halves of a face; the fourth at most."""


def _behind(canvas: _Canvas, rng: np.random.Generator, at: _Head, hair: Rgb) -> bool:
    """Draw the hair behind a face; whether there is any."""
    x, y, rx, ry = at.x, at.y, at.rx, at.ry
    cut = int(rng.integers(len(LENGTHS)))
    waves, edge = _waves(rng, 5, 0.07), _edge(rng)
    tall, wide = float(rng.uniform(1.1, 1.7)), float(rng.uniform(1.05, 1.5))
    longest = float(rng.uniform(1.2, LENGTHS[3]))
    if cut == BUN:
        for _ in range(int(rng.integers(1, 3))):
            across, size = float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.3, 0.6))
            canvas.fill(_ring(x + across * rx, y - tall * ry, size * rx, size * ry, _edge(rng)), hair)
    elif cut == TAILS:
        sides = (-1, 1) if rng.random() < 0.6 else (1,)
        out, low, size = (float(rng.uniform(*span)) for span in ((1.1, 1.6), (-0.4, 0.8), (0.3, 0.5)))
        tail, long = _edge(rng), float(rng.uniform(0.5, 1.2))
        for side in sides:
            canvas.fill(_ring(x + side * out * rx, y + low * ry, size * rx, long * ry, tail), hair)
    if cut != NONE:
        back = _ring(x, y, wide * rx, ry, waves + edge, float(rng.choice([2.0, 2.5, 4.0])))
        down = longest if cut == 3 else LENGTHS[cut]
        back[:, 1] = y + (back[:, 1] - y) * np.where(back[:, 1] < y, tall, down)
        canvas.fill(back, hair)
    return cut != NONE


def _shoulders(
    canvas: _Canvas, rng: np.random.Generator, at: _Head, skin: Rgb, clothes: Rgb, stripe: Rgb
) -> None:
    x, y, rx, ry = at.x, at.y, at.rx, at.ry
    slope, shoulder, chest = (float(rng.uniform(*span)) for span in ((0.05, 0.45), (1.3, 2.3), (1.15, 1.5)))
    neck = [(-0.38, y + 0.5 * ry), (0.38, y + 0.5 * ry), (0.42, SIZE), (-0.42, SIZE)]
    canvas.fill(np.array([(x + dx * rx, down) for dx, down in neck]), skin)
    top = y + chest * ry
    collar = float(rng.uniform(0.4, 0.75))
    dip = float(rng.uniform(0.0, 0.7)) * ry
    half = [(shoulder + 0.2, SIZE + 5), (shoulder, top + slope * ry), (collar, top)]
    body = [(-dx, down) for dx, down in half] + [(0, top + dip)] + half[::-1]
    where = canvas.fill(np.array([(x + dx * rx, down) for dx, down in body]), clothes)
    if rng.random() < 0.3:
        wide = float(rng.uniform(0.1, 0.4)) * rx
        down = [(x - wide, top), (x + wide, top), (x + wide, SIZE), (x - wide, SIZE)]
        canvas.fill(np.array(down), stripe, where)


def _limb(canvas: _Canvas, points: NDArray[np.float64], wide: tuple[float, float], color: Rgb) -> None:
    """A limb along three points, `wide` pixels across where it begins and where it ends."""
    at = np.linspace(0, 1, 13)[:, None]
    way = (1 - at) ** 2 * points[0] + 2 * at * (1 - at) * points[1] + at**2 * points[2]
    along = np.gradient(way, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    half = (wide[0] + (wide[1] - wide[0]) * at) / 2
    canvas.fill(np.concatenate([way + half * across, (way - half * across)[::-1]]), color)


def _body(
    canvas: _Canvas, rng: np.random.Generator, mood: np.random.Generator, at: _Head, colors: list[Rgb]
) -> None:
    """All below a head, down to the ground."""
    skin, _, clothes, first, second, third = colors
    x, ry = at.x, at.ry
    top, ground = at.y + float(rng.uniform(0.95, 1.25)) * ry, 0.985 * SIZE
    shoulder, waist = (float(rng.uniform(*span)) * ry for span in ((0.7, 1.4), (0.5, 1.1)))
    hip = top + float(rng.uniform(0.38, 0.6)) * (ground - top)
    thick = float(rng.uniform(0.35, 0.6)) * ry
    bare, skirt, sleeve = rng.random() < 0.3, rng.random() < 0.3, float(rng.choice([0.0, 0.45, 0.8]))
    shoe, stripe, belt = float(rng.uniform(0.3, 0.55)) * ry, rng.random() < 0.3, rng.random() < 0.4
    canvas.fill(_ring(x, top - 0.1 * ry, 0.35 * ry, 0.5 * ry), skin)
    for side in (-1, 1):
        foot = x + side * (0.5 * waist + float(mood.uniform(0, 0.5)) * ry)
        knee = x + side * (0.55 * waist + float(mood.uniform(-0.1, 0.4)) * ry)
        leg = np.array(
            [(x + side * 0.5 * waist, hip), (knee, (hip + ground) / 2), (foot, ground - 0.4 * shoe)]
        )
        _limb(canvas, leg, (1.2 * thick, thick), skin if bare or skirt else first)
        canvas.fill(_ring(foot + 0.3 * side * shoe, ground - 0.4 * shoe, shoe, 0.45 * shoe), second)
    if skirt or bare:
        low = hip + float(rng.uniform(0.15, 0.5) if skirt else 0.2) * (ground - hip)
        flare = float(rng.uniform(1.0, 1.9)) * waist
        canvas.fill(
            np.array([(x - waist, hip - 2), (x + waist, hip - 2), (x + flare, low), (x - flare, low)]), first
        )
    slope = float(rng.uniform(0.05, 0.4)) * ry
    half = [(waist, hip + 2), (shoulder, top + slope), (0.4 * ry, top)]
    dip = float(rng.uniform(0.0, 0.5)) * ry
    outline = [(-dx, down) for dx, down in half] + [(0.0, top + dip)] + half[::-1]
    where = canvas.fill(np.array([(x + dx, down) for dx, down in outline]), clothes)
    if stripe:
        high = float(rng.uniform(0.2, 0.6)) * (hip - top)
        band = [(0, top + high), (SIZE, top + high), (SIZE, top + 1.5 * high), (0, top + 1.5 * high)]
        canvas.fill(np.array(band), third, where)
    if belt:
        band = [(0, hip - 0.2 * ry), (SIZE, hip - 0.2 * ry), (SIZE, hip + 2), (0, hip + 2)]
        canvas.fill(np.array(band), second, where)
    long = float(rng.uniform(0.8, 1.1)) * (hip - top)
    for side in (-1, 1):
        turn = float(mood.uniform(-0.2, 1.3) if mood.random() < 0.7 else mood.uniform(1.6, 2.6))
        bend = turn + float(mood.uniform(-0.9, 0.9))
        start = np.array([x + side * 0.95 * shoulder, top + slope + 0.3 * thick])
        elbow = start + 0.5 * long * np.array([side * np.sin(turn), np.cos(turn)])
        hand = elbow + 0.5 * long * np.array([side * np.sin(bend), np.cos(bend)])
        arm = np.array([start, 2 * elbow - (start + hand) / 2, hand])
        _limb(canvas, arm, (0.9 * thick, 0.75 * thick), skin)
        canvas.fill(_ring(hand[0], hand[1], 0.45 * thick, 0.45 * thick), skin)
        if sleeve:
            end = (1 - sleeve) ** 2 * arm[0] + 2 * sleeve * (1 - sleeve) * arm[1] + sleeve**2 * arm[2]
            middle = (1 - sleeve) * arm[0] + sleeve * arm[1]
            _limb(canvas, np.array([arm[0], middle, end]), (1.15 * thick, thick), clothes)


def _beard(
    canvas: _Canvas, rng: np.random.Generator, at: _Head, head: NDArray[np.uint8], hair: Rgb, other: Rgb
) -> None:
    x, y, rx, ry = at.x, at.y, at.rx, at.ry
    top = y + float(rng.uniform(0.1, 0.6)) * ry
    waves = np.sin(np.linspace(0, float(rng.uniform(2, 20)), 60))
    edge = np.stack([np.linspace(x - 2 * rx, x + 2 * rx, 60), top + 0.15 * ry * waves], axis=1)
    below = [(x + 2 * rx, y + 3 * ry), (x - 2 * rx, y + 3 * ry)]
    canvas.fill(np.concatenate([edge, below]), hair if rng.random() < 0.7 else other, head)


def _fringe(canvas: _Canvas, rng: np.random.Generator, at: _Head, hair: Rgb) -> None:
    """What falls into the forehead: its lower edge tells one head from another."""
    x, y, rx, ry = at.x, at.y, at.rx, at.ry
    line, part = float(rng.uniform(-0.75, -0.15)), float(rng.uniform(-0.8, 0.8))
    across = np.linspace(-1, 1, 81)
    down = line + float(rng.uniform(-0.1, 0.6)) * (np.abs(across - part) - 0.5)
    times = float(rng.uniform(2, 9))
    how = int(rng.integers(3))
    if how == 0:
        down += float(rng.uniform(0.05, 0.25)) * np.abs(np.sin(times * np.pi * across))
    elif how == 1:
        down += float(rng.uniform(0.1, 0.35)) * ((times * across) % 1)
    edge = np.stack([x + 1.12 * rx * across, y + ry * down], axis=1)
    crown = _ring(x, y, 1.1 * rx, 1.12 * ry, _waves(rng, 3, 0.03), max(2.0, at.power * 0.8))
    above = np.zeros((SIZE, SIZE), np.uint8)
    outline = np.concatenate([edge, [(x + 1.2 * rx, y - 2.5 * ry), (x - 1.2 * rx, y - 2.5 * ry)]])
    cv2.fillPoly(above, [np.rint(outline).astype(np.int32)], 1)
    canvas.fill(crown, hair, above)


def _face(canvas: _Canvas, rng: np.random.Generator, mood: np.random.Generator, at: _Head, lips: Rgb) -> None:
    x, y, rx, ry = at.x, at.y, at.rx, at.ry
    width = max(2, round(0.05 * rx))
    apart, eyes_at, kind = float(rng.uniform(0.3, 0.5)), float(rng.uniform(-0.15, 0.12)), int(rng.integers(3))
    glasses, nose = rng.random() < 0.2, int(rng.integers(4))
    look, lid = float(mood.uniform(-0.05, 0.05)), float(mood.uniform(0.5, 1.2))
    for side in (-1, 1):
        ex, ey = x + side * apart * rx, y + eyes_at * ry
        if kind == 0 or lid < 0.6:
            canvas.fill(_ring(ex, ey, 0.08 * rx, 0.1 * lid * ry), DARK)
        else:
            size = 0.15 if kind == 1 else 0.22
            canvas.fill(_ring(ex, ey, size * rx, size * lid * ry), WHITE)
            canvas.fill(_ring(ex + look * rx, ey, 0.09 * rx, 0.09 * ry), DARK)
        tilt = float(mood.uniform(-0.1, 0.1)) * ry
        canvas.stroke(
            np.array([(ex - 0.16 * rx, ey - 0.3 * ry + tilt), (ex + 0.16 * rx, ey - 0.3 * ry - tilt)]), width
        )
        if glasses:
            canvas.stroke(_ring(ex, ey, 0.32 * rx, 0.32 * ry), width, closed=True)
    if nose == 1:
        canvas.stroke(
            np.array([(x, y + 0.1 * ry), (x + 0.12 * rx, y + 0.35 * ry), (x - 0.04 * rx, y + 0.36 * ry)]),
            width,
        )
    elif nose == 2:
        canvas.stroke(_ring(x, y + 0.3 * ry, 0.12 * rx, 0.08 * ry)[:90], width)
    wide, deep, open_ = float(mood.uniform(0.15, 0.4)), float(mood.uniform(-0.2, 0.2)), mood.random()
    mouth = y + 0.6 * ry
    if open_ < 0.3:
        canvas.fill(_ring(x, mouth, wide * rx, 0.14 * ry), lips)
    else:
        across = np.linspace(-1, 1, 21)
        canvas.stroke(np.stack([x + wide * rx * across, mouth + deep * ry * across**2], axis=1), width)


def bent(
    rgb: NDArray[np.uint8], there: NDArray[np.bool_], identity: list[int], strength: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A figure bent smoothly by up to some `strength` of its size, in the way of its `identity`."""
    rng = np.random.default_rng(identity)
    h, w = there.shape
    room = round(0.12 * max(h, w))
    padded = [np.pad(rgb, ((room, room), (room, room), (0, 0))), np.pad(there, room).astype(np.uint8)]
    size = (w + 2 * room, h + 2 * room)
    moves = []
    for length in (w, h):
        coarse = rng.normal(0, 1, (4, 4)).astype(np.float32)
        fine = rng.normal(0, 0.35, (7, 7)).astype(np.float32)
        field = sum(cv2.resize(part, size, interpolation=cv2.INTER_CUBIC) for part in (coarse, fine))
        moves.append(np.asarray(field, np.float32) * strength * length)
    stretch = float(np.exp(rng.normal(0, 2 * strength)))
    ys, xs = np.mgrid[: size[1], : size[0]].astype(np.float32)
    at_x = size[0] / 2 + (xs - size[0] / 2) * stretch + moves[0]
    image, mask = (cv2.remap(part, at_x, ys + moves[1], cv2.INTER_NEAREST) for part in padded)
    return np.asarray(image, np.uint8), np.asarray(mask > 0)
