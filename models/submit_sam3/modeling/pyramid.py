"""The neck: features at the trunk's one stride become a small pyramid.

The simple feature pyramid of "Exploring Plain Vision Transformer Backbones for Object
Detection" (Li et al., arXiv 2203.16527, section 3), without norms. SAM 3 has two of
them, one for its detector, one for its tracker; this is the tracker's. The official
ones have a fourth, coarser level that no tracker reads.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Pyramid"]


class Pyramid(nn.Module):
    """Three levels: four times as fine as the trunk's features, twice, and equal."""

    def __init__(self, channels_in: int, channels: int) -> None:
        """Build the levels.

        Args:
            channels_in: Of the trunk; four divides it.
            channels: Of each level.
        """
        super().__init__()
        half, quarter = channels_in // 2, channels_in // 4
        finest, finer, equal = nn.Sequential(), nn.Sequential(), nn.Sequential()
        finest.add_module("dconv_2x2_0", _double(channels_in, half))
        finest.add_module("gelu", nn.GELU())
        finest.add_module("dconv_2x2_1", _double(half, quarter))
        finer.add_module("dconv_2x2", _double(channels_in, half))
        for level, width in ((finest, quarter), (finer, half), (equal, channels_in)):
            level.add_module("conv_1x1", nn.Conv2d(width, channels, kernel_size=1))
            level.add_module(
                "conv_3x3", nn.Conv2d(channels, channels, kernel_size=3, padding=1)
            )
        self.convs = nn.ModuleList((finest, finer, equal))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N×C×h×w to N×C'×4h×4w, N×C'×2h×2w and N×C'×h×w."""
        fine, middle, coarse = (level(features) for level in self.convs)
        return fine, middle, coarse


def _double(channels: int, channels_out: int) -> nn.ConvTranspose2d:
    """A convolution that doubles the sides."""
    return nn.ConvTranspose2d(channels, channels_out, kernel_size=2, stride=2)
