"""The story: "The Runaway Kite", a cover, eight pages and two reference sheets."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from . import places as p
from .cast import MARA, POINT_UP, RUN, RUN_2, TOMO, Frame, Pose, bust, cat, figure, head, kite
from .ink import PAPER, Canvas, box, points, spline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike

TITLE = "The Runaway Kite"
WIDTH, HEIGHT = 1240, 1754
"""Page pixels: A4 at 150 dpi."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 64, 1176, 1690
_WIDE, _HIGH = _RIGHT - _LEFT, _BOTTOM - _TOP
_GUTTER = 22


class Sheet:
    """One page being drawn: panels are scenes of their own, laid on the paper and framed."""

    def __init__(self, *, color: bool) -> None:
        self.paper = Canvas(WIDTH, HEIGHT, color=color)

    @contextmanager
    def panel(
        self, x: float, y: float, w: float, h: float, cut: ArrayLike | None = None, frame: float = 4
    ) -> Iterator[Canvas]:
        """A canvas of `w` by `h` with its own origin; `cut` is the frame in page pixels where it is no box."""
        scene = Canvas(int(w), int(h), color=self.paper.color)
        yield scene
        border = box(int(x), int(y), int(w), int(h)) if cut is None else points(cut)
        self.paper.paste(scene, int(x), int(y), border, frame)


def _speed(c: Canvas, y: float, x0: float, x1: float) -> None:
    """Speed lines behind something that moves to the right."""
    for k in range(7):
        at = y + k * 22 + 9 * np.sin(k * 2.4)
        c.flick([(x1 - 40 * ((k * 0.618) % 1), at), (x0 + 60 * ((k * 0.382) % 1), at + 3)], 2.2)


def _burst(c: Canvas, x: float, y: float, inner: float) -> None:
    """Lines of attention from the panel's edge towards (x, y), stopping `inner` before it."""
    outer = float(np.hypot(c.width, c.height))
    for k in range(64):
        a = k * 2 * np.pi / 64 + 0.03 * np.sin(k * 5.1)
        r = inner * (1.0 + 0.3 * ((k * 0.618) % 1))
        d = np.array([np.cos(a), np.sin(a)])
        c.flick([np.array([x, y]) + d * outer, np.array([x, y]) + d * r], 5)


def page_1(s: Sheet) -> None:
    """The hill above the town: the kite goes up."""
    with s.panel(_LEFT, _TOP, _WIDE, 900) as c:
        p.sky(c)
        p.cloud(c, 160, 330, 46)
        p.cloud(c, 860, 240, 66)
        p.sea(c, 470, waves=16)
        p.lighthouse(c, 985, 530, 250)
        p.boat(c, 700, 545, 26)
        p.land(c, [(-10, 500), (180, 505), (420, 560), (700, 600), (1130, 590)], p.HILL)
        p.village(c, 20, 590, 640, 84)
        p.tree(c, 1030, 700, 84)
        p.tree(c, 900, 690, 58)
        p.land(c, [(-10, 640), (200, 618), (480, 650), (800, 720), (1130, 700)], p.GRASS)
        for x, y in ((70, 760), (250, 860), (690, 800), (1000, 800), (1040, 870), (470, 740)):
            p.grass(c, x, y, 20)
        lift = Pose(
            yaw=0.55,
            turn=0.5,
            tilt=-10,
            arm_near=(-38, 14),
            arm_far=(150, 168),
            hand_near="fist",
            hand_far="fist",
            wind=-0.5,
            face="joy",
        )
        hand = figure(c, MARA, lift, (330, 850), 480).hand_far
        cross = (hand[0] + 24, hand[1] - 118)
        wait = Pose(yaw=0.6, turn=0.6, arm_near=(30, 95), arm_far=(44, 98), hand_near="fist", hand_far="fist")
        spool = figure(c, TOMO, wait, (790, 870), 490, flip=True).hand_far
        c.curve([(spool[0] - 6, spool[1] - 20), (600, 600), (520, 480), cross], 1.6, taper=0.1)
        kite(c, cross, 112, angle=8, tail=0.62)
        figure(c, MARA, lift, (330, 850), 480)  # again: her hand holds the kite, not the kite her hand
        c.shape(box(spool[0] - 22, spool[1] - 30, 28, 46), p.WOOD, 2.6)
        for k in range(4):
            c.line(
                [(spool[0] - 22, spool[1] - 18 + 8 * k), (spool[0] + 6, spool[1] - 20 + 8 * k)], 1.5, taper=0
            )
        cat(c, (560, 866), 44, yaw=0.2)
        c.caption("SATURDAY,\nAFTER THE RAIN.", 26, 24, size=27)
    y, h = _TOP + 900 + _GUTTER, _HIGH - 900 - _GUTTER
    third = (_WIDE - 2 * _GUTTER) / 3
    with s.panel(_LEFT, y, third, h) as c:
        p.sky(c)
        p.cloud(c, 60, 300, 50)
        bust(c, MARA, Pose(yaw=0.4, wind=-0.4, face="joy"), (170, 430), 122)
        c.balloon("READY?", (215, 105), tail=(222, 262), size=34)
    with s.panel(_LEFT + third + _GUTTER, y, third, h) as c:
        p.sky(c)
        p.land(c, [(-10, 490), (200, 460), (400, 490)], p.HILL)
        bust(c, TOMO, Pose(yaw=0.5), (190, 420), 112, flip=True)
        c.balloon("ALWAYS!", (150, 100), tail=(165, 245), size=34)
    with s.panel(_LEFT + 2 * (third + _GUTTER), y, third, h) as c:
        p.sky(c)
        p.cloud(c, 90, 130, 40)
        kite(c, (215, 260), 122, angle=-18, tail=0.5, string=[(150, 420), (40, 700)])
        p.gull(c, 300, 90, 22)
        p.gull(c, 70, 330, 16)
        c.sound("WHOOSH", (180, 600), 60, angle=-12)


def page_2(s: Sheet) -> None:
    """The string breaks."""
    with s.panel(_LEFT, _TOP, _WIDE * 0.58, 560) as c:
        p.sky(c)
        p.cloud(c, 470, 150, 48)
        p.sea(c, 330, waves=6)
        p.land(c, [(-10, 430), (300, 400), (700, 440)], p.GRASS)
        pull = Pose(
            lean=-18,
            yaw=0.5,
            tilt=-8,
            turn=0.6,
            arm_near=(112, 128),
            arm_far=(120, 132),
            leg_near=(20, 2),
            leg_far=(40, 24),
            hand_near="fist",
            hand_far="fist",
            face="grit",
        )
        hand = figure(c, TOMO, pull, (230, 538), 358).hand_far
        c.line(spline([hand, (480, 150), (720, 10)]), 2.2, taper=0.1)
        figure(
            c,
            MARA,
            Pose(yaw=0.5, tilt=-14, wind=0.6, face="worry", arm_near=(-30, -10)),
            (530, 540),
            370,
            flip=True,
        )
        for x, at in ((60, 520), (390, 540), (330, 470)):
            p.grass(c, x, at, 18)
        c.balloon("IT'S PULLING\nHARD!", (180, 78), tail=(212, 166), size=28)
    with s.panel(_LEFT + _WIDE * 0.58 + _GUTTER, _TOP, _WIDE * 0.42 - _GUTTER, 560) as c:
        c.fill(box(-5, -5, 900, 900), PAPER)
        _burst(c, 220, 270, 160)
        c.line(spline([(-10, 560), (110, 390), (196, 292)]), 8, taper=0.3)
        c.line(spline([(244, 256), (330, 180), (470, 20)]), 8, taper=0.3)
        for a, b in (
            ((196, 292), (174, 246)),
            ((196, 292), (228, 316)),
            ((196, 292), (216, 262)),
            ((244, 256), (232, 216)),
            ((244, 256), (276, 282)),
        ):
            c.flick(spline([a, ((a[0] + b[0]) / 2 + 6, (a[1] + b[1]) / 2), b]), 5)
        c.sound("TWANG!", (220, 440), 82, angle=-14)
    y = _TOP + 560 + _GUTTER
    with s.panel(_LEFT, y, _WIDE, 360) as c:
        p.sky(c)
        p.cloud(c, 1040, 130, 44)
        bust(c, MARA, Pose(yaw=0.35, face="shock", wind=-0.5), (270, 200), 132)
        bust(c, TOMO, Pose(yaw=0.35, face="shock"), (830, 215), 124, flip=True)
        cat(c, (540, 440), 74, mood="wide", yaw=0.0)
    y += 360 + _GUTTER
    with s.panel(_LEFT, y, _WIDE, _BOTTOM - y) as c:
        p.sky(c)
        p.cloud(c, 300, 130, 55)
        p.cloud(c, 640, 200, 38)
        p.sea(c, 300, waves=14)
        p.lighthouse(c, 160, 345, 200)
        p.land(c, [(-10, 380), (260, 360), (640, 400), (1130, 330)], p.HILL)
        p.village(c, 40, 470, 1050, 100)
        p.land(c, [(-10, 505), (300, 470), (700, 520), (1130, 480)], p.GRASS)
        kite(c, (930, 130), 92, angle=38, string=[(880, 250), (800, 300), (770, 400)])
        figure(c, TOMO, replace(RUN_2, face="shock"), (300, 640), 270)
        figure(c, MARA, replace(RUN, face="grit"), (560, 645), 265)
        cat(c, (860, 650), 28, "run", mood="wide")
        for x, at in ((80, 620), (720, 590), (1040, 620)):
            p.grass(c, x, at, 16)
        c.balloon("OUR KITE!", (530, 300), tail=(590, 378), size=28, shout=True)


def page_3(s: Sheet) -> None:
    """The chase through the streets and over the roofs."""
    with s.panel(_LEFT, _TOP, _WIDE, 690) as c:
        p.sky(c)
        p.cloud(c, 560, 110, 50)
        p.sea(c, 330, 480, waves=6)
        p.street(c, 470)
        p.house(c, 252, 480, 210, 230, p.WALL_BLUE, gable=False)
        p.house(c, 660, 482, 180, 210, p.WALL_ROSE, gable=False)
        p.house(c, -60, 492, 300, 330, p.WALL_ROSE)
        p.house(c, 850, 496, 320, 350, p.WALL_CREAM)
        p.bunting(c, (244, 160), (846, 140), 70, 9, 36)
        p.lamp(c, 600, 500, 260)
        kite(c, (520, 150), 52, angle=50, tail=0.8)
        _speed(c, 470, 20, 150)
        figure(c, TOMO, RUN_2, (320, 650), 370)
        figure(c, MARA, replace(RUN, face="joy"), (630, 660), 370)
        cat(c, (950, 668), 38, "run")
        c.balloon("LEFT, AT\nTHE LAMP!", (330, 110), tail=(385, 268), size=28)
    y, h, slant, left = _TOP + 690 + _GUTTER, 440, 70, _WIDE * 0.5
    cut = [(_LEFT, y), (_LEFT + left + slant, y), (_LEFT + left - slant, y + h), (_LEFT, y + h)]
    with s.panel(_LEFT, y, left + slant, h, cut) as c:
        _speed(c, 30, -10, 200)
        _speed(c, 220, -10, 160)
        close = Pose(yaw=0.85, turn=0.85, lean=18, face="grit", wind=-0.9, arm_near=(-50, 30))
        bust(c, MARA, close, (330, 200), 130)
    cut = [
        (_LEFT + left + slant + _GUTTER, y),
        (_RIGHT, y),
        (_RIGHT, y + h),
        (_LEFT + left - slant + _GUTTER, y + h),
    ]
    with s.panel(_LEFT + left - slant, y, _WIDE - left + slant, h, cut) as c:
        p.sky(c)
        p.cloud(c, 230, 150, 34)
        p.house(c, 30, 480, 220, 200, p.WALL_CREAM, gable=False, door=False)
        p.house(c, 320, 480, 330, 190, p.WALL_BLUE, gable=False, door=False)
        cat(c, (390, 228), 42, "run", mood="happy", angle=-8)
        c.sound("HOP!", (250, 80), 66, angle=-10)
    y += h + _GUTTER
    h = _BOTTOM - y
    with s.panel(_LEFT, y, 330, h) as c:
        p.sky(c)
        kite(c, (190, 140), 92, angle=28, tail=0.7)
        c.line([(-10, 376), (340, 336)], 1.8, taper=0)
        c.shape([(60, 368), (160, 357), (168, 480), (56, 480)], p.WALL_CREAM, 2.4)
        c.shape([(200, 352), (300, 340), (310, 470), (258, 474), (248, 400), (204, 474)], p.SHUTTER, 2.4)
    with s.panel(_LEFT + 330 + _GUTTER, y, _WIDE - 330 - _GUTTER, h) as c:
        p.sky(c)
        p.cloud(c, 90, 90, 30)
        p.sea(c, 130, waves=12)
        p.boat(c, 640, 240, 30)
        p.wall(c, -10, 310, 900, 240)
        show = Pose(
            behind=True, yaw=0, turn=0.2, arm_near=(-24, -8), arm_far=(140, 150), hand_far="open", wind=-0.4
        )
        figure(c, MARA, show, (180, 540), 400)
        hips = Pose(behind=True, yaw=0, turn=0.2, arm_near=(-38, 40), arm_far=(38, -40))
        figure(c, TOMO, hips, (400, 546), 410)
        c.balloon("IT'S OVER\nTHE HARBOUR!", (600, 72), tail=(470, 190), size=26)


def page_4(s: Sheet) -> None:
    """A short cut through the bakery."""
    with s.panel(_LEFT, _TOP, _WIDE * 0.4, 480) as c:
        p.sky(c)
        p.house(c, 30, 420, 360, 300, p.WALL_ROSE, gable=False)
        p.street(c, 420)
        c.shape(box(86, 134, 190, 48), p.WOOD, 2.6)
        c.letters("BAKERY", (181, 158), 32)
        kite(c, (372, 80), 62, angle=44, tail=0.6)
    with s.panel(_LEFT + _WIDE * 0.4 + _GUTTER, _TOP, _WIDE * 0.6 - _GUTTER, 480) as c:
        p.sky(c)
        bust(c, TOMO, Pose(yaw=0.6, face="joy"), (180, 270), 112)
        bust(c, MARA, Pose(yaw=0.3, face="worry"), (480, 300), 112, flip=True)
        c.balloon("SHORT CUT!", (420, 80), tail=(306, 190), size=32)
    y, h = _TOP + 480 + _GUTTER, 640
    with s.panel(_LEFT, y, _WIDE, h) as c:
        p.bakery(c, 440)
        p.window(c, 610, 90, 280, 200, shutters=False)
        c.shape(box(960, 110, 160, 334), p.SHUTTER, 2.8)
        c.shape(box(985, 140, 110, 130), p.GLASS, 2.2)
        c.shape(box(-10, 380, 420, 190), p.WOOD, 2.8)
        c.shape(box(-10, 366, 440, 26), p.STONE, 2.6)
        c.hatch(box(-4, 396, 404, 60), angle=70, spacing=14, width=1.6)
        for k in range(3):
            p.loaf(c, 70 + 120 * k, 366, 46)
        _speed(c, 350, 420, 520)
        figure(c, TOMO, replace(RUN_2, face="worry"), (600, 620), 390)
        figure(c, MARA, replace(RUN, face="shock"), (890, 625), 390)
        c.balloon("SORRY!", (500, 70), tail=(612, 236), size=30)
        c.balloon("GOOD\nMORNING!", (800, 80), tail=(880, 244), size=28)
    y += h + _GUTTER
    h = _BOTTOM - y
    third = (_WIDE - 2 * _GUTTER) / 3
    with s.panel(_LEFT, y, third, h) as c:
        c.fill(box(-5, -5, 500, 600), p.WALL_CREAM)
        c.shape(box(-10, 320, 500, 220), p.WOOD, 2.8)
        c.hatch(box(-5, 324, 380, 40), angle=70, spacing=14, width=1.6)
        p.loaf(c, 270, 320, 76)
        cat(c, (110, 440), 78, yaw=0.8, mood="wide")
    with s.panel(_LEFT + third + _GUTTER, y, third, h) as c:
        c.fill(box(-5, -5, 500, 600), PAPER)
        _burst(c, 178, 230, 150)
        c.sound("SNATCH!", (178, 225), 64, angle=-16)
    with s.panel(_LEFT + 2 * (third + _GUTTER), y, third, h) as c:
        p.sky(c)
        p.street(c, 330)
        p.house(c, -140, 345, 280, 270, p.WALL_ROSE, gable=False, shutters=False)
        center = cat(c, (205, 434), 46, "run", mood="happy")
        p.loaf(c, center[0] + 36, center[1] + 50, 40)


def page_5(s: Sheet) -> None:
    """The harbour: the kite hangs at the top of a mast."""
    tall = _WIDE * 0.44
    with s.panel(_LEFT, _TOP, tall, _HIGH) as c:
        p.sky(c)
        p.cloud(c, 110, 640, 52)
        p.cloud(c, 400, 430, 40)
        p.sea(c, 1130, waves=20)
        c.tone(box(-5, 1132, c.width + 10, 500), pitch=13, radius=2.1)
        p.lighthouse(c, 400, 1170, 230)
        mast = p.boat(c, 235, 1440, 112, mast=9.6)
        kite(c, (mast[0] + 26, mast[1] + 20), 104, angle=18, tail=0.8)
        p.gull(c, 90, 200, 26)
        p.gull(c, 390, 130, 20)
    x, w = _LEFT + tall + _GUTTER, _WIDE - tall - _GUTTER
    with s.panel(x, _TOP, w, 500) as c:
        p.sky(c)
        p.cloud(c, 150, 110, 34)
        p.sea(c, 300, waves=8)
        p.pier(c, 400, 60, 560)
        figure(c, TOMO, replace(POINT_UP, face="shock"), (430, 484), 326, flip=True)
        look = Pose(yaw=0.6, tilt=-12, face="worry", wind=0.4, arm_near=(-20, 30))
        figure(c, MARA, look, (210, 488), 312, flip=True)
        c.balloon("UP THERE!", (450, 62), tail=(424, 136), size=30)
    with s.panel(x, _TOP + 500 + _GUTTER, w, 400) as c:
        p.sky(c)
        c.tone(box(-5, 250, w + 10, 160), pitch=12, radius=1.9)
        bust(c, MARA, Pose(yaw=0.5, tilt=6, face="sad"), (180, 282), 108, flip=True)
        bust(c, TOMO, Pose(yaw=0.2, face="worry"), (465, 282), 102, flip=True)
        c.balloon("WE'LL NEVER\nREACH IT.", (300, 68), tail=(238, 152), size=28)
    y = _TOP + 900 + 2 * _GUTTER
    with s.panel(x, y, w, _BOTTOM - y) as c:
        _burst(c, 300, 360, 300)
        cat(c, (250, 800), 150, yaw=0.25, mood="cross")
        c.balloon("MRROW.", (450, 90), tail=(420, 196), size=36)


def page_6(s: Sheet) -> None:
    """Pip climbs."""
    narrow = _WIDE * 0.36
    with s.panel(_LEFT, _TOP, narrow, 1000) as c:
        p.sky(c)
        p.cloud(c, 80, 860, 44)
        p.cloud(c, 330, 200, 44)
        c.shape(box(190, -10, 40, 1030), p.WOOD, 2.8)
        for k in range(9):
            c.line([(192, 60 + 110 * k), (228, 52 + 110 * k)], 1.8)
        c.hatch(box(216, -5, 13, 1020), angle=0, spacing=12, width=1.4)
        cat(c, (252, 600), 66, "cling", angle=-84, mood="cross")
        c.sound("SCRITCH", (318, 740), 54, angle=76)
    x, w = _LEFT + narrow + _GUTTER, _WIDE - narrow - _GUTTER
    with s.panel(x, _TOP, w, 470) as c:
        p.sky(c)
        p.cloud(c, 620, 220, 36)
        p.sea(c, 330, waves=8)
        p.pier(c, 380, -40, 760)
        call = Pose(
            yaw=0.4,
            tilt=-16,
            face="shock",
            arm_near=(-130, -165),
            arm_far=(38, 152),
            hand_near="open",
            hand_far="open",
            wind=-0.3,
            turn=0.3,
        )
        figure(c, MARA, call, (200, 460), 330)
        fright = Pose(yaw=0.4, tilt=-14, face="shock", arm_near=(-40, 150), arm_far=(40, -150), turn=0.3)
        figure(c, TOMO, fright, (510, 462), 345, flip=True)
        c.balloon("PIP!", (378, 92), tail=(268, 200), size=40, shout=True)
    with s.panel(x, _TOP + 470 + _GUTTER, w, 1000 - 470 - _GUTTER) as c:
        p.sky(c)
        p.cloud(c, 590, 430, 60)
        c.shape(box(445, 60, 46, 500), p.WOOD, 2.8)
        c.hatch(box(474, 65, 16, 450), angle=0, spacing=14, width=1.5)
        kite(c, (465, 190), 170, angle=24, tail=0.4)
        cat(c, (268, 548), 70, "run", mood="wide", angle=-30, yaw=0.9)
        c.sound("PAF!", (170, 120), 92, angle=-10)
    y = _TOP + 1000 + _GUTTER
    with s.panel(_LEFT, y, _WIDE, _BOTTOM - y) as c:
        p.sky(c)
        p.cloud(c, 160, 160, 62)
        p.cloud(c, 930, 520, 54)
        p.cloud(c, 1000, 160, 36)
        for k in range(9):
            c.flick([(300 + 60 * k, -5), (270 + 60 * k, 90 + 60 * ((k * 0.618) % 1))], 2.4)
        kite(c, (740, 190), 140, angle=20, tail=0.7)
        cat(c, (505, 400), 72, "run", mood="wide", angle=8)
        c.sound("SNAP!", (910, 400), 100, angle=-10)


def page_7(s: Sheet) -> None:
    """The leap: one big panel and an inset."""
    with s.panel(_LEFT, _TOP, _WIDE, _HIGH) as c:
        p.sky(c)
        p.cloud(c, 190, 300, 80)
        p.cloud(c, 960, 170, 60)
        p.cloud(c, 940, 520, 44)
        p.sea(c, 880, waves=26)
        p.lighthouse(c, 120, 940, 330)
        p.boat(c, 880, 1040, 60, mast=4)
        p.village(c, 830, 900, 300, 84)
        p.pier(c, 1210, 60, 1060)
        kite(c, (690, 250), 190, angle=14, tail=0.5)
        cat(c, (438, 582), 86, "run", mood="happy", angle=-4)
        for k in range(8):
            c.flick([(270 + 40 * k, 640 + 14 * (k % 3)), (215 + 44 * k, 745 + 20 * (k % 2))], 2.6)
        reach = Pose(
            yaw=0.5,
            tilt=-20,
            turn=0.35,
            face="joy",
            arm_near=(-128, -170),
            arm_far=(128, 170),
            hand_near="open",
            hand_far="open",
            leg_near=(-16, -8),
            leg_far=(18, 10),
            wind=-0.5,
        )
        figure(c, MARA, reach, (300, 1560), 580)
        figure(
            c, TOMO, replace(reach, arm_near=(-140, -160), arm_far=(110, 160)), (660, 1570), 600, flip=True
        )
        c.sound("FWOOOSH", (760, 760), 96, angle=-8)
        c.balloon("JUMP, PIP!", (190, 870), tail=(270, 985), size=34, shout=True)
    with s.panel(_RIGHT - 340, _BOTTOM - 380, 312, 352, frame=5) as c:
        c.fill(box(-5, -5, 400, 400), PAPER)
        _burst(c, 156, 210, 140)
        cat(c, (140, 450), 86, yaw=0.3, mood="happy")
        c.balloon("GOT HIM!", (156, 56), size=30)


def page_8(s: Sheet) -> None:
    """Evening on the pier."""
    half = (_WIDE - _GUTTER) / 2
    with s.panel(_LEFT, _TOP, half, 500) as c:
        p.sky(c)
        p.sea(c, 330, waves=8)
        p.boat(c, 470, 380, 34)

        hug = Pose(yaw=0.4, face="joy", arm_near=(8, 88), arm_far=(-6, 20), hand_near="open", turn=0.3)
        figure(c, MARA, hug, (200, 740), 620, held=lambda m: _lap(c, m.mouth[0] + 84, m.mouth[1] + 222))
        c.balloon("WHO'S A BRAVE\nPIRATE?", (376, 84), tail=(306, 190), size=26)
    with s.panel(_LEFT + half + _GUTTER, _TOP, half, 500) as c:
        p.sky(c)
        p.cloud(c, 110, 260, 40)
        p.land(c, [(-10, 420), (300, 400), (600, 430)], p.GRASS)
        kite(c, (120, 380), 96, angle=-24, tail=0.5)
        tie = Pose(
            yaw=0.45, face="calm", arm_near=(24, 110), arm_far=(30, 118), hand_near="fist", hand_far="fist"
        )
        marks = figure(c, TOMO, tie, (380, 740), 620, flip=True)
        c.line(spline([marks.hand_near, marks.hand_far, (150, 350), (120, 380)]), 2.6, taper=0.2)
        c.balloon("DOUBLE KNOT,\nTHIS TIME.", (158, 80), tail=(276, 168), size=26)
    y = _TOP + 500 + _GUTTER
    h = _BOTTOM - y
    with s.panel(_LEFT, y, _WIDE, h) as c:
        p.sky(c)
        p.cloud(c, 860, 330, 74)
        p.cloud(c, 240, 380, 54)
        p.sea(c, 560, waves=26)
        p.lighthouse(c, 150, 610, 300)
        p.boat(c, 900, 670, 44, mast=4)
        p.pier(c, 820, 160, 960)
        stand = Pose(behind=True, yaw=0, turn=0.1, arm_near=(-26, 4), arm_far=(20, 40), wind=-0.5)
        figure(c, MARA, stand, (420, 985), 440)
        fly = Pose(behind=True, yaw=0, turn=0.1, arm_near=(-60, -150), arm_far=(30, 8), hand_near="fist")
        hand = figure(c, TOMO, fly, (700, 990), 460).hand_near
        kite(c, (480, 180), 112, angle=20, tail=0.8, string=[(505, 420), hand])
        cat(c, (560, 1010), 46, behind=True)
        p.gull(c, 700, 440, 22)
        p.gull(c, 780, 400, 15)
        c.caption("AND THE KITE?\nIT STAYED FOR SUPPER.", 690, 50, size=28)
        c.caption("THE END", 920, h - 90, size=32)


def _lap(c: Canvas, x: float, y: float) -> None:
    cat(c, (x, y), 58, yaw=0.1, mood="happy")


def cover(s: Sheet) -> None:
    """The whole cast on the hill, in colour."""
    with s.panel(0, 0, WIDTH, HEIGHT, frame=0) as c:
        p.sky(c)
        p.cloud(c, 240, 600, 84)
        p.cloud(c, 1010, 640, 70)
        p.cloud(c, 520, 450, 44)
        p.sea(c, 930, waves=20)
        p.lighthouse(c, 1090, 980, 330)
        p.boat(c, 850, 1030, 44)
        p.land(c, [(-10, 960), (200, 930), (520, 1010), (820, 1130), (1250, 1080)], p.HILL)
        p.village(c, 20, 1090, 700, 130)
        p.tree(c, 1080, 1220, 120)
        p.land(c, [(-10, 1180), (300, 1130), (700, 1200), (1250, 1230)], p.GRASS)
        p.fence(c, -20, 1260, 260, 80)
        for x, y in ((80, 1500), (560, 1690), (1100, 1500), (840, 1700), (240, 1700), (700, 1300)):
            p.grass(c, x, y, 30)
        kite(c, (930, 400), 190, angle=24, tail=0.8)
        figure(c, MARA, replace(RUN, face="joy", arm_far=(120, 150), hand_far="open"), (660, 1590), 720)
        figure(c, TOMO, replace(RUN_2, face="joy"), (270, 1600), 700)
        cat(c, (1010, 1650), 62, "run", mood="happy")
        c.sound("THE RUNAWAY", (520, 124), 104, angle=-3, wave=0.06)
        c.sound("KITE", (440, 300), 190, angle=-3, wave=0.06)


def cast_sheet(s: Sheet) -> None:
    """Full figures from the front and from behind, and heads, with every colour of the cast."""
    c = s.paper
    figure(c, MARA, Pose(yaw=0, turn=0), (220, 730), 660)
    figure(c, MARA, Pose(yaw=0, turn=0, behind=True), (480, 730), 420)
    figure(c, TOMO, Pose(yaw=0, turn=0, behind=True), (740, 730), 430)
    figure(c, TOMO, Pose(yaw=0, turn=0), (1010, 730), 680)
    head(c, Frame((210, 960), 120), MARA, Pose(yaw=0.5, face="joy"))
    head(c, Frame((1030, 990), 112), TOMO, Pose(yaw=0.5, face="joy"))
    figure(c, MARA, RUN, (470, 1130), 320)
    figure(c, TOMO, RUN_2, (730, 1130), 330)
    cat(c, (240, 1620), 92, "sit")
    cat(c, (690, 1600), 66, "walk")
    kite(c, (1010, 1310), 130, angle=12, tail=0.8)


def places_sheet(s: Sheet) -> None:
    """Every colour of the places: a street by the harbour, and the bakery."""
    with s.panel(60, 60, 1120, 920) as c:
        p.sky(c)
        p.cloud(c, 300, 160, 60)
        p.sea(c, 420, waves=12)
        p.lighthouse(c, 720, 470, 300)
        p.land(c, [(-10, 640), (300, 600), (700, 660), (1130, 610)], p.HILL)
        p.boat(c, 560, 540, 60)
        p.house(c, 20, 740, 260, 300, p.WALL_ROSE)
        p.house(c, 300, 740, 200, 170, p.WALL_BLUE, gable=False)
        p.house(c, 830, 740, 270, 320, p.WALL_CREAM)
        p.tree(c, 690, 745, 80)
        p.land(c, [(-10, 745), (600, 735), (1130, 745)], p.GRASS)
        p.street(c, 800)
        p.wall(c, 560, 780, 220, 80)
        p.fence(c, 300, 795, 200, 60)
        p.bunting(c, (250, 330), (860, 300), 60, 8, 44)
    with s.panel(60, 1010, 1120, 680) as c:
        p.bakery(c, 470)
        p.window(c, 640, 110, 240, 200)
        c.shape(box(-10, 380, 420, 200), p.WOOD, 2.8)
        c.shape(box(-10, 366, 440, 26), p.STONE, 2.6)
        p.loaf(c, 160, 366, 60)
        c.shape(box(1000, 130, 130, 344), p.SHUTTER, 2.6)


PAGES: tuple[Callable[[Sheet], None], ...] = (page_1, page_2, page_3, page_4, page_5, page_6, page_7, page_8)
REFERENCES: dict[str, Callable[[Sheet], None]] = {"cast": cast_sheet, "places": places_sheet}
