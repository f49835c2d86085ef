"""The mean of two files of weights, of which one went on learning from the other.

    python benchmarks/mean_weights.py BEFORE.npz AFTER.npz OUT.npz

What goes on from weights on other drawings forgets some of what it knew; halfway between, both are known (Wortsman et al., "Model soups",
ICML 2022). For those of `train_flats.py metric` and of `train_outlines.py`; gates are trained on the mean.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from batch_processing.backends.flats import graph
from batch_processing.backends.flats.arrays import packed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("before", "after", "out"):
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args()
    before, after = (graph.weights_of(one.read_bytes()) for one in (chosen.before, chosen.after))
    halfway = {name: ((before[name] + after[name]) / 2).astype(np.float16) for name in sorted(after)}
    chosen.out.write_bytes(packed(halfway, level=9))


if __name__ == "__main__":
    main()
