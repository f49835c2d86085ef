"""Train the metric of the `flats` backend: src/batch_processing/backends/flats/metric.npz.

    python benchmarks/train_flats.py OUT.npz [--painted DATA/train/painted] [--series 185]
    python benchmarks/train_flats.py OUT.npz --gates

The first trains the metric anew and keeps the gates of the package, the second the gates for the package's metric.

Needs PyTorch. The metric takes half an hour on one core, most of it drawing and measuring. The pages are those of
flats_drawings.py, and with --painted the pages of Pepper&Carrot (David Revoy, CC BY 4.0) with line art taken from
them. A step takes one page and the references of its series; the loss is -log of the share that the softmax over
all reference regions gives to regions of a right colour. Colours themselves are never an input, so none can be
learned. The weights in the package come from this recipe with other splits of the same pages into references and
pages, and from flats_drawings.py before it drew busts and broken lines: a run does not give the same bytes.

The gates say how much each vote counts for a region, how much a region tells those around it, and how much it heeds
of what lies above, below, beside, some steps away and elsewhere in its panel. They are trained with the rounds of
assign.py unrolled, on 66 series that the metric has not seen (GATE_SERIES), ten minutes on one core, most of it
drawing. Those of the package are four runs (GATE_SEEDS), whose mean a wider network computes.

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

from batch_processing.backends.flats import (
    assign,
    describe,
    graph,
    ink,
    references,
    regions,
    structure,
    tints,
)
from batch_processing.backends.flats.arrays import packed, unpacked
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
    colours = tints.palette(pictures, inks)
    lab = to_lab(colours.rgb)
    item: dict[str, Any] = {
        "colours": len(lab),
        "rgb": colours.rgb,
        "studied": [],
        "known": [],
        "asked": [],
    }
    for picture, drawn in zip(pictures, inks, strict=True):
        studied = references.study(picture, drawn, colours)
        if studied is not None:
            item["studied"].append(studied)
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
    save(halved, path)


PACKAGED = Path(graph.__file__).with_name("metric.npz")


def save(halved: dict[str, Any], path: Path) -> None:
    """Write these arrays, and those that the package has under other names."""
    whole = unpacked(PACKAGED.read_bytes()) | halved
    path.write_bytes(packed({name: whole[name] for name in sorted(whole)}, level=9))


GATE_HIDDEN = 24
GATE_SERIES = ((110_000, 36, True), (100_000, 30, False))
"""First seed and number of series of busts, and whether in uniform. Crowded series beside them changed nothing."""
GATE_SEEDS = (0, 1, 2, 3)
GATE_EPOCHS, GATE_RATE = 10, 3e-3
EARLY, EARLY_WEIGHT = 2, 0.3
"""A round whose result counts in the loss too, and how much."""


def gate_items() -> list[dict[str, Any]]:
    """Series with one to three pages, or a model sheet and a page, as references, and two to colour."""
    items = []
    for first, count, uniform in GATE_SERIES:
        seed, left = first, count
        while left:
            made = drawings.series(seed)
            seed += 1
            if not made.busts:
                continue
            left -= 1
            if uniform:
                made = drawings.in_uniform(made, seed)
            pages = {number: drawings.page(made, number) for number in (0, 1, 2, 4, 5)}
            pages[3] = drawings.page(made, 3, sheet=True)
            known = {0: [3, 0], 1: [0], 2: [0, 1, 5]}.get(seed % 6, [0, 1])
            item = taught([pages[number] for number in range(6)], known, [2, 4], NEAR)
            if item["studied"]:
                items.append(unrolled(item))
    return items


def ways_of(look: graph.Look) -> Any:
    """What surroundings does, as matrices: (SIDES, n, n)."""
    n = len(look.regions)
    ones = np.ones((n, graph.SIDES), np.float32)
    each = graph.surroundings(graph.walks(look), np.eye(n, dtype=np.float32), ones)
    return torch.from_numpy(np.ascontiguousarray(each.transpose(1, 0, 2)))


def unrolled(item: dict[str, Any]) -> dict[str, Any]:
    """What the rounds of assign.assign work with, as tensors."""
    known = references.summed_up(item["rgb"], item["studied"])
    k = item["colours"]
    places = any(one.shows_place for one in item["studied"])
    around = []
    for one in item["studied"]:
        keep = torch.from_numpy(~(one.paper & places))
        place = torch.from_numpy(graph.embed(one.seen))
        around.append((ways_of(one.seen), place, torch.eye(k)[torch.from_numpy(one.colour).long()], keep))
    asked = []
    for page in item["asked"]:
        look = page["look"]
        n = len(look.regions)
        votes = assign.votes_on(look, known)
        logs = [
            np.log(assign.floored(votes.region, assign.FLOOR)),
            votes.heard[:, None] * np.log(assign.floored(votes.point, assign.FLOOR)),
            np.log(assign.floored(votes.kind, assign.KIND_FLOOR)),
            np.tile(np.log(known.share[None, :] + 0.002), (n, 1)),
        ]
        whole = np.bincount(np.concatenate([look.a, look.b]), np.tile(look.length, 2), minlength=n)
        small = np.maximum(np.minimum(whole[look.a], whole[look.b]), 1)
        white = look.paper[look.a] | look.paper[look.b]
        borders = np.zeros((2, n, n), np.float32)
        borders[0, look.a, look.b] = np.where(white, 0, look.bare / small)
        borders[1, look.a, look.b] = np.where(white, 0, np.sqrt((look.length - look.bare) / small))
        asked.append(
            {
                "place": torch.from_numpy(votes.place),
                "signs": torch.from_numpy(assign.signs(votes, look.share)),
                "like": torch.from_numpy(votes.like),
                "logs": torch.from_numpy(np.stack(logs).astype(np.float32)),
                "borders": torch.from_numpy(borders + borders.transpose(0, 2, 1)),
                "ways": ways_of(look),
                "white": torch.from_numpy(look.paper),
                "right": torch.from_numpy(page["right"]),
                "count": torch.from_numpy(page["count"].astype(np.float32)),
            }
        )
    return {
        "colours": k,
        "around": around,
        "colour": torch.from_numpy(known.region_colour).long(),
        "share": torch.from_numpy(known.region_share),
        "lift": torch.from_numpy(np.log(known.touch)),
        "asked": asked,
    }


class Gate(torch.nn.Module):  # type: ignore[misc]
    """What graph._gate computes; at the start all regions have the values of `start`."""

    def __init__(self, width: int, start: tuple[float, ...]) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(width, GATE_HIDDEN), torch.nn.Linear(GATE_HIDDEN, len(start))
        torch.nn.init.zeros_(self.b.weight)
        self.b.bias.data = torch.log(torch.tensor(start))

    def forward(self, rows: Any) -> Any:
        hidden = torch.nn.functional.dropout(torch.relu(self.a(rows)), 0.2, self.training)
        return torch.exp(torch.clamp(self.b(hidden), -5, 3))


class Gates(torch.nn.Module):  # type: ignore[misc]
    """The rounds of assign.assign where the metric is trusted."""

    def __init__(self) -> None:
        super().__init__()
        self.send = Gate(graph.PLACE_WIDTH, (1.0,) * graph.SIDES)
        self.read = Gate(graph.PLACE_WIDTH, (4.0,) * graph.SIDES)
        self.trust = Gate(graph.PLACE_WIDTH + graph.SIGNS, assign.WEIGHTS)
        self.area, self.open, self.touch = (torch.nn.Parameter(torch.tensor(v)) for v in assign.BALANCE)
        self.product, self.prior = graph.sharpness()

    def forward(self, item: dict[str, Any], page: dict[str, Any]) -> list[Any]:
        """Share of each colour for each region, (n, colours), after each round."""
        k, place, white = item["colours"], page["place"], page["white"][:, None]
        theirs = []
        for ways, there, colour, keep in item["around"]:
            sides = torch.einsum("snm,ms,mk->nsk", ways, self.send(there), colour)
            theirs += [torch.sqrt(sides + 1e-7)[keep].flatten(1)] * 2
        those = torch.cat(theirs).T
        weight = self.trust(torch.cat([place, page["signs"]], 1))
        sent, read, logs = self.send(place), self.read(place), page["logs"]
        votes = sum(weight[:, [vote]] * logs[vote] for vote in range(3)) + self.area * logs[3]
        belief = torch.where(white, torch.full((k,), -30.0).index_fill(0, torch.tensor(0), 0), votes)
        look = page["like"] * self.product * weight[:, 4:5] + self.prior * torch.log(item["share"] + 1e-5)
        share = torch.softmax(belief, 1)
        rounds = []
        for _ in range(assign.ROUNDS):
            wish = self.open * (page["borders"][0] @ share)
            wish = wish + self.touch * (page["borders"][1] @ share) @ item["lift"]
            told = share * share.max(1, keepdim=True)[0] ** 2
            around = torch.stack([way @ (told * sent[:, [s]]) for s, way in enumerate(page["ways"])], 1)
            mine = torch.sqrt(around + 1e-7) * read[:, :, None]
            mass = torch.softmax(look + mine.flatten(1) @ those, 1)
            scene = torch.zeros(len(share), k).index_add_(1, item["colour"], mass)
            floor = assign.KIND_FLOOR
            wish = wish + weight[:, 3:4] * torch.log((1 - floor) * scene + floor / k)
            share = 0.5 * share + 0.5 * torch.softmax(belief + torch.where(white, 0.0, wish), 1)
            rounds.append(share)
        return rounds


def gates_loss(rounds: list[Any], page: dict[str, Any]) -> Any:
    weight = torch.sqrt(page["count"]) * ~page["white"] * (page["right"].max(1)[0] > 0.5)
    weight = weight / weight.sum().clamp(min=1)

    def away(share: Any) -> Any:
        return -(weight * torch.log(0.98 * (share * page["right"]).sum(1) + 0.01)).sum()

    return away(rounds[-1]) + EARLY_WEIGHT * away(rounds[EARLY])


def train_gates(items: list[dict[str, Any]], seed: int) -> Any:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    net = Gates()
    steps = [(item, page) for item in items for page in item["asked"]]
    optimiser = torch.optim.AdamW(net.parameters(), lr=GATE_RATE, weight_decay=1e-2)
    total = GATE_EPOCHS * len(steps) + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, GATE_RATE, total_steps=total, pct_start=0.1)
    for epoch in range(GATE_EPOCHS):
        lost = 0.0
        for step in rng.permutation(len(steps)).tolist():
            item, page = steps[step]
            loss = gates_loss(net(item, page), page)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            lost += float(loss.detach())
        print(f"seed {seed}, epoch {epoch}: loss {lost / len(steps):.4f}", flush=True)
    return net


def write_gates(nets: list[Any], path: Path) -> None:
    """The mean of several runs, before its exponential, as one wider network; and the package's metric."""
    states = [{name: value.numpy() for name, value in net.state_dict().items()} for net in nets]
    halved = {name: np.mean([state[name] for state in states], axis=0) for name in ("area", "open", "touch")}
    for gate in ("send", "read", "trust"):
        weights, biases = ([state[f"{gate}.a.{part}"] for state in states] for part in ("weight", "bias"))
        halved[f"{gate}.a.weight"] = np.concatenate(weights).T
        halved[f"{gate}.a.bias"] = np.concatenate(biases)
        weights, biases = ([state[f"{gate}.b.{part}"] for state in states] for part in ("weight", "bias"))
        halved[f"{gate}.b.weight"] = np.concatenate(weights, axis=1).T / len(states)
        halved[f"{gate}.b.bias"] = np.mean(biases, axis=0)
    save({name: np.asarray(array, np.float16) for name, array in halved.items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--painted", type=Path)
    parser.add_argument("--series", type=int, default=185)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gates", action="store_true", help="train the gates, and keep the metric")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    start = time.monotonic()
    if chosen.gates:
        items = gate_items()
        print(f"{len(items)} items measured in {time.monotonic() - start:.0f} s", flush=True)
        write_gates([train_gates(items, seed) for seed in GATE_SEEDS], chosen.out)
        return
    items = drawn_items(chosen.series)
    if chosen.painted is not None:
        items += painted_items(chosen.painted)
    print(f"{len(items)} items measured in {time.monotonic() - start:.0f} s", flush=True)
    write(train(items, chosen.seed), chosen.out)


if __name__ == "__main__":
    main()
