"""The cast: Mara, Tomo, the cat Pip and the kite, posed from a few angles and drawn at any size.

A figure is a skeleton of absolute joint angles dressed in shapes. Lengths are in head radii (a child
is a little over seven tall); angles are degrees from straight down, positive towards the side the
figure faces. Figures face right; `flip` mirrors them. `yaw` turns a head from 0 (towards the reader)
to 1 (profile); every head shape is known in both views and blended in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
from typing import TYPE_CHECKING, Literal

import numpy as np

from .ink import INK, PAPER, Canvas, Color, Point, ellipse, envelope, points, spline

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from .ink import Points

Limb = tuple[float, float]
Expression = Literal["smile", "joy", "shock", "worry", "grit", "calm", "proud", "sad"]

MOUTH: Color = (122, 40, 44)
TONGUE: Color = (226, 120, 116)
NOSE: Color = (216, 130, 130)
CAT_GRAY: Color = (126, 134, 152)
CAT_WHITE: Color = (246, 243, 236)
BANDANA: Color = (204, 58, 54)
KITE_RED: Color = (224, 72, 60)
KITE_CREAM: Color = (252, 236, 200)
KITE_BOW: Color = (70, 112, 186)


@dataclass(frozen=True)
class Look:
    """What makes a character recognisable: the wardrobe and its flat colours."""

    name: str
    skin: Color
    hair: Color
    top: Color
    legs: Color
    shoes: Color
    trim: Color
    leg_length: float
    coat: bool


MARA = Look(
    "Mara",
    (252, 216, 188),
    (216, 94, 46),
    (246, 198, 58),
    (92, 78, 120),
    (176, 50, 58),
    (64, 152, 164),
    0.94,
    True,
)
TOMO = Look(
    "Tomo",
    (182, 124, 84),
    (74, 48, 42),
    (66, 132, 94),
    (196, 160, 112),
    (54, 90, 156),
    (242, 232, 208),
    1.04,
    False,
)


@dataclass(frozen=True)
class Pose:
    """Joint angles in degrees. `turn` in [0, 1]: 0 the body faces the reader, 1 it is seen from the side."""

    lean: float = 0
    tilt: float = 0
    yaw: float = 0.45
    turn: float = 0.45
    arm_near: Limb = (-14, 6)
    arm_far: Limb = (16, 12)
    leg_near: Limb = (-5, -2)
    leg_far: Limb = (7, 3)
    face: Expression = "smile"
    behind: bool = False
    wind: float = 0.0
    hand_near: Literal["rest", "open", "fist"] = "rest"
    hand_far: Literal["rest", "open", "fist"] = "rest"


STAND = Pose()
RUN = Pose(
    lean=20,
    yaw=0.7,
    turn=0.85,
    arm_near=(-62, 22),
    arm_far=(58, 128),
    leg_near=(-26, -98),
    leg_far=(66, 8),
    wind=-0.5,
    hand_near="fist",
    hand_far="fist",
    tilt=-12,
)
RUN_2 = Pose(
    lean=22,
    yaw=0.75,
    turn=0.85,
    arm_near=(52, 122),
    arm_far=(-64, 10),
    leg_near=(62, -4),
    leg_far=(-30, -104),
    wind=-0.5,
    hand_near="fist",
    hand_far="fist",
    tilt=-12,
)
SIT = Pose(turn=0.6, leg_near=(84, 4), leg_far=(78, 10), arm_near=(-20, 20), arm_far=(30, 40))
POINT_UP = Pose(yaw=0.75, tilt=-14, arm_far=(132, 138), hand_far="open", turn=0.5)


@dataclass(frozen=True)
class Frame:
    """Where head units lie on the page: `scale` page pixels each, turned by `angle`, mirrored by `flip`."""

    origin: Point
    scale: float
    flip: bool = False
    angle: float = 0

    def all(self, local: ArrayLike) -> Points:
        p = points(local)
        c, s = cos(radians(self.angle)), sin(radians(self.angle))
        x, y = p[:, 0] * c - p[:, 1] * s, p[:, 0] * s + p[:, 1] * c
        if self.flip:
            x = -x
        return np.stack([self.origin[0] + self.scale * x, self.origin[1] + self.scale * y], axis=1)

    def __call__(self, x: float, y: float) -> Point:
        px, py = self.all([(x, y)])[0]
        return float(px), float(py)

    def within(self, x: float, y: float, angle: float) -> Frame:
        return Frame(self(x, y), self.scale, self.flip, self.angle + angle)

    def limb(self, chain: list[tuple[Point, float]]) -> list[tuple[Point, float]]:
        return [(self(*p), r * self.scale) for p, r in chain]


@dataclass
class Marks:
    """Page points of a drawn figure that props and balloons need."""

    head: Point = (0, 0)
    mouth: Point = (0, 0)
    hand_near: Point = (0, 0)
    hand_far: Point = (0, 0)


def _blend(front: ArrayLike, side: ArrayLike, t: float) -> Points:
    return points(front) * (1 - t) + points(side) * t


def _along(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * sin(radians(angle)), start[1] + length * cos(radians(angle))


def pen_width(scale: float) -> float:
    """Line width in page pixels for a figure whose head radius is `scale` page pixels."""
    return float(np.clip(1.1 + scale * 0.03, 1.5, 4.6))


# -- heads ---------------------------------------------------------------------------------------------

# fmt: off
_FACE_FRONT = [(0, -1.0), (0.62, -0.84), (0.95, -0.35), (0.98, 0.15), (0.86, 0.6), (0.48, 0.95), (0, 1.07),
               (-0.48, 0.95), (-0.86, 0.6), (-0.98, 0.15), (-0.95, -0.35), (-0.62, -0.84)]
_FACE_SIDE = [(0, -1.0), (0.62, -0.84), (0.9, -0.4), (0.87, 0.05), (0.9, 0.5), (0.66, 0.95), (0.22, 1.0),
              (-0.2, 0.8), (-0.55, 0.6), (-0.92, 0.1), (-0.98, -0.35), (-0.62, -0.84)]
_BOB_FRONT = [(-1.5, 0.96), (-1.24, 0.5), (-1.2, -0.2), (-1.02, -0.82), (-0.5, -1.2), (0.1, -1.27), (0.7, -1.1),
              (1.1, -0.66), (1.2, -0.1), (1.24, 0.5), (1.5, 0.96), (1.1, 1.06), (0.86, 0.85), (0.92, 0.2),
              (0.8, -0.42), (0.44, -0.64), (0.1, -0.88), (-0.1, -0.64), (-0.45, -0.47), (-0.84, -0.36),
              (-0.92, 0.2), (-0.86, 0.85), (-1.1, 1.06)]
_BOB_SIDE = [(-1.5, 0.9), (-1.24, 0.45), (-1.28, -0.2), (-1.06, -0.8), (-0.54, -1.2), (0.1, -1.28), (0.66, -1.12),
             (0.98, -0.76), (1.04, -0.56), (1.02, -0.44), (1.0, -0.32), (0.98, -0.32), (0.96, -0.34), (0.92, -0.4),
             (0.86, -0.48), (0.8, -0.6), (0.62, -0.84), (0.6, -0.6), (0.42, -0.4), (0.2, -0.24),
             (0.16, 0.3), (0.3, 0.82), (-0.1, 1.1)]
_BOB_CORNERS = (0, 10, 14, 16, 19)
_CURLS_FRONT = [(-0.96, -0.28, 0.3), (-0.95, -0.72, 0.38), (-0.52, -1.07, 0.42), (0.02, -1.2, 0.42),
                (0.54, -1.06, 0.42), (0.95, -0.72, 0.38), (0.96, -0.28, 0.3), (-0.48, -0.78, 0.3),
                (0.0, -0.86, 0.34), (0.48, -0.78, 0.3)]
_CURLS_SIDE = [(-0.82, 0.3, 0.36), (-1.0, -0.25, 0.42), (-0.8, -0.82, 0.45), (-0.2, -1.16, 0.45),
               (0.4, -1.1, 0.42), (0.82, -0.82, 0.34), (0.5, -0.78, 0.3), (-0.5, -0.05, 0.36),
               (-0.35, -0.6, 0.42), (0.15, -0.78, 0.36)]
# fmt: on

_FACES: dict[str, tuple[str, float, float, str]] = {
    # eyes, brow height, brow slope (positive: inner end down), mouth
    "smile": ("open", 0.0, -0.04, "smile"),
    "joy": ("arc", 0.06, -0.05, "laugh"),
    "shock": ("wide", 0.14, -0.1, "oh"),
    "worry": ("open", 0.06, -0.16, "wave"),
    "grit": ("open", -0.06, 0.16, "grit"),
    "calm": ("shut", 0.0, -0.03, "smile"),
    "proud": ("shut", 0.05, 0.05, "laugh"),
    "sad": ("open", 0.04, -0.2, "frown"),
}


def head(c: Canvas, f: Frame, who: Look, pose: Pose) -> None:
    """A head centred in `f` (its scale is the head radius in page pixels)."""
    w = pen_width(f.scale)
    yaw, theta = pose.yaw, pose.yaw * 1.2
    if pose.behind:
        _hair(c, f, who, pose, w)
        return
    if who.coat:
        back = _blend(
            [(-1.0, 0.0), (1.0, 0.0), (1.08, 0.8), (0.6, 1.0), (-0.6, 1.0), (-1.08, 0.8)],
            [(-1.0, 0.0), (0.2, 0.0), (0.2, 0.8), (-0.2, 0.96), (-0.7, 0.96), (-1.0, 0.85)],
            yaw,
        )
        back[:, 0] += pose.wind * np.clip(back[:, 1] + 0.1, 0, None) * 0.45
        c.shape(f.all(spline(back, closed=True)), who.hair, w)
        if f.scale > 34:
            c.hatch(
                f.all(
                    [(-0.75 + 0.2 * yaw, 0.7), (0.7 - 0.9 * yaw, 0.7), (0.6 - 0.9 * yaw, 1.0), (-0.7, 1.0)]
                ),
                angle=80,
                spacing=f.scale * 0.09,
                width=w * 0.55,
            )
    if yaw < 0.3 and not who.coat:
        ear = ellipse(f(sin(1.45 + theta) * 0.99, 0.12), 0.18 * f.scale, 0.25 * f.scale)
        c.shape(ear, who.skin, w)
    face = f.all(spline(_blend(_FACE_FRONT, _FACE_SIDE, yaw), closed=True))
    if yaw > 0.72:
        nose = ellipse(f(0.93, 0.2), 0.17 * f.scale, 0.13 * f.scale)
        face = envelope([], [face, nose])
    c.shape(face, who.skin, w)
    _features(c, f, pose, w, theta)
    if not who.coat:
        x = -cos(theta * 1.05) * 0.99 + 0.08 * yaw
        ear = ellipse(f(x, 0.14), 0.19 * f.scale, 0.26 * f.scale)
        c.shape(ear, who.skin, w)
        c.curve(f.all([(x - 0.05, 0.02), (x + 0.08, 0.08), (x + 0.0, 0.24)]), w * 0.7)
        _glasses(c, f, w, theta, x)
    _hair(c, f, who, pose, w)
    _brows(c, f, pose, w)


def _eyes(theta: float) -> list[tuple[float, float]]:
    """(x, foreshortening) of each visible eye, the nearer first."""
    found = []
    for azimuth in (-0.42, 0.42):
        a = azimuth + theta * 0.86
        if cos(a) > 0.22:
            found.append((sin(a) * 0.9, cos(a)))
    return found


def _features(c: Canvas, f: Frame, pose: Pose, w: float, theta: float) -> None:
    eyes, _, _, mouth = _FACES[pose.face]
    s = f.scale
    for x, narrow in _eyes(theta):
        rx, ry = 0.1 * (0.45 + 0.55 * narrow), 0.165
        if eyes == "arc":
            c.line(f.all(spline([(x - 1.7 * rx, 0.16), (x, 0.0), (x + 1.7 * rx, 0.16)])), w * 1.25, taper=0.5)
        elif eyes == "shut":
            c.line(
                f.all(spline([(x - 1.7 * rx, 0.06), (x, 0.17), (x + 1.7 * rx, 0.06)])), w * 1.25, taper=0.5
            )
        elif eyes == "wide":
            c.shape(f.all(ellipse((x, 0.06), rx * 1.8, ry * 1.3)), PAPER, w * 0.9)
            c.fill(f.all(ellipse((x + 0.02, 0.06), rx * 0.8, ry * 0.62)), INK)
        else:
            c.fill(f.all(ellipse((x, 0.08), rx, ry)), INK)
            if s > 18:
                c.fill(f.all(ellipse((x + 0.03, 0.01), rx * 0.36, ry * 0.3)), PAPER)
            c.line(f.all(spline([(x - 1.3 * rx, -0.01), (x, -0.105), (x + 1.3 * rx, -0.01)])), w, taper=0.7)
    mx = sin(theta * 0.86) * (0.86 - 0.02 * theta)
    mw = 0.3 * (0.4 + 0.6 * cos(theta))
    if pose.yaw <= 0.72:
        nx = sin(theta * 0.86) * 1.04
        side = 0.07 + 0.05 * pose.yaw
        c.line(f.all(spline([(nx - 0.02, 0.2), (nx + side, 0.27), (nx - 0.04, 0.33)])), w * 0.95, taper=0.6)
    if mouth == "smile":
        c.line(f.all(spline([(mx - mw, 0.52), (mx, 0.63), (mx + mw * 0.8, 0.5)])), w * 1.05, taper=0.6)
    elif mouth == "frown":
        c.line(f.all(spline([(mx - mw * 0.8, 0.64), (mx, 0.54), (mx + mw * 0.8, 0.64)])), w * 1.05, taper=0.6)
    elif mouth == "wave":
        zigzag = [(mx - mw, 0.6), (mx - mw * 0.4, 0.54), (mx + mw * 0.1, 0.62), (mx + mw * 0.8, 0.55)]
        c.line(f.all(spline(zigzag)), w * 1.05, taper=0.5)
    elif mouth == "grit":
        teeth = f.all(
            spline(
                [(mx - mw, 0.52), (mx, 0.48), (mx + mw, 0.52), (mx + mw * 0.8, 0.68), (mx - mw * 0.8, 0.68)],
                closed=True,
            )
        )
        c.shape(teeth, PAPER, w * 0.9)
        c.line(f.all([(mx - mw * 0.85, 0.6), (mx + mw * 0.85, 0.59)]), w * 0.6)
    else:
        if mouth == "oh":
            opening = ellipse((mx, 0.64), mw * 0.5, 0.17)
        else:
            opening = spline(
                [(mx - mw, 0.46), (mx, 0.52), (mx + mw, 0.46), (mx + mw * 0.55, 0.78), (mx - mw * 0.45, 0.8)],
                closed=True,
                corners=(0, 2),
            )
        c.shape(f.all(opening), MOUTH if s > 40 else INK, w * 0.9)
        if s > 40:
            tongue = ellipse((mx, 0.76), mw * 0.42, 0.075, start=180, end=360)
            c.shape(f.all(tongue), TONGUE, w * 0.6)
    if s > 30 and pose.face in {"smile", "joy", "calm", "proud", "shock"}:
        for x, narrow in _eyes(theta):
            for k in (-1, 0, 1):
                cx = x * 1.12 + 0.075 * k * narrow - 0.05 * np.sign(x - mx)
                c.line(f.all([(cx + 0.03, 0.36), (cx - 0.03, 0.45)]), w * 0.5)


def _brows(c: Canvas, f: Frame, pose: Pose, w: float) -> None:
    """Drawn after the hair, as comics do: an expression must not hide behind a fringe."""
    _, raise_, slope, _ = _FACES[pose.face]
    theta = pose.yaw * 1.2
    for x, narrow in _eyes(theta):
        inner = 1 if x < sin(theta * 0.86) * 0.9 else -1  # on which side of this eye the nose is
        y, reach = -0.27 - raise_, 0.2 * narrow
        brow = [(x - reach, y - slope * inner), (x, y - 0.05), (x + reach, y + slope * inner)]
        c.line(f.all(spline(brow)), w * 1.35, taper=0.6)


def _glasses(c: Canvas, f: Frame, w: float, theta: float, ear: float) -> None:
    rims = [(x, 0.28 * (0.35 + 0.65 * narrow)) for x, narrow in _eyes(theta)]
    for x, rx in rims:
        c.outline(f.all(ellipse((x, 0.08), rx, 0.3)), w * 1.15)
    if len(rims) == 2:
        c.curve(
            f.all(
                [
                    (rims[0][0] + rims[0][1], 0.05),
                    ((rims[0][0] + rims[0][1] + rims[1][0] - rims[1][1]) / 2, 0.0),
                    (rims[1][0] - rims[1][1], 0.05),
                ]
            ),
            w,
            taper=0.2,
        )
    c.line(f.all([(rims[0][0] - rims[0][1], 0.04), (ear, 0.0)]), w, taper=0.2)


def _hair(c: Canvas, f: Frame, who: Look, pose: Pose, w: float) -> None:
    yaw = pose.yaw
    if who.coat:
        if pose.behind:
            outline = points(
                [
                    (-1.5, 0.96),
                    (-1.24, 0.4),
                    (-1.14, -0.66),
                    (-0.58, -1.17),
                    (0.06, -1.27),
                    (0.68, -1.12),
                    (1.14, -0.66),
                    (1.24, 0.4),
                    (1.5, 0.96),
                    (0.8, 1.12),
                    (0.25, 1.04),
                    (-0.25, 1.14),
                    (-0.8, 1.1),
                ]
            )
            corners: tuple[int, ...] = (0, 8, 10)
        else:
            outline, corners = _blend(_BOB_FRONT, _BOB_SIDE, yaw), _BOB_CORNERS
        outline[:, 0] += pose.wind * np.clip(outline[:, 1] + 0.1, 0, None) * 0.5
        c.shape(f.all(spline(outline, closed=True, corners=corners)), who.hair, w)
        parting = 0.1 + 0.5 * yaw
        strands = [
            [(parting, -0.82), (parting - 0.04, -1.0), (parting - 0.16, -1.22)],
            [(parting - 0.1, -0.95), (parting - 0.45, -0.82), (parting - 0.8, -0.45)],
            [(-1.06, -0.3), (-1.1, 0.2), (-1.2, 0.7)],
            [(-0.98, 0.0), (-1.0, 0.4), (-1.12, 0.85)],
            [(1.06 - 0.2 * yaw, 0.1), (1.08 - 0.2 * yaw, 0.4), (1.22 - 0.3 * yaw, 0.8)],
        ][: 5 if yaw < 0.4 else 4]
        if pose.behind:
            strands = [
                strands[2],
                strands[3],
                [(0.1, -0.9), (0.2, 0), (0.16, 0.8)],
                [(0.5, -0.7), (0.75, 0), (0.75, 0.7)],
                [(-0.3, -0.8), (-0.45, 0), (-0.4, 0.8)],
            ]
        for strand in strands:
            bent = points(strand)
            bent[:, 0] += pose.wind * np.clip(bent[:, 1] + 0.1, 0, None) * 0.5
            c.flick(f.all(spline(bent)), w * 0.75)
        if not pose.behind:  # a hair clip: a little leaf in the scarf's colour
            x = -0.62 + 0.5 * yaw
            clip = spline(
                [(x - 0.2, -0.62), (x, -0.76), (x + 0.22, -0.66), (x, -0.54)], closed=True, corners=(0, 2)
            )
            c.shape(f.all(clip), who.trim, w * 0.8)
        return
    curls = np.asarray(_CURLS_FRONT) * (1 - yaw) + np.asarray(_CURLS_SIDE) * yaw
    if pose.behind:
        extra = [
            (-0.8, 0.2, 0.36),
            (-0.4, 0.5, 0.36),
            (0.05, 0.55, 0.38),
            (0.45, 0.5, 0.36),
            (0.8, 0.2, 0.36),
            (0, 0, 0.6),
            (-0.4, -0.4, 0.5),
            (0.4, -0.4, 0.5),
        ]
        curls = np.concatenate([np.asarray(_CURLS_FRONT), np.asarray(extra)])
        for x in (-1.02, 1.02):
            c.shape(ellipse(f(x, 0.14), 0.16 * f.scale, 0.25 * f.scale), who.skin, w)
    chains = [f.limb([((x, y), r), ((x + 0.02, y), r)]) for x, y, r in curls.tolist()]
    chains.append(f.limb([((curls[1][0] * 0.7, curls[1][1]), 0.3), ((curls[5][0] * 0.6, curls[5][1]), 0.26)]))
    c.shape(envelope(chains), who.hair, w)
    for i, (x, y, r) in enumerate(curls.tolist()):
        start = 150 + 47 * i
        c.line(f.all(ellipse((x, y), r * 0.55, r * 0.55, start=start, end=start + 190)), w * 0.75, taper=0.9)


# -- figures -------------------------------------------------------------------------------------------


def figure(
    c: Canvas,
    who: Look,
    pose: Pose,
    at: Point,
    height: float,
    *,
    flip: bool = False,
    hips: bool = False,
    held: Callable[[Marks], None] | None = None,
) -> Marks:
    """Draw the whole figure, `height` page pixels tall when it stands, and say where its hands and mouth are.

    `at` is the page point of the ground under the hips, or of the hips themselves if `hips`.
    `held` draws what the near arm goes around; it is called just before that arm."""
    scale = height / 7.5
    legs = {"near": pose.leg_near, "far": pose.leg_far}
    thigh, shin = 1.45 * who.leg_length, 1.4 * who.leg_length
    spread = 0.34 * (1 - 0.6 * pose.turn)
    hip = {"near": (-spread, 0.0), "far": (spread, 0.0)}
    knee = {k: _along(hip[k], a[0], thigh) for k, a in legs.items()}
    ankle = {k: _along(knee[k], a[1], shin) for k, a in legs.items()}
    drop = 0.0 if hips else max(y for _, y in ankle.values()) + 0.3
    f = Frame((at[0], at[1] - drop * scale), scale, flip)
    w = pen_width(scale)

    neck = _along((0, 0), 180 - pose.lean, 2.1)
    chest = _along((0, 0), 180 - pose.lean, 1.8)
    half = 0.74 * (1 - 0.55 * pose.turn)
    sx, sy = cos(radians(pose.lean)) * half, sin(radians(pose.lean)) * half
    shoulder = {"near": (chest[0] - sx, chest[1] - sy), "far": (chest[0] + sx, chest[1] + sy)}
    arms = {"near": pose.arm_near, "far": pose.arm_far}
    elbow = {k: _along(shoulder[k], a[0], 1.12) for k, a in arms.items()}
    wrist = {k: _along(elbow[k], a[1], 1.0) for k, a in arms.items()}
    head_at = (
        neck[0] + sin(radians(pose.lean * 0.7)) * 1.0 + 0.12 * pose.turn,
        neck[1] - cos(radians(pose.lean * 0.7)) * 1.0,
    )
    marks = Marks(head=f(*head_at), mouth=f(head_at[0] + 0.7 * pose.yaw, head_at[1] + 0.6))
    seam = _along(_along(shoulder["near"], 90 - pose.lean, 0.3), -pose.lean, 0.3)
    shoulder_gap = [(f(*seam), 0.24 * scale)]  # low enough to leave the line between sleeve and scarf or hair

    def tube(a: Point, b: Point, ra: float, rb: float) -> Points:
        along = points(b)[0] - points(a)[0]
        side = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
        ends = [
            points(a)[0] + side * ra,
            points(b)[0] + side * rb,
            points(b)[0] - side * rb,
            points(a)[0] - side * ra,
        ]
        return f.all(spline(ends, closed=True, corners=(0, 1, 2, 3)))

    def hand(k: str) -> None:
        kind = pose.hand_near if k == "near" else pose.hand_far
        angle = arms[k][1]
        palm = _along(wrist[k], angle, 0.2)
        setattr(marks, f"hand_{k}", f(*_along(wrist[k], angle, 0.28)))
        thumb_side = 62 if k == "near" else -62
        chains = [[(wrist[k], 0.15), (palm, 0.23)]]
        if kind == "open":
            chains += [[(palm, 0.1), (_along(palm, angle + a, 0.47), 0.085)] for a in (-26, -4, 18)]
            chains.append([(palm, 0.1), (_along(palm, angle + thumb_side, 0.36), 0.085)])
        elif kind == "rest":
            chains.append([(palm, 0.2), (_along(palm, angle + 8, 0.2), 0.15)])
            chains.append([(palm, 0.1), (_along(palm, angle + thumb_side, 0.28), 0.08)])
        else:
            chains.append([(palm, 0.22), (_along(palm, angle, 0.08), 0.22)])
        c.shape(envelope([f.limb(chain) for chain in chains]), who.skin, w * 0.95)
        if kind == "fist" and scale > 24:
            for step in (-0.08, 0.04):
                tip = _along(palm, angle + 90, step)
                c.line(f.all([_along(tip, angle, 0.12), _along(tip, angle, 0.26)]), w * 0.6)

    def arm(k: str) -> None:
        hand(k)
        cuff = _along(wrist[k], arms[k][1], 0.02)
        before = _along(wrist[k], arms[k][1], -0.3)
        sleeve = envelope(
            [f.limb([(shoulder[k], 0.33), (elbow[k], 0.285), (before, 0.27)])],
            [tube(before, cuff, 0.27, 0.28)],
        )
        c.shape(sleeve, who.top, w, shoulder_gap if k == "near" else ())
        bend = abs(arms[k][0] - arms[k][1])
        across = arms[k][1] + 90
        low = _along(wrist[k], arms[k][1], -0.2)
        c.curve(
            f.all([_along(low, across, 0.26), _along(low, arms[k][1], 0.06), _along(low, across, -0.26)]),
            w * 0.75,
            taper=0.2,
        )
        if bend > 30 and scale > 18:
            inner = 1 if arms[k][1] > arms[k][0] else -1
            crook = _along(elbow[k], arms[k][0] + inner * 90, 0.26)
            c.flick(f.all([crook, _along(elbow[k], arms[k][0] + inner * 100, -0.05)]), w * 0.8)
            c.flick(
                f.all([_along(crook, arms[k][0], -0.16), _along(elbow[k], arms[k][0] + inner * 70, -0.12)]),
                w * 0.7,
            )

    def leg(k: str) -> None:
        a = legs[k]
        aim, reach = a[1] + 88, 0.62
        if pose.turn < 0.3 and abs(a[1]) < 40:  # seen from the front: short, and turned out
            aim, reach = -38.0 if k == "near" else 38.0, 0.34
        heel = _along(ankle[k], a[1], 0.05)
        toe = _along(_along(ankle[k], a[1], 0.1), aim, reach)
        if not who.coat:
            sock_top = _along(ankle[k], a[1], -0.62)
            c.shape(envelope([f.limb([(hip[k], 0.4), (knee[k], 0.26), (ankle[k], 0.22)])]), who.skin, w)
            c.shape(
                envelope(
                    [f.limb([(_along(sock_top, a[1], 0.3), 0.235), (ankle[k], 0.225)])],
                    [tube(sock_top, ankle[k], 0.26, 0.225)],
                ),
                who.trim,
                w,
            )
            c.curve(
                f.all(
                    [
                        _along(knee[k], a[0] - 60, 0.16),
                        _along(knee[k], a[0], 0.14),
                        _along(knee[k], a[0] + 60, 0.16),
                    ]
                ),
                w * 0.7,
            )
            chains, shaft = [f.limb([(heel, 0.27), (toe, 0.215)])], []
        else:
            boot_top = _along(ankle[k], a[1], -0.55)
            c.shape(envelope([f.limb([(hip[k], 0.42), (knee[k], 0.28), (ankle[k], 0.24)])]), who.legs, w)
            chains, shaft = [f.limb([(heel, 0.27), (toe, 0.235)])], [tube(boot_top, ankle[k], 0.35, 0.27)]
        c.shape(envelope(chains, shaft), who.shoes, w)
        sole = _along(heel, a[1], 0.15), _along(_along(toe, a[1], 0.12), aim, 0.14)
        if reach > 0.5:
            c.line(f.all(spline([_along(sole[0], aim, -0.2), sole[0], sole[1]])), w * 0.8, taper=0.3)
        if who.coat:
            rim = _along(ankle[k], a[1], -0.4)
            c.line(f.all([_along(rim, a[1] + 90, 0.32), _along(rim, a[1] - 90, 0.32)]), w * 0.8, taper=0.2)
        elif scale > 18:
            for up in (0.02, 0.16):
                mid = _along(_along(ankle[k], aim, 0.28 - up * 0.6), a[1], -up * 0.6 + 0.02)
                c.line(f.all([_along(mid, aim + 40, 0.1), _along(mid, aim - 140, 0.1)]), w * 0.7)

    def shorts() -> None:
        ends = {k: _along(hip[k], legs[k][0], thigh * 0.82) for k in legs}
        for k in ("far", "near"):
            top = (hip[k][0], -0.1)
            c.shape(
                envelope(
                    [f.limb([(top, 0.46), (_along(hip[k], legs[k][0], 0.25), 0.45)])],
                    [tube(top, ends[k], 0.45, 0.5)],
                ),
                who.legs,
                w,
            )
            rim = _along(ends[k], legs[k][0], -0.14)
            c.line(
                f.all([_along(rim, legs[k][0] + 90, 0.47), _along(rim, legs[k][0] - 90, 0.47)]),
                w * 0.7,
                taper=0.3,
            )

    def torso() -> None:
        n, r = shoulder["near"], shoulder["far"]
        side = (cos(radians(pose.lean)), sin(radians(pose.lean)))

        def beside(base: Point, amount: float, up: float = 0) -> Point:
            lifted = _along(base, 180 - pose.lean, up)
            return lifted[0] + side[0] * amount, lifted[1] + side[1] * amount

        if who.coat:
            drape = 0.62 * thigh
            hem = {k: _along(hip[k], legs[k][0] * 0.85, drape) for k in legs}
            near_hem = (
                min(hem["near"][0], hem["far"][0]) - 0.52,
                hem["near"][1] if hem["near"][0] <= hem["far"][0] else hem["far"][1],
            )
            far_hem = (
                max(hem["near"][0], hem["far"][0]) + 0.5,
                hem["far"][1] if hem["near"][0] <= hem["far"][0] else hem["near"][1],
            )
            middle = ((near_hem[0] + far_hem[0]) / 2, max(near_hem[1], far_hem[1], 0.55) + 0.1)
            flare = pose.wind * 0.5
            outline = [
                beside(neck, -0.3),
                beside(n, -0.22, 0.14),
                beside(n, -0.2, -0.3),
                beside((0, 0), -half * 0.9 - 0.08, 0.75),
                (near_hem[0] + flare, near_hem[1]),
                middle,
                (far_hem[0] + flare * 0.3, far_hem[1]),
                beside((0, 0), half * 0.9 + 0.08, 0.75),
                beside(r, 0.2, -0.3),
                beside(r, 0.22, 0.14),
                beside(neck, 0.3),
            ]
            area = f.all(spline(outline, closed=True, corners=(0, 4, 6, 10)))
            c.shape(area, who.top, w)
            lift = 0.16
            c.curve(
                f.all(
                    [
                        (near_hem[0] + flare + 0.05, near_hem[1] - lift),
                        (middle[0], middle[1] - lift),
                        (far_hem[0] + flare * 0.3 - 0.05, far_hem[1] - lift),
                    ]
                ),
                w * 0.7,
                taper=0.2,
            )
            if not pose.behind:
                front = half * 0.75 * pose.turn
                c.curve(
                    f.all(
                        [
                            beside(neck, front * 0.8, -0.2),
                            beside((0, 0), front, 0.9),
                            (middle[0] + front * 0.6, middle[1]),
                        ]
                    ),
                    w * 0.8,
                    taper=0.2,
                )
                for up in (1.35, 0.85, 0.35):
                    button = ellipse(f(*beside((0, 0), front - 0.17, up)), 0.075 * scale, 0.075 * scale)
                    c.shape(button, who.shoes if scale > 30 else INK, w * 0.7)
                if scale > 16:
                    p = beside((0, 0), -half * 0.55 + 0.05, 0.15)
                    c.line(f.all([(p[0] - 0.24, p[1] - 0.06), (p[0] + 0.2, p[1] + 0.06)]), w, taper=0.3)
            for x in (-0.5, 0.55):
                c.flick(
                    f.all(
                        spline(
                            [
                                (middle[0] + x + flare * 0.5, middle[1] - 0.16),
                                (middle[0] + x * 0.85, middle[1] - 0.6),
                                (x * 0.55, -0.15),
                            ]
                        )
                    ),
                    w * 0.65,
                )
        else:
            shorts()
            outline = [
                beside(neck, -0.3),
                beside(n, -0.2, 0.14),
                beside(n, -0.18, -0.35),
                beside((0, 0), -half * 0.85 - 0.12, 0.6),
                beside((0, 0), -half * 0.85 - 0.16, -0.12),
                beside((0, 0), 0, -0.2),
                beside((0, 0), half * 0.85 + 0.16, -0.12),
                beside((0, 0), half * 0.85 + 0.12, 0.6),
                beside(r, 0.18, -0.35),
                beside(r, 0.2, 0.14),
                beside(neck, 0.3),
            ]
            area = f.all(spline(outline, closed=True, corners=(0, 4, 6, 10)))
            c.shape(area, who.top, w)
            reach = half * 0.88 + 0.16
            stripe = [
                beside((0, 0), -reach, 1.12),
                beside((0, 0), 0, 1.06),
                beside((0, 0), reach, 1.12),
                beside((0, 0), reach - 0.03, 0.72),
                beside((0, 0), 0, 0.66),
                beside((0, 0), 0.03 - reach, 0.72),
            ]
            band = spline(stripe, closed=True, corners=(0, 2, 3, 5))
            c.shape(f.all(band), who.trim, w * 0.85)
            c.curve(
                f.all(
                    [
                        beside((0, 0), -reach + 0.02, 0.06),
                        beside((0, 0), 0, -0.02),
                        beside((0, 0), reach - 0.02, 0.06),
                    ]
                ),
                w * 0.75,
                taper=0.2,
            )
            if scale > 18:
                for x in (-0.6, -0.3, 0, 0.3, 0.6):
                    foot = beside((0, 0), x * half / 0.74, -0.14)
                    c.line(f.all([foot, beside(foot, 0, 0.15)]), w * 0.55)

    def shade() -> None:
        if scale < 26 or pose.behind:
            return
        r, right, down = shoulder["far"], 90 - pose.lean, -pose.lean
        top = _along(_along(r, down, 0.45), right, 0.16)
        foot = _along(_along((0, 0), right, half * 0.9 + 0.04), 180 - pose.lean, 0.45)
        area = [top, foot, _along(foot, right, -0.2), _along(top, right, -0.12)]
        c.hatch(f.all(area), angle=25, spacing=max(5, scale * 0.1), width=w * 0.5)

    def scarf() -> None:
        if not who.coat:
            c.shape(
                envelope(
                    [
                        f.limb(
                            [
                                ((neck[0] - 0.24, neck[1] + 0.06), 0.2),
                                ((neck[0], neck[1] + 0.14), 0.2),
                                ((neck[0] + 0.24, neck[1] + 0.06), 0.2),
                            ]
                        )
                    ]
                ),
                who.top,
                w,
            )
            return
        blow = pose.wind
        tail_dir = -1 if blow <= 0 else 1
        start = (neck[0] + tail_dir * 0.3, neck[1] + 0.16)
        if abs(blow) > 0.1:
            ends = [
                (start[0] + tail_dir * 0.7, start[1] - 0.3),
                (start[0] + tail_dir * 1.4, start[1] - 0.05),
                (start[0] + tail_dir * 2.1, start[1] - 0.35),
            ]
            width = 0.22
            upper = [start, *ends]
            lower = [(x - tail_dir * 0.02, y + 0.44 if i else y + 0.3) for i, (x, y) in enumerate(upper)]
            tail = spline([*upper, *lower[::-1]], closed=True, corners=(0, 3, 4, 7))
            c.shape(f.all(tail), who.trim, w)
            for k in range(4):
                y = ends[2][1] + 0.06 + 0.1 * k
                c.line(f.all([(ends[2][0], y), (ends[2][0] + tail_dir * width, y - 0.02)]), w * 0.7)
        else:
            tail = spline(
                [
                    (start[0] - 0.16, start[1]),
                    (start[0] + 0.26, start[1]),
                    (start[0] + 0.3, start[1] + 1.15),
                    (start[0] - 0.16, start[1] + 1.2),
                ],
                closed=True,
                corners=(0, 1, 2, 3),
            )
            if pose.behind:
                tail += points((0.25, 0))
            c.shape(f.all(tail), who.trim, w)
            for k in range(4):
                x = start[0] - 0.1 + 0.11 * k + (0.25 if pose.behind else 0)
                c.line(f.all([(x, start[1] + 1.18), (x, start[1] + 1.36)]), w * 0.7)
        wrap = envelope(
            [
                f.limb(
                    [
                        ((neck[0] - 0.36, neck[1] + 0.1), 0.26),
                        ((neck[0] + 0.05, neck[1] + 0.2), 0.27),
                        ((neck[0] + 0.4, neck[1] + 0.08), 0.25),
                    ]
                )
            ]
        )
        c.shape(wrap, who.trim, w)
        c.curve(
            f.all(
                [(neck[0] - 0.5, neck[1] + 0.1), (neck[0], neck[1] + 0.26), (neck[0] + 0.5, neck[1] + 0.06)]
            ),
            w * 0.7,
        )

    if not hips:  # what ties a figure to the ground: a few strokes of shadow
        x, y = at
        for i, (start, length) in enumerate(((-0.5, 2.6), (-1.1, 2.9), (-0.2, 1.7))):
            side = -1 if flip else 1
            c.flick(
                [
                    (x + side * start * scale, y + scale * 0.13 * (i - 0.4)),
                    (x + side * (start + length) * scale, y + scale * 0.13 * (i - 0.3)),
                ],
                w * 0.7,
            )
    arm("far")
    leg("far")
    leg("near")
    torso()
    shade()
    scarf()
    head(c, Frame(marks.head, scale, flip, pose.lean * 0.35 + pose.tilt), who, pose)
    if held is not None:
        held(marks)
    arm("near")
    return marks


def bust(c: Canvas, who: Look, pose: Pose, at: Point, radius: float, *, flip: bool = False) -> Marks:
    """Head and shoulders, the head centred at `at` with `radius` page pixels; the panel's edge cuts the rest."""
    f = Frame(at, radius, flip)
    hips_local = (
        -0.12 * pose.turn - sin(radians(pose.lean * 0.7)) - sin(radians(pose.lean)) * 2.1,
        cos(radians(pose.lean * 0.7)) + cos(radians(pose.lean)) * 2.1,
    )
    return figure(c, who, pose, f(*hips_local), radius * 7.5, flip=flip, hips=True)


# -- the cat -------------------------------------------------------------------------------------------

CatPose = Literal["sit", "walk", "run", "cling"]


def cat(
    c: Canvas,
    at: Point,
    size: float,
    pose: CatPose = "sit",
    *,
    flip: bool = False,
    angle: float = 0,
    yaw: float = 0.4,
    mood: Literal["calm", "wide", "happy", "cross"] = "calm",
    behind: bool = False,
) -> Point:
    """Pip. `at` is the ground under him and `size` his head's radius in page pixels; returns his head's centre."""
    f = Frame(at, size, flip, angle)
    w = pen_width(size * 1.1)
    belly: Points | None = None
    if pose == "sit":
        body = [((-0.55, -0.85), 0.85), ((-0.2, -1.5), 0.72), ((0.12, -2.0), 0.5)]
        fore = {
            "far": [((0.35, -1.6), 0.3), ((0.55, -0.2), 0.2), ((0.72, -0.16), 0.18)],
            "near": [((0.05, -1.7), 0.32), ((0.2, -0.22), 0.21), ((0.4, -0.17), 0.19)],
        }
        hind = {"far": [], "near": [((-0.7, -0.62), 0.62), ((-0.1, -0.22), 0.22), ((0.06, -0.2), 0.2)]}
        tail = [(-1.2, -0.35), (-1.9, -0.3), (-2.2, -0.9), (-1.9, -1.5)]
        head_at, neck = (0.35, -2.75), (0.2, -2.05)
        belly = spline([(0.3, -2.0), (0.6, -1.7), (0.5, -1.1), (0.2, -1.0), (0.08, -1.5)], closed=True)
    elif pose == "walk":
        body = [((-1.5, -1.45), 0.62), ((-0.5, -1.38), 0.6), ((0.5, -1.5), 0.6)]
        fore = {
            "far": [((0.55, -1.3), 0.3), ((0.95, -0.6), 0.2), ((1.15, -0.2), 0.19)],
            "near": [((0.4, -1.3), 0.33), ((0.3, -0.7), 0.22), ((0.25, -0.18), 0.2), ((0.42, -0.17), 0.18)],
        }
        hind = {
            "far": [((-1.4, -1.2), 0.4), ((-1.2, -0.7), 0.24), ((-1.35, -0.2), 0.19)],
            "near": [
                ((-1.6, -1.25), 0.5),
                ((-1.75, -0.75), 0.28),
                ((-2.05, -0.18), 0.2),
                ((-1.9, -0.17), 0.18),
            ],
        }
        tail = [(-2.0, -1.6), (-2.6, -1.9), (-2.75, -2.7), (-2.4, -3.2)]
        head_at, neck = (1.35, -2.15), (0.85, -1.75)
    else:
        body = [((-1.9, -1.4), 0.56), ((-0.7, -1.45), 0.5), ((0.5, -1.45), 0.58)]
        fore = {
            "far": [((0.7, -1.4), 0.3), ((1.6, -1.25), 0.2), ((2.35, -1.0), 0.19)],
            "near": [((0.6, -1.25), 0.33), ((1.35, -0.8), 0.22), ((2.15, -0.55), 0.2)],
        }
        hind = {
            "far": [((-1.9, -1.2), 0.42), ((-2.6, -0.85), 0.25), ((-3.35, -0.75), 0.18)],
            "near": [((-2.0, -1.2), 0.5), ((-2.6, -0.6), 0.28), ((-3.3, -0.25), 0.2)],
        }
        if pose == "cling":
            hind = {"far": [], "near": [((-1.9, -1.2), 0.55), ((-1.35, -0.5), 0.28), ((-1.75, -0.2), 0.2)]}
            fore = {
                "far": [((0.7, -1.3), 0.3), ((1.5, -0.7), 0.2), ((1.9, -0.3), 0.19)],
                "near": [((0.5, -1.2), 0.33), ((0.95, -0.55), 0.22), ((1.3, -0.2), 0.2)],
            }
        tail = [(-2.4, -1.5), (-3.1, -1.9), (-3.8, -1.6), (-4.4, -2.1)]
        head_at, neck = (1.45, -1.95), (0.95, -1.65)

    tail_path = spline(tail)
    tail_chain = [
        ((float(x), float(y)), 0.22 - 0.05 * i / len(tail_path)) for i, (x, y) in enumerate(tail_path)
    ]
    keep = tail_chain[:: max(1, len(tail_chain) // 14)] + tail_chain[-1:]
    c.shape(envelope([f.limb(keep)]), CAT_GRAY, w)
    for limb in (fore["far"], hind["far"]):
        if limb:
            c.shape(envelope([f.limb(limb)]), CAT_GRAY, w)
    trunk = envelope([f.limb(body), f.limb([body[-1], (neck, 0.42)])])
    near_hip, near_shoulder = hind["near"][0], fore["near"][0]
    c.shape(trunk, CAT_GRAY, w)
    if belly is not None and not behind:
        c.shape(f.all(belly), CAT_WHITE, w * 0.8)
    gap_h = [(f(near_hip[0][0] + 0.05, near_hip[0][1] - 0.25), near_hip[1] * size * 0.95)]
    c.shape(envelope([f.limb(hind["near"])]), CAT_GRAY, w, gap_h if pose != "sit" else ())
    gap_s = [(f(near_shoulder[0][0], near_shoulder[0][1] - 0.1), near_shoulder[1] * size * 1.15)]
    c.shape(envelope([f.limb(fore["near"])]), CAT_GRAY, w, gap_s)
    for x in ((body[0][0][0] + 0.1), (body[0][0][0] + 0.45)):  # tabby marks on the back
        top = body[0][0][1] - body[0][1]
        c.flick(f.all(spline([(x, top + 0.06), (x + 0.06, top + 0.3), (x + 0.02, top + 0.5)])), w * 1.1)

    kerchief = spline(
        [
            (neck[0] - 0.55, neck[1] - 0.1),
            (neck[0], neck[1] + 0.12),
            (neck[0] + 0.45, neck[1] - 0.18),
            (neck[0] + 0.6, neck[1] + 0.2),
            (neck[0] + 0.3, neck[1] + 1.1),
            (neck[0] - 0.4, neck[1] + 0.45),
        ],
        closed=True,
        corners=(0, 2, 4),
    )
    c.shape(f.all(kerchief), BANDANA, w)
    h = f.within(*head_at, -angle * 0.6)
    for side in (-1, 1):
        shift = 0.06 * yaw
        ear = [(side * 0.9 + shift, -0.28), (side * 0.8 + shift, -1.35), (side * 0.2 + shift, -0.8)]
        c.shape(h.all(spline(ear, corners=(0, 1, 2))), CAT_GRAY, w)
        if not behind:
            inner = points(ear) * 0.55 + points(ear).mean(0) * 0.45 + (0, 0.02)
            c.line(h.all([inner[0], inner[1], inner[2]]), w * 0.7, taper=0.4)
    skull = spline(
        [
            (0, -0.88),
            (0.62, -0.72),
            (0.98, -0.1),
            (1.08, 0.38),
            (0.6, 0.76),
            (0, 0.84),
            (-0.6, 0.76),
            (-1.08, 0.38),
            (-0.98, -0.1),
            (-0.62, -0.72),
        ],
        closed=True,
    )
    c.shape(h.all(skull), CAT_GRAY, w)
    for x in (-0.2, 0.0, 0.2):
        c.flick(h.all([(x, -0.85), (x * 0.8, -0.52)]), w * 1.1)
    if behind:
        return h.origin
    dx = 0.36 * yaw
    muzzle = envelope(
        [],
        [
            h.all(ellipse((dx - 0.27, 0.42), 0.36, 0.3)),
            h.all(ellipse((dx + 0.27, 0.42), 0.36, 0.3)),
            h.all(ellipse((dx, 0.15), 0.18, 0.25)),
        ],
    )
    c.shape(muzzle, CAT_WHITE, w * 0.8)
    for side in (-1, 1):
        x = dx + side * 0.45 * (1 - 0.15 * yaw * side)
        if mood == "happy":
            c.line(h.all(spline([(x - 0.2, -0.02), (x, -0.2), (x + 0.2, -0.02)])), w * 1.2, taper=0.5)
        else:
            tall = 0.27 if mood == "wide" else 0.2
            c.fill(h.all(ellipse((x, -0.1), 0.14, tall)), INK)
            c.fill(h.all(ellipse((x + 0.04, -0.19), 0.045, 0.06)), PAPER)
            if mood == "cross":
                c.line(
                    h.all([(x - 0.24, -0.32 + 0.12 * side), (x + 0.24, -0.32 - 0.12 * side)]),
                    w * 1.3,
                    taper=0.5,
                )
        for rise in (-0.14, 0.06):
            c.flick(
                h.all(
                    spline(
                        [
                            (dx + side * 0.5, 0.42 + rise * 0.5),
                            (dx + side * 1.0, 0.36 + rise),
                            (dx + side * 1.45, 0.42 + rise * 2),
                        ]
                    )
                ),
                w * 0.7,
            )
    nose = spline([(dx - 0.13, 0.18), (dx + 0.13, 0.18), (dx, 0.33)], closed=True, corners=(0, 1, 2))
    c.shape(h.all(nose), NOSE, w * 0.8)
    c.line(h.all(spline([(dx - 0.24, 0.5), (dx - 0.1, 0.56), (dx, 0.36)])), w * 0.8, taper=0.5)
    c.line(h.all(spline([(dx + 0.24, 0.5), (dx + 0.1, 0.56), (dx, 0.36)])), w * 0.8, taper=0.5)
    return h.origin


# -- the kite ------------------------------------------------------------------------------------------


def kite(
    c: Canvas,
    at: Point,
    size: float,
    *,
    angle: float = 20,
    tail: float = 1.0,
    string: ArrayLike | None = None,
) -> None:
    """The kite, `size` page pixels from its middle to its tip; `string` are page points from its cross on."""
    f = Frame(at, size, False, angle)
    w = pen_width(size * 0.55)
    top, right, bottom, left, middle = (0, -1), (0.72, -0.18), (0, 1.25), (-0.72, -0.18), (0, -0.18)
    if string is not None:
        c.line(spline(np.concatenate([f.all([middle]), points(string)])), 1.5, taper=0.1)
    sway = [(0, 1.25), (0.22, 1.75), (-0.18, 2.25), (0.2, 2.8), (-0.1, 3.3), (0.15, 3.7)]
    ribbon = spline(points(sway) * (1, 1) + np.array([[0, 0]] * len(sway)))
    ribbon = ribbon[: max(2, int(len(ribbon) * tail))]
    c.line(f.all(ribbon), w * 0.9, taper=0.2)
    for i in range(1, 1 + round(4 * tail)):
        k = min(len(ribbon) - 1, round(i * (len(ribbon) - 1) / (4 * tail + 0.3)))
        x, y = ribbon[k]
        for side in (-1, 1):
            bow = spline(
                [(x, y), (x + side * 0.24, y - 0.16), (x + side * 0.26, y + 0.14)],
                closed=True,
                corners=(0, 1, 2),
            )
            c.shape(f.all(bow), KITE_BOW, w * 0.85)
    for corner_a, corner_b, color in (
        (top, right, KITE_RED),
        (right, bottom, KITE_CREAM),
        (bottom, left, KITE_RED),
        (left, top, KITE_CREAM),
    ):
        c.shape(f.all(spline([corner_a, corner_b, middle], corners=(0, 1, 2))), color, w)
