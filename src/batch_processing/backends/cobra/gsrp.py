"""Guided super-resolution (GSRP): carries the lines of a page into its enlarged colours.

The VAE activations of the enlarged colours and of the enlarged line art are fused, level by level, by
small residual networks; the decoder adds the results (`vae.decode`).

The published model runs its batch normalisation on the statistics of the page itself, not on stored
ones. So do we, each page of a batch for itself.

`fuse` takes a whole level at once. `fuse_in_bands` gives the same numbers (to rounding) from bands of
rows: each convolution runs band by band while the statistics of its whole output are gathered, and the
activations between may lie on another device, so that the memory needed at a time is a band's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORM_EPS = 1e-5


class _Residual(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer, eps=BATCH_NORM_EPS)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer, eps=BATCH_NORM_EPS)
        self.shortcut = nn.Sequential()
        if inner != outer:
            self.shortcut.append(nn.Conv2d(inner, outer, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outer, eps=BATCH_NORM_EPS))


class _Fusion(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.block1 = _Residual(inner, outer)
        self.block2 = _Residual(outer, outer)
        self.block3 = _Residual(outer, outer)
        self.block4 = _Residual(outer, outer)

    def units(self) -> Sequence[_Residual]:
        return self.block1, self.block2, self.block3, self.block4


class GSRP(nn.Module):
    """Five fusion networks for the activations of a VAE whose blocks have `vae_channels` channels."""

    def __init__(self, vae_channels: Sequence[int]) -> None:
        super().__init__()
        levels = [vae_channels[0], *vae_channels]
        self.two_layer_resnets = nn.ModuleList(
            _Fusion(2 * channels, levels[min(4, level + 2)]) for level, channels in enumerate(levels)
        )

    def _units(self, level: int) -> Sequence[_Residual]:
        fusion = self.two_layer_resnets[level]
        assert isinstance(fusion, _Fusion)  # noqa: S101 - tells the type checker what the list holds
        return fusion.units()

    def fuse(self, level: int, color: Tensor, lines: Tensor) -> Tensor:
        """What the decoder adds at `level` 0..4, from both activations (B, C, H, W)."""
        x = torch.cat([color, lines], dim=1)
        for unit in self._units(level):
            y = F.relu_(_normalize(unit.bn1, unit.conv1(x)))
            y = _normalize(unit.bn2, unit.conv2(y))
            if len(unit.shortcut):
                convolution, norm = unit.shortcut
                x = _normalize(norm, convolution(x))
            x = F.relu_(y + x)
        return x

    def fuse_in_bands(
        self,
        level: int,
        color: Tensor,
        lines: Tensor,
        *,
        rows: int,
        device: torch.device,
    ) -> Tensor:
        """As `fuse`, computing `rows` rows at a time on `device`; the activations stay where they are."""

        def source(top: int, bottom: int) -> Tensor:
            return torch.cat([color[:, :, top:bottom], lines[:, :, top:bottom]], dim=1).to(device)

        height = color.shape[2]
        store = color.device
        read: Read = source
        for unit in self._units(level):
            y, first = _convolve(unit.conv1, unit.bn1, read, height, rows, store)
            hidden = _activated(y, first, device)
            z, second = _convolve(unit.conv2, unit.bn2, hidden, height, rows, store)
            skip: Callable[[Tensor], Tensor] = nn.Identity()
            if len(unit.shortcut):
                convolution, norm = unit.shortcut
                third = _statistics(convolution, norm, read, height, rows)
                skip = _scaled(convolution, third)
            for top, bottom in _bands(height, rows):
                band = second(z[:, :, top:bottom].to(device)) + skip(read(top, bottom))
                z[:, :, top:bottom] = F.relu_(band).to(store)
            read = _stored(z, device)
        return z.to(device)


class _Affine(NamedTuple):
    """A normalisation whose statistics are known: one factor and one term per image and channel."""

    factor: Tensor
    term: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x * self.factor + self.term).to(x.dtype)


Read = Callable[[int, int], Tensor]


def _normalize(norm: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - tells the type checker what the list holds
    if len(x) == 1:  # the same numbers, and unlike instance_norm it leaves the order in memory as it is
        return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
    return F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=norm.eps)


def _bands(height: int, rows: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _stored(x: Tensor, device: torch.device) -> Read:
    return lambda top, bottom: x[:, :, top:bottom].to(device)


def _activated(x: Tensor, norm: _Affine, device: torch.device) -> Read:
    return lambda top, bottom: F.relu_(norm(x[:, :, top:bottom].to(device)))


def _scaled(convolution: nn.Module, norm: _Affine) -> Callable[[Tensor], Tensor]:
    return lambda band: norm(convolution(band))


class _Moments:
    """Mean and variance of (B, C, H, W) over H and W, gathered from bands in float32 (Chan et al. 1979)."""

    count = 0
    mean: Tensor
    squares: Tensor

    def add(self, band: Tensor) -> None:
        band = band.float()
        count = band.shape[2] * band.shape[3]
        squares, mean = torch.var_mean(band, dim=(2, 3), correction=0, keepdim=True)
        squares = squares * count
        if self.count:
            delta = mean - self.mean
            total = self.count + count
            mean = self.mean + delta * (count / total)
            squares = self.squares + squares + delta.square() * (self.count * count / total)
        self.count += count
        self.mean, self.squares = mean, squares

    def affine(self, norm: nn.BatchNorm2d) -> _Affine:
        return _affine(norm, self.mean, self.squares / self.count)


def _affine(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> _Affine:
    factor = norm.weight.float()[:, None, None] * torch.rsqrt(variance + norm.eps)
    return _Affine(factor, norm.bias.float()[:, None, None] - mean * factor)


def _convolve(
    convolution: nn.Conv2d,
    norm: nn.BatchNorm2d,
    read: Read,
    height: int,
    rows: int,
    store: torch.device,
) -> tuple[Tensor, _Affine]:
    """The 3 x 3 convolution of what `read` gives, on `store`, and the normalisation that follows it."""
    moments = _Moments()
    out = None
    for top, bottom in _bands(height, rows):
        above, below = max(top - 1, 0), min(bottom + 1, height)
        # Rows beyond the picture are zeros; columns are padded by the convolution's own rule.
        padded = F.pad(read(above, below), (1, 1, above - (top - 1), bottom + 1 - below))
        band = F.conv2d(padded, convolution.weight)
        moments.add(band)
        if out is None:
            out = band.new_empty((*band.shape[:2], height, band.shape[3]), device=store)
        out[:, :, top:bottom] = band
    assert out is not None  # noqa: S101 - a picture has at least one row
    return out, moments.affine(norm)


def _statistics(convolution: nn.Module, norm: nn.Module, read: Read, height: int, rows: int) -> _Affine:
    """The normalisation after a 1 x 1 convolution, whose output is not kept: computing it twice is cheap."""
    assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - tells the type checker what the list holds
    moments = _Moments()
    for top, bottom in _bands(height, rows):
        moments.add(convolution(read(top, bottom)))
    return moments.affine(norm)
