"""How often the classifier is right, how honest its confidence is, and how fast it is.

    python benchmarks/classification.py          accuracy per set, reliability, pages per second
    python benchmarks/classification.py --fit    also fit the model again and print WEIGHTS

Fitted on variants of `train/` of the shared comic data, judged on the other sets, which the fit never sees.
The reliability table is of the held-out fifth of the variants in each of five folds; pages of one series or
episode stay in one fold. Needs the shared data (`LOTE_SHARED`, or beside the checkout).
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from batch_processing.classification import ImageClassifier
from batch_processing.classification.classifier import ASK_BELOW, SIDE, WEIGHTS, log_measures

COMICS = (
    Path(os.environ.get("LOTE_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "data" / "comics"
)

#: Pages of train/painted without a scene: text on a scroll, one gray or sepia. Neither kind would be right.
CREDITS = {"E02P06", "E03P08", "E10P06", "E15P00", "E15P09", "E17P08", "E20P07", "E22P11", "E23P08"}
#: What a person answers for a page of one strong hue: line art more often than not.
ONE_HUE = 0.38
#: Ridge of the fit, in observations. The variants can be told apart almost perfectly; without a ridge the
#: weights, and with them the confidence, would grow without bound.
RIDGE = 3.0

#: Weight of the edges, set by hand: their share tells pages apart by drawing style rather than by colour (the fit alone
#: finds no stable sign), yet many edges must speak for line art, as `edge_ratio_threshold` promises.
EDGE_WEIGHT = -0.3

Picture = NDArray[Any]  # (h, w, 3), floating point, 0 to 1


def judged() -> Iterator[tuple[str, bool, Path]]:
    """(set, coloured?, file) of every page that the fit never sees."""
    with (COMICS / "classification" / "labels.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            yield "classification", row["label"] == "colour", COMICS / "classification" / row["file"]
    for path in sorted((COMICS / "peppercarrot").glob("*.jpg")):
        yield "peppercarrot", True, path
    for path in sorted((COMICS / "cobra").rglob("*.png")):
        yield "cobra", path.name != "page.png", path
    for path in sorted((COMICS / "synthetic").rglob("page*.*")):
        yield "synthetic", path.parent.name == "truth", path
    for path in sorted((COMICS / "synthetic").rglob("ref_*.png")):
        yield "synthetic", True, path
    yield "lineart", False, COMICS / "lineart" / "hepesu_linefiller_example.png"


def load(path: Path) -> Picture:
    with Image.open(path) as image:
        image.thumbnail((1000, 1000))
        return np.asarray(image.convert("RGB"), np.float32) / 255


def gray(page: Picture) -> Picture:
    level = page @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(level[:, :, None], 3, axis=2)


def light(shape: tuple[int, int], rng: np.random.Generator) -> Picture:
    """A smooth warm light that falls off to one side, to multiply a page with."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * x / shape[1] + np.sin(angle) * y / shape[0])[:, :, None]
    ramp = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    warm = np.array([1.0, rng.uniform(0.86, 0.97), rng.uniform(0.65, 0.9)], np.float32)
    return np.asarray((1 - ramp * (1 - warm)) * (1 - rng.uniform(0, 0.45) * (1 - ramp)))


def stamp(page: Picture, rng: np.random.Generator) -> Picture:
    image = Image.fromarray((page * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    width, height = image.size
    size = rng.uniform(0.04, 0.11) * width
    left, top = rng.uniform(0, width - 2 * size), rng.uniform(0, height - size)
    color = tuple(
        int(v) for v in rng.permutation([rng.integers(180, 255), rng.integers(0, 90), rng.integers(0, 90)])
    )
    if rng.random() < 0.5:
        draw.ellipse((left, top, left + size, top + size), outline=color, width=max(2, int(size / 8)))
    else:
        draw.rectangle((left, top, left + 2 * size, top + size / 2), fill=color)
    return np.asarray(image, np.float32) / 255


def pencil(line: Picture, rng: np.random.Generator, colors: int) -> Picture:
    """The lines of a page in one pencil colour, or the left and right part in two."""
    inks = rng.uniform(0.05, 0.85, (colors, 3)).astype(np.float32)
    which = (np.arange(line.shape[1]) * colors // line.shape[1])[None, :, None]
    ink = np.take_along_axis(inks[:, None, :], np.broadcast_to(which, (1, line.shape[1], 3)), 0)
    return 1 - (1 - line) * (1 - ink)


def duotone(page: Picture, rng: np.random.Generator) -> Picture:
    ink, paper = rng.uniform(0.0, 0.35, 3), rng.uniform(0.75, 1.0, 3)
    if rng.random() < 0.5:  # one ink on white paper; else a tinted paper too
        ink[rng.integers(3)], paper = rng.uniform(0.4, 0.8), np.ones(3)
    return (ink + (paper - ink) * gray(page)).astype(np.float32)


def part(line: Picture, color: Picture, rng: np.random.Generator) -> Picture:
    """A white page of lines with one coloured figure."""
    height, width = line.shape[:2]
    mask = Image.new("L", (width, height))
    w, h = width * rng.uniform(0.28, 0.6), height * rng.uniform(0.28, 0.6)
    left, top = rng.uniform(0.05 * width, 0.95 * width - w), rng.uniform(0.05 * height, 0.95 * height - h)
    ImageDraw.Draw(mask).ellipse((left, top, left + w, top + h), fill=255)
    share = np.asarray(mask, np.float32)[:, :, None] / 255
    return line * (1 - share) + color * share


def pale(line: Picture, color: Picture, strength: float) -> Picture:
    """A watercolour: the ink stays dark, the colours fade towards white."""
    return line * (1 - strength * (1 - color))


def wear(page: Picture, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What happens to pages on their way: paper, light, size, sensor noise, JPEG."""
    if rng.random() < 0.4:
        tint = np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.6, 1.0)])
        page = page * (rng.permutation(tint) if rng.random() < 0.3 else tint).astype(np.float32)
    if rng.random() < 0.15:
        page = page * light(page.shape[:2], rng)
    image = Image.fromarray((np.clip(page, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.4:
        scale = rng.uniform(0.3, 1.0)
        image = image.resize((int(image.width * scale), int(image.height * scale)))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 12), (image.height, image.width, 3))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(15, 95)))
        image = Image.open(file)
    return np.asarray(image.convert("RGB"))


def training() -> Iterator[tuple[str, str, float, NDArray[np.uint8]]]:
    """(fold group, kind, share of people who call it coloured, page): about 1,800 variants, always the same."""
    rng = np.random.default_rng(20261121)
    pages = []
    for path in sorted((COMICS / "train" / "series").glob("*_line.png")):
        if path.stem.split("_")[1] in "02":
            color = load(path.with_name(path.name.replace("line", "color")))
            pages.append((path.stem[:3], load(path), color))
    for path in sorted((COMICS / "train" / "painted").glob("*.jpg")):
        if path.stem not in CREDITS:
            color = load(path)
            ink = gray(color)
            edge = np.abs(np.diff(ink, axis=0, prepend=ink[:1])) + np.abs(
                np.diff(ink, axis=1, prepend=ink[:, :1])
            )
            pages.append((path.stem[:3], np.clip(1.2 - 4 * edge, 0, 1), color))
    for group, line, color in pages:
        screen = (np.add.outer(np.arange(line.shape[0]), np.arange(line.shape[1])) % 6 < 2)[:, :, None]
        for kind, page in {
            "ink": line,
            "black page": 1 - line,
            "gray": gray(color),
            "dark gray": gray(color) * rng.uniform(0.2, 1.0),
            "stamp": stamp(line, rng),
            "gray, stamp": stamp(gray(color), rng),
            "pencil": pencil(line, rng, 1),
            "two pencils": pencil(line, rng, 2),
            "pencil, stamp": stamp(pencil(line, rng, 1), rng),
            "screentone": np.where(screen & (gray(color) < 0.7), 0.0, line).astype(np.float32),
        }.items():
            yield group, kind, 0.0, wear(page, rng)
        for _ in range(2):
            yield group, "one hue", ONE_HUE, wear(duotone(color, rng), rng)
        for kind, page in {
            "colour": color,
            "dark colour": color * rng.uniform(0.2, 0.8),
            "watercolour": pale(line, color, rng.uniform(0.15, 0.35)),
            "pastel": pale(line, color, rng.uniform(0.35, 0.7)),
            "one figure": part(line, color, rng),
            "one pale figure": part(line, pale(line, color, rng.uniform(0.35, 0.7)), rng),
            "muted colour": gray(color) + rng.uniform(0.3, 0.8) * (color - gray(color)),
            "no dark": np.maximum(color, rng.uniform(0.3, 0.6)),
        }.items():
            yield group, kind, 1.0, wear(page, rng)


def solve(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic regression by Newton's method; columns: measures, edges (weight given), intercept (no ridge)."""
    weights = np.zeros(x.shape[1])
    weights[-2] = EDGE_WEIGHT
    free = [*range(x.shape[1] - 2), x.shape[1] - 1]
    ridge = np.diag([RIDGE] * (len(free) - 1) + [1e-9])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x[:, free] * (p * (1 - p))[:, None]).T @ x[:, free] + ridge
        step = np.linalg.solve(hessian, x[:, free].T @ (y - p) - ridge @ weights[free])
        weights[free] += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> None:
    print("\nconfidence      pages   mean confidence   right")
    edges = [0.5, 0.6, ASK_BELOW, 0.8, 0.9, 0.97, 0.99, 1.0001]
    for low, high in itertools.pairwise(edges):
        these = (confidence >= low) & (confidence < high)
        if these.any():
            print(
                f"{low:.2f} .. {min(high, 1):.2f} {these.sum():8d} {confidence[these].mean():14.3f}"
                f" {right[these].mean():10.3f}"
            )
    print(f"all          {len(right):8d} {confidence.mean():14.3f} {right.mean():10.3f}")


def fit() -> None:
    classifier = ImageClassifier()
    groups, labels, rows = [], [], []
    for group, _, label, page in training():
        measures = log_measures(classifier.classify_page(page).metrics)
        groups.append(group)
        labels.append(label)
        rows.append([*measures.values(), 1.0])
    x, y = np.array(rows), np.array(labels)
    names = [*measures, "intercept"]
    weights = solve(x, y)
    print(f"\nWEIGHTS, fitted on {len(y)} variants")
    for name, weight in zip(names, weights, strict=True):
        print(f'    "{name}": {weight:.3f},')
    fold = np.array([sorted(set(groups)).index(group) % 5 for group in groups])
    odds = np.empty(len(y))
    for held in range(5):
        odds[fold == held] = x[fold == held] @ solve(x[fold != held], y[fold != held])
    certain = (y == 0) | (y == 1)
    print("\nHeld-out folds, pages of one certain kind:", end="")
    confidence = 1 / (1 + np.exp(-np.abs(odds)))
    reliability(confidence[certain], ((odds > 0) == (y > 0.5))[certain])
    print(
        f"\nOne-hue pages: {(confidence[~certain] < ASK_BELOW).mean():.1%} below {ASK_BELOW},"
        f" {(odds[~certain] <= 0).mean():.1%} line art"
    )


def accuracy() -> None:
    classifier = ImageClassifier()
    print("set              pages   right   below 0.7   lowest confidence")
    by_set: dict[str, list[tuple[bool, float, Path]]] = {}
    for name, colored, path in judged():
        answer = classifier.classify(path)
        by_set.setdefault(name, []).append(((answer.type == "colored") == colored, answer.confidence, path))
    for name, answers in by_set.items():
        asked = sum(confidence < ASK_BELOW for _, confidence, _ in answers)
        lowest = min(confidence for _, confidence, _ in answers)
        right = sum(right for right, _, _ in answers)
        print(f"{name:15s} {len(answers):6d} {right:7d} {asked:11d} {lowest:19.3f}")
        for was_right, confidence, path in answers:
            if not was_right:
                print(f"    wrong: {path.relative_to(COMICS)} ({confidence:.3f})")


def speed() -> None:
    """JPEG pages of 1000x1400, one core, beside the bare draft decode of the same files in the same run."""
    import cv2

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        sources = [
            *sorted((COMICS / "peppercarrot").glob("*.jpg")),
            *sorted((COMICS / "synthetic").rglob("page_0?.png")),
        ]
        for number, source in enumerate(sources):
            paths.append(Path(folder) / f"{number}.jpg")
            with Image.open(source) as image:
                ImageOps.fit(image.convert("RGB"), (1000, 1400)).save(paths[-1], quality=90)
        best = {"bare": float("inf"), "classify": float("inf")}
        for _ in range(5):
            start = time.process_time()
            for path in paths:
                with Image.open(path) as image:
                    image.draft("RGB", (SIDE * 1000 // 1400, SIDE))
                    image.load()
            best["bare"] = min(best["bare"], time.process_time() - start)
            classifier = ImageClassifier()
            start = time.process_time()
            for path in paths:
                classifier.classify(path)
            best["classify"] = min(best["classify"], time.process_time() - start)
    bare, ours = (len(paths) / best[name] for name in ("bare", "classify"))
    print(
        f"\npages/s per core at 1000x1400: {ours:.0f}; bare draft decode {bare:.0f}; ratio {ours / bare:.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--fit", action="store_true", help="fit the model again and print its weights")
    arguments = parser.parse_args()
    if not COMICS.is_dir():
        print(f"needs the shared comic data at {COMICS} (set LOTE_SHARED)", file=sys.stderr)
        return 1
    if arguments.fit:
        fit()
        print(f"\nin use: {WEIGHTS}\n")
    accuracy()
    speed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
