"""Softmax attention with heads, and for many queries over blocks of keys.

Matches `Attention` and `RoPEAttention` of sam2/modeling/sam/transformer.py
(facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "attend_blocks"]

#: Queries and keys of one tile on the processor; its scores fit into the L2 cache.
_QUERIES, _KEYS = 512, 2048
#: Limit of sums of exponentials; above it, products with values might overflow.
_LARGEST = 1e20
#: Exponents below this are raised to it. Their exponentials count for nothing beside
#: the largest one, 1, and processors multiply subnormal numbers very slowly.
_SMALLEST = -60.0


class Attention(nn.Module):
    """Attention between two sets of tokens, with projections and heads."""

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        inner: int | None = None,
        key_channels: int | None = None,
    ) -> None:
        super().__init__()
        inner = inner or channels
        key_channels = key_channels or channels
        self.heads = heads
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(key_channels, inner)
        self.v_proj = nn.Linear(key_channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of queries N×Q×C to keys and values N×K×C'; returns N×Q×C."""
        q = self._split(self.q_proj(q))
        k = self._split(self.k_proj(k))
        v = self._split(self.v_proj(v))
        found = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """N×L×C to N×heads×L×C/heads."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


def attend_blocks(
    q: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    *,
    dropout: float = 0.0,
) -> Tensor:
    """Softmax attention over keys in blocks; values may have fewer channels than keys.

    Libraries need values as wide as keys, or store all scores. Here the scores of a
    tile stay in the cache, and values keep their channels. If gradients are needed,
    the library function is used.

    Args:
        q: N×Q×C.
        keys: Blocks of N×K×C, any K each.
        values: For each block of keys N×K×V.
        dropout: Share of the weights that are set to zero.

    Returns:
        N×Q×V, in the dtype of `q`.
    """
    trains = torch.is_grad_enabled() and any(
        x.requires_grad for x in (q, *keys, *values)
    )
    if q.device.type != "cpu" or trains:
        # The kernels that do not store scores need an axis of heads, here with one.
        k, v = (torch.cat(list(blocks), 1)[:, None] for blocks in (keys, values))
        return F.scaled_dot_product_attention(q[:, None], k, v, dropout_p=dropout)[:, 0]
    tiles = [
        [part for block in blocks for part in torch.split(block, _KEYS, 1)]
        for blocks in (keys, values)
    ]
    out = torch.empty(*q.shape[:2], values[0].shape[2], dtype=q.dtype)
    for index in range(len(q)):
        own_keys = [tile[index].t() for tile in tiles[0]]
        own_values = [tile[index] for tile in tiles[1]]
        for start in range(0, q.shape[1], _QUERIES):
            rows = slice(start, start + _QUERIES)
            out[index, rows] = _attend_rows(q[index, rows], own_keys, own_values)
    return out


def _attend_rows(q: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Attention of Q×C over tiles C×K and K×V, as one running sum."""
    q = q * (1 / math.sqrt(q.shape[1]))
    # Softmax does not change if a number is subtracted from a whole row. The largest
    # score of the first tile is used for all tiles, unless a later score is so much
    # larger that its exponential is out of the range of float32.
    scores = q @ keys[0]
    shift = scores.amax(1, keepdim=True)
    weights = _weights(scores, shift)
    total = weights.sum(1, keepdim=True).float()
    found = (weights @ values[0]).float()
    for k, v in zip(keys[1:], values[1:], strict=True):
        weights = _weights(torch.mm(q, k), shift)
        total += weights.sum(1, keepdim=True)
        found += weights @ v
    if not bool((total < _LARGEST).all()):
        return _attend_steep_rows(q, keys, values)
    return found / total


def _attend_steep_rows(
    q: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]
) -> Tensor:
    """The same for scaled queries and any scores: the largest score so far is used."""
    shift = q.new_full((len(q), 1), -torch.inf)
    total = q.new_zeros(len(q), 1, dtype=torch.float32)
    found = q.new_zeros(len(q), values[0].shape[1], dtype=torch.float32)
    for k, v in zip(keys, values, strict=True):
        scores = torch.mm(q, k)
        larger = torch.maximum(shift, scores.amax(1, keepdim=True))
        before = (shift - larger).exp_()
        shift = larger
        weights = _weights(scores, shift)
        total = total * before + weights.sum(1, keepdim=True)
        found = found * before + weights @ v
    return found / total


def _weights(scores: Tensor, shift: Tensor) -> Tensor:
    """Exponentials of scores less a shift, in their place."""
    return scores.sub_(shift).clamp_(min=_SMALLEST).exp_()
