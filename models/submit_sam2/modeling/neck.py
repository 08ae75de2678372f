"""The neck: features of the trunk's stages with one number of channels.

Matches `FpnNeck` and `ImageEncoder` of sam2/modeling/backbones/image_encoder.py
(facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TrunkConfig
from .hiera import Hiera

__all__ = ["ImageEncoder"]


class Neck(nn.Module):
    """Lateral convolutions, and a top-down step into stride 16."""

    def __init__(self, stage_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        # The checkpoints count from the coarsest stage.
        self.convs = nn.ModuleList(nn.Sequential() for _ in reversed(stage_channels))
        for conv, width in zip(self.convs, reversed(stage_channels), strict=True):
            conv.add_module("conv", nn.Conv2d(width, channels, kernel_size=1))

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Four stages to N×C×h×w at strides 4, 8 and 16."""
        coarsest, coarse, middle, fine = (
            conv(stage) for conv, stage in zip(self.convs, stages[::-1], strict=True)
        )
        from_above = F.interpolate(coarsest.float(), scale_factor=2.0, mode="nearest")
        return fine, middle, coarse + from_above


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(
        self, config: TrunkConfig, channels: int, *, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.trunk = Hiera(config, drop_path=drop_path)
        self.neck = Neck(config.stage_channels, channels)

    def forward(
        self, image: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode N×3×S×S into N×C×S/s×S/s at strides s of 4, 8 and 16."""
        features: tuple[Tensor, Tensor, Tensor] = self.neck(
            self.trunk(image, positions)
        )
        return features
