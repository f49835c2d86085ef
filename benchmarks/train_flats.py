"""Train the metric of the `flats` backend: src/batch_processing/backends/flats/metric.npz.

    python benchmarks/train_flats.py OUT.npz [--painted DATA/train/painted] [--series 185]

Needs PyTorch; half an hour on one core, most of it drawing and measuring. The pages are those of
flats_drawings.py, and with --painted the pages of Pepper&Carrot (David Revoy, CC BY 4.0) with line art taken from
them. A step takes one page and the references of its series; the loss is -log of the share that the softmax over
all reference regions gives to regions of a right colour. Colours themselves are never an input, so none can be
learned. The weights in the package come from this recipe with other splits of the same pages into references and
pages, and from flats_drawings.py before it drew busts and broken lines: a run does not give the same bytes.

Pages of the sample chapter, of `synthetic` and of `cobra` are not used: benchmarks/flats.py judges on them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats as measuring
from benchmarks import flats_drawings as drawings

from batch_processing.backends.flats import describe, graph, ink, references, regions, structure
from batch_processing.backends.flats.arrays import packed
from batch_processing.backends.flats.colour import distances, to_lab
from batch_processing.io.images import decode

torch: Any = importlib.import_module("torch")

HIDDEN = 96
LEVELS = 2
NEAR, NEAR_PAINTED = 6.0, 15.0
"""Delta-E (CIE 1976) within which a colour is right."""
HELD_EPISODES = ("E15", "E17", "E22")
"""Painted pages that are kept for judging."""
PHASES = ((20, 0.2, 2e-3), (14, 0.08, 1.2e-3), (12, 0.05, 9e-4))
"""Epochs, the share of the inputs and hidden values that is left out in a step, and the highest rate of learning."""
STRANGERS = 0.35
"""Share of the steps in which another series' reference lies among the right ones."""
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def taught(pages: list[Pair], known: list[int], asked: list[int], near: float) -> dict[str, Any]:
    """The graphs of some pages as references and of others as line art, with the colours that are right."""
    pictures = [pages[i][1] for i in known]
    inks = [ink.find_in_colour(picture) for picture in pictures]
    colours = references.palette(pictures, inks)
    lab = to_lab(colours.rgb)
    item: dict[str, Any] = {"colours": len(lab), "known": [], "asked": []}
    for picture, drawn in zip(pictures, inks, strict=True):
        studied = references.study(picture, drawn, colours)
        if studied is not None:
            item["known"].append(
                {
                    "look": studied.seen,
                    "colour": studied.colour,
                    "paper": studied.paper,
                    "share": studied.share,
                }
            )
    for i in asked:
        line, truth = pages[i]
        drawn = ink.find(np.repeat(line[..., None], 3, axis=2))
        labels = regions.segment(drawn)
        what = describe.shapes(labels)
        panels = structure.find(labels, drawn, what)
        free = cv2.erode((line > 200).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        right = np.zeros((what.count, len(lab)), np.float32)
        np.add.at(right, labels[free] - 1, (distances(to_lab(truth[free]), lab) < near).astype(np.float32))
        count = np.bincount(labels[free] - 1, minlength=what.count)
        item["asked"].append(
            {
                "look": graph.look(drawn, labels, what, panels.frame, panels.white),
                "right": right / np.maximum(count, 1)[:, None],
                "count": count,
                "paper": panels.white,
            }
        )
    return item


def smaller(pair: Pair, scale: float) -> Pair:
    h, w = pair[0].shape
    size = (round(w * scale), round(h * scale))
    line, colour = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pair)
    return np.asarray(line, np.uint8), np.asarray(colour, np.uint8)


def drawn_items(count: int) -> list[dict[str, Any]]:
    """Series with model sheets or pages as references and the other pages to colour.

    The first third is at full size and asked twice, the rest at four fifths of it and asked once.
    """
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        whole = number < count / 3
        made = drawings.series((1000 if whole else 5000) + number)
        made.line *= 1 if whole else 1.25  # so that the lines keep their width when the pages become smaller
        pages = [drawings.page(made, i, sheet=i == 3) for i in range(4)]
        if not whole:
            pages = [smaller(page, 0.8) for page in pages]
        for _ in range(2 if whole else 1):
            known = [[3], [3, 0], [0, 1], [0]][int(rng.choice(4, p=[0.1, 0.5, 0.25, 0.15]))]
            items.append(taught(pages, known, [i for i in range(3) if i not in known][-2:], NEAR))
    return items


def painted_items(folder: Path) -> list[dict[str, Any]]:
    """Episodes in groups of four pages: two are coloured from the others."""
    episodes: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("E*.jpg")):
        if path.stem[:3] not in HELD_EPISODES:
            episodes.setdefault(path.stem[:3], []).append(path)
    items = []
    for paths in episodes.values():
        for start in range(0, len(paths), 4):
            part = paths[start : start + 4] if start + 2 <= len(paths) else paths[-2:]
            colours = [decode(path).rgb for path in part]
            pages = [(measuring.line_art_of(colour), colour) for colour in colours]
            for asked in range(min(2, len(pages) if len(pages) > 1 else 0)):
                known = [i for i in range(len(pages)) if i != asked]
                items.append(taught(pages, known, [asked], NEAR_PAINTED))
    return items


def tensors(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A drawing and its mirror image, as tensors."""
    out = []
    for look in (part["look"], part["look"].mirrored()):
        made = {name: torch.from_numpy(np.asarray(part[name])) for name in part if name != "look"}
        made |= {name: torch.from_numpy(getattr(look, name)) for name in ("nodes", "here", "there", "ties")}
        out.append(made)
    return out


class Net(torch.nn.Module):  # type: ignore[misc]
    """What graph.embed computes, and the softmax over references."""

    def __init__(self) -> None:
        super().__init__()
        linear, several = torch.nn.Linear, torch.nn.ModuleList
        self.inp, self.h2 = linear(graph.NODE_WIDTH, HIDDEN), linear(HIDDEN, HIDDEN)
        self.msg = several(linear(HIDDEN, HIDDEN) for _ in range(LEVELS))
        self.rel = several(linear(graph.TIE_WIDTH, HIDDEN) for _ in range(LEVELS))
        self.upd = several(linear(2 * HIDDEN, HIDDEN) for _ in range(LEVELS))
        self.out = linear(HIDDEN * (1 + LEVELS), graph.PLACE_WIDTH)
        self.tau = torch.nn.Parameter(torch.tensor(2.5))
        self.prior = torch.nn.Parameter(torch.tensor(0.0))
        self.mean, self.spread = torch.zeros(graph.NODE_WIDTH), torch.ones(graph.NODE_WIDTH)

    def place(self, part: dict[str, Any], drop: float) -> Any:
        relu, dropout = torch.relu, torch.nn.functional.dropout
        nodes = dropout((part["nodes"] - self.mean) / self.spread, drop, self.training)
        hidden = dropout(relu(self.inp(nodes)), drop, self.training)
        hidden = relu(self.h2(hidden)) + hidden
        levels = [hidden]
        for msg, rel, upd in zip(self.msg, self.rel, self.upd, strict=True):
            told = relu(msg(hidden)[part["there"]] + rel(part["ties"])) * part["ties"][:, :1]
            heard = torch.zeros_like(hidden).index_add_(0, part["here"], told)
            hidden = dropout(hidden + relu(upd(torch.cat([hidden, heard], 1))), drop, self.training)
            levels.append(hidden)
        return torch.nn.functional.normalize(self.out(torch.cat(levels, 1)), dim=1)

    def forward(self, asked: dict[str, Any], known: list[dict[str, Any]], colours: int, drop: float) -> Any:
        """Share of each colour for each region, (n, colours)."""
        keep = [~part["paper"] for part in known]
        places = torch.cat([self.place(part, drop)[k] for part, k in zip(known, keep, strict=True)])
        colour = torch.cat([part["colour"][k].long() for part, k in zip(known, keep, strict=True)])
        share = torch.cat([part["share"][k].float() for part, k in zip(known, keep, strict=True)])
        score = self.place(asked, drop) @ places.T * torch.exp(self.tau)
        mass = torch.softmax(score + self.prior * torch.log(share + 1e-5), 1)
        return torch.zeros(len(score), colours).index_add_(1, colour, mass)


def loss_of(net: Any, colours: int, asked: Any, known: list[Any], drop: float) -> tuple[Any, Any]:
    """The loss, and the share that is right; regions weigh as the root of their area."""
    mass = net(asked, known, colours, drop)
    weight = torch.sqrt(asked["count"].float()) * ~asked["paper"] * (asked["right"].max(1)[0] > 0.5)
    weight = weight / weight.sum().clamp(min=1)
    hit = (mass * asked["right"]).sum(1)
    best = asked["right"].gather(1, mass.argmax(1, keepdim=True))[:, 0] > 0.5
    return -(weight * torch.log(0.98 * hit + 0.01)).sum(), (weight * best).sum()


def train(items: list[dict[str, Any]], seed: int) -> Any:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    made = [
        {
            "colours": item["colours"],
            "known": [tensors(p) for p in item["known"]],
            "asked": [tensors(p) for p in item["asked"]],
        }
        for item in items
        if item["known"]
    ]
    held = set(rng.permutation(len(made))[: max(1, len(made) // 20)].tolist())
    net = Net()
    seen = torch.cat([part[0]["nodes"] for item in made for part in item["known"]])
    net.mean, net.spread = seen.mean(0), seen.std(0).clamp(min=0.02)
    steps = [(i, j) for i, item in enumerate(made) if i not in held for j in range(len(item["asked"]))]
    for epochs, drop, rate in PHASES:
        learn(net, made, steps, sorted(held), epochs, drop, rate, rng)
    return net


def learn(
    net: Any,
    made: list[dict[str, Any]],
    steps: list[tuple[int, int]],
    held: list[int],
    epochs: int,
    drop: float,
    rate: float,
    rng: np.random.Generator,
) -> None:
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=2e-2)
    total_steps = epochs * len(steps) + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=total_steps, pct_start=0.1)
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
            other = made[int(rng.integers(len(made)))]
            colours = item["colours"]
            if rng.random() < STRANGERS and other is not item:
                stranger = other["known"][int(rng.integers(len(other["known"])))][int(rng.integers(2))]
                known.append(stranger | {"colour": torch.full_like(stranger["colour"], colours)})
                asked = asked | {"right": torch.nn.functional.pad(asked["right"], (0, 1))}
                colours += 1
            loss, right = loss_of(net, colours, asked, known, drop)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(right.detach())
        net.eval()
        with torch.no_grad():
            unseen = []
            for i in held:
                known = [view for part in made[i]["known"] for view in part]
                unseen += [
                    float(loss_of(net, made[i]["colours"], asked[0], known, 0)[1])
                    for asked in made[i]["asked"]
                ]
        print(f"epoch {epoch}: right {total / len(steps):.3f}, held back {np.mean(unseen):.3f}", flush=True)


def write(net: Any, path: Path) -> None:
    """The weights as graph.embed wants them: (in, out), half precision, the inputs' scale within the first layer."""
    state = {name: value.double() for name, value in net.state_dict().items()}
    state["inp.weight"] = state["inp.weight"] / net.spread.double()
    state["inp.bias"] = state["inp.bias"] - state["inp.weight"] @ net.mean.double()
    arrays = {name: state[name].numpy() for name in sorted(state)}
    halved = {
        name: (array.T if array.ndim == 2 else array).astype(np.float16) for name, array in arrays.items()
    }
    path.write_bytes(packed(halved, level=9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--painted", type=Path)
    parser.add_argument("--series", type=int, default=185)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    start = time.monotonic()
    items = drawn_items(chosen.series)
    if chosen.painted is not None:
        items += painted_items(chosen.painted)
    print(f"{len(items)} items measured in {time.monotonic() - start:.0f} s", flush=True)
    write(train(items, chosen.seed), chosen.out)


if __name__ == "__main__":
    main()
