"""How good are the flats? Measures of the `flats` backend on pages whose true colours are known.

    python benchmarks/flats.py DATA [--sets drawn gaps ...] [--sheet sheet.png]

DATA is a folder with `synthetic`, `cobra`, `peppercarrot` and `train` in it, and for the sets of styles `sprites` and `more` (see
flats_styles.py, 8 and 56 series). The sets `answerable`, `sheets`, `scenes`, `style` and `series` come first: nothing was trained or chosen on them.
Of `answerable` the references show who appears, and no two places are of one kind; `sheets` has the same pages from a model sheet and empty places;
`scenes` has pages with much on them (flats_scenes.py), `scenes-invented` the same with figures of flats_invented.py that nothing has learned from, so that
their pages can be shown; of `style` chance decides. `sample` is the sample chapter, drawn anew. Measures, on pixels off the ink:

* regions, pixels, no bg, mIoU, dE00: as `batch_processing/evaluation.py` says them; regions of painted truth are
  those that were found.
* reach: regions that would be right, had each region that was found the right colour of the palette. The others are cut
  off without a line, or in a colour that no reference shows.
* either: the same of regions and of pixels where two colours of a place that no line tells apart may be exchanged: the wall of
  each house in a street, and all tiles of a hall in a panel at once (flats_places.EITHER); of the sets of styles.
* oracle: what a perfect colourist could reach with the regions found; cells: regions found per true region.
* gmic: the same of G'MIC's smart colouring, where it is installed (Debian: gmic), and its CPU seconds.
* sure: share of regions with confidence >= 0.9, and how many of them are right.
* pieces: areas that are wrong; hints: how many a simulated colourist needs until none is left (see flats_colorist.py), as
  many strokes and points as marks says; hints alone: the same where each says nothing of other regions; with `--hints`.
* one id: share of the area of each true colour, over all pages of a series, that its commonest palette id has;
  own id: share of pairs of true colours whose commonest ids differ.

Tune on the `train` sets only.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats_drawings as drawings
from benchmarks import flats_places as places
from benchmarks import flats_scenes as scenes
from benchmarks import flats_styles as styles
from benchmarks.flats_colorist import Colorist

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend
from batch_processing.backends.flats.color import distances, to_lab
from batch_processing.backends.flats.flatted import Flatted
from batch_processing.comics.evaluation import (
    RIGHT_FLAT,
    RIGHT_PAINTED,
    Truth,
    area_medians,
    compare,
    off_the_ink,
    sheet,
)
from batch_processing.io.images import Page, decode
from examples import sample_chapter

Rgb = NDArray[np.uint8]
STYLE_SERIES = 8
"""Series of each style."""
ANSWERABLE = range(8, 24)
"""The same of the sets whose references show who appears: others than those."""
INVENTED = range(960, 966)
"""Casts of invented figures that are measured on."""


@dataclass
class Other:
    """A page in other colours, of which no line tells that they are not the true ones."""

    truth: Rgb
    whole: bool
    """Whether all of a panel that differs has the one colours or the other; else each area by itself."""


@dataclass
class Case:
    """One page with its truth; `clean` is the page whose ink decides which pixels count."""

    name: str
    page: Page
    truth: Rgb
    clean: Rgb
    painted: bool = False
    register: bool = False
    others: list[Other] | None = None
    """None where nothing is known of such."""


@dataclass
class Job:
    name: str
    references: list[Path]
    cases: list[Case] = field(default_factory=list)


def style_jobs(data: Path, how: str) -> list[Job]:
    """Series in drawing styles of other hands: those to judge, to "choose" or to "train"; two pages from two."""
    chosen = {"": styles.JUDGED, "choose": styles.CHOSEN, "train": styles.TRAINED}[how]
    return [
        style_job(styles.cast(data / "sprites", style, number), [2, 3])
        for style in chosen
        for number in range(STYLE_SERIES)
    ]


def answerable_jobs(data: Path, how: str, *, sheets: bool = False) -> list[Job]:
    """The same of other series, with references that show who appears, and no two places of a kind; two pages, or with
    `sheets` the figures on white, and the places with nobody in them."""
    chosen = {"": styles.JUDGED, "choose": styles.CHOSEN}[how]
    out = []
    for style in chosen:
        for number in ANSWERABLE:
            made, best = styles.answerable(styles.cast(data / "more", style, number))
            job = style_job(made, best)
            if sheets:
                pages = styles.model_sheet(made, 3), drawings.empty_places(made.world, 4)
                for (_, colored), path in zip(pages, job.references, strict=True):
                    cv2.imwrite(str(path), colored[..., ::-1])
            out.append(job)
    return out


def scene_jobs(data: Path, how: str) -> list[Job]:
    """Series of flats_scenes.py with the figures of these styles; two pages from two others and the empty places."""
    out = []
    for style in {"": styles.JUDGED, "choose": styles.CHOSEN, "invented": styles.INVENTED}[how]:
        for number in INVENTED if how == "invented" else ANSWERABLE:
            of = scenes.scenes(styles.cast(data / "more", style, number))
            folder = Path(tempfile.mkdtemp(dir=made_folder()))
            job = Job(f"{style} {number}", [folder / f"{each}.png" for each in (2, 3, 5)])
            pages = scenes.page(of, 2), scenes.page(of, 3), scenes.empty_places(of, 5)
            for (_, colored), path in zip(pages, job.references, strict=True):
                cv2.imwrite(str(path), colored[..., ::-1])
            for each in (0, 1):
                line, truth = scenes.page(of, each)
                page = gray_page(line)
                job.cases.append(Case(f"{job.name} {each}", page, truth, page.rgb))
            out.append(job)
    return out


def style_job(made: styles.Cast, references: list[int]) -> Job:
    """The first two pages of a series, from these of its pages."""
    folder = Path(tempfile.mkdtemp(dir=made_folder()))
    job = Job(f"{made.style} {made.number}", [folder / f"{each}.png" for each in references])
    for each, path in zip(references, job.references, strict=True):
        cv2.imwrite(str(path), styles.page(made, each)[1][..., ::-1])
    for each in (0, 1):
        line, colored = styles.page(made, each)
        page = gray_page(line)
        others = [
            Other(styles.page(styles.exchanged(made, kind), each)[1], whole=kind == "hall")
            for kind in places.EITHER
            if any(place.kind == kind for place in made.world.places)
        ]
        job.cases.append(Case(f"page {each}", page, colored, page.rgb, others=others))
    return job


@lru_cache(maxsize=1)
def made_folder() -> Path:
    """Where references that are drawn here lie while the benchmark runs."""
    folder = Path(tempfile.mkdtemp(prefix="flats_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


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
    elif which == "sample":
        folder = made_folder()
        chapter = sample_chapter.draw_chapter()
        colored = [chapter.cover, *chapter.references]
        job = Job("sample", [folder / Path(drawing.name).name for drawing in colored])
        for drawing, path in zip(colored, job.references, strict=True):
            cv2.imwrite(str(path), drawing.truth()[..., ::-1])
        for drawing in chapter.pages:
            page = gray_page(drawing.line_art())
            job.cases.append(Case(drawing.name, page, drawing.truth(), page.rgb))
        out.append(job)
    elif which.startswith(("answerable", "sheets")):
        kind, _, how = which.partition("-")
        out += answerable_jobs(data, how, sheets=kind == "sheets")
    elif which.startswith("scenes"):
        out += scene_jobs(data, which.partition("-")[2])
    elif which.startswith("style"):
        out += style_jobs(data, which.partition("-")[2])
    elif which in {"series", "train-drawn"}:
        for number in range(1 if which == "series" else 0, 24, 2):
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


WITHIN = 15
"""Pixels over which lines part what belongs together in a panel, at most."""


def nearest_truth(case: Case, painted: Rgb) -> Rgb:
    """The truth of a page, or another that is as true where `painted`, (h, w, 3), has more of that."""
    truth = case.truth.copy()
    free = off_the_ink(case.clean)
    for other in case.others or ():
        differs = (other.truth != case.truth).any(axis=2)
        if not differs.any():
            continue
        if other.whole:
            near = cv2.dilate(differs.astype(np.uint8), np.ones((WITHIN, WITHIN), np.uint8))
            area = cv2.connectedComponents(near)[1]
        else:
            area = of_one_color(case.truth)
        at = np.nonzero(differs & free)
        of = np.unique(area[at], return_inverse=True)[1]
        given = to_lab(painted[at])
        right, other_right = (
            np.bincount(of, ((to_lab(picture[at]) - given) ** 2).sum(axis=1) < RIGHT_FLAT**2)
            for picture in (case.truth, other.truth)
        )
        better = (other_right > right)[of]
        chosen = tuple(axis[better] for axis in at)
        truth[chosen] = other.truth[chosen]
    return truth


def measure(case: Case, flat: Any, tally: dict[Any, Any]) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """All measures of one page, and the pixels that are wrong."""
    if case.register:
        case = registered(case)
    free = off_the_ink(case.clean)
    labels = flat.labels
    given = flat.rgb[flat.color]
    truth = Truth.painting(case.truth, free, labels) if case.painted else Truth.flat(case.truth, free)
    scores, wrong = compare(given[labels - 1], truth)
    row = {"regions": scores.region_accuracy, "pixels": scores.pixel_accuracy}
    free = truth.free
    cells = np.unique(labels[free])
    there = np.zeros(len(given), bool)
    there[cells - 1] = True
    if case.painted:
        middle = to_lab(area_medians(case.truth, truth))
        region_right = np.sqrt(((middle - to_lab(given)) ** 2).sum(axis=1)) < RIGHT_PAINTED
        paint = to_lab(case.truth[free])
        best = np.sqrt(((paint - middle[labels[free] - 1]) ** 2).sum(axis=1))
        row["oracle"] = float((best < RIGHT_PAINTED).mean())
    else:
        number, colors = truth.number, truth.colors
        row["no bg"] = scores.pixel_accuracy_without_background or 0.0
        table = np.zeros((len(given) + 1, len(colors)))
        np.add.at(table, (labels[free], number[free]), 1)
        row["oracle"], row["cells"] = parted(labels, truth)
        meant = table[1:].argmax(axis=1)
        nearest = distances(to_lab(flat.rgb), to_lab(colors)).min(axis=0)
        hidden = nearest[meant] >= RIGHT_FLAT
        best = colors[meant]
        best[hidden] = np.where(colors > 127, 0, 255)[meant[hidden]]  # far from what is right
        row["reach"] = compare(best[labels - 1], truth)[0].region_accuracy
        row["mIoU"] = scores.mean_iou or 0.0
        if case.others is not None:
            painted = given[labels - 1]
            either = compare(painted, Truth.flat(nearest_truth(case, painted), free))[0]
            row["either regions"], row["either pixels"] = either.region_accuracy, either.pixel_accuracy
        for k in range(len(colors)):
            theirs = (number == k) & free
            ids = np.bincount(flat.color[labels[theirs] - 1], minlength=len(flat.rgb))
            key = tuple(int(v) for v in colors[k])
            before = tally.get(key, np.zeros(0, np.int64))
            size = max(len(ids), len(before))  # hints and what was learned may add colours
            tally[key] = np.pad(ids, (0, size - len(ids))) + np.pad(before, (0, size - len(before)))
        near = distances(to_lab(given), to_lab(colors)) < RIGHT_FLAT
        region_right = near[np.arange(len(given)), table[1:].argmax(axis=1)]
    row["count"] = float(len(cells))
    sure = flat.confidence >= 0.9
    judged = there & np.array([w != "paper" for w in flat.why])
    row["sure"] = float(sure[judged].mean()) if judged.any() else 0.0
    row["sure ok"] = float(region_right[judged & sure].mean()) if (judged & sure).any() else 1.0
    row["dE00"] = scores.median_delta_e_2000
    tally.setdefault("rows", []).append(np.flatnonzero(judged))
    tally.setdefault("bins", []).extend(zip(flat.confidence[judged], region_right[judged], strict=True))
    return row, wrong


def gmic(case: Case) -> dict[str, float]:
    """How well G'MIC's smart colouring ("random colors", its own defaults) parts the same page, where it is
    installed; its colours are random, so that only the regions can be compared."""
    program = shutil.which("gmic")
    if program is None or case.painted:
        return {}
    # Mode, contour detection %, guides, delimiters; hue by size, saturation, intensity; shading; end points: rate,
    # connectivity, longest spline and segment, angle, roundness; least area; self intersections.
    settings = "0,95,0,0,1,24,200,0,75,2,60,20,90,1,10,1"
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.png", Path(folder) / "out.png"
        cv2.imwrite(str(source), case.page.rgb)
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [program, str(source), "fx_colorize_lineart_smart", settings, "-o", str(target)],
            check=True,
            capture_output=True,
        )
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        painted = cv2.imread(str(target.with_name("out_000001.png")), cv2.IMREAD_UNCHANGED)
    assert painted is not None
    if case.register:
        case = registered(case)
    truth = Truth.flat(case.truth, off_the_ink(case.clean))
    best, cells = parted(of_one_color(painted), truth)
    seconds = end.ru_utime - start.ru_utime
    return {"gmic oracle": best, "gmic cells": cells, "gmic CPU s/MP": seconds / (truth.free.size / 1e6)}


def of_one_color(picture: NDArray[Any]) -> NDArray[np.int32]:
    """Labels from 1: connected pixels (by edges) of one colour."""
    value = picture.astype(np.int64) @ np.array([1, 1 << 16, 1 << 32])
    number = np.arange(value.size).reshape(value.shape)
    beside, below = value[:, 1:] == value[:, :-1], value[1:] == value[:-1]
    here = np.concatenate([number[:, 1:][beside], number[1:][below]])
    there = np.concatenate([number[:, :-1][beside], number[:-1][below]])
    links = coo_array((np.ones(len(here), np.int8), (here, there)), shape=(value.size, value.size))
    return np.asarray(connected_components(links, directed=False)[1].reshape(value.shape) + 1, np.int32)


def parted(labels: NDArray[np.int32], truth: Truth) -> tuple[float, float]:
    """The share of pixels that the best colour for each label would make right, and labels for each true region."""
    table = np.zeros((int(labels.max()) + 1, len(truth.colors)))
    np.add.at(table, (labels[truth.free], truth.number[truth.free]), 1)
    cells = len(np.unique(labels[truth.free])) / truth.regions.max()
    return float(table.max(axis=1).sum() / table.sum()), float(cells)


def effort(backend: FlatsBackend, case: Case) -> dict[str, float]:
    """What a colourist has to do on a page, with hints that spread and with such as do not."""
    if case.register:
        case = registered(case)
    prepared = backend.prepared(case.page, lambda done, total: None)
    colorist = Colorist(prepared, case.truth, case.clean, painted=case.painted)
    spread, alone = colorist.work(), colorist.work(spread=False)
    return {
        "pieces": float(spread.pieces),
        "hints": float(spread.hints),
        "marks": float(spread.marks),
        "left": float(spread.left),
        "hints alone": float(alone.hints),
        "hint CPU s": spread.seconds,
    }


def learn(backend: FlatsBackend, job: Job, artefact: Path, how: str) -> list[dict[str, float]]:
    """What `lote recolor --learn` does: learn from the job's pages as they come out, and start again with that.

    With "approved" the first page has been put right by a person, and only the others are judged. Gives the
    measures of the first pass; leaves the pages to be judged in `job.cases`."""
    remembered, rows = [], []
    for number, case in enumerate(job.cases):
        state = backend.color(case.page, PageSettings(style="line"), None, lambda done, total: None).state
        approved = how == "approved" and number == 0
        if approved:
            state = put_right(case, Flatted.of_bytes(state)).to_bytes()
        else:
            rows.append(measure(case, Flatted.of_bytes(state), {})[0])
        remembered.append(artefact.with_name(f"{number}.npz"))
        remembered[-1].write_bytes(backend.remember(case.page, state, approved=approved))
    memory = artefact.with_name("memory.npz")
    backend.gather(remembered, memory)
    backend.load(artefact)
    backend.adopt((), memory=memory)
    if how == "approved":
        del job.cases[0]
    return rows


def put_right(case: Case, flat: Flatted) -> Flatted:
    """The page as a person would leave it: each region in the palette's colour nearest to its true one."""
    truth = Truth.painting(case.truth, off_the_ink(case.clean), flat.labels)
    best = distances(to_lab(area_medians(case.truth, truth)), to_lab(flat.rgb)).argmin(axis=1)
    return replace(flat, color=best.astype(np.int32))


def means_of(rows: list[dict[str, float]]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return "  ".join(f"{k} {np.mean([row[k] for row in rows if k in row]):.3f}" for k in keys)


def in_two_columns(tiles: list[Rgb]) -> Rgb:
    """Pictures on white, two in a row."""
    height, width = (max(tile.shape[side] for tile in tiles) + 8 for side in (0, 1))
    rows = -(-len(tiles) // 2)
    out = np.full((rows * height, 2 * width, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // 2 * height, number % 2 * width
        out[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--sets",
        nargs="+",
        default=[
            "answerable",
            "sheets",
            "scenes",
            "style",
            "series",
            "drawn",
            "gaps",
            "tone",
            "scan",
            "cobra",
            "painted",
        ],
    )
    parser.add_argument(
        "--sheet", type=Path, help="write a picture: each page's result, errors marked magenta"
    )
    parser.add_argument("--worst", type=int, help="of so many pages only: those with the most regions wrong")
    parser.add_argument(
        "--learn",
        choices=["sure", "approved"],
        help="learn from a first pass: from what was sure, or also from each first page, put right and approved",
    )
    parser.add_argument("--hints", action="store_true", help="have a simulated colourist put each page right")
    parser.add_argument("--brief", action="store_true", help="one line a set")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    quiet = lambda done, total: None  # noqa: E731
    tiles: list[tuple[float, Rgb]] = []
    for which in chosen.sets:
        rows: list[dict[str, float]] = []
        before: list[dict[str, float]] = []
        bins: list[tuple[float, bool]] = []
        same: list[float] = []
        apart: list[float] = []
        casts: list[float] = []
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
                if chosen.learn:
                    before += learn(backend, job, artefact, chosen.learn)
            tally: dict[Any, Any] = {}
            for case in job.cases:
                start = time.process_time()
                result = backend.color(case.page, PageSettings(style="line"), None, quiet)
                spent = time.process_time() - start
                row, wrong = measure(case, Flatted.of_bytes(result.state), tally)
                row |= {"CPU s/MP": spent / (case.truth[..., 0].size / 1e6), "prepare s": learned}
                row |= gmic(case)
                if chosen.hints:
                    row |= effort(backend, case)
                rows.append(row)
                if not chosen.brief:
                    print(
                        f"{job.name:14} {case.name:22} " + "  ".join(f"{k} {v:.3f}" for k, v in row.items())
                    )
                if chosen.sheet:
                    h, w = wrong.shape
                    pair = sheet(result.rgb, case.truth, wrong)
                    size = (int(2 * w * 700 / h), 700)
                    tile = np.asarray(cv2.resize(pair, size, interpolation=cv2.INTER_AREA), np.uint8)
                    tiles.append((row["regions"], tile))
            casts.append(float(np.mean([row["regions"] for row in rows[-len(job.cases) :]])))
            bins += tally.pop("bins", [])
            tally.pop("rows", None)
            ids = np.array(list(tally.values())) if tally else np.zeros((0, 1))
            if len(ids) > 1:
                same.append(float((ids.max(axis=1) / ids.sum(axis=1)).mean()))
                main_id = ids.argmax(axis=1)
                apart.append(float((main_id[:, None] != main_id)[~np.eye(len(ids), dtype=bool)].mean()))
        if before:
            print(f"== {which} before learning: {means_of(before)}")
        print(
            f"== {which}: {means_of(rows)}"
            + (f"  one id {np.mean(same):.3f}  own id {np.mean(apart):.3f}" if same else "")
            + f"  regions by cast {min(casts):.3f} to {max(casts):.3f}, standard deviation {np.std(casts):.3f}"
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
        if chosen.worst:
            tiles = sorted(tiles, key=lambda tile: tile[0])[: chosen.worst]
        cv2.imwrite(str(chosen.sheet), in_two_columns([tile for _, tile in tiles])[..., ::-1])


if __name__ == "__main__":
    main()
