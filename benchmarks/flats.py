"""How good are the flats? Measures of the `flats` backend on pages whose true colours are known.

    python benchmarks/flats.py DATA [--sets drawn gaps ...] [--sheet sheet.png]

DATA is a folder with `synthetic`, `cobra`, `peppercarrot` and `train` in it. Measures, on pixels off the ink:

* pixels: share of pixels in the right colour; without background: the same without the two largest true areas
  and the paper; regions: share of true regions most of which is right (drawn), of found regions whose median
  true colour is near the given one (painted); mIoU over true colours; dE00: median CIEDE2000.
* oracle: what a perfect colourist could reach with the regions found; cells: regions found per true region.
* sure: share of regions with confidence >= 0.9, and how many of them are right.
* one id: share of the area of each true colour, over all pages of a series, that its commonest palette id has;
  own id: share of pairs of true colours whose commonest ids differ.

Right is Delta-E (1976) under 6 for flat truth and under 15 for painted truth, which no single colour per region
can match exactly. Tune on the `train` sets only.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.colour import distances, to_lab
from batch_processing.backends.flats.pages import Flatted
from batch_processing.io.images import Page, decode

Rgb = NDArray[np.uint8]


@dataclass
class Case:
    """One page with its truth; `clean` is the page whose ink decides which pixels count."""

    name: str
    page: Page
    truth: Rgb
    clean: Rgb
    painted: bool = False
    register: bool = False


@dataclass
class Job:
    name: str
    references: list[Path]
    cases: list[Case] = field(default_factory=list)


def gray_page(gray: NDArray[np.uint8]) -> Page:
    return Page(np.repeat(gray[..., None], 3, axis=2), True, 8, None, None, "L")


def line_art_of(rgb: Rgb) -> NDArray[np.uint8]:
    """Line art of a coloured page: black-hat 9 x 9, times 2.2, inverted."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    hat = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, np.ones((9, 9), np.uint8))
    return np.asarray(255 - np.clip(hat.astype(np.float32) * 2.2, 0, 255), np.uint8)


def jobs(data: Path, which: str) -> list[Job]:
    """The jobs of one set."""
    out: list[Job] = []
    if which in {"drawn", "gaps", "tone", "scan"}:
        for folder in sorted((data / "synthetic").glob("series*")):
            job = Job(folder.name, sorted(folder.glob("ref_*.png")))
            names = {
                "drawn": [(f"page_0{i}.png", i) for i in range(4)],
                "gaps": [("page_00_gaps4.png", 0), ("page_00_gaps8.png", 0)],
                "tone": [("page_01_screentone.png", 1)],
                "scan": [("page_01_scan.jpg", 1)],
            }[which]
            for name, i in names:
                truth = decode(folder / "truth" / f"page_0{i}_color.png").rgb
                clean = decode(folder / f"page_0{i}.png").rgb
                job.cases.append(Case(name, decode(folder / name), truth, clean, register=which == "scan"))
            out.append(job)
    elif which == "cobra":
        for folder in sorted((data / "cobra").glob("line_*")):
            job = Job(folder.name, sorted(folder.glob("reference_*.png")))
            truth, page = decode(folder / "truth" / "page_color.png").rgb, decode(folder / "page.png")
            job.cases.append(Case("page", page, truth, page.rgb, painted=True))
            out.append(job)
    elif which in {"painted", "train-painted"}:
        folder = data / ("peppercarrot" if which == "painted" else "train/painted")
        episodes: dict[str, list[Path]] = {}
        for path in sorted(folder.glob("E*.jpg")):
            episodes.setdefault(path.stem[:3], []).append(path)
        for name, pages in episodes.items():
            if len(pages) < 2:
                continue
            tested = pages if which == "painted" else pages[:1]
            for path in tested:
                truth = decode(path).rgb
                line = line_art_of(truth)
                job = Job(f"{name} {path.stem}", [p for p in pages if p != path][:4])
                page = gray_page(line)
                job.cases.append(Case(path.stem, page, truth, page.rgb, painted=True))
                out.append(job)
    elif which == "train-drawn":
        for number in range(0, 24, 2):
            at = data / "train" / "series"
            job = Job(f"s{number:02}", [at / f"s{number:02}_{i}_color.png" for i in (3, 4)])
            for i in (0, 1):
                page = decode(at / f"s{number:02}_{i}_line.png")
                job.cases.append(
                    Case(f"s{number:02}_{i}", page, decode(at / f"s{number:02}_{i}_color.png").rgb, page.rgb)
                )
            out.append(job)
    else:
        raise SystemExit(f"no set {which}")
    return out


def registered(case: Case) -> Case:
    """The scan's truth moved onto the scan (affine, ECC), so that only the colouring is judged."""
    h, w = case.truth.shape[:2]
    scan = cv2.GaussianBlur(cv2.cvtColor(case.page.rgb, cv2.COLOR_RGB2GRAY), (0, 0), 3)
    clean = cv2.GaussianBlur(cv2.cvtColor(case.clean, cv2.COLOR_RGB2GRAY), (0, 0), 3)
    move: Any = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 300, 1e-6)
    _, move = cv2.findTransformECC(scan, clean, move, cv2.MOTION_AFFINE, criteria)
    flags = cv2.WARP_INVERSE_MAP
    white = (255, 255, 255)
    truth = cv2.warpAffine(case.truth, move, (w, h), flags=flags | cv2.INTER_NEAREST, borderValue=white)
    lines = cv2.warpAffine(case.clean, move, (w, h), flags=flags | cv2.INTER_LINEAR, borderValue=white)
    return Case(case.name, case.page, np.asarray(truth, np.uint8), np.asarray(lines, np.uint8))


def true_regions(truth: Rgb, free: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32], Rgb]:
    """Numbered areas of one true colour (from 1), the number of each pixel's colour, and the colours.

    Soft edges of the truth are taken out of `free`.
    """
    code = truth.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    used, counts = np.unique(code[free], return_counts=True)
    main: list[int] = []
    for value in used[np.argsort(-counts, kind="stable")][: int((counts >= 100).sum())].tolist():
        # Resampling left rings of nearly the same colour around the true ones.
        rgb = np.array([[value >> 16, value >> 8 & 255, value & 255]])
        known = np.array([[m >> 16, m >> 8 & 255, m & 255] for m in main]).reshape(-1, 3)
        if not main or distances(to_lab(rgb), to_lab(known)).min() > 5:
            main.append(value)
    colours = np.array([[m >> 16, m >> 8 & 255, m & 255] for m in main], np.uint8)
    every, inverse = np.unique(code, return_inverse=True)
    rgb = np.stack([every >> 16, every >> 8 & 255, every & 255], axis=1)
    away = distances(to_lab(rgb), to_lab(colours))
    nearest = away.argmin(axis=1)
    free &= (away.min(axis=1) < 5)[inverse].reshape(code.shape)  # soft edges belong to no region
    number = nearest[inverse].reshape(code.shape).astype(np.int32)
    labels = np.zeros(code.shape, np.int32)
    for k in range(len(colours)):
        part = ((number == k) & free).astype(np.uint8)
        _, found, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=4)
        keep = stats[:, cv2.CC_STAT_AREA] >= 100
        keep[0] = False
        labels = np.where(keep[found], np.cumsum(keep)[found] + labels.max(), labels).astype(np.int32)
    return labels, number, colours


def ciede2000(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIEDE2000 of rows of Lab (Sharma, Wu and Dalal 2005)."""
    c = (np.hypot(a[:, 1], a[:, 2]) + np.hypot(b[:, 1], b[:, 2])) / 2
    g = 0.5 * (1 - np.sqrt(c**7 / (c**7 + 25.0**7)))
    a1, b1 = a[:, 1] * (1 + g), b[:, 1] * (1 + g)
    c1, c2 = np.hypot(a1, a[:, 2]), np.hypot(b1, b[:, 2])
    h1, h2 = np.arctan2(a[:, 2], a1) % (2 * np.pi), np.arctan2(b[:, 2], b1) % (2 * np.pi)
    dh = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    dh = np.where(c1 * c2 == 0, 0, dh)
    mean_h = np.where(c1 * c2 == 0, h1 + h2, (h1 + dh / 2) % (2 * np.pi))
    mean_l, mean_c = (a[:, 0] + b[:, 0]) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(mean_h - np.radians(30))
        + 0.24 * np.cos(2 * mean_h)
        + 0.32 * np.cos(3 * mean_h + np.radians(6))
        - 0.20 * np.cos(4 * mean_h - np.radians(63))
    )
    sl = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    sc, sh = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    rt = (
        -2
        * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
        * np.sin(np.radians(60) * np.exp(-(((np.degrees(mean_h) - 275) / 25) ** 2)))
    )
    dl, dc, dhh = b[:, 0] - a[:, 0], c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(dh / 2)
    square = (dl / sl) ** 2 + (dc / sc) ** 2 + (dhh / sh) ** 2 + rt * (dc / sc) * (dhh / sh)
    return np.asarray(np.sqrt(square), np.float64)


def measure(case: Case, flat: Any, tally: dict[Any, Any]) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """All measures of one page, and the pixels that are wrong."""
    if case.register:
        case = registered(case)
    gray = cv2.cvtColor(case.clean, cv2.COLOR_RGB2GRAY)
    free = cv2.erode((gray > 200).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    labels = flat.labels
    given = flat.rgb[flat.colour]
    row: dict[str, float] = {}
    cells = np.unique(labels[free])
    index, paint = labels[free] - 1, case.truth[free]
    sure = flat.confidence >= 0.9
    wrong = np.zeros(free.shape, bool)
    if case.painted:
        away = np.sqrt(((to_lab(paint) - to_lab(given)[index]) ** 2).sum(axis=1))
        order = np.argsort(index, kind="stable")
        starts = np.searchsorted(index[order], np.arange(len(given) + 1))
        middle = np.array(
            [np.median(paint[order[a:b]], axis=0) if b > a else (0, 0, 0) for a, b in pairwise(starts)]
        )
        region_right = np.sqrt(((to_lab(middle) - to_lab(given)) ** 2).sum(axis=1)) < 15
        there = np.zeros(len(given), bool)
        there[cells - 1] = True
        row["regions"] = float(region_right[there].mean())
        row["pixels"] = float((away < 15).mean())
        best = np.sqrt(((to_lab(paint) - to_lab(middle)[index]) ** 2).sum(axis=1))
        row["oracle"] = float((best < 15).mean())
        wrong[free] = away >= 15
    else:
        regions, number, colours = true_regions(case.truth, free)
        index, paint, cells = labels[free] - 1, case.truth[free], np.unique(labels[free])
        near = np.sqrt(((to_lab(given)[:, None] - to_lab(colours)[None]) ** 2).sum(axis=2)) < 6
        right = near[labels - 1, number]
        wrong = free & ~right
        on = regions > 0
        hit = np.bincount(regions[on], right[on])[1:] / np.maximum(np.bincount(regions[on])[1:], 1)
        row["regions"] = float((hit > 0.5).mean())
        row["pixels"] = float(right[free].mean())
        size = np.bincount(number[free], minlength=len(colours)).astype(float)
        size[(colours > 250).all(axis=1)] = np.inf
        front = free & ~np.isin(number, np.argsort(-size)[:3])
        row["no bg"] = float(right[front].mean())
        table = np.zeros((len(given) + 1, len(colours)))
        np.add.at(table, (labels[free], number[free]), 1)
        row["oracle"] = float(table.max(axis=1).sum() / table.sum())
        row["cells"] = len(cells) / regions.max()
        ious = []
        for k in range(len(colours)):
            mine, theirs = near[labels - 1, k] & free, (number == k) & free
            ious.append((mine & theirs).sum() / max(1, (mine | theirs).sum()))
            ids = np.bincount(flat.colour[labels[theirs] - 1], minlength=len(flat.rgb))
            key = tuple(int(v) for v in colours[k])
            tally[key] = tally.get(key, 0) + ids
        row["mIoU"] = float(np.mean(ious))
        majority = table[1:].argmax(axis=1)
        region_right = near[np.arange(len(given)), majority]
        there = np.zeros(len(given), bool)
        there[cells - 1] = True
    row["count"] = float(len(cells))
    judged = there & np.array([w != "paper" for w in flat.why])
    row["sure"] = float(sure[judged].mean()) if judged.any() else 0.0
    row["sure ok"] = float(region_right[judged & sure].mean()) if (judged & sure).any() else 1.0
    pick = np.linspace(0, len(paint) - 1, min(len(paint), 20000)).astype(int)
    row["dE00"] = float(np.median(ciede2000(to_lab(paint[pick]), to_lab(given)[index[pick]])))
    tally.setdefault("bins", []).extend(zip(flat.confidence[judged], region_right[judged], strict=True))
    return row, wrong


def gmic(case: Case) -> dict[str, float]:
    """What G'MIC's smart colouring finds on the same page, where it is installed."""
    program = shutil.which("gmic")
    if program is None or case.painted:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.png", Path(folder) / "out.png"
        cv2.imwrite(str(source), case.page.rgb)
        start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run(
            [program, str(source), "-fx_colorize_lineart_smart", "0", "-o", str(target)],
            check=False,
            capture_output=True,
        )
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start
        return {"gmic CPU": seconds / (case.truth[..., 0].size / 1e6)} if target.exists() else {}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["drawn", "gaps", "tone", "scan", "cobra", "painted"])
    parser.add_argument(
        "--sheet", type=Path, help="write a picture: each page's result, errors marked magenta"
    )
    parser.add_argument("--brief", action="store_true", help="one line a set")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    quiet = lambda done, total: None  # noqa: E731
    tiles: list[Rgb] = []
    for which in chosen.sets:
        rows: list[dict[str, float]] = []
        bins: list[tuple[float, bool]] = []
        same: list[float] = []
        apart: list[float] = []
        for job in jobs(chosen.data, which):
            backend = FlatsBackend()
            with tempfile.TemporaryDirectory() as folder:
                artefact = Path(folder) / "learned.npz"
                references = [
                    Reference(p, hashlib.sha256(p.read_bytes()).hexdigest()) for p in job.references
                ]
                start = time.process_time()
                backend.prepare(references, artefact, PageSettings(), quiet)
                learned = time.process_time() - start
                backend.load(artefact)
            tally: dict[Any, Any] = {}
            for case in job.cases:
                start = time.process_time()
                result = backend.colour(case.page, PageSettings(style="line"), None, quiet)
                spent = time.process_time() - start
                row, wrong = measure(case, Flatted.of_bytes(result.state), tally)
                row |= {"CPU s/MP": spent / (case.truth[..., 0].size / 1e6), "prepare s": learned}
                row |= gmic(case)
                rows.append(row)
                if not chosen.brief:
                    print(
                        f"{job.name:14} {case.name:22} " + "  ".join(f"{k} {v:.3f}" for k, v in row.items())
                    )
                if chosen.sheet:
                    picture = result.rgb.copy()
                    picture[wrong & (np.indices(wrong.shape).sum(axis=0) % 8 < 3)] = (255, 0, 255)
                    h, w = wrong.shape
                    pair = np.concatenate([picture, case.truth], axis=1)
                    tiles.append(
                        np.asarray(
                            cv2.resize(pair, (int(2 * w * 700 / h), 700), interpolation=cv2.INTER_AREA)
                        )
                    )
            bins += tally.pop("bins", [])
            ids = np.array(list(tally.values())) if tally else np.zeros((0, 1))
            if len(ids) > 1:
                same.append(float((ids.max(axis=1) / ids.sum(axis=1)).mean()))
                main_id = ids.argmax(axis=1)
                apart.append(float((main_id[:, None] != main_id)[~np.eye(len(ids), dtype=bool)].mean()))
        keys = sorted(
            {k for row in rows for k in row}, key=lambda k: list(rows[0]).index(k) if k in rows[0] else 99
        )
        means = "  ".join(f"{k} {np.mean([row[k] for row in rows if k in row]):.3f}" for k in keys)
        print(
            f"== {which}: {means}"
            + (f"  one id {np.mean(same):.3f}  own id {np.mean(apart):.3f}" if same else "")
        )
        found = np.array(bins)
        for low, high in (
            (0, 0.3),
            (0.3, 0.5),
            (0.5, 0.7),
            (0.7, 0.8),
            (0.8, 0.9),
            (0.9, 0.97),
            (0.97, 1.01),
        ):
            part = found[(found[:, 0] >= low) & (found[:, 0] < high)]
            if len(part):
                print(
                    f"   p {low:.2f} to {min(high, 1):.2f}: {len(part) / len(found):.3f} of regions, {part[:, 1].mean():.3f} right"
                )
        sys.stdout.flush()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if chosen.sheet and tiles:
        width = max(t.shape[1] for t in tiles)
        tiles = [np.pad(t, ((0, 8), (0, width - t.shape[1]), (0, 0)), constant_values=255) for t in tiles]
        cv2.imwrite(str(chosen.sheet), np.concatenate(tiles)[..., ::-1])


if __name__ == "__main__":
    main()
