"""How long a GPU waits for its host: a book through `lote colorize --backend cobra`, the model a stage that sleeps.

    python benchmarks/cobra_overlap.py [--seconds 0.25] [--pages 16] [--size 1600x2400] [--flats] [--layers]

Everything but the model is what a book really goes through: pages are read, cut, brought to the model's size, brought
back, inked and written. Utilisation is the share of time, from the first page at the stage to the last that leaves it,
in which it was busy: with pages in flight beside it, and one after the other. Host seconds are CPU seconds of the worker
from then to then, a page.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.cobra import SMALL, SMALL_VIT, RandomModel, page_image, reference_image, write_model

from batch_processing import colorize_comic
from batch_processing.backends.cobra import backend
from batch_processing.backends.cobra import folder as folder_of
from batch_processing.backends.cobra.weights import Architecture
from batch_processing.comics import application
from batch_processing.core.overlap import OverlapPool
from batch_processing.core.workers import LocalPool

# What workers import when they start: the model is a stage that sleeps, and writes down when it was busy.
HOOK = """
import json, os, time

def paint(self, underway, progress):
    import numpy as np
    from PIL import Image
    from batch_processing.backends.cobra.backend import _Piece
    from batch_processing.backends.cobra.shared import Choice, Picture

    began, cpu = time.monotonic(), time.process_time()
    for number, parts in underway.parts.items():
        settings = underway.jobs[number].settings
        pieces = underway.pieces[number] = []
        for part in parts:
            size = part.gray.shape[::-1]
            choice = Choice(size, ((),) * 4)
            piece = _Piece(Picture(part.gray, settings.style, 0, settings.num_inference_steps, choice, None), part.place)
            large = Image.fromarray(part.gray).resize((size[0] * 3 // 2, size[1] * 3 // 2))
            piece.colors = np.repeat(np.asarray(large)[..., None], 3, axis=2)
            pieces.append(piece)
    until = began + float(os.environ["STAGE_SECONDS"]) * len(underway.jobs)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
        progress(1, 2)
    with open(os.environ["STAGE_LOG"], "a") as file:
        file.write(json.dumps([began, time.monotonic(), cpu, time.process_time()]) + "\\n")

from batch_processing.backends.cobra.backend import CobraBackend
CobraBackend.paint = paint
"""


@contextmanager
def one_after_the_other() -> Iterator[None]:
    """A worker that does one page at a time, as any other."""
    name = "OverlapPool"  # of the module that chooses the pool
    setattr(application, name, lambda **options: LocalPool(1, **options))
    try:
        yield
    finally:
        setattr(application, name, OverlapPool)


def measured(root: Path, name: str, chosen: argparse.Namespace) -> tuple[float, float, float]:
    """(seconds a page, utilisation, host CPU seconds a page) of one run."""
    log = root / f"{name}.log"
    os.environ["STAGE_LOG"] = str(log)
    result = colorize_comic(
        root / "pages",
        root / name,
        references=[root / "references"],
        config={
            "backend": "cobra",
            "as_lineart": ["*.png"],
            "keep_ink": not chosen.flats,
            "flats": chosen.flats,
            "layers": ["psd"] if chosen.layers else [],
        },
        workspace=root / f"workspace {name}",
    )
    if result.failures:
        sys.exit(str(result.failures))
    stages = [json.loads(line) for line in log.read_text().splitlines()]
    began, ended = stages[0][0], stages[-1][1]
    busy = sum(end - start for start, end, *_ in stages)
    return (ended - began) / len(stages), busy / (ended - began), (stages[-1][3] - stages[0][2]) / len(stages)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.25, help="of the stage, a page")
    parser.add_argument("--pages", type=int, default=16)
    parser.add_argument("--size", default="1600x2400")
    parser.add_argument("--flats", action="store_true", help="made flat afterwards")
    parser.add_argument("--layers", action="store_true", help="a layered document for each page, too")
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        architecture = replace(SMALL, buckets=Architecture().buckets)
        write_model(RandomModel(architecture, SMALL_VIT), root / "model")
        (root / "hook").mkdir()
        (root / "hook" / "sitecustomize.py").write_text(HOOK)
        os.environ |= {
            backend.DEVICE: "cpu",
            folder_of.ENVIRONMENT: str(root / "model"),
            "STAGE_SECONDS": str(chosen.seconds),
        }
        sys.path.insert(0, str(root / "hook"))  # workers are told where to import from
        for name in ("pages", "references"):
            (root / name).mkdir()
        for number in range(chosen.pages):
            Image.fromarray(page_image(number, (width, height))).save(root / "pages" / f"{number:02}.png")
        Image.fromarray(reference_image(1)).save(root / "references" / "1.png")
        print(f"{chosen.pages} pages of {width} x {height}, a stage of {chosen.seconds} s a page,")
        print(f"{os.cpu_count()} CPU cores, {os.getloadavg()[0]:.1f} processes on them before\n")
        print("| | s/page | utilisation of the stage | host CPU s/page |")
        print("|---|---|---|---|")
        with one_after_the_other():
            print("| one after the other | {:.2f} | {:.0%} | {:.2f} |".format(*measured(root, "one", chosen)))
        started = time.monotonic()
        print("| side by side | {:.2f} | {:.0%} | {:.2f} |".format(*measured(root, "side", chosen)))
        print(f"\n{time.monotonic() - started:.0f} s for the whole second run")
        same = all(
            path.read_bytes() == (root / "side" / path.relative_to(root / "one")).read_bytes()
            for path in (root / "one").rglob("*.png")
        )
        print("Pages of both runs are equal byte for byte." if same else "PAGES DIFFER.")


if __name__ == "__main__":
    main()
