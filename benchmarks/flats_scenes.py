"""Pages with much on them: figures in places that are seen from near and far, with lines within what is one colour.

    python benchmarks/flats_scenes.py SPRITES OUT --style bodies --series 2

writes a few series as PNG files. Places are those of flats_worlds.py, figures those of flats_styles.py. Hair is curls or strands, cloth has folds and hatching,
each surface of a character always in the same way; people stand far off, run past, are seen from behind or cut off by the frame. The
same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats_drawings as drawings
from benchmarks import flats_effects as effects
from benchmarks import flats_styles as styles
from benchmarks import flats_worlds as worlds
from benchmarks.flats_cast import animal, person, thing
from benchmarks.flats_drawer import MATERIALS, World
from benchmarks.flats_pen import Pen
from numpy.typing import NDArray

Page = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Mask = NDArray[np.uint8]
Who = int | dict[str, Any]
"""A character of the style, by its number, or somebody or something of flats_drawings.py."""


class Surface(IntEnum):
    """What is drawn on a surface of a figure."""

    BARE = 0
    CURLS = 1
    STRANDS = 2
    FOLDS = 3
    HATCHED = 4
    SPOTS = 5


OFTEN = (0.42, 0.12, 0.14, 0.2, 0.06, 0.06)
"""How often a surface is each of these."""
BRIGHT = 240
"""Red, green and blue of a place's colours together: what is darker is taken for ink."""
FOCUS, NOWHERE = 0.06, 0.04
"""Share of the panels with lines that run to one place, and of those with nothing behind the figures."""
LEAST = 0.015
"""Of a figure's area: smaller fills stay bare."""


@dataclass(frozen=True)
class Scenes:
    """A series: who is in it, where it plays, and how boldly figures are outlined."""

    made: styles.Cast
    world: World
    bold: float
    """Width of the outline of a figure in the foreground, of that of the pen."""
    own: bool
    """Whether people of flats_drawings.py are in it beside those of the style."""


def scenes(made: styles.Cast) -> Scenes:
    rng = np.random.default_rng([sum(made.style.encode()), made.number, 5])
    colors = [color for color in drawings.colors_of(rng, 3 * len(MATERIALS)) if sum(color) > BRIGHT]
    world = worlds.world(rng, colors[: len(MATERIALS)])
    return Scenes(made, world, 1 + world.ranks * float(rng.uniform(0, 0.8)), bool(rng.random() < 0.35))


def inner_lines(seen: styles.Figure, identity: list[int], rng: np.random.Generator) -> Mask:
    """Thin lines within the fills of a figure, (h, w), 255 where one is; what kind a fill has goes by who it is."""
    out = np.zeros(seen.there.shape, np.uint8)
    code = np.where(seen.there, seen.rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32), -1)
    size = float(max(seen.there.shape))
    values, counts = np.unique(code[seen.there], return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        own = np.random.default_rng([*identity, value])
        surface, coarse = Surface(own.choice(len(OFTEN), p=OFTEN)), float(own.uniform(0.6, 1.6))
        if count < LEAST * seen.there.sum() or surface is Surface.BARE:
            continue
        ys, xs = np.nonzero(code == value)
        lines = np.zeros_like(out)
        amount = float(np.sqrt(count)) / size
        for _ in range(1 + int(rng.poisson(amount * (70 if surface is Surface.CURLS else 25) / coarse))):
            at = int(rng.integers(len(xs)))
            _mark(lines, surface, float(xs[at]), float(ys[at]), coarse * size, rng)
        out |= np.where(code == value, lines, 0).astype(np.uint8)
    return out


def _mark(lines: Mask, surface: Surface, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    def draw(points: NDArray[np.float64]) -> None:
        cv2.polylines(lines, [np.rint(points * 16).astype(np.int32)], False, 255, 2, cv2.LINE_8, 4)

    at = np.linspace(0, 1, 12)
    if surface is Surface.CURLS:
        r, first = size * float(rng.uniform(0.02, 0.045)), float(rng.uniform(0, 2 * np.pi))
        angle = first + at * float(rng.uniform(2.4, 5.2))
        draw(np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], 1))
    elif surface is Surface.STRANDS:
        long, sway = size * float(rng.uniform(0.05, 0.2)), size * float(rng.normal(0, 0.015))
        draw(np.stack([x + sway * np.sin(3 * at), y + long * (at - 0.3)], 1))
    elif surface is Surface.FOLDS:
        long, turn = size * float(rng.uniform(0.02, 0.07)), float(rng.uniform(0, 2 * np.pi))
        c, s = np.cos(turn), np.sin(turn)
        draw(long * np.stack([at, 0.4 * at * (1 - at)], 1) @ np.array([[c, s], [-s, c]]) + (x, y))
    elif surface is Surface.HATCHED:
        for k in range(int(rng.integers(3, 9))):
            draw(np.array([(x + 0.008 * k * size, y), (x + (0.008 * k + 0.015) * size, y - 0.03 * size)]))
    else:
        r = size * float(rng.uniform(0.006, 0.014))
        draw(np.stack([x + r * np.cos(2 * np.pi * at), y + r * np.sin(2 * np.pi * at)], 1))


def page(of: Scenes, number: int) -> Page:
    """Line art (h, w) and coloured page (h, w, 3) of one page of a series."""
    rng = np.random.default_rng([sum(of.made.style.encode()), of.made.number, number, 6])
    w, h = int(rng.integers(800, 1050)), int(rng.integers(1050, 1400))
    line = of.made.world.line
    out = Pen(w, h, line, 0, 0)
    for x0, y0, x1, y1 in drawings.panels(rng, w, h, (1, 4), 8):
        panel = Pen(x1 - x0, y1 - y0, line, of.made.world.wobble, float(rng.uniform(0, 6)))
        _scene(panel, rng, of)
        drawings.put_panel(out, panel, x0, y0)
    return out.line_art, out.colored


def empty_places(of: Scenes, number: int) -> Page:
    """The same of the places with nobody in them, all seen from far, one panel below the other."""
    rng = np.random.default_rng([sum(of.made.style.encode()), of.made.number, number, 7])
    w, h = int(rng.integers(800, 1050)), int(rng.integers(1050, 1400))
    line = of.made.world.line
    out = Pen(w, h, line, 0, 0)
    for place, (x0, y0, x1, y1) in enumerate(drawings.stacked(w, h, len(of.world.kinds))):
        panel = Pen(x1 - x0, y1 - y0, line, of.made.world.wobble, float(rng.uniform(0, 6)))
        worlds.draw(panel, rng, of.world, place, worlds.camera_for(rng, y1 - y0, x1 - x0, wide=True))
        drawings.put_panel(out, panel, x0, y0)
    return out.line_art, out.colored


def model_sheet(of: Scenes, number: int) -> Page:
    """The same of the figures on white, each two or three times."""
    rng = np.random.default_rng([sum(of.made.style.encode()), of.made.number, number, 8])
    w, h, rows = int(rng.integers(800, 1050)), int(rng.integers(900, 1300)), int(rng.integers(*styles.ROWS))
    out = Pen(w, h, of.made.world.line, of.made.world.wobble, float(rng.uniform(0, 6)))
    who: list[Who] = [*range(styles.CHARACTERS), *_others(of)]
    for row in range(rows):
        for slot, k in enumerate(rng.permutation(len(who)).tolist()):
            wide, high = w / len(who), h / rows
            _figure(
                out,
                rng,
                of,
                who[k],
                (slot + 0.5) * wide,
                (row + 0.95) * high,
                min(0.85 * high, 1.6 * wide) * float(rng.uniform(0.6, 1.0)),
            )
    return out.line_art, out.colored


def _others(of: Scenes) -> list[dict[str, Any]]:
    """People, animals and things of flats_drawings.py that are in a series, too."""
    kinds = {"animal", "thing", "person"} if of.own else {"animal", "thing"}
    return [it for it in of.made.world.cast if it["kind"] in kinds][:4]


def _scene(panel: Pen, rng: np.random.Generator, of: Scenes) -> None:
    h, w = panel.line_art.shape
    camera = worlds.camera_for(rng, h, w)
    behind = rng.random()
    if behind < FOCUS:
        effects.focus(panel, rng)
    elif behind > FOCUS + NOWHERE:
        worlds.draw(panel, rng, of.world, int(rng.integers(len(of.world.kinds))), camera)
    who: list[Who] = [*range(styles.CHARACTERS), *_others(of)]
    count = int(rng.choice([0, 1, 2, 3, 4], p=[0.12, 0.28, 0.3, 0.2, 0.1]))
    span = w / camera.scale
    for slot, k in enumerate(rng.permutation(len(who))[:count].tolist()):
        tall = camera.scale * float(rng.uniform(0.8, 1.1))
        x = w * (slot + 0.5) / count + w * float(rng.uniform(-0.12, 0.12)) / count
        foot = (
            camera.level + camera.scale * float(rng.uniform(0.15, 0.8))
            if span > 1.5
            else h + tall * float(rng.uniform(-0.1, 0.5))
        )
        _figure(panel, rng, of, who[k], x, max(foot, 0.35 * h), tall)
    if rng.random() < 0.15:
        effects.strings(panel, rng)
    if rng.random() < 0.12:
        _speed(panel, rng)
    if rng.random() < 0.5:
        drawings.letters(panel, rng, w * rng.uniform(0.2, 0.8), h * 0.1, min(w, h) * rng.uniform(0.08, 0.12))


def _speed(panel: Pen, rng: np.random.Generator) -> None:
    """Lines along with what moves."""
    h, w = panel.line_art.shape
    x, y = w * float(rng.uniform(0, 0.7)), h * float(rng.uniform(0.2, 0.8))
    for k in range(int(rng.integers(3, 9))):
        left = x + w * float(rng.uniform(-0.05, 0.05))
        panel.stroke(
            [(left, y + 0.025 * k * h), (left + w * float(rng.uniform(0.08, 0.3)), y + 0.025 * k * h)], 0.6
        )


def _figure(
    panel: Pen, rng: np.random.Generator, of: Scenes, who: Who, x: float, foot: float, tall: float
) -> None:
    """Somebody or something that stands at (x, foot), `tall` pixels for a grown person."""
    width = panel.width
    panel.width = width * of.bold
    if isinstance(who, dict):
        flip = float(rng.choice([-1, 1]))
        r = tall / 7
        if who["kind"] == "person":
            person(
                panel,
                rng,
                who,
                x,
                foot - 5.6 * r,
                r,
                whole=True,
                back=rng.random() < 0.2,
                turn=float(rng.uniform(-1, 1)),
            )
        elif who["kind"] == "animal":
            animal(panel, rng, who, x, foot - 2.2 * r, 0.9 * r, flip)
        else:
            thing(
                panel,
                rng,
                who,
                x,
                foot - r * float(rng.uniform(0.5, 6)),
                r * float(rng.uniform(0.8, 1.6)),
                flip,
            )
    else:
        made = of.made
        identity = [sum(made.style.encode()), made.number, who]
        seen = made.look(who, int(rng.integers(styles.VARIANTS)), back=rng.random() < 0.2)
        lines = inner_lines(seen, identity, rng) if of.world.busy > 0.25 else None
        if made.style in styles.HEADS:
            tall *= 0.62
            foot -= 0.28 * tall
            panel.shape(
                [(x + dx * tall, foot + min(dy, 0.35) * tall) for dx, dy in styles.CHEST],
                made.shirts[who],
            )
        elif made.style != "bodies":
            tall *= 0.8
        styles.put(
            panel,
            seen,
            x,
            foot + 0.02 * tall,
            tall,
            flip=rng.random() < 0.5,
            turn=float(rng.normal(0, 5)),
            lines=lines,
        )
    panel.width = width


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--style", default="bodies")
    parser.add_argument("--series", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for number in range(chosen.series):
        of = scenes(styles.cast(chosen.sprites, chosen.style, number))
        pictures = [page(of, each) for each in range(4)] + [model_sheet(of, 4), empty_places(of, 5)]
        for each, (line, color) in enumerate(pictures):
            name = chosen.out / f"{chosen.style}{number:02}_{each}"
            cv2.imwrite(f"{name}_line.png", line)
            cv2.imwrite(f"{name}_color.png", color[..., ::-1])


if __name__ == "__main__":
    main()
