"""The prompt encoder: a given mask becomes an image of embeddings.

Matches sam2/modeling/sam/prompt_encoder.py (facebookresearch/sam2 @ 2b90b9f). In video
object segmentation nobody clicks: the point embeddings are loaded with the checkpoint
and stay unused, and every frame has the two tokens of "no point".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import ChannelNorm
from .position import FourierGrid

__all__ = ["PromptEncoder"]

_POINT_KINDS = 4
_MASK_CHANNELS = 16


class PromptEncoder(nn.Module):
    """Embeds a mask, or its absence."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pe_layer = FourierGrid(channels // 2)
        self.point_embeddings = nn.ModuleList(
            nn.Embedding(1, channels) for _ in range(_POINT_KINDS)
        )
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.no_mask_embed = nn.Embedding(1, channels)
        quarter = _MASK_CHANNELS // 4
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, quarter, kernel_size=2, stride=2),
            ChannelNorm(quarter),
            nn.GELU(),
            nn.Conv2d(quarter, _MASK_CHANNELS, kernel_size=2, stride=2),
            ChannelNorm(_MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS, channels, kernel_size=1),
        )

    def no_points(self) -> Tensor:
        """Two tokens that say "no point": 2×C."""
        token: Tensor = self.not_a_point_embed.weight
        return torch.cat((token, token))

    def no_mask(self) -> Tensor:
        """One embedding for every place of the image: 1×1×C."""
        return self.no_mask_embed.weight[None]

    def forward(self, masks: Tensor) -> Tensor:
        """Embed masks N×1×4h×4w as tokens N×h·w×C."""
        dense: Tensor = self.mask_downscaling(masks)
        return dense.flatten(2).transpose(1, 2)
