"""Places in detail, seen from near and far.

A place of flats_places.py is drawn anew in each panel. Here it is a strip of a world some dozens of people long, in which every house, tree and
shelf stays where it is and as it is, and a panel is what a camera sees of it: the whole street, or one shutter and a bit of
wall. What is of one material has one colour all over a series, as a colourist keeps it: the planks of a jetty are of the wood
of a fence. And lines have ranks: what is near has a bolder outline than what is far, and what only tells of a surface, pebbles, waves, bricks,
boards, folds, is thin, whether it parts the surface or not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from benchmarks.flats_drawer import INSIDE, MATERIALS, OUTSIDE, Camera, Drawer, Kind, World
from benchmarks.flats_pen import WHITE, Pen, Rgb, ring, scallops, smooth
from benchmarks.flats_things import (
    Thing,
    bench,
    boat,
    bush,
    cactus,
    counter,
    crate,
    cupboard,
    curtained,
    fence,
    flowers,
    house,
    inner_door,
    lamp,
    lighthouse,
    picture,
    rail,
    rock,
    shelf,
    sofa,
    table,
    tree,
    window,
)

LONG = 26.0
"""How long a place is; its unit is the height of a grown person."""


def world(rng: np.random.Generator, colors: list[Rgb]) -> World:
    """A world of one to three places; `colors` are as many as MATERIALS or more. Sails, tiles, curtains and some walls may be white."""
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
            (boat if k else lighthouse)(
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
        foot = shore + float(own.uniform(0.02, 0.12 if what is house else 0.5))
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


@dataclass(frozen=True)
class Setting:
    """What a kind of place consists of."""

    ground: str
    """The material that it stands on; of rooms, that of their walls."""
    things: tuple[Thing, ...]
    """Drawn one after the other along it, each at random; what comes twice is twice as common."""


FURNITURE = (
    window,
    shelf,
    shelf,
    counter,
    cupboard,
    picture,
    table,
    sofa,
    inner_door,
    curtained,
)
SETTINGS = {
    Kind.HARBOUR: Setting("stone", (house, house, crate, lamp, bench, fence)),
    Kind.VILLAGE: Setting("sand", (house, house, house, tree, fence, lamp, bench)),
    Kind.TOWN: Setting("stone2", (house, house, house, lamp, tree, bench)),
    Kind.WOODS: Setting("grass2", (tree, tree, tree, rock, bush)),
    Kind.MOUNTAINS: Setting("grass", (tree, rock, house, bush)),
    Kind.DESERT: Setting("sand", (rock, cactus, rock, house)),
    Kind.DECK: Setting("wood", (crate, rail, lamp, rail)),
    Kind.MEADOW: Setting("grass", (tree, bush, fence, rock, flowers)),
    Kind.SHOP: Setting("inside", FURNITURE),
    Kind.KITCHEN: Setting("inside2", FURNITURE),
    Kind.BEDROOM: Setting("wall2", FURNITURE),
    Kind.HALL: Setting("inside", FURNITURE),
}
