"""Does the `flats` backend still make the same? A line for each artefact, page and drawn picture, with its SHA-256.

    python benchmarks/flats_identity.py DATA > before.txt     (with the version before a change)
    python benchmarks/flats_identity.py DATA > after.txt
    diff before.txt after.txt

A change that only makes it faster gives no difference. One that gives any is a new version of the backend (see
FlatsBackend.version): pages of users are then done again. DATA and the sets are those of flats.py. Compare on one machine:
the last bits of a product of matrices are its own.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks.flats import Job, jobs

from batch_processing.backends.base import PageSettings, Reference, Style
from batch_processing.backends.flats import FlatsBackend

SETS = (
    "sample",
    "drawn",
    "gaps",
    "tone",
    "scan",
    "cobra",
    "painted",
    "series",
    "train-drawn",
    "train-painted",
)
STYLES: tuple[Style, ...] = ("line", "line + shadow")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def quiet(done: int, total: int) -> None:
    """Nothing to say between two lines."""


def say(job: Job, which: str) -> None:
    """Print a line for what the job's references teach, and two for each of its pages."""
    backend = FlatsBackend()
    with tempfile.TemporaryDirectory() as folder:
        artefact = Path(folder) / "learned.npz"
        references = [Reference(path, digest(path.read_bytes())) for path in job.references]
        backend.prepare(references, artefact, PageSettings(), quiet)
        print(f"{which} {job.name} artefact {digest(artefact.read_bytes())}", flush=True)
        backend.load(artefact)
    for case in job.cases:
        for style in STYLES:
            made = backend.color(case.page, PageSettings(style=style), None, quiet)
            pixels = made.rgb if made.native is None else made.native
            print(
                f"{which} {job.name} {case.name} {style} {digest(made.state)} {digest(pixels.tobytes())}",
                flush=True,
            )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    began = time.process_time()
    for which in chosen.sets:
        for job in jobs(chosen.data, which):
            say(job, which)
    print(f"{time.process_time() - began:.0f} CPU seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
