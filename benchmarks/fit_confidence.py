"""Fit the confidence of the `flats` backend: SURE and SURE_UNTRUSTED of assign.py.

    python benchmarks/fit_confidence.py DATA

A logistic regression of assign.evidence on whether a region's colour is right, over the sets of benchmarks/flats.py that are
for choosing and tuning: neither the metric nor the encoder was trained on them, and the figures in docs/flats.md are of
others. Where the metric is trusted in part, the weights are mixed, and so they are fitted together. Weights shrink towards
zero by SHRINK; one number a line is how many of the regions of .9 and more are right in each set.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from benchmarks import flats as measuring

from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.flats import FlatsBackend, assign
from batch_processing.backends.flats.flatted import Flatted

SETS = ("style-choose", "sheets-choose", "scenes-choose", "train-drawn", "train-painted")
SHRINK = 1.0


def regions_of(data: Path, which: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Evidence, trust in the metric, and whether it is right, of each region of a set."""
    seen: list[tuple[NDArray[np.float64], float]] = []
    plain = assign.calibrated

    def recorded(said: NDArray[np.float64], far: float) -> NDArray[np.float64]:
        seen.append((said, far))
        return plain(said, far)

    assign.calibrated = recorded
    rows, trust, right = [], [], []
    quiet = lambda done, total: None  # noqa: E731
    for job in measuring.jobs(data, which):
        backend = FlatsBackend()
        with tempfile.TemporaryDirectory() as folder:
            artefact = Path(folder) / "learned.npz"
            references = [Reference(p, hashlib.sha256(p.read_bytes()).hexdigest()) for p in job.references]
            backend.prepare(references, artefact, PageSettings(), quiet)
            backend.load(artefact)
        for case in job.cases:
            seen.clear()
            tally: dict[Any, Any] = {}
            state = backend.color(case.page, PageSettings(style="line"), None, quiet).state
            measuring.measure(case, Flatted.of_bytes(state), tally)
            evidence = np.concatenate([part for part, _ in seen])
            rows.append(evidence[tally["rows"][0]])
            trust.append(np.full(len(rows[-1]), seen[0][1]))
            right.append(np.array([ok for _, ok in tally["bins"]], bool))
    assign.calibrated = plain
    return np.concatenate(rows), np.concatenate(trust), np.concatenate(right)


def mixed(rows: NDArray[np.float64], far: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the two sets of weights, those where the metric is not trusted first, are multiplied with."""
    whole = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    return np.concatenate([whole * (1 - far)[:, None], whole * far[:, None]], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    sets = {which: regions_of(chosen.data, which) for which in SETS}
    x = np.concatenate([mixed(rows, far) for rows, far, _ in sets.values()])
    y = np.concatenate([right for _, _, right in sets.values()])
    weight = np.concatenate([np.full(len(right), 1000 / len(right)) for _, _, right in sets.values()])
    width = x.shape[1] // 2
    free = np.tile(np.arange(width) < width - 1, 2)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = x @ w
        p = 1 / (1 + np.exp(-z))
        value = (weight * (np.logaddexp(0, z) - y * z)).sum() + 0.5 * SHRINK * (w[free] ** 2).sum()
        return float(value), x.T @ (weight * (p - y)) + SHRINK * np.where(free, w, 0)

    w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    for name, part in (("SURE_UNTRUSTED", w[:width]), ("SURE", w[width:])):
        print(f"{name} = ({', '.join(f'{v:.3f}' for v in part)})")
    for which, (rows, far, right) in sets.items():
        p = 1 / (1 + np.exp(-(mixed(rows, far) @ w)))
        sure = p >= 0.9
        print(f"{which}: {sure.mean():.3f} of the regions are sure, {right[sure].mean():.3f} of these right")


if __name__ == "__main__":
    main()
