"""Comics that nobody drew: pages of line art with their true colours, for training and tuning the `flats` backend.

    python benchmarks/flats_drawings.py OUT --series 4 --seed 1

writes a few series as PNG files. A series has a cast, places, things, a palette and a pen of its own, all at
random; a page has panels with people near and far, front and side, animals, things, balloons and captions. The
line art and the coloured page are the same drawing. The same seed gives the same bytes.

Nothing here is meant to be pretty, only to be as various as pages are: sizes, poses, widths of lines, open
and closed shapes, white that is paper and white that is a colour.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.flats_cast import animal, head, person, thing
from benchmarks.flats_pen import BLACK, WHITE, Pen, Rgb, ring
from benchmarks.flats_places import Place, backdrop


@dataclass
class Series:
    """All that stays the same from page to page."""

    rng: np.random.Generator
    line: float
    wobble: float
    busts: bool
    """Panels show one or two people from the chest up before plain places; else all that there is, near and far."""
    breaks: float
    """Gaps in the lines, per 1000 pixels of ink."""
    cast: list[dict[str, Any]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


def colors_of(rng: np.random.Generator, n: int) -> list[Rgb]:
    """Colours that can be told apart (mostly): hue, lightness and saturation at random."""
    out: list[Rgb] = []
    while len(out) < n:
        h, s, v = rng.integers(0, 180), rng.integers(30, 230), rng.integers(70, 255)
        rgb = cv2.cvtColor(np.array([[[h, s, v]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        new = (int(rgb[0]), int(rgb[1]), int(rgb[2]))
        if all(sum((a - b) ** 2 for a, b in zip(new, old, strict=True)) > 900 for old in out):
            out.append(new)
    return out


def series(seed: int) -> Series:
    rng = np.random.default_rng(seed)
    made = Series(
        rng,
        float(rng.uniform(1.5, 5)),
        float(rng.choice([0, 0.6, 1.5])),
        bool(rng.random() < 0.5),
        float(rng.choice([0, 0, 0, 0.7])),
    )
    pool = colors_of(rng, 70)
    take = iter(pool)
    skins = [(250, 224, 200), (232, 184, 144), (198, 140, 96), (140, 90, 60), (90, 60, 44)]
    for _ in range(int(rng.integers(2, 6))):
        skin = skins[rng.integers(5)] if rng.random() < 0.8 else next(take)
        made.cast.append(
            {
                "kind": "person",
                "skin": skin,
                "hair": next(take) if rng.random() < 0.9 else WHITE,
                "top": next(take),
                "legs": next(take),
                "shoes": next(take),
                "extra": next(take),
                "style": int(rng.integers(13)),
                "eyes": int(rng.integers(4)),
                "glasses": rng.random() < 0.25,
                "shades": rng.random() < 0.1,
                "brows": float(rng.choice([0, 0, 0.07, 0.12])),
                "coat": int(rng.integers(6)),
                "plain": rng.random() < 0.5,
                "pocket": rng.random() < 0.2,
                "mouth": (int(rng.integers(90, 190)), int(rng.integers(20, 60)), int(rng.integers(30, 80))),
                "tongue": (
                    int(rng.integers(200, 250)),
                    int(rng.integers(90, 140)),
                    int(rng.integers(110, 150)),
                ),
                "freckles": rng.random() < 0.15,
                "bottom": int(rng.integers(4)),
                "sleeve": float(rng.choice([0.35, 1.0, 1.0])),
                "fat": float(rng.uniform(0.75, 1.35)),
                "big": float(rng.uniform(0.8, 1.5)),
                "face": float(rng.uniform(0.85, 1.2)),
                "band": rng.random() < 0.3,
                "scarf": rng.random() < 0.3,
                "nose": int(rng.integers(3)),
                "hat": rng.random() < 0.15,
                "extra2": next(take),
                "curls": int(rng.integers(8, 14)),
                "side": float(rng.choice([-1, 1])),
                "length": float(rng.uniform(0.5, 1.6)),
                "strands": int(rng.integers(0, 6)),
            }
        )
    for _ in range(int(rng.integers(0 if made.busts else 1, 3))):
        made.cast.append(
            {
                "kind": "animal",
                "fur": next(take) if rng.random() < 0.8 else WHITE,
                "belly": next(take),
                "collar": next(take),
                "ears": int(rng.integers(3)),
                "tail": float(rng.uniform(0.5, 1.5)),
                "long": float(rng.uniform(0.8, 1.6)),
                "stripes": rng.random() < 0.5,
                "muzzle": rng.random() < 0.5,
                "bandana": rng.random() < 0.5,
            }
        )
    for _ in range(int(rng.integers(0 if made.busts else 1, 4))):
        made.cast.append(
            {
                "kind": "thing",
                "what": str(rng.choice(["kite", "ball", "box", "car", "boat", "robot", "bag"])),
                "a": next(take),
                "b": next(take),
                "c": next(take),
            }
        )
    for _ in range(int(rng.integers(1, 4))):
        made.places.append(
            Place(
                str(rng.choice(["hills", "sea", "street", "room", "hall", "plain"])),
                [next(take) for _ in range(7)],
                int(rng.integers(1 << 30)),
            )
        )
    return made


def in_uniform(made: Series, seed: int) -> Series:
    """A series in which nothing but the head above it tells whose shirt it is, and nothing but what stands in a place
    what its ground is: all wear one cut, and a room has the colour of the sky."""
    rng = np.random.default_rng([seed, 7])
    coat, fat, slope = (
        int(rng.choice([0, 0, 2, 5, 3])),
        float(rng.uniform(0.85, 1.3)),
        int(rng.integers(8, 14)),
    )
    made.cast = [it for it in made.cast if it["kind"] == "person"]
    for who in made.cast:
        who |= {"plain": True, "coat": coat, "band": False, "pocket": False, "sleeve": 0.35, "fat": fat}
        # Curls are counted for some hair, and their being odd says how shoulders slope.
        who["curls"] = who["curls"] // 2 * 2 + slope % 2 if who["style"] in (2, 8, 10) else slope
    if len(made.places) < 2:
        first = made.places[0]
        made.places.append(Place("plain", list(first.colors), first.seed + 1))
    made.places = made.places[:2]
    outside, inside = made.places
    outside.kind, inside.kind = "hills", "room"
    inside.colors[0] = outside.colors[0]
    return made


def letters(pen: Pen, rng: np.random.Generator, x: float, y: float, r: float) -> None:
    """A balloon or a caption with a few letters in it."""
    text = "".join(rng.choice(list("ABEHKMNORSTW!?"), int(rng.integers(2, 9))))
    scale = r / 60
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, max(2, round(2 * scale)))
    if rng.random() < 0.7:
        pen.shape([(x - 0.2 * w, y), (x + rng.uniform(-1, 1) * w, y + 3.5 * h), (x + 0.2 * w, y)], WHITE)
        pen.shape(ring(x, y, 0.75 * w + h, 1.7 * h), WHITE)
    else:
        pen.shape(
            [(x - 0.6 * w, y - h), (x + 0.6 * w, y - h), (x + 0.6 * w, y + h), (x - 0.6 * w, y + h)], WHITE
        )
    for picture, ink in ((pen.line_art, BLACK[0]), (pen.colored, BLACK)):
        cv2.putText(
            picture,
            text,
            (round(x - w / 2), round(y + h / 2)),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            ink,
            max(2, round(2 * scale)),
            cv2.LINE_AA,
        )


def noise(pen: Pen, rng: np.random.Generator, x: float, y: float, r: float) -> None:
    """A sound effect: large outlined letters."""
    text = "".join(rng.choice(list("ABCKMORSTUWZ!"), int(rng.integers(2, 6))))
    thick = max(3, round(0.16 * r))
    edge = thick + 2 * max(2, round(pen.width))
    for picture, ink, fill in ((pen.line_art, BLACK[0], 255), (pen.colored, BLACK, WHITE)):
        for color, width in ((ink, edge), (fill, thick)):
            cv2.putText(
                picture,
                text,
                (round(x), round(y)),
                cv2.FONT_HERSHEY_SIMPLEX,
                r / 25,
                color,
                width,
                cv2.LINE_AA,
            )


def broken(line_art: NDArray[np.uint8], rng: np.random.Generator, per_mille: float) -> None:
    """Break lines at random places, in place."""
    ys, xs = np.nonzero(line_art < 100)
    for at in rng.integers(0, max(1, len(xs)), int(len(xs) * per_mille / 1000)):
        cv2.circle(line_art, (int(xs[at]), int(ys[at])), int(rng.integers(2, 5)), 255, -1, cv2.LINE_AA)


def page(made: Series, number: int, *, sheet: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Line art (h, w) and coloured page (h, w, 3)."""
    rng = np.random.default_rng(
        [number, int(made.line * 1e6), len(made.cast), int(made.cast[0]["big"] * 1e6)]
    )
    w, h = int(rng.integers(800, 1050)), int(rng.integers(1050, 1400))
    out = Pen(w, h, made.line, made.wobble, float(rng.uniform(0, 6)))
    if sheet:
        n = len(made.cast)
        for k, it in enumerate(made.cast):
            x = (k + 0.5) * w / n
            r = min(w / n / 3.6, h / 16) * float(rng.uniform(0.7, 1))
            _draw(out, rng, it, x, 0.14 * h, r, whole=True)
            _draw(out, rng, it, x, 0.58 * h, r, whole=True)
            if it["kind"] == "person":
                head(out, rng, it, x, 0.92 * h, 1.1 * r, 1.1 * r, back=False, turn=float(rng.uniform(-1, 1)))
        return out.line_art, out.colored
    for x0, y0, x1, y1 in panels(rng, w, h, (2, 4), 6):
        line = made.line * float(rng.uniform(0.9, 1.1))
        panel = Pen(x1 - x0, y1 - y0, line, made.wobble, float(rng.uniform(0, 6)))
        _scene(panel, rng, made)
        put_panel(out, panel, x0, y0)
    if made.breaks:
        broken(out.line_art, rng, made.breaks)
    return out.line_art, out.colored


def empty_places(made: Series, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Line art (h, w) and coloured page (h, w, 3) of each place of a series with nobody in it, one panel below the other."""
    rng = np.random.default_rng([number, int(made.line * 1e6), made.places[0].seed])
    w, h = int(rng.integers(800, 1050)), int(rng.integers(1050, 1400))
    out = Pen(w, h, made.line, 0, 0)
    for place, (x0, y0, x1, y1) in zip(made.places, stacked(w, h, len(made.places)), strict=True):
        panel = Pen(x1 - x0, y1 - y0, made.line, made.wobble, float(rng.uniform(0, 6)))
        backdrop(panel, rng, place, -4, -4, x1 - x0 + 8, y1 - y0 + 8)
        put_panel(out, panel, x0, y0)
    return out.line_art, out.colored


Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a panel, in pixels of the page."""
MARGIN, GAP = 0.03, 0.018
"""Around the panels of a page and between them, of its width."""


def panels(rng: np.random.Generator, w: int, h: int, rows: tuple[int, int], evenness: float) -> Iterator[Box]:
    """The panels of a page at random, in reading order: as many rows as one of `rows`, the end exclusive, of one to three.
    Each row is divided when its turn comes, so that what is drawn in between takes part in what chance gives."""
    margin, gap = MARGIN * w, GAP * w
    tops = np.cumsum([0, *rng.dirichlet([evenness] * int(rng.integers(*rows)))]) * (h - 2 * margin) + margin
    for top, bottom in pairwise(tops):
        shares = rng.dirichlet([evenness] * int(rng.integers(1, 4)))
        lefts = np.cumsum([0, *shares]) * (w - 2 * margin) + margin
        for left, right in pairwise(lefts):
            yield round(left), round(top), round(right - gap), round(bottom - gap)


def stacked(w: int, h: int, count: int) -> list[Box]:
    """Panels as wide as the page, one below the other."""
    margin, gap = MARGIN * w, GAP * w
    tops = np.linspace(margin, h - margin, count + 1)
    return [(round(margin), round(a), round(w - margin), round(b - gap)) for a, b in pairwise(tops)]


def put_panel(out: Pen, panel: Pen, x: int, y: int) -> None:
    """Put a panel at (x, y) of a page, in a frame."""
    h, w = panel.line_art.shape
    out.line_art[y : y + h, x : x + w] = panel.line_art
    out.colored[y : y + h, x : x + w] = panel.colored
    wide = max(2, round(out.width * 1.2))
    cv2.rectangle(out.line_art, (x, y), (x + w, y + h), BLACK[0], wide)
    cv2.rectangle(out.colored, (x, y), (x + w, y + h), BLACK, wide)


def _scene(panel: Pen, rng: np.random.Generator, made: Series) -> None:
    h, w = panel.line_art.shape
    backdrop(panel, rng, made.places[rng.integers(len(made.places))], -4, -4, w + 8, h + 8)
    unit = min(w, h)
    if made.busts:
        people = [it for it in made.cast if it["kind"] == "person"]
        count = 2 if w > 0.8 * h and rng.random() < 0.6 else 1
        for k, at in enumerate(rng.permutation(len(people))[:count]):
            r = min(0.23 * h, 0.3 * w / count) * float(rng.uniform(0.55, 1.05))
            x = w * (k + 0.5) / count + w * float(rng.uniform(-0.1, 0.1)) / count
            _draw(panel, rng, people[at], x, h - r * float(rng.uniform(2.0, 3.0)), r, whole=False)
    near = rng.random()
    rest = [it for it in made.cast if not made.busts or it["kind"] != "person"]
    count = int(rng.integers(0, 2)) if made.busts else int(rng.integers(1, 4))
    for k in rng.permutation(len(rest))[:count]:
        it = rest[k]
        x = w * rng.uniform(0.12, 0.88)
        if it["kind"] == "thing":
            _draw(panel, rng, it, x, h * rng.uniform(0.2, 0.8), unit * rng.uniform(0.06, 0.16), whole=True)
        elif it["kind"] == "animal":
            _draw(panel, rng, it, x, h * rng.uniform(0.5, 0.8), unit * rng.uniform(0.06, 0.2), whole=True)
        elif near < 0.45:
            r = unit * rng.uniform(0.2, 0.32)
            _draw(panel, rng, it, x, h - r * rng.uniform(1.4, 3), r, whole=False)
        else:
            r = h * rng.uniform(0.06, 0.12)
            _draw(panel, rng, it, x, h - r * rng.uniform(5.0, 7.5), r, whole=True)
    if rng.random() < 0.6:
        letters(panel, rng, w * rng.uniform(0.2, 0.8), h * 0.12, unit * rng.uniform(0.09, 0.14))
    if rng.random() < 0.1:
        noise(
            panel, rng, w * rng.uniform(0.05, 0.5), h * rng.uniform(0.3, 0.9), unit * rng.uniform(0.15, 0.3)
        )


def _draw(
    pen: Pen, rng: np.random.Generator, it: dict[str, Any], x: float, y: float, r: float, *, whole: bool
) -> None:
    flip = float(rng.choice([-1, 1]))
    if it["kind"] == "person":
        person(pen, rng, it, x, y, r, whole=whole, back=rng.random() < 0.12, turn=float(rng.uniform(-1, 1)))
    elif it["kind"] == "animal":
        animal(pen, rng, it, x, y, r, flip)
    else:
        thing(pen, rng, it, x, y, r, flip)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--series", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for k in range(chosen.series):
        made = series(chosen.seed + k)
        for number in range(4):
            line, color = page(made, number, sheet=number == 3)
            name = chosen.out / f"s{k:02}_{number}"
            cv2.imwrite(f"{name}_line.png", line)
            cv2.imwrite(f"{name}_color.png", color[..., ::-1])


if __name__ == "__main__":
    main()
