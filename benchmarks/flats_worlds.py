"""Places in detail, seen from near and far.

A place of flats_places.py is drawn anew in each panel. Here it is a strip of a world some dozens of people long, in which every house, tree and
shelf stays where it is and as it is, and a panel is what a camera sees of it: the whole street, or one shutter and a bit of
wall. What is of one material has one colour all over a series, as a colourist keeps it: the planks of a jetty are of the wood
of a fence. And lines have ranks: what is near has a bolder outline than what is far, and what only tells of a surface, pebbles, waves, bricks,
boards, folds, is thin, whether it parts the surface or not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from benchmarks.flats_pen import WHITE, Pen, Points, Rgb, ring, scallops, smooth

LONG = 26.0
"""How long a place is; its unit is the height of a grown person."""


class Kind(StrEnum):
    """What a place is."""

    HARBOUR = "harbour"
    VILLAGE = "village"
    TOWN = "town"
    WOODS = "woods"
    MOUNTAINS = "mountains"
    DESERT = "desert"
    DECK = "deck"
    MEADOW = "meadow"
    SHOP = "shop"
    KITCHEN = "kitchen"
    BEDROOM = "bedroom"
    HALL = "hall"


INSIDE = (Kind.SHOP, Kind.KITCHEN, Kind.BEDROOM, Kind.HALL)
OUTSIDE = tuple(kind for kind in Kind if kind not in INSIDE)
MATERIALS = (
    "sky", "water", "far", "far2", "grass", "grass2", "sand", "stone", "stone2", "wood", "wood2", "bark", "leaf", "leaf2", "roof",
    "roof2", "wall", "wall2", "wall3", "wall4", "inside", "inside2", "floor", "floor2", "glass", "door", "shutter", "cloth", "cloth2",
    "cloth3", "metal", "metal2", "goods", "goods2", "flower", "sun", "hull", "sail",
)  # fmt: skip


@dataclass
class World:
    """All the places of a series, and what its surfaces look like."""

    seed: int
    colors: dict[str, Rgb]
    kinds: list[Kind]
    ranks: float
    """From 0, where all lines are as wide, to 1, where details are a third as wide as outlines, and far things half as wide as near ones."""
    busy: float
    """From 0 to 1: how much is drawn on surfaces."""


@dataclass(frozen=True)
class Camera:
    """What a panel shows: `scale` pixels to the unit, `left` is at its left edge, and the horizon at row `level`."""

    scale: float
    left: float
    level: float


def world(rng: np.random.Generator, colors: list[Rgb]) -> World:
    """A world of one to three places; `colors` are as many as MATERIALS or more. Clouds, tiles and sails may be white."""
    of = dict(zip(MATERIALS, colors, strict=False))
    for name in ("sail", "floor2", "wall4", "wall3", "cloth3"):
        if rng.random() < 0.3:
            of[name] = WHITE
    for one, other in (("wood2", "wood"), ("stone2", "stone"), ("leaf2", "leaf"), ("roof2", "roof"), ("inside", "wall3"), ("door", "shutter"), ("grass2", "leaf")):  # fmt: skip
        if rng.random() < 0.4:
            of[one] = of[other]
    count = int(rng.integers(2, 4))
    kinds = [Kind(kind) for kind in rng.permutation(OUTSIDE)[:count].tolist()]
    if rng.random() < 0.6:
        kinds[-1] = Kind(rng.choice(INSIDE))
    ranks = 0.0 if rng.random() < 0.25 else float(rng.uniform(0.3, 1.0))
    return World(int(rng.integers(1 << 30)), of, kinds, ranks, float(rng.uniform(0.1, 1.0)))


@dataclass
class Drawer:
    """Draws things in units of a place, with lines of the right rank."""

    pen: Pen
    camera: Camera
    of: World
    rng: np.random.Generator
    """Of what differs from panel to panel."""
    base: float = field(init=False)
    size: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.pen.width
        h, w = self.pen.line_art.shape
        self.size = (h, w)

    def rank(self, near: float) -> float:
        """Width of an outline of what is `near` by 0 to 1."""
        return 1 - self.of.ranks * 0.5 * (1 - near)

    @property
    def thin(self) -> float:
        return 1 - 0.6 * self.of.ranks

    def px(self, points: object) -> Points:
        p = np.asarray(points, np.float64)
        return np.stack(
            [
                (p[:, 0] - self.camera.left) * self.camera.scale,
                self.camera.level + p[:, 1] * self.camera.scale,
            ],
            1,
        )

    def shape(self, points: object, material: str | Rgb, near: float = 0.5) -> None:
        p = self.px(points)
        h, w = self.size
        if p[:, 0].max() < -20 or p[:, 0].min() > w + 20 or p[:, 1].max() < -20 or p[:, 1].min() > h + 20:
            return
        margin = 3 * max(h, w)
        p = np.clip(p, -margin, margin)
        color = self.of.colors[material] if isinstance(material, str) else material
        self.pen.shape(p, color, self.rank(near))

    def box(
        self, left: float, top: float, right: float, bottom: float, material: str | Rgb, near: float = 0.5
    ) -> None:
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], material, near)

    def stroke(self, points: object, line: float | None = None) -> None:
        p = self.px(points)
        h, w = self.size
        if p[:, 0].max() < -9 or p[:, 0].min() > w + 9 or p[:, 1].max() < -9 or p[:, 1].min() > h + 9:
            return
        self.pen.stroke(np.clip(p, -2 * max(h, w), 3 * max(h, w)), self.thin if line is None else line)

    def seen(self) -> tuple[float, float]:
        """From where to where the panel reaches, in units."""
        return self.camera.left, self.camera.left + self.size[1] / self.camera.scale

    def below(self) -> float:
        """How far down it reaches."""
        return (self.size[0] - self.camera.level) / self.camera.scale

    def above(self) -> float:
        return -self.camera.level / self.camera.scale

    def some(self, per_unit: float) -> int:
        """How many marks to draw, of so many for each 200 pixels of the panel where everything is busy."""
        return int(self.rng.poisson(per_unit * self.of.busy * self.size[1] / 200))


Thing = Callable[[Drawer, np.random.Generator, float, float], None]
"""Draws something at some place, standing at some height; the generator is of what it looks like."""


def draw(pen: Pen, rng: np.random.Generator, of: World, place: int, camera: Camera) -> None:
    """Draw the whole panel as one of the places."""
    it = Drawer(pen, camera, of, rng)
    fixed = np.random.default_rng([of.seed, place])
    kind = of.kinds[place]
    if kind in INSIDE:
        _inside(it, fixed, kind)
    else:
        _outside(it, fixed, kind)


def camera_for(rng: np.random.Generator, h: int, w: int, *, wide: bool = False) -> Camera:
    """From far, where people are a fifth of the panel high, to near, where it shows heads and shoulders; `wide` always from far."""
    near = (0.16, 0.34) if rng.random() < 0.4 else (0.35, 0.9) if rng.random() < 0.75 else (0.9, 1.6)
    scale = h * float(rng.uniform(*((0.12, 0.26) if wide else near)))
    span = w / scale
    level = h * float(rng.uniform(0.35, 0.8) if scale < 0.5 * h else rng.uniform(0.25, 1.05))
    return Camera(scale, float(rng.uniform(0, max(0.1, LONG - span))), level)


def _bands(
    it: Drawer, fixed: np.random.Generator, top: float, material: str, rough: float, near: float
) -> None:
    """A silhouette of hills along the whole place, from its height down."""
    at = np.linspace(-6, LONG + 6, 140)
    height = np.full(len(at), top)
    for k in range(1, 5):
        height += rough / k * np.sin(at * k * float(fixed.uniform(0.3, 0.8)) + float(fixed.uniform(0, 6)))
    it.shape(np.concatenate([np.stack([at, height], 1), [(LONG + 6, 60), (-6, 60)]]), material, near)


def _outside(it: Drawer, fixed: np.random.Generator, kind: Kind) -> None:
    left, right = it.seen()
    it.box(left - 1, it.above() - 1, right + 1, 80, "sky", 0)
    _sky(it, fixed)
    if kind in {Kind.MOUNTAINS, Kind.DESERT} or fixed.random() < 0.3:
        _peaks(it, fixed, snow=kind == Kind.MOUNTAINS)
    if fixed.random() < 0.5 or kind in {Kind.MEADOW, Kind.VILLAGE}:
        _bands(it, fixed, float(fixed.uniform(-1.1, -0.2)), "far", 0.35, 0)
        if fixed.random() < 0.4:
            _bands(it, fixed, float(fixed.uniform(-0.5, -0.1)), "far2", 0.25, 0.1)
    here = SETTINGS[kind]
    shore = 0.0
    if kind in {Kind.HARBOUR, Kind.DECK} or fixed.random() < 0.2:
        shore = float(fixed.uniform(0.35, 1.1))
        _water(it, fixed, -0.02, shore + 0.6)
        for k in range(int(fixed.integers(2, 6))):
            at = float(fixed.uniform(0, LONG))
            (_boat if k else _lighthouse)(
                it,
                np.random.default_rng(fixed.integers(1 << 30)),
                at,
                float(fixed.uniform(0.05, 0.6 * shore)),
            )
    near = [(float(u), int(fixed.integers(1 << 30))) for u in np.cumsum(fixed.uniform(0.7, 3.2, 18))]
    if kind == Kind.DECK:
        _planks(it, fixed, shore, here.ground)
    else:
        left, right = it.seen()
        it.box(left - 1, shore, right + 1, 60, here.ground, 0.4)
        if kind in {Kind.VILLAGE, Kind.TOWN} and fixed.random() < 0.7:  # a verge and a road
            edge = shore + float(fixed.uniform(0.15, 0.4))
            it.box(left - 1, edge, right + 1, 60, "grass" if kind == Kind.VILLAGE else "stone", 0.4)
            road = edge + float(fixed.uniform(0.15, 0.5))
            it.box(left - 1, road, right + 1, 60, "sand" if kind == Kind.VILLAGE else "metal2", 0.4)
        _marks(it, fixed, shore, here.ground)
    for u, seed in near:
        own = np.random.default_rng(seed)
        what = here.things[int(own.integers(len(here.things)))]
        foot = shore + float(own.uniform(0.02, 0.12 if what is _house else 0.5))
        what(it, own, u, foot)
    if fixed.random() < 0.3:
        _bunting(it, fixed)


def _sky(it: Drawer, fixed: np.random.Generator) -> None:
    rng = it.rng
    kind, n = int(fixed.integers(3)), int(rng.integers(0, 4))
    h, w = it.size
    for _ in range(n):
        x, y, r = (
            w * rng.random(),
            it.camera.level - h * rng.uniform(0.15, 0.7),
            min(h, w) * rng.uniform(0.04, 0.14),
        )
        if kind == 0:
            top = scallops(x, y, 1.7 * r, 0.8 * r, int(rng.integers(3, 7)), 0.35, 180, 360)
            points = np.concatenate([top, [(x + 1.7 * r, y + 0.25 * r), (x - 1.7 * r, y + 0.25 * r)]])
        elif kind == 1:
            points = scallops(x, y, 1.8 * r, 0.7 * r, int(rng.integers(6, 11)), 0.25)
        else:
            points = ring(x, y, 2.2 * r, 0.4 * r)
        it.pen.shape(points, WHITE, it.rank(0.1))
        for _ in range(int(rng.poisson(2 * it.of.busy))):
            a = rng.uniform(0, 180)
            it.pen.stroke(
                ring(x + rng.uniform(-1, 1) * r, y - 0.1 * r, 0.4 * r, 0.3 * r, a, a + 110), it.thin
            )
    if fixed.random() < 0.3:
        it.pen.shape(
            ring(w * 0.8 * rng.random(), it.camera.level - 0.5 * h, 0.07 * h, 0.07 * h),
            it.of.colors["sun"],
            it.rank(0.1),
        )
    for _ in range(it.some(0.5)):
        x, y, r = w * rng.random(), (it.camera.level - 0.1 * h) * rng.random(), 0.012 * h
        it.pen.stroke(
            np.concatenate(
                [ring(x - r, y, r, 0.6 * r, 180, 360)[:40], ring(x + r, y, r, 0.6 * r, 180, 360)[:40]]
            ),
            it.thin,
        )


def _peaks(it: Drawer, fixed: np.random.Generator, *, snow: bool) -> None:
    for k in range(int(fixed.integers(6, 14))):
        u, high, wide = (float(v) for v in fixed.uniform((-2, 1.2, 1.5), (LONG + 2, 4.5, 5.0)))
        material = "far" if k % 2 else "far2"
        it.shape([(u - wide, 0.3), (u, -high), (u + wide, 0.3)], material, 0)
        if snow:
            cap = 0.3
            zigzag = [
                (
                    u - wide * cap + 2 * wide * cap * t,
                    -high * (1 - cap) + (0.12 * high if i % 2 else -0.05 * high),
                )
                for i, t in enumerate(np.linspace(0, 1, 7))
            ]
            it.shape([(u, -high), *zigzag[::-1]], WHITE, 0)
        it.stroke(
            [(u + 0.1 * wide, -0.8 * high), (u + 0.25 * wide, -0.5 * high), (u + 0.2 * wide, -0.3 * high)]
        )


def _water(it: Drawer, fixed: np.random.Generator, top: float, bottom: float) -> None:
    left, right = it.seen()
    it.box(left - 1, top, right + 1, bottom, "water", 0)
    rng, how = it.rng, int(fixed.integers(3))
    for _ in range(it.some(5)):
        u, v, r = (
            rng.uniform(left, right),
            rng.uniform(top + 0.05, max(top + 0.06, min(bottom, it.below()))),
            float(rng.uniform(0.05, 0.3)),
        )
        if how == 0:
            it.stroke([(u, v), (u + r, v - 0.01), (u + 2 * r, v)])
        elif how == 1:
            at = np.linspace(0, 1, 12)
            it.stroke(np.stack([u + 2 * r * at, v + 0.08 * r * np.sin(at * 14)], 1))
        else:
            it.stroke(
                np.stack([u + r * np.linspace(-1, 1, 9), v - 0.25 * r * (1 - np.linspace(-1, 1, 9) ** 2)], 1)
            )


def _boat(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _lighthouse(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _planks(it: Drawer, fixed: np.random.Generator, top: float, material: str) -> None:
    """Boards that lie across, or run away from the eye."""
    left, right = it.seen()
    middle, low = (left + right) / 2, max(top + 0.4, it.below() + 0.2)
    slope = float(fixed.uniform(0, 0.5))
    ends = (
        [(left - 1, top), (right + 1, top)]
        if slope < 0.15
        else [
            (middle - (right - left) * (0.5 - slope / 2), top),
            (middle + (right - left) * (0.5 - slope / 2), top),
        ]
    )
    it.shape([*ends, (right + 2, low + 1), (left - 2, low + 1)], material, 0.5)
    n = int(fixed.integers(3, 9))
    if fixed.random() < 0.6:
        for t in (np.linspace(0, 1, n + 1)[1:-1]) ** 1.5:
            v = top + t * (low - top)
            half = (1 - t) * (ends[1][0] - middle) + t * (right - middle + 1)
            it.stroke([(middle - half, v), (middle + half, v)], it.rank(0.3))
    else:
        for t in np.linspace(-1, 1, 2 * n):
            it.stroke(
                [
                    (middle + t * (ends[1][0] - middle), top),
                    (middle + t * (right - middle + 2) * 1.6, low + 1),
                ],
                it.rank(0.3),
            )
    _grain(it, left, right, top, low)


def _grain(it: Drawer, left: float, right: float, top: float, low: float) -> None:
    for _ in range(it.some(4)):
        u, v, r = (
            it.rng.uniform(left, right),
            it.rng.uniform(top + 0.03, max(top + 0.04, low)),
            it.rng.uniform(0.03, 0.25),
        )
        it.stroke([(u, v), (u + r, v + 0.004), (u + 2 * r, v)])


def _marks(it: Drawer, fixed: np.random.Generator, top: float, ground: str) -> None:
    """What lies on the ground, or grows there."""
    left, right = it.seen()
    rng, low = it.rng, max(top + 0.1, it.below())
    kind = {"grass": 0, "grass2": 0, "sand": 1}.get(ground, int(fixed.integers(1, 4)))
    if kind == 3:  # slabs in rows
        rows = np.cumsum(fixed.uniform(0.12, 0.35, 12)) + top
        for v, below in itertools.pairwise(rows):
            it.stroke([(left - 1, v), (right + 1, v)])
            u = np.floor(left) - 1.0
            while u < right:
                u += 0.45 + 0.3 * abs(np.sin(37 * v + 11 * np.floor(u)))
                it.stroke([(u, v), (u + 0.03, below)])
        return
    for _ in range(it.some(4)):
        u, v, r = rng.uniform(left, right), rng.uniform(top + 0.05, low), float(rng.uniform(0.02, 0.09))
        if kind == 0:
            for k in (-1, 0, 1):
                it.stroke([(u, v), (u + 0.4 * k * r, v - r)])
        elif kind == 1:
            a = rng.uniform(0, 360)
            it.stroke(ring(u, v, 1.4 * r, 0.6 * r, a, a + rng.uniform(150, 330)))
        else:
            it.stroke(
                smooth([(u, v), (u + r, v + 0.6 * r), (u + 0.7 * r, v + 1.2 * r), (u + 2 * r, v + 1.6 * r)])
            )


def _house(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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
    door, columns = int(own.integers(0, 3)), int(own.integers(1, 4))
    shutters, round_, bars = own.random() < 0.4, own.random() < 0.15, int(own.integers(4))
    for floor in range(floors):
        for k in range(columns):
            x = u + wide * (k + 0.5) / columns
            y = foot - (floor + 0.55) * story
            half, high = min(0.22, 0.3 * wide / columns), 0.3 * story
            if floor == 0 and k == door % columns:
                _door(it, own, x, foot)
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


def _door(it: Drawer, own: np.random.Generator, x: float, foot: float) -> None:
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


def _tree(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _bush(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r = float(own.uniform(0.2, 0.6))
    top = scallops(u, foot, 1.5 * r, r, int(own.integers(4, 8)), 0.25, 180, 360)
    it.shape(top, str(own.choice(["leaf", "leaf2"])), 0.6)


def _rock(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    r, n = float(own.uniform(0.15, 0.8)), int(own.integers(5, 9))
    turn = np.linspace(np.pi, 2 * np.pi, n)
    far = r * own.uniform(0.7, 1.2, n)
    points = np.stack([u + 1.3 * far * np.cos(turn), foot + 0.8 * far * np.sin(turn)], 1)
    it.shape(points, str(own.choice(["stone", "stone2"])), 0.6)
    it.stroke([(u - 0.2 * r, foot - 0.5 * r), (u, foot - 0.25 * r), (u + 0.3 * r, foot - 0.3 * r)])


def _cactus(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _lamp(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _bench(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _fence(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _rail(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    n, material = int(own.integers(2, 5)), str(own.choice(["wood2", "metal"]))
    for k in range(n + 1):
        it.box(u + k, foot - 0.6, u + k + 0.1, foot, material, 0.6)
    it.box(u - 0.1, foot - 0.68, u + n + 0.2, foot - 0.58, material, 0.6)


def _crate(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _flowers(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    for _ in range(int(own.integers(2, 6))):
        x, r = u + float(own.uniform(0, 1)), float(own.uniform(0.05, 0.1))
        it.stroke([(x, foot), (x + 0.02, foot - 3 * r)])
        it.shape(scallops(x, foot - 3.5 * r, r, r, 5, 0.5), "flower", 0.6)
        it.shape(ring(x, foot - 3.5 * r, 0.4 * r, 0.4 * r), "sun", 0.6)


def _bunting(it: Drawer, fixed: np.random.Generator) -> None:
    high = float(fixed.uniform(1.2, 2.2))
    at = np.arange(0, LONG, 0.45)
    line = -high + 0.25 * np.abs(np.sin(at / 3 * np.pi))
    it.stroke(np.stack([at, line], 1), it.rank(0.3))
    for k, (u, v) in enumerate(zip(at[:-1], line[:-1], strict=True)):
        it.shape(
            [(u, v), (u + 0.3, v + 0.02), (u + 0.15, v + 0.35)], ("cloth", "cloth2", "cloth3")[k % 3], 0.3
        )


def _inside(it: Drawer, fixed: np.random.Generator, kind: Kind) -> None:
    left, right = it.seen()
    wall = SETTINGS[kind].ground
    it.box(left - 1, it.above() - 1, right + 1, 60, wall, 0.2)
    if fixed.random() < 0.3:
        it.box(left - 1, -0.8, right + 1, 0, "wood" if fixed.random() < 0.5 else "inside2", 0.2)
    elif fixed.random() < 0.3 and it.of.busy > 0.4:
        for u in np.arange(np.floor(left), right, 0.3):
            it.stroke([(u, it.above() - 1), (u, 0)])
    _floor(it, fixed)
    it.box(left - 1, -0.09, right + 1, 0.02, str(fixed.choice(["wood2", "stone", wall])), 0.2)
    for u in np.cumsum(fixed.uniform(0.5, 1.7, 24)):
        own = np.random.default_rng(fixed.integers(1 << 30))
        things = SETTINGS[kind].things
        things[int(own.integers(len(things)))](it, own, float(u), 0.1)


def _floor(it: Drawer, fixed: np.random.Generator) -> None:
    left, right = it.seen()
    low = max(0.5, it.below() + 0.2)
    how = int(fixed.integers(4))
    if how == 0:
        _planks(it, fixed, 0.0, "floor")
        return
    it.box(left - 1, 0, right + 1, low + 1, "floor", 0.3)
    middle, rows = (left + right) / 2, np.array([0, 0.12, 0.28, 0.5, 0.78, 1.15, 1.6, 2.2, 3.0])
    if how == 1:
        for i in range(len(rows) - 1):
            for j in range(-14, 15):
                a, b = 1 + 0.8 * rows[i], 1 + 0.8 * rows[i + 1]
                cell = 0.5
                it.shape(
                    [
                        (middle + j * cell * a, rows[i]),
                        (middle + (j + 1) * cell * a, rows[i]),
                        (middle + (j + 1) * cell * b, rows[i + 1]),
                        (middle + j * cell * b, rows[i + 1]),
                    ],
                    ("floor", "floor2")[(i + j) % 2],
                    0.3,
                )
    elif how == 2:
        u, wide = float(fixed.uniform(0, LONG)), float(fixed.uniform(1, 3))
        it.shape(ring(u, 0.7, wide, 0.35), "cloth", 0.4)
        it.shape(ring(u, 0.7, 0.8 * wide, 0.26), "cloth2", 0.4)
    else:
        for v in rows[1:]:
            it.stroke([(left - 1, v), (right + 1, v)])


def _window(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _curtained(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    _window(it, own, u, foot)
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


def _shelf(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _counter(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _cupboard(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    wide, high = float(own.uniform(0.7, 1.2)), float(own.uniform(1.1, 1.8))
    it.box(u, foot - high, u + wide, foot, "wood", 0.5)
    it.box(u + 0.07, foot - high + 0.08, u + wide / 2 - 0.02, foot - 0.1, "wood2", 0.5)
    it.box(u + wide / 2 + 0.02, foot - high + 0.08, u + wide - 0.07, foot - 0.1, "wood2", 0.5)
    for side in (-1, 1):
        it.shape(ring(u + wide / 2 + side * 0.07, foot - high / 2, 0.025, 0.025), "metal", 0.5)


def _picture(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _table(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _sofa(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
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


def _inner_door(it: Drawer, own: np.random.Generator, u: float, foot: float) -> None:
    it.box(u - 0.07, foot - 1.27, u + 0.67, foot - 0.1, "wood2", 0.4)
    it.box(u, foot - 1.2, u + 0.6, foot - 0.1, "door", 0.4)
    if own.random() < 0.5:
        it.box(u + 0.12, foot - 1.1, u + 0.48, foot - 0.7, "glass" if own.random() < 0.5 else "door", 0.4)
    it.shape(ring(u + 0.52, foot - 0.6, 0.03, 0.03), "metal", 0.4)


@dataclass(frozen=True)
class Setting:
    """What a kind of place consists of."""

    ground: str
    """The material that it stands on; of rooms, that of their walls."""
    things: tuple[Thing, ...]
    """Drawn one after the other along it, each at random; what comes twice is twice as common."""


FURNITURE = (
    _window,
    _shelf,
    _shelf,
    _counter,
    _cupboard,
    _picture,
    _table,
    _sofa,
    _inner_door,
    _curtained,
)
SETTINGS = {
    Kind.HARBOUR: Setting("stone", (_house, _house, _crate, _lamp, _bench, _fence)),
    Kind.VILLAGE: Setting("sand", (_house, _house, _house, _tree, _fence, _lamp, _bench)),
    Kind.TOWN: Setting("stone2", (_house, _house, _house, _lamp, _tree, _bench)),
    Kind.WOODS: Setting("grass2", (_tree, _tree, _tree, _rock, _bush)),
    Kind.MOUNTAINS: Setting("grass", (_tree, _rock, _house, _bush)),
    Kind.DESERT: Setting("sand", (_rock, _cactus, _rock, _house)),
    Kind.DECK: Setting("wood", (_crate, _rail, _lamp, _rail)),
    Kind.MEADOW: Setting("grass", (_tree, _bush, _fence, _rock, _flowers)),
    Kind.SHOP: Setting("inside", FURNITURE),
    Kind.KITCHEN: Setting("inside2", FURNITURE),
    Kind.BEDROOM: Setting("wall2", FURNITURE),
    Kind.HALL: Setting("inside", FURNITURE),
}
