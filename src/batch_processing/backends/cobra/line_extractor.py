"""The line network "erika" of MangaLineExtraction: a grey page in, its lines out.

A U-net of residual blocks under the published parameter names. Input and output are grey values in
0..255 as they are, without normalisation; the output is not clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

BATCH_NORM_EPS = 1e-3  # the Keras default under which the network was trained
LEAK = 0.2


@dataclass(frozen=True)
class LineExtractorShape:
    """Channels and numbers of blocks at scales 1, 1/2, 1/4, 1/8, 1/16; the defaults are the published ones."""

    widths: tuple[int, ...] = (24, 48, 96, 192, 384)
    blocks: tuple[int, ...] = (2, 3, 5, 7, 12)
    last: int = 16


class _Layer(nn.Module):
    """Normalise, activate, convolve; optionally double the size (nearest)."""

    def __init__(self, inner: int, outer: int, kernel: int = 3, stride: int = 1, *, up: bool = False) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.BatchNorm2d(inner, eps=BATCH_NORM_EPS),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2),
        )
        if up:
            self.model.append(nn.Upsample(scale_factor=2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class _Shortcut(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int, *, up: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(inner, outer, 1, stride))
        if up:
            self.model.append(nn.Upsample(scale_factor=2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class _Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int = 1, *, up: bool = False) -> None:
        super().__init__()
        self.conv1 = _Layer(inner, outer, stride=stride, up=up)
        self.residual = _Layer(outer, outer)
        plain = inner == outer and stride == 1
        self.shortcut = nn.Identity() if plain else _Shortcut(inner, outer, stride, up=up)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual(self.conv1(x)) + self.shortcut(x)
        return out


class _Stage(nn.Module):
    """`count` blocks; "down" halves the size in its last block, "up" doubles it in its first."""

    def __init__(self, inner: int, outer: int, count: int, kind: str) -> None:
        super().__init__()
        self.model = nn.Sequential(
            _Block(inner, outer, up=kind == "up"),
            *(_Block(outer, outer) for _ in range(count - 2)),
            _Block(outer, outer, stride=2 if kind == "down" else 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class LineExtractor(nn.Module):
    """Grey (B, 1, H, W) in 0..255 to lines of the same shape; H and W are multiples of 16."""

    def __init__(self, shape: LineExtractorShape) -> None:
        super().__init__()
        a, b, c, d, e = shape.widths
        na, nb, nc, nd, ne = shape.blocks
        self.block0 = _Stage(1, a, na, "flat")
        self.block1 = _Stage(a, b, nb, "down")
        self.block2 = _Stage(b, c, nc, "down")
        self.block3 = _Stage(c, d, nd, "down")
        self.block4 = _Stage(d, e, ne, "down")
        self.block5 = _Stage(e, d, nd, "up")
        self.block6 = _Stage(d, c, nc, "up")
        self.block7 = _Stage(c, b, nb, "up")
        self.block8 = _Stage(b, a, na, "up")
        self.block9 = _Stage(a, shape.last, 2, "flat")
        self.conv15 = _Layer(shape.last, 1, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        full = self.block0(x)
        half = self.block1(full)
        quarter = self.block2(half)
        eighth = self.block3(quarter)
        x = self.block5(self.block4(eighth)) + eighth
        x = self.block6(x) + quarter
        x = self.block7(x) + half
        x = self.block8(x) + full
        out: Tensor = self.conv15(self.block9(x))
        return out
