"""Colour profiles (ICC.1): the one that Lote writes, and samples of one profile in another.

Promises relative colorimetric conversion with black point compensation; that samples of a profile which is sRGB
under another name stay bit for bit; and the same result on each run. A profile that cannot be used has a sentence
(`flaw`), and its samples count as sRGB. Refuses nothing.
"""

from __future__ import annotations

import io
import struct
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

from ..messages import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["flaw", "from_srgb", "gray_to_srgb", "image_to_srgb", "srgb_profile", "to_srgb"]

# Optimised transforms are ten times as fast, one step off for RGB, and up to 10 for the dark grays of a linear profile.
_FAST = ImageCms.Flags.BLACKPOINTCOMPENSATION
_EXACT = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE
_FEW = 4096  # pixels up to which the exact way costs nothing: a palette
# What littlecms and Pillow raise for what is no profile.
_FAULTS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)


@cache
def srgb_profile() -> bytes:
    """The sRGB profile that gray and CMYK pages are tagged with; always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the creation date, else today's
    return bytes(profile)


def flaw(icc: bytes) -> Message | None:
    """What is wrong with an RGB profile; None where it can be used both ways."""
    try:
        _transform(icc, srgb_profile(), exact=True)
        _transform(srgb_profile(), icc, exact=True)
    except _FAULTS as fault:
        return Message("its colour profile is damaged and was taken for sRGB ({fault})", fault=fault)
    return None


def to_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """Samples (..., 3) of the RGB profile `icc` (None, or one that cannot be used: sRGB) in sRGB."""
    return rgb if icc is None or _is_srgb(icc) else _converted(rgb, icc, srgb_profile())


def from_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """The way back."""
    return rgb if icc is None or _is_srgb(icc) else _converted(rgb, srgb_profile(), icc)


def gray_to_srgb(icc: bytes) -> NDArray[np.float64] | None:
    """sRGB values (0 to 255) of the 256 samples of a gray profile; None where it is sRGB's own curve.

    ValueError with a message if the profile is damaged."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    try:
        exact = image_to_srgb(ramp, icc, exact=True)
    except ValueError as fault:
        raise ValueError(
            Message("its gray profile is damaged and was ignored ({fault})", fault=fault)
        ) from fault
    converted = exact[0, :, 1].astype(np.float64)
    # One step off is rounding: the samples stay bit for bit.
    return None if np.abs(converted - np.arange(256)).max() <= 1 else converted


def image_to_srgb(im: Image.Image, icc: bytes | None, *, exact: bool = False) -> NDArray[np.uint8]:
    """The samples, (h, w, 3), in sRGB of an image of any layout, by its profile; by that of CIE Lab where `icc` is
    None. ValueError if the profile is damaged, or is for another layout."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc) if icc else ImageCms.createProfile("LAB"))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            im.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=_EXACT if exact else _FAST,
        )
        return np.asarray(transform.apply(im))
    except _FAULTS as fault:
        raise ValueError(str(fault)) from fault


@lru_cache(maxsize=8)
def _transform(source: bytes, target: bytes, *, exact: bool) -> Any:
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(source)),
        ImageCms.ImageCmsProfile(io.BytesIO(target)),
        "RGB",
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=_EXACT if exact else _FAST,
    )


@lru_cache(maxsize=8)
def _is_srgb(icc: bytes) -> bool:
    """Whether the profile is sRGB under another name, or none: one step off is rounding."""
    if icc == srgb_profile() or flaw(icc) is not None:
        return True
    steps = np.append(np.arange(0, 255, 17), 255).astype(np.uint8)
    every = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    away = _converted(every, icc, srgb_profile()).astype(int) - every
    return bool(np.abs(away).max() <= 1)


def _converted(rgb: NDArray[np.uint8], source: bytes, target: bytes) -> NDArray[np.uint8]:
    rows = np.ascontiguousarray(rgb).reshape(1, -1, 3) if rgb.ndim != 3 else np.ascontiguousarray(rgb)
    if not rows.size:
        return rgb
    transform = _transform(source, target, exact=rows.size <= 3 * _FEW)
    return np.asarray(transform.apply(Image.fromarray(rows))).reshape(rgb.shape)
