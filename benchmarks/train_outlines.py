"""Train the network of outlines of the `flats` backend: src/batch_processing/backends/flats/outlines.npz.

    python benchmarks/train_outlines.py FOLDER OUT.npz [--start OLD.npz --epochs 10 --rate 1.2e-3]

FOLDER is what `benchmarks/train_flats.py measure` made. Needs PyTorch; two minutes an epoch on one core. A step takes a page and
the references of its series, MOST regions of each, drawn by the root of their area; the loss is that of the metric: -log of the
share that the softmax over the regions of the references gives to a right colour. Each drawing is shown as it is or in a
mirror. The weights in the package were trained in four turns, each with --start from those before and --rate 1.2e-3, as more and more
invented casts were drawn: EPOCHS with 60 of heads and of busts, 9 with 123, 10 with 176 and as many bodies, 5 with 270 of each; and are
halfway (mean_weights.py) from there to five more epochs, at 1e-3, with 154 others of each, and from there to five on scenes and others alike.
How much is right of series that were held back and of a style that is not learned from is printed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.train_flats import Descent, measured, save, strangers

from batch_processing.backends.flats import outlines
from batch_processing.backends.flats.arrays import unpacked

torch: Any = importlib.import_module("torch")

CHANNELS = (24, 48, 64)
MOST = 72
EPOCHS, RATE, SEED = 24, 2e-3, 1
Seen = tuple[dict[str, Any], bool]
"""A drawing, and whether it is seen in a mirror."""


class Branch(torch.nn.Module):  # type: ignore[misc]
    """What one window shows, as outlines.pictured computes it."""

    def __init__(self) -> None:
        super().__init__()
        widths = (2, *CHANNELS)
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(widths)
        )
        cells = (outlines.SIDE >> outlines.LAYERS) ** 2
        self.out = torch.nn.Linear(CHANNELS[-1] * cells, outlines.WIDTH // len(outlines.BOXES))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.out(torch.nn.functional.dropout(x.flatten(1), 0.1, self.training))


class Net(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.branches = torch.nn.ModuleList(Branch() for _ in outlines.BOXES)
        self.tau = torch.nn.Parameter(torch.tensor(2.5))
        self.prior = torch.nn.Parameter(torch.tensor(0.0))

    def place(self, windows: Any) -> Any:
        both = [branch(windows[:, b].float() / 255) for b, branch in enumerate(self.branches)]
        return torch.nn.functional.normalize(torch.cat(both, 1), dim=1)


def some(rows: NDArray[np.int64], weight: NDArray[Any], rng: np.random.Generator | None) -> NDArray[np.int64]:
    """At most MOST of the rows where there is a `rng`."""
    if rng is None or len(rows) <= MOST:
        return rows
    likely = np.sqrt(weight[rows].astype(np.float64)) + 1e-4
    return rng.choice(rows, MOST, replace=False, p=likely / likely.sum())


def windows_of(part: dict[str, Any], rows: NDArray[np.int64], mirrored: bool) -> Any:
    seen = torch.from_numpy(part["windows"][rows])
    return seen.flip(-1) if mirrored else seen


def loss_of(
    net: Any,
    colors: int,
    asked: Seen,
    known: list[Seen],
    rng: np.random.Generator | None,
    strange: list[Seen] | None = None,
) -> tuple[Any, float] | None:
    """The loss, and the share that is right, regions weighed as the root of their area; None where nothing is asked.
    `strange` are references whose colours are all wrong."""
    page, turned = asked
    there = np.flatnonzero(~page["paper"] & (page["right"].max(1) > 0.5))
    if not len(there):
        return None
    rows = some(there, page["count"], rng)
    seen, color, share = [windows_of(page, rows, turned)], [], []
    for number, (part, mirrored) in enumerate([*known, *(strange or [])]):
        theirs = some(np.flatnonzero(~part["paper"]), part["share"], rng)
        seen.append(windows_of(part, theirs, mirrored))
        own = number < len(known)
        color.append(part["colour"][theirs].astype(np.int64) if own else np.full(len(theirs), colors))
        share.append(part["share"][theirs])
    places = net.place(torch.cat(seen))
    mine, those = places[: len(rows)], places[len(rows) :]
    area = torch.log(torch.from_numpy(np.concatenate(share)).float() + 1e-5)
    mass = torch.softmax(mine @ those.T * torch.exp(net.tau) + net.prior * area, 1)
    count = colors + bool(strange)
    told = torch.zeros(len(rows), count).index_add_(1, torch.from_numpy(np.concatenate(color)), mass)
    right = torch.nn.functional.pad(torch.from_numpy(page["right"][rows]).float(), (0, count - colors))
    weight = torch.sqrt(torch.from_numpy(page["count"][rows]).float())
    weight = weight / weight.sum()
    best = right.gather(1, told.argmax(1, keepdim=True))[:, 0] > 0.5
    return -(weight * torch.log(0.98 * (told * right).sum(1) + 0.01)).sum(), float((weight * best).sum())


def found_in(net: Any, items: list[dict[str, Any]]) -> float:
    """The share that is right in items."""
    with torch.no_grad():
        found = [
            loss_of(
                net,
                item["colours"],
                (page, False),
                [(part, m) for part in item["known"] for m in (False, True)],
                None,
            )
            for item in items
            for page in item["asked"]
        ]
    return float(np.mean([one[1] for one in found if one is not None]))


def train(
    items: list[dict[str, Any]],
    others: list[dict[str, Any]],
    start: dict[str, NDArray[Any]] | None,
    epochs: int,
    rate: float,
) -> Any:
    """Learn from items, from the weights `start` on; how well it does on others is printed."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    back = [item for i, item in enumerate(items) if i % 20 == 7]
    learned = [item for i, item in enumerate(items) if i % 20 != 7]
    steps = [(item, page) for item in learned for page in item["asked"]]
    net = Net()
    if start is not None:
        restore(net, start)
    descent = Descent(net, rate, 2e-2, epochs * len(steps))

    def at_random(part: dict[str, Any]) -> Seen:
        return part, bool(rng.integers(2))

    for epoch in range(epochs):
        net.train()
        rng.shuffle(steps)
        right = 0.0
        for item, page in steps:
            known = [at_random(part) for part in item["known"]]
            known += [at_random(part) for part in item["known"] if rng.random() < 0.3]
            strange = [at_random(part) for part in strangers(learned, item, rng)]
            found = loss_of(net, item["colours"], at_random(page), known, rng, strange)
            if found is None:
                continue
            descent.step(found[0])
            right += found[1]
        net.eval()
        print(
            f"epoch {epoch}: right {right / len(steps):.3f}, held back {found_in(net, back):.3f} and {found_in(net, others):.3f}",
            flush=True,
        )
    return net


def arrays_of(net: Any) -> dict[str, NDArray[np.float16]]:
    """The weights as outlines.pictured wants them: (in, out), channels last."""
    found: dict[str, NDArray[Any]] = {}
    for b, branch in enumerate(net.branches):
        for number, layer in enumerate(branch.layers):
            weight = layer.weight.detach().numpy()
            found[f"{b}.{number}.weight"] = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
            found[f"{b}.{number}.bias"] = layer.bias.detach().numpy()
        weight = branch.out.weight.detach().numpy()
        side = outlines.SIDE >> outlines.LAYERS
        cells = weight.reshape(len(weight), CHANNELS[-1], side, side)
        found[f"{b}.out.weight"] = cells.transpose(2, 3, 1, 0).reshape(-1, len(weight))
        found[f"{b}.out.bias"] = branch.out.bias.detach().numpy()
    return {name: np.asarray(array, np.float16) for name, array in found.items()}


def restore(net: Any, arrays: dict[str, NDArray[Any]]) -> None:
    """Give a network the weights that arrays_of made of another."""
    with torch.no_grad():
        for b, branch in enumerate(net.branches):
            for number, layer in enumerate(branch.layers):
                out, into, high, wide = layer.weight.shape
                weight = arrays[f"{b}.{number}.weight"].reshape(high, wide, into, out).transpose(3, 2, 0, 1)
                layer.weight[:] = torch.from_numpy(weight.astype(np.float32))
                layer.bias[:] = torch.from_numpy(arrays[f"{b}.{number}.bias"].astype(np.float32))
            side = outlines.SIDE >> outlines.LAYERS
            cells = arrays[f"{b}.out.weight"].reshape(side, side, CHANNELS[-1], -1).transpose(3, 2, 0, 1)
            branch.out.weight[:] = torch.from_numpy(cells.reshape(len(cells), -1).astype(np.float32))
            branch.out.bias[:] = torch.from_numpy(arrays[f"{b}.out.bias"].astype(np.float32))


def slim(item: dict[str, Any]) -> dict[str, Any]:
    """What is needed here of a measured item."""
    kept = {"known": ("windows", "colour", "paper", "share"), "asked": ("windows", "right", "count", "paper")}
    return {"style": item["style"], "colours": item["colours"]} | {
        which: [{name: part[name] for name in names} for part in item[which]] for which, names in kept.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rate", type=float, default=RATE)
    chosen = parser.parse_args()
    items, others = ([slim(item) for item in measured(chosen.folder, first)] for first in ("m", "held"))
    start = unpacked(chosen.start.read_bytes()) if chosen.start is not None else None
    save(arrays_of(train(items, others, start, chosen.epochs, chosen.rate)), chosen.out)


if __name__ == "__main__":
    main()
