"""The neck: features of the trunk's stages with one number of channels.

Matches `FpnNeck` and `ImageEncoder` of sam2/modeling/backbones/image_encoder.py
(facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ImageEncoder", "Neck", "Trunk"]


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


class Trunk(Protocol):
    """A module that turns images into what a neck takes."""

    def positions(self, image_size: int) -> tuple[Tensor, ...]:
        """Compute the tensors that it needs for images of image_size×image_size."""
        ...

    def __call__(self, image: Tensor, *positions: Tensor) -> Any:
        """Encode N×3×S×S."""
        ...


TrunkT = TypeVar("TrunkT", bound=Trunk)


class ImageEncoder(nn.Module, Generic[TrunkT]):
    """Trunk and neck."""

    def __init__(self, trunk: TrunkT, neck: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def positions(self, image_size: int) -> tuple[Tensor, ...]:
        """Compute the tensors that `forward` needs for an image size."""
        return self.trunk.positions(image_size)

    def forward(
        self, image: Tensor, positions: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode N×3×S×S into N×C×4h×4w, N×C×2h×2w and N×C×h×w."""
        features: tuple[Tensor, Tensor, Tensor] = self.neck(
            self.trunk(image, *positions)
        )
        return features
