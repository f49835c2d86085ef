"""Where a drawing plays: the places of a series, and what of their colours no line tells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from benchmarks.flats_pen import WHITE, Pen, Rgb, ring, scallops


@dataclass
class Place:
    """Where a panel plays: its kind and the colours of its parts."""

    kind: str
    colors: list[Rgb]
    seed: int


EITHER = {"street": (2, 3), "hall": (1, 2)}
"""Two colours of a kind of place of which no line tells what has which: a coin is tossed for the wall of each house in a
street, and the chequers of a hall begin with the one or the other."""


def exchanged(places: list[Place], kind: str) -> list[Place]:
    """The same places, but in those of this kind the two colours of EITHER are exchanged."""
    a, b = EITHER[kind]
    order = list(range(7))
    order[a], order[b] = b, a
    return [
        replace(place, colors=[place.colors[k] for k in order]) if place.kind == kind else place
        for place in places
    ]


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
