"""Train the attention of the `flats` backend, and with it the first network of the metric, both in src/batch_processing/backends/flats/metric.npz.

    python benchmarks/train_attention.py FOLDER METRIC.npz OUT.npz [--epochs 7] [--start]

FOLDER is what `benchmarks/train_flats.py measure` made, METRIC what its `metric` made; the gates (`benchmarks/train_gates.py`) are trained
after this. With --start the layers go on from those in METRIC. Needs PyTorch; some five minutes an epoch on two cores.

A step takes a page and the references of its series, as those of the metric do; in a quarter of the steps one of the references
stands for the page, and the others tell it. The loss is that of the metric, of the colours after the last layer and, by a fifth, of
those before the first and after each other. Each process has its share of the series, and each step takes the mean of their gradients.

Those in the package had EPOCHS of all series named m but those by one hand (casts from 1000 on); they went on from a network that had three, in which readers attended to the paper of references
as well, and kept of it the metric and the first layer. On series for gates, with much on their pages and with little, .683 and .850 are right after these, and
.638 and .844 after two of them.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.train_flats import Net, arrays_of, measured, restore, save, slim

from batch_processing.backends.flats import attention, graph

torch: Any = importlib.import_module("torch")

EPOCHS, RATE, METRIC_RATE, DECAY = 7, 1e-3, 4e-4, 2e-2
DROP = 0.05
"""Share of the values that is left out in a step."""
EARLY_WEIGHT = 0.2
"""How much the colours before the last layer count in the loss."""
TURNED = 0.25
"""How often a reference stands for a page."""
TWICE = 0.2
"""How often a reference is there in both orientations."""
STRANGER = 0.4
"""How often a reference of another series is there, and how often it is of the same style."""
ALIKE = 0.6
EDGE_HIDDEN = 32
SEED = 1


class Layer(torch.nn.Module):  # type: ignore[misc]
    """What a layer of `attention` computes, for a page and its references at once."""

    def __init__(self) -> None:
        super().__init__()
        linear, width, heads, readers = torch.nn.Linear, attention.WIDTH, attention.HEADS, attention.READERS
        self.n1, self.n2, self.n3 = (torch.nn.LayerNorm(width) for _ in range(3))
        self.qkv, self.o = linear(width, 3 * width), linear(width, width)
        self.edge = torch.nn.Sequential(
            linear(graph.TIE_WIDTH, EDGE_HIDDEN), torch.nn.ReLU(), linear(EDGE_HIDDEN, heads)
        )
        # At the start what borders on a region is heard most, and its own panel more than others.
        self.near = torch.nn.Parameter(torch.tensor([2.0, 0.0, -1.0])[:, None].repeat(1, heads))
        self.cq, self.ck, self.cv, self.co = (linear(width, width) for _ in range(4))
        self.read, self.say = linear(width, readers * heads), linear(width, readers)
        self.prior = torch.nn.Parameter(torch.zeros(readers))
        self.up, self.down = linear(width, 2 * width), linear(2 * width, width)
        for gate, start in ((self.read, 1.0), (self.say, math.log(0.6 / readers))):
            torch.nn.init.zeros_(gate.weight)
            torch.nn.init.constant_(gate.bias, start)
        for out in (self.o, self.co, self.down):
            torch.nn.init.normal_(out.weight, std=0.02)
            torch.nn.init.zeros_(out.bias)

    def within(self, state: Any, colors: Any, drawings: list[Drawing], drop: float) -> tuple[Any, Any]:
        """What regions are once they have heard their drawings, and the colours that they have heard of, (HEADS, n, k)."""
        heads, wide = attention.HEADS, attention.WIDTH // attention.HEADS
        rows = self.qkv(self.n1(state)).view(len(state), 3, heads, wide).permute(1, 2, 0, 3)
        context, taken = [], []
        for drawing in drawings:
            asked, key, value = rows[:, :, drawing.rows]
            near = self.near[:, :, None, None]
            base = drawing.same * near[attention.SAME_PANEL] + (1 - drawing.same) * near[attention.ELSEWHERE]
            score = torch.baddbmm(base, asked, key.transpose(1, 2), alpha=wide**-0.5)
            n = score.shape[1]
            tied = (self.near[attention.TIED] + self.edge(drawing.ties)).T
            oneself = torch.full((heads, n), attention.NOBODY)
            score = score.view(heads, -1).index_add(1, drawing.cells, torch.cat([tied, oneself], 1))
            mass = torch.softmax(score.view(heads, n, n), 2)
            context.append(mass @ colors[drawing.rows])
            taken.append((mass @ value).transpose(0, 1).reshape(n, -1))
        heard = torch.nn.functional.dropout(self.o(torch.cat(taken)), drop, self.training)
        return state + heard, torch.sqrt(torch.cat(context, 1) + attention.ROOT)

    def forward(
        self, state: Any, colors: Any, n: int, drawings: list[Drawing], area: Any, drop: float
    ) -> tuple[Any, Any]:
        """The state of the page's `n` regions and of those of the references, and what readers say of the page's colours, (n, k)."""
        readers, wide, dropout = (
            attention.READERS,
            attention.WIDTH // attention.READERS,
            torch.nn.functional.dropout,
        )
        state, context = self.within(state, colors, drawings, drop)
        rows = self.n2(state)
        asked = self.cq(rows[:n]).view(n, readers, wide).transpose(0, 1)
        key, value = (of(rows[n:]).view(-1, readers, wide).transpose(0, 1) for of in (self.ck, self.cv))
        heeded = self.read(rows[:n]).view(n, readers, attention.HEADS).permute(1, 2, 0)[..., None]
        mine = (heeded * context[None, :, :n]).permute(0, 2, 1, 3).flatten(2)
        theirs = context[:, n:].permute(1, 0, 2).flatten(1)
        known, kept = area
        score = asked @ key.transpose(1, 2) * (2 * wide**-0.5) + mine @ theirs.T
        mass = torch.softmax(score + self.prior[:, None, None] * known + kept, 2)
        floor, k = attention.READ_FLOOR, colors.shape[1]
        said = torch.log((1 - floor) * (mass @ colors[n:]) + floor / k)
        loud = torch.exp(torch.clamp(self.say(rows[:n]), *attention.LOUD))
        taken = dropout(self.co((mass @ value).transpose(0, 1).reshape(n, -1)), drop, self.training)
        state = torch.cat([state[:n] + taken, state[n:]])
        state = state + dropout(self.down(torch.relu(self.up(self.n3(state)))), drop, self.training)
        return state, (loud.T[..., None] * said).sum(0)


@dataclass(frozen=True)
class Drawing:
    """Where the regions of one drawing stand among those of all, and how they lie to each other."""

    rows: slice
    same: Any
    """Whether two are of one panel, (n, n)."""
    cells: Any
    """Where in (n, n), row by row, its borders are, and then its diagonal."""
    ties: Any

    @classmethod
    def of(cls, part: dict[str, Any], start: int) -> Drawing:
        n, panel = len(part["nodes"]), part["panel"]
        same = (panel[:, None] == panel[None]).float()
        cells = torch.cat([part["here"] * n + part["there"], torch.arange(n) * (n + 1)])
        return cls(slice(start, start + n), same, cells, part["ties"])


class Attention(torch.nn.Module):  # type: ignore[misc]
    """What attention.read computes, and attention.heard for it."""

    def __init__(self) -> None:
        super().__init__()
        self.metric = Net()
        self.enter = torch.nn.Linear(self.metric.out.in_features, attention.WIDTH)
        self.whose = torch.nn.Parameter(torch.zeros(2, attention.WIDTH))
        self.layers = torch.nn.ModuleList(Layer() for _ in range(attention.LAYERS))

    def forward(self, asked: dict[str, Any], known: list[dict[str, Any]], k: int, drop: float) -> list[Any]:
        """The logarithm of the share of each colour for each region, (n, k): by the metric alone, and after each layer."""
        parts, metric = [asked, *known], self.metric
        n = len(asked["nodes"])
        starts = np.cumsum([0, *(len(part["nodes"]) for part in parts)]).tolist()
        drawings = [Drawing.of(part, start) for part, start in zip(parts, starts[:-1], strict=True)]
        levels = torch.cat([metric.levels(part, drop) for part in parts])
        color, share, paper = (
            torch.cat([part[name] for part in known]) for name in ("colour", "share", "paper")
        )
        own = torch.nn.functional.one_hot(color.long(), k).float()
        area, kept = torch.log(share.float() + 1e-5), torch.where(paper, attention.NOBODY, 0.0)
        place = torch.nn.functional.normalize(metric.out(levels), dim=1)
        score = place[:n] @ place[n:].T * torch.exp(metric.tau) + metric.prior * area + kept
        floor = attention.BASE_FLOOR
        belief = torch.log((1 - floor) * (torch.softmax(score, 1) @ own) + floor / k)
        found = [belief]
        state = self.enter(levels)
        state = torch.cat([state[:n] + self.whose[0], state[n:] + self.whose[1]])
        white = torch.eye(1, k)
        for layer in self.layers:
            mine = torch.where(asked["paper"][:, None], white, torch.softmax(belief, 1))
            state, said = layer(state, torch.cat([mine, own]), n, drawings, (area, kept), drop)
            belief = belief + said
            found.append(torch.log_softmax(belief, 1))
        return found


def loss_of(found: list[Any], asked: dict[str, Any]) -> tuple[Any, float]:
    """The loss, and the share that is right after the last layer; regions weigh as the root of their area."""
    weight = torch.sqrt(asked["count"].float()) * ~asked["paper"] * (asked["right"].max(1)[0] > 0.5)
    weight = weight / weight.sum().clamp(min=1)
    hits = [(torch.softmax(one, 1) * asked["right"]).sum(1).clamp(max=1) for one in found]
    lost = [-(weight * torch.log(0.98 * hit + 0.01)).sum() for hit in hits]
    best = asked["right"].gather(1, found[-1].argmax(1, keepdim=True))[:, 0] > 0.5
    return lost[-1] + EARLY_WEIGHT * sum(lost[:-1]), float((weight * best).sum())


def episode(
    items: list[dict[str, Any]], item: dict[str, Any], page: int, rng: np.random.Generator
) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """A page with the colours that are right, references, and how many colours these have: one step of learning."""

    def either(views: list[dict[str, Any]]) -> dict[str, Any]:
        return views[int(rng.integers(2))]

    colors, those = item["colours"], item["known"]
    if len(those) > 1 and rng.random() < TURNED:
        turned = int(rng.integers(len(those)))
        asked, those = either(those[turned]), [*those[:turned], *those[turned + 1 :]]
        shown = torch.zeros(colors).index_fill(0, torch.cat([one[0]["colour"].long() for one in those]), 1)
        right = torch.nn.functional.one_hot(asked["colour"].long(), colors) * shown
        asked = asked | {"right": right, "count": asked["share"]}
    else:
        asked = either(item["asked"][page])
    known = [either(one) for one in those] + [either(one) for one in those if rng.random() < TWICE]
    if rng.random() < STRANGER:
        others = [one for one in items if one["style"] == item["style"]] if rng.random() < ALIKE else items
        other = others[int(rng.integers(len(others)))]
        if other is not item:
            part = either(other["known"][int(rng.integers(len(other["known"])))])
            used, row = torch.unique(part["colour"], return_inverse=True)
            known.append(part | {"colour": row + colors})
            colors += len(used)
    more = colors - asked["right"].shape[1]
    return asked | {"right": torch.nn.functional.pad(asked["right"], (0, more))}, known, colors


def found_in(net: Any, items: list[dict[str, Any]]) -> tuple[float, int]:
    """The sum of what is right of the pages of items, and how many there are."""
    net.eval()
    with torch.no_grad():
        right = [
            loss_of(
                net(asked[0], [view for part in item["known"] for view in part], item["colours"], 0), asked[0]
            )[1]
            for item in items
            for asked in item["asked"]
        ]
    net.train()
    return sum(right), len(right)


@dataclass(frozen=True)
class Task:
    """What all processes do together."""

    folder: Path
    metric: Path
    out: Path
    meet: Path
    """The file at which processes find each other."""
    processes: int
    epochs: int
    on: bool
    """Whether the layers go on from those that there are."""


def train(rank: int, task: Task) -> None:
    """Learn with one process of several; the first prints how well all do, and writes what they learned."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    together = torch.distributed
    together.init_process_group("gloo", f"file://{task.meet}", rank=rank, world_size=task.processes)
    mine = slice(rank, None, task.processes)
    items, others = ([slim(item) for item in measured(task.folder, first, mine)] for first in ("m", "held"))
    rng = np.random.default_rng(SEED + rank)
    net = Attention()
    seen = torch.cat([part[0]["nodes"] for item in items for part in item["known"]])
    scale = torch.stack([seen.mean(0), seen.std(0).clamp(min=0.02)])
    together.broadcast(scale, 0)
    net.metric.mean, net.metric.spread = scale
    weights = graph.weights_of(task.metric.read_bytes())
    restore(net.metric, weights, 0)
    if task.on:
        restored = {
            name: torch.from_numpy(weights[name].T if name.endswith(".weight") else weights[name]).view_as(
                value
            )
            for name, value in net.state_dict().items()
            if not name.startswith("metric.")
        }
        net.load_state_dict(restored, strict=False)
    steps = [(item, page) for item in items for page in range(len(item["asked"]))]
    least = torch.tensor(len(steps))
    together.all_reduce(least, together.ReduceOp.MIN)
    groups = [
        {"params": list(net.metric.parameters()), "lr": METRIC_RATE},
        {"params": [p for name, p in net.named_parameters() if not name.startswith("metric.")], "lr": RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [METRIC_RATE, RATE], total_steps=task.epochs * int(least) + 1, pct_start=0.1
    )
    for epoch in range(task.epochs):
        total = 0.0
        for step in rng.permutation(len(steps))[: int(least)].tolist():
            item, page = steps[step]
            asked, known, colors = episode(items, item, page, rng)
            loss, right = loss_of(net(asked, known, colors, DROP), asked)
            optimiser.zero_grad()
            loss.backward()
            average(net, task.processes)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += right
        held = torch.tensor([*found_in(net, others), total, int(least)])
        together.all_reduce(held)
        if rank == 0:
            good, count, learned, pages = held.tolist()
            print(f"epoch {epoch}: right {learned / pages:.3f}, held back {good / count:.3f}", flush=True)
    if rank == 0:
        save(weights_with(net, weights), task.out)
    together.destroy_process_group()


def average(net: Any, processes: int) -> None:
    """Give each process the mean of all their gradients."""
    every = [torch.zeros_like(one) if one.grad is None else one.grad for one in net.parameters()]
    flat = torch.cat([gradient.view(-1) for gradient in every])
    torch.distributed.all_reduce(flat)
    start = 0
    for value in net.parameters():
        value.grad = flat[start : start + value.numel()].view_as(value) / processes
        start += value.numel()


def weights_with(net: Any, before: graph.Weights) -> dict[str, NDArray[Any]]:
    """The weights of before with those that the network has learned."""
    own = {
        name: value.numpy().T if name.endswith(".weight") and value.ndim == 2 else value.numpy()
        for name, value in net.state_dict().items()
        if not name.startswith("metric.")
    }
    return dict(before) | arrays_of(net.metric, 0) | own


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("metric", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", action="store_true", help="go on from the layers in METRIC")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            chosen.folder, chosen.metric, chosen.out, Path(folder, "meet"), chosen.processes, chosen.epochs, chosen.start,
        )  # fmt: skip
        torch.multiprocessing.spawn(train, (task,), nprocs=chosen.processes)


if __name__ == "__main__":
    main()
