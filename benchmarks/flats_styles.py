"""Comics whose figures come from other hands: pages in openly licensed drawing styles, with their true colours.

    python benchmarks/flats_styles.py SPRITES OUT --style dylan --series 2

writes a few series as PNG files. SPRITES is a folder of figures on transparent ground, drawn without anti-aliasing,
`<style>_s<series>c<character>v<variant>_c.png`: the variants of a character differ in expression alone. Places,
bodies below mere heads, balloons and panels are those of flats_drawings.py; lines are drawn where two fills of a figure
meet and where it is dark. The same seed gives the same bytes.

The sprites are made by benchmarks/sprites.mjs from vector art (DiceBear; each style under its own licence: Big Smile by
Ashley Seo, Big Ears by The Visual Team, CC BY 4.0; Dylan by Natalia Spivak, CC BY 4.0; Personas by Draftbit, CC BY 4.0;
Micah by Micah Lanier, CC BY 4.0; Miniavs by Webpixels, CC BY 4.0), and are not kept with the code.

TRAINED styles are for learning, CHOSEN ones for choosing between ways, JUDGED ones for the figures in docs/flats.md: these
nobody looks at while anything is chosen.

A series may have two rooms, and pages with figures that no reference shows: `answerable` makes it one as a colourist has it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats_drawings as drawings
from benchmarks import flats_effects as effects
from benchmarks import flats_invented as invented
from benchmarks import flats_places as places
from benchmarks.flats_cast import thing
from benchmarks.flats_pen import BLACK, Pen, Rgb
from numpy.typing import NDArray

TRAINED = ("bigsmile", "bigears", "personas")
CHOSEN = ("dylan",)
JUDGED = ("micah", "miniavs")
INVENTED = {"heads": invented.Part.HEAD, "busts": invented.Part.BUST, "bodies": invented.Part.BODY}
"""Of flats_invented.py, for learning too: these need no sprites."""
ONE_HAND = 1000
"""Casts of invented figures from which on those of a series are by one hand, as those of other hands are."""
HEADS = ("bigsmile", "bigears", "dylan", "heads")
"""Styles whose figures are heads: they get a neck and shoulders of our own."""
CHARACTERS, VARIANTS = 4, 6
LEAST = 60
"""Pixels that a colour of a figure has; the rest are edges, and take the colour nearest to theirs."""
DARK = 60
"""What is darker than this in a figure is drawn as ink."""


@dataclass(frozen=True)
class Figure:
    """A figure on transparent ground: (h, w, 3) of flat fills, and where it is."""

    rgb: NDArray[np.uint8]
    there: NDArray[np.bool_]


@lru_cache(maxsize=256)
def figure(path: Path) -> Figure:
    """A sprite with its few true fills, cut to its box."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SystemExit(f"no figure {path}: make the sprites first, see the text of this module")
    there = image[..., 3] >= 128
    rgb = np.ascontiguousarray(image[..., 2::-1], np.uint8)
    code = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    values, counts = np.unique(code[there], return_counts=True)
    kept = values[counts >= LEAST]
    fills = np.stack([kept >> 16, kept >> 8 & 255, kept & 255], axis=1).astype(np.uint8)
    # Overlays of little opacity give tints that nobody could tell apart: each joins a commoner one.
    order = np.argsort(-counts[counts >= LEAST])
    chosen: list[int] = []
    for row in order.tolist():
        near = [k for k in chosen if np.abs(fills[k].astype(int) - fills[row]).max() < 14]
        if not near:
            chosen.append(row)
    few = fills[chosen].astype(np.int32)
    away = np.abs(values[:, None, None] // np.array([65536, 256, 1]) % 256 - few[None]).sum(axis=2)
    nearest = few[away.argmin(axis=1)].astype(np.uint8)
    rgb[there] = nearest[np.searchsorted(values, code[there])]
    return _boxed(rgb, there)


@dataclass(frozen=True)
class Cast:
    """A series in a style: who is in it, and where it plays."""

    style: str
    number: int
    sprites: Path
    world: drawings.Series
    shirts: list[Rgb]
    bend: float = 0.0
    """How far each character is bent in its own way, see flats_invented.bent; for learning."""

    def look(self, character: int, variant: int, *, back: bool = False) -> Figure:
        """A character; from behind with `back`, if it is one of ours."""
        identity = [sum(self.style.encode()), self.number, character]
        if self.style in INVENTED:
            colors = _colors_of_one(identity)
            hand = identity[:2] if self.number >= ONE_HAND else None
            part = INVENTED[self.style]
            return _boxed(*invented.figure(identity, variant, colors, part, back=back, hand=hand))
        seen = figure(self.sprites / f"{self.style}_s{self.number}c{character}v{variant}_c.png")
        if not self.bend:
            return seen
        return _boxed(*invented.bent(seen.rgb, seen.there, identity, self.bend))


SKINS: list[Rgb] = [(242, 211, 177), (236, 173, 128), (201, 138, 91), (158, 86, 34), (118, 57, 0)]


def _colors_of_one(identity: list[int]) -> list[Rgb]:
    rng = np.random.default_rng([*identity, 9])
    colors = drawings.colors_of(rng, 6)
    if rng.random() < 0.7:
        colors[0] = SKINS[rng.integers(len(SKINS))]
    return colors


def _boxed(rgb: NDArray[np.uint8], there: NDArray[np.bool_]) -> Figure:
    ys, xs = np.nonzero(there)
    box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return Figure(np.ascontiguousarray(rgb[box]), there[box])


def exchanged(made: Cast, kind: str) -> Cast:
    """The same series, but with the other of two colours that no line tells, see flats_places.EITHER."""
    return replace(made, world=replace(made.world, places=places.exchanged(made.world.places, kind)))


REFERENCES_OF = range(2, 10)
"""Pages of a series among which references are chosen."""
SHOWN = 300
"""Pixels that a colour has where a page shows it."""


def answerable(made: Cast) -> tuple[Cast, list[int]]:
    """The same series as `with_one_of_a_kind`, and two of its pages for references: those that together show most of its colours.

    What colour the hair of somebody has who is nowhere shown in colour no line tells: a colourist gives references in
    which those who appear are to be seen."""
    one = with_one_of_a_kind(made)
    shown = {number: _shown(page(one, number)[1]) for number in REFERENCES_OF}
    best = max(combinations(REFERENCES_OF, 2), key=lambda pair: len(shown[pair[0]] | shown[pair[1]]))
    return one, list(best)


def with_one_of_a_kind(made: Cast) -> Cast:
    """The same series with no more than one place of a kind: which of two rooms a bare wall belongs to no line tells."""
    kinds = {place.kind: place for place in reversed(made.world.places)}
    places_of = [place for place in made.world.places if kinds[place.kind] is place]
    return replace(made, world=replace(made.world, places=places_of))


def _shown(colored: NDArray[np.uint8]) -> set[int]:
    code = colored.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    values, counts = np.unique(code, return_counts=True)
    return set(values[counts >= SHOWN].tolist())


def cast(sprites: Path, style: str, number: int, *, bend: float = 0.0) -> Cast:
    seed = sum(style.encode()) * 1000 + number
    world = drawings.series(seed)
    world.busts = True
    shirts = drawings.colors_of(np.random.default_rng(seed), CHARACTERS)
    return Cast(style, number, sprites, world, shirts, bend)


CLOSE, EMPTY = 0.6, 0.2
"""Of the panels of a page with `close`: the share that shows the upper part of its place alone, and the share without
figures."""
BEHIND, BEFORE, FOCUS = 0.25, 0.1, 0.06
"""Of the panels of a page that is `lively`: the share with strings behind the figures, with such before them, and with lines that run to one
place, see flats_effects.py."""


def page(
    made: Cast, number: int, *, close: bool = False, lively: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Line art (h, w) and coloured page (h, w, 3) of one page of a series; with `close` most of its panels show a sky or
    a wall and nothing else of their place."""
    rng = np.random.default_rng([sum(made.style.encode()), made.number, number])
    w, h = int(rng.integers(800, 1050)), int(rng.integers(1050, 1400))
    out = Pen(w, h, made.world.line, 0, 0)
    for x0, y0, x1, y1 in drawings.panels(rng, w, h, (2, 4), 8):
        panel = Pen(x1 - x0, y1 - y0, made.world.line, made.world.wobble, float(rng.uniform(0, 6)))
        _scene(panel, rng, made, close=close, lively=lively)
        drawings.put_panel(out, panel, x0, y0)
    return out.line_art, out.colored


ROWS = (2, 4)
"""Rows of figures on a model sheet, fewer than the last."""
CHEST = [(-0.62, 0.5), (-0.5, 0.12), (-0.16, -0.02), (0.16, -0.02), (0.5, 0.12), (0.62, 0.5)]
"""Shoulders below a mere head, from where it ends, in its heights."""


def model_sheet(made: Cast, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Line art (h, w) and coloured page (h, w, 3) of the figures of a series on white, each two or three times."""
    rng = np.random.default_rng([sum(made.style.encode()), made.number, number, 3])
    w, h = int(rng.integers(800, 1050)), int(rng.integers(900, 1300))
    out = Pen(w, h, made.world.line, made.world.wobble, float(rng.uniform(0, 6)))
    rows = int(rng.integers(*ROWS))
    high = h / rows
    for row in range(rows):
        for slot, character in enumerate(rng.permutation(CHARACTERS).tolist()):
            seen = made.look(character, int(rng.integers(VARIANTS)))
            wide = w / CHARACTERS
            tall = min(0.85 * high, wide * seen.rgb.shape[0] / seen.rgb.shape[1]) * float(
                rng.uniform(0.6, 1.0)
            )
            x, foot = (slot + 0.5) * wide, (row + 0.95) * high
            if made.style in HEADS:
                tall *= 0.72
                foot -= 0.28 * tall
                chest = [(x + dx * tall, foot + min(dy, 0.3) * tall) for dx, dy in CHEST]
                out.shape(chest, made.shirts[character])
            put(out, seen, x, foot + 0.02 * tall, tall, flip=rng.random() < 0.5, turn=float(rng.normal(0, 4)))
    return out.line_art, out.colored


def _scene(panel: Pen, rng: np.random.Generator, made: Cast, *, close: bool, lively: bool) -> None:
    h, w = panel.line_art.shape
    place = made.world.places[rng.integers(len(made.world.places))]
    down = float(rng.uniform(1.4, 3.0)) if close and rng.random() < CLOSE else 1.0
    if lively and rng.random() < FOCUS:
        effects.focus(panel, rng)
    else:
        places.backdrop(panel, rng, place, -4, -4, w + 8, down * h + 8)
        if lively and rng.random() < BEHIND:
            effects.strings(panel, rng)
    if rng.random() < 0.3 and (rest := [it for it in made.world.cast if it["kind"] == "thing"]):
        it = rest[rng.integers(len(rest))]
        thing(panel, rng, it, w * rng.uniform(0.15, 0.85), h * rng.uniform(0.2, 0.6), 0.1 * min(w, h), 1.0)
    count = min(CHARACTERS, max(1, round(w / h + rng.uniform(-0.4, 0.9))))
    if close and rng.random() < EMPTY:
        count = 0
    for slot, character in enumerate(rng.permutation(CHARACTERS)[:count].tolist()):
        seen = made.look(character, int(rng.integers(VARIANTS)))
        tall = min(0.8 * h, 1.1 * w / count) * float(rng.uniform(0.6, 1.0))
        x = w * (slot + 0.5) / count + w * float(rng.uniform(-0.08, 0.08)) / count
        foot = float(h)
        if made.style in HEADS:
            tall *= 0.75
            foot = h - 0.28 * tall
            panel.shape([(x + dx * tall, foot + dy * tall) for dx, dy in CHEST], made.shirts[character])
        put(panel, seen, x, foot + 0.02 * tall, tall, flip=rng.random() < 0.5, turn=float(rng.normal(0, 5)))
    if lively and rng.random() < BEFORE:
        effects.strings(panel, rng)
    if rng.random() < 0.5:
        drawings.letters(panel, rng, w * rng.uniform(0.2, 0.8), h * 0.1, min(w, h) * rng.uniform(0.08, 0.12))


def put(
    panel: Pen,
    seen: Figure,
    x: float,
    foot: float,
    tall: float,
    *,
    flip: bool,
    turn: float,
    lines: NDArray[np.uint8] | None = None,
) -> None:
    """Draw a figure, `tall` pixels high, that stands at (x, foot), with lines around its fills, and thin `lines` within these
    (of the figure's shape, 255 where one is)."""
    h, w = panel.line_art.shape
    scale = tall / seen.rgb.shape[0]
    wide = seen.rgb.shape[1]
    move = cv2.getRotationMatrix2D((wide / 2, float(seen.rgb.shape[0])), turn, scale)
    if flip:
        move = move @ np.array([[-1, 0, wide - 1], [0, 1, 0], [0, 0, 1]], np.float64)
    move[:, 2] += np.array([x - wide / 2, foot - seen.rgb.shape[0]])
    there = cv2.warpAffine(seen.there.astype(np.uint8), move, (w, h), flags=cv2.INTER_NEAREST) > 0
    rgb = cv2.warpAffine(seen.rgb, move, (w, h), flags=cv2.INTER_NEAREST)
    panel.colored[there] = rgb[there]
    panel.line_art[there] = 255
    code = np.where(there, rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32), -1)
    edge = np.zeros((h, w), np.uint8)
    edge[:, 1:] |= code[:, 1:] != code[:, :-1]
    edge[1:] |= code[1:] != code[:-1]
    dark = (there & (rgb.max(axis=2) < DARK)).astype(np.uint8)
    size = max(1, round(panel.width))
    thick = cv2.dilate(edge, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    soft = cv2.GaussianBlur((np.maximum(thick, dark) * 255).astype(np.uint8), (3, 3), 0)
    if lines is not None:
        within = cv2.warpAffine(lines, move, (w, h), flags=cv2.INTER_AREA)
        soft = np.maximum(soft, np.where(there, np.minimum(within, 255), 0).astype(np.uint8))
    ink = soft.astype(np.float32) / 255
    for picture, black in ((panel.line_art, BLACK[0]), (panel.colored, np.array(BLACK))):
        share = ink if picture.ndim == 2 else ink[..., None]
        picture[:] = np.rint(picture * (1 - share) + np.asarray(black, np.float32) * share).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sprites", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--style", default=CHOSEN[0])
    parser.add_argument("--series", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for number in range(chosen.series):
        made = cast(chosen.sprites, chosen.style, number)
        for each in range(4):
            line, color = page(made, each)
            name = chosen.out / f"{chosen.style}{number:02}_{each}"
            cv2.imwrite(f"{name}_line.png", line)
            cv2.imwrite(f"{name}_color.png", color[..., ::-1])


if __name__ == "__main__":
    main()
