"""Train the gates of the `flats` backend, the second half of src/batch_processing/backends/flats/metric.npz.

    python benchmarks/train_gates.py FOLDER METRIC.npz OUT.npz [--start OLD.npz --epochs 3 --rate 1.5e-3]

FOLDER is what `benchmarks/train_flats.py measure` made, METRIC what `benchmarks/train_attention.py` made. Needs PyTorch; some ten minutes on one core.

The gates say how much each vote counts for a region, how much a region tells those around it, and how much it heeds
of what lies above, below, beside, some steps away and elsewhere in its panel, and of what touches it. They are trained with
the rounds of assign.py unrolled, on series that the metric has not seen. (That they should learn from styles that the metric
has not seen either, since it is surer of itself in those that it has, was tried with a metric for each style that had learned
from all others: on the style for choosing it gave .865 where this gave .871. Ten epochs give .882 there, five .887. That a gate for each border
says how much speaks for one colour on both sides, by the places of the two regions, gave .830 where there is .833 on 60 pages of that style, and one part
in a hundred more of the pixels of the sample chapter.) Those in the package were trained before strings and focus lines were drawn into the
series for gates (trained anew they gave as much), and then went on with --start on the series "own", those of other hands, ten of each invented kind, and
those whose names end with "scene"; and once more so with attention, which the same from the start did as well. Trained on model sheets, too, they gave .850 and .878 where there is .856 and .885 from
sheets and from pages.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.train_flats import Descent, measured, save, seen_anew

from batch_processing.backends.flats import assign, graph, references

torch: Any = importlib.import_module("torch")

HIDDEN = 48
SEED = 1
EPOCHS, RATE = 5, 3e-3
UNLIKE = 0.5
"""Spread of what the gates of heads say at the start, so that heads come to differ."""
HEEDED = 0.08
"""How much is heeded of what touches a region, at the start."""
EARLY, EARLY_WEIGHT = 2, 0.3
"""A round whose result counts in the loss too, and how much."""


def ways_of(look: graph.Look) -> Any:
    """What surroundings does for one head, as matrices: (SIDES, n, n)."""
    n = len(look.regions)
    ones = np.ones((n, graph.AROUND), np.float32)
    each = graph.surroundings(graph.walks(look), np.eye(n, dtype=np.float32), ones)[:, :: graph.HEADS]
    return torch.from_numpy(np.ascontiguousarray(each.transpose(1, 0, 2)))


def unrolled(item: dict[str, Any], metric: graph.Weights) -> dict[str, Any]:
    """What the rounds of assign.settle work with, as tensors."""
    studied = [
        replace(one, seen=seen_anew(part)) for part, one in zip(item["known"], item["studied"], strict=True)
    ]
    known = references.summed_up(item["palette"], studied, metric)
    k = item["colours"]
    places = any(one.shows_place for one in studied)
    around = []
    for one in studied:
        color = torch.eye(k)[torch.from_numpy(one.color).long()]
        place = torch.from_numpy(graph.embed(one.seen, metric).place)
        around.append((ways_of(one.seen), place, color, torch.from_numpy(~(one.paper & places))))
    # What no reference shows nothing can vote for.
    shown = np.bincount(known.region_color, minlength=k).astype(bool)
    asked = []
    for page in item["asked"]:
        look = seen_anew(page)
        n = len(look.regions)
        votes = assign.votes_on(look, known, metric)
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
                "right": torch.from_numpy(page["right"] * shown),
                "count": torch.from_numpy(page["count"].astype(np.float32)),
            }
        )
    return {
        "colours": k,
        "around": around,
        "colour": torch.from_numpy(known.region_color).long(),
        "share": torch.from_numpy(known.region_share),
        "lift": torch.from_numpy(np.log(known.touch)),
        "asked": asked,
    }


class Gate(torch.nn.Module):  # type: ignore[misc]
    """What graph._gate computes; at the start all regions have about the values of `start`."""

    def __init__(self, width: int, start: tuple[float, ...], unlike: float = 0.0) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(width, HIDDEN), torch.nn.Linear(HIDDEN, len(start))
        torch.nn.init.normal_(self.b.weight, std=unlike)
        self.b.bias.data = torch.log(torch.tensor(start))

    def forward(self, rows: Any) -> Any:
        hidden = torch.nn.functional.dropout(torch.relu(self.a(rows)), 0.2, self.training)
        return torch.exp(torch.clamp(self.b(hidden), -5, 3))


class Gates(torch.nn.Module):  # type: ignore[misc]
    """The rounds of assign.assign where the metric is trusted."""

    def __init__(self, sharpness: tuple[float, float]) -> None:
        super().__init__()
        self.send = Gate(graph.PLACE_WIDTH, (1.0,) * graph.AROUND, UNLIKE)
        self.read = Gate(graph.PLACE_WIDTH, (4.0 / graph.HEADS,) * graph.AROUND, UNLIKE)
        self.tell = Gate(graph.PLACE_WIDTH, (1.0,) * graph.TOUCHES, UNLIKE)
        self.heed = Gate(graph.PLACE_WIDTH, (HEEDED,) * graph.TOUCHES)
        self.trust = Gate(graph.PLACE_WIDTH + graph.SIGNS, assign.WEIGHTS)
        self.area, self.open, self.touch = (torch.nn.Parameter(torch.tensor(v)) for v in assign.BALANCE)
        self.product, self.prior = sharpness

    def forward(self, item: dict[str, Any], page: dict[str, Any]) -> list[Any]:
        """Share of each colour for each region, (n, colours), after each round."""
        k, place, white = item["colours"], page["place"], page["white"][:, None]
        theirs = []
        for ways, there, color, keep in item["around"]:
            sent = self.send(there).view(-1, graph.SIDES, graph.HEADS)
            sides = torch.einsum("snm,msh,mk->nshk", ways, sent, color)
            theirs += [torch.sqrt(sides + 1e-7)[keep].flatten(1)] * 2
        those = torch.cat(theirs).T
        weight = self.trust(torch.cat([place, page["signs"]], 1))
        sent, read = (gate(place).view(-1, graph.SIDES, graph.HEADS) for gate in (self.send, self.read))
        tell, heed, logs = self.tell(place), self.heed(place), page["logs"]
        votes = sum(weight[:, [vote]] * logs[vote] for vote in range(3)) + self.area * logs[3]
        belief = torch.where(white, torch.full((k,), -30.0).index_fill(0, torch.tensor(0), 0), votes)
        look = page["like"] * self.product * weight[:, 4:5] + self.prior * torch.log(item["share"] + 1e-5)
        share = torch.softmax(belief, 1)
        rounds = []
        for _ in range(assign.ROUNDS):
            wish = self.open * (page["borders"][0] @ share)
            wish = wish + self.touch * (page["borders"][1] @ share) @ item["lift"]
            told = share * share.max(1, keepdim=True)[0] ** 2
            for one in range(graph.TOUCHES):
                touching = page["borders"][1] @ (told * tell[:, one : one + 1])
                wish = wish + heed[:, one : one + 1] * (touching @ item["lift"])
            around = torch.einsum("snm,mshk->nshk", page["ways"], told[:, None, None, :] * sent[..., None])
            mine = torch.sqrt(around + 1e-7) * read[..., None]
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


def train(
    items: list[dict[str, Any]],
    others: list[dict[str, Any]],
    sharpness: tuple[float, float],
    start: graph.Weights | None,
    epochs: int,
    rate: float,
) -> Any:
    """Learn from items, from the gates `start` on; how well it does on others is printed."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    net = Gates(sharpness)
    if start is not None:
        restore(net, start)
    steps = [(item, page) for item in items for page in item["asked"]]
    descent = Descent(net, rate, 1e-2, epochs * len(steps))
    for epoch in range(epochs):
        lost = 0.0
        for step in rng.permutation(len(steps)).tolist():
            item, page = steps[step]
            loss = gates_loss(net(item, page), page)
            descent.step(loss)
            lost += float(loss.detach())
        net.eval()
        with torch.no_grad():
            right = [settled_right(net(item, page)[-1], page) for item in others for page in item["asked"]]
        net.train()
        print(
            f"epoch {epoch}: loss {lost / len(steps):.4f}, held back {np.mean(right):.3f}",
            flush=True,
        )
    return net


def settled_right(share: Any, page: dict[str, Any]) -> float:
    """The share of a page's regions, by the root of their area, whose likeliest colour is right."""
    weight = torch.sqrt(page["count"]) * ~page["white"] * (page["right"].max(1)[0] > 0.5)
    best = page["right"].gather(1, share.argmax(1, keepdim=True))[:, 0] > 0.5
    return float((weight * best).sum() / weight.sum().clamp(min=1))


def arrays_of(net: Any) -> dict[str, NDArray[np.float16]]:
    """The gates as graph._gate wants them, (in, out)."""
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    return {
        name: np.asarray(array.T if array.ndim == 2 else array, np.float16) for name, array in state.items()
    }


def restore(net: Any, arrays: graph.Weights) -> None:
    """Give gates the weights that arrays_of made of others."""
    state = {}
    for name, fresh in net.state_dict().items():
        array = torch.from_numpy(arrays[name].astype(np.float32))
        state[name] = array.T if array.ndim == 2 else array.reshape(fresh.shape)
    net.load_state_dict(state)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("metric", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="weights whose gates to go on from")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rate", type=float, default=RATE)
    chosen = parser.parse_args()
    metric = graph.weights_of(chosen.metric.read_bytes())
    items, others = (
        [unrolled(item, metric) for item in measured(chosen.folder, first)] for first in ("g", "held")
    )
    start = graph.weights_of(chosen.start.read_bytes()) if chosen.start is not None else None
    sharpness = graph.sharpness(metric)
    gates = arrays_of(train(items, others, sharpness, start, chosen.epochs, chosen.rate))
    save(dict(metric) | gates, chosen.out)


if __name__ == "__main__":
    main()
