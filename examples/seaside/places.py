"""The town by the sea: sky, water, hills, houses, boats and one bakery, each drawn at any place and size."""

from __future__ import annotations

from itertools import pairwise
from math import sin
from typing import TYPE_CHECKING

import numpy as np

from .ink import INK, PAPER, Canvas, Color, Point, box, ellipse, envelope, points, spline

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SKY: Color = (178, 218, 238)
CLOUD: Color = (250, 250, 248)
SEA: Color = (70, 142, 184)
GRASS: Color = (142, 186, 92)
HILL: Color = (110, 158, 104)
LEAF: Color = (84, 142, 82)
TRUNK: Color = (122, 88, 64)
WALL_CREAM: Color = (246, 230, 198)
WALL_ROSE: Color = (238, 176, 148)
WALL_BLUE: Color = (186, 206, 214)
ROOF: Color = (190, 84, 62)
SHUTTER: Color = (70, 120, 126)
GLASS: Color = (214, 232, 236)
WOOD: Color = (176, 128, 84)
STONE: Color = (202, 194, 182)
ROAD: Color = (226, 210, 182)
HULL: Color = (58, 100, 148)
BREAD: Color = (218, 160, 92)
CHECK: Color = (214, 148, 120)


def sky(c: Canvas) -> None:
    c.fill(box(-10, -10, c.width + 20, c.height + 20), SKY)


def cloud(c: Canvas, x: float, y: float, size: float) -> None:
    """A fair-weather cloud, about four `size` wide, with its flat base at `y`."""
    lumps = [
        (-1.45, -0.3, 0.42),
        (-0.75, -0.6, 0.62),
        (0.15, -0.85, 0.78),
        (0.95, -0.5, 0.58),
        (1.55, -0.25, 0.36),
    ]
    chains = [
        [((x + a * size, y + b * size), r * size), ((x + a * size + 1, y + b * size), r * size)]
        for a, b, r in lumps
    ]
    base = box(x - 1.5 * size, y - 0.5 * size, 3.05 * size, 0.5 * size)
    c.shape(envelope(chains, [base]), CLOUD, 2.2)
    for a, b, r in lumps[1:4]:
        c.line(ellipse((x + a * size, y + b * size), r * size * 0.72, r * size * 0.72, start=20, end=85), 1.5)


def sea(c: Canvas, top: float, bottom: float | None = None, *, waves: int = 24) -> None:
    """Water from the horizon at `top` down; wave strokes grow towards the reader."""
    low = c.height + 10 if bottom is None else bottom
    c.fill(box(-10, top, c.width + 20, low - top), SEA)
    c.line([(-10, top), (c.width + 10, top)], 2.0, taper=0)
    for i in range(waves):
        depth = ((i * 0.618034) % 1) ** 1.4
        y = top + 10 + depth * (low - top - 20)
        x = c.width * ((i * 0.754878) % 1)
        r = 8 + 26 * depth
        c.line(
            spline([(x - 2 * r, y), (x - r, y - r * 0.22), (x, y), (x + r, y - r * 0.22), (x + 2 * r, y)]),
            1.3 + depth,
            taper=0.9,
        )


def land(c: Canvas, ridge: ArrayLike, color: Color, *, width: float = 2.4) -> None:
    """Ground below the `ridge`, a curve from the panel's left to its right."""
    edge = spline(ridge)
    area = np.concatenate([edge, points([(edge[-1][0], c.height + 20), (edge[0][0], c.height + 20)])])
    c.fill(area, color)
    c.line(edge, width, taper=0.1)


def grass(c: Canvas, x: float, y: float, size: float = 14) -> None:
    for lean, tall in ((-0.6, 0.8), (-0.15, 1.2), (0.3, 1.0), (0.7, 0.7)):
        c.flick(
            spline(
                [
                    (x + lean * size * 0.4, y),
                    (x + lean * size * 0.7, y - tall * size * 0.6),
                    (x + lean * size * 1.2, y - tall * size),
                ]
            ),
            2,
        )


def tree(c: Canvas, x: float, y: float, size: float) -> None:
    """A round tree standing at (x, y), about 2.6 `size` tall."""
    trunk = [
        (x - 0.2 * size, y),
        (x - 0.12 * size, y - size),
        (x + 0.12 * size, y - size),
        (x + 0.22 * size, y),
    ]
    c.shape(spline(trunk, closed=True, corners=(0, 1, 2, 3)), TRUNK, 2.3)
    c.hatch(
        [(x, y), (x + 0.02 * size, y - size), (x + 0.11 * size, y - size), (x + 0.2 * size, y)],
        angle=80,
        spacing=max(4, size * 0.05),
    )
    lumps = [
        (-0.6, -1.2, 0.42),
        (-0.55, -1.75, 0.45),
        (0.0, -2.1, 0.5),
        (0.55, -1.75, 0.45),
        (0.6, -1.2, 0.42),
        (0, -1.4, 0.6),
        (0, -1.05, 0.4),
    ]
    chains = [
        [((x + a * size, y + b * size), r * size), ((x + a * size + 1, y + b * size), r * size)]
        for a, b, r in lumps
    ]
    c.shape(envelope(chains), LEAF, 2.5)
    for a, b, r in lumps[1:6]:
        c.line(ellipse((x + a * size, y + b * size), r * size * 0.6, r * size * 0.55, start=10, end=110), 1.7)
    dark = ellipse((x + 0.55 * size, y - 1.15 * size), 0.36 * size, 0.3 * size)
    c.hatch(dark, angle=50, spacing=max(5, size * 0.07), width=1.5)


def window(c: Canvas, x: float, y: float, w: float, h: float, *, shutters: bool = True) -> None:
    if shutters:
        for left in (x - w * 0.46, x + w * 1.02):
            c.shape(box(left, y, w * 0.44, h), SHUTTER, 1.9)
            for k in range(1, 4):
                c.line([(left + 3, y + h * k / 4), (left + w * 0.44 - 3, y + h * k / 4)], 1.3, taper=0.2)
    c.shape(box(x, y, w, h), GLASS, 2.1)
    c.line([(x + w / 2, y), (x + w / 2, y + h)], 1.7, taper=0)
    c.line([(x, y + h * 0.45), (x + w, y + h * 0.45)], 1.7, taper=0)
    c.shape(box(x - w * 0.1, y + h, w * 1.2, h * 0.09), STONE, 1.8)


def house(
    c: Canvas,
    x: float,
    y: float,
    w: float,
    h: float,
    wall: Color = WALL_CREAM,
    *,
    gable: bool = True,
    door: bool = True,
    shutters: bool = True,
) -> None:
    """A house with its front's lower left corner at (x, y): `w` wide, walls `h` high."""
    rise = w * 0.42 if gable else w * 0.2
    if gable:
        front = [(x, y), (x, y - h), (x + w / 2, y - h - rise), (x + w, y - h), (x + w, y)]
        c.shape(spline(front, closed=True, corners=range(5)), wall, 2.4)
        thick = w * 0.07
        roof = [
            (x - w * 0.08, y - h + w * 0.05),
            (x + w / 2, y - h - rise - thick * 0.3),
            (x + w * 1.08, y - h + w * 0.05),
            (x + w * 1.08, y - h - thick),
            (x + w / 2, y - h - rise - thick * 1.8),
            (x - w * 0.08, y - h - thick),
        ]
        c.shape(spline(roof, closed=True, corners=range(6)), ROOF, 2.4)
        attic = w * 0.09
        c.shape(ellipse((x + w / 2, y - h - rise * 0.3), attic, attic), GLASS, 2)
        c.line(
            [(x + w / 2 - attic, y - h - rise * 0.3), (x + w / 2 + attic, y - h - rise * 0.3)], 1.5, taper=0
        )
    else:
        c.shape(box(x, y - h, w, h), wall, 2.4)
        roof = [
            (x - w * 0.05, y - h),
            (x + w * 0.08, y - h - rise),
            (x + w * 0.92, y - h - rise),
            (x + w * 1.05, y - h),
        ]
        stack = box(x + w * 0.68, y - h - rise * 1.55, w * 0.12, rise)
        c.shape(stack, wall, 2.2)
        c.shape(spline(roof, closed=True, corners=range(4)), ROOF, 2.4)
        for row in (0.3, 0.65):
            for k in range(6):
                cx = x + w * (0.1 + 0.155 * k + 0.05 * row)
                cy = y - h - rise * (1 - row)
                c.line(spline([(cx, cy), (cx + w * 0.03, cy + rise * 0.1), (cx + w * 0.06, cy)]), 1.4)
    if w > 120 and not gable:  # the shadow of the eaves
        c.hatch(box(x + 4, y - h + 1, w - 8, w * 0.06), angle=75, spacing=max(7, w * 0.03), width=1.4)
    storeys = max(1, round(h / (w * 0.75)))
    floor = h / storeys
    for level in range(storeys):
        top = y - h + level * floor + floor * 0.22
        ground = level == storeys - 1
        for place in (0.18, 0.6):
            if ground and door and place > 0.5:
                continue
            window(c, x + w * place, top, w * 0.2, floor * 0.46, shutters=shutters)
    if door:
        dx, dw, dh = x + w * 0.6, w * 0.24, floor * 0.72
        panel = spline(
            [(dx, y), (dx, y - dh * 0.8), (dx + dw / 2, y - dh), (dx + dw, y - dh * 0.8), (dx + dw, y)],
            closed=True,
            corners=(0, 1, 3, 4),
        )
        c.shape(panel, SHUTTER, 2.3)
        c.fill(ellipse((dx + dw * 0.8, y - dh * 0.42), dw * 0.06, dw * 0.06), INK)
        c.shape(box(dx - dw * 0.12, y - dh * 0.06, dw * 1.24, dh * 0.07), STONE, 1.8)
    for k in range(3):  # a few bricks where the plaster is thin
        bx, by = x + w * (0.06 + 0.32 * k), y - h * (0.12 + 0.3 * ((k * 0.618) % 1))
        c.line([(bx, by), (bx + w * 0.06, by)], 1.2)
        c.line([(bx + w * 0.03, by + 6), (bx + w * 0.08, by + 6)], 1.2)


def village(c: Canvas, x: float, y: float, width: float, size: float) -> None:
    """A row of small far houses along the ground line `y`."""
    walls = (WALL_CREAM, WALL_ROSE, WALL_BLUE)
    at, i = x, 0
    while at < x + width:
        w = size * (0.8 + 0.4 * ((i * 0.618) % 1))
        h = size * (0.8 + 0.7 * ((i * 0.382) % 1))
        house(c, at, y, w, h, walls[i % 3], gable=i % 2 == 0, door=size > 60, shutters=False)
        at += w * 1.08
        i += 1


def lighthouse(c: Canvas, x: float, y: float, h: float) -> None:
    """A lighthouse on its rock, standing at (x, y), `h` page pixels tall."""
    w = h * 0.13
    rock = spline(
        [
            (x - w * 2.4, y + h * 0.04),
            (x - w * 1.8, y - h * 0.08),
            (x - w * 0.6, y - h * 0.11),
            (x + w * 0.9, y - h * 0.1),
            (x + w * 2, y - h * 0.05),
            (x + w * 2.5, y + h * 0.04),
        ],
        closed=True,
        corners=(0, 5),
    )
    c.shape(rock, STONE, 2.3)

    def ring(low: float, high: float, color: Color) -> None:
        a, b = w * (1 - 0.35 * low), w * (1 - 0.35 * high)
        area = [
            (x - a, y - h * (0.1 + 0.7 * low)),
            (x - b, y - h * (0.1 + 0.7 * high)),
            (x + b, y - h * (0.1 + 0.7 * high)),
            (x + a, y - h * (0.1 + 0.7 * low)),
        ]
        c.shape(spline(area, closed=True, corners=range(4)), color, 2.2)

    for k in range(4):
        ring(k / 4, (k + 1) / 4, PAPER if k % 2 else ROOF)
    c.shape(box(x - w * 0.85, y - h * 0.83, w * 1.7, h * 0.035), STONE, 2.2)
    c.shape(box(x - w * 0.45, y - h * 0.92, w * 0.9, h * 0.09), GLASS, 2.2)
    c.shape(
        spline(
            [(x - w * 0.62, y - h * 0.92), (x, y - h), (x + w * 0.62, y - h * 0.92)],
            closed=True,
            corners=(0, 1, 2),
        ),
        ROOF,
        2.2,
    )
    c.hatch(
        [
            (x + w * 0.35, y - h * 0.1),
            (x + w * 0.28, y - h * 0.78),
            (x + w * 0.6, y - h * 0.78),
            (x + w * 0.9, y - h * 0.1),
        ],
        angle=0,
        spacing=max(5, h * 0.018),
        width=1.3,
    )


def gull(c: Canvas, x: float, y: float, size: float) -> None:
    c.line(
        spline(
            [
                (x - size, y - size * 0.3),
                (x - size * 0.45, y - size * 0.5),
                (x, y),
                (x + size * 0.45, y - size * 0.5),
                (x + size, y - size * 0.3),
            ],
            corners=(2,),
        ),
        2.4,
    )


def fence(c: Canvas, x: float, y: float, width: float, size: float) -> None:
    for rail in (0.35, 0.75):
        c.shape(box(x, y - size * rail, width, size * 0.13), WOOD, 1.9)
    for k in range(int(width / (size * 0.55)) + 1):
        px = x + k * size * 0.55
        post = [
            (px, y),
            (px, y - size * 0.95),
            (px + size * 0.1, y - size * 1.1),
            (px + size * 0.2, y - size * 0.95),
            (px + size * 0.2, y),
        ]
        c.shape(spline(post, closed=True, corners=range(5)), WOOD, 1.9)


def street(c: Canvas, top: float) -> None:
    """Paving from `top` down, with cobbles here and there."""
    c.fill(box(-10, top, c.width + 20, c.height), ROAD)
    c.line([(-10, top), (c.width + 10, top)], 2.2, taper=0)
    c.line([(-10, top + 16), (c.width + 10, top + 16)], 1.8, taper=0)
    room = c.height - top - 50
    for i in range(int(min(18, room / 9))):
        depth = (i * 0.618034) % 1
        y = top + 34 + depth * room
        x = c.width * ((i * 0.754878 + 0.1) % 1)
        r = 9 + 15 * depth
        c.line(ellipse((x, y), r, r * 0.42, start=10, end=300), 1.5)
        c.line(ellipse((x + 1.9 * r, y + 0.2 * r), r * 0.8, r * 0.35, start=160, end=380), 1.4)


def bunting(c: Canvas, a: Point, b: Point, sag: float, flags: int = 7, size: float = 30) -> None:
    line = spline([a, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 + sag), b])
    c.line(line, 1.8, taper=0)
    colors = (ROOF, WALL_CREAM, SHUTTER)
    for k in range(flags):
        x, y = line[int((k + 0.5) / flags * (len(line) - 1))]
        c.shape(
            spline(
                [(x - size / 2, y), (x + size / 2, y), (x + sin(k) * 4, y + size * 1.1)],
                closed=True,
                corners=(0, 1, 2),
            ),
            colors[k % 3],
            1.9,
        )


def lamp(c: Canvas, x: float, y: float, h: float) -> None:
    c.fill(box(x - h * 0.018, y - h * 0.8, h * 0.036, h * 0.8), INK)
    c.fill(box(x - h * 0.05, y - h * 0.03, h * 0.1, h * 0.03), INK)
    lantern = [
        (x - h * 0.05, y - h * 0.8),
        (x - h * 0.09, y - h * 0.95),
        (x + h * 0.09, y - h * 0.95),
        (x + h * 0.05, y - h * 0.8),
    ]
    c.shape(spline(lantern, closed=True, corners=range(4)), GLASS, 2.3)
    c.fill([(x - h * 0.11, y - h * 0.95), (x, y - h * 1.02), (x + h * 0.11, y - h * 0.95)], INK)


def wall(c: Canvas, x: float, y: float, width: float, height: float) -> None:
    """A dry stone wall whose top left corner is (x, y)."""
    c.shape(box(x, y, width, height), STONE, 2.4)
    c.shape(box(x - 6, y - 14, width + 12, 18), STONE, 2.2)
    rows = max(2, int(height / 34))
    for r in range(rows):
        for k in range(int(width / 90) + 1):
            if (k * 7 + r * 5) % 3 == 0:
                sx, sy = x + 12 + k * 90 + (r % 2) * 40, y + 20 + r * height / rows
                if sx + 50 < x + width:
                    c.line(spline([(sx, sy + 14), (sx + 4, sy), (sx + 44, sy + 1), (sx + 50, sy + 15)]), 1.6)


def pier(c: Canvas, top: float, left: float, right: float, *, near: float | None = None) -> None:
    """Planks seen from above, spreading from the far edge at `top` to the panel's foot."""
    low = c.height + 10 if near is None else near
    spread = (right - left) * 0.22
    area = [(left, top), (right, top), (right + spread, low), (left - spread, low)]
    c.shape(spline(area, closed=True, corners=range(4)), WOOD, 2.6)
    rows = 7
    for k in range(1, rows):
        t = (k / rows) ** 1.5
        y = top + (low - top) * t
        c.line([(left - spread * t, y), (right + spread * t, y)], 1.5 + t, taper=0.1)
        for j in range(3):
            x = left + (right - left) * ((k * 0.37 + j * 0.31) % 0.9 + 0.05)
            c.line([(x, y + 7 + 10 * t), (x + 40 + 50 * t, y + 7 + 10 * t)], 1.2)


def boat(c: Canvas, x: float, y: float, size: float, *, mast: float = 3.2) -> Point:
    """A fishing boat afloat at (x, y), its hull four `size` long; returns the top of its mast."""
    top = y - mast * size
    if mast:
        c.shape(box(x - 0.07 * size, top, 0.14 * size, mast * size - 0.3 * size), WOOD, 2.2)
        c.line([(x, top + 6), (x + 1.9 * size, y - 0.8 * size)], 1.5, taper=0)
        c.line([(x, top + 6), (x - 1.8 * size, y - 0.75 * size)], 1.5, taper=0)
        c.shape(
            spline(
                [
                    (x + 0.07 * size, top + 0.1 * size),
                    (x + 0.75 * size, top + 0.28 * size),
                    (x + 0.07 * size, top + 0.5 * size),
                ],
                closed=True,
                corners=(0, 1, 2),
            ),
            ROOF,
            2,
        )
    c.shape(box(x - 1.05 * size, y - 1.25 * size, 0.95 * size, 0.75 * size), WALL_CREAM, 2.3)
    c.shape(box(x - 1.15 * size, y - 1.38 * size, 1.15 * size, 0.16 * size), ROOF, 2.1)
    c.shape(ellipse((x - 0.6 * size, y - 0.92 * size), 0.18 * size, 0.18 * size), GLASS, 2.1)
    hull = spline(
        [
            (x - 2 * size, y - 0.68 * size),
            (x - 0.3 * size, y - 0.48 * size),
            (x + 2.2 * size, y - 0.85 * size),
            (x + 1.6 * size, y + 0.15 * size),
            (x - 1.55 * size, y + 0.15 * size),
        ],
        closed=True,
        corners=(0, 2, 3, 4),
    )
    c.shape(hull, HULL, 2.6)
    band = spline(
        [
            (x - 1.93 * size, y - 0.5 * size),
            (x - 0.3 * size, y - 0.3 * size),
            (x + 2.08 * size, y - 0.64 * size),
        ]
    )
    c.line(band, 1.9, taper=0)
    for dx in (-1.9, -0.7, 0.5, 1.6):
        c.line(
            spline(
                [
                    (x + dx * size, y + 0.2 * size),
                    (x + (dx + 0.3) * size, y + 0.12 * size),
                    (x + (dx + 0.6) * size, y + 0.2 * size),
                ]
            ),
            1.8,
        )
    return x, top


def crate(c: Canvas, x: float, y: float, size: float) -> None:
    c.shape(box(x, y - size, size, size), WOOD, 2.3)
    for k in (0.25, 0.5, 0.75):
        c.line([(x, y - size * k), (x + size, y - size * k)], 1.7, taper=0)
    c.line([(x + size * 0.14, y - size), (x + size * 0.14, y)], 1.5, taper=0)
    c.line([(x + size * 0.86, y - size), (x + size * 0.86, y)], 1.5, taper=0)


def loaf(c: Canvas, x: float, y: float, size: float) -> None:
    c.shape(
        spline(
            [
                (x - size, y),
                (x - size * 0.95, y - size * 0.5),
                (x - size * 0.4, y - size * 0.78),
                (x + size * 0.4, y - size * 0.78),
                (x + size * 0.95, y - size * 0.5),
                (x + size, y),
            ],
            closed=True,
            corners=(0, 5),
        ),
        BREAD,
        2.2,
    )
    for k in (-0.45, 0, 0.45):
        c.line(
            spline(
                [
                    (x + (k - 0.12) * size, y - size * 0.25),
                    (x + k * size, y - size * 0.48),
                    (x + (k + 0.14) * size, y - size * 0.62),
                ]
            ),
            1.8,
        )


def bakery(c: Canvas, floor: float) -> None:
    """The bakery from inside: shelves of bread, a window on the street, a counter, a tiled floor from `floor` down."""
    c.fill(box(-10, -10, c.width + 20, c.height + 20), WALL_CREAM)
    c.fill(box(-10, floor, c.width + 20, c.height), PAPER)
    c.line([(-10, floor), (c.width + 10, floor)], 2.2, taper=0)
    horizon = (c.width / 2, floor - 260)
    depths = [floor, floor + 34, floor + 84, floor + 160, floor + 280]

    def on_floor(column: float, y: float) -> Point:
        t = (y - horizon[1]) / (floor - horizon[1])
        return horizon[0] + column * t, y

    for row, (a, b) in enumerate(pairwise(depths)):
        for k in range(-10, 10):
            if (k + row) % 2 == 0:
                tile = [
                    on_floor(k * 90, a),
                    on_floor(k * 90 + 90, a),
                    on_floor(k * 90 + 90, b),
                    on_floor(k * 90, b),
                ]
                c.shape(spline(tile, closed=True, corners=range(4)), CHECK, 1.6)
    for level in (0.24, 0.5):
        y = floor * level + 40
        c.shape(box(c.width * 0.04, y, c.width * 0.4, 16), WOOD, 2.2)
        for k in range(4):
            loaf(c, c.width * (0.095 + 0.095 * k), y, c.width * 0.038)
