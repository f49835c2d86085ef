"""Reads the recorded inputs, weights and outputs of upstream's networks, and makes full-size weights.

What each file holds is said in the README beside them; recipe R1 is described there too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from shared_data import require_shared


def vectors(name: str) -> dict[str, Tensor]:
    """The tensors of `name`.safetensors."""
    return load_file(require_shared("spec", "cobra", "vectors", f"{name}.safetensors"))


def arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of `name`.npz."""
    with np.load(require_shared("spec", "cobra", "vectors", f"{name}.npz")) as file:
        return {key: file[key] for key in file.files}


def facts(name: str) -> dict[str, Any]:
    """The content of `name`.json."""
    read: dict[str, Any] = json.loads(require_shared("spec", "cobra", "vectors", f"{name}.json").read_text())
    return read


def random_tensor(key: str, shape: Iterable[int], base: int, *, integer: bool = False) -> Tensor:
    """One full-size weight by recipe R1."""
    shape = tuple(shape)
    if integer:
        return torch.zeros(shape, dtype=torch.int64)
    seed = (zlib.crc32(key.encode()) + base) & 0x7FFFFFFF
    n = torch.from_numpy(np.asarray(np.random.RandomState(seed).standard_normal(shape), dtype=np.float32))
    if key.endswith("running_var"):
        return 1 + 0.2 * n.abs()
    if key.endswith("running_mean"):
        return 0.1 * n
    if key.endswith("scale_shift_table"):
        return 0.2 * n
    if n.ndim >= 2:
        return n / float(np.sqrt(np.prod(shape[1:])))
    if key.endswith("weight"):
        return 1 + 0.1 * n
    return 0.1 * n


def random_state(shapes: Mapping[str, Iterable[int]], base: int) -> dict[str, Tensor]:
    """All weights of a network by recipe R1, from its keys and shapes."""
    return {
        key: random_tensor(key, shape, base, integer=key.endswith("num_batches_tracked"))
        for key, shape in shapes.items()
    }


def largest_difference(ours: Tensor, recorded: Tensor) -> float:
    """Largest absolute difference, in units of the order of what was recorded where that is above 1.

    Shapes must agree. How sums round, and with it the last bits of larger numbers, depends on the processor."""
    assert ours.shape == recorded.shape
    return float((ours - recorded).abs().max()) / max(1.0, float(recorded.abs().max()))
