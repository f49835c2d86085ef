"""What stands in a world, each as its own generator makes it up: boats, houses, trees, and what furnishes rooms.

`u` is where it begins or has its middle, `foot` the height at which it stands, in heights of a grown person; see flats_worlds.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from benchmarks.flats_drawer import Drawer
from benchmarks.flats_pen import WHITE, ring, scallops, smooth

Thing = Callable[[Drawer, np.random.Generator, float, float], None]
"""Draws something at some place, standing at some height; the generator is of what it looks like."""


def boat(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r = float(own.uniform(0.3, 1.1))
    if own.random() < 0.6:
        it.box(u - 0.05 * r, foot - 1.9 * r, u + 0.05 * r, foot - 0.3 * r, "wood2", 0.3)
        it.shape(
            [(u + 0.05 * r, foot - 1.8 * r), (u + 0.9 * r, foot - 0.5 * r), (u + 0.05 * r, foot - 0.5 * r)],
            "sail",
            0.3,
        )
        if own.random() < 0.5:
            it.stroke([(u, foot - 1.9 * r), (u - 1.2 * r, foot - 0.4 * r)])
    else:
        it.box(u - 0.4 * r, foot - 0.8 * r, u + 0.3 * r, foot - 0.3 * r, "wall2", 0.3)
        it.box(u - 0.25 * r, foot - 0.7 * r, u, foot - 0.5 * r, "glass", 0.3)
    it.shape(
        [(u - 1.2 * r, foot - 0.4 * r), (u + 1.3 * r, foot - 0.45 * r), (u + r, foot), (u - 0.9 * r, foot)],
        "hull",
        0.3,
    )
    if own.random() < 0.5:
        it.stroke([(u - 1.1 * r, foot - 0.25 * r), (u + 1.15 * r, foot - 0.28 * r)])


def lighthouse(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r, bands = float(own.uniform(0.8, 2.2)), int(own.integers(1, 6))
    it.shape(ring(u, foot, 0.8 * r, 0.18 * r, 180, 360), "stone", 0.2)
    edge = np.linspace(0, 1, bands + 1)
    for k in range(bands):
        a, b = edge[k], edge[k + 1]
        wide = [0.25 * r * (1 - 0.4 * t) for t in (a, b)]
        it.shape(
            [
                (u - wide[0], foot - a * 2 * r),
                (u + wide[0], foot - a * 2 * r),
                (u + wide[1], foot - b * 2 * r),
                (u - wide[1], foot - b * 2 * r),
            ],
            ("wall", WHITE)[k % 2],
            0.2,
        )
    it.box(u - 0.12 * r, foot - 2.3 * r, u + 0.12 * r, foot - 2 * r, "glass", 0.2)
    it.shape([(u - 0.2 * r, foot - 2.3 * r), (u, foot - 2.6 * r), (u + 0.2 * r, foot - 2.3 * r)], "roof", 0.2)


def house(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, floors = float(own.uniform(1.0, 2.6)), int(own.integers(1, 4))
    story = float(own.uniform(0.9, 1.3))
    top = foot - floors * story
    wall, roof = (
        str(own.choice(["wall", "wall2", "wall3", "wall4"])),
        str(own.choice(["roof", "roof", "roof2"])),
    )
    kind, pitch, over = int(own.integers(4)), float(own.uniform(0.5, 1.2)), float(own.uniform(0.0, 0.2))
    if own.random() < 0.5:
        at = u + wide * float(own.uniform(0.15, 0.7))
        it.box(at, top - 0.9 * pitch, at + 0.22, top, str(own.choice(["stone", wall])), 0.4)
    it.box(u, top, u + wide, foot, wall, 0.5)
    if kind == 0:
        peak = [(u - over, top), (u + wide / 2, top - pitch), (u + wide + over, top)]
        it.shape(peak, roof if own.random() < 0.6 else wall, 0.5)
        if own.random() < 0.5:
            thick = 0.14
            it.shape(
                [
                    (u - over - 0.05, top),
                    (u + wide / 2, top - pitch - 0.02),
                    (u + wide / 2, top - pitch + thick),
                    (u - over + 0.12, top + 0.08),
                ],
                roof,
                0.5,
            )
            it.shape(
                [
                    (u + wide + over + 0.05, top),
                    (u + wide / 2, top - pitch - 0.02),
                    (u + wide / 2, top - pitch + thick),
                    (u + wide + over - 0.12, top + 0.08),
                ],
                roof,
                0.5,
            )
    elif kind == 1:
        inset = wide * float(own.uniform(0.05, 0.25))
        it.shape(
            [
                (u - over, top),
                (u + inset, top - 0.8 * pitch),
                (u + wide - inset, top - 0.8 * pitch),
                (u + wide + over, top),
            ],
            roof,
            0.5,
        )
        for _ in range(it.some(2)):
            t, v = it.rng.uniform(0.15, 0.8), top - it.rng.uniform(0.1, 0.7) * pitch
            it.stroke(ring(u + t * wide, v, 0.08, 0.06, 0, 180))
    elif kind == 2:
        it.box(u - over, top - 0.15, u + wide + over, top, str(own.choice(["stone", roof])), 0.5)
    else:
        it.shape(
            [
                (u - over, top),
                (u + wide * 0.1, top - 0.5 * pitch),
                (u + wide * 0.3, top - pitch),
                (u + wide * 0.7, top - pitch),
                (u + wide * 0.9, top - 0.5 * pitch),
                (u + wide + over, top),
            ],
            roof,
            0.5,
        )
    if own.random() < 0.4:
        it.box(u, foot - 0.15, u + wide, foot, "stone2", 0.5)
    at_door, columns = int(own.integers(0, 3)), int(own.integers(1, 4))
    shutters, round_, bars = own.random() < 0.4, own.random() < 0.15, int(own.integers(4))
    for floor in range(floors):
        for k in range(columns):
            x = u + wide * (k + 0.5) / columns
            y = foot - (floor + 0.55) * story
            half, high = min(0.22, 0.3 * wide / columns), 0.3 * story
            if floor == 0 and k == at_door % columns:
                door(it, own, x, foot)
                continue
            if round_:
                it.shape(ring(x, y, half, half), "glass", 0.5)
            else:
                it.box(x - half, y - high, x + half, y + high * 0.6, "glass", 0.5)
                if own.random() < 0.4:
                    it.box(
                        x - 1.2 * half, y + high * 0.6, x + 1.2 * half, y + high * 0.6 + 0.07, "stone", 0.5
                    )
            if bars & 1:
                it.stroke([(x, y - high), (x, y + 0.6 * high)])
            if bars & 2:
                it.stroke([(x - half, y - 0.2 * high), (x + half, y - 0.2 * high)])
            if shutters and not round_:
                for side in (-1, 1):
                    near, away = x + side * half, x + side * 1.75 * half
                    it.box(min(near, away), y - high, max(near, away), y + high * 0.6, "shutter", 0.5)
                    for t in np.linspace(0.2, 0.8, 3) if it.of.busy > 0.5 else ():
                        it.stroke([(near, y - high + 1.6 * high * t), (away, y - high + 1.6 * high * t)])
    for _ in range(it.some(1.5)):
        x, y = u + wide * it.rng.uniform(0.08, 0.85), it.rng.uniform(top + 0.1, foot - 0.1)
        it.stroke([(x, y), (x + 0.12, y)])
        if it.rng.random() < 0.5:
            it.stroke([(x + 0.05, y + 0.07), (x + 0.18, y + 0.07), (x + 0.18, y)])


def door(it: Drawer, own: np.random.Generator, x: float, foot: float) -> None:
    half, high = float(own.uniform(0.2, 0.3)), float(own.uniform(0.9, 1.1)) * 0.85
    if own.random() < 0.5:
        it.shape(
            np.concatenate(
                [ring(x, foot - high + half, half, half, 180, 360), [(x + half, foot), (x - half, foot)]]
            ),
            "door",
            0.5,
        )
    else:
        it.box(x - half, foot - high, x + half, foot, "door", 0.5)
        if own.random() < 0.4:
            it.box(x - 0.6 * half, foot - 0.9 * high, x + 0.6 * half, foot - 0.55 * high, "glass", 0.5)
    if own.random() < 0.4:
        it.box(x - 1.3 * half, foot - 0.06, x + 1.3 * half, foot + 0.05, "stone", 0.5)
    it.shape(ring(x + 0.6 * half, foot - 0.45 * high, 0.03, 0.03), "metal", 0.5)


def tree(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r, kind, leaf = (
        float(own.uniform(0.35, 1.1)),
        int(own.integers(4)),
        str(own.choice(["leaf", "leaf", "leaf2"])),
    )
    thick, high = 0.16 * r, float(own.uniform(1.0, 2.4)) * r
    it.shape(
        [
            (u - thick, foot - high),
            (u + thick, foot - high),
            (u + 1.4 * thick, foot),
            (u - 1.4 * thick, foot),
        ],
        "bark",
        0.6,
    )
    for _ in range(it.some(0.7)):
        v = it.rng.uniform(foot - high, foot - 0.1 * r)
        it.stroke([(u - 0.3 * thick, v), (u - 0.2 * thick, v + 0.2 * r)])
    top = foot - high
    if kind == 0:
        it.shape(scallops(u, top - 0.5 * r, 0.95 * r, 0.9 * r, int(own.integers(6, 13)), 0.16), leaf, 0.6)
    elif kind == 1:
        for k in range(int(own.integers(2, 5))):
            it.shape(
                [
                    (u - (0.9 - 0.18 * k) * r, top - 0.45 * k * r + 0.3 * r),
                    (u, top - 0.45 * k * r - 0.7 * r),
                    (u + (0.9 - 0.18 * k) * r, top - 0.45 * k * r + 0.3 * r),
                ],
                leaf,
                0.6,
            )
    elif kind == 2:
        for _ in range(int(own.integers(3, 6))):
            dx, dy, size = (float(v) for v in own.uniform((-0.7, -0.9, 0.35), (0.7, 0.1, 0.65)))
            it.shape(scallops(u + dx * r, top + dy * r, size * r, size * r, 7, 0.14), leaf, 0.6)
    else:
        it.shape(ring(u, top - 0.7 * r, 0.55 * r, 1.2 * r), leaf, 0.6)
    for _ in range(it.some(1.5)):
        x, y, a = (
            u + it.rng.uniform(-0.6, 0.6) * r,
            top - it.rng.uniform(0.0, 1.0) * r,
            it.rng.uniform(0, 200),
        )
        it.stroke(ring(x, y, 0.16 * r, 0.12 * r, a, a + 140))
    if it.of.busy > 0.5 and own.random() < 0.4:
        for k in range(6):
            it.stroke(
                [
                    (u + (0.2 + 0.08 * k) * r, top - (0.1 + 0.05 * k) * r),
                    (u + (0.35 + 0.08 * k) * r, top - (0.3 + 0.05 * k) * r),
                ]
            )


def bush(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r = float(own.uniform(0.2, 0.6))
    top = scallops(u, foot, 1.5 * r, r, int(own.integers(4, 8)), 0.25, 180, 360)
    it.shape(top, str(own.choice(["leaf", "leaf2"])), 0.6)


def rock(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r, n = float(own.uniform(0.15, 0.8)), int(own.integers(5, 9))
    turn = np.linspace(np.pi, 2 * np.pi, n)
    far = r * own.uniform(0.7, 1.2, n)
    points = np.stack([u + 1.3 * far * np.cos(turn), foot + 0.8 * far * np.sin(turn)], 1)
    it.shape(points, str(own.choice(["stone", "stone2"])), 0.6)
    it.stroke([(u - 0.2 * r, foot - 0.5 * r), (u, foot - 0.25 * r), (u + 0.3 * r, foot - 0.3 * r)])


def cactus(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r = float(own.uniform(0.5, 1.2))
    for dx, low, high, half in ((-0.35, 0.5, 0.9, 0.09), (0.35, 0.35, 0.8, 0.09), (0, 0, 1.3, 0.14)):
        body = np.concatenate(
            [
                ring(u + dx * r, foot - high * r, half * r, half * r, 180, 360),
                [(u + (dx + half) * r, foot - low * r), (u + (dx - half) * r, foot - low * r)],
            ]
        )
        it.shape(body, "leaf", 0.6)
        it.stroke([(u + dx * r, foot - (high - 0.05) * r), (u + dx * r, foot - (low + 0.1) * r)])


def lamp(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    high, wide = float(own.uniform(1.4, 2.2)), float(own.uniform(0.03, 0.06))
    it.box(u - wide, foot - high, u + wide, foot, "metal", 0.6)
    it.shape(
        [
            (u - 0.08, foot - high),
            (u + 0.08, foot - high),
            (u + 0.14, foot - high - 0.28),
            (u - 0.14, foot - high - 0.28),
        ],
        "glass",
        0.6,
    )
    it.shape(
        [(u - 0.18, foot - high - 0.28), (u, foot - high - 0.42), (u + 0.18, foot - high - 0.28)],
        "metal",
        0.6,
    )


def bench(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    material, wide = str(own.choice(["wood", "stone", "wood2"])), float(own.uniform(0.6, 1.2))
    if own.random() < 0.5:
        it.box(u, foot - 0.25, u + wide, foot, material, 0.6)
        it.box(u - 0.05, foot - 0.35, u + wide + 0.05, foot - 0.25, material, 0.6)
        return
    for k in range(2):
        it.box(u, foot - 0.75 + 0.14 * k, u + wide, foot - 0.64 + 0.14 * k, material, 0.6)
    for x in (u + 0.08, u + wide - 0.14):
        it.box(x, foot - 0.35, x + 0.06, foot, "metal", 0.6)
    it.box(u - 0.04, foot - 0.4, u + wide + 0.04, foot - 0.3, material, 0.6)


def fence(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    n, high, pointed = int(own.integers(4, 12)), float(own.uniform(0.35, 0.7)), own.random() < 0.5
    material = str(own.choice(["wood", "wood2", "metal"]))
    for v in (0.3, 0.7):
        it.box(u, foot - v * high - 0.04, u + 0.22 * n, foot - v * high + 0.04, material, 0.6)
    for k in range(n):
        x = u + 0.22 * k + 0.05
        tip = [(x + 0.06, foot - high - 0.08)] if pointed else []
        it.shape(
            [(x, foot), (x, foot - high), *tip, (x + 0.12, foot - high), (x + 0.12, foot)], material, 0.6
        )


def rail(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    n, material = int(own.integers(2, 5)), str(own.choice(["wood2", "metal"]))
    for k in range(n + 1):
        it.box(u + k, foot - 0.6, u + k + 0.1, foot, material, 0.6)
    it.box(u - 0.1, foot - 0.68, u + n + 0.2, foot - 0.58, material, 0.6)


def crate(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r = float(own.uniform(0.25, 0.5))
    if own.random() < 0.5:
        it.box(u, foot - r, u + 1.2 * r, foot, "wood2", 0.6)
        for t in (0.33, 0.66):
            it.stroke([(u, foot - t * r), (u + 1.2 * r, foot - t * r)], it.rank(0.5))
        if own.random() < 0.5:
            it.stroke([(u, foot - r), (u + 1.2 * r, foot)], it.rank(0.5))
    else:
        it.shape(
            [
                (u, foot - 1.3 * r),
                (u + r, foot - 1.3 * r),
                (u + 1.12 * r, foot - 0.65 * r),
                (u + r, foot),
                (u, foot),
                (u - 0.12 * r, foot - 0.65 * r),
            ],
            "wood",
            0.6,
        )
        for t in (0.25, 0.95):
            it.box(u - 0.05 * r, foot - t * r - 0.1 * r, u + 1.05 * r, foot - t * r, "metal", 0.6)


def flowers(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    for _ in range(int(own.integers(2, 6))):
        x, r = u + float(own.uniform(0, 1)), float(own.uniform(0.05, 0.1))
        it.stroke([(x, foot), (x + 0.02, foot - 3 * r)])
        it.shape(scallops(x, foot - 3.5 * r, r, r, 5, 0.5), "flower", 0.6)
        it.shape(ring(x, foot - 3.5 * r, 0.4 * r, 0.4 * r), "sun", 0.6)


def window(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, high = float(own.uniform(0.6, 1.4)), float(own.uniform(0.6, 1.1))
    top = -float(own.uniform(1.5, 1.9))
    it.box(u - 0.06, top - 0.06, u + wide + 0.06, top + high + 0.06, "wood", 0.4)
    it.box(u, top, u + wide, top + high, "glass", 0.4)
    for t in np.linspace(0, 1, int(own.integers(2, 4)) + 1)[1:-1]:
        it.stroke([(u + t * wide, top), (u + t * wide, top + high)], it.rank(0.4))
    if own.random() < 0.6:
        it.stroke([(u, top + high / 2), (u + wide, top + high / 2)], it.rank(0.4))
    if own.random() < 0.3:
        for x in (u - 0.4, u + wide + 0.06):
            it.box(x, top, x + 0.34, top + high, "shutter", 0.4)


def curtained(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    window(it, own, u, foot)
    for side in (0, 1):
        x = u - 0.15 + side * 0.9
        it.shape(
            smooth(
                [
                    (x, -2.0),
                    (x + 0.45, -2.0),
                    (x + 0.35, -1.4),
                    (x + 0.42, -0.7),
                    (x - 0.02, -0.7),
                    (x + 0.08, -1.4),
                    (x, -2.0),
                ]
            ),
            "cloth3",
            0.5,
        )
        for k in (0.12, 0.24):
            it.stroke([(x + k, -1.9), (x + k + 0.03, -0.8)])


def shelf(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    rows, wide, what = int(own.integers(1, 4)), float(own.uniform(0.8, 1.8)), int(own.integers(4))
    for row in range(rows):
        v = -0.8 - 0.5 * row
        it.box(u, v, u + wide, v + 0.07, "wood", 0.4)
        n = int(own.integers(2, 7))
        for k in range(n):
            x, r = u + wide * (k + 0.5) / n, min(0.16, 0.4 * wide / n)
            if what == 0:
                it.shape(ring(x, v, r, 0.8 * r, 180, 360), "goods", 0.4)
                for t in (-0.3, 0.1, 0.5):
                    it.stroke([(x + t * r, v - 0.55 * r), (x + (t + 0.15) * r, v - 0.3 * r)])
            elif what == 1:
                it.box(x - 0.7 * r, v - 0.36, x + 0.7 * r, v, ("cloth", "cloth2", "goods2")[k % 3], 0.4)
            elif what == 2:
                it.box(x - 0.5 * r, v - 0.2, x + 0.5 * r, v, "goods2", 0.4)
                it.box(x - 0.25 * r, v - 0.3, x + 0.25 * r, v - 0.2, "metal", 0.4)
            else:
                it.shape(ring(x, v - 0.8 * r, r, 0.8 * r), ("goods", "flower")[k % 2], 0.4)


def counter(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, high = float(own.uniform(1.2, 3.0)), float(own.uniform(0.5, 0.65))
    v = foot + float(own.uniform(0, 0.3))
    it.box(u, v - high, u + wide, v, "wood2", 0.6)
    it.box(u - 0.08, v - high - 0.09, u + wide + 0.08, v - high, str(own.choice(["stone", "wood"])), 0.6)
    if own.random() < 0.5:
        for t in np.linspace(0, 1, int(own.integers(2, 5)) + 1)[1:-1]:
            it.stroke([(u + t * wide, v - high), (u + t * wide, v)], it.rank(0.5))
    elif it.of.busy > 0.4:
        for t in np.linspace(0.02, 0.95, 24):
            it.stroke([(u + t * wide, v - high + 0.03), (u + t * wide - 0.03, v - 0.75 * high)])
    for k in range(int(own.integers(0, 4))):
        x = u + wide * float(own.uniform(0.1, 0.9))
        it.shape(ring(x, v - high - 0.09, 0.16, 0.14, 180, 360), ("goods", "goods2")[k % 2], 0.6)


def cupboard(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, high = float(own.uniform(0.7, 1.2)), float(own.uniform(1.1, 1.8))
    it.box(u, foot - high, u + wide, foot, "wood", 0.5)
    it.box(u + 0.07, foot - high + 0.08, u + wide / 2 - 0.02, foot - 0.1, "wood2", 0.5)
    it.box(u + wide / 2 + 0.02, foot - high + 0.08, u + wide - 0.07, foot - 0.1, "wood2", 0.5)
    for side in (-1, 1):
        it.shape(ring(u + wide / 2 + side * 0.07, foot - high / 2, 0.025, 0.025), "metal", 0.5)


def picture(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, high, top = float(own.uniform(0.3, 0.7)), float(own.uniform(0.3, 0.6)), -1.7
    it.box(u, top, u + wide, top + high, "wood2", 0.4)
    it.box(
        u + 0.06,
        top + 0.06,
        u + wide - 0.06,
        top + high - 0.06,
        str(own.choice(["sky", "cloth2", "goods2"])),
        0.4,
    )
    if own.random() < 0.5:
        it.shape(ring(u + wide / 2, top + 0.6 * high, 0.2 * wide, 0.2 * high), "flower", 0.4)


def table(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, v = float(own.uniform(0.9, 1.8)), foot + float(own.uniform(0.1, 0.4))
    for x in (u + 0.1, u + wide - 0.18):
        it.box(x, v - 0.42, x + 0.08, v, "wood", 0.7)
    if own.random() < 0.4:
        at = np.linspace(0, 1, 25)
        drop = 0.14 + 0.04 * np.abs(np.sin(at * 15))
        it.shape(
            np.concatenate(
                [[(u, v - 0.5), (u + wide, v - 0.5)], np.stack([u + wide * at[::-1], v - 0.5 + drop], 1)]
            ),
            "cloth",
            0.7,
        )
    else:
        it.box(u - 0.04, v - 0.5, u + wide + 0.04, v - 0.42, "wood", 0.7)


def sofa(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, v = float(own.uniform(1.0, 2.0)), foot + float(own.uniform(0, 0.3))
    bed = own.random() < 0.4
    it.shape(
        scallops(u + wide / 2, v - 0.45, wide / 2, 0.35, 3, 0.05, 180, 360), "wood" if bed else "cloth2", 0.6
    )
    it.box(u, v - 0.45, u + wide, v - 0.05, "cloth2", 0.6)
    if bed:
        it.box(u, v - 0.35, u + 0.7 * wide, v - 0.05, "cloth", 0.6)
        it.shape(ring(u + 0.85 * wide, v - 0.48, 0.14 * wide, 0.1), WHITE, 0.6)
    else:
        for t in (1 / 3, 2 / 3):
            it.stroke([(u + t * wide, v - 0.45), (u + t * wide, v - 0.25)], it.rank(0.5))
        for x in (u - 0.1, u + wide - 0.06):
            it.shape(
                np.concatenate([ring(x + 0.08, v - 0.45, 0.08, 0.08, 180, 360), [(x + 0.16, v), (x, v)]]),
                "cloth2",
                0.6,
            )


def inner_door(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    it.box(u - 0.07, foot - 1.27, u + 0.67, foot - 0.1, "wood2", 0.4)
    it.box(u, foot - 1.2, u + 0.6, foot - 0.1, "door", 0.4)
    if own.random() < 0.5:
        it.box(u + 0.12, foot - 1.1, u + 0.48, foot - 0.7, "glass" if own.random() < 0.5 else "door", 0.4)
    it.shape(ring(u + 0.52, foot - 0.6, 0.03, 0.03), "metal", 0.4)
