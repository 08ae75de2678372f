"""Perceptron and channel norm that several blocks share.

Matches `MLP` and `LayerNorm2d` of sam2/modeling/sam2_utils.py (facebookresearch/sam2
@ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ChannelNorm", "Perceptron"]


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
