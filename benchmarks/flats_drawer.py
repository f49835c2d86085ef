"""What worlds are drawn with: materials, a camera, and a drawer that knows how bold a line is.

A world is measured in heights of a grown person; see flats_worlds.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from benchmarks.flats_pen import Pen, Points, Rgb

MATERIALS = (
    "sky", "water", "far", "far2", "grass", "grass2", "sand", "stone", "stone2", "wood", "wood2", "bark", "leaf", "leaf2", "roof",
    "roof2", "wall", "wall2", "wall3", "wall4", "inside", "inside2", "floor", "floor2", "glass", "door", "shutter", "cloth", "cloth2",
    "cloth3", "metal", "metal2", "goods", "goods2", "flower", "sun", "hull", "sail",
)  # fmt: skip


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
