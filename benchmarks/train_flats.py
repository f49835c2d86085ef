"""Train the metric of the `flats` backend: src/batch_processing/backends/flats/metric.npz.

    python benchmarks/train_flats.py measure FOLDER --sprites SPRITES [--painted DATA/train/painted]
    python benchmarks/train_flats.py metric FOLDER OUT.npz [--start BEFORE.npz]

`measure` draws pages and measures them once; then `benchmarks/train_outlines.py` trains the network that `metric` builds on,
and `benchmarks/train_gates.py` what is heeded.

Needs PyTorch. Each takes about half an hour on two cores. The pages are those of flats_drawings.py, those of flats_styles.py
in its styles for training, also in the scenes of flats_scenes.py (SPRITES as that module says, made with 56 series, beside
those that flats.py measures on), and with --painted the pages of Pepper&Carrot (David Revoy, CC BY 4.0) with line art taken from them. A step takes one page and
the references of its series; the loss is -log of the share that the softmax over all reference regions gives to regions of
a right colour. Colours themselves are never an input, so none can be learned.

Pages of the sample chapter, of `synthetic` and of `cobra` are not used: benchmarks/flats.py judges on them.
"""

from __future__ import annotations

import argparse
import importlib
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats as measuring
from benchmarks import flats_drawings as drawings
from benchmarks import flats_scenes as scenes
from benchmarks import flats_styles as styles

from batch_processing.backends.flats import (
    describe,
    encoder,
    graph,
    ink,
    outlines,
    references,
    regions,
    structure,
    tints,
)
from batch_processing.backends.flats.arrays import packed
from batch_processing.backends.flats.color import distances, to_lab
from batch_processing.io.images import decode

torch: Any = importlib.import_module("torch")

HIDDEN = 192
LEVELS = 2
NEAR, NEAR_PAINTED = 6.0, 15.0
"""Delta-E (CIE 1976) within which a colour is right."""
HELD_EPISODES = ("E15", "E17", "E22")
"""Painted pages that are kept for judging."""
PHASES = ((7, 0.2, 2e-3), (4, 0.1, 1.2e-3), (3, 0.05, 8e-4), (8, 0.05, 1e-3), (8, 0.07, 1e-3))
"""Epochs, the share of the inputs and hidden values that is left out in a step, and the highest rate of learning."""
PHASES_ON = ((8, 0.05, 1e-3),)
"""The same from weights that have learned already. Those in the package had PHASES on the invented casts below 206, these on those below 300;
then nine epochs on those from 315 to 536, into whose panels strings and focus lines were drawn, and are halfway between what was known before
and after that (mean_weights.py). The network of outlines had seen all of these, too, and is halfway likewise. Then they had PHASES_ON on the
series whose names end with "sheet" and the first of "own", and are once more halfway: what went on to the end had .865 of 48 pages from model
sheets right and .879 from pages, in regions that lines tell, halfway .856 and .885, before .852 and .885. Last they learned pages with much on
them: PHASES_ON with ten epochs, on the 318 series whose names end with "scene" up to cast 769 and 360 others, halfway; then, with HIDDEN
raised from 128, with fourteen epochs, on these, the ninety up to 799 and 150 others more, halfway again. In both, regions and borders had one value
more, how bold the line around or between them is against others of the drawing; it was cut out of the weights, since without it what came out
differed by .003 at most. The first network then went on together with attention (train_attention.py), on all series but those by
one hand (casts from 1000 on), of which nothing has learned yet."""
KINDS = (
    slice(0, describe.REGION_WIDTH),
    slice(describe.REGION_WIDTH, describe.REGION_WIDTH + describe.POINT_WIDTH),
    slice(graph.NODE_WIDTH, graph.NODE_WIDTH + encoder.WIDTH),
    slice(graph.NODE_WIDTH + encoder.WIDTH, graph.TOLD_WIDTH),
)
"""What graph.facts_of says of a region's lines, of its points, of what it shows, and of its outline."""
LARGE = 4000
"""Values of a matrix that is stored as bytes: with all of them so, what comes out differs by no more than by chance."""
KIND_DROP = 0.15
"""How often each is left out of one drawing."""
STRANGERS = ((0, 1, 2), (0.5, 0.3, 0.2))
"""How many references of other series lie among the right ones in a step, and how often,"""
ALIKE = 0.6
"""and how often such a series is of the same style: so whoever is learned is told from more than the four of a cast."""
OWN_SERIES, OWN_WHOLE = 130, 30
BENDS = (0.0, 0.02, 0.03, 0.04)
"""How far characters of other hands are bent, each in its own way, one of these for each series."""
INVENTED_CASTS = (
    *range(60),
    *range(74, 190),
    *range(206, 300),
    *range(315, 537),
    *range(900, 930),
    *range(1000, 1040),
)
INVENTED_GATE_CASTS = (*range(60, 74), *range(190, 206), *range(300, 315), *range(1130, 1136))
INVENTED_SHEET_CASTS = (*range(540, 640), *range(930, 945), *range(1040, 1060))
INVENTED_GATE_SHEET_CASTS = range(640, 660)
"""Those whose references are model sheets."""
INVENTED_SCENE_CASTS = (*range(700, 800), *range(900, 960), *range(1060, 1120))
INVENTED_GATE_SCENE_CASTS = (*range(800, 820), *range(1120, 1130))
"""Those of flats_scenes.py."""
METRIC_CASTS, GATE_CASTS = (*range(8, 36), *range(44, 52)), (*range(36, 44), *range(52, 56))
CLOSE_CASTS = range(44, 56)
"""Series of each style of other hands, those before them are measured on; and those whose pages are mostly close."""
HELD_CASTS = 8
GATE_SERIES = 30
GATE_FIRST = ((110_000, True), (100_000, False))
"""First seed of the gates' own series, and whether they are in uniform."""
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def taught(pages: list[Pair], known: list[int], asked: list[int], near: float) -> dict[str, Any]:
    """The graphs of some pages as references and of others as line art, with the colours that are right."""
    pictures = [pages[i][1] for i in known]
    inks = [ink.find_in_color(picture) for picture in pictures]
    rgb = tints.tints([tints.votes(picture, drawn) for picture, drawn in zip(pictures, inks, strict=True)])
    seen = [tints.tinted(picture, drawn, rgb) for picture, drawn in zip(pictures, inks, strict=True)]
    colors = tints.palette(rgb, seen)
    lab = to_lab(colors.rgb)
    item: dict[str, Any] = {
        "colours": len(lab),
        "palette": colors,
        "studied": [],
        "known": [],
        "asked": [],
    }
    for drawn, one in zip(inks, seen, strict=True):
        studied = references.study(drawn, one.tint, colors)
        if studied is not None:
            pieces = tints.pieces_of(colors.base[one.tint], drawn)[0]
            item["studied"].append(studied)
            item["known"].append(
                {
                    "look": studied.seen,
                    "colour": studied.color,
                    "paper": studied.paper,
                    "share": studied.share,
                    "windows": outlines.windows(drawn.line, pieces, describe.shapes(pieces)),
                }
            )
    for i in asked:
        line, truth = pages[i]
        drawn = ink.find(np.repeat(line[..., None], 3, axis=2))
        labels = regions.segment(drawn)
        what = describe.shapes(labels)
        panels = structure.find(labels, drawn, what)
        free = cv2.erode((line > 200).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        fills, fill = np.unique(truth[free] @ np.array([65536, 256, 1], np.int32), return_inverse=True)
        fills = np.stack([fills >> 16, fills >> 8 & 255, fills & 255], axis=1).astype(np.uint8)
        shown = coo_array(
            (np.ones(len(fill), np.float32), (labels[free] - 1, fill)), (what.count, len(fills))
        )
        right = shown.tocsr() @ (distances(to_lab(fills), lab) < near).astype(np.float32)
        count = np.bincount(labels[free] - 1, minlength=what.count)
        item["asked"].append(
            {
                "look": graph.look(drawn, labels, what, panels.frame, panels.white, mirrored=True),
                "right": right / np.maximum(count, 1)[:, None],
                "count": count,
                "paper": panels.white,
                "windows": outlines.windows(drawn.line, labels, what),
            }
        )
    return item


def smaller(pair: Pair, scale: float) -> Pair:
    h, w = pair[0].shape
    size = (round(w * scale), round(h * scale))
    line, color = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pair)
    return np.asarray(line, np.uint8), np.asarray(color, np.uint8)


@dataclass(frozen=True)
class Series:
    """A series to learn from: its pages, and which are references and which to colour, once or more often."""

    pages: list[Pair]
    turns: list[tuple[list[int], list[int]]]
    near: float = NEAR
    """Delta-E within which a colour is right."""


def own_series(number: int) -> Series:
    """A series of flats_drawings.py with a model sheet or pages as references.

    The first OWN_WHOLE are at full size and asked twice, the rest at four fifths of it and asked once."""
    rng = np.random.default_rng(number)
    whole = number < OWN_WHOLE
    made = drawings.series((1000 if whole else 5000) + number)
    made.line *= 1 if whole else 1.25  # so that the lines keep their width when the pages become smaller
    pages = [drawings.page(made, i, sheet=i == 3) for i in range(4)]
    if not whole:
        pages = [smaller(page, 0.8) for page in pages]
    turns = []
    for _ in range(2 if whole else 1):
        known = [[3], [3, 0], [0, 1], [0]][int(rng.choice(4, p=[0.1, 0.5, 0.25, 0.15]))]
        turns.append((known, [i for i in range(3) if i not in known][-2:]))
    return Series(pages, turns)


def style_series(sprites: Path, style: str, number: int, *, bent: bool = True) -> Series:
    """A series in a style of other hands; one to three pages teach one or two. `bent` ones are for learning: their figures are bent,
    and more is drawn into their panels."""
    rng = np.random.default_rng([sum(style.encode()), number])
    made = styles.cast(sprites, style, number, bend=float(rng.choice(BENDS)) if bent else 0.0)
    pages = [styles.page(made, i, close=number in CLOSE_CASTS and i < 2, lively=bent) for i in range(4)]
    known = [[2, 3], [2], [1, 2, 3]][int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    return Series(pages, [(known, [i for i in range(4) if i not in known][:2])])


def sheet_series(sprites: Path, style: str, number: int) -> Series:
    """The same from references without any page's panels: the figures on white, and the places with nobody in them, or a page."""
    rng = np.random.default_rng([sum(style.encode()), number, 1])
    made = styles.with_one_of_a_kind(styles.cast(sprites, style, number, bend=float(rng.choice(BENDS))))
    pages = [styles.page(made, i, lively=True) for i in range(3)]
    pages += [styles.model_sheet(made, 3), drawings.empty_places(made.world, 4)]
    known = [[3, 4], [3, 2], [3, 4, 2]][int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    return Series(pages, [(known, [0, 1])])


def scene_series(sprites: Path, style: str, number: int) -> Series:
    """A series of flats_scenes.py from pages, or from a model sheet and the empty places, or from some of both."""
    rng = np.random.default_rng([sum(style.encode()), number, 2])
    of = scenes.scenes(styles.cast(sprites, style, number, bend=float(rng.choice(BENDS))))
    pages = [scenes.page(of, i) for i in range(4)] + [scenes.model_sheet(of, 4), scenes.empty_places(of, 5)]
    known = [[2, 3, 5], [4, 5], [2, 3], [4, 2], [2, 3, 4, 5]][
        int(rng.choice(5, p=[0.3, 0.35, 0.1, 0.1, 0.15]))
    ]
    return Series(pages, [(known, [0, 1])])


def gate_series(number: int) -> Series:
    """A series of flats_drawings.py with one to three pages, or a model sheet and a page, as references."""
    first, uniform = GATE_FIRST[number % 2]
    seed = first + number
    while not (made := drawings.series(seed)).busts:
        seed += 1000
    if uniform:
        made = drawings.in_uniform(made, seed)
    pages = [drawings.page(made, i, sheet=i == 3) for i in range(6)]
    known = {0: [3, 0], 1: [0], 2: [0, 1, 5]}.get(number % 6, [0, 1])
    return Series(pages, [(known, [2, 4])])


def painted_series(paths: list[Path]) -> Series:
    """Up to four pages of an episode: two are coloured from the others."""
    colors = [decode(path).rgb for path in paths]
    pages = [(measuring.line_art_of(color), color) for color in colors]
    every = range(len(pages))
    return Series(pages, [([i for i in every if i != asked], [asked]) for asked in every][:2], NEAR_PAINTED)


def planned(sprites: Path, painted: Path | None) -> dict[str, Callable[[], Series]]:
    """All series by name; those of the metric begin with m, those of the gates with g, those that only
    tell how well the metric does in a style that it was not trained on with "held"."""
    plan: dict[str, Callable[[], Series]] = {}
    for number in range(OWN_SERIES):
        plan[f"m-own-{number:03}"] = partial(own_series, number)
    for style in styles.TRAINED:
        for number in METRIC_CASTS:
            plan[f"m-{style}-{number:03}"] = partial(style_series, sprites, style, number)
        for number in GATE_CASTS:
            plan[f"g-{style}-{number:03}"] = partial(style_series, sprites, style, number)
    for style in styles.INVENTED:
        for number in INVENTED_CASTS:
            plan[f"m-{style}-{number:03}"] = partial(style_series, sprites, style, number)
        for number in INVENTED_GATE_CASTS:
            plan[f"g-{style}-{number:03}"] = partial(style_series, sprites, style, number)
    for first, casts, invented_casts in (
        ("m", METRIC_CASTS, INVENTED_SHEET_CASTS),
        ("g", GATE_CASTS, INVENTED_GATE_SHEET_CASTS),
    ):
        for style in (*styles.TRAINED, *styles.INVENTED):
            for number in casts if style in styles.TRAINED else invented_casts:
                plan[f"{first}-{style}-{number:03}-sheet"] = partial(sheet_series, sprites, style, number)
    for first, casts, invented_casts in (
        ("m", METRIC_CASTS, INVENTED_SCENE_CASTS),
        ("g", GATE_CASTS, INVENTED_GATE_SCENE_CASTS),
    ):
        for style in (*styles.TRAINED, *styles.INVENTED):
            for number in casts if style in styles.TRAINED else invented_casts:
                plan[f"{first}-{style}-{number:03}-scene"] = partial(scene_series, sprites, style, number)
    for style in styles.CHOSEN:
        for number in range(HELD_CASTS):
            plan[f"held-{style}-{number:03}"] = partial(style_series, sprites, style, number, bent=False)
    for number in range(GATE_SERIES):
        plan[f"g-own-{number:03}"] = partial(gate_series, number)
    episodes: dict[str, list[Path]] = {}
    for path in sorted(painted.glob("E*.jpg")) if painted is not None else ():
        if path.stem[:3] not in HELD_EPISODES:
            episodes.setdefault(path.stem[:3], []).append(path)
    for name, paths in episodes.items():
        for start in range(0, len(paths), 4):
            part = paths[start : start + 4] if start + 2 <= len(paths) else paths[-2:]
            if len(part) > 1:
                plan[f"m-painted-{name}-{start}"] = partial(painted_series, part)
    return plan


def measure(folder: Path, name: str, made: Callable[[], Series]) -> str:
    """Draw and measure one series, unless that is done; a file an item. Its name."""
    target = folder / f"{name}.pickle"
    if not target.exists():
        cv2.setNumThreads(1)
        series = made()
        items = [taught(series.pages, known, asked, series.near) for known, asked in series.turns]
        part = target.with_suffix(".part")
        part.write_bytes(pickle.dumps([item for item in items if item["known"]]))
        part.replace(target)
    return name


def measured(folder: Path, first: str, which: slice = slice(None)) -> Iterator[dict[str, Any]]:
    """The measured items of the series whose names begin so, of `which` of them."""
    for path in sorted(folder.glob(f"{first}-*.pickle"))[which]:
        for item in pickle.loads(path.read_bytes()):  # noqa: S301 - written by `measure`
            yield item | {"style": path.stem.split("-")[1]}


def strangers(items: list[dict[str, Any]], item: dict[str, Any], rng: np.random.Generator) -> list[Any]:
    """References of other series, none to two, that are to lie among those of an item, as these hold them."""
    found: list[Any] = []
    for _ in range(int(rng.choice(STRANGERS[0], p=STRANGERS[1]))):
        alike = rng.random() < ALIKE
        others = [one for one in items if one["style"] == item["style"]] if alike else items
        other = others[int(rng.integers(len(others)))]
        if other is not item:
            found.append(other["known"][int(rng.integers(len(other["known"])))])
    return found


def seen_anew(part: dict[str, Any]) -> graph.Look:
    """The look of a measured drawing, with what the network of outlines says of it by now."""
    look: graph.Look = part["look"]
    outlined, mirrored = (
        outlines.pictured(windows) for windows in (part["windows"], outlines.mirrored(part["windows"]))
    )
    return replace(look, outlined=outlined, outlined_mirrored=mirrored)


def tensors(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A drawing and its mirror image, as tensors."""
    out = []
    seen = seen_anew(part)
    for look in (seen, seen.mirrored()):
        made = {
            name: torch.from_numpy(np.asarray(part[name])) for name in part if name not in {"look", "windows"}
        }
        made |= {name: torch.from_numpy(getattr(look, name)) for name in ("here", "there", "ties", "panel")}
        made["nodes"] = torch.from_numpy(graph.facts_of(look))
        out.append(made)
    return out


class Net(torch.nn.Module):  # type: ignore[misc]
    """What graph.embed computes, and the softmax over references."""

    def __init__(self) -> None:
        super().__init__()
        linear, several = torch.nn.Linear, torch.nn.ModuleList
        self.inp, self.h2 = linear(graph.TOLD_WIDTH, HIDDEN), linear(HIDDEN, HIDDEN)
        self.msg = several(linear(HIDDEN, HIDDEN) for _ in range(LEVELS))
        self.rel = several(linear(graph.TIE_WIDTH, HIDDEN) for _ in range(LEVELS))
        self.upd = several(linear(2 * HIDDEN, HIDDEN) for _ in range(LEVELS))
        self.out = linear(HIDDEN * (1 + LEVELS), graph.PLACE_WIDTH // graph.MEMBERS)
        self.tau = torch.nn.Parameter(torch.tensor(2.5))
        self.prior = torch.nn.Parameter(torch.tensor(0.0))
        self.mean, self.spread = torch.zeros(graph.TOLD_WIDTH), torch.ones(graph.TOLD_WIDTH)

    def levels(self, part: dict[str, Any], drop: float) -> Any:
        """What is known of each region, and with what lies one border away, and two: (n, HIDDEN * (1 + LEVELS))."""
        relu, dropout = torch.relu, torch.nn.functional.dropout
        nodes = dropout((part["nodes"] - self.mean) / self.spread, drop, self.training)
        if self.training:  # no kind of value is relied on alone
            for columns in KINDS:
                if torch.rand(()) < KIND_DROP:
                    nodes[:, columns] = 0
        hidden = dropout(relu(self.inp(nodes)), drop, self.training)
        hidden = relu(self.h2(hidden)) + hidden
        levels = [hidden]
        for msg, rel, upd in zip(self.msg, self.rel, self.upd, strict=True):
            told = relu(msg(hidden)[part["there"]] + rel(part["ties"])) * part["ties"][:, :1]
            heard = torch.zeros_like(hidden).index_add_(0, part["here"], told)
            hidden = dropout(hidden + relu(upd(torch.cat([hidden, heard], 1))), drop, self.training)
            levels.append(hidden)
        return torch.cat(levels, 1)

    def place(self, part: dict[str, Any], drop: float) -> Any:
        return torch.nn.functional.normalize(self.out(self.levels(part, drop)), dim=1)

    def forward(self, asked: dict[str, Any], known: list[dict[str, Any]], colors: int, drop: float) -> Any:
        """Share of each colour for each region, (n, colours)."""
        keep = [~part["paper"] for part in known]
        places = torch.cat([self.place(part, drop)[k] for part, k in zip(known, keep, strict=True)])
        color = torch.cat([part["colour"][k].long() for part, k in zip(known, keep, strict=True)])
        share = torch.cat([part["share"][k].float() for part, k in zip(known, keep, strict=True)])
        score = self.place(asked, drop) @ places.T * torch.exp(self.tau)
        mass = torch.softmax(score + self.prior * torch.log(share + 1e-5), 1)
        return torch.zeros(len(score), colors).index_add_(1, color, mass)


def loss_of(net: Any, colors: int, asked: Any, known: list[Any], drop: float) -> tuple[Any, Any]:
    """The loss, and the share that is right; regions weigh as the root of their area."""
    mass = net(asked, known, colors, drop)
    weight = torch.sqrt(asked["count"].float()) * ~asked["paper"] * (asked["right"].max(1)[0] > 0.5)
    weight = weight / weight.sum().clamp(min=1)
    hit = (mass * asked["right"]).sum(1)
    best = asked["right"].gather(1, mass.argmax(1, keepdim=True))[:, 0] > 0.5
    return -(weight * torch.log(0.98 * hit + 0.01)).sum(), (weight * best).sum()


def slim(item: dict[str, Any]) -> dict[str, Any]:
    """What is needed here of a measured item, as tensors."""
    kept = {name: item[name] for name in ("style", "colours")}
    return kept | {which: [tensors(part) for part in item[which]] for which in ("known", "asked")}


def restore(net: Any, arrays: graph.Weights, member: int) -> None:
    """Give a network, whose `mean` and `spread` stand, the weights that `write` made of another, which may have fewer
    hidden values: it says the same then, since nothing hears the new ones yet."""
    state = {}
    for name, fresh in net.state_dict().items():
        array = torch.from_numpy(arrays[f"{member}.{name}"].astype(np.float64))
        state[name] = fresh.double()
        if array.ndim == 2:
            parts = {"upd": 2, "out": 1 + LEVELS}.get(name.split(".")[0], 1)
            for into, old in zip(state[name].chunk(parts, 1), array.T.chunk(parts, 1), strict=True):
                into[: len(old)] = 0
                into[: len(old), : old.shape[1]] = old
        else:
            state[name].view(-1)[: array.numel()] = array.view(-1)
    known = len(arrays[f"{member}.inp.bias"])
    state["inp.bias"][:known] += state["inp.weight"][:known] @ net.mean.double()
    state["inp.weight"][:known] *= net.spread.double()
    net.load_state_dict({name: value.float() for name, value in state.items()})


def train(
    made: list[dict[str, Any]],
    unknown: list[dict[str, Any]],
    seed: int,
    start: graph.Weights | None = None,
) -> Any:
    """Learn from all items but each twentieth, from the weights `start` on; how well it does on those and on the unknown ones is printed."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    back = set(rng.permutation(len(made))[: max(1, len(made) // 20)].tolist())
    held = [[made[i] for i in sorted(back)], unknown]
    net = Net()
    seen = torch.cat([part[0]["nodes"] for item in made for part in item["known"]])
    net.mean, net.spread = seen.mean(0), seen.std(0).clamp(min=0.02)
    steps = [(i, j) for i, item in enumerate(made) if i not in back for j in range(len(item["asked"]))]
    if start is not None:
        restore(net, start, seed)
    for epochs, drop, rate in PHASES if start is None else PHASES_ON:
        learn(net, made, steps, held, epochs, drop, rate, rng)
    return net


class Descent:
    """Steps of AdamW down a loss, `total` of them, in one cycle of the rate of learning up to `rate`."""

    def __init__(self, net: Any, rate: float, decay: float, total: int) -> None:
        self._net = net
        self._optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, rate, total_steps=total + 1, pct_start=0.1
        )

    def step(self, loss: Any) -> None:
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()


def learn(
    net: Any,
    made: list[dict[str, Any]],
    steps: list[tuple[int, int]],
    held: list[list[dict[str, Any]]],
    epochs: int,
    drop: float,
    rate: float,
    rng: np.random.Generator,
) -> None:
    descent = Descent(net, rate, 2e-2, epochs * len(steps))
    for epoch in range(epochs):
        net.train()
        rng.shuffle(steps)
        total = 0.0
        for i, j in steps:
            item = made[i]
            # References in one or both orientations, and pages turned at random.
            known = [part[int(rng.integers(2))] for part in item["known"]]
            known += [part[int(rng.integers(2))] for part in item["known"] if rng.random() < 0.3]
            asked = item["asked"][j][int(rng.integers(2))]
            colors = item["colours"]
            others = [part[int(rng.integers(2))] for part in strangers(made, item, rng)]
            if others:
                known += [part | {"colour": torch.full_like(part["colour"], colors)} for part in others]
                asked = asked | {"right": torch.nn.functional.pad(asked["right"], (0, 1))}
                colors += 1
            loss, right = loss_of(net, colors, asked, known, drop)
            descent.step(loss)
            total += float(right.detach())
        net.eval()
        with torch.no_grad():
            found = " and ".join(f"{found_in(net, some):.3f}" for some in held)
        print(f"epoch {epoch}: right {total / len(steps):.3f}, held back {found}", flush=True)


def found_in(net: Any, items: list[dict[str, Any]]) -> float:
    """The share that is right in items."""
    right = [
        float(loss_of(net, item["colours"], asked[0], [v for part in item["known"] for v in part], 0)[1])
        for item in items
        for asked in item["asked"]
    ]
    return float(np.mean(right))


def write(nets: list[Any], path: Path) -> None:
    """The weights as graph.embed wants them: (in, out), the inputs' scale within the first layer."""
    every: dict[str, NDArray[Any]] = {}
    for member, net in enumerate(nets):
        every |= arrays_of(net, member)
    save(every, path)


def arrays_of(net: Any, member: int) -> dict[str, NDArray[Any]]:
    """The weights of one network as graph.embed wants them."""
    state = {name: value.double() for name, value in net.state_dict().items()}
    state["inp.weight"] = state["inp.weight"] / net.spread.double()
    state["inp.bias"] = state["inp.bias"] - state["inp.weight"] @ net.mean.double()
    return {
        f"{member}.{name}": value.numpy().T if value.ndim == 2 else value.numpy()
        for name, value in state.items()
    }


def save(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write weights as graph.weights_of reads them: large matrices as bytes, the rest in half precision."""
    stored: dict[str, NDArray[Any]] = {}
    for name in sorted(arrays):
        array = arrays[name].astype(np.float32)
        if array.ndim == 2 and array.size >= LARGE:
            scale = np.maximum(np.abs(array).max(axis=1, keepdims=True) / 127, 1e-7).astype(np.float16)
            stored[name] = (
                np.rint(array / np.maximum(scale.astype(np.float32), 1e-7)).clip(-127, 127).astype(np.int8)
            )
            stored[name + graph.SCALE] = scale
        else:
            stored[name] = array.astype(np.float16)
    path.write_bytes(packed(stored, level=9))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["measure", "metric"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("metric.npz"))
    parser.add_argument("--start", type=Path, help="weights of a metric to go on from")
    parser.add_argument("--sprites", type=Path)
    parser.add_argument("--painted", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    if chosen.what == "measure":
        chosen.folder.mkdir(parents=True, exist_ok=True)
        plan = planned(chosen.sprites, chosen.painted)
        with ProcessPoolExecutor(chosen.processes) as workers:
            going = [workers.submit(measure, chosen.folder, name, plan[name]) for name in sorted(plan)[::-1]]
            for count, done in enumerate(as_completed(going)):
                print(f"{count + 1} of {len(plan)}: {done.result()}", flush=True)
        return
    items, others = ([slim(item) for item in measured(chosen.folder, first)] for first in ("m", "held"))
    start = graph.weights_of(chosen.start.read_bytes()) if chosen.start is not None else None
    write([train(items, others, seed, start) for seed in range(graph.MEMBERS)], chosen.out)


if __name__ == "__main__":
    main()
