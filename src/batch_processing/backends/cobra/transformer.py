"""Cobra's diffusion transformer, its line-art guider, and the key-value memory between them.

Both networks are made of stock diffusers blocks under the published parameter names. The rules that
make them Cobra (arXiv 2504.12240, sections 3 and 4) are:

* a page of h x w tokens stands in the middle of a canvas of h x 2w positions; the four quarters of the
  two side areas belong to the four groups of reference patches (`canvas`);
* a patch attends only to itself, at timestep 0, so its keys and values depend on nothing but the
  patch, its group, the size of the page and the weights: they are recorded once (`CobraTransformer.record`);
* the page attends to itself and to all recorded patches (`PageMemory`);
* the prompt is empty, so that cross attention to one text row is one constant vector per layer
  (`ConstantText`); with more text rows the stock cross attention is kept.

Promises the published arithmetic in any floating type. Refuses nothing: shapes are the callers' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from diffusers.models.normalization import AdaLayerNormSingle
from torch import Tensor, nn

PATCH = 2  # latent pixels per token and axis
GROUPS = 4  # reference groups: top left, top right, bottom left, bottom right
NORM_EPS = 1e-6


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of the transformer; the defaults are those of PixArt-XL-2-1024-MS."""

    heads: int = 16
    head_dim: int = 72
    layers: int = 28
    caption_channels: int = 4096
    latent_channels: int = 4

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def guided_layers(self) -> int:
        """The guider has half the depth, and guides the first blocks."""
        return self.layers // 2


@lru_cache(maxsize=64)  # 15 buckets, two networks of one width, few devices
def canvas(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """Positions (h, 2w, width) of a page of `h` x `w` tokens and its side areas, float32.

    Both axes span [0, 32) whatever the size: the grid is normalised to 64 and halved, as in PixArt."""
    table: Tensor = get_2d_sincos_pos_embed(width, (h, 2 * w), base_size=64, interpolation_scale=2)
    return table.to(device=device, dtype=torch.float32).reshape(h, 2 * w, width)


def page_positions(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """(h*w, width): the middle half of the canvas."""
    return canvas(h, w, width, device)[:, w // 2 : w // 2 + w].reshape(h * w, width)


def group_positions(group: int, h: int, w: int, width: int, device: torch.device) -> Tensor:
    """(h/2 * w/2, width): the tile of reference group 0..3, the same for all patches of the group."""
    row, column = divmod(group, 2)
    top, left = row * (h // 2), column * (w // 2 + w)
    tile = canvas(h, w, width, device)[top : top + h // 2, left : left + w // 2]
    return tile.reshape(h * w // 4, width)


def size_conditions(h: int, w: int, device: torch.device) -> dict[str, Tensor]:
    """What the networks are told about the size of a page of `h` x `w` tokens.

    The width is that of the canvas, twice the page's. The ratio is rounded to float16 first, as it was in
    training; height and width are exact there."""
    height, canvas_width = 16.0 * h, 32.0 * w
    return {
        "resolution": torch.tensor([[height, canvas_width]], device=device),
        "aspect_ratio": torch.tensor([[height / canvas_width]], device=device).half().float(),
    }


class PatchEmbedding(nn.Module):
    """Latents (B, C, 2h, 2w) to tokens (B, h*w, width) plus their positions, summed in float32."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, PATCH, stride=PATCH)

    def forward(self, latents: Tensor, positions: Tensor) -> Tensor:
        tokens: Tensor = self.proj(latents).flatten(2).transpose(1, 2)
        return (tokens + positions).to(tokens.dtype)


class ConstantText(nn.Module):
    """Cross attention to one text row: softmax over one key is 1, so the answer is one vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(width))

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        return self.value


class RecordedLayer:
    """Keeps the keys and values, (N, heads, tokens, head_dim), that a self attention computes."""

    key: Tensor
    value: Tensor

    def join(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.key, self.value = key, value
        return key, value


@dataclass
class JoinedLayer:
    """One layer's buffers (B, heads, page + reference tokens, head_dim): the page's come first."""

    keys: Tensor
    values: Tensor

    def join(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.keys[:, :, : key.shape[2]] = key
        self.values[:, :, : value.shape[2]] = value
        return self.keys, self.values


class SparseAttention:
    """Attention processor: plain, or with keys and values that `memory` records or adds."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        memory: RecordedLayer | JoinedLayer | None = None,
    ) -> Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source))
        )
        if memory is not None and encoder_hidden_states is None:
            key, value = memory.join(key, value)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
        return out


class PageMemory:
    """All keys and values that the pages of one batch attend to, preallocated for all layers.

    `entries` of `CobraTransformer.record` are copied in once per batch with `put`; each denoising step
    overwrites the page's own part, so nothing is concatenated."""

    def __init__(
        self, shape: TransformerShape, pages: int, page_tokens: int, patches: int, like: Tensor
    ) -> None:
        self.page_tokens = page_tokens
        self.patch_tokens = page_tokens // 4
        length = page_tokens + patches * self.patch_tokens
        self.buffer = torch.empty(
            (shape.layers, 2, pages, shape.heads, length, shape.head_dim),
            dtype=like.dtype,
            device=like.device,
        )

    def put(self, page: int, slot: int, entry: Tensor) -> None:
        """Copy the `entry` (layers, 2, heads, patch tokens, head_dim) of one patch to place `slot` of a page."""
        start = self.page_tokens + slot * self.patch_tokens
        self.buffer[:, :, page, :, start : start + self.patch_tokens] = entry

    def layer(self, index: int) -> JoinedLayer:
        return JoinedLayer(self.buffer[index, 0], self.buffer[index, 1])


def _block(shape: TransformerShape, text_width: int | None) -> BasicTransformerBlock:
    block = BasicTransformerBlock(
        shape.width,
        shape.heads,
        shape.head_dim,
        cross_attention_dim=text_width,
        activation_fn="gelu-approximate",
        attention_bias=True,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=NORM_EPS,
    )
    processor: Any = SparseAttention()
    for attention in (block.attn1, block.attn2):
        if attention is not None:
            attention.set_processor(processor)
    return block


class _Modulated(nn.Module):
    """What transformer and guider share: patch embedding, modulation, blocks."""

    def __init__(
        self, shape: TransformerShape, channels: int, blocks: Sequence[BasicTransformerBlock]
    ) -> None:
        super().__init__()
        self.shape = shape
        self.pos_embed = PatchEmbedding(channels, shape.width)
        self.adaln_single = AdaLayerNormSingle(shape.width, use_additional_conditions=True)
        self.transformer_blocks = nn.ModuleList(blocks)

    def modulation(
        self, timestep: float | Tensor, h: int, w: int, size: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """(1, 6 * width) for the blocks and (1, width) for the head, of a page of h x w tokens.

        A `timestep` that lies on the device, as one number, spares it a wait for the host."""
        weight = self.pos_embed.proj.weight
        size = size or size_conditions(h, w, weight.device)
        time = torch.as_tensor(timestep, device=weight.device, dtype=torch.float32).reshape(1)
        blocks, head = self.adaln_single(time, size, batch_size=1, hidden_dtype=weight.dtype)
        return blocks, head


class CobraTransformer(_Modulated):
    """The denoiser. `text_rows` = 1: constant text; more: stock cross attention to that many rows."""

    def __init__(self, shape: TransformerShape, text_rows: int = 1) -> None:
        width = shape.width
        blocks = [_block(shape, width if text_rows > 1 else None) for _ in range(shape.layers)]
        super().__init__(shape, shape.latent_channels, blocks)
        self.text: nn.Parameter | None = None
        if text_rows == 1:
            for block in self.transformer_blocks:
                block.attn2 = ConstantText(width)
        else:
            self.text = nn.Parameter(torch.zeros(1, text_rows, width))
        self.scale_shift_table = nn.Parameter(torch.zeros(2, width))
        self.proj_out = nn.Linear(width, PATCH * PATCH * 2 * shape.latent_channels)

    def _run(
        self, index: int, tokens: Tensor, modulation: Tensor, memory: RecordedLayer | JoinedLayer | None
    ) -> Tensor:
        text, count = self.text, len(tokens)
        out: Tensor = self.transformer_blocks[index](
            tokens,
            encoder_hidden_states=None if text is None else text.expand(count, -1, -1),
            timestep=modulation.expand(count, -1),
            cross_attention_kwargs={"memory": memory},
        )
        return out

    def record(self, patches: Tensor, group: int, size: dict[str, Tensor] | None = None) -> Tensor:
        """Keys and values of clean, scaled latents of reference patches.

        `patches` (N, 4, h, w), where the page has h x w tokens, all of one group 0..3.
        Returns (N, layers, 2, heads, h*w/4, head_dim); 2 stands for keys and values."""
        n, _, h, w = patches.shape
        shape = self.shape
        positions = group_positions(group, h, w, shape.width, patches.device)
        tokens = self.pos_embed(patches, positions)
        modulation, _ = self.modulation(0, h, w, size)
        entries = patches.new_empty((n, shape.layers, 2, shape.heads, h * w // 4, shape.head_dim))
        for index in range(shape.layers - 1):
            layer = RecordedLayer()
            tokens = self._run(index, tokens, modulation, layer)
            entries[:, index, 0], entries[:, index, 1] = layer.key, layer.value
        # Of the last block only the keys and values are wanted: the rest of it would be thrown away.
        block: Any = self.transformer_blocks[-1]
        table = block.scale_shift_table[None] + modulation.reshape(1, 6, -1)
        shift, scale = table[:, :2].chunk(2, dim=1)
        last = block.norm1(tokens) * (1 + scale) + shift
        for part, project in enumerate((block.attn1.to_k, block.attn1.to_v)):
            entries[:, -1, part] = project(last).unflatten(-1, (shape.heads, -1)).transpose(1, 2)
        return entries

    def forward(
        self,
        latents: Tensor,
        timestep: float | Tensor,
        memory: PageMemory | None,
        guidance: Sequence[Tensor] = (),
        size: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """(B, 8, 2h, 2w): predicted noise and the learned variance of noisy `latents` (B, 4, 2h, 2w).

        `guidance` holds the guider's residuals (B, h*w, width), one for each of the first blocks."""
        h, w = latents.shape[-2] // PATCH, latents.shape[-1] // PATCH
        tokens = self.pos_embed(latents, page_positions(h, w, self.shape.width, latents.device))
        modulation, head = self.modulation(timestep, h, w, size)
        for index in range(self.shape.layers):
            layer = None if memory is None else memory.layer(index)
            tokens = self._run(index, tokens, modulation, layer)
            if index < len(guidance):
                tokens = tokens + guidance[index]
        shift, scale = (self.scale_shift_table[None] + head[:, None]).chunk(2, dim=1)
        tokens = F.layer_norm(tokens, tokens.shape[-1:], eps=NORM_EPS) * (1 + scale) + shift
        squares: Tensor = self.proj_out(tokens).reshape(len(latents), h, w, PATCH, PATCH, -1)
        return squares.permute(0, 5, 1, 3, 2, 4).reshape(len(latents), -1, h * PATCH, w * PATCH)


class LineArtGuider(_Modulated):
    """Tells the transformer where the lines are: one residual for each of its first blocks."""

    def __init__(self, shape: TransformerShape) -> None:
        # Noise, line-art and hint latents, and the hint mask.
        channels = 3 * shape.latent_channels + 1
        super().__init__(shape, channels, [_block(shape, None) for _ in range(shape.guided_layers)])
        self.adapter_linear = nn.ModuleList(
            nn.Linear(shape.width, shape.width) for _ in range(shape.guided_layers)
        )

    def forward(
        self, inputs: Tensor, timestep: float | Tensor, size: dict[str, Tensor] | None = None
    ) -> list[Tensor]:
        """Residuals (B, h*w, width) for `inputs` (B, 13, 2h, 2w): noise, lines, hints, hint mask."""
        count, _, h, w = inputs.shape
        h, w = h // PATCH, w // PATCH
        tokens = self.pos_embed(inputs, page_positions(h, w, self.shape.width, inputs.device))
        modulation, _ = self.modulation(timestep, h, w, size)
        residuals = []
        for block, adapter in zip(self.transformer_blocks, self.adapter_linear, strict=True):
            tokens = block(tokens, timestep=modulation.expand(count, -1))
            residuals.append(adapter(tokens))
        return residuals
