"""Who and what is drawn: people near and far, front and side, animals and things, each as flats_drawings.series made it up."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.flats_pen import BLACK, WHITE, Pen, ring, scallops, smooth, spikes


def person(
    pen: Pen,
    rng: np.random.Generator,
    who: dict[str, Any],
    x: float,
    y: float,
    r: float,
    *,
    whole: bool,
    back: bool,
    turn: float,
) -> None:
    """`r` is the radius of the head, (x, y) its centre; `turn` from -1 to 1 is how far it looks aside."""
    fat, rx, ry = who["fat"], r * who["face"], r
    neck = y + 0.9 * r
    if who["plain"] and not whole:
        chest(pen, rng, who, x, neck, r)
        head(pen, rng, who, x, y, rx, ry, back=back, turn=turn)
        return
    hip, foot = neck + r * 2.3 / who["big"] * 1.2, neck + r * 4.6 / who["big"]
    half = 0.85 * r * fat
    wide = 0.34 * r * fat
    lean = float(rng.uniform(-0.5, 0.5)) * r
    if whole:
        spread = float(rng.uniform(0.2, 1.6)) * r
        for side in (-1, 1):
            bx = x + lean + side * half * 0.5
            knee = (bx + side * spread * 0.3 + rng.uniform(-0.3, 0.3) * r, (hip + foot) / 2)
            end = (bx + side * spread * 0.6 + rng.uniform(-0.4, 0.4) * r, foot - rng.uniform(0, 0.6) * r)
            long = who["bottom"]
            pen.limb(
                [(bx, hip - 0.2 * r), knee, end],
                0.44 * r * fat,
                who["skin"] if long in (1, 3) else who["legs"],
            )
            if long == 1:
                pen.limb(
                    [(bx, hip - 0.2 * r), ((bx + knee[0]) / 2, (hip + knee[1]) / 2), (knee[0], knee[1])],
                    0.55 * r * fat,
                    who["legs"],
                )
            out = float(np.sign(turn)) if abs(turn) > 0.3 else side
            pen.shape(ring(end[0] + out * 0.2 * r, end[1] + 0.1 * r, 0.5 * r, 0.26 * r), who["shoes"])
        if who["bottom"] == 3:
            pen.shape(
                [
                    (x + lean - half, hip - 0.4 * r),
                    (x + lean + half, hip - 0.4 * r),
                    (x + lean + 1.5 * half, hip + 0.9 * r),
                    (x + lean - 1.5 * half, hip + 0.9 * r),
                ],
                who["legs"],
            )
        else:
            pen.shape(
                [
                    (x + lean - half * 0.95, hip - 0.5 * r),
                    (x + lean + half * 0.95, hip - 0.5 * r),
                    (x + lean + half, hip + 0.25 * r),
                    (x + lean - half, hip + 0.25 * r),
                ],
                who["legs"],
                1,
            )
    arms = []
    for side in (-1, 1):
        sx, sy = x + side * half * 0.95, neck + 0.5 * r
        up = rng.random() < 0.25
        ex, ey = sx + side * rng.uniform(0.1, 1.0) * r, sy + (-0.9 if up else 0.9) * r * rng.uniform(0.4, 1)
        hx, hy = ex + rng.uniform(-1.0, 1.0) * r, ey + (-1 if up else 1) * rng.uniform(-0.2, 1.0) * r
        arms.append(((sx, sy), (ex, ey), (hx, hy), side))

    def arm(a: Any) -> None:
        s, e, hnd, _ = a
        pen.shape(ring(hnd[0], hnd[1], 0.3 * r, 0.28 * r), who["skin"])
        if who["sleeve"] < 1:
            pen.limb([s, e, hnd], wide * 1.1, who["skin"])
            pen.limb([s, ((s[0] + e[0]) / 2, (s[1] + e[1]) / 2)], wide * 1.5, who["top"])
        else:
            pen.limb([s, e, (e[0] * 0.2 + hnd[0] * 0.8, e[1] * 0.2 + hnd[1] * 0.8)], wide * 1.4, who["top"])

    arm(arms[0])
    low = hip + (0.9 * r if who["coat"] in (1, 4) else 0)
    bottom = x + lean
    pen.shape(
        [
            (x - wide, neck - 0.1 * r),
            (x + wide, neck - 0.1 * r),
            (x + wide, neck + 0.6 * r),
            (x - wide, neck + 0.6 * r),
        ],
        who["skin"],
    )
    body = smooth(
        [
            (x - wide * 1.1, neck + 0.2 * r),
            (x - half, neck + 0.45 * r),
            (x - half * 1.05, (neck + hip) / 2),
            (bottom - half * 1.1, low),
            (bottom + half * 1.1, low),
            (x + half * 1.05, (neck + hip) / 2),
            (x + half, neck + 0.45 * r),
            (x + wide * 1.1, neck + 0.2 * r),
        ]
    )
    pen.shape(body, who["top"])
    if who["band"]:
        m = (neck + hip) / 2 + 0.1 * r
        pen.shape(
            [
                (x - half * 1.03, m - 0.3 * r),
                (x + half * 1.03, m - 0.3 * r),
                (x + half * 1.05, m + 0.2 * r),
                (x - half * 1.05, m + 0.2 * r),
            ],
            who["extra2"],
        )
    if not back:
        if who["coat"] == 1:
            pen.stroke([(x, neck + 0.3 * r), (bottom, low)])
            for k in range(3):
                t = 0.3 + 0.25 * k
                pen.dot(x + 0.2 * r + (bottom - x) * t, neck + (low - neck) * t, 0.1 * r, who["extra"])
        elif who["coat"] == 2:
            pen.shape(
                [(x - 0.5 * r, neck + 0.2 * r), (x + 0.5 * r, neck + 0.2 * r), (x, neck + 0.9 * r)],
                who["skin"],
            )
        elif who["coat"] == 3:
            pen.shape(
                [
                    (x - 0.25 * r, neck + 0.25 * r),
                    (x + 0.25 * r, neck + 0.25 * r),
                    (x + 0.15 * r, neck + 1.4 * r),
                    (x - 0.15 * r, neck + 1.4 * r),
                ],
                who["extra"],
            )
        elif who["coat"] == 4:
            pen.stroke([(bottom - half, hip), (bottom + half, hip)])
    for _ in range(int(rng.integers(0, 4))):
        fx, fy = x + rng.uniform(-0.7, 0.7) * half, neck + rng.uniform(0.9, 2.0) * r
        pen.stroke([(fx, fy), (fx + rng.uniform(-0.3, 0.3) * r, fy + 0.4 * r)], 0.6)
    arm(arms[1])
    if who["scarf"]:
        pen.shape(ring(x, neck + 0.15 * r, 0.75 * r, 0.3 * r), who["extra"])
        pen.shape(
            [
                (x + 0.2 * r, neck + 0.3 * r),
                (x + 0.6 * r, neck + 0.3 * r),
                (x + 0.7 * r, neck + 1.3 * r),
                (x + 0.3 * r, neck + 1.35 * r),
            ],
            who["extra"],
        )
    head(pen, rng, who, x, y, rx, ry, back=back, turn=turn)


def chest(pen: Pen, rng: np.random.Generator, who: dict[str, Any], x: float, neck: float, r: float) -> None:
    """Shoulders and a shirt down to the lower edge of the panel, with no arms to be seen."""
    half, wide = 0.8 * r * who["fat"], 0.32 * r * who["fat"]
    low, cut = neck + 6 * r, float(rng.uniform(0.35, 0.6)) * r
    x += float(rng.uniform(-0.12, 0.12)) * r
    box = [
        (x - wide, neck - 0.4 * r),
        (x + wide, neck - 0.4 * r),
        (x + wide, neck + cut),
        (x - wide, neck + cut),
    ]
    if who["sleeve"] < 1:
        pen.shape(box, who["skin"])
    flare = half * float(rng.uniform(1.25, 1.7))
    slope = 0.7 * r if who["curls"] % 2 else 0.35 * r
    pen.shape(
        [
            (x - wide, neck + 0.12 * r),
            (x + wide, neck + 0.12 * r),
            (x + half * 1.1, neck + slope),
            (x + flare * 1.15, low),
            (x - flare * 1.15, low),
            (x - half * 1.1, neck + slope),
        ],
        who["top"],
    )
    if who["coat"] in (2, 5):
        pen.shape(
            [(x - wide, neck + 0.12 * r), (x + wide, neck + 0.12 * r), (x, neck + 0.2 * r + cut)], who["skin"]
        )
    elif who["coat"] == 1:
        pen.stroke([(x, neck + 0.15 * r), (x, low)])
        for k in range(4):
            pen.dot(x + 0.18 * r, neck + (0.5 + 0.5 * k) * r, 0.08 * r, who["extra"])
    elif who["coat"] == 3:
        for side in (-1, 1):
            pen.shape(
                [
                    (x, neck + 0.5 * r),
                    (x + side * 0.1 * r, neck + 0.1 * r),
                    (x + side * 0.55 * r, neck + 0.3 * r),
                ],
                who["extra"],
            )
    if who["band"]:
        m = neck + 1.3 * r
        pen.shape(
            [
                (x - half * 1.12, m),
                (x + half * 1.12, m),
                (x + half * 1.15, m + 0.45 * r),
                (x - half * 1.15, m + 0.45 * r),
            ],
            who["extra2"],
        )
    if who["pocket"]:
        at = x + who["side"] * 0.25 * r
        pen.shape(
            [
                (at, neck + 0.9 * r),
                (at + 0.4 * r, neck + 0.9 * r),
                (at + 0.4 * r, neck + 1.4 * r),
                (at, neck + 1.4 * r),
            ],
            who["extra"],
        )
    for side in (-1, 1):
        if rng.random() < 0.4:
            sx = x + side * half * 0.95
            pen.stroke([(sx, neck + 1.4 * r), (sx + side * 0.05 * r, low)], 0.8)


def head(
    pen: Pen,
    rng: np.random.Generator,
    who: dict[str, Any],
    x: float,
    y: float,
    rx: float,
    ry: float,
    *,
    back: bool,
    turn: float,
) -> None:
    pen.tilt, pen.pivot = float(rng.normal(0, 0.14)), (x, y + ry)
    _head(pen, rng, who, x, y, rx, ry, back=back, turn=turn)
    pen.tilt = 0.0


def _head(
    pen: Pen,
    rng: np.random.Generator,
    who: dict[str, Any],
    x: float,
    y: float,
    rx: float,
    ry: float,
    *,
    back: bool,
    turn: float,
) -> None:
    s, hair = who["style"], who["hair"]
    if s in (0, 1):  # long, straight or flared, behind the face
        k = 1.15 if s == 0 else 1.45
        pen.shape(
            smooth(
                [
                    (x - 1.05 * rx, y),
                    (x - 0.85 * rx, y - 0.95 * ry),
                    (x, y - 1.3 * ry),
                    (x + 0.85 * rx, y - 0.95 * ry),
                    (x + 1.05 * rx, y),
                    (x + k * rx, y + 1.15 * ry),
                    (x - k * rx, y + 1.15 * ry),
                ]
            ),
            hair,
        )
    elif s == 5:
        pen.shape(ring(x - np.sign(turn + 0.01) * 1.1 * rx, y + 0.4 * ry, 0.5 * rx, 1.1 * ry), hair)
    elif s == 6:
        pen.shape(ring(x, y - 1.35 * ry, 0.5 * rx, 0.45 * ry), hair)
    elif s == 8:  # a wave to one side
        pen.shape(
            scallops(x + who["side"] * 0.4 * rx, y + 0.1 * ry, 1.45 * rx, 1.25 * ry, who["curls"] // 2, 0.12),
            hair,
        )
    elif s == 10:
        pen.shape(scallops(x, y - 0.35 * ry, 1.4 * rx, 1.3 * ry, who["curls"] + 3, 0.1), hair)
    elif s == 11:
        for side in (-1, 1):
            for k in range(3):
                pen.shape(
                    ring(x + side * 1.15 * rx, y + (0.1 + 0.5 * k * who["length"]) * ry, 0.3 * rx, 0.33 * ry),
                    hair,
                )
    if back and s != 7:
        shape = (
            scallops(x, y - 0.15 * ry, 1.1 * rx, 1.1 * ry, who["curls"], 0.18)
            if s == 2
            else ring(x, y - 0.1 * ry, 1.05 * rx, 1.1 * ry)
        )
        pen.shape(shape, hair)
        if s in (0, 1):
            for k in range(who["strands"]):
                sx = x + (k - 2) * 0.3 * rx
                pen.stroke([(sx, y - 0.2 * ry), (sx + 0.05 * rx, y + 0.8 * ry)], 0.7)
        curls(pen, rng, who, x, y, rx, ry)
        return
    for side in (-1, 1):
        pen.shape(ring(x + side * rx - turn * 0.3 * rx, y + 0.1 * ry, 0.2 * rx, 0.25 * ry), who["skin"])
    jaw = rng.uniform(0.0, 0.02)
    pen.shape(
        smooth(
            [
                (x - rx, y - 0.2 * ry),
                (x - 0.6 * rx, y - 0.95 * ry),
                (x + 0.6 * rx, y - 0.95 * ry),
                (x + rx, y - 0.2 * ry),
                (x + (0.8 - jaw) * rx, y + 0.6 * ry),
                (x + 0.1 * turn * rx, y + ry),
                (x - (0.8 - jaw) * rx, y + 0.6 * ry),
                (x - rx, y - 0.2 * ry),
            ]
        ),
        who["skin"],
    )
    shift = turn * 0.4 * rx
    mood = int(rng.integers(5))
    for side in (-1, 1):
        ex, ey = x + shift + side * 0.38 * rx * (1 - 0.2 * abs(turn)), y - 0.02 * ry
        if who["shades"]:
            pen.shape(ring(ex, ey, 0.36 * rx, 0.26 * ry), BLACK)
            pen.shape(ring(ex - 0.1 * rx, ey - 0.1 * ry, 0.07 * rx, 0.05 * ry), WHITE, 0.4)
        elif mood == 0:
            pen.stroke(ring(ex, ey, 0.17 * rx, 0.14 * ry, 180, 360))
        elif who["eyes"] == 0:
            pen.dot(ex, ey, 0.1 * rx)
        elif who["eyes"] == 1:
            pen.shape(ring(ex, ey, 0.09 * rx, 0.17 * ry), BLACK, 0.5)
        else:
            pen.shape(ring(ex, ey, 0.2 * rx, (0.24 if who["eyes"] == 2 else 0.16) * ry), WHITE, 0.7)
            pen.dot(ex + rng.uniform(-0.06, 0.06) * rx, ey, 0.09 * rx)
        pen.stroke(
            [
                (ex - 0.2 * rx, ey - 0.33 * ry + rng.uniform(-0.06, 0.06) * ry),
                (ex + 0.2 * rx, ey - 0.33 * ry),
            ],
            1.0,
        )
        if who["brows"]:
            by = ey - 0.4 * ry + float(rng.uniform(-0.08, 0.08)) * ry
            pen.shape(ring(ex, by, 0.24 * rx, who["brows"] * ry), BLACK)
        if who["glasses"]:
            pen.stroke(np.concatenate([ring(ex, ey, 0.3 * rx, 0.3 * ry), [(ex + 0.3 * rx, ey)]]), 1.2)
    if who["nose"] == 1:
        pen.stroke(
            smooth(
                [
                    (x + shift, y + 0.1 * ry),
                    (x + shift + 0.13 * rx, y + 0.3 * ry),
                    (x + shift - 0.05 * rx, y + 0.32 * ry),
                ]
            ),
            0.8,
        )
    elif who["nose"] == 2:
        pen.stroke(ring(x + shift, y + 0.25 * ry, 0.12 * rx, 0.1 * ry, 0, 200), 0.8)
    if mood in (0, 1):
        size = float(rng.uniform(0.8, 1.5))
        pen.shape(
            ring(x + shift, y + 0.45 * ry, 0.3 * size * rx, 0.28 * size * ry, 0, 180), who["mouth"], 0.8
        )
        if rng.random() < 0.5:
            pen.shape(
                ring(x + shift, y + (0.42 + 0.2 * size) * ry, 0.15 * size * rx, 0.08 * size * ry),
                who["tongue"],
                0.6,
            )
        if rng.random() < 0.4:
            wide = 0.2 * size * rx
            teeth = [(x + shift - wide, y + 0.45 * ry), (x + shift + wide, y + 0.45 * ry)]
            pen.shape([*teeth, (teeth[1][0], y + 0.53 * ry), (teeth[0][0], y + 0.53 * ry)], WHITE, 0.6)
    elif mood == 2:
        pen.shape(ring(x + shift, y + 0.55 * ry, 0.13 * rx, 0.15 * ry), who["mouth"], 0.8)
    elif mood == 4 and who["eyes"] == 3:  # lips
        pen.shape(ring(x + shift, y + 0.55 * ry, 0.25 * rx, 0.08 * ry), who["mouth"], 0.7)
    else:
        pen.stroke(
            ring(x + shift, y + 0.45 * ry, 0.3 * rx, 0.14 * ry, 20, 160)
            if mood == 3
            else ring(x + shift, y + 0.65 * ry, 0.3 * rx, 0.12 * ry, 200, 340)
        )
    if who["freckles"]:
        for side in (-1, 1):
            for k in range(3):
                pen.stroke(ring(x + shift + side * (0.4 + 0.1 * k) * rx, y + 0.3 * ry, 1, 1), 0.5)
    if s in (0, 1, 4, 5, 6, 10, 11):
        part = rng.uniform(-0.2, 0.2) + 0.3 * (s % 2)
        pen.shape(
            smooth(
                [
                    (x - 1.04 * rx, y + 0.05 * ry),
                    (x - 1.0 * rx, y - 0.7 * ry),
                    (x - 0.5 * rx, y - 1.15 * ry),
                    (x + 0.5 * rx, y - 1.15 * ry),
                    (x + 1.0 * rx, y - 0.7 * ry),
                    (x + 1.04 * rx, y + 0.05 * ry),
                    (x + 0.7 * rx, y - 0.35 * ry),
                    (x + part * rx, y - 0.62 * ry),
                    (x - 0.7 * rx, y - 0.3 * ry),
                ]
            ),
            hair,
        )
        for k in range(who["strands"]):
            sx = x + (k - 2.5) * 0.3 * rx
            pen.stroke([(sx, y - 1.0 * ry), (sx * 0.9 + x * 0.1, y - 0.75 * ry)], 0.7)
    elif s == 2:
        pen.shape(scallops(x, y - 0.55 * ry, 1.05 * rx, 0.72 * ry, who["curls"], 0.2), hair)
        curls(pen, rng, who, x, y, rx, ry)
    elif s == 8:
        side = who["side"]
        pen.shape(
            smooth(
                [
                    (x - side * 1.05 * rx, y + 0.1 * ry),
                    (x - side * 1.1 * rx, y - 0.7 * ry),
                    (x, y - 1.35 * ry),
                    (x + side * 1.2 * rx, y - 0.8 * ry),
                    (x + side * 1.5 * rx, y + 0.3 * ry),
                    (x + side * 1.2 * rx, y + 0.9 * ry),
                    (x + side * 0.75 * rx, y + 0.2 * ry),
                    (x + side * 0.5 * rx, y - 0.5 * ry),
                    (x - side * 0.4 * rx, y - 0.65 * ry),
                ]
            ),
            hair,
        )
    elif s == 9:  # a curtain of strands
        n = 5 + who["strands"]
        for k in range(n):
            at = x + (2 * (k + 0.5) / n - 1) * rx
            end = y + (0.9 if k in (0, n - 1) else -0.1 + 0.25 * ((k * 7) % 3)) * ry * min(1.0, who["length"])
            pen.shape(
                smooth(
                    [
                        (x + 0.3 * (at - x), y - 1.25 * ry),
                        (at + 1.4 * rx / n, y - 0.6 * ry),
                        (at, end),
                        (at - 1.4 * rx / n, y - 0.6 * ry),
                    ]
                ),
                hair,
            )
    elif s == 12:  # a crest
        pen.shape(
            np.concatenate(
                [
                    spikes(x, y - 0.8 * ry, 0.45 * rx, 0.7 * ry, 6, 0.25, 180, 360),
                    [(x + 0.4 * rx, y - 0.7 * ry), (x - 0.4 * rx, y - 0.7 * ry)],
                ]
            ),
            hair,
        )
    elif s == 3:
        pen.shape(
            np.concatenate(
                [
                    spikes(x, y - 0.3 * ry, 1.05 * rx, 0.95 * ry, 7, 0.3, 180, 360),
                    spikes(x, y - 0.45 * ry, 0.95 * rx, 0.1 * ry, 5, 2.5, 360, 180)[1:-1],
                ]
            ),
            hair,
        )
    if who["hat"]:
        pen.shape(ring(x, y - 0.7 * ry, 1.05 * rx, 0.9 * ry, 180, 360), who["extra"])
        pen.shape(ring(x, y - 0.7 * ry, 1.4 * rx, 0.16 * ry), who["extra2"])


def curls(
    pen: Pen, rng: np.random.Generator, who: dict[str, Any], x: float, y: float, rx: float, ry: float
) -> None:
    if who["style"] == 2:
        for _ in range(6):
            a, k = rng.uniform(0, 360), rng.uniform(0.15, 0.3)
            pen.stroke(
                ring(
                    x + rng.uniform(-0.8, 0.8) * rx,
                    y - rng.uniform(0.4, 1.0) * ry,
                    k * rx,
                    k * rx,
                    a,
                    a + 180,
                ),
                0.7,
            )


def animal(
    pen: Pen, rng: np.random.Generator, it: dict[str, Any], x: float, y: float, r: float, flip: float
) -> None:
    fur, long = it["fur"], it["long"] * flip
    sit = rng.random() < 0.4
    bx, by = x - long * 1.9 * r, y + (1.6 if sit else 0.9) * r
    pen.limb(
        [
            (bx - long * 0.5 * r, by),
            (bx - long * 1.5 * r, by - 0.5 * r),
            (bx - long * (1.2 + rng.random()) * r, by - it["tail"] * 1.5 * r),
        ],
        0.3 * r,
        fur,
    )
    for k in (-1, 0.6):
        pen.limb(
            [(bx + k * 0.8 * r, by + 0.3 * r), (bx + k * 0.8 * r + rng.uniform(-0.4, 0.4) * r, by + 1.4 * r)],
            0.36 * r,
            fur,
        )
    pen.shape(
        ring(
            bx + (0.7 * long * r if sit else 0),
            by,
            (1.0 if sit else 1.5) * r * abs(long),
            (1.3 if sit else 0.8) * r,
        ),
        fur,
    )
    if it["stripes"]:
        for k in range(3):
            pen.stroke([(bx + (k - 1) * 0.5 * r, by - 0.75 * r), (bx + (k - 1) * 0.5 * r, by - 0.3 * r)], 0.8)
    for side in (-1, 1):
        if it["ears"] == 0:
            pen.shape(
                [
                    (x + side * 0.9 * r, y - 0.3 * r),
                    (x + side * 0.85 * r, y - 1.35 * r),
                    (x + side * 0.2 * r, y - 0.8 * r),
                ],
                fur,
            )
        elif it["ears"] == 1:
            pen.shape(ring(x + side * 0.9 * r, y - 0.1 * r, 0.3 * r, 0.75 * r), fur)
        else:
            pen.shape(ring(x + side * 0.6 * r, y - 0.9 * r, 0.35 * r, 0.35 * r), fur)
    pen.shape(ring(x, y, 1.05 * r, 0.92 * r), fur)
    if it["muzzle"]:
        pen.shape(ring(x, y + 0.4 * r, 0.55 * r, 0.4 * r), it["belly"])
    for side in (-1, 1):
        pen.dot(x + side * 0.38 * r, y - 0.1 * r, 0.11 * r)
        pen.stroke([(x + side * 0.5 * r, y + 0.35 * r), (x + side * 1.4 * r, y + 0.3 * r)], 0.5)
    pen.shape(
        [(x - 0.15 * r, y + 0.2 * r), (x + 0.15 * r, y + 0.2 * r), (x, y + 0.35 * r)], (226, 130, 130), 0.6
    )
    pen.stroke(ring(x, y + 0.4 * r, 0.2 * r, 0.15 * r, 0, 180), 0.7)
    if it["bandana"]:
        pen.shape([(x - 0.7 * r, y + 0.75 * r), (x + 0.7 * r, y + 0.75 * r), (x, y + 1.6 * r)], it["collar"])


def thing(
    pen: Pen, rng: np.random.Generator, it: dict[str, Any], x: float, y: float, r: float, flip: float
) -> None:
    a, b, c, what = it["a"], it["b"], it["c"], it["what"]
    if what == "kite":
        t = rng.uniform(-0.5, 0.5)
        p = [
            np.array([np.cos(t + k) * w, np.sin(t + k) * w]) * r + (x, y)
            for k, w in ((-1.57, 1.2), (0, 0.9), (1.57, 1.9), (3.14, 0.9))
        ]
        m = np.array([x, y])
        for i in range(4):
            pen.shape([p[i], p[(i + 1) % 4], m], (a, b)[i % 2])
        pen.stroke(smooth([p[2], p[2] + [20, 0.5 * r], p[2] + [-10, r]]), 0.7)
    elif what == "ball":
        pen.shape(ring(x, y, r, r), a)
        pen.shape(ring(x, y, 0.35 * r, r), b)
    elif what == "box":
        pen.shape([(x - r, y - 0.6 * r), (x + r, y - 0.6 * r), (x + r, y + r), (x - r, y + r)], a)
        pen.shape([(x - r, y - 0.6 * r), (x + r, y - 0.6 * r), (x + 1.3 * r, y - r), (x - 0.7 * r, y - r)], b)
    elif what == "car":
        pen.shape([(x - 0.9 * r, y), (x - 0.5 * r, y - 0.8 * r), (x + 0.6 * r, y - 0.8 * r), (x + r, y)], b)
        pen.shape(
            [(x - 1.8 * r, y), (x + 1.8 * r, y), (x + 1.8 * r, y + 0.7 * r), (x - 1.8 * r, y + 0.7 * r)], a
        )
        for k in (-1, 1):
            pen.shape(ring(x + k * r, y + 0.75 * r, 0.4 * r, 0.4 * r), c)
            pen.shape(ring(x + k * r, y + 0.75 * r, 0.18 * r, 0.18 * r), WHITE)
    elif what == "boat":
        pen.shape([(x - 0.1 * r, y), (x + 0.1 * r, y), (x + 0.1 * r, y - 2 * r), (x - 0.1 * r, y - 2 * r)], b)
        pen.shape(
            [(x + 0.1 * r, y - 1.9 * r), (x + flip * 1.2 * r, y - 0.3 * r), (x + 0.1 * r, y - 0.3 * r)], c
        )
        pen.shape(
            [(x - 1.5 * r, y), (x + 1.5 * r, y), (x + 1.1 * r, y + 0.7 * r), (x - 1.1 * r, y + 0.7 * r)], a
        )
    elif what == "robot":
        pen.shape(
            [(x - 0.8 * r, y), (x + 0.8 * r, y), (x + 0.8 * r, y + 1.6 * r), (x - 0.8 * r, y + 1.6 * r)], a
        )
        pen.shape(
            [(x - 0.6 * r, y - 1.1 * r), (x + 0.6 * r, y - 1.1 * r), (x + 0.6 * r, y), (x - 0.6 * r, y)], b
        )
        for k in (-1, 1):
            pen.dot(x + k * 0.3 * r, y - 0.6 * r, 0.15 * r, c)
        pen.shape(
            [
                (x - 0.4 * r, y + 0.4 * r),
                (x + 0.4 * r, y + 0.4 * r),
                (x + 0.4 * r, y + 0.9 * r),
                (x - 0.4 * r, y + 0.9 * r),
            ],
            c,
        )
    else:
        pen.stroke(ring(x, y - 0.5 * r, 0.5 * r, 0.6 * r, 180, 360), 1.2)
        pen.shape([(x - 0.8 * r, y - 0.5 * r), (x + 0.8 * r, y - 0.5 * r), (x + r, y + r), (x - r, y + r)], a)
        pen.shape([(x - 0.85 * r, y - 0.5 * r), (x + 0.85 * r, y - 0.5 * r), (x, y + 0.3 * r)], b)
