"""The memory encoder: encodes a frame's features and an object's mask to a memory.

Matches sam2/modeling/memory_encoder.py (facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TrackerConfig
from .layers import ChannelNorm

__all__ = ["MemoryEncoder"]

#: Channels of the mask while it is downsampled by a factor of two in each step.
_MASK_CHANNELS = (1, 4, 16, 64, 256)
_SHRINKS = 2 ** (len(_MASK_CHANNELS) - 1)


class MemoryEncoder(nn.Module):
    """Adds the downsampled mask to the features, and reduces the channels."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        channels = config.channels
        self.mask_downsampler = MaskDownsampler(channels)
        self.pix_feat_proj = nn.Conv2d(channels, channels, kernel_size=1)
        self.fuser = Fuser(channels)
        self.out_proj = nn.Conv2d(channels, config.memory_channels, kernel_size=1)

    def project(self, features: Tensor) -> Tensor:
        """Prepare 1×C×h×w features for all objects of a frame."""
        projected: Tensor = self.pix_feat_proj(features)
        return projected

    def forward(self, projected: Tensor, masks: Tensor) -> Tensor:
        """Encode masks.

        Args:
            projected: 1×C×h×w from `project`.
            masks: N×1×H×W, scaled probabilities; resized if they are not 16h×16w.

        Returns:
            N×M×h×w.
        """
        height, width = projected.shape[2:]
        size = _SHRINKS * height, _SHRINKS * width
        if masks.shape[2:] != size:
            masks = F.interpolate(
                masks.float(),
                size=size,
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )
        x = projected + self.mask_downsampler(masks)
        memory: Tensor = self.out_proj(self.fuser(x))
        return memory


class MaskDownsampler(nn.Module):
    """Four strided convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        for before, after in pairwise(_MASK_CHANNELS):
            self.encoder.append(
                nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
            )
            self.encoder.append(ChannelNorm(after))
            self.encoder.append(nn.GELU())
        self.encoder.append(nn.Conv2d(_MASK_CHANNELS[-1], channels, kernel_size=1))

    def forward(self, masks: Tensor) -> Tensor:
        """N×1×16h×16w to N×C×h×w."""
        x: Tensor = self.encoder(masks)
        return x


class Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(ConvNextBlock(channels), ConvNextBlock(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h×w to the same."""
        out: Tensor = self.layers(x)
        return out


class ConvNextBlock(nn.Module):
    """Depth-wise 7×7 convolution and a perceptron on each pixel, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(
            channels, channels, kernel_size=7, padding=3, groups=channels
        )
        self.norm = ChannelNorm(channels)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(1e-6 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h×w to the same."""
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)  # N×h×w×C
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out
