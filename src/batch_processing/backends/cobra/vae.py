"""Walks through the stock `AutoencoderKL` that also give, or take, the activations between its blocks.

Encoding returns the mean of the posterior instead of a random draw from it: what is encoded once can be
kept, and a page's colours do not depend on what was encoded before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 5  # activations that encoder and decoder exchange: after conv_in and after each of 4 blocks
# Scores of one chunk of the attention in the middle blocks, elements: one head looks at all (S/8)^2 places,
# 22,500 at 1200 x 1200, whose full score matrix alone would be 1 GB in 16 bit.
SCORE_LIMIT = 64 * 2**20


class ChunkedAttention:
    """Attention processor of the VAE's middle blocks: the stock one, in chunks of queries."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Tensor:
        tokens = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
        query, key, value = (
            project(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        rows = max(1, SCORE_LIMIT // (len(key) * attn.heads * key.shape[2]))
        mixed = torch.cat(
            [F.scaled_dot_product_attention(part, key, value) for part in query.split(rows, dim=2)], dim=2
        )
        out: Tensor = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
        return out.transpose(1, 2).reshape(hidden_states.shape) + hidden_states


def activations(vae: Any, images: Tensor) -> list[Tensor]:
    """The 5 activations of the encoder for images (B, 3, H, W) in [-1, 1]."""
    hidden = [vae.encoder.conv_in(images)]
    for block in vae.encoder.down_blocks:
        hidden.append(block(hidden[-1]))
    return hidden


def encode(vae: Any, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The mean (B, 4, H/8, W/8), unscaled, and the 5 activations, of images in [-1, 1]."""
    encoder, hidden = vae.encoder, activations(vae, images)
    x = hidden[-1]
    x = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(encoder.mid_block(x))))
    mean, _ = vae.quant_conv(x).chunk(2, dim=1)
    return mean, hidden


def decode(vae: Any, latents: Tensor, addition: Callable[[int], Tensor] | None = None) -> Tensor:
    """Images (B, 3, H, W) near [-1, 1] of unscaled `latents`.

    `addition(level)` gives what is added on the way, level 4 first; it is asked when it is needed, so
    that the large last ones need not exist together."""
    decoder = vae.decoder
    x = decoder.conv_in(vae.post_quant_conv(latents))
    if addition is not None:
        x = x + addition(LEVELS - 1)
    x = decoder.mid_block(x)
    for index, block in enumerate(decoder.up_blocks):
        if addition is not None:
            x = x + addition(LEVELS - 2 - index)
        x = block(x)
    out: Tensor = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(x)))
    return out
