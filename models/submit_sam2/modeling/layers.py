"""Layers of several blocks: perceptron, channel norm, drop path, recomputation.

Matches `MLP`, `LayerNorm2d` and `DropPath` of sam2/modeling/sam2_utils.py
(facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

__all__ = ["ChannelNorm", "DropPath", "Perceptron", "run"]


class Perceptron(nn.Module):
    """Linear layers with an activation between them."""

    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in pairwise(widths)
        )
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map …×widths[0] to …×widths[-1]."""
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index < last:
                x = self._activation(x)
        return x


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise N×C×H×W."""
        channels_last = F.layer_norm(
            x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps
        )
        return channels_last.permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """In training, skips a branch of the network for some samples of a batch.

    The other samples are scaled, so that the mean does not change.

    Attributes:
        share: Share of the samples that skip the branch, in [0, 1).
    """

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """N×… to the same."""
        if not self.training or not self.share:
            return x
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - self.share)
        return x * kept.div_(1 - self.share)


def run(part: Callable[..., Any], *inputs: Any, recompute: bool) -> Any:
    """Call a part of the network.

    Args:
        part: The part.
        inputs: Its inputs.
        recompute: Store only the inputs for the backward pass, which computes the part
            again (gradient checkpointing). Random numbers are the same in both.
    """
    if recompute and torch.is_grad_enabled():
        return checkpoint(part, *inputs, use_reentrant=False)
    return part(*inputs)
