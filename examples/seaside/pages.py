"""The story: "The Runaway Kite", a cover, eight pages and two reference sheets."""

from __future__ import annotations

from contextlib import contextmanager
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
"""Page pixels: A4 at 150 dpi, the size at which comics are commonly passed around."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 64, 1176, 1690
_GUTTER = 22


class Sheet:
    """One page being drawn: panels are scenes of their own, laid on the paper and framed."""

    def __init__(self, *, colour: bool) -> None:
        self.paper = Canvas(WIDTH, HEIGHT, colour=colour)

    @contextmanager
    def panel(
        self, x: float, y: float, w: float, h: float, cut: ArrayLike | None = None, frame: float = 4
    ) -> Iterator[Canvas]:
        """A canvas of `w` by `h` with its own origin; `cut` is the frame in page pixels where it is no box."""
        scene = Canvas(int(w), int(h), colour=self.paper.colour)
        yield scene
        self.paper.paste(
            scene, int(x), int(y), box(int(x), int(y), int(w), int(h)) if cut is None else points(cut), frame
        )


def _speed(c: Canvas, y: float, x0: float, x1: float) -> None:
    """Speed lines behind something that moves."""
    for k in range(7):
        yy = y + k * 22 + 9 * np.sin(k * 2.4)
        c.flick([(x1 - 40 * ((k * 0.618) % 1), yy), (x0 + 60 * ((k * 0.382) % 1), yy + 3)], 2.2)


def _burst(c: Canvas, x: float, y: float, inner: float) -> None:
    """Lines of attention from the panel's edge towards (x, y), stopping `inner` before it."""
    outer = float(np.hypot(c.width, c.height))
    for k in range(64):
        a = k * 2 * np.pi / 64 + 0.03 * np.sin(k * 5.1)
        r = inner * (1.0 + 0.3 * ((k * 0.618) % 1))
        d = np.array([np.cos(a), np.sin(a)])
        c.flick([np.array([x, y]) + d * outer, np.array([x, y]) + d * r], 5)


def page_1(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    with s.panel(_LEFT, _TOP, w, 900) as c:
        p.sky(c)
        p.cloud(c, 250, 210, 62)
        p.cloud(c, 890, 330, 46)
        p.sea(c, 470, waves=16)
        p.lighthouse(c, 985, 520, 250)
        p.boat(c, 640, 540, 26)
        p.land(c, [(-10, 500), (180, 505), (420, 560), (700, 600), (1130, 590)], p.HILL)
        p.village(c, 60, 590, 560, 78)
        p.tree(c, 1010, 690, 74)
        p.land(c, [(-10, 640), (200, 618), (480, 650), (800, 720), (1130, 700)], p.GRASS)
        for x, y in ((90, 760), (330, 840), (700, 830), (960, 800), (1040, 860)):
            p.grass(c, x, y, 20)
        mara = figure(
            c,
            MARA,
            Pose(
                yaw=0.55,
                turn=0.5,
                tilt=-10,
                arm_near=(-168, -174),
                arm_far=(150, 172),
                hand_near="fist",
                hand_far="fist",
                wind=-0.5,
                face="joy",
            ),
            (330, 850),
            470,
        )
        kite(c, (mara.hand_far[0] + 10, mara.hand_far[1] - 70), 105, angle=8, tail=0.62)
        tomo = figure(
            c,
            TOMO,
            Pose(
                yaw=0.6,
                turn=0.6,
                arm_near=(30, 95),
                arm_far=(40, 100),
                hand_near="fist",
                hand_far="fist",
                face="smile",
            ),
            (770, 870),
            480,
            flip=True,
        )
        spool = tomo.hand_far
        c.shape(box(spool[0] - 34, spool[1] - 16, 30, 40), p.WOOD, 2.4)
        c.curve(
            [(spool[0] - 20, spool[1]), (560, 620), (mara.hand_far[0] + 20, mara.hand_far[1] - 40)],
            1.6,
            taper=0.1,
        )
        cat(c, (540, 872), 42, yaw=0.2)
        c.caption("SATURDAY,\nAFTER THE RAIN.", 26, 24, size=27)
    y, h = _TOP + 900 + _GUTTER, _BOTTOM - _TOP - 900 - _GUTTER
    third = (w - 2 * _GUTTER) / 3
    with s.panel(_LEFT, y, third, h) as c:
        p.sky(c)
        p.cloud(c, 90, 420, 50)
        marks = bust(c, MARA, Pose(yaw=0.4, wind=-0.4, face="joy"), (165, 420), 118)
        c.balloon("READY?", (210, 110), tail=(marks.mouth[0] + 20, 270), size=32)
    with s.panel(_LEFT + third + _GUTTER, y, third, h) as c:
        p.sky(c)
        p.land(c, [(-10, 470), (200, 440), (400, 470)], p.HILL)
        bust(c, TOMO, Pose(yaw=0.5, face="smile"), (190, 400), 112, flip=True)
        c.balloon("ALWAYS!", (150, 100), tail=(165, 240), size=32)
    with s.panel(_LEFT + 2 * (third + _GUTTER), y, third, h) as c:
        p.sky(c)
        p.cloud(c, 260, 600, 60)
        kite(c, (200, 230), 120, angle=-18, string=[(170, 420), (60, 700)])
        p.gull(c, 300, 90, 22)
        p.gull(c, 90, 470, 16)
        c.sound("WHOOSH", (180, 590), 62, angle=-12)


def page_2(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    with s.panel(_LEFT, _TOP, w * 0.58, 560) as c:
        p.sky(c)
        p.cloud(c, 470, 190, 48)
        p.land(c, [(-10, 430), (300, 400), (700, 440)], p.GRASS)
        marks = figure(
            c,
            TOMO,
            Pose(
                lean=-16,
                yaw=0.5,
                tilt=-14,
                turn=0.6,
                arm_near=(118, 128),
                arm_far=(124, 132),
                leg_near=(24, 4),
                leg_far=(38, 22),
                hand_near="fist",
                hand_far="fist",
                face="grit",
            ),
            (200, 530),
            430,
        )
        c.line(spline([marks.hand_far, (480, 110), (720, -10)]), 1.8, taper=0.1)
        figure(
            c,
            MARA,
            Pose(yaw=0.5, tilt=-18, turn=0.5, wind=0.6, face="worry", arm_near=(-30, -10)),
            (530, 545),
            400,
            flip=True,
        )
        c.balloon("IT'S PULLING\nHARD!", (170, 90), tail=(260, 210), size=27)
    with s.panel(_LEFT + w * 0.58 + _GUTTER, _TOP, w * 0.42 - _GUTTER, 560) as c:
        c.fill(box(-5, -5, 900, 900), PAPER)
        _burst(c, 220, 300, 170)
        c.line(spline([(-10, 560), (110, 400), (196, 312)]), 7, taper=0.3)
        c.line(spline([(244, 286), (330, 210), (470, 30)]), 7, taper=0.3)
        for a, b in (
            ((196, 312), (180, 270)),
            ((196, 312), (222, 330)),
            ((196, 312), (214, 286)),
            ((244, 286), (236, 252)),
            ((244, 286), (268, 310)),
        ):
            c.flick(spline([a, ((a[0] + b[0]) / 2 + 6, (a[1] + b[1]) / 2), b]), 4)
        c.sound("TWANG!", (225, 440), 92, angle=-14)
    y = _TOP + 560 + _GUTTER
    with s.panel(_LEFT, y, w, 360) as c:
        p.sky(c)
        bust(c, MARA, Pose(yaw=0.35, face="shock", wind=-0.5), (300, 190), 138)
        bust(c, TOMO, Pose(yaw=0.35, face="shock"), (760, 195), 132, flip=True)
        cat(c, (545, 470), 62, mood="wide", yaw=0.0)
    y += 360 + _GUTTER
    h = _BOTTOM - y
    with s.panel(_LEFT, y, w, h) as c:
        p.sky(c)
        p.cloud(c, 260, 150, 55)
        p.cloud(c, 640, 230, 38)
        p.sea(c, 300, waves=14)
        p.lighthouse(c, 160, 340, 180)
        p.land(c, [(-10, 380), (260, 360), (640, 400), (1130, 330)], p.HILL)
        p.village(c, 40, 470, 1050, 100)
        p.land(c, [(-10, 505), (300, 470), (700, 540), (1130, 480)], p.GRASS)
        kite(c, (930, 150), 92, angle=38, string=[(820, 250), (760, 200), (700, 290)])
        figure(c, TOMO, Pose(**{**RUN_2.__dict__, "face": "shock"}), (330, 640), 260)
        figure(c, MARA, Pose(**{**RUN.__dict__, "face": "grit"}), (560, 645), 260)
        cat(c, (860, 650), 26, "run", mood="wide")
        c.balloon("OUR KITE!", (300, 300), tail=(545, 410), size=28, shout=True)


def page_3(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    with s.panel(_LEFT, _TOP, w, 690) as c:
        p.sky(c)
        p.cloud(c, 560, 130, 50)
        p.sea(c, 330, 420, waves=6)
        p.street(c, 470)
        p.house(c, -60, 490, 300, 330, p.WALL_ROSE, gable=True)
        p.house(c, 252, 480, 210, 230, p.WALL_BLUE, gable=False)
        p.house(c, 850, 495, 320, 360, p.WALL_CREAM, gable=True)
        p.house(c, 660, 482, 180, 210, p.WALL_ROSE, gable=False)
        p.bunting(c, (240, 170), (850, 150), 60, 9, 34)
        p.lamp(c, 600, 500, 260)
        kite(c, (560, 210), 50, angle=50, tail=0.8)
        _speed(c, 470, 20, 150)
        figure(c, TOMO, RUN_2, (320, 650), 370)
        figure(c, MARA, Pose(**{**RUN.__dict__, "face": "joy"}), (620, 660), 370)
        cat(c, (940, 668), 38, "run")
        c.balloon("LEFT, AT\nTHE LAMP!", (250, 120), tail=(360, 290), size=26)
    y = _TOP + 690 + _GUTTER
    h = 440
    slant = 70
    left = w * 0.5
    cut = [(_LEFT, y), (_LEFT + left + slant, y), (_LEFT + left - slant, y + h), (_LEFT, y + h)]
    with s.panel(_LEFT, y, left + slant, h, cut) as c:
        _speed(c, 40, -10, 260)
        _speed(c, 250, -10, 200)
        bust(
            c,
            MARA,
            Pose(yaw=0.85, turn=0.85, lean=18, face="grit", wind=-0.9, arm_near=(-50, 30)),
            (330, 190),
            125,
        )
    cut = [
        (_LEFT + left + slant + _GUTTER, y),
        (_RIGHT, y),
        (_RIGHT, y + h),
        (_LEFT + left - slant + _GUTTER, y + h),
    ]
    with s.panel(_LEFT + left - slant, y, w - left + slant, h, cut) as c:
        p.sky(c)
        p.house(c, 30, 480, 220, 200, p.WALL_CREAM, gable=False, door=False)
        p.house(c, 320, 480, 330, 190, p.WALL_BLUE, gable=False, door=False)
        cat(c, (360, 225), 40, "run", mood="happy", angle=-8)
        c.sound("HOP", (470, 90), 58, angle=-10)
    y += h + _GUTTER
    h = _BOTTOM - y
    with s.panel(_LEFT, y, 330, h) as c:
        p.sky(c)
        kite(c, (170, 150), 88, angle=28, tail=0.9)
        c.line([(-10, 390), (340, 350)], 1.8, taper=0)
        c.shape([(70, 382), (150, 372), (156, 470), (66, 474)], PAPER, 2.4)
        c.shape([(200, 366), (290, 356), (300, 440), (250, 450), (244, 410), (204, 450)], p.WALL_ROSE, 2.4)
    with s.panel(_LEFT + 330 + _GUTTER, y, w - 330 - _GUTTER, h) as c:
        p.sky(c)
        p.sea(c, 110, waves=10)
        p.wall(c, -10, 290, 900, 240)
        figure(
            c,
            MARA,
            Pose(
                behind=True,
                yaw=0,
                turn=0.2,
                arm_near=(-150, -160),
                arm_far=(24, 8),
                hand_near="open",
                wind=-0.4,
            ),
            (240, 470),
            400,
        )
        figure(
            c,
            TOMO,
            Pose(behind=True, yaw=0, turn=0.2, arm_near=(-30, 20), arm_far=(30, -20)),
            (470, 474),
            410,
        )
        c.balloon("IT WENT INTO\nTHE HARBOUR!", (620, 80), tail=(520, 150), size=25)


def page_4(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    with s.panel(_LEFT, _TOP, w * 0.4, 480) as c:
        p.sky(c)
        p.house(c, 30, 430, 360, 330, p.WALL_ROSE, gable=False)
        p.street(c, 430)
        c.shape(box(80, 252, 150, 44), p.WOOD, 2.4)
        c.letters("BAKERY", (155, 274), 28)
        kite(c, (350, 90), 62, angle=44, tail=0.7)
    with s.panel(_LEFT + w * 0.4 + _GUTTER, _TOP, w * 0.6 - _GUTTER, 480) as c:
        p.sky(c)
        bust(c, TOMO, Pose(yaw=0.6, face="joy", arm_far=(120, 128), hand_far="open"), (200, 260), 115)
        bust(c, MARA, Pose(yaw=0.3, face="worry"), (485, 285), 112, flip=True)
        c.balloon("SHORT CUT!", (340, 70), tail=(270, 170), size=28)
    y, h = _TOP + 480 + _GUTTER, 640
    with s.panel(_LEFT, y, w, h) as c:
        p.bakery(c, 440)
        p.window(c, 620, 70, 300, 220, shutters=False)
        c.shape(box(980, 110, 150, 334), p.SHUTTER, 2.6)
        c.shape(box(1000, 140, 110, 130), p.GLASS, 2.2)
        counter = box(-10, 380, 420, 190)
        c.shape(counter, p.WOOD, 2.8)
        c.shape(box(-10, 366, 440, 26), p.STONE, 2.6)
        c.hatch(box(-4, 396, 404, 60), angle=70, spacing=14, width=1.6)
        for k in range(3):
            p.loaf(c, 70 + 120 * k, 366, 46)
        _speed(c, 350, 430, 520)
        figure(c, TOMO, Pose(**{**RUN_2.__dict__, "face": "worry"}), (610, 620), 400)
        figure(c, MARA, Pose(**{**RUN.__dict__, "face": "shock"}), (890, 625), 400)
        c.balloon("SORRY!", (480, 70), tail=(620, 190), size=30)
        c.balloon("GOOD\nMORNING!", (1010, 80), tail=(960, 200), size=26)
    y += h + _GUTTER
    h = _BOTTOM - y
    third = (w - 2 * _GUTTER) / 3
    with s.panel(_LEFT, y, third, h) as c:
        c.fill(box(-5, -5, 500, 600), p.WALL_CREAM)
        c.shape(box(-10, 300, 500, 220), p.WOOD, 2.8)
        p.loaf(c, 245, 300, 70)
        cat(c, (110, 420), 74, yaw=0.7, mood="wide")
    with s.panel(_LEFT + third + _GUTTER, y, third, h) as c:
        c.fill(box(-5, -5, 500, 600), PAPER)
        _burst(c, 178, 230, 150)
        c.sound("SNATCH!", (180, 220), 66, angle=-16)
    with s.panel(_LEFT + 2 * (third + _GUTTER), y, third, h) as c:
        p.sky(c)
        p.street(c, 330)
        p.house(c, -140, 340, 300, 300, p.WALL_ROSE, gable=False, shutters=False)
        centre = cat(c, (235, 420), 46, "run", mood="happy")
        p.loaf(c, centre[0] + 34, centre[1] + 44, 34)


def page_5(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    h = _BOTTOM - _TOP
    tall = w * 0.44
    with s.panel(_LEFT, _TOP, tall, h) as c:
        p.sky(c)
        p.cloud(c, 110, 700, 52)
        p.cloud(c, 400, 430, 40)
        p.sea(c, 1130, waves=20)
        c.tone(box(-5, 1132, c.width + 10, 500), pitch=13, radius=2.1)
        p.lighthouse(c, 410, 1170, 200)
        mast = p.boat(c, 235, 1440, 118, mast=9.4)
        kite(c, (mast[0] + 26, mast[1] + 30), 100, angle=18, tail=0.8)
        p.gull(c, 90, 240, 26)
        p.gull(c, 390, 170, 20)
    x, rw = _LEFT + tall + _GUTTER, w - tall - _GUTTER
    with s.panel(x, _TOP, rw, 500) as c:
        p.sky(c)
        p.sea(c, 300, waves=8)
        p.pier(c, 400, 60, 560)
        figure(c, TOMO, Pose(**{**POINT_UP.__dict__, "face": "shock"}), (420, 480), 400, flip=True)
        figure(
            c,
            MARA,
            Pose(yaw=0.6, tilt=-16, face="worry", wind=0.4, arm_near=(-20, 30)),
            (200, 488),
            390,
            flip=True,
        )
        c.balloon("UP THERE!", (470, 60), tail=(400, 130), size=28)
    with s.panel(x, _TOP + 500 + _GUTTER, rw, 400) as c:
        bust(c, MARA, Pose(yaw=0.5, tilt=-6, face="sad"), (200, 230), 128, flip=True)
        c.tone(box(-5, 300, 360, 110), pitch=11, radius=1.7)
        bust(c, TOMO, Pose(yaw=0.2, face="worry"), (470, 250), 118, flip=True)
        c.balloon("WE'LL NEVER\nREACH IT.", (330, 66), tail=(240, 150), size=26)
    y = _TOP + 900 + 2 * _GUTTER
    with s.panel(x, y, rw, _BOTTOM - y) as c:
        _burst(c, 300, 360, 300)
        cat(c, (250, 800), 150, yaw=0.25, mood="cross")
        c.balloon("MRROW.", (470, 90), tail=(400, 230), size=34)


def page_6(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    with s.panel(_LEFT, _TOP, w * 0.36, 1000) as c:
        p.sky(c)
        p.cloud(c, 90, 560, 50)
        p.cloud(c, 330, 240, 44)
        c.shape(box(190, -10, 40, 1030), p.WOOD, 2.8)
        for k in range(9):
            c.line([(192, 60 + 110 * k), (228, 52 + 110 * k)], 1.8)
        c.hatch(box(214, -5, 15, 1020), angle=0, spacing=12, width=1.4)
        c.line([(210, -10), (400, 1010)], 1.8, taper=0)
        cat(c, (240, 640), 60, "cling", angle=-84, mood="cross")
        c.sound("SCRITCH", (120, 860), 52, angle=-70)
    x, rw = _LEFT + w * 0.36 + _GUTTER, w * 0.64 - _GUTTER
    with s.panel(x, _TOP, rw, 470) as c:
        p.sky(c)
        p.sea(c, 330, waves=8)
        p.pier(c, 380, -40, 760)
        figure(
            c,
            MARA,
            Pose(
                yaw=0.4,
                tilt=-20,
                face="shock",
                arm_near=(-140, -175),
                arm_far=(140, 175),
                hand_near="open",
                hand_far="open",
                wind=-0.3,
                turn=0.3,
            ),
            (210, 460),
            390,
        )
        figure(
            c,
            TOMO,
            Pose(yaw=0.4, tilt=-20, face="shock", arm_near=(-40, 150), arm_far=(40, 150), turn=0.3),
            (490, 462),
            400,
            flip=True,
        )
        c.balloon("PIP!", (355, 70), tail=(270, 140), size=36, shout=True)
    with s.panel(x, _TOP + 470 + _GUTTER, rw, 1000 - 470 - _GUTTER) as c:
        p.sky(c)
        p.cloud(c, 560, 420, 60)
        c.shape(box(430, 60, 46, 500), p.WOOD, 2.8)
        kite(c, (455, 170), 170, angle=24, tail=0.5)
        centre = cat(c, (250, 590), 92, "sit", yaw=0.9, mood="wide", angle=8)
        c.sound("PAF", (600, 130), 70, angle=12)
        del centre
    y = _TOP + 1000 + _GUTTER
    h = _BOTTOM - y
    with s.panel(_LEFT, y, w, h) as c:
        p.sky(c)
        p.cloud(c, 190, 220, 62)
        p.cloud(c, 930, 480, 54)
        p.cloud(c, 980, 160, 36)
        for k in range(9):
            c.flick([(430 + 60 * k, -5), (400 + 60 * k, 90 + 60 * ((k * 0.618) % 1))], 2.4)
        kite(c, (690, 190), 130, angle=64, tail=0.8)
        cat(c, (540, 430), 78, "run", mood="wide", angle=14)
        c.sound("SNAP!", (900, 340), 84, angle=-10)


def page_7(s: Sheet) -> None:
    w, h = _RIGHT - _LEFT, _BOTTOM - _TOP
    with s.panel(_LEFT, _TOP, w, h) as c:
        p.sky(c)
        p.cloud(c, 210, 300, 80)
        p.cloud(c, 900, 240, 66)
        p.cloud(c, 560, 620, 48)
        p.sea(c, 880, waves=26)
        p.lighthouse(c, 960, 930, 340)
        p.boat(c, 330, 1010, 60, mast=5)
        p.village(c, -30, 900, 190, 76)
        p.pier(c, 1240, 60, 1060)
        kite(c, (500, 260), 190, angle=14, tail=0.9)
        cat(c, (640, 590), 84, "run", mood="happy", angle=-4)
        for k in range(8):
            c.flick([(130 + 40 * k, 690 + 14 * (k % 3)), (70 + 44 * k, 800 + 20 * (k % 2))], 2.6)
        figure(
            c,
            MARA,
            Pose(
                yaw=0.5,
                tilt=-24,
                turn=0.35,
                face="joy",
                arm_near=(-128, -170),
                arm_far=(128, 170),
                hand_near="open",
                hand_far="open",
                leg_near=(-16, -8),
                leg_far=(18, 10),
                wind=-0.5,
            ),
            (380, 1530),
            640,
        )
        figure(
            c,
            TOMO,
            Pose(
                yaw=0.5,
                tilt=-20,
                turn=0.35,
                face="joy",
                arm_near=(-140, -160),
                arm_far=(110, 160),
                hand_near="open",
                hand_far="open",
                leg_near=(-12, -4),
                leg_far=(20, 14),
            ),
            (790, 1540),
            650,
            flip=True,
        )
        c.sound("FWOOOSH", (800, 720), 110, angle=-10)
        c.balloon("JUMP, PIP!", (150, 820), tail=(290, 960), size=34, shout=True)
    with s.panel(_RIGHT - 330, _BOTTOM - 330, 350, 350, frame=5) as c:
        c.fill(box(-5, -5, 400, 400), PAPER)
        _burst(c, 175, 190, 150)
        cat(c, (160, 420), 92, yaw=0.3, mood="happy")
        c.letters("GOT HIM!", (175, 40), 34)


def page_8(s: Sheet) -> None:
    w = _RIGHT - _LEFT
    half = (w - _GUTTER) / 2
    with s.panel(_LEFT, _TOP, half, 500) as c:
        p.sky(c)
        p.sea(c, 380, waves=6)
        figure(
            c,
            MARA,
            Pose(yaw=0.4, face="joy", arm_near=(20, 100), arm_far=(10, 118), turn=0.3),
            (270, 640),
            620,
        )
        cat(c, (300, 450), 56, yaw=0.1, mood="happy")
        c.balloon("WHO'S A BRAVE\nPIRATE?", (390, 80), tail=(340, 150), size=25)
    with s.panel(_LEFT + half + _GUTTER, _TOP, half, 500) as c:
        p.sky(c)
        p.cloud(c, 110, 130, 44)
        marks = figure(
            c,
            TOMO,
            Pose(
                yaw=0.45,
                face="calm",
                arm_near=(24, 110),
                arm_far=(30, 118),
                hand_near="fist",
                hand_far="fist",
            ),
            (330, 620),
            600,
            flip=True,
        )
        c.line(spline([marks.hand_near, marks.hand_far]), 4)
        kite(c, (150, 380), 92, angle=-24, tail=0.5)
        c.balloon("DOUBLE KNOT,\nTHIS TIME.", (390, 66), tail=(350, 130), size=25)
    y = _TOP + 500 + _GUTTER
    h = _BOTTOM - y
    with s.panel(_LEFT, y, w, h) as c:
        p.sky(c)
        p.cloud(c, 860, 330, 74)
        p.cloud(c, 200, 420, 54)
        p.sea(c, 560, waves=26)
        p.lighthouse(c, 150, 610, 300)
        p.boat(c, 880, 660, 44, mast=4)
        kite(c, (520, 160), 112, angle=20, string=[(500, 420), (640, 760)])
        p.pier(c, 820, 160, 960)
        figure(
            c,
            MARA,
            Pose(behind=True, yaw=0, turn=0.1, arm_near=(-26, 4), arm_far=(20, 40), wind=-0.5),
            (420, 985),
            440,
        )
        marks = figure(
            c,
            TOMO,
            Pose(behind=True, yaw=0, turn=0.1, arm_near=(-60, -150), arm_far=(30, 8), hand_near="fist"),
            (700, 990),
            460,
        )
        cat(c, (555, 1000), 46, behind=True)
        p.gull(c, 700, 440, 22)
        p.gull(c, 780, 400, 15)
        c.caption("AND THE KITE?\nIT STAYED FOR SUPPER.", 700, 40, size=26)
        c.caption("THE END", 950, h - 90, size=30)


def cover(s: Sheet) -> None:
    with s.panel(0, 0, WIDTH, HEIGHT, frame=0.4) as c:
        p.sky(c)
        p.cloud(c, 240, 560, 84)
        p.cloud(c, 1010, 640, 70)
        p.cloud(c, 700, 400, 44)
        p.sea(c, 930, waves=20)
        p.lighthouse(c, 1090, 980, 330)
        p.boat(c, 800, 1030, 44)
        p.land(c, [(-10, 960), (200, 930), (520, 1010), (820, 1130), (1250, 1080)], p.HILL)
        p.village(c, 20, 1090, 700, 130)
        p.tree(c, 1080, 1220, 110)
        p.land(c, [(-10, 1180), (300, 1130), (700, 1200), (1250, 1230)], p.GRASS)
        p.fence(c, -20, 1250, 300, 80)
        for x, y in ((80, 1500), (560, 1660), (1100, 1560), (840, 1700), (240, 1690)):
            p.grass(c, x, y, 30)
        kite(c, (880, 390), 190, angle=24, tail=0.9)
        figure(
            c,
            MARA,
            Pose(**{**RUN.__dict__, "face": "joy", "arm_far": (120, 150), "hand_far": "open"}),
            (640, 1600),
            720,
        )
        figure(c, TOMO, Pose(**{**RUN_2.__dict__, "face": "joy"}), (290, 1610), 700)
        cat(c, (1010, 1640), 66, "run", mood="happy")
        c.sound("THE RUNAWAY", (560, 130), 96, angle=-3, wave=0.06)
        c.sound("KITE", (420, 270), 150, angle=-3, wave=0.06)


def cast_sheet(s: Sheet) -> None:
    """Full figures from the front and from behind, and heads, with every colour of the cast."""
    c = s.paper
    figure(c, MARA, Pose(yaw=0, turn=0), (230, 800), 700)
    figure(c, MARA, Pose(yaw=0, turn=0, behind=True), (560, 560), 420)
    figure(c, TOMO, Pose(yaw=0, turn=0), (960, 800), 720)
    figure(c, TOMO, RUN_2, (620, 960), 380)
    head(c, Frame((230, 1010), 130), MARA, Pose(yaw=0.5, face="joy"))
    head(
        c,
        Frame((960, 1010), 125),
        TOMO,
        Pose(yaw=0.5, face="joy"),
    )
    cat(c, (240, 1500), 92, "sit")
    cat(c, (720, 1480), 62, "walk")
    kite(c, (1030, 1340), 130, angle=12, tail=0.8)


def places_sheet(s: Sheet) -> None:
    """Every colour of the places: a street by the harbour, and the bakery."""
    with s.panel(60, 60, 1120, 920) as c:
        p.sky(c)
        p.cloud(c, 300, 160, 60)
        p.sea(c, 420, waves=12)
        p.lighthouse(c, 720, 470, 300)
        p.boat(c, 540, 560, 60)
        p.land(c, [(-10, 640), (300, 600), (700, 640), (1130, 610)], p.HILL)
        p.house(c, 20, 740, 260, 300, p.WALL_ROSE)
        p.house(c, 300, 740, 220, 200, p.WALL_BLUE, gable=False)
        p.house(c, 820, 740, 270, 320, p.WALL_CREAM)
        p.tree(c, 680, 740, 90)
        p.land(c, [(-10, 745), (600, 735), (1130, 745)], p.GRASS)
        p.street(c, 800)
        p.wall(c, 560, 770, 200, 70)
        p.fence(c, 300, 790, 200, 60)
        p.crate(c, 900, 880, 90)
    with s.panel(60, 1010, 1120, 680) as c:
        p.bakery(c, 470)
        p.window(c, 620, 90, 280, 220)
        c.shape(box(-10, 380, 420, 200), p.WOOD, 2.8)
        c.shape(box(-10, 366, 440, 26), p.STONE, 2.6)
        p.loaf(c, 160, 366, 60)
        c.shape(box(980, 130, 150, 344), p.SHUTTER, 2.6)


PAGES: tuple[Callable[[Sheet], None], ...] = (page_1, page_2, page_3, page_4, page_5, page_6, page_7, page_8)
REFERENCES: dict[str, Callable[[Sheet], None]] = {"cast": cast_sheet, "places": places_sheet}
